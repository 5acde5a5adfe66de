"""StreamingLeastSquares by its triangular factor: answers, bits, bytes, names, removal, tables, refusals."""

import copy
import itertools
import os
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import regression
from reference import triangular as reference
from reference.layouts import LAYOUTS
from reference.signals import heard_by_a_copy
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.utils.estimator_checks import check_estimator

import nearlin
from nearlin import StreamingLeastSquares
from nearlin.data import blocks
from nearlin.exceptions import (
    GuaranteeWarning,
    InvalidInputError,
    InvalidTypeError,
    NonFiniteError,
    ShapeError,
    StateError,
)
from nearlin.sketch import PHT

problem = regression.problems(3000, 5, decades=-3.0)


def stream(**options):
    return StreamingLeastSquares(**options)


def in_blocks(X, y, ends, sample_weight=None, **options):
    made, start = stream(**options), 0
    for end in [*ends, len(X)]:
        rows = slice(start, end)
        made.partial_fit(X[rows], y[rows], None if sample_weight is None else sample_weight[rows])
        start = end
    return made


# --- answers ------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    n=st.integers(1, 2000),
    d=st.integers(1, 12),
    k=st.integers(0, 3),
    intercept=st.booleans(),
    weighted=st.booleans(),
    ridge=st.sampled_from([0.0, 3.0]),
    cuts=st.lists(st.integers(0, 2000), max_size=4),
    seed=st.integers(0, 99),
)
def test_answers_are_those_of_least_squares(n, d, k, intercept, weighted, ridge, cuts, seed):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) * 10.0 ** rng.integers(-3, 4, d) + rng.integers(-3, 4, d)
    y = rng.standard_normal((n, k) if k else n)
    weight = rng.integers(0, 3, n).astype(float) if weighted else None
    if weighted and not weight.any():
        weight[0] = 1.0
    found = in_blocks(X, y, sorted(min(cut, n) for cut in cuts), weight, fit_intercept=intercept, ridge=ridge)
    x, constant = reference.minimiser(X, y, weight, fit_intercept=intercept, ridge=ridge)
    present = n if weight is None else np.count_nonzero(weight)
    assert found.coef_.shape == ((k, d) if k else (d,))
    scale = np.sqrt(np.mean((X - X.mean(axis=0) if intercept else X) ** 2, axis=0))
    if present > d + intercept or ridge:
        difference = np.abs(np.atleast_2d(found.coef_) - x.T) * scale
        assert difference.max() <= 1e-7 * (1.0 + np.abs(x.T * scale).max())
    fits = np.asarray(found.predict(X)).reshape(n, -1), X @ x + constant
    if not ridge:
        root = np.sqrt(np.ones(n) if weight is None else weight)[:, None]
        left = [np.linalg.norm(root * (y.reshape(n, -1) - fit), axis=0) for fit in fits]
        size = np.linalg.norm(root * y.reshape(n, -1), axis=0)
        np.testing.assert_array_less(left[0], left[1] + 1e-9 * size + 1e-300)
        found_norm = np.atleast_1d(found.result().residual_norm)
        np.testing.assert_array_less(np.abs(found_norm - left[1]), 1e-9 * (1 + size))
    assert found.certificate_.met


@pytest.mark.parametrize("condition", [1e1, 1e6, 1e10, 1e13])
@pytest.mark.parametrize("noise", [1e-12, 1.0])
def test_the_backward_error_is_that_of_rounding_at_any_condition_and_within_the_bound(condition, noise):
    A = reference.of_condition(20_000, 30, condition)
    rng = np.random.default_rng(1)
    b = A @ rng.standard_normal(30) + noise * rng.standard_normal(20_000) / 100
    found = in_blocks(A, b, range(700, 20_000, 700))
    error = reference.backward_error(A, b, found.coef_)
    assert error <= 4 * 2**-53
    assert error <= found.certificate_.bound
    assert found.rank_ == 30
    assert found.certificate_.met


def test_bounds_hold_for_many_leaves():
    rng = np.random.default_rng(2)
    A = rng.standard_normal((400_000, 4)) + 30.0
    b = A @ np.ones(4) + rng.standard_normal(400_000)
    found = in_blocks(A, b, range(999, 400_000, 39_999))
    assert reference.backward_error(A, b, found.coef_) <= found.certificate_.bound <= 1e-14


def test_large_means_cost_no_digit_under_an_intercept():
    rng = np.random.default_rng(3)
    near = np.round(rng.standard_normal((20_000, 3)) * 1024) / 1024
    y = near @ [1.0, -2.0, 3.0] + rng.standard_normal(20_000)
    found, expected = (in_blocks(X, y, [5000], fit_intercept=True) for X in (near + 2.0**30, near))
    np.testing.assert_allclose(found.coef_, expected.coef_, rtol=1e-12)
    drifting = near + np.linspace(0.0, 1e6, 20_000)[:, None]
    x, _ = reference.minimiser(drifting, y, fit_intercept=True)
    np.testing.assert_allclose(in_blocks(drifting, y, [7], fit_intercept=True).coef_, x.ravel(), rtol=1e-8)


@pytest.mark.parametrize("of_X", [1e-150, 1.0, 1e150])
@pytest.mark.parametrize("of_y", [1e-150, 1.0, 1e150])
@pytest.mark.parametrize("intercept", [False, True])
def test_any_scale(of_X, of_y, intercept):
    A, _ = problem(d=3)
    exact = np.array([1.0, 2.0, -3.0])
    found = in_blocks(A * of_X, (A @ exact) * of_y, [1000], fit_intercept=intercept)
    np.testing.assert_allclose(found.coef_, exact * (of_y / of_X), rtol=1e-12)
    wild = np.array([1e-150, 1e150, 1.0])
    found = in_blocks(A * wild, (A @ exact) * of_y, [1000], fit_intercept=intercept)
    np.testing.assert_allclose(found.coef_ * wild, exact * of_y, rtol=1e-12)


@pytest.mark.parametrize("intercept", [False, True])
def test_what_the_rows_do_not_determine_is_as_linear_regression_has_it(intercept):
    rng = np.random.default_rng(4)
    X = rng.standard_normal((900, 6))
    X[:, 1], X[:, 4] = 0.1, X[:, 0] * 3.0
    y = rng.standard_normal(900)
    found = in_blocks(X, y, [200, 450], fit_intercept=intercept)
    expected = nearlin.LinearRegression(fit_intercept=intercept).fit(X, y)
    np.testing.assert_allclose(found.coef_, expected.coef_, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(found.intercept_, expected.intercept_, rtol=1e-10)
    assert found.rank_ == expected.rank_
    np.testing.assert_array_equal(found.constant_features_, expected.constant_features_)
    tables = found.summary(), expected.summary()
    np.testing.assert_array_equal(tables[0].identified, tables[1].identified)
    np.testing.assert_array_equal(tables[0].left_out, tables[1].left_out)
    np.testing.assert_allclose(tables[0].std_err, tables[1].std_err, rtol=1e-9)


def test_fewer_rows_than_columns():
    A, b = problem(4, 9)
    found = in_blocks(A, b, [2])
    np.testing.assert_allclose(found.coef_, np.linalg.lstsq(A, b, rcond=None)[0], rtol=1e-9, atol=1e-12)
    assert found.rank_ == 4
    one = stream(fit_intercept=True).fit(A[:1], b[:1])
    assert not one.coef_.any()
    assert one.intercept_ == b[0]


@pytest.mark.parametrize(("of_A", "of_b"), [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
def test_zeros(of_A, of_b):
    A, b = problem()
    found = in_blocks(A * of_A, b * of_b, [1000])
    assert not found.coef_.any()
    assert found.rank_ == (5 if of_A else 0)
    assert found.result().residual_norm == pytest.approx(np.linalg.norm(b * of_b), rel=1e-12)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layouts_do_not_change_a_bit(layout, dtype):
    A, b = problem(dtype=dtype)
    A[np.random.default_rng(2).random(A.shape) < 0.7] = 0
    weight = np.linspace(0, 2, len(A))
    plain, other = (stream(fit_intercept=True).partial_fit(M, b, weight) for M in (A, layout(A)))
    assert plain.coef_.tobytes() == other.coef_.tobytes()
    assert plain.summary().std_err.tobytes() == other.summary().std_err.tobytes()
    assert other.coef_.dtype == dtype
    single = stream(fit_intercept=True).partial_fit(A.astype(np.float64), b, weight)
    np.testing.assert_allclose(plain.coef_, single.coef_, rtol=1e-4 if dtype == np.float32 else 0)


def test_a_stream_of_both_precisions_is_of_double_precision():
    A, b = problem()
    parts = stream().partial_fit(A[:500].astype(np.float32), b[:500])
    assert parts.coef_.dtype == np.float32
    assert parts.partial_fit(A[500:], b[500:]).coef_.dtype == np.float64


def test_rows_of_weight_zero_count_as_absent():
    A, b = problem()
    parts = stream(fit_intercept=True).partial_fit(A[:2000], b[:2000])
    before = parts.summary()
    parts.partial_fit(A[2000:] * 1e6, b[2000:], sample_weight=0.0)
    after = parts.summary()
    np.testing.assert_allclose(after.coef, before.coef, rtol=1e-12)
    assert (after.n, before.n, parts.n_rows_seen) == (2000, 2000, 3000)
    first = stream(fit_intercept=True).partial_fit(A[2000:] * 1e6, b[2000:], sample_weight=0.0)
    first.partial_fit(A[:2000], b[:2000])
    np.testing.assert_allclose(first.coef_, before.coef[1:], rtol=1e-12)


# --- bits ---------------------------------------------------------------------------------------------------


@settings(max_examples=5 if os.environ.get("NEARLIN_ISA") == "portable" else 30)
@given(
    cuts=st.lists(st.integers(0, 70_000), max_size=6),
    threads=st.sampled_from([1, 2, 5]),
    intercept=st.booleans(),
    single=st.booleans(),
)
def test_streams_in_order_have_the_bits_of_one_block(cuts, threads, intercept, single):
    rng = np.random.default_rng(5)
    A, b = rng.standard_normal((70_000, 30)), rng.standard_normal((70_000, 2))
    A, b = (values.astype(np.float32) if single else values for values in (A, b))
    at_once = stream(fit_intercept=intercept, n_jobs=1).partial_fit(A, b)
    parts = in_blocks(A, b, sorted(cuts), fit_intercept=intercept, n_jobs=threads)
    assert parts.covered == (range(0, 70_000),)
    parts.set_params(n_jobs=1)
    assert parts.to_bytes() == at_once.to_bytes()
    assert parts.coef_.tobytes() == at_once.coef_.tobytes()


def test_merged_streams_agree_with_one_and_the_same_merges_give_the_same_bits():
    A, b = problem(10_000)
    at_once = stream(fit_intercept=True).partial_fit(A, b)
    cuts = [0, 700, 4000, 10_000]

    def parts():
        made = []
        for start, end in itertools.pairwise(cuts):
            made.append(stream(fit_intercept=True).partial_fit(A[start:end], b[start:end], row_offset=start))
        return made

    orders = [[0, 1, 2], [2, 0, 1], [2, 1, 0]]
    for order in orders:
        merged = []
        for close in (False, True, False):
            made = parts()
            if close:
                _ = [part.close() for part in made]
            first, *others = (made[k] for k in order)
            for other in others:
                first.merge(other)
            assert first.covered == (range(0, 10_000),)
            np.testing.assert_allclose(first.coef_, at_once.coef_, rtol=1e-11)
            merged.append(first)
        assert merged[0].to_bytes() == merged[2].to_bytes()
        assert len(merged[1].to_bytes()) < len(merged[0].to_bytes())


def test_merging_with_a_stream_that_has_nothing():
    A, b = problem()
    full, empty = stream().partial_fit(A, b), stream()
    expected = full.coef_.tobytes()
    assert full.merge(empty).coef_.tobytes() == expected
    assert empty.merge(full).coef_.tobytes() == expected
    assert stream().merge(stream()).n_rows_seen == 0


def test_threads_may_share_a_stream():
    A, b = problem(8000)
    parts, starts = stream(), range(0, 8000, 500)
    with ThreadPoolExecutor(4) as pool:
        rows = [slice(start, start + 500) for start in starts]
        list(pool.map(lambda own: parts.partial_fit(A[own], b[own], row_offset=own.start, n_jobs=2), rows))
    assert parts.covered == (range(0, 8000),)
    np.testing.assert_allclose(parts.coef_, np.linalg.lstsq(A, b, rcond=None)[0], rtol=1e-11)


# --- bytes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 384, 1234])
def test_streams_go_on_from_their_bytes(rows):
    A, b = problem()
    parts = stream(fit_intercept=True, ridge=0.5, level=0.9).partial_fit(A[:rows], b[:rows])
    copies = [
        StreamingLeastSquares.from_bytes(memoryview(parts.to_bytes())),
        pickle.loads(pickle.dumps(parts)),
        copy.copy(parts),
        copy.deepcopy(parts),
    ]
    expected = parts.partial_fit(A[rows:], b[rows:])
    for other in copies:
        assert other.n_rows_seen == rows
        assert other.partial_fit(A[rows:], b[rows:]).to_bytes() == expected.to_bytes()
        assert other.coef_.tobytes() == expected.coef_.tobytes()
        assert (other.ridge, other.level, other.fit_intercept) == (0.5, 0.9, True)


@pytest.mark.parametrize(
    "options", [{}, {"method": "qr"}, {"fit_intercept": True}, {"sketch_size": 20, "rng": 3}]
)
def test_bytes_of_a_stream_before_its_first_row(options):
    A, b = problem()
    made = stream(**options)
    restored = StreamingLeastSquares.from_bytes(made.to_bytes())
    assert restored.partial_fit(A, b).coef_.tobytes() == made.partial_fit(A, b).coef_.tobytes()
    assert clone(made).n_rows_seen == 0


def test_the_state_is_half_a_square_of_numbers_once_closed():
    A, b = problem(3000, 50)
    size = len(stream().partial_fit(A, b).close().to_bytes())
    assert size <= 8 * (51 * 52 / 2) + 1500


def test_damaged_bytes_are_noticed():
    A, b = problem(50, 2)
    state = stream(fit_intercept=True).partial_fit(A, b).to_bytes()
    for length in range(0, len(state), 97):
        with pytest.raises(StateError):
            StreamingLeastSquares.from_bytes(state[:length])
    for bit in range(0, 8 * len(state), 101):
        damaged = bytearray(state)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(StateError):
            StreamingLeastSquares.from_bytes(damaged)
    with pytest.raises(StateError, match=r"`data`: .*not of a least squares"):
        StreamingLeastSquares.from_bytes(PHT(9, rng=0).accumulate(2).to_bytes())
    with pytest.raises(InvalidTypeError, match="`data` is of type str"):
        StreamingLeastSquares.from_bytes("text")


@pytest.mark.parametrize("rows", [slice(0, 1), slice(0, 700), slice(299, 300), slice(999, 1000)])
@pytest.mark.parametrize("of_targets", [False, True])
@pytest.mark.parametrize(("far", "light"), [(1e6, 1e-6), (1e9, 1e-10), (1e16, 1e-30)])
def test_rows_of_little_weight_may_be_anywhere(rows, of_targets, far, light):
    rng = np.random.default_rng(30)
    X, weight = rng.standard_normal((1500, 3)), np.ones(1500)
    y = X @ [1.0, 2.0, 3.0] + 0.1 * rng.standard_normal(1500)
    weight[rows] = light
    if of_targets:
        y[rows] += far
    else:
        X[rows] += far
    made = stream(fit_intercept=True).fit(X, y, weight)
    expected = nearlin.LinearRegression().fit(X, y, weight)
    # Many rows that are far away leave a high condition.
    rtol = 1e-12 if rows.stop - rows.start == 1 else 1e-9
    np.testing.assert_allclose(made.coef_, expected.coef_, rtol=rtol)
    np.testing.assert_allclose(made.intercept_, expected.intercept_, rtol=0.0, atol=rtol)
    merged = stream(fit_intercept=True).partial_fit(X[:700], y[:700], weight[:700])
    merged.merge(stream(fit_intercept=True).partial_fit(X[700:], y[700:], weight[700:], row_offset=700))
    np.testing.assert_allclose(merged.coef_, expected.coef_, rtol=rtol)
    cut = in_blocks(X, y, [1, 2, 299, 300, 301, 1100], weight, fit_intercept=True)
    assert cut.to_bytes() == stream(fit_intercept=True).partial_fit(X, y, weight).to_bytes()


@pytest.mark.parametrize("rate", [0.02, 0.05, 0.5])
def test_a_drift_under_growing_weights_costs_no_digits(rate):
    rng = np.random.default_rng(31)
    n = 1400
    X = rng.standard_normal((n, 2)) + np.geomspace(1e12, 1.0, n)[:, None]
    y, weight = rng.standard_normal(n), np.exp(rate * np.arange(n))
    made = stream(fit_intercept=True).fit(X, y, weight)
    expected = nearlin.LinearRegression().fit(X, y, weight)
    for found in (made, in_blocks(X, y, [100, 1300], weight, fit_intercept=True)):
        np.testing.assert_allclose(found.coef_, expected.coef_, rtol=1e-11)


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize(("row", "weight"), [(1e308, 1e308), (1e200, 1e250), (1.7e308, 1.0)])
def test_rows_that_would_overflow_are_refused_however_few(intercept, row, weight):
    rng = np.random.default_rng(32)
    X, y = rng.standard_normal((1500, 3)), rng.standard_normal(1500)
    made = stream(fit_intercept=intercept).partial_fit(X[:100], y[:100])
    before = made.to_bytes()
    for features, target in ((row, 1.0), (1.0, row)):
        with pytest.raises(InvalidInputError, match="overflows"):
            made.partial_fit([[features] * 3], [target], [weight])
        assert made.to_bytes() == before
    made.partial_fit(X[100:], y[100:])
    assert made.to_bytes() == stream(fit_intercept=intercept).partial_fit(X, y).to_bytes()
    wide = stream(fit_intercept=intercept).partial_fit(1e250 * X[:100], 1e250 * y[:100])
    wide.partial_fit(1e250 * X[100:110], 1e250 * y[100:110])
    expected = stream(fit_intercept=intercept).partial_fit(X[:110], y[:110])
    np.testing.assert_allclose(wide.coef_, expected.coef_, rtol=1e-12)


@pytest.mark.parametrize("intercept", [False, True])
def test_rows_without_weight_have_no_answer(intercept):
    X = np.random.default_rng(33).standard_normal((20, 3))
    for y in (X[:, 0], 1e300 * X[:, 0]):
        made = stream(fit_intercept=intercept).partial_fit(X, y, np.zeros(20))
        with pytest.raises(InvalidInputError, match="without rows of positive weight"):
            made.coef_  # noqa: B018
    rows = blocks(iter([(X, X[:, 0], np.zeros(20))]))
    with pytest.raises(InvalidInputError, match="`sample_weight` is zero everywhere"):
        stream(fit_intercept=intercept).fit(rows)
    assert made.partial_fit(X, X[:, 0]).rank_ == 3


# --- removal ------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(
    start=st.integers(0, 900),
    count=st.integers(0, 800),
    d=st.integers(1, 9),
    k=st.integers(0, 2),
    intercept=st.booleans(),
    weighted=st.booleans(),
    exact=st.booleans(),
)
def test_rows_taken_out_are_as_if_they_had_never_come(start, count, d, k, intercept, weighted, exact):
    rng = np.random.default_rng(6)
    X, y = rng.standard_normal((1800, d)) + 5.0, rng.standard_normal((1800, k) if k else 1800)
    if exact:
        y = X @ rng.standard_normal((d, k) if k else d)
    weight = rng.uniform(0.5, 2.0, 1800) if weighted else np.ones(1800)
    gone = slice(start, start + count)
    found = stream(fit_intercept=intercept).partial_fit(X, y, weight)
    found.remove(X[gone], y[gone], weight[gone], row_offset=start)
    stays = np.ones(1800, dtype=bool)
    stays[gone] = False
    expected = stream(fit_intercept=intercept).partial_fit(X[stays], y[stays], weight[stays])
    np.testing.assert_allclose(found.coef_, expected.coef_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.intercept_, expected.intercept_, rtol=1e-9, atol=1e-9)
    norms = [np.atleast_1d(made.result().residual_norm) for made in (found, expected)]
    np.testing.assert_allclose(*norms, rtol=1e-9, atol=1e-5 if exact else 0.0)
    assert found.n_rows_seen == 1800 - count
    if not exact:
        tables = found.summary(), expected.summary()
        np.testing.assert_allclose(tables[0].std_err, tables[1].std_err, rtol=1e-8)
        assert tables[0].n == tables[1].n
        np.testing.assert_allclose(tables[0].log_likelihood, tables[1].log_likelihood, rtol=1e-9)
    again = StreamingLeastSquares.from_bytes(found.to_bytes())
    assert again.to_bytes() == found.to_bytes()
    assert again.certificate_.bound == found.certificate_.bound


def test_a_window_that_moves_on_and_on_keeps_its_digits():
    rng = np.random.default_rng(7)
    X, y = rng.standard_normal((30_000, 6)), rng.standard_normal(30_000)
    window = stream(fit_intercept=True).partial_fit(X[:1000], y[:1000])
    for start in range(0, 29_000, 100):
        window.partial_fit(X[start + 1000 : start + 1100], y[start + 1000 : start + 1100])
        window.remove(X[start : start + 100], y[start : start + 100])
    assert window.covered == (range(29_000, 30_000),)
    expected = stream(fit_intercept=True).partial_fit(X[29_000:], y[29_000:])
    np.testing.assert_allclose(window.coef_, expected.coef_, rtol=1e-10)
    assert window.certificate_.bound < 1e-11


def test_removal_that_would_lose_the_digits_is_refused():
    rng = np.random.default_rng(8)
    X, y = rng.standard_normal((500, 3)), rng.standard_normal(500)
    X[:499, 2] = 0.0
    X[400:499, 2] = 1e-9
    made = stream().partial_fit(X, y)
    before = made.to_bytes()
    for rows, message in [
        (slice(499, 500), "a share of .* is left of what is known of a direction"),
        (slice(0, 500), "a share of"),
        (slice(400, 500), "a share of"),
    ]:
        with pytest.raises(InvalidInputError, match=message):
            made.remove(X[rows], y[rows], row_offset=rows.start)
    for rows, offset in [(slice(0, 10), 495), (slice(0, 1), 500)]:
        with pytest.raises(InvalidInputError, match="not all of which are in"):
            made.remove(X[rows], y[rows], row_offset=offset)
    with pytest.raises(ShapeError):
        made.remove(X[:5, :2], y[:5])
    with pytest.raises(NonFiniteError):
        made.remove(X[:5] * np.nan, y[:5])
    assert made.to_bytes() == before
    made.remove(X[:5], y[:5])
    with pytest.raises(InvalidInputError, match="not all of which are in"):
        made.remove(X[:5], y[:5], row_offset=0)
    assert made.partial_fit(X[:5], y[:5], row_offset=0).covered == (range(0, 500),)
    with pytest.raises(InvalidInputError, match="`method` is 'sketch', expected 'qr'"):
        stream(method="sketch").partial_fit(X, y).remove(X[:5], y[:5])


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("decades", [2, 4, 6, 8, 12, 16, 20])
def test_what_is_left_of_large_targets_is_known_or_refused(intercept, decades):
    rng = np.random.default_rng(20)
    X = rng.standard_normal((1000, 3))
    y = X @ [1.0, 2.0, 3.0] + 0.1 * rng.standard_normal(1000)
    y[0] = 10.0**decades
    made = stream(fit_intercept=intercept).partial_fit(X, y)
    before = made.to_bytes()
    if decades > 5:
        with pytest.raises(InvalidInputError, match="`y` is so large in target 0 beside"):
            made.remove(X[:1], y[:1])
        assert made.to_bytes() == before
        return
    made.remove(X[:1], y[:1])
    expected = nearlin.LinearRegression(fit_intercept=intercept).fit(X[1:], y[1:])
    np.testing.assert_allclose(made.coef_, expected.coef_, rtol=1e-10)
    assert np.linalg.norm(made.coef_ - expected.coef_) < 10.0 * made.certificate_.bound
    tables = made.summary(), expected.summary()
    np.testing.assert_allclose(tables[0].sigma, tables[1].sigma, rtol=1e-6)
    np.testing.assert_allclose(tables[0].t, tables[1].t, rtol=1e-6)


def test_a_window_whose_targets_shrink_is_refused_before_it_lies():
    rng = np.random.default_rng(21)
    X = rng.standard_normal((4000, 3))
    y = X @ [1.0, 2.0, 3.0] + 0.1 * rng.standard_normal(4000)
    y[:2000] *= 1e9
    window = stream(fit_intercept=True).partial_fit(X[:1000], y[:1000])
    for end in (1500, 2000, 2500):
        window.partial_fit(X[end - 500 : end], y[end - 500 : end], row_offset=end - 500)
        window.remove(X[end - 1500 : end - 1000], y[end - 1500 : end - 1000])
    window.partial_fit(X[2500:3000], y[2500:3000])
    with pytest.raises(InvalidInputError, match="`y` is so large"):
        window.remove(X[1500:2000], y[1500:2000])


def test_targets_of_other_sizes_keep_their_own_digits():
    rng = np.random.default_rng(22)
    X = rng.standard_normal((300, 3))
    y = X @ rng.standard_normal((3, 2)) + rng.standard_normal((300, 2)) * [1.0, 1e-8]
    made = stream().partial_fit(X, y).remove(X[:100], y[:100])
    expected = stream().partial_fit(X[100:], y[100:])
    np.testing.assert_allclose(made.result().residual_norm, expected.result().residual_norm, rtol=1e-6)


@pytest.mark.parametrize("weight", [None, 0.0, 3.0])
def test_rows_that_never_came_are_not_taken_out_where_that_is_seen(weight):
    rng = np.random.default_rng(23)
    X, y = rng.standard_normal((100, 3)), rng.standard_normal(100)
    made = stream().partial_fit(X, y)
    before = made.to_bytes()
    changed = [(X[:20], 50.0 * y[:20], None), (50.0 * X[:20], y[:20], None)]
    if weight is not None:
        changed = [(X[:60], y[:60], np.full(60, weight))]
    for rows, targets, weights in changed:
        with pytest.raises(InvalidInputError, match="not those that came"):
            made.remove(rows, targets, weights)
    assert made.to_bytes() == before


def test_no_residuals_are_left_of_as_many_rows_as_columns():
    X, y = np.random.default_rng(24).standard_normal((2, 40, 3))
    made = stream(fit_intercept=True).partial_fit(X, y).remove(X[:36], y[:36])
    np.testing.assert_allclose(made.result().residual_norm, 0.0, atol=1e-13)
    expected = stream(fit_intercept=True).partial_fit(X[36:], y[36:])
    np.testing.assert_allclose(made.coef_, expected.coef_, rtol=1e-9)


def test_a_window_along_a_random_walk_goes_on():
    rng = np.random.default_rng(25)
    X = np.cumsum(rng.standard_normal((2050, 3)), axis=0)
    y = X @ [1.0, 2.0, 3.0] + rng.standard_normal(2050)
    window = stream(fit_intercept=True).partial_fit(X[:50], y[:50])
    for start in range(2000):
        window.partial_fit(X[start + 50 : start + 51], y[start + 50 : start + 51])
        window.remove(X[start : start + 1], y[start : start + 1])
    expected = stream(fit_intercept=True).partial_fit(X[2000:], y[2000:])
    np.testing.assert_allclose(window.coef_, expected.coef_, rtol=1e-10)
    norms = [made.result().residual_norm for made in (window, expected)]
    np.testing.assert_allclose(*norms, rtol=1e-9)


# --- as an estimator ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"fit_intercept": True}, {"method": "sketch", "rng": 0}])
def test_scikit_learn_finds_nothing_wrong(options):
    failures = {}
    if options.get("method") == "sketch":
        failures = {
            name: "a sketch is no exact fit, and weights take part in it as rows"
            for name in (
                "check_sample_weight_equivalence_on_dense_data",
                "check_sample_weight_equivalence_on_sparse_data",
                "check_regressors_int",
            )
        }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(stream(**options), expected_failed_checks=failures, on_fail=None)
    wrong = [(each["check_name"], each["exception"]) for each in results if each["status"] == "failed"]
    assert not wrong


def test_the_table_is_that_of_linear_regression():
    rng = np.random.default_rng(9)
    X, y = rng.standard_normal((700, 4)), rng.standard_normal((700, 2))
    weight = rng.uniform(0.1, 3.0, 700)
    frame = pd.DataFrame(X, columns=list("abcd"))
    for intercept in (False, True):
        found = stream(fit_intercept=intercept).fit(frame, y, weight).summary(level=0.9)
        expected = nearlin.LinearRegression(fit_intercept=intercept).fit(frame, y, weight).summary(level=0.9)
        assert found.names == expected.names
        for name in (
            "coef",
            "std_err",
            "t",
            "interval",
            "r_squared",
            "f_value",
            "aic",
            "bic",
            "log_likelihood",
        ):
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-9)
    model = nearlin.LinearRegression().fit(X, y[:, 0])
    np.testing.assert_allclose(
        stream(fit_intercept=True).fit(X, y[:, 0]).cov_params(), model.cov_params(), rtol=1e-9
    )
    ridge = stream(fit_intercept=True, ridge=20.0).fit(X, y[:, 0])
    expected = nearlin.Ridge(20.0).fit(X, y[:, 0])
    np.testing.assert_allclose(ridge.summary().std_err, expected.summary().std_err, rtol=1e-9)


@pytest.mark.parametrize("k", [0, 2])
@pytest.mark.parametrize("intercept", [False, True])
def test_ridges_from_one_factor(intercept, k):
    rng = np.random.default_rng(10)
    X, y = rng.standard_normal((300, 4)) + 2.0, rng.standard_normal((300, k) if k else 300)
    made = stream(fit_intercept=intercept).fit(X, y)
    alphas = [0.0, 1e-3, 1.0, 1e6]
    coef, constant = made.ridge_path(alphas)
    assert coef.shape == ((4, k, 4) if k else (4, 4))
    for alpha, x, c in zip(alphas, coef, constant, strict=True):
        if alpha:
            expected = SklearnRidge(alpha, fit_intercept=intercept, solver="svd").fit(X, y)
            np.testing.assert_allclose(x, expected.coef_, rtol=1e-9, atol=1e-14)
            np.testing.assert_allclose(c, expected.intercept_, rtol=1e-9)
        made.set_params(ridge=alpha)
        np.testing.assert_allclose(made.coef_, x, rtol=1e-9)
    with pytest.raises(InvalidInputError, match="`alphas` has -1"):
        made.ridge_path([-1.0])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("kind", ["sum", "twice", "scales", "small twin", "constant"])
def test_ridges_of_rows_without_full_rank_and_of_other_scales(kind, intercept, dtype):
    rng = np.random.default_rng(34)
    X = rng.standard_normal((200, 4))
    if kind == "sum":
        X[:, 3] = X[:, 0] + X[:, 1]
    elif kind == "twice":
        X[:, 3] = X[:, 0]
    elif kind == "scales":
        X *= [1e-12, 1.0, 1e12, 1e3]
    elif kind == "small twin":
        X[:, 3] = 1e-9 * X[:, 0]
    else:
        X[:, 1] = 3.25
    X, y = X.astype(dtype), rng.standard_normal(200).astype(dtype)
    made = stream(fit_intercept=intercept).partial_fit(X, y)
    alphas = [0.0, 1e-300, 1e-100, 1e-40, 1e-3, 1.0, 1e4]
    coef, _ = made.ridge_path(alphas)
    lengths = np.linalg.norm(X.astype(float), axis=0)
    for alpha, x in zip(alphas, coef, strict=True):
        made.set_params(ridge=alpha)
        np.testing.assert_allclose(x * lengths, made.coef_ * lengths, rtol=1e-4, atol=1e-5)
    assert np.abs(coef * lengths).max() < 10.0 * np.linalg.norm(y)


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("alpha", [1e3, 1e10, 1e30, 1e100])
def test_no_digit_is_lost_to_a_long_ridge(alpha, intercept):
    rng = np.random.default_rng(35)
    X, y = rng.standard_normal((300, 3)) * [1.0, 1e-4, 1e2], rng.standard_normal(300)
    X[:, 1] += 3e-4
    made = stream(fit_intercept=intercept, ridge=alpha).fit(X, y)
    centred = X - X.mean(axis=0) if intercept else X
    expected = np.linalg.solve(centred.T @ centred / alpha + np.eye(3), centred.T @ y / alpha)
    np.testing.assert_allclose(made.coef_, expected, rtol=1e-11)
    np.testing.assert_allclose(made.ridge_path([alpha])[0][0], expected, rtol=1e-9)


def test_a_constant_feature_has_no_part_in_a_ridge():
    X = np.c_[np.random.default_rng(36).standard_normal((30, 2)), np.full(30, 3.0)]
    y = X @ [1.0, 2.0, 3.0] + np.random.default_rng(37).standard_normal(30)
    for alpha in (1e-20, 1.0, 1e30):
        made = stream(fit_intercept=True, ridge=alpha).fit(X, y)
        expected = nearlin.Ridge(alpha).fit(X, y)
        assert (made.rank_, list(made.constant_features_), made.coef_[2]) == (2, [2], 0.0)
        np.testing.assert_allclose(made.coef_, expected.coef_, rtol=1e-11)
        tables = made.summary(), expected.summary()
        assert list(tables[0].identified) == list(tables[1].identified)
        np.testing.assert_allclose(tables[0].std_err, tables[1].std_err, rtol=1e-9)


def test_features_are_remembered_by_name():
    A, b = problem(100, 3)
    frame = pd.DataFrame(A, columns=["a", "b", "c"])
    made = stream().partial_fit(frame, b)
    np.testing.assert_array_equal(made.feature_names_in_, ["a", "b", "c"])
    before = made.to_bytes()
    for other in (frame[["c", "b", "a"]], pl.DataFrame(A, schema=["a", "b", "x"])):
        with pytest.raises(InvalidInputError, match="feature names should match"):
            made.partial_fit(other, b)
        with pytest.raises(InvalidInputError, match="feature names should match"):
            made.predict(other)
        with pytest.raises(InvalidInputError, match="`other` is a matrix whose column"):
            made.merge(stream().partial_fit(other, b, row_offset=100))
    assert made.to_bytes() == before
    again = StreamingLeastSquares.from_bytes(before)
    np.testing.assert_array_equal(again.feature_names_in_, ["a", "b", "c"])
    np.testing.assert_array_equal(again.predict(frame), made.predict(frame))
    assert made.partial_fit(A, b).n_rows_seen == 200
    with pytest.raises(AttributeError, match="no block had names"):
        _ = stream().partial_fit(A, b).feature_names_in_


def test_rows_in_blocks_come_with_all_that_they_have(tmp_path):
    A, b = problem(5000, 4)
    frame = pl.DataFrame(A, schema=list("abcd")).with_columns(
        pl.Series("y", b), pl.Series("w", np.linspace(0.5, 2.0, 5000))
    )
    rows = blocks(frame, target="y", sample_weight="w", block_bytes=1 << 14)
    made = stream(fit_intercept=True).fit(rows)
    expected = stream(fit_intercept=True).partial_fit(A, b, np.linspace(0.5, 2.0, 5000))
    assert made.coef_.tobytes() == expected.coef_.tobytes()
    np.testing.assert_array_equal(made.feature_names_in_, list("abcd"))
    assert made.partial_fit(rows).covered == (range(0, 10_000),)
    assert made.fit(rows).n_rows_seen == 5000
    with pytest.raises(InvalidInputError, match="`y` is given beside rows in blocks"):
        made.fit(rows, b)
    bad = blocks(np.vstack([A, A * np.nan]), target=np.append(b, b), block_bytes=1 << 14)
    before = made.to_bytes()
    with pytest.raises(NonFiniteError):
        made.partial_fit(bad)
    assert made.to_bytes() == before


def test_what_auto_takes():
    A, b = problem(40, 3)
    assert stream().partial_fit(A, b).method_ == "qr"
    assert stream(sketch_size=9).partial_fit(A, b).method_ == "sketch"
    assert stream(eps=0.3).method_ == "sketch"
    assert stream(rng=0, level=0.9, ridge=1.0).method_ == "qr"
    for options, message in [
        ({"method": "qr", "sketch_size": 9}, "`sketch_size` is 9, expected None with method='qr'"),
        ({"method": "qr", "eps": 0.1}, "`eps` is 0.1, expected 0.5 with method='qr'"),
        ({"method": "sketch", "fit_intercept": True}, "`fit_intercept` is True, expected False for a sketch"),
        ({"method": "lsmr"}, "`method` is 'lsmr', expected one of 'auto', 'qr', 'sketch'"),
        ({"fit_intercept": 1}, "`fit_intercept` is of type int"),
        ({"ridge": -1.0}, "`ridge` is -1.0"),
        ({"level": 1.0}, "`level` is 1"),
    ]:
        with pytest.raises(InvalidInputError, match=message):
            stream(**options).partial_fit(A, b)


def test_a_sketch_is_an_estimator_too():
    A, b = problem(20_000, 3)
    made = stream(method="sketch", sketch_size=400, rng=0).fit(A, b)
    np.testing.assert_array_equal(made.coef_, made.result().x)
    assert made.intercept_ == 0.0
    np.testing.assert_allclose(made.predict(A), A @ made.coef_)
    assert made.score(A, A @ made.coef_) == pytest.approx(1.0)
    for refused in (made.summary, made.cov_params, lambda: made.ridge_path([1.0])):
        with pytest.raises(InvalidInputError, match="expected 'qr' for"):
            refused()


@pytest.mark.parametrize("options", [{"method": "qr"}, {"method": "sketch", "rng": 0, "sketch_size": 20}])
def test_a_closed_stream_takes_no_rows_but_can_be_merged(options):
    A, b = problem(3000)
    whole = stream(**options).partial_fit(A, b)
    parts = []
    for start in (0, 1000, 2000):
        rows = slice(start, start + 1000)
        parts.append(stream(**options).partial_fit(A[rows], b[rows], row_offset=start).close())
    for part in parts:
        with pytest.raises(InvalidInputError, match="`X` is for a stream that was closed"):
            part.partial_fit(A[:5], b[:5], row_offset=9000)
        again = StreamingLeastSquares.from_bytes(part.to_bytes())
        with pytest.raises(InvalidInputError, match="closed"):
            again.partial_fit(A[:5], b[:5], row_offset=9000)
    merged = parts[0].merge(parts[1]).merge(parts[2])
    np.testing.assert_allclose(merged.coef_, whole.coef_, rtol=1e-10)
    open_one = stream(**options).partial_fit(A[:1000], b[:1000])
    np.testing.assert_allclose(open_one.merge(parts[1]).merge(parts[2]).coef_, whole.coef_, rtol=1e-10)
    with pytest.raises(InvalidInputError, match="without rows so far"):
        stream(**options).close()


# --- refusals -----------------------------------------------------------------------------------------------


def test_a_block_that_does_not_fit_leaves_the_stream_as_it_was():
    A, b = problem(k=2)
    parts = stream().partial_fit(A[:1000], b[:1000])
    before = parts.to_bytes()
    bad = A[:500].copy()
    bad[3, 1] = np.nan
    for block, target, options, error in [
        (bad, b[:500], {}, NonFiniteError),
        (bad[:5], b[:5], {}, NonFiniteError),
        (A[:500], b[:500] * np.nan, {}, NonFiniteError),
        (A[:500, :4], b[:500], {}, InvalidInputError),
        (A[:500], b[:500, 0], {}, ShapeError),
        (A[:500], b[:400], {}, ShapeError),
        (A[:500], b[:500], {"row_offset": 999}, InvalidInputError),
        (A[:500], b[:500], {"row_offset": -1}, InvalidInputError),
        (A[:500], b[:500], {"sample_weight": -np.ones(500)}, InvalidInputError),
        (A[:500], None, {}, InvalidTypeError),
    ]:
        with pytest.raises(error):
            parts.partial_fit(block, target, **options)
        assert parts.to_bytes() == before
    with pytest.raises(NonFiniteError, match=r"`X` contains NaN at \[3, 1\]"):
        parts.partial_fit(bad, b[:500])
    assert parts.partial_fit(A[:0], b[:0]).to_bytes() == before


def test_ctrl_c_leaves_the_stream_as_it_was():
    A, b = problem(120_000, 60)
    parts = stream().partial_fit(A[:3000], b[:3000])
    before = parts.to_bytes()
    _, interrupted = heard_by_a_copy(parts, lambda parts: parts.partial_fit(A[3000:], b[3000:], n_jobs=1))
    assert interrupted.to_bytes() == before


def test_streams_that_cannot_be_merged():
    A, b = problem()
    parts = stream().partial_fit(A, b)
    for other, message in [
        (stream(fit_intercept=True).partial_fit(A, b), "fit_intercept"),
        (stream(ridge=2.0).partial_fit(A, b, row_offset=3000), "`other` has ridge=2.0, expected 0.0"),
        (stream().partial_fit(A[:, :4], b, row_offset=3000), "`other` has 4 columns"),
        (stream().partial_fit(A, b, row_offset=2999), "`other` is rows 2999"),
        (stream(method="sketch").partial_fit(A, b, row_offset=3000), "method 'sketch', expected 'qr'"),
        ("stream", "`other` is of type str"),
    ]:
        with pytest.raises(InvalidInputError, match=message):
            parts.merge(other)
    assert parts.covered == (range(0, 3000),)


def test_a_stream_without_rows_has_no_answer():
    for made in (stream(), stream(method="qr"), stream().partial_fit(np.ones((0, 3)), np.ones(0))):
        with pytest.raises(InvalidInputError, match="`X` is without rows so far"):
            made.result()
        with pytest.raises(NotFittedError):
            made.predict(np.ones((2, 3)))
        assert not hasattr(made, "coef_")


def test_a_warning_of_a_sparse_sketch_comes_from_the_line_of_the_caller():
    A, b = problem()
    made = stream(sketch="count_sketch", guarantee=None, sketch_size=200, rng=7).partial_fit(A, b)
    with pytest.warns(GuaranteeWarning) as caught:
        made.result()
    assert caught[0].filename == __file__
