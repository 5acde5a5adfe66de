"""The certificate that stands beside every answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from ._listing import listing

__all__ = ["Certificate"]


@dataclass(frozen=True, repr=False)
class Certificate:
    """What was measured about the accuracy of an answer.

    A certificate reports figures measured on the answer at hand, never the
    constant of a theorem alone. ``float(certificate)`` is its headline, the
    upper bound; ``str(certificate)`` is one line.

    Parameters
    ----------
    quantity : str
        What is bounded, with its unit: "backward error / |A|_F".
    estimate : float
        Best estimate of the quantity.
    bound : float
        Upper bound of the quantity. NaN when no figure would be honest;
        `note` then says why.
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

    Examples
    --------
    >>> from nearlin import Certificate
    >>> c = Certificate(
    ...     quantity="backward error / |A|_F",
    ...     estimate=2e-17,
    ...     bound=4e-17,
    ...     confidence=1.0,
    ...     measured="Karlson-Walden estimate",
    ...     target=1e-16,
    ... )
    >>> print(c)
    backward error / |A|_F: 2.0e-17, at most 4.0e-17 (target 1.0e-16 met)
    >>> float(c), c.met
    (4e-17, True)
    """

    quantity: str
    estimate: float
    bound: float
    confidence: float | None
    measured: str
    target: float | None = None
    note: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def coordinate_bound(self) -> npt.NDArray[np.float64] | None:
        """Bound on the distance of each coefficient from the true one; None if it was not asked for.

        Its shape is that of the answer, and its entries are NaN where no figure would be honest. It holds
        with probability ``details["confidence_of_bounds"]``.

        Examples
        --------
        >>> import numpy as np
        >>> import nearlin
        >>> A = np.vander(np.linspace(0.0, 1.0, 1000), 8)
        >>> result = nearlin.lstsq(A, A.sum(axis=1), rng=0, certify=True)
        >>> bool(np.all(np.abs(result.x - 1.0) <= result.certificate.coordinate_bound + 1e-10))
        True
        """
        return self._array("coordinate_bound")

    @property
    def error_estimate(self) -> npt.NDArray[np.float64] | None:
        """Estimate of each coefficient minus the true one, None if it was not asked for."""
        return self._array("error_estimate")

    def _array(self, name: str) -> npt.NDArray[np.float64] | None:
        return np.array(self.details[name]) if name in self.details else None

    @property
    def met(self) -> bool | None:
        """Whether the estimate is within the target; None without a target."""
        return None if self.target is None else self.estimate <= self.target

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dictionary that JSON can hold.

        Returns
        -------
        dict
            Field names and values; ``Certificate(**d)`` gives the certificate
            back.
        """
        return asdict(self)

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
        remarks = []
        if self.confidence is not None and self.confidence < 1.0:
            remarks.append(f"with confidence {self.confidence:.3g}")
        if self.target is not None:
            remarks.append(f"target {self.target:.1e} {'met' if self.met else 'MISSED'}")
        if (relative := self.details.get("relative_bound", np.nan)) == relative:
            remarks.append(f"coefficients within {relative:.1e} of the largest")
        if self.note is not None:
            remarks.append(self.note)
        return f"{line} ({'; '.join(remarks)})" if remarks else line
