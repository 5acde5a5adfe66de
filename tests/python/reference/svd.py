"""Truncated singular value decompositions by dense ones, and matrices whose spectrum is known."""

import numpy as np

__all__ = ["dense", "leading", "with_spectrum"]


def dense(A):
    """Return anything as a float64 array."""
    if hasattr(A, "matvec"):
        return np.asarray(A @ np.eye(A.shape[1]), dtype=np.float64)
    return np.asarray(A.toarray() if hasattr(A, "toarray") else A, dtype=np.float64)


def leading(A, k):
    """Return the k largest singular values, and |A - A_k|_F / |A|_F for the best A_k of that rank."""
    s = np.linalg.svd(dense(A), compute_uv=False)
    return s[:k], np.linalg.norm(s[k:]) / max(np.linalg.norm(s), np.finfo(float).tiny)


def with_spectrum(n, d, s, seed=0):
    """Return an n x d matrix with these singular values."""
    rng = np.random.default_rng(seed)
    U = np.linalg.qr(rng.standard_normal((n, len(s))))[0]
    V = np.linalg.qr(rng.standard_normal((d, len(s))))[0]
    return (U * s) @ V.T
