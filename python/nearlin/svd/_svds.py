"""The largest singular values of a matrix, and their vectors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from nearlin import _core
from nearlin._certificate import Certificate
from nearlin._config import Progress, resolve_progress, resolve_threads
from nearlin._listing import listing
from nearlin._log import tell
from nearlin._operator import Operator, is_operator
from nearlin._validation import (
    Float,
    Matrix,
    as_matrix,
    as_seed,
    as_vector,
    check_choice,
    check_finite,
    check_int,
    check_real,
    optional,
)
from nearlin._warn import warn
from nearlin.exceptions import AccuracyWarning, InvalidInputError, ShapeError

__all__ = ["SVDResult", "svds"]

TOLERANCES = {np.dtype(np.float64): 1e-10, np.dtype(np.float32): 1e-5}
"""Residuals that leave the singular values exact to rounding, as their errors are squares of them."""

LEAST_RESIDUAL = 1e-14
"""Beside the largest singular value: what rounding leaves of any triplet."""

MOST_BLOCKS = 1000
"""Blocks of products, a few vectors each, after which a spectrum is taken for one that does not fall."""


@dataclass(frozen=True, eq=False, repr=False)
class SVDResult:
    """Singular values and vectors, and what was measured of them. Unpacks as ``U, s, Vt``.

    Attributes
    ----------
    U : ndarray of shape (n, k)
        Left singular vectors, orthonormal columns.
    s : ndarray of shape (k,)
        Singular values, the largest first.
    Vt : ndarray of shape (k, d)
        Right singular vectors, orthonormal rows. The largest entry of each is positive.
    n_iter : int
        Blocks of vectors that ``A`` and its transpose were multiplied with.
    solver : str
        "lanczos", "randomized", or "direct" where ``A`` has so few rows or columns that all of it was
        decomposed.
    certificate : Certificate
        What the triplets leave of ``A``: ``|A - U S V'|_F / |A|_F``. ``details`` has the residuals of every
        triplet.
    n_products : int
        Vectors that ``A`` was multiplied with, and its transpose.
    seconds : float
        Wall time.
    """

    U: Float
    s: Float
    Vt: Float
    n_iter: int
    solver: str
    certificate: Certificate
    n_products: int = field(default=0)
    seconds: float = field(default=0.0)

    def __iter__(self) -> Iterator[Float]:
        return iter((self.U, self.s, self.Vt))

    def explain(self) -> str:
        """Tell what ran, how long it took, and how good the triplets are.

        Returns
        -------
        str
            A few lines, to be printed.
        """
        import textwrap  # whose regular expressions take longer to compile than a small answer

        details = self.certificate.details
        lines = [
            f"{self.solver}: {len(self.s)} triplets by {self.n_products} products with A and as many with "
            f"its transpose, in {self.n_iter} block{'s' * (self.n_iter != 1)} and {self.seconds:.3f} seconds",
            f"largest residual {details['largest_residual']:.1e} s_1, asked for {details['tol']:.1e}",
            *textwrap.wrap(str(self.certificate), 80, subsequent_indent="  "),
        ]
        if "captured" in details:
            lines.append(f"share of |A|_F^2 that is captured: {details['captured']:.4f}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        figures = {"U": self.U, "s": self.s, "Vt": self.Vt, "n_iter": self.n_iter, "solver": self.solver}
        return listing({**figures, "certificate": self.certificate})


def svds(
    A: object,
    k: int,
    *,
    which: str = "LM",
    tol: float | None = None,
    max_iter: int | None = None,
    v0: object = None,
    solver: str = "auto",
    rng: object = None,
    n_jobs: int | None = None,
    progress: bool | Progress = False,
) -> SVDResult:
    r"""Compute the `k` largest singular values, the largest first (SciPy has them last), and their vectors.

    Parameters
    ----------
    A : array_like, sparse matrix or linear operator of shape (n, d)
        Never made dense, and never copied where it is float32 or float64 already. An operator has ``shape``,
        ``matvec`` and ``rmatvec``; ``matmat`` and ``rmatmat`` are used where they are there.
    k : int
        Number of triplets, from 1 to ``min(n, d)``.
    which : {"LM"}, default="LM"
        The largest. The smallest of a matrix are of full rank computations: take ``numpy.linalg.svd``.
    tol : float, optional
        Largest residual :math:`\max(\|A v - s u\|, \|A^T u - s v\|) / s_1` that is accepted of a triplet. By
        default 1e-10, or 1e-5 in single precision: errors of singular values are squares of that.
    max_iter : int, optional
        Most blocks of vectors that are multiplied, 1000 by default. What has been found by then comes back
        with an :class:`~nearlin.exceptions.AccuracyWarning`.
    v0 : array_like of shape (d,) or (n,), optional
        A vector to start from, a right or a left one; random numbers by default.
    solver : {"auto", "lanczos", "randomized"}, default="auto"
        - ``"lanczos"``: the fewest products. Two vectors at once with :math:`A^T A`, made orthogonal to all
          before up to eight at a time [4]_; blocks of up to eight, restarted from Ritz vectors [1]_ [2]_,
          where `A` is a dense array, singular values span more than three digits, `tol` is below 1e-12 or a
          value is there many times.
        - ``"randomized"``: block Krylov, of ten more vectors than triplets [3]_: the fewest products one
          after the other, for operators that multiply many vectors as fast as one.
        - ``"auto"``: the former.

        Where `A` has no more rows or columns than either would keep, all of it is decomposed instead.
    rng : None, int, numpy.random.Generator or what :func:`numpy.random.default_rng` takes, optional
        Source of the random numbers.
    n_jobs : int, optional
        Number of threads. None means the setting of :func:`nearlin.set_config`. It never changes a bit.
    progress : bool or callable, default=False
        True shows a bar, a callable is called with (blocks done, most, figures).

    Returns
    -------
    SVDResult
        ``U``, ``s``, ``Vt`` and the certificate; ``U, s, Vt = svds(A, k)`` takes the three.

    Raises
    ------
    InvalidInputError
        If `k` is out of range or an entry of `A` is not finite.

    Warns
    -----
    AccuracyWarning
        If a residual is above `tol` in the end: `max_iter` came first, or `A` is an operator whose
        ``rmatvec`` is not the adjoint of its ``matvec``.

    Notes
    -----
    Bases stay orthonormal to rounding. Products with a block show a singular value as often as the block has
    vectors. Once the triplets have converged, products with random vectors at right angles to them look for
    one that was missed: they find it unless its neighbours are close. Two vectors need not look unless
    they show a value twice; where they have missed some two times, larger blocks start anew.

    Memory is :math:`(n + d)(2 k + 80)` numbers about, whatever `A` has. Time is that of the products, and of
    some reads of the bases.

    References
    ----------
    .. [1] G. Golub, W. Kahan, "Calculating the singular values and pseudo-inverse of a matrix", SIAM J.
           Numer. Anal. 2 (1965).
    .. [2] J. Baglama, L. Reichel, "Augmented implicitly restarted Lanczos bidiagonalization methods",
           SIAM J. Sci. Comput. 27 (2005).
    .. [3] C. Musco, C. Musco, "Randomized block Krylov methods for stronger and faster approximate
           singular value decomposition", NeurIPS 2015.
    .. [4] H. Simon, "The Lanczos algorithm with partial reorthogonalization", Math. Comp. 42 (1984).

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> import nearlin
    >>> A = sp.random_array((2000, 500), density=0.01, rng=0)
    >>> U, s, Vt = nearlin.svds(A, 3, rng=0)
    >>> U.shape, Vt.shape
    ((2000, 3), (3, 500))
    >>> bool(abs(A @ Vt.T - U * s).max() < 1e-9)
    True
    """
    check_choice(which, "which", ("LM",))
    check_choice(solver, "solver", ("auto", "lanczos", "randomized"))
    matrix: Matrix = Operator(A) if is_operator(A) else as_matrix(A)
    n, d = matrix.shape
    if min(n, d) == 0:
        raise ShapeError(f"has shape {(n, d)}, expected at least one row and one column", argument="A")
    k = check_int(k, "k", at_least=1)
    if k > min(n, d):
        raise InvalidInputError(f"is {k}, expected at most min(n, d) = {min(n, d)}", argument="k")
    dtype = np.dtype(matrix.dtype)
    tolerance = TOLERANCES[dtype] if tol is None else check_real(tol, "tol", at_least=0.0)
    begin = perf_counter()
    found = _core.svds(
        matrix,
        k,
        solver=solver,
        tol=max(tolerance, LEAST_RESIDUAL),
        max_iter=optional(check_int, max_iter, "max_iter", at_least=1) or MOST_BLOCKS,
        seed=as_seed(rng),
        start=None if v0 is None else _start(matrix, v0),
        threads=resolve_threads(n_jobs, n * d * k),
        progress=resolve_progress(progress),
    )
    seconds = perf_counter() - begin
    s = _as_dtype(found["s"], dtype)
    certificate = _certificate(found, dtype, tolerance, isinstance(matrix, Operator))
    if not certificate.details["largest_residual"] <= max(tolerance, LEAST_RESIDUAL):
        warn(
            f"residuals are {certificate.details['largest_residual']:.1e} s_1 after {found['n_iter']} blocks "
            f"of products, not {tolerance:.1e}: raise max_iter, or take more triplets than you need"
            + isinstance(matrix, Operator)
            * "; or rmatvec is not the adjoint of matvec",
            AccuracyWarning,
        )
    result = SVDResult(
        U=found["u"].astype(dtype, copy=False),
        s=s,
        Vt=found["v"].T.astype(dtype, copy=False),
        n_iter=found["n_iter"],
        solver=found["solver"],
        certificate=certificate,
        n_products=found["n_products"],
        seconds=seconds,
    )
    tell("svds", result.explain)
    return result


def _start(matrix: Any, v0: object) -> npt.NDArray[np.float64]:
    """Return a right vector from a right or a left one."""
    n, d = matrix.shape
    start = as_vector(v0, "v0").astype(np.float64, copy=False)
    check_finite(start, "v0")
    if len(start) not in (n, d):
        raise ShapeError(f"has length {len(start)}, expected {d} or {n}", argument="v0")
    if len(start) == d:
        return start
    if isinstance(matrix, Operator):
        return np.ascontiguousarray(matrix.transposed_product(start[:, np.newaxis])[:, 0], dtype=np.float64)
    return np.asarray(matrix.T @ start, dtype=np.float64)


def _as_dtype(s: npt.NDArray[np.float64], dtype: np.dtype[Any]) -> Float:
    """Return singular values in the precision of the matrix."""
    if s[0] > np.finfo(dtype).max:
        raise InvalidInputError(
            f"has a singular value of {s[0]:.1e}, which is beyond {dtype.name}, expected float64",
            argument="A",
        )
    return s.astype(dtype, copy=False)


def _certificate(
    found: _core.SVDSolution, dtype: np.dtype[Any], tol: float, is_operator: bool
) -> Certificate:
    """Return what the triplets leave of A, from |A|_F and what was measured of them."""
    s, residuals = found["s"], np.array(found["residuals"])
    largest = float(residuals.max())
    details: dict[str, Any] = {
        "largest_residual": largest / float(s[0]) if s[0] > 0.0 else largest,
        "tol": tol,
        "residuals": residuals.max(axis=1).tolist(),
        "singular_value_bounds": (np.hypot(*residuals.T) * math.sqrt(0.5)).tolist(),
        "orthogonality": found["orthogonality"],
    }
    quantity, energy = "|A - U S V'|_F / |A|_F", found["energy"]
    if energy is None or not energy > 0.0:
        why = (
            "of a linear operator |A|_F is not known"
            if is_operator
            else "squares of its entries are out of range"
        )
        is_zero = energy == 0.0 and not s.any()
        why = "A is zero" if is_zero else why
        return Certificate(
            quantity=quantity,
            estimate=0.0 if is_zero else math.nan,
            bound=math.nan,
            confidence=None,
            measured="not measured",
            note=f"{why}; the residuals are measured",
            details=details,
        )
    share = float(s @ s) / energy
    details["captured"] = share
    # With A V = U S + R: |A|^2 - |S|^2 - 2 sum of s u'R, and what orthonormality to rounding leaves.
    slack = 2.0 * float(s @ residuals.min(axis=1)) / energy
    slack += share * (4.0 * found["orthogonality"] + 2.0 * len(s) * found["orthogonality"] ** 2)
    rounding = 16.0 * float(np.finfo(np.float64).eps)
    of_dtype = 0.0 if dtype == np.float64 else 2.0 * math.sqrt(share) * float(np.finfo(dtype).eps)
    return Certificate(
        quantity=quantity,
        estimate=math.sqrt(max(1.0 - share, 0.0)),
        bound=math.sqrt(max(1.0 - share, 0.0) + slack + rounding) + of_dtype,
        confidence=1.0,
        measured="|A|_F^2 less the squares of the singular values",
        details=details,
    )
