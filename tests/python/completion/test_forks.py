"""The same bits in a forked child as in its parent, on any number of threads."""

import os

import numpy as np
import pytest
from reference.completion import instance

from nearlin import MatrixCompletion

pytestmark = [
    pytest.mark.fork,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"),
    pytest.mark.filterwarnings("ignore::nearlin.exceptions.AccuracyWarning"),
]

OPTIONS = [{"rank": 4}, {"rank": 30}, {"rank": 4, "loss": "huber"}, {"rank": 4, "nonnegative": True}]


@pytest.mark.parametrize("options", OPTIONS)
def test_a_child_and_any_number_of_threads_find_the_same(options):
    rows, cols, values, _ = instance((300, 250), 3, 0.3, seed=1)
    weights = np.random.default_rng(0).uniform(0.5, 2.0, len(values))
    common = {"reg": 0.3, "random_state": 0, "max_iter": 4, "validation_fraction": 0.1} | options

    def fitted(n_jobs):
        model = MatrixCompletion(**common, n_jobs=n_jobs).fit((rows, cols, values, weights))
        found = model.transform(model.reconstruct()[:20])
        return b"".join(part.tobytes() for part in (model.U_, model.V_, model.row_bias_, found))

    expected = fitted(2)
    assert all(fitted(n_jobs) == expected for n_jobs in (1, 3, 8))
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(sender, b"same" if fitted(2) == expected else b"other")
        finally:
            os._exit(0)
    os.close(sender)
    os.waitpid(child, 0)
    with os.fdopen(receiver, "rb") as pipe:
        assert pipe.read() == b"same"
