"""Near-linear-time linear algebra with a measured certificate beside every answer.

The names below are loaded when first used; importing nearlin imports neither SciPy nor scikit-learn.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as _numpy  # noqa: F401  (the extension module needs it in place)

from ._config import config_context, get_config, set_config
from ._core import __version__

if TYPE_CHECKING:
    from . import exceptions, sketch
    from ._certificate import Certificate
    from ._kron import LstsqKronResult, lstsq_kron
    from ._linear_model import LinearRegression, Ridge
    from ._ridge_cv import RidgeCV
    from ._sketch_and_solve import SketchAndSolveResult, StreamingLeastSquares, sketch_and_solve
    from ._summary import RegressionSummary
    from .regression import LstsqResult, lstsq

__all__ = [
    "Certificate",
    "LinearRegression",
    "LstsqKronResult",
    "LstsqResult",
    "RegressionSummary",
    "Ridge",
    "RidgeCV",
    "SketchAndSolveResult",
    "StreamingLeastSquares",
    "__version__",
    "config_context",
    "exceptions",
    "get_config",
    "lstsq",
    "lstsq_kron",
    "set_config",
    "sketch",
    "sketch_and_solve",
]

_SUBMODULES = frozenset({"exceptions", "regression", "sketch"})
_HOME = {
    "Certificate": "_certificate",
    "LinearRegression": "_linear_model",
    "LstsqKronResult": "_kron",
    "LstsqResult": "regression",
    "RegressionSummary": "_summary",
    "Ridge": "_linear_model",
    "RidgeCV": "_ridge_cv",
    "SketchAndSolveResult": "_sketch_and_solve",
    "StreamingLeastSquares": "_sketch_and_solve",
    "lstsq": "regression",
    "lstsq_kron": "_kron",
    "sketch_and_solve": "_sketch_and_solve",
}


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f".{name}", __name__)
    if name in _HOME:
        value = globals()[name] = getattr(import_module(f".{_HOME[name]}", __name__), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | _SUBMODULES | set(__all__))
