"""What models with a factor for rows and one for columns have in common: names, rankings, bytes."""

from __future__ import annotations

import json
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from nearlin import _core
from nearlin._config import resolve_threads
from nearlin._estimator import SavedEstimator
from nearlin._validation import Float, as_float_dtype, check_bool, check_int
from nearlin.exceptions import InvalidInputError, InvalidTypeError, ShapeError, StateError

from ._entries import Entries, listed, positions

__all__ = ["FactorModel"]


class FactorModel(SavedEstimator):
    """An estimator around a model in the core."""

    n_jobs: int | None
    U_: Float
    V_: Float
    dtype: npt.DTypeLike | None
    _figures: dict[str, Any]
    _row_ids: npt.NDArray[Any] | None
    _col_ids: npt.NDArray[Any] | None

    def _options(self, seed: int) -> object:
        """Return the parameters, checked."""
        raise NotImplementedError

    def _adopt(
        self,
        state: Any,
        figures: Any,
        row_ids: npt.NDArray[Any] | None,
        col_ids: npt.NDArray[Any] | None,
    ) -> None:
        """Take a model and what was measured, all at once."""
        raise NotImplementedError

    @property
    def row_ids_(self) -> npt.NDArray[Any]:
        """What rows are called."""
        return np.arange(self._state.shape[0]) if self._row_ids is None else self._row_ids

    @property
    def col_ids_(self) -> npt.NDArray[Any]:
        """What columns are called."""
        return np.arange(self._state.shape[1]) if self._col_ids is None else self._col_ids

    def predict(self, rows: object, cols: object) -> Any:
        """Predict entries.

        Parameters
        ----------
        rows, cols : array_like of shape (n,)
            Rows and columns, called as in the fit. Of what the model does not know, it has no factor.

        Returns
        -------
        ndarray of float64 of shape (n,)
            Predictions.
        """
        check_is_fitted(self)
        return self._predicted(*self._places(rows, cols))

    def predict_row(self, row: object) -> Float:
        """Predict a whole row.

        Parameters
        ----------
        row : object
            A row of the fit, by its name.

        Returns
        -------
        ndarray of float64 of shape (n_cols,)
            Predictions, for the columns in the order of `col_ids_`; NaN for what an exact fit does not
            determine.
        """
        check_is_fitted(self)
        found: Float = self._state.predict_rows(self._known_rows([row], "row"), False, threads=1)[0]
        return found

    def reconstruct(self) -> Float:
        """Return the whole matrix.

        Returns
        -------
        ndarray of float64 of shape (n_rows, n_cols)
            Predictions for all rows and columns, observed ones too.

        Raises
        ------
        AllocationError
            If there is no memory for it.
        """
        check_is_fitted(self)
        return self._reconstructed(False)

    def top_n(
        self, rows: object, n: int = 10, *, exclude_observed: bool = True
    ) -> tuple[npt.NDArray[Any], Float]:
        """Return the columns with the largest predictions.

        Parameters
        ----------
        rows : array_like of shape (n_rows,)
            Rows of the fit, by their names.
        n : int, default=10
            Number of columns for each, at most those that there are.
        exclude_observed : bool, default=True
            Whether columns that were observed in a row are left out for it.

        Returns
        -------
        cols : ndarray of shape (n_rows, n)
            Names of the columns, the one with the largest prediction first. Where fewer are left, or
            determined, the predictions are NaN, and the names mean nothing.
        scores : ndarray of float64 of shape (n_rows, n)
            Predictions.
        """
        check_is_fitted(self)
        check_bool(exclude_observed, "exclude_observed")
        most = check_int(n, "n", at_least=1)
        number = self._known_rows(rows, "rows")
        found, scores = self._state.top_n(
            number,
            min(most, max(1, self._state.shape[1])),
            exclude_observed=exclude_observed,
            threads=resolve_threads(self.n_jobs, len(number) * self.V_.size),
        )
        return (found if self._col_ids is None else self._col_ids[found]), scores

    def _places(self, rows: object, cols: object) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return numbers of rows and columns, -1 for those that are not known."""
        m, n = self._state.shape
        row = positions(rows, self._row_ids, m, "rows")
        col = positions(cols, self._col_ids, n, "cols")
        if len(row) != len(col):
            raise ShapeError(f"has {len(col)} entries, expected {len(row)}, as `rows`", argument="cols")
        return row, col

    def _score(self, entries: Entries) -> float:
        """Return the root mean square error on entries, times -1."""
        rows, cols, values = listed(entries)
        if not len(values):
            raise InvalidInputError("has no observed entries, expected at least one", argument="X")
        error = self.predict(rows, cols) - values
        return -float(np.sqrt(np.average(error * error, weights=entries.weights)))

    def _predicted(
        self, row: npt.NDArray[np.int64], col: npt.NDArray[np.int64], minimum_norm: bool = False
    ) -> Float:
        threads = resolve_threads(self.n_jobs, len(row) * self.U_.shape[1])
        found: Float = self._state.predict(row, col, minimum_norm, threads=threads)
        return found

    def _reconstructed(self, minimum_norm: bool) -> Float:
        m, n = self._state.shape
        rows = np.arange(m, dtype=np.int64)
        threads = resolve_threads(self.n_jobs, m * n)
        found: Float = self._state.predict_rows(rows, minimum_norm, threads=threads)
        return found

    def _known_rows(self, rows: object, name: str) -> npt.NDArray[np.int64]:
        found = positions(rows, self._row_ids, self._state.shape[0], name)
        unknown = np.flatnonzero(found < 0)
        if unknown.size:
            wrong = np.asarray(rows)[unknown[0]]
            raise InvalidInputError(f"holds {wrong}, expected rows of the fit", argument=name)
        return found

    def _single(self) -> bool:
        return self.dtype is None or as_float_dtype(self.dtype, "dtype") == "float32"

    @staticmethod
    def _unfitted() -> Any:
        return _core.MatrixCompletionModel()

    def _words(self) -> dict[str, Any]:
        return {
            "figures": self._figures,
            "row_ids": _written(self._row_ids),
            "col_ids": _written(self._col_ids),
        }

    def _resume(self, state: Any, words: dict[str, Any]) -> None:
        ids = [_read(words[name]) for name in ("row_ids", "col_ids")]
        for known, count in zip(ids, state.shape, strict=True):
            if known is not None and known.shape != (count,):
                raise ValueError("other identities than rows and columns")
        self._adopt(state, words["figures"], *ids)

    @classmethod
    def _restored(cls, data: bytes, parameters: dict[str, Any] | None = None) -> Self:
        state, text = _core.MatrixCompletionModel.from_bytes(data)
        try:
            words = json.loads(text)
            estimator = cls(**(words["parameters"] if parameters is None else parameters))
            if parameters is None:
                estimator._options(0)
                estimator._single()
            if words["fitted"] is not None:
                estimator._resume(state, words["fitted"])
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise StateError(f"cannot restore the state: its words do not make sense ({error})") from None
        return estimator


def _written(ids: npt.NDArray[Any] | None) -> dict[str, Any] | None:
    """Return identities as JSON can hold them."""
    if ids is None:
        return None
    values = ids.tolist()
    if ids.dtype.kind not in "biufUO" or not all(isinstance(value, int | float | str) for value in values):
        raise StateError(
            f"cannot write the state: identities are of dtype {ids.dtype}, expected numbers or strings"
        )
    return {"dtype": ids.dtype.str if ids.dtype.kind != "O" else "O", "values": values}


def _read(written: dict[str, Any] | None) -> npt.NDArray[Any] | None:
    if written is None:
        return None
    dtype = np.dtype(str(written["dtype"]))
    if dtype.kind not in "biufUO":
        raise InvalidTypeError(f"identities are of dtype {dtype}")
    return np.array(written["values"], dtype=dtype)
