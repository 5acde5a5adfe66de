"""lstsq: what it takes, what it returns, what it refuses."""

import dataclasses
import json
import pickle
import warnings

import numpy as np
import pandas
import polars
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import regression as reference
from reference.layouts import LAYOUTS
from reference.regression import UNIT_ROUNDOFF as U

import nearlin
from nearlin.exceptions import (
    FallbackWarning,
    InvalidInputError,
    InvalidTypeError,
    NonFiniteError,
    ShapeError,
)

METHODS = ["auto", "gram", "whitened", "spir", "fossils", "cg", "lsmr", "fgmres_wlsir", "qr"]


problem = reference.problems(500, 8)


def solve(A, b, **options):
    """lstsq, with the warnings of forced methods out of the way."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FallbackWarning)
        return nearlin.lstsq(A, b, **options)


# --- what it takes ------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(
    n=st.integers(1, 120),
    d=st.integers(1, 20),
    k=st.sampled_from([None, 1, 2, 5]),
    dtype=st.sampled_from([np.float64, np.float32]),
    layout=st.sampled_from(list(LAYOUTS)),
    method=st.sampled_from(METHODS),
    ridge=st.sampled_from([0.0, 1e-3, 10.0]),
    weighted=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_any_shape_layout_and_option_gives_the_minimiser(
    n, d, k, dtype, layout, method, ridge, weighted, seed
):
    A, b = problem(n, d, k, dtype=dtype, seed=seed)
    w = np.random.default_rng(seed).integers(0, 4, n) + (np.arange(n) == 0) if weighted else None
    result = solve(LAYOUTS[layout](A), b, method=method, ridge=ridge, sample_weight=w, rng=seed)
    assert result.x.dtype == dtype
    assert result.x.shape == ((d,) if k is None else (d, k))
    M, c = reference.explicit(A, b, ridge=ridge, sample_weight=w)
    best = reference.minimum_norm(M, c)
    u = np.finfo(dtype).eps / 2
    singular = np.linalg.svd(M, compute_uv=False)
    singular = singular[singular > 1e-10 * singular[0]]
    if singular[0] < 1e4 * singular[-1]:
        sensitivity = (singular[0] / singular[-1]) ** 2
        norms = np.linalg.norm(c) / singular[0] + np.linalg.norm(best)
        assert np.linalg.norm(result.x - best) <= 100 * u * sensitivity * norms
    residual = np.linalg.norm(M[:n] @ result.x.astype(float) - c[:n], axis=0)
    terms = np.linalg.norm(c, axis=0) + singular[0] * np.linalg.norm(result.x.astype(float), axis=0)
    assert np.all(np.abs(result.residual_norm - residual) <= 20 * u * terms)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_layouts_of_a_tall_matrix(layout, dtype):
    A, b = problem(5000, 40, 3, dtype=dtype)
    before = A.copy()
    x = nearlin.lstsq(LAYOUTS[layout](A), b, rng=0).x
    assert x.dtype == dtype
    assert np.all(reference.backward_error(A, b, x) <= 4 * np.finfo(dtype).eps / 2)
    np.testing.assert_array_equal(A, before)


@pytest.mark.parametrize(
    ("shape", "k"),
    [
        ((50, 1), None),
        ((30, 30), None),
        ((31, 30), 5),
        ((10, 30), None),
        ((1, 1), None),
        ((1, 9), 2),
        ((90, 30), 1),
    ],
)
@pytest.mark.parametrize("layout", ["C", "F", "CSR array", "CSC array"])
def test_shapes_that_are_not_tall(shape, k, layout):
    A, b = problem(*shape, k)
    result = nearlin.lstsq(LAYOUTS[layout](A), b, rng=0)
    np.testing.assert_allclose(result.x, reference.minimum_norm(A, b), rtol=1e-8, atol=1e-10)
    assert result.rank == min(shape)


def test_lists_integers_and_series():
    A, b = [[1, 0], [0, 2], [1, 1]], [1, 2, 3]
    best = np.linalg.lstsq(np.array(A, float), np.array(b, float), rcond=None)[0]
    np.testing.assert_allclose(nearlin.lstsq(A, b).x, best)
    np.testing.assert_allclose(nearlin.lstsq(np.array(A, np.int8), pandas.Series(b)).x, best)
    np.testing.assert_allclose(nearlin.lstsq(polars.DataFrame(A, orient="row"), polars.Series(b)).x, best)


def test_penalties_one_for_each_right_hand_side():
    A, b = problem(400, 10, 3)
    ridge = [0.0, 1.0, 100.0]
    x = nearlin.lstsq(A, b, ridge=ridge, rng=0).x
    for j, value in enumerate(ridge):
        M, c = reference.explicit(A, b[:, j], ridge=value)
        np.testing.assert_allclose(x[:, j], reference.minimum_norm(M, c), rtol=1e-10)


def test_many_right_hand_sides_are_solved_one_by_one():
    A, b = problem(3000, 30, 20)
    b[:, 4] = 0.0
    b[:, 5] *= 1e100
    b[:, 6] *= 1e-100
    result = nearlin.lstsq(A, b, rng=0)
    assert not result.x[:, 4].any()
    assert np.all(reference.backward_error(A, b, result.x) <= 4 * U)
    assert len(result.certificate.details["backward_error"]) == 20


@pytest.mark.parametrize("scale", [1e-150, 1e-300, 1e150, 1e300])
@pytest.mark.parametrize("what", ["A", "b", "both", "a column"])
def test_extreme_scales(scale, what):
    A, b = problem(2000, 12)
    expected = nearlin.lstsq(A, b, rng=0).x
    if what in ("A", "both"):
        A, expected = A * scale, expected / scale
    if what in ("b", "both"):
        b, expected = b * scale, expected * scale
    if what == "a column":
        A[:, 3] *= scale
        expected[3] /= scale
    np.testing.assert_allclose(nearlin.lstsq(A, b, rng=0).x, expected, rtol=1e-10)


def test_subnormal_entries_do_no_harm():
    A, b = problem(2000, 12)
    A[::5] *= 1e-310
    assert reference.backward_error(A, b, nearlin.lstsq(A, b, rng=0).x) <= 4 * U


@pytest.mark.parametrize("method", METHODS)
def test_a_right_hand_side_of_zeros(method):
    A, _ = problem()
    result = nearlin.lstsq(A, np.zeros(len(A)), method=method, rng=0)
    assert not result.x.any()
    assert result.residual_norm == 0.0
    assert result.certificate.met


def test_a_matrix_of_zeros():
    result = nearlin.lstsq(np.zeros((100, 3)), np.ones(100))
    assert not result.x.any()
    assert result.rank == 0
    assert result.residual_norm == pytest.approx(10.0)


def test_rows_of_weight_zero_count_as_absent_and_integers_as_repetitions():
    A, b = problem(600, 7)
    w = np.arange(600) % 4
    x = nearlin.lstsq(A, b, sample_weight=w, rng=0).x
    np.testing.assert_allclose(x, nearlin.lstsq(A.repeat(w, axis=0), b.repeat(w), rng=0).x, rtol=1e-12)
    b[w == 0] = 1e30
    np.testing.assert_allclose(nearlin.lstsq(A, b, sample_weight=w, rng=0).x, x, rtol=1e-12)


def test_rcond_decides_the_rank():
    A, left = reference.graded(1000, 10, 1e6)
    b = reference.right_hand_side(A, left, 1.0)
    singular = np.linalg.svd(A / reference.column_norms(A), compute_uv=False)
    for rcond in (1e-2, 1e-4):
        rank = int(np.sum(singular > rcond * singular[0]))
        assert nearlin.lstsq(A, b, rcond=rcond, rng=0).rank == rank < 10
    assert nearlin.lstsq(A, b, rng=0).rank == 10


# --- what it returns ----------------------------------------------------------------------------------------


def test_the_result_is_a_value_worth_reading():
    A, b = problem()
    result = nearlin.lstsq(A, b, rng=0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.x = None
    text = repr(result)
    assert all(f"{field.name}: " in text for field in dataclasses.fields(result) if field.repr)
    assert str(result.certificate) in text
    assert result.explanation
    assert result.fallback_reason is None
    assert isinstance(result.rank, int)
    assert isinstance(result.residual_norm, float)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(result)).x, result.x)


def test_the_certificate_is_a_value_worth_reading():
    A, b = problem(500, 8, 2)
    certificate = nearlin.lstsq(A, b, rng=0).certificate
    assert str(certificate).count("\n") == 0
    assert float(certificate) == certificate.bound == max(certificate.details["backward_error_bound"])
    assert certificate.estimate <= certificate.bound
    assert certificate.met
    assert certificate.bound <= certificate.floor
    again = nearlin.Certificate(**json.loads(json.dumps(certificate.to_dict())))
    assert again == certificate
    missed = dataclasses.replace(certificate, target=1e-30)
    assert not missed.met
    assert "MISSED" in str(missed)
    unknown = dataclasses.replace(certificate, bound=np.nan, note="A is random")
    assert "not certified" in str(unknown)
    assert "A is random" in str(unknown)
    assert dataclasses.replace(certificate, target=None).met is None
    assert "with confidence 0.95" in str(dataclasses.replace(certificate, confidence=0.95))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("layout", ["C", "F", "CSR array"])
def test_the_number_of_threads_does_not_change_a_bit(method, layout):
    A, b = problem(20_000, 24, 2)
    A = LAYOUTS[layout](A)
    answers = [solve(A, b, method=method, rng=3, n_jobs=n_jobs) for n_jobs in (1, 2, 3, 8)]
    assert len({answer.x.tobytes() for answer in answers}) == 1
    assert len({repr(answer) for answer in answers}) == 1


def test_the_seed_is_the_only_source_of_randomness():
    A, b = problem(20_000, 24)
    first, second = (nearlin.lstsq(A, b, method="whitened", rng=np.random.default_rng(5)) for _ in range(2))
    assert first.x.tobytes() == second.x.tobytes()
    assert float(nearlin.lstsq(A, b, method="whitened").certificate) <= 4 * U


def test_progress_is_reported_and_its_errors_are_passed_on():
    A, b = problem(20_000, 24)
    seen = []
    nearlin.lstsq(A, b, method="spir", rng=0, progress=lambda *call: seen.append(call))
    assert seen
    assert all(0 <= done <= total and isinstance(figures, dict) for done, total, figures in seen)

    def stop(done, total, figures):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        nearlin.lstsq(A, b, method="spir", rng=0, progress=stop)


# --- when a method fails ------------------------------------------------------------------------------------


def test_a_forced_method_that_gives_way_warns_and_answers():
    A, left = reference.graded(2000, 40, 1e10)
    b = reference.right_hand_side(A, left, 1e-3)
    with pytest.warns(FallbackWarning, match="method='gram' gave way to"):
        result = nearlin.lstsq(A, b, method="gram", rng=0)
    assert result.method != "gram"
    assert result.fallback_reason
    assert reference.backward_error(A, b, result.x) <= 4 * U


@pytest.mark.parametrize("method", ["whitened", "spir"])
def test_a_sketch_too_small_to_embed_the_columns_is_drawn_again(method):
    A, b = problem(5000, 200)
    result = nearlin.lstsq(A, b, method=method, sketch="count_sketch", sketch_size=200, rng=0)
    assert reference.backward_error(A, b, result.x) <= 4 * U
    assert (result.method, result.rank, result.fallback_reason) == (method, 200, None)
    assert result.certificate.details["redraws"] == 1
    assert "not admissible" in result.explanation or "not accepted" in result.explanation


@pytest.mark.parametrize("method", ["whitened", "spir", "fossils"])
def test_failed_sketches_are_drawn_again_and_then_given_up(method):
    A, b = problem(5000, 200)
    A[:, 1:] *= 1e-3
    A[:, 1:] += A[:, :1]
    options = {"method": method, "sketch": "count_sketch", "sketch_size": 200, "rng": 0}
    again = solve(A, b, **options)
    assert again.certificate.details["redraws"] == 1
    assert "not admissible" in again.explanation or "not accepted" in again.explanation
    with pytest.warns(FallbackWarning, match="gave way to 'qr'"):
        given_up = nearlin.lstsq(A, b, tol=1e-300, **options)
    assert given_up.method == "qr"
    assert "not accepted" in given_up.fallback_reason
    assert " ".join(given_up.fallback_reason.split()) in " ".join(given_up.explain().split())
    assert reference.backward_error(A, b, given_up.x) <= 4 * U


@pytest.mark.parametrize("kappa", [10.0, 1e5, 1e10])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dtype_work", [None, "float32", np.float64])
def test_the_precision_of_the_products_is_chosen_and_the_answer_as_good(dtype_work, dtype, kappa):
    A, left = reference.graded(6000, 40, kappa)
    b = reference.right_hand_side(A, left, 1e-3).astype(dtype)
    A = A.astype(dtype)
    result = nearlin.lstsq(A, b, dtype_work=dtype_work, rng=0)
    error = reference.backward_error(
        A.astype(float), b[:, None].astype(float), result.x[:, None].astype(float)
    )
    assert error <= 4 * np.finfo(dtype).eps / 2
    tried = {stage[0] for stage in result.stages}
    assert "gram (single precision)" not in tried or dtype_work is not np.float64
    assert "gram (double precision)" not in tried or dtype_work != "float32"
    if kappa == 10.0:
        double = dtype_work is np.float64
        assert f"gram ({'double' if double else 'single'} precision)" in tried


def test_other_precisions_are_refused():
    A, b = problem()
    for wrong, found in [("float16", "'float16'"), (int, "'int64'"), ("much", "'much'")]:
        with pytest.raises(InvalidInputError, match=f"`dtype_work` is {found}, expected float32 or float64"):
            nearlin.lstsq(A, b, dtype_work=wrong)


def test_a_sketch_of_fewer_rows_than_columns_is_refused():
    A, b = problem(500, 20)
    with pytest.raises(InvalidInputError, match="`sketch_size` is 19, expected at least 20"):
        nearlin.lstsq(A, b, sketch_size=19)


@pytest.mark.parametrize("sketch", ["sparse_sign", "srht", "pht", "count_sketch", "gaussian"])
@pytest.mark.parametrize("method", ["whitened", "spir"])
def test_every_sketch_serves(method, sketch):
    A, b = problem(5000, 20)
    result = nearlin.lstsq(A, b, method=method, sketch=sketch, sketch_size=800, rng=0)
    assert result.sketch_size == 800
    assert reference.backward_error(A, b, result.x) <= 4 * U


def test_no_warning_for_a_deficient_rank():
    A, rank = reference.rank_deficient()["rank 30 of 50"]
    assert nearlin.lstsq(A, np.ones(len(A)), rng=0).rank == rank


# --- what it refuses ----------------------------------------------------------------------------------------

GOOD = problem(40, 3)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"A": np.ones(40)}, ShapeError, "`A` has 1 dimension"),
        ({"A": np.ones((2, 2, 2))}, ShapeError, "`A` has 3 dimensions"),
        ({"A": GOOD[0].astype(complex)}, InvalidTypeError, "`A` has dtype complex"),
        ({"A": np.full((40, 3), "1.5", object)}, InvalidTypeError, "`A` has entries of type str"),
        ({"A": "a matrix"}, InvalidTypeError, "`A` is of type str"),
        ({"b": GOOD[1][:-1]}, ShapeError, "`b` has shape"),
        ({"b": np.ones((40, 2, 2))}, ShapeError, "`b` has 3 dimensions"),
        ({"b": GOOD[1].astype(complex)}, InvalidTypeError, "`b` has dtype complex"),
        ({"method": "svd"}, InvalidInputError, "`method` is 'svd'"),
        ({"sample_weight": np.ones(39)}, ShapeError, "`sample_weight` has length 39"),
        ({"sample_weight": -np.ones(40)}, InvalidInputError, "`sample_weight` has -1.0"),
        ({"sample_weight": np.zeros(40)}, InvalidInputError, "`sample_weight` is zero everywhere"),
        ({"sample_weight": np.full(40, np.nan)}, NonFiniteError, "`sample_weight` contains NaN"),
        ({"ridge": -1.0}, InvalidInputError, "`ridge` is -1.0"),
        ({"ridge": np.inf}, InvalidInputError, "`ridge` is inf"),
        ({"ridge": [1.0, 2.0]}, ShapeError, "`ridge` has length 2"),
        ({"ridge": [-1.0]}, InvalidInputError, "`ridge` has -1.0"),
        ({"rcond": 2.0}, InvalidInputError, "`rcond` is 2.0"),
        ({"sketch": "dct"}, InvalidInputError, "`sketch` is 'dct'"),
        ({"sketch_size": 0}, InvalidInputError, "`sketch_size` is 0"),
        ({"sketch_size": 2.5}, InvalidTypeError, "`sketch_size` is of type float"),
        ({"tol": 0.0}, InvalidInputError, "`tol` is 0.0"),
        ({"max_iter": 0}, InvalidInputError, "`max_iter` is 0"),
        ({"rng": "seed"}, InvalidTypeError, "`rng` is of type str"),
        ({"n_jobs": 0}, InvalidInputError, "`n_jobs` is 0"),
        ({"progress": 3}, InvalidTypeError, "`progress` is of type int"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_bad_arguments_are_named(change, error, message):
    arguments = {"A": GOOD[0], "b": GOOD[1], **change}
    with pytest.raises(error, match=message):
        nearlin.lstsq(**arguments)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("layout", ["C", "F", "CSR array", "CSC array"])
def test_an_entry_that_is_not_finite_is_refused(method, layout):
    A, b = problem(5000, 6)
    for row in (0, 2500, 4999):
        for value in (np.nan, np.inf, -np.inf):
            spoilt = A.copy()
            spoilt[row, 3] = value
            with pytest.raises(NonFiniteError, match="`A` contains"):
                solve(LAYOUTS[layout](spoilt), b, method=method)
            spoilt = b.copy()
            spoilt[row] = value
            with pytest.raises(NonFiniteError, match="`b` contains"):
                solve(LAYOUTS[layout](A), spoilt, method=method)


def test_an_index_out_of_range_is_refused():
    A = scipy.sparse.csr_array(GOOD[0])
    A.indices[7] = 3
    with pytest.raises(InvalidInputError, match="`A` is sparse with index 3"):
        nearlin.lstsq(A, GOOD[1])


@pytest.mark.parametrize("method", ["auto", "gram", "whitened", "spir", "fossils", "qr"])
def test_explain_tells_what_ran(method):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((4000, 30))
    result = nearlin.lstsq(A, rng.standard_normal(4000), method=method, rng=0)
    names = [name for name, _, _ in result.stages]
    assert names[0] == "plan"
    assert names[-1].split(" ")[0] == result.method
    assert result.stages[-1][2] >= result.n_iter >= 1
    assert all(seconds >= 0.0 for _, seconds, _ in result.stages)
    assert result.size == A.nbytes
    lines = result.explain().splitlines()
    assert lines[0] == f"{result.method} gave the answer."
    assert str(result.certificate) in " ".join(line.strip() for line in lines)
    assert max(map(len, lines)) <= 80
    for name, _, reads in result.stages:
        assert any(line.startswith(name) and f" {reads} " in line for line in lines)


def test_explain_counts_every_method_that_was_tried():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((4000, 30))
    A[:, 1] = A[:, 0]
    with pytest.warns(nearlin.exceptions.FallbackWarning):
        result = nearlin.lstsq(A, rng.standard_normal(4000), method="whitened", rng=0)
    assert [name for name, _, _ in result.stages] == ["plan", "whitened", "whitened", "qr"]
    assert "not the method asked for" in result.explain()


def test_the_certificate_is_among_the_names_of_a_result():
    assert "certificate" in dir(nearlin.lstsq(np.eye(3), np.ones(3)))
