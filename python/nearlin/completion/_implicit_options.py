"""The options of a fit to implicit feedback, checked once."""

from dataclasses import dataclass

from nearlin._validation import check_bool, check_choice, check_int, check_real, optional
from nearlin.exceptions import InvalidInputError

__all__ = ["Options"]

UNOBSERVED = {"linear": 1.0, "ials": 0.1}
"""Weights of what is not stored, unless they are given."""
EXPONENTS = {"linear": 0.0, "ials": 1.0}
"""Powers of the weights of a line that its penalty grows with."""


@dataclass(kw_only=True, eq=False)
class Options:
    """What is minimised and how, as users ask for it."""

    rank: int
    confidence: str
    alpha: float
    unobserved_weight: float | None
    reg: float
    reg_exponent: float | None
    solver: str
    cg_steps: int
    block: int
    risk: str | None
    risk_alpha: float
    risk_bandwidth: float
    max_iter: int
    tol: float
    polish: bool
    seed: int

    def __post_init__(self) -> None:
        self.rank = check_int(self.rank, "rank", at_least=1, at_most=2**20)
        check_choice(self.confidence, "confidence", tuple(UNOBSERVED))
        self.alpha = check_real(self.alpha, "alpha", above=0.0)
        weight = optional(check_real, self.unobserved_weight, "unobserved_weight", at_least=0.0)
        self.unobserved_weight = UNOBSERVED[self.confidence] if weight is None else weight
        self.reg = check_real(self.reg, "reg", at_least=0.0)
        exponent = optional(check_real, self.reg_exponent, "reg_exponent", at_least=0.0, at_most=2.0)
        self.reg_exponent = EXPONENTS[self.confidence] if exponent is None else exponent
        check_choice(self.solver, "solver", ("cg", "cholesky", "subspace"))
        self.cg_steps = check_int(self.cg_steps, "cg_steps", at_least=1, at_most=2**20)
        self.block = check_int(self.block, "block", at_least=1, at_most=2**20)
        if self.risk is not None:
            check_choice(self.risk, "risk", ("cvar",))
            if self.confidence != "ials":
                raise InvalidInputError(
                    'is "cvar", expected None with confidence="linear": losses of rows are those of "ials"',
                    argument="risk",
                )
        self.risk_alpha = check_real(self.risk_alpha, "risk_alpha", above=0.0, at_most=1.0)
        self.risk_bandwidth = check_real(self.risk_bandwidth, "risk_bandwidth", above=0.0)
        self.max_iter = check_int(self.max_iter, "max_iter", at_least=1)
        self.tol = check_real(self.tol, "tol", at_least=0.0)
        check_bool(self.polish, "polish")
