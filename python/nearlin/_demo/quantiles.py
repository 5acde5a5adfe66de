"""Quantile regression: below which value nine of ten pixels are, by those around them, by few rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearlin._demo.block import Block, as_arrays
from nearlin._demo.photographs import colours, count, photographs
from nearlin._demo.process import Answer, Arrays, Measured

__all__ = ["LEVEL", "QUANTILES", "Data", "loss", "multipliers_exist"]

Data = tuple[NDArray[np.float64], NDArray[np.float64]]
Method = Callable[[Data], Answer]

LEVEL = 0.9
PIXEL = (4, 4)
"""Of which the green value is explained by its eight neighbours."""
ROWS = 100
"""Rows of a sample for each column."""
FEW, MANY = 2_500, 20_000
"""Rows that linear programming finishes in a second, and iterated least squares in a few."""


def build(source: Arrays) -> Data:
    """The 24 values around the pixel and a one; the green of the pixel."""
    y, x = PIXEL
    around = [(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    ones = np.ones((count(source), 1))
    return np.hstack([*(colours(source, *pixel) for pixel in around), ones]), colours(source, y, x)[:, 1]


def about(source: Arrays) -> str:
    """What is done here."""
    return (
        f"The value below which the green of {LEVEL:.0%} of pixels is, linear in the 24 values around them "
        f"and an intercept, over {count(source):,} patches of two photographs: from all rows, and from "
        f"{ROWS} for each column, drawn by scores of A and b or just so. The error is the excess of the loss "
        "on all rows over its least."
    )


def loss(data: Data, x: NDArray[np.floating[Any]]) -> float:
    """The sum over all rows of q r above the fit and (q - 1) r below."""
    residual = data[1] - data[0] @ x
    return float(np.sum(residual * np.where(residual > 0.0, LEVEL, LEVEL - 1.0)))


def exact(method: str) -> Method:
    """By nearlin, with a proof."""
    from nearlin import lp_regression

    def solve(data: Data) -> Answer:
        result = lp_regression(*data, quantile=LEVEL, method=method, rng=0)
        return as_arrays(x=result.x, kept=result.n_kept), f"<= {result.certificate.bound:.0e}"

    return solve


def coreset() -> Method:
    """By nearlin, on few rows, with a proof from all of them."""
    from nearlin import lp_regression

    def solve(data: Data) -> Answer:
        size = ROWS * data[0].shape[1]
        result = lp_regression(*data, quantile=LEVEL, method="coreset", size=size, rng=0)
        return as_arrays(x=result.x), f"<= {result.certificate.bound:.0e}"

    return solve


def sampled(rule: str) -> Method:
    """By nearlin, on few rows."""
    from nearlin import lp_regression

    def solve(data: Data) -> Answer:
        A, b, weights = rows_of(data, rule)
        return as_arrays(x=lp_regression(A, b, quantile=LEVEL, sample_weight=weights, rng=0).x), "none"

    return solve


def rows_of(data: Data, rule: str) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Rows that are drawn by some scores, their targets and their weights."""
    from nearlin import sample_rows

    A, b = data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sample = sample_rows(A, b, p=1.0, size=ROWS * A.shape[1], scores=rule, rng=0)
    return A[sample.indices], b[sample.indices], sample.weights


def linear_programming(by_scores: bool) -> Method:
    """By scikit-learn, on some rows: those that nearlin draws, or any."""
    from sklearn.linear_model import QuantileRegressor

    def solve(data: Data) -> Answer:
        A, b, weights = rows_of(data, "lewis") if by_scores else (*any_rows(data, FEW), None)
        model = QuantileRegressor(quantile=LEVEL, alpha=0.0, fit_intercept=False, solver="highs")
        return as_arrays(x=model.fit(A, b, sample_weight=weights).coef_), "none"

    return solve


def iterated_least_squares() -> Method:
    """By statsmodels, on as many rows as it finishes."""
    QuantReg = import_module("statsmodels.regression.quantile_regression").QuantReg

    def solve(data: Data) -> Answer:
        A, b = any_rows(data, MANY)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return as_arrays(x=QuantReg(b, A).fit(q=LEVEL).params), "none"

    return solve


def frisch_newton() -> Method:
    """By pyfixest, on as many rows as it finishes."""
    import pandas

    pyfixest = import_module("pyfixest")

    def solve(data: Data) -> Answer:
        A, b = any_rows(data, MANY)
        names = [f"x{j}" for j in range(A.shape[1] - 1)]
        frame = pandas.DataFrame(np.column_stack([b, A[:, :-1]]), columns=["y", *names])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = pyfixest.quantreg("y ~ " + " + ".join(names), data=frame, quantile=LEVEL, method="fn")
        return as_arrays(x=model.coef()[[*names, "Intercept"]].to_numpy()), "none"

    rng = np.random.default_rng(0)
    solve((rng.uniform(size=(200, 2)), rng.uniform(size=200)))  # compiles it
    return solve


def any_rows(data: Data, most: int) -> Data:
    """As many rows, at random."""
    A, b = data
    chosen = np.random.default_rng(0).permutation(len(A))[:most]
    return A[chosen], b[chosen]


def judge(data: Data) -> Arrays:
    """The data in bytes, and the least loss, proven by multipliers that a linear program finds."""
    from nearlin import lp_regression

    A, b = data
    x = lp_regression(A, b, quantile=LEVEL, method="full").x
    residual = b - A @ x
    # y with A'y = 0, between q - 1 and q, and at one of them wherever a residual is not zero, is the proof.
    undecided = abs(residual) < 1e-9
    y = np.where(residual > 0.0, LEVEL, LEVEL - 1.0) * ~undecided
    if not multipliers_exist(A[undecided], -A.T @ y):
        raise ArithmeticError("the least loss is not proven")
    pixels = np.rint(255.0 * np.column_stack([A, b])).astype(np.uint8)
    return as_arrays(pixels=pixels, least=loss(data, x))


def multipliers_exist(A: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    """Whether A'y = b for some y between q - 1 and q."""
    from scipy.optimize import linprog

    return linprog(np.zeros(len(A)), A_eq=A.T, b_eq=b, bounds=(LEVEL - 1.0, LEVEL)).status == 0


def excess(judged: Arrays, x: NDArray[np.float64]) -> float:
    """The excess of a loss over the least, relative to it, or the unit roundoff."""
    numbers = judged["pixels"] / 255.0
    least = float(judged["least"])
    return max(loss((numbers[:, :-1], numbers[:, -1]), x) / least - 1.0, 2.0**-53)


def remarks(judged: Arrays, measured: Mapping[str, Measured]) -> list[str]:
    """What the table means."""
    n, d = len(judged["pixels"]), judged["pixels"].shape[1] - 1
    paragraphs = [
        f"certificate: what nearlin has proved of the excess. {ROWS * d:,} rows are {ROWS * d / n:.1%} of "
        'all; "coreset" draws as many, by Lewis weights too, and has all rows say how good their fit is. '
        f"scikit-learn has {min(n, FEW):,} rows at random, or those of the sample by Lewis weights; "
        f"others than nearlin that are named by packages alone have {min(n, MANY):,} at random."
    ]
    if "nearlin, all rows" in measured:
        kept = int(measured["nearlin, all rows"].arrays["kept"])
        paragraphs.append(
            f"nearlin solves for {kept:,} of the rows, whose residuals might have either sign, and proves on "
            'all of them that this is the answer; "full" is the method of Frisch and Newton on all.'
        )
    return paragraphs


QUANTILES = Block(
    name="quantiles",
    error="excess of loss",
    source=lambda quick: photographs(step=6 if quick else 1),
    build=build,
    about=about,
    methods={
        "nearlin, all rows": partial(exact, "exact"),
        'nearlin, all rows, "full"': partial(exact, "full"),
        'nearlin, "coreset"': coreset,
        "Lewis weights": partial(sampled, "lewis"),
        "root leverage scores": partial(sampled, "root_leverage"),
        "uniform": partial(sampled, "uniform"),
        "scikit-learn": partial(linear_programming, by_scores=False),
        "scikit-learn, Lewis": partial(linear_programming, by_scores=True),
        "statsmodels": iterated_least_squares,
        **({"pyfixest": frisch_newton} if find_spec("pyfixest") else {}),
    },
    judge=judge,
    measure=lambda judged, answer: excess(judged, answer["x"]),
    remarks=remarks,
)
