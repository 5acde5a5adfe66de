"""
Rows of a Parquet file that go by once
======================================

Coefficients with intervals after every block of a file, from a sketch of a thousand rows. Features and target
are columns by name.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import nearlin
from nearlin.data import blocks

rng = np.random.default_rng(0)
n = 200_000
distance = rng.gamma(2.0, 2.0, n)
minutes = 3.0 * distance + rng.gamma(2.0, 2.0, n)
night = (rng.random(n) < 0.2).astype(float)
fare = 2.5 + 1.8 * distance + 0.35 * minutes + 1.0 * night + rng.standard_normal(n)
file = Path(tempfile.mkdtemp()) / "trips.parquet"
columns = {"one": np.ones(n), "distance": distance, "minutes": minutes, "night": night, "fare": fare}
pq.write_table(pa.table(columns), file)

# %%
# The file is never in memory as a whole; ``row_offset`` makes sure that no row counts twice.

rows = blocks(file, target="fare", block_bytes=1 << 19)
print(rows)
stream = nearlin.StreamingLeastSquares(sketch_size=1000, rng=0)
seen, low, high = [], [], []
for block in rows:
    stream.partial_fit(block.X, block.y, row_offset=block.start)
    ends = stream.result().interval()
    seen.append(stream.n_rows_seen)
    low.append(ends[0])
    high.append(ends[1])

# %%
# Intervals for what all rows so far would give, around the truth.

figure, axis = plt.subplots()
for j, (name, truth) in enumerate([("distance", 1.8), ("minutes", 0.35), ("night", 1.0)], start=1):
    band = axis.fill_between(seen, np.array(low)[:, j], np.array(high)[:, j], alpha=0.4, label=name)
    axis.axhline(truth, color="black", linewidth=0.8)
axis.set_xlabel("rows so far")
axis.set_ylabel("coefficient")
axis.legend()
plt.show()
