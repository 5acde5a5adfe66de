"""Samples of rows that stand for all rows in l_p."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nearlin import _core
from nearlin._certificate import Certificate
from nearlin._config import Progress, resolve_progress, resolve_threads
from nearlin._frames import check_names, column_names, naming_columns, string_names
from nearlin._listing import listing
from nearlin._log import tell
from nearlin._sparse import check_indices, is_sparse, without_ignored_entries
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
    copying,
)
from nearlin._warn import warn
from nearlin.exceptions import GuaranteeWarning, InvalidInputError, ShapeError

from ._lewis_weights import LARGEST_POWER

__all__ = ["RULES", "RowSample", "certificate_of", "sample_rows", "warn_of", "with_targets"]

RULES = (
    "auto",
    "leverage",
    "lewis",
    "root_leverage",
    "sensitivity",
    "leverage_sensitivity",
    "augmented",
    "uniform",
)
DESIGNS = ("bernoulli", "fixed", "iid", "dpp", "volume")
TOGETHER = ("dpp", "volume")
"""Designs that draw rows together, by the projection onto the columns."""
QUANTITY = "distortion of |A x|_{p}"
LOST = 1.0 - 1e-5
"""From this distortion on, a direction is lost: singular values below are roots of rounding."""
CUT = (
    "directions in which rows have parts beside others that are larger by more than the precision were cut "
    "off, and the sample may not have them: scale or remove such rows"
)


@dataclass(frozen=True, repr=False, eq=False)
class RowSample:
    """Rows with weights, such that weighted sums over them stand for sums over all rows.

    Attributes
    ----------
    indices : ndarray of shape (m,)
        Numbers of the rows, in increasing order.
    weights : ndarray of shape (m,)
        Their weights: how many rows each stands for, times its own weight. What scikit-learn calls
        `sample_weight`.
    p : float
        The power.
    scores : ndarray of shape (n,)
        What rows were drawn by.
    expected_size : float
        How many rows were to be expected; draws for ``design="iid"``; of a stream by root leverage scores the
        most that could be.
    certificate : Certificate
        What is known of the distortion ``max |  |S A x|_p / |A x|_p - 1 |``.
    rule : str
        Name of the scores.
    design : str
        How rows were drawn.
    n_rows : int
        How many there were.
    rank : int
        Rank of the matrix.
    rows : ndarray of shape (m, d) or None
        The rows, of a stream.
    targets : ndarray of shape (m,) or (m, k), or None
        Their targets, of a stream that had any.
    feature_names : list of str or None
        Names of the columns, of a frame where all of them are strings.
    """

    indices: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]
    p: float
    scores: npt.NDArray[np.float64]
    expected_size: float
    certificate: Certificate
    rule: str
    design: str
    n_rows: int
    rank: int
    rows: Matrix = None
    targets: Float | None = None
    feature_names: list[str] | None = None

    def apply(self, A: object, y: object = None) -> Any:
        r"""Return the rows of `A` times the p-th roots of their weights, and those of `y` alike.

        Parameters
        ----------
        A : array_like or sparse matrix of shape (n, d)
            The matrix that the sample is of, or another one with as many rows. A frame must have the columns
            of the one that the sample is of, in their order.
        y : array_like of shape (n,) or (n, k), optional
            Targets.

        Returns
        -------
        SA : ndarray or sparse matrix of shape (m, d)
            So that :math:`\|S A x\|_p` stands for :math:`\|A x\|_p`.
        Sy : ndarray of shape (m,) or (m, k)
            With `y`.

        Examples
        --------
        >>> import numpy as np
        >>> import nearlin
        >>> A = np.random.default_rng(0).standard_normal((10_000, 3))
        >>> sample = nearlin.sample_rows(A, size=500, rng=0)
        >>> bool(abs(np.linalg.norm(sample.apply(A)[:, 0]) / np.linalg.norm(A[:, 0]) - 1.0) < 0.15)
        True
        """
        check_names(A, self.feature_names, "A")
        matrix = as_matrix(A)
        self._check_rows(matrix.shape[0], "A")
        roots = self.weights ** (1.0 / self.p)
        SA = _times_rows(matrix, self.indices, roots)
        if y is None:
            return SA
        targets, vector = as_rhs(y, self.n_rows, matrix.dtype, "y")
        Sy = _times_rows(targets, self.indices, roots)
        return SA, (Sy[:, 0] if vector else Sy)

    def apply_to_rows(self) -> Any:
        """Return the rows of a stream times the p-th roots of their weights, and their targets alike if it
        had any.

        Returns
        -------
        SA : ndarray of shape (m, d)
            As :meth:`apply` gives it.
        Sy : ndarray of shape (m,) or (m, k)
            If there are targets.

        Raises
        ------
        InvalidInputError
            If the sample is not that of a stream.

        Examples
        --------
        >>> import numpy as np
        >>> import nearlin
        >>> nearlin.StreamingCoreset(5, rng=0).partial_fit(np.eye(7, 2)).result().apply_to_rows()
        array([[1., 0.],
               [0., 1.]])
        """
        if self.rows is None:
            raise InvalidInputError("this sample has no rows of its own: use apply(A)")
        roots = self.weights ** (1.0 / self.p)
        every = np.arange(len(self))
        SA = _times_rows(self.rows, every, roots)
        if self.targets is None:
            return SA
        columns = self.targets.reshape(len(self), -1)
        return SA, _times_rows(columns, every, roots).reshape(self.targets.shape)

    def as_sample_weight(self, n: int | None = None) -> npt.NDArray[np.float64]:
        """Return the weights of all rows, zeros for those that were not drawn.

        Parameters
        ----------
        n : int, optional
            Number of rows, which is checked.

        Returns
        -------
        ndarray of shape (n,)
            For an estimator that is fitted on all rows anyway; ``model.fit(A[sample.indices],
            y[sample.indices], sample_weight=sample.weights)`` does the same faster.

        Examples
        --------
        >>> import numpy as np
        >>> import nearlin
        >>> sample = nearlin.sample_rows(np.eye(3), size=3, rng=0)
        >>> sample.as_sample_weight()
        array([1., 1., 1.])
        """
        if n is not None:
            self._check_rows(check_int(n, "n"), "n")
        with copying("the weights of all rows"):
            weights = np.zeros(self.n_rows)
        weights[self.indices] = self.weights
        return weights

    def explain(self) -> str:
        """Return what was drawn, by what, and what is known of it."""
        return "\n".join(
            [
                f"{len(self.indices)} of {self.n_rows} rows by {self.rule} scores ({self.design}; "
                f"{self._expected} were to be expected), for p = {self.p:g} and rank {self.rank}",
                self._weights,
                str(self.certificate),
            ]
        )

    @property
    def _expected(self) -> str:
        # A stream knows the sum of its scores only where that is the rank, or where it draws once more.
        is_bound = self.rows is not None and self.rule == "root_leverage"
        return ("no more than " if is_bound else "") + (
            f"{self.expected_size:.6g}" if self.expected_size < 1e6 else f"{self.expected_size:.0f}"
        )

    @property
    def _weights(self) -> str:
        if len(self) == 0:
            return "no row was drawn: take a larger size, or another seed"
        least, most = self.weights.min(), self.weights.max()
        return f"weights from {least:.4g} to {most:.4g}, {int((self.weights == 1.0).sum())} of them one"

    def _check_rows(self, n: int, name: str) -> None:
        if n != self.n_rows:
            raise ShapeError(f"has {n} rows, expected {self.n_rows}, as those drawn from", argument=name)

    def __len__(self) -> int:
        return len(self.indices)

    def __repr__(self) -> str:
        return listing(
            {
                "indices": self.indices,
                "weights": self.weights,
                "p": f"{self.p:g}",
                "rule": self.rule,
                "design": self.design,
                "expected_size": self._expected,
                "n_rows": self.n_rows,
                "certificate": str(self.certificate),
            }
        )


def sample_rows(
    A: object,
    y: object = None,
    *,
    p: float = 2.0,
    eps: float | None = None,
    size: int | None = None,
    scores: object = "auto",
    design: str = "bernoulli",
    repeats: int = 1,
    certify: bool = True,
    sample_weight: object = None,
    rng: object = None,
    n_jobs: int | None = None,
    progress: bool | Progress = False,
) -> RowSample:
    r"""Draw rows of `A`, with weights, that stand for all rows in :math:`\|A x\|_p` for every x at once.

    Parameters
    ----------
    A : array_like or sparse matrix of shape (n, d)
        The rows. For a fit with an intercept give it a column of ones: what the sample is to stand for has
        to be in the columns. Rows of zeros, which add nothing to any norm, are never drawn.
    y : array_like of shape (n,) or (n, k), optional
        Targets, which join `A` as columns before rows are scored (in a copy): what is fitted on the sample is
        then close to what is fitted on all rows, whatever the residuals. As for `A`, an intercept needs a
        column of ones.
    p : float, default=2.0
        From 1 to 30.
    eps : float, optional
        Distortion of norms: :math:`1.7 c^2 r / \varepsilon^2` rows are drawn for rank r, which usually keep
        it, c being the larger of :math:`c_p` = 1.2, 1.2, 1.0, 0.9, 0.8 for p = 1, 1.5, 2, 3, 4, measured on
        Gaussian rows, and :math:`\sqrt{2 \log 2 r} / p`, which rows take that have r directions of their own.
        What was reached is in the certificate, and a miss is told in a warning.
    size : int, optional
        Number of rows to be expected instead, at least the rank of `A` and `y` together; with
        ``design="fixed"`` exactly so many. Give one of the two. Rows that do not go in every direction are
        drawn once more, with twice the size: the same rows, and more; `expected_size` tells. Not with
        ``design="fixed"``.
    scores : str or array_like of shape (n,), default="auto"
        Rows are drawn with probabilities that grow in proportion, up to one:

        - ``"leverage"``: leverage scores. For p = 2, :math:`3 r \log(2 r / \delta) / \varepsilon^2` rows have
          a distortion of squares of :math:`\varepsilon` at most, with probability :math:`1 - \delta` [1]_.
        - ``"lewis"``: Lewis weights, of order :math:`r / \varepsilon^2` rows but for logarithms for p < 2
          [2]_, and :math:`r^{p/2} / \varepsilon^2` for p > 2 [3]_.
        - ``"root_leverage"``: powers p/2 of leverage scores, for p <= 2: one read less than Lewis weights and
          as good for most data, :math:`n^{1 - p/2} r^{p/2}` rows in one step.
        - ``"sensitivity"``: upper bounds of sensitivities, of sum S: :math:`S^{2/p} / \varepsilon^2` rows for
          p < 2, :math:`S^{2 - 2/p} / \varepsilon^2` for p > 2 [4]_. They take a weighted Gram matrix of up to
          4096 rows for each row; the certificate has a bound of the distortion if there are no more.
        - ``"leverage_sensitivity"``: both, each over its sum: :math:`r^{2/p} S^{2 - 4/p} / \varepsilon^2`
          rows for p > 2 [4]_.
        - ``"augmented"``: Lewis weights and leverages over the rank, and 1/n: :math:`(S + r) / \varepsilon^2`
          rows for p < 2 [5]_, and what bounds the error of logistic and Huber loss.
        - ``"uniform"``: ones, but for rows of zeros. A direction that few rows have is lost.
        - ``"auto"``: leverage scores for p = 2, else Lewis weights.
    design : {"bernoulli", "fixed", "iid", "dpp", "volume"}, default="bernoulli"
        Each row for itself, exactly `size` rows, or draws with replacement, which take 1.6 times as many. For
        p = 2 and fewer than three times the rank, rows that are drawn together, so that those which are alike
        hardly ever come together:

        - ``"dpp"``: `repeats` projection DPPs, of as many rows as the rank each, and no `size`.
        - ``"volume"``: one of them and draws by leverage scores beside it, `size` rows in all: the least
          squares fit on the weighted rows has that on all rows as its expectation [6]_.

        Both take memory for `n` times the rank numbers.
    repeats : int, default=1
        Number of DPPs.
    certify : bool, default=True
        Whether to search, for p other than 2, for the direction in which norms over the sample are furthest
        off: twenty climbs over the sample and a few thousand other rows, and a read of all rows, which takes
        longer than the scores where rows are few. False leaves the distortion unknown, without a warning of
        that.
    sample_weight : array_like of shape (n,), optional
        Rows count so many times. Rows of weight zero are never drawn.
    rng : None, int, numpy.random.Generator or what :func:`numpy.random.default_rng` takes, optional
        Source of the random numbers.
    n_jobs : int, optional
        Number of threads. None means the setting of :func:`nearlin.set_config`. It never changes a bit.
    progress : bool or callable, default=False
        True shows a bar, a callable is called with (steps done, most, figures) of the Lewis weights.

    Returns
    -------
    RowSample
        Indices, weights, scores, and what is certified of them.

    Raises
    ------
    InvalidInputError
        If `size` is less than the rank, an entry is not finite, or all of them are zero.

    Warns
    -----
    GuaranteeWarning
        Once at most: if the sample has lost a direction, if directions of A that are lost in the rounding of
        larger ones were cut off, if the distortion is above `eps`, or if nothing bounds it: for p other than
        2, without sensitivities.

    Notes
    -----
    Every row has a permanent random number, of the seed and of its own number: a larger sample by the same
    scores with the same seed has all rows of a smaller one, and nothing depends on threads or layout.
    `weights` are one over the probability (times `sample_weight`), so that weighted sums have the expectation
    of sums over all rows.

    For p = 2 the certificate has the distortion itself, from singular values; its bound adds what rounding
    may be at the condition of A. For other p
    ``details["distortion_found"]`` is the largest that a search has found.

    References
    ----------
    .. [1] P. Drineas, M. Mahoney, S. Muthukrishnan, "Relative-error CUR matrix decompositions", SIMAX 30
           (2008).
    .. [2] M. Cohen, R. Peng, "l_p row sampling by Lewis weights", STOC 2015.
    .. [3] D. Woodruff, T. Yasuda, "Online Lewis weight sampling", SODA 2023.
    .. [4] D. Woodruff, T. Yasuda, "Sharper bounds for l_p sensitivity sampling", ICML 2023.
    .. [5] A. Munteanu, S. Omlor, "Optimal bounds for l_p sensitivity sampling via l_2 augmentation", ICML
           2024.
    .. [6] M. Dereziński, M. K. Warmuth, D. Hsu, "Leveraged volume sampling for linear regression", NeurIPS
           2018.

    Examples
    --------
    >>> import numpy as np
    >>> import nearlin
    >>> rng = np.random.default_rng(0)
    >>> A = rng.standard_normal((20_000, 5)) / rng.uniform(size=(20_000, 1))
    >>> sample = nearlin.sample_rows(A, size=600, rng=0)
    >>> bool(sample.certificate.bound < 0.15)
    True

    Whatever takes weights can be fitted on the rows: least squares, quantiles (p = 1), and other losses by
    augmented scores.

    >>> from sklearn.linear_model import LinearRegression, LogisticRegression, QuantileRegressor
    >>> y = A @ [1.0, 0.0, -1.0, 0.0, 2.0] + rng.standard_normal(20_000)
    >>> with_ones = np.c_[A, np.ones(20_000)]  # for the intercepts
    >>> sample = nearlin.sample_rows(with_ones, y, size=600, rng=0)
    >>> on_all, on_few = LinearRegression(), LinearRegression()
    >>> _ = on_all.fit(A, y)
    >>> _ = on_few.fit(A[sample.indices], y[sample.indices], sample_weight=sample.weights)
    >>> bool(abs(on_all.coef_ - on_few.coef_).max() < 0.05)
    True
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", nearlin.exceptions.GuaranteeWarning)
    ...     sample = nearlin.sample_rows(with_ones, y, p=1.0, size=600, rng=0)
    ...     other = nearlin.sample_rows(with_ones, p=1.0, size=600, scores="augmented", rng=0)
    >>> median = QuantileRegressor(quantile=0.5, alpha=0.0)
    >>> _ = median.fit(A[sample.indices], y[sample.indices], sample_weight=sample.weights)
    >>> bool(abs(median.coef_ - [1.0, 0.0, -1.0, 0.0, 2.0]).max() < 0.1)
    True
    >>> signs = LogisticRegression(C=100.0)
    >>> _ = signs.fit(A[other.indices], y[other.indices] > 0.0, sample_weight=other.weights)
    >>> bool(signs.score(A, y > 0.0) > 0.85)
    True
    """
    matrix = as_matrix(A)
    n = matrix.shape[0]
    p = check_real(p, "p", at_least=1.0, at_most=LARGEST_POWER)
    check_choice(design, "design", DESIGNS)
    repeats = check_int(repeats, "repeats", at_least=1)
    _check_size(size, eps, design, repeats)
    size = None if size is None else check_int(size, "size", at_least=1, at_most=LARGEST)
    eps = None if eps is None else check_real(eps, "eps", above=0.0, below=1.0)
    rule, given = _rule(scores, n, p)
    if design in TOGETHER:
        _check_together(rule, p, design)
    weights = as_sample_weight(sample_weight, n)
    matrix = without_ignored_entries(matrix, weights)
    beside = matrix if y is None else with_targets(matrix, y, weights)[0]
    d = beside.shape[1]
    with naming_columns(column_names(A)):
        found = _core.sample_rows(
            beside,
            sample_weight=weights,
            p=p,
            rule=None if given is not None else rule,
            scores=given,
            size=size,
            eps=eps,
            design=design,
            repeats=repeats,
            certify=check_bool(certify, "certify"),
            seed=as_seed(rng),
            threads=resolve_threads(n_jobs, 2.0 * n * d * d),
            progress=resolve_progress(progress),
        )
    sample = RowSample(
        indices=found["indices"],
        weights=found["weights"],
        p=p,
        scores=found["scores"],
        expected_size=found["expected_size"],
        certificate=certificate_of(found, p, eps),
        rule=rule,
        design=design,
        n_rows=n,
        rank=found["rank"],
        feature_names=string_names(A),
    )
    tell("sample_rows", sample.explain)
    warn_of(found, len(sample), p, eps, is_asked=certify)
    return sample


def _check_size(size: object, eps: object, design: str, repeats: int) -> None:
    """Raise unless what is given says how many rows there are to be."""
    if design != "dpp" and repeats != 1:
        raise InvalidInputError(f"is {repeats}, expected 1 for any design but 'dpp'", argument="repeats")
    if design in TOGETHER and eps is not None:
        raise InvalidInputError(f"is given with design='{design}', expected None", argument="eps")
    if design == "dpp" and size is not None:
        raise InvalidInputError("is given with design='dpp', expected `repeats`", argument="size")
    if design != "dpp" and (size is None) == (eps is None):
        what = "is not given, nor is `eps`" if size is None else "is given beside `eps`"
        raise InvalidInputError(f"{what}, expected one of them", argument="size")


def _check_together(rule: str, p: float, design: str) -> None:
    if p != 2.0:
        raise InvalidInputError(f"is '{design}' for p = {p:g}, expected p = 2", argument="design")
    if rule != "leverage":
        raise InvalidInputError(
            f"is given with design='{design}', which draws by leverage scores, expected 'auto'",
            argument="scores",
        )


def _rule(scores: object, n: int, p: float) -> tuple[str, Float | None]:
    """Return the name of a rule, and scores that were given."""
    if scores is None:
        raise InvalidInputError(f"is None, expected scores or one of {', '.join(RULES)}", argument="scores")
    if not isinstance(scores, str):
        given = as_vector(scores, "scores", length=n)
        check_finite(given, "scores")
        if given.min() < 0.0:
            row = int(given.argmin())
            raise InvalidInputError(
                f"has {given[row]} at [{row}], expected no negative score", argument="scores"
            )
        return "given", given
    rule = check_choice(scores, "scores", RULES)
    if rule == "root_leverage" and p > 2.0:
        raise InvalidInputError(
            f"is 'root_leverage' for p = {p:g}, expected another one: these are scores for p <= 2",
            argument="scores",
        )
    return ("leverage" if p == 2.0 else "lewis") if rule == "auto" else rule, None


def with_targets(
    matrix: Matrix, y: object, weights: npt.NDArray[np.float64] | None = None
) -> tuple[Matrix, bool]:
    """Return the matrix with targets as its last columns, and whether they were a vector.

    In rows of weight zero targets may be anything.
    """
    targets, vector = as_rhs(y, matrix.shape[0], matrix.dtype, "y")
    if weights is not None and not weights.all():
        with copying("y"):
            targets = np.where(weights[:, np.newaxis] == 0.0, targets.dtype.type(0), targets)
    check_finite(targets[:, 0] if vector else targets, "y")
    with copying("A"):
        if is_sparse(matrix):
            from scipy.sparse import csr_array, hstack

            stacked = hstack([matrix, csr_array(targets)], "csr", dtype=matrix.dtype)
            return as_matrix(stacked, allow_empty=True), vector
        return np.hstack([matrix, targets]), vector


def _times_rows(matrix: Matrix, indices: npt.NDArray[np.int64], roots: npt.NDArray[np.float64]) -> Matrix:
    """Return some rows times numbers."""
    with copying("A"):
        if is_sparse(matrix):
            check_indices(matrix, "A")
            rows = matrix.tocsr()[indices]
            rows.data *= np.repeat(roots, np.diff(rows.indptr)).astype(matrix.dtype)
            return rows
        return matrix[indices] * roots[:, np.newaxis].astype(matrix.dtype)


def certificate_of(found: _core.SampleFigures, p: float, eps: float | None) -> Certificate:
    """Return what was measured of the distortion of a sample."""
    quantity = QUANTITY.format(p=_digits(p))
    exact, largest = found["exact"], found["found"]
    details = {} if largest is None else {"distortion_found": largest}
    if found["is_cut"]:
        return Certificate(
            quantity=quantity,
            estimate=_or_nan(largest if exact is None else exact),
            bound=math.nan,
            confidence=None,
            measured="directions that are above rounding",
            target=eps,
            note=CUT,
            details=details,
        )
    if exact is not None:
        exact = max(exact, 1.0) if exact >= LOST else exact
        # The least singular value, 1 - exact, is the root of an eigenvalue with rounding of its own.
        of_root = 1e-15 / max(1.0 - exact, 1.0 - LOST)
        return Certificate(
            quantity=quantity,
            estimate=exact,
            bound=exact + found["rounding"] * (1.0 + exact) + of_root,
            confidence=1.0,
            measured="singular values of the sample where the columns of A are orthonormal",
            target=eps,
            note="a direction of A is lost" if exact >= LOST else None,
        )
    if found["bound"] is not None:
        bound, confidence = found["bound"]
        return Certificate(
            quantity=quantity,
            estimate=_or_nan(largest),
            bound=max(bound, largest or 0.0),
            confidence=confidence,
            measured="a union bound over a net of directions, by certified sensitivities",
            target=eps,
            details=details,
        )
    return Certificate(
        quantity=quantity,
        estimate=_or_nan(largest),
        bound=math.nan,
        confidence=None,
        measured="nothing" if largest is None else "a search for the direction that is furthest off",
        target=eps,
        note="nothing bounds it but for p = 2, or by sensitivities"
        + ("" if largest is None else "; details has the largest that was found"),
        details=details,
    )


def warn_of(
    found: _core.SampleFigures, size: int, p: float, eps: float | None = None, is_asked: bool = True
) -> None:
    """Warn of what is worst about a sample of so many rows, once at most; of what is unknown if it was asked
    for.
    """
    worst = max(found["exact"] or 0.0, found["found"] or 0.0)
    if worst >= LOST:
        message = (
            f"the sample of {size} rows has lost a direction, or has it twice too long: take more rows, or "
            "other scores"
        )
    elif found["is_cut"]:
        message = CUT
    elif eps is not None and worst > eps:
        message = f"the distortion is {worst:.2g}, more than eps = {eps:.2g}: take more rows, by `size`"
    elif is_asked and found["exact"] is None and found["bound"] is None:
        known = "" if found["found"] is None else f"; the largest that was found is {worst:.2g}"
        message = f"nothing bounds the distortion for p = {_digits(p)}{known}"
    else:
        return
    warn(message, GuaranteeWarning)


def _digits(p: float) -> str:
    """Return as many digits as tell p from 2."""
    return f"{p:g}" if float(f"{p:g}") == p else repr(p)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
