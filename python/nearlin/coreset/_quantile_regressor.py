"""Quantile regression as an estimator."""

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from nearlin._validation import as_sample_weight, check_choice, check_real
from nearlin.exceptions import InvalidTypeError

from ._lp_regression import as_levels
from ._lp_solve import METHODS
from ._robust_linear import LpEstimator

__all__ = ["QuantileRegressor"]


class QuantileRegressor(LpEstimator):
    r"""Linear regression of conditional quantiles, exact, on as many samples as there are.

    Minimises :math:`\frac{1}{\sum_i w_i} \sum_i w_i \rho_q(y_i - \hat y_i) + \alpha \|w\|_1`, the objective
    of scikit-learn's estimator of that name, with :math:`\rho_q(r) = q r` for r > 0 and :math:`(q - 1) r`
    for r < 0.

    Parameters
    ----------
    quantile : float or array_like of shape (n_quantiles,), default=0.5
        Level between 0 and 1, or levels, which share scores and a sample. Each is a fit of its own: near
        levels, or levels at samples that are far out, may cross. ``np.sort(model.predict(X), axis=1)``, with
        levels in increasing order, does not, and has no greater pinball loss [1]_.
    alpha : float, default=0.0
        Penalty on the magnitudes of the coefficients, but not of the intercept. scikit-learn's default is
        1.0.
    fit_intercept : bool, default=True
        Whether to fit a constant term.
    method : {"auto", "exact", "full"}, default="auto"
        Which rows the iterations are about; see :func:`lp_regression`.
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
    coef_ : ndarray of shape (n_features,) or (n_quantiles, n_features)
        Coefficients.
    intercept_ : float or ndarray of shape (n_quantiles,)
        Constant term, 0.0 if ``fit_intercept=False``.
    objective_ : float or ndarray of shape (n_quantiles,)
        What was made least.
    n_iter_ : int
        Iterations of all solvers together.
    certificate_ : Certificate
        How far the objective is above its minimum at most, relative to it; the worst of all quantiles.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X had any.

    See Also
    --------
    lp_regression : The function behind it.
    sklearn.linear_model.QuantileRegressor : The same by linear programming, for some thousands of samples.

    References
    ----------
    .. [1] V. Chernozhukov, I. Fernández-Val, A. Galichon, "Quantile and probability curves without crossing",
           Econometrica 78 (2010).

    Examples
    --------
    >>> import numpy as np
    >>> from nearlin import QuantileRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((20_000, 2))
    >>> y = X @ [1.0, 2.0] + rng.exponential(size=20_000)
    >>> model = QuantileRegressor(quantile=[0.1, 0.9], random_state=0).fit(X, y)
    >>> (y[:, None] < model.predict(X)).mean(axis=0).round(3)
    array([0.1, 0.9])
    >>> model.certificate_.met
    True
    """

    def __init__(
        self,
        quantile: npt.ArrayLike = 0.5,
        *,
        alpha: float = 0.0,
        fit_intercept: bool = True,
        method: str = "auto",
        tol: float | None = None,
        max_iter: int | None = None,
        n_jobs: int | None = None,
        random_state: object = None,
    ) -> None:
        self.quantile = quantile
        self.alpha = alpha
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
        QuantileRegressor
            The estimator itself.
        """
        if self.quantile is None:
            raise InvalidTypeError("is None, expected a level or levels", argument="quantile")
        levels, is_vector = as_levels(self.quantile)
        alpha = check_real(self.alpha, "alpha", at_least=0.0)
        check_choice(self.method, "method", METHODS)
        matrix, target = self._validate(X, y)
        weights = as_sample_weight(sample_weight, matrix.shape[0])
        total = float(matrix.shape[0] if weights is None else weights.sum())
        found, certificate = self._solve(
            matrix, target, p=1.0, levels=levels, sample_weight=weights, penalty=alpha * total
        )
        if is_vector:
            self._levels: list[float] = levels or []
            self.coef_ = np.stack([solution["x"] for solution in found]).astype(matrix.dtype, copy=False)
            intercepts = np.array([solution["intercept"] for solution in found], dtype=matrix.dtype)
            self.intercept_ = intercepts if self.fit_intercept else 0.0
            self.objective_: Any = np.array([solution["objective"] for solution in found]) / total
        else:
            self._adopt(found[0]["x"], found[0]["intercept"], matrix.dtype)
            self.objective_ = found[0]["objective"] / total
        self.n_iter_ = sum(solution["n_iter"] for solution in found)
        self._certificate = certificate.to_dict()
        return self

    def score(self, X: object, y: object = None, sample_weight: object = None) -> float:
        """Return the coefficient of determination of one level, as scikit-learn does, or D squared of levels.

        Parameters
        ----------
        X : array_like, sparse matrix or RowBlocks of shape (n_samples, n_features)
            Samples.
        y : array_like of shape (n_samples,)
            Their true targets; None with RowBlocks, which bring them along.
        sample_weight : array_like of shape (n_samples,) or float, optional
            Weight of each residual; None with RowBlocks.

        Returns
        -------
        float
            R squared about the mean of y of a level; of a vector of them the mean of
            :func:`sklearn.metrics.d2_pinball_score`, the share of the loss of a constant quantile that the
            fit has saved.
        """
        if np.ndim(getattr(self, "coef_", ())) < 2:
            return super().score(X, y, sample_weight)
        from sklearn.metrics import d2_pinball_score

        predicted, targets, weights = self._with_targets(X, y, sample_weight)
        scores = [
            d2_pinball_score(targets, of_level, alpha=level, sample_weight=weights)
            for level, of_level in zip(self._levels, predicted.T, strict=True)
        ]
        return float(np.mean(scores))
