"""The largest singular values of everything that can be multiplied by vectors."""

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as sla
from hypothesis import given, settings
from reference.layouts import LAYOUTS
from reference.svd import dense, leading, with_spectrum

import nearlin
from nearlin.exceptions import (
    AccuracyWarning,
    InvalidInputError,
    InvalidTypeError,
    NonFiniteError,
    ShapeError,
)

SOLVERS = ["lanczos", "randomized"]


def assert_solved(A, result, k, tol=1e-10, digits=1e-12):
    """Compare with the dense decomposition, and what is certified with what is true."""
    D, (s, rest) = dense(A), leading(A, k)
    U, found, Vt = result
    single = U.dtype == np.float32
    digits, orthonormal = (2e-6, 2e-6) if single else (digits, 1e-13)
    np.testing.assert_allclose(found, s, rtol=0, atol=digits * max(s[0], 1e-300))
    for Q in (U, Vt.T):
        assert abs(Q.T @ Q - np.eye(k)).max() <= orthonormal
    largest = max(
        np.linalg.norm(D @ Vt.T - U * found, axis=0).max(),
        np.linalg.norm(D.T @ U - Vt.T * found, axis=0).max(),
    )
    assert largest <= (3.0 * tol + 4e-6 * single) * s[0] + 1e-13 * s[0]
    certificate = result.certificate
    true = np.linalg.norm(D - U.astype(float) * found @ Vt) / max(np.linalg.norm(D), 1e-300)
    if not np.isnan(certificate.bound):
        assert true <= certificate.bound
        assert certificate.bound <= rest + 2e-7 + 4e-4 * single


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("shape", [(400, 300), (300, 400), (2000, 150), (150, 2000), (30, 20)])
@pytest.mark.parametrize("k", [1, 2, 6, 20])
def test_triplets_are_those_of_the_dense_decomposition(shape, k, solver):
    A = sp.random_array(shape, density=0.05, rng=1, format="csr")
    assert_solved(A, nearlin.svds(A, k, solver=solver, rng=0), k)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_has_the_same_triplets(layout):
    A = with_spectrum(260, 190, 0.9 ** np.arange(190))
    result = nearlin.svds(LAYOUTS[layout](A), 5, rng=0)
    assert_solved(A, result, 5)


@pytest.mark.parametrize("wrap", [np.asarray, sp.csr_array, sp.csc_array])
def test_single_precision_stays_so(wrap):
    A = with_spectrum(300, 200, 0.8 ** np.arange(200)).astype(np.float32)
    result = nearlin.svds(wrap(A), 7, rng=0)
    assert {array.dtype for array in result} == {np.dtype(np.float32)}
    assert_solved(A, result, 7, tol=1e-5)


@pytest.mark.parametrize("several", [False, True])
def test_operators(several):
    A = with_spectrum(300, 200, 0.9 ** np.arange(200))
    products = {"matmat": A.__matmul__, "rmatmat": A.T.__matmul__} if several else {}
    operator = sla.LinearOperator(A.shape, A.__matmul__, A.T.__matmul__, dtype=np.float64, **products)
    result = nearlin.svds(operator, 6, rng=0)
    assert_solved(A, result, 6)
    assert np.isnan(result.certificate.bound)
    assert "linear operator" in result.certificate.note

    def broken(x):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        nearlin.svds(sla.LinearOperator(A.shape, broken, broken, dtype=np.float64), 6)


SPECTRA = {
    "several times": np.r_[np.ones(15), 0.5 * 0.9 ** np.arange(100)],
    "clustered": 1.0 + 1e-9 * np.arange(120)[::-1],
    "flat": np.linspace(2.0, 1.0, 120),
    "graded": 10.0 ** -np.arange(0.0, 12.0, 0.1),
    "a gap of 1e8": np.r_[1e8 * np.ones(3), np.linspace(1.0, 0.1, 100)],
    "of low rank": np.array([5.0, 4.0, 3.0]),
}


@pytest.mark.filterwarnings("ignore::nearlin.exceptions.AccuracyWarning")
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("k", [3, 12, 20])
def test_hard_spectra(name, k, solver):
    A = with_spectrum(350, 250, SPECTRA[name])
    result = nearlin.svds(A, k, solver=solver, rng=0)
    assert_solved(A, result, k, tol=max(1e-10, result.certificate.details["largest_residual"]))


def test_blocks_that_repeat_and_columns_that_are_zero():
    block = sp.random_array((60, 40), density=0.2, rng=0)
    A = sp.block_diag([block] * 5, "csr")
    for k in (3, 5, 10, 11):
        assert_solved(A, nearlin.svds(A, k, rng=0), k)
    wide = sp.hstack([A, sp.csr_array((300, 500))], "csr")
    assert_solved(wide, nearlin.svds(wide, 4, rng=0), 4)
    nothing = nearlin.svds(sp.csr_array((500, 400)), 3, rng=0)
    assert not nothing.s.any()
    assert abs(nothing.U.T @ nothing.U - np.eye(3)).max() < 1e-13


@settings(max_examples=60)
@given(
    n=st.integers(1, 90),
    d=st.integers(1, 90),
    share=st.floats(0.01, 1.0),
    density=st.floats(0.0, 1.0),
    seed=st.integers(0, 1000),
    kind=st.sampled_from(["dense", "csr", "csc", "int", "bool"]),
    exponent=st.integers(-60, 60),
)
def test_any_small_matrix(n, d, share, density, seed, kind, exponent):
    A = sp.random_array(
        (n, d), density=density, rng=seed, data_sampler=np.random.default_rng(seed).standard_normal
    )
    A = {
        "dense": lambda: A.toarray() * 10.0**exponent,
        "csr": A.tocsr,
        "csc": A.tocsc,
        "int": lambda: (9 * A).astype(int),
        "bool": lambda: A.astype(bool),
    }[kind]()
    k = max(1, round(share * min(n, d)))
    assert_solved(A, nearlin.svds(A, k, rng=seed), k)


def test_bits_do_not_depend_on_threads_or_the_order_of_entries():
    A = sp.random_array((3000, 1000), density=0.01, rng=0, format="csr")
    found = [nearlin.svds(A, 5, rng=1, n_jobs=n_jobs) for n_jobs in (1, 2, 3, 8)]
    shuffled = LAYOUTS["doubled"](A) if "doubled" in LAYOUTS else A
    found.append(nearlin.svds(shuffled, 5, rng=1))
    for other in found[1:]:
        assert all(np.array_equal(x, y) for x, y in zip(found[0], other, strict=True))


def test_a_start_of_either_side_and_a_seed():
    A = with_spectrum(300, 200, 0.9 ** np.arange(200))
    rng = np.random.default_rng(3)
    for v0 in (rng.standard_normal(200), rng.standard_normal(300), np.ones(200)):
        assert_solved(A, nearlin.svds(A, 4, v0=v0, rng=0), 4)
        assert_solved(sp.csr_array(A), nearlin.svds(sp.csr_array(A), 4, v0=v0, rng=0), 4)
    first = nearlin.svds(A, 4, rng=5)
    assert np.array_equal(first.U, nearlin.svds(A, 4, rng=5).U)


def test_what_is_printed_and_told():
    A = with_spectrum(300, 200, 0.9 ** np.arange(200))
    seen = []
    result = nearlin.svds(
        A, 4, rng=0, progress=lambda done, total, figures: seen.append((done, total, figures))
    )
    assert seen
    assert all(0 <= done <= total and figures["residual"] >= 0.0 for done, total, figures in seen)
    assert "certificate: |A - U S V'|_F / |A|_F" in repr(result)
    assert "4 triplets by" in result.explain()
    assert (result.Vt[np.arange(4), abs(result.Vt).argmax(axis=1)] > 0).all()
    np.testing.assert_allclose(
        result.certificate.details["captured"], (result.s**2).sum() / np.linalg.norm(A) ** 2, rtol=1e-12
    )


def test_a_limit_comes_with_a_warning_and_what_there_is():
    A = with_spectrum(400, 300, np.linspace(2.0, 1.0, 300))
    with pytest.warns(AccuracyWarning, match="raise max_iter"):
        result = nearlin.svds(A, 5, max_iter=2, rng=0)
    assert result.certificate.details["largest_residual"] > 1e-10
    assert (result.s <= 2.0 + 1e-12).all()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"k": 0}, InvalidInputError, "k"),
        ({"k": 21}, InvalidInputError, r"min\(n, d\) = 20"),
        ({"k": 2.5}, InvalidTypeError, "k"),
        ({"which": "SM"}, InvalidInputError, "which"),
        ({"solver": "arpack"}, InvalidInputError, "solver"),
        ({"tol": -1.0}, InvalidInputError, "tol"),
        ({"max_iter": 0}, InvalidInputError, "max_iter"),
        ({"v0": np.ones(7)}, ShapeError, "v0"),
        ({"v0": np.full(20, np.nan)}, NonFiniteError, "v0"),
        ({"A": np.ones((3, 0))}, ShapeError, "A"),
        ({"A": np.ones(3)}, ShapeError, "A"),
        ({"A": np.ones((30, 20)) * 1j}, InvalidTypeError, "A"),
        ({"A": np.full((30, 20), np.inf)}, NonFiniteError, r"\[0, 0\]"),
        ({"A": sp.csr_array(np.diag([1.0, np.nan, 2.0]))}, NonFiniteError, r"\[1, 1\]"),
        ({"A": np.full((30, 20), 3e38, np.float32)}, InvalidInputError, "beyond float32"),
    ],
)
def test_bad_input_is_refused_by_name(change, error, words):
    arguments = {"A": np.ones((30, 20)), "k": 2} | change
    with pytest.raises(error, match=words):
        nearlin.svds(arguments.pop("A"), arguments.pop("k"), **arguments)


@pytest.mark.parametrize("times", [9, 12, 16, 40])
@pytest.mark.parametrize("rotated", [False, True])
def test_values_that_are_there_more_often_than_a_block_has_vectors(times, rotated):
    s = np.repeat([4.0, 3.0, 2.0, 1.0], times)
    A = with_spectrum(240, 300, s) if rotated else np.pad(np.diag(s), [(0, 240 - len(s)), (0, 300 - len(s))])
    for k in (times // 2 + 1, times, times + 1, 2 * times):
        assert_solved(A, nearlin.svds(A, k, rng=0), k)
    block = np.random.default_rng(1).standard_normal((20, 15))
    copies = np.kron(np.eye(times), block)
    assert_solved(copies, nearlin.svds(copies, times + 1, rng=1), times + 1)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("unit", [1e-300, 1e-200, 1e-160, 1e-150, 1e150, 1e200, 1e300])
def test_units_in_which_squares_are_out_of_range(unit, solver):
    A = np.random.default_rng(0).standard_normal((400, 300))
    expected = np.linalg.svd(A, compute_uv=False)[:3]
    for matrix in (A * unit, sla.aslinearoperator(A * unit)):
        result = nearlin.svds(matrix, 3, solver=solver, rng=0)
        np.testing.assert_allclose(result.s / unit, expected, rtol=1e-12)
        assert abs(result.U.T @ result.U - np.eye(3)).max() < 1e-13
        assert result.certificate.details["largest_residual"] <= 1e-10
    certificate = nearlin.svds(A * unit, 3, rng=0).certificate
    assert np.isnan(certificate.bound) or certificate.bound >= np.sqrt(1 - (expected**2).sum() / (A**2).sum())


def test_a_column_of_little_beside_the_rest_is_not_lost():
    A = np.r_[np.ones((1, 40)), 1e-9 * np.eye(40)]
    s = np.linalg.svd(A, compute_uv=False)
    np.testing.assert_allclose(nearlin.svds(A, 5, rng=5).s, s[:5], rtol=1e-6)
    A = np.pad(A, [(0, 200), (0, 200)])
    assert (nearlin.svds(A, 5, rng=5).s <= s[:5] * (1 + 1e-6)).all()


def test_an_operator_whose_adjoint_is_another_is_told():
    A = with_spectrum(300, 200, 0.9 ** np.arange(200))
    for rmatvec in (lambda y: 0.5 * (A.T @ y), lambda y: A.T @ y * (1 + 1e-7)):
        operator = sla.LinearOperator(A.shape, A.__matmul__, rmatvec, dtype=np.float64)
        with pytest.warns(AccuracyWarning, match="adjoint"):
            nearlin.svds(operator, 3, max_iter=40, rng=0)


def test_k_may_be_any_integer():
    A = np.random.default_rng(0).standard_normal((60, 50))
    for k in (np.int8(3), np.uint8(3), np.int64(3), np.array(3, "i1")):
        assert len(nearlin.svds(A, k, rng=0).s) == 3


@pytest.mark.parametrize("k", [1, 3, 6])
def test_small_gaps_converge(k):
    n = 400
    path = sp.diags_array(
        [-np.ones(n - 1), 2 * np.ones(n), -np.ones(n - 1)], offsets=[-1, 0, 1], format="csr"
    )
    result = nearlin.svds(path, k, rng=0)
    assert_solved(path, result, k)
