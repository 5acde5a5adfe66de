"""Batches of Arrow from whatever holds a table. All that is known of pyarrow is here."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nearlin.exceptions import InvalidInputError

try:
    import pyarrow as pa
    import pyarrow.dataset
except ImportError as error:
    raise ImportError(
        "nearlin.data reads tables by pyarrow, which is not installed; run `pip install pyarrow`, or give an "
        "array or an iterator of arrays"
    ) from error

__all__ = ["Batches", "as_numbers", "batches_of", "chained", "dataset", "is_number", "is_single"]

ROWS = 1 << 17
"""Rows of a batch of what may be cut anywhere."""
EXACT = 2**53
"""Integers up to this size are float64 numbers."""


class Batches(NamedTuple):
    """Columns of a table by name, with their types, and how to read some of them."""

    kinds: "Columns"
    read: Callable[[list[str]], Iterator[Any]]
    n_rows: int | None
    once: bool


class Columns(dict[str, Any]):
    """Types of columns by name; iterating gives a name as often as there are columns of it."""

    def __init__(self, schema: Any) -> None:
        super().__init__(zip(schema.names, schema.types, strict=True))
        self._names = list(schema.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)


def batches_of(table: Any) -> Batches:
    """Return the batches of a table."""
    home, kind = type(table).__module__.partition(".")[0], type(table).__name__
    if isinstance(table, pa.dataset.Dataset):
        return _of_dataset(table)
    if isinstance(table, pa.RecordBatch):
        table = pa.Table.from_batches([table])
    if isinstance(table, pa.Table):
        return Batches(
            Columns(table.schema),
            lambda names: iter(table.select(names).to_batches(max_chunksize=ROWS)),
            table.num_rows,
            False,
        )
    if isinstance(table, pa.RecordBatchReader):
        return Batches(Columns(table.schema), lambda names: _some(table, names), None, True)
    if (home, kind) == ("polars", "LazyFrame"):
        return _of_lazy_frame(table)
    if home == "pandas":
        return _of_pandas(table)
    return _of_stream(table)


def dataset(path: str | bytes) -> Any:
    """Return a file or directory of Parquet as a dataset."""
    try:
        return pa.dataset.dataset(path, format="parquet", partitioning="hive")
    except pa.ArrowInvalid as error:
        raise InvalidInputError(f"is no Parquet: {error}", argument="source") from error


def chained(items: Iterable[Any]) -> Any:
    """Return one reader of all batches, tables or frames of an iterable."""
    readers = (_reader(item) for item in items)
    first = next(readers)
    return pa.RecordBatchReader.from_batches(first.schema, chain.from_iterable(chain([first], readers)))


def is_number(kind: Any) -> bool:
    """Tell whether columns of this type hold real numbers."""
    types = pa.types
    return bool(
        types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_boolean(kind)
        or types.is_decimal(kind)
        or types.is_null(kind)
    )


def is_single(kind: Any) -> bool:
    """Tell whether float32 holds whatever is in such columns."""
    return bool(pa.types.is_float16(kind) or pa.types.is_float32(kind))


def as_numbers(values: Any, name: str) -> npt.NDArray[Any]:
    """Return the values of a column, missing ones as NaN."""
    numbers = _to_numpy(values)
    if numbers.dtype.kind in "iu" and numbers.dtype.itemsize == 8 and numbers.size:
        least, largest = int(numbers.min()), int(numbers.max())
        if max(-least, largest) > EXACT:
            raise InvalidInputError(
                f"column {name!r} has the integer {largest if largest > EXACT else least}, which is no "
                "float64 number; scale it or leave it out",
                argument="source",
            )
    return numbers


def _to_numpy(values: Any) -> npt.NDArray[Any]:
    kind = values.type
    if pa.types.is_null(kind):
        return np.full(len(values), np.nan)
    if pa.types.is_decimal(kind) or (values.null_count and not pa.types.is_floating(kind)):
        if values.null_count and pa.types.is_boolean(kind):
            values = values.cast(pa.int8())
        try:
            values = values.cast(pa.float64())
        except pa.ArrowInvalid as error:
            raise InvalidInputError(f"has what is no float64 number: {error}", argument="source") from error
    numbers: npt.NDArray[Any] = values.to_numpy(zero_copy_only=False)
    return numbers


def _of_dataset(table: Any) -> Batches:
    # Defaults read far ahead: hundreds of megabytes more, and not faster.
    reading = (
        pa.dataset.ParquetFragmentScanOptions(pre_buffer=False, use_buffered_stream=True)
        if isinstance(getattr(table, "format", None), pa.dataset.ParquetFileFormat)
        else None
    )

    def read(names: list[str]) -> Iterator[Any]:
        return iter(
            table.to_batches(
                columns=names,
                batch_size=ROWS,
                batch_readahead=1,
                fragment_readahead=1,
                fragment_scan_options=reading,
            )
        )

    return Batches(Columns(table.schema), read, table.count_rows(), False)


def _of_lazy_frame(frame: Any) -> Batches:
    def read(names: list[str]) -> Iterator[Any]:
        parts = frame.select(names).collect_batches(chunk_size=ROWS, maintain_order=True)
        return (batch for part in parts for batch in _reader(part))

    return Batches(Columns(_reader(frame.head(0).collect()).schema), read, None, False)


def _of_pandas(frame: Any) -> Batches:
    # Not by its Arrow stream, which is of a copy of all columns, and has the index among them.
    def read(names: list[str]) -> Iterator[Any]:
        some = frame[names]
        for start in range(0, len(frame), ROWS):
            yield pa.RecordBatch.from_pandas(some.iloc[start : start + ROWS], preserve_index=False)

    if not all(isinstance(name, str) for name in frame.columns):
        raise InvalidInputError("is a frame whose columns have names that are no strings", argument="source")
    try:
        schema = pa.Schema.from_pandas(frame, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InvalidInputError(f"has a column of several kinds: {error}", argument="source") from error
    return Batches(Columns(schema), read, len(frame), False)


def _of_stream(table: Any) -> Batches:
    # Some have but one result open at a time: the reader that told the columns is the first to be read.
    readers = [_reader(table)]

    def read(names: list[str]) -> Iterator[Any]:
        return _some(readers.pop() if readers else _reader(table), names)

    known = len(table) if type(table).__module__.startswith("polars") else None
    return Batches(Columns(readers[0].schema), read, known, False)


def _reader(table: Any) -> Any:
    if isinstance(table, pa.RecordBatch):
        return pa.RecordBatchReader.from_batches(table.schema, [table])
    return pa.RecordBatchReader.from_stream(table)


def _some(batches: Iterable[Any], names: list[str]) -> Iterator[Any]:
    return (batch.select(names) for batch in batches)
