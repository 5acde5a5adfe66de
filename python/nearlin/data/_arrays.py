"""Rows of arrays, memory maps and sparse matrices, by slices."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from nearlin._sparse import is_sparse, sparse_dtype
from nearlin._validation import Matrix, as_array, as_matrix, as_sample_weight, float_dtype
from nearlin.exceptions import ShapeError

__all__ = ["ArraySource"]


class ArraySource:
    """An array, and the targets and weights of its rows."""

    feature_names: list[str] | None = None
    once = False

    def __init__(self, X: Any, target: object, sample_weight: object, dtype: np.dtype[Any] | None) -> None:
        if is_sparse(X) and X.format != "csr":
            X = as_matrix(X, "source", allow_empty=True).tocsr()
        if len(X.shape) != 2:
            raise ShapeError(f"has shape {X.shape}, expected two dimensions", argument="source")
        kind = sparse_dtype(X, "source") if is_sparse(X) else X.dtype
        self._X = X
        self.n_rows, self.n_features = X.shape
        self.dtype = float_dtype(kind, "source") if dtype is None else dtype
        self._y: npt.NDArray[Any] | None = None
        if target is not None:
            self._y = as_array(target, "target")
            if self._y.ndim not in (1, 2) or self._y.shape[0] != self.n_rows:
                raise ShapeError(
                    f"has shape {self._y.shape}, expected ({self.n_rows},) or ({self.n_rows}, n_targets)",
                    argument="target",
                )
        self.target_shape = None if self._y is None else self._y.shape[1:]
        self._sample_weight = as_sample_weight(sample_weight, self.n_rows)

    def read(self, rows: int) -> Iterator[tuple[Matrix, Any, Any]]:
        """Give features, targets and weights of so many rows at a time, in order."""
        for start in range(0, self.n_rows, rows):
            part = slice(start, min(start + rows, self.n_rows))
            X = as_matrix(self._X[part], "source")
            yield (
                X if X.dtype == self.dtype else X.astype(self.dtype),
                None if self._y is None else self._y[part],
                None if self._sample_weight is None else self._sample_weight[part],
            )
