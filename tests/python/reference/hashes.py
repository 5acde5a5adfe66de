"""Hashes of what nearlin computes, to be compared between instruction sets and processors: a line a name.

    python tests/python/reference/hashes.py

The data are made without a rounding: NumPy's normal numbers and its products have other bits on other
processors. Behind a hash stands whether the answer is as good as was asked for, or a dash where nothing was.
"""

import hashlib

import numpy as np
import scipy.sparse as sp

import nearlin
from nearlin import sketch

METHODS = ("gram", "whitened", "spir", "qr", "lsmr")


def data():
    """Dense rows of integers over powers of two, targets, and such rows with zeros among them."""
    rng = np.random.default_rng(5)
    A = rng.integers(-(2**20), 2**20, (1500, 20)) / 2.0**18
    b = A @ np.ones(20) + rng.integers(-(2**20), 2**20, 1500) / 2.0**20
    return A, b, sp.csr_array(A * (rng.random(A.shape) < 0.3))


def answers():
    """Name, array or bytes, and certificate if there is one."""
    A, b, S = data()
    kinds = (sketch.SRHT, sketch.PHT, sketch.SparseSign, sketch.CountSketch, sketch.Gaussian)
    for kind in kinds:
        for dtype in (np.float64, np.float32):
            yield f"sketch {kind.__name__} {dtype.__name__}", kind(100, 1500, rng=7) @ A.astype(dtype), None
    stream = nearlin.StreamingLeastSquares(n=1500, sketch="pht", rng=7)
    for start in range(0, 1500, 400):
        stream.partial_fit(A[start : start + 400], b[start : start + 400], n_jobs=1)
    yield "state", stream.to_bytes(), None
    for method in METHODS:
        result = nearlin.lstsq(A, b, method=method, rng=7, n_jobs=1)
        yield f"solver {method}", result.x, result.certificate
    for name, matrix in (("float32", A.astype(np.float32)), ("sparse", S)):
        result = nearlin.lstsq(matrix, b, rng=7, n_jobs=1)
        yield f"solver auto {name}", result.x, result.certificate
    for name, products in (("CSR", nearlin._core.Products(S)), ("CSC", nearlin._core.Products(S.tocsc()))):
        for k in (1, 9):
            narrow, tall = A[:20, :k], A[:, :k]
            yield f"product {name} {k}", products.product(narrow, c_order=True, threads=1), None
            yield f"transpose {name} {k}", products.transposed_product(tall, c_order=True, threads=1), None


def main():
    for name, answer, certificate in answers():
        digest = hashlib.sha256(answer if isinstance(answer, bytes) else answer.tobytes()).hexdigest()[:16]
        verdict = "-" if certificate is None else "met" if certificate.met else "missed"
        print(name.replace(" ", "_"), digest, verdict)


if __name__ == "__main__":
    main()
