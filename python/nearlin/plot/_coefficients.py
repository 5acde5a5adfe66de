"""Coefficients with their intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from nearlin.exceptions import InvalidInputError

from ._axes import COLOURS, REFERENCE, as_floats, axes_for, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["CoefficientDisplay"]

Array = npt.NDArray[np.float64]

INTERCEPTS = ("intercept", "(intercept)")
"""What tables of coefficients call a constant."""


class CoefficientDisplay:
    """Coefficients of one or several fits, with intervals where there are any.

    Parameters
    ----------
    names : sequence of str of length p
        What coefficients are called.
    coef : array_like of shape (p,) or (n_fits, p)
        Coefficients, side by side for several fits.
    interval : array_like of shape (p, 2) or (n_fits, p, 2), optional
        Ends of their intervals. A coefficient whose ends are NaN beside others that are not is drawn hollow:
        the data do not determine it.
    labels : sequence of str of length n_fits, optional
        What fits are called.
    interval_name : str, optional
        What the intervals are, for the axis: "95 % interval".

    Attributes
    ----------
    bars_ : list of matplotlib ErrorbarContainer
        Of each fit.
    unidentified_ : list of matplotlib Line2D
        Hollow markers, of the fits that have some.
    zero_line_ : matplotlib Line2D
        Zero.
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> import nearlin
    >>> from nearlin.plot import CoefficientDisplay
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((200, 3))
    >>> model = nearlin.LinearRegression().fit(X, X @ [1.0, 0.0, -2.0] + rng.standard_normal(200))
    >>> display = CoefficientDisplay.from_estimator(model, ax=Figure().subplots())
    >>> display.names, display.ax_.get_xlabel()
    (['x0', 'x1', 'x2'], 'coefficient, 95 % interval')
    """

    def __init__(
        self,
        *,
        names: Sequence[str],
        coef: npt.ArrayLike,
        interval: npt.ArrayLike | None = None,
        labels: Sequence[str] | None = None,
        interval_name: str | None = None,
    ) -> None:
        self.names = names
        self.coef = coef
        self.interval = interval
        self.labels = labels
        self.interval_name = interval_name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: object = None,
        y: object = None,
        sample_weight: object = None,
        *,
        kind: str = "nonrobust",
        level: float = 0.95,
        intercept: bool = False,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the coefficients of a fitted model, one set for each target.

        Parameters
        ----------
        estimator : estimator
            Anything with `coef_`; with intervals if it has a method `summary`, as
            :class:`nearlin.LinearRegression`, :class:`nearlin.Ridge` and
            :class:`nearlin.StreamingLeastSquares` have.
        X, y, sample_weight : array_like, optional
            The data of the fit, where `summary` needs them.
        kind : str, default="nonrobust"
            Of the covariance behind the intervals; see :meth:`nearlin.LinearRegression.cov_params`.
        level : float, default=0.95
            Level of the intervals.
        intercept : bool, default=False
            Whether the intercept, whose size is another matter, is drawn too.
        ax : matplotlib Axes, optional
            Where to draw.
        **kwargs
            For :meth:`matplotlib.axes.Axes.errorbar`.

        Returns
        -------
        CoefficientDisplay
            Drawn already.

        Raises
        ------
        InvalidInputError
            If `summary` needs data that are not given.
        """
        data = {"X": X, "y": y, "sample_weight": sample_weight}
        asked = {name: value for name, value in data.items() if value is not None} | {"level": level}
        if kind != "nonrobust":
            asked["kind"] = kind
        names, coef, interval = _described(estimator, intercept, asked)
        labels = None if len(coef) == 1 else [f"target {target}" for target in range(len(coef))]
        return cls(
            names=names, coef=coef, interval=interval, labels=labels, interval_name=_name(interval, level)
        ).plot(ax, **kwargs)

    @classmethod
    def from_estimators(
        cls,
        estimators: Mapping[str, Any],
        *,
        level: float = 0.95,
        intercept: bool = False,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the coefficients of several models of one target side by side.

        Parameters
        ----------
        estimators : mapping of str to estimator
            Fitted models by what they are to be called, all of the same features.
        level : float, default=0.95
            Level of the intervals.
        intercept : bool, default=False
            Whether the intercepts are drawn too.
        ax : matplotlib Axes, optional
            Where to draw.
        **kwargs
            For :meth:`matplotlib.axes.Axes.errorbar`.

        Returns
        -------
        CoefficientDisplay
            Drawn already.

        Raises
        ------
        InvalidInputError
            If they have other features, or several targets.
        """
        found = {label: _described(model, intercept, {"level": level}) for label, model in estimators.items()}
        if not found:
            raise InvalidInputError("is empty, expected at least one model", argument="estimators")
        first = next(iter(found.values()))[0]
        for label, (names, coef, _) in found.items():
            if names != first or len(coef) != 1:
                wrong = "other features" if names != first else f"{len(coef)} targets"
                raise InvalidInputError(
                    f"has {label!r} with {wrong}, expected one target and the same features in all",
                    argument="estimators",
                )
        interval = np.concatenate([ends for _, _, ends in found.values()])
        return cls(
            names=first,
            coef=np.concatenate([coef for _, coef, _ in found.values()]),
            interval=interval,
            labels=list(found),
            interval_name=_name(interval, level),
        ).plot(ax, **kwargs)

    @classmethod
    def from_summary(
        cls, summary: Any, *, intercept: bool = False, ax: Axes | None = None, **kwargs: Any
    ) -> Self:
        """Draw a table of coefficients, of whatever covariance.

        Parameters
        ----------
        summary : RegressionSummary
            As :meth:`nearlin.LinearRegression.summary` gives it.
        intercept : bool, default=False
            Whether the row of the intercept is drawn too.
        ax : matplotlib Axes, optional
            Where to draw.
        **kwargs
            For :meth:`matplotlib.axes.Axes.errorbar`.

        Returns
        -------
        CoefficientDisplay
            Drawn already.
        """
        names, coef, interval = _of_summary(summary, intercept or summary.names[0] not in INTERCEPTS)
        labels = None if len(coef) == 1 else [f"target {target}" for target in range(len(coef))]
        return cls(
            names=names,
            coef=coef,
            interval=interval,
            labels=labels,
            interval_name=_name(interval, summary.level),
        ).plot(ax, **kwargs)

    @classmethod
    def from_result(
        cls,
        result: Any,
        *,
        names: Sequence[str] | None = None,
        simultaneous: bool = False,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw an answer from a sketch, whose intervals are about the answer of all rows.

        Parameters
        ----------
        result : SketchAndSolveResult
            As :func:`nearlin.sketch_and_solve` gives it, and :meth:`nearlin.StreamingLeastSquares.result` of
            ``method="sketch"``; an exact stream is itself for :meth:`from_estimator`.
        names : sequence of str, optional
            What coefficients are called; x0 and on by default.
        simultaneous : bool, default=False
            Whether intervals hold all at once, rather than each of them.
        ax : matplotlib Axes, optional
            Where to draw.
        **kwargs
            For :meth:`matplotlib.axes.Axes.errorbar`.

        Returns
        -------
        CoefficientDisplay
            Drawn already.
        """
        coef = np.atleast_2d(as_floats(result.x).T)
        ends = [np.atleast_2d(as_floats(end).T) for end in result.interval(simultaneous=simultaneous)]
        interval = np.stack(ends, axis=-1)
        together = " of all at once" if simultaneous else ""
        labels = None if len(coef) == 1 else [f"target {target}" for target in range(len(coef))]
        return cls(
            names=[f"x{j}" for j in range(coef.shape[1])] if names is None else names,
            coef=coef,
            interval=interval,
            labels=labels,
            interval_name=f"{_name(interval, result.level)}{together} for that of all rows",
        ).plot(ax, **kwargs)

    def plot(self, ax: Axes | None = None, **kwargs: Any) -> Self:
        """Draw the coefficients, the first one at the top.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default a new figure, as high as there are coefficients.
        **kwargs
            For :meth:`matplotlib.axes.Axes.errorbar`.

        Returns
        -------
        CoefficientDisplay
            This one.
        """
        coef = np.atleast_2d(as_floats(self.coef))
        coef = np.where(np.isfinite(coef), coef, np.nan)
        fits, p = coef.shape
        ends = np.full((fits, p, 2), np.nan) if self.interval is None else as_floats(self.interval)
        interval = np.where(np.isfinite(ends), ends, np.nan).reshape(fits, p, 2)
        ax = axes_for(ax, (6.4, float(np.clip(1.0 + 0.28 * p * max(1.0, 0.6 * fits), 2.2, 14.0))))
        shifts = (np.arange(fits) - 0.5 * (fits - 1)) * min(0.25, 0.7 / fits)
        self.ax_, self.figure_ = ax, ax.figure
        self.zero_line_ = ax.axvline(0.0, color=REFERENCE, lw=0.8, zorder=0)
        self.bars_: list[Any] = []
        self.unidentified_: list[Any] = []
        for fit in range(fits):
            places, colour = np.arange(p) + shifts[fit], COLOURS[fit % len(COLOURS)]
            drawn = style(kwargs, color=colour, marker="o", ls="none", ms=4.5)
            unknown = np.isnan(interval[fit]).any(axis=1)
            if self.labels is not None:
                without = ", no interval" if unknown.all() and not np.isnan(interval).all() else ""
                drawn.setdefault("label", f"{self.labels[fit]}{without}")
            widths = np.abs(interval[fit].T - coef[fit])
            drawn.setdefault("capsize", 2.5)
            self.bars_.append(ax.errorbar(coef[fit], places, xerr=widths, **drawn))
            if unknown.any() and not unknown.all():
                self.unidentified_ += ax.plot(
                    coef[fit][unknown],
                    places[unknown],
                    marker="o",
                    ms=4.5,
                    ls="none",
                    mfc="white",
                    mec=drawn["color"],
                    zorder=4,
                    label=None if self.unidentified_ else "not identified by the data",
                )
        self._name_rows(ax, p)
        ax.set_xlabel("coefficient" + ("" if self.interval_name is None else f", {self.interval_name}"))
        ax.grid(axis="x", alpha=0.3)
        if self.labels is not None or self.unidentified_:
            ax.legend(frameon=False, fontsize=9)
        return self

    def _name_rows(self, ax: Axes, p: int) -> None:
        """Write names beside the rows: smaller where there are many, and at last only some of them."""
        room = ax.get_window_extent().height * 72.0 / ax.figure.dpi / max(1, p)
        step = max(1, math.ceil(5.0 / room)) if room > 0.0 else 1
        rows = range(0, p, step)
        size = float(np.clip(0.8 * room * step, 4.0, 10.0))
        ax.set_yticks(rows, [str(self.names[row]) for row in rows], fontsize=size, parse_math=False)
        ax.set_ylim(p - 0.4, -0.6)


def _described(
    estimator: Any, intercept: bool, asked: dict[str, Any]
) -> tuple[list[str], Array, Array | None]:
    """Names, coefficients (targets x p) and intervals of a fitted model."""
    if hasattr(estimator, "summary"):
        has_constant = bool(getattr(estimator, "fit_intercept", False))
        return _of_summary(estimator.summary(**asked), intercept or not has_constant)
    coef = np.atleast_2d(as_floats(estimator.coef_))
    names = [str(name) for name in getattr(estimator, "feature_names_in_", ())]
    names = names or [f"x{j}" for j in range(coef.shape[1])]
    if intercept and getattr(estimator, "fit_intercept", False):
        constants = np.broadcast_to(as_floats(estimator.intercept_), len(coef))
        names, coef = ["intercept", *names], np.column_stack([constants, coef])
    return names, coef, np.full((*coef.shape, 2), np.nan)


def _of_summary(summary: Any, whole: bool) -> tuple[list[str], Array, Array]:
    """The same of a table, or of what comes after its first row."""
    first = 0 if whole else 1
    coef = np.atleast_2d(as_floats(summary.coef))[:, first:]
    interval = as_floats(summary.interval).reshape(len(coef), -1, 2)[:, first:]
    return list(summary.names[first:]), coef, interval


def _name(interval: Array | None, level: float) -> str | None:
    return None if interval is None or np.isnan(interval).all() else f"{100.0 * level:g} % interval"
