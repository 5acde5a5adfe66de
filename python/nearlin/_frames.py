"""Data frames, known by their looks: neither pandas nor polars is imported for whoever does not use it."""

import re
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from itertools import zip_longest
from typing import Any

import numpy as np
import numpy.typing as npt

from ._log import tell
from .exceptions import InvalidInputError, InvalidTypeError, NearlinError, NonFiniteError

__all__ = [
    "check_frame",
    "check_names",
    "column_names",
    "frame_values",
    "is_frame",
    "library_of",
    "name_column",
    "naming_columns",
    "ndim",
    "sparse_frame_values",
    "string_names",
    "widened_by",
]

NUMBERS = frozenset({"integer", "floating", "mixed-integer-float", "boolean", "decimal", "empty"})
"""What pandas calls columns of Python objects that are real numbers."""


SINGLE = frozenset({"float16", "float32"})
"""What columns are called whose numbers need no more than single precision."""


def is_frame(A: object) -> bool:
    """Tell whether ``A`` is a frame or a series of pandas or polars."""
    return library_of(A) is not None


def library_of(A: object) -> str | None:
    """Return whose frame or series ``A`` is."""
    try:
        # Not type(A): a proxy says whose class it stands for, as to isinstance.
        homes = {base.__module__.partition(".")[0] for base in A.__class__.__mro__}
        library = next((library for library in ("pandas", "polars") if library in homes), None)
        looks = ("to_numpy", "shape", "dtype" if library and ndim(A) == 1 else "dtypes")
        return library if library and all(hasattr(A, name) for name in looks) else None
    except Exception:  # whatever the code of the caller raises
        return None


def ndim(A: Any) -> int:
    """Return 1 for a series, 2 for a frame."""
    return len(getattr(A, "shape", ()))


def column_names(frame: object) -> list[str] | None:
    """Return the names of the columns of a frame, None of anything else."""
    return [str(name) for name in frame.columns] if is_frame(frame) and ndim(frame) == 2 else None  # type: ignore[attr-defined]


def string_names(frame: Any) -> list[str] | None:
    """Return the names of the columns of a frame where all are strings, as scikit-learn does."""
    names = column_names(frame)
    return names if names is not None and all(isinstance(name, str) for name in frame.columns) else None


def check_names(frame: object, names: Sequence[str] | None, name: str) -> None:
    """Raise unless the columns of a frame have these names, in their order, as far as both have any."""
    found = string_names(frame)
    if found is None or names is None:
        return
    for j, (theirs, ours) in enumerate(zip_longest(found, names)):
        if theirs != ours:
            there, here = ("none" if column is None else repr(column) for column in (theirs, ours))
            raise InvalidInputError(
                f"is a frame whose column {j} is {there}, expected {here} there", argument=name
            )


def check_frame(frame: Any, name: str) -> None:
    """Raise unless every column holds real numbers, naming one that does not.

    Frames would turn dates into integers, and scikit-learn text into numbers.
    """
    is_number = _pandas_number if library_of(frame) == "pandas" else _polars_number
    for column, values, dtype in _columns(frame):
        if getattr(dtype, "kind", None) == "c":
            raise InvalidTypeError(
                f"Complex data not supported: {_place(column, name)} has dtype {dtype}, expected real numbers"
            )
        if not is_number(values, dtype):
            raise InvalidTypeError(
                f"{_place(column, name)} has dtype {dtype}, expected numbers; drop or encode it"
            )


def frame_values(frame: Any) -> npt.NDArray[Any]:
    """Return what a frame or series of numbers holds, missing values as NaN where there is a dtype for it."""
    tell("frame", lambda: widened_by(frame) or "")
    values = np.asarray(frame.to_numpy())
    if values.dtype != object:
        return values
    if library_of(frame) == "pandas":
        # Columns of nullable dtypes have no common NumPy dtype, although their values have.
        with suppress(TypeError, ValueError, OverflowError):
            return np.asarray(frame.to_numpy(dtype=np.float64, na_value=np.nan))
    return values


def widened_by(frame: Any) -> str | None:
    """Return which column makes others of single precision be copied to double; None if there is no such."""
    if not is_frame(frame) or ndim(frame) != 2:
        return None
    kinds = (frame.schema if library_of(frame) == "polars" else frame.dtypes).items()
    wide = [(name, kind) for name, kind in kinds if str(kind).lower() not in SINGLE]
    if not wide or len(wide) == frame.shape[1]:
        return None
    return f"all columns are copied to float64, as column {wide[0][0]!r} is {wide[0][1]}"


def sparse_frame_values(A: Any) -> Any:
    """Return a frame of sparse columns with zeros in between as a CSR matrix, None for anything else."""
    if library_of(A) != "pandas" or ndim(A) != 2:
        return None
    kinds = [dtype for dtype in A.dtypes if type(dtype).__name__ == "SparseDtype" and dtype.fill_value == 0]
    return A.sparse.to_coo().tocsr() if 0 < len(kinds) == A.shape[1] else None


@contextmanager
def naming_columns(names: Sequence[str] | None) -> Generator[None]:
    """Add the name of the column to errors that tell of an entry by its numbers."""
    try:
        yield
    except NearlinError as error:
        name_column(error, names)
        raise


def name_column(error: NearlinError, names: Sequence[str] | None) -> None:
    """Add the name of the column to an error that tells of an entry by its numbers."""
    if names is None or not isinstance(error, NonFiniteError) or error.argument not in ("A", "X"):
        return
    found = re.search(r" at \[\d+, (\d+)\]", str(error))
    if found is not None:
        error.args = (f"{error.args[0]} (column {names[int(found[1])]!r}; missing values are NaN)",)


def _columns(frame: Any) -> Iterable[tuple[object, Any, Any]]:
    """Return name, values and dtype of every column; the name of a series does not matter."""
    if ndim(frame) == 1:
        return [(None, frame, frame.dtype)]
    if library_of(frame) == "polars":
        return [(column.name, column, column.dtype) for column in frame.iter_columns()]
    # By position: names may be repeated.
    return ((column, frame.iloc[:, j], dtype) for j, (column, dtype) in enumerate(frame.dtypes.items()))


def _pandas_number(values: Any, dtype: Any) -> bool:
    if isinstance(dtype, np.dtype) and dtype.hasobject:
        from pandas.api.types import infer_dtype

        return infer_dtype(values, skipna=True) in NUMBERS
    return getattr(dtype, "kind", None) in tuple("biuf")


def _polars_number(values: Any, dtype: Any) -> bool:
    return bool(dtype.is_numeric() or str(dtype) in ("Boolean", "Null"))


def _place(column: object, name: str) -> str:
    return f"`{name}`" if column is None else f"column {column!r} of `{name}`"
