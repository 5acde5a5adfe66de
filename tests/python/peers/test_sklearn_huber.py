"""scikit-learn's tests of HuberRegressor."""

import sklearn.linear_model
from peers.adapters import HuberRegressor
from peers.conftest import borrowed

_copy, _tests = borrowed(
    "sklearn.linear_model.tests.test_huber",
    sklearn.linear_model,
    {"HuberRegressor": HuberRegressor},
)
globals().update(_tests)
EXCLUSIONS = {
    "test_huber_warm_start": "Newton's method takes a few iterations from anywhere: there is no warm start",
}
