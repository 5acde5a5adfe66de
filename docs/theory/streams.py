"""Angles to the first eigenvector in random order, and Frequent Directions with its certificate."""

import matplotlib.pyplot as plt
import numpy as np

import nearlin

rng = np.random.default_rng(0)
d, n, batch = 400, 20_000, 500


def rows(gap):
    """Rows whose first eigenvalue is so many times the next ones."""
    return rng.standard_normal((n, d)) * np.concatenate([[np.sqrt(gap)], np.ones(20), np.full(d - 21, 0.3)])


def first(A):
    """The first eigenvector of A'A."""
    return np.linalg.eigh(A.T @ A)[1][:, -1]


def sine(v, truth):
    """Of the angle between two unit vectors."""
    return np.sqrt(max(0.0, 1.0 - (v @ truth) ** 2))


figure, (left, right) = plt.subplots(1, 2, figsize=(9.0, 4.0))
A = rows(3.0)
truth = first(A)
ends = np.unique(np.geomspace(batch, n, 12).astype(int) // batch * batch)
for algorithm, style in [("block_power", "s-"), ("incremental", "o-"), ("frequent_directions", "^-")]:
    pca = nearlin.StreamingPCA(algorithm=algorithm, random_state=0)
    errors, start = [], 0
    for end in ends:
        pca.partial_fit(A[start:end])
        errors.append(sine(pca.components_[0], truth))
        start = end
    left.loglog(ends, errors, style, markersize=4, label=algorithm)
so_far = [sine(first(A[:end]), truth) for end in ends[:-1]]
left.loglog(ends[:-1], so_far, "-", color="gray", label="rows so far")
left.set_xlabel("rows so far")
left.set_ylabel("sine of the angle")
left.legend(fontsize="small")

gaps = [2.0, 4.0, 8.0, 16.0, 32.0, 64.0]
measured, bounds = [], []
for gap in gaps:
    A = rows(gap)
    pca = nearlin.StreamingPCA(algorithm="frequent_directions", sketch_size=64, random_state=0).fit(A)
    measured.append(sine(pca.components_[0], first(A)))
    bounds.append(pca.certificate_.bound)
right.loglog(gaps, bounds, "k-", label="certificate")
right.loglog(gaps, measured, "o-", label="measured")
right.set_xticks(gaps, [f"{gap:g}" for gap in gaps])
right.minorticks_off()
right.set_xlabel("first eigenvalue over the second")
right.legend(fontsize="small")
