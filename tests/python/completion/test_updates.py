"""What a model makes of entries that come later, and how far it may be off."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from reference.completion import instance

from nearlin import MatrixCompletion
from nearlin.exceptions import InvalidInputError, NearlinError

SHAPE = (120, 90)
ROWS, COLS, VALUES, TRUTH = instance(SHAPE, 3, 0.5, seed=5)
COMMON = {"rank": 3, "reg": 0.3, "random_state": 0, "n_jobs": 1}

pytestmark = pytest.mark.filterwarnings("ignore::nearlin.exceptions.AccuracyWarning")


def some(chosen):
    return ROWS[chosen], COLS[chosen], VALUES[chosen]


def error_of(model):
    found = model.predict(*np.indices(SHAPE).reshape(2, -1))
    return np.sqrt(np.mean((found - TRUTH.ravel()) ** 2))


def test_ten_parts_are_nearly_as_good_as_all_at_once():
    whole = MatrixCompletion(**COMMON).fit((ROWS, COLS, VALUES))
    order = np.random.default_rng(0).permutation(len(VALUES))
    first, *chunks = np.array_split(order, 10)
    first = np.concatenate([first, *chunks[:4]])
    model = MatrixCompletion(**COMMON).partial_fit(some(first))
    before = error_of(model)
    for chunk in chunks[4:]:
        model.partial_fit(some(chunk))
    assert error_of(model) < 1.02 * error_of(whole) < 0.9 * before
    assert model.certificate_.details["n_observed"]["value"] == len(VALUES)
    assert f"{len(VALUES) - len(first)} entries have come since" in str(model.certificate_.note)
    again = model.fit((ROWS, COLS, VALUES))
    assert np.array_equal(again.U_, whole.U_)


@pytest.mark.parametrize("names", [False, True])
def test_new_rows_and_columns_find_their_place(names):
    old = (ROWS % 3 != 0) & (COLS % 4 != 0)
    called = [np.array([f"{index:03d}" for index in range(200)])[ids] for ids in (ROWS, COLS)]
    rows, cols = called if names else (ROWS, COLS)
    model = MatrixCompletion(**COMMON).fit((rows[old], cols[old], VALUES[old]))
    assert model.U_.shape == (80, 3)
    known = model.row_ids_.copy()
    untouched = model.U_.copy()
    model.partial_fit((rows[~old], cols[~old], VALUES[~old]), sweeps=3)
    assert list(model.row_ids_) == sorted(set(rows))
    assert list(model.col_ids_) == sorted(set(cols))
    whole = MatrixCompletion(**COMMON).fit((rows, cols, VALUES))
    truth = TRUTH.ravel()
    ids = np.indices(SHAPE).reshape(2, -1)
    ids = [np.array([f"{index:03d}" for index in side]) for side in ids] if names else ids
    errors = [np.sqrt(np.mean((one.predict(*ids) - truth) ** 2)) for one in (model, whole)]
    assert errors[0] < 1.05 * errors[1]
    # A row that nothing new was observed in stays as it was.
    fewer = MatrixCompletion(**COMMON).fit((rows[old], cols[old], VALUES[old]))
    fewer.partial_fit((rows[~old][:1], cols[~old][:1], VALUES[~old][:1]))
    same = np.searchsorted(fewer.row_ids_, known[known != rows[~old][0]])
    assert np.array_equal(fewer.U_[same], untouched[known != rows[~old][0]])


def test_touched_rows_are_those_of_the_columns_as_they_are():
    half = np.arange(len(VALUES)) % 2 == 0
    model = MatrixCompletion(**COMMON, dtype="float64").fit(some(half))
    model.partial_fit(some(~half))
    X = sp.csr_array((VALUES, (ROWS, COLS)), shape=SHAPE)
    factor, bias = model.transform(X, return_bias=True)
    assert np.abs(factor - model.U_).max() < 1e-10
    assert np.abs(bias - model.row_bias_).max() < 1e-10


def test_places_that_were_observed_before_follow_the_rule():
    later = np.arange(50)
    changed = (ROWS[later], COLS[later], VALUES[later] + 1.0)
    base = (ROWS, COLS, VALUES)
    options = COMMON | {"dtype": "float64"}
    moved = VALUES.copy()
    for rule, step, weight in (("last", 1.0, 1.0), ("mean", 0.5, 1.0), ("keep", 0.5, 2.0)):
        model = MatrixCompletion(**options, duplicates=rule).fit(base).partial_fit(changed)
        moved[later] = VALUES[later] + step
        X = sp.csr_array((moved, (ROWS, COLS)), shape=SHAPE)
        if weight == 1.0:
            assert np.abs(model.transform(X) - model.U_)[np.unique(ROWS[later])].max() < 1e-10
        count = len(VALUES) + (50 if rule == "keep" else 0)
        assert model.certificate_.details["n_observed"]["value"] == count
    with pytest.raises(InvalidInputError, match="more than one entry"):
        MatrixCompletion(**options, duplicates="error").fit(base).partial_fit(changed)


def test_weights_count_later_too():
    half = np.arange(len(VALUES)) % 2 == 0
    weights = (np.arange(len(VALUES)) % 3 + 1).astype(float)
    options = COMMON | {"dtype": "float64"}
    one = MatrixCompletion(**options).fit(some(half), sample_weight=weights[half])
    one.partial_fit((*some(~half), weights[~half]))
    often = weights.astype(int)
    many = MatrixCompletion(**options).fit(tuple(np.repeat(part, often[half]) for part in some(half)))
    many.partial_fit(tuple(np.repeat(part, often[~half]) for part in some(~half)))
    assert np.abs(one.reconstruct() - many.reconstruct()).max() < 1e-9


def test_later_entries_come_in_any_form_and_leave_no_trace_of_it():
    half = np.arange(len(VALUES)) % 2 == 0
    X = sp.csr_array((VALUES[~half], (ROWS[~half], COLS[~half])), shape=SHAPE)
    start = sp.csr_array((VALUES[half], (ROWS[half], COLS[half])), shape=SHAPE)
    expected = MatrixCompletion(**COMMON).fit(start).partial_fit(X)
    dense = np.full(SHAPE, np.nan)
    dense[ROWS[~half], COLS[~half]] = VALUES[~half]
    frame = pd.DataFrame({"a": ROWS[~half], "b": COLS[~half], "c": VALUES[~half]})
    for form in (X.tocsc(), X.tocoo(), dense, some(~half), frame):
        for n_jobs in (1, 2, 3, 8):
            model = MatrixCompletion(**COMMON | {"n_jobs": n_jobs}).fit(start).partial_fit(form)
            assert np.array_equal(model.U_, expected.U_)
            assert np.array_equal(model.V_, expected.V_)
    for twin in (pickle.loads(pickle.dumps(expected)), copy.deepcopy(expected)):
        more = ([3], [4], [5.0])
        assert np.array_equal(twin.partial_fit(more).U_, copy.deepcopy(expected).partial_fit(more).U_)


def test_a_matrix_may_grow():
    start = sp.csr_array((VALUES, (ROWS, COLS)), shape=SHAPE)
    model = MatrixCompletion(**COMMON).fit(start)
    model.partial_fit(([125, 3], [7, 95], [1.0, 2.0]))
    assert model.U_.shape == (126, 3)
    assert model.V_.shape == (96, 3)
    assert model.U_[125].any()
    assert not model.U_[121].any()
    assert len(model.row_ids_) == 126


@pytest.mark.parametrize(
    "X",
    [
        (["x"], [3], [1.0]),
        ([0.5], [3], [1.0]),
        ([-1], [3], [1.0]),
        ([1], [3], [np.nan]),
        ([1], [3], [np.inf]),
        sp.csr_array(np.eye(3)),
    ],
)
def test_entries_that_do_not_go_with_the_fit(X):
    model = MatrixCompletion(**COMMON).fit((ROWS, COLS, VALUES))
    before = model.U_
    with pytest.raises(NearlinError):
        model.partial_fit(X)
    assert model.U_ is before
    assert model.partial_fit(([], [], [])).U_ is before
    with pytest.raises(InvalidInputError, match="`sweeps`"):
        model.partial_fit(([1], [3], [1.0]), sweeps=0)


def test_ids_beyond_all_halves_are_only_names():
    ids = ROWS.astype(np.uint64) + np.uint64(2**63)
    half = np.arange(len(VALUES)) % 2 == 0
    model = MatrixCompletion(**COMMON).fit((ids[half], COLS[half] + 2**31, VALUES[half]))
    model.partial_fit((ids[~half], COLS[~half] + 2**31, VALUES[~half]))
    plain = MatrixCompletion(**COMMON).fit(some(half)).partial_fit(some(~half))
    assert np.array_equal(model.U_, plain.U_)
    assert model.row_ids_.dtype == np.uint64
    assert model.row_ids_.max() == ids.max()


def test_deviations_are_those_of_the_closed_form():
    model = MatrixCompletion(**COMMON, dtype="float64", validation_fraction=0.0).fit((ROWS, COLS, VALUES))
    X = np.full((3, SHAPE[1]), np.nan)
    X[0, ::3] = TRUTH[0, ::3]
    X[1, :5] = TRUTH[1, :5]
    factor, bias, deviations = model.transform(X, return_bias=True, return_std=True)
    assert np.array_equal(factor, model.transform(X))
    assert bias.shape == (3,)
    assert deviations.shape == X.shape
    scale = np.std(VALUES)
    V = np.hstack([model.V_ / np.sqrt(scale), np.ones((SHAPE[1], 1))])
    residual = VALUES - model.predict(ROWS, COLS)
    m, n, k = *SHAPE, 3
    noise = np.sqrt(np.sum(residual**2) / (len(VALUES) - k * (m + n - k) - m - n))
    penalty = fitted_penalty()
    for i in range(3):
        A = V[~np.isnan(X[i])]
        power = max(1, len(A)) ** 0.5
        inverse = np.linalg.inv(A.T @ A + np.diag([penalty * power] * 3 + [0.3 * power]))
        expected = noise * np.sqrt(1.0 + np.einsum("ij,jk,ik->i", V, inverse, V))
        assert np.abs(deviations[i] - expected).max() < 1e-10 * expected.max()
    assert np.all(deviations[2] > deviations[0])


def fitted_penalty():
    from reference.completion import unit

    return 0.3 * unit(ROWS, COLS, (VALUES - VALUES.mean()) / np.std(VALUES), SHAPE)


def test_intervals_hold_as_many_entries_as_they_say():
    rows, cols, values, truth = instance((400, 100), 3, 0.5, noise=0.5, seed=3)
    later = rows >= 300
    model = MatrixCompletion(**COMMON).fit((rows[~later], cols[~later], values[~later]))
    X = np.full((100, 100), np.nan)
    X[rows[later] - 300, cols[later]] = values[later]
    X[:, ::2] = np.nan
    factor, bias, deviations = model.transform(X, return_bias=True, return_std=True)
    found = model.mean_ + bias[:, None] + model.col_bias_ + factor @ model.V_.T
    fresh = truth[300:] + 0.5 * np.random.default_rng(9).standard_normal((100, 100))
    inside = np.mean((np.abs(fresh - found) < 1.96 * deviations)[:, ::2])
    assert 0.92 < inside < 0.98
