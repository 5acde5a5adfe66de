"""What models with a factor for rows and one for columns have in common: names, rankings, bytes."""

from __future__ import annotations

import json
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from sklearn import get_config
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from nearlin import _core
from nearlin._config import resolve_threads
from nearlin._estimator import SavedEstimator
from nearlin._frames import is_frame
from nearlin._validation import (
    Float,
    allocating,
    as_array,
    as_float,
    as_float_dtype,
    check_bool,
    check_int,
    shown,
)
from nearlin.exceptions import InvalidInputError, ShapeError, StateError

from ._entries import Entries, merged, placed, refuse_nothing
from ._ids import Ids, as_ids, positions
from ._status import warn_of_free

__all__ = ["FactorModel", "Fitted"]


class Fitted(NamedTuple):
    """A model and what belongs to it: whoever takes it has all of one fit, whatever is fitted meanwhile."""

    state: Any
    figures: dict[str, Any]
    row_ids: Ids | None
    """None if rows are called by their numbers."""
    col_ids: Ids | None

    @property
    def ids(self) -> tuple[Ids | None, Ids | None]:
        """Of rows and of columns."""
        return self.row_ids, self.col_ids


class FactorModel(ClassNamePrefixFeaturesOutMixin, TransformerMixin, SavedEstimator):
    """An estimator around a model in the core; a transformer of rows of a matrix to those of the model."""

    n_jobs: int | None
    U_: Float
    V_: Float
    dtype: npt.DTypeLike | None
    _fitted: Fitted

    def _options(self, seed: int) -> object:
        """Return the parameters, checked."""
        raise NotImplementedError

    def _adopt(self, state: Any, figures: Any, row_ids: Ids | None, col_ids: Ids | None) -> None:
        """Take a model and what was measured, all at once."""
        raise NotImplementedError

    @property
    def n_features_in_(self) -> int:
        """Number of columns."""
        columns: int = self._fitted.state.shape[1]
        return columns

    @property
    def _n_features_out(self) -> int:
        """Number of components, for the names that scikit-learn gives them."""
        rank: int = self._fitted.state.rank
        return rank

    @property
    def row_ids_(self) -> npt.NDArray[Any]:
        """What rows are called."""
        fitted = self._fitted
        return np.arange(fitted.state.shape[0]) if fitted.row_ids is None else fitted.row_ids.values

    @property
    def col_ids_(self) -> npt.NDArray[Any]:
        """What columns are called."""
        fitted = self._fitted
        return np.arange(fitted.state.shape[1]) if fitted.col_ids is None else fitted.col_ids.values

    @allocating("predictions")
    def predict(self, rows: object, cols: object) -> Any:
        """Predict entries.

        Parameters
        ----------
        rows, cols : array_like of shape (n,)
            Rows and columns, called by things of the same kind as in the fit. Of what the model does not
            know, it has no factor.

        Returns
        -------
        ndarray of float64 of shape (n,)
            Predictions.

        Raises
        ------
        InvalidTypeError
            If rows or columns are called by things of another kind than in the fit.
        """
        check_is_fitted(self)
        fitted = self._fitted
        return self._predicted(fitted, *self._places(fitted, rows, cols))

    @allocating("predictions")
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
        fitted = self._fitted
        found: Float = fitted.state.predict_rows(_known_rows(fitted, [row], "row"), False, threads=1)[0]
        return found

    @allocating("predictions")
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

    def fit_transform(self, X: object, y: object = None, **kwargs: Any) -> Any:
        """Fit the model and return its rows.

        Parameters
        ----------
        X : tuple, frame, sparse matrix or array_like
            As :meth:`fit` takes it.
        y : ignored
            For pipelines.
        **kwargs
            What else :meth:`fit` takes.

        Returns
        -------
        ndarray of float64 of shape (n_rows, rank)
            `U_`, in the order of `row_ids_`; a frame after ``set_output``.
        """
        model: Any = self
        rows: Any = model.fit(X, y, **kwargs).U_.astype(np.float64)
        container = getattr(self, "_sklearn_output_config", {}).get(
            "transform", get_config()["transform_output"]
        )
        if container == "pandas" and is_frame(X):
            # It would be called by the entries else, each of which has a row of its own in X.
            import pandas as pd

            rows = pd.DataFrame(rows, index=self.row_ids_)
        return rows

    @allocating("predictions")
    def inverse_transform(self, U: object, bias: object = None) -> Float:
        """Predict whole rows that need not have been in the fit.

        Parameters
        ----------
        U : array_like of shape (n_samples, rank)
            Rows of the model, as :meth:`transform` gives them.
        bias : array_like of shape (n_samples,), optional
            Biases of the rows, as :meth:`transform` gives them for ``return_bias=True``, of a model that has
            any.

        Returns
        -------
        ndarray of float64 of shape (n_samples, n_cols)
            Predictions, for the columns in the order of `col_ids_`; NaN for columns that an exact fit does
            not determine.

        Raises
        ------
        InvalidInputError
            If there are no biases of the rows, but of the columns.

        Warns
        -----
        GuaranteeWarning
            If an exact fit has not determined all entries of its rows and columns.
        """
        check_is_fitted(self)
        state = self._fitted.state
        warn_of_free(self._fitted.figures)
        _, V, _, col_bias = state.factors()
        rows = as_float(as_array(U, "U"), "U", np.float64)
        if rows.ndim != 2 or rows.shape[1] != V.shape[1]:
            raise ShapeError(f"has shape {rows.shape}, expected (n_samples, {V.shape[1]})", argument="U")
        found: Float = rows @ V.T.astype(np.float64)
        found += col_bias + state.mean
        if bias is not None:
            own = as_float(as_array(bias, "bias"), "bias", np.float64)
            if own.shape != (len(rows),):
                raise ShapeError(f"has shape {own.shape}, expected ({len(rows)},)", argument="bias")
            found += own[:, np.newaxis]
        elif col_bias.any():
            raise InvalidInputError(
                "is None, expected biases of the rows, as transform(X, return_bias=True) gives them",
                argument="bias",
            )
        parts = state.parts()
        if parts is not None:
            found[:, parts[1] < 0] = np.nan
        return found

    @allocating("predictions")
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
            determined, the predictions are NaN, and the names -1, NaT, an empty string or None, whichever
            the dtype has.
        scores : ndarray of float64 of shape (n_rows, n)
            Predictions.
        """
        check_is_fitted(self)
        check_bool(exclude_observed, "exclude_observed")
        most = check_int(n, "n", at_least=1)
        fitted = self._fitted
        number, width = _known_rows(fitted, rows, "rows"), fitted.state.shape[1]
        found, scores = fitted.state.top_n(
            number,
            min(most, max(1, width)),
            exclude_observed=exclude_observed,
            threads=resolve_threads(self.n_jobs, len(number) * width * fitted.state.rank),
        )
        return (found if fitted.col_ids is None else fitted.col_ids.names(found)), scores

    def _places(
        self, fitted: Fitted, rows: object, cols: object
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return numbers of rows and columns, -1 for those that are not known."""
        names = [as_ids(ids, name) for ids, name in ((rows, "rows"), (cols, "cols"))]
        if len(names[0]) != len(names[1]):
            raise ShapeError(
                f"has {len(names[1])} entries, expected {len(names[0])}, as `rows`", argument="cols"
            )
        threads = resolve_threads(self.n_jobs, 100 * len(names[0]))
        sides = zip(names, fitted.ids, fitted.state.shape, ("rows", "cols"), strict=True)
        row, col = (positions(ids, known, count, name, threads) for ids, known, count, name in sides)
        return row, col

    def _score(self, entries: Entries, duplicates: str) -> float:
        """Return the root mean square error on entries, times -1."""
        fitted, entries = self._fitted, merged(entries, duplicates)
        refuse_nothing(entries)
        threads = resolve_threads(self.n_jobs, 100 * entries.count)
        row, col, values = placed(entries, fitted.ids, fitted.state.shape, threads)
        half = np.abs(0.5 * self._predicted(fitted, row, col) - 0.5 * values)
        # In a unit in which no square is out of range.
        unit = float(half.max())
        if not 0.0 < unit < np.inf:
            return -unit
        return -2.0 * unit * float(np.sqrt(np.average((half / unit) ** 2, weights=entries.weights)))

    def _predicted(
        self,
        fitted: Fitted,
        row: npt.NDArray[np.int64],
        col: npt.NDArray[np.int64],
        minimum_norm: bool = False,
    ) -> Float:
        threads = resolve_threads(self.n_jobs, len(row) * fitted.state.rank)
        found: Float = fitted.state.predict(row, col, minimum_norm, threads=threads)
        return found

    def _reconstructed(self, minimum_norm: bool) -> Float:
        state = self._fitted.state
        m, n = state.shape
        rows = np.arange(m, dtype=np.int64)
        threads = resolve_threads(self.n_jobs, m * n)
        found: Float = state.predict_rows(rows, minimum_norm, threads=threads)
        return found

    def _single(self) -> bool:
        return self.dtype is None or as_float_dtype(self.dtype, "dtype") == "float32"

    @staticmethod
    def _unfitted() -> Any:
        return _core.MatrixCompletionModel()

    @property
    def _state(self) -> Any:
        return self._fitted.state

    @property
    def _figures(self) -> dict[str, Any]:
        return self._fitted.figures

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_fitted")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        return tags

    def copy(self) -> Self:
        """Return an independent copy."""
        twin = type(self)(**self.get_params(deep=False))
        if self.__sklearn_is_fitted__():
            twin._adopt(*self._fitted)
        twin.__dict__.update(self._beside())
        return twin

    def _bytes(self, words: dict[str, Any]) -> bytes:
        fitted: Fitted | None = getattr(self, "_fitted", None)
        state, of_fit = self._unfitted(), None
        if fitted is not None:
            ids = {"row_ids": fitted.row_ids, "col_ids": fitted.col_ids}
            written = {name: None if known is None else known.written() for name, known in ids.items()}
            state, of_fit = fitted.state, {"figures": fitted.figures, **written}
        data: bytes = state.to_bytes(json.dumps({**words, "fitted": of_fit}))
        return data

    def _resume(self, state: Any, words: dict[str, Any]) -> None:
        written = (words["row_ids"], words["col_ids"])
        ids = [None if known is None else Ids.read(known) for known in written]
        for known, count in zip(ids, state.shape, strict=True):
            if known is not None and len(known) != count:
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
        except MemoryError:
            raise
        except Exception as error:  # whatever words make of what is said to be a figure
            raise StateError(f"cannot restore the state: its words do not make sense ({error})") from None
        return estimator


def _known_rows(fitted: Fitted, rows: object, name: str) -> npt.NDArray[np.int64]:
    """Return numbers of rows all of which are known."""
    ids = as_ids(rows, name)
    found = positions(ids, fitted.row_ids, fitted.state.shape[0], name)
    unknown = np.flatnonzero(found < 0)
    if unknown.size:
        wrong = shown(ids.values[unknown[0]])
        raise InvalidInputError(f"holds {wrong}, expected rows of the fit", argument=name)
    return found
