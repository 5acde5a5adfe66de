"""Least squares: the colours of a pixel from the pixels around it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


def judge(data: Data) -> Arrays:
    """What the backward error of any answer needs: singular values of the scaled A, and one exact residual.

    The factor R comes from Cholesky QR done twice, the residual of one answer x0 from extended precision.
    That of another answer x follows from A'(b - Ax) = A'(b - A x0) - A'A (x - x0).
    """
    A, b = data
    scale = np.sqrt(_over_blocks(lambda rows, _: np.sum(rows * rows, axis=0), data))
    R = _cholesky(_over_blocks(lambda rows, _: _gram(rows / scale), data))
    whiten = np.linalg.inv(R) / scale[:, None]
    R = _cholesky(_over_blocks(lambda rows, _: _gram(rows @ whiten), data)) @ R
    _, singular, right = np.linalg.svd(R)
    rhs = _over_blocks(lambda rows, target: (rows / scale).T @ target, data)
    y = right.T @ ((right @ rhs) / singular[:, None] ** 2)
    x = (y / scale[:, None]).astype(np.longdouble)

    def exact(rows: NDArray[np.float64], target: NDArray[np.float64]) -> Any:
        rows = rows.astype(np.longdouble)
        residual = target - rows @ x
        return np.vstack([rows.T @ residual, np.sum(residual * residual, axis=0)])

    sums = _over_blocks(exact, data)
    return as_arrays(
        scale=scale,
        singular=singular,
        right=right,
        x=x.astype(float),
        gradient=(sums[:-1] / scale[:, None]).astype(float),
        residual=np.sqrt(sums[-1]).astype(float),
        norm_b=np.linalg.norm(b, axis=0),
        rows=len(A),
    )


def measure(judged: Arrays, answer: Arrays) -> float:
    """Karlson-Walden backward error of the column-scaled problem over |A|_F, the worst of three colours."""
    scale, singular = judged["scale"][:, None], judged["singular"][:, None]
    step = singular * (judged["right"] @ ((answer["x"] - judged["x"]) * scale))
    gradient = judged["right"] @ judged["gradient"]
    residual = np.sqrt(
        judged["residual"] ** 2 - 2.0 * np.sum(gradient * step / singular, axis=0) + np.sum(step**2, axis=0)
    )
    norm = np.linalg.norm(singular)
    theta = norm / judged["norm_b"]
    front = theta / np.sqrt(1.0 + (theta * np.linalg.norm(answer["x"] * scale, axis=0)) ** 2)
    parts = (gradient - singular * step) / np.hypot(singular, front * residual)
    return float(np.max(front * np.linalg.norm(parts, axis=0)) / norm)


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


def _over_blocks(function: Callable[[Any, Any], Any], data: Data) -> Any:
    """Sum of function(rows of A, rows of b) over blocks of rows."""
    A, b = data
    return sum(function(A[i : i + 4096], b[i : i + 4096]) for i in range(0, len(A), 4096))


def _gram(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return rows.T @ rows


def _cholesky(gram: NDArray[np.float64]) -> NDArray[Any]:
    return np.linalg.cholesky(gram).T


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
    judge=judge,
    measure=measure,
    remarks=remarks,
)
