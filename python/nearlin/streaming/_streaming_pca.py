"""Principal components of rows that go by once."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from nearlin import _core
from nearlin._callbacks import OF_A_FIT, Watched, watched, with_callbacks
from nearlin._certificate import Certificate
from nearlin._config import Progress, resolve_progress, resolve_threads
from nearlin._estimator import (
    SavedEstimator,
    check_same_features,
    in_our_words,
    named_for_estimators,
    plain,
    samples,
)
from nearlin._frames import naming_columns
from nearlin._log import tell
from nearlin._sparse import check_indices, is_sparse
from nearlin._stream import in_turn
from nearlin._validation import Float, Matrix, as_matrix, refuse_beside
from nearlin.data import RowBlocks
from nearlin.exceptions import InvalidInputError, InvalidTypeError, NonFiniteError, ShapeError, StateError

from ._certificate import certificate_of, gap_of, is_ordered, warn_of_order
from ._covariance import covariance, log_likelihoods, precision
from ._stream_of_rows import (
    check_parameters,
    explained,
    in_block,
    is_iterator,
    new_state,
    roots_of,
    threads_for,
)

__all__ = ["StreamingPCA"]

STRUCTURE = (
    "n_components",
    "order",
    "algorithm",
    "block_width",
    "n_heavy",
    "sketch_size",
    "memory",
    "shuffle_buffer",
    "learning_rate",
    "t0",
    "center",
    "delta",
    "random_state",
)
"""Parameters that make a stream what it is."""
ROWS = 1024
"""Rows that are spread out at a time."""
BEGINNING = threading.Lock()
"""Of threads that give an estimator its first rows at once, one begins the stream."""


class StreamingPCA(Watched, SavedEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    r"""Top eigenvectors of :math:`X^T X` from one pass over the rows; it does not centre by default.

    The state is of some dozens of rows, whatever number goes by, and what it says can be read at any time.

    Parameters
    ----------
    n_components : int, default=1
        Eigenvectors that are wanted. Not None or a share of the variance, as in
        :class:`sklearn.decomposition.PCA`: the state is made before the rows are known.
        ``algorithm="gram"`` takes as many as there are features.
    order : {"random", "arbitrary"}, default="random"
        Whether rows come in random order. In random order a constant gap between eigenvalues is enough [1]_;
        in any order it takes one of about log(d), d the number of features [2]_, and costs accuracy. Rows
        that are sorted are in no random order: ``"frequent_directions"`` and ``"gram"`` do not mind.
    algorithm : {"auto", "block_power", "incremental", "oja", ...}, default="auto"
        How rows are summed up.

        - ``"auto"``: ``"gram"`` up to 300 features, if it fits `memory`. Beyond, in random order,
          ``"block_power"`` and ``"incremental"`` side by side, of which the one is taken that has more energy
          in rows that it was not made of; in arbitrary order ``"oja"``.
        - ``"block_power"`` [1]_: blocks of rows as steps of the power method.
        - ``"incremental"``: a truncated SVD of all rows so far. Good where rows are alike; without a
          guarantee.
        - ``"oja"`` [2]_: Oja's rule at all rates that may be right, for any order; one component.
        - ``"frequent_directions"`` [3]_: deterministic, with a bound, in any order; the merge of two has the
          same guarantee.
        - ``"sketch"`` [4]_: linear, so that merges are exact and rows can be deleted; wants a gap of about
          the root of d over `sketch_size`. With ``center=True`` the mean is taken off the sums, which costs
          twice the digits by which it is larger than the spread: at a factor of 1e5 four are left, at 1e6
          directions are lost, which the certificate says.
        - ``"gram"``: :math:`X^T X` itself, d x d.
        - ``"oja_fixed"``, ``"oja_decay"``, ``"adaoja"`` [5]_: Oja's rule at one rate, to compare with.

        The first four keep the rows of largest norm as they are: a few of them may be all that an eigenvector
        is made of.
    block_width : int, default=8
        Directions that ``"block_power"`` and ``"incremental"`` follow; at least `n_components` + 4, if more
        than one is wanted.
    n_heavy : int, default=32
        Rows of largest norm that are kept.
    sketch_size : int, default=32
        Half of the rows of ``"frequent_directions"``, columns of ``"sketch"``.
    memory : int, optional
        Bytes that the state may take: of (`block_width`, `n_heavy`), (4, 16) and (1, 0) the first that fits.
        While rows come in there is a copy of it, and some chunks of 32 rows.
    shuffle_buffer : int, default=0
        Rows that are held back: each that arrives takes the place of a random one, which goes on. For streams
        that are nearly shuffled.
    learning_rate : float, optional
        Of ``"oja_fixed"``, and c in the rate c / (t0 + t) of ``"oja_decay"``.
    t0 : float, optional
        See there; 0 by default.
    center : bool, default=False
        Principal components: of the rows less their mean, in the same pass.
    whiten : bool, default=False
        Coordinates of :meth:`transform` have variance one.
    delta : float, default=0.01
        Probability with which ``"oja"`` may take what has grown for what it is not.
    random_state : None, int or numpy.random.RandomState, optional
        Of the first directions. States can be merged that have the same integer.
    n_jobs : int, optional
        Number of threads. None means one for rows that come in, as more make few streams faster, and the
        setting of :func:`nearlin.set_config` for all else. It never changes a bit.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Eigenvectors, the largest entry of each positive; zeros where the rows have no more directions.
    eigenvalues_ : ndarray of shape (n_components,)
        Of :math:`X^T X`, or of that of the centred rows, as far as the state knows them, together at most
        :math:`\|X\|_F^2`: those of ``"frequent_directions"`` and ``"sketch"`` are smaller than the true ones,
        as are those of ``"block_power"`` that are hardly above the others. Those of ``"oja"`` are good to a
        third or so.
    singular_values_ : ndarray of shape (n_components,)
        Their roots.
    explained_variance_ : ndarray of shape (n_components,)
        Eigenvalues over the number of rows, less one if they are centred; with weights, over their sum, less
        that of their squares over it if rows are centred: weights say how much rows are to be trusted. NaN
        of one centred row.
    explained_variance_ratio_ : ndarray of shape (n_components,)
        Eigenvalues as shares of :math:`\|X\|_F^2`.
    mean_ : ndarray of shape (n_features,)
        Mean of the rows; zeros if they are not centred.
    gap_ : float
        The last eigenvalue that is wanted over the next one, as far as the state knows it.
    noise_variance_ : float
        Of probabilistic principal components: the mean variance of what the components leave.
    n_components_, n_samples_seen_, n_features_in_ : int
        Components, rows so far, and features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, of frames whose columns all have strings for names.
    n_heavy_rows_ : int
        Rows that are kept as they are.
    order_statistic_ : float
        By how many standard errors the energy of a direction fell from earlier rows to later ones, or the
        mean squared norm of rows changed by more than a tenth, or means of centred rows moved: above 6, rows
        do not look shuffled. NaN where it is not known.
    state_bytes_ : int
        Memory that the state takes: in double precision, beside which there are copies in single precision of
        what rows in that are multiplied by.
    algorithm_ : str
        What ``"auto"`` has taken.
    certificate_ : Certificate
        The sine of the angle to the true subspace where something bounds it, else how far the first
        eigenvalue is from what rows say of the direction that came after it.

    See Also
    --------
    nearlin.top_eigenvector : One call for an iterator of blocks.
    nearlin.TruncatedSVD : The rows' own coordinates too, updates and deletes.

    Notes
    -----
    All figures are read from a copy of the state: the stream goes on as if nobody had looked. A row costs
    :math:`O(b d)` operations, b the width of the summary, and a sparse one as many for each stored entry, but
    for ``"sketch"``, ``"gram"`` and centred rows, for which it is spread out. Results depend on the order of
    the rows but not on where calls cut it, nor on whether a row is sparse.

    If the first block is in single precision, ``"block_power"``, ``"incremental"`` and ``"oja"`` multiply
    rows in single precision and add such sums of at most 32 rows up in double precision: about seven digits.
    What comes with a deterministic certificate is in double precision throughout, and so are rows that are
    kept as they are.

    Several threads are of use for ``"block_power"`` and ``"incremental"``, of dense rows of at least 512
    features that are neither weighted, centred nor shuffled.

    References
    ----------
    .. [1] P. Kacham, D. P. Woodruff, "Approximating the top eigenvector in random order streams", NeurIPS
           2024.
    .. [2] E. Price, Z. Xun, "Spectral guarantees for adversarial streaming PCA", FOCS 2024.
    .. [3] M. Ghashami, E. Liberty, J. M. Phillips, D. P. Woodruff, "Frequent directions: simple and
           deterministic matrix sketching", SIAM J. Comput. 45 (2016).
    .. [4] J. A. Tropp, A. Yurtsever, M. Udell, V. Cevher, "Fixed-rank approximation of a
           positive-semidefinite matrix from streaming data", NeurIPS 2017.
    .. [5] A. Henriksen, R. Ward, "AdaOja: adaptive learning rates for streaming PCA", 2019.

    Examples
    --------
    >>> import numpy as np
    >>> import nearlin
    >>> rng = np.random.default_rng(0)
    >>> direction = np.ones(400) / 20.0
    >>> pca = nearlin.StreamingPCA(random_state=0)
    >>> for _ in range(10):
    ...     rows = rng.standard_normal((1000, 400)) + 4.0 * rng.standard_normal((1000, 1)) * direction
    ...     _ = pca.partial_fit(rows)
    >>> bool((pca.components_ @ direction)[0] > 0.99)
    True
    >>> pca.algorithm_
    'block_power+incremental'
    """

    def __init__(
        self,
        n_components: int = 1,
        *,
        order: str = "random",
        algorithm: str = "auto",
        block_width: int = 8,
        n_heavy: int = 32,
        sketch_size: int = 32,
        memory: int | None = None,
        shuffle_buffer: int = 0,
        learning_rate: float | None = None,
        t0: float | None = None,
        center: bool = False,
        whiten: bool = False,
        delta: float = 0.01,
        random_state: object = None,
        n_jobs: int | None = None,
    ) -> None:
        self.n_components = n_components
        self.order = order
        self.algorithm = algorithm
        self.block_width = block_width
        self.n_heavy = n_heavy
        self.sketch_size = sketch_size
        self.memory = memory
        self.shuffle_buffer = shuffle_buffer
        self.learning_rate = learning_rate
        self.t0 = t0
        self.center = center
        self.whiten = whiten
        self.delta = delta
        self.random_state = random_state
        self.n_jobs = n_jobs

    # ---------------------------------------------------------------- rows

    @with_callbacks
    def fit(
        self,
        X: object,
        y: object = None,
        *,
        sample_weight: object = None,
        progress: bool | Progress = False,
    ) -> Self:
        """Forget what was before, and take rows in.

        Parameters
        ----------
        X : array_like, sparse matrix or frame of shape (n_samples, n_features), iterator of such or RowBlocks
            All rows, or an iterator that gives them block by block, or :func:`nearlin.data.blocks` of a file
            or of whatever else does not fit into memory, with their weights.
        y : ignored
            For pipelines.
        sample_weight : array_like of shape (n_samples,), optional
            Weights of the rows, not of blocks of an iterator: each counts as so many in :math:`X^T X` and the
            mean.
        progress : bool or callable, default=False
            True shows a bar, a callable is called after each block with (rows done, all rows or 0 as long as
            that is not known, figures).

        Returns
        -------
        self
            The fitted estimator. Callbacks of scikit-learn 1.9 (``set_callbacks``) are told of each block,
            with ``rows`` and ``certificate`` so far as `metadata`, and may end the fit:
            :class:`nearlin.CertificateMonitor` does so at a target.

        Raises
        ------
        InvalidInputError
            If there are no rows, fewer features than components, or an entry is not finite.

        Warns
        -----
        OrderWarning
            If rows do not look shuffled, with ``order="random"``.
        """
        check_parameters(self.get_params(deep=False))
        fresh = type(self)(**self.get_params(deep=False))
        if is_iterator(X) or isinstance(X, RowBlocks):
            if sample_weight is not None:
                raise InvalidInputError(
                    "is given beside rows in blocks, expected None: use partial_fit, or nearlin.data.blocks",
                    argument="sample_weight",
                )
            blocks: Any = X
            n_rows = None
            if isinstance(X, RowBlocks):
                blocks, n_rows = ((block.X, block.sample_weight) for block in X), X.n_rows
            else:
                blocks = ((block, None) for block in blocks)
            with naming_columns(X.feature_names if isinstance(X, RowBlocks) else None):
                fresh._take_blocks(
                    watched(self, blocks, fresh, progress=resolve_progress(progress), n_rows=n_rows)
                )
            if isinstance(X, RowBlocks) and X.feature_names is not None:
                fresh.feature_names_in_ = np.array(X.feature_names, dtype=object)
        else:
            for rows in watched(self, [(X, sample_weight)], fresh, progress=resolve_progress(progress)):
                fresh._take(*rows, reset=True, accept_zero=False)
        _ = fresh._answer  # which warns of rows in order
        self._become(fresh)
        return self

    def _become(self, fresh: Self) -> None:
        """Take on all that another one was fitted to, at once: an interrupt comes before or after."""
        kept = {name: value for name, value in self.__dict__.items() if name != "feature_names_in_"}
        self.__dict__ = kept | fresh.__dict__

    def _take_blocks(self, blocks: Any) -> None:
        number = -1
        for number, (block, sample_weight) in enumerate(blocks):
            try:
                with in_block(number, "X"):
                    self._take(block, sample_weight, reset=number == 0)
            except InvalidInputError as error:
                if "features" in str(error) and number > 0:
                    raise ShapeError(str(error)) from error
                raise
        if number < 0:
            raise InvalidInputError("gives no blocks, expected at least one", argument="X")

    def fit_transform(self, X: object, y: object = None, *, sample_weight: object = None) -> Float:
        """Fit, and return the coordinates of the rows.

        Parameters
        ----------
        X : array_like, sparse matrix or frame of shape (n_samples, n_features)
            All rows; no iterator, which can be read once only.
        y : ignored
            For pipelines.
        sample_weight : array_like of shape (n_samples,), optional
            As for :meth:`fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            What :meth:`transform` gives.
        """
        if is_iterator(X) or isinstance(X, RowBlocks):
            raise InvalidInputError(
                "is an iterator or RowBlocks, expected rows that can be read twice: fit", argument="X"
            )
        return self.fit(X, sample_weight=sample_weight).transform(X)

    @in_turn
    def partial_fit(self, X: object, y: object = None, *, sample_weight: object = None) -> Self:
        """Take more rows in; the first ones if there are none.

        Parameters
        ----------
        X : array_like, sparse matrix, frame or RowBlocks of shape (rows, n_features)
            Any number of rows, none too once others came. The first block decides what precision results are
            in. RowBlocks, of :func:`nearlin.data.blocks`, bring their weights along.
        y : ignored
            For pipelines.
        sample_weight : array_like of shape (rows,), optional
            Weights of the rows; one of weight zero counts in ``n_samples_seen_`` alone.

        Returns
        -------
        self
            The estimator, changed whole or, after an error or Ctrl-C, not at all.

        Raises
        ------
        InvalidInputError
            If there are other features than before, or an entry is not finite.
        """
        if not self.__sklearn_is_fitted__():
            check_parameters(self.get_params(deep=False))
        if isinstance(X, RowBlocks):
            self._take_more_blocks(X, sample_weight)
        else:
            self._take(X, sample_weight, reset=not self.__sklearn_is_fitted__())
        return self

    def _take_more_blocks(self, rows: RowBlocks, sample_weight: object) -> None:
        """Take all rows of blocks in or, after an error, none."""
        refuse_beside(sample_weight=sample_weight)
        more, names = self.copy(), rows.feature_names
        if self.__sklearn_is_fitted__():
            check_same_features(self, rows)
            names = more.__dict__.pop("feature_names_in_", None)
        for number, block in enumerate(rows):
            with in_block(number, "X"):
                more._take(block.X, block.sample_weight, reset=not more.__sklearn_is_fitted__())
        if not more.__sklearn_is_fitted__():
            raise InvalidInputError("are no rows, expected at least one", argument="X")
        if names is not None:
            more.feature_names_in_ = np.array(names, dtype=object)
        self._become(more)

    def _take(self, X: object, sample_weight: object, *, reset: bool, accept_zero: bool = True) -> None:
        if not reset:
            self._check_unchanged()
            self._add(X, sample_weight)
            return
        fresh = type(self)(**self.get_params(deep=False))
        fresh._begin(X, sample_weight, accept_zero)
        with BEGINNING:
            begun = self.__sklearn_is_fitted__()
            if not begun:
                self._become(fresh)
        if begun:  # by another thread, whose rows came first
            self._add(X, sample_weight)

    def _begin(self, X: object, sample_weight: object, accept_zero: bool) -> None:
        matrix = samples(self, X, reset=True)
        roots = roots_of(sample_weight, matrix, accept_zero=accept_zero)
        state = new_state(self.get_params(deep=False), matrix.shape[1], matrix.dtype)
        with named_for_estimators(getattr(self, "feature_names_in_", None)):
            state.add(matrix, roots=roots, threads=threads_for(matrix, self.n_jobs))
        self._asked = {name: getattr(self, name) for name in STRUCTURE}
        self._dtype, self._warned = np.dtype(matrix.dtype), False
        self._cache: dict[str, Any] = {}
        self._state = state
        taken, rows = state.plan, matrix.shape[0]
        tell("StreamingPCA", lambda: explained(taken, self.algorithm, rows, taken["algorithm"]))

    def _add(self, X: object, sample_weight: object) -> None:
        matrix = samples(self, X, reset=False, ensure_min_samples=0)
        if matrix.shape[0] == 0:
            return
        roots = roots_of(sample_weight, matrix)
        with named_for_estimators(getattr(self, "feature_names_in_", None)):
            self._state.add(matrix, roots=roots, threads=threads_for(matrix, self.n_jobs))

    def _check_unchanged(self) -> None:
        """Refuse what would no longer be the stream that began."""
        for name, value in self._asked.items():
            if getattr(self, name) is not value and getattr(self, name) != value:
                raise InvalidInputError(
                    f"was {value!r} when the stream began and is {getattr(self, name)!r}, expected no "
                    "change: fit again, or begin another stream",
                    argument=name,
                )

    def _threads(self, matrix: Matrix) -> int:
        return resolve_threads(self.n_jobs, 64.0 * matrix.shape[0] * matrix.shape[1])

    def merge(self, other: Self, *, approximate: bool = False, n_jobs: int | None = None) -> Self:
        r"""Take in the rows of another stream with the same parameters.

        Parameters
        ----------
        other : StreamingPCA
            The other stream; it stays as it is.
        approximate : bool, default=False
            Allow what has no guarantee: streams of ``"oja"`` become one of ``"block_power"``.
        n_jobs : int, optional
            Number of threads.

        Returns
        -------
        self
            This one.

        Raises
        ------
        InvalidInputError
            If parameters or features differ, or `random_state` is not the same integer for ``"sketch"``; if
            both are the same object.

        Notes
        -----
        Exact for ``"gram"`` and ``"sketch"``, with the guarantee of one stream for ``"frequent_directions"``.
        Others lose directions that are large in no part: with m parts and a gap R,
        :math:`\sin \le m / (R - m - 1)`. Rows that are in both streams count twice, which nobody can find
        out.
        """
        check_is_fitted(self)
        if not isinstance(other, StreamingPCA):
            raise InvalidTypeError(
                f"is of type {type(other).__name__}, expected {type(self).__name__}", argument="other"
            )
        if other is self:
            raise InvalidInputError("is this stream itself, expected another one", argument="other")
        check_is_fitted(other)
        self._check_unchanged()
        for name, value in self._asked.items():
            if name != "random_state" and other._asked[name] != value:
                raise InvalidInputError(
                    f"has {name}={other._asked[name]!r}, expected {value!r}, as this stream", argument="other"
                )
        names, others = (list(getattr(stream, "feature_names_in_", ())) for stream in (self, other))
        if names != others:
            raise InvalidInputError("has other names of features, expected the same", argument="other")
        self._state.merge(
            other._state,
            approximate=bool(approximate),
            threads=resolve_threads(self.n_jobs if n_jobs is None else n_jobs),
        )
        return self

    def delete(self, X: object, *, sample_weight: object = None) -> Self:
        """Take rows out that were taken in before, with ``algorithm="sketch"``.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (rows, n_features)
            The rows, as they were.
        sample_weight : array_like of shape (rows,), optional
            Their weights, as they were.

        Returns
        -------
        self
            The estimator.
        """
        check_is_fitted(self)
        self._check_unchanged()
        matrix = samples(self, X, reset=False)
        self._state.delete(matrix, roots=roots_of(sample_weight, matrix), threads=self._threads(matrix))
        return self

    def refine(self, X: object, *, sample_weight: object = None) -> Self:
        """Improve the components by a second pass over the rows: angles shrink by about the gap.

        Parameters
        ----------
        X : array_like, sparse matrix or frame of shape (n_samples, n_features), or iterator of such
            The same rows, in any order.
        sample_weight : array_like of shape (n_samples,), optional
            Their weights, not with an iterator.

        Returns
        -------
        self
            The estimator. Its components are the refined ones until more rows come; pickles and copies have
            them, :meth:`to_bytes` has the stream alone.

        Raises
        ------
        InvalidInputError
            If there are more or fewer rows than were seen.
        """
        answer, stamp = self._answer, self._state.stamp
        mean = answer["mean"]
        if is_iterator(X) and sample_weight is not None:
            raise InvalidInputError("is given beside an iterator, expected None", argument="sample_weight")
        refinement = _core.StreamingPCARefinement(answer["components"], mean=mean, unit=answer["unit"])
        blocks: Iterable[object] = X if is_iterator(X) else [X]  # type: ignore[assignment]
        rows = 0
        for block in blocks:
            matrix = samples(self, block, reset=False)
            refinement.add(matrix, roots=roots_of(sample_weight, matrix), threads=self._threads(matrix))
            rows += matrix.shape[0]
        if rows != self.n_samples_seen_:
            raise InvalidInputError(
                f"has {rows} rows, expected the {self.n_samples_seen_} that were seen", argument="X"
            )
        found, k = refinement.finish(), len(answer["components"])
        # Squares may be out of range where these are not.
        roots, first = found["singular_values"], answer["singular_values"][0]
        shares = answer["shares"][0] * (roots / first) ** 2 if first > 0.0 else answer["shares"][:k]
        refined = {
            **answer,
            "components": found["components"],
            "eigenvalues": np.concatenate([found["eigenvalues"], answer["eigenvalues"][k:]]),
            "singular_values": np.concatenate([roots, answer["singular_values"][k:]]),
            "shares": np.concatenate([shares, answer["shares"][k:]]),
        }
        self._cache = {"stamp": stamp, "answer": refined, "refined": found}
        return self

    # ---------------------------------------------------------------- what they say

    @property
    def _answer(self) -> dict[str, Any]:
        check_is_fitted(self)
        # What was read of a state is forgotten with its next row, also if an interrupt came right after that.
        cache, stamp = self._cache, self._state.stamp
        if cache.get("stamp") != stamp:
            if self.n_samples_seen_ == 0:
                raise InvalidInputError("has seen no rows, expected at least one", argument="X")
            cache = {"stamp": stamp, "answer": self._state.answer(threads=resolve_threads(self.n_jobs))}
            self._cache = cache
            self._look_at_order(cache["answer"])
        answer: dict[str, Any] = cache["answer"]
        return answer

    def _look_at_order(self, answer: dict[str, Any]) -> None:
        """Warn, once, of rows that do not look shuffled."""
        if is_ordered(answer, self.algorithm_, self._asked["order"]) and not self._warned:
            self._warned = True
            warn_of_order(answer)

    @property
    def _k(self) -> int:
        """Components of the stream as it began."""
        return int(self._asked["n_components"])

    @property
    def _plan(self) -> dict[str, Any]:
        check_is_fitted(self)
        plan: dict[str, Any] = self._state.plan
        return plan

    @property
    def components_(self) -> Float:
        """Eigenvectors, one a row."""
        components: Float = self._answer["components"].astype(self._dtype)
        return components

    @property
    def eigenvalues_(self) -> Float:
        """Of X'X, the largest first."""
        return self._rounded(self._answer["eigenvalues"][: self._k])

    def _rounded(self, values: npt.NDArray[np.float64]) -> Float:
        """Return numbers in the precision of the first block; what is out of its range is infinite."""
        with np.errstate(over="ignore"):
            return values.astype(self._dtype)

    @property
    def singular_values_(self) -> Float:
        """Roots of the eigenvalues."""
        return self._rounded(self._answer["singular_values"][: self._k])

    @property
    def explained_variance_(self) -> Float:
        """Eigenvalues over the number of rows, less one if they are centred."""
        return self._rounded(self._answer["eigenvalues"][: self._k] / self._freedom)

    @property
    def _freedom(self) -> float:
        """What sums of squares are divided by to be variances."""
        weight, squares = self._answer["weights"]
        freedom = weight - squares / weight if self._asked["center"] and weight > 0.0 else weight
        return float(freedom) if freedom > 0.0 else math.nan

    @property
    def noise_variance_(self) -> float:
        """Mean variance of what the components leave; zero if they leave nothing."""
        answer = self._answer
        others = min(self.n_samples_seen_, self.n_features_in_) - self._k
        # The energy may be out of range where shares of it are not.
        left = max(1.0 - float(answer["shares"][: self._k].sum()), 0.0)
        if math.isnan(self._freedom):
            return math.nan
        return left * answer["energy"] / self._freedom / others if others > 0 and left > 0.0 else 0.0

    @property
    def n_components_(self) -> int:
        """Components that were asked for when the stream began."""
        check_is_fitted(self)
        return self._k

    @property
    def explained_variance_ratio_(self) -> Float:
        """Eigenvalues as shares of the squares of all entries, less the mean if rows are centred."""
        return self._rounded(self._answer["shares"][: self._k])

    @property
    def mean_(self) -> Float:
        """Mean of the rows; zeros if they are not centred."""
        mean = self._answer["mean"]
        if mean is None:
            return np.zeros(self.n_features_in_, self._dtype)
        found: Float = mean.astype(self._dtype)
        return found

    @property
    def gap_(self) -> float:
        """The last eigenvalue that is wanted over the next one."""
        return gap_of(self._answer["eigenvalues"], self._k)

    @property
    def n_samples_seen_(self) -> int:
        """Rows so far."""
        check_is_fitted(self)
        seen: int = self._state.seen
        return seen

    @property
    def n_heavy_rows_(self) -> int:
        """Rows that are kept as they are."""
        count: int = self._answer["n_heavy"]
        return count

    @property
    def order_statistic_(self) -> float:
        """By how many standard errors the energy of a direction fell, or that of rows changed."""
        fall = self._answer["fall"]
        return math.nan if fall is None else float(fall)

    @property
    def state_bytes_(self) -> int:
        """Memory that the state takes."""
        size: int = self._plan["bytes"]
        return size

    @property
    def algorithm_(self) -> str:
        """How rows are summed up."""
        name: str = self._plan["algorithm"]
        return name

    @property
    def certificate_(self) -> Certificate:
        """What is known of the error, and how."""
        answer = self._answer
        if "refined" in self._cache:
            return self._refined_certificate(answer, self._cache["refined"])
        return certificate_of(answer, self._k, self.algorithm_, self._asked["order"], self._dtype)

    def _refined_certificate(self, answer: dict[str, Any], found: dict[str, Any]) -> Certificate:
        before, relative = found["rayleigh"], float(found["relative"])
        known = math.isfinite(relative)
        rounding = float(np.finfo(np.float64).eps) * (self.n_samples_seen_ + self.n_features_in_)
        about = "rows less the mean that the stream has found" if self._asked["center"] else "the rows"
        return Certificate(
            quantity="|A'A v - λ v| / λ of the first component before the second pass",
            estimate=relative,
            bound=relative + rounding,
            confidence=1.0 if known else None,
            measured=f"a second pass over {about}" if known else "not measured",
            note="the refined component is not measured" if known else "the rows have no energy along it",
            details={
                "rayleigh_quotient": {"kind": "deterministic", "value": before},
                "eigenvalue": {"kind": "deterministic", "value": float(found["eigenvalues"][0])},
            },
        )

    def explain(self) -> str:
        """Return what is done with the rows, and why.

        Examples
        --------
        >>> import numpy as np
        >>> import nearlin
        >>> pca = nearlin.StreamingPCA(random_state=0).fit(np.random.default_rng(0).normal(size=(500, 5)))
        >>> print(pca.explain())
        500 rows of 5 numbers, summed up in 0.00148 MB
        algorithm: gram (A'A itself is small, and no slower to make than a summary)
        """
        check_is_fitted(self)
        algorithm = self._asked["algorithm"]
        return explained(self._plan, algorithm, self.n_samples_seen_, self._answer["light"])

    def transform(self, X: object) -> Float:
        """Project rows on the components.

        Parameters
        ----------
        X : array_like, sparse matrix or frame of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            Their coordinates, less those of the mean if rows are centred; with ``whiten=True`` over the roots
            of ``explained_variance_``, and zero where there is none.
        """
        check_is_fitted(self)
        matrix = self._to_multiply(X)
        components = self.components_.astype(matrix.dtype, copy=False)
        projected = np.asarray(matrix @ components.T)
        if self._asked["center"]:
            projected -= self.mean_.astype(matrix.dtype, copy=False) @ components.T
        if self.whiten:
            scale = self._scale.astype(matrix.dtype)
            projected = np.divide(projected, scale, out=np.zeros_like(projected), where=scale > 0.0)
        return projected

    def _to_multiply(self, X: object) -> Matrix:
        """Return rows that SciPy may multiply, which looks at nothing."""
        matrix = samples(self, X, reset=False, finite=True)
        if is_sparse(matrix):
            check_indices(matrix, "X")
            if not np.isfinite(matrix.data).all():
                raise NonFiniteError(
                    "has NaN or infinity among its entries, expected finite numbers", argument="X"
                )
        return matrix

    @property
    def _scale(self) -> npt.NDArray[np.float64]:
        """Standard deviations of coordinates."""
        scale: npt.NDArray[np.float64] = self._answer["singular_values"][: self._k] / math.sqrt(self._freedom)
        return scale

    def inverse_transform(self, X: object) -> Float:
        """Return the rows that have these coordinates.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_components)
            Coordinates.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Combinations of the components, and the mean if rows are centred. Coordinates are taken as
            :meth:`transform` gives them, whitened or not.
        """
        check_is_fitted(self)
        with in_our_words("X"):
            coordinates = as_matrix(X, "X", accept_sparse=False, allow_empty=True)
        components = self.components_ * self._scale[:, None] if self.whiten else self.components_
        if coordinates.shape[1] != len(components):
            raise ShapeError(
                f"has {coordinates.shape[1]} columns, expected n_components = {len(components)}", argument="X"
            )
        rows: Float = coordinates @ components.astype(coordinates.dtype, copy=False)
        return rows + self.mean_.astype(rows.dtype, copy=False) if self._asked["center"] else rows

    def get_covariance(self) -> Float:
        """Return the covariance that the components and the noise stand for (probabilistic PCA).

        Returns
        -------
        ndarray of shape (n_features, n_features)
            Components times their variances, and ``noise_variance_`` in all other directions. Of rows that
            are not centred, :math:`X^T X` over their number.

        Raises
        ------
        AllocationError
            If it does not fit into memory.

        Examples
        --------
        >>> import numpy as np
        >>> import nearlin
        >>> rows = np.random.default_rng(0).standard_normal((1000, 4)) * [3.0, 1.0, 1.0, 1.0]
        >>> pca = nearlin.StreamingPCA(center=True, random_state=0).fit(rows)
        >>> np.round(np.diag(pca.get_covariance()))
        array([9., 1., 1., 1.])
        """
        return self._rounded(covariance(*self._principal))

    def get_precision(self) -> Float:
        """Return the inverse of :meth:`get_covariance`.

        Returns
        -------
        ndarray of shape (n_features, n_features)
            By Woodbury's formula, from the components alone.

        Raises
        ------
        InvalidInputError
            If the components leave no noise, so that there is no inverse.
        AllocationError
            If it does not fit into memory.

        Examples
        --------
        >>> import numpy as np
        >>> import nearlin
        >>> rows = np.random.default_rng(0).standard_normal((1000, 4))
        >>> pca = nearlin.StreamingPCA(center=True, random_state=0).fit(rows)
        >>> bool(np.allclose(pca.get_precision() @ pca.get_covariance(), np.eye(4)))
        True
        """
        return self._rounded(precision(*self._principal))

    def score_samples(self, X: object) -> Float:
        """Return the log-likelihood of each row (probabilistic PCA).

        Parameters
        ----------
        X : array_like, sparse matrix or frame of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,)
            Log densities of a normal distribution with the covariance of :meth:`get_covariance`, about
            ``mean_``; float64, in :math:`O(k)` operations an entry.

        Raises
        ------
        InvalidInputError
            If the components leave no noise.

        Examples
        --------
        >>> import numpy as np
        >>> import nearlin
        >>> rows = np.random.default_rng(0).standard_normal((1000, 4))
        >>> pca = nearlin.StreamingPCA(center=True, random_state=0).fit(rows)
        >>> bool(pca.score(rows) > pca.score(rows + 1.0))
        True
        """
        check_is_fitted(self)
        matrix = self._to_multiply(X)
        mean = self._answer["mean"]
        likelihoods = np.empty(matrix.shape[0])
        for first in range(0, len(likelihoods), ROWS):
            block: Any = matrix[first : first + ROWS]
            rows = np.array(block.toarray() if is_sparse(block) else block, dtype=np.float64)
            if mean is not None:
                rows -= mean
            likelihoods[first : first + ROWS] = log_likelihoods(rows, *self._principal)
        return likelihoods

    def score(self, X: object, y: object = None) -> float:
        """Return the mean of :meth:`score_samples`.

        Parameters
        ----------
        X : array_like, sparse matrix or frame of shape (n_samples, n_features)
            Rows.
        y : ignored
            For pipelines.

        Returns
        -------
        float
            Mean log-likelihood.
        """
        return float(np.mean(self.score_samples(X)))

    @property
    def _principal(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], float]:
        """Components, their variances, and the mean variance of all others."""
        answer = self._answer
        return answer["components"], answer["eigenvalues"][: self._k] / self._freedom, self.noise_variance_

    @property
    def _n_features_out(self) -> int:
        return self._k

    # ---------------------------------------------------------------- copies and bytes

    def _beside(self) -> dict[str, Any]:
        """Return what copies have that is not in the bytes: settings of scikit-learn, what is refined."""
        known = {*self.get_params(deep=False), "_state", "_dtype", "_asked", "_warned", "_cache", *OF_A_FIT}
        beside = {name: value for name, value in self.__dict__.items() if name not in known}
        return beside | (
            {"_cache": dict(self._cache)} if "refined" in self.__dict__.get("_cache", {}) else {}
        )

    @staticmethod
    def _unfitted() -> Any:
        return new_state(StreamingPCA(random_state=0).get_params(deep=False), 1)

    def _words(self) -> dict[str, Any]:
        names = getattr(self, "feature_names_in_", None)
        return {
            "dtype": self._dtype.name,
            "warned": self._warned,
            "asked": {name: plain(self._asked[name]) for name in STRUCTURE if name != "random_state"},
            "names": None if names is None else [str(name) for name in names],
        }

    def _resume(self, state: Any, words: dict[str, Any]) -> None:
        self._state, self._warned = state, bool(words["warned"])
        self._asked = {name: words["asked"][name] for name in STRUCTURE if name != "random_state"}
        self._asked["random_state"] = self.random_state
        self._dtype = np.dtype({"float32": np.float32, "float64": np.float64}[words["dtype"]])
        if words["names"] is not None:
            self.feature_names_in_ = np.array(words["names"], dtype=object)
        self._cache = {}
        self.n_features_in_ = self._plan["d"]

    @classmethod
    def _restored(cls, data: bytes, parameters: dict[str, Any] | None = None) -> Self:
        state, text = _core.StreamingPCAState.from_bytes(data)
        try:
            words = json.loads(text)
            stream = cls(**(words["parameters"] if parameters is None else parameters))
            if parameters is None:
                check_parameters(stream.get_params(deep=False))
            if words["fitted"] is not None:
                stream._resume(state, words["fitted"])
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise StateError(f"cannot restore the state: its words do not make sense ({error})") from None
        return stream

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
