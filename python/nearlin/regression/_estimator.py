"""What all estimators of least squares have in common."""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from nearlin import _core
from nearlin._config import resolve_threads
from nearlin._estimator import in_our_words, named_for_estimators, samples
from nearlin._sparse import is_sparse
from nearlin._validation import (
    Float,
    Matrix,
    as_rhs,
    as_sample_weight,
    as_seed,
    check_bool,
    check_finite,
)
from nearlin.exceptions import InvalidTypeError

from ._certificate import LstsqCertificate
from ._solve import Options, Solution, certificate_of, solve

__all__ = ["LeastSquares"]


class LeastSquares(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """What the estimators share: X and y in, coefficients out."""

    fit_intercept: bool
    method: str
    tol: float | None
    n_jobs: int | None
    random_state: object

    def predict(self, X: object) -> Float:
        """Predict targets.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
            Predicted values.
        """
        check_is_fitted(self)
        matrix = samples(self, X, reset=False, finite=True)
        if not is_sparse(matrix):
            predicted: Float = matrix @ self.coef_.T + self.intercept_
            return predicted
        coefficients = np.atleast_2d(self.coef_).astype(np.float64)
        with named_for_estimators():
            predicted = _core.linear_predict(
                matrix,
                coefficients,
                np.full(len(coefficients), self.intercept_, np.float64),
                single=np.result_type(matrix.dtype, self.coef_.dtype) == np.float32,
                threads=resolve_threads(self.n_jobs),
            )
        return predicted if self.coef_.ndim == 2 else predicted[:, 0]

    def score(self, X: object, y: object, sample_weight: object = None) -> float:
        """Return the coefficient of determination of the predictions, as scikit-learn defines it.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Samples.
        y : array_like of shape (n_samples,) or (n_samples, n_targets)
            Their true targets.
        sample_weight : array_like of shape (n_samples,) or float, optional
            Weight of each squared residual.

        Returns
        -------
        float
            R squared about the mean of y, with or without an intercept; the mean over the targets.
        """
        predicted = self.predict(X)
        targets = as_rhs(y, len(predicted), np.float64, "y")[0]
        check_finite(targets, "y")
        weights = as_sample_weight(sample_weight, len(predicted))
        with in_our_words("y"):
            return float(r2_score(targets, predicted, sample_weight=weights))

    @property
    def certificate_(self) -> LstsqCertificate:
        """Backward error of the fit, the worst of all targets: a :class:`~nearlin.Certificate`."""
        check_is_fitted(self)
        return LstsqCertificate(**self._certificate)

    def _validate(self, X: object, y: object, *, reset: bool = True) -> tuple[Matrix, Float, bool]:
        """Return X, the targets as columns, and whether y was a vector; the core looks at their entries."""
        matrix = samples(self, X, reset=reset)
        if y is None:
            raise InvalidTypeError(
                f"is None: {type(self).__name__} requires y to be passed, but the target y is None",
                argument="y",
            )
        return matrix, *as_rhs(y, matrix.shape[0], matrix.dtype, "y")

    def _solution(
        self, X: Matrix, y: Float, *, ridge: npt.ArrayLike = 0.0, sample_weight: object = None, **more: Any
    ) -> Solution:
        """Solve for coefficients."""
        options = self._options(**more)
        with named_for_estimators(getattr(self, "feature_names_in_", None)):
            return solve(
                X,
                y,
                options,
                sample_weight=sample_weight,
                ridge=ridge,
                fit_intercept=check_bool(self.fit_intercept, "fit_intercept"),
                n_jobs=self.n_jobs,
            )

    def _options(self, **more: Any) -> Options:
        """How to solve; takes a seed from the source of randomness."""
        seed = as_seed(self.random_state, "random_state", default=np.random.bytes)
        return Options(seed=seed, method=self.method, tol=self.tol, **more)

    def _adopt(self, solution: Solution, single: bool) -> None:
        """Set coefficients and everything that describes them."""
        x, intercept = solution["x"], solution["intercept"]
        self.coef_ = x[:, 0] if single else np.ascontiguousarray(x.T)
        self.intercept_: Any = 0.0
        if self.fit_intercept:
            self.intercept_ = intercept.astype(x.dtype)[0 if single else ...]
        self.rank_ = solution["rank"]
        self.constant_features_ = np.array(solution["constant"], dtype=np.intp)
        self.n_iter_ = solution["n_iter"]
        self.method_ = solution["method"]
        self._certificate = certificate_of(solution, fit_intercept=self.fit_intercept).to_dict()

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
