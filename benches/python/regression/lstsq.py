"""Least squares beside its peers: seconds, peak memory and true backward error, in one run.

    python benches/python/regression/lstsq.py                     all shapes, a few minutes
    python benches/python/regression/lstsq.py --shapes 131072x64  one of them
    python benches/python/regression/lstsq.py --full              with SciPy's solvers too, which are slow
    python benches/python/regression/lstsq.py --smoke             toy sizes: does everything run?

Contenders take turns, round after round, each with two threads; medians are reported, in seconds and in reads
of the matrix, the unit being A.sum() timed in the same rounds. Extra memory is what the kernel's mark of peak
resident memory grows by in a forked child that solves once (Linux only). The backward error is Karlson and
Walden's, column-scaled, with residuals in extended precision.
"""

import argparse
import contextlib
import math
import multiprocessing
import statistics
import sys
import time
import warnings
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

import nearlin
from nearlin._demo.backward_error import judge, measure
from nearlin._demo.process import memory_probe

THREADS = 2
SHAPES = [(2**17, 64), (2**17, 256), (2**18, 512), (2**16, 1024)]
CASES = [(10.0, 1.0), (1e10, 1e-3)]
"""Condition number and norm of the residual, for a solution of norm one."""
NUMPY, CHOLESKY, OURS = "numpy.linalg.lstsq", "Cholesky normal equations", "nearlin auto"
ROUNDOFF = 2.0**-53


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shapes", nargs="+", type=shape, default=SHAPES, metavar="ROWSxCOLUMNS")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--full", action="store_true", help="also SciPy's QR, gelsd, gelsy, LSQR and LSMR")
    parser.add_argument("--smoke", action="store_true", help="toy sizes")
    options = parser.parse_args()
    shapes, rounds = ([(2000, 16), (1500, 40)], 1) if options.smoke else (options.shapes, options.rounds)
    with threadpool_limits(THREADS):
        for n, d in shapes:
            for kappa, residual in CASES:
                problem = make(n, d, kappa, residual)
                rows = run(problem, contenders(options.full or options.smoke), rounds)
                report(problem, rows)
                if options.smoke:
                    assert all(row.error <= 10 * ROUNDOFF for name, row in rows.items() if "nearlin" in name)


def shape(text):
    n, d = map(int, text.split("x"))
    return n, d


# --- problems -----------------------------------------------------------------------------------------------


@dataclass
class Problem:
    """A least-squares problem with known singular values; R'R = A'A."""

    A: np.ndarray
    b: np.ndarray
    R: np.ndarray
    kappa: float
    residual: float


def make(n, d, kappa, residual):
    """Singular values evenly from 1 to 1/kappa in the logarithm, |x| = 1, |b - Ax| = residual."""
    rng = np.random.default_rng(0)
    Q = rng.standard_normal((n, d))
    for _ in range(2):
        Q = Q @ np.linalg.inv(np.linalg.cholesky(Q.T @ Q).T)
    R = np.logspace(0.0, -math.log10(kappa), d)[:, None] * np.linalg.qr(rng.standard_normal((d, d)))[0].T
    x, r = rng.standard_normal(d), rng.standard_normal(n)
    r -= Q @ (Q.T @ r)
    A = Q @ R
    b = A @ (x / np.linalg.norm(x)) + residual * (r / np.linalg.norm(r))
    return Problem(A, b, R, kappa, residual)


# --- contenders ---------------------------------------------------------------------------------------------


def contenders(full):
    """Functions of (A, b) that return x, by name."""
    from sklearn.linear_model import LinearRegression, Ridge

    def estimator(model):
        return lambda A, b: model.fit(A, b).coef_

    def ours(method):
        return lambda A, b: nearlin.lstsq(A, b, method=method, rng=0, n_jobs=THREADS).x

    functions = {
        NUMPY: lambda A, b: np.linalg.lstsq(A, b, rcond=None)[0],
        CHOLESKY: normal_equations,
        "sklearn LinearRegression": estimator(LinearRegression(fit_intercept=False, copy_X=False)),
        "sklearn Ridge (cholesky)": estimator(Ridge(0.0, fit_intercept=False, solver="cholesky")),
    }
    if full:
        functions |= {
            "scipy gelsd": partial(scipy_lstsq, "gelsd"),
            "scipy gelsy": partial(scipy_lstsq, "gelsy"),
            "scipy Householder QR": scipy_qr,
            "scipy lsqr": partial(scipy_iterative, "lsqr"),
            "scipy lsmr": partial(scipy_iterative, "lsmr"),
        }
    return functions | {
        f"nearlin {method}": ours(method) for method in ("auto", "gram", "whitened", "spir", "fossils", "qr")
    }


def normal_equations(A, b):
    L = np.linalg.cholesky(A.T @ A)
    return np.linalg.solve(L.T, np.linalg.solve(L, A.T @ b))


def scipy_lstsq(driver, A, b):
    from scipy.linalg import lstsq

    return lstsq(A, b, lapack_driver=driver, check_finite=False)[0]


def scipy_qr(A, b):
    """Q stays a product of reflections."""
    from scipy.linalg import qr_multiply, solve_triangular

    c, R = qr_multiply(A, b, mode="right")
    return solve_triangular(R, c)


def scipy_iterative(name, A, b):
    """To the last digit, or 300 iterations."""
    import scipy.sparse.linalg as iterative

    limit = 300
    if name == "lsqr":
        return iterative.lsqr(A, b, atol=1e-15, btol=1e-15, conlim=0, iter_lim=limit)[0]
    return iterative.lsmr(A, b, atol=1e-15, btol=1e-15, conlim=0, maxiter=limit)[0]


# --- measurement --------------------------------------------------------------------------------------------


@dataclass
class Row:
    """What was measured of one contender."""

    seconds: list = field(default_factory=list)
    memory: float = math.nan
    error: float = math.nan
    x: np.ndarray | None = None
    remark: str = ""

    @property
    def median(self):
        """Median of the seconds, NaN if there are none."""
        return statistics.median(self.seconds) if self.seconds else math.nan


def run(problem, functions, rounds):
    """Rows by name; that of the unit is called A.sum()."""
    rows = {name: Row() for name in functions}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, function in functions.items():
            rows[name].memory = extra_memory(function, problem.A, problem.b)
        rows["A.sum()"] = Row()
        for _ in range(rounds):
            for name, row in rows.items():
                take_turn(problem, functions.get(name), row)
    solved = {name: row for name, row in rows.items() if row.x is not None}
    answers = np.column_stack([row.x for row in solved.values()])
    sides = np.repeat(problem.b[:, None], len(solved), axis=1)
    errors = measure(judge(problem.A, sides, problem.R, answers), answers)
    for row, error in zip(solved.values(), errors, strict=True):
        row.error = float(error)
    return rows


def take_turn(problem, function, row):
    if row.remark:
        return
    try:
        if function is None:
            seconds, _ = timed(problem.A.sum)
        else:
            seconds, row.x = timed(function, problem.A, problem.b)
    except np.linalg.LinAlgError:
        row.remark = "breaks down"
        return
    row.seconds.append(seconds)


def timed(function, *arguments):
    """Seconds, and what the function returns."""
    time.sleep(0.2)  # idle BLAS threads spin for some tens of milliseconds after their work
    start = time.perf_counter()
    answer = function(*arguments)
    return time.perf_counter() - start, answer


def extra_memory(function, *arguments):
    """Bytes that one solution takes at its peak, beyond its input."""
    if not sys.platform.startswith("linux"):
        return math.nan
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def child():
        peak = memory_probe()
        with contextlib.suppress(np.linalg.LinAlgError):
            function(*arguments)
        sender.send(peak())

    process = context.Process(target=child)
    process.start()
    sender.close()
    bytes_taken = receiver.recv()
    process.join()
    return bytes_taken


# --- report -------------------------------------------------------------------------------------------------


def report(problem, rows):
    n, d = problem.A.shape
    unit, numpy = rows.pop("A.sum()").median, rows[NUMPY].median
    print(
        f"\n{n} x {d} float64 ({problem.A.nbytes / 1e6:,.0f} MB), condition {problem.kappa:.0e}, "
        f"residual {problem.residual:.0e}; A.sum() takes {unit:.4f} s"
    )
    print(f"{'':28}{'seconds':>9}{'reads':>8}{'vs numpy':>10}{'memory':>9}{'of A':>6}{'backward error':>16}")
    for name, row in rows.items():
        if row.remark:
            print(f"{name:28}{row.remark}")
            continue
        share = row.memory / problem.A.nbytes
        print(
            f"{name:28}{row.median:9.4f}{row.median / unit:8.1f}{numpy / row.median:9.1f}x"
            f"{row.memory / 1e6:6,.0f} MB{share:6.0%}{row.error:16.1e}"
        )
    for line in verdicts(problem, rows):
        print(line)


def verdicts(problem, rows):
    """Each target with what was reached."""
    n, d = problem.A.shape
    if (n, d) not in SHAPES:
        return
    ours = rows[OURS]
    well = problem.kappa <= 300
    over_numpy = {64: (8.0, 4.5), 256: (15.0, 7.0), 512: (15.0, 7.0), 1024: (10.0, 4.0)}[d][0 if well else 1]
    yield verdict(
        f"{over_numpy:g}x faster than numpy.linalg.lstsq", rows[NUMPY].median / ours.median, over_numpy
    )
    if well:
        over_cholesky = 1.0 if d < 256 else 2.0
        ratio = rows[CHOLESKY].median / ours.median
        yield verdict(f"{over_cholesky:g}x faster than Cholesky normal equations", ratio, over_cholesky)
    yield verdict("extra memory below 20 % of A", 100 * ours.memory / problem.A.nbytes, 20, " %", most=True)
    lapack = min(rows[name].error for name in (NUMPY, "scipy gelsd", "scipy gelsy") if name in rows)
    yield verdict("backward error max(LAPACK's, u)", ours.error, max(lapack, ROUNDOFF), "", most=True)


def verdict(target, reached, limit, unit="x", *, most=False):
    met = reached <= limit if most else reached >= limit
    return f"  {'pass' if met else 'MISS'}  {target}: {reached:.3g}{unit}"


if __name__ == "__main__":
    main()
