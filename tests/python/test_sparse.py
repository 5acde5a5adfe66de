"""Sparse rows are never made dense: neither time nor memory grows with the columns that are empty."""

import sys
import time

import numpy as np
import pytest
import scipy.sparse
from reference import sparse

import nearlin

linux = pytest.mark.skipif(sys.platform != "linux", reason="limits on the address space")


@linux
@pytest.mark.slow
@pytest.mark.parametrize("layout", ["csr_array", "csc_array"])
def test_more_columns_than_a_factor_has_memory_for(layout):
    found = sparse.alone(f"""
A = scipy.sparse.{layout}(sparse.uniform(60_000, 30_000, 3))
rng = np.random.default_rng(1)
b, weight = rng.standard_normal(60_000), rng.uniform(0.5, 2.0, 60_000)
left(0.6)
found = {{}}
x = nearlin.lstsq(A, b, rng=0).x
found["lstsq"] = sparse.steepness(A, b, x)
model = nearlin.Ridge().fit(A, b)
found["ridge"] = sparse.steepness(A, b, model.coef_, ridge=1.0, intercept=model.intercept_)
model = nearlin.LinearRegression().fit(A, b, sample_weight=weight)
root = np.sqrt(weight)
found["weighted"] = sparse.steepness(
    scipy.sparse.csr_array(A * root[:, None]), root * (b - model.intercept_), model.coef_)
print(json.dumps(found))
""")
    assert max(found.values()) < 1e-14


@linux
@pytest.mark.parametrize("method", ["qr", "gram", "whitened", "spir", "fgmres_wlsir", "ridge_cv"])
def test_a_method_that_needs_a_factor_says_that_there_is_no_memory(method):
    call = (
        "nearlin.RidgeCV().fit(A, b)" if method == "ridge_cv" else f"nearlin.lstsq(A, b, method={method!r})"
    )
    message = sparse.alone(f"""
A = sparse.uniform(130_000, 30_000, 3)
left(0.6)
b = np.ones(130_000)
try:
    {call}
except nearlin.exceptions.AllocationError as error:
    print(json.dumps(str(error)))
""")
    assert message.startswith("could not allocate")


@pytest.mark.parametrize("layout", [scipy.sparse.csr_array, scipy.sparse.csc_array])
def test_time_grows_with_the_entries(layout):
    """Dense rows of the widest would be 8 GB."""
    n, seconds = 20_000, []
    for d in [1_000, 10_000, 50_000]:
        A, b = layout(sparse.uniform(n, d, 30)), np.arange(n) % 7.0
        best = np.inf
        for _ in range(3):
            start = time.process_time()
            nearlin.Ridge(1e3, method="lsmr", n_jobs=1).fit(A, b)
            best = min(best, time.process_time() - start)
        seconds.append(best)
    assert max(seconds) < 8 * min(seconds)


def test_zero_targets_need_no_factor():
    """Of 20,000 x 15,000 it would take minutes."""
    A = sparse.uniform(20_000, 15_000, 3)
    for result in [nearlin.lstsq(A, np.zeros(20_000)), nearlin.lstsq(A, np.zeros((20_000, 2)), ridge=1.0)]:
        assert not result.x.any()
        assert (result.method, result.rank) == ("lsmr", None)
    model = nearlin.LinearRegression().fit(A, np.full(20_000, 3.5))
    assert not model.coef_.any()
    assert model.intercept_ == 3.5
