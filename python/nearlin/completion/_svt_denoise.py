"""A matrix without its small singular values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nearlin import _core
from nearlin._listing import listing
from nearlin._sparse import is_sparse
from nearlin._validation import Float, as_matrix, check_choice, check_real, optional
from nearlin.exceptions import InvalidInputError, InvalidTypeError, NonFiniteError

__all__ = ["SVTResult", "svt_denoise"]


@dataclass(frozen=True, eq=False, repr=False)
class SVTResult:
    """What :func:`svt_denoise` returns.

    Parameters
    ----------
    matrix : ndarray of shape (m, n)
        The matrix; float32 for a float32 one.
    rank : int
        Number of singular values that are left.
    tau : float
        The threshold.
    singular_values : ndarray of float64 of shape (min(m, n),)
        Those of the matrix to which the threshold was applied, descending.
    """

    matrix: Float
    rank: int
    tau: float
    singular_values: npt.NDArray[np.float64]

    def __repr__(self) -> str:
        figures = {"matrix": self.matrix, "rank": self.rank, "tau": self.tau}
        return listing({**figures, "singular_values": self.singular_values})


def svt_denoise(
    X: object, tau: float | None = None, *, kind: str = "hard", sigma: float | None = None
) -> SVTResult:
    r"""Take noise off a matrix by a threshold for its singular values.

    Parameters
    ----------
    X : array_like of shape (m, n)
        The matrix, NaN where an entry is missing.
    tau : float, optional
        The threshold. By default the one with the smallest error in the worst case [1]_, with :math:`n` the
        larger side and :math:`\beta` the smaller one over it: :math:`4/\sqrt3 \sqrt n \sigma` of a square
        matrix, more of others, or :math:`(1 + \sqrt\beta) \sqrt n \sigma` if it is soft. For distances
        between individuals, and whatever else wants the guarantee of [2]_ where a share p of the entries is
        there, :math:`2.1 \sqrt{n p}` times half their range.
    kind : {"hard", "soft"}, default="hard"
        Whether singular values above the threshold stay, or are made smaller by it.
    sigma : float, optional
        Standard deviation of the noise of an entry. By default that of the median singular value, which takes
        for granted that far more than half of the singular values are those of noise: of a matrix without
        noise, or of hardly smaller rank than order, that leaves nothing but a few of the largest.

    Returns
    -------
    SVTResult
        The matrix, its rank, the threshold and the singular values. Where only a share p of the entries is
        there, what is thresholded is the matrix less their mean, zeros for what is missing, and the result is
        divided by p and cut to the range of the entries. What gaps take counts as noise, of variance
        :math:`p \sigma^2` and p (1 - p) times the mean square of the matrix; gaps are to be at random.

    Raises
    ------
    InvalidInputError
        If there are no entries, or one row or column and neither `tau` nor `sigma`.

    See Also
    --------
    nearlin.SoftImpute : Many missing entries, by the convex problem.

    Notes
    -----
    All singular values are computed: :math:`O(m n \min(m, n))`.

    References
    ----------
    .. [1] M. Gavish, D. L. Donoho, "The optimal hard threshold for singular values is 4/sqrt(3)", IEEE Trans.
           Inf. Theory 60 (2014).
    .. [2] S. Chatterjee, "Matrix estimation by universal singular value thresholding", Ann. Stat. 43 (2015);
           for distances between individuals: Zhang, Cen, Shah, "Matrix estimation for individual fairness",
           ICML 2023.

    Examples
    --------
    >>> import numpy as np
    >>> import nearlin
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.standard_normal((100, 2)) @ rng.standard_normal((2, 80))
    >>> noisy = truth + 0.3 * rng.standard_normal(truth.shape)
    >>> result = nearlin.svt_denoise(noisy)
    >>> result.rank, bool(np.std(result.matrix - truth) < 0.1)
    (2, True)
    """
    if is_sparse(X):
        raise InvalidTypeError("is sparse, expected a dense array; use its toarray()", argument="X")
    matrix = as_matrix(X, "X")
    if is_sparse(matrix):
        raise InvalidTypeError("is a frame of sparse columns, expected dense ones", argument="X")
    check_choice(kind, "kind", ("hard", "soft"))
    missing = np.isnan(matrix)
    if missing.all():
        raise InvalidInputError("has no entries but missing ones, expected at least one", argument="X")
    if np.isinf(matrix).any():
        position = [int(i) for i in np.argwhere(np.isinf(matrix))[0]]
        raise NonFiniteError(f"contains infinity at {position}; every entry must be finite", argument="X")
    noise = optional(check_real, sigma, "sigma", at_least=0.0)
    if min(matrix.shape) == 1 and tau is None and noise is None:
        raise InvalidInputError(
            "has one row or column, whose only singular value does not tell what of it is noise: expected "
            "`sigma` or `tau` beside it",
            argument="X",
        )
    found: Any = _core.svt_denoise(
        np.asarray(matrix, dtype=np.float64),
        threshold=optional(check_real, tau, "tau", at_least=0.0),
        noise=noise,
        soft=kind == "soft",
        single=matrix.dtype == np.float32,
    )
    denoised, threshold, values, rank = found
    return SVTResult(np.ascontiguousarray(denoised), rank, threshold, values)
