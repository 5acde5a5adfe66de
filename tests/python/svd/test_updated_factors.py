"""What an updated SVD is asked for: its rows and scores, its bits, their precision, how much it keeps."""

import os

import numpy as np
import pandas
import pytest
import scipy.sparse as sp
from reference.layouts import doubled, of_64_bits
from reference.signals import exit_code
from reference.svd_update import (
    EXACT,
    Truncated,
    factors,
    fitted,
    follow,
    orthogonality,
    power_law,
    product,
    scattered,
    scattered_rows,
    true_error,
)

from nearlin import TruncatedSVD

pytestmark = pytest.mark.filterwarnings("ignore::nearlin.exceptions.FallbackWarning")


def test_a_few_rows_and_scores_are_those_of_the_whole():
    model, _ = fitted(scattered())
    for _ in follow([model], scattered(), ["rows", "columns", "delete rows"], 20):
        pass
    U, s, V = factors(model)
    rng = np.random.default_rng(0)
    rows, cols = rng.integers(0, len(U), 50), rng.integers(0, len(V), 50)
    np.testing.assert_allclose(model.left_singular_vectors(rows), U[rows], rtol=1e-15, atol=1e-16)
    np.testing.assert_allclose(model.score_pairs(rows, cols), ((U * s) @ V.T)[rows, cols], atol=1e-14)
    assert model.left_singular_vectors([]).shape == (0, 8)
    assert model.score_pairs([], []).shape == (0,)


def bits(model):
    return b"".join(np.ascontiguousarray(factor).tobytes() for factor in factors(model))


def stream(n_jobs=None, layout=sp.csr_array):
    A = scattered(900, 300, 12)
    model = TruncatedSVD(8, random_state=0, n_jobs=n_jobs).fit(layout(A[:300]))
    for start in range(300, 900, 150):
        model.append_rows(layout(A[start : start + 150])).delete_rows(range(0, 40, 2))
    return bits(model.append_columns(layout(scattered(len(model.left_singular_vectors()), 20))))


def test_bits_do_not_depend_on_threads_or_the_order_of_entries():
    expected = stream(1)
    assert all(stream(n_jobs) == expected for n_jobs in (2, 3, 8))
    assert stream(layout=doubled) == expected


@pytest.mark.fork
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_bits_are_those_of_a_forked_child():
    expected = stream(2)
    child = os.fork()
    if not child:
        os._exit(0 if stream(2) == expected else 1)
    assert exit_code(child, 60) == 0


@pytest.mark.parametrize("method", EXACT)
def test_vectors_do_not_change_their_signs(method):
    model, _ = fitted(scattered(), 5, method)
    before, rng = factors(model)[0], np.random.default_rng(1)
    for _ in range(20):
        model.append_rows(0.3 * scattered_rows(rng, 2, 40))
        U, s, _ = factors(model)
        gaps = -np.diff(np.r_[2 * s[0], s, 0.0])
        clear = np.minimum(gaps[:-1], gaps[1:]) > 0.05 * s
        assert (np.sum(U[: len(before)] * before, axis=0)[clear] > 0.0).all()
        before = U


@pytest.mark.parametrize("method", EXACT)
def test_single_precision_is_followed_in_double(method):
    A = scattered().astype(np.float32)
    model = TruncatedSVD(8, oversample=0, method=method, random_state=0).fit(A)
    expected = Truncated(product(model), 8)
    rng = np.random.default_rng(0)
    for _ in range(30):
        batch = scattered_rows(rng, 3, 40).astype(np.float32)
        for one in (model, expected):
            one.append_rows(batch)
    assert {model.components_.dtype, model.left_singular_vectors().dtype} == {np.dtype(np.float32)}
    assert model.transform(A).dtype == np.float32
    np.testing.assert_allclose(model.singular_values_, expected.s, rtol=1e-6)
    assert orthogonality(model) <= 1e-5


@pytest.mark.parametrize("wrap", [np.asarray, np.asfortranarray, pandas.DataFrame, sp.csc_array, of_64_bits])
@pytest.mark.parametrize("dtype", [int, bool, np.int8, np.uint64, np.float32])
def test_batches_of_any_kind(dtype, wrap):
    batch = np.round(2.0 * scattered(7, seed=2).toarray())
    batch = abs(batch) if np.dtype(dtype).kind in "bu" else batch
    batch = batch.astype(dtype)
    plain = (sp.csr_array if wrap in (sp.csc_array, of_64_bits) else np.asarray)(batch.astype(float))
    assert bits(fitted(scattered())[0].append_rows(wrap(batch))) == bits(
        fitted(scattered())[0].append_rows(plain)
    )


def test_dense_and_sparse_batches_are_the_same_to_rounding():
    dense, sparse = (fitted(scattered())[0] for _ in range(2))
    batch, F = scattered(7, seed=2), scattered(67, 5, seed=3)
    dense.append_rows(batch.toarray()).append_columns(F.toarray()).update(np.ones((67, 1)), np.ones((45, 1)))
    sparse.append_rows(batch).append_columns(F).update(sp.csr_array(np.ones((67, 1))), np.ones((45, 1)))
    np.testing.assert_allclose(product(dense), product(sparse), atol=1e-12)
    half = np.eye(2, 45, dtype=np.float16)
    assert bits(dense.copy().append_rows(half)) == bits(dense.append_rows(half.astype(float)))


def test_nothing_but_zeros():
    model = TruncatedSVD(3, random_state=0).partial_fit(sp.csr_array((5, 4)))
    assert model.n_components_ == 0 or not model.singular_values_.any()
    model.append_rows(np.zeros((2, 4))).append_columns(np.zeros((7, 2)))
    assert (model.n_samples_seen_, model.n_features_in_, model.energy_) == (7, 6, 0.0)
    model.append_rows(np.eye(2, 6))
    np.testing.assert_allclose(model.singular_values_[:2], [1.0, 1.0], rtol=1e-14)
    assert model.n_components_ == 2 or not model.singular_values_[2:].any()
    assert np.isfinite(product(model)).all()
    assert true_error(model, np.pad(np.eye(2, 6), [(7, 0), (0, 0)])) <= 1e-14


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_what_is_kept_is_what_the_factors_need(dtype):
    """Rows of both sides, whatever came and went, and matrices of their order."""
    A = power_law(20_000, 10_000, 100_000).astype(dtype)
    model = TruncatedSVD(16, oversample=0, tol=1e-3, random_state=0).fit(A)
    for step in range(40):
        m, n = model.n_samples_seen_, model.n_features_in_
        model.append_rows(scattered(10, n, 5, seed=step)).append_columns(scattered(2, m + 10, 5, seed=step).T)
        model.delete_rows(range(10)).delete_columns([0, 1])
        size = np.dtype(dtype).itemsize
        # Of a row its level and its place, in vectors that have twice the room at most.
        most = 30_000 * (16 * size + 12) + 2 * 4096 * 16 * size + 2 * 12 * 24 * 16**2 + 2**16
        for held in (model.state_bytes_, len(model.to_bytes())):
            assert 30_000 * 16 * size <= held <= most
