"""Datasets of files: the footers of all files say what the columns are, not those of the first one."""

import os
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from nearlin.exceptions import InvalidInputError

from ._columns import ROWS, Batches, Columns, common, unplaced
from ._pyarrow import ds, pa, pq

__all__ = ["of_dataset", "of_path"]

BATCH = 8 << 20
"""Bytes of a batch of a file that is read page by page."""
PAGE = 1 << 20
"""Most bytes of a page, and of a dictionary, as writers have them by default."""
AT_ONCE = 16
"""Footers that are asked for at once, since far away each takes a while."""

Footers = list[tuple[str, Columns]]
"""A file of each kind that there is, and its columns."""


def of_path(path: str | bytes) -> Batches:
    """Return the batches of a file or directory of Parquet."""
    table = _dataset(path)
    if not table.files:
        raise InvalidInputError("is a directory without a file of Parquet", argument="source")
    found = of_dataset(table)

    def read(names: Collection[str]) -> Iterator[tuple[str, Any]]:
        return _by_pages(table, names) if _are_pages_less(table, names) else found.read(names)

    return found if _keys(table) else found._replace(read=read)


def _are_pages_less(table: Any, names: Collection[str]) -> bool:
    """Tell whether pages of the largest file need less memory than one of its row groups.

    A dataset has a row group in memory, as it is when decoded, which many writers make of a whole file. Page
    by page it is one page of each column and a dictionary, of a megabyte each, or less.
    """
    sizes = [info.size or 0 for info in table.filesystem.get_file_info(table.files)]
    if not sizes:
        return False
    with table.filesystem.open_input_file(table.files[sizes.index(max(sizes))]) as opened:
        footer = pq.read_metadata(opened)
    if not footer.num_row_groups:
        return False
    groups = (footer.row_group(k) for k in range(footer.num_row_groups))
    largest = max(groups, key=lambda group: group.num_rows)
    wanted = frozenset(names)
    chunks = [largest.column(j) for j in range(largest.num_columns)]
    used = [chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema in wanted]
    return bool(sum(2 * min(PAGE, size) for size in used) < 8 * largest.num_rows * len(used))


def _by_pages(table: Any, names: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Give batches of one file after the other, each as it was written."""
    rows = max(1, min(ROWS, BATCH // (8 * len(names))))
    for file in table.files:
        with table.filesystem.open_input_file(file) as opened:
            reader = pq.ParquetFile(opened, pre_buffer=False, buffer_size=1 << 16)
            for batch in reader.iter_batches(rows, columns=list(names)):
                yield f"file {file!r}: ", batch


def _dataset(path: str | bytes) -> Any:
    """Return a file or directory of Parquet as a dataset; names of folders are columns of the latter."""
    if Path(os.fsdecode(path), "_delta_log").is_dir():
        raise InvalidInputError(
            "is a table of Delta Lake, of which not all files count; read it by deltalake, whose "
            "to_pyarrow_dataset() gives what is taken here",
            argument="source",
        )
    try:
        return ds.dataset(path, format="parquet", partitioning=None if _is_file(path) else "hive")
    except pa.ArrowTypeError as error:
        raise InvalidInputError(f"has files and folders that disagree: {error}", argument="source") from error
    except pa.ArrowInvalid as error:
        raise InvalidInputError(f"is no Parquet: {error}", argument="source") from error


def _is_file(path: Any) -> bool:
    if "://" not in os.fsdecode(path):
        return Path(os.fsdecode(path)).is_file()
    system, place = pa.fs.FileSystem.from_uri(path)
    return bool(system.get_file_info(place).type == pa.fs.FileType.File)


def of_dataset(table: Any) -> Batches:
    """Return the batches of a dataset, all of one type a column."""
    columns = Columns(table.schema)
    footers = _footers(table)
    if footers:
        _compare(columns, footers, _keys(table))
        table = _of_types(table, columns)
    mixed = [name for name in columns if len({str(there.get(name)) for _, there in footers}) > 1]

    def read(names: Collection[str]) -> Iterator[tuple[str, Any]]:
        # Defaults read far ahead: hundreds of megabytes more, and not faster.
        batches = table.to_batches(
            columns=[name for name in names if name in columns],
            batch_size=ROWS,
            batch_readahead=1,
            fragment_readahead=1,
            fragment_scan_options=ds.ParquetFragmentScanOptions(pre_buffer=False, use_buffered_stream=True)
            if isinstance(getattr(table, "format", None), ds.ParquetFileFormat)
            else None,
        )
        return unplaced(_exactly(batches, mixed) if mixed else batches)

    return Batches(columns, read, table.count_rows(), False)


def _footers(table: Any) -> Footers:
    """Return a file of each kind of columns; nothing of files that have no types."""
    typed = (ds.ParquetFileFormat, ds.IpcFileFormat)
    parts = [part for part in getattr(table, "children", [table]) if hasattr(part, "files")]
    files = [(part, file) for part in parts if isinstance(part.format, typed) for file in part.files]

    def footer(place: tuple[Any, str]) -> Columns:
        part, file = place
        return Columns(part.format.inspect(file, filesystem=part.filesystem))

    kinds: dict[Any, tuple[str, Columns]] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for (_, file), columns in zip(files, pool.map(footer, files), strict=True):
            kinds.setdefault((*columns, *columns.values(), *sorted(columns.index)), (file, columns))
    return list(kinds.values())


def _keys(table: Any) -> list[str]:
    """Return the columns that names of folders give."""
    try:
        piece = next(table.get_fragments(), None)
    except ValueError:  # of one that was filtered
        return []
    return [] if piece is None else list(ds.get_partition_keys(piece.partition_expression))


def _compare(columns: Columns, footers: Footers, keys: list[str]) -> None:
    """Make each column of the type that holds what it is in all files, or note down what is wrong with it."""
    for name in dict.fromkeys(
        name for names in ([*columns], *(there for _, there in footers)) for name in names
    ):
        found = [(file, there) for file, there in footers if name in there]
        if not found:
            continue  # from the names of folders
        file, first = found[0]
        kind = common(there[name] for _, there in found)
        is_index = [name in there.index for _, there in found]
        if name not in columns:
            if len(found) == len(footers):
                continue  # whoever made the dataset left it out
            columns.add(name, first[name])
        if kind is not None:
            columns[name] = kind
        if all(is_index):
            columns.index.add(name)
        if name in keys:
            columns.faults[name] = f"is in file {file!r} and in the names of folders"
        elif len(found) < len(footers):
            other = next(file for file, there in footers if name not in there)
            columns.faults[name] = f"is in file {file!r} and not in {other!r}"
        elif kind is None:
            other, there = next((f, t) for f, t in found if common([t[name], first[name]]) is None)
            columns.faults[name] = f"is {first[name]} in file {file!r} and {there[name]} in {other!r}"
        elif any(is_index) and not all(is_index):
            columns.index.discard(name)
            columns.faults[name] = "is the index of a frame in some files and a column in others"


def _of_types(table: Any, columns: Columns) -> Any:
    """Return a dataset whose columns are of these types."""
    fields = [field.with_type(columns[field.name]) for field in table.schema]
    changed = [new.name for new, old in zip(fields, table.schema, strict=True) if new.type != old.type]
    if not changed:
        return table
    part = getattr(table, "children", [table])[0]
    try:
        pieces = list(table.get_fragments())
    except ValueError:  # of one that was filtered
        for name in changed:
            columns.faults[name] = (
                f"is {columns[name]} in some files and {table.schema.field(name).type} in the dataset, which "
                "has a filter: make it with that type in its schema"
            )
        return table
    return ds.FileSystemDataset(pieces, pa.schema(fields), part.format, part.filesystem)


def _exactly(batches: Iterator[Any], mixed: list[str]) -> Iterator[Any]:
    """Give batches in which Arrow makes these columns double, or finds integers that are no such number."""
    try:
        yield from batches
    except pa.ArrowInvalid as error:
        raise InvalidInputError(
            f"has what is no float64 number in a column that is of several types, among {mixed}: {error}",
            argument="source",
        ) from error
