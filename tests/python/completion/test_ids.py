"""What rows and columns may be called, in every call and in every copy, and what is refused."""

import copy
import datetime
import pickle
from decimal import Decimal
from uuid import UUID

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from reference.completion import instance

from nearlin import EntrySplit, ImplicitALS, MatrixCompletion, SoftImpute
from nearlin.exceptions import AllocationError, InvalidInputError, InvalidTypeError, ShapeError

SHAPE = (60, 40)
ROWS, COLS, VALUES, _ = instance(SHAPE, 2, 0.4)
DAY = datetime.date(2020, 2, 20)
NOON = datetime.datetime(2020, 2, 20, 12, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))


def objects(make, count=60):
    return np.fromiter((make(k) for k in range(count)), object, count)


# All in increasing order.
KINDS = {
    "int8": np.arange(60, dtype=np.int8),
    "big-endian": np.arange(60, dtype=">i4") * 3,
    "uint64": np.arange(60, dtype=np.uint64) + np.uint64(2**63),
    "float32": np.arange(60, dtype=np.float32) * 5,
    "longdouble": np.arange(60, dtype=np.longdouble) + 2**60,
    "str": np.array([f"user {k:02d}" for k in range(60)]),
    "bytes": np.array([b"%02d" % k for k in range(60)]),
    "dates": np.datetime64("1969-12-01") + np.arange(60),
    "times": np.datetime64("2020-01-01T12:00", "ns") + np.arange(60) * np.timedelta64(1, "h"),
    "durations": np.arange(-30, 30) * np.timedelta64(7, "s"),
    "objects of int64": objects(lambda k: np.int64(k * 10**12)),
    "objects of numbers": objects(lambda k: float(3 * k) if k % 2 else 3 * k),
    "objects of str": objects(lambda k: f"{k:02d} \N{SNOWMAN}"),
    "objects of bytes": objects(lambda k: b"%02d\0" % k),
    "objects of date": objects(lambda k: DAY + datetime.timedelta(days=k)),
    "objects of datetime": objects(lambda k: NOON + datetime.timedelta(days=k)),
    "objects of timedelta": objects(lambda k: datetime.timedelta(days=k, microseconds=1)),
    "objects of Timestamp": objects(lambda k: pd.Timestamp("2020-01-01") + pd.Timedelta(k, "ns")),
    "objects of aware Timestamp": objects(lambda k: pd.Timestamp(NOON) + pd.Timedelta(k, "h")),
    "objects of UUID": objects(lambda k: UUID(int=k * 10**30)),
    "objects of Decimal": objects(lambda k: Decimal(k) / 4),
    "tuples": objects(lambda k: (k // 7, f"seat {k % 7}", DAY, k / 4)),
    "strings and numbers": objects(lambda k: k if k < 30 else f"{k:02d}"),
    "several": objects(lambda k: [DAY + datetime.timedelta(days=k), 5 + k, f"{k:02d}"][(k > 20) + (k > 40)]),
}


def models(entries):
    options = {"random_state": 0, "n_jobs": 1}
    counts = (*entries[:2], np.abs(entries[2]))
    return [
        MatrixCompletion(2, reg=0.3, **options).fit(entries),
        ImplicitALS(2, max_iter=3, **options).fit(counts),
    ]


@pytest.fixture(scope="module")
def numbered():
    return models((ROWS, COLS, VALUES))


@pytest.mark.parametrize("kind", KINDS)
def test_names_of_every_kind_are_kept_by_every_copy(kind, numbered):
    rows, cols = KINDS[kind], KINDS[kind][:40]
    order = np.random.default_rng(0).permutation(len(VALUES))
    for model, expected in zip(
        models((rows[ROWS][order], cols[COLS][order], VALUES[order])), numbered, strict=True
    ):
        assert np.array_equal(model.U_, expected.U_)
        twins = [
            model.copy(),
            copy.deepcopy(model),
            pickle.loads(pickle.dumps(model)),
            type(model).from_bytes(model.to_bytes()),
        ]
        for twin in (model, *twins):
            assert list(twin.row_ids_) == list(rows)
            assert twin.row_ids_.dtype == model.row_ids_.dtype
            assert np.array_equal(twin.predict(rows[ROWS], cols[COLS]), expected.predict(ROWS, COLS))
            listed = twin.predict(list(rows[ROWS]), list(cols[COLS]))
            assert np.array_equal(listed, expected.predict(ROWS, COLS))
            assert np.array_equal(twin.predict_row(rows[7]), expected.predict_row(7))
            best, scores = twin.top_n(rows[3:5], 4)
            assert np.array_equal(scores, expected.top_n([3, 4], 4)[1])
            assert list(best[0]) == list(cols[expected.top_n([3], 4)[0][0]])
            assert twin.to_bytes() == model.to_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_later_entries_bring_new_names_of_the_same_kind(kind):
    rows, cols = KINDS[kind], KINDS[kind][:40]
    old = ROWS % 3 != 0
    options = {"rank": 2, "reg": 0.3, "random_state": 0}
    model = MatrixCompletion(**options).fit((rows[ROWS][old], cols[COLS][old], VALUES[old]))
    model.partial_fit((rows[ROWS][~old], cols[COLS][~old], VALUES[~old]))
    plain = MatrixCompletion(**options).fit((ROWS[old], COLS[old], VALUES[old]))
    plain.partial_fit((ROWS[~old], COLS[~old], VALUES[~old]))
    assert np.array_equal(model.U_, plain.U_)
    assert list(model.row_ids_) == list(rows)
    assert model.score((rows[ROWS], cols[COLS], VALUES)) == pytest.approx(plain.score((ROWS, COLS, VALUES)))


def test_large_numbers_are_never_rounded():
    ids = np.arange(60) * 2 + 2**53
    for model in models((ids[ROWS], COLS, VALUES)):
        for cast in (np.uint64, np.int64, object):
            found = model.predict(ids.astype(cast), np.zeros(60, int))
            assert np.array_equal(found, model.predict(ids, np.zeros(60, int)))
    model = MatrixCompletion(2, reg=0.3, random_state=0).fit((ids[ROWS], COLS, VALUES))
    between = (ids + 1).astype(np.uint64)
    assert not model.predict(between, np.zeros(60, int), return_known=True)[1].any()
    wide = np.array([2**64 - 1, 3], dtype=np.uint64)
    model = MatrixCompletion(1, reg=0.3).fit((wide, [0, 1], [1.0, 2.0]))
    known = model.predict([2**64 - 1, 3, 2**64 - 2], [0, 0, 0], return_known=True)[1]
    assert known.tolist() == [True, True, False]
    assert model.predict(np.array([3]), [0], return_known=True)[1].all()
    model.partial_fit(([5, 3], [0, 1], [1.0, 1.0]))
    assert model.row_ids_.tolist() == [3, 5, 2**64 - 1]


CALLS = {
    "predict": lambda model, ids: model.predict(ids, ids),
    "score": lambda model, ids: model.score((ids, ids, np.ones(len(ids)))),
    "top_n": lambda model, ids: model.top_n(ids, 2),
    "predict_row": lambda model, ids: model.predict_row(ids[0]),
    "partial_fit": lambda model, ids: (
        model.partial_fit((ids, ids, np.ones(len(ids))))
        if hasattr(model, "partial_fit")
        else model.predict(ids, ids)
    ),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("kept", "asked", "words"),
    [
        ("str", np.arange(2), "type int, expected str"),
        ("int8", np.array(["0", "1"]), "type str, expected int"),
        ("objects of str", np.arange(2), "type int, expected str"),
        ("dates", np.arange(2), "type int, expected datetime64"),
        ("bytes", np.array(["00", "01"]), "type str, expected bytes"),
        ("objects of UUID", [str(UUID(int=0))] * 2, "type str, expected UUID"),
        ("strings and numbers", [DAY, DAY], "type date, expected int and str"),
        ("int8", ["1", 0], "str, expected int"),
        (None, ["0", "1"], "type str, expected numbers"),
    ],
)
def test_names_of_another_kind_are_told_from_unknown_ones(call, kept, asked, words):
    if kept is None:
        X = sp.csr_array((np.abs(VALUES), (ROWS, COLS)), shape=SHAPE)
        all_models = [
            MatrixCompletion(2, reg=0.3, random_state=0).fit(X),
            ImplicitALS(2, max_iter=2, random_state=0).fit(X),
        ]
    else:
        names = KINDS[kept]
        all_models = models((names[ROWS], names[:40][COLS], VALUES))
    for model in all_models:
        with pytest.raises(InvalidTypeError, match=words):
            CALLS[call](model, asked)


def test_dates_are_compared_whatever_their_unit():
    days = KINDS["dates"]
    model = MatrixCompletion(2, reg=0.3, random_state=0).fit((days[ROWS], COLS, VALUES))
    col = np.zeros(60, int)
    expected = model.predict(days, col)
    for unit in ("ns", "s", "h"):
        finer = days.astype(f"M8[{unit}]")
        assert np.array_equal(model.predict(finer, col), expected)
        assert not model.predict(finer + np.timedelta64(1, unit), col, return_known=True)[1].any()
    assert np.array_equal(model.predict(list(map(pd.Timestamp, days)), col), expected)
    assert np.array_equal(model.predict(pd.Series(days), col), expected)
    assert model.predict_row(pd.Timestamp(days[3])).shape == (40,)


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (np.array(["2020-01-01", "NaT"], "M8[D]"), r"missing at \[1\]"),
        (np.array([3, "NaT"], "m8[s]"), r"missing at \[1\]"),
        ([pd.Timestamp("2020"), pd.NaT], r"missing at \[1\]"),
        (pd.Series(["a", None]), r"missing at \[1\]"),
        (pd.array([1, None], dtype="Int64"), r"missing at \[1\]"),
        (["a", float("nan")], r"missing at \[1\]"),
        ([1.0, np.nan], r"missing at \[1\]"),
        ([Decimal(1), Decimal("nan")], r"missing at \[1\]"),
        (np.ma.masked_array([1, 2], [False, True]), "masked"),
        (np.array([1, -1], dtype=object), r"contains -1 at \[1\]"),
        (np.array([1, 1.5], dtype=object), r"contains 1.5 at \[1\]"),
        (np.array([1, np.inf], dtype=object), r"contains inf at \[1\]"),
        ([1, "a", -3], r"contains -3 at \[2\]"),
        ([1, 2**64], r"expected integers below 2\*\*64"),
        ([1.0, 2.0**53], "floating-point numbers below 9007199254740992"),
        (np.array([1, 2**24], np.float32), "floating-point numbers below 16777216"),
        ([1j, 2j], "complex"),
        ([object(), object()], "type object"),
        ([frozenset(), frozenset()], "type frozenset"),
        ([NOON, NOON.replace(tzinfo=None)], "order"),
        ([("a", 1), (2, "b")], "order"),
        ([(1, [2]), (3, 4)], "order"),
        ([(1, None), (2, None)], "NoneType"),
        ([(1, float("nan")), (2, 3.0)], "nan"),
        ([[1, 2], [3]], "cannot be read"),
        (np.zeros((2, 1)), "dimensions"),
        (np.zeros(2, dtype=[("a", int)]), "dtype"),
    ],
)
@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
def test_what_no_row_can_be_called(ids, words):
    for fit in (
        lambda X: MatrixCompletion(1, reg=0.5).fit(X),
        lambda X: SoftImpute(1, reg=0.5).fit(X),
        lambda X: ImplicitALS(1).fit(X),
        lambda X: list(EntrySplit(1, 0.5).split(X)),
    ):
        for X in ((ids, [0, 1], [1.0, 2.0]), ([0, 1], ids, [1.0, 2.0])):
            with pytest.raises(InvalidInputError, match=words):
                fit(X)


def test_numbers_in_all_their_forms_are_those_of_a_matrix():
    X = sp.csr_array((VALUES, (ROWS, COLS)), shape=SHAPE)
    model = MatrixCompletion(2, reg=0.3, random_state=0).fit(X)
    expected = model.predict([1, 2], [3, 4])
    for one, other in [
        ([1.0, 2.0], [3, np.float32(4)]),
        (np.array([1, 2], object), (3, 4)),
        (np.array([1, 2], np.int8), np.array([3, 4], np.uint64)),
        (pd.Series([1, 2], dtype="Int64"), pl.Series([3, 4])),
    ]:
        assert np.array_equal(model.predict(one, other), expected)
    assert np.array_equal(model.predict_row(1.0), model.predict_row(np.int64(1)))
    assert not model.predict([60, 2**63], [0, 0], return_known=True)[1].any()
    for call in (lambda: model.predict([-1], [0]), lambda: model.predict_row(1.5)):
        with pytest.raises(InvalidInputError):
            call()
    with pytest.raises(ShapeError):
        model.predict(1, 2)


def test_frames_call_rows_as_they_are_called():
    names = KINDS["str"]
    frame = {"user": names[ROWS], "day": pd.Timestamp("2020") + pd.to_timedelta(COLS, "D"), "value": VALUES}
    pandas = pd.DataFrame(frame)
    options = {"rank": 2, "reg": 0.3, "random_state": 0}
    expected = MatrixCompletion(**options).fit((ROWS, COLS, VALUES))
    for form in (
        pandas,
        pandas.astype({"user": "category"}),
        pandas.astype({"user": "string"}),
        pl.DataFrame(frame),
        pl.DataFrame(frame).with_columns(pl.col("user").cast(pl.Categorical)),
    ):
        model = MatrixCompletion(**options).fit(form)
        assert np.array_equal(model.U_, expected.U_)
        assert list(model.row_ids_) == list(names)
        assert model.score(form) == pytest.approx(expected.score((ROWS, COLS, VALUES)))


@pytest.mark.parametrize("make", [list, lambda X: [part.tolist() for part in X]])
def test_a_list_of_three_vectors_is_no_table(make):
    entries = ROWS[:30], COLS[:30], VALUES[:30]
    for call in (
        MatrixCompletion(2, reg=0.3).fit,
        MatrixCompletion(2, reg=0.3).fit(entries).score,
        SoftImpute(2, reg=0.3).fit,
        ImplicitALS(2).fit,
        lambda X: list(EntrySplit().split(X)),
    ):
        with pytest.raises(InvalidInputError, match=r"a list of 3 vectors.*tuple\(X\)"):
            call(make(entries))
    with pytest.raises(InvalidInputError, match="a list of 2 vectors"):
        ImplicitALS(2).fit(make(entries[:2]))
    table = [[1.0, np.nan, 3.0]] * 5
    assert MatrixCompletion(1, reg=0.5).fit(table).U_.shape == (5, 1)


def test_where_nothing_is_left_to_recommend_nothing_is_named():
    fillers = {
        "int8": -1,
        "uint64": None,
        "str": "",
        "bytes": b"",
        "objects of str": None,
        "objects of UUID": None,
    }
    for kind, filler in fillers.items():
        names = KINDS[kind][:3]
        for estimator in (MatrixCompletion(1, reg=0.5), ImplicitALS(1)):
            model = estimator.fit((names[[0, 0, 1]], names[[0, 1, 2]], [1.0, 2.0, 3.0]))
            best, scores = model.top_n(names[:2], 3)
            assert list(best[0][1:]) == [filler] * 2
            assert np.isnan(scores[0, 1:]).all()
            assert best[0, 0] == names[2]
            assert not np.isnan(scores[0, 0])
    days = KINDS["dates"][:3]
    best, _ = MatrixCompletion(1, reg=0.5).fit((days[[0, 0]], days[[0, 1]], [1.0, 2.0])).top_n(days[:1], 2)
    assert np.isnat(best).all()
    best, _ = MatrixCompletion(1, reg=0.5).fit(np.array([[1.0, 2.0]])).top_n([0], 2)
    assert (best == -1).all()


def test_errors_are_those_of_nearlin_short_of_memory(monkeypatch):
    from nearlin.completion import _entries, _factor_model, _matrix_completion

    def short(*arguments, **options):
        raise MemoryError

    entries = ROWS, COLS, VALUES
    for model in models(entries):
        for module, name, call in [
            (_entries, "as_float", lambda model: model.fit(entries)),
            (_factor_model, "placed", lambda model: model.score(entries)),
            (_factor_model, "positions", lambda model: model.predict(ROWS, COLS)),
            (_factor_model, "positions", lambda model: model.top_n(ROWS[:2])),
            (_factor_model, "positions", lambda model: model.predict_row(ROWS[0])),
            (_matrix_completion, "as_rows", lambda model: model.transform(np.ones((1, 40)))),
        ]:
            if isinstance(model, ImplicitALS) and name in ("placed", "as_rows"):
                continue
            with monkeypatch.context() as patch:
                patch.setattr(module, name, short)
                with pytest.raises(AllocationError, match="could not allocate"):
                    call(model)
