"""Standard errors say how far estimates are from the truth: over many draws of the noise, on fixed seeds.

A fit of many targets is a fit of one target to many draws.
"""

import numpy as np
import pytest

from nearlin import LinearRegression, Ridge

DRAWS = 2000


@pytest.fixture(scope="module")
def design():
    """Samples, some of them far out, and coefficients with a constant before them."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((60, 4)) * rng.choice([1.0, 3.0], (60, 1)), np.array(
        [2.0, 1.0, -1.0, 0.5, 0.0]
    )


def targets(design, spread):
    X, truth = design
    noise = np.random.default_rng(1).standard_normal((len(X), DRAWS))
    return (truth[0] + X @ truth[1:])[:, np.newaxis] + spread[:, np.newaxis] * noise


def coverage(table, truth):
    """Share of the draws in which an interval covers the truth, for every coefficient."""
    low, high = np.moveaxis(table.interval, -1, 0)
    return ((low <= truth) & (truth <= high)).mean(axis=0)


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_intervals_cover_as_often_as_they_say(design, level):
    X, truth = design
    Y = targets(design, np.full(len(X), 3.0))
    table = LinearRegression().fit(X, Y).summary(level=level)
    deviation = np.sqrt(level * (1.0 - level) / DRAWS)
    assert (np.abs(coverage(table, truth) - level) <= 4.0 * deviation).all()


def test_robust_intervals_cover_where_the_others_fail(design):
    X, truth = design
    Y = targets(design, 0.1 + np.sum(X * X, axis=1))
    model = LinearRegression().fit(X, Y)
    assert coverage(model.summary("HC3", X, Y), truth)[1:].min() >= 0.93
    assert coverage(model.summary(), truth)[1:].max() <= 0.85


@pytest.mark.parametrize(("kind", "tolerance"), [("nonrobust", 0.1), ("HC2", 0.1), ("HC3", 0.35)])
def test_penalised_estimates_vary_as_much_as_is_said(design, kind, tolerance):
    X, truth = design
    Y = targets(design, np.full(len(X), 3.0))
    model = Ridge(30.0).fit(X, Y)
    estimates = np.column_stack([model.intercept_, model.coef_])
    said = np.diagonal(model.cov_params(kind, X, Y), axis1=1, axis2=2).mean(axis=0)
    np.testing.assert_allclose(said, estimates.var(axis=0), rtol=tolerance)
    assert np.abs(estimates.mean(axis=0) - truth).max() > 0.02
