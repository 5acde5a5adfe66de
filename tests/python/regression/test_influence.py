"""Intervals of predictions, and what rows decide, against statsmodels."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from nearlin import LinearRegression, Ridge
from nearlin.exceptions import InvalidInputError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import statsmodels.api as statsmodels


def problem(n=60, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 3)) + np.array([0.0, 1.0, 50.0])
    return X, X @ [1.0, -0.3, 0.2] + 2.0 + rng.standard_normal(n), rng.random(n) + 0.2


def peer(X, y, w, fit_intercept):
    X = statsmodels.add_constant(X, has_constant="add") if fit_intercept else X
    return (statsmodels.OLS(y, X) if w is None else statsmodels.WLS(y, X, weights=w)).fit()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("level", [0.5, 0.95])
def test_intervals_of_predictions_are_those_of_statsmodels(fit_intercept, weighted, level):
    X, y, w = problem()
    w = w if weighted else None
    new = problem(20, seed=1)[0] * 3.0
    theirs = peer(X, y, w, fit_intercept).get_prediction(
        statsmodels.add_constant(new, has_constant="add") if fit_intercept else new
    )
    frame = theirs.summary_frame(alpha=1.0 - level)
    model = LinearRegression(fit_intercept=fit_intercept).fit(X, y, w)
    for samples in (new, sp.csr_array(new)):
        predicted, low, high = model.predict(samples, interval=level)
        assert_allclose(predicted, model.predict(samples))
        assert_allclose(low, frame["obs_ci_lower"], rtol=1e-9)
        assert_allclose(high, frame["obs_ci_upper"], rtol=1e-9)


def test_so_many_new_targets_are_in_their_intervals():
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(200):
        X = rng.standard_normal((12, 4))
        y = X @ np.ones(4) + rng.standard_normal(12)
        new = 2.0 * rng.standard_normal((20, 4))
        _, low, high = LinearRegression().fit(X, y).predict(new, interval=0.9)
        target = new @ np.ones(4) + rng.standard_normal(20)
        inside.append(np.mean((low < target) & (target < high)))
    assert abs(np.mean(inside) - 0.9) < 5.0 * np.std(inside) / np.sqrt(len(inside))


def test_targets_have_intervals_of_their_own():
    X, y, _ = problem()
    both = LinearRegression().fit(X, np.column_stack([y, 3.0 * y])).predict(X, interval=0.95)
    one = LinearRegression().fit(X, 3.0 * y).predict(X, interval=0.95)
    for together, alone in zip(both, one, strict=True):
        assert_allclose(together[:, 1], alone)


def test_single_precision_stays():
    X, y, _ = problem()
    model = LinearRegression().fit(X.astype(np.float32), y)
    assert {ends.dtype for ends in model.predict(X.astype(np.float32), interval=0.95)} == {
        np.dtype(np.float32)
    }


@pytest.mark.parametrize("unit", [1e-150, 1.0, 1e150])
def test_units_of_columns_do_not_matter(unit):
    X, y, _ = problem()
    scale = np.array([unit, 1.0, 1.0 / unit])
    plain = LinearRegression().fit(X, y)
    other = LinearRegression().fit(X * scale, y)
    assert_allclose(other.predict(X * scale, interval=0.9), plain.predict(X, interval=0.9), rtol=1e-10)
    assert_allclose(other.influence(X * scale, y).leverage, plain.influence(X, y).leverage, rtol=1e-10)


def test_where_x_was_blind_nothing_is_known():
    X, y, _ = problem()
    X = np.column_stack([X, 2.0 * X[:, 0], np.full(len(X), 3.7)])
    model = LinearRegression().fit(X, y)
    alone = LinearRegression().fit(X[:, :3], y)
    assert_allclose(model.predict(X, interval=0.9), alone.predict(X[:, :3], interval=0.9), rtol=1e-9)
    new = X[:3].copy()
    new[1, 3] += 1.0
    new[2, 4] = 0.0
    _, low, high = model.predict(new, interval=0.9)
    assert_array_equal(np.isnan(low), [False, True, True])
    assert_array_equal(np.isnan(high), [False, True, True])


@pytest.mark.parametrize("mean", [0.0, 1e8, 1.7e9, 1e12])
def test_where_x_was_blind_nothing_is_known_far_from_the_origin_either(mean):
    rng = np.random.default_rng(2)
    t = mean + rng.uniform(0.0, 1e6, 500)
    model = LinearRegression().fit(np.column_stack([t, t]), 1e-6 * (t - mean) + rng.standard_normal(500))
    away = np.array([[0.0, 0.0], [0.0, 60.0], [1e4, -1e4]])
    _, low, high = model.predict(mean + 5e5 + away, interval=0.95)
    assert_array_equal(np.isnan(low), [False, True, True])
    assert_array_equal(np.isnan(high), [False, True, True])


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_influence_is_that_of_statsmodels(fit_intercept):
    X, y, _ = problem()
    X[5], y[7] = [4.0, -3.0, 60.0], 30.0
    theirs = peer(X, y, None, fit_intercept).get_influence()
    model = LinearRegression(fit_intercept=fit_intercept).fit(X, y)
    for samples in (X, sp.csr_array(X)):
        model.fit(samples, y) if samples is X else model.set_params(inference=True).fit(samples, y)
        ours = model.influence(samples, y)
        assert_allclose(ours.leverage, theirs.hat_matrix_diag, rtol=1e-9)
        assert_allclose(ours.standardized, theirs.resid_studentized_internal, rtol=1e-8)
        assert_allclose(ours.studentized, theirs.resid_studentized_external, rtol=1e-8)
        assert_allclose(ours.cooks_distance, theirs.cooks_distance[0], rtol=1e-8)
        assert ours.n_parameters == 3 + fit_intercept


def test_cooks_distance_is_what_happens_without_the_row():
    X, y, w = problem(30)
    w[11] = 0.0
    model = LinearRegression().fit(X, y, w)
    found = model.influence(X, y, w)
    for row in (0, 17):
        without = LinearRegression().fit(np.delete(X, row, 0), np.delete(y, row), np.delete(w, row))
        moved = w * (model.predict(X) - without.predict(X)) ** 2
        assert_allclose(found.cooks_distance[row], moved.sum() / 4.0 / model.summary().sigma ** 2, rtol=1e-8)
    assert_allclose(found.leverage.sum(), 4.0)
    assert found.leverage[11] == 0.0
    assert np.isnan(found.cooks_distance[11])


def test_a_row_that_the_fit_passes_through_has_no_residual():
    X, y, _ = problem()
    X = np.column_stack([X, np.arange(60) == 8])
    found = LinearRegression().fit(X, np.column_stack([y, -y])).influence(X, np.column_stack([y, -y]))
    assert_allclose(found.leverage[8], 1.0)
    assert np.isnan([found.standardized[8], found.studentized[8], found.cooks_distance[8]]).all()
    assert np.isfinite(np.delete(found.cooks_distance, 8, 0)).all()
    assert found.standardized.shape == (60, 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_data_of_another_fit_are_refused(dtype, fit_intercept):
    X, y, w = problem()
    X, y = X.astype(dtype) + dtype(100.0), y.astype(dtype)
    w[3] = 0.0
    weighted = LinearRegression(fit_intercept=fit_intercept).fit(X, y, w)
    plain = LinearRegression(fit_intercept=fit_intercept).fit(X, y)
    two = LinearRegression(fit_intercept=fit_intercept).fit(X, np.column_stack([y, -y]))
    order = np.random.default_rng(1).permutation(len(X))
    for scale in (1.0, 1e-200, 1e200):
        scaled = LinearRegression(fit_intercept=fit_intercept).fit(X, y, scale * w)
        assert_allclose(scaled.influence(X, y, scale * w).leverage.sum(), 3 + fit_intercept, rtol=1e-3)
    assert_allclose(
        weighted.influence(X[order], y[order], w[order]).cooks_distance,
        weighted.influence(X, y, w).cooks_distance[order],
        rtol=1e-3,
    )
    assert_allclose(plain.influence(sp.csr_array(X), y).leverage, plain.influence(X, y).leverage, rtol=1e-3)
    fitted = "is not what was fitted.* expected the data of the fit, with its `sample_weight`"
    for data in [(X, y), (X, y, 2.0 * w), (X[:50], y[:50], w[:50]), (X[:, ::-1], y, w), (X**2, y, w)]:
        with pytest.raises(InvalidInputError, match=fitted):
            weighted.influence(*data)
    for data in [(X, y, w), (X[:50], y[:50]), (np.vstack([X, X]), np.hstack([y, y])), (X + 1.0, y)]:
        with pytest.raises(InvalidInputError, match=fitted):
            plain.influence(*data)
    for targets in (y[order], 2.0 * y, y + dtype(1.0)):
        with pytest.raises(InvalidInputError, match=f"`y` {fitted}"):
            plain.influence(X, targets)
    with pytest.raises(InvalidInputError, match=f"`y` {fitted}"):
        two.influence(X, np.column_stack([y, y]))


def test_what_cannot_be_said_is_refused():
    X, y, _ = problem()
    for call in (lambda model: model.predict(X, interval=0.9), lambda model: model.influence(X, y)):
        with pytest.raises(InvalidInputError, match="needs a fit without a penalty"):
            call(Ridge(1.0).fit(X, y))
        with pytest.raises(InvalidInputError, match="inference=True"):
            call(LinearRegression(inference=False).fit(X, y))
    assert_allclose(
        Ridge(0.0).fit(X, y).predict(X, interval=0.9), LinearRegression().fit(X, y).predict(X, interval=0.9)
    )
    for level in (0.0, 1.0, 95):
        with pytest.raises(InvalidInputError, match="`interval` is"):
            LinearRegression().fit(X, y).predict(X, interval=level)
    with pytest.raises(InvalidInputError, match="more rows than that"):
        LinearRegression().fit(X[:4], y[:4]).predict(X, interval=0.9)
    with pytest.raises(InvalidInputError, match="more rows than that"):
        LinearRegression().fit(X[:4], y[:4]).influence(X[:4], y[:4])


def test_single_precision_of_the_data_is_none_of_the_residuals():
    rng = np.random.default_rng(4)
    X = (rng.standard_normal((400, 3)) + 1e3).astype(np.float32)
    y = (X.astype(float) @ [1.0, 2.0, 3.0] + 1e-2 * rng.standard_normal(400)).astype(np.float32)
    found, exact = (
        LinearRegression().fit(X.astype(dtype), y.astype(dtype)).influence(X.astype(dtype), y.astype(dtype))
        for dtype in (np.float32, np.float64)
    )
    assert_allclose(found.standardized, exact.standardized, atol=1e-3)
    assert found.cooks_distance.argmax() == exact.cooks_distance.argmax()
