"""The logger `nearlin`: at the level DEBUG, and at no other, what was chosen and why."""

import logging
import re
from collections.abc import Callable

__all__ = ["tell"]

LOGGER = logging.getLogger("nearlin")
LOGGER.addHandler(logging.NullHandler())


def tell(call: str, say: Callable[..., str], *about: object) -> None:
    """Log a line about a call, if there is anything to say; words are made only for somebody who listens."""
    if LOGGER.isEnabledFor(logging.DEBUG):
        # What is indented goes on with the line before it.
        words = re.sub(r"\n\s+", " ", say(*about).strip()).replace("\n", "; ")
        if words:
            LOGGER.debug("%s: %s", call, words)
