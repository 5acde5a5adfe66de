"""Least squares with a Kronecker product of matrices, which is never formed."""

from dataclasses import dataclass, field, fields

import numpy as np
import numpy.typing as npt

from nearlin import _core
from nearlin._certificate import Certificate
from nearlin._config import Progress, resolve_progress, resolve_threads
from nearlin._listing import NotATuple, listing
from nearlin._tensor_arguments import as_factors, as_folded
from nearlin._validation import Float, as_seed, check_choice, check_int, check_real, optional
from nearlin.exceptions import InvalidInputError

from ._solve import truncation

__all__ = ["LstsqKronResult", "lstsq_kron"]

METHODS = ("exact", "sketch")


@dataclass(frozen=True, eq=False, repr=False)
class LstsqKronResult(NotATuple):
    """Answer of :func:`lstsq_kron`.

    Attributes
    ----------
    x : ndarray of shape (d,) or (d, k)
        Minimiser, d being the product of the numbers of columns of the factors; float32 if all of the input
        is. Where a factor lacks rank it is the one of least norm.
    residual_norm : float or ndarray of shape (k,)
        Norm of b - A x; the penalty of ``ridge`` is not part of it.
    rank : int
        Product of the ranks of the factors, each with columns scaled to unit norm and singular values below
        ``rcond`` times the largest taken for zero. With a ridge, the number of directions that are not
        negligible beside it; by a sketch, the rank of the sketched matrix.
    method : str
        How the answer was had.
    n_iter : int
        Times that ``B`` was read.
    sketch_size : int or None
        Rows of the sketch, None if none was drawn.
    certificate : Certificate
        Backward error of ``x`` relative to the Frobenius norm of the product, the worst of all right-hand
        sides.
    dims : tuple of int
        Numbers of columns of the factors.
    """

    x: Float
    residual_norm: float | npt.NDArray[np.float64]
    rank: int
    method: str
    n_iter: int
    sketch_size: int | None
    certificate: Certificate
    dims: tuple[int, ...] = field(repr=False)

    @property
    def tensor(self) -> Float:
        """The same numbers as a tensor of shape `dims`, with one more axis if there are several."""
        return self.x.reshape(self.dims + self.x.shape[1:])

    def __repr__(self) -> str:
        return listing({field.name: getattr(self, field.name) for field in fields(self) if field.repr})


def lstsq_kron(
    factors: object,
    B: object,
    *,
    ridge: float = 0.0,
    method: str = "exact",
    rcond: float | None = None,
    sketch_size: int | None = None,
    tol: float | None = None,
    rng: object = None,
    n_jobs: int | None = None,
    progress: bool | Progress = False,
) -> LstsqKronResult:
    r"""Solve least-squares problems whose matrix is a Kronecker product, in the time of two reads of `B`.

    Minimises :math:`|b - (A_1 \otimes \dots \otimes A_q) x|^2 + \lambda |x|^2`. With two factors that is
    :math:`|B - A_1 X A_2^T|_F^2 + \lambda |X|_F^2`. The product is never formed.

    Parameters
    ----------
    factors : sequence of array_like or sparse matrices of shape (n_i, d_i)
        The factors A_1 to A_q, any number of them and of any shapes. They are copied to float64; that is
        meant to be little beside `B`.
    B : array_like of shape (n_1, ..., n_q) or (n_1 ... n_q,), or with one more axis of length k
        The right-hand side as a tensor, or as the vector that it is in C order; a last axis numbers k of
        them. float32 and float64 in C order, and a matrix of one right-hand side in any order, are not
        copied.
    ridge : float, default=0.0
        The penalty lambda.
    method : {"exact", "sketch"}, default="exact"
        - ``"exact"``: decompositions of the factors and products along the axes of `B`, refined until
          `tol` is met.
        - ``"sketch"``: the answer to the problem that :class:`nearlin.sketch.TensorSRHT` makes of the
          factors and of `B`, whose residual is longer than the least by a factor near (1 + d / m)^(1/2);
          d is the number of unknowns, m that of the rows of the sketch.
    rcond : float, optional
        Singular values of a factor, its columns scaled to unit norm, below `rcond` times the largest are
        taken for zero; with a ridge this applies to the whole problem. The default is as many unit
        roundoffs of float64 as the widest factor has columns, 30 at least, and two of float32 for factors in
        that precision.
    sketch_size : int, optional
        Number of rows of the sketch, four times that of the unknowns by default.
    tol : float, optional
        Target of the backward error relative to the Frobenius norm of the product. The default is the unit
        roundoff of the dtype of the answer. ``"sketch"`` aims at none.
    rng : None, int, numpy.random.Generator or what :func:`numpy.random.default_rng` takes, optional
        Source of the seed of the sketch.
    n_jobs : int, optional
        Number of threads; see :func:`nearlin.set_config` for the default. It does not change a bit of
        the answer.
    progress : bool or callable, default=False
        True for a tqdm bar, or a function that is called with (steps done, the most that there may be,
        figures).

    Returns
    -------
    LstsqKronResult
        Its field ``x`` is the answer, ``tensor`` the same as a tensor, ``certificate`` what was measured
        about its accuracy.

    Raises
    ------
    InvalidInputError
        If an argument is out of its domain, has the wrong shape, or holds NaN or infinity.
    AllocationError
        If there is no memory for the result or for work space.

    See Also
    --------
    lstsq : The same for a matrix that is given as it is.
    nearlin.sketch.TensorSRHT : The sketch.

    Notes
    -----
    The singular value decompositions :math:`A_i = U_i S_i V_i^T` of the factors are one of the product.
    ``"exact"`` takes two reads of `B`: products with :math:`U_i^T` along its axes give x, products with
    :math:`A_i^T` along those of :math:`b - A x` tell the backward error of x and a step that mends it.
    The first of them costs 2 N d_1 operations for N numbers in `B`, the second twice that, the others
    less. Extra memory is N d_1 / n_1 numbers and a few times those of the answer.

    Every factor decides on its own rank, so that a product of well-conditioned factors is never cut off,
    however ill-conditioned it may be itself. The certificate is the column-scaled estimate of Karlson and
    Walden [1]_, with a ridge the same without scaling, of the answer that is returned.

    ``"sketch"`` is the tensor sketch of [2]_. It reads `B` as often, and solves a dense problem with as
    many columns as there are unknowns: it is there for what is to be learned from it, not because it is
    faster.

    The same input and seed give the same bits with any number of threads.

    References
    ----------
    .. [1] R. Karlson, B. Walden, "Estimation of optimal backward perturbation bounds for the linear
       least squares problem", BIT 37 (1997).
    .. [2] T. D. Ahle, M. Kapralov, J. B. T. Knudsen, R. Pagh, A. Velingker, D. P. Woodruff, A. Zandieh,
       "Oblivious sketching of high-degree polynomial kernels", SODA 2020.

    Examples
    --------
    >>> import numpy as np
    >>> import nearlin
    >>> rng = np.random.default_rng(0)
    >>> A1, A2 = rng.standard_normal((300, 5)), rng.standard_normal((200, 7))
    >>> X = rng.standard_normal((5, 7))
    >>> B = A1 @ X @ A2.T
    >>> result = nearlin.lstsq_kron([A1, A2], B)
    >>> np.allclose(result.tensor, X)
    True
    >>> result.rank, result.x.shape, result.certificate.met
    (35, (35,), True)
    """
    matrices = as_factors(factors)
    folded, count = as_folded(B, [matrix.shape[0] for matrix in matrices])
    dims = tuple(int(matrix.shape[1]) for matrix in matrices)
    dtype = np.result_type(folded.dtype, *(matrix.dtype for matrix in matrices))
    target = float(np.finfo(dtype).eps / 2 if tol is None else check_real(tol, "tol", above=0.0))
    method = check_choice(method, "method", METHODS)
    if method == "exact" and sketch_size is not None:
        raise InvalidInputError("is given, expected None unless method='sketch'", argument="sketch_size")
    solution = _core.lstsq_kron(
        matrices,
        folded,
        count=1 if count is None else count,
        ridge=check_real(ridge, "ridge", at_least=0.0),
        method=method,
        sketch_size=optional(check_int, sketch_size, "sketch_size", at_least=1),
        rcond=optional(check_real, rcond, "rcond", at_least=0.0, below=1.0),
        tol=target,
        single=dtype == np.float32,
        seed=as_seed(rng) if method == "sketch" else 0,
        threads=resolve_threads(n_jobs),
        progress=resolve_progress(progress),
    )
    return LstsqKronResult(
        x=solution["x"][:, 0] if count is None else solution["x"],
        residual_norm=float(solution["residual_norm"][0]) if count is None else solution["residual_norm"],
        rank=solution["rank"],
        method=method,
        n_iter=solution["n_iter"],
        sketch_size=solution["sketch_size"],
        certificate=Certificate(
            quantity="backward error / |A|_F" + " of the truncated problem" * (solution["cut"] > 0.0),
            estimate=float(np.max(solution["backward_error"])),
            bound=float(np.max(solution["backward_error_bound"])),
            confidence=1.0,
            measured=(
                f"Karlson-Walden estimate, columns of A {'as they are' if ridge else 'scaled to norm one'}, "
                "with singular values of the factors and the residual of the returned x"
            ),
            target=target if method == "exact" else None,
            floor=float(solution["floor"]) if method == "exact" else 0.0,
            note=truncation(solution["rank"], solution["cut"]) if solution["cut"] > 0.0 else None,
            details={
                "backward_error": solution["backward_error"].tolist(),
                "backward_error_bound": solution["backward_error_bound"].tolist(),
                "condition": float(solution["condition"]),
                **({"cut": float(solution["cut"])} if solution["cut"] > 0.0 else {}),
            },
        ),
        dims=dims,
    )
