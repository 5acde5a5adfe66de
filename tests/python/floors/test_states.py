"""States between calls: what signal handlers, threads, forks and foreign bytes find."""

import os
import pickle
import struct
import subprocess
import sys
import textwrap
import threading
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from reference.processor import denormals_flushed, machine_code
from reference.signals import exit_code, handled, interrupted
from reference.sparse import scattered

import nearlin
from nearlin import sketch
from nearlin.exceptions import InvalidInputError, NearlinError, StateError

rng = np.random.default_rng(8)
A = rng.standard_normal((60_000, 20))
b = rng.standard_normal(60_000)

STREAMS = {
    "accumulator": (
        lambda: sketch.Gaussian(200, rng=1).accumulate(20),
        lambda stream, rows, **options: stream.partial_fit(A[rows], **options),
    ),
    "scattered": (
        lambda: sketch.CountSketch(3000, rng=1).accumulate(20),
        lambda stream, rows, **options: stream.partial_fit(A[rows], **options),
    ),
    "least squares": (
        lambda: nearlin.StreamingLeastSquares(sketch="gaussian", sketch_size=200, rng=1),
        lambda stream, rows, **options: stream.partial_fit(A[rows], b[rows], **options),
    ),
    "exact least squares": (
        lambda: nearlin.StreamingLeastSquares(method="qr"),
        lambda stream, rows, **options: stream.partial_fit(A[rows], b[rows], **options),
    ),
}
HEAD, ALL = slice(0, 900), slice(900, None)

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and signals")


@posix
@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("kind", ["accumulator", "least squares"])
def test_a_handler_sees_the_last_state_of_a_stream_that_its_own_thread_is_changing(kind, n_jobs):
    make, add = STREAMS[kind]
    stream = add(make(), HEAD)
    before, seen = stream.to_bytes(), []

    def look():
        seen.append(
            (stream.to_bytes(), stream.copy().covered, pickle.loads(pickle.dumps(stream)).n_rows_seen)
        )
        with pytest.raises(StateError, match="this very thread"):
            add(stream, HEAD, row_offset=10**6)
        with pytest.raises(StateError, match="this very thread"):
            stream.merge(make())

    with handled(0.02, look):
        for k in range(1, 100):
            if seen:
                break
            before = stream.to_bytes()
            add(stream, ALL, row_offset=k * 200_000, n_jobs=n_jobs)
    assert seen == [(before, type(stream).from_bytes(before).covered, stream.n_rows_seen - 59_100)]
    assert stream.n_rows_seen % 59_100 == 900


@posix
@pytest.mark.fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("kind", STREAMS)
def test_a_child_forked_while_another_thread_changes_a_stream_has_the_state_or_is_told_so(kind):
    make, add = STREAMS[kind]
    stream, done = add(make(), HEAD), threading.Event()

    def change():
        for k in range(1, 10_000):
            if done.is_set():
                break
            # Short blocks, which are added in place, and long ones.
            add(stream, slice(0, 100) if k % 3 else ALL, row_offset=k * 200_000, n_jobs=2)

    def use():
        try:
            again = type(stream).from_bytes(stream.to_bytes())
            add(stream, HEAD, row_offset=10**10, n_jobs=2)
            stream.result(n_jobs=2)
            return 0 if stream.n_rows_seen == again.n_rows_seen + 900 else 1
        except StateError:
            return 0

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(5):
            time.sleep(0.01)
            child = os.fork()
            if not child:
                code = 2
                try:
                    with warnings.catch_warnings(action="ignore"):
                        code = use()
                finally:
                    os._exit(code)
            assert exit_code(child, 20) == 0
    finally:
        done.set()
        thread.join()


@posix
@pytest.mark.fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_child_forked_by_a_handler_in_the_middle_of_a_call_works_or_says_so(n_jobs):
    expected = nearlin.lstsq(A, b, method="qr", n_jobs=1).x
    parent, children = os.getpid(), []

    def fork():
        children.append(os.fork())

    code = 0
    try:
        with handled(0.02, fork):
            while not children:
                try:
                    nearlin.lstsq(A, b, method="qr", n_jobs=n_jobs)
                except StateError as error:
                    # Only where the threads of the call are left behind.
                    code = 0 if "forked" in str(error) and os.getpid() != parent else 3
        if os.getpid() != parent and not np.array_equal(
            nearlin.lstsq(A, b, method="qr", n_jobs=n_jobs).x, expected
        ):
            code = 4
    finally:
        if os.getpid() != parent:
            os._exit(code)
    assert exit_code(children[0], 20) == 0


@posix
@pytest.mark.parametrize("kind", STREAMS)
def test_an_interrupted_block_is_not_in_and_may_come_again(kind):
    make, add = STREAMS[kind]
    ended = {"interrupted": 0, "undisturbed": 0}
    start = time.perf_counter()
    add(make(), ALL, n_jobs=1)
    seconds = time.perf_counter() - start
    for trial in range(24):
        stream = add(make(), HEAD)
        before = stream.to_bytes()
        try:
            with interrupted(seconds * (1 + trial % 12) / 12, LookupError):
                add(stream, ALL, n_jobs=1 + trial % 2)
            ended["undisturbed"] += 1
        except LookupError:
            # A signal that comes after the last look is raised by the caller's own next step.
            ended["interrupted"] += 1
            if stream.to_bytes() != before:
                assert stream.n_rows_seen == len(A)
                ended["undisturbed"] += 1
                ended["interrupted"] -= 1
        assert stream.n_rows_seen in (900, len(A))
    assert ended["interrupted"] > 0


def sealed(blob, payload):
    """The state `blob` with another payload, length and checksum repaired."""
    fields = blob[8:28] + struct.pack("<Q", len(payload))
    return blob[:8] + fields + struct.pack("<I", zlib.crc32(payload, zlib.crc32(fields))) + payload


@pytest.mark.parametrize("parameter", ["eps", "delta", "level", "ridge"])
def test_parameters_out_of_their_domains_are_refused_in_bytes(parameter):
    # A value that is nowhere else in the bytes, sound for each parameter.
    stream = nearlin.StreamingLeastSquares(**{parameter: 0.123456789}, sketch_size=50, rng=0)
    blob, good = stream.to_bytes(), struct.pack("<d", 0.123456789)
    assert blob.count(good) == 1
    values = (
        [np.nan, -1.0, np.inf]
        + [0.0] * (parameter != "ridge")
        + [1.0, 2.0] * (parameter in ("delta", "level"))
    )
    for value in values:
        with pytest.raises(StateError):
            type(stream).from_bytes(sealed(blob, blob[40:].replace(good, struct.pack("<d", value))))
    assert (
        type(stream).from_bytes(sealed(blob, blob[40:].replace(good, struct.pack("<d", 0.5)))).n_rows_seen
        == 0
    )


def test_sums_that_have_overflowed_are_not_written():
    stream = sketch.SparseSign(9, rng=0).accumulate(2)
    for _ in range(100):
        stream.partial_fit(np.full((5, 2), 1.7e308))
    with pytest.raises(InvalidInputError, match="overflows"):
        stream.to_bytes()


def test_columns_in_another_order_are_refused_by_name():
    first = pd.DataFrame(A[:100, :2], columns=["age", "height"])
    stream = nearlin.StreamingLeastSquares(sketch_size=50, rng=0).partial_fit(first, b[:100])
    received = type(stream).from_bytes(stream.to_bytes())
    for one in (stream, received, pickle.loads(pickle.dumps(stream)), stream.copy()):
        with pytest.raises(InvalidInputError, match="feature names should match"):
            one.partial_fit(first[["height", "age"]], b[:100])
        assert one.n_rows_seen == 100
    other = nearlin.StreamingLeastSquares(sketch_size=50, rng=0)
    other.partial_fit(first[["height", "age"]], b[:100], row_offset=100)
    with pytest.raises(InvalidInputError, match="`other`"):
        stream.merge(other)
    # Arrays have no names, nor have the numbered columns of a frame.
    stream.partial_fit(first.to_numpy(), b[:100]).partial_fit(pd.DataFrame(A[:100, :2]), b[:100])
    assert stream.partial_fit(first, b[:100]).n_rows_seen == 400


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux")
def test_threads_of_this_process_are_as_many_as_the_most_that_were_asked_for():
    script = """
        import os, numpy as np, nearlin
        A = np.random.default_rng(0).standard_normal((200_000, 4))
        before = len(os.listdir("/proc/self/task"))
        for n_jobs in range(2, 41):
            nearlin.lstsq(A, A[:, 0], method="qr", n_jobs=n_jobs)
        print(len(os.listdir("/proc/self/task")) - before)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, check=True)
    assert 2 <= int(done.stdout) <= 40


@machine_code
def test_flushing_denormals_on_the_calling_thread_changes_no_bit():
    small = A[:5000] * 1e-158
    S = sketch.SparseSign(99, rng=0)
    tiny, single = np.full((40, 2), 5e-320), np.full((40, 2), 1e-40, np.float32)

    def work(n_jobs):
        return (
            nearlin.lstsq(small, b[:5000], method="qr", n_jobs=n_jobs).x.tobytes(),
            S.apply(tiny, n_jobs=n_jobs).tobytes(),
            S.apply(single, n_jobs=n_jobs).tobytes(),
        )

    expected = {work(n_jobs) for n_jobs in (1, 2, 5)}
    with denormals_flushed():
        assert np.float64(5e-320) * 0.5 == 0.0
        found = {work(n_jobs) for n_jobs in (1, 2, 5)}
        assert np.float64(5e-320) * 0.5 == 0.0
    assert len(expected) == 1
    assert found == expected


def test_sparse_arrays_that_another_thread_writes_to_end_in_an_answer_or_an_error_of_ours():
    S = scattered((8000, 30), 0.3)
    matrices = [S, S.tocsc()]
    kept = [(m.indices.copy(), m.indptr.copy()) for m in matrices]
    stop = threading.Event()

    def scribble():
        g = np.random.default_rng(1)
        while not stop.is_set():
            for m, (indices, indptr) in zip(matrices, kept, strict=True):
                m.indices[g.integers(len(indices))] = g.choice([-1, 2**31 - 1, 10**6, 5])
                m.indptr[g.integers(len(indptr))] = g.choice([0, 2**31 - 1, -7, 10**7])
                time.sleep(1e-4)
                m.indices[:], m.indptr[:] = indices, indptr

    calls = [
        lambda m, n_jobs: nearlin.lstsq(m, b[:8000], method="lsmr", n_jobs=n_jobs),
        lambda m, n_jobs: nearlin.lstsq(m, b[:8000], method="spir", rng=0, n_jobs=n_jobs),
        lambda m, n_jobs: sketch.SparseSign(99, rng=0).apply(m, n_jobs=n_jobs),
        lambda m, n_jobs: sketch.Gaussian(20, rng=0).apply(m, n_jobs=n_jobs),
        lambda m, n_jobs: sketch.PHT(20, rng=0).accumulate(30).partial_fit(m, n_jobs=n_jobs),
    ]
    writer = threading.Thread(target=scribble)
    writer.start()
    ended = {"answer": 0, "error": 0, "internal error": 0}
    try:
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            for call in calls:
                for m in matrices:
                    try:
                        with np.errstate(all="ignore"):
                            call(m, 1 + ended["answer"] % 2)
                        ended["answer"] += 1
                    except NearlinError as error:
                        ended["internal error" if "internal error" in str(error) else "error"] += 1
    finally:
        stop.set()
        writer.join()
    assert ended.pop("internal error") == 0
    assert min(ended.values()) > 0


@pytest.mark.slow
@posix
@pytest.mark.parametrize(
    "work",
    [
        lambda: sketch.SRHT(2**23, 2**40, rng=0).accumulate(1),
        lambda: nearlin.StreamingLeastSquares(sketch_size=9, rng=0).partial_fit(
            np.broadcast_to(np.ones((1, 1)), (2**28, 1)),
            np.broadcast_to(np.ones(1), 2**28),
            sample_weight=None,
        ),
    ],
    ids=["SRHT", "stream"],
)
def test_long_serial_work_hears_interrupts(work):
    start = time.monotonic()
    with pytest.raises(TimeoutError), interrupted(0.3, TimeoutError):
        work()
    assert time.monotonic() - start < 1.5


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
def test_bytes_of_a_state_are_written_once():
    script = """
        import time, numpy as np
        from nearlin import sketch

        def peak():
            with open("/proc/self/status") as status:
                return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

        stream = sketch.CountSketch(1_000_000, rng=0).accumulate(16).partial_fit(np.ones((9, 16)))
        with open("/proc/self/clear_refs", "w") as reset:
            reset.write("5")
        before = peak()
        data = stream.to_bytes()
        print((peak() - before) / len(data))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 1.2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs RLIMIT_AS")
def test_a_checkpoint_without_memory_is_an_error_and_leaves_the_stream_as_it_was():
    script = """
        import pickle, resource, numpy as np
        from nearlin import sketch
        stream = sketch.CountSketch(1_000_000, rng=0).accumulate(20).partial_fit(np.ones((9, 20)))
        with open("/proc/self/statm") as statm:
            used = int(statm.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, resource.RLIM_INFINITY))
        for work in (stream.to_bytes, stream.copy, lambda: pickle.dumps(stream), stream.result):
            try:
                work()
                raise SystemExit("there was memory enough")
            except MemoryError:
                pass
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
        assert type(stream).from_bytes(stream.to_bytes()).n_rows_seen == 9
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)
