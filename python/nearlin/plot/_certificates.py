"""Certificates of answers of growing size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from nearlin.exceptions import ShapeError

from ._axes import BOUND, FOUND, REFERENCE, TRUE, as_floats, axes_for, logarithmic, marked_on_edge, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["CertificateDisplay"]


class CertificateDisplay:
    """What certificates say against the size of something: estimate, bound, target, and the truth if known.

    Where nothing is certified, which is a bound of NaN, there is a cross on the upper edge, and what is zero,
    which has no logarithm, is a triangle on the lower one.

    Parameters
    ----------
    size : array_like of shape (n,)
        What grows.
    estimate : array_like of shape (n,)
        Estimates.
    bound : array_like of shape (n,)
        Upper bounds.
    target : array_like of shape (n,) or float, optional
        What was asked for.
    error : array_like of shape (n,), optional
        What is true, where it could be measured.
    quantity : str, optional
        What it is that is certified, for the axis.
    size_name : str, default="size"
        What grows, for the axis.

    Attributes
    ----------
    bound_, estimate_ : matplotlib Line2D
        Bounds and estimates.
    target_, error_ : matplotlib Line2D or None
        The target, and what is true.
    uncertified_, zeros_ : matplotlib PathCollection or None
        Where there is no bound, and where something is zero.
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> import nearlin
    >>> from nearlin.plot import CertificateDisplay
    >>> rng = np.random.default_rng(0)
    >>> A, b = rng.standard_normal((20_000, 5)), rng.standard_normal(20_000)
    >>> exact = nearlin.lstsq(A, b, rng=0).x
    >>> sizes = [200, 800, 3200]
    >>> answers = [nearlin.sketch_and_solve(A, b, sketch_size=m, rng=0) for m in sizes]
    >>> display = CertificateDisplay.from_certificates(
    ...     [answer.certificate for answer in answers],
    ...     sizes,
    ...     error=[abs(answer.x - exact).max() for answer in answers],
    ...     size_name="rows of the sketch",
    ...     ax=Figure().subplots(),
    ... )
    >>> bool((display.error_.get_ydata() <= display.bound_.get_ydata()).all())
    True
    """

    def __init__(
        self,
        *,
        size: npt.ArrayLike,
        estimate: npt.ArrayLike,
        bound: npt.ArrayLike,
        target: npt.ArrayLike | None = None,
        error: npt.ArrayLike | None = None,
        quantity: str | None = None,
        size_name: str = "size",
    ) -> None:
        self.size = size
        self.estimate = estimate
        self.bound = bound
        self.target = target
        self.error = error
        self.quantity = quantity
        self.size_name = size_name

    @classmethod
    def from_certificates(
        cls,
        certificates: Sequence[Any],
        size: npt.ArrayLike,
        *,
        error: npt.ArrayLike | None = None,
        size_name: str = "size",
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw what certificates say.

        Parameters
        ----------
        certificates : sequence of Certificate
            One for each size.
        size : array_like of shape (n,)
            What grows.
        error : array_like of shape (n,), optional
            What is true.
        size_name : str, default="size"
            What grows, for the axis.
        ax : matplotlib Axes, optional
            Where to draw.
        **kwargs
            For the bounds: :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        CertificateDisplay
            Drawn already.
        """
        return cls(size=size, error=error, size_name=size_name, **figures_of(certificates)).plot(ax, **kwargs)

    def plot(self, ax: Axes | None = None, **kwargs: Any) -> Self:
        """Draw the figures on logarithmic axes.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default a new figure.
        **kwargs
            For the bounds: :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        CertificateDisplay
            This one.
        """
        size, estimate, bound = map(as_floats, (self.size, self.estimate, self.bound))
        if not size.shape == estimate.shape == bound.shape:
            raise ShapeError(
                f"has shape {size.shape}, expected that of estimates and bounds, {bound.shape}",
                argument="size",
            )
        target = None if self.target is None else np.broadcast_to(as_floats(self.target), size.shape)
        error = None if self.error is None else as_floats(self.error)
        ax = axes_for(ax)
        self.ax_, self.figure_ = ax, ax.figure
        logarithmic(ax.xaxis, size)
        logarithmic(ax.yaxis, estimate, bound, *(() if error is None else (error,)))
        drawn = style(kwargs, color=BOUND, ls="--", marker="o", ms=3.5, label="bound", zorder=3)
        (self.bound_,) = ax.plot(size, _positive(bound), **drawn)
        (self.estimate_,) = ax.plot(
            size, _positive(estimate), color=FOUND, marker="o", ms=3.5, label="estimate"
        )
        self.target_ = self.error_ = None
        if target is not None and not np.isnan(target).all():
            (self.target_,) = ax.plot(size, _positive(target), color=REFERENCE, ls=":", label="target")
        if error is not None:
            (self.error_,) = ax.plot(
                size, _positive(error), color=TRUE, marker="s", ms=4.5, ls="none", label="measured error"
            )
        # Where nothing is known there are rows as well.
        ax.update_datalim([(at, 1.0) for at in size[size > 0.0]], updatey=False)
        if not (_positive(bound) > 0.0).any() and not (_positive(estimate) > 0.0).any():
            ax.set_yticks([])
            ax.set_yticks([], minor=True)
        zero = (estimate == 0.0) | (bound == 0.0) | (False if error is None else error == 0.0)
        lost = np.isnan(bound)
        self.zeros_ = marked_on_edge(ax, size[zero], top=False, marker="v", color=FOUND, label="zero")
        self.uncertified_ = marked_on_edge(
            ax, size[lost], top=True, marker="x", color=BOUND, label="not certified"
        )
        ax.set(xlabel=self.size_name, ylabel=self.quantity or "certified quantity")
        ax.grid(alpha=0.3)
        ax.legend(frameon=False, fontsize=9)
        return self


def figures_of(certificates: Sequence[Any]) -> dict[str, Any]:
    """Return what certificates say as arrays; no target is NaN."""
    targets = [np.nan if c.target is None else c.target for c in certificates]
    return {
        "estimate": np.array([c.estimate for c in certificates], dtype=np.float64),
        "bound": np.array([c.bound for c in certificates], dtype=np.float64),
        "target": None if np.isnan(targets).all() else np.array(targets, dtype=np.float64),
        "quantity": ", or ".join(dict.fromkeys(c.quantity for c in certificates)) or None,
    }


def _positive(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Leave out what has no logarithm."""
    return np.where(values > 0.0, values, np.nan)
