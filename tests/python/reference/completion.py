"""Matrix completion by alternating ridge regressions in slow NumPy, and matrices to complete."""

import numpy as np

__all__ = ["balanced", "bias_penalty", "core", "fold_in", "instance", "magnitude_step", "noiseless"]
__all__ += ["objective", "sweep", "unit"]

DAMPING = 5.0


def instance(shape, rank, share, noise=0.1, seed=0, biases=True):
    """Return rows, columns and values of observed entries, and the whole matrix without noise."""
    rng = np.random.default_rng(seed)
    m, n = shape
    truth = rng.standard_normal((m, rank)) @ rng.standard_normal((rank, n)) / np.sqrt(rank)
    if biases:
        truth += 0.5 * rng.standard_normal((m, 1)) + 0.5 * rng.standard_normal(n) + 3.0
    rows, cols = np.nonzero(rng.random(shape) < share)
    return rows, cols, truth[rows, cols] + noise * rng.standard_normal(len(rows)), truth


def noiseless(n, k, oversampling, condition=1.0, seed=0, spikes=None):
    """Return rows, columns and values of entries of an n x n matrix of rank k, and the matrix.

    There are `oversampling` entries for each degree of freedom; factors are Gaussian, or, with a condition
    number, orthonormal times singular values in a geometric row; spikes = (how many, times how large).
    """
    rng = np.random.default_rng(seed)
    left, right = rng.standard_normal((2, n, k))
    if spikes is not None:
        left[: spikes[0]] *= spikes[1]
        right[: spikes[0]] *= spikes[1]
    if condition != 1.0:
        left, right = np.linalg.qr(left)[0] * n / np.sqrt(k), np.linalg.qr(right)[0]
        left *= np.geomspace(1.0, 1.0 / condition, k)
    truth = left @ right.T
    rows, cols = np.nonzero(rng.random((n, n)) < oversampling * k * (2 * n - k) / n**2)
    return rows, cols, truth[rows, cols], truth


def core(rows, cols, shape, rank):
    """Return which rows and columns are left when those with fewer than `rank` entries go, repeatedly."""
    left = [np.ones(count, bool) for count in shape]
    while True:
        at = left[0][rows] & left[1][cols]
        for side, index in enumerate((rows, cols)):
            few = np.bincount(index[at], minlength=shape[side]) < rank
            if (few & left[side]).any():
                left[side] &= ~few
                break
        else:
            return left


def unit(rows, cols, values, shape, bias=True):
    """Return the standard deviation of what damped means of columns, then of rows, leave of values."""
    left = np.array(values, dtype=float)
    for index, count in ((cols, shape[1]), (rows, shape[0])) if bias else ():
        number = np.bincount(index, minlength=count)
        left -= (np.bincount(index, left, minlength=count) / (number + DAMPING))[index]
    return np.sqrt(np.mean(left**2))


def bias_penalty(reg):
    """Return the penalty of biases for that of factors, both in the same unit."""
    return min(max(reg, 1e-3), 0.5)


def balanced(rows, cols, U, V, exponent=0.5):
    """Return V mapped so that it and U, mapped the other way round, have a diagonal weighted Gram matrix."""

    def roots(gram):
        values, vectors = np.linalg.eigh(gram)
        return np.sqrt(np.maximum(values, 2.0**-26.5 * values[-1])), vectors

    powers = (np.bincount(index, minlength=len(X)) ** float(exponent) for index, X in ((rows, U), (cols, V)))
    G, H = ((X.T * power) @ X for X, power in zip((U, V), powers, strict=True))
    d, E = roots(G)
    s, Q = roots(d[:, None] * (E.T @ H @ E) * d)
    return V @ (E * d) @ (Q / np.sqrt(s))


def regressions(lines, others, values, Y, other_bias, penalty, exponent, bias, count):
    """Return factor and biases of one side, which cost `bias` or are none; Y and its biases are the other."""
    k = Y.shape[1]
    X, own = np.zeros((count, k)), np.zeros(count)
    for i in range(count):
        at = lines == i
        n = np.count_nonzero(at)
        if n == 0:
            continue
        A, t = Y[others[at]], values[at]
        ridge = np.full(k, penalty * n**exponent)
        if bias:
            A, t = np.hstack([A, np.ones((n, 1))]), t - other_bias[others[at]]
            ridge = np.append(ridge, bias * n**exponent)
        x = np.linalg.lstsq(
            np.vstack([A, np.diag(np.sqrt(ridge))]), np.concatenate([t, np.zeros(len(ridge))]), rcond=None
        )[0]
        X[i] = x[:k]
        if bias:
            own[i] = x[k]
    return X, own


def sweep(rows, cols, values, V, col_bias, penalty, exponent=0.5, bias=0.5, shape=None):
    """Return U, V and biases after an exact sweep from V, rows first; values less their mean, in any unit."""
    m, n = shape
    U, b = regressions(rows, cols, values, V, col_bias, penalty, exponent, bias, m)
    V, c = regressions(cols, rows, values, U, b, penalty, exponent, bias, n)
    return U, V, b, c


def magnitude_step(rows, cols, values, U, V, b, c, length, of_bias):
    """Return factors and biases after a step along the slope of the sum of absolute errors.

    Lines go along means over their entries, the two factors by a mean length and biases by `of_bias` at most.
    """
    signs = np.sign(values - b[rows] - c[cols] - np.einsum("ij,ij->i", U[rows], V[cols]))
    moved = []
    for index, others, X, own, Y in ((rows, cols, U, b, V), (cols, rows, V, c, U)):
        number = np.bincount(index, minlength=len(X))
        along = np.zeros_like(X)
        np.add.at(along, index, signs[:, None] * Y[others])
        along /= number[:, None]
        along *= length * np.sqrt(len(X)) / np.linalg.norm(along)
        moved += [X + along, own + of_bias * np.bincount(index, signs, minlength=len(X)) / number]
    return moved[0], moved[2], moved[1], moved[3]


def fold_in(cols, values, V, col_bias, penalty, exponent=0.5, bias=0.5):
    """Return the factor and the bias of one row with these entries."""
    X, own = regressions(np.zeros(len(cols), int), cols, values, V, col_bias, penalty, exponent, bias, 1)
    return X[0], own[0]


def objective(rows, cols, values, U, V, b, c, penalty, exponent=0.5, bias=0.5):
    """Return what is minimised."""
    error = values - b[rows] - c[cols] - np.einsum("ij,ij->i", U[rows], V[cols])
    total = error @ error
    for index, X, own in ((rows, U, b), (cols, V, c)):
        power = np.bincount(index, minlength=len(X)).astype(float) ** exponent * (
            np.bincount(index, minlength=len(X)) > 0
        )
        total += penalty * power @ np.sum(X**2, axis=1)
        if bias:
            total += bias * power @ own**2
    return total
