"""Least squares: the colours of a pixel from the pixels around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nearlin._demo.backward_error import judge, measure
from nearlin._demo.block import Block, as_arrays
from nearlin._demo.photographs import SIDE, count, patches, photographs
from nearlin._demo.process import Answer, Arrays, Measured

__all__ = ["REGRESSION"]

Data = tuple[NDArray[np.float64], NDArray[np.float64]]
Method = Callable[[Data], Answer]

PIXEL = 3 * (4 * SIDE + 4)
"""Column of the first colour of pixel (4, 4)."""


def build(source: Arrays) -> Data:
    """The 189 values around the pixel and a one; the pixel's three colours."""
    A = np.empty((count(source), 3 * SIDE * SIDE - 2))
    b = np.empty((len(A), 3))
    start = 0
    for rows in patches(source):
        block = slice(start, start := start + len(rows))
        A[block, :PIXEL] = rows[:, :PIXEL]
        A[block, PIXEL:-1] = rows[:, PIXEL + 3 :]
        A[block, -1] = 1.0
        b[block] = rows[:, PIXEL : PIXEL + 3]
    return A, b


def about(source: Arrays) -> str:
    """What is done here."""
    n = count(source)
    return (
        "Least squares on two photographs: the three colours of a pixel from the 189 values around it and an "
        f"intercept, over {n:,} patches of {SIDE} x {SIDE} pixels ({8e-6 * 190 * n:,.0f} MB of float64). "
        "Each method runs once, in a process of its own."
    )


def numpy_lstsq() -> Method:
    """The usual answer."""
    return lambda data: (as_arrays(x=np.linalg.lstsq(*data, rcond=None)[0]), "none")


def scipy_lstsq(driver: Literal["gelsd", "gelsy"]) -> Method:
    """LAPACK through SciPy."""
    from scipy.linalg import lstsq

    return lambda data: (as_arrays(x=lstsq(*data, lapack_driver=driver)[0]), "none")


def nearlin_lstsq(method: str) -> Method:
    """nearlin, method by method."""
    from nearlin import lstsq

    def solve(data: Data) -> Answer:
        result = lstsq(*data, method=method, rng=0)
        return as_arrays(x=result.x, why=result.explanation), f"<= {float(result.certificate):.1e}"

    return solve


def linear_regression() -> Method:
    """The estimator, which adds the intercept by itself."""
    from nearlin import LinearRegression

    def solve(data: Data) -> Answer:
        model = LinearRegression(random_state=0).fit(data[0][:, :-1], data[1])
        x = np.vstack([model.coef_.T, model.intercept_])
        return as_arrays(x=x), f"<= {float(model.certificate_):.1e}"

    return solve


def remarks(judged: Arrays, measured: Mapping[str, Measured]) -> list[str]:
    """What the columns of the table mean, and how nearlin chose."""
    off = 255.0 * np.sqrt(np.sum(judged["residual"] ** 2) / (3 * judged["rows"]))
    condition = judged["singular"][0] / judged["singular"][-1]
    bits = np.finfo(np.longdouble).nmant + 1
    paragraphs = [
        "memory: the most that the process held above the data. backward error: the smallest relative change "
        f"of the data that makes the answer exact (Karlson-Walden, residuals in {bits} bits); the unit "
        f"roundoff is {2.0**-53:.1e}. certificate: what nearlin itself said about that error; two roundoffs "
        "of it are for the rounding of its own measurement.",
        f"The colours are predicted to {off:.1f} of 255 (root mean square); the condition number of the "
        f"columns, scaled to one length, is {condition:.0e}.",
    ]
    if "nearlin.lstsq" in measured:
        paragraphs.append(f"nearlin.lstsq: {measured['nearlin.lstsq'].arrays['why']}")
    return paragraphs


REGRESSION = Block(
    name="regression",
    error="backward error",
    source=lambda quick: photographs(step=3 if quick else 1),
    build=build,
    about=about,
    methods={
        "numpy.linalg.lstsq": numpy_lstsq,
        "scipy lstsq gelsd": lambda: scipy_lstsq("gelsd"),
        "scipy lstsq gelsy": lambda: scipy_lstsq("gelsy"),
        "nearlin.lstsq": lambda: nearlin_lstsq("auto"),
        'nearlin.lstsq "spir"': lambda: nearlin_lstsq("spir"),
        'nearlin.lstsq "qr"': lambda: nearlin_lstsq("qr"),
        "nearlin.LinearRegression": linear_regression,
    },
    judge=lambda data: judge(*data),
    measure=lambda judged, answer: float(measure(judged, answer["x"]).max()),
    remarks=remarks,
)
