"""Reading a file takes some blocks and what the reader takes by itself, however long the file is."""

import subprocess
import sys

import numpy as np
import pytest

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("resource")

BLOCK, D = 8 << 20, 20
PASS = """
import resource, sys
import numpy as np
import nearlin
from nearlin.data import blocks

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << (0 if sys.platform == "darwin" else 10)

def read(path):
    rows, total = 0, 0.0
    for block in blocks(path, target="y", block_bytes=int(sys.argv[3])):
        rows, total = rows + len(block.y), total + float(block.X[:, 0].sum())
    return rows

read(sys.argv[1])
before = peak()
print(read(sys.argv[2]), peak() - before)
"""


def write(path, batches, dtype=np.float32, rows=500_000, **options):
    """Write batches of 100,000 rows, in groups of so many."""
    rng = np.random.default_rng(0)
    names = [*(f"x{j}" for j in range(D)), "y"]
    columns = [rng.standard_normal(100_000, dtype=dtype) for _ in names]
    table = pa.Table.from_batches([pa.record_batch(columns, names)] * batches)
    pq.write_table(table, path, row_group_size=rows, **options)


PLAIN = {"use_dictionary": False, "compression": "none"}


def measured(paths):
    """Return how many rows the last of them has, and what reading it takes beyond the first."""
    ran = subprocess.run(
        [sys.executable, "-c", PASS, *map(str, paths), str(BLOCK)], capture_output=True, text=True, check=True
    )
    return map(int, ran.stdout.split())


def test_a_row_group_that_is_the_whole_file_is_not_in_memory(tmp_path):
    paths = [tmp_path / "short.parquet", tmp_path / "long.parquet"]
    write(paths[0], 1, np.float64)
    write(paths[1], 10, np.float64, rows=1_000_000)
    assert pq.read_metadata(paths[1]).num_row_groups == 1
    rows, more = measured(paths)
    assert rows == 1_000_000
    assert more < 4 * BLOCK + (100 << 20)


def test_a_pass_over_a_file_takes_some_blocks(tmp_path):
    write(tmp_path / "short.parquet", 1, **PLAIN)
    write(tmp_path / "long.parquet", 50, **PLAIN)
    paths = [tmp_path / "short.parquet", tmp_path / "long.parquet"]
    rows, more = measured(paths)
    assert rows == 5_000_000
    assert paths[1].stat().st_size > 400e6
    assert more < 4 * BLOCK + (100 << 20)
