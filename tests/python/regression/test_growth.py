"""The time and memory of what reads sparse rows grow with their entries, not with rows times columns."""

import sys
import time

import numpy as np
import pytest
from reference import growth, sparse

import nearlin


def lstsq(method, **options):
    return lambda A, b: nearlin.lstsq(A, b, method=method, rng=0, n_jobs=1, **options)


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory")
@pytest.mark.parametrize("reader", growth.READERS)
def test_time_and_memory_grow_with_the_entries(reader):
    """Beside vectors as long as rows and columns: dense rows of the widest are 8 GB, a tile 0.1 GB."""
    figures = sparse.alone(f"""
from reference import growth
print(json.dumps(growth.measured({reader!r})))
""")
    for layout, found in figures.items():
        per_number = []
        for (n, d, entries), (seconds, memory) in zip(growth.SHAPES, found, strict=True):
            of_vectors = 1200 if reader in growth.BASES else 384
            assert memory < 16 * entries + of_vectors * (n + d), (layout, n, d, entries)
            per_number.append(seconds / (entries + 4 * (n + d)))
        assert max(per_number) < 10 * min(per_number), (layout, found)


def fitted(A, b):
    model = nearlin.LinearRegression(method="spir", inference=True, n_jobs=1).fit(A, b)
    return model.cov_params("HC0", X=A, y=b)


def stream(A, b):
    stream = nearlin.StreamingLeastSquares(sketch_size=500, rng=0)
    half = len(b) // 2
    for rows in (slice(half), slice(half, None)):
        stream.partial_fit(A[rows], b[rows], n_jobs=1)
    return stream.result(n_jobs=1)


FEW, MANY = 120, 20_000
"""Columns: those of a factor, and more than that."""

FACTORED = {
    "auto": (MANY, lstsq("auto", ridge=1e4)),
    "spir": (FEW, lstsq("spir")),
    "fossils": (FEW, lstsq("fossils")),
    "LinearRegression": (FEW, lambda A, b: nearlin.LinearRegression(method="spir", n_jobs=1).fit(A, b)),
    "cov_params": (FEW, fitted),
    "StreamingLeastSquares": (FEW, stream),
}


@pytest.mark.parametrize("reader", FACTORED)
def test_as_many_entries_in_more_rows_take_as_long(reader):
    """Of twenty times the rows; what is as long as a column is little beside the entries."""
    d, read = FACTORED[reader]
    seconds = []
    for n in [2_000, 8_000, 40_000]:
        A, b = sparse.uniform(n, d, 200_000 // n), np.arange(n) % 7.0
        best = np.inf
        for _ in range(2):
            start = time.process_time()
            read(A, b)
            best = min(best, time.process_time() - start)
        seconds.append(best)
    assert max(seconds) < 6 * min(seconds) + 0.02, seconds
