"""The error of a ridge regression over its penalty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from nearlin.exceptions import InvalidInputError

from ._axes import COLOURS, REFERENCE, as_floats, axes_for, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["RidgePathDisplay"]


class RidgePathDisplay:
    """Leave-one-out errors over the penalty, and the penalty that was chosen.

    Parameters
    ----------
    alphas : array_like of shape (n_alphas,)
        Penalties, in any order.
    error : array_like of shape (n_alphas,) or (n_alphas, n_targets)
        Errors with them.
    alpha : float or array_like of shape (n_targets,), optional
        What was chosen, for all targets or for each.
    std_error : array_like of the shape of `error`, optional
        Standard errors of the errors, which are means over the rows: a band of one to either side.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        Errors of each target.
    bands_ : list of matplotlib PolyCollection
        Standard errors of each target, if there are any.
    chosen_ : list of matplotlib Line2D
        What was chosen, if it is given.
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> import nearlin
    >>> from nearlin.plot import RidgePathDisplay
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((60, 30))
    >>> y = X[:, 0] + rng.standard_normal(60)
    >>> model = nearlin.RidgeCV(np.logspace(-2, 4, 25)).fit(X, y)
    >>> display = RidgePathDisplay.from_estimator(model, ax=Figure().subplots())
    >>> bool(display.chosen_[0].get_xdata()[0] == model.alpha_)
    True
    """

    def __init__(
        self,
        *,
        alphas: npt.ArrayLike,
        error: npt.ArrayLike,
        alpha: npt.ArrayLike | None = None,
        std_error: npt.ArrayLike | None = None,
    ) -> None:
        self.alphas = alphas
        self.error = error
        self.alpha = alpha
        self.std_error = std_error

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Axes | None = None, **kwargs: Any) -> Self:
        """Draw what a :class:`nearlin.RidgeCV` has found by leaving out one row at a time.

        Parameters
        ----------
        estimator : RidgeCV
            A fitted one, with ``cv=None``. With ``store_cv_results=True``, and without a scorer, there are
            standard errors too.
        ax : matplotlib Axes, optional
            Where to draw.
        **kwargs
            For :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        RidgePathDisplay
            Drawn already.

        Raises
        ------
        InvalidInputError
            If it has no leave-one-out errors.
        """
        error = getattr(estimator, "loo_error_", None)
        if error is None:
            raise InvalidInputError(
                "has no leave-one-out errors, expected a fitted RidgeCV with cv=None", argument="estimator"
            )
        std_error = None
        kept = getattr(estimator, "cv_results_", None)
        if kept is not None and estimator.scoring is None:
            squares = as_floats(kept)
            std_error = np.moveaxis(squares.std(axis=0, ddof=1), -1, 0) / np.sqrt(len(squares))
        return cls(
            alphas=np.atleast_1d(as_floats(estimator.alphas)),
            error=error,
            alpha=estimator.alpha_,
            std_error=std_error,
        ).plot(ax, **kwargs)

    def plot(self, ax: Axes | None = None, **kwargs: Any) -> Self:
        """Draw the errors.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default a new figure.
        **kwargs
            For :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        RidgePathDisplay
            This one.
        """
        alphas = as_floats(self.alphas)
        order = np.argsort(alphas)
        alphas = alphas[order]
        error = as_floats(self.error).reshape(len(alphas), -1)[order]
        spread = None if self.std_error is None else as_floats(self.std_error).reshape(error.shape)[order]
        several = error.shape[1] > 1
        ax = axes_for(ax)
        self.ax_, self.figure_ = ax, ax.figure
        self.lines_, self.bands_, self.chosen_ = [], [], []
        for target in range(error.shape[1]):
            colour, values = COLOURS[target % len(COLOURS)], error[:, target]
            label = f"target {target}" if several else "leave-one-out error"
            drawn = style(kwargs, color=colour, marker="o", ms=3.5, label=label)
            if spread is not None:
                low, high = values - spread[:, target], values + spread[:, target]
                band = "one standard error" if target == 0 else None
                self.bands_.append(
                    ax.fill_between(alphas, low, high, color=drawn["color"], alpha=0.15, lw=0, label=band)
                )
            self.lines_ += ax.plot(alphas, values, **drawn)
        chosen: Any = [] if self.alpha is None else np.atleast_1d(as_floats(self.alpha))
        for target, alpha in enumerate(chosen):
            apart = len(chosen) > 1
            colour = COLOURS[target % len(COLOURS)] if apart else REFERENCE
            label = f"chosen{f' for target {target}' if apart else ''}: {alpha:.4g}"
            self.chosen_.append(ax.axvline(alpha, color=colour, ls="--", lw=1.0, label=label, zorder=0))
        ax.set(xscale="log", xlabel="penalty alpha", ylabel="mean squared leave-one-out error")
        ax.grid(alpha=0.3)
        ax.legend(frameon=False, fontsize=9)
        return self
