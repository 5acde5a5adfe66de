"""Products of sparse matrices with blocks of vectors beside SciPy's `A @ X` and `A.T @ Y`.

The sides take turns, and a time is the median of all turns, by the clock of the process, so that neighbours
count little. SciPy has one thread; the ratio for two threads is by the clock on the wall, of both. `bytes` is
the time that the machine needs for what must be read and written at least once, at the rate of a copy, over
ours on one thread: one is as fast as it can be. Vectors are in C order, which suits both. An error is the
largest, in units of the sum of the magnitudes of the terms, beside sums in a longer type. A single-precision
matrix meets double-precision vectors, which nearlin always adds up as such; `single` is the ratio to SciPy
with vectors in single precision, where it moves half as much and has only half the digits.
"""

import argparse
import time
from functools import partial
from operator import matmul

import numpy as np
import scipy.sparse as sp

from nearlin import _core

# Rows, columns, entries in a row.
SHAPES = [
    (200_000, 2_000, 10),
    (40_000, 2_000, 100),
    (100_000, 20_000, 20),
    (200_000, 100_000, 10),
    (200_000, 1_000_000, 10),
    (1_000_000, 2_000, 3),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="tiny shapes, to see that everything runs")
    parser.add_argument("--turns", type=int, default=5, help="how often the sides take turns")
    parser.add_argument("--only", type=int, nargs="+", help="numbers of the shapes")
    options = parser.parse_args()
    shapes = [(200, 50, 3)] if options.smoke else SHAPES
    rate = copy_rate(1 << 16 if options.smoke else 1 << 25)
    print(f"Milliseconds; ratio = SciPy / nearlin. A copy moves {rate / 1e9:.1f} GB/s.")
    print(
        f"{'form':5}{'type':5}{'n':>9}{'d':>9}{'nnz/n':>6}{'k':>4}  {'product':8}{'nearlin':>9}{'SciPy':>9}"
        f"{'ratio':>7}{'2 thr.':>7}{'single':>7}{'bytes':>7}{'error':>9}{'SciPy':>9}"
    )
    losses = 0
    for number, (n, d, per_row) in enumerate(shapes):
        if options.only and number not in options.only:
            continue
        for form in ["csr", "csc"]:
            for dtype in [np.float64, np.float32]:
                losses += report(n, d, per_row, form, dtype, rate, options)
    print(f"{losses} ratio(s) below 1, marked <")


def report(n, d, per_row, form, dtype, rate, options):
    rng = np.random.default_rng(0)
    indices = rng.integers(0, d, n * per_row, dtype=np.int32)
    data = rng.standard_normal(n * per_row).astype(dtype)
    ends = np.arange(0, n * per_row + 1, per_row, dtype=np.int32)
    A = sp.csr_array((data, indices, ends), shape=(n, d))
    A.sum_duplicates()
    A = A.asformat(form)
    ours, losses = _core.Products(A), 0
    for k in [1, 8, 32]:
        for name in ["A X", "A'Y"]:
            theirs, method = (A, ours.product) if name == "A X" else (A.T, ours.transposed_product)
            X = rng.standard_normal((theirs.shape[1], k))
            sides = [partial(method, X, c_order=True, threads=1), partial(matmul, theirs, X)]
            sides.append(partial(method, X, c_order=True, threads=2))
            sides.append(partial(matmul, theirs, X.astype(dtype)))
            turns = range(1 if options.smoke else options.turns)
            times = np.array([[timed(side) for side in sides] for _ in turns])
            (one, scipy, _, single), (_, wall, two, _) = np.median(times, 0).T
            least = A.data.nbytes + A.indices.nbytes + A.indptr.nbytes + 8 * k * (n + d)
            ratio = scipy / one
            losses += ratio < 1
            errors = [error(theirs, X, side()) for side in sides[:2]]
            print(
                f"{form:5}{np.dtype(dtype).str[1:]:5}{n:9}{d:9}{A.nnz / n:6.0f}{k:4}  {name:8}"
                f"{1e3 * one:9.2f}{1e3 * scipy:9.2f}{ratio:6.1f}{'<' if ratio < 1 else ' '}{wall / two:7.1f}"
                f"{'' if dtype is np.float64 else f'{single / one:.1f}':>7}"
                f"{least / rate / one:7.2f}{errors[0]:9.0e}{errors[1]:9.0e}",
                flush=True,
            )
    return losses


def timed(call):
    start, wall = time.process_time(), time.perf_counter()
    call()
    return time.process_time() - start, time.perf_counter() - wall


def error(A, X, found):
    exact = A.astype(np.longdouble) @ X[:, :2].astype(np.longdouble)
    size = abs(A).astype(np.float64) @ np.abs(X[:, :2])
    return float((np.abs(found[:, :2] - exact) / np.where(size > 0, size, 1)).max())


def copy_rate(count):
    """Bytes that a copy reads and writes in a second, on one thread."""
    source = np.ones(count)
    target = np.empty_like(source)
    return 2 * source.nbytes / min(timed(lambda: np.copyto(target, source))[0] for _ in range(5))


if __name__ == "__main__":
    main()
