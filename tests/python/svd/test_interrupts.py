"""Ctrl-C in the middle of dense factorisations that take seconds: heard within two, and nothing changes."""

import signal

import numpy as np
import pytest
from reference.signals import heard, heard_by_a_copy
from reference.svd_update import scattered

import nearlin
from nearlin import TruncatedSVD

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an interval timer")


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_many_dense_rows(n_jobs):
    rows = np.random.default_rng(0).standard_normal((20_000, 500))
    model = TruncatedSVD(5, method="qr", random_state=0, n_jobs=n_jobs).fit(scattered(100, 500))
    before = model.to_bytes()
    seconds, interrupted = heard_by_a_copy(model, lambda model: model.append_rows(rows))
    assert seconds < 2.0
    assert interrupted.to_bytes() == before
    assert interrupted.append_rows(rows[:2]).n_samples_seen_ == 102


@pytest.mark.parametrize("work", ["svds", "fit"])
def test_a_thousand_triplets(work):
    A = np.random.default_rng(0).standard_normal((1600, 1500))
    model = TruncatedSVD(1000, random_state=0)
    assert heard(lambda: nearlin.svds(A, 1000, rng=0) if work == "svds" else model.fit(A)) < 2.0
    assert not hasattr(model, "components_")
