"""How many entries find a matrix exactly, and what certificates say where there is noise."""

import warnings

import matplotlib.pyplot as plt
import numpy as np

import nearlin

m, n, draws = 150, 120, 16
rng = np.random.default_rng(0)
figure, (left, right) = plt.subplots(1, 2, figsize=(9.0, 4.0))


def entries(k, count, noise):
    """A matrix of rank k, and so many of its entries among NaN."""
    truth = rng.standard_normal((m, k)) @ rng.standard_normal((k, n))
    places = rng.choice(m * n, count, replace=False)
    observed = np.full(m * n, np.nan)
    observed[places] = truth.ravel()[places] + noise * rng.standard_normal(count)
    return truth, observed.reshape(m, n)


def core(seen, k):
    """Rows and columns with more than k entries among themselves: nobody can find the others."""
    rows, cols = np.ones(m, bool), np.ones(n, bool)
    for _ in range(m + n):
        rows = rows & (seen[:, cols].sum(axis=1) > k)
        cols = cols & (seen[rows].sum(axis=0) > k)
    return rows, cols


ratios = np.array([0.9, 1.2, 1.5, 1.8, 2.2, 2.8, 3.5])
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    for k, style in [(2, "o-"), (5, "s-")]:
        freedom = k * (m + n - k)
        found = []
        for ratio in ratios:
            hits = 0
            for seed in range(draws):
                truth, observed = entries(k, int(ratio * freedom), 0.0)
                model = nearlin.MatrixCompletion(k, mode="exact", random_state=seed).fit(observed)
                gap = np.nan_to_num(model.reconstruct(), nan=np.inf) - truth
                inside = np.ix_(*core(np.isfinite(observed), k))
                hits += bool(abs(gap[inside]).max(initial=0.0) < 1e-6 * abs(truth).max())
            found.append(hits / draws)
        left.plot(ratios, found, style, label=f"rank {k}")
left.axvline(1.0, linestyle="--", color="black", linewidth=0.8)
left.set_xlabel("entries over degrees of freedom")
left.set_ylabel("share that is found")
left.legend(fontsize="small")

levels = [0.05, 0.1, 0.2, 0.4, 0.8]
errors, estimates, bounds = [], [], []
for noise in levels:
    truth, observed = entries(3, 8000, noise)
    model = nearlin.MatrixCompletion(3, random_state=0).fit(observed)
    hidden = np.isnan(observed)
    # Entries to come have noise, too.
    errors.append(np.sqrt(np.mean((model.reconstruct() - truth)[hidden] ** 2) + noise**2))
    estimates.append(model.certificate_.estimate)
    bounds.append(float(model.certificate_))
right.loglog(levels, bounds, "k-", label="upper end of the interval")
right.loglog(levels, estimates, "x", label="held-out entries")
right.loglog(levels, errors, "o-", label="all entries to come")
right.set_xticks(levels, [f"{level:g}" for level in levels])
right.minorticks_off()
right.set_xlabel("noise")
right.set_ylabel("root mean square error")
right.legend(fontsize="small")
