"""The tests of `lstsq` of NumPy and of SciPy."""

import numpy as np
import numpy.linalg
import scipy.linalg
from peers.conftest import borrowed

import nearlin


def in_their_words(A, b, rcond=None):
    """Theirs from ours: answer, squared residuals, rank and singular values, of which we have none."""
    A, b = np.asarray(A), np.asarray(b)
    if rcond is not None and rcond < 0.0:
        rcond = 0.0
    result = nearlin.lstsq(A, b, rcond=rcond)
    squares = np.atleast_1d(np.asarray(result.residual_norm) ** 2)
    s = np.linalg.svd(A.astype(np.float64), compute_uv=False)
    return result.x, squares, result.rank, s.astype(result.x.dtype)


def scipys(a, b, cond=None, overwrite_a=False, overwrite_b=False, check_finite=True, lapack_driver=None):
    x, squares, rank, s = in_their_words(a, b, cond)
    full = rank == np.shape(a)[1] < np.shape(a)[0]
    return x, (squares if np.ndim(b) == 2 else squares[0]) if full else np.empty(0), rank, s


def numpys(a, b, rcond=None):
    x, squares, rank, s = in_their_words(a, b, rcond)
    return x, squares if rank == np.shape(a)[1] < np.shape(a)[0] else np.empty(0), rank, s


_scipy, _ = borrowed("scipy.linalg.tests.test_basic", scipy.linalg, {"lstsq": scipys})
TestSciPy = _scipy.TestLstsq
_numpy, _ = borrowed("numpy.linalg.tests.test_linalg", numpy.linalg, {"lstsq": numpys})


class Ours:
    """What they call `linalg`, with our function in it."""

    lstsq = staticmethod(numpys)

    def __getattr__(self, name):
        return getattr(numpy.linalg, name)


_numpy.linalg = Ours()


class TestNumPy(_numpy.TestLstsq):
    """Theirs of real numbers: a single test goes through all cases."""

    TEST_CASES = tuple(case for case in _numpy.TestLstsq.TEST_CASES if not np.iscomplexobj(case.a))


COMPLEX = "complex numbers are refused"
EXCLUSIONS = {
    "TestSciPy::test_random_complex*": COMPLEX,
    "TestSciPy::test_simple_overdet_complex": COMPLEX,
    "TestSciPy::test_empty_dtype[[]*complex*": COMPLEX,
    "TestNumPy::test_incompatible_dims": "an error of the same kind in other words, about the argument",
}
