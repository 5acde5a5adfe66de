"""Sketches entry by entry, from their definitions, out of Philox in plain Python."""

import itertools
import math

import numpy as np
import scipy.linalg

MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
WEYL = 0x9E3779B9, 0xBB67AE85
WORD = 2**32
TARGETS, SIGNS, PERMUTATIONS, WEIGHTS, SAMPLE, ENTRIES, TENSOR_SIGNS, TENSOR_PICKS = range(8)
SHORTEST_CHUNK = 1024


def philox(counter, key):
    """Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011)."""
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = MULTIPLIERS[0] * c[0], MULTIPLIERS[1] * c[2]
        c = [p1 // WORD ^ c[1] ^ k[0], p1 % WORD, p0 // WORD ^ c[3] ^ k[1], p0 % WORD]
        k = [(word + step) % WORD for word, step in zip(k, WEYL, strict=True)]
    return c


def words(seed, purpose, row, count):
    """The first words of a row; operator 0."""
    key, where = (seed % WORD, seed // WORD), (row % WORD, row // WORD)
    drawn = [philox((*where, draw, purpose), key) for draw in range(-(-count // 4))]
    return [word for draw in drawn for word in draw][:count]


def signs(seed, purpose, row, count):
    bits = words(seed, purpose, row, -(-count // 32))
    return np.array([1.0 - 2.0 * (bits[k // 32] >> k % 32 & 1) for k in range(count)])


def normals(seed, purpose, row, count):
    """Normals of Box and Muller, rounded to single precision."""
    u = (np.array(words(seed, purpose, row, count + count % 2)) + 0.5) / WORD
    radius, angle = np.sqrt(-2 * np.log(u[::2])), 2 * np.pi * u[1::2]
    pairs = np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
    return pairs.ravel()[:count].astype(np.float32).astype(float)


def permutation(seed, row, count):
    """Fisher and Yates."""
    order, drawn = list(range(count)), words(seed, PERMUTATIONS, row, count)
    for last in range(count - 1, 0, -1):
        chosen = drawn[last] * (last + 1) // WORD
        order[last], order[chosen] = order[chosen], order[last]
    return order


def sparse_sign(m, n, seed, *, zeta):
    S = np.zeros((m, n))
    for i in range(n):
        for block, word in enumerate(words(seed, TARGETS, i, zeta)):
            start, stop = block * m // zeta, (block + 1) * m // zeta
            S[start + (word // 2 * (stop - start) >> 31), i] = (-1) ** (word % 2)
    return S / math.sqrt(zeta)


def count_sketch(m, n, seed):
    return sparse_sign(m, n, seed, zeta=1)


def pht(m, n, seed, *, weights="signs", chunk=None):
    pool = 8 if weights == "normals" else 1
    chunk = chunk or max(SHORTEST_CHUNK, pool * power_of_two(m))
    draw, H, parts = {"signs": signs, "normals": normals}[weights], scipy.linalg.hadamard(chunk), []
    for c in range(-(-n // chunk)):
        g = draw(seed, WEIGHTS, c, chunk)
        Z = g[:, np.newaxis] * (H * signs(seed, SIGNS, c, chunk))[permutation(seed, c, chunk)]
        parts.append([Z[k::m].sum(axis=0) for k in range(m)])
    return np.hstack(parts)[:, :n] / math.sqrt(chunk)


def srht(m, n, seed):
    chunk = max(SHORTEST_CHUNK, power_of_two(m))
    rows = sample(seed, m, power_of_two(max(n, chunk)))
    rows.sort(key=lambda row: (row % chunk, row // chunk))
    H = np.array([[(-1.0) ** (row & i).bit_count() for i in range(n)] for row in rows])
    D = np.concatenate([signs(seed, SIGNS, c, chunk) for c in range(-(-n // chunk))])
    return H * D[:n] / math.sqrt(m)


def sample(seed, m, length):
    """Floyd's choice of m numbers below `length`."""
    chosen = []
    for last in range(length - m, length):
        candidate = index(seed, SAMPLE, last, last + 1)
        chosen.append(last if candidate in chosen else candidate)
    return chosen


def gaussian(m, n, seed):
    return np.column_stack([normals(seed, ENTRIES, i, m) for i in range(n)]) / math.sqrt(m)


def power_of_two(least):
    """The first that is not below `least`."""
    return 1 << (least - 1).bit_length()


def tensor_srht(m, dims, seed):
    """Maps of pairs in a balanced binary tree, numbered as they are met on the way down and to the right."""
    number = itertools.count()

    def build(dims):
        own = next(number) * 256
        sides = []
        middle = -(-len(dims) // 2)
        for side, part in enumerate((dims[:middle], dims[middle:])):
            below = build(part) if len(part) > 1 else np.eye(part[0])
            rows = len(below)
            H = scipy.linalg.hadamard(power_of_two(rows))[:, :rows]
            sides.append(H * signs(seed, own + TENSOR_SIGNS, side, rows) @ below)
        drawn = [index(seed, own + TENSOR_PICKS, k, len(sides[k % 2])) for k in range(2 * m)]
        rows = [np.kron(sides[0][i], sides[1][j]) for i, j in zip(drawn[::2], drawn[1::2], strict=True)]
        return np.array(rows) / math.sqrt(m)

    return build(list(dims) if len(dims) > 1 else [dims[0], 1])


def index(seed, purpose, row, bound):
    """Number below a bound."""
    low, high = words(seed, purpose, row, 2)
    return (high * WORD + low) * bound >> 64
