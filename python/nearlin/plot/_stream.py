"""What is known of a stream as its rows go by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from ._axes import REFERENCE
from ._certificates import CertificateDisplay, figures_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["StreamDisplay"]


class StreamDisplay(CertificateDisplay):
    """Estimate and bound over the rows that a stream has seen, the target, and where others were merged.

    Parameters
    ----------
    rows : array_like of shape (n,)
        Rows so far.
    estimate : array_like of shape (n,)
        Estimates then.
    bound : array_like of shape (n,)
        Upper bounds then.
    target : array_like of shape (n,) or float, optional
        What was asked for.
    error : array_like of shape (n,), optional
        What is true, where it could be measured.
    merges : array_like of shape (n_merges,), default=()
        Rows there were after each merge.
    quantity : str, optional
        What it is that is certified, for the axis.

    Attributes
    ----------
    merges_ : list of matplotlib Line2D
        Where streams were merged.
    bound_, estimate_, target_, error_, uncertified_, zeros_, ax_, figure_ : matplotlib artists
        As those of :class:`CertificateDisplay`.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> import nearlin
    >>> from nearlin.plot import StreamDisplay
    >>> rows = np.random.default_rng(0).standard_normal((4000, 10)) * np.r_[3.0, np.ones(9)]
    >>> elsewhere = nearlin.StreamingPCA(random_state=0).fit(rows[3000:])
    >>> parts = [rows[:1000], rows[1000:2000], rows[2000:3000], elsewhere]
    >>> pca = nearlin.StreamingPCA(random_state=0)
    >>> display = StreamDisplay.from_blocks(pca, parts, ax=Figure().subplots())
    >>> display.rows.tolist(), display.merges
    ([1000, 2000, 3000, 4000], [4000])
    """

    def __init__(
        self,
        *,
        rows: npt.ArrayLike,
        estimate: npt.ArrayLike,
        bound: npt.ArrayLike,
        target: npt.ArrayLike | None = None,
        error: npt.ArrayLike | None = None,
        merges: npt.ArrayLike = (),
        quantity: str | None = None,
    ) -> None:
        super().__init__(
            size=rows,
            estimate=estimate,
            bound=bound,
            target=target,
            error=error,
            quantity=quantity,
            size_name="rows seen",
        )
        self.rows = rows
        self.merges = merges

    @classmethod
    def from_certificates(  # type: ignore[override]
        cls,
        certificates: Sequence[Any],
        rows: npt.ArrayLike,
        *,
        error: npt.ArrayLike | None = None,
        merges: npt.ArrayLike = (),
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw certificates that were read while rows came, as :class:`nearlin.CertificateMonitor` does.

        Parameters
        ----------
        certificates : sequence of Certificate
            One for each number of rows.
        rows : array_like of shape (n,)
            Rows so far.
        error : array_like of shape (n,), optional
            What is true.
        merges : array_like of shape (n_merges,), default=()
            Rows there were after each merge.
        ax : matplotlib Axes, optional
            Where to draw.
        **kwargs
            For the bounds: :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        StreamDisplay
            Drawn already.
        """
        return cls(rows=rows, error=error, merges=merges, **figures_of(certificates)).plot(ax, **kwargs)

    @classmethod
    def from_blocks(
        cls, stream: Any, blocks: Iterable[Any], *, ax: Axes | None = None, **kwargs: Any
    ) -> Self:
        """Give a stream its rows block by block, and draw what it says of itself after each.

        Parameters
        ----------
        stream : StreamingPCA, StreamingLeastSquares, StreamingCoreset or TruncatedSVD
            It is changed: it has all rows in the end.
        blocks : iterable
            Blocks of rows, ``X`` or ``(X, y)``, :func:`nearlin.data.blocks`, and other streams of the same
            class, which are merged.
        ax : matplotlib Axes, optional
            Where to draw.
        **kwargs
            For the bounds: :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        StreamDisplay
            Drawn already.
        """
        rows: list[int] = []
        certificates: list[Any] = []
        merges: list[int] = []
        for block in blocks:
            if isinstance(block, type(stream)):
                stream.merge(block)
            else:
                _take(stream, block)
            seen = getattr(stream, "n_samples_seen_", None)
            rows.append(stream.n_rows_seen if seen is None else seen)
            certificates.append(
                stream.certificate_ if hasattr(stream, "certificate_") else stream.result().certificate
            )
            if isinstance(block, type(stream)):
                merges.append(rows[-1])
        return cls.from_certificates(certificates, np.array(rows), merges=merges, ax=ax, **kwargs)

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
        StreamDisplay
            This one.
        """
        super().plot(ax, **kwargs)
        self.merges_ = [
            self.ax_.axvline(row, color=REFERENCE, lw=0.8, label=None if k else "merge", zorder=0)
            for k, row in enumerate(np.atleast_1d(np.asarray(self.merges, dtype=np.float64)))
        ]
        self.ax_.legend(frameon=False, fontsize=9)
        return self


def _take(stream: Any, block: Any) -> None:
    """Add rows with what belongs to them."""
    X, y, weights, *_ = (*block, None, None) if isinstance(block, tuple) else (block, None, None)
    targets = () if y is None else (y,)
    stream.partial_fit(X, *targets, **({} if weights is None else {"sample_weight": weights}))
