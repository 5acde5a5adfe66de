"""Standard errors beside statsmodels: seconds, peak memory and true error of the fit with them, in one run.

    python benches/python/regression/standard_errors.py                     2^20 x 50, some minutes
    python benches/python/regression/standard_errors.py --shapes 131072x20  another shape
    python benches/python/regression/standard_errors.py --smoke             toy sizes: does everything run?

Contenders take turns, round after round, each with two threads; medians are reported. statsmodels gets a
matrix that has the constant already. The error is the largest relative one of all standard errors, the truth
being the formula in extended precision. Extra memory is what the kernel's mark of peak resident memory grows
by in a forked child (Linux only).
"""

import argparse
import math
import statistics
import warnings
from dataclasses import dataclass

import numpy as np
from lstsq import extra_memory, shape, timed, verdict
from threadpoolctl import threadpool_limits

import nearlin

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import statsmodels.api as statsmodels

THREADS = 2
SHAPES = [(2**20, 50)]
CONDITIONS = [10.0, 1e5]
KINDS = ("nonrobust", "HC1", "HC3")
GOAL = 10.0


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shapes", nargs="+", type=shape, default=SHAPES, metavar="ROWSxCOLUMNS")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="toy sizes")
    options = parser.parse_args()
    shapes, rounds = ([(2000, 8)], 1) if options.smoke else (options.shapes, options.rounds)
    with threadpool_limits(THREADS):
        for n, d in shapes:
            for condition in CONDITIONS:
                problem = make(n, d, condition)
                print(f"\n{n} x {d} float64 ({problem.A.nbytes / 1e6:,.0f} MB), condition {condition:.0e}")
                print(f"{'':24}{'seconds':>9}{'ratio':>8}{'memory':>11}{'error':>10}")
                for kind, truth in standard_errors(problem).items():
                    compare(problem, kind, truth, rounds, strict=options.smoke)


@dataclass
class Problem:
    """A regression whose noise depends on the first feature; `design` is A with the constant before it."""

    A: np.ndarray
    b: np.ndarray
    design: np.ndarray


def make(n, d, condition):
    """Mix normal columns so that their singular values fall evenly in the logarithm."""
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.standard_normal((d, d)))[0] for _ in range(2))
    A = rng.standard_normal((n, d)) @ (left * np.logspace(0.0, -math.log10(condition), d) @ right) + 1.0
    b = A.sum(axis=1) + (1.0 + np.abs(A[:, 0])) * rng.standard_normal(n)
    return Problem(A, b, np.column_stack([np.ones(n), A]))


# --- contenders ---------------------------------------------------------------------------------------------


def compare(problem, kind, truth, rounds, *, strict):
    """Print what statsmodels and nearlin take for the fit and its standard errors, and how true they are."""

    def theirs(A, b):
        return statsmodels.OLS(b, problem.design).fit(cov_type=kind).bse

    def ours(A, b):
        model = nearlin.LinearRegression(n_jobs=THREADS, random_state=0).fit(A, b)
        data = () if kind == "nonrobust" else (A, b)
        return model.summary(kind, *data).std_err

    seconds = {theirs: [], ours: []}
    found = {}
    memory = {function: extra_memory(function, problem.A, problem.b) for function in seconds}
    for _ in range(rounds):
        for function, taken in seconds.items():
            once, found[function] = timed(function, problem.A, problem.b)
            taken.append(once)
    ratio = statistics.median(seconds[theirs]) / statistics.median(seconds[ours])
    for name, function in (("statsmodels", theirs), ("nearlin", ours)):
        error = float(np.max(np.abs(found[function] - truth) / truth))
        print(
            f"{f'{name} {kind}':24}{statistics.median(seconds[function]):9.3f}"
            f"{ratio if function is ours else 1.0:7.1f}x{memory[function] / 1e6:8,.0f} MB{error:10.1e}"
        )
        assert not strict or error <= 1e-8
    if kind == "HC3" and problem.A.shape in SHAPES:
        print(verdict("10x faster than statsmodels with HC3", ratio, GOAL))


# --- truth --------------------------------------------------------------------------------------------------


def standard_errors(problem, rows=4096):
    """Return the formulas of the textbook in extended precision, a block of rows at a time."""
    n, p = problem.design.shape

    def blocks():
        for start in range(0, n, rows):
            yield problem.design[start : start + rows].astype(np.longdouble), problem.b[start : start + rows]

    # Products are taken in coordinates that are orthonormal but for the rounding of a QR factorisation.
    near = inverted(np.linalg.qr(problem.design, mode="r").T.astype(np.longdouble)).T
    whitener = near @ inverted(cholesky(sum((E @ near).T @ (E @ near) for E, _ in blocks()))).T
    x = whitener @ (whitener.T @ sum(E.T @ b for E, b in blocks()))
    meat = {kind: np.zeros((p, p), np.longdouble) for kind in KINDS}
    for E, b in blocks():
        Z, e = E @ whitener, b - E @ x
        meat["nonrobust"] += np.eye(p) * (e @ e) / (n - p)
        noisy = Z * e[:, None]
        meat["HC1"] += noisy.T @ noisy * n / (n - p)
        noisy /= 1.0 - (Z * Z).sum(axis=1, keepdims=True)
        meat["HC3"] += noisy.T @ noisy
    return {kind: np.sqrt(np.diagonal(whitener @ meat[kind] @ whitener.T)).astype(float) for kind in KINDS}


def cholesky(gram):
    """Return L with L L' = gram."""
    L = np.zeros_like(gram)
    for j in range(len(gram)):
        column = gram[j:, j] - L[j:, :j] @ L[j, :j]
        L[j:, j] = column / np.sqrt(column[0])
    return L


def inverted(L):
    """Return the inverse of a lower triangle."""
    inverse = np.zeros_like(L)
    for i in range(len(L)):
        unit = np.zeros(len(L), L.dtype)
        unit[i] = 1.0
        inverse[i] = (unit - L[i, :i] @ inverse[:i]) / L[i, i]
    return inverse


if __name__ == "__main__":
    main()
