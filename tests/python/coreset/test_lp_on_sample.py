"""Regression on a sample of the rows, measured on all of them, and with targets that are asked for."""

import itertools
import math
import threading
import warnings

import hypothesis.strategies as st
import numpy as np
import pandas
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from reference import lp as reference
from reference.coreset import GENERATORS
from reference.layouts import LAYOUTS, same_bits

from nearlin import lp_regression, sample_rows
from nearlin.exceptions import InvalidInputError, NonFiniteError, ShapeError


def problem(name="student", n=20_000, d=6, seed=0):
    rng = np.random.default_rng(seed)
    A = GENERATORS[name](n, d, seed)
    return A, A @ rng.standard_normal(A.shape[1]) + rng.laplace(size=n)


def objective(A, b, x, p, level=None, w=None):
    w = np.ones(len(b)) if w is None else w
    if level is None:
        return reference.norm(b - A @ x, p, w)
    return reference.loss((b - A @ x) * w, level)


@pytest.mark.parametrize(("p", "level"), [(1.0, None), (1.0, 0.1), (1.5, None), (2.0, None), (4.0, None)])
@pytest.mark.parametrize("name", ["gaussian", "student", "tabular", "one-hot", "spikes"])
def test_what_is_certified_on_all_rows_holds_and_is_close(name, p, level):
    A, b = problem(name)
    best = lp_regression(A, b, p=p, quantile=level, rng=0).objective
    for size in (200, 2000):
        found = lp_regression(A, b, p=p, quantile=level, size=size, rng=1)
        assert found.method == "coreset"
        assert found.n_kept == len(found.sample) == len(np.unique(found.sample.indices))
        assert found.objective == pytest.approx(objective(A, b, found.x, p, level), rel=1e-12)
        excess = 1.0 - best / found.objective
        certified = float(found.certificate)
        assert excess <= certified + 1e-12
        assert certified <= 1.05 * excess + 0.5 * A.shape[1] / size
        assert found.certificate.target is None


@pytest.mark.parametrize(("p", "level"), [(1.0, None), (1.0, 0.9), (1.5, None), (3.0, None)])
@pytest.mark.parametrize("name", ["gaussian", "student", "spikes"])
def test_rows_are_drawn_until_the_excess_is_below_eps(name, p, level):
    A, b = problem(name)
    best = lp_regression(A, b, p=p, quantile=level, rng=0).objective
    for eps in (0.05, 0.01):
        found = lp_regression(A, b, p=p, quantile=level, eps=eps, rng=2)
        assert found.certificate.met
        assert found.certificate.target == eps
        assert found.objective * (1.0 - eps) <= best
        draws = found.certificate.details["draws"]
        assert draws[-1] == found.n_kept
        assert all(more > less for less, more in itertools.pairwise(draws))


def test_more_rows_are_drawn_where_few_do_not_do_and_all_of_them_at_last():
    A, b = problem("gaussian", n=3000)
    few = lp_regression(A, b, size=20, eps=0.01, rng=0)
    assert len(few.certificate.details["draws"]) > 3
    assert few.certificate.met
    alone = lp_regression(A, b, size=20, rng=0)
    assert alone.certificate.bound > 0.01
    assert np.isin(alone.sample.indices, few.sample.indices).all()
    every = lp_regression(A, b, eps=1e-7, rng=0)
    assert len(every.sample) == 3000
    assert every.certificate.bound < 1e-8
    assert every.certificate.target == 1e-7
    assert every.objective == pytest.approx(lp_regression(A, b).objective, rel=1e-10)


def test_levels_share_a_sample():
    A, b = problem()
    levels = [0.1, 0.5, 0.9]
    found = lp_regression(A, b, quantile=levels, eps=0.02, rng=0)
    assert found.x.shape == (6, 3)
    assert found.certificate.met
    for k, level in enumerate(levels):
        best = lp_regression(A, b, quantile=level).objective
        assert found.objective[k] == pytest.approx(objective(A, b, found.x[:, k], 1.0, level), rel=1e-12)
        assert 1.0 - best / found.objective[k] <= found.certificate.details["excess"][k] + 1e-9
    assert (found.n_kept == len(found.sample)).all()
    # Levels at the ends take more rows: size / (2 min(q, 1 - q)).
    at_end = lp_regression(A, b, quantile=0.99, eps=0.1, rng=0)
    assert at_end.sample.expected_size >= 50 * 60


@pytest.mark.parametrize("p", [1.0, 3.0])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(layout, p):
    A, b = problem("tabular", 4000, 8)
    A = A.astype(np.float32).astype(np.float64)
    expected = lp_regression(A, b, p=p, size=600, rng=0)
    found = lp_regression(LAYOUTS[layout](A), b, p=p, size=600, rng=0)
    np.testing.assert_array_equal(found.sample.indices, expected.sample.indices)
    np.testing.assert_allclose(found.x, expected.x, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("ask", [{}, {"quantile": [0.2, 0.6]}, {"p": 1.7}, {"p": 2.0}, {"p": 4.0}])
def test_threads_change_no_bit(ask):
    A, b = problem()
    found = [lp_regression(A, b, size=900, rng=0, n_jobs=n_jobs, **ask) for n_jobs in (1, 2, 3, 8)]
    assert all(same_bits(other.x, found[0].x) for other in found)
    assert all(other.certificate == found[0].certificate for other in found)


@pytest.mark.parametrize("p", [1.0, 1.5, 4.0])
def test_weights_and_single_precision(p):
    A, b = problem()
    w = np.random.default_rng(3).integers(0, 4, len(b)).astype(float)
    bad = np.where(w[:, np.newaxis] == 0.0, np.nan, A)
    best = lp_regression(A, b, p=p, sample_weight=w).objective
    found = lp_regression(bad, b, p=p, sample_weight=w, eps=0.02, rng=0)
    assert found.certificate.met
    assert found.objective == pytest.approx(objective(A, b, found.x, p, w=w), rel=1e-12)
    assert 0.98 * found.objective <= best
    assert w[found.sample.indices].min() > 0.0
    single = lp_regression(A.astype(np.float32), b, p=p, sample_weight=w, eps=0.02, rng=0)
    assert single.x.dtype == np.float32
    assert objective(A, b, single.x, p, w=w) <= 1.0205 * best


@pytest.mark.parametrize("p", [1.0, 1.5, 3.0])
def test_columns_that_depend_on_others_and_rows_that_are_fitted(p):
    A, b = problem("tabular", 8000, 8)
    more = np.c_[A, A[:, :3] @ np.ones(3), np.zeros(len(A))]
    best = lp_regression(A, b, p=p).objective
    found = lp_regression(more, b, p=p, eps=0.02, rng=0)
    assert found.certificate.met
    assert 0.98 * found.objective <= best
    x = np.arange(8.0)
    fitted = lp_regression(A, A @ x, p=p, size=200, rng=0)
    np.testing.assert_allclose(fitted.x, x, atol=1e-8)
    assert fitted.certificate.bound <= 1e-9


@pytest.mark.parametrize("powers", [-290, -150, 150, 290])
@pytest.mark.parametrize("p", [1.0, 1.5, 3.0])
def test_magnitudes(p, powers):
    A, b = problem(n=4000)
    plain = lp_regression(A, b, p=p, size=500, rng=0)
    found = lp_regression(A, b * 2.0 ** float(3 * powers), p=p, size=500, rng=0)
    np.testing.assert_allclose(found.x * 2.0 ** float(-3 * powers), plain.x, rtol=1e-5, atol=1e-7)
    assert found.certificate.bound == pytest.approx(plain.certificate.bound, rel=1e-4)


@settings(max_examples=40)
@given(
    st.integers(2, 400),
    st.integers(1, 5),
    st.sampled_from([1.0, 1.4, 2.0, 2.5, 6.0]),
    st.floats(0.02, 0.98),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_no_objective_is_below_what_is_certified(n, d, p, level, seed, integers):
    rng = np.random.default_rng(seed)
    A, b = rng.standard_normal((n, d)), rng.standard_cauchy(n)
    if integers:
        A, b = np.round(A), np.round(b)
    w = rng.integers(0, 3, n).astype(float)
    w[0] = 1.0
    if not A[w > 0.0].any():
        return
    level = level if p == 1.0 else None
    found = lp_regression(A, b, p=p, quantile=level, size=n // 2 + d + 1, sample_weight=w, rng=seed)
    with warnings.catch_warnings(action="ignore"):
        best = lp_regression(A, b, p=p, quantile=level, sample_weight=w)
    assert best.objective >= found.objective * (1.0 - float(found.certificate)) - 1e-12


def asked(b):
    """Return a function that gives targets, and the rows that it was asked for."""
    calls = []

    def ask(rows):
        calls.append(rows.copy())
        return b[rows]

    return ask, calls


@pytest.mark.parametrize(("p", "level"), [(1.0, None), (1.0, [0.3, 0.8]), (1.5, None), (2.0, None)])
@pytest.mark.parametrize("name", ["gaussian", "student"])
def test_targets_are_asked_for_once_and_only_those_of_the_sample(name, p, level):
    A, b = problem(name)
    ask, calls = asked(b)
    found = lp_regression(A, ask, p=p, quantile=level, size=1000, rng=0)
    assert len(calls) == 1
    np.testing.assert_array_equal(calls[0], found.sample.indices)
    assert (np.diff(calls[0]) > 0).all()
    assert abs(len(calls[0]) - 1000) < 150
    assert math.isnan(found.certificate.bound)
    assert found.certificate.met is None
    assert "asked for" in found.certificate.note
    best = lp_regression(A, b, p=p, quantile=level)
    levels = [None] if level is None else level
    for k, one in enumerate(levels):
        x = found.x if level is None else found.x[:, k]
        reached = objective(A, b, x, p, one)
        assert reached <= 1.02 * np.atleast_1d(best.objective)[k]
        assert np.atleast_1d(found.objective)[k] == pytest.approx(reached, rel=0.2)
    # The rows are those that A alone tells of.
    with warnings.catch_warnings(action="ignore"):
        rows = sample_rows(A, p=p, size=1000, rng=0, scores=found.sample.scores).indices
    np.testing.assert_array_equal(rows, found.sample.indices)


def test_a_callable_wants_to_know_how_many():
    A, b = problem("gaussian")
    ask, calls = asked(b)
    with pytest.raises(InvalidInputError) as caught:
        lp_regression(A, ask, rng=0)
    assert caught.value.argument == "size"
    assert not calls
    assert lp_regression(A, ask, eps=0.05, rng=0).sample.expected_size == 120
    assert len(calls) == 1


@pytest.mark.parametrize("p", [1.0, 1.5])
def test_kept_rows_are_those_of_the_sample(p):
    A, b = problem("gaussian", n=20_000)
    ask, calls = asked(b)
    found = lp_regression(A, ask, size=3000, p=p, rng=0)
    assert found.n_kept == len(found.sample) == len(calls[0])
    A, b = A[:300], b[:300]
    found = lp_regression(A, b, eps=1e-7, p=p, rng=0)
    assert found.n_kept == len(found.sample) == 300


def test_samples_without_rows_are_drawn_again():
    A, b = np.ones((500, 1)), np.random.default_rng(0).standard_cauchy(500)
    for seed in range(30):
        found = lp_regression(A, b, size=2, rng=seed)
        assert len(found.sample) >= 1
        with warnings.catch_warnings(action="ignore"):
            found = lp_regression(A, lambda rows: b[rows], size=1, rng=seed)
        assert len(found.sample) >= 1


def test_a_callable_is_asked_about_every_direction():
    A = np.random.default_rng(0).standard_normal((3000, 4))
    for seed in range(10):
        ask, calls = asked(A @ [1.0, 2.0, 3.0, 4.0])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = lp_regression(A, ask, size=4, rng=seed)
        assert len(calls) == 1
        assert found.rank == np.linalg.matrix_rank(A[found.sample.indices]) == 4
        assert len(caught) == (len(found.certificate.details["draws"]) > 1)
        np.testing.assert_allclose(found.x, [1.0, 2.0, 3.0, 4.0], rtol=1e-6)


def test_a_size_below_the_rank_tells_of_which_matrix():
    A, b = problem("gaussian", n=500)
    d = A.shape[1]
    with pytest.raises(InvalidInputError, match=f"at least {d + 1}, the rank of A with b"):
        lp_regression(A, b, size=d)
    with pytest.raises(InvalidInputError, match=f"at least {d}, the rank of A$"):
        lp_regression(A, lambda rows: b[rows], size=d - 1)


def test_all_rows_are_fitted_to_eps_or_tol_whichever_is_less():
    A, b = problem("gaussian", n=60)
    best = lp_regression(A, b, p=1.5, tol=1e-13).objective
    with warnings.catch_warnings(action="error"):
        found = lp_regression(A, b, p=1.5, eps=1e-8, tol=0.5, rng=0)
    assert found.certificate.target == 1e-8
    assert found.certificate.met
    assert found.objective <= best * (1.0 + 1e-8)


def test_an_array_that_can_be_called_is_an_array():
    class Targets:
        def __init__(self, b):
            self.b = b

        def __array__(self, dtype=None, copy=None):
            return self.b

        def __call__(self, rows):
            raise AssertionError

    A, b = problem(n=300)
    assert same_bits(lp_regression(A, Targets(b)).x, lp_regression(A, b).x)


class Refused(Exception):
    """What a callable raises."""


def refuse(rows):
    raise Refused


MISBEHAVING = {
    "too few": (lambda rows: np.zeros(len(rows) - 1), ShapeError),
    "two columns": (lambda rows: np.zeros((len(rows), 2)), ShapeError),
    "a number": (lambda rows: 1.0, InvalidInputError),
    "nothing": (lambda rows: None, InvalidInputError),
    "text": (lambda rows: ["?"] * len(rows), InvalidInputError),
    "nan": (lambda rows: np.where(rows == rows[3], np.nan, 0.0), NonFiniteError),
    "infinity": (lambda rows: np.where(rows == rows[3], -np.inf, 0.0), NonFiniteError),
    "an exception": (refuse, Refused),
}


@pytest.mark.parametrize("what", MISBEHAVING)
def test_callables_that_misbehave(what):
    ask, error = MISBEHAVING[what]
    A, _ = problem(n=2000)
    with pytest.raises(error) as caught:
        lp_regression(A, ask, size=100, rng=0)
    if error is not Refused:
        assert caught.value.argument == "b"


def test_callables_that_keep_write_or_call_change_nothing():
    A, b = problem(n=3000)
    expected = lp_regression(A, lambda rows: b[rows], size=200, rng=0)

    def write(rows):
        targets = b[rows]
        rows[:] = 0
        return targets

    lent = []

    def lend(rows):
        lent.append(b[rows])
        return lent[0]

    def call(rows):
        lp_regression(A, b, size=100, rng=7)
        inner = threading.Thread(target=lambda: lp_regression(A, b, rng=3))
        inner.start()
        inner.join()
        return b[rows].tolist()

    for ask in (write, lend, call):
        found = lp_regression(A, ask, size=200, rng=0)
        assert same_bits(found.x, expected.x)
        np.testing.assert_array_equal(found.sample.indices, expected.sample.indices)
    np.testing.assert_array_equal(lent[0], b[expected.sample.indices])


BAD = {
    "p is infinite": ({"p": math.inf, "size": 100}, "p"),
    "p is large": ({"p": 31.0, "method": "coreset"}, "p"),
    "size is small": ({"size": 3}, "size"),
    "size is no number": ({"size": 0}, "size"),
    "eps is zero": ({"eps": 0.0}, "eps"),
    "eps is nan": ({"eps": math.nan}, "eps"),
    "size of all rows": ({"size": 100, "method": "full"}, "size"),
    "eps of all rows": ({"eps": 0.1, "method": "exact"}, "eps"),
    "tol": ({"tol": -1.0, "size": 100}, "tol"),
    "max_iter": ({"max_iter": 0, "size": 100}, "max_iter"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_options(what):
    ask, argument = BAD[what]
    A, b = problem(n=500)
    with pytest.raises(InvalidInputError) as caught:
        lp_regression(A, b, **ask)
    assert caught.value.argument == argument


def test_all_rows_are_not_for_a_callable():
    A, b = problem(n=500)
    for method in ("full", "exact"):
        with pytest.raises(InvalidInputError, match="callable"):
            lp_regression(A, lambda rows: b[rows], method=method)


@pytest.mark.parametrize("wrap", [np.asarray, sp.csr_array])
def test_what_is_not_finite_is_named(wrap):
    A, b = problem(n=900)
    bad = A.copy()
    bad[123, 4] = np.nan
    with pytest.raises(NonFiniteError, match=r"\[123, 4\]"):
        lp_regression(wrap(bad), b, size=100)
    with pytest.raises(NonFiniteError, match=r"\[123, 4\]"):
        lp_regression(wrap(bad), lambda rows: b[rows], size=100)
    target = b.copy()
    target[7] = np.inf
    with pytest.raises(NonFiniteError, match=r"`b`.*\[7\]"):
        lp_regression(wrap(A), target, size=100)


def test_it_prints_and_explains():
    A, b = problem()
    found = lp_regression(A, b, eps=0.05, rng=0)
    assert "coreset" in found.explain()
    assert f"{len(found.sample):,} rows" in found.explain()
    assert "distortion" in found.sample.explain()
    assert "not certified" in str(lp_regression(A, lambda rows: b[rows], size=600, rng=0).certificate)


def test_the_seed_decides_the_sample():
    A, b = problem()
    first, again, other = (lp_regression(A, b, size=300, rng=rng) for rng in (5, 5, 6))
    assert same_bits(first.x, again.x)
    assert not np.array_equal(first.sample.indices, other.sample.indices)
    # Seeds that made the data do no harm.
    rng = np.random.default_rng(0)
    A = rng.standard_normal((20_000, 5))
    b = rng.laplace(size=20_000)
    assert lp_regression(A, b, size=1000, rng=0).certificate.bound < 0.02


def test_the_sample_knows_the_columns_of_a_frame():
    A, b = np.random.default_rng(0).standard_normal((2, 500, 3))
    frame = pandas.DataFrame(A, columns=["age", "income", "flag"])
    found = lp_regression(frame, b[:, 0], size=100, rng=0)
    assert found.sample.feature_names == ["age", "income", "flag"]
    assert found.sample.apply(frame).shape == (len(found.sample), 3)
    with pytest.raises(InvalidInputError):
        found.sample.apply(frame[["flag", "age", "income"]])
    assert lp_regression(A, b[:, 0], size=100, rng=0).sample.feature_names is None
