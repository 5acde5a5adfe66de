"""Observed entries in any of the forms in which they come, and the identities of rows and columns."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nearlin._frames import is_frame, ndim
from nearlin._sparse import check_indices, is_sparse
from nearlin._validation import as_array, as_float, as_matrix, copying
from nearlin.exceptions import InvalidInputError, InvalidTypeError, NonFiniteError, ShapeError

__all__ = ["Entries", "as_entries", "counted", "joined", "listed", "positions", "sparse_rows", "unweighted"]

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
    weights: Any = None
    """One for each entry of shape, rows, columns and values."""
    row_ids: Ids | None = None
    col_ids: Ids | None = None


def as_entries(X: object, sample_weight: object = None) -> Entries:
    """Return observed entries, with weights: stored ones, those that are not NaN, or those of a list."""
    if is_sparse(X):
        return _weighted(_of_sparse(X), sample_weight, "sample_weight")
    triplets = _triplets(X)
    if triplets is None:
        return _weighted(_of_dense(as_matrix(X, "X", allow_empty=True)), sample_weight, "sample_weight")
    rows, cols, values, weights = triplets
    if weights is not None and sample_weight is not None:
        raise InvalidInputError(
            "is given, and `X` has weights too, expected one of both", argument="sample_weight"
        )
    row_ids, row = _numbered(rows)
    col_ids, col = _numbered(cols)
    shape = len(row_ids), len(col_ids)
    entries = Entries((shape, row, col, values), shape, len(values), values.dtype)
    entries.row_ids, entries.col_ids = row_ids, col_ids
    return _weighted(
        entries,
        sample_weight if weights is None else weights,
        "sample_weight" if weights is None else "weights",
    )


def joined(
    entries: Entries, row_ids: Ids | None, col_ids: Ids | None, shape: tuple[int, int]
) -> tuple[Entries, tuple[Ids, Ids]]:
    """Return entries of a matrix that is known already, in the numbers of all rows and columns.

    The places are the numbers that known rows and columns have then.
    """
    if isinstance(entries.source, tuple):
        _, rows, cols, values = entries.source
    else:
        coordinates = entries.source.tocoo()
        rows, cols, values = coordinates.row, coordinates.col, coordinates.data
    row_ids, m, row_places, rows = _joined(row_ids, shape[0], entries.row_ids, rows, entries.shape[0], "rows")
    col_ids, n, col_places, cols = _joined(col_ids, shape[1], entries.col_ids, cols, entries.shape[1], "cols")
    source = (m, n), rows, cols, values
    more = Entries(source, (m, n), entries.count, entries.dtype, entries.weights, row_ids, col_ids)
    return more, (row_places, col_places)


def _joined(
    known: Ids | None, count: int, ids: Ids | None, numbers: Ids, length: int, name: str
) -> tuple[Ids | None, int, Ids, Ids]:
    """Return all identities, how many these are, where those are that were known, and the new numbers."""
    if known is None:
        if ids is not None:
            if ids.dtype.kind not in "iu":
                raise InvalidTypeError(
                    f"has dtype {ids.dtype}, expected integers, as in the fit", argument=name
                )
            numbers = ids[numbers]
            length = int(ids.max()) + 1
        places = np.arange(count, dtype=np.int64)
        return None, max(count, length), places, numbers.astype(np.int64, copy=False)
    if ids is None:
        raise InvalidInputError("is a matrix, expected a list of entries, as in the fit", argument="X")
    if known.dtype.kind in "biuf":
        cast = ids.astype(known.dtype) if ids.dtype.kind in "biuf" else None
        if cast is None or not np.array_equal(cast, ids):
            raise InvalidTypeError(
                f"has dtype {ids.dtype}, expected {known.dtype}, as in the fit", argument=name
            )
        ids = cast
    elif known.dtype.kind != ids.dtype.kind:
        raise InvalidTypeError(f"has dtype {ids.dtype}, expected {known.dtype}, as in the fit", argument=name)
    try:
        everything = np.union1d(known, ids)
    except TypeError as error:
        raise InvalidTypeError(
            f"holds identities that cannot be compared with those of the fit: {error}", argument=name
        ) from error
    places = np.searchsorted(everything, known).astype(np.int64, copy=False)
    found = np.searchsorted(everything, ids).astype(np.int64, copy=False)[numbers]
    return everything, len(everything), places, found


def _weighted(entries: Entries, weights: object, name: str) -> Entries:
    """Return the entries with weights."""
    if weights is None:
        return entries
    numbers = as_float(as_array(weights, name), name)
    if numbers.shape != (entries.count,):
        raise ShapeError(
            f"has shape {numbers.shape}, expected ({entries.count},), one for each entry", argument=name
        )
    wrong = np.flatnonzero(~(np.isfinite(numbers) & (numbers >= 0)))
    if wrong.size:
        raise InvalidInputError(
            f"contains {numbers[wrong[0]]} at [{wrong[0]}], expected finite numbers, none below 0",
            argument=name,
        )
    if not isinstance(entries.source, tuple):
        coordinates = entries.source.tocoo()
        row, col = (np.asarray(index, dtype=np.int64) for index in (coordinates.row, coordinates.col))
        entries.source = entries.shape, row, col, coordinates.data
    entries.weights = numbers.astype(entries.source[3].dtype, copy=False)
    return entries


def counted(entries: Entries) -> Entries:
    """Return the entries without those whose weight is zero."""
    if entries.weights is None or entries.weights.all():
        return entries
    kept = entries.weights > 0
    shape, *parts = entries.source
    source = shape, *(part[kept] for part in parts)
    return replace(entries, source=source, count=int(kept.sum()), weights=entries.weights[kept])


def unweighted(entries: Entries) -> Entries:
    """Return entries that must have no weights."""
    if entries.weights is not None:
        raise InvalidInputError("has weights, expected rows, columns and values alone", argument="X")
    return entries


def _numbered(ids: Ids) -> tuple[Ids, npt.NDArray[np.int64]]:
    """Return distinct identities in increasing order, and the place of each among them."""
    most = int(ids.max()) if ids.dtype.kind in "iu" and ids.size else -1
    if not 0 <= most < 4 * ids.size:
        known, places = np.unique(ids, return_inverse=True)
        return known, places.astype(np.int64, copy=False)
    # Without sorting, and without a copy of numbers that leave no gaps.
    seen = np.zeros(most + 1, dtype=bool)
    seen[ids] = True
    known = np.flatnonzero(seen)
    if len(known) == len(seen):
        return known.astype(ids.dtype), ids.astype(np.int64, copy=False)
    places = np.zeros(len(seen), dtype=np.int64)
    places[known] = np.arange(len(known))
    return known.astype(ids.dtype), places[ids]


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


def _triplets(X: object) -> tuple[Ids, Ids, Any, Any] | None:
    """Return rows, columns, values, and weights or None, of a tuple or frame; None of anything else."""
    if is_frame(X):
        frame: Any = X
        if ndim(X) != 2 or frame.shape[1] not in (3, 4):
            raise ShapeError(
                f"is a frame of shape {frame.shape}, expected three columns: rows, columns, values, or four "
                "with weights; a table with missing values is taken as an array, by its to_numpy()",
                argument="X",
            )
        rows, cols, values, *rest = (frame[name] for name in frame.columns)
    elif isinstance(X, tuple):
        if len(X) not in (3, 4):
            raise ShapeError(
                f"is a tuple of {len(X)}, expected (rows, cols, values) or (rows, cols, values, weights)",
                argument="X",
            )
        rows, cols, values, *rest = X
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
    return row, col, numbers, rest[0] if rest else None
