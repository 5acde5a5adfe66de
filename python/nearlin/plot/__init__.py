"""Displays: what was measured, as pictures, in the shape of scikit-learn's. Drawing needs matplotlib.

A display is made of plain arrays by its constructor, or of what nearlin returns by a method ``from_...``,
which draws it too. ``plot(ax=None)`` draws it once more and returns the display, with the axes in ``ax_``,
the figure in ``figure_``, and what was drawn in attributes whose names end in ``_`` as well. Residuals
against predictions are scikit-learn's :class:`sklearn.metrics.PredictionErrorDisplay`.
"""

from typing import TYPE_CHECKING

from nearlin._lazy import loaded_when_used

if TYPE_CHECKING:
    from ._certificates import CertificateDisplay
    from ._coefficients import CoefficientDisplay
    from ._completion import CompletionDisplay
    from ._completion_path import CompletionPathDisplay
    from ._coreset import CoresetDisplay
    from ._leverage import LeverageDisplay
    from ._ridge_path import RidgePathDisplay
    from ._spectrum import SpectrumDisplay
    from ._stream import StreamDisplay

__all__ = [
    "CertificateDisplay",
    "CoefficientDisplay",
    "CompletionDisplay",
    "CompletionPathDisplay",
    "CoresetDisplay",
    "LeverageDisplay",
    "RidgePathDisplay",
    "SpectrumDisplay",
    "StreamDisplay",
]

__getattr__, __dir__ = loaded_when_used(
    __name__,
    {
        "_certificates": ("CertificateDisplay",),
        "_coefficients": ("CoefficientDisplay",),
        "_completion": ("CompletionDisplay",),
        "_completion_path": ("CompletionPathDisplay",),
        "_coreset": ("CoresetDisplay",),
        "_leverage": ("LeverageDisplay",),
        "_ridge_path": ("RidgePathDisplay",),
        "_spectrum": ("SpectrumDisplay",),
        "_stream": ("StreamDisplay",),
    },
)
