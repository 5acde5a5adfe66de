"""scikit-learn's tests of all its linear models."""

import sklearn.linear_model
from peers.adapters import Ridge, RidgeCV
from peers.conftest import borrowed

import nearlin

_copy, _tests = borrowed(
    "sklearn.linear_model.tests.test_common",
    sklearn.linear_model,
    {"LinearRegression": nearlin.LinearRegression, "Ridge": Ridge, "RidgeCV": RidgeCV},
)
globals().update(_tests)
COLUMN = "one column of targets stays a column, as with LinearRegression"
EXCLUSIONS = {
    "test_linear_model_regressor_coef_shape[[]2-Ridge*": COLUMN,
}
