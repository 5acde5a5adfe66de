"""
What a fit says, as pictures
============================

Displays in the shape of scikit-learn's: coefficients with their intervals, the leave-one-out error of every
penalty, and which rows decide.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes

import nearlin
from nearlin.plot import CoefficientDisplay, LeverageDisplay, RidgePathDisplay

X, y = load_diabetes(return_X_y=True, as_frame=True)
model = nearlin.LinearRegression().fit(X, y)
path = nearlin.RidgeCV(alphas=np.geomspace(1e-3, 1e2, 60)).fit(X, y)

figure, axes = plt.subplots(1, 3, figsize=(12.0, 3.8), layout="constrained")
CoefficientDisplay.from_estimator(model, ax=axes[0])
RidgePathDisplay.from_estimator(path, ax=axes[1])
LeverageDisplay.from_estimator(model, X, y, ax=axes[2])
plt.show()
