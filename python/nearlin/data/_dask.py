"""Rows of Dask's arrays and frames: a partition is a block. All that is known of Dask is here."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import accumulate
from typing import Any, TypeVar

import dask
import numpy as np
from dask import delayed

from nearlin._validation import Matrix, as_array, as_sample_weight, float_dtype
from nearlin.distributed import merge_tree
from nearlin.exceptions import InvalidInputError, ShapeError

from ._arrays import as_block
from ._batches import batches_of
from ._tables import Layout, Roles, TableSource

__all__ = ["DaskArray", "DaskFrame"]

T = TypeVar("T")


class Partitions:
    """Parts of a collection that have rows, each a task that gives features, targets and weights."""

    once = False
    n_rows: int | None

    def _begin(self, tasks: list[Any], lengths: list[int]) -> None:
        """Keep them, and how many rows come before each."""
        kept = [k for k, length in enumerate(lengths) if length]
        self.n_rows = sum(lengths)
        self.block_rows = max(lengths, default=0)
        self._tasks = [tasks[k] for k in kept]
        self._lengths = [lengths[k] for k in kept]
        self._starts = list(accumulate((lengths[k] for k in kept), initial=0))[:-1]

    def read(self, _: int) -> Iterator[tuple[Matrix, Any, Any]]:
        """Give features, targets and weights of one part after the other."""
        for task, rows in zip(self._tasks, self._lengths, strict=True):
            (parts,) = dask.compute(task)
            yield _of_length(parts, rows)

    def map_reduce(
        self, leaf: Callable[..., T], merge: Callable[[list[T]], T], block: type, threads: int
    ) -> T:
        """Make something of every part, and merge it in a fixed tree, where Dask has its workers."""
        # Functions are values of their own, sent once however many tasks have use for them.
        of_part, of_several = (delayed(function, pure=False, traverse=False) for function in (leaf, merge))
        make, put_together = delayed(_made, pure=False), delayed(_merged, pure=False)
        tasks = zip(self._tasks, self._starts, self._lengths, strict=True)
        leaves = [make(of_part, block, task, start, rows) for task, start, rows in tasks]
        if not leaves:
            raise InvalidInputError("has no rows, expected at least one", argument="source")
        whole = merge_tree(leaves, lambda parts: put_together(of_several, *parts))
        made: T = whole.compute(num_workers=threads)
        return made


class DaskArray(Partitions):
    """An array that is cut along its rows, with the targets and weights of these."""

    feature_names: list[str] | None = None

    def __init__(self, X: Any, target: Any, sample_weight: Any, dtype: np.dtype[Any] | None) -> None:
        if X.ndim != 2:
            raise ShapeError(f"has {X.ndim} dimensions, expected 2", argument="source")
        X = X.rechunk({1: -1})
        self.n_features = int(X.shape[1])
        self.dtype = float_dtype(X.dtype, "source") if dtype is None else dtype
        tasks = list(X.to_delayed()[:, 0])
        lengths = _known(X.chunks[0]) or list(dask.compute(*map(delayed(len), tasks)))
        y, weights = _cut(target, lengths, "target"), _cut(sample_weight, lengths, "sample_weight")
        self.target_shape = None if y is None else y[0].shape[1:]
        make = delayed(partial(_of_arrays, self.n_features, self.target_shape, self.dtype), pure=False)
        of = [None if part is None else part[1] for part in (y, weights)]
        beside = zip(*([None] * len(tasks) if part is None else part for part in of), strict=True)
        self._begin([make(task, *others) for task, others in zip(tasks, beside, strict=True)], lengths)


class DaskFrame(Partitions):
    """A frame of which some columns are features, targets and weights."""

    def __init__(self, frame: Any, roles: Roles, nulls: str, dtype: np.dtype[Any] | None) -> None:
        like = TableSource(frame._meta, roles, nulls, dtype)
        self.n_features, self.feature_names = like.n_features, like.feature_names
        self.target_shape, self.dtype = like.target_shape, like.dtype
        used = [*like.layout.feature_names, *roles.target, *roles.others["sample_weight"]]
        # One graph for lengths and rows: Dask cuts files otherwise if other columns of them are read.
        parts = frame[used].optimize().to_delayed(optimize_graph=False)
        make, layout = delayed(_of_frame, pure=False), delayed(like.layout, pure=False, traverse=False)
        tasks = [make(part, layout, number) for number, part in enumerate(parts)]
        counted = [delayed(_rows)(task) for task in tasks] if nulls == "drop" else map(delayed(len), parts)
        self._begin(tasks, list(dask.compute(*counted)))


def _known(chunks: tuple[Any, ...]) -> list[int] | None:
    """Return the lengths of chunks where they are known."""
    return None if any(length != length for length in chunks) else [int(length) for length in chunks]


def _cut(values: Any, lengths: list[int], name: str) -> tuple[Any, list[Any]] | None:
    """Return targets or weights, and their parts beside those of the rows."""
    if values is None:
        return None
    import dask.array as da

    if hasattr(values, "to_dask_array"):
        values = values.to_dask_array()
    if not isinstance(values, da.Array):
        values = da.from_array(as_array(values, name), chunks=-1)
    if values.ndim not in (1, 2) or (_known(values.chunks[0]) and values.shape[0] != sum(lengths)):
        raise ShapeError(f"has shape {values.shape}, expected {sum(lengths)} rows", argument=name)
    if _known(values.chunks[0]):
        values = values.rechunk((tuple(lengths), *[-1] * (values.ndim - 1)))
    if values.numblocks[0] != len(lengths):
        raise ShapeError(
            f"has {values.numblocks[0]} chunks of unknown lengths, expected {len(lengths)}, as the rows "
            "have; columns of one frame go together by their names: blocks(frame, target=...)",
            argument=name,
        )
    return values, list(values.rechunk({k: -1 for k in range(1, values.ndim)}).to_delayed().reshape(-1))


def _of_arrays(
    n_features: int, target_shape: tuple[int, ...] | None, dtype: np.dtype[Any], X: Any, y: Any, weights: Any
) -> tuple[Matrix, Any, Any]:
    """Return what a chunk holds, raising unless it is what its collection says."""
    matrix = as_block(X, dtype)
    n = matrix.shape[0]
    if matrix.shape[1] != n_features:
        raise ShapeError(f"has {matrix.shape[1]} columns in a chunk of {n_features}", argument="source")
    if y is not None and y.shape[1:] != target_shape:
        raise ShapeError(f"has shape {y.shape} in a chunk of (rows, *{target_shape})", argument="target")
    for values, name in ((y, "target"), (weights, "sample_weight")):
        if values is not None and len(values) != n:
            raise ShapeError(f"has {len(values)} rows in a chunk of {n}", argument=name)
    return (
        matrix,
        None if y is None else as_array(y, "target"),
        as_sample_weight(weights, n, accept_zero=True),
    )


def _of_frame(frame: Any, layout: Layout, number: int) -> tuple[Matrix, Any, Any]:
    """Return what a partition holds, no rows where none are left."""
    try:
        rows = layout.read(batches_of(frame), max(1, len(frame)))
        return next(rows, (np.empty((0, 0), layout.dtype), None, None))
    except InvalidInputError as error:
        error.add_note(f"in partition {number}")
        raise


def _rows(parts: tuple[Matrix, Any, Any]) -> int:
    return int(parts[0].shape[0])


def _of_length(parts: tuple[Matrix, Any, Any], rows: int) -> tuple[Matrix, Any, Any]:
    """Return a part, raising unless it has as many rows as were counted at first."""
    if _rows(parts) != rows:
        raise InvalidInputError(
            f"gives {_rows(parts)} rows where {rows} were counted, expected the same rows in every pass",
            argument="source",
        )
    return parts


def _made(leaf: Callable[..., T], block: type, parts: tuple[Matrix, Any, Any], start: int, rows: int) -> T:
    return leaf(block(*_of_length(parts, rows), start))


def _merged(merge: Callable[[list[T]], T], *parts: T) -> T:
    return merge(list(parts))
