"""Standard errors against statsmodels, and against the matrices of the textbook."""

import pickle
import warnings

import numpy as np
import pandas
import pytest
import scipy.sparse
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from reference import regression as reference
from reference.regression import weights
from sklearn.exceptions import NotFittedError

from nearlin import LinearRegression, RegressionSummary, Ridge
from nearlin.exceptions import (
    InvalidInputError,
    InvalidTypeError,
    LeverageWarning,
    NonFiniteError,
    ShapeError,
)
from nearlin.regression._solve import METHODS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import statsmodels.api as statsmodels
    from statsmodels.tools.sm_exceptions import SingularMatrixWarning

KINDS = ("nonrobust", "HC0", "HC1", "HC2", "HC3")
FORMATS = {"dense": np.asarray, "Fortran": np.asfortranarray, "CSR": scipy.sparse.csr_array}


problem = reference.problems(200, 5, centre=2.0, zeros=0.5, intercept=5.0, uneven=True)


def assert_close(found, expected, tolerance=1e-8):
    """Equal as covariances are: relative to the variances."""
    size = np.sqrt(np.diagonal(expected))
    assert found.shape == expected.shape
    assert (np.abs(found - expected) <= tolerance * np.outer(size, size)).all()


def assert_close_on_the_whole(found, expected):
    """Equal relative to the largest variance; others may be zero."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8 * expected.max())


# --- the formulas -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_everything_is_that_of_statsmodels(kind, weighted, fit_intercept):
    X, y = problem()
    w = weights(len(X)) if weighted else np.ones(len(X))
    model = LinearRegression(fit_intercept=fit_intercept).fit(X, y, w)
    ours = model.summary(kind, X, y, w, level=0.9)
    counted = w > 0.0  # statsmodels counts rows of weight zero as samples
    design = np.column_stack([np.ones(len(X)), X]) if fit_intercept else X
    theirs = statsmodels.WLS(y[counted], design[counted], w[counted]).fit(cov_type=kind, use_t=True)
    assert_close(model.cov_params(kind, X, y, w), theirs.cov_params())
    for found, expected in [
        (ours.coef, theirs.params),
        (ours.std_err, theirs.bse),
        (ours.t, theirs.tvalues),
        (ours.p_value, theirs.pvalues),
        (ours.interval, theirs.conf_int(0.1)),
        (ours.r_squared, theirs.rsquared),
        (ours.sigma, np.sqrt(theirs.scale)),
        (ours.df_resid, theirs.df_resid),
        (ours.n, theirs.nobs),
        (ours.rank, theirs.model.rank),
    ]:
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-300)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("k", [None, 1, 3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("alpha", [None, 3.0, "per target"])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_covariances_are_those_of_the_textbook(form, k, weighted, alpha, fit_intercept):
    X, y = problem(100, k=k)
    w = weights(len(X)) if weighted else None
    alphas = np.logspace(-1, 2, k or 1) if alpha == "per target" else np.full(k or 1, alpha or 0.0)
    model = LinearRegression() if alpha is None else Ridge(alphas if alpha == "per target" else alpha)
    model.set_params(fit_intercept=fit_intercept, inference=True)
    model.fit(FORMATS[form](X), y, w)
    for kind in KINDS:
        found = model.cov_params(kind, FORMATS[form](X), y, w)
        options = {"sample_weight": w, "fit_intercept": fit_intercept}
        if k is None:
            assert_close(found, reference.covariance(X, y, kind, ridge=alphas[0], **options))
        else:
            assert found.shape[0] == k
            for target, ridge in enumerate(alphas):
                expected = reference.covariance(X, y[:, target], kind, ridge=ridge, **options)
                assert_close(found[target], expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("condition", [10.0, 1e4, 1e6])
@pytest.mark.filterwarnings("ignore::nearlin.exceptions.FallbackWarning")
def test_every_method_leaves_an_exact_factor(kind, method, condition):
    rng = np.random.default_rng(0)
    n, d = 3000, 12
    U, V = (np.linalg.qr(rng.standard_normal((rows, d)))[0] for rows in (n, d))
    X = U * np.logspace(0, -np.log10(condition), d) @ V.T
    y = X.sum(axis=1) + rng.standard_normal(n)
    X = scipy.sparse.csr_array(X) if method == "sparse_cholesky" else X
    model = LinearRegression(method=method, random_state=0).fit(X, y)
    tolerance = max(1e-8, 1e-15 * condition)
    assert_close(model.cov_params(kind, X, y), reference.covariance(X, y, kind), tolerance)


@pytest.mark.parametrize("kind", KINDS)
def test_deficient_data_have_the_covariance_of_the_least_norm(kind):
    X, y = problem(80, 4)
    X = np.column_stack([X, X[:, :2] @ [1.0, 2.0], np.zeros(80)])
    model = LinearRegression(fit_intercept=False).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularMatrixWarning)
        theirs = statsmodels.OLS(y, X).fit(cov_type=kind)
    assert_close_on_the_whole(model.cov_params(kind, X, y), theirs.cov_params())
    assert model.summary().rank == 4
    assert model.summary().df_resid == 76
    model = LinearRegression().fit(X, y)
    assert_close_on_the_whole(model.cov_params(kind, X, y), reference.covariance(X, y, kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("Estimator", [LinearRegression, Ridge])
def test_single_precision(kind, Estimator):
    X, y = problem(2000)
    X, y = X.astype(np.float32), y.astype(np.float32)
    model = Estimator().fit(X, y)
    found = model.cov_params(kind, X, y)
    assert found.dtype == np.float64
    ridge = 1.0 if Estimator is Ridge else 0.0
    assert_close(found, reference.covariance(X, y, kind, ridge=ridge), 1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("exponent", [-100, 100])
@given(scale=st.integers(-30, 30), seed=st.integers(0, 2**32))
def test_units_and_order_of_rows_do_not_matter(kind, exponent, scale, seed):
    X, y = problem(60, 3, seed=seed)
    order = np.random.default_rng(seed).permutation(60)
    units = np.array([2.0**scale, 1.0, 10.0**exponent])
    expected = LinearRegression().fit(X, y).cov_params(kind, X, y)
    X, y = X[order] * units, y[order] * 10.0**exponent
    model = LinearRegression().fit(X, y)
    change = np.array([1.0, *1.0 / units])
    found = (
        model.cov_params(kind, X, y) * 10.0 ** (-exponent) / change * 10.0 ** (-exponent) / change[:, None]
    )
    assert_close(found, expected)


def test_the_number_of_threads_does_not_change_a_bit():
    X, y = problem(30_000, 20, 2)
    w = weights(30_000)
    found = {
        LinearRegression(n_jobs=n).fit(X, y, w).cov_params("HC3", X, y, w).tobytes() for n in (1, 2, 3, 8)
    }
    assert len(found) == 1


# --- what a fit keeps ---------------------------------------------------------------------------------------


def test_narrow_dense_data_are_not_needed_again():
    X, y = problem()
    model = LinearRegression().fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    assert (
        again.cov_params().tobytes()
        == model.cov_params().tobytes()
        == model.cov_params("nonrobust", X, y).tobytes()
    )


@pytest.mark.parametrize(
    ("model", "form", "d"),
    [
        (LinearRegression(inference=False), np.asarray, 5),
        (Ridge(), np.asarray, 130),
        (LinearRegression(method="spir", random_state=0), scipy.sparse.csr_array, 5),
    ],
)
def test_other_data_are_needed_again_unless_the_factor_is_kept(model, form, d):
    X, y = problem(1000, d)
    X = form(X)
    with pytest.raises(
        InvalidInputError, match=r"`X` is None, but this fit kept no factor: pass X, y .*inference=True"
    ):
        model.fit(X, y).cov_params()
    with pytest.raises(InvalidInputError, match="`y` is None"):
        model.summary("nonrobust", X)
    refitted, robust = model.cov_params("nonrobust", X, y), model.cov_params("HC3", X, y)
    model.set_params(inference=True).fit(X, y)
    assert_close(refitted, model.cov_params(), 1e-12)
    assert_close(robust, model.cov_params("HC3", X, y), 1e-9)
    with pytest.raises(InvalidInputError, match="`X` is None, but kind='HC3' looks at every row"):
        model.cov_params("HC3")


def test_data_of_another_fit_are_refused():
    X, y = problem()
    w = weights(len(X))
    other = "`X` is not what was fitted|leaves? other residuals"
    for inference in (True, False):
        model = LinearRegression(inference=inference).fit(X, y, w)
        for data in [(X, y), (X[::-1], y, w), (X[:-1], y[:-1], w[:-1]), (X**2, y, w), (X, 2.0 * y, w)]:
            with pytest.raises(InvalidInputError, match=other):
                model.cov_params("HC1", *data)
        model = LinearRegression(fit_intercept=False, inference=inference).fit(X, y)
        with pytest.raises(InvalidInputError, match=other):
            model.cov_params("HC3", X + 1.0, y)


@pytest.mark.parametrize("inference", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [None, 3])
def test_targets_of_other_rows_are_refused_and_rows_in_another_order_are_not(inference, dtype, k):
    X, y = problem(k=k)
    X, y = X.astype(dtype), y.astype(dtype)
    w, order = weights(len(X)), np.random.default_rng(1).permutation(len(X))
    w[::7] = 0.0
    single = y.copy()
    single[(..., -1) if k else ...] = single[(order, -1) if k else order]
    for model in (LinearRegression(inference=inference), Ridge(3.0, inference=inference)):
        model.fit(X, y, w)
        for kind in KINDS[1:]:
            for other in (y[::-1], single):
                with pytest.raises(InvalidInputError, match=r"leaves? other residuals than the fit had"):
                    model.summary(kind, X, other, w)
            expected = model.cov_params(kind, X, y, w)
            permuted = model.cov_params(kind, X[order], y[order], w[order])
            for found, wanted in zip(np.atleast_3d(permuted.T).T, np.atleast_3d(expected.T).T, strict=True):
                assert_close(found, wanted, 1e-4 if dtype == np.float32 else 1e-9)


# --- the table ----------------------------------------------------------------------------------------------


def test_summaries_follow_the_coefficients():
    X, y = problem(k=2)
    frame = pandas.DataFrame(X, columns=list("abcde"))
    model = LinearRegression().fit(frame, y)
    table = model.summary("HC2", frame, y)
    assert isinstance(table, RegressionSummary)
    assert table.names == ("intercept", "a", "b", "c", "d", "e")
    np.testing.assert_array_equal(table.coef, np.column_stack([model.intercept_, model.coef_]))
    np.testing.assert_array_equal(
        table.std_err**2, np.sqrt(np.diagonal(model.cov_params("HC2", frame, y), axis1=1, axis2=2)) ** 2
    )
    assert table.interval.shape == (2, 6, 2)
    assert table.r_squared.shape == table.sigma.shape == table.df_resid.shape == (2,)
    text = str(table)
    assert text == repr(table)
    for word in (
        "LinearRegression, target 1: 200 samples, rank 6, 194 degrees of freedom",
        "covariance HC2",
        "P>|t|",
        "[0.025",
        "0.975]",
    ):
        assert word in text
    assert text.count("\nintercept  ") == 2
    single = LinearRegression(fit_intercept=False).fit(X, y[:, 0]).summary(level=0.9)
    assert single.names == ("x0", "x1", "x2", "x3", "x4")
    assert isinstance(single.sigma, float)
    assert "[0.05" in str(single)


def test_penalties_take_degrees_of_freedom():
    X, y = problem()
    centred = X - X.mean(axis=0)
    hat = centred @ np.linalg.solve(centred.T @ centred + 50.0 * np.eye(5), centred.T)
    table = Ridge(50.0).fit(X, y).summary()
    np.testing.assert_allclose(table.df_resid, 199 - np.trace(hat), rtol=1e-12)


@pytest.mark.parametrize("freedom", [1, 3.7, 40, 1e4, 1e8])
def test_tails_are_those_of_students_distribution(freedom):
    from scipy.special import stdtr, stdtrit

    t = np.array([0.0, 0.3, 2.0, 8.0])
    np.testing.assert_allclose(2 * stdtr(freedom, -t), 2 * scipy.stats.t.sf(t, freedom), rtol=1e-8)
    np.testing.assert_allclose(
        stdtrit(freedom, [0.6, 0.975, 0.9995]), scipy.stats.t.ppf([0.6, 0.975, 0.9995], freedom), rtol=1e-8
    )


def test_perfect_fits_have_no_error():
    X, _ = problem()
    table = LinearRegression().fit(X, np.zeros(len(X))).summary()
    assert (table.std_err == 0.0).all()
    assert "nan" in str(table)
    table = LinearRegression().fit(X, X @ np.arange(1.0, 6.0)).summary()
    assert table.r_squared == 1.0
    assert (table.std_err < 1e-12).all()


# --- hard and bad data --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["HC2", "HC3"])
@pytest.mark.parametrize("inference", [None, False])
def test_rows_that_the_fit_passes_through_are_named(kind, inference):
    X, y = problem()
    X = np.column_stack([X, np.zeros((len(X), 2))])
    X[17, 5] = X[40, 6] = 1.0
    model = LinearRegression(inference=inference).fit(X, y)
    with pytest.warns(LeverageWarning, match="rows 17, 40 have leverage above"):
        found = model.cov_params(kind, X, y)
    assert np.isfinite(found).all()
    left = np.setdiff1d(np.arange(len(X)), [17, 40])
    expected = reference.covariance(X[left][:, :5], y[left], kind)
    assert_close(found[:6, :6], expected)
    assert_close_on_the_whole(model.cov_params("HC0", X, y), reference.covariance(X, y, "HC0"))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"kind": "HC4"}, InvalidInputError, "`kind` is 'HC4', expected one of 'nonrobust'"),
        ({"kind": "HC0", "X": np.ones((200, 4))}, InvalidInputError, "`y` is None"),
        ({"kind": "HC0", "y": np.ones(200)}, InvalidInputError, "`X` is None"),
        ({"X": np.ones((200, 4)), "y": np.ones(200), "kind": "HC0"}, ValueError, "4 features"),
        ({"y": np.ones((200, 2))}, ShapeError, "`y` has 2 targets, expected 1"),
        ({"sample_weight": np.ones(3)}, ShapeError, "`sample_weight` has length 3"),
        ({"X": np.full((200, 5), np.nan)}, NonFiniteError, "`X` contains NaN"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    X, y = problem()
    model = LinearRegression().fit(X, y)
    given_ = arguments if "kind" in arguments else {"kind": "HC3", "X": X, "y": y, **arguments}
    with pytest.raises(error, match=message):
        model.cov_params(**given_)


def test_bad_states_are_named():
    X, y = problem()
    with pytest.raises(NotFittedError):
        LinearRegression().cov_params()
    with pytest.raises(InvalidInputError, match="`level` is 1"):
        LinearRegression().fit(X, y).summary(level=1)
    with pytest.raises(InvalidTypeError, match="`inference` is of type str"):
        LinearRegression(inference="yes").fit(X, y)
    for rows in (5, 6):
        with pytest.raises(ShapeError, match=r"has \d rows of positive weight for \d independent"):
            LinearRegression().fit(X[:rows], y[:rows]).cov_params()
