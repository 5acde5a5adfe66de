"""The same matrix in every form that is taken."""

import numpy as np
import pandas
import polars
import scipy.sparse

__all__ = ["LAYOUTS", "doubled", "misaligned", "of_64_bits", "read_only", "same_bits"]


def read_only(A):
    A = A.copy()
    A.flags.writeable = False
    return A


def misaligned(A):
    view = np.zeros(A.nbytes + 1, np.uint8)[1:].view(A.dtype).reshape(A.shape)
    view[:] = A
    assert not view.flags.aligned
    return view


def of_64_bits(A):
    A = scipy.sparse.csr_matrix(A)
    A.indices, A.indptr = A.indices.astype(np.int64), A.indptr.astype(np.int64)
    return A


def doubled(A):
    """Each entry written as two halves, columns in falling order."""
    A = scipy.sparse.csr_array(A)
    rows = np.repeat(np.arange(A.shape[0]), np.diff(A.indptr))
    data, indices = np.tile(A.data / 2, 2), np.tile(A.indices, 2)
    order = np.lexsort((-indices, np.tile(rows, 2)))
    return scipy.sparse.csr_array((data[order], indices[order], 2 * A.indptr), shape=A.shape)


LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "every other row": lambda A: np.repeat(A, 2, axis=0)[::2],
    "every other column": lambda A: np.repeat(A, 2, axis=1)[:, ::2],
    "upside down": lambda A: A[::-1].copy()[::-1],
    "right to left": lambda A: A[:, ::-1].copy()[:, ::-1],
    "read-only": read_only,
    "misaligned": misaligned,
    "big-endian": lambda A: A.astype(A.dtype.newbyteorder(">")),
    "CSR array": scipy.sparse.csr_array,
    "CSC array": scipy.sparse.csc_array,
    "COO matrix": scipy.sparse.coo_matrix,
    "CSR of 64 bits": of_64_bits,
    "CSR with duplicates": doubled,
    "pandas": pandas.DataFrame,
    "polars": lambda A: polars.DataFrame(np.asarray(A), schema=[f"c{j}" for j in range(A.shape[1])]),
}


def same_bits(x, y):
    return x.dtype == y.dtype and x.shape == y.shape and x.tobytes("C") == y.tobytes("C")
