"""Rows of tables: which columns are read, what is refused, and blocks of one size from batches of any."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from difflib import get_close_matches
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nearlin._frames import is_frame
from nearlin._validation import Matrix
from nearlin.exceptions import InvalidInputError

if TYPE_CHECKING:
    from ._columns import Batches, Columns

__all__ = ["Layout", "Roles", "TableSource", "is_table"]


def is_table(source: object) -> bool:
    """Tell whether columns have names: of frames, lazy ones, datasets, and what has an Arrow stream."""
    home = type(source).__module__.partition(".")[0]
    lazy = (home, type(source).__name__) in (("polars", "LazyFrame"), ("pyarrow", "RecordBatch"))
    is_stream = hasattr(source, "__arrow_c_stream__")
    return lazy or is_stream or (home == "pyarrow" and hasattr(source, "to_batches")) or is_frame(source)


class Roles(NamedTuple):
    """What the columns of a table are to be, by their names."""

    columns: list[str] | None
    """Features; None for all that are nothing else."""
    target: list[str]
    single: bool
    """Whether targets are a vector."""
    sample_weight: str | None
    exclude: list[str]

    @property
    def others(self) -> dict[str, list[str]]:
        """What are no features, by argument."""
        weights = [] if self.sample_weight is None else [self.sample_weight]
        return {"target": self.target, "sample_weight": weights, "exclude": self.exclude}


class TableSource:
    """Some columns of a table, or of Parquet at a path: features, targets and weights."""

    def __init__(self, table: Any, roles: Roles, nulls: str, dtype: np.dtype[Any] | None) -> None:
        from ._batches import batches_of

        self._batches = batches_of(table)
        self.layout = Layout(self._batches.kinds, roles, nulls, dtype)
        self.n_rows = None if nulls == "drop" else self._batches.n_rows
        self.n_features, self.dtype = self.layout.n_features, self.layout.dtype
        self.feature_names: list[str] | None = self.layout.feature_names
        self.target_shape = self.layout.target_shape
        self.once = self._batches.once

    def read(self, rows: int) -> Iterator[tuple[Matrix, Any, Any]]:
        """Give features, targets and weights of so many rows at a time, in order."""
        rows = rows if self.n_rows is None else max(1, min(rows, self.n_rows))
        return self.layout.read(self._batches, rows)


class Layout:
    """What is read of a table: its features, targets and weights, of which types, in which dtype."""

    def __init__(self, kinds: Columns, roles: Roles, nulls: str, dtype: np.dtype[Any] | None) -> None:
        from ._columns import is_number, is_single

        self.feature_names = _features(kinds, roles)
        self._target, self._single, self._nulls = roles.target, roles.single, nulls
        self._weights = roles.others["sample_weight"]
        used = [*self.feature_names, *self._target, *self._weights]
        often = Counter(list(kinds))
        for name in used:
            if often[name] > 1:
                raise InvalidInputError(f"has two columns of the name {name!r}", argument="source")
        kinds.check(used)
        strangers = [f"{name!r} ({kinds[name]})" for name in used if not is_number(kinds[name])]
        if strangers:
            raise InvalidInputError(
                f"has what is not numbers: {', '.join(strangers)}; leave them out with columns= or exclude=, "
                "or encode them first",
                argument="source",
            )
        self._kinds = {name: kinds[name] for name in used}
        self.n_features = len(self.feature_names)
        shape: tuple[int, ...] = () if self._single else (len(self._target),)
        self.target_shape = shape if self._target else None
        narrow = all(is_single(kinds[name]) for name in self.feature_names)
        self.dtype = np.dtype(np.float32 if narrow else np.float64) if dtype is None else dtype
        self._narrow = frozenset(self.feature_names if narrow and dtype is None else ())

    def read(self, batches: Batches, rows: int) -> Iterator[tuple[Matrix, Any, Any]]:
        """Give features, targets and weights of so many rows at a time, in order."""
        from ._columns import as_numbers, columns_of

        names = list(self._kinds)
        block, filled, before = self._empty(rows), 0, 0
        for place, batch in batches.read(names):
            found = columns_of(batch, self._kinds, self._narrow, place)
            columns = [as_numbers(values, name) for values, name in zip(found, names, strict=True)]
            columns = self._without_missing(columns, names, before)
            before += batch.num_rows
            first, count = 0, len(columns[0])
            while first < count:
                last = min(count, first + rows - filled)
                to = filled + last - first
                for room, values in zip(chain.from_iterable(block), columns, strict=True):
                    room[filled:to] = values[first:last]
                filled, first = to, last
                if filled == rows:
                    yield self._parts(block, rows)
                    block, filled = self._empty(rows), 0
        if filled:
            yield self._parts(block, filled)

    def _empty(self, rows: int) -> tuple[npt.NDArray[Any], ...]:
        """Return room for features, targets and weights, a column after the other."""
        targets, weights = len(self._target), len(self._weights)
        return (
            np.empty((self.n_features, rows), self.dtype),
            np.empty((targets, rows)),
            np.empty((weights, rows)),
        )

    def _parts(self, block: tuple[npt.NDArray[Any], ...], rows: int) -> tuple[Matrix, Any, Any]:
        X, targets, weights = (columns[:, :rows] for columns in block)
        y = None if not self._target else targets[0] if self._single else targets.T
        return X.T, y, weights[0] if self._weights else None

    def _without_missing(
        self, columns: list[npt.NDArray[Any]], names: list[str], before: int
    ) -> list[npt.NDArray[Any]]:
        """Return columns of numbers; missing values are an error, left out with their rows, or passed on."""
        missing = [np.isnan(values) if values.dtype.kind == "f" else None for values in columns]
        bad = None
        for j, (name, places) in enumerate(zip(names, missing, strict=True)):
            if places is None or not places.any() or (self._nulls == "nan" and j < self.n_features):
                continue
            if self._nulls == "drop":
                bad = places if bad is None else bad | places
                continue
            advice = "; nulls='drop' leaves such rows out"
            advice += ", nulls='nan' passes NaN on" if j < self.n_features else ""
            raise InvalidInputError(
                f"column {name!r} has a missing value in row {before + int(places.argmax())}{advice}",
                argument="source",
            )
        return columns if bad is None else [values[~bad] for values in columns]


def _features(kinds: Columns, roles: Roles) -> list[str]:
    """Return the columns that are features, raising unless all columns that were named have one role."""
    role: dict[str, str] = {}
    for argument, names in roles.others.items():
        for name in names:
            _check_column(name, kinds, argument)
            if name in role:
                raise InvalidInputError(f"has {name!r}, which is {role[name]!r} too", argument=argument)
            role[name] = argument
    for name in roles.columns or []:
        _check_column(name, kinds, "columns")
        if name in role:
            raise InvalidInputError(f"has {name!r}, which has another role", argument="columns")
    # The index of a frame numbers rows, and is no feature unless it is asked for.
    every = [name for name in dict.fromkeys(kinds) if name not in role and name not in kinds.index]
    features = every if roles.columns is None else roles.columns
    if not features:
        raise InvalidInputError("has no columns that are features", argument="source")
    return features


def _check_column(name: str, kinds: Columns, argument: str) -> None:
    """Raise unless there is a column of that name, and say which it might be."""
    if name in kinds:
        return
    names = list(kinds)
    folded = [other for other in names if other.casefold() == name.casefold()]
    close = folded or get_close_matches(name, names)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    shown = ", ".join(map(repr, names[:20])) + (", ..." if len(names) > 20 else "")
    raise InvalidInputError(f"names no column: {name!r}; there are [{shown}]{hint}", argument=argument)
