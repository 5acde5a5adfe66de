"""Regression in the p-norm."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from numbers import Real
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from nearlin import _core
from nearlin._certificate import Certificate
from nearlin._config import Progress, resolve_progress, resolve_threads
from nearlin._frames import column_names, naming_columns
from nearlin._listing import NotATuple, listing
from nearlin._validation import (
    Float,
    Matrix,
    as_matrix,
    as_sample_weight,
    as_seed,
    as_vector,
    check_choice,
    check_int,
    check_real,
    optional,
)
from nearlin.exceptions import InvalidInputError, ShapeError

from ._excess import TOLERANCES, excess_certificate, solver_tolerance, warn_of_excess

__all__ = ["METHODS", "LpResult", "as_levels", "as_power", "lp_regression", "solve_lp"]

METHODS = ("auto", "exact", "full")
MOST_ITERATIONS = 300

LARGEST_POWER = 1e6
"""Of a finite one: beyond, the p-norm of millions of rows is the largest residual to five digits."""


@dataclass(frozen=True, eq=False, repr=False)
class LpResult(NotATuple):
    """Answer of :func:`lp_regression`.

    Attributes
    ----------
    x : ndarray of shape (d,) or (d, k)
        Minimiser, in the dtype of ``A``; for k quantiles a column for each. Where ``A`` is rank-deficient
        it is one of many, without coefficients in directions that ``A`` does not see.
    objective : float or ndarray of shape (k,)
        What was made least: the p-norm of b - A x, weighted, or the sum of weighted losses of a quantile.
    method : str
        "exact", "full", "newton" for 1 < p < inf, or "interior point" for p = inf.
    n_iter : int
        Iterations of all solvers together.
    n_kept : int or ndarray of shape (k,)
        Rows that the iterations were about: of ``"exact"``, those that were not globbed.
    rank : int
        Rank of ``A``.
    certificate : Certificate
        How far the objective is above its minimum at most, relative to it; the worst of all quantiles, with
        the estimates of all in ``details["excess"]``.
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
        float32 or float64 in any memory layout, or SciPy CSR or CSC, none of which is copied. Sparse rows are
        made dense a few at a time: time grows with n d^2.
    b : array_like of shape (n,)
        Targets, taken in the dtype of `A`.
    p : float, default=1.0
        From 1 to 1e6, or ``math.inf``.
    quantile : float or array_like of shape (k,), optional
        Levels between 0 and 1, with p = 1; one set of scores and one sample serve all of them. None is the
        sum of magnitudes, whose minimisers are those of 0.5.
    method : {"auto", "exact", "full"}, default="auto"
        For p = 1 and quantiles. Other powers have one method each and take ``"auto"``.

        - ``"full"``: the primal-dual method of Frisch and Newton on all rows [1]_.
        - ``"exact"``: the same answer from a fraction of the rows. Two fits of half a sample each, drawn
          by root leverage, tell where the fit is and how far from it the optimum may be; rows whose residuals
          surely have a sign are summed up in two, the rest is solved, and a read of all rows tells what the
          answer is worth and which signs were wrong, if any [1]_. Where n is below about 64 d, or the band
          takes half of the rows, it is ``"full"``.
        - ``"auto"``: ``"exact"``.
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
        If the certificate does not reach `tol`: `max_iter` came first, or p is so close to 1 that Newton's
        method crawls.

    See Also
    --------
    QuantileRegressor, LpRegressor : The same with an intercept, as estimators.
    HuberRegressor : Squares of small residuals, magnitudes of large ones.

    Notes
    -----
    Any y with A'y = 0 whose entries the loss allows (for p = 1, :math:`|y_i| \le w_i`; else
    :math:`\|y\|_q \le 1` with 1/p + 1/q = 1) proves that no objective is below y'b. For p = 1 such
    multipliers come with the solution; for 1 < p < inf what every weighted least squares leaves, times its
    weights, is such a y [2]_. Rounding in A'y is taken off the bound by the Gram matrix of A. So the
    certificate is a statement on all rows, whatever method found the answer, and never rests on a number of
    iterations.

    Time: n d^2 operations for each Gram matrix; ``"full"`` takes about ten, ``"exact"`` one, a triangular
    product, and those of the rows that it keeps. Extra memory: eight numbers a row for ``"full"``, three
    for ``"exact"``, and the kept rows.

    References
    ----------
    .. [1] S. Portnoy, R. Koenker, "The Gaussian hare and the Laplacian tortoise: computability of
           squared-error versus absolute-error estimators", Statistical Science 12 (1997).
    .. [2] D. Adil, R. Peng, S. Sachdeva, "Fast, provably convergent IRLS algorithm for p-norm linear
           regression", NeurIPS 2019.

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
    """
    begin = perf_counter()
    power = as_power(p)
    levels, is_vector = as_levels(quantile, power)
    check_choice(method, "method", METHODS)
    matrix = as_matrix(A)
    target = as_vector(b, "b", length=matrix.shape[0], dtype=matrix.dtype)
    with naming_columns(column_names(A)):
        solutions, certificate, used = solve_lp(
            matrix,
            target,
            p=power,
            levels=levels,
            method=method,
            tol=tol,
            max_iter=max_iter,
            sample_weight=sample_weight,
            seed=as_seed(rng),
            n_jobs=n_jobs,
            progress=progress,
        )
    x = np.stack([solution["x"] for solution in solutions], axis=1).astype(matrix.dtype, copy=False)
    objective = np.array([solution["objective"] for solution in solutions])
    kept = np.array([solution["kept"] for solution in solutions], dtype=np.int64)
    return LpResult(
        x=x if is_vector else x[:, 0],
        objective=objective if is_vector else float(objective[0]),
        method=used,
        n_iter=sum(solution["n_iter"] for solution in solutions),
        n_kept=kept if is_vector else int(kept[0]),
        rank=solutions[0]["rank"],
        certificate=certificate,
        seconds=perf_counter() - begin,
    )


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


def solve_lp(
    A: Matrix,
    b: Float,
    *,
    p: float,
    levels: list[float] | None,
    method: str = "auto",
    tol: float | None = None,
    max_iter: int | None = None,
    sample_weight: object = None,
    fit_intercept: bool = False,
    penalty: float = 0.0,
    seed: int = 0,
    n_jobs: int | None = None,
    progress: bool | Progress = False,
) -> tuple[list[_core.LpSolution], Certificate, str]:
    """Call the core on arrays that are checked already; the answers, what they are worth, and the method."""
    n, d = A.shape
    target = TOLERANCES[np.dtype(A.dtype)] if tol is None else check_real(tol, "tol", above=0.0)
    shared: dict[str, Any] = {
        "tol": solver_tolerance(target),
        "max_iter": optional(check_int, max_iter, "max_iter", at_least=1) or MOST_ITERATIONS,
        "sample_weight": as_sample_weight(sample_weight, n),
        "fit_intercept": fit_intercept,
        "threads": resolve_threads(n_jobs, 4 * n * d * d),
        "progress": resolve_progress(progress),
    }
    if p == 1.0:
        solutions = _core.quantile_regression(
            A,
            b,
            levels=[0.5] if levels is None else levels,
            method="full" if method == "full" else "exact",
            seed=seed,
            penalty=penalty,
            **shared,
        )
        if levels is None:
            for solution in solutions:  # half the magnitude on either side
                solution["objective"] *= 2.0
                solution["gap"] *= 2.0
                solution["rounding"] *= 2.0
        is_globbed = any(solution["kept"] < n for solution in solutions)
        used = "exact" if is_globbed else "full"
        details = {"wrong_signs": sum(solution["rounds"] for solution in solutions)} if is_globbed else {}
    else:
        if method != "auto":
            raise InvalidInputError(f"is {method!r}, expected 'auto' with p = {p}", argument="method")
        solutions = [_core.p_norm_regression(A, b, p=p, **shared)]
        used, details = ("newton" if math.isfinite(p) else "interior point"), {}
    certificate = excess_certificate(solutions, np.dtype(A.dtype), target, details)
    warn_of_excess(certificate)
    return solutions, certificate, used
