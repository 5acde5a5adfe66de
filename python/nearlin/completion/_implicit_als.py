"""Recommendations from what was chosen, by alternating least squares."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from nearlin import _core
from nearlin._certificate import Certificate
from nearlin._config import Progress, resolve_progress, resolve_threads
from nearlin._frames import is_frame, ndim
from nearlin._log import tell
from nearlin._sparse import is_sparse
from nearlin._validation import Float, allocating, as_matrix, as_seed, check_int
from nearlin._warn import warn
from nearlin.exceptions import AccuracyWarning, InvalidInputError, ShapeError

from ._entries import (
    Entries,
    as_entries,
    as_rows,
    coordinates,
    merged,
    placed,
    refuse_list,
    refuse_nothing,
    unweighted,
)
from ._factor_model import FactorModel, Fitted
from ._ids import Ids
from ._implicit_options import Options

__all__ = ["ImplicitALS"]

FAMILY = ("confidence", "alpha", "unobserved_weight", "reg", "reg_exponent", "risk")
"""Options that say what is minimised, which rows that are folded in have to know."""
ADVICE = "use reg > 0, or solver='cholesky'"
BLOCK = 1 << 16
"""Entries that are looked up in rankings before an interrupt is heard."""


class ImplicitALS(FactorModel):
    r"""Low-rank model of what users have chosen among items, for recommendations.

    What is stored are confidences :math:`r_{ij}`: how often somebody listened, bought, or looked. An entry is
    preferred, :math:`p_{ij} = 1`, where its confidence is positive, and not, :math:`p_{ij} = 0`, where it is
    negative; what is not stored is not preferred either, but counts for little:

    .. math::

        \sum_{stored} c_{ij} (p_{ij} - u_i^T v_j)^2 + w \sum (u_i^T v_j)^2
        + \sum \lambda_i \|u_i\|^2 + \sum \lambda_j \|v_j\|^2.

    All rows are solved for while the columns are fixed, and the other way round; the second sum, over
    millions of pairs, costs one small matrix that all rows share.

    Parameters
    ----------
    rank : int, default=64
        Number of components.
    confidence : {"linear", "ials"}, default="linear"
        What is minimised:

        - ``"linear"``: :math:`c_{ij} = \alpha |r_{ij}|`, the second sum is over what is not stored [1]_. The
          objective of the package `implicit`, with the same `alpha` and, as `reg`, its `regularization`.
        - ``"ials"``: :math:`c_{ij} = \alpha` for whatever is stored, the second sum is over all pairs [2]_.
    alpha : float, default=1.0
        See there.
    unobserved_weight : float, optional
        w: by default 1 for ``"linear"`` and 0.1 for ``"ials"``, whose results depend on it and on `reg` more
        than on anything else.
    reg : float, default=0.01
        :math:`\lambda` in :math:`\lambda_i = \lambda (n_i + w N)^e`, where :math:`n_i` of N possible entries
        of a row or column are stored.
    reg_exponent : float, optional
        e: by default 0 for ``"linear"`` and 1 for ``"ials"``.
    solver : {"cg", "cholesky", "subspace"}, default="cg"
        How the regressions are solved; none ever makes the objective larger:

        - ``"cg"``: by `cg_steps` steps of conjugate gradients from what there was before [3]_.
        - ``"cholesky"``: exactly.
        - ``"subspace"``: exactly for `block` components after the other, iALS++ [4]_; where there are no more
          components it is ``"cholesky"``.
    cg_steps : int, default=3
        See there.
    block : int, default=64
        See there.
    risk : {None, "cvar"}, default=None
        ``"cvar"`` minimises what the share `risk_alpha` of users with the largest losses lose on average,
        rather than the sum over all users [5]_, so that heavy users do not decide alone. Only with
        ``confidence="ials"``. The loss of a user is half the objective of her row with all of it divided by
        her number of entries, or by the mean number where it does not depend on them.
    risk_alpha : float, default=0.3
        See there.
    risk_bandwidth : float, default=0.02
        Of the kernel by which the tail is smoothed; losses are between 0 and `alpha` / 2.
    max_iter : int, default=15
        Most sweeps.
    tol : float, default=1e-4
        Sweeps end when one decreases the objective by no more, relative to it.
    polish : bool, default=True
        Whether rows are solved for exactly in the end, so that they are what :meth:`transform` gives.
    dtype : {"float32", "float64"} or None, default=None
        Precision of the factors; None is float32. Sums over entries and rows are made in float64.
    random_state : None, int or numpy.random.RandomState, optional
        Of the start.
    n_jobs : int, optional
        Number of threads. None means the setting of :func:`nearlin.set_config`. It never changes a bit.

    Attributes
    ----------
    U_ : ndarray of shape (n_rows, rank)
        Rows of the model.
    V_ : ndarray of shape (n_cols, rank)
        Columns.
    row_ids_, col_ids_ : ndarray of shape (n_rows,) and (n_cols,)
        What rows and columns are called, in increasing order; their numbers, for matrices.
    history_ : list of float
        The objective after each sweep, relative to that of factors of zeros; with `risk` the mean of the
        smoothed tail with half the penalty of the columns over `risk_alpha` and the number of users.
    n_iter_ : int
        Sweeps.
    converged_ : bool
        Whether these ended by `tol`.
    tail_ : dict or None
        With `risk`: "threshold", where the tail of the losses begins; "mean", what is in it; "weight", the
        mean weight of a user, which is close to `risk_alpha`.
    certificate_ : Certificate
        Relative decrease of the objective in the last sweep, NaN after only one: what is known of the
        distance to a stationary point. Of what is chosen tomorrow it says nothing: see :meth:`score`.

    See Also
    --------
    nearlin.MatrixCompletion : Of values, such as ratings, where what is not stored is unknown.

    Notes
    -----
    A sweep takes :math:`O(|\Omega| k s + (m + n) k^2 s)` with s steps of conjugate gradients,
    :math:`O(|\Omega| k^2 + (m + n) k^3)` by Cholesky's factorisation, and
    :math:`O(|\Omega| k b + (m + n) (k^2 + k b^2))` with blocks of b components. Entries for one place are
    added up. Results do not depend on the order of the entries; an interrupted fit leaves the former model as
    it was.

    With `risk` the penalty of a user is a part of her loss, unlike in [5]_, so that her factor is the one
    that :meth:`transform` gives, whatever her weight; that of an item is in proportion to `risk_alpha`, the
    mean weight of a user; and a step towards the new columns is halved until the tail gets no larger.

    References
    ----------
    .. [1] Y. Hu, Y. Koren, C. Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008.
    .. [2] S. Rendle, W. Krichene, L. Zhang, Y. Koren, "Revisiting the performance of iALS on item
           recommendation benchmarks", RecSys 2022.
    .. [3] G. Takács, I. Pilászy, D. Tikk, "Applications of the conjugate gradient method for implicit
           feedback collaborative filtering", RecSys 2011.
    .. [4] S. Rendle, W. Krichene, L. Zhang, Y. Koren, "iALS++: Speeding up matrix factorization with subspace
           optimization", 2021.
    .. [5] R. Togashi, T. Oka, N. Ohsaka, T. Morimura, "Safe collaborative filtering", ICLR 2024.

    Examples
    --------
    >>> import numpy as np
    >>> import nearlin
    >>> rng = np.random.default_rng(0)
    >>> users = rng.integers(0, 300, 6000)
    >>> items = (rng.integers(0, 20, 6000) * 5 + users % 5) % 100
    >>> model = nearlin.ImplicitALS(8, random_state=0).fit((users, items))
    >>> best, scores = model.top_n([7, 11], 4)
    >>> [sorted(set((best[0] % 5).tolist())), sorted(set((best[1] % 5).tolist()))]
    [[2], [1]]
    """

    history_: list[float]
    n_iter_: int
    converged_: bool
    tail_: dict[str, float] | None
    certificate_: Certificate

    def __init__(
        self,
        rank: int = 64,
        *,
        confidence: str = "linear",
        alpha: float = 1.0,
        unobserved_weight: float | None = None,
        reg: float = 0.01,
        reg_exponent: float | None = None,
        solver: str = "cg",
        cg_steps: int = 3,
        block: int = 64,
        risk: str | None = None,
        risk_alpha: float = 0.3,
        risk_bandwidth: float = 0.02,
        max_iter: int = 15,
        tol: float = 1e-4,
        polish: bool = True,
        dtype: npt.DTypeLike | None = None,
        random_state: object = None,
        n_jobs: int | None = None,
    ) -> None:
        self.rank = rank
        self.confidence = confidence
        self.alpha = alpha
        self.unobserved_weight = unobserved_weight
        self.reg = reg
        self.reg_exponent = reg_exponent
        self.solver = solver
        self.cg_steps = cg_steps
        self.block = block
        self.risk = risk
        self.risk_alpha = risk_alpha
        self.risk_bandwidth = risk_bandwidth
        self.max_iter = max_iter
        self.tol = tol
        self.polish = polish
        self.dtype = dtype
        self.random_state = random_state
        self.n_jobs = n_jobs

    @allocating("what a fit takes")
    def fit(self, X: object, y: object = None, *, progress: bool | Progress = False) -> Self:
        """Fit the model to confidences.

        Parameters
        ----------
        X : tuple, frame, sparse matrix or array_like
            Confidences: a tuple ``(rows, cols)`` or ``(rows, cols, confidences)``, where rows and columns may
            be called anything that :meth:`MatrixCompletion.fit` takes; a frame of pandas or polars with these
            columns in this order; the stored entries of a sparse matrix; or those of a dense array that are
            not zero. Without confidences each counts as one; those for one place are added up.
        y : ignored
            For pipelines.
        progress : bool or callable, default=False
            True shows a bar, a callable is called with (sweeps done, most, figures).

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        InvalidInputError
            If nothing is stored, a confidence is not finite, or an identity is negative or missing.

        Warns
        -----
        AccuracyWarning
            If the objective rose by more than a thousandth, which ends the sweeps: confidences are too large
            for the precision, or nothing holds factors back.
        """
        options = self._options(as_seed(self.random_state, "random_state"))
        single = self._single()
        entries = _entries(X)
        refuse_nothing(entries, "stored")
        state, figures = _core.implicit_als(
            entries.source,
            options,
            single=single,
            threads=resolve_threads(self.n_jobs, entries.count * options.rank * 100),
            progress=resolve_progress(progress),
        )
        family = {name: getattr(options, name) for name in FAMILY}
        self._adopt(state, {**figures, "family": family}, entries.row_ids, entries.col_ids)
        tell("ImplicitALS", self.explain)
        if figures["risen"]:
            warn(
                "the objective rose in the last sweep, or is no number any more: "
                + ("float32 is not enough for these confidences; use dtype='float64'" if single else ADVICE),
                AccuracyWarning,
            )
        return self

    @allocating("rows of the model")
    def transform(self, X: object) -> Float:
        """Return rows of the model for rows that need not have been in the fit, the columns as they are.

        Parameters
        ----------
        X : sparse matrix or array_like of shape (n_samples, n_cols)
            Confidences, in the columns of the fit in the order of `col_ids_`; of an array those that are not
            zero. All zeros for a row without any.

        Returns
        -------
        ndarray of float64 of shape (n_samples, rank)
            The exact solutions.
        """
        check_is_fitted(self)
        state, figures, *_ = self._fitted
        rows = as_rows(_stored(X), state.shape[1], self)
        options = self._options(0)
        for name, value in figures["family"].items():
            setattr(options, name, value)
        factor = _core.implicit_fold_in(
            state,
            rows.kept,
            options,
            figures["mean_entries"],
            resolve_threads(self.n_jobs, (rows.count + state.shape[1]) * state.rank * 20),
        )
        return np.ascontiguousarray(factor)

    @allocating("predictions")
    def score(self, X: object, y: object = None, *, n: int = 20) -> float:
        """Return the mean recall of the `n` columns with the largest predictions, those of the fit left out.

        Parameters
        ----------
        X : tuple, frame, sparse matrix or array_like
            What was chosen beside what the model was fitted to, as :meth:`fit` takes it; rows and columns
            that the model does not know count as missed.
        y : ignored
            For loops that hand it on.
        n : int, default=20
            Number of columns.

        Returns
        -------
        float
            Mean over the rows of X of the share of a row's columns that are among the `n`, of at most `n`.
        """
        check_is_fitted(self)
        most = check_int(n, "n", at_least=1)
        fitted, entries = self._fitted, merged(_entries(X), "sum")
        shape = fitted.state.shape
        rows, _, values = coordinates(entries)
        chosen = np.asarray(values) > 0
        if not chosen.any():
            raise InvalidInputError("has no positive entries, expected at least one", argument="X")
        place, col, _ = placed(entries, fitted.ids, shape, resolve_threads(self.n_jobs, 100 * entries.count))
        lines, row = Ids(rows[chosen], ("int",)).numbered("X")
        of_line = np.empty(len(lines), dtype=np.int64)
        of_line[row] = place[chosen]
        place, col = of_line, col[chosen]
        best = np.full((len(lines), min(most, shape[1])), -1)
        known = np.flatnonzero(place >= 0)
        best[known], _ = fitted.state.top_n(
            place[known],
            min(most, shape[1]),
            exclude_observed=True,
            threads=resolve_threads(self.n_jobs, len(known) * shape[1] * fitted.state.rank),
        )
        hits = np.zeros(len(lines))
        for start in range(0, len(row), BLOCK):
            part = slice(start, start + BLOCK)
            is_hit = (best[row[part]] == col[part, np.newaxis]).any(axis=1) & (col[part] >= 0)
            hits += np.bincount(row[part], is_hit, len(lines))
        return float(np.mean(hits / np.minimum(np.bincount(row), most)))

    def explain(self) -> str:
        """Return in words what was minimised and how far that went.

        Returns
        -------
        str
            A few lines.
        """
        check_is_fitted(self)
        state, figures, *_ = self._fitted
        (m, n), details, family = state.shape, self.certificate_.details, figures["family"]
        end = f"{self.history_[-1]:.4f} of the objective of zeros"
        if self.tail_ is not None:
            end = f"a mean of {self.tail_['mean']:.4f} in the tail"
        lines = [
            f"{details['n_observed']['value']} entries of a {m} x {n} matrix at rank {self.U_.shape[1]}",
            f"confidence {family['confidence']!r}, alpha {family['alpha']:g}, weight of what is not stored "
            f"{family['unobserved_weight']:g}, reg {family['reg']:g}, exponent {family['reg_exponent']:g}",
            f"{self.n_iter_} sweeps by {self.solver!r}, to {end}",
            str(self.certificate_),
        ]
        return "\n".join(lines)

    def _options(self, seed: int) -> Options:
        return Options(
            rank=self.rank,
            confidence=self.confidence,
            alpha=self.alpha,
            unobserved_weight=self.unobserved_weight,
            reg=self.reg,
            reg_exponent=self.reg_exponent,
            solver=self.solver,
            cg_steps=self.cg_steps,
            block=self.block,
            risk=self.risk,
            risk_alpha=self.risk_alpha,
            risk_bandwidth=self.risk_bandwidth,
            max_iter=self.max_iter,
            tol=self.tol,
            polish=self.polish,
            seed=seed,
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = False
        return tags

    def _adopt(
        self,
        state: Any,
        figures: Any,
        row_ids: Ids | None,
        col_ids: Ids | None,
    ) -> None:
        numbers = [value for value in figures["family"].values() if isinstance(value, float)]
        if not min(figures["mean_entries"], *numbers) >= 0.0:
            raise ValueError("a confidence or a penalty below zero")
        U, V, _, _ = state.factors()
        history = [float(value) for value in figures["objective"]]
        tail = figures["tail"]
        # At once: an interrupt in between would leave parts of two models.
        self.__dict__.update(
            _fitted=Fitted(state, figures, row_ids, col_ids),
            U_=np.ascontiguousarray(U),
            V_=np.ascontiguousarray(V),
            history_=history,
            n_iter_=len(history),
            converged_=bool(figures["converged"]),
            tail_=None if tail is None else dict(zip(("threshold", "mean", "weight"), tail, strict=True)),
            certificate_=_certificate(history, state.degrees(), risen=bool(figures.get("risen"))),
        )


def _stored(X: object) -> Any:
    """Return a matrix whose stored entries are confidences: those of an array that are not zero."""
    matrix: Any = X if is_sparse(X) else as_matrix(X, "X", allow_empty=True)
    if is_sparse(matrix):
        return matrix
    from scipy.sparse import csr_array

    return csr_array(matrix)


def _entries(X: object) -> Entries:
    """Return confidences in any form."""
    refuse_list(X, (2, 3))
    if is_frame(X) and ndim(X) == 2:
        frame: Any = X
        X = tuple(frame[name] for name in frame.columns) if frame.shape[1] == 2 else X
    if isinstance(X, tuple):
        if len(X) == 2:
            X = (*X, np.ones(len(X[0]), np.float32))
        elif len(X) != 3:
            raise ShapeError(
                f"is a tuple of {len(X)}, expected (rows, cols) or (rows, cols, confidences)", argument="X"
            )
        return as_entries(X)
    return unweighted(as_entries(X if is_frame(X) else _stored(X)))


def _certificate(
    history: list[float], degrees: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]], *, risen: bool
) -> Certificate:
    """Return how much the objective still fell, and numbers of entries."""
    rows, cols = degrees
    numbers = {
        "n_observed": int(rows.sum()),
        "observed_share": float(rows.sum() / max(1, len(rows) * len(cols))),
        "empty_rows": int(np.count_nonzero(rows == 0)),
        "empty_cols": int(np.count_nonzero(cols == 0)),
        "median_degree_rows": float(np.median(rows)) if len(rows) else 0.0,
        "median_degree_cols": float(np.median(cols)) if len(cols) else 0.0,
    }
    details = {name: {"value": value, "kind": "proven"} for name, value in numbers.items()}
    quantity = "relative decrease of the objective in the last sweep"
    if len(history) < 2 or risen:
        note = "the objective rose" if risen else "there was only one sweep: see `max_iter`"
        return Certificate(quantity, math.nan, math.nan, None, "not measured", note=note, details=details)
    fall = max(0.0, (history[-2] - history[-1]) / abs(history[-1])) if history[-1] else 0.0
    note = "other stationary points may be lower, and what is chosen tomorrow is another matter: see score()"
    return Certificate(
        quantity, fall, fall, 1.0, "by the objective after the last two sweeps", note=note, details=details
    )
