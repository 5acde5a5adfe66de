"""How far rows are from those of a fit, and how much each of these decides it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nearlin._listing import listing
from nearlin._sparse import is_sparse
from nearlin._validation import Float, Matrix

__all__ = ["Distances", "Influence", "influence_of", "residuals_of"]

Array: TypeAlias = npt.NDArray[np.float64]

ROWS = 4096
"""Rows that are spread out at a time."""
BLIND = 1e-8
"""A row is determined if no larger part of it, less the mean, lies in directions that X is blind to."""
ROUNDED = 1e-13
"""The part of a row, mean and all, that may be there by rounding."""
PINNED = 1.0 - 1e-10
"""Leverages above this leave no digit of the residual."""


@dataclass(frozen=True, eq=False, repr=False)
class Influence:
    """How much the rows of a fit decide it. The figures are those of statsmodels' ``OLSInfluence``.

    Attributes
    ----------
    leverage : ndarray of shape (n,)
        Diagonal of the hat matrix, times the weights: in [0, 1], together the rank; statsmodels'
        ``hat_matrix_diag``.
    standardized : ndarray of shape (n,) or (n, n_targets)
        Residuals over their standard deviations (internally studentised, ``resid_studentized_internal``). NaN
        for rows that the fit passes through, and for those of weight zero.
    studentized : ndarray of shape (n,) or (n, n_targets)
        The same by a fit without the row (``resid_studentized_external``): of Student's distribution with one
        degree of freedom less than the residuals.
    cooks_distance : ndarray of shape (n,) or (n, n_targets)
        By how much the predictions of all rows move without the row.
    n_parameters : int
        Rank of X and its constant.
    """

    leverage: Array
    standardized: Array
    studentized: Array
    cooks_distance: Array
    n_parameters: int

    def of_one_target(self) -> "Influence":
        """Return figures of y that was a vector."""
        single = (self.standardized[:, 0], self.studentized[:, 0], self.cooks_distance[:, 0])
        return Influence(self.leverage, *single, self.n_parameters)

    def __repr__(self) -> str:
        return listing(vars(self))


class Distances:
    """Squared distances of rows from the rows of a fit, z (A'A)^+ z', from the factor F of its A'A.

    Parameters
    ----------
    factor : ndarray of shape (rank, d)
        F, of weighted and centred rows.
    means : ndarray of shape (d,), optional
        What rows are centred by, if there is a constant.
    weight_norm : float
        Norm of the root weights.
    """

    def __init__(self, factor: Array, means: Array | None, weight_norm: float) -> None:
        size = np.linalg.norm(factor, axis=0)
        self._size = np.where(size > 0.0, size, 1.0)
        self._means = means
        self._of_constant = 0.0 if means is None else 1.0 / weight_norm**2
        # Columns of norm one: the singular values know the rank, and no digit is lost to units.
        _, values, directions = np.linalg.svd(factor / self._size)
        rank = len(factor)
        self._into = directions[:rank].T / values[:rank]
        self._blind = directions[rank:].T

    def of(self, X: Matrix) -> Array:
        """Return them for the rows of a matrix: NaN where the fit determines no prediction."""
        found = np.empty(X.shape[0])
        for start, rows in some_rows(X):
            shift = 0.0 if self._means is None else self._means
            centred = (rows - shift) / self._size
            squares = np.square(centred @ self._into).sum(axis=1) + self._of_constant
            if self._blind.shape[1]:
                whole = np.linalg.norm(rows / self._size, axis=1) + np.linalg.norm(shift / self._size)
                least = BLIND * np.linalg.norm(centred, axis=1) + ROUNDED * whole
                squares[np.linalg.norm(centred @ self._blind, axis=1) > least] = np.nan
            found[start : start + ROWS] = squares
        return found


def some_rows(X: Matrix) -> Iterator[tuple[int, Array]]:
    """Some rows of a matrix after the others, dense, and the number of the first of them."""
    for start in range(0, X.shape[0], ROWS):
        part: Any = X[start : start + ROWS]
        yield start, np.asarray(part.toarray() if is_sparse(part) else part, dtype=np.float64)


def residuals_of(X: Matrix, y: Float, coef: Float, intercept: Any) -> Array:
    """Return residuals (n x k) in float64, whatever the data are in."""
    residuals = y.astype(np.float64) - np.asarray(intercept, dtype=np.float64)
    for start, rows in some_rows(X):
        residuals[start : start + ROWS] -= rows @ coef.T.astype(np.float64)
    return residuals


def influence_of(
    distances: Array, residuals: Array, weights: Array | None, sigma: Array, freedom: Array, rank: int
) -> Influence:
    """Return what rows of these distances and residuals (n x targets) decide."""
    weight = np.ones(len(distances)) if weights is None else weights
    leverage = np.clip(weight * distances, 0.0, 1.0)
    room = np.where((leverage <= PINNED) & (weight > 0.0), 1.0 - leverage, np.nan)[:, np.newaxis]
    with np.errstate(divide="ignore", invalid="ignore"):
        standardized = residuals * np.sqrt(weight)[:, np.newaxis] / (sigma * np.sqrt(room))
        left = freedom - standardized**2
        studentized = standardized * np.sqrt((freedom - 1.0) / np.where(left > 0.0, left, np.nan))
        cooks = standardized**2 * leverage[:, np.newaxis] / room / rank
    return Influence(leverage, standardized, studentized, cooks, rank)
