"""Ctrl-C in the middle of regressions that take seconds: heard within two."""

import math
import signal
import time

import numpy as np
import pytest
from reference.signals import interrupted

from nearlin import HuberRegressor, lp_regression

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an interval timer")

EARLY = 0.15
"""Seconds until the interrupt."""

WORK = {
    "full": lambda A, b, n_jobs: lp_regression(A, b, method="full", n_jobs=n_jobs),
    "exact": lambda A, b, n_jobs: lp_regression(A, b, quantile=[0.1, 0.5, 0.9] * 20, n_jobs=n_jobs),
    "newton": lambda A, b, n_jobs: lp_regression(A, b, p=1.03, n_jobs=n_jobs),
    "interior point": lambda A, b, n_jobs: lp_regression(A, b, p=math.inf, n_jobs=n_jobs),
    "huber": lambda A, b, n_jobs: HuberRegressor(epsilon=1.01, n_jobs=n_jobs).fit(A, b),
}


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("name", WORK)
def test_is_heard(name, n_jobs):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((120_000, 60))
    b = A @ rng.standard_normal(60) + rng.standard_cauchy(len(A))
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt), interrupted(EARLY, KeyboardInterrupt):
        WORK[name](A, b, n_jobs)
    assert time.perf_counter() - start - EARLY < 2.0
