"""A picture of error and time against the files that a truncated SVD has seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nearlin._demo.truncated_svd import FOLLOW, TRUNCATED_SVD, beyond_best, judge, moments, timed
from nearlin._demo.words import Growth

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw"]

COLOURS = ("#444444", "#999999", "#9ecae1", "#1f77b4", "#1b7837")
STYLES = ("-", "--", "-", "-", "-")
EXACT = 1e-9
"""Errors below are not drawn."""


def draw(figure: Figure, *, quick: bool) -> None:
    """Draw what all methods leave beyond the best, and the time that they have taken, as the files come."""
    data: Growth = TRUNCATED_SVD.build(TRUNCATED_SVD.source(quick))
    files = moments(data)
    judged = {
        number: judge(Growth(data.so_far(files[number]), data.widths))
        for number in range(1, len(files), max(len(files) // 13, 1))
    }
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1])
    for (name, prepare), colour, style in zip(FOLLOW.items(), COLOURS, STYLES, strict=True):
        seconds, errors = [], []
        for number, (taken, model) in enumerate(timed(prepare(), data)):
            seconds.append(taken)
            if number in judged:
                errors.append(beyond_best(judged[number], model.scores(), model.components))
        line = {"color": colour, "ls": style}
        exact = max(errors) < EXACT
        shown = [error if error > EXACT else np.nan for error in errors]
        top.plot([files[number] for number in judged], shown, marker=".", ms=5, **line)
        bottom.plot(files, np.cumsum(seconds), **line, label=name + " (exact)" * exact)
    rows, columns = data.matrix.shape
    top.set_title(f"Words of Python source, {rows:,} files x {columns:,} words: 32 triplets", fontsize=11)
    top.set(yscale="log", ylabel="left beyond the best")
    bottom.legend(frameon=False, loc="upper left", fontsize=9)
    bottom.set(ylabel="seconds so far, one thread", xlabel="files seen")
    for axes in (top, bottom):
        axes.grid(alpha=0.3)
