"""Ctrl-C in the middle of a fit: heard within two seconds, and the former model stays."""

import signal

import numpy as np
import pytest
from reference.signals import heard_by_a_copy

from nearlin import ImplicitALS, MatrixCompletion

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an interval timer")


@pytest.mark.filterwarnings("ignore::nearlin.exceptions.AccuracyWarning")
@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("reg", [0.3, None])
def test_a_fit_that_is_interrupted_leaves_the_former_model(n_jobs, reg):
    rng = np.random.default_rng(0)
    rows, cols = rng.integers(0, 3000, 200_000), rng.integers(0, 2000, 200_000)
    values = rng.standard_normal(len(rows))
    model = MatrixCompletion(40, reg=reg, random_state=0, n_jobs=n_jobs, tol=0.0)
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
