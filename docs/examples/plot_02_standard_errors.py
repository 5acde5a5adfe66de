"""
Standard errors that survive unequal noise
==========================================

Progression of diabetes against ten measurements. Plain standard errors suppose that all patients scatter
alike; HC3 does not.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes

import nearlin

data = load_diabetes()
model = nearlin.LinearRegression().fit(data.data, data.target)
plain = model.summary()
robust = model.summary("HC3", data.data, data.target)
print(robust)

# %%
# Intervals of both kinds, without the intercept.

figure, axis = plt.subplots()
places = np.arange(len(data.feature_names))
for summary, shift, label in [(plain, -0.12, "plain"), (robust, 0.12, "HC3")]:
    low, high = summary.interval[1:].T
    axis.errorbar(
        summary.coef[1:],
        places + shift,
        xerr=[summary.coef[1:] - low, high - summary.coef[1:]],
        fmt="o",
        label=label,
    )
axis.axvline(0.0, color="black", linewidth=0.8)
axis.set_yticks(places, data.feature_names)
axis.set_title("coefficients with plain and with robust intervals")
axis.set_xlabel("coefficient, with 95 % interval")
axis.legend()
plt.show()
