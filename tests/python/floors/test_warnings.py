"""Every warning points at the line that the user wrote."""

import inspect
import warnings

import numpy as np
import pytest
from joblib import Parallel, delayed
from scipy.sparse.linalg import aslinearoperator
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import nearlin
from nearlin import _warn
from nearlin.exceptions import AccuracyWarning, FallbackWarning, GuaranteeWarning, LeverageWarning

rng = np.random.default_rng(0)
A = rng.standard_normal((300, 6))
b = A @ np.arange(6.0) + rng.standard_normal(300)
ILL = A @ np.diag([1, 1, 1, 1, 1, 0]) + A[:, :1] * [0, 0, 0, 0, 0, 1] + 1e-9 * A
PINNED = np.vstack([np.c_[A, np.zeros(300)], np.eye(7)[-1:]])
SPARSE_SKETCH = {"guarantee": None, "sketch": "count_sketch", "sketch_size": 100, "rng": 0}
OPERATOR = aslinearoperator(A * np.logspace(0, 9, 6))


def pinned(Estimator):
    return Estimator(**({} if Estimator is nearlin.LinearRegression else {"alpha": 1e-15})).fit(
        PINNED, np.append(b, 1.0)
    )


stream = nearlin.StreamingLeastSquares(**SPARSE_SKETCH).partial_fit(A, b)
linear, ridge = pinned(nearlin.LinearRegression), pinned(nearlin.Ridge)
target = np.append(b, 1.0)

WARNING_LINES = {
    "lstsq, fallback": (FallbackWarning, lambda: nearlin.lstsq(ILL, b, method="gram")),
    "LinearRegression, fallback": (
        FallbackWarning,
        lambda: nearlin.LinearRegression(method="gram").fit(ILL, b),
    ),
    "Ridge, fallback": (FallbackWarning, lambda: nearlin.Ridge(0.0, method="gram").fit(ILL, b)),
    "RidgeCV, fallback": (FallbackWarning, lambda: nearlin.RidgeCV([1e-30], method="gram").fit(ILL, b)),
    "pipeline": (
        FallbackWarning,
        lambda: make_pipeline(StandardScaler(), nearlin.LinearRegression(method="gram")).fit(ILL, b),
    ),
    "cross-validation": (
        FallbackWarning,
        lambda: cross_val_score(nearlin.LinearRegression(method="gram"), ILL, b, cv=2),
    ),
    "covariance by another fit": (
        FallbackWarning,
        lambda: (
            nearlin.LinearRegression(method="qr", inference=False)
            .fit(ILL, b)
            .set_params(method="gram")
            .cov_params(X=ILL, y=b)
        ),
    ),
    "lstsq, out of reach": (AccuracyWarning, lambda: nearlin.lstsq(A, b, tol=1e-25)),
    "LinearRegression, far": (
        AccuracyWarning,
        lambda: nearlin.LinearRegression(tol=1e-25).fit(A, b),
    ),
    "Ridge, out of reach": (AccuracyWarning, lambda: nearlin.Ridge(tol=1e-25).fit(A, b)),
    "RidgeCV, out of reach": (AccuracyWarning, lambda: nearlin.RidgeCV(tol=1e-25).fit(A, b)),
    "operator": (AccuracyWarning, lambda: nearlin.lstsq(OPERATOR, b, method="lsmr", max_iter=2)),
    "sketch_and_solve": (GuaranteeWarning, lambda: nearlin.sketch_and_solve(A, b, **SPARSE_SKETCH)),
    "stream": (GuaranteeWarning, lambda: stream.result()),
    "cov_params": (LeverageWarning, lambda: linear.cov_params("HC3", PINNED, target)),
    "summary": (LeverageWarning, lambda: linear.summary("HC2", PINNED, target)),
    "summary of Ridge": (LeverageWarning, lambda: ridge.summary("HC3", PINNED, target)),
}


@pytest.mark.parametrize("case", WARNING_LINES)
def test_warnings_are_at_the_line_of_the_call(case):
    category, call = WARNING_LINES[case]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    caught = [warning for warning in caught if issubclass(warning.category, category)]
    lines, first = inspect.getsourcelines(call)
    assert caught
    for warning in caught:
        assert warning.filename == __file__
        assert first <= warning.lineno < first + len(lines)


def test_the_package_is_where_warnings_never_point():
    """Also in a helper of joblib, whose frames all are of packages."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Parallel(2, backend="threading")(delayed(nearlin.lstsq)(ILL, b, method="gram") for _ in range(3))
    assert len(caught) == 3
    assert not any("nearlin" in warning.filename.split("/")[-2:] for warning in caught)


def test_nothing_else_warns():
    """All warnings go through the one function that finds the line."""
    import pathlib

    folder = pathlib.Path(_warn.__file__).parent
    elsewhere = [
        file.name
        for file in folder.rglob("*.py")
        if "warnings.warn" in file.read_text() and file.name not in ("_warn.py",)
    ]
    assert elsewhere == []
