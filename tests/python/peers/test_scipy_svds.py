"""SciPy's tests of `svds`."""

import scipy.sparse.linalg
from peers.conftest import borrowed

import nearlin


def in_their_words(
    A, k=6, tol=0, which="LM", v0=None, maxiter=None, return_singular_vectors=True, solver=None, rng=None
):
    """Theirs from ours: the largest last, and no vectors that are not asked for."""
    result = nearlin.svds(A, k, tol=None if tol == 0 else tol, which=which, v0=v0, max_iter=maxiter, rng=rng)
    U, s, Vt = result.U[:, ::-1], result.s[::-1], result.Vt[::-1]
    wanted = return_singular_vectors
    return (U if wanted != "vh" else None, s, Vt if wanted != "u" else None) if wanted else s


_copy, _ = borrowed(
    "scipy.sparse.linalg._eigen.tests.test_svds", scipy.sparse.linalg, {"svds": in_their_words}
)


class TestSciPy(_copy.SVDSCommonTests):
    """Those that all of their solvers take."""

    solver = "ours"


WORDS = "an error of the same kind in other words, or all triplets, which will do"
SMALLEST = "the smallest are refused"
COMPLEX = "complex numbers are refused"
EXCLUSIONS = {
    "TestSciPy::test_svds_input_validation_[!v]*": WORDS,
    "TestSciPy::test_svds_input_validation_v0_1[[][!5]*": WORDS,
    "TestSciPy::test_svds_input_validation_v0_[23]*": WORDS,
    "TestSciPy::test_svds_*[[]SM*": SMALLEST,
    "TestSciPy::test_svds_diff0_docstring_example": SMALLEST,
    "TestSciPy::test_svd_linop": SMALLEST,
    "TestSciPy::test_small_sigma_sparse*": SMALLEST,
    "TestSciPy::test_small_sigma2*": SMALLEST,
    "TestSciPy::test_small_sigma[[]complex*": COMPLEX,
    "TestSciPy::test_svd_LM_ones_matrix[[]complex*": COMPLEX,
    "TestSciPy::test_svd_simple[[]*-*-False-*": COMPLEX,
    "TestSciPy::test_zero_matrix[[]complex*": COMPLEX,
    "TestSciPy::test_svds_parameter_tol": "it knows the accuracy of their own solvers",
}
