"""The certificate that stands beside every answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from ._listing import listing

__all__ = ["Certificate"]


@dataclass(frozen=True, eq=False, repr=False)
class Certificate:
    """What was measured about the accuracy of an answer.

    A certificate reports figures measured on the answer at hand, never the
    constant of a theorem alone. ``float(certificate)`` is its headline, the
    upper bound; ``str(certificate)`` is one line.

    Parameters
    ----------
    quantity : str
        What is bounded, with its unit: ``"backward error / |A|_F"``. Where directions
        of A were cut off it is said to be "of the truncated problem", and
        ``details["cut"]`` is the size of what was cut, relative to ``|A|_F``: the
        bound and the cut together bound the error for A itself.
    estimate : float
        Best estimate of the quantity.
    bound : float
        Upper bound of the quantity, what rounding may have hidden from the
        measurement included, so that it is never below rounding level. NaN
        when no figure would be honest; `note` then says why.
    confidence : float or None
        Probability with which `bound` holds: 1.0 when nothing random enters,
        None when the probability was not measured (`note` says what the bound
        rests on).
    measured : str
        How the estimate and the bound were obtained.
    target : float or None, default=None
        The figure that was asked for, in the same unit.
    note : str or None, default=None
        What a reader must know before trusting the figures.
    details : mapping, default={}
        Further figures by name, as plain numbers, strings and lists, such as
        one estimate for each right-hand side.
    floor : float, default=0.0
        What the bound of an answer can come down to in its precision, which is more
        than its roundoff: it stands for a target below it, down to an eighth
        of it.

    Examples
    --------
    >>> from nearlin import Certificate
    >>> c = Certificate(
    ...     quantity="backward error / |A|_F",
    ...     estimate=2e-9,
    ...     bound=4e-9,
    ...     confidence=1.0,
    ...     measured="Karlson-Walden estimate",
    ...     target=1e-8,
    ... )
    >>> print(c)
    backward error / |A|_F: 2.0e-09, at most 4.0e-09 (target 1.0e-08 met)
    >>> float(c), c.met
    (4e-09, True)
    """

    quantity: str
    estimate: float
    bound: float
    confidence: float | None
    measured: str
    target: float | None = None
    note: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    floor: float = 0.0

    @property
    def met(self) -> bool | None:
        """Whether the target was met.

        True if the bound is within it, False if the estimate is above it, None if it lies between the two and
        may have been met, or if there is none. A target at the unit roundoff counts as `floor`.
        """
        if self.target is None:
            return None
        target = max(self.target, self.floor) if 8.0 * self.target >= self.floor else self.target
        if self.bound <= target:
            return True
        return None if self.estimate <= target else False

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dictionary that JSON can hold.

        Returns
        -------
        dict
            Field names and values; ``Certificate(**d)`` gives a certificate that is
            equal.
        """
        return asdict(self)

    def __eq__(self, other: object) -> bool:
        return self.to_dict() == other.to_dict() if isinstance(other, Certificate) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.quantity, self.estimate, self.bound))

    def __float__(self) -> float:
        return self.bound

    def __repr__(self) -> str:
        figures = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "details"}
        figures |= {name: np.array(v) if isinstance(v, list) else v for name, v in self.details.items()}
        return listing(figures)

    def __str__(self) -> str:
        if self.bound == self.bound:
            line = f"{self.quantity}: {self.estimate:.1e}, at most {self.bound:.1e}"
        else:
            line = f"{self.quantity}: not certified"
        remarks = [*self._remarks, *([] if self.note is None else [self.note])]
        return f"{line} ({'; '.join(remarks)})" if remarks else line

    @property
    def _remarks(self) -> list[str]:
        """What stands in brackets before the note."""
        remarks = []
        if self.confidence is not None and self.confidence < 1.0:
            remarks.append(f"with confidence {self.confidence:.3g}")
        if self.target is not None:
            verdict = {True: "met", False: "MISSED", None: "perhaps met"}[self.met]
            at_rounding = self.met is True and self.bound > self.target
            remarks.append(f"target {self.target:.1e} {verdict}" + at_rounding * " to rounding")
        return remarks
