"""The compiled part of nearlin: private, no promise is made about it."""

from collections.abc import Callable
from typing import Any, NotRequired, Protocol, TypeAlias, TypedDict, TypeVar, final, type_check_only

import numpy as np
import numpy.typing as npt

__all__ = [
    "CoresetStream",
    "LeastSquaresStream",
    "MatrixCompletionModel",
    "Products",
    "Sketch",
    "SketchAccumulator",
    "StreamingPCARefinement",
    "StreamingPCAState",
    "TensorSketch",
    "TriangularStream",
    "TruncatedSVDState",
    "__version__",
    "approximate_sensitivities",
    "check_sparse",
    "draw_rows",
    "find_ids",
    "huber_regression",
    "implicit_als",
    "implicit_fold_in",
    "instruction_set",
    "leverage_scores",
    "lewis_weights",
    "linear_predict",
    "lp_excess",
    "lstsq",
    "lstsq_by_parts",
    "lstsq_covariance",
    "lstsq_kron",
    "lstsq_merged_sums",
    "lstsq_robust_covariance",
    "lstsq_sums_of_part",
    "lstsq_verify",
    "matrix_unit",
    "max_sensitivity",
    "merge_entries",
    "number_ids",
    "order_names",
    "p_norm_regression",
    "quantile_regression",
    "ridge_cv",
    "ridge_cv_by_parts",
    "ridge_left_out",
    "ridge_path",
    "sample_rows",
    "sensitivity_bounds",
    "sketch_and_solve_eps",
    "sketch_and_solve_rows",
    "soft_impute",
    "svds",
    "svt_denoise",
    "total_sensitivity",
    "usable_cpus",
]

__version__: str

_Result = TypeVar("_Result", covariant=True)

_Vector: TypeAlias = npt.NDArray[np.float64]
_Matrix: TypeAlias = npt.NDArray[np.floating[Any]]

_HeldOut: TypeAlias = tuple[int, float, float, float, list[tuple[int, float]]]

@type_check_only
class CompletionFigures(TypedDict):
    reg: float
    bias: bool
    path: list[tuple[int, float, bool, float]]
    objective: list[float]
    validation: list[float]
    status: str
    residual: tuple[float, float] | None
    parts: int
    free: bool
    gradient: float
    incoherence: list[float]
    leverage: list[float]
    condition: float
    numerical_rank: int
    norm: float
    held_out: _HeldOut | None

@type_check_only
class ImplicitFigures(TypedDict):
    objective: list[float]
    converged: bool
    risen: bool
    mean_entries: float
    tail: list[float] | None

@type_check_only
class SoftFigures(TypedDict):
    path: list[tuple[float, int, int, float]]
    values: list[float]
    largest: float
    reg: float
    converged: bool
    gap: list[float]
    held_out: _HeldOut | None

@type_check_only
class LpSolution(TypedDict):
    """An answer of a regression in the p-norm, and what was measured of it."""

    x: _Vector
    intercept: float
    objective: float
    gap: float
    rounding: float
    n_iter: int
    kept: int
    rounds: int
    rank: int
    size: float

@type_check_only
class HuberSolution(TypedDict):
    """An answer of a Huber regression, and what was measured of it."""

    x: _Vector
    intercept: float
    scale: float
    objective: float
    gap: float
    rounding: float
    slope: float
    n_iter: int
    at_floor: bool
    is_fitted: bool
    size: float

@type_check_only
class LewisSolution(TypedDict):
    """Lewis weights, and how far they came."""

    weights: _Vector
    n_passes: int
    residual: float
    rank: int

@type_check_only
class SampleFigures(TypedDict):
    """What was measured of the distortion of a sample."""

    exact: float | None
    found: float | None
    bound: tuple[float, float] | None
    rounding: float
    is_cut: bool

@type_check_only
class RowSampleSolution(SampleFigures):
    """A sample of rows, and what was measured of it."""

    indices: npt.NDArray[np.int64]
    weights: _Vector
    expected_size: float
    scores: _Vector
    rank: int

@type_check_only
class StreamedSample(TypedDict):
    """A sample of a stream."""

    indices: npt.NDArray[np.int64]
    weights: _Vector
    scores: _Vector
    rows: _Matrix
    expected_size: float
    rank: int
    exact: float | None
    rounding: float
    is_lost: bool
    is_cut: bool

@type_check_only
class SensitivityFigure(TypedDict):
    """A figure of all sensitivities, between bounds."""

    estimate: float
    lower: float
    upper: float
    n_measured: int
    is_exact: bool

@type_check_only
class SVDSolution(TypedDict):
    """Singular triplets, and what was measured of them."""

    u: _Matrix
    s: _Vector
    v: _Matrix
    solver: str
    residuals: list[tuple[float, float]]
    orthogonality: float
    energy: float | None  # of an operator, and where squares are out of range
    n_iter: int
    n_products: int

@type_check_only
class TruncatedSVDFit(TypedDict):
    """What was measured of the factors of a fit."""

    residuals: list[tuple[float, float]]
    solver: str
    n_iter: int

@type_check_only
class LstsqSolution(TypedDict):
    """Arrays with a column, or an entry, for each right-hand side, and what happened on the way."""

    x: _Matrix
    intercept: _Vector
    residual_norm: _Vector
    rank: int | None
    constant: list[int]
    method: str
    n_iter: int
    sketch_size: int | None
    backward_error: _Vector
    backward_error_bound: _Vector
    rigorous_bound: NotRequired[_Vector]  # of "cg"
    is_shortest: bool
    condition: float
    target: float
    floor: float
    confidence: float
    cut: float
    columns: str
    explanation: str
    stages: list[tuple[str, float, int]]
    fallback_reason: str | None
    settled: bool
    redraws: int
    forward: ForwardError | None
    inference: LstsqFit | None
    rows: NotRequired[int]  # of rows in parts
    log_weight: NotRequired[float]

@type_check_only
class ForwardError(TypedDict):
    """How far coefficients are from those of the minimiser."""

    coordinate_bound: _Vector
    error_estimate: _Vector
    fit_bound: list[float]
    residual_bounds: list[list[float]]
    sensitivity: list[float]
    confidence: float
    smallest_eigenvalue: float
    objection: str | None

@type_check_only
class LstsqFit(TypedDict):
    """What covariances are made of."""

    factors: list[_Vector]
    ridges: list[float]
    factor_of: list[int]
    means: _Vector | None
    weight_norm: float
    observations: int
    target_norm: _Vector

@type_check_only
class TriangularFactor(TypedDict):
    """A triangular factor of weighted rows [A, B], centred where there are means."""

    triangle: _Vector
    means: _Vector | None
    weight_norm: float | None
    observations: int

@type_check_only
class LstsqVerification(TypedDict):
    """What a second look at answers finds."""

    backward_error: list[float]
    bound: list[float]
    rank: int
    cut: float
    confidence: float
    stage: tuple[str, float, int]

@type_check_only
class KronSolution(TypedDict):
    """Arrays with a column, or an entry, for each right-hand side, and what they rest on."""

    x: _Matrix
    residual_norm: _Vector
    rank: int
    n_iter: int
    sketch_size: int | None
    backward_error: _Vector
    backward_error_bound: _Vector
    condition: float
    floor: float
    cut: float

@type_check_only
class SketchAndSolveSolution(TypedDict):
    """Arrays with a column, or an entry, for each right-hand side, and the chunks if there are any."""

    x: _Matrix
    half_width: _Vector
    simultaneous: _Vector
    residual_norm: _Vector
    rank: int
    estimate: float
    unit: float
    rounding: float
    eps: float
    chunk: NotRequired[int]
    one_chunk: NotRequired[bool]

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
class Products:
    def __new__(cls, a: Any) -> Products: ...
    def product(
        self, x: npt.NDArray[np.float64], *, c_order: bool, threads: int
    ) -> npt.NDArray[np.float64]: ...
    def transposed_product(
        self, y: npt.NDArray[np.float64], *, c_order: bool, threads: int
    ) -> npt.NDArray[np.float64]: ...
    def squared_column_norms(self, *, threads: int) -> npt.NDArray[np.float64]: ...

@final
class CoresetStream:
    def __new__(cls, size: int, *, p: float, h: float, by_lewis: bool, seed: int) -> CoresetStream: ...
    @property
    def parameters(self) -> tuple[int, float, float, bool, int]: ...
    @property
    def shape(self) -> tuple[int, int, bool, bool] | None: ...
    @property
    def names(self) -> list[str] | None: ...
    @property
    def covered(self) -> list[tuple[int, int]]: ...
    def partial_fit(
        self,
        a: Any,
        *,
        targets: int,
        vector: bool,
        names: list[str] | None,
        sample_weight: _Vector | None,
        row_offset: int | None,
        threads: int,
    ) -> None: ...
    def merge(self, other: CoresetStream, *, threads: int) -> None: ...
    def result(self, *, threads: int) -> StreamedSample: ...
    def copy(self) -> CoresetStream: ...
    def to_bytes(self) -> bytes: ...
    @staticmethod
    def from_bytes(data: bytes) -> CoresetStream: ...

@final
class TriangularStream:
    def __new__(cls, *, fit_intercept: bool) -> TriangularStream: ...
    @property
    def fit_intercept(self) -> bool: ...
    @property
    def is_closed(self) -> bool: ...
    @property
    def shape(self) -> tuple[int, int, bool, bool] | None: ...
    @property
    def names(self) -> list[str] | None: ...
    @property
    def changes(self) -> int: ...
    @property
    def covered(self) -> list[tuple[int, int]]: ...
    def partial_fit(
        self,
        a: Any,
        b: Any,
        *,
        sample_weight: _Vector | None,
        vector: bool,
        names: list[str] | None,
        row_offset: int | None,
        threads: int,
    ) -> None: ...
    def remove(
        self,
        a: Any,
        b: Any,
        *,
        sample_weight: _Vector | None,
        vector: bool,
        names: list[str] | None,
        row_offset: int | None,
        threads: int,
    ) -> None: ...
    def merge(self, others: list[TriangularStream], *, threads: int) -> None: ...
    def close(self) -> None: ...
    def solve(self, *, ridge: float, threads: int) -> tuple[LstsqSolution, float]: ...
    def ridge_path(self, ridges: _Vector) -> tuple[_Vector, list[float]]: ...
    def factor(self) -> TriangularFactor: ...
    def copy(self) -> TriangularStream: ...
    def to_bytes(self, words: str) -> bytes: ...
    @staticmethod
    def from_bytes(data: bytes) -> tuple[TriangularStream, str]: ...

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
class SketchAccumulator:
    def __new__(cls, sketch: Sketch, d: int, *, single: bool) -> SketchAccumulator: ...
    @property
    def single(self) -> bool: ...
    @property
    def sketch(self) -> Sketch: ...
    @property
    def d(self) -> int: ...
    @property
    def covered(self) -> list[tuple[int, int]]: ...
    def partial_fit(self, a: Any, *, row_offset: int | None, threads: int) -> None: ...
    def merge(self, other: SketchAccumulator, *, threads: int) -> None: ...
    def close(self) -> None: ...
    def result(self, *, threads: int) -> npt.NDArray[np.floating[Any]]: ...
    def copy(self) -> SketchAccumulator: ...
    def to_bytes(self) -> bytes: ...
    @staticmethod
    def from_bytes(data: bytes) -> SketchAccumulator: ...

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
    def names(self) -> list[str] | None: ...
    @property
    def changes(self) -> int: ...
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
    def close(self) -> None: ...
    def result(
        self,
        *,
        pointwise: float,
        simultaneous: float,
        median: float,
        threads: int,
        progress: Callable[[int, int, dict[str, float]], object] | None,
    ) -> SketchAndSolveSolution: ...
    def copy(self) -> LeastSquaresStream: ...
    def to_bytes(self) -> bytes: ...
    @staticmethod
    def from_bytes(data: bytes) -> LeastSquaresStream: ...

@type_check_only
class StreamingPCAAnswer(TypedDict):
    """What a stream of rows says."""

    components: _Vector  # k x d
    eigenvalues: _Vector  # one more, if there are as many features
    mean: _Vector | None
    singular_values: _Vector
    shares: _Vector
    energy: float
    weights: tuple[float, float]
    n_heavy: int
    exact: bool
    fall: float | None
    rayleigh: tuple[float, float, float, float] | None  # heavy, light, one more, alike
    sine: float | None
    growth: tuple[float, float, bool] | None
    lost: float
    merged: int
    unit: int
    light: str

@type_check_only
class RefinedComponents(TypedDict):
    """Components after a second pass, and how far the former ones were off."""

    components: _Vector
    eigenvalues: _Vector
    singular_values: _Vector
    residual: float
    rayleigh: float
    relative: float

@final
class StreamingPCAState:
    def __new__(
        cls,
        d: int,
        *,
        k: int,
        order: str,
        algorithm: str,
        width: int,
        heavy: int,
        sketch: int,
        memory: int | None,
        shuffle: int,
        rate: float | None,
        t0: float | None,
        center: bool,
        single: bool = ...,
        delta: float,
        seed: int,
    ) -> StreamingPCAState: ...
    def add(self, x: Any, *, roots: _Vector | None, threads: int) -> None: ...
    def delete(self, x: Any, *, roots: _Vector | None, threads: int) -> None: ...
    def merge(self, other: StreamingPCAState, *, approximate: bool, threads: int) -> None: ...
    def answer(self, *, threads: int) -> StreamingPCAAnswer: ...
    @property
    def seen(self) -> int: ...
    @property
    def stamp(self) -> tuple[int, int]: ...
    @property
    def plan(self) -> dict[str, Any]: ...
    def copy(self) -> StreamingPCAState: ...
    def to_bytes(self, words: str) -> bytes: ...
    @staticmethod
    def from_bytes(data: bytes) -> tuple[StreamingPCAState, str]: ...

@final
class StreamingPCARefinement:
    def __new__(cls, components: _Vector, *, mean: _Vector | None, unit: int) -> StreamingPCARefinement: ...
    def add(self, x: Any, *, roots: _Vector | None, threads: int) -> None: ...
    def finish(self) -> RefinedComponents: ...

@final
class MatrixCompletionModel:
    def __new__(cls) -> MatrixCompletionModel: ...
    @staticmethod
    def fit(
        entries: Any,
        options: Any,
        *,
        exact: bool,
        weights: Any,
        duplicates: str,
        center: bool,
        single: bool,
        threads: int,
        progress: Callable[[int, int, dict[str, float]], object] | None,
    ) -> tuple[MatrixCompletionModel, CompletionFigures]: ...
    def partial_fit(
        self,
        entries: Any,
        row_places: Any,
        column_places: Any,
        *,
        weights: Any,
        duplicates: str,
        sweeps: int,
        threads: int,
    ) -> MatrixCompletionModel: ...
    def copy(self) -> MatrixCompletionModel: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def rank(self) -> int: ...
    @property
    def mean(self) -> float: ...
    def degrees(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]: ...
    def factors(self) -> tuple[Any, Any, _Vector, _Vector]: ...
    def parts(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]] | None: ...
    def predict(self, rows: Any, columns: Any, all: bool, threads: int) -> _Vector: ...
    def predict_rows(self, rows: Any, all: bool, threads: int) -> npt.NDArray[np.float64]: ...
    def top_n(
        self, rows: Any, n: int, exclude_observed: bool, threads: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]: ...
    def fold_in(
        self, entries: Any, duplicates: str, threads: int
    ) -> tuple[npt.NDArray[np.float64], _Vector]: ...
    def deviations(self, entries: Any, duplicates: str, threads: int) -> npt.NDArray[np.float64]: ...
    def noise(self) -> float: ...
    def to_bytes(self, words: str) -> bytes: ...
    @staticmethod
    def from_bytes(data: bytes) -> tuple[MatrixCompletionModel, str]: ...

@final
class TruncatedSVDState:
    def __new__(
        cls, most: int, *, single: bool, probe: int | None = None, robust: bool = False
    ) -> TruncatedSVDState: ...
    @staticmethod
    def fit(
        a: Any,
        k: int,
        *,
        exact: int,
        most: int,
        center: bool,
        solver: str,
        tol: float,
        max_iter: int,
        seed: int,
        probe: int | None,
        robust: bool,
        threads: int,
        progress: Callable[[int, int, dict[str, float]], object] | None,
    ) -> tuple[TruncatedSVDState, TruncatedSVDFit]: ...
    @property
    def changes(self) -> int: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def single(self) -> bool: ...
    @property
    def values(self) -> _Vector: ...
    @property
    def figures(self) -> dict[str, Any]: ...
    @property
    def orthogonality(self) -> float: ...
    def append(self, x: Any, *, end: str, method: str, threads: int) -> bool: ...
    def slide(self, x: Any, *, method: str, values: Any, threads: int) -> None: ...
    def delete(self, ids: npt.NDArray[np.int64], *, end: str, values: Any, threads: int) -> None: ...
    def add_entries(
        self,
        rows: npt.NDArray[np.int64],
        columns: npt.NDArray[np.int64],
        deltas: _Vector,
        *,
        energy: float | None,
        threads: int,
    ) -> None: ...
    def add_product(self, x: Any, y: Any, *, threads: int) -> None: ...
    def decay(self, gamma: float, *, threads: int) -> None: ...
    def truncate(self, most: int, *, threads: int) -> None: ...
    def merge(self, other: TruncatedSVDState, *, threads: int) -> None: ...
    def refresh(
        self,
        a: Any,
        *,
        passes: int,
        threads: int,
        progress: Callable[[int, int, dict[str, float]], object] | None,
    ) -> None: ...
    def vectors(self, k: int, *, end: str, ids: npt.NDArray[np.int64] | None, threads: int) -> _Matrix: ...
    def transform(self, x: Any, k: int, *, threads: int) -> _Matrix: ...
    def scores(
        self,
        rows: npt.NDArray[np.int64],
        columns: npt.NDArray[np.int64],
        k: int,
        *,
        threads: int,
    ) -> _Vector: ...
    def mean(self, *, threads: int) -> tuple[_Vector, _Vector] | None: ...
    def principal(self, k: int, *, threads: int) -> tuple[_Matrix, _Vector] | None: ...
    def probed(self, k: int, *, threads: int) -> tuple[list[float], list[float]] | None: ...
    def copy(self) -> TruncatedSVDState: ...
    def to_bytes(self, words: str) -> bytes: ...
    @staticmethod
    def from_bytes(data: bytes) -> tuple[TruncatedSVDState, str]: ...

def sketch_and_solve_rows(d: int, eps: float, delta: float) -> int: ...
def sketch_and_solve_eps(d: int, m: int, delta: float) -> float: ...
def lstsq(
    a: Any,
    b: Any,
    options: Any,
    *,
    sample_weight: _Vector | None,
    ridge: _Vector,
    fit_intercept: bool,
    threads: int,
    progress: Callable[[int, int, dict[str, float]], object] | None,
) -> LstsqSolution: ...
def leverage_scores(
    a: Any,
    *,
    sample_weight: _Vector | None,
    p: float,
    ridge: float,
    eps: float | None,
    seed: int,
    threads: int,
    progress: Callable[[int, int, dict[str, float]], object] | None,
) -> tuple[_Vector, int]: ...
def lewis_weights(
    a: Any,
    *,
    sample_weight: _Vector | None,
    p: float,
    tol: float,
    max_iter: int,
    threads: int,
    progress: Callable[[int, int, dict[str, float]], object] | None,
) -> LewisSolution: ...
def sample_rows(
    a: Any,
    *,
    sample_weight: _Vector | None,
    p: float,
    rule: str | None,
    scores: _Matrix | None,
    size: int | None,
    eps: float | None,
    design: str,
    repeats: int,
    certify: bool,
    seed: int,
    threads: int,
    progress: Callable[[int, int, dict[str, float]], object] | None,
) -> RowSampleSolution: ...
def draw_rows(scores: _Vector, *, size: int, seed: int) -> tuple[npt.NDArray[np.int64], _Vector]: ...
def sensitivity_bounds(
    a: Any,
    *,
    sample_weight: _Vector | None,
    rows: npt.NDArray[np.int64] | None,
    p: float,
    rtol: float,
    threads: int,
    progress: Callable[[int, int, dict[str, float]], object] | None,
) -> list[_Vector]: ...
def total_sensitivity(
    a: Any,
    *,
    sample_weight: _Vector | None,
    p: float,
    size: int,
    seed: int,
    threads: int,
    progress: Callable[[int, int, dict[str, float]], object] | None,
) -> SensitivityFigure: ...
def approximate_sensitivities(
    a: Any,
    *,
    sample_weight: _Vector | None,
    p: float,
    alpha: float,
    seed: int,
    threads: int,
    progress: Callable[[int, int, dict[str, float]], object] | None,
) -> _Vector: ...
def max_sensitivity(
    a: Any,
    *,
    sample_weight: _Vector | None,
    p: float,
    seed: int,
    threads: int,
    progress: Callable[[int, int, dict[str, float]], object] | None,
) -> SensitivityFigure: ...
def quantile_regression(
    a: Any,
    b: _Matrix,
    *,
    levels: list[float],
    method: str,
    tol: float,
    max_iter: int,
    seed: int,
    sample_weight: _Vector | None,
    fit_intercept: bool,
    penalty: float,
    threads: int,
    progress: Callable[[int, int, dict[str, float]], object] | None,
) -> list[LpSolution]: ...
def p_norm_regression(
    a: Any,
    b: _Matrix,
    *,
    p: float,
    tol: float,
    max_iter: int,
    sample_weight: _Vector | None,
    fit_intercept: bool,
    threads: int,
    progress: Callable[[int, int, dict[str, float]], object] | None,
) -> LpSolution: ...
def lp_excess(
    a: Any,
    b: _Matrix,
    x: list[_Vector],
    *,
    scores: _Vector,
    p: float,
    levels: list[float],
    resolution: float,
    max_iter: int,
    sample_weight: _Vector | None,
    threads: int,
) -> list[LpSolution]: ...
def huber_regression(
    a: Any,
    b: _Matrix,
    *,
    epsilon: float,
    alpha: float,
    scale: float | None,
    tol: float,
    max_iter: int,
    sample_weight: _Vector | None,
    fit_intercept: bool,
    threads: int,
) -> HuberSolution: ...
def implicit_als(
    entries: Any,
    options: Any,
    *,
    single: bool,
    threads: int,
    progress: Callable[[int, int, dict[str, float]], object] | None,
) -> tuple[MatrixCompletionModel, ImplicitFigures]: ...
def number_ids(
    ids: Any, width: int, *, threads: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32] | None]: ...
def find_ids(
    known: Any, known_width: int, ids: Any, width: int, *, threads: int
) -> npt.NDArray[np.int64]: ...
def order_names(names: Any, ends: Any, *, threads: int) -> npt.NDArray[np.uint32]: ...
def merge_entries(
    entries: Any, *, weights: Any, duplicates: str, threads: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], _Vector, _Vector | None]: ...
def implicit_fold_in(
    model: MatrixCompletionModel, entries: Any, options: Any, mean_entries: float, threads: int
) -> npt.NDArray[np.float64]: ...
def soft_impute(
    entries: Any,
    options: Any,
    *,
    center: bool,
    threads: int,
    progress: Callable[[int, int, dict[str, float]], object] | None,
) -> tuple[MatrixCompletionModel, SoftFigures]: ...
def svt_denoise(
    x: Any, *, threshold: float | None, noise: float | None, soft: bool, single: bool
) -> tuple[_Matrix, float, _Vector, int]: ...
def svds(
    a: Any,
    k: int,
    *,
    solver: str,
    tol: float,
    max_iter: int,
    seed: int,
    start: _Vector | None,
    threads: int,
    progress: Callable[[int, int, dict[str, float]], object] | None,
) -> SVDSolution: ...
def lstsq_by_parts(
    ask: Callable[[bytes], bytes],
    options: Any,
    *,
    ridge: _Vector,
    fit_intercept: bool,
    single: bool,
    progress: Callable[[int, int, dict[str, float]], object] | None,
) -> LstsqSolution: ...
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
) -> KronSolution: ...
def lstsq_merged_sums(sums: list[bytes]) -> bytes: ...
def lstsq_sums_of_part(question: bytes, a: Any, b: Any, *, sample_weight: _Vector | None) -> bytes: ...
def lstsq_verify(
    a: Any,
    b: Any,
    x: Any,
    options: Any,
    *,
    sample_weight: _Vector | None,
    ridge: _Vector,
    threads: int,
) -> LstsqVerification: ...
def linear_predict(
    a: Any, coefficients: Any, intercept: Any, *, single: bool, threads: int
) -> npt.NDArray[np.floating[Any]]: ...

# Mean squares of leave-one-out residuals, (alphas, targets), the positions of the least, and the fit there.
def ridge_cv(
    a: Any,
    b: Any,
    options: Any,
    *,
    apart: bool,
    alphas: _Vector,
    sample_weight: _Vector | None,
    fit_intercept: bool,
    threads: int,
) -> tuple[npt.NDArray[np.float64], list[int], LstsqSolution]: ...
def ridge_cv_by_parts(
    ask: Callable[[bytes], bytes],
    options: Any,
    *,
    apart: bool,
    alphas: _Vector,
    fit_intercept: bool,
    single: bool,
) -> tuple[npt.NDArray[np.float64], list[int], LstsqSolution]: ...

# For all of `alphas`: leave-one-out residuals times root weights, (n, targets alphas); coefficients,
# (d, alphas targets), and intercepts, (alphas targets).
ridge_left_out: _Ridges[npt.NDArray[np.float64]]
ridge_path: _Ridges[tuple[npt.NDArray[np.float64], list[float]]]

def lstsq_covariance(
    factor: npt.NDArray[np.float64],
    residual_norm: npt.NDArray[np.float64],
    *,
    ridge: float,
    means: npt.NDArray[np.float64] | None,
    weight_norm: float,
    observations: int,
) -> tuple[list[npt.NDArray[np.float64]], float, list[int]]: ...
def lstsq_robust_covariance(
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
def matrix_unit() -> str: ...
def usable_cpus() -> int: ...
