"""Axes to draw in, colours by what they mean, and what has no place on a logarithmic axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.collections import PathCollection

__all__ = [
    "BOUND",
    "COLOURS",
    "FOUND",
    "REFERENCE",
    "TRUE",
    "as_floats",
    "axes_for",
    "logarithmic",
    "marked_on_edge",
    "style",
    "whole_numbers",
]

FOUND, BOUND, TRUE, REFERENCE = "#1f77b4", "#d95f02", "#1b7837", "#666666"
"""What was estimated, what bounds it, what is so, and lines to compare with."""
COLOURS = (FOUND, BOUND, TRUE, "#7570b3", "#c51b7d", "#a6761d")
"""Of things side by side."""


def axes_for(ax: Axes | None, figsize: tuple[float, float] | None = None) -> Axes:
    """Return the axes that were given, or those of a new figure."""
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise ImportError(
            "pictures are drawn by matplotlib, which is not installed: pip install 'nearlin[plot]'"
        ) from None
    axes: Axes = plt.subplots(figsize=figsize, layout="constrained")[1]
    return axes


def style(given: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    """Return how a line is drawn: by default, or as it was asked for, under whichever name."""
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.lines import Line2D

    return normalize_kwargs(defaults, Line2D) | normalize_kwargs(given, Line2D)


def as_floats(values: object) -> npt.NDArray[np.float64]:
    """Return numbers to be drawn: None has no place, as NaN."""
    return np.asarray(values, dtype=np.float64)


def logarithmic(axis: Axis, *values: npt.NDArray[np.float64]) -> None:
    """Make an axis logarithmic, with plain numbers where it has no two powers of ten.

    Unless none of its values has a logarithm.
    """
    if not any((part > 0.0).any() for part in values):
        return
    from matplotlib.ticker import LogFormatterSciNotation

    class Plain(LogFormatterSciNotation):
        def __call__(self, x: float, pos: int | None = None) -> str:
            text = super().__call__(x, pos)
            low, high = sorted(axis.get_view_interval())
            # Of 2, 3, 4 and 6 the half, so that long numbers do not touch.
            if high > 4.0 * low and f"{x:e}"[0] in "36":
                return ""
            return f"{x:g}" if text and high < 100.0 * low else text

    axis.axes.set(**{f"{axis.axis_name}scale": "log"})  # type: ignore[attr-defined]
    axis.set_major_formatter(Plain())
    axis.set_minor_formatter(Plain(minor_thresholds=(1.5, 0.4)))


def whole_numbers(axis: Axis) -> None:
    """Have ticks of an axis at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))


def marked_on_edge(
    ax: Axes, at: npt.NDArray[Any], *, top: bool, marker: str, color: str, label: str
) -> PathCollection | None:
    """Mark places on the upper or lower edge, of what has none in between; None if there are none."""
    if not len(at):
        return None
    edge = np.full(len(at), 0.97 if top else 0.03)
    return ax.scatter(
        at, edge, s=36, marker=marker, color=color, transform=ax.get_xaxis_transform(), label=label, zorder=4
    )
