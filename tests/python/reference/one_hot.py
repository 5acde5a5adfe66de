"""Random frames of factors as one-hot columns, and their answer of least norm under an intercept."""

import numpy as np
import scipy.sparse as sp
from numpy.testing import assert_allclose

from nearlin import LinearRegression


def one_hot(rng, n, levels):
    """One column a level, of a factor drawn at random."""
    return sp.csr_array((np.ones(n), rng.integers(0, levels, n), np.arange(n + 1)), shape=(n, levels))


class Frame:
    """One to four factors of 2 to 300 levels in 50 to 100,000 rows, n d^2 <= `largest` beyond 60 rows."""

    def __init__(self, seed, largest):
        rng = np.random.default_rng(seed)
        levels = np.exp(rng.uniform(np.log(2), np.log(300), rng.integers(1, 5))).astype(int)
        most = min(1e5, max(60.0, largest / levels.sum() ** 2))
        n = int(np.exp(rng.uniform(np.log(50), np.log(most))))
        self.X = sp.hstack([one_hot(rng, n, int(count)) for count in levels]).tocsc()
        self.X = self.X[:, np.diff(self.X.indptr) > 0]
        self.dtype = np.float32 if rng.random() < 0.3 else np.float64
        y = self.X @ rng.standard_normal(self.X.shape[1]) + rng.standard_normal(n)
        self.y = y.astype(self.dtype)
        self.weights = rng.random(n) + 0.1 if rng.random() < 0.4 else None
        self.layout = ["C", "F", "csr_array", "csc_array"][rng.integers(4)]
        weighted = "" if self.weights is None else ", weighted"
        self.name = f"seed {seed}: {levels}, {self.X.shape}, {self.dtype.__name__}, {self.layout}{weighted}"

    @property
    def data(self):
        """X in its layout."""
        X = self.X.astype(self.dtype)
        return X.toarray(order=self.layout) if self.layout in "CF" else getattr(sp, self.layout)(X)

    def least_norm(self):
        """Rank, slopes of least norm and fitted values."""
        return least_norm(self.X, self.y.astype(np.float64), self.weights)


def least_norm(X, y, weights=None):
    """Rank, slopes of least norm and fitted values, by the eigenvalues of the centred cross products."""
    X = sp.csr_array(X)
    w = np.ones(len(y)) if weights is None else weights / weights.max()
    means, about = w @ X / w.sum(), y - w @ y / w.sum()
    products = (X.T @ sp.csr_array(X.multiply(w[:, np.newaxis]))).toarray() - w.sum() * np.outer(means, means)
    values, vectors = np.linalg.eigh(products)
    kept = values > 1e-9 * values[-1]
    slopes = vectors[:, kept] / values[kept] @ (vectors[:, kept].T @ (X.T @ (w * about)))
    return int(kept.sum()), slopes, X @ slopes - means @ slopes + w @ y / w.sum()


def check(frame):
    """Fit a frame, and compare rank, slopes and predictions with the oracle's."""
    X = frame.data
    rank, slopes, fitted = frame.least_norm()
    model = LinearRegression().fit(X, frame.y, sample_weight=frame.weights)
    tolerance = 1e-4 if frame.dtype == np.float32 else 1e-8
    about = f"{frame.name}, by {model.method_}"
    assert model.rank_ == rank, about
    assert_allclose(model.coef_, slopes, rtol=0, atol=tolerance * np.abs(slopes).max(), err_msg=about)
    assert_allclose(model.predict(X), fitted, rtol=0, atol=tolerance * np.abs(frame.y).max(), err_msg=about)
    return model
