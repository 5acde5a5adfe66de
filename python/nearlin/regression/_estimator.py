"""What all estimators of least squares have in common."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import Tags, check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from nearlin import _core
from nearlin._config import resolve_threads
from nearlin._frames import is_frame, naming_columns
from nearlin._sparse import is_sparse
from nearlin._validation import (
    Float,
    Matrix,
    as_rhs,
    as_sample_weight,
    as_samples,
    as_seed,
    check_bool,
    check_finite,
    copying,
)
from nearlin.exceptions import InvalidInputError, InvalidTypeError, NearlinError

from ._certificate import LstsqCertificate
from ._solve import Options, Solution, certificate_of, solve

__all__ = ["LeastSquares", "named_for_estimators"]

NAMES: dict[str | None, str] = {"A": "X", "b": "y", "ridge": "alpha"}
"""What scikit-learn calls the arguments of :func:`nearlin.lstsq`."""


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
        matrix = self._samples(X, reset=False, finite=True)
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
        matrix = self._samples(X, reset=reset)
        if y is None:
            raise InvalidTypeError(
                f"is None: {type(self).__name__} requires y to be passed, but the target y is None",
                argument="y",
            )
        return matrix, *as_rhs(y, matrix.shape[0], matrix.dtype, "y")

    def _samples(self, X: object, *, reset: bool, finite: bool = False) -> Matrix:
        """Return X, its features being those of the fit unless they are `reset`."""
        with in_our_words("X"):
            samples = as_samples(X, "X")
            matrix = check_array(
                samples,
                accept_sparse=("csr", "csc"),
                dtype=[np.float64, np.float32],
                ensure_all_finite=finite and not is_sparse(samples),  # the core sees it as it multiplies
                input_name="X",
                estimator=self,
            )
            named = X if is_frame(X) else matrix
            validate_data(self, named, "no_validation", reset=reset, skip_check_array=True)
        return matrix

    def _solution(
        self, X: Matrix, y: Float, *, ridge: npt.ArrayLike = 0.0, sample_weight: object = None, **more: Any
    ) -> Solution:
        """Solve for coefficients."""
        seed = as_seed(self.random_state, "random_state", default=np.random.bytes)
        options = Options(seed=seed, method=self.method, tol=self.tol, **more)
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


@contextmanager
def named_for_estimators(columns: Sequence[str] | None = None) -> Generator[None]:
    """Call arguments in errors as scikit-learn does, and name columns."""
    try:
        with naming_columns(columns):
            yield
    except NearlinError as error:
        error.argument = NAMES.get(error.argument, error.argument)
        raise


@contextmanager
def in_our_words(name: str) -> Generator[None]:
    """Raise as errors of nearlin what scikit-learn finds wrong with this argument."""
    try:
        with copying(name):
            yield
    except (NearlinError, Warning):
        raise
    except Exception as error:  # whatever the code of the caller raises as it becomes an array
        kind = InvalidTypeError if isinstance(error, TypeError) else InvalidInputError
        raise kind(f"`{name}`: {error}") from error
