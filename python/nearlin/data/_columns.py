"""Columns of Arrow: which types hold numbers, what several types have in common, and their values."""

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nearlin.exceptions import InvalidInputError

from ._arrays import check_exact
from ._pyarrow import pa

__all__ = [
    "ROWS",
    "Batches",
    "Columns",
    "as_numbers",
    "columns_of",
    "common",
    "is_number",
    "is_single",
    "some",
    "unplaced",
]

ROWS = 1 << 17
"""Rows of a batch of what may be cut anywhere."""

INDEX = re.compile(r"__index_level_\d+__|__null_dask_index__")
"""Names that pandas and Dask make up for an index that has none; they stay where metadata are lost."""


class Columns(dict[str, Any]):
    """Types of columns by name; iterating gives a name as often as there are columns of it.

    Attributes
    ----------
    index : set of str
        Those that pandas has written its index to: no features, unless they are asked for.
    faults : dict
        Why a column cannot be read, by name.
    """

    def __init__(self, schema: Any) -> None:
        super().__init__(zip(schema.names, schema.types, strict=True))
        self._names = list(schema.names)
        told = []
        with suppress(ValueError, AttributeError):  # metadata are anybody's
            told = json.loads((schema.metadata or {}).get(b"pandas", b"{}")).get("index_columns", [])
        self.index = {name for name in self._names if name in told or INDEX.fullmatch(name)}
        self.faults: dict[str, str] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def add(self, name: str, kind: Any) -> None:
        """Append a column."""
        self[name] = kind
        self._names.append(name)

    def check(self, names: Iterable[str]) -> None:
        """Raise if one of these columns cannot be read."""
        for name in names:
            if name in self.faults:
                raise InvalidInputError(f"has a column {name!r} that {self.faults[name]}", argument="source")


class Batches(NamedTuple):
    """Columns of a table, and how to read some of them."""

    kinds: Columns
    read: Callable[[Collection[str]], Iterator[tuple[str, Any]]]
    """From names to batches that have those columns, each after the word that an error begins with."""
    n_rows: int | None
    once: bool


def unplaced(batches: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Give batches of a table whose errors need not begin with a word about which of them it is."""
    return (("", batch) for batch in batches)


def some(table: Any, names: Collection[str]) -> Any:
    """Return the columns of a table or batch that have these names, as far as there are any."""
    wanted = frozenset(names)
    return table.select([j for j, name in enumerate(table.schema.names) if name in wanted])


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


def common(kinds: Iterable[Any]) -> Any:
    """Return a type for what columns of these types hold, None where there is none.

    Numbers of several types are single if all are, and double otherwise; truth values are not among them, as
    a column that once held these and then counts has changed its meaning. Nulls are of any type.
    """
    found = dict.fromkeys(kind for kind in kinds if not pa.types.is_null(kind))
    if len(found) < 2:
        return next(iter(found), pa.null())
    if not all(is_number(kind) and not pa.types.is_boolean(kind) for kind in found):
        return None
    return pa.float32() if all(map(is_single, found)) else pa.float64()


def columns_of(batch: Any, expected: Mapping[str, Any], narrow: Collection[str], place: str) -> list[Any]:
    """Return the columns of a batch, raising unless it has those that were announced, of such types.

    `narrow` are those that no float64 number may come in, since they were announced as single.
    """
    names, kinds = batch.schema.names, batch.schema.types
    if names == list(expected) and kinds == list(expected.values()):
        found: list[Any] = batch.columns
        return found
    places: dict[str, list[int]] = {}
    for j, name in enumerate(names):
        places.setdefault(name, []).append(j)
    for name, announced in expected.items():
        if len(places.get(name, [])) != 1:
            count = "two columns" if name in places else "no column"
            raise InvalidInputError(f"{place}has {count} {name!r}, expected one", argument="source")
        _check_kind(name, kinds[places[name][0]], announced, name in narrow, place)
    return [batch.column(places[name][0]) for name in expected]


def _check_kind(name: str, kind: Any, announced: Any, narrow: bool, place: str) -> None:
    """Raise unless numbers of one type may go on as those of another, without losing digits."""
    both = common([kind, announced])
    if both is None or not is_number(both):
        raise InvalidInputError(
            f"{place}column {name!r} is {kind}, expected {announced} as was announced; encode it alike "
            "everywhere, or leave it out with columns= or exclude=",
            argument="source",
        )
    if narrow and not is_single(kind) and not pa.types.is_null(kind):
        raise InvalidInputError(
            f"{place}column {name!r} is {kind}, and float32 was announced, to which it would be rounded; "
            "dtype=numpy.float64 keeps its digits",
            argument="source",
        )


def as_numbers(values: Any, name: str) -> npt.NDArray[Any]:
    """Return the values of a column, missing ones as NaN."""
    numbers = _to_numpy(values, name)
    check_exact(numbers, f"column {name!r} has")
    return numbers


def _to_numpy(values: Any, name: str) -> npt.NDArray[Any]:
    kind = values.type
    if pa.types.is_null(kind):
        return np.full(len(values), np.nan)
    if pa.types.is_decimal(kind) or (values.null_count and not pa.types.is_floating(kind)):
        if values.null_count and pa.types.is_boolean(kind):
            values = values.cast(pa.int8())
        try:
            values = values.cast(pa.float64())
        except pa.ArrowInvalid as error:
            raise InvalidInputError(
                f"column {name!r} has what is no float64 number: {error}", argument="source"
            ) from error
    numbers: npt.NDArray[Any] = values.to_numpy(zero_copy_only=False)
    return numbers
