"""Leverage scores and Lewis weights beside their definitions, on every layout, and with hostile input."""

from functools import partial

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
from hypothesis import given, settings
from reference import coreset as reference
from reference.coreset import GENERATORS
from reference.layouts import LAYOUTS, same_bits

import nearlin
from nearlin.exceptions import (
    AccuracyWarning,
    InvalidInputError,
    InvalidTypeError,
    NonFiniteError,
    ShapeError,
)

POWERS = [1.0, 1.3, 1.5, 2.0, 3.0, 4.0, 8.0]


@pytest.mark.parametrize("wrap", [np.asarray, np.asfortranarray, sp.csr_array, sp.csc_array])
@pytest.mark.parametrize("name", GENERATORS)
def test_leverages_are_those_of_the_decomposition(name, wrap):
    A = GENERATORS[name](1500, 12)
    found = nearlin.leverage_scores(wrap(A))
    np.testing.assert_allclose(found, reference.leverages(A), rtol=1e-8, atol=1e-14)
    assert found.sum() == pytest.approx(reference.rank(A), rel=1e-9)
    assert found.min() >= 0.0
    assert found.max() <= 1.0


@pytest.mark.parametrize("ridge", [1e-6, 1.0, 1e5])
@pytest.mark.parametrize("name", ["gaussian", "tabular", "one-hot"])
def test_ridge(name, ridge):
    A = GENERATORS[name](800, 10)
    expected = np.diag(A @ np.linalg.solve(A.T @ A + ridge * np.eye(10), A.T))
    for wrap in (np.asarray, sp.csr_array):
        np.testing.assert_allclose(nearlin.leverage_scores(wrap(A), ridge=ridge), expected, rtol=1e-6)


def conditioned(k, n=3000, d=12, seed=0):
    rng = np.random.default_rng(seed)
    U, V = (np.linalg.qr(rng.standard_normal((m, d)))[0] for m in (n, d))
    return U, U * np.logspace(0.0, -k, d) @ V.T


@pytest.mark.parametrize("k", range(2, 13))
def test_leverages_at_every_condition(k):
    U, A = conditioned(k)
    found, _ = nearlin._core.leverage_scores(
        A, sample_weight=None, p=2.0, ridge=0.0, eps=None, seed=0, threads=1, progress=None
    )
    truth = (U**2).sum(axis=1)
    # A itself, once rounded, has other scores: by about its condition in roundoffs.
    assert abs(found / truth - 1.0).max() < min(1e-3, 10.0 ** (k - 15) * 100 + 1e-9)
    assert found.sum() == pytest.approx(12.0, rel=1e-6)


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 60, reason="needs longer numbers")
@pytest.mark.parametrize("wrap", [np.asarray, np.asfortranarray, sp.csr_array])
@pytest.mark.parametrize("k", [4, 6, 7, 8, 10, 12, 13])
def test_scores_of_what_is_stored_are_no_worse_than_by_householder(k, wrap):
    """What is left is the condition of the columns in units of their norms; its square up to 1e4."""
    _, A = conditioned(k)
    found, truth = nearlin.leverage_scores(wrap(A)), reference.leverages_in_extended_precision(A)
    Q = scipy.linalg.qr(A / np.linalg.norm(A, axis=0), mode="economic")[0]
    by_householder = abs((Q**2).sum(axis=1) / truth - 1.0).max()
    error = abs(found / truth - 1.0).max()
    assert error < max(2.0 * by_householder, 1e-8 if k == 4 else 1e-13)
    assert error < 10.0 ** (k - 15) + 1e-8 * (k == 4) + 1e-12
    graded = A * np.logspace(0.0, -200.0, 12)
    assert abs(nearlin.leverage_scores(wrap(graded)) / truth - 1.0).max() < 10.0 ** (k - 14) + 1e-8


@pytest.mark.parametrize("k", [14, 15, 16, 17, 18, 30])
def test_at_the_edge_a_direction_is_there_or_not(k):
    """Whichever it is, scores are those of a matrix of that rank: projections, and those of what is sure."""
    U, V = conditioned(0)[0], np.linalg.qr(reference.gaussian(12, 12, 4))[0]
    A = U * np.r_[np.ones(11), 10.0**-k] @ V.T
    found = nearlin.leverage_scores(A)
    assert found.min() >= 0.0
    assert found.max() <= 1.0
    rank = 12 if found.sum() > 11.5 else 11
    assert found.sum() == pytest.approx(rank, rel=1e-6)
    assert rank == 12 or k > 13
    assert rank == 11 or k < 17
    if rank == 11:
        np.testing.assert_allclose(found, (U[:, :11] ** 2).sum(axis=1), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("gap", [1e-6, 1e-9, 1e-11])
def test_a_direction_that_is_almost_lost_is_there(gap):
    U, V = conditioned(0)[0], np.linalg.qr(reference.gaussian(12, 12, 4))[0]
    A = U * np.r_[np.ones(11), gap] @ V.T
    found = nearlin.leverage_scores(A)
    assert found.sum() == pytest.approx(12.0, rel=1e-3)
    np.testing.assert_allclose(found, (U**2).sum(axis=1), rtol=1e-3)


@pytest.mark.parametrize("wrap", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_columns_that_depend_on_each_other(wrap, dtype):
    A = np.hstack([GENERATORS["tabular"](900, 8), np.zeros((900, 2))])
    A = np.hstack([A, A[:, :1] + A[:, 1:2], A[:, 3:4] / 2]).astype(dtype)
    found = nearlin.leverage_scores(wrap(A))
    assert found.dtype == dtype
    np.testing.assert_allclose(found, reference.leverages(A[:, :8].astype(float)), rtol=1e-5, atol=1e-7)
    for p in (1.0, 3.0):
        assert nearlin.lewis_weights(wrap(A), p, tol=1e-6).sum() == pytest.approx(8.0, rel=1e-4)


@pytest.mark.parametrize("wrap", [np.asarray, np.asfortranarray, sp.csr_array, sp.csc_array])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fewer_rows_than_columns(wrap, dtype):
    A = (reference.gaussian(9, 4) @ reference.gaussian(4, 300, 1)).astype(dtype)
    A[7] = 0.0
    A *= np.float32(2.0) ** np.random.default_rng(2).integers(-60, 60, 300).astype(dtype)
    rtol = 1e-9 if dtype is np.float64 else 1e-4
    tall = reference.gaussian(9, 4)
    tall[7] = 0.0
    found = nearlin.leverage_scores(wrap(A))
    np.testing.assert_allclose(found, reference.leverages(tall), rtol=rtol, atol=rtol)
    assert found.dtype == dtype
    for p in (1.0, 3.0):
        np.testing.assert_allclose(
            nearlin.lewis_weights(wrap(A), p, tol=1e-6), reference.lewis(tall, p), rtol=max(rtol, 1e-4)
        )
    v = np.arange(9.0)
    np.testing.assert_allclose(
        nearlin.leverage_scores(wrap(A), sample_weight=v),
        reference.leverages(np.sqrt(v)[:, None] * tall),
        rtol=rtol,
        atol=rtol,
    )
    B = (reference.gaussian(9, 4) @ reference.gaussian(4, 300, 1)).astype(dtype)
    K = B.astype(float) @ B.T.astype(float)
    expected = np.diag(np.linalg.solve(K + 50.0 * np.eye(9), K))
    np.testing.assert_allclose(nearlin.leverage_scores(wrap(B), ridge=50.0), expected, rtol=10.0 * rtol)
    B[5, 17] = np.nan
    v = np.r_[np.ones(5), 0.0, np.ones(3)]
    assert nearlin.leverage_scores(wrap(B), sample_weight=v).sum() == pytest.approx(4.0, rel=1e-4)
    with pytest.raises(NonFiniteError, match=r"\[5, 17\]"):
        nearlin.leverage_scores(wrap(B))
    with pytest.raises(InvalidInputError, match="zero everywhere"):
        nearlin.leverage_scores(wrap(0.0 * A))


def test_wide_rows_take_memory_for_their_number_and_not_their_length():
    A = sp.random_array((5, 3_000_000), density=1e-5, rng=0, format="csr")
    np.testing.assert_allclose(nearlin.leverage_scores(A), 1.0, rtol=1e-10)
    np.testing.assert_allclose(nearlin.lewis_weights(A, 1.0), 1.0, rtol=1e-10)
    np.testing.assert_array_equal(nearlin.sample_rows(A, size=5, rng=0).indices, np.arange(5))
    assert nearlin.sensitivity_bounds(A, 3.0)[1] == pytest.approx(1.0)
    K = (A @ A.T).toarray()
    expected = np.diag(np.linalg.solve(K + 10.0 * np.eye(5), K))
    np.testing.assert_allclose(nearlin.leverage_scores(A, ridge=10.0), expected, rtol=1e-10)


def test_fewer_rows_than_columns_and_low_rank():
    A = reference.gaussian(7, 30)
    np.testing.assert_allclose(nearlin.leverage_scores(A), 1.0, rtol=1e-10)
    A = reference.gaussian(500, 4) @ reference.gaussian(4, 15, 1)
    np.testing.assert_allclose(nearlin.leverage_scores(A), reference.leverages(A), rtol=1e-9)
    assert nearlin.leverage_scores(np.ones((1, 1))) == [1.0]


@pytest.mark.parametrize("scale", [1e-310, 1e-200, 1e-30, 1e30, 1e160, 1e300])
@pytest.mark.parametrize("wrap", [np.asarray, sp.csr_array])
def test_any_unit(scale, wrap):
    A = GENERATORS["tabular"](600, 8)
    A[5] = 0.0
    S = A * np.r_[scale, 1.0, 1.0 / max(scale, 1e-300), np.ones(5)]
    # Numbers at the lower end have lost digits themselves.
    rtol = 1e-3 if scale < 1e-300 else 1e-8
    np.testing.assert_allclose(
        nearlin.leverage_scores(wrap(S)), reference.leverages(A), rtol=rtol, atol=1e-14
    )
    for p in (1.0, 4.0):
        expected = nearlin.lewis_weights(A, p, tol=1e-6)
        np.testing.assert_allclose(
            nearlin.lewis_weights(wrap(S), p, tol=1e-6), expected, rtol=max(rtol, 1e-5)
        )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_has_the_same_scores(layout):
    A = GENERATORS["tabular"](700, 8)
    wrapped = LAYOUTS[layout](A)
    np.testing.assert_allclose(
        nearlin.leverage_scores(wrapped), reference.leverages(A), rtol=1e-9, atol=1e-15
    )
    np.testing.assert_allclose(
        nearlin.lewis_weights(wrapped, 1.5, tol=1e-8), reference.lewis(A, 1.5), rtol=1e-7
    )


@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize("name", GENERATORS)
def test_lewis_weights_are_the_fixed_point(name, p):
    A = GENERATORS[name](1200, 10)
    w, info = nearlin.lewis_weights(A, p, tol=1e-9, max_iter=500, return_info=True)
    assert reference.lewis_residual(A, w, p) < 3e-8
    assert w.sum() == pytest.approx(reference.rank(A), rel=1e-7)
    assert info.rank == reference.rank(A)
    np.testing.assert_allclose(
        nearlin.lewis_weights(sp.csr_array(A), p, tol=1e-9, max_iter=500), w, rtol=1e-6, atol=1e-300
    )
    rough, info = nearlin.lewis_weights(A, p, return_info=True)
    assert reference.lewis_residual(A, rough, p) <= 0.05 >= info.residual
    assert info.n_passes <= 60
    if p == 2.0:
        np.testing.assert_allclose(w, nearlin.leverage_scores(A), rtol=1e-7)


def test_lewis_weights_agree_with_the_oracle():
    for p in (1.0, 1.5, 3.0, 6.0):
        A = GENERATORS["student"](400, 6)
        np.testing.assert_allclose(
            nearlin.lewis_weights(A, p, tol=1e-10, max_iter=300), reference.lewis(A, p), rtol=1e-8
        )


@pytest.mark.parametrize("p", [16.0, 30.0])
def test_lewis_weights_of_large_powers(p):
    for name in ("gaussian", "cauchy", "legendre"):
        A = GENERATORS[name](5000, 10)
        w = nearlin.lewis_weights(A, p)
        assert reference.lewis_residual(A, w, p) < 0.05


@pytest.mark.parametrize("p", [1.0, 1.5, 3.0])
def test_lewis_weights_do_not_change_with_the_basis_and_share_among_copies(p):
    A = GENERATORS["student"](500, 6)
    w = nearlin.lewis_weights(A, p, tol=1e-9)
    T = reference.gaussian(6, 6, 5)
    np.testing.assert_allclose(nearlin.lewis_weights(A @ T, p, tol=1e-9), w, rtol=1e-6)
    copies = np.vstack([A, np.repeat(A[:1], 2, axis=0)])
    copies[[0, 500, 501]] /= 3.0 ** (1.0 / p)
    shared = nearlin.lewis_weights(copies, p, tol=1e-9)
    np.testing.assert_allclose(shared[[0, 500, 501]], w[0] / 3.0, rtol=1e-6)
    np.testing.assert_allclose(shared[1:500], w[1:], rtol=1e-6)


@pytest.mark.parametrize("wrap", [np.asarray, sp.csr_array, sp.csc_array])
def test_weights_are_roots_in_front_of_rows(wrap):
    A = GENERATORS["tabular"](900, 8)
    v = np.random.default_rng(3).integers(0, 4, 900).astype(float)
    np.testing.assert_allclose(
        nearlin.leverage_scores(wrap(A), sample_weight=v),
        reference.leverages(np.sqrt(v)[:, None] * A),
        rtol=1e-9,
        atol=1e-15,
    )
    for p in (1.0, 3.0):
        B = v[:, None] ** (1.0 / p) * A
        found = nearlin.lewis_weights(wrap(A), p, tol=1e-8, sample_weight=v)
        np.testing.assert_allclose(found, nearlin.lewis_weights(B, p, tol=1e-8), rtol=1e-6)
        assert not found[v == 0.0].any()
        assert (found[v > 0.0] > 0.0).all()
    root = nearlin.root_leverage_scores(wrap(A), 1.5, sample_weight=v)
    expected = reference.leverages(v[:, None] ** (1.0 / 1.5) * A) ** 0.75
    np.testing.assert_allclose(root, expected, rtol=1e-8, atol=1e-15)


def test_single_precision_stays_so():
    A = GENERATORS["tabular"](900, 8).astype(np.float32)
    for wrap in (np.asarray, sp.csr_array):
        for found in (
            nearlin.leverage_scores(wrap(A)),
            nearlin.root_leverage_scores(wrap(A), 1.0),
            nearlin.lewis_weights(wrap(A), 1.0),
        ):
            assert found.dtype == np.float32
    exact = reference.leverages(A.astype(float))
    np.testing.assert_allclose(nearlin.leverage_scores(A), exact, rtol=1e-6)


@pytest.mark.parametrize("wrap", [np.asarray, sp.csr_array])
def test_approximate_scores_are_within_their_factor(wrap):
    A = sp.random_array((3000, 1500), density=0.01, rng=0, format="csr")
    A = A + sp.csr_array((np.ones(3000), (np.arange(3000), np.arange(3000) % 1500)), A.shape)
    exact = nearlin.leverage_scores(A)
    ratios = nearlin.leverage_scores(wrap(A.toarray() if wrap is np.asarray else A), eps=0.4, rng=0) / exact
    assert 0.6 < ratios.min() < 0.95
    assert 1.05 < ratios.max() < 1.4
    few = GENERATORS["gaussian"](500, 5)
    assert same_bits(nearlin.leverage_scores(few, eps=0.9, rng=1), nearlin.leverage_scores(few))


@pytest.mark.parametrize("wrap", [np.asarray, np.asfortranarray, sp.csr_array])
def test_bits_do_not_depend_on_threads(wrap):
    A = wrap(GENERATORS["tabular"](20_000, 20))
    for scores in (
        nearlin.leverage_scores,
        lambda A, n_jobs: nearlin.lewis_weights(A, 1.0, n_jobs=n_jobs),
        lambda A, n_jobs: nearlin.lewis_weights(A, 3.0, n_jobs=n_jobs),
    ):
        first = scores(A, n_jobs=1)
        assert all(same_bits(first, scores(A, n_jobs=n_jobs)) for n_jobs in (2, 3, 8))


@settings(max_examples=60)
@given(
    n=st.integers(1, 60),
    d=st.integers(1, 12),
    p=st.sampled_from(POWERS),
    zeros=st.floats(0.0, 0.95),
    seed=st.integers(0, 10_000),
    kind=st.sampled_from(["float", "int", "bool", "csr", "repeated"]),
)
def test_any_small_matrix(n, d, p, zeros, seed, kind):
    rng = np.random.default_rng(seed)
    A = np.where(rng.uniform(size=(n, d)) < zeros, 0.0, rng.integers(-4, 5, (n, d)).astype(float))
    A = {
        "float": lambda: A + 0.0,
        "int": lambda: A.astype(int),
        "bool": lambda: A.astype(bool),
        "csr": lambda: sp.csr_array(A),
        "repeated": lambda: np.repeat(A, 3, axis=0),
    }[kind]()
    D = A.toarray() if sp.issparse(A) else A.astype(float)
    if not D.any():
        with pytest.raises(InvalidInputError, match="zero everywhere"):
            nearlin.leverage_scores(A)
        return
    t = nearlin.leverage_scores(A)
    np.testing.assert_allclose(t, reference.leverages(D), atol=1e-9)
    w = nearlin.lewis_weights(A, p, tol=1e-6, max_iter=300)
    assert w.sum() == pytest.approx(reference.rank(D), rel=1e-4)
    assert ((w > 0.0) == D.any(axis=1)).all()
    assert w.max() <= 1.0
    assert reference.lewis_residual(D, w, p) < 1e-4


@pytest.mark.parametrize("scores", [nearlin.leverage_scores, partial(nearlin.lewis_weights, p=1.0)])
def test_bad_input(scores):
    A = GENERATORS["gaussian"](50, 3)
    for bad, where in ((np.nan, (7, 1)), (np.inf, (0, 0)), (-np.inf, (49, 2))):
        B = A.copy()
        B[where] = bad
        for wrap in (np.asarray, np.asfortranarray, sp.csr_array, sp.csc_array):
            with pytest.raises(NonFiniteError, match=rf"`A` contains .* at \[{where[0]}, {where[1]}\]"):
                scores(wrap(B))
    with pytest.raises(InvalidInputError, match="zero everywhere"):
        scores(np.zeros((5, 2)))
    with pytest.raises(ShapeError):
        scores(np.ones(5))
    with pytest.raises(ShapeError):
        scores(np.ones((0, 2)))
    with pytest.raises(InvalidTypeError):
        scores(A + 1j)
    for weight in (-np.ones(50), np.zeros(50), np.full(50, np.nan), np.ones(49)):
        with pytest.raises(InvalidInputError, match="sample_weight"):
            scores(A, sample_weight=weight)
    B = A.copy()
    B[7, 1] = np.nan
    weight = np.ones(50)
    weight[7] = 0.0
    assert scores(B, sample_weight=weight)[7] == 0.0


def test_bad_parameters():
    A = GENERATORS["gaussian"](50, 3)
    for p in (0.5, 31.0, np.nan, "2", None):
        with pytest.raises(InvalidInputError, match="`p`"):
            nearlin.lewis_weights(A, p)
    with pytest.raises(InvalidInputError, match="`p`"):
        nearlin.root_leverage_scores(A, 2.5)
    for options in ({"ridge": -1.0}, {"eps": 0.0}, {"eps": 1.0}, {"n_jobs": 0}, {"rng": "a", "eps": 0.5}):
        with pytest.raises(InvalidInputError, match=next(iter(options))):
            nearlin.leverage_scores(A, **options)
    for options in ({"tol": 0.0}, {"max_iter": 0}):
        with pytest.raises(InvalidInputError, match=next(iter(options))):
            nearlin.lewis_weights(A, 1.0, **options)
    with pytest.warns(AccuracyWarning, match="after 1 steps"):
        nearlin.lewis_weights(A, 4.0, max_iter=1)


def test_progress_is_told():
    steps = []
    nearlin.lewis_weights(
        GENERATORS["student"](500, 4),
        1.0,
        progress=lambda done, most, figures: steps.append((done, most, figures)),
    )
    *passes, end = steps
    assert [done for done, _, _ in passes] == list(range(1, len(steps)))
    assert len(passes) > 2
    assert passes[-1][2]["residual"] <= 0.05 < passes[-2][2]["residual"]
    assert end == (end[1], end[1], passes[-1][2])
    nearlin.leverage_scores(np.eye(3), progress=lambda *step: steps.append(step))
    assert [step[:2] for step in steps[-2:]] == [(1, 2), (2, 2)]
