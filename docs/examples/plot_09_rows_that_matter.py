"""
A few rows for somebody else's model
====================================

On patches of a photograph a few hundred rows, drawn by leverage scores, carry all directions. scikit-learn
fits on those, with weights.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image
from sklearn.linear_model import LinearRegression

import nearlin

image = load_sample_image("china.jpg").mean(axis=2) / 255.0
patches = np.lib.stride_tricks.sliding_window_view(image, (5, 6)).reshape(-1, 5, 6)
X = np.column_stack([np.ones(len(patches)), patches[:, :, :5].reshape(len(patches), -1)])
y = patches[:, 2, 5]
everything = LinearRegression(fit_intercept=False).fit(X, y)
least = np.sum((y - everything.predict(X)) ** 2)

# %%
# What it costs on all rows to have fitted on few, for ten seeds each. Uniform samples lose directions, of
# which one is warned.

warnings.simplefilter("ignore", nearlin.exceptions.GuaranteeWarning)
sizes = [100, 200, 400, 800, 1600, 3200]
figure, axis = plt.subplots()
for scores in ("leverage", "uniform"):
    costs = []
    for size in sizes:
        cost = []
        for seed in range(10):
            sample = nearlin.sample_rows(X, y, size=size, scores=scores, certify=False, rng=seed)
            few = LinearRegression(fit_intercept=False)
            few.fit(X[sample.indices], y[sample.indices], sample_weight=sample.weights)
            cost.append(np.sum((y - few.predict(X)) ** 2) / least - 1.0)
        costs.append(np.median(cost))
    axis.loglog(sizes, costs, "o-", label=scores)
axis.set_title("squares beyond the least, by the rows of the sample")
axis.set_xlabel(f"rows, of {len(X):,}")
axis.set_ylabel("squares beyond the least")
axis.legend()
plt.show()

# %%
# Where the rows of high leverage are in the picture: edges.

scores = nearlin.leverage_scores(X)
figure, axis = plt.subplots(figsize=(7.0, 4.2), layout="constrained")
shape = image.shape[0] - 4, image.shape[1] - 5
axis.imshow(np.log10(scores.reshape(shape)), cmap="magma", vmin=-6.0)
axis.set_title("leverage of the patch at each pixel, in powers of ten")
figure.colorbar(axis.images[0], shrink=0.7)
axis.set_axis_off()
plt.show()
