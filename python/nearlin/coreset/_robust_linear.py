"""What the estimators of this column have in common."""

from typing import Any

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.validation import check_is_fitted

from nearlin._certificate import Certificate
from nearlin._estimator import LinearModel, in_our_words, named_for_estimators, samples
from nearlin._validation import Float, Matrix, as_array, as_seed, as_vector, check_bool
from nearlin.exceptions import InvalidInputError, InvalidTypeError

from ._lp_solve import solve_lp

__all__ = ["LpEstimator", "RobustLinear"]


class RobustLinear(LinearModel):
    """X and y in, coefficients and a certificate out."""

    fit_intercept: bool
    _certificate: dict[str, Any]

    @property
    def certificate_(self) -> Certificate:
        """What was measured of the fit: a :class:`~nearlin.Certificate`."""
        check_is_fitted(self)
        return Certificate(**self._certificate)

    def _validate(self, X: object, y: object) -> tuple[Matrix, Float]:
        """Return X and the targets in its dtype; the core looks at the entries of X."""
        check_bool(self.fit_intercept, "fit_intercept")
        matrix = samples(self, X, reset=True)
        if y is None:
            raise InvalidTypeError(
                f"is None: {type(self).__name__} requires y to be passed, but the target y is None",
                argument="y",
            )
        targets = as_array(y, "y")
        if targets.ndim == 2:
            with in_our_words("y"):
                targets = column_or_1d(targets, warn=True)
        if matrix.shape[0] == 0:
            raise InvalidInputError("has 0 samples, expected at least one", argument="X")
        return matrix, as_vector(targets, "y", length=matrix.shape[0], dtype=matrix.dtype)

    def _adopt(self, x: Float, intercept: float, dtype: Any) -> None:
        """Set the coefficients in the dtype of the data."""
        self.coef_ = x.astype(dtype, copy=False)
        self.intercept_ = np.dtype(dtype).type(intercept) if self.fit_intercept else 0.0


class LpEstimator(RobustLinear):
    """Residuals in l_p, or quantiles, by the solvers of :func:`nearlin.lp_regression`."""

    method: str
    tol: float | None
    max_iter: int | None
    n_jobs: int | None
    random_state: object

    def _solve(self, matrix: Matrix, target: Float, **problem: Any) -> tuple[list[Any], Certificate]:
        """Return solutions of a problem, and the certificate of the worst."""
        with named_for_estimators(getattr(self, "feature_names_in_", None)):
            solutions, certificate, _ = solve_lp(
                matrix,
                target,
                method=self.method,
                tol=self.tol,
                max_iter=self.max_iter,
                fit_intercept=self.fit_intercept,
                seed=as_seed(self.random_state, "random_state", default=np.random.bytes),
                n_jobs=self.n_jobs,
                **problem,
            )
        return list(solutions), certificate
