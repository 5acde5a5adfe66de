"""scikit-learn's tests of QuantileRegressor."""

import sklearn.linear_model
from peers.adapters import QuantileRegressor
from peers.conftest import borrowed

_copy, _tests = borrowed(
    "sklearn.linear_model.tests.test_quantile",
    sklearn.linear_model,
    {"QuantileRegressor": QuantileRegressor},
)
globals().update(_tests)
SOLVERS = "about what one of their solvers cannot do"
EXCLUSIONS = {
    "test_incompatible_solver_for_sparse_input*": SOLVERS,
    "test_error_interior_point_future": SOLVERS,
    "test_linprog_failure": SOLVERS,
}
