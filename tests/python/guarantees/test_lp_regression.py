"""What certificates of regression in the p-norm claim, beside exact optima, over many seeds."""

import math
import warnings

import numpy as np
import pytest
from reference import lp as reference
from reference.coreset import GENERATORS

from nearlin import lp_regression

pytestmark = pytest.mark.guarantee


def problem(seed):
    rng = np.random.default_rng(seed)
    names = list(GENERATORS)
    n, d = int(rng.integers(30, 3000)), int(rng.integers(4, 12))
    A = GENERATORS[names[seed % len(names)]](n, d, seed)
    noise = [rng.laplace, rng.standard_cauchy, rng.standard_normal][seed % 3](size=n)
    b = A @ rng.standard_normal(A.shape[1]) + noise
    return (A, np.round(b)) if seed % 5 == 0 else (A, b)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("chunk", range(8))
def test_quantiles_beside_linear_programs(chunk):
    for seed in range(25 * chunk, 25 * (chunk + 1)):
        A, b = problem(seed)
        level = float(np.random.default_rng(seed).uniform(0.02, 0.98))
        minimum = reference.least(A, b, level)
        for method in ("full", "exact"):
            found = lp_regression(A, b, quantile=level, method=method, rng=seed)
            excess = reference.loss(b - A @ found.x, level) / minimum - 1.0
            assert excess <= 1e-9, (seed, method, excess)
            assert excess <= float(found.certificate) + 1e-9, (seed, method)
            assert found.certificate.met, (seed, method, str(found.certificate))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("p", [1.05, 1.2, 1.5, 2.0, 3.0, 8.0, math.inf])
def test_early_answers_are_no_better_than_their_certificates_say(p):
    for seed in range(40):
        A, b = problem(seed)
        best = lp_regression(A, b, p=p)
        assert best.certificate.met, (seed, str(best.certificate))
        for max_iter in (1, 2, 4):
            with warnings.catch_warnings(action="ignore"):
                found = lp_regression(A, b, p=p, max_iter=max_iter)
            bound = found.objective * (1.0 - float(found.certificate))
            assert bound <= best.objective * (1.0 + 1e-12), (seed, p, max_iter)


@pytest.mark.timeout(900)
def test_globbing_ends_with_the_optimum_of_all_rows():
    for seed in range(30):
        rng = np.random.default_rng(seed)
        name = list(GENERATORS)[seed % len(GENERATORS)]
        A = GENERATORS[name](30_000, 8, seed)
        b = A @ rng.standard_normal(A.shape[1]) + rng.laplace(size=len(A))
        full = lp_regression(A, b, method="full")
        for draw in range(3):
            exact = lp_regression(A, b, rng=draw)
            assert exact.objective == pytest.approx(full.objective, rel=1e-11), (seed, draw)
            assert exact.certificate.met
