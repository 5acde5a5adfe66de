"""Many right-hand sides: every one of them as good as alone, and none of them aware of its neighbours."""

import numpy as np
import pytest
from reference import regression as reference

import nearlin

U = reference.UNIT_ROUNDOFF


def sides(A, k, rng):
    """In the range of A, unrelated to it, zeros, large and small, in turn."""
    n, d = A.shape
    B = A @ rng.standard_normal((d, k))
    B[:, 1::5] = rng.standard_normal((n, len(range(1, k, 5))))
    B[:, 2::5] = 0.0
    B[:, 3::5] *= 1e200
    B[:, 4::5] *= 1e-200
    return B


@pytest.mark.parametrize(("n", "d"), [(3000, 5), (2000, 40), (900, 128)])
@pytest.mark.parametrize("k", [2, 3, 16, 17, 40])
def test_every_side_is_as_good_as_alone_in_either_order(n, d, k):
    rng = np.random.default_rng(k)
    A = rng.standard_normal((n, d))
    B = sides(A, k, rng)
    result = nearlin.lstsq(A, B)
    assert np.array_equal(nearlin.lstsq(A, np.asfortranarray(B)).x, result.x)
    assert np.array_equal(nearlin.lstsq(A, B, n_jobs=3).x, result.x)
    assert result.certificate.met
    scale = np.abs(B).max(axis=0)
    scale[scale == 0] = 1.0
    errors = [
        reference.backward_error(A, (B / scale)[:, [j]], (result.x / scale)[:, [j]]) for j in range(min(k, 5))
    ]
    assert max(errors) <= 4 * U
    assert np.all(result.x[:, 2::5] == 0)


@pytest.mark.parametrize("d", [3, 20, 100])
def test_bits_of_a_side_do_not_depend_on_when_its_neighbours_converge(d):
    rng = np.random.default_rng(d)
    A = rng.standard_normal((20 * d + 6000, d))
    B = sides(A, 40, rng)
    expected = nearlin.lstsq(A, B).x
    others = B.copy()
    others[:, 1:] = rng.standard_normal((len(A), 39))
    assert np.array_equal(nearlin.lstsq(A, others).x[:, 0], expected[:, 0])
    others = np.repeat(B[:, 1:2], 40, axis=1)
    assert np.array_equal(nearlin.lstsq(A, others).x, np.repeat(expected[:, 1:2], 40, axis=1))


def test_weights_intercepts_and_penalties_of_many_sides():
    rng = np.random.default_rng(9)
    A, weights = rng.standard_normal((2000, 12)) + 5.0, rng.uniform(0.1, 2.0, 2000)
    B = A @ rng.standard_normal((12, 33)) + rng.standard_normal((2000, 33)) + 7.0
    together = nearlin.LinearRegression().fit(A, B, sample_weight=weights)
    for j in (0, 16, 32):
        alone = nearlin.LinearRegression().fit(A, B[:, j], sample_weight=weights)
        assert np.allclose(together.coef_[j], alone.coef_, rtol=1e-12, atol=1e-13)
        assert np.isclose(together.intercept_[j], alone.intercept_, rtol=1e-12)
    penalties = np.logspace(-2, 3, 33)
    together = nearlin.Ridge(penalties).fit(A, B)
    for j in (0, 16, 32):
        alone = nearlin.Ridge(penalties[j]).fit(A, B[:, j])
        assert np.allclose(together.coef_[j], alone.coef_, rtol=1e-12, atol=1e-13)
