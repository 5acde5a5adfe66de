"""What all estimators of least squares have in common."""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import MultiOutputMixin
from sklearn.utils.validation import check_is_fitted

from nearlin._estimator import LinearModel, adopt_features, named_for_estimators, samples
from nearlin._validation import Float, Matrix, as_rhs, as_seed, check_bool
from nearlin.exceptions import InvalidTypeError

from ._by_blocks import check_blocks, solve_blocks
from ._certificate import LstsqCertificate
from ._solve import Options, Solution, certificate_of, solve

__all__ = ["LeastSquares"]


class LeastSquares(MultiOutputMixin, LinearModel):
    """What the estimators share: X and y in, coefficients out."""

    fit_intercept: bool
    method: str
    tol: float | None
    n_jobs: int | None
    random_state: object

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
        self,
        X: Any,
        y: Float | None,
        *,
        ridge: npt.ArrayLike = 0.0,
        sample_weight: object = None,
        **more: Any,
    ) -> Solution:
        """Solve for coefficients."""
        options = self._options(**more)
        fit_intercept = check_bool(self.fit_intercept, "fit_intercept")
        names = X.feature_names if y is None else getattr(self, "feature_names_in_", None)
        with named_for_estimators(names):
            if y is None:
                check_blocks(X, options)
                found = solve_blocks(X, options, ridge=ridge, fit_intercept=fit_intercept, n_jobs=self.n_jobs)
                adopt_features(self, X)
                return found
            return solve(
                X,
                y,
                options,
                sample_weight=sample_weight,
                ridge=ridge,
                fit_intercept=fit_intercept,
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
