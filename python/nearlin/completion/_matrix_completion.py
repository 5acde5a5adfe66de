"""A low-rank matrix with biases from a few of its entries."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from nearlin import _core
from nearlin._certificate import Certificate
from nearlin._config import Progress, resolve_progress, resolve_threads
from nearlin._log import tell
from nearlin._validation import Float, allocating, as_float_dtype, as_seed, check_bool, check_int
from nearlin.exceptions import InvalidInputError

from ._certificate import certificate_of
from ._entries import as_entries, as_rows, check_weights, counted, joined, refuse_nothing
from ._explanation import explanation
from ._factor_model import FactorModel, Fitted
from ._ids import Ids
from ._options import Options
from ._status import (
    count_undetermined,
    status_of_entries,
    status_of_lines,
    warn_of,
    warn_of_end,
    warn_of_free,
)

__all__ = ["MatrixCompletion"]


class MatrixCompletion(FactorModel):
    r"""Low-rank model of a matrix of which some entries were observed: ratings, sensors, tables with gaps.

    An entry in row i and column j is modelled as :math:`\mu + b_i + c_j + u_i^T v_j`. All rows are solved for
    while the columns are fixed, which are small ridge regressions, and the other way round [1]_:

    .. math::

        & \sum (x_{ij} - \mu - b_i - c_j - u_i^T v_j)^2 \\
        & + \lambda \sum n_i^e \|u_i\|^2 + \lambda \sum n_j^e \|v_j\|^2
        + \lambda_b \sum n_i^e b_i^2 + \lambda_b \sum n_j^e c_j^2,

    where n are numbers of observed entries and e is `reg_exponent`. In time linear in entries times rank
    a sweep solves these only as well as it has to, as has been shown to do [2]_.

    In ``mode="exact"`` the values have no noise, and the matrix is of that rank: nothing is subtracted, the
    penalty falls to zero from sweep to sweep, and what the entries do not determine is NaN.

    Parameters
    ----------
    rank : int or "auto", default=10
        Number of components. "auto" takes the one with the smallest error on held-out entries, together with
        the penalty if that is open: from rank 8 and 0.4, by factors of two and of three as long as that
        helps by two thousandths, then by their roots, and by the fourth root of two; twenty fits or so. In
        ``mode="exact"`` it is the least with which the entries are met.
    mode : {"statistical", "exact"}, default="statistical"
        What None stands for in other parameters, by mode:

        ============ =========== =====================
        parameter    statistical exact
        ============ =========== =====================
        reg          chosen      0
        reg_exponent 0.5         0
        bias, center True        False
        continuation "none"      "ridge"
        inner_steps  3           30
        inner_tol    0.1         1e-4
        max_iter     20          200
        tol          1e-4        1e-10
        dtype        float32     float64
        ============ =========== =====================
    reg : float, optional
        Penalty :math:`\lambda`, in units of the standard deviation of what the biases leave of the values, so
        that results follow the values when these are scaled. None chooses it by the error on entries that are
        held out: 1.2, 0.4 and on by factors of three while that helps by five thousandths, then by
        :math:`\sqrt 3` to either side of the best, each from its own start; six to nine fits in all, where
        the rank is given.
    reg_exponent : float, optional
        Power of the number of entries of a row or column by which its penalties grow. 1 is the weighted
        penalty of [3]_.
    bias : bool or "auto", optional
        Whether rows and columns have biases, whose penalty in the same units is that of the factors, but at
        most 0.5, for a larger one would shrink them away, and at least 0.001. "auto" takes what has the
        smaller error on held-out entries: fits twice as many, or half as many more where the rank is open.
        Not in ``mode="exact"``, where they would be two more components.
    center : bool, optional
        Whether the mean of all values is subtracted, which makes one component more of a matrix without
        noise.
    loss : {"squared", "huber", "l1"}, default="squared"
        What an error costs, where gross ones among the entries must not spoil the model; of entries that are
        held out errors count less then where they are large, or with "huber" and all else given where the
        value itself is.

        - ``"huber"``: errors beyond 1.345 standard deviations (of a normal distribution, by their median
          magnitude) in proportion to their size [6]_: up to `max_iter` more sweeps, each with the weights
          that the errors before it give the entries; what is open of rank, penalty and biases is chosen with
          such weights too, by errors that count as no more than the 1.345 deviations. Gross errors of as many
          as three entries in ten do no harm if these are random and go to either side: a matrix of rank 3 of
          which 30 % are observed, with noise of .029 of its standard deviation, is found to .009, .010, .011,
          .015 and .023 of that with gross ones of ten times its size in 0, 5, 10, 20 and 30 % of these. Those
          that all go to one side shift the mean that the fit begins with: a thousand times the size of the
          values in one entry of twenty is too much. Without a penalty, and with more components than the
          matrix has, those of a pattern may be fitted.
        - ``"l1"``: all errors in proportion to their size, by steps along the sub-gradient from a small
          start, each 0.98 times as long as the one before [7]_. There is no penalty (`reg` is 0), and more
          components may be asked for than the matrix has: those without which the median error is no larger
          by a tenth become zero on the way. `max_iter` is 2000 by default, and `tol`, the length of the last
          step over that of the first, 1e-6. With random gross errors among 30 % of the entries of a matrix of
          rank 5, and 16 entries for each degree of freedom, 5 or 10 components find it to 1e-9, with 8 among
          10 %; condition numbers from 10 on leave errors of 1e-3.
    nonnegative : bool, default=False
        Whether no number of `U_` and `V_` may be below zero. For a factorisation of values into parts, rows
        and columns have no biases then and no mean is subtracted: ``bias=False, center=False``. Regressions
        are solved exactly, whatever `solver` is.
    solver : {"auto", "cholesky", "cg", "scaledgd"}, default="auto"
        How the regressions are solved:

        - ``"cholesky"``: exactly, by normal equations of the order of the rank, or of the number of entries
          where that is the smaller.
        - ``"cg"``: by `inner_steps` steps of conjugate gradients from what there was before, for rows with
          at least as many entries as components; exactly for the others.
        - ``"scaledgd"``: not at all; both sides move at once, against their slopes, preconditioned by the
          Gram matrix of the other side [4]_, damped by what is left of the values so that components that
          the matrix does not have do no harm [5]_. More sweeps, each of about the cost of one step of
          conjugate gradients.
        - ``"auto"``: ``"cholesky"`` up to rank 24, else ``"cg"``.
    preconditioner : {"auto", "none", "gram", "sketch"}, default="auto"
        Of conjugate gradients: ``"gram"`` turns both factors to the eigenvectors of the Gram matrix of the
        fixed one, in which the regressions of all rows are close to a diagonal; ``"auto"`` does so where an
        average row has a condition number above 25. ``"sketch"`` is that of [2]_, a sketch for each row,
        which takes as many steps, and :math:`k^3` more time for a row.
    init : {"spectral", "random"}, default="spectral"
        Start: the leading singular vectors of what the biases leave, entries weighted by degrees; or random
        columns.
    continuation : {"none", "ridge", "rank"}, optional
        How ``mode="exact"`` begins: ``"ridge"`` with a penalty that falls by 0.7 each sweep to `reg` or zero,
        from 0.3 of the largest singular value of the entries: what finds ill-conditioned matrices, and
        those with hardly more entries than degrees of freedom; ``"rank"`` with one component, to which the
        others are added every five sweeps: less for matrices of very large condition, weaker with few
        entries; ``"none"`` with what is asked for.
    inner_steps : int, optional
        Steps of conjugate gradients for a row and sweep.
    inner_tol : float, optional
        Residual, relative to that before the first step, at which these end early.
    polish : bool, default=True
        Whether rows are solved for exactly in the end, so that they are what :meth:`transform` gives.
    max_iter : int, optional
        Most sweeps, by default five times as many for ``solver="scaledgd"``; at most 12 of each fit by which
        `reg` is chosen, or 60 of such.
    tol : float, optional
        Sweeps end when one decreases the objective by no more, relative to it; in ``mode="exact"`` when the
        norm of what is left of the entries is no larger, relative to that of these, or no larger than what
        rounding may hide of it.
    validation_fraction : float, optional
        The part of the entries that is held out, in [0, 0.5]: sweeps end, too, when the error on these does
        not fall in two of them, and the best is taken; then the model is fitted to all entries. The error is
        in `certificate_`. By default 0.05 of 2,000 entries or more; of fewer nothing, or 0.2 to choose `reg`
        or `rank` by. In ``mode="exact"`` 0.01, or nothing of fewer than 2,000, for the certificate only.
    duplicates : {"keep", "mean", "last", "error"}, default="keep"
        What several entries for one place are: observations of the same thing, each with its weight; one,
        their mean (with weights a weighted one, which has the mean of these); the last of them; an error. In
        whatever form they come, a SciPy matrix in COO form too, and to whichever method: they are not added
        up.
    dtype : {"float32", "float64"} or None, default=None
        Precision of the factors. Sums over entries and rows are made in float64.
    random_state : None, int or numpy.random.RandomState, optional
        Of the start, and of what is held out.
    n_jobs : int, optional
        Number of threads. None means the setting of :func:`nearlin.set_config`. It never changes a bit.

    Attributes
    ----------
    U_ : ndarray of shape (n_rows, rank)
        Rows of the model, in units of the root of the values; float64 where float32 has not the range.
    V_ : ndarray of shape (n_cols, rank)
        Columns.
    row_bias_, col_bias_ : ndarray of shape (n_rows,) and (n_cols,)
        Biases; zeros where there are none.
    mean_ : float
        What is subtracted from all values.
    row_ids_, col_ids_ : ndarray of shape (n_rows,) and (n_cols,)
        What rows and columns are called, in increasing order; their numbers, for matrices.
    reg_ : float
        The penalty.
    reg_path_ : list of (float, float)
        Penalties that were tried, and the least errors with them; empty if it was given.
    rank_path_ : list of (int, float)
        Numbers of components that were tried, and the least errors with them; empty if the rank was given,
        and in ``mode="exact"``.
    history_ : list of float
        The objective after each sweep of the last fit, relative to the sum of squares of the values; in
        ``mode="exact"`` without penalties; with ``loss="l1"`` relative to what it was at the start.
    validation_history_ : list of float
        Root mean square error on held-out entries after each sweep.
    n_iter_ : int
        Sweeps of the last fit.
    status_ : {"CONVERGED", "STALLED", "DIVERGED", "MAX_ITER"}
        How sweeps ended: by `tol`, or by the error on held-out entries; in ``mode="exact"`` also because the
        residual fell by less than a hundredth in each of 20 sweeps; because it grew tenfold, or the objective
        by half, or predictions are ten times as large as what was observed; or by their number.
    converged_ : bool
        Whether that is "CONVERGED".
    row_status_, col_status_ : ndarray of str of shape (n_rows,) and (n_cols,)
        "empty" without entries; "undetermined" without a penalty: with fewer entries than components, in
        ``mode="exact"`` among those whose other line is determined; "weak" with fewer than twice as many;
        "determined".
    certificate_ : Certificate
        Root mean square error on the entries that were held out: ``float`` of it is the upper end of its
        95 % interval, of all candidates at once where `reg` or `rank` was chosen by it, and NaN if `status_`
        is "DIVERGED" or fewer than ten were held out. The interval is that of a variance, by as many degrees
        of freedom as its own variance tells, the largest of those of entries, of rows and of columns. It
        holds in 93 to 98 of 100 cases where errors are normal, from 100 entries on, and in nine of ten where
        they have the tails of Student's distribution with three degrees of freedom; of heavier tails, of few
        entries with much of the error, it knows nothing. In ``mode="exact"`` what is left of the observed
        entries, relative to them. ``details`` tells what else was measured, each a value and whether it is
        proven, statistical or heuristic: numbers of entries, what they do not determine, ``components`` of
        the graph of rows and columns, ``gradient`` (over the norms of values and factors), ``rate`` of the
        last sweep, ``incoherence_rows`` and ``_cols`` (largest leverage over the mean), ``condition`` and
        ``numerical_rank`` of the matrix that was found, ``norm`` (root mean square of its entries over that
        of the observed ones), ``contracting_rows`` and ``_cols`` (the share with entries enough for the
        preconditioner's proof), and ``theorem_share``: the entries over those that the theorem of [2]_ asks
        for with a constant of one, which is hardly ever one.

    Notes
    -----
    A sweep takes :math:`O(|\Omega| k)` by conjugate gradients, :math:`O(|\Omega| k^2 + (m + n) k^3)` by
    Cholesky's factorisation. Results do not depend on the order of the entries; an interrupted fit leaves the
    former model as it was, and whoever predicts meanwhile has one of both. Memory beside input and factors:
    at most 20 bytes an entry in float32, more where rows and columns are called by other things than numbers.

    References
    ----------
    .. [1] Y. Hu, Y. Koren, C. Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008.
    .. [2] Y. Gu, Z. Song, J. Yin, L. Zhang, "Low rank matrix completion via robust alternating minimization
           in nearly linear time", ICLR 2024.
    .. [3] Y. Zhou, D. Wilkinson, R. Schreiber, R. Pan, "Large-scale parallel collaborative filtering for the
           Netflix prize", AAIM 2008.
    .. [4] T. Tong, C. Ma, Y. Chi, "Accelerating ill-conditioned low-rank matrix estimation via scaled
           gradient descent", JMLR 22, 2021.
    .. [5] J. Zhang, S. Fattahi, R. Y. Zhang, "Preconditioned gradient descent for over-parameterized
           nonconvex matrix factorization", NeurIPS 2021.
    .. [6] P. W. Holland, R. E. Welsch, "Robust regression using iteratively reweighted least-squares",
           Communications in Statistics A6, 1977.
    .. [7] J. Ma, S. Fattahi, "Global convergence of sub-gradient method for robust matrix recovery: small
           initialization, noisy measurements, and over-parameterization", JMLR 24, 2023.

    Examples
    --------
    >>> import numpy as np
    >>> import nearlin
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.standard_normal((200, 3)) @ rng.standard_normal((3, 150))
    >>> X = np.where(rng.random(truth.shape) < 0.3, truth, np.nan)
    >>> model = nearlin.MatrixCompletion(3, reg=0.01, max_iter=100, random_state=0).fit(X)
    >>> bool(np.abs(model.reconstruct() - truth).mean() < 0.05)
    True
    >>> exact = nearlin.MatrixCompletion(3, mode="exact", random_state=0).fit(X)
    >>> exact.status_, bool(np.abs(exact.reconstruct() - truth).max() < 1e-7)
    ('CONVERGED', True)
    """

    row_bias_: Float
    col_bias_: Float
    mean_: float
    reg_: float
    reg_path_: list[tuple[float, float]]
    rank_path_: list[tuple[int, float]]
    history_: list[float]
    validation_history_: list[float]
    n_iter_: int
    status_: str
    converged_: bool
    certificate_: Certificate

    def __init__(
        self,
        rank: int | str = 10,
        *,
        mode: str = "statistical",
        reg: float | None = None,
        reg_exponent: float | None = None,
        bias: bool | str | None = None,
        center: bool | None = None,
        loss: str = "squared",
        nonnegative: bool = False,
        solver: str = "auto",
        preconditioner: str = "auto",
        init: str = "spectral",
        continuation: str | None = None,
        inner_steps: int | None = None,
        inner_tol: float | None = None,
        polish: bool = True,
        max_iter: int | None = None,
        tol: float | None = None,
        validation_fraction: float | None = None,
        duplicates: str = "keep",
        dtype: npt.DTypeLike | None = None,
        random_state: object = None,
        n_jobs: int | None = None,
    ) -> None:
        self.rank = rank
        self.mode = mode
        self.reg = reg
        self.reg_exponent = reg_exponent
        self.bias = bias
        self.center = center
        self.loss = loss
        self.nonnegative = nonnegative
        self.solver = solver
        self.preconditioner = preconditioner
        self.init = init
        self.continuation = continuation
        self.inner_steps = inner_steps
        self.inner_tol = inner_tol
        self.polish = polish
        self.max_iter = max_iter
        self.tol = tol
        self.validation_fraction = validation_fraction
        self.duplicates = duplicates
        self.dtype = dtype
        self.random_state = random_state
        self.n_jobs = n_jobs

    @allocating("what a fit takes")
    def fit(
        self,
        X: object,
        y: object = None,
        sample_weight: object = None,
        *,
        progress: bool | Progress = False,
    ) -> Self:
        """Fit the model to observed entries.

        Parameters
        ----------
        X : tuple, frame, sparse matrix or array_like
            Observed entries: a tuple ``(rows, cols, values)`` or ``(rows, cols, values, weights)``; a frame
            of pandas or polars with these columns in this order; the stored entries of a sparse matrix, zeros
            among them; or those of a dense array that are not NaN. Rows and columns may be called by
            integers (floating-point numbers are taken for such if they are), strings, bytes, truth values,
            dates and times of NumPy, pandas or Python, UUIDs, Decimals, and tuples of these; several kinds in
            one column stay apart. 1 and "1" are never the same, and whoever asks for the one where the fit
            had the other is told so.
        y : ignored
            For pipelines.
        sample_weight : array_like of shape (n_entries,), optional
            Weights of the entries in the order in which `X` has them: as they are stored, or row by row of a
            dense array. An entry of weight w is as good as w entries with its value: sums of weights take the
            place of numbers of entries, in penalties, means and errors. One of weight 0 is as if it were not
            there. In ``mode="exact"`` without a penalty that is all they tell: where entries have no noise,
            none is better than another.
        progress : bool or callable, default=False
            True shows a bar, a callable is called with (sweeps or fits done, most, figures).

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        InvalidInputError
            If nothing was observed, a value is infinite, or an identity is negative, missing, or of a kind
            that cannot be kept.
        AllocationError
            If there is no memory for it.

        Warns
        -----
        AccuracyWarning
            If the last of `max_iter` sweeps made the objective smaller by more than a hundredth, or was the
            only one, and if the fit has diverged; in ``mode="exact"`` if `status_` is not "CONVERGED".
        GuaranteeWarning
            In ``mode="exact"``, if there are rows or columns that the entries do not determine, several
            components, or few rows or columns that carry the matrix.
        """
        options = self._options(as_seed(self.random_state, "random_state"))
        exact, single = options.mode == "exact", self._single()
        entries = counted(as_entries(X, sample_weight))
        refuse_nothing(entries)
        if not exact or options.reg:
            check_weights(entries)
        chosen = [] if options.reg is not None or exact else ["`reg`"]
        chosen += [f"`{name}`" for name in ("rank", "bias") if getattr(options, f"{name}_auto")]
        state, found = _core.MatrixCompletionModel.fit(
            entries.source,
            options.for_entries(entries.count, entries.shape),
            exact=exact,
            weights=entries.weights,
            duplicates=options.duplicates,
            center=options.center,
            single=single,
            threads=resolve_threads(self.n_jobs, entries.count * options.rank * 100),
            progress=resolve_progress(progress),
        )
        figures: dict[str, Any] = {
            **found,
            "chosen": ", ".join(chosen[:-1]) + " and " * (len(chosen) > 1) + "".join(chosen[-1:]),
            "undetermined": count_undetermined(state.degrees(), state.parts()),
            "loss": options.loss,
            "tol": None if options.reg else options.tol,
        }
        self._adopt(state, figures, entries.row_ids, entries.col_ids)
        tell("MatrixCompletion", self.explain)
        if exact:
            warn_of(figures, self._undetermined(), options.max_iter)
        else:
            warn_of_end(figures, options)
        return self

    @allocating("what a fit takes")
    def partial_fit(
        self, X: object, y: object = None, sample_weight: object = None, *, sweeps: int = 1
    ) -> Self:
        """Learn of more observed entries, also in new rows and columns; the first time, :meth:`fit`.

        The rows and the columns of these entries are solved for again, exactly and with all that was ever
        observed in them; the others, the mean, the penalty and its unit stay as they are. Time is that of
        these rows and columns, and of a copy of all entries.

        Parameters
        ----------
        X : tuple, frame, sparse matrix or array_like
            Observed entries, called as in the fit: a matrix, whose rows and columns are numbers, after a
            matrix (it may be larger), a list with the same kind of names after a list. For places that were
            observed before, `duplicates` says what becomes of both.
        y : ignored
            For pipelines.
        sample_weight : array_like of shape (n_entries,), optional
            Weights of the entries, as :meth:`fit` takes them.
        sweeps : int, default=1
            How often the rows and then the columns are solved for, before the rows once more.

        Returns
        -------
        self
            The estimator. `history_`, `validation_history_` and the error in `certificate_` remain those of
            the fit.

        Raises
        ------
        InvalidInputError
            If entries are called otherwise than those of the fit, or hold what :meth:`fit` refuses.
        """
        if not hasattr(self, "U_"):
            return self.fit(X, y, sample_weight)
        count = check_int(sweeps, "sweeps", at_least=1, at_most=2**20)
        options = self._options(0)
        if options.mode == "exact":
            raise InvalidInputError(
                "is 'exact', expected 'statistical', for entries that come later", argument="mode"
            )
        if options.loss != "squared":
            raise InvalidInputError(
                f"is {options.loss!r}, expected 'squared', for entries that come later", argument="loss"
            )
        entries = counted(as_entries(X, sample_weight))
        if not entries.count:
            return self
        check_weights(entries)
        fitted = self._fitted
        more, places = joined(entries, fitted.ids, fitted.state.shape)
        state = fitted.state.partial_fit(
            more.source,
            *places,
            weights=more.weights,
            duplicates=options.duplicates,
            sweeps=count,
            threads=resolve_threads(self.n_jobs, more.count * fitted.state.rank * 100),
        )
        later = fitted.figures.get("later", 0) + more.count
        self._adopt(state, {**fitted.figures, "later": later}, more.row_ids, more.col_ids)
        return self

    @allocating("predictions")
    def predict(
        self,
        rows: object,
        cols: object,
        *,
        return_known: bool = False,
        return_status: bool = False,
        minimum_norm: bool = False,
    ) -> Any:
        """Predict entries.

        Parameters
        ----------
        rows, cols : array_like of shape (n,)
            Rows and columns, called by things of the same kind as in the fit. Of what the model does not
            know, it has no factor and no bias.
        return_known : bool, default=False
            Whether to tell of which entries row and column are known.
        return_status : bool, default=False
            Whether to tell, instead, of each entry that it is "determined", or why it is not without a
            penalty: "unknown row", "empty row", "undetermined row", the same of a "column", or "other
            component" where row and column are determined, but not with each other, or "undetermined entry"
            where they are in one component and hang together by too few entries. In ``mode="statistical"``
            fewer entries than components are what makes a line undetermined.
        minimum_norm : bool, default=False
            Whether to predict in ``mode="exact"`` what is not determined too, by the shortest rows that agree
            with the entries, rather than NaN.

        Returns
        -------
        ndarray of float64 of shape (n,)
            Predictions; with `return_known` these and an array of truth values, with `return_status` these
            and an array of str.

        Raises
        ------
        InvalidTypeError
            If rows or columns are called by things of another kind than in the fit.
        """
        check_is_fitted(self)
        check_bool(return_known, "return_known")
        check_bool(return_status, "return_status")
        check_bool(minimum_norm, "minimum_norm")
        fitted = self._fitted
        row, col = self._places(fitted, rows, cols)
        found = self._predicted(fitted, row, col, minimum_norm)
        if return_status:
            state = fitted.state
            words = status_of_entries(row, col, state.degrees(), state.parts(), state.rank)
            free = np.isnan(self._predicted(fitted, row, col, False)) & (words == "determined")
            return found, np.where(free, "undetermined entry", words)
        return (found, (row >= 0) & (col >= 0)) if return_known else found

    @allocating("predictions")
    def reconstruct(self, *, minimum_norm: bool = False) -> Float:
        """Return the whole matrix.

        Parameters
        ----------
        minimum_norm : bool, default=False
            Whether to predict what is not determined too, as :meth:`predict` does.

        Returns
        -------
        ndarray of float64 of shape (n_rows, n_cols)
            Predictions for all rows and columns, observed ones too; NaN in ``mode="exact"`` for what is not
            determined.

        Raises
        ------
        AllocationError
            If there is no memory for it.
        """
        check_is_fitted(self)
        check_bool(minimum_norm, "minimum_norm")
        return self._reconstructed(minimum_norm)

    @allocating("rows of the model")
    def transform(self, X: object, *, return_bias: bool = False, return_std: bool = False) -> Any:
        """Return rows of the model for rows that need not have been in the fit, the columns as they are.

        Parameters
        ----------
        X : sparse matrix or array_like of shape (n_samples, n_cols)
            Observed entries, in the columns of the fit in the order of `col_ids_`; NaN, or nothing stored,
            where there are none; `duplicates` is what several for one place are. All zeros for a row without
            any. In ``mode="exact"`` entries in columns that are not determined do not count, and a row with
            fewer entries than components is the shortest that agrees with these.
        return_bias : bool, default=False
            Whether to return the biases of the rows too.
        return_std : bool, default=False
            Whether to return, last, standard deviations of shape (n_samples, n_cols): of an entry to come in
            a row and a column from its prediction. Errors of entries are taken to be independent, of the
            size that `certificate_` has found on held-out entries or, if nothing was held out, of what the
            fit has left over its degrees of freedom; penalties count as what is known of a row beforehand,
            and columns as known. NaN if neither tells, infinite where nothing determines a row.

        Returns
        -------
        ndarray of float64 of shape (n_samples, rank)
            The exact solutions of the regressions, followed by what else was asked for.

        Warns
        -----
        GuaranteeWarning
            With `return_std`, if an exact fit has not determined all entries of its rows and columns.
        """
        check_is_fitted(self)
        check_bool(return_bias, "return_bias")
        check_bool(return_std, "return_std")
        fitted, duplicates = self._fitted, self._options(0).duplicates
        state = fitted.state
        rows = as_rows(X, state.shape[1], self)
        threads = resolve_threads(self.n_jobs, rows.count * state.rank * 20)
        factor, bias = state.fold_in(rows.kept, duplicates, threads=threads)
        found: list[Any] = [np.ascontiguousarray(factor)]
        if return_bias:
            found.append(bias)
        if return_std:
            warn_of_free(fitted.figures)
            size = rows.shape[0] * rows.shape[1]
            threads = resolve_threads(self.n_jobs, size * state.rank**2)
            deviations = state.deviations(rows.kept, duplicates, threads=threads)
            held_out = fitted.figures["held_out"]
            deviations *= state.noise() if held_out is None else held_out[1]
            found.append(deviations)
        return found[0] if len(found) == 1 else tuple(found)

    @allocating("predictions")
    def score(self, X: object, y: object = None, sample_weight: object = None) -> float:
        """Return the root mean square error on observed entries, times -1 so that more is better.

        Parameters
        ----------
        X : tuple, frame, sparse matrix or array_like
            Observed entries, as :meth:`fit` takes them.
        y : ignored
            For loops that hand it on.
        sample_weight : array_like of shape (n_entries,), optional
            Weights of the entries, as :meth:`fit` takes them.

        Returns
        -------
        float
            In the units of the values.
        """
        check_is_fitted(self)
        return self._score(counted(as_entries(X, sample_weight)), self._options(0).duplicates)

    def explain(self) -> str:
        """Return in words how the model was fitted and what is known of its error.

        Returns
        -------
        str
            A few lines.
        """
        check_is_fitted(self)
        state, figures, *_ = self._fitted
        return explanation(figures, self.certificate_, state.shape, state.rank)

    @property
    def row_status_(self) -> npt.NDArray[np.str_]:
        """Whether rows are determined."""
        return self._status(0)

    @property
    def col_status_(self) -> npt.NDArray[np.str_]:
        """Whether columns are determined."""
        return self._status(1)

    def _status(self, side: int) -> npt.NDArray[np.str_]:
        check_is_fitted(self)
        state = self._fitted.state
        parts = state.parts()
        part = None if parts is None else parts[side]
        return status_of_lines(state.degrees()[side], part, state.rank)

    def _undetermined(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return what rows and columns of an exact fit are called that are not determined."""
        rows, cols = self._state.parts()
        return self.row_ids_[rows < 0], self.col_ids_[cols < 0]

    def _options(self, seed: int) -> Options:
        return Options.of(
            mode=self.mode,
            rank=self.rank,
            reg=self.reg,
            reg_exponent=self.reg_exponent,
            bias=self.bias,
            center=self.center,
            loss=self.loss,
            nonnegative=self.nonnegative,
            solver=self.solver,
            preconditioner=self.preconditioner,
            init=self.init,
            continuation=self.continuation,
            inner_steps=self.inner_steps,
            inner_tol=self.inner_tol,
            polish=self.polish,
            max_iter=self.max_iter,
            tol=self.tol,
            validation_fraction=self.validation_fraction,
            duplicates=self.duplicates,
            seed=seed,
        )

    def _single(self) -> bool:
        if self.dtype is None:
            return self.mode != "exact"
        return as_float_dtype(self.dtype, "dtype") == "float32"

    def _adopt(
        self,
        state: Any,
        figures: dict[str, Any],
        row_ids: Ids | None,
        col_ids: Ids | None,
    ) -> None:
        U, V, row_bias, col_bias = state.factors()
        certificate = certificate_of(figures, state.degrees(), U.shape[1])
        # At once: an interrupt in between would leave parts of two models.
        self.__dict__.update(
            _fitted=Fitted(state, figures, row_ids, col_ids),
            U_=np.ascontiguousarray(U),
            V_=np.ascontiguousarray(V),
            row_bias_=row_bias,
            col_bias_=col_bias,
            mean_=state.mean,
            reg_=float(figures["reg"]),
            reg_path_=_least((reg, rmse) for _, reg, _, rmse in figures["path"]),
            rank_path_=_least((rank, rmse) for rank, _, _, rmse in figures["path"]),
            history_=[float(value) for value in figures["objective"]],
            validation_history_=[float(value) for value in figures["validation"]],
            n_iter_=len(figures["objective"]),
            status_=str(figures["status"]),
            converged_=figures["status"] == "CONVERGED",
            certificate_=certificate,
        )


def _least(tried: Iterable[tuple[Any, float]]) -> list[tuple[Any, float]]:
    """Return what was tried and the least error with each, if it was more than one thing."""
    found: dict[Any, float] = {}
    for value, error in tried:
        found[value] = min(error, found.get(value, error))
    return list(found.items()) if len(found) > 1 else []
