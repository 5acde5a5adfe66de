"""Exact least squares of a stream in slow NumPy, and backward errors by singular values."""

import numpy as np


def minimiser(X, y, sample_weight=None, *, fit_intercept=False, ridge=0.0):
    """Return coefficients, a column for each target, and intercepts, of weighted rows."""
    X, y = np.asarray(X, np.float64), np.asarray(y, np.float64).reshape(len(X), -1)
    weight = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, np.float64)
    mean_X, mean_y = np.zeros(X.shape[1]), np.zeros(y.shape[1])
    if fit_intercept:
        share = weight.astype(np.longdouble) / weight.sum(dtype=np.longdouble)
        mean_X, mean_y = (share @ X).astype(np.float64), (share @ y).astype(np.float64)
    root = np.sqrt(weight)[:, None]
    d = X.shape[1]
    rows = np.vstack([root * (X - mean_X), np.sqrt(ridge) * np.eye(d)])
    targets = np.vstack([root * (y - mean_y), np.zeros((d, y.shape[1]))])
    x = np.linalg.lstsq(rows, targets, rcond=None)[0]
    return x, mean_y - mean_X @ x


def backward_error(A, b, x):
    """The estimate of Karlson and Walden, relative to the Frobenius norm of A: of `x` as it stands."""
    A, b, x = (np.asarray(values, np.float64) for values in (A, b, x))
    U, s, _ = np.linalg.svd(A, full_matrices=False)
    r = (b.astype(np.longdouble) - A.astype(np.longdouble) @ x.astype(np.longdouble)).astype(np.float64)
    size = np.linalg.norm(s)
    theta = size / np.linalg.norm(b)
    damped = theta / np.hypot(1.0, theta * np.linalg.norm(x))
    w = damped * np.linalg.norm(r)
    return damped / size * np.linalg.norm(s * (U.T @ r) / np.hypot(s, w))


def of_condition(n, d, condition, seed=0):
    """Rows with singular values from one to its inverse."""
    rng = np.random.default_rng(seed)
    U = np.linalg.qr(rng.standard_normal((n, d)))[0]
    V = np.linalg.qr(rng.standard_normal((d, d)))[0]
    return (U * np.geomspace(1.0, 1.0 / condition, d)) @ V.T
