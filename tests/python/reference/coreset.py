"""Scores of rows in slow NumPy, what they are by definition, and rows on which they differ."""

import numpy as np
import scipy.optimize
from reference.sketch import WORD, philox

__all__ = [
    "GENERATORS",
    "cauchy",
    "gaussian",
    "identity_blocks",
    "legendre",
    "leverages",
    "leverages_in_extended_precision",
    "lewis",
    "lewis_residual",
    "one_hot",
    "permanent_numbers",
    "rank",
    "sensitivity_l1",
    "spikes",
    "student",
    "tabular",
]


def gaussian(n, d, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d))


def student(n, d, seed=0, freedom=1.5):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) / np.sqrt(rng.chisquare(freedom, (n, 1)) / freedom)


def cauchy(n, d, seed=0):
    return student(n, d, seed, 1.0)


def spikes(n, d, seed=0):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, d))
    A[:, d // 2 :] *= 1e-2
    for k, i in enumerate(rng.choice(n, 4 * d, replace=False)):
        A[i] = 0.0
        A[i, k % d] = rng.choice([-1.0, 1.0]) * np.sqrt(n / d) * (1.0 + rng.uniform())
    return A


def tabular(n, d, seed=0):
    """Return a constant, numbers with long tails, levels of a factor and a column that is rarely not zero."""
    rng = np.random.default_rng(seed)
    numbers, levels = d // 2 - 1, d // 2 - 1
    level = np.minimum(rng.zipf(1.4, n) - 1, levels)
    A = np.zeros((n, d))
    A[:, 0] = 1.0
    A[:, 1 : 1 + numbers] = rng.lognormal(0.0, 1.2, (n, numbers))
    for k in range(1, levels + 1):
        A[level == k, numbers + k] = 1.0
    A[:, -1] = np.where(rng.uniform(size=n) < 1e-3, 30.0 * rng.standard_normal(n), 0.0)
    A[rng.integers(n, size=3), -1] = 30.0
    return A


def legendre(n, d, seed=0):
    return np.polynomial.legendre.legvander(np.linspace(-1.0, 1.0, n), d - 1)


def identity_blocks(n, d, seed=0):
    rng = np.random.default_rng(seed)
    A = 1e-2 * rng.standard_normal((n, d))
    A[np.arange(n), np.arange(n) % d] += rng.lognormal(0.0, 1.0, n)
    return A


def one_hot(n, d, seed=0):
    """Return rows of two factors, each with a column for every level: of deficient rank."""
    rng = np.random.default_rng(seed)
    A = np.zeros((n, d))
    first = d // 2
    A[np.arange(n), rng.integers(first, size=n)] = 1.0
    A[np.arange(n), first + rng.integers(d - first, size=n)] = 1.0
    return A


GENERATORS = {
    "gaussian": gaussian,
    "student": student,
    "cauchy": cauchy,
    "spikes": spikes,
    "tabular": tabular,
    "legendre": legendre,
    "identity blocks": identity_blocks,
    "one-hot": one_hot,
}


def basis(A):
    norms = np.linalg.norm(A, axis=0)
    U, s, _ = np.linalg.svd(A / np.where(norms > 0.0, norms, 1.0), full_matrices=False)
    return U[:, s > 1e-13 * max(s[0], 1e-300)]


def rank(A):
    return basis(A).shape[1]


def leverages(A, ridge=0.0):
    """Return them by singular values of the matrix, with the roots of the ridge below it."""
    n, d = A.shape
    stacked = np.vstack([A, np.sqrt(ridge) * np.eye(d)]) if ridge else A
    return (basis(stacked)[:n] ** 2).sum(axis=1)


def leverages_in_extended_precision(A):
    """Return them by Gram and Schmidt, twice, in the longest numbers that there are."""
    Q = A.astype(np.longdouble)
    for j in range(A.shape[1]):
        for _ in range(3):
            Q[:, j] /= np.sqrt((Q[:, j] ** 2).sum())
            Q[:, j] -= Q[:, :j] @ (Q[:, :j].T @ Q[:, j])
        Q[:, j] /= np.sqrt((Q[:, j] ** 2).sum())
    return (Q**2).sum(axis=1)


def lewis_residual(A, w, p):
    """Return the largest |log(T(w) / w)| over rows that are not zero."""
    rows = w > 0.0
    change = _log_image(A[rows], np.log(w[rows]), p) - np.log(w[rows])
    return abs(change).max()


def _log_image(A, logs, p):
    """Return log T(w) = p/2 log a'M^-1 a, each row with all its digits however short it is."""
    norms = np.linalg.norm(A, axis=0)
    scaled = np.exp((0.5 - 1.0 / p) * logs)[:, None] * (A / np.where(norms > 0.0, norms, 1.0))
    _, s, Vt = np.linalg.svd(scaled, full_matrices=False)
    kept = s > 1e-13 * s[0]
    Z = (A / np.where(norms > 0.0, norms, 1.0)) @ (Vt[kept].T / s[kept])
    return 0.5 * p * np.log((Z**2).sum(axis=1))


def lewis(A, p, tol=1e-12, most=2000):
    """Return Lewis weights by the damped iteration in logarithms, each step by singular values."""
    rows = np.abs(A).max(axis=1) > 0.0
    logs = np.full(rows.sum(), np.log(rank(A) / len(A)))
    theta = 4.0 / (p + 2.0)
    for _ in range(most):
        change = _log_image(A[rows], logs, p) - logs
        logs = logs + theta * np.clip(change, -8.0, 8.0)
        if abs(change).max() < tol:
            break
    weights = np.zeros(len(A))
    weights[rows] = np.exp(logs)
    return weights


def sensitivity_l1(A, i):
    """Return max |a_i x| / |A x|_1 by linear programming: min |A x|_1 with a_i x = 1."""
    n, d = A.shape
    # x free, |A x| <= t
    cost = np.r_[np.zeros(d), np.ones(n)]
    above = np.block([[A, -np.eye(n)], [-A, -np.eye(n)]])
    equal = np.r_[A[i], np.zeros(n)][None]
    found = scipy.optimize.linprog(
        cost, above, np.zeros(2 * n), equal, [1.0], bounds=[(None, None)] * d + [(0.0, None)] * n
    )
    return 0.0 if found.status == 2 else 1.0 / found.fun


def permanent_numbers(n, seed):
    """Return the numbers in (0, 1), of 53 bits, that decide over rows 0 to n - 1."""
    row, none = np.arange(n, dtype=np.uint64), np.zeros(n, np.uint64)
    purpose = none + np.uint64(0x72)
    words = philox((row, none, none, purpose), (seed % WORD, seed // WORD))
    bits = (words[0] * np.uint64(WORD) + words[1]) >> np.uint64(11)
    return (bits.astype(float) + 0.5) * 2.0**-53
