"""Rows through every door: the same blocks, the same bits, and refusals that name the column."""

import decimal
import hashlib

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given, settings

import nearlin
from nearlin.data import blocks
from nearlin.exceptions import InvalidInputError, InvalidTypeError, NearlinError, ShapeError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

N = 20_000
ROLES = {"target": "y", "sample_weight": "w", "exclude": ["s"]}


@pytest.fixture(scope="module")
def parts():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, 4)).astype(np.float32)
    return X, X @ [1.0, 2.0, 3.0, 4.0] + rng.standard_normal(N), rng.uniform(0.5, 2.0, N)


@pytest.fixture(scope="module")
def frame(parts):
    X, y, w = parts
    return pd.DataFrame({**{name: X[:, j] for j, name in enumerate("abcd")}, "y": y, "s": "text", "w": w})


@pytest.fixture(scope="module")
def directory(frame, tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    table = pa.Table.from_pandas(frame, preserve_index=False)
    pq.write_table(table[: N // 3], folder / "1.parquet", row_group_size=1777)
    pq.write_table(table[N // 3 :], folder / "2.parquet", row_group_size=5000)
    return folder


def hashed(rows):
    """Return what a stream has taken in of all rows, in short."""
    stream = nearlin.StreamingLeastSquares(rng=0)
    for X, y, weights, start in rows:
        stream.partial_fit(X, y, sample_weight=weights, row_offset=start)
    return hashlib.sha256(stream.to_bytes()).hexdigest()


def doors(parts, frame, directory):
    """Yield all that holds the same rows."""
    X, y, w = parts
    table = pa.Table.from_pandas(frame, preserve_index=False)
    yield "pandas", frame, ROLES
    yield "pandas, with an index", frame.set_index(frame.index[::-1]), ROLES
    yield "polars", pl.from_pandas(frame), ROLES
    yield "lazy polars", pl.scan_parquet(directory / "*.parquet"), ROLES
    yield "table", table, ROLES
    yield "reader", table.to_reader(max_chunksize=999), ROLES
    yield "batches", iter(table.to_batches(max_chunksize=3333)), ROLES
    yield "frames", (frame[start : start + 7000] for start in range(0, N, 7000)), ROLES
    yield "directory", directory, ROLES
    yield "dataset", pa.dataset.dataset(str(directory)), ROLES
    arrays = {"target": y, "sample_weight": w}
    yield "array", X, arrays
    yield "Fortran order", np.asfortranarray(X), arrays
    yield "list", X.tolist(), {**arrays, "dtype": np.float32}
    yield "tuples", ((X[k : k + 777], y[k : k + 777], w[k : k + 777]) for k in range(0, N, 777)), {}


@pytest.mark.parametrize("block_bytes", [4096, 32 << 20])
def test_every_door_gives_the_same_bits(parts, frame, directory, block_bytes):
    X, y, w = parts
    whole = hashed([(X, y, w, 0)])
    for name, source, roles in doors(parts, frame, directory):
        rows = blocks(source, block_bytes=block_bytes, **roles)
        assert (name, hashed(rows)) == (name, whole)
        assert rows.n_features == 4
        assert rows.dtype == np.float32
        assert rows.n_rows in (N, None)
        if rows.once:
            with pytest.raises(InvalidInputError, match="can be read only once, and was"):
                iter(rows)
        else:
            assert hashed(rows) == whole


def test_duckdb_has_one_result_open_at_a_time(parts, directory):
    duckdb = pytest.importorskip("duckdb")
    X, y, w = parts
    relation = duckdb.connect().sql(f"select * from '{directory}/*.parquet'")
    rows = blocks(relation, **ROLES)
    assert hashed(rows) == hashed(rows) == hashed([(X, y, w, 0)])


def test_a_connection_of_duckdb_is_free_between_passes():
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as connection:
        connection.execute("create table t as select i::double a, 2.0 * i::double y from range(1000) q(i)")
        few = blocks(connection.sql("from t where a < 800"), target="y", block_bytes=800)
        rest = blocks(connection.sql("from t where a >= 800"), target="y")
        assert connection.execute("select 1").fetchall() == [(1,)]
        assert sum(len(block.y) for block in few) == 800
        assert sum(len(block.y) for block in rest) == 200
        at_once = iter(few)
        next(at_once)
        with pytest.raises(InvalidInputError, match=r"one result at a time, its cursor\(\) is another one"):
            list(rest)


def test_arrays_on_disk_are_sliced(parts, tmp_path):
    X, y, _ = parts
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "F.npy", np.asfortranarray(X))
    for path in (tmp_path / "X.npy", str(tmp_path / "F.npy")):
        rows = blocks(path, target=y, block_bytes=10_000)
        block = next(iter(rows))
        assert isinstance(block.X.base, np.memmap)
        assert block.X.shape == (625, 4)
        assert hashed(rows) == hashed([(X, y, None, 0)])
    A = sp.random_array((300, 20), density=0.1, rng=0, format="csr")
    for matrix in (A, A.tocsc(), A.tocoo()):
        rows = blocks(matrix, block_bytes=3200)
        assert rows.block_rows == 3200 // ((600 * 12 + 301 * 4) // 300)  # of what is stored
        found = list(rows)
        assert [block.start for block in found] == list(range(0, 300, rows.block_rows))
        assert (sp.vstack([block.X for block in found]) != A).nnz == 0


class OnDisk:
    """An array that is read by slices, as those of HDF5 and Zarr are."""

    def __init__(self, values):
        self.values, self.shape, self.dtype, self.most = values, values.shape, values.dtype, 0

    def __getitem__(self, part):
        self.most = max(self.most, len(self.values[part]))
        return self.values[part]

    def __array__(self, dtype=None, copy=None):
        raise MemoryError("all of it")


def test_what_is_like_an_array_is_read_by_slices(parts):
    X, y, _ = parts
    source = OnDisk(X)
    rows = blocks(source, target=y, block_bytes=10_000)
    assert hashed(rows) == hashed([(X, y, None, 0)])
    assert source.most == 625


def test_arrays_on_disk_that_cannot_be_read(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([[None]]))
    (tmp_path / "short.npy").write_bytes(
        (np.save(tmp_path / "X.npy", np.eye(9)), (tmp_path / "X.npy").read_bytes())[1][:300]
    )
    for name in ("objects", "short"):
        with pytest.raises(InvalidInputError, match="is no array that can be read by parts"):
            blocks(tmp_path / f"{name}.npy")


MALFORMED = {
    "indptr": ("indptr", 5, 2**30),
    "column": ("indices", 7, 3),
    "below": ("indices", 7, -1),
    "far": ("indices", 7, 2**30),
}


@pytest.mark.parametrize(("where", "place", "value"), MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("kind", [sp.csr_array, sp.csc_array])
def test_malformed_sparse_matrices_are_not_sliced(kind, where, place, value):
    A = kind(np.ones((500, 8)) if kind is sp.csr_array else np.ones((3, 500)))
    getattr(A, where)[place] = value if where == "indptr" or value < 0 else value + max(A.shape)
    with pytest.raises(InvalidInputError, match="source"):
        blocks(A, block_bytes=2400)


def test_integers_booleans_and_decimals_are_numbers():
    columns = {
        "i": pa.array([1, 2, 3], pa.int16()),
        "b": pa.array([True, False, True]),
        "m": pa.array([decimal.Decimal("1.25"), decimal.Decimal("-2.50"), decimal.Decimal("3.00")]),
        "h": pa.array(np.array([1, 2, 3], np.float16)),
    }
    (block,) = blocks(pa.table(columns))
    assert block.X.dtype == np.float64
    assert block.X.tolist() == [[1, 1, 1.25, 1], [2, 0, -2.5, 2], [3, 1, 3, 3]]
    assert blocks(pa.table(columns), columns=["h"]).dtype == np.float32
    assert blocks(pa.table(columns), columns=["h"], dtype=np.float64).dtype == np.float64
    for large in (2**53 + 1, -(2**60)):
        with pytest.raises(InvalidInputError, match=f"column 'i' has the integer {large}"):
            list(blocks(pa.table({"i": [1, large]})))
        with pytest.raises(NearlinError):
            list(blocks(pa.table({"i": [1, None, large]}), nulls="nan"))
    assert next(iter(blocks(pa.table({"i": [2**53]})))).X[0, 0] == 2**53


@pytest.mark.parametrize("kind", [pa.int32(), pa.bool_(), pa.float32(), pa.float64(), pa.decimal128(25, 2)])
def test_missing_values(kind):
    table = pa.table({"a": np.arange(5.0), "b": pa.array([1, 0, None, 1, None]).cast(kind), "y": range(5)})
    message = "column 'b' has a missing value in row 2; nulls='drop' leaves such rows out, nulls='nan' passes"
    with pytest.raises(InvalidInputError, match=message):
        list(blocks(table, target="y"))
    (block,) = blocks(table, target="y", nulls="drop")
    assert block.X.tolist() == [[0, 1], [1, 0], [3, 1]]
    assert block.y.tolist() == [0, 1, 3]
    assert blocks(table, nulls="drop").n_rows is None
    (block,) = blocks(table, target="y", nulls="nan")
    assert np.isnan(block.X[:, 1]).tolist() == [False, False, True, False, True]
    with pytest.raises(InvalidInputError, match=r"row 2; nulls='drop' leaves such rows out$"):
        list(blocks(table, target="b", nulls="nan"))


def test_nan_counts_as_missing():
    X = np.arange(8.0).reshape(4, 2)
    X[2, 1] = np.nan
    for frame in (pd.DataFrame(X, columns=["a", "b"]), pl.DataFrame(X, schema=["a", "b"])):
        with pytest.raises(InvalidInputError, match="column 'b' has a missing value in row 2"):
            list(blocks(frame))
        (block,) = blocks(frame, nulls="drop")
        assert block.X.tolist() == [[0, 1], [2, 3], [6, 7]]


REFUSED = [
    ({"target": "Y"}, r"`target` names no column: 'Y'; there are \['a', .*\]; did you mean 'y'\?"),
    ({"columns": ["a", "aa"]}, "`columns` names no column: 'aa'"),
    ({"target": "y"}, r"not numbers: 's' \((large_)?string\); leave them out with columns= or exclude="),
    ({"columns": ["a", "y"], "target": "y"}, "'y', which has another role"),
    ({"columns": ["a", "a"]}, "expected each name once"),
    ({"columns": "a"}, "expected names of columns"),
    ({"columns": []}, "no columns that are features"),
    ({"sample_weight": [1.0]}, "expected the name of a column"),
    ({"target": np.ones(3)}, "expected names of columns"),
    ({"nulls": "ignore"}, "nulls"),
    ({"block_bytes": 0}, "block_bytes"),
    ({"dtype": np.int8}, "dtype"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_refusals_name_what_is_wrong(frame, options, message):
    with pytest.raises(InvalidInputError, match=message):
        blocks(frame, **options)


def test_sources_that_are_none(parts, tmp_path):
    X, y, w = parts
    with pytest.raises(InvalidTypeError, match="is of type int, expected an array"):
        blocks(3)
    with pytest.raises(ShapeError):
        blocks(X[0])
    with pytest.raises(ShapeError, match="target"):
        blocks(X, target=y[1:])
    with pytest.raises(ShapeError, match="sample_weight"):
        blocks(X, sample_weight=w[1:])
    with pytest.raises(InvalidInputError, match="arrays have no names"):
        blocks(X, columns=["a"])
    for source in (X, X.tolist(), iter([X]), sp.csr_array(X)):
        with pytest.raises(InvalidInputError, match="`nulls` is 'drop', expected 'error'"):
            blocks(source, nulls="drop")
    with pytest.raises(InvalidInputError, match="gives nothing"):
        blocks(iter(()))
    with pytest.raises(ShapeError, match="block 1: has 3 columns, expected 4"):
        list(blocks(iter([X, X[:, :3]])))
    with pytest.raises(InvalidTypeError, match="are RowBlocks already"):
        blocks(blocks(X))
    with pytest.raises(FileNotFoundError):
        blocks(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("no Parquet at all")
    with pytest.raises(InvalidInputError, match="no Parquet"):
        list(blocks(tmp_path / "text.parquet"))
    twice = pa.Table.from_arrays([pa.array([1.0])] * 2, names=["a", "a"])
    with pytest.raises(InvalidInputError, match="two columns of the name 'a'"):
        blocks(twice)


def test_an_error_of_the_iterator_comes_through():
    def rows():
        yield np.ones((3, 2))
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(blocks(rows()))


def test_a_stream_of_principal_components_takes_blocks(parts, frame):
    X, _, w = parts
    pca = nearlin.StreamingPCA(2, random_state=0).fit(
        blocks(frame, **ROLES, columns=list("abcd"), block_bytes=5000)
    )
    other = nearlin.StreamingPCA(2, random_state=0).fit(X, sample_weight=w)
    np.testing.assert_array_equal(pca.components_, other.components_)
    assert pca.feature_names_in_.tolist() == list("abcd")
    assert pca.n_samples_seen_ == N
    with pytest.raises(InvalidInputError, match="rows in blocks"):
        nearlin.StreamingPCA().fit(blocks(X), sample_weight=w)


@settings(deadline=None, max_examples=40)
@given(
    cuts=st.lists(st.integers(0, 30), min_size=1, max_size=8),
    d=st.integers(1, 4),
    block_bytes=st.integers(1, 400),
    missing=st.sampled_from([0.0, 0.2]),
)
def test_blocks_are_the_rows_whatever_batches_they_come_in(cuts, d, block_bytes, missing):
    rng = np.random.default_rng(sum(cuts) + d)
    X = rng.standard_normal((sum(cuts), d))
    X[rng.random(X.shape) < missing] = np.nan
    table = pa.table({f"x{j}": X[:, j] for j in range(d)} | {"y": np.arange(len(X), dtype=float)})
    ends = np.cumsum(cuts)
    parts = [table[end - rows : end] for end, rows in zip(ends, cuts, strict=True)]
    rows = blocks(iter(parts), target="y", nulls="drop", block_bytes=block_bytes)
    found = list(rows)
    kept = ~np.isnan(X).any(axis=1)
    assert np.array_equal(np.concatenate([block.y for block in found] or [[]]), np.flatnonzero(kept))
    assert np.array_equal(np.vstack([block.X for block in found] or [X[:0]]), X[kept])
    assert all(block.X.shape[0] == rows.block_rows for block in found[:-1])
    assert [block.start for block in found] == [rows.block_rows * k for k in range(len(found))]


def test_every_pass_tells_how_many_rows_were_read():
    told = []
    X = np.arange(40.0).reshape(20, 2)
    rows = blocks(X, block_bytes=16 * 8).with_progress(lambda *step: told.append(step))
    for _ in range(2):
        assert [block.start for block in rows] == [0, 8, 16]
        assert told == [(8, 20, {}), (16, 20, {}), (20, 20, {})]
        told.clear()
    nearlin.StreamingPCA(random_state=0).fit(rows)
    rows.map_reduce(lambda block: block.X.sum(), sum, n_jobs=2)
    assert [step[:2] for step in told] == [(8, 20), (16, 20), (20, 20)] * 2
    told.clear()
    list(rows.with_progress(False))
    assert told == []


def test_of_rows_without_a_number_the_total_is_known_in_the_end():
    told = []
    parts = iter([np.ones((3, 2)), np.ones((4, 2))])
    list(blocks(parts).with_progress(lambda *step: told.append(step[:2])))
    assert told == [(3, 0), (7, 0), (7, 7)]


def test_progress_may_end_the_reading():
    def stop(*_):
        raise LookupError("enough")

    rows = blocks(np.ones((20, 2)), block_bytes=16 * 8).with_progress(stop)
    with pytest.raises(LookupError, match="enough"):
        list(rows)
    with pytest.raises(InvalidTypeError, match="`progress` is of type int"):
        rows.with_progress(3)
