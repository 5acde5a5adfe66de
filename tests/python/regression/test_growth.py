"""The time of what reads sparse rows grows with their entries, not with rows times columns."""

import time
import warnings

import numpy as np
import pytest
from reference import sparse

import nearlin
from nearlin import sketch
from nearlin.exceptions import AccuracyWarning

ENTRIES = 200_000
FEW, MANY = 120, 20_000
"""Columns: those of a factor, and more than dense rows have memory for."""


def lstsq(method, **options):
    return lambda A, b: nearlin.lstsq(A, b, method=method, rng=0, n_jobs=1, **options)


def predict(A, b):
    model = nearlin.Ridge()
    model.coef_, model.intercept_, model.n_features_in_ = np.ones(A.shape[1]), 0.0, A.shape[1]
    return model.predict(A)


READERS = {
    "lsmr": (MANY, lstsq("lsmr", ridge=1e4)),
    "auto": (MANY, lstsq("auto", ridge=1e4)),
    "spir": (FEW, lstsq("spir")),
    "fossils": (FEW, lstsq("fossils")),
    "Ridge": (MANY, lambda A, b: nearlin.Ridge(1e4, method="lsmr", max_iter=20, n_jobs=1).fit(A, b)),
    "LinearRegression": (FEW, lambda A, b: nearlin.LinearRegression(method="spir", n_jobs=1).fit(A, b)),
    "predict": (MANY, predict),
    "sparse_sign": (MANY, lambda A, b: sketch.SparseSign(500, A.shape[0], rng=0).apply(A, n_jobs=1)),
    "count_sketch": (MANY, lambda A, b: sketch.CountSketch(500, A.shape[0], rng=0).apply(A, n_jobs=1)),
}


@pytest.mark.parametrize("reader", READERS)
def test_as_many_entries_in_more_rows_take_as_long(reader):
    """Of twenty times the rows; what is as long as a column is little beside the entries."""
    d, read = READERS[reader]
    seconds = []
    for n in [2_000, 8_000, 40_000]:
        A, b = sparse.uniform(n, d, ENTRIES // n), np.arange(n) % 7.0
        best = np.inf
        for _ in range(2):
            start = time.process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", AccuracyWarning)
                read(A, b)
            best = min(best, time.process_time() - start)
        seconds.append(best)
    assert max(seconds) < 6 * min(seconds) + 0.02
