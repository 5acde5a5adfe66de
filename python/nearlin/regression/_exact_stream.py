"""Least squares of a stream of rows from their triangular factor."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nearlin import _core
from nearlin._config import resolve_threads
from nearlin._listing import NotATuple, listing
from nearlin._stream import RowStream
from nearlin._validation import Float, Matrix

from ._certificate import LstsqCertificate
from ._solve import Solution, certificate_of

__all__ = ["ExactStream", "StreamedLstsqResult"]


@dataclass(frozen=True, eq=False, repr=False)
class StreamedLstsqResult(NotATuple):
    """Answer of :meth:`StreamingLeastSquares.result` by ``method="qr"``.

    Attributes
    ----------
    x : ndarray of shape (d,) or (d, k)
        The minimiser, in the dtype of the rows; the one of least norm if they are rank-deficient.
    intercept : float or ndarray of shape (k,)
        Constant term, zero without one.
    residual_norm : float or ndarray of shape (k,)
        Norm of the weighted residual.
    rank : int
        Numerical rank of the rows, centred if there is an intercept.
    n_rows : int
        Rows of positive weight.
    certificate : LstsqCertificate
        Backward error of the answer, the worst of all right-hand sides.
    """

    x: Float
    intercept: float | npt.NDArray[np.float64]
    residual_norm: float | npt.NDArray[np.float64]
    rank: int
    n_rows: int
    certificate: LstsqCertificate

    def explain(self) -> str:
        """Tell what was done with the rows, and how good the answer is.

        Returns
        -------
        str
            A few lines, to be printed.

        Examples
        --------
        >>> import numpy as np
        >>> import nearlin
        >>> stream = nearlin.StreamingLeastSquares().partial_fit(np.eye(7, 2), np.ones(7))
        >>> print(stream.result().explain())  # doctest: +ELLIPSIS
        7 rows of positive weight, read once, are in a triangular factor; its rank is 2
        backward error / |A|_F: ...
        """
        return (
            f"{self.n_rows} rows of positive weight, read once, are in a triangular factor; "
            f"its rank is {self.rank}\n{self.certificate}"
        )

    def __repr__(self) -> str:
        return listing({field.name: getattr(self, field.name) for field in fields(self)})


class ExactStream(RowStream):
    """The triangular factor of a stream of rows, and its answers."""

    __slots__ = ()
    _state: _core.TriangularStream
    _State = _core.TriangularStream

    def __init__(self, *, fit_intercept: bool) -> None:
        self._state = _core.TriangularStream(fit_intercept=fit_intercept)

    def add(
        self,
        A: Matrix,
        b: Float,
        weights: npt.NDArray[np.float64] | None,
        vector: bool,
        names: list[str] | None,
        row_offset: int | None,
        n_jobs: int | None,
        progress: None,
    ) -> None:
        """Add a block of rows that is checked already."""
        self._change(self._state.partial_fit, A, b, weights, vector, names, row_offset, n_jobs)

    def remove(
        self,
        A: Matrix,
        b: Float,
        weights: npt.NDArray[np.float64] | None,
        vector: bool,
        names: list[str] | None,
        row_offset: int | None,
        n_jobs: int | None,
    ) -> None:
        """Take out rows that came in before."""
        self._change(self._state.remove, A, b, weights, vector, names, row_offset, n_jobs)

    @staticmethod
    def _change(
        change: Callable[..., None],
        A: Matrix,
        b: Float,
        weights: npt.NDArray[np.float64] | None,
        vector: bool,
        names: list[str] | None,
        row_offset: int | None,
        n_jobs: int | None,
    ) -> None:
        change(
            A,
            b,
            sample_weight=weights,
            vector=vector,
            names=names,
            row_offset=row_offset,
            threads=resolve_threads(n_jobs),
        )

    def take(self, others: list["ExactStream"], n_jobs: int | None) -> None:
        """Add the rows of others, in their order."""
        self._state.merge([other._state for other in others], threads=resolve_threads(n_jobs))

    def solve(self, ridge: float, n_jobs: int | None) -> tuple[Solution, float]:
        """Return the answer from the rows so far, and the logarithm of the product of the weights."""
        return self._state.solve(ridge=ridge, threads=resolve_threads(n_jobs))

    def result(self, ridge: float, n_jobs: int | None) -> StreamedLstsqResult:
        """Return the answer from the rows so far, with its certificate."""
        solution, _ = self.solve(ridge, n_jobs)
        shape, fit = self._state.shape, solution["inference"]
        assert shape is not None
        assert fit is not None
        vector, rank = shape[2], solution["rank"]
        assert rank is not None
        first: Any = (..., 0) if vector else ()
        return StreamedLstsqResult(
            x=solution["x"][first],
            intercept=_squeezed(solution["intercept"], vector),
            residual_norm=_squeezed(solution["residual_norm"], vector),
            rank=rank,
            n_rows=fit["observations"],
            certificate=certificate_of_factor(solution, self._state.fit_intercept),
        )


def _squeezed(values: npt.NDArray[np.float64], vector: bool) -> float | npt.NDArray[np.float64]:
    return float(values[0]) if vector else values


def certificate_of_factor(solution: Solution, fit_intercept: bool) -> LstsqCertificate:
    """Return the certificate of an answer for which rows were not read again."""
    certificate = certificate_of(solution, fit_intercept=fit_intercept)
    measured = (
        "Karlson-Walden estimate for the triangular factor, columns scaled to norm one; the bound and the "
        "target have what rounding makes of a factor of so many rows"
    )
    return replace(certificate, measured=measured)
