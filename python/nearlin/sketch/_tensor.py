"""The sketch of Kronecker products."""

import math
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from nearlin import _core
from nearlin._config import resolve_threads
from nearlin._tensor_arguments import as_factors, as_folded
from nearlin._validation import (
    Float,
    as_seed,
    check_int,
)
from nearlin.exceptions import InvalidTypeError, ShapeError

__all__ = ["TensorSRHT"]


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
                f"is of type {type(dims).__name__}, expected a sequence of integers", argument="dims"
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
            raise ShapeError(f"have {rows} rows, expected {self.dims}", argument="factors")
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
