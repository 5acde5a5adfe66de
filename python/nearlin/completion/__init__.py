"""Low-rank matrices from few of their entries."""

from typing import TYPE_CHECKING

from nearlin._lazy import loaded_when_used

if TYPE_CHECKING:
    from ._entry_split import EntrySplit
    from ._implicit_als import ImplicitALS
    from ._low_rank_imputer import LowRankImputer
    from ._matrix_completion import MatrixCompletion
    from ._soft_impute import SoftImpute
    from ._svt_denoise import SVTResult, svt_denoise

__all__ = [
    "EntrySplit",
    "ImplicitALS",
    "LowRankImputer",
    "MatrixCompletion",
    "SVTResult",
    "SoftImpute",
    "svt_denoise",
]

__getattr__, __dir__ = loaded_when_used(
    __name__,
    {
        "_entry_split": ("EntrySplit",),
        "_implicit_als": ("ImplicitALS",),
        "_low_rank_imputer": ("LowRankImputer",),
        "_matrix_completion": ("MatrixCompletion",),
        "_soft_impute": ("SoftImpute",),
        "_svt_denoise": ("SVTResult", "svt_denoise"),
    },
)
