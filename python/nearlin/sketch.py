r"""Sketches: random matrices S of m rows that shrink a tall matrix A to the few rows of S A.

All are scaled so that the expectation of :math:`S^T S` is the identity: lengths and inner products of the
columns of A survive, the better the larger m is. A sketch is a value made of a kind, a size and a seed.
Nothing is sampled until it is applied, and column i of S depends on that value and on i alone, so that rows
may come in blocks, from many machines, or once more.

============================ ================================= ============================================
class                        S                                 made for
============================ ================================= ============================================
:class:`SparseSign`          zeta signs in every column        preconditioning; sparse matrices
:class:`CountSketch`         one sign in every column          the cheapest of all, with m of order d^2
:class:`PHT`                 pooled Hadamard transforms        answers from S A alone; streams of any length
:class:`SRHT`                one subsampled Hadamard transform answers from S A alone
:class:`Gaussian`            independent normals               small problems, exact theory
:class:`TensorSRHT`          transforms of factors             Kronecker products, from their factors
============================ ================================= ============================================

Examples
--------
>>> import numpy as np
>>> from nearlin.sketch import SparseSign
>>> A = np.random.default_rng(0).standard_normal((10_000, 20))
>>> S = SparseSign(400, 10_000, rng=0)
>>> Y = S @ A
>>> Y.shape
(400, 20)
>>> x = np.ones(20)
>>> bool(abs(np.linalg.norm(Y @ x) / np.linalg.norm(A @ x) - 1) < 0.2)
True
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from . import _core
from ._config import resolve_threads
from ._sparse import check_indices, is_sparse
from ._stream import RowStream
from ._validation import (
    Float,
    Matrix,
    as_array,
    as_columns,
    as_factors,
    as_float_dtype,
    as_folded,
    as_matrix,
    as_seed,
    check_choice,
    check_finite,
    check_int,
)
from .exceptions import InvalidInputError, InvalidTypeError, ShapeError

__all__ = [
    "PHT",
    "SRHT",
    "Accumulator",
    "CountSketch",
    "Gaussian",
    "Sketch",
    "SparseSign",
    "TensorSRHT",
    "TransposedSketch",
]

MOST_ROWS = 2**63 - 1
"""Rows are counted as NumPy counts them."""


class _LinearOperator(ABC):
    """What SciPy asks of a linear operator, out of `@` and the transpose."""

    __slots__ = ()
    # NumPy leaves ``X @ S`` to `__rmatmul__`.
    __array_ufunc__ = None

    dtype: ClassVar[np.dtype[np.float64]] = np.dtype(np.float64)
    """Of the entries. Products with float32 are float32 nevertheless."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int | None, int | None]:
        """Number of rows and number of columns, None where there is no bound."""

    @property
    @abstractmethod
    def T(self) -> "_LinearOperator":
        """The transpose."""

    @abstractmethod
    def __matmul__(self, A: object) -> Float: ...

    @property
    def ndim(self) -> int:
        """Number of dimensions: 2."""
        return 2

    @property
    def H(self) -> "_LinearOperator":
        """The transpose, as all entries are real."""
        return self.T

    def __rmatmul__(self, X: Any) -> Float:
        if is_sparse(X):
            check_indices(X, "X")  # before SciPy transposes it
        rows = as_matrix(X, "X", allow_empty=True) if is_sparse(X) else as_array(X, "X")
        return (self.T @ rows.T).T

    def transpose(self) -> "_LinearOperator":
        """Return the transpose.

        Examples
        --------
        >>> from nearlin.sketch import SparseSign
        >>> SparseSign(9, 20, rng=0).transpose().shape
        (20, 9)
        """
        return self.T

    def adjoint(self) -> "_LinearOperator":
        """Return the transpose, as all entries are real.

        Examples
        --------
        >>> from nearlin.sketch import SparseSign
        >>> SparseSign(9, 20, rng=0).adjoint().shape
        (20, 9)
        """
        return self.T

    def matvec(self, x: object) -> Float:
        """Multiply by a vector, or by a matrix of one column.

        Parameters
        ----------
        x : array_like of shape (columns,) or (columns, 1)
            The vector.

        Returns
        -------
        ndarray of shape (rows,) or (rows, 1)
            The product.

        Examples
        --------
        >>> import numpy as np
        >>> from nearlin.sketch import SparseSign
        >>> SparseSign(9, 20, rng=0).matvec(np.ones(20)).shape
        (9,)
        """
        return self @ x

    def rmatvec(self, x: object) -> Float:
        """Multiply the transpose by a vector, or by a matrix of one column.

        Parameters
        ----------
        x : array_like of shape (rows,) or (rows, 1)
            The vector.

        Returns
        -------
        ndarray of shape (columns,) or (columns, 1)
            The product.

        Examples
        --------
        >>> import numpy as np
        >>> from nearlin.sketch import SparseSign
        >>> SparseSign(9, 20, rng=0).rmatvec(np.ones(9)).shape
        (20,)
        """
        return self.T @ x

    def matmat(self, X: object) -> Float:
        """Multiply by a matrix.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (columns, k)
            The matrix.

        Returns
        -------
        ndarray of shape (rows, k)
            The product.

        Examples
        --------
        >>> import numpy as np
        >>> from nearlin.sketch import SparseSign
        >>> SparseSign(9, 20, rng=0).matmat(np.ones((20, 3))).shape
        (9, 3)
        """
        return self @ X

    def rmatmat(self, X: object) -> Float:
        """Multiply the transpose by a matrix.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (rows, k)
            The matrix.

        Returns
        -------
        ndarray of shape (columns, k)
            The product.

        Examples
        --------
        >>> import numpy as np
        >>> from nearlin.sketch import SparseSign
        >>> SparseSign(9, 20, rng=0).rmatmat(np.ones((9, 3))).shape
        (20, 3)
        """
        return self.T @ X


class Sketch(_LinearOperator):
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
            None if n is None else check_int(n, "n", at_least=1, at_most=MOST_ROWS),
            as_seed(rng),
            zeta=check_int(zeta, "zeta", at_least=1, at_most=2**31 - 1),
            weights=check_choice(weights, "weights", ("signs", "normals")),
            chunk=None if chunk is None else check_int(chunk, "chunk", at_least=1, at_most=2**32),
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
        offset = check_int(row_offset, "row_offset", at_least=0, at_most=MOST_ROWS)
        return self._product(matrix, vector, offset, n_jobs)

    def __matmul__(self, A: object) -> Float:
        matrix, vector = as_columns(A)
        if self.n is not None and matrix.shape[0] != self.n:
            raise ShapeError(f"`A` has {matrix.shape[0]} rows, expected {self.n}, as many as S has columns")
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


class SparseSign(Sketch):
    r"""Sparse sign embedding: `zeta` stacked CountSketches.

    The rows of S are cut into `zeta` blocks of equal length; every column has one entry :math:`\pm
    1/\sqrt{\zeta}` at a random place in each. The fastest sketch that embeds subspaces with m near d, and
    the one for sparse matrices.

    Parameters
    ----------
    m : int
        Number of rows of S.
    n : int, optional
        Number of columns of S, which is that of the rows it is applied to; None sets no bound.
    zeta : int, default=8
        Nonzeros per column, at most m; 8 are hardly told from a Gaussian sketch [1]_. Time is in
        proportion.
    rng : None, int, numpy.random.Generator or what :func:`numpy.random.default_rng` takes, optional
        Source of the seed; an int below 2**64 is the seed.

    Raises
    ------
    InvalidInputError
        If a parameter is out of its domain.

    Notes
    -----
    S A costs zeta n d additions for dense A and zeta nnz for sparse A. m of order d / eps^2 rows with zeta
    of order log(d) / eps preserve the norms of a d-dimensional subspace to relative accuracy eps, up to
    logarithms of d [2]_ [3]_.

    References
    ----------
    .. [1] J. A. Tropp, A. Yurtsever, M. Udell, V. Cevher, "Streaming low-rank matrix approximation with an
       application to scientific simulation", SIAM J. Sci. Comput. 41 (2019).
    .. [2] M. B. Cohen, "Nearly tight oblivious subspace embeddings by trace inequalities", SODA 2016.
    .. [3] S. Chenakkod, M. Dereziński, X. Dong, M. Rudelson, "Optimal embedding dimension for sparse subspace
       embeddings", STOC 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from nearlin.sketch import SparseSign
    >>> S = SparseSign(16, 1000, zeta=4, rng=0)
    >>> S
    SparseSign(m=16, n=1000, zeta=4, rng=0)
    >>> dense = S.to_dense()
    >>> np.unique(dense), np.unique(np.count_nonzero(dense, axis=0))
    (array([-0.5,  0. ,  0.5]), array([4]))
    """

    __slots__ = ()
    kind = "sparse_sign"

    def __init__(self, m: int, n: int | None = None, *, zeta: int = 8, rng: object = None) -> None:
        self._define(m, n, rng, zeta=zeta)

    @property
    def zeta(self) -> int:
        """Nonzeros per column."""
        return int(self._operator.parameters["zeta"])


class CountSketch(Sketch):
    r"""CountSketch: one random sign at a random place in every column.

    Parameters
    ----------
    m : int
        Number of rows of S.
    n : int, optional
        Number of columns of S, which is that of the rows it is applied to; None sets no bound.
    rng : None, int, numpy.random.Generator or what :func:`numpy.random.default_rng` takes, optional
        Source of the seed; an int below 2**64 is the seed.

    Raises
    ------
    InvalidInputError
        If a parameter is out of its domain.

    Notes
    -----
    S A costs n d additions for dense A and nnz for sparse A [1]_. Embedding d dimensions takes m of order
    d^2 rows [2]_, where the other sketches do with m of order d.

    References
    ----------
    .. [1] M. Charikar, K. Chen, M. Farach-Colton, "Finding frequent items in data streams", ICALP 2002.
    .. [2] K. L. Clarkson, D. P. Woodruff, "Low-rank approximation and regression in input sparsity time",
       STOC 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from nearlin.sketch import CountSketch
    >>> S = CountSketch(5, 100, rng=3)
    >>> x = np.zeros(100)
    >>> x[17] = -2.0
    >>> np.sort(abs(S @ x))
    array([0., 0., 0., 0., 2.])
    """

    __slots__ = ()
    kind = "count_sketch"

    def __init__(self, m: int, n: int | None = None, *, rng: object = None) -> None:
        self._define(m, n, rng)


class PHT(Sketch):
    r"""Pooled Hadamard transform: dense mixing of a stream of any length, a chunk of rows at a time.

    Each chunk of B rows gets random signs, an orthonormal Hadamard transform, a random permutation and random
    weights; what comes out is added up in m pools, and the pools of all chunks are added to each other.

    Parameters
    ----------
    m : int
        Number of rows of S.
    n : int, optional
        Number of columns of S, which is that of the rows it is applied to; None sets no bound.
    weights : {"signs", "normals"}, default="signs"
        Weights after the transform. Signs make S an isometry where a chunk has m rows, and were never worse
        in tests; normals are what the theory of errors in single coordinates is about.
    chunk : int, optional
        The number B: a power of two, at least m, and 8 m with normal weights. The default is the shortest
        that is at least 1024.
    rng : None, int, numpy.random.Generator or what :func:`numpy.random.default_rng` takes, optional
        Source of the seed; an int below 2**64 is the seed.

    Raises
    ------
    InvalidInputError
        If a parameter is out of its domain.

    See Also
    --------
    SRHT : One transform over all rows, whose number must be bounded beforehand.

    Notes
    -----
    S A costs n d log2(B) additions, for sparse A too. A stream that is cut inside a chunk keeps the rows of
    that chunk: B d numbers. The transform of chunks, with sampling in the place of pooling, is due to [1]_.

    References
    ----------
    .. [1] O. Balabanov, M. Beaupère, L. Grigori, V. Lederer, "Block subsampled randomized Hadamard
    transform for
       low-rank approximation on distributed architectures", ICML 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from nearlin.sketch import PHT
    >>> S = PHT(1024, 1024, rng=0)
    >>> x = np.arange(1024.0)
    >>> bool(np.isclose(np.linalg.norm(S @ x), np.linalg.norm(x)))
    True
    """

    __slots__ = ()
    kind = "pht"

    def __init__(
        self,
        m: int,
        n: int | None = None,
        *,
        weights: str = "signs",
        chunk: int | None = None,
        rng: object = None,
    ) -> None:
        self._define(m, n, rng, weights=weights, chunk=chunk)

    @property
    def weights(self) -> str:
        """Weights after the transform."""
        return str(self._operator.parameters["weights"])

    @property
    def chunk(self) -> int | None:
        """Rows that are transformed together, None for the default."""
        chunk: int | None = self._operator.parameters["chunk"]
        return chunk


class SRHT(Sketch):
    r"""Subsampled randomised Hadamard transform.

    S is :math:`\sqrt{N/m}\, R H D`: D random signs, H the orthonormal Hadamard matrix of size N, the power
    of two at or above n and the length of a chunk, and R a choice of m of its rows without replacement.

    Parameters
    ----------
    m : int
        Number of rows of S.
    n : int
        Number of columns of S. It must be known, as every row of S depends on all of them; for streams an
        upper bound on their length will do.
    rng : None, int, numpy.random.Generator or what :func:`numpy.random.default_rng` takes, optional
        Source of the seed; an int below 2**64 is the seed.

    Raises
    ------
    InvalidInputError
        If a parameter is out of its domain.

    See Also
    --------
    PHT : As good, for streams of any length.

    Notes
    -----
    Only the m rows are ever formed: S A costs n d log2(B) + n m d / B additions, for sparse A too, where B,
    the length of a chunk, is the power of two at or above m, at least 1024. A stream that is cut inside a
    chunk keeps the rows of that chunk: B d numbers. m of order (d + log n) log d rows embed d dimensions
    [1]_; 4 d usually do.

    References
    ----------
    .. [1] J. A. Tropp, "Improved analysis of the subsampled randomized Hadamard transform", Adv. Adapt. Data
       Anal. 3 (2011).

    Examples
    --------
    >>> import numpy as np
    >>> from nearlin.sketch import SRHT
    >>> S = SRHT(4, 1000, rng=0)
    >>> np.unique(S.to_dense())
    array([-0.5,  0.5])
    """

    __slots__ = ()
    kind = "srht"

    def __init__(self, m: int, n: int, *, rng: object = None) -> None:
        self._define(m, n, rng)


class Gaussian(Sketch):
    r"""Gaussian sketch: independent normals of variance 1 / m.

    Parameters
    ----------
    m : int
        Number of rows of S.
    n : int, optional
        Number of columns of S, which is that of the rows it is applied to; None sets no bound.
    rng : None, int, numpy.random.Generator or what :func:`numpy.random.default_rng` takes, optional
        Source of the seed; an int below 2**64 is the seed.

    Raises
    ------
    InvalidInputError
        If a parameter is out of its domain.

    Notes
    -----
    S A costs 2 m n d operations, for sparse A too, and n m normals are made on the way. Its theory is exact
    in finite samples [1]_, which makes it the one to compare others with. A stream keeps at most 256 d rows
    that wait for their chunk to be complete.

    References
    ----------
    .. [1] N. Halko, P.-G. Martinsson, J. A. Tropp, "Finding structure with randomness", SIAM Review 53
    (2011).

    Examples
    --------
    >>> from nearlin.sketch import Gaussian
    >>> S = Gaussian(1000, 50, rng=0).to_dense()
    >>> bool(abs(S.mean()) < 1e-3), round(float(S.var() * 1000), 1)
    (True, 1.0)
    """

    __slots__ = ()
    kind = "gaussian"

    def __init__(self, m: int, n: int | None = None, *, rng: object = None) -> None:
        self._define(m, n, rng)


class TransposedSketch(_LinearOperator):
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
            raise ShapeError(f"`Y` has {matrix.shape[0]} rows, expected {self._sketch.m}, as many as S has")
        check_finite(matrix.data if is_sparse(matrix) else matrix, "Y")
        start = check_int(start, "start", at_least=0, at_most=MOST_ROWS)
        stop = self._end(stop, "stop")
        if not start <= stop:
            raise InvalidInputError(f"`start` is {start}, expected at most {stop}, which is where to stop")
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
            raise InvalidInputError(f"`{name}` is None, expected a number of rows, as the sketch has no `n`")
        return check_int(n if stop is None else stop, name, at_least=0, at_most=n or MOST_ROWS)

    def __repr__(self) -> str:
        return f"{self._sketch!r}.T"

    def __eq__(self, other: object) -> bool:
        return self._sketch == other._sketch if isinstance(other, TransposedSketch) else NotImplemented

    def __hash__(self) -> int:
        return hash(("T", self._sketch))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._sketch,)


class TensorSRHT:
    r"""Subsampled Hadamard transform of Kronecker products, made from their factors.

    For two factors, row k of S is :math:`m^{-1/2}\, (H D)_{i_k} \otimes (H' D')_{j_k}`: D and D' random
    signs, H and H' the matrices of Hadamard (of entries one and minus one) of the powers of two at or
    above n_1 and n_2, and m independent pairs of rows of them. For more factors, a binary tree of such
    maps takes S apart, none of which has more than m^2 columns.

    Parameters
    ----------
    m : int
        Number of rows of S.
    dims : iterable of int
        Numbers n_1 to n_q of rows of the factors; S has as many columns as their product.
    rng : None, int, numpy.random.Generator or what :func:`numpy.random.default_rng` takes, optional
        Source of the seed; an int below 2**64 is the seed.

    Raises
    ------
    InvalidInputError
        If a parameter is out of its domain.

    See Also
    --------
    nearlin.lstsq_kron : Least squares with a Kronecker product.

    Notes
    -----
    The sketch of a product costs the transforms of its factors and m times the number of its columns,
    however many rows it has [1]_. Rows are drawn with replacement, so that no m makes S an isometry: how
    much m embeds a subspace depends on how far its vectors are from products of spikes.

    References
    ----------
    .. [1] T. D. Ahle, M. Kapralov, J. B. T. Knudsen, R. Pagh, A. Velingker, D. P. Woodruff, A. Zandieh,
       "Oblivious sketching of high-degree polynomial kernels", SODA 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from nearlin.sketch import TensorSRHT
    >>> rng = np.random.default_rng(0)
    >>> A1, A2 = rng.standard_normal((30, 3)), rng.standard_normal((20, 2))
    >>> S = TensorSRHT(50, (30, 20), rng=0)
    >>> S
    TensorSRHT(m=50, dims=(30, 20), rng=0)
    >>> np.allclose(S.apply_factors([A1, A2]), S @ np.kron(A1, A2))
    True
    """

    __slots__ = ("_operator",)
    _operator: _core.TensorSketch

    def __init__(self, m: int, dims: Iterable[int], *, rng: object = None) -> None:
        scalar = getattr(dims, "ndim", 1) == 0  # an array of no dimensions looks iterable
        if scalar or isinstance(dims, str | bytes) or not isinstance(dims, Iterable):
            raise InvalidTypeError(
                f"`dims` is of type {type(dims).__name__}, expected a sequence of integers"
            )
        self._operator = _core.TensorSketch(
            check_int(m, "m", at_least=1, at_most=2**31 - 1),
            [check_int(n, "dims", at_least=1, at_most=2**60) for n in dims],
            as_seed(rng),
        )

    @property
    def m(self) -> int:
        """Number of rows of S: the embedding dimension."""
        return self._operator.m

    @property
    def dims(self) -> tuple[int, ...]:
        """Numbers of rows of the factors."""
        return tuple(self._operator.dims)

    @property
    def n(self) -> int:
        """Number of columns of S."""
        return math.prod(self.dims)

    @property
    def seed(self) -> int:
        """The number of 64 bits that all randomness comes from."""
        return self._operator.seed

    @property
    def shape(self) -> tuple[int, int]:
        """The pair (m, n)."""
        return self.m, self.n

    def apply_factors(self, factors: object, *, n_jobs: int | None = None) -> Float:
        """Return the product of S with the Kronecker product of some matrices.

        Parameters
        ----------
        factors : sequence of array_like or sparse matrices of shape (n_i, d_i)
            float32 or float64 in any memory layout, none of which is copied, or SciPy CSR or CSC.
        n_jobs : int, optional
            Number of threads; see :func:`nearlin.set_config` for the default. It does not change a bit of
            the result.

        Returns
        -------
        ndarray of shape (m, d_1 ... d_q)
            Float32 if all factors are, else float64.

        Raises
        ------
        NonFiniteError
            If a factor holds NaN or infinity.
        InvalidInputError
            If the factors do not have `dims` rows.

        Examples
        --------
        >>> import numpy as np
        >>> from nearlin.sketch import TensorSRHT
        >>> S = TensorSRHT(50, (1000, 1000, 1000), rng=0)
        >>> S.apply_factors([np.ones((1000, 2))] * 3).shape
        (50, 8)
        """
        matrices = as_factors(factors)
        rows = tuple(matrix.shape[0] for matrix in matrices)
        if rows != self.dims:
            raise ShapeError(f"`factors` have {rows} rows, expected {self.dims}")
        single = all(matrix.dtype == np.float32 for matrix in matrices)
        return self._operator.apply_factors(matrices, single=single, threads=resolve_threads(n_jobs))

    def apply(self, A: object, *, n_jobs: int | None = None) -> Float:
        """Return the product of S with any tensor or tensors.

        Parameters
        ----------
        A : array_like of shape (n_1, ..., n_q) or (n,), or with one more axis of length k
            A tensor, or the vector that it is in C order; a last axis numbers k of them.
        n_jobs : int, optional
            Number of threads; see :func:`nearlin.set_config` for the default. It does not change a bit of
            the result.

        Returns
        -------
        ndarray of shape (m,) or (m, k)
            In the dtype of `A`.

        Raises
        ------
        NonFiniteError
            If `A` holds NaN or infinity.
        InvalidInputError
            If `A` has another shape.

        Examples
        --------
        >>> import numpy as np
        >>> from nearlin.sketch import TensorSRHT
        >>> S = TensorSRHT(50, (30, 20), rng=0)
        >>> S.apply(np.ones((30, 20, 4))).shape
        (50, 4)
        """
        folded, count = as_folded(A, self.dims, "A")
        Y = self._operator.apply(folded, threads=resolve_threads(n_jobs))
        return Y[:, 0] if count is None else Y

    def __matmul__(self, A: object) -> Float:
        return self.apply(A)

    def to_dense(self) -> npt.NDArray[np.float64]:
        """Return S as an array; for tests, as it needs n (m + n) numbers.

        Returns
        -------
        ndarray of shape (m, n)
            Float64.

        Examples
        --------
        >>> import numpy as np
        >>> from nearlin.sketch import TensorSRHT
        >>> np.unique(TensorSRHT(4, (3, 2), rng=0).to_dense())
        array([-0.5,  0.5])
        """
        dense: Any = self.apply(np.eye(self.n))
        return np.asarray(dense)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(m={self.m}, dims={self.dims}, rng={self.seed})"

    def __eq__(self, other: object) -> bool:
        return self._operator == other._operator if isinstance(other, TensorSRHT) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._operator)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), self.m, self.dims, rng=self.seed), ()


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
    _state: _core.Accumulator
    _State = _core.Accumulator

    def __init__(self, sketch: Sketch, d: int, *, dtype: npt.DTypeLike = np.float64) -> None:
        if not isinstance(sketch, Sketch):
            raise InvalidTypeError(f"`sketch` is of type {type(sketch).__name__}, expected a Sketch")
        d = check_int(d, "d", at_least=1, at_most=MOST_ROWS)
        single = as_float_dtype(dtype, "dtype") == "float32"
        self._state = _core.Accumulator(sketch._operator, d, single=single)

    @property
    def sketch(self) -> Sketch:
        """The sketch."""
        operator = self._state.sketch
        sketch: Sketch = _CLASSES[operator.kind](**operator.parameters)
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
            row_offset = check_int(row_offset, "row_offset", at_least=0, at_most=MOST_ROWS)
        self._state.partial_fit(block, row_offset=row_offset, threads=resolve_threads(n_jobs))
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
            A copy, in :attr:`dtype`; the stream may go on.

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


_CLASSES: dict[str, Any] = {cls.kind: cls for cls in (SRHT, PHT, SparseSign, CountSketch, Gaussian)}
