"""Entries with weights: as good as that many entries."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from reference.completion import instance

from nearlin import MatrixCompletion
from nearlin.exceptions import InvalidInputError, NearlinError

SHAPE = (60, 50)
ENTRIES = instance(SHAPE, 3, 0.4, seed=2)[:3]
PATIENT = {"dtype": "float64", "random_state": 1, "n_jobs": 1, "max_iter": 12, "validation_fraction": 0.0}

pytestmark = pytest.mark.filterwarnings("ignore::nearlin.exceptions.AccuracyWarning")


def model_of(entries, sample_weight=None, **options):
    options = {"rank": 4, "reg": 0.3} | PATIENT | options
    return MatrixCompletion(**options).fit(entries, sample_weight=sample_weight)


def repeated(entries, weights):
    return tuple(np.repeat(part, weights) for part in entries)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"validation_fraction": 0.2},
        {"reg": None, "max_iter": 4, "validation_fraction": 0.2},
        {"solver": "cg", "rank": 12},
        {"bias": False, "center": False, "reg_exponent": 1.0},
        {"nonnegative": True, "bias": False, "center": False},
        {"init": "random", "preconditioner": "gram", "solver": "cg"},
    ],
)
def test_a_whole_weight_is_that_many_entries(options):
    weights = np.arange(len(ENTRIES[2])) % 3 + 1
    many = model_of(repeated(ENTRIES, weights), **options)
    for form in ((*ENTRIES, weights), (*ENTRIES, weights.astype(np.float32))):
        one = model_of(form, **options)
        assert np.abs(one.reconstruct() - many.reconstruct()).max() < 1e-8
        assert one.mean_ == pytest.approx(many.mean_, rel=1e-12)
        assert one.history_ == pytest.approx(many.history_, rel=1e-9)
        assert one.reg_ == many.reg_
        if "validation_fraction" in options:
            assert one.validation_history_ == pytest.approx(many.validation_history_, rel=1e-9)
            assert one.certificate_.bound == pytest.approx(many.certificate_.bound, rel=1e-9)
    assert one.score(repeated(ENTRIES, weights)) == pytest.approx(one.score((*ENTRIES, weights)))
    assert one.score(ENTRIES, sample_weight=weights) == one.score((*ENTRIES, weights))


def test_equal_weights_take_the_place_of_a_smaller_penalty():
    common = {"bias": False, "reg_exponent": 0.5}
    plain = model_of(ENTRIES, reg=0.3, **common).reconstruct()
    weights = np.full(len(ENTRIES[2]), 4.0)
    assert np.abs(model_of(ENTRIES, weights, reg=0.6, **common).reconstruct() - plain).max() < 1e-9


def test_forms_and_orders_do_not_matter():
    rows, cols, values = ENTRIES
    weights = np.random.default_rng(0).uniform(0.1, 5.0, len(values))
    expected = model_of((rows, cols, values, weights), dtype=None)
    order = np.random.default_rng(1).permutation(len(values))
    shuffled = tuple(part[order] for part in (rows, cols, values, weights))
    sparse = sp.csr_array((values, (rows, cols)), shape=SHAPE)
    sparse.sort_indices()
    dense = np.full(SHAPE, np.nan)
    dense[rows, cols] = values
    whole = np.zeros(SHAPE)
    whole[rows, cols] = weights
    names = ("user", "item", "rating", "weight")
    forms = {
        "shuffled": (shuffled, None),
        "keyword": (shuffled[:3], shuffled[3]),
        "pandas": (pd.DataFrame(dict(zip(names, shuffled, strict=True))), None),
        "polars": (pl.DataFrame(dict(zip(names, shuffled, strict=True))), None),
        "csr": (sparse, whole[sparse.tocoo().row, sparse.tocoo().col]),
        "csc": (sparse.tocsc(), whole.T[whole.T > 0]),
        "coo": (sp.coo_array((shuffled[2], shuffled[:2]), shape=SHAPE), shuffled[3]),
        "dense": (dense, whole[~np.isnan(dense)]),
    }
    for name, (form, sample_weight) in forms.items():
        for n_jobs in (1, 3):
            found = model_of(form, sample_weight, dtype=None, n_jobs=n_jobs)
            assert np.array_equal(found.U_, expected.U_), (name, n_jobs)
            assert np.array_equal(found.V_, expected.V_), (name, n_jobs)


def test_entries_for_one_place_are_what_was_asked_for():
    rows, cols, values = ENTRIES
    weights = np.full(len(values), 2.0)
    twice = tuple(np.concatenate([part, part[:40]]) for part in (rows, cols, values))
    twice[2][-40:] += 1.0
    all_weights = np.concatenate([weights, np.full(40, 6.0)])
    merged = values.copy()
    merged[:40] += 0.75
    averaged = weights.copy()
    averaged[:40] = 4.0
    found = model_of((*twice, all_weights), duplicates="mean").reconstruct()
    assert np.abs(found - model_of((rows, cols, merged, averaged)).reconstruct()).max() < 1e-9
    last = (rows, cols, np.where(np.arange(len(values)) < 40, values + 1.0, values))
    last_weights = np.where(np.arange(len(values)) < 40, 6.0, 2.0)
    found = model_of((*twice, all_weights), duplicates="last").reconstruct()
    assert np.abs(found - model_of((*last, last_weights)).reconstruct()).max() < 1e-9
    with pytest.raises(InvalidInputError, match="more than one entry"):
        model_of((*twice, all_weights), duplicates="error")


def test_without_weight_an_entry_is_not_there():
    rows, cols, values = ENTRIES
    weights = np.where(np.arange(len(values)) % 4 == 0, 0.0, 1.0)
    kept = weights > 0
    found = model_of((rows, cols, values, weights))
    expected = model_of((rows[kept], cols[kept], values[kept]))
    assert np.abs(found.reconstruct() - expected.reconstruct()).max() < 1e-9
    only = model_of(([0, 1, 2], [0, 1, 0], [1.0, 2.0, 5.0], [1.0, 1.0, 0.0]))
    assert len(only.row_ids_) == 3
    assert not only.U_[2].any()


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([1.0, 2.0], "`weights` has shape"),
        ([1.0, -1.0, 2.0], r"`weights` contains -1.0 at \[1\]"),
        ([1.0, np.nan, 2.0], r"`weights` contains nan at \[1\]"),
        ([1.0, np.inf, 2.0], r"`weights` contains inf at \[1\]"),
        ([0.0, 0.0, 0.0], "no observed entries"),
        (["a", "b", "c"], "`weights`"),
        ([1e-60, 1.0, 1.0], r"`sample_weight` contains 1e-60 at \[0\], expected 0 or 1e-30 to 1e\+30"),
    ],
)
def test_weights_that_are_none(weights, words):
    X = ([0, 1, 2], [0, 1, 1], [1.0, 2.0, 3.0], weights)
    with pytest.raises(NearlinError, match=words):
        MatrixCompletion(2, reg=0.5).fit(X)
    with pytest.raises(NearlinError):
        MatrixCompletion(2, reg=0.5).fit(X[:3], sample_weight=weights)
    with pytest.raises(NearlinError, match="`sample_weight` is given"):
        MatrixCompletion(2, reg=0.5).fit(X, sample_weight=[1.0, 1.0, 1.0])


@pytest.mark.parametrize("unit", [1e-8, 1e-3, 1e5, 1e9])
def test_the_unit_of_weights_does_not_matter_where_the_penalty_is_chosen(unit):
    rows, cols, values, truth = instance((120, 80), 3, 0.4, noise=0.3, seed=4)
    error = []
    for factor in (1.0, unit):
        weights = factor * np.ones(len(values))
        model = MatrixCompletion(3, random_state=0, dtype="float64").fit((rows, cols, values, weights))
        error.append(np.sqrt(np.mean((model.reconstruct() - truth) ** 2)))
    assert error[1] < 1.1 * error[0]
