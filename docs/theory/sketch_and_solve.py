"""Errors of single coefficients against the rows of the sketch, with the bound of the theorem."""

import matplotlib.pyplot as plt
import numpy as np

import nearlin

n, d, delta, draws = 16_384, 16, 0.01, 20
rng = np.random.default_rng(0)
A = rng.standard_normal((n, d)) * np.geomspace(1.0, 0.1, d)
b = A @ np.ones(d) + rng.standard_normal(n)
exact = nearlin.lstsq(A, b, rng=0)
unit = exact.residual_norm / np.linalg.svd(A, compute_uv=False)[-1] / np.sqrt(d)

sizes = np.geomspace(150, 4000, 8).astype(int)
sketches = {"gaussian": "o-", "pht": "s-", "srht": "^-"}
figure, axis = plt.subplots()
room = np.sqrt(sizes) - np.sqrt(d) - np.sqrt(2 * np.log(2 / delta))
bound = np.sqrt(2 * d * np.log(2 * d / delta)) / room
axis.loglog(sizes, bound, "k-", label="theorem, with probability 0.99")
for sketch, style in sketches.items():
    largest = [
        max(
            abs(nearlin.sketch_and_solve(A, b, sketch=sketch, sketch_size=int(m), rng=seed).x - exact.x).max()
            for seed in range(draws if sketch != "gaussian" else draws // 4)
        )
        / unit
        for m in sizes
    ]
    axis.loglog(sizes, largest, style, label=f"largest error, {sketch}")
attained = [nearlin.sketch_and_solve(A, b, sketch_size=int(m), rng=0).eps for m in sizes]
axis.loglog(sizes, attained, "--", color="gray", label="eps that the certificate attains")
axis.set_xticks(sizes, sizes)
axis.minorticks_off()
axis.set_xlabel("rows of the sketch")
axis.set_ylabel("error of a coefficient, in units of the theorem")
axis.legend()
