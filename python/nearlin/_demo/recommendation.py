"""Recommendations: which identifiers a file of Python source has, by those that it is known to have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from nearlin._demo.block import Block, as_arrays
from nearlin._demo.process import Answer, Arrays, Measured
from nearlin._demo.words import IDENTIFIER, count_words, source_files

__all__ = ["RECOMMENDATION", "Choices", "missed"]

RANK = 64
BEST = 20
"""Identifiers that are recommended for a file."""
LEFT_OUT = 0.2
"""The part of the pairs of a file and an identifier that is to be found."""
FILES = 5
"""Identifiers of fewer files are left out: nobody could know them."""


class Choices(NamedTuple):
    """How often files have identifiers, as far as it is known, and where else they have some."""

    known: sp.csr_array
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]


Method = Callable[[Choices], Answer]


def build(source: Arrays) -> Choices:
    """Counts of identifiers that some files have, a fifth of the pairs left out."""
    shape = len(source["ends"]) - 1, int(source["widths"][-1])
    all_ = sp.csc_array(sp.csr_array((source["counts"], source["columns"], source["ends"]), shape=shape))
    counts: Any = all_[:, np.diff(all_.indptr) >= FILES].tocoo()
    left_out = np.random.default_rng(0).random(counts.nnz) < LEFT_OUT
    entries = counts.data[~left_out].astype(np.float64), (counts.row[~left_out], counts.col[~left_out])
    known = sp.csr_array(entries, shape=counts.shape)
    return Choices(known, counts.row[left_out].astype(np.int64), counts.col[left_out].astype(np.int64))


def about(source: Arrays) -> str:
    """What is done here."""
    known, rows, _ = build(source)
    return (
        f"{known.shape[0]:,} files of Python source of NumPy, SciPy and scikit-learn stand for users, "
        f"{known.shape[1]:,} identifiers that {FILES} of them have for items: {known.nnz:,} "
        f"pairs are known, with counts, and {len(rows):,} others are to be found by {BEST} recommendations "
        "for each file."
    )


def weighed(counts: sp.csr_array) -> sp.csr_array:
    """One plus the logarithm of each count."""
    return sp.csr_array((1.0 + np.log(counts.data), counts.indices, counts.indptr), shape=counts.shape)


def nearlin(**options: Any) -> Method:
    """By alternating least squares of nearlin."""
    from nearlin import ImplicitALS

    def solve(data: Choices) -> Answer:
        model = ImplicitALS(RANK, random_state=0, **options).fit(weighed(data.known))
        best, _ = model.top_n(np.arange(data.known.shape[0]), BEST)
        return as_arrays(best=best), "none"

    return solve


def implicit() -> Method:
    """By alternating least squares of the package of that name."""
    from importlib import import_module

    als = import_module("implicit.cpu.als")

    def solve(data: Choices) -> Answer:
        known = sp.csr_matrix(weighed(data.known).astype(np.float32))
        model = als.AlternatingLeastSquares(RANK, regularization=10.0, random_state=0)
        model.fit(known, show_progress=False)
        best, _ = model.recommend(np.arange(known.shape[0]), known, BEST)
        return as_arrays(best=best), "none"

    return solve


def truncated_svd() -> Method:
    """By scikit-learn, zeros being zeros."""
    from sklearn.decomposition import TruncatedSVD

    def solve(data: Choices) -> Answer:
        model = TruncatedSVD(RANK, random_state=0)
        scores = model.fit_transform(weighed(data.known)) @ model.components_
        return as_arrays(best=ranked(scores, data.known)), "none"

    return solve


def popular() -> Method:
    """What most files have."""

    def solve(data: Choices) -> Answer:
        files = np.bincount(data.known.indices, minlength=data.known.shape[1])
        return as_arrays(
            best=ranked(np.tile(files.astype(float), (data.known.shape[0], 1)), data.known)
        ), "none"

    return solve


def ranked(scores: NDArray[np.float64], known: sp.csr_array) -> NDArray[np.int64]:
    """The best of each row, but what is known."""
    scores[np.repeat(np.arange(known.shape[0]), np.diff(known.indptr)), known.indices] = -np.inf
    return np.argpartition(-scores, BEST, axis=1)[:, :BEST]


def judge(data: Choices) -> Arrays:
    """What is to be found."""
    return as_arrays(rows=data.rows, cols=data.cols, files=data.known.shape[0])


def missed(judged: Arrays, answer: Arrays) -> float:
    """One less the mean recall, over the files that have anything to be found."""
    rows, best = judged["rows"], answer["best"]
    hits = np.bincount(rows, (best[rows] == judged["cols"][:, np.newaxis]).any(axis=1), int(judged["files"]))
    wanted = np.bincount(rows, minlength=int(judged["files"]))
    return float(1.0 - np.mean(hits[wanted > 0] / np.minimum(wanted, BEST)[wanted > 0]))


def remarks(judged: Arrays, measured: Mapping[str, Measured]) -> list[str]:
    """What the table means."""
    return [
        f"missed: the mean over all files of the share of at most {BEST} identifiers that are not among the "
        f'{BEST}. "ials" and "tail" have the objective of Rendle and others; "tail" minimises what the worst '
        "third of the files lose, and is not meant to be the best on average. Penalties are the best of a "
        "few."
    ]


RECOMMENDATION = Block(
    name="recommendation",
    error="missed",
    source=lambda quick: count_words(source_files(step=5 if quick else 1), IDENTIFIER),
    build=build,
    about=about,
    methods={
        "most popular": popular,
        "scikit-learn SVD": truncated_svd,
        "nearlin": partial(nearlin, reg=10.0),
        "nearlin, ials": partial(nearlin, confidence="ials", reg=0.01),
        "nearlin, tail": partial(nearlin, confidence="ials", reg=0.01, risk="cvar"),
        **({"implicit": implicit} if find_spec("implicit") else {}),
    },
    judge=judge,
    measure=missed,
    remarks=remarks,
)
