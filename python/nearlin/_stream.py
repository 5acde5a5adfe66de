"""What is kept between calls as a state in the core: copies, bytes, and streams of rows."""

import os
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar, Self, TypeVar, cast
from weakref import WeakKeyDictionary

from ._config import resolve_threads
from .exceptions import InvalidTypeError, StateError

__all__ = ["RowStream", "Saved", "in_turn"]

F = TypeVar("F", bound=Callable[..., Any])

TURNS: WeakKeyDictionary[object, threading.RLock] = WeakKeyDictionary()
"""Whose threads wait for each other, and by which lock."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=TURNS.clear)  # threads that had theirs are not in the child


def in_turn(change: F) -> F:
    """Return a method that changes an object, after those that other threads have called before.

    A state in the core keeps threads apart by itself. This is for changes that are made to a copy first, and
    take its place when all has gone well: what others did meanwhile would be lost.
    """

    @wraps(change)
    def waiting(self: object, *args: Any, **options: Any) -> Any:
        with TURNS.setdefault(self, threading.RLock()):
            return change(self, *args, **options)

    return cast(F, waiting)


class Saved:
    """What can be copied, pickled, and written as bytes."""

    __slots__ = ()

    def copy(self) -> Self:
        """Return an independent copy.

        Examples
        --------
        >>> import numpy as np
        >>> from nearlin.sketch import SparseSign
        >>> stream = SparseSign(9, rng=0).accumulate(2)
        >>> _ = stream.copy().partial_fit(np.ones((5, 2)))
        >>> stream.n_rows_seen
        0
        """
        raise NotImplementedError

    def to_bytes(self) -> bytes:
        """Return the state as bytes, with version and checksum.

        Examples
        --------
        >>> import nearlin
        >>> nearlin.StreamingLeastSquares(rng=0).to_bytes()[:7]
        b'nearlin'
        """
        raise NotImplementedError

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return the object whose :meth:`to_bytes` gave these bytes.

        Parameters
        ----------
        data : bytes, bytearray or memoryview
            The bytes.

        Returns
        -------
        object of this class
            One that goes on, bit by bit, as the other one would.

        Raises
        ------
        StateError
            If the bytes are damaged or are no such state.

        Examples
        --------
        >>> import nearlin
        >>> stream = nearlin.StreamingLeastSquares(sketch="gaussian", rng=0)
        >>> nearlin.StreamingLeastSquares.from_bytes(stream.to_bytes())
        <StreamingLeastSquares of 0 rows, by 'gaussian' with seed 0>
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise InvalidTypeError(f"is of type {type(data).__name__}, expected bytes", argument="data")
        try:
            return cls._restored(bytes(data))
        except StateError as error:
            error.args = (f"`data`: {error}",)
            raise

    @classmethod
    def _restored(cls, data: bytes) -> Self:
        raise NotImplementedError

    def __copy__(self) -> Self:
        return self.copy()

    def __deepcopy__(self, memo: object) -> Self:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_bytes, (self.to_bytes(),)


class RowStream(Saved):
    """Rows that arrive in blocks, are read once, and are not kept: a thin cover of a state in the core."""

    __slots__ = ("_state",)
    _state: Any
    _State: ClassVar[Any]
    """Class of the state."""

    @property
    def covered(self) -> tuple[range, ...]:
        """The rows so far, as ranges in increasing order."""
        return tuple(range(*rows) for rows in self._state.covered)

    @property
    def n_rows_seen(self) -> int:
        """Number of rows so far."""
        return sum(stop - start for start, stop in self._state.covered)

    def merge(self, other: Self, *, n_jobs: int | None = None) -> Self:
        """Add the rows of another stream with the same parameters, none of which this one may have.

        Parameters
        ----------
        other : stream of the same class
            The other stream; it stays as it is.
        n_jobs : int, optional
            Number of threads; see :func:`nearlin.set_config` for the default.

        Returns
        -------
        self
            This one.

        Raises
        ------
        InvalidInputError
            If both have a row, or if parameters, seeds or shapes differ.

        Notes
        -----
        Which rows are covered is exact. Sums are added in another order than in one stream, so that results
        agree to rounding; the same merges in the same order give the same bits.

        Examples
        --------
        >>> import numpy as np
        >>> from nearlin.sketch import SparseSign
        >>> stream = SparseSign(9, rng=0).accumulate(2)
        >>> other = stream.copy().partial_fit(np.ones((5, 2)), row_offset=10)
        >>> stream.partial_fit(np.ones((10, 2))).merge(other).covered
        (range(0, 15),)
        """
        if not isinstance(other, type(self)):
            found, expected = type(other).__name__, type(self).__name__
            raise InvalidTypeError(f"is of type {found}, expected {expected}", argument="other")
        self._state.merge(other._state, threads=resolve_threads(n_jobs))
        return self

    def copy(self) -> Self:
        return self._wrap(self._state.copy())

    def to_bytes(self) -> bytes:
        state: bytes = self._state.to_bytes()
        return state

    @classmethod
    def _restored(cls, data: bytes) -> Self:
        return cls._wrap(cls._State.from_bytes(data))

    @classmethod
    def _wrap(cls, state: Any) -> Self:
        stream = cls.__new__(cls)
        stream._state = state
        return stream
