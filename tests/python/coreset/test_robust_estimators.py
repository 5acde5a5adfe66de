"""Robust estimators beside scikit-learn's, linear programs and a general minimiser."""

import math
import pickle
import warnings

import numpy as np
import pandas
import pytest
import scipy.sparse as sp
import sklearn.linear_model
from reference import lp as reference
from reference.coreset import GENERATORS
from reference.layouts import same_bits
from sklearn.base import clone
from sklearn.datasets import load_diabetes, make_regression
from sklearn.metrics import d2_pinball_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from nearlin import Certificate, HuberRegressor, LpRegressor, QuantileRegressor, lp_regression
from nearlin.exceptions import (
    AccuracyWarning,
    InvalidInputError,
    InvalidTypeError,
    NonFiniteError,
    ShapeError,
)

ESTIMATORS = [LpRegressor, QuantileRegressor, HuberRegressor]
FORMATS = {"dense": np.asarray, "CSR": sp.csr_array, "CSC": sp.csc_matrix}


def data(n=400, d=4, seed=0, kind="student"):
    rng = np.random.default_rng(seed)
    X = GENERATORS[kind](n, d, seed)
    return X, X @ rng.standard_normal(X.shape[1]) + 3.0 + rng.laplace(size=n)


OF_SHAPE = ("check_regressors_train", "check_estimator_sparse_array", "check_estimator_sparse_matrix")


def expected_failures(estimator):
    of_weights = [f"check_sample_weight_equivalence_on_{form}_data" for form in ("dense", "sparse")]
    if isinstance(estimator, LpRegressor) and estimator.p == math.inf:
        return dict.fromkeys(of_weights, "nine samples of positive weight have many fits of eleven unknowns")
    if isinstance(estimator, QuantileRegressor) and np.ndim(estimator.quantile):
        return dict.fromkeys(OF_SHAPE, "a column of predictions for each level, where one is expected")
    return {}


CONFORMITY = parametrize_with_checks(
    [
        LpRegressor(random_state=0),
        LpRegressor(p=3.0),
        LpRegressor(p=math.inf),
        QuantileRegressor(random_state=0),
        QuantileRegressor(alpha=0.01, method="full"),
        QuantileRegressor([0.2, 0.8], random_state=0),
        HuberRegressor(),
        HuberRegressor(scale=1.0),
    ],
    expected_failed_checks=expected_failures,
).mark


@pytest.mark.parametrize(CONFORMITY.args[0], list(CONFORMITY.args[1]), **CONFORMITY.kwargs)
def test_conforms_to_scikit_learn(estimator, check):
    with warnings.catch_warnings():
        # A scale is zero where toy data are fitted exactly.
        warnings.simplefilter("ignore", AccuracyWarning)
        check(estimator)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("alpha", [0.0, 0.02, 0.3, 100.0])
@pytest.mark.parametrize("quantile", [0.5, 0.15])
def test_quantiles_have_the_objective_of_scikit_learn(quantile, alpha, fit_intercept, weighted, form):
    X, y = data()
    w = np.random.default_rng(1).integers(0, 3, len(X)).astype(float) if weighted else None
    ask = {"quantile": quantile, "alpha": alpha, "fit_intercept": fit_intercept}
    ours = QuantileRegressor(random_state=0, **ask).fit(FORMATS[form](X), y, sample_weight=w)
    theirs = sklearn.linear_model.QuantileRegressor(solver="highs", **ask).fit(X, y, sample_weight=w)

    def objective(model):
        weights = np.ones(len(X)) if w is None else w
        loss = reference.loss(y - X @ model.coef_ - model.intercept_, quantile, weights)
        return loss / weights.sum() + alpha * np.abs(model.coef_).sum()

    assert objective(ours) <= objective(theirs) * (1.0 + 1e-9)
    assert ours.objective_ == pytest.approx(objective(ours), rel=1e-11)
    assert ours.certificate_.met
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)
    if alpha < 100.0:  # beyond, all coefficients are zero, and medians of an even number are many
        np.testing.assert_allclose(ours.predict(FORMATS[form](X)), theirs.predict(X), atol=1e-4)


def test_many_samples_under_a_penalty_are_globbed():
    X, y = data(20_000, 6)
    for alpha in (0.0, 0.05):
        exact = QuantileRegressor(quantile=0.3, alpha=alpha, random_state=0).fit(X, y)
        full = QuantileRegressor(quantile=0.3, alpha=alpha, method="full").fit(X, y)
        assert exact.objective_ == pytest.approx(full.objective_, rel=1e-12)
        np.testing.assert_allclose(exact.coef_, full.coef_, atol=1e-8)
        assert "wrong_signs" in exact.certificate_.details
        assert "wrong_signs" not in full.certificate_.details


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_levels_are_rows_of_coefficients(fit_intercept):
    X, y = data(3000)
    model = QuantileRegressor([0.2, 0.5, 0.9], fit_intercept=fit_intercept, random_state=0).fit(X, y)
    assert model.coef_.shape == (3, 4)
    assert model.predict(X).shape == (3000, 3)
    assert np.shape(model.intercept_) == ((3,) if fit_intercept else ())
    for k, level in enumerate(model.quantile):
        alone = QuantileRegressor(level, fit_intercept=fit_intercept, random_state=0).fit(X, y)
        assert same_bits(model.coef_[k], alone.coef_)
        assert model.objective_[k] == alone.objective_
    of_levels = [
        d2_pinball_score(y, fitted, alpha=level)
        for level, fitted in zip(model.quantile, model.predict(X).T, strict=True)
    ]
    assert model.score(X, y) == pytest.approx(np.mean(of_levels), rel=1e-12)
    assert alone.score(X, y) == pytest.approx(
        1.0 - ((y - alone.predict(X)) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    )


@pytest.mark.parametrize("p", [1.0, 1.5, 4.0, math.inf])
@pytest.mark.parametrize("form", FORMATS)
def test_powers_are_those_of_the_function(form, p):
    X, y = data(600)
    model = LpRegressor(p, random_state=0).fit(FORMATS[form](X), y)
    found = lp_regression(np.c_[X, np.ones(len(X))], y, p=p, rng=0)
    np.testing.assert_allclose(np.r_[model.coef_, model.intercept_], found.x, rtol=1e-6, atol=1e-6)
    assert model.objective_ == pytest.approx(found.objective, rel=1e-9)
    assert model.certificate_.met
    assert model.n_iter_ >= 1 or p == 2.0


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("alpha", [0.0, 1e-4, 10.0])
@pytest.mark.parametrize("epsilon", [1.1, 1.35, 3.0])
def test_huber_has_the_objective_of_scikit_learn(epsilon, alpha, fit_intercept, weighted, form):
    X, y = data(300, kind="gaussian")
    w = np.random.default_rng(1).uniform(0.0, 2.0, len(X)) if weighted else None
    ask = {"epsilon": epsilon, "alpha": alpha, "fit_intercept": fit_intercept}
    ours = HuberRegressor(**ask).fit(FORMATS[form](X), y, sample_weight=w)
    theirs = sklearn.linear_model.HuberRegressor(tol=1e-10, max_iter=10_000, **ask)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sklearn.exceptions.ConvergenceWarning)
        theirs.fit(X, y, sample_weight=w)

    def objective(model):
        A = np.c_[X, np.ones(len(X))] if fit_intercept else X
        x = np.r_[model.coef_, model.intercept_] if fit_intercept else model.coef_
        weights = np.ones(len(X)) if w is None else w
        free = int(fit_intercept)
        return reference.huber_objective(A, y, x, model.scale_, epsilon, alpha, weights, free)

    assert objective(ours) <= objective(theirs) * (1.0 + 1e-12)
    assert ours.objective_ == pytest.approx(objective(ours), rel=1e-11)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-4)
    np.testing.assert_allclose(ours.scale_, theirs.scale_, atol=1e-4)
    assert (ours.outliers_ == theirs.outliers_).mean() > 0.98
    assert ours.certificate_.met
    assert ours.objective_ * (1.0 - ours.certificate_.bound) <= objective(theirs)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("kind", ["gaussian", "student", "tabular"])
def test_a_fixed_scale_is_proved(kind, alpha):
    X, y = data(500, 5, kind=kind)
    model = HuberRegressor(scale=0.5, alpha=alpha, fit_intercept=False).fit(X, y)
    assert model.scale_ == 0.5
    assert model.certificate_.met
    assert "excess" in model.certificate_.quantity
    x, _ = reference.huber(X, y, 1.35, alpha, scale=0.5)
    other = reference.huber_objective(X, y, x, 0.5, 1.35, alpha)
    assert model.objective_ <= other * (1.0 + 1e-12)
    assert model.objective_ * (1.0 - float(model.certificate_)) <= other


@pytest.mark.parametrize("scale", ["concomitant", 0.3])
def test_huber_with_columns_that_depend_on_others(scale):
    X, y = data(400)
    doubled = np.c_[X, X[:, 0], np.zeros(len(X))]
    plain = HuberRegressor(scale=scale, alpha=0.0).fit(X, y)
    model = HuberRegressor(scale=scale, alpha=0.0).fit(doubled, y)
    np.testing.assert_allclose(model.predict(doubled), plain.predict(X), atol=1e-8)
    # A ridge has the two share what they have.
    model = HuberRegressor(scale=scale, alpha=2.0).fit(doubled, y)
    assert model.coef_[0] == pytest.approx(model.coef_[4], rel=1e-6)
    assert model.coef_[5] == 0.0


def test_huber_stays_where_most_samples_are():
    X, y = data(500, kind="gaussian")
    clean = HuberRegressor().fit(X, y)
    y[:50] += 1e6
    spoiled = HuberRegressor().fit(X, y)
    np.testing.assert_allclose(spoiled.coef_, clean.coef_, atol=0.3)
    assert spoiled.outliers_[:50].all()


@pytest.mark.parametrize("E", ESTIMATORS)
def test_threads_copies_and_pickles_change_no_bit(E):
    X, y = data(9000)
    seed = {} if E is HuberRegressor else {"random_state": 0}
    models = [E(n_jobs=n_jobs, **seed).fit(X, y) for n_jobs in (1, 2, 3, 8)]
    assert all(same_bits(model.coef_, models[0].coef_) for model in models)
    again = pickle.loads(pickle.dumps(models[0]))
    assert same_bits(again.predict(X), models[0].predict(X))
    assert isinstance(again.certificate_, Certificate)
    assert again.certificate_ == models[0].certificate_
    assert not hasattr(clone(again), "coef_")


@pytest.mark.parametrize("E", ESTIMATORS)
def test_single_precision_stays_single(E):
    X, y = data(1000)
    model = E().fit(X.astype(np.float32), y.astype(np.float32))
    assert model.coef_.dtype == np.float32
    assert model.certificate_.met
    np.testing.assert_allclose(model.coef_, E().fit(X, y).coef_, atol=2e-3)


@pytest.mark.parametrize("E", ESTIMATORS)
def test_works_with_the_rest_of_scikit_learn(E):
    X, y = data(200)
    frame = pandas.DataFrame(X, columns=list("abcd"))
    model = make_pipeline(StandardScaler(), E()).fit(frame, y)
    assert model.predict(frame).shape == (200,)
    grid = {"alpha": [0.0, 0.1]} if E is not LpRegressor else {"p": [1.0, 2.0]}
    assert GridSearchCV(E(), grid, cv=2).fit(X, y).best_score_ > 0.3
    named = E().fit(frame, y)
    assert list(named.feature_names_in_) == list("abcd")
    frame.loc[3, "c"] = np.nan
    with pytest.raises(NonFiniteError, match=r"`X`.*column 'c'"):
        E().fit(frame, y)


@pytest.mark.parametrize("E", ESTIMATORS)
def test_bad_data(E):
    X, y = data(50)
    target = y.copy()
    target[3] = np.inf
    with pytest.raises(NonFiniteError, match=r"`y`.*\[3\]"):
        E().fit(X, target)
    for wrong in (y[:-1], np.c_[y, y]):
        with pytest.raises(InvalidInputError):
            E().fit(X, wrong)
    with pytest.raises(InvalidTypeError, match="requires y"):
        E().fit(X, None)
    with pytest.raises(ShapeError, match="sample_weight"):
        E().fit(X, y, sample_weight=np.ones(3))
    with pytest.raises(InvalidInputError, match="sample_weight"):
        E().fit(X, y, sample_weight=np.zeros(50))
    with pytest.raises(InvalidTypeError, match="fit_intercept"):
        E(fit_intercept="yes").fit(X, y)


BAD = [
    (LpRegressor(p=0.9), "p"),
    (LpRegressor(method="fast"), "method"),
    (LpRegressor(p=3.0, method="exact"), "method"),
    (LpRegressor(tol=-1.0), "tol"),
    (QuantileRegressor(quantile=0.0), "quantile"),
    (QuantileRegressor(quantile=[0.5, 2.0]), "quantile"),
    (QuantileRegressor(alpha=-1.0), "alpha"),
    (QuantileRegressor(max_iter=0), "max_iter"),
    (QuantileRegressor(quantile=None), "quantile"),
    (HuberRegressor(epsilon=0.9), "epsilon"),
    (HuberRegressor(alpha=-1.0), "alpha"),
    (HuberRegressor(scale="mad"), "scale"),
    (HuberRegressor(scale=0.0), "scale"),
    (HuberRegressor(max_iter=0), "max_iter"),
]


@pytest.mark.parametrize(("model", "argument"), BAD)
def test_bad_parameters(model, argument):
    X, y = data(50)
    with pytest.raises(InvalidInputError) as caught:
        model.fit(X, y)
    assert caught.value.argument == argument


def test_too_few_iterations_are_told_of():
    X, y = data(500)
    for model in (QuantileRegressor(max_iter=1), LpRegressor(1.1, max_iter=1), HuberRegressor(max_iter=1)):
        with pytest.warns(AccuracyWarning, match="raise max_iter"):
            model.fit(X, y)
        assert model.certificate_.met is not True


def test_a_chosen_scale_is_proved_too():
    """Nothing is left of the slope in the coefficients long before the scale is the best."""
    y = abs(np.linspace(-1.0, 1.0, 110))
    model = HuberRegressor(epsilon=1.01, alpha=0.1).fit(np.ones((110, 1)), y)
    assert model.objective_ == pytest.approx(56.037965, rel=1e-7)
    assert model.scale_ == pytest.approx(0.018560, rel=1e-3)
    X, y = data(300)
    best = HuberRegressor().fit(X, y)
    for max_iter in (1, 2, 3):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AccuracyWarning)
            model = HuberRegressor(max_iter=max_iter).fit(X, y)
        assert model.objective_ * (1.0 - model.certificate_.bound) <= best.objective_
        assert model.certificate_.met is not True


def test_absent_samples_change_no_certificate():
    X, y = data(60)
    with_zeros = np.r_[np.ones(30), np.zeros(30)]
    all_rows = HuberRegressor().fit(X, y, sample_weight=with_zeros)
    live = HuberRegressor().fit(X[:30], y[:30])
    assert all_rows.objective_ == pytest.approx(live.objective_, rel=1e-12)
    assert all_rows.certificate_.met is live.certificate_.met is True


def test_an_epsilon_beyond_all_residuals_is_a_ridge():
    X, y = data(100)
    huge, large = (HuberRegressor(epsilon=epsilon, scale=1.0).fit(X, y) for epsilon in (1e300, 1e9))
    np.testing.assert_allclose(huge.coef_, large.coef_, rtol=1e-12)
    assert huge.certificate_.met


def test_coefficients_that_are_zero_are_zero():
    X, y = data(200, 8)
    theirs = sklearn.linear_model.QuantileRegressor(alpha=0.5).fit(X, y)
    ours = QuantileRegressor(alpha=0.5, random_state=0).fit(X, y)
    assert ((ours.coef_ == 0.0) == (theirs.coef_ == 0.0)).all()


@pytest.mark.parametrize("scale", ["concomitant", 1.0])
@pytest.mark.parametrize("power", [-300, -160, 160, 300])
def test_huber_of_features_at_the_ends_of_the_range(power, scale):
    """Squares of coefficients are no numbers there, and nothing asks for them without a penalty."""
    X, y = data(300)
    plain = HuberRegressor(alpha=0.0, scale=scale).fit(X, y)
    found = HuberRegressor(alpha=0.0, scale=scale).fit(X * 10.0**power, y)
    assert found.certificate_.met
    np.testing.assert_allclose(found.coef_ * 10.0**power, plain.coef_, rtol=1e-6)


@pytest.mark.parametrize("method", ["full", "auto"])
def test_a_penalty_that_leaves_nothing_leaves_zeros(method):
    """Also where medians of an even number are many, so that no vertex is found."""
    X, y = load_diabetes(return_X_y=True)
    for alpha in (1.0, 0.1):
        assert not QuantileRegressor(alpha=alpha, method=method, random_state=0).fit(X, y).coef_.any()
    rng = np.random.default_rng(0)
    for n in range(6, 60):
        X, y = rng.standard_normal((n, 3)), rng.standard_normal(n)
        model = QuantileRegressor([0.25, 0.5], alpha=10.0, method=method, random_state=0).fit(X, y)
        assert not model.coef_.any()
        assert model.certificate_.met


def test_zeros_are_those_of_scikit_learn():
    rng = np.random.default_rng(1)
    for seed in range(40):
        X = rng.standard_normal((int(rng.integers(10, 80)), 4))
        y = X @ [1.0, 0.0, 0.0, 0.3] + rng.standard_normal(len(X))
        theirs = sklearn.linear_model.QuantileRegressor(alpha=0.15).fit(X, y)
        ours = QuantileRegressor(alpha=0.15, random_state=seed).fit(X, y)
        np.testing.assert_array_equal(ours.coef_ == 0.0, abs(theirs.coef_) < 1e-12)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "make",
    [
        lambda: QuantileRegressor([0.05, 0.5], random_state=0),
        lambda: LpRegressor(1.5),
        lambda: LpRegressor(math.inf),
        lambda: HuberRegressor(alpha=0.0),
    ],
)
def test_features_far_from_zero_are_as_good_as_centred_ones(make, form):
    """An intercept makes up for any offset: times of seconds since 1970 are fitted as well as others."""
    rng = np.random.default_rng(4)
    t = 1.6e9 + rng.integers(0, 10**7, 3000)
    X = np.c_[t, rng.standard_normal(3000) + 1000.0, rng.integers(0, 2, 3000)]
    centre = np.round(X.mean(axis=0))
    y = 1e-6 * (X[:, 0] - 1.6e9) + X[:, 1] - X[:, 2] + rng.laplace(size=3000)
    far, near = make().fit(FORMATS[form](X), y), make().fit(X - centre, y)
    assert far.certificate_.met
    assert near.certificate_.met
    np.testing.assert_allclose(far.objective_, near.objective_, rtol=1e-9)
    np.testing.assert_allclose(far.predict(FORMATS[form](X)), near.predict(X - centre), atol=1e-5)
    assert far.n_iter_ <= 1.5 * near.n_iter_ + 5


def test_powers_of_years_are_proved():
    years = np.arange(1950.0, 2021.0)
    X, y = np.c_[years**2, years], np.sin(years) + 0.01 * (years - 1950.0)
    for level in (0.05, 0.25, 0.5, 0.75, 0.95):
        far = QuantileRegressor(level).fit(X, y)
        near = QuantileRegressor(level).fit(np.c_[(years - 1985.0) ** 2, years - 1985.0], y)
        assert far.certificate_.met
        assert far.objective_ == pytest.approx(near.objective_, rel=1e-8)


@pytest.mark.parametrize("E", ESTIMATORS)
def test_samples_of_few_features_have_the_fits_of_their_dense_copies(E):
    rng = np.random.default_rng(2)
    X = np.where(rng.random((3000, 40)) < 0.04, rng.standard_normal((3000, 40)), 0.0)
    y = X @ rng.standard_normal(40) + 3.0 + rng.laplace(size=3000)
    w = rng.integers(0, 3, 3000).astype(float)
    for options in ({}, {"fit_intercept": False}, {"alpha": 0.001} if E is not LpRegressor else {"p": 4.0}):
        few = E(**options).fit(sp.csr_array(X), y, sample_weight=w)
        full = E(**options).fit(X, y, sample_weight=w)
        assert few.certificate_.met
        np.testing.assert_allclose(few.objective_, full.objective_, rtol=1e-11)
        np.testing.assert_allclose(few.coef_, full.coef_, atol=1e-7)


@pytest.mark.parametrize("form", ["CSR", "CSC"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        lambda: QuantileRegressor([0.3, 0.5], random_state=0),
        lambda: QuantileRegressor(alpha=0.002, method="full"),
        lambda: LpRegressor(1.3),
        lambda: LpRegressor(math.inf),
        lambda: HuberRegressor(),
        lambda: HuberRegressor(alpha=0.0),
    ],
)
def test_one_hot_samples_have_the_fits_of_their_dense_copies(make, weighted, form):
    """Two factors whose columns add up to the constant, levels that nobody has, years, and a column twice."""
    rng = np.random.default_rng(6)
    n, levels = 6000, (12, 25)
    one_hot = [np.eye(count + 1)[rng.integers(0, count, n)] for count in levels]
    some = np.where(rng.random(n) < 0.1, rng.standard_normal(n), 0.0)
    X = np.column_stack([*one_hot, rng.integers(1990, 2021, n), some, some])
    X[7, :] = 0.0
    y = X @ rng.standard_normal(X.shape[1]) + rng.laplace(size=n)
    w = rng.integers(0, 3, n).astype(float) if weighted else None
    few, full = (make().fit(layout(X), y, sample_weight=w) for layout in (FORMATS[form], np.asarray))
    assert few.certificate_.met
    np.testing.assert_allclose(few.objective_, full.objective_, rtol=1e-9)
    if not isinstance(few, QuantileRegressor) and getattr(few, "p", 1.0) < math.inf:
        # Where residuals are tied, or few are largest, the optimum is at many points.
        np.testing.assert_allclose(few.predict(FORMATS[form](X)), full.predict(X), atol=1e-4)


FITTED = {
    "a constant": lambda X: np.full(len(X), 5.0),
    "nothing": lambda X: np.zeros(len(X)),
    "a line": lambda X: X @ np.arange(1.0, 1.0 + X.shape[1]),
    "a line far out": lambda X: X @ np.ones(X.shape[1]) + 1e6,
}


@pytest.mark.parametrize("alpha", [0.0, 1e-4])
@pytest.mark.parametrize("what", FITTED)
def test_huber_of_exact_fits_says_so(what, alpha):
    X = np.random.default_rng(0).standard_normal((100, 10))
    y = FITTED[what](X)
    model = HuberRegressor(alpha=alpha).fit(X, y)
    assert model.certificate_.met
    assert "norm of b" in model.certificate_.quantity
    np.testing.assert_allclose(model.predict(X), y, atol=1e-9 * max(1.0, abs(y).max()))
    assert model.n_iter_ < 30


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("form", FORMATS)
def test_huber_of_samples_that_most_are_fitted_exactly(form, weighted):
    rng = np.random.default_rng(3)
    for seed in range(12):
        X = GENERATORS["gaussian"](150, 4, seed)
        y = X @ [1.0, 2.0, 3.0, 4.0] + 5.0
        y[:30] += 100.0 * rng.standard_normal(30)
        w = rng.uniform(0.1, 3.0, 150) if weighted else None
        model = HuberRegressor(alpha=0.0).fit(FORMATS[form](X), y, sample_weight=w)
        assert model.certificate_.met
        np.testing.assert_allclose(model.coef_, [1.0, 2.0, 3.0, 4.0], atol=1e-6)
        assert model.outliers_[:30].all()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("alpha", [1e-8, 1e-4])
def test_huber_with_a_ridge_of_columns_that_depend_on_others_is_proved(alpha, form):
    """All columns of a factor beside an intercept, also where most targets of every level are the same."""
    rng = np.random.default_rng(7)
    for seed in range(12):
        n = int(rng.integers(60, 300))
        one_hot = np.eye(6)[np.minimum(rng.zipf(1.6, n) - 1, 5)]
        X = np.c_[one_hot, rng.standard_normal(n) * (rng.random(n) < 0.3)]
        y = (rng.poisson(0.4, n) * 1.0, (rng.random(n) < 0.3) * 1.0, X @ np.arange(7.0) + rng.laplace(size=n))
        assert HuberRegressor(alpha=alpha).fit(FORMATS[form](X), y[seed % 3]).certificate_.met, seed


def test_a_given_scale_is_taken_however_small():
    X, y = data(100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        model = HuberRegressor(scale=1e-3, alpha=0.0).fit(X, 1e20 * y)
    assert model.scale_ == 1e-3
    least = 2.7 * lp_regression(np.c_[X, np.ones(100)], 1e20 * y).objective
    assert least <= model.objective_ * (1.0 + 1e-9)
    assert model.objective_ * (1.0 - model.certificate_.bound) <= least * (1.0 + 1e-9)


def test_huber_of_fewer_samples_than_features():
    rng = np.random.default_rng(5)
    for n in (3, 8, 15):
        X, y = rng.standard_normal((n, 20)), rng.standard_normal(n)
        model = HuberRegressor().fit(X, y)
        assert model.certificate_.met
        np.testing.assert_allclose(model.predict(X), y, atol=1e-6)


@pytest.mark.parametrize("epsilon", [1.0, 1.0001, 1.01, 1.05])
def test_huber_near_one_is_least_absolute_deviations(epsilon):
    X, y = make_regression(100, 20, noise=1.0, random_state=0)
    model = HuberRegressor(epsilon=epsilon).fit(X, y)
    assert model.certificate_.met
    theirs = sklearn.linear_model.HuberRegressor(epsilon=max(epsilon, 1.0), max_iter=20_000, tol=1e-9)
    theirs.fit(X, y)
    other = reference.huber_objective(
        np.c_[X, np.ones(100)],
        y,
        np.r_[theirs.coef_, theirs.intercept_],
        theirs.scale_,
        epsilon,
        1e-4,
        free=1,
    )
    assert model.objective_ <= other * (1.0 + 1e-9)


@pytest.mark.parametrize("alpha", [0.0, 1e-4])
@pytest.mark.parametrize("epsilon", [1.0, 1.001])
def test_huber_near_one_of_many_samples_is_proved(epsilon, alpha):
    for seed in range(4):
        X, y = make_regression(3000, 10, noise=1.0, random_state=seed)
        model = HuberRegressor(epsilon=epsilon, alpha=alpha).fit(X, y)
        assert model.certificate_.met
        assert model.n_iter_ < 60


def test_a_grid_is_searched_over_levels():
    X, y = data(120)
    search = GridSearchCV(QuantileRegressor([0.1, 0.9]), {"alpha": [0.0, 100.0]}, cv=3).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_params_ == {"alpha": 0.0}
