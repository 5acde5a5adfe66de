"""Calls with less and less memory: MemoryError or an answer, never an abort or a half-changed stream.

    python memory.py [limits per call=24] [seed=0] [rows=150000] [most threads=2] [words of names ...]

Every call runs in a forked child under RLIMIT_AS = what the process has + a random headroom. Prints, by
call, how often it answered, raised MemoryError, raised something else, or died, with the message of the
death; the exit code is 1 if anything but an answer or MemoryError came out.
"""

import collections
import os
import random
import resource
import signal
import sys
import tempfile
from pathlib import Path

# Free memory goes back to the system, or there would be no lack of it.
if os.environ.get("MALLOC_TOP_PAD_") != "0":
    tight = {
        "MALLOC_MMAP_THRESHOLD_": "65536",
        "MALLOC_TRIM_THRESHOLD_": "0",
        "MALLOC_TOP_PAD_": "0",
        "MALLOC_ARENA_MAX": "1",
    }
    os.execve(
        sys.executable,
        [sys.executable, *sys.argv],
        os.environ | tight | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg  # not to be imported under the limit, as the next two
import scipy.special
import sklearn.linear_model  # noqa: F401

import nearlin
from nearlin import _core, sketch
from nearlin.exceptions import NearlinError

GIVEN = [*map(int, sys.argv[1:5])]
LIMITS, SEED, N, THREADS = [*GIVEN, *[24, 0, 150_000, 2][len(GIVEN) :]]
ONLY = sys.argv[5:]

g = np.random.default_rng(0)
D = 24
A = g.standard_normal((N, D))
b = g.standard_normal(N)
w = g.uniform(0.5, 2, N)
S = sp.csr_array(g.uniform(size=(N, D)) * (g.uniform(size=(N, D)) < 0.3))
swapped = sp.csr_array((S.data.copy(), S.indices.copy(), S.indptr.copy()), shape=S.shape)
for i in range(0, N, 7):  # unsorted lines
    a, z = swapped.indptr[i : i + 2]
    swapped.indices[a:z], swapped.data[a:z] = (
        swapped.indices[a:z][::-1].copy(),
        swapped.data[a:z][::-1].copy(),
    )
K1, K2 = g.standard_normal((600, 20)), g.standard_normal((400, 20))
B = g.standard_normal((600, 400))
linop = scipy.sparse.linalg.aslinearoperator(A)


def lstsq(method, matrix=A, **more):
    return lambda n_jobs: nearlin.lstsq(matrix, b, method=method, rng=0, n_jobs=n_jobs, **more)


def stream(kind, **more):
    """A block for a stream that has some; the bytes of the stream must be the old ones after an error."""
    made = nearlin.StreamingLeastSquares(
        sketch=kind, sketch_size=3000, guarantee=None, rng=0, n=2 * N if kind == "srht" else None
    )
    made.partial_fit(A[:777], b[:777])
    covered, x = made.covered, made.result().x

    def call(n_jobs):
        try:
            made.partial_fit(A, b, n_jobs=n_jobs, **more)
        except MemoryError:
            assert made.covered == covered, "HALF CHANGED"
            assert np.array_equal(made.result().x, x), "HALF CHANGED"
            raise

    return call


def accumulate(operator, block):
    made = operator.accumulate(D).partial_fit(A[:777])
    covered, y = made.covered, made.result()

    def call(n_jobs):
        try:
            made.partial_fit(block, n_jobs=n_jobs)
        except MemoryError:
            assert made.covered == covered, "HALF CHANGED"
            assert np.array_equal(made.result(), y), "HALF CHANGED"
            raise

    return call


def products(matrix, k):
    made = _core.Products(matrix)
    X, Y = np.ones((D, k)), np.ones((N, k), order="F")

    def call(n_jobs):
        made.product(X, c_order=True, threads=n_jobs)
        made.transposed_product(Y, c_order=False, threads=n_jobs)

    return call


def to_bytes(operator):
    made = operator.accumulate(D).partial_fit(A[:777])
    blob = made.to_bytes()
    return lambda n_jobs: (made.to_bytes(), sketch.Accumulator.from_bytes(blob), made.copy(), made.result())


CALLS = {
    f"lstsq {m}": lstsq(m)
    for m in ("auto", "gram", "whitened", "spir", "fossils", "lsmr", "fgmres_wlsir", "qr")
}
CALLS |= {f"lstsq sparse {m}": lstsq(m, S) for m in ("auto", "spir", "lsmr", "gram")}
CALLS |= {
    "lstsq unsorted sparse": lstsq("lsmr", swapped),
    "lstsq operator": lstsq("auto", linop),
    "lstsq weights certify verify": lstsq("auto", sample_weight=w, certify=True, verify=True),
    "lstsq reversed view": lstsq("gram", A[::-1]),
    "lstsq ridge": lstsq("auto", ridge=1.0),
    "lstsq int": lstsq("auto", A.astype(np.int64)),
    "lstsq wide": lambda n_jobs: nearlin.lstsq(A[:500].T, b[:D], n_jobs=n_jobs),
    "lstsq tall narrow": lambda n_jobs: nearlin.lstsq(b.reshape(-1, 1), b, n_jobs=n_jobs),
    "kron": lambda n_jobs: nearlin.lstsq_kron([K1, K2], B, n_jobs=n_jobs),
    "kron sketch": lambda n_jobs: nearlin.lstsq_kron([K1, K2], B, method="sketch", rng=0, n_jobs=n_jobs),
    "tensor": lambda n_jobs: sketch.TensorSRHT(20_000, (600, 400), rng=0).apply(B, n_jobs=n_jobs),
    "tensor big m": lambda n_jobs: sketch.TensorSRHT(2**24, (600, 400), rng=0).apply_factors(
        [K1[:, :1], K2[:, :1]], n_jobs=n_jobs
    ),
    "Ridge": lambda n_jobs: nearlin.Ridge(n_jobs=n_jobs).fit(A, b, w),
    "RidgeCV": lambda n_jobs: nearlin.RidgeCV(n_jobs=n_jobs).fit(A, b, w),
    "summary HC3": lambda n_jobs: (
        nearlin.LinearRegression(n_jobs=n_jobs).fit(A, b, w).summary("HC3", A, b, w)
    ),
    "sketch_and_solve": lambda n_jobs: nearlin.sketch_and_solve(
        A, b, sketch_size=4000, sample_weight=w, rng=0, n_jobs=n_jobs
    ),
    "stream weights": stream("pht", sample_weight=w),
}
CALLS |= {
    f"products {M.format} {M.dtype} {k}": products(M, k)
    for M in (S, S.tocsc(), S.astype(np.float32))
    for k in (1, 40)
}
CALLS |= {f"stream {k}": stream(k) for k in ("pht", "srht", "gaussian", "sparse_sign", "count_sketch")}
for kind, op in {
    "srht": sketch.SRHT(5000, 2 * N, rng=0),
    "pht": sketch.PHT(5000, rng=0),
    "signs": sketch.SparseSign(5000, rng=0),
    "count": sketch.CountSketch(50_000, rng=0),
    "gauss": sketch.Gaussian(300, rng=0),
}.items():
    CALLS |= {
        f"accumulate {kind}": accumulate(op, A),
        f"accumulate sparse {kind}": accumulate(op, S),
        f"bytes {kind}": to_bytes(op),
        f"apply {kind}": lambda n_jobs, op=op: op.apply(A, n_jobs=n_jobs),
        f"apply sparse {kind}": lambda n_jobs, op=op: op.apply(S, n_jobs=n_jobs),
        f"transposed {kind}": lambda n_jobs, op=op: op.T.apply(
            np.ones((op.m, 2)), 0, 2 * N // 3, n_jobs=n_jobs
        ),
    }
CALLS["apply srht big m"] = lambda n_jobs: sketch.SRHT(2**22, 2**40, rng=0).apply(A[:10, :1], n_jobs=n_jobs)
CALLS["apply pht big chunk"] = lambda n_jobs: sketch.PHT(4, chunk=2**25, rng=0).apply(
    A[:10, :1], n_jobs=n_jobs
)


def attempt(call, headroom, n_jobs):
    """What becomes of the call in a child."""
    read, write = os.pipe()
    errors = tempfile.TemporaryFile()  # noqa: SIM115  (the child writes to it, the parent reads)
    child = os.fork()
    if not child:
        os.close(read)
        os.dup2(errors.fileno(), 2)
        have = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
        signal.alarm(120)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (have + headroom,) * 2)
        try:
            call(n_jobs)
            outcome = "answered"
        except MemoryError as error:
            outcome = "MemoryError" if isinstance(error, NearlinError) else "MemoryError of NumPy"
        except BaseException as error:
            outcome = f"BAD {type(error).__name__}: {str(error)[:110]}"
        os.write(write, outcome.encode())
        os._exit(0)
    os.close(write)
    outcome = os.read(read, 1000).decode()
    os.close(read)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    errors.seek(0)
    said = errors.read().decode(errors="replace").strip().splitlines()
    return (
        outcome
        or f"DIED {signal.Signals(-status).name if status < 0 else status}: {said[0][:100] if said else ''}"
    )


def main():
    rnd, total = random.Random(SEED), collections.Counter()
    for name, call in CALLS.items():
        if ONLY and not any(word in name for word in ONLY):
            continue
        counts, where = collections.Counter(), {}
        for k in range(LIMITS):
            n_jobs = 1 if k % 3 else THREADS
            headroom = int(2 ** rnd.uniform(16, 27.5))  # 64 kiB to 190 MiB
            outcome = attempt(call, headroom, n_jobs)
            counts[outcome] += 1
            where.setdefault(outcome, f"(headroom {headroom >> 10} KiB, n_jobs {n_jobs})")
        total += counts
        print(
            f"{name:30}",
            "; ".join(
                f"{n} {o} {where[o] if o[:3] in ('BAD', 'DIE') else ''}" for o, n in counts.most_common()
            ),
            flush=True,
        )
    print("TOTAL", *(f"\n{n:6} {o}" for o, n in total.most_common()))
    sys.exit(any(outcome.startswith(("BAD", "DIED")) for outcome in total))


if __name__ == "__main__":
    main()
