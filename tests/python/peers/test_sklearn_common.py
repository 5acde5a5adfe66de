"""scikit-learn's tests of all its linear models."""

import sklearn.linear_model
from peers.conftest import borrowed

import nearlin

_copy, _tests = borrowed(
    "sklearn.linear_model.tests.test_common",
    sklearn.linear_model,
    {name: getattr(nearlin, name) for name in ("LinearRegression", "Ridge", "RidgeCV")},
)
globals().update(_tests)
EXCLUSIONS = {}
