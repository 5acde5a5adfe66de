"""Factors of A'A of sparse rows: dense, pivoted and sparse."""

import re
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from reference import regression as reference
from scipy.linalg import cho_solve_banded, cholesky_banded

import nearlin
from nearlin.exceptions import AccuracyWarning, FallbackWarning, InvalidInputError

FACTORS = ["gram", "sparse_cholesky"]


def uniform(n=400, d=30, density=0.15, seed=0):
    """Return scattered entries, their rows of all lengths, and right-hand sides with a residual."""
    rng = np.random.default_rng(seed)
    A = sp.random(n, d, density, "csr", random_state=rng, data_rvs=rng.standard_normal)
    return A, A @ rng.standard_normal((d, 2)) + rng.standard_normal((n, 2))


def one_hot(n, levels, *, constant=False, seed=0):
    """Return indicators of groups, each level present, perhaps beside a column of ones."""
    rng = np.random.default_rng(seed)
    blocks = []
    for count in levels:
        column = np.concatenate([np.arange(count), rng.integers(count, size=n - count)])
        blocks.append(sp.csr_array((np.ones(n), column, np.arange(n + 1)), shape=(n, count)))
    if constant:
        blocks.append(sp.csr_array(np.ones((n, 1))))
    return sp.hstack(blocks, "csr"), rng.standard_normal(n)


def messy(A):
    """Return the same matrix with unsorted and repeated 64-bit indices."""
    A = sp.csr_array(A)
    rows = np.repeat(np.arange(A.shape[0]), np.diff(A.indptr))
    rows, cols = np.concatenate([rows, rows]), np.concatenate([A.indices, A.indices]).astype(np.int64)
    data = np.concatenate([0.25 * A.data, 0.75 * A.data])
    order = np.lexsort((np.random.default_rng(0).permutation(len(rows)), rows))
    ends = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=A.shape[0]))]).astype(np.int64)
    result = sp.csr_array(A.shape, dtype=A.dtype)
    result.data, result.indices, result.indptr = data[order], cols[order], ends
    return result


FORMS = {
    "csr": sp.csr_array,
    "csc": sp.csc_array,
    "messy": messy,
    "single": lambda A: sp.csr_array(A, dtype=np.float32),
}


@pytest.mark.parametrize("ridge", [0.0, 1e-8, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("method", FACTORS)
def test_backward_error_of_every_form(method, form, weighted, ridge):
    A, b = uniform()
    A = FORMS[form](A)
    w = np.arange(400.0) % 4 if weighted else None
    result = nearlin.lstsq(A, b.astype(A.dtype), method=method, ridge=ridge, sample_weight=w)
    assert (result.method, result.rank) == (method, 30)
    M, c = reference.explicit(A.toarray(), b.astype(A.dtype), ridge=ridge, sample_weight=w)
    u = np.finfo(A.dtype).eps / 2
    assert np.all(reference.backward_error(M, c, result.x) <= 4 * u)


@pytest.mark.parametrize("ridge", [0.0, 2.0])
@pytest.mark.parametrize("method", FACTORS)
def test_an_intercept_leaves_sparse_rows_as_they_are(method, ridge):
    A, b = uniform()
    A = sp.csr_array(A + sp.csr_array((np.full(400, 3.0), (np.arange(400), np.zeros(400, int))), A.shape))
    w = np.arange(400.0) % 3 + 0.5
    model = nearlin.Ridge(alpha=ridge, method=method).fit(A, b, sample_weight=w)
    assert model.method_ == method
    D = A.toarray() - np.average(A.toarray(), axis=0, weights=w)
    c = b - np.average(b, axis=0, weights=w)
    M, c = reference.explicit(D, c, ridge=ridge, sample_weight=w)
    assert np.all(reference.backward_error(M, c, model.coef_.T) <= 1e-15)


@pytest.mark.parametrize("mean", [30.0, 1e3, 3e4])
@pytest.mark.parametrize("method", FACTORS)
def test_means_far_above_the_spread_cost_no_digits(method, mean):
    rng = np.random.default_rng(0)
    A, b = uniform()
    A = sp.hstack([A, sp.csr_array(mean + rng.standard_normal((400, 1)))], "csr")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FallbackWarning)
        model = nearlin.LinearRegression(method=method).fit(A, b[:, 0])
    D = A.toarray().astype(np.longdouble)
    D, c = D - D.mean(axis=0), b[:, 0] - b[:, 0].mean()
    x = np.linalg.lstsq(D.astype(float), c)[0]
    np.testing.assert_allclose(model.coef_, x, rtol=1e-15 * mean * 100, atol=1e-15 * mean * 100)


DEFICIENT = {
    "one-hot": lambda: one_hot(600, [4, 9, 20]),
    "one-hot and a constant": lambda: one_hot(600, [4, 9, 20], constant=True),
    "disconnected halves": lambda: (
        sp.block_diag([one_hot(200, [5, 8])[0], one_hot(300, [6, 7], seed=1)[0]], "csr"),
        np.random.default_rng(2).standard_normal(500),
    ),
    "a column twice": lambda: (lambda A, b: (sp.hstack([A, A[:, [3]], 2.0 * A[:, [5]]], "csr"), b[:, 0]))(
        *uniform()
    ),
    "columns of zeros": lambda: (
        lambda A, b: (sp.hstack([A[:, :5], sp.csr_array((400, 2)), A[:, 5:]], "csr"), b[:, 0])
    )(*uniform()),
    "ones": lambda: (sp.csr_array(np.ones((50, 4))), np.arange(50.0)),
}


@pytest.mark.parametrize("method", FACTORS)
@pytest.mark.parametrize("name", DEFICIENT)
def test_ranks_are_exact_and_answers_shortest(name, method):
    A, b = DEFICIENT[name]()
    result = nearlin.lstsq(A, b, method=method)
    x, _, rank, _ = np.linalg.lstsq(A.toarray(), b)
    assert (result.method, result.rank) == (method, rank)
    np.testing.assert_allclose(result.x, x, rtol=1e-10, atol=1e-11 * np.abs(x).max())
    assert np.linalg.norm(result.x) <= np.linalg.norm(x) * (1 + 1e-10)
    assert np.all(result.x[np.diff(sp.csc_array(A).indptr) == 0] == 0.0)
    assert result.certificate.met


@pytest.mark.parametrize("method", FACTORS)
@pytest.mark.parametrize("weighted", [False, True])
def test_one_hot_features_under_an_intercept(weighted, method):
    A, b = one_hot(600, [4, 9, 20])
    w = np.arange(600.0) % 3 + 0.5 if weighted else np.ones(600)
    model = nearlin.LinearRegression(method=method).fit(A, b, sample_weight=w)
    D = A.toarray() - np.average(A.toarray(), axis=0, weights=w)
    root = np.sqrt(w)[:, None]
    x, _, rank, _ = np.linalg.lstsq(root * D, root[:, 0] * (b - np.average(b, weights=w)), rcond=1e-12)
    assert (model.method_, model.rank_) == (method, rank)
    np.testing.assert_allclose(model.coef_, x, atol=1e-12)


@pytest.mark.parametrize("noise", [0.0, 1e-6, 1.0])
@pytest.mark.parametrize("method", FACTORS)
def test_a_condition_beyond_the_factor_is_handed_on(method, noise):
    rng = np.random.default_rng(0)
    for kappa in 10.0 ** np.arange(1, 14, 2):
        A = sp.random(600, 20, 0.3, "csc", random_state=rng, data_rvs=rng.standard_normal)
        A = sp.hstack(
            [A[:, :10], A[:, :10] + A[:, 10:] @ sp.diags(np.logspace(0, -np.log10(kappa), 10))], "csr"
        )
        b = A @ rng.standard_normal(20) + noise * rng.standard_normal(600)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FallbackWarning)
            result = nearlin.lstsq(A, b, method=method)
        assert reference.backward_error(A.toarray(), b, result.x) <= 4 * np.finfo(float).eps
        assert result.method == method or kappa > 1e5
        assert result.method != method or kappa < 1e9


def test_long_rows_full_columns_and_nothing_at_all():
    rng = np.random.default_rng(0)
    A, b = uniform()
    full = sp.vstack([A, sp.csr_array(rng.standard_normal((1, 30)))], "csr")
    full = sp.hstack([full, sp.csr_array(np.ones((401, 1)))], "csr")
    for method in FACTORS:
        x = nearlin.lstsq(full, np.append(b[:, 0], 1.0), method=method).x
        assert reference.backward_error(full.toarray(), np.append(b[:, 0], 1.0), x) <= 4e-16
        assert nearlin.lstsq(sp.csr_array([[2.0]]), [6.0], method=method).x == [3.0]
        assert not nearlin.lstsq(sp.csr_array((6, 4)), np.ones(6), method=method).x.any()
        scale = np.repeat([1e180, 1e-180, 1.0], 10)
        x, scaled = (nearlin.lstsq(B, b[:, 0], method=method).x for B in (A, A @ sp.diags(scale)))
        np.testing.assert_allclose(scaled * scale, x, rtol=1e-12)


@pytest.mark.parametrize("method", [*FACTORS, "cg", "auto"])
@pytest.mark.parametrize("nullity", [0, 1, 7, 8, 63, 65])
def test_as_many_directions_are_missing_as_were_left_out(method, nullity):
    # Pairs of factors beside one another: each pair lacks one direction.
    pairs = [one_hot(60, [3, 4], seed=seed)[0] for seed in range(nullity)]
    rest = uniform(300, 20)[0]
    A = sp.block_diag([*pairs, rest], "csr")
    b = np.random.default_rng(1).standard_normal(A.shape[0])
    # One draw in fifty of 64 random vectors does not tell 63 directions from 64.
    result = nearlin.lstsq(A, b, method=method, rng=0)
    d = A.shape[1]
    if method == "cg" and nullity > 64:
        assert (result.rank, result.method) == (None, "cg")
        assert "there may be shorter answers" in result.explanation
        return
    assert result.rank == d - nullity
    x = np.linalg.lstsq(A.toarray(), b)[0]
    np.testing.assert_allclose(result.x, x, atol=1e-10 * np.abs(x).max())


@pytest.mark.parametrize("far", [1.0, 1e3, 1e9])
def test_a_connected_network_lacks_one_direction_whatever_the_units(far):
    side = 40
    points = np.arange(side * side).reshape(side, side)
    ties = [
        np.c_[points[:, :-1].ravel(), points[:, 1:].ravel()],
        np.c_[points[:-1].ravel(), points[1:].ravel()],
    ]
    ends = np.concatenate(ties)
    rows = np.repeat(np.arange(len(ends)), 2)
    A = sp.csr_array((np.tile([1.0, -1.0], len(ends)), (rows, ends.ravel())))
    units = np.where(np.arange(side * side) % 7 == 0, far, 1.0)
    b = np.random.default_rng(0).standard_normal(len(ends))
    result = nearlin.lstsq(A @ sp.diags_array(units), b, method="sparse_cholesky" if far < 1e6 else "auto")
    assert result.rank == side * side - 1
    assert result.certificate.met
    # The potentials of least norm are at right angles to the one that is the same everywhere.
    null = 1.0 / units / np.linalg.norm(1.0 / units)
    assert abs(null @ result.x) <= 1e-11 * np.linalg.norm(result.x)
    assert (result.method == "sparse_cholesky") == (far < 1e6)


def test_a_grid_is_solved_by_its_sparse_factor():
    m = 30
    D, E = sp.diags([np.ones(m), -np.ones(m - 1)], [0, 1]), sp.eye(m)
    A = sp.vstack([sp.kron(D, E), sp.kron(E, D), 1e-2 * sp.eye(m * m)], "csr")
    b = np.random.default_rng(0).standard_normal(A.shape[0])
    result = nearlin.lstsq(A, b, method="sparse_cholesky", ridge=[1e-3])
    assert result.method == "sparse_cholesky"
    assert "A'A has 2" in result.explanation
    M, c = reference.explicit(A.toarray(), b, ridge=1e-3)
    assert reference.backward_error(M, c, result.x) <= 4e-16
    bits = [nearlin.lstsq(A, b, method="sparse_cholesky", n_jobs=jobs).x for jobs in (1, 2, 3)]
    assert np.array_equal(bits[0], bits[1])
    assert np.array_equal(bits[0], bits[2])


def test_bits_of_the_dense_factor_do_not_depend_on_the_threads():
    A, b = uniform(4000, 60, 0.3)
    bits = [nearlin.lstsq(A, b, method="gram", n_jobs=jobs).x for jobs in (1, 2, 3, 8)]
    assert all(np.array_equal(bits[0], other) for other in bits)


def test_a_dense_array_has_no_sparse_factor():
    with pytest.raises(InvalidInputError, match="'sparse_cholesky' for a dense array"):
        nearlin.lstsq(np.eye(3), np.ones(3), method="sparse_cholesky")


def test_a_product_with_too_many_entries_is_handed_on():
    rng = np.random.default_rng(0)
    A = sp.random(3000, 1200, 0.02, "csr", random_state=rng, data_rvs=rng.standard_normal)
    b = rng.standard_normal(3000)
    with pytest.warns(FallbackWarning):
        result = nearlin.lstsq(A, b, method="sparse_cholesky")
    assert "has too many entries" in result.explanation


def bumps(n, d, width=6):
    """Return smooth bumps on a few neighbours each, here and there hardly more of them than columns."""
    rng = np.random.default_rng(0)
    first = np.sort(rng.integers(0, d - width + 1, n))
    first[: d - width + 1] = np.arange(d - width + 1)
    k = np.arange(width)
    values = np.exp(-0.5 * ((k - (width - 1) * rng.random((n, 1))) / 1.2) ** 2)
    rows = np.arange(0, n * width + 1, width)
    A = sp.csr_array((values.ravel(), (first[:, None] + k).ravel(), rows), shape=(n, d))
    return A, A @ rng.standard_normal((d, 2)) + rng.standard_normal((n, 2))


def karlson_walden_of_bands(A, b, x, width=6):
    """Return a bound on the estimate: that for a damping no larger, by as much as it is less."""
    norms = np.sqrt((A * A).sum(axis=0))
    exact = sp.csr_array((A.data.astype(np.longdouble), A.indices, A.indptr), shape=A.shape)
    residual = b - exact @ x.astype(np.longdouble)
    gradient = np.asarray(exact.T @ residual / norms, float)
    size, frobenius = np.linalg.norm(x * norms), np.sqrt(len(norms))
    scale = frobenius / np.hypot(np.linalg.norm(b), frobenius * size)
    damping = scale * float(np.sqrt(residual @ residual))
    columns = A @ sp.diags_array(1.0 / norms)
    gram, shift = columns.T @ columns, max(1e-13, damping**2)
    bands = np.zeros((width, len(norms)))
    for k in range(width):
        bands[width - 1 - k, k:] = gram.diagonal(k)
    bands[-1] += shift
    square = gradient @ cho_solve_banded((cholesky_banded(bands), False), gradient)
    return scale / frobenius * np.sqrt(square) * max(1.0, np.sqrt(shift) / damping)


@pytest.mark.parametrize("method", ["auto", "sparse_cholesky"])
def test_beyond_the_condition_of_products_and_the_size_of_sketches_a_shifted_factor_helps(method):
    A, B = bumps(40_000, 13_000)
    result = nearlin.lstsq(A, B, method=method, rng=0)
    assert result.method == "sparse_cholesky"
    assert "sparse_cholesky (shifted): backward error" in result.explanation
    assert result.rank is None
    assert result.certificate.met
    bounds = result.certificate.details["backward_error_bound"]
    for b, x, bound in zip(B.T, result.x.T, bounds, strict=True):
        assert karlson_walden_of_bands(A, b, x) <= min(4 * reference.UNIT_ROUNDOFF, bound)


def test_what_does_not_settle_with_a_shifted_factor_is_where_other_iterations_begin_and_may_be_the_best():
    A, B = bumps(13_000, 12_500)
    b = B[:, 0]
    with pytest.warns(AccuracyWarning):
        result = nearlin.lstsq(A, b, rng=0)
    assert [stage[0] for stage in result.stages[-2:]] == ["sparse_cholesky (shifted)", "cg"]
    # From zero thousands of these come to 1e-6.
    assert result.stages[-1][2] <= 1000
    assert float(re.search(r"cg: backward error (\S+)", result.explanation)[1]) <= 1e-10
    assert max(karlson_walden_of_bands(A, b, result.x), result.certificate.bound) <= 1e-13
