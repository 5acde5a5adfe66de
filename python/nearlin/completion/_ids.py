"""What rows and columns are called: identities of any kind, numbered in increasing order, and found again."""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from nearlin import _core
from nearlin._frames import is_frame
from nearlin._validation import LARGEST, copying, shown
from nearlin.exceptions import InvalidInputError, InvalidTypeError, NearlinError, ShapeError

from ._kinds_of_ids import KEPT, decoded, encoded, kind_of

__all__ = ["Ids", "as_ids", "positions"]

Array = npt.NDArray[Any]

KINDS = {
    "b": "bool",
    "i": "int",
    "u": "int",
    "U": "str",
    "S": "bytes",
    "M": "datetime64",
    "m": "timedelta64",
}
"""Kinds of identities by those of dtypes."""
MISSING = ("NoneType", "NAType", "NaTType")
"""Classes whose objects stand for nothing."""
BLOCK = 1 << 13
"""Python objects that are looked up before others have their turn, in a millisecond."""
WRITTEN = re.compile(r"\|b1|<[iu][1248]|\|[iu]1|\|S\d+|<U\d+|<[mM]8(\[\d*[A-Za-zμ]+\])?")
"""Dtypes that identities are written with."""


@dataclass(frozen=True, eq=False)
class Ids:
    """Identities, and of what kinds they are.

    Numbers are integers, whatever they came as; what NumPy has no dtype for stays as the objects that came,
    ordered by kind where there are several, and then among themselves.
    """

    values: Array
    kinds: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.values)

    def numbered(self, name: str) -> tuple[Self, Array]:
        """Return those that occur in increasing order, and the number of each among them."""
        if self._is_of_objects:
            return self._numbered_objects(name)
        keys, width = _keys(self.values)
        at, numbers = _core.number_ids(keys, width, threads=1)
        if numbers is None:
            count = int(keys.max(initial=-1)) + 1
            return type(self)(np.arange(count).astype(self.values.dtype), self.kinds), keys
        return type(self)(self.values[at], self.kinds), numbers

    def find(self, others: "Ids", name: str, threads: int = 1) -> npt.NDArray[np.int64]:
        """Return where others are among these, which are in increasing order: -1 for those that are not."""
        if not len(others) or not len(self):
            return np.full(len(others), -1, dtype=np.int64)
        self._check_kinds(others, name)
        if self._is_of_objects or others._is_of_objects:
            found, get = np.empty(len(others), dtype=np.int64), self._places.get
            for part, keys in others._listed(mixed=len(self.kinds) > 1):
                found[part] = [get(key, -1) for key in keys]
            return found
        known, sought, exact = self.values, others.values, None
        if "int" in self.kinds:
            unsigned = np.uint64 in (known.dtype, sought.dtype)
            known = known.astype(np.uint64 if unsigned else np.int64, copy=False)
            sought = sought.astype(np.uint64) if unsigned else sought
        elif known.dtype.kind in "mM":
            sought = _cast(others.values, known.dtype, name)
            exact = _cast(sought, others.values.dtype, name) == others.values
        found = _core.find_ids(*_keys(known), *_keys(sought), threads=threads)
        return found if exact is None else np.where(exact, found, -1)

    def joined(self, others: "Ids", name: str) -> tuple[Self, Array, Array]:
        """Return these and others in increasing order, and where both are then."""
        if len(others):
            self._check_kinds(others, name)
        both = type(self)(_both(self.values, others.values, name), self.kinds)
        ids, numbers = both.numbered(name)
        numbers = numbers.astype(np.int64, copy=False)
        return ids, numbers[: len(self)], numbers[len(self) :]

    def names(self, numbers: Array) -> Array:
        """Return what has these numbers; for -1 that, NaT, an empty string or None, by dtype."""
        found, nothing = self.values[numbers], numbers < 0
        if not nothing.any():
            return found
        filler: Any = None
        if self.values.dtype.kind in "iu" and self.values[-1] <= LARGEST:
            found, filler = found.astype(np.int64), -1
        elif self.values.dtype.kind in "mM":
            filler = np.array("NaT", dtype=self.values.dtype)
        elif self.values.dtype.kind in "US":
            filler = "" if self.values.dtype.kind == "U" else b""
        else:
            found = found.astype(object)
        found[nothing] = filler
        return found

    def written(self) -> dict[str, Any]:
        """Return these as JSON can hold them."""
        if self._is_of_objects:
            return {"dtype": "O", "values": [encoded(value) for value in self.values]}
        little = self.values.astype(self.values.dtype.newbyteorder("<"))
        return {"dtype": little.dtype.str, "values": base64.b64encode(little.tobytes()).decode()}

    @classmethod
    def read(cls, written: dict[str, Any]) -> Self:
        """Return what was written so, or an error of any kind."""
        name, values = written["dtype"], written["values"]
        if name == "O":
            objects = [decoded(value) for value in values]
            kinds = sorted({str(kind_of(type(value))) for value in objects})
            ids = cls(np.fromiter(objects, object, len(objects)), tuple(kinds))
            keys = [key for _, keys in ids._listed(mixed=len(kinds) > 1) for key in keys]
            rising = all(before < after for before, after in pairwise(keys))
            sound = "int" not in kinds or all(0 <= v < 2**64 for v in objects if kind_of(type(v)) == "int")
        else:
            if WRITTEN.fullmatch(name) is None:
                raise ValueError(f"identities of dtype {name}")
            array = np.frombuffer(base64.b64decode(values, validate=True), np.dtype(name))
            array = array.astype(array.dtype.newbyteorder("="))
            ids = cls(array, (KINDS[array.dtype.kind],))
            rising, sound = bool((array[1:] > array[:-1]).all()), _is_sound(array)
        if not (rising and sound):
            raise ValueError("identities that are in no order, or none")
        return ids

    @property
    def _is_of_objects(self) -> bool:
        return self.values.dtype.kind == "O"

    def _check_kinds(self, others: "Ids", name: str) -> None:
        if not set(others.kinds) <= set(self.kinds):
            found, expected = (" and ".join(ids.kinds) for ids in (others, self))
            raise InvalidTypeError(
                f"holds identities of type {found}, expected {expected}, as in the fit", argument=name
            )

    @cached_property
    def _places(self) -> dict[Any, int]:
        """Where each is."""
        lists = (keys for _, keys in self._listed(mixed=len(self.kinds) > 1))
        return {key: place for place, key in enumerate(key for keys in lists for key in keys)}

    def _listed(self, *, mixed: bool) -> Iterator[tuple[slice, list[Any]]]:
        """Yield Python objects in pieces, each with its kind where there are several."""
        for start in range(0, len(self.values), BLOCK):
            part = slice(start, start + BLOCK)
            keys = self.values[part].tolist()
            yield part, [(kind_of(type(key)), key) for key in keys] if mixed else keys

    def _numbered_objects(self, name: str) -> tuple[Self, Array]:
        known: dict[Any, int] = {}
        numbers = np.empty(len(self.values), dtype=np.int32)
        mixed = len(self.kinds) > 1
        try:
            for part, keys in self._listed(mixed=mixed):
                for key in dict.fromkeys(keys):
                    known.setdefault(key, len(known))
                numbers[part] = np.fromiter(map(known.__getitem__, keys), np.int32, len(keys))
            distinct = list(known)
            order: Any = _order_of_strings(distinct) if self.kinds == ("str",) else _order(distinct)
        except TypeError as error:
            raise InvalidTypeError(
                f"holds identities that cannot be put in order: {error}", argument=name
            ) from error
        objects = (key[1] if mixed else key for key in distinct)
        ids = type(self)(np.fromiter(objects, object, len(distinct))[order], self.kinds)
        ids._check_that_they_are_kept(name)
        ranks = np.empty(len(distinct), dtype=np.int32)
        ranks[order] = np.arange(len(distinct), dtype=np.int32)
        return ids, ranks[numbers]

    def _check_that_they_are_kept(self, name: str) -> None:
        """Raise, now rather than when a model is to be saved, unless all can be written."""
        if self.kinds == ("str",):
            return
        for value in self.values:
            try:
                encoded(value)
            except (TypeError, ValueError) as error:
                raise InvalidTypeError(f"holds {shown(value)}: {error}", argument=name) from error


def as_ids(ids: object, name: str) -> Ids:
    """Return identities as a vector, or an error that says which one is none."""
    values, kinds = _vector(ids, name), None
    if values.dtype.kind in "OT":
        values, kinds = _of_objects(values.astype(object, copy=False), name)
    if values.dtype.kind == "f":
        values = _of_floats(values, name)
    kind = values.dtype.kind
    if kind != "O" and kind not in KINDS:
        raise InvalidTypeError(f"has dtype {values.dtype}, expected {KEPT}", argument=name)
    if kind in "mM" and np.isnat(values).any():
        raise _missing(name, int(np.isnat(values).argmax()))
    if kind == "i" and values.min(initial=0) < 0:
        k = int(np.flatnonzero(values < 0)[0])
        raise InvalidInputError(f"contains {values[k]} at [{k}], expected none below 0", argument=name)
    return Ids(values, kinds or (KINDS[kind],))


def positions(ids: Ids, known: Ids | None, count: int, name: str, threads: int = 1) -> npt.NDArray[np.int64]:
    """Return where identities are among those that are known, or numbers among so many; -1 for others."""
    if known is not None:
        return known.find(ids, name, threads)
    if len(ids) and ids.kinds != ("int",):
        found = " and ".join(ids.kinds)
        raise InvalidTypeError(
            f"holds identities of type {found}, expected numbers, as the fit was to a matrix", argument=name
        )
    return np.where(ids.values < count, ids.values, -1).astype(np.int64, copy=False)


def _vector(ids: Any, name: str) -> Array:
    """Return a vector of whatever dtype, in native byte order."""
    if isinstance(ids, np.ma.MaskedArray) and np.ma.is_masked(ids):
        raise InvalidInputError("has masked entries, expected an identity in every one", argument=name)
    try:
        with copying(name):
            if is_frame(ids):
                array = np.asarray(ids.to_numpy())
            else:
                array = _of_list(ids) if isinstance(ids, list | tuple) else np.asarray(ids)
            if not array.dtype.isnative:
                array = array.astype(array.dtype.newbyteorder("="))
    except NearlinError:
        raise
    except Exception as error:  # whatever the code of the caller raises
        raise InvalidTypeError(
            f"is a {type(ids).__name__} that cannot be read as a vector: {error}", argument=name
        ) from error
    if array.ndim != 1:
        raise ShapeError(f"has {array.ndim} dimensions, expected 1", argument=name)
    return array


def _of_list(ids: list[Any] | tuple[Any, ...]) -> Array:
    """Return a list as a vector: of objects where NumPy would make one thing of several, or many of one."""
    classes = set(map(type, ids))
    if len(classes) < 2 and not any(issubclass(cls, str | bytes | tuple) for cls in classes):
        array = np.asarray(ids)
        # Which it makes of integers on both sides of 2**63, too.
        if array.dtype.kind != "f" or any(issubclass(cls, float | np.floating) for cls in classes):
            return array
    return np.fromiter(ids, object, len(ids))


def _of_objects(values: Array, name: str) -> tuple[Array, tuple[str, ...] | None]:
    """Return objects as NumPy has them if it does, else as they are, and of what kinds they are then."""
    classes: dict[type, str | None] = {}
    for start in range(0, len(values), BLOCK):
        for cls in set(map(type, values[start : start + BLOCK].tolist())):
            classes.setdefault(cls, kind_of(cls))
    if any(cls.__name__ in MISSING for cls in classes):
        raise _missing(name, next(k for k, value in enumerate(values) if type(value).__name__ in MISSING))
    wrong = [cls.__name__ for cls, kind in classes.items() if kind is None]
    if wrong:
        raise InvalidTypeError(f"holds identities of type {wrong[0]}, expected {KEPT}", argument=name)
    kinds = set(map(str, classes.values()))
    if "Decimal" in kinds:
        for k, value in enumerate(values):
            if classes[type(value)] == "Decimal" and value.is_nan():
                raise _missing(name, k)
    if kinds & {"int", "float"}:
        numbers = (
            _whole(value, k, name) if classes[type(value)] in ("int", "float") else value
            for k, value in enumerate(values)
        )
        values = np.fromiter(numbers, object, len(values))
        kinds = kinds - {"float"} | {"int"}
    if kinds <= {"int"}:
        return values.astype(np.uint64 if max(values, default=0) > LARGEST else np.int64), None
    if kinds == {"bool"}:
        return values.astype(bool), None
    for of_numpy, of_pandas in (("datetime64", "Timestamp"), ("timedelta64", "Timedelta")):
        if kinds <= {of_numpy, of_pandas} and not any(getattr(value, "tzinfo", None) for value in values):
            return np.array([getattr(value, f"to_{of_numpy}", lambda v=value: v)() for value in values]), None
    return values, tuple(sorted(kinds))


def _whole(value: Any, k: int, name: str) -> int:
    """Return a number that is whole."""
    if value != value:
        raise _missing(name, k)
    if isinstance(value, float | np.floating):
        return int(_of_floats(np.array([value]), name, k)[0])
    if not 0 <= value < 2**64:
        bound = "none below 0" if value < 0 else "integers below 2**64, or strings"
        raise InvalidInputError(f"contains {shown(value)} at [{k}], expected {bound}", argument=name)
    return int(value)


def _of_floats(values: Array, name: str, first: int = 0) -> npt.NDArray[np.int64]:
    """Return floating-point numbers as integers, if they are such and no others are rounded to them."""
    most = min(2.0 ** (np.finfo(values.dtype).nmant + 1), 2.0**63)
    with np.errstate(invalid="ignore"):
        wrong = np.flatnonzero(~((values == np.floor(values)) & (values >= 0) & (values < most)))
    if not wrong.size:
        return values.astype(np.int64)
    value, k = values[wrong[0]], first + int(wrong[0])
    if np.isnan(value):
        raise _missing(name, k)
    expected = "integers or other identities"
    if value < 0:
        expected = "none below 0"
    elif value >= most:
        expected = f"integers, as floating-point numbers below {most:.0f}"
    raise InvalidInputError(f"contains {value} at [{k}], expected {expected}", argument=name)


def _missing(name: str, k: int) -> InvalidInputError:
    return InvalidInputError(f"is missing at [{k}], expected an identity", argument=name)


def _keys(values: Array) -> tuple[Array, int]:
    """Return the numbers that identities are compared by, and how many each has; 0 if it is one itself."""
    kind = values.dtype.kind
    if kind in "bUS":
        unit = np.dtype(np.uint32 if kind == "U" else np.uint8)
        if values.dtype.itemsize == 0:
            values = values.astype(f"{kind}1")
        return np.ascontiguousarray(values).view(unit), values.dtype.itemsize // unit.itemsize
    if kind in "mM":
        return values.view(np.int64), 0
    return values if values.dtype in (np.int32, np.int64, np.uint64) else values.astype(np.int64), 0


def _cast(values: Array, dtype: np.dtype[Any], name: str) -> Array:
    """Return dates in another unit, those that it does not have as others."""
    try:
        return values.astype(dtype)
    except (OverflowError, TypeError) as error:
        raise InvalidInputError(
            f"has dtype {values.dtype}, expected {dtype}, as in the fit: {error}", argument=name
        ) from error


def _both(left: Array, right: Array, name: str) -> Array:
    """Return all identities of two vectors, none of them rounded."""
    if "O" in (left.dtype.kind, right.dtype.kind):
        return np.concatenate([left.astype(object), right.astype(object)])
    dtype = left.dtype
    if dtype != right.dtype:
        integers = dtype.kind in "iu"
        dtype = np.dtype(np.uint64) if integers and np.uint64 in (dtype, right.dtype) else dtype
        dtype = np.promote_types(dtype, right.dtype) if dtype != np.uint64 or not integers else dtype
    parts = [_cast(part, dtype, name) for part in (left, right)]
    if dtype.kind in "mM":
        for part, cast in zip((left, right), parts, strict=True):
            if not np.array_equal(cast.astype(part.dtype), part):
                raise InvalidInputError(
                    f"has dates of dtype {right.dtype} that are out of the range of {dtype}", argument=name
                )
    return np.concatenate(parts)


def _order(keys: list[Any]) -> Array:
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)


def _order_of_strings(strings: list[str]) -> Array:
    """Return the order of strings, that of the bytes of which they consist."""
    ends, parts = np.empty(len(strings), dtype=np.int64), []
    for start in range(0, len(strings), BLOCK):
        names = [string.encode("utf-8", "surrogatepass") for string in strings[start : start + BLOCK]]
        ends[start : start + BLOCK] = [len(name) for name in names]
        parts.append(b"".join(names))
    return _core.order_names(np.frombuffer(b"".join(parts), np.uint8), np.cumsum(ends), threads=1)


def _is_sound(array: Array) -> bool:
    """Return whether an array that was read holds nothing that no identity is."""
    kind = array.dtype.kind
    if kind in "mM":
        return not np.isnat(array).any()
    if kind == "i":
        return bool(array.min(initial=0) >= 0)
    largest = {"U": 0x10FFFF, "b": 1}.get(kind)
    return largest is None or bool(_keys(array)[0].max(initial=0) <= largest)
