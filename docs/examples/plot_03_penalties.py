"""
Every penalty from one factorisation
====================================

The leave-one-out error of a hundred penalties, exactly, without a fit for each.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

import nearlin

X, y = load_diabetes(return_X_y=True)
X = StandardScaler().fit_transform(PolynomialFeatures(2, include_bias=False).fit_transform(X))
model = nearlin.RidgeCV(alphas=np.geomspace(1e-1, 1e5, 100)).fit(X, y)
print(X.shape, f"alpha {model.alpha_:.3g}")
print(model.certificate_)

# %%
# Without a penalty the 65 features fit noise; with too much they fit nothing.

figure, axis = plt.subplots()
axis.semilogx(model.alphas, np.sqrt(model.loo_error_))
axis.axvline(model.alpha_, color="black", linewidth=0.8, label="chosen")
axis.set_title("leave-one-out error of every penalty")
axis.set_xlabel("penalty")
axis.set_ylabel("leave-one-out error")
axis.legend()
plt.show()
