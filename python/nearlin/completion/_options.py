"""The options of a fit, checked once."""

from dataclasses import dataclass
from typing import Any

from nearlin._validation import check_bool, check_choice, check_int, check_real, optional
from nearlin.exceptions import InvalidInputError

__all__ = ["Options"]

ENOUGH = 2000
"""Entries of which a few may be held out unasked."""
MOST = {"statistical": 1024, "exact": 128}
"""Components that are tried to find out how many there are."""
STEPS = 5
"""Steps of both sides at once that go as far as a sweep, about."""
MODES: dict[str, dict[str, Any]] = {
    "statistical": {
        "reg_exponent": 0.5,
        "bias": True,
        "center": True,
        "continuation": "none",
        "inner_steps": 3,
        "inner_tol": 0.1,
        "max_iter": 20,
        "tol": 1e-4,
    },
    "exact": {
        "reg_exponent": 0.0,
        "bias": False,
        "center": False,
        "continuation": "ridge",
        "inner_steps": 30,
        "inner_tol": 1e-4,
        "max_iter": 200,
        "tol": 1e-10,
    },
}
"""What None stands for."""
MAGNITUDES: dict[str, Any] = {"reg": 0.0, "max_iter": 2000, "tol": 1e-6}
"""The same for the sum of absolute errors."""


@dataclass(kw_only=True, eq=False)
class Options:
    """How a matrix is completed, as users ask for it."""

    rank: int
    mode: str
    reg: float | None
    reg_exponent: float
    bias: bool
    bias_auto: bool
    center: bool
    loss: str
    nonnegative: bool
    solver: str
    preconditioner: str
    init: str
    continuation: str
    inner_steps: int
    inner_tol: float
    polish: bool
    max_iter: int
    tol: float
    validation_fraction: float | None
    duplicates: str
    seed: int
    rank_auto: bool

    @classmethod
    def of(cls, *, mode: str, rank: int | str, **asked: Any) -> "Options":
        """Return the options with what the mode implies for None."""
        check_choice(mode, "mode", tuple(MODES))
        options = {name: MODES[mode].get(name) if value is None else value for name, value in asked.items()}
        if options.get("solver") == "scaledgd" and asked.get("max_iter") is None:
            options["max_iter"] = STEPS * MODES[mode]["max_iter"]
        if options.get("loss") == "l1":
            options |= {name: value for name, value in MAGNITUDES.items() if asked.get(name) is None}
        auto = isinstance(rank, str) and rank == "auto"
        options["bias_auto"] = isinstance(options["bias"], str) and options["bias"] == "auto"
        options["bias"] = options["bias_auto"] or options["bias"]
        return cls(mode=mode, rank=MOST[mode] if auto else rank, rank_auto=auto, **options)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        self.rank = check_int(self.rank, "rank", at_least=1, at_most=2**20)
        self.reg = optional(check_real, self.reg, "reg", at_least=0.0)
        self.reg_exponent = check_real(self.reg_exponent, "reg_exponent", at_least=0.0, at_most=2.0)
        check_bool(self.bias, "bias")
        check_bool(self.center, "center")
        check_choice(self.loss, "loss", ("squared", "huber", "l1"))
        check_bool(self.nonnegative, "nonnegative")
        check_choice(self.solver, "solver", ("auto", "cholesky", "cg", "scaledgd"))
        check_choice(self.preconditioner, "preconditioner", ("auto", "none", "gram", "sketch"))
        check_choice(self.init, "init", ("spectral", "random"))
        check_choice(self.continuation, "continuation", ("none", "ridge", "rank"))
        self.inner_steps = check_int(self.inner_steps, "inner_steps", at_least=1)
        self.inner_tol = check_real(self.inner_tol, "inner_tol", at_least=0.0, below=1.0)
        check_bool(self.polish, "polish")
        self.max_iter = check_int(self.max_iter, "max_iter", at_least=1)
        self.tol = check_real(self.tol, "tol", at_least=0.0)
        check_choice(self.duplicates, "duplicates", ("keep", "mean", "last", "error"))
        self.validation_fraction = optional(
            check_real, self.validation_fraction, "validation_fraction", at_least=0.0, at_most=0.5
        )
        self._check_together()

    def _check_together(self) -> None:
        """Refuse what makes sense alone only."""
        exact = self.mode == "exact"
        if exact and self.bias:
            raise InvalidInputError(
                'is True in mode="exact", expected None or False: biases are two more components',
                argument="bias",
            )
        for name, plain in (("loss", "squared"), ("nonnegative", False)):
            if exact and getattr(self, name) != plain:
                raise InvalidInputError(
                    f'is {getattr(self, name)!r} in mode="exact", expected {plain!r}', argument=name
                )
        if not exact and self.continuation != "none":
            raise InvalidInputError(
                f"is {self.continuation!r} in mode={self.mode!r}, expected None", argument="continuation"
            )
        if self.loss == "l1":
            asked = {"reg": self.reg, "nonnegative": self.nonnegative, "solver": self.solver}
            asked["bias"] = "auto" if self.bias_auto else True
            defaults = {"reg": 0.0, "nonnegative": False, "solver": "auto", "bias": True}
            wrong = [name for name, value in asked.items() if value != defaults[name]]
            if wrong or self.rank_auto:
                name = wrong[0] if wrong else "rank"
                raise InvalidInputError(
                    f'is {asked.get(name, "auto")!r} with loss="l1", expected the default, or a number of '
                    "components, for it has no penalty and one solver",
                    argument=name,
                )
        chosen = "reg" if self.reg is None else "rank" if self.rank_auto else None
        chosen = "bias" if chosen is None and self.bias_auto else chosen
        if self.validation_fraction == 0.0 and chosen is not None and not exact:
            raise InvalidInputError(
                f"is 0 while `{chosen}` is to be chosen, expected entries by which to choose it, or a number "
                f"for `{chosen}`",
                argument="validation_fraction",
            )

    def for_entries(self, count: int, shape: tuple[int, int]) -> "Options":
        """Return the options with the part that is held out, and the largest rank, for so many entries."""
        if self.rank_auto:
            # With more there are fewer entries than unknowns, which a penalty makes up for.
            enough = count // sum(shape) if self.mode == "exact" else count
            self.rank = max(1, min(MOST[self.mode], *shape, enough))
        if self.validation_fraction is None:
            if self.mode == "exact":
                self.validation_fraction = 0.01 if count >= ENOUGH else 0.0
            else:
                few = 0.0 if self.reg is not None and not (self.rank_auto or self.bias_auto) else 0.2
                self.validation_fraction = 0.05 if count >= ENOUGH else few
        return self
