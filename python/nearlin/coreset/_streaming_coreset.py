"""Samples of rows that are read once."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from nearlin import _core
from nearlin._config import resolve_threads
from nearlin._frames import column_names, naming_columns, string_names
from nearlin._stream import RowStream, in_turn
from nearlin._validation import (
    LARGEST,
    as_matrix,
    as_sample_weight,
    as_seed,
    check_choice,
    check_int,
    check_real,
    copying,
    is_blocks,
    optional,
)
from nearlin.exceptions import InvalidInputError, InvalidTypeError

from ._lewis_weights import LARGEST_POWER
from ._sample_rows import RowSample, certificate_of, warn_of, with_targets

__all__ = ["StreamingCoreset"]

RULES = ("auto", "leverage", "root_leverage", "lewis")


class StreamingCoreset(RowStream):
    r"""A sample of a stream of rows, read once: the one that the scores of all rows draw in the end.

    Kept are the triangle of `A`, by rotations, and the rows whose permanent random number is below their
    share so far. Shares only fall as rows come, so that no row is missed, whatever the order of the rows and
    the blocks in which they came. It is the sample of :func:`sample_rows` with the same seed, for leverage
    scores, as long as no row has a share of one and no direction is lost. That function makes up for rows
    that are certain by larger shares of the others, which a stream cannot know before its end: it has fewer
    rows then, as `expected_size` tells.

    Parameters
    ----------
    size : int
        Rows of the sample that are to be expected at most; no fewer than the rank of all columns, targets
        among them.
    p : float, default=2.0
        The power, from 1 to 30.
    scores : {"auto", "leverage", "root_leverage", "lewis"}, default="auto"
        What rows are drawn by: leverage scores, their powers p/2 (for p <= 2), or Lewis weights, which draw
        from such a sample of four times as many rows in the end. By default leverage scores for p = 2, else
        Lewis weights.
    rng : None, int, numpy.random.Generator or what :func:`numpy.random.default_rng` takes, optional
        Source of the random numbers.

    Notes
    -----
    Memory is that of :math:`d^2 + 2 m d` numbers about, m being the size, or four times that for Lewis
    weights. A row takes :math:`3 d^2` flops, and now and then those that are kept are looked through. Streams
    over other rows with the same seed can be merged; the numbers of rows, `row_offset`, are what random
    numbers hang on.

    Merges and other blocks agree to rounding: a row whose number lies within rounding of its share may come
    or go. That holds while the rank of the rows so far does not fall, as it does where one row is so large
    that others are lost in its rounding: rows that come before it have shares that those after it have not,
    so that the sample depends on the order. A sample with such rows is never certified, and warns.

    Examples
    --------
    >>> import numpy as np
    >>> import nearlin
    >>> rng = np.random.default_rng(0)
    >>> stream = nearlin.StreamingCoreset(200, rng=0)
    >>> for _ in range(10):
    ...     A = rng.standard_normal((1000, 4))
    ...     _ = stream.partial_fit(A, A @ [1.0, 2.0, 3.0, 4.0] + rng.standard_normal(1000))
    >>> sample = stream.result()
    >>> sample.n_rows, sample.rows.shape == (len(sample), 4), bool(sample.certificate.bound < 0.4)
    (10000, True, True)
    >>> SA, Sy = sample.apply_to_rows()
    >>> bool(abs(np.linalg.lstsq(SA, Sy)[0] - [1.0, 2.0, 3.0, 4.0]).max() < 0.5)
    True
    """

    __slots__ = ("__weakref__",)  # for `in_turn`
    _state: _core.CoresetStream
    _State = _core.CoresetStream

    def __init__(self, size: int, *, p: float = 2.0, scores: str = "auto", rng: object = None) -> None:
        p = check_real(p, "p", at_least=1.0, at_most=LARGEST_POWER)
        rule = check_choice(scores, "scores", RULES)
        if rule == "auto":
            rule = "leverage" if p == 2.0 else "lewis"
        if rule == "root_leverage" and p > 2.0:
            raise InvalidInputError(
                f"is 'root_leverage' for p = {p:g}, expected another one: these are scores for p <= 2",
                argument="scores",
            )
        self._state = _core.CoresetStream(
            check_int(size, "size", at_least=1, at_most=2**28),
            p=p,
            h=0.5 * p if rule != "leverage" and p < 2.0 else 1.0,
            by_lewis=rule == "lewis" and p != 2.0,
            seed=as_seed(rng),
        )

    @in_turn
    def partial_fit(
        self,
        A: object,
        y: object = None,
        *,
        sample_weight: object = None,
        row_offset: int | None = None,
        n_jobs: int | None = None,
    ) -> Self:
        """Add a block of rows: all of it or, after an error or Ctrl-C, nothing.

        Parameters
        ----------
        A : array_like, sparse matrix or RowBlocks of shape (rows, d)
            The rows. There may be none. What is told is in double precision as soon as one block is. Rows
            that are not in memory come from :func:`nearlin.data.blocks`, with their targets and weights.
        y : array_like of shape (rows,) or (rows, k), optional
            Their targets, which count as further columns: in every block or in none.
        sample_weight : array_like of shape (rows,) or float, optional
            Rows count so many times; not at all those of weight zero.
        row_offset : int, optional
            Which row of the stream the first row of `A` is; by default the one after the last row so far.
        n_jobs : int, optional
            Number of threads; see :func:`nearlin.set_config` for the default. It does not change a bit of the
            result.

        Returns
        -------
        StreamingCoreset
            This one.

        Raises
        ------
        InvalidInputError
            If the block does not fit those before (the columns of a frame must be those of the first one, in
            their order), holds NaN or infinity, or has a row that was added before.

        Examples
        --------
        >>> import numpy as np
        >>> import nearlin
        >>> nearlin.StreamingCoreset(5, rng=0).partial_fit(np.eye(7, 2)).covered
        (range(0, 7),)
        """
        if is_blocks(A):
            return self._add_blocks(A, {"y": y, "sample_weight": sample_weight}, row_offset, n_jobs)
        names, named = column_names(A), string_names(A)
        return self._add(A, y, sample_weight, row_offset, n_jobs, names=names, named=named)

    merge = in_turn(RowStream.merge)

    def _add_blocks(
        self, rows: Any, beside: dict[str, object], row_offset: int | None, n_jobs: int | None
    ) -> Self:
        """Add all rows of blocks or, after an error, none."""
        for name, value in beside.items():
            if value is not None:
                raise InvalidTypeError(
                    "is given beside rows in blocks, expected None: see nearlin.data.blocks", argument=name
                )
        twin, names = self.copy(), rows.feature_names
        for X, y, weights, start in rows:
            offset = None if row_offset is None else row_offset + start
            twin._add(X, y, weights, offset, n_jobs, names=names, named=names)
        self._state = twin._state
        return self

    def _add(
        self,
        A: object,
        y: object,
        sample_weight: object,
        row_offset: int | None,
        n_jobs: int | None,
        *,
        names: list[str] | None,
        named: list[str] | None,
    ) -> Self:
        matrix = as_matrix(A, allow_empty=True)
        weights = as_sample_weight(sample_weight, matrix.shape[0], accept_zero=True)
        targets, vector = 0, False
        if y is not None:
            d = matrix.shape[1]
            matrix, vector = with_targets(matrix, y, weights)
            targets = matrix.shape[1] - d
        with naming_columns(names):
            self._state.partial_fit(
                matrix,
                targets=targets,
                vector=vector,
                names=named,
                sample_weight=weights,
                row_offset=optional(check_int, row_offset, "row_offset", at_least=0, at_most=LARGEST),
                threads=resolve_threads(n_jobs),
            )
        return self

    def result(self, *, n_jobs: int | None = None) -> RowSample:
        """Return the sample of the rows so far; the stream may go on.

        Parameters
        ----------
        n_jobs : int, optional
            Number of threads; see :func:`nearlin.set_config` for the default. It does not change a bit of the
            result.

        Returns
        -------
        RowSample
            With the rows themselves in `rows`, their targets in `targets`, and in `feature_names` what
            columns of frames are called. `scores` are those of these rows. `expected_size` is what was to be
            expected for leverage scores; for Lewis weights, given the rows that they draw from; for root
            leverage scores the most that could be, and so it is told, as their sum is not known without those
            of the rows that are gone.

        Raises
        ------
        InvalidInputError
            If there are no rows, all of them are zero, or `size` is less than their rank.

        Warns
        -----
        GuaranteeWarning
            Once at most: if the sample has lost a direction, if directions that are lost in the rounding of
            larger ones were cut off, or for p other than 2: nothing bounds its distortion.

        Examples
        --------
        >>> import numpy as np
        >>> import nearlin
        >>> nearlin.StreamingCoreset(5, rng=0).partial_fit(np.eye(7, 2)).result().rows
        array([[1., 0.],
               [0., 1.]])
        """
        found = self._state.result(threads=resolve_threads(n_jobs))
        _, p, h, by_lewis, _ = self._state.parameters
        shape = self._state.shape
        assert shape is not None
        d, targets, vector, _ = shape
        with copying("rows"):
            rows = np.ascontiguousarray(found["rows"].T)
            y = rows[:, d:].copy() if targets else None
            rows = rows[:, :d].copy() if targets else rows
        covered = self.covered
        figures = _figures(found)
        warn_of(figures, len(found["indices"]), p)
        return RowSample(
            indices=found["indices"],
            weights=found["weights"],
            p=p,
            scores=found["scores"],
            expected_size=found["expected_size"],
            certificate=certificate_of(figures, p, None),
            rule="lewis" if by_lewis else "leverage" if h == 1.0 else "root_leverage",
            design="bernoulli",
            n_rows=covered[-1].stop,
            rank=found["rank"],
            rows=rows,
            targets=y[:, 0] if y is not None and vector else y,
            feature_names=self._state.names,
        )

    def __repr__(self) -> str:
        size, p, *_ = self._state.parameters
        return f"<StreamingCoreset of {size} of {self.n_rows_seen} rows, for p = {p:g}>"


def _figures(found: _core.StreamedSample) -> _core.SampleFigures:
    """Return what was measured, as of a sample of rows that are there."""
    return {
        "exact": None if found["exact"] is None else max(found["exact"], float(found["is_lost"])),
        "found": 1.0 if found["is_lost"] and found["exact"] is None else None,
        "bound": None,
        "rounding": found["rounding"],
        "is_cut": found["is_cut"],
    }
