"""The rule of accuracy on a few problems of each kind; `guarantees/` has the whole grid."""

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
from reference import regression as reference
from reference.regression import UNIT_ROUNDOFF as U
from reference.regression import check

import nearlin

METHODS = ["auto", "whitened", "spir", "fossils", "fgmres_wlsir", "qr"]
layouts = pytest.mark.parametrize("layout", [np.asarray, scipy.sparse.csr_array], ids=["dense", "csr"])
kappas = pytest.mark.parametrize("kappa", [1e2, 1e6, 1e10, 1e14], ids="{:.0e}".format)


@layouts
@kappas
def test_condition_and_residual(layout, kappa):
    A, left = reference.graded(1000, 20, kappa)
    oracle = reference.BackwardError(A)
    for residual in (0.0, 1e-6, 1.0):
        b = reference.right_hand_side(A, left, residual)
        for method in METHODS:
            x = nearlin.lstsq(layout(A), b, method=method, rng=1).x
            check(A, b, x, f"{method}, residual {residual:.0e}", oracle)


@layouts
@kappas
def test_weights(layout, kappa):
    M, left = reference.graded(1000, 20, kappa)
    A, b, weight = reference.unweighted(M, reference.right_hand_side(M, left, 1e-3))
    weighted, target = reference.explicit(A, b, sample_weight=weight)
    for method in METHODS:
        x = nearlin.lstsq(layout(A), b, sample_weight=weight, method=method, rng=1).x
        check(weighted, target, x, method)


@layouts
@pytest.mark.parametrize("ridge", [1e-12, 1.0, 1e6])
def test_ridge(layout, ridge):
    A, left = reference.graded(1000, 20, 1e10)
    b = reference.right_hand_side(A, left, 1e-3)
    above, target = reference.explicit(A, b, ridge=ridge)
    for method in METHODS:
        check(above, target, nearlin.lstsq(layout(A), b, ridge=ridge, method=method, rng=1).x, method)


@layouts
@kappas
def test_single_precision(layout, kappa):
    A, left = reference.graded(1000, 20, kappa)
    b = reference.right_hand_side(A, left, 1e-3).astype(np.float32)
    A = A.astype(np.float32)
    for method in METHODS:
        x = nearlin.lstsq(layout(A), b, method=method, rcond=30 * U, rng=1).x
        check(A, b, x, method, roundoff=2.0**-24)


@pytest.mark.parametrize("orders", [0, 8, 16])
@layouts
def test_refinement_of_the_augmented_system_takes_at_most_forty_steps(layout, orders):
    M, left = reference.graded(1000, 20, 1e6)
    A, b, weight = reference.unweighted(M, reference.right_hand_side(M, left, 1e-3), orders=orders)
    result = nearlin.lstsq(layout(A), b, sample_weight=weight, method="fgmres_wlsir", rng=1)
    assert result.method == "fgmres_wlsir"
    assert result.n_iter <= 40


def illc1850():
    """The matrix of that name, if SciPy has brought its test data."""
    data = Path(scipy.sparse.linalg.__file__).parent / "tests" / "propack_test_data.npz"
    if not data.exists():
        pytest.skip("SciPy is installed without its test data")
    with np.load(data, allow_pickle=True) as arrays:
        return scipy.sparse.csr_array(arrays["A_real"].item()).astype(float)


@pytest.mark.parametrize("matrix", [illc1850, reference.surveyed])
def test_sparse_matrices_of_surveying_to_the_digits_of_qr(matrix):
    A = matrix()
    assert A.shape == (1850, 712)
    dense = A.toarray()
    oracle = reference.BackwardError(dense)
    kappa = oracle.singular[0] / oracle.singular[-1]
    assert 1e3 < kappa < 1e4
    rng = np.random.default_rng(0)
    for noise in (0.0, 1.0):
        b = A @ rng.standard_normal(712) + noise * rng.standard_normal(1850)
        best, qr = reference.refined(dense, b), reference.householder(dense, b)
        for method in ("auto", "spir", "whitened", "fgmres_wlsir"):
            x = nearlin.lstsq(A, b, method=method, rng=0).x
            assert oracle.of(b, x) <= max(10 * oracle.of(b, qr), 4 * U), method
            lost, lost_by_qr = (np.linalg.norm((y - best) * oracle.scale) for y in (x, qr))
            assert lost <= max(10 * lost_by_qr, kappa * U * np.linalg.norm(best * oracle.scale)), method


# --- ridges that dominate -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [*METHODS, "gram", "cg", "lsmr"])
@pytest.mark.parametrize("ridge", [1e4, 1e8, 1e12, 1e20, 1e40, 1e100, 1e200, 1e300])
def test_a_ridge_that_dominates_costs_no_digits(method, ridge):
    rng = np.random.default_rng(3)
    A = rng.standard_normal((2000, 2))
    b = A @ [1.0, 2.0] + rng.standard_normal(2000)
    best = reference.exact_minimiser(A, b, ridge=ridge).astype(float)
    x = nearlin.lstsq(A, b, ridge=ridge, method=method, rng=0).x
    np.testing.assert_allclose(x, best, rtol=1e-14)


@pytest.mark.parametrize("ridge", [1e8, 1e40])
def test_a_ridge_that_dominates_some_columns_costs_them_no_digits(ridge):
    rng = np.random.default_rng(4)
    A = rng.standard_normal((300, 3)) * [1e6, 1.0, 1e-3]
    b = A @ [1e-6, 1.0, 1e3] + rng.standard_normal(300)
    best = reference.exact_minimiser(A, b, ridge=ridge).astype(float)
    for method in ("auto", "gram", "whitened", "spir", "qr"):
        np.testing.assert_allclose(nearlin.lstsq(A, b, ridge=ridge, method=method, rng=0).x, best, rtol=1e-11)
    model = nearlin.Ridge(ridge, fit_intercept=False).fit(A, b)
    np.testing.assert_allclose(model.coef_, best, rtol=1e-11)


@pytest.mark.parametrize("ridge", [1e-200, 1e-20, 1.0, 1e150, 1e290])
def test_a_huge_ridge_on_a_tiny_column(ridge):
    rng = np.random.default_rng(5)
    A = rng.standard_normal((50, 2)) * [1.0, 1e-120]
    b = A @ [1.0, 1e120]
    best = reference.exact_minimiser(A, b, ridge=ridge).astype(float)
    for method in ("auto", "gram", "whitened", "spir", "lsmr", "qr"):
        x = nearlin.lstsq(A, b, ridge=ridge, method=method, rng=0).x
        np.testing.assert_allclose(x[0], best[0], rtol=1e-13)
        assert abs(x[1] - best[1]) <= 1e-13 * abs(best[1]) + 1e-300 + 1e-100 * abs(best[0])


def test_ridges_of_all_sizes_in_one_call():
    rng = np.random.default_rng(6)
    A, ridges = rng.standard_normal((60, 3)) * [1.0, 1e-130, 1e130], [0.0, 1.0, 1e60, 1e280]
    B = rng.standard_normal((60, 4))
    X = nearlin.lstsq(A, B, ridge=ridges).x
    for target, ridge in enumerate(ridges):
        best = reference.exact_minimiser(A, B[:, target], ridge=ridge).astype(float)
        off = np.abs(X[:, target] - best) * np.hypot(np.linalg.norm(A, axis=0), np.sqrt(ridge))
        assert off.max() <= 1e-13 * np.linalg.norm(B[:, target])


@pytest.mark.parametrize("ridge", [1e10, 1e35, 1e60, 1e150, 1e290])
def test_a_stream_under_a_huge_ridge(ridge):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((2000, 2))
    b = A @ [1.0, 2.0] + rng.standard_normal(2000)
    result = nearlin.StreamingLeastSquares(ridge=ridge, rng=0, sketch_size=1500).partial_fit(A, b).result()
    half_width = result.simultaneous_half_width * ridge
    assert np.all(abs(result.x * ridge - A.T @ b) <= half_width)
    assert np.all(half_width < 0.3 * abs(A.T @ b))
