"""Least squares with Kronecker products beside what one writes in NumPy: seconds, peak memory, true error.

    python benches/python/regression/kron.py            all shapes, a minute
    python benches/python/regression/kron.py --smoke    toy sizes: does everything run?

Contenders take turns, round after round, each with two threads; medians are reported, and how many times
as fast each is as QR factorisations of the factors with products along the axes in NumPy. Extra memory is
what the kernel's mark of peak resident memory grows by in a forked child that solves once (Linux only).
The backward error is Karlson and Walden's, column-scaled, with residuals in extended precision. The
sketch is of four rows to an unknown; it is left out where it would need more than a gigabyte, as the
formed product is.
"""

import argparse
import math
import statistics
from functools import reduce

import numpy as np
from lstsq import extra_memory, timed
from threadpoolctl import threadpool_limits

import nearlin

THREADS = 2
SHAPES = [
    [(64, 5), (48, 6)],
    [(4000, 10), (4000, 10)],
    [(1000, 100), (1000, 100)],
    [(600, 300), (600, 300)],
    [(128, 6), (128, 6), (128, 6)],
    [(50, 4), (50, 4), (50, 4), (50, 4)],
]
TOY = [[(64, 5), (48, 6)], [(20, 3), (15, 3), (10, 2)]]
PEER, EXACT, SKETCH = "QR of factors in NumPy", "nearlin exact", "nearlin sketch"
MOST = 2**27
"""Numbers in a dense matrix at most."""
ROUNDOFF = 2.0**-53


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--smoke", action="store_true", help="toy sizes")
    options = parser.parse_args()
    shapes, rounds = (TOY, 1) if options.smoke else (SHAPES, options.rounds)
    with threadpool_limits(THREADS):
        for shape in shapes:
            rng = np.random.default_rng(0)
            factors = [rng.standard_normal(size) for size in shape]
            B = along(rng.standard_normal([d for _, d in shape]), factors)
            B += 0.1 * np.linalg.norm(B) / math.sqrt(B.size) * rng.standard_normal(B.shape)
            rows = run(factors, B, rounds)
            report(factors, B, rows)
            if options.smoke:
                assert rows[EXACT]["error"] <= 4 * ROUNDOFF


def along(t, matrices):
    """Take every axis of a tensor through a matrix."""
    for axis, matrix in enumerate(matrices):
        t = np.moveaxis(np.tensordot(matrix, t, axes=(1, axis)), 0, axis)
    return t


# --- contenders ---------------------------------------------------------------------------------------------


def contenders(factors):
    """Functions of (factors, B) that return x as a tensor, by name."""
    rows, unknowns = (math.prod(factor.shape[axis] for factor in factors) for axis in (0, 1))
    functions = {
        PEER: by_qr,
        EXACT: lambda factors, B: nearlin.lstsq_kron(factors, B, n_jobs=THREADS).tensor,
    }
    if 4 * unknowns**2 <= MOST:
        functions[SKETCH] = lambda factors, B: (
            nearlin.lstsq_kron(factors, B, method="sketch", rng=0, n_jobs=THREADS).tensor
        )
    if rows * unknowns <= MOST // 8:
        functions["numpy.linalg.lstsq, formed"] = formed
    return functions


def by_qr(factors, B):
    pairs = [np.linalg.qr(factor) for factor in factors]
    return along(along(B, [Q.T for Q, _ in pairs]), [np.linalg.inv(R) for _, R in pairs])


def formed(factors, B):
    x = np.linalg.lstsq(reduce(np.kron, factors), B.ravel(), rcond=None)[0]
    return x.reshape([factor.shape[1] for factor in factors])


# --- measurement --------------------------------------------------------------------------------------------


def run(factors, B, rounds):
    """Take turns; what was measured, by name."""
    functions = contenders(factors)
    rows = {
        name: {"seconds": [], "memory": extra_memory(function, factors, B)}
        for name, function in functions.items()
    }
    for _ in range(rounds):
        for name, function in functions.items():
            seconds, X = timed(function, factors, B)
            rows[name]["seconds"].append(seconds)
            rows[name]["error"] = backward_error(factors, B, X)
    return rows


def backward_error(factors, B, X):
    norms = [np.linalg.norm(factor, axis=0) for factor in factors]
    scaled = [factor / norm for factor, norm in zip(factors, norms, strict=True)]
    _, singular, right = zip(*(np.linalg.svd(factor, full_matrices=False) for factor in scaled), strict=True)
    r = B - along(X.astype(np.longdouble), factors)
    c = along(r, [V @ factor.T for V, factor in zip(right, scaled, strict=True)])
    sigma, scale = (reduce(np.multiply.outer, vectors) for vectors in (singular, norms))
    size = np.linalg.norm(sigma)
    theta = size / np.linalg.norm(B)
    damped = theta / math.hypot(1.0, theta * np.linalg.norm(X * scale))
    return float(damped / size * np.linalg.norm(c / np.hypot(sigma, damped * np.linalg.norm(r))))


# --- report -------------------------------------------------------------------------------------------------


def report(factors, B, rows):
    product = " (x) ".join(f"{n} x {d}" for n, d in (factor.shape for factor in factors))
    print(f"\n{product}, B has {B.nbytes / 1e6:,.1f} MB")
    print(f"{'':28}{'seconds':>9}{'vs QR':>8}{'memory':>12}{'of B':>7}{'backward error':>16}")
    peer = statistics.median(rows[PEER]["seconds"])
    for name, row in rows.items():
        seconds = statistics.median(row["seconds"])
        print(
            f"{name:28}{seconds:9.4f}{peer / seconds:7.2f}x{row['memory'] / 1e6:9,.1f} MB"
            f"{row['memory'] / B.nbytes:7.0%}{row['error']:16.1e}"
        )
    if SKETCH in rows:
        ratio = statistics.median(rows[SKETCH]["seconds"]) / statistics.median(rows[EXACT]["seconds"])
        verdict = "does not pay" if ratio >= 1 else "pays, if its error will do"
        print(f"  sketching {verdict}: {ratio:.2f} times the seconds of the exact answer")


if __name__ == "__main__":
    main()
