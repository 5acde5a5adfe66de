"""The error on held-out entries over what was tried."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from nearlin.exceptions import InvalidInputError

from ._axes import BOUND, FOUND, REFERENCE, as_floats, axes_for, style, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["CompletionPathDisplay"]


class CompletionPathDisplay:
    """RMSE on held-out entries over the ranks or penalties that were tried, and what was chosen.

    Parameters
    ----------
    values : array_like of shape (n,)
        Ranks or penalties, in any order.
    rmse : array_like of shape (n,)
        Errors with them; NaN or infinite where a fit diverged.
    chosen : float, optional
        What was chosen.
    estimate : float, optional
        The error of what was chosen, as its certificate has it.
    bound : float, optional
        The upper end of its interval. NaN if there is none.
    name : {"rank", "reg"}, default="rank"
        What was tried. Penalties have a logarithmic axis.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The errors.
    chosen_ : matplotlib Line2D or None
        What was chosen.
    interval_ : matplotlib ErrorbarContainer or None
        Its error, up to the bound.
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> import nearlin
    >>> from nearlin.plot import CompletionPathDisplay
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.standard_normal((100, 3)) @ rng.standard_normal((3, 80))
    >>> X = np.where(rng.random(truth.shape) < 0.5, truth + 0.5 * rng.standard_normal(truth.shape), np.nan)
    >>> model = nearlin.MatrixCompletion(3, random_state=0).fit(X)
    >>> display = CompletionPathDisplay.from_estimator(model, ax=Figure().subplots())
    >>> display.name, len(display.rmse) == len(model.reg_path_)
    ('reg', True)
    """

    def __init__(
        self,
        *,
        values: npt.ArrayLike,
        rmse: npt.ArrayLike,
        chosen: float | None = None,
        estimate: float | None = None,
        bound: float | None = None,
        name: str = "rank",
    ) -> None:
        self.values = values
        self.rmse = rmse
        self.chosen = chosen
        self.estimate = estimate
        self.bound = bound
        self.name = name

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, name: str | None = None, ax: Axes | None = None, **kwargs: Any
    ) -> Self:
        """Draw what a fitted model has tried.

        Parameters
        ----------
        estimator : MatrixCompletion, SoftImpute or LowRankImputer
            A fitted one. Of several tries with one rank or penalty the best is drawn.
        name : {"rank", "reg"}, optional
            Which of these; by default ranks, if there were several.
        ax : matplotlib Axes, optional
            Where to draw.
        **kwargs
            For :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        CompletionPathDisplay
            Drawn already.

        Raises
        ------
        InvalidInputError
            If nothing was tried, as everything was given.
        """
        paths = _paths_of(estimator)
        name = name or ("rank" if len(paths["rank"]) else "reg")
        if name not in paths or not len(paths[name]):
            raise InvalidInputError(
                f"has tried no values of {name!r}, expected a fit that chooses it: rank='auto', or reg=None",
                argument="estimator",
            )
        values, rmse = np.array(paths[name], dtype=np.float64).T
        rank = getattr(estimator, "rank_", None) or estimator.U_.shape[1]
        chosen = float(estimator.reg_ if name == "reg" else rank)
        certificate = estimator.certificate_
        measured = "RMSE" in certificate.quantity
        return cls(
            values=values,
            rmse=rmse,
            chosen=chosen,
            estimate=certificate.estimate if measured else None,
            bound=certificate.bound if measured else None,
            name=name,
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
        CompletionPathDisplay
            This one.
        """
        values, rmse = as_floats(self.values), as_floats(self.rmse)
        order = np.argsort(values, kind="stable")
        known = np.where(np.isfinite(rmse), rmse, np.nan)
        ax = axes_for(ax)
        self.ax_, self.figure_ = ax, ax.figure
        drawn = style(kwargs, color=FOUND, marker="o", ms=4.0, label="held-out entries")
        (self.line_,) = ax.plot(values[order], known[order], **drawn)
        self.chosen_: Any = None
        self.interval_: Any = None
        if self.chosen is not None:
            label = f"chosen: {self.chosen:.4g}"
            self.chosen_ = ax.axvline(self.chosen, color=REFERENCE, ls="--", lw=1.0, label=label, zorder=0)
            if self.estimate is not None and np.isfinite(self.estimate):
                bound = np.nan if self.bound is None else self.bound
                up = max(bound - self.estimate, 0.0) if np.isfinite(bound) else np.nan
                said = "its error, not bounded" if np.isnan(up) else "its error, up to the bound"
                self.interval_ = ax.errorbar(
                    [self.chosen],
                    [self.estimate],
                    yerr=[[0.0], [up]],
                    color=BOUND,
                    marker="s",
                    ms=4.5,
                    capsize=4.0,
                    label=said,
                )
        if self.name == "reg":
            ax.set_xscale("log")
        else:
            whole_numbers(ax.xaxis)
        ax.set(xlabel={"reg": "penalty reg"}.get(self.name, self.name), ylabel="RMSE on held-out entries")
        ax.grid(alpha=0.3)
        ax.legend(frameon=False, fontsize=9)
        return self


def _paths_of(estimator: Any) -> dict[str, list[tuple[float, float]]]:
    """What was tried, with the errors: in lists of their own, or in one, whose last number is the error."""
    if hasattr(estimator, "rank_path_"):
        return {"rank": estimator.rank_path_, "reg": estimator.reg_path_}
    tried = getattr(estimator, "path_", ())
    columns = {"reg": 0} if hasattr(estimator, "largest_reg_") else {"rank": 0, "reg": 1}
    paths: dict[str, list[tuple[float, float]]] = {"rank": [], "reg": []}
    for name, column in columns.items():
        best: dict[float, float] = {}
        for entry in tried:
            best[entry[column]] = np.fmin(best.get(entry[column], np.nan), entry[-1])
        paths[name] = list(best.items())
    return paths
