"""A photograph with four of five pixels hidden, completed, and the error by rank."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nearlin._demo.completion import COMPLETION, HIDDEN, RANKS, Holed, completed, error, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw"]


def draw(figure: Figure, *, quick: bool) -> None:
    """Draw what is left of the photograph, what becomes of it, how it was, and the error by rank."""
    data: Holed = COMPLETION.build(COMPLETION.source(quick))
    judged = COMPLETION.judge(data)
    answers = {rank: completed(rank)(data)[0] for rank in RANKS}
    errors = {rank: error(judged, answer) for rank, answer in answers.items()}
    best = min(errors, key=lambda rank: errors[rank])
    top, bottom = figure.subplots(2, 2)
    pictures = {
        f"{HIDDEN:.0%} of the pixels hidden": np.nan_to_num(data.seen),
        f"completed, rank {best}": np.where(data.hidden, answers[best]["found"], data.truth),
        "as it was": data.truth,
    }
    for axes, (title, matrix) in zip([*top, bottom[0]], pictures.items(), strict=True):
        axes.imshow(picture(matrix), interpolation="nearest")
        axes.set_title(title, fontsize=10)
        axes.set_axis_off()
    axes = bottom[1]
    axes.plot(list(errors), list(errors.values()), marker="o", color="#1b7837")
    axes.set(xscale="log", xlabel="rank", ylabel="error of what was hidden")
    axes.set_xticks(RANKS, [str(rank) for rank in RANKS])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
