"""Regression in the p-norm on a sample of the rows, and what it is worth on all of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nearlin import _core
from nearlin._certificate import Certificate
from nearlin._config import Progress, resolve_threads
from nearlin._sparse import check_indices, is_sparse, without_ignored_entries
from nearlin._validation import Float, Matrix, as_sample_weight, as_vector, check_finite
from nearlin._warn import warn
from nearlin.exceptions import AccuracyWarning, InvalidInputError

from ._excess import TOLERANCES, excess_certificate, warn_of_excess
from ._lewis_weights import LARGEST_POWER
from ._lp_solve import as_magnitudes, lp_solutions, solve_lp
from ._sample_rows import RowSample, with_targets

__all__ = ["OnSample", "rows_for", "solve_on_sample"]

CLOSE = 0.7
"""Logarithm of the factor that scores may be off: closer ones draw rows whose fits are no better."""
MOST_REDRAWN = 6
"""Doublings of a sample that has lost rank."""
MOST_CHECKS = 30
"""Iterations of a check on all rows, of which a few do."""

UNSEEN = (
    "the targets of other rows were not asked for: the sample keeps the excess small with constant "
    "probability, by theorem from the order of d log d / eps^2 rows on for p = 1, d / eps for 1 < p <= 2 and "
    "d^(p/2) / eps^p beyond, but for logarithms"
)
OF_SAMPLE = "not measured: the certificate of the regression has what the sample is for"


class OnSample(NamedTuple):
    """Answers, what they are worth, and the rows that they are from."""

    solutions: list[_core.LpSolution]
    certificate: Certificate
    sample: RowSample


def rows_for(eps: float, d: int, levels: list[float] | None) -> float:
    """Return how many rows usually keep the excess of d coefficients below eps."""
    rarest = min((min(level, 1.0 - level) for level in levels or ()), default=0.5)
    return max(10.0 * d, d / eps) / (2.0 * rarest)


def solve_on_sample(
    A: Matrix,
    b: Float | Callable[[npt.NDArray[np.int64]], object],
    *,
    p: float,
    levels: list[float] | None,
    size: int | None,
    eps: float | None,
    tol: float | None,
    max_iter: int | None,
    sample_weight: object,
    seed: int,
    n_jobs: int | None,
    progress: bool | Progress,
    feature_names: list[str] | None,
) -> OnSample:
    """Draw rows, solve on them, and measure the answers on all rows, until the excess is below eps."""
    if p > LARGEST_POWER:
        raise InvalidInputError(
            f"is {p}, expected at most {LARGEST_POWER:g} for a sample: the largest residual may be any row's",
            argument="p",
        )
    n, d = A.shape
    if is_sparse(A):
        check_indices(A, "A")
    if not callable(b):
        check_finite(b, "b")
    weights = as_sample_weight(sample_weight, n)
    options: dict[str, Any] = {
        "p": p,
        "levels": levels,
        "max_iter": max_iter,
        "seed": seed,
        "n_jobs": n_jobs,
        "progress": progress,
    }
    scores, rank = _scores(A, None if callable(b) else b, p, weights, n_jobs)
    positive = int((scores > 0.0).sum())
    if size is not None and size < min(rank, positive):
        whose = "the rank of A" if callable(b) else "the rank of A with b"
        raise InvalidInputError(f"is {size}, expected at least {rank}, {whose}", argument="size")
    expected = float(size) if size is not None else rows_for(eps or math.nan, d, levels)
    rows = A.tocsr() if is_sparse(A) else A
    draws: list[int] = []
    while True:
        expected = min(expected, positive)
        indices, shares = _core.draw_rows(scores, size=math.ceil(expected), seed=seed)
        drawn = shares if weights is None else shares * weights[indices]
        draws.append(len(indices))
        if expected < positive and _is_redrawn(rows, indices, drawn, rank, len(draws), callable(b), n_jobs):
            expected *= 2.0
            continue
        sample = RowSample(
            indices=indices,
            weights=drawn,
            p=p,
            scores=scores,
            expected_size=float(math.ceil(expected)),
            certificate=_of_sample(p),
            rule="leverage" if p == 2.0 else "lewis",
            design="bernoulli",
            n_rows=n,
            rank=rank,
            feature_names=feature_names,
        )
        if not callable(b) and len(indices) == positive and (eps is not None or not positive):
            solutions, found, _ = solve_lp(A, b, tol=tol, eps=eps, sample_weight=weights, **options)
            for solution in solutions:
                solution["kept"] = len(indices)
            return OnSample(solutions, _with(found, details=_details(found, draws)), sample)
        targets = _asked(b, indices, A.dtype) if callable(b) else b[indices]
        accepted = TOLERANCES[np.dtype(A.dtype)] if tol is None else tol
        solutions, _ = lp_solutions(rows[indices], targets, tol=accepted, sample_weight=drawn, **options)
        if callable(b):
            for solution in solutions:
                solution["kept"], solution["rank"] = len(indices), rank
            found = excess_certificate(solutions, np.dtype(A.dtype), accepted, {})
            warn_of_excess(found)
            return OnSample(solutions, _unseen(found, draws), sample)
        checked = _core.lp_excess(
            A,
            b,
            [solution["x"] for solution in solutions],
            scores=scores,
            p=p,
            levels=[0.5] if levels is None else levels,
            resolution=min(eps or 1.0, 0.5 * d / len(indices)),
            max_iter=MOST_CHECKS,
            sample_weight=weights,
            threads=resolve_threads(n_jobs, 4 * n * d * d),
        )
        if p == 1.0 and levels is None:
            as_magnitudes(checked)
        for solution, on_all in zip(solutions, checked, strict=True):
            on_all["n_iter"] += solution["n_iter"]
            on_all["kept"], on_all["x"] = len(indices), solution["x"]
        found = excess_certificate(checked, np.dtype(A.dtype), eps, {"draws": draws})
        if eps is None and not math.isfinite(found.bound):
            warn("the coefficients, or what they fit, are no numbers of this precision", AccuracyWarning)
        if eps is None or found.met is True:
            return OnSample(checked, found, sample)
        expected *= 2.0


def _scores(
    A: Matrix, b: Float | None, p: float, weights: npt.NDArray[np.float64] | None, n_jobs: int | None
) -> tuple[npt.NDArray[np.float64], int]:
    """Return what rows are drawn by, those of A and of the targets if there are any, and the rank."""
    matrix = without_ignored_entries(A, weights)
    if b is not None:
        matrix = with_targets(matrix, b, weights)[0]
    n, d = matrix.shape
    shared: dict[str, Any] = {
        "sample_weight": weights,
        "p": p,
        "threads": resolve_threads(n_jobs, 2.0 * n * d * d),
        "progress": None,
    }
    if p == 2.0:
        return _core.leverage_scores(matrix, ridge=0.0, eps=None, seed=0, **shared)
    found = _core.lewis_weights(matrix, tol=CLOSE, max_iter=60, **shared)
    return found["weights"], found["rank"]


def _is_redrawn(
    rows: Any,
    indices: npt.NDArray[np.int64],
    drawn: npt.NDArray[np.float64],
    rank: int,
    count: int,
    is_asked: bool,
    n_jobs: int | None,
) -> bool:
    """Return whether a sample tells nothing of some direction, and is to be drawn twice as large.

    Where targets are known, the excess on all rows tells.
    """
    if not len(indices):
        return True
    if not is_asked:
        return False
    found = _scores(rows[indices], None, 2.0, drawn, n_jobs)[1]
    if found >= rank:
        if count > 1:
            warn(
                f"a sample of that size has lost a direction of A: {len(indices)} rows were drawn and asked "
                "for, raise size",
                AccuracyWarning,
            )
        return False
    if count > MOST_REDRAWN:
        warn(f"the sample has rank {found} of {rank}: raise size", AccuracyWarning)
        return False
    return True


def _asked(ask: Callable[[npt.NDArray[np.int64]], object], indices: Any, dtype: Any) -> Float:
    """Return the targets of these rows, asked for once."""
    targets = as_vector(ask(indices.copy()), "b", length=len(indices), dtype=dtype).copy()
    check_finite(targets, "b")
    return targets


def _of_sample(p: float) -> Certificate:
    return Certificate(
        quantity=f"distortion of |A x|_{p:g}",
        estimate=math.nan,
        bound=math.nan,
        confidence=None,
        measured="nothing",
        note=OF_SAMPLE,
    )


def _unseen(found: Certificate, draws: list[int]) -> Certificate:
    """Return what is known where the targets of other rows are not."""
    return Certificate(
        quantity=found.quantity,
        estimate=math.nan,
        bound=math.nan,
        confidence=None,
        measured="the rows whose targets were asked for",
        note=UNSEEN,
        details={"excess_on_sample": found.details["excess"], "draws": draws},
    )


def _details(found: Certificate, draws: list[int]) -> dict[str, Any]:
    return {**found.details, "draws": draws}


def _with(certificate: Certificate, **changes: Any) -> Certificate:
    return Certificate(**{**certificate.to_dict(), **changes})
