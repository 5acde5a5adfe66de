"""What the converters of `_validation` accept, what they make of it, and what they say when they refuse."""

from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp

from nearlin import LinearRegression, Ridge, RidgeCV, lstsq, sketch_and_solve
from nearlin import _validation as validation
from nearlin._tensor_arguments import as_factors
from nearlin.exceptions import InvalidInputError, InvalidTypeError, NonFiniteError, ShapeError
from nearlin.regression._solve import as_penalties
from nearlin.sketch import SparseSign, TensorSRHT

A = np.arange(12.0).reshape(4, 3)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_float_matrix_is_not_copied(order, dtype):
    matrix = np.array(A, dtype, order=order)
    matrix.flags.writeable = False
    assert validation.as_matrix(matrix) is matrix
    assert np.shares_memory(validation.as_matrix(matrix[::-1, ::2]), matrix)


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        (np.bool_, np.float64),
        (np.int8, np.float64),
        (np.int64, np.float64),
        (np.uint64, np.float64),
        (np.float16, np.float32),
        (">f4", np.float32),
        (">f8", np.float64),
        (np.longdouble, np.float64),
    ],
)
def test_other_numbers_are_cast_once(given, becomes):
    matrix = validation.as_matrix(A.astype(given))
    assert matrix.dtype == becomes
    assert matrix.dtype.isnative
    np.testing.assert_array_equal(matrix, A.astype(given))


@pytest.mark.parametrize("dtype", [complex, str, "S3", "datetime64[s]"])
def test_entries_that_are_no_real_numbers_are_refused(dtype):
    matrix = A.astype(int).astype(dtype)
    with pytest.raises(InvalidTypeError, match="`X` has dtype"):
        validation.as_matrix(matrix, "X")
    with pytest.raises(InvalidTypeError, match="`y` has dtype"):
        validation.as_rhs(matrix, 4, np.float64, "y")


OBJECTS = [1, 2.5, True, np.float32(0.1), Decimal("0.1"), Fraction(1, 4)]


def test_objects_that_are_real_numbers_are_rounded_and_missing_ones_are_nan():
    given = np.array(OBJECTS, dtype=object)
    expected = [1.0, 2.5, 1.0, float(np.float32(0.1)), 0.1, 0.25]
    np.testing.assert_array_equal(validation.as_matrix(given.reshape(3, 2)), np.reshape(expected, (3, 2)))
    np.testing.assert_array_equal(validation.as_vector(given, "v"), expected)
    holes = np.array([None, pd.NA, 1], dtype=object)
    np.testing.assert_array_equal(validation.as_vector(holes, "v"), [np.nan, np.nan, 1.0])


MISREAD = ["1.5", b"1", 1j, np.complex128(1), np.datetime64(1, "ns"), np.timedelta64(1, "s"), np.ones(1), {}]


@pytest.mark.parametrize(
    "entry", [*MISREAD, date(2020, 1, 1), 10**400], ids=lambda entry: type(entry).__name__
)
def test_objects_that_are_no_real_numbers_are_refused_alike(entry):
    given = np.empty((8, 2), dtype=object)
    given[:] = 1.0
    given[3, 1] = entry
    for taker in (lstsq, LinearRegression().fit, sketch_and_solve):
        with pytest.raises(InvalidInputError, match=r"`[AX]` has entries"):
            taker(given, np.ones(8))
        with pytest.raises(InvalidInputError, match=r"`[by]` has entries"):
            taker(np.ones((8, 2)), given[:, 1])


@pytest.mark.parametrize("thing", [None, 3.0, "text", {"a": 1}, [[1.0], [1.0, 2.0]], object()])
def test_things_that_are_no_matrices_are_refused(thing):
    with pytest.raises((InvalidTypeError, ShapeError), match="`A` "):
        validation.as_matrix(thing)


@pytest.mark.parametrize("matrix", [A[0], A[None], A[:0], A[:, :0], sp.csr_array((0, 3))])
def test_matrices_have_two_dimensions_and_entries(matrix):
    with pytest.raises(ShapeError, match="`A` has"):
        validation.as_matrix(matrix)


def test_an_empty_matrix_passes_where_it_makes_sense():
    assert validation.as_matrix(A[:0], allow_empty=True).shape == (0, 3)


def test_lists_subclasses_and_unmasked_arrays_are_arrays():
    for thing in (A.tolist(), A.view(np.matrix), np.ma.array(A)):
        matrix = validation.as_matrix(thing)
        assert type(matrix) is np.ndarray
        np.testing.assert_array_equal(matrix, A)
    with pytest.raises(InvalidInputError, match="`A` has masked entries"):
        validation.as_matrix(np.ma.array(A, mask=A > 10))


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_frames_give_their_values(frame):
    values = {"a": [1.0, 2.0], "b": [3, 4], "c": [True, False]}
    expected = np.array([[1.0, 3, 1], [2, 4, 0]])
    np.testing.assert_array_equal(validation.as_matrix(frame(values)), expected)
    with pytest.raises(InvalidTypeError, match="`A`"):
        validation.as_matrix(frame({**values, "d": ["x", "y"]}))


def test_nullable_columns_become_floats():
    frame = pd.DataFrame({"a": pd.array([1, None], "Int64"), "b": pd.array([True, False], "boolean")})
    np.testing.assert_array_equal(validation.as_matrix(frame), [[1.0, 1.0], [np.nan, 0.0]])
    series = pl.Series([1, None])
    np.testing.assert_array_equal(validation.as_vector(series, "v"), [1.0, np.nan])


def test_frames_of_one_block_are_not_copied():
    frame = pd.DataFrame(A)
    assert np.shares_memory(validation.as_matrix(frame), frame.to_numpy())


@pytest.mark.parametrize("kind", [sp.csr_array, sp.csr_matrix, sp.csc_array, sp.csc_matrix])
def test_compressed_matrices_pass_as_they_are(kind):
    matrix = kind(A)
    assert validation.as_matrix(matrix) is matrix
    with pytest.raises(InvalidTypeError, match="`A` is sparse"):
        validation.as_matrix(matrix, accept_sparse=False)


@pytest.mark.parametrize("form", ["coo", "lil", "dok", "dia", "bsr"])
def test_other_sparse_matrices_become_csr(form):
    matrix = validation.as_matrix(sp.coo_array(A).asformat(form))
    assert matrix.format == "csr"
    np.testing.assert_array_equal(matrix.toarray(), A)


def test_sparse_entries_are_cast_like_dense_ones():
    assert validation.as_matrix(sp.csr_array(A.astype(int))).dtype == np.float64
    assert validation.as_matrix(sp.csr_array(A.astype(np.float32))).dtype == np.float32
    swapped = sp.csr_array(A)
    swapped.data = swapped.data.astype(">f8")
    cast = validation.as_matrix(swapped)
    assert cast.dtype.isnative
    np.testing.assert_array_equal(cast.toarray(), A)
    with pytest.raises(InvalidTypeError, match="`A` has dtype complex128"):
        validation.as_matrix(sp.csr_array(A.astype(complex)))


def test_right_hand_sides_become_columns_of_the_dtype_of_the_matrix():
    columns, single = validation.as_rhs(A[:, 0], 4, np.float64)
    assert (columns.shape, single) == ((4, 1), True)
    assert np.shares_memory(columns, A)
    columns, single = validation.as_rhs(A, 4, np.float32)
    assert (columns.shape, single, columns.dtype) == ((4, 3), False, np.float32)


@pytest.mark.parametrize(
    ("b", "message"),
    [
        (A[:3], r"`b` has shape \(3, 3\), expected 4 rows"),
        (A[:, :0], r"`b` has shape \(4, 0\), expected at least one column"),
        (A[None], "`b` has 3 dimensions"),
        (sp.csr_array(A), "`b` is sparse"),
        (2.0, "`b` is of type float"),
    ],
)
def test_right_hand_sides_of_another_shape_are_refused(b, message):
    with pytest.raises((ShapeError, InvalidTypeError), match=message):
        validation.as_rhs(b, 4, np.float64)


def test_a_cast_that_overflows_is_refused():
    with pytest.raises(InvalidInputError, match="`b` has entries too large for float32"):
        validation.as_rhs(np.full(4, 1e300), 4, np.float32)
    columns, _ = validation.as_rhs(np.full(4, np.inf), 4, np.float32)
    assert np.isinf(columns).all()


def test_vectors_are_contiguous():
    vector = validation.as_vector(A[:, 1], "v", length=4)
    assert vector.flags.c_contiguous
    with pytest.raises(ShapeError, match="`v` has length 4, expected 5"):
        validation.as_vector(A[:, 1], "v", length=5)
    with pytest.raises(ShapeError, match="`v` has 2 dimensions, expected 1"):
        validation.as_vector(A, "v")


def test_sample_weights():
    assert validation.as_sample_weight(None, 3) is None
    np.testing.assert_array_equal(validation.as_sample_weight(2, 3), [2.0, 2.0, 2.0])
    np.testing.assert_array_equal(validation.as_sample_weight([0, 1, 2], 3), [0.0, 1.0, 2.0])
    for weights, error, message in [
        ([1.0, -2.0, 0.0], InvalidInputError, r"has -2.0 at \[1\]"),
        ([0.0, 0.0, 0.0], InvalidInputError, "is zero everywhere"),
        ([0.0, np.nan, 0.0], NonFiniteError, r"contains NaN at \[1\]"),
        ([0.0, 1.0, np.inf], NonFiniteError, r"contains infinity at \[2\]"),
        ([1.0, 1.0], ShapeError, "has length 2, expected 3"),
        (-1.0, InvalidInputError, "is -1.0, expected finite and >= 0"),
    ]:
        with pytest.raises(error, match=f"`sample_weight` {message}"):
            validation.as_sample_weight(weights, 3)


def test_finite_numbers_whose_sum_overflows_are_finite():
    validation.check_finite(np.full(10, 1e308), "v")
    validation.check_finite(np.array([1e308, 1e308, -1e308, -1e308]), "v")


def test_an_integer_is_its_own_seed():
    assert [validation.as_seed(seed) for seed in (0, 7, np.uint8(9), 2**64 - 1)] == [0, 7, 9, 2**64 - 1]
    assert 0 <= validation.as_seed(2**64) < 2**64
    assert validation.as_seed(2**64) != validation.as_seed(2**64 + 1)


@pytest.mark.parametrize(
    "source",
    [
        np.random.RandomState,
        np.random.default_rng,
        np.random.PCG64,
        np.random.SeedSequence,
        lambda seed: [seed, 1],
    ],
)
def test_every_source_of_randomness_gives_a_seed_of_its_own(source):
    seeds = [validation.as_seed(source(seed)) for seed in (1, 1, 2)]
    assert seeds[0] == seeds[1] != seeds[2]
    assert all(0 <= seed < 2**64 for seed in seeds)


def test_generators_are_advanced():
    for source in (np.random.RandomState(0), np.random.default_rng(0)):
        assert validation.as_seed(source) != validation.as_seed(source)


def test_none_is_fresh_entropy_or_the_global_state():
    assert validation.as_seed(None) != validation.as_seed(None)
    state = np.random.get_state()
    try:
        for source in (None, np.random):
            np.random.seed(5)
            first = validation.as_seed(source, default=np.random.bytes)
            np.random.seed(5)
            assert validation.as_seed(source, default=np.random.bytes) == first
    finally:
        np.random.set_state(state)


@pytest.mark.parametrize("seed", [-1, 1.5, "7", True, [1.5], object()])
def test_other_seeds_are_refused(seed):
    with pytest.raises(InvalidInputError, match="`rng` is"):
        validation.as_seed(seed)


def test_real_numbers():
    for value in (1, 1.0, np.float32(1), np.int8(1), np.array(1.0)):
        assert validation.check_real(value, "tol", above=0, at_most=1) == 1.0
    for value in (0, -1.0, 2, np.nan, np.inf):
        with pytest.raises(InvalidInputError, match=r"`tol` is .*, expected finite and > 0 and <= 1"):
            validation.check_real(value, "tol", above=0, at_most=1)
    for value in (True, "1", None, 1j, [1.0]):
        with pytest.raises(InvalidTypeError, match=r"`tol` is of type"):
            validation.check_real(value, "tol")


def test_integers():
    assert validation.check_int(np.int16(3), "m", at_least=1) == 3
    for value, message in [(0, "is 0, expected at least 1"), (9, "is 9, expected at most 8")]:
        with pytest.raises(InvalidInputError, match=f"`m` {message}"):
            validation.check_int(value, "m", at_least=1, at_most=8)
    for value in (True, 1.0, "1", None):
        with pytest.raises(InvalidTypeError, match="`m` is of type"):
            validation.check_int(value, "m")


def test_choices_and_truth_values():
    assert validation.check_choice("qr", "method", ("auto", "qr")) == "qr"
    for value in ("QR", 1, None):
        with pytest.raises(InvalidInputError, match=r"`method` is .*, expected one of 'auto', 'qr'"):
            validation.check_choice(value, "method", ("auto", "qr"))
    assert validation.check_bool(np.True_, "flag") is True
    with pytest.raises(InvalidTypeError, match="`flag` is of type int"):
        validation.check_bool(1, "flag")
    with pytest.raises(InvalidTypeError, match="`verify` is of type ndarray, expected True or False"):
        lstsq(A, A[:, 0], verify=np.array([]))


class Raising:
    """What cannot become an array, in a way of its own."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("no values on this device")


HUGE = [10**400, -(10**400), 10**5000, Fraction(10**400), Fraction(10**5000, 3)]


@pytest.mark.parametrize("value", HUGE, ids=range(len(HUGE)))
def test_numbers_beyond_every_float_are_out_of_bounds_like_others(value):
    with pytest.raises(InvalidInputError, match=r"`tol` is .*, expected finite") as caught:
        validation.check_real(value, "tol")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("value", [2**63, 10**400, -(10**5000), 10**5000], ids=range(4))
def test_counts_beyond_64_bits_are_refused(value):
    with pytest.raises(InvalidInputError, match=r"`max_iter` is .*, expected at (most|least)"):
        validation.check_int(value, "max_iter", at_least=1)
    assert validation.as_seed(abs(value)) != validation.as_seed(abs(value) + 1)  # seeds may be of any size


@pytest.mark.parametrize("thing", [Raising(), [Raising()] * 3, [[1.0], [1.0, 2.0]], object(), {1: 2}, {1.0}])
def test_what_does_not_become_an_array_is_refused_by_name(thing):
    for convert in (
        lambda: validation.as_matrix(thing, "A"),
        lambda: validation.as_rhs(thing, 3, np.float64, "A"),
        lambda: validation.as_vector(thing, "A"),
        lambda: validation.as_sample_weight(thing, 3, "A"),
        lambda: as_penalties(thing, 3),
        lambda: as_factors([thing], "A"),
    ):
        with pytest.raises((InvalidTypeError, ShapeError), match=r"`A|`ridge"):
            convert()


def test_structured_entries_are_refused_masked_or_not():
    records = np.zeros((4, 2), [("x", "f8"), ("y", "f8")])
    for thing in (records, np.ma.array(records)):
        with pytest.raises(InvalidTypeError, match="`A` has dtype"):
            validation.as_matrix(thing)


@pytest.mark.parametrize(
    "dtype", ["junk", 3, object(), float("nan"), 10**400, [("x", 1)], "f2", "i8", np.complex64]
)
def test_dtypes_that_are_none_of_ours_are_refused(dtype):
    for name, call in (
        ("dtype", SparseSign(9).accumulate),
        ("dtype_work", partial(lstsq, np.eye(9, 2), np.ones(9))),
    ):
        with pytest.raises(InvalidTypeError, match=f"`{name}` is .*, expected float32 or float64"):
            call(*[2] * (name == "dtype"), **{name: dtype})


@pytest.mark.parametrize("dims", [np.array(0.1), np.array(3), 3, "33", [3, 2.5], [2**63], [10**5000]])
def test_dims_are_a_sequence_of_integers(dims):
    with pytest.raises(InvalidInputError, match="`dims` is"):
        TensorSRHT(4, dims)


@pytest.mark.parametrize("factors", [np.array(3.0), 3.0, "AB", b"AB", sp.csr_array(A), {1: A}, None])
def test_factors_are_a_sequence_of_matrices(factors):
    with pytest.raises(InvalidTypeError, match="`factors` is of type"):
        as_factors(factors)


@pytest.mark.parametrize("seed", [[[1], [1, 2]], [1.5], np.array([0.5]), np.ones((2, 2)), np.array(0.5)])
def test_ragged_and_real_seeds_are_refused(seed):
    with pytest.raises(InvalidTypeError, match="`rng` is of type"):
        validation.as_seed(seed)


@pytest.mark.parametrize("Estimator", [LinearRegression, Ridge, RidgeCV])
def test_estimators_refuse_in_our_words(Estimator):
    X, y = np.eye(9, 3), np.ones(9)
    model = Estimator().fit(X, y)
    masked = np.ma.array(X, mask=X > 0)
    for call in (lambda X: Estimator().fit(X, y), model.predict, lambda X: model.score(X, y)):
        for wrong in (
            Raising(),
            None,
            3.0,
            "text",
            X[0],
            X[None],
            [[1.0], [1.0, 2.0]],
            X + 0j,
            X.astype("M8[s]"),
            masked,
        ):
            with pytest.raises(InvalidInputError, match="`X`"):
                call(wrong)
    for wrong in (Raising(), 3.0, y[:-1], y + 0j, y.astype("M8[s]"), y * np.nan, sp.csr_array(X)):
        with pytest.raises(InvalidInputError, match="`y`"):
            Estimator().fit(X, wrong)
    with pytest.raises(InvalidInputError, match="`X`: X has 2 features"):
        model.predict(X[:, :2])


@pytest.mark.parametrize("Estimator", [LinearRegression, Ridge, RidgeCV])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_estimators_keep_the_dtype(Estimator, dtype):
    """As scikit-learn's: of predictions for several targets, and of the intercept."""
    X, y = rng_normal(50, 3).astype(dtype), rng_normal(50, 2).astype(dtype)
    for targets in (y, y[:, :1], y[:, 0]):
        for fit_intercept in (True, False):
            model = Estimator(fit_intercept=fit_intercept).fit(X, targets)
            assert model.predict(X).dtype == dtype
            assert model.predict(X).shape == targets.shape
            if not fit_intercept:
                assert (type(model.intercept_), model.intercept_) == (float, 0.0)
            elif targets.ndim == 1:
                assert type(model.intercept_) is dtype
            else:
                assert (model.intercept_.dtype, model.intercept_.shape) == (dtype, targets.shape[1:])


def rng_normal(*shape):
    return np.random.default_rng(0).standard_normal(shape)
