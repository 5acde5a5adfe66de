"""Rows with one entry each, of columns that differ: how many of them scores need for a distortion."""

import warnings

import numpy as np

import nearlin
from nearlin.exceptions import GuaranteeWarning

__all__ = ["COLUMNS", "one_hot", "rows_needed", "scores_by_rule"]

COLUMNS = (200_000, *[400] * 19)
"""Rows of each column."""


def one_hot(sizes=COLUMNS, seed=0):
    """Return entries, which are lognormal, and their columns."""
    columns = np.repeat(np.arange(len(sizes)), sizes)
    A = np.zeros((len(columns), len(sizes)))
    A[np.arange(len(columns)), columns] = np.random.default_rng(seed).lognormal(0.0, 1.0, len(columns))
    return A, columns


def scores_by_rule(A, columns, p):
    """Return scores of all rows by the names of the rules; Lewis weights are the sensitivities."""
    n, d = A.shape
    powers, t = A.max(axis=1) ** p, nearlin.leverage_scores(A)
    s = powers / np.bincount(columns, powers)[columns]
    return {
        "uniform": np.ones(n),
        "leverage": t,
        **({"root_leverage": nearlin.root_leverage_scores(A, p)} if p <= 2.0 else {}),
        "sensitivity": s,
        "leverage_sensitivity": s / d + t / d,
        "augmented": s / d + t / d + 1.0 / n,
    }


def rows_needed(scores, columns, powers, p, eps=0.1, draws=100):
    """Return the least size, within a fiftieth, at which the mean distortion of some draws is below eps.

    That is the largest | (S~_j / S_j)^(1/p) - 1 |, S_j being the sum of the powers of column j. Rows that are
    drawn by given scores do not depend on A, of which one column of ones is enough.
    """
    truth, ones, d = np.bincount(columns, powers), np.ones((len(columns), 1)), columns.max() + 1

    def distortion(size, seed):
        with warnings.catch_warnings():
            # Of the sum of weights, whose distortion nobody asks for here.
            warnings.simplefilter("ignore", GuaranteeWarning)
            sample = nearlin.sample_rows(ones, size=size, scores=scores, rng=seed, n_jobs=1)
        rows = sample.indices
        found = np.bincount(columns[rows], sample.weights * powers[rows], minlength=d)
        return abs((found / truth) ** (1.0 / p) - 1.0).max()

    low, high = d, len(columns)
    while high > 1.02 * low + 1:
        middle = max(int(np.sqrt(low * high)), low + 1)
        is_enough = np.mean([distortion(middle, seed) for seed in range(draws)]) < eps
        low, high = (low, middle) if is_enough else (middle, high)
    return high
