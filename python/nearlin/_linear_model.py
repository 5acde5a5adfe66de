"""Least squares as scikit-learn estimators."""

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from . import _core
from ._config import resolve_threads
from ._estimator import LeastSquares, named_for_estimators
from ._inference import Inference
from ._validation import Float, Matrix, as_sample_weight, as_vector, check_bool, check_finite
from .exceptions import InvalidInputError
from .regression import Solution

__all__ = ["LinearRegression", "Ridge", "RidgeCV"]


class LinearRegression(Inference):
    """Ordinary least squares, as accurate as a QR factorisation and many times faster.

    Parameters
    ----------
    fit_intercept : bool, default=True
        Whether to fit a constant term. Data are centred on the fly: sparse ones stay sparse.
    method : {"auto", "gram", "whitened", "spir", "fossils", "lsmr", "fgmres_wlsir", "qr"}, default="auto"
        How to solve; see :func:`lstsq`.
    rcond : float, optional
        Singular values of the centred, column-scaled X below `rcond` times the largest are taken for
        zero; see :func:`lstsq`.
    sketch : {"sparse_sign", "srht", "pht", "count_sketch", "gaussian"}, optional
        Sketch for the methods that draw one.
    sketch_size : int, optional
        Rows of the sketch.
    tol : float, optional
        Target of the backward error, relative to the Frobenius norm of X.
    inference : bool, optional
        Whether the fit keeps a factor of X, n_features^2 numbers, from which :meth:`cov_params` and
        :meth:`summary` need no data. It has to be exact to rounding, more than a fit needs, which can take
        one more read of X. None, the default, keeps it for dense X of fewer than 128 features, where it comes
        for free (for condition numbers between 3e3 and 1e7 it takes up to 0.8 times the fit). True keeps it
        for any X: for wider ones that takes up to 1.1 times the fit, for sparse ones n_samples n_features^2
        operations. False never keeps it.
    n_jobs : int, optional
        Number of threads; it does not change a bit of the result.
    random_state : None, int, RandomState or Generator, optional
        Source of the seed of all random choices, which change the result by no more than rounding.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features)
        Coefficients; those of least norm if X is rank-deficient.
    intercept_ : float or ndarray of shape (n_targets,)
        Constant term, 0.0 if ``fit_intercept=False``.
    rank_ : int or None
        Rank of X, centred if ``fit_intercept=True``; None by ``method="lsmr"`` without a factor.
    constant_features_ : ndarray of int
        Features that are constant but for rounding under an intercept: left out, with coefficient 0.
    n_iter_ : int
        Passes over X once its factor was had.
    method_ : str
        The method whose answer this is.
    certificate_ : Certificate
        Backward error of the fit, the worst of all targets.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X had any.

    See Also
    --------
    lstsq : The function behind it.
    sklearn.linear_model.LinearRegression : The same model by singular values or, if sparse, LSQR.

    Examples
    --------
    >>> import numpy as np
    >>> from nearlin import LinearRegression
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((1000, 3))
    >>> model = LinearRegression().fit(X, X @ [1.0, 2.0, 3.0] + 4.0)
    >>> model.coef_.round(12), float(model.intercept_.round(12))
    (array([1., 2., 3.]), 4.0)
    >>> model.certificate_.met
    True
    """

    def __init__(
        self,
        *,
        fit_intercept: bool = True,
        method: str = "auto",
        rcond: float | None = None,
        sketch: str | None = None,
        sketch_size: int | None = None,
        tol: float | None = None,
        inference: bool | None = None,
        n_jobs: int | None = None,
        random_state: object = None,
    ) -> None:
        self.fit_intercept = fit_intercept
        self.method = method
        self.rcond = rcond
        self.sketch = sketch
        self.sketch_size = sketch_size
        self.tol = tol
        self.inference = inference
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _solution(self, X: Matrix, y: Float, **options: Any) -> Solution:
        options |= {"rcond": self.rcond, "sketch": self.sketch, "sketch_size": self.sketch_size}
        return super()._solution(X, y, **options)


class Ridge(Inference):
    """Least squares with a penalty on the squared norm of the coefficients.

    Minimises the weighted sum of squared residuals plus ``alpha`` times the sum of squared coefficients;
    the intercept is not penalised.

    Parameters
    ----------
    alpha : float or array_like of shape (n_targets,), default=1.0
        Penalty, one for all targets or one for each.
    fit_intercept : bool, default=True
        Whether to fit a constant term. Data are centred on the fly: sparse ones stay sparse.
    method : {"auto", "gram", "whitened", "spir", "fossils", "lsmr", "fgmres_wlsir", "qr"}, default="auto"
        How to solve; see :func:`lstsq`.
    tol : float, optional
        Target of the backward error of the penalised problem; see :func:`lstsq`.
    inference : bool, optional
        Whether the fit keeps a factor of X, n_features^2 numbers, from which :meth:`cov_params` and
        :meth:`summary` need no data. It has to be exact to rounding, more than a fit needs, which can take
        one more read of X. None, the default, keeps it for dense X of fewer than 128 features, where it comes
        for free (for condition numbers between 3e3 and 1e7 it takes up to 0.8 times the fit). True keeps it
        for any X: for wider ones that takes up to 1.1 times the fit, for sparse ones n_samples n_features^2
        operations. False never keeps it.
    n_jobs : int, optional
        Number of threads; it does not change a bit of the result.
    random_state : None, int, RandomState or Generator, optional
        Source of the seed of all random choices, which change the result by no more than rounding.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features)
        Coefficients.
    intercept_ : float or ndarray of shape (n_targets,)
        Constant term, 0.0 if ``fit_intercept=False``.
    rank_ : int or None
        Rank of the penalised problem, ``n_features`` less constant ones for any noticeable `alpha`; None by
        ``method="lsmr"`` without a factor.
    constant_features_ : ndarray of int
        Features that are constant but for rounding under an intercept: left out, with coefficient 0.
    n_iter_ : int
        Passes over X once its factor was had.
    method_ : str
        The method whose answer this is.
    certificate_ : Certificate
        Backward error of the fit, the worst of all targets.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X had any.

    See Also
    --------
    RidgeCV : Chooses `alpha` by leave-one-out errors.
    lstsq : The function behind it.

    Examples
    --------
    >>> import numpy as np
    >>> from nearlin import Ridge
    >>> X = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> Ridge(alpha=1.0, fit_intercept=False).fit(X, [1.0, 1.0, 2.0]).coef_.round(12)
    array([0.75, 0.75])
    """

    def __init__(
        self,
        alpha: npt.ArrayLike = 1.0,
        *,
        fit_intercept: bool = True,
        method: str = "auto",
        tol: float | None = None,
        inference: bool | None = None,
        n_jobs: int | None = None,
        random_state: object = None,
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.method = method
        self.tol = tol
        self.inference = inference
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _solution(self, X: Matrix, y: Float, **options: Any) -> Solution:
        return super()._solution(X, y, ridge=self.alpha, ridge_name="alpha", **options)


class RidgeCV(LeastSquares):
    """Ridge regression whose penalty has the smallest leave-one-out error.

    The errors of all penalties and rows come from one factorisation of X, exactly, and not from fits that
    each leave a row out; a final fit with the chosen penalty has its own certificate.

    Parameters
    ----------
    alphas : array_like of shape (n_alphas,), default=(0.1, 1.0, 10.0)
        Penalties to choose from, all positive.
    fit_intercept : bool, default=True
        Whether to fit a constant term.
    alpha_per_target : bool, default=False
        Whether each target chooses its own penalty, rather than all of them together.
    method : {"auto", "gram", "whitened", "spir", "fossils", "lsmr", "fgmres_wlsir", "qr"}, default="auto"
        How to solve the final fit; see :func:`lstsq`.
    tol : float, optional
        Target of the backward error of the final fit; see :func:`lstsq`.
    n_jobs : int, optional
        Number of threads; it does not change a bit of the result.
    random_state : None, int, RandomState or Generator, optional
        Source of the seed of all random choices, which change the result by no more than rounding.

    Attributes
    ----------
    alpha_ : float or ndarray of shape (n_targets,)
        The penalty chosen; one for each target if ``alpha_per_target=True`` and y has columns.
    best_score_ : float or ndarray of shape (n_targets,)
        Negative leave-one-out error of `alpha_`.
    loo_error_ : ndarray of shape (n_alphas,) or (n_alphas, n_targets)
        Mean over the rows of squared leave-one-out errors, times the row's weight.
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features)
        Coefficients.
    intercept_ : float or ndarray of shape (n_targets,)
        Constant term, 0.0 if ``fit_intercept=False``.
    rank_ : int or None
        Rank of the penalised problem; None by ``method="lsmr"`` without a factor.
    constant_features_ : ndarray of int
        Features that are constant but for rounding under an intercept: left out, with coefficient 0.
    n_iter_ : int
        Passes over X in the final fit, once the factor was had.
    method_ : str
        The method of the final fit.
    certificate_ : Certificate
        Backward error of the final fit, the worst of all targets.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X had any.

    See Also
    --------
    Ridge : The same with a given penalty.
    sklearn.linear_model.RidgeCV : The same model, with other scores and cross-validations.

    Examples
    --------
    >>> import numpy as np
    >>> from nearlin import RidgeCV
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((200, 5))
    >>> y = X @ np.ones(5) + rng.standard_normal(200)
    >>> RidgeCV(alphas=[0.01, 1.0, 1e4]).fit(X, y).alpha_
    1.0
    """

    def __init__(
        self,
        alphas: npt.ArrayLike = (0.1, 1.0, 10.0),
        *,
        fit_intercept: bool = True,
        alpha_per_target: bool = False,
        method: str = "auto",
        tol: float | None = None,
        n_jobs: int | None = None,
        random_state: object = None,
    ) -> None:
        self.alphas = alphas
        self.fit_intercept = fit_intercept
        self.alpha_per_target = alpha_per_target
        self.method = method
        self.tol = tol
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X: object, y: object, sample_weight: object = None) -> Self:
        """Choose the penalty and fit the model.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Samples, not copied if float32 or float64; sparse ones as CSR or CSC.
        y : array_like of shape (n_samples,) or (n_samples, n_targets)
            Targets, taken in the dtype of X.
        sample_weight : array_like of shape (n_samples,) or float, optional
            Weight of each squared residual.

        Returns
        -------
        RidgeCV
            The estimator itself.
        """
        matrix, targets, single = self._validate(X, y)
        alphas = self._alphas()
        with named_for_estimators():
            errors: npt.NDArray[np.float64] = _core.ridge_loo(
                matrix,
                targets,
                alphas=alphas,
                sample_weight=as_sample_weight(sample_weight, matrix.shape[0]),
                fit_intercept=check_bool(self.fit_intercept, "fit_intercept"),
                threads=resolve_threads(self.n_jobs),
            )
        apart = check_bool(self.alpha_per_target, "alpha_per_target") and not single
        scores = -errors if apart else -errors.mean(axis=1)
        best = np.argmax(scores, axis=0)
        alpha = alphas[best]
        options = {"sample_weight": sample_weight, "ridge": alpha, "ridge_name": "alphas"}
        self._adopt(self._solution(matrix, targets, **options), single)
        self.alpha_ = alpha if apart else float(alpha)
        self.best_score_ = scores.max(axis=0) if apart else float(scores.max())
        self.loo_error_ = errors[:, 0] if single else errors
        return self

    def _alphas(self) -> npt.NDArray[np.float64]:
        alphas: npt.NDArray[np.float64] = as_vector(self.alphas, "alphas", accept_scalar=True)  # type: ignore[assignment]
        check_finite(alphas, "alphas")
        if not len(alphas) or alphas.min() <= 0.0:
            raise InvalidInputError(f"`alphas` is {self.alphas!r}, expected one or more positive numbers")
        return alphas
