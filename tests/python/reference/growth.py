"""What reads sparse rows, and the time and memory that it takes as they grow."""

import ctypes
import time
import warnings

import numpy as np
from reference import sparse

import nearlin
from nearlin import _core, sketch
from nearlin._demo.process import memory_probe
from nearlin.exceptions import AccuracyWarning

ROWS, VECTORS = 2, 8
"""Of a sketch, and in a block."""

SHAPES = [
    *((10_000, 10_000, entries) for entries in (25_000, 50_000, 100_000)),
    *((10_000, d, 100_000) for d in (1_000, 100_000)),
    *((n, 10_000, 100_000) for n in (1_000, 100_000)),
]
"""Rows, columns, entries: a quarter of them to all, and as many in a hundred times the columns or rows."""


LSMR = {"method": "lsmr", "max_iter": 2, "n_jobs": 1}


def predict(A, b):
    model = nearlin.Ridge()
    model.coef_, model.intercept_, model.n_features_in_ = np.ones(A.shape[1]), 0.0, A.shape[1]
    return model.predict(A)


def product(k):
    return lambda A, b: _core.Products(A).product(np.ones((A.shape[1], k)), c_order=True, threads=1)


def transposed_product(k):
    return lambda A, b: _core.Products(A).transposed_product(
        np.ones((A.shape[0], k)), c_order=True, threads=1
    )


def accumulate(A, b):
    stream = sketch.SparseSign(ROWS, zeta=2, rng=0).accumulate(A.shape[1])
    half = A.shape[0] // 2
    for part in (A[:half], A[half:]):
        stream.partial_fit(part, n_jobs=1)
    return stream


def decompose(A, b):
    model = nearlin.TruncatedSVD(ROWS, oversample=0, tol=0.5, random_state=0, n_jobs=1).fit(A)
    return model.refresh(A).transform(A)


def append(A, b):
    """Two halves, in as many products whatever their spectrum."""
    model = nearlin.TruncatedSVD(ROWS, oversample=0, method="lcov-rpi", random_state=0, n_jobs=1)
    half = A.shape[0] // 2
    return model.append_rows(A[:half]).append_rows(A[half:])


READERS = {
    "lstsq": lambda A, b: nearlin.lstsq(A, b, **LSMR),
    "weighted": lambda A, b: nearlin.lstsq(A, b, sample_weight=1.0 + b, **LSMR),
    "centred": lambda A, b: nearlin.Ridge(3.0, **LSMR).fit(A, b, 1.0 + b),
    "predict": predict,
    "product": product(1),
    "products": product(VECTORS),
    "transposed product": transposed_product(1),
    "transposed products": transposed_product(VECTORS),
    "column norms": lambda A, b: _core.Products(A).squared_column_norms(threads=1),
    "sparse_sign": lambda A, b: sketch.SparseSign(ROWS, A.shape[0], zeta=2, rng=0).apply(A, n_jobs=1),
    "count_sketch": lambda A, b: sketch.CountSketch(ROWS, A.shape[0], rng=0).apply(A, n_jobs=1),
    "accumulator": accumulate,
    "decompose": decompose,
    "append": append,
}
BASES = {"decompose", "append"}
"""Readers that keep tens of vectors as long as rows and columns."""


def measured(reader):
    """Return for both layouts and all shapes the CPU seconds, and the bytes beyond the data, of one read."""
    read, figures = READERS[reader], {"csr": [], "csc": []}
    warnings.simplefilter("ignore", AccuracyWarning)
    read(sparse.uniform(50, 30, 2), np.arange(50.0))
    for n, d, entries in SHAPES:
        rows, b = sparse.uniform(n, d, entries // n), np.arange(n) % 7.0
        for layout, found in figures.items():
            A, seconds = rows.asformat(layout), []
            ctypes.CDLL(None).malloc_trim(0)
            peak = memory_probe()
            for _ in range(2):
                start = time.process_time()
                read(A, b)
                seconds.append(time.process_time() - start)
            found.append((min(seconds), peak()))
    return figures
