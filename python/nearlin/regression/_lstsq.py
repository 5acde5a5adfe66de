"""Least squares of rows that are at hand, to machine accuracy."""

import math
from contextlib import nullcontext
from dataclasses import dataclass, field, fields
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nearlin._config import Progress
from nearlin._frames import column_names, naming_columns, widened_by
from nearlin._listing import NotATuple, listing
from nearlin._operator import Operator, is_operator
from nearlin._validation import (
    Float,
    Matrix,
    as_matrix,
    as_rhs,
    as_seed,
    check_bool,
    is_blocks,
    is_plain,
    refuse_beside,
)
from nearlin.exceptions import (
    InvalidInputError,
)

from ._by_blocks import check_blocks, solve_blocks
from ._certificate import LstsqCertificate
from ._solve import Options, Solution, Verification, certificate_of, solve, verified

__all__ = ["LstsqResult", "lstsq"]

NO_NAMES = nullcontext()
"""Columns of an array have none."""


@dataclass(frozen=True, eq=False, repr=False)
class LstsqResult(NotATuple):
    """Answer of :func:`lstsq`.

    Attributes
    ----------
    x : ndarray of shape (d,) or (d, k)
        Minimiser, in the dtype of ``A``; the one of least norm if ``A`` is rank-deficient.
    residual_norm : float or ndarray of shape (k,)
        Norm of b - A x, its rows weighted by the square roots of ``sample_weight``; the penalty of
        ``ridge`` is not part of it.
    rank : int or None
        Rank of ``A`` with columns scaled to unit norm, singular values below ``rcond`` times the
        largest taken for zero; None by ``"lsmr"``, which cannot tell, and where ``"cg"`` cannot. Rows of a
        ridge count as rows of ``A``; of several ridges it is one of a right-hand side that is not zero.
    method : str
        The method whose answer this is: "qr", whatever was asked for, where all of ``b`` is zero.
    n_iter : int
        Passes over ``A`` once its factor was had: one for each refinement step or inner iteration, and for
        each time that an answer was measured; without a factor, by ``"cg"`` or ``"lsmr"``, its iterations.
    sketch_size : int or None
        Rows of the sketch, None if none was drawn.
    certificate : LstsqCertificate
        Backward error of ``x`` relative to the Frobenius norm of ``A``, the worst of all right-hand sides.
    explanation : str
        Which methods were considered, what was picked, and why.
    fallback_reason : str or None
        Why the method asked for did not give the answer, None if it did.
    stages : tuple of (str, float, int)
        What was done, in order: its name, seconds of wall time, and reads of the whole of ``A``, or products
        with a linear operator and its transpose.
    size : int
        Bytes of the numbers that ``A`` stores, which is what one read of it moves; 0 for a linear operator.
    """

    x: Float
    residual_norm: float | npt.NDArray[np.float64]
    rank: int | None
    method: str
    n_iter: int
    sketch_size: int | None
    certificate: LstsqCertificate
    explanation: str
    fallback_reason: str | None = None
    stages: tuple[tuple[str, float, int], ...] = field(default=(), repr=False)
    size: int = field(default=0, repr=False)

    def explain(self) -> str:
        """Tell what ran, why, how long it took, what it read, and how many digits it reached.

        Returns
        -------
        str
            A few lines, to be printed.

        Examples
        --------
        >>> import numpy as np
        >>> import nearlin
        >>> rng = np.random.default_rng(0)
        >>> A, b = rng.standard_normal((10_000, 20)), rng.standard_normal(10_000)
        >>> print(nearlin.lstsq(A, b, rng=0).explain())  # doctest: +ELLIPSIS
        gram gave the answer.
          rows so narrow give A'A in one read
          gram ...
        <BLANKLINE>
        stage                            seconds  reads of A   gigabytes
        plan ...
        """
        import textwrap  # whose regular expressions take longer to compile than a small answer

        lines = [f"{self.method} gave the answer."]
        if self.fallback_reason is not None:
            lines.append(f"  not the method asked for: {self.fallback_reason}")
        lines += [
            line
            for reason in self.explanation.split("; ")
            for line in textwrap.wrap(reason, 78, initial_indent="  ", subsequent_indent="    ")
        ]
        lines += [
            "",
            f"{'stage':32}{'seconds':>8}"
            + (f"{'reads of A':>12}{'gigabytes':>12}" if self.size else f"{'products':>12}"),
        ]
        stages: dict[str, tuple[float, int]] = {}
        for name, seconds, reads in self.stages:
            before = stages.get(name, (0.0, 0))
            stages[name] = (before[0] + seconds, before[1] + reads)
        stages["in all"] = (sum(stage[1] for stage in self.stages), sum(stage[2] for stage in self.stages))
        for name, (seconds, reads) in stages.items():
            moved = f"{1e-9 * reads * self.size:12.3f}" if self.size else ""
            lines.append(f"{name:32}{seconds:8.3f}{reads:12}{moved}")
        lines += ["", *textwrap.wrap(str(self.certificate), 80, subsequent_indent="  ")]
        if (error := self.certificate.estimate) > 0.0:
            lines.append(f"as exact as if A had been known to {-math.log10(error):.1f} decimal digits")
        details = self.certificate.details
        if (relative := details.get("relative_bound", math.nan)) == relative:
            lines.append(
                f"no coefficient is off by more than {relative:.1e} of the largest "
                f"(confidence {details['confidence_of_bounds']})"
            )
        if "sensitivity" in details:
            sensitivity = max(details["sensitivity"], default=1.0)
            lines.append(f"errors of A and b reach x magnified by up to {sensitivity:.1e}")
        return "\n".join(lines)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Make the certificate when it is first asked for: that takes longer than a small answer."""
            own = self.__dict__
            certify = own.get("_certify")
            if name == "certificate" and certify is not None:
                own["certificate"] = certify()
                own.pop("_certify", None)
            if name in own:
                return own[name]
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), "certificate"]

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __repr__(self) -> str:
        return listing({field.name: getattr(self, field.name) for field in fields(self) if field.repr})


def lstsq(
    A: object,
    b: object = None,
    *,
    method: str = "auto",
    sample_weight: object = None,
    ridge: npt.ArrayLike = 0.0,
    rcond: float | None = None,
    sketch: str | None = None,
    sketch_size: int | None = None,
    tol: float | None = None,
    max_iter: int | None = None,
    dtype_work: npt.DTypeLike | None = None,
    preconditioner: str | None = None,
    certify: bool = False,
    verify: bool = False,
    rng: object = None,
    n_jobs: int | None = None,
    progress: bool | Progress = False,
) -> LstsqResult:
    r"""Solve least-squares problems as accurately as a QR factorisation, and many times faster on tall data.

    Minimises :math:`\sum_i w_i (a_i^T x - b_i)^2 + \lambda |x|^2` for each column of `b`.

    Parameters
    ----------
    A : array_like, sparse matrix, linear operator or RowBlocks of shape (n, d)
        float32 or float64 in any memory layout, or SciPy CSR or CSC, none of which is copied; data
        frames of numbers give their values, float16 becomes float32, and other numbers, Python objects among
        them, are rounded to float64. `A` need not be taller than wide, but what is fast here is made for n
        much above d; it may be empty. Anything that has ``shape``, ``matvec`` and ``rmatvec``, as
        :class:`scipy.sparse.linalg.LinearOperator` has, is asked for products only, many at a time if it has
        ``matmat`` and ``rmatmat``, always from the calling thread. Rows that are not in memory, of files or
        on other machines, come from :func:`nearlin.data.blocks`, with their targets and weights.
    b : array_like of shape (n,) or (n, k), optional
        Right-hand sides, taken in the dtype of `A`; None for rows in blocks, which bring them along.
    method : str, default="auto"
        How the triangular factor that drives the refinement is had.

        - ``"gram"``: Cholesky factor of A'A, from products in single precision if the columns are
          well-conditioned enough, else in double; for condition numbers up to 1e7. Of 128 columns and more,
          on a machine with a matrix unit (AMX: :func:`nearlin.show_config` tells), from exact products of
          entries rounded to three digits in base 256 up to a condition of 1e4, else to four. Dense rows of at
          most 32 columns, with at most eight right-hand sides, give all products in one read, in double
          precision.
          Sparse rows are multiplied as they are, in double precision. Where their columns depend on others,
          as those of one-hot features beside a constant do, a pivoted factor finds a basis; a read of
          `A` proves the rank, and the answer is the one of least norm. With fewer rows than columns it is
          the factor of A A', of rows of norm one, and the certificate is about `A` with such rows; where
          that is too ill-conditioned, dense rows give way to QR of their transpose, with its Q.
        - ``"sparse_cholesky"``: sparse Cholesky factor of a sparse A'A, in an order that keeps it sparse; for
          condition numbers up to 1e7 and sparse `A` whose rows are short and whose columns meet few others,
          such as those of grids, networks and splines. Columns that depend on others are found on the way,
          as with ``"gram"``. Beyond 12 000 columns and that condition, the factor of a shifted A'A makes
          conjugate gradients fast; ``rank`` is None then, and there may be shorter answers.
        - ``"whitened"``: Cholesky factor of the Gram matrix of A R1^-1, where R1 comes from a sketch of A;
          for any condition number at which the rank is clear.
        - ``"spir"``: R1 itself, with conjugate gradients: for sparse `A` and for thousands of columns.
        - ``"fossils"``: the same with a fixed momentum, which takes a few more iterations.
        - ``"cg"``: none; conjugate gradients on the normal equations of `A` with columns of norm one, a read
          of `A` an iteration, restarted until the answer is backward stable. It pays for sparse `A` up to
          condition numbers of some hundreds. What a random vector loses by the same iterations tells whether
          the columns are independent; if not, a few more of them give the rank and the answer of least norm,
          and ``rank`` is None where more than 64 directions, or nearly dependent columns, hide it, and
          where `A` has fewer rows than columns.
        - ``"lsmr"``: none; LSMR iterates until the answer is backward stable [4]_, which pays while the
          condition number is below about 30. The answer is the one of least norm. Where columns differ in
          norm and `ridge` is 0, LSMR runs once more to see whether the columns are independent, and if not,
          without column scaling to find the shortest answer; ``explanation`` says if that took too long.
        - ``"fgmres_wlsir"``: the factor of ``"whitened"``, with FGMRES on the augmented system and residuals
          in twice the working precision [3]_. Not only the backward error but the error of `x` itself comes
          down to rounding level, whatever the weights; for two to four times the time of ``"whitened"``.
        - ``"qr"``: tall-skinny Householder QR.
        - ``"auto"``: the cheapest of them by condition number and shape. An answer above `tol` is never
          returned before the next dearer method was tried, QR last.

        Condition numbers are those of `A` with columns scaled to unit norm. Any other method but
        ``"auto"`` that cannot meet `tol` falls back the same way, with a warning. Not so ``"cg"`` and
        ``"lsmr"`` where `max_iter` limits them, or where QR of a sparse `A` would take longer than all of
        their iterations: the best answer is returned, with another warning.

        A linear operator goes by ``"spir"``, ``"fossils"`` or ``"lsmr"``. A sketch of it takes d products, so
        ``"auto"`` tries LSMR first, and drops it when it foresees more than d / 20 iterations; beyond 20 000
        columns it takes nothing but LSMR. With no QR to fall back on, an answer above `tol` is returned
        with a warning.

        Rows in blocks have their factor from one pass and are then refined pass by pass, two to four in all
        as a rule: the same measured backward error as in memory, at any condition number. ``"qr"`` takes
        2 n d^2 operations and memory for some blocks and d^2 numbers for each. ``"auto"`` makes the triangle
        of a block in half of them, as ``"gram"`` does, where the block is so well-conditioned that this is as
        good; triangles are merged by QR, and ``method`` is the way that
        most blocks went.

        A sparse `A` is never made dense; stored by columns, it is copied by rows first. ``"auto"`` takes
        ``"cg"`` there, but ``"gram"`` first where that is predicted to cost no more than 18 reads, and leaves
        the iterations when they are seen to need more reads than a factor costs. Beyond 12 000 rows and
        columns, or where a factor has no memory, it takes nothing but ``"cg"`` and ``"sparse_cholesky"``,
        for at most 10 000 iterations unless `max_iter` says otherwise.
    sample_weight : array_like of shape (n,) or float, optional
        Weight of each squared residual; a row of weight zero counts as absent. Where weights differ by more
        than 1e8 and make a condition number above 1e4, ``"auto"`` ends with ``"fgmres_wlsir"``: a small
        backward error alone would lose what the light rows determine of `x`.
    ridge : float or array_like of shape (k,), default=0.0
        The penalty lambda, one for all right-hand sides or one for each.
    rcond : float, optional
        Singular values of the column-scaled `A` below `rcond` times the largest are taken for zero.
        The default is max(30, min(n, d)) u, u being the unit roundoff of float64, and at least the spacing of
        float32 at 1 for an `A` of float32, as a direction no larger than that holds nothing but the rounding
        of entries (times the root of the lightest weight over the heaviest, so that heavy rows hide nothing
        that light ones say). A copy of the same numbers in float64 keeps it. No value goes below u, as what
        is smaller is rounding.
    sketch : {"sparse_sign", "srht", "pht", "count_sketch", "gaussian"}, optional
        Sketch for the methods that draw one; the default is ``"sparse_sign"``.
    sketch_size : int, optional
        Rows of the sketch, at least d; the default is chosen by shape and method.
    tol : float, optional
        Target of the backward error relative to the Frobenius norm of `A`. The default is the unit roundoff
        of the dtype of `A`.
    max_iter : int, optional
        Most refinement steps or inner iterations, chosen by method by default. Of ``"cg"`` and
        ``"lsmr"``, the answer that they have come to by then is returned, with a warning if it misses `tol`;
        their search for a shorter one counts, too.
    dtype_work : {float32, float64}, optional
        Precision of the products that the factor is made of; answers meet `tol` either way. float64 does
        without the fast products in single precision; float32 goes from them to ``"whitened"`` at once, whose
        triangular product is in float64 whatever is asked. The default is float32 for condition numbers up to
        about 300 and in ``"whitened"``, else float64, which rows of at most 32 columns always take. Digits
        take the place of both where there is a matrix unit (see ``"gram"``), and of neither where a precision
        is asked for, or covariances are. Methods
        that make no products A'A ignore it.
    preconditioner : {"split", "left"}, optional
        For ``method="fgmres_wlsir"``: a factor of the weighted rows on both sides of the augmented system, or
        a factor of the rows without their weights on its left, which serves only while the weights make
        no condition number above 1e3. The default is ``"split"``; neither is always the faster.
    certify : bool, default=False
        Bound the distance of every coefficient from the minimiser's, in the fields ``coordinate_bound`` and
        ``error_estimate`` of the certificate. It takes one pass in twice the working precision, more of them
        where little is left to bound, and a few ordinary passes, or about thirty after ``"spir"`` and
        ``"fossils"``. The answer stays the same.
    verify : bool, default=False
        Measure the backward error once more, with the factor of a fresh sketch in place of the solver's and
        gradients in twice the working precision, and raise an exception if it is more than ten times what the
        certificate claims. It takes twenty to thirty passes.
    rng : None, int, numpy.random.Generator or what :func:`numpy.random.default_rng` takes, optional
        Source of the one seed of all random choices. They change the answer by no more than rounding.
    n_jobs : int, optional
        Number of threads; see :func:`nearlin.set_config` for the default. It does not change a bit of
        the answer.
    progress : bool or callable, default=False
        True for a tqdm bar, or a function that is called with (steps done, the most that there may be,
        figures). Neither number ever falls, and the last call has both the same. An exception that it raises
        ends the call.

    Returns
    -------
    LstsqResult
        Its field ``x`` is the answer, ``certificate`` what was measured about its accuracy.

    Raises
    ------
    InvalidInputError
        If an argument is out of its domain, has the wrong shape, or holds NaN or infinity.
    AllocationError
        If there is no memory for the result or for work space.
    VerificationError
        If the answer does not pass ``verify=True``.

    Warns
    -----
    FallbackWarning
        If the method asked for could not reach `tol`, so that another one gave the answer. A deficient
        rank is no cause for a warning: it is in the result.
    AccuracyWarning
        If an answer is above `tol` for certain, and no fallback was warned of.

    See Also
    --------
    LinearRegression : The same with an intercept, as an estimator.
    numpy.linalg.lstsq : Minimum-norm least squares by singular values.

    Notes
    -----
    With a factor R such that A R^-1 has nearly orthonormal columns, the step x += R^-1 R^-T A'(b - A x)
    shrinks the error by a constant each time, and one pass over the rows gives both the step and the
    backward error of x. After a few of them that error is at rounding level [1]_, whatever the accuracy of
    R; what remains is to have R cheaply. Cost: n d^2 operations for a Gram matrix, as many for the
    triangular product of ``"whitened"``, and three to six passes over `A`, where LAPACK takes 2 n d^2 for
    its QR factorisation and more for singular values. Extra memory: O(d^2) numbers for ``"gram"``, O(m d)
    with m about 2 d for ``"whitened"``, m at most 12 d for ``"spir"``, O(n k),
    and for ``"fgmres_wlsir"``, which takes the right-hand sides one by one, two vectors of n + d numbers for
    each step of FGMRES, about twenty in all.

    The certificate bounds the backward error of Karlson and Walden [2]_: the smallest relative perturbation
    of (A, b) for which x is exact, columns of `A` scaled to norm one. Where `rcond` cut off directions of
    `A` the figure is that of the truncated matrix, and the size of what was cut stands beside it. ``"cg"``
    has no factor: its own coefficients bound the estimate from both sides by Gauss's and Radau's quadrature,
    and ``certificate.details["rigorous_bound"]`` is what holds without an estimate of an eigenvalue. By
    ``"lsmr"``, columns are scaled by powers of two only, those of an operator not at all, whose
    norm is known from 16 random products, with probability 1 - 1e-6 to within a factor of two; the bound can
    be far above the estimate where the residual is small.

    A small backward error makes x the exact answer to a problem nearby; how far it is from the answer to
    this one depends on the condition of `A`. With ``certify=True`` that distance is bounded. For g = A'(b
    - A x), summed in twice the working precision, M = R'^-1 A'A R^-1 and any vector y,

    .. math:: |x_j - x^*_j| \le |e_j^T R^{-1} y|
        + |R^{-T} e_j| \, |R^{-T} g - M y| / \lambda,

    if no eigenvalue of M is below :math:`\lambda`. That is bounded by a Lanczos iteration from a random
    vector, wrong with probability 1e-6 at most, and y comes from conjugate gradients, so that the first
    term is an estimate of the error and the second a small part of it. The minimiser :math:`x^*` is that
    of the numbers in `A`, `b`, `sample_weight` and `ridge` as they stand;
    ``certificate.details["sensitivity"]`` estimates by how much their own relative errors are magnified.
    For a deficient rank, :math:`x^*` is the best answer that differs from x only in the directions that
    were kept; the rest is the choice of the shortest answer.

    The same input and seed give the same bits with any number of threads. Of rows in blocks they depend on
    the blocks as well, and not on where those are worked on.

    References
    ----------
    .. [1] E. N. Epperly, M. Meier, Y. Nakatsukasa, "Fast randomized least-squares solvers can be just as
       accurate and stable as classical direct solvers", arXiv:2406.03468.
    .. [2] R. Karlson, B. Walden, "Estimation of optimal backward perturbation bounds for the linear
       least squares problem", BIT 37 (1997).
    .. [3] E. Carson, E. Oktay, "Mixed precision FGMRES-based iterative refinement for weighted least
       squares", arXiv:2401.03755.
    .. [4] D. C.-L. Fong, M. Saunders, "LSMR: an iterative algorithm for sparse least-squares problems",
       SIAM J. Sci. Comput. 33 (2011).

    Examples
    --------
    >>> import numpy as np
    >>> import nearlin
    >>> rng = np.random.default_rng(0)
    >>> A = rng.standard_normal((10_000, 20))
    >>> b = A @ np.ones(20) + rng.standard_normal(10_000)
    >>> result = nearlin.lstsq(A, b, rng=0)
    >>> np.allclose(result.x, np.linalg.lstsq(A, b, rcond=None)[0], rtol=1e-12)
    True
    >>> result.rank, result.certificate.met
    (20, True)

    How many digits of each coefficient are right:

    >>> result = nearlin.lstsq(A, b, rng=0, certify=True)
    >>> bool(np.all(result.certificate.coordinate_bound < 1e-13 * np.abs(result.x)))
    True

    Rows in blocks, here of an array:

    >>> from nearlin.data import blocks
    >>> rows = blocks(A, target=b, block_bytes=1 << 18)
    >>> np.allclose(nearlin.lstsq(rows).x, result.x, rtol=1e-12)
    True
    """
    verify = check_bool(verify, "verify")
    plain = is_plain(A)
    options = Options(
        seed=as_seed(rng),
        method=method,
        rcond=rcond,
        sketch=sketch,
        sketch_size=sketch_size,
        tol=tol,
        max_iter=max_iter,
        dtype_work=dtype_work,
        preconditioner=preconditioner,
        certify=certify,
    )
    if not plain and is_blocks(A):
        if verify:
            raise no_array_to_verify("rows in blocks")
        refuse_beside(b=b, sample_weight=sample_weight)
        check_blocks(A, options)
        return _result(
            solve_blocks(A, options, ridge=ridge, n_jobs=n_jobs, progress=progress),
            single=A.target_shape == (),  # type: ignore[attr-defined]
            row_bytes=A.n_features * A.dtype.itemsize,  # type: ignore[attr-defined]
        )
    matrix: Matrix = Operator(A) if not plain and is_operator(A) else as_matrix(A, allow_empty=True)
    if verify and isinstance(matrix, Operator):
        raise no_array_to_verify("a linear operator")
    columns, single = as_rhs(b, matrix.shape[0], matrix.dtype, allow_empty=True)
    penalty: dict[str, Any] = {"sample_weight": sample_weight, "ridge": ridge, "n_jobs": n_jobs}
    with NO_NAMES if plain else naming_columns(column_names(A)):
        solution = solve(matrix, columns, options, progress=progress, **penalty)
    second = verified(matrix, columns, solution, options, **penalty) if verify else None
    result = _result(
        solution,
        single=single,
        size=int((matrix if isinstance(matrix, np.ndarray | Operator) else matrix.data).nbytes),
        second=second,
        copied=None if plain else widened_by(A),
    )
    if certify:
        # Before anybody writes to x, which its details are about.
        _ = result.certificate
    return result


def no_array_to_verify(found: str) -> InvalidInputError:
    """Return what is said where nobody can look a second time."""
    return InvalidInputError(f"is True for {found}, expected False, or `A` as an array", argument="verify")


def _result(
    solution: Solution,
    *,
    single: bool,
    size: int = 0,
    row_bytes: int = 0,
    second: "Verification | None" = None,
    copied: str | None = None,
) -> LstsqResult:
    """Return what users see of a solution."""
    result = object.__new__(LstsqResult)
    result.__dict__.update(
        x=solution["x"][:, 0] if single else solution["x"],
        residual_norm=float(solution["residual_norm"][0]) if single else solution["residual_norm"],
        rank=solution["rank"],
        method=solution["method"],
        n_iter=solution["n_iter"],
        sketch_size=solution["sketch_size"],
        explanation=solution["explanation"] + ("" if copied is None else f"; {copied}"),
        fallback_reason=solution["fallback_reason"],
        stages=(*solution["stages"], *([] if second is None else [second["stage"]])),
        size=size + row_bytes * solution.get("rows", 0),
        _certify=partial(certificate_of, solution, verification=second, single=single),
    )
    return result
