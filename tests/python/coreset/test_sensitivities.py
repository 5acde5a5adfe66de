"""Sensitivities between their bounds, beside linear programs, Lewis weights and known sums."""

import numpy as np
import pytest
import scipy.sparse as sp
from reference import coreset as reference
from reference.coreset import GENERATORS
from reference.layouts import same_bits

import nearlin
from nearlin.exceptions import InvalidInputError, InvalidTypeError, NonFiniteError


def test_bounds_enclose_the_linear_programs():
    for name in ("gaussian", "student", "tabular"):
        A = GENERATORS[name](60, 6 if name == "tabular" else 3)
        lower, upper = nearlin.sensitivity_bounds(A, 1.0)
        truth = np.array([reference.sensitivity_l1(A, i) for i in range(60)])
        assert (lower <= truth * (1.0 + 1e-7)).all()
        assert (truth <= upper * (1.0 + 1e-7)).all()
        assert (upper <= 2.1 * lower).all()


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0, 4.0])
@pytest.mark.parametrize("name", ["gaussian", "student", "tabular", "legendre", "identity blocks"])
def test_bounds_are_in_order_and_beside_lewis_weights(name, p):
    n, d = 500, 6
    A = GENERATORS[name](n, d)
    lower, upper = nearlin.sensitivity_bounds(A, p)
    assert (lower <= upper).all()
    assert lower.min() >= 0.0
    assert upper.max() <= 1.0
    if p > 1.0:
        assert np.median(upper / lower) <= 1.03
        assert (upper <= 1.1 * lower).all()
    w = nearlin.lewis_weights(A, p, tol=1e-8, max_iter=200)
    low, high = sorted([1.0, d ** (p / 2.0 - 1.0)])
    assert (low * w <= upper * (1.0 + 1e-6)).all()
    assert (lower <= high * w * (1.0 + 1e-6)).all()
    if p == 2.0:
        np.testing.assert_allclose(lower, nearlin.leverage_scores(A), rtol=1e-7)
        np.testing.assert_allclose(upper, lower, rtol=1e-9)


@pytest.mark.parametrize("p", [1.0, 1.5, 3.0])
def test_every_direction_is_a_lower_bound(p):
    A = GENERATORS["student"](300, 4)
    _, upper = nearlin.sensitivity_bounds(A, p)
    images = abs(A @ np.linalg.solve(np.linalg.qr(A, mode="r"), reference.gaussian(4, 3000, 1))) ** p
    assert ((images / images.sum(axis=0)).max(axis=1) <= upper).all()


def test_sums_that_are_known():
    for name, p, expected, tolerance in (
        ("gaussian", 1.5, 6.43, 0.3),
        ("gaussian", 3.0, 21.2, 1.0),
        ("identity blocks", 3.0, 10.0, 0.2),
        ("legendre", 3.0, 13.1, 0.4),
    ):
        A = GENERATORS[name](2048, 10)
        total, certificate = nearlin.total_sensitivity(A, p, size=200, rng=0, return_certificate=True)
        assert total == pytest.approx(expected, abs=tolerance + 0.05 * expected), name
        assert certificate.details["lower"] <= expected + tolerance
        assert certificate.details["upper"] >= expected - tolerance
        assert certificate.bound < 0.15
    assert nearlin.total_sensitivity(A, 2.0) == pytest.approx(10.0)


def test_sums_and_the_largest_of_few_rows_are_those_of_the_bounds():
    A = GENERATORS["tabular"](200, 6)
    for p in (1.5, 3.0):
        lower, upper = nearlin.sensitivity_bounds(A, p)
        total, certificate = nearlin.total_sensitivity(A, p, size=200, return_certificate=True)
        assert lower.sum() * 0.999 <= total <= upper.sum() * 1.001
        assert certificate.confidence == 1.0
        largest, certificate = nearlin.max_sensitivity(A, p, return_certificate=True)
        assert lower.max() * 0.999 <= largest <= upper.max() * 1.001
        assert certificate.bound < 0.05


def test_many_rows_are_measured_by_a_sample():
    A = GENERATORS["student"](20_000, 5)
    total, certificate = nearlin.total_sensitivity(A, 1.5, rng=0, return_certificate=True)
    few = nearlin.total_sensitivity(A[:4000], 1.5, rng=0)
    assert total == pytest.approx(few, rel=0.15)
    assert np.isnan(certificate.bound)
    assert 0.0 < nearlin.max_sensitivity(A, 1.0, rng=0) < 1.0


@pytest.mark.parametrize("p", [1.0, 1.5, 3.0])
@pytest.mark.parametrize("name", ["gaussian", "student", "tabular"])
def test_approximations_are_above_and_within_their_buckets(name, p):
    n, alpha = 500, 10
    A = GENERATORS[name](n, 6)
    A[3] = 0.0
    found = nearlin.coreset.approximate_sensitivities(A, p, alpha=alpha, rng=0)
    lower, upper = nearlin.sensitivity_bounds(A, p)
    # All rows are the reference of so few.
    assert (found >= lower * (1.0 - 1e-9)).all()
    values, buckets = np.unique(found, return_inverse=True)
    assert found[3] == 0.0
    assert (n / alpha / 2 if p == 1.0 else 2) < len(values) <= n / alpha + 1
    sizes, sums = np.bincount(buckets), np.bincount(buckets, weights=upper)
    most = sizes ** (p - 1.0) * sums
    assert (values[1:] <= np.minimum(most, 1.0)[1:] * 1.05 * (2.1 if p == 1.0 else 1.0)).all()
    again = nearlin.coreset.approximate_sensitivities(sp.csr_array(A), p, alpha=alpha, rng=0, n_jobs=1)
    np.testing.assert_allclose(again, found, rtol=2e-2 if p == 1.0 else 1e-6)
    with pytest.raises(InvalidInputError, match="alpha"):
        nearlin.coreset.approximate_sensitivities(A, p, alpha=0.5)


def test_some_rows_weights_layouts_and_threads():
    A = GENERATORS["tabular"](400, 6)
    A[9] = 0.0
    lower, upper = nearlin.sensitivity_bounds(A, 3.0)
    assert lower[9] == upper[9] == 0.0
    chosen = nearlin.sensitivity_bounds(A, 3.0, rows=[5, -1, 9])
    np.testing.assert_allclose(chosen[1], upper[[5, -1, 9]], rtol=1e-9)
    for wrap in (np.asfortranarray, sp.csr_array, sp.csc_array):
        np.testing.assert_allclose(nearlin.sensitivity_bounds(wrap(A), 3.0)[1], upper, rtol=1e-6)
    v = np.random.default_rng(0).integers(0, 3, 400).astype(float)
    weighted = nearlin.sensitivity_bounds(A, 1.5, sample_weight=v)[1]
    expected = nearlin.sensitivity_bounds(v[:, None] ** (1.0 / 1.5) * A, 1.5)[1]
    np.testing.assert_allclose(weighted, expected, rtol=1e-6)
    for n_jobs in (2, 3, 8):
        found = nearlin.sensitivity_bounds(A, 3.0, n_jobs=n_jobs)
        assert all(same_bits(x, y) for x, y in zip(found, (lower, upper), strict=True))
    single = nearlin.sensitivity_bounds(A.astype(np.float32), 3.0)[1]
    np.testing.assert_allclose(single, upper, rtol=1e-3)


def test_bad_input():
    A = GENERATORS["gaussian"](50, 3)
    for rows in ([50], [-51], [0.5], [[1]], "a"):
        with pytest.raises(InvalidInputError, match="rows"):
            nearlin.sensitivity_bounds(A, 1.0, rows=rows)
    assert [len(bound) for bound in nearlin.sensitivity_bounds(A, 1.0, rows=[])] == [0, 0]
    for function in (nearlin.sensitivity_bounds, nearlin.total_sensitivity, nearlin.max_sensitivity):
        with pytest.raises(InvalidInputError, match="`p`"):
            function(A, 0.5)
        B = A.copy()
        B[4, 1] = np.inf
        with pytest.raises(NonFiniteError, match=r"\[4, 1\]"):
            function(B, 1.0)
        with pytest.raises(InvalidInputError, match="zero everywhere"):
            function(np.zeros((5, 2)), 1.0)
    with pytest.raises(InvalidInputError, match="rtol"):
        nearlin.sensitivity_bounds(A, 1.0, rtol=0.0)
    with pytest.raises(InvalidInputError, match="size"):
        nearlin.total_sensitivity(A, 1.0, size=1)


def test_the_sum_of_large_powers_is_drawn_where_it_is_and_claims_no_confidence():
    A = np.random.default_rng(0).standard_normal((400, 5))
    A /= np.sqrt(np.random.default_rng(1).chisquare(1.5, (400, 1)))
    for p in (3.0, 8.0, 30.0):
        truth, _ = nearlin.total_sensitivity(A, p, size=400, return_certificate=True)
        found = [nearlin.total_sensitivity(A, p, rng=seed, return_certificate=True) for seed in range(12)]
        assert np.mean([total for total, _ in found]) == pytest.approx(truth, rel=0.15)
        for _, certificate in found:
            assert (certificate.confidence == 0.95) if p <= 4.0 else (certificate.confidence is None)
            assert np.isnan(certificate.bound) == (p > 4.0)
        if p <= 4.0:
            misses = [abs(total - truth) > float(c) * total + 0.02 * truth for total, c in found]
            assert sum(misses) <= 2


def test_bounds_hold_at_every_condition():
    rng = np.random.default_rng(3)
    z, e = rng.integers(-9, 10, 60).astype(float), rng.integers(-9, 10, 60).astype(float)
    lower, upper = nearlin.sensitivity_bounds(np.c_[z, e], 3.0, rtol=1e-9)
    for M in (1e6, 1e8, 1e10, 1e12):
        # The same columns but for a change of coordinates, so that sensitivities are the same.
        found = nearlin.sensitivity_bounds(np.c_[z, z * M + e], 3.0, rtol=1e-9)
        assert (found[0] <= upper * (1.0 + 1e-12)).all()
        assert (found[1] >= lower * (1.0 - 1e-12)).all()


def test_sparse_rows_of_weight_zero_may_hold_anything():
    A = reference.gaussian(300, 4)
    v = np.ones(300)
    v[[0, 9]] = 0.0
    B = A.copy()
    B[0], B[9, 2] = np.nan, np.inf
    functions = (
        lambda A: nearlin.total_sensitivity(A, 3.0, sample_weight=v, rng=0),
        lambda A: nearlin.max_sensitivity(A, 3.0, sample_weight=v, rng=0),
        lambda A: np.array(nearlin.sensitivity_bounds(A, 3.0, sample_weight=v)),
        lambda A: nearlin.coreset.approximate_sensitivities(A, 3.0, alpha=10, sample_weight=v, rng=0),
        lambda A: nearlin.sample_rows(A, size=4, design="volume", sample_weight=v, rng=0).weights,
        lambda A: (
            nearlin.sample_rows(A, size=50, p=1.5, scores="sensitivity", sample_weight=v, rng=0).weights
        ),
    )
    for function in functions:
        for wrap in (sp.csr_array, sp.csc_array):
            np.testing.assert_allclose(function(wrap(B)), function(A), rtol=1e-6)


def test_rows_are_named_by_a_mask_too():
    A = reference.gaussian(50, 3)
    mask = np.arange(50) % 7 == 0
    np.testing.assert_array_equal(
        nearlin.sensitivity_bounds(A, 3.0, rows=mask),
        nearlin.sensitivity_bounds(A, 3.0, rows=np.flatnonzero(mask)),
    )
    with pytest.raises(InvalidTypeError, match="rows"):
        nearlin.sensitivity_bounds(A, 3.0, rows=mask[:9])
