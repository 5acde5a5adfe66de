"""MatrixCompletion beside slow NumPy, by properties, in every form of input, and on any number of threads."""

import copy
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.completion import balanced, bias_penalty, fold_in, instance, objective, sweep, unit
from sklearn.base import clone

import nearlin
from nearlin import MatrixCompletion
from nearlin.exceptions import AccuracyWarning, InvalidInputError

SHAPE = (80, 60)
ENTRIES = instance(SHAPE, 3, 0.4)
EXACT = {"dtype": "float64", "polish": False, "tol": 0.0, "validation_fraction": 0.0, "solver": "cholesky"}

quiet = pytest.mark.filterwarnings("ignore::nearlin.exceptions.AccuracyWarning")


def model_of(entries=ENTRIES, **options):
    options = {"rank": 4, "reg": 0.3, "random_state": 1, "n_jobs": 1} | options
    return MatrixCompletion(**options).fit(tuple(entries[:3]))


def in_units(model, values):
    """Return values, factors and biases as the core has them: over the standard deviation of the values."""
    scale = np.std(values) if model.center is not False else np.sqrt(np.mean(np.square(values)))
    root = np.sqrt(scale)
    factors = model.U_ / root, model.V_ / root, model.row_bias_ / scale, model.col_bias_ / scale
    return ((values - model.mean_) / scale, *factors)


def same(left, right):
    return all(
        np.array_equal(getattr(left, name), getattr(right, name))
        for name in ("U_", "V_", "row_bias_", "col_bias_", "row_ids_", "col_ids_")
    )


@quiet
@settings(max_examples=15, deadline=None)
@given(
    shape=st.tuples(st.integers(2, 30), st.integers(2, 30)),
    rank=st.integers(1, 9),
    exponent=st.sampled_from([0.0, 0.5, 1.0]),
    bias=st.booleans(),
    center=st.booleans(),
    seed=st.integers(0, 9),
)
def test_a_sweep_is_that_of_the_oracle(shape, rank, exponent, bias, center, seed):
    rows, cols, values, _ = instance(shape, 2, 0.5, seed=seed)
    if len(values) < 2:
        return
    ids = np.unique(rows), np.unique(cols)
    options = {"rank": rank, "reg": 0.2, "reg_exponent": exponent, "bias": bias, "center": center} | EXACT
    before, after = (model_of((rows, cols, values), max_iter=count, **options) for count in (2, 3))
    i, j = (np.searchsorted(ids[side], index) for side, index in enumerate((rows, cols)))
    size = len(ids[0]), len(ids[1])
    z, U, V, _, c = in_units(before, values)
    penalty = 0.2 * unit(i, j, z, size, bias)
    of_biases = bias_penalty(0.2) if bias else 0.0
    expected = sweep(i, j, z, balanced(i, j, U, V, exponent), c, penalty, exponent, of_biases, size)
    found = in_units(after, values)[1:]
    # Factors are those of the oracle but for a rotation.
    for mine, theirs in zip(*((U @ V.T, b, c) for U, V, b, c in (found, expected)), strict=True):
        assert np.abs(mine - theirs).max() <= 1e-9 * (1.0 + np.abs(theirs).max())
    value = objective(i, j, z, *expected, penalty, exponent, of_biases)
    assert after.history_[-1] == pytest.approx(value / (z @ z), rel=1e-9)


@quiet
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "options",
    [
        {"solver": "cholesky"},
        {"solver": "cg", "preconditioner": "none"},
        {"solver": "cg", "preconditioner": "gram", "inner_steps": 1},
        {"rank": 30, "solver": "auto"},
    ],
)
def test_no_sweep_makes_the_objective_larger(dtype, options):
    model = model_of(dtype=dtype, tol=0.0, validation_fraction=0.0, max_iter=12, **options)
    history = np.array(model.history_)
    assert model.n_iter_ == 12
    assert np.all(np.diff(history) <= history[:-1] * (1e-6 if dtype == "float32" else 1e-12))


@quiet
def test_solvers_end_at_the_same_model():
    patient = {"rank": 12, "max_iter": 15, "tol": 0.0, "validation_fraction": 0.0, "dtype": "float64"}
    exact = model_of(solver="cholesky", **patient).reconstruct()
    for preconditioner in ("none", "gram", "sketch"):
        options = {"solver": "cg", "preconditioner": preconditioner, "inner_steps": 200, "inner_tol": 1e-13}
        found = model_of(**options, **patient).reconstruct()
        assert np.abs(found - exact).max() < 1e-10


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_are_the_regressions_on_the_columns_and_so_are_those_that_come_later(bias, dtype):
    rows, cols, values, _ = ENTRIES
    model = model_of(bias=bias, dtype=dtype)
    z, _U, V, _b, c = in_units(model, values)
    penalty = 0.3 * unit_of_training(model, z, bias)
    X = np.full(SHAPE, np.nan)
    X[rows, cols] = values
    factor, own = model.transform(X, return_bias=True)
    scale = np.std(values)
    for i in (0, 7, 79):
        at = rows == i
        x, bias_of_row = fold_in(cols[at], z[at], V.astype(float), c, penalty, bias=bias_penalty(0.3) * bias)
        assert np.abs(factor[i] / np.sqrt(scale) - x).max() < (3e-6 if dtype == "float32" else 1e-10)
        assert own[i] / scale == pytest.approx(bias_of_row, abs=3e-6 if dtype == "float32" else 1e-10)
    assert np.abs(factor - model.U_).max() < (1e-4 if dtype == "float32" else 1e-10)
    assert np.array_equal(model.transform(sp.csc_array(sparse_of(X))), factor)
    assert not model.transform(np.full((1, 60), np.nan)).any()


def unit_of_training(model, z, bias):
    """Return the unit of the penalty: of the entries that are not held out, which only a fit to all shows."""
    assert model.certificate_.details.get("n_held_out") is None
    return unit(ENTRIES[0], ENTRIES[1], z, SHAPE, bias)


def sparse_of(X):
    i, j = np.nonzero(~np.isnan(X))
    return sp.csr_array((X[i, j], (i, j)), shape=X.shape)


@pytest.mark.parametrize("rank", [4, 30])
def test_no_bit_depends_on_threads_order_or_form(rank):
    rows, cols, values, _ = ENTRIES
    expected = model_of(rank=rank)
    order = np.random.default_rng(0).permutation(len(values))
    X = np.full(SHAPE, np.nan)
    X[rows, cols] = values
    sparse = sparse_of(X)
    unsorted = sparse.copy()
    for i in range(SHAPE[0]):
        part = slice(*unsorted.indptr[i : i + 2])
        unsorted.indices[part] = unsorted.indices[part][::-1].copy()
        unsorted.data[part] = unsorted.data[part][::-1].copy()
    unsorted.has_sorted_indices = False
    frame = {"user": rows[order], "item": cols[order], "rating": values[order]}
    forms = {
        "shuffled": (rows[order], cols[order], values[order]),
        "dense": X,
        "csr": sparse,
        "csc": sparse.tocsc(),
        "coo": sparse.tocoo(),
        "lil": sparse.tolil(),
        "unsorted": unsorted,
        "pandas": pd.DataFrame(frame),
        "polars": pl.DataFrame(frame),
    }
    for name, form in forms.items():
        for n_jobs in (1, 2, 3):
            model = MatrixCompletion(rank, reg=0.3, random_state=1, n_jobs=n_jobs).fit(form)
            assert same(model, expected), (name, n_jobs)


def test_one_heavy_row_is_spread_over_threads_without_a_trace():
    rng = np.random.default_rng(0)
    n = 34_000
    rows = np.concatenate([np.zeros(n, int), rng.integers(1, 5, 4000)])
    cols = np.concatenate([np.arange(n), rng.integers(0, n, 4000)])
    values = rng.standard_normal(len(rows)) + np.sin(cols)
    for solver in ("cholesky", "cg"):
        models = [
            MatrixCompletion(3, reg=0.5, solver=solver, max_iter=3, tol=0.5, random_state=0, n_jobs=n_jobs)
            for n_jobs in (1, 2, 3)
        ]
        one, *others = (model.fit((rows, cols, values)) for model in models)
        assert all(same(one, other) for other in others)


def test_results_follow_the_values_when_these_are_scaled():
    rows, cols, values, truth = ENTRIES
    one = model_of(reg=None, validation_fraction=0.1)
    for factor in (1e-3, 1e3, 1e30, 1e-30):
        other = model_of((rows, cols, values * factor), reg=None, validation_fraction=0.1)
        assert other.reg_ == one.reg_
        assert np.allclose(other.reconstruct() / factor, one.reconstruct(), atol=1e-3)
        assert other.certificate_.estimate == pytest.approx(factor * one.certificate_.estimate, rel=1e-3)
    assert np.sqrt(np.mean((one.reconstruct() - truth) ** 2)) < 0.12
    assert len(one.reg_path_) <= 8
    assert min(rmse for _, rmse in one.reg_path_) == pytest.approx(one.certificate_.estimate, rel=1e-5)


@quiet
def test_entries_for_one_place_are_what_was_asked_for():
    rows, cols, values, _ = (np.asarray(part) for part in ENTRIES)
    twice = [np.concatenate([part, part[:50]]) for part in (rows, cols)]
    again = np.concatenate([values, values[:50] + 1.0])
    mean = model_of((rows, cols, np.concatenate([values[:50] + 0.5, values[50:]])))
    last = model_of((rows, cols, again[np.r_[len(values) : len(again), 50 : len(values)]]))
    options = {"dtype": "float64", "reg_exponent": 0.0, "bias": False}
    assert np.allclose(model_of((*twice, again), duplicates="mean").U_, mean.U_, atol=1e-4)
    assert same(model_of((*twice, again), duplicates="last"), last)
    kept, one = (model_of((*twice, again), duplicates=rule, **options) for rule in ("keep", "mean"))
    assert not np.allclose(kept.U_, one.U_)
    coo = sp.coo_array((again, tuple(twice)), shape=SHAPE)
    assert same(MatrixCompletion(4, reg=0.3, random_state=1, **options).fit(coo), kept)
    # All rows and columns occur, so that their names are their numbers.
    place = f"row {rows[0]}, column {cols[0]}"
    with pytest.raises(nearlin.exceptions.InvalidInputError, match=place):
        model_of((*twice, again), duplicates="error")


def test_stored_zeros_were_observed():
    rows, cols, values, _ = ENTRIES
    zeroed = np.where(np.arange(len(values)) % 3, values, 0.0)
    X = sp.csr_array((zeroed, (rows, cols)), shape=SHAPE)
    assert X.nnz == len(values)
    assert same(MatrixCompletion(4, reg=0.3, random_state=1).fit(X), model_of((rows, cols, zeroed)))


def test_predictions_agree_in_all_their_forms():
    model = model_of()
    whole = model.reconstruct()
    i, j = np.indices(SHAPE).reshape(2, -1)
    assert np.array_equal(model.predict(i, j).reshape(SHAPE), whole)
    assert np.array_equal(model.predict_row(5), whole[5])
    by_hand = model.mean_ + model.row_bias_[:, None] + model.col_bias_ + model.U_ @ model.V_.T
    assert np.allclose(whole, by_hand, atol=1e-4)
    cols, scores = model.top_n([5, 0], 7)
    seen = set(ENTRIES[1][ENTRIES[0] == 5])
    order = [k for k in np.argsort(-whole[5], kind="stable") if k not in seen][:7]
    assert list(cols[0]) == order
    assert np.array_equal(scores[0], whole[5, order])
    assert set(model.top_n([5], 60, exclude_observed=False)[0][0]) == set(range(60))
    error = model.predict(*ENTRIES[:2]) - ENTRIES[2]
    assert model.score(tuple(ENTRIES[:3])) == pytest.approx(-np.sqrt(np.mean(error**2)))


def test_names_of_any_kind_are_kept_and_unknown_ones_told():
    rows, cols, values, _ = ENTRIES
    names = np.array([f"user {i:03d}" for i in range(SHAPE[0])])
    dates = np.datetime64("2024-01-01") + np.arange(SHAPE[1])
    expected = model_of()
    for row, col in [
        (names[rows], cols + 2**62),
        (names.astype(object)[rows], dates[cols]),
        (rows.astype(np.uint8), cols.astype(np.int16)),
    ]:
        model = model_of((row, col, values))
        assert np.array_equal(model.U_, expected.U_)
        found = model.predict(row, col)
        assert np.array_equal(found, expected.predict(rows, cols))
        assert set(model.top_n(row[:1], 3)[0][0]) <= set(col)
    model = model_of((names[rows], cols, values))
    found, known = model.predict(["user 000", "nobody", "nobody"], [10**9, 3, 10**9], return_known=True)
    assert not known.any()
    assert np.allclose(found, model.mean_ + np.array([model.row_bias_[0], model.col_bias_[3], 0.0]))
    assert model.row_ids_[4] == "user 004"


def test_bytes_copies_and_pickles_are_the_same_model():
    rows, cols, values, _ = ENTRIES
    names = np.array([f"user {i:03d}" for i in range(SHAPE[0])])
    for entries in (ENTRIES, (names[rows], cols, values), (names.astype(object)[rows], cols, values)):
        for reg in (0.3, None):
            model = model_of(entries, reg=reg)
            twins = [
                MatrixCompletion.from_bytes(model.to_bytes()),
                pickle.loads(pickle.dumps(model)),
                copy.deepcopy(model),
            ]
            for twin in twins:
                assert same(twin, model)
                assert twin.get_params() == model.get_params()
                assert twin.certificate_ == model.certificate_ or reg is not None
                assert twin.to_bytes() == model.to_bytes()
    bytes_ = model_of().to_bytes()
    with pytest.raises(nearlin.exceptions.StateError):
        MatrixCompletion.from_bytes(bytes_[:-1])
    assert not hasattr(pickle.loads(pickle.dumps(clone(model))), "U_")
    assert repr(MatrixCompletion.from_bytes(MatrixCompletion(3).to_bytes())) == "MatrixCompletion(rank=3)"


def test_the_interval_on_held_out_entries_holds_the_error_on_others():
    inside = 0
    for seed in range(100):
        rows, cols, values, truth = instance((150, 100), 2, 0.4, seed=seed)
        model = model_of((rows, cols, values), rank=2, random_state=seed, validation_fraction=0.05)
        hidden = np.ones(truth.shape, bool)
        hidden[rows, cols] = False
        # It is for the model without these entries, which is hardly another one.
        error = np.sqrt(np.mean((model.reconstruct() - truth)[hidden] ** 2) + 0.1**2)
        low, high = model.certificate_.details["interval"]["value"]
        assert float(model.certificate_) == high
        inside += low < error < high
    # 95 are expected; of intervals twice or half as wide 100 or 67 would be.
    assert 89 <= inside <= 99


@pytest.mark.parametrize("reg", [0.3, None])
def test_the_number_of_components_is_found(reg):
    # Biases that are penalised leave something for components to find, which is why there are none.
    entries = instance((120, 90), 3, 0.4, biases=False)
    model = model_of(entries, rank="auto", reg=reg, bias=False, center=False)
    errors = dict(model.rank_path_)
    rank = model.U_.shape[1]
    assert errors[rank] <= 1.002 * min(errors.values())
    # With a penalty that is given, more components than there are may help a little.
    assert rank >= 3 if reg else rank == 3 and errors[3] < 0.5 * errors[2]
    ranks = list(errors)
    assert bool(model.reg_path_) == (reg is None)
    assert "rank" in model.certificate_.note
    assert f"at rank {rank}, the best of {len(ranks)}" in model.explain()
    assert clone(model).get_params()["rank"] == "auto"


def test_biases_are_taken_or_left_by_what_is_held_out():
    for biases in (True, False):
        entries = instance((120, 90), 3, 0.4, biases=biases)
        model = model_of(entries, rank=3, bias="auto", reg=0.1, validation_fraction=None, max_iter=50)
        assert bool(model.row_bias_.any()) == biases
        best = model_of(entries, rank=3, bias=biases, reg=0.1, validation_fraction=0.05, max_iter=50)
        assert np.array_equal(best.U_, model.U_)
        assert "`bias` and the number of sweeps were chosen" in model.certificate_.note
    with pytest.raises(InvalidInputError, match="`validation_fraction` is 0 while `bias`"):
        model_of(bias="auto", reg=0.1, validation_fraction=0.0)
    with pytest.raises(InvalidInputError, match="`bias` is 'auto'"):
        model_of(bias="auto", loss="l1", reg=None)


def test_a_certificate_says_what_was_not_measured():
    certificate = model_of(validation_fraction=0.0).certificate_
    assert np.isnan(float(certificate))
    assert "held out" in str(certificate)
    rows = certificate.details["undetermined_rows"]
    assert rows == {"value": 0, "kind": "proven"}
    assert "4800" in model_of().explain() or "80 x 60" in model_of().explain()


def test_few_sweeps_warn_and_progress_is_told():
    told = []
    model = MatrixCompletion(4, reg=0.01, init="random", max_iter=2, tol=0.0, random_state=0)
    with pytest.warns(AccuracyWarning, match="max_iter=2"):
        model.fit(tuple(ENTRIES[:3]), progress=lambda *step: told.append(step))
    assert not model.converged_
    assert [step[:2] for step in told] == [(1, 2), (2, 2)]
    assert set(told[0][2]) == {"objective"}
    assert model_of(max_iter=200, tol=1e-3).converged_


def test_entries_are_split_in_any_form():
    rows, cols, values, _ = ENTRIES
    X = np.full(SHAPE, np.nan)
    X[rows, cols] = values
    for form in (tuple(ENTRIES[:3]), X, sparse_of(X), pl.DataFrame({"a": rows, "b": cols, "c": values})):
        split = nearlin.EntrySplit(3, test_size=0.25, random_state=0)
        parts = list(split.split(form))
        assert len(parts) == split.get_n_splits() == 3
        for train, test in parts:
            assert len(test) == round(0.25 * len(values))
            assert np.array_equal(np.sort(np.concatenate([train, test])), np.arange(len(values)))
        assert not np.array_equal(parts[0][1], parts[1][1])


@pytest.mark.parametrize("form", ["triples", "coo", "csr"])
def test_entries_of_one_place_are_split_together(form):
    rng = np.random.default_rng(0)
    rows, cols, values = rng.integers(0, 9, 200), rng.integers(0, 7, 200), rng.standard_normal(200)
    if form == "csr":
        order = np.argsort(rows, kind="stable")
        rows, cols, values = rows[order], cols[order], values[order]
        X = sp.csr_array((values, cols, np.concatenate([[0], np.cumsum(np.bincount(rows))])), shape=(9, 7))
    else:
        X = (rows, cols, values) if form == "triples" else sp.coo_array((values, (rows, cols)), shape=(9, 7))
    place = rows * 7 + cols
    for train, test in nearlin.EntrySplit(4, test_size=0.3, random_state=0).split(X):
        assert np.array_equal(np.sort(np.concatenate([train, test])), np.arange(200))
        assert not np.isin(place[test], place[train]).any()
        assert len(np.unique(place[test])) == round(0.3 * len(np.unique(place)))
