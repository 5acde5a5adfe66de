"""Children that are forked in the middle of a call, by another thread or by a signal handler."""

import os
import random
import signal
import threading
import time
import warnings

import numpy as np
import pytest
from reference.signals import exit_code

import nearlin
from nearlin import sketch
from nearlin.exceptions import StateError

pytestmark = [
    pytest.mark.fuzz,
    pytest.mark.fork,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]

SEED = int(os.environ.get("NEARLIN_FUZZ_SEED", "0"))
FORKS = int(os.environ.get("NEARLIN_FUZZ_CASES", "60"))
g = np.random.default_rng(SEED)
A = g.standard_normal((60_000, 30))
b = A @ np.ones(30) + g.standard_normal(60_000)

STREAMS = {
    "least squares": lambda: nearlin.StreamingLeastSquares(sketch="gaussian", sketch_size=300, rng=0),
    "sparse_sign": lambda: sketch.SparseSign(900, rng=0).accumulate(30),
    "pht": lambda: sketch.PHT(900, rng=0).accumulate(30),
    "gaussian": lambda: sketch.Gaussian(300, rng=0).accumulate(30),
}


def add(stream, rows, **options):
    if isinstance(stream, nearlin.StreamingLeastSquares):
        return stream.partial_fit(A[rows], b[rows], **options)
    return stream.partial_fit(A[rows], **options)


def solutions(n_jobs):
    return b"".join(
        nearlin.lstsq(A[:20_000], b[:20_000], method=method, rng=1, n_jobs=n_jobs).x.tobytes()
        for method in ("auto", "qr", "spir")
    )


def in_a_child(work):
    """Fork, and return what a child that does the work ends with: 0 if it returns True."""
    child = os.fork()
    if not child:
        code = 2
        try:
            with warnings.catch_warnings(action="ignore"):
                code = 0 if work() else 1
        finally:
            os._exit(code)
    return exit_code(child, 60)


@pytest.mark.parametrize("busy", [*STREAMS, "lstsq"])
def test_a_child_forked_while_another_thread_is_inside_a_call_works_or_says_why_not(busy):
    stream, stop, rnd = STREAMS.get(busy, STREAMS["gaussian"])(), threading.Event(), random.Random(SEED)
    add(stream, slice(0, 900))
    expected = solutions(1)

    def work():
        k = 0
        while not stop.is_set():
            k += 1
            if busy == "lstsq":
                solutions(1 + k % 3)
            else:
                # Short blocks, which are added in place, and long ones.
                rows = slice(0, 100) if k % 3 else slice(0, None)
                add(stream, rows, row_offset=k * 200_000, n_jobs=1 + k % 3)

    def use():
        try:
            again = type(stream).from_bytes(stream.to_bytes())
            add(stream, slice(0, 900), row_offset=10**12, n_jobs=2)
            stream.copy().result(n_jobs=2)
            good = stream.n_rows_seen == again.n_rows_seen + 900
        except StateError as error:
            good = "forked" in str(error)
        return good and solutions(2) == expected

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(FORKS):
            time.sleep(rnd.uniform(0.001, 0.05))
            assert in_a_child(use) == 0
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("n_jobs", [1, 2, 3])
@pytest.mark.parametrize("call", [*STREAMS, "lstsq"])
def test_a_child_forked_by_a_handler_works_or_says_why_not(call, n_jobs):
    parent, rnd = os.getpid(), random.Random(SEED)
    expected = solutions(1)

    def work(stream):
        if call == "lstsq":
            return solutions(n_jobs) == expected
        rows = stream.n_rows_seen
        add(stream, slice(0, None), row_offset=10**9, n_jobs=n_jobs)
        return stream.n_rows_seen == rows + len(A)

    def one(seconds):
        stream, children = STREAMS.get(call, STREAMS["gaussian"])(), []
        former = signal.signal(signal.SIGALRM, lambda number, frame: children.append(os.fork()))
        signal.setitimer(signal.ITIMER_REAL, seconds)
        code = 2
        try:
            try:
                code = 0 if work(stream) else 1
            except StateError as error:
                # In a child whose threads are left behind, which may try again.
                forked = os.getpid() != parent and "forked" in str(error)
                code = 0 if forked and work(stream) else 3
            while not children:
                time.sleep(0.001)
        finally:
            if os.getpid() != parent:
                os._exit(code)
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, former)
        return code, exit_code(children[0], 60)

    start = time.perf_counter()
    work(STREAMS.get(call, STREAMS["gaussian"])())
    length = time.perf_counter() - start
    for _ in range(max(5, FORKS // 5)):
        assert one(rnd.uniform(0.001, 0.001 + length)) == (0, 0)


def test_grandchildren_compute_the_same_bits():
    expected = solutions(2)

    def generation(left):
        good = solutions(1 + left) == expected
        return good and (left == 0 or in_a_child(lambda: generation(left - 1)) == 0)

    assert generation(3)
