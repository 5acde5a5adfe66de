"""
Least squares on patches of photographs
=======================================

A pixel is to be predicted from the 8 x 8 pixels to the left of it: tall, dense and ill-conditioned, as
neighbouring pixels are nearly equal. The answer is that of LAPACK, from a fraction of the work, and its
certificate says so.
"""

from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

import nearlin

image = load_sample_image("china.jpg").mean(axis=2) / 255.0
patches = np.lib.stride_tricks.sliding_window_view(image, (8, 9)).reshape(-1, 8, 9)
A = np.ascontiguousarray(patches[:, :, :8].reshape(len(patches), -1))
b = np.ascontiguousarray(patches[:, 4, 8])
print(A.shape, f"condition {np.linalg.cond(A):.0f}")

# %%
# Both answers, with the time that they took here.

start = perf_counter()
result = nearlin.lstsq(A, b, rng=0)
ours = perf_counter() - start
start = perf_counter()
theirs = np.linalg.lstsq(A, b, rcond=None)[0]
print(f"{(perf_counter() - start) / ours:.1f} times as fast")
print(f"largest difference {abs(result.x - theirs).max():.1e}")
print(result.explain())

# %%
# What the coefficients are: the nearest pixels count, the far ones hardly.

figure, axis = plt.subplots(figsize=(4.5, 4.0))
shown = axis.imshow(result.x.reshape(8, 8), cmap="RdBu", vmin=-1.0, vmax=1.0)
axis.set_title("weight of each pixel")
axis.grid(visible=False)
figure.colorbar(shown)
plt.show()
