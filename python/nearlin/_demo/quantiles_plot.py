"""A picture of what a quantile costs that is fitted on a sample, against its size, for every score."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nearlin._demo.quantiles import LEVEL, QUANTILES, Data, loss

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw"]

RULES = {
    "uniform": "#d95f02",
    "leverage": "#7570b3",
    "root_leverage": "#1b7837",
    "lewis": "#1f77b4",
    "augmented": "#666666",
}
"""Scores of rows, and their colours. Sensitivities take a Gram matrix for each row: not of so many."""
SIZES = (10, 25, 50, 100, 200, 400)
"""Rows for each column."""
DRAWS, FEW_DRAWS = 9, 3
"""Of which the median is shown; fewer for a quick look."""


def draw(figure: Figure, *, quick: bool) -> None:
    """Draw the median of the excess over some draws, and all between the least and the largest."""
    import nearlin

    A, b = data = QUANTILES.build(QUANTILES.source(quick))
    d, draws = A.shape[1], FEW_DRAWS if quick else DRAWS
    least = loss(data, nearlin.lp_regression(A, b, quantile=LEVEL, rng=0).x)
    axes = figure.subplots()
    for rule, colour in RULES.items():
        excess = np.empty((len(SIZES), draws))
        scores = scores_of(data, rule)
        for i, size in enumerate(SIZES):
            for seed in range(draws):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    # By given scores and p = 2 the certificate is a small decomposition, not a search.
                    sample = nearlin.sample_rows(A, size=size * d, scores=scores, rng=seed)
                    rows, weights = sample.indices, sample.weights
                    x = nearlin.lp_regression(
                        A[rows], b[rows], quantile=LEVEL, sample_weight=weights, rng=0
                    ).x
                excess[i, seed] = loss(data, x) / least - 1.0
        rows = d * np.array(SIZES)
        axes.plot(rows, np.median(excess, axis=1), marker=".", ms=6, color=colour, label=rule)
        axes.fill_between(rows, excess.min(axis=1), excess.max(axis=1), color=colour, alpha=0.12, lw=0)
    axes.set(xscale="log", yscale="log", xlabel="rows of the sample", ylabel="excess of the loss on all rows")
    axes.grid(alpha=0.3, which="both")
    axes.legend(frameon=False, fontsize=9, title="scores", title_fontsize=9)
    axes.set_title(
        f"Quantile {LEVEL:g} of a pixel by its neighbours, {len(A):,} patches, {d} columns", fontsize=11
    )


def scores_of(data: Data, rule: str) -> NDArray[np.float64]:
    """The scores of [A b]."""
    import nearlin

    both = np.column_stack(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nearlin.sample_rows(both, p=1.0, size=10 * both.shape[1], scores=rule, rng=0).scores
