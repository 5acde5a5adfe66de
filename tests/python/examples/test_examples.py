"""The programs of `examples/`, at toy size: what they print and keep is right."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import nearlin
from nearlin.distributed import merge_tree

pa = pytest.importorskip("pyarrow")

EXAMPLES = Path(__file__).parents[3] / "examples"
LONGEST = 40


def load(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def code(name):
    """Return the lines of a program without its docstring and blank ones."""
    text = (EXAMPLES / f"{name}.py").read_text().split('"""', 2)[2]
    return [line for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("name", ["trips", "nightly"])
def test_programs_are_short(name):
    assert len(code(name)) < LONGEST


def trips(folder, n=3000):
    rng = np.random.default_rng(0)
    pickup = pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 10**6, n), unit="s")
    minutes, distance = rng.uniform(2, 50, n), rng.uniform(0.5, 20, n)
    frame = pd.DataFrame(
        {
            "pickup": pickup,
            "dropoff": pickup + pd.to_timedelta(minutes * 60, unit="s"),
            "distance": distance,
            "passengers": rng.integers(1, 5, n).astype(float),
            "city": "Bonn",
            "fare": 3.5 + 0.6 * minutes + 1.75 * distance + rng.standard_normal(n),
        }
    )
    frame.loc[::100, "passengers"] = np.nan
    for k in range(3):
        frame[k::3].to_parquet(folder / f"{k}.parquet")
    return frame.dropna()


@pytest.mark.slow
@pytest.mark.fork
@pytest.mark.timeout(300)
def test_trips(tmp_path):
    pytest.importorskip("dask.dataframe")
    pytest.importorskip("distributed")
    frame = trips(tmp_path)
    ran = subprocess.run(
        [sys.executable, EXAMPLES / "trips.py", tmp_path],
        env=os.environ | {"DASK_DISTRIBUTED__DASHBOARD__LINK": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    frame["minutes"] = (frame.dropoff - frame.pickup).dt.total_seconds() / 60
    model = nearlin.LinearRegression().fit(frame[["distance", "passengers", "minutes"]], frame.fare)
    assert ran.stdout.startswith(f"LinearRegression: {len(frame)} samples")
    table = model.summary()
    for name, coef in zip(table.names, table.coef, strict=True):
        line = next(line for line in ran.stdout.splitlines() if line.startswith(name))
        assert float(line.split()[1]) == pytest.approx(coef, abs=1e-3)


def test_nightly(tmp_path):
    nightly = load("nightly")
    rng = np.random.default_rng(0)
    folder, state = tmp_path / "in", tmp_path / "state"
    folder.mkdir()
    whole = []
    for night in range(3):
        X = rng.standard_normal((500, 12)) @ np.diag(np.logspace(0, -3, 12))
        frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(12)]).assign(target=X.sum(axis=1))
        frame.to_parquet(folder / f"{night}.parquet")
        whole.append(X)
        assert nightly.update(folder, state) == 1
        assert nightly.update(folder, state) == 0
    assert sorted(path.name for path in state.iterdir()) == ["coreset-3.bytes", "state.json", "svd-3.bytes"]
    svd = nearlin.TruncatedSVD.from_bytes((state / "svd-3.bytes").read_bytes())
    coreset = nearlin.StreamingCoreset.from_bytes((state / "coreset-3.bytes").read_bytes())
    exact = np.linalg.svd(np.vstack(whole), compute_uv=False)
    np.testing.assert_allclose(svd.singular_values_, exact[:10], rtol=1e-6)
    assert coreset.covered == (range(1500),)
    assert coreset.result().feature_names == [f"x{j}" for j in range(12)]


def test_states_have_the_same_bytes_whoever_makes_them():
    states = load("states")
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2600, 4))
    y = X.sum(axis=1)
    starts = range(0, 2600, 300)
    leaves = [states.leaf(X[k : k + 300], y[k : k + 300], k) for k in starts]
    whole = merge_tree(leaves, states.merged)
    assert nearlin.StreamingLeastSquares.from_bytes(whole).covered == (range(2600),)
    rows = []
    for k in reversed(starts):
        columns = {f"x{j}": X[k : k + 300, j] for j in range(4)} | {"y": y[k : k + 300]}
        table = pa.table(columns | {"start": np.full(len(columns["y"]), k)})
        rows += [
            row
            for batch in states.leaves_of_batches(table.to_batches(max_chunksize=70))
            for row in batch.to_pylist()
        ]
    assert not list(states.leaves_of_batches(iter(())))
    rows.sort(key=lambda row: row["start"])
    assert merge_tree([row["state"] for row in rows], states.merged) == whole
