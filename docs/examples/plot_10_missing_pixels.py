"""
A photograph of which a third is left
=====================================

Most pixels are thrown away; a matrix of low rank is fitted to the rest, with its rank chosen on pixels that
are held out.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

import nearlin

image = load_sample_image("china.jpg").mean(axis=2)[::2, ::2] / 255.0
rng = np.random.default_rng(0)
unseen = rng.random(image.shape) > 0.35
holed = np.where(unseen, np.nan, image)
model = nearlin.MatrixCompletion("auto", random_state=0).fit(holed)
print(f"rank {model.U_.shape[1]}, {model.certificate_}")

# %%
# The certificate is about pixels that the model has not seen; here we know them.

filled = model.reconstruct()
print(f"true error on unseen pixels {np.sqrt(np.mean((filled - image)[unseen] ** 2)):.4f}")
figure, axes = plt.subplots(1, 3, figsize=(10.0, 2.8), layout="constrained")
pictures = {"what is left": holed, "filled": filled, "the truth": image}
for axis, (title, picture) in zip(axes, pictures.items(), strict=True):
    axis.imshow(picture, cmap="gray", vmin=0.0, vmax=1.0)
    axis.set_title(title, fontsize="small")
    axis.set_axis_off()
plt.show()
