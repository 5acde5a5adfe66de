"""Regression in the p-norm as an estimator."""

from typing import Self

from nearlin._validation import check_choice

from ._lp_regression import as_power
from ._lp_solve import METHODS
from ._robust_linear import LpEstimator

__all__ = ["LpRegressor"]


class LpRegressor(LpEstimator):
    r"""Linear regression that makes the p-norm of the residuals least.

    Parameters
    ----------
    p : float, default=1.0
        From 1, least absolute deviations, over 2, least squares, to ``math.inf``, the largest residual.
    fit_intercept : bool, default=True
        Whether to fit a constant term.
    method : {"auto", "exact", "full"}, default="auto"
        For p = 1; see :func:`lp_regression`.
    tol : float, optional
        Excess of the objective over its minimum, relative to it, that is accepted; 1e-9 by default,
        1e-5 in single precision.
    max_iter : int, optional
        Most iterations of one solver, 300 by default.
    n_jobs : int, optional
        Number of threads; it does not change a bit of the result.
    random_state : None, int, RandomState or Generator, optional
        Source of the seed of the sample, which changes the result by no more than rounding and ties.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Coefficients.
    intercept_ : float
        Constant term, 0.0 if ``fit_intercept=False``.
    objective_ : float
        What was made least: :math:`(\sum_i w_i |y_i - \hat y_i|^p)^{1/p}`.
    n_iter_ : int
        Iterations of all solvers together.
    certificate_ : Certificate
        How far the objective is above its minimum at most, relative to it.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X had any.

    See Also
    --------
    lp_regression : The function behind it.
    QuantileRegressor : Other quantiles than the median.

    Examples
    --------
    >>> import numpy as np
    >>> from nearlin import LpRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((1000, 3))
    >>> y = X @ [1.0, 2.0, 3.0] + 4.0
    >>> y[:300] += 100.0
    >>> model = LpRegressor(p=1.0).fit(X, y)
    >>> model.coef_.round(9), round(float(model.intercept_), 9)
    (array([1., 2., 3.]), 4.0)
    """

    def __init__(
        self,
        p: float = 1.0,
        *,
        fit_intercept: bool = True,
        method: str = "auto",
        tol: float | None = None,
        max_iter: int | None = None,
        n_jobs: int | None = None,
        random_state: object = None,
    ) -> None:
        self.p = p
        self.fit_intercept = fit_intercept
        self.method = method
        self.tol = tol
        self.max_iter = max_iter
        self.n_jobs = n_jobs
        self.random_state = random_state

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
        LpRegressor
            The estimator itself.
        """
        power = as_power(self.p)
        check_choice(self.method, "method", METHODS)
        matrix, target = self._validate(X, y)
        solutions, certificate = self._solve(
            matrix, target, p=power, levels=None, sample_weight=sample_weight
        )
        solution = solutions[0]
        self._adopt(solution["x"], solution["intercept"], matrix.dtype)
        self.objective_ = solution["objective"]
        self.n_iter_ = solution["n_iter"]
        self._certificate = certificate.to_dict()
        return self
