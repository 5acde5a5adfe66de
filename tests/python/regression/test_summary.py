"""The table of a fit against statsmodels, and what it looks like."""

import dataclasses
import warnings

import numpy as np
import pandas
import pytest
from numpy.testing import assert_allclose

from nearlin import LinearRegression, Ridge
from nearlin.exceptions import InvalidInputError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import statsmodels.api as statsmodels

FIGURES = {
    "params": "params",
    "bse": "bse",
    "tvalues": "tvalues",
    "pvalues": "pvalues",
}
OF_THE_FIT = {
    "df_model": "df_model",
    "df_resid": "df_resid",
    "r_squared": "rsquared",
    "r_squared_adj": "rsquared_adj",
    "f_value": "fvalue",
    "f_p_value": "f_pvalue",
    "log_likelihood": "llf",
    "aic": "aic",
    "bic": "bic",
}


def problem(n=80, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 4)) + np.array([0.0, 1.0, 5.0, 0.0])
    return X, X @ [1.0, -0.3, 0.2, 0.0] + 2.0 + rng.standard_normal(n), rng.random(n) + 0.2


def peer(X, y, w, fit_intercept, kind="nonrobust"):
    X = statsmodels.add_constant(X, has_constant="add") if fit_intercept else X
    model = statsmodels.OLS(y, X) if w is None else statsmodels.WLS(y, X, weights=w)
    return model.fit(cov_type=kind, use_t=True)


@pytest.mark.parametrize("kind", ["nonrobust", "HC1", "HC3"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_figures_are_those_of_statsmodels(kind, weighted, fit_intercept):
    X, y, w = problem()
    w = w if weighted else None
    theirs = peer(X, y, w, fit_intercept, kind)
    ours = LinearRegression(fit_intercept=fit_intercept).fit(X, y, w).summary(kind, X, y, w)
    for name, figure in OF_THE_FIT.items():
        assert_allclose(getattr(ours, name), getattr(theirs, figure), rtol=1e-9, err_msg=name)
    for name in FIGURES:
        assert_allclose([*getattr(ours, name).values()], getattr(theirs, name), rtol=1e-9, err_msg=name)
    assert_allclose(np.array([*ours.conf_int().values()]), theirs.conf_int(), rtol=1e-8)


@pytest.mark.filterwarnings("ignore:The design matrix is rank-deficient")
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_dependent_columns_leave_the_fit_as_it_is_and_are_named(fit_intercept):
    X, y, w = problem()
    X = np.column_stack([X, X[:, 1] - 2.0 * X[:, 3]])
    theirs = peer(X, y, w, fit_intercept)
    ours = LinearRegression(fit_intercept=fit_intercept).fit(X, y, w).summary()
    for name in ("df_model", "df_resid", "r_squared", "r_squared_adj", "f_value", "log_likelihood", "aic"):
        assert_allclose(getattr(ours, name), getattr(theirs, OF_THE_FIT[name]), rtol=1e-9, err_msg=name)
    by_name = dict(zip(ours.names, ours.identified, strict=True))
    expected = {"x0": True, "x1": False, "x2": True, "x3": False, "x4": False}
    assert by_name == ({"intercept": True} if fit_intercept else {}) | expected
    assert np.isnan([ours.bse["x1"], ours.pvalues["x3"], *ours.conf_int()["x4"]]).all()
    assert_allclose(ours.bse["x0"], theirs.bse[int(fit_intercept)], rtol=1e-9)
    line = next(line for line in str(ours).splitlines() if line.startswith("x1"))
    assert line.split()[2:] == ["-"] * 5
    assert "not identified" in str(ours)
    assert "not identified" in ours._repr_html_()
    assert ours.together == (("x1", "x3", "x4"),)
    assert "determined only together: x1, x3, x4" in str(ours)
    assert "determined only together: x1, x3, x4" in ours._repr_html_()
    alone = LinearRegression().fit(X[:, :4], y).summary()
    assert "not identified" not in str(alone)
    assert alone.together == ()


def test_columns_that_depend_on_each_other_are_told_apart_from_others_that_do():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 4)) * [1.0, 1e6, 1e-6, 1.0]
    groups = np.eye(3)[np.arange(80) % 3]
    X = np.column_stack([X, 2.0 * X[:, 0], 1e-6 * X[:, 1] + 1e6 * X[:, 2], np.full(80, 3.0), groups])
    y = rng.standard_normal(80)
    expected = (("x0", "x4"), ("x1", "x2", "x5"))
    assert set(LinearRegression().fit(X, y).summary().together) == {
        *expected,
        ("intercept", "x7", "x8", "x9"),
    }
    through_zero = LinearRegression(fit_intercept=False).fit(X, y).summary()
    assert set(through_zero.together) == {*expected, ("x6", "x7", "x8", "x9")}
    assert through_zero.identified.tolist() == [name == "x3" for name in through_zero.names]


def test_one_hot_columns_leave_the_intercept_open_but_not_the_rest():
    rng = np.random.default_rng(0)
    groups = np.eye(3)[np.arange(60) % 3]
    X = np.column_stack([groups, rng.standard_normal(60)])
    table = LinearRegression().fit(X, rng.standard_normal(60)).summary()
    assert table.identified.tolist() == [False, False, False, False, True]


def test_a_constant_feature_is_left_out_for_the_intercept():
    X, y, _ = problem()
    constant = np.column_stack([X, np.full(len(X), 3.7)])
    table = LinearRegression().fit(constant, y).summary()
    alone = LinearRegression().fit(X, y).summary()
    assert table.identified.tolist() == [True] * 5 + [False]
    assert table.params["x4"] == 0.0
    assert_allclose(table.std_err[:5], alone.std_err, rtol=1e-12)
    assert_allclose(table.f_value, alone.f_value, rtol=1e-12)


def test_the_foot_says_why_a_coefficient_has_no_standard_error():
    X, y, _ = problem()
    constant, dependent = "constant, left out for the intercept", "columns of X depend on each other"
    for extra, reasons in {
        (): [False, False],
        ("constant",): [True, False],
        ("double",): [False, True],
        ("constant", "double"): [True, True],
    }.items():
        columns = {"constant": np.full(len(X), 3.7), "double": 2.0 * X[:, 0]}
        table = LinearRegression().fit(np.column_stack([X, *map(columns.get, extra)]), y).summary()
        for text in (str(table), table._repr_html_()):
            assert [constant in text, dependent in text] == reasons
        assert table.left_out.tolist() == [False] * 5 + [name == "constant" for name in extra]


def test_with_a_penalty_everything_is_identified_and_no_f_is_claimed():
    X, y, _ = problem()
    table = Ridge(1.0).fit(np.column_stack([X, X[:, 0]]), y).summary()
    assert table.identified.all()
    assert np.isnan([table.f_value, table.f_p_value]).all()
    assert 4.0 > table.df_model > 3.0
    assert_allclose(table.aic, 2.0 * (table.df_model + 1.0 - table.log_likelihood))


def test_entries_are_had_by_name():
    X, y, _ = problem()
    frame = pandas.DataFrame(X, columns=["a", "b", "intercept", "<d>"])
    table = LinearRegression().fit(frame, y).summary()
    assert table.names == ("(intercept)", "a", "b", "intercept", "<d>")
    assert table.params["a"] == table.coef[1]
    assert table.bse["<d>"] == table.std_err[-1]
    assert table.conf_int()["b"].tolist() == table.interval[2].tolist()
    assert "&lt;d&gt;" in table._repr_html_()
    assert "<d>" not in table._repr_html_()


def test_frames_have_a_row_for_each_coefficient():
    X, y, _ = problem()
    frame = LinearRegression().fit(X, y).summary().to_frame()
    assert frame.columns.tolist() == ["coef", "std_err", "t", "p_value", "low", "high", "identified"]
    assert frame.index.tolist() == ["intercept", "x0", "x1", "x2", "x3"]
    table = LinearRegression().fit(X, np.column_stack([y, -y])).summary()
    both = table.to_frame()
    assert both.loc[(1, "x0"), "coef"] == table.coef[1, 1]
    assert both.loc[(0, "x0"), "low"] == table.interval[0, 1, 0]
    assert table.params["x0"].tolist() == table.coef[:, 1].tolist()
    assert table.aic.shape == (2,)
    assert table._repr_html_().count("<table>") == 2


def test_frames_of_polars_have_the_names_as_a_column():
    X, y, _ = problem()
    table = LinearRegression().fit(X, y).summary()
    frame = table.to_frame("polars")
    assert frame.columns == ["name", "coef", "std_err", "t", "p_value", "low", "high", "identified"]
    assert frame["name"].to_list() == list(table.names)
    assert frame["coef"].to_list() == table.coef.tolist()
    two = LinearRegression().fit(X, np.column_stack([y, -y])).summary()
    both = two.to_frame("polars")
    assert both["target"].to_list() == [0] * 5 + [1] * 5
    assert both["t"].to_list() == two.t.ravel().tolist()
    with pytest.raises(InvalidInputError, match="`library` is 'arrow'"):
        table.to_frame("arrow")


def test_figures_of_many_rows_keep_all_digits_before_the_point():
    X, y, _ = problem()
    table = LinearRegression().fit(X, y).summary()
    many = dataclasses.replace(
        table, df_resid=4_999_980.0, log_likelihood=-7_094_692.3, aic=14_189_426.6, bic=1e9
    )
    assert "4999980 degrees of freedom" in str(many)
    assert "log-likelihood -7094692, AIC 14189427, BIC 1000000000" in str(many)
    assert "75 degrees of freedom" in str(table)


def test_samples_that_weigh_nothing_are_not_there():
    X, y, w = problem()
    w[::7] = 0.0
    ours = LinearRegression().fit(X, y, w).summary()
    theirs = peer(X[w > 0.0], y[w > 0.0], w[w > 0.0], True)
    for name, figure in OF_THE_FIT.items():
        assert_allclose(getattr(ours, name), getattr(theirs, figure), rtol=1e-9, err_msg=name)
