"""Which columns a table has, of what type, wherever it is cut: one answer at every door, or a refusal."""

import datetime
import decimal
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest

import nearlin
from nearlin.data import blocks
from nearlin.exceptions import InvalidInputError, InvalidTypeError, ShapeError

pa = pytest.importorskip("pyarrow")
ds = pytest.importorskip("pyarrow.dataset")
pq = pytest.importorskip("pyarrow.parquet")

Y = [1.0, 2.0]


def whole(rows):
    """Return features and targets of all rows."""
    found = list(rows)
    y = None if found[0].y is None else np.concatenate([block.y for block in found])
    return np.vstack([block.X for block in found]), y


@pytest.fixture
def folder(tmp_path):
    """Return a function that writes a file of each of these columns `a`."""

    def write(*columns, name="a"):
        for k, column in enumerate(columns):
            table = pa.table({name: column, "y": Y[: len(column)]})
            pq.write_table(table, tmp_path / f"{k}.parquet")
        return tmp_path

    return write


# ---------------------------------------------------------------- the index of pandas


def doors_of_a_frame(frame, folder):
    """Yield what holds the rows of a frame with an index."""
    path = folder / "frame.parquet"
    frame.to_parquet(path)
    half = len(frame) // 2

    class Frame(pd.DataFrame):
        __module__ = "elsewhere"

    yield "pandas", frame
    yield "subclass", Frame(frame)
    yield "iterator", iter([frame])
    yield "chunks", iter([frame[:half], frame[half:]])
    yield "chunks of a subclass", iter([Frame(frame[:half]), Frame(frame[half:])])
    yield "table", pa.Table.from_pandas(frame)
    yield "batches", iter(pa.Table.from_pandas(frame).to_batches(max_chunksize=7))
    yield "reader", pa.Table.from_pandas(frame).to_reader()
    yield "file", path
    yield "dataset", ds.dataset(str(path))


@pytest.mark.parametrize("name", [None, "id"])
def test_the_index_of_a_frame_is_no_feature(tmp_path, name):
    a = np.random.default_rng(0).standard_normal(100)
    frame = pd.DataFrame({"a": a, "y": 2.0 * a + np.arange(100.0)})
    frame = frame[frame.a > 0.0].rename_axis(name)
    for door, source in doors_of_a_frame(frame, tmp_path):
        rows = blocks(source, target="y")
        assert (door, rows.feature_names) == (door, ["a"])
        X, y = whole(rows)
        assert np.array_equal(X[:, 0], frame.a)
        assert np.array_equal(y, frame.y)
    column = name or "__index_level_0__"
    X, _ = whole(blocks(tmp_path / "frame.parquet", columns=["a", column], target="y"))
    assert np.array_equal(X, np.column_stack([frame.a, frame.index]))
    rows = blocks(tmp_path / "frame.parquet", columns=["a"], target=column)
    assert np.array_equal(whole(rows)[1], frame.index)
    assert blocks(tmp_path / "frame.parquet", target="y", exclude=[column]).feature_names == ["a"]


def test_made_up_names_of_an_index_are_known_where_metadata_are_lost(tmp_path):
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "y": [1.0, 2.0, 3.0]}, index=[3, 1, 2])
    frame.to_parquet(tmp_path / "frame.parquet")
    for source in (pl.scan_parquet(tmp_path / "frame.parquet"), pl.read_parquet(tmp_path / "frame.parquet")):
        assert blocks(source, target="y").feature_names == ["a"]


def test_an_index_that_is_a_column_elsewhere_is_refused(tmp_path):
    frame = pd.DataFrame({"a": [1.0, 2.0], "id": [1.0, 2.0], "y": Y})
    frame.to_parquet(tmp_path / "0.parquet")
    frame.set_index("id").to_parquet(tmp_path / "1.parquet")
    with pytest.raises(
        InvalidInputError, match="'id' that is the index of a frame in some files and a column"
    ):
        blocks(tmp_path, target="y")
    assert blocks(tmp_path, target="y", exclude=["id"]).feature_names == ["a"]


def test_frames_of_which_some_wrote_an_index(tmp_path):
    for k, index in enumerate((None, [4, 2])):
        pd.DataFrame({"a": [1.0, 2.0], "y": Y}, index=index).to_parquet(tmp_path / f"{k}.parquet")
    assert whole(blocks(tmp_path, target="y"))[0].tolist() == [[1.0], [2.0], [1.0], [2.0]]
    with pytest.raises(
        InvalidInputError, match=r"'__index_level_0__' that is in file .*1\.parquet' and not in"
    ):
        blocks(tmp_path, columns=["a", "__index_level_0__"], target="y")


# ---------------------------------------------------------------- files of several types


def both_ways(*columns):
    return [columns, columns[::-1]]


LOSSLESS = {
    "float32 and float64": both_ways(
        pa.array([0.5, 2.0], pa.float32()), pa.array([16777217.0, 1e-50], pa.float64())
    ),
    "int32 and float64": both_ways(pa.array([1, 2], pa.int32()), pa.array([1.5, 1e300])),
    "int8 and int64": both_ways(pa.array([1, 2], pa.int8()), pa.array([1000, 2**53])),
    "uint64 and int64": both_ways(pa.array([1, 2], pa.uint64()), pa.array([-5, 7])),
    "decimal and float64": both_ways(
        pa.array([decimal.Decimal("1.5"), decimal.Decimal("2.5")]), pa.array([1.23456, 1.0])
    ),
    "float16 and float32": both_ways(
        pa.array(np.array([1.0, 2.0], np.float16)), pa.array([0.1, 2.0], pa.float32())
    ),
    "float32 and integers": both_ways(pa.array([1.0, 2.0], pa.float32()), pa.array([16777217, 1])),
}


@pytest.mark.parametrize("columns", [ways for both in LOSSLESS.values() for ways in both])
def test_files_of_numbers_are_of_the_widest_type(folder, columns):
    path = folder(*columns)
    expected = [float(value) for column in columns for value in column.to_pylist()]
    single = all(column.type in (pa.float16(), pa.float32()) for column in columns)
    for source in (path, ds.dataset(str(path)), ds.dataset([ds.dataset(str(path))])):
        rows = blocks(source, target="y")
        assert rows.dtype == (np.float32 if single else np.float64)
        X, y = whole(rows)
        assert X[:, 0].tolist() == expected
        assert y.tolist() == Y * len(columns)


def test_the_target_too_is_of_the_widest_type(folder):
    path = folder(pa.array([0.5], pa.float32()), pa.array([16777217.0]))
    assert whole(blocks(path, columns=["y"], target="a"))[1].tolist() == [0.5, 16777217.0]


def test_a_file_of_nulls_alone_is_of_the_type_of_the_others(folder):
    path = folder(pa.nulls(2), pa.array([1.5, 2.5]))
    assert whole(blocks(path, target="y", nulls="drop"))[0].tolist() == [[1.5], [2.5]]
    path = folder(pa.nulls(0), pa.array([1.5, 2.5]))
    assert whole(blocks(path, target="y"))[0].tolist() == [[1.5], [2.5]]


REFUSED = {
    "truth values and numbers": ([True, False], [7.0, 8.0]),
    "truth values and integers": ([True, False], [7, 8]),
    "numbers and text": ([1.0, 2.0], ["3.5", "1"]),
    "numbers and dates": ([1.0, 2.0], [datetime.datetime(2020, 1, 1)] * 2),
}


@pytest.mark.parametrize("columns", [ways for pair in REFUSED.values() for ways in both_ways(*pair)])
def test_files_that_disagree_are_refused_by_column_and_file(folder, columns):
    path = folder(*columns)
    kinds = [str(pa.array(column).type) for column in columns]
    for source in (path, ds.dataset(str(path))):
        with pytest.raises(InvalidInputError, match="'a'") as caught:
            blocks(source, target="y")
        told = str(caught.value)
        if kinds[0] != "string" and not kinds[0].startswith("timestamp"):
            assert f"'a' that is {kinds[0]} in file" in told
            assert f"{kinds[1]} in '" in told
            assert "0.parquet" in told
            assert "1.parquet" in told
        assert blocks(source, columns=["y"]).n_rows == 4


@pytest.mark.parametrize("order", [1, -1])
def test_a_column_that_some_files_have_is_refused(tmp_path, order):
    tables = [pa.table({"a": Y, "y": Y}), pa.table({"a": Y, "b": Y, "y": Y})][::order]
    for k, table in enumerate(tables):
        pq.write_table(table, tmp_path / f"{k}.parquet")
    for source in (tmp_path, ds.dataset(str(tmp_path))):
        with pytest.raises(
            InvalidInputError, match=r"'b' that is in file '.*\.parquet' and not in '.*\.parquet'"
        ):
            blocks(source, target="y")
        assert blocks(source, target="y", exclude=["b"]).feature_names == ["a"]
        assert blocks(source, target="y", columns=["a"]).n_rows == 4


def test_a_dataset_may_leave_out_what_all_files_have(tmp_path):
    pq.write_table(pa.table({"a": Y, "b": Y, "y": Y}), tmp_path / "0.parquet")
    schema = pa.schema([("a", pa.float64()), ("y", pa.float64())])
    assert blocks(ds.dataset(str(tmp_path), schema=schema), target="y").feature_names == ["a"]


def test_a_filter_stays(folder):
    path = folder(pa.array([1.5, 2.0]), pa.array([3.0, 4.0]))
    few = ds.dataset(str(path)).filter(ds.field("a") > 1.9)
    assert whole(blocks(few, target="y"))[0].tolist() == [[2.0], [3.0], [4.0]]
    path = folder(pa.array([1, 2]), pa.array([3.5, 4.0]))
    few = ds.dataset(str(path)).filter(ds.field("a") > 1)
    with pytest.raises(InvalidInputError, match="'a' that is double in some files and int64 in the dataset"):
        blocks(few, target="y")


def test_integers_of_more_than_53_bits_are_refused_wherever_they_come_from(folder):
    big = 2**53 + 1
    path = folder(pa.array([1.5, 2.0]), pa.array([1, big]))
    with pytest.raises(InvalidInputError, match=f"'a'.*{big}"):
        whole(blocks(path, target="y"))
    array = np.array([[1], [big]])
    for source in (array, iter([array]), array.tolist(), iter([(array, Y)])):
        with pytest.raises(InvalidInputError, match=f"the integer {big}, which is no float64 number"):
            whole(blocks(source))


# ---------------------------------------------------------------- paths


@pytest.mark.parametrize("key", ["run=3", "alpha=0.5"])
def test_a_file_is_a_file_whatever_its_path(tmp_path, monkeypatch, key):
    (tmp_path / key).mkdir()
    file = tmp_path / key / "f.parquet"
    pq.write_table(pa.table({"a": [1.0, 2.0], "y": [9.0, 11.0]}), file)
    monkeypatch.chdir(tmp_path)
    for source in (file, str(file), file.relative_to(tmp_path), f"file://{file}"):
        rows = blocks(source, target="y")
        assert rows.feature_names == ["a"]
        assert nearlin.lstsq(rows).x == pytest.approx([31.0 / 5.0])


def test_a_table_with_a_log_is_not_its_files(folder):
    path = folder([1.0, 2.0])
    (path / "_delta_log").mkdir()
    with pytest.raises(InvalidInputError, match="is a table of Delta Lake"):
        blocks(path, target="y")


def test_an_empty_folder_is_called_so(tmp_path):
    with pytest.raises(InvalidInputError, match="is a directory without a file of Parquet"):
        blocks(tmp_path, target="y")


def test_what_is_no_parquet_in_a_folder_is_named(folder):
    path = folder([1.0, 2.0])
    (path / "notes.txt").write_text("what these are")
    with pytest.raises(InvalidInputError, match=r"cannot be read.*notes\.txt"):
        blocks(path, target="y")


def test_names_of_folders_are_columns_of_a_directory(tmp_path):
    for key in (3, 4):
        (tmp_path / f"run={key}").mkdir()
        kind = pa.float32() if key == 3 else pa.float64()
        table = pa.table({"a": pa.array([0.5, key / 10], kind), "y": Y})
        pq.write_table(table, tmp_path / f"run={key}" / "f.parquet")
    X, _ = whole(blocks(tmp_path, target="y"))
    assert X.tolist() == [[0.5, 3], [float(np.float32(0.3)), 3], [0.5, 4], [0.4, 4]]
    table = pa.table({"a": [1.0], "run": pa.array([5], pa.int32()), "y": [1.0]})
    pq.write_table(table, tmp_path / "run=4" / "g.parquet")
    with pytest.raises(
        InvalidInputError, match=r"'run' that is in file '.*g\.parquet' and in the names of fold"
    ):
        blocks(tmp_path, target="y")
    table = pa.table({"a": [1.0], "run": ["five"], "y": [1.0]})
    pq.write_table(table, tmp_path / "run=3" / "f.parquet")
    with pytest.raises(InvalidInputError, match="files and folders that disagree"):
        blocks(tmp_path, target="y")


# ---------------------------------------------------------------- chunks of an iterator


BASE = {"a": [1, 2, 3], "y": [1.0, 2.0, 3.0]}
LATE = {
    "dates": pd.DataFrame({"a": pd.to_datetime(["2020-01-01", "2020-01-02"]), "y": Y}),
    "spans": pd.DataFrame({"a": pd.to_timedelta(["1s", "2s"]), "y": Y}),
    "numbers as text": pd.DataFrame({"a": ["1.5", "2"], "y": Y}),
    "text": pd.DataFrame({"a": ["n/a", "2"], "y": Y}),
    "truth values": pd.DataFrame({"a": [True, False], "y": Y}),
    "several kinds": pd.DataFrame({"a": [1, "x"], "y": Y}, dtype=object),
    "no such column": pd.DataFrame({"b": [1, 2], "y": Y}),
    "polars": pl.DataFrame({"a": ["1", "2"], "y": Y}),
    "Arrow": pa.table({"a": ["1", "2"], "y": Y}),
    "two of them": pa.Table.from_arrays([pa.array(Y)] * 3, names=["a", "a", "y"]),
}


@pytest.mark.parametrize("late", LATE.values(), ids=LATE)
@pytest.mark.parametrize("like", [pd.DataFrame, pl.DataFrame, pa.table])
def test_later_chunks_are_checked_as_the_first_is(late, like):
    rows = blocks(iter([like(BASE), like(BASE), late]), target="y")
    with pytest.raises(InvalidInputError, match=r"`source` chunk 2: .*'a'|`source` chunk 2: .*several kinds"):
        list(rows)


def test_a_reader_is_checked_batch_by_batch():
    first = pa.record_batch({"a": [1.0], "y": [1.0]})
    late = pa.record_batch({"a": ["1.5"], "y": [1.0]})
    reader = pa.RecordBatchReader.from_batches(first.schema, iter([first, late]))
    with pytest.raises(InvalidInputError, match="column 'a' is string, expected double"):
        list(blocks(reader, target="y"))


def test_later_chunks_may_hold_other_numbers():
    tables = [
        pa.table({"a": pa.array([1, 2], pa.int8()), "y": Y}),
        pa.table({"y": Y, "a": [1.5, 1e300], "more": ["x", "y"]}),
        pa.table({"a": pa.nulls(0), "y": pa.array([], pa.float64())}),
        pa.table({"a": pa.array([7, 8], pa.uint64()), "y": pa.array([1, 2])}),
    ]
    X, y = whole(blocks(iter(tables), columns=["a"], target="y"))
    assert X[:, 0].tolist() == [1, 2, 1.5, 1e300, 7, 8]
    assert y.tolist() == Y * 3


def test_what_is_no_table_among_chunks_is_named():
    with pytest.raises(InvalidTypeError, match="chunk 1: is of type ndarray, expected a table"):
        list(blocks(iter([pa.table(BASE), np.eye(2)]), target="y"))


@pytest.mark.parametrize("late", [np.full((2, 1), 1e8 + 1), np.array([[1], [2]])])
def test_no_later_block_is_rounded_to_the_precision_of_the_first(late):
    first = np.zeros((1, 1), np.float32)
    with pytest.raises(
        InvalidInputError, match=r"block 1: has more than the precision of float32.*dtype=numpy\."
    ):
        list(blocks(iter([first, late])))
    assert whole(blocks(iter([first, late]), dtype=np.float64))[0].tolist() == [[0.0], *late.tolist()]
    assert whole(blocks(iter([first, late]), dtype=np.float32))[0].dtype == np.float32
    assert whole(blocks(iter([late, first])))[0].tolist() == [*late.tolist(), [0.0]]
    tables = [pa.table({"a": values[:, 0]}) for values in (first, late)]
    with pytest.raises(InvalidInputError, match=r"chunk 1: column 'a' is .*, and float32 was announced"):
        list(blocks(iter(tables)))
    assert whole(blocks(iter(tables), dtype=np.float64))[0].tolist() == [[0.0], *late.tolist()]
    assert whole(blocks(iter(tables[::-1])))[0].tolist() == [*late.tolist(), [0.0]]


# ---------------------------------------------------------------- frames beside their targets


@pytest.mark.parametrize("like", [pd.DataFrame, pl.DataFrame])
def test_names_of_frames_in_tuples_are_kept_and_checked(like):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 200))
    y = a + 2.0 * b
    one, other = like({"a": a, "b": b}), like({"b": b, "a": a})
    rows = blocks(iter([(one, y), (one, y)]))
    assert rows.feature_names == ["a", "b"]
    for make in (nearlin.StreamingLeastSquares, lambda: nearlin.StreamingPCA(1, random_state=0)):
        model = make().fit(blocks(iter([(one, y), (one, y)])))
        assert model.feature_names_in_.tolist() == ["a", "b"]
        with pytest.raises(
            InvalidInputError, match="block 1: is a frame whose column 0 is 'b', expected 'a'"
        ):
            make().fit(blocks(iter([(one, y), (other, y)])))
    assert nearlin.StreamingLeastSquares().fit(rows).coef_ == pytest.approx([1.0, 2.0])
    assert blocks(iter([(one.to_numpy(), y)])).feature_names is None


def test_tables_are_not_taken_for_arrays_in_tuples():
    table = pa.table({"a": Y})
    with pytest.raises(InvalidTypeError, match="block 0: has features of type Table beside other parts"):
        blocks(iter([(table, Y)]))


def test_blocks_have_targets_as_the_first_one_has():
    X = np.eye(3)
    with pytest.raises(ShapeError, match="block 1: has no targets, expected targets that are a vector"):
        list(blocks(iter([(X, X[0]), X])))
    with pytest.raises(ShapeError, match="block 1: has 3 targets, expected no targets"):
        list(blocks(iter([X, (X, X)])))


# ---------------------------------------------------------------- as many rows as were counted


class Growing:
    """A table that has another row whenever it is read."""

    rows = 9

    def __arrow_c_stream__(self, requested_schema=None):
        self.rows += 1
        return pa.table({"a": np.arange(float(self.rows))}).__arrow_c_stream__()


def test_a_source_that_changes_is_told():
    rows = blocks(Growing())
    assert len(whole(rows)[0]) == 10
    with pytest.raises(InvalidInputError, match="gave 11 rows where 10 were counted"):
        list(rows)
    frame = pd.DataFrame({"a": [1.0, 2.0]})
    rows = blocks(frame)
    frame.loc[2] = 3.0
    with pytest.raises(InvalidInputError, match="gave 3 rows where 2 were counted"):
        list(rows)


# ---------------------------------------------------------------- what is wrong is said in our words


def test_columns_have_one_role(tmp_path):
    table = pa.table({"a": Y, "y": Y})
    with pytest.raises(InvalidInputError, match="`sample_weight` has 'y', which is 'target' too"):
        blocks(table, target="y", sample_weight="y")
    with pytest.raises(InvalidInputError, match="`exclude` has 'y', which is 'target' too"):
        blocks(table, target="y", exclude=["y"])


def test_columns_that_cannot_be_read_are_named_if_they_are_asked_for():
    frame = pd.DataFrame({"a": Y, "z": [1j, 2j], "s": [1, "x"], "y": Y})
    for name in ("z", "s"):
        with pytest.raises(InvalidInputError, match=f"has a column '{name}' that cannot be read"):
            blocks(frame, columns=["a", name], target="y")
    assert whole(blocks(frame, columns=["a"], target="y"))[0].tolist() == [[1.0], [2.0]]
    twice = pd.DataFrame(np.eye(3), columns=["a", "b", "b"])
    assert whole(blocks(twice, columns=["a"]))[0].tolist() == [[1.0], [0.0], [0.0]]
    with pytest.raises(InvalidInputError, match="two columns of the name 'b'"):
        blocks(twice)


@pytest.mark.parametrize(
    "source", [pd.Series(Y), pl.Series(Y), pa.chunked_array([Y])], ids=["pandas", "polars", "pyarrow"]
)
def test_a_column_is_no_table(source):
    with pytest.raises(InvalidInputError, match=r"is a series, expected a frame|cannot be read"):
        blocks(source)


PLAIN = {
    "sparse": pd.arrays.SparseArray([0.0, 1.5]),
    "sparse integers": pd.arrays.SparseArray([0, 3]),
    "other order of bytes": np.array([0.5, 2.0], ">f8"),
    "integers of other order": np.array([5, 2**40], ">i8"),
    "extended": np.array([0.5, 2.0], np.longdouble),
    "objects of half precision": pd.Series([1, np.float16(0.5)], dtype=object),
    "objects of extended precision": pd.Series([np.longdouble(0.25), 3], dtype=object),
}


@pytest.mark.parametrize("column", PLAIN.values(), ids=PLAIN)
def test_columns_that_arrow_has_no_type_for(column):
    frame = pd.DataFrame({"a": column, "y": Y})
    expected = np.asarray(column, dtype=np.float64)[:, np.newaxis]
    for source in (frame, iter([frame, frame])):
        assert np.array_equal(whole(blocks(source, target="y"))[0][:2], expected)


def test_infinity_is_found_in_its_block():
    frame = pd.DataFrame({"a": np.arange(600.0), "y": np.arange(600.0)})
    frame.loc[505, "a"] = np.inf
    with pytest.raises(InvalidInputError, match=r"infinity at .*column 'a'") as caught:
        nearlin.StreamingLeastSquares().fit(blocks(frame, target="y", block_bytes=800))
    assert caught.value.__notes__ == ["in the block that begins with row 500"]


def test_principal_components_name_the_column_too():
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [1.0, np.inf, 2.0]})
    with pytest.raises(InvalidInputError, match=r"block 0: contains infinity at \[1, 1\].*column 'b'"):
        nearlin.StreamingPCA(1).fit(blocks(frame))


def test_columns_of_arrow_in_pieces():
    part = pd.DataFrame({"a": Y, "y": Y}).astype("float64[pyarrow]")
    frame = pd.concat([part, part])
    assert whole(blocks(frame, target="y"))[0].tolist() == [[1.0], [2.0], [1.0], [2.0]]


def test_an_iterator_of_polars_is_one_of_frames():
    frame = pl.DataFrame({"a": Y, "y": Y})
    assert whole(blocks(frame.lazy().collect_batches(), target="y"))[0].tolist() == [[1.0], [2.0]]


def test_names_that_are_patterns_to_polars_are_names():
    frame = pl.DataFrame({"^a.*$": [1.0, 2.0], "az": [7.0, 8.0], "*": [3.0, 5.0], "y": Y})
    for source in (frame, frame.lazy()):
        assert whole(blocks(source, columns=["^a.*$", "*"], target="y"))[0].tolist() == [
            [1.0, 3.0],
            [2.0, 5.0],
        ]


def test_lists_of_sources_are_refused_with_what_would_do(tmp_path):
    frame = pd.DataFrame({"a": Y})
    for parts in (
        ["a.parquet", "b.parquet"],
        [tmp_path],
        [frame, frame],
        [(np.eye(2), Y)],
        [pa.table({"a": Y})],
    ):
        with pytest.raises(InvalidTypeError, match=r"is a list of \w+, expected one source: iter"):
            blocks(parts)
    for rows in ([(1.0, 2.0), (3.0, 4.0)], ((1, 2), (3, 4)), [[1, 2], [3, 4]], [frame.a, frame.a]):
        assert blocks(rows).n_rows == 2


def test_wide_tables_take_time_in_proportion():
    def counted(d):
        names = [f"x{j}" for j in range(d)]
        table = pa.table(dict.fromkeys(names, pa.array([1.0])) | {"y": [1.0]})
        calls = 0

        def profile(frame, event, arg):
            nonlocal calls
            calls += 1

        sys.setprofile(profile)
        try:
            blocks(table, columns=names, target="y")
        finally:
            sys.setprofile(None)
        return calls

    assert counted(2000) < 12 * counted(200)


def test_names_of_roles_are_names():
    with pytest.raises(InvalidTypeError, match="`target` is 3, expected names of columns"):
        blocks(pa.table({"a": Y}), target=3)


def test_a_scanner_is_read_once():
    rows = blocks(ds.dataset(pa.table({"a": Y, "y": Y})).scanner(), target="y")
    assert rows.once
    assert whole(rows)[0].tolist() == [[1.0], [2.0]]
