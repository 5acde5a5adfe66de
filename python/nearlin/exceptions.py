"""Exceptions and warnings of nearlin.

Every exception derives from :class:`NearlinError` and from the built-in exception that a NumPy or
SciPy user would expect in its place, so that ``except ValueError`` keeps working.
"""

__all__ = [
    "AccuracyWarning",
    "AllocationError",
    "FallbackWarning",
    "GuaranteeWarning",
    "InternalError",
    "InvalidInputError",
    "InvalidTypeError",
    "LeverageWarning",
    "NearlinError",
    "NonFiniteError",
    "OrderWarning",
    "ShapeError",
    "StateError",
    "VerificationError",
]


class NearlinError(Exception):
    """Base class of all exceptions that nearlin raises by itself.

    Attributes
    ----------
    argument : str or None
        Name of the argument that is at fault, if one is; the message begins with it.
    """

    def __init__(self, complaint: str = "", *, argument: str | None = None) -> None:
        super().__init__(complaint)
        self.argument = argument

    def __str__(self) -> str:
        complaint = super().__str__()
        return complaint if self.argument is None else f"`{self.argument}` {complaint}"


class InvalidInputError(NearlinError, ValueError):
    """An argument is outside its domain."""


class ShapeError(InvalidInputError):
    """An array has the wrong number of dimensions or the wrong size."""


class NonFiniteError(InvalidInputError):
    """An array holds NaN or infinity."""


class InvalidTypeError(InvalidInputError, TypeError):
    """An argument, or the entries of an array, are not of a kind that nearlin takes."""


class AllocationError(NearlinError, MemoryError):
    """Memory for a result or for work space could not be had."""


class StateError(NearlinError, ValueError):
    """Bytes or objects from which no state can be restored."""


class VerificationError(NearlinError, RuntimeError):
    """An answer did not pass an independent check."""


class InternalError(NearlinError, RuntimeError):
    """A defect of nearlin; please report it."""


class FallbackWarning(UserWarning):
    """A slower method than the one asked for was needed to reach the accuracy asked for."""


class AccuracyWarning(UserWarning):
    """The accuracy asked for was not reached; the certificate says what was."""


class GuaranteeWarning(UserWarning):
    """Nothing bounds the error of an answer."""


class LeverageWarning(UserWarning):
    """Rows have so much leverage that their residuals tell nothing of their noise."""


class OrderWarning(UserWarning):
    """Rows that were said to come in random order do not look shuffled."""
