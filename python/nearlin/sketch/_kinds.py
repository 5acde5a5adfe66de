"""The kinds of sketches."""

from ._sketch import Sketch

__all__ = ["PHT", "SRHT", "CountSketch", "Gaussian", "SparseSign"]


class SparseSign(Sketch):
    r"""Sparse sign embedding: `zeta` stacked CountSketches.

    The rows of S are cut into `zeta` blocks of equal length; every column has one entry :math:`\pm
    1/\sqrt{\zeta}` at a random place in each. The fastest sketch that embeds subspaces with m near d, and
    the one for sparse matrices.

    Parameters
    ----------
    m : int
        Number of rows of S.
    n : int, optional
        Number of columns of S, which is that of the rows it is applied to; None sets no bound.
    zeta : int, default=8
        Nonzeros per column, at most m; 8 are hardly told from a Gaussian sketch [1]_. Time is in
        proportion.
    rng : None, int, numpy.random.Generator or what :func:`numpy.random.default_rng` takes, optional
        Source of the seed; an int below 2**64 is the seed.

    Raises
    ------
    InvalidInputError
        If a parameter is out of its domain.

    Notes
    -----
    S A costs zeta n d additions for dense A and zeta nnz for sparse A. m of order d / eps^2 rows with zeta
    of order log(d) / eps preserve the norms of a d-dimensional subspace to relative accuracy eps, up to
    logarithms of d [2]_ [3]_.

    References
    ----------
    .. [1] J. A. Tropp, A. Yurtsever, M. Udell, V. Cevher, "Streaming low-rank matrix approximation with an
       application to scientific simulation", SIAM J. Sci. Comput. 41 (2019).
    .. [2] M. B. Cohen, "Nearly tight oblivious subspace embeddings by trace inequalities", SODA 2016.
    .. [3] S. Chenakkod, M. Dereziński, X. Dong, M. Rudelson, "Optimal embedding dimension for sparse subspace
       embeddings", STOC 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from nearlin.sketch import SparseSign
    >>> S = SparseSign(16, 1000, zeta=4, rng=0)
    >>> S
    SparseSign(m=16, n=1000, zeta=4, rng=0)
    >>> dense = S.to_dense()
    >>> np.unique(dense), np.unique(np.count_nonzero(dense, axis=0))
    (array([-0.5,  0. ,  0.5]), array([4]))
    """

    __slots__ = ()
    kind = "sparse_sign"

    def __init__(self, m: int, n: int | None = None, *, zeta: int = 8, rng: object = None) -> None:
        self._define(m, n, rng, zeta=zeta)

    @property
    def zeta(self) -> int:
        """Nonzeros per column."""
        return int(self._operator.parameters["zeta"])


class CountSketch(Sketch):
    r"""CountSketch: one random sign at a random place in every column.

    Parameters
    ----------
    m : int
        Number of rows of S.
    n : int, optional
        Number of columns of S, which is that of the rows it is applied to; None sets no bound.
    rng : None, int, numpy.random.Generator or what :func:`numpy.random.default_rng` takes, optional
        Source of the seed; an int below 2**64 is the seed.

    Raises
    ------
    InvalidInputError
        If a parameter is out of its domain.

    Notes
    -----
    S A costs n d additions for dense A and nnz for sparse A [1]_. Embedding d dimensions takes m of order
    d^2 rows [2]_, where the other sketches do with m of order d.

    References
    ----------
    .. [1] M. Charikar, K. Chen, M. Farach-Colton, "Finding frequent items in data streams", ICALP 2002.
    .. [2] K. L. Clarkson, D. P. Woodruff, "Low-rank approximation and regression in input sparsity time",
       STOC 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from nearlin.sketch import CountSketch
    >>> S = CountSketch(5, 100, rng=3)
    >>> x = np.zeros(100)
    >>> x[17] = -2.0
    >>> np.sort(abs(S @ x))
    array([0., 0., 0., 0., 2.])
    """

    __slots__ = ()
    kind = "count_sketch"

    def __init__(self, m: int, n: int | None = None, *, rng: object = None) -> None:
        self._define(m, n, rng)


class PHT(Sketch):
    r"""Pooled Hadamard transform: dense mixing of a stream of any length, a chunk of rows at a time.

    Each chunk of B rows gets random signs, an orthonormal Hadamard transform, a random permutation and random
    weights; what comes out is added up in m pools, and the pools of all chunks are added to each other.

    Parameters
    ----------
    m : int
        Number of rows of S.
    n : int, optional
        Number of columns of S, which is that of the rows it is applied to; None sets no bound.
    weights : {"signs", "normals"}, default="signs"
        Weights after the transform. Signs make S an isometry where a chunk has m rows, and were never worse
        in tests; normals are what the theory of errors in single coordinates is about.
    chunk : int, optional
        The number B: a power of two, at least m, and 8 m with normal weights. The default is the shortest
        that is at least 1024.
    rng : None, int, numpy.random.Generator or what :func:`numpy.random.default_rng` takes, optional
        Source of the seed; an int below 2**64 is the seed.

    Raises
    ------
    InvalidInputError
        If a parameter is out of its domain.

    See Also
    --------
    SRHT : One transform over all rows, whose number must be bounded beforehand.

    Notes
    -----
    S A costs n d log2(B) additions, for sparse A too. A stream that is cut inside a chunk keeps the rows of
    that chunk: B d numbers. The transform of chunks, with sampling in the place of pooling, is due to [1]_.

    References
    ----------
    .. [1] O. Balabanov, M. Beaupère, L. Grigori, V. Lederer, "Block subsampled randomized Hadamard
       transform for low-rank approximation on distributed architectures", ICML 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from nearlin.sketch import PHT
    >>> S = PHT(1024, 1024, rng=0)
    >>> x = np.arange(1024.0)
    >>> bool(np.isclose(np.linalg.norm(S @ x), np.linalg.norm(x)))
    True
    """

    __slots__ = ()
    kind = "pht"

    def __init__(
        self,
        m: int,
        n: int | None = None,
        *,
        weights: str = "signs",
        chunk: int | None = None,
        rng: object = None,
    ) -> None:
        self._define(m, n, rng, weights=weights, chunk=chunk)

    @property
    def weights(self) -> str:
        """Weights after the transform."""
        return str(self._operator.parameters["weights"])

    @property
    def chunk(self) -> int | None:
        """Rows that are transformed together, None for the default."""
        chunk: int | None = self._operator.parameters["chunk"]
        return chunk


class SRHT(Sketch):
    r"""Subsampled randomised Hadamard transform.

    S is :math:`\sqrt{N/m}\, R H D`: D random signs, H the orthonormal Hadamard matrix of size N, the power
    of two at or above n and the length of a chunk, and R a choice of m of its rows without replacement.

    Parameters
    ----------
    m : int
        Number of rows of S.
    n : int
        Number of columns of S. It must be known, as every row of S depends on all of them; for streams an
        upper bound on their length will do.
    rng : None, int, numpy.random.Generator or what :func:`numpy.random.default_rng` takes, optional
        Source of the seed; an int below 2**64 is the seed.

    Raises
    ------
    InvalidInputError
        If a parameter is out of its domain.

    See Also
    --------
    PHT : As good, for streams of any length.

    Notes
    -----
    Only the m rows are ever formed: S A costs n d log2(B) + n m d / B additions, for sparse A too, where B,
    the length of a chunk, is the power of two at or above m, at least 1024. A stream that is cut inside a
    chunk keeps the rows of that chunk: B d numbers. m of order (d + log n) log d rows embed d dimensions
    [1]_; 4 d usually do.

    References
    ----------
    .. [1] J. A. Tropp, "Improved analysis of the subsampled randomized Hadamard transform", Adv. Adapt. Data
       Anal. 3 (2011).

    Examples
    --------
    >>> import numpy as np
    >>> from nearlin.sketch import SRHT
    >>> S = SRHT(4, 1000, rng=0)
    >>> np.unique(S.to_dense())
    array([-0.5,  0.5])
    """

    __slots__ = ()
    kind = "srht"

    def __init__(self, m: int, n: int, *, rng: object = None) -> None:
        self._define(m, n, rng)


class Gaussian(Sketch):
    r"""Gaussian sketch: independent normals of variance 1 / m.

    Parameters
    ----------
    m : int
        Number of rows of S.
    n : int, optional
        Number of columns of S, which is that of the rows it is applied to; None sets no bound.
    rng : None, int, numpy.random.Generator or what :func:`numpy.random.default_rng` takes, optional
        Source of the seed; an int below 2**64 is the seed.

    Raises
    ------
    InvalidInputError
        If a parameter is out of its domain.

    Notes
    -----
    S A costs 2 m n d operations, for sparse A too, and n m normals are made on the way. Its theory is exact
    in finite samples [1]_, which makes it the one to compare others with. A stream keeps at most 256 d rows
    that wait for their chunk to be complete.

    References
    ----------
    .. [1] N. Halko, P.-G. Martinsson, J. A. Tropp, "Finding structure with randomness", SIAM Review 53
       (2011).

    Examples
    --------
    >>> from nearlin.sketch import Gaussian
    >>> S = Gaussian(1000, 50, rng=0).to_dense()
    >>> bool(abs(S.mean()) < 1e-3), round(float(S.var() * 1000), 1)
    (True, 1.0)
    """

    __slots__ = ()
    kind = "gaussian"

    def __init__(self, m: int, n: int | None = None, *, rng: object = None) -> None:
        self._define(m, n, rng)
