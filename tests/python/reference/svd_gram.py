"""Rows and columns appended by one small eigendecomposition, as fast as NumPy does it: what the bench times.

The bases are never rotated: rows that updates leave alone wait for the product of all their rotations.
"""

import numpy as np
import scipy.linalg
import scipy.sparse as sp

__all__ = ["GramUpdates", "Levels"]


class Levels:
    """A tall matrix: row i is data[i] K[j] K[j+1] ... K[-1], where j is its level, the last the latest."""

    def __init__(self, values):
        self.data, self.length = np.array(values, dtype=np.float64), len(values)
        self.level = np.zeros(self.length, dtype=np.intp)
        self.K = [np.eye(self.data.shape[1])]
        self.rows = [None]  # of each level the rows put there, of which some may have gone on; all of level 0
        self.live = [self.length]

    def rotate(self, a):
        self.K[-1] = self.K[-1] @ a

    def get(self, ids):
        """Return some rows, those of the earliest levels carried upward first."""
        order = np.argsort(self.level[ids], kind="stable")
        ids = ids[order]
        ends = np.searchsorted(self.level[ids], np.arange(len(self.K)), side="right")
        values = self.data[ids]
        for K, end in zip(self.K, ends, strict=True):
            if end:
                values[:end] = values[:end] @ K
        found = np.empty_like(values)
        found[order] = values
        return found

    def put(self, ids, values):
        """Write rows to a new level, with all levels that are less than twice as large as what is there."""
        for j, count in enumerate(np.bincount(self.level[ids], minlength=len(self.K))):
            self.live[j] -= count
        self.level[ids] = -1
        count, moved = len(ids), [(ids, values)]
        while self.live and self.live[-1] <= 2 * count:
            top, rows, K = len(self.live) - 1, self.rows.pop(), self.K.pop()
            rows = np.flatnonzero(self.level == 0) if top == 0 else rows[self.level[rows] == top]
            self.level[rows] = -1
            moved.append((rows, self.data[rows] @ K))
            count += self.live.pop()
            if self.K:
                self.K[-1] = self.K[-1] @ K
        for rows, value in moved:
            self.data[rows] = value
            self.level[rows] = len(self.live)
        self.rows.append(np.concatenate([rows for rows, _ in moved]) if self.live else None)
        self.live.append(count)
        self.K.append(np.eye(self.data.shape[1]))

    def append(self, values):
        start, stop = self.length, self.length + len(values)
        if stop > len(self.data):
            grown = max(stop, 3 * len(self.data) // 2)
            self.data = np.resize(self.data, (grown, self.data.shape[1]))
            self.level = np.resize(self.level, grown)
        self.length, self.level[start:stop] = stop, len(self.live)
        # They are new to the level to come, from which `put` takes them.
        self.rows.append(np.arange(start, stop))
        self.live.append(stop - start)
        self.K.append(np.eye(self.data.shape[1]))
        self.put(self.rows[-1], values)

    def all(self):
        return self.get(np.arange(self.length))


class GramUpdates:
    """U, s and V of a matrix to which rows and columns are appended: as many triplets as there were."""

    def __init__(self, U, s, V):
        self.left, self.s, self.right = Levels(U), np.array(s, dtype=np.float64), Levels(V)

    def append_rows(self, E):
        self._append(self.left, self.right, sp.csr_array(E))

    def append_columns(self, F):
        self._append(self.right, self.left, sp.csr_array(F.T))

    def _append(self, longer, other, E):
        """Append rows to the model, or to its transpose."""
        k, count = len(self.s), E.shape[0]
        touched = np.unique(E.indices)
        E = sp.csr_array((E.data, np.searchsorted(touched, E.indices), E.indptr), shape=(count, len(touched)))
        before = other.get(touched)
        G = np.zeros((k + count, k + count))
        G[np.arange(k), np.arange(k)] = self.s**2
        G[k:, :k] = (E @ before) * self.s
        G[k:, k:] = (E @ E.T).toarray()
        squares, F = scipy.linalg.eigh(
            G, subset_by_index=[count, k + count - 1], overwrite_a=True, check_finite=False
        )
        theta, F = np.sqrt(np.maximum(squares[::-1], 0.0)), F[:, ::-1]
        F *= np.where(F.diagonal() < 0.0, -1.0, 1.0)
        a, W = self.s[:, np.newaxis] * F[:k] / theta, F[k:] / theta
        longer.rotate(F[:k])
        longer.append(F[k:])
        other.rotate(a)
        other.put(touched, before @ a + E.T @ W)
        self.s = theta
