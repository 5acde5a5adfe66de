"""Rows of an iterator, in the blocks that it gives."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np

from nearlin._validation import Matrix, as_array, as_matrix, as_sample_weight
from nearlin.exceptions import InvalidInputError, InvalidTypeError, ShapeError

from ._tables import Roles, TableSource, is_table

__all__ = ["ItemSource"]

NO_ROLES = Roles(columns=None, target=[], single=False, sample_weight=None, exclude=[])


class ItemSource:
    """Blocks as they come; the first one says how many features there are, and their precision."""

    n_rows: int | None = None
    feature_names: list[str] | None = None
    once = True

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

            return TableSource(chained(chain([first], items)), roles, nulls, dtype)
        if roles != NO_ROLES:
            raise InvalidInputError(
                "gives blocks of arrays, whose columns have no names; let it give (X, y, sample_weight)",
                argument="source",
            )
        return ItemSource(first, items, dtype)

    def __init__(self, first: object, others: Iterator[Any], dtype: np.dtype[Any] | None) -> None:
        X, y, _ = _parts(first, 0)
        self._items = chain([first], others)
        self.n_features = X.shape[1]
        self.target_shape = None if y is None else y.shape[1:]
        self.dtype = X.dtype if dtype is None else dtype

    def read(self, _: int) -> Iterator[tuple[Matrix, Any, Any]]:
        """Give features, targets and weights, in order."""
        for number, item in enumerate(self._items):
            X, y, sample_weight = _parts(item, number)
            if X.shape[1] != self.n_features:
                raise ShapeError(
                    f"block {number}: has {X.shape[1]} columns, expected {self.n_features}, as before",
                    argument="source",
                )
            if X.shape[0]:
                yield X if X.dtype == self.dtype else X.astype(self.dtype), y, sample_weight


def _parts(item: object, number: int) -> tuple[Matrix, Any, Any]:
    parts = item if isinstance(item, tuple) else (item,)
    if not 1 <= len(parts) <= 3:
        raise InvalidTypeError(
            f"block {number}: is a tuple of {len(parts)}, expected X, (X, y) or (X, y, sample_weight)",
            argument="source",
        )
    X = as_matrix(parts[0], "source", allow_empty=True)
    y = as_array(parts[1], "source") if len(parts) > 1 and parts[1] is not None else None
    if y is not None and (y.ndim not in (1, 2) or y.shape[0] != X.shape[0]):
        raise ShapeError(
            f"block {number}: has y of shape {y.shape} beside {X.shape[0]} rows", argument="source"
        )
    weights = parts[2] if len(parts) > 2 else None
    return X, y, as_sample_weight(weights, X.shape[0], accept_zero=True)
