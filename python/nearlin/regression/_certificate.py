"""The certificate of a least-squares answer."""

import numpy as np
import numpy.typing as npt

from nearlin._certificate import Certificate

__all__ = ["LstsqCertificate"]


class LstsqCertificate(Certificate):
    """What was measured about the accuracy of a least-squares answer.

    A :class:`nearlin.Certificate` that also has bounds for coefficients, where they were asked for.
    """

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
    def _remarks(self) -> list[str]:
        relative = self.details.get("relative_bound", np.nan)
        known = [f"coefficients within {relative:.1e} of the largest"] if relative == relative else []
        return [*super()._remarks, *known]
