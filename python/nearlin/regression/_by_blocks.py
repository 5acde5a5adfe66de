"""Least squares of rows in blocks: questions to every block, and sums of what they give, a pass at a time."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from nearlin import _core
from nearlin._config import Progress, resolve_progress
from nearlin._frames import naming_columns
from nearlin._validation import as_rhs, as_sample_weight, check_targets, naming_block
from nearlin.exceptions import InvalidInputError, ShapeError

from ._solve import Options, Solution, as_penalties, warn_of

__all__ = ["asker", "check_blocks", "solve_blocks"]

UNUSED = ("sketch", "sketch_size", "dtype_work", "preconditioner")
"""Options of methods that rows in blocks are not solved by."""


def check_blocks(rows: Any, options: Options) -> None:
    """Raise unless the rows have targets and can be read several times, and nothing is asked for in vain."""
    check_targets(rows, "A")
    if rows.n_rows == 0:
        raise ShapeError("are no rows, expected at least one", argument="A")
    if rows.once:
        raise InvalidInputError(
            "are rows of a source that can be read only once, expected one that can be read again, as "
            "arrays, files and frames can: answers are refined pass by pass; StreamingLeastSquares makes one",
            argument="A",
        )
    if options.method not in ("auto", "qr"):
        raise InvalidInputError(
            f"is {options.method!r}, expected 'auto' or 'qr' for rows in blocks", argument="method"
        )
    for name in UNUSED:
        if getattr(options, name) is not None:
            raise InvalidInputError(
                f"is {getattr(options, name)!r}, expected None for rows in blocks", argument=name
            )
    if options.certify:
        raise InvalidInputError("is True, expected False for rows in blocks", argument="certify")


def solve_blocks(
    rows: Any,
    options: Options,
    *,
    ridge: npt.ArrayLike = 0.0,
    fit_intercept: bool = False,
    n_jobs: int | None = None,
    progress: bool | Progress = False,
) -> Solution:
    """Solve for rows that were checked, and warn of an answer that misses its target."""
    solution = _core.lstsq_by_parts(
        asker(rows, n_jobs),
        options,
        ridge=as_penalties(ridge, *(rows.target_shape or (1,))),
        fit_intercept=fit_intercept,
        single=rows.dtype.itemsize == 4,
        progress=resolve_progress(progress),
    )
    if not solution["settled"]:
        warn_of(solution, options.method)
    return solution


def asker(rows: Any, n_jobs: int | None) -> Callable[[bytes], bytes]:
    """Return a function that makes a pass: from a question to the sums of all blocks."""
    first: list[int] = []

    def ask(question: bytes) -> bytes:
        leaf = partial(_answer, question, rows.feature_names)
        sums, seen = rows.map_reduce(leaf, _merged, n_jobs=n_jobs)
        if first and seen != first[0]:
            raise InvalidInputError(
                "gave other targets or weights than in the pass before, expected the same rows in every pass",
                argument="A",
            )
        first.append(seen)
        return bytes(sums)

    return ask


def _answer(question: bytes, names: Sequence[str] | None, block: Any) -> tuple[bytes, int]:
    """Return the sums of one block, and a checksum of its targets and weights."""
    n = block.X.shape[0]
    with naming_block(block):
        targets, _ = as_rhs(block.y, n, block.X.dtype, allow_empty=True)
        weights = as_sample_weight(block.sample_weight, n, accept_zero=True)
        seen = crc32(np.ascontiguousarray(targets).data, block.start & 0xFFFFFFFF)
        if weights is not None:
            seen = crc32(np.ascontiguousarray(weights).data, seen)
        with naming_columns(names):
            return _core.lstsq_sums_of_part(question, block.X, targets, sample_weight=weights), seen


def _merged(answers: list[tuple[bytes, int]]) -> tuple[bytes, int]:
    sums, seen = zip(*answers, strict=True)
    return _core.lstsq_merged_sums(list(sums)), sum(seen)
