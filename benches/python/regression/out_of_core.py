"""Least squares of a Parquet file, a block at a time: seconds, peak memory and error beside what others do.

    python benches/python/regression/out_of_core.py                    5e6 x 20, a minute or two
    python benches/python/regression/out_of_core.py --rows 50000000    7 GB of Parquet in a temporary folder
    python benches/python/regression/out_of_core.py --wide             hundreds of columns, minutes
    python benches/python/regression/out_of_core.py --smoke            toy size: does everything run?

Beside it the sums of products that DuckDB makes by SQL, least squares of the plugin polars-ols if it is
there, and the loop of NumPy that people write. Each runs in a process of its own, on as many threads as it
takes by itself. The peak is what it takes beyond what its imports do (Linux only), the error the largest of
the coefficients, over the largest of them, against normal equations about the means that were refined with
residuals in extended precision.

Rows of hundreds of columns, in a memory map and in Parquet, are solved by reflections alone (method="qr")
and by what "auto" takes, in turns: the least of each, of wall and of CPU time, and how many times less it is.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

D, STEP = 20, 500_000
NAMES = [f"x{j}" for j in range(D)]

COMMON = """
import json, sys, time
import numpy as np

path, names = sys.argv[1], sys.argv[2].split()

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))

def report(fit):
    before, wall, cpu = peak(), time.perf_counter(), time.process_time()
    coef = [float(value) for value in fit()]
    seconds, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps({"coef": coef, "seconds": seconds, "cpu": cpu, "peak": peak() - before}))
"""

CONTESTANTS = {
    "reading alone": """
from nearlin.data import blocks
import pyarrow.dataset
def fit():
    for block in blocks(path, target="y", dtype=np.float64):
        pass
    return [np.nan] * (len(names) + 1)
report(fit)
""",
    "nearlin.LinearRegression": """
import nearlin, sklearn.linear_model
from nearlin.data import blocks
import pyarrow.dataset
def fit():
    model = nearlin.LinearRegression().fit(blocks(path, target="y", dtype=np.float64))
    assert model.certificate_.met
    return [model.intercept_, *model.coef_]
report(fit)
""",
    "NumPy, G += Z'Z": """
import pyarrow.parquet as pq
def fit():
    k = len(names) + 1
    G, c = np.zeros((k, k)), np.zeros(k)
    for batch in pq.ParquetFile(path).iter_batches(batch_size=1 << 17):
        Z = np.column_stack([np.ones(len(batch)), *(batch[name].to_numpy() for name in names)])
        G += Z.T @ Z
        c += Z.T @ batch["y"].to_numpy()
    return np.linalg.solve(G, c)
report(fit)
""",
    "DuckDB, sums of products": """
import duckdb
def fit():
    columns = ["1.0::double", *(f"{name}::double" for name in names), "y"]
    pairs = [(i, j) for j in range(len(columns)) for i in range(min(j + 1, len(names) + 1))]
    sums = ", ".join(f"sum({columns[i]} * {columns[j]})" for i, j in pairs)
    values = duckdb.connect().execute(f"select {sums} from '{path}'").fetchone()
    k = len(names) + 1
    G, c = np.zeros((k, k)), np.zeros(k)
    for (i, j), value in zip(pairs, values):
        if j == k:
            c[i] = value
        else:
            G[i, j] = G[j, i] = value
    return np.linalg.solve(G, c)
report(fit)
""",
    "polars-ols, in memory": """
import polars as pl, polars_ols
def fit():
    frame = pl.scan_parquet(path)
    ols = pl.col("y").least_squares.ols(*map(pl.col, names), add_intercept=True, mode="coefficients")
    found = frame.select(ols.alias("c")).collect().unnest("c").row(0, named=True)
    return [found["const"], *(found[name] for name in names)]
report(fit)
""",
}


def write(path, rows):
    """Write float32 features of different means and spreads and a float64 target, block by block."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    mix = np.linalg.qr(rng.standard_normal((D, D)))[0] * np.logspace(0, -2, D)
    schema = pa.schema([(name, pa.float32()) for name in NAMES] + [("y", pa.float64())])
    with pq.ParquetWriter(path, schema, use_dictionary=False) as writer:
        for start in range(0, rows, STEP):
            n = min(STEP, rows - start)
            X = (rng.standard_normal((n, D)) @ mix + np.linspace(-5, 5, D)).astype(np.float32)
            y = X @ np.ones(D) + 2.0 + rng.standard_normal(n)
            writer.write_table(pa.table([*X.T, y], schema=schema))


def exact(path):
    """Return the minimiser by sums of products about the means in extended precision, refined once."""
    import pyarrow.parquet as pq

    def batches():
        for batch in pq.ParquetFile(path).iter_batches(batch_size=1 << 16):
            X = np.column_stack([batch[name].to_numpy() for name in NAMES]).astype(float)
            yield np.column_stack([np.ones(len(X)), X - np.linspace(-5, 5, D)]), batch["y"].to_numpy()

    G, x = 0.0, np.zeros(D + 1, np.longdouble)
    for Z, _ in batches():
        G = G + Z.T @ Z
    for _ in range(3):
        g = 0.0
        for Z, y in batches():
            g = g + Z.T @ (y - Z @ x).astype(float)
        x = x + np.linalg.solve(G, np.asarray(g, float))
    x[0] -= x[1:] @ np.linspace(-5, 5, D)
    return x.astype(float)


WIDE = [(200_000, 128), (200_000, 256), (100_000, 512), (50_000, 1000)]
TURNS = 3


def wide(shapes, folder):
    """Print what reflections and "auto" take for independent columns, and where two are nearly the same."""
    import nearlin

    print(f"{'':36}{'way':>10}{'seconds':>9}{'CPU s':>8}{'ratio':>7}{'of CPU':>7}{'reads':>6}{'error':>9}")
    for (rows, d), steep in itertools.product(shapes, (0.0, 1e-5)):
        for name, source in tables(folder, rows, d, steep):
            least, last = {}, {}
            for method in TURNS * ("qr", "auto"):
                wall, cpu = time.perf_counter(), time.process_time()
                result = nearlin.lstsq(source(), method=method)
                taken = np.array([time.perf_counter() - wall, time.process_time() - cpu])
                assert result.certificate.met
                least[method] = np.minimum(taken, least[method]) if method in least else taken
                reads = sum(stage[2] for stage in result.stages)
                last[method] = result.method, reads, result.certificate.estimate
            for method, (way, reads, error) in last.items():
                ratios = "".join(f"{ratio:7.2f}" for ratio in least["qr"] / least[method])
                figures = f"{least[method][0]:9.2f}{least[method][1]:8.2f}{ratios}{reads:6}{error:9.1e}"
                print(f"{f'{rows:,} x {d}, {name}, {steep:.0e}':36}{way:>10}{figures}", flush=True)


def tables(folder, rows, d, steep):
    """Give a memory map and, of 256 columns, a Parquet file of the same rows, as functions to blocks."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from nearlin.data import blocks

    rng = np.random.default_rng(0)
    X = np.lib.format.open_memmap(folder / "X.npy", "w+", float, (rows, d))
    for start in range(0, rows, STEP // 10):
        part = X[start : start + STEP // 10]
        part[:] = rng.standard_normal(part.shape)
        if steep:
            part[:, 0] = part[:, 1] + steep * part[:, 0]
    y = X @ np.ones(d) + rng.standard_normal(rows)
    X.flush()
    yield "memory map", lambda: blocks(folder / "X.npy", target=y)
    if d == 256:
        names = [f"x{j}" for j in range(d)]
        schema = pa.schema([(name, pa.float64()) for name in [*names, "y"]])
        with pq.ParquetWriter(folder / "X.parquet", schema, use_dictionary=False) as writer:
            for start in range(0, rows, STEP // 10):
                part = slice(start, start + STEP // 10)
                writer.write_table(pa.table([*X[part].T, y[part]], schema=schema))
        yield "Parquet", lambda: blocks(folder / "X.parquet", target="y")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--wide", action="store_true")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    if options.wide or options.smoke:
        with tempfile.TemporaryDirectory() as folder:
            wide([(6000, 64), (3000, 256)] if options.smoke else WIDE, Path(folder))
        if options.wide:
            return
    rows = 20_000 if options.smoke else options.rows
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        write(path, rows)
        print(f"{rows:,} x {D}, {path.stat().st_size / 1e6:.0f} MB of Parquet")
        truth = exact(path)
        print(f"{'':28}{'seconds':>9}{'CPU s':>9}{'peak, MiB':>11}{'error':>10}")
        for name, code in CONTESTANTS.items():
            ran = subprocess.run(
                [sys.executable, "-c", COMMON + code, str(path), " ".join(NAMES)],
                capture_output=True,
                text=True,
                check=False,
            )
            if ran.returncode:
                reason = (ran.stderr.strip().splitlines() or ["no message"])[-1]
                print(f"{name:28}{reason[:60]}")
                continue
            # DuckDB draws a bar before it.
            found = json.loads(ran.stdout[ran.stdout.index('{"coef"') :])
            error = np.abs(np.array(found["coef"]) - truth).max() / np.abs(truth).max()
            figures = f"{found['seconds']:9.2f}{found['cpu']:9.2f}{found['peak'] / 2**20:11.0f}"
            print(f"{name:28}{figures}{error:10.1e}")


if __name__ == "__main__":
    main()
