"""Batches of Arrow from whatever holds a table."""

from collections.abc import Collection, Generator, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from nearlin._frames import library_of, ndim
from nearlin.exceptions import InvalidInputError, InvalidTypeError, NearlinError

from ._columns import ROWS, Batches, Columns, some, unplaced
from ._datasets import of_dataset, of_path
from ._pyarrow import ds, pa

__all__ = ["batches_of", "chained"]


def batches_of(table: Any) -> Batches:
    """Return the batches of a table, or of Parquet at a path; what is wrong is raised in our words."""
    if isinstance(table, Batches):
        return table
    with _in_our_words():
        found = of_path(table) if isinstance(table, str | bytes) else _batches_of(table)

    def read(names: Collection[str]) -> Iterator[tuple[str, Any]]:
        with _in_our_words():
            yield from found.read(names)

    return found._replace(read=read)


def chained(items: Iterator[Any]) -> Batches:
    """Return the batches of all tables of an iterator, of which the first one says what there is."""
    first = batches_of(next(items))

    def read(names: Collection[str]) -> Iterator[tuple[str, Any]]:
        for number, item in enumerate(chain([first], items)):
            place = f"chunk {number}: "
            with _at(place):
                for _, batch in _read_some(item, names):
                    yield place, batch

    return Batches(first.kinds, read, None, True)


def _read_some(table: Any, names: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Give batches with some columns of a table; frames are not asked for the types of all of them first."""
    if library_of(table) == "pandas" and ndim(table) == 2:
        return _read_pandas(table, names)
    part = batches_of(table)
    part.kinds.check(names)
    return part.read(names)


def _batches_of(table: Any) -> Batches:
    home, kind = type(table).__module__.partition(".")[0].strip("_"), type(table).__name__
    if isinstance(table, ds.Dataset):
        return of_dataset(table)
    if isinstance(table, ds.Scanner):
        table = table.to_reader()
    if isinstance(table, pa.RecordBatch):
        table = pa.Table.from_batches([table])
    if isinstance(table, pa.Table):
        return _of_table(table)
    if (home, kind) == ("polars", "LazyFrame"):
        return _of_lazy_frame(table)
    if library_of(table) is not None and ndim(table) == 1:
        raise InvalidTypeError("is a series, expected a frame: its to_frame() makes one", argument="source")
    if library_of(table) == "pandas":
        return _of_pandas(table)
    if home == "duckdb":
        return _of_relation(table)
    return _of_stream(table)


def _of_table(table: Any) -> Batches:
    def read(names: Collection[str]) -> Iterator[tuple[str, Any]]:
        return unplaced(some(table, names).to_batches(max_chunksize=ROWS))

    return Batches(Columns(table.schema), read, table.num_rows, False)


def _of_lazy_frame(frame: Any) -> Batches:
    def read(names: Collection[str]) -> Iterator[tuple[str, Any]]:
        import polars as pl

        # Not the names alone: those that begin with ^ are patterns to polars.
        parts = frame.select(pl.selectors.by_name(*names)).collect_batches(
            chunk_size=ROWS, maintain_order=True
        )
        return unplaced(batch for part in parts for batch in _reader(part))

    return Batches(Columns(_reader(frame.head(0).collect()).schema), read, None, False)


def _of_pandas(frame: Any) -> Batches:
    if not all(isinstance(name, str) for name in frame.columns):
        raise InvalidInputError("is a frame whose columns have names that are no strings", argument="source")
    return Batches(_columns_of_pandas(frame), partial(_read_pandas, frame), len(frame), False)


def _read_pandas(frame: Any, names: Collection[str]) -> Iterator[tuple[str, Any]]:
    # Not by its Arrow stream, which is of a copy of all columns, and has the index among them.
    wanted = frozenset(names)
    chosen = [name in wanted for name in frame.columns]
    some = frame if all(chosen) else frame.loc[:, chosen]
    for start in range(0, len(frame), ROWS):
        yield from unplaced(_of_rows(some.iloc[start : start + ROWS] if len(frame) > ROWS else some))


def _of_rows(frame: Any) -> list[Any]:
    """Return batches of rows, in which a column of objects may hold what it did not before."""
    try:
        # Columns of Arrow's own may be in several pieces.
        found: list[Any] = pa.Table.from_pandas(_plain(frame), preserve_index=False).to_batches()
        return found
    except Exception as error:  # whatever the code of the caller raises
        raise InvalidInputError(f"has a column of several kinds: {error}", argument="source") from error


def _columns_of_pandas(frame: Any) -> Columns:
    """Return the columns of a frame, among which there may be some that Arrow has no type for."""
    frame = _plain(frame)
    try:
        return Columns(pa.Schema.from_pandas(frame, preserve_index=False))
    except Exception:  # as whatever pandas and Arrow raise: below it is known for which column
        columns = Columns(pa.schema([]))
    for j, name in enumerate(frame.columns):
        try:
            columns.add(name, pa.Schema.from_pandas(frame.iloc[:, [j]], preserve_index=False).types[0])
        except Exception as error:
            columns.add(name, pa.null())
            columns.faults[name] = f"cannot be read: {error}"
    return columns


def _plain(frame: Any) -> Any:
    """Return a frame whose columns of numbers are of types that Arrow has, and does not cut short."""
    strange = [j for j, dtype in enumerate(frame.dtypes) if not _is_plain(dtype)]
    if strange:
        frame = frame.copy(deep=False)
    for j in strange:
        frame.isetitem(j, _plain_values(frame.iloc[:, j]))
    return frame


def _is_plain(dtype: Any) -> bool:
    if not isinstance(dtype, np.dtype):
        return type(dtype).__name__ != "SparseDtype"
    return not dtype.hasobject and (dtype.kind not in "fiu" or (dtype.itemsize <= 8 and dtype.isnative))


def _plain_values(column: Any) -> Any:
    """Return as plain what is sparse, longer, of another order of bytes, or objects of several kinds."""
    dtype = column.dtype
    if type(dtype).__name__ == "SparseDtype":
        return column.sparse.to_dense()
    if not dtype.hasobject:
        return column.astype(np.float64 if dtype.itemsize > 8 else dtype.newbyteorder("="))
    if any(issubclass(kind, np.floating) and kind is not np.float64 for kind in set(map(type, column))):
        with suppress(TypeError, ValueError):
            return column.astype(np.float64)
    return column


def _of_relation(relation: Any) -> Batches:
    # A connection has but one result open at a time: what tells the columns is read to its end.
    def read(names: Collection[str]) -> Iterator[tuple[str, Any]]:
        return unplaced(some(batch, names) for batch in _reader(relation))

    return Batches(Columns(_reader(relation.limit(0)).read_all().schema), read, None, False)


def _of_stream(table: Any) -> Batches:
    once = isinstance(table, pa.RecordBatchReader)
    # Some have but one result open at a time: the reader that told the columns is the first to be read.
    readers = [_reader(table)]

    def read(names: Collection[str]) -> Iterator[tuple[str, Any]]:
        return unplaced(some(batch, names) for batch in (readers.pop() if readers else _reader(table)))

    known = len(table) if library_of(table) == "polars" else None
    return Batches(Columns(readers[0].schema), read, known, once)


def _reader(table: Any) -> Any:
    return table if isinstance(table, pa.RecordBatchReader) else pa.RecordBatchReader.from_stream(table)


@contextmanager
def _in_our_words() -> Generator[None]:
    """Raise as errors of nearlin what Arrow and DuckDB find wrong."""
    try:
        yield
    except (NearlinError, MemoryError):
        raise
    except pa.ArrowException as error:
        raise InvalidInputError(f"cannot be read: {error}", argument="source") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0].strip("_") != "duckdb":
            raise
        raise InvalidInputError(
            f"cannot be read: {error}; a connection gives one result at a time, its cursor() is another one",
            argument="source",
        ) from error


@contextmanager
def _at(place: str) -> Generator[None]:
    """Begin errors of nearlin by where it was."""
    try:
        yield
    except NearlinError as error:
        error.args = (f"{place}{error.args[0]}",)
        raise
