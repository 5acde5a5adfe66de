"""Top eigenvector of patches of photographs that go by once, shuffled and as they lie in the pictures."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from nearlin._demo.block import Block, as_arrays
from nearlin._demo.photographs import SIDE, count, patches, photographs
from nearlin._demo.process import Answer, Arrays, Measured

__all__ = ["STREAMING_PCA"]

Rows = tuple[NDArray[np.float32], NDArray[np.float32]]
Method = Callable[[Rows], Answer]


def build(source: Arrays) -> Rows:
    """The patches in a fixed random order, and line by line."""
    lines = np.concatenate([line.astype(np.float32) for line in patches(source)])
    return np.random.default_rng(0).permutation(lines), lines


def about(source: Arrays) -> str:
    """What is done here."""
    return (
        f"The first principal component of {count(source):,} patches of {SIDE} x {SIDE} pixels of two "
        f"photographs ({3 * SIDE * SIDE} numbers each, float32), from one pass; first in random order, then "
        "line by line as they lie in the pictures. The error is the squared sine of the angle to the truth."
    )


def streaming(algorithm: str, *, shuffled: bool, order: str = "random") -> Method:
    """By nearlin."""
    from nearlin import StreamingPCA

    def solve(data: Rows) -> Answer:
        pca = StreamingPCA(algorithm=algorithm, order=order, center=True, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pca.fit(data[0] if shuffled else data[1])
        return as_arrays(v=pca.components_[0], size=pca.state_bytes_), said(pca)

    return solve


def said(pca: object) -> str:
    """What the certificate says, in few words."""
    from nearlin import StreamingPCA

    assert isinstance(pca, StreamingPCA)
    certificate = pca.certificate_
    if certificate.confidence == 1.0:
        return f"sine <= {float(certificate):.0e}"
    if certificate.confidence is not None:
        return f"value +- {100.0 * float(certificate):.0f} %"
    return "not shuffled" if pca.order_statistic_ > 6.0 else "none"


def incremental_pca() -> Method:
    """By scikit-learn, in batches."""
    from sklearn.decomposition import IncrementalPCA

    def solve(data: Rows) -> Answer:
        pca = IncrementalPCA(1).fit(data[0])
        return as_arrays(v=pca.components_[0]), "none"

    return solve


def covariance() -> Method:
    """By scikit-learn, from all rows."""
    from sklearn.decomposition import PCA

    def solve(data: Rows) -> Answer:
        pca = PCA(1, svd_solver="covariance_eigh").fit(data[0])
        return as_arrays(v=pca.components_[0]), "exact"

    return solve


def judge(data: Rows) -> Arrays:
    """The covariance in double precision."""
    mean = data[1].mean(axis=0, dtype=np.float64)
    gram = np.zeros((data[1].shape[1],) * 2)
    for rows in np.array_split(data[1], max(len(data[1]) // 20_000, 1)):
        centred = rows - mean
        gram += centred.T @ centred
    values, vectors = np.linalg.eigh(gram)
    return as_arrays(v=vectors[:, -1], gap=values[-1] / values[-2])


def squared_sine(judged: Arrays, v: NDArray[np.float64]) -> float:
    """Of the angle to the true component."""
    v = v.astype(np.float64) / np.linalg.norm(v)
    return float(np.sum((v - judged["v"] * (judged["v"] @ v)) ** 2))


def remarks(judged: Arrays, measured: Mapping[str, Measured]) -> list[str]:
    """What the columns mean."""
    paragraphs = [
        f"The first eigenvalue is {float(judged['gap']):.1f} times the second. certificate: what nearlin "
        "says of the angle, or of the value of the component where that is not known, or that rows are in "
        "some order."
    ]
    if "block_power" in measured:
        size = int(measured["block_power"].arrays["size"])
        paragraphs.append(f"The state of block_power takes {size:,} bytes, whatever number of rows goes by.")
    return paragraphs


STREAMING_PCA = Block(
    name="streaming_pca",
    error="squared sine",
    source=lambda quick: photographs(step=3 if quick else 1),
    build=build,
    about=about,
    methods={
        "nearlin, gram (auto)": partial(streaming, "auto", shuffled=True),
        "block_power": partial(streaming, "block_power", shuffled=True),
        "incremental": partial(streaming, "incremental", shuffled=True),
        "frequent_directions": partial(streaming, "frequent_directions", shuffled=True),
        "IncrementalPCA": incremental_pca,
        "PCA, covariance": covariance,
        "line by line: block_power": partial(streaming, "block_power", shuffled=False),
        "line by line: oja": partial(streaming, "oja", shuffled=False, order="arbitrary"),
    },
    judge=judge,
    measure=lambda judged, answer: squared_sine(judged, answer["v"]),
    remarks=remarks,
)
