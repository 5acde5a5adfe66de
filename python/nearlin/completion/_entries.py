"""Observed entries in any of the forms in which they come."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nearlin import _core
from nearlin._frames import is_frame, ndim
from nearlin._sparse import check_indices, converting, is_sparse
from nearlin._validation import Float, as_array, as_float, as_matrix, copying
from nearlin.exceptions import InvalidInputError, InvalidTypeError, NonFiniteError, ShapeError

from ._ids import Ids, as_ids, positions

__all__ = [
    "Entries",
    "as_entries",
    "as_rows",
    "coordinates",
    "counted",
    "joined",
    "merged",
    "placed",
    "refuse_list",
    "refuse_nothing",
    "unweighted",
]

Array = npt.NDArray[Any]


@dataclass
class Entries:
    """What the core takes, and what its rows and columns are called."""

    source: Any
    """A SciPy matrix in CSR or CSC form, or a list of shape, rows, columns and values, out of which a fit
    takes these."""
    shape: tuple[int, int]
    count: int
    dtype: np.dtype[Any]
    weights: Any = None
    """One for each entry of shape, rows, columns and values."""
    row_ids: Ids | None = None
    """None of a matrix, whose rows are called by their numbers."""
    col_ids: Ids | None = None

    @property
    def kept(self) -> Any:
        """The source for calls that leave it as it is."""
        return tuple(self.source) if isinstance(self.source, list) else self.source


WEIGHTS = (1e-30, 1e30)
"""The range of weights that products of them and squares of values are surely in, in single precision too."""


def as_entries(X: object, sample_weight: object = None) -> Entries:
    """Return observed entries, with weights: stored ones, those that are not NaN, or those of a list."""
    if is_sparse(X):
        return _weighted(_of_sparse(X), sample_weight, "sample_weight")
    triplets = _triplets(X)
    if triplets is None:
        refuse_list(X, (3, 4))
        return _weighted(_of_dense(as_matrix(X, "X", allow_empty=True)), sample_weight, "sample_weight")
    rows, cols, values, weights = triplets
    if weights is not None and sample_weight is not None:
        raise InvalidInputError(
            "is given, and `X` has weights too, expected one of both", argument="sample_weight"
        )
    row_ids, row = rows.numbered("rows")
    col_ids, col = cols.numbered("cols")
    shape = len(row_ids), len(col_ids)
    entries = Entries([shape, row, col, values], shape, len(values), values.dtype)
    entries.row_ids, entries.col_ids = row_ids, col_ids
    return _weighted(
        entries,
        sample_weight if weights is None else weights,
        "sample_weight" if weights is None else "weights",
    )


def as_rows(X: object, width: int, reader: object = None) -> Entries:
    """Return the observed entries of rows of a matrix for a model: those that are stored, or not NaN."""
    matrix = X if is_sparse(X) else as_matrix(X, "X", allow_empty=True)
    entries = _of_sparse(matrix) if is_sparse(matrix) else _of_dense(matrix)
    if entries.shape[1] != width:
        # In the words of scikit-learn.
        raise ShapeError(
            f"`X`: X has {entries.shape[1]} features, but {type(reader).__name__} is expecting {width} "
            "features as input"
        )
    return entries


def refuse_list(X: object, lengths: tuple[int, ...]) -> None:
    """Raise if X is a list that looks as if it were meant to be a tuple."""
    if not isinstance(X, list) or len(X) not in lengths:
        return
    counts = {len(part) if hasattr(part, "__len__") and np.ndim(part) == 1 else None for part in X}
    if len(counts) == 1 and None not in counts:
        raise InvalidInputError(
            f"is a list of {len(X)} vectors, which may be rows, columns and values, or a table of {len(X)} "
            "rows: expected a tuple, tuple(X), for the former, an array, numpy.array(X), for the latter",
            argument="X",
        )


def refuse_nothing(entries: Entries, what: str = "observed") -> None:
    """Raise if there are no entries; of a matrix without columns in the words of scikit-learn."""
    if entries.count:
        return
    if entries.row_ids is None and not entries.shape[1]:
        raise ShapeError(
            f"has 0 feature(s) (shape={entries.shape}) while a minimum of 1 is required.", argument="X"
        )
    raise InvalidInputError(f"has no {what} entries, expected at least one", argument="X")


def coordinates(entries: Entries) -> tuple[Array, Array, Array]:
    """Return the numbers of rows and columns, and the values, in the order of the entries."""
    if isinstance(entries.source, list):
        _, rows, cols, values = entries.source
        return rows, cols, values
    found = entries.source.tocoo()
    return found.row, found.col, found.data


def merged(entries: Entries, duplicates: str) -> Entries:
    """Return the entries, what `duplicates` has them be where there are several for one place."""
    if duplicates == "keep":
        return entries
    *found, weights = _core.merge_entries(
        entries.kept, weights=entries.weights, duplicates=duplicates, threads=1
    )
    return replace(entries, source=[entries.shape, *found], count=len(found[-1]), weights=weights)


def placed(
    entries: Entries,
    known: tuple[Ids | None, Ids | None],
    shape: tuple[int, int],
    threads: int,
) -> tuple[Array, Array, Array]:
    """Return where rows and columns are among those that are known, -1 for others, and the values."""
    row, col, values = coordinates(entries)
    sides = zip((entries.row_ids, entries.col_ids), (row, col), known, shape, ("rows", "cols"), strict=True)
    rows, cols = (
        positions(Ids(numbers, ("int",)), of_fit, count, name, threads)
        if ids is None
        else positions(ids, of_fit, count, name, threads)[numbers]
        for ids, numbers, of_fit, count, name in sides
    )
    return rows, cols, values


def joined(
    entries: Entries, known: tuple[Ids | None, Ids | None], shape: tuple[int, int]
) -> tuple[Entries, tuple[Array, Array]]:
    """Return entries of a matrix that is known already, in the numbers of all rows and columns.

    The places are the numbers that known rows and columns have then.
    """
    rows, cols, values = coordinates(entries)
    row_ids, m, row_places, rows = _joined(
        known[0], shape[0], entries.row_ids, rows, entries.shape[0], "rows"
    )
    col_ids, n, col_places, cols = _joined(
        known[1], shape[1], entries.col_ids, cols, entries.shape[1], "cols"
    )
    source = [(m, n), rows, cols, values]
    more = Entries(source, (m, n), entries.count, entries.dtype, entries.weights, row_ids, col_ids)
    return more, (row_places, col_places)


def _joined(
    known: Ids | None, count: int, ids: Ids | None, numbers: Array, length: int, name: str
) -> tuple[Ids | None, int, Array, Array]:
    """Return all identities, how many these are, where those are that were known, and the new numbers."""
    if known is None:
        if ids is not None:
            if ids.kinds != ("int",):
                raise InvalidTypeError(
                    f"holds identities of type {' and '.join(ids.kinds)}, expected numbers, as the fit was "
                    "to a matrix",
                    argument=name,
                )
            numbers = ids.values[numbers]
            length = int(ids.values.max()) + 1
        places = np.arange(count, dtype=np.int64)
        return None, max(count, length), places, numbers.astype(np.int64, copy=False)
    if ids is None:
        raise InvalidInputError("is a matrix, expected a list of entries, as in the fit", argument="X")
    everything, places, found = known.joined(ids, name)
    return everything, len(everything), places, found[numbers]


def _weighted(entries: Entries, weights: object, name: str) -> Entries:
    """Return the entries with weights."""
    if weights is None:
        return entries
    numbers = as_float(as_array(weights, name), name)
    if numbers.shape != (entries.count,):
        raise ShapeError(
            f"has shape {numbers.shape}, expected ({entries.count},), one for each entry", argument=name
        )
    _refuse(~(np.isfinite(numbers) & (numbers >= 0)), numbers, "finite numbers, none below 0", name)
    entries.source = [entries.shape, *coordinates(entries)]
    entries.weights = numbers.astype(entries.source[3].dtype, copy=False)
    return entries


def check_weights(entries: Entries) -> None:
    """Refuse weights of which products and sums may be out of range."""
    if entries.weights is not None:
        numbers, (least, most) = entries.weights, WEIGHTS
        beyond = (numbers != 0) & ((numbers < least) | (numbers > most))
        _refuse(beyond, numbers, f"0 or {least:g} to {most:g}", "sample_weight")


def _refuse(wrong: npt.NDArray[np.bool_], numbers: Float, expected: str, name: str) -> None:
    if wrong.any():
        at = int(np.argmax(wrong))
        raise InvalidInputError(f"contains {numbers[at]} at [{at}], expected {expected}", argument=name)


def counted(entries: Entries) -> Entries:
    """Return the entries without those whose weight is zero."""
    if entries.weights is None or entries.weights.all():
        return entries
    kept = entries.weights > 0
    source = [entries.shape, *(part[kept] for part in coordinates(entries))]
    return replace(entries, source=source, count=int(kept.sum()), weights=entries.weights[kept])


def unweighted(entries: Entries) -> Entries:
    """Return entries that must have no weights."""
    if entries.weights is not None:
        raise InvalidInputError("has weights, expected rows, columns and values alone", argument="X")
    return entries


def _of_sparse(X: Any) -> Entries:
    """Return the stored entries; SciPy would add up those for one place in some of its formats."""
    if X.ndim != 2:
        raise ShapeError(f"has {X.ndim} dimensions, expected 2", argument="X")
    check_indices(X, "X")
    if X.format in ("coo", "bsr"):
        with converting(X, "X"):
            found = X.tocoo(copy=False)
            row, col = (_numbers(index) for index in (found.row, found.col))
        values = as_float(np.asarray(found.data), "X")
        return Entries([X.shape, row, col, values], X.shape, len(values), values.dtype)
    if X.format in ("csr", "csc") and X.dtype.kind == "b":
        with copying("X"):
            X = type(X)((as_float(X.data, "X"), X.indices, X.indptr), shape=X.shape)
    matrix = as_matrix(X, "X", allow_empty=True)
    check_indices(matrix, "X")
    return Entries(matrix, matrix.shape, int(matrix.nnz), matrix.dtype)


def _numbers(index: Any) -> Array:
    """Return an index as the core takes it."""
    numbers: Array = np.asarray(index)
    return numbers if numbers.dtype in (np.int32, np.int64) else numbers.astype(np.int64)


def _of_dense(matrix: Any) -> Entries:
    with copying("X"):
        rows, cols = np.nonzero(~np.isnan(matrix))
        values = matrix[rows, cols]
        infinite = np.flatnonzero(np.isinf(values))
    if infinite.size:
        place = f"[{rows[infinite[0]]}, {cols[infinite[0]]}]"
        raise NonFiniteError(
            f"contains infinity at {place}; every entry must be finite, or NaN where it is missing",
            argument="X",
        )
    return Entries([matrix.shape, rows, cols, values], matrix.shape, len(values), values.dtype)


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
    return row, col, numbers, rest[0] if rest else None
