"""Scores of rows, and samples by them that stand for all rows in l_p."""

from typing import TYPE_CHECKING

from nearlin._lazy import loaded_when_used

if TYPE_CHECKING:
    from ._lewis_weights import LewisInfo, lewis_weights
    from ._scores import leverage_scores, root_leverage_scores

__all__ = ["LewisInfo", "leverage_scores", "lewis_weights", "root_leverage_scores"]

__getattr__, __dir__ = loaded_when_used(
    __name__,
    {
        "_lewis_weights": ("LewisInfo", "lewis_weights"),
        "_scores": ("leverage_scores", "root_leverage_scores"),
    },
)
