"""A picture of the error of single coefficients against the rows of the sketch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nearlin._demo.process import Arrays
from nearlin._demo.regression import Data
from nearlin._demo.sketch_and_solve import SKETCH_AND_SOLVE, largest_error, unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

DELTA = 0.1
"""Share of the draws that the theorem lets go beyond its eps."""
MEASURED, CERTIFIED, THEOREM, EXACT = "#1f77b4", "#d95f02", "#444444", "#1b7837"


def draw(figure: Figure, *, quick: bool) -> None:
    """Draw the errors of many sketches, their certificates, the theorem's bound and LAPACK."""
    source = SKETCH_AND_SOLVE.source(quick)
    data = SKETCH_AND_SOLVE.build(source)
    n, d = data[0].shape
    sizes = np.geomspace(2 * d, n / 8, 5 if quick else 9).astype(int)
    judged = SKETCH_AND_SOLVE.judge(data)
    errors, certified = draws(data, judged, sizes, repetitions=4 if quick else 12)

    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    sketched(top, d, sizes, errors, certified)
    solved(bottom, data, judged)
    top.set_title(f"Photograph patches, {n:,} x {d}: largest error of a coefficient", fontsize=11)
    top.set_ylabel(r"error / $(\|b - A x^*\|\,\|A^+\| / \sqrt{d})$")
    bottom.set_xlabel("rows of the sketch")


def draws(data: Data, judged: Arrays, sizes: NDArray[Any], *, repetitions: int) -> tuple[NDArray[Any], ...]:
    """Errors of `repetitions` sketches of every size, and how large each of them says that they may be."""
    from nearlin import sketch_and_solve

    errors, certified = np.empty((2, repetitions, len(sizes)))
    one = unit(judged)
    for i, j in np.ndindex(errors.shape):
        result = sketch_and_solve(*data, sketch_size=int(sizes[j]), rng=i)
        errors[i, j] = largest_error(judged, result.x.astype(float))
        certified[i, j] = result.simultaneous_half_width.max() / one
    return errors, certified


def sketched(axes: Axes, d: int, sizes: NDArray[Any], errors: NDArray[Any], certified: NDArray[Any]) -> None:
    """Theory, certificates and measured errors."""
    from nearlin._core import sketch_and_solve_eps

    rows = np.geomspace(sizes[0], sizes[-1], 200)
    bound = [sketch_and_solve_eps(d, int(m), DELTA) for m in rows]
    label = f"theorem (Gaussian sketch): below in {1 - DELTA:.0%} of draws"
    axes.plot(rows, bound, color=THEOREM, label=label)
    label = "certificate of each answer (95 %), median"
    axes.plot(sizes, np.median(certified, axis=0), "--", color=CERTIFIED, label=label)
    label = f"measured, {len(errors)} draws of each size"
    axes.plot(np.tile(sizes, len(errors)), errors.ravel(), ".", ms=4, alpha=0.5, color=MEASURED, label=label)
    axes.plot(sizes, np.median(errors, axis=0), color=MEASURED, label="their median")
    axes.set(xscale="log", yscale="log", ylim=(errors.min() / 8, 8))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower left")


def solved(axes: Axes, data: Data, judged: Arrays) -> None:
    """Errors of those that use all rows, far below."""
    from nearlin import lstsq

    lapack = largest_error(judged, np.linalg.lstsq(*data, rcond=None)[0].astype(float))
    ours = largest_error(judged, lstsq(*data, rng=0).x.astype(float))
    axes.axhline(lapack, color=THEOREM, ls=":", label="LAPACK (numpy.linalg.lstsq)")
    axes.axhline(ours, color=EXACT, label="nearlin.lstsq")
    axes.set(yscale="log", ylim=(ours / 6, lapack * 200))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, ncols=2, loc="upper right")
