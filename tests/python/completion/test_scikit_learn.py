"""What scikit-learn says of models of matrices as transformers of rows."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from nearlin import ImplicitALS, MatrixCompletion, SoftImpute
from nearlin.exceptions import ShapeError


class Rows:
    """A model as a transformer alone, so that its other methods keep no check from looking at that."""

    @property
    def predict(self):
        raise AttributeError("predict")

    @property
    def score(self):
        raise AttributeError("score")

    @property
    def partial_fit(self):
        raise AttributeError("partial_fit")


class Completed(Rows, MatrixCompletion):
    pass


class Chosen(Rows, ImplicitALS):
    pass


class Thresholded(Rows, SoftImpute):
    pass


ENTRIES = "predict(rows, cols), score and partial_fit are of entries, which scikit-learn asks of samples"
OF_ENTRIES = (
    "check_estimators_unfitted",
    "check_n_features_in_after_fitting",
    "check_estimators_dtypes",
    "check_dtype_object",
    "check_estimators_nan_inf",
    "check_estimator_sparse_array",
    "check_estimator_sparse_matrix",
    "check_estimators_pickle",
    "check_f_contiguous_array_estimator",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_dict_unchanged",
    "check_fit_idempotent",
    "check_fit2d_predict1d",
)
WEIGHTS = "weights are those of entries, as many as X has, not of rows"
OF_WEIGHTS = (
    "check_sample_weights_pandas_series",
    "check_sample_weights_not_an_array",
    "check_sample_weights_list",
    "check_all_zero_sample_weights_error",
    "check_sample_weights_shape",
    "check_sample_weights_not_overwritten",
    "check_sample_weight_equivalence_on_dense_data",
    "check_sample_weight_equivalence_on_sparse_data",
)


def failures(model):
    """Return what cannot hold, and why."""
    found = {} if isinstance(model, Rows) else dict.fromkeys(OF_ENTRIES, ENTRIES)
    return found | (dict.fromkeys(OF_WEIGHTS, WEIGHTS) if isinstance(model, MatrixCompletion) else {})


MODELS = (Completed, Chosen, Thresholded, MatrixCompletion, ImplicitALS, SoftImpute)
CONFORMITY = parametrize_with_checks(
    [model(2, reg=0.3, random_state=0) for model in MODELS], expected_failed_checks=failures
).mark


@pytest.mark.parametrize(CONFORMITY.args[0], list(CONFORMITY.args[1]), **CONFORMITY.kwargs)
def test_conforms_to_scikit_learn(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)


X = np.random.default_rng(0).random((40, 6))


@pytest.mark.filterwarnings("ignore::nearlin.exceptions.AccuracyWarning")
@pytest.mark.parametrize("model", [MatrixCompletion, ImplicitALS, SoftImpute])
def test_rows_come_in_frames_under_names(model):
    plain = model(2, reg=0.3, random_state=0).fit(X)
    names = [f"{model.__name__.lower()}{k}" for k in range(2)]
    assert list(plain.get_feature_names_out()) == names
    assert plain.n_features_in_ == 6
    for output, kind in (("pandas", pd.DataFrame), ("polars", pl.DataFrame)):
        found = clone(plain).set_output(transform=output).fit(X)
        for twin in (found, found.copy(), pickle.loads(pickle.dumps(found))):
            rows = twin.transform(X)
            assert isinstance(rows, kind)
            assert list(rows.columns) == names
            assert np.array_equal(rows.to_numpy(), plain.transform(X))
        whole = found.fit_transform(X)
        np.testing.assert_array_equal(whole.to_numpy(), plain.U_)
    # Rows of a list of entries have names of their own.
    i, j = np.indices(X.shape).reshape(2, -1)
    called = np.array([f"r{k:02d}" for k in range(40)])
    entries = pd.DataFrame({"row": called[i], "col": j, "value": X.ravel()})
    rows = model(2, reg=0.3, random_state=0).set_output(transform="pandas").fit_transform(entries)
    assert list(rows.index[:3]) == ["r00", "r01", "r02"]
    np.testing.assert_allclose(rows.to_numpy(), plain.U_, rtol=1e-5, atol=1e-6)
    y = X @ np.arange(6.0)
    assert make_pipeline(model(2, reg=0.3, random_state=0), Ridge(1e-3)).fit(X, y).score(X, y) > 0.1
    with pytest.raises(ShapeError, match=f"X has 5 features, but {model.__name__} is expecting 6 features"):
        plain.transform(X[:, :5])


def test_biases_and_deviations_stay_arrays_beside_a_frame():
    model = MatrixCompletion(2, reg=0.3, random_state=0).set_output(transform="pandas").fit(X)
    rows, bias, deviations = model.transform(X, return_bias=True, return_std=True)
    assert isinstance(rows, pd.DataFrame)
    assert bias.shape == (40,)
    assert deviations.shape == X.shape
    assert np.isfinite(model.inverse_transform(rows, bias)).all()
