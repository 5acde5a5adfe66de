"""The penalty that cross-validation chooses, against scikit-learn's."""

import pickle

import numpy as np
import pytest
import scipy.sparse
import sklearn
import sklearn.linear_model
from numpy.testing import assert_allclose
from reference import regression as reference
from sklearn.base import clone
from sklearn.metrics import make_scorer, mean_squared_error
from sklearn.model_selection import GroupKFold, KFold, LeaveOneOut

from nearlin import Ridge, RidgeCV
from nearlin.exceptions import AllocationError, InvalidInputError

ALPHAS = np.logspace(-5, 3, 5)
SHAPES = {"tall": (16, 5), "wide": (8, 20), "square but for the constant": (12, 11)}
SHUFFLED = KFold(4, shuffle=True, random_state=0)
REQUESTS = {
    "default": {},
    "scored": {"scoring": "neg_mean_absolute_error"},
    "stored": {"store_cv_results": True},
    "scored and stored": {"store_cv_results": True, "scoring": "r2"},
    "three folds": {"cv": 3},
    "scored folds": {"cv": SHUFFLED, "scoring": "neg_mean_squared_error"},
}


problem = reference.problems(60, 5, centre=2.0)


def assert_same(ours, theirs, X):
    assert_allclose(ours.alpha_, theirs.alpha_)
    assert_allclose(ours.best_score_, theirs.best_score_, rtol=1e-8)
    assert np.shape(ours.best_score_) == np.shape(theirs.best_score_)
    assert_allclose(ours.predict(X), theirs.predict(X).reshape(ours.predict(X).shape), rtol=1e-7)
    if ours.store_cv_results:
        assert ours.cv_results_.shape == theirs.cv_results_.shape
        # A row that is nearly all there is of a direction: its error is over one less its leverage.
        assert_allclose(ours.cv_results_, theirs.cv_results_, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("request_of", REQUESTS)
@pytest.mark.parametrize("k", [None, 3])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_chooses_as_scikit_learn_does(request_of, k, shape, fit_intercept):
    X, y = problem(*SHAPES[shape], k)
    options = {"fit_intercept": fit_intercept, **REQUESTS[request_of]}
    theirs = sklearn.linear_model.RidgeCV(ALPHAS, **options).fit(X, y)
    # By columns, where there is one target: what is sparse is read by the same code for any number.
    form = scipy.sparse.csc_array if k is None and request_of != "default" else np.asarray
    assert_same(RidgeCV(ALPHAS, **options).fit(form(X), y), theirs, X)


@pytest.mark.parametrize("shape", SHAPES)
def test_folds_may_be_of_one_row(shape):
    X, y = problem(*SHAPES[shape])
    options = {"cv": LeaveOneOut(), "scoring": "neg_mean_absolute_error"}
    theirs = sklearn.linear_model.RidgeCV(ALPHAS, **options).fit(X, y)
    assert_same(RidgeCV(ALPHAS, **options).fit(X, y), theirs, X)


@pytest.mark.parametrize("request_of", [name for name, options in REQUESTS.items() if "cv" not in options])
def test_weights_count_in_fits_and_scores(request_of):
    X, y = problem(k=3)
    w = np.random.default_rng(1).random(60) + 0.1
    options = REQUESTS[request_of]
    theirs = sklearn.linear_model.RidgeCV(ALPHAS, **options).fit(X, y, sample_weight=w)
    assert_same(RidgeCV(ALPHAS, **options).fit(X, y, sample_weight=w), theirs, X)


def test_weights_count_in_the_scores_of_folds():
    # scikit-learn does so from 1.8 on only, and is therefore no peer here.
    X, y = problem()
    w = np.random.default_rng(1).random(60) + 0.1
    scores = []
    for alpha in ALPHAS:
        of_folds = []
        for train, test in SHUFFLED.split(X):
            fit = Ridge(alpha).fit(X[train], y[train], sample_weight=w[train])
            of_folds.append(fit.score(X[test], y[test], sample_weight=w[test]))
        scores.append(np.mean(of_folds))
    model = RidgeCV(ALPHAS, cv=SHUFFLED).fit(X, y, sample_weight=w)
    assert model.alpha_ == ALPHAS[np.argmax(scores)]
    assert_allclose(model.best_score_, np.max(scores), rtol=1e-9)


@pytest.mark.parametrize("scoring", [None, "r2"])
def test_every_target_may_choose_for_itself(scoring):
    X, y = problem(k=3)
    y[:, 1] = np.random.default_rng(2).standard_normal(60)
    options = {"alpha_per_target": True, "scoring": scoring, "store_cv_results": True}
    theirs = sklearn.linear_model.RidgeCV(ALPHAS, **options).fit(X, y)
    ours = RidgeCV(ALPHAS, **options).fit(X, y)
    assert len(set(ours.alpha_)) > 1
    assert_same(ours, theirs, X)


def test_what_is_stored_is_what_a_fit_without_the_row_says():
    X, y = problem(20, 4)
    w = np.random.default_rng(3).random(20)
    w[[3, 7]] = 0.0
    model = RidgeCV([0.1, 10.0], scoring="r2", store_cv_results=True).fit(X, y, sample_weight=w)
    for row in range(20):
        rest = np.arange(20) != row
        for alpha in range(2):
            fit = Ridge([0.1, 10.0][alpha]).fit(X[rest], y[rest], sample_weight=w[rest])
            # Without the weight of the row the means of the rest are theirs, and the identity is exact.
            assert_allclose(model.cv_results_[row, alpha], fit.predict(X[row : row + 1])[0], rtol=1e-9)


def test_float32_stays_float32():
    X, y = problem()
    model = RidgeCV(ALPHAS, store_cv_results=True).fit(X.astype(np.float32), y)
    assert model.cv_results_.dtype == model.coef_.dtype == np.float32


def test_no_penalty_is_a_choice_of_folds_only():
    X, y = problem()
    theirs = sklearn.linear_model.RidgeCV([0.0, 1.0], cv=3).fit(X, y)
    assert_same(RidgeCV([0.0, 1.0], cv=3).fit(X, y), theirs, X)
    with pytest.raises(InvalidInputError, match="positive"):
        RidgeCV([0.0, 1.0]).fit(X, y)


def test_no_penalty_on_dependent_columns_is_the_least_norm():
    X, y = problem()
    X = np.column_stack([X, X[:, 0]])
    expected = []
    for train, test in KFold(3).split(X):
        coef = np.linalg.lstsq(X[train], y[train], rcond=1e-12)[0]
        expected.append(-np.mean((y[test] - X[test] @ coef) ** 2))
    options = {"cv": 3, "fit_intercept": False, "scoring": "neg_mean_squared_error"}
    assert_allclose(RidgeCV([0.0], **options).fit(X, y).best_score_, np.mean(expected), rtol=1e-8)


def test_splits_may_be_given_and_scorers_be_functions():
    X, y = problem()
    rows = np.arange(60)
    splits = [(rows[:40], rows[40:]), (rows[20:], rows[:20])]
    for scoring in (lambda model, X, y: -np.abs(model.predict(X) - y).max(), make_scorer(mean_squared_error)):
        theirs = sklearn.linear_model.RidgeCV(ALPHAS, cv=splits, scoring=scoring).fit(X, y)
        assert_same(RidgeCV(ALPHAS, cv=splits, scoring=scoring).fit(X, y), theirs, X)


def test_groups_are_routed_to_the_splitter():
    X, y = problem()
    groups = np.arange(60) % 7
    with sklearn.config_context(enable_metadata_routing=True):
        theirs = sklearn.linear_model.RidgeCV(ALPHAS, cv=GroupKFold(3)).fit(X, y, groups=groups)
        assert_same(RidgeCV(ALPHAS, cv=GroupKFold(3)).fit(X, y, groups=groups), theirs, X)
    with pytest.raises(ValueError, match="routing"):
        RidgeCV(ALPHAS, cv=GroupKFold(3)).fit(X, y, groups=groups)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cv": 3, "store_cv_results": True}, "incompatible"),
        ({"cv": 3, "alpha_per_target": True}, "incompatible"),
        ({"gcv_mode": "eigen"}, "gcv_mode"),
        ({"cv": 3, "alphas": [-1.0]}, "none negative"),
        ({"scoring": lambda *_: np.nan}, "nan"),
        ({"store_cv_results": 1}, "store_cv_results"),
    ],
)
def test_refuses(options, said):
    X, y = problem()
    with pytest.raises((ValueError, TypeError), match=said):
        RidgeCV(**options).fit(X, y)


def test_copies_and_pickles():
    X, y = problem()
    model = RidgeCV((0.1, 1.0), cv=3, scoring="r2").fit(X, y)
    assert clone(model).get_params() == model.get_params()
    again = pickle.loads(pickle.dumps(model))
    assert again.best_score_ == model.best_score_
    assert_allclose(again.predict(X), model.predict(X), rtol=0)


def test_without_memory_for_a_factor_the_way_out_is_named(monkeypatch):
    def no_memory(*_, **__):
        raise AllocationError("could not allocate 8 bytes for a matrix")

    monkeypatch.setattr("nearlin._core.ridge_cv", no_memory)
    with pytest.raises(AllocationError, match=r"8 bytes for a matrix.* GridSearchCV"):
        RidgeCV().fit(*problem())


def test_sparse_rows_beyond_a_factor_have_folds(monkeypatch):
    monkeypatch.setattr("nearlin.regression._ridge_cv.LARGEST_FACTOR", 4)
    X, y = problem()
    sparse = scipy.sparse.csr_array(X)
    with pytest.raises(InvalidInputError, match=r"`cv` is None.*\(60, 5\), expected folds such as cv=5"):
        RidgeCV(ALPHAS).fit(sparse, y)
    right = RidgeCV(ALPHAS, cv=3).fit(X, y)
    found = RidgeCV(ALPHAS, cv=3).fit(sparse, y)
    assert found.alpha_ == right.alpha_
    assert_allclose(found.best_score_, right.best_score_, rtol=1e-12)
    assert_allclose(found.coef_, right.coef_, rtol=1e-12)


@pytest.mark.filterwarnings("ignore::nearlin.exceptions.AccuracyWarning")
@pytest.mark.parametrize("form", [scipy.sparse.csr_array, scipy.sparse.csc_array, np.asarray])
@pytest.mark.parametrize("shape", [(60, 9), (9, 60)])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("hard", ["", "weights", "dependent", "far means", "constant"])
def test_rows_left_out_of_any_matrix_are_those_of_as_many_fits(form, shape, fit_intercept, hard):
    rng = np.random.default_rng(3)
    X = rng.standard_normal(shape) * (rng.random(shape) < 0.4)
    if hard == "dependent":
        X[:, -3:] = X[:, :3]
        X[-2:] = X[:2]
    if hard == "far means":
        X += 1e4
    if hard == "constant":
        X[:, 2] = 1e3
    y = rng.standard_normal(len(X))
    weights = rng.integers(0, 3, len(X)).astype(float) if hard == "weights" else np.ones(len(X))
    alphas = [1e-2, 1.0, 50.0]
    options = {"fit_intercept": fit_intercept}
    model = RidgeCV(alphas, **options).fit(form(X), y, sample_weight=weights)
    for alpha, error in zip(alphas, model.loo_error_, strict=True):
        left_out = []
        for i in range(len(X)):
            kept = np.arange(len(X)) != i
            fit = Ridge(alpha, **options).fit(X[kept], y[kept], sample_weight=weights[kept])
            left_out.append(weights[i] * (y[i] - fit.predict(X[i : i + 1])[0]) ** 2)
        assert_allclose(error, np.mean(left_out), rtol=1e-7)
