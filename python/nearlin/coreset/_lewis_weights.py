"""Lewis weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, overload

from nearlin import _core
from nearlin._config import Progress, resolve_progress, resolve_threads
from nearlin._frames import column_names, naming_columns
from nearlin._listing import listing
from nearlin._sparse import without_ignored_entries
from nearlin._validation import Float, as_matrix, as_sample_weight, check_bool, check_int, check_real
from nearlin._warn import warn
from nearlin.exceptions import AccuracyWarning

__all__ = ["LARGEST_POWER", "LewisInfo", "lewis_weights"]

LARGEST_POWER = 30.0
"""Beyond, p-th powers of most numbers are zeros."""


@dataclass(frozen=True, repr=False)
class LewisInfo:
    r"""How :func:`nearlin.lewis_weights` came to its answer.

    Attributes
    ----------
    n_passes : int
        Reads of the matrix, after the one for its Gram matrix.
    residual : float
        Largest :math:`|\log(T(w)_i / w_i)|` before the last step, T being what has the weights as its fixed
        point.
    rank : int
        What the weights add up to.
    """

    n_passes: int
    residual: float
    rank: int

    def __repr__(self) -> str:
        return listing({"n_passes": self.n_passes, "residual": f"{self.residual:.2g}", "rank": self.rank})


@overload
def lewis_weights(
    A: object,
    p: float,
    *,
    tol: float = ...,
    max_iter: int = ...,
    sample_weight: object = ...,
    return_info: Literal[False] = ...,
    n_jobs: int | None = ...,
    progress: bool | Progress = ...,
) -> Float: ...
@overload
def lewis_weights(
    A: object,
    p: float,
    *,
    tol: float = ...,
    max_iter: int = ...,
    sample_weight: object = ...,
    return_info: Literal[True],
    n_jobs: int | None = ...,
    progress: bool | Progress = ...,
) -> tuple[Float, LewisInfo]: ...
def lewis_weights(
    A: object,
    p: float,
    *,
    tol: float = 0.05,
    max_iter: int = 60,
    sample_weight: object = None,
    return_info: bool = False,
    n_jobs: int | None = None,
    progress: bool | Progress = False,
) -> Float | tuple[Float, LewisInfo]:
    r"""Return the Lewis weight of every row of `A`: leverage scores for sums of p-th powers.

    They are the only w > 0 with :math:`w_i^{2/p} = a_i^T (A^T W^{1 - 2/p} A)^{-1} a_i`, and add up to the
    rank.

    Parameters
    ----------
    A : array_like or sparse matrix of shape (n, d)
        Never made dense; CSC is copied to CSR.
    p : float
        From 1 to 30. For p = 2 they are leverage scores.
    tol : float, default=0.05
        Largest :math:`|\log(T(w)_i / w_i)|` that ends the iteration: enough for sampling.
    max_iter : int, default=60
        Most steps, a read of `A` each.
    sample_weight : array_like of shape (n,), optional
        Rows count so many times: weights of rows multiplied by the p-th roots.
    return_info : bool, default=False
        Return a :class:`LewisInfo` too.
    n_jobs : int, optional
        Number of threads. None means the setting of :func:`nearlin.set_config`. It never changes a bit.
    progress : bool or callable, default=False
        True shows a bar, a callable is called with (steps done, most, {"residual": ...}).

    Returns
    -------
    w : ndarray of shape (n,)
        In the precision of `A`; zeros for rows of zeros.
    info : LewisInfo
        If `return_info`.

    Raises
    ------
    InvalidInputError
        If an entry is not finite, or all of them are zero.

    Warns
    -----
    AccuracyWarning
        If `max_iter` steps did not bring the residual to `tol`.

    Notes
    -----
    The sensitivities :math:`s_i = \max_x |a_i x|^p / \|A x\|_p^p` lie between :math:`d^{p/2 - 1} w_i` and
    :math:`w_i` for p <= 2, and between :math:`w_i` and :math:`d^{p/2 - 1} w_i` for p >= 2.

    Logarithms of weights are damped by 4 / (p + 2), which makes the error :math:`|p - 2| / (p + 2)` times as
    large with each step near the end, for every p; undamped steps [1]_ do not converge for p >= 4. A step is
    one read of `A`: :math:`2 n d^2` flops, or twice the squares of the lengths of sparse rows. Of a dense `A`
    of rank 256 or more and condition up to 1e4 they are those of a matrix unit (:func:`nearlin.show_config`)
    where `tol` is 0.02 or more, which takes half the time: the residual is then known to 0.001.

    References
    ----------
    .. [1] M. Cohen, R. Peng, "l_p row sampling by Lewis weights", STOC 2015.
    .. [2] M. Fazel, Y. Lee, S. Padmanabhan, A. Sidford, "Computing Lewis weights to high precision", SODA
           2022.

    Examples
    --------
    >>> import numpy as np
    >>> import nearlin
    >>> A = np.vstack([np.eye(2), np.eye(2), [[0.0, 10.0]]])
    >>> nearlin.coreset.lewis_weights(A, 1.0, tol=1e-9).round(3)
    array([0.5  , 0.083, 0.5  , 0.083, 0.833])
    """
    matrix: Any = as_matrix(A)
    n, d = matrix.shape
    weights = as_sample_weight(sample_weight, n)
    check_bool(return_info, "return_info")
    tol = check_real(tol, "tol", above=0.0)
    with naming_columns(column_names(A)):
        found = _core.lewis_weights(
            without_ignored_entries(matrix, weights),
            sample_weight=weights,
            p=check_real(p, "p", at_least=1.0, at_most=LARGEST_POWER),
            tol=tol,
            max_iter=check_int(max_iter, "max_iter", at_least=1),
            threads=resolve_threads(n_jobs, 2.0 * n * d * d),
            progress=resolve_progress(progress),
        )
    if found["residual"] > tol:
        warn(
            f"Lewis weights are {found['residual']:.1e} from a fixed point after {found['n_passes']} steps, "
            f"not {tol:.1e}: raise max_iter or, where that changes nothing, tol, as rounding at the "
            "condition of A keeps it there",
            AccuracyWarning,
        )
    weights = found["weights"].astype(matrix.dtype, copy=False)
    info = LewisInfo(n_passes=found["n_passes"], residual=found["residual"], rank=found["rank"])
    return (weights, info) if return_info else weights
