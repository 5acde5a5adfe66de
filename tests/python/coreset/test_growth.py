"""Sparse rows of a regression stay what they are."""

import sys

import pytest
from reference import sparse

ROWS, COLUMNS, ENTRIES = 20_000, 400, 3
"""Dense they are 64 MB, and eight sums of the products of each two columns are 5 MB."""

PROBLEM = f"""
import ctypes
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
levels = rng.integers(0, {COLUMNS} // {ENTRIES}, ({ROWS}, {ENTRIES}))
levels += {COLUMNS} // {ENTRIES} * np.arange({ENTRIES})
ends = {ENTRIES} * np.arange({ROWS} + 1)
one_hot = sp.csr_array((np.ones(levels.size), levels.ravel(), ends), shape=shape)
by_columns = A.tocsc()
b = A @ rng.standard_normal({COLUMNS}) + rng.laplace(size={ROWS})
del indices, values, levels
FITS = {{%s}}
A = {{"CSR": A, "CSC": by_columns, "one-hot": one_hot}}[%r]
peaks = {{}}
for name, fit in FITS.items():
    fit(A[:5000], b[:5000])
    ctypes.CDLL(None).malloc_trim(0)
    peak = memory_probe()
    fit(A, b)
    peaks[name] = peak()
print(json.dumps(peaks))
"""

LARGE = """
import numpy as np, scipy.sparse as sp
from nearlin import HuberRegressor, LpRegressor
from nearlin._demo.process import memory_probe
n, d, rng = 1_000_000, 2000, np.random.default_rng(0)
columns = rng.integers(0, d // 2, (n, 2)) + [0, d // 2]
values = rng.standard_normal(2 * n)
A = sp.csr_array((values, columns.ravel(), 2 * np.arange(n + 1)), shape=(n, d)).tocsc()
b = A @ rng.standard_normal(d) + 3.0 + rng.laplace(size=n)
peak = memory_probe()
model = %s.fit(A, b)
print(json.dumps([peak(), bool(model.certificate_.met)]))
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


FORMS = {
    "CSR": list(FITS),
    "CSC": ["exact", "Huber"],
    "one-hot": ["exact", "p = 1.5", "with an intercept", "Huber"],
}
"""One-hot columns of three factors and one that no row has: two or three more depend on others."""


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory")
@pytest.mark.parametrize("form", FORMS)
def test_memory_is_that_of_the_entries(form):
    """Beside some numbers a row, and some squares of the number of columns: 26 MB."""
    fits = ", ".join(f"{fit!r}: lambda A, b: {FITS[fit]}" for fit in FORMS[form])
    peaks = sparse.alone(PROBLEM % (fits, form))
    assert list(peaks) == FORMS[form]
    assert max(peaks.values()) < 16 * ROWS * ENTRIES + 400 * ROWS + 100 * COLUMNS**2, peaks


@pytest.mark.guarantee
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="measures memory")
@pytest.mark.parametrize("model", ["LpRegressor(1.5, n_jobs=1)", "HuberRegressor(n_jobs=1)"])
def test_a_million_rows_of_two_thousand_columns_stay_what_they_are(model):
    """Dense they are 16 GB, and take days."""
    memory, is_met = sparse.alone(LARGE % model)
    assert is_met
    assert memory < 16 * 2_000_000 + 400 * 1_000_000 + 100 * 2000**2, memory
