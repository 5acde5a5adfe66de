"""LowRankImputer: what it fills in, what it leaves alone, and what scikit-learn says of it."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from nearlin import LowRankImputer, MatrixCompletion
from nearlin.exceptions import AccuracyWarning, InvalidInputError, InvalidTypeError, NearlinError

# The cells are an iterator in scikit-learn up to 1.8.
CONFORMITY = parametrize_with_checks(
    [
        LowRankImputer(random_state=0),
        LowRankImputer(2, reg=0.3, bias=False, add_indicator=True, keep_empty_features=True, random_state=0),
    ]
).mark


@pytest.mark.parametrize(CONFORMITY.args[0], list(CONFORMITY.args[1]), **CONFORMITY.kwargs)
def test_conforms_to_scikit_learn(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        check(estimator)


def table(shape=(400, 30), rank=4, share=0.3, noise=0.1, seed=0):
    """Return a table with gaps, columns of very different units, and the whole one."""
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1]))
    truth += noise * rng.standard_normal(shape)
    truth = truth * 10.0 ** rng.integers(-3, 4, shape[1]) + 10.0 ** rng.integers(-1, 3, shape[1])
    return np.where(rng.random(shape) < share, np.nan, truth), truth


X, TRUTH = table()
MISSING = np.isnan(X)


def error(filled, X=X, truth=TRUTH):
    """Return the root mean square error of what was filled in, in standard deviations of the columns."""
    relative = (filled - truth) / truth.std(axis=0)
    return np.sqrt(np.mean(relative[np.isnan(X)] ** 2))


def quick(**options):
    return LowRankImputer(**({"rank": 4, "reg": 0.1, "bias": True, "random_state": 0} | options))


def test_only_gaps_are_filled_and_better_than_by_means():
    before = X.copy()
    imputer = LowRankImputer(random_state=0)
    filled = imputer.fit_transform(X)
    assert np.array_equal(X, before, equal_nan=True)
    assert np.array_equal(filled[~MISSING], X[~MISSING])
    # The noise alone is a twentieth.
    assert error(filled) < 0.08
    assert error(SimpleImputer().fit_transform(X)) > 0.9
    assert np.array_equal(imputer.transform(X), filled)
    assert np.array_equal(imputer.transform(X[17:19]), filled[17:19])
    assert np.array_equal(imputer.transform(TRUTH), TRUTH)
    assert 3 <= imputer.rank_ <= 8
    assert (imputer.rank_, imputer.reg_, imputer.bias_) in {tried[:3] for tried in imputer.path_}
    assert imputer.path_[-1][3] == min(found for *_, found in imputer.path_)
    assert {bias for _, _, bias, _ in imputer.path_} == {True, False}


def test_the_bound_holds_the_error_of_what_is_missing():
    bounds, errors = [], []
    for seed in range(10):
        holed, truth = table(seed=seed)
        imputer = quick(bias=False, validation_fraction=0.1, random_state=seed).fit(holed)
        bounds.append(float(imputer.certificate_))
        errors.append(error(imputer.transform(holed), holed, truth))
        assert "interval" not in imputer.certificate_.details
    # The model that fills in has seen a tenth more than the one whose error it is.
    assert sum(error < bound for error, bound in zip(errors, bounds, strict=True)) >= 9
    assert np.mean(bounds) < 1.3 * np.mean(errors)
    assert "standard deviations" in str(imputer.certificate_)
    assert np.isnan(float(quick(validation_fraction=0.0).fit(X).certificate_))


def test_filled_rows_are_the_regressions_of_the_model():
    imputer = quick().fit(X)
    standard = (X - np.nanmean(X, axis=0)) / np.nanstd(X, axis=0)
    np.testing.assert_allclose(imputer.mean_, np.nanmean(X, axis=0), rtol=1e-12)
    np.testing.assert_allclose(imputer.scale_, np.nanstd(X, axis=0), rtol=1e-9)
    factor, bias = imputer.model_.transform(standard, return_bias=True)
    model = imputer.model_
    expected = factor @ model.V_.T.astype(float) + bias[:, np.newaxis] + model.col_bias_ + model.mean_
    expected = expected * np.nanstd(X, axis=0) + np.nanmean(X, axis=0)
    np.testing.assert_allclose(imputer.transform(X)[MISSING], expected[MISSING], rtol=1e-9, atol=1e-12)
    alone = MatrixCompletion(4, reg=0.1, max_iter=100, random_state=0).fit(standard)
    assert imputer.bias_
    np.testing.assert_allclose(alone.V_, model.V_, rtol=1e-4, atol=1e-5)


def test_results_follow_the_units_of_the_columns():
    one = quick().fit_transform(X)
    for power in (-300, 290):
        other = quick().fit_transform(X * 10.0**power)
        np.testing.assert_allclose(other / 10.0**power, one, rtol=1e-5, atol=1e-6)
    plain = quick(standardize=False).fit(X)
    assert np.all(plain.scale_ == 1.0)


@pytest.mark.parametrize("marker", [np.nan, -1.0, 0])
def test_missing_values_may_be_any_number(marker):
    filled = quick(missing_values=marker).fit_transform(np.where(MISSING, marker, X))
    assert np.array_equal(filled, quick().fit_transform(X))


def test_missing_values_may_be_those_of_python_and_pandas():
    expected = quick().fit_transform(X)
    objects = X.astype(object)
    objects[MISSING] = None
    assert np.array_equal(quick(missing_values=None).fit_transform(objects), expected)
    frame = pd.DataFrame(X).astype("Float64")
    assert frame.iloc[0, np.flatnonzero(MISSING[0])[0]] is pd.NA
    assert np.array_equal(quick(missing_values=pd.NA).fit_transform(frame), expected)


def test_frames_come_back_as_frames_with_names():
    names = [f"column {j}" for j in range(X.shape[1])]
    expected = quick().fit_transform(X)
    frame = pd.DataFrame(X, columns=names, index=np.arange(len(X)) + 7)
    for form, output in ((frame, "pandas"), (pl.DataFrame(dict(zip(names, X.T, strict=True))), "polars")):
        imputer = quick(add_indicator=True).set_output(transform=output)
        found = imputer.fit(form).transform(form)
        assert list(found.columns) == [*names, *(f"missingindicator_{name}" for name in names)]
        assert np.array_equal(found.to_numpy()[:, : X.shape[1]], expected)
        assert np.array_equal(found.to_numpy()[:, X.shape[1] :], MISSING)
        with pytest.raises(InvalidInputError, match="feature names"):
            imputer.transform(
                form.rename(columns={names[0]: "else"}) if output == "pandas" else form[:, ::-1]
            )
    integers = pd.DataFrame({"a": [1, 2, None, 4, 5], "b": [2, None, 6, 8, 10]}, dtype="Int64")
    assert np.isfinite(quick(rank=1).fit_transform(integers)).all()


def test_columns_without_values_go_or_stay():
    holed = X[:, :6].copy()
    holed[:, [0, 4]] = np.nan
    gone = quick().fit(holed)
    assert list(gone.get_feature_names_out()) == ["x1", "x2", "x3", "x5"]
    kept = quick(keep_empty_features=True).fit(holed)
    filled = kept.transform(holed)
    assert np.array_equal(filled[:, [1, 2, 3, 5]], gone.transform(holed))
    assert not filled[:, [0, 4]].any()
    assert np.array_equal(kept.transform(TRUTH[:, :6]), TRUTH[:, :6])
    assert np.array_equal(gone.transform(TRUTH[:, :6]), TRUTH[:, [1, 2, 3, 5]])


def test_columns_that_never_vary_change_nothing():
    plain, values = LowRankImputer(random_state=0).fit(X), np.full((len(X), 3), 5.0)
    values[MISSING[:, :3]] = np.nan
    one = np.where(np.arange(len(X)) == 7, 3.0, np.nan)
    for holed, own in (
        (np.c_[X, values], slice(30)),
        (np.c_[values, X], slice(3, 33)),
        (np.c_[X, one], slice(30)),
    ):
        imputer = LowRankImputer(random_state=0).fit(holed)
        filled = imputer.transform(holed)
        assert np.array_equal(filled[:, own], plain.transform(X))
        assert imputer.certificate_ == plain.certificate_
        assert np.all(np.delete(filled, np.r_[own], axis=1) == (3.0 if holed.shape[1] == 31 else 5.0))


def test_biases_are_taken_where_they_help():
    rng = np.random.default_rng(0)
    product = rng.standard_normal((400, 3)) @ rng.standard_normal((3, 10))
    noise = 0.5 * rng.standard_normal(product.shape)
    missing = rng.random(product.shape) < 0.2
    for truth, best in ((product + noise, False), (4.0 * rng.standard_normal((400, 1)) + noise, True)):
        holed = np.where(missing, np.nan, truth)
        errors = {}
        for bias in (True, False, "auto"):
            imputer = LowRankImputer(bias=bias, random_state=0).fit(holed)
            errors[bias] = error(imputer.transform(holed), holed, truth)
            assert imputer.bias_ == (best if bias == "auto" else bias)
        assert errors["auto"] < 1.05 * min(errors.values())
        assert best or errors["auto"] < 0.97 * errors[True]


@pytest.mark.parametrize("seed", [59, *range(10)])
@pytest.mark.parametrize("rank", [1, 5])
def test_without_a_penalty_hardly_determined_columns_are_filled_too(seed, rank):
    rng = np.random.default_rng(seed)
    holed = rng.standard_normal((24, 6))
    holed[rng.random(holed.shape) < 0.5] = np.nan
    two = np.where(np.arange(24) == 0, 1.0, np.where(np.arange(24) == 5, 2.0, np.nan))
    for column in (two, np.r_[1.0, np.full(23, np.nan)]):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AccuracyWarning)
            filled = LowRankImputer(rank, reg=0.0, random_state=0).fit_transform(np.c_[holed, column])
        assert np.isfinite(filled).all()


def test_a_column_that_never_varies_is_filled_with_its_value():
    holed = X[:, :6].copy()
    holed[~MISSING[:, 2], 2] = 7.0
    filled = quick().fit_transform(holed)
    assert np.all(filled[:, 2] == 7.0)
    others = [0, 1, 3, 4, 5]
    assert np.ptp(filled[:, others][MISSING[:, others]]) > 0.0


@pytest.mark.parametrize("rank", [1, "auto"])
def test_little_is_filled_with_something_finite(rank):
    for holed in (
        [[1.0, np.nan], [np.nan, 2.0]],
        [[1.0]],
        [[1.0, 1.0], [1.0, np.nan], [np.nan, np.nan]],
        np.where(np.eye(5) > 0, np.nan, 3.0),
        [[1e300, np.nan, 1e-300], [-1e300, 2.0, 3e-300], [np.nan, 1.0, np.nan]],
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AccuracyWarning)
            filled = LowRankImputer(rank, random_state=0).fit_transform(holed)
        assert np.isfinite(filled).all()
    assert np.array_equal(quick().fit([[1.0, 4.0], [3.0, 6.0]]).transform([[np.nan, np.nan]]), [[2.0, 5.0]])


def test_no_bit_depends_on_threads_and_float32_stays():
    one = LowRankImputer(random_state=0, n_jobs=1).fit_transform(X)
    assert np.array_equal(LowRankImputer(random_state=0, n_jobs=3).fit_transform(X), one)
    single = LowRankImputer(random_state=0).fit_transform(X.astype(np.float32))
    assert single.dtype == np.float32
    assert np.all(np.abs(single - one) < 0.01 * np.ptp(one, axis=0))


def test_works_in_pipelines_searches_and_pickles():
    y = np.nan_to_num(TRUTH / TRUTH.std(axis=0)) @ np.ones(TRUTH.shape[1])
    pipeline = make_pipeline(quick(), Ridge())
    grid = GridSearchCV(pipeline, {"lowrankimputer__rank": [1, 4]}, cv=3).fit(X, y)
    assert grid.best_params_ == {"lowrankimputer__rank": 4}
    imputer = quick().fit(X)
    twin = pickle.loads(pickle.dumps(imputer))
    assert np.array_equal(twin.transform(X), imputer.transform(X))
    assert twin.certificate_ == imputer.certificate_
    assert not hasattr(clone(imputer), "model_")
    assert "rank 4, reg 0.1, with biases, as given" in imputer.explain()
    assert "the best of" in LowRankImputer(2, random_state=0).fit(X).explain()


@pytest.mark.parametrize(
    ("options", "table", "words"),
    [
        ({"rank": 0}, X, "`rank`"),
        ({"rank": "all"}, X, "`rank`"),
        ({"reg": -1.0}, X, "`reg`"),
        ({"bias": 1}, X, "`bias`"),
        ({"missing_values": "?"}, X, "`missing_values`"),
        ({"missing_values": 0.0}, X, "`X` contains NaN"),
        ({"add_indicator": 1}, X, "`add_indicator`"),
        ({"validation_fraction": 0.0, "rank": "auto"}, X, "`validation_fraction`"),
        ({"max_iter": 0}, X, "`max_iter`"),
        ({}, np.full((3, 2), np.nan), "`X` has no values"),
        ({}, np.array([[1.0, np.inf]]), "`X`: Input X contains infinity"),
        ({}, [["a", "b"]], "`X`"),
        ({}, np.zeros(3), "`X`"),
    ],
)
def test_what_is_refused(options, table, words):
    with pytest.raises(NearlinError, match=words):
        quick(**options).fit(table)


def test_sparse_tables_are_refused_with_a_word_of_advice():
    with pytest.raises(InvalidTypeError, match="MatrixCompletion"):
        quick().fit(sp.csr_array(np.eye(4)))
    with pytest.raises(InvalidTypeError, match="sparse"):
        quick().fit(pd.DataFrame.sparse.from_spmatrix(sp.csr_array(np.eye(4))))
