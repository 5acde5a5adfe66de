"""scikit-learn's tests of Ridge and RidgeCV."""

import sklearn.linear_model
from peers.adapters import Ridge, RidgeCV
from peers.conftest import borrowed

import nearlin

_copy, _tests = borrowed(
    "sklearn.linear_model.tests.test_ridge",
    sklearn.linear_model,
    {"LinearRegression": nearlin.LinearRegression, "Ridge": Ridge, "RidgeCV": RidgeCV},
)
globals().update(_tests)
COLUMN = "one column of targets stays a column, as with LinearRegression"
POSITIVE = "positive=True, which lbfgs stands for, is refused"
MESSAGE = "an error of the same kind in other words, about the argument"
SOLVERS = "about what one of their solvers cannot do"
FEW_ROWS = "R squared of one row is nan: an error and not the first penalty"
EXCLUSIONS = {
    "test_dtype_match[[]lbfgs]": POSITIVE,
    "test_positive_ridge_loss*": POSITIVE,
    "test_ridge_fit_intercept_sparse[[]*lbfgs]": POSITIVE,
    "test_ridge_ground_truth_positive_test*": POSITIVE,
    "test_ridge_positive_regression_test*": POSITIVE,
    "test_ridge_sample_weight_consistency[[]lbfgs*": POSITIVE,
    "test_ridge_positive_error_test*": SOLVERS,
    "test_lbfgs_solver_error": SOLVERS,
    "test_ridge_fit_intercept_sparse_error*": SOLVERS,
    "test_ridge_fit_intercept_sparse_sag*": SOLVERS,
    "test_n_iter": "n_iter_ counts passes over X, for all targets at once",
    "test_raises_value_error_if_sample_weights_greater_than_1d": MESSAGE,
    "test_ridge_individual_penalties": MESSAGE,
    "test_ridgecv_alphas_validation*": MESSAGE,
    "test_ridgecv_alphas_zero[[]*None]": MESSAGE,
    "test_ridgecv_alphas_zero[[]*3]": FEW_ROWS,
    "test_ridgecv_sample_weight": FEW_ROWS,
    "test_regularization_limits_ridge_gcv[[]csr*-svd-*": "the svd mode serves sparse X, without a warning",
    "test_ridge_shapes_type": COLUMN,
}
