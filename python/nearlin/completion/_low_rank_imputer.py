"""Missing values of a table, filled by a model of low rank."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.impute import MissingIndicator
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from nearlin._certificate import Certificate
from nearlin._estimator import samples
from nearlin._frames import is_frame, string_names
from nearlin._log import tell
from nearlin._sparse import is_sparse
from nearlin._validation import Float, allocating, as_seed, check_bool, check_int, check_real, optional
from nearlin.exceptions import InvalidInputError, InvalidTypeError

from ._entries import as_rows
from ._matrix_completion import MatrixCompletion

__all__ = ["LowRankImputer"]

BLOCK = 2**22
"""Entries that are filled at a time."""
HELD_OUT = 2000
"""Entries that choose well."""


class Fitted(NamedTuple):
    """What fills a table: whoever takes it has all of one fit, whatever is fitted meanwhile."""

    model: MatrixCompletion
    mean: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    indicator: Any
    observed: npt.NDArray[np.bool_]
    """Of each column, whether there was any value."""
    varies: npt.NDArray[np.bool_]
    """And whether there were different ones."""
    modelled: npt.NDArray[np.bool_]
    """And whether it is in the model, to which those that do not vary have nothing to tell."""


class LowRankImputer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    r"""Fill the missing values of a table by a model of low rank, and leave the others as they are.

    What :class:`sklearn.impute.IterativeImputer` is for a few columns, in time linear in the entries that are
    there: columns are brought to mean zero and variance one, :class:`nearlin.MatrixCompletion` is fitted to
    what was observed of them [1]_, and every row that comes is regressed on the columns of the model by what
    is there of it.

    Parameters
    ----------
    rank : int or "auto", default="auto"
        Number of components. ``"auto"`` takes the one with the smallest error on entries that are held out.
    reg : float, optional
        Penalty, in units of the standard deviation. None chooses it by the error on held-out entries, as
        :class:`nearlin.MatrixCompletion` does.
    bias : bool or "auto", default="auto"
        Whether rows and columns have biases, which help where rows are above or below the mean in all
        columns. ``"auto"`` takes what has the smaller error on held-out entries.
    standardize : bool, default=True
        Whether columns are divided by their standard deviation. Their means are subtracted either way.
    missing_values : float, None or pandas.NA, default=numpy.nan
        What stands for a missing value; None and NA are NaN, as in frames.
    add_indicator : bool, default=False
        Whether columns of zeros and ones, which tell where values were missing, are put behind the others:
        one for each column that has missing values in the fit.
    keep_empty_features : bool, default=False
        Whether columns without any value in the fit are kept, zeros being what is missing in them, or left
        out.
    max_iter : int, default=100
        Most sweeps of the last fit.
    tol : float, default=1e-4
        Sweeps end when one decreases the objective by no more, relative to it.
    validation_fraction : float, optional
        The part of the entries that is held out to choose what is open by, in [0, 0.5]; the model is
        fitted to all entries in the end. By default 0.05, or more, up to 0.2, for 2,000 of them; nothing if
        `rank`, `reg` and `bias` are given and there are few entries.
    random_state : None, int or numpy.random.RandomState, optional
        Of the start, and of what is held out.
    n_jobs : int, optional
        Number of threads. None means the setting of :func:`nearlin.set_config`. It never changes a bit.

    Attributes
    ----------
    model_ : MatrixCompletion
        Of the columns whose values vary, less `mean_` and over `scale_`; of all that have values if none do.
    rank_ : int
        Number of components.
    reg_ : float
        The penalty.
    bias_ : bool
        Whether there are biases.
    path_ : list of (int, float, bool, float)
        Ranks, penalties and biases that were tried and the root mean square errors with them, the best last;
        empty if all were given.
    n_iter_ : int
        Sweeps of the last fit.
    mean_, scale_ : ndarray of shape (n_features,)
        Means and standard deviations of the columns, 0 and 1 where nothing was observed.
    indicator_ : sklearn.impute.MissingIndicator or None
        Which columns have missing values.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, if all are strings.
    certificate_ : Certificate
        Root mean square error on held-out entries, in standard deviations of their columns, which vary:
        ``float`` of it is a bound that holds in 95 of 100 cases, NaN if nothing was held out; the model in
        the end has seen these entries too, so that its error is mostly smaller. It is that of values that
        are missing for no reason; where whether a value is missing depends on what it is, it says nothing.

    See Also
    --------
    nearlin.MatrixCompletion : The model, for ratings and other entries without columns of their own scale.

    Notes
    -----
    A fit takes :math:`O(|\Omega| k^2)` for each of twelve sweeps of some thirty fits, where there are
    :math:`|\Omega|` values and k components; :meth:`transform` takes as long as half a sweep. Columns without
    values, or with one value only, are not in the model: they change nothing of the others. The rows of the
    fit are filled by the same regressions as any others: ``fit_transform(X)`` is ``fit(X).transform(X)``.

    References
    ----------
    .. [1] T. Hastie, R. Mazumder, J. D. Lee, R. Zadeh, "Matrix completion and low-rank SVD via fast
           alternating least squares", JMLR 16 (2015).

    Examples
    --------
    >>> import numpy as np
    >>> import nearlin
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.standard_normal((300, 3)) @ rng.standard_normal((3, 20))
    >>> X = np.where(rng.random(truth.shape) < 0.3, np.nan, truth)
    >>> filled = nearlin.LowRankImputer(random_state=0).fit_transform(X)
    >>> bool(np.abs(filled - truth).mean() < 0.02)
    True
    """

    model_: MatrixCompletion
    rank_: int
    reg_: float
    bias_: bool
    path_: list[tuple[int, float, bool, float]]
    n_iter_: int
    mean_: npt.NDArray[np.float64]
    scale_: npt.NDArray[np.float64]
    indicator_: Any
    certificate_: Certificate
    n_features_in_: int
    _fitted: Fitted

    def __init__(
        self,
        rank: int | str = "auto",
        *,
        reg: float | None = None,
        bias: bool | str = "auto",
        standardize: bool = True,
        missing_values: object = np.nan,
        add_indicator: bool = False,
        keep_empty_features: bool = False,
        max_iter: int = 100,
        tol: float = 1e-4,
        validation_fraction: float | None = None,
        random_state: object = None,
        n_jobs: int | None = None,
    ) -> None:
        self.rank = rank
        self.reg = reg
        self.bias = bias
        self.standardize = standardize
        self.missing_values = missing_values
        self.add_indicator = add_indicator
        self.keep_empty_features = keep_empty_features
        self.max_iter = max_iter
        self.tol = tol
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.n_jobs = n_jobs

    @allocating("what a fit takes")
    def fit(self, X: object, y: object = None) -> Self:
        """Fit the model to the values that are there.

        Parameters
        ----------
        X : array_like or frame of shape (n_samples, n_features)
            The table.
        y : ignored
            For pipelines.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        InvalidInputError
            If all values are missing, or one is infinite.

        Warns
        -----
        AccuracyWarning
            If the objective still falls by more than a hundredth in the last of `max_iter` sweeps.
        """
        if self.rank != "auto":
            check_int(self.rank, "rank", at_least=1)
        optional(check_real, self.reg, "reg", at_least=0.0)
        if self.bias != "auto":
            check_bool(self.bias, "bias")
        for name in ("standardize", "add_indicator", "keep_empty_features"):
            check_bool(getattr(self, name), name)
        seed = as_seed(self.random_state, "random_state")
        matrix, missing = self._table(X, reset=None)
        observed = np.asarray(~missing.all(axis=0))
        if not observed.any():
            raise InvalidInputError("has no values but missing ones, expected at least one", argument="X")
        mean, deviation = _moments(matrix, missing)
        varies = deviation > 0.0
        modelled = varies if varies.any() else observed
        scale = np.where(varies, deviation, 1.0) if self.standardize else np.ones(len(mean))
        model = self._completed(_stored(_standard(matrix, missing, mean, scale)[:, modelled]), seed)
        figures = model._fitted.figures
        path = sorted(figures["path"], key=lambda entry: -entry[-1])
        indicator = None
        if self.add_indicator:
            indicator = MissingIndicator(missing_values=self._marker(), error_on_new=False).fit(matrix)
        self.n_features_in_ = matrix.shape[1]
        self.__dict__.pop("feature_names_in_", None)
        names = string_names(X) if is_frame(X) else None
        if names is not None:
            self.feature_names_in_ = np.asarray(names, dtype=object)
        self.__dict__.update(
            _fitted=Fitted(model, mean, scale, indicator, observed, varies, modelled),
            model_=model,
            bias_=bool(figures["bias"]),
            path_=[(int(rank), float(reg), bool(bias), float(error)) for rank, reg, bias, error in path],
            indicator_=indicator,
            rank_=model.U_.shape[1],
            reg_=model.reg_,
            n_iter_=model.n_iter_,
            mean_=mean,
            scale_=scale,
            certificate_=_certificate(model.certificate_),
        )
        tell("LowRankImputer", self.explain)
        return self

    @allocating("a table without gaps")
    def transform(self, X: object) -> Any:
        """Fill missing values.

        Parameters
        ----------
        X : array_like or frame of shape (n_samples, n_features)
            A table with the columns of the fit.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out)
            The table, float32 if it was that, with numbers for what is missing; without the columns that had
            no value in the fit unless these are kept, and with the indicators behind.
        """
        check_is_fitted(self)
        matrix, missing = self._table(X, reset=False)
        fitted = self._fitted
        observed, filled = fitted.observed, matrix.copy()
        filled[:, ~observed] = np.where(missing, 0.0, matrix)[:, ~observed]
        affected = np.flatnonzero((missing & observed).any(axis=1))
        step = max(1, BLOCK // matrix.shape[1])
        for start in range(0, len(affected), step):
            rows = affected[start : start + step]
            whole = filled[rows]
            part = np.where(missing[rows], _predicted(fitted, matrix[rows], missing[rows]), whole)
            filled[rows] = np.where(observed, part, whole)
        kept = filled if self.keep_empty_features else filled[:, observed]
        if fitted.indicator is None:
            return kept
        return np.hstack([kept, missing[:, fitted.indicator.features_]])

    def get_feature_names_out(self, input_features: object = None) -> npt.NDArray[Any]:
        """Return the names of the columns that :meth:`transform` gives.

        Parameters
        ----------
        input_features : array_like of str, optional
            Names of the columns of the fit; ``feature_names_in_`` or x0, x1 and so on by default.

        Returns
        -------
        ndarray of str
            The names, those of indicators with ``missingindicator_`` before the name of the column.
        """
        check_is_fitted(self)
        names: npt.NDArray[Any] = super().get_feature_names_out(input_features)
        fitted = self._fitted
        kept = names if self.keep_empty_features else names[fitted.observed]
        if fitted.indicator is None:
            return kept
        return np.concatenate([kept, fitted.indicator.get_feature_names_out(names)])

    def explain(self) -> str:
        """Return in words how rank and penalty were found and what is known of the error.

        Returns
        -------
        str
            A few lines.
        """
        check_is_fitted(self)
        found = f"rank {self.rank_}, reg {self.reg_:.3g}, {'with' if self.bias_ else 'without'} biases, "
        tried = len(self.path_)
        found += f"the best of {tried} models on held-out entries" if tried else "as given"
        return "\n".join([found, *self.model_.explain().splitlines()[:1], str(self.certificate_)])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = bool(np.isnan(self._marker()))
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _marker(self) -> float:
        """Return what stands for a missing value as a number."""
        value: Any = self.missing_values
        if value is None or type(value).__name__ == "NAType":
            return np.nan
        if isinstance(value, float | np.floating) and value != value:
            return np.nan
        return check_real(value, "missing_values")

    def _table(self, X: object, *, reset: bool | None) -> tuple[Float, npt.NDArray[np.bool_]]:
        """Return X, NaN where a value is missing, and where that is."""
        marker = self._marker()
        matrix = samples(self, X, reset=reset, finite="allow-nan" if np.isnan(marker) else True)
        if is_sparse(matrix):
            raise InvalidTypeError(
                "is sparse, expected a dense array, for what is not stored is zero and not missing; or see "
                "MatrixCompletion",
                argument="X",
            )
        # Sums of columns depend on how these lie in memory.
        matrix = np.ascontiguousarray(matrix)
        return matrix, np.isnan(matrix) if np.isnan(marker) else matrix == marker

    def _completed(self, rows: Any, seed: int) -> MatrixCompletion:
        """Return the model of the standardised entries."""
        open_ = self.rank == "auto" or self.reg is None or self.bias == "auto"
        fraction = self.validation_fraction
        if fraction is None and open_:
            fraction = min(0.2, max(0.05, HELD_OUT / rows.nnz))
        elif fraction == 0.0 and open_:
            raise InvalidInputError(
                "is 0, expected entries by which to choose what is open of `rank`, `reg` and `bias`",
                argument="validation_fraction",
            )
        return MatrixCompletion(
            self.rank,
            reg=self.reg,
            bias=self.bias,
            max_iter=self.max_iter,
            tol=self.tol,
            validation_fraction=fraction,
            random_state=seed,
            n_jobs=self.n_jobs,
        ).fit(rows)


def _predicted(fitted: Fitted, matrix: Float, missing: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return what the model makes of all columns of some rows, in units of the table."""
    modelled = fitted.modelled
    rows = _standard(matrix, missing, fitted.mean, fitted.scale)[:, modelled]
    found = fitted.model.inverse_transform(*fitted.model.transform(rows, return_bias=True))
    # What has always been the same is expected to be that.
    whole = np.repeat(fitted.mean[np.newaxis], len(matrix), axis=0)
    whole[:, modelled] += found * np.where(fitted.varies, fitted.scale, 0.0)[modelled]
    return whole


def _stored(matrix: Float) -> Any:
    """Return the values of a table that are not NaN as a sparse matrix."""
    shape, rows, cols, values = as_rows(matrix, matrix.shape[1]).source
    return csr_array((values, (rows, cols)), shape=shape)


def _moments(
    matrix: Float, missing: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return means and standard deviations of the values of each column; 0 where nothing varies."""
    size = np.max(np.abs(matrix), axis=0, where=~missing, initial=0.0).astype(np.float64)
    unit = np.where(size > 0.0, size, 1.0)
    count = np.maximum(np.count_nonzero(~missing, axis=0), 1)
    # In units in which no square is out of range.
    values = np.where(missing, 0.0, matrix / unit)
    mean = values.sum(axis=0) / count
    deviation = np.sqrt(np.sum(np.where(missing, 0.0, values - mean) ** 2, axis=0) / count)
    return mean * unit, np.where(deviation > 4.0 * np.finfo(matrix.dtype).eps, deviation * unit, 0.0)


def _standard(
    matrix: Float,
    missing: npt.NDArray[np.bool_],
    mean: npt.NDArray[np.float64],
    scale: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Return the table in units of the model, NaN where values are missing."""
    return np.where(missing, np.nan, (matrix - mean) / scale)


def _certificate(certificate: Certificate) -> Certificate:
    """Return the certificate of a model in words for tables."""
    # The model has been fitted to what was held out since: of its error that is no lower bound.
    details = {name: item for name, item in certificate.details.items() if name != "interval"}
    return replace(certificate, quantity="RMSE on held-out entries, in standard deviations", details=details)
