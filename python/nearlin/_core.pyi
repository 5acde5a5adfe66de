"""The compiled part of nearlin: private, no promise is made about it."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar, final

import numpy as np
import numpy.typing as npt

__all__ = [
    "Accumulator",
    "LeastSquaresStream",
    "Sketch",
    "TensorSketch",
    "__version__",
    "check_sparse",
    "covariance",
    "eps_of_rows",
    "instruction_set",
    "lstsq",
    "lstsq_kron",
    "predict",
    "ridge_left_out",
    "ridge_loo",
    "ridge_path",
    "robust_covariance",
    "row_count",
    "usable_cpus",
    "verify",
]

__version__: str

_Result = TypeVar("_Result", covariant=True)

class _Ridges(Protocol[_Result]):
    def __call__(
        self,
        a: Any,
        b: Any,
        *,
        alphas: npt.NDArray[np.float64],
        sample_weight: npt.NDArray[np.float64] | None,
        fit_intercept: bool,
        threads: int,
    ) -> _Result: ...

@final
class Sketch:
    def __new__(
        cls,
        kind: str,
        m: int,
        n: int | None,
        seed: int,
        *,
        zeta: int,
        weights: str,
        chunk: int | None,
    ) -> Sketch: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self, /) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def m(self) -> int: ...
    @property
    def n(self) -> int | None: ...
    @property
    def seed(self) -> int: ...
    @property
    def parameters(self) -> dict[str, Any]: ...
    def apply(self, a: Any, *, row_offset: int, threads: int) -> npt.NDArray[np.floating[Any]]: ...
    def apply_transposed(
        self, y: Any, *, start: int, stop: int, threads: int
    ) -> npt.NDArray[np.floating[Any]]: ...

@final
class Accumulator:
    def __new__(cls, sketch: Sketch, d: int, *, single: bool) -> Accumulator: ...
    @property
    def single(self) -> bool: ...
    @property
    def sketch(self) -> Sketch: ...
    @property
    def d(self) -> int: ...
    @property
    def covered(self) -> list[tuple[int, int]]: ...
    def partial_fit(self, a: Any, *, row_offset: int | None, threads: int) -> None: ...
    def merge(self, other: Accumulator, *, threads: int) -> None: ...
    def result(self, *, threads: int) -> npt.NDArray[np.floating[Any]]: ...
    def copy(self) -> Accumulator: ...
    def to_bytes(self) -> bytes: ...
    @staticmethod
    def from_bytes(data: bytes) -> Accumulator: ...

@final
class TensorSketch:
    def __new__(cls, m: int, dims: list[int], seed: int) -> TensorSketch: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self, /) -> int: ...
    @property
    def m(self) -> int: ...
    @property
    def dims(self) -> list[int]: ...
    @property
    def seed(self) -> int: ...
    def apply_factors(
        self, factors: list[Any], *, single: bool, threads: int
    ) -> npt.NDArray[np.floating[Any]]: ...
    def apply(self, a: Any, *, threads: int) -> npt.NDArray[np.floating[Any]]: ...

@final
class LeastSquaresStream:
    def __new__(
        cls,
        sketch: str,
        *,
        sketch_size: int | None,
        n: int | None,
        seed: int,
        eps: float,
        delta: float,
        level: float,
        coordinatewise: bool,
        ridge: float,
    ) -> LeastSquaresStream: ...
    @property
    def parameters(self) -> dict[str, Any]: ...
    @property
    def shape(self) -> tuple[int, int, int, bool] | None: ...
    @property
    def covered(self) -> list[tuple[int, int]]: ...
    def partial_fit(
        self,
        a: Any,
        b: Any,
        *,
        sample_weight: npt.NDArray[np.float64] | None,
        vector: bool,
        names: list[str] | None,
        row_offset: int | None,
        threads: int,
        progress: Callable[[int, int, dict[str, float]], object] | None,
    ) -> None: ...
    def merge(self, other: LeastSquaresStream, *, threads: int) -> None: ...
    def result(
        self,
        *,
        pointwise: float,
        simultaneous: float,
        median: float,
        threads: int,
        progress: Callable[[int, int, dict[str, float]], object] | None,
    ) -> dict[str, Any]: ...
    def copy(self) -> LeastSquaresStream: ...
    def to_bytes(self) -> bytes: ...
    @staticmethod
    def from_bytes(data: bytes) -> LeastSquaresStream: ...

def row_count(d: int, eps: float, delta: float) -> int: ...
def eps_of_rows(d: int, m: int, delta: float) -> float: ...
def lstsq(
    a: Any,
    b: Any,
    *,
    method: str,
    sample_weight: npt.NDArray[np.float64] | None,
    ridge: npt.NDArray[np.float64],
    rcond: float | None,
    sketch: str | None,
    sketch_size: int | None,
    tol: float | None,
    max_iter: int | None,
    seed: int,
    threads: int,
    fit_intercept: bool,
    preconditioner: str | None,
    dtype_work: str | None,
    keep_factor: bool,
    certify: bool,
    progress: Callable[[int, int, dict[str, float]], object] | None,
) -> dict[str, Any]: ...
def lstsq_kron(
    factors: list[Any],
    b: Any,
    *,
    count: int,
    ridge: float,
    method: str,
    sketch_size: int | None,
    rcond: float | None,
    tol: float,
    single: bool,
    seed: int,
    threads: int,
    progress: Callable[[int, int, dict[str, float]], object] | None,
) -> dict[str, Any]: ...
def verify(
    a: Any,
    b: Any,
    x: Any,
    *,
    sample_weight: Any,
    ridge: Any,
    rcond: float | None,
    seed: int,
    threads: int,
) -> dict[str, Any]: ...
def predict(
    a: Any, coefficients: Any, intercept: Any, *, single: bool, threads: int
) -> npt.NDArray[np.floating[Any]]: ...

# For all of `alphas`: leave-one-out residuals times root weights, (n, targets alphas); their mean squares,
# (alphas, targets); coefficients, (d, alphas targets), and intercepts, (alphas targets).
ridge_left_out: _Ridges[npt.NDArray[np.float64]]
ridge_loo: _Ridges[npt.NDArray[np.float64]]
ridge_path: _Ridges[tuple[npt.NDArray[np.float64], list[float]]]

def covariance(
    factor: npt.NDArray[np.float64],
    residual_norm: npt.NDArray[np.float64],
    *,
    ridge: float,
    means: npt.NDArray[np.float64] | None,
    weight_norm: float,
    observations: int,
) -> tuple[list[npt.NDArray[np.float64]], float, list[int]]: ...
def robust_covariance(
    a: Any,
    b: Any,
    factor: npt.NDArray[np.float64],
    coefficients: npt.NDArray[np.float64],
    residual_norm: npt.NDArray[np.float64],
    *,
    kind: str,
    ridge: float,
    means: npt.NDArray[np.float64] | None,
    weight_norm: float,
    observations: int,
    sample_weight: npt.NDArray[np.float64] | None,
    threads: int,
) -> tuple[list[npt.NDArray[np.float64]], float, list[int]]: ...
def check_sparse(lines: int, width: int, indptr: Any, indices: Any, stored: int) -> None: ...
def instruction_set() -> str: ...
def usable_cpus() -> int: ...
