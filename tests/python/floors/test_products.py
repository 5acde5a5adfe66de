"""Products with blocks of vectors beside SciPy's, and a column of each beside that column alone."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from reference.layouts import doubled, misaligned, read_only, same_bits

from nearlin import _core
from nearlin.exceptions import InternalError

SHAPES = [(0, 0), (0, 5), (5, 0), (1, 1), (7, 300), (300, 7), (1500, 40)]


def matrix(rng, shape, density, form, dtype, index):
    entries = rng.standard_normal(shape) * (rng.random(shape) < density)
    A = sp.csr_array(entries).asformat(form).astype(dtype)
    A.indices, A.indptr = A.indices.astype(index), A.indptr.astype(index)
    return A


def laid_out(X, layout):
    k = X.shape[1]
    if layout == "strided":
        return np.repeat(np.repeat(X, 2, 0), 3, 1)[::2, ::3]
    if layout == "columns of more":
        return np.concatenate([X, X], 1)[:, :k]
    return np.asarray(X, order=layout)


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32),
    shape=st.sampled_from(SHAPES),
    k=st.sampled_from([0, 1, 2, 7, 8, 9, 16, 24, 31, 32, 33, 70]),
    density=st.sampled_from([0, 0.01, 0.2, 1]),
    form=st.sampled_from(["csr", "csc"]),
    dtype=st.sampled_from([np.float32, np.float64]),
    index=st.sampled_from([np.int32, np.int64]),
    layout=st.sampled_from(["C", "F", "strided", "columns of more"]),
    c_order=st.booleans(),
    threads=st.sampled_from([1, 2]),
)
def test_sparse_products_are_scipys_and_those_of_each_column(
    seed, shape, k, density, form, dtype, index, layout, c_order, threads
):
    rng = np.random.default_rng(seed)
    A = matrix(rng, shape, density, form, dtype, index)
    wide = A.astype(np.float64)
    ours = _core.Products(A)
    for product, theirs, rows in [
        (ours.product, wide, shape[1]),
        (ours.transposed_product, wide.T, shape[0]),
    ]:
        X = laid_out(rng.standard_normal((rows, k)), layout)
        found = product(X, c_order=c_order, threads=threads)
        size = abs(theirs).sum(1).max(initial=0) * np.abs(X).max(initial=0)
        assert found.flags["C" if c_order else "F"] or 1 in found.shape
        assert_allclose(found, theirs @ X, rtol=0, atol=1e-14 * size)
        for j in range(0, k, 5):
            alone = product(X[:, j : j + 1].copy(), c_order=True, threads=1)
            assert same_bits(found[:, j : j + 1].copy(), alone)
    squares = ours.squared_column_norms(threads=threads)[:, 0]
    assert_allclose(squares, np.asarray(wide.multiply(wide).sum(0)).ravel(), rtol=1e-13, atol=0)


@pytest.mark.parametrize("form", ["csr", "csc"])
def test_sums_over_many_blocks_of_rows_do_not_depend_on_threads(form):
    rng = np.random.default_rng(0)
    A = matrix(rng, (60_000, 50), 0.2, form, np.float64, np.int32)
    Y = rng.standard_normal((60_000, 11))
    one, two = (_core.Products(A).transposed_product(Y, c_order=True, threads=t) for t in (1, 2))
    assert same_bits(one, two)
    other = _core.Products(A.tocsc() if form == "csr" else A.tocsr())
    assert same_bits(one, other.transposed_product(Y, c_order=True, threads=2))
    assert_allclose(one, A.T @ Y, rtol=0, atol=1e-10)


ARRAYS = {
    "every other": lambda a: np.repeat(a, 2, axis=0)[::2],
    "backwards": lambda a: a[::-1].copy()[::-1],
    "of another byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "misaligned": misaligned,
    "read-only": read_only,
    "of one number": lambda a: np.broadcast_to(a[:1], a.shape) if a.ndim == 2 else a,
}


@pytest.mark.parametrize("arrays", ARRAYS)
@pytest.mark.parametrize("form", ["csr", "csc"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_do_not_depend_on_how_arrays_lie_and_lines_are_written(dtype, form, arrays):
    rng, odd = np.random.default_rng(3), ARRAYS[arrays]
    plain = matrix(rng, (300, 40), 0.2, form, dtype, np.int32)
    halves = doubled(plain) if form == "csr" else doubled(plain.T).T
    A = type(plain)(plain.shape, dtype=dtype)
    # Behind the entries there is room for more, which holds anything.
    A.data, A.indices = odd(np.append(halves.data, dtype(np.nan))), odd(np.append(halves.indices, -1))
    A.indptr = odd(halves.indptr)
    ours, theirs = _core.Products(A), _core.Products(plain)
    for k, (name, rows) in itertools.product((1, 7, 33), [("product", 40), ("transposed_product", 300)]):
        X = odd(rng.standard_normal((rows, k)))
        expected = getattr(theirs, name)(np.array(X, float, order="C"), c_order=True, threads=1)
        for c_order, threads in ((False, 1), (True, 2), (False, 3)):
            assert same_bits(getattr(ours, name)(X, c_order=c_order, threads=threads), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", ["C", "F", "columns of more"])
@pytest.mark.parametrize("k", [0, 1, 5])
def test_dense_products_are_numpys(dtype, layout, k):
    rng = np.random.default_rng(1)
    A = laid_out(rng.standard_normal((700, 30)).astype(dtype), layout)
    X, Y = rng.standard_normal((30, k)), rng.standard_normal((700, k))
    ours, wide = _core.Products(A), A.astype(np.float64)
    for threads in (1, 2):
        assert_allclose(ours.product(X, c_order=False, threads=threads), wide @ X, atol=1e-12)
        assert_allclose(ours.transposed_product(Y, c_order=True, threads=threads), wide.T @ Y, atol=1e-11)
        assert_allclose(ours.squared_column_norms(threads=threads)[:, 0], (wide**2).sum(0), rtol=1e-12)


def test_what_is_not_finite_reaches_the_product():
    A = sp.csr_array(np.array([[1.0, 0.0], [0.0, 2.0]]))
    X = np.array([[np.nan, 1.0], [1.0, np.inf]])
    found = _core.Products(A).product(X, c_order=True, threads=1)
    assert np.isnan(found[0, 0])
    assert np.isinf(found[1, 1])
    assert (found[0, 1], found[1, 0]) == (1, 2)


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array, sp.csc_array])
def test_shapes_that_do_not_fit_are_a_defect_of_the_caller(convert):
    """Of a column, that is: users do not get here."""
    A, X = _core.Products(convert(np.eye(3, 2))), np.ones((4, 5))
    for product, shapes in ((A.product, "3 x 2"), (A.transposed_product, "2 x 3")):
        with pytest.raises(InternalError, match=rf"{shapes} times 4 x 5.*; a defect of nearlin"):
            product(X, c_order=True, threads=1)
