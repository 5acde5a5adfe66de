"""Ctrl-C in the middle of scores, samples, regressions and streams: heard within two seconds."""

import math
import signal

import numpy as np
import pytest
from reference.signals import heard, heard_by_a_copy

import nearlin

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an interval timer")

WORK = {
    "leverage": lambda A, **jobs: nearlin.leverage_scores(A, **jobs),
    "lewis": lambda A, **jobs: nearlin.lewis_weights(A, 1.0, tol=1e-300, max_iter=10**6, **jobs),
    "sensitivities": lambda A, **jobs: nearlin.sensitivity_bounds(A[:10_000], 1.0, **jobs),
    "total": lambda A, **jobs: nearlin.total_sensitivity(A, 1.0, size=20_000, **jobs),
    "approximate": lambda A, **jobs: nearlin.coreset.approximate_sensitivities(A, 1.0, alpha=50, **jobs),
    "sample": lambda A, **jobs: nearlin.sample_rows(A, p=1.0, size=9000, **jobs),
    "iid": lambda A, **jobs: nearlin.sample_rows(A, design="iid", size=2**31, **jobs),
    "dpp": lambda A, **jobs: nearlin.sample_rows(A, design="dpp", repeats=1000, **jobs),
}


@pytest.mark.filterwarnings("ignore::nearlin.exceptions.GuaranteeWarning")
@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("work", WORK)
def test_it_is_heard(work, n_jobs):
    A = np.random.default_rng(0).standard_normal((100_000, 12))
    assert heard(lambda: WORK[work](A, n_jobs=n_jobs)) < 2.0


def test_a_stream_stays_as_it_was():
    stream = nearlin.StreamingCoreset(500, rng=0).partial_fit(
        np.random.default_rng(1).standard_normal((999, 60))
    )
    before = stream.to_bytes()
    A = np.random.default_rng(0).standard_normal((1_000_000, 60))
    seconds, interrupted = heard_by_a_copy(stream, lambda stream: stream.partial_fit(A))
    assert seconds < 2.0
    assert interrupted.to_bytes() == before


REGRESSIONS = {
    "full": lambda A, b, n_jobs: nearlin.lp_regression(A, b, method="full", n_jobs=n_jobs),
    "exact": lambda A, b, n_jobs: nearlin.lp_regression(A, b, quantile=[0.1, 0.5, 0.9] * 20, n_jobs=n_jobs),
    "newton": lambda A, b, n_jobs: nearlin.lp_regression(A, b, p=1.03, n_jobs=n_jobs),
    "interior point": lambda A, b, n_jobs: nearlin.lp_regression(A, b, p=math.inf, n_jobs=n_jobs),
    "coreset": lambda A, b, n_jobs: nearlin.lp_regression(A, b, size=20_000, n_jobs=n_jobs),
    "coreset of p": lambda A, b, n_jobs: nearlin.lp_regression(A, b, p=3.0, size=20_000, n_jobs=n_jobs),
    "huber": lambda A, b, n_jobs: nearlin.HuberRegressor(epsilon=1.01, n_jobs=n_jobs).fit(A, b),
}


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("work", REGRESSIONS)
def test_it_is_heard_by_regressions(work, n_jobs):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((120_000, 60))
    b = A @ rng.standard_normal(60) + rng.standard_cauchy(len(A))
    assert heard(lambda: REGRESSIONS[work](A, b, n_jobs)) < 2.0
