"""Sensitivities: the largest share that a row can have in a sum of p-th powers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nearlin import _core
from nearlin._certificate import Certificate
from nearlin._config import Progress, resolve_progress, resolve_threads
from nearlin._frames import column_names, naming_columns
from nearlin._sparse import without_ignored_entries
from nearlin._validation import as_array, as_matrix, as_sample_weight, as_seed, check_int, check_real
from nearlin.exceptions import InvalidInputError, InvalidTypeError, ShapeError

from ._lewis_weights import LARGEST_POWER

__all__ = ["approximate_sensitivities", "max_sensitivity", "sensitivity_bounds", "total_sensitivity"]

Vector = npt.NDArray[np.float64]

TOLD = 4.0
"""Up to this power two standard errors of draws are what they are for others."""


def sensitivity_bounds(
    A: object,
    p: float,
    *,
    rows: object = None,
    rtol: float = 0.03,
    sample_weight: object = None,
    n_jobs: int | None = None,
    progress: bool | Progress = False,
) -> tuple[Vector, Vector]:
    r"""Return certified bounds of the sensitivity :math:`s_i = \max_x |a_i x|^p / \|A x\|_p^p` of every row,
    or of some.

    Parameters
    ----------
    A : array_like or sparse matrix of shape (n, d)
        The rows, for d up to about 40.
    p : float
        From 1 to 30. For p = 2 both bounds are leverage scores.
    rows : array_like of shape (m,) or (n,), optional
        Numbers of the rows that are wanted, or a boolean mask of all rows; all by default.
    rtol : float, default=0.03
        How far upper bounds may be above lower ones, relatively. The work on a row ends there, or after 40
        steps, which may leave more: for p = 1 up to a factor of two, for p > 6, and for p = 30 up to several
        hundred.
    sample_weight : array_like of shape (n,), optional
        Rows count so many times: sensitivities of rows multiplied by the p-th roots.
    n_jobs : int, optional
        Number of threads. None means the setting of :func:`nearlin.set_config`. It never changes a bit.
    progress : bool or callable, default=False
        True shows a bar, a callable is called with (rows done, rows, figures).

    Returns
    -------
    lower, upper : ndarray of shape (n,) or (m,)
        Bounds of which both hold, but for rounding.

    Raises
    ------
    InvalidInputError
        If an entry is not finite, all of them are zero, or `rows` has a number that is no row's.

    Notes
    -----
    Every x with :math:`a_i x = 1` gives :math:`s_i \ge \|A x\|_p^{-p}`, every z with :math:`A^T z = a_i`
    gives :math:`s_i \le \|z\|_q^p`. Both come from weighted Gram matrices, reweighted until they meet, from
    the Lewis weights on. A row takes :math:`n d^2` flops and more for each step, all rows :math:`n^2 d^2`;
    memory is :math:`n d^2 / 2` numbers.

    References
    ----------
    .. [1] S. Padmanabhan, D. Woodruff, Q. Zhang, "Computing approximate l_p sensitivities", NeurIPS 2023.

    Examples
    --------
    >>> import numpy as np
    >>> import nearlin
    >>> A = np.vstack([np.eye(2), np.eye(2), [[0.0, 10.0]]])
    >>> lower, upper = nearlin.coreset.sensitivity_bounds(A, 1.5)
    >>> upper.round(2)
    array([0.5 , 0.03, 0.5 , 0.03, 0.94])
    """
    matrix, weights = _weighted(A, sample_weight)
    n, d = matrix.shape
    numbers = None if rows is None else _numbers(rows, n)
    count = n if numbers is None else len(numbers)
    with naming_columns(column_names(A)):
        lower, upper = _core.sensitivity_bounds(
            matrix,
            sample_weight=weights,
            rows=numbers,
            p=_power(p),
            rtol=check_real(rtol, "rtol", above=0.0),
            threads=resolve_threads(n_jobs, 8.0 * n * d * d * count),
            progress=resolve_progress(progress),
        )
    return lower, upper


def total_sensitivity(
    A: object,
    p: float,
    *,
    size: int = 64,
    sample_weight: object = None,
    return_certificate: bool = False,
    rng: object = None,
    n_jobs: int | None = None,
    progress: bool | Progress = False,
) -> Any:
    r"""Return the sum of all sensitivities, which is how many rows a sample by them needs but for the
    accuracy.

    It lies between :math:`d^{p/2}`, where rows look alike, and d, where each has its own direction (for p >
    2; the other way about for p < 2).

    Parameters
    ----------
    A : array_like or sparse matrix of shape (n, d)
        The rows.
    p : float
        From 1 to 30. For p = 2 the sum is the rank.
    size : int, default=64
        Rows whose sensitivities are computed, drawn by their Lewis weights and, for p > 2, by bounds from
        these and from leverage scores; all if there are no more. The error is a few percent for 64 and p up
        to 4; for larger p it may be more, as few rows may have most of the sum.
    sample_weight : array_like of shape (n,), optional
        Rows count so many times.
    return_certificate : bool, default=False
        Return a :class:`nearlin.Certificate` of the error too.
    rng : None, int, numpy.random.Generator or what :func:`numpy.random.default_rng` takes, optional
        Source of the random numbers.
    n_jobs : int, optional
        Number of threads. None means the setting of :func:`nearlin.set_config`. It never changes a bit.
    progress : bool or callable, default=False
        True shows a bar, a callable is called with (rows done, rows, figures).

    Returns
    -------
    total : float
        The estimate.
    certificate : Certificate
        If `return_certificate`: half the width of an interval of two standard errors, relative to the
        estimate. For p > 4 and more than `size` rows it has no bound: how far sums of draws are off is not
        told there by the draws.

    Raises
    ------
    InvalidInputError
        If an entry is not finite, or all of them are zero.

    Notes
    -----
    Of more than 4096 rows a sample of 4096 by Lewis weights stands for all in :math:`\|A x\|_p`.

    References
    ----------
    .. [1] S. Padmanabhan, D. Woodruff, Q. Zhang, "Computing approximate l_p sensitivities", NeurIPS 2023.

    Examples
    --------
    >>> import numpy as np
    >>> import nearlin
    >>> A = np.vstack([np.eye(2), np.eye(2), [[0.0, 10.0]]])
    >>> round(nearlin.coreset.total_sensitivity(A, 1.5), 3)
    2.0
    """
    matrix, weights = _weighted(A, sample_weight)
    n, d = matrix.shape
    size, power = check_int(size, "size", at_least=2), _power(p)
    with naming_columns(column_names(A)):
        found = _core.total_sensitivity(
            matrix,
            sample_weight=weights,
            p=power,
            size=size,
            seed=as_seed(rng),
            threads=resolve_threads(n_jobs, 8.0 * n * d * d),
            progress=resolve_progress(progress),
        )
    how = "rows drawn by bounds of theirs" if found["n_measured"] == size < n else "all rows"
    certificate = _certificate(found, "relative error of the sum", how, drawn=how != "all rows", p=power)
    return (found["estimate"], certificate) if return_certificate else found["estimate"]


def max_sensitivity(
    A: object,
    p: float,
    *,
    sample_weight: object = None,
    return_certificate: bool = False,
    rng: object = None,
    n_jobs: int | None = None,
    progress: bool | Progress = False,
) -> Any:
    r"""Return the largest sensitivity: how much of :math:`\|A x\|_p^p` a single row can ever be.

    Parameters
    ----------
    A : array_like or sparse matrix of shape (n, d)
        The rows.
    p : float
        From 1 to 30.
    sample_weight : array_like of shape (n,), optional
        Rows count so many times.
    return_certificate : bool, default=False
        Return a :class:`nearlin.Certificate` of the error too.
    rng : None, int, numpy.random.Generator or what :func:`numpy.random.default_rng` takes, optional
        Source of the random numbers, for more than 4096 rows.
    n_jobs : int, optional
        Number of threads. None means the setting of :func:`nearlin.set_config`. It never changes a bit.
    progress : bool or callable, default=False
        True shows a bar, a callable is called with (rows done, rows, figures).

    Returns
    -------
    largest : float
        The estimate.
    certificate : Certificate
        If `return_certificate`: half the width of the interval that it lies in, relative to the estimate.

    Raises
    ------
    InvalidInputError
        If an entry is not finite, or all of them are zero.

    Notes
    -----
    Rows are measured from the largest Lewis weight downwards, until no other can be above what was found: for
    p < 2 after few of them, for p > 2 perhaps after many. Of more than 4096 rows a sample of 4096 by Lewis
    weights stands for all in :math:`\|A x\|_p`.

    Examples
    --------
    >>> import numpy as np
    >>> import nearlin
    >>> A = np.vstack([np.eye(2), np.eye(2), [[0.0, 10.0]]])
    >>> round(nearlin.coreset.max_sensitivity(A, 1.5), 3)
    0.941
    """
    matrix, weights = _weighted(A, sample_weight)
    n, d = matrix.shape
    with naming_columns(column_names(A)):
        found = _core.max_sensitivity(
            matrix,
            sample_weight=weights,
            p=_power(p),
            seed=as_seed(rng),
            threads=resolve_threads(n_jobs, 8.0 * n * d * d),
            progress=resolve_progress(progress),
        )
    certificate = _certificate(found, "relative error of the largest", "the rows that it can be", drawn=False)
    return (found["estimate"], certificate) if return_certificate else found["estimate"]


def approximate_sensitivities(
    A: object,
    p: float,
    *,
    alpha: float,
    sample_weight: object = None,
    rng: object = None,
    n_jobs: int | None = None,
    progress: bool | Progress = False,
) -> Vector:
    r"""Return what may stand for the sensitivities of all rows, from n / alpha times as many measurements as
    a few.

    Parameters
    ----------
    A : array_like or sparse matrix of shape (n, d)
        The rows.
    p : float
        From 1 to 30.
    alpha : float
        Rows of a bucket, which all get one figure; at least 1. Measurements are :math:`\log_2(100 n)` for
        each bucket, so that it is of use above about 30.
    sample_weight : array_like of shape (n,), optional
        Rows count so many times.
    rng : None, int, numpy.random.Generator or what :func:`numpy.random.default_rng` takes, optional
        Source of the random numbers.
    n_jobs : int, optional
        Number of threads. None means the setting of :func:`nearlin.set_config`. It never changes a bit.
    progress : bool or callable, default=False
        True shows a bar, a callable is called with (steps done, most, figures) of the Lewis weights.

    Returns
    -------
    ndarray of shape (n,)
        Above the sensitivity :math:`s_i` of every row with probability 0.99, and at most the sum over its
        bucket, which is :math:`s_i + \alpha S / n` on average, for p = 1; :math:`\alpha^{p - 1}` times that
        for larger p. Zeros for rows of zeros.

    Raises
    ------
    InvalidInputError
        If an entry is not finite, or all of them are zero.

    Notes
    -----
    Random combinations, with signs, of the rows of each random bucket are measured as by
    :func:`nearlin.sensitivity_bounds` [1]_. Of more than 4096 rows a sample of 4096 by Lewis weights stands
    for all in :math:`\|A x\|_p`. For sampling :func:`nearlin.lewis_weights` do as well, in less time.

    References
    ----------
    .. [1] S. Padmanabhan, D. Woodruff, Q. Zhang, "Computing approximate l_p sensitivities", NeurIPS 2023.

    Examples
    --------
    >>> import numpy as np
    >>> import nearlin
    >>> A = np.random.default_rng(0).standard_normal((2000, 3))
    >>> found = nearlin.coreset.approximate_sensitivities(A, 1.0, alpha=100, rng=0)
    >>> lower, _ = nearlin.coreset.sensitivity_bounds(A, 1.0, rows=range(50))
    >>> bool((found[:50] > lower).all())
    True
    """
    matrix, weights = _weighted(A, sample_weight)
    n, d = matrix.shape
    with naming_columns(column_names(A)):
        return _core.approximate_sensitivities(
            matrix,
            sample_weight=weights,
            p=_power(p),
            alpha=check_real(alpha, "alpha", at_least=1.0),
            seed=as_seed(rng),
            threads=resolve_threads(n_jobs, 8.0 * n * d * d),
            progress=resolve_progress(progress),
        )


def _weighted(A: object, sample_weight: object) -> tuple[Any, npt.NDArray[np.float64] | None]:
    """Return the rows and their weights."""
    matrix = as_matrix(A)
    weights = as_sample_weight(sample_weight, matrix.shape[0])
    return without_ignored_entries(matrix, weights), weights


def _power(p: object) -> float:
    return check_real(p, "p", at_least=1.0, at_most=LARGEST_POWER)


def _numbers(rows: object, n: int) -> npt.NDArray[np.int64]:
    """Return numbers of rows, negative ones counted from the end."""
    array = as_array(rows, "rows")
    if array.ndim != 1:
        raise ShapeError(f"has {array.ndim} dimensions, expected 1", argument="rows")
    if array.dtype.kind == "b" and len(array) == n:
        return np.flatnonzero(array)
    if array.dtype.kind not in "iu":
        if array.size:
            raise InvalidTypeError(f"has dtype {array.dtype}, expected integers", argument="rows")
        array = array.astype(np.int64)
    wrong = (array < -n) | (array >= n)
    if wrong.any():
        raise InvalidInputError(f"has {array[wrong][0]}, expected numbers of the {n} rows", argument="rows")
    numbers = array.astype(np.int64)
    return np.where(numbers < 0, numbers + n, numbers)


def _certificate(
    found: _core.SensitivityFigure, quantity: str, how: str, *, drawn: bool, p: float = 1.0
) -> Certificate:
    estimate, lower, upper = found["estimate"], found["lower"], found["upper"]
    width = max(upper - estimate, estimate - lower) / estimate
    certain = found["is_exact"] and not drawn
    is_told = found["is_exact"] and not (drawn and p > TOLD)
    notes = [] if found["is_exact"] else ["a sample of 4096 rows or more stands for all in the norm"]
    if drawn and p > TOLD:
        notes.append(
            f"draws do not tell how far they are off for p > {TOLD:g}: few rows may have most of the sum"
        )
    return Certificate(
        quantity=quantity,
        estimate=width,
        bound=width + 1e-12 if is_told else float("nan"),
        confidence=1.0 if certain else 0.95 if is_told else None,
        measured=f"bounds from primal and dual points for {how}",
        note="; ".join(notes) or None,
        details={"lower": lower, "upper": upper, "n_measured": found["n_measured"]},
    )
