"""How results print themselves, and what they are not."""

from typing import Any, NoReturn

import numpy as np

from .exceptions import InvalidTypeError

__all__ = ["NotATuple", "listing"]


class NotATuple:
    """A result with named fields, which whoever is used to NumPy and SciPy may take for a tuple."""

    __slots__ = ()

    def __iter__(self) -> NoReturn:
        fields = ", ".join(f"result.{name}" for name in ("x", "residual_norm", "rank"))
        raise InvalidTypeError(
            f"a {type(self).__name__} is no tuple, unlike the result of numpy.linalg.lstsq: "
            f"take {fields} by name"
        )

    def __getitem__(self, key: object) -> NoReturn:
        self.__iter__()


def listing(values: dict[str, Any]) -> str:
    """Return names and values as two columns, long arrays shortened."""
    with np.printoptions(precision=4, threshold=8, edgeitems=3):
        texts = {name: str(value) for name, value in values.items()}
    width = max(map(len, texts))
    indent = "\n" + " " * (width + 2)
    return "\n".join(f"{name:>{width}}: {text.replace(chr(10), indent)}" for name, text in texts.items())
