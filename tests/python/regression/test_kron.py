"""Least squares with Kronecker products against the formed product, and the sketch that is made for them."""

import copy
import pickle

import numpy as np
import pandas
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import kron as reference
from reference import regression
from reference.layouts import same_bits
from reference.sketch import tensor_srht

import nearlin
from nearlin.exceptions import (
    AccuracyWarning,
    AllocationError,
    InvalidInputError,
    InvalidTypeError,
    NonFiniteError,
    ShapeError,
)
from nearlin.sketch import TensorSRHT

ROUNDOFF = regression.UNIT_ROUNDOFF
SHAPES = {
    "one": [(60, 7)],
    "two": [(13, 4), (11, 3)],
    "three": [(7, 2), (6, 3), (5, 4)],
    "four": [(4, 2), (3, 2), (5, 1), (3, 3)],
    "square": [(5, 5), (9, 4)],
    "columns": [(6, 1), (1, 1), (8, 1)],
}

each_shape = pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)


def draw(shapes, seed=0, k=None, dtype=float):
    """Factors and a right-hand side of random numbers, as a tensor."""
    rng = np.random.default_rng(seed)
    factors = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    rows = tuple(shape[0] for shape in shapes)
    return factors, rng.standard_normal(rows if k is None else (*rows, k)).astype(dtype)


@each_shape
@pytest.mark.parametrize("k", [None, 1, 4])
def test_answers_are_those_of_the_formed_product(shapes, k):
    factors, B = draw(shapes, k=k)
    A, b = reference.formed(factors), B.reshape(-1, *B.shape[len(shapes) :])
    result = nearlin.lstsq_kron(factors, B)
    expected = reference.solve(factors, b)
    np.testing.assert_allclose(result.x, expected, rtol=0, atol=1e-12 * abs(expected).max())
    assert result.tensor.shape == (*(shape[1] for shape in shapes), *B.shape[len(shapes) :])
    np.testing.assert_array_equal(result.tensor.reshape(result.x.shape), result.x)
    np.testing.assert_allclose(result.residual_norm, np.linalg.norm(b - A @ expected, axis=0), rtol=1e-10)
    assert result.rank == A.shape[1]
    assert result.n_iter <= 3
    assert result.certificate.met
    error = np.max(regression.backward_error(A, b, result.x))
    assert error <= 4 * ROUNDOFF
    assert error <= float(result.certificate) + 0.2 * ROUNDOFF


@each_shape
@pytest.mark.parametrize("ridge", [1e-6, 0.3, 1e5])
def test_ridge(shapes, ridge):
    factors, B = draw(shapes, k=2)
    A, b = reference.formed(factors), B.reshape(-1, 2)
    result = nearlin.lstsq_kron(factors, B, ridge=ridge)
    expected = np.linalg.solve(A.T @ A + ridge * np.eye(A.shape[1]), A.T @ b)
    np.testing.assert_allclose(result.x, expected, rtol=0, atol=1e-11 * abs(expected).max())
    np.testing.assert_allclose(result.residual_norm, np.linalg.norm(b - A @ expected, axis=0), rtol=1e-9)
    assert result.rank == A.shape[1]
    assert result.certificate.met
    augmented = regression.explicit(A, b, ridge=ridge)
    assert np.max(regression.backward_error(*augmented, result.x)) <= 4 * ROUNDOFF


@pytest.mark.parametrize("kappa", [1e2, 1e5, 1e8, 1e13])
@pytest.mark.parametrize("residual", [0.0, 1e-9, 1e-3, 1.0])
def test_backward_error_at_any_condition(kappa, residual):
    # The product has the square of this condition number, beyond what could be solved with it formed.
    factors = [reference.graded((30, 6), kappa), reference.graded((20, 5), kappa, seed=1)]
    A, rng = reference.formed(factors), np.random.default_rng(2)
    b = A @ rng.standard_normal(30)
    b = b / np.linalg.norm(b) + residual * rng.standard_normal(600) / np.sqrt(600)
    result = nearlin.lstsq_kron(factors, b)
    error = regression.backward_error(A, b, result.x)
    assert error <= 2 * ROUNDOFF
    assert error <= float(result.certificate) + 0.2 * ROUNDOFF
    assert result.rank == 30
    # Scaling columns improves it.
    assert 0.1 * kappa**2 <= result.certificate.details["condition"] <= kappa**2


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=4),
    st.integers(0, 2**32),
    st.sampled_from([None, 1, 3]),
    st.sampled_from([0.0, 0.1]),
)
def test_whatever_the_shape_answers_are_shortest_and_gradients_vanish(shapes, seed, k, ridge):
    factors, B = draw(shapes, seed, k)
    A, b = reference.formed(factors), B.reshape(-1, *B.shape[len(shapes) :])
    result = nearlin.lstsq_kron(factors, B, ridge=ridge)
    gradient = A.T @ (b - A @ result.x) - ridge * result.x
    size = np.linalg.norm(A) ** 2 * np.linalg.norm(result.x) + np.linalg.norm(A) * np.linalg.norm(b)
    assert np.linalg.norm(gradient) <= 1e-14 * size
    if ridge == 0.0:
        assert result.rank == np.prod([min(shape) for shape in shapes])
        shortest = reference.pseudo_inverse(factors, b)
        condition = np.prod([np.linalg.cond(factor) for factor in factors])
        assert np.linalg.norm(result.x) <= np.linalg.norm(shortest) * (1 + 1e-14 * condition)


def deficient(shape, rank, seed):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1]))


@pytest.mark.parametrize(
    ("factors", "rank"),
    [
        ([deficient((12, 5), 3, 0), deficient((9, 4), 4, 1)], 12),
        ([deficient((4, 9), 4, 0), deficient((9, 4), 4, 1)], 16),
        ([deficient((4, 9), 2, 0), deficient((3, 5), 3, 1), deficient((6, 2), 1, 2)], 6),
        ([np.ones((5, 3))], 1),
        ([np.eye(6, 4) * [1.0, 1.0, 0.0, 1.0], deficient((5, 2), 2, 3)], 6),
        ([np.zeros((5, 3)), deficient((4, 2), 2, 0)], 0),
        ([deficient((12, 5), 3, 0) * np.logspace(-4, 4, 5), deficient((9, 4), 4, 1)], 12),
    ],
    ids=["deficient", "wide", "both", "ones", "empty column", "zero", "columns of all sizes"],
)
def test_factors_that_lack_rank_have_the_shortest_answer(factors, rank):
    b = np.random.default_rng(9).standard_normal(np.prod([len(factor) for factor in factors]))
    result = nearlin.lstsq_kron(factors, b)
    expected = reference.pseudo_inverse(factors, b)
    assert result.rank == rank
    np.testing.assert_allclose(result.x, expected, rtol=0, atol=1e-10 * abs(expected).max())
    assert result.certificate.met


def test_columns_of_zeros_have_coefficients_of_zero():
    factors, B = draw([(9, 3), (8, 3)])
    factors[0][:, 1] = 0.0
    X = nearlin.lstsq_kron(factors, B).tensor
    assert not X[1].any()
    assert X[[0, 2]].all()


@pytest.mark.parametrize(("large", "small"), [(1e100, 1e-290), (1e20, 1e-295)])
@pytest.mark.parametrize("method", ["exact", "sketch"])
def test_answers_below_the_normal_range_are_not_said_to_be_right(large, small, method):
    factors = [np.array([[large], [large]]), np.array([[1.0], [2.0]])]
    b = np.array([1, 2, 3, 5.0]) * small
    fit = nearlin.lstsq_kron(factors, b, method=method)
    assert fit.certificate.met in (False, None)
    with pytest.warns(AccuracyWarning):
        plain = nearlin.lstsq(np.kron(*factors), b)
    assert fit.certificate.bound >= 0.5 * plain.certificate.bound


def test_a_ridge_decides_what_is_negligible():
    factors = [deficient((12, 5), 3, 0), deficient((9, 4), 4, 1)]
    b = np.random.default_rng(9).standard_normal(108)
    results = [nearlin.lstsq_kron(factors, b, ridge=ridge) for ridge in (1e-40, 1.0)]
    assert [result.rank for result in results] == [12, 20]
    np.testing.assert_allclose(results[0].x, reference.pseudo_inverse(factors, b), rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e150, 1e300])
@pytest.mark.parametrize("where", ["factor", "B", "column"])
def test_scales(scale, where):
    factors, B = draw([(9, 3), (8, 2), (7, 2)])
    expected = nearlin.lstsq_kron(factors, B).tensor
    if where == "factor":
        factors[1] *= scale
        expected = expected / scale
    elif where == "B":
        B = B * scale
        expected = expected * scale
    else:
        factors[0][:, 1] *= scale
        expected[1] /= scale
    result = nearlin.lstsq_kron(factors, B)
    assert result.rank == 12
    assert result.certificate.met
    np.testing.assert_allclose(result.tensor, expected, rtol=1e-10)


def test_scales_that_cancel_and_scales_that_do_not():
    factors, B = draw([(9, 3), (8, 2), (7, 2)])
    expected = nearlin.lstsq_kron(factors, B).x
    powers = [2.0**700, 2.0**-900, 2.0**200]
    scaled = [power * factor for power, factor in zip(powers, factors, strict=True)]
    np.testing.assert_array_equal(nearlin.lstsq_kron(scaled, B).x, expected)
    with pytest.raises(InvalidInputError, match=r"`factors`.*overflows"):
        nearlin.lstsq_kron([2.0**-600 * factor for factor in factors], B)
    with pytest.raises(InvalidInputError, match="`ridge`"):
        nearlin.lstsq_kron([1e-110 * factor for factor in factors], B, ridge=1.0)
    ridged = nearlin.lstsq_kron([factors[0] * 2.0**300, *factors[1:]], B, ridge=2.0**600).x
    np.testing.assert_array_equal(ridged * 2.0**300, nearlin.lstsq_kron(factors, B, ridge=1.0).x)


def test_a_right_hand_side_of_zero():
    factors, B = draw([(9, 3), (8, 2)], k=3)
    B[..., 1] = 0.0
    result = nearlin.lstsq_kron(factors, B)
    assert not result.x[:, 1].any()
    assert result.residual_norm[1] == 0.0
    assert result.certificate.met
    np.testing.assert_allclose(result.x, reference.solve(factors, B.reshape(-1, 3)), atol=1e-12)


# --- input --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["exact", "sketch"])
def test_memory_layouts(method):
    factors, B = draw([(9, 3), (8, 2)])
    spread = np.zeros((18, 24))[::2, ::3]
    spread[:] = B
    read_only = B.copy()
    read_only.setflags(write=False)
    expected = nearlin.lstsq_kron(factors, B, method=method, rng=0).x
    for layout in (
        np.asfortranarray(B),
        spread,
        B[::-1, ::-1].copy()[::-1, ::-1],
        read_only,
        pandas.DataFrame(B),
    ):
        result = nearlin.lstsq_kron(
            [np.asfortranarray(factors[0]), factors[1][::-1].copy()[::-1]], layout, method=method, rng=0
        )
        np.testing.assert_array_equal(result.x, expected)
    sparse = [scipy.sparse.csr_array(factors[0]), scipy.sparse.coo_array(factors[1])]
    np.testing.assert_array_equal(nearlin.lstsq_kron(sparse, B, method=method, rng=0).x, expected)
    np.testing.assert_array_equal(nearlin.lstsq_kron(factors, B.ravel(), method=method, rng=0).x, expected)
    three, T = draw([(9, 3), (8, 2), (3, 2)])
    np.testing.assert_array_equal(
        nearlin.lstsq_kron(three, np.asfortranarray(T), method=method, rng=0).x,
        nearlin.lstsq_kron(three, T, method=method, rng=0).x,
    )


def test_columns_of_several_right_hand_sides_are_solved_one_by_one():
    factors, B = draw([(9, 3), (8, 2)], k=3)
    together = nearlin.lstsq_kron(factors, B.reshape(72, 3))
    assert together.x.shape == (6, 3)
    for j in range(3):
        alone = nearlin.lstsq_kron(factors, B[..., j])
        np.testing.assert_allclose(together.x[:, j], alone.x, rtol=1e-12)
        assert together.residual_norm[j] == pytest.approx(alone.residual_norm, rel=1e-12)


def test_single_precision():
    factors, B = draw([(40, 3), (30, 4)], dtype=np.float32)
    result = nearlin.lstsq_kron(factors, B)
    assert result.x.dtype == np.float32
    assert result.certificate.met
    assert result.certificate.target == 2.0**-24
    A, b = reference.formed(factors), B.astype(float).ravel()
    error = regression.backward_error(A, b, result.x)
    assert 1e-12 < error <= float(result.certificate)
    mixed = nearlin.lstsq_kron([factors[0].astype(float), factors[1]], B)
    assert mixed.x.dtype == np.float64
    assert regression.backward_error(A, b, mixed.x) <= 2 * ROUNDOFF
    with pytest.raises(InvalidInputError, match="overflows"):
        nearlin.lstsq_kron([factors[0] * np.float32(1e-38), factors[1] * np.float32(1e-20)], B)


@pytest.mark.parametrize("method", ["exact", "sketch"])
@pytest.mark.parametrize("shapes", [[(700, 9), (300, 8)], [(90, 4), (50, 3), (40, 3)]])
def test_bits_do_not_depend_on_threads(shapes, method):
    factors, B = draw(shapes, k=2)
    first, *others = [nearlin.lstsq_kron(factors, B, method=method, rng=3, n_jobs=n).x for n in (1, 2, 5)]
    assert all(same_bits(other, first) for other in others)


def test_progress_is_told():
    told = []
    factors, B = draw([(9, 3), (8, 2)])
    nearlin.lstsq_kron(factors, B, progress=lambda done, total, figures: told.append((done, total, figures)))
    assert told[-1][0] == told[-1][1]
    assert told[-1][2]["backward_error"] <= ROUNDOFF


def test_what_makes_no_sense_is_refused():
    factors, B = draw([(9, 3), (8, 2)])
    with pytest.raises(InvalidTypeError, match="`factors`"):
        nearlin.lstsq_kron(3.0, B)
    with pytest.raises(InvalidTypeError, match="`factors`"):
        nearlin.lstsq_kron(scipy.sparse.csr_array(np.eye(4)), B)
    with pytest.raises(ShapeError, match="`factors` is empty"):
        nearlin.lstsq_kron([], B)
    with pytest.raises(ShapeError, match=r"`factors\[1\]`"):
        nearlin.lstsq_kron([factors[0], np.ones(8)], B)
    with pytest.raises(ShapeError, match=r"`factors\[0\]`"):
        nearlin.lstsq_kron([np.ones((9, 0)), factors[1]], B)
    for wrong in (B[1:], B.ravel()[1:], B.T, np.ones((9, 8, 0)), np.ones((9, 8, 1, 1))):
        with pytest.raises(ShapeError, match="`B` has shape"):
            nearlin.lstsq_kron(factors, wrong)
    for ridge in (-1.0, np.nan, np.inf):
        with pytest.raises(InvalidInputError, match="`ridge`"):
            nearlin.lstsq_kron(factors, B, ridge=ridge)
    for options in (
        {"method": "qr"},
        {"sketch_size": 0, "method": "sketch"},
        {"sketch_size": 9},
        {"tol": 0.0},
        {"rcond": 1.0},
    ):
        with pytest.raises(InvalidInputError, match=f"`{next(iter(options))}`"):
            nearlin.lstsq_kron(factors, B, **options)
    with pytest.raises(InvalidTypeError, match="Complex"):
        nearlin.lstsq_kron(factors, B * 1j)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("method", ["exact", "sketch"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_and_infinity_are_named(bad, method, dtype):
    factors, B = draw([(9, 3), (8, 2), (3, 1)], k=2, dtype=dtype)
    B[5, 7, 1, 1] = bad
    with pytest.raises(NonFiniteError, match=r"`B` contains .* at \[5, 7, 1\]"):
        nearlin.lstsq_kron(factors, B, method=method)
    B[5, 7, 1, 1] = 1.0
    factors[1][4, 1] = bad
    with pytest.raises(NonFiniteError, match=r"`factors` contains .* at \[1\]\[4, 1\]"):
        nearlin.lstsq_kron(factors, B, method=method)


# --- sketched -----------------------------------------------------------------------------------------------


@each_shape
@pytest.mark.parametrize("ridge", [0.0, 0.5])
def test_the_sketched_answer_solves_the_sketched_problem(shapes, ridge):
    factors, B = draw(shapes)
    S = TensorSRHT(300, [shape[0] for shape in shapes], rng=5)
    dense = S.to_dense()
    result = nearlin.lstsq_kron(factors, B, ridge=ridge, method="sketch", sketch_size=300, rng=5)
    A = reference.formed(factors)
    A_sketched, b_sketched = regression.explicit(dense @ A, dense @ B.ravel(), ridge=ridge)
    expected = regression.minimum_norm(A_sketched, b_sketched)
    np.testing.assert_allclose(result.x, expected, rtol=0, atol=1e-10 * abs(expected).max())
    assert result.sketch_size == 300
    assert result.certificate.met is None
    assert result.residual_norm == pytest.approx(np.linalg.norm(B.ravel() - A @ result.x), rel=1e-10)
    true = regression.backward_error(*regression.explicit(A, B.ravel(), ridge=ridge), result.x)
    assert 0.2 * result.certificate.estimate <= true <= 5 * result.certificate.estimate
    if ridge == 0.0:
        assert true <= float(result.certificate)


def test_sketched_residuals_are_near_the_least():
    factors, B = draw([(64, 4), (64, 4)])
    least = nearlin.lstsq_kron(factors, B).residual_norm
    seeds, m, d = range(60), 256, 16
    lengths = [
        nearlin.lstsq_kron(factors, B, method="sketch", sketch_size=m, rng=seed).residual_norm
        for seed in seeds
    ]
    excess = np.mean((np.array(lengths) / least) ** 2 - 1)
    assert 0.5 * d / m <= excess <= 2 * d / m


def test_a_problem_without_a_residual_is_solved_by_its_sketch():
    factors, _ = draw([(50, 4), (40, 3)])
    X = np.random.default_rng(1).standard_normal((4, 3))
    result = nearlin.lstsq_kron(factors, factors[0] @ X @ factors[1].T, method="sketch", rng=0)
    assert (result.rank, result.sketch_size) == (12, 48)
    np.testing.assert_allclose(result.tensor, X, rtol=1e-11)


# --- TensorSRHT ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dims", [(1,), (6,), (5, 3), (4, 1, 6), (2, 5, 3, 4), (2, 3, 2, 3, 2)])
@pytest.mark.parametrize("seed", [0, 2**64 - 1])
def test_every_entry_is_that_of_the_definition(dims, seed):
    S = TensorSRHT(11, dims, rng=seed)
    expected = tensor_srht(11, dims, seed)
    assert S.shape == expected.shape == (11, S.n)
    np.testing.assert_allclose(S.to_dense(), expected, rtol=0, atol=1e-13 * abs(expected).max())


@each_shape
def test_products_and_their_factors_have_one_sketch(shapes):
    factors, B = draw(shapes, k=2)
    dims = [shape[0] for shape in shapes]
    S, A = TensorSRHT(20, dims, rng=1), reference.formed(factors)
    size = np.linalg.norm(A)
    np.testing.assert_allclose(S.apply_factors(factors), S @ A, rtol=0, atol=1e-14 * size)
    np.testing.assert_allclose(S @ A, S.to_dense() @ A, rtol=0, atol=1e-14 * size)
    np.testing.assert_allclose(S @ B, S.to_dense() @ B.reshape(-1, 2), rtol=0, atol=1e-13)
    np.testing.assert_array_equal(S @ B[..., 0].copy(), S @ B[..., 0].ravel())
    single = S.apply_factors([factor.astype(np.float32) for factor in factors])
    assert single.dtype == (S @ B.astype(np.float32)).dtype == np.float32
    sparse = [scipy.sparse.csc_array(factor) for factor in factors]
    np.testing.assert_array_equal(S.apply_factors(sparse, n_jobs=3), S.apply_factors(factors, n_jobs=1))
    np.testing.assert_array_equal(S.apply(B, n_jobs=3), S.apply(B, n_jobs=1))


@pytest.mark.parametrize("dims", [(60,), (6, 10), (3, 4, 5)])
def test_squared_lengths_are_right_on_average(dims):
    x = np.random.default_rng(0).standard_normal(60)
    squares = np.array([np.sum((TensorSRHT(16, dims, rng=seed) @ x) ** 2) for seed in range(300)]) / (x @ x)
    assert abs(squares.mean() - 1) <= 5 * squares.std() / np.sqrt(len(squares))


def test_it_is_a_value():
    S = TensorSRHT(8, (5, 4), rng=7)
    assert (S.m, S.dims, S.n, S.seed, S.shape) == (8, (5, 4), 20, 7, (8, 20))
    assert repr(S) == "TensorSRHT(m=8, dims=(5, 4), rng=7)"
    for other in (eval(repr(S)), pickle.loads(pickle.dumps(S)), copy.deepcopy(S)):
        assert other == S
        assert hash(other) == hash(S)
        assert isinstance(other, TensorSRHT)
    assert all(S != other for other in (TensorSRHT(8, (4, 5), rng=7), TensorSRHT(8, (5, 4), rng=8), 3))


def test_sketches_that_make_no_sense_are_refused():
    for m, dims, name in [(0, (2,), "m"), (1, (), "dims"), (1, (2, 0), "dims"), (1, (2**40, 2**40), "dims")]:
        with pytest.raises(InvalidInputError, match=f"`{name}`"):
            TensorSRHT(m, dims)
    for dims in ("23", 3, (2.0, 3)):
        with pytest.raises(InvalidTypeError, match="`dims`"):
            TensorSRHT(1, dims)
    S = TensorSRHT(4, (5, 3), rng=0)
    with pytest.raises(ShapeError, match="`factors` have"):
        S.apply_factors([np.ones((5, 2))])
    with pytest.raises(ShapeError, match="`A` has shape"):
        S @ np.ones((3, 5))
    bad = np.ones((5, 3))
    bad[4, 2] = np.nan
    with pytest.raises(NonFiniteError, match=r"`A` contains NaN at \[14, 0\]"):
        S @ bad
    with pytest.raises(NonFiniteError, match=r"`factors` contains NaN at \[0\]\[4, 2\]"):
        S.apply_factors([bad, np.ones((3, 1))])
    with pytest.raises(InvalidInputError, match="overflows"):
        S.apply_factors([np.full((5, 1), 1e200), np.full((3, 1), 1e200)])
    with pytest.raises(AllocationError):
        TensorSRHT(2, (1, 1)).apply_factors([np.ones((1, 4_000_000))] * 2)
