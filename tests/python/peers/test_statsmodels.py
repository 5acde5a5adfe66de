"""The tests of OLS and WLS of statsmodels: against R, SAS and Stata, on the public data that come with it."""

import numpy as np
from peers.conftest import borrowed
from statsmodels.regression import linear_model

import nearlin

NAMES = {
    "bse": "std_err",
    "tvalues": "t",
    "pvalues": "p_value",
    "rsquared": "r_squared",
    "rsquared_adj": "r_squared_adj",
    "fvalue": "f_value",
    "f_pvalue": "f_p_value",
    "llf": "log_likelihood",
    "aic": "aic",
    "bic": "bic",
}


def ours_in(results):
    """Put what our table says into their results; what they make of that is then ours, too."""
    model = results.model
    X, y, weights = model.exog, model.endog, np.broadcast_to(model.weights, len(model.endog))
    order = np.arange(X.shape[1])
    constant = model.data.const_idx
    if constant is not None:
        X, order = np.delete(X, constant, axis=1), np.insert(order[1:], constant, 0)
    fit = nearlin.LinearRegression(fit_intercept=constant is not None, inference=True)
    table = fit.fit(X, y, sample_weight=weights).summary()
    results.params = table.coef[order]
    results.scale = table.sigma**2
    results.df_resid, results.df_model = table.df_resid, table.df_model
    results.cov_params_default = fit.cov_params()[np.ix_(order, order)]
    for theirs, name in NAMES.items():
        value = getattr(table, name)
        results._cache[theirs] = value[order] if np.ndim(value) else value
    for kind in ("HC0", "HC1", "HC2", "HC3"):
        errors = fit.summary(kind, X, y, sample_weight=weights).std_err
        results._cache[f"{kind}_se"] = errors[order]


class Ours:
    """A model of theirs that is fitted by ours."""

    def fit(self, *args, **options):
        """Fit it twice, and keep of theirs what we have no word for."""
        wrapped = super().fit(*args, **options)
        ours_in(wrapped._results)
        return wrapped


class OLS(Ours, linear_model.OLS):
    """Without weights."""


class WLS(Ours, linear_model.WLS):
    """With weights."""


_copy, _tests = borrowed(
    "statsmodels.regression.tests.test_regression", linear_model, {"OLS": OLS, "WLS": WLS}
)
globals().update(_tests)
ALONE = "a constant and nothing else is no regression: scikit-learn asks for a feature as well"
THEIRS = "counts on an attribute of their model that their own fit goes by"
EXCLUSIONS = {
    "TestWLS_CornerCases::*": ALONE,
    "test_conf_int_single_regressor": ALONE,
    "test_ols_constant": ALONE,
    "TestDataDimensions::test_degrees": THEIRS,
    "TestGLS_large_data::test_degrees": THEIRS,
    "TestNx*::test_degrees": THEIRS,
    "TestOLS::test_rsquared_adj_overfit": "without degrees of freedom a table is refused",
    "test_wls_tss": "without degrees of freedom a table is refused",
    "test_const_indicator": "a constant that columns only add up to is not looked for",
    "test_ols_wls_fixed_scale": "the variance of the noise is always estimated",
}
