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
POSITIVE = "positive=True is refused"
EXCLUSIONS = {
    "test_linear_regression_positive*": POSITIVE,
    "test_raises_value_error_if_positive_and_sparse": POSITIVE,
    "test_inplace_data_preprocessing[[]*None]": "X is never overwritten, even with copy_X=False",
}
