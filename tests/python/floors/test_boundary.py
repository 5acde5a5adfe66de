"""Every public function against every input: the right answer, or an error that names the argument.

A new public function joins by one line in `CALLS`.
"""

import itertools
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from reference.layouts import misaligned, read_only

import nearlin
from nearlin import sketch
from nearlin.exceptions import AllocationError, FallbackWarning, NearlinError


@dataclass(frozen=True)
class Call:
    """A public function of a matrix and, perhaps, of right-hand sides."""

    run: Callable[..., np.ndarray]
    """Takes A and b as a user would give them."""
    expected: Callable[[np.ndarray, np.ndarray], np.ndarray]
    """The same in plain NumPy, for float64 arrays of ordinary size."""
    scale: tuple[int, int]
    """The powers with which the result grows with A and with b."""
    blame: dict[str, str] = field(default_factory=lambda: {"A": "`A`", "b": "`b`"})
    """What an error says when that argument is at fault, as a regular expression."""
    apart: frozenset[str] = frozenset()
    """Cases that the function treats in a way of its own."""


def least_squares(A, b):
    return np.linalg.lstsq(A, b, rcond=None)[0]


def ridge(A, b):
    return np.linalg.solve(A.T @ A + np.eye(A.shape[1]), A.T @ b)


def fitted(estimator):
    return lambda A, b: estimator.set_params(fit_intercept=False).fit(A, b).coef_.T


def shape_of(A):
    return A.shape if hasattr(A, "shape") and len(A.shape) == 2 else (40, 4)


def at_once(S, A):
    return S @ A


def streamed(S, A):
    accumulator = S.accumulate(shape_of(A)[1])
    accumulator.partial_fit(A)
    return accumulator.result()


def sketched(kind, apply=at_once, apart=frozenset()):
    return Call(
        run=lambda A, b: apply(kind(10, max(shape_of(A)[0], 1), rng=3), A),
        expected=lambda A, b: kind(10, A.shape[0], rng=3).to_dense() @ A,
        scale=(1, 0),
        blame={"A": "`A`"},
        apart=frozenset({"one dimension"}) | apart,
    )


SCIKIT_LEARN = {
    "blame": {"A": "`X`", "b": "`y`"},
    "apart": frozenset({"float16", "big-endian float32"}),  # which it makes float64
}
SINGLE = frozenset(
    {"float32", "float32, Fortran order", "float16", "big-endian float32", "float32 CSR", "float32 CSC"}
)
SOLUTION = {"expected": least_squares, "scale": (-1, 1)}
EMPTY = {"apart": frozenset({"empty", "no columns"})}  # as in NumPy: see test_empty.py
CALLS = {
    "lstsq": Call(lambda A, b: nearlin.lstsq(A, b, rng=0).x, **SOLUTION, **EMPTY),
    "lstsq-gram": Call(lambda A, b: nearlin.lstsq(A, b, method="gram", rng=0).x, **SOLUTION, **EMPTY),
    "lstsq-whitened": Call(lambda A, b: nearlin.lstsq(A, b, method="whitened", rng=0).x, **SOLUTION, **EMPTY),
    "lstsq-spir": Call(lambda A, b: nearlin.lstsq(A, b, method="spir", rng=0).x, **SOLUTION, **EMPTY),
    "lstsq-qr": Call(lambda A, b: nearlin.lstsq(A, b, method="qr", rng=0).x, **SOLUTION, **EMPTY),
    "lstsq-lsmr": Call(lambda A, b: nearlin.lstsq(A, b, method="lsmr", rng=0).x, **SOLUTION, **EMPTY),
    "LinearRegression": Call(fitted(nearlin.LinearRegression()), **SOLUTION, **SCIKIT_LEARN),
    "Ridge": Call(fitted(nearlin.Ridge(alpha=1.0)), ridge, scale=(-1, 1), **SCIKIT_LEARN),
    "SRHT": sketched(sketch.SRHT),
    "PHT": sketched(sketch.PHT),
    "SparseSign": sketched(sketch.SparseSign),
    "CountSketch": sketched(sketch.CountSketch),
    "Gaussian": sketched(sketch.Gaussian),
    # A stream is told its columns and its dtype beforehand, and a block of no rows is a block.
    "accumulate": sketched(sketch.SparseSign, streamed, SINGLE | {"empty", "no columns"}),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


def cells(name, cases, applies):
    """Every call with every case that applies to it."""
    pairs = [(call, case) for call in CALLS for case in cases if applies(CALLS[call], case)]
    ids = [f"{call}-{case}" for call, case in pairs]
    return pytest.mark.parametrize(("call", name), [(CALLS[call], case) for call, case in pairs], ids=ids)


# Small integers, so that every dtype holds them exactly.
A = np.random.default_rng(1).integers(-9, 10, (40, 4)).astype(float)
A[A == 0] = 10
A[::3, 1] = 0
B = np.random.default_rng(2).integers(-9, 10, (40, 2)).astype(float)


def reversed_rows(a):
    return np.ascontiguousarray(a[::-1])[::-1]


def reversed_columns(a):
    return np.ascontiguousarray(a[:, ::-1])[:, ::-1]


def sliced(a):
    spread = np.full((2 * a.shape[0], 3 * a.shape[1]), np.nan)
    spread[::2, ::3] = a
    return spread[::2, ::3]


def field_of_records(a):
    records = np.zeros(a.shape, [("label", "i4"), ("value", a.dtype)])
    records["value"] = a
    return records["value"]


def memory_map(a, folder):
    np.save(folder / "a.npy", a)
    return np.load(folder / "a.npy", mmap_mode="r")


def unsorted(a):
    matrix = sp.csr_array(a)
    for start, stop in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True):
        matrix.indices[start:stop] = matrix.indices[start:stop][::-1].copy()
        matrix.data[start:stop] = matrix.data[start:stop][::-1].copy()
    return sp.csr_array((matrix.data, matrix.indices, matrix.indptr), shape=a.shape)


def duplicated(a):
    matrix = sp.csr_array(a)
    data = np.repeat(matrix.data, 2) * np.tile([0.25, 0.75], matrix.nnz)
    return sp.csr_array((data, np.repeat(matrix.indices, 2), 2 * matrix.indptr), shape=a.shape)


def with_indices(dtype, indptr_dtype):
    def convert(a):
        matrix = sp.csr_array(a)
        matrix.indices, matrix.indptr = matrix.indices.astype(dtype), matrix.indptr.astype(indptr_dtype)
        return matrix

    return convert


def with_data(matrix, **changes):
    matrix = matrix.copy()
    for name, (position, value) in changes.items():
        getattr(matrix, name)[position] = value
    return matrix


LAYOUTS = {
    "C order": np.ascontiguousarray,
    "Fortran order": np.asfortranarray,
    "float32": lambda a: a.astype(np.float32),
    "float32, Fortran order": lambda a: a.astype(np.float32, order="F"),
    "float16": lambda a: a.astype(np.float16),
    "extended precision": lambda a: a.astype(np.longdouble),
    "int8": lambda a: a.astype(np.int8),
    "int64": lambda a: a.astype(np.int64),
    "big-endian": lambda a: a.astype(">f8"),
    "big-endian float32": lambda a: a.astype(">f4"),
    "read-only": read_only,
    "reversed rows": reversed_rows,
    "reversed columns": reversed_columns,
    "every other row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "sliced both ways": sliced,
    "misaligned": misaligned,
    "field of records": field_of_records,
    "np.matrix": lambda a: a.view(np.matrix),
    "masked array without masks": np.ma.array,
    "nested lists": np.ndarray.tolist,
    "pandas": pd.DataFrame,
    "polars": pl.DataFrame,
    "memory map": memory_map,
    "CSR": sp.csr_array,
    "CSR matrix": sp.csr_matrix,
    "CSC": sp.csc_array,
    "CSC matrix": sp.csc_matrix,
    "COO": sp.coo_array,
    "float32 CSR": lambda a: sp.csr_array(a.astype(np.float32)),
    "float32 CSC": lambda a: sp.csc_array(a.astype(np.float32)),
    "integer CSR": lambda a: sp.csr_array(a.astype(int)),
    "CSR, unsorted": unsorted,
    "CSR, duplicates": duplicated,
    "CSR, 64-bit indices": with_indices(np.int64, np.int64),
    "CSR, mixed indices": with_indices(np.int32, np.int64),
}


@cells("layout", LAYOUTS, lambda call, layout: layout not in call.apart)
def test_the_answer_does_not_depend_on_the_layout(call, layout, tmp_path):
    convert = LAYOUTS[layout]
    given = convert(A, tmp_path) if convert is memory_map else convert(A)
    single = layout in SINGLE
    answer = call.run(given, B)
    assert answer.dtype == (np.float32 if single else np.float64)
    expected = call.expected(A, B)
    np.testing.assert_allclose(
        answer, expected, rtol=0, atol=(2e-6 if single else 1e-13) * np.abs(expected).max()
    )


@cells(
    "layout",
    ["float32", "int64", "big-endian", "reversed rows", "misaligned", "sliced both ways"],
    lambda call, layout: "b" in call.blame,
)
def test_right_hand_sides_may_have_any_layout(call, layout):
    np.testing.assert_array_equal(call.run(A, LAYOUTS[layout](B)), call.run(A, B))


def poisoned(a, value):
    a = a.copy()
    a[7, 1] = value
    return a


csr = sp.csr_array(A)
UNFIT = {
    "empty": ("A", A[:0], B[:0]),
    "no columns": ("A", A[:, :0], B),
    "one dimension": ("A", A[:, 0], B),
    "three dimensions": ("A", A[None], B),
    "nothing": ("A", None, B),
    "text": ("A", "matrix", B),
    "ragged": ("A", [[1.0], [2.0, 3.0]], B[:2]),
    "complex": ("A", A + 0j, B),
    "strings": ("A", A.astype(str), B),
    "objects": ("A", np.array([[object()] * 4] * 40), B),
    "dates": ("A", A.astype("datetime64[s]"), B),
    "NaN": ("A", poisoned(A, np.nan), B),
    "infinity": ("A", poisoned(A, np.inf), B),
    "float32 NaN": ("A", poisoned(A, np.nan).astype(np.float32), B),
    "Fortran-order -infinity": ("A", np.asfortranarray(poisoned(A, -np.inf)), B),
    "masked": ("A", np.ma.array(A, mask=A > 8), B),
    "CSR NaN": ("A", with_data(csr, data=(3, np.nan)), B),
    "CSC infinity": ("A", with_data(csr.tocsc(), data=(3, np.inf)), B),
    "CSR complex": ("A", csr.astype(complex), B),
    "CSR index too large": ("A", with_data(csr, indices=(3, 4)), B),
    "CSR index negative": ("A", with_data(csr, indices=(3, -1)), B),
    "CSR indptr decreasing": ("A", with_data(csr, indptr=(3, 999)), B),
    "fewer right-hand entries": ("b", A, B[:-1]),
    "more right-hand entries": ("b", A, np.append(B, B, axis=0)),
    "right-hand scalar": ("b", A, 1.0),
    "right-hand nothing": ("b", A, None),
    "right-hand sides in three dimensions": ("b", A, B[:, :, None]),
    "right-hand NaN": ("b", A, poisoned(B, np.nan)),
    "right-hand infinity": ("b", A, poisoned(B, np.inf)),
    "right-hand complex": ("b", A, B + 0j),
    "right-hand strings": ("b", A, B.astype(str)),
    "right-hand objects": ("b", A, np.array([[object()]] * 40)),
}


@cells("case", UNFIT, lambda call, case: UNFIT[case][0] in call.blame and case not in call.apart)
def test_what_is_unfit_is_refused_by_name(call, case):
    argument, a, b = UNFIT[case]
    with pytest.raises((ValueError, TypeError), match=call.blame[argument]) as caught:
        call.run(a, b)
    assert isinstance(caught.value, NearlinError)


tall = np.random.default_rng(3).standard_normal((60, 5))
right = np.random.default_rng(4).standard_normal((60, 2))
SPECIAL = {
    "1 x 1": (tall[:1, :1], right[:1]),
    "one row": (tall[:1], right[:1]),
    "one column": (tall[:, :1], right),
    "square": (tall[:5], right[:5]),
    "fewer rows than columns": (tall[:3], right[:3]),
    "one repeated column": (tall[:, [0, 1, 2, 0, 3]], right),
    "all columns alike": (tall[:, [0, 0, 0, 0, 0]], right),
    "rank 2": (tall[:, :2] @ tall[:2], right),
    "a column of zeros": (tall * [1, 1, 0, 1, 1], right),
    "rows of zeros": (np.where(np.arange(60)[:, None] < 10, tall, 0), right),
    "nothing but zeros": (np.zeros((60, 5)), right),
    "b = 0": (tall, np.zeros((60, 2))),
    "b in the range": (tall, tall[:, :2].copy()),
    "one right-hand side": (tall, right[:, 0]),
}


@every_call
@pytest.mark.parametrize("case", SPECIAL)
def test_special_matrices_get_the_right_answer(call, case):
    a, b = SPECIAL[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FallbackWarning)
        answer = call.run(a, b)
    expected = call.expected(a, b)
    assert answer.shape == expected.shape
    np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-12 * max(np.abs(expected).max(), 1e-3))


def grown(call, scales):
    """By how much the answer grows where A and b grow by `scales`; infinite where it leaves the range."""
    exponent = sum(power * math.log10(scale) for power, scale in zip(call.scale, scales, strict=True))
    return 10.0**exponent if abs(exponent) < 160 else math.inf


@cells(
    "scales",
    list(itertools.product([1e-150, 1e150], [1e-150, 1.0, 1e150])),
    # A penalty does not scale along.
    lambda call, scales: call.expected is not ridge and math.isfinite(grown(call, scales)),
)
def test_no_scale_is_too_large_or_too_small(call, scales):
    answer = call.run(tall * scales[0], right * scales[1])
    expected = call.expected(tall, right)
    np.testing.assert_allclose(answer / grown(call, scales), expected, rtol=0, atol=1e-12)


steps = st.sampled_from([-3, -1, 1, 2])


@given(
    shape=st.tuples(st.integers(1, 30), st.integers(1, 6)),
    steps=st.tuples(steps, steps),
    dtype=st.sampled_from([np.float32, np.float64]),
    transposed=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_view_is_read_right(shape, steps, dtype, transposed, seed):
    if transposed:
        shape, steps = shape[::-1], steps[::-1]
    spread = [size * abs(step) for size, step in zip(shape, steps, strict=True)]
    view = np.random.default_rng(seed).standard_normal(spread).astype(dtype)[:: steps[0], :: steps[1]]
    view = view.T if transposed else view
    S = sketch.SparseSign(8, view.shape[0], rng=seed)
    np.testing.assert_array_equal(S @ view, S @ np.ascontiguousarray(view))
    b = view.sum(axis=1)
    for method in ("auto", "qr"):
        found = nearlin.lstsq(view, b, method=method, rng=seed).x
        tolerance = 1e4 * np.finfo(dtype).eps
        np.testing.assert_allclose(view @ found, b, rtol=0, atol=tolerance * (1 + np.abs(b).max()))


@given(
    shape=st.tuples(st.integers(1, 30), st.integers(1, 6)),
    entries=st.lists(st.tuples(st.integers(0, 29), st.integers(0, 5), st.integers(-9, 9)), max_size=60),
    form=st.sampled_from(["csr", "csc"]),
    dtype=st.sampled_from([np.float32, np.float64]),
    index_dtypes=st.tuples(*[st.sampled_from([np.int32, np.int64])] * 2),
)
def test_any_sparse_matrix_is_read_right(shape, entries, form, dtype, index_dtypes):
    rows, columns, values = np.array(entries, int).reshape(-1, 3).T
    positions = (rows % shape[0], columns % shape[1])
    # Lines in the order of the entries, so that indices come unsorted and repeated.
    line, index = positions if form == "csr" else positions[::-1]
    order = np.argsort(line, kind="stable")
    lines = shape[0] if form == "csr" else shape[1]
    indptr = np.searchsorted(line[order], np.arange(lines + 1)).astype(index_dtypes[0])
    matrix = (sp.csr_array if form == "csr" else sp.csc_array)(shape, dtype=dtype)
    matrix.data, matrix.indices, matrix.indptr = values[order].astype(dtype), index[order], indptr
    matrix.indices = matrix.indices.astype(index_dtypes[1])
    dense = np.zeros(shape, dtype)
    np.add.at(dense, positions, values)
    S = sketch.SparseSign(8, shape[0], rng=1)
    np.testing.assert_allclose(S @ matrix, S @ dense, rtol=0, atol=1e-4 if dtype == np.float32 else 1e-12)
    b = dense.sum(axis=1)
    np.testing.assert_allclose(
        dense @ nearlin.lstsq(matrix, b, rng=1).x, b, rtol=0, atol=1e-3 if dtype == np.float32 else 1e-9
    )


def test_memory_that_cannot_be_had_is_an_error():
    S = sketch.SparseSign(2**31 - 1, 10, rng=0)
    with pytest.raises(AllocationError, match="could not allocate"):
        S @ np.ones((10, 2**12))
