"""Dense factorisations beside SciPy's: times, ratios and the errors of both in one table.

The library calls its factorisations inside its own parallel blocks, so that they run on one thread; SciPy's
run on one and on two. R, the leverages and the orthonormal bases of tall matrices (131072 rows) are the
exception: ours run on one, then on two.
The sides take turns, and a time is the best of all turns. An error is the larger of the relative residual and
the departure of the orthonormal factors from orthonormality.

`systems` solves a cacheful of positive definite systems of one order, beside LAPACK's posv in a loop;
`sparse` is A'A of a sparse matrix with 16 entries a row, beside `(A.T @ A).toarray()`;
`rows` is E E' of 64 of its rows, beside `(E @ E.T).toarray()`, `forms` v'Gv of all rows v, beside
`A.multiply(A @ G).sum(1)`;
`leverages` are the squared norms of the rows of A R^-1 for a triangle that is there, beside BLAS's trmm;
`leading-3` and `leading-6` are the largest three and six tenths of the eigenpairs, beside LAPACK's by index;
`arrow` is a diagonal matrix bordered by a row and a column, beside `eigh` of it;
`basis` and `qr2` are orthonormal bases by TSQR and by CholeskyQR2, beside LAPACK's QR.
"""

import argparse
import json
import os
import subprocess
import time
from pathlib import Path

import numpy as np
import scipy.linalg as sl
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

ROOT = Path(__file__).parents[3]
OPERATIONS = ["gemm", "syrk", "trsm", "cholesky", "qr", "svd", "eigh"]
SPARSE = ["sparse", "rows", "forms"]
TALL = [f"{name}-{threads}" for name in ["tall", "leverages", "basis", "qr2"] for threads in [1, 2]]
LEADING = ["leading-3", "leading-6"]
OPERATIONS += [*LEADING, "arrow", "systems", "systems32", *SPARSE, *TALL]
ORDERS = {key: [256, 1024] for key in SPARSE} | {key: [64, 256] for key in TALL}
ORDERS |= {key: [48, 80, 116, 164] for key in LEADING} | {"arrow": [32, 96]}
ORDERS["systems"] = ORDERS["systems32"] = [8, 16, 32, 64, 128]
MOST_RUNS = 2000


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="tiny orders, to see that everything runs")
    parser.add_argument("--turns", type=int, default=2, help="how often the sides take turns")
    parser.add_argument("--only", nargs="+", choices=OPERATIONS, default=OPERATIONS)
    options = parser.parse_args()

    executable = build("test" if options.smoke else "bench")
    print(f"Milliseconds; ratio = SciPy / nearlin. {os.cpu_count()} CPUs, NumPy {np.__version__}.")
    print(f"{'':14}{'nearlin':>9}{'SciPy':>9}{'SciPy':>9}{'ratio':>8}{'ratio':>8}{'error':>10}{'error':>9}")
    print(
        f"{'':8}{'n':>6}{'':9}{'1 thr.':>9}{'2 thr.':>9}{'1 thr.':>8}{'2 thr.':>8}{'nearlin':>10}{'SciPy':>9}"
    )
    losses = 0
    for operation in options.only:
        for n in [16, 40] if options.smoke else ORDERS.get(operation, [64, 256, 1024, 2048]):
            losses += report(operation, n, executable, options)
    print(f"{losses} ratio(s) below 1, marked <")


def build(command):
    """Build the Rust side of this benchmark and return its path."""
    line = ["cargo", command, "--locked", "--quiet", "--no-run", "--bench", "linalg", "--message-format=json"]
    messages = subprocess.run(line, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    artifacts = [json.loads(message) for message in messages.splitlines()]
    return next(found["executable"] for found in artifacts if found.get("executable"))


def report(operation, n, executable, options):
    """Measure and print one row; return how many of its ratios are below 1."""
    rows = n
    if operation in TALL:
        rows = 2**11 if options.smoke else 2**17
    elif operation in SPARSE:
        rows = 100 if options.smoke else 2**15
    prepared = prepare(operation, rows, n)
    ours, theirs = [], {1: [], 2: []}
    for _ in range(1 if options.smoke else options.turns):
        ours.append(run_ours(executable, operation, n, options.smoke))
        for threads in (1, 2):
            theirs[threads].append(run_scipy(*prepared, threads, options.smoke))
    ms = min(float(turn["ms"]) for turn in ours)
    one, two = (min(turn[0] for turn in theirs[threads]) for threads in (1, 2))
    error = max(float(ours[0][key]) for key in ("residual", "orthogonality"))
    ratios = [other / ms for other in (one, two)]
    marks = [f"{ratio:.{2 if ratio < 100 else 0}f}{'<' if ratio < 1 else ' '}" for ratio in ratios]
    times = "".join(f"{value:9.3f}" if value < 1000 else f"{value:9.0f}" for value in (ms, one, two))
    print(
        f"{operation:8}{n:6}{times}{marks[0]:>8}{marks[1]:>8}{error:10.1e}{theirs[1][0][1]:9.1e}", flush=True
    )
    return sum(ratio < 1 for ratio in ratios)


def run_ours(executable, operation, n, smoke):
    line = [executable, *([] if smoke else ["--bench"]), operation, str(n)]
    output = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout
    return dict(pair.split("=") for pair in output.split())


def run_scipy(work, error, threads, smoke):
    """Best milliseconds of some runs, and the error of the last."""
    with threadpool_limits(threads, "blas"):
        start, best = time.perf_counter(), np.inf
        for runs in range(1, MOST_RUNS):
            begin = time.perf_counter()
            result = work()
            best = min(best, time.perf_counter() - begin)
            spent = time.perf_counter() - start
            if (runs >= 3 and (smoke or spent > 0.3)) or spent > 6:
                break
        return 1e3 * best, error(result)


def prepare(operation, rows, n):
    """SciPy's function without arguments, and what measures the error of its result."""
    rng = np.random.default_rng(n)
    norm = np.linalg.norm
    if operation in SPARSE:
        return prepare_sparse(operation, rows, n, rng)
    a = np.asfortranarray(rng.random((rows, n)) - 0.5)
    b = np.asfortranarray(rng.random((n, n)) - 0.5)
    x = rng.random(n) - 0.5
    r = np.asfortranarray(np.triu(b / n, 1) + np.diag(1 + np.diag(b)))
    g = np.asfortranarray(a.T @ a / n + 0.01 * np.eye(n)) if rows == n else a.T @ a

    def departure(*factors):
        return max(norm(q.T @ q - np.eye(n)) for q in factors) / np.sqrt(n)

    def gemm_error(c):
        return norm(c @ x - a @ (b @ x)) / (norm(a) * norm(b) * norm(x))

    def syrk_error(c):
        return norm((np.tril(c) + np.tril(c, -1).T) @ x - a.T @ (a @ x)) / (norm(a) ** 2 * norm(x))

    def qr_error(_):
        q, r = sl.qr(a, mode="economic", check_finite=False)
        return max(norm(q @ r - a) / norm(a), departure(q))

    def svd_error(factors):
        u, s, vt = factors
        return max(norm(u * s @ vt - a) / norm(a), departure(u, vt.T))

    def eigh_error(factors):
        values, vectors = factors
        return max(norm(g @ vectors - vectors * values) / norm(g), departure(vectors))

    def leading_error(factors):
        values, vectors = factors
        error = norm(vectors.T @ vectors - np.eye(len(values))) / np.sqrt(len(values))
        return max(norm(g @ vectors - vectors * values) / norm(g), error)

    if operation in LEADING:
        first = n - n * int(operation[-1]) // 10
        return lambda: sl.eigh(g, subset_by_index=[first, n - 1], check_finite=False), leading_error

    if operation == "arrow":
        poles = (1 - np.arange(n) / n) ** 2
        g = np.diag(np.append(poles, 0.01 + a[:, 0] @ a[:, 0])).astype(float, order="F")
        g[n, :n] = g[:n, n] = np.sqrt(poles) * a[:, 0]
        return lambda: sl.eigh(g, driver="evd", check_finite=False), leading_error

    def tall_error(factors):
        r = factors[0][:n]
        return norm(r.T @ r - g) / norm(g)

    def leverages(inverse):
        q = sl.blas.dtrmm(1.0, inverse, a, side=1)
        return np.einsum("ij,ij->i", q, q)

    def leverages_error(found):
        expected = (sl.qr(a, mode="economic", check_finite=False)[0] ** 2).sum(1)
        return norm(found - expected) / norm(expected)

    if operation.startswith("leverages"):
        inverse = np.asfortranarray(np.linalg.inv(sl.cholesky(g)))
        return lambda: leverages(inverse), leverages_error

    def solve_systems(dtype):
        matrix, ones = np.asfortranarray(g, dtype), np.ones(n, dtype)
        (posv,) = sl.get_lapack_funcs(("posv",), (matrix,))
        for _ in range(max(1, 2**15 // n**2)):
            x = posv(matrix, ones, lower=1)[1]
        return x

    def systems_error(x):
        return norm(g @ x - 1) / (norm(g) * norm(x))

    return {
        "systems": (lambda: solve_systems(np.float64), systems_error),
        "systems32": (lambda: solve_systems(np.float32), systems_error),
        "gemm": (lambda: sl.blas.dgemm(1.0, a, b), gemm_error),
        "syrk": (lambda: sl.blas.dsyrk(1.0, a, trans=1, lower=1), syrk_error),
        "trsm": (
            lambda: sl.solve_triangular(r, b, check_finite=False),
            lambda y: norm(r @ y - b) / (norm(r) * norm(y)),
        ),
        "cholesky": (lambda: sl.cholesky(g, check_finite=False), lambda c: norm(c.T @ c - g) / norm(g)),
        "qr": (lambda: sl.qr(a, mode="raw", check_finite=False), qr_error),
        "svd": (lambda: sl.svd(a, full_matrices=False, check_finite=False), svd_error),
        "eigh": (lambda: sl.eigh(g, driver="evd", check_finite=False), eigh_error),
        "basis": (
            lambda: sl.qr(a, mode="economic", check_finite=False)[0],
            lambda q: max(norm(q @ (q.T @ a) - a) / norm(a), departure(q)),
        ),
        "tall": (lambda: sl.qr(a, mode="r", check_finite=False), tall_error),
    }["basis" if operation.startswith("qr2") else operation.split("-")[0]]


def prepare_sparse(operation, rows, n, rng):
    norm = np.linalg.norm
    s, x = sp.random_array((rows, n), density=min(16, n) / n, rng=rng, format="csr"), rng.random(n)
    few, g = s[:64], (s.T @ s).toarray()
    return {
        "sparse": (lambda: (s.T @ s).toarray(), lambda c: norm(c @ x - s.T @ (s @ x)) / norm(c @ x)),
        "rows": (
            lambda: (few @ few.T).toarray(),
            lambda c: norm(c - few.toarray() @ few.toarray().T) / norm(c),
        ),
        "forms": (
            lambda: s.multiply(s @ g).sum(1),
            lambda f: norm(f - np.einsum("ij,ij->i", s.toarray(), s.toarray() @ g)) / norm(f),
        ),
    }[operation]


if __name__ == "__main__":
    main()
