"""How results print themselves."""

from typing import Any

import numpy as np

__all__ = ["listing"]


def listing(values: dict[str, Any]) -> str:
    """Return names and values as two columns, long arrays shortened."""
    with np.printoptions(precision=4, threshold=8, edgeitems=3):
        texts = {name: str(value) for name, value in values.items()}
    width = max(map(len, texts))
    indent = "\n" + " " * (width + 2)
    return "\n".join(f"{name:>{width}}: {text.replace(chr(10), indent)}" for name, text in texts.items())
