"""A truncated SVD that follows a matrix: the words of source files, as one file after another is read."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from nearlin._demo.block import Block, as_arrays
from nearlin._demo.process import Answer, Arrays, Measured
from nearlin._demo.words import Growth, count_words, growth, source_files

__all__ = ["FOLLOW", "TRUNCATED_SVD", "beyond_best", "judge", "moments", "timed"]

RANK = 32
FILES = 40
"""That come between two moments at which all methods have to know the triplets."""
REFRESH = 5
"""Batches between two looks at the matrix, where there are any."""


class Model(NamedTuple):
    """Triplets of the files so far: rows of the matrix are about those of the scores times the components."""

    components: NDArray[Any]
    scores: Callable[[], NDArray[Any]]
    certificate: str = "none"


Follow = Callable[[Growth], Iterator[Model]]


def moments(data: Growth) -> list[int]:
    """How many files there are, whenever a batch of them is complete."""
    rows = data.matrix.shape[0]
    return [*range(FILES, rows, FILES), rows]


# ---------------------------------------------------------------------------- those who follow


def scipy_anew() -> Follow:
    """PROPACK, the fastest of SciPy's, from the beginning at every moment."""
    from scipy.sparse.linalg import svds

    def models(data: Growth) -> Iterator[Model]:
        for rows in moments(data):
            U, s, Vt = svds(data.so_far(rows), RANK, solver="propack", rng=np.random.default_rng(0))
            yield Model(Vt, partial(np.multiply, U, s))

    return models


def sklearn_anew() -> Follow:
    """scikit-learn's randomized SVD from the beginning at every moment."""
    from sklearn.decomposition import TruncatedSVD

    def models(data: Growth) -> Iterator[Model]:
        for rows in moments(data):
            model = TruncatedSVD(RANK, random_state=0)
            scores = model.fit_transform(data.so_far(rows))
            yield Model(model.components_, partial(np.asarray, scores))

    return models


def nearlin_updates(*, refresh: int | None = None, **options: Any) -> Follow:
    """Nothing but the new files, and perhaps a look at all of them now and then."""
    from nearlin import TruncatedSVD

    def models(data: Growth) -> Iterator[Model]:
        model = TruncatedSVD(RANK, random_state=0, n_jobs=1, **options)
        stops = moments(data)
        for number, (start, stop) in enumerate(zip([0, *stops], stops, strict=False), 1):
            model.partial_fit(data.batch(start, stop))
            if refresh and number % refresh == 0:
                model.refresh(data.so_far(stop))
            certificate = f"<= {model.certificate_.bound:.4f} left"
            yield Model(
                model.components_,
                lambda: model.left_singular_vectors() * model.singular_values_,
                certificate,
            )

    return models


FOLLOW: dict[str, Callable[[], Follow]] = {
    "SciPy svds, anew": scipy_anew,
    "scikit-learn, anew": sklearn_anew,
    "nearlin, oversample=0": partial(nearlin_updates, oversample=0),
    "nearlin": nearlin_updates,
    f"nearlin, {REFRESH}th: refresh": partial(nearlin_updates, refresh=REFRESH),
}


def timed(follow: Follow, data: Growth) -> Iterator[tuple[float, Model]]:
    """Each model, and the processor's seconds that it took, on one thread."""
    with threadpool_limits(1):
        start = time.process_time()
        for model in follow(data):
            yield time.process_time() - start, model
            start = time.process_time()


def last(prepare: Callable[[], Follow]) -> Callable[[Growth], Answer]:
    """The method of a block: the model of all files."""
    follow = prepare()

    def solve(data: Growth) -> Answer:
        seconds, model = deque(timed(follow, data), maxlen=1).pop()
        arrays = as_arrays(components=model.components, scores=model.scores(), last=seconds)
        return arrays, model.certificate

    return solve


# ---------------------------------------------------------------------------- the judge


def judge(data: Growth) -> Arrays:
    """The matrix, and what the best approximation leaves of it, by all eigenvalues of A A'."""
    A = data.matrix
    squares = np.linalg.eigvalsh((A @ A.T).toarray())
    return as_arrays(
        values=A.data,
        columns=A.indices,
        ends=A.indptr,
        shape=A.shape,
        energy=squares.sum(),
        best=np.sqrt(squares[:-RANK].sum()),
    )


def left(judged: Arrays, scores: NDArray[Any], components: NDArray[Any]) -> float:
    """Frobenius norm of the matrix less the model."""
    A = sp.csr_array((judged["values"], judged["columns"], judged["ends"]), shape=tuple(judged["shape"]))
    square = judged["energy"] - 2.0 * np.sum((A @ components.T) * scores)
    square += np.sum((scores.T @ scores) * (components @ components.T))
    return float(np.sqrt(square))


def beyond_best(judged: Arrays, scores: NDArray[Any], components: NDArray[Any]) -> float:
    """How much more than the best approximation a model leaves, relative to that."""
    return max(left(judged, scores, components) / float(judged["best"]) - 1.0, 0.0)


# ---------------------------------------------------------------------------- the block


def about(source: Arrays) -> str:
    """What is done here."""
    files = len(source["ends"]) - 1
    return (
        f"Words of {files:,} files of Python source of NumPy, SciPy and scikit-learn, {FILES} files after "
        f"{FILES} others: a sparse matrix that grows to {files:,} x {int(source['widths'][-1]):,} and "
        f"{len(source['counts']):,} entries. After every {FILES} files each method has the {RANK} largest "
        "singular values and right singular vectors of all files so far, on one thread."
    )


def remarks(judged: Arrays, measured: Mapping[str, Measured]) -> list[str]:
    """What the columns of the table mean, and what a batch takes."""
    share = judged["best"] / np.sqrt(judged["energy"])
    ms = {name: 1e3 * float(outcome.arrays["last"]) for name, outcome in measured.items()}
    paragraphs = [
        "beyond the best: how much more of the matrix of all files the model leaves, |A - U S V'|_F, than "
        f"the best one of rank {RANK}, which leaves {share:.4f} of |A|_F (all eigenvalues of A A'). "
        f'certificate: what nearlin says that its model leaves of |A|_F. "{REFRESH}th: refresh" looks at all '
        f"files again in every {REFRESH}th batch, with one product of the matrix and its transpose."
    ]
    if {"nearlin", "SciPy svds, anew"} <= set(ms):
        paragraphs.append(
            f"The last {FILES} files took nearlin {ms['nearlin']:,.0f} ms, and SciPy, which begins again, "
            f"{ms['SciPy svds, anew']:,.0f} ms."
        )
    return paragraphs


TRUNCATED_SVD = Block(
    name="truncated_svd",
    error="beyond the best",
    source=lambda quick: count_words(source_files(step=5 if quick else 1)),
    build=growth,
    about=about,
    methods={name: partial(last, prepare) for name, prepare in FOLLOW.items()},
    judge=judge,
    measure=lambda judged, answer: beyond_best(judged, answer["scores"], answer["components"]),
    remarks=remarks,
)
