"""States made anywhere and merged: the same bytes by Spark, by Ray, by joblib, and in one process.

`leaf` makes the bytes of a state of one block of rows, `merged` those of several;
`nearlin.distributed.merge_tree` puts them together in a fixed order. The numbers of rows are part of a state,
so that a block that is in already is refused: blocks need to know how many rows come before them.

Ray, where `starts` are the numbers of the first rows:

    make, put_together = ray.remote(leaf), ray.remote(lambda *parts: merged(parts))
    leaves = [make.remote(X, y, start) for (X, y), start in zip(parts, starts)]
    state = ray.get(merge_tree(leaves, lambda parts: put_together.remote(*parts)))

Spark, for a frame with the columns `start` (the number of the first row of the partition) and `y` beside the
features:

    states = frame.mapInArrow(leaves_of_batches, "start long, state binary").orderBy("start").collect()
    state = merge_tree([bytes(row.state) for row in states], merged)
"""

import numpy as np
import pyarrow as pa

import nearlin


def leaf(X, y, start):
    """Return the bytes of a least-squares stream of one block."""
    return nearlin.StreamingLeastSquares(rng=0).partial_fit(X, y, row_offset=start).to_bytes()


def merged(parts):
    """Return the bytes of the rows of all of them."""
    whole, *others = map(nearlin.StreamingLeastSquares.from_bytes, parts)
    for other in others:
        whole.merge(other)
    return whole.to_bytes()


def leaves_of_batches(batches):
    """Give one row with the state of a partition, for Spark's `mapInArrow`."""
    batches = list(batches)
    if not batches:
        return
    table = pa.Table.from_batches(batches)
    start, y = int(table["start"][0].as_py()), table["y"].to_numpy()
    X = np.column_stack([table[name].to_numpy() for name in table.column_names if name not in ("start", "y")])
    yield pa.RecordBatch.from_pydict({"start": [start], "state": [leaf(X, y, start)]})
