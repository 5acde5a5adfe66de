"""Linear operators: matrices that are known by their products alone."""

from collections.abc import Callable
from operator import index
from typing import Any

import numpy as np
import numpy.typing as npt

from ._sparse import is_sparse
from ._validation import LARGEST, Float, check_finite, float_dtype, shown
from .exceptions import InvalidInputError, InvalidTypeError, ShapeError

__all__ = ["Operator", "is_operator"]

Columns = npt.NDArray[np.float64]


def is_operator(A: object) -> bool:
    """Tell whether ``A`` follows the protocol of :class:`scipy.sparse.linalg.LinearOperator`."""
    return not is_sparse(A) and all(hasattr(A, name) for name in ("shape", "matvec", "rmatvec"))


def _joins_columns(A: Any, several: str, asked: frozenset[tuple[int, str]] = frozenset()) -> bool:
    """Tell whether products with several columns are SciPy's, which joins those of ``A`` or of its parts.

    It keeps them until the last is made, and does not copy them: an operator that uses the same memory for
    every product would have them all overwritten by the last. What is `asked` already, up the chain of calls,
    is not asked again: a matrix is part of its adjoint.
    """
    if (id(A), several) in asked:
        return False
    asked = asked | {(id(A), several)}
    scipys = (base for base in type(A).__mro__ if base.__module__.startswith("scipy.sparse.linalg"))
    base: Any = next((base for base in scipys if base.__name__ == "LinearOperator"), None)
    if base is None:
        return False
    given = f"_CustomLinearOperator__{several}_impl"
    if hasattr(A, given):
        return getattr(A, given) is None
    parts = [part for part in getattr(A, "args", ()) if hasattr(part, "matvec")]
    if parts:
        return any(_joins_columns(part, name, asked) for part in parts for name in ("matmat", "rmatmat"))
    method = f"_{several}"
    if getattr(type(A), method) is not getattr(base, method):
        return False
    # SciPy goes by the adjoint, where there is one.
    by_adjoint = several == "rmatmat" and type(A)._adjoint is not base._adjoint
    return not by_adjoint or _joins_columns(A.H, "matmat", asked)


class Operator:
    """Products with a linear operator of the caller, each checked before the core sees it.

    Several columns go through ``matmat`` and ``rmatmat`` where somebody has written such methods, else
    through ``matvec`` and ``rmatvec`` one by one. What these methods raise is not touched.
    """

    nbytes = 0

    def __init__(self, A: Any, name: str = "A") -> None:
        try:
            shape = tuple(map(index, A.shape))
        except TypeError:
            raise InvalidTypeError(
                f"has shape {shown(A.shape)}, expected two integers", argument=name
            ) from None
        if len(shape) != 2:
            raise ShapeError(f"has {len(shape)} dimensions, expected 2", argument=name)
        if min(shape) < 0 or max(shape) > LARGEST:
            raise ShapeError(
                f"has shape {shown(shape)}, expected two numbers from 0 to {LARGEST}", argument=name
            )
        self.shape = shape
        try:
            dtype = np.dtype(getattr(A, "dtype", None))
        except (TypeError, ValueError):
            raise InvalidTypeError(
                f"has dtype {shown(A.dtype)}, expected one of NumPy's", argument=name
            ) from None
        self.dtype = float_dtype(dtype, name)
        self._name = name
        self._operator = A
        self._joined: dict[str, bool] = {}
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
        if X.shape[1] == 1:
            # The core copies it before it asks for another.
            return self._column(single, X[:, 0], rows)[:, np.newaxis]
        if several not in self._products or self._joins(several):
            # Copied at once: a caller may use the same memory for every product.
            columns = np.empty((rows, X.shape[1]), order="F")
            for j, x in enumerate(X.T):
                columns[:, j] = self._column(single, x, rows)
            return columns
        return self._checked(several, self._asked(several, X), (rows, X.shape[1]))

    def _joins(self, several: str) -> bool:
        if several not in self._joined:
            self._joined[several] = _joins_columns(self._operator, several)
        return self._joined[several]

    def _column(self, method: str, x: Columns, rows: int) -> Float:
        y = self._asked(method, x)
        # A column for a vector is what SciPy lets pass, too.
        return self._checked(method, y[:, 0] if y.shape == (rows, 1) else y, (rows,))

    def _asked(self, method: str, X: Columns) -> npt.NDArray[Any]:
        product = self._products[method](X)
        if np.ma.is_masked(product):
            raise InvalidInputError(
                f"`{self._name}.{method}(...)` has masked entries, expected a value in every entry"
            )
        return np.asarray(product)

    def _checked(self, method: str, array: npt.NDArray[Any], shape: tuple[int, ...]) -> Float:
        name = f"{self._name}.{method}(...)"
        if array.shape != shape:
            raise ShapeError(f"has shape {array.shape}, expected {shape}", argument=name)
        if array.dtype.kind not in "fiub":
            raise InvalidTypeError(f"has dtype {array.dtype}, expected real numbers", argument=name)
        checked: Float = array.astype(np.float64, copy=False)
        check_finite(checked, name)
        return checked
