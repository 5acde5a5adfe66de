"""What the core measured of an answer, as a certificate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nearlin import _core
from nearlin._certificate import Certificate
from nearlin._warn import warn
from nearlin.exceptions import AccuracyWarning

__all__ = ["TOLERANCES", "excess_certificate", "solver_tolerance", "warn_of_excess"]

TOLERANCES = {np.dtype(np.float64): 1e-9, np.dtype(np.float32): 1e-5}
"""Excess of an objective that is as good as none, unless the caller says otherwise."""

SAFETY = 0.25
"""Share of a tolerance that solvers are asked for, so that what they measure meets it."""

EXACTLY_FITTED = 16.0
"""An objective of so many times its rounding says nothing but that the rows are fitted."""

MEASURED = "multipliers of all rows, whose sum with the targets no objective goes below"


def solver_tolerance(tol: float) -> float:
    """Return what solvers are asked for."""
    return SAFETY * tol


def excess_certificate(
    solutions: Sequence[_core.LpSolution], dtype: np.dtype[Any], tol: float | None, details: Mapping[str, Any]
) -> Certificate:
    """Return how far objectives are above their minima at most, the worst of them."""
    figures = [_figures(solution, dtype) for solution in solutions]
    estimate, bound, floor, is_fitted = max(figures, key=lambda figure: figure[1])  # none of them is NaN
    quantity = "excess of the objective / norm of b" if is_fitted else "excess of the objective / objective"
    excess = [figure[0] for figure in figures]
    return Certificate(
        quantity=quantity,
        estimate=estimate,
        bound=bound,
        confidence=1.0,
        measured=MEASURED,
        target=tol,
        note="the rows are fitted but for rounding" if is_fitted else None,
        details={"excess": excess, **details},
        floor=floor,
    )


def _figures(solution: _core.LpSolution, dtype: np.dtype[Any]) -> tuple[float, float, float, bool]:
    """Return estimate, bound and floor beside the objective, or the targets where that is rounding."""
    rounding, gap = solution["rounding"], solution["gap"]
    in_dtype = rounding
    if dtype == np.float32:  # the coefficients are rounded to it, each by half a unit
        in_dtype *= float(np.finfo(np.float32).eps) / (8.0 * float(np.finfo(np.float64).eps))
    if not math.isfinite(gap + rounding + solution["objective"]):
        return math.inf, math.inf, 0.0, False
    is_fitted = solution["objective"] <= EXACTLY_FITTED * in_dtype
    unit = solution["size"] if is_fitted else solution["objective"]
    if unit == 0.0:
        return 0.0, 0.0, 0.0, is_fitted
    gap = max(gap, 0.0)
    return gap / unit, (gap + rounding) / unit, 2.0 * in_dtype / unit, is_fitted


def warn_of_excess(certificate: Certificate) -> None:
    """Warn where an objective may be above its minimum by more than was asked for."""
    if certificate.met is not True:
        warn(
            f"the objective is certified to within {certificate.bound:.1e} of its minimum, not "
            f"{certificate.target:.1e}: raise max_iter or tol",
            AccuracyWarning,
        )
