"""Regression in the p-norm."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from numbers import Real
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from nearlin._certificate import Certificate
from nearlin._config import Progress
from nearlin._frames import column_names, naming_columns, string_names
from nearlin._listing import NotATuple, listing
from nearlin._log import tell
from nearlin._validation import (
    LARGEST,
    Float,
    as_matrix,
    as_seed,
    as_vector,
    check_choice,
    check_int,
    check_real,
    optional,
)
from nearlin.exceptions import InvalidInputError, ShapeError

from ._lp_on_sample import solve_on_sample
from ._lp_solve import METHODS, solve_lp
from ._sample_rows import RowSample

__all__ = ["LpResult", "as_levels", "as_power", "lp_regression"]

EPS = 0.01
"""Excess of a fit on a sample, unless the caller says otherwise."""

LARGEST_POWER = 1e6
"""Of a finite one: beyond, the p-norm of millions of rows is the largest residual to five digits."""


@dataclass(frozen=True, eq=False, repr=False)
class LpResult(NotATuple):
    """Answer of :func:`lp_regression`.

    Attributes
    ----------
    x : ndarray of shape (d,) or (d, k)
        Minimiser, in the dtype of ``A``; for k quantiles a column for each. Where ``A`` is rank-deficient
        it is one of many, without coefficients in directions that ``A`` does not see or, of sparse rows
        with few entries, with zeros for columns that others make.
    objective : float or ndarray of shape (k,)
        What was made least: the p-norm of b - A x, weighted, or the sum of weighted losses of a quantile.
    method : str
        "exact", "full" or "coreset", "newton" for 1 < p < inf, or "interior point" for p = inf.
    n_iter : int
        Iterations of all solvers together.
    n_kept : int or ndarray of shape (k,)
        Rows that the iterations were about: of ``"exact"``, the most that were not globbed, of ``"coreset"``
        those of the sample.
    rank : int
        Rank of ``A``.
    certificate : Certificate
        How far the objective is above its minimum at most, relative to it; the worst of all quantiles, with
        the estimates of all in ``details["excess"]``. Of ``"coreset"``, ``details["draws"]`` has the sizes
        of all samples that were tried.
    sample : RowSample or None
        The rows of ``"coreset"``.
    seconds : float
        Wall time.
    """

    x: Float
    objective: float | npt.NDArray[np.float64]
    method: str
    n_iter: int
    n_kept: int | npt.NDArray[np.int64]
    rank: int
    certificate: Certificate
    sample: RowSample | None = None
    seconds: float = field(default=0.0, repr=False)

    def explain(self) -> str:
        """Tell what ran, how long it took, and what the answer is worth.

        Returns
        -------
        str
            A few lines, to be printed.
        """
        import textwrap  # whose regular expressions take longer to compile than a small answer

        kept = ", ".join(f"{count:,}" for count in np.atleast_1d(self.n_kept))
        lines = [
            f"{self.method}: {self.n_iter} iterations on {kept} rows in {self.seconds:.3f} seconds",
            f"rank {self.rank}, objective {self.objective}",
            *textwrap.wrap(str(self.certificate), 80, subsequent_indent="  "),
        ]
        if "wrong_signs" in self.certificate.details:
            lines.append(
                f"rounds in which globbed rows had a wrong sign: {self.certificate.details['wrong_signs']}"
            )
        return "\n".join(lines)

    def __repr__(self) -> str:
        names = ("x", "objective", "method", "n_iter", "n_kept", "rank", "certificate")
        return listing({name: getattr(self, name) for name in names})


def lp_regression(
    A: object,
    b: object,
    *,
    p: float = 1.0,
    quantile: npt.ArrayLike | None = None,
    method: str = "auto",
    size: int | None = None,
    eps: float | None = None,
    tol: float | None = None,
    max_iter: int | None = None,
    sample_weight: object = None,
    rng: object = None,
    n_jobs: int | None = None,
    progress: bool | Progress = False,
) -> LpResult:
    r"""Minimise the p-norm of a residual, or the loss of a quantile, and prove how close it came.

    Minimises :math:`\left(\sum_i w_i |b_i - a_i^T x|^p\right)^{1/p}`, for :math:`p = \infty` the largest
    :math:`|b_i - a_i^T x|` of a row of positive weight, or :math:`\sum_i w_i \rho_q(b_i - a_i^T x)` with
    :math:`\rho_q(r) = q r` for r > 0 and :math:`(q - 1) r` for r < 0.

    Parameters
    ----------
    A : array_like or sparse matrix of shape (n, d)
        float32 or float64 in any memory layout, or SciPy CSR or CSC. Sparse rows with few entries stay
        sparse: in place of n d^2, time grows with the squares of their lengths. CSC is copied by rows for
        that, nothing else is copied. Other sparse rows are made dense a few at a time, as are all whose
        columns nearly depend on each other; those that do to rounding, as one-hot columns of several
        factors, are left out.
    b : array_like of shape (n,), or callable
        Targets, taken in the dtype of `A`. A callable is given numbers of rows, in increasing order, and
        returns their targets: it is called once, for the rows of a sample and no others, whose number
        `size` or `eps` tells: one of them is to be given.
    p : float, default=1.0
        From 1 to 1e6, or ``math.inf``.
    quantile : float or array_like of shape (k,), optional
        Levels between 0 and 1, with p = 1; one set of scores and one sample serve all of them. Each is a fit
        of its own, and those of near levels may cross: sort ``A @ x`` along its levels. None is the sum of
        magnitudes, whose minimisers are those of 0.5.
    method : {"auto", "exact", "full", "coreset"}, default="auto"
        - ``"full"``: all rows in every iteration: the primal-dual method of Frisch and Newton for p = 1
          [1]_, Newton's method for 1 < p < inf [2]_, an interior point method for p = inf.
        - ``"exact"``, for p = 1: the same answer from a fraction of the rows. Two fits of half a sample each,
          drawn by root leverage, tell where the fit is and how far from it the optimum may be; rows whose
          residuals surely have a sign are summed up in two, the rest is solved, and a read of all rows tells
          what the answer is worth and, where signs were wrong, how narrow a band around it will do [1]_.
          Levels share these reads. Where n is below about 200 d, or the band takes half of the rows, it is
          ``"full"``.
        - ``"coreset"``, for p <= 30: the fit of a sample of the rows, drawn by Lewis weights of `A` and `b`
          together, which a read of all rows, or a few, then measures. Not for p = inf, as any one row may
          have the largest residual.
        - ``"auto"``: ``"coreset"`` where `size` or `eps` is given or `b` is a callable, else ``"exact"``
          for p = 1 and ``"full"`` for others.
    size : int, optional
        Rows of the sample of ``"coreset"`` that are to be expected, at least the rank, of `A` with `b` where
        that is an array. A sample without any rows, and one for a callable whose rank is below that of `A`,
        is drawn again with twice as many, the latter with a warning.
    eps : float, optional
        Excess of the objective of ``"coreset"`` over its minimum, relative to the objective; 0.01 by default
        if there is no `size` and `b` is an array. It begins with `size` rows, or else with
        max(10 d, d / eps), for quantiles times 1 / (2 min(q, 1 - q)); twice as many are drawn, those of
        before among them, until all rows say that it is no more, or they are all drawn. With `size` and no
        `eps` there is one draw, and the certificate says how good it is.
    tol : float, optional
        Excess of the objective over its minimum, relative to it, that is accepted; 1e-9 by default, 1e-5 in
        single precision. For p = 1 answers are vertices, exact to rounding, unless residuals are tied.
    max_iter : int, optional
        Most iterations of one solver, 300 by default.
    sample_weight : array_like of shape (n,) or float, optional
        Weight of each row, none negative; a row of weight zero counts as absent.
    rng : None, int, numpy.random.Generator or what :func:`numpy.random.default_rng` takes, optional
        Source of the seed of the sample, which changes the answer by no more than rounding and ties.
    n_jobs : int, optional
        Number of threads; it does not change a bit of the answer.
    progress : bool or callable, default=False
        True for a tqdm bar, or a function that is called with (iterations done, most, figures).

    Returns
    -------
    LpResult
        Its field ``x`` is the answer, ``certificate`` what was measured about it.

    Raises
    ------
    InvalidInputError
        If an argument is out of its domain, has the wrong shape, or holds NaN or infinity.
    AllocationError
        If there is no memory for work space.

    Warns
    -----
    AccuracyWarning
        If the certificate, for a callable that of the fit of the sample, does not reach `tol`: `max_iter`
        came first, or rounding allows no more.

    See Also
    --------
    QuantileRegressor, LpRegressor : The same with an intercept, as estimators.
    HuberRegressor : Squares of small residuals, magnitudes of large ones.

    Notes
    -----
    Any y with A'y = 0 whose entries the loss allows (for p = 1, :math:`|y_i| \le w_i`; else
    :math:`\|y\|_q \le 1` with 1/p + 1/q = 1) proves that no objective is below y'b. For p = 1 such
    multipliers come with the solution of all rows, and beside that of a sample they are made by smoothing the
    loss where it turns, by as little as `eps` allows, and Newton's method on all rows [3]_; for 1 < p < inf
    what every weighted least squares leaves, times its weights, is such a y [2]_. Rounding in A'y is taken
    off the bound by the Gram matrix of A. So the certificate is a statement on all rows, whatever method
    found the answer, and never rests on a number of iterations.

    With a callable, rows are drawn by what is known, `A`. Nothing can then be certified for all rows, and the
    certificate has NaN; ``objective`` is that of the weighted sample. Where the noise does not depend on `A`
    the sample is nearly as good as one that knows `b`, for p <= 2 [4]_; for p > 2 one large residual that was
    not drawn may matter more than all others.

    Time: n d^2 operations for each Gram matrix; ``"full"`` takes about ten, ``"exact"`` one, a triangular
    product, and those of the rows that it keeps. Extra memory: eight numbers a row for ``"full"``, three
    for ``"exact"``, and the kept rows. ``"coreset"`` takes two to four reads for scores of a copy of `A`
    with `b`, and as many for the check; for p = 1 that has been measured to take one to five times as long
    as ``"exact"`` (2^18 and 2^20 rows of 20, 2^18 of 50), and is for targets that cost more than arithmetic,
    or for a sample that is to be used again.

    References
    ----------
    .. [1] S. Portnoy, R. Koenker, "The Gaussian hare and the Laplacian tortoise: computability of
           squared-error versus absolute-error estimators", Statistical Science 12 (1997).
    .. [2] D. Adil, R. Peng, S. Sachdeva, "Fast, provably convergent IRLS algorithm for p-norm linear
           regression", NeurIPS 2019.
    .. [3] K. Madsen, H. B. Nielsen, "A finite smoothing algorithm for linear l1 estimation", SIAM J.
           Optimization 3 (1993).
    .. [4] C. Musco, C. Musco, D. Woodruff, T. Yasuda, "Active linear regression for lp norms and beyond",
           FOCS 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from nearlin import lp_regression
    >>> rng = np.random.default_rng(0)
    >>> A = rng.standard_normal((5000, 3))
    >>> b = A @ [1.0, 2.0, 3.0] + rng.standard_cauchy(5000)
    >>> found = lp_regression(A, b, rng=0)
    >>> found.x.round(1)
    array([1., 2., 3.])
    >>> found.certificate.met
    True

    To one percent, on a sample:

    >>> found = lp_regression(A, b, eps=0.01, rng=0)
    >>> len(found.sample) < 2000, found.certificate.bound <= 0.01
    (True, True)

    Where targets cost money, `b` is what they are bought by, and is asked for those of the sample alone:

    >>> bought = []
    >>> def buy(rows):
    ...     bought.extend(rows.tolist())
    ...     return b[rows]
    >>> found = lp_regression(A, buy, size=300, rng=0)
    >>> found.x.round(0), 240 < len(bought) < 360
    (array([1., 2., 3.]), True)
    """
    begin = perf_counter()
    power = as_power(p)
    levels, is_vector = as_levels(quantile, power)
    matrix = as_matrix(A)
    is_asked = callable(b) and not hasattr(b, "__array__")
    target: Any = b if is_asked else as_vector(b, "b", length=matrix.shape[0], dtype=matrix.dtype)
    used = _method(method, is_asked, size, eps)
    options: dict[str, Any] = {
        "p": power,
        "levels": levels,
        "tol": optional(check_real, tol, "tol", above=0.0),
        "max_iter": max_iter,
        "sample_weight": sample_weight,
        "seed": as_seed(rng),
        "n_jobs": n_jobs,
        "progress": progress,
    }
    sample = None
    with naming_columns(column_names(A)):
        if used == "coreset":
            size = optional(check_int, size, "size", at_least=1, at_most=LARGEST)
            eps = optional(check_real, eps, "eps", above=0.0)
            if size is None and eps is None:
                if is_asked:
                    raise InvalidInputError(
                        "is not given, expected the number of targets that may be asked for, or eps",
                        argument="size",
                    )
                eps = EPS
            solutions, certificate, sample = solve_on_sample(
                matrix, target, size=size, eps=eps, feature_names=string_names(A), **options
            )
        else:
            solutions, certificate, used = solve_lp(matrix, target, method=used, **options)
    x = np.stack([solution["x"] for solution in solutions], axis=1).astype(matrix.dtype, copy=False)
    objective = np.array([solution["objective"] for solution in solutions])
    kept = np.array([solution["kept"] for solution in solutions], dtype=np.int64)
    result = LpResult(
        x=x if is_vector else x[:, 0],
        objective=objective if is_vector else float(objective[0]),
        method=used,
        n_iter=sum(solution["n_iter"] for solution in solutions),
        n_kept=kept if is_vector else int(kept[0]),
        rank=solutions[0]["rank"],
        certificate=certificate,
        sample=sample,
        seconds=perf_counter() - begin,
    )
    tell("lp_regression", result.explain)
    return result


def _method(method: object, is_asked: bool, size: object, eps: object) -> str:
    """Return what is to be done."""
    checked = check_choice(method, "method", (*METHODS, "coreset"))
    for name, given in [("size", size), ("eps", eps)]:
        if given is not None and checked not in ("auto", "coreset"):
            raise InvalidInputError(f"is given with method={checked!r}, expected 'coreset'", argument=name)
    if is_asked and checked not in ("auto", "coreset"):
        raise InvalidInputError(f"is {checked!r} with a callable `b`, expected 'coreset'", argument="method")
    is_sampled = is_asked or size is not None or eps is not None
    return "coreset" if checked == "auto" and is_sampled else checked


def as_power(p: object, name: str = "p") -> float:
    """Return a power from 1 on, infinity among them."""
    if isinstance(p, Real) and p == math.inf:
        return math.inf
    return check_real(p, name, at_least=1.0, at_most=LARGEST_POWER)


def as_levels(quantile: object, p: float = 1.0, name: str = "quantile") -> tuple[list[float] | None, bool]:
    """Return levels between 0 and 1, and whether they were a vector; None stays None."""
    if quantile is None:
        return None, False
    if p != 1.0:
        raise InvalidInputError(f"is {p}, expected 1.0 with a quantile", argument="p")
    if isinstance(quantile, Real) or getattr(quantile, "shape", None) == ():
        return [check_real(quantile, name, above=0.0, below=1.0)], False
    levels = as_vector(quantile, name)
    if not len(levels):
        raise ShapeError("has length 0, expected at least one level", argument=name)
    return [check_real(float(level), name, above=0.0, below=1.0) for level in levels], True
