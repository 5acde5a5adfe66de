"""What all sketches have in common, their transposes, and the sketches of streams."""

from abc import abstractmethod
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from nearlin import _core
from nearlin._config import resolve_threads
from nearlin._linear_operator import LinearOperator
from nearlin._sparse import is_sparse
from nearlin._stream import RowStream
from nearlin._validation import (
    LARGEST,
    Float,
    Matrix,
    as_columns,
    as_float_dtype,
    as_matrix,
    as_seed,
    check_choice,
    check_finite,
    check_int,
    optional,
)
from nearlin.exceptions import InvalidInputError, InvalidTypeError, ShapeError

__all__ = ["Accumulator", "Sketch", "TransposedSketch"]


class Sketch(LinearOperator):
    """What all sketches have in common; not to be instantiated itself.

    A sketch cannot be changed. Two are equal if they are the same matrix by construction: of the same
    class, size, parameters and seed. SciPy takes one for a linear operator wherever it takes any, provided
    that n is given.

    Examples
    --------
    >>> import pickle
    >>> from nearlin.sketch import CountSketch, Sketch
    >>> S = CountSketch(50, 1000, rng=7)
    >>> S
    CountSketch(m=50, n=1000, rng=7)
    >>> isinstance(S, Sketch), S.shape, S.seed
    (True, (50, 1000), 7)
    >>> pickle.loads(pickle.dumps(S)) == S
    True
    """

    __slots__ = ("_operator",)
    _operator: _core.Sketch

    kind: ClassVar[str]
    """Name of the family, as the argument `sketch` of :func:`nearlin.lstsq` has it."""

    _class_of: ClassVar[dict[str, Any]] = {}
    """Each kind by its name."""

    def __init_subclass__(cls) -> None:
        if "kind" in vars(cls):
            cls._class_of[cls.kind] = cls

    @abstractmethod
    def __init__(self) -> None: ...

    def _define(
        self,
        m: int,
        n: int | None,
        rng: object,
        *,
        zeta: int = 1,
        weights: str = "signs",
        chunk: int | None = None,
    ) -> None:
        self._operator = _core.Sketch(
            self.kind,
            check_int(m, "m", at_least=1, at_most=2**31 - 1),
            optional(check_int, n, "n", at_least=1, at_most=LARGEST),
            as_seed(rng),
            zeta=check_int(zeta, "zeta", at_least=1, at_most=2**31 - 1),
            weights=check_choice(weights, "weights", ("signs", "normals")),
            chunk=optional(check_int, chunk, "chunk", at_least=1, at_most=2**32),
        )

    @property
    def m(self) -> int:
        """Number of rows of S: the embedding dimension."""
        return self._operator.m

    @property
    def n(self) -> int | None:
        """Number of columns of S, None if there is no bound."""
        return self._operator.n

    @property
    def seed(self) -> int:
        """The number of 64 bits that all randomness comes from."""
        return self._operator.seed

    @property
    def shape(self) -> tuple[int, int | None]:
        """The pair (m, n)."""
        return self.m, self.n

    @property
    def T(self) -> "TransposedSketch":
        """The transpose, an n x m operator."""
        return TransposedSketch(self)

    def apply(self, A: object, row_offset: int = 0, *, n_jobs: int | None = None) -> Float:
        """Return what some rows contribute: the columns of S from `row_offset` on times `A`.

        Parameters
        ----------
        A : array_like or sparse matrix of shape (rows, d) or (rows,)
            float32 or float64 in any memory layout, or SciPy CSR or CSC, none of which is copied; data
            frames give their values, other sparse formats become CSR, and other numbers are rounded to
            float64. CSR and CSC cost in proportion to the stored entries with :class:`SparseSign` and
            :class:`CountSketch`; with the others they cost what dense ones do.
        row_offset : int, default=0
            Which row of the whole matrix the first row of `A` is.
        n_jobs : int, optional
            Number of threads; see :func:`nearlin.set_config` for the default. It does not change a bit of the
            result.

        Returns
        -------
        ndarray of shape (m, d) or (m,)
            In the dtype of `A`; sums are carried in float64.

        Raises
        ------
        NonFiniteError
            If `A` holds NaN or infinity.
        InvalidInputError
            If there are rows past n, or `A` is not a matrix or vector of real numbers.

        Examples
        --------
        >>> import numpy as np
        >>> from nearlin.sketch import SparseSign
        >>> A = np.arange(3000.0).reshape(1000, 3)
        >>> S = SparseSign(20, 1000, rng=0)
        >>> np.allclose(S.apply(A[:600]) + S.apply(A[600:], row_offset=600), S @ A)
        True
        """
        matrix, vector = as_columns(A)
        offset = check_int(row_offset, "row_offset", at_least=0, at_most=LARGEST)
        return self._product(matrix, vector, offset, n_jobs)

    def __matmul__(self, A: object) -> Float:
        matrix, vector = as_columns(A)
        if self.n is not None and matrix.shape[0] != self.n:
            raise ShapeError(
                f"has {matrix.shape[0]} rows, expected {self.n}, as many as S has columns", argument="A"
            )
        return self._product(matrix, vector, 0, None)

    def _product(self, A: Matrix, vector: bool, row_offset: int, n_jobs: int | None) -> Float:
        Y = self._operator.apply(A, row_offset=row_offset, threads=resolve_threads(n_jobs))
        return Y[:, 0] if vector else Y

    def accumulate(self, d: int, *, dtype: npt.DTypeLike = np.float64) -> "Accumulator":
        """Return the sketch of a stream of rows, before the first of them.

        Parameters
        ----------
        d : int
            Number of columns.
        dtype : {float64, float32}, default=float64
            What the result is rounded to; sums are carried in float64.

        Returns
        -------
        Accumulator
            Takes rows by `partial_fit`.

        Examples
        --------
        >>> import numpy as np
        >>> from nearlin.sketch import PHT
        >>> A = np.random.default_rng(0).standard_normal((5000, 4))
        >>> S = PHT(100, rng=0)
        >>> stream = S.accumulate(4)
        >>> for block in np.array_split(A, 7):
        ...     _ = stream.partial_fit(block)
        >>> bool(np.all(stream.result() == S @ A))
        True
        """
        return Accumulator(self, d, dtype=dtype)

    def to_dense(self, n: int | None = None) -> npt.NDArray[np.float64]:
        """Return S, or its first columns, as an array; for tests, as it needs m (m + n) numbers.

        Parameters
        ----------
        n : int, optional
            How many columns; all of them by default.

        Returns
        -------
        ndarray of shape (m, n)
            Float64, in C order.

        Examples
        --------
        >>> from nearlin.sketch import CountSketch
        >>> S = CountSketch(2, 1000, rng=0).to_dense(4)
        >>> S.shape, abs(S).sum(axis=0)
        ((2, 4), array([1., 1., 1., 1.]))
        """
        return self.T.to_dense(n).T

    def __repr__(self) -> str:
        listed = ", ".join(f"{name}={value!r}" for name, value in self._operator.parameters.items())
        return f"{type(self).__name__}({listed})"

    def __eq__(self, other: object) -> bool:
        return self._operator == other._operator if isinstance(other, Sketch) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._operator)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), **self._operator.parameters), ()


class TransposedSketch(LinearOperator):
    """The transpose of a sketch, as ``S.T`` gives it.

    Parameters
    ----------
    sketch : Sketch
        The sketch.

    Examples
    --------
    >>> import numpy as np
    >>> from nearlin.sketch import SRHT
    >>> S = SRHT(8, 1000, rng=0)
    >>> Y = np.ones((8, 2))
    >>> (S.T @ Y).shape, S.T.T is S
    ((1000, 2), True)
    """

    __slots__ = ("_sketch",)

    def __init__(self, sketch: Sketch) -> None:
        self._sketch = sketch

    @property
    def shape(self) -> tuple[int | None, int]:
        """The pair (n, m)."""
        return self._sketch.n, self._sketch.m

    @property
    def T(self) -> Sketch:
        """The sketch."""
        return self._sketch

    def apply(
        self, Y: object, start: int = 0, stop: int | None = None, *, n_jobs: int | None = None
    ) -> Float:
        """Return rows `start` to `stop` of the product with `Y`.

        Parameters
        ----------
        Y : array_like or sparse matrix of shape (m, k) or (m,)
            float32 or float64; other numbers are rounded to float64.
        start : int, default=0
            The first row of the product.
        stop : int, optional
            The row after the last one; n by default, and needed if there is no n.
        n_jobs : int, optional
            Number of threads; see :func:`nearlin.set_config` for the default. It does not change a bit of the
            result.

        Returns
        -------
        ndarray of shape (stop - start, k) or (stop - start,)
            In the dtype of `Y`.

        Raises
        ------
        NonFiniteError
            If `Y` holds NaN or infinity.
        InvalidInputError
            If `Y` does not have m rows, or a row past n is asked for.

        Examples
        --------
        >>> import numpy as np
        >>> from nearlin.sketch import SparseSign
        >>> S = SparseSign(20, rng=0)
        >>> S.T.apply(np.ones(20), 10**12, 10**12 + 3).shape
        (3,)
        """
        matrix, vector = as_columns(Y, "Y")
        if matrix.shape[0] != self._sketch.m:
            raise ShapeError(
                f"has {matrix.shape[0]} rows, expected {self._sketch.m}, as many as S has", argument="Y"
            )
        check_finite(matrix.data if is_sparse(matrix) else matrix, "Y")
        start = check_int(start, "start", at_least=0, at_most=LARGEST)
        stop = self._end(stop, "stop")
        if not start <= stop:
            raise InvalidInputError(
                f"is {start}, expected at most {stop}, which is where to stop", argument="start"
            )
        rows = self._sketch._operator.apply_transposed(
            matrix, start=start, stop=stop, threads=resolve_threads(n_jobs)
        )
        return rows[:, 0] if vector else rows

    def __matmul__(self, Y: object) -> Float:
        return self.apply(Y)

    def to_dense(self, n: int | None = None) -> npt.NDArray[np.float64]:
        """Return the transpose, or its first rows, as an array; for tests, as it needs m (m + n) numbers.

        Parameters
        ----------
        n : int, optional
            How many rows; all of them by default.

        Returns
        -------
        ndarray of shape (n, m)
            Float64, in Fortran order.

        Examples
        --------
        >>> import numpy as np
        >>> from nearlin.sketch import PHT
        >>> S = PHT(8, 1000, rng=0)
        >>> bool(np.all(S.T.to_dense() == S.to_dense().T))
        True
        """
        rows: Any = self._sketch._operator.apply_transposed(
            np.eye(self._sketch.m), start=0, stop=self._end(n, "n"), threads=resolve_threads(None)
        )
        transposed: npt.NDArray[np.float64] = rows
        return transposed

    def _end(self, stop: int | None, name: str) -> int:
        """Return the row after the last one that is asked for."""
        n = self._sketch.n
        if stop is None and n is None:
            raise InvalidInputError(
                "is None, expected a number of rows, as the sketch has no `n`", argument=name
            )
        return check_int(n if stop is None else stop, name, at_least=0, at_most=n or LARGEST)

    def __repr__(self) -> str:
        return f"{self._sketch!r}.T"

    def __eq__(self, other: object) -> bool:
        return self._sketch == other._sketch if isinstance(other, TransposedSketch) else NotImplemented

    def __hash__(self) -> int:
        return hash(("T", self._sketch))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._sketch,)


class Accumulator(RowStream):
    """The sketch of a stream of rows, as far as it has come.

    Rows that come in order give the same bits as ``S @ A`` does, wherever the stream is cut.

    Parameters
    ----------
    sketch : Sketch
        The sketch.
    d : int
        Number of columns.
    dtype : {float64, float32}, default=float64
        What the result is rounded to; sums are carried in float64.

    Notes
    -----
    Memory: m d numbers, and B d for every chunk of B rows of which only some have come, where the sketch
    works on chunks; streams in order have one such chunk at most. Adding a block of at least m rows takes
    another m d numbers for as long as it lasts.

    Threads may share a stream; they add to it one after the other.

    Examples
    --------
    >>> import numpy as np
    >>> from nearlin.sketch import Accumulator, SparseSign
    >>> A = np.random.default_rng(0).standard_normal((1000, 5))
    >>> S = SparseSign(40, rng=0)
    >>> here, there = S.accumulate(5), S.accumulate(5)
    >>> here.partial_fit(A[:400]).partial_fit(A[400:500])
    <Accumulator of 500 rows of 5 columns, float64, by SparseSign(m=40, n=None, zeta=8, rng=0)>
    >>> received = Accumulator.from_bytes(there.partial_fit(A[500:], row_offset=500).to_bytes())
    >>> np.allclose(here.merge(received).result(), S @ A)
    True
    >>> here.covered
    (range(0, 1000),)
    """

    __slots__ = ()
    _state: _core.SketchAccumulator
    _State = _core.SketchAccumulator

    def __init__(self, sketch: Sketch, d: int, *, dtype: npt.DTypeLike = np.float64) -> None:
        if not isinstance(sketch, Sketch):
            raise InvalidTypeError(
                f"is of type {type(sketch).__name__}, expected a Sketch", argument="sketch"
            )
        d = check_int(d, "d", at_least=1, at_most=LARGEST)
        single = as_float_dtype(dtype, "dtype") == "float32"
        self._state = _core.SketchAccumulator(sketch._operator, d, single=single)

    @property
    def sketch(self) -> Sketch:
        """The sketch."""
        operator = self._state.sketch
        sketch: Sketch = Sketch._class_of[operator.kind](**operator.parameters)
        return sketch

    @property
    def d(self) -> int:
        """Number of columns."""
        return self._state.d

    @property
    def dtype(self) -> np.dtype[Any]:
        """What the result is rounded to."""
        return np.dtype(np.float32 if self._state.single else np.float64)

    def partial_fit(self, A: object, row_offset: int | None = None, *, n_jobs: int | None = None) -> Self:
        """Add a block of rows: all of it or, after an error or Ctrl-C, nothing.

        Parameters
        ----------
        A : array_like or sparse matrix of shape (rows, d)
            As :meth:`Sketch.apply` takes it, columns by position: names of a frame are not looked at. There
            may be no rows.
        row_offset : int, optional
            Which row of the stream the first row of `A` is; by default the one after the last row so far.
        n_jobs : int, optional
            Number of threads; see :func:`nearlin.set_config` for the default. It does not change a bit of the
            result.

        Returns
        -------
        Accumulator
            This one.

        Raises
        ------
        NonFiniteError
            If `A` holds NaN or infinity.
        InvalidInputError
            If a row has been added already or is past n, or if `A` is not a matrix of d columns.

        Examples
        --------
        >>> import numpy as np
        >>> from nearlin.sketch import Accumulator, SparseSign
        >>> stream = SparseSign(9, rng=0).accumulate(2)
        >>> _ = stream.partial_fit(np.ones((5, 2))).partial_fit(np.ones((3, 2)), row_offset=10)
        >>> stream.covered, stream.n_rows_seen
        ((range(0, 5), range(10, 13)), 8)
        """
        block = as_matrix(A, allow_empty=True)
        if row_offset is not None:
            row_offset = check_int(row_offset, "row_offset", at_least=0, at_most=LARGEST)
        self._state.partial_fit(block, row_offset=row_offset, threads=resolve_threads(n_jobs))
        return self

    def close(self) -> Self:
        """Take no more rows; of those so far, none waits for others any more.

        Dense sketches keep the rows of a chunk as they are until it is complete. A part of a stream that is
        to be merged with others is as small as can be once it is closed.

        Returns
        -------
        Accumulator
            This one.

        Examples
        --------
        >>> import numpy as np
        >>> from nearlin.sketch import PHT
        >>> stream = PHT(9, rng=0).accumulate(2).partial_fit(np.ones((5, 2)))
        >>> before = len(stream.to_bytes())
        >>> len(stream.close().to_bytes()) < before / 10
        True
        """
        self._state.close()
        return self

    def result(self, *, n_jobs: int | None = None) -> Float:
        """Return the sketch of the rows so far; those that have not come count as zeros.

        Parameters
        ----------
        n_jobs : int, optional
            Number of threads; see :func:`nearlin.set_config` for the default.

        Returns
        -------
        ndarray of shape (m, d)
            A copy, in ``dtype``; the stream may go on.

        Examples
        --------
        >>> import numpy as np
        >>> from nearlin.sketch import Accumulator, SparseSign
        >>> stream = SparseSign(9, rng=0).accumulate(2)
        >>> stream.partial_fit(np.ones((5, 2))).result().shape
        (9, 2)
        """
        return self._state.result(threads=resolve_threads(n_jobs))

    def __repr__(self) -> str:
        return (
            f"<Accumulator of {self.n_rows_seen} rows of {self.d} columns, {self.dtype}, by {self.sketch!r}>"
        )
