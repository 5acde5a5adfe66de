"""Linear operators: matrices that are known by their products alone."""

from collections.abc import Callable
from operator import index
from typing import Any

import numpy as np
import numpy.typing as npt

from ._sparse import is_sparse
from ._validation import LARGEST, Float, check_finite, float_dtype, shown
from .exceptions import InvalidTypeError, ShapeError

__all__ = ["Operator", "is_operator"]

Columns = npt.NDArray[np.float64]


def is_operator(A: object) -> bool:
    """Tell whether ``A`` follows the protocol of :class:`scipy.sparse.linalg.LinearOperator`."""
    return not is_sparse(A) and all(hasattr(A, name) for name in ("shape", "matvec", "rmatvec"))


class Operator:
    """Products with a linear operator of the caller, each checked before the core sees it.

    Several columns go through ``matmat`` and ``rmatmat`` where there are such methods, else through
    ``matvec`` and ``rmatvec`` one by one. What these methods raise is not touched.
    """

    nbytes = 0

    def __init__(self, A: Any, name: str = "A") -> None:
        try:
            shape = tuple(map(index, A.shape))
        except TypeError:
            raise InvalidTypeError(f"`{name}` has shape {shown(A.shape)}, expected two integers") from None
        if len(shape) != 2:
            raise ShapeError(f"`{name}` has {len(shape)} dimensions, expected 2")
        if min(shape) < 0 or max(shape) > LARGEST:
            raise ShapeError(f"`{name}` has shape {shown(shape)}, expected two numbers from 0 to {LARGEST}")
        self.shape = shape
        try:
            dtype = np.dtype(getattr(A, "dtype", None))
        except (TypeError, ValueError):
            raise InvalidTypeError(f"`{name}` has dtype {shown(A.dtype)}, expected one of NumPy's") from None
        self.dtype = float_dtype(dtype, name)
        self._name = name
        self._products: dict[str, Callable[[Columns], object]] = {
            method: getattr(A, method)
            for method in ("matvec", "rmatvec", "matmat", "rmatmat")
            if hasattr(A, method)
        }

    def product(self, X: Columns) -> Float:
        """Return A X for a matrix of d rows."""
        return self._call("matvec", "matmat", X, self.shape[0])

    def transposed_product(self, Y: Columns) -> Float:
        """Return A^T Y for a matrix of n rows."""
        return self._call("rmatvec", "rmatmat", Y, self.shape[1])

    def _call(self, single: str, several: str, X: Columns, rows: int) -> Float:
        if X.shape[1] == 1 or several not in self._products:
            # Copied at once: a caller may use the same memory for every product.
            columns = np.empty((rows, X.shape[1]), order="F")
            for j, x in enumerate(X.T):
                columns[:, j] = self._column(single, x, rows)
            return columns
        return self._checked(several, self._products[several](X), (rows, X.shape[1]))

    def _column(self, method: str, x: Columns, rows: int) -> Float:
        y = np.asarray(self._products[method](x))
        # A column for a vector is what SciPy lets pass, too.
        return self._checked(method, y[:, 0] if y.shape == (rows, 1) else y, (rows,))

    def _checked(self, method: str, product: object, shape: tuple[int, ...]) -> Float:
        name = f"{self._name}.{method}(...)"
        array = np.asarray(product)
        if array.shape != shape:
            raise ShapeError(f"`{name}` has shape {array.shape}, expected {shape}")
        if array.dtype.kind not in "fiub":
            raise InvalidTypeError(f"`{name}` has dtype {array.dtype}, expected real numbers")
        checked: Float = array.astype(np.float64, copy=False)
        check_finite(checked, name)
        return checked
