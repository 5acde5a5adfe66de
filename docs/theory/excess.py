"""What least absolute deviations on a sample cost on all rows, and what is proved about it."""

import matplotlib.pyplot as plt
import numpy as np

import nearlin

n, d = 20_000, 8
rng = np.random.default_rng(0)
A = rng.standard_normal((n, d)) * rng.pareto(2.0, n)[:, None]
b = A @ np.ones(d) + rng.standard_cauchy(n)
least = nearlin.lp_regression(A, b, rng=0).objective

sizes = np.geomspace(100, 5000, 7).astype(int)
measured, proved = [], []
for m in sizes:
    found = [nearlin.lp_regression(A, b, size=int(m), rng=seed) for seed in range(5)]
    measured.append(np.median([np.abs(b - A @ fit.x).sum() / least - 1.0 for fit in found]))
    proved.append(np.median([fit.certificate.bound for fit in found]))

figure, axis = plt.subplots()
axis.loglog(sizes, proved, "k-", label="proved by the dual problem")
axis.loglog(sizes, measured, "o-", label="measured")
axis.set_xlabel("rows of the sample")
axis.set_ylabel("excess over the least objective")
axis.legend()
