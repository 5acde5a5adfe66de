"""An SVD that follows a changing matrix, all of it dense: after each update, the best model of its rank.

That is what Zha and Simon's method computes from the factors. The matrix itself and its model take the same
calls as the estimator.
"""

import numpy as np
import scipy.sparse as sp

from nearlin import TruncatedSVD

from .svd import dense

__all__ = [
    "COMPRESSING",
    "EXACT",
    "REFERENCES",
    "SUBSPACE",
    "UPDATES",
    "Matrix",
    "Truncated",
    "assert_follows",
    "assert_pca",
    "assert_sound",
    "factors",
    "fitted",
    "follow",
    "heavy_rows",
    "leading_share",
    "mostly_on",
    "orthogonality",
    "pca",
    "power_law",
    "product",
    "scattered",
    "scattered_rows",
    "true_error",
]


EXACT = ["auto", "gram", "qr", "krylov"]
"""The methods that give what Zha and Simon's does."""

REFERENCES = ["lcov", "lcov-gkl", "lcov-rpi", "zha-simon", "vecharynski-saad", "yamazaki"]
"""The methods to compare with."""

COMPRESSING = ["lcov-gkl", "lcov-rpi", "vecharynski-saad", "yamazaki"]
"""Those that lose some of a batch that is wider than what they compress to."""

SUBSPACE = {"krylov": 1e-11}
"""Errors of their subspaces, where they are not those of rounding."""


class Matrix:
    """The matrix itself."""

    def __init__(self, A):
        self._set(dense(A))

    def _set(self, A):
        self.A = A

    def append_rows(self, X):
        X = dense(X)
        self._set(np.vstack([np.pad(self.A, [(0, 0), (0, X.shape[1] - self.A.shape[1])]), X]))

    def append_columns(self, F):
        self._set(np.hstack([self.A, dense(F)]))

    def update(self, D, E):
        self._set(self.A + dense(D) @ dense(E).T)

    def add_entries(self, rows, cols, deltas):
        A = self.A.copy()
        np.add.at(A, (rows, cols), deltas)
        self._set(A)

    def set_entries(self, rows, cols, new, old):
        self.add_entries(rows, cols, np.subtract(new, old))

    def delete_rows(self, ids, values=None):
        self._set(np.delete(self.A, ids, axis=0))

    def delete_columns(self, ids, values=None):
        self._set(np.delete(self.A, ids, axis=1))

    def decay(self, factor):
        self._set(factor * self.A)

    def slide(self, X, values=None):
        self.append_rows(X)
        self.delete_rows(range(X.shape[0]))

    def merge(self, other):
        self.append_rows(other.A)


class Truncated(Matrix):
    """Its model: truncated to `rank` after every update."""

    def __init__(self, A, rank):
        self.rank, self.sensitivity = rank, 1.0
        """How much an error of the subspaces is magnified in the model, by the smallest gap so far."""
        super().__init__(A)

    def _set(self, A):
        U, s, Vt = np.linalg.svd(A, full_matrices=False)
        k = min(self.rank, len(s))
        if len(s) > k and s[k] > 1e-13 * s[0]:
            self.sensitivity = max(self.sensitivity, s[0] / max(s[k - 1] - s[k], 1e-300))
        self.s, self.A = s[:k], (U[:, :k] * s[:k]) @ Vt[:k]

    def truncate(self, k):
        self.rank = k
        self._set(self.A)


# --- one update of each kind, as the name of a method and its arguments -------------------------------------


def scattered_rows(rng, m, n, each=5):
    """CSR with standard normal entries, some `each` a row."""
    each = min(each, n)
    columns = [rng.choice(n, each, replace=False) for _ in range(m)]
    indices = np.concatenate([*columns, np.zeros(0, int)])
    return sp.csr_array((rng.standard_normal(m * each), indices, each * np.arange(m + 1)), shape=(m, n))


def scattered(m=60, n=40, each=6, seed=0):
    """The matrix from which most tests start."""
    return scattered_rows(np.random.default_rng(seed), m, n, each)


def _positions(A, rng, s):
    return np.unravel_index(rng.choice(A.size, s, replace=False), A.shape)


def _some(rng, n, s):
    return rng.choice(n, min(s, n // 2), replace=False)


def _delete(A, rng, s, axis, exact=True):
    ids = _some(rng, A.shape[axis], s)
    return ids, *([sp.csr_array(np.take(A, ids, axis))] if exact else [])


def _set_entries(A, rng, s):
    positions = _positions(A, rng, s)
    return *positions, rng.standard_normal(s), A[positions]


UPDATES = {
    "rows": lambda A, rng, s: ("append_rows", (scattered_rows(rng, s, A.shape[1]),)),
    "wider rows": lambda A, rng, s: ("append_rows", (scattered_rows(rng, s, A.shape[1] + 2),)),
    "columns": lambda A, rng, s: ("append_columns", (scattered_rows(rng, s, A.shape[0]).T,)),
    "low rank": lambda A, rng, s: ("update", tuple(scattered_rows(rng, s, n, 3).T for n in A.shape)),
    "entries": lambda A, rng, s: ("add_entries", (*_positions(A, rng, s), rng.standard_normal(s))),
    "set": lambda A, rng, s: ("set_entries", _set_entries(A, rng, s)),
    "delete rows": lambda A, rng, s: ("delete_rows", _delete(A, rng, s, 0)),
    "delete columns": lambda A, rng, s: ("delete_columns", _delete(A, rng, s, 1)),
    "forget rows": lambda A, rng, s: ("delete_rows", _delete(A, rng, s, 0, exact=False)),
    "decay": lambda A, rng, s: ("decay", (0.9,)),
}


def follow(models, A, kinds, steps, seed=0, s=5):
    """Make the same random updates to the matrix and to its models, and yield the matrix after each."""
    rng, truth = np.random.default_rng(seed), Matrix(A)
    for kind in rng.choice(kinds, steps):
        name, arguments = UPDATES[kind](truth.A, rng, s)
        for one in (truth, *models):
            getattr(one, name)(*arguments)
        yield truth.A


# --- estimators ---------------------------------------------------------------------------------------------


def fitted(A, k=8, method="auto", **options):
    """Return an estimator that keeps k triplets and no more, and the dense model that starts from them."""
    model = TruncatedSVD(k, oversample=0, method=method, tol=1e-12, random_state=0, **options).fit(A)
    return model, Truncated(product(model), k)


def factors(model):
    """Return U, s and V of an estimator, in double precision."""
    factors = model.left_singular_vectors(), model.singular_values_, model.components_.T
    return tuple(np.asarray(factor, dtype=np.float64) for factor in factors)


def product(model):
    U, s, V = factors(model)
    return (U * s) @ V.T


def orthogonality(model):
    """Return the largest entry of U'U - I and V'V - I."""
    U, _, V = factors(model)
    return max(abs(Q.T @ Q - np.eye(Q.shape[1])).max(initial=0.0) for Q in (U, V))


def true_error(model, A):
    """Return |A - U S V'|_F / |A|_F."""
    A = dense(A)
    return np.linalg.norm(A - product(model)) / max(np.linalg.norm(A), 1e-300)


def leading_share(model, A):
    """Return the share of the energy of A that lies along the right singular vectors."""
    return (np.linalg.norm(A @ factors(model)[2]) / np.linalg.norm(A)) ** 2


def assert_follows(model, expected, digits=1e-11, orthonormal=1e-13, subspace=1e-14):
    """Compare an estimator of as many triplets as the model has, and no more, with what is expected of it."""
    s = np.zeros(len(expected.s))
    s[: len(model.singular_values_)] = model.singular_values_
    np.testing.assert_allclose(s, expected.s, rtol=digits, atol=digits * expected.s[0])
    difference = np.linalg.norm(product(model) - expected.A, 2)
    assert difference <= (digits + subspace * expected.sensitivity) * expected.s[0]
    assert orthogonality(model) <= orthonormal


def pca(X, weights=None):
    """Return the mean, and the variances and axes of all principal components."""
    w = np.ones(len(X)) if weights is None else weights
    mean = w @ X / w.sum()
    _, s, Vt = np.linalg.svd(np.sqrt(w)[:, np.newaxis] * (X - mean), full_matrices=False)
    return mean, s**2 / (w.sum() - (w**2).sum() / w.sum()), Vt


def assert_pca(model, A, weights=None):
    """Compare a centred model of all singular values with the principal components of the rows."""
    mean, variances, axes = pca(A, weights)
    k = model.n_components
    np.testing.assert_allclose(model.mean_, mean, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(model.explained_variance_, variances[:k], rtol=1e-10)
    if model.energy_ is not None:
        shares = variances[:k] / variances.sum()
        np.testing.assert_allclose(model.explained_variance_ratio_, shares, rtol=1e-10)
    np.testing.assert_allclose(abs(np.sum(model.components_ * axes[:k], axis=1)), 1.0, rtol=1e-10)
    np.testing.assert_allclose(model.transform(A), (A - mean) @ model.components_.T, atol=1e-11)


def assert_sound(model, A):
    """Compare with the truth all that a certificate is sure of."""
    certificate, s = model.certificate_, np.linalg.svd(dense(A), compute_uv=False)
    if certificate.confidence == 1.0:
        assert true_error(model, A) <= certificate.bound * (1 + 1e-9) + 1e-14
    else:
        assert np.isnan(certificate.bound) or certificate.confidence is None or certificate.confidence > 0.5
    bounds = certificate.details["singular_value_bounds"]
    assert len(bounds) == len(model.singular_values_)
    for true, found, (lower, upper) in zip(s, model.singular_values_, bounds, strict=False):
        assert lower <= found + 1e-9 * s[0]
        assert lower - 1e-9 * s[0] <= true <= upper + 1e-9 * s[0]


# --- hard instances -----------------------------------------------------------------------------------------


def heavy_rows(A, scale, count=12):
    """Return A with `count` columns of zeros, and rows of that size, in units of s_1, on them alone."""
    heavy = scale * np.linalg.norm(dense(A), 2) * np.eye(count)
    return np.pad(dense(A), [(0, 0), (0, count)]), np.pad(heavy, [(0, 0), (A.shape[1], 0)])


def mostly_on(ids, share, m=120, n=80, rank=6, seed=0):
    """Return a matrix of which one left singular vector has all but `share` of its norm on the rows `ids`."""
    rng = np.random.default_rng(seed)
    U = rng.standard_normal((m, rank))
    rest = np.setdiff1d(np.arange(m), ids)
    U[:, 0] /= np.linalg.norm(U[ids, 0])
    U[rest, 0] *= share / np.linalg.norm(U[rest, 0])
    U, V = np.linalg.qr(U)[0], np.linalg.qr(rng.standard_normal((n, rank)))[0]
    return (U * np.linspace(3.0, 2.0, rank)) @ V.T


def power_law(m, n, entries, seed=0):
    """CSR whose rows and columns have Pareto weights, with 64 planted blocks that hold most entries."""
    rng = np.random.default_rng(seed)
    sides = []
    block = rng.integers(0, 64, entries)
    planted = rng.random(entries) < 0.6
    for size in (m, n):
        weights = rng.pareto(1.5, size) + 1.0
        drawn = rng.choice(size, entries, p=weights / weights.sum())
        # Within a block the same draw falls on every 64th row or column.
        sides.append(np.where(planted, np.minimum(drawn // 64 * 64 + block, size - 1), drawn))
    return sp.coo_array((1.0 + rng.random(entries), tuple(sides)), shape=(m, n)).tocsr()
