"""Sparse rows are never made dense: neither time nor memory grows with the columns that are empty."""

import sys
import warnings

import numpy as np
import pytest
import scipy.sparse
from reference import layouts, sparse

import nearlin
from nearlin.exceptions import AccuracyWarning, FallbackWarning

linux = pytest.mark.skipif(sys.platform != "linux", reason="limits on the address space")


@linux
@pytest.mark.slow
@pytest.mark.parametrize("layout", ["csr_array", "csc_array"])
def test_more_columns_than_a_factor_has_memory_for(layout):
    found = sparse.alone(f"""
A = scipy.sparse.{layout}(sparse.uniform(60_000, 30_000, 3))
rng = np.random.default_rng(1)
b, weight = rng.standard_normal(60_000), rng.uniform(0.5, 2.0, 60_000)
left(0.6)
found = {{}}
x = nearlin.lstsq(A, b, rng=0).x
found["lstsq"] = sparse.steepness(A, b, x)
model = nearlin.Ridge().fit(A, b)
found["ridge"] = sparse.steepness(A, b, model.coef_, ridge=1.0, intercept=model.intercept_)
model = nearlin.LinearRegression().fit(A, b, sample_weight=weight)
root = np.sqrt(weight)
found["weighted"] = sparse.steepness(
    scipy.sparse.csr_array(A * root[:, None]), root * (b - model.intercept_), model.coef_)
print(json.dumps(found))
""")
    assert max(found.values()) < 1e-14


@linux
@pytest.mark.parametrize("method", ["qr", "gram", "whitened", "spir", "fgmres_wlsir"])
def test_a_method_that_needs_a_factor_says_that_there_is_no_memory(method):
    message = sparse.alone(f"""
A = sparse.uniform(130_000, 30_000, 3)
left(0.6)
b = np.ones(130_000)
try:
    nearlin.lstsq(A, b, method={method!r})
except nearlin.exceptions.AllocationError as error:
    print(json.dumps(str(error)))
""")
    assert message.startswith("could not allocate")


@pytest.mark.parametrize("n", [2_000, 10_000, 40_000])
def test_a_limit_on_lsmr_limits_the_work(n):
    """QR would take minutes; whoever sets a limit gets what there is by then."""
    A, b = sparse.uniform(n, 20_000, 200_000 // n), np.arange(n) % 7.0
    errors = []
    for max_iter in [5, 20]:
        with pytest.warns(AccuracyWarning, match="a larger max_iter or another method may do better"):
            result = nearlin.lstsq(A, b, method="lsmr", max_iter=max_iter, rng=0)
        assert (result.method, result.certificate.met) == ("lsmr", False)
        assert result.n_iter == max_iter
        errors.append(sparse.steepness(A, b, result.x))
    assert errors[1] < 0.5 * errors[0] < 0.01


# In all: d > n, a column and rows of zeros, stored zeros, and more.
NEIGHBOURS = {
    "tall": (60, 5),
    "wide": (12, 60),
    "one row": (1, 7),
    "one column": (40, 1),
    "square": (9, 9),
}
FORMS = {
    "CSC": scipy.sparse.csc_array,
    "CSR, 64 bits": layouts.of_64_bits,
    "duplicates, unsorted": layouts.doubled,
    "stored zeros": lambda A: scipy.sparse.csr_array(
        (A.ravel(), np.tile(np.arange(A.shape[1]), len(A)), A.shape[1] * np.arange(len(A) + 1)), shape=A.shape
    ),
    "float32": lambda A: scipy.sparse.csr_array(A.astype(np.float32)),
    "int8": lambda A: scipy.sparse.csc_array(A.astype(np.int8)),
    "bool": lambda A: scipy.sparse.csr_array(A.astype(bool)),
}
FITS = {
    "lstsq": lambda A, b, w: nearlin.lstsq(A, b, sample_weight=w, rng=0),
    "lsmr": lambda A, b, w: nearlin.lstsq(A, b, sample_weight=w, method="lsmr", rng=0),
    "LinearRegression": lambda A, b, w: nearlin.LinearRegression().fit(A, b, w),
    "without intercept": lambda A, b, w: nearlin.LinearRegression(fit_intercept=False).fit(A, b, w),
    "by lsmr": lambda A, b, w: nearlin.LinearRegression(method="lsmr").fit(A, b, w),
    "Ridge": lambda A, b, w: nearlin.Ridge(0.1).fit(A, b, w),
    "RidgeCV": lambda A, b, w: nearlin.RidgeCV([0.1, 10.0]).fit(A, b, w),
}


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("form", FORMS)
def test_sparse_answers_are_those_of_dense_data(form, fit):
    rng = np.random.default_rng(0)
    for name, (n, d) in NEIGHBOURS.items():
        # Deficient ranks are where lsmr says that there may be shorter answers.
        if (fit == "RidgeCV" and n == 1) or ("lsmr" in fit and name in ("wide", "square")):
            continue
        A = rng.integers(-4, 5, (n, d)) * (rng.random((n, d)) < 0.5).astype(float)
        A[n // 2 : n // 2 + 2] *= n < 3
        A[:, d // 2] *= d < 3
        A = A.astype(bool).astype(float) if form == "bool" else A
        for k, weighted in [((), False), ((1,), True), ((3,), True)]:
            b = rng.standard_normal((n, *k)).astype(np.float32 if form == "float32" else float)
            w = np.arange(n) % 3 + (n == 1) if weighted else None
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", (FallbackWarning, AccuracyWarning))
                found, expected = (FITS[fit](form_of(A), b, w) for form_of in (FORMS[form], np.asarray))
            # The search for the shortest answer is as exact as the condition and no more.
            tolerance = 2e-5 if form == "float32" else 1e-6 if "lsmr" in fit else 1e-10
            pairs = (
                [(found.x, expected.x)]
                if hasattr(found, "x")
                else [
                    (found.coef_, expected.coef_),
                    (found.intercept_, expected.intercept_),
                    (found.predict(FORMS[form](A)), expected.predict(A)),
                ]
            )
            for left, right in pairs:
                size = max(np.abs(right).max(), 1e-3)
                np.testing.assert_allclose(left, right, rtol=0, atol=tolerance * size, err_msg=f"{name}, {k}")


def test_zero_targets_need_no_factor():
    """Of 20,000 x 15,000 it would take minutes."""
    A = sparse.uniform(20_000, 15_000, 3)
    for result in [nearlin.lstsq(A, np.zeros(20_000)), nearlin.lstsq(A, np.zeros((20_000, 2)), ridge=1.0)]:
        assert not result.x.any()
        assert (result.method, result.rank) == ("cg", None)
    model = nearlin.LinearRegression().fit(A, np.full(20_000, 3.5))
    assert not model.coef_.any()
    assert model.intercept_ == 3.5


@pytest.mark.parametrize("wrap", [np.asarray, scipy.sparse.csr_array], ids=["dense", "csr"])
def test_cg_stays_in_the_space_of_the_rows(wrap):
    """Iterations beyond rounding would walk along what A does not see."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        A, b = rng.standard_normal((60, 300)), rng.standard_normal(60)
        x = nearlin.lstsq(wrap(A), b, method="cg", rng=0).x
        shortest = np.linalg.lstsq(A, b, rcond=None)[0]
        assert np.linalg.norm(x - shortest) <= 1e-13 * np.linalg.norm(shortest)


def network(side):
    """Differences of neighbouring points of a square: all of them know the points up to a constant."""
    step = scipy.sparse.diags_array(
        [-np.ones(side - 1), np.ones(side - 1)], offsets=[0, 1], shape=(side - 1, side)
    )
    along = scipy.sparse.eye_array(side)
    return scipy.sparse.csr_array(
        scipy.sparse.vstack([scipy.sparse.kron(along, step), scipy.sparse.kron(step, along)])
    )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("side", [6, 15, 30])
def test_cg_finds_a_null_space_that_takes_many_iterations(side, seed):
    A = network(side)
    b = np.random.default_rng(seed).standard_normal(A.shape[0])
    found = nearlin.lstsq(A, b, method="cg", rng=seed)
    assert found.rank == side * side - 1
    assert abs(found.x.sum()) <= 1e-11 * side * np.linalg.norm(found.x)


@pytest.mark.parametrize("method", ["auto", "cg", "gram", "qr"])
@pytest.mark.parametrize(("ridge", "rank"), [(1e-30, 40), (0.0, 40), (1e-2, 41)])
def test_a_ridge_below_the_cut_off_counts_as_none(method, ridge, rank):
    A = scipy.sparse.random_array((3000, 40), density=0.1, rng=0)
    A = scipy.sparse.csr_array(scipy.sparse.hstack([A, 100 * A.tocsc()[:, [0]]]))
    found = nearlin.lstsq(
        A, np.random.default_rng(0).standard_normal(3000), ridge=ridge, method=method, rng=0
    )
    assert found.rank == rank
    np.testing.assert_allclose(found.x[40] / found.x[0], 100.0, rtol=1e-6)


@pytest.mark.filterwarnings("ignore::nearlin.exceptions.FallbackWarning")
@pytest.mark.parametrize("rcond", [None, 1e-15, 2e-14])
def test_cg_cuts_off_no_direction_above_rcond(rcond):
    rng = np.random.default_rng(1)
    A = np.linalg.qr(rng.standard_normal((2000, 30)))[0]
    A[:, 1] = A[:, 0] + 4e-14 * A[:, 1]
    for method in ("auto", "cg"):
        assert nearlin.lstsq(scipy.sparse.csr_array(A), A[:, 0], rcond=rcond, method=method).rank in (
            30,
            None,
        )


@pytest.mark.parametrize("ridge", [0.0, 1e-3, [1.0, 1e-6]])
@pytest.mark.parametrize("method", ["auto", "gram", "cg"])
@pytest.mark.parametrize("layout", [scipy.sparse.csr_array, scipy.sparse.csc_array])
@pytest.mark.parametrize("hard", ["", "weights", "far means", "empty"])
@pytest.mark.filterwarnings("ignore::nearlin.exceptions.FallbackWarning")
def test_fewer_rows_than_columns(layout, method, ridge, hard):
    if hard == "far means" and method == "cg":
        pytest.skip("columns of so different lengths take a factor")
    rng = np.random.default_rng(2)
    A = scipy.sparse.random_array((60, 900), density=0.03, rng=rng).toarray()
    if hard == "far means":
        A[:, :5] += 50.0
    if hard == "empty":
        A[:, 300:] = 0.0
    b = rng.standard_normal((60, 2))
    weights = rng.uniform(0.1, 3.0, 60) if hard == "weights" else None
    found = nearlin.lstsq(layout(A), b, ridge=ridge, method=method, sample_weight=weights, rng=0)
    right = nearlin.lstsq(A, b, ridge=ridge, method="qr", sample_weight=weights, rng=0)
    np.testing.assert_allclose(found.x, right.x, rtol=1e-9, atol=1e-11 * abs(right.x).max())
    assert found.certificate.estimate <= 4e-16
    for alpha in np.atleast_1d(ridge):
        options = {"alpha": alpha, "method": method, "random_state": 0}
        model = nearlin.Ridge(**options).fit(layout(A), b, sample_weight=weights)
        dense = nearlin.Ridge(alpha, method="qr").fit(A, b, sample_weight=weights)
        np.testing.assert_allclose(model.coef_, dense.coef_, rtol=1e-8, atol=1e-10 * abs(dense.coef_).max())
        np.testing.assert_allclose(model.intercept_, dense.intercept_, rtol=1e-8, atol=1e-8)


@linux
@pytest.mark.parametrize("ridge", [0.0, 1e-3, 1.0])
def test_hashed_features_are_solved_by_their_few_rows(ridge):
    rng = np.random.default_rng(0)
    n, d, each = 500, 2**14, 13
    words = (rng.zipf(1.2, n * each).astype(np.uint64) * np.uint64(2654435761)) % np.uint64(d)
    signs = rng.choice([-1.0, 1.0], n * each)
    A = scipy.sparse.csr_array(
        (signs, words.astype(np.int64), np.arange(0, n * each + 1, each)), shape=(n, d)
    )
    A.sum_duplicates()
    b = rng.standard_normal(n)
    x = nearlin.lstsq(A, b, ridge=ridge).x
    rows = A.toarray()
    exact = (
        np.linalg.lstsq(rows, b)[0]
        if ridge == 0.0
        else rows.T @ np.linalg.solve(rows @ rows.T + ridge * np.eye(n), b)
    )
    np.testing.assert_allclose(x, exact, atol=1e-10 * np.abs(exact).max())
    assert not x[np.diff(scipy.sparse.csc_array(A).indptr) == 0].any()


def test_few_rows_of_very_many_columns_take_little_memory():
    found = sparse.alone("""
A = sparse.uniform(2000, 300_000, 20)
b = np.random.default_rng(0).standard_normal(2000)
left(0.3)
found = {}
for method in ("auto", "gram"):
    x = nearlin.lstsq(A, b, ridge=0.01, method=method, rng=0).x
    found[method] = sparse.steepness(A, b, x, ridge=0.01)
print(json.dumps(found))
""")
    assert max(found.values()) < 1e-14


@pytest.mark.parametrize("method", ["auto", "gram", "cg"])
@pytest.mark.parametrize("kind", ["deficient", "wide", "wide and dense"])
def test_certify_adds_bounds_and_changes_no_bit(method, kind):
    A = network(9) if kind == "deficient" else scipy.sparse.random_array((50, 100), density=0.2, rng=0)
    A = A.toarray() if kind == "wide and dense" else scipy.sparse.csr_array(A)
    b = np.random.default_rng(0).standard_normal(A.shape[0])
    plain, certified = (
        nearlin.lstsq(A, b, method=method, rng=0, certify=certify) for certify in (False, True)
    )
    assert plain.method == certified.method
    assert np.array_equal(plain.x, certified.x)
    assert certified.certificate.coordinate_bound is not None


def test_what_takes_the_place_of_a_sparse_factor_is_named():
    A = scipy.sparse.csr_array(scipy.sparse.random_array((400, 13_000), density=0.01, rng=0))
    with pytest.warns(FallbackWarning, match="sparse_cholesky gave way to cg"):
        found = nearlin.lstsq(A, np.ones(400), ridge=1.0, method="sparse_cholesky")
    assert found.method == "cg"
    assert found.fallback_reason is not None


def test_frames_of_sparse_columns_are_sparse_matrices():
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    levels = pandas.Series(rng.integers(0, 50, 400).astype(str))
    frame = pandas.get_dummies(levels, sparse=True, dtype=float)
    y = rng.standard_normal(400)
    matrix = frame.sparse.to_coo().tocsr()
    assert np.array_equal(nearlin.lstsq(frame, y, rng=0).x, nearlin.lstsq(matrix, y, rng=0).x)
    model, right = nearlin.Ridge(random_state=0).fit(frame, y), nearlin.Ridge(random_state=0).fit(matrix, y)
    assert list(model.feature_names_in_) == list(frame.columns)
    assert np.array_equal(model.coef_, right.coef_)
    assert np.array_equal(model.predict(frame), right.predict(matrix))


def test_answers_that_may_not_be_the_shortest_say_so():
    hot = scipy.sparse.eye_array(80, format="csr")[np.arange(800) % 80]
    A, b = scipy.sparse.csr_array(scipy.sparse.hstack([hot, 3.0 * hot])), np.arange(800.0) % 7
    found = nearlin.lstsq(A, b, method="cg", rng=0)
    assert found.rank is None
    assert "there may be shorter answers" in found.certificate.note
    right = nearlin.lstsq(A, b, method="gram", rng=0)
    assert right.rank == 80
    assert "shorter" not in right.certificate.note
