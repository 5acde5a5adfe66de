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
        check(A, b, nearlin.lstsq(layout(A), b, method=method, rng=1).x, method, roundoff=2.0**-24)


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
