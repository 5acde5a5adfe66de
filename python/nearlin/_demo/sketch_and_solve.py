"""One read of the rows: how far single coefficients are off, and how far the certificate says they may be."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from nearlin._demo import regression
from nearlin._demo.backward_error import judge
from nearlin._demo.block import Block, as_arrays
from nearlin._demo.photographs import SIDE, count, photographs
from nearlin._demo.process import Answer, Arrays, Measured
from nearlin._demo.regression import Data, Method, numpy_lstsq

__all__ = ["SKETCH_AND_SOLVE", "largest_error", "unit"]

SIZES = (1_000, 4_000, None)
"""Rows of the sketches; None for what the theorem asks."""


def build(source: Arrays) -> Data:
    """The 189 values around the pixel and a one; how red the pixel is."""
    A, b = regression.build(source)
    return A, b[:, 0]


def largest_error(judged: Arrays, x: NDArray[np.float64]) -> float:
    """The largest error of a coefficient, in the unit of the theorem."""
    step = judged["right"].T @ (judged["gradient"][:, 0] / judged["singular"] ** 2) / judged["scale"]
    return float(np.abs(x - judged["x"][:, 0] - step).max() / unit(judged))


def unit(judged: Arrays) -> float:
    """|b - A x*| |A^+| / sqrt(d)."""
    triangle = judged["singular"][:, None] * judged["right"] * judged["scale"]
    smallest = np.linalg.svd(triangle, compute_uv=False)[-1]
    return float(judged["residual"][0] / smallest / np.sqrt(len(triangle)))


def about(source: Arrays) -> str:
    """What is done here."""
    return (
        f"How red a pixel is, from the same {3 * SIDE * SIDE - 2} columns and {count(source):,} rows, by "
        "sketches of so many rows. The error is the largest of all coefficients, in units of "
        "|b - A x*| |A^+| / sqrt(d), as in the theorem."
    )


def lstsq() -> Method:
    """All rows."""
    from nearlin import lstsq

    return lambda data: (as_arrays(x=lstsq(*data, rng=0).x), "exact")


def sketch_and_solve(size: int | None) -> Method:
    """Rows of a sketch."""
    from nearlin import sketch_and_solve

    def solve(data: Data) -> Answer:
        result = sketch_and_solve(*data, sketch_size=size, delta=0.1, rng=0)
        return as_arrays(
            x=result.x, size=result.sketch_size or 0, why=result.guarantee
        ), f"<= {result.eps:.2f}"

    return solve


def remarks(judged: Arrays, measured: Mapping[str, Measured]) -> list[str]:
    """What the last column means, and what is proved."""
    paragraphs = [
        "certificate: the same error, at most so large with a confidence of 95 %, as the sketch tells it."
    ]
    if "sketch_and_solve" in measured:
        arrays = measured["sketch_and_solve"].arrays
        paragraphs.append(
            f"sketch_and_solve drew {int(arrays['size']):,} rows, eps = 0.5, delta = 0.1 ({arrays['why']})."
            if arrays["size"]
            else f"sketch_and_solve: {arrays['why']}."
        )
    return paragraphs


SKETCH_AND_SOLVE = Block(
    name="sketch_and_solve",
    error="largest error",
    source=lambda quick: photographs(step=3 if quick else 1),
    build=build,
    about=about,
    methods={
        "numpy.linalg.lstsq": numpy_lstsq,
        "nearlin.lstsq": lstsq,
        **{
            "sketch_and_solve" + (f" {size:,}" if size else ""): partial(sketch_and_solve, size)
            for size in SIZES
        },
    },
    judge=lambda data: judge(data[0], data[1][:, None]),
    measure=lambda judged, answer: largest_error(judged, answer["x"]),
    remarks=remarks,
)
