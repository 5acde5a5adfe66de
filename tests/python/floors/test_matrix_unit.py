"""The matrix unit as its process sees it: the same bits every way, permission asked for when it is of use."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

import nearlin

AMX = nearlin._core.matrix_unit() == "amx"
needs_amx = pytest.mark.skipif(not AMX, reason="needs the matrix unit")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
MODES = ("", "0", "emulate")

PREAMBLE = """
import ctypes, faulthandler, hashlib, os, signal, sys, threading, time, warnings

import numpy as np

import nearlin

warnings.simplefilter("ignore")
rng = np.random.default_rng(3)


def matrix(n, d, condition=1.0):
    A = rng.standard_normal((n, d))
    return A if condition == 1.0 else A @ (np.eye(d) + condition / d)


PROBLEMS = {
    "three digits": (matrix(1100, 130), {}),
    "four digits": (matrix(900, 144, 3e5), {}),
    "whitened": (matrix(1900, 256, 1e9), {}),
    "weights and a ridge": (matrix(700, 161), {"sample_weight": rng.uniform(0.1, 2, 700), "ridge": 0.5}),
    "float32": (matrix(800, 129).astype(np.float32), {}),
    "rows": (matrix(140, 900), {"method": "gram"}),
    "by name": (matrix(900, 257), {"method": "whitened"}),
}


def solve(A, options={}, n_jobs=1):
    b = np.cos(np.arange(2 * len(A), dtype=A.dtype)).reshape(len(A), 2)
    return nearlin.lstsq(A, b, rng=7, n_jobs=n_jobs, **options)


def digest(*arguments):
    answer = solve(*arguments)
    assert np.all(answer.certificate.estimate <= answer.certificate.target)
    return hashlib.sha256(np.asfortranarray(answer.x).tobytes("F")).hexdigest()


def small():
    return digest(*PROBLEMS["three digits"])


def alternate_stack(size):
    class Stack(ctypes.Structure):
        _fields_ = [("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]

    alternate_stack.memory = ctypes.create_string_buffer(size)
    stack = Stack(ctypes.addressof(alternate_stack.memory), 0, size)
    return ctypes.CDLL(None).sigaltstack(ctypes.byref(stack), None) == 0


def is_permitted():
    GET_PERMISSION, TILE_DATA = 0x1022, 18
    features = ctypes.c_uint64()
    assert ctypes.CDLL(None).syscall(158, GET_PERMISSION, ctypes.byref(features)) == 0
    return bool(features.value >> TILE_DATA & 1)
"""


def start(code, mode=""):
    """Start a process with that in `NEARLIN_AMX`, which is not set where it is empty."""
    environment = {key: value for key, value in os.environ.items() if key != "NEARLIN_AMX"}
    if mode:
        environment["NEARLIN_AMX"] = mode
    call = [sys.executable, "-c", PREAMBLE + textwrap.dedent(code)]
    return subprocess.Popen(call, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def said_by(process):
    said, complaint = process.communicate(timeout=60)
    assert process.returncode == 0, complaint
    return said.splitlines()


def run(code, mode=""):
    return said_by(start(code, mode))


@pytest.fixture(scope="module")
def digests():
    """For every mode and problem, digests of the answer by number of threads and by layout."""
    code = """
    def offset(A):
        whole = np.empty(A.size + 1, A.dtype)
        whole[1:] = A.ravel()
        return whole[1:].reshape(A.shape)

    def inside(A):
        whole = np.full((len(A) + 5, A.shape[1] + 3), np.nan, A.dtype)
        whole[2:-3, 1:-2] = A
        return whole[2:-3, 1:-2]

    layouts = {
        "Fortran order": np.asfortranarray,
        "every other row": lambda A: np.repeat(A, 2, axis=0)[::2],
        "every other column": lambda A: np.repeat(A, 2, axis=1)[:, ::2],
        "upside down": lambda A: A[::-1].copy()[::-1],
        "slice": inside,
        "offset by one": offset,
    }
    for name, (A, options) in PROBLEMS.items():
        is_slow = os.environ.get("NEARLIN_AMX") == "emulate"
        for n_jobs in (1, 3) if is_slow else (1, 2, 3, 5, 8):
            print(name, n_jobs, digest(A, options, n_jobs), sep=":")
        for layout, laid in layouts.items() if not is_slow else ():
            print(name, layout, digest(laid(A), options, 2), sep=":")
    print("unit", "", nearlin._core.matrix_unit(), sep=":")
    """
    processes = {mode: start(code, mode) for mode in MODES}
    found = {}
    for mode, process in processes.items():
        found[mode] = {}
        for line in said_by(process):
            name, way, value = line.split(":")
            found[mode].setdefault(name, {})[way] = value
    return found


@pytest.mark.parametrize("mode", MODES)
def test_threads_and_layouts_do_not_change_a_bit(digests, mode):
    for name, ways in digests[mode].items():
        assert len(set(ways.values())) == 1, (name, ways)


@needs_amx
def test_the_emulation_has_the_bits_of_the_unit(digests):
    units = {mode: digests[mode]["unit"][""] for mode in MODES}
    assert units == {"": "amx", "0": "none", "emulate": "emulated"}
    for name in digests[""].keys() - {"unit"}:
        by_unit, by_floats, emulated = (digests[mode][name]["1"] for mode in MODES)
        assert by_unit == emulated, name
        assert by_unit != by_floats, f"{name}: not by digits"


@needs_amx
def test_permission_is_asked_for_by_the_first_large_problem():
    stages = run("""
    print(is_permitted())
    for n, d in [(3000, 127), (2, 500), (100, 127), (127, 3000)]:
        solve(matrix(n, d))
    nearlin.show_config(), nearlin.get_config()
    print(is_permitted(), alternate_stack(4096), alternate_stack(1 << 16))
    print(nearlin._core.matrix_unit())
    small()
    print(is_permitted(), alternate_stack(4096))
    """)
    assert stages[0] == "False"
    assert stages[-3:] == ["False True True", "amx", "True False"]


@needs_amx
@pytest.mark.parametrize("mode", ["0", "emulate"])
def test_permission_is_not_asked_for_where_it_is_of_no_use(mode):
    assert run("small(); print(is_permitted(), alternate_stack(4096))", mode) == ["False True"]


@needs_amx
def test_a_thread_with_a_small_stack_for_signals_keeps_the_unit_from_the_process():
    code = """
    ready, over = threading.Event(), threading.Event()

    def live():
        print(alternate_stack(4096))
        ready.set()
        over.wait()

    thread = threading.Thread(target=live)
    thread.start()
    ready.wait()
    for _ in range(2):
        print(*(digest(A, options, 2) for A, options in PROBLEMS.values()))
    over.set()
    thread.join()
    print(nearlin._core.matrix_unit(), solve(*PROBLEMS["three digits"]).explanation)
    """
    refused, off = (said_by(process) for process in [start(code), start(code, "0")])
    assert refused[0] == "True"
    assert refused == off
    assert refused[-1].startswith("none ")
    assert "matrix unit" not in refused[-1]
    assert "digits" not in refused[-1]


@needs_amx
@pytest.mark.parametrize("before", ["", "small(); "])
def test_the_handler_of_faults_is_no_hindrance(digests, before):
    code = f"{before}faulthandler.enable(); print(small())"
    said = run(f"{code}; print(nearlin._core.matrix_unit(), is_permitted())")
    assert said == [digests[""]["three digits"]["1"], "amx True"]


@pytest.mark.fork
@pytest.mark.timeout(60)
@needs_fork
@pytest.mark.parametrize("mode", ["", "0"])
def test_forked_children_compute_the_same_bits(mode):
    before, parent, after, grandchild, pool, plain = run(
        """
        import multiprocessing

        def forked(work):
            ours, theirs = os.pipe()
            child = os.fork()
            if child == 0:
                signal.alarm(30)
                os.write(theirs, work().encode())
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            return os.read(ours, 1000).decode()

        def of_all(n_jobs=2):
            return "".join(digest(*PROBLEMS[name], n_jobs)[:8] for name in ("three digits", "whitened"))

        print(forked(of_all), of_all(), forked(of_all), forked(lambda: forked(of_all)), sep="\\n")
        with multiprocessing.get_context("fork").Pool(2) as pool:
            print(*set(pool.map(of_all, [1, 2])))
        print(of_all(1))
        """,
        mode,
    )
    assert before == parent == after == grandchild == pool == plain


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an interval timer")
def test_signals_that_are_handled_change_no_bit():
    quiet, *stormy = run("""
    A = matrix(9000, 260)
    handled = []
    for number in (signal.SIGALRM, signal.SIGUSR1):
        signal.signal(number, lambda *_: handled.append(sum(np.ones(9))))
    print(digest(A, {}, 2))
    over, main = threading.Event(), threading.main_thread().ident

    def disturb():
        while not over.wait(0.003):
            signal.pthread_kill(main, signal.SIGUSR1)

    disturber = threading.Thread(target=disturb)
    disturber.start()
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
    end = time.monotonic() + 20
    found = set()
    while len(handled) < 100 and time.monotonic() < end:
        found.update([digest(A, {}, 1), digest(A, {}, 2)])
    signal.setitimer(signal.ITIMER_REAL, 0)
    over.set()
    disturber.join()
    print(*found)
    print(len(handled) >= 100)
    """)
    assert stormy == [quiet, "True"]


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize("method", ["gram", "whitened"])
def test_control_c_is_heard_in_half_a_second_and_the_next_call_is_right(method):
    process = start(f"""
    expected, A = small(), matrix(20_000, 520)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    print("ready", flush=True)
    try:
        while True:
            solve(A, {{"method": {method!r}}}, 2)
    except KeyboardInterrupt:
        print(time.time())
    print(small() == expected)
    """)
    with process:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
        sent = time.time()
        process.send_signal(signal.SIGINT)
        heard, is_right = said_by(process)
    assert float(heard) - sent < 0.5
    assert is_right == "True"


def test_threads_of_python_do_not_disturb_one_another():
    assert run("""
    expected = {name: digest(*problem) for name, problem in PROBLEMS.items()}
    wrong, start = [], threading.Barrier(2)

    def work(names):
        start.wait()
        for name in names:
            found = digest(*PROBLEMS[name], 2)
            if found != expected[name]:
                wrong.append(name)

    orders = list(PROBLEMS) * 3, list(PROBLEMS)[::-1] * 3
    threads = [threading.Thread(target=work, args=[names]) for names in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(wrong)
    """) == ["[]"]


@pytest.mark.parametrize("mode", MODES)
def test_the_explanation_names_the_unit_where_it_is_used(mode):
    code = """
    A, wide = matrix(1100, 128), matrix(128, 700)
    used = {
        "128 columns": solve(A),
        "gram": solve(A, {"method": "gram"}),
        "128 rows": solve(wide, {"method": "gram"}),
    }
    unused = {
        "127 columns": solve(A[:, :127].copy()),
        "float64 products": solve(A, {"dtype_work": np.float64}),
        "float32 products": solve(A, {"dtype_work": np.float32}),
        "QR": solve(A, {"method": "qr"}),
    }
    for name, answer in [*used.items(), *unused.items()]:
        print("digits" in answer.explanation, answer.explanation)
    print(solve(A).explanation)
    """
    *each, default = run(code, mode)
    unit = {"": nearlin._core.matrix_unit(), "0": "none", "emulate": "emulated"}[mode]
    says = [line.startswith("True") for line in each]
    assert says == [unit != "none"] * 3 + [False] * 4, each
    assert (f"matrix unit: {unit}" in default) == (unit != "none")


def test_a_choice_that_is_none_is_refused():
    process = start("", "fast")
    complaint = process.communicate(timeout=60)[1]
    assert process.returncode != 0
    assert "NEARLIN_AMX is 'fast', expected '0', '1' or 'emulate'" in complaint


@pytest.mark.timeout(60)
@pytest.mark.skipif(not hasattr(signal, "alarm"), reason="needs an alarm")
def test_the_largest_and_the_smallest_numbers_end_as_without_the_unit():
    """Entries that no earlier row suggests, up to nearly the largest there is."""
    code = """
    signal.alarm(20)
    for size in (5e-324, 1e-300, 1e150, 1e300, 6e306, 8e307, np.inf, np.nan):
        for row, column in [(0, 0), (700, 64), (1099, 129)]:
            A = PROBLEMS["three digits"][0].copy()
            A[row, column] = size
            for method in ("auto", "gram", "whitened"):
                try:
                    ended = solve(A, {"method": method}).rank, digest(A, {"method": method}) != ""
                except nearlin.exceptions.InvalidInputError as error:
                    ended = error
                print(size, row, method, ended)
    """
    said, off = (said_by(process) for process in [start(code), start(code, "0")])
    assert len(said) == 8 * 3 * 3
    assert said == off
