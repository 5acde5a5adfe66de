"""Linear operators of our own, as SciPy takes them."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from ._sparse import check_indices, is_sparse
from ._validation import (
    Float,
    as_array,
    as_matrix,
)

__all__ = ["LinearOperator"]


class LinearOperator(ABC):
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
    def T(self) -> "LinearOperator":
        """The transpose."""

    @abstractmethod
    def __matmul__(self, A: object) -> Float: ...

    @property
    def ndim(self) -> int:
        """Number of dimensions: 2."""
        return 2

    @property
    def H(self) -> "LinearOperator":
        """The transpose, as all entries are real."""
        return self.T

    def __rmatmul__(self, X: Any) -> Float:
        if is_sparse(X):
            check_indices(X, "X")  # before SciPy transposes it
        rows = as_matrix(X, "X", allow_empty=True) if is_sparse(X) else as_array(X, "X")
        return (self.T @ rows.T).T

    def transpose(self) -> "LinearOperator":
        """Return the transpose.

        Examples
        --------
        >>> from nearlin.sketch import SparseSign
        >>> SparseSign(9, 20, rng=0).transpose().shape
        (20, 9)
        """
        return self.T

    def adjoint(self) -> "LinearOperator":
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
