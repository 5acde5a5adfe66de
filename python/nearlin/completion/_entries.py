"""Observed entries in any of the forms in which they come, and the identities of rows and columns."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nearlin._frames import is_frame, ndim
from nearlin._sparse import check_indices, is_sparse
from nearlin._validation import as_array, as_float, as_matrix, copying
from nearlin.exceptions import InvalidInputError, InvalidTypeError, NonFiniteError, ShapeError

__all__ = ["Entries", "as_entries", "listed", "positions", "sparse_rows"]

Ids = npt.NDArray[Any]
"""Distinct identities in increasing order; those of rows and columns of a matrix are their numbers."""


@dataclass
class Entries:
    """What the core takes, and what its rows and columns are called."""

    source: Any
    """A SciPy matrix in CSR or CSC form, or shape, rows, columns and values."""
    shape: tuple[int, int]
    count: int
    dtype: np.dtype[Any]
    row_ids: Ids | None = None
    col_ids: Ids | None = None


def as_entries(X: object) -> Entries:
    """Return observed entries: stored ones, those that are not NaN, or those of a list."""
    if is_sparse(X):
        return _of_sparse(X)
    triplets = _triplets(X)
    if triplets is None:
        return _of_dense(as_matrix(X, "X", allow_empty=True))
    rows, cols, values = triplets
    row_ids, row = np.unique(rows, return_inverse=True)
    col_ids, col = np.unique(cols, return_inverse=True)
    shape = len(row_ids), len(col_ids)
    source = shape, row.astype(np.int64, copy=False), col.astype(np.int64, copy=False), values
    return Entries(source, shape, len(values), values.dtype, row_ids, col_ids)


def listed(entries: Entries) -> tuple[Any, Any, Any]:
    """Return rows, columns and values, called as they came."""
    if isinstance(entries.source, tuple):
        _, rows, cols, values = entries.source
        if entries.row_ids is not None and entries.col_ids is not None:
            rows, cols = entries.row_ids[rows], entries.col_ids[cols]
        return rows, cols, values
    coordinates = entries.source.tocoo()
    return coordinates.row, coordinates.col, coordinates.data


def sparse_rows(X: object, width: int) -> Any:
    """Return rows whose observed entries are the stored ones, or not NaN, in CSR or CSC form."""
    matrix = as_matrix(X, "X", allow_empty=True)
    if matrix.shape[1] != width:
        raise ShapeError(f"has {matrix.shape[1]} columns, expected {width}, as in the fit", argument="X")
    if is_sparse(matrix):
        check_indices(matrix, "X")
        return matrix
    from scipy.sparse import csr_array

    (rows, cols), values = _observed(matrix)
    return csr_array((values, (rows, cols)), shape=matrix.shape)


def as_ids(ids: object, name: str) -> Ids:
    """Return identities as a vector."""
    with copying(name):
        array = np.asarray(ids.to_numpy() if is_frame(ids) else ids)  # type: ignore[attr-defined]
    if array.ndim != 1:
        raise ShapeError(f"has {array.ndim} dimensions, expected 1", argument=name)
    if array.dtype.kind == "f":
        wrong = np.flatnonzero(~(np.isfinite(array) & (array == np.floor(array))))
        if wrong.size:
            raise InvalidInputError(
                f"contains {array[wrong[0]]} at [{wrong[0]}], expected integers or other identities",
                argument=name,
            )
    if array.dtype.kind == "O":
        missing = next((k for k, value in enumerate(array) if value is None or value != value), None)
        if missing is not None:
            raise InvalidInputError(f"is missing at [{missing}], expected an identity", argument=name)
    if array.dtype.kind not in "biufUSOMm":
        raise InvalidTypeError(
            f"has dtype {array.dtype}, expected integers or other identities", argument=name
        )
    return array


def positions(ids: object, known: Ids | None, count: int, name: str) -> npt.NDArray[np.int64]:
    """Return where identities are among those that are known, -1 for others."""
    array = as_ids(ids, name)
    if known is None:
        if array.dtype.kind not in "iu" and array.size:
            raise InvalidTypeError(f"has dtype {array.dtype}, expected integers", argument=name)
        if array.size and array.min() < 0:
            k = int(np.flatnonzero(array < 0)[0])
            raise InvalidInputError(f"contains {array[k]} at [{k}], expected none below 0", argument=name)
        return np.where(array < count, array, -1).astype(np.int64)
    if not len(known) or not array.size:
        return np.full(array.shape, -1, dtype=np.int64)
    try:
        found = np.minimum(np.searchsorted(known, array), len(known) - 1)
    except TypeError as error:
        raise InvalidTypeError(
            f"holds identities that cannot be compared with those of the fit: {error}", argument=name
        ) from error
    return np.where(known[found] == array, found, -1).astype(np.int64)


def _of_sparse(X: Any) -> Entries:
    if X.ndim != 2:
        raise ShapeError(f"has {X.ndim} dimensions, expected 2", argument="X")
    if X.format == "coo":  # which SciPy would add up
        check_indices(X, "X")
        values = as_float(np.asarray(X.data), "X")
        row, col = (np.asarray(index, dtype=np.int64) for index in (X.row, X.col))
        return Entries((X.shape, row, col, values), X.shape, len(values), values.dtype)
    matrix = as_matrix(X, "X", allow_empty=True)
    check_indices(matrix, "X")
    return Entries(matrix, matrix.shape, int(matrix.nnz), matrix.dtype)


def _of_dense(matrix: Any) -> Entries:
    (rows, cols), values = _observed(matrix)
    return Entries((matrix.shape, rows, cols, values), matrix.shape, len(values), values.dtype)


def _observed(matrix: Any) -> tuple[tuple[Ids, Ids], Ids]:
    """Return places and values of the entries that are not NaN."""
    rows, cols = np.nonzero(~np.isnan(matrix))
    values = matrix[rows, cols]
    infinite = np.flatnonzero(np.isinf(values))
    if infinite.size:
        place = f"[{rows[infinite[0]]}, {cols[infinite[0]]}]"
        raise NonFiniteError(
            f"contains infinity at {place}; every entry must be finite, or NaN where it is missing",
            argument="X",
        )
    return (rows.astype(np.int64, copy=False), cols.astype(np.int64, copy=False)), values


def _triplets(X: object) -> tuple[Ids, Ids, Any] | None:
    """Return rows, columns and values of a tuple or frame of three, None of anything else."""
    if is_frame(X):
        frame: Any = X
        if ndim(X) != 2 or frame.shape[1] != 3:
            raise ShapeError(
                f"is a frame of shape {frame.shape}, expected three columns: rows, columns, values; a table "
                "with missing values is taken as an array, by its to_numpy()",
                argument="X",
            )
        rows, cols, values = (frame[name] for name in frame.columns)
    elif isinstance(X, tuple):
        if len(X) != 3:
            raise ShapeError(f"is a tuple of {len(X)}, expected (rows, cols, values)", argument="X")
        rows, cols, values = X
    else:
        return None
    numbers = as_float(as_array(values, "values"), "values")
    if numbers.ndim != 1:
        raise ShapeError(f"has {numbers.ndim} dimensions, expected 1", argument="values")
    row, col = as_ids(rows, "rows"), as_ids(cols, "cols")
    for name, ids in (("rows", row), ("cols", col)):
        if len(ids) != len(numbers):
            raise ShapeError(f"has {len(ids)} entries, expected {len(numbers)}, as `values`", argument=name)
        if ids.dtype.kind in "if" and ids.size and ids.min() < 0:
            k = int(np.flatnonzero(ids < 0)[0])
            raise InvalidInputError(f"contains {ids[k]} at [{k}], expected none below 0", argument=name)
    return row, col, numbers
