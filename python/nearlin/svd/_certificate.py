"""What is known of the error of a model, and how."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import gammaincinv

from nearlin._certificate import Certificate

__all__ = ["certificate_of", "with_probe"]

CONFIDENCE = 0.99
SMALL = 1e-280
"""Sums of squares below this have lost digits."""
EXACTLY = "|X|_F^2 less the squares of the singular values"

STATEMENTS = {
    "fitted": "the triplets are those of a projection of the matrix: |X|^2 - sum of s^2 is what they leave, "
    "exactly, and no singular value of X is smaller than that of the model",
    "rows": "rows were appended alone: X'X = M'M + P, so that |X|^2 - sum of s^2 is what the model leaves, "
    "exactly, and no singular value of X is smaller than that of the model",
    "columns": "columns were appended alone: X X' = M M' + P, so that |X|^2 - sum of s^2 is what the model "
    "leaves, exactly, and no singular value of X is smaller than that of the model",
    "mixed": "anything was changed: the error is at most the sum of what every update cut off",
}
ROBUST = {
    "rows": "rows were appended alone, and singular values shrank (Frequent Directions): X'X = M'M + P "
    "with 0 <= P and |P|_2 <= spread, so that no singular value of X is smaller than that of the "
    "model and |X - X V V'|_F^2 is at most |X|^2 - sum of s^2; |X - U S V'|_F is at most the sum "
    "of what every update took off",
    "columns": "columns were appended alone, and singular values shrank (Frequent Directions): X X' = M M' + "
    "P with 0 <= P and |P|_2 <= spread, so that no singular value of X is smaller than that of "
    "the model and |X - U U'X|_F^2 is at most |X|^2 - sum of s^2; |X - U S V'|_F is at most the "
    "sum of what every update took off",
    "mixed": STATEMENTS["mixed"],
}
ROBUST["fitted"] = ROBUST["rows"].replace("rows were appended alone, and", "a matrix was fitted, and")


@np.errstate(over="ignore", under="ignore")
def certificate_of(
    values: npt.NDArray[np.float64],
    k: int,
    figures: dict[str, Any],
    residual: float,
    dtype: np.dtype[Any],
) -> Certificate:
    """Return what the first `k` of all kept triplets leave of the matrix."""
    shown, beside = values[:k] ** 2, values[k:] ** 2
    model = float(shown.sum() + beside.sum())
    energy, kind = figures["energy"], figures["kind"]
    exact = kind != "mixed" and energy is not None and math.isfinite(energy)
    # What rounding has done to the singular values, and to |X|_F, over all updates.
    rounding = figures["rounding"]
    lost = figures["energy_rounding"] + 2.0 * math.sqrt(model) * rounding + rounding * rounding
    if kind == "columns":
        lost += 4.0 * figures["residual"] * math.sqrt(len(values)) * model
    one_sided, exact = exact, exact and not figures["robust"]
    within = figures["frobenius"] + math.sqrt(float(beside.sum())) + rounding
    details: dict[str, Any] = {
        "lost_energy": None if energy is None else max(energy - float(shown.sum()), 0.0),
        "captured": None if not energy else float(shown.sum()) / energy,
        "discarded": figures["frobenius"],
        **({} if math.isnan(residual) else {"largest_residual": residual}),
        "statement": (ROBUST if figures["robust"] else STATEMENTS)[kind],
        "spread": figures["spread"] if one_sided else None,
        "singular_value_bounds": _bounds(values[:k], figures, one_sided),
    }
    quantity = "|X - U S V'|_F / |X|_F"
    if exact and energy > 0.0:
        share = max(energy - float(shown.sum()), 0.0) / energy
        return Certificate(
            quantity=quantity,
            estimate=math.sqrt(share),
            bound=math.sqrt(share + lost / energy) + rounding / math.sqrt(energy),
            confidence=1.0,
            measured=EXACTLY,
            details=details,
        )
    apart = figures["frobenius"] + rounding
    whole = math.sqrt(model) - apart if energy is None else math.sqrt(max(energy - lost, 0.0))
    # No model is farther away than this.
    within = min(within, whole + math.sqrt(float(shown.sum())) + 2.0 * apart * (energy is None))
    if not (math.isfinite(within) and math.isfinite(whole) and whole > 0.0):
        why = "the matrix is zero" if model == 0.0 and energy == 0.0 else "|X|_F is not known"
        return Certificate(
            quantity=quantity,
            estimate=math.nan,
            bound=math.nan,
            confidence=None,
            measured="not measured",
            note=why,
            details=details,
        )
    estimate = math.nan
    if energy is not None:
        estimate = min(math.sqrt(max(energy - float(shown.sum()), 0.0) / energy), within / whole)
    return Certificate(
        quantity=quantity,
        estimate=within / whole if math.isnan(estimate) else estimate,
        bound=within / whole,
        confidence=1.0,
        measured="the sum of what every update cut off",
        note=None if energy is not None else "|X|_F is not known, and taken as the least that it can be",
        details=details,
    )


def with_probe(known: Certificate, probed: Any, figures: dict[str, Any]) -> Certificate:
    """Return what random vectors tell, unless the ledger knows it exactly.

    For an error E and q vectors, the sum of the squares of what they see is a sum of the squared singular
    values of E, each times a chi-square of q degrees of freedom, and no E is as likely to be taken for much
    less, or much more, than it is as one of rank one (Roosta-Khorasani, Szekely and Ascher 2015).
    """
    if probed is None:
        note = "the probe is lost, with a column that was deleted or rows that were merged"
        note = note if known.note is None else f"{note}; {known.note}"
        return replace(known, note=note, details={**known.details, "probe_valid": False})
    rest, whole = (np.asarray(squares) for squares in probed)
    energy, q = figures["energy"], len(rest)
    risk = 1.0 - CONFIDENCE
    if energy is not None and math.isfinite(energy):
        total, least = energy, energy
    else:
        risk /= 2.0
        total, least = float(whole.mean()), float(whole.sum()) / _chi_square(q, 1.0 - risk)
    details = {
        **known.details,
        "probe_valid": True,
        "probe_squares": rest.tolist(),
        "ledger_bound": known.bound,
    }
    if not (least > SMALL and math.isfinite(float(rest.sum()))):
        return replace(known, details=details)
    details["probe_estimate"] = math.sqrt(float(rest.mean()) / total)
    if known.measured == EXACTLY:
        return replace(known, details=details)
    rounding = (64.0 + figures["updates"]) * float(np.finfo(np.float64).eps)
    return Certificate(
        quantity=known.quantity,
        estimate=details["probe_estimate"],
        bound=math.sqrt(float(rest.sum()) / _chi_square(q, risk) / least) + rounding,
        confidence=CONFIDENCE,
        measured=f"products with {q} random vectors, which the updates followed",
        details=details,
    )


def _chi_square(q: int, probability: float) -> float:
    """Return the quantile for `q` degrees of freedom."""
    return 2.0 * float(gammaincinv(0.5 * q, probability))


def _bounds(values: npt.NDArray[np.float64], figures: dict[str, Any], one_sided: bool) -> list[list[float]]:
    """Return between what each singular value of the matrix lies."""
    rounding, energy = figures["rounding"], figures["energy"]
    if one_sided:
        low, high = values, np.hypot(values, math.sqrt(figures["spread"]))
    else:
        low, high = values - figures["spectral"], values + figures["spectral"]
    largest = math.inf if energy is None else math.sqrt(energy + figures["energy_rounding"])
    low, high = np.maximum(low - rounding, 0.0), np.minimum(high + rounding, max(largest, 0.0))
    # Squares may be out of range.
    high = np.maximum(high, low)
    return [[float(a), float(b)] for a, b in zip(low, high, strict=True)]
