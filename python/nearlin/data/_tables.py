"""Rows of tables: which columns are read, what is refused, and blocks of one size from batches of any."""

from collections.abc import Iterator
from difflib import get_close_matches
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nearlin._validation import Matrix
from nearlin.exceptions import InvalidInputError

__all__ = ["Roles", "TableSource", "is_table", "parquet"]


def is_table(source: object) -> bool:
    """Tell whether columns have names: of what has an Arrow stream, and of lazy frames and datasets."""
    home = type(source).__module__.partition(".")[0]
    lazy = (home, type(source).__name__) in (("polars", "LazyFrame"), ("pyarrow", "RecordBatch"))
    return (
        lazy or hasattr(source, "__arrow_c_stream__") or (home == "pyarrow" and hasattr(source, "to_batches"))
    )


def parquet(path: str | bytes) -> Any:
    """Return the dataset of a file or directory of Parquet."""
    from ._batches import dataset

    return dataset(path)


class Roles(NamedTuple):
    """What the columns of a table are to be, by their names."""

    columns: list[str] | None
    """Features; None for all that are nothing else."""
    target: list[str]
    single: bool
    """Whether targets are a vector."""
    sample_weight: str | None
    exclude: list[str]


class TableSource:
    """Some columns of a table: features, targets and weights."""

    def __init__(self, table: Any, roles: Roles, nulls: str, dtype: np.dtype[Any] | None) -> None:
        from ._batches import batches_of, is_number, is_single

        columns, target, single, sample_weight, exclude = roles
        self._batches = batches_of(table)
        kinds = self._batches.kinds
        weights = [] if sample_weight is None else [sample_weight]
        given = {"columns": columns or [], "target": target, "sample_weight": weights, "exclude": exclude}
        for argument, names in given.items():
            for name in names:
                check_column(name, list(kinds), argument)
        others = {*target, *weights, *exclude}
        features = (
            [name for name in dict.fromkeys(kinds) if name not in others] if columns is None else columns
        )
        for name in features:
            if name in others:
                raise InvalidInputError(f"has {name!r}, which has another role", argument="columns")
        if not features:
            raise InvalidInputError("has no columns that are features", argument="source")
        used = [*features, *target, *weights]
        for name in used:
            if list(kinds).count(name) > 1:
                raise InvalidInputError(f"has two columns of the name {name!r}", argument="source")
        strangers = [f"{name!r} ({kinds[name]})" for name in used if not is_number(kinds[name])]
        if strangers:
            raise InvalidInputError(
                f"has what is not numbers: {', '.join(strangers)}; leave them out with columns= or exclude=, "
                "or encode them first",
                argument="source",
            )
        self.n_rows = None if nulls == "drop" else self._batches.n_rows
        self.n_features = len(features)
        self.feature_names: list[str] | None = features
        shape: tuple[int, ...] = () if single else (len(target),)
        self.target_shape = shape if target else None
        narrow = np.float32 if all(is_single(kinds[name]) for name in features) else np.float64
        self.dtype = np.dtype(narrow) if dtype is None else dtype
        self.once = self._batches.once
        self._target, self._single, self._weights, self._nulls = target, single, weights, nulls

    def read(self, rows: int) -> Iterator[tuple[Matrix, Any, Any]]:
        """Give features, targets and weights of so many rows at a time, in order."""
        from ._batches import as_numbers

        rows = rows if self.n_rows is None else max(1, min(rows, self.n_rows))
        names = [*(self.feature_names or []), *self._target, *self._weights]
        block, filled, before = self._empty(rows), 0, 0
        for batch in self._batches.read(names):
            columns = [as_numbers(values, name) for values, name in zip(batch.columns, names, strict=True)]
            columns = self._without_missing(columns, names, before)
            before += batch.num_rows
            first, count = 0, len(columns[0])
            while first < count:
                last = min(count, first + rows - filled)
                to = filled + last - first
                for place, values in zip(chain.from_iterable(block), columns, strict=True):
                    place[filled:to] = values[first:last]
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


def check_column(name: str, names: list[str], argument: str) -> None:
    """Raise unless there is a column of that name, and say which it might be."""
    if name in names:
        return
    folded = [other for other in names if other.casefold() == name.casefold()]
    close = folded or get_close_matches(name, names)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    shown = ", ".join(map(repr, names[:20])) + (", ..." if len(names) > 20 else "")
    raise InvalidInputError(f"names no column: {name!r}; there are [{shown}]{hint}", argument=argument)
