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


def write(path, batches):
    """Write batches of 100,000 rows."""
    rng = np.random.default_rng(0)
    names = [*(f"x{j}" for j in range(D)), "y"]
    columns = [rng.standard_normal(100_000, dtype=np.float32) for _ in names]
    batch = pa.record_batch(columns, names)
    with pq.ParquetWriter(path, batch.schema, use_dictionary=False, compression="none") as writer:
        for _ in range(batches):
            writer.write_batch(batch, row_group_size=500_000)


def test_a_pass_over_a_file_takes_some_blocks(tmp_path):
    write(tmp_path / "short.parquet", 1)
    write(tmp_path / "long.parquet", 50)
    paths = [tmp_path / "short.parquet", tmp_path / "long.parquet"]
    ran = subprocess.run(
        [sys.executable, "-c", PASS, *map(str, paths), str(BLOCK)], capture_output=True, text=True, check=True
    )
    rows, more = map(int, ran.stdout.split())
    assert rows == 5_000_000
    assert paths[1].stat().st_size > 400e6
    assert more < 4 * BLOCK + (100 << 20)
