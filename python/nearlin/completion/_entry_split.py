"""Entries that are held out."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from nearlin._validation import as_seed, check_int, check_real
from nearlin.exceptions import InvalidInputError

from ._entries import as_entries, coordinates
from ._ids import Ids

__all__ = ["EntrySplit"]

BLOCK = 1 << 20
"""Places among which as many are held out as their share: an interrupt is heard before the next ones."""


class EntrySplit:
    """Splits of observed entries, not of rows, into those for a fit and those for a test.

    What :class:`sklearn.model_selection.ShuffleSplit` is for rows. A model of a matrix knows nothing of rows
    that it has not seen; what is asked of it is the rest of those that it has. Entries of one place stay
    together, so that no test asks for what the fit was told.

    Parameters
    ----------
    n_splits : int, default=5
        Number of splits, each drawn by itself.
    test_size : float, default=0.1
        The part of the places with entries that is held out, in (0, 1).
    random_state : None, int or numpy.random.RandomState, optional
        Of the draws.

    Examples
    --------
    >>> import numpy as np
    >>> import nearlin
    >>> rng = np.random.default_rng(0)
    >>> rows, cols = np.divmod(rng.permutation(2000)[:1500], 40)
    >>> values = np.sin(rows) + np.cos(cols) + 0.1 * rng.standard_normal(1500)
    >>> split = nearlin.EntrySplit(1, random_state=0)
    >>> for train, test in split.split((rows, cols, values)):
    ...     model = nearlin.MatrixCompletion(2, reg=0.3, random_state=0)
    ...     _ = model.fit((rows[train], cols[train], values[train]))
    ...     print(len(test), -model.score((rows[test], cols[test], values[test])) < 0.2)
    150 True
    """

    def __init__(self, n_splits: int = 5, test_size: float = 0.1, random_state: object = None) -> None:
        self.n_splits = n_splits
        self.test_size = test_size
        self.random_state = random_state

    def split(
        self, X: object, y: object = None, groups: object = None
    ) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
        """Yield positions of entries for the fit, and for the test.

        Parameters
        ----------
        X : tuple, frame, sparse matrix or array_like
            Observed entries as :meth:`MatrixCompletion.fit` takes them; of a sparse matrix they are counted
            as they are stored, of an array row by row.
        y, groups : ignored
            For loops that hand them on.

        Yields
        ------
        train, test : ndarray of int64
            Positions in increasing order.

        Raises
        ------
        InvalidInputError
            If there are not enough entries for either.
        """
        rows, cols, _ = coordinates(as_entries(X))
        place = _places(rows, cols)
        count = len(rows) if place is None else int(place.max(initial=-1)) + 1
        splits = check_int(self.n_splits, "n_splits", at_least=1)
        size = check_real(self.test_size, "test_size", above=0.0, below=1.0)
        held_out = round(size * count)
        if not 0 < held_out < count:
            raise InvalidInputError(
                f"has entries in {count} places, {held_out} of which are held out, expected some of both",
                argument="X",
            )
        rng = np.random.default_rng(as_seed(self.random_state, "random_state"))
        for _ in range(splits):
            out = _drawn(rng, count, held_out)
            out = out if place is None else out[place]
            yield np.flatnonzero(~out), np.flatnonzero(out)

    def get_n_splits(self, X: object = None, y: object = None, groups: object = None) -> int:
        """Return the number of splits.

        Parameters
        ----------
        X, y, groups : ignored
            For loops that hand them on.

        Returns
        -------
        int
            As it was given.
        """
        return self.n_splits

    def __repr__(self) -> str:
        return (
            f"EntrySplit(n_splits={self.n_splits}, test_size={self.test_size}, "
            f"random_state={self.random_state})"
        )


def _drawn(rng: np.random.Generator, count: int, held_out: int) -> npt.NDArray[np.bool_]:
    """Return which of so many places are held out."""
    out = np.zeros(count, dtype=bool)
    for start in range(0, count, BLOCK):
        end = min(start + BLOCK, count)
        share = held_out * end // count - held_out * start // count
        out[start + rng.permutation(end - start)[:share]] = True
    return out


def _places(rows: npt.NDArray[Any], cols: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
    """Return the number of each entry's place, row after row; None if all differ."""
    rows, cols = (Ids(numbers, ("int",)).numbered("X")[1] for numbers in (rows, cols))
    width = int(cols.max(initial=0)) + 1
    code = rows.astype(np.int64) * width
    code += cols
    ids, place = Ids(code, ("int",)).numbered("X")
    return None if len(ids) == len(code) else place
