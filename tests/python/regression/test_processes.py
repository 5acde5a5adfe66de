"""lstsq in child processes, under Ctrl-C, and the memory that it takes."""

import json
import multiprocessing
import os
import subprocess
import sys
import textwrap
from concurrent.futures import ProcessPoolExecutor

import joblib
import pytest
from reference import regression as reference

import nearlin
from nearlin.regression._solve import METHODS

problem = reference.problems(20_000, 24)


@pytest.mark.fork
@pytest.mark.parametrize("start", multiprocessing.get_all_start_methods())
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_process_finds_the_same_bits(start):
    A, b = problem()
    options = {"method": "whitened", "rng": 3, "n_jobs": 2}
    here = nearlin.lstsq(A, b, **options).x.tobytes()
    context = multiprocessing.get_context(start)
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        assert pool.submit(nearlin.lstsq, A, b, **options).result(timeout=60).x.tobytes() == here


@pytest.mark.fork
def test_workers_of_joblib_find_the_same_bits():
    A, b = problem()
    job = joblib.delayed(nearlin.lstsq)(A, b, method="whitened", rng=3)
    here = nearlin.lstsq(A, b, method="whitened", rng=3).x.tobytes()
    assert {r.x.tobytes() for r in joblib.Parallel(n_jobs=2)([job, job])} == {here}


@pytest.mark.fork
@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_ctrl_c_interrupts_and_the_process_goes_on():
    code = """
        import os, signal, threading, time
        import numpy as np
        import nearlin

        rng = np.random.default_rng(0)
        A = rng.standard_normal((60_000, 700))
        b = rng.standard_normal(60_000)
        sent = []

        def interrupt():
            sent.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

        threading.Timer(1.0, interrupt).start()
        try:
            while True:
                nearlin.lstsq(A, b, method="qr", rng=0)
        except KeyboardInterrupt:
            print(time.monotonic() - sent[0])
        print(nearlin.lstsq(A[:2000, :5], b[:2000], rng=0).rank)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=100, check=True
    )
    waited, rank = done.stdout.split()
    # Blocks of rows take a second where multiply-adds are emulated, the whole of them minutes.
    assert float(waited) < (20.0 if os.environ.get("NEARLIN_ISA") == "portable" else 2.0)
    assert rank == "5"


@pytest.mark.fork
@pytest.mark.skipif(sys.platform != "linux", reason="reads the kernel's marks of memory")
@pytest.mark.parametrize(
    ("make", "allowed"),
    [
        ("rng.standard_normal((2**17, 128))", 0.2),
        ("np.asfortranarray(rng.standard_normal((2**17, 128)))", 0.2),
        ("rng.standard_normal((2**17, 128), np.float32)", 0.4),
        ("scipy.sparse.csr_array(rng.random((2**18, 50)) * (rng.random((2**18, 50)) < 4e-2))", 2.0),
    ],
    ids=["C", "F", "float32", "CSR"],
)
def test_little_memory_is_taken_beside_the_data(make, allowed):
    code = f"""
        import json
        import numpy as np, scipy.sparse
        import nearlin
        from nearlin._demo.process import memory_probe

        rng = np.random.default_rng(0)
        A = {make}
        b = A @ np.ones(A.shape[1], A.dtype) + rng.standard_normal(A.shape[0]).astype(A.dtype)
        nearlin.lstsq(A[:5000], b[:5000], n_jobs=2)
        size = A.nbytes if isinstance(A, np.ndarray) else A.data.nbytes + A.indices.nbytes
        shares = {{}}
        # FGMRES keeps two vectors of n numbers for each step, LSMR a few: little beside dense rows only.
        for method in {METHODS}:
            if method in ("fgmres_wlsir", "lsmr") and not isinstance(A, np.ndarray):
                continue
            if method == "sparse_cholesky" and isinstance(A, np.ndarray):
                continue
            peak = memory_probe()
            nearlin.lstsq(A, b, method=method, rng=0, n_jobs=2)
            shares[method] = peak() / size
        print(json.dumps(shares))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    shares = json.loads(done.stdout)
    assert max(shares.values()) <= allowed, shares


@pytest.mark.fork
@pytest.mark.skipif(sys.platform != "linux", reason="reads the kernel's marks of memory")
def test_sparse_rows_take_twice_their_memory_twelve_vectors_and_a_factor():
    code = """
        import ctypes, json, re
        import numpy as np, scipy.sparse as sp
        import nearlin
        from nearlin._demo.process import memory_probe

        def uniform(n, d, each):
            return sp.csr_array((rng.standard_normal(n * each), rng.integers(0, d, n * each),
                                 np.arange(0, n * each + 1, each)), shape=(n, d))

        def grid(m):
            steps = sp.diags_array([np.ones(m), -np.ones(m - 1)], offsets=[0, 1])
            eye = sp.eye_array(m)
            return sp.vstack([sp.kron(steps, eye), sp.kron(eye, steps), 1e-2 * sp.eye_array(m * m)], "csr")

        rng = np.random.default_rng(0)
        tall = uniform(60_000, 1500, 5)
        for method in ("gram", "spir", "sparse_cholesky"):
            nearlin.lstsq(tall[:, :50], np.ones(tall.shape[0]), method=method, rng=0, n_jobs=2)
        shares = {}
        for method, A in [
            ("cg", uniform(200_000, 50_000, 4)),
            ("lsmr", uniform(200_000, 50_000, 4)),
            ("gram", tall),
            ("spir", uniform(60_000, 800, 5)),
            ("sparse_cholesky", grid(200)),
        ]:
            A.sum_duplicates()
            b, d = rng.standard_normal(A.shape[0]), A.shape[1]
            ctypes.CDLL(None).malloc_trim(0)
            peak = memory_probe()
            result = nearlin.lstsq(A, b, method=method, rng=0, n_jobs=2)
            taken = peak()
            assert result.method == method
            matrix = A.data.nbytes + A.indices.nbytes + A.indptr.nbytes
            entries = re.search(r"A'A has (\\d+) entries, its factor (\\d+)", result.explanation)
            factor = {"gram": 8 * d * d, "spir": 8 * d * ((result.sketch_size or 0) + d)}.get(method, 1)
            if entries:
                factor = 12 * sum(map(int, entries.groups()))
            shares[method] = (taken - 2 * matrix - 12 * 8 * d) / factor
        print(json.dumps(shares))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    shares = json.loads(done.stdout)
    # Products of rows on two threads, A'A, the same with columns of norm one, and its factor.
    assert shares["gram"] <= 5.0, shares
    # The factor of the sketch takes the place of that, and a triangle beside it.
    assert shares["spir"] <= 1.5, shares
    assert shares["sparse_cholesky"] <= 1.2, shares
    assert max(shares["cg"], shares["lsmr"]) <= 0.0, shares
