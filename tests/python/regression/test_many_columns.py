"""Matrices of many columns: rows that overlap, entries near the largest number, a ridge below any layout."""

import numpy as np
import pytest
from reference import regression as reference

import nearlin

N, D = 3000, 150


@pytest.mark.parametrize("method", ["auto", "gram", "whitened", "fgmres_wlsir"])
@pytest.mark.parametrize("ridge", [0.0, 1.0])
def test_rows_that_overlap_in_memory(method, ridge):
    """Lags of a series are a view whose rows are one number apart."""
    series = np.random.default_rng(0).standard_normal(N + D)
    lags = np.lib.stride_tricks.sliding_window_view(series, D)[:-1]
    target = series[D:]
    result = nearlin.lstsq(lags, target, method=method, ridge=ridge, rng=0, n_jobs=2)
    again = nearlin.lstsq(lags.copy(), target, method=method, ridge=ridge, rng=0, n_jobs=2)
    assert result.certificate.met
    np.testing.assert_array_equal(result.x, again.x)


def test_fewer_rows_that_overlap_in_memory():
    rng = np.random.default_rng(0)
    lags = np.lib.stride_tricks.sliding_window_view(rng.standard_normal(N), N - D + 1)
    target = rng.standard_normal(len(lags))
    result = nearlin.lstsq(lags, target, rng=0)
    np.testing.assert_array_equal(result.x, nearlin.lstsq(lags.copy(), target, rng=0).x)


def test_rows_that_are_all_the_same_in_memory():
    rng = np.random.default_rng(0)
    row, target = rng.standard_normal(D), rng.standard_normal(N)
    with pytest.warns(nearlin.exceptions.FallbackWarning):
        result = nearlin.lstsq(np.broadcast_to(row, (N, D)), target, method="gram", rng=0)
    assert result.rank == 1
    np.testing.assert_allclose(result.x, row * target.mean() / (row @ row), rtol=1e-10)


@pytest.mark.filterwarnings("ignore::nearlin.exceptions.FallbackWarning")
@pytest.mark.parametrize("largest", [1e300, 5e306, 1e307, 1e308, 1.7e308])
@pytest.mark.parametrize("method", ["auto", "gram", "whitened"])
@pytest.mark.parametrize("ridge", [0.0, 1.0])
def test_an_entry_near_the_largest_number(largest, method, ridge):
    rng = np.random.default_rng(1)
    matrix, target = rng.standard_normal((N, D)), rng.standard_normal(N)
    matrix[5, 5] = largest
    result = nearlin.lstsq(matrix, target, method=method, ridge=ridge, rng=0, n_jobs=1)
    others = np.arange(N) != 5
    rest = nearlin.lstsq(np.delete(matrix, 5, axis=1)[others], target[others], ridge=ridge, rng=0)
    assert result.certificate.met
    np.testing.assert_allclose(np.delete(result.x, 5), rest.x, atol=1e-10)


def test_infinity_beside_entries_near_the_largest_number():
    rng = np.random.default_rng(1)
    with np.errstate(over="ignore"):
        matrix = rng.standard_normal((N, D)) * 1e308
    with pytest.raises(nearlin.exceptions.NonFiniteError, match="contains infinity"):
        nearlin.lstsq(matrix, rng.standard_normal(N), rng=0)


@pytest.mark.filterwarnings("ignore::nearlin.exceptions.FallbackWarning")
@pytest.mark.parametrize("largest", [1e307, 1e308])
def test_fewer_rows_with_an_entry_near_the_largest_number(largest):
    rng = np.random.default_rng(1)
    matrix = rng.standard_normal((D, N))
    matrix[5, 5] = largest
    assert nearlin.lstsq(matrix, rng.standard_normal(D), ridge=1.0, rng=0).certificate.met


@pytest.mark.parametrize("method", ["auto", "qr"])
def test_a_ridge_below_columns_that_lie_one_after_the_other(method):
    A = np.random.default_rng(0).standard_normal((355, 115))
    b = A.sum(axis=1)
    expected = nearlin.lstsq(A, b, ridge=0.1, method=method).x
    found = nearlin.lstsq(np.asfortranarray(A), b, ridge=0.1, method=method).x
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("residual", [1e-6, 1e-3, 1.0])
def test_refinement_by_a_factor_of_few_digits_ends_at_the_roundoff(residual, seed):
    """Rounding of the gradient, along what A hardly sees, is not moved to where A sees it."""
    A, left = reference.graded(2100, 256, 1e10, seed=seed)
    b = reference.right_hand_side(A, left, residual, seed=seed)
    result = nearlin.lstsq(A, b, method="whitened", rng=seed)
    assert result.method == "whitened"
    assert reference.backward_error(A, b, result.x) <= 2 * reference.UNIT_ROUNDOFF
    assert result.n_iter <= 7
