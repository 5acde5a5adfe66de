"""
What a fit says, as pictures
============================

All displays of :mod:`nearlin.plot`, in the shape of scikit-learn's: made from what nearlin returns, drawn
into axes that are given or into new ones.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes, load_sample_image

import nearlin
from nearlin.plot import (
    CertificateDisplay,
    CoefficientDisplay,
    CompletionDisplay,
    CompletionPathDisplay,
    CoresetDisplay,
    LeverageDisplay,
    RidgePathDisplay,
    SpectrumDisplay,
    StreamDisplay,
)

X, y = load_diabetes(return_X_y=True, as_frame=True)
model = nearlin.LinearRegression().fit(X, y)
path = nearlin.RidgeCV(alphas=np.geomspace(1e-3, 1e2, 60)).fit(X, y)

figure, axes = plt.subplots(1, 3, figsize=(12.0, 3.8), layout="constrained")
CoefficientDisplay.from_estimator(model, ax=axes[0])
RidgePathDisplay.from_estimator(path, ax=axes[1])
LeverageDisplay.from_estimator(model, X, y, ax=axes[2])
for axis, title in zip(axes, ["coefficients", "penalties", "rows"], strict=True):
    axis.set_title(title)
plt.show()

# %%
# Patches of a photograph: the error of a sketch against its rows, that of one sketch as rows go by, and the
# spectrum of ten triplets.

image = load_sample_image("china.jpg").mean(axis=2) / 255.0
patches = np.lib.stride_tricks.sliding_window_view(image, (8, 8))[::2, ::2].reshape(-1, 64)
patches = np.random.default_rng(0).permutation(patches)
A, b = patches[:, :-1], patches[:, -1]
exact = nearlin.lstsq(A, b, rng=0).x
sizes = [500, 1000, 2000, 4000, 8000]
answers = [nearlin.sketch_and_solve(A, b, sketch_size=size, rng=0) for size in sizes]
svd = nearlin.TruncatedSVD(10, random_state=0).fit(patches)

figure, axes = plt.subplots(1, 3, figsize=(12.0, 3.8), layout="constrained")
CertificateDisplay.from_certificates(
    [answer.certificate for answer in answers],
    sizes,
    error=[abs(answer.x - exact).max() for answer in answers],
    size_name="rows of the sketch",
    ax=axes[0],
)
stream = nearlin.StreamingLeastSquares(sketch_size=2000, rng=0)
parts = zip(np.array_split(A, 20), np.array_split(b, 20), strict=True)
StreamDisplay.from_blocks(stream, parts, ax=axes[1])
SpectrumDisplay.from_estimator(svd, ax=axes[2])
for axis, title in zip(axes, ["sketches", "a stream", "a spectrum"], strict=True):
    axis.set_title(title)
plt.show()

# %%
# Rows that matter, and which of them were drawn; a photograph of which half is left, the ranks that were
# tried for it, and what became of it.

sample = nearlin.sample_rows(A, b, size=500, rng=0)
small = image[::3, ::3]
holed = np.where(np.random.default_rng(0).random(small.shape) < 0.5, np.nan, small)
completed = nearlin.MatrixCompletion("auto", random_state=0).fit(holed)

figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.8), layout="constrained")
CoresetDisplay.from_sample(sample, ax=axes[0])
CompletionPathDisplay.from_estimator(completed, name="rank", ax=axes[1])
for axis, title in zip(axes, ["scores of rows", "ranks"], strict=True):
    axis.set_title(title)
CompletionDisplay.from_estimator(completed, holed, truth=small)
plt.show()
