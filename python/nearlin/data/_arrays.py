"""Rows of arrays, memory maps and sparse matrices, by slices."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from nearlin._sparse import check_indices, is_sparse, sparse_dtype
from nearlin._validation import Matrix, as_array, as_matrix, as_sample_weight, float_dtype
from nearlin.exceptions import InvalidInputError, ShapeError

__all__ = ["ArraySource", "as_block", "check_exact"]

EXACT = 2**53
"""Integers up to this size are float64 numbers."""


class ArraySource:
    """An array, and the targets and weights of its rows."""

    feature_names: list[str] | None = None
    once = False

    def __init__(self, X: Any, target: object, sample_weight: object, dtype: np.dtype[Any] | None) -> None:
        if is_sparse(X):
            check_indices(X, "source")  # SciPy trusts them when it slices
            X = X if X.format == "csr" else as_matrix(X, "source", allow_empty=True).tocsr()
        if len(X.shape) != 2:
            raise ShapeError(f"has shape {X.shape}, expected two dimensions", argument="source")
        kind = sparse_dtype(X, "source") if is_sparse(X) else X.dtype
        self._X = X
        self.n_rows, self.n_features = X.shape
        self.row_bytes: int | None = None
        if is_sparse(X):
            stored = X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
            self.row_bytes = max(1, stored // max(1, self.n_rows))
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
            yield (
                as_block(self._X[part], self.dtype),
                None if self._y is None else self._y[part],
                None if self._sample_weight is None else self._sample_weight[part],
            )


def as_block(X: Any, dtype: np.dtype[Any] | None = None) -> Matrix:
    """Return features in this dtype, by default in that of the core, raising if an integer is neither's."""
    entries = X.data if is_sparse(X) else X
    if isinstance(entries, np.ndarray):
        check_exact(entries, "has")
    matrix = as_matrix(X, "source", allow_empty=True)
    return matrix if dtype is None or matrix.dtype == dtype else matrix.astype(dtype)


def check_exact(numbers: npt.NDArray[Any], has: str) -> None:
    """Raise if there is an integer that float64 rounds."""
    if numbers.dtype.kind in "iu" and numbers.dtype.itemsize == 8 and numbers.size:
        least, largest = int(numbers.min()), int(numbers.max())
        if max(-least, largest) > EXACT:
            raise InvalidInputError(
                f"{has} the integer {largest if largest > EXACT else least}, which is no float64 number; "
                "scale it or leave it out",
                argument="source",
            )
