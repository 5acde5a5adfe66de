"""Weights over many orders of magnitude: the digits of x, against exact arithmetic."""

import numpy as np
import pytest
import scipy.sparse
from reference import regression
from reference.regression import UNIT_ROUNDOFF as U
from reference.weighted import error, exact, naive, spread, stiff

import nearlin
from nearlin.exceptions import FallbackWarning, InvalidInputError


def solve(A, b, weight, **options):
    return nearlin.lstsq(A, b, sample_weight=weight, method="fgmres_wlsir", **{"rng": 0, **options})


@pytest.mark.parametrize("factor", [1e8, 1e12, 1e16, 1e20])
def test_all_digits_where_the_roots_of_the_weights_lose_many(factor):
    A, b, weight = stiff(factor=factor)
    best = exact(A, b, weight)
    result = solve(A, b, weight)
    assert result.method == "fgmres_wlsir"
    assert result.fallback_reason is None
    assert error(result.x, best) <= 4 * U
    if factor >= 1e12:
        assert error(naive(A, b, weight), best) > 1e4 * U


@pytest.mark.parametrize("orders", [0, 16, 24])
@pytest.mark.parametrize("seed", [0, 1])
def test_weights_spread_over_many_orders(orders, seed):
    A, b, weight = spread(orders=orders, seed=seed)
    assert error(solve(A, b, weight).x, exact(A, b, weight)) <= 4 * U


@pytest.mark.parametrize("instance", [spread, stiff])
def test_backward_error_on_the_weighted_matrix_is_that_of_qr(instance):
    A, b, weight = instance(4000)
    M, c = regression.explicit(A, b, sample_weight=weight)
    qr = regression.backward_error(M, c, regression.householder(M, c))
    result = solve(A, b, weight)
    assert regression.backward_error(M, c, result.x) <= max(10 * qr, 4 * U)
    assert result.certificate.met


@pytest.mark.parametrize("unit", [1e-290, 1e280])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_the_unit_of_the_weights_does_not_matter(unit, fit_intercept):
    A, b, weight = stiff(factor=1e12)
    weight *= unit
    X = A[:, 1:] if fit_intercept else A
    model = nearlin.LinearRegression(fit_intercept=fit_intercept, random_state=0).fit(X, b, weight)
    x = np.append(model.intercept_, model.coef_) if fit_intercept else model.coef_
    assert error(x, exact(A, b, weight)) <= 4 * U


def test_weights_over_six_hundred_orders():
    A, b, weight = spread(2000, orders=600)
    assert error(solve(A, b, weight).x, exact(A, b, weight)) <= 4 * U


def test_rows_of_weight_zero_count_as_absent():
    A, b, weight = stiff()
    weight[::3] = 0.0
    best = exact(A[weight > 0], b[weight > 0], weight[weight > 0])
    b[::3] = 1e30
    assert error(solve(A, b, weight).x, best) <= 4 * U


def test_without_weights_it_refines_plain_least_squares():
    A = np.vander(np.linspace(0.0, 1.0, 600), 8)
    b = np.cos(np.arange(600.0))
    best = exact(A, b, np.ones(600))
    assert error(solve(A, b, None).x, best) <= 4 * U
    assert error(naive(A, b, np.ones(600)), best) > 16 * U


@pytest.mark.parametrize("ridge", [1e-6, 1.0])
def test_ridge(ridge):
    A, b, weight = stiff()
    assert error(solve(A, b, weight, ridge=ridge).x, exact(A, b, weight, ridge=ridge)) <= 4 * U


@pytest.mark.parametrize("instance", [spread, stiff])
@pytest.mark.parametrize("make", [np.asarray, scipy.sparse.csr_array])
def test_an_intercept(instance, make):
    A, b, weight = instance()
    A = A[:, 1:] + 5.0
    model = nearlin.LinearRegression(method="fgmres_wlsir", random_state=0).fit(make(A), b, weight)
    best = exact(np.column_stack([A, np.ones(len(A))]), b, weight)
    assert error(np.append(model.coef_, model.intercept_), best) <= 16 * U


@pytest.mark.parametrize("make", [np.asfortranarray, scipy.sparse.csr_array, scipy.sparse.csc_array])
def test_layouts_and_many_right_hand_sides(make):
    A, b, weight = stiff()
    A[::2, 2] = 0.0
    B = np.column_stack([b, np.zeros(len(b)), 1e-100 * b[::-1]])
    x = solve(make(A), B, weight).x
    assert error(x[:, 0], exact(A, b, weight)) <= 4 * U
    assert not x[:, 1].any()
    assert error(x[:, 2], exact(A, B[:, 2], weight)) <= 4 * U


def test_single_precision_data_give_the_nearest_single_precision_answer():
    A, b, weight = (array.astype(np.float32) for array in stiff(factor=1e12))
    best = exact(A, b, weight)
    x = solve(A, b, weight).x
    assert x.dtype == np.float32
    assert error(x, best) <= 2.0**-24


def test_the_left_preconditioner_serves_moderate_weights():
    A, b, weight = spread(orders=8)
    result = solve(A, b, weight, preconditioner="left")
    assert result.method == "fgmres_wlsir"
    assert "left" in result.explanation
    assert error(result.x, exact(A, b, weight)) <= 4 * U


def test_the_left_preconditioner_gives_way_where_weights_are_too_much_for_it():
    A, b, weight = stiff(factor=1e16)
    with pytest.warns(FallbackWarning, match="'fgmres_wlsir' gave way to 'qr'"):
        result = solve(A, b, weight, preconditioner="left")
    assert "not admissible" in result.explanation
    assert result.certificate.met


@pytest.mark.parametrize("n", [600, 6000])
@pytest.mark.parametrize("make", [np.asarray, scipy.sparse.csr_array])
def test_auto_refines_where_weights_cost_digits(make, n):
    A, b, weight = stiff(n, factor=1e12)
    result = nearlin.lstsq(make(A), b, sample_weight=weight, rng=0)
    assert result.method == "fgmres_wlsir"
    assert "cost digits at condition" in result.explanation
    assert error(result.x, exact(A, b, weight)) <= 4 * U


def test_auto_does_without_where_weights_cost_nothing():
    A, b, weight = spread(6000)
    result = nearlin.lstsq(A, b, sample_weight=weight, rng=0)
    assert result.method == "gram"
    assert error(result.x, exact(A, b, weight)) <= 16 * U


def test_the_default_is_split():
    A, b, weight = spread(orders=8)
    default, split = (solve(A, b, weight, preconditioner=p) for p in (None, "split"))
    assert "split" in default.explanation
    assert default.x.tobytes() == split.x.tobytes()


def test_max_iter_limits_the_rounds():
    A, b, weight = stiff()
    few, many = (solve(A, b, weight, max_iter=max_iter) for max_iter in (1, None))
    assert few.n_iter < many.n_iter


def test_a_deficient_rank_is_left_to_qr():
    A, b, weight = spread()
    A[:, 1] = A[:, 0]
    with pytest.warns(FallbackWarning, match="gave way to 'qr'"):
        result = solve(A, b, weight)
    assert result.rank == 5


def test_threads_do_not_change_a_bit():
    A, b, weight = stiff(20_000)
    for make in (np.asarray, np.asfortranarray, scipy.sparse.csr_array):
        answers = {solve(make(A), b, weight, n_jobs=n_jobs).x.tobytes() for n_jobs in (1, 2, 3, 8)}
        assert len(answers) == 1


def test_progress_is_reported_and_its_errors_are_passed_on():
    A, b, weight = stiff()
    seen = []
    solve(A, b, weight, progress=lambda *call: seen.append(call))
    assert any("change" in figures for _, _, figures in seen)

    def stop(done, total, figures):
        if "change" in figures:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        solve(A, b, weight, progress=stop)


def test_a_preconditioner_for_another_method_is_refused():
    A, b, weight = stiff()
    with pytest.raises(
        InvalidInputError, match="`preconditioner` is 'left', expected None with method='auto'"
    ):
        nearlin.lstsq(A, b, sample_weight=weight, preconditioner="left")
    with pytest.raises(
        InvalidInputError, match="`preconditioner` is 'right', expected one of 'split', 'left'"
    ):
        solve(A, b, weight, preconditioner="right")


@pytest.mark.parametrize(
    ("of_A", "of_b", "weight", "vanishing"),
    [(1.0, 1e-200, 1e-300, "b"), (1.0, 1e-300, 1e-40, "b"), (1e-200, 1e-200, 1e-300, "A")],
)
@pytest.mark.parametrize("layout", [np.asarray, scipy.sparse.csr_array])
def test_weights_that_make_data_vanish_are_refused(of_A, of_b, weight, vanishing, layout):
    A = np.random.default_rng(0).standard_normal((60, 3))
    b, weights = A @ [1.0, 2.0, 3.0], np.full(60, weight)
    assert np.allclose(nearlin.lstsq(layout(A), b, sample_weight=weights).x, [1, 2, 3], rtol=1e-12)
    with pytest.raises(
        InvalidInputError, match=f"`sample_weight` is so small that it makes `{vanishing}` vanish"
    ):
        nearlin.lstsq(layout(A * of_A), b * of_b, sample_weight=weights)
