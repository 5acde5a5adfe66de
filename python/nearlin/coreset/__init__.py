"""Scores of rows, samples by them that stand for all rows in l_p, and l_p regression."""

from typing import TYPE_CHECKING

from nearlin._lazy import loaded_when_used

if TYPE_CHECKING:
    from ._huber_regressor import HuberRegressor
    from ._lewis_weights import LewisInfo, lewis_weights
    from ._lp_regression import LpResult, lp_regression
    from ._lp_regressor import LpRegressor
    from ._quantile_regressor import QuantileRegressor
    from ._sample_rows import RowSample, sample_rows
    from ._scores import leverage_scores, root_leverage_scores
    from ._sensitivities import (
        approximate_sensitivities,
        max_sensitivity,
        sensitivity_bounds,
        total_sensitivity,
    )
    from ._streaming_coreset import StreamingCoreset

__all__ = [
    "HuberRegressor",
    "LewisInfo",
    "LpRegressor",
    "LpResult",
    "QuantileRegressor",
    "RowSample",
    "StreamingCoreset",
    "approximate_sensitivities",
    "leverage_scores",
    "lewis_weights",
    "lp_regression",
    "max_sensitivity",
    "root_leverage_scores",
    "sample_rows",
    "sensitivity_bounds",
    "total_sensitivity",
]

__getattr__, __dir__ = loaded_when_used(
    __name__,
    {
        "_huber_regressor": ("HuberRegressor",),
        "_lewis_weights": ("LewisInfo", "lewis_weights"),
        "_lp_regression": ("LpResult", "lp_regression"),
        "_lp_regressor": ("LpRegressor",),
        "_quantile_regressor": ("QuantileRegressor",),
        "_sample_rows": ("RowSample", "sample_rows"),
        "_scores": ("leverage_scores", "root_leverage_scores"),
        "_sensitivities": (
            "approximate_sensitivities",
            "max_sensitivity",
            "sensitivity_bounds",
            "total_sensitivity",
        ),
        "_streaming_coreset": ("StreamingCoreset",),
    },
)
