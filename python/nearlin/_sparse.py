"""Sparse matrices of SciPy, whose own routines trust indices: these are checked before any of them runs."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _core
from .exceptions import AllocationError, InvalidInputError, InvalidTypeError, NearlinError, ShapeError

__all__ = [
    "check_indices",
    "compressed",
    "converting",
    "is_sparse",
    "sparse_dtype",
    "without_ignored_entries",
]

COMPRESSED = ("csr", "csc")


def is_sparse(A: object) -> bool:
    """Tell whether ``A`` is one of SciPy's sparse matrices or arrays."""
    try:
        # Not type(A): a proxy says whose class it stands for, as to isinstance.
        homes = [base.__module__ for base in A.__class__.__mro__]
    except Exception:  # whatever the code of the caller raises
        return False
    return any(
        home.startswith("scipy.sparse") and not home.startswith("scipy.sparse.linalg") for home in homes
    )


def compressed(A: Any, dtype: np.dtype[Any], name: str) -> Any:
    """Return ``A`` as CSR or CSC with entries of ``dtype``.

    What is that already comes back as it is, its indices unchecked: the core checks them. Numbers are
    cast before duplicates are added up, so that small integers do not overflow; booleans after it.
    """
    if A.format in COMPRESSED and A.dtype == dtype and A.dtype.isnative:
        return A
    check_indices(A, name)
    from scipy.sparse import coo_array

    with converting(A, name):
        logical = A.dtype.kind == "b"
        if A.format == "coo" and not logical:
            A = coo_array((A.data.astype(dtype), (A.row, A.col)), shape=A.shape)
        A = A if A.format in COMPRESSED else A.tocsr()
        if logical:
            A = A.copy()
            A.sum_duplicates()
        return _with_entries(A, dtype)


@contextmanager
def converting(A: Any, name: str) -> Generator[None]:
    """Raise as an error of nearlin whatever SciPy says while it brings a matrix into another form."""
    try:
        yield
    except MemoryError as error:
        raise AllocationError(f"could not allocate a copy of `{name}` in another form: {error}") from error
    except Exception as error:  # what SciPy makes of attributes that do not fit together
        raise InvalidInputError(
            f"is a malformed {A.format} matrix, expected one that SciPy can convert: {error}", argument=name
        ) from error


def without_ignored_entries(A: Any, weights: npt.NDArray[np.float64] | None, name: str = "A") -> Any:
    """Return a CSR or CSC matrix whose rows of weight zero have zeros for entries that are not finite.

    Products would make NaN of these and the weight. Anything else comes back as it is.
    """
    if weights is None or weights.all() or not is_sparse(A):
        return A
    check_indices(A, name)
    if np.isfinite(A.data).all():
        return A
    is_ignored = weights == 0.0
    rows = np.repeat(is_ignored, np.diff(A.indptr)) if A.format == "csr" else is_ignored[A.indices]
    data = np.where(rows & ~np.isfinite(A.data), A.dtype.type(0), A.data)
    return type(A)((data, A.indices, A.indptr), shape=A.shape)


def sparse_dtype(A: Any, name: str) -> np.dtype[Any]:
    """Return the dtype of the entries."""
    try:
        dtype: np.dtype[Any] = np.dtype(A.dtype)
    except AttributeError as error:  # the data have been replaced by something that is no array
        raise InvalidTypeError(f"is a malformed {A.format} matrix: {error}", argument=name) from error
    return dtype


def check_indices(A: Any, name: str) -> None:
    """Raise unless every index that a sparse matrix stores leads to one of its entries."""
    try:
        if A.format in COMPRESSED:
            lines, width = A.shape if A.format == "csr" else A.shape[::-1]
            _check_compressed(A, lines, width, _array(A.data, "data", 1))
        elif A.format == "bsr":
            _check_blocks(A)
        elif A.format == "coo":
            _check_coordinates(A)
        elif A.format == "dia":
            offsets, data = _array(A.offsets, "offsets", 1, "iu"), _array(A.data, "data", 2)
            if len(offsets) != len(data):
                raise ShapeError(
                    f"has {len(offsets)} offsets, expected {len(data)}, as it has diagonals", argument="A"
                )
            n, d = A.shape
            for offset in offsets:
                if not -n < offset < d:
                    raise InvalidInputError(
                        f"is sparse with a diagonal at offset {offset}, expected one in ({-n}, {d})",
                        argument="A",
                    )
        elif A.format == "lil":
            lengths = [list(map(len, A.rows)), list(map(len, A.data))]
            if lengths[0] != lengths[1] or len(lengths[0]) != A.shape[0]:
                raise ShapeError(
                    "has rows of indices and of entries that differ, expected one length", argument="A"
                )
    except NearlinError as error:
        error.argument = name
        raise
    except (AttributeError, TypeError, ValueError) as error:
        raise InvalidTypeError(f"is a malformed {A.format} matrix: {error}", argument=name) from error


def _check_compressed(A: Any, lines: int, width: int, data: npt.NDArray[Any]) -> None:
    indptr, indices = _array(A.indptr, "indptr", 1), _array(A.indices, "indices", 1)
    _core.check_sparse(lines, width, indptr, indices, len(data))


def _check_blocks(A: Any) -> None:
    data = _array(A.data, "data", 3)
    for size, block in zip(A.shape, data.shape[1:], strict=True):
        if block == 0 or size % block:
            raise ShapeError(
                f"has blocks of shape {data.shape[1:]}, expected parts of {A.shape}", argument="A"
            )
    _check_compressed(A, A.shape[0] // data.shape[1], A.shape[1] // data.shape[2], data)


def _check_coordinates(A: Any) -> None:
    data = _array(A.data, "data", 1)
    for axis, size in zip(("row", "col"), A.shape, strict=True):
        index = _array(getattr(A, axis), axis, 1, "iu")
        if len(index) != len(data):
            raise ShapeError(f"has {len(index)} indices in its {axis}, expected {len(data)}", argument="A")
        if len(index) and not (index.min() >= 0 and index.max() < size):
            wrong = index.min() if index.min() < 0 else index.max()
            raise InvalidInputError(
                f"is sparse with index {wrong} in its {axis}, expected an index in [0, {size})", argument="A"
            )


def _array(found: object, attribute: str, ndim: int, kinds: str | None = None) -> npt.NDArray[Any]:
    """Return what a sparse matrix stores under a name, if it is an array of the right kind."""
    if not isinstance(found, np.ndarray):
        raise InvalidTypeError(
            f"has {attribute} of type {type(found).__name__}, expected an array", argument="A"
        )
    if found.ndim != ndim:
        raise ShapeError(f"has {attribute} of {found.ndim} dimensions, expected {ndim}", argument="A")
    if kinds is not None and found.dtype.kind not in kinds:
        raise InvalidTypeError(f"has {attribute} of dtype {found.dtype}, expected integers", argument="A")
    return found


def _with_entries(A: Any, dtype: np.dtype[Any]) -> Any:
    """Return a compressed matrix with entries cast, its indices shared."""
    from scipy.sparse import csc_array, csr_array

    stored = int(A.indptr[-1])
    parts = (A.data[:stored].astype(dtype), A.indices[:stored], A.indptr)
    return (csr_array if A.format == "csr" else csc_array)(parts, shape=A.shape)
