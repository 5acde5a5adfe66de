"""Bounds for coefficients: no error above its bound anywhere, and the bounds are not loose."""

import warnings

import numpy as np
import pytest
from reference import regression as reference

import nearlin

pytestmark = pytest.mark.guarantee

METHODS = ("auto", "gram", "whitened", "spir", "fossils", "qr")


def check(A, b, oracle, name, **options):
    """Compare bounds with errors in extended precision; give the looseness, NaN if nothing was claimed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nearlin.exceptions.FallbackWarning)
        result = nearlin.lstsq(A, b, certify=True, **options)
    bound, error = result.certificate.coordinate_bound, oracle.of(b, result.x)
    if np.isnan(bound).any():
        assert np.isnan(bound).all()
        assert result.certificate.note
        return np.nan
    if "truncated" in result.certificate.quantity:
        # The bound is about another problem: directions of the size of the spacing of A are no part of it.
        assert result.rank < A.shape[1]
        assert result.certificate.details["cut"] > 0
        return np.nan
    # The oracle itself knows an error to a few digits only where hardly one of x is left.
    assert np.all(np.abs(error) <= bound * 1.01), f"{name}: {np.max(np.abs(error) / bound)}"
    with np.errstate(divide="ignore", invalid="ignore"):
        looseness = np.nanmedian(bound / np.abs(error))
    assert looseness <= 10 * np.sqrt(len(bound)), f"{name}: {looseness}"
    return looseness


@pytest.mark.parametrize("coherent", [False, True], ids=["incoherent", "coherent"])
@pytest.mark.parametrize("kappa", reference.KAPPAS, ids="{:.0e}".format)
def test_the_grid_of_condition_and_residual(kappa, coherent):
    A, left = reference.graded(2000, 50, kappa, coherent=coherent)
    oracle = reference.ForwardError(A)
    for residual in reference.RESIDUALS:
        b = reference.right_hand_side(A, left, residual)
        for method in METHODS:
            looseness = check(A, b, oracle, f"{method}, residual {residual:.0e}", method=method, rng=1)
            assert kappa > 1e13 or not np.isnan(looseness)


@pytest.mark.parametrize("name", reference.hard(60, 50))
def test_hard_instances(name):
    A = reference.hard(2000)[name]
    oracle = reference.ForwardError(A)
    rng = np.random.default_rng(7)
    clean = A @ rng.standard_normal(A.shape[1])
    noise = rng.standard_normal(len(A))
    noise /= np.linalg.norm(noise)
    sides = {f"noise {f:.0e}": clean + f * np.linalg.norm(clean) * noise for f in (0.0, 1e-6, 1.0)}
    for kind, b in {**sides, "b unrelated": noise}.items():
        for method in METHODS:
            looseness = check(A, b, oracle, f"{method}, {kind}", method=method, rng=0)
            assert not np.isnan(looseness)


@pytest.mark.parametrize("name", reference.rank_deficient(60, 50))
@pytest.mark.parametrize("noise", [1e-3, 1.0])
def test_deficient_ranks_in_the_directions_that_are_kept(name, noise):
    A, _ = reference.rank_deficient(2000)[name]
    oracle = reference.ForwardError(A, rcond=1e-12)
    rng = np.random.default_rng(5)
    b = A @ rng.standard_normal(50) + noise * rng.standard_normal(len(A))
    for method in METHODS:
        assert not np.isnan(check(A, b, oracle, method, method=method, rng=0))


def test_a_vandermonde_matrix_beyond_working_precision_has_no_bounds_or_true_ones():
    A = np.vander(np.linspace(-1.0, 1.0, 4000), 50)
    b = np.cos(np.arange(4000.0))
    certificate = nearlin.lstsq(A, b, rng=0, certify=True).certificate
    assert np.isnan(certificate.coordinate_bound).all() or "rank" in certificate.note


@pytest.mark.parametrize("factor", [1e8, 1e12])
@pytest.mark.parametrize("d", [3, 8])
def test_rows_that_no_sample_sees(d, factor):
    for seed in range(10):
        A, b = reference.heavy_rows(2000, d, factor, seed)
        check(A, b, reference.ForwardError(A), f"seed {seed}", rng=seed)


@pytest.mark.parametrize("method", METHODS)
def test_single_precision(method):
    for kappa in (1e1, 1e4, 1e6, 1e8):
        A, left = reference.graded(2000, 50, kappa)
        A = A.astype(np.float32)
        oracle = reference.ForwardError(A)
        for residual in reference.RESIDUALS:
            b = reference.right_hand_side(A.astype(float), left, residual).astype(np.float32)
            looseness = check(A, b, oracle, f"{kappa:.0e}, residual {residual:.0e}", method=method, rng=0)
            assert np.isnan(looseness) == (kappa > 1e6)
