"""What MatrixCompletion refuses, in words that name the argument, and what it takes although it is little."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from nearlin import EntrySplit, MatrixCompletion
from nearlin.exceptions import AccuracyWarning, InvalidInputError, NearlinError

THREE = ([0, 1, 2], [0, 1, 1], [1.0, 2.0, 3.0])


def fitted():
    return MatrixCompletion(2, reg=0.5, random_state=0).fit(THREE)


@pytest.mark.parametrize(
    ("X", "words"),
    [
        (([], [], []), "`X` has no observed entries"),
        (np.full((3, 4), np.nan), "`X` has no observed entries"),
        (sp.csr_array((5, 4)), "`X` has no observed entries"),
        (([0, 1], [0, 1], [1.0, np.nan]), r"`values` contains NaN at \[1\]"),
        (([0, 1], [0, 1], [np.inf, 1.0]), r"`values` contains infinity at \[0\]"),
        (np.array([[1.0, np.nan], [np.inf, 2.0]]), r"`X` contains infinity at \[1, 0\]"),
        (sp.csr_array(np.array([[1.0, np.nan]])), r"`X` contains NaN at \[1\]"),
        (([0, -1], [0, 1], [1.0, 2.0]), r"`rows` contains -1 at \[1\]"),
        (([0, 1], [0.5, 1], [1.0, 2.0]), r"`cols` contains 0.5 at \[0\]"),
        (([0, 1], [0, None], [1.0, 2.0]), r"`cols` is missing at \[1\]"),
        (([0, 1, 2], [0, 1], [1.0, 2.0]), "`rows` has 3 entries, expected 2"),
        (([[0, 1]], [0, 1], [1.0, 2.0]), "`rows` has 2 dimensions"),
        (([0, 1], [0, 1]), r"`X` is a tuple of 2"),
        (([0, 1], [0, 1], ["a", "b"]), "`values`"),
        (pd.DataFrame({"a": [1.0], "b": [2.0]}), "expected three columns"),
        (np.zeros(3), "`X` has 1 dimensions|`X` has shape|`X`"),
    ],
)
def test_entries_that_are_none(X, words):
    with pytest.raises(NearlinError, match=words):
        MatrixCompletion(2, reg=0.5).fit(X)


@pytest.mark.parametrize(
    "options",
    [
        {"rank": 0},
        {"rank": 2.5},
        {"rank": 2**62},
        {"reg": -1.0},
        {"reg": np.nan},
        {"reg_exponent": -0.5},
        {"bias": "yes"},
        {"center": 1},
        {"solver": "sgd"},
        {"preconditioner": "jacobi"},
        {"init": "zeros"},
        {"inner_steps": 0},
        {"inner_tol": 1.0},
        {"max_iter": 0},
        {"tol": -1e-3},
        {"validation_fraction": 0.9},
        {"validation_fraction": 0.0, "reg": None},
        {"duplicates": "sum"},
        {"dtype": "float16"},
        {"random_state": -1},
        {"n_jobs": 0},
    ],
)
def test_options_that_are_none(options):
    (name, *_) = options
    options = {"reg": 0.5} | options
    with pytest.raises(NearlinError, match=f"`{name}`"):
        MatrixCompletion(**options).fit(THREE)


@pytest.mark.parametrize(
    "call",
    [
        lambda model: model.predict([0, 1], [0]),
        lambda model: model.predict([0.5], [0]),
        lambda model: model.predict_row(9),
        lambda model: model.top_n([0], 0),
        lambda model: model.top_n([7], 1),
        lambda model: model.transform(np.ones((2, 5))),
        lambda model: model.transform(np.array([[1.0, np.inf]])),
        lambda model: model.score(([], [], [])),
        lambda model: list(EntrySplit(test_size=0.01).split(THREE)),
        lambda model: list(EntrySplit(test_size=1.5).split(THREE)),
    ],
)
def test_calls_that_make_no_sense(call):
    with pytest.raises(InvalidInputError):
        call(fitted())


def test_an_index_of_a_sparse_matrix_that_leads_out_is_refused():
    X = sp.csr_array(np.eye(4))
    X.indices[2] = 9
    with pytest.raises(InvalidInputError):
        MatrixCompletion(2, reg=0.5).fit(X)
    with pytest.raises(InvalidInputError):
        MatrixCompletion(4, reg=0.5).fit(np.eye(4)).transform(X)


FEW = [
    ([3], [5], [2.0]),
    ([0, 1, 2], [0, 1, 2], [1.0, 1.0, 1.0]),
    ([0, 1, 2, 0, 1], [0, 1, 2, 1, 0], [1e300, 2e300, -1e300, 0.0, 1.0]),
    (range(40), [0] * 40, np.arange(40.0)),
    ([2**63 - 1, 2**62], [0, 1], [1.0, 2.0]),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reg", [0.5, 0.0, None])
@pytest.mark.filterwarnings("ignore::nearlin.exceptions.AccuracyWarning")
@pytest.mark.parametrize("X", FEW)
def test_very_few_entries_give_a_finite_model(X, reg, dtype):
    model = MatrixCompletion(5, reg=reg, dtype=dtype, random_state=0).fit(X)
    assert np.isfinite(model.reconstruct()).all()
    assert np.isfinite(model.U_).all()
    assert np.isfinite(model.V_).all()


def test_rows_and_columns_without_entries_are_predicted_by_what_is_known():
    X = sp.csr_array(([1.0, 2.0, 4.0], ([0, 1, 1], [0, 0, 2])), shape=(4, 5))
    model = MatrixCompletion(2, reg=0.5, random_state=0).fit(X)
    assert not model.U_[2:].any()
    assert not model.V_[[1, 3, 4]].any()
    assert model.predict([3], [4])[0] == pytest.approx(model.mean_)
    assert model.certificate_.details["empty_rows"]["value"] == 2
    assert model.certificate_.details["empty_cols"]["value"] == 3
    _, known = model.predict([9, 0], [0, 7], return_known=True)
    assert not known.any()


@pytest.mark.parametrize("continuation", ["none", "ridge", "rank"])
@pytest.mark.parametrize("rank", [5, "auto"])
@pytest.mark.filterwarnings("ignore::nearlin.exceptions.GuaranteeWarning")
@pytest.mark.filterwarnings("ignore::nearlin.exceptions.AccuracyWarning")
@pytest.mark.parametrize("X", FEW)
def test_what_very_few_entries_determine_is_all_that_is_predicted(X, rank, continuation):
    model = MatrixCompletion(rank, mode="exact", continuation=continuation, random_state=0).fit(X)
    found = model.reconstruct()
    assert np.isfinite(model.reconstruct(minimum_norm=True)).all()
    sides = [np.isin(status, ["weak", "determined"]) for status in (model.row_status_, model.col_status_)]
    determined = np.outer(*sides)
    assert not (np.isfinite(found) & ~determined).any()
    if rank == 5:
        assert np.isnan(found).all()
        assert model.status_ == "STALLED"
        assert np.isnan(float(model.certificate_))
        assert "determine nothing" in model.certificate_.note


def test_nothing_is_determined_without_a_warning():
    with pytest.warns(AccuracyWarning, match="do not determine any row"):
        MatrixCompletion(2, mode="exact").fit(THREE)
