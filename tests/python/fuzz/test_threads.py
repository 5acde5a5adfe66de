"""Streams, estimators and arrays that Python threads share."""

import collections
import os
import threading
import time

import numpy as np
import pytest
import scipy.sparse as sp
from reference.sparse import scattered

import nearlin
from nearlin import sketch
from nearlin.exceptions import InternalError, NearlinError

pytestmark = [pytest.mark.fuzz, pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(900)]

SEED = int(os.environ.get("NEARLIN_FUZZ_SEED", "0"))
SECONDS = int(os.environ.get("NEARLIN_FUZZ_SECONDS", "60"))
g = np.random.default_rng(SEED)
A = g.standard_normal((60_000, 30))
b = A @ np.ones(30) + g.standard_normal(60_000)

SUMS = {
    "sparse_sign": lambda: sketch.SparseSign(500, rng=1).accumulate(30),
    "count_sketch": lambda: sketch.CountSketch(5000, rng=1).accumulate(30),
    "pht": lambda: sketch.PHT(500, rng=1).accumulate(30),
    "srht": lambda: sketch.SRHT(500, 10**6, rng=1).accumulate(30),
    "gaussian": lambda: sketch.Gaussian(100, rng=1).accumulate(30),
}


CONTRADICTION = "columns that were chosen to be independent are not"
"""What data that change between two reads may come to, and nobody can tell from a defect."""


def together(count, work):
    """Run work(0), ..., work(count - 1) at once; return what they raised."""
    raised = []

    def run(k):
        try:
            work(k)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=[k]) for k in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


@pytest.mark.parametrize("kind", SUMS)
def test_blocks_that_threads_add_in_any_order_are_all_in(kind):
    stream, size = SUMS[kind](), 100

    def add(k):
        for block in range(k, len(A) // size, 12):
            rows = slice(block * size, (block + 1) * size)
            stream.partial_fit(A[rows], block * size, n_jobs=1 + k % 3)
            if block % 50 == k:
                assert stream.copy().n_rows_seen % size == 0
                assert type(stream).from_bytes(stream.to_bytes()).n_rows_seen % size == 0

    assert together(12, add) == []
    assert stream.covered == (range(len(A)),)
    np.testing.assert_allclose(stream.result(), SUMS[kind]().partial_fit(A).result(), atol=1e-9)


@pytest.mark.parametrize("kind", SUMS)
def test_of_threads_that_add_the_same_rows_one_succeeds(kind):
    for trial in range(20):
        stream = SUMS[kind]()
        rows = A[: 50 + 2000 * (trial % 2)]
        raised = together(12, lambda k, stream=stream, rows=rows: stream.partial_fit(rows, 0))
        assert len(raised) == 11
        assert all(isinstance(error, NearlinError) for error in raised)
        assert stream.to_bytes() == SUMS[kind]().partial_fit(rows, 0).to_bytes()


@pytest.mark.parametrize("kind", SUMS)
def test_threads_that_merge_both_ways_do_not_wait_for_each_other(kind):
    one, other = SUMS[kind]().partial_fit(A[:100]), SUMS[kind]().partial_fit(A[100:200], 100)
    expected = one.copy().merge(other).to_bytes(), other.copy().merge(one).to_bytes()

    def merge(k):
        for _ in range(20):
            assert (one.copy().merge(other).to_bytes(), other.copy().merge(one).to_bytes()) == expected

    assert together(8, merge) == []


@pytest.mark.parametrize("model", [nearlin.LinearRegression, nearlin.Ridge, nearlin.RidgeCV])
def test_threads_that_fit_one_estimator_leave_the_fit(model):
    shared, expected = model(), model().fit(A, b)

    def fit(k):
        for _ in range(3):
            shared.n_jobs = 1 + k % 3
            shared.fit(A, b)
            assert np.array_equal(shared.coef_, expected.coef_)
            assert np.array_equal(shared.predict(A[:10]), expected.predict(A[:10]))

    assert together(8, fit) == []


def test_threads_that_solve_at_once_have_the_same_bits():
    methods = ("auto", "gram", "qr", "spir", "lsmr")
    expected = {method: nearlin.lstsq(A, b, method=method, rng=1, n_jobs=1).x for method in methods}

    def solve(k):
        for method in methods:
            found = nearlin.lstsq(A, b, method=method, rng=1, n_jobs=1 + k % 7).x
            assert np.array_equal(found, expected[method])

    assert together(16, solve) == []


def test_arrays_that_another_thread_writes_to_end_in_an_answer_or_an_error_of_ours():
    stop, X, y, w = threading.Event(), A[:8000].copy(), b[:8000].copy(), np.ones(8000)
    S = scattered((8000, 30), 0.3)
    matrices = [S, S.tocsc(), sp.csr_array((S.data, S.indices.astype("i8"), S.indptr.astype("i8")), S.shape)]
    kept = [(m.indices.copy(), m.indptr.copy(), m.data.copy()) for m in matrices]

    def scribble():
        r = np.random.default_rng(SEED)
        while not stop.is_set():
            X[r.integers(8000), r.integers(30)] = r.choice([np.nan, np.inf, 1e308, 0.0, -1e-320])
            y[r.integers(8000)] = r.choice([np.nan, 1e308, 2.0])
            w[r.integers(8000)] = r.choice([np.nan, -1.0, 1e308, 0.0])
            for m, (indices, indptr, data) in zip(matrices, kept, strict=True):
                m.indices[r.integers(len(indices))] = r.choice([-1, 2**31 - 1, 10**6, 5])
                m.indptr[r.integers(len(indptr))] = r.choice([0, 2**31 - 1, -7, 10**7])
                m.data[r.integers(len(data))] = r.choice([np.nan, 1e308, 0.0])
                if r.uniform() < 0.2:
                    m.indices[:], m.indptr[:], m.data[:] = indices, indptr, data
            if r.uniform() < 0.2:
                X[:], y[:], w[:] = A[:8000], b[:8000], 1.0

    def calls(M):
        for method in ("auto", "gram", "qr", "spir", "lsmr", "whitened"):
            yield lambda method=method: nearlin.lstsq(M, y, method=method, rng=0, n_jobs=2)
        for S in (
            sketch.SparseSign(99, rng=0),
            sketch.CountSketch(99, rng=0),
            sketch.PHT(99, rng=0),
            sketch.SRHT(99, 8000, rng=0),
            sketch.Gaussian(20, rng=0),
        ):
            yield lambda S=S: S.apply(M, n_jobs=2)
            yield lambda S=S: S.accumulate(30).partial_fit(M[:7000] if M is X else M).result()
        yield (
            lambda: (
                nearlin.StreamingLeastSquares(sketch_size=99, rng=0)
                .partial_fit(M, y, sample_weight=w)
                .result()
            )
        )
        yield lambda: nearlin.sketch_and_solve(M, y, sample_weight=w, sketch_size=99, rng=0)
        yield lambda: nearlin.lstsq(M, y, sample_weight=w, certify=True, verify=True, rng=0)
        yield lambda: nearlin.RidgeCV().fit(M, y, w)
        yield lambda: nearlin.LinearRegression(inference=True).fit(M, y).cov_params("HC3", M, y)
        yield lambda: fitted.predict(M)

    fitted = nearlin.LinearRegression().fit(A[:8000], b[:8000])
    writer = threading.Thread(target=scribble)
    writer.start()
    ended, wrong = collections.Counter(), collections.Counter()
    try:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            for M in (X, *matrices):
                for call in calls(M):
                    try:
                        call()
                        ended["answer"] += 1
                    except NearlinError as error:
                        ended["error"] += 1
                        if isinstance(error, InternalError) and CONTRADICTION not in str(error):
                            wrong[str(error)[:100]] += 1
                    except Exception as error:
                        wrong[f"{type(error).__name__}: {str(error)[:100]}"] += 1
    finally:
        stop.set()
        writer.join()
    assert not wrong, ended
    assert ended["error"] > 0
