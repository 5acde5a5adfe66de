"""Arguments as the core wants them, or an error that names the argument, what was found and what would do.

Nothing here imports SciPy, pandas or polars: their objects are known by their looks, so that whoever
does not use them does not wait for them. The entries of large arrays are not read here but by the core,
which refuses NaN and infinity in its first pass.
"""

import math
import os
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from numbers import Real
from operator import index
from typing import Any, TypeAlias, TypeGuard, TypeVar

import numpy as np
import numpy.typing as npt

from ._frames import check_frame, frame_values, is_frame, sparse_frame_values
from ._sparse import compressed, is_sparse, sparse_dtype
from .exceptions import (
    AllocationError,
    InvalidInputError,
    InvalidTypeError,
    NearlinError,
    NonFiniteError,
    ShapeError,
)

__all__ = [
    "LARGEST",
    "Float",
    "Matrix",
    "allocating",
    "as_array",
    "as_columns",
    "as_float",
    "as_float_dtype",
    "as_matrix",
    "as_rhs",
    "as_sample_weight",
    "as_samples",
    "as_seed",
    "as_vector",
    "check_bool",
    "check_choice",
    "check_finite",
    "check_int",
    "check_real",
    "check_targets",
    "copying",
    "float_dtype",
    "is_blocks",
    "is_plain",
    "naming_block",
    "optional",
    "refuse_beside",
    "shown",
]

Float: TypeAlias = npt.NDArray[np.floating[Any]]
"""What every dense array becomes: native float32 or float64."""

Matrix: TypeAlias = Any
"""A :data:`Float` of two dimensions, or a SciPy CSR or CSC matrix of such entries."""

T = TypeVar("T")

DOUBLE = np.dtype(np.float64)
"""Native float64, of which there is one."""

LARGEST = 2**63 - 1
"""No count of anything is larger."""

MISREAD = (str, bytes, np.complexfloating, np.datetime64, np.timedelta64, np.ndarray)
"""Objects that NumPy turns into some real number, although they are none."""


def as_matrix(A: object, name: str = "A", *, accept_sparse: bool = True, allow_empty: bool = False) -> Matrix:
    """Return ``A`` as a float32 or float64 matrix, without copying one that is that already.

    float16 becomes float32; booleans, integers, extended precision and Python objects that are real numbers
    are rounded to float64. Frames give their values, sparse matrices other than CSR and CSC become CSR.
    """
    if is_plain(A) and A.ndim == 2 and (allow_empty or A.size):
        return A
    values = A if is_sparse(A) else sparse_frame_values(A)
    if values is not None:
        if not accept_sparse:
            raise InvalidTypeError("is sparse, expected a dense array; use its toarray()", argument=name)
        sparse: Any = values
        _check_ndim(sparse.shape, name)
        matrix = compressed(sparse, float_dtype(sparse_dtype(sparse, name), name), name)
    else:
        array = as_array(A, name)
        _check_ndim(array.shape, name)
        matrix = as_float(array, name)
    if not allow_empty and 0 in matrix.shape:
        raise ShapeError(f"has shape {matrix.shape}, expected at least one row and one column", argument=name)
    return matrix


def is_plain(A: object) -> TypeGuard[npt.NDArray[np.float64]]:
    """Tell whether ``A`` is an array that the core takes as it is."""
    return type(A) is np.ndarray and A.dtype is DOUBLE


def is_blocks(rows: object) -> bool:
    """Tell whether these are rows in blocks, of :func:`nearlin.data.blocks`."""
    return hasattr(type(rows), "map_reduce")


def check_targets(rows: Any, name: str) -> None:
    """Raise unless rows in blocks have targets."""
    if rows.target_shape is None:
        raise InvalidInputError(
            "are rows without targets: nearlin.data.blocks takes them as `target`", argument=name
        )


@contextmanager
def naming_block(block: Any) -> Generator[None]:
    """Note in errors of nearlin which block of rows they are about."""
    try:
        yield
    except NearlinError as error:
        error.add_note(f"in the block that begins with row {block.start}")
        raise


def refuse_beside(**given: object) -> None:
    """Raise if anything is given that comes along with the rows."""
    for name, value in given.items():
        if value is not None:
            raise InvalidTypeError(
                "is given beside rows in blocks, expected None: targets and weights come along with them, "
                "see nearlin.data.blocks",
                argument=name,
            )


def as_samples(X: object, name: str) -> Matrix:
    """Return ``X`` as scikit-learn's validation may see it: nothing that it would misread is left.

    It looks past masks, takes dates and text for numbers, and trusts the indices of sparse matrices.
    """
    values = X if is_sparse(X) else sparse_frame_values(X)
    if values is not None:
        return as_matrix(values, name, allow_empty=True)
    array = as_array(X, name)
    float_dtype(array.dtype, name)
    return array


def as_columns(A: object, name: str = "A") -> tuple[Matrix, bool]:
    """Return ``A`` as :func:`as_matrix` does, a vector as its one column, and whether it was a vector.

    There may be no rows.
    """
    array = A if is_sparse(A) else as_array(A, name)
    vector = isinstance(array, np.ndarray) and array.ndim == 1
    matrix = as_matrix(array[:, np.newaxis] if vector else array, name, allow_empty=True)  # type: ignore[index]
    if matrix.shape[1] == 0:
        raise ShapeError(f"has shape {matrix.shape}, expected at least one column", argument=name)
    return matrix, vector


def as_rhs(
    b: object, rows: int, dtype: npt.DTypeLike, name: str = "b", *, allow_empty: bool = False
) -> tuple[Float, bool]:
    """Return right-hand sides as the columns of a matrix of ``dtype``, and whether ``b`` was a vector."""
    if is_plain(b) and b.shape == (rows,) and dtype == b.dtype:
        return b[:, np.newaxis], True
    if is_sparse(b):
        raise InvalidTypeError("is sparse, expected a dense array; use its toarray()", argument=name)
    array = as_array(b, name)
    if array.ndim not in (1, 2):
        raise ShapeError(f"has {array.ndim} dimensions, expected 1 or 2", argument=name)
    if array.shape[0] != rows:
        raise ShapeError(
            f"has shape {array.shape}, expected {rows} rows, as many as the matrix has", argument=name
        )
    if array.ndim == 2 and array.shape[1] == 0 and not allow_empty:
        raise ShapeError(f"has shape {array.shape}, expected at least one column", argument=name)
    columns = as_float(array if array.ndim == 2 else array[:, np.newaxis], name, dtype)
    return columns, array.ndim == 1


def as_vector(
    v: object,
    name: str,
    *,
    length: int | None = None,
    dtype: npt.DTypeLike = np.float64,
    accept_scalar: bool = False,
) -> Float:
    """Return ``v`` as a contiguous vector of ``dtype``, a number as a vector of one entry if that will do."""
    if accept_scalar and (isinstance(v, Real) or getattr(v, "shape", None) == ()):
        v = [check_real(v, name)]
    array = as_array(v, name)
    if array.ndim != 1:
        raise ShapeError(f"has {array.ndim} dimensions, expected 1", argument=name)
    if length is not None and array.shape[0] != length:
        raise ShapeError(f"has length {array.shape[0]}, expected {length}", argument=name)
    with copying(name):
        return np.ascontiguousarray(as_float(array, name, dtype))


def as_sample_weight(
    sample_weight: object, rows: int, name: str = "sample_weight", *, accept_zero: bool = False
) -> npt.NDArray[np.float64] | None:
    """Return one weight for each row, none negative and, by default, not all zero; None stays None."""
    if sample_weight is None:
        return None
    if isinstance(sample_weight, Real):
        weights: Any = np.full(rows, check_real(sample_weight, name, at_least=0))
    else:
        weights = as_vector(sample_weight, name, length=rows)
        check_finite(weights, name)
    if weights.size and weights.min() < 0:
        row = int(weights.argmin())
        raise InvalidInputError(f"has {weights[row]} at [{row}], expected no negative weight", argument=name)
    if not (accept_zero or weights.any() or rows == 0):
        raise InvalidInputError("is zero everywhere, expected at least one positive weight", argument=name)
    checked: npt.NDArray[np.float64] = weights
    return checked


def as_seed(rng: object, name: str = "rng", *, default: Callable[[int], bytes] = os.urandom) -> int:
    """Return one number of 64 bits from anything that NumPy or scikit-learn takes for a source of randomness.

    An integer below 2**64 is the seed itself. Generators are advanced. For None, ``default`` gives the bytes.
    """
    if rng is None:
        return int.from_bytes(default(8), "little")
    if type(rng) is int and 0 <= rng < 2**64:
        return rng
    random = np.random  # which NumPy imports when it is first asked for, in fifteen milliseconds
    if isinstance(rng, random.BitGenerator):
        rng = random.Generator(rng)
    if isinstance(rng, random.Generator | random.RandomState):
        return int.from_bytes(rng.bytes(8), "little")
    if rng is random:
        return int.from_bytes(random.bytes(8), "little")
    if (isinstance(rng, Sequence) and not isinstance(rng, str | bytes)) or getattr(rng, "ndim", 0) == 1:
        numbers: Any = rng
        rng = random.SeedSequence([check_int(number, name, at_least=0, at_most=None) for number in numbers])
    if isinstance(rng, random.SeedSequence):
        return int(rng.generate_state(1, np.uint64)[0])
    what = "an integer, None or a NumPy generator"
    seed = check_int(rng, name, at_least=0, at_most=None, what=what)
    return seed if seed < 2**64 else int(random.SeedSequence(seed).generate_state(1, np.uint64)[0])


def check_real(
    value: object,
    name: str,
    *,
    at_least: float = -math.inf,
    above: float = -math.inf,
    below: float = math.inf,
    at_most: float = math.inf,
) -> float:
    """Return a finite number within bounds as a float."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise InvalidTypeError(f"is of type {type(value).__name__}, expected a real number", argument=name)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not (math.isfinite(number) and at_least <= number <= at_most and above < number < below):
        bounds = {">=": at_least, ">": above, "<": below, "<=": at_most}
        wanted = [f"{sign} {bound:g}" for sign, bound in bounds.items() if math.isfinite(bound)]
        raise InvalidInputError(
            f"is {shown(value)}, expected {' and '.join(['finite', *wanted])}", argument=name
        )
    return number


def check_int(
    value: object,
    name: str,
    *,
    at_least: int | None = None,
    at_most: int | None = LARGEST,
    what: str = "an integer",
) -> int:
    """Return an integer within bounds."""
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        number = index(value)  # type: ignore[arg-type]
    except TypeError:
        raise InvalidTypeError(f"is of type {type(value).__name__}, expected {what}", argument=name) from None
    if at_least is not None and number < at_least:
        raise InvalidInputError(f"is {shown(number)}, expected at least {at_least}", argument=name)
    if at_most is not None and number > at_most:
        raise InvalidInputError(f"is {shown(number)}, expected at most {at_most}", argument=name)
    return number


def check_choice(value: object, name: str, choices: Collection[str]) -> str:
    """Return a string that is one of ``choices``."""
    if not isinstance(value, str) or value not in choices:
        listed = ", ".join(map(repr, choices))
        raise InvalidInputError(f"is {shown(value)}, expected one of {listed}", argument=name)
    return value


def as_float_dtype(dtype: object, name: str) -> str:
    """Return the name of float32 or float64, given in any way that NumPy understands."""
    try:
        found = np.dtype(dtype)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):  # the words of NumPy are about how it tried
        found = None
    if found is None or found.name not in ("float32", "float64"):
        wrong = shown(dtype) if found is None else repr(found.name)
        raise InvalidTypeError(f"is {wrong}, expected float32 or float64", argument=name)
    return str(found.name)


def shown(value: object) -> str:
    """Return a value as a message shows it: in at most a few words."""
    try:
        text = repr(value) if isinstance(value, str | bytes) else f"{value}"
    except Exception as error:  # integers of too many digits, or code of the caller
        return f"a value of type {type(value).__name__} that cannot be printed ({type(error).__name__})"
    return text if len(text) <= 60 else f"{text[:40]}... ({len(text)} characters)"


def optional(check: Callable[..., T], value: object, name: str, **bounds: Any) -> T | None:
    """Return what ``check`` makes of a value; None stays None."""
    return None if value is None else check(value, name, **bounds)


def check_bool(value: object, name: str) -> bool:
    """Return a truth value given as one."""
    if not isinstance(value, bool | np.bool_):
        raise InvalidTypeError(f"is of type {type(value).__name__}, expected True or False", argument=name)
    return bool(value)


def check_finite(array: Float, name: str) -> None:
    """Raise unless every entry of a small array is finite."""
    # One reduction and no temporary when all is well; finite numbers whose sum overflows get a second look.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(array.sum()):
            return
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        position = [int(i) for i in wrong[0]]
        found = "NaN" if np.isnan(array[tuple(position)]) else "infinity"
        raise NonFiniteError(f"contains {found} at {position}; every entry must be finite", argument=name)


def as_array(A: object, name: str) -> npt.NDArray[Any]:
    """Return what ``A`` holds as an array of any dtype."""
    refuse_elsewhere(A, name)
    if isinstance(A, np.ma.MaskedArray) and A.dtype.names is None and np.ma.is_masked(A):
        raise InvalidInputError("has masked entries, expected a value in every entry", argument=name)
    try:
        with copying(name):
            if is_frame(A):
                check_frame(A, name)
                array = frame_values(A)
            else:
                array = np.asarray(A.to_numpy() if hasattr(A, "to_numpy") else A)
    except (NearlinError, Warning):
        raise
    except Exception as error:  # whatever the code of the caller raises
        kind = type(A).__name__
        raise InvalidTypeError(
            f"is a {kind} that cannot be read as an array: {error}", argument=name
        ) from error
    if array.ndim == 0:
        raise InvalidTypeError(f"is of type {type(A).__name__}, expected an array", argument=name)
    return array if array.dtype != object else _numbers(array, name)


def refuse_elsewhere(A: object, name: str) -> None:
    """Refuse rows that are not in memory, and say who takes them."""
    if isinstance(A, np.ndarray):
        return
    if is_blocks(A):
        raise InvalidTypeError(
            "is rows in blocks, which are not taken here, expected an array; lstsq and `fit` of "
            "LinearRegression, Ridge, RidgeCV, StreamingLeastSquares, StreamingPCA, StreamingCoreset and "
            "TruncatedSVD take them, and iterating gives arrays",
            argument=name,
        )
    home, kind = type(A).__module__.partition(".")[0].strip("_"), type(A).__name__
    if (home, kind) in ELSEWHERE:
        raise InvalidTypeError(
            f"is a {kind} of {home}, expected an array; nearlin.data.blocks(...) makes rows of it "
            f"that lstsq and `fit` take a block at a time, and {ELSEWHERE[home, kind]} has it in memory",
            argument=name,
        )


ELSEWHERE = {
    ("dask", "Array"): "compute()",
    ("dask", "DataFrame"): "compute()",
    ("dask", "Series"): "compute()",
    ("duckdb", "DuckDBPyRelation"): "df()",
    ("polars", "LazyFrame"): "collect()",
}
"""What is not in memory, and how to have it there."""


def _numbers(array: npt.NDArray[Any], name: str) -> npt.NDArray[np.float64]:
    """Return what an array of Python objects holds, if it is real numbers: missing ones as NaN."""
    kinds = dict.fromkeys(map(type, array.flat))
    for kind in kinds:
        if issubclass(kind, MISREAD):
            raise InvalidTypeError(
                f"has entries of type {kind.__name__}, expected real numbers", argument=name
            )
    if any(kind.__name__ == "NAType" for kind in kinds):
        entries = [None if type(entry).__name__ == "NAType" else entry for entry in array.flat]
        array = np.array(entries, dtype=object).reshape(array.shape)
    try:
        return array.astype(np.float64)
    except OverflowError as error:
        raise InvalidInputError(f"has entries too large for float64: {error}", argument=name) from error
    except Exception as error:  # whatever the code of the caller raises
        raise InvalidTypeError(f"has entries that are no real numbers: {error}", argument=name) from error


def copying(name: str) -> AbstractContextManager[None]:
    """Raise as an error of nearlin that there is no memory for a copy of an argument."""
    return allocating(f"a copy of `{name}`")


@contextmanager
def allocating(purpose: str) -> Generator[None]:
    """Raise as an error of nearlin that there is no memory for something; a decorator, too."""
    try:
        yield
    except AllocationError:
        raise
    except MemoryError as error:
        raise AllocationError(f"could not allocate {purpose}: {error}") from error


def as_float(array: npt.NDArray[Any], name: str, dtype: npt.DTypeLike | None = None) -> Float:
    """Return the array as float32 or float64, or as ``dtype``."""
    wanted = float_dtype(array.dtype, name) if dtype is None else np.dtype(dtype)
    float_dtype(array.dtype, name)
    if array.dtype == wanted and array.dtype.isnative:
        return np.asarray(array)
    with copying(name), np.errstate(over="ignore"):
        cast: Float = array.astype(wanted)
        if wanted.itemsize < array.dtype.itemsize and array.dtype.kind == "f":
            overflow = np.isinf(cast) & np.isfinite(array)
            if overflow.any():
                raise InvalidInputError(f"has entries too large for {wanted}", argument=name)
    return cast


def float_dtype(dtype: np.dtype[Any], name: str) -> np.dtype[Any]:
    """Return the dtype in which the core takes entries of ``dtype``."""
    if dtype.kind == "f" and dtype.itemsize <= 4:
        return np.dtype(np.float32)
    if dtype.kind in "fbiu":
        return np.dtype(np.float64)
    if dtype.kind == "c":
        raise InvalidTypeError(
            f"Complex data not supported: `{name}` has dtype {dtype}, expected real numbers"
        )
    raise InvalidTypeError(f"has dtype {dtype}, expected numbers such as float64", argument=name)


def _check_ndim(shape: tuple[int, ...], name: str) -> None:
    if len(shape) == 1:
        raise ShapeError(
            "has 1 dimension, expected 2. Reshape your data: reshape(-1, 1) makes it a column, "
            "reshape(1, -1) a row",
            argument=name,
        )
    if len(shape) != 2:
        raise ShapeError(f"has {len(shape)} dimensions, expected 2", argument=name)
