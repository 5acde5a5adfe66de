"""Data frames: their numbers, or the name of the column that has none."""

import datetime
import decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose

import nearlin
from nearlin import _frames
from nearlin.exceptions import InvalidInputError, InvalidTypeError, NonFiniteError

rng = np.random.default_rng(0)
N = 40
NUMBERS = rng.integers(0, 9, (N, 2)).astype(float)
Y = rng.standard_normal(N)
DATES = [datetime.date(2020, 1, 1) + datetime.timedelta(days=int(day)) for day in NUMBERS[:, 1]]
TIMES = [datetime.datetime(2020, 1, day + 1) for day in range(N % 30)] * 2
TIMES = (TIMES * N)[:N]
TEXT = [str(number) for number in NUMBERS[:, 1]]

UNFIT = {
    "pandas text": lambda: pd.Series(TEXT),
    "pandas text as objects": lambda: pd.Series(TEXT, dtype=object),
    "pandas text among numbers": lambda: pd.Series([*NUMBERS[1:, 1], "1.5"], dtype=object),
    "pandas times": lambda: pd.Series(TIMES),
    "pandas times with zone": lambda: pd.Series(TIMES).dt.tz_localize("UTC"),
    "pandas dates as objects": lambda: pd.Series(DATES, dtype=object),
    "pandas durations": lambda: pd.Series(TIMES) - TIMES[0],
    "pandas periods": lambda: pd.Series(pd.period_range("2020", periods=N)),
    "pandas categories": lambda: pd.Series(NUMBERS[:, 1]).astype("category"),
    "pandas categories of text": lambda: pd.Series(TEXT, dtype="category"),
    "pandas nullable text": lambda: pd.Series(TEXT, dtype="string"),
    "pandas objects": lambda: pd.Series([object()] * N),
    "pandas complex": lambda: pd.Series(NUMBERS[:, 1] + 1j),
    "polars text": lambda: pl.Series(TEXT),
    "polars dates": lambda: pl.Series(DATES),
    "polars times": lambda: pl.Series(TIMES),
    "polars durations": lambda: pl.Series(TIMES) - TIMES[0],
    "polars categories": lambda: pl.Series(TEXT, dtype=pl.Categorical),
    "polars lists": lambda: pl.Series([[1.0, 2.0]] * N),
    "polars objects": lambda: pl.Series([object()] * N, dtype=pl.Object),
}
FIT = {
    "pandas nullable integers": lambda: pd.Series(NUMBERS[:, 1], dtype="Int64"),
    "pandas nullable floats": lambda: pd.Series(NUMBERS[:, 1], dtype="Float32"),
    "pandas booleans": lambda: pd.Series(NUMBERS[:, 1] > 4),
    "pandas nullable booleans": lambda: pd.Series(NUMBERS[:, 1] > 4, dtype="boolean"),
    "pandas numbers as objects": lambda: pd.Series(NUMBERS[:, 1], dtype=object),
    "pandas decimals": lambda: pd.Series(map(decimal.Decimal, TEXT)),
    "pandas sparse": lambda: pd.Series(pd.arrays.SparseArray(NUMBERS[:, 1])),
    "polars integers": lambda: pl.Series(NUMBERS[:, 1]).cast(pl.Int8),
    "polars floats": lambda: pl.Series(NUMBERS[:, 1]).cast(pl.Float32),
    "polars booleans": lambda: pl.Series(NUMBERS[:, 1] > 4),
    "polars decimals": lambda: pl.Series(map(decimal.Decimal, TEXT)),
}
TAKERS = {
    "lstsq": lambda frame: nearlin.lstsq(frame, Y),
    "lstsq_kron": lambda frame: nearlin.lstsq_kron([frame, np.eye(2)], np.ones((N, 2))),
    "sketch_and_solve": lambda frame: nearlin.sketch_and_solve(frame, Y),
    "partial_fit": lambda frame: nearlin.StreamingLeastSquares().partial_fit(frame, Y),
    "LinearRegression": lambda frame: nearlin.LinearRegression().fit(frame, Y),
    "Ridge": lambda frame: nearlin.Ridge().fit(frame, Y),
    "RidgeCV": lambda frame: nearlin.RidgeCV().fit(frame, Y),
}


def frame_of(case, column, other=NUMBERS[:, 0]):
    frame = pd.DataFrame if case.startswith("pandas") else pl.DataFrame
    return frame({"size": other, "odd one": column})


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("case", UNFIT)
def test_a_column_that_holds_no_numbers_is_named(case, taker):
    with pytest.raises(InvalidTypeError, match=r"column 'odd one' of `(A|X|factors\[0\])` has dtype"):
        TAKERS[taker](frame_of(case, UNFIT[case]()))


@pytest.mark.parametrize("case", UNFIT)
def test_a_series_that_holds_no_numbers_is_refused_as_a_right_hand_side(case):
    for call, name in [(nearlin.lstsq, "b"), (nearlin.Ridge().fit, "y")]:
        with pytest.raises(InvalidTypeError, match=f"`{name}` has dtype"):
            call(NUMBERS, UNFIT[case]())


@pytest.mark.parametrize("case", FIT)
def test_a_column_of_numbers_is_taken_whatever_holds_it(case):
    column = FIT[case]()
    expected = np.c_[NUMBERS[:, 0], [float(number) for number in column]]
    frame = frame_of(case, column)
    assert_allclose(nearlin.lstsq(frame, Y).x, nearlin.lstsq(expected, Y).x, rtol=1e-12)
    assert_allclose(
        nearlin.lstsq(NUMBERS, column).x, nearlin.lstsq(NUMBERS, expected[:, 1]).x, rtol=1e-12, atol=1e-12
    )
    if "sparse" in case:
        return  # scikit-learn has a warning of its own for these
    model = nearlin.LinearRegression().fit(frame, Y)
    assert_allclose(model.coef_, nearlin.LinearRegression().fit(expected, Y).coef_, rtol=1e-12)
    assert list(model.feature_names_in_) == ["size", "odd one"]


@pytest.mark.parametrize("taker", sorted(TAKERS.keys() - {"lstsq_kron", "RidgeCV"}))
@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_a_missing_value_is_told_by_the_name_of_its_column(frame, taker):
    given = frame({"size": NUMBERS[:, 0], "odd one": [*NUMBERS[1:, 1], None]})
    with pytest.raises(
        NonFiniteError, match=r"contains NaN at \[39, 1\].*column 'odd one'; missing values are NaN"
    ):
        TAKERS[taker](given)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_a_missing_value_among_new_rows_is_told_by_the_name_of_its_column(frame):
    known = frame({"size": NUMBERS[:, 0], "odd one": NUMBERS[:, 1]})
    given = frame({"size": NUMBERS[:, 0], "odd one": [*NUMBERS[1:, 1], None]})
    for ask in (
        nearlin.LinearRegression().fit(known, Y).predict,
        nearlin.QuantileRegressor().fit(known, Y).predict,
        nearlin.StreamingPCA(random_state=0).fit(known).transform,
    ):
        with pytest.raises(NonFiniteError, match=r"`X` contains NaN at \[39, 1\].*column 'odd one'"):
            ask(given)


@pytest.mark.parametrize("library", [pd, pl])
def test_which_column_makes_others_be_copied_in_double_precision_is_told(library, caplog):
    single = {"u": NUMBERS[:, 0].astype(np.float32), "v": NUMBERS[:, 1].astype(np.float32)}
    number = {"n": np.arange(N, dtype=np.int16)}
    words = "all columns are copied to float64, as column 'n' is int16"
    with caplog.at_level("DEBUG", "nearlin"):
        result = nearlin.lstsq(library.DataFrame({**single, **number}), Y, rng=0)
        nearlin.LinearRegression().fit(library.DataFrame({**number, **single}), Y)
    assert words.casefold() in result.explain().casefold()
    assert sum(words.casefold() in line.casefold() for line in caplog.messages if "frame: " in line) >= 2
    for columns in (single, number, {"x": NUMBERS[:, 0], **number}):
        assert "copied" not in nearlin.lstsq(library.DataFrame(columns), Y, rng=0).explain()


def test_columns_of_the_same_name_are_told_apart():
    frame = pd.concat([pd.DataFrame(NUMBERS, columns=["a", "a"]), pd.Series(TEXT, name="a")], axis=1)
    with pytest.raises(InvalidTypeError, match=r"column 'a' of `A` has dtype (str|object)"):
        nearlin.lstsq(frame, Y)


def test_text_in_arrays_is_no_number_for_estimators_either():
    for given in (NUMBERS.astype(str), NUMBERS.astype(str).tolist(), NUMBERS.astype(str).astype(object)):
        for fit in (
            nearlin.LinearRegression().fit,
            lambda X, y: nearlin.Ridge().fit(NUMBERS, np.asarray(X)[:, 0]),
        ):
            with pytest.raises(InvalidTypeError, match=r"`[Xy]` has"):
                fit(given, Y)


class Proxy:
    """Stands for a frame as wrapt's proxies do: in all but its type."""

    def __init__(self, frame):
        self._frame = frame

    @property
    def __class__(self):
        return type(self._frame)

    def __getattr__(self, name):
        return getattr(self._frame, name)

    def __len__(self):
        return len(self._frame)

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self._frame, dtype=dtype)


@pytest.mark.parametrize("library", [pd, pl])
def test_the_names_of_a_proxy_are_those_of_its_frame(library):
    frame = library.DataFrame({"u": NUMBERS[:, 0], "v": NUMBERS[:, 1]})
    model = nearlin.LinearRegression().fit(Proxy(frame), Y)
    np.testing.assert_array_equal(model.coef_, nearlin.LinearRegression().fit(frame, Y).coef_)
    assert model.feature_names_in_.tolist() == ["u", "v"]
    with pytest.raises(InvalidInputError, match="same order"):
        model.predict(Proxy(frame[["v", "u"]]))
    stream = nearlin.StreamingLeastSquares(sketch_size=20).partial_fit(Proxy(frame), Y)
    with pytest.raises(InvalidInputError, match="same order"):
        stream.partial_fit(Proxy(frame[["v", "u"]]), Y)


@pytest.mark.parametrize("made", [sp.csr_array, sp.csc_matrix])
def test_a_proxy_of_a_sparse_matrix_is_one(made):
    matrix = made(NUMBERS)
    ours, plain = (nearlin.LinearRegression().fit(X, Y).coef_ for X in (Proxy(matrix), matrix))
    np.testing.assert_array_equal(ours, plain)
    ours, plain = (nearlin.lstsq(X, Y, rng=0).x for X in (Proxy(matrix), matrix))
    np.testing.assert_array_equal(ours, plain)


@pytest.mark.parametrize("name", ["__class__", "shape", "to_numpy", "dtypes"])
def test_an_object_that_cannot_be_asked_is_no_frame(name):
    class Failing(Proxy):
        @property
        def __class__(self):
            return self.__getattr__("__class__")

        def __getattr__(self, asked):
            if asked == name:
                raise ValueError(asked)
            return getattr(self._frame, asked)

    assert _frames.is_frame(Proxy(pd.DataFrame(NUMBERS)))
    assert not _frames.is_frame(Failing(pd.DataFrame(NUMBERS)))
