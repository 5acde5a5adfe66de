"""
Principal components of patches that go by once
===============================================

Patches of 8 x 8 pixels of two photographs, shuffled, a thousand at a time; the state has the size of some
dozens of patches.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_images
from sklearn.decomposition import PCA

import nearlin

windows = [
    np.lib.stride_tricks.sliding_window_view(image.mean(axis=2) / 255.0, (8, 8))[::3, ::3].reshape(-1, 64)
    for image in load_sample_images().images
]
patches = np.random.default_rng(0).permutation(np.concatenate(windows))

pca = nearlin.StreamingPCA(8, center=True, algorithm="incremental", block_width=16, random_state=0)
for start in range(0, len(patches), 1000):
    pca.partial_fit(patches[start : start + 1000])
print(pca.explain())

# %%
# Beside the components of all patches at once.

exact = PCA(8).fit(patches)
agreement = np.linalg.svd(pca.components_ @ exact.components_.T, compute_uv=False)
print("cosines of the angles between both subspaces:", agreement.round(4))

figure, axes = plt.subplots(2, 8, figsize=(9.0, 2.6), layout="constrained")
for row, components in zip(axes, (pca.components_, exact.components_), strict=True):
    for axis, component in zip(row, components, strict=True):
        axis.imshow(component.reshape(8, 8) * np.sign(component[np.argmax(abs(component))]), cmap="RdBu")
        axis.set_axis_off()
axes[0, 0].set_title("stream", loc="left", fontsize="small")
axes[1, 0].set_title("all at once", loc="left", fontsize="small")
plt.show()
