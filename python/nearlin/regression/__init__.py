"""Least squares on tall data: to machine accuracy in a few passes over the rows, or from one read of them."""

from typing import TYPE_CHECKING

from nearlin._lazy import loaded_when_used

if TYPE_CHECKING:
    from ._certificate import LstsqCertificate
    from ._exact_stream import StreamedLstsqResult
    from ._influence import Influence
    from ._kron import LstsqKronResult, lstsq_kron
    from ._linear_model import LinearRegression, Ridge
    from ._lstsq import LstsqResult, lstsq
    from ._ridge_cv import RidgeCV
    from ._sketch_and_solve import sketch_and_solve
    from ._sketch_stream import SketchAndSolveResult
    from ._streaming import StreamingLeastSquares
    from ._summary import RegressionSummary

__all__ = [
    "Influence",
    "LinearRegression",
    "LstsqCertificate",
    "LstsqKronResult",
    "LstsqResult",
    "RegressionSummary",
    "Ridge",
    "RidgeCV",
    "SketchAndSolveResult",
    "StreamedLstsqResult",
    "StreamingLeastSquares",
    "lstsq",
    "lstsq_kron",
    "sketch_and_solve",
]

# The estimators need scikit-learn.
__getattr__, __dir__ = loaded_when_used(
    __name__,
    {
        "_certificate": ("LstsqCertificate",),
        "_exact_stream": ("StreamedLstsqResult",),
        "_influence": ("Influence",),
        "_kron": ("LstsqKronResult", "lstsq_kron"),
        "_linear_model": ("LinearRegression", "Ridge"),
        "_lstsq": ("LstsqResult", "lstsq"),
        "_ridge_cv": ("RidgeCV",),
        "_sketch_and_solve": ("sketch_and_solve",),
        "_sketch_stream": ("SketchAndSolveResult",),
        "_streaming": ("StreamingLeastSquares",),
        "_summary": ("RegressionSummary",),
    },
)
