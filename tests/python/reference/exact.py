"""Backward errors of least-squares answers in rational arithmetic, for a few dozen rows and a few columns."""

import math
from fractions import Fraction

import numpy as np


def fractions(values):
    """The same numbers, exactly."""
    values = np.asarray(values)
    return values if values.dtype == object else np.vectorize(Fraction, otypes=[object])(values.astype(float))


class Exact:
    """min |W^(1/2) (b - A x)|^2 + ridge |x|^2, all numbers as they stand; `centred` under an intercept.

    The error is that of Karlson and Walden relative to |A|_F, columns of A scaled to norm one, where weights
    and ridge are part of A; not `scaled`, columns are taken as they are.
    """

    def __init__(self, A, b, *, sample_weight=None, ridge=0.0, centred=False, scaled=True):
        self.A, self.b = fractions(A), fractions(b).reshape(len(b), -1)
        self.w = fractions(np.ones(len(self.A)) if sample_weight is None else sample_weight)
        if centred:
            self.A, self.b = (M - (self.w @ M) / sum(self.w) for M in (self.A, self.b))
        self.ridge, d = Fraction(float(ridge)), self.A.shape[1]
        self.WA = (self.A.T * self.w).T
        self.G = self.A.T @ self.WA + self.ridge * np.eye(d, dtype=int)
        self.squares = np.array([g or Fraction(1) if scaled else Fraction(1) for g in self.G.diagonal()])
        self.frobenius = sum(g / square for g, square in zip(self.G.diagonal(), self.squares, strict=True))

    def error(self, x, target=0):
        """Backward error of an answer to one target."""
        x, b = fractions(x), self.b[:, target]
        r = b - self.A @ x
        g = self.WA.T @ r - self.ridge * x
        size = sum(self.w * b * b) + self.frobenius * sum(self.squares * x * x)
        if not any(g) or not any(self.w * b * b):
            return 0.0 if not any(g) else math.inf
        front = self.frobenius / size
        damping = front * (sum(self.w * r * r) + self.ridge * sum(x * x))
        solved = solve(self.G + np.diag(damping * self.squares), g) if damping else solve(self.G, g)
        return root(front / self.frobenius * sum(g * solved))

    def minimiser(self, target=0):
        """The minimiser, as fractions."""
        return solve(self.G, self.WA.T @ self.b[:, target])


def solve(H, g):
    """H^-1 g for a positive semidefinite H in whose range g is."""
    H, g = H.copy(), g.copy()
    for j in range(len(g)):
        if not H[j, j]:
            continue
        H[j], g[j] = H[j] / H[j, j], g[j] / H[j, j]
        for i in range(len(g)):
            if i != j and H[i, j]:
                factor = H[i, j]
                H[i], g[i] = H[i] - factor * H[j], g[i] - factor * g[j]
    return g


def root(square):
    """The square root of a fraction of any magnitude, as a float."""
    if square <= 0:
        return 0.0
    shift = (square.numerator.bit_length() - square.denominator.bit_length()) // 2
    return math.ldexp(math.sqrt(square / Fraction(4) ** shift), shift)
