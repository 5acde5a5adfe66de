"""What truncated decompositions leave of a matrix that grows; Frequent Directions with its bound."""

import matplotlib.pyplot as plt
import numpy as np

import nearlin

rng = np.random.default_rng(0)
n, d, k, batch = 3000, 200, 10, 150
# Directions drift, so that what comes later is not what was kept.
spectrum = np.geomspace(1.0, 0.02, d)
turns = np.linalg.qr(rng.standard_normal((d, d)))[0]
later = np.linalg.qr(turns + 0.5 * rng.standard_normal((d, d)) / np.sqrt(d))[0]
mix = np.linspace(0.0, 1.0, n)[:, None]
noise = rng.standard_normal((n, d)) * spectrum
X = np.sqrt(1.0 - mix) * (noise @ turns.T) + np.sqrt(mix) * (noise @ later.T)

figure, (left, right) = plt.subplots(1, 2, figsize=(9.0, 4.0))
ends = list(range(2 * batch, n + 1, batch))
for oversample, style in [(0, "s-"), (16, "o-")]:
    svd = nearlin.TruncatedSVD(k, oversample=oversample, random_state=0).fit(X[:batch])
    errors, certified = [], []
    for end in ends:
        svd.partial_fit(X[end - batch : end])
        model = svd.left_singular_vectors() * svd.singular_values_ @ svd.components_
        errors.append(np.linalg.norm(X[:end] - model) / np.linalg.norm(X[:end]))
        certified.append(svd.certificate_.bound)
    (line,) = left.plot(ends, errors, style, markersize=4, label=f"measured, oversample={oversample}")
    left.plot(ends, certified, "--", color=line.get_color(), label="its certificate")
all_squares = [np.linalg.svd(X[:end], compute_uv=False) ** 2 for end in ends]
best = [np.sqrt(each[k:].sum() / each.sum()) for each in all_squares]
left.plot(ends, best, "k-", linewidth=0.8, label=f"best of rank {k}")
left.set_xlabel("rows so far")
left.set_ylabel("left of the matrix, relative")
left.margins(y=0.3)
left.legend(fontsize="small", loc="lower right")

squares = all_squares[-1]
kept = [5, 10, 20, 40, 80]
measured, bounds = [], []
for size in kept:
    fd = nearlin.TruncatedSVD(size, oversample=0, robust="fd", random_state=0).fit(X[:batch])
    for end in ends:
        fd.partial_fit(X[end - batch : end])
    M = fd.singular_values_[:, None] * fd.components_
    measured.append(np.linalg.eigvalsh(X.T @ X - M.T @ M)[-1] / squares[0])
    bounds.append(min(squares[j:].sum() / (size - j) for j in range(size)) / squares[0])
right.loglog(kept, bounds, "k-", label="bound, the least over j")
right.loglog(kept, measured, "o-", label="measured")
right.set_xticks(kept, kept)
right.minorticks_off()
right.set_xlabel("triplets that are kept")
right.set_ylabel("$|X^T X - M^T M|$, relative")
right.legend(fontsize="small", loc="lower left")
