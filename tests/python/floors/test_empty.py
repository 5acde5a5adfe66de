"""Problems without rows, columns or right-hand sides: what numpy.linalg.lstsq gives, in every layout."""

import itertools

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator

import nearlin
from nearlin.exceptions import InvalidInputError, NonFiniteError

LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "float32": lambda A: A.astype(np.float32),
    "integers": lambda A: A.astype(int),
    "pandas": pd.DataFrame,
    "CSR": sp.csr_array,
    "CSC": sp.csc_matrix,
    "COO": sp.coo_array,
    "LIL": sp.lil_array,
    "operator": aslinearoperator,
}
METHODS = ["auto", "gram", "whitened", "spir", "fossils", "cg", "lsmr", "fgmres_wlsir", "qr"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("shape", "k"), [*itertools.product([(0, 3), (5, 0), (0, 0)], [(), (1,), (2,), (0,)]), ((7, 3), (0,))]
)
def test_the_answer_is_that_of_numpy(shape, k, layout):
    rng = np.random.default_rng(0)
    A, b = rng.integers(-9, 9, shape).astype(float), rng.standard_normal((shape[0], *k))
    matrix = LAYOUTS[layout](A)
    operator = layout == "operator"
    result = nearlin.lstsq(matrix, b, certify=not operator, verify=not operator)
    x, _, rank, _ = np.linalg.lstsq(A, b, rcond=None)
    assert result.x.shape == x.shape
    assert result.x.dtype == (np.float32 if layout == "float32" else np.float64)
    assert not result.x.any()
    assert result.rank == (None if operator and 0 not in shape else rank)
    assert np.shape(result.residual_norm) == k
    np.testing.assert_allclose(result.residual_norm, np.linalg.norm(b, axis=0), rtol=1e-6)
    assert result.certificate.estimate == 0.0
    assert repr(result)
    assert result.explain()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_and_option_is_checked_and_taken(method):
    b = np.ones(5)
    options = {"method": method, "ridge": 2.0, "sample_weight": np.full(5, 4.0), "n_jobs": 2}
    result = nearlin.lstsq(np.empty((5, 0)), b, **options)
    assert (result.x.shape, result.rank, result.residual_norm) == ((0,), 0, np.sqrt(20.0))
    with pytest.raises(InvalidInputError, match="`method` is 'svd'"):
        nearlin.lstsq(np.empty((5, 0)), b, method="svd")
    with pytest.raises(NonFiniteError, match="`b` contains NaN"):
        nearlin.lstsq(np.empty((5, 0)), b * np.nan)
    assert nearlin.lstsq(np.empty((0, 2)), [], sample_weight=[]).x.tolist() == [0.0, 0.0]
    assert (
        nearlin.lstsq(np.empty((0, 2)), [], ridge=1.0).rank
        == nearlin.lstsq(np.zeros((3, 2)), b[:3], ridge=1.0).rank
    )


@pytest.mark.parametrize("Estimator", [nearlin.LinearRegression, nearlin.Ridge, nearlin.RidgeCV])
@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array])
def test_estimators_refuse_as_those_of_scikit_learn_do(Estimator, convert):
    with pytest.raises(InvalidInputError, match=r"0 sample\(s\)"):
        Estimator().fit(convert(np.empty((0, 3))), [])
    with pytest.raises(InvalidInputError, match=r"0 feature\(s\)"):
        Estimator().fit(convert(np.empty((3, 0))), np.ones(3))
    model = Estimator().fit(np.eye(4), np.ones(4))
    with pytest.raises(InvalidInputError, match=r"0 sample\(s\)"):
        model.predict(convert(np.empty((0, 4))))


def test_a_result_is_no_tuple_and_says_so():
    A, b = np.eye(9, 2), np.ones(9)
    for result in (nearlin.lstsq(A, b), nearlin.lstsq_kron([A], b), nearlin.sketch_and_solve(A, b)):
        with pytest.raises(
            TypeError, match=r"is no tuple, .*take result.x, result.residual_norm, result.rank"
        ):
            _x, _residuals, _rank, _s = result
        with pytest.raises(TypeError, match="is no tuple"):
            result[0]
        with pytest.raises(TypeError, match="has no len"):
            len(result)
        assert result
