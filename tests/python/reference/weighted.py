"""Weighted least squares in exact arithmetic, and instances whose minimisers working precision cannot see.

Nothing here calls nearlin.
"""

from fractions import Fraction

import numpy as np


def exact(A, b, weight, *, ridge=0.0):
    """Return the minimiser of sum w (b - A x)^2 + ridge |x|^2, every entry rounded once."""
    d = A.shape[1]
    moments = [[Fraction(0)] * (d + 1) for _ in range(d)]
    for row, target, w in zip(A, b, weight, strict=True):
        entries = [Fraction(float(value)) for value in (*row, target)]
        for i in range(d):
            multiple = Fraction(float(w)) * entries[i]
            for j in range(i, d + 1):
                moments[i][j] += multiple * entries[j]
    for i in range(d):
        moments[i][i] += Fraction(float(ridge))
        for j in range(i):
            moments[i][j] = moments[j][i]
    for k in range(d):
        for i in range(k + 1, d):
            ratio = moments[i][k] / moments[k][k]
            for j in range(k, d + 1):
                moments[i][j] -= ratio * moments[k][j]
    x = [Fraction(0)] * d
    for k in reversed(range(d)):
        known = sum(moments[k][j] * x[j] for j in range(k + 1, d))
        x[k] = (moments[k][d] - known) / moments[k][k]
    return np.array([float(value) for value in x])


def naive(A, b, weight):
    """Least squares as it is usually done: rows times the roots of their weights, then LAPACK."""
    root = np.sqrt(weight)
    return np.linalg.lstsq(A * root[:, None], b * root, rcond=None)[0]


def error(x, best):
    """Return the largest error of a coefficient relative to the largest coefficient."""
    return np.abs(x - best).max() / np.abs(best).max()


def spread(n=600, d=6, orders=16, seed=0):
    """Weights spread evenly over that many orders of magnitude."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, d))
    weight = 10.0 ** (orders * rng.uniform(-0.5, 0.5, n))
    return A, A @ rng.standard_normal(d) + rng.standard_normal(n), weight


def stiff(n=600, d=6, factor=1e16, seed=0):
    """A few heavy rows at the end, fewer than columns: the light rows determine the rest of x."""
    rng = np.random.default_rng(seed)
    A = np.vander(np.linspace(0.0, 1.0, n), d, increasing=True)
    weight = np.ones(n)
    weight[-d + 2 :] = factor
    return A, A @ rng.standard_normal(d) + rng.standard_normal(n), weight
