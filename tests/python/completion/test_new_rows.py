"""Predictions for rows that were not in the fit."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from reference.completion import instance, noiseless
from sklearn.utils import get_tags

from nearlin import ImplicitALS, MatrixCompletion, SoftImpute
from nearlin.exceptions import AccuracyWarning, InvalidInputError, ShapeError

SHAPE = (60, 40)
ROWS, COLS, VALUES, TRUTH = instance(SHAPE, 2, 0.5)
X = np.full(SHAPE, np.nan)
X[ROWS, COLS] = VALUES


def test_rows_of_the_fit_are_predicted_as_the_fit_does():
    model = MatrixCompletion(2, reg=0.3, dtype="float64", random_state=0).fit(X)
    found = model.inverse_transform(*model.transform(X, return_bias=True))
    assert np.abs(found - model.reconstruct()).max() < 1e-9
    with pytest.raises(InvalidInputError, match="return_bias=True"):
        model.inverse_transform(model.transform(X))
    plain = MatrixCompletion(2, reg=0.3, bias=False, dtype="float64", random_state=0).fit(X)
    assert np.abs(plain.inverse_transform(plain.transform(X)) - plain.reconstruct()).max() < 1e-9
    soft = SoftImpute(12, reg=0.2, tol=1e-12, max_iter=2000, random_state=0).fit(X)
    assert np.abs(soft.inverse_transform(soft.transform(X)) - soft.reconstruct()).max() < 1e-3
    counts = np.where(np.isnan(X), 0.0, np.abs(X))
    choices = ImplicitALS(3, dtype="float64", random_state=0).fit(counts)
    assert np.abs(choices.inverse_transform(choices.transform(counts)) - choices.reconstruct()).max() < 1e-9


def test_new_rows_are_predicted_nearly_as_well_as_those_of_the_fit():
    new = np.arange(60) >= 45
    model = MatrixCompletion(2, reg=0.3, random_state=0).fit(X[~new])
    found = model.inverse_transform(*model.transform(X[new], return_bias=True))
    hidden = np.isnan(X[new])
    error = np.sqrt(np.mean((found - TRUTH[new])[hidden] ** 2))
    assert error < 0.3 * np.std(TRUTH[new][hidden])
    empty = model.inverse_transform(*model.transform(np.full((1, 40), np.nan), return_bias=True))
    assert np.allclose(empty[0], model.mean_ + model.col_bias_)


@pytest.mark.filterwarnings("ignore::nearlin.exceptions.GuaranteeWarning")
def test_columns_that_are_not_determined_are_not_predicted():
    rows, cols, values, truth = noiseless(60, 2, 5.0)
    kept = cols > 0
    table = sp.coo_array((values[kept], (rows[kept], cols[kept])), shape=(60, 60))
    model = MatrixCompletion(2, mode="exact", random_state=0).fit(table)
    assert model.col_status_[0] == "empty"
    found = model.inverse_transform(model.transform(truth))
    assert np.isnan(found[:, 0]).all()
    assert np.allclose(found[:, 1:], truth[:, 1:], atol=1e-6)


def test_a_fit_may_return_its_rows():
    for model, data in (
        (MatrixCompletion(2, reg=0.3, random_state=0), X),
        (SoftImpute(12, reg=0.3, random_state=0), (ROWS, COLS, VALUES)),
        (ImplicitALS(2, random_state=0), (ROWS, COLS)),
    ):
        rows = model.fit_transform(data)
        assert rows.dtype == np.float64
        assert np.array_equal(rows, model.U_)
    weighted = MatrixCompletion(2, reg=0.3, random_state=0)
    rows = weighted.fit_transform((ROWS, COLS, VALUES), sample_weight=np.arange(1.0, len(VALUES) + 1.0))
    assert not np.array_equal(rows, MatrixCompletion(2, reg=0.3, random_state=0).fit_transform(X))


def test_shapes_that_do_not_fit_are_told():
    model = MatrixCompletion(2, reg=0.3, random_state=0).fit(X)
    for U, bias in ((np.ones(2), None), (np.ones((2, 3)), [0.0, 0.0]), (np.ones((2, 2)), [0.0])):
        with pytest.raises(ShapeError):
            model.inverse_transform(U, bias)


def test_tags_say_what_is_taken():
    for model, allows_nan in ((MatrixCompletion(), True), (SoftImpute(), True), (ImplicitALS(), False)):
        tags = get_tags(model).input_tags
        assert (tags.sparse, tags.allow_nan) == (True, allows_nan)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AccuracyWarning)
            model.set_params(rank=2).fit(sp.csr_array(np.abs(np.nan_to_num(X))))
