"""The estimators against scikit-learn's own."""

import pickle
import warnings

import numpy as np
import pandas
import pytest
import scipy.sparse
import sklearn.linear_model
from numpy.testing import assert_allclose
from reference import regression as reference
from reference.regression import UNIT_ROUNDOFF as U
from reference.regression import weights
from reference.sparse import scattered
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from nearlin import Certificate, LinearRegression, Ridge, RidgeCV
from nearlin.exceptions import (
    FallbackWarning,
    InvalidInputError,
    InvalidTypeError,
    NonFiniteError,
    ShapeError,
)

ESTIMATORS = [LinearRegression, Ridge, RidgeCV]
FORMATS = {"dense": np.asarray, "CSR": scipy.sparse.csr_array, "CSC": scipy.sparse.csc_matrix}


problem = reference.problems(300, 6, centre=3.0, zeros=2 / 3, intercept=50.0)


# The cells are an iterator in scikit-learn up to 1.8.
CONFORMITY = parametrize_with_checks(
    [*(E(random_state=0) for E in ESTIMATORS), LinearRegression(method="spir"), Ridge(method="qr")]
).mark


@pytest.mark.parametrize(CONFORMITY.args[0], list(CONFORMITY.args[1]), **CONFORMITY.kwargs)
def test_conforms_to_scikit_learn(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FallbackWarning)
        check(estimator)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("k", [None, 1, 4])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("alpha", [None, 0.0, 3.0, "per target"])
def test_agrees_with_scikit_learn(form, k, weighted, fit_intercept, alpha):
    X, y = problem(k=k)
    w = weights(len(X)) if weighted else None
    if alpha == "per target":
        alpha = np.logspace(-1, 2, k or 1)
    if alpha is None:
        ours = LinearRegression(fit_intercept=fit_intercept)
        theirs = sklearn.linear_model.LinearRegression(fit_intercept=fit_intercept)
    else:
        ours = Ridge(alpha, fit_intercept=fit_intercept)
        theirs = sklearn.linear_model.Ridge(alpha, fit_intercept=fit_intercept, solver="cholesky")
    ours.fit(FORMATS[form](X), y, sample_weight=w)
    theirs.fit(X, y, sample_weight=w)
    assert_allclose(ours.coef_, theirs.coef_.reshape(ours.coef_.shape), rtol=1e-10)
    assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-10)
    assert ours.coef_.shape == ((6,) if k is None else (k, 6))
    assert np.shape(ours.intercept_) == (() if k is None or not fit_intercept else (k,))
    assert_allclose(ours.predict(FORMATS[form](X)), theirs.predict(X).reshape(y.shape), rtol=1e-10)
    assert_allclose(ours.score(X, y, sample_weight=w), theirs.score(X, y, sample_weight=w), rtol=1e-10)
    assert ours.rank_ == 6
    assert float(ours.certificate_) <= 4 * U


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("k", [None, 3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("apart", [False, True])
def test_cross_validated_penalty_agrees_with_scikit_learn(form, k, weighted, fit_intercept, apart):
    X, y = problem(60, k=k)
    y = y + 20.0 * np.random.default_rng(1).standard_normal(y.shape)
    w = weights(len(X)) if weighted else None
    alphas = np.logspace(-3, 5, 30)
    options = {"alphas": alphas, "fit_intercept": fit_intercept, "alpha_per_target": apart}
    ours = RidgeCV(**options).fit(FORMATS[form](X), y, sample_weight=w)
    theirs = sklearn.linear_model.RidgeCV(**options).fit(X, y, sample_weight=w)
    assert_allclose(ours.alpha_, theirs.alpha_)
    assert_allclose(ours.best_score_, theirs.best_score_, rtol=1e-8)
    assert_allclose(ours.coef_, theirs.coef_, rtol=1e-8)
    assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-8)
    assert ours.loo_error_.shape == ((30,) if k is None else (30, 3))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("shape", [(25, 4), (8, 12)])
def test_leave_one_out_errors_are_those_of_leaving_one_out(weighted, fit_intercept, shape):
    X, y = problem(*shape, k=2)
    w = weights(len(X)) if weighted else None
    alphas = [0.1, 1.0, 1e3]
    model = RidgeCV(alphas, fit_intercept=fit_intercept).fit(X, y, sample_weight=w)
    for alpha, errors in zip(alphas, model.loo_error_, strict=True):
        expected = reference.leave_one_out(X, y, alpha, sample_weight=w, fit_intercept=fit_intercept)
        assert_allclose(errors, expected, rtol=1e-8)


def test_sparse_data_far_from_the_origin():
    rng = np.random.default_rng(0)
    X = scattered((20_000, 300), 5e-3)
    X.data += 100.0
    y = X @ rng.standard_normal(300) + 1e4
    for model in (LinearRegression(random_state=0), Ridge(1e-9, random_state=0)):
        assert_allclose(model.fit(X, y).predict(X), y, rtol=1e-10)
        assert float(model.certificate_) <= 4 * U


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_single_precision_is_kept(Estimator):
    X, y = problem()
    model = Estimator().fit(X.astype(np.float32), y.astype(np.float32))
    assert model.coef_.dtype == np.float32
    assert model.predict(X.astype(np.float32)).dtype == np.float32
    assert_allclose(model.coef_, Estimator().fit(X, y).coef_, rtol=1e-4)


def test_least_norm_for_deficient_and_wide_data():
    X, y = problem(300, 6)
    X = np.hstack([X, X[:, :2]])
    model = LinearRegression().fit(X, y)
    assert model.rank_ == 6
    centred = X - X.mean(axis=0)
    assert_allclose(model.coef_, reference.minimum_norm(centred, y - y.mean(), 1e-10), rtol=1e-8)
    X, y = problem(10, 30)
    model = LinearRegression().fit(X, y)
    assert_allclose(model.predict(X), y)
    assert_allclose(model.coef_, np.linalg.pinv(X - X.mean(axis=0)) @ (y - y.mean()), rtol=1e-7)


def test_indicators_whose_singular_values_repeat():
    # Divide and conquer gives NaN for the triangle of this matrix.
    rng = np.random.default_rng(922)
    levels = [int(count) for count in rng.integers(20, 160, int(rng.integers(1, 4)))]
    n = int(rng.integers(3, 12)) * sum(levels)
    A = np.hstack([np.eye(count)[rng.integers(0, count, n)] for count in levels])
    A = A[:, A.any(axis=0)]
    b = A @ rng.standard_normal(A.shape[1]) + rng.standard_normal(n)
    model = LinearRegression().fit(A, b)
    expected = sklearn.linear_model.LinearRegression().fit(A, b)
    assert A.shape == (411, 136)
    assert model.rank_ == expected.rank_ == 133
    assert_allclose(model.coef_, expected.coef_, rtol=0, atol=1e-12)
    assert_allclose(model.predict(A), expected.predict(A), rtol=1e-12)


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_the_number_of_threads_does_not_change_a_bit(Estimator):
    X, y = problem(20_000, 30, 2)
    models = [
        Estimator(n_jobs=n, random_state=0).fit(X, y, sample_weight=weights(20_000)) for n in (1, 2, 3, 8)
    ]
    assert len({m.coef_.tobytes() + m.intercept_.tobytes() for m in models}) == 1


@pytest.mark.parametrize("random_state", [None, 3, np.random.RandomState(3), np.random.default_rng(3)])
def test_every_kind_of_random_state_is_taken(random_state):
    X, y = problem(2000, 20)
    model = LinearRegression(method="whitened", random_state=random_state).fit(X, y)
    assert model.method_ == "whitened"
    assert float(model.certificate_) <= 4 * U


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_certificate_and_attributes_survive_pickling(Estimator):
    X, y = problem()
    model = Estimator(random_state=0).fit(pandas.DataFrame(X, columns=list("abcdef")), y)
    assert isinstance(model.certificate_, Certificate)
    assert model.method_ in ("gram", "whitened", "spir", "qr")
    assert list(model.feature_names_in_) == list("abcdef")
    again = pickle.loads(pickle.dumps(model))
    assert again.certificate_ == model.certificate_
    assert (again.method_, again.n_iter_) == (model.method_, model.n_iter_)
    assert again.coef_.tobytes() == model.coef_.tobytes()
    assert not hasattr(clone(model), "coef_")


def test_works_in_pipelines_and_searches():
    X, y = problem()
    search = GridSearchCV(make_pipeline(StandardScaler(), Ridge()), {"ridge__alpha": [0.1, 1.0, 1e4]}).fit(
        X, y
    )
    assert search.best_params_["ridge__alpha"] < 1e4
    assert search.score(X, y) > 0.5


def test_a_failed_fit_leaves_the_model_as_it_was():
    X, y = problem()
    model = LinearRegression().fit(X, y)
    before = model.coef_.copy()
    with pytest.raises(NonFiniteError):
        model.fit(np.full_like(X, np.nan), y)
    assert_allclose(model.coef_, before)


@pytest.mark.parametrize(
    ("estimator", "change", "error", "message"),
    [
        (LinearRegression(), {"X": [[np.nan], [1.0]], "y": [1.0, 2.0]}, NonFiniteError, "`X` contains NaN"),
        (Ridge(), {"X": [[1.0], [np.inf]], "y": [1.0, 2.0]}, NonFiniteError, "`X` contains infinity"),
        (RidgeCV(), {"X": [[1.0], [np.inf]], "y": [1.0, 2.0]}, NonFiniteError, "`X` contains infinity"),
        (LinearRegression(method="svd"), {}, InvalidInputError, "`method` is 'svd'"),
        (LinearRegression(fit_intercept="yes"), {}, InvalidTypeError, "`fit_intercept` is of type str"),
        (LinearRegression(n_jobs=0), {}, InvalidInputError, "`n_jobs` is 0"),
        (LinearRegression(), {"sample_weight": [1.0]}, ShapeError, "`sample_weight` has length 1"),
        (RidgeCV(), {"sample_weight": [-1.0] * 300}, InvalidInputError, "`sample_weight` has -1.0"),
        (Ridge(-1.0), {}, InvalidInputError, "`alpha` is -1.0"),
        (Ridge([1.0, 2.0]), {}, ShapeError, "`alpha` has length 2"),
        (Ridge("big"), {}, InvalidTypeError, "`alpha` is of type str"),
        (RidgeCV([]), {}, InvalidInputError, "`alphas` is"),
        (RidgeCV([1.0, 0.0]), {}, InvalidInputError, "`alphas` is"),
        (RidgeCV([np.nan]), {}, NonFiniteError, "`alphas` contains NaN"),
        (RidgeCV(alpha_per_target=1), {}, InvalidTypeError, "`alpha_per_target` is of type int"),
    ],
)
def test_bad_arguments_are_named(estimator, change, error, message):
    X, y = problem()
    with pytest.raises(error, match=message) as caught:
        estimator.fit(**{"X": X, "y": y, **change})
    assert message.startswith(f"`{caught.value.argument}` ")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.argument) == (str(caught.value), caught.value.argument)


# --- what users of scikit-learn type ------------------------------------------------------------------------


@pytest.mark.parametrize("copy_X", [True, False])
def test_samples_are_never_changed(copy_X):
    X, y = problem()
    kept = X.copy()
    for estimator in (LinearRegression(copy_X=copy_X), Ridge(copy_X=copy_X)):
        estimator.fit(X, y)
        assert (X == kept).all()


def test_words_of_scikit_learn_are_taken():
    X, y = problem()
    theirs = sklearn.linear_model.Ridge(2.0, max_iter=500, tol=1e-10).fit(X, y)
    ours = Ridge(2.0, copy_X=False, max_iter=500, tol=1e-10, solver="auto", positive=False).fit(X, y)
    assert_allclose(ours.coef_, theirs.coef_, rtol=1e-8)
    ours = LinearRegression(copy_X=False, tol=1e-6, positive=False, n_jobs=1).fit(X, y)
    assert_allclose(ours.coef_, sklearn.linear_model.LinearRegression().fit(X, y).coef_, rtol=1e-4)


@pytest.mark.parametrize("solver", ["svd", "cholesky", "lsqr", "sparse_cg", "sag", "saga", "lbfgs"])
def test_solvers_are_refused_with_a_word_about_methods(solver):
    with pytest.raises(InvalidInputError, match="`method`"):
        Ridge(solver=solver).fit(*problem())


@pytest.mark.parametrize("estimator", [LinearRegression, Ridge])
def test_who_wants_no_negative_coefficients_is_told_where_to_go(estimator):
    with pytest.raises(InvalidInputError, match=rf"nnls or sklearn.linear_model.{estimator.__name__}\("):
        estimator(positive=True).fit(*problem())


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_serves_in_pipelines_of_mixed_columns(estimator):
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame({"x": rng.standard_normal(200), "kind": rng.choice(["a", "b", "c"], 200)})
    y = frame["x"] ** 2 + (frame["kind"] == "b") + 0.1 * rng.standard_normal(200)
    features = ColumnTransformer(
        [
            ("powers", make_pipeline(StandardScaler(), PolynomialFeatures(2)), ["x"]),
            ("kinds", OneHotEncoder(), ["kind"]),
        ],
        sparse_threshold=1.0,
    )
    pipeline = make_pipeline(features, estimator())
    their_class = getattr(sklearn.linear_model, estimator.__name__)
    theirs = cross_val_score(make_pipeline(features, their_class()), frame, y)
    assert_allclose(cross_val_score(pipeline, frame, y), theirs, rtol=1e-9)
    assert_allclose(
        pickle.loads(pickle.dumps(pipeline.fit(frame, y))).predict(frame), pipeline.predict(frame)
    )


@pytest.mark.parametrize("columns", [(), (2,)])
def test_scores_are_those_of_scikit_learn_and_refuse_in_our_words(columns):
    rng = np.random.default_rng(0)
    X, y, w = rng.standard_normal((50, 3)), rng.standard_normal((50, *columns)), rng.uniform(size=50)
    ours, theirs = Ridge().fit(X, y), sklearn.linear_model.Ridge().fit(X, y)
    for sample_weight in (None, w):
        assert_allclose(ours.score(X, y, sample_weight), theirs.score(X, y, sample_weight), rtol=1e-10)
    for bad, said in ((y[:9], "has shape"), (y * np.nan, "contains NaN"), (y.astype(str), "has dtype")):
        with pytest.raises(InvalidInputError, match=f"`y` {said}"):
            ours.score(X, bad)
    with pytest.raises(InvalidInputError, match="`sample_weight`"):
        ours.score(X, y, -w)


@pytest.mark.parametrize("name", ["X", "y"])
def test_the_argument_at_fault_is_named(name):
    good = {"X": np.eye(9, 2), "y": np.arange(9.0)}
    for bad in (None, 1.0, "text", good[name][..., np.newaxis, np.newaxis], good[name][:5], good[name] * 1j):
        for model in (LinearRegression(), Ridge(), RidgeCV()):
            with pytest.raises(InvalidInputError, match=f"`{name}`|`y` has shape"):
                model.fit(**{**good, name: bad})
