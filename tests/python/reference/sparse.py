"""Large sparse problems, and an interpreter of their own to solve them in with little memory."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import scipy.sparse


def uniform(n, d, each, seed=0):
    """CSR with `each` standard normal entries a row, anywhere."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.arange(n), each)
    return scipy.sparse.csr_array(
        (rng.standard_normal(n * each), (rows, rng.integers(0, d, n * each))), shape=(n, d)
    )


def scattered(shape, density, seed=0):
    """CSR with a share of its entries, between 0 and 1: `random_array` of SciPy, which came with 1.12."""
    rng = np.random.default_rng(seed)
    return scipy.sparse.csr_array(np.where(rng.random(shape) < density, rng.random(shape), 0.0))


def one_hot(n, levels, seed=0):
    """One-hot columns of factors with so many levels each, side by side."""
    rng = np.random.default_rng(seed)
    rows = np.arange(n)
    factors = [(np.ones(n), (rows, rng.integers(0, count, n))) for count in levels]
    blocks = [scipy.sparse.csr_array(f, shape=(n, count)) for f, count in zip(factors, levels, strict=True)]
    return scipy.sparse.hstack(blocks).tocsr()


def hashed(n, d, each, seed=0):
    """Signed features in buckets, their frequencies after Zipf."""
    rng = np.random.default_rng(seed)
    columns = rng.zipf(1.3, n * each) * 2654435761 % d
    signs = rng.choice([-1.0, 1.0], n * each)
    return scipy.sparse.csr_array((signs, (np.repeat(np.arange(n), each), columns)), shape=(n, d))


def steepness(A, b, x, *, ridge=0.0, intercept=0.0):
    """|A'r - ridge x| / (|A|_F |b|): zero at the minimiser."""
    residual = b - A @ x - intercept
    gradient = A.T @ residual - ridge * x
    return float(np.linalg.norm(gradient) / np.sqrt((A.data**2).sum()) / np.linalg.norm(b))


PREAMBLE = f"""
import json, resource, sys, warnings
import numpy as np, scipy.sparse
sys.path.insert(0, {str(Path(__file__).parent.parent)!r})
from reference import sparse
import nearlin
def left(gigabytes):
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    limit = used + int(gigabytes * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
"""


def alone(code):
    """Return what code prints as JSON in an interpreter of its own; `left(gigabytes)` limits its memory."""
    done = subprocess.run([sys.executable, "-c", PREAMBLE + code], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])
