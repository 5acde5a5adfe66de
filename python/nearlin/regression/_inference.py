"""Standard errors of fitted coefficients, and the table that is made of them."""

from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.sparse.csgraph import connected_components
from scipy.special import fdtrc, stdtr, stdtrit
from sklearn.utils.validation import check_is_fitted

from nearlin import _core
from nearlin._config import resolve_threads
from nearlin._estimator import LinearModel, named_for_estimators, samples
from nearlin._validation import (
    Float,
    Matrix,
    as_sample_weight,
    check_bool,
    check_choice,
    check_real,
    is_blocks,
    refuse_beside,
)
from nearlin._warn import warn
from nearlin.exceptions import InvalidInputError, LeverageWarning, ShapeError

from ._estimator import LeastSquares
from ._influence import Distances, Influence, influence_of, residuals_of
from ._solve import Solution
from ._summary import RegressionSummary

__all__ = ["Inference", "Kept", "tabulated"]

Array: TypeAlias = npt.NDArray[np.float64]

Covariances: TypeAlias = tuple[list[Array], float, list[int]]
"""Matrices, degrees of freedom, and rows that the fit passes through."""

KINDS = ("nonrobust", "HC0", "HC1", "HC2", "HC3")

NARROW = 128
"""Matrices of fewer columns than this are not solved faster by a factor that is less than exact."""

TOGETHER = 1e-6
"""Directions that move two coefficients have a larger cosine; otherwise these are moved apart."""

STRANGE = 0.1
"""Leverages whose sum is as far from the rank, relatively, are not those of the fit."""

BLIND = 1e-8
"""A coefficient that changes by less than this along every direction that X is blind to is identified."""


class Inference(LeastSquares):
    """An estimator that knows how sure its coefficients are."""

    inference: bool | None

    def fit(self, X: object, y: object = None, sample_weight: object = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : array_like, sparse matrix or RowBlocks of shape (n_samples, n_features)
            Samples, not copied if float32 or float64; sparse ones as CSR or CSC. Samples that are not in
            memory come from :func:`nearlin.data.blocks`, with their targets and weights.
        y : array_like of shape (n_samples,) or (n_samples, n_targets)
            Targets, taken in the dtype of X. A single column stays one in `coef_` and predictions, as with
            scikit-learn's LinearRegression, where its Ridge and RidgeCV take it for a vector.
        sample_weight : array_like of shape (n_samples,) or float, optional
            Weight of each squared residual.

        Returns
        -------
        self
            The estimator itself.
        """
        matrix: Any
        targets: Float | None
        if is_blocks(X):
            refuse_beside(y=y, sample_weight=sample_weight)
            matrix, targets = X, None
            single, few = matrix.target_shape == (), matrix.n_features < NARROW
        else:
            matrix, targets, single = self._validate(X, y)
            few = isinstance(matrix, np.ndarray) and matrix.shape[1] < NARROW
        keep = check_bool(few if self.inference is None else self.inference, "inference")
        solution = self._solution(matrix, targets, sample_weight=sample_weight, keep_factor=keep)
        self._adopt(solution, single)
        self._residual_norm = solution["residual_norm"]
        self._kept = Kept.of(solution) if keep else None
        self._log_weight = solution.get("log_weight", 0.0)
        if targets is not None and sample_weight is not None:
            weights: Any = as_sample_weight(sample_weight, matrix.shape[0])
            self._log_weight = float(np.log(weights[weights > 0.0]).sum())
        return self

    def predict(self, X: object, *, interval: float | None = None) -> Any:
        """Predict targets, with the intervals in which they are to be expected if these are asked for.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Samples.
        interval : float, optional
            Level of the intervals for a single new target of weight one in each row, such as 0.95: by
            Student's t, for normal noise of the same variance as in the fit.

        Returns
        -------
        predicted : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Predicted values.
        low, high : ndarray of the same shape
            With `interval`: its ends. NaN for rows of which X was blind to a direction, as its columns depend
            on each other: another prediction would fit as well.

        Raises
        ------
        InvalidInputError
            If `interval` is asked of a fit with a penalty, which shifts predictions by an amount that nobody
            knows, or of one that kept no factor (see the parameter `inference`).

        Notes
        -----
        These are statsmodels' ``obs_ci_lower`` and ``obs_ci_upper``. With ``cov_params`` there are those of
        the expected value too: the root of ``z @ model.cov_params() @ z`` is its standard error for
        z = [1, x].

        Examples
        --------
        >>> import numpy as np
        >>> from nearlin import LinearRegression
        >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), [1.0, 1.0, 4.0, 4.0]
        >>> predicted, low, high = LinearRegression().fit(X, y).predict([[1.5]], interval=0.95)
        >>> predicted.round(2), low.round(2), high.round(2)
        (array([2.5]), array([-2.06]), array([7.06]))
        """
        if interval is None:
            return super().predict(X)
        level = check_real(interval, "interval", above=0.0, below=1.0)
        check_is_fitted(self)
        matrix = samples(self, X, reset=False, finite=True)
        kept = self._without_penalty("interval")
        predicted = self._predicted(matrix)
        sigma, freedom = self._noise(kept)
        half = np.sqrt(1.0 + kept.distances().of(matrix))[:, np.newaxis] * sigma
        half *= stdtrit(freedom, (1.0 + level) / 2.0)
        half = half.reshape(predicted.shape).astype(predicted.dtype)
        return predicted, predicted - half, predicted + half

    def influence(self, X: object, y: object, sample_weight: object = None) -> Influence:
        """Tell how much each row of the fit decides it: leverage, studentised residuals, Cook's distance.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            The samples of the fit.
        y : array_like of shape (n_samples,) or (n_samples, n_targets)
            The targets of the fit.
        sample_weight : array_like of shape (n_samples,) or float, optional
            The weights of the fit, if it had any.

        Returns
        -------
        Influence
            The figures, by row. :class:`nearlin.plot.LeverageDisplay` draws them.

        Raises
        ------
        InvalidInputError
            If the fit had a penalty, kept no factor, or left no degree of freedom, or if the data are not
            those of the fit: their weights, the sum of their leverages or their residuals are others.

        Notes
        -----
        Cost: one read of X and n d^2 operations.

        Examples
        --------
        >>> import numpy as np
        >>> from nearlin import LinearRegression
        >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0], [20.0]]), [1.0, 1.0, 4.0, 4.0, 5.0]
        >>> found = LinearRegression().fit(X, y).influence(X, y)
        >>> found.leverage.round(2), int(found.cooks_distance.argmax())
        (array([0.3 , 0.26, 0.24, 0.22, 0.99]), 4)
        """
        check_is_fitted(self)
        kept = self._without_penalty("influence")
        matrix, targets = self._data_of_fit("nonrobust", X, y)
        sigma, freedom = self._noise(kept)
        weights, distances = as_sample_weight(sample_weight, matrix.shape[0]), kept.distances().of(matrix)
        coef = np.atleast_2d(self.coef_)
        residuals = residuals_of(matrix, targets, coef, self.intercept_)
        kept.recognise(distances, residuals, weights, coef, self.intercept_)
        if kept.means is not None:
            residuals -= np.average(residuals, axis=0, weights=weights)  # an intercept is rounded
        found = influence_of(distances, residuals, weights, sigma, freedom, kept.rank)
        return found if self.coef_.ndim == 2 else found.of_one_target()

    def _without_penalty(self, asked: str) -> "Kept":
        """What a fit without a penalty kept."""
        kept: Kept | None = self._kept
        if kept is None:
            raise InvalidInputError(
                f"`{asked}` needs a factor, and this fit kept none: fit with inference=True"
            )
        if any(kept.ridges):
            raise InvalidInputError(
                f"`{asked}` needs a fit without a penalty, which shifts predictions by what nobody knows"
            )
        return kept

    def _noise(self, kept: "Kept") -> tuple[Array, Array]:
        """Standard errors of residuals of weight one, and their degrees of freedom, of every target."""
        _, freedom, _ = self._covariances("nonrobust", None, None, None)
        return kept.residual_norm / np.sqrt(freedom), freedom

    def cov_params(
        self,
        kind: str = "nonrobust",
        X: object = None,
        y: object = None,
        sample_weight: object = None,
    ) -> Array:
        r"""Estimate the covariance matrix of the coefficients.

        Parameters
        ----------
        kind : {"nonrobust", "HC0", "HC1", "HC2", "HC3"}, default="nonrobust"
            What is supposed of the noise.

            - ``"nonrobust"``: variances proportional to 1 / `sample_weight`. Nothing is read if the fit kept
              its factor; see the parameter `inference` of the estimator.
            - ``"HC0"``: any variances, estimated by squared residuals (White).
            - ``"HC1"``: that times n / (degrees of freedom).
            - ``"HC2"``: squared residuals over 1 - leverage, unbiased if the variances are equal after all.
            - ``"HC3"``: over (1 - leverage)^2, close to the jackknife: the one to take for small samples.
        X : array_like or sparse matrix of shape (n_samples, n_features), optional
            The samples of the fit; needed for every kind but ``"nonrobust"``, and for that one too if the fit
            kept no factor, which then costs another fit.
        y : array_like of shape (n_samples,) or (n_samples, n_targets), optional
            The targets of the fit, needed where X is.
        sample_weight : array_like of shape (n_samples,) or float, optional
            The weights of the fit, if it had any, needed where X is.

        Returns
        -------
        ndarray of shape (p, p) or (n_targets, p, p)
            Covariances of the intercept, which comes first if there is one, and of the coefficients in the
            order of the features; one matrix for each target if y had columns.

        Raises
        ------
        InvalidInputError
            If data are needed and not given, if they are not those of the fit, or if no degree of freedom is
            left.

        Warns
        -----
        LeverageWarning
            If HC2 or HC3 meets rows that the fit passes through whatever their targets are: they tell nothing
            of their noise, and are left out.

        Notes
        -----
        The formulas are those of statsmodels: with :math:`\tilde A` = W^(1/2) [1, X] and its pseudo-inverse,
        :math:`\sigma^2 \tilde A^+ (\tilde A^+)^T` and :math:`\tilde A^+ \operatorname{diag}(e_i^2)
        (\tilde A^+)^T`, e being the weighted residuals. Degrees of freedom are n less the rank, n being the
        number of rows of positive weight.

        If X is rank-deficient, these are the covariances of the coefficients of least norm, the intercept not
        counted: those of what the data determine are right, and along a direction that they do not determine
        the variance is zero, not infinite.

        With a penalty the same sandwich is made with :math:`(\tilde A^T \tilde A + \alpha)^{-1} \tilde A^T`
        in place of the pseudo-inverse, and with the trace of the hat matrix in place of the rank. It tells
        how much the estimate varies from sample to sample, and nothing of the bias that the penalty gives it.

        Cost: O(d^3) operations for ``"nonrobust"``; for the others one read of X and 2 n d^2 operations for
        each target, and a read for the means if there is an intercept. Rows are taken a block at a time,
        nothing of the size of X is stored.

        Examples
        --------
        >>> import numpy as np
        >>> from nearlin import LinearRegression
        >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), [1.0, 1.0, 4.0, 4.0]
        >>> model = LinearRegression().fit(X, y)
        >>> model.cov_params().round(12)
        array([[ 0.63, -0.27],
               [-0.27,  0.18]])
        >>> model.cov_params("HC0", X, y).round(12)
        array([[ 0.1854, -0.0486],
               [-0.0486,  0.0324]])
        """
        matrices = self._covariances(kind, X, y, sample_weight)[0]
        return matrices if self.coef_.ndim == 2 else matrices[0]

    def summary(
        self,
        kind: str = "nonrobust",
        X: object = None,
        y: object = None,
        sample_weight: object = None,
        *,
        level: float = 0.95,
    ) -> RegressionSummary:
        """Tabulate coefficients with standard errors, t statistics and confidence intervals.

        Parameters
        ----------
        kind : {"nonrobust", "HC0", "HC1", "HC2", "HC3"}, default="nonrobust"
            Kind of the covariances to take the standard errors from; see :meth:`cov_params`.
        X : array_like or sparse matrix of shape (n_samples, n_features), optional
            The samples of the fit, where :meth:`cov_params` needs them.
        y : array_like of shape (n_samples,) or (n_samples, n_targets), optional
            The targets of the fit.
        sample_weight : array_like of shape (n_samples,) or float, optional
            The weights of the fit.
        level : float, default=0.95
            Level of the confidence intervals.

        Returns
        -------
        RegressionSummary
            A table to be printed, whose columns are attributes.

        Notes
        -----
        Probabilities are those of Student's t for every `kind`, as with ``use_t=True`` in statsmodels, which
        takes the normal distribution for robust ones by default. With a penalty they are about the expected
        value of the coefficients, which the penalty draws towards zero.

        Examples
        --------
        >>> import numpy as np
        >>> from nearlin import LinearRegression
        >>> rng = np.random.default_rng(0)
        >>> X = rng.standard_normal((500, 2))
        >>> y = X @ [1.0, 0.0] + 3.0 + rng.standard_normal(500)
        >>> LinearRegression().fit(X, y).summary()
        LinearRegression: 500 samples, rank 3, 497 degrees of freedom
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
        level = check_real(level, "level", above=0.0, below=1.0)
        matrices, freedom, kept = self._covariances(kind, X, y, sample_weight)
        log_weight = self._log_weight
        return tabulated(self, kept, (matrices, freedom), kind=kind, level=level, log_weight=log_weight)

    def _covariances(
        self, kind: str, X: object, y: object, sample_weight: object
    ) -> tuple[Array, Array, "Kept"]:
        """Covariances and degrees of freedom for every target, and what the fit kept."""
        check_is_fitted(self)
        robust = check_choice(kind, "kind", KINDS) != "nonrobust"
        kept: Kept | None = self._kept
        if robust or kept is None:
            matrix, targets = self._data_of_fit(kind, X, y)
            weights = as_sample_weight(sample_weight, matrix.shape[0])
            kept = kept or self._kept_by_another_fit(matrix, targets, weights)
        if not robust:
            with named_for_estimators():
                return *kept.covariances(), kept
        coefficients = np.atleast_2d(self.coef_).T.astype(np.float64)
        matrices, freedom = kept.room()
        pinned: set[int] = set()
        for group in range(len(kept.factors)):
            with named_for_estimators():
                found = kept.robust_covariance(
                    group,
                    matrix,
                    targets,
                    coefficients,
                    kind=kind,
                    sample_weight=weights,
                    threads=resolve_threads(self.n_jobs),
                )
            chosen = kept.targets_of(group)
            matrices[chosen], freedom[chosen] = found[:2]
            pinned.update(found[2])
        if pinned:
            _warn_of_leverage(sorted(pinned), kind)
        return matrices, freedom, kept

    def _data_of_fit(self, kind: str, X: object, y: object) -> tuple[Matrix, Float]:
        """The data that the caller gives once more, as the core takes them."""
        for name, value in (("X", X), ("y", y)):
            if value is None:
                why, way_out = f"kind={kind!r} looks at every row", ""
                if kind == "nonrobust":
                    why, way_out = "this fit kept no factor", "; or fit with inference=True"
                raise InvalidInputError(
                    f"is None, but {why}: pass X, y and sample_weight of the fit{way_out}", argument=name
                )
        matrix, targets, _ = self._validate(X, y, reset=False)
        if targets.shape[1] != len(self._residual_norm):
            raise ShapeError(
                f"has {targets.shape[1]} targets, expected {len(self._residual_norm)}", argument="y"
            )
        return matrix, targets

    def _kept_by_another_fit(self, X: Matrix, y: Float, sample_weight: Array | None) -> "Kept":
        kept = Kept.of(self._solution(X, y, sample_weight=sample_weight, keep_factor=True))
        if (np.abs(kept.residual_norm - self._residual_norm) > 1e-6 * kept.target_norm).any():
            raise InvalidInputError(
                "and `y` leave other residuals than the fit had, expected its data", argument="X"
            )
        return kept


def tabulated(
    model: LinearModel,
    kept: "Kept",
    found: tuple[Array, Array] | None = None,
    *,
    kind: str = "nonrobust",
    level: float,
    log_weight: float,
) -> RegressionSummary:
    """Return the table of a fitted model, from covariances and degrees of freedom or those of `kept`."""
    with named_for_estimators():
        matrices, freedom = kept.covariances() if found is None else found
    fitted: Any = model
    names = list(
        map(str, getattr(fitted, "feature_names_in_", [f"x{j}" for j in range(fitted.n_features_in_)]))
    )
    coef = np.atleast_2d(fitted.coef_).astype(np.float64)
    if kept.means is not None:
        names = ["(intercept)" if "intercept" in names else "intercept", *names]
        coef = np.column_stack([np.atleast_1d(fitted.intercept_), coef])
    identified, together = kept.identified()
    left_out = np.zeros_like(identified)
    left_out[fitted.constant_features_ + (kept.means is not None)] = True
    left_out &= ~identified
    std_err = np.sqrt(np.diagonal(matrices, axis1=1, axis2=2))
    std_err = np.where(identified, std_err, np.nan)
    half = stdtrit(freedom, (1.0 + level) / 2.0)[:, np.newaxis] * std_err
    with np.errstate(divide="ignore", invalid="ignore"):
        t = coef / std_err
    by_target = {
        "coef": coef,
        "std_err": std_err,
        "t": t,
        "p_value": 2.0 * stdtr(freedom[:, np.newaxis], -np.abs(t)),
        "interval": np.stack([coef - half, coef + half], axis=-1),
        "sigma": kept.residual_norm / np.sqrt(freedom),
        **kept.fit_statistics(freedom, log_weight),
    }
    if kind != "nonrobust":
        by_target["f_value"] = kept.wald(coef, matrices, by_target["df_model"])
    f_value, df_model = by_target["f_value"], by_target["df_model"]
    by_target["f_p_value"] = fdtrc(df_model, freedom, f_value)
    single = fitted.coef_.ndim == 1
    return RegressionSummary(
        names=tuple(names),
        identified=identified,
        left_out=left_out,
        **{name: values[0] if single else values for name, values in by_target.items()},
        n=kept.observations,
        rank=kept.rank,
        level=level,
        kind=kind,
        model=type(model).__name__,
        together=tuple(tuple(names[column] for column in group) for group in together),
    )


@dataclass(frozen=True, eq=False)
class Kept:
    """What a fit leaves behind for statistics; targets of the same penalty share a factor."""

    factors: list[Array]
    ridges: list[float]
    factor_of: npt.NDArray[np.intp]
    means: Array | None
    weight_norm: float
    observations: int
    target_norm: Array
    residual_norm: Array

    @classmethod
    def of(cls, solution: Solution) -> Self:
        fields: dict[str, Any] = {**(solution["inference"] or {}), "residual_norm": solution["residual_norm"]}
        return cls(**fields | {"factor_of": np.array(fields["factor_of"], dtype=np.intp)})

    def targets_of(self, group: int) -> npt.NDArray[np.intp]:
        """Targets that have a factor."""
        return np.flatnonzero(self.factor_of == group)

    @property
    def rank(self) -> int:
        """Rank of X and its constant."""
        return len(self.factors[0]) + (self.means is not None)

    def distances(self) -> Distances:
        """Distances of rows from those of a fit without a penalty, which has one factor."""
        return Distances(self.factors[0], self.means, self.weight_norm)

    def recognise(
        self, distances: Array, residuals: Array, weights: Array | None, coef: Float, intercept: Any
    ) -> None:
        """Raise unless rows of these distances and residuals are those of the fit."""
        fitted = "the data of the fit, with its `sample_weight`"
        weight = np.ones(len(distances)) if weights is None else weights
        kept = weight > 0.0
        same_weight = abs(np.linalg.norm(np.sqrt(weight)) - self.weight_norm) <= 1e-6 * self.weight_norm
        leverages = weight[kept] * distances[kept]
        known = ~np.isnan(leverages)
        trace = leverages[known].sum()
        same_leverage = trace <= (1.0 + STRANGE) * self.rank and (
            not known.all() or trace >= (1.0 - STRANGE) * self.rank
        )
        if kept.sum() != self.observations or not same_weight or not same_leverage:
            raise InvalidInputError(f"is not what was fitted, expected {fitted}", argument="X")
        # What rounding may have made of residuals, from the sizes of what they are the differences of.
        size = np.linalg.norm(self.factors[0], axis=0)
        if self.means is not None:
            size = size + self.weight_norm * np.abs(self.means)
        unit = (8.0 + len(size)) * np.finfo(coef.dtype).eps
        rounding = np.abs(coef).astype(np.float64) @ size + self.weight_norm * np.abs(np.float64(intercept))
        norms = np.linalg.norm(np.sqrt(weight)[:, np.newaxis] * residuals, axis=0)
        if (np.abs(norms - self.residual_norm) > 1e-6 * self.target_norm + unit * rounding).any():
            raise InvalidInputError(
                f"is not what was fitted: it leaves other residuals than the fit had, expected {fitted}",
                argument="y",
            )

    def room(self) -> tuple[Array, Array]:
        """Room for covariances and degrees of freedom of every target."""
        k, p = len(self.factor_of), self.factors[0].shape[1] + (self.means is not None)
        return np.empty((k, p, p)), np.empty(k)

    def covariances(self) -> tuple[Array, Array]:
        """Covariances and degrees of freedom for every target, from residual norms."""
        matrices, freedom = self.room()
        for group, factor in enumerate(self.factors):
            chosen = self.targets_of(group)
            norms = self.residual_norm[chosen]
            matrices[chosen], freedom[chosen], _ = _core.lstsq_covariance(factor, norms, **self._fit(group))
        return matrices, freedom

    def robust_covariance(self, group: int, X: Matrix, y: Float, coef: Array, **options: Any) -> Covariances:
        """Covariances for the targets of a factor, from all their residuals."""
        norms = self.residual_norm[self.targets_of(group)]
        if len(self.factors) > 1:
            y, coef = y[:, self.targets_of(group)], coef[:, self.targets_of(group)]
        return _core.lstsq_robust_covariance(
            X, y, self.factors[group], coef, norms, **options, **self._fit(group)
        )

    def identified(self) -> tuple[npt.NDArray[np.bool_], list[list[int]]]:
        """Which of the intercept and the coefficients no direction that X is blind to moves; which it moves
        together.
        """
        factor, constant = self.factors[0], self.means is not None
        if len(factor) == factor.shape[1]:
            return np.ones(factor.shape[1] + constant, dtype=np.bool_), []
        size = np.linalg.norm(factor, axis=0)
        left_out = size == 0.0
        size[left_out] = 1.0
        blind = np.linalg.svd(factor / size)[2][len(factor) :]
        if self.means is not None:
            scaled = np.where(left_out, 0.0, self.means / size)
            along = blind @ scaled / max(1.0, float(np.linalg.norm(scaled)))
            blind = np.column_stack([along, blind])
        moved = np.linalg.norm(blind, axis=0)
        found = moved <= BLIND
        # Of columns that have nothing to do with each other no direction moves both.
        cosines = (blind.T @ blind) / np.outer(np.where(found, np.inf, moved), np.where(found, np.inf, moved))
        _, group = connected_components(np.abs(cosines) > TOGETHER, directed=False)
        groups = [np.flatnonzero(group == number).tolist() for number in range(group.max() + 1)]
        return found, [members for members in groups if len(members) > 1]

    def fit_statistics(self, freedom: Array, log_weight: float) -> dict[str, Array]:
        """What statsmodels says of the fit as a whole, for every target."""
        n, constant = self.observations, int(self.means is not None)
        df_model = n - constant - freedom
        if not any(self.ridges):
            df_model = df_model.round()
        penalised = np.array(self.ridges)[self.factor_of] > 0.0
        with np.errstate(divide="ignore", invalid="ignore"):
            unexplained = (self.residual_norm / self.target_norm) ** 2
            r_squared = 1.0 - unexplained
            f_value = r_squared / unexplained * freedom / df_model
            mean_square = self.residual_norm**2 / n
            log_likelihood = 0.5 * (log_weight - n * (np.log(2.0 * np.pi * mean_square) + 1.0))
        f_value[penalised | (df_model <= 0.0)] = np.nan
        parameters = df_model + constant
        return {
            "df_resid": freedom,
            "df_model": df_model,
            "r_squared": r_squared,
            "r_squared_adj": 1.0 - (n - constant) / freedom * unexplained,
            "f_value": f_value,
            "log_likelihood": log_likelihood,
            "aic": 2.0 * (parameters - log_likelihood),
            "bic": np.log(n) * parameters - 2.0 * log_likelihood,
        }

    def wald(self, coef: Array, matrices: Array, df_model: Array) -> Array:
        """F statistics of all slopes being zero, from covariances of any kind."""
        constant = int(self.means is not None)
        f_value = np.full(len(coef), np.nan)
        for target in range(len(coef)):
            if df_model[target] > 0.0 and not self.ridges[self.factor_of[target]]:
                slopes, covariance = coef[target, constant:], matrices[target][constant:, constant:]
                size = np.sqrt(np.diagonal(covariance))
                size[size == 0.0] = 1.0
                scaled = slopes / size
                inverse = np.linalg.pinv(covariance / np.outer(size, size), hermitian=True)
                f_value[target] = scaled @ inverse @ scaled / df_model[target]
        return f_value

    def _fit(self, group: int) -> dict[str, Any]:
        return {
            "ridge": self.ridges[group],
            "means": self.means,
            "weight_norm": self.weight_norm,
            "observations": self.observations,
        }


def _warn_of_leverage(rows: list[int], kind: str) -> None:
    named = ", ".join(map(str, rows[:10])) + (f" and {len(rows) - 10} more" if len(rows) > 10 else "")
    warn(
        f"rows {named} have leverage above 1 - 1e-10: the fit passes through them whatever their targets "
        f"are, so that {kind} knows nothing of their noise and leaves them out",
        LeverageWarning,
    )
