"""Least squares of a Parquet file that is read once, beside the loop of NumPy that people write.

    python benches/python/regression/streaming.py           5e6 rows of 20 float32 features, a minute or two
    python benches/python/regression/streaming.py --smoke   toy sizes: does everything run?

The file is written to a temporary folder, a row group at a time. Contenders take turns, round after round,
with one thread each; printed are the least processor time of all, of the arithmetic alone (less that of
reading), how many times longer the loop of NumPy takes for it, the largest error of a coefficient and the
bytes of the state. Right coefficients are those that the rows were made of: what is left of the error of an
exact fit is noise.

Then condition numbers: the backward error of rows that go by in blocks, relative to |A|_F and as exact as
singular values tell, beside LAPACK on all rows at once and the normal equations of that loop.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

import nearlin
from nearlin.data import blocks

ROWS, COLUMNS, GROUP = 5_000_000, 20, 200_000
CONDITIONS = [1e1, 1e6, 1e10, 1e13]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--smoke", action="store_true", help="toy sizes")
    options = parser.parse_args()
    rows, rounds = (20_000, 1) if options.smoke else (options.rows, options.rounds)
    with threadpool_limits(1), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        right = write(path, rows)
        file(path, right, rows, rounds)
        conditions(2000 if options.smoke else 20_000)


def write(path, rows):
    """Write rows whose features have means, and return the coefficients and intercept they were made of."""
    rng = np.random.default_rng(0)
    right = np.append(rng.standard_normal(COLUMNS), 3.0)
    means = rng.uniform(-5.0, 5.0, COLUMNS)
    names = [f"x{j}" for j in range(COLUMNS)]
    schema = pa.schema([*((name, pa.float32()) for name in names), ("y", pa.float64())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, GROUP):
            count = min(GROUP, rows - start)
            X = (rng.standard_normal((count, COLUMNS)) + means).astype(np.float32)
            y = X @ right[:-1] + right[-1] + rng.standard_normal(count)
            writer.write_table(pa.table([*X.T.copy(), y], schema=schema))
    return right


def normal_equations(source):
    """Solve as the nine lines do: with a column of ones, in double precision."""
    G, c = 0.0, 0.0
    for block in source:
        Z = np.column_stack([block.X.astype(np.float64), np.ones(len(block.y))])
        G = G + Z.T @ Z
        c = c + Z.T @ block.y
    return np.linalg.solve(G, c), G.nbytes + c.nbytes


def streamed(**options):
    def run(source):
        stream = nearlin.StreamingLeastSquares(**options, n_jobs=1).partial_fit(source)
        return np.append(stream.coef_, stream.intercept_), len(stream.close().to_bytes())

    return run


def reading(source):
    for _ in source:
        pass
    return np.full(COLUMNS + 1, np.nan), 0


def file(path, right, rows, rounds):
    contenders = {
        "reading": reading,
        "NumPy, normal equations": normal_equations,
        "nearlin, qr, no intercept": streamed(),
        "nearlin, qr": streamed(fit_intercept=True),
        "nearlin, sketch": streamed(method="sketch", rng=0),
    }
    seconds, found = {name: [] for name in contenders}, {}
    for _ in range(rounds):
        for name, run in contenders.items():
            source = blocks(path, target="y")
            time.sleep(0.2)
            start = time.process_time()
            found[name] = run(source)
            seconds[name].append(time.process_time() - start)
    read = min(seconds["reading"])
    of_loop = min(seconds["NumPy, normal equations"]) - read
    print(f"{rows:,} rows of {COLUMNS} float32 in Parquet, one thread")
    print(f"{'':28}{'CPU s':>8}{'fit alone':>11}{'loop/this':>11}{'error':>10}{'bytes':>10}")
    for name, spent in seconds.items():
        x, size = found[name]
        alone = min(spent) - read
        ratio = of_loop / alone if alone > 0 else np.nan
        exact = (
            x
            if name != "nearlin, qr, no intercept" and name != "nearlin, sketch"
            else np.full(len(x), np.nan)
        )
        error = np.max(np.abs(exact - right))
        print(f"{name:28}{min(spent):8.2f}{alone:11.2f}{ratio:11.1f}{error:10.1e}{size:10,}")


def conditions(n, d=40):
    rng = np.random.default_rng(1)
    U = np.linalg.qr(rng.standard_normal((n, d)))[0]
    V = np.linalg.qr(rng.standard_normal((d, d)))[0]
    print(f"\nbackward error, {n} x {d} in blocks of 1000 rows, in roundoffs\n{'condition':>10}", end="")
    print(f"{'nearlin, qr':>14}{'bound':>9}{'LAPACK':>9}{'NumPy, normal equations':>25}")
    for condition in CONDITIONS:
        A = (U * np.geomspace(1.0, 1.0 / condition, d)) @ V.T
        b = A @ rng.standard_normal(d) + rng.standard_normal(n)
        stream = nearlin.StreamingLeastSquares(n_jobs=1)
        G, c = 0.0, 0.0
        for start in range(0, n, 1000):
            rows = slice(start, start + 1000)
            stream.partial_fit(A[rows], b[rows])
            G, c = G + A[rows].T @ A[rows], c + A[rows].T @ b[rows]
        answers = (stream.coef_, np.linalg.lstsq(A, b, rcond=None)[0], np.linalg.solve(G, c))
        errors = [backward_error(A, b, x) / 2**-53 for x in answers]
        bound = stream.certificate_.bound / 2**-53
        print(f"{condition:10.0e}{errors[0]:14.2f}{bound:9.1f}{errors[1]:9.2f}{errors[2]:25.1e}")


def backward_error(A, b, x):
    """Return the estimate of Karlson and Walden by singular values, relative to the Frobenius norm of A."""
    U, s, _ = np.linalg.svd(A, full_matrices=False)
    r = (b.astype(np.longdouble) - A.astype(np.longdouble) @ x.astype(np.longdouble)).astype(np.float64)
    size, theta = np.linalg.norm(s), np.linalg.norm(s) / np.linalg.norm(b)
    damped = theta / np.hypot(1.0, theta * np.linalg.norm(x))
    w = damped * np.linalg.norm(r)
    along = s * (U.T @ r)
    return damped / size * np.linalg.norm(along / np.hypot(s, w))


if __name__ == "__main__":
    main()
