"""What a fit takes of memory, for each entry."""

import ctypes
import multiprocessing
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from nearlin import MatrixCompletion
from nearlin._demo.process import memory_probe

COUNTS = (300_000, 2_100_000)
SHAPE = (6000, 5000)

pytestmark = [
    pytest.mark.fork,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"),
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's count of pages"),
]


def entries(count):
    rng = np.random.default_rng(0)
    places = np.sort(rng.choice(SHAPE[0] * SHAPE[1], count, replace=False))
    values = rng.standard_normal(count).astype(np.float32)
    rows, cols = (places // SHAPE[1]).astype(np.int32), (places % SHAPE[1]).astype(np.int32)
    return sp.csr_array((values, (rows, cols)), shape=SHAPE)


def peak_of_a_fit(X, options):
    """Return the bytes beyond what there is, of a child that has never fitted anything."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        try:
            warnings.simplefilter("ignore")
            model = MatrixCompletion(4, random_state=0, max_iter=2, **options)
            ctypes.CDLL(None).malloc_trim(0)
            probe = memory_probe()
            model.fit(X)
            sender.send(probe())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert receiver.poll(), "the child ended without an answer"
    return receiver.recv()


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("form", ["csr", "csc", "list"])
def test_some_twenty_bytes_an_entry(form, n_jobs):
    peaks = []
    for count in COUNTS:
        X = entries(count)
        if form == "csc":
            X = X.tocsc()
        if form == "list":
            rows, cols = (index.astype(np.int64) for index in X.tocoo().coords)
            X = rows, cols, X.data
        peaks.append(peak_of_a_fit(X, {"reg": 0.5, "n_jobs": n_jobs}))
    each = (peaks[1] - peaks[0]) / (COUNTS[1] - COUNTS[0])
    # What is counted in pages, and freed to be used again, is not exact; each thread has pages of its own.
    assert 8.0 < each < (21.0 if n_jobs == 1 else 24.0)
