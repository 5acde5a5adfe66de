"""Least squares of rows that arrive in blocks, from their sketch, and an interval for each coefficient."""

import textwrap
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from nearlin import _core
from nearlin._certificate import Certificate
from nearlin._config import Progress, resolve_threads
from nearlin._frames import column_names, naming_columns, string_names
from nearlin._listing import NotATuple, listing
from nearlin._stream import RowStream
from nearlin._validation import (
    LARGEST,
    Float,
    Matrix,
    as_matrix,
    as_rhs,
    as_sample_weight,
    as_seed,
    check_choice,
    check_int,
    check_real,
    optional,
)
from nearlin._warn import warn
from nearlin.exceptions import GuaranteeWarning

__all__ = ["SketchAndSolveResult", "StreamingLeastSquares"]

DENSE = ("pht", "pht_normals", "srht", "gaussian")
SPARSE = ("sparse_sign", "count_sketch")

STATEMENT = "with probability {:.4g}, max |x - x*| <= {:.3g} / sqrt(d) |b - A x*| |A^+|"


@dataclass(frozen=True, eq=False, repr=False)
class SketchAndSolveResult(NotATuple):
    """Answer of :func:`sketch_and_solve` and of :meth:`StreamingLeastSquares.result`.

    Attributes
    ----------
    x : ndarray of shape (d,) or (d, k)
        The minimiser of the sketched problem, in the dtype of ``A``; the one of least norm if ``A`` is
        rank-deficient.
    half_width : ndarray of shape (d,) or (d, k)
        ``x[j]`` is within ``half_width[j]`` of the coefficient that all rows would give, with probability
        `level` over the sketch, for any one j. NaN if the sketch is too sparse for that.
    simultaneous_half_width : ndarray of shape (d,) or (d, k)
        The same for all coefficients at once, of all right-hand sides, by Bonferroni's inequality.
    level : float
        The probability of both.
    eps : float
        The eps of the theorem that this answer attains: its simultaneous intervals in units of
        ``|b - A x*| |A^+| / sqrt(d)``. Both norms are taken from the sketch of m rows, and ``|A^+|`` as
        1 - sqrt(d / m) of what it is there, the least that it can be. 0 if no sketch was drawn.
    residual_norm : float or ndarray of shape (k,)
        Estimate of the norm of b - A x*.
    rank : int
        Numerical rank of the sketch of ``A``, columns scaled to unit norm.
    sketch : str or None
        The kind of sketch, None if none was drawn.
    sketch_size : int or None
        Its rows.
    guarantee : str
        What is proved about this answer, and what is not.
    certificate : Certificate
        The largest error of all coefficients: its median and its bound with confidence `level`.
    """

    x: Float
    half_width: Float
    simultaneous_half_width: Float
    level: float
    eps: float
    residual_norm: float | npt.NDArray[np.float64]
    rank: int
    sketch: str | None
    sketch_size: int | None
    guarantee: str
    certificate: Certificate

    def interval(self, *, simultaneous: bool = False) -> tuple[Float, Float]:
        """Return the lower and the upper ends of the intervals.

        Parameters
        ----------
        simultaneous : bool, default=False
            Intervals that hold all at once with probability `level`, rather than each of them.

        Returns
        -------
        low, high : ndarray of the shape of x
            The ends.

        Examples
        --------
        >>> import numpy as np
        >>> import nearlin
        >>> rng = np.random.default_rng(0)
        >>> A, b = rng.standard_normal((20_000, 5)), rng.standard_normal(20_000)
        >>> low, high = nearlin.sketch_and_solve(A, b, rng=0).interval(simultaneous=True)
        >>> exact = nearlin.lstsq(A, b, rng=0).x
        >>> bool(np.all((low < exact) & (exact < high)))
        True
        """
        half_width = self.simultaneous_half_width if simultaneous else self.half_width
        return self.x - half_width, self.x + half_width

    def explain(self) -> str:
        """Tell what stood for the rows, what is proved about that, and how far coefficients may be off.

        Returns
        -------
        str
            A few lines, to be printed.

        Examples
        --------
        >>> import numpy as np
        >>> import nearlin
        >>> rng = np.random.default_rng(0)
        >>> A, b = rng.standard_normal((20_000, 5)), rng.standard_normal(20_000)
        >>> print(nearlin.sketch_and_solve(A, b, sketch="gaussian", rng=0).explain())  # doctest: +ELLIPSIS
        a gaussian sketch of ... rows stood for all rows; its rank is 5
        any one coefficient is within ... of that of all rows with confidence 0.95
        all coefficients are within ... of those of all rows with confidence 0.95
        proved: with probability 0.99, max |x - x*| <= ...
        """
        if self.sketch is None:
            lines = [f"all rows were solved by lstsq; their rank is {self.rank}"]
        else:
            drawn = f"a {self.sketch} sketch of {self.sketch_size} rows"
            lines = [f"{drawn} stood for all rows; its rank is {self.rank}"]
            widest, together = np.max(self.half_width), np.max(self.simultaneous_half_width)
            if self.certificate.confidence is not None:
                lines += [
                    f"any one coefficient is within {widest:.1e} of that of all rows "
                    f"with confidence {self.level:g}",
                    f"all coefficients are within {together:.1e} of those of all rows "
                    f"with confidence {self.level:g}",
                ]
        return "\n".join([*lines, *textwrap.wrap(self.guarantee, 80, subsequent_indent="  ")])

    def __repr__(self) -> str:
        return listing({field.name: getattr(self, field.name) for field in fields(self)})


class StreamingLeastSquares(RowStream):
    """Approximate least squares of rows that arrive in blocks, are read once, and are not kept.

    The answer is that of :func:`sketch_and_solve` on all rows with the same `sketch_size`. Blocks that come
    in order give the same bits as that call does, wherever the stream is cut.

    A stream has a sketch of few rows, too, be it larger than they are. :func:`sketch_and_solve` knows the
    number of rows beforehand: if `sketch_size` is left to it, it solves fewer than twice the rows of the
    sketch by :func:`lstsq`, without an error of sampling.

    Parameters
    ----------
    guarantee : {"linf", None}, default="linf"
        As in :func:`sketch_and_solve`, like all that follow but `n`.
    eps : float, default=0.5
        The largest error asked for, in units of ``|b - A x*| |A^+| / sqrt(d)``.
    delta : float, default=0.01
        Probability with which it may be larger.
    level : float, default=0.95
        Confidence of the intervals.
    sketch : {"pht", "pht_normals", "srht", "gaussian", "sparse_sign", "count_sketch"}, default="pht"
        The kind of sketch.
    sketch_size : int, optional
        Its rows; the default is the row count by `eps`, `delta` and the number of columns.
    ridge : float, default=0.0
        The penalty lambda.
    n : int, optional
        A bound on the number of rows. Only ``"srht"`` needs it, and depends on it.
    rng : None, int, numpy.random.Generator or what :func:`numpy.random.default_rng` takes, optional
        Source of the seed. Streams that are to be merged need the same one.

    Raises
    ------
    InvalidInputError
        If a parameter is out of its domain, or ``guarantee="linf"`` is asked of a sparse sketch.

    See Also
    --------
    nearlin.sketch.Accumulator : The sketch of a stream itself.

    Notes
    -----
    Memory: m (d + k) numbers for a sketch of m rows and, with dense sketches, the rows of one chunk that wait
    for it to be complete. Threads may share a stream; they add to it one after the other.

    Examples
    --------
    >>> import numpy as np
    >>> import nearlin
    >>> rng = np.random.default_rng(0)
    >>> A, b = rng.standard_normal((50_000, 10)), rng.standard_normal(50_000)
    >>> here, there = (nearlin.StreamingLeastSquares(sketch_size=800, rng=0) for _ in range(2))
    >>> for start in range(0, 30_000, 7_000):
    ...     _ = here.partial_fit(A[start : start + 7_000], b[start : start + 7_000])
    >>> here.n_rows_seen
    35000
    >>> _ = there.partial_fit(A[35_000:], b[35_000:], row_offset=35_000)
    >>> received = nearlin.StreamingLeastSquares.from_bytes(there.to_bytes())
    >>> at_once = nearlin.sketch_and_solve(A, b, sketch_size=800, rng=0)
    >>> np.allclose(here.merge(received).result().x, at_once.x)
    True
    """

    __slots__ = ()
    _state: _core.LeastSquaresStream
    _State = _core.LeastSquaresStream

    def __init__(
        self,
        *,
        guarantee: str | None = "linf",
        eps: float = 0.5,
        delta: float = 0.01,
        level: float = 0.95,
        sketch: str = "pht",
        sketch_size: int | None = None,
        ridge: float = 0.0,
        n: int | None = None,
        rng: object = None,
    ) -> None:
        if guarantee is not None:
            check_choice(guarantee, "guarantee", ("linf",))
        self._state = _core.LeastSquaresStream(
            check_choice(sketch, "sketch", (*DENSE, *SPARSE)),
            sketch_size=optional(check_int, sketch_size, "sketch_size", at_least=1),
            n=optional(check_int, n, "n", at_least=1, at_most=LARGEST),
            seed=as_seed(rng),
            eps=check_real(eps, "eps", above=0.0),
            delta=check_real(delta, "delta", above=0.0, below=1.0),
            level=check_real(level, "level", above=0.0, below=1.0),
            coordinatewise=guarantee is not None,
            ridge=check_real(ridge, "ridge", at_least=0.0),
        )

    def partial_fit(
        self,
        A: object,
        b: object,
        *,
        sample_weight: object = None,
        row_offset: int | None = None,
        n_jobs: int | None = None,
    ) -> Self:
        """Add a block of rows: all of it or, after an error or Ctrl-C, nothing.

        Parameters
        ----------
        A : array_like or sparse matrix of shape (rows, d)
            As :func:`sketch_and_solve` takes it. There may be no rows.
        b : array_like of shape (rows,) or (rows, k)
            Their right-hand sides.
        sample_weight : array_like of shape (rows,) or float, optional
            Weight of each squared residual.
        row_offset : int, optional
            Which row of the stream the first row of `A` is; by default the one after the last row so far.
        n_jobs : int, optional
            Number of threads; see :func:`nearlin.set_config` for the default. It does not change a bit of the
            result.

        Returns
        -------
        StreamingLeastSquares
            This one.

        Raises
        ------
        InvalidInputError
            If the block does not fit those before (the columns of a frame must be those of the first, in
            their order), holds NaN or infinity, or has a row that was added before.

        Examples
        --------
        >>> import numpy as np
        >>> import nearlin
        >>> stream = nearlin.StreamingLeastSquares(sketch_size=50, rng=0)
        >>> stream.partial_fit(np.eye(7, 2), np.ones(7)).covered
        (range(0, 7),)
        """
        matrix = as_matrix(A, allow_empty=True)
        columns, vector = as_rhs(b, matrix.shape[0], matrix.dtype)
        weights = as_sample_weight(sample_weight, matrix.shape[0], accept_zero=True)
        if row_offset is not None:
            row_offset = check_int(row_offset, "row_offset", at_least=0, at_most=LARGEST)
        with naming_columns(column_names(A)):
            self._add(matrix, columns, weights, vector, string_names(A), row_offset, n_jobs, None)
        return self

    def result(self, *, n_jobs: int | None = None) -> SketchAndSolveResult:
        """Return the answer from the rows so far; the stream may go on.

        Parameters
        ----------
        n_jobs : int, optional
            Number of threads; see :func:`nearlin.set_config` for the default. It does not change a bit of the
            result.

        Returns
        -------
        SketchAndSolveResult
            As :func:`sketch_and_solve` gives it.

        Raises
        ------
        InvalidInputError
            If there are no rows.

        Warns
        -----
        GuaranteeWarning
            If the sketch is sparse, so that nothing is known of single coefficients.

        Examples
        --------
        >>> import numpy as np
        >>> import nearlin
        >>> stream = nearlin.StreamingLeastSquares(sketch_size=50, rng=0)
        >>> A = np.eye(7, 2)
        >>> stream.partial_fit(A, A @ [1.0, 2.0]).result().x.round(12)
        array([1., 2.])
        """
        return self._solve(n_jobs, None)

    def _add(
        self,
        A: Matrix,
        b: Float,
        weights: npt.NDArray[np.float64] | None,
        vector: bool,
        names: list[str] | None,
        row_offset: int | None,
        n_jobs: int | None,
        progress: Progress | None,
    ) -> None:
        self._state.partial_fit(
            A,
            b,
            sample_weight=weights,
            vector=vector,
            names=names,
            row_offset=row_offset,
            threads=resolve_threads(n_jobs),
            progress=progress,
        )

    def _solve(self, n_jobs: int | None, progress: Progress | None) -> SketchAndSolveResult:
        parameters, shape = self._state.parameters, self._state.shape
        # Without a block, any figures will do until the core refuses.
        d, k, m, vector = shape or (1, 1, 2, True)
        level, sparse = parameters["level"], parameters["sketch"] in SPARSE
        answer = self._state.result(
            **_quantiles(m - d, d * k, level), threads=resolve_threads(n_jobs), progress=progress
        )
        guarantee = _guarantee(parameters, answer, d, m)
        if sparse:
            warn(guarantee, GuaranteeWarning)
            unknown = np.full(answer["half_width"].shape, np.nan)
            answer.update({"half_width": unknown, "simultaneous": unknown, "estimate": np.nan, "eps": np.nan})
        bound = float(np.max(answer["simultaneous"]))
        # No sketch can help what rounding adds.
        asked = parameters["eps"] * answer["unit"] + answer["rounding"]
        certificate = Certificate(
            quantity="largest error of a coefficient",
            estimate=float(answer["estimate"]),
            bound=bound,
            confidence=None if sparse else level,
            measured="Student's intervals from the residual and the triangular factor of the sketch",
            target=asked if parameters["guarantee"] else None,
            note=None if guarantee.startswith("proved") else _NOTES[sparse],
            details={
                "eps": float(answer["eps"]),
                "eps_asked": parameters["eps"],
                "delta": parameters["delta"],
                "guarantee": guarantee,
            },
        )
        first: Any = (slice(None), 0) if vector else ()
        norms = answer["residual_norm"]
        return SketchAndSolveResult(
            x=answer["x"][first],
            half_width=answer["half_width"][first],
            simultaneous_half_width=answer["simultaneous"][first],
            level=level,
            eps=float(answer["eps"]),
            residual_norm=float(norms[0]) if vector else norms,
            rank=answer["rank"],
            sketch=parameters["sketch"],
            sketch_size=m,
            guarantee=guarantee,
            certificate=certificate,
        )

    def __repr__(self) -> str:
        parameters = self._state.parameters
        rows = f"{self.n_rows_seen} rows" + (
            f" of {self._state.shape[0]} columns" if self._state.shape else ""
        )
        return f"<StreamingLeastSquares of {rows}, by {parameters['sketch']!r} with seed {parameters['rng']}>"


_NOTES = {
    False: "intervals are asymptotic",
    True: "no intervals: errors of single coefficients may be far from normal with a sparse sketch",
}


def _quantiles(freedom: int, count: int, level: float) -> dict[str, float]:
    """Student's quantiles for one coefficient, for all, and for the median of the largest of all."""
    from scipy.special import stdtrit

    above = {
        "pointwise": (1.0 - level) / 2.0,
        "simultaneous": (1.0 - level) / (2.0 * count),
        "median": (1.0 - 0.5 ** (1.0 / count)) / 2.0,
    }
    return {name: -float(stdtrit(freedom, probability)) for name, probability in above.items()}


def _guarantee(parameters: dict[str, Any], answer: "_core.SketchAndSolveSolution", d: int, m: int) -> str:
    """What is proved about the largest error of a coefficient, and what is not."""
    sketch, delta = parameters["sketch"], parameters["delta"]
    if sketch in SPARSE:
        return (
            f"none for single coefficients: {sketch} embeds the columns of A, but an error can fall on few "
            "coefficients"
        )
    if parameters["ridge"] > 0.0:
        return "empirical: the theorems are about problems without a ridge"
    eps = _core.sketch_and_solve_eps(d, m, delta)
    if not np.isfinite(eps):
        return f"none: the theorem asks for more than {m} rows, whatever eps"
    statement = STATEMENT.format(1.0 - delta, eps)
    if sketch == "gaussian":
        return f"proved: {statement}"
    if sketch == "pht_normals" and answer["one_chunk"]:
        pool, wanted = answer["chunk"] // m, d * (d + 1)
        return (
            "asymptotic: the error is of that order by Theorem 10.1 of Song and Zhang (2026), with constants "
            f"that are not known; it asks for pools of order d (d + 1) = {wanted} rows, and they have {pool}"
        )
    reason = (
        "the published proof for it has a gap, as the direction of the error depends on the sketch"
        if sketch == "srht"
        else "no proof covers it"
    )
    return (
        f"empirical: {statement} held in experiments; proved is that S embeds the columns of A, but {reason}"
    )
