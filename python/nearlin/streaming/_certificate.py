"""What is known of the error of a direction, and how."""

import math
from typing import Any

import numpy as np

from nearlin._certificate import Certificate
from nearlin._warn import warn
from nearlin.exceptions import OrderWarning

__all__ = ["certificate_of", "gap_of", "is_ordered", "warn_of_order"]

ORDERED = 6.0
"""Standard errors by which a rate may fall while rows still look shuffled."""
CONFIDENCE = 0.95
NORMAL = 1.96
"""Standard errors on either side for that."""

ENERGY = (
    "a statement about the energy of a direction, not about its angle: another direction may have as much "
    "energy, and one that was never seen is not in the figure"
)
SUMMARIES = ("block_power", "incremental", "block_power+incremental")


def certificate_of(
    answer: dict[str, Any], k: int, algorithm: str, order: str, dtype: np.dtype[Any]
) -> Certificate:
    """Return what the rows say of the components that were found."""
    values, fall = answer["eigenvalues"], answer["fall"]
    largest = float(values[0]) if len(values) else 0.0
    gap, details = gap_of(values, k), _details(answer, k)
    notes = []
    if answer["merged"]:
        notes.append(f"{answer['merged'] + 1} streams were merged")
    quantity, confidence = "sine of the angle to the top eigenvectors", None
    estimate = bound = math.nan
    measured = "not measured"
    if not largest > 0.0:
        notes.append("there are no rows, or all are zero")
    elif is_ordered(answer, algorithm, order):
        notes.append(
            f"the rows do not look shuffled (order statistic {fall:.1f}): shuffle them, or order='arbitrary'"
        )
    elif answer["sine"] is not None:
        # Components are rounded to the precision of the rows.
        estimate = bound = min(answer["sine"] + float(np.finfo(dtype).eps), 1.0)
        confidence, measured = 1.0, "what was left out of A'A, over the gap (Davis and Kahan)"
    elif answer["rayleigh"] is not None:
        rayleigh, error = answer["rayleigh"]
        quantity = "|λ - v'A'A v| / λ, v'A'A v by rows that came after v"
        estimate = abs(largest - rayleigh) / largest
        bound, confidence = estimate + NORMAL * error / largest, CONFIDENCE
        measured = f"a Rayleigh quotient of {rayleigh:.4g} +- {NORMAL * error:.2g}"
        notes.append(ENERGY)
    else:
        notes.append(_why_not(algorithm, answer, gap))
    return Certificate(
        quantity=quantity,
        estimate=estimate,
        bound=bound,
        confidence=confidence,
        measured=measured,
        note="; ".join(notes) or None,
        details=details,
    )


def is_ordered(answer: dict[str, Any], algorithm: str, order: str) -> bool:
    """Tell whether rows that were to be shuffled do not look so."""
    fall = answer["fall"]
    return fall is not None and fall > ORDERED and order == "random" and algorithm in SUMMARIES


def warn_of_order(answer: dict[str, Any], remedies: str) -> None:
    """Warn of rows that do not look shuffled."""
    warn(
        f"rows do not look shuffled: the energy of a direction fell by {answer['fall']:.1f} standard errors; "
        f"shuffle them, {remedies}",
        OrderWarning,
    )


def gap_of(values: Any, k: int) -> float:
    """Return the k-th eigenvalue over the next one."""
    if len(values) <= k:
        return math.inf if len(values) else math.nan
    kept, following = float(values[k - 1]), float(values[k])
    return math.nan if kept == 0.0 else (kept / following if following > 0.0 else math.inf)


def _why_not(algorithm: str, answer: dict[str, Any], gap: float) -> str:
    if algorithm == "oja":
        grown = answer["growth"] is not None and answer["growth"][2]
        if not grown:
            return "no rate has made its vector grow: gaps below log(d) are out of reach of every such state"
        return "the growth bound needs the second eigenvalue, which is an estimate: see details"
    if algorithm == "frequent_directions":
        return f"what was left out may be as large as the gap, of {gap:.3g}: take a larger sketch_size"
    if algorithm in SUMMARIES:
        return (
            "directions still change from block to block, or too few rows came since they do not: "
            "eigenvalues are what a block had in directions of the one before"
        )
    if algorithm == "gram":
        return "the top eigenvalues are the same to rounding"
    return "nothing bounds the error of this algorithm"


def _details(answer: dict[str, Any], k: int) -> dict[str, Any]:
    """Return every figure that there is, with what kind of statement it is."""
    values = answer["eigenvalues"]
    details: dict[str, Any] = {"gap": {"kind": "estimate", "value": gap_of(values, k)}}
    if answer["sine"] is not None:
        details["sine"] = {"kind": "deterministic", "value": answer["sine"], "of": "float64"}
    if answer["rayleigh"] is not None:
        rayleigh, error = answer["rayleigh"]
        details["rayleigh_quotient"] = {"kind": "statistical", "value": rayleigh, "standard_error": error}
    if answer["fall"] is not None:
        details["order_statistic"] = {"kind": "statistical", "value": answer["fall"]}
    if answer["growth"] is not None:
        growth, rate, enough = answer["growth"]
        second = max(float(values[1]) if len(values) > 1 else 0.0, 0.0)
        sine = math.sqrt(0.5 * rate * second) + 1.05 * math.exp(-growth)
        details["growth"] = {
            "kind": "estimate",
            "log_growth": growth,
            "rate": rate,
            "grown": enough,
            "sine": min(sine, 1.0),
        }
    if answer["energy"] > 0.0 and len(values):
        details["captured"] = {"kind": "estimate", "value": float(values[:k].sum()) / answer["energy"]}
    return details
