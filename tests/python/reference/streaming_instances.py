"""Hard instances for streaming top eigenvectors, rows in the order in which they come, and the truth.

Rows are in random order unless the name says otherwise. Signs are random where the distribution of a row is
not symmetric by itself, so that centring changes nothing.
"""

import math

import numpy as np

__all__ = [
    "commuting",
    "decoys",
    "drift",
    "heavy",
    "noise_level",
    "power_law",
    "sorted_by_norm",
    "spike_in",
    "spiked",
    "truth",
]


def truth(A):
    """Top eigenvector and all eigenvalues of A'A, largest first."""
    values, vectors = np.linalg.eigh(A.T @ A)
    return vectors[:, -1], np.maximum(values[::-1], 0.0)


def noise_level(n, d):
    """Where the largest eigenvalue of A'A is for n standard normal rows."""
    return n * (1 + math.sqrt(d / n)) ** 2


def direction(rng, d):
    v = rng.standard_normal(d)
    return v / np.linalg.norm(v)


def signs(rng, n):
    return rng.choice([-1.0, 1.0], n)


def spiked(seed, n=20_000, d=500, variance=2.0):
    """G1: normal rows with more variance along one direction."""
    rng = np.random.default_rng(seed)
    v = direction(rng, d)
    return _spike(rng.standard_normal((n, d)), rng, v, (variance - 1) * n, slice(None))


def _spike(A, rng, v, energy, rows):
    """Add normal multiples of v, with so much energy together, to some rows."""
    count = len(A[rows])
    A[rows] += math.sqrt(energy / count) * np.outer(rng.standard_normal(count), v)
    return A


def power_law(seed, n=20_000, d=500, exponent=1.0):
    """G2: eigenvalues that fall by a power law, in a random basis."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((d, d)))[0]
    return rng.standard_normal((n, d)) * np.arange(1, d + 1) ** (-exponent / 2) @ basis.T


def heavy(seed, n=20_000, d=500, R=4.0, share=1.0, count=20, decoys=0):
    """G3: a share of v_1 comes from `count` rows. G3d: none, and `decoys` rows are heavy for nothing."""
    rng = np.random.default_rng(seed)
    v, level, A = direction(rng, d), noise_level(n, d), rng.standard_normal((n, d))
    energy = R * level - n
    _spike(A, rng, v, (1 - share) * energy, slice(None))
    chosen = rng.choice(n, max(count, decoys), replace=False)
    A[chosen[:count]] += math.sqrt(share * energy / max(count, 1)) * np.outer(signs(rng, count), v)
    for i in chosen[:decoys]:
        A[i] = math.sqrt(0.9 * level) * direction(rng, d)
    return A


def commuting(seed, d=2000, R=3, copies=8):
    """G4: R rows e_1, one a bit longer than e_2, copies of all other axes: no rate of Oja's is right."""
    rng = np.random.default_rng(seed)
    axes = np.concatenate([np.zeros(R, int), [1], np.repeat(np.arange(2, d), copies)])
    lengths = np.concatenate([np.ones(R), [math.sqrt(1.05)], np.full(copies * (d - 2), copies**-0.5)])
    A = np.zeros((len(axes), d))
    A[np.arange(len(axes)), axes] = lengths * signs(rng, len(axes))
    return rng.permutation(A)


def decoys(seed, n=20_000, d=500, count=100, R=2.0, first=False):
    """G5: rows of norm one, one a direction, short ones of energy R along one more, noise; maybe in order."""
    rng = np.random.default_rng(seed)
    basis, short = np.linalg.qr(rng.standard_normal((d, count + 1)))[0].T, 2000
    A = math.sqrt(0.2 / n) * rng.standard_normal((n, d))
    A[:count] = signs(rng, count)[:, None] * basis[1:]
    A[count : count + short] = math.sqrt(R / short) * np.outer(signs(rng, short), basis[0])
    return A if first else rng.permutation(A)


def spike_in(seed, where, n=20_000, d=500, R=4.0):
    """G6: the spike is in the first or in the last quarter of the rows alone."""
    rng = np.random.default_rng(seed)
    rows = slice(0, n // 4) if where == "first" else slice(n - n // 4, n)
    v, A = direction(rng, d), rng.standard_normal((n, d))
    return _spike(A, rng, v, R * noise_level(n, d) - n, rows)


def sorted_by_norm(seed, n=20_000, d=500, R=4.0):
    """G6: all rows have their share of the spike; the longest come first."""
    A = heavy(seed, n, d, R, share=0.0)
    return A[np.argsort(-np.linalg.norm(A, axis=1), kind="stable")]


def drift(seed, n=20_000, d=500, R=10.0):
    """G6: a v - b u at first, a v + b u at last, v alone between, in noise of half the energy of u."""
    rng = np.random.default_rng(seed)
    v, u = np.linalg.qr(rng.standard_normal((d, 2)))[0].T
    quarter, ends = n // 4, R / (2 * math.log(d))
    along = np.full(n, math.sqrt((R - 2 * ends) / (n - 2 * quarter)))
    across = np.zeros(n)
    along[:quarter] = along[-quarter:] = math.sqrt(ends / quarter)
    across[:quarter], across[-quarter:] = -math.sqrt(0.5 / quarter), math.sqrt(0.5 / quarter)
    rows = signs(rng, n)[:, None] * (np.outer(along, v) + np.outer(across, u))
    return rows + math.sqrt(0.5 / noise_level(n, d)) * rng.standard_normal((n, d))
