"""Top eigenvectors of A'A from one pass over the rows of A."""

from typing import TYPE_CHECKING

from nearlin._lazy import loaded_when_used

if TYPE_CHECKING:
    from ._streaming_pca import StreamingPCA
    from ._top_eigenvector import TopEigenvectorResult, top_eigenvector

__all__ = ["StreamingPCA", "TopEigenvectorResult", "top_eigenvector"]

__getattr__, __dir__ = loaded_when_used(
    __name__,
    {
        "_streaming_pca": ("StreamingPCA",),
        "_top_eigenvector": ("TopEigenvectorResult", "top_eigenvector"),
    },
)
