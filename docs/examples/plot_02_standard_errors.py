"""
Standard errors, plain and robust
=================================

Progression of diabetes against ten measurements. Plain standard errors suppose that all patients scatter
alike; HC3 does not. Where both agree, as here, nothing speaks against the plain ones; where they differ, the
robust ones are to be believed.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes

import nearlin

X, y = load_diabetes(return_X_y=True, as_frame=True)
model = nearlin.LinearRegression().fit(X, y)
plain = model.summary()
robust = model.summary("HC3", X, y)
print(robust)

# %%
# Intervals of both kinds, without the intercept.

figure, axis = plt.subplots()
places = np.arange(X.shape[1])
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
axis.set_yticks(places, X.columns)
axis.set_title("coefficients with plain and with robust intervals")
axis.set_xlabel("coefficient, with 95 % interval")
axis.legend()
plt.show()
