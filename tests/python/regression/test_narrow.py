"""Dense rows of at most 32 columns: the answer of one read, measured by another."""

import numpy as np
import pytest
from reference import regression as reference
from reference.layouts import LAYOUTS, same_bits

import nearlin
from nearlin.exceptions import NonFiniteError

DENSE = [name for name in LAYOUTS if not name.startswith(("CSR", "CSC", "COO"))]
U = reference.UNIT_ROUNDOFF


def problem(n, d, seed=0):
    rng = np.random.default_rng([seed, n, d])
    A = rng.standard_normal((n, d)) * 2.0 ** rng.integers(-4, 5, d) + rng.standard_normal(d)
    return A, A @ np.ones(d) + rng.standard_normal(n)


def reads(result):
    return sum(reads for _, _, reads in result.stages)


@pytest.mark.parametrize("d", [1, 2, 3, 5, 7, 8, 9, 16, 25, 32, 33])
@pytest.mark.parametrize("n", [70, 3001])
def test_any_width_and_order(n, d):
    A, b = problem(n, d)
    for rows in (A, np.asfortranarray(A), np.repeat(A, 2, axis=1)[:, ::2]):
        result = nearlin.lstsq(rows, b, method="gram")
        assert result.method == "gram"
        assert d == 33 or reads(result) <= 3
        reference.check(A, b, result.x, f"{n} x {d}")


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 63])
def test_a_handful_of_rows(n):
    for d in {1, min(3, n)}:
        A, b = problem(n, d, seed=1)
        reference.check(A, b, nearlin.lstsq(A, b, method="gram").x, f"{n} x {d}")


@pytest.mark.parametrize("layout", DENSE)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_layouts_and_types_have_one_answer(layout, dtype):
    A, b = problem(20_000, 6)
    A, b = A.astype(dtype), b.astype(dtype)
    expected = nearlin.lstsq(A, b)
    assert expected.method == "gram"
    assert reads(expected) <= 3
    assert same_bits(nearlin.lstsq(LAYOUTS[layout](A), b).x, expected.x)
    assert np.allclose(
        expected.x, np.linalg.lstsq(A.astype(float), b, rcond=None)[0], rtol=1e4 * np.finfo(dtype).eps
    )


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6, 1e9])
@pytest.mark.parametrize("weighted", [False, True])
def test_an_intercept_far_from_the_origin(offset, weighted):
    A, b = problem(4000, 5)
    A = np.sort(A, axis=0)  # The first rows tell nothing of the mean.
    w = reference.weights(4000) if weighted else None
    model = nearlin.LinearRegression().fit(A + offset, b, sample_weight=w)
    shifted = (A + offset) - offset
    M, c = reference.explicit(shifted, b, sample_weight=w, fit_intercept=True)
    expected = reference.refined(M, c)[:5]
    tolerance = 1e-13 if offset < 1e9 else 1e-9
    assert (
        np.abs(model.coef_ - expected).max()
        <= tolerance * np.linalg.cond(M[:, :5] / np.linalg.norm(M[:, :5], axis=0)) ** 2
    )


def test_several_targets_and_a_ridge():
    A, B = (
        problem(3000, 7)[0],
        np.random.default_rng(1).standard_normal((3000, 8)) * 10.0 ** np.arange(-40, 40, 10),
    )
    ridge = 5.0
    together = nearlin.lstsq(A, B, ridge=ridge)
    assert reads(together) <= 3
    for column in range(8):
        alone = nearlin.lstsq(np.asfortranarray(A), B[:, column], ridge=ridge)
        assert np.allclose(together.x[:, column], alone.x, rtol=1e-13)
    M, c = reference.explicit(A, B[:, 4], ridge=ridge)
    reference.check(M, c, together.x[:, 4], "ridge")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 9999, 19_999])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_what_is_not_finite_is_named(value, row, fit_intercept):
    A, b = problem(20_000, 4)
    for name, array, place in [("A", A, (row, 2)), ("b", b, (row,))]:
        spoilt = array.copy()
        spoilt[place] = value
        pair = (spoilt, b) if name == "A" else (A, spoilt)
        fit = nearlin.LinearRegression().fit if fit_intercept else nearlin.lstsq
        with pytest.raises(NonFiniteError, match=f"{row}"):
            fit(*pair)


@pytest.mark.parametrize("magnitude", [1e-300, 1e-170, 1e120, 1e300])
def test_columns_of_extreme_magnitude_take_the_careful_path(magnitude):
    A, b = problem(20_000, 4)
    scale = np.array([1.0, magnitude, 1.0, 1.0])
    x = nearlin.lstsq(A * scale, b).x
    assert np.allclose(x * scale, nearlin.lstsq(A, b).x, rtol=1e-11)


def test_near_duplicates_go_to_qr_and_duplicates_have_their_rank():
    A, b = problem(20_000, 4)
    near = np.c_[A, A[:, 0] + 1e-9 * np.random.default_rng(2).standard_normal(20_000)]
    result = nearlin.lstsq(near, b)
    assert (result.method, result.rank) == ("qr", 5)
    reference.check(near, b, result.x, "near duplicate")
    twice = nearlin.lstsq(np.c_[A, A[:, 0]], b)
    assert (twice.method, twice.rank) == ("qr", 4)
    assert twice.x[0] == pytest.approx(twice.x[4])


def test_threads_change_no_bit():
    A, b = problem(30_001, 9)
    for rows in (A, np.asfortranarray(A)):
        x = nearlin.lstsq(rows, b, n_jobs=1).x
        assert all(same_bits(nearlin.lstsq(rows, b, n_jobs=n).x, x) for n in (2, 3, 5, 8))
