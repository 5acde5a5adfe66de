"""Threads, child processes, signals, memory: a call as its process sees it."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
from reference import hashes
from reference.signals import interrupted

import nearlin
from nearlin import sketch
from nearlin.data import blocks

rng = np.random.default_rng(5)
A = rng.standard_normal((20_000, 30))
b = rng.standard_normal((20_000, 2))
KINDS = (sketch.SRHT, sketch.PHT, sketch.SparseSign, sketch.CountSketch, sketch.Gaussian)
METHODS = ("auto", "gram", "whitened", "spir", "qr")


def solve(method, n_jobs):
    return nearlin.lstsq(A, b, method=method, rng=7, n_jobs=n_jobs).x.tobytes()


def shrink(kind, n_jobs):
    with nearlin.config_context(num_threads=n_jobs):
        return np.ascontiguousarray(kind(120, len(A), rng=7) @ A).tobytes()


@pytest.mark.parametrize("method", METHODS)
def test_solutions_have_the_same_bits_for_any_number_of_threads(method):
    assert len({solve(method, n_jobs) for n_jobs in (1, 2, 3, 8)}) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_sketches_have_the_same_bits_for_any_number_of_threads(kind):
    assert len({shrink(kind, n_jobs) for n_jobs in (1, 2, 3, 8)}) == 1


@pytest.mark.fork
@pytest.mark.timeout(60)
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("start", multiprocessing.get_all_start_methods())
def test_children_compute_the_same_bits(start):
    expected = nearlin.lstsq(A, b, rng=7, n_jobs=2).x
    with multiprocessing.get_context(start).Pool(1) as pool:
        result = pool.apply(nearlin.lstsq, (A, b), {"rng": 7, "n_jobs": 2})
    np.testing.assert_array_equal(result.x, expected)


@pytest.mark.fork
@pytest.mark.timeout(60)
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_bare_fork_and_its_grandchild_compute_the_same_bits():
    def fork_and_compare(generations):
        child = os.fork()
        if child:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        good = solve("whitened", 2) == expected
        if good and generations > 1:
            good = fork_and_compare(generations - 1) == 0
        os._exit(0 if good else 1)

    expected = solve("whitened", 2)
    assert fork_and_compare(2) == 0


@pytest.mark.fork
@pytest.mark.timeout(60)
def test_workers_of_joblib_compute_the_same_bits_with_one_thread_each():
    expected = nearlin.lstsq(A, b, rng=7, n_jobs=2).x
    call = joblib.delayed(nearlin.lstsq)
    count = joblib.delayed(nearlin._config.resolve_threads)
    with joblib.Parallel(n_jobs=2, backend="loky") as workers:
        for result in workers([call(A, b, rng=7), call(A, b, rng=7)]):
            np.testing.assert_array_equal(result.x, expected)
        assert workers([count(None)]) == [max(1, joblib.cpu_count() // 2)]


def test_other_threads_run_during_a_call():
    steps, done = [], threading.Event()

    def walk():
        while not done.wait(0.001):
            steps.append(time.perf_counter())

    walker = threading.Thread(target=walk)
    walker.start()
    during, end = 0, time.perf_counter() + 60.0
    while during < 50 and time.perf_counter() < end:
        start = time.perf_counter()
        nearlin.lstsq(A, b, method="qr", n_jobs=1)
        called = time.perf_counter()
        during += sum(start < step < called for step in steps)
        steps.clear()
    done.set()
    walker.join()
    assert during >= 50


def test_calls_from_many_threads_do_not_disturb_each_other():
    expected = {method: solve(method, 2) for method in METHODS}
    found = {}

    def work(method):
        found[method] = solve(method, 2)

    workers = [threading.Thread(target=work, args=[method]) for method in METHODS]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == expected


def test_progress_is_reported_and_may_stop_the_call():
    seen = []
    nearlin.lstsq(A, b, rng=7, progress=lambda done, total, figures: seen.append((done, total, figures)))
    assert seen
    assert all(0 <= done <= total for done, total, _ in seen)
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    assert all(isinstance(value, float) for _, _, figures in seen for value in figures.values())

    def stop(done, total, figures):
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        nearlin.lstsq(A, b, rng=7, progress=stop)


LONG_CALLS = {
    "lstsq": "nearlin.lstsq(A, A[:, :1], method='qr', n_jobs={threads})",
    "sketch": "nearlin.sketch.Gaussian(4000, len(A), rng=0) @ A",
}


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("call", LONG_CALLS)
def test_control_c_ends_a_long_call_and_the_process_goes_on(call, threads):
    script = f"""
        import time
        import numpy as np, nearlin
        nearlin.set_config(num_threads={threads})
        A = np.random.default_rng(0).standard_normal((300_000, 400))
        print("ready", flush=True)
        try:
            while True:
                {LONG_CALLS[call].format(threads=threads)}
        except KeyboardInterrupt:
            print(time.time(), flush=True)
        small = nearlin.lstsq(A[:1000, :5], A[:1000, 5])
        np.testing.assert_allclose(small.x, np.linalg.lstsq(A[:1000, :5], A[:1000, 5], rcond=None)[0])
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.5)
        sent = time.time()
        process.send_signal(signal.SIGINT)
        ended = float(process.stdout.readline())
        assert process.wait() == 0
    assert ended - sent < 2


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an interval timer")
def test_an_exception_of_any_signal_handler_comes_through():
    def solve_for_ever(matrix):
        while True:
            nearlin.lstsq(matrix, matrix[:, 0], method="qr", n_jobs=1)

    large = rng.standard_normal((100_000, 200))
    with pytest.raises(TimeoutError, match="too long"), interrupted(0.2, TimeoutError("too long")):
        solve_for_ever(large)


LARGE_INPUTS = {
    "C order": "A",
    "Fortran order": "np.asfortranarray(A)",
    "rows of a wider array": "np.concatenate([A, A], axis=1)[:, : A.shape[1]]",
    "every other row": "A[::2]",
    "read-only": "np.broadcast_to(A, A.shape)",
}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
@pytest.mark.parametrize("form", LARGE_INPUTS)
def test_the_matrix_is_not_copied(form):
    script = f"""
        import numpy as np, nearlin

        def peak():
            with open("/proc/self/status") as status:
                return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

        A = np.random.default_rng(0).standard_normal((2**19, 64))
        A = {LARGE_INPUTS[form]}
        b = A[:, 0].copy()
        nearlin.lstsq(A[:1000], b[:1000])
        for call in (lambda: nearlin.lstsq(A, b), lambda: nearlin.sketch.SparseSign(256, len(A), rng=0) @ A):
            with open("/proc/self/clear_refs", "w") as reset:
                reset.write("5")
            before = peak()
            call()
            print((peak() - before) / A.nbytes)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert all(float(extra) < 0.2 for extra in done.stdout.split()), done.stdout


def test_answers_have_the_same_bits_with_every_instruction_set():
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", hashes.__file__],
            env={**os.environ, "NEARLIN_ISA": name},
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("portable", "avx2", "avx512")
    ]
    said = [process.communicate(timeout=60)[0].splitlines() for process in processes]
    assert len(said[0]) > 20
    assert not [line for line in said[0] if line.endswith("missed")]
    assert said[0] == said[1] == said[2]


@pytest.mark.fork
@pytest.mark.timeout(60)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_child_does_not_wait_for_a_thread_of_its_parent():
    stream = nearlin.StreamingLeastSquares().partial_fit(A[:100], A[:100, 0])
    inside, over = threading.Event(), threading.Event()

    def rows():
        yield A[:200], A[:200, 0]
        inside.set()
        over.wait()

    other = threading.Thread(target=lambda: stream.partial_fit(blocks(rows())))
    other.start()
    inside.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        os._exit(int(stream.partial_fit(A, A[:, 0]).n_rows_seen != 100 + len(A)))
    over.set()
    other.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert stream.n_rows_seen == 300
