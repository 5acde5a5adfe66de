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

COUNTS = (1_000_000, 4_000_000)
SHAPE = (6000, 5000)
M_MMAP_THRESHOLD = -3
"""Of glibc's malloc.h."""

pytestmark = [
    pytest.mark.fork,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"),
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's count of pages"),
]


def entries(count, form):
    rng = np.random.default_rng(0)
    rows, cols = (rng.integers(0, size, count).astype(np.int32) for size in SHAPE)
    values = rng.standard_normal(count).astype(np.float32)
    if form in ("list", "gaps"):
        step = 1 if form == "list" else 10**9
        return step * rows.astype(np.int64), step * cols.astype(np.int64), values
    return sp.coo_array((values, (rows, cols)), shape=SHAPE).asformat(form)


def peak_of_a_fit(X, options):
    """Return the bytes beyond what there is, of a child that has never fitted anything."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        try:
            warnings.simplefilter("ignore")
            model = MatrixCompletion(4, random_state=0, max_iter=2, **options)
            libc = ctypes.CDLL(None)
            # As of larger arrays, which the system has back when they are freed.
            libc.mallopt(M_MMAP_THRESHOLD, 1 << 17)
            libc.malloc_trim(0)
            probe = memory_probe()
            model.fit(X)
            sender.send(probe())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert receiver.poll(), "the child ended without an answer"
    return receiver.recv()


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("form", ["csr", "csc", "coo", "list", "gaps"])
def test_at_most_twenty_bytes_an_entry(form, n_jobs):
    peaks, counts = [], []
    for count in COUNTS:
        X = entries(count, form)
        counts.append(X.nnz if sp.issparse(X) else count)
        # What the parent has freed and the child uses again is not always counted alike.
        peaks.append(min(peak_of_a_fit(X, {"reg": 0.5, "n_jobs": n_jobs}) for _ in range(2)))
    each = (peaks[1] - peaks[0]) / (counts[1] - counts[0])
    assert 8.0 < each < 21.0
