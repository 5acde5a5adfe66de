"""Least absolute errors by sub-gradients."""

import numpy as np
import pytest
from reference.completion import instance, magnitude_step

from nearlin import MatrixCompletion
from nearlin.exceptions import AccuracyWarning, InvalidInputError

SHAPE = (120, 90)
ROWS, COLS, VALUES, TRUTH = instance(SHAPE, 3, 0.5, seed=4)
COMMON = {"rank": 6, "loss": "l1", "random_state": 0, "n_jobs": 1}


def spoiled(values, share, seed=0):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(len(values)) < share, values + 10.0 * rng.standard_normal(len(values)), values)


def in_units(model, values):
    scale = np.std(values)
    root = np.sqrt(scale)
    factors = model.U_ / root, model.V_ / root, model.row_bias_ / scale, model.col_bias_ / scale
    return ((values - model.mean_) / scale, *factors)


@pytest.mark.filterwarnings("ignore::nearlin.exceptions.AccuracyWarning")
@pytest.mark.parametrize("steps", [1, 7, 300])
def test_a_step_is_that_of_the_oracle(steps):
    options = COMMON | {"dtype": "float64", "tol": 0.0, "validation_fraction": 0.0}
    before, after = (
        MatrixCompletion(**options, max_iter=count).fit((ROWS, COLS, VALUES)) for count in (steps, steps + 1)
    )
    z, *state = in_units(before, VALUES)
    found = in_units(after, VALUES)[1:]
    # The size of a value is that of a normal distribution with the same median magnitude.
    size = np.median(np.abs(z)) * 1.4826
    length = 0.1 * 0.98**steps
    expected = magnitude_step(ROWS, COLS, z, *state, length * np.sqrt(size * np.sqrt(6.0)), length * size)
    for start, mine, theirs in zip(state, found, expected, strict=True):
        # To the accuracy of that median.
        assert np.linalg.norm(mine - theirs) < 0.02 * np.linalg.norm(theirs - start)
    e = np.abs(z - found[2][ROWS] - found[3][COLS] - np.einsum("ij,ij->i", found[0][ROWS], found[1][COLS]))
    d = np.abs(z - state[2][ROWS] - state[3][COLS] - np.einsum("ij,ij->i", state[0][ROWS], state[1][COLS]))
    assert after.history_[-1] / before.history_[-1] == pytest.approx(e.sum() / d.sum(), rel=1e-9)


@pytest.mark.parametrize("rank", [3, 6])
def test_gross_errors_leave_no_trace_though_the_rank_is_more_than_that_of_the_matrix(rank):
    rows, cols, values, truth = instance((200, 160), 3, 0.5, noise=0.0, seed=1, biases=False)
    options = {"bias": False, "center": False, "dtype": "float64", "tol": 1e-10, "validation_fraction": 0.0}
    model = MatrixCompletion(**COMMON | options | {"rank": rank}).fit((rows, cols, spoiled(values, 0.3)))
    assert model.status_ == "CONVERGED"
    assert np.sqrt(np.mean((model.reconstruct() - truth) ** 2)) < 1e-8


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_noise_and_biases_are_borne(dtype):
    def error_of(values, **options):
        model = MatrixCompletion(**COMMON | {"dtype": dtype} | options).fit((ROWS, COLS, values))
        return np.sqrt(np.mean((model.reconstruct() - TRUTH) ** 2))

    clean = error_of(VALUES, rank=3)
    assert clean < 0.1
    assert error_of(spoiled(VALUES, 0.2), rank=3) < 1.5 * clean
    assert error_of(spoiled(VALUES, 0.2), loss="squared", reg=0.1) > 5.0 * clean


def test_no_bit_depends_on_threads_or_order():
    values = spoiled(VALUES, 0.1)
    expected = MatrixCompletion(**COMMON, max_iter=100, tol=0.3).fit((ROWS, COLS, values))
    order = np.random.default_rng(1).permutation(len(values))
    for n_jobs in (2, 3, 8):
        model = MatrixCompletion(**COMMON | {"n_jobs": n_jobs}, max_iter=100, tol=0.3)
        model.fit((ROWS[order], COLS[order], values[order]))
        assert np.array_equal(model.U_, expected.U_)
        assert np.array_equal(model.V_, expected.V_)


def test_results_follow_the_values_when_these_are_scaled():
    values = spoiled(VALUES, 0.1)
    options = COMMON | {"dtype": "float64"}
    one = MatrixCompletion(**options).fit((ROWS, COLS, values))
    for factor in (2.0**-10, 2.0**10):
        other = MatrixCompletion(**options).fit((ROWS, COLS, factor * values))
        assert np.allclose(other.reconstruct() / factor, one.reconstruct(), atol=1e-9)


def test_whole_weights_are_that_many_entries():
    weights = np.arange(len(VALUES)) % 3 + 1
    options = COMMON | {"dtype": "float64", "max_iter": 20, "tol": 0.8, "validation_fraction": 0.0}
    one = MatrixCompletion(**options).fit((ROWS, COLS, VALUES, weights))
    many = MatrixCompletion(**options).fit(tuple(np.repeat(part, weights) for part in (ROWS, COLS, VALUES)))
    assert np.abs(one.reconstruct() - many.reconstruct()).max() < 1e-6


def test_rows_that_are_folded_in_are_robust_too_and_the_certificate_counts_gross_errors_less():
    values = spoiled(VALUES, 0.1)
    model = MatrixCompletion(**COMMON | {"rank": 3, "dtype": "float64"}).fit((ROWS, COLS, values))
    X = np.full(SHAPE, np.nan)
    X[ROWS, COLS] = values
    factor, bias = model.transform(X, return_bias=True)
    found = model.mean_ + bias[:, None] + model.col_bias_ + factor @ model.V_.T
    error = np.sqrt(np.mean((found - TRUTH) ** 2))
    assert error < 1.2 * np.sqrt(np.mean((model.reconstruct() - TRUTH) ** 2))
    # Of errors by their squares it would be above 3.
    assert model.certificate_.estimate < 1.5
    twin = MatrixCompletion.from_bytes(model.to_bytes())
    assert np.array_equal(twin.transform(X), factor)


def test_steps_that_are_too_few_and_what_does_not_go_with_it_are_told():
    with pytest.warns(AccuracyWarning, match="max_iter=5"):
        MatrixCompletion(**COMMON, max_iter=5).fit((ROWS, COLS, VALUES))
    for options, name in (
        ({"reg": 0.1}, "reg"),
        ({"rank": "auto"}, "rank"),
        ({"solver": "cg"}, "solver"),
        ({"nonnegative": True}, "nonnegative"),
    ):
        with pytest.raises(InvalidInputError, match=f"`{name}`"):
            MatrixCompletion(**COMMON | options).fit((ROWS, COLS, VALUES))
    model = MatrixCompletion(**COMMON).fit((ROWS, COLS, VALUES))
    with pytest.raises(InvalidInputError, match="`loss`"):
        model.partial_fit(([0], [0], [1.0]))
