"""Distortion of samples of rows against their size, with the bound of the theorem."""

import warnings

import matplotlib.pyplot as plt
import numpy as np

import nearlin

warnings.simplefilter("ignore", nearlin.exceptions.GuaranteeWarning)  # of uniform samples
n, d, delta, draws = 20_000, 10, 0.1, 10
rng = np.random.default_rng(0)
A = rng.standard_normal((n, d)) * rng.pareto(1.5, n)[:, None]
R = np.linalg.qr(A)[1]


def distortion(sample):
    """The largest relative error of a norm."""
    values = np.linalg.svd(sample.apply(A) @ np.linalg.inv(R), compute_uv=False)
    return max(abs(values - 1.0))


sizes = np.geomspace(100, 8000, 8).astype(int)
figure, axis = plt.subplots()
theorem = np.minimum(np.sqrt(3 * d * np.log(2 * d / delta) / sizes), 1.0)
axis.loglog(sizes, 1.0 - np.sqrt(1.0 - theorem), "k-", label="theorem, leverage scores")
for scores, style in [("leverage", "o-"), ("uniform", "s-")]:
    found = [
        [nearlin.sample_rows(A, size=int(m), scores=scores, certify=False, rng=seed) for seed in range(draws)]
        for m in sizes
    ]
    errors = np.array([[distortion(sample) for sample in samples] for samples in found])
    (line,) = axis.loglog(sizes, np.median(errors, axis=1), style, label=f"measured, {scores}")
    axis.fill_between(sizes, errors.min(axis=1), errors.max(axis=1), alpha=0.2, color=line.get_color())
certified = [nearlin.sample_rows(A, size=int(m), rng=0).certificate.bound for m in sizes]
axis.loglog(sizes, certified, "k.", label="certificates")
axis.set_xlabel("rows of the sample")
axis.set_ylabel("distortion of norms")
axis.legend()
