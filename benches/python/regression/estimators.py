"""Estimators beside scikit-learn and SciPy: fits with an intercept, and predictions for sparse samples.

    python benches/python/regression/estimators.py          all cases, a minute or two
    python benches/python/regression/estimators.py --smoke  toy sizes: does everything run?

Contenders take turns, round after round, each with two threads; of every one the least processor time, the
least time on the clock, and the error are printed. The right coefficients and intercept of a fit are whole
numbers: its error is relative to the largest of them. That of a prediction is its distance from a sum in
extended precision, relative to the sum of magnitudes.
"""

import argparse
import time

import numpy as np
import scipy.sparse as sp
from sklearn.linear_model import LinearRegression
from threadpoolctl import threadpool_limits

import nearlin

THREADS = 2
FITS = [(1_000_000, 5), (400_000, 50), (100_000, 300)]
PREDICTIONS = [(400_000, 500, 5, k) for k in (1, 10)] + [(100_000, 20_000, 50, k) for k in (1, 10)]
"""Rows, columns, entries in a row, targets."""


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--smoke", action="store_true", help="toy sizes")
    options = parser.parse_args()
    fits, predictions, rounds = FITS, PREDICTIONS, options.rounds
    if options.smoke:
        fits, predictions, rounds = [(2000, 5)], [(500, 100, 5, 1), (500, 100, 5, 3)], 1
    with threadpool_limits(THREADS):
        for n, d in fits:
            fit(n, d, rounds)
        for dtype in (np.float64, np.float32):
            for n, d, stored, k in predictions:
                predict(n, d, stored, k, dtype, rounds)


def fit(n, d, rounds):
    rng = np.random.default_rng(0)
    X = rng.integers(-8, 9, (n, d)).astype(np.float64) + rng.integers(-100, 101, d)
    right = np.append(rng.integers(-9, 10, d), 7).astype(np.float64)
    y = X @ right[:-1] + right[-1]

    def fitted(model):
        return lambda: np.append(model.fit(X, y).coef_, model.intercept_)

    contenders = {
        "sklearn LinearRegression": fitted(LinearRegression()),
        "nearlin LinearRegression": fitted(nearlin.LinearRegression(n_jobs=THREADS)),
    }
    report(f"fit with an intercept, {n} x {d}", contenders, rounds, right, np.abs(right).max())


def predict(n, d, stored, k, dtype, rounds):
    rng = np.random.default_rng(0)
    step = d // stored
    indices = np.arange(0, step * stored, step) + rng.integers(0, step, (n, stored))
    data = rng.standard_normal((n, stored)).astype(dtype)
    X = sp.csr_array((data.ravel(), indices.ravel(), np.arange(0, n * stored + 1, stored)), shape=(n, d))
    X.indices, X.indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)
    training = rng.standard_normal((2 * d, d)) if d <= 1000 else sp.vstack([sp.eye_array(d)] * 2, "csr")
    y = rng.standard_normal((2 * d, k)).astype(dtype)
    model = nearlin.LinearRegression(n_jobs=THREADS).fit(training.astype(dtype), y[:, 0] if k == 1 else y)
    coefficients = np.ascontiguousarray(model.coef_.T)
    parts = data[..., None].astype(np.longdouble) * coefficients.reshape(d, k)[indices]
    right = (parts.sum(axis=1) + model.intercept_).reshape((n, k) if k > 1 else n)
    size = (np.abs(parts).sum(axis=1) + np.abs(model.intercept_)).reshape(right.shape)
    contenders = {
        "X @ coef_.T + intercept_": lambda: X @ coefficients + model.intercept_,
        "nearlin predict": lambda: model.predict(X),
    }
    name = f"predict, {n} x {d}, {stored} entries in a row, {k} targets, {np.dtype(dtype)}"
    report(name, contenders, rounds, right, size)


def report(title, contenders, rounds, right, size):
    """Run, and print a line for each contender; the last is ours, ratios are to the first."""
    seconds = {name: [] for name in contenders}
    errors = {}
    for _ in range(rounds):
        for name, function in contenders.items():
            answer, *spent = timed(function)
            seconds[name].append(spent)
            errors[name] = float(np.max(np.abs(answer - right) / size))
    print(f"\n{title}\n{'':28}{'CPU ms':>10}{'wall ms':>10}{'CPU ratio':>11}{'error':>10}")
    first = None
    for name, spent in seconds.items():
        cpu, wall = np.min(spent, axis=0)
        first = first or cpu
        print(f"{name:28}{1e3 * cpu:10.2f}{1e3 * wall:10.2f}{cpu / first:11.2f}{errors[name]:10.1e}")


def timed(function):
    """Return the answer, and seconds by the processor and on the clock."""
    time.sleep(0.2)  # idle BLAS threads spin for some tens of milliseconds after their work
    cpu, wall = time.process_time(), time.perf_counter()
    answer = function()
    return answer, time.process_time() - cpu, time.perf_counter() - wall


if __name__ == "__main__":
    main()
