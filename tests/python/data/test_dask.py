"""Dask's arrays and frames: the same bits on its threads, on workers, and after some of them are lost."""

import os
import subprocess
import sys
from itertools import chain

import numpy as np
import pandas as pd
import pytest

import nearlin
from nearlin.data import blocks
from nearlin.exceptions import InvalidInputError, InvalidTypeError, ShapeError

da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")
dask = pytest.importorskip("dask")

N, D = 6000, 5


@pytest.fixture(scope="module")
def parts():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, D))
    return X, X @ np.arange(D) + rng.standard_normal(N), rng.uniform(0.5, 2.0, N)


def hashed(rows):
    stream = nearlin.StreamingLeastSquares(rng=0)
    for X, y, weights, start in rows:
        stream.partial_fit(X, y, sample_weight=weights, row_offset=start)
    return stream.to_bytes()


def test_partitions_are_blocks(parts):
    X, y, w = parts
    dask_X, dask_y, dask_w = (da.from_array(v, chunks=700) for v in (X, y, w))
    rows = blocks(dask_X.rechunk((700, 2)), target=dask_y, sample_weight=dask_w.rechunk(900))
    assert (rows.n_rows, rows.n_features, rows.block_rows, rows.once) == (N, D, 700, False)
    assert rows.target_shape == ()
    assert [block.start for block in rows] == list(range(0, N, 700))
    assert hashed(rows) == hashed([(X, y, w, 0)])
    same = blocks(X, target=y, sample_weight=w, block_bytes=700 * D * 8)
    assert nearlin.lstsq(rows).x.tobytes() == nearlin.lstsq(same).x.tobytes()
    arrays = blocks(dask_X, target=y, sample_weight=w)
    assert nearlin.lstsq(arrays).x.tobytes() == nearlin.lstsq(same).x.tobytes()
    unknown = dask_X[dask_X[:, 0] > 0.0]
    of_unknown = blocks(unknown, target=dask_y[dask_X[:, 0] > 0.0])
    assert of_unknown.n_rows == (X[:, 0] > 0.0).sum()
    np.testing.assert_allclose(
        nearlin.lstsq(of_unknown).x, nearlin.lstsq(X[X[:, 0] > 0], y[X[:, 0] > 0]).x, rtol=1e-12
    )


def test_frames(parts, tmp_path):
    X, y, w = parts
    frame = pd.DataFrame(X, columns=list("abcde")).astype(np.float32).assign(y=y, w=w, s="text")
    roles = {"target": "y", "sample_weight": "w", "exclude": ["s"]}
    (tmp_path / "table").mkdir()
    for k in range(7):
        frame[k * 1000 : (k + 1) * 1000].to_parquet(tmp_path / "table" / f"{k}.parquet")
    expected = nearlin.LinearRegression().fit(blocks(frame, **roles, block_bytes=10_000))
    for source in (dd.from_pandas(frame, npartitions=4), dd.read_parquet(tmp_path / "table")):
        rows = blocks(source, **roles)
        assert (rows.n_rows, rows.dtype, rows.feature_names) == (N, np.float32, list("abcde"))
        assert hashed(rows) == hashed(blocks(frame, **roles))
        model = nearlin.LinearRegression().fit(rows)
        np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-5)
        assert model.feature_names_in_.tolist() == list("abcde")
    with pytest.raises(InvalidInputError, match=r"`target` names no column: 'Y'.*did you mean 'y'"):
        blocks(dd.from_pandas(frame, npartitions=4), target="Y")
    holes = frame.drop(columns="s")
    holes.iloc[:1600, 0] = np.nan
    source = dd.from_pandas(holes, npartitions=4)
    rows = blocks(source, target="y", sample_weight="w", nulls="drop")
    assert rows.n_rows == N - 1600
    assert hashed(rows) == hashed(blocks(holes, target="y", sample_weight="w", nulls="drop"))
    with pytest.raises(InvalidInputError, match="column 'a' has a missing value in row 0"):
        nearlin.lstsq(blocks(source, target="y"))


PIPELINES = {
    "fillna": lambda frame: frame.fillna(0),
    "astype": lambda frame: frame.astype(float),
    "sum": lambda frame: frame + 0,
    "rename": lambda frame: frame.rename(columns={"x1": "z1"}),
    "clip": lambda frame: frame.clip(-1e9, 1e9),
    "filter": lambda frame: frame[frame.x0 > -99],
    "filter of some": lambda frame: frame[frame.x1 > 0.0],
    "concatenation": lambda frame: dd.concat([frame, frame]),
    "some partitions": lambda frame: frame.partitions[:9],
    "by size": lambda frame: frame.repartition(partition_size="10kB"),
    "other order": lambda frame: frame[["x3", "x2", "y"]],
    "assign": lambda frame: frame.assign(s=frame.x1 + frame.x2),
    "persisted": lambda frame: frame.persist(),
}


@pytest.fixture(scope="module")
def many_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    rng = np.random.default_rng(0)
    for k in range(16):
        frame = pd.DataFrame(rng.standard_normal((100, 25)), columns=[f"x{j}" for j in range(25)])
        frame.assign(y=frame.x0 * (1 + k) + rng.standard_normal(100)).to_parquet(folder / f"{k:03d}.parquet")
    return folder


@pytest.mark.parametrize("options", [{}, {"exclude": ["x2"]}, {"columns": ["x3", "x2"]}], ids=str)
@pytest.mark.parametrize("pipeline", PIPELINES.values(), ids=PIPELINES)
def test_all_rows_that_are_announced_are_read(many_files, pipeline, options):
    made = pipeline(dd.read_parquet(many_files))
    rows, whole = blocks(made, target="y", **options), made.compute()
    X = np.vstack([block.X for block in rows])
    assert np.array_equal(X, whole[rows.feature_names].to_numpy())
    assert np.array_equal(np.concatenate([block.y for block in rows]), whole.y)
    assert rows.n_rows == len(whole)
    seen = rows.map_reduce(lambda block: [(block.start, len(block.y))], lambda parts: [*chain(*parts)])
    assert [start for start, _ in seen] == np.cumsum([0, *(n for _, n in seen)])[:-1].tolist()
    model = nearlin.LinearRegression().fit(rows)
    expected = nearlin.LinearRegression().fit(whole[rows.feature_names], whole.y)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-9, atol=1e-12)


def rows_of_a_part(lengths):
    """Return rows, and other ones the next time."""
    n = lengths.pop(0)
    return pd.DataFrame({"a": np.arange(float(n)), "y": 1.0})


def test_a_partition_that_gives_other_rows_than_were_counted_is_told():
    for read in (list, lambda rows: rows.map_reduce(leaf_of_length, sum)):
        frame = dd.from_delayed(
            [dask.delayed(rows_of_a_part)(lengths) for lengths in ([5, 5], [5, 4])],
            meta=pd.DataFrame({"a": [0.0], "y": [0.0]}),
            verify_meta=False,
        )
        rows = blocks(frame, target="y")
        assert rows.n_rows == 10
        with pytest.raises(InvalidInputError, match="gives 4 rows where 5 were counted"):
            read(rows)
    short = da.from_delayed(dask.delayed(np.ones)((3, 2)), (4, 2), float)
    with pytest.raises(InvalidInputError, match="gives 3 rows where 4 were counted"):
        list(blocks(short))


def leaf_of_length(block):
    return len(block.y)


def test_chunks_that_are_not_what_their_collection_says(parts):
    X, _, _ = parts
    wide = da.from_delayed(dask.delayed(np.ones)((4, 3)), (4, 2), float)
    with pytest.raises(ShapeError, match="`source` has 3 columns in a chunk of 2"):
        list(blocks(wide))
    targets = da.from_delayed(dask.delayed(np.ones)((4, 2)), (4, 1), float)
    with pytest.raises(ShapeError, match="`target` has shape"):
        list(blocks(da.ones((4, 2)), target=targets))
    unknown = da.from_array(X, chunks=700)[X[:, 0] > 9.0]
    with pytest.raises(InvalidInputError, match="`source` has no rows, expected at least one"):
        blocks(unknown).map_reduce(leaf_of_length, sum)


LATE = {
    "text": ({"a": ["1", "2"], "y": [1.0, 2.0]}, "column 'a' is (large_)?string, expected float"),
    "wider": ({"a": [16777217.0, 1e-50], "y": [1.0, 2.0]}, "column 'a' is double, and float32 was announced"),
    "truth": ({"a": [True, False], "y": [1.0, 2.0]}, "column 'a' is bool, expected float"),
}


@pytest.mark.parametrize(("late", "message"), LATE.values(), ids=LATE)
def test_a_partition_of_another_type_than_was_announced_is_told(late, message):
    first = pd.DataFrame({"a": np.ones(2, np.float32), "y": np.ones(2)})
    parts = [dask.delayed(first), dask.delayed(pd.DataFrame(late))]
    rows = blocks(dd.from_delayed(parts, meta=first[:0], verify_meta=False), target="y")
    with pytest.raises(InvalidInputError, match=message) as caught:
        list(rows)
    assert caught.value.__notes__ == ["in partition 1"]


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # Dask, with the newest pandas
def test_dask_knows_no_index_either(tmp_path):
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "y": [1.0, 2.0, 3.0, 5.0]}, index=[5, 6, 8, 9])
    for name in (None, "id"):
        written = tmp_path / str(name)
        dd.from_pandas(frame.rename_axis(name), npartitions=2).to_parquet(written)
        for source in (dd.read_parquet(written), written):
            assert blocks(source, target="y").feature_names == ["a"]


def test_refusals(parts):
    X, y, _ = parts
    array = da.from_array(X, chunks=700)
    with pytest.raises(InvalidTypeError, match=r"`A` is a Array of dask, .*nearlin\.data\.blocks.*compute"):
        nearlin.lstsq(array, y)
    with pytest.raises(InvalidTypeError, match=r"`y` is a Array of dask"):
        nearlin.LinearRegression().fit(X, array[:, 0])
    with pytest.raises(ShapeError, match="target"):
        blocks(array, target=y[1:])
    with pytest.raises(ShapeError, match="dimensions"):
        blocks(array[:, 0])
    with pytest.raises(InvalidInputError, match="arrays have no names"):
        blocks(array, columns=["a"])
    with pytest.raises(InvalidTypeError, match="is of type Bag"):
        blocks(pytest.importorskip("dask.bag").from_sequence([1, 2]))


CLUSTER = """
import hashlib, os, pathlib, signal, sys, tempfile
import dask, dask.array as da, numpy as np
from distributed import Client, LocalCluster
import nearlin
from nearlin.data import blocks

ROWS, PARTS, D = 2000, 12, 64

def call(folder, part):
    # How often the rows of this part were asked for before.
    for number in range(1000):
        try:
            os.close(os.open(f"{folder}/{part}-{number}", os.O_CREAT | os.O_EXCL))
            return number
        except FileExistsError:
            pass

def rows_of(part, folder, killing):
    if (part, call(folder, part)) in killing:
        os.kill(os.getpid(), signal.SIGKILL)
    rng = np.random.default_rng(part)
    # The triangle of every other part is had by products, of those between by reflections.
    A = rng.standard_normal((ROWS, D)) @ np.diag(np.logspace(0, -6 if part % 2 else -2, D)) @ np.linalg.qr(
        np.random.default_rng(99).standard_normal((D, D)))[0]
    return np.column_stack([A, A @ np.ones(D) + rng.standard_normal(ROWS)])

def table(killing=()):
    folder = tempfile.mkdtemp()
    parts = [dask.delayed(rows_of)(part, folder, killing) for part in range(PARTS)]
    made = da.concatenate([da.from_delayed(part, (ROWS, D + 1), float) for part in parts])
    return blocks(made[:, :D], target=made[:, D])

def leaf(block):
    return nearlin.StreamingLeastSquares(rng=0).partial_fit(block.X, block.y, row_offset=block.start)

def merged(streams):
    for stream in streams[1:]:
        streams[0].merge(stream)
    return streams[0]

def answers(killing=()):
    model = nearlin.Ridge(alpha=0.5).fit(table(killing))
    stream = table(killing).map_reduce(leaf, merged)
    assert stream.covered == (range(0, ROWS * PARTS),), stream.covered
    parts = [model.coef_.tobytes(), model.intercept_.tobytes(), stream.to_bytes()]
    return hashlib.sha256(b"".join(parts)).hexdigest()

if __name__ == "__main__":
    print("threads", answers())
    for workers, killing in ((1, ()), (3, ((2, 0), (7, 1)))):
        with LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster:
            with Client(cluster) as client:
                before = set(client.run(os.getpid).values())
                print(workers, answers(killing))
                print("lost", len(before - set(client.run(os.getpid).values())))
"""


@pytest.mark.slow
@pytest.mark.fork
@pytest.mark.timeout(500)
@pytest.mark.skipif(os.name != "posix", reason="kills by signals")
def test_workers_and_their_death_change_no_bit(tmp_path):
    pytest.importorskip("distributed")
    script = tmp_path / "cluster.py"
    script.write_text(CLUSTER)
    hashes, lost = set(), []
    for threads in ("1", "2"):
        ran = subprocess.run(
            [sys.executable, str(script)],
            env=os.environ | {"OPENBLAS_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert ran.returncode == 0, ran.stderr[-3000:]
        lines = [line.split() for line in ran.stdout.splitlines()]
        hashes |= {found for name, found in lines if name != "lost"}
        lost += [int(count) for name, count in lines if name == "lost"]
    assert len(hashes) == 1
    assert [count > 0 for count in lost] == [False, True, False, True]
