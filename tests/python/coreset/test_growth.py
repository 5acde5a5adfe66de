"""Sparse rows of a regression stay what they are."""

import sys

import pytest
from reference import sparse

ROWS, COLUMNS, ENTRIES = 20_000, 400, 3
"""Dense they are 64 MB, and eight sums of the products of each two columns are 5 MB."""

PROBLEM = f"""
import math
import numpy as np
import scipy.sparse as sp
from nearlin import HuberRegressor, LpRegressor, QuantileRegressor, lp_regression
from nearlin._demo.process import memory_probe

rng = np.random.default_rng(0)
indices = rng.permuted(np.tile(np.arange({COLUMNS}), ({ROWS}, 1)), axis=1)[:, :{ENTRIES}]
indices.sort(axis=1)
values = rng.standard_normal(({ROWS}, {ENTRIES})) + 2.0
shape = ({ROWS}, {COLUMNS})
A = sp.csr_array((values.ravel(), indices.ravel(), {ENTRIES} * np.arange({ROWS} + 1)), shape=shape)
b = A @ rng.standard_normal({COLUMNS}) + rng.laplace(size={ROWS})
del indices, values
def fit(A, b):
    %s
fit(A[:5000], b[:5000])
peak = memory_probe()
fit(A, b)
print(peak())
"""

FITS = {
    "exact": "lp_regression(A, b, rng=0, n_jobs=1)",
    "full": "lp_regression(A, b, quantile=0.3, method='full', n_jobs=1)",
    "coreset": "lp_regression(A, b, size=min(len(b), 4000), rng=0, n_jobs=1)",
    "p = 1.5": "lp_regression(A, b, p=1.5, n_jobs=1)",
    "p = inf": "lp_regression(A, b, p=math.inf, n_jobs=1)",
    "penalised": "QuantileRegressor(alpha=1e-4, n_jobs=1).fit(A, b)",
    "with an intercept": "LpRegressor(n_jobs=1).fit(A, b)",
    "Huber": "HuberRegressor(n_jobs=1).fit(A, b)",
}


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory")
@pytest.mark.parametrize("fit", FITS)
def test_memory_is_that_of_the_entries(fit):
    """Beside some numbers a row, and some squares of the number of columns: 26 MB."""
    memory = sparse.alone(PROBLEM % FITS[fit])
    assert memory < 16 * ROWS * ENTRIES + 400 * ROWS + 100 * COLUMNS**2, memory
