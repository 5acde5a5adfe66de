"""Slow oracles for least squares, and the instances on which the guarantees are checked.

Nothing here calls nearlin. The backward error is that of Karlson and Walden (1997) for errors in both A and
b, on the column-scaled problem, from the exact singular values of A and a residual in extended precision; it
is within sqrt(2) of the smallest perturbation of (A, b) that makes x an exact minimiser.
"""

import math
from fractions import Fraction

import numpy as np
import scipy.linalg
import scipy.sparse

UNIT_ROUNDOFF = 2.0**-53


# --- oracles ------------------------------------------------------------------------------------------------


def explicit(A, b, *, ridge=0.0, sample_weight=None, fit_intercept=False):
    """Write weights, ridge and intercept into the rows and columns of a plain least-squares problem."""
    A = A.toarray() if scipy.sparse.issparse(A) else np.asarray(A)
    A, b = A.astype(float), np.asarray(b, float)
    d = A.shape[1]
    if fit_intercept:
        A = np.column_stack([A, np.ones(len(A))])
    if sample_weight is not None:
        root = np.sqrt(np.asarray(sample_weight, float))
        A, b = A * root[:, None], (b.T * root).T
    if ridge:
        A = np.vstack([A, np.sqrt(ridge) * np.eye(d, A.shape[1])])
        b = np.concatenate([b, np.zeros((d, *b.shape[1:]))])
    return A, b


def backward_error(A, b, x):
    """Column-scaled Karlson-Walden backward error of x relative to |A|_F; one figure for each column of b."""
    return BackwardError(A).of(b, x)


class BackwardError:
    """`backward_error` for many answers to one matrix, which is decomposed once."""

    def __init__(self, A):
        A = np.asarray(A, float)
        self.scale = column_norms(A)
        _, self.singular, self.right = np.linalg.svd(A / self.scale, full_matrices=False)
        self.extended = A.astype(np.longdouble)

    def of(self, b, x):
        """Figure for each column of b, a float for a vector."""
        b = np.asarray(b, float)
        if b.ndim == 2:
            return np.array([self.of(b[:, j], np.asarray(x)[:, j]) for j in range(b.shape[1])])
        fro = np.linalg.norm(self.singular)
        x = np.asarray(x, float).astype(np.longdouble)
        r = b.astype(np.longdouble) - self.extended @ x
        g = self.right @ (self.extended.T @ r / self.scale)
        norm_b, norm_r, norm_y = map(np.linalg.norm, (b.astype(np.longdouble), r, x * self.scale))
        if norm_b == 0.0:
            return 0.0 if norm_y == 0.0 else np.inf
        theta = fro / norm_b
        front = theta / np.sqrt(1.0 + (theta * norm_y) ** 2)
        with np.errstate(divide="ignore", invalid="ignore"):
            parts = g / np.hypot(self.singular, front * norm_r)
        return float(front * np.linalg.norm(np.where(g == 0.0, 0.0, parts)) / fro)


def column_norms(A):
    """Norms of the columns, 1 for a column of zeros; safe against overflow."""
    norms = np.linalg.norm(A.astype(np.longdouble), axis=0).astype(float)
    return np.where(norms == 0.0, 1.0, norms)


def householder(A, b):
    """Least squares by LAPACK's Householder QR of the column-scaled matrix: the accuracy to be matched."""
    s = column_norms(A).astype(A.dtype)
    Q, R = scipy.linalg.qr(A / s, mode="economic")
    x = scipy.linalg.solve_triangular(R, Q.T @ b)
    return (x.T / s).T


def check(A, b, x, name, oracle=None, *, roundoff=UNIT_ROUNDOFF):
    """Assert that the backward error of x is at most ten times that of QR, or four units of roundoff.

    QR works in the precision of A, and the roundoff is to be that of A.
    """
    oracle = oracle or BackwardError(A)
    error, qr = oracle.of(b, x), oracle.of(b, householder(A, b))
    assert error <= max(10 * qr, 4 * roundoff), f"{name}: backward error {error:.1e}, that of QR {qr:.1e}"


def refined(A, b):
    """Least squares to all digits: QR refined on the augmented system, with residuals in long double."""
    s = column_norms(A)
    Q, R = scipy.linalg.qr(A / s, mode="economic")
    extended, b = (A / s).astype(np.longdouble), b.astype(np.longdouble)
    r, x = np.zeros(len(A), np.longdouble), np.zeros(A.shape[1], np.longdouble)
    for _ in range(6):
        f = (b - r - extended @ x).astype(float)
        h = scipy.linalg.solve_triangular(R, -(extended.T @ r).astype(float), trans="T")
        r += f - Q @ (Q.T @ f - h)
        x += scipy.linalg.solve_triangular(R, Q.T @ f - h)
    return (x / s).astype(float)


def minimum_norm(A, b, rcond=None):
    """Minimum-norm least squares by LAPACK's gelsd."""
    return scipy.linalg.lstsq(A, b, cond=rcond, lapack_driver="gelsd")[0]


def leave_one_out(X, y, alpha, *, sample_weight=None, fit_intercept=True):
    """Squared leave-one-out errors of ridge regression by n fits, times the weight, averaged over rows."""
    n = len(X)
    w = np.ones(n) if sample_weight is None else np.asarray(sample_weight, float)
    errors = []
    for i in range(n):
        keep = np.arange(n) != i
        A, b = explicit(X[keep], y[keep], ridge=alpha, sample_weight=w[keep], fit_intercept=fit_intercept)
        row = np.append(X[i], 1.0) if fit_intercept else X[i]
        errors.append(w[i] * (y[i] - row @ minimum_norm(A, b)) ** 2)
    return np.mean(errors, axis=0)


def exact_minimiser(A, b, *, ridge=0.0, sample_weight=None):
    """The minimiser in rational arithmetic, as an array of fractions: for a handful of rows and columns."""
    rational = np.vectorize(Fraction, otypes=[object])
    A, b = rational(np.asarray(A, float)), rational(np.asarray(b, float))
    W = rational(np.ones(len(A)) if sample_weight is None else np.asarray(sample_weight, float))
    H = (A.T * W) @ A + Fraction(float(ridge)) * np.eye(A.shape[1], dtype=int)
    x = (A.T * W) @ b
    for j in range(len(x)):
        pivot = H[j, j]
        H[j], x[j] = H[j] / pivot, x[j] / pivot
        for i in range(len(x)):
            if i != j:
                factor = H[i, j]
                H[i], x[i] = H[i] - factor * H[j], x[i] - factor * x[j]
    return x


class ForwardError:
    """x - x*, to two digits at least, for answers to one matrix that is decomposed once.

    Newton's steps from an answer, with gradients whose sums are rounded once: x* is that answer plus what
    they add up to. Of a deficient rank, x* is the best answer that differs from x in the row space of the
    column-scaled A only.
    """

    def __init__(self, A, rcond=1e-15):
        self.A = np.asarray(A, float)
        self.scale = column_norms(self.A)
        _, singular, right = np.linalg.svd(self.A / self.scale, full_matrices=False)
        kept = singular > rcond * singular[0]
        self.singular, self.right = singular[kept], right[kept] * (self.A != 0.0).any(axis=0)
        self.known = {}

    def of(self, b, x):
        """Error of each coefficient of one answer."""
        b, x = np.asarray(b, float), np.asarray(x, float)
        if b.tobytes() not in self.known:
            self.known[b.tobytes()] = x, self.newton(b, x)
        start, correction = self.known[b.tobytes()]
        moved = x - start
        if len(self.singular) < len(x):
            moved = self.right.T @ (self.right @ (moved * self.scale)) / self.scale
        return moved - correction

    def newton(self, b, x):
        """What x* is away from x."""
        correction = np.zeros_like(x)
        for _ in range(3):
            g = self.gradient(b, x, correction) / self.scale
            correction = correction + self.right.T @ ((self.right @ g) / self.singular**2) / self.scale
        return correction

    def gradient(self, b, *xs):
        """A'(b - A (x1 + x2 + ...)), every sum rounded once."""
        terms = [part for x in xs for part in exact_product(self.A, -x)]
        rows = np.column_stack([b, *terms]).tolist()
        high = np.array([math.fsum(row) for row in rows])
        low = np.array([math.fsum([*row, -h]) for row, h in zip(rows, high, strict=True)])
        terms = [part for r in (high, low) for part in exact_product(self.A, r[:, None])]
        return np.array([math.fsum(column) for column in np.vstack(terms).T.tolist()])


def exact_product(x, y):
    """Two arrays whose sum is x * y exactly (Dekker and Veltkamp)."""

    def split(x):
        head = 134217729.0 * x
        head = head - (head - x)
        return head, x - head

    product = x * y
    (x_head, x_tail), (y_head, y_tail) = split(x), split(y)
    lost = ((x_head * y_head - product) + x_head * y_tail + x_tail * y_head) + x_tail * y_tail
    return product, lost


# --- instances ----------------------------------------------------------------------------------------------


def problems(n, d, *, centre=0.0, zeros=0.0, decades=0.0, intercept=0.0, uneven=False):
    """Return a function that draws A and b = A x + noise, n x d and of one target where nothing else is said.

    Columns grow over so many decades, lie about `centre`, and have that share of zeros; uneven noise grows
    with the first of them.
    """

    def draw(n=n, d=d, k=None, *, seed=0, dtype=float):
        rng = np.random.default_rng(seed)
        A = rng.standard_normal((n, d)) * np.logspace(0.0, decades, d) + centre
        A[rng.random((n, d)) < zeros] = 0.0
        x, noise = rng.standard_normal((d, k or 1)), rng.standard_normal((n, k or 1))
        if uneven:
            noise *= 1.0 + np.abs(A[:, :1])
        b = A @ x + intercept + noise
        return A.astype(dtype), (b if k else b[:, 0]).astype(dtype)

    return draw


KAPPAS = tuple(10.0**e for e in range(1, 15))
RESIDUALS = (0.0, 1e-12, 1e-6, 1e-3, 1.0)


def graded(n, d, kappa, *, coherent=False, seed=0):
    """Singular values evenly from 1 to 1/kappa in the logarithm; the left space spread out or on few rows."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, d))
    if coherent:
        rows[:d] = np.eye(d)
        rows[d:] *= 1e-4
    left = np.linalg.qr(rows)[0]
    right = np.linalg.qr(rng.standard_normal((d, d)))[0]
    return (left * np.logspace(0.0, -np.log10(kappa), d)) @ right.T, left


def right_hand_side(A, left, residual, *, seed=0):
    """b = A x + r with |x| = 1 and r orthogonal to the range, |r| = residual."""
    rng = np.random.default_rng([seed, 1])
    x, r = rng.standard_normal(A.shape[1]), rng.standard_normal(len(A))
    r -= left @ (left.T @ r)
    return A @ (x / np.linalg.norm(x)) + residual * (r / np.linalg.norm(r))


def weights(n):
    """Ordinary weights, some of them zero."""
    w = np.random.default_rng(9).uniform(0.1, 3.0, n)
    w[::11] = 0.0
    return w


def unweighted(A, b, *, orders=12, zeros=0.1, seed=0):
    """Rows, and weights many orders apart, whose weighted rows are A and b; some more rows weigh nothing."""
    rng = np.random.default_rng([seed, 2])
    weight = 10.0 ** (orders * rng.uniform(-0.5, 0.5, len(A)))
    root = np.sqrt(weight)
    present = np.column_stack([A, b]) / root[:, None]
    junk = rng.standard_normal((int(zeros * len(A)), present.shape[1]))
    both = np.vstack([present, junk])
    order = rng.permutation(len(both))
    weight = np.append(weight, np.zeros(len(junk)))[order]
    return both[order, :-1], both[order, -1], weight


def surveyed(n=1850, d=712, seed=0):
    """Differences of near neighbours along a line that is tied down at one end; columns of many sizes."""
    rng = np.random.default_rng(seed)
    first = np.concatenate([np.arange(d), rng.integers(0, d, n - d)])
    second = np.concatenate([np.arange(1, d + 1), first[d:] + rng.integers(1, 4, n - d)])
    rows = np.repeat(np.arange(n), 2)
    values = np.column_stack([np.ones(n), -np.ones(n)]) * rng.uniform(0.5, 2.0, n)[:, None]
    values[second >= d] *= 0.02
    entries = (values.ravel(), (rows, np.column_stack([first, second]).ravel()))
    A = scipy.sparse.csr_array(entries, shape=(n, d + 3))[:, :d]
    return scipy.sparse.csr_array(A.multiply(10.0 ** rng.uniform(-1.5, 1.5, d)))


def hard(n=4000, d=50, seed=0):
    """Matrices of full rank that break sketches, row samples or Gram matrices, by name."""
    rng = np.random.default_rng(seed)
    G = rng.standard_normal((n, d))
    one_hot = np.zeros((n, d))
    one_hot[np.arange(n), rng.integers(1, d, n)] = 1.0
    one_hot[: n // 2, 0] = 1.0
    near = G.copy()
    near[:, 1] = near[:, 0] + 1e-13 * rng.standard_normal(n)
    return {
        "identity over 1e-8 G": np.vstack([np.eye(d), 1e-8 * G[d:]]),
        "five rows times 1e8": np.vstack([1e8 * G[:5], G[5:]]),
        "one-hot blocks": one_hot,
        "Cauchy entries": rng.standard_cauchy((n, d)),
        "columns 1e-8 to 1e8": G * np.logspace(-8, 8, d),
        "row weights e^-18 to e^18": G * np.exp(rng.uniform(-18.0, 18.0, n))[:, None],
        "Vandermonde of degree 29": np.vander(np.linspace(-1.0, 1.0, n), 30),
        "near-duplicate column": near,
    }


def rank_deficient(n=4000, d=50, seed=0):
    """Matrices whose rank is known, by name: (A, rank)."""
    rng = np.random.default_rng(seed)
    G = rng.standard_normal((n, d))
    zero, duplicate = G.copy(), G.copy()
    zero[:, 7] = 0.0
    duplicate[:, 1] = duplicate[:, 0]
    return {
        "zero column": (zero, d - 1),
        "duplicate column": (duplicate, d - 1),
        "rank 30 of 50": (G[:, :30] @ rng.standard_normal((30, d)), 30),
        "40 distinct rows": (G[rng.integers(0, 40, n)], 40),
    }


def heavy_rows(n, d, factor, seed):
    """d - 1 rows so heavy that no sample of rows sees the condition number they cause."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, d))
    A[rng.choice(n, d - 1, replace=False)] *= factor
    return A, A @ rng.standard_normal(d) + rng.standard_normal(n)


# --- covariances --------------------------------------------------------------------------------------------


def covariance(X, y, kind="nonrobust", *, ridge=0.0, sample_weight=None, fit_intercept=True, rcond=1e-12):
    """Covariance of intercept and coefficients for one target: B diag(variances) B', the fit being B y."""
    X, y = explicit(X, y)
    n, d = X.shape
    w = np.ones(n) if sample_weight is None else np.asarray(sample_weight, float)
    X, y, w = X[w > 0.0], y[w > 0.0], w[w > 0.0]
    share = w / w.sum() * fit_intercept
    root = np.sqrt(w)
    centred = (X - share @ X) * root[:, None]
    penalised = np.vstack([centred, np.sqrt(ridge) * np.eye(d)]) if ridge else centred
    B = np.linalg.pinv(penalised, rcond)[:, : len(y)] * root
    design = X
    if fit_intercept:
        B = np.vstack([share - share @ X @ B, B])
        design = np.column_stack([np.ones(len(y)), X])
    e = y - design @ (B @ y)
    leverage = np.einsum("ij,ji->i", design, B)
    freedom = len(y) - leverage.sum()
    variances = {
        "nonrobust": (w @ e**2) / freedom / w,
        "HC0": e**2,
        "HC1": e**2 * len(y) / freedom,
        "HC2": e**2 / (1.0 - leverage),
        "HC3": e**2 / (1.0 - leverage) ** 2,
    }[kind]
    return (B * variances) @ B.T
