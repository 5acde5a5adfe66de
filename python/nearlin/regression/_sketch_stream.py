"""Least squares of a stream of rows from their sketch, and an interval for each coefficient."""

import textwrap
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from nearlin import _core
from nearlin._certificate import Certificate
from nearlin._config import Progress, resolve_threads
from nearlin._listing import NotATuple, listing
from nearlin._stream import RowStream
from nearlin._validation import (
    LARGEST,
    Float,
    Matrix,
    as_seed,
    check_choice,
    check_int,
    check_real,
    optional,
)
from nearlin._warn import warn
from nearlin.exceptions import GuaranteeWarning

__all__ = ["SKETCH_OPTIONS", "SketchAndSolveResult", "SketchStream"]

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


SKETCH_OPTIONS: dict[str, Any] = {
    "guarantee": "linf",
    "eps": 0.5,
    "delta": 0.01,
    "sketch": "pht",
    "sketch_size": None,
    "n": None,
}
"""What is said of a sketch alone, and what it is by default."""


class SketchStream(RowStream):
    """The sketch of a stream of rows, and its answers; see :func:`sketch_and_solve` for the parameters."""

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

    def add(
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
        """Add a block of rows that is checked already."""
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

    def solve(self, n_jobs: int | None, progress: Progress | None) -> SketchAndSolveResult:
        """Return the answer from the rows so far."""
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
