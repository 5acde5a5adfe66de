"""The same bits for any number of threads, process and place in memory, with and without denormals.

A problem is a number: `problem(number)` makes it again.
"""

import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
import warnings

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from reference.processor import ARE_ZERO, BOTH, TO_ZERO, denormals_flushed, machine_code

import nearlin
from nearlin import sketch

pytestmark = [pytest.mark.fuzz, pytest.mark.filterwarnings("ignore")]

PROBLEMS = int(os.environ.get("NEARLIN_FUZZ_CASES", "40"))
SEED = int(os.environ.get("NEARLIN_FUZZ_SEED", "0"))
METHODS = ("auto", "gram", "whitened", "spir", "fossils", "cg", "lsmr", "fgmres_wlsir", "qr")


def digest(*arrays):
    bits = hashlib.sha256()
    for array in map(np.ascontiguousarray, arrays):
        bits.update(str((array.dtype, array.shape)).encode() + array.tobytes())
    return bits.hexdigest()


def results(A, b, w, n_jobs):
    """Return digests, by name, of all that promises bits."""
    found, n = {}, len(b)
    for method in METHODS:
        sharp = method in ("auto", "spir")
        r = nearlin.lstsq(A, b, method=method, rng=3, n_jobs=n_jobs, certify=sharp)
        found[f"lstsq {method}"] = digest(r.x, r.residual_norm, r.certificate.bound)
    r = nearlin.lstsq(A, b, sample_weight=w, ridge=0.1, rng=3, n_jobs=n_jobs)
    found["lstsq with weights and a ridge"] = digest(r.x, r.certificate.bound)
    for kind in ("pht", "srht", "gaussian", "sparse_sign", "count_sketch"):
        r = nearlin.sketch_and_solve(
            A, b, sketch=kind, guarantee=None, sketch_size=64, sample_weight=w, rng=3, n_jobs=n_jobs
        )
        found[f"sketch_and_solve {kind}"] = digest(r.x, r.half_width)
    for S in (
        sketch.SRHT(50, n, rng=1),
        sketch.PHT(50, rng=1),
        sketch.SparseSign(50, rng=1),
        sketch.CountSketch(50, rng=1),
        sketch.Gaussian(50, rng=1),
    ):
        whole = found[f"{S.kind} apply"] = digest(S.apply(A, n_jobs=n_jobs))
        found[f"{S.kind} transposed"] = digest(S.T.apply(np.ones((50, 2)), 0, n, n_jobs=n_jobs))
        stream, at = S.accumulate(A.shape[1], dtype=A.dtype), 0
        for stop in (1, n // 3, n // 3 + 1, n):
            stream.partial_fit(A[at:stop], n_jobs=n_jobs)
            at = stop
        assert digest(stream.result(n_jobs=n_jobs)) == whole, S.kind
    model = nearlin.LinearRegression(n_jobs=n_jobs, random_state=3, inference=True).fit(A, b, w)
    found["LinearRegression"] = digest(
        model.coef_, model.intercept_, model.cov_params(), model.cov_params("HC3", A, b, w)
    )
    found["RidgeCV"] = digest(
        nearlin.RidgeCV(alphas=[0.1, 1.0], n_jobs=n_jobs, random_state=3).fit(A, b).coef_
    )
    if not sp.issparse(A) and abs(A).max() > 1e-10:
        r = nearlin.lstsq_kron([A[:40], A[40:70]], np.outer(b[:40], b[:30]), n_jobs=n_jobs)
        found["lstsq_kron"] = digest(r.x)
    return found


def problem(number):
    g = np.random.default_rng([SEED, number])
    n, d = int(g.integers(100, 20_000)), int(g.integers(1, 40))
    dtype = g.choice([np.float32, np.float64])
    A = (g.standard_normal((n, d)) * 10.0 ** g.uniform(-3, 3, d)).astype(dtype)
    if number % 8 == 0:
        # Products of entries are denormal.
        A *= dtype(1e-20 if dtype == np.float32 else 1e-158)
    if number % 4 == 3:
        A = sp.csr_array(A * (g.uniform(size=A.shape) < 0.3))
    return A, g.standard_normal(n).astype(dtype), g.uniform(0.1, 2, n)


def shifted(array, by):
    """Return a copy whose first entry lies `by` entries past a cache line."""
    raw = np.zeros(array.size + 32, array.dtype)
    start = (-raw.ctypes.data % 64) // array.itemsize + by
    view = raw[start : start + array.size].reshape(array.shape)
    view[...] = array
    return view


def variants(A, b, w):
    """Yield the same problem in other words: what is different, and the arguments of `results`."""
    yield "again", (A, b, w, 1)
    for n_jobs in (2, 3, 7):
        yield f"n_jobs = {n_jobs}", (A, b, w, n_jobs)
    if sp.issparse(A):
        long = sp.csr_array((A.data, A.indices.astype(np.int64), A.indptr.astype(np.int64)), A.shape)
        yield "indices of 64 bits", (long, b, w, 2)
        return
    for by in (1, 3, 7):
        yield f"{by} past a line", (shifted(A, by), shifted(b, by), shifted(w, by), 2)
    yield "rows of a wider array", (np.concatenate([A, A], axis=1)[:, : A.shape[1]], b, w, 2)
    yield "every other row", (np.repeat(A, 2, axis=0)[::2], np.repeat(b, 2)[::2], w, 2)
    yield "read-only", (np.frombuffer(A.tobytes(), A.dtype).reshape(A.shape), b, w, 2)
    yield "backwards", (A[::-1].copy()[::-1], b[::-1].copy()[::-1], w, 2)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", range(PROBLEMS))
def test_bits_are_a_matter_of_the_numbers_alone(number):
    A, b, w = problem(number)
    expected = results(A, b, w, 1)
    for what, arguments in variants(A, b, w):
        assert results(*arguments) == expected, what


@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", [number for number in range(PROBLEMS) if number % 4 < 3])
def test_columns_in_one_piece_have_bits_of_their_own_which_are_as_firm(number):
    # They are read by other kernels, in another order of summation; a sketch is the same.
    A, b, w = problem(number)
    A = np.asfortranarray(A)
    expected = results(A, b, w, 1)
    for n_jobs in (2, 3, 7):
        assert results(A, b, w, n_jobs) == expected, n_jobs
    assert results(A.copy(order="F"), b, w, 2) == expected


@machine_code
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", range(0, PROBLEMS, 8))
def test_bits_are_the_same_where_denormals_are_flushed(number):
    A, b, w = problem(number)
    expected = results(A, b, w, 1)
    for bits in (BOTH, TO_ZERO, ARE_ZERO):
        for n_jobs in (1, 2, 5):
            with denormals_flushed(bits):
                found = results(A, b, w, n_jobs)
            assert found == expected, (bits, n_jobs)


def of_problem(number, n_jobs):
    with warnings.catch_warnings(action="ignore"):
        return results(*problem(number), n_jobs)


@pytest.mark.fork
@pytest.mark.timeout(600)
@pytest.mark.parametrize("start", ["fork", "forkserver", "spawn"])
def test_children_have_the_same_bits(start):
    numbers = [(number, n_jobs) for number in range(0, PROBLEMS, 5) for n_jobs in (1, 2, 3)]
    expected = [of_problem(number, 2) for number, _ in numbers]
    with multiprocessing.get_context(start).Pool(2) as pool:
        assert pool.starmap(of_problem, numbers) == expected


@pytest.mark.fork
@pytest.mark.timeout(600)
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_workers_of_joblib_have_the_same_bits(backend):
    numbers = [(number, n_jobs) for number in range(0, PROBLEMS, 5) for n_jobs in (None, 2)]
    expected = [of_problem(number, 2) for number, _ in numbers]
    with joblib.Parallel(3, backend=backend) as workers:
        assert workers(joblib.delayed(of_problem)(*number) for number in numbers) == expected


@pytest.mark.fork
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", ["0", "1", "random"])
def test_the_seed_of_hashes_does_not_matter(seed):
    numbers = list(range(0, PROBLEMS, 7))
    done = subprocess.run(
        [sys.executable, __file__, *map(str, numbers)],
        env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        check=True,
    )
    assert json.loads(done.stdout) == [of_problem(number, 2) for number in numbers]


if __name__ == "__main__":
    print(json.dumps([of_problem(int(number), 2) for number in sys.argv[1:]]))
