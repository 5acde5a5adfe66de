"""The search for a rank and a penalty, by the error on held-out entries."""

from collections.abc import Callable

__all__ = ["Tried", "search"]

Tried = list[tuple[int, float, float]]
"""Ranks and penalties, and the errors with them."""

FIRST = 8, 0.4
"""Where the search begins; penalties are those of the walk of MatrixCompletion."""
PENALTIES = [0.4 * 3.0 ** (power / 2) for power in range(-15, 11)]
ENOUGH = 1e-4
"""What an error has to fall by, relative to it, to be worth a step."""


def search(error: Callable[[int, float], float], most: int, reg: float | None = None) -> Tried:
    """Return what was tried, the best last: by factors of two and three while that helps, then by roots.

    `error` gives the error with a rank and a penalty. Ranks go up to `most`; a penalty that is given stays.
    """
    ranks = sorted({min(round(2.0 ** (power / 2)), most) for power in range(2 * most.bit_length() + 1)})
    penalties = PENALTIES if reg is None else [reg]
    tried: dict[tuple[int, float], float] = {}

    def visit(i: int, j: int) -> float:
        if not (0 <= i < len(ranks) and 0 <= j < len(penalties)):
            return float("inf")
        place = ranks[i], penalties[j]
        if place not in tried:
            tried[place] = error(*place)
        return tried[place]

    i = max(k for k, rank in enumerate(ranks) if rank <= FIRST[0])
    j = PENALTIES.index(FIRST[1]) if reg is None else 0
    for step in (2, 1):
        moved = True
        while moved:
            moved = False
            for down, across in ((0, -step), (0, step), (step, 0), (-step, 0)):
                while visit(i + down, j + across) < (1.0 - ENOUGH) * visit(i, j):
                    i, j, moved = i + down, j + across, True
    best = ranks[i], penalties[j]
    return sorted(((*place, found) for place, found in tried.items()), key=lambda entry: entry[:2] == best)
