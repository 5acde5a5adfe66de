"""SoftImpute and svt_denoise beside slow NumPy, and by what makes an answer of a convex problem the best."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from reference.completion import instance
from sklearn.base import clone

import nearlin
from nearlin import SoftImpute
from nearlin.exceptions import AccuracyWarning, InvalidInputError, NearlinError, StateError

SHAPE = (60, 45)
ROWS, COLS, VALUES, TRUTH = instance(SHAPE, 3, 0.5, biases=False)
X = np.full(SHAPE, np.nan)
X[ROWS, COLS] = VALUES
EXACT = {"rank": 45, "tol": 1e-13, "max_iter": 20_000, "random_state": 0, "n_jobs": 1}
quiet = pytest.mark.filterwarnings("ignore::nearlin.exceptions.AccuracyWarning")


def soft_impute(X, share, center, sweeps=3000):
    """Return Z by its definition, the largest penalty, and how far the objective is above the least."""
    seen = ~np.isnan(X)
    mean = X[seen].mean() if center else 0.0
    values = np.where(seen, X - mean, 0.0)
    largest = np.linalg.norm(values, 2)
    penalty, Z = share * largest, np.zeros(X.shape)
    for _ in range(sweeps):
        U, s, Vt = np.linalg.svd(np.where(seen, values, Z), full_matrices=False)
        s = np.maximum(s - penalty, 0.0)
        Z = (U * s) @ Vt
    left = np.where(seen, values - Z, 0.0)
    objective = 0.5 * np.sum(left**2) + penalty * s.sum()
    factor = min(1.0, penalty / np.linalg.norm(left, 2))
    dual = factor * np.sum(left * values) - 0.5 * factor**2 * np.sum(left**2)
    return Z, s[s > 0], largest, (objective - dual) / objective


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("share", [0.6, 0.15])
@pytest.mark.parametrize("method", ["als", "svd"])
@quiet
def test_the_answer_is_the_only_one_there_is(method, share, center):
    Z, values, largest, left = soft_impute(X, share, center)
    assert left < 1e-9
    model = SoftImpute(reg=share, method=method, center=center, **EXACT).fit(X)
    # The largest penalty is a bound, which hardly differs from the norm.
    assert 1.0 <= model.largest_reg_ / largest < 1.02
    Z, values, _, left = soft_impute(X, share * model.largest_reg_ / largest, center)
    np.testing.assert_allclose(model.singular_values_, values, atol=1e-4 * values[0])
    mean = VALUES.mean() if center else 0.0
    np.testing.assert_allclose(model.reconstruct() - mean, Z, atol=1e-3 * np.abs(Z).max())
    np.testing.assert_allclose(model.U_ @ model.V_.T + model.mean_, model.reconstruct(), atol=1e-10)
    np.testing.assert_allclose(model.U_.T @ model.U_, np.diag(model.singular_values_), atol=1e-8 * values[0])
    assert model.certificate_.estimate < 1e-5
    assert model.certificate_.estimate <= float(model.certificate_) < 0.05


@quiet
def test_the_gap_is_no_smaller_than_what_is_left_to_gain():
    best = SoftImpute(reg=0.2, **EXACT).fit(X)

    def objective(model):
        left = VALUES - model.predict(ROWS, COLS)
        return 0.5 * left @ left + 0.2 * model.largest_reg_ * model.singular_values_.sum()

    for max_iter in (1, 2, 4, 8):
        model = SoftImpute(reg=0.2, **EXACT | {"max_iter": max_iter}).fit(X)
        excess = objective(model) / objective(best) - 1.0
        gap = model.certificate_.estimate
        assert excess - 1e-9 <= gap
    assert gap < 1.0


def test_a_rank_that_is_too_small_for_the_answer_shows_in_the_gap():
    free = SoftImpute(reg=0.03, random_state=0).fit(X)
    assert len(free.singular_values_) > 3
    with pytest.warns(AccuracyWarning, match="rank=3 components leave the objective"):
        bound = SoftImpute(3, reg=0.03, random_state=0).fit(X)
    assert len(bound.singular_values_) == 3
    assert bound.certificate_.estimate > 10.0 * free.certificate_.estimate


def test_the_gap_is_relative_to_the_least_and_may_be_many_times_that():
    A = np.random.default_rng(0).standard_normal((12, 8))
    with pytest.warns(AccuracyWarning, match="more components or a larger penalty"):
        model = SoftImpute(2, reg=1e-3, center=False, random_state=0).fit(A)
    penalty = model.reg_ * model.largest_reg_
    objective = 0.5 * np.sum((A - model.reconstruct()) ** 2) + penalty * model.singular_values_.sum()
    U, s, Vt = np.linalg.svd(A, full_matrices=False)
    kept = np.maximum(s - penalty, 0.0)
    least = 0.5 * np.sum((A - (U * kept) @ Vt) ** 2) + penalty * kept.sum()
    assert objective > 100.0 * least
    assert model.certificate_.estimate >= objective / least - 1.0


@quiet
def test_the_penalty_is_chosen_on_held_out_entries_and_follows_the_units():
    model = SoftImpute(random_state=0).fit(X)
    errors = {reg: rmse for reg, _, _, rmse in model.path_}
    assert errors[model.reg_] == min(errors.values())
    assert 1e-3 < model.reg_ < 0.5
    assert model.certificate_.details["rmse_held_out"]["value"] == pytest.approx(errors[model.reg_])
    hidden = np.isnan(X)
    assert np.sqrt(np.mean((model.reconstruct() - TRUTH)[hidden] ** 2)) < 0.5 * TRUTH.std()
    for factor in (1e-6, 1e200):
        other = SoftImpute(random_state=0).fit(X * factor)
        assert other.reg_ == model.reg_
        np.testing.assert_allclose(other.reconstruct() / factor, model.reconstruct(), atol=1e-6)
    assert [rank for _, rank, _, _ in model.path_] == sorted(rank for _, rank, _, _ in model.path_)
    assert np.isnan(SoftImpute(reg=0.5, random_state=0).fit(X).path_[0][3])


def test_no_bit_depends_on_threads_order_or_form():
    expected = SoftImpute(reg=0.2, random_state=0, n_jobs=1).fit(X)
    order = np.random.default_rng(0).permutation(len(VALUES))
    forms = {
        "dense": X,
        "shuffled": (ROWS[order], COLS[order], VALUES[order]),
        "csr": sp.csr_array((VALUES, (ROWS, COLS)), shape=SHAPE),
        "pandas": pd.DataFrame({"a": ROWS[order], "b": COLS[order], "c": VALUES[order]}),
    }
    for form, entries in forms.items():
        for n_jobs in (1, 3):
            model = SoftImpute(reg=0.2, random_state=0, n_jobs=n_jobs).fit(entries)
            assert np.array_equal(model.U_, expected.U_), (form, n_jobs)
            assert np.array_equal(model.V_, expected.V_), (form, n_jobs)


def test_rows_that_come_later_are_those_of_the_fit():
    model = SoftImpute(reg=0.2, **EXACT | {"tol": 1e-12}).fit(X)
    np.testing.assert_allclose(model.transform(X), model.U_, atol=1e-3 * np.abs(model.U_).max())
    penalty = 0.2 * model.largest_reg_
    seen = ~np.isnan(X[5])
    V, values = model.V_[seen], X[5, seen] - model.mean_
    row = np.linalg.solve(V.T @ V + penalty * np.eye(V.shape[1]), V.T @ values)
    np.testing.assert_allclose(model.transform(X[5:6])[0], row, rtol=1e-9, atol=1e-12)
    assert model.score(X) == pytest.approx(-np.sqrt(np.mean((model.predict(ROWS, COLS) - VALUES) ** 2)))


def test_bytes_copies_and_pickles_are_the_same_model():
    model = SoftImpute(random_state=0).fit((ROWS, np.array([f"col {j:02d}" for j in COLS]), VALUES))
    for twin in (
        SoftImpute.from_bytes(model.to_bytes()),
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
    ):
        assert np.array_equal(twin.U_, model.U_)
        assert twin.path_ == model.path_
        assert twin.certificate_ == model.certificate_
        assert list(twin.col_ids_) == list(model.col_ids_)
        assert twin.to_bytes() == model.to_bytes()
    with pytest.raises(StateError):
        nearlin.MatrixCompletion.from_bytes(model.to_bytes())
    assert not hasattr(clone(model), "U_")
    assert "60 x 45" in model.explain()


@pytest.mark.parametrize("method", ["als", "svd"])
def test_one_sweep_that_leaves_nothing_to_gain_is_enough(method):
    whole = np.random.default_rng(0).standard_normal((12, 8))
    model = SoftImpute(reg=0.5, method=method, max_iter=1, random_state=0)
    if method == "svd":
        # Singular values less the penalty are the answer where nothing is missing.
        assert model.fit(whole).converged_
    holed = np.where(np.random.default_rng(1).random(whole.shape) < 0.4, np.nan, whole)
    with pytest.warns(AccuracyWarning, match="max_iter=1 "):
        model.fit(holed)
    assert not model.converged_


def test_at_the_largest_penalty_nothing_is_left():
    model = SoftImpute(reg=1.0, random_state=0).fit(X)
    assert len(model.singular_values_) == 0
    assert np.allclose(model.reconstruct(), VALUES.mean())
    assert float(model.certificate_) < 1e-9
    with pytest.warns(AccuracyWarning, match="max_iter=1 "):
        SoftImpute(reg=0.1, max_iter=1, random_state=0).fit(X)


@quiet
@pytest.mark.parametrize("method", ["als", "svd"])
@pytest.mark.parametrize("reg", [None, 0.1])
@pytest.mark.parametrize(
    "X", [([3], [5], [2.0]), ([0, 1, 2], [0, 1, 2], [1.0, 1.0, 1.0]), ([0, 0, 1], [0, 0, 1], [1.0, 2.0, 3.0])]
)
def test_very_few_entries_give_a_finite_model(X, reg, method):
    model = SoftImpute(reg=reg, method=method, random_state=0).fit(X)
    assert np.isfinite(model.reconstruct()).all()
    assert model.transform(np.full((2, len(model.col_ids_)), np.nan)).shape[0] == 2


@pytest.mark.parametrize(
    ("options", "entries", "words"),
    [
        ({"rank": 0}, X, "`rank`"),
        ({"reg": 0.0}, X, "`reg`"),
        ({"method": "admm"}, X, "`method`"),
        ({"center": 1}, X, "`center`"),
        ({"max_iter": 0}, X, "`max_iter`"),
        ({"tol": -1.0}, X, "`tol`"),
        ({"validation_fraction": 0.9}, X, "`validation_fraction`"),
        ({"validation_fraction": 0.0}, X, "`validation_fraction`"),
        ({}, np.full((2, 2), np.nan), "`X` has no observed entries"),
        ({}, np.array([[1.0, np.inf]]), "infinity"),
    ],
)
def test_what_is_refused(options, entries, words):
    with pytest.raises(NearlinError, match=words):
        SoftImpute(**options).fit(entries)


def noisy(shape, rank=3, seed=0):
    """Return a matrix with noise of deviation one, and the one without."""
    rng = np.random.default_rng(seed)
    U, V = (np.linalg.qr(rng.standard_normal((n, rank)))[0] for n in shape)
    truth = (U * (6.0 * np.sqrt(max(shape)) - 10.0 * np.arange(rank))) @ V.T
    return truth + rng.standard_normal(shape), truth


@pytest.mark.parametrize("shape", [(100, 100), (150, 60), (60, 150)])
@pytest.mark.parametrize("kind", ["hard", "soft"])
@pytest.mark.parametrize("sigma", [1.0, None])
def test_noise_is_taken_off_by_a_threshold(shape, kind, sigma):
    X, truth = noisy(shape)
    result = nearlin.svt_denoise(X, kind=kind, sigma=sigma)
    U, s, Vt = np.linalg.svd(X, full_matrices=False)
    np.testing.assert_allclose(result.singular_values, s, rtol=1e-10)
    assert result.rank == 3 == np.count_nonzero(s > result.tau)
    kept = np.where(s > result.tau, s - result.tau * (kind == "soft"), 0.0)
    np.testing.assert_allclose(result.matrix, (U * kept) @ Vt, atol=1e-9)
    assert np.std(result.matrix - truth) < (0.5 if kind == "soft" else 0.35)
    larger, ratio = max(shape), min(shape) / max(shape)
    if sigma and kind == "soft":
        assert result.tau == pytest.approx((1.0 + np.sqrt(ratio)) * np.sqrt(larger))
    if shape == (100, 100) and kind == "hard":
        assert result.tau == pytest.approx(40.0 / np.sqrt(3.0) if sigma else 2.858 * np.median(s), rel=2e-3)
    assert result.matrix.dtype == np.float64
    assert nearlin.svt_denoise(X.astype(np.float32)).matrix.dtype == np.float32
    given = nearlin.svt_denoise(X, s[0] - 1e-6)
    assert given.rank == 1
    assert "rank" in repr(given)


def test_probabilities_are_estimated_from_coins():
    # A graphon of two blocks, of which each entry is a coin that was thrown once, half of them not seen.
    rng = np.random.default_rng(0)
    truth = np.where(np.equal.outer(np.arange(300) % 2, np.arange(200) % 2), 0.8, 0.2)
    X = np.where(rng.random(truth.shape) < 0.5, rng.random(truth.shape) < truth, np.nan)
    result = nearlin.svt_denoise(X)
    assert result.rank == 1
    assert np.all((result.matrix >= 0.0) & (result.matrix <= 1.0))
    assert np.sqrt(np.mean((result.matrix - truth) ** 2)) < 0.08
    # The threshold that is proven to do so is higher.
    assert result.tau < 2.1 * np.sqrt(300 * np.mean(~np.isnan(X))) * 0.5 < result.singular_values[0]
    soft = nearlin.svt_denoise(X, kind="soft")
    assert np.sqrt(np.mean((soft.matrix - truth) ** 2)) < 0.3


@pytest.mark.parametrize("share", [0.2, 0.5])
@pytest.mark.parametrize("sigma", [None, 0.1])
def test_the_rank_of_a_matrix_with_gaps_is_found(share, sigma):
    rng = np.random.default_rng(3)
    truth = rng.standard_normal((100, 2)) @ rng.standard_normal((2, 80))
    X = np.where(rng.random(truth.shape) < share, np.nan, truth + 0.1 * rng.standard_normal(truth.shape))
    result = nearlin.svt_denoise(X, sigma=sigma)
    assert result.rank == 2
    assert np.std(result.matrix - truth) < 0.5 * truth.std()
    larger = nearlin.svt_denoise(1e200 * X, sigma=sigma and 1e199)
    np.testing.assert_allclose(larger.matrix / 1e200, result.matrix, rtol=1e-9, atol=1e-9)


def test_what_the_denoiser_refuses():
    for options, words in (
        ({"tau": -1.0}, "`tau`"),
        ({"sigma": -1.0}, "`sigma`"),
        ({"kind": "firm"}, "`kind`"),
    ):
        with pytest.raises(InvalidInputError, match=words):
            nearlin.svt_denoise(TRUTH, **options)
    with pytest.raises(InvalidInputError, match="one row or column"):
        nearlin.svt_denoise(X[:1])
    assert nearlin.svt_denoise(np.array([[3.0, 4.0]]), sigma=0.1).rank == 1
    for X_, words in (
        (np.full((2, 2), np.nan), "no entries"),
        (np.array([[1.0, np.inf]]), r"infinity at \[0, 1\]"),
        (sp.csr_array(np.eye(3)), "is sparse"),
        (np.zeros(3), "`X`"),
    ):
        with pytest.raises(NearlinError, match=words):
            nearlin.svt_denoise(X_)
