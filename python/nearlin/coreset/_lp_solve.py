"""The solvers of regression in the p-norm, on arrays that are checked."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nearlin import _core
from nearlin._certificate import Certificate
from nearlin._config import Progress, resolve_progress, resolve_threads
from nearlin._validation import Float, Matrix, as_sample_weight, check_int, check_real, optional
from nearlin.exceptions import InvalidInputError

from ._excess import TOLERANCES, excess_certificate, solver_tolerance, warn_of_excess

__all__ = ["METHODS", "as_magnitudes", "lp_solutions", "solve_lp"]

METHODS = ("auto", "exact", "full")
MOST_ITERATIONS = 300


def solve_lp(
    A: Matrix, b: Float, *, p: float, tol: float | None = None, eps: float | None = None, **options: Any
) -> tuple[list[_core.LpSolution], Certificate, str]:
    """Return the answers on all rows, what they are worth beside eps, or else tol, and the method."""
    accepted = TOLERANCES[np.dtype(A.dtype)] if tol is None else check_real(tol, "tol", above=0.0)
    target = accepted if eps is None else eps
    solutions, used = lp_solutions(A, b, p=p, tol=min(accepted, target), **options)
    rounds = {"wrong_signs": sum(solution["rounds"] for solution in solutions)} if used == "exact" else {}
    certificate = excess_certificate(solutions, np.dtype(A.dtype), target, rounds)
    warn_of_excess(certificate)
    return solutions, certificate, used


def lp_solutions(
    A: Matrix,
    b: Float,
    *,
    p: float,
    levels: list[float] | None,
    tol: float,
    method: str = "auto",
    max_iter: int | None = None,
    sample_weight: object = None,
    fit_intercept: bool = False,
    penalty: float = 0.0,
    seed: int = 0,
    n_jobs: int | None = None,
    progress: bool | Progress = False,
) -> tuple[list[_core.LpSolution], str]:
    """Return the answers, of a level each, and the method."""
    n, d = A.shape
    shared: dict[str, Any] = {
        "tol": solver_tolerance(tol),
        "max_iter": optional(check_int, max_iter, "max_iter", at_least=1) or MOST_ITERATIONS,
        "sample_weight": as_sample_weight(sample_weight, n),
        "fit_intercept": fit_intercept,
        "threads": resolve_threads(n_jobs, 4 * n * d * d),
        "progress": resolve_progress(progress),
    }
    if p != 1.0:
        if method == "exact":
            raise InvalidInputError(f"is 'exact', expected another one with p = {p}", argument="method")
        return [_core.p_norm_regression(A, b, p=p, **shared)], (
            "newton" if math.isfinite(p) else "interior point"
        )
    solutions = _core.quantile_regression(
        A,
        b,
        levels=[0.5] if levels is None else levels,
        method="full" if method == "full" else "exact",
        seed=seed,
        penalty=penalty,
        **shared,
    )
    if levels is None:
        as_magnitudes(solutions)
    return solutions, "exact" if any(solution["kept"] < n for solution in solutions) else "full"


def as_magnitudes(solutions: list[_core.LpSolution]) -> None:
    """Turn losses of medians into sums of magnitudes, of which they have half on either side."""
    for solution in solutions:
        solution["objective"] *= 2.0
        solution["gap"] *= 2.0
        solution["rounding"] *= 2.0
