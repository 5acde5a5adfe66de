"""Ctrl-C wherever it comes: a change is in, with its answers, or it is not."""

import signal

import numpy as np
import pytest
from reference.signals import interrupted_everywhere

from nearlin import StreamingPCA

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an interval timer")

X = np.random.default_rng(0).standard_normal((90, 5))
OTHER = StreamingPCA(2, algorithm="sketch", sketch_size=4, random_state=0).fit(X[:20])
CHANGES = {
    "fit": lambda model: model.fit(X[::-1]),
    "partial_fit": lambda model: model.partial_fit(X[60:]),
    "one row": lambda model: model.partial_fit(X[:1]),
    "merge": lambda model: model.merge(OTHER),
    "delete": lambda model: model.delete(X[:7]),
    "refine": lambda model: model.refine(X[:60]),
}


def answers(model):
    return [
        model.components_.tobytes(),
        model.eigenvalues_.tobytes(),
        model.n_samples_seen_,
        str(model.certificate_),
    ]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_in_or_not_wherever_the_interrupt_comes(change):
    model = StreamingPCA(2, algorithm="sketch", sketch_size=4, random_state=0).fit(X[:60])
    changed = CHANGES[change](model.copy())
    possible = [answers(model), answers(changed)]
    for found in interrupted_everywhere(model.copy, CHANGES[change]):
        assert answers(found) in possible
        if change != "refine":  # whose answers are not saved
            assert answers(found) == answers(StreamingPCA.from_bytes(found.to_bytes()))
    assert answers(found) == answers(changed)


@pytest.mark.parametrize("first", ["fit", "partial_fit"])
def test_a_first_fit_is_in_or_not_wherever_the_interrupt_comes(first):
    def work(model):
        getattr(model, first)(X)

    for found in interrupted_everywhere(lambda: StreamingPCA(2, random_state=0), work):
        if found.__sklearn_is_fitted__():
            assert found.n_samples_seen_ == 90
        else:
            assert not hasattr(found, "n_features_in_")
    assert found.__sklearn_is_fitted__()
