"""Fewer rows than columns: the shortest answer by A A', both parts of its backward error, and ridges."""

import numpy as np
import pytest
from reference import regression as reference

import nearlin
from nearlin import _core
from nearlin.regression._solve import Options

U = reference.UNIT_ROUNDOFF


def matrix(n, d, kappa, seed=0):
    """Singular values from 1 to 1 / kappa."""
    rng = np.random.default_rng(seed)
    left = np.linalg.qr(rng.standard_normal((n, n)))[0] * np.logspace(0, -np.log10(kappa), n)
    return np.ascontiguousarray(left @ np.linalg.qr(rng.standard_normal((d, n)))[0].T)


def sun_sun(A, b, x):
    """The smallest change of A, its rows of norm one, that x is the shortest answer for, relative to |A|."""
    t = np.linalg.norm(A, axis=1)
    exact = np.longdouble
    residual = ((b.astype(exact) - A.astype(exact) @ x.astype(exact)) / t).astype(float)
    A = A / t[:, None]
    along = x / np.linalg.norm(x)
    least = np.linalg.svd(A - np.outer(A @ along, along), compute_uv=False)[-1]
    return np.hypot(np.linalg.norm(residual) / np.linalg.norm(x), least) / np.linalg.norm(A)


@pytest.mark.parametrize("kappa", [1e1, 1e3, 1e6, 1e9, 1e12])
@pytest.mark.parametrize("n", [4, 100, 180])
@pytest.mark.parametrize("consistent", [True, False])
def test_both_parts_of_the_backward_error_are_those_of_lapack(n, kappa, consistent):
    d = 200
    A, rng = matrix(n, d, kappa), np.random.default_rng(1)
    b = A @ rng.standard_normal(d) if consistent else rng.standard_normal(n)
    result = nearlin.lstsq(A, b)
    lapack = np.linalg.lstsq(A, b, rcond=1e-16)[0]
    error = sun_sun(A, b, result.x)
    assert error <= max(10 * sun_sun(A, b, lapack), 4 * U)
    # Four rows of large condition leave columns in units far apart.
    if kappa <= 1e6 and n > 4:
        assert result.method == "gram"
        assert np.linalg.norm(result.x - lapack) <= 1e-8 * np.linalg.norm(lapack)
    if kappa == 1e9 and n > 4:
        assert "qr of rows: rank" in result.explanation
    if n > 4:
        assert error <= result.certificate.bound
    assert result.rank == n
    assert result.certificate.met


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("ridge", [0.0, 1e-18])
def test_beyond_the_condition_of_products_answers_are_combinations_of_rows(ridge, fit_intercept, weighted):
    rng = np.random.default_rng(3)
    A = matrix(60, 300, 1e10) + 0.01 * fit_intercept
    B = rng.standard_normal((60, 3))
    weights = rng.integers(0, 4, 60).astype(float) if weighted else np.ones(60)
    found = _core.lstsq(
        A,
        B,
        Options(seed=0),
        sample_weight=weights,
        ridge=np.array([ridge]),
        fit_intercept=fit_intercept,
        threads=2,
        progress=None,
    )
    assert "qr of rows: rank" in found["explanation"]
    x, centre = found["x"], [np.average(m, axis=0, weights=weights) if fit_intercept else 0.0 for m in (A, B)]
    left, right = np.sqrt(weights)[:, None] * (A - centre[0]), np.sqrt(weights)[:, None] * (B - centre[1])
    size = np.linalg.norm(left) * np.linalg.norm(x, axis=0)
    residual = right - left @ x
    if ridge:
        gradient = np.linalg.norm(left.T @ residual - ridge * x, axis=0)
        assert np.all(gradient <= 8 * U * np.linalg.norm(left) * (np.linalg.norm(residual, axis=0) + size))
    else:
        assert np.all(np.linalg.norm(residual, axis=0) <= 8 * U * size)
        rows = np.linalg.qr(left[weights > 0][: found["rank"]].T)[0]
        assert np.all(np.linalg.norm(x - rows @ (rows.T @ x), axis=0) <= 1e-5 * np.linalg.norm(x, axis=0))


@pytest.mark.parametrize("kappa", [1e1, 1e6, 1e10])
def test_qr_by_name_is_that_of_the_rows(kappa):
    A, rng = matrix(50, 400, kappa), np.random.default_rng(2)
    b = rng.standard_normal(50)
    result = nearlin.lstsq(A, b, method="qr")
    assert (result.method, result.rank) == ("qr", 50)
    assert "qr of rows: rank 50" in result.explanation
    error = sun_sun(A, b, result.x)
    assert error <= min(result.certificate.bound, 4 * U)


@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("k", [None, 1, 5, 40])
@pytest.mark.parametrize("options", [{}, {"fit_intercept": True}, {"sample_weight": True}, {"ridge": 0.5}])
def test_answers_are_those_of_the_explicit_problem(order, dtype, k, options):
    rng = np.random.default_rng(2)
    A = np.asarray(rng.standard_normal((60, 300)) + 1.0, dtype=dtype, order=order)
    b = rng.standard_normal(60 if k is None else (60, k)).astype(dtype) + 3
    fit_intercept = options.get("fit_intercept", False)
    weights = rng.integers(0, 4, 60).astype(float) if "sample_weight" in options else None
    model = nearlin.Ridge(options.get("ridge", 0.0), fit_intercept=fit_intercept)
    if "ridge" not in options:
        model = nearlin.LinearRegression(fit_intercept=fit_intercept)
    model.fit(A, b, sample_weight=weights)
    left, right = A.astype(float), b.astype(float).reshape(60, -1)
    centre = [np.average(m, axis=0, weights=weights) if fit_intercept else 0.0 for m in (left, right)]
    root = np.sqrt(np.ones(60) if weights is None else weights)[:, None]
    left, right = root * (left - centre[0]), root * (right - centre[1])
    if "ridge" in options:
        expected = left.T @ np.linalg.solve(left @ left.T + 0.5 * np.eye(60), right)
    else:
        expected = np.linalg.pinv(left, rcond=1e-10) @ right
    found = model.coef_.reshape(-1, 300).T
    tolerance = 1e-11 if dtype is np.float64 else 1e-5
    assert np.linalg.norm(found - expected) <= tolerance * np.linalg.norm(expected)


def test_every_number_of_threads_gives_the_same_bits_and_no_side_knows_its_neighbours():
    rng = np.random.default_rng(3)
    A, B = rng.standard_normal((70, 900)), rng.standard_normal((70, 20))
    expected = nearlin.lstsq(A, B, n_jobs=1)
    assert expected.method == "gram"
    for jobs in (2, 3, 8):
        assert np.array_equal(nearlin.lstsq(A, B, n_jobs=jobs).x, expected.x)
    others = B.copy()
    others[:, 1::2] = A[:, :10] * 1e150
    assert np.array_equal(nearlin.lstsq(A, others).x[:, ::2], expected.x[:, ::2])


@pytest.mark.parametrize("equal", [True, False])
def test_rows_that_depend_on_others_are_left_to_the_singular_values(equal):
    rng = np.random.default_rng(4)
    A, b = rng.standard_normal((40, 90)), rng.standard_normal(40)
    A[7], A[9] = A[3], 0.0
    b[9] = 1.0
    if equal:
        b[7] = b[3]
    result = nearlin.lstsq(A, b)
    expected = np.linalg.lstsq(A, b, rcond=None)
    assert (result.method, result.rank) == ("qr", expected[2])
    assert np.linalg.norm(result.x - expected[0]) <= 1e-12 * np.linalg.norm(expected[0])


def test_rows_and_columns_of_extreme_magnitudes():
    rng = np.random.default_rng(5)
    A, b = rng.standard_normal((30, 80)), rng.standard_normal(30)
    for scale in (1e-90, 1e90, 1e-200, 1e200):
        expected = np.linalg.lstsq(A, b, rcond=None)[0]
        assert np.linalg.norm(nearlin.lstsq(scale * A, b).x * scale - expected) <= 1e-12 * np.linalg.norm(
            expected
        )
    rows = np.logspace(0, 2, 30)
    found = nearlin.lstsq(rows[:, None] * A, rows * b)
    assert found.method == "gram"
    assert np.linalg.norm(found.x - expected) <= 1e-12 * np.linalg.norm(expected)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_named(value):
    A, b = np.ones((5, 40)), np.ones(5)
    A[3, 21] = value
    with pytest.raises(nearlin.exceptions.InvalidInputError, match=r"`A`.*\[3, 21\]"):
        nearlin.lstsq(A, b)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("k", [None, 3])
def test_leave_one_out_of_few_rows_is_that_of_as_many_fits(fit_intercept, k):
    rng = np.random.default_rng(6)
    X, y = rng.standard_normal((30, 200)), rng.standard_normal(30 if k is None else (30, k))
    alphas = [1e-3, 1.0, 30.0]
    model = nearlin.RidgeCV(alphas, fit_intercept=fit_intercept, store_cv_results=True).fit(X, y)
    for at, alpha in enumerate(alphas):
        for i in (0, 17):
            rest = np.arange(30) != i
            left = nearlin.Ridge(alpha, fit_intercept=fit_intercept).fit(X[rest], y[rest])
            error = (y[i] - left.predict(X[i : i + 1])[0]) ** 2
            found = model.cv_results_[i, ..., at]
            assert np.allclose(found, error, rtol=1e-9, atol=1e-12)
