"""A truncated singular value decomposition that follows its matrix as it grows and changes."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils import Tags

from nearlin import _core
from nearlin._config import Progress, resolve_progress, resolve_threads
from nearlin._estimator import named_for_estimators, samples
from nearlin._frames import is_frame, string_names
from nearlin._log import tell
from nearlin._stream import in_turn
from nearlin._validation import Float, Matrix, is_blocks
from nearlin._warn import warn
from nearlin.exceptions import AccuracyWarning, InvalidInputError

from ._answers import Answers
from ._appends import Appends
from ._bytes import Bytes
from ._changes import Changes
from ._model import is_share
from ._svds import LEAST_RESIDUAL, MOST_BLOCKS, TOLERANCES

__all__ = ["TruncatedSVD"]


class TruncatedSVD(Bytes, Appends, Changes, Answers):
    r"""Truncated SVD of a matrix that goes on growing and changing, sparse or dense.

    What :class:`sklearn.decomposition.TruncatedSVD` does, and what comes after: rows, columns and entries
    that are added, changed and deleted, each in time that depends on what it touches and not on the size of
    the matrix [1]_.

    Parameters
    ----------
    n_components : int or float, default=2
        Number of triplets that are shown, or a share of :math:`\|X\|_F^2` in (0, 1): as many triplets as
        capture it when the model is fitted.
    oversample : int or "auto", default="auto"
        Triplets that are kept beside these: what an update cuts off is lost for the later ones, so that a few
        more make errors several times smaller. By default half of the components, and 16 at least.
    method : {"auto", "gram", "qr", "krylov", ...}, default="auto"
        How updates find the largest singular values of the model and what comes to it. These are exact to
        rounding:

        - ``"gram"``: eigenvectors of a Gram matrix, the fastest. Where the singular values that are kept
          spread over more than a factor of 200 it would lose digits, and gives way to ``"qr"``.
        - ``"qr"``: an SVD in the coordinates of what an update touches, for any spectrum.
        - ``"krylov"``: Lanczos in these coordinates, for batches of many rows.
        - ``"auto"``: ``"gram"``, or ``"krylov"`` where the cube of triplets and rows is more than twenty
          times the square of the triplets times the rows and columns of the batch: for more than 250 to 800
          rows.

        Others are there to compare with; they append rows and columns, and do all else as ``"qr"`` does:

        - ``"lcov"``, ``"lcov-gkl"``, ``"lcov-rpi"`` [1]_: what comes, as sparse vectors less combinations
          of singular vectors, made orthonormal by Gram and Schmidt, or compressed to 10 directions by Lanczos
          or by the power method.
        - ``"zha-simon"`` [2]_, ``"vecharynski-saad"`` [4]_, ``"yamazaki"`` [5]_: the same three with vectors
          as long as the matrix, in time of its size.

        What is compressed is lost, and the certificate is that of mixed updates.
    solver : {"auto", "lanczos", "randomized"}, default="auto"
        How :meth:`fit` finds the first triplets; see :func:`nearlin.svds`.
    center : bool, default=False
        Principal components: of the rows about their mean, which is never subtracted from a sparse matrix.
        The mean takes one triplet more. What is small beside it loses digits: variances are accurate to
        :math:`10^{-16} \|mean\|^2` about.
    tol : float, optional
        Largest residual :math:`\max(\|X v - s u\|, \|X^T u - s v\|) / s_1` that :meth:`fit` accepts; by
        default 1e-10, or 1e-5 in single precision.
    robust : {None, "fd"}, default=None
        ``"fd"``: Frequent Directions [3]_. The squares of all singular values shrink by that of the next one
        when rows or columns are appended, and by :meth:`fit`. For rows, :math:`0 \le X^T X - M^T M \le
        \|X - X_j\|_F^2 / (k - j)` for every j below the k triplets that are kept, whatever comes in what
        order; singular values are too small for it, and :math:`U S V^T` is farther from X.
    track : {"ledger", "probe"}, default="ledger"
        What ``certificate_`` knows the error from: sums of what updates cut off, or, for ``"probe"``, beside
        them the matrix times 8 random vectors: 8 numbers a row and one a column, and an unbiased estimate of
        the squared error after changes of any kind, which is told where these sums do not know it exactly. It
        is lost when a column is deleted without its values, and when models are merged whose random vectors
        are not the same: they are for one integer `random_state` and columns that came in the same order.
    random_state : None, int or numpy.random.RandomState, optional
        Of the first vectors of :meth:`fit`, and of those of the probe.
    n_jobs : int, optional
        Number of threads. None means the setting of :func:`nearlin.set_config`. It never changes a bit.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Right singular vectors, or principal components.
    singular_values_ : ndarray of shape (n_components,)
        The largest first.
    explained_variance_ : ndarray of shape (n_components,)
        Variance of the rows along each component.
    explained_variance_ratio_ : ndarray of shape (n_components,)
        The same as shares of the variance of all features.
    mean_ : ndarray of shape (n_features,)
        Mean of the rows.
    noise_variance_ : float
        Of probabilistic principal components: the mean of what the components leave, over the other features.
    n_components_ : int
        Triplets that there are.
    n_features_in_, n_samples_seen_ : int
        Columns and rows of the matrix so far.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, of frames whose columns all have strings for names.
    certificate_ : Certificate
        What the model leaves of the matrix: :math:`\|X - U S V^T\|_F / \|X\|_F`; with ``center=True``,
        too, of the matrix as it is and not of the rows less their mean, as are
        :meth:`left_singular_vectors` and :meth:`score_pairs`.
    energy_ : float or None
        :math:`\|X\|_F^2`; None once something changed whose old value is not known.
    orthogonality_error_ : float
        The largest entry of :math:`U^T U - I` and :math:`V^T V - I`, known without a look at either.
    spectrum_ratio_ : float
        The largest singular value that is kept, over the smallest.
    n_repairs_, n_fallbacks_ : int
        How often both sides were made orthonormal again, and how often ``"gram"`` gave way to ``"qr"``.
    state_bytes_ : int
        Memory that the model takes.
    n_iter_ : int
        Blocks of vectors that :meth:`fit` multiplied the matrix with.
    solver_ : str
        "lanczos", "randomized", or "direct" for a matrix so small that all of it was decomposed.

    See Also
    --------
    nearlin.svds : The triplets of a matrix that stays as it is.

    Notes
    -----
    An update is the best approximation of the rank that is kept to the former model with the change [2]_.
    Both sides are rotated when they are read; a batch of s rows with t columns between them costs
    :math:`O((k + s)^3 + t k^2)`, whatever the size of the matrix. A failed update, or one that is
    interrupted, leaves the model as it was. `n_components`, `oversample`, `center`, `robust` and `track`
    stay what the model was made with: where another value has been set, updates refuse, and :meth:`fit` takes
    it.

    References
    ----------
    .. [1] H. Deng, Y. Yang, J. Li, C. Chen, W. Jiang, S. Pu, "Fast updating truncated SVD for representation
           learning with sparse matrices", ICLR 2024.
    .. [2] H. Zha, H. Simon, "On updating problems in latent semantic indexing", SIAM J. Sci. Comput. 21
           (1999).
    .. [3] M. Ghashami, E. Liberty, J. M. Phillips, D. P. Woodruff, "Frequent directions: simple and
           deterministic matrix sketching", SIAM J. Comput. 45 (2016).
    .. [4] E. Vecharynski, Y. Saad, "Fast updating algorithms for latent semantic indexing", SIAM J. Matrix
           Anal. Appl. 35 (2014).
    .. [5] I. Yamazaki, J. Kurzak, P. Luszczek, J. Dongarra, "Randomized algorithms to update partial singular
           value decomposition on a hybrid CPU/GPU cluster", SC 2015.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> import nearlin
    >>> X = sp.random_array((3000, 500), density=0.01, rng=0, format="csr")
    >>> svd = nearlin.TruncatedSVD(5, random_state=0).fit(X[:2000])
    >>> svd.partial_fit(X[2000:]).n_samples_seen_
    3000
    >>> svd.transform(X[:2]).shape
    (2, 5)
    """

    def __init__(
        self,
        n_components: int | float = 2,
        *,
        oversample: int | str = "auto",
        method: str = "auto",
        solver: str = "auto",
        center: bool = False,
        tol: float | None = None,
        robust: str | None = None,
        track: str = "ledger",
        random_state: object = None,
        n_jobs: int | None = None,
    ) -> None:
        self.n_components = n_components
        self.oversample = oversample
        self.method = method
        self.solver = solver
        self.center = center
        self.tol = tol
        self.robust = robust
        self.track = track
        self.random_state = random_state
        self.n_jobs = n_jobs

    @in_turn
    def fit(self, X: object, y: object = None, *, progress: bool | Progress = False) -> Self:
        """Decompose a matrix.

        Parameters
        ----------
        X : array_like, sparse matrix, frame or RowBlocks of shape (n_samples, n_features)
            Never made dense, and never copied where it is float32 or float64 already. Rows in blocks, of
            :func:`nearlin.data.blocks`, are read once, as :meth:`partial_fit` does: how far that is from the
            best triplets ``certificate_`` says, and `tol`, `solver` and `progress` have no part in it.
        y : ignored
            For pipelines.
        progress : bool or callable, default=False
            True shows a bar, a callable is called with (blocks done, most, figures).

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        InvalidInputError
            If there are fewer features than components, or an entry is not finite.

        Warns
        -----
        AccuracyWarning
            If a residual is above `tol` in the end.
        """
        self._check_parameters()
        if is_blocks(X):
            return self._fit_blocks(X, progress)
        matrix = samples(self, X, reset=None)
        names = string_names(X) if is_frame(X) else None
        d = matrix.shape[1]
        wanted = self.n_components
        if is_share(wanted):
            return self._fit_share(matrix, float(wanted), names, progress)
        if wanted > d:
            raise InvalidInputError(
                f"is {wanted}, expected at most n_features = {d}", argument="n_components"
            )
        k = int(wanted)
        self._adopt(*self._factors(matrix, k, self._kept(k), names, progress), k, names)
        return self

    def _fit_blocks(self, rows: Any, progress: bool | Progress) -> Self:
        """Take in rows in blocks from nothing."""
        wanted = self.n_components
        if not is_share(wanted) and wanted > rows.n_features:
            raise InvalidInputError(
                f"is {wanted}, expected at most n_features = {rows.n_features}", argument="n_components"
            )
        for name, given, plain in (("tol", self.tol, None), ("solver", self.solver, "auto")):
            if given != plain:
                raise InvalidInputError(
                    f"is {given!r}, expected {plain!r} for rows in blocks, which are read once: the "
                    "certificate says how exact that is, and more triplets make the first ones more exact",
                    argument=name,
                )
        if progress is not False:
            raise InvalidInputError(
                "is given beside rows in blocks, expected False: their with_progress() tells it",
                argument="progress",
            )
        self.__dict__.update(type(self)(**self.get_params(deep=False)).partial_fit(rows).__dict__)
        return self

    def fit_transform(self, X: object, y: object = None) -> Float:
        """Decompose a matrix and project its rows.

        Parameters
        ----------
        X : array_like, sparse matrix or frame of shape (n_samples, n_features)
            The matrix.
        y : ignored
            For pipelines.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            As :meth:`transform` gives it.
        """
        return self.fit(X).transform(X)

    def _factors(
        self, matrix: Matrix, k: int, most: int, names: list[str] | None, progress: bool | Progress
    ) -> tuple[Any, dict[str, Any]]:
        n, d = matrix.shape
        tolerance = TOLERANCES[np.dtype(matrix.dtype)] if self.tol is None else self.tol
        seed = self._seed()
        with named_for_estimators(names):
            state, fit = _core.TruncatedSVDState.fit(
                matrix,
                min(most - self.center, n, d),
                exact=k,
                most=most,
                center=self.center,
                solver=self.solver,
                tol=max(tolerance, LEAST_RESIDUAL),
                max_iter=MOST_BLOCKS,
                seed=seed,
                **self._policy(seed),
                threads=resolve_threads(self.n_jobs, n * d * most),
                progress=resolve_progress(progress),
            )
        values = state.values
        largest = float(np.max(fit["residuals"][:k], initial=0.0))
        relative = largest / values[0] if len(values) else largest
        tell(
            "TruncatedSVD",
            lambda: (
                f"{n} x {d}, solver={self.solver!r}: {fit['solver']} after {fit['n_iter']} blocks of "
                f"products, residuals {relative:.1e} s_1"
            ),
        )
        if not relative <= max(tolerance, LEAST_RESIDUAL):
            warn(f"residuals are {relative:.1e} s_1, not {tolerance:.1e}", AccuracyWarning)
        return state, {"n_iter": fit["n_iter"], "solver": fit["solver"], "residual": relative}

    def _fit_share(
        self, matrix: Matrix, share: float, names: list[str] | None, progress: bool | Progress
    ) -> Self:
        """Fit as many triplets as capture a share of the energy, and keep the usual number beside them."""
        most = min(matrix.shape)
        k = min(16, most)
        while True:
            state, fit = self._factors(matrix, k, self._kept(k), names, progress)
            captured = np.cumsum(state.values**2)
            energy = state.figures["energy"]
            if energy is None:
                raise InvalidInputError(
                    "is a share of the squares of all entries, which are out of range, expected a number of "
                    "triplets",
                    argument="n_components",
                )
            enough = int(np.searchsorted(captured, share * energy)) + 1
            if enough <= len(captured) or k == most:
                break
            k = min(2 * k, most)
        k = max(1, min(enough, len(captured)))
        if state.figures["most"] > self._kept(k):
            state.truncate(self._kept(k), threads=1)
        self._adopt(state, fit, k, names)
        return self

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
