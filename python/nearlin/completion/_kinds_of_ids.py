"""Python objects as identities: of what kind they are, and how they are written."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any
from uuid import UUID

import numpy as np

__all__ = ["KEPT", "decoded", "encoded", "kind_of"]

BASES: tuple[tuple[str, Any], ...] = (
    ("bool", (bool, np.bool_)),
    ("datetime64", np.datetime64),
    ("timedelta64", np.timedelta64),
    ("int", (int, np.integer)),
    ("float", (float, np.floating)),
    ("str", str),
    ("bytes", bytes),
    ("UUID", UUID),
    ("Decimal", Decimal),
    ("datetime", datetime),
    ("date", date),
    ("timedelta", timedelta),
    ("tuple", tuple),
)
"""Kinds and their classes, those before that are classes of another one's kind too."""
OF_PANDAS = ("Timestamp", "Timedelta")

KEPT = "integers, strings, bytes, truth values, dates, times, UUIDs, Decimals, or tuples of these"


def kind_of(cls: type) -> str | None:
    """Return of what kind the objects of a class are as identities, None if they cannot be any."""
    if cls.__module__.partition(".")[0] == "pandas" and cls.__name__ in OF_PANDAS:
        return cls.__name__
    return next((kind for kind, base in BASES if issubclass(cls, base)), None)


def encoded(value: Any) -> list[Any]:
    """Return an identity as JSON has it; a TypeError tells of one that cannot be written."""
    kind = kind_of(type(value))
    if kind not in FORMS:
        raise TypeError(f"objects of type {type(value).__name__} cannot be kept, expected {KEPT}")
    return [kind, FORMS[kind][0](value)]


def decoded(written: Any) -> Any:
    """Return the identity that was written so; a ValueError or TypeError tells of any other words."""
    kind, form = written
    value = FORMS[kind][1](form)
    if encoded(value) != written:
        raise ValueError(f"no {kind} is written as {form!r}")
    return value


def _finite(value: float) -> str:
    if not isfinite(value):
        raise TypeError(f"{value} is like no other number, expected {KEPT}")
    return float(value).hex()


def _decimal(value: Decimal) -> str:
    if value.is_nan():
        raise TypeError(f"{value} is like no other number, expected {KEPT}")
    return str(value)


def _timestamp(text: str) -> Any:
    from pandas import Timestamp

    return Timestamp(text)


FORMS: dict[str | None, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "bool": (bool, bool),
    "int": (int, int),
    "float": (_finite, float.fromhex),
    "str": (str.__str__, str),
    "bytes": (bytes.hex, bytes.fromhex),
    "UUID": (str, UUID),
    "Decimal": (_decimal, Decimal),
    "datetime": (datetime.isoformat, datetime.fromisoformat),
    "date": (date.isoformat, date.fromisoformat),
    "timedelta": (
        lambda value: [value.days, value.seconds, value.microseconds],
        lambda form: timedelta(*form),
    ),
    "Timestamp": (lambda value: value.isoformat(), _timestamp),
    "tuple": (
        lambda value: [encoded(part) for part in value],
        lambda form: tuple(decoded(part) for part in form),
    ),
}
"""How identities of each kind are written, and read."""
