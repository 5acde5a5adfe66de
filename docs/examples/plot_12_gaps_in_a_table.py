"""
Gaps in a table
===============

Thirty measurements of tumours, a fifth of which are lost. Columns have units of their own; rank and penalty
are chosen on values that are held out.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.preprocessing import StandardScaler

import nearlin

table = StandardScaler().fit_transform(load_breast_cancer().data)
lost = np.random.default_rng(0).random(table.shape) < 0.2
holed = np.where(lost, np.nan, table)

imputer = nearlin.LowRankImputer(random_state=0)
filled = {
    "means": SimpleImputer().fit_transform(holed),
    "5 nearest rows": KNNImputer().fit_transform(holed),
    "low rank": imputer.fit_transform(holed),
}
errors = {name: np.sqrt(np.mean((values - table)[lost] ** 2)) for name, values in filled.items()}
print({name: round(float(error), 3) for name, error in errors.items()})
print(f"rank {imputer.rank_}; {imputer.certificate_}")

# %%
# The certificate of the model, in standard deviations of the columns, beside what we know here.

figure, axis = plt.subplots()
axis.bar(list(errors), list(errors.values()), color="lightgray")
axis.axhline(imputer.certificate_.estimate, color="black", label="certificate, low rank")
axis.axhline(float(imputer.certificate_), color="black", linestyle="--", label="its upper end")
axis.set_title("error of what was filled in")
axis.set_ylabel("root mean square error")
axis.legend()
plt.show()
