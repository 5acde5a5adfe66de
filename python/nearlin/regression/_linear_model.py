"""Least squares as scikit-learn estimators."""

from typing import Any

import numpy.typing as npt

from nearlin._validation import Float, check_bool, check_choice
from nearlin.exceptions import InvalidInputError

from ._inference import Inference
from ._solve import Solution

__all__ = ["LinearRegression", "Ridge"]


class LinearRegression(Inference):
    """Ordinary least squares, as accurate as a QR factorisation and many times faster on tall data.

    The speed is that of tall X. On wide sparse X it is slower than scikit-learn's LinearRegression.

    Parameters
    ----------
    fit_intercept : bool, default=True
        Whether to fit a constant term. Data are centred on the fly: sparse ones stay sparse.
    copy_X : bool, default=True
        Accepted as scikit-learn's: X is never changed, with True or False.
    method : str, default="auto"
        How to solve; see :func:`lstsq`.
    rcond : float, optional
        Singular values of the centred, column-scaled X below `rcond` times the largest are taken for
        zero; see :func:`lstsq`.
    sketch : {"sparse_sign", "srht", "pht", "count_sketch", "gaussian"}, optional
        Sketch for the methods that draw one.
    sketch_size : int, optional
        Rows of the sketch.
    tol : float, optional
        Where to stop, as in scikit-learn, but for every method: at this backward error, relative to the
        Frobenius norm of X. None, the default, and anything below what rounding allows stop there.
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
        Source of the seed of all random choices, which change the result by no more than rounding. Each fit
        takes one number from a RandomState or Generator, and from NumPy's global state for None.
    positive : bool, default=False
        Whether coefficients are kept from being negative: not here. True is refused with a word about
        :func:`scipy.optimize.nnls`.

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
        Passes over X once its factor was had; without one, by "cg" or "lsmr", iterations.
    method_ : str
        The method whose answer this is: "qr", whatever was asked for, where all targets are zero, or
        constant under an intercept.
    certificate_ : Certificate
        Backward error of the fit, the worst of all targets.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X had any.

    See Also
    --------
    lstsq : The function behind it.
    sklearn.linear_model.LinearRegression : The same model by singular values or, if sparse, LSQR.

    Notes
    -----
    For those who come from statsmodels, with ``model = LinearRegression().fit(X, y)`` and
    ``table = model.summary()``:

    =============================================== ========================================================
    statsmodels                                     here
    =============================================== ========================================================
    ``OLS(y, add_constant(X)).fit()``               ``model``
    ``OLS(y, X).fit()``                             ``LinearRegression(fit_intercept=False).fit(X, y)``
    ``WLS(y, add_constant(X), weights=w).fit()``    ``LinearRegression().fit(X, y, w)``
    ``summary()``                                   ``table``, which prints; ``table.to_frame()``
    ``params``, ``bse``, ``tvalues``, ``pvalues``   of the same names, dicts, in ``table``
    ``conf_int(alpha=0.1)``                         ``model.summary(level=0.9).conf_int()``
    ``rsquared``, ``rsquared_adj``                  ``table.r_squared``, ``table.r_squared_adj``
    ``fvalue``, ``f_pvalue``                        ``table.f_value``, ``table.f_p_value``
    ``llf``, ``aic``, ``bic``                       ``table.log_likelihood``, ``table.aic``, ``table.bic``
    ``df_resid``, ``df_model``                      of the same names in ``table``
    ``mse_resid``                                   ``table.sigma ** 2``
    ``cov_params()``                                ``model.cov_params()``
    ``get_robustcov_results("HC3", use_t=True)``    ``model.summary("HC3", X, y)``
    ``predict()``, ``resid``                        ``model.predict(X)``, ``y - model.predict(X)``
    ``get_prediction(Z).summary_frame(alpha=0.1)``  ``model.predict(Z, interval=0.9)`` for ``obs_ci_*``
    ``get_influence()``                             ``model.influence(X, y)``
    ``ols("y ~ x + C(z)", frame).fit()``            formulaic's matrices, as below
    the row ``const``                               the row ``intercept``
    =============================================== ========================================================

    Clustered and autocorrelated covariances, tests of hypotheses and analysis of variance are not there.
    Where columns depend on each other statsmodels prints numbers for them all; here their rows are empty.
    Formulas are read by formulaic:

    >>> from formulaic import model_matrix  # doctest: +SKIP
    >>> y, X = model_matrix("y ~ x + C(z)", frame)  # doctest: +SKIP
    >>> model = LinearRegression().fit(X.drop(columns="Intercept"), y["y"])  # doctest: +SKIP

    Examples
    --------
    >>> import numpy as np
    >>> from nearlin import LinearRegression
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((1000, 3))
    >>> model = LinearRegression().fit(X, X @ [1.0, 2.0, 3.0] + 4.0)
    >>> model.coef_.round(12), round(float(model.intercept_), 12)
    (array([1., 2., 3.]), 4.0)
    >>> model.certificate_.met
    True
    """

    def __init__(
        self,
        *,
        fit_intercept: bool = True,
        copy_X: bool = True,
        method: str = "auto",
        rcond: float | None = None,
        sketch: str | None = None,
        sketch_size: int | None = None,
        tol: float | None = None,
        inference: bool | None = None,
        n_jobs: int | None = None,
        random_state: object = None,
        positive: bool = False,
    ) -> None:
        self.fit_intercept = fit_intercept
        self.copy_X = copy_X
        self.method = method
        self.rcond = rcond
        self.sketch = sketch
        self.sketch_size = sketch_size
        self.tol = tol
        self.inference = inference
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.positive = positive

    def _solution(self, X: Any, y: Float | None, **options: Any) -> Solution:
        check_bool(self.copy_X, "copy_X")
        refuse_signs(self.positive, "LinearRegression")
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
    copy_X : bool, default=True
        Accepted as scikit-learn's: X is never changed, with True or False.
    max_iter : int, optional
        Limit of the iterations of a method that iterates; see :func:`lstsq`.
    method : str, default="auto"
        How to solve; see :func:`lstsq`.
    tol : float, optional
        Where to stop, as in scikit-learn, but for every method: at this backward error of the penalised
        problem, relative to the Frobenius norm of X. None, the default, and anything below what rounding
        allows stop there.
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
        Source of the seed of all random choices, which change the result by no more than rounding. Each fit
        takes one number from a RandomState or Generator, and from NumPy's global state for None.
    solver : {"auto"}, default="auto"
        Accepted as scikit-learn's; its other solvers are refused: `method` names those that there are here.
    positive : bool, default=False
        Whether coefficients are kept from being negative: not here. True is refused with a word about
        :func:`scipy.optimize.nnls`.

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
        Passes over X once its factor was had; without one, by "cg" or "lsmr", iterations.
    method_ : str
        The method whose answer this is: "qr", whatever was asked for, where all targets are zero, or
        constant under an intercept.
    certificate_ : Certificate
        Backward error of the fit, the worst of all targets.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X had any.

    See Also
    --------
    RidgeCV : Chooses `alpha` by cross-validation.
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
        copy_X: bool = True,
        max_iter: int | None = None,
        method: str = "auto",
        tol: float | None = None,
        inference: bool | None = None,
        n_jobs: int | None = None,
        random_state: object = None,
        solver: str = "auto",
        positive: bool = False,
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.copy_X = copy_X
        self.max_iter = max_iter
        self.method = method
        self.tol = tol
        self.inference = inference
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.solver = solver
        self.positive = positive

    def _solution(self, X: Any, y: Float | None, **options: Any) -> Solution:
        check_bool(self.copy_X, "copy_X")
        refuse_signs(self.positive, "Ridge")
        if check_choice(self.solver, "solver", SOLVERS) != "auto":
            raise InvalidInputError(
                f"is {self.solver!r}, expected 'auto': ways to solve are chosen by `method`, "
                "of which 'qr' is the most conservative and 'lsmr' the one for very large sparse X",
                argument="solver",
            )
        options |= {"ridge": self.alpha, "max_iter": self.max_iter}
        return super()._solution(X, y, **options)


SOLVERS = ("auto", "svd", "cholesky", "lsqr", "sparse_cg", "sag", "saga", "lbfgs")
"""Those of scikit-learn."""


def refuse_signs(positive: object, model: str) -> None:
    """Say who has coefficients that are kept from being negative."""
    if check_bool(positive, "positive"):
        raise InvalidInputError(
            "is True, expected False: coefficients are not constrained here; use "
            f"scipy.optimize.nnls or sklearn.linear_model.{model}(positive=True)",
            argument="positive",
        )
