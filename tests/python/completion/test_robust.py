"""Gross errors among the entries."""

import numpy as np
import pytest
from reference.completion import instance

from nearlin import MatrixCompletion
from nearlin.exceptions import InvalidInputError

SHAPE = (150, 120)
ROWS, COLS, VALUES, TRUTH = instance(SHAPE, 3, 0.5, seed=4)
COMMON = {"rank": 3, "random_state": 0, "n_jobs": 1, "loss": "huber"}

pytestmark = pytest.mark.filterwarnings("ignore::nearlin.exceptions.AccuracyWarning")


def spoiled(share, seed=0):
    rng = np.random.default_rng(seed)
    bad = rng.random(len(VALUES)) < share
    return np.where(bad, VALUES + 10.0 * rng.standard_normal(len(VALUES)), VALUES), bad


def error_of(model):
    return np.sqrt(np.mean((model.reconstruct() - TRUTH) ** 2))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gross_errors_cost_little(dtype):
    clean = error_of(
        MatrixCompletion(**COMMON | {"loss": "squared"}, reg=0.05, dtype=dtype).fit((ROWS, COLS, VALUES))
    )
    untouched = error_of(MatrixCompletion(**COMMON, reg=0.05, dtype=dtype).fit((ROWS, COLS, VALUES)))
    assert untouched < 1.25 * clean
    for share, most in ((0.05, 1.5), (0.2, 2.0)):
        values, _ = spoiled(share)
        robust = MatrixCompletion(**COMMON, reg=0.05, dtype=dtype, max_iter=60).fit((ROWS, COLS, values))
        assert error_of(robust) < most * clean
        plain = MatrixCompletion(**COMMON | {"loss": "squared"}, reg=0.05, dtype=dtype).fit(
            (ROWS, COLS, values)
        )
        assert error_of(robust) < 0.3 * error_of(plain)


def test_without_noise_three_gross_errors_in_ten_leave_no_trace():
    rows, cols, values, truth = instance((200, 160), 3, 0.5, noise=0.0, seed=1, biases=False)
    rng = np.random.default_rng(0)
    values = np.where(rng.random(len(values)) < 0.3, values + 10.0 * rng.standard_normal(len(values)), values)
    options = {"reg": 0.0, "bias": False, "center": False, "dtype": "float64", "tol": 0.0, "max_iter": 110}
    model = MatrixCompletion(**COMMON | options, validation_fraction=0.0).fit((rows, cols, values))
    assert np.sqrt(np.mean((model.reconstruct() - truth) ** 2)) < 1e-9


def test_a_penalty_is_chosen_in_spite_of_them():
    values, _ = spoiled(0.1)
    model = MatrixCompletion(**COMMON, max_iter=40).fit((ROWS, COLS, values))
    assert error_of(model) < 0.1
    # Of squared errors it would be above 3.
    assert model.certificate_.estimate < 0.3


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2, 0.3])
def test_the_penalty_is_the_one_for_what_is_no_gross_error(share):
    rng = np.random.default_rng(1)
    truth = rng.standard_normal((200, 3)) @ rng.standard_normal((3, 200))
    X = truth + 0.05 * rng.standard_normal(truth.shape)
    gross = 10.0 * truth.std() * rng.standard_normal(truth.shape)
    X = np.where(rng.random(truth.shape) < share, X + gross, X)
    X = np.where(rng.random(truth.shape) < 0.4, X, np.nan)

    def found(reg):
        model = MatrixCompletion(**COMMON, reg=reg, max_iter=60).fit(X)
        return np.sqrt(np.mean((model.reconstruct() - truth) ** 2)), model

    error, model = found(None)
    assert error < 1.25 * min(found(reg)[0] for reg in (0.01, 0.03, 0.1))
    # Errors beyond delta count as that: of the noise, and of a share of so large ones.
    assert 0.04 < model.certificate_.estimate < 0.15


def test_rows_that_are_folded_in_are_robust_too():
    values, _ = spoiled(0.1)
    model = MatrixCompletion(**COMMON, reg=0.3, max_iter=60, dtype="float64").fit((ROWS, COLS, values))
    X = np.full(SHAPE, np.nan)
    X[ROWS, COLS] = values
    factor, bias = model.transform(X, return_bias=True)
    assert np.abs(factor - model.U_).max() < 0.02
    found = model.mean_ + bias[:, None] + model.col_bias_ + factor @ model.V_.T
    assert np.sqrt(np.mean((found - TRUTH) ** 2)) < 1.1 * error_of(model)
    twin = MatrixCompletion.from_bytes(model.to_bytes())
    assert np.array_equal(twin.transform(X), factor)


def test_no_bit_depends_on_threads_or_order():
    values, _ = spoiled(0.1)
    expected = MatrixCompletion(**COMMON, reg=0.3).fit((ROWS, COLS, values))
    order = np.random.default_rng(1).permutation(len(values))
    for n_jobs in (2, 3, 8):
        model = MatrixCompletion(**COMMON | {"n_jobs": n_jobs}, reg=0.3)
        model.fit((ROWS[order], COLS[order], values[order]))
        assert np.array_equal(model.U_, expected.U_)
        assert np.array_equal(model.V_, expected.V_)


def test_results_follow_the_values_when_these_are_scaled():
    values, _ = spoiled(0.1)
    one = MatrixCompletion(**COMMON, reg=0.3).fit((ROWS, COLS, values))
    for factor in (1e-3, 1e3):
        other = MatrixCompletion(**COMMON, reg=0.3).fit((ROWS, COLS, factor * values))
        assert np.allclose(other.reconstruct() / factor, one.reconstruct(), atol=1e-3)


def test_whole_weights_are_that_many_entries():
    values, _ = spoiled(0.1)
    weights = np.arange(len(values)) % 3 + 1
    options = COMMON | {"dtype": "float64", "reg": 0.3, "max_iter": 10}
    one = MatrixCompletion(**options).fit((ROWS, COLS, values, weights))
    many = MatrixCompletion(**options).fit(tuple(np.repeat(part, weights) for part in (ROWS, COLS, values)))
    assert np.abs(one.reconstruct() - many.reconstruct()).max() < 1e-7


def test_entries_that_come_later_are_refused():
    model = MatrixCompletion(**COMMON, reg=0.3).fit((ROWS, COLS, VALUES))
    with pytest.raises(InvalidInputError, match="`loss`"):
        model.partial_fit(([0], [0], [1.0]))
    with pytest.raises(InvalidInputError, match="`loss`"):
        MatrixCompletion(loss="l0").fit((ROWS, COLS, VALUES))
