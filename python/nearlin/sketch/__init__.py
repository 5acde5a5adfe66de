r"""Sketches: random matrices S of m rows that shrink a tall matrix A to the few rows of S A.

All are scaled so that the expectation of :math:`S^T S` is the identity: lengths and inner products of the
columns of A survive, the better the larger m is. A sketch is a value made of a kind, a size and a seed.
Nothing is sampled until it is applied, and column i of S depends on that value and on i alone, so that rows
may come in blocks, from many machines, or once more.

============================ ================================= ============================================
class                        S                                 made for
============================ ================================= ============================================
:class:`SparseSign`          zeta signs in every column        preconditioning; sparse matrices
:class:`CountSketch`         one sign in every column          the cheapest of all, with m of order d^2
:class:`PHT`                 pooled Hadamard transforms        answers from S A alone; streams of any length
:class:`SRHT`                one subsampled Hadamard transform answers from S A alone
:class:`Gaussian`            independent normals               small problems, exact theory
:class:`TensorSRHT`          transforms of factors             Kronecker products, from their factors
============================ ================================= ============================================

Examples
--------
>>> import numpy as np
>>> from nearlin.sketch import SparseSign
>>> A = np.random.default_rng(0).standard_normal((10_000, 20))
>>> S = SparseSign(400, 10_000, rng=0)
>>> Y = S @ A
>>> Y.shape
(400, 20)
>>> x = np.ones(20)
>>> bool(abs(np.linalg.norm(Y @ x) / np.linalg.norm(A @ x) - 1) < 0.2)
True
"""

from ._kinds import PHT, SRHT, CountSketch, Gaussian, SparseSign
from ._sketch import Accumulator, Sketch, TransposedSketch
from ._tensor import TensorSRHT

__all__ = [
    "PHT",
    "SRHT",
    "Accumulator",
    "CountSketch",
    "Gaussian",
    "Sketch",
    "SparseSign",
    "TensorSRHT",
    "TransposedSketch",
]
