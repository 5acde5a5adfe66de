"""Entries for one place: one rule for every method and for every form in which they come."""

import numpy as np
import pytest
import scipy.sparse as sp
from reference.completion import instance

from nearlin import ImplicitALS, MatrixCompletion, SoftImpute
from nearlin.exceptions import InvalidInputError

SHAPE = (50, 30)
ROWS, COLS, VALUES, _ = instance(SHAPE, 2, 0.4)
TWICE = [np.concatenate([part, part[:80]]) for part in (ROWS, COLS)]
AGAIN = np.concatenate([VALUES, VALUES[:80] + 1.0])


def compressed(rows, cols, values, form="csr"):
    """Return a CSR or CSC matrix in which places are repeated."""
    lines, others, count = (rows, cols, SHAPE[0]) if form == "csr" else (cols, rows, SHAPE[1])
    order = np.argsort(lines, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(lines, minlength=count))])
    made = sp.csr_array if form == "csr" else sp.csc_array
    return made((values[order], others[order], indptr), shape=SHAPE)


def forms(values):
    return {
        "list": (*TWICE, values),
        "coo": sp.coo_array((values, tuple(TWICE)), shape=SHAPE),
        "csr": compressed(*TWICE, values),
        "csc": compressed(*TWICE, values, "csc"),
    }


@pytest.mark.parametrize("rule", ["keep", "mean", "last"])
def test_rows_that_are_folded_in_know_the_rule(rule):
    options = {"rank": 2, "reg": 0.3, "duplicates": rule, "dtype": "float64", "random_state": 0}
    expected = MatrixCompletion(**options).fit((*TWICE, AGAIN))
    half = np.arange(len(AGAIN)) % 2 == 0
    scores, errors = [], {}
    for form, X in forms(AGAIN).items():
        model = MatrixCompletion(**options).fit(X)
        assert np.array_equal(model.U_, expected.U_), form
        if form != "list":
            rows, deviations = model.transform(X, return_std=True)
            assert np.abs(rows - expected.U_).max() < 1e-9, form
            errors[form] = deviations
        scores.append(model.score(X))
        assert scores[-1] == pytest.approx(scores[0])
    assert all(np.allclose(found, errors["coo"]) for found in errors.values())
    # The first fifty places have one value after the other.
    places = dict.fromkeys(zip(*TWICE, strict=True))
    if rule != "keep":
        for i, j, value in zip(*TWICE, AGAIN, strict=True):
            places[i, j] = [*(places[i, j] or []), value]
        one = {place: np.mean(v) if rule == "mean" else v[-1] for place, v in places.items()}
        error = model.predict(*zip(*one, strict=True)) - np.array(list(one.values()))
    else:
        error = model.predict(*TWICE) - AGAIN
    assert scores[0] == pytest.approx(-np.sqrt(np.mean(error**2)))
    later = MatrixCompletion(**options).fit((TWICE[0][half], TWICE[1][half], AGAIN[half]))
    parts = [
        later.copy().partial_fit((*(part[~half] for part in TWICE), AGAIN[~half])).U_,
        MatrixCompletion(**options)
        .fit(sp.coo_array((AGAIN[half], tuple(part[half] for part in TWICE)), shape=SHAPE))
        .partial_fit(sp.coo_array((AGAIN[~half], tuple(part[~half] for part in TWICE)), shape=SHAPE))
        .U_,
    ]
    assert np.array_equal(*parts)


def test_an_error_is_one_everywhere():
    model = MatrixCompletion(2, reg=0.3, duplicates="error").fit((ROWS, COLS, VALUES))
    for form, X in forms(AGAIN).items():
        calls = [model.score, MatrixCompletion(2, reg=0.3, duplicates="error").fit]
        for call in calls if form == "list" else [*calls, model.transform]:
            with pytest.raises(InvalidInputError, match="more than one entry"):
                call(X)


def test_truth_values_are_entries_like_others():
    told = np.ones(len(AGAIN), dtype=bool)
    told[::3] = False
    options = {"rank": 2, "reg": 0.3, "random_state": 0}
    one, *others = (MatrixCompletion(**options).fit(X) for X in forms(told).values())
    assert one.certificate_.details["n_observed"]["value"] == len(AGAIN)
    assert all(np.array_equal(one.U_, other.U_) for other in others)
    choices = [ImplicitALS(2, random_state=0).fit(X) for X in forms(told).values()]
    counted = ImplicitALS(2, random_state=0).fit((*TWICE, told.astype(float)))
    assert all(np.array_equal(model.U_, counted.U_) for model in choices)


def test_what_is_averaged_or_added_up_is_so_in_new_rows_too():
    soft = [SoftImpute(8, reg=0.3, random_state=0).fit(X) for X in forms(AGAIN).values()]
    assert all(np.array_equal(soft[0].V_, model.V_) for model in soft)
    rows = [soft[0].transform(X) for form, X in forms(AGAIN).items() if form != "list"]
    assert all(np.allclose(rows[0], found, atol=1e-12) for found in rows)
    assert len({round(soft[0].score(X), 12) for X in forms(AGAIN).values()}) == 1
    counts = np.abs(AGAIN)
    model = ImplicitALS(2, random_state=0, dtype="float64").fit((*TWICE, counts))
    for form, X in forms(counts).items():
        if form != "list":
            assert np.abs(model.transform(X) - model.U_).max() < 1e-9
    # A column that was chosen twice is hit once.
    fresh = ImplicitALS(2, random_state=0).fit((ROWS[::2], COLS[::2]))
    once = fresh.score((ROWS[1::2], COLS[1::2]), n=5)
    assert fresh.score(tuple(np.tile(part[1::2], 2) for part in (ROWS, COLS)), n=5) == once
