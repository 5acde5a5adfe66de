"""Least squares from a sketch alone: one read of the rows, and an interval for each coefficient."""

import numpy as np

from nearlin import _core
from nearlin._certificate import Certificate
from nearlin._config import Progress, resolve_progress
from nearlin._frames import column_names, naming_columns
from nearlin._validation import (
    Matrix,
    as_matrix,
    as_rhs,
    as_sample_weight,
)

from ._lstsq import lstsq
from ._sketch_stream import SketchAndSolveResult, SketchStream

__all__ = ["sketch_and_solve"]


def sketch_and_solve(
    A: object,
    b: object,
    *,
    guarantee: str | None = "linf",
    eps: float = 0.5,
    delta: float = 0.01,
    level: float = 0.95,
    sketch: str = "pht",
    sketch_size: int | None = None,
    sample_weight: object = None,
    ridge: float = 0.0,
    rng: object = None,
    n_jobs: int | None = None,
    progress: bool | Progress = False,
) -> SketchAndSolveResult:
    r"""Solve least-squares problems approximately from one read of the rows, with intervals for coefficients.

    Minimises :math:`|S W^{1/2} (A x - b)|^2 + \lambda |x|^2` for a random matrix S of few rows, W being the
    diagonal matrix of `sample_weight`. The error is that of sampling: proportional to the residual, and to
    one over the square root of the rows of S. What is saved is reads and memory: on data that are in memory,
    :func:`lstsq` gives all digits and rarely takes longer.

    Parameters
    ----------
    A : array_like or sparse matrix of shape (n, d)
        float32 or float64 in any memory layout, or SciPy CSR or CSC, none of which is copied; data
        frames give their values, and other numbers are rounded to float64.
    b : array_like of shape (n,) or (n, k)
        Right-hand sides, taken in the dtype of `A`.
    guarantee : {"linf", None}, default="linf"
        ``"linf"``: errors of single coefficients are asked for, and sketches that cannot bound them are
        refused. None: any sketch will do; of sparse ones there are no intervals then.
    eps : float, default=0.5
        The largest error asked for, in units of ``|b - A x*| |A^+| / sqrt(d)``, x* being the exact answer.
    delta : float, default=0.01
        Probability with which the largest error, of one right-hand side, may be above `eps`.
    level : float, default=0.95
        Confidence of the intervals.
    sketch : {"pht", "pht_normals", "srht", "gaussian", "sparse_sign", "count_sketch"}, default="pht"
        The kind of S: see :mod:`nearlin.sketch`. ``"pht_normals"`` is :class:`~nearlin.sketch.PHT` with
        normal weights. The last two are sparse.
    sketch_size : int, optional
        Rows of S, more than d, taken as they are; the result says what eps they attain. The default is the
        row count below, and all rows are solved exactly by :func:`lstsq` if that is n / 2 or more.
    sample_weight : array_like of shape (n,) or float, optional
        Weight of each squared residual.
    ridge : float, default=0.0
        The penalty lambda; it is not sketched.
    rng : None, int, numpy.random.Generator or what :func:`numpy.random.default_rng` takes, optional
        Source of the one seed of S.
    n_jobs : int, optional
        Number of threads; see :func:`nearlin.set_config` for the default. It does not change a bit of
        the answer.
    progress : bool or callable, default=False
        True for a tqdm bar, or a function that is called with (steps done, the most that there may be,
        figures).

    Returns
    -------
    SketchAndSolveResult
        Its field ``x`` is the answer, ``half_width`` how far each coefficient may be off, ``guarantee`` what
        is proved.

    Raises
    ------
    InvalidInputError
        If an argument is out of its domain, has the wrong shape, or holds NaN or infinity, or if
        ``guarantee="linf"`` is asked of a sparse sketch.
    AllocationError
        If there is no memory for the sketch.

    Warns
    -----
    GuaranteeWarning
        If the sketch is sparse, so that nothing is known of single coefficients.

    See Also
    --------
    lstsq : Machine accuracy, in a few reads of the rows.
    StreamingLeastSquares : Rows that arrive in blocks, exactly or, with ``method="sketch"``, the same.

    Notes
    -----
    For a Gaussian sketch with

    .. math:: m = \Big(\sqrt d + \sqrt{2 \ln(2 / \delta)} + \sqrt{2 d \ln(2 d / \delta)} / \epsilon\Big)^2

    rows, about 102 d for d = 64 and the defaults, the largest error is below eps in the units above with
    probability 1 - delta: S A and S (b - A x*) are independent, so that the error is normal given S A. The
    same row count is used for the other dense sketches, of which less is proved:

    ================ =========================================================================================
    sketch           errors of single coefficients
    ================ =========================================================================================
    ``gaussian``     proved, with the constants above (without a ridge)
    ``pht_normals``  proved up to constants that are not known, if all rows are in one chunk of 8 m rows or
                     more [1]_; otherwise as ``pht``. Errors, and the intervals for them, are those of
                     ``gaussian`` times (1 + m / N)^(1/2), N being the rows of all chunks
    ``pht, srht``    S embeds the columns of A, which is proved; single coefficients are as good as with a
                     Gaussian sketch in all experiments, which is not. The proof in [2]_ for ``srht`` has a
                     gap: it bounds the error in a fixed direction, but the direction in question depends on S
                     [1]_. Proved is m of order d^(1 + o(1)) / eps^2 [3]_.
    ``sparse_sign``, S embeds the columns of A; single coefficients can be off by a factor of up to sqrt(d),
    ``count_sketch`` as they can with samples of rows [3]_
    ================ =========================================================================================

    Intervals are Student's, with m - d degrees of freedom: exact for a Gaussian sketch, else asymptotic
    [4]_. Those of ``pht`` are too wide, never too narrow, where few chunks hold the whole problem.

    Cost: n (d + k) log m additions and 2 m d^2 operations for ``pht`` and ``srht``; ``gaussian`` takes
    2 m n d. Extra memory: O(m (d + k)) numbers.

    References
    ----------
    .. [1] Z. Song, L. Zhang, "Hadamard flattening and Gaussian pooling sketch for least squares with
       coordinate-wise guarantee", manuscript (2026).
    .. [2] Z. Song, M. Ye, J. Yin, L. Zhang, "A nearly-optimal bound for fast regression with l_inf
       guarantee", ICML 2023.
    .. [3] E. Price, Z. Song, D. P. Woodruff, "Fast regression with an l_inf guarantee", ICALP 2017.
    .. [4] D. C. Ahfock, W. J. Astle, S. Richardson, "Statistical properties of sketching algorithms",
       Biometrika 108 (2021).

    Examples
    --------
    >>> import numpy as np
    >>> import nearlin
    >>> rng = np.random.default_rng(0)
    >>> A = rng.standard_normal((100_000, 20))
    >>> b = A @ np.ones(20) + rng.standard_normal(100_000)
    >>> result = nearlin.sketch_and_solve(A, b, rng=0)
    >>> result.sketch_size, result.eps < 0.5
    (1950, True)
    >>> exact = nearlin.lstsq(A, b, rng=0).x
    >>> float(np.mean(abs(result.x - exact) <= result.half_width)) >= 0.9
    True
    """
    matrix = as_matrix(A)
    n, d = matrix.shape
    stream = SketchStream(
        guarantee=guarantee,
        eps=eps,
        delta=delta,
        level=level,
        sketch=sketch,
        sketch_size=sketch_size,
        ridge=ridge,
        n=n,
        rng=rng,
    )
    if sketch_size is None and 2 * _core.sketch_and_solve_rows(d, eps, delta) >= n:
        with naming_columns(column_names(A)):
            return _exact(matrix, b, stream, sample_weight, n_jobs, progress)
    columns, vector = as_rhs(b, n, matrix.dtype)
    weights = as_sample_weight(sample_weight, n)
    listener = resolve_progress(progress)
    with naming_columns(column_names(A)):
        stream.add(matrix, columns, weights, vector, None, None, n_jobs, listener)
    return stream.solve(n_jobs, listener)


def _exact(
    A: Matrix,
    b: object,
    stream: SketchStream,
    sample_weight: object,
    n_jobs: int | None,
    progress: bool | Progress,
) -> SketchAndSolveResult:
    """The answer of all rows, where a sketch would not have many fewer."""
    parameters = stream._state.parameters
    exact = lstsq(
        A,
        b,
        sample_weight=sample_weight,
        ridge=parameters["ridge"],
        rng=parameters["rng"],
        n_jobs=n_jobs,
        progress=progress,
    )
    m = _core.sketch_and_solve_rows(A.shape[1], parameters["eps"], parameters["delta"])
    nothing = np.zeros(exact.x.shape)
    guarantee = f"exact: no sketch was drawn, as it would have had {m} rows where A has {A.shape[0]}"
    return SketchAndSolveResult(
        x=exact.x,
        half_width=nothing,
        simultaneous_half_width=nothing,
        level=parameters["level"],
        eps=0.0,
        residual_norm=exact.residual_norm,
        rank=exact.rank,  # type: ignore[arg-type]  # None only by "lsmr"
        sketch=None,
        sketch_size=None,
        guarantee=guarantee,
        certificate=Certificate(
            quantity="error of sketching in a coefficient",
            estimate=0.0,
            bound=0.0,
            confidence=1.0,
            measured="all rows were solved by lstsq, so that only rounding errors are left",
            note=f"no sketch was drawn; {exact.certificate}",
            details={"eps": 0.0, "guarantee": guarantee, "lstsq": exact.certificate.to_dict()},
        ),
    )
