"""What is said of rows in no random order, of errors, and of shares: it must hold, or not be said."""

import math
import threading
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError

from nearlin import StreamingPCA, _core, top_eigenvector
from nearlin.exceptions import InvalidInputError, OrderWarning


def rising(n=3000, d=350, amplitudes=(0.1, 3.0), seed=0):
    """Rows whose amplitude grows steadily."""
    rng = np.random.default_rng(seed)
    scale = np.exp(rng.standard_normal(d))
    return rng.standard_normal((n, d)) * scale * np.linspace(*amplitudes, n)[:, None]


def sorted_by_class(n=4000, seed=0):
    X, y = make_blobs(n, n_features=350, centers=3, cluster_std=6, random_state=seed)
    return X[np.argsort(y, kind="stable")]


@pytest.mark.parametrize("algorithm", ["auto", "block_power", "incremental"])
@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("k", [1, 5])
def test_rising_energy_is_told_and_no_figure_is_beyond_it(algorithm, center, k):
    if algorithm == "incremental":
        pytest.skip("it has no direction that rows came after")
    A = rising()
    with pytest.warns(OrderWarning):
        pca = StreamingPCA(k, algorithm=algorithm, center=center, random_state=0).fit(A)
    assert pca.order_statistic_ > 6
    assert math.isnan(float(pca.certificate_))
    assert pca.explained_variance_ratio_.sum() <= 1.0
    energy = np.sum((A - center * A.mean(axis=0)) ** 2)
    assert pca.eigenvalues_.sum() <= energy * (1 + 1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_centred_rows_that_are_sorted_by_class_are_told_and_shuffled_ones_are_not(dtype):
    A = sorted_by_class().astype(dtype)
    with pytest.warns(OrderWarning):
        StreamingPCA(center=True, random_state=0).fit(A)
    weights = np.random.default_rng(1).exponential(size=len(A)) + 1e-3
    for seed in range(3):
        shuffled = np.random.default_rng(seed).permutation(A)
        with warnings.catch_warnings():
            warnings.simplefilter("error", OrderWarning)
            for center in (False, True):
                StreamingPCA(center=center, random_state=0).fit(shuffled)
                StreamingPCA(center=center, random_state=0).fit(shuffled, sample_weight=weights)


@pytest.mark.parametrize("tail", [1.5, 3.0])
def test_heavy_tails_in_random_order_are_no_disorder(tail):
    with warnings.catch_warnings():
        warnings.simplefilter("error", OrderWarning)
        for seed in range(5):
            rng = np.random.default_rng(seed)
            A = rng.standard_normal((4000, 320)) * (rng.pareto(tail, (4000, 1)) + 0.1)
            for center in (False, True):
                StreamingPCA(center=center, n_heavy=4, random_state=seed).fit(A)


def test_shares_of_the_ladder_are_at_most_one():
    rng = np.random.default_rng(0)
    A = 0.1 * rng.standard_normal((3000, 400)) + rng.standard_normal((3000, 1))
    for seed in range(12):
        pca = StreamingPCA(order="arbitrary", random_state=seed).fit(A)
        assert 0.5 < pca.explained_variance_ratio_[0] <= 1.0
        assert pca.eigenvalues_[0] <= np.sum(A**2) * (1 + 1e-12)


@pytest.mark.parametrize("repeated", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_limits_of_a_quotient_hold_where_few_rows_matter(repeated, dtype):
    held, told = 0, 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        A = 0.3 * rng.standard_normal((6000, 40))
        at = rng.permutation(6000)[:60]
        A[at, 0] = 10.0 if repeated else rng.uniform(8.0, 12.0, 60)
        pca = StreamingPCA(algorithm="block_power", random_state=seed).fit(A.astype(dtype))
        found = pca.certificate_.details.get("rayleigh_quotient")
        if found is None:
            continue
        told += 1
        assert found["confidence"] == 0.95
        assert found["lower"] <= found["value"] <= found["upper"]
        held += found["lower"] <= np.sum((A @ pca.components_[0]) ** 2) <= found["upper"]
    assert told >= 15
    assert held >= 0.85 * told


def test_a_large_mean_is_flagged_where_it_is_taken_off_sums():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((5000, 50)) * np.linspace(2, 1, 50)
    notes = {}
    for mean in (0.0, 1e3, 1e6):
        pca = StreamingPCA(algorithm="sketch", center=True, sketch_size=49, random_state=0).fit(A + mean)
        notes[mean] = "mean" in pca.certificate_.note
    assert notes == {0.0: False, 1e3: False, 1e6: True}


def test_rows_that_were_deleted_are_not_in_the_bytes():
    rng = np.random.default_rng(0)
    X, secret = rng.standard_normal((20, 50)), rng.standard_normal((5, 50))
    pca = StreamingPCA(algorithm="sketch", random_state=0).partial_fit(X).partial_fit(secret)
    whole = pca.to_bytes()
    assert secret[0, 3].tobytes() in whole
    kept = pca.delete(secret).to_bytes()
    assert not any(number.tobytes() in kept for number in secret.ravel())


@pytest.mark.parametrize("algorithm", ["block_power", "oja", "sketch", "frequent_directions"])
def test_bytes_do_not_tell_how_rows_were_cut(algorithm):
    A = np.random.default_rng(0).standard_normal((400, 310))
    whole = StreamingPCA(algorithm=algorithm, random_state=0).partial_fit(A)
    parts = StreamingPCA(algorithm=algorithm, random_state=0)
    for first in range(0, 400, 100):
        parts.partial_fit(A[first : first + 100])
    assert whole.to_bytes() == parts.to_bytes()


def test_blocks_of_no_rows_change_nothing():
    A = np.random.default_rng(0).standard_normal((60, 5))
    whole = StreamingPCA(random_state=0).fit(A)
    cut = StreamingPCA(random_state=0).fit(iter([A[:30], A[:0], A[30:]]))
    assert_array_equal(cut.partial_fit(A[:0]).components_, whole.components_)
    cut.partial_fit(sp.csr_array((0, 5)))
    assert cut.n_samples_seen_ == 60
    with pytest.raises(InvalidInputError):
        StreamingPCA().partial_fit(A[:0])
    with pytest.raises(InvalidInputError):
        cut.partial_fit(A[:0, :4])


def test_half_precision_is_taken_alike_everywhere():
    A = np.random.default_rng(0).standard_normal((60, 5)).astype(np.float16)
    found = [StreamingPCA(random_state=0).fit(A).components_[0], top_eigenvector(A, rng=0).vector]
    found.append(top_eigenvector(iter([A]), rng=0).vector)
    assert {vector.dtype for vector in found} == {np.dtype(np.float64)}


def test_an_iterator_is_not_read_where_rows_are_wanted_twice():
    blocks = iter([np.eye(3)])
    pca = StreamingPCA()
    with pytest.raises(InvalidInputError, match="iterator"):
        pca.fit_transform(blocks)
    assert len(list(blocks)) == 1
    assert not hasattr(pca, "n_features_in_")


def test_memory_that_a_rule_at_one_rate_takes_is_enough():
    A = np.random.default_rng(0).standard_normal((300, 400))
    pca = StreamingPCA(algorithm="adaoja", random_state=0).fit(A)
    again = StreamingPCA(algorithm="adaoja", memory=pca.state_bytes_, random_state=0).fit(A)
    assert again.state_bytes_ == pca.state_bytes_


def test_more_directions_than_there_are_lose_nothing():
    A = np.random.default_rng(0).standard_normal((3000, 3)) * [3.0, 2.0, 1.0]
    pca = StreamingPCA(2, algorithm="frequent_directions", sketch_size=200, random_state=0).fit(A)
    assert_allclose(pca.eigenvalues_, np.linalg.eigvalsh(A.T @ A)[:0:-1], rtol=1e-9)
    assert pca.certificate_.confidence == 1.0


def test_figures_out_of_range_are_infinite_and_those_of_one_row_unknown():
    A = np.random.default_rng(0).standard_normal((50, 4)) * 1e300
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pca = StreamingPCA(random_state=0).fit(A)
        assert pca.noise_variance_ == np.inf
        one = StreamingPCA(center=True, random_state=0).fit([[1.0, 2.0]])
        assert math.isnan(one.noise_variance_)
        assert np.isnan(one.explained_variance_).all()


@pytest.mark.parametrize("k", [2, 6])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_whitened_coordinates_and_likelihoods_are_those_of_scikit_learn(k, form):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((400, 6)) @ rng.standard_normal((6, 6)) + 3.0
    ours = StreamingPCA(k, center=True, whiten=True, random_state=0).fit(A)
    theirs = PCA(k, whiten=True, svd_solver="full").fit(A)
    signs = np.sign(np.sum(ours.components_ * theirs.components_, axis=1))
    coordinates = ours.transform(form(A[:9]))
    assert_allclose(coordinates, theirs.transform(A[:9]) * signs, rtol=1e-8, atol=1e-8)
    back = ours.inverse_transform(coordinates)
    assert_allclose(back, theirs.inverse_transform(coordinates * signs), rtol=1e-8)
    plain = PCA(k, svd_solver="full").fit(A)
    assert_allclose(ours.score_samples(form(A)), plain.score_samples(A), rtol=1e-8)
    assert_allclose(ours.score(A), plain.score(A), rtol=1e-10)
    assert_allclose(ours.get_covariance(), plain.get_covariance(), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("algorithm", ["block_power", "incremental", "auto", "oja", "gram"])
def test_rows_where_the_first_ones_are_count_in_the_mean(algorithm):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(4000, 12))
    X[:, 0] *= 3
    X += 1e3
    X[:32] = 0
    state = _core.StreamingPCAState(
        12,
        k=1,
        order="random",
        algorithm="block_power+incremental" if algorithm == "auto" else algorithm,
        width=8,
        heavy=32,
        sketch=32,
        memory=None,
        shuffle=0,
        rate=None,
        t0=None,
        center=True,
        delta=0.01,
        seed=1,
    )
    state.add(X, roots=None, threads=1)
    answer = state.answer(threads=1)
    assert_allclose(answer["mean"], X.mean(axis=0), rtol=1e-10)
    assert_allclose(answer["energy"], np.sum((X - X.mean(axis=0)) ** 2), rtol=1e-8)
    if algorithm != "oja":
        truth = np.linalg.eigvalsh(np.cov(X.T, bias=True) * len(X))[-1]
        assert_allclose(answer["eigenvalues"][0], truth, rtol=0.05)


def test_few_rows_that_are_not_empty_count_against_all():
    rng = np.random.default_rng(0)
    A = np.zeros((20_000, 400))
    A[:400, :40] = rng.normal(size=(400, 40)) + 1.0
    for seed in range(5):
        rows = sp.csr_array(np.random.default_rng(seed).permutation(A))
        pca = StreamingPCA(center=True, random_state=seed).fit(rows)
        assert_allclose(pca.mean_, A.mean(axis=0), atol=1e-9)
        dense = A - A.mean(axis=0)
        found = np.sum((dense @ pca.components_[0]) ** 2)
        assert found > 0.9 * np.linalg.eigvalsh(dense.T @ dense)[-1]


@pytest.mark.parametrize("damage", ["indices", "indptr", "data"])
@pytest.mark.parametrize("form", [sp.csr_array, sp.csc_array])
def test_damaged_sparse_rows_are_not_multiplied(damage, form):
    X = np.random.default_rng(0).normal(size=(50, 8))
    pca = StreamingPCA(center=True, random_state=0).fit(X)
    for read in (pca.transform, pca.score_samples):
        S = form(X)
        getattr(S, damage)[2] = np.nan if damage == "data" else 2**30
        with pytest.raises(InvalidInputError):
            read(S)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_the_residual_after_a_second_pass_is_that_of_the_first_component(k):
    X = np.random.default_rng(0).normal(size=(500, 5))
    pca = StreamingPCA(k, algorithm="adaoja", random_state=0).fit(X)
    v = pca.components_[0]
    z = X.T @ (X @ v)
    truth = np.linalg.norm(z - (v @ z) * v) / (v @ z)
    assert_allclose(float(pca.refine(X).certificate_), truth, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("shuffle", [0, 15])
def test_rows_that_wait_can_be_deleted(center, shuffle):
    X = np.random.default_rng(0).normal(size=(45, 6)) + 9.0

    def stream():
        return StreamingPCA(
            algorithm="sketch", sketch_size=6, center=center, shuffle_buffer=shuffle, random_state=0
        )

    fewer = stream().partial_fit(X[:20]).delete(X[:10])
    never = stream().partial_fit(X[10:20])
    assert_allclose(fewer.mean_, never.mean_, rtol=1e-9)
    for name in ("eigenvalues_", "explained_variance_", "explained_variance_ratio_"):
        assert_allclose(getattr(fewer, name), getattr(never, name), rtol=1e-6)
    before = fewer.to_bytes()
    with pytest.raises(InvalidInputError, match="among"):
        fewer.delete(X[10:12] * 1e8)
    assert fewer.to_bytes() == before


def test_what_was_read_is_forgotten_with_the_next_row_even_if_that_is_interrupted():
    A = np.random.default_rng(0).normal(size=(200, 9))
    pca = StreamingPCA(algorithm="gram", random_state=0).fit(A[:100])
    _ = pca.components_
    # All that an interrupt right after the commit leaves.
    pca._state.add(A[100:], roots=None, threads=1)
    assert_array_equal(pca.components_, StreamingPCA(algorithm="gram", random_state=0).fit(A).components_)


def test_first_rows_by_several_threads_are_all_there():
    A = np.random.default_rng(0).normal(size=(600, 40))
    for _ in range(20):
        pca, gate = StreamingPCA(algorithm="gram", random_state=0), threading.Barrier(3)

        def work(block, pca=pca, gate=gate):
            gate.wait()
            pca.partial_fit(block)

        threads = [threading.Thread(target=work, args=(block,)) for block in np.split(A, 3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert pca.n_samples_seen_ == 600


def test_unfitted_streams_do_not_explain():
    with pytest.raises(NotFittedError):
        StreamingPCA().explain()


@pytest.mark.parametrize("algorithm", ["block_power", "incremental", "oja", "frequent_directions"])
@pytest.mark.parametrize("density", [0.02, 0.1, 0.3])
def test_signs_of_rows_with_zeros_change_no_bit(algorithm, density):
    for seed in range(6):
        rng = np.random.default_rng(seed)
        A = rng.normal(size=(40, 20)) * (rng.random((40, 20)) < density)
        signs = rng.choice([-1.0, 1.0], size=(40, 1))
        one = StreamingPCA(algorithm=algorithm, n_heavy=4, sketch_size=6, random_state=0).fit(A)
        two = StreamingPCA(algorithm=algorithm, n_heavy=4, sketch_size=6, random_state=0).fit(A * signs)
        assert_array_equal(one.components_, two.components_)
        assert_array_equal(one.eigenvalues_, two.eigenvalues_)


@pytest.mark.parametrize("algorithm", ["block_power", "auto"])
def test_one_column_that_grows_is_told(algorithm):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(12_000, 400))
    X[:, 0] *= np.linspace(0.1, 12, len(X))
    with pytest.warns(OrderWarning):
        StreamingPCA(algorithm=algorithm, random_state=0).fit(X)


def test_no_likelihood_without_noise():
    A = np.outer(np.arange(40.0), [1.0, 2.0, 3.0])
    pca = StreamingPCA(random_state=0).fit(A)
    with pytest.raises(InvalidInputError, match="variance"):
        pca.score(A)
    with pytest.raises(InvalidInputError, match="whiten"):
        StreamingPCA(whiten=3).fit(A)
