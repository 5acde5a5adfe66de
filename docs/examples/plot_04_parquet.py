"""
Rows of a Parquet file that go by once
======================================

Coefficients with confidence intervals after every block of a file, from a stream that keeps nothing but the
triangular factor of its rows. Features and target are columns by name.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import nearlin
from nearlin.data import blocks

rng = np.random.default_rng(1)
n = 200_000
distance = rng.gamma(2.0, 2.0, n)
minutes = 3.0 * distance + rng.gamma(2.0, 2.0, n)
night = (rng.random(n) < 0.2).astype(float)
fare = 2.5 + 1.8 * distance + 0.35 * minutes + 1.0 * night + rng.standard_normal(n)
file = Path(tempfile.mkdtemp()) / "trips.parquet"
columns = {"distance": distance, "minutes": minutes, "night": night, "fare": fare}
pq.write_table(pa.table(columns), file)

# %%
# The file is never in memory as a whole; ``row_offset`` makes sure that no row counts twice.

rows = blocks(file, target="fare", block_bytes=1 << 19)
print(rows)
stream = nearlin.StreamingLeastSquares(fit_intercept=True)
seen, intervals = [], []
for block in rows:
    stream.partial_fit(block.X, block.y, row_offset=block.start)
    seen.append(stream.n_rows_seen)
    intervals.append(stream.summary().interval)
print(stream.summary())

# %%
# Intervals of 95 %, less the truth: they close as one over the square root of the rows.

figure, axis = plt.subplots()
for j, (name, truth) in enumerate([("distance", 1.8), ("minutes", 0.35), ("night", 1.0)], start=1):
    low, high = np.array(intervals)[:, j].T - truth
    axis.fill_between(seen, low, high, alpha=0.4, label=name)
axis.axhline(0.0, color="black", linewidth=0.8)
axis.set_title("intervals that close around the truth")
axis.set_xlabel("rows so far")
axis.set_ylabel("coefficient less the truth")
axis.legend()
plt.show()
