"""Factors without numbers below zero."""

import numpy as np
import pytest
import scipy.optimize

from nearlin import MatrixCompletion

pytestmark = pytest.mark.filterwarnings("ignore::nearlin.exceptions.AccuracyWarning")


def parts(seed=0, noise=0.0):
    rng = np.random.default_rng(seed)
    truth = rng.exponential(size=(90, 3)) @ rng.exponential(size=(3, 70))
    rows, cols = np.nonzero(rng.random(truth.shape) < 0.4)
    return (rows, cols, truth[rows, cols] + noise * rng.standard_normal(len(rows))), truth


def fitted(entries, **options):
    options = {"reg": 0.02, "bias": False, "center": False, "random_state": 0, "max_iter": 200} | options
    options.setdefault("validation_fraction", 0.0)
    return MatrixCompletion(3, nonnegative=True, **options).fit(entries)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parts_are_found(dtype):
    entries, truth = parts(noise=0.05)
    model = fitted(entries, dtype=dtype, tol=1e-6)
    assert model.U_.min() >= 0.0
    assert model.V_.min() >= 0.0
    error = model.reconstruct() - truth
    assert np.sqrt(np.mean(error**2)) < 0.1 * truth.std()
    history = np.array(model.history_)
    assert np.all(np.diff(history) <= history[:-1] * (1e-5 if dtype == "float32" else 1e-12))


def test_rows_are_non_negative_least_squares():
    entries, _ = parts(noise=2.0)
    model = fitted(entries, dtype="float64", reg=0.3, reg_exponent=0.0, max_iter=8)
    rows, cols, values = entries
    scale = np.sqrt(np.mean(values**2))
    V = model.V_ / np.sqrt(scale)
    zeros = 0
    for i in range(90):
        A = np.vstack([V[cols[rows == i]], np.sqrt(0.3) * np.eye(3)])
        expected, _ = scipy.optimize.nnls(A, np.append(values[rows == i] / scale, np.zeros(3)))
        assert np.abs(model.U_[i] / np.sqrt(scale) - expected).max() < 1e-9
        zeros += np.count_nonzero(expected == 0.0)
    assert zeros > 10
    X = np.full((90, 70), np.nan)
    X[rows, cols] = values
    assert np.abs(model.transform(X) - model.U_).max() < 1e-9
    twin = MatrixCompletion.from_bytes(model.to_bytes())
    assert np.array_equal(twin.transform(X), model.transform(X))


def test_threads_leave_no_trace():
    entries, _ = parts(noise=0.5)
    one, *others = (fitted(entries, n_jobs=n_jobs, max_iter=5) for n_jobs in (1, 2, 3, 8))
    assert all(np.array_equal(one.U_, other.U_) and np.array_equal(one.V_, other.V_) for other in others)


def test_biases_may_have_any_sign():
    entries, _ = parts(noise=0.5)
    model = fitted((*entries[:2], entries[2] - 50.0), bias=True, center=True)
    assert model.U_.min() >= 0.0
    assert model.row_bias_.min() < 0.0
