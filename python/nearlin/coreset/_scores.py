"""Leverage scores and powers of them."""

from __future__ import annotations

from typing import Any

from nearlin import _core
from nearlin._config import Progress, resolve_progress, resolve_threads
from nearlin._frames import column_names, naming_columns
from nearlin._sparse import without_ignored_entries
from nearlin._validation import Float, as_matrix, as_sample_weight, as_seed, check_real, optional

__all__ = ["leverage_scores", "root_leverage_scores"]


def leverage_scores(
    A: object,
    *,
    ridge: float = 0.0,
    eps: float | None = None,
    sample_weight: object = None,
    rng: object = None,
    n_jobs: int | None = None,
    progress: bool | Progress = False,
) -> Float:
    r"""Return the leverage score :math:`a_i^T (A^T A + \lambda I)^+ a_i` of every row of `A`.

    That is the diagonal of the projection onto the columns, "hat values" in statistics: the largest share
    that a row can have in :math:`\|A x\|^2`. Without a ridge scores lie between 0 and 1 and add up to the
    rank.

    Parameters
    ----------
    A : array_like or sparse matrix of shape (n, d)
        Never made dense; CSC is copied to CSR.
    ridge : float, default=0.0
        :math:`\lambda`. The sum of the scores is then the effective dimension.
    eps : float, optional
        Relative error below 1 that every score may have, all of them with probability 0.99, for squares of
        norms in :math:`4 \log(200 n) / (\varepsilon^2 - 2 \varepsilon^3 / 3)` random directions. Exact scores
        by default, and where that is more than the rank.
    sample_weight : array_like of shape (n,), optional
        Rows count so many times: scores of rows multiplied by the roots.
    rng : None, int, numpy.random.Generator or what :func:`numpy.random.default_rng` takes, optional
        Source of the random numbers, for `eps`.
    n_jobs : int, optional
        Number of threads. None means the setting of :func:`nearlin.set_config`. It never changes a bit.
    progress : bool or callable, default=False
        True shows a bar, a callable is called with (reads done, reads, figures).

    Returns
    -------
    ndarray of shape (n,)
        In the precision of `A`.

    Raises
    ------
    InvalidInputError
        If an entry is not finite, or all of them are zero.

    Notes
    -----
    The triangle of :math:`A^T A` whitens the rows, whose norms are the scores: :math:`2 n d^2` flops in two
    reads of a dense matrix, the squares of the lengths of the rows of a sparse one, and memory for
    :math:`d^2` numbers. The condition k of the columns, in units of their norms, costs :math:`k^2` roundoffs
    of a score; from 1e4 on a third read makes that k roundoffs, from 1e7 on after the triangle of a sketch,
    or where the rank is in doubt after QR and a singular value decomposition. Directions below about 4e-15 of
    the largest (2e-7 in single precision) count as zero. Of fewer rows than columns QR of :math:`A^T` leaves
    a matrix of n columns at most: :math:`2 n^2 d` flops, and memory for :math:`n^2` numbers beside a sparse
    matrix in its other order.

    References
    ----------
    .. [1] P. Drineas, M. Magdon-Ismail, M. Mahoney, D. Woodruff, "Fast approximation of matrix coherence and
           statistical leverage", JMLR 13 (2012).

    Examples
    --------
    >>> import numpy as np
    >>> import nearlin
    >>> A = np.vstack([np.eye(2), np.eye(2), [[0.0, 10.0]]])
    >>> nearlin.coreset.leverage_scores(A).round(2)
    array([0.5 , 0.01, 0.5 , 0.01, 0.98])
    """
    return _scores(A, 2.0, ridge, eps, sample_weight, rng, n_jobs, progress)


def root_leverage_scores(
    A: object,
    p: float,
    *,
    sample_weight: object = None,
    n_jobs: int | None = None,
    progress: bool | Progress = False,
) -> Float:
    r"""Return leverage scores to the power p/2: scores for sums of p-th powers that cost no more than for
    squares.

    Parameters
    ----------
    A : array_like or sparse matrix of shape (n, d)
        The rows.
    p : float
        Between 1 and 2.
    sample_weight : array_like of shape (n,), optional
        Rows count so many times: scores of rows multiplied by the p-th roots.
    n_jobs : int, optional
        Number of threads. None means the setting of :func:`nearlin.set_config`. It never changes a bit.
    progress : bool or callable, default=False
        True shows a bar, a callable is called with (reads done, reads, figures).

    Returns
    -------
    ndarray of shape (n,)
        In the precision of `A`. Up to a factor the first step of :func:`lewis_weights`. They add up to
        :math:`n^{1 - p/2} r^{p/2}` at most for rank r.

    Raises
    ------
    InvalidInputError
        If an entry is not finite, or all of them are zero.

    Notes
    -----
    As :func:`leverage_scores`. For p > 2 powers of leverages tell nothing of :math:`\|A x\|_p`: take
    :func:`lewis_weights`.

    Examples
    --------
    >>> import numpy as np
    >>> import nearlin
    >>> A = np.vstack([np.eye(2), np.eye(2), [[0.0, 10.0]]])
    >>> nearlin.coreset.root_leverage_scores(A, 1.0).round(3)
    array([0.707, 0.099, 0.707, 0.099, 0.99 ])
    """
    p = check_real(p, "p", at_least=1.0, at_most=2.0)
    return _scores(A, p, 0.0, None, sample_weight, 0, n_jobs, progress)


def _scores(
    A: object,
    p: float,
    ridge: float,
    eps: float | None,
    sample_weight: object,
    rng: object,
    n_jobs: int | None,
    progress: bool | Progress,
) -> Float:
    matrix: Any = as_matrix(A)
    n, d = matrix.shape
    weights = as_sample_weight(sample_weight, n)
    with naming_columns(column_names(A)):
        scores, _ = _core.leverage_scores(
            without_ignored_entries(matrix, weights),
            sample_weight=weights,
            p=p,
            ridge=check_real(ridge, "ridge", at_least=0.0),
            eps=optional(check_real, eps, "eps", above=0.0, below=1.0),
            seed=as_seed(rng) if eps is not None else 0,
            threads=resolve_threads(n_jobs, 2.0 * n * d * d),
            progress=resolve_progress(progress),
        )
    return scores.astype(matrix.dtype, copy=False)
