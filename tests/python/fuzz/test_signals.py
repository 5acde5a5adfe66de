"""Interrupts at random moments: a block is in or it is not, and the next try gives the same bits."""

import collections
import os
import random
import signal
import threading
import time

import numpy as np
import pytest
from reference.sparse import scattered

import nearlin
from nearlin import sketch

pytestmark = [
    pytest.mark.fuzz,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an interval timer"),
]

SEED = int(os.environ.get("NEARLIN_FUZZ_SEED", "0"))
INTERRUPTS = int(os.environ.get("NEARLIN_FUZZ_CASES", "300"))
g = np.random.default_rng(SEED)
A = g.standard_normal((60_000, 30))
b, w = A @ np.ones(30) + g.standard_normal(60_000), g.uniform(0.5, 2, 60_000)
S = scattered((60_000, 30), 0.3)

STREAMS = {
    "least squares by sparse signs": lambda: nearlin.StreamingLeastSquares(sketch_size=2000, rng=1),
    "least squares by normals": lambda: nearlin.StreamingLeastSquares(
        sketch="gaussian", sketch_size=300, rng=1
    ),
    "sparse_sign": lambda: sketch.SparseSign(3000, rng=1).accumulate(30),
    "count_sketch": lambda: sketch.CountSketch(50_000, rng=1).accumulate(30),
    "srht": lambda: sketch.SRHT(2000, 10**6, rng=1).accumulate(30),
    "pht": lambda: sketch.PHT(100_000, rng=1).accumulate(30),
    "gaussian": lambda: sketch.Gaussian(300, rng=1).accumulate(30),
}
CALLS = {
    "lstsq": lambda n_jobs: nearlin.lstsq(A, b, rng=0, n_jobs=n_jobs).x,
    "lstsq with weights": lambda n_jobs: nearlin.lstsq(A, b, sample_weight=w, rng=0, n_jobs=n_jobs).x,
    "lstsq by qr": lambda n_jobs: nearlin.lstsq(A, b, method="qr", n_jobs=n_jobs).x,
    "lstsq by spir": lambda n_jobs: nearlin.lstsq(A, b, method="spir", rng=0, n_jobs=n_jobs).x,
    "lstsq of a sparse matrix": lambda n_jobs: nearlin.lstsq(S, b, rng=0, n_jobs=n_jobs).x,
    "lstsq verified": lambda n_jobs: nearlin.lstsq(A, b, certify=True, verify=True, rng=0, n_jobs=n_jobs).x,
    "LinearRegression": lambda n_jobs: nearlin.LinearRegression(n_jobs=n_jobs).fit(A, b, w).coef_,
    "Ridge of a sparse matrix": lambda n_jobs: nearlin.Ridge(n_jobs=n_jobs).fit(S, b).coef_,
    "RidgeCV": lambda n_jobs: nearlin.RidgeCV(n_jobs=n_jobs).fit(A, b).coef_,
    "sketch_and_solve": lambda n_jobs: nearlin.sketch_and_solve(A, b, rng=0, n_jobs=n_jobs).x,
    "lstsq_kron": lambda n_jobs: (
        nearlin.lstsq_kron([A[:300], A[300:600]], np.outer(b[:300], b[:300]), n_jobs=n_jobs).x
    ),
}


class Alarm:
    """Raises KeyboardInterrupt, as the handler of SIGINT does, once for each time it is set."""

    def __init__(self):
        self.due = None
        self.former = signal.signal(signal.SIGALRM, self.ring)

    def ring(self, number, frame):
        if self.due is not None:
            self.due = None
            raise KeyboardInterrupt

    def set(self, seconds):
        self.due = time.perf_counter() + seconds
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def clear(self):
        self.due = None
        signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.fixture
def alarm():
    alarm = Alarm()
    yield alarm
    alarm.clear()
    signal.signal(signal.SIGALRM, alarm.former)


def lengths(work):
    """Yield random delays that are about as long as the work, however busy the machine is."""
    start = time.perf_counter()
    work()
    length, rnd = time.perf_counter() - start, random.Random(SEED)
    while True:
        yield max(1e-5, rnd.uniform(0, 1.1) * length)


@pytest.mark.parametrize("call", CALLS)
def test_the_next_try_gives_the_same_bits(call, alarm):
    expected, delays = CALLS[call](1), lengths(lambda: CALLS[call](2))
    ended = collections.Counter()
    for trial in range(max(10, INTERRUPTS // 10)):
        try:
            alarm.set(next(delays))
            CALLS[call](1 + trial % 3)
            alarm.clear()
            ended["undisturbed"] += 1
        except KeyboardInterrupt:
            ended["interrupted"] += 1
        alarm.clear()
        assert np.array_equal(CALLS[call](1 + trial % 2), expected)
    assert ended["interrupted"] > 0


def add(stream, rows, **options):
    if isinstance(stream, nearlin.StreamingLeastSquares):
        return stream.partial_fit(A[rows], b[rows], **options)
    return stream.partial_fit(A[rows], **options)


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("change", ["short block", "block", "merge"])
def test_an_interrupted_change_is_in_or_not_and_counts_once(kind, change, alarm):
    first = add(STREAMS[kind](), slice(0, 900)).to_bytes()
    cls = type(STREAMS[kind]())
    rows = slice(900, 950) if change == "short block" else slice(900, None)
    other = add(STREAMS[kind](), rows, row_offset=900)

    def work(stream, n_jobs):
        if change == "merge":
            stream.merge(other, n_jobs=n_jobs)
        else:
            add(stream, rows, row_offset=900, n_jobs=n_jobs)

    changed = cls.from_bytes(first)
    work(changed, 1)
    changed = changed.to_bytes()
    delays, ended = lengths(lambda: work(cls.from_bytes(first), 2)), collections.Counter()
    for trial in range(INTERRUPTS):
        stream = cls.from_bytes(first)
        try:
            alarm.set(next(delays))
            work(stream, 1 + trial % 3)
            alarm.clear()
            ended["undisturbed"] += 1
        except KeyboardInterrupt:
            ended["interrupted"] += 1
        alarm.clear()
        found = stream.to_bytes()
        assert found in (first, changed)
        if found == first:
            # The next try, which nobody disturbs.
            work(stream, 1 + trial % 2)
            ended["again"] += 1
        assert stream.to_bytes() == changed
    # An interrupt that comes after the last look, when the change is in, is raised by the caller's next step.
    # They are few; but a short block is in at once, so that there is hardly anything but this last moment.
    late = ended["interrupted"] - ended["again"]
    assert change == "short block" or late < max(2, ended["again"]), ended


def test_a_storm_of_interrupts_from_another_process_changes_no_bit():
    expected, ended = CALLS["lstsq"](1), collections.Counter()
    stream, added = STREAMS["least squares by sparse signs"](), 0
    armed = [False]

    def interrupt(number, frame):
        if armed[0]:
            armed[0] = False
            raise KeyboardInterrupt

    former = signal.signal(signal.SIGINT, interrupt)
    stop, rnd = threading.Event(), random.Random(SEED)

    def storm():
        while not stop.wait(rnd.uniform(0.001, 0.05)):
            os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=storm)
    sender.start()
    try:
        while ended["interrupted"] < INTERRUPTS:
            before = stream.n_rows_seen
            try:
                armed[0] = True
                add(stream, slice(0, rnd.choice([50, 5000, 60_000])), n_jobs=rnd.choice([1, 2, 3]))
                CALLS["lstsq"](2)
                armed[0] = False
                ended["undisturbed"] += 1
            except KeyboardInterrupt:
                ended["interrupted"] += 1
            armed[0] = False
            assert stream.n_rows_seen - before in (0, 50, 5000, 60_000)
            added += stream.n_rows_seen > before
            if ended["interrupted"] % 20 == 0:
                assert np.array_equal(CALLS["lstsq"](1), expected)
    finally:
        armed[0] = False
        stop.set()
        sender.join()
        signal.signal(signal.SIGINT, former)
    assert stream.covered == (range(stream.n_rows_seen),)
    assert added > 0
