"""Top right singular vector of sparse rows that go by once: word counts of source files."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

import numpy as np

from nearlin._demo.block import Block, as_arrays
from nearlin._demo.process import Answer, Arrays, Measured
from nearlin._demo.streaming_pca import said, squared_sine
from nearlin._demo.words import count_words, growth, source_files

__all__ = ["STREAMING_WORDS"]

BATCH = 100
"""Files that come at a time."""
Method = Callable[[Any], Answer]


def build(source: Arrays) -> Any:
    """The rows of all files in a fixed random order."""
    matrix = growth(source).matrix
    return matrix[np.random.default_rng(0).permutation(matrix.shape[0])]


def about(source: Arrays) -> str:
    """What is done here."""
    files, words = len(source["ends"]) - 1, int(source["widths"][-1])
    return (
        f"The direction that word counts of {files:,} files of Python source have most of, not centred, from "
        f"one pass in random order: {BATCH} sparse rows of {words:,} numbers at a time, "
        f"{len(source['counts']):,} entries in all. SciPy has them all in memory. IncrementalPCA of "
        "scikit-learn is not here: it would spread out batches of five times as many rows as there are words."
    )


def streaming(algorithm: str) -> Method:
    """By nearlin."""
    from nearlin import StreamingPCA

    def solve(data: Any) -> Answer:
        pca = StreamingPCA(algorithm=algorithm, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pca.fit(data[start : start + BATCH] for start in range(0, data.shape[0], BATCH))
        return as_arrays(v=pca.components_[0], size=pca.state_bytes_), said(pca)

    return solve


def svds(solver: Literal["arpack", "propack"]) -> Method:
    """By SciPy, from all rows."""
    from scipy.sparse.linalg import svds

    def solve(data: Any) -> Answer:
        return as_arrays(v=svds(data, 1, solver=solver, rng=np.random.default_rng(0))[2][0]), "none"

    return solve


def judge(data: Any) -> Arrays:
    """All eigenvalues of A A', and the vector that the largest belongs to."""
    values, vectors = np.linalg.eigh((data @ data.T).toarray())
    v = data.T @ vectors[:, -1]
    return as_arrays(v=v / np.linalg.norm(v), gap=values[-1] / values[-2])


def remarks(judged: Arrays, measured: Mapping[str, Measured]) -> list[str]:
    """What there is beside the table."""
    paragraphs = [f"The first eigenvalue of A'A is {float(judged['gap']):.1f} times the second."]
    if "nearlin (auto)" in measured:
        size = int(measured["nearlin (auto)"].arrays["size"])
        paragraphs.append(
            f"The state of nearlin's stream takes {size / 1e6:,.0f} MB, however many rows go by."
        )
    return paragraphs


STREAMING_WORDS = Block(
    name="streaming_words",
    error="squared sine",
    source=lambda quick: count_words(source_files(step=5 if quick else 1)),
    build=build,
    about=about,
    methods={
        "nearlin (auto)": partial(streaming, "auto"),
        "block_power": partial(streaming, "block_power"),
        "SciPy svds, PROPACK": partial(svds, "propack"),
        "SciPy svds, ARPACK": partial(svds, "arpack"),
    },
    judge=judge,
    measure=lambda judged, answer: squared_sine(judged, answer["v"]),
    remarks=remarks,
)
