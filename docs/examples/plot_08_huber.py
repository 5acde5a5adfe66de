"""
Targets of which a tenth are wrong
==================================

A line through points some of which somebody has mistyped: least squares follows them, Huber's loss and
least absolute deviations do not.
"""

import matplotlib.pyplot as plt
import numpy as np

import nearlin

rng = np.random.default_rng(0)
x = rng.uniform(0.0, 10.0, 400)
y = 1.0 + 0.5 * x + 0.3 * rng.standard_normal(400)
wrong = (x > 7.0) & (rng.random(400) < 0.35)
y[wrong] *= -1.0
X = x[:, None]

models = {
    "least squares": nearlin.LinearRegression(),
    "Huber": nearlin.HuberRegressor(),
    "least absolute deviations": nearlin.LpRegressor(p=1.0),
}
figure, axis = plt.subplots()
axis.plot(x[~wrong], y[~wrong], ".", color="gray")
axis.plot(x[wrong], y[wrong], "x", color="gray", label="wrong targets")
for name, model in models.items():
    model.fit(X, y)
    print(f"{name}: slope {model.coef_[0]:.3f}; {model.certificate_}")
    axis.plot([0, 10], model.predict([[0.0], [10.0]]), label=name)
axis.set_title("lines through points some of which are wrong")
axis.legend(fontsize="small")
plt.show()

# %%
# Which they take for wrong is an attribute.

print(f"{models['Huber'].outliers_[wrong].mean():.0%} of the wrong ones are named as outliers")
