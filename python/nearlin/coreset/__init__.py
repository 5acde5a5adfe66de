"""Scores of rows, and samples by them that stand for all rows in l_p."""

from typing import TYPE_CHECKING

from nearlin._lazy import loaded_when_used

if TYPE_CHECKING:
    from ._lewis_weights import LewisInfo, lewis_weights
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
    "LewisInfo",
    "RowSample",
    "StreamingCoreset",
    "approximate_sensitivities",
    "leverage_scores",
    "lewis_weights",
    "max_sensitivity",
    "root_leverage_scores",
    "sample_rows",
    "sensitivity_bounds",
    "total_sensitivity",
]

__getattr__, __dir__ = loaded_when_used(
    __name__,
    {
        "_lewis_weights": ("LewisInfo", "lewis_weights"),
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
