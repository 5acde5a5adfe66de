"""Sketches: which matrices they are, what they can be applied to, streams, and what is refused."""

import copy
import itertools
import json
import multiprocessing
import pickle
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas
import polars
import pytest
import scipy.sparse
import scipy.sparse.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import sketch as reference
from reference.layouts import LAYOUTS, same_bits
from reference.signals import heard_by_a_copy

import nearlin
from nearlin.exceptions import (
    AllocationError,
    InvalidInputError,
    InvalidTypeError,
    NonFiniteError,
    ShapeError,
    StateError,
)
from nearlin.sketch import PHT, SRHT, Accumulator, CountSketch, Gaussian, Sketch, SparseSign

CLASSES = [SRHT, PHT, SparseSign, CountSketch, Gaussian]
ORACLES = {
    SRHT: reference.srht,
    PHT: reference.pht,
    SparseSign: reference.sparse_sign,
    CountSketch: reference.count_sketch,
    Gaussian: reference.gaussian,
}

each_class = pytest.mark.parametrize("cls", CLASSES)


def matrix(n, d, seed=0, dtype=float):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(dtype)


def test_the_oracle_has_the_published_answers():
    assert reference.philox([0] * 4, [0] * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    pi = [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344]
    answer = [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]
    assert reference.philox(pi, [0xA4093822, 0x299F31D0]) == answer


@pytest.mark.parametrize(
    ("cls", "m", "n", "parameters"),
    [
        (SparseSign, 1, 3, {"zeta": 1}),
        (SparseSign, 23, 200, {"zeta": 8}),
        (SparseSign, 50, 100, {"zeta": 11}),
        (CountSketch, 1, 1, {}),
        (CountSketch, 17, 300, {}),
        (PHT, 8, 40, {"chunk": 16}),
        (PHT, 5, 40, {"chunk": 8}),
        (PHT, 3, 100, {"chunk": 32, "weights": "normals"}),
        (PHT, 40, 1100, {}),
        (PHT, 1, 1, {"weights": "normals"}),
        (SRHT, 6, 1, {}),
        (SRHT, 30, 1024, {}),
        (SRHT, 7, 2500, {}),
        (Gaussian, 1, 1, {}),
        (Gaussian, 19, 300, {}),
    ],
)
@pytest.mark.parametrize("seed", [0, 2**64 - 1])
def test_every_entry_is_that_of_the_definition(cls, m, n, parameters, seed):
    S = cls(m, n, **parameters, rng=seed)
    expected = ORACLES[cls](m, n, seed, **parameters)
    # Normals come from another logarithm than NumPy's and are rounded to single precision.
    rounding = 1e-6 if cls is Gaussian or parameters.get("weights") == "normals" else 1e-15
    np.testing.assert_allclose(S.to_dense(), expected, rtol=0, atol=rounding * abs(expected).max())
    A = matrix(n, 3)
    np.testing.assert_allclose(S @ A, S.to_dense() @ A, rtol=0, atol=1e-14 * n)
    np.testing.assert_allclose(S.T @ (S @ A), S.to_dense().T @ (S.to_dense() @ A), rtol=0, atol=1e-13 * n)


@each_class
def test_columns_depend_on_the_global_row_alone(cls):
    # The largest n that a Hadamard matrix of this length allows: what exceeds 32 bits must count.
    far = 2**40 + 5
    S = cls(9, 2**41, rng=1)
    columns = S.T.apply(np.eye(9), far, far + 3).T
    np.testing.assert_allclose(S.apply(np.eye(3), row_offset=far), columns, rtol=1e-14)
    assert not np.array_equal(columns, S.to_dense(8)[:, 5:])


@each_class
def test_squared_lengths_are_right_on_average(cls):
    x = matrix(60, 1)[:, 0]
    squares = np.array([np.sum((cls(16, 60, rng=seed) @ x) ** 2) for seed in range(300)]) / (x @ x)
    assert abs(squares.mean() - 1) <= 5 * squares.std() / np.sqrt(len(squares)) + 1e-12


# --- what it is applied to ----------------------------------------------------------------------------------


@each_class
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_agree(cls, layout, dtype):
    A = matrix(2100, 21, dtype=dtype) * (matrix(2100, 21, seed=1) > 0.5)
    A = A.astype(dtype)
    S = cls(24, 2100, rng=3)
    Y = S @ LAYOUTS[layout](A)
    assert Y.dtype == dtype
    assert np.array_equal(Y, S @ A)
    X = matrix(24, 5, dtype=dtype)
    X[X < 0.5] = 0
    assert np.array_equal(S.T @ LAYOUTS[layout](X), S.T @ X)


@each_class
def test_sums_of_single_precision_are_carried_in_double(cls):
    A = matrix(3000, 10, dtype=np.float32)
    S = cls(12, 3000, rng=0)
    assert same_bits(S @ A, (S @ A.astype(float)).astype(np.float32))
    y = matrix(12, 1, dtype=np.float32)
    assert same_bits(S.T @ y, (S.T @ y.astype(float)).astype(np.float32))


@each_class
def test_vectors_and_other_numbers(cls):
    S = cls(12, 1500, rng=0)
    x = matrix(1500, 1)
    assert same_bits(S @ x[:, 0], (S @ x)[:, 0])
    assert same_bits(S @ pandas.Series(x[:, 0]), (S @ x)[:, 0])
    assert same_bits(S @ polars.Series(x[:, 0]), (S @ x)[:, 0])
    assert same_bits(S @ x[:, 0].tolist(), (S @ x)[:, 0])
    assert same_bits(S.T @ x[:12, 0], (S.T @ x[:12])[:, 0])
    counts = np.arange(1500)
    assert same_bits(S @ counts, S @ counts.astype(float))
    assert (S @ (counts > 9)).dtype == np.float64
    assert (S @ counts.astype(np.float16)).dtype == np.float32


@each_class
@pytest.mark.parametrize("make", [np.asarray, scipy.sparse.csr_array, scipy.sparse.csc_array])
@pytest.mark.parametrize("d", [1, 70])
def test_threads_do_not_change_a_bit(cls, make, d):
    A = make(matrix(5000, d) * (matrix(5000, d, seed=1) > 0))
    S = cls(50, 6000, rng=4)
    results = [S.apply(A, row_offset=900, n_jobs=n_jobs) for n_jobs in (1, 2, 3, 8)]
    assert all(same_bits(results[0], result) for result in results)
    back = [S.T.apply(results[0], 100, 4500, n_jobs=n_jobs) for n_jobs in (1, 2, 3, 8)]
    assert all(same_bits(back[0], rows) for rows in back)


@pytest.mark.fork
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_child_gives_the_same_bits():
    A = matrix(5000, 40)
    sketches = [cls(50, 5000, rng=4) for cls in CLASSES]
    before = [S.apply(A, n_jobs=2) for S in sketches]
    streams = [S.accumulate(40).partial_fit(A[:1500]) for S in sketches]

    def child(end):
        end.send([S.apply(A, n_jobs=2) for S in sketches])
        end.send([stream.partial_fit(A[1500:], n_jobs=2).result() for stream in streams])

    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=child, args=(there,))
    process.start()
    for _ in range(2):
        assert all(map(same_bits, before, here.recv()))
    process.join()


# --- streams ------------------------------------------------------------------------------------------------


@each_class
@settings(max_examples=25)
@given(data=st.data())
def test_any_partition_in_order_gives_the_bits_of_the_product(cls, data):
    n, d = data.draw(st.integers(1, 3000), "n"), data.draw(st.sampled_from([1, 3, 17, 70]), "d")
    m = data.draw(st.integers(8, 80), "m")
    dtype = data.draw(st.sampled_from([np.float64, np.float32]), "dtype")
    make = data.draw(st.sampled_from([np.asarray, np.asfortranarray, scipy.sparse.csr_array]), "layout")
    A = matrix(n, d, seed=n, dtype=dtype)
    S = cls(m, n, rng=n)
    stream = S.accumulate(d, dtype=dtype)
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=5), "cuts"))
    for start, stop in zip([0, *cuts], [*cuts, n], strict=True):
        stream.partial_fit(make(A[start:stop]), n_jobs=data.draw(st.sampled_from([1, 2, 3])))
        if data.draw(st.booleans(), "saved"):
            stream = Accumulator.from_bytes(stream.to_bytes())
    assert stream.n_rows_seen == n
    assert stream.result(n_jobs=2).dtype == dtype
    assert same_bits(stream.result(n_jobs=2), S @ A)


@each_class
def test_rows_may_come_in_any_order(cls):
    A = matrix(3000, 6)
    S = cls(30, 4000, rng=0)
    stream = S.accumulate(6)
    for start in (2000, 500, 0, 1000):
        stream.partial_fit(A[start : start + 500], row_offset=start)
    assert stream.covered == (range(1500), range(2000, 2500))
    stream.partial_fit(A[2500:])
    assert (stream.n_rows_seen, stream.covered) == (2500, (range(1500), range(2000, 3000)))
    A[1500:2000] = 0
    np.testing.assert_allclose(stream.result(), S.apply(A), rtol=0, atol=1e-13 * np.linalg.norm(A))


@each_class
def test_merging_disjoint_ranges(cls):
    A = matrix(5000, 9)
    S = cls(60, 5000, rng=5)
    cuts = [0, 700, 701, 2048, 3333, 5000]
    parts = [
        S.accumulate(9).partial_fit(A[start:stop], row_offset=start)
        for start, stop in itertools.pairwise(cuts)
    ]
    merged = parts[3].copy()
    for k in (0, 4, 1, 2):
        merged.merge(parts[k], n_jobs=2)
    assert merged.covered == (range(5000),)
    assert abs(merged.result() - S @ A).max() <= 1e-13 * np.linalg.norm(S @ A)
    again = parts[3].copy()
    for k in (0, 4, 1, 2):
        again.merge(parts[k], n_jobs=1)
    assert same_bits(again.result(), merged.result())
    assert merged.merge(S.accumulate(9)).n_rows_seen == 5000


@each_class
def test_what_is_refused_changes_nothing(cls):
    A = matrix(2500, 4)
    S = cls(30, 3000, rng=5)
    stream = S.accumulate(4).partial_fit(A[:1300])
    before = stream.to_bytes()
    spoiled = A[1300:].copy()
    spoiled[-1, 2] = np.nan
    other = S.accumulate(4).partial_fit(A[1200:])
    other_seed = "^`other` is a stream with rng seed 6, expected 5; streams to be merged need the same `rng`$"
    refused = [
        (InvalidInputError, "row_offset.*in already", lambda: stream.partial_fit(A[:2], row_offset=1299)),
        (InvalidInputError, "row_offset.*in already", lambda: stream.partial_fit(A, row_offset=0)),
        (InvalidInputError, "past n = 3000", lambda: stream.partial_fit(A)),
        (InvalidInputError, "past n = 3000", lambda: stream.partial_fit(A[:9], row_offset=2**63 - 1)),
        (NonFiniteError, r"`A` contains NaN at \[1199, 2\]", lambda: stream.partial_fit(spoiled)),
        (NonFiniteError, r"`A` contains NaN at \[0, 2\]", lambda: stream.partial_fit(spoiled[-1:])),
        (ShapeError, "`A`", lambda: stream.partial_fit(A[:5, :3])),
        (ShapeError, "`A`", lambda: stream.partial_fit(A[0])),
        (InvalidInputError, "row_offset", lambda: stream.partial_fit(A[:1], row_offset=-1)),
        (InvalidInputError, "other.*in already", lambda: stream.merge(other)),
        (InvalidInputError, "other.*in already", lambda: stream.merge(stream)),
        (ShapeError, "other", lambda: stream.merge(S.accumulate(5))),
        (InvalidInputError, other_seed, lambda: stream.merge(cls(30, 3000, rng=6).accumulate(4))),
        (InvalidTypeError, "other", lambda: stream.merge(S)),
    ]
    for error, message, call in refused:
        with pytest.raises(error, match=message):
            call()
        assert stream.to_bytes() == before
    assert same_bits(stream.partial_fit(A[1300:]).result(), S.apply(A))


@each_class
def test_a_stream_is_a_value(cls):
    A = matrix(1500, 4)
    S = cls(30, 2000, rng=5)
    stream = S.accumulate(4, dtype="float32").partial_fit(A[:1300])
    copies = [
        copy.copy(stream),
        copy.deepcopy(stream),
        stream.copy(),
        pickle.loads(pickle.dumps(stream)),
        Accumulator.from_bytes(memoryview(stream.to_bytes())),
    ]
    for twin in copies:
        assert (twin.sketch, twin.d, twin.dtype, twin.covered) == (S, 4, np.float32, (range(1300),))
        assert twin.to_bytes() == stream.to_bytes()
        assert repr(twin) == repr(stream)
    copies[0].partial_fit(A[1300:])
    assert stream.n_rows_seen == 1300
    assert same_bits(copies[0].result(), (S.apply(A)).astype(np.float32))


def test_blocks_without_rows_change_nothing():
    stream = SparseSign(9, rng=0).accumulate(3).partial_fit(np.empty((0, 3)))
    assert (stream.n_rows_seen, stream.covered) == (0, ())
    assert not stream.result().any()


@pytest.mark.parametrize("cls", [PHT, SparseSign])
def test_damaged_bytes_are_noticed(cls):
    state = (
        cls(8, rng=0, **({"chunk": 8} if cls is PHT else {}))
        .accumulate(1)
        .partial_fit(matrix(11, 1))
        .to_bytes()
    )
    for length in range(len(state)):
        with pytest.raises(StateError):
            Accumulator.from_bytes(state[:length])
    for bit in range(8 * len(state)):
        damaged = bytearray(state)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(StateError):
            Accumulator.from_bytes(damaged)
    for other in (b"", b"nearlin\0", state + b"\0", pickle.dumps(1), bytes(10_000)):
        with pytest.raises(StateError):
            Accumulator.from_bytes(other)
    with pytest.raises(InvalidTypeError, match="data"):
        Accumulator.from_bytes("text")


def test_an_interrupt_leaves_the_stream_as_it_was():
    A = matrix(40_000, 60)
    stream = Gaussian(3000, rng=0).accumulate(60).partial_fit(A[:3000])
    before = stream.result()

    _, interrupted = heard_by_a_copy(stream, lambda stream: stream.partial_fit(A[3000:], n_jobs=1))
    assert interrupted.covered == (range(3000),)
    assert same_bits(interrupted.result(), before)


def test_threads_may_share_a_stream():
    A = matrix(8000, 20)
    S = SparseSign(100, rng=0)
    stream = S.accumulate(20)
    with ThreadPoolExecutor(4) as pool:
        starts = range(0, 8000, 500)
        list(pool.map(lambda start: stream.partial_fit(A[start : start + 500], start, n_jobs=2), starts))
    assert stream.covered == (range(8000),)
    np.testing.assert_allclose(stream.result(), S @ A, rtol=0, atol=1e-12)


# --- values -------------------------------------------------------------------------------------------------

EXAMPLES = [
    SRHT(20, 100, rng=1),
    PHT(20, rng=2**64 - 1),
    PHT(20, 50, weights="normals", chunk=512, rng=3),
    SparseSign(20, 10, zeta=3, rng=0),
    CountSketch(20, rng=5),
    Gaussian(1, 1, rng=6),
]


@pytest.mark.parametrize("S", EXAMPLES, ids=repr)
def test_a_sketch_is_a_value(S):
    for twin in (eval(repr(S)), pickle.loads(pickle.dumps(S)), copy.copy(S), copy.deepcopy(S), S.T.T):
        assert twin == S
        assert hash(twin) == hash(S)
        assert type(twin) is type(S)
        assert (twin.m, twin.n, twin.seed, twin.shape) == (S.m, S.n, S.seed, (S.m, S.n))
    assert pickle.loads(pickle.dumps(S.T)) == S.T
    assert hash(S.T) == hash(copy.copy(S.T))
    assert S.T != S
    assert repr(S.T) == f"{S!r}.T"
    assert isinstance(S, Sketch)
    assert S.dtype == np.float64
    with pytest.raises(AttributeError):
        S.m = 3
    with pytest.raises(AttributeError):
        S.anything = 3


def test_different_values_differ():
    others = [
        SparseSign(20, 10, zeta=3, rng=1),
        SparseSign(20, 10, zeta=4, rng=0),
        SparseSign(21, 10, zeta=3, rng=0),
    ]
    assert len({*EXAMPLES, *others, SparseSign(20, zeta=3, rng=0)}) == len(EXAMPLES) + 4
    assert SparseSign(5, zeta=1, rng=0) != CountSketch(5, rng=0)
    assert EXAMPLES[0] != 3


def test_kinds_are_the_names_that_lstsq_knows():
    A = matrix(400, 5)
    for S in EXAMPLES:
        assert nearlin.lstsq(A, A[:, 0], sketch=S.kind, method="spir", rng=0).rank == 5


def test_parameters_can_be_read():
    assert (EXAMPLES[2].weights, EXAMPLES[2].chunk, EXAMPLES[1].chunk) == ("normals", 512, None)
    assert EXAMPLES[3].zeta == 3


def test_sources_of_randomness():
    assert SparseSign(9, rng=2**64 - 1).seed == 2**64 - 1
    assert SparseSign(9).seed != SparseSign(9).seed
    generator = np.random.default_rng(0)
    first, second = Gaussian(3, rng=generator), Gaussian(3, rng=generator)
    assert first != second
    assert first == Gaussian(3, rng=np.random.default_rng(0))
    with pytest.raises(InvalidTypeError, match="rng"):
        Gaussian(3, rng="seed")


# --- a linear operator --------------------------------------------------------------------------------------


@each_class
def test_scipy_takes_it_for_a_linear_operator(cls):
    S = cls(40, 300, rng=2)
    dense = S.to_dense()
    A, Y, x, y = matrix(300, 3), matrix(40, 2), matrix(300, 1), matrix(40, 1)
    operator = scipy.sparse.linalg.aslinearoperator(S)
    for L in (S, operator):
        assert L.shape == (40, 300)
        assert L.dtype == np.float64
        for found, expected in [
            (L.matvec(x), dense @ x),
            (L.matvec(x[:, 0]), dense @ x[:, 0]),
            (L.rmatvec(y), dense.T @ y),
            (L.rmatvec(y[:, 0]), dense.T @ y[:, 0]),
            (L.matmat(A), dense @ A),
            (L.rmatmat(Y), dense.T @ Y),
            (L.H @ Y, dense.T @ Y),
            (L.adjoint() @ Y, dense.T @ Y),
            (L.T @ Y, dense.T @ Y),
            (L.transpose().matmat(Y), dense.T @ Y),
            (A.T @ L.T, A.T @ dense.T),
            (Y.T @ L, Y.T @ dense),
            (y[:, 0] @ L, y[:, 0] @ dense),
        ]:
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(scipy.sparse.csr_array(Y.T) @ S, Y.T @ dense, rtol=0, atol=1e-12)
    assert (S.ndim, S.T.shape, S.T.ndim) == (2, (300, 40), 2)


@pytest.mark.parametrize("cls", [SRHT, SparseSign])
def test_solvers_of_scipy_work_on_it(cls):
    S = cls(40, 300, rng=2)
    b = matrix(40, 1)[:, 0]
    x = scipy.sparse.linalg.lsqr(S, b, atol=1e-14, btol=1e-14)[0]
    np.testing.assert_allclose(x, np.linalg.lstsq(S.to_dense(), b, rcond=None)[0], rtol=0, atol=1e-10)
    singular = scipy.sparse.linalg.svds(S, k=3, return_singular_vectors=False, v0=np.ones(40))
    np.testing.assert_allclose(sorted(singular)[::-1], np.linalg.svd(S.to_dense())[1][:3], rtol=1e-10)


# --- bad input ----------------------------------------------------------------------------------------------


def bad_sparse(indices, indptr):
    A = scipy.sparse.csr_matrix((10, 3))
    A.data, A.indices, A.indptr = np.ones(2), np.array(indices), np.array(indptr)
    return A


@each_class
@pytest.mark.parametrize(
    ("A", "error", "message"),
    [
        (np.ones((9, 3)), ShapeError, "`A` has 9 rows, expected 10"),
        (np.ones((0, 3)), ShapeError, "`A` has 0 rows, expected 10"),
        (np.ones((10, 0)), ShapeError, "`A`.*at least one column"),
        (np.ones((10, 3, 1)), ShapeError, "`A` has 3 dimensions"),
        (np.ones((10, 3), complex), InvalidTypeError, "`A` has dtype complex"),
        (np.full((10, 3), "1.5", object), InvalidTypeError, "`A` has entries of type str"),
        (np.array([["a"]] * 10), InvalidTypeError, "`A` has dtype"),
        (3.0, InvalidTypeError, "`A`"),
        (None, InvalidTypeError, "`A`"),
        (np.full((10, 3), np.nan), NonFiniteError, r"`A` contains NaN at \[0, 0\]"),
        (np.where(np.eye(10) > 0, np.inf, 0), NonFiniteError, r"`A` contains infinity at \[0, 0\]"),
        (scipy.sparse.csr_array(np.full((10, 1), np.nan)), NonFiniteError, "`A` contains NaN"),
        (scipy.sparse.csc_array(np.full((10, 1), np.inf)), NonFiniteError, "`A` contains infinity"),
        (bad_sparse([0, 3], [0, 2] + [2] * 9), InvalidInputError, "`A`.*index 3"),
        (bad_sparse([0, -1], [0, 2] + [2] * 9), InvalidInputError, "`A`.*index -1"),
        (bad_sparse([0, 1], [0, 5] + [2] * 9), InvalidInputError, "`A`.*indptr"),
        (np.full((10, 2), 1.7e308), InvalidInputError, "`A`.*overflow"),
        (np.full((10, 2), 3.4e38, np.float32), InvalidInputError, "`A`.*overflow"),
    ],
)
def test_operands_that_are_refused(cls, A, error, message):
    S = CountSketch(1, 10, rng=3) if "overflow" in message else cls(9, 10, rng=0)
    if "overflow" in message:
        A = A * np.sign(S.to_dense()).T.astype(A.dtype)
    with pytest.raises(error, match=message):
        S @ A


@each_class
def test_the_transpose_refuses_as_much(cls):
    S = cls(9, 10, rng=0)
    spoiled = np.ones((9, 2))
    spoiled[3, 1] = np.nan
    refused = [
        (ShapeError, "`Y` has 3 rows, expected 9", lambda: S.T @ np.ones((3, 2))),
        (ShapeError, "`Y`", lambda: S.T @ np.ones((9, 2, 1))),
        (ShapeError, "`Y`", lambda: S.T @ np.ones((9, 0))),
        (InvalidTypeError, "`Y`", lambda: S.T @ np.ones(9, complex)),
        (NonFiniteError, r"`Y` contains NaN at \[3, 1\]", lambda: S.T @ spoiled),
        (NonFiniteError, "`Y` contains NaN", lambda: S.T @ scipy.sparse.csr_array(spoiled)),
        (InvalidInputError, "`stop`", lambda: S.T.apply(np.ones(9), 0, 11)),
        (InvalidInputError, "`start`", lambda: S.T.apply(np.ones(9), 6, 5)),
        (InvalidInputError, "`n`", lambda: S.to_dense(11)),
    ]
    for error, message, call in refused:
        with pytest.raises(error, match=message):
            call()
    assert S.T.apply(np.ones(9), 5, 5).shape == (0,)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_transpose_refuses_to_overflow(dtype):
    S = SRHT(9, 10, rng=0)
    Y = np.sign(S.to_dense()[:, :1]) * np.finfo(dtype).max
    with pytest.raises(InvalidInputError, match=r"`Y`.*overflow"):
        S.T @ Y.astype(dtype)


def test_without_n_there_is_no_whole_transpose():
    S = SparseSign(8, rng=0)
    assert (S @ np.ones((7, 2))).shape == (8, 2)
    assert (S @ np.ones((0, 2))).shape == (8, 2)
    assert S.to_dense(7).shape == (8, 7)
    for call in (S.to_dense, S.T.to_dense, lambda: S.T @ np.ones(8)):
        with pytest.raises(InvalidInputError, match="the sketch has no `n`"):
            call()


@pytest.mark.parametrize(
    ("message", "make"),
    [
        ("`m`", lambda: SparseSign(0, 10)),
        ("`m`", lambda: Gaussian(2**31, 10)),
        ("`m`", lambda: PHT(2**30 + 1)),
        ("`m`", lambda: CountSketch(3.0)),
        ("`m`", lambda: CountSketch(True)),
        ("`n`", lambda: CountSketch(3, 0)),
        ("`n`", lambda: CountSketch(3, 2**63)),
        ("`n`", lambda: SRHT(3, None)),
        ("`zeta`", lambda: SparseSign(5, zeta=6)),
        ("`zeta`", lambda: SparseSign(5, zeta=0)),
        ("`weights`", lambda: PHT(5, weights="gauss")),
        ("`chunk`", lambda: PHT(5, chunk=100)),
        ("`chunk`", lambda: PHT(5, chunk=4)),
        ("`chunk`", lambda: PHT(5, chunk=32, weights="normals")),
        ("`rng`", lambda: PHT(5, rng=-1)),
        ("`d`", lambda: Gaussian(5).accumulate(0)),
        ("`dtype`", lambda: Gaussian(5).accumulate(1, dtype=int)),
        ("`sketch`", lambda: Accumulator("pht", 3)),
        ("`row_offset`", lambda: Gaussian(5).apply(np.ones(3), row_offset=-1)),
        ("`row_offset`", lambda: Gaussian(5).apply(np.ones(3), row_offset=0.0)),
        ("`A`.*past n = 2", lambda: Gaussian(5, 2).apply(np.ones(3))),
        ("`n_jobs`", lambda: Gaussian(5).apply(np.ones(3), n_jobs=0)),
    ],
)
def test_parameters_that_are_refused(message, make):
    with pytest.raises(InvalidInputError, match=message):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: SparseSign(9).T.apply(np.ones(9), 0, 2**62),
        lambda: SparseSign(9).accumulate(2**62),
        lambda: SparseSign(2**31 - 1).accumulate(2**40),
        lambda: Gaussian(2**31 - 1).accumulate(2**62),
    ],
)
def test_what_no_memory_holds_is_refused(make):
    with pytest.raises(AllocationError):
        make()


def test_the_base_class_has_no_instances():
    with pytest.raises(TypeError, match="abstract"):
        Sketch()


@each_class
@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e150, 1e300])
def test_scales(cls, scale):
    A = matrix(1100, 2)
    S = cls(10, 1100, rng=0)
    np.testing.assert_allclose(S @ (A * scale) / scale, S @ A, rtol=0, atol=1e-12)


def test_scipy_is_not_needed():
    code = """
        import json, sys
        import nearlin
        import nearlin.sketch
        import numpy as np
        S = nearlin.sketch.SparseSign(10, 20, rng=0)
        (S @ np.ones((20, 2))).sum() + (S.T @ np.ones(10)).sum() + S.accumulate(1).result().sum()
        print(json.dumps(sorted(sys.modules)))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert not {"scipy", "sklearn", "pandas"} & set(json.loads(done.stdout))
