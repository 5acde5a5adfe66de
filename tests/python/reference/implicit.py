"""Alternating least squares on implicit feedback in slow NumPy, with dense matrices of confidences."""

import numpy as np

__all__ = ["half", "instance", "losses", "objective", "penalties"]


def instance(shape, seed=0, groups=6):
    """Return a dense matrix of counts, zeros for nothing stored: groups of rows like groups of columns."""
    rng = np.random.default_rng(seed)
    m, n = shape
    like = np.arange(m)[:, None] % groups == np.arange(n) % groups
    active = rng.uniform(0.3, 1.5, (m, 1))
    chosen = rng.random(shape) < np.where(like, 0.5, 0.03) * active
    chosen[np.arange(m), np.arange(m) % n] = True
    return np.where(chosen, rng.integers(1, 6, shape), 0).astype(float)


def weights(R, confidence, alpha, unobserved):
    """Return what the square of each prediction counts, and what is wished for."""
    stored = R != 0
    if confidence == "linear":
        return np.where(stored, alpha * np.abs(R), unobserved), (R > 0).astype(float)
    # Twice: once as what is stored, with the preference, once as any pair, with zero.
    return np.where(stored, alpha, 0.0) + unobserved, (R > 0) * alpha / (alpha + unobserved)


def penalties(R, reg, exponent, unobserved):
    """Return the penalties of rows, and of columns."""
    stored = R != 0
    return [reg * (stored.sum(axis=axis) + unobserved * R.shape[axis]) ** exponent for axis in (1, 0)]


def half(C, P, V, penalty):
    """Return the rows that minimise Σ c (p - u'v)² + Σ penalty |u|²; zeros where nothing is wished."""
    k = V.shape[1]
    U = np.zeros((len(C), k))
    for i in range(len(C)):
        U[i] = np.linalg.solve((V.T * C[i]) @ V + penalty[i] * np.eye(k), V.T @ (C[i] * P[i]))
    return U


def objective(R, U, V, confidence, alpha, unobserved, reg, exponent):
    """Return what is minimised."""
    stored, prediction = R != 0, U @ V.T
    c = alpha * np.abs(R) if confidence == "linear" else np.full(R.shape, alpha)
    total = np.sum(np.where(stored, c * ((R > 0) - prediction) ** 2, 0.0))
    others = ~stored if confidence == "linear" else np.ones_like(stored)
    total += unobserved * np.sum(np.where(others, prediction**2, 0.0))
    for X, penalty in zip((U, V), penalties(R, reg, exponent, unobserved), strict=True):
        total += penalty @ np.sum(X**2, axis=1)
    return total


def losses(R, U, V, alpha, unobserved, reg, exponent):
    """Return the loss of each row that has entries, as its tail is meant."""
    stored, prediction = R != 0, U @ V.T
    count = stored.sum(axis=1)
    entries = count[count > 0].mean()
    loss = np.sum(np.where(stored, alpha * ((R > 0) - prediction) ** 2, 0.0), axis=1) / np.maximum(count, 1)
    loss += unobserved / entries * np.sum(prediction**2, axis=1)
    loss += reg * (entries + unobserved * R.shape[1]) ** exponent / entries * np.sum(U**2, axis=1)
    return 0.5 * loss[count > 0]
