"""Huber regression as an estimator."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

from nearlin import _core
from nearlin._certificate import Certificate
from nearlin._config import resolve_threads
from nearlin._estimator import named_for_estimators
from nearlin._validation import as_sample_weight, check_int, check_real, optional
from nearlin._warn import warn
from nearlin.exceptions import AccuracyWarning, InvalidInputError

from ._excess import TOLERANCES
from ._robust_linear import RobustLinear

__all__ = ["HuberRegressor"]

LARGEST_EPSILON = 1e100
"""No residual is beyond it, and its square is a number."""

DECREMENT = 1e-15
"""What may be left of the objective, of itself, by what Newton's method promises."""


class HuberRegressor(RobustLinear):
    r"""Linear regression that takes the squares of small residuals and the magnitudes of large ones.

    Minimises :math:`\sum_i w_i (\sigma + H_\epsilon(r_i / \sigma)\, \sigma) + \alpha |w|^2` with
    :math:`H_\epsilon(z) = z^2` for :math:`|z| < \epsilon` and :math:`2 \epsilon |z| - \epsilon^2` beyond,
    the objective of scikit-learn's estimator of that name, by Newton's method.

    Parameters
    ----------
    epsilon : float, default=1.35
        Residuals beyond `epsilon` times the scale count by their magnitudes; at least 1.
    alpha : float, default=0.0001
        Penalty on the squares of the coefficients, but not of the intercept.
    scale : "concomitant" or float, default="concomitant"
        :math:`\sigma`: chosen with the coefficients, as scikit-learn does, or given.
    fit_intercept : bool, default=True
        Whether to fit a constant term.
    tol : float, optional
        What is accepted of the figure that the certificate has; 1e-9 by default, 1e-5 in single precision.
    max_iter : int, default=100
        Most iterations, a read of X each or a few.
    n_jobs : int, optional
        Number of threads; it does not change a bit of the result.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Coefficients.
    intercept_ : float
        Constant term, 0.0 if ``fit_intercept=False``.
    scale_ : float
        :math:`\sigma`; where the best is zero, as it is where most samples are fitted exactly and may be for
        `epsilon` near 1, 1e-12 of the largest target, and the certificate says so.
    outliers_ : ndarray of shape (n_samples,), bool
        Samples whose residuals count by their magnitudes.
    objective_ : float
        What was made least.
    n_iter_ : int
        Iterations of Newton's method, and of least absolute deviations where they are what it begins with.
    certificate_ : Certificate
        How far the objective is above its minimum at most, relative to it, over all coefficients and, where
        it is chosen, all scales; ``details["gradient"]`` is the norm of what the span of the features has of
        the scores (residuals cut off at `epsilon` times the scale, less the penalty), relative to theirs.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X had any.

    See Also
    --------
    LpRegressor : Magnitudes of all residuals.
    sklearn.linear_model.HuberRegressor : The same by a quasi-Newton method.

    Examples
    --------
    >>> import numpy as np
    >>> from nearlin import HuberRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((1000, 2))
    >>> y = X @ [1.0, 2.0] + 0.1 * rng.standard_normal(1000)
    >>> y[:50] += 100.0
    >>> model = HuberRegressor().fit(X, y)
    >>> model.coef_.round(1), int(model.outliers_[:50].sum())
    (array([1., 2.]), 50)
    """

    def __init__(
        self,
        *,
        epsilon: float = 1.35,
        alpha: float = 0.0001,
        scale: str | float = "concomitant",
        fit_intercept: bool = True,
        tol: float | None = None,
        max_iter: int = 100,
        n_jobs: int | None = None,
    ) -> None:
        self.epsilon = epsilon
        self.alpha = alpha
        self.scale = scale
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.n_jobs = n_jobs

    def fit(self, X: object, y: object, sample_weight: object = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Samples.
        y : array_like of shape (n_samples,)
            Targets.
        sample_weight : array_like of shape (n_samples,) or float, optional
            Weight of each sample.

        Returns
        -------
        HuberRegressor
            The estimator itself.
        """
        epsilon = check_real(self.epsilon, "epsilon", at_least=1.0)
        alpha = check_real(self.alpha, "alpha", at_least=0.0)
        scale = self._given_scale()
        max_iter = check_int(self.max_iter, "max_iter", at_least=1)
        matrix, target = self._validate(X, y)
        n, d = matrix.shape
        with named_for_estimators(getattr(self, "feature_names_in_", None)):
            found = _core.huber_regression(
                matrix,
                target,
                epsilon=min(epsilon, LARGEST_EPSILON),
                alpha=alpha,
                scale=scale,
                tol=DECREMENT,
                max_iter=max_iter,
                sample_weight=as_sample_weight(sample_weight, n),
                fit_intercept=self.fit_intercept,
                threads=resolve_threads(self.n_jobs, 4 * n * d * d),
            )
        self._adopt(found["x"], found["intercept"], matrix.dtype)
        self.scale_ = found["scale"]
        self.objective_ = found["objective"]
        self.n_iter_ = found["n_iter"]
        self.outliers_ = abs(target - self._predicted(matrix)) > self.scale_ * epsilon
        tol = optional(check_real, self.tol, "tol", above=0.0) or TOLERANCES[np.dtype(matrix.dtype)]
        certificate = certificate_of(found, matrix.dtype, tol)
        self._certificate = certificate.to_dict()
        if certificate.met is not True:
            advice = "raise max_iter" if self.n_iter_ >= max_iter else "rounding allows no more, raise tol"
            warn(f"{certificate}: {advice}", AccuracyWarning)
        return self

    def _given_scale(self) -> float | None:
        """Return the scale that was given, None where it is to be chosen."""
        if isinstance(self.scale, str):
            if self.scale != "concomitant":
                raise InvalidInputError(
                    f"is {self.scale!r}, expected 'concomitant' or a positive number", argument="scale"
                )
            return None
        return check_real(self.scale, "scale", above=0.0)


def certificate_of(found: _core.HuberSolution, dtype: np.dtype[Any], tol: float) -> Certificate:
    """Return what was measured."""
    gap, rounding, is_fitted = max(found["gap"], 0.0), found["rounding"], found["is_fitted"]
    unit = (found["size"] if is_fitted else found["objective"]) or math.inf
    note = None
    if is_fitted:
        note = "the rows are fitted but for rounding, and the scale is the least that there is"
    elif found["at_floor"]:
        note = "the scale is the least that there is: the fit is that of least absolute deviations"
    if not math.isfinite(gap + rounding):
        gap, rounding, unit = math.inf, 0.0, 1.0
    in_dtype = rounding * float(np.finfo(dtype).eps) / float(np.finfo(np.float64).eps)
    return Certificate(
        quantity=f"excess of the objective / {'norm of b' if is_fitted else 'objective'}",
        estimate=gap / unit,
        bound=(gap + rounding) / unit,
        confidence=1.0,
        measured="scores of all rows, made to be multipliers",
        target=tol,
        note=note,
        floor=2.0 * in_dtype / unit,
        details={"gradient": found["slope"]},
    )
