"""Least squares of rows that arrive in blocks and are read once."""

import json
import threading
from numbers import Real
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import MultiOutputMixin

from nearlin import _core
from nearlin._estimator import LinearModel, named_for_estimators, plain, samples, settings_of
from nearlin._frames import column_names, string_names
from nearlin._stream import Saved, in_turn
from nearlin._validation import (
    LARGEST,
    Float,
    Matrix,
    as_matrix,
    as_rhs,
    as_sample_weight,
    as_seed,
    as_vector,
    check_bool,
    check_choice,
    check_finite,
    check_int,
    check_real,
    naming_block,
    optional,
)
from nearlin.data import RowBlocks
from nearlin.exceptions import InvalidInputError, InvalidTypeError, ShapeError, StateError

from ._certificate import LstsqCertificate
from ._exact_stream import ExactStream, StreamedLstsqResult, certificate_of_factor
from ._inference import Kept, tabulated
from ._sketch_stream import SKETCH_OPTIONS, SketchAndSolveResult, SketchStream
from ._solve import Solution
from ._summary import RegressionSummary

__all__ = ["StreamingLeastSquares"]

METHODS = ("auto", "qr", "sketch")

BEGINNING = threading.Lock()
"""Of threads that give an estimator its first rows at once, one begins the stream."""


class StreamingLeastSquares(MultiOutputMixin, Saved, LinearModel):
    r"""Least squares of rows that arrive in blocks, are read once, and are not kept.

    What is kept is the triangular factor of the rows: answers are those of a Householder QR factorisation of
    all of them, at any condition number, with standard errors. If asked for it is a sketch: answers of
    :func:`sketch_and_solve`, with intervals.

    Parameters
    ----------
    method : {"auto", "qr", "sketch"}, default="auto"
        What is kept of the rows.

        - ``"qr"``: the triangular factor of [X, y], about :math:`d^2 / 2` numbers for d features, and some
          hundred rows that wait for it. Exact, for :math:`2 d^2` operations a row.
        - ``"sketch"``: a sketch of m rows, by default some 100 d; an approximation, for
          :math:`d \log m` operations a row.
        - ``"auto"``: ``"sketch"`` where one of its options is given, else ``"qr"``, whatever d: a sketch that
          bounds single coefficients takes 200 times its memory, and pays in time alone, where rows are of
          thousands of features and 100 d of them are few.
    fit_intercept : bool, default=False
        Whether to fit a constant term, by ``"qr"`` alone. Rows are centred about a running mean, so that
        nothing is lost to large means. False unlike in :class:`LinearRegression`, as in :func:`lstsq`.
    ridge : float, default=0.0
        The penalty lambda; it may be changed between answers of ``"qr"``, see also :meth:`ridge_path`.
    level : float, default=0.95
        Confidence of intervals.
    guarantee, eps, delta, sketch, sketch_size, n : optional
        Of the sketch: see :func:`sketch_and_solve`. `n` is a bound on the number of rows, which only
        ``sketch="srht"`` needs, and depends on. ``method="qr"`` refuses them.
    rng : None, int, numpy.random.Generator or what :func:`numpy.random.default_rng` takes, optional
        Source of the seed of the sketch. Streams that are to be merged need the same one; ``"qr"`` has none.
    n_jobs : int, optional
        Number of threads; see :func:`nearlin.set_config` for the default. It does not change a bit of the
        result.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features)
        Coefficients from the rows so far; those of least norm if they are rank-deficient.
    intercept_ : float or ndarray of shape (n_targets,)
        Constant term, 0.0 if ``fit_intercept=False``.
    rank_ : int
        Numerical rank of the rows, centred if ``fit_intercept=True``.
    constant_features_ : ndarray of int
        Features that are constant but for rounding under an intercept: left out, with coefficient 0.
    certificate_ : Certificate
        Backward error of the fit for ``"qr"``, the largest error of a coefficient for ``"sketch"``.
    method_ : {"qr", "sketch"}
        What is kept.
    covered : tuple of range
        The rows so far.
    n_rows_seen : int
        Their number.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if a block had any: blocks and samples that have others, or another order, are
        refused.

    Raises
    ------
    InvalidInputError
        With the first rows, if a parameter is out of its domain, ``guarantee="linf"`` is asked of a sparse
        sketch, or an option of the sketch of ``method="qr"``.

    See Also
    --------
    LinearRegression : Rows that are in memory.
    nearlin.sketch.Accumulator : The sketch of a stream itself.

    Notes
    -----
    Blocks that come in order give the same bits wherever the stream is cut, for any number of threads. Those
    of a sketch are the bits of one call of :func:`sketch_and_solve`. Merges, and blocks in another order,
    agree to rounding.

    Rows go in tiles of some hundred on top of the triangle, by Householder's reflections; the factor is that
    of rows which differ from those given by a few rounding errors of each column, times the root of the
    number of leaves of about 2^18 numbers. That is in the bound of the certificate; its estimate was measured
    on the answer and the factor. Threads may share a stream; they add to it one after the other.

    Examples
    --------
    >>> import numpy as np
    >>> import nearlin
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((50_000, 10))
    >>> y = X @ np.arange(10.0) + 3.0 + rng.standard_normal(50_000)
    >>> here, there = (nearlin.StreamingLeastSquares(fit_intercept=True) for _ in range(2))
    >>> for start in range(0, 30_000, 7_000):
    ...     _ = here.partial_fit(X[start : start + 7_000], y[start : start + 7_000])
    >>> here.n_rows_seen
    35000
    >>> _ = there.partial_fit(X[35_000:], y[35_000:], row_offset=35_000)
    >>> received = nearlin.StreamingLeastSquares.from_bytes(there.to_bytes())
    >>> at_once = nearlin.LinearRegression().fit(X, y)
    >>> np.allclose(here.merge(received).coef_, at_once.coef_, rtol=0.0, atol=1e-13)
    True
    >>> here.certificate_.met
    True
    """

    def __init__(
        self,
        *,
        method: str = "auto",
        fit_intercept: bool = False,
        ridge: float = 0.0,
        level: float = 0.95,
        guarantee: str | None = "linf",
        eps: float = 0.5,
        delta: float = 0.01,
        sketch: str = "pht",
        sketch_size: int | None = None,
        n: int | None = None,
        rng: object = None,
        n_jobs: int | None = None,
    ) -> None:
        self.method = method
        self.fit_intercept = fit_intercept
        self.ridge = ridge
        self.level = level
        self.guarantee = guarantee
        self.eps = eps
        self.delta = delta
        self.sketch = sketch
        self.sketch_size = sketch_size
        self.n = n
        self.rng = rng
        self.n_jobs = n_jobs

    # ---------------------------------------------------------------- parameters

    def _check_parameters(self) -> None:
        check_choice(self.method, "method", METHODS)
        check_bool(self.fit_intercept, "fit_intercept")
        check_real(self.ridge, "ridge", at_least=0.0)
        check_real(self.level, "level", above=0.0, below=1.0)
        given = self._of_sketch()
        if self.method == "qr" and given:
            raise InvalidInputError(
                f"is {getattr(self, given[0])!r}, expected {SKETCH_OPTIONS[given[0]]!r} with method='qr', "
                "which has no sketch",
                argument=given[0],
            )
        if self._is_sketch():
            if self.fit_intercept:
                raise InvalidInputError(
                    "is True, expected False for a sketch: give a column of ones, or use method='qr'",
                    argument="fit_intercept",
                )
            self._new_sketch(0)

    def _of_sketch(self) -> list[str]:
        """Return the options of the sketch that were given."""
        values = {name: getattr(self, name) for name in SKETCH_OPTIONS}
        return [
            name
            for name, default in SKETCH_OPTIONS.items()
            if not (
                values[name] is default or (isinstance(values[name], str | Real) and values[name] == default)
            )
        ]

    def _is_sketch(self) -> bool:
        """Tell whether a sketch is kept of the rows."""
        method: object = self.method
        named = isinstance(method, str) and method
        return named == "sketch" or (named == "auto" and bool(self._of_sketch()))

    def _new_sketch(self, seed: object) -> SketchStream:
        options = {name: getattr(self, name) for name in SKETCH_OPTIONS}
        return SketchStream(**options, ridge=self.ridge, level=self.level, rng=seed)

    def _seed(self) -> int:
        """Return the seed that the stream has or will have."""
        with BEGINNING:
            if "_drawn" not in self.__dict__:
                self._drawn = as_seed(self.rng)
            return self._drawn

    def _begun(self) -> ExactStream | SketchStream:
        """Return the stream, a new one if there is none."""
        stream: ExactStream | SketchStream | None = self.__dict__.get("_stream")
        if stream is not None:
            if isinstance(stream, ExactStream) and stream._state.fit_intercept != self.fit_intercept:
                raise InvalidInputError(
                    f"was {stream._state.fit_intercept} when the stream began, expected no change",
                    argument="fit_intercept",
                )
            return stream
        self._check_parameters()
        fresh = (
            self._new_sketch(self._seed())
            if self._is_sketch()
            else ExactStream(fit_intercept=bool(self.fit_intercept))
        )
        with BEGINNING:
            begun: ExactStream | SketchStream = self.__dict__.setdefault("_stream", fresh)
        return begun

    # ---------------------------------------------------------------- rows

    @in_turn
    def fit(self, X: object, y: object = None, sample_weight: object = None) -> Self:
        """Forget what was before, and take rows in.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features), or RowBlocks
            All rows, or :func:`nearlin.data.blocks` of a file or of whatever else does not fit into memory,
            with their targets and weights.
        y : array_like of shape (n_samples,) or (n_samples, n_targets)
            Targets, taken in the dtype of X; None with RowBlocks.
        sample_weight : array_like of shape (n_samples,) or float, optional
            Weight of each squared residual; None with RowBlocks.

        Returns
        -------
        self
            The estimator itself.
        """
        fresh = type(self)(**self.get_params(deep=False))
        if isinstance(X, RowBlocks):
            if not fresh._take_blocks(X, y, sample_weight, None) and fresh.n_rows_seen:
                raise InvalidInputError(
                    "is zero everywhere, expected at least one positive weight", argument="sample_weight"
                )
        else:
            fresh._take(X, y, sample_weight, None, None, accept_zero=False, ensure_min_samples=1)
        fresh._settle()
        self._become(fresh)
        return self

    @in_turn
    def partial_fit(
        self,
        X: object,
        y: object = None,
        sample_weight: object = None,
        row_offset: int | None = None,
        *,
        n_jobs: int | None = None,
    ) -> Self:
        """Add rows: all of them or, after an error or Ctrl-C, none.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (rows, n_features), or RowBlocks
            float32 or float64 in any memory layout, or SciPy CSR or CSC, none of which is copied; data frames
            give their values, and other numbers are rounded to float64. There may be no rows. RowBlocks of
            :func:`nearlin.data.blocks` come with their targets and weights.
        y : array_like of shape (rows,) or (rows, n_targets)
            Their targets, taken in the dtype of X.
        sample_weight : array_like of shape (rows,) or float, optional
            Weight of each squared residual.
        row_offset : int, optional
            Which row of the stream the first row of X is; by default the one after the last row so far.
        n_jobs : int, optional
            Number of threads, in place of that of the estimator.

        Returns
        -------
        self
            The estimator itself.

        Raises
        ------
        InvalidInputError
            If the block does not fit those before (features must be those of the first one, in their order),
            holds NaN or infinity, or has a row that was added before, or if the stream was closed.

        Examples
        --------
        >>> import numpy as np
        >>> import nearlin
        >>> nearlin.StreamingLeastSquares().partial_fit(np.eye(7, 2), np.ones(7)).covered
        (range(0, 7),)
        """
        row_offset = optional(check_int, row_offset, "row_offset", at_least=0, at_most=LARGEST)
        if not isinstance(X, RowBlocks):
            self._take(X, y, sample_weight, row_offset, n_jobs)
            return self
        more = self.copy()
        more._take_blocks(X, y, sample_weight, row_offset, n_jobs)
        self._become(more)
        return self

    def _become(self, fresh: Self) -> None:
        """Take on the rows of another one, at once: an interrupt comes before or after."""
        ours = ("_stream", "_drawn", "_cache")
        kept = {name: value for name, value in self.__dict__.items() if name not in ours}
        self.__dict__ = kept | {name: fresh.__dict__[name] for name in ours if name in fresh.__dict__}

    def _take_blocks(
        self,
        rows: RowBlocks,
        y: object,
        sample_weight: object,
        row_offset: int | None,
        n_jobs: int | None = None,
    ) -> bool:
        """Add all blocks, and tell whether there was a positive weight."""
        for name, value in (("y", y), ("sample_weight", sample_weight)):
            if value is not None:
                raise InvalidInputError(
                    "is given beside rows in blocks, expected None: nearlin.data.blocks has it", argument=name
                )
        covered = self.covered
        first = (covered[-1].stop if covered else 0) if row_offset is None else row_offset
        weighty = False
        for block in rows:
            with naming_block(block):
                offset = first + block.start
                self._take(block.X, block.y, block.sample_weight, offset, n_jobs, rows.feature_names)
            weighty = weighty or block.sample_weight is None or bool(block.sample_weight.any())
        return weighty

    def _take(
        self,
        X: object,
        y: object,
        sample_weight: object,
        row_offset: int | None,
        n_jobs: int | None,
        names: list[str] | None = None,
        *,
        accept_zero: bool = True,
        ensure_min_samples: int = 0,
    ) -> None:
        matrix, targets, vector, weights = self._block(X, y, sample_weight, accept_zero, ensure_min_samples)
        names = string_names(X) if names is None else names
        threads = self.n_jobs if n_jobs is None else n_jobs
        stream = self._begun()
        with named_for_estimators(column_names(X) or names):
            stream.add(matrix, targets, weights, vector, names, row_offset, threads, None)

    def _block(
        self, X: object, y: object, sample_weight: object, accept_zero: bool, ensure_min_samples: int
    ) -> tuple[Matrix, Float, bool, npt.NDArray[np.float64] | None]:
        """Return rows, targets as columns, whether these were a vector, and weights."""
        matrix = self._matrix(X, ensure_min_samples)
        if y is None:
            raise InvalidTypeError(
                f"is None: {type(self).__name__} requires y to be passed, but the target y is None",
                argument="y",
            )
        weights = as_sample_weight(sample_weight, matrix.shape[0], accept_zero=accept_zero)
        return matrix, *as_rhs(y, matrix.shape[0], matrix.dtype, "y"), weights

    def _matrix(self, X: object, ensure_min_samples: int) -> Matrix:
        """Return rows, checked as scikit-learn does where their features are not plainly those so far."""
        known = self._shape
        if known is not None and getattr(X, "shape", ())[1:] == known[:1] and string_names(X) is None:
            return as_matrix(X, "X", allow_empty=True)
        if isinstance(X, np.ndarray):
            X = as_matrix(X, "X", allow_empty=True)  # which keeps single precision in any byte order
        if known is None:
            return samples(self, X, reset=None, ensure_min_samples=ensure_min_samples)
        try:
            return samples(self, X, reset=False, ensure_min_samples=ensure_min_samples)
        except InvalidInputError as error:
            if "features" in str(error):
                raise ShapeError(str(error)) from error
            raise

    @in_turn
    def remove(
        self,
        X: object,
        y: object,
        sample_weight: object = None,
        row_offset: int | None = None,
        *,
        n_jobs: int | None = None,
    ) -> Self:
        """Take out rows that came in before, as if they never had: for windows that move.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (rows, n_features)
            The rows, as they were.
        y : array_like of shape (rows,) or (rows, n_targets)
            Their targets, as they were.
        sample_weight : array_like of shape (rows,) or float, optional
            Their weights, as they were.
        row_offset : int, optional
            Which row of the stream the first of them is; by default the first of all so far.
        n_jobs : int, optional
            Number of threads, in place of that of the estimator.

        Returns
        -------
        self
            The estimator itself.

        Raises
        ------
        InvalidInputError
            If not all of them are in, if a sketch was kept, or if too little would be left, of rows or of
            targets: see below.

        Notes
        -----
        What all rows say of a direction v is :math:`|A v|^2`, of which those that stay have some share.
        Rounding of the factor grows by one over the smallest share of all directions, which is the smallest
        eigenvalue of :math:`I - W^T W`, W being the rows that go in coordinates in which all are orthonormal.
        That of all removals adds up, and rows that come afterwards make up for it. Growth by more than 1e6,
        after which ten digits are left, is refused, so that no column may be left without rows that tell of
        it, and no target that was large before be left with nothing; ``certificate_.bound`` has the factor.
        The sum of squares of the residuals is a difference: where fewer than six of its digits would be left,
        because residuals were some 1e4 times as large before, rows are not taken out either. Cost: that of
        the rows, and :math:`O(d^3)`. That the rows are the same as before is up to the caller: it is seen
        only where less than nothing would be left without them.

        Examples
        --------
        >>> import numpy as np
        >>> import nearlin
        >>> X, y = np.random.default_rng(0).standard_normal((900, 3)), np.arange(900.0)
        >>> stream = nearlin.StreamingLeastSquares().partial_fit(X, y).remove(X[:300], y[:300])
        >>> stream.covered
        (range(300, 900),)
        >>> np.allclose(stream.coef_, nearlin.lstsq(X[300:], y[300:]).x, rtol=1e-10)
        True
        """
        stream = self._exact("remove()")
        row_offset = optional(check_int, row_offset, "row_offset", at_least=0, at_most=LARGEST)
        matrix, targets, vector, weights = self._block(X, y, sample_weight, True, 0)
        threads = self.n_jobs if n_jobs is None else n_jobs
        with named_for_estimators(column_names(X)):
            stream.remove(matrix, targets, weights, vector, string_names(X), row_offset, threads)
        return self

    @in_turn
    def merge(self, other: Self, *, n_jobs: int | None = None) -> Self:
        """Add the rows of another stream with the same parameters, none of which this one may have.

        Parameters
        ----------
        other : StreamingLeastSquares
            The other stream; it stays as it is.
        n_jobs : int, optional
            Number of threads, in place of that of the estimator.

        Returns
        -------
        self
            This one.

        Raises
        ------
        InvalidInputError
            If both have a row, or if parameters, seeds, shapes or names differ.

        Notes
        -----
        Which rows are covered is exact. Results agree with those of one stream to rounding; the same merges
        in the same order give the same bits.
        """
        if not isinstance(other, type(self)):
            found, expected = type(other).__name__, type(self).__name__
            raise InvalidTypeError(f"is of type {found}, expected {expected}", argument="other")
        ours, theirs = self._begun(), other._begun()
        threads = self.n_jobs if n_jobs is None else n_jobs
        if isinstance(ours, SketchStream) and isinstance(theirs, SketchStream):
            ours.merge(theirs, n_jobs=threads)
        elif isinstance(ours, ExactStream) and isinstance(theirs, ExactStream):
            self._check_alike(other)
            ours.take([theirs], threads)
        else:
            kinds = {ExactStream: "qr", SketchStream: "sketch"}
            raise InvalidInputError(
                f"is a stream by method {kinds[type(theirs)]!r}, expected {kinds[type(ours)]!r}",
                argument="other",
            )
        return self

    def _check_alike(self, other: Self) -> None:
        for name in ("ridge", "level"):
            ours, theirs = getattr(self, name), getattr(other, name)
            if ours != theirs:
                raise InvalidInputError(f"has {name}={theirs!r}, expected {ours!r}", argument="other")

    @in_turn
    def close(self) -> Self:
        """Take no more rows; of those so far, none waits for others any more.

        Streams that see a part of the rows keep some as they are: up to some hundred by ``"qr"``, a chunk for
        each end of their ranges by dense sketches. Once closed, they are as small as can be, and can still be
        merged.

        Returns
        -------
        self
            This one.

        Examples
        --------
        >>> import numpy as np
        >>> import nearlin
        >>> stream = nearlin.StreamingLeastSquares().partial_fit(np.eye(300, 2), np.ones(300))
        >>> before = len(stream.to_bytes())
        >>> len(stream.close().to_bytes()) < before / 10
        True
        """
        if self._shape is None:
            raise InvalidInputError("is without rows so far, expected some rows first", argument="X")
        self._begun()._state.close()
        return self

    # ---------------------------------------------------------------- what they say

    @property
    def covered(self) -> tuple[range, ...]:
        """The rows so far, as ranges in increasing order."""
        stream = self.__dict__.get("_stream")
        return () if stream is None else stream.covered

    @property
    def n_rows_seen(self) -> int:
        """Number of rows so far."""
        return sum(map(len, self.covered))

    @property
    def _shape(self) -> tuple[int, int, bool] | None:
        """Features, targets, and whether these are one vector; None before the first block."""
        stream = self.__dict__.get("_stream")
        if stream is None or stream._state.shape is None:
            return None
        if isinstance(stream, SketchStream):
            d, k, _, vector = stream._state.shape
        else:
            d, k, vector, _ = stream._state.shape
        return d, k, vector

    def __sklearn_is_fitted__(self) -> bool:
        return self.n_rows_seen > 0

    @property
    def method_(self) -> str:
        """What is kept of the rows."""
        return "sketch" if isinstance(self._begun(), SketchStream) else "qr"

    @property
    def n_features_in_(self) -> int:
        """Number of features."""
        if self._shape is None:
            raise AttributeError("n_features_in_: there are no rows so far")
        return self._shape[0]

    @property
    def feature_names_in_(self) -> npt.NDArray[np.object_]:
        """Names of the features."""
        stream = self.__dict__.get("_stream")
        names = None if stream is None else stream._state.names
        if names is None:
            raise AttributeError("feature_names_in_: no block had names")
        return np.array(names, dtype=object)

    def result(self, *, n_jobs: int | None = None) -> StreamedLstsqResult | SketchAndSolveResult:
        """Return the answer from the rows so far with its certificate; the stream may go on.

        Parameters
        ----------
        n_jobs : int, optional
            Number of threads, in place of that of the estimator.

        Returns
        -------
        StreamedLstsqResult or SketchAndSolveResult
            By ``"qr"`` the former, of a sketch the latter, as :func:`sketch_and_solve` gives it.

        Raises
        ------
        InvalidInputError
            If there are no rows.

        Warns
        -----
        GuaranteeWarning
            If the sketch is sparse, so that nothing is known of single coefficients.

        Examples
        --------
        >>> import numpy as np
        >>> import nearlin
        >>> stream = nearlin.StreamingLeastSquares()
        >>> X = np.eye(7, 2)
        >>> stream.partial_fit(X, X @ [1.0, 2.0]).result().x
        array([1., 2.])
        """
        threads = self.n_jobs if n_jobs is None else n_jobs
        stream = self._begun()
        ridge = check_real(self.ridge, "ridge", at_least=0.0)
        with named_for_estimators():
            if isinstance(stream, SketchStream):
                return stream.solve(threads, None)
            return stream.result(ridge, threads)

    def _settle(self) -> dict[str, Any]:
        """Return what is made of the rows so far, once for all who ask."""
        stream = self._begun()
        stamp = stream._state.changes, self.ridge
        cache: dict[str, Any] = self.__dict__.get("_cache", {})
        if cache.get("stamp") != stamp:
            with named_for_estimators():
                if isinstance(stream, SketchStream):
                    found: Any = stream.solve(self.n_jobs, None)
                    x, intercept = found.x, 0.0
                    more = {"certificate": found.certificate, "rank": found.rank, "constant": []}
                else:
                    found, log_weight = stream.solve(
                        check_real(self.ridge, "ridge", at_least=0.0), self.n_jobs
                    )
                    x, intercept, more = self._of_factor(found, stream)
                    more["kept"], more["log_weight"] = Kept.of(found), log_weight
            cache = {"stamp": stamp, "coef": np.ascontiguousarray(x.T), "intercept": intercept, **more}
            self._cache = cache
        return cache

    def _of_factor(self, found: Solution, stream: ExactStream) -> tuple[Float, Any, dict[str, Any]]:
        shape = self._shape
        assert shape is not None
        vector, constant = shape[2], stream._state.fit_intercept
        x: Float = found["x"][:, 0] if vector else found["x"]
        intercept = found["intercept"].astype(x.dtype)[0 if vector else ...] if constant else 0.0
        certificate = certificate_of_factor(found, constant)
        return (
            x,
            intercept,
            {"certificate": certificate, "rank": found["rank"], "constant": found["constant"]},
        )

    @property
    def coef_(self) -> Float:  # type: ignore[override]
        """Coefficients from the rows so far."""
        coefficients: Float = self._fitted("coef")
        return coefficients

    @property
    def intercept_(self) -> Any:
        """Constant term."""
        return self._fitted("intercept")

    @property
    def rank_(self) -> int:
        """Numerical rank of the rows."""
        rank: int = self._fitted("rank")
        return rank

    @property
    def constant_features_(self) -> npt.NDArray[np.intp]:
        """Features that are constant but for rounding under an intercept."""
        return np.array(self._fitted("constant"), dtype=np.intp)

    @property
    def certificate_(self) -> LstsqCertificate:
        """What is known of the error, and how."""
        certificate: LstsqCertificate = self._fitted("certificate")
        return certificate

    def _fitted(self, name: str) -> Any:
        if not self.__sklearn_is_fitted__():
            raise AttributeError(f"{name}: there are no rows so far")
        return self._settle()[name]

    def _exact(self, what: str) -> ExactStream:
        stream = self._begun()
        if isinstance(stream, SketchStream):
            raise InvalidInputError(
                f"is {self.method!r}, expected 'qr' for {what}: a sketch was kept of the rows",
                argument="method",
            )
        return stream

    def summary(self, *, level: float | None = None) -> RegressionSummary:
        """Tabulate coefficients with standard errors, t statistics and confidence intervals.

        Parameters
        ----------
        level : float, optional
            Level of the confidence intervals; that of the estimator by default.

        Returns
        -------
        RegressionSummary
            As of :meth:`LinearRegression.summary`, for noise of equal variance over the weights: robust
            standard errors take another look at the rows.

        Raises
        ------
        InvalidInputError
            If there are no rows, no degree of freedom is left, or a sketch was kept.

        Examples
        --------
        >>> import numpy as np
        >>> import nearlin
        >>> rng = np.random.default_rng(0)
        >>> X = rng.standard_normal((500, 2))
        >>> y = X @ [1.0, 0.0] + 3.0 + rng.standard_normal(500)
        >>> nearlin.StreamingLeastSquares(fit_intercept=True).fit(X, y).summary()
        StreamingLeastSquares: 500 samples, rank 3, 497 degrees of freedom
        R squared 0.5060, adjusted 0.5040, sigma 1.012, covariance nonrobust
        F 254.498 (p 7.93e-77), log-likelihood -713.724, AIC 1433.45, BIC 1446.09
        ----------------------------------------------------------
                      coef  std err       t  P>|t|  [0.025  0.975]
        ----------------------------------------------------------
        intercept   3.0534    0.045  67.226  0.000   2.964   3.143
        x0          1.0361    0.046  22.545  0.000   0.946   1.126
        x1         -0.0465    0.047  -0.995  0.320  -0.138   0.045
        ----------------------------------------------------------
        """
        self._exact("summary()")
        level = check_real(self.level if level is None else level, "level", above=0.0, below=1.0)
        found = self._settle()
        return tabulated(self, found["kept"], level=level, log_weight=found["log_weight"])

    def cov_params(self) -> npt.NDArray[np.float64]:
        """Estimate the covariance matrix of the coefficients, for noise of equal variance over the weights.

        Returns
        -------
        ndarray of shape (p, p) or (n_targets, p, p)
            As of :meth:`LinearRegression.cov_params`: the intercept, if there is one, comes first.

        Raises
        ------
        InvalidInputError
            If there are no rows, no degree of freedom is left, or a sketch was kept.
        """
        self._exact("cov_params()")
        with named_for_estimators():
            matrices = self._settle()["kept"].covariances()[0]
        return matrices if self.coef_.ndim == 2 else matrices[0]  # type: ignore[no-any-return]

    def ridge_path(self, alphas: npt.ArrayLike) -> tuple[Float, npt.NDArray[np.float64]]:
        """Return the fits for many penalties, from one decomposition of the factor where that will do.

        Parameters
        ----------
        alphas : array_like of shape (n_alphas,)
            Penalties, none negative.

        Returns
        -------
        coef : ndarray of shape (n_alphas, n_features) or (n_alphas, n_targets, n_features)
            Coefficients.
        intercept : ndarray of shape (n_alphas,) or (n_alphas, n_targets)
            Constant terms; zeros without one.

        Raises
        ------
        InvalidInputError
            If there are no rows, a penalty is negative, or a sketch was kept.

        Notes
        -----
        What is below rounding of the rows has no part in a fit, as without a penalty. Where features differ
        in length by more than 65536, or units decide on the rank, each penalty takes a factorisation.

        Examples
        --------
        >>> import numpy as np
        >>> import nearlin
        >>> stream = nearlin.StreamingLeastSquares().partial_fit(np.eye(2), [1.0, 2.0])
        >>> stream.ridge_path([0.0, 1.0])[0].round(12)
        array([[1. , 2. ],
               [0.5, 1. ]])
        """
        stream = self._exact("ridge_path()")
        penalties = as_vector(alphas, "alphas")
        check_finite(penalties, "alphas")
        if penalties.size and penalties.min() < 0.0:
            raise InvalidInputError(f"has {penalties.min()}, expected no negative penalty", argument="alphas")
        with named_for_estimators():
            x, intercepts = stream._state.ridge_path(penalties)  # type: ignore[arg-type]
        shape = self._shape
        assert shape is not None
        d, k, vector = shape
        coefficients = np.ascontiguousarray(x.T).reshape(len(penalties), k, d)
        constants = np.array(intercepts).reshape(len(penalties), k)
        return (coefficients[:, 0], constants[:, 0]) if vector else (coefficients, constants)

    # ---------------------------------------------------------------- copies and bytes

    def copy(self) -> Self:
        """Return an independent copy."""
        twin = type(self)(**self.get_params(deep=False))
        if "_stream" in self.__dict__:
            twin._stream = self._stream.copy()
        elif self._is_sketch():
            twin._drawn = self._seed()
        twin.__dict__.update(settings_of(self))
        return twin

    _stream: ExactStream | SketchStream

    def to_bytes(self) -> bytes:
        """Return the state and the parameters as bytes, with version and checksum."""
        stream = self._begun()
        if isinstance(stream, SketchStream):
            return stream.to_bytes()
        parameters = {
            "method": self.method,
            "fit_intercept": bool(self.fit_intercept),
            "ridge": float(self.ridge),
            "level": float(self.level),
            "n_jobs": plain(self.n_jobs),
        }
        return stream._state.to_bytes(json.dumps(parameters))

    @classmethod
    def _restored(cls, data: bytes, parameters: dict[str, Any] | None = None) -> Self:
        # The name of its kind is where every state has it; whoever reads the bytes checks them all.
        if data[8:24].rstrip(b"\0") == b"least squares":
            sketch = SketchStream._restored(data)
            of_sketch = sketch._state.parameters
            restored = cls(**({"method": "sketch", **of_sketch} if parameters is None else parameters))
            restored._stream = sketch
            return restored
        state, text = _core.TriangularStream.from_bytes(data)
        try:
            restored = cls(**(json.loads(text) if parameters is None else parameters))
        except (ValueError, TypeError) as error:
            raise StateError(f"cannot restore the state: its words do not make sense ({error})") from None
        if state.fit_intercept != restored.fit_intercept:
            raise StateError("cannot restore the state: its words are about another one")
        if state.shape is not None:
            restored._stream = ExactStream._wrap(state)
        return restored

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self)._restored, (self.to_bytes(), self.get_params(deep=False)), settings_of(self) or None

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        rows = f"{self.n_rows_seen} rows" + (f" of {self._shape[0]} columns" if self._shape else "")
        stream = self.__dict__.get("_stream")
        if self._is_sketch() if stream is None else isinstance(stream, SketchStream):
            seed = self._seed() if stream is None else stream._state.parameters["rng"]
            return f"<StreamingLeastSquares of {rows}, by {self.sketch!r} with seed {seed}>"
        return f"<StreamingLeastSquares of {rows}, by 'qr'>"
