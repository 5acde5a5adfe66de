"""Truncated singular value decompositions of anything that can be multiplied by vectors."""

from typing import TYPE_CHECKING

from nearlin._lazy import loaded_when_used

if TYPE_CHECKING:
    from ._svds import SVDResult, svds
    from ._truncated_svd import TruncatedSVD

__all__ = ["SVDResult", "TruncatedSVD", "svds"]

__getattr__, __dir__ = loaded_when_used(
    __name__, {"_svds": ("SVDResult", "svds"), "_truncated_svd": ("TruncatedSVD",)}
)
