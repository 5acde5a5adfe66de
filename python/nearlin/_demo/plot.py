"""The pictures of the demonstration."""

from __future__ import annotations

from collections.abc import Callable

from nearlin._demo import (
    completion_plot,
    quantiles_plot,
    sketch_and_solve_plot,
    streaming_pca_plot,
    truncated_svd_plot,
)
from nearlin._demo.block import Unavailable

__all__ = ["PICTURES", "plot"]

PICTURES: dict[str, Callable[..., None]] = {
    "sketch_and_solve": sketch_and_solve_plot.draw,
    "truncated_svd": truncated_svd_plot.draw,
    "streaming_pca": streaming_pca_plot.draw,
    "quantiles": quantiles_plot.draw,
    "completion": completion_plot.draw,
}
"""``PICTURES[block](figure, quick=...)`` draws what a block has to show."""


def plot(block: str, file: str, *, quick: bool) -> None:
    """Draw the picture of a block to a file."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise Unavailable("The plot needs matplotlib: pip install 'nearlin[demo]'") from None
    figure = Figure(figsize=(7.2, 4.8), layout="constrained")
    PICTURES[block](figure, quick=quick)
    figure.savefig(file, dpi=120)
