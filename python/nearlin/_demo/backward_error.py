"""Backward errors of many answers to one tall least-squares problem, by a rule that owes nothing to nearlin.

The Karlson-Walden backward error of x needs the singular values of the column-scaled A and the gradient
A'(b - Ax) beyond working precision. Extended precision is slow, so one answer x0 gets it; the gradient of any
other follows from A'(b - Ax) = A'(b - Ax0) - A'A (x - x0). That is accurate as long as x - x0 is small, which
for condition numbers up to 1e6 all good answers are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearlin._demo.block import as_arrays
from nearlin._demo.process import Arrays

__all__ = ["judge", "measure"]

Matrix = NDArray[np.float64]


def judge(A: Matrix, b: Matrix, R: NDArray[Any] | None = None, x: Matrix | None = None) -> Arrays:
    """What `measure` needs about the matrix and the right-hand sides, the columns of b.

    R is any matrix with R'R = A'A if one is known, else the triangular factor by Cholesky QR done twice, good
    for condition numbers up to 1e7; x is the answer with the exact gradient, by default our own.
    """
    scale = np.sqrt(_over_rows(lambda rows, _: np.sum(rows * rows, axis=0), A, b))
    R = _factor(A, b, scale) if R is None else R / scale
    _, singular, right = np.linalg.svd(R)
    if x is None:
        x = np.zeros((A.shape[1], b.shape[1]))
        for _ in range(2):
            gradient = right @ (_gradient(A, b, x, np.float64)[0] / scale[:, None])
            x += (right.T @ (gradient / singular[:, None] ** 2)) / scale[:, None]
    gradient, residual = _gradient(A, b, x, np.longdouble)
    return as_arrays(
        scale=scale,
        singular=singular,
        right=right,
        x=x,
        gradient=right @ (gradient / scale[:, None]).astype(float),
        residual=residual,
        norm_b=np.linalg.norm(b, axis=0),
        rows=len(A),
    )


def measure(judged: Arrays, x: Matrix) -> Matrix:
    """Backward error of each column of x, relative to |A|_F."""
    scale, singular = judged["scale"][:, None], judged["singular"][:, None]
    turn = judged["right"] @ ((x - judged["x"]) * scale)
    gradient = judged["gradient"]
    square = (
        judged["residual"] ** 2
        - 2.0 * np.sum(gradient * turn, axis=0)
        + np.sum((singular * turn) ** 2, axis=0)
    )
    norm = np.linalg.norm(singular)
    theta = norm / judged["norm_b"]
    front = theta / np.sqrt(1.0 + (theta * np.linalg.norm(x * scale, axis=0)) ** 2)
    parts = (gradient - singular**2 * turn) / np.hypot(singular, front * np.sqrt(np.maximum(square, 0.0)))
    errors: Matrix = front * np.linalg.norm(parts, axis=0) / norm
    return errors


def _factor(A: Matrix, b: Matrix, scale: Matrix) -> NDArray[Any]:
    first = np.linalg.cholesky(_over_rows(lambda rows, _: _gram(rows / scale), A, b)).T
    whiten = np.linalg.inv(first) / scale[:, None]
    return np.linalg.cholesky(_over_rows(lambda rows, _: _gram(rows @ whiten), A, b)).T @ first


def _gradient(A: Matrix, b: Matrix, x: Matrix, dtype: type) -> tuple[NDArray[Any], NDArray[Any]]:
    """A'(b - Ax) and the norms of b - Ax, in arithmetic of a dtype."""

    def sums(rows: NDArray[Any], target: Matrix) -> NDArray[Any]:
        rows = rows.astype(dtype, copy=False)
        residual = target - rows @ x.astype(dtype)
        return np.vstack([rows.T @ residual, np.sum(residual * residual, axis=0)])

    total = _over_rows(sums, A, b)
    return total[:-1], np.sqrt(total[-1]).astype(float)


def _gram(rows: Matrix) -> Matrix:
    return rows.T @ rows


def _over_rows(function: Callable[[Matrix, Matrix], Any], A: Matrix, b: Matrix) -> Any:
    """Sum of function(rows of A, rows of b) over blocks of rows."""
    return sum(function(A[i : i + 4096], b[i : i + 4096]) for i in range(0, len(A), 4096))
