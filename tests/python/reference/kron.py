"""Least squares with a Kronecker product by forming it. Nothing here calls nearlin."""

from functools import reduce

import numpy as np

from . import regression


def formed(factors):
    """Return the product itself."""
    return reduce(np.kron, [np.asarray(factor, float) for factor in factors])


def solve(factors, b, *, ridge=0.0, rcond=None):
    """Minimum-norm least squares on the formed product; b is a vector or has columns."""
    return regression.minimum_norm(*regression.explicit(formed(factors), b, ridge=ridge), rcond)


def pseudo_inverse(factors, b, *, rcond=1e-13):
    """The same with ranks decided factor by factor, columns scaled to unit norm."""
    inverses = [np.linalg.pinv(np.asarray(factor, float), rcond=rcond) for factor in factors]
    return reduce(np.kron, inverses) @ b


def graded(shape, kappa, seed=0):
    """A matrix with singular values evenly from 1 to 1/kappa in the logarithm."""
    rng = np.random.default_rng(seed)
    n, d = shape
    k = min(n, d)
    left, right = (np.linalg.qr(rng.standard_normal((size, k)))[0] for size in (n, d))
    return (left * np.logspace(0.0, -np.log10(kappa), k)) @ right.T
