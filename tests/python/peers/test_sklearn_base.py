"""scikit-learn's tests of LinearRegression."""

import sklearn.linear_model
from peers.conftest import borrowed

import nearlin

_copy, _tests = borrowed(
    "sklearn.linear_model.tests.test_base",
    sklearn.linear_model,
    {"LinearRegression": nearlin.LinearRegression},
)
globals().update(_tests)
EXCLUSIONS = {}
