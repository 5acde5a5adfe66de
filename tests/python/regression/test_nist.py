"""Digits of the linear sets of the NIST Statistical Reference Datasets."""

import numpy as np
import pytest
from reference import nist

from nearlin import LinearRegression, lstsq

SETS = nist.sets()
DIGITS = {"Filip": (7.5, 7.3), "Longley": (13.4, 13.3), "Wampler4": (8.1, 8.0), "Wampler5": (6.2, 6.1)}
"""Of the worst coefficient, of the estimator and of lstsq; others have 9.

The exact solution for Filip's powers rounded to doubles has 7.7.
"""


def digits(found, certified):
    """Of each entry, absolute where zero is certified, at most the 15 that are printed."""
    certified = np.asarray(certified)
    error = np.abs(found - certified) / np.where(certified == 0.0, 1.0, np.abs(certified))
    return -np.log10(np.maximum(error, 1e-15))


def certified(name):
    return np.array(nist.CERTIFIED[name]).T


@pytest.mark.parametrize("name", sorted(set(SETS) - {"Filip", "Longley"}))
def test_what_is_certified_follows_from_the_data(name):
    coef, squares = nist.exact(*SETS[name])
    assert digits(np.array(coef, float), certified(name)[0]).min() > 13.5
    assert digits(np.sqrt(np.array(squares, float)), certified(name)[1]).min() > 13.5


@pytest.mark.parametrize("name", SETS)
def test_coefficients_have_the_digits_that_doubles_allow(name):
    y, X, intercept = SETS[name]
    A, b = nist.as_doubles(y, X)
    model = LinearRegression(fit_intercept=intercept).fit(A, b)
    found = np.append(model.intercept_, model.coef_) if intercept else model.coef_
    of_estimator, of_lstsq = DIGITS.get(name, (9.0, 9.0))
    assert digits(found, certified(name)[0]).min() > of_estimator
    whole = np.column_stack([np.ones(len(A)), A]) if intercept else A
    assert digits(lstsq(whole, b).x, certified(name)[0]).min() > of_lstsq


@pytest.mark.parametrize("name", sorted(set(SETS) - {"Filip"}))
def test_standard_errors_are_the_certified_ones(name):
    y, X, intercept = SETS[name]
    A, b = nist.as_doubles(y, X)
    table = LinearRegression(fit_intercept=intercept, inference=True).fit(A, b).summary()
    scale = np.abs(b).max() if name in ("Wampler1", "Wampler2") else 0.0
    np.testing.assert_allclose(table.std_err, certified(name)[1], rtol=1e-9, atol=1e-13 * scale)
    assert table.identified.all()
