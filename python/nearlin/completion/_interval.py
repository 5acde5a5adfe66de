"""How far the root mean square of errors on held-out entries may be from that on entries to come."""

import math
from typing import Any, NamedTuple

from scipy.special import chdtri

__all__ = ["CONFIDENCE", "MEASURED", "Interval", "interval_of"]

FEWEST = 10
"""Held-out entries, of one weight, of which an interval is made."""
NORMAL = 1.4826
"""Standard deviation of a normal distribution over its median magnitude."""
LIGHT, POWER, MOST = 1.05, 8, 25.0
"""Where the mean square of errors is beyond that many times the one of normal errors with their median, tails
are heavy, and a sample has rarely what it takes to tell how much its mean may be off. The variance that it is
taken to have at least, by a power of that ratio, was tried out on errors of Student's and other kinds."""
CLUSTERS = 5
"""Rows, or columns, with such entries, by whose differences the errors of those are judged."""
CONFIDENCE = 0.975
"""Of either end."""
MEASURED = (
    "the interval by a chi-square distribution of the same variance, the largest of those of entries, rows "
    "and columns that are independent of each other, and of normal errors"
)


class Interval(NamedTuple):
    """Ends, the standard error, and why there are none, if they are NaN."""

    low: float
    high: float
    deviation: float
    why: str | None = None


def interval_of(held_out: Any, candidates: int = 1) -> Interval:
    """Return an interval that holds the root mean square in 95 of 100 cases, by Satterthwaite's method.

    Normal errors of one size that are independent give the classical interval of a variance. Of errors with
    heavier tails, or with something in common in rows or columns, more are as good as one that is normal. No
    interval holds where errors have no variance, or where those that make it up are too rare to be seen.
    Of several `candidates`, one of which these errors have chosen, the upper end is one for all at once.
    """
    _, rmse, median, effective, spreads = held_out
    if effective < FEWEST:
        few = f"{effective:.3g} held-out entries are too few for an interval, which {FEWEST} would do for"
        return Interval(math.nan, math.nan, math.nan, few)
    if not 0.0 < rmse < math.inf:
        same = f"errors on held-out entries of {rmse:.1g} tell nothing of how these vary"
        return Interval(math.nan, math.nan, math.nan, same)
    variances = [variance for clusters, variance in spreads if clusters >= CLUSTERS]
    variance = max(variances)
    tails = (rmse / max(NORMAL * median, rmse / 1e3)) ** 2 / LIGHT
    freedom = 2.0 / max(variance, 2.0 / effective * min(MOST, max(1.0, tails) ** POWER))
    failure = 1.0 - CONFIDENCE
    low, high = (
        rmse * math.sqrt(freedom / chdtri(freedom, p)) for p in (failure, 1.0 - failure / candidates)
    )
    return Interval(float(low), float(high), rmse / math.sqrt(2.0 * freedom))
