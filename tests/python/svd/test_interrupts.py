"""Ctrl-C in the middle of dense factorisations that take seconds: heard within two, and nothing changes."""

import signal

import numpy as np
import pytest
from reference.signals import heard, heard_by_a_copy, interrupted_everywhere
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


X = np.random.default_rng(0).standard_normal((120, 6))
CHANGES = {
    "fit": lambda model: model.fit(X[::-1]),
    "append_rows": lambda model: model.append_rows(X[70:]),
    "more columns": lambda model: model.append_rows(np.ones((3, 8))),
    "append_columns": lambda model: model.append_columns(X[:70, :2]),
    "update": lambda model: model.update(X[:70, :1], np.ones((6, 1))),
    "add_entries": lambda model: model.add_entries([0, 1], [1, 2], [3.0, 4.0]),
    "delete_rows": lambda model: model.delete_rows([1, 2], values=X[1:3]),
    "decay": lambda model: model.decay(0.9),
    "slide": lambda model: model.slide(X[70:75]),
}


def answers(model):
    return [
        model.components_.tobytes(),
        model.singular_values_.tobytes(),
        model.n_features_in_,
        str(model.certificate_),
    ]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_in_or_not_wherever_the_interrupt_comes(change):
    model = TruncatedSVD(2, random_state=0).fit(X[:70])
    changed = CHANGES[change](model.copy())
    possible = [answers(model), answers(changed)]
    for found in interrupted_everywhere(model.copy, CHANGES[change]):
        assert answers(found) == answers(TruncatedSVD.from_bytes(found.to_bytes()))
        assert answers(found) in possible
    assert answers(found) == answers(changed)


@pytest.mark.parametrize("first", ["fit", "partial_fit"])
def test_a_first_fit_is_in_or_not_wherever_the_interrupt_comes(first):
    def work(model):
        getattr(model, first)(X)

    for found in interrupted_everywhere(lambda: TruncatedSVD(2, random_state=0), work):
        if found.__sklearn_is_fitted__():
            assert found.n_samples_seen_ == len(found.left_singular_vectors()) == 120
        else:
            assert not hasattr(found, "n_features_in_")
    assert found.__sklearn_is_fitted__()
