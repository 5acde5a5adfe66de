"""Singular values, and how much of a matrix they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from ._axes import FOUND, TRUE, as_floats, axes_for, logarithmic, style, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SpectrumDisplay"]


class SpectrumDisplay:
    """Singular values with certified intervals, and the share of all squares that the first ones have.

    Parameters
    ----------
    singular_values : array_like of shape (k,)
        The largest first.
    interval : array_like of shape (k, 2), optional
        Between what each one of the matrix lies; NaN where nothing says so.
    share : array_like of shape (k,), optional
        Share of the squares of all entries that each has; of the variance, for principal components.
    share_name : str, default="share of all squares"
        What it is a share of, for the axis.

    Attributes
    ----------
    values_ : matplotlib ErrorbarContainer
        Singular values and intervals.
    cumulated_ : matplotlib Line2D or None
        The shares so far.
    share_ax_ : matplotlib Axes or None
        Of the shares.
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> import nearlin
    >>> from nearlin.plot import SpectrumDisplay
    >>> X = np.random.default_rng(0).standard_normal((300, 20)) * 0.7 ** np.arange(20)
    >>> svd = nearlin.TruncatedSVD(6, random_state=0).fit(X)
    >>> display = SpectrumDisplay.from_estimator(svd, ax=Figure().subplots())
    >>> bool(np.all(display.interval[:, 0] <= svd.singular_values_))
    True
    """

    def __init__(
        self,
        *,
        singular_values: npt.ArrayLike,
        interval: npt.ArrayLike | None = None,
        share: npt.ArrayLike | None = None,
        share_name: str = "share of all squares",
    ) -> None:
        self.singular_values = singular_values
        self.interval = interval
        self.share = share
        self.share_name = share_name

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Axes | None = None, **kwargs: Any) -> Self:
        """Draw the spectrum of a fitted model.

        Parameters
        ----------
        estimator : TruncatedSVD or StreamingPCA
            Or one of scikit-learn's like these. Intervals are those of the certificate of
            :class:`nearlin.TruncatedSVD`, which are about the matrix as it is: with ``center=True`` there are
            none.
        ax : matplotlib Axes, optional
            Where to draw.
        **kwargs
            For :meth:`matplotlib.axes.Axes.errorbar`.

        Returns
        -------
        SpectrumDisplay
            Drawn already.
        """
        values = as_floats(estimator.singular_values_)
        centred = bool(getattr(estimator, "center", True))
        interval = None if centred else estimator.certificate_.details.get("singular_value_bounds")
        share: Any = None
        if centred or not hasattr(estimator, "energy_"):
            share = as_floats(estimator.explained_variance_ratio_)
        elif estimator.energy_:
            share = values**2 / estimator.energy_
        return cls(
            singular_values=values,
            interval=None if interval is None else as_floats(interval),
            share=share,
            share_name="share of the variance" if centred else "share of all squares",
        ).plot(ax, **kwargs)

    @classmethod
    def from_result(cls, result: Any, *, ax: Axes | None = None, **kwargs: Any) -> Self:
        """Draw the singular values that :func:`nearlin.svds` has found.

        Parameters
        ----------
        result : SVDResult
            Its certificate tells how far at most each is from a singular value of the matrix.
        ax : matplotlib Axes, optional
            Where to draw.
        **kwargs
            For :meth:`matplotlib.axes.Axes.errorbar`.

        Returns
        -------
        SpectrumDisplay
            Drawn already.
        """
        values, details = as_floats(result.s), result.certificate.details
        off = as_floats(details["singular_value_bounds"])
        share, captured = None, details.get("captured")
        if captured and values.any():
            share = captured * values**2 / np.sum(values**2)
        interval = np.column_stack([np.maximum(values - off, 0.0), values + off])
        return cls(singular_values=values, interval=interval, share=share).plot(ax, **kwargs)

    def plot(self, ax: Axes | None = None, **kwargs: Any) -> Self:
        """Draw the singular values, on a logarithmic axis, and the shares on one from 0 to 1.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default a new figure.
        **kwargs
            For :meth:`matplotlib.axes.Axes.errorbar`.

        Returns
        -------
        SpectrumDisplay
            This one.
        """
        values = as_floats(self.singular_values)
        number = np.arange(1, len(values) + 1)
        ax = axes_for(ax)
        self.ax_, self.figure_ = ax, ax.figure
        self.share_ax_: Any = None
        self.cumulated_: Any = None
        if self.share is not None:
            self.share_ax_ = ax.twinx()
            ax.figure.sca(ax)
            shares = np.cumsum(as_floats(self.share))
            label = f"{self.share_name}, cumulated"
            (self.cumulated_,) = self.share_ax_.plot(
                number, shares, color=TRUE, drawstyle="steps-mid", lw=1.2, label=label
            )
            self.share_ax_.set_ylim(0.0, 1.02)
            self.share_ax_.set_ylabel(label, color=TRUE)
            self.share_ax_.tick_params(axis="y", colors=TRUE)
        widths = None
        if self.interval is not None:
            widths = np.abs(as_floats(self.interval).T - values)
        drawn = style(kwargs, color=FOUND, marker="o", ls="none", ms=4.5, label="singular value")
        drawn.setdefault("capsize", 3.0)
        self.values_ = ax.errorbar(number, np.where(values > 0.0, values, np.nan), yerr=widths, **drawn)
        logarithmic(ax.yaxis, values)
        if (values > 0.0).any():
            # An interval that begins at zero goes on below.
            ax.set_ylim(bottom=0.5 * float(values[values > 0.0].min()))
        ax.set(xlabel="number", ylabel="singular value" + ("" if widths is None else ", certified interval"))
        whole_numbers(ax.xaxis)
        ax.grid(alpha=0.3)
        return self
