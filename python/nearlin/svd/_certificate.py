"""What is known of the error of a model, and how."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from nearlin._certificate import Certificate

__all__ = ["certificate_of"]

STATEMENTS = {
    "fitted": "the triplets are those of a projection of the matrix: |X|^2 - sum of s^2 is what they leave, "
    "exactly, and no singular value of X is smaller than that of the model",
    "rows": "rows were appended alone: X'X = M'M + P, so that |X|^2 - sum of s^2 is what the model leaves, "
    "exactly, and no singular value of X is smaller than that of the model",
    "columns": "columns were appended alone: X X' = M M' + P, so that |X|^2 - sum of s^2 is what the model "
    "leaves, exactly, and no singular value of X is smaller than that of the model",
    "mixed": "anything was changed: the error is at most the sum of what every update cut off",
}


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
    exact = figures["exact"] and kind != "mixed" and energy is not None and math.isfinite(energy)
    slack = (64.0 + figures["updates"]) * float(np.finfo(np.float64).eps)
    of_dtype = 0.0 if dtype == np.float64 else 4.0 * float(np.finfo(dtype).eps)
    within = figures["frobenius"] + math.sqrt(float(beside.sum()))
    details: dict[str, Any] = {
        "lost_energy": None if energy is None else max(energy - float(shown.sum()), 0.0),
        "captured": None if not energy else float(shown.sum()) / energy,
        "discarded": figures["frobenius"],
        "largest_residual": residual,
        "statement": STATEMENTS[kind],
        "singular_value_bounds": _bounds(values[:k], figures, exact, slack),
    }
    quantity = "|X - U S V'|_F / |X|_F"
    if exact and energy > 0.0:
        share = max(energy - float(shown.sum()), 0.0) / energy
        return Certificate(
            quantity=quantity,
            estimate=math.sqrt(share),
            bound=math.sqrt(share + slack) + of_dtype,
            confidence=1.0,
            measured="|X|_F^2 less the squares of the singular values",
            details=details,
        )
    whole = math.sqrt(energy) if energy is not None else math.sqrt(model) - figures["frobenius"]
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
        bound=within / whole + math.sqrt(slack) + of_dtype,
        confidence=1.0,
        measured="the sum of what every update cut off",
        note=None if energy is not None else "|X|_F is not known, and taken as the least that it can be",
        details=details,
    )


def _bounds(
    values: npt.NDArray[np.float64], figures: dict[str, Any], exact: bool, slack: float
) -> list[list[float]]:
    """Return between what each singular value of the matrix lies."""
    if exact:
        above = np.sqrt(values**2 + figures["spread"])
        return [
            [float(low * (1.0 - slack)), float(high * (1.0 + slack))]
            for low, high in zip(values, above, strict=True)
        ]
    spectral = figures["spectral"]
    largest = float(values[0]) * slack if len(values) else 0.0
    return [
        [max(float(value) - spectral - largest, 0.0), float(value) + spectral + largest] for value in values
    ]
