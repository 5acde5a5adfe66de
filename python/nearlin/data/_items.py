"""Rows of an iterator, in the blocks that it gives."""

from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from nearlin._frames import check_names, is_frame, string_names
from nearlin._validation import Matrix, as_array, as_sample_weight
from nearlin.exceptions import InvalidInputError, InvalidTypeError, ShapeError

from ._arrays import as_block
from ._tables import Roles, TableSource, is_table

__all__ = ["ItemSource"]

NO_ROLES = Roles(columns=None, target=[], single=False, sample_weight=None, exclude=[])


class ItemSource:
    """Blocks as they come; the first one says what features there are, and their precision."""

    n_rows: int | None = None
    feature_names: list[str] | None
    target_shape: tuple[int, ...] | None
    once = True
    lent = True
    """Whether arrays are somebody else's, who may write the next block to them."""

    @staticmethod
    def of(
        items: Iterator[Any], roles: Roles, nulls: str, dtype: np.dtype[Any] | None
    ) -> "ItemSource | TableSource":
        """Return the blocks of an iterator, or one table if they are batches of it."""
        first = next(items, None)
        if first is None:
            raise InvalidInputError("gives nothing, expected at least one block", argument="source")
        if is_table(first):
            from ._batches import chained

            return TableSource(chained(_tables(chain([first], items))), roles, nulls, dtype)
        if roles != NO_ROLES:
            raise InvalidInputError(
                "gives blocks of arrays, whose columns have no names; let it give (X, y, sample_weight)",
                argument="source",
            )
        if nulls == "drop":
            raise InvalidInputError(
                "is 'drop', expected 'error' for blocks of arrays; let it give the rows that count",
                argument="nulls",
            )
        return ItemSource(first, items, dtype)

    def __init__(self, first: object, others: Iterator[Any], dtype: np.dtype[Any] | None) -> None:
        item = _item(first, 0)
        self._items = chain([first], others)
        self.n_features = item.X.shape[1]
        self.feature_names = item.names
        self.target_shape = None if item.y is None else item.y.shape[1:]
        self.dtype = item.X.dtype if dtype is None else dtype
        self._may_round = dtype is not None

    def read(self, _: int) -> Iterator[tuple[Matrix, Any, Any]]:
        """Give features, targets and weights, in order."""
        for number, item in enumerate(self._items):
            X, y, sample_weight = self._checked(_item(item, number, self.feature_names), number)[:3]
            if X.shape[0]:
                yield X if X.dtype == self.dtype else X.astype(self.dtype), y, sample_weight

    def _checked(self, item: "Item", number: int) -> "Item":
        """Return a block, raising unless it is as the first one was."""
        X, y = item.X, item.y
        if X.shape[1] != self.n_features:
            raise ShapeError(
                f"block {number}: has {X.shape[1]} columns, expected {self.n_features}, as before",
                argument="source",
            )
        shape = None if y is None else y.shape[1:]
        if shape != self.target_shape:
            raise ShapeError(
                f"block {number}: has {_targets(shape)}, expected {_targets(self.target_shape)}, as before",
                argument="source",
            )
        if X.shape[0] and X.dtype.itemsize > self.dtype.itemsize and not self._may_round:
            raise InvalidInputError(
                f"block {number}: has more than the precision of {self.dtype}, to which those before were; "
                "dtype=numpy.float64 keeps its digits",
                argument="source",
            )
        return item


class Item(NamedTuple):
    """A block of an iterator."""

    X: Matrix
    y: Any
    sample_weight: Any
    names: list[str] | None


def _item(item: object, number: int, known: list[str] | None = None) -> Item:
    """Return the parts of a block, its columns being those of these names as far as they have any."""
    parts = item if isinstance(item, tuple) else (item,)
    if not 1 <= len(parts) <= 3:
        raise InvalidTypeError(
            f"block {number}: is a tuple of {len(parts)}, expected X, (X, y) or (X, y, sample_weight)",
            argument="source",
        )
    X = parts[0]
    if is_table(X) and not is_frame(X):
        raise InvalidTypeError(
            f"block {number}: has features of type {type(X).__name__} beside other parts, expected an array "
            "or a frame; a table may have target and weights among its columns",
            argument="source",
        )
    try:
        check_names(X, known, "source")
        matrix = as_block(X)
        y = as_array(parts[1], "source") if len(parts) > 1 and parts[1] is not None else None
        if y is not None and (y.ndim not in (1, 2) or y.shape[0] != matrix.shape[0]):
            raise ShapeError(f"has y of shape {y.shape} beside {matrix.shape[0]} rows", argument="source")
        weights = as_sample_weight(parts[2] if len(parts) > 2 else None, matrix.shape[0], accept_zero=True)
    except InvalidInputError as error:
        error.args = (f"block {number}: {error.args[0]}",)
        raise
    return Item(matrix, y, weights, string_names(X))


def _targets(shape: tuple[int, ...] | None) -> str:
    """Return what targets are whose rows have this shape."""
    return (
        "no targets" if shape is None else "targets that are a vector" if not shape else f"{shape[0]} targets"
    )


def _tables(items: Iterator[Any]) -> Iterator[Any]:
    """Give what an iterator gives, raising unless it is tables."""
    for number, item in enumerate(items):
        if not is_table(item):
            raise InvalidTypeError(
                f"chunk {number}: is of type {type(item).__name__}, expected a table, as before",
                argument="source",
            )
        yield item
