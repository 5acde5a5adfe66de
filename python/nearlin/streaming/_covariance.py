"""The covariance that components stand for: theirs, and the same noise in all other directions.

Probabilistic principal components (Tipping and Bishop 1999).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from nearlin.exceptions import AllocationError, InvalidInputError

__all__ = ["covariance", "log_likelihoods", "precision"]

Double = npt.NDArray[np.float64]


def covariance(components: Double, variances: Double, noise: float) -> Double:
    """Return C' diag(variances) C and `noise` in all directions that are not in C."""
    return _along(components, variances - noise, noise)


def precision(components: Double, variances: Double, noise: float) -> Double:
    """Return the inverse of that, by Woodbury's formula."""
    _check_regular(components, variances, noise)
    k, d = components.shape
    others = 1.0 / noise if k < d else 0.0
    return _along(components, 1.0 / variances - others, others)


def log_likelihoods(rows: Double, components: Double, variances: Double, noise: float) -> Double:
    """Return log densities of rows, less their mean, as normal vectors of that covariance."""
    _check_regular(components, variances, noise)
    k, d = components.shape
    along = rows @ components.T
    squares = (along**2 / variances).sum(axis=1)
    log_volume = float(np.log(variances).sum())
    if k < d:
        others = rows - along @ components
        squares += np.einsum("ij,ij->i", others, others) / noise
        log_volume += (d - k) * math.log(noise)
    likelihoods: Double = -0.5 * (squares + d * math.log(2.0 * math.pi) + log_volume)
    return likelihoods


def _check_regular(components: Double, variances: Double, noise: float) -> None:
    k, d = components.shape
    rounding = 64.0 * np.finfo(np.float64).eps * variances.max()
    if not (variances.min() > rounding and (noise > rounding or k == d)):
        raise InvalidInputError(
            "has directions without variance, expected a covariance that has an inverse", argument="X"
        )


def _along(components: Double, along: Double, others: float) -> Double:
    d = components.shape[1]
    try:
        square: Double = (components.T * along) @ components
    except MemoryError:
        raise AllocationError(f"could not allocate a covariance of {8 * d * d} bytes") from None
    square.flat[:: d + 1] += others
    return square
