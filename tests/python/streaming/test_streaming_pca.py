"""The estimator beside dense eigendecompositions, and as scikit-learn wants it."""

import pickle
import threading
import warnings

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from reference import streaming_instances as instances
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.utils.estimator_checks import parametrize_with_checks

import nearlin
from nearlin import StreamingPCA, _core
from nearlin.exceptions import (
    AllocationError,
    InvalidInputError,
    InvalidTypeError,
    NonFiniteError,
    OrderWarning,
    ShapeError,
    StateError,
)

ALGORITHMS = ["block_power", "incremental", "oja", "frequent_directions", "sketch", "gram", "auto"]
EXACT = ["block_power", "incremental", "gram", "auto"]
FORMS = {"C": np.ascontiguousarray, "F": np.asfortranarray, "CSR": sp.csr_array, "CSC": sp.csc_matrix}
PUBLIC = (
    "components_",
    "eigenvalues_",
    "singular_values_",
    "explained_variance_",
    "explained_variance_ratio_",
    "mean_",
)

# The cells are an iterator in scikit-learn up to 1.8.
CONFORMITY = parametrize_with_checks(
    [
        StreamingPCA(random_state=0),
        StreamingPCA(2, center=True, random_state=0),
        StreamingPCA(algorithm="block_power", random_state=0),
        StreamingPCA(algorithm="oja", order="arbitrary", random_state=0),
        StreamingPCA(algorithm="frequent_directions", random_state=0),
    ]
).mark


@pytest.mark.parametrize(CONFORMITY.args[0], list(CONFORMITY.args[1]), **CONFORMITY.kwargs)
def test_conforms_to_scikit_learn(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OrderWarning)
        check(estimator)


def spiked(n=3000, d=40, spike=4.0, seed=0):
    rng = np.random.default_rng(seed)
    v = np.where(np.arange(d) % 3 == 0, 1.0, 0.0)
    return rng.standard_normal((n, d)) + spike * rng.standard_normal((n, 1)) * v / np.linalg.norm(v)


def stream(algorithm, **parameters):
    return StreamingPCA(algorithm=algorithm, random_state=0, **parameters)


def read(pca):
    return [np.asarray(getattr(pca, name)) for name in PUBLIC] + [np.float64(pca.gap_)]


def assert_same_bits(one, two):
    for left, right in zip(read(one), read(two), strict=True):
        assert_array_equal(left, right)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_finds_the_top_eigenvector(algorithm, center, dtype):
    A = spiked().astype(dtype)
    A += dtype(3.0 if center else 0.0)
    pca = stream(algorithm, center=center).fit(A)
    B = A.astype(np.float64) - (A.mean(axis=0, dtype=np.float64) if center else 0.0)
    v, values = instances.truth(B)
    assert pca.components_.dtype == pca.eigenvalues_.dtype == dtype
    assert (pca.components_[0] @ v) ** 2 > (0.9 if algorithm == "oja" else 0.99)
    assert_allclose(pca.eigenvalues_[0], values[0], rtol=0.05 if algorithm in EXACT else 0.35)
    assert_allclose(pca.singular_values_**2, pca.eigenvalues_, rtol=1e-5)
    assert_allclose(pca.explained_variance_ratio_, pca.eigenvalues_ / np.sum(B**2), rtol=1e-4)
    assert_allclose(pca.explained_variance_, pca.eigenvalues_ / (len(A) - center), rtol=1e-5)
    assert_allclose(pca.mean_, A.mean(axis=0) if center else np.zeros(A.shape[1]), atol=1e-4)
    projected = pca.transform(A[:5])
    assert projected.dtype == dtype
    assert_allclose(projected, (A[:5] - pca.mean_) @ pca.components_.T, rtol=1e-3, atol=1e-3)
    assert_allclose(
        pca.inverse_transform(projected), projected @ pca.components_ + pca.mean_, rtol=1e-3, atol=1e-3
    )
    assert_allclose(pca.transform(sp.csr_array(A[:5])), projected, rtol=1e-3, atol=1e-3)
    assert pca.n_samples_seen_ == len(A)
    assert np.max(pca.components_) == np.max(np.abs(pca.components_))


@pytest.mark.parametrize("algorithm", ["block_power", "incremental", "frequent_directions", "gram"])
def test_several_components_are_orthonormal_and_right(algorithm):
    rng = np.random.default_rng(3)
    A = rng.standard_normal((4000, 50)) * np.r_[9.0, 6.0, 4.0, np.ones(47)]
    pca = stream(algorithm, n_components=3, sketch_size=20).fit(A)
    assert_allclose(pca.components_ @ pca.components_.T, np.eye(3), atol=1e-12)
    assert (np.abs(np.diag(pca.components_[:, :3])) > 0.99).all()
    assert pca.gap_ > 4.0
    assert pca.get_feature_names_out().tolist() == ["streamingpca0", "streamingpca1", "streamingpca2"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@hypothesis.given(st.lists(st.integers(0, 300), max_size=6), st.booleans(), st.sampled_from([0, 40]))
@hypothesis.settings(max_examples=6)
def test_no_cuts_change_a_bit(algorithm, cuts, center, shuffle_buffer):
    A = spiked(300, 9)
    whole = stream(algorithm, center=center, shuffle_buffer=shuffle_buffer).fit(A)
    pieces = stream(algorithm, center=center, shuffle_buffer=shuffle_buffer).partial_fit(A[:1])
    for piece in np.split(A[1:], sorted(min(cut, 299) for cut in cuts)):
        if len(piece):
            pieces.partial_fit(piece)
            _ = pieces.components_
    assert_same_bits(whole, pieces)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_no_layout_no_threads_and_no_iterator_change_a_bit(algorithm):
    A = spiked(500, 30)
    A[np.abs(A) < 0.5] = 0.0
    expected = stream(algorithm).fit(A)
    for form in FORMS.values():
        assert_same_bits(stream(algorithm).fit(form(A)), expected)
    for n_jobs in (1, 2, 3, 8):
        assert_same_bits(stream(algorithm, n_jobs=n_jobs).fit(A), expected)
    assert_same_bits(stream(algorithm).fit(iter(np.split(A, [7, 200]))), expected)
    assert_same_bits(stream(algorithm).fit(A[:, ::-1][:, ::-1]), expected)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_bytes_copies_and_pickles_go_on_alike(algorithm):
    A = spiked(400, 12)
    pca = stream(algorithm, center=True).partial_fit(A[:217])
    others = [pca.copy(), StreamingPCA.from_bytes(pca.to_bytes()), pickle.loads(pickle.dumps(pca))]
    pca.partial_fit(A[217:])
    for other in others:
        assert other.get_params() == pca.get_params()
        assert_same_bits(other.partial_fit(A[217:]), pca)
    assert not clone(pca).__sklearn_is_fitted__()
    fresh = StreamingPCA.from_bytes(stream(algorithm).to_bytes())
    assert_same_bits(fresh.fit(A), stream(algorithm).fit(A))


@pytest.mark.parametrize("algorithm", ["gram", "sketch", "frequent_directions", "block_power", "auto", "oja"])
def test_parts_merge(algorithm):
    A = spiked(3000, 40, 6.0)
    whole = stream(algorithm).fit(A)
    merged = stream(algorithm).fit(A[:1000])
    before = read(other := stream(algorithm).fit(A[1000:]))
    merged.merge(other, approximate=algorithm == "oja")
    assert [x.tolist() for x in read(other)] == [x.tolist() for x in before]
    assert merged.n_samples_seen_ == 3000
    v, _ = instances.truth(A)
    assert (merged.components_[0] @ v) ** 2 > 0.9
    if algorithm in ("gram", "sketch"):
        assert_allclose(merged.components_, whole.components_, atol=1e-10)
        assert_allclose(merged.eigenvalues_, whole.eigenvalues_, rtol=1e-12)
    if algorithm != "gram":
        assert "2 streams were merged" in merged.certificate_.note


def test_what_does_not_merge_says_why():
    A = spiked(300, 10)
    pca = stream("gram").fit(A)
    for other, kind in [
        (pca, InvalidInputError),
        (3, InvalidTypeError),
        (stream("sketch").fit(A), InvalidInputError),
        (stream("gram").fit(A[:, :9]), InvalidInputError),
        (stream("gram", center=True).fit(A), InvalidInputError),
    ]:
        with pytest.raises(kind, match="`other`"):
            pca.merge(other)
    with pytest.raises(InvalidInputError, match="approximate"):
        stream("oja").fit(A).merge(stream("oja").fit(A))


def test_rows_can_be_deleted_from_a_sketch():
    A = spiked(500, 20)
    pca, other = stream("sketch", center=True).fit(A), stream("sketch", center=True).fit(A[:400])
    pca.delete(A[400:])
    assert_allclose(pca.components_, other.components_, atol=1e-9)
    assert_allclose(pca.mean_, other.mean_, atol=1e-12)
    assert pca.n_samples_seen_ == 400
    with pytest.raises(InvalidInputError, match="algorithm"):
        stream("gram").fit(A).delete(A[:3])
    with pytest.raises(InvalidInputError, match="401 rows"):
        pca.delete(A[:401])


@pytest.mark.parametrize("center", [False, True])
def test_a_second_pass_shrinks_the_angle(center):
    A = instances.spiked(0, n=3000, d=320, variance=5.0) + (2.0 if center else 0.0)
    pca = stream("auto", center=center).fit(A)
    assert pca.algorithm_ == "block_power+incremental"
    v, values = instances.truth(A - A.mean(axis=0) * center)
    before = 1.0 - (pca.components_[0] @ v) ** 2
    pca.refine(iter(np.split(A, 4)))
    after = 1.0 - (pca.components_[0] @ v) ** 2
    assert after < before / 2.0
    assert float(pca.eigenvalues_[0]) <= values[0] * (1 + 1e-12)
    assert pca.certificate_.details["rayleigh_quotient"]["value"] <= values[0]
    pca.partial_fit(A[:1])
    assert "before the second pass" not in pca.certificate_.quantity


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_weight_is_as_many_rows(algorithm):
    A = spiked(50, 6)
    weights = np.arange(50) % 3
    pca = stream(algorithm).fit(A, sample_weight=weights)
    expected = instances.truth(np.repeat(A, weights, axis=0))
    assert pca.n_samples_seen_ == 50
    if algorithm not in ("oja",):
        assert abs(pca.components_[0] @ expected[0]) > (1 - 1e-9 if algorithm != "sketch" else 0.99)
    assert_allclose(pca.explained_variance_, pca.eigenvalues_ / weights.sum())


def test_few_rows_rank_one_and_zeros():
    rng = np.random.default_rng(1)
    for algorithm in ("block_power", "incremental", "auto"):
        for n in (1, 2, 20, 31):
            A = rng.standard_normal((n, 40))
            pca = stream(algorithm).fit(A)
            v, values = instances.truth(A)
            assert abs(pca.components_[0] @ v) > 1 - 1e-12
            assert_allclose(pca.eigenvalues_[0], values[0], rtol=1e-12)
            assert pca.certificate_.confidence == 1.0
        u = rng.standard_normal(40) / np.sqrt(40)
        A = rng.standard_normal((500, 1)) * u
        pca = stream(algorithm, n_components=2).fit(A)
        assert abs(pca.components_[0] @ u / np.linalg.norm(u)) > 1 - 1e-10
        assert_allclose(pca.eigenvalues_, [np.sum(A**2), 0.0], rtol=1e-10, atol=1e-6)
        zeros = stream(algorithm).fit(np.zeros((100, 4)))
        assert not zeros.components_.any()
        assert not zeros.eigenvalues_.any()
        assert np.isnan(float(zeros.certificate_))
        assert "zero" in zeros.certificate_.note
    for d in (1, 2):
        assert_allclose(np.abs(stream("block_power").fit(np.ones((99, d))).components_), d**-0.5)


@pytest.mark.parametrize("scale", [2.0**-498, 2.0**-100, 2.0**100, 2.0**498])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_any_unit_will_do(algorithm, scale):
    A = spiked(400, 10)
    pca, expected = stream(algorithm).fit(scale * A), stream(algorithm).fit(A)
    assert_array_equal(pca.components_, expected.components_)
    assert_array_equal(pca.eigenvalues_, scale**2 * expected.eigenvalues_)
    late = stream(algorithm).fit(np.vstack([A[:100], 1e150 * A[100:]]))
    assert np.isfinite(late.components_).all()


def test_single_precision_whose_squares_overflow():
    A = (1e25 * spiked(200, 10)).astype(np.float32)
    pca = stream("block_power").fit(A)
    v, _ = instances.truth(A.astype(np.float64) / 1e25)
    assert (pca.components_[0] @ v) ** 2 > 0.9
    assert np.isfinite(pca.components_).all()
    assert np.isinf(pca.eigenvalues_).all()
    large = stream("block_power").fit(1e160 * spiked(200, 10))
    assert np.isfinite(large.singular_values_).all()
    assert 0.0 < large.explained_variance_ratio_[0] < 1.0


def test_the_first_block_decides_about_precision():
    A = spiked(100, 5)
    assert stream("gram").partial_fit(A.astype(np.float32)).partial_fit(A).components_.dtype == np.float32
    assert stream("gram").partial_fit(A).partial_fit(A.astype(np.float32)).components_.dtype == np.float64


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rows", [1, 5, 32, 100])
@pytest.mark.parametrize("form", ["C", "CSR"])
def test_what_is_not_finite_is_named_and_changes_nothing(bad, rows, form):
    A = spiked(200, 7)
    pca = stream("block_power").partial_fit(A)
    before = pca.to_bytes()
    B = A[:rows].copy()
    B[rows // 2, 3] = bad
    with pytest.raises(NonFiniteError, match=rf"\[{rows // 2}, 3\]"):
        pca.partial_fit(FORMS[form](B))
    assert pca.to_bytes() == before


def test_wrong_widths_and_parameters_change_nothing():
    A = spiked(200, 7)
    pca = stream("block_power").partial_fit(A)
    before = pca.to_bytes()
    with pytest.raises(ValueError, match="6 features"):
        pca.partial_fit(A[:, :6])
    for weights in (-1.0, np.nan, [1.0, 2.0], np.full(200, np.inf)):
        with pytest.raises(InvalidInputError, match="sample_weight"):
            pca.partial_fit(A, sample_weight=weights)
    assert pca.to_bytes() == before
    for parameters in (
        {"n_components": 0},
        {"n_components": 8},
        {"order": "sorted"},
        {"algorithm": "block_power+incremental"},
        {"algorithm": "oja", "n_components": 2},
        {"algorithm": "oja_fixed"},
        {"block_width": 0},
        {"n_heavy": -1},
        {"sketch_size": 1, "algorithm": "sketch"},
        {"memory": 10},
        {"delta": 1.0},
        {"center": 1},
    ):
        with pytest.raises(InvalidInputError, match=next(iter(parameters)).split("_")[0]):
            StreamingPCA(**parameters).fit(A)
    with pytest.raises(InvalidInputError, match="no blocks"):
        StreamingPCA().fit(iter([]))


def test_memory_is_kept_to():
    A = spiked(1000, 400)
    sizes = []
    for memory in (None, 8 * 400 * 70, 8 * 400 * 37):
        pca = StreamingPCA(algorithm="block_power", memory=memory, random_state=0).fit(A)
        assert memory is None or pca.state_bytes_ <= memory
        sizes.append(pca.state_bytes_)
    assert sizes[0] == 8 * 400 * 88
    assert sizes == sorted(sizes, reverse=True)
    assert StreamingPCA(random_state=0).fit(A).state_bytes_ <= 8 * 400 * 97
    with pytest.raises(InvalidInputError, match=r"`memory`.*at least"):
        StreamingPCA(algorithm="block_power", memory=1000).fit(A)


def test_eigenvalues_keep_their_size_and_order_while_directions_still_change():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((20_000, 301))
    A[:, 0] *= 10.2
    A[:, 1] *= 9.8
    chosen = rng.choice(20_000, 20, replace=False)
    A[chosen] = 0.0
    A[chosen, 100] = 200.0 * rng.choice([-1, 1], 20)
    values = instances.truth(A - A.mean(axis=0))[1][:3]
    for algorithm in ("auto", "block_power"):
        for k in (3, 5):
            pca = stream(algorithm, n_components=k, center=True).fit(A)
            assert_allclose(pca.eigenvalues_[:3], values, rtol=0.2)
            assert (np.abs(pca.components_[[0, 1], :2]).max(axis=1) > 0.9).all()
    narrow = rng.standard_normal((10_000, 320)) * np.r_[1.2, 1.164, np.ones(318)]
    for algorithm in ("auto", "block_power"):
        value = stream(algorithm).fit(narrow).eigenvalues_[0]
        assert 0.6 < value / instances.truth(narrow)[1][0] < 1.1


def test_a_sketch_of_rows_that_are_all_the_same_has_no_direction():
    for rows in (np.full((50, 4), 3.3), 1e8 + np.zeros((40, 30))):
        pca = stream("sketch", center=True, sketch_size=16).fit(rows)
        assert not pca.components_.any()
    rows = np.random.default_rng(0).random((60, 4)) * 1e-3 + [2020, 1013.25, 300, 1e5]
    assert np.isfinite(stream("sketch", center=True).fit(rows).components_).all()


def test_what_makes_a_stream_does_not_change():
    A = spiked(200, 9)
    pca = stream("gram", n_components=2).fit(A)
    before = read(pca)
    for name, value in (("n_components", 3), ("center", True), ("algorithm", "sketch"), ("random_state", 7)):
        old = getattr(pca, name)
        pca.set_params(**{name: value})
        for change in (
            pca.partial_fit,
            pca.delete,
            lambda X: pca.merge(stream("gram", n_components=2).fit(X)),
        ):
            with pytest.raises(InvalidInputError, match=f"`{name}`"):
                change(A)
        for one, two in zip(read(pca), before, strict=True):
            assert_array_equal(one, two)
        pca.set_params(**{name: old})
    pca.set_params(n_components=3).fit(A)
    assert pca.n_components_ == 3


def test_settings_of_scikit_learn_are_kept():
    pandas = pytest.importorskip("pandas")
    A = pandas.DataFrame(spiked(50, 3), columns=list("abc"))
    pca = stream("gram", n_components=2).set_output(transform="pandas").fit(A)
    for twin in (clone(pca).fit(A), pca.copy(), pickle.loads(pickle.dumps(pca))):
        assert isinstance(twin.transform(A), pandas.DataFrame)
    with pytest.raises(InvalidInputError, match="names"):
        pca.merge(stream("gram", n_components=2).fit(A[["c", "a", "b"]]))
    with pytest.raises(InvalidInputError, match=r"block 1.*columns"):
        nearlin.top_eigenvector(iter([A, A[["c", "a", "b"]]]))
    refined = stream("block_power").fit(A).refine(A)
    assert_same_bits(pickle.loads(pickle.dumps(refined)), refined)
    with pytest.raises(InvalidInputError, match="0 rows"):
        refined.refine(iter([]))


def test_variances_of_weighted_rows_are_those_of_weights_in_any_unit():
    A = spiked(500, 6)
    weights = np.random.default_rng(0).random(500)
    pca = stream("gram", center=True).fit(A, sample_weight=weights)
    for factor in (1e-3, 1.0 / weights.sum(), 1e3):
        other = stream("gram", center=True).fit(A, sample_weight=factor * weights)
        assert_allclose(other.explained_variance_, pca.explained_variance_, rtol=1e-9)


def test_certificates_cover_rounding_to_single_precision_far_shifts_and_second_passes():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((400, 5)) * [1, 1, 1, 1, 1.5]
    single = stream("gram").fit(A.astype(np.float32))
    v, _ = instances.truth(A.astype(np.float32).astype(np.float64))
    assert np.linalg.norm(single.components_[0] - v * (single.components_[0] @ v)) <= float(
        single.certificate_
    )
    far = stream("gram", center=True).partial_fit(
        np.vstack([np.full((32, 5), 1e12), A]), sample_weight=np.r_[np.zeros(32), np.ones(400)]
    )
    near = stream("gram", center=True).fit(A)
    v, _ = instances.truth(A - A.mean(axis=0))
    for pca in (near, far, near.copy().merge(far)):
        found = pca.components_[0]
        assert np.linalg.norm(found - v * (found @ v)) <= float(pca.certificate_)
    tiny = 1e-90 * rng.standard_normal((500, 40))
    pca = stream("frequent_directions", sketch_size=2).fit(tiny)
    w = pca.components_[0]
    B = 1e90 * tiny
    expected = np.linalg.norm(B.T @ (B @ w) - w * np.sum((B @ w) ** 2)) / np.sum((B @ w) ** 2)
    assert_allclose(float(pca.refine(tiny).certificate_), expected, rtol=1e-6)
    nothing = stream("gram").fit(np.zeros((5, 3))).refine(np.zeros((5, 3)))
    assert np.isnan(float(nothing.certificate_))


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_weights_out_of_range_are_refused_and_large_entries_among_small_ones_are_kept(algorithm, center):
    A = spiked(90, 7)
    pca = stream(algorithm, center=center)
    for weight in (1e-170, 1e170, 1e308):
        with pytest.raises(InvalidInputError, match="sample_weight"):
            pca.partial_fit(A, sample_weight=np.full(90, weight))
    assert not hasattr(pca, "n_features_in_")
    pca.partial_fit(A, sample_weight=np.full(90, 1e100))
    assert np.isfinite(pca.components_).all()
    A = spiked(700, 7)
    A[500, 2] = 1e163
    pca = stream(algorithm, center=center).fit(A)
    assert_same_bits(pickle.loads(pickle.dumps(pca)), pca)


def test_streams_of_oja_merge_one_after_the_other():
    A = spiked(900, 12, 6.0)
    pca = stream("oja").fit(A[:300])
    for part in (A[300:600], A[600:]):
        pca.merge(stream("oja").fit(part), approximate=True)
    assert pca.n_samples_seen_ == 900
    few = stream("oja").fit(A[:5]).merge(stream("oja").fit(A[5:9]), approximate=True).partial_fit(A[9:])
    assert few.n_samples_seen_ == 900


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_rows_that_are_all_alike_are_in_no_order(algorithm):
    row = np.random.default_rng(0).standard_normal(320)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for rows in (np.tile(row, (1000, 1)), np.tile(row, (1000, 1)) * np.resize([1, -1], (1000, 1))):
            pca = stream(algorithm).fit(rows)
            assert abs(pca.components_[0] @ row) / np.linalg.norm(row) > 1 - 1e-6


def test_directions_without_end_are_told():
    with pytest.raises(InvalidInputError, match="learning_rate"):
        stream("oja_fixed", learning_rate=1e30).fit(spiked(3000, 5))


def test_damaged_bytes_are_refused():
    data = stream("auto").fit(spiked(200, 7)).to_bytes()
    for damaged in (b"", data[:50], data[:-1], data[:200] + b"x" + data[201:]):
        with pytest.raises(StateError):
            StreamingPCA.from_bytes(damaged)


def test_rows_in_order_are_told():
    A = np.vstack([spiked(4000, 320, 6.0), np.random.default_rng(5).standard_normal((8000, 320))])
    with pytest.warns(OrderWarning, match="shuffled"):
        pca = StreamingPCA(random_state=0).fit(A)
    assert pca.order_statistic_ > 6
    assert np.isnan(float(pca.certificate_))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pca = StreamingPCA(random_state=0).fit(np.random.default_rng(6).permutation(A))
        assert pca.order_statistic_ < 6
        assert float(pca.certificate_) < 0.2
        assert StreamingPCA(order="arbitrary", random_state=0).fit(A).algorithm_ == "oja"


def test_what_is_read_does_not_disturb_the_stream():
    A = spiked(700, 25)
    pca, other = stream("block_power"), stream("block_power")
    for row in A:
        pca.partial_fit(row[np.newaxis])
        if pca.n_samples_seen_ % 50 == 0:
            _ = pca.components_, pca.certificate_
    assert_same_bits(pca, other.fit(A))


def test_threads_that_share_a_stream_wait_for_each_other():
    A = spiked(4000, 30)
    pca = stream("gram").partial_fit(A[:1])
    pieces = np.split(A[1:], 8 * np.arange(1, 4))

    def work(piece):
        for block in np.array_split(piece, 20):
            if len(block):
                pca._state.add(block, roots=None, threads=1)

    threads = [threading.Thread(target=work, args=(piece,)) for piece in pieces]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pca.n_samples_seen_ == 4000
    assert_allclose(pca.eigenvalues_, stream("gram").fit(A).eigenvalues_, rtol=1e-12)


def test_counters_go_beyond_32_bits():
    state = _core.StreamingPCAState(
        3,
        k=1,
        order="random",
        algorithm="gram",
        width=8,
        heavy=32,
        sketch=32,
        memory=None,
        shuffle=0,
        rate=None,
        t0=None,
        center=False,
        delta=0.01,
        seed=0,
    )
    state.add(np.ones((64, 3)), roots=None, threads=1)
    for _ in range(32):
        state.merge(state.copy(), approximate=False, threads=1)
    assert state.seen == 64 << 32
    answer = state.answer(threads=1)
    assert_allclose(answer["eigenvalues"][0], 3.0 * 2.0**38)


class TestTopEigenvector:
    def test_is_what_the_estimator_finds(self):
        A = instances.spiked(1, n=2000, d=310, variance=6.0)
        found = nearlin.top_eigenvector(A, rng=0)
        pca = StreamingPCA(random_state=found_seed(0)).fit(A)
        assert_array_equal(found.vector, pca.components_[0])
        assert found.algorithm == "block_power+incremental"
        assert found.n_rows == 2000
        assert found.state_bytes == pca.state_bytes_
        assert "random order" in found.explain()
        assert "certificate" in repr(found)
        blocks = nearlin.top_eigenvector((A[i : i + 100] for i in range(0, 2000, 100)), rng=0)
        assert_array_equal(blocks.vector, found.vector)

    def test_blocks_that_do_not_fit_are_named(self):
        with pytest.raises(ShapeError, match="block 1: has 4 columns"):
            nearlin.top_eigenvector(iter([np.ones((3, 5)), np.ones((3, 4))]))
        with pytest.raises(InvalidInputError, match="rows"):
            nearlin.top_eigenvector(iter([]))
        with pytest.raises(NonFiniteError, match="`rows`"):
            nearlin.top_eigenvector(np.full((3, 2), np.nan))

    def test_what_an_iterator_raises_ends_the_call(self):
        def blocks():
            yield np.ones((3, 5))
            raise LookupError("gone")

        with pytest.raises(LookupError, match="gone"):
            nearlin.top_eigenvector(blocks())

    def test_one_bar_counts_the_rows_of_an_iterator(self, capsys):
        pytest.importorskip("tqdm")
        blocks = (np.eye(5)[:3] for _ in range(4))
        nearlin.top_eigenvector(blocks, progress=True, rng=0)
        shown = capsys.readouterr().err
        assert shown.count("\n") == 1
        assert "12/12" in shown

    def test_progress_weights_and_sparse_rows(self):
        A, told = spiked(300, 20), []
        nearlin.top_eigenvector(A, progress=lambda done, total, figures: told.append((done, total)), rng=0)
        assert told[-1] == (300, 300)
        weights = np.random.default_rng(0).integers(0, 3, 300)
        found = nearlin.top_eigenvector(sp.csr_array(A), sample_weight=weights, rng=0)
        v, values = instances.truth(np.repeat(A, weights, axis=0))
        assert abs(found.vector @ v) > 1 - 1e-12
        assert_allclose(found.value, values[0])


def found_seed(rng):
    from nearlin._validation import as_seed

    return as_seed(rng)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_components", [1, 3, 6])
def test_the_covariance_is_the_one_of_scikit_learn(n_components, dtype):
    rng = np.random.default_rng(3)
    A = (rng.standard_normal((400, 6)) @ rng.standard_normal((6, 6)) + 5.0).astype(dtype)
    ours = StreamingPCA(n_components, center=True, random_state=0).fit(A)
    theirs = PCA(n_components, svd_solver="full").fit(A.astype(np.float64))
    tol = 1e-4 if dtype == np.float32 else 1e-8
    for name in ("get_covariance", "get_precision"):
        found, expected = getattr(ours, name)(), getattr(theirs, name)()
        assert found.dtype == dtype
        assert_allclose(found, expected, rtol=tol, atol=tol * abs(expected).max())


def test_a_covariance_without_an_inverse_or_room_is_an_error():
    flat = StreamingPCA(random_state=0).fit(np.eye(3)[[0, 0, 0]])
    with pytest.raises(InvalidInputError, match="without variance"):
        flat.get_precision()
    wide = StreamingPCA(algorithm="block_power", random_state=0).fit(sp.eye_array(3, 2_000_000, format="csr"))
    with pytest.raises(AllocationError, match="covariance of 32000000000000 bytes"):
        wide.get_covariance()
