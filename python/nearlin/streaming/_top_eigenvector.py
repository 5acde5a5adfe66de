"""The top eigenvector of A'A, in one call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nearlin._certificate import Certificate
from nearlin._config import Progress, resolve_progress, resolve_threads
from nearlin._frames import column_names, is_frame
from nearlin._listing import listing
from nearlin._sparse import check_indices, is_sparse
from nearlin._validation import Float, as_matrix, as_seed
from nearlin.exceptions import InvalidInputError, ShapeError

from ._certificate import certificate_of, gap_of, is_ordered, warn_of_order
from ._stream_of_rows import (
    check_parameters,
    explained,
    in_block,
    is_iterator,
    new_state,
    roots_of,
    threads_for,
)

__all__ = ["TopEigenvectorResult", "top_eigenvector"]

PIECE = 1 << 22
"""Numbers of an array that are taken in before progress is told."""


@dataclass(frozen=True, repr=False, eq=False)
class TopEigenvectorResult:
    """What :func:`nearlin.top_eigenvector` returns.

    Attributes
    ----------
    vector : ndarray of shape (d,)
        The eigenvector, of norm one, its largest entry positive; zeros if all rows are.
    value : float
        Its eigenvalue.
    gap : float
        That over the next one, as far as the state knows it.
    algorithm : str
        How rows were summed up.
    n_rows : int
        How many there were.
    state_bytes : int
        Memory that their summary took.
    certificate : Certificate
        What is known of the error.
    explanation : str
        What :meth:`explain` returns.
    """

    vector: Float
    value: float
    gap: float
    algorithm: str
    n_rows: int
    state_bytes: int
    certificate: Certificate
    explanation: str

    def explain(self) -> str:
        """Return what was done with the rows, and why."""
        return self.explanation

    def __repr__(self) -> str:
        return listing(
            {
                "vector": self.vector,
                "value": f"{self.value:.6g}",
                "gap": f"{self.gap:.4g}",
                "algorithm": self.algorithm,
                "n_rows": self.n_rows,
                "state_bytes": self.state_bytes,
                "certificate": str(self.certificate),
            }
        )


def top_eigenvector(
    rows: object,
    *,
    algorithm: str = "auto",
    order: str = "random",
    center: bool = False,
    sample_weight: object = None,
    memory: int | None = None,
    rng: object = None,
    n_jobs: int | None = None,
    progress: bool | Progress = False,
) -> TopEigenvectorResult:
    r"""Return the top eigenvector of :math:`A^T A` from one pass over the rows of A.

    Parameters
    ----------
    rows : array_like, sparse matrix of shape (n, d), or iterator of such
        All rows, or an iterator that gives them block by block.
    algorithm : str, default="auto"
        See :class:`nearlin.StreamingPCA`, as for `order` and `memory`.
    order : {"random", "arbitrary"}, default="random"
        Whether rows come in random order.
    center : bool, default=False
        Take rows less their mean.
    sample_weight : array_like of shape (n,), optional
        Weights of the rows, not with an iterator.
    memory : int, optional
        Bytes that the state may take.
    rng : None, int, numpy.random.Generator or what :func:`numpy.random.default_rng` takes, optional
        Source of the random numbers.
    n_jobs : int, optional
        Number of threads. None means one for rows that come in, as more make few streams faster, and the
        setting of :func:`nearlin.set_config` for all else. It never changes a bit.
    progress : bool or callable, default=False
        True shows a bar, a callable is called with (rows done, all rows or 0 as long as that is not known,
        figures).

    Returns
    -------
    TopEigenvectorResult
        The vector, its eigenvalue, and the certificate.

    Raises
    ------
    ShapeError
        If a block has another number of columns than the first; it names the block.
    InvalidInputError
        If there are no rows, or an entry is not finite.

    Warns
    -----
    OrderWarning
        If rows do not look shuffled, with ``order="random"``.

    Notes
    -----
    What an iterator raises ends the call. Memory is that of some dozens of rows.

    Examples
    --------
    >>> import numpy as np
    >>> import nearlin
    >>> rng = np.random.default_rng(0)
    >>> blocks = (rng.standard_normal((500, 3)) * [3.0, 1.0, 1.0] for _ in range(20))
    >>> found = nearlin.top_eigenvector(blocks, rng=0)
    >>> found.n_rows, found.algorithm, bool(found.vector[0] > 0.999)
    (10000, 'gram', True)
    """
    parameters = {
        "n_components": 1,
        "order": order,
        "algorithm": algorithm,
        "block_width": 8,
        "n_heavy": 32,
        "sketch_size": 32,
        "memory": memory,
        "shuffle_buffer": 0,
        "learning_rate": None,
        "t0": None,
        "center": center,
        "delta": 0.01,
        "random_state": int(as_seed(rng)),
    }
    check_parameters(parameters)
    told = resolve_progress(progress)
    state = None
    blocks: Any = rows if is_iterator(rows) else _pieces(rows, sample_weight)
    if is_iterator(rows) and sample_weight is not None:
        raise InvalidInputError("is given beside an iterator, expected None", argument="sample_weight")
    dtype = np.dtype(np.float64)
    names = None
    for number, block in enumerate(blocks):
        block, roots, total = (block, None, 0) if is_iterator(rows) else block
        with in_block(number if is_iterator(rows) else None, "rows"):
            matrix = as_matrix(_widened(block), "rows", allow_empty=True)
            if state is None:
                dtype = np.dtype(matrix.dtype)
                state = new_state(parameters, matrix.shape[1], dtype)
                names = column_names(block) if is_frame(block) else None
            if matrix.shape[1] != state.plan["d"]:
                raise ShapeError(
                    f"has {matrix.shape[1]} columns, expected {state.plan['d']}, as the first block has",
                    argument="rows",
                )
            if names is not None and is_frame(block) and column_names(block) != names:
                raise InvalidInputError(
                    "has other columns than the first block, expected the same, in the same order",
                    argument="rows",
                )
            state.add(matrix, roots=roots, threads=threads_for(matrix, n_jobs))
        if told is not None:
            told(state.seen, total, {})
    if state is None or state.seen == 0:
        raise InvalidInputError("has no rows, expected at least one", argument="rows")
    if told is not None and is_iterator(rows):
        told(state.seen, state.seen, {})
    answer, plan = state.answer(threads=resolve_threads(n_jobs)), state.plan
    if is_ordered(answer, plan["algorithm"], order):
        warn_of_order(answer)
    return TopEigenvectorResult(
        vector=answer["components"][0].astype(dtype),
        value=float(answer["eigenvalues"][0]),
        gap=gap_of(answer["eigenvalues"], 1),
        algorithm=plan["algorithm"],
        n_rows=state.seen,
        state_bytes=plan["bytes"],
        certificate=certificate_of(answer, 1, plan["algorithm"], order, dtype),
        explanation=explained(plan, algorithm, state.seen, answer["light"]),
    )


def _widened(rows: Any) -> Any:
    """Return rows of half precision in double precision, as estimators take them."""
    return rows.astype(np.float64) if getattr(rows, "dtype", None) == np.float16 else rows


def _pieces(rows: object, sample_weight: object) -> Any:
    """Cut a matrix into blocks of rows, with the roots of their weights."""
    matrix = as_matrix(_widened(rows), "rows", allow_empty=True)
    if is_sparse(matrix):
        check_indices(matrix, "rows")
    roots = roots_of(sample_weight, matrix)
    step = max(PIECE // max(matrix.shape[1], 1), 32)
    for first in range(0, max(matrix.shape[0], 1), step):
        piece = slice(first, first + step)
        yield matrix[piece], None if roots is None else roots[piece], matrix.shape[0]
