"""Matrix completion by soft thresholding of singular values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from nearlin import _core
from nearlin._certificate import Certificate
from nearlin._config import Progress, resolve_progress, resolve_threads
from nearlin._log import tell
from nearlin._validation import (
    Float,
    allocating,
    as_seed,
    check_bool,
    check_choice,
    check_int,
    check_real,
    optional,
)
from nearlin._warn import warn
from nearlin.exceptions import AccuracyWarning, InvalidInputError

from ._entries import as_entries, as_rows, refuse_nothing, unweighted
from ._factor_model import FactorModel, Fitted
from ._ids import Ids
from ._interval import interval_of

__all__ = ["SoftImpute"]

RATIO = 0.7
"""Of one penalty of a path over the one before."""
FAR = 0.1
"""How far above the least an objective is that has too few components, relative."""
STEPS = 24
"""Most penalties of an open path, the last of which is 0.0003 of the first."""


@dataclass(kw_only=True, eq=False)
class Options:
    """How a matrix is completed, as users ask for it."""

    rank: int
    reg: float | None
    method: str
    max_iter: int
    tol: float
    validation_fraction: float | None
    seed: int

    def __post_init__(self) -> None:
        self.rank = check_int(self.rank, "rank", at_least=1, at_most=2**20)
        self.reg = optional(check_real, self.reg, "reg", above=0.0)
        check_choice(self.method, "method", ("als", "svd"))
        self.max_iter = check_int(self.max_iter, "max_iter", at_least=1)
        self.tol = check_real(self.tol, "tol", at_least=0.0)
        fraction = optional(
            check_real, self.validation_fraction, "validation_fraction", at_least=0.0, at_most=0.5
        )
        if fraction == 0.0 and self.reg is None:
            raise InvalidInputError(
                "is 0 with reg=None, expected entries by which to choose it, or a number for `reg`",
                argument="validation_fraction",
            )
        self.validation_fraction = (0.1 if self.reg is None else 0.0) if fraction is None else fraction

    @property
    def is_open(self) -> bool:
        """Whether the penalty is chosen."""
        return self.reg is None

    @property
    def regs(self) -> list[float]:
        """Penalties of the path, descending."""
        if self.reg is None:
            return [RATIO**step for step in range(STEPS)]
        count = max(1, math.ceil(math.log(self.reg) / math.log(0.5))) if self.reg < 1.0 else 1
        return [self.reg ** ((step + 1) / count) for step in range(count)]


class SoftImpute(FactorModel):
    r"""Complete a matrix by the convex problem whose answer has a low rank.

    Of all matrices Z, the one that minimises

    .. math::

        \tfrac12 \sum_{observed} (x_{ij} - \mu - z_{ij})^2 + \lambda \|Z\|_*,

    where :math:`\|Z\|_*` is the sum of the singular values [1]_. From some :math:`\lambda` on it is zero;
    smaller ones are reached on a path from there, each from the answer of the one before. There is nothing
    but the penalty to choose, every start ends at the same answer, and the certificate tells how far that is.

    Parameters
    ----------
    rank : int, default=50
        Most components of an answer. Where one has fewer it is that of the convex problem.
    reg : float, optional
        :math:`\lambda` over the smallest one whose answer is zero, which is the largest singular value of
        what was observed among zeros; results follow the values when these are scaled. None chooses it by the
        error on held-out entries: 1, 0.7, 0.49 and so on, until two in a row are worse than the best.
    method : {"als", "svd"}, default="als"
        - ``"als"``: :math:`Z = A B^T` by alternating ridge regressions with the penalty
          :math:`\tfrac12 \lambda (\|A\|^2 + \|B\|^2)`, whose least is the same [2]_ [3]_, and one step with
          singular vectors, which makes small singular values zeros.
        - ``"svd"``: all singular values of whole matrices, less :math:`\lambda`, again and again [1]_; for
          small matrices.
    center : bool, default=True
        Whether the mean :math:`\mu` of all values is subtracted.
    max_iter : int, default=200
        Most sweeps for a penalty.
    tol : float, default=1e-6
        Sweeps end when one decreases the objective by no more, relative to it.
    validation_fraction : float, optional
        The part of the entries that is held out, in [0, 0.5]; the model is fitted to all entries in the end.
        By default 0.1 if `reg` is to be chosen, else nothing.
    random_state : None, int or numpy.random.RandomState, optional
        Of what is held out, and of columns that grow into new components.
    n_jobs : int, optional
        Number of threads. None means the setting of :func:`nearlin.set_config`. It never changes a bit.

    Attributes
    ----------
    U_, V_ : ndarray of shape (n_rows, k) and (n_cols, k)
        Singular vectors times the roots of the singular values: ``U_ @ V_.T`` is Z.
    singular_values_ : ndarray of shape (k,)
        Those of Z; none, and one column of zeros, where Z is zero.
    mean_ : float
        What is subtracted from all values.
    row_ids_, col_ids_ : ndarray of shape (n_rows,) and (n_cols,)
        What rows and columns are called, in increasing order; their numbers, for matrices.
    reg_ : float
        The penalty, over the largest.
    largest_reg_ : float
        That one, in the units of the values.
    path_ : list of (float, int, int, float)
        Penalties, ranks of their answers, sweeps that these took and root mean square errors on held-out
        entries, NaN if there are none.
    n_iter_ : int
        Sweeps for all of them.
    converged_ : bool
        Whether sweeps ended by `tol` for the last one, or the objective is no farther above the least.
    certificate_ : Certificate
        How much the objective may be above the least, relative to that, by the dual problem: ``float`` of it
        is a bound that holds with a probability of 0.999, for the norm of what is left is found by Lanczos'
        method from a random start. ``details`` has the error on held-out entries and its interval.

    See Also
    --------
    nearlin.MatrixCompletion : With biases and other penalties, in time linear in entries times rank.
    nearlin.svt_denoise : Thresholds for whole matrices with noise.

    Notes
    -----
    A sweep takes :math:`O(|\Omega| k^2 + (m + n) k^3)` by ``"als"``, where k is `rank`, and
    :math:`O(m n \min(m, n))` by ``"svd"``. Several entries for one place are averaged. Everything is done in
    float64. Thresholding makes all singular values smaller, those of what is looked for too: for predictions
    a model with biases and penalties by degrees is mostly better.

    References
    ----------
    .. [1] R. Mazumder, T. Hastie, R. Tibshirani, "Spectral regularization algorithms for learning large
           incomplete matrices", JMLR 11 (2010).
    .. [2] T. Hastie, R. Mazumder, J. D. Lee, R. Zadeh, "Matrix completion and low-rank SVD via fast
           alternating least squares", JMLR 16 (2015).
    .. [3] N. Srebro, J. Rennie, T. Jaakkola, "Maximum-margin matrix factorization", NIPS 2004.

    Examples
    --------
    >>> import numpy as np
    >>> import nearlin
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.standard_normal((80, 2)) @ rng.standard_normal((2, 60))
    >>> X = np.where(rng.random(truth.shape) < 0.5, truth, np.nan)
    >>> model = nearlin.SoftImpute(reg=0.01, random_state=0).fit(X)
    >>> bool(np.abs(model.reconstruct() - truth).mean() < 0.1), model.certificate_.estimate < 0.01
    (True, True)
    """

    singular_values_: npt.NDArray[np.float64]
    mean_: float
    reg_: float
    largest_reg_: float
    path_: list[tuple[float, int, int, float]]
    n_iter_: int
    converged_: bool
    certificate_: Certificate

    def __init__(
        self,
        rank: int = 50,
        *,
        reg: float | None = None,
        method: str = "als",
        center: bool = True,
        max_iter: int = 200,
        tol: float = 1e-6,
        validation_fraction: float | None = None,
        random_state: object = None,
        n_jobs: int | None = None,
    ) -> None:
        self.rank = rank
        self.reg = reg
        self.method = method
        self.center = center
        self.max_iter = max_iter
        self.tol = tol
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.n_jobs = n_jobs

    @allocating("what a fit takes")
    def fit(self, X: object, y: object = None, *, progress: bool | Progress = False) -> Self:
        """Fit the model to observed entries.

        Parameters
        ----------
        X : tuple, frame, sparse matrix or array_like
            Observed entries, as :meth:`MatrixCompletion.fit` takes them.
        y : ignored
            For pipelines.
        progress : bool or callable, default=False
            True shows a bar, a callable is called with (penalties done, most, figures).

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        InvalidInputError
            If nothing was observed, a value is infinite, or an identity is negative or missing.

        Warns
        -----
        AccuracyWarning
            If sweeps for the last penalty were ended by `max_iter`, or if there are too few components for
            the least of the objective.
        """
        options = self._options(as_seed(self.random_state, "random_state"))
        entries = unweighted(as_entries(X))
        refuse_nothing(entries)
        options.rank = min(options.rank, *entries.shape)
        state, figures = _core.soft_impute(
            entries.source,
            options,
            center=self.center,
            threads=resolve_threads(self.n_jobs, entries.count * options.rank * 100),
            progress=resolve_progress(progress),
        )
        self._adopt(state, figures, entries.row_ids, entries.col_ids)
        tell("SoftImpute", self.explain)
        if not self.converged_:
            warn(
                f"max_iter={self.max_iter} sweeps left the objective {self.certificate_.estimate:.1e} above "
                "the least",
                AccuracyWarning,
            )
        elif self.U_.shape[1] == self.rank and self.certificate_.estimate > FAR:
            warn(
                f"rank={self.rank} components leave the objective {self.certificate_.estimate:.1e} above the "
                "least, relative to it; more components or a larger penalty bring it down",
                AccuracyWarning,
            )
        return self

    @allocating("rows of the model")
    def transform(self, X: object) -> Float:
        """Return rows of the model for rows that need not have been in the fit, the columns as they are.

        Parameters
        ----------
        X : sparse matrix or array_like of shape (n_samples, n_cols)
            Observed entries, in the columns of the fit in the order of `col_ids_`; NaN, or nothing stored,
            where there are none; several for one place are averaged. All zeros for a row without any.

        Returns
        -------
        ndarray of float64 of shape (n_samples, k)
            The exact solutions of the ridge regressions with the penalty of the fit, which the rows of the
            fit are themselves as far as its objective is the least.
        """
        check_is_fitted(self)
        state = self._fitted.state
        rows = as_rows(X, state.shape[1], self)
        threads = resolve_threads(self.n_jobs, rows.count * state.rank * 20)
        return np.ascontiguousarray(state.fold_in(rows.kept, "mean", threads=threads)[0])

    @allocating("predictions")
    def score(self, X: object, y: object = None) -> float:
        """Return the root mean square error on observed entries, times -1 so that more is better.

        Parameters
        ----------
        X : tuple, frame, sparse matrix or array_like
            Observed entries, as :meth:`fit` takes them.
        y : ignored
            For loops that hand it on.

        Returns
        -------
        float
            In the units of the values.
        """
        check_is_fitted(self)
        return self._score(unweighted(as_entries(X)), "mean")

    def explain(self) -> str:
        """Return in words what was found and how far it is from the best.

        Returns
        -------
        str
            A few lines.
        """
        check_is_fitted(self)
        m, n = self._state.shape
        chosen = f", the best of {len(self.path_)} on held-out entries" if self.reg is None else ""
        lines = [
            f"a {m} x {n} matrix of rank {len(self.singular_values_)}",
            f"reg {self.reg_:.3g} of the largest, {self.largest_reg_:.3g}{chosen}",
            f"{self.n_iter_} sweeps by {self.method!r} for {len(self.path_)} penalties",
            str(self.certificate_),
        ]
        return "\n".join(lines)

    def _options(self, seed: int) -> Options:
        check_bool(self.center, "center")
        return Options(
            rank=self.rank,
            reg=self.reg,
            method=self.method,
            max_iter=self.max_iter,
            tol=self.tol,
            validation_fraction=self.validation_fraction,
            seed=seed,
        )

    def _single(self) -> bool:
        return False

    def _adopt(
        self,
        state: Any,
        figures: Any,
        row_ids: Ids | None,
        col_ids: Ids | None,
    ) -> None:
        U, V, _, _ = state.factors()
        path = [
            (float(reg), int(rank), int(sweeps), float(rmse)) for reg, rank, sweeps, rmse in figures["path"]
        ]
        # At once: an interrupt in between would leave parts of two models.
        self.__dict__.update(
            _fitted=Fitted(state, figures, row_ids, col_ids),
            U_=np.ascontiguousarray(U),
            V_=np.ascontiguousarray(V),
            singular_values_=np.array(figures["values"], dtype=np.float64),
            mean_=state.mean,
            reg_=float(figures["reg"]),
            largest_reg_=float(figures["largest"]),
            path_=path,
            n_iter_=sum(sweeps for _, _, sweeps, _ in path),
            converged_=bool(figures["converged"]),
            certificate_=_certificate(figures, state.shape, int(state.degrees()[0].sum())),
        )


def _certificate(figures: Any, shape: tuple[int, int], count: int) -> Certificate:
    """Return how far the objective is from the least, and the error on what was held out."""
    estimate, bound = (_above_the_least(share) for share in figures["gap"])
    details: dict[str, Any] = {
        "n_observed": {"value": count, "kind": "proven"},
        "observed_share": {"value": count / max(1, shape[0] * shape[1]), "kind": "proven"},
    }
    if figures["held_out"] is not None and figures["held_out"][0]:
        held_out, rmse, *_ = figures["held_out"]
        interval = interval_of(figures["held_out"])[:2]
        details |= {
            "n_held_out": {"value": int(held_out), "kind": "proven"},
            "rmse_held_out": {"value": float(rmse), "kind": "statistical"},
            "interval": {"value": [float(end) for end in interval], "kind": "statistical"},
        }
    return Certificate(
        "objective above the least, relative",
        estimate,
        bound,
        0.999,
        "by the dual problem, from what is left of the entries, whose norm is by Lanczos' method",
        note="of the convex problem: what it says of entries to come is another matter",
        details=details,
    )


def _above_the_least(share: float) -> float:
    """Return how far an objective is above the least, relative to that, from the same relative to itself."""
    return share / (1.0 - share) if share < 1.0 else math.inf
