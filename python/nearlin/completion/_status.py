"""What the observed entries determine, in words."""

from typing import Any

import numpy as np
import numpy.typing as npt

from nearlin._warn import warn
from nearlin.exceptions import AccuracyWarning, GuaranteeWarning

from ._certificate import is_coherent
from ._options import Options

__all__ = [
    "count_undetermined",
    "status_of_entries",
    "status_of_lines",
    "warn_of",
    "warn_of_end",
    "warn_of_free",
]

Words = npt.NDArray[np.str_]
Parts = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]
EMPTY = -1
"""Mark of a row or column without entries; below are those that are not determined, from zero on parts."""
NAMED = 5
"""Names in a warning."""
FALLING = 0.01
"""A decrease of the objective in the last sweep that is worth a warning."""


def status_of_lines(degrees: npt.NDArray[np.int64], parts: npt.NDArray[np.int32] | None, rank: int) -> Words:
    """Return "empty", "undetermined", "weak" or "determined" for each row, or each column."""
    undetermined = degrees < rank if parts is None else parts < 0
    return np.select(
        [degrees == 0, undetermined, degrees < 2 * rank],
        ["empty", "undetermined", "weak"],
        "determined",
    )


def status_of_entries(
    row: npt.NDArray[np.int64],
    col: npt.NDArray[np.int64],
    degrees: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    parts: Parts | None,
    rank: int,
) -> Words:
    """Return for entries whether they are determined, or why they are not; -1 is a line that is not known."""
    conditions, words = [row < 0, col < 0], ["unknown row", "unknown column"]
    codes = []
    for index, degree, part in zip((row, col), degrees, parts or (None, None), strict=True):
        by_degree = np.where(degree == 0, EMPTY, np.where(degree < rank, EMPTY - 1, 0))
        codes.append(np.append(by_degree if part is None else part, 0)[index])
    for word in ("empty", "undetermined"):
        for code, side in zip(codes, ("row", "column"), strict=True):
            conditions.append(code == EMPTY if word == "empty" else code < EMPTY)
            words.append(f"{word} {side}")
    conditions.append(codes[0] != codes[1])
    words.append("other component")
    return np.select(conditions, words, "determined")


def count_undetermined(
    degrees: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]], parts: Parts | None
) -> tuple[int, int, int] | None:
    """Return how many rows and columns with entries are not determined, and the most they have of these."""
    if parts is None:
        return None
    wrong = [part < EMPTY for part in parts]
    entries = sum(int(degree[bad].sum()) for degree, bad in zip(degrees, wrong, strict=True))
    return int(wrong[0].sum()), int(wrong[1].sum()), entries


def warn_of_end(figures: dict[str, Any], options: Options) -> None:
    """Warn of a fit to noisy entries that has not come to its end."""
    history, max_iter = figures["objective"], options.max_iter
    if figures["status"] == "DIVERGED":
        warn(
            f"the fit has diverged (predictions {figures['norm']:.2g} times as large as what was observed, "
            f"the objective {history[-1]:.2g} after {min(history):.2g}): a larger `reg`, or fewer "
            "components, would keep it from that",
            AccuracyWarning,
        )
    elif figures["status"] == "MAX_ITER":
        if options.loss == "l1":
            warn(
                f"max_iter={max_iter} steps were not enough: the last was longer than `tol` of the first",
                AccuracyWarning,
            )
        elif options.loss == "huber":
            warn(f"max_iter={max_iter} sweeps were not enough for what counts as gross", AccuracyWarning)
        elif max_iter == 1:
            warn("max_iter=1 sweep does not tell whether more are needed", AccuracyWarning)
        elif len(history) >= max_iter and history[-1] < (1.0 - FALLING) * history[-2]:
            fall = 1.0 - history[-1] / history[-2]
            warn(
                f"the last of max_iter={max_iter} sweeps made the objective smaller by {fall:.1%}",
                AccuracyWarning,
            )


def warn_of_free(figures: dict[str, Any]) -> None:
    """Warn of rows of an exact model that are taken to all columns, where not all entries are determined."""
    if figures.get("residual") is not None and (figures["parts"] > 1 or figures["free"]):
        warn(
            "those observed do not determine all entries: predict and reconstruct give NaN where "
            "they are not, a row of the model alone does not tell where that is",
            GuaranteeWarning,
        )


def warn_of(
    figures: dict[str, Any], undetermined: tuple[npt.NDArray[Any], npt.NDArray[Any]], max_iter: int
) -> None:
    """Warn of an exact fit that did not come to its end, and of what nothing bounds."""
    residual = f"relative residual {figures['residual'][0]:.1e}"
    if not figures["parts"]:
        warn("the entries do not determine any row or column", AccuracyWarning)
    elif figures["status"] == "STALLED":
        warn(
            f"the residual does not fall any more ({residual}): the data are not of that rank, are noisy, "
            "or are too few",
            AccuracyWarning,
        )
    elif figures["status"] == "DIVERGED":
        warn(
            f"the fit has diverged ({residual}, predictions {figures['norm']:.0f} times as large as what "
            "was observed): the entries do not determine the matrix",
            AccuracyWarning,
        )
    elif figures["status"] == "MAX_ITER":
        warn(f"max_iter={max_iter} sweeps were not enough ({residual})", AccuracyWarning)
    for name, ids in zip(("rows", "columns"), undetermined, strict=True):
        if len(ids) and figures["parts"]:
            first = ", ".join(str(id_) for id_ in ids[:NAMED])
            more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
            warn(f"the entries do not determine the {name} {first}{more}", GuaranteeWarning)
    if figures["parts"] > 1:
        warn(
            f"rows and columns fall into {figures['parts']} components that have no entries in common: "
            "nothing is known of entries between them",
            GuaranteeWarning,
        )
    if figures["free"]:
        warn(
            "some entries are not determined although their rows and columns are, as these hang together by "
            "too few others: predictions of them are NaN",
            GuaranteeWarning,
        )
    if is_coherent(figures):
        warn(
            f"few rows or columns carry the matrix (largest leverage {max(figures['leverage']):.2f}, "
            f"{max(figures['incoherence']):.0f} times the mean): a small residual does not tell that entries "
            "are right",
            GuaranteeWarning,
        )
