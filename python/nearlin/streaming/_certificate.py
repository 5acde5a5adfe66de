"""What is known of the error of a direction, and how."""

import math
from typing import Any

import numpy as np
from scipy.special import gammainccinv, gammaincinv

from nearlin._certificate import Certificate
from nearlin._warn import warn
from nearlin.exceptions import OrderWarning

__all__ = ["certificate_of", "gap_of", "is_ordered", "warn_of_order"]

ORDERED = 6.0
"""Standard errors by which a rate may fall while rows still look shuffled."""
LOST = 1e-5
"""Share of the energy that rounding may have taken, beyond which directions mean little."""
REMEDIES = (
    "shuffle them, hold some back (shuffle_buffer), or take algorithm='frequent_directions', or 'gram' where "
    "it fits, which mind no order"
)
CONFIDENCE = 0.95

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
        notes.append(f"the rows do not look shuffled (order statistic {fall:.1f}): {REMEDIES}")
    elif answer["sine"] is not None:
        # Components are rounded to the precision of the rows.
        estimate = bound = min(answer["sine"] + float(np.finfo(dtype).eps), 1.0)
        confidence, measured = 1.0, "what was left out of A'A, over the gap (Davis and Kahan)"
    elif answer["rayleigh"] is not None:
        rayleigh, lower, upper = _quotient(answer["rayleigh"], largest)
        quantity = "|λ - v'A'A v| / λ, v'A'A v by rows that came after v"
        estimate = abs(largest - rayleigh) / largest
        bound, confidence = max(largest - lower, upper - largest) / largest, CONFIDENCE
        measured = f"a Rayleigh quotient of {rayleigh:.4g}, from {lower:.4g} to {upper:.4g}"
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


def warn_of_order(answer: dict[str, Any]) -> None:
    """Warn of rows that do not look shuffled."""
    warn(
        f"rows do not look shuffled: the energy of a direction fell, or that of rows or their mean changed, "
        f"by {answer['fall']:.1f} standard errors; {REMEDIES}",
        OrderWarning,
    )


def gap_of(values: Any, k: int) -> float:
    """Return the k-th eigenvalue over the next one."""
    if len(values) <= k:
        return math.inf if len(values) else math.nan
    kept, following = float(values[k - 1]), float(values[k])
    return math.nan if kept == 0.0 else (kept / following if following > 0.0 else math.inf)


def _quotient(quotient: tuple[float, float, float, float], largest: float) -> tuple[float, float, float]:
    """Return the energy of a direction in all rows, and from where to where it may be.

    Sums of squares of which few may be large are no normal numbers; these are limits as for the rate of
    events of unequal size, one more of which, as large as any row is, may have been missed (Fay and Feuer
    1997). Rows that the direction is made of have more of it than those that came later, but not more than λ.
    """
    heavy, light, most, alike = quotient
    tail, unit = 0.5 * (1.0 - CONFIDENCE), max(light, most)
    if not unit > 0.0:
        return heavy, heavy, max(heavy, largest)
    share, step = light / unit, most / unit
    spread = share**2 / alike if alike > 0.0 else 0.0
    lower = spread / share * float(gammaincinv(alike, tail)) if alike > 0.0 else 0.0
    scale = (spread + step**2) / (share + step)
    upper = scale * float(gammainccinv((share + step) / scale, tail))
    # Of rows of one norm the first stay heavy: among later ones there are more by all of those.
    return heavy + light, max(heavy, unit * lower), max(heavy + unit * upper, largest)


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
    if algorithm == "sketch" and answer["lost"] > LOST:
        return "the mean is so much larger than what rows differ by that rounding took much of that"
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
        value, lower, upper = _quotient(answer["rayleigh"], float(values[0]) if len(values) else 0.0)
        details["rayleigh_quotient"] = {
            "kind": "statistical",
            "value": value,
            "lower": lower,
            "upper": upper,
            "confidence": CONFIDENCE,
        }
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
