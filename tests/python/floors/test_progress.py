"""Progress is honest: it never goes back, whatever methods are tried, and ends with all steps done."""

import warnings

import numpy as np
import pytest

import nearlin

rng = np.random.default_rng(0)
A, b = rng.standard_normal((3000, 12)), rng.standard_normal(3000)
BAD = A * np.logspace(0, -9, 12) @ rng.standard_normal((12, 12))
HOLED = np.where(
    rng.random((60, 40)) < 0.5, np.nan, rng.standard_normal((60, 1)) @ rng.standard_normal((1, 40))
)
HOLED += 0.1 * rng.standard_normal(HOLED.shape)
CALLS = {
    "lstsq": lambda told: nearlin.lstsq(A, b, rng=0, progress=told),
    "methods that give way": lambda told: nearlin.lstsq(BAD, b, method="gram", rng=0, progress=told),
    "iterations": lambda told: nearlin.lstsq(A, b, method="lsmr", rng=0, progress=told),
    "sketch_and_solve": lambda told: nearlin.sketch_and_solve(A, b, sketch_size=200, rng=0, progress=told),
    "lstsq_kron": lambda told: nearlin.lstsq_kron(
        [A[:20, :3], A[:30, 3:5]], b[:600].reshape(20, 30), progress=told
    ),
    "svds": lambda told: nearlin.svds(A, 3, rng=0, progress=told),
    "TruncatedSVD": lambda told: nearlin.TruncatedSVD(3, random_state=0).fit(A, progress=told),
    "top_eigenvector": lambda told: nearlin.top_eigenvector(iter(np.split(A, 3)), rng=0, progress=told),
    "lewis_weights": lambda told: nearlin.lewis_weights(A, 1.0, progress=told),
    "lp_regression": lambda told: nearlin.lp_regression(A, b, rng=0, progress=told),
    "sensitivity_bounds": lambda told: nearlin.sensitivity_bounds(A[:50, :3], p=1.5, progress=told),
    "MatrixCompletion": lambda told: nearlin.MatrixCompletion(2, random_state=0).fit(HOLED, progress=told),
    "a given penalty": lambda told: nearlin.MatrixCompletion(2, reg=0.1, random_state=0).fit(
        HOLED, progress=told
    ),
    "ranks": lambda told: nearlin.MatrixCompletion("auto", random_state=0).fit(HOLED, progress=told),
    "SoftImpute": lambda told: nearlin.SoftImpute(3, random_state=0).fit(HOLED, progress=told),
}


@pytest.mark.parametrize("call", CALLS)
def test_steps_are_never_taken_back_and_all_are_done_in_the_end(call):
    steps = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        CALLS[call](lambda done, total, figures: steps.append((done, total, dict(figures))))
    assert steps
    done = [step[0] for step in steps]
    assert done == sorted(done)
    known = [step[1] for step in steps if step[1]]
    assert known == sorted(known)
    assert all(step[0] <= step[1] for step in steps if step[1])
    assert steps[-1][0] == steps[-1][1]


def test_what_is_left_of_the_steps_was_not_needed():
    steps = []
    nearlin.lstsq(A, b, method="spir", rng=0, progress=lambda *step: steps.append(step))
    (*_, before), last = steps[:-1], steps[-1]
    assert before[0] < before[1] == last[1] == last[0]


def test_an_exception_at_the_last_step_is_raised_too():
    def stop(done, total, figures):
        if done == total:
            raise LookupError("at the end")

    with pytest.raises(LookupError, match="at the end"):
        nearlin.lstsq(A, b, rng=0, progress=stop)


def test_a_call_that_fails_is_not_done():
    steps = []
    broken = A.copy()
    broken[-1, 3] = np.nan
    with pytest.raises(nearlin.exceptions.NonFiniteError):
        nearlin.lstsq(broken, b, rng=0, progress=lambda *step: steps.append(step))
    assert all(done < total for done, total, _ in steps)
