"""A truncated singular value decomposition that follows its matrix as it grows and changes."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from nearlin import _core
from nearlin._certificate import Certificate
from nearlin._config import Progress, resolve_progress, resolve_threads
from nearlin._estimator import in_our_words, named_for_estimators, samples
from nearlin._frames import is_frame, string_names
from nearlin._sparse import is_sparse
from nearlin._stream import Saved
from nearlin._validation import (
    Float,
    Matrix,
    as_array,
    as_matrix,
    as_seed,
    as_vector,
    check_bool,
    check_choice,
    check_finite,
    check_int,
    check_real,
    optional,
)
from nearlin._warn import warn
from nearlin.exceptions import (
    AccuracyWarning,
    FallbackWarning,
    InvalidInputError,
    InvalidTypeError,
    ShapeError,
    StateError,
)

from ._certificate import certificate_of, with_probe
from ._svds import LEAST_RESIDUAL, MOST_BLOCKS, TOLERANCES

__all__ = ["TruncatedSVD"]

METHODS = (
    "auto",
    "gram",
    "qr",
    "krylov",
    "lcov",
    "lcov-gkl",
    "lcov-rpi",
    "zha-simon",
    "vecharynski-saad",
    "yamazaki",
)


class TruncatedSVD(Saved, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
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
    interrupted, leaves the model as it was.

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

    # ---------------------------------------------------------------- the first factors

    def fit(self, X: object, y: object = None, *, progress: bool | Progress = False) -> Self:
        """Decompose a matrix.

        Parameters
        ----------
        X : array_like, sparse matrix or frame of shape (n_samples, n_features)
            Never made dense, and never copied where it is float32 or float64 already.
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
        matrix = samples(self, X, reset=True)
        d = matrix.shape[1]
        wanted = self.n_components
        if is_share(wanted):
            return self._fit_share(matrix, float(wanted), progress)
        if wanted > d:
            raise InvalidInputError(
                f"is {wanted}, expected at most n_features = {d}", argument="n_components"
            )
        self._adopt(*self._factors(matrix, int(wanted), self._kept(int(wanted)), progress), int(wanted))
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
        self, matrix: Matrix, k: int, most: int, progress: bool | Progress
    ) -> tuple[Any, dict[str, Any]]:
        n, d = matrix.shape
        tolerance = TOLERANCES[np.dtype(matrix.dtype)] if self.tol is None else self.tol
        seed = self._seed()
        with named_for_estimators(getattr(self, "feature_names_in_", None)):
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
        if not relative <= max(tolerance, LEAST_RESIDUAL):
            warn(f"residuals are {relative:.1e} s_1, not {tolerance:.1e}", AccuracyWarning)
        return state, {"n_iter": fit["n_iter"], "solver": fit["solver"], "residual": relative}

    def _fit_share(self, matrix: Matrix, share: float, progress: bool | Progress) -> Self:
        """Fit as many triplets as capture a share of the energy, and keep the usual number beside them."""
        most = min(matrix.shape)
        k = min(16, most)
        while True:
            state, fit = self._factors(matrix, k, self._kept(k), progress)
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
        self._adopt(state, fit, k)
        return self

    def _adopt(self, state: Any, fit: dict[str, Any], k: int) -> None:
        self._state, self._fit, self._k, self._centred = state, fit, k, bool(self.center)
        self._cache: dict[str, Any] = {}
        self.n_features_in_ = state.shape[1]

    def _kept(self, k: int) -> int:
        """Return how many triplets are kept for `k` that are shown."""
        beside = max(16, -(-k // 2)) if self.oversample == "auto" else self.oversample
        # The mean takes a triplet.
        return k + int(beside) + bool(self.center)

    def _seed(self) -> int:
        return as_seed(self.random_state, "random_state", default=np.random.bytes)

    def _policy(self, seed: int) -> dict[str, Any]:
        """Return what a state does beside following its matrix."""
        return {"probe": seed if self.track == "probe" else None, "robust": self.robust == "fd"}

    def _check_parameters(self) -> None:
        if is_share(self.n_components):
            check_real(self.n_components, "n_components", above=0.0, below=1.0)
        else:
            check_int(self.n_components, "n_components", at_least=1)
        if self.oversample != "auto":
            check_int(self.oversample, "oversample", at_least=0)
        check_choice(self.method, "method", METHODS)
        check_choice(self.solver, "solver", ("auto", "lanczos", "randomized"))
        check_bool(self.center, "center")
        if self.robust is not None:
            check_choice(self.robust, "robust", ("fd",))
        check_choice(self.track, "track", ("ledger", "probe"))
        optional(check_real, self.tol, "tol", at_least=0.0)

    # ---------------------------------------------------------------- what comes after

    def partial_fit(self, X: object, y: object = None) -> Self:
        """Append rows; the first ones if there are none.

        Parameters
        ----------
        X : array_like, sparse matrix or frame of shape (rows, n_features)
            Rows, of as many features as there are, or more: new features come behind the known ones, and the
            rows so far have zeros there.
        y : ignored
            For pipelines.

        Returns
        -------
        self
            The estimator, changed whole or, after an error or Ctrl-C, not at all.

        Raises
        ------
        ShapeError
            If there are fewer features than before.
        """
        fitted = self.__sklearn_is_fitted__()
        if not fitted:
            self._check_parameters()
        matrix = samples(self, X, reset=None)
        names = self._names_with(X)
        if fitted:
            self._check_width(matrix, or_wider=True)
        if not fitted:
            if not isinstance(self.n_components, int | np.integer):
                raise InvalidInputError(
                    f"is {self.n_components}, expected a number of triplets to start from nothing: fit first",
                    argument="n_components",
                )
            k = int(self.n_components)
            policy = self._policy(self._seed() if self.track == "probe" else 0)
            state = _core.TruncatedSVDState(self._kept(k), single=matrix.dtype == np.float32, **policy)
            self._append(state, matrix, "rows", names)
            self._adopt(state, {"n_iter": 0, "solver": "updates", "residual": math.nan}, k)
        else:
            self._append(self._state, matrix, "rows", names)
        if names is not None:
            self.feature_names_in_ = np.array(names, dtype=object)
        return self

    def _check_width(self, matrix: Matrix, *, or_wider: bool = False) -> None:
        found, expected = matrix.shape[1], self.n_features_in_
        if found < expected or (found > expected and not or_wider):
            raise ShapeError(
                f"X has {found} features, but {type(self).__name__} is expecting {expected} features as input"
            )

    def append_rows(self, X: object) -> Self:
        """Append rows, as :meth:`partial_fit` does without scikit-learn's validation: for one row at a time.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (rows, n_features)
            Rows, of as many features as there are, or more.

        Returns
        -------
        self
            The estimator.
        """
        if not self.__sklearn_is_fitted__() or hasattr(self, "feature_names_in_"):
            return self.partial_fit(X)
        matrix = as_matrix(X, "X", allow_empty=True)
        self._check_width(matrix, or_wider=True)
        self._append(self._state, matrix, "rows", None)
        return self

    def append_columns(self, F: object) -> Self:
        """Append features.

        Parameters
        ----------
        F : array_like, sparse matrix or frame of shape (n_samples_seen_, columns)
            What the rows so far have in the new columns.

        Returns
        -------
        self
            The estimator.
        """
        check_is_fitted(self)
        with in_our_words("F"):
            matrix = as_matrix(F, "F", allow_empty=True)
        named = string_names(F) if is_frame(F) else None
        known = getattr(self, "feature_names_in_", None)
        if (known is None) != (named is None) and matrix.shape[1] > 0:
            found, wanted = ("without", "with") if named is None else ("with", "without")
            raise InvalidInputError(
                f"has columns {found} names, expected a matrix {wanted}, as those before", argument="F"
            )
        if known is not None and named is not None and {*known} & {*named}:
            raise InvalidInputError(
                f"has a column named {next(name for name in named if name in known)!r}, which there is",
                argument="F",
            )
        try:
            self._append(self._state, matrix, "columns", None)
        except InvalidInputError as error:
            error.argument = "F" if error.argument == "X" else error.argument
            raise
        if known is not None and named is not None:
            self.feature_names_in_ = np.array([*known, *named], dtype=object)
        return self

    def _append(self, state: Any, matrix: Matrix, end: str, names: Sequence[str] | None) -> None:
        m, n = state.shape
        if matrix.shape == ((0, n) if end == "rows" else (m, 0)):
            return
        with named_for_estimators(names):
            fell_back = state.append(
                matrix, end=end, method=self.method, threads=resolve_threads(self.n_jobs)
            )
        if fell_back and not getattr(self, "_warned", False):
            self._warned = True
            warn(
                "the singular values that are kept spread over a factor of 200 and more: as long as they do, "
                'updates are made by "qr", which is slower',
                FallbackWarning,
            )
        self._changed(state)

    def _changed(self, state: Any) -> None:
        """Forget what was read of the state before."""
        self._cache = {}
        self._fit = {**self._fit, "residual": math.nan} if hasattr(self, "_fit") else {}
        self.n_features_in_ = state.shape[1]

    def _names_with(self, X: object) -> list[str] | None:
        """Return the names of the features once `X` is in: first those that are known."""
        named = string_names(X) if is_frame(X) else None
        known = getattr(self, "feature_names_in_", None)
        if known is not None and named is None and is_frame(X):
            named = [str(name) for name in X.columns]  # type: ignore[attr-defined]
        if known is None or named is None:
            return named if not self.__sklearn_is_fitted__() else None
        if list(named[: len(known)]) != list(known) and len(named) >= len(known):
            raise InvalidInputError(
                "The feature names should match those that were passed during fit: first the known ones, in "
                "their order, then new ones",
            )
        missing = [name for name in known if name not in named]
        if missing:
            raise InvalidInputError(
                "The feature names should match those that were passed during fit: "
                f"feature names seen at fit time, yet now missing: {missing[:5]}"
            )
        return list(named)

    def update(self, D: object, E: object) -> Self:
        """Add D E^T to the matrix.

        Parameters
        ----------
        D : array_like or sparse matrix of shape (n_samples_seen_, s)
            Left factor.
        E : array_like or sparse matrix of shape (n_features_in_, s)
            Right factor.

        Returns
        -------
        self
            The estimator.

        Notes
        -----
        What that adds to the squares of all entries is not known, so that ``energy_`` is None afterwards.
        """
        check_is_fitted(self)
        left, right = as_matrix(D, "D", allow_empty=True), as_matrix(E, "E", allow_empty=True)
        for matrix, name, rows in ((left, "D", self.n_samples_seen_), (right, "E", self.n_features_in_)):
            if matrix.shape[0] != rows:
                raise ShapeError(f"has shape {matrix.shape}, expected {rows} rows", argument=name)
        if left.shape[1] != right.shape[1]:
            raise ShapeError(
                f"has {right.shape[1]} columns, expected {left.shape[1]}, as D has", argument="E"
            )
        for matrix, name in ((left, "D"), (right, "E")):
            check_finite(matrix.data if is_sparse(matrix) else matrix, name)
        if left.shape[1]:
            self._state.add_product(left, right, threads=resolve_threads(self.n_jobs))
            self._changed(self._state)
        return self

    def add_entries(self, rows: object, cols: object, deltas: object) -> Self:
        """Add to single entries.

        Parameters
        ----------
        rows, cols : array_like of int of shape (count,)
            Where they are; what is added in the same place twice is added up.
        deltas : array_like of shape (count,)
            What is added.

        Returns
        -------
        self
            The estimator.

        Notes
        -----
        As the old values are not told, ``energy_`` is None afterwards. :meth:`set_entries` keeps it.
        """
        check_is_fitted(self)
        return self._add(rows, cols, self._numbers(deltas, "deltas"), None)

    def set_entries(self, rows: object, cols: object, new: object, old: object) -> Self:
        """Replace single entries.

        Parameters
        ----------
        rows, cols : array_like of int of shape (count,)
            Where they are, no place twice.
        new : array_like of shape (count,)
            What is there from now on.
        old : array_like of shape (count,)
            What was there: the model only knows about it.

        Returns
        -------
        self
            The estimator.
        """
        check_is_fitted(self)
        first, second = self._numbers(new, "new"), self._numbers(old, "old")
        if len(first) != len(second):
            raise ShapeError(f"has length {len(second)}, expected {len(first)}, as `new`", argument="old")
        places = np.stack([self._ids(rows, "rows"), self._ids(cols, "cols")])
        if len(np.unique(places, axis=1).T) != places.shape[1]:
            raise InvalidInputError("has a place twice, expected each once", argument="rows")
        return self._add(rows, cols, first - second, float(first @ first - second @ second))

    def _add(self, rows: object, cols: object, deltas: npt.NDArray[np.float64], energy: float | None) -> Self:
        places = [self._ids(rows, "rows"), self._ids(cols, "cols")]
        if len(places[0]) != len(places[1]):
            raise ShapeError(f"has length {len(places[1])}, expected {len(places[0])}", argument="cols")
        if len(deltas) != len(places[0]):
            raise ShapeError(f"has length {len(deltas)}, expected {len(places[0])}", argument="deltas")
        if len(deltas):
            self._state.add_entries(*places, deltas, energy=energy, threads=resolve_threads(self.n_jobs))
            self._changed(self._state)
        return self

    def delete_rows(self, ids: object, values: object = None) -> Self:
        """Delete rows; those behind them move up, as in :func:`numpy.delete`.

        Parameters
        ----------
        ids : array_like of int of shape (count,)
            Positions, no row twice.
        values : array_like or sparse matrix of shape (count, n_features_in_), optional
            What these rows are. Without them ``energy_`` and the mean are not known afterwards; with
            ``center=True`` they are needed.

        Returns
        -------
        self
            The estimator.
        """
        check_is_fitted(self)
        return self._delete(self._ids(ids, "ids"), "rows", values)

    def delete_columns(self, ids: object, values: object = None) -> Self:
        """Delete features; those behind them move up, as in :func:`numpy.delete`.

        Parameters
        ----------
        ids : array_like of int of shape (count,)
            Positions, no column twice.
        values : array_like or sparse matrix of shape (n_samples_seen_, count), optional
            What these columns are. Without them ``energy_`` is not known afterwards; with ``center=True``
            they are needed.

        Returns
        -------
        self
            The estimator.
        """
        check_is_fitted(self)
        positions = self._ids(ids, "ids")
        self._delete(positions, "columns", values)
        if hasattr(self, "feature_names_in_"):
            self.feature_names_in_ = np.delete(self.feature_names_in_, positions)
        return self

    def _delete(self, ids: npt.NDArray[np.int64], end: str, values: object) -> Self:
        known = self._values(values, len(ids), end)
        if len(ids):
            self._state.delete(ids, end=end, values=known, threads=resolve_threads(self.n_jobs))
            self._changed(self._state)
        return self

    def _values(self, values: object, count: int, end: str) -> Matrix | None:
        if values is None:
            if self._centred:
                raise InvalidInputError(
                    "is None, expected what is deleted: center=True needs the mean", argument="values"
                )
            return None
        if end == "rows":
            self._names_with(values)
        matrix = as_matrix(values, "values", allow_empty=True)
        m, n = self._state.shape
        shape = (count, n) if end == "rows" else (m, count)
        if matrix.shape != shape:
            raise ShapeError(f"has shape {matrix.shape}, expected {shape}", argument="values")
        check_finite(matrix.data if is_sparse(matrix) else matrix, "values")
        return matrix

    def slide(self, X: object, values: object = None) -> Self:
        """Append rows, and delete as many of the oldest ones.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (rows, n_features)
            New rows, no more than there are old ones.
        values : array_like or sparse matrix of shape (rows, n_features), optional
            What the oldest rows are; see :meth:`delete_rows`.

        Returns
        -------
        self
            The estimator, changed whole or not at all.
        """
        check_is_fitted(self)
        self._names_with(X)
        matrix = as_matrix(X, "X", allow_empty=True)
        self._check_width(matrix, or_wider=True)
        if matrix.shape[0] > self.n_samples_seen_:
            raise ShapeError(
                f"has {matrix.shape[0]} rows, expected at most the {self.n_samples_seen_} that there are",
                argument="X",
            )
        known = None
        if values is not None or self._centred:
            known = self._values(values, matrix.shape[0], "rows")
        if matrix.shape == (0, self.n_features_in_):
            return self
        with named_for_estimators(getattr(self, "feature_names_in_", None)):
            self._state.slide(matrix, method=self.method, values=known, threads=resolve_threads(self.n_jobs))
        self._changed(self._state)
        return self

    def decay(self, factor: float) -> Self:
        """Multiply the matrix so far by a number: old rows count less and less.

        Parameters
        ----------
        factor : float
            In (0, 1].

        Returns
        -------
        self
            The estimator.
        """
        check_is_fitted(self)
        gamma = check_real(factor, "factor", above=0.0, at_most=1.0)
        self._state.decay(gamma, threads=1)
        self._changed(self._state)
        return self

    def truncate(self, k: int) -> Self:
        """Show no more than `k` triplets from now on, and keep as many fewer beside them.

        Parameters
        ----------
        k : int
            From 1 to the components that there are.

        Returns
        -------
        self
            The estimator.
        """
        check_is_fitted(self)
        k = check_int(k, "k", at_least=1, at_most=self._k)
        kept = self._kept(k)
        if kept < self._state.figures["most"]:
            self._state.truncate(kept, threads=resolve_threads(self.n_jobs))
        self._k = k
        self._changed(self._state)
        return self

    def refresh(self, A: object, passes: int = 1, *, progress: bool | Progress = False) -> Self:
        """Come closer to the matrix, where it is at hand: subspace iteration from the model.

        Parameters
        ----------
        A : array_like or sparse matrix of shape (n_samples_seen_, n_features_in_)
            All of the matrix.
        passes : int, default=1
            Products with it and its transpose, each with as many vectors as triplets are kept.
        progress : bool or callable, default=False
            True shows a bar, a callable is called with (passes done, passes, figures).

        Returns
        -------
        self
            The estimator.
        """
        check_is_fitted(self)
        self._names_with(A)
        matrix = as_matrix(A, "A")
        passes = check_int(passes, "passes", at_least=1)
        self._state.refresh(
            matrix,
            passes=passes,
            threads=resolve_threads(self.n_jobs),
            progress=resolve_progress(progress),
        )
        self._changed(self._state)
        return self

    def merge(self, other: Self, *, n_jobs: int | None = None) -> Self:
        """Put the rows of another model below those of this one.

        Parameters
        ----------
        other : TruncatedSVD
            A fitted one, of as many features; it stays as it is.
        n_jobs : int, optional
            Number of threads; by default that of the estimator.

        Returns
        -------
        self
            The estimator.
        """
        check_is_fitted(self)
        if not isinstance(other, type(self)):
            found, expected = type(other).__name__, type(self).__name__
            raise InvalidTypeError(f"is of type {found}, expected {expected}", argument="other")
        check_is_fitted(other)
        if other is self:
            raise InvalidInputError("is this very model, expected another one", argument="other")
        ours, theirs = (getattr(svd, "feature_names_in_", None) for svd in (self, other))
        if ours is not None and theirs is not None and list(ours) != list(theirs):
            raise InvalidInputError("has features of other names, expected the same", argument="other")
        threads = resolve_threads(self.n_jobs if n_jobs is None else n_jobs)
        self._state.merge(other._state, threads=threads)
        self._changed(self._state)
        return self

    # ---------------------------------------------------------------- what the model says

    def transform(self, X: object) -> Float:
        """Project rows onto the components.

        Parameters
        ----------
        X : array_like, sparse matrix or frame of shape (rows, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (rows, n_components)
            Their coordinates; with ``center=True``, those of the rows less the mean.
        """
        check_is_fitted(self)
        matrix = samples(self, X, reset=None)
        self._check_width(matrix)
        with in_our_words("X"):
            named = X if is_frame(X) else matrix
            validate_data(self, named, "no_validation", reset=False, skip_check_array=True)
        with named_for_estimators(getattr(self, "feature_names_in_", None)):
            if self._centred:
                components = self.components_
                check_finite(matrix.data if is_sparse(matrix) else matrix, "A")
                shift = self.mean_ @ components.T
                projected: Float = np.asarray(matrix @ components.T - shift).astype(matrix.dtype, copy=False)
                return projected
            return np.ascontiguousarray(
                self._state.transform(matrix, self._k, threads=resolve_threads(self.n_jobs)).T,
                dtype=matrix.dtype,
            )

    def inverse_transform(self, X: object) -> Float:
        """Return the rows that have these coordinates.

        Parameters
        ----------
        X : array_like of shape (rows, n_components)
            Coordinates.

        Returns
        -------
        ndarray of shape (rows, n_features)
            Dense rows.
        """
        check_is_fitted(self)
        with in_our_words("X"):
            coordinates = as_matrix(X, "X", accept_sparse=False, allow_empty=True)
        if coordinates.shape[1] != self.n_components_:
            raise ShapeError(
                f"has {coordinates.shape[1]} columns, expected {self.n_components_}", argument="X"
            )
        rows: Float = coordinates @ self.components_
        return rows + self.mean_ if self._centred else rows

    def left_singular_vectors(self, rows: object = None) -> Float:
        """Return left singular vectors: all rows of them, or a few.

        Parameters
        ----------
        rows : array_like of int of shape (count,), optional
            Positions.

        Returns
        -------
        ndarray of shape (n_samples_seen_, n_components) or (count, n_components)
            The rows.
        """
        check_is_fitted(self)
        ids = None if rows is None else self._ids(rows, "rows")
        vectors: Float = self._state.vectors(
            self._k, end="rows", ids=ids, threads=resolve_threads(self.n_jobs)
        )
        return vectors

    def score_pairs(self, rows: object, cols: object) -> npt.NDArray[np.float64]:
        """Return entries of the model :math:`U S V^T`.

        Parameters
        ----------
        rows, cols : array_like of int of shape (count,)
            Where they are.

        Returns
        -------
        ndarray of shape (count,)
            The entries, in time of their number.
        """
        check_is_fitted(self)
        places = [self._ids(rows, "rows"), self._ids(cols, "cols")]
        if len(places[0]) != len(places[1]):
            raise ShapeError(f"has length {len(places[1])}, expected {len(places[0])}", argument="cols")
        scores: npt.NDArray[np.float64] = self._state.scores(
            *places, self._k, threads=resolve_threads(self.n_jobs)
        )
        return scores

    def _read(self, name: str, read: Any) -> Any:
        """Return what was read of the state as it is, reading it if it was not."""
        check_is_fitted(self)
        if name not in self._cache:
            found = read()
            for array in found if isinstance(found, tuple) else (found,):
                if isinstance(array, np.ndarray):
                    array.flags.writeable = False  # what is changed here would not change the model
            self._cache[name] = found
        return self._cache[name]

    @property
    def _figures(self) -> dict[str, Any]:
        figures: dict[str, Any] = self._read("figures", lambda: self._state.figures)
        return figures

    @property
    def _values_kept(self) -> npt.NDArray[np.float64]:
        values: npt.NDArray[np.float64] = self._read("values", lambda: self._state.values)
        return values

    @property
    def _dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float32 if self._state.single else np.float64)

    @property
    def n_components_(self) -> int:
        """Triplets that there are."""
        check_is_fitted(self)
        return len(self.singular_values_)

    @property
    def n_samples_seen_(self) -> int:
        """Rows of the matrix so far."""
        check_is_fitted(self)
        rows: int = self._state.shape[0]
        return rows

    @property
    def components_(self) -> Float:
        """Right singular vectors, or principal components, one a row."""

        def read() -> Float:
            if self._centred:
                components: Float = self._principal[0].T
                return components
            vectors = self._state.vectors(
                self._k, end="columns", ids=None, threads=resolve_threads(self.n_jobs)
            )
            components = vectors.T
            return components

        components: Float = self._read("components", read)
        return components

    @property
    def singular_values_(self) -> Float:
        """Singular values, the largest first; those of the centred rows with ``center=True``."""
        check_is_fitted(self)
        values = np.sqrt(self._principal[1]) if self._centred else self._values_kept[: self._k]
        return values.astype(self._dtype, copy=True)

    @property
    def _principal(self) -> tuple[Float, npt.NDArray[np.float64]]:
        found = self._read(
            "principal", lambda: self._state.principal(self._k, threads=resolve_threads(self.n_jobs))
        )
        if found is None:
            raise StateError("the mean of the rows is not known, as rows were deleted that were not told")
        principal: tuple[Float, npt.NDArray[np.float64]] = found
        return principal

    @property
    def _mean(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
        mean: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None = self._read(
            "mean", lambda: self._state.mean(threads=resolve_threads(self.n_jobs))
        )
        return mean

    @property
    def mean_(self) -> Float:
        """Mean of the rows; NaN where it is not known."""
        mean = self._mean
        if mean is None:
            return np.full(self.n_features_in_, np.nan, self._dtype)
        return mean[0].astype(self._dtype, copy=False)

    def _variances(self) -> tuple[npt.NDArray[np.float64], float]:
        """Return variances along the components, and of all features together."""
        weight, of_squares = self._figures["weights"]
        energy, mean = self.energy_, self._mean
        of_mean = math.nan if mean is None else weight * float(mean[0] @ mean[0])
        total = math.nan if energy is None else max(energy - of_mean, 0.0)
        if self._centred:
            freedom = weight - of_squares / weight if weight > 0.0 else 0.0
            freedom = freedom if freedom > 0.0 else math.nan
            along = self._principal[1] / freedom
            return along, max(total / freedom, float(along.sum()))
        weight = weight if weight > 0.0 else math.nan
        s = self._values_kept[: self._k]
        along = np.full(len(s), np.nan) if mean is None else mean[1][: len(s)]
        return np.maximum(s**2 / weight - along**2, 0.0), total / weight

    @property
    def explained_variance_(self) -> Float:
        """Variance of the rows along each component; NaN where the mean is not known."""
        return self._variances()[0].astype(self._dtype)

    @property
    def explained_variance_ratio_(self) -> Float:
        """Variance along each component as a share of that of all features."""
        along, total = self._variances()
        # Rows that are all the same have no variance to be shared.
        return (along / (total if total > 0.0 else math.nan)).astype(self._dtype)

    @property
    def noise_variance_(self) -> float:
        """Mean variance that the components leave, over the other dimensions; zero if there are none."""
        along, total = self._variances()
        others = min(self._state.shape) - len(along)
        return max(total - float(along.sum()), 0.0) / others if others > 0 else 0.0

    @property
    def energy_(self) -> float | None:
        """The squares of all entries so far; None where that is not known."""
        energy: float | None = self._figures["energy"]
        return energy

    @property
    def orthogonality_error_(self) -> float:
        """The largest entry of U'U - I and V'V - I."""
        check_is_fitted(self)
        error: float = self._state.orthogonality
        return error

    @property
    def spectrum_ratio_(self) -> float:
        """The largest singular value that is kept, over the smallest."""
        values = self._values_kept
        return float(values[0] / values[-1]) if len(values) else math.nan

    @property
    def n_repairs_(self) -> int:
        """How often both sides were made orthonormal again."""
        repairs: int = self._figures["repairs"]
        return repairs

    @property
    def n_fallbacks_(self) -> int:
        """How often "gram" gave way to "qr"."""
        fallbacks: int = self._figures["fallbacks"]
        return fallbacks

    @property
    def state_bytes_(self) -> int:
        """Memory that the model takes."""
        size: int = self._figures["bytes"]
        return size

    @property
    def n_iter_(self) -> int:
        """Blocks of vectors that :meth:`fit` multiplied the matrix with."""
        check_is_fitted(self)
        blocks: int = self._fit["n_iter"]
        return blocks

    @property
    def solver_(self) -> str:
        """How the first triplets were found."""
        check_is_fitted(self)
        solver: str = self._fit["solver"]
        return solver

    @property
    def certificate_(self) -> Certificate:
        """What the model leaves of the matrix, and how that is known."""
        check_is_fitted(self)
        probed = self._read(
            "probed", lambda: self._state.probed(self._k, threads=resolve_threads(self.n_jobs))
        )
        known = certificate_of(self._values_kept, self._k, self._figures, self._fit["residual"], self._dtype)
        return with_probe(known, probed, self._figures) if self.track == "probe" else known

    @property
    def _n_features_out(self) -> int:
        return self.n_components_

    # ---------------------------------------------------------------- copies and bytes

    def copy(self) -> Self:
        """Return an independent copy."""
        twin = type(self)(**self.get_params(deep=False))
        if self.__sklearn_is_fitted__():
            twin._resume(self._state.copy(), self._words())
        return twin

    def to_bytes(self) -> bytes:
        """Return the model and the parameters as bytes, with version and checksum.

        Raises
        ------
        StateError
            If a parameter is no number, string, truth value or None, as a generator for `random_state` is.
        """
        parameters = {name: _plain(value) for name, value in self.get_params(deep=False).items()}
        try:
            return self._bytes({"parameters": parameters})
        except TypeError:
            raise StateError(
                "cannot write the state: `random_state` is a generator, expected an integer or None"
            ) from None

    def _bytes(self, words: dict[str, Any]) -> bytes:
        fitted = self.__sklearn_is_fitted__()
        state = self._state if fitted else _core.TruncatedSVDState(1, single=False)
        words = {**words, "fitted": self._words() if fitted else None}
        data: bytes = state.to_bytes(json.dumps(words))
        return data

    def _words(self) -> dict[str, Any]:
        names = getattr(self, "feature_names_in_", None)
        return {
            "k": self._k,
            "centred": self._centred,
            "fit": self._fit,
            "warned": getattr(self, "_warned", False),
            "names": None if names is None else [str(name) for name in names],
        }

    def _resume(self, state: Any, words: dict[str, Any]) -> None:
        self._adopt(state, words["fit"], words["k"])
        self._centred = words["centred"]
        if words["warned"]:
            self._warned = True
        if words["names"] is not None:
            self.feature_names_in_ = np.array(words["names"], dtype=object)

    @classmethod
    def _restored(cls, data: bytes, parameters: dict[str, Any] | None = None) -> Self:
        state, text = _core.TruncatedSVDState.from_bytes(data)
        try:
            words = json.loads(text)
            estimator = cls(**(words["parameters"] if parameters is None else parameters))
            fitted = words["fitted"]
            if fitted is not None:
                n_iter, residual = int(fitted["fit"]["n_iter"]), float(fitted["fit"]["residual"])
                fit = {"n_iter": n_iter, "solver": str(fitted["fit"]["solver"]), "residual": residual}
                k, centred = int(fitted["k"]), bool(fitted["centred"])
                estimator._resume(state, {**fitted, "k": k, "centred": centred, "fit": fit})
            if parameters is None:
                estimator._check_parameters()
        except (ValueError, TypeError, KeyError) as error:
            raise StateError(f"cannot restore the state: its words do not make sense ({error})") from None
        return estimator

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (type(self), self.get_params(deep=False), self._bytes({}))

    def __sklearn_clone__(self) -> Self:
        from sklearn.base import clone

        return type(self)(
            **{name: clone(value, safe=False) for name, value in self.get_params(deep=False).items()}
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_state")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _ids(self, ids: object, name: str) -> npt.NDArray[np.int64]:
        """Return positions; the core checks that they are in range."""
        array = np.atleast_1d(as_array(ids, name)) if not isinstance(ids, int) else np.array([ids])
        if array.ndim != 1:
            raise ShapeError(f"has {array.ndim} dimensions, expected 1", argument=name)
        if array.size == 0:
            return np.zeros(0, np.int64)
        if array.dtype.kind not in "iu":
            raise InvalidTypeError(f"has dtype {array.dtype}, expected integers", argument=name)
        if array.dtype.kind == "u" and array.max() > np.iinfo(np.int64).max:
            raise InvalidInputError(f"has {array.max()}, expected numbers below 2**63", argument=name)
        return np.ascontiguousarray(array, dtype=np.int64)

    def _numbers(self, values: object, name: str) -> npt.NDArray[np.float64]:
        vector = as_vector(values, name).astype(np.float64, copy=False)
        check_finite(vector, name)
        return vector


def is_share(wanted: object) -> bool:
    """Tell whether a number of components is a share of all that there is."""
    return isinstance(wanted, float | np.floating)


def _plain(value: object) -> object:
    """Return NumPy's numbers as Python's."""
    return value.item() if isinstance(value, np.generic) else value


def _unpickled(cls: type[TruncatedSVD], parameters: dict[str, Any], data: bytes) -> TruncatedSVD:
    return cls._restored(data, parameters)
