"""Fewer rows than columns, and matrices that lack rank: LAPACK's rank, the shortest answer, nothing lost."""

from fractions import Fraction

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import regression as reference

import nearlin

ROUNDOFF = reference.UNIT_ROUNDOFF
SHAPES = [(1, 1), (1, 40), (3, 4), (40, 41), (40, 60), (25, 900), (130, 700), (400, 410)]
RANKS = [
    (60, 900, 20),
    (40, 41, 40),
    (41, 40, 39),
    (300, 310, 150),
    (700, 60, 20),
    (2000, 300, 299),
    (30, 30, 1),
]


def draw(n, d, rank=None, k=None, seed=0):
    rng = np.random.default_rng(seed)
    rank = min(n, d) if rank is None else rank
    A = rng.standard_normal((n, rank)) @ rng.standard_normal((rank, d)) / np.sqrt(rank)
    return A, rng.standard_normal(n if k is None else (n, k))


def check(A, b, result, rank):
    """Compare with gelsd: rank, residual and answer."""
    expected, _, gelsd_rank, _ = scipy.linalg.lstsq(A, b, lapack_driver="gelsd", cond=1e-13)
    assert result.rank == gelsd_rank == rank
    residual, least = (np.linalg.norm(b - A @ x, axis=0) for x in (result.x, expected))
    size = np.linalg.norm(b, axis=0) + np.linalg.norm(A) * np.linalg.norm(expected, axis=0)
    assert np.all(residual <= least * (1 + 1e-10) + 10 * ROUNDOFF * size)
    assert np.linalg.norm(result.x - expected) <= 1e-8 * np.linalg.norm(expected)
    assert result.certificate.estimate <= 4 * result.certificate.target


@pytest.mark.parametrize(("n", "d"), SHAPES)
@pytest.mark.parametrize("k", [None, 3])
def test_fewer_rows_than_columns(n, d, k):
    A, b = draw(n, d, k=k)
    check(A, b, nearlin.lstsq(A, b), min(n, d))


@pytest.mark.parametrize(("n", "d", "rank"), RANKS)
@pytest.mark.parametrize(
    "layout", [np.ascontiguousarray, np.asfortranarray, scipy.sparse.csr_array, scipy.sparse.csc_array]
)
def test_lack_of_rank(n, d, rank, layout):
    A, b = draw(n, d, rank, k=2)
    check(A, b, nearlin.lstsq(layout(A), b), rank)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 30),
    st.integers(1, 30),
    st.integers(0, 30),
    st.integers(0, 2**32),
    st.sampled_from([None, 2]),
)
def test_any_shape_and_rank(n, d, rank, seed, k):
    A, b = draw(n, d, min(n, d, rank + 1), k, seed)
    singular = np.linalg.svd(A, compute_uv=False)
    rank = min(n, d, rank + 1)
    if singular[rank - 1] > 1e-4 * singular[0]:
        check(A, b, nearlin.lstsq(A, b), rank)


def test_a_matrix_of_zeros():
    result = nearlin.lstsq(np.zeros((3, 7)), np.ones((3, 2)))
    assert result.rank == 0
    assert not result.x.any()
    np.testing.assert_allclose(result.residual_norm, np.sqrt(3))


@pytest.mark.parametrize("kappa", [1e3, 1e7, 1e10, 1e13])
@pytest.mark.parametrize(("n", "d"), [(40, 500), (200, 210)])
def test_backward_error_of_ill_conditioned_rows(n, d, kappa):
    A = reference.graded(d, n, kappa)[0].T.copy()
    b = A @ np.random.default_rng(1).standard_normal(d)
    result = nearlin.lstsq(A, b)
    assert result.rank == n
    assert result.certificate.estimate <= 4 * result.certificate.target
    assert np.linalg.norm(b - A @ result.x) <= 4 * ROUNDOFF * np.linalg.norm(A) * np.linalg.norm(result.x)
    row_space = np.linalg.qr(A.T)[0]
    outside = result.x - row_space @ (row_space.T @ result.x)
    assert np.linalg.norm(outside) <= 100 * ROUNDOFF * kappa * np.linalg.norm(result.x)


def test_columns_of_all_sizes_and_of_zeros():
    A, b = draw(30, 400)
    scale = np.logspace(-3, 3, 400)
    A *= scale
    A[:, 7] = 0.0
    result = nearlin.lstsq(A, b)
    check(A, b, result, 30)
    assert result.x[7] == 0.0


def exact(A, b):
    """The shortest answer for rows that are independent, by rational arithmetic."""
    A = np.vectorize(Fraction)(A)
    rows = np.hstack([A @ A.T, np.vectorize(Fraction)(b)[:, None]])
    for k in range(len(rows)):
        rows[k] /= rows[k, k]
        for i in range(len(rows)):
            if i != k:
                rows[i] -= rows[i, k] * rows[k]
    return A.T @ rows[:, -1]


@pytest.mark.parametrize("decades", [1, 4, 8, 12, 40])
@pytest.mark.parametrize(("n", "d"), [(1, 6), (4, 9), (7, 9), (8, 9), (9, 9)])
def test_columns_in_units_of_all_sizes(n, d, decades):
    for seed in range(3):
        A, b = draw(n, d, seed=seed)
        A *= 10.0 ** np.random.default_rng(seed).uniform(-decades, decades, d)
        result, x = nearlin.lstsq(A, b), exact(A, b)
        assert result.rank == n
        difference = np.linalg.norm((np.vectorize(Fraction)(result.x) - x).astype(float))
        assert difference <= 1e-11 * np.linalg.norm(x.astype(float))
        residual = (np.vectorize(Fraction)(A) @ np.vectorize(Fraction)(result.x) - b).astype(float)
        assert np.linalg.norm(residual) <= 1e-14 * np.linalg.norm(np.abs(A) @ np.abs(result.x))


@pytest.mark.parametrize(
    ("n", "d", "twins"), [(10, 20, 6), (40, 20, 4), (20, 20, 2), (19, 20, 2), (500, 60, 9)]
)
@pytest.mark.parametrize("decades", [2, 8, 12])
def test_columns_that_occur_again_in_units_of_all_sizes(n, d, twins, decades):
    A, b = draw(n, d)
    A[:, :twins] = A[:, :1]
    unit = 10.0 ** np.random.default_rng(1).uniform(-decades, decades, d)
    # By powers of two, so that they are alike to the last bit.
    unit[:twins] = 2.0 ** (np.round(decades * np.log2(10.0)) + np.arange(twins))
    b = A @ np.ones(d) if n > d - twins + 1 else b
    result = nearlin.lstsq(A * unit, b)
    assert result.rank == min(n, d - twins + 1)
    assert np.linalg.norm(A @ (unit * result.x) - b) <= 1e-12 * np.linalg.norm(b)
    # Columns that are alike but for their units share what they explain by the squares of these.
    share = result.x[:twins] / unit[:twins]
    np.testing.assert_allclose(share, share[0], rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-200, 1e-150, 1e150, 1e200])
def test_scales(scale):
    A, b = draw(30, 200)
    expected = nearlin.lstsq(A, b).x
    np.testing.assert_allclose(nearlin.lstsq(A * scale, b).x, expected / scale, rtol=1e-10)
    np.testing.assert_allclose(nearlin.lstsq(A, b * scale).x, expected * scale, rtol=1e-10)


@pytest.mark.parametrize("ridge", [1e-3, 10.0])
def test_ridge_and_weights(ridge):
    A, b = draw(30, 200, k=2)
    weight = np.random.default_rng(3).uniform(0.1, 9.0, 30)
    weight[4] = 0.0
    for options in ({"ridge": ridge}, {"sample_weight": weight}, {"ridge": ridge, "sample_weight": weight}):
        M, c = reference.explicit(A, b, **options)
        expected = reference.minimum_norm(M, c)
        result = nearlin.lstsq(scipy.sparse.csr_array(A), b, **options)
        assert np.linalg.norm(result.x - expected) <= 1e-8 * np.linalg.norm(expected)
        assert result.rank == (200 if "ridge" in options else 29)


def test_single_precision():
    A, b = (array.astype(np.float32) for array in draw(40, 300))
    result = nearlin.lstsq(A, b)
    assert result.x.dtype == np.float32
    assert result.rank == 40
    assert result.certificate.estimate <= 4 * result.certificate.target
    expected = reference.minimum_norm(A.astype(float), b.astype(float))
    assert np.linalg.norm(result.x - expected) <= 1e-6 * np.linalg.norm(expected)


def test_bits_do_not_depend_on_threads():
    A, b = draw(90, 4000, k=2)
    first, *others = [nearlin.lstsq(A, b, n_jobs=n).x for n in (1, 2, 5)]
    assert all(np.array_equal(other, first) for other in others)


@pytest.mark.filterwarnings("ignore::nearlin.exceptions.FallbackWarning")
@pytest.mark.parametrize("rcond", [0.0, 1e-300, 1e-30])
@pytest.mark.parametrize(
    ("a", "b", "weights", "x"),
    [
        ([[-0.02, 0, 0, 0], [-0.01, 0, 0, 2e10], [-0.01, 0, 0, 0]], [1, 2, 2], None, [-80, 0, 0, 6e-11]),
        ([[-2, 0, 0], [1, 0, 0]], [0, -1], [1, 1e11], [-1 / (1 + 4e-11), 0, 0]),
        ([[0.1, 0, 0, 0], [0.3, 0, 0, 5], [0.7, 0, 0, 0]], [1, 2, 2], None, [3, 0, 0, 0.22]),
        ([[1, 0, 0], [3, 0, 0]], [1, 2], None, [0.7, 0, 0]),
        ([[0, 0], [1, 0], [3, 0]], [5, 1, 2], None, [0.7, 0]),
    ],
)
@pytest.mark.parametrize("method", ["auto", "qr", "gram", "whitened"])
def test_no_cut_off_finds_more_directions_than_columns_that_are_not_zero(a, b, weights, x, rcond, method):
    a = np.array(a, dtype=float)
    b = np.array(b, dtype=float)
    rank = np.count_nonzero(a.any(axis=0))
    fit = nearlin.lstsq(a, b, rcond=rcond, sample_weight=weights, method=method, rng=0)
    np.testing.assert_allclose(fit.x, x, rtol=1e-12)
    assert fit.rank == rank
    several = nearlin.lstsq(
        a, np.stack([b, 2 * b], 1), rcond=rcond, sample_weight=weights, method=method, rng=0
    )
    np.testing.assert_allclose(several.x, np.outer(x, [1, 2]), rtol=1e-12)
    single = nearlin.lstsq(
        a.astype(np.float32), b.astype(np.float32), rcond=rcond, sample_weight=weights, method=method, rng=0
    )
    np.testing.assert_allclose(single.x, x, rtol=1e-5)
    product = nearlin.lstsq_kron([a, np.ones((1, 1))], b, rcond=rcond)
    assert product.rank == rank


@pytest.mark.parametrize("n", [2, 3, 4])
def test_no_cut_off_finds_a_direction_that_centring_took(n):
    rng = np.random.default_rng(n)
    a, b = rng.standard_normal((n, 3)), rng.standard_normal(n)
    fit = nearlin.LinearRegression(rcond=0.0, random_state=0).fit(a, b)
    assert fit.rank_ == n - 1
    np.testing.assert_allclose(fit.predict(a), b, atol=1e-12)


@pytest.mark.parametrize("rcond", [0.0, 1e-30, 1e-17])
@pytest.mark.parametrize("method", ["auto", "qr", "gram"])
@pytest.mark.filterwarnings("ignore::nearlin.exceptions.FallbackWarning")
def test_no_cut_off_makes_a_direction_of_rounding(rcond, method):
    a, b = np.zeros((3, 5)), np.array([3.0, -1, 1])
    a[:, :2] = [[-0.02, -0.04], [0, 0], [0.03, 0.06]]
    fit = nearlin.lstsq(a, b, rcond=rcond, method=method, rng=0)
    assert fit.rank == 1
    np.testing.assert_allclose(fit.x, np.linalg.lstsq(a, b, rcond=None)[0], rtol=1e-12)
    assert nearlin.lstsq_kron([a, np.ones((1, 1))], b, rcond=rcond).rank == 1
