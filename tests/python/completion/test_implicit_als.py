"""ImplicitALS beside slow NumPy, by properties, in every form of input, and on any number of threads."""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from reference.implicit import half, instance, losses, objective, penalties, weights
from sklearn.base import clone

from nearlin import ImplicitALS, MatrixCompletion
from nearlin.exceptions import AccuracyWarning, InvalidInputError, NearlinError, StateError

SHAPE = (90, 70)
R = instance(SHAPE)
ROWS, COLS = np.nonzero(R)
FAMILIES = {
    "implicit": {"confidence": "linear", "reg": 0.05},
    "heavy": {"confidence": "linear", "alpha": 7.0, "unobserved_weight": 0.3, "reg": 0.2},
    "light": {"confidence": "linear", "alpha": 0.2, "reg": 0.05},
    "scaled": {"confidence": "linear", "reg": 0.02, "reg_exponent": 1.0},
    "ials": {"confidence": "ials", "reg": 0.003},
    "weighted": {
        "confidence": "ials",
        "alpha": 3.0,
        "unobserved_weight": 0.5,
        "reg": 0.01,
        "reg_exponent": 0.5,
    },
}


def model_of(X=None, **options):
    options = {"rank": 6, "random_state": 1, "n_jobs": 1, "tol": 0.0} | options
    return ImplicitALS(**options).fit(sp.csr_array(R) if X is None else X)


def family(name):
    """Return alpha, weight of what is not stored, penalty and exponent."""
    options = FAMILIES[name]
    default = (1.0, 0.0) if options["confidence"] == "linear" else (0.1, 1.0)
    return (
        options["confidence"],
        options.get("alpha", 1.0),
        options.get("unobserved_weight", default[0]),
        options["reg"],
        options.get("reg_exponent", default[1]),
    )


def same(left, right):
    return np.array_equal(left.U_, right.U_) and np.array_equal(left.V_, right.V_)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("negative", [False, True])
def test_exact_sweeps_are_those_of_the_oracle(name, negative):
    counts = np.where(negative & (R == 2), -2.0, R)
    confidence, alpha, unobserved, reg, exponent = family(name)
    C, P = weights(counts, confidence, alpha, unobserved)
    of_rows, of_cols = penalties(counts, reg, exponent, unobserved)
    zeros = objective(
        counts, np.zeros((90, 1)), np.zeros((70, 1)), confidence, alpha, unobserved, reg, exponent
    )
    options = {"solver": "cholesky", "dtype": "float64", "polish": False} | FAMILIES[name]
    X = sp.csr_array(counts)
    V = model_of(X, max_iter=1, **options).V_
    found = model_of(X, max_iter=4, **options)
    for sweep in range(1, 4):
        U = half(C, P, V, of_rows)
        V = half(C.T, P.T, U, of_cols)
        value = objective(counts, U, V, confidence, alpha, unobserved, reg, exponent)
        assert found.history_[sweep] == pytest.approx(value / zeros, rel=1e-10)
    np.testing.assert_allclose(found.U_, U, atol=1e-8)
    np.testing.assert_allclose(found.V_, V, atol=1e-8)
    # Rows of the polished model are those of the stored columns.
    polished = model_of(X, max_iter=4, **options | {"polish": True})
    np.testing.assert_allclose(polished.U_, half(C, P, V, of_rows), atol=1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FAMILIES)
def test_no_sweep_of_any_solver_makes_the_objective_larger(name, dtype):
    ends = []
    for options in (
        {"solver": "cholesky"},
        {"solver": "cg"},
        {"solver": "cg", "cg_steps": 1},
        {"solver": "subspace", "block": 2},
        {"solver": "subspace", "block": 6},
    ):
        history = np.array(model_of(dtype=dtype, max_iter=40, **FAMILIES[name], **options).history_)
        assert np.all(np.diff(history) <= history[:-1] * (1e-6 if dtype == "float32" else 1e-12))
        ends.append(history[-1])
    # Others may end at other stationary points.
    assert ends[1] == pytest.approx(ends[0], rel=0.01)


def test_one_block_of_all_components_is_exact():
    one, other = (
        model_of(solver=solver, dtype="float64", max_iter=5, **FAMILIES["ials"])
        for solver in ("cholesky", "subspace")
    )
    np.testing.assert_allclose(other.history_, one.history_, rtol=1e-10)
    np.testing.assert_allclose(other.V_, one.V_, atol=1e-9)


def test_the_objective_told_is_that_of_the_factors():
    for name in FAMILIES:
        model = model_of(solver="cg", dtype="float64", polish=False, **FAMILIES[name])
        value, zeros = (
            objective(R, U, V, *family(name))
            for U, V in ((model.U_, model.V_), (np.zeros((90, 1)), np.zeros((70, 1))))
        )
        assert model.history_[-1] == pytest.approx(value / zeros, rel=1e-10)


def heavy_few(seed=0):
    """Return counts of two groups: many users choose much alike, few choose little, of other things."""
    rng = np.random.default_rng(seed)
    like = np.zeros((200, 80))
    like[:150, :40], like[150:, 40:] = 0.5, 0.12
    return (rng.random(like.shape) < like + 0.01).astype(float)


def test_the_tail_of_the_losses_is_what_cvar_makes_smaller():
    counts = heavy_few()
    options = {"rank": 4, "confidence": "ials", "reg": 0.003, "solver": "cholesky", "dtype": "float64"}
    means = {}
    for risk in (None, "cvar"):
        model = model_of(sp.csr_array(counts), risk=risk, max_iter=60, **options)
        sorted_losses = np.sort(losses(counts, model.U_, model.V_, 1.0, 0.1, 0.003, 1.0))
        means[risk] = sorted_losses[-60:].mean()
    assert means["cvar"] < 0.97 * means[None]
    assert model.tail_["weight"] == pytest.approx(0.3, rel=1e-6)
    assert model.tail_["mean"] == pytest.approx(means["cvar"], abs=0.01)
    assert np.all(np.diff(model.history_) <= 1e-12)
    assert "in the tail" in model.explain()
    assert model_of().tail_ is None


@pytest.mark.parametrize("risk", [None, "cvar"])
@pytest.mark.parametrize("name", ["implicit", "ials"])
def test_rows_that_come_later_are_those_of_the_fit(name, risk):
    if risk and name == "implicit":
        return
    for dtype, tolerance in (("float32", 1e-4), ("float64", 1e-10)):
        model = model_of(dtype=dtype, risk=risk, **FAMILIES[name])
        assert np.abs(model.transform(sp.csr_array(R)) - model.U_).max() < tolerance
        assert np.array_equal(model.transform(R), model.transform(sp.csc_array(R)))
        assert not model.transform(np.zeros((2, 70))).any()
        # What was minimised stays with the model, whatever is set for the next one.
        before = model.transform(R[:3])
        assert np.array_equal(
            model.set_params(reg=9.0, alpha=2.0, confidence="linear", risk=None).transform(R[:3]), before
        )
    twice = sp.csr_array(
        (
            np.r_[R[0, R[0] > 0] - 0.5, 0.5 * np.ones((R[0] > 0).sum())],
            np.tile(np.flatnonzero(R[0]), 2),
            [0, 2 * (R[0] > 0).sum()],
        ),
        shape=(1, 70),
    )
    assert np.allclose(model.transform(twice), model.transform(R[:1]))


@pytest.mark.parametrize("solver", ["cg", "cholesky", "subspace"])
def test_no_bit_depends_on_threads_order_or_form(solver):
    expected = model_of(solver=solver, block=4)
    values = R[ROWS, COLS]
    order = np.random.default_rng(0).permutation(len(values))
    frame = {"user": ROWS[order], "item": COLS[order], "count": values[order]}
    forms = {
        "shuffled": (ROWS[order], COLS[order], values[order]),
        "dense": R,
        "csc": sp.csc_array(R),
        "coo": sp.coo_array(R),
        "pandas": pd.DataFrame(frame),
        "polars": pl.DataFrame(frame),
        "halves": tuple(np.tile(part, 2) for part in (ROWS, COLS, values / 2)),
    }
    for form, X in forms.items():
        for n_jobs in (1, 3):
            assert same(model_of(X, solver=solver, block=4, n_jobs=n_jobs), expected), (form, n_jobs)


def test_a_heavy_column_is_spread_over_threads_without_a_trace():
    rng = np.random.default_rng(0)
    m = 34_000
    rows = np.concatenate([np.arange(m), rng.integers(0, m, 6000)])
    cols = np.concatenate([np.zeros(m, int), rng.integers(1, 30, 6000)])
    for options in ({"solver": "cholesky"}, {"solver": "cg"}, {"solver": "subspace", "block": 2}):
        one, *others = (
            model_of((rows, cols), rank=3, max_iter=2, n_jobs=n_jobs, **options) for n_jobs in (1, 2, 3)
        )
        assert all(same(one, other) for other in others)


def test_choices_without_confidences_count_once_and_add_up():
    ones = model_of((ROWS, COLS))
    assert same(ones, model_of((ROWS, COLS, np.ones(len(ROWS)))))
    frame = pd.DataFrame({"user": ROWS, "item": COLS})
    assert same(ones, model_of(frame))
    assert same(ones, model_of(pl.DataFrame(frame)))
    repeated = np.repeat(np.arange(len(ROWS)), R[ROWS, COLS].astype(int))
    assert same(model_of((ROWS[repeated], COLS[repeated])), model_of())


def test_ids_stay_and_rankings_leave_out_what_is_known():
    users, items = np.array([f"user {i:02d}" for i in range(90)]), np.arange(70) * 10**15
    model = model_of((users[ROWS], items[COLS], R[ROWS, COLS]))
    assert same(model, model_of())
    assert list(model.row_ids_) == list(users)
    best, scores = model.top_n(["user 03"], 5)
    all_scores = model.predict_row("user 03")
    assert np.allclose(all_scores, model.U_[3].astype(float) @ model.V_.T.astype(float), atol=1e-6)
    assert not set(best[0]) & set(items[R[3] > 0])
    expected = np.where(R[3] > 0, -np.inf, all_scores)
    assert np.array_equal(best[0], items[np.argsort(-expected)[:5]])
    assert np.array_equal(scores[0], np.sort(expected)[::-1][:5])
    found = model.predict(["user 03", "nobody"], [items[4], items[4]])
    assert found[0] == pytest.approx(all_scores[4])
    assert found[1] == 0.0
    # Those of one's group are preferred.
    assert np.mean(best[0] // 10**15 % 6 == 3) >= 0.8


def test_the_score_is_the_recall_of_what_was_left_out():
    rng = np.random.default_rng(0)
    test = rng.random(len(ROWS)) < 0.2
    model = model_of((ROWS[~test], COLS[~test]))
    X = ROWS[test], COLS[test]
    recalls = []
    for user in np.unique(X[0]):
        theirs = X[1][X[0] == user]
        best, _ = model.top_n([user], 5)
        recalls.append(len(set(theirs) & set(best[0])) / min(5, len(theirs)))
    assert model.score(X, n=5) == pytest.approx(np.mean(recalls))
    assert model.score(X, n=5) > 0.25
    strange = (np.r_[X[0], 10**6], np.r_[X[1], 3])
    assert model.score(strange, n=5) == pytest.approx(np.sum(recalls) / (len(recalls) + 1))
    assert model.score(X, n=1000) == pytest.approx(1.0)


def test_bytes_copies_and_pickles_are_the_same_model():
    model = model_of(risk="cvar", confidence="ials", dtype="float64")
    for twin in (
        ImplicitALS.from_bytes(model.to_bytes()),
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
        model.copy(),
    ):
        assert same(twin, model)
        assert twin.get_params() == model.get_params()
        assert twin.certificate_ == model.certificate_
        assert twin.tail_ == model.tail_
        assert twin.to_bytes() == model.to_bytes()
        assert np.array_equal(twin.transform(R), model.transform(R))
        assert all(map(np.array_equal, twin.top_n([3], 4), model.top_n([3], 4)))
    with pytest.raises(StateError):
        MatrixCompletion.from_bytes(model.to_bytes())
    with pytest.raises(StateError):
        ImplicitALS.from_bytes(MatrixCompletion(2, reg=1.0).fit(R).to_bytes())
    with pytest.raises(StateError):
        ImplicitALS.from_bytes(model.to_bytes()[:-1])
    assert not hasattr(clone(model), "U_")


def test_certificate_and_progress():
    told = []
    model = ImplicitALS(4, max_iter=6, tol=0.0, random_state=0)
    model.fit(sp.csr_array(R), progress=lambda *step: told.append(step))
    assert [step[:2] for step in told] == [(k, 6) for k in range(1, 7)]
    assert told[-1][2]["objective"] == model.history_[-1]
    assert not model.converged_
    fall = (model.history_[-2] - model.history_[-1]) / model.history_[-1]
    assert float(model.certificate_) == pytest.approx(fall)
    assert model.certificate_.details["n_observed"] == {"value": len(ROWS), "kind": "proven"}
    assert np.isnan(float(model_of(max_iter=1).certificate_))
    patient = model_of(tol=1e-3, max_iter=200)
    assert patient.converged_
    assert float(patient.certificate_) < 1e-3
    assert "90 x 70" in patient.explain()


@pytest.mark.parametrize(
    ("X", "words"),
    [
        (([], []), "`X` has no stored entries"),
        (np.zeros((3, 4)), "`X` has no stored entries"),
        (sp.csr_array((5, 4)), "`X` has no stored entries"),
        (([0, 1], [0, 1], [1.0, np.nan]), r"`values` contains NaN at \[1\]"),
        (np.array([[1.0, np.inf]]), r"`X` contains infinity"),
        (([0, -1], [0, 1]), r"`rows` contains -1 at \[1\]"),
        (([0, 1, 2], [0, 1]), "`cols` has 2 entries, expected 3"),
        (([0], [1], [1.0], [1.0]), "`X` is a tuple of 4"),
        (pd.DataFrame({"a": [1.0]}), "expected three columns"),
        (sp.csr_array(np.eye(9) * 1e150), "out of range"),
    ],
)
def test_entries_that_are_none(X, words):
    with pytest.raises(NearlinError, match=words):
        ImplicitALS(2).fit(X)


@pytest.mark.parametrize(
    "options",
    [
        {"rank": 0},
        {"confidence": "log"},
        {"alpha": 0.0},
        {"unobserved_weight": -1.0},
        {"reg": -1.0},
        {"reg_exponent": 3.0},
        {"solver": "sgd"},
        {"cg_steps": 0},
        {"block": 0},
        {"risk": "var"},
        {"risk": "cvar"},
        {"risk_alpha": 0.0},
        {"risk_bandwidth": 0.0},
        {"max_iter": 0},
        {"tol": -1.0},
        {"polish": 1},
        {"dtype": "float16"},
        {"random_state": -1},
        {"n_jobs": 0},
    ],
)
def test_options_that_are_none(options):
    (name,) = options
    with pytest.raises(NearlinError, match=f"`{name}`"):
        ImplicitALS(**options).fit(R)


def test_calls_that_make_no_sense():
    model = model_of()
    for call in (
        lambda: model.predict([0, 1], [0]),
        lambda: model.top_n([99], 1),
        lambda: model.transform(np.ones((2, 5))),
        lambda: model.transform(np.full((1, 70), np.nan)),
        lambda: model.score(([], [])),
        lambda: model.score((ROWS, COLS), n=0),
    ):
        with pytest.raises(InvalidInputError):
            call()


# Without a penalty, conjugate gradients go on where nothing is left to do.
@pytest.mark.filterwarnings("ignore:the objective rose:nearlin.exceptions.AccuracyWarning")
@pytest.mark.parametrize("options", [{}, {"confidence": "ials"}, {"confidence": "ials", "risk": "cvar"}])
@pytest.mark.parametrize("reg", [0.01, 0.0])
@pytest.mark.parametrize(
    "X", [([3], [5]), ([0, 1, 2], [0, 1, 2]), ([0, 1], [0, 0], [-1.0, -2.0]), ([0], [0], [0.0])]
)
def test_very_little_gives_a_finite_model(X, reg, options):
    for solver in ("cg", "cholesky", "subspace"):
        for dtype in ("float32", "float64"):
            model = ImplicitALS(5, reg=reg, solver=solver, dtype=dtype, random_state=0, **options).fit(X)
            assert np.isfinite(model.U_).all()
            assert np.isfinite(model.V_).all()
            assert np.isfinite(model.history_).all()


def test_an_objective_that_rises_ends_the_fit_with_a_warning():
    risen = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        X = np.where(rng.random((31, 25)) < 0.3, rng.integers(1, 9, (31, 25)) * 1e6, 0.0)
        model = ImplicitALS(6, alpha=40.0, reg=1.0, solver="cholesky", max_iter=60, tol=0.0, random_state=0)
        exact = clone(model).set_params(dtype="float64").fit(X)
        assert np.all(np.diff(exact.history_) <= 1e-9 * np.array(exact.history_[:-1]))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(X)
        rose = model.history_[-1] > 1.001 * model.history_[-2] + 10 * 2.0**-24
        risen += rose
        assert [warning.category for warning in caught] == [AccuracyWarning] * rose
        assert all(np.diff(model.history_)[:-1] <= 1e-3 * np.array(model.history_[:-2]) + 10 * 2.0**-24)
        if rose:
            assert not model.converged_
            assert np.isnan(model.certificate_.bound)
            assert "dtype='float64'" in str(caught[0].message)
    assert risen


@pytest.mark.parametrize("solver", ["cg", "cholesky", "subspace"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("unobserved_weight", [0.0, 1.0])
def test_without_anything_that_holds_factors_back_sums_of_squares_are_such(solver, dtype, unobserved_weight):
    for seed in range(12):
        rng = np.random.default_rng(seed)
        model = ImplicitALS(
            6, unobserved_weight=unobserved_weight, reg=0.0, solver=solver, block=2, dtype=dtype, max_iter=30,
            tol=0.0, random_state=0, polish=False,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AccuracyWarning)
            model.fit(sp.csr_array((rng.random((9, 24)) < 0.3) * 1.0))
        rounding = 20.0 * np.sqrt(np.finfo(dtype).eps)
        history = np.array(model.history_)
        assert np.all(history >= -rounding)
        assert np.all(np.diff(history) <= 1e-3 * history[:-1] + rounding)
        assert np.abs(model.U_).max() < 1e6
        assert np.abs(model.V_).max() < 1e6
