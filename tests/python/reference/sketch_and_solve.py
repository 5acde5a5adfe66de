"""Sketch-and-solve from its definition, the instances on which sketches fail, and a sampler of rows.

Nothing here calls nearlin: sketches come in as the matrices S A and S b.
"""

import math

import numpy as np
import scipy.stats


def row_count(d, eps, delta):
    """Rows of a Gaussian sketch for the coordinate-wise theorem."""
    tails = math.sqrt(2 * d * math.log(2 * d / delta)) / eps
    return math.ceil((math.sqrt(d) + math.sqrt(2 * math.log(2 / delta)) + tails) ** 2)


def answer(Y, z, *, ridge=0.0, level=0.95, excess=1.0):
    """x, half-widths of single and of simultaneous intervals, estimated residual norm, and attained eps.

    Errors are `excess` times those of a Gaussian sketch.
    """
    (m, d), gram = Y.shape, Y.T @ Y
    augmented = np.vstack([Y, math.sqrt(ridge) * np.eye(d)])
    x = np.linalg.lstsq(augmented, np.concatenate([z, np.zeros(d)]), rcond=None)[0]
    C = np.linalg.inv(gram + ridge * np.eye(d))
    variance = np.sum((z - Y @ x) ** 2) / (m - np.trace(C @ gram))
    covariance = variance * C @ gram @ C + ridge**2 / m * np.outer(C @ x, C @ x)
    error = excess * np.sqrt(np.diag(covariance))
    tail = (1 - level) / 2
    single, all_of_them = scipy.stats.t.isf([tail, tail / d], m - d)
    least = 1 - math.sqrt(np.trace(C @ gram) / m)
    norm = least * math.sqrt(m * variance + ridge * x @ x) / np.linalg.svd(augmented, compute_uv=False)[-1]
    residual = math.sqrt(m * variance)
    return x, single * error, all_of_them * error, residual, math.sqrt(d) * all_of_them * max(error) / norm


# --- hard instances: A, b, and the exact answer, with |b - A x*| = |A^+| = 1 --------------------------------


def spikes(n, d, k, rng):
    """A = [I; 0] and a residual of k spikes: what a sparse sketch takes for a coordinate."""
    b = np.zeros(n)
    b[d + rng.choice(n - d, k, replace=False)] = rng.choice([-1.0, 1.0], k) / math.sqrt(k)
    return np.eye(n, d), b, np.zeros(d)


def blocks(n, d, width):
    """Columns of `width` equal entries, and a residual that alternates under the first: against sampling."""
    A = np.zeros((n, d))
    for j in range(d):
        A[j * width : (j + 1) * width, j] = 1 / math.sqrt(width)
    b = np.zeros(n)
    b[:width] = (-1.0) ** np.arange(width) / math.sqrt(width)
    return A, b, np.zeros(d)


def incoherent(n, d, rng):
    """A random range and a random residual."""
    Q = np.linalg.qr(rng.standard_normal((n, d + 1)))[0]
    return np.ascontiguousarray(Q[:, :d]), Q[:, d].copy(), np.zeros(d)


def leverage_samples(A, b, m, draws):
    """S [A, b] for rows drawn with replacement in proportion to their leverages."""
    leverage = np.sum(np.linalg.qr(A)[0] ** 2, axis=1)
    share = leverage / leverage.sum()
    for seed in range(draws):
        rows = np.random.default_rng(seed).choice(len(A), m, p=share)
        yield np.column_stack([A[rows], b[rows]]) / np.sqrt(m * share[rows])[:, None]
