"""Patches of the two photographs that come with scikit-learn, as rows of a matrix.

china.jpg and flower.jpg are CC-BY; their authors are named beside them in scikit-learn's ``datasets/images``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearlin._demo.block import Unavailable, as_arrays
from nearlin._demo.process import Arrays

__all__ = ["SIDE", "colours", "count", "patches", "photographs"]

SIDE = 8


def photographs(step: int) -> Arrays:
    """The photographs as bytes, and the distance between patches."""
    from sklearn.datasets import load_sample_images

    try:
        china, flower = load_sample_images().images
    except ImportError:
        raise Unavailable(
            "The photographs of this demonstration need pillow: pip install 'nearlin[demo]'"
        ) from None
    return as_arrays(china=china, flower=flower, step=step)


def count(source: Arrays) -> int:
    """How many patches there are."""
    return sum(len(range(0, h, step)) * len(range(0, w, step)) for _, h, w, step in _images(source))


def patches(source: Arrays) -> Iterator[NDArray[np.float64]]:
    """Patches of 8 x 8 pixels x 3 colours in [0, 1], one a row; a line of a photograph at a time."""
    for image, height, width, step in _images(source):
        windows = np.lib.stride_tricks.sliding_window_view(image / 255.0, (SIDE, SIDE), axis=(0, 1))
        for line in windows.transpose(0, 1, 3, 4, 2)[:height:step, :width:step]:
            yield line.reshape(len(line), -1)


def colours(source: Arrays, y: int, x: int) -> NDArray[np.float64]:
    """The three colours in [0, 1] of pixel (y, x) of every patch, in the same order."""
    return np.concatenate(
        [
            image[y : y + height : step, x : x + width : step].reshape(-1, 3) / 255.0
            for image, height, width, step in _images(source)
        ]
    )


def _images(source: Arrays) -> list[tuple[NDArray[Any], int, int, int]]:
    """Each photograph with the numbers of corners down and across, and the step between them."""
    step = int(source["step"])
    return [
        (image, image.shape[0] - SIDE + 1, image.shape[1] - SIDE + 1, step)
        for image in (source["china"], source["flower"])
    ]
