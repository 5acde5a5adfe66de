"""Warnings at the line that the user wrote."""

import sys
import warnings

__all__ = ["warn"]

WRAPPERS = frozenset({"nearlin", "sklearn", "joblib", "contextlib"})
"""Packages whose frames lie between a user's line and a warning: a pipeline or a search, for example."""


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the innermost line outside this package and the ones that call it on a user's behalf."""
    level, frame = 2, sys._getframe(1)
    while frame.f_globals.get("__name__", "").partition(".")[0] in WRAPPERS and frame.f_back is not None:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
