"""Top eigenvectors of A'A from one pass over the rows of A: the algorithms, slowly.

Kacham and Woodruff (2024) keep heavy rows as they are and run the power method over blocks of the light ones,
in random order; Price and Xun (2024) run Oja's rule, with a proof from its growth, in any order. Nothing here
calls nearlin. Random starts come from a function `normal(purpose, row, column)`, so that they can be those of
another implementation.

Summaries are few rows N, where N'N stands for the A'A of all rows that were absorbed.
"""

import copy
import functools
import heapq
import math

import numpy as np

CHUNK = 32
START, ITERATION, SKETCH = range(3)
"""What normal numbers are for."""


# --- steps that the algorithms share ------------------------------------------------------------------------


def random_normal(seed):
    """Normal numbers as a function of where they are used."""

    @functools.cache
    def drawn(purpose, row, part):
        return np.random.default_rng((seed, purpose, row, part)).standard_normal(CHUNK)

    return lambda purpose, row, column: drawn(purpose, row, column // CHUNK)[column % CHUNK]


def gaussian(normal, purpose, m, n, first=0):
    return np.array([[normal(purpose, i, first + j) for j in range(n)] for i in range(m)])


def orth(X):
    return np.linalg.qr(X)[0]


def unit(x):
    return x / np.linalg.norm(x)


def top(M, k):
    """The k rows s_i v_i' of the best model of M."""
    _, s, Vt = np.linalg.svd(M, full_matrices=False)
    return s[:k, None] * Vt[:k]


def stack(parts, k=1):
    """Eigenvectors, as rows whose largest entries are positive, and eigenvalues: of the sum of N'N.

    Zeros are the vectors of eigenvalues that are zero.
    """
    M = np.vstack(parts)
    _, s, Vt = np.linalg.svd(np.pad(M, [(0, k), (0, 0)]), full_matrices=False)
    V, s = Vt[:k], s[:k]
    signs = np.sign(V[np.arange(len(V)), abs(V).argmax(axis=1)])
    return (signs * (s > 0.0))[:, None] * V, s**2


def correlation(v, truth):
    return float(v @ truth) ** 2


class Heap:
    """The h rows of largest norm, of equal ones the earliest."""

    def __init__(self, h):
        self.h, self.n, self.entries = h, 0, []

    def push(self, X):
        """Take rows in order, and return those that are light: none before there are h, and no zeros."""
        light = []
        for x in X:
            self.n += 1
            norm = float(x @ x)
            if norm == 0.0:
                continue
            # Of equal norms the latest is least, and numbers differ: rows are never compared.
            entry = (norm, -self.n, x)
            light.append(entry if len(self.entries) == self.h else None)
            if light[-1] is None:
                heapq.heappush(self.entries, entry)
            elif self.h and norm > self.entries[0][0]:
                light[-1] = heapq.heapreplace(self.entries, entry)
        return np.array([entry[2] for entry in light if entry is not None]).reshape(-1, X.shape[1])

    def rows(self):
        """The rows in the order of the stream, in a list."""
        return [x for _, _, x in sorted(self.entries, key=lambda entry: -entry[1])]


class Stream:
    """Heavy rows as they are, light ones by a method; all rows as they are while they are few."""

    def __init__(self, light, h=32, capacity=0):
        self.light, self.heap, self.n = light, Heap(h), 0
        self.first, self.exact, self.waiting = CHUNK * (capacity // CHUNK), True, []

    def partial_fit(self, X):
        self.n += len(X)
        self.waiting.extend(X)
        self.exact = self.exact and len(self.waiting) < self.first + CHUNK
        if not self.exact:
            whole = len(self.waiting) // CHUNK * CHUNK
            for start in range(0, whole, CHUNK):
                self._absorb(self.waiting[start : start + CHUNK])
            del self.waiting[:whole]
        return self

    def _absorb(self, rows):
        X = self.heap.push(np.array(rows))
        if len(X):
            self.light.absorb(X)

    def finished(self):
        """A copy to read, in which no rows wait."""
        final = copy.deepcopy(self)
        if not self.exact and self.waiting:
            final._absorb(final.waiting)
            final.waiting = []
        return final

    def top(self, k=1):
        if self.exact:
            return stack(self.waiting, k)
        final = self.finished()
        return stack([final.light.summary(), *final.heap.rows()], k)


# --- methods for the light rows in random order -------------------------------------------------------------


class BlockPower:
    """The power method over growing blocks, with a history that forgets what it had before it converged.

    A block with a few rows that are longer than the rest does not wipe out a history that had converged and
    whose first direction keeps at least half of its energy; the last block, however short, is closed if it
    agrees with the history; and what has not converged is not scaled up for rows that it forgot.
    """

    def __init__(self, d, b, normal, *, block=256, k=1, tau=0.8):
        self.d, self.b, self.normal, self.block, self.k, self.tau = d, min(b, d), normal, block, k, tau
        self.W, self.mass, self.n, self.draws = np.zeros((0, d)), 0.0, 0, 0
        self.blocks = []
        """Of each block that was closed: overlap before it, first column of Q, squares of its products."""
        self._draw()

    def _draw(self):
        drawn = gaussian(self.normal, START, self.d, self.b, first=self.draws * self.b)
        self.draws += 1
        self._open(orth(drawn), 0.0)

    def _open(self, Q, overlap):
        self.Q, self.overlap = Q, overlap
        self.S, self.m, self.f, self.squares = np.zeros_like(Q), 0, 0.0, []

    def direction(self):
        return self.Q[:, 0]

    def absorb(self, X):
        Y = X @ self.Q
        self.S += X.T @ Y
        self.n, self.m, self.f = self.n + len(X), self.m + len(X), self.f + (X**2).sum()
        self.squares.extend(Y[:, 0] ** 2)
        if self.m >= self.block:
            self._close()

    def _close(self):
        T = self.Q.T @ self.S
        if np.trace(T) <= 1e-14 * self.f:
            # Rows on few axes may never meet Q.
            self.mass += self.m
            self._draw()
            return
        self.blocks.append((self.overlap, self.Q[:, 0], np.array(self.squares)))
        w, V = np.linalg.eigh((T + T.T) / 2)
        U, s, _ = np.linalg.svd(self.S @ V / np.sqrt(np.maximum(w, 1e-12 * w[-1])), full_matrices=False)
        overlap = 0.0
        if len(self.W):
            past = np.linalg.svd(self.W, full_matrices=False)[2][: self.k]
            overlap = np.linalg.svd(past @ U[:, : self.k])[1][-1] ** 2
            rate = np.mean(self.squares) * self.mass
            if overlap < self.tau <= self.overlap and rate >= (self.W[0] @ self.W[0]) / 2:
                overlap = 1.0
        beta = overlap**2
        self.W = top(np.vstack([math.sqrt(beta) * self.W, s[:, None] * U.T]), self.b)
        self.mass = beta * self.mass + self.m
        unconverged = overlap < self.tau
        self.block = math.ceil(self.block * (1.25 if unconverged else 1.5))
        self._open(U if unconverged else orth(self.W.T), overlap)

    def finished(self):
        """A copy whose last block is closed, or dropped if so short that it would wipe out the history."""
        final = copy.deepcopy(self)
        if not self.m:
            return final
        final._close()
        long = self.m >= self.block / 2 and self.overlap < self.tau
        return final if not len(self.W) or final.overlap >= self.tau or long else copy.deepcopy(self)

    def summary(self):
        final = self.finished()
        if not len(final.W) or final.overlap < self.tau:
            return final.W
        return math.sqrt(final.n / final.mass) * final.W

    def order_statistic(self):
        """Largest drop of the rate out of sample, in standard errors: large where rows are not shuffled."""
        worst, best, error = 0.0, -math.inf, 0.0
        for overlap, _, squares in self.blocks:
            if overlap >= self.tau:
                rate, own = squares.mean(), squares.std() / math.sqrt(len(squares))
                if rate < best:
                    worst = max(worst, (best - rate) / max(math.hypot(error, own), 1e-12 * best))
                else:
                    best, error = rate, own
        return worst

    def rayleigh(self, heavy):
        """u'A'A u of the u that the last block was measured along, and the half-width of a 95% interval."""
        final = self.finished()
        _, u, squares = final.blocks[-1]
        energy = float(np.sum((heavy @ u) ** 2)) + final.n * squares.mean()
        return energy, 1.96 * final.n * squares.std() / math.sqrt(len(squares))


def block_power(d, normal, b=8, h=32, **options):
    return Stream(BlockPower(d, b, normal, **options), h, h + 3 * b)


def merge(one, other):
    """Add what another stream of block power has seen to `one`."""
    if one.exact or other.exact:
        few, many = (one, other) if one.exact else (other, one)
        return copy.deepcopy(many).partial_fit(few.waiting)
    result = copy.deepcopy(one)
    a, b = result.light, other.light
    evicted = result.heap.push(np.array(other.heap.rows()).reshape(-1, a.d))
    a.W = top(np.vstack([a.summary(), b.summary(), evicted]), a.b)
    a.n += b.n + len(evicted)
    a.mass, a.block = float(a.n), max(a.block, b.block)
    a._open(orth(a.W.T), min(a.overlap, b.overlap))
    result.n += other.n - len(other.waiting)
    return result.partial_fit(other.waiting)


class Incremental:
    """The best b rows of [B; chunk], chunk by chunk; exactly, or by `steps` of orthogonal iteration."""

    def __init__(self, d, b, normal, *, steps=None):
        self.b, self.normal, self.steps, self.B = min(b, d), normal, steps, np.zeros((0, d))

    def direction(self):
        return unit(self.B[0]) if len(self.B) else np.zeros(self.B.shape[1])

    def absorb(self, X):
        M = np.vstack([self.B, X])
        self.B = top(M, self.b) if self.steps is None else self._iterate(M)

    def _iterate(self, M):
        G, n = M @ M.T, len(M)
        X = np.hstack([np.eye(n, min(self.b, n)), gaussian(self.normal, ITERATION, n, 4)])[:, :n]
        for _ in range(self.steps):
            X = orth(G @ X)
        return (X @ np.linalg.eigh(X.T @ G @ X)[1][:, ::-1][:, : self.b]).T @ M

    def summary(self):
        return self.B


class Auto:
    """Both, and of their summaries the one whose directions had more of the chunks to come."""

    def __init__(self, d, b, normal, *, steps=None):
        self.both = Incremental(d, b, normal, steps=steps), BlockPower(d, b, normal, block=64)
        self.chunks, self.scores = 0, np.zeros(2)

    def absorb(self, X):
        self.chunks += 1
        scores = [np.sum((X @ method.direction()) ** 2) for method in self.both]
        self.scores = (1 - 1 / self.chunks) * self.scores + scores
        for method in self.both:
            method.absorb(X)

    def chosen(self):
        return self.both[int(self.scores[1] > self.scores[0])]

    def summary(self):
        return self.chosen().summary()


def auto(d, normal, b=8, h=32, **options):
    return Stream(Auto(d, b, normal, **options), h, h + 4 * b)


def kacham_woodruff(A, normal, *, c=1.0, sample=None, pick=False):
    """The paper's algorithm, which knows the number of rows and their energy.

    With `sample` = C / eps^2, light rows are sampled by their norms. With `pick`, the answer is the better of
    the two that heavy and light rows give, not that of their stack.
    """
    n, d = A.shape
    t, norms = max(math.ceil(math.log(d)), 1), (A**2).sum(axis=1)
    heavy, keep = norms >= c * norms.sum() / (d * t), np.ones(n)
    if sample is not None:
        keep = np.minimum(1.0, sample * d * math.log(d) * norms / norms.sum())
    z, energy = unit(gaussian(normal, START, d, 1)[:, 0]), 0.0
    for block in np.array_split(np.arange(n), t):
        rows = [i for i in block if not heavy[i] and (keep[i] == 1.0 or uniform(normal, i) < keep[i])]
        X = A[rows] / np.sqrt(keep[rows])[:, None]
        s = X.T @ (X @ z)
        if s.any():
            z, energy = unit(s), t * float(np.linalg.norm(s))
    light = math.sqrt(energy) * z[None]
    if pick:
        return max((stack([part]) for part in (A[heavy], light) if len(part)), key=lambda pair: pair[1][0])
    return stack([light, A[heavy]])


def uniform(normal, row):
    """A uniform number, by the distribution function of the normal one."""
    return 0.5 * math.erfc(normal(SKETCH, int(row), 0) / math.sqrt(2))


# --- any order ----------------------------------------------------------------------------------------------


def oja(A, w, rates):
    """Oja's rule at several rates at once, numbers or a function of how many rows were read.

    Returns the unit vectors, as columns, and the logarithms of how much they grew.
    """
    schedule = rates if callable(rates) else lambda t: rates
    W, growth = np.repeat(w[:, None], len(schedule(1)), axis=1), 0.0
    for t, x in enumerate(A, 1):
        W, more = oja_step(W, x, schedule(t))
        growth = growth + more
    return W, growth


def oja_step(W, x, rates):
    W = W + x[:, None] * (rates * (x @ W))
    norms = np.sqrt(np.einsum("ij,ij->j", W, W))
    return W / norms, np.log(norms)


class Ladder:
    """Oja's rule at the rates 2^j, which start when they begin to matter, or all of those given at once."""

    def __init__(self, d, normal, *, delta=0.01, rungs=None):
        self.w = unit(gaussian(normal, START, d, 1)[:, 0])
        self.s, self.largest, self.energy = np.zeros(d), 0.0, 0.0
        self.saturation, self.lazy = math.log(1 / delta), rungs is None
        self.j = np.sort(np.array([] if self.lazy else rungs, dtype=float))[::-1]
        self.next = None
        self.W, self.growth = np.repeat(self.w[:, None], len(self.j), axis=1), np.zeros(len(self.j))

    def absorb(self, X):
        for x in X:
            self._row(x)

    def _row(self, x):
        norm = float(x @ x)
        self.energy, self.largest = self.energy + norm, max(self.largest, norm)
        if self.lazy:
            self._spawn()
        self.W, more = oja_step(self.W, x, 2.0**self.j)
        self.growth += more
        self.s += x * (x @ self.w)
        # One row may fake growth at a rate that is too high. Above one that has grown enough none is wanted.
        saturated = np.flatnonzero(self.growth >= self.saturation)
        keep = (np.arange(len(self.j)) >= saturated.max(initial=0)) & (2.0**self.j * self.largest <= 2.0)
        self.j, self.W, self.growth = self.j[keep], self.W[:, keep], self.growth[keep]

    def _spawn(self):
        if self.next is None:
            self.next = math.floor(math.log2(2.0 / self.largest))
        while 2.0**self.next * self.energy >= 0.05:
            w = self.w + 2.0**self.next * self.s
            self.j, self.W = np.append(self.j, self.next), np.column_stack([self.W, unit(w)])
            self.growth = np.append(self.growth, math.log(np.linalg.norm(w)))
            self.next -= 1

    def chosen(self):
        """Vector, rate and growth of the lowest rate that grew enough or, if none did, of that with most."""
        saturated = np.flatnonzero(self.growth >= self.saturation)
        i = saturated[-1] if len(saturated) else int(self.growth.argmax())
        return self.W[:, i], 2.0 ** self.j[i], self.growth[i], len(saturated) > 0

    def summary(self):
        if not len(self.j):
            return np.zeros((0, len(self.w)))
        v, rate, growth, _ = self.chosen()
        return math.sqrt((growth + math.log(len(v)) / 2) / rate) * v[None]

    def certified(self, second):
        """Whether growth proves anything, given the second eigenvalue of the rows that were absorbed."""
        _, rate, growth, saturated = self.chosen()
        return saturated and growth_bound(rate, second, growth) < 1.0


def ladder(d, normal, h=32, rungs=None):
    return Stream(Ladder(d, normal, rungs=rungs), h)


# --- sketches -----------------------------------------------------------------------------------------------


class FrequentDirections:
    """Ghashami, Liberty, Phillips and Woodruff (2016): 0 <= A'A - B'B <= delta I."""

    def __init__(self, d, l):  # noqa: E741
        self.l, self.B, self.delta = l, np.zeros((0, d)), 0.0

    def partial_fit(self, X):
        for x in X:
            self.B = np.vstack([self.B, x])
            if len(self.B) == 2 * self.l:
                self._shrink()
        return self

    def _shrink(self):
        _, s, Vt = np.linalg.svd(self.B, full_matrices=False)
        delta = s[self.l - 1] ** 2 if len(s) >= self.l else 0.0
        kept = np.flatnonzero(s**2 > delta)
        self.B, self.delta = np.sqrt(s[kept] ** 2 - delta)[:, None] * Vt[kept], self.delta + delta

    def merge(self, other):
        self.B, self.delta = np.vstack([self.B, other.B]), self.delta + other.delta
        if len(self.B) >= 2 * self.l:
            self._shrink()
        return self

    def top(self, k=1):
        return stack([self.B], k)

    def bound(self):
        """Of the sine to the top eigenvector."""
        s = np.append(np.linalg.svd(self.B, compute_uv=False), 0.0) ** 2
        gap = s[0] - s[1] - self.delta
        return self.delta / gap if gap > self.delta else 1.0


class Sketch:
    """Tropp, Yurtsever, Udell and Cevher (2017): A'A times a fixed basis; rows may be taken back."""

    def __init__(self, d, l, normal):  # noqa: E741
        self.basis = orth(gaussian(normal, SKETCH, d, min(l, d)))
        self.Y = np.zeros_like(self.basis)

    def partial_fit(self, X, sign=1.0):
        self.Y += sign * X.T @ (X @ self.basis)
        return self

    def merge(self, other):
        self.Y += other.Y
        return self

    def top(self, k=1):
        shift = math.sqrt(len(self.Y)) * np.finfo(float).eps * np.linalg.norm(self.Y)
        if shift == 0.0:
            return stack([self.Y.T], k)
        Y = self.Y + shift * self.basis
        T = self.basis.T @ Y
        root = np.linalg.solve(np.linalg.cholesky((T + T.T) / 2), Y.T)
        _, s, Vt = np.linalg.svd(root, full_matrices=False)
        return stack([np.sqrt(np.maximum(s**2 - shift, 0.0))[:, None] * Vt], k)


# --- peers --------------------------------------------------------------------------------------------------


def adaoja(A, w, batch=10):
    """Henriksen and Ward (2019)."""
    energy = 1e-10
    for start in range(0, len(A), batch):
        X = A[start : start + batch]
        g = X.T @ (X @ w) / len(X)
        energy += g @ g
        w = unit(w + g / math.sqrt(energy))
    return w


def ccipca(A, amnesia=2.0):
    """Weng, Zhang and Hwang (2003)."""
    v = A[0] * np.linalg.norm(A[0])
    for t, x in enumerate(A[1:], 2):
        new = (1.0 + (amnesia if t > amnesia + 1 else 0.0)) / t
        v = (1 - new) * v + new * x * (x @ unit(v))
    return unit(v)


def history_pca(A, Q, batch=50):
    """Yang, Hsieh and Wang (2018), with one step for a batch."""
    past, L = Q, np.zeros(Q.shape[1])
    for j, start in enumerate(range(0, len(A) - batch + 1, batch), 1):
        X = A[start : start + batch]
        Z = (j - 1) / j * past * L @ (past.T @ Q) + X.T @ (X @ Q) / (j * batch)
        past = Q = orth(Z)
        L = np.linalg.norm(Z, axis=0)
    return Q[:, 0]


# --- what is proved -----------------------------------------------------------------------------------------


def growth_bound(rate, second, growth, start=1.0):
    """Of the sine to v_1 of Oja's vector, from a unit vector of which `start` is orthogonal to v_1."""
    return math.sqrt(rate * second / 2) + start * math.exp(-growth)


def stack_bound(R, eps=0.0):
    """Of the sine to v_1 of the top of heavy rows and a light summary with an error of eps lambda_1."""
    gap = 1 - 2 / R - eps
    return (1 / R + eps) / gap if gap > 0 else 1.0


def merge_bound(R, parts):
    """Of the sine to v_1 of the stack of the exact top pairs of so many parts."""
    return parts / (R - parts - 1) if R > parts + 1 else 1.0
