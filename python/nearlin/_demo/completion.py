"""Matrix completion: a photograph of which one pixel in five is left."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearlin._demo.block import Block, as_arrays
from nearlin._demo.photographs import photographs
from nearlin._demo.process import Answer, Arrays, Measured

__all__ = ["COMPLETION", "HIDDEN", "RANKS", "Holed", "completed", "error", "picture"]

HIDDEN = 0.8
"""The part of the pixels that is not there."""
RANKS = (2, 5, 10, 20, 40)


class Holed(NamedTuple):
    """The colours of the photograph, one matrix after the other, in [0, 1], and which pixels are hidden."""

    truth: NDArray[np.float64]
    hidden: NDArray[np.bool_]

    @property
    def seen(self) -> NDArray[np.float64]:
        """The colours, NaN where they are hidden."""
        return np.where(self.hidden, np.nan, self.truth)


Method = Callable[[Holed], Answer]


def build(source: Arrays) -> Holed:
    """The photograph, and which of its pixels are hidden."""
    step = int(source["step"])
    image = source["china"][::step, ::step]
    hidden = np.random.default_rng(0).random(image.shape[:2]) < HIDDEN
    return Holed(image.transpose(2, 0, 1) / 255.0, hidden)


def picture(colours: NDArray[Any]) -> NDArray[Any]:
    """The three colours on top of each other, between 0 and 1."""
    clipped: NDArray[Any] = np.clip(colours.transpose(1, 2, 0), 0.0, 1.0)
    return clipped


def about(source: Arrays) -> str:
    """What is done here."""
    step = int(source["step"])
    height, width = source["china"][::step, ::step].shape[:2]
    return (
        f"A photograph of {height} x {width} pixels, of which {HIDDEN:.0%} are hidden. Each colour is a "
        "matrix of numbers in [0, 1], which is completed by its lines and columns alone. The error is the "
        "root mean square over what is hidden."
    )


def completed(rank: int) -> Method:
    """By nearlin, with factors of that rank."""
    from nearlin import MatrixCompletion

    def solve(data: Holed) -> Answer:
        models = [MatrixCompletion(rank, random_state=0).fit(colour) for colour in data.seen]
        bound = np.sqrt(np.mean([model.certificate_.bound**2 for model in models]))
        return answer([model.reconstruct() for model in models]), f"<= {bound:.4f}"

    return solve


def answer(found: list[NDArray[Any]]) -> Arrays:
    """The colours of a completed photograph."""
    return as_arrays(found=np.array(found, dtype=np.float32))


def thresholded() -> Method:
    """By nearlin, the convex problem."""
    from nearlin import SoftImpute
    from nearlin.exceptions import AccuracyWarning

    def solve(data: Holed) -> Answer:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AccuracyWarning)
            models = [SoftImpute(30, max_iter=10, random_state=0).fit(colour) for colour in data.seen]
        return answer([model.reconstruct() for model in models]), "none"

    return solve


def scikit_learn(name: str) -> Method:
    """By an imputer of scikit-learn."""
    from sklearn import impute

    def solve(data: Holed) -> Answer:
        return answer([getattr(impute, name)().fit_transform(colour) for colour in data.seen]), "none"

    return solve


def judge(data: Holed) -> Arrays:
    """The photograph, and what is hidden of it."""
    return as_arrays(truth=np.rint(255.0 * data.truth).astype(np.uint8), hidden=data.hidden)


def error(judged: Arrays, found: Arrays) -> float:
    """The root mean square error over what is hidden."""
    difference = np.clip(found["found"], 0.0, 1.0) - judged["truth"] / 255.0
    return float(np.sqrt(np.mean(difference[:, judged["hidden"]] ** 2)))


def remarks(judged: Arrays, measured: Mapping[str, Measured]) -> list[str]:
    """What the table means."""
    spread = np.std(judged["truth"][:, judged["hidden"]] / 255.0)
    return [
        f"The standard deviation of what is hidden is {spread:.3f}. certificate: what nearlin says of the "
        "error, by pixels that it held out; it chose the penalty by them too."
    ]


COMPLETION = Block(
    name="completion",
    error="error",
    source=lambda quick: photographs(step=3 if quick else 1),
    build=build,
    about=about,
    methods={
        "scikit-learn, means": partial(scikit_learn, "SimpleImputer"),
        "scikit-learn, neighbours": partial(scikit_learn, "KNNImputer"),
        **{f"nearlin, rank {rank}": partial(completed, rank) for rank in RANKS},
        "nearlin, convex": thresholded,
    },
    judge=judge,
    measure=error,
    remarks=remarks,
)
