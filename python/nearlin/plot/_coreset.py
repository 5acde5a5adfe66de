"""Scores of rows, and which of them were drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from ._axes import BOUND, FOUND, TRUE, as_floats, axes_for, logarithmic, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["CoresetDisplay"]

POINTS = 2000
"""Of a line through so many scores that more cannot be told apart."""


class CoresetDisplay:
    """Scores of rows, the largest first, the rows that were drawn by them, and how far norms may be off.

    Parameters
    ----------
    scores : array_like of shape (n,)
        Scores of the rows. Rows of score zero, which are never drawn, have no place on a logarithmic axis.
    indices : array_like of int of shape (m,)
        Positions in `scores` of the rows that were drawn.
    weights : array_like of shape (m,), optional
        Their weights: one over the probability with which a row was drawn, if none had a weight of its own.
    remark : str, optional
        What is known of the sample, for the title.

    Attributes
    ----------
    scores_ : matplotlib Line2D
        All scores.
    drawn_ : matplotlib Line2D
        Rows that were drawn.
    probability_ : matplotlib Line2D or None
        One over their weights.
    probability_ax_ : matplotlib Axes or None
        Of these.
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> import nearlin
    >>> from nearlin.plot import CoresetDisplay
    >>> rng = np.random.default_rng(0)
    >>> A = rng.standard_normal((20_000, 5)) / rng.uniform(size=(20_000, 1))
    >>> sample = nearlin.sample_rows(A, size=600, rng=0)
    >>> display = CoresetDisplay.from_sample(sample, ax=Figure().subplots())
    >>> len(display.drawn_.get_xdata()) == len(sample)
    True
    """

    def __init__(
        self,
        *,
        scores: npt.ArrayLike,
        indices: npt.ArrayLike,
        weights: npt.ArrayLike | None = None,
        remark: str | None = None,
    ) -> None:
        self.scores = scores
        self.indices = indices
        self.weights = weights
        self.remark = remark

    @classmethod
    def from_sample(cls, sample: Any, *, ax: Axes | None = None, **kwargs: Any) -> Self:
        """Draw a sample of rows.

        Parameters
        ----------
        sample : RowSample
            As :func:`nearlin.sample_rows` and :meth:`nearlin.StreamingCoreset.result` give it. A stream knows
            the scores of the rows that it kept, and no others.
        ax : matplotlib Axes, optional
            Where to draw.
        **kwargs
            For the rows that were drawn: :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        CoresetDisplay
            Drawn already.
        """
        known, certificate = len(sample.scores), sample.certificate
        bound, estimate = certificate.bound, certificate.estimate
        said = "not measured" if np.isnan(estimate) else f"{estimate:.2g} found"
        said += ", not bounded" if np.isnan(bound) else f", at most {bound:.2g}"
        if certificate.confidence is not None and certificate.confidence < 1.0:
            said += f" with confidence {certificate.confidence:.3g}"
        return cls(
            scores=sample.scores,
            indices=sample.indices if known == sample.n_rows else np.arange(known),
            weights=sample.weights,
            remark=f"{len(sample):,} of {sample.n_rows:,} rows by {sample.rule} scores\n"
            f"{certificate.quantity}: {said}",
        ).plot(ax, **kwargs)

    def plot(self, ax: Axes | None = None, **kwargs: Any) -> Self:
        """Draw scores and probabilities on logarithmic axes.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default a new figure.
        **kwargs
            For the rows that were drawn: :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        CoresetDisplay
            This one.
        """
        scores, indices = as_floats(self.scores), np.asarray(self.indices, dtype=np.intp)
        order = np.argsort(-scores, kind="stable")
        place = np.empty(len(order))
        place[order] = np.arange(1, len(order) + 1)
        falling = scores[order]
        shown = np.unique(np.geomspace(1, max(1, len(order)), POINTS).astype(np.intp)) - 1
        shown = shown[: len(order)]
        ax = axes_for(ax)
        self.ax_, self.figure_ = ax, ax.figure
        zero = int((scores == 0.0).sum())
        label = "score" + (f" ({zero:,} more are zero)" if zero else "")
        (self.scores_,) = ax.plot(
            shown + 1, np.where(falling[shown] > 0.0, falling[shown], np.nan), color=FOUND, label=label
        )
        drawn = style(kwargs, color=BOUND, marker="|", ls="none", ms=9.0, mew=0.6, alpha=0.7, label="drawn")
        (self.drawn_,) = ax.plot(place[indices], scores[indices], **drawn)
        self.probability_: Any = None
        self.probability_ax_: Any = None
        lines = [self.scores_, self.drawn_]
        if self.weights is not None:
            self.probability_ax_ = ax.twinx()
            (self.probability_,) = self.probability_ax_.plot(
                place[indices], 1.0 / as_floats(self.weights), ".", ms=3.0, color=TRUE, label="1 / weight"
            )
            logarithmic(self.probability_ax_.yaxis, as_floats(self.weights))
            self.probability_ax_.set_ylabel("1 / weight of a row that was drawn", color=TRUE)
            self.probability_ax_.tick_params(axis="y", colors=TRUE, which="both")
            lines.append(self.probability_)
        logarithmic(ax.xaxis, scores)
        logarithmic(ax.yaxis, scores)
        ax.set(xlabel="rows by falling score", ylabel="score")
        ax.grid(alpha=0.3)
        ax.legend(handles=lines, frameon=False, fontsize=9, loc="lower left")
        if self.remark is not None:
            ax.set_title(self.remark, fontsize=10)
        return self
