"""Changes to what is there: to entries, and rows and columns that go."""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt

from nearlin._config import Progress, resolve_progress, resolve_threads
from nearlin._estimator import named_for_estimators
from nearlin._sparse import is_sparse
from nearlin._stream import in_turn
from nearlin._validation import Matrix, as_matrix, as_vector, check_finite, check_int, check_real
from nearlin.exceptions import InvalidInputError, ShapeError

from ._model import Model

__all__ = ["Changes"]


class Changes(Model):
    """Changes that do not make the matrix larger."""

    @in_turn
    def update(self, D: object, E: object) -> Self:
        """Add D E^T to the matrix.

        Parameters
        ----------
        D : array_like or sparse matrix of shape (n_samples, s)
            Left factor.
        E : array_like or sparse matrix of shape (n_features, s)
            Right factor.

        Returns
        -------
        self
            The estimator.

        Notes
        -----
        What that adds to the squares of all entries is not known, so that ``energy_`` is None afterwards.
        """
        self._check_may_change()
        left, right = as_matrix(D, "D", allow_empty=True), as_matrix(E, "E", allow_empty=True)
        for matrix, name, rows in ((left, "D", self.n_samples_seen_), (right, "E", self.n_features_in_)):
            if matrix.shape[0] != rows:
                raise ShapeError(f"has shape {matrix.shape}, expected {rows} rows", argument=name)
        if left.shape[1] != right.shape[1]:
            raise ShapeError(
                f"has {right.shape[1]} columns, expected {left.shape[1]}, as D has", argument="E"
            )
        for matrix, name in ((left, "D"), (right, "E")):
            check_finite(matrix.data if is_sparse(matrix) else matrix, name)
        if left.shape[1]:
            self._state.add_product(left, right, threads=resolve_threads(self.n_jobs))
        return self

    @in_turn
    def add_entries(self, rows: object, cols: object, deltas: object) -> Self:
        """Add to single entries.

        Parameters
        ----------
        rows, cols : array_like of int of shape (count,)
            Where they are; what is added in the same place twice is added up.
        deltas : array_like of shape (count,)
            What is added.

        Returns
        -------
        self
            The estimator.

        Notes
        -----
        As the old values are not told, ``energy_`` is None afterwards. :meth:`set_entries` keeps it.
        """
        self._check_may_change()
        return self._add(rows, cols, self._numbers(deltas, "deltas"), None)

    @in_turn
    def set_entries(self, rows: object, cols: object, new: object, old: object) -> Self:
        """Replace single entries.

        Parameters
        ----------
        rows, cols : array_like of int of shape (count,)
            Where they are, no place twice.
        new : array_like of shape (count,)
            What is there from now on.
        old : array_like of shape (count,)
            What was there: the model only knows about it.

        Returns
        -------
        self
            The estimator.
        """
        self._check_may_change()
        first, second = self._numbers(new, "new"), self._numbers(old, "old")
        if len(first) != len(second):
            raise ShapeError(f"has length {len(second)}, expected {len(first)}, as `new`", argument="old")
        places = np.stack([self._ids(rows, "rows"), self._ids(cols, "cols")])
        if len(np.unique(places, axis=1).T) != places.shape[1]:
            raise InvalidInputError("has a place twice, expected each once", argument="rows")
        return self._add(rows, cols, first - second, float(first @ first - second @ second))

    def _add(self, rows: object, cols: object, deltas: npt.NDArray[np.float64], energy: float | None) -> Self:
        places = [self._ids(rows, "rows"), self._ids(cols, "cols")]
        if len(places[0]) != len(places[1]):
            raise ShapeError(f"has length {len(places[1])}, expected {len(places[0])}", argument="cols")
        if len(deltas) != len(places[0]):
            raise ShapeError(f"has length {len(deltas)}, expected {len(places[0])}", argument="deltas")
        if len(deltas):
            self._state.add_entries(*places, deltas, energy=energy, threads=resolve_threads(self.n_jobs))
        return self

    def _numbers(self, values: object, name: str) -> npt.NDArray[np.float64]:
        vector = as_vector(values, name).astype(np.float64, copy=False)
        check_finite(vector, name)
        return vector

    @in_turn
    def delete_rows(self, ids: object, values: object = None) -> Self:
        """Delete rows; those behind them move up, as in :func:`numpy.delete`.

        Parameters
        ----------
        ids : array_like of int of shape (count,)
            Positions, no row twice.
        values : array_like or sparse matrix of shape (count, n_features), optional
            What these rows are. Without them ``energy_`` and the mean are not known afterwards; with
            ``center=True`` they are needed.

        Returns
        -------
        self
            The estimator.
        """
        self._check_may_change()
        return self._delete(self._ids(ids, "ids"), "rows", values)

    @in_turn
    def delete_columns(self, ids: object, values: object = None) -> Self:
        """Delete features; those behind them move up, as in :func:`numpy.delete`.

        Parameters
        ----------
        ids : array_like of int of shape (count,)
            Positions, no column twice.
        values : array_like or sparse matrix of shape (n_samples, count), optional
            What these columns are. Without them ``energy_`` is not known afterwards; with ``center=True``
            they are needed.

        Returns
        -------
        self
            The estimator.
        """
        self._check_may_change()
        positions, before = self._ids(ids, "ids"), self._state.changes
        try:
            self._delete(positions, "columns", values)
        finally:
            if self._names is not None and self._state.changes != before:
                self._names = list(np.delete(self._names, positions))
        return self

    def _delete(self, ids: npt.NDArray[np.int64], end: str, values: object) -> Self:
        known = self._values(values, len(ids), end)
        if len(ids):
            self._state.delete(ids, end=end, values=known, threads=resolve_threads(self.n_jobs))
        return self

    @in_turn
    def slide(self, X: object, values: object = None) -> Self:
        """Append rows, and delete as many of the oldest ones.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (rows, n_features)
            New rows, no more than there are old ones.
        values : array_like or sparse matrix of shape (rows, n_features), optional
            What the oldest rows are; see :meth:`delete_rows`.

        Returns
        -------
        self
            The estimator, changed whole or not at all.
        """
        self._check_may_change()
        self._names_with(X)
        matrix = as_matrix(X, "X", allow_empty=True)
        self._check_width(matrix, or_wider=True)
        if matrix.shape[0] > self.n_samples_seen_:
            raise ShapeError(
                f"has {matrix.shape[0]} rows, expected at most the {self.n_samples_seen_} that there are",
                argument="X",
            )
        known = None
        if values is not None or self._centred:
            known = self._values(values, matrix.shape[0], "rows")
        if matrix.shape == (0, self.n_features_in_):
            return self
        with named_for_estimators(getattr(self, "feature_names_in_", None)):
            self._state.slide(matrix, method=self.method, values=known, threads=resolve_threads(self.n_jobs))
        return self

    def _values(self, values: object, count: int, end: str) -> Matrix | None:
        if values is None:
            if self._centred:
                raise InvalidInputError(
                    "is None, expected what is deleted: center=True needs the mean", argument="values"
                )
            return None
        if end == "rows":
            self._names_with(values)
        matrix = as_matrix(values, "values", allow_empty=True)
        m, n = self._state.shape
        shape = (count, n) if end == "rows" else (m, count)
        if matrix.shape != shape:
            raise ShapeError(f"has shape {matrix.shape}, expected {shape}", argument="values")
        check_finite(matrix.data if is_sparse(matrix) else matrix, "values")
        return matrix

    @in_turn
    def decay(self, factor: float) -> Self:
        """Multiply the matrix so far by a number: old rows count less and less.

        Parameters
        ----------
        factor : float
            In (0, 1].

        Returns
        -------
        self
            The estimator.
        """
        self._check_may_change()
        gamma = check_real(factor, "factor", above=0.0, at_most=1.0)
        self._state.decay(gamma, threads=1)
        return self

    @in_turn
    def truncate(self, k: int) -> Self:
        """Show no more than `k` triplets from now on, and keep as many fewer beside them.

        Parameters
        ----------
        k : int
            From 1 to the components that there are.

        Returns
        -------
        self
            The estimator.
        """
        self._check_may_change()
        k = check_int(k, "k", at_least=1, at_most=self._k)
        kept = self._kept(k)
        try:
            if kept < self._state.figures["most"]:
                self._state.truncate(kept, threads=resolve_threads(self.n_jobs))
        finally:
            if self._state.figures["most"] <= kept:
                self._k = k
        return self

    @in_turn
    def refresh(self, A: object, passes: int = 1, *, progress: bool | Progress = False) -> Self:
        """Come closer to the matrix, where it is at hand: subspace iteration from the model.

        Parameters
        ----------
        A : array_like or sparse matrix of shape (n_samples, n_features)
            All of the matrix.
        passes : int, default=1
            Products with it and its transpose, each with as many vectors as triplets are kept.
        progress : bool or callable, default=False
            True shows a bar, a callable is called with (passes done, passes, figures).

        Returns
        -------
        self
            The estimator.
        """
        self._check_may_change()
        self._names_with(A)
        matrix = as_matrix(A, "A")
        passes = check_int(passes, "passes", at_least=1)
        self._state.refresh(
            matrix,
            passes=passes,
            threads=resolve_threads(self.n_jobs),
            progress=resolve_progress(progress),
        )
        return self
