"""Ridge regression that chooses its penalty by cross-validation."""

from collections.abc import Callable
from functools import partial
from inspect import signature
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import sklearn
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.metrics import check_scoring, get_scorer
from sklearn.model_selection import check_cv
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing

from nearlin import _core
from nearlin._config import resolve_threads
from nearlin._estimator import adopt_features, named_for_estimators
from nearlin._validation import (
    Float,
    Matrix,
    as_sample_weight,
    as_vector,
    check_bool,
    check_choice,
    check_finite,
    is_blocks,
    refuse_beside,
)
from nearlin.exceptions import AllocationError, InvalidInputError

from ._by_blocks import asker, check_blocks
from ._estimator import LeastSquares
from ._linear_model import Ridge
from ._solve import warn_of

__all__ = ["RidgeCV"]

Array: TypeAlias = npt.NDArray[np.float64]

Scorer: TypeAlias = Callable[..., float]

LARGEST_FACTOR = 5000
"""Order of the largest dense factor that is made of sparse rows."""


class RidgeCV(LeastSquares):
    """Ridge regression whose penalty is chosen by cross-validation, by default leave-one-out.

    The leave-one-out errors of all penalties and rows come from one factorisation of X, exactly, and not from
    fits that each leave a row out; with `cv` there is one factorisation a fold for all penalties. A final fit
    with the chosen penalty has its own certificate. The factor is dense, for sparse X too, though X is never
    spread out; beyond 5000 rows and columns, where it would take minutes, sparse X needs `cv`, and each fold
    has a fit for each penalty.

    Parameters
    ----------
    alphas : array_like of shape (n_alphas,), default=(0.1, 1.0, 10.0)
        Penalties to choose from, all positive, or with `cv` none negative. One factorisation serves for all,
        in the units of `X`, and takes singular values below 3e-15 of the largest for zero: under small
        penalties, columns that differ by more than that need like units.
    fit_intercept : bool, default=True
        Whether to fit a constant term.
    scoring : str or callable, optional
        What to choose by, the larger the better: a name that scikit-learn knows, or a function
        ``scorer(estimator, X, y)``. None stands for the negative mean squared error if ``cv=None``, and else
        for R squared. By leave-one-out, a scorer is given all predictions at once, each from the fit without
        its row. A scorer that takes `sample_weight` is given it, as by scikit-learn 1.9.
    cv : int, splitter or iterable of (train, test), optional
        How to split the rows, as in scikit-learn; None leaves one out at a time. The mean of the scores of
        the folds counts.
    gcv_mode : {None, "auto", "svd"}, default=None
        Accepted as scikit-learn's: there is one way here, the singular values of a factor of X.
    store_cv_results : bool, default=False
        Whether to keep what each row says of each penalty in `cv_results_`; only with ``cv=None``.
    alpha_per_target : bool, default=False
        Whether each target chooses its own penalty, rather than all of them together; only with ``cv=None``.
    method : str, default="auto"
        How to solve the final fit; see :func:`lstsq`.
    tol : float, optional
        Target of the backward error of the final fit; see :func:`lstsq`.
    n_jobs : int, optional
        Number of threads; it does not change a bit of the result.
    random_state : None, int, RandomState or Generator, optional
        Source of the seed of all random choices, which change the result by no more than rounding. Each fit
        takes one number from a RandomState or Generator, and from NumPy's global state for None.

    Attributes
    ----------
    alpha_ : float or ndarray of shape (n_targets,)
        The penalty chosen; one for each target if ``alpha_per_target=True`` and y has columns.
    best_score_ : float or ndarray of shape (n_targets,)
        Score of `alpha_`.
    cv_results_ : ndarray of shape (n_samples, n_alphas) or (n_samples, n_targets, n_alphas)
        If ``store_cv_results=True``: squared leave-one-out errors times the row's weight or, with `scoring`,
        leave-one-out predictions.
    loo_error_ : ndarray of shape (n_alphas,) or (n_alphas, n_targets)
        If ``cv=None``: mean over the rows of squared leave-one-out errors, times the row's weight.
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features)
        Coefficients.
    intercept_ : float or ndarray of shape (n_targets,)
        Constant term, 0.0 if ``fit_intercept=False``.
    rank_ : int or None
        Rank of the penalised problem; None by ``method="lsmr"`` without a factor.
    constant_features_ : ndarray of int
        Features that are constant but for rounding under an intercept: left out, with coefficient 0.
    n_iter_ : int
        Passes over X in the final fit, once the factor was had; without one, by "cg" or "lsmr", iterations.
    method_ : str
        The method of the final fit: "qr", whatever was asked for, where all targets are zero, or constant
        under an intercept.
    certificate_ : Certificate
        Backward error of the final fit, the worst of all targets.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X had any.

    See Also
    --------
    Ridge : The same with a given penalty.
    sklearn.linear_model.RidgeCV : The same model.

    Examples
    --------
    >>> import numpy as np
    >>> from nearlin import RidgeCV
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((200, 5))
    >>> y = X @ np.ones(5) + rng.standard_normal(200)
    >>> RidgeCV(alphas=[0.01, 1.0, 1e4]).fit(X, y).alpha_
    1.0
    >>> RidgeCV(alphas=[0.01, 1.0, 1e4], cv=5, scoring="neg_mean_absolute_error").fit(X, y).alpha_
    1.0
    """

    def __init__(
        self,
        alphas: npt.ArrayLike = (0.1, 1.0, 10.0),
        *,
        fit_intercept: bool = True,
        scoring: str | Scorer | None = None,
        cv: object = None,
        gcv_mode: str | None = None,
        store_cv_results: bool = False,
        alpha_per_target: bool = False,
        method: str = "auto",
        tol: float | None = None,
        n_jobs: int | None = None,
        random_state: object = None,
    ) -> None:
        self.alphas = alphas
        self.fit_intercept = fit_intercept
        self.scoring = scoring
        self.cv = cv
        self.gcv_mode = gcv_mode
        self.store_cv_results = store_cv_results
        self.alpha_per_target = alpha_per_target
        self.method = method
        self.tol = tol
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X: object, y: object = None, sample_weight: object = None, **params: Any) -> Self:
        """Choose the penalty and fit the model.

        Parameters
        ----------
        X : array_like, sparse matrix or RowBlocks of shape (n_samples, n_features)
            Samples, not copied if float32 or float64; sparse ones as CSR or CSC. Samples that are not in
            memory come from :func:`nearlin.data.blocks`, with their targets and weights; they are left out
            one at a time, with the default of `scoring`, in one pass more than Ridge makes.
        y : array_like of shape (n_samples,) or (n_samples, n_targets)
            Targets, taken in the dtype of X. A single column stays one in `coef_` and predictions, as with
            scikit-learn's LinearRegression, where its Ridge and RidgeCV take it for a vector.
        sample_weight : array_like of shape (n_samples,) or float, optional
            Weight of each squared residual.
        **params : dict
            What else the scorer and the splitter ask for, with scikit-learn's metadata routing only.

        Returns
        -------
        RidgeCV
            The estimator itself.

        Raises
        ------
        InvalidInputError
            If an argument is out of its domain, has the wrong shape, or holds NaN or infinity; if sparse `X`
            is too large to leave its rows out one at a time.
        AllocationError
            If there is no memory for a factor of X.
        """
        self._check_options()
        if is_blocks(X):
            refuse_beside(y=y, sample_weight=sample_weight)
            return self._fit_blocks(X, params)
        matrix, targets, single = self._validate(X, y)
        alphas = self._alphas()
        weights = as_sample_weight(sample_weight, matrix.shape[0])
        for_scorer, for_splitter = self._routed(params, weights)
        observed = targets[:, 0] if single else targets
        apart = bool(self.alpha_per_target) and not single
        results, solution = None, None
        if self.cv is not None:
            scores = self._scores_of_folds(
                matrix, observed, weights, alphas, for_scorer=for_scorer, for_splitter=for_splitter
            )
        elif _is_beyond_a_factor(matrix):
            raise InvalidInputError(
                f"is None, which leaves out one row at a time by a dense factor, for sparse `X` of shape "
                f"{matrix.shape}, expected folds such as cv=5, which need none",
                argument="cv",
            )
        elif self.scoring is None and not self.store_cv_results:
            options = self._options()
            errors, best, solution = self._core(
                partial(_core.ridge_cv, options=options, apart=apart), matrix, targets, weights, alphas
            )
            best = best if apart else best[0]
            warn_of(solution, self.method)
        else:
            left_out = self._left_out(matrix, targets, weights, alphas)
            results = left_out**2
            errors = results.mean(axis=0).T
        if self.cv is None and self.scoring is None:
            scores = -errors if apart else -errors.mean(axis=1)
        elif self.cv is None:
            results = self._predictions(matrix, targets, weights, alphas, left_out)
            scores = self._scores_of_predictions(results, observed, for_scorer, apart)
        if solution is None:
            best = _best(scores)
            solution = self._solution(matrix, targets, sample_weight=weights, ridge=alphas[best])
        self._adopt(solution, single)
        self.alpha_ = alphas[best] if apart else float(alphas[best])
        self.best_score_ = np.nanmax(scores, axis=0) if apart else float(scores[best])
        if self.cv is None:
            self.loo_error_ = errors[:, 0] if single else errors
            if self.store_cv_results and results is not None:
                self.cv_results_ = (results[:, 0] if single else results).astype(matrix.dtype)
        return self

    def _fit_blocks(self, rows: Any, params: dict[str, Any]) -> Self:
        """Fit to rows in blocks."""
        for name, plain in (("cv", None), ("scoring", None), ("store_cv_results", False)):
            if getattr(self, name) != plain:
                raise InvalidInputError(
                    f"is {getattr(self, name)!r}, expected {plain} for rows in blocks, which are left out "
                    "one at a time and not kept",
                    argument=name,
                )
        options, alphas = self._options(), self._alphas()
        self._routed(params, None)
        single = rows.target_shape == ()
        apart = bool(self.alpha_per_target) and not single
        with named_for_estimators(rows.feature_names):
            check_blocks(rows, options)
            errors, best, solution = _core.ridge_cv_by_parts(
                asker(rows, self.n_jobs),
                options,
                apart=apart,
                alphas=alphas,
                fit_intercept=check_bool(self.fit_intercept, "fit_intercept"),
                single=rows.dtype.itemsize == 4,
            )
        warn_of(solution, self.method)
        adopt_features(self, rows)
        self._adopt(solution, single)
        scores = -errors if apart else -errors.mean(axis=1)
        self.alpha_ = alphas[best] if apart else float(alphas[best[0]])
        self.best_score_ = np.nanmax(scores, axis=0) if apart else float(scores[best[0]])
        self.loo_error_ = errors[:, 0] if single else errors
        return self

    def get_metadata_routing(self) -> MetadataRouter:
        """Tell scikit-learn where what `fit` is given goes.

        Returns
        -------
        MetadataRouter
            To the scorer and to the splitter.
        """
        scorer = self._scorer()
        if scorer is None:
            scorer = get_scorer("r2")
            if sklearn.get_config()["enable_metadata_routing"]:
                scorer = scorer.set_score_request(sample_weight=True)
        to = MethodMapping
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(scorer=scorer, method_mapping=to().add(caller="fit", callee="score"))
            .add(splitter=self.cv, method_mapping=to().add(caller="fit", callee="split"))
        )

    def _check_options(self) -> None:
        check_choice("auto" if self.gcv_mode is None else self.gcv_mode, "gcv_mode", ("auto", "svd"))
        for name in ("store_cv_results", "alpha_per_target"):
            if check_bool(getattr(self, name), name) and self.cv is not None:
                raise InvalidInputError(f"cv!=None and {name}=True are incompatible: `{name}` needs cv=None")

    def _alphas(self) -> Array:
        alphas: Array = as_vector(self.alphas, "alphas", accept_scalar=True)  # type: ignore[assignment]
        check_finite(alphas, "alphas")
        least = "positive numbers" if self.cv is None else "numbers, none negative"
        if not len(alphas) or alphas.min() < 0.0 or (self.cv is None and alphas.min() == 0.0):
            raise InvalidInputError(f"is {self.alphas!r}, expected one or more {least}", argument="alphas")
        return alphas

    def _scorer(self) -> Scorer | None:
        if self.scoring is None:
            return None
        scorer: Scorer = check_scoring(self, scoring=self.scoring)
        return scorer

    def _routed(self, params: dict[str, Any], weights: Array | None) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the scorer and the splitter are given."""
        given = {} if weights is None else {"sample_weight": weights}
        if sklearn.get_config()["enable_metadata_routing"]:
            routed = process_routing(self, "fit", **params, **given)
            return routed.scorer.score, routed.splitter.split
        if params:
            raise InvalidInputError(
                f"was given {', '.join(params)}, which is not supported while metadata routing is off: "
                "see sklearn.set_config(enable_metadata_routing=True)",
                argument="fit",
            )
        return (given if _takes_weights(self._scorer()) else {}), {}

    def _core(self, function: Any, X: Matrix, y: Float, weights: Array | None, alphas: Array) -> Any:
        try:
            with named_for_estimators(getattr(self, "feature_names_in_", None)):
                return function(
                    X,
                    y,
                    alphas=alphas,
                    sample_weight=weights,
                    fit_intercept=check_bool(self.fit_intercept, "fit_intercept"),
                    threads=resolve_threads(self.n_jobs),
                )
        except AllocationError as error:
            raise AllocationError(
                f"{error}: RidgeCV makes a dense factor of `X`, with and without `cv`; Ridge may do without, "
                "and scikit-learn's GridSearchCV finds its alpha"
            ) from error

    def _path(self, X: Matrix, y: Float, weights: Array | None, alphas: Array) -> list[Ridge]:
        """A fitted model for each penalty, from one factorisation where there may be one."""
        if _is_beyond_a_factor(X):
            models = [
                Ridge(float(alpha), fit_intercept=self.fit_intercept, n_jobs=self.n_jobs, random_state=0)
                for alpha in alphas
            ]
            return [model.fit(X, y, sample_weight=weights) for model in models]
        single = y.ndim == 1
        columns = y[:, np.newaxis] if single else y
        coefficients, intercepts = self._core(_core.ridge_path, X, columns, weights, alphas)
        coefs = coefficients.T.reshape(len(alphas), columns.shape[1], X.shape[1])
        constants = np.reshape(intercepts, (len(alphas), -1))
        models = []
        for alpha, coef, constant in zip(alphas, coefs, constants, strict=True):
            model = Ridge(float(alpha), fit_intercept=self.fit_intercept, n_jobs=self.n_jobs)
            model.n_features_in_ = X.shape[1]
            model.coef_, model.intercept_ = (coef[0], constant[0]) if single else (coef, constant)
            models.append(model)
        return models

    def _scores_of_folds(
        self,
        X: Matrix,
        y: Float,
        weights: Array | None,
        alphas: Array,
        *,
        for_scorer: dict[str, Any],
        for_splitter: dict[str, Any],
    ) -> Array:
        """Mean scores of the penalties over the folds."""
        scorer = self._scorer() or get_scorer("r2")
        scores: list[list[float]] = []
        for train, test in check_cv(self.cv, y).split(X, y, **for_splitter):
            kept = None if weights is None else weights[train]
            extra = {name: _rows(value, test, X.shape[0]) for name, value in for_scorer.items()}
            models = self._path(X[train], y[train], kept, alphas)
            samples, observed = X[test], y[test]
            scores.append([scorer(model, samples, observed, **extra) for model in models])
        mean: Array = np.mean(scores, axis=0)
        return mean

    def _left_out(self, X: Matrix, y: Float, weights: Array | None, alphas: Array) -> Array:
        """Leave-one-out residuals times root weights, (n_samples, n_targets, n_alphas)."""
        residuals: Array = self._core(_core.ridge_left_out, X, y, weights, alphas)
        return residuals.reshape(len(y), y.shape[1], len(alphas))

    def _predictions(
        self, X: Matrix, y: Float, weights: Array | None, alphas: Array, left_out: Array
    ) -> Array:
        """What the fits without a row say of it; a row of weight zero is in none of them."""
        if weights is None:
            return y[:, :, np.newaxis] - left_out
        absent = weights == 0.0
        roots = np.sqrt(np.where(absent, 1.0, weights))
        predictions: Array = y[:, :, np.newaxis] - left_out / roots[:, np.newaxis, np.newaxis]
        if absent.any():
            models = self._path(X, y, weights, alphas)
            predictions[absent] = np.stack([model.predict(X[absent]) for model in models], axis=-1)
        return predictions

    def _scores_of_predictions(
        self, predictions: Array, y: Float, for_scorer: dict[str, Any], apart: bool
    ) -> Array:
        scorer: Any = self._scorer()
        said = predictions[:, 0] if y.ndim == 1 else predictions
        model = _Said()
        scores = []
        for alpha in range(predictions.shape[-1]):
            told = np.ascontiguousarray(said[..., alpha])
            if apart:
                columns = range(y.shape[1])
                scores.append([scorer(model, told[:, j], y[:, j], **for_scorer) for j in columns])
            else:
                scores.append(scorer(model, told, y, **for_scorer))
        return np.asarray(scores, dtype=np.float64)


class _Said(RegressorMixin, BaseEstimator):
    """A model whose predictions are there already: they are its samples."""

    def fit(self, X: object, y: object) -> Self:
        """Learn nothing."""
        return self

    def predict(self, X: Float) -> Float:
        """Return them."""
        return X

    def __sklearn_is_fitted__(self) -> bool:
        return True


def _is_beyond_a_factor(X: Matrix) -> bool:
    return bool(issparse(X)) and min(X.shape) > LARGEST_FACTOR


def _best(scores: Array) -> Any:
    """The index of the largest score, the first of equals, along the leading axis."""
    if np.isnan(scores).all(axis=0).any():
        raise InvalidInputError("gives nan for all of `alphas`, expected numbers", argument="scoring")
    return np.nanargmax(scores, axis=0)


def _takes_weights(scorer: Any) -> bool:
    """Whether a scorer, R squared by default, has a use for weights."""
    function = getattr(scorer, "_score_func", scorer)
    return function is None or "sample_weight" in signature(function).parameters


def _rows(value: Any, rows: Any, n: int) -> Any:
    """Some rows of what has one entry for each of them."""
    return np.asarray(value)[rows] if np.ndim(value) and len(value) == n else value
