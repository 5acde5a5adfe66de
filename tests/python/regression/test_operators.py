"""lstsq on linear operators, and LSMR on anything."""

import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import regression as reference
from reference.exact import Exact
from reference.regression import UNIT_ROUNDOFF as U
from scipy.sparse.linalg import LinearOperator, aslinearoperator

import nearlin
from nearlin.exceptions import (
    AccuracyWarning,
    FallbackWarning,
    InvalidInputError,
    InvalidTypeError,
    NonFiniteError,
    ShapeError,
)


class Products:
    """The least that is asked for: no matmat, no dtype; it counts its products."""

    def __init__(self, A):
        self.A, self.shape = A, A.shape
        self.products, self.threads = 0, set()

    def matvec(self, x):
        return self.count(self.A @ x)

    def rmatvec(self, y):
        return self.count(self.A.T @ y)

    def count(self, product):
        self.products += 1
        self.threads.add(threading.get_ident())
        return product


def problem(n=600, d=20, k=None, *, kappa=1e3, residual=1e-3, seed=0):
    A, left = reference.graded(n, d, kappa, seed=seed)
    sides = [reference.right_hand_side(A, left, residual, seed=seed + j) for j in range(k or 1)]
    return A, sides[0] if k is None else np.column_stack(sides)


@settings(max_examples=60)
@given(
    n=st.integers(1, 300),
    d=st.integers(1, 30),
    k=st.sampled_from([None, 1, 3]),
    method=st.sampled_from(["auto", "spir", "fossils", "lsmr"]),
    wrap=st.sampled_from([aslinearoperator, Products]),
    ridge=st.sampled_from([0.0, 1e-3, 10.0]),
    weighted=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_operator_and_option_gives_the_minimiser(n, d, k, method, wrap, ridge, weighted, seed):
    rng = np.random.default_rng(seed)
    A, b = rng.standard_normal((n, d)), rng.standard_normal((n, *([k] if k else [])))
    weight = rng.uniform(0.5, 2.0, n) if weighted else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        result = nearlin.lstsq(wrap(A), b, method=method, ridge=ridge, sample_weight=weight, rng=0)
    rows, sides = reference.explicit(A, b, ridge=ridge, sample_weight=weight)
    expected = reference.minimum_norm(rows, sides)
    # Square Gaussian matrices may be as ill-conditioned as LSMR does not bear.
    if not (method == "lsmr" and not result.certificate.met):
        tolerance = 1e-13 * np.linalg.cond(rows) ** 2
        np.testing.assert_allclose(result.x, expected, atol=tolerance * np.abs(expected).max(), rtol=0)
    root = 1.0 if weight is None else np.sqrt(weight)
    residual = np.linalg.norm((root * (b - A @ result.x).T).T, axis=0)
    np.testing.assert_allclose(result.residual_norm, residual, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("kappa", [1e1, 1e6, 1e10, 1e13])
@pytest.mark.parametrize("method", ["auto", "spir", "fossils"])
def test_as_exact_as_qr(method, kappa):
    A, b = problem(2000, 30, kappa=kappa)
    result = nearlin.lstsq(aslinearoperator(A), b, method=method, rng=0)
    measure = reference.BackwardError(A)
    error = measure.of(b, result.x)
    assert error <= max(4 * U, 10 * measure.of(b, reference.householder(A, b)))
    assert error <= 3 * result.certificate.bound
    assert result.rank == 30


@pytest.mark.parametrize("residual", [0.0, 1e-6, 1.0])
@pytest.mark.parametrize(
    "wrap", [np.asarray, scipy.sparse.csr_array, scipy.sparse.csc_array, aslinearoperator]
)
def test_lsmr_is_backward_stable_and_knows_it(wrap, residual):
    A, b = problem(1500, 40, kappa=10.0, residual=residual)
    result = nearlin.lstsq(wrap(A), b, method="lsmr", rng=0)
    assert (result.method, result.rank) == ("lsmr", None)
    error = reference.backward_error(A, b, result.x)
    certificate = result.certificate
    assert error <= 4 * U
    assert error <= 3 * certificate.estimate + U
    assert certificate.estimate <= certificate.bound


def test_lsmr_gives_way_on_a_matrix_without_a_limit_and_warns_of_an_operator():
    A, b = problem(800, 30, kappa=1e9)
    with pytest.warns(FallbackWarning, match="method='lsmr' gave way to 'qr'"):
        assert nearlin.lstsq(A, b, method="lsmr", rng=0).certificate.estimate <= 4 * U
    with pytest.warns(AccuracyWarning, match="reached a backward error of"):
        assert nearlin.lstsq(A, b, method="lsmr", max_iter=60, rng=0).method == "lsmr"
    with pytest.warns(AccuracyWarning, match="reached a backward error of"):
        result = nearlin.lstsq(aslinearoperator(A), b, method="lsmr", rng=0)
    assert not result.certificate.met
    assert reference.backward_error(A, b, result.x) <= result.certificate.bound
    with pytest.warns(AccuracyWarning):
        assert nearlin.lstsq(aslinearoperator(A), b, method="lsmr", max_iter=3, rng=0).n_iter == 3


def test_auto_compares_the_sketch_with_the_iterations_of_lsmr():
    rng = np.random.default_rng(0)
    n, d = 3000, 1200
    easy = scipy.sparse.csr_array(np.vstack([np.eye(d), 0.1 * np.eye(n - d, d)]))
    b = rng.standard_normal(n)
    operator = Products(easy)
    result = nearlin.lstsq(operator, b, rng=0)
    assert result.method == "lsmr"
    assert operator.products < 120
    assert sum(stage[2] for stage in result.stages) == operator.products
    assert "products" in result.explain()
    assert "lsmr is worth up to 60 iterations" in result.explanation

    A, left = reference.graded(2000, 240, 1e3)
    b = reference.right_hand_side(A, left, 1e-3)
    result = nearlin.lstsq(aslinearoperator(A), b, rng=0)
    assert result.method == "spir"
    assert result.fallback_reason is None
    assert "lsmr: given up after" in result.explanation
    assert reference.backward_error(A, b, result.x) <= 4 * U

    A, b = problem(500, 20)
    assert "a sketch takes 20 products, which is little" in nearlin.lstsq(aslinearoperator(A), b).explanation


@pytest.mark.parametrize("name", reference.rank_deficient(60, 50))
@pytest.mark.parametrize("method", ["auto", "fossils"])
def test_deficient_ranks(method, name):
    A, rank = reference.rank_deficient(1000, 50)[name]
    b = np.random.default_rng(1).standard_normal(len(A))
    result = nearlin.lstsq(aslinearoperator(A), b, method=method, rng=0)
    assert result.rank == rank
    expected = reference.minimum_norm(A, b, 1e-12)
    np.testing.assert_allclose(result.x, expected, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("method", ["auto", "spir", "lsmr"])
def test_fewer_rows_than_columns(method):
    rng = np.random.default_rng(2)
    A, b = rng.standard_normal((30, 90)), rng.standard_normal(30)
    result = nearlin.lstsq(aslinearoperator(A), b, method=method, rng=0)
    np.testing.assert_allclose(result.x, np.linalg.pinv(A) @ b, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-150, 1e150])
@pytest.mark.parametrize("method", ["spir", "lsmr"])
def test_extreme_scales(method, scale):
    A, b = problem(400, 10, kappa=5.0)
    x = nearlin.lstsq(aslinearoperator(A * scale), b, method=method, rng=0).x * scale
    np.testing.assert_allclose(x, reference.householder(A, b), rtol=1e-11)


@pytest.mark.parametrize("method", ["auto", "lsmr"])
def test_zeros(method):
    A, b = problem(300, 10)
    result = nearlin.lstsq(aslinearoperator(A), 0 * b, method=method, rng=0)
    assert not result.x.any()
    assert result.residual_norm == 0.0
    result = nearlin.lstsq(aslinearoperator(0 * A), b, method=method, rng=0)
    assert not result.x.any()
    np.testing.assert_allclose(result.residual_norm, np.linalg.norm(b))


def test_single_precision():
    A, b = (a.astype(np.float32) for a in problem(700, 15, kappa=10.0))
    for method in ["spir", "lsmr"]:
        result = nearlin.lstsq(aslinearoperator(A), b, method=method, rng=0)
        assert result.x.dtype == np.float32
        assert reference.backward_error(A, b, result.x) <= 4 * 2.0**-24
        assert result.certificate.target == 2.0**-24


@pytest.mark.parametrize("method", ["spir", "lsmr"])
def test_products_are_asked_for_by_the_calling_thread_and_threads_change_no_bit(method):
    A, b = problem(3000, 40, k=2, kappa=10.0)
    answers = []
    for n_jobs in [1, 3]:
        operator = Products(A)
        answers.append(nearlin.lstsq(operator, b, method=method, rng=0, n_jobs=n_jobs).x)
        assert operator.threads == {threading.get_ident()}
    assert (answers[0] == answers[1]).all()


def test_what_the_operator_raises_comes_through():
    A, b = problem()

    class Sensor(Exception):
        pass

    for failing in ["matvec", "rmatvec"]:
        raised = Sensor("no signal")

        def fail(_, raised=raised):
            raise raised

        operator = Products(A)
        setattr(operator, failing, fail)
        for method in ["spir", "lsmr"]:
            with pytest.raises(Sensor) as caught:
                nearlin.lstsq(operator, b, method=method)
            assert caught.value is raised
    with pytest.raises(NotImplementedError):
        nearlin.lstsq(LinearOperator(A.shape, matvec=lambda x: A @ x), b, method="lsmr")


@pytest.mark.parametrize(
    ("product", "error", "message"),
    [
        (
            lambda A, x: np.where(np.arange(len(A)) == 7, np.nan, A @ x),
            NonFiniteError,
            r"contains NaN at \[7\]",
        ),
        (lambda A, x: (A @ x)[1:], ShapeError, r"has shape \(599,\), expected \(600,\)"),
        (
            lambda A, x: np.ma.array(A @ x, mask=np.arange(len(A)) == 7),
            InvalidInputError,
            "has masked entries, expected a value in every entry",
        ),
        (lambda A, x: 1j * (A @ x), InvalidTypeError, "has dtype complex128, expected real numbers"),
    ],
)
def test_products_that_are_none_are_named(product, error, message):
    A, b = problem()
    operator = Products(A)
    operator.matvec = lambda x: product(A, x)
    with pytest.raises(error, match=r"`A\.matvec\(\.\.\.\)` " + message):
        nearlin.lstsq(operator, b)


@pytest.mark.parametrize("method", ["gram", "whitened", "qr"])
def test_methods_that_need_entries_are_refused(method):
    A, b = problem()
    with pytest.raises(InvalidInputError, match=f"'{method}' for a linear operator, expected one"):
        nearlin.lstsq(aslinearoperator(A), b, method=method)


@pytest.mark.parametrize("look", ["certify", "verify"])
def test_looks_at_entries_are_refused(look):
    A, b = problem()
    with pytest.raises(InvalidInputError, match=f"`{look}` is .rue for a linear operator"):
        nearlin.lstsq(aslinearoperator(A), b, **{look: True})


def test_lsmr_is_certified_and_verified_as_any_other():
    A, b = problem(kappa=5.0)
    result = nearlin.lstsq(A, b, method="lsmr", certify=True, verify=True, rng=0)
    assert (result.method, result.rank) == ("lsmr", 20)
    error = np.abs(result.x - reference.householder(A, b))
    assert (error <= result.certificate.coordinate_bound + 1e-14).all()


@pytest.mark.parametrize("wrap", [np.asarray, scipy.sparse.csr_array, aslinearoperator])
@pytest.mark.parametrize("levels", [3, 10, 100])
def test_lsmr_stops_where_the_krylov_space_ends(levels, wrap):
    """A column of ones and balanced groups have two singular values, and zero."""
    groups = np.tile(np.arange(levels), 20)
    A = np.column_stack([np.ones(len(groups)), np.eye(levels)[groups]])
    for seed in range(4):
        b = np.random.default_rng(seed).standard_normal(len(A))
        result = nearlin.lstsq(wrap(A), b, method="lsmr", rng=0, verify=wrap is not aslinearoperator)
        assert result.method == "lsmr"
        assert result.n_iter <= 40
        np.testing.assert_allclose(result.x, reference.minimum_norm(A, b, 1e-12), rtol=0, atol=1e-9)
        np.testing.assert_allclose(result.residual_norm, np.linalg.norm(b - A @ result.x), rtol=1e-12)


def test_lsmr_gives_the_shortest_answer_in_the_units_of_the_caller():
    rng = np.random.default_rng(0)
    factors = [np.eye(c)[rng.integers(0, c, 2000)] for c in (50, 30)]
    sizes = 10.0 ** rng.uniform(-2, 2, 50)
    matrices = [
        np.hstack(factors),
        rng.standard_normal((100, 400)) * (rng.random((100, 400)) < 0.05),
        np.hstack([np.eye(c)[rng.integers(0, c, 500)] for c in (20, 30)]) * sizes,
    ]
    for A in matrices:
        b = rng.standard_normal((len(A), 2))
        expected = reference.minimum_norm(A, b, 1e-12)
        for wrap in [np.asarray, scipy.sparse.csc_array]:
            result = nearlin.lstsq(wrap(A), b, method="lsmr", rng=0)
            assert result.method == "lsmr"
            assert result.certificate.met
            np.testing.assert_allclose(result.x, expected, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("wrap", [np.asarray, scipy.sparse.csr_array])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("decades", [0, 2])
def test_lsmr_gives_the_shortest_answer_beside_zero_columns_and_equal_rows(decades, fit_intercept, wrap):
    for seed in range(24):
        rng = np.random.default_rng(seed)
        n, d = ((12, 60), (60, 20))[seed % 2]
        A = rng.integers(-4, 5, (n, d)) * (rng.random((n, d)) < 0.5) * 10.0 ** rng.integers(0, decades + 1, d)
        A[:, d // 2], A[:, d - 1] = 0, A[:, 0] + A[:, 1]
        if seed % 3:
            A[n // 2 :] = A[: n - n // 2]
        b, w = rng.standard_normal((n, 3)), np.arange(n) % 3.0 if seed % 5 else np.ones(n)
        root = np.sqrt(w)[:, None]
        C, c = (root * (M - fit_intercept * (w @ M) / w.sum()) for M in (A, b))
        expected = reference.minimum_norm(C, c, 1e-11).T
        model = nearlin.LinearRegression(method="lsmr", fit_intercept=fit_intercept, random_state=0)
        model.fit(wrap(A), b, sample_weight=w)
        assert model.method_ == "lsmr"
        assert model.certificate_.met
        np.testing.assert_allclose(model.coef_, expected, rtol=0, atol=1e-10 * np.abs(expected).max())


@pytest.mark.parametrize("ridge", [1e-4, 1e-10, 1e-16, 1e-20])
@pytest.mark.parametrize("wide", [True, False])
def test_lsmr_claims_no_more_than_it_has_under_a_tiny_ridge(wide, ridge):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        A = rng.standard_normal((15, 40) if wide else (60, 8))
        if not wide:
            A[:, 7] = A[:, 0] + 1e-9 * A[:, 7]
        b = rng.standard_normal(len(A))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AccuracyWarning)
            result = nearlin.lstsq(aslinearoperator(A), b, method="lsmr", ridge=ridge, rng=seed)
        error = reference.backward_error(*reference.explicit(A, b, ridge=ridge), result.x)
        assert not (result.certificate.met and error > 4 * U)
        assert error <= 2 * result.certificate.bound


@pytest.mark.parametrize("wrap", [np.asarray, scipy.sparse.csr_array])
@pytest.mark.parametrize("size", [1e-4, 1e-9, 1e-120])
@pytest.mark.parametrize("ridge", [1e-20, 1.0, 1e8])
def test_lsmr_finds_the_coefficients_of_columns_that_the_ridge_hides(ridge, size, wrap):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((50, 4)) * [1.0, size, 10 * size, 1.0]
    b = rng.standard_normal((50, 2))
    model = nearlin.lstsq(wrap(A), b, method="lsmr", ridge=ridge, rng=0)
    M = A.T @ A + ridge * np.eye(4)
    # Equilibrated, as columns of the Gram matrix are far apart in size.
    root = 1 / np.sqrt(np.diag(M))
    expected = root[:, None] * np.linalg.solve(root[:, None] * M * root, root[:, None] * (A.T @ b))
    np.testing.assert_allclose(model.x, expected, rtol=1e-7 if size == 1e-9 and ridge == 1e-20 else 1e-11)


def test_bounds_for_operators_allow_for_the_norm_that_they_guess():
    """A of rank one but for a little, whose norm is hardest to tell."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        A = np.outer(rng.standard_normal(12), rng.standard_normal(4)) + 0.1 * rng.standard_normal((12, 4))
        b = rng.standard_normal(12)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AccuracyWarning)
            result = nearlin.lstsq(aslinearoperator(A), b, method="lsmr", max_iter=1 + seed % 6, rng=seed)
        assert Exact(A, b, scaled=False).error(result.x) <= result.certificate.bound * (1 + 1e-9)
        assert result.certificate.confidence == 1 - 1e-6


def test_shapes_and_types_of_operators():
    A, b = problem()
    with pytest.raises(ShapeError, match="`b` has shape"):
        nearlin.lstsq(aslinearoperator(A), b[1:])
    with pytest.raises(InvalidTypeError, match="Complex data not supported"):
        nearlin.lstsq(aslinearoperator(A * 1j), b)


class Claims:
    """What says of itself that it is an operator of this shape and dtype."""

    def __init__(self, shape, dtype=None):
        self.shape, self.dtype = shape, dtype

    def matvec(self, x):
        raise AssertionError("nobody asks for a product")

    rmatvec = matvec


@pytest.mark.parametrize(
    "shape", [None, 60, "ab", (), (60,), (60, 4, 1), (-60, 4), (60, -1), (60.5, 4), ("a", 3), (2**64, 4)]
)
def test_shapes_that_are_none_are_refused(shape):
    with pytest.raises(InvalidInputError, match=r"`A` has (shape|. dimensions)"):
        nearlin.lstsq(Claims(shape), np.ones(60))


@pytest.mark.parametrize("dtype", ["junk", 3, object, "U3", "c16", [("x", "f8")]])
def test_dtypes_that_are_no_real_numbers_are_refused(dtype):
    with pytest.raises(InvalidTypeError, match="`A` has dtype"):
        nearlin.lstsq(Claims((60, 4), dtype), np.ones(60))


def test_estimators_take_lsmr():
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((400, 5)) + 3.0, rng.standard_normal(400)
    expected = nearlin.LinearRegression(method="qr").fit(X, y)
    for data, inference in [(X, False), (X, True), (scipy.sparse.csr_array(X), False)]:
        model = nearlin.LinearRegression(method="lsmr", inference=inference).fit(data, y)
        assert (model.method_, model.rank_) == ("lsmr", 5 if inference else None)
        np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(model.intercept_, expected.intercept_, rtol=1e-9)
        assert model.summary("nonrobust", data, y).rank == 6


def test_operators_need_no_scipy():
    code = """
import sys, numpy as np, nearlin
class Double:
    shape = (50, 3)
    A = np.arange(150.0).reshape(50, 3) % 7
    def matvec(self, x): return self.A @ x
    def rmatvec(self, y): return self.A.T @ y
nearlin.lstsq(Double(), np.ones(50))
assert not any(name.startswith("scipy") for name in sys.modules), "SciPy was loaded"
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_operators_out_of_range_are_not_blamed_for_what_they_are_given():
    A, b = problem(400, 5)
    for method in ["spir", "lsmr"]:
        with pytest.raises(InvalidInputError, match="products are out of range, expected"):
            nearlin.lstsq(Products(A * 1e-315), b, method=method, rng=0)


class Shared(LinearOperator):
    """SciPy's, whose products share their memory; it makes those with several columns of single ones."""

    def __init__(self, A):
        super().__init__(A.dtype, A.shape)
        self.A, self.image, self.gradient = A, np.empty(len(A)), np.empty(A.shape[1])

    def _matvec(self, x):
        return np.dot(self.A, x.ravel(), out=self.image)

    def _rmatvec(self, y):
        return np.dot(self.A.T, y.ravel(), out=self.gradient)


class SharedAdjoint(Shared):
    def _adjoint(self):
        return Shared(self.A.T.copy())


SHARED = {
    "a subclass": Shared,
    "a subclass with its adjoint": SharedAdjoint,
    "functions": lambda A: LinearOperator(A.shape, matvec=Shared(A)._matvec, rmatvec=Shared(A)._rmatvec),
    "a sum": lambda A: Shared(A - 1.0) + aslinearoperator(np.ones(A.shape)),
    "a product": lambda A: Shared(A) @ aslinearoperator(np.eye(A.shape[1])),
    "twice the transpose": lambda A: Shared(A.T.copy()).T,
}


@pytest.mark.parametrize("wrap", SHARED.values(), ids=SHARED)
@pytest.mark.parametrize("method", ["spir", "lsmr"])
def test_products_of_scipy_may_share_their_memory(method, wrap):
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((300, 6)), rng.standard_normal((300, 2))
    result = nearlin.lstsq(wrap(A), B, method=method, rng=0)
    np.testing.assert_allclose(result.x, np.linalg.lstsq(A, B, rcond=None)[0], rtol=1e-12)


def test_several_columns_at_once_where_somebody_has_written_that():
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((300, 6)), rng.standard_normal((300, 2))
    widths = set()

    class Written(Shared):
        def _matmat(self, X):
            widths.add(X.shape[1])
            return self.A @ X

    written = Written(A)
    functions = LinearOperator(
        A.shape, matvec=A.dot, rmatvec=A.T.dot, matmat=written._matmat, rmatmat=A.T.dot
    )
    for operator in [written, functions]:
        widths.clear()
        nearlin.lstsq(operator, B, method="spir", rng=0)
        assert max(widths) == 6


@pytest.mark.parametrize("method", ["auto", "spir", "fossils", "lsmr"])
def test_products_may_share_their_memory(method):
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((300, 6)), rng.standard_normal((300, 2))
    image, gradient = np.empty(300), np.empty(6)

    class Frugal:
        shape, dtype = A.shape, A.dtype

        def matvec(self, x):
            return np.dot(A, x.ravel(), out=image)

        def rmatvec(self, y):
            return np.dot(A.T, y.ravel(), out=gradient)

    result = nearlin.lstsq(Frugal(), B, method=method, rng=0)
    np.testing.assert_allclose(result.x, np.linalg.lstsq(A, B, rcond=None)[0], rtol=1e-12)


@pytest.mark.parametrize("method", ["auto", "spir", "lsmr"])
@pytest.mark.parametrize("factor", [0.0, -1.0, 2.0])
def test_an_operator_with_another_transpose_is_refused(method, factor):
    A = np.random.default_rng(0).standard_normal((60, 3))
    operator = LinearOperator(
        A.shape, matvec=lambda x: A @ x, rmatvec=lambda y: factor * (A.T @ y), dtype=float
    )
    with pytest.raises(InvalidInputError, match="`A` is an operator with y'"):
        nearlin.lstsq(operator, A @ np.ones(3), method=method)
