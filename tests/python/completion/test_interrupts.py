"""Ctrl-C in the middle of a fit: heard within two seconds, and the former model stays."""

import signal
import threading
import time

import numpy as np
import pytest
from reference.signals import heard, heard_by_a_copy

from nearlin import EntrySplit, ImplicitALS, MatrixCompletion

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an interval timer")


@pytest.mark.filterwarnings("ignore::nearlin.exceptions.AccuracyWarning")
@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("reg", [0.3, None])
def test_a_fit_that_is_interrupted_leaves_the_former_model(n_jobs, reg):
    rng = np.random.default_rng(0)
    rows, cols = rng.integers(0, 3000, 200_000), rng.integers(0, 2000, 200_000)
    values = rng.standard_normal(len(rows))
    model = MatrixCompletion(100, reg=reg, random_state=0, n_jobs=n_jobs, tol=0.0)
    model.set_params(reg=0.5, max_iter=1, tol=0.9).fit((rows[:900], cols[:900], values[:900]))
    before = model.U_.copy()
    model.set_params(reg=reg, max_iter=500, tol=0.0, validation_fraction=0.05)
    seconds, interrupted = heard_by_a_copy(model, lambda model: model.fit((rows, cols, values)))
    assert seconds < 2.0
    assert np.array_equal(interrupted.U_, before)


@pytest.mark.parametrize("risk", [None, "cvar"])
def test_a_fit_to_choices_that_is_interrupted_leaves_the_former_model(risk):
    rng = np.random.default_rng(0)
    rows, cols = rng.integers(0, 3000, 200_000), rng.integers(0, 2000, 200_000)
    model = ImplicitALS(6, confidence="ials", max_iter=1, random_state=0, n_jobs=2)
    model.fit((rows[:900], cols[:900]))
    before = model.U_.copy()
    model.set_params(rank=40, risk=risk, max_iter=500, tol=0.0)
    seconds, interrupted = heard_by_a_copy(model, lambda model: model.fit((rows, cols)))
    assert seconds < 2.0
    assert np.array_equal(interrupted.U_, before)


@pytest.mark.filterwarnings("ignore::nearlin.exceptions.AccuracyWarning")
@pytest.mark.parametrize("kind", ["numbers", "text", "objects"])
def test_whoever_looks_for_many_names_can_be_interrupted_and_lets_others_work(kind):
    rng = np.random.default_rng(0)
    rows, cols = rng.integers(0, 200_000, 1_500_000), rng.integers(0, 1000, 1_500_000)
    if kind == "numbers":
        rows, cols = rows * 10**9, cols * 10**9
    else:
        names = np.array([f"user {k:06d}" for k in rng.permutation(200_000)])
        names = names.astype(object) if kind == "objects" else names
        rows, cols = names[rows], names[cols]
    values = rng.standard_normal(len(rows))
    model = MatrixCompletion(2, reg=0.3, max_iter=1, random_state=0).fit((rows, cols, values))
    for work in (
        lambda: model.predict(rows, cols),
        lambda: model.score((rows, cols, values)),
        lambda: model.copy().fit((rows, cols, values)),
    ):
        assert heard(work) < 2.0
    # Another thread has its turn again and again while one looks for names.
    late, done = [], threading.Event()

    def wait():
        while not done.is_set():
            start = time.perf_counter()
            time.sleep(0.001)
            late.append(time.perf_counter() - start)

    other = threading.Thread(target=wait)
    other.start()
    model.predict(rows, cols)
    done.set()
    other.join()
    assert len(late) > 3


def test_splits_of_many_entries_can_be_interrupted():
    rng = np.random.default_rng(0)
    rows, cols = rng.integers(0, 4000, 6_000_000), rng.integers(0, 3000, 6_000_000)
    values = np.zeros(len(rows))
    assert heard(lambda: list(EntrySplit(50).split((rows, cols, values)))) < 2.0
