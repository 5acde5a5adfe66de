"""What is known of the error of a completed matrix."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from nearlin._certificate import Certificate

from ._interval import CONFIDENCE, MEASURED, interval_of

__all__ = ["certificate_of", "is_coherent"]

QUANTITY = "RMSE on held-out entries"
CLIPPED = "RMSE on held-out entries, gross errors clipped"
RESIDUAL = "relative residual on observed entries"
FAILURE = 0.01
"""Probability with which the contraction of a row may fail."""

Degrees = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


def certificate_of(figures: dict[str, Any], degrees: Degrees, rank: int) -> Certificate:
    """Return the error on held-out entries, or the residual of an exact fit, with all that was measured."""
    details = _degrees(*degrees, rank) | _diagnosis(figures, degrees, rank) | _held_out(figures)
    if figures["residual"] is not None:
        return _exact(figures, details)
    held_out = figures["held_out"]
    clipped = figures.get("loss", "squared") != "squared"
    quantity = CLIPPED if clipped else QUANTITY
    if held_out is None or not held_out[0]:
        note = "nothing was held out: see `validation_fraction`"
        return Certificate(quantity, math.nan, math.nan, None, "not measured", note=note, details=details)
    interval, diverged = interval_of(held_out, _candidates(figures)), figures["status"] == "DIVERGED"
    why = "the fit has diverged" if diverged else interval.why
    notes = [] if why is None else [why]
    notes += [
        "of the model before it was fitted to these entries too",
        "entries to come may not be like those that were observed, and those that are hidden in groups, as "
        "whole rows or times, are harder to predict",
    ]
    if clipped:
        notes.insert(0, "errors that the loss takes for gross count as the largest that it does not")
    if figures["chosen"]:
        notes.insert(0, f"{figures['chosen']} and the number of sweeps were chosen by it")
    if figures.get("later"):
        notes.insert(0, f"{figures['later']} entries have come since")
    return Certificate(
        quantity,
        held_out[1],
        interval.high if why is None else math.nan,
        CONFIDENCE if why is None else None,
        f"on {held_out[0]} entries chosen by a hash of row and column; {MEASURED}",
        note="; ".join(notes),
        details=details,
    )


def is_coherent(figures: dict[str, Any]) -> bool:
    """Return whether few rows or columns carry so much of the matrix that sampling may have missed it."""
    pairs = zip(figures["incoherence"], figures["leverage"], strict=True)
    return any(mu > 50.0 or (leverage > 0.5 and mu > 5.0) for mu, leverage in pairs)


def _exact(figures: dict[str, Any], details: dict[str, Any]) -> Certificate:
    residual, rounding = figures["residual"]
    notes = []
    if not figures["parts"]:
        notes.append("the entries determine nothing")
    elif details["undetermined_entries"]["value"]:
        notes.append("entries of rows and columns that are not determined aside")
    if figures["tol"] is None:
        notes.append("`reg` is not zero")
    elif figures["status"] == "CONVERGED" and residual > figures["tol"]:
        notes.append("`tol` is less than what rounding leaves")
    return Certificate(
        RESIDUAL,
        residual,
        residual + rounding,
        1.0,
        "entry by entry",
        target=figures["tol"] or None,
        note="; ".join(notes) or None,
        details=details,
    )


def _held_out(figures: dict[str, Any]) -> dict[str, Any]:
    if figures["held_out"] is None or not figures["held_out"][0]:
        return {}
    interval = interval_of(figures["held_out"], _candidates(figures))
    count, rmse, _, _, spreads = figures["held_out"]
    details = {
        "n_held_out": _item(count, "proven"),
        "held_out_rmse": _item(rmse, "statistical"),
        "standard_error": _item(interval.deviation, "statistical"),
        "interval": _item([interval.low, interval.high], "statistical"),
    }
    for name, (clusters, _) in zip(("rows", "cols"), spreads[1:], strict=True):
        details[f"held_out_{name}"] = _item(clusters, "proven")
    return details


def _candidates(figures: dict[str, Any]) -> int:
    """Return how many models were tried by the error on held-out entries."""
    return max(1, len(figures["path"]))


def _degrees(rows: npt.NDArray[np.int64], cols: npt.NDArray[np.int64], rank: int) -> dict[str, Any]:
    """Return what numbers of entries tell: without a penalty, fewer than `rank` determine no row."""
    observed, size = int(rows.sum()), len(rows) * len(cols)
    freedom = rank * (len(rows) + len(cols) - rank)
    details = {
        "n_observed": _item(observed, "proven"),
        "observed_share": _item(observed / size if size else math.nan, "proven"),
        "degrees_of_freedom": _item(freedom, "proven"),
        "oversampling": _item(observed / freedom if freedom > 0 else math.inf, "proven"),
    }
    for name, degrees in (("rows", rows), ("cols", cols)):
        details |= {
            f"empty_{name}": _item(int(np.count_nonzero(degrees == 0)), "proven"),
            f"undetermined_{name}": _item(int(np.count_nonzero((degrees > 0) & (degrees < rank))), "proven"),
            f"weak_{name}": _item(
                int(np.count_nonzero((degrees >= rank) & (degrees < 2 * rank))), "heuristic"
            ),
            f"least_degree_{name}": _item(int(degrees.min()) if len(degrees) else 0, "proven"),
            f"median_degree_{name}": _item(float(np.median(degrees)) if len(degrees) else 0.0, "proven"),
        }
    return details


def _diagnosis(figures: dict[str, Any], degrees: Degrees, rank: int) -> dict[str, Any]:
    """Return what was measured of the factors, and how far it is from what the theorem asks for."""
    details = {
        "components": _item(figures["parts"], "proven"),
        "free_entries": _item(figures["free"], "heuristic"),
        "gradient": _item(figures["gradient"], "proven"),
        "rate": _item(_rate(figures), "heuristic"),
        "condition": _item(figures["condition"], "heuristic"),
        "numerical_rank": _item(figures["numerical_rank"], "heuristic"),
        "norm": _item(figures["norm"], "heuristic"),
        "coherent": _item(is_coherent(figures), "heuristic"),
    }
    for side, name in enumerate(("rows", "cols")):
        details[f"incoherence_{name}"] = _item(figures["incoherence"][side], "heuristic")
        details[f"largest_leverage_{name}"] = _item(figures["leverage"][side], "heuristic")
        # Lines whose preconditioned systems have a spectrum within [1/2, 3/2], by the matrix Chernoff bound:
        # entries of a row are a sample of the rows of the factor of the columns, and the other way round.
        needed = 12.0 * figures["incoherence"][1 - side] * rank * math.log(2.0 * rank / FAILURE)
        enough = np.count_nonzero(degrees[side] >= needed)
        details[f"contracting_{name}"] = _item(enough / max(1, len(degrees[side])), "statistical")
    if figures["undetermined"] is not None:
        # Not by their own entries only: lines that are left without those of others, too.
        rows, cols, entries = figures["undetermined"]
        details |= {
            "undetermined_rows": _item(rows, "proven"),
            "undetermined_cols": _item(cols, "proven"),
            "undetermined_entries": _item(entries, "proven"),
        }
    largest = max(2, *(len(of_side) for of_side in degrees))
    needed = figures["condition"] ** 4 * max(figures["incoherence"]) * largest * rank**4.5 * math.log(largest)
    details["theorem_samples"] = _item(needed, "heuristic")
    details["theorem_share"] = _item(int(degrees[0].sum()) / needed if needed > 0 else math.nan, "heuristic")
    return details


def _rate(figures: dict[str, Any]) -> float:
    """Return the last error over the one before, or the last two decreases of an objective with penalties."""
    history = figures["objective"]
    if figures["residual"] is not None:
        return math.sqrt(history[-1] / history[-2]) if len(history) > 1 and history[-2] else math.nan
    falls = [before - after for before, after in pairwise(history)]
    return falls[-1] / falls[-2] if len(falls) > 1 and falls[-2] else math.nan


def _item(value: object, kind: str) -> dict[str, object]:
    return {"value": value, "kind": kind}
