"""Tensors and the factors of Kronecker products, as the core wants them."""

import math
from collections.abc import Sequence

import numpy as np

from ._sparse import is_sparse
from ._validation import Float, Matrix, as_array, as_float, as_matrix
from .exceptions import InvalidTypeError, ShapeError

__all__ = ["as_factors", "as_folded"]


def as_factors(factors: object, name: str = "factors") -> list[Matrix]:
    """Return a sequence of matrices as :func:`as_matrix` returns each."""
    if (
        is_sparse(factors)
        or not isinstance(factors, Sequence | np.ndarray)
        or isinstance(factors, str | bytes)
        or getattr(factors, "ndim", 1) == 0
    ):
        raise InvalidTypeError(
            f"is of type {type(factors).__name__}, expected a list of matrices", argument=name
        )
    if len(factors) == 0:
        raise ShapeError("is empty, expected at least one matrix", argument=name)
    return [as_matrix(factor, f"{name}[{i}]") for i, factor in enumerate(factors)]


def as_folded(B: object, dims: Sequence[int], name: str = "B") -> tuple[Float, int | None]:
    """Return a tensor as a matrix of ``dims[0]`` rows in C order.

    Its axes may be those in ``dims`` or all in one, and one more may number tensors: how many is the second
    thing returned, None for one without that axis.
    """
    if is_sparse(B):
        raise InvalidTypeError("is sparse, expected a dense array; use its toarray()", argument=name)
    array = as_float(as_array(B, name), name)
    dims, rows = tuple(dims), math.prod(dims)
    for shape in (dims, (rows,)):
        for count in (None, array.shape[-1] if array.shape[-1] > 0 else None):
            if array.shape == (shape if count is None else (*shape, count)):
                return array.reshape(dims[0], -1), count
    raise ShapeError(
        f"has shape {array.shape}, expected {dims} or {(rows,)}, or one more axis for several", argument=name
    )
