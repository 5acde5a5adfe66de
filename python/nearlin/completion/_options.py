"""The options of a fit, checked once."""

from dataclasses import dataclass

from nearlin._validation import check_bool, check_choice, check_int, check_real, optional
from nearlin.exceptions import InvalidInputError

__all__ = ["Options"]

ENOUGH = 2000
"""Entries of which a few may be held out unasked."""


@dataclass(kw_only=True, eq=False)
class Options:
    """How a matrix is completed, as users ask for it."""

    rank: int
    reg: float | None
    reg_exponent: float
    bias: bool
    center: bool
    loss: str
    nonnegative: bool
    solver: str
    preconditioner: str
    init: str
    inner_steps: int
    inner_tol: float
    polish: bool
    max_iter: int
    tol: float
    validation_fraction: float | None
    duplicates: str
    seed: int

    def __post_init__(self) -> None:
        self.rank = check_int(self.rank, "rank", at_least=1, at_most=2**20)
        self.reg = optional(check_real, self.reg, "reg", at_least=0.0)
        self.reg_exponent = check_real(self.reg_exponent, "reg_exponent", at_least=0.0, at_most=2.0)
        check_bool(self.bias, "bias")
        check_bool(self.center, "center")
        check_choice(self.loss, "loss", ("squared", "huber"))
        check_bool(self.nonnegative, "nonnegative")
        check_choice(self.solver, "solver", ("auto", "cholesky", "cg"))
        check_choice(self.preconditioner, "preconditioner", ("auto", "none", "gram"))
        check_choice(self.init, "init", ("spectral", "random"))
        self.inner_steps = check_int(self.inner_steps, "inner_steps", at_least=1)
        self.inner_tol = check_real(self.inner_tol, "inner_tol", at_least=0.0, below=1.0)
        check_bool(self.polish, "polish")
        self.max_iter = check_int(self.max_iter, "max_iter", at_least=1)
        self.tol = check_real(self.tol, "tol", at_least=0.0)
        check_choice(self.duplicates, "duplicates", ("keep", "mean", "last", "error"))
        self.validation_fraction = optional(
            check_real, self.validation_fraction, "validation_fraction", at_least=0.0, at_most=0.5
        )
        if self.validation_fraction == 0.0 and self.reg is None:
            raise InvalidInputError(
                "is 0 with reg=None, expected entries by which to choose it, or a number for `reg`",
                argument="validation_fraction",
            )

    def for_entries(self, count: int) -> "Options":
        """Return the options with the part that is held out of so many entries."""
        if self.validation_fraction is None:
            few = 0.0 if self.reg is not None else 0.2
            self.validation_fraction = 0.05 if count >= ENOUGH else few
        return self
