"""The compiled part of nearlin: private, no promise is made about it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["__version__", "lstsq", "ridge_loo", "usable_cpus"]

__version__: str

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
    progress: Callable[[int, int, dict[str, float]], object] | None,
) -> dict[str, Any]: ...
def ridge_loo(
    a: Any,
    b: Any,
    *,
    alphas: npt.NDArray[np.float64],
    sample_weight: npt.NDArray[np.float64] | None,
    fit_intercept: bool,
    threads: int,
) -> npt.NDArray[np.float64]: ...
def usable_cpus() -> int: ...
