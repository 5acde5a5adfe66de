"""A photograph with four of five pixels hidden, completed, and the error by rank."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nearlin._demo.completion import COMPLETION, HIDDEN, RANKS, Holed, completed, error, picture
from nearlin.plot import CompletionDisplay

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
    CompletionDisplay(
        observed=picture(data.seen),
        filled=picture(np.where(data.hidden, answers[best]["found"], data.truth)),
        truth=picture(data.truth),
        titles=(f"{HIDDEN:.0%} of the pixels hidden", f"completed, rank {best}", "as it was"),
    ).plot([*top, bottom[0]])
    axes = bottom[1]
    axes.plot(list(errors), list(errors.values()), marker="o", color="#1b7837")
    axes.set(xscale="log", xlabel="rank", ylabel="error of what was hidden")
    axes.set_xticks(RANKS, [str(rank) for rank in RANKS])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
