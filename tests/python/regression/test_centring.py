"""Ranks, coefficients and means under an intercept, where columns or combinations of them are constant."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose
from reference import one_hot
from sklearn.datasets import load_digits
from sklearn.linear_model import LinearRegression as Peer

from nearlin import LinearRegression, Ridge, RidgeCV, lstsq

Array = npt.NDArray[Any]

METHODS = ["auto", "qr", "gram", "whitened", "spir", "cg"]


def test_frames_of_factors_have_their_rank_and_the_least_norm() -> None:
    for seed in range(20):
        one_hot.check(one_hot.Frame(seed, 5e5))
    # What QR leaves of the null vector of 235 levels is more than of few.
    one_hot.check(one_hot.Frame(1299, 2e9))


def test_answers_of_wide_factors_are_as_good_as_those_of_tall_ones() -> None:
    """The move to the least norm rounds, and what it rounds is mended."""
    rng = np.random.default_rng(10227)
    for n in (90, 122, 160):
        X = sp.hstack([one_hot.one_hot(rng, n, levels) for levels in (2, 258, 143)]).toarray()
        model = LinearRegression().fit(X, X @ rng.standard_normal(403) + rng.standard_normal(n))
        assert model.certificate_.estimate <= 4 * 2.0**-53


@pytest.mark.filterwarnings("ignore::nearlin.exceptions.FallbackWarning")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("levels", [2, 3, 10])
def test_one_factor_lacks_a_rank(levels: int, method: str) -> None:
    rng = np.random.default_rng(levels)
    X = one_hot.one_hot(rng, 20_000 if levels == 3 else 2000, levels).toarray()
    y = X @ np.arange(levels) + rng.standard_normal(len(X))
    for weights in (None, rng.random(len(X)) + 0.1):
        rank, slopes, _ = one_hot.least_norm(X, y, weights)
        assert rank == levels - 1
        fits = [LinearRegression(method=method), Ridge(0.0, method=method)]
        for model in [fit.fit(X, y, sample_weight=weights) for fit in fits]:
            assert model.rank_ == rank
            assert_allclose(model.coef_, slopes, rtol=1e-9)


def test_combinations_that_are_constant_lack_a_rank() -> None:
    rng = np.random.default_rng(1)
    X = rng.random((20_000, 3))
    X = np.c_[X, X[:, 2] + 2]
    y = X @ [1.0, 2.0, 3.0, 4.0] + rng.standard_normal(len(X))
    model, peer = LinearRegression().fit(X, y), Peer().fit(X, y)
    assert model.rank_ == 3
    assert_allclose(model.coef_, peer.coef_, rtol=1e-8)
    age = rng.integers(18, 90, 5000).astype(float)
    model = LinearRegression().fit(np.c_[age, 2024 - age], age)
    assert model.rank_ == 1
    assert_allclose(model.coef_, [0.5, -0.5], rtol=1e-12)
    # Means that are a million times the spread: rounding is relative to the means.
    stamps = 1.7e18 + 1e12 * rng.random(5000)
    X = np.c_[stamps, stamps + 2.0**40, rng.standard_normal(5000)]
    assert LinearRegression().fit(X, X[:, 2]).rank_ == 2


@pytest.mark.filterwarnings("ignore::nearlin.exceptions.FallbackWarning")
@pytest.mark.parametrize("value", [1.0, 0.1, 1 / 3, 3.7, 100.0, 1e10, 1e-8, -0.1])
def test_a_constant_column_is_left_out_and_named(value: float) -> None:
    rng = np.random.default_rng(2)
    for n in (50, 20_000 if value == 0.1 else 2000):
        data = rng.standard_normal((n, 3))
        y = data @ [1.0, 2.0, 3.0] + 5 + rng.standard_normal(n)
        X = np.c_[data[:, :1], np.full(n, value), data[:, 1:]]
        for weights in (None, rng.random(n) + 0.1):
            right = LinearRegression().fit(data, y, sample_weight=weights)
            for form in (np.asarray, np.asfortranarray, sp.csr_array, sp.csc_array):
                model = LinearRegression().fit(form(X), y, sample_weight=weights)
                assert model.rank_ == 3
                assert model.constant_features_.tolist() == [1]
                assert model.coef_[1] == 0.0
                assert_allclose(model.coef_[[0, 2, 3]], right.coef_, rtol=1e-12)
                assert_allclose(model.intercept_, right.intercept_, rtol=1e-12)
    for method in [*METHODS, "lsmr"]:
        model = LinearRegression(method=method).fit(X, y, sample_weight=weights)
        assert model.coef_[1] == 0.0
        assert_allclose(model.coef_[[0, 2, 3]], right.coef_, rtol=1e-9)
    alphas = [1e-2, 1.0]
    assert_allclose(RidgeCV(alphas).fit(X, y).loo_error_, RidgeCV(alphas).fit(data, y).loo_error_, rtol=1e-9)


@pytest.mark.parametrize(("spread", "rank"), [(1e-6, 2), (1e-10, 2), (1e-15, 1), (0.0, 1)])
def test_spread_is_data_down_to_rounding(spread: float, rank: int) -> None:
    rng = np.random.default_rng(3)
    z = rng.standard_normal((5000, 2))
    X = np.c_[z[:, 0], 1 + spread * z[:, 1]]
    model = LinearRegression().fit(X, z.sum(axis=1))
    assert model.rank_ == rank
    assert model.constant_features_.tolist() == ([] if rank == 2 else [1])


def test_weights_of_any_size() -> None:
    rng = np.random.default_rng(4)
    X, y = rng.standard_normal((400, 3)) + 2, rng.standard_normal(400)
    right = LinearRegression().fit(X, y)
    for weight in (1.7e308, 1e-300, 3.0):
        model = LinearRegression().fit(X, y, sample_weight=np.full(400, weight))
        assert_allclose(model.coef_, right.coef_, rtol=1e-11)
        assert_allclose(model.intercept_, right.intercept_, rtol=1e-11)


def test_the_rank_does_not_depend_on_the_targets() -> None:
    for A in (np.ones((50, 3)), sp.csr_array(np.ones((50, 3)))):
        for b in (np.zeros(50), np.ones(50)):
            assert lstsq(A, b, ridge=1.0).rank == 3
            assert lstsq(A, b).rank == 1


@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("n", [100, 20_000])
@pytest.mark.parametrize("others", [(0, 1, 2), (0, 1.1, 0), (-1, 1, 0)], ids=["shift", "multiple", "sum"])
def test_what_rounding_to_single_precision_leaves_is_no_direction(others, n, layout):
    rng = np.random.default_rng(n)
    X = rng.standard_normal((n, 4)).astype(np.float32)
    first, second, shift = np.float32(others)
    X[:, 3] = first * X[:, 1] + second * X[:, 2] + shift
    y = (X @ np.arange(1.0, 5.0) + rng.standard_normal(n)).astype(np.float32)
    with_ones = np.column_stack([X, np.ones(n, np.float32)])
    model = LinearRegression(random_state=0).fit(layout(X), y)
    assert model.rank_ == 3
    assert abs(model.coef_).max() < 10
    assert Ridge(0.0, random_state=0).fit(layout(X), y).rank_ == 3
    assert lstsq(layout(with_ones), y, rng=0, verify=True).rank == 4
    assert lstsq(layout(with_ones), y, rng=0, rcond=1e-14).rank == 5
    assert LinearRegression(random_state=0).fit(layout(X.astype(float)), y.astype(float)).rank_ == 4


@pytest.mark.filterwarnings("ignore::nearlin.exceptions.FallbackWarning")
@pytest.mark.parametrize("method", ["auto", "qr", "gram", "whitened", "spir", "fossils", "lsmr"])
@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array, sp.csc_array])
@pytest.mark.parametrize("model", [LinearRegression, Ridge])
def test_columns_of_zeros_are_constant(model: Any, layout: Any, method: str) -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 3, (60, 9)).astype(float)
    a[:, [0, 4]] = 0.0
    a[:, 5] = a[:, 6]  # what is nearly decided by rounding must not reach the zeros
    fit = model(method=method, random_state=1).fit(layout(a), rng.standard_normal(60))
    assert fit.constant_features_.tolist() == [0, 4]
    assert fit.coef_[[0, 4]].tolist() == [0.0, 0.0]
    # Columns that are zero where rows count.
    weights = np.ones(60)
    weights[:3] = 0.0
    a[:3, 0] = 7.0
    fit = model(method=method, random_state=1).fit(layout(a), rng.standard_normal(60), sample_weight=weights)
    assert fit.constant_features_.tolist() == [0, 4]
    assert fit.coef_[[0, 4]].tolist() == [0.0, 0.0]


def test_blank_pixels_are_constant() -> None:
    digits, target = load_digits(return_X_y=True)
    fit = LinearRegression(random_state=0).fit(digits, target)
    assert fit.constant_features_.tolist() == [0, 32, 39]
    assert fit.coef_[[0, 32, 39]].tolist() == [0.0, 0.0, 0.0]
    assert fit.rank_ == np.linalg.matrix_rank(digits - digits.mean(axis=0))
