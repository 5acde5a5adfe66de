"""
Quantiles of many rows, with a proof
====================================

How high may a pixel be, given the two before it? Five quantiles on every pixel of a photograph, exact: the
certificate bounds what is left to gain.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

import nearlin

image = load_sample_image("flower.jpg").mean(axis=2)[::2] / 255.0
X = np.column_stack([image[:, 1:-1].ravel(), image[:, :-2].ravel()])
y = image[:, 2:].ravel()
levels = [0.05, 0.25, 0.5, 0.75, 0.95]
model = nearlin.QuantileRegressor(levels, random_state=0).fit(X, y)
print(X.shape, model.certificate_)
print("share below:", (y[:, None] <= model.predict(X)).mean(axis=0).round(4))

# %%
# Bands where the second pixel before is as high as the first.

figure, axis = plt.subplots()
chosen = np.random.default_rng(0).choice(len(y), 3000, replace=False)
axis.plot(X[chosen, 0], y[chosen] - X[chosen, 0], ".", markersize=2, alpha=0.4, color="gray")
grid = np.linspace(0.0, 0.9, 50)
lines = model.predict(np.column_stack([grid, grid])) - grid[:, None]
for level, line in zip(levels, lines.T, strict=True):
    axis.plot(grid, line, label=f"{level:g}")
axis.set_ylim(-0.15, 0.15)
axis.set_title("five quantiles of the next pixel")
axis.set_xlabel("pixel before")
axis.set_ylabel("next pixel less the one before")
axis.legend(title="quantile", fontsize="small")
plt.show()
