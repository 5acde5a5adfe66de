"""What is known of the error of a completed matrix."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from nearlin._certificate import Certificate

__all__ = ["certificate_of"]

QUANTITY = "RMSE on held-out entries"
DEVIATIONS = 1.96
"""Of a normal distribution, that 97.5 % are below."""


def certificate_of(
    held_out: tuple[int, float, float] | None,
    degrees: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    rank: int,
    *,
    chosen: bool,
    later: int = 0,
) -> Certificate:
    """Return the error on `held_out` (number, RMSE, standard error), and what the degrees tell."""
    details = _degrees(*degrees, rank)
    if held_out is None or not held_out[0]:
        note = "nothing was held out: see `validation_fraction`"
        return Certificate(QUANTITY, math.nan, math.nan, None, "not measured", note=note, details=details)
    count, rmse, deviation = held_out
    notes = [
        "of the model before it was fitted to these entries too",
        "entries to come may not be like those that were observed",
    ]
    if later:
        notes.insert(0, f"{later} entries have come since")
    if chosen:
        notes.insert(0, "`reg` and the number of sweeps were chosen by it")
    details |= {
        "n_held_out": _item(count, "proven"),
        "standard_error": _item(deviation, "statistical"),
        "interval": _item(
            [max(0.0, rmse - DEVIATIONS * deviation), rmse + DEVIATIONS * deviation], "statistical"
        ),
    }
    return Certificate(
        QUANTITY,
        rmse,
        rmse + DEVIATIONS * deviation,
        0.975,
        f"on {count} entries chosen by a hash of row and column; the standard error by the delta method, "
        "errors in one row being dependent",
        note="; ".join(notes),
        details=details,
    )


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
            f"median_degree_{name}": _item(float(np.median(degrees)) if len(degrees) else 0.0, "proven"),
        }
    return details


def _item(value: object, kind: str) -> dict[str, object]:
    return {"value": value, "kind": kind}
