"""Rows and columns that come."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from nearlin import _core
from nearlin._config import resolve_threads
from nearlin._estimator import in_our_words, named_for_estimators, samples
from nearlin._frames import is_frame, string_names
from nearlin._log import tell
from nearlin._stream import in_turn
from nearlin._validation import Matrix, as_matrix, is_blocks
from nearlin._warn import warn
from nearlin.exceptions import FallbackWarning, InvalidInputError, InvalidTypeError

from ._model import Model

__all__ = ["Appends"]


class Appends(Model):
    """Changes that make the matrix larger."""

    @in_turn
    def partial_fit(self, X: object, y: object = None) -> Self:
        """Append rows; the first ones if there are none.

        Parameters
        ----------
        X : array_like, sparse matrix, frame or RowBlocks of shape (rows, n_features)
            Rows, of as many features as there are, or more: new features come behind the known ones, and the
            rows so far have zeros there. Rows that are not in memory come from :func:`nearlin.data.blocks`.
        y : ignored
            For pipelines.

        Returns
        -------
        self
            The estimator, changed whole or, after an error or Ctrl-C, not at all.

        Raises
        ------
        ShapeError
            If there are fewer features than before.
        """
        fitted = self.__sklearn_is_fitted__()
        if fitted:
            self._check_may_change()
        else:
            self._check_parameters()
        if is_blocks(X):
            return self._append_blocks(X)
        return self._append_samples(samples(self, X, reset=None), self._names_with(X))

    def _append_blocks(self, rows: Any) -> Self:
        """Append all rows of blocks or, after an error, none."""
        twin, names = self.copy(), self._names_after(rows.feature_names)
        for block in rows:
            if block.sample_weight is not None:
                raise InvalidInputError("are rows with weights, expected rows without", argument="X")
            twin._append_samples(samples(self, block.X, reset=None), names)
        if not twin.__sklearn_is_fitted__():
            raise InvalidInputError("are no rows, expected at least one", argument="X")
        self.__dict__.update(twin.__dict__)
        return self

    def _append_samples(self, matrix: Matrix, names: list[str] | None) -> Self:
        if self.__sklearn_is_fitted__():
            self._check_width(matrix, or_wider=True)
            self._names = self._names if names is None else names
            self._append(self._state, matrix, "rows", names)
        else:
            if not isinstance(self.n_components, int | np.integer):
                raise InvalidInputError(
                    f"is {self.n_components}, expected a number of triplets to start from nothing: fit first",
                    argument="n_components",
                )
            k = int(self.n_components)
            policy = self._policy(self._seed() if self.track == "probe" else 0)
            state = _core.TruncatedSVDState(self._kept(k), single=matrix.dtype == np.float32, **policy)
            self._append(state, matrix, "rows", names)
            self._adopt(state, {"n_iter": 0, "solver": "updates", "residual": math.nan}, k, names)
        return self

    @in_turn
    def append_rows(self, X: object) -> Self:
        """Append rows, as :meth:`partial_fit` does without scikit-learn's validation: for one row at a time.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (rows, n_features)
            Rows, of as many features as there are, or more.

        Returns
        -------
        self
            The estimator.
        """
        if not self.__sklearn_is_fitted__() or hasattr(self, "feature_names_in_"):
            return self.partial_fit(X)
        self._check_may_change()
        matrix = as_matrix(X, "X", allow_empty=True)
        self._check_width(matrix, or_wider=True)
        self._append(self._state, matrix, "rows", None)
        return self

    @in_turn
    def append_columns(self, F: object) -> Self:
        """Append features.

        Parameters
        ----------
        F : array_like, sparse matrix or frame of shape (n_samples, columns)
            What the rows so far have in the new columns.

        Returns
        -------
        self
            The estimator.
        """
        self._check_may_change()
        with in_our_words("F"):
            matrix = as_matrix(F, "F", allow_empty=True)
        named = string_names(F) if is_frame(F) else None
        known = getattr(self, "feature_names_in_", None)
        if (known is None) != (named is None) and matrix.shape[1] > 0:
            found, wanted = ("without", "with") if named is None else ("with", "without")
            raise InvalidInputError(
                f"has columns {found} names, expected a matrix {wanted}, as those before", argument="F"
            )
        if known is not None and named is not None and {*known} & {*named}:
            raise InvalidInputError(
                f"has a column named {next(name for name in named if name in known)!r}, which there is",
                argument="F",
            )
        try:
            if known is not None and named is not None:
                self._names = [*known, *named]
            self._append(self._state, matrix, "columns", None)
        except InvalidInputError as error:
            error.argument = "F" if error.argument == "X" else error.argument
            raise
        return self

    def _append(self, state: Any, matrix: Matrix, end: str, names: Sequence[str] | None) -> None:
        if 0 in matrix.shape:
            m, n = state.shape
            if matrix.shape == ((0, n) if end == "rows" else (m, 0)):
                return
        with named_for_estimators(names):
            fell_back = state.append(
                matrix, end=end, method=self.method, threads=resolve_threads(self.n_jobs)
            )
        if fell_back:
            tell(
                "TruncatedSVD",
                lambda: "singular values spread over a factor of 200 and more: by 'qr', not 'gram'",
            )
        if fell_back and not getattr(self, "_warned", False):
            self._warned = True
            warn(
                "the singular values that are kept spread over a factor of 200 and more: as long as they do, "
                'updates are made by "qr", which is slower',
                FallbackWarning,
            )

    @in_turn
    def merge(self, other: Self, *, n_jobs: int | None = None) -> Self:
        """Put the rows of another model below those of this one.

        Parameters
        ----------
        other : TruncatedSVD
            A fitted one, of as many features; it stays as it is.
        n_jobs : int, optional
            Number of threads; by default that of the estimator.

        Returns
        -------
        self
            The estimator.
        """
        self._check_may_change()
        if not isinstance(other, type(self)):
            found, expected = type(other).__name__, type(self).__name__
            raise InvalidTypeError(f"is of type {found}, expected {expected}", argument="other")
        check_is_fitted(other)
        if other is self:
            raise InvalidInputError("is this very model, expected another one", argument="other")
        ours, theirs = (getattr(svd, "feature_names_in_", None) for svd in (self, other))
        if ours is not None and theirs is not None and list(ours) != list(theirs):
            raise InvalidInputError("has features of other names, expected the same", argument="other")
        threads = resolve_threads(self.n_jobs if n_jobs is None else n_jobs)
        self._state.merge(other._state, threads=threads)
        return self
