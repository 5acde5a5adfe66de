"""Near-linear-time linear algebra with a measured certificate beside every answer.

The names below are loaded when first used; importing nearlin imports neither SciPy nor scikit-learn.
"""

from typing import TYPE_CHECKING

import numpy as _numpy  # noqa: F401  (the extension module needs it in place)

from ._config import config_context, get_config, set_config, show_config
from ._core import __version__
from ._lazy import loaded_when_used

if TYPE_CHECKING:
    from . import completion, coreset, data, distributed, exceptions, plot, regression, sketch, streaming, svd
    from ._callbacks import CertificateMonitor
    from ._certificate import Certificate
    from .completion import (
        EntrySplit,
        ImplicitALS,
        LowRankImputer,
        MatrixCompletion,
        SoftImpute,
        SVTResult,
        svt_denoise,
    )
    from .coreset import (
        HuberRegressor,
        LewisInfo,
        LpRegressor,
        LpResult,
        QuantileRegressor,
        RowSample,
        StreamingCoreset,
        leverage_scores,
        lewis_weights,
        lp_regression,
        max_sensitivity,
        root_leverage_scores,
        sample_rows,
        sensitivity_bounds,
        total_sensitivity,
    )
    from .regression import (
        LinearRegression,
        LstsqKronResult,
        LstsqResult,
        RegressionSummary,
        Ridge,
        RidgeCV,
        SketchAndSolveResult,
        StreamedLstsqResult,
        StreamingLeastSquares,
        lstsq,
        lstsq_kron,
        sketch_and_solve,
    )
    from .streaming import StreamingPCA, TopEigenvectorResult, top_eigenvector
    from .svd import SVDResult, TruncatedSVD, svds

__all__ = [
    "Certificate",
    "CertificateMonitor",
    "EntrySplit",
    "HuberRegressor",
    "ImplicitALS",
    "LewisInfo",
    "LinearRegression",
    "LowRankImputer",
    "LpRegressor",
    "LpResult",
    "LstsqKronResult",
    "LstsqResult",
    "MatrixCompletion",
    "QuantileRegressor",
    "RegressionSummary",
    "Ridge",
    "RidgeCV",
    "RowSample",
    "SVDResult",
    "SVTResult",
    "SketchAndSolveResult",
    "SoftImpute",
    "StreamedLstsqResult",
    "StreamingCoreset",
    "StreamingLeastSquares",
    "StreamingPCA",
    "TopEigenvectorResult",
    "TruncatedSVD",
    "__version__",
    "completion",
    "config_context",
    "coreset",
    "data",
    "distributed",
    "exceptions",
    "get_config",
    "leverage_scores",
    "lewis_weights",
    "lp_regression",
    "lstsq",
    "lstsq_kron",
    "max_sensitivity",
    "plot",
    "regression",
    "root_leverage_scores",
    "sample_rows",
    "sensitivity_bounds",
    "set_config",
    "show_config",
    "sketch",
    "sketch_and_solve",
    "streaming",
    "svd",
    "svds",
    "svt_denoise",
    "top_eigenvector",
    "total_sensitivity",
]

__getattr__, __dir__ = loaded_when_used(
    __name__,
    {
        "_callbacks": ("CertificateMonitor",),
        "_certificate": ("Certificate",),
        "completion": (
            "EntrySplit",
            "ImplicitALS",
            "LowRankImputer",
            "MatrixCompletion",
            "SVTResult",
            "SoftImpute",
            "svt_denoise",
        ),
        "coreset": (
            "HuberRegressor",
            "LewisInfo",
            "LpRegressor",
            "LpResult",
            "QuantileRegressor",
            "RowSample",
            "StreamingCoreset",
            "leverage_scores",
            "lewis_weights",
            "lp_regression",
            "max_sensitivity",
            "root_leverage_scores",
            "sample_rows",
            "sensitivity_bounds",
            "total_sensitivity",
        ),
        "regression": (
            "LinearRegression",
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
        ),
        "streaming": ("StreamingPCA", "TopEigenvectorResult", "top_eigenvector"),
        "svd": ("SVDResult", "TruncatedSVD", "svds"),
    },
    modules=(
        "completion",
        "coreset",
        "data",
        "distributed",
        "exceptions",
        "plot",
        "regression",
        "sketch",
        "streaming",
        "svd",
    ),
)
