"""One noun for rows that are not in memory at once: where they come from, and what of them is read."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from nearlin._config import Progress, resolve_progress, resolve_threads
from nearlin._listing import listing
from nearlin._sparse import is_sparse
from nearlin._validation import Matrix, as_array, as_float_dtype, check_choice, check_int, shown
from nearlin.distributed import merge_tree
from nearlin.exceptions import InvalidInputError, InvalidTypeError

from ._arrays import ArraySource
from ._items import ItemSource
from ._tables import Roles, TableSource, is_table

__all__ = ["Block", "RowBlocks", "blocks"]

T = TypeVar("T")


class Block(NamedTuple):
    """Some rows, one after the other.

    Attributes
    ----------
    X : ndarray or sparse matrix of shape (rows, n_features)
        Features, in Fortran order where they are copied.
    y : ndarray of shape (rows,) or (rows, n_targets), or None
        Targets, where there are any.
    sample_weight : ndarray of shape (rows,), or None
        Weights, where there are any.
    start : int
        How many rows came before the first of these.
    """

    X: Matrix
    y: npt.NDArray[Any] | None
    sample_weight: npt.NDArray[np.float64] | None
    start: int


class Source(Protocol):
    """Where rows come from."""

    n_rows: int | None
    n_features: int
    feature_names: list[str] | None
    target_shape: tuple[int, ...] | None
    dtype: np.dtype[Any]
    once: bool

    def read(self, rows: int) -> Iterator[tuple[Matrix, Any, Any]]:
        """Give features, targets and weights of so many rows at a time, in order."""


class RowBlocks:
    """Rows in blocks, from :func:`nearlin.data.blocks`.

    Iterating reads them, from the first one on, as :class:`Block`.

    Attributes
    ----------
    n_rows : int or None
        Number of rows, where it is known without reading them.
    n_features : int
        Number of features.
    feature_names : list of str, or None
        Their names, where they have any.
    target_shape : tuple of int, or None
        Shape of the targets of a row: ``()`` of a vector of them, ``(n_targets,)`` of several; None without.
    dtype : numpy.dtype
        Of features: float32 or float64.
    block_rows : int
        Rows of a block; the last one may have fewer, and those of an iterator have as many as they come with.
    once : bool
        Whether rows can be read only once.
    """

    n_rows: int | None
    n_features: int
    feature_names: list[str] | None
    target_shape: tuple[int, ...] | None
    dtype: np.dtype[Any]
    block_rows: int
    once: bool
    _source: Source
    _read: bool
    _counted: int | None
    """Rows, as soon as they are known."""
    _progress: bool | Progress = False

    @classmethod
    def _of(cls, source: Source, block_bytes: int) -> "RowBlocks":
        rows = cls()
        rows._source = source
        rows._read = False
        rows.n_rows = rows._counted = source.n_rows
        rows.n_features = source.n_features
        rows.feature_names = source.feature_names
        rows.target_shape = source.target_shape
        rows.dtype = source.dtype
        rows.once = source.once
        row_bytes = getattr(source, "row_bytes", None) or source.dtype.itemsize * max(1, source.n_features)
        rows.block_rows = getattr(source, "block_rows", None) or max(1, block_bytes // row_bytes)
        return rows

    def __iter__(self) -> Iterator[Block]:
        if self.once and self._read:
            raise InvalidInputError(
                "can be read only once, and was; arrays, files and frames can be read again",
                argument="source",
            )
        self._read = True
        return self._blocks()

    def _blocks(self) -> Iterator[Block]:
        start, listener = 0, resolve_progress(self._progress)
        for X, y, sample_weight in self._source.read(self.block_rows):
            yield Block(X, y, sample_weight, start)
            start += X.shape[0]
            if listener is not None:
                listener(start, 0 if self.n_rows is None else max(start, self.n_rows), {})
        if self._counted not in (None, start):
            raise InvalidInputError(
                f"gave {start} rows where {self._counted} were counted, expected the same rows in every pass",
                argument="source",
            )
        self._counted = start
        if listener is not None and self.n_rows is None and start:
            listener(start, start, {})

    def with_progress(self, progress: bool | Progress = True) -> Self:
        """Tell how many rows were read, from now on and in every pass, whoever reads them.

        Of Dask's collections that is what is read here; of passes on its workers their dashboard tells.

        Parameters
        ----------
        progress : bool or callable, default=True
            True shows a bar, a callable is called after each block with (rows done, all rows or 0 as long as
            that is not known, figures); False ends it. An exception that it raises ends the reading.

        Returns
        -------
        RowBlocks
            This one.

        Examples
        --------
        >>> import numpy as np
        >>> import nearlin
        >>> from nearlin.data import blocks
        >>> rows = blocks(np.eye(500, 2), block_bytes=4096).with_progress(
        ...     lambda done, total, _: print(done, "of", total)
        ... )
        >>> pca = nearlin.StreamingPCA(random_state=0).fit(rows)
        256 of 500
        500 of 500
        """
        resolve_progress(progress)  # so that what is wrong with it is told here
        self._progress = progress
        return self

    def map_reduce(
        self, leaf: Callable[[Block], T], merge: Callable[[list[T]], T], *, n_jobs: int | None = None
    ) -> T:
        """Make something of every block, and merge it all in a fixed tree.

        Parameters
        ----------
        leaf : callable
            Takes a :class:`Block`; on several threads, if there are, so that it should spend its time in
            nearlin or NumPy.
        merge : callable
            Takes a list of two to four of what leaves are, in their order; returns what they are together.
        n_jobs : int, optional
            Number of threads; see :func:`nearlin.set_config` for the default. It changes no bit.

        Returns
        -------
        object
            What all blocks are together.

        Raises
        ------
        InvalidInputError
            If there are no rows, and whatever is wrong with one of them.

        Notes
        -----
        The tree is that of :func:`nearlin.distributed.merge_tree`. Memory is that of two blocks a thread, and
        of some leaves: three for each level of the tree.

        Blocks of Dask's collections are worked on where they are: on the workers of the current
        ``dask.distributed.Client``, else on Dask's threads. `leaf` and `merge` are sent there, so that they
        have to be functions of a module, or a :func:`functools.partial` of one. A worker that is lost takes
        no row with it: what it had is made again, with the same bits.

        Examples
        --------
        >>> import numpy as np
        >>> import nearlin
        >>> from nearlin.data import blocks
        >>> A = np.random.default_rng(0).standard_normal((10_000, 3))
        >>> def leaf(block):
        ...     stream = nearlin.StreamingLeastSquares(rng=0)
        ...     return stream.partial_fit(block.X, block.y, row_offset=block.start)
        >>> def merge(streams):
        ...     return [streams[0].merge(stream) for stream in streams[1:]][-1]
        >>> blocks(A, target=A @ [1.0, 2.0, 3.0], block_bytes=1 << 16).map_reduce(leaf, merge).covered
        (range(0, 10000),)
        """
        threads = resolve_threads(n_jobs)
        engine = getattr(self._source, "map_reduce", None)
        if engine is not None:
            made: T = engine(leaf, merge, Block, threads)
            return made
        if threads == 1:
            # Not `map`, which takes an exception of the leaf for the end of the rows if it is StopIteration.
            return merge_tree(_some(leaf(block) for block in self), merge)
        lent = getattr(self._source, "lent", False)
        blocks = (_owned(block) for block in self) if lent else self
        with ThreadPoolExecutor(threads) as pool:
            return merge_tree(_some(_ahead(pool, leaf, blocks, 2 * threads)), merge)

    def __repr__(self) -> str:
        names = self.feature_names
        head = "" if names is None else ": " + ", ".join([*names[:5], *(["..."] if len(names) > 5 else [])])
        return listing(
            {
                "rows": "unknown" if self.n_rows is None else f"{self.n_rows:,}",
                "features": f"{self.n_features:,} of {self.dtype}{head}",
                "block": f"{self.block_rows:,} rows",
                "read": "once only" if self.once else "as often as one likes",
            },
        )


def blocks(
    source: object,
    *,
    columns: Sequence[str] | None = None,
    target: object = None,
    sample_weight: object = None,
    exclude: Sequence[str] = (),
    nulls: str = "error",
    dtype: npt.DTypeLike | None = None,
    block_bytes: int = 32 << 20,
) -> RowBlocks:
    """Give the rows of a source in blocks, without having them all in memory.

    Parameters
    ----------
    source : array_like, sparse matrix, path, frame, object with an Arrow stream, Dask collection, or iterator
        Arrays, memory maps and what is like them on disk are sliced, and not copied unless they are no
        floating-point numbers; CSR matrices give copies of their rows. A path leads to an array (``.npy``) or
        to Parquet: a file or a directory of such, in the order of their names. Frames of pandas and polars,
        lazy ones of polars, relations of DuckDB, tables, readers and datasets of pyarrow, and whatever else
        has an Arrow stream, are tables with named columns. Arrays and frames of Dask stay where they are: a
        partition is a block.
        An iterator gives blocks of its own, ``X``, ``(X, y)``, ``(X, y, sample_weight)``, or tables, which
        are the chunks of one.
    columns : sequence of str, optional
        Features of a table. None means all columns that have no other role; what pandas has written its index
        to is among them only if it is named here.
    target : str, sequence of str, or array_like, optional
        Columns of a table, or an array with as many rows as the one that is the source.
    sample_weight : str or array_like, optional
        The same for weights.
    exclude : sequence of str, default=()
        Columns of a table that are not to be read.
    nulls : {"error", "drop", "nan"}, default="error"
        What to do with missing values of a table, among which NaN counts: raise, leave the row out, or pass
        NaN on, which is for features alone.
    dtype : {numpy.float32, numpy.float64}, optional
        Of features. None means float32 if all of them are of at most this precision, otherwise float64. Of an
        iterator and of Dask's collections that is what begins; more digits that come later are then an error,
        and not rounded. Estimators take targets in the dtype of features: of float64 targets that are large
        beside their spread, as times are, ``numpy.float64`` keeps the digits.
    block_bytes : int, default=32 MiB
        Bytes of the features of a block, of sparse ones those that are stored: large enough for the cost of a
        block not to count, and small enough for some of them to be in memory. Dask's partitions are as large
        as they are: below 8 MiB the scheduler takes more time than the rows.

    Returns
    -------
    RowBlocks
        The rows, of which nothing has been read but what tells their number and kind.

    Raises
    ------
    InvalidInputError
        If a column is missing, is twice there, does not hold numbers, or is not in all files, and while rows
        are read, if a value is missing, an integer has more than 53 bits, a chunk or partition has other
        columns or types than the first, or rows are not as many as were counted.
    InvalidTypeError
        If the source is nothing of the above.

    Notes
    -----
    Tables need pyarrow (``pip install "nearlin[arrow]"``), arrays do not. Rows come in the order of the
    source, and in the same blocks through every door, so that results have the same bits. Integers, booleans
    and decimal numbers become float64.

    Files of a directory or dataset are compared by their footers before any row is read. A column that holds
    numbers of several types is float64 throughout, or float32 if none has more digits. Refused are columns
    that hold numbers in some files and truth values, text or dates in others, and those that some files do
    not have, unless they are left out.

    Partitions of Dask's frames are counted at once, by the very graph that gives the rows: that takes a pass.

    Examples
    --------
    >>> import numpy as np
    >>> import nearlin
    >>> from nearlin.data import blocks
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((1000, 3))
    >>> rows = blocks(X, target=X @ [1.0, 2.0, 3.0], block_bytes=4096)
    >>> rows
        rows: 1,000
    features: 3 of float64
       block: 170 rows
        read: as often as one likes
    >>> stream = nearlin.StreamingLeastSquares(rng=0)
    >>> for block in rows:
    ...     _ = stream.partial_fit(block.X, block.y, row_offset=block.start)
    >>> stream.result().x.round(6)
    array([1., 2., 3.])
    """
    check_choice(nulls, "nulls", ("error", "drop", "nan"))
    check_int(block_bytes, "block_bytes", at_least=1)
    kind = None if dtype is None else np.dtype(as_float_dtype(dtype, "dtype"))
    if isinstance(source, str | os.PathLike):
        path = os.fspath(source)
        if not os.fsdecode(path).endswith(".npy"):
            roles = _roles(columns, target, sample_weight, exclude)
            return RowBlocks._of(TableSource(path, roles, nulls, kind), block_bytes)
        source = _array_on_disk(path)
    if isinstance(source, RowBlocks):
        raise InvalidTypeError("are RowBlocks already, expected what they are of", argument="source")
    dask = dask_kind(source)
    if dask == "Array" or is_sparse(source) or (dask is None and _is_sliced(source)):
        if columns is not None or len(exclude):
            given = "columns" if columns is not None else "exclude"
            raise InvalidInputError("names columns, and arrays have no names: slice them", argument=given)
        if nulls == "drop":
            raise InvalidInputError(
                "is 'drop', expected 'error' for arrays: index their rows", argument="nulls"
            )
        if dask == "Array":
            from ._dask import DaskArray

            return RowBlocks._of(DaskArray(source, target, sample_weight, kind), block_bytes)
        return RowBlocks._of(ArraySource(source, target, sample_weight, kind), block_bytes)
    if dask == "DataFrame":
        from ._dask import DaskFrame

        roles = _roles(columns, target, sample_weight, exclude)
        return RowBlocks._of(DaskFrame(source, roles, nulls, kind), block_bytes)
    if is_table(source):
        roles = _roles(columns, target, sample_weight, exclude)
        return RowBlocks._of(TableSource(source, roles, nulls, kind), block_bytes)
    if isinstance(source, Iterator):
        roles = _roles(columns, target, sample_weight, exclude)
        return RowBlocks._of(ItemSource.of(source, roles, nulls, kind), block_bytes)
    if hasattr(source, "__array__") or isinstance(source, list | tuple):
        if isinstance(source, list | tuple) and source and _is_source(source[0]):
            raise InvalidTypeError(
                f"is a list of {type(source[0]).__name__}, expected one source: iter(...) gives tables or "
                "(X, y) one after the other, and pyarrow.dataset.dataset(...) takes paths",
                argument="source",
            )
        return blocks(
            as_array(source, "source"),
            columns=columns,
            target=target,
            sample_weight=sample_weight,
            exclude=exclude,
            nulls=nulls,
            dtype=dtype,
            block_bytes=block_bytes,
        )
    raise InvalidTypeError(
        f"is of type {type(source).__name__}, expected an array, a sparse matrix, a path, a frame, something "
        "with an Arrow stream, a Dask collection, or an iterator of blocks",
        argument="source",
    )


def _is_sliced(source: object) -> bool:
    """Tell whether rows of this are taken by slices: of arrays, and of what is like them on disk."""
    looks = isinstance(getattr(source, "dtype", None), np.dtype) and hasattr(source, "__getitem__")
    return isinstance(source, np.ndarray) or (looks and len(getattr(source, "shape", ())) == 2)


def _is_source(part: object) -> bool:
    """Tell whether this is more than a row."""
    if isinstance(part, tuple):
        return bool(part) and len(getattr(part[0], "shape", ())) == 2
    return isinstance(part, str | os.PathLike) or (
        is_table(part) and len(getattr(part, "shape", (0, 0))) == 2
    )


def _array_on_disk(path: str | bytes) -> object:
    try:
        return np.load(path, mmap_mode="r")
    except ValueError as error:
        raise InvalidInputError(
            f"is no array that can be read by parts: {error}", argument="source"
        ) from error


def dask_kind(source: object) -> str | None:
    """Return what collection of Dask's this is, if it is one."""
    return type(source).__name__ if type(source).__module__.partition(".")[0] == "dask" else None


def _some(leaves: Iterable[T]) -> Iterator[T]:
    """Give leaves, raising if there are none."""
    found = False
    for leaf in leaves:
        found = True
        yield leaf
    if not found:
        raise InvalidInputError("has no rows, expected at least one", argument="source")


def _owned(block: Block) -> Block:
    """Return a block of arrays that nobody writes to."""
    X, y, sample_weight = (None if part is None else part.copy() for part in block[:3])
    return Block(X, y, sample_weight, block.start)


def _ahead(
    pool: ThreadPoolExecutor, leaf: Callable[[Block], T], rows: Iterable[Block], most: int
) -> Iterator[T]:
    """Give what is made of blocks, in their order, while so many are being worked on."""
    waiting: deque[Future[T]] = deque()
    try:
        for block in rows:
            waiting.append(pool.submit(leaf, block))
            if len(waiting) == most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _roles(
    columns: Sequence[str] | None, target: object, sample_weight: object, exclude: Sequence[str]
) -> Roles:
    """Return what was asked for, checked."""
    features = None if columns is None else _names(columns, "columns")
    single = isinstance(target, str)
    targets = [] if target is None else _names([target] if single else target, "target")
    if not (sample_weight is None or isinstance(sample_weight, str)):
        raise InvalidTypeError(
            f"is {shown(sample_weight)}, expected the name of a column", argument="sample_weight"
        )
    return Roles(features, targets, single, sample_weight, _names(exclude, "exclude"))


def _names(names: Any, argument: str) -> list[str]:
    listed: list[Any] = list(names) if isinstance(names, Iterable) and not isinstance(names, str) else [None]
    if not all(isinstance(name, str) for name in listed):
        raise InvalidTypeError(f"is {shown(names)}, expected names of columns", argument=argument)
    if len(set(listed)) < len(listed):
        raise InvalidInputError(f"is {shown(names)}, expected each name once", argument=argument)
    return listed
