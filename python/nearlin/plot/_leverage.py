"""Which rows decide a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from ._axes import BOUND, FOUND, REFERENCE, as_floats, axes_for, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["LeverageDisplay"]

MANY = 10_000
"""Rows from which they are counted in hexagons."""
CONTOURS = (0.5, 1.0)
"""Cook's distances from which a row is worth a look, and from which it decides much."""
PINNED = 1.0 - 1e-10
"""Leverages from which nothing is left of a residual."""


class LeverageDisplay:
    """Leverage of rows against their residuals, contours of Cook's distance, and the rows that matter most.

    A row far to the right pulls the fit towards itself; one that has a large residual as well changes it.
    Cook's distance is by how much the fit moves without the row. More than 10,000 rows are counted in
    hexagons.

    Parameters
    ----------
    leverage : array_like of shape (n,)
        Leverages, in [0, 1].
    residual : array_like of shape (n,)
        Standardised residuals (internally studentised ones): over their own standard deviations. Rows where
        either is NaN are left out.
    n_parameters : int
        Parameters of the fit, an intercept among them.
    top : int, default=3
        How many rows of largest Cook's distance are named.
    labels : array_like of shape (n,), optional
        What rows are called; their numbers by default.

    Attributes
    ----------
    rows_ : matplotlib Line2D or PolyCollection
        The rows.
    contours_ : list of matplotlib Line2D
        Cook's distances of 0.5 and 1, on both sides, of as many as there is room for.
    names_ : list of matplotlib Annotation
        Of the rows that matter most.
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> import nearlin
    >>> from nearlin.plot import LeverageDisplay
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 2))
    >>> y = X @ [1.0, 2.0] + rng.standard_normal(100)
    >>> X[17], y[17] = 6.0, -10.0
    >>> model = nearlin.LinearRegression().fit(X, y)
    >>> display = LeverageDisplay.from_estimator(model, X, y, ax=Figure().subplots())
    >>> display.names_[0].get_text()
    '17'
    """

    def __init__(
        self,
        *,
        leverage: npt.ArrayLike,
        residual: npt.ArrayLike,
        n_parameters: int,
        top: int = 3,
        labels: npt.ArrayLike | None = None,
    ) -> None:
        self.leverage = leverage
        self.residual = residual
        self.n_parameters = n_parameters
        self.top = top
        self.labels = labels

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: object,
        y: object,
        sample_weight: object = None,
        *,
        target: int = 0,
        top: int = 3,
        labels: npt.ArrayLike | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the rows of a fit by least squares.

        Parameters
        ----------
        estimator : LinearRegression
            A fitted one, or another estimator with a method `influence`.
        X, y, sample_weight : array_like
            The data of the fit.
        target : int, default=0
            Which of several targets.
        top : int, default=3
            How many rows are named.
        labels : array_like of shape (n_samples,), optional
            What rows are called; by default by the index of X, if it is a frame of pandas, or their numbers.
        ax : matplotlib Axes, optional
            Where to draw.
        **kwargs
            For :meth:`matplotlib.axes.Axes.plot`, or :meth:`~matplotlib.axes.Axes.hexbin` for many rows.

        Returns
        -------
        LeverageDisplay
            Drawn already.
        """
        found = estimator.influence(X, y, sample_weight)
        residual = found.standardized if found.standardized.ndim == 1 else found.standardized[:, target]
        index = getattr(X, "index", None)
        if labels is None and index is not None and not callable(index):
            labels = np.asarray(index)
        return cls(
            leverage=found.leverage,
            residual=residual,
            n_parameters=found.n_parameters,
            top=top,
            labels=labels,
        ).plot(ax, **kwargs)

    def plot(self, ax: Axes | None = None, **kwargs: Any) -> Self:
        """Draw the rows.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default a new figure.
        **kwargs
            For :meth:`matplotlib.axes.Axes.plot`, or :meth:`~matplotlib.axes.Axes.hexbin` for many rows.

        Returns
        -------
        LeverageDisplay
            This one.
        """
        leverage, residual = as_floats(self.leverage), as_floats(self.residual)
        known = np.flatnonzero(np.isfinite(leverage) & np.isfinite(residual))
        h, r = leverage[known], residual[known]
        ax = axes_for(ax)
        self.ax_, self.figure_ = ax, ax.figure
        self.rows_: Any
        if len(h) > MANY:
            asked = {
                "gridsize": 60,
                "xscale": "log" if h.min() > 0.0 else "linear",
                "bins": "log",
                "mincnt": 1,
                "cmap": "Blues",
                "linewidths": 0.1,
            } | kwargs
            self.rows_ = ax.hexbin(h, r, **asked)
            ax.figure.colorbar(self.rows_, ax=ax, label="rows")
        else:
            (self.rows_,) = ax.plot(
                h, r, **style(kwargs, color=FOUND, marker="o", ls="none", ms=3.5, alpha=0.6)
            )
        ax.axhline(0.0, color=REFERENCE, lw=0.8, zorder=0)
        self._name_rows(ax, known, h, r)
        self._draw_contours(ax, h, r)
        met = int(np.sum((leverage >= PINNED) & ~np.isfinite(residual)))
        beside = f" (1 for {met} more, which the fit passes through)" if met else ""
        ax.set(xlabel=f"leverage{beside}", ylabel="standardised residual")
        if self.contours_:
            ax.legend(frameon=False, fontsize=9, loc="best")
        return self

    def _name_rows(self, ax: Axes, known: npt.NDArray[np.intp], h: Any, r: Any) -> None:
        with np.errstate(divide="ignore", invalid="ignore"):
            cook = r**2 * h / (1.0 - h) / self.n_parameters
        first = np.argsort(-cook, kind="stable")[: max(0, self.top)]
        names = np.arange(len(as_floats(self.leverage))) if self.labels is None else np.asarray(self.labels)
        ax.plot(h[first], r[first], "o", ms=4.5, mfc="none", mec=BOUND, zorder=4)
        self.names_ = [
            ax.annotate(
                str(names[known[row]]),
                (h[row], r[row]),
                (5, 3),
                textcoords="offset points",
                fontsize=9,
                zorder=5,
                parse_math=False,
            )
            for row in first
        ]

    def _draw_contours(self, ax: Axes, h: Any, r: Any) -> None:
        """Draw Cook's distances where there are rows, without making room for more."""
        self.contours_ = []
        widest, largest = float(h.max(initial=0.0)), float(np.abs(r).max(initial=1.0))
        right, top = min(1.0, 1.06 * widest) or 1.0, 1.12 * largest
        if ax.get_xscale() == "log":
            ax.set_xlim(0.9 * float(h.min()), 1.5 * widest)
        else:
            ax.set_xlim(-0.02 * right, right)
        ax.set_ylim(-top, top)
        at = np.linspace(right / 400.0, right, 400)[:-1]
        for distance, dashes in zip(CONTOURS, (":", "--"), strict=True):
            height = np.sqrt(distance * self.n_parameters * (1.0 - at) / at)
            if height[-1] > top:
                continue
            for sign in (1.0, -1.0):
                label = f"Cook's distance {distance:g}" if sign > 0.0 else None
                self.contours_ += ax.plot(at, sign * height, dashes, color=BOUND, lw=1.0, label=label)
