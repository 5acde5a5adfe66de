"""Rows as they come: arrays, sparse matrices and iterators of blocks, into a state of the core."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from nearlin import _core
from nearlin._config import resolve_threads
from nearlin._validation import (
    Matrix,
    as_sample_weight,
    as_seed,
    check_bool,
    check_choice,
    check_int,
    check_real,
    optional,
)
from nearlin.exceptions import InvalidInputError

__all__ = [
    "ALGORITHMS",
    "check_parameters",
    "explained",
    "in_block",
    "is_iterator",
    "new_state",
    "roots_of",
    "threads_for",
]

ALGORITHMS = (
    "auto",
    "block_power",
    "incremental",
    "oja",
    "frequent_directions",
    "sketch",
    "gram",
    "oja_fixed",
    "oja_decay",
    "adaoja",
)
WEIGHTS = (1e-100, 1e100)
"""Smallest and largest weight of a row: squares of weights are summed."""
RATED = ("oja_fixed", "oja_decay")


def is_iterator(rows: object) -> bool:
    """Tell whether rows come in blocks, one after the other."""
    return isinstance(rows, Iterator)


@contextmanager
def in_block(number: int | None, name: str) -> Generator[None]:
    """Name the block of an iterator in errors."""
    try:
        yield
    except InvalidInputError as error:
        error.argument = name if error.argument in ("X", "A") else error.argument
        if number is not None:
            complaint = error.args[0] if error.args else ""
            error.args = (f"block {number}: {complaint}", *error.args[1:])
        raise


def check_parameters(parameters: dict[str, Any]) -> None:
    """Raise what is wrong with the parameters of a stream."""
    k = check_int(parameters["n_components"], "n_components", at_least=1)
    check_choice(parameters["order"], "order", ("random", "arbitrary"))
    algorithm = check_choice(parameters["algorithm"], "algorithm", ALGORITHMS)
    check_int(parameters["block_width"], "block_width", at_least=1)
    check_int(parameters["n_heavy"], "n_heavy", at_least=0)
    sketch = check_int(parameters["sketch_size"], "sketch_size", at_least=1)
    optional(check_int, parameters["memory"], "memory", at_least=1)
    check_int(parameters["shuffle_buffer"], "shuffle_buffer", at_least=0)
    rate = optional(check_real, parameters["learning_rate"], "learning_rate", above=0.0)
    optional(check_real, parameters["t0"], "t0", at_least=0.0)
    check_bool(parameters["center"], "center")
    check_bool(parameters.get("whiten", False), "whiten")
    check_real(parameters["delta"], "delta", above=0.0, below=1.0)
    if algorithm in RATED and rate is None:
        raise InvalidInputError(
            f"is None, expected a number for algorithm={algorithm!r}: "
            "about log(n) over the difference of two eigenvalues",
            argument="learning_rate",
        )
    if k > 1 and algorithm == "oja":
        raise InvalidInputError(
            f"is {k}, expected 1 for algorithm='oja', which follows one direction", argument="n_components"
        )
    if algorithm in ("frequent_directions", "sketch") and sketch <= k:
        raise InvalidInputError(f"is {sketch}, expected more than n_components = {k}", argument="sketch_size")


def new_state(parameters: dict[str, Any], d: int, dtype: npt.DTypeLike = np.float64) -> Any:
    """Return the state of a stream of no rows of `d` numbers in a precision."""
    if parameters["n_components"] > d:
        raise InvalidInputError(
            f"is {parameters['n_components']}, expected at most n_features = {d}", argument="n_components"
        )
    state = _core.StreamingPCAState(
        d,
        k=parameters["n_components"],
        order=parameters["order"],
        algorithm=parameters["algorithm"],
        width=parameters["block_width"],
        heavy=parameters["n_heavy"],
        sketch=parameters["sketch_size"],
        memory=parameters["memory"],
        shuffle=parameters["shuffle_buffer"],
        rate=parameters["learning_rate"],
        t0=parameters["t0"],
        center=parameters["center"],
        single=np.dtype(dtype) == np.float32,
        delta=parameters["delta"],
        seed=as_seed(parameters["random_state"], "random_state", default=np.random.bytes),
    )
    if state.plan["algorithm"] == "oja" and parameters["n_components"] > 1:
        raise InvalidInputError(
            f"is {parameters['n_components']}, expected 1 for rows in arbitrary order of more features than "
            "algorithm='gram' takes by itself: name an algorithm, as 'frequent_directions'",
            argument="n_components",
        )
    return state


def threads_for(matrix: Matrix, n_jobs: int | None) -> int:
    """Return how many threads take rows in: one, unless more are asked for."""
    # What threads make of chunks is added in their order: that takes a third more of all processors.
    return 1 if n_jobs is None else resolve_threads(n_jobs, 64.0 * matrix.shape[0] * matrix.shape[1])


def roots_of(
    sample_weight: object, matrix: Matrix, *, accept_zero: bool = True
) -> npt.NDArray[np.float64] | None:
    """Return the roots of the weights of rows, which they are multiplied by."""
    if sample_weight is None:
        return None
    weights = as_sample_weight(sample_weight, matrix.shape[0], accept_zero=accept_zero)
    if weights is None:
        return None
    odd = (weights > 0.0) & ((weights < WEIGHTS[0]) | (weights > WEIGHTS[1]))
    if odd.any():
        raise InvalidInputError(
            f"has {weights[odd][0]:.3g} at [{int(odd.argmax())}], expected zero or numbers from "
            f"{WEIGHTS[0]:g} to {WEIGHTS[1]:g}",
            argument="sample_weight",
        )
    roots: npt.NDArray[np.float64] = np.sqrt(np.asarray(weights, dtype=np.float64))
    return roots


REASONS = {
    "gram": "A'A itself is small, and no slower to make than a summary",
    "block_power+incremental": "rows in random order: block power and a truncated SVD side by side, of which "
    "the one is taken that has more energy in rows that it was not made of, stacked on the heavy rows",
    "oja": "rows in any order: Oja's rule at all rates that may be right, stacked on the heavy rows",
}


def explained(plan: dict[str, Any], algorithm: str, n_rows: int, light: str) -> str:
    """Return what is done with rows, and why."""
    lines = [f"{n_rows} rows of {plan['d']} numbers, summed up in {plan['bytes'] / 1e6:.3g} MB"]
    taken = plan["algorithm"]
    why = REASONS[taken] if algorithm == "auto" else "as asked for"
    lines.append(f"algorithm: {taken} ({why})")
    if light == "rows":
        lines.append("so few rows came that they are still kept as they are: the answer is exact")
    elif light != taken:
        lines.append(f"light rows: by {light}")
    if taken not in ("gram", "sketch", "frequent_directions", *RATED, "adaoja"):
        kept = f"heavy rows kept apart: at most {plan['heavy']}"
        lines.append(f"directions of a summary: {plan['width']}; {kept}")
    return "\n".join(lines)
