"""Least squares: the colours of a pixel from the pixels around it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from nearlin._demo.backward_error import judge, measure
from nearlin._demo.block import Answer, Arrays, Block, as_arrays
from nearlin._demo.photographs import SIDE, count, patches, photographs
from nearlin._demo.process import Measured

__all__ = ["REGRESSION"]

Data = tuple[NDArray[np.float64], NDArray[np.float64]]

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


def about(source: Arrays) -> list[str]:
    """Lines above the table."""
    n = count(source)
    return [
        "Least squares on two photographs: the three colours of a pixel from the 189",
        f"values around it and an intercept, over {n:,} patches of {SIDE} x {SIDE} pixels",
        f"({8 * n * 190 / 1e6:,.0f} MB of float64). Every method runs in a process of its own.",
    ]


def numpy_lstsq(data: Data) -> Answer:
    """The usual answer."""
    return as_arrays(x=np.linalg.lstsq(*data, rcond=None)[0]), "none"


def scipy_lstsq(driver: str) -> Callable[[Data], Answer]:
    """LAPACK through SciPy."""

    def solve(data: Data) -> Answer:
        from scipy.linalg import lstsq

        return as_arrays(x=lstsq(*data, lapack_driver=driver)[0]), "none"

    return solve


def nearlin_lstsq(method: str) -> Callable[[Data], Answer]:
    """nearlin, method by method."""

    def solve(data: Data) -> Answer:
        from nearlin import lstsq

        result = lstsq(*data, method=method, rng=0)
        return as_arrays(x=result.x, why=result.explanation), f"<= {float(result.certificate):.1e}"

    return solve


def linear_regression(data: Data) -> Answer:
    """The estimator, which adds the intercept by itself."""
    from nearlin import LinearRegression

    model = LinearRegression(random_state=0).fit(data[0][:, :-1], data[1])
    x = np.vstack([model.coef_.T, model.intercept_])
    return as_arrays(x=x), f"<= {float(model.certificate_):.1e}"


def remarks(judged: Arrays, measured: Mapping[str, Measured]) -> list[str]:
    """Lines below the table."""
    off = 255.0 * np.sqrt(np.sum(judged["residual"] ** 2) / (3 * judged["rows"]))
    lines = [
        "memory: the most that the process held above the data.",
        "backward error: smallest relative change of the data that makes the answer exact",
        f"(Karlson-Walden; residuals in {np.finfo(np.longdouble).nmant + 1} bits); "
        f"2^-53 is {2.0**-53:.1e}. certificate: nearlin's own",
        "upper bound of it. The condition number of the scaled columns is "
        f"{judged['singular'][0] / judged['singular'][-1]:.0e}.",
        f"The colours are predicted to {off:.1f} of 255 (root mean square).",
    ]
    if "nearlin.lstsq" in measured:
        why = str(measured["nearlin.lstsq"].arrays["why"])
        lines += textwrap.wrap(f"nearlin.lstsq: {why}", 80)
    return lines


REGRESSION = Block(
    name="regression",
    error="backward error",
    source=lambda quick: photographs(step=3 if quick else 1),
    build=build,
    about=about,
    methods={
        "numpy.linalg.lstsq": numpy_lstsq,
        "scipy lstsq gelsd": scipy_lstsq("gelsd"),
        "scipy lstsq gelsy": scipy_lstsq("gelsy"),
        "nearlin.lstsq": nearlin_lstsq("auto"),
        'nearlin.lstsq "spir"': nearlin_lstsq("spir"),
        'nearlin.lstsq "qr"': nearlin_lstsq("qr"),
        "nearlin.LinearRegression": linear_regression,
    },
    judge=lambda data: judge(*data),
    measure=lambda judged, answer: float(measure(judged, answer["x"]).max()),
    remarks=remarks,
)
