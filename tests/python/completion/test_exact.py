"""Matrices without noise: found to the accuracy of the arithmetic, or told what of them is not."""

import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from reference.completion import core, noiseless

from nearlin import MatrixCompletion
from nearlin.exceptions import AccuracyWarning, GuaranteeWarning, InvalidInputError

N, K = 150, 3
ENTRIES = noiseless(N, K, 4.0)

not_guaranteed = pytest.mark.filterwarnings("ignore::nearlin.exceptions.GuaranteeWarning")
not_accurate = pytest.mark.filterwarnings("ignore::nearlin.exceptions.AccuracyWarning")


def exact(entries=ENTRIES, rank=K, **options):
    options = {"mode": "exact", "random_state": 0, "n_jobs": 1} | options
    return MatrixCompletion(rank, **options).fit(tuple(entries[:3]))


def error(model, truth=ENTRIES[3]):
    return np.nanmax(np.abs(model.reconstruct() - truth)) / np.sqrt(np.mean(truth**2))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"continuation": "rank"},
        {"continuation": "none"},
        {"init": "random"},
        {"solver": "cg"},
        {"solver": "cg", "preconditioner": "gram"},
        {"solver": "scaledgd"},
        {"validation_fraction": 0.0},
        {"rank": "auto"},
        {"rank": "auto", "continuation": "rank"},
    ],
)
def test_the_matrix_is_found_in_every_way(options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = exact(**options)
    assert model.status_ == "CONVERGED"
    assert model.converged_
    assert model.U_.shape[1] == K
    assert model.U_.dtype == np.float64
    assert error(model) < 1e-8
    assert model.certificate_.estimate < 1e-10
    assert model.certificate_.confidence == 1.0
    assert model.certificate_.met
    assert not model.row_bias_.any()
    assert model.mean_ == 0.0


def test_the_residual_is_that_of_the_entries():
    model = exact(tol=1e-3)
    left = model.predict(*ENTRIES[:2]) - ENTRIES[2]
    residual = np.linalg.norm(left) / np.linalg.norm(ENTRIES[2])
    assert model.certificate_.estimate == pytest.approx(residual, rel=1e-9)
    assert residual < 1e-3
    assert model.certificate_.estimate <= float(model.certificate_) < 1.0001 * residual
    # The last sweep, after which the rows are solved for once more.
    assert model.history_[-1] >= residual**2


@pytest.mark.parametrize("condition", [1e2, 1e4])
@pytest.mark.parametrize("continuation", ["ridge", "rank"])
def test_directions_with_small_singular_values_are_found_too(condition, continuation):
    entries = noiseless(N, K, 6.0, condition)
    model = exact(entries, continuation=continuation)
    assert model.status_ == "CONVERGED"
    # What is 1e-4 of the largest is there to four digits at least.
    assert error(model, entries[3]) < 1e-8
    assert model.certificate_.details["condition"]["value"] == pytest.approx(condition, rel=1e-3)
    assert model.certificate_.details["numerical_rank"]["value"] == K


@not_guaranteed
@not_accurate
@pytest.mark.parametrize("seed", range(4))
def test_what_is_not_determined_is_named_and_not_predicted(seed):
    rows, cols, values, truth = noiseless(N, K, 1.2, seed=seed)
    left = core(rows, cols, (N, N), K)
    assert 0 < np.count_nonzero(~left[0]) < N
    X = sp.coo_array((values, (rows, cols)), shape=(N, N)).tocsr()
    model = MatrixCompletion(K, mode="exact", random_state=0).fit(X)
    degrees = [np.bincount(index, minlength=N) for index in (rows, cols)]
    for status, kept, degree in zip((model.row_status_, model.col_status_), left, degrees, strict=True):
        assert np.array_equal(status == "undetermined", ~kept & (degree > 0))
        assert np.array_equal(status == "empty", degree == 0)
        assert np.array_equal(status == "determined", kept & (degree >= 2 * K))
    found = model.reconstruct()
    assert np.array_equal(np.isnan(found), ~np.outer(*left))
    i, j = np.indices((N, N)).reshape(2, -1)
    again, status = model.predict(i, j, return_status=True)
    assert np.array_equal(again.reshape(N, N), found, equal_nan=True)
    assert np.array_equal((status == "determined").reshape(N, N), np.outer(*left))
    assert set(status[np.outer(~left[0], left[1]).ravel()]) <= {"undetermined row", "empty row"}
    # What is predicted all the same is bounded, and agrees with the entries of rows that were peeled off.
    whole = model.reconstruct(minimum_norm=True)
    assert np.isfinite(whole).all()
    assert np.abs(whole).max() < 1e4 * np.abs(truth).max()
    half = (~left[0][rows]) & left[1][cols]
    assert np.abs(whole[rows[half], cols[half]] - values[half]).max() < 1e-6
    names, scores = model.top_n(np.arange(N), N)
    assert np.array_equal(np.isnan(scores).sum(axis=1) == N, ~left[0])
    assert left[1][names[np.isfinite(scores)]].all()


def test_the_warning_names_rows_and_columns():
    rows, cols, values, _ = ENTRIES
    names = np.array([f"row {i:03d}" for i in range(N)])
    few = np.concatenate([np.flatnonzero(rows != 7), np.flatnonzero(rows == 7)[: K - 1]])
    with pytest.warns(GuaranteeWarning, match="the rows row 007$"):
        model = exact((names[rows[few]], cols[few], values[few]))
    assert model.status_ == "CONVERGED"
    assert np.isnan(model.predict_row("row 007")).all()
    _, status = model.predict(["row 007", "row 008", "nobody"], [0, 0, 0], return_status=True)
    assert list(status) == ["undetermined row", "determined", "unknown row"]
    assert "rows: 0 empty, 1 undetermined, predicted as NaN" in model.explain()


def test_nothing_is_known_between_components():
    rows, cols, values, truth = ENTRIES
    twice = (
        np.concatenate([rows, rows + N]),
        np.concatenate([cols, cols + N]),
        np.concatenate([values, values]),
    )
    with pytest.warns(GuaranteeWarning, match="2 components"):
        model = exact(twice)
    found = model.reconstruct()
    assert np.isnan(found[:N, N:]).all()
    assert np.isnan(found[N:, :N]).all()
    for part in (slice(N), slice(N, 2 * N)):
        assert np.abs(found[part, part] - truth).max() < 1e-7
    _, status = model.predict([0, 0, N], [0, N, 0], return_status=True)
    assert list(status) == ["determined", "other component", "other component"]
    assert model.certificate_.details["components"]["value"] == 2


@not_guaranteed
def test_an_end_that_is_none_is_told():
    rows, cols, values, _ = ENTRIES
    noise = 1e-3 * np.random.default_rng(0).standard_normal(len(values))
    with pytest.warns(AccuracyWarning, match="does not fall any more"):
        model = exact((rows, cols, values + noise))
    assert model.status_ == "STALLED"
    assert model.n_iter_ < 120
    assert error(model) < 0.01
    assert model.certificate_.met is False
    with pytest.warns(AccuracyWarning, match="max_iter=5"):
        assert exact(max_iter=5).status_ == "MAX_ITER"
    # A rank that is too small.
    with pytest.warns(AccuracyWarning):
        assert exact(rank=K - 1).status_ == "STALLED"


@not_guaranteed
@pytest.mark.parametrize("seed", range(3))
def test_too_few_entries_are_no_silent_wrong_answer(seed):
    entries = noiseless(120, 5, 1.15, seed=seed)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model = exact(entries, rank=5, continuation="none")
    categories = {warning.category for warning in told}
    assert categories & {AccuracyWarning, GuaranteeWarning}
    assert model.status_ != "CONVERGED" or GuaranteeWarning in categories


@not_guaranteed
def test_rows_that_come_later_are_those_of_the_fit():
    rows, cols, values, _ = ENTRIES
    model = exact()
    X = sp.coo_array((values, (rows, cols)), shape=(N, N)).tocsr()
    assert np.abs(model.transform(X) - model.U_).max() < 1e-9
    few = X[:1].toarray()
    few[0, np.flatnonzero(few[0])[K - 1 :]] = 0.0
    seen = np.flatnonzero(few[0])
    found = model.transform(sp.csr_array(few))[0]
    assert np.allclose(found, np.linalg.pinv(model.V_[seen]) @ few[0, seen], atol=1e-9)


def test_no_bit_depends_on_threads_and_values_may_be_of_any_size():
    one = exact()
    for n_jobs in (2, 3):
        other = exact(n_jobs=n_jobs)
        assert np.array_equal(one.U_, other.U_)
        assert one.history_ == other.history_
    order = np.random.default_rng(1).permutation(len(ENTRIES[0]))
    shuffled = exact([part[order] for part in ENTRIES[:3]])
    assert np.array_equal(one.U_, shuffled.U_)
    for factor in (1e-30, 1e-3, 1e30):
        rows, cols, values, truth = ENTRIES
        scaled = exact((rows, cols, factor * values))
        assert scaled.n_iter_ == one.n_iter_
        assert np.abs(scaled.reconstruct() / factor - truth).max() < 1e-7


@not_guaranteed
@not_accurate
def test_bytes_keep_what_is_not_determined():
    rows, cols, values, _ = noiseless(N, K, 1.2)
    model = exact((rows, cols, values))
    twin = pickle.loads(pickle.dumps(model))
    assert np.array_equal(twin.reconstruct(), model.reconstruct(), equal_nan=True)
    assert np.isnan(twin.reconstruct()).any()
    assert np.array_equal(twin.row_status_, model.row_status_)
    assert twin.status_ == model.status_
    assert twin.certificate_ == model.certificate_
    assert twin.explain() == model.explain()


@not_guaranteed
def test_a_penalty_that_is_asked_for_stays():
    options = {"validation_fraction": 0.0, "max_iter": 2000}
    model = exact(reg=0.5, **options)
    assert model.status_ == "CONVERGED"
    assert model.certificate_.met is None
    assert 1e-3 < error(model) < 2.0
    smaller = exact(reg=0.05, **options)
    assert error(smaller) < 0.2 * error(model)


def test_coherent_matrices_are_flagged():
    entries = noiseless(N, K, 6.0, spikes=(1, 60.0))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model = exact(entries)
    assert any("carry the matrix" in str(warning.message) for warning in told)
    assert model.certificate_.details["coherent"] == {"value": True, "kind": "heuristic"}
    assert not exact().certificate_.details["coherent"]["value"]


def test_what_was_measured_is_marked_by_how_sure_it_is():
    details = exact().certificate_.details
    assert {item["kind"] for item in details.values()} == {"proven", "statistical", "heuristic"}
    assert details["gradient"]["value"] < 1e-9
    assert 0.0 < details["rate"]["value"] < 1.0
    assert details["theorem_share"]["value"] < 1.0
    assert details["incoherence_rows"]["value"] >= 1.0
    U = np.linalg.qr(exact().U_)[0]
    leverage = np.sum(U**2, axis=1)
    assert details["largest_leverage_rows"]["value"] == pytest.approx(leverage.max(), rel=1e-6)
    assert details["incoherence_rows"]["value"] == pytest.approx(leverage.max() * N / K, rel=1e-6)
    assert details["norm"]["value"] == pytest.approx(1.0, abs=0.2)


@not_accurate
@not_guaranteed
def test_more_components_than_there_are_do_no_harm_to_damped_steps():
    model = exact(noiseless(N, K, 10.0), rank=2 * K, solver="scaledgd", max_iter=400, tol=1e-7)
    assert model.status_ == "CONVERGED"
    assert model.certificate_.details["norm"]["value"] < 2.0
    history = np.array(model.history_)
    assert np.all(np.diff(history[-50:]) <= 1e-12)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mode": "robust"}, "`mode`"),
        ({"mode": "exact", "bias": True}, "`bias` is True"),
        ({"mode": "exact", "loss": "huber"}, "`loss` is 'huber'"),
        ({"mode": "exact", "nonnegative": True}, "`nonnegative` is True"),
        ({"continuation": "ridge"}, "`continuation` is 'ridge'"),
        ({"mode": "exact", "continuation": "slow"}, "`continuation`"),
        ({"rank": "all"}, "`rank`"),
        ({"rank": "auto", "reg": 0.5, "validation_fraction": 0.0}, "`rank` is to be chosen"),
    ],
)
def test_options_that_do_not_go_together(options, words):
    with pytest.raises(InvalidInputError, match=words):
        MatrixCompletion(**options).fit(tuple(ENTRIES[:3]))


def test_entries_that_come_later_are_not_for_matrices_without_noise():
    with pytest.raises(InvalidInputError, match="`mode` is 'exact'"):
        exact().partial_fit(tuple(ENTRIES[:3]))


@pytest.mark.parametrize("range_", [0.3, 3.0, 12.0, 150.0])
def test_weights_change_nothing_without_noise(range_):
    weights = 10.0 ** np.random.default_rng(0).uniform(-range_, range_, len(ENTRIES[0]))
    model = MatrixCompletion(K, mode="exact", random_state=0).fit(tuple(ENTRIES[:3]), sample_weight=weights)
    assert model.status_ == "CONVERGED"
    assert model.n_iter_ == exact().n_iter_
    assert error(model) < 1e-8


@not_guaranteed
def test_weights_of_any_size_go_with_a_penalty_that_grows_with_them():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        weights = rng.choice((1e-8, 1.0, 1e8), 64)
        for X in (np.full((4, 16), 5.0), rng.standard_normal((4, 16))):
            for reg in (None, 0.1):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", AccuracyWarning)
                    model = MatrixCompletion(1, mode="exact", reg=reg, reg_exponent=2.0, random_state=0)
                    model.fit(X, sample_weight=weights)
                assert np.isfinite(model.U_).all()
                assert np.isfinite(model.V_).all()


@not_guaranteed
@not_accurate
@pytest.mark.parametrize("solver", ["cg", "cholesky"])
def test_a_penalty_that_leaves_nothing_leaves_zeros(solver):
    for seed in range(12):
        rng = np.random.default_rng(seed)
        X = np.where(rng.random((13, 5)) < 0.7, rng.standard_normal((13, 5)), np.nan)
        for reg in (100.0, 1000.0):
            model = MatrixCompletion(3, mode="exact", reg=reg, solver=solver, random_state=0).fit(X)
            assert np.abs(model.reconstruct(minimum_norm=True)).max() < 1e-100
            assert np.abs(model.transform(X)).max() < 1e-100
            for twin in (model.copy(), pickle.loads(pickle.dumps(model))):
                assert np.array_equal(twin.U_, model.U_)


@not_guaranteed
def test_with_a_penalty_rows_with_few_entries_are_its_regressions():
    X = np.full((N, N), np.nan)
    X[ENTRIES[0], ENTRIES[1]] = ENTRIES[2]
    few = np.flatnonzero(~np.isnan(X[7]))[K - 1 :]
    X[7, few] = np.nan
    model = MatrixCompletion(K, mode="exact", reg=0.5, max_iter=2000, random_state=0).fit(X)
    assert model.row_status_[7] == "undetermined"
    seen = ~np.isnan(X[7])
    V = model.V_[seen]
    unit = np.sqrt(np.nanmean(X**2))
    expected = np.linalg.solve(V.T @ V + 0.5 * unit * np.eye(K), V.T @ X[7, seen])
    np.testing.assert_allclose(model.U_[7], expected, rtol=1e-8)
    np.testing.assert_allclose(model.transform(X[7:8])[0], expected, rtol=1e-8)


@pytest.mark.parametrize("tol", [0.0, 1e-16])
def test_what_rounding_leaves_is_an_end(tol):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = exact(tol=tol)
    assert model.status_ == "CONVERGED"
    assert model.certificate_.estimate < 1e-14
    assert "less than what rounding leaves" in model.certificate_.note


@not_accurate  # where much is free, sweeps are many
@pytest.mark.parametrize("seed", range(6))
def test_parts_that_hang_together_by_too_few_entries_are_not_determined_with_each_other(seed):
    rng = np.random.default_rng(seed)
    k, half = 3, 10
    truth = rng.standard_normal((20, k)) @ rng.standard_normal((k, 20))
    own = np.zeros((20, 20), dtype=bool)
    own[:half, : half + 1 + seed % 2] = True
    own[half:, half:] = True
    X = np.where(own, truth, np.nan)
    with pytest.warns(GuaranteeWarning, match="hang together by too few"):
        model = MatrixCompletion(k, mode="exact", random_state=0).fit(X)
    found = model.reconstruct()
    np.testing.assert_array_equal(np.isnan(found), ~own)
    np.testing.assert_allclose(found[own], truth[own], atol=1e-2)
    assert np.isfinite(model.reconstruct(minimum_norm=True)).all()
    assert model.certificate_.details["free_entries"]["value"]
    _, words = model.predict([0, 0, 19], [0, 19, 0], return_status=True)
    assert words.tolist() == ["determined", "undetermined entry", "undetermined entry"]
    for twin in (model.copy(), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(twin.reconstruct(), found)


def test_what_hangs_together_by_enough_entries_is_determined():
    rng = np.random.default_rng(1)
    truth = rng.standard_normal((40, 3)) @ rng.standard_normal((3, 30))
    X = np.where(rng.random(truth.shape) < 0.4, truth, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("error", GuaranteeWarning)
        model = MatrixCompletion(3, mode="exact", random_state=0).fit(X)
    np.testing.assert_allclose(model.reconstruct(), truth, atol=1e-7)
    assert not model.certificate_.details["free_entries"]["value"]
