"""Regression in the p-norm and of quantiles in slow NumPy, with what proves an answer."""

import numpy as np
import scipy.optimize
import scipy.sparse

__all__ = [
    "frisch_newton",
    "globbed",
    "huber",
    "huber_objective",
    "least",
    "loss",
    "lower_bound",
    "norm",
    "smallest_largest",
]


def loss(r, level, weights=1.0):
    """Return the sum of level r above zero and (level - 1) r below."""
    return float((weights * np.where(r > 0.0, level * r, (level - 1.0) * r)).sum())


def norm(r, p, weights=1.0):
    if p == np.inf:
        return float(np.abs(r)[np.broadcast_to(weights, r.shape) > 0.0].max(initial=0.0))
    return float((weights * np.abs(r) ** p).sum() ** (1.0 / p))


def least(A, b, level, weights=None, penalty=0.0, free=0):
    """Return the least loss, by linear programming; the last `free` coefficients have no penalty."""
    n, d = A.shape
    w = np.ones(n) if weights is None else weights
    cost = np.full(d, penalty)
    cost[d - free :] = 0.0
    c = np.r_[cost, cost, level * w, (1.0 - level) * w]
    A_eq = scipy.sparse.hstack([A, -A, scipy.sparse.eye(n), -scipy.sparse.eye(n)], format="csc")
    found = scipy.optimize.linprog(c, A_eq=A_eq, b_eq=b, method="highs")
    assert found.status == 0, found.message
    return float(found.fun)


def smallest_largest(A, b):
    """Return the smallest largest residual, by linear programming."""
    n, d = A.shape
    ones = np.ones((n, 1))
    bounds = [(None, None)] * d + [(0, None)]
    A_ub = np.block([[A, -ones], [-A, -ones]])
    found = scipy.optimize.linprog(np.r_[np.zeros(d), 1.0], A_ub=A_ub, b_ub=np.r_[b, -b], bounds=bounds)
    assert found.status == 0, found.message
    return float(found.fun)


def lower_bound(A, b, x, p):
    """Return what the weighted least squares at x prove that no p-norm is below."""
    r = b - A @ x
    D = np.maximum(np.abs(r), 1e-9 * np.abs(r).max()) ** (p - 2.0)
    root = np.sqrt(D)
    z = D * (b - A @ np.linalg.lstsq(root[:, None] * A, root * b, rcond=None)[0])
    z -= A @ np.linalg.lstsq(A, z, rcond=None)[0]
    return float(z @ b / np.linalg.norm(z, p / (p - 1.0)))


def frisch_newton(A, b, level, tol=1e-10, max_iter=100):
    """Return coefficients and multipliers of the primal-dual method on all rows."""
    n = len(b)
    y = np.full(n, 1.0 - level)
    x = np.linalg.lstsq(A, b, rcond=None)[0]
    r = b - A @ x
    w = np.maximum(r, 0.0) + 1e-3 * np.abs(r).mean()
    z, s = w - r, 1.0 - y
    for _ in range(max_iter):
        r = w - z
        if (np.where(r > 0.0, s, -y) * r).sum() <= tol * loss(r, level):
            break
        q = 1.0 / (z / y + w / s)
        M = A.T @ (q[:, None] * A)
        M[np.diag_indices_from(M)] *= 1.0 + 1e-14
        products = z @ y + w @ s

        def follow(extra, M=M, q=q, r=r):
            dx = np.linalg.solve(M, A.T @ (q * (r + extra)))
            return dx, q * (r + extra - A @ dx)

        def shares(dy, dz, dw, y=y, s=s, z=z, w=w):
            primal = max((-dy / y).max(), (dy / s).max())
            dual = max((-dz / z).max(), (-dw / w).max())
            return 0.99995 / max(0.99995, primal), 0.99995 / max(0.99995, dual)

        _, dy = follow(0.0)
        dz, dw = -z * (1.0 + dy / y), -w * (1.0 - dy / s)
        primal, dual = shares(dy, dz, dw)
        after = (z + dual * dz) @ (y + primal * dy) + (w + dual * dw) @ (s - primal * dy)
        mu = products * (after / products) ** 3 / (2 * n)
        P, Q = dy * dz / y, -dy * dw / s
        dx, dy = follow(mu * (1.0 / y - 1.0 / s) - P + Q)
        dz, dw = mu / y - z - z * dy / y - P, mu / s - w + w * dy / s - Q
        primal, dual = shares(dy, dz, dw)
        x, y, s = x + dual * dx, y + primal * dy, s - primal * dy
        z, w = z + dual * dz, w + dual * dw
    return x, y - (1.0 - level)


def globbed(A, b, level, rng):
    """Return the optimum from a fraction of the rows, how many these were, and wrong signs by round."""
    n, d = A.shape
    L = np.linalg.cholesky(A.T @ A)
    scores = np.sqrt((np.linalg.solve(L, A.T) ** 2).sum(axis=0))
    size = n ** (2.0 / 3.0) * d ** (1.0 / 3.0)
    probability = np.minimum(1.0, size * scores / scores.sum())
    drawn = np.flatnonzero(rng.uniform(size=n) < probability)
    half = rng.uniform(size=len(drawn)) < 0.5
    fits = []
    for rows in (drawn[half], drawn[~half]):
        weights = 1.0 / probability[rows]
        fits.append(frisch_newton(weights[:, None] * A[rows], weights * b[rows], level, 1e-5)[0])
    centre = 0.5 * (fits[0] + fits[1])
    delta = 3.0 * np.linalg.norm(L.T @ (fits[0] - fits[1])) / (2.0 * np.sqrt(d))
    r = b - A @ centre
    side = np.where(np.abs(r) <= delta * scores, 0, np.sign(r)).astype(int)
    wrong = []
    while True:
        kept = side == 0
        rows = np.vstack([A[kept], A[side > 0].sum(axis=0), A[side < 0].sum(axis=0)])
        target = np.r_[b[kept], b[side > 0].sum(), b[side < 0].sum()]
        x = frisch_newton(rows, target, level)[0]
        flipped = (side != 0) & (side * (b - A @ x) < 0.0)
        wrong.append(int(flipped.sum()))
        if not wrong[-1]:
            return x, int(kept.sum()), wrong
        side[flipped] = 0


def huber_objective(A, b, x, scale, epsilon, alpha, weights=1.0, free=0):
    """Return the objective of scikit-learn's HuberRegressor; the last `free` coefficients have no penalty."""
    z = np.abs(b - A @ x) / scale
    H = np.where(z < epsilon, z**2, 2.0 * epsilon * z - epsilon**2)
    penalised = x[: len(x) - free]
    return float((weights * (scale + H * scale)).sum() + alpha * penalised @ penalised)


def huber(A, b, epsilon, alpha, weights=None, scale=None, free=0):
    """Return coefficients and scale that a general minimiser finds."""
    w = np.ones(len(b)) if weights is None else weights

    def value(v):
        sigma = np.exp(v[-1]) if scale is None else scale
        return huber_objective(A, b, v[: A.shape[1]], sigma, epsilon, alpha, w, free)

    start = np.linalg.lstsq(A, b, rcond=None)[0]
    start = np.r_[start, 0.0] if scale is None else start
    found = scipy.optimize.minimize(value, start, method="BFGS", options={"gtol": 1e-9, "maxiter": 5000})
    x = found.x[: A.shape[1]]
    return x, float(np.exp(found.x[-1])) if scale is None else scale
