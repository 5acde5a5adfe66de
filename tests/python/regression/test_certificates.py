"""What certificates say of coefficients: bounds that hold for any input, honesty where there are none."""

import json
import pickle
import warnings
from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import regression as reference
from reference.exact import Exact, fractions

import nearlin
from nearlin import _core
from nearlin.exceptions import AccuracyWarning, InvalidInputError, InvalidTypeError, VerificationError
from nearlin.regression._solve import Options

pytestmark = pytest.mark.filterwarnings("ignore::nearlin.exceptions.FallbackWarning")

METHODS = ["auto", "gram", "whitened", "spir", "fossils", "cg", "qr"]


problem = reference.problems(500, 8, decades=3.0)


def check(result, error):
    """The bound holds for every coefficient, and is loose by 10 sqrt(d) for less than half of them."""
    bound = result.certificate.coordinate_bound
    assert bound.shape == result.x.shape
    assert np.all(np.abs(error) <= bound)
    assert np.median(bound) <= 10 * np.sqrt(len(bound)) * np.median(np.abs(error))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["incoherent", "coherent", "five rows times 1e8", "columns 1e-8 to 1e8"])
def test_every_coefficient_is_within_its_bound(method, name):
    if name in ("incoherent", "coherent"):
        A, _ = reference.graded(600, 12, 1e6, coherent=name == "coherent")
    else:
        A = reference.hard(600, 12)[name]
    rng = np.random.default_rng(0)
    b = A @ rng.standard_normal(12)
    b += 1e-3 * np.linalg.norm(b) * rng.standard_normal(600)
    result = nearlin.lstsq(A, b, method=method, rng=0, certify=True)
    check(result, reference.ForwardError(A).of(b, result.x))


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(6, 40),
    d=st.integers(1, 5),
    dtype=st.sampled_from([np.float64, np.float32]),
    layout=st.sampled_from([np.asarray, np.asfortranarray, scipy.sparse.csr_array, scipy.sparse.csc_array]),
    method=st.sampled_from(METHODS),
    ridge=st.sampled_from([0.0, 0.1, 10.0]),
    weighted=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_bounds_hold_in_rational_arithmetic(n, d, dtype, layout, method, ridge, weighted, seed):
    A, b = (array.astype(dtype) for array in problem(n, d, seed=seed))
    w = 10.0 ** np.random.default_rng(seed).uniform(-6, 6, n) if weighted else None
    result = nearlin.lstsq(layout(A), b, method=method, ridge=ridge, sample_weight=w, rng=seed, certify=True)
    best = reference.exact_minimiser(A, b, ridge=ridge, sample_weight=w)
    bound, estimate = result.certificate.coordinate_bound, result.certificate.error_estimate
    error = [Fraction(float(x)) - y for x, y in zip(result.x, best, strict=True)]
    if np.isnan(bound).any():
        assert result.certificate.details["condition"] > 1e12
        return
    assert all(abs(e) <= Fraction(float(c)) for e, c in zip(error, bound, strict=True))
    missed = [abs(e - Fraction(float(f))) for e, f in zip(error, estimate, strict=True)]
    assert all(m <= Fraction(float(c)) for m, c in zip(missed, bound, strict=True))


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_bounds_do_not_depend_on_units(scale):
    A, b = problem()
    plain = nearlin.lstsq(A, b, method="qr", rng=0, certify=True).certificate
    unit = 2.0 ** np.round(np.log2(scale))
    for factor, side in [(unit, 1.0), (1.0, unit), (unit, unit)]:
        scaled = nearlin.lstsq(A * factor, b * side, method="qr", rng=0, certify=True).certificate
        assert np.allclose(
            scaled.coordinate_bound * (factor / side), plain.coordinate_bound, rtol=1e-6, atol=0
        )


ENDS = [
    (5e-324, 5e-324),
    (1e-320, 1e-320),
    (2.0**-1022, 2.0**-1022),
    (1e-306, 1e-300),
    (1e-310, 1e-10),
    (1.0, 1e-310),
    (1e200, 1e-120),
]


@pytest.mark.parametrize("method", ["auto", "fgmres_wlsir", "lsmr"])
@pytest.mark.parametrize(("of_A", "of_b"), ENDS)
def test_bounds_hold_at_the_ends_of_the_range(of_A, of_b, method):
    """Where products, numbers or answers have fewer digits than others."""
    rng = np.random.default_rng(3)
    A, b = rng.standard_normal((30, 3)) * of_A, rng.standard_normal(30) * of_b
    exact = Exact(A, b)
    # Products of subnormal entries that are sparse overflow, and nothing is certified.
    for matrix in (A, scipy.sparse.csc_array(A))[: 1 + (of_A > 1e-308)]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AccuracyWarning)
            result = nearlin.lstsq(matrix, b, method=method, rng=0, certify=True)
        bound = fractions(result.certificate.coordinate_bound)
        assert np.all(abs(fractions(result.x) - exact.minimiser()) <= bound * (1 + Fraction(1e-9)))
        assert exact.error(result.x) <= 2 * result.certificate.bound


@pytest.mark.parametrize("method", ["auto", "gram", "spir", "fgmres_wlsir", "lsmr"])
def test_rows_of_weight_zero_may_be_of_any_magnitude(method):
    rng = np.random.default_rng(4)
    A, b = rng.standard_normal((600, 3)) * 1e-300, rng.standard_normal(600)
    A[7], weights = 1e10, np.ones(600)
    weights[7] = 0.0
    rest = np.arange(600) != 7
    expected = nearlin.lstsq(A[rest] * 2.0**990, b[rest], rng=0).x * 2.0**990
    result = nearlin.lstsq(A, b, sample_weight=weights, method=method, rng=0, certify=True)
    assert np.allclose(result.x, expected, rtol=1e-12, atol=0)
    assert np.all(result.certificate.coordinate_bound < 1e-12 * abs(expected).max())


def test_lsmr_knows_a_small_residual_from_a_large_error():
    """Stewart's bound is of the order u |b| / |b - A x|."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        A = rng.standard_normal((40, 4)) * rng.integers(0, 2, (40, 4)) + np.eye(40, 4)
        b = A @ np.ones(4) + 1e-3 * rng.standard_normal(40)
        result = nearlin.lstsq(scipy.sparse.csr_array(A), b, method="lsmr", rng=0)
        assert result.certificate.met is nearlin.lstsq(A, b, rng=0).certificate.met is True
        assert Exact(A, b).error(result.x) <= 2 * result.certificate.bound


def test_many_right_hand_sides_have_the_bounds_of_each():
    A, b = problem(k=20)
    b[:, 3] = 0.0
    ridge = np.where(np.arange(20) % 2, 0.5, 0.0)
    together = nearlin.lstsq(A, b, method="qr", ridge=ridge, rng=0, certify=True).certificate
    assert together.coordinate_bound.shape == together.error_estimate.shape == (8, 20)
    assert np.all(together.coordinate_bound[:, 3] == 0.0)
    for side in [0, 1, 3, 19]:
        alone = nearlin.lstsq(A, b[:, side], method="qr", ridge=ridge[side], rng=0, certify=True)
        error = np.abs(together.error_estimate[:, side])
        assert np.all(error <= together.coordinate_bound[:, side])
        assert alone.certificate.coordinate_bound.shape == (8,)
        ratio = together.details["sensitivity"][side] / alone.certificate.details["sensitivity"][0]
        assert ratio == pytest.approx(1.0, rel=1e-6)


def test_the_residual_lies_between_its_bounds():
    A, b = problem(seed=3)
    x = nearlin.lstsq(A, b, tol=1e-3, method="spir", rng=0, certify=True)
    least = nearlin.lstsq(A, b, method="qr").residual_norm
    low, high = x.certificate.details["residual_bounds"][0]
    assert low <= least * (1 + 1e-14)
    assert least <= high * (1 + 1e-14)
    assert high - low <= 0.1 * least
    assert np.linalg.norm(A @ x.certificate.error_estimate) <= x.certificate.details["fit_bound"][0]


def test_the_sensitivity_is_that_of_the_textbook():
    A, left = reference.graded(2000, 10, 1e4)
    A /= np.linalg.norm(A, axis=0)
    b = reference.right_hand_side(A, left, 1e-2)
    result = nearlin.lstsq(A, b, rng=0, certify=True)
    singular = np.linalg.svd(A, compute_uv=False)
    kappa = singular[0] / singular[-1]
    exact = kappa + kappa**2 * result.residual_norm / (singular[0] * np.linalg.norm(result.x))
    assert result.certificate.details["sensitivity"][0] == pytest.approx(exact, rel=0.6)


def test_a_deficient_rank_is_bounded_in_the_directions_that_are_kept():
    for name, (A, rank) in reference.rank_deficient(600, 50).items():
        rng = np.random.default_rng(1)
        b = A @ rng.standard_normal(50) + rng.standard_normal(600)
        result = nearlin.lstsq(A, b, rng=0, certify=True)
        error = reference.ForwardError(A, rcond=1e-13).of(b, result.x)
        assert result.rank == rank, name
        assert np.all(np.abs(error) <= result.certificate.coordinate_bound * (1 + 1e-9)), name
        assert "rank" in result.certificate.note


def test_wide_matrices_have_bounds_too():
    A, b = problem(20, 60)
    result = nearlin.lstsq(A, b, certify=True)
    error = reference.ForwardError(A, rcond=1e-13).of(b, result.x)
    assert np.all(np.abs(error) <= result.certificate.coordinate_bound * (1 + 1e-9))


def test_no_figure_where_none_would_be_honest():
    A = np.vander(np.linspace(-1.0, 1.0, 2000), 45)
    result = nearlin.lstsq(A, np.cos(np.arange(2000.0)), method="qr", rcond=1e-18, certify=True)
    certificate = result.certificate
    assert np.isnan(certificate.coordinate_bound).all()
    assert "no bounds for coefficients" in str(certificate)
    assert "ridge" in certificate.note
    assert "no coefficient is off" not in result.explain()


def test_certify_changes_neither_the_answer_nor_what_it_says_without():
    A, b = problem(5000, 12)
    for method in METHODS:
        plain = nearlin.lstsq(A, b, method=method, rng=0)
        certified = nearlin.lstsq(A, b, method=method, rng=0, certify=True)
        assert np.array_equal(plain.x, certified.x)
        assert plain.certificate.bound == certified.certificate.bound
        assert plain.certificate.coordinate_bound is None
        assert plain.certificate.error_estimate is None
        assert certified.stages[-1][0] == "certify"
        same = nearlin.lstsq(A, b, method=method, rng=0, certify=True, n_jobs=3).certificate
        assert same == certified.certificate


def test_a_certificate_with_bounds_reads_well_and_survives_json():
    A, b = problem(5000, 40)
    result = nearlin.lstsq(A, b, rng=0, certify=True)
    certificate = result.certificate
    for again in (
        nearlin.Certificate(**json.loads(json.dumps(certificate.to_dict()))),
        pickle.loads(pickle.dumps(certificate)),
    ):
        assert again == certificate
        assert hash(again) == hash(certificate)
    assert type(again) is type(certificate)
    assert certificate != nearlin.lstsq(A, b, rng=0).certificate
    assert "coefficients within" in str(certificate)
    text = repr(certificate)
    assert "coordinate_bound: [" in text
    assert len(text) < 2500
    assert "no coefficient is off by more than" in result.explain()


@pytest.mark.parametrize("option", ["certify", "verify"])
def test_options_are_truth_values(option):
    A, b = problem()
    with pytest.raises(InvalidTypeError, match=f"`{option}`"):
        nearlin.lstsq(A, b, **{option: "yes"})


# --- what was cut off, what rounding adds, what is met ------------------------------------------------------


def nearly_deficient(n=100):
    """Three columns, one direction of which is a thousandth."""
    rng = np.random.default_rng(0)
    A = np.c_[np.ones(n), rng.standard_normal(n)]
    return np.c_[A, A[:, 1] + 1e-3 * rng.standard_normal(n)], rng.standard_normal(n)


@pytest.mark.parametrize("method", [*METHODS, "fgmres_wlsir"])
def test_directions_that_rcond_cuts_off_are_named_and_sized(method):
    A, b = nearly_deficient()
    result = nearlin.lstsq(A, b, rcond=1e-2, method=method, verify=True)
    certificate = result.certificate
    singular = np.linalg.svd(A / np.linalg.norm(A, axis=0), compute_uv=False)
    assert result.rank == 2
    assert certificate.quantity == "backward error / |A|_F of the truncated problem"
    assert certificate.details["cut"] == pytest.approx(singular[2] / np.linalg.norm(singular), rel=1e-6)
    assert "rank 2" in certificate.note
    assert certificate.met
    assert certificate.details["verified"]["backward_error"][0] <= 4e-16
    true = Exact(A, b).error(result.x)
    assert 1e-5 < true <= certificate.bound + certificate.details["cut"]


def test_estimators_and_products_name_what_was_cut_off():
    A, b = nearly_deficient()
    model = nearlin.LinearRegression(rcond=1e-2).fit(A[:, 1:], b)
    kron = nearlin.lstsq_kron([A, np.eye(2)], np.c_[b, b], rcond=1e-2)
    for certificate in (model.certificate_, kron.certificate):
        assert "truncated" in certificate.quantity
        assert 1e-4 < certificate.details["cut"] < 1e-3
    whole = nearlin.lstsq_kron([A, np.eye(2)], np.c_[b, b])
    assert "cut" not in whole.certificate.details
    assert "truncated" not in whole.certificate.quantity
    zeros = nearlin.lstsq(np.c_[A, np.zeros(100)], b)
    assert zeros.rank == 3
    assert "cut" not in zeros.certificate.details


@pytest.mark.parametrize("seed", range(10))
def test_the_default_cut_covers_what_it_costs(seed):
    A, b = reference.heavy_rows(30, 5, 1e15, seed)
    certificate = (result := nearlin.lstsq(A, b)).certificate
    assert Exact(A, b).error(result.x) <= certificate.bound + certificate.details.get("cut", 0.0)


@pytest.mark.parametrize("n", [300, 3000])
def test_verify_draws_the_line_where_the_solver_did(n):
    """A sketch has other small directions than A; a QR factorisation has the same."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        A = rng.standard_normal((n, 6)) @ (np.eye(6) * np.logspace(0, -4, 6) @ rng.standard_normal((6, 6)))
        b = rng.standard_normal(n)
        for rcond in (1e-1, 1e-2, 1e-3):
            result = nearlin.lstsq(A, b, rcond=rcond, verify=True)
            assert result.certificate.details["verified"]["rank"] == result.rank


@pytest.mark.parametrize("method", [*METHODS, "lsmr", "fgmres_wlsir"])
def test_a_bound_includes_what_rounding_hides(method):
    rng = np.random.default_rng(1)
    A = rng.integers(-2, 3, (4, 1)) * 1.0
    for _ in range(20):
        certificate = (
            result := nearlin.lstsq(A, b := rng.standard_normal(4), method=method, rng=0)
        ).certificate
        assert certificate.bound >= 2.0**-52
        assert Exact(A, b).error(result.x) <= certificate.bound
        assert certificate.met


def test_met_follows_the_bound():
    A, b = problem()
    certificate = nearlin.lstsq(A, b, rng=0, tol=1e-8, method="spir").certificate
    assert certificate.met is True

    def met(**changes):
        return nearlin.Certificate(**{**certificate.to_dict(), **changes}).met

    assert met(estimate=1e-9, bound=2e-8, target=1e-8) is None
    assert met(estimate=2e-8, bound=3e-8, target=1e-8) is False
    assert met(estimate=np.nan, bound=np.nan, target=1e-8) is False
    assert met(estimate=1e-17, bound=4e-16, target=2.0**-53) is True
    assert met(estimate=1e-18, bound=4e-16, target=1e-18) is None
    assert met(estimate=1e-17, bound=4e-16, target=1e-18) is False


def test_measured_says_which_columns_are_meant():
    A, b = problem()
    for method in (*METHODS, "fgmres_wlsir"):
        measured = nearlin.lstsq(A, b, method=method, rng=0).certificate.measured
        assert "columns of A scaled to norm one" in measured
    assert "powers of two" in nearlin.lstsq(A[:, :3], b, method="lsmr").certificate.measured
    operator = scipy.sparse.linalg.aslinearoperator(A[:, :3])
    assert "columns of A as they are" in nearlin.lstsq(operator, b, method="lsmr").certificate.measured


@pytest.mark.parametrize("shift", [0.0, 1e3])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_certificate_of_an_estimator_covers_its_intercept(shift, dtype):
    rng = np.random.default_rng(2)
    for _ in range(10):
        X = (rng.standard_normal((40, 4)) + shift).astype(dtype)
        y = (X @ rng.standard_normal(4) + rng.standard_normal(40) + shift).astype(dtype)
        model = nearlin.LinearRegression().fit(X, y)
        x = np.r_[model.coef_, model.intercept_]
        assert Exact(np.c_[X, np.ones(40)], y).error(x) <= float(model.certificate_)


# --- silence ------------------------------------------------------------------------------------------------


def test_what_misses_its_target_says_so():
    A, b = problem()
    with pytest.warns(AccuracyWarning, match="above 1.0e-25"):
        assert nearlin.lstsq(A, b, tol=1e-25).certificate.met is False
    with pytest.warns(AccuracyWarning, match="above 1.0e-25"):
        assert nearlin.LinearRegression(tol=1e-25).fit(A, b).certificate_.met is False
    b = b * 1e-315  # a few digits are left of numbers as small
    with pytest.warns(AccuracyWarning, match="reached a backward error"):
        result = nearlin.lstsq(A, b)
    assert 1e-12 < Exact(A, b).error(result.x) <= result.certificate.bound


@pytest.mark.parametrize("method", [*METHODS, "lsmr"])
def test_an_answer_that_overflows_is_refused(method):
    A, b = problem(d=3)
    for dtype, size in [(np.float32, 1e-30), (float, 1e-200)]:
        with pytest.raises(InvalidInputError, match="the answer overflows"):
            nearlin.lstsq((A * size).astype(dtype), (b / size).astype(dtype), method=method)


def test_sketches_and_estimators_refuse_overflow_too():
    A, b = (array.astype(np.float32) for array in problem(d=3))
    A, b = A * np.float32(1e-32), b * np.float32(1e32)
    with pytest.raises(InvalidInputError, match="`y` is so large beside the matrix"):
        nearlin.LinearRegression().fit(A, b)
    with pytest.raises(InvalidInputError, match="the answer overflows"):
        nearlin.StreamingLeastSquares(sketch_size=50, rng=0).partial_fit(A, b).result()


@pytest.mark.parametrize("method", [*METHODS, "lsmr"])
def test_answers_that_become_subnormal_are_not_called_exact(method):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((300, 3)).astype(np.float32)
    b = (A @ [1.0, 2.0, 3.0] * 1e-43 + 1e-43 * rng.standard_normal(300)).astype(np.float32)
    with pytest.warns(AccuracyWarning):
        result = nearlin.lstsq(A, b, method=method, rng=0)
    true = Exact(A, b).error(result.x)
    assert 1e-5 < true <= 1.3 * result.certificate.bound


# --- verify -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("layout", [np.asarray, scipy.sparse.csr_array, np.float32])
def test_a_second_look_agrees_with_the_first(method, layout):
    A, b = problem(1500, 10, k=2)
    weight, ridge = np.random.default_rng(0).uniform(0.0, 2.0, 1500), [0.0, 3.0]
    A = layout(A)
    result = nearlin.lstsq(A, b, method=method, sample_weight=weight, ridge=ridge, rng=0, verify=True)
    second = result.certificate.details["verified"]
    unit = np.finfo(A.dtype).eps / 2
    for first, found, bound in zip(
        result.certificate.details["backward_error_bound"],
        second["backward_error"],
        second["bound"],
        strict=True,
    ):
        assert found <= 3 * first + unit / 4
        assert found <= bound <= 12 * found
    assert second["rank"] == result.rank == 10
    assert result.stages[-1][0] == "verify"
    assert "by a fresh sketch" in str(result.certificate)


def test_the_second_bound_is_a_bound():
    A, left = reference.graded(2000, 20, 1e6)
    for residual in reference.RESIDUALS:
        b = reference.right_hand_side(A, left, residual)
        result = nearlin.lstsq(A, b, rng=0, verify=True)
        error = reference.backward_error(A, b, result.x)
        assert error <= result.certificate.details["verified"]["bound"][0]


@pytest.mark.parametrize("shape", [(60, 30), (20, 50), (1, 1), (300, 1)])
def test_any_shape_can_be_verified(shape):
    A, b = problem(*shape)
    verified = nearlin.lstsq(A, b, verify=True, certify=True).certificate.details["verified"]
    assert verified["bound"][0] < 1e-14


def test_deficient_ranks_can_be_verified():
    for A, rank in reference.rank_deficient(1200, 50).values():
        b = A.sum(axis=1) + np.cos(np.arange(1200.0))
        verified = nearlin.lstsq(A, b, verify=True).certificate.details["verified"]
        assert verified["rank"] == rank
        assert verified["bound"][0] < 1e-14


@pytest.mark.parametrize("method", METHODS)
def test_certainty_is_claimed_only_where_nothing_random_enters(method):
    A, b = problem()
    certificate = nearlin.lstsq(A, b, method=method, rng=0).certificate
    sketched = method in ("spir", "fossils")
    assert certificate.confidence == (None if sketched else 1.0)
    assert ("if the sketch embeds" in (certificate.note or "")) is sketched


def test_an_answer_whose_error_cannot_be_measured_is_not_verified(monkeypatch):
    A, b = problem()
    look = _core.lstsq_verify

    def blind(*args, **options):
        return {**look(*args, **options), "backward_error": np.array([np.nan])}

    monkeypatch.setattr(_core, "lstsq_verify", blind)
    with pytest.raises(VerificationError, match="column 0 of `b` has backward error nan"):
        nearlin.lstsq(A, b, verify=True)


@pytest.mark.parametrize("change", [1e-9, 1e-3, 1.0])
def test_a_wrong_answer_raises(monkeypatch, change):
    A, b = problem(1000, 8, k=3)
    solve = _core.lstsq

    def corrupted(*args, **options):
        solution = solve(*args, **options)
        solution["x"][4, 1] *= 1.0 + change
        return solution

    monkeypatch.setattr(_core, "lstsq", corrupted)
    nearlin.lstsq(A, b)
    with pytest.raises(VerificationError, match="column 1 of `b`"):
        nearlin.lstsq(A, b, verify=True)


def test_a_factor_that_hides_its_error_is_found_out():
    """Cholesky factors of Gram matrices of condition 1e16 that survive by luck see nothing themselves."""
    found = 0
    for seed in range(20):
        A, b = reference.heavy_rows(2000, 4, 1e8, seed)
        G, s = A.T @ A, np.linalg.norm(A, axis=0)
        try:
            R = np.linalg.cholesky(G / np.outer(s, s)).T
        except np.linalg.LinAlgError:
            continue
        x = np.linalg.solve(R, np.linalg.solve(R.T, A.T @ b / s)) / s
        second = _core.lstsq_verify(
            A,
            b[:, None],
            x[:, None],
            Options(seed=seed),
            sample_weight=None,
            ridge=np.zeros(1),
            threads=1,
        )
        true = reference.backward_error(A, b, x)
        assert second["bound"][0] >= true
        assert second["backward_error"][0] <= 2 * true
        found += true > 1e-12
    assert found > 3


def test_a_second_look_gives_the_same_bits_with_any_number_of_threads():
    A, b = problem(4000, 30)
    looks = [nearlin.lstsq(A, b, rng=0, verify=True, n_jobs=jobs).certificate for jobs in (1, 2, 3)]
    assert looks[0] == looks[1] == looks[2]


@pytest.mark.parametrize("d", [1, 2])
def test_bounds_without_a_rank(d):
    result = nearlin.lstsq(np.zeros((30, d)), np.zeros(30), method="lsmr", certify=True)
    assert not result.x.any()
    assert result.certificate.met


@pytest.mark.parametrize("method", [*METHODS, "lsmr", "fgmres_wlsir"])
@pytest.mark.parametrize("wrap", [np.asarray, scipy.sparse.csr_array])
def test_columns_of_zeros_are_no_part_of_the_norm(method, wrap):
    """A certificate relative to |A|_F stays as it is beside any number of them."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((40, 2)).astype(np.float32)
    b = A @ rng.standard_normal(2).astype(np.float32)
    beside = np.hstack([np.zeros((40, 30), np.float32), A])
    alone, among = (
        nearlin.lstsq(wrap(M), b, method=method, rng=0, verify=method != "lsmr") for M in (A, beside)
    )
    true = Exact(beside, b).error(among.x)
    assert true > 1e-10
    assert true <= among.certificate.bound * (1 + 1e-9)
    np.testing.assert_array_equal(among.x[:30], 0)
    # The exact error is the same. Zeros in the norm would make the bound a quarter of what it is.
    assert 0.5 < among.certificate.bound / alone.certificate.bound < 2.0


@pytest.mark.filterwarnings("ignore::nearlin.exceptions.AccuracyWarning")
@pytest.mark.parametrize("offset", [1e6, 1e8, 1e10, 1e12, 9e12])
@pytest.mark.parametrize("method", ["auto", "gram", "cg"])
def test_bounds_hold_for_means_that_round(offset, method):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        A, b = rng.standard_normal((12, 2)) + np.array([offset, 0.0]), rng.standard_normal(12)
        model = nearlin.LinearRegression(method=method, random_state=0).fit(A, b)
        assert Exact(A, b, centred=True).error(model.coef_) <= 2 * model.certificate_.bound
