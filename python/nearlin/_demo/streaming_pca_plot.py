"""A picture of how far the first component is from the truth against the rows that have gone by."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nearlin._demo.photographs import SIDE
from nearlin._demo.streaming_pca import STREAMING_PCA, squared_sine

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw"]

Rows = NDArray[np.float32]
PEER_ROWS = 60_000
"""Rows that a peer sees which takes tens of microseconds for each."""
ROUNDING = 1e-16
"""Smaller errors are drawn as this."""


def nearlins(algorithm: str, order: str) -> Callable[[], Any]:
    """Make a stream of nearlin's."""
    from nearlin import StreamingPCA

    return lambda: StreamingPCA(algorithm=algorithm, order=order, center=True, random_state=0)


def incremental_pca() -> Any:
    """Make scikit-learn's."""
    from sklearn.decomposition import IncrementalPCA

    return IncrementalPCA(1)


RANDOM = {
    "block_power": (nearlins("block_power", "random"), "#1f77b4", None),
    "incremental": (nearlins("incremental", "random"), "#1b7837", None),
    "frequent_directions": (nearlins("frequent_directions", "random"), "#9970ab", None),
    "gram (auto)": (nearlins("gram", "random"), "#444444", None),
    "IncrementalPCA": (incremental_pca, "#d95f02", PEER_ROWS),
}
LINE_BY_LINE = {
    "block_power, which warns": (nearlins("block_power", "random"), "#1f77b4", None),
    "oja": (nearlins("oja", "arbitrary"), "#c51b7d", None),
    "frequent_directions": (nearlins("frequent_directions", "arbitrary"), "#9970ab", None),
}
"""By name: what makes a stream, its colour, and the most rows that it sees."""


def draw(figure: Figure, *, quick: bool) -> None:
    """Draw squared sines to the component of the rows so far: in random order, and line by line."""
    shuffled, lines = STREAMING_PCA.build(STREAMING_PCA.source(quick))
    left, right = figure.subplots(1, 2, sharey=True)
    panels = ((left, shuffled, RANDOM, "upper right"), (right, lines, LINE_BY_LINE, (0.2, 0.34)))
    for axes, rows, streams, place in panels:
        seen = np.unique(np.geomspace(200, len(rows), 20).astype(int))
        judged = exact(rows, seen)
        for name, (make, colour, most) in streams.items():
            count = len(seen) if most is None else int(np.searchsorted(seen, most))
            errors = follow(make(), rows, seen[:count], judged)
            axes.plot(seen[:count], errors, marker=".", ms=5, label=name, color=colour)
        axes.legend(frameon=False, fontsize=8, loc=place)
        axes.set(xscale="log", yscale="log", xlabel="rows seen")
        axes.grid(alpha=0.3)
    left.set_title("in random order", fontsize=10)
    left.set_ylabel("squared sine to the component of the rows so far")
    right.set_title("line by line", fontsize=10)
    figure.suptitle(f"First component of {len(lines):,} patches of {3 * SIDE * SIDE} numbers", fontsize=11)


def exact(rows: Rows, seen: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    """Return the first components of so many rows, from their covariances in double precision."""
    gram, total, found = np.zeros((rows.shape[1],) * 2), np.zeros(rows.shape[1]), []
    for count, block in zip(seen, np.split(rows, seen[:-1]), strict=True):
        for part in np.array_split(block.astype(np.float64), len(block) // 20_000 + 1):
            gram += part.T @ part
            total += part.sum(axis=0)
        found.append(np.linalg.eigh(gram - np.outer(total, total) / count)[1][:, -1])
    return found


def follow(pca: Any, rows: Rows, seen: NDArray[np.int64], judged: list[NDArray[np.float64]]) -> list[float]:
    """Return how far a stream is from the truth after so many rows."""
    errors = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for block, v in zip(np.split(rows, seen)[:-1], judged, strict=False):
            pca.partial_fit(block)
            errors.append(max(squared_sine({"v": v}, pca.components_[0]), ROUNDING))
    return errors
