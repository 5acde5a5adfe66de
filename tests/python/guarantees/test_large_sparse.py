"""Large sparse problems end with the minimiser in a few gigabytes."""

import sys

import pytest
from reference import sparse

pytestmark = [
    pytest.mark.guarantee,
    pytest.mark.skipif(sys.platform != "linux", reason="limits on the address space"),
]

PROBLEMS = {
    "200,000 x 40,000": "sparse.uniform(200_000, 40_000, 5)",
    "1,000,000 x 200,000": "sparse.uniform(1_000_000, 200_000, 10)",
    "200 x 262,144": "sparse.uniform(200, 2**18, 10)",
    "one-hot": "sparse.one_hot(500_000, [40_000, 9_000, 1_000])",
    "hashed": "sparse.hashed(100_000, 2**18, 13)",
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", PROBLEMS)
def test_the_minimiser_in_four_gigabytes(name):
    found = sparse.alone(f"""
A = {PROBLEMS[name]}
rng = np.random.default_rng(1)
b = A @ rng.standard_normal(A.shape[1]) + rng.standard_normal(len(A.indptr) - 1)
left(4)
x = nearlin.lstsq(A, b, rng=0).x
ridge, plain = nearlin.Ridge().fit(A, b), nearlin.LinearRegression().fit(A, b)
print(json.dumps([
    sparse.steepness(A, b, x),
    sparse.steepness(A, b, ridge.coef_, ridge=1.0, intercept=ridge.intercept_),
    sparse.steepness(A, b, plain.coef_, intercept=plain.intercept_),
]))
""")
    assert max(found) < 1e-13
