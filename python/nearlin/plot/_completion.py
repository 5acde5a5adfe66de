"""A matrix before and after its missing entries were filled in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from nearlin.exceptions import ShapeError

from ._axes import as_floats, axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["CompletionDisplay"]

MISSING = "#e6e6e6"
"""Colour of what is not there."""


class CompletionDisplay:
    """What was observed of a matrix, what it was completed to, and the truth if it is known, as images.

    Parameters
    ----------
    observed : array_like of shape (m, n) or (m, n, 3)
        The matrix, or the picture in colours between 0 and 1, with NaN for what is missing, which is drawn
        grey.
    filled : array_like of the same shape
        What became of it; NaN where an exact fit determines nothing.
    truth : array_like of the same shape, optional
        What it should have been.
    titles : sequence of str, default=("observed", "filled", "truth")
        What is written above.

    Attributes
    ----------
    images_ : list of matplotlib AxesImage
        Two or three, with the same scale of colours.
    axes_ : list of matplotlib Axes
        Where they are.
    ax_, figure_ : matplotlib Axes and Figure
        The first of these, and the figure.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> import nearlin
    >>> from nearlin.plot import CompletionDisplay
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.standard_normal((60, 2)) @ rng.standard_normal((2, 40))
    >>> X = np.where(rng.random(truth.shape) < 0.4, truth, np.nan)
    >>> model = nearlin.MatrixCompletion(2, reg=0.01, random_state=0).fit(X)
    >>> display = CompletionDisplay.from_estimator(model, X, truth=truth, ax=Figure().subplots(1, 3))
    >>> [ax.get_title() for ax in display.axes_]
    ['58.7 % missing', 'filled', 'truth']
    """

    def __init__(
        self,
        *,
        observed: npt.ArrayLike,
        filled: npt.ArrayLike,
        truth: npt.ArrayLike | None = None,
        titles: Sequence[str] = ("observed", "filled", "truth"),
    ) -> None:
        self.observed = observed
        self.filled = filled
        self.truth = truth
        self.titles = titles

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        truth: npt.ArrayLike | None = None,
        ax: Sequence[Axes] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw a table and what a fitted model makes of its gaps; observed entries stay as they are.

        Parameters
        ----------
        estimator : MatrixCompletion, SoftImpute or LowRankImputer
            A model of this matrix.
        X : array_like or sparse matrix of shape (m, n)
            The matrix, with NaN, or nothing stored, for what is missing.
        truth : array_like of shape (m, n), optional
            What it should have been.
        ax : sequence of matplotlib Axes, optional
            Where to draw: two, or three with `truth`.
        **kwargs
            For :meth:`matplotlib.axes.Axes.imshow`.

        Returns
        -------
        CompletionDisplay
            Drawn already.
        """
        observed = _spread(X) if hasattr(X, "tocoo") else as_floats(X)
        found = estimator.reconstruct() if hasattr(estimator, "reconstruct") else estimator.transform(X)
        if found.shape != observed.shape:
            raise ShapeError(
                f"has shape {observed.shape}, expected that of the fit, {found.shape}", argument="X"
            )
        return cls.from_predictions(observed, found, truth=truth, ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        observed: npt.ArrayLike,
        predicted: npt.ArrayLike,
        *,
        truth: npt.ArrayLike | None = None,
        ax: Sequence[Axes] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw a matrix, and the same with predictions in its gaps.

        Parameters
        ----------
        observed : array_like of shape (m, n) or (m, n, 3)
            The matrix, with NaN for what is missing.
        predicted : array_like of the same shape
            Predictions for all of it.
        truth : array_like of the same shape, optional
            What it should have been.
        ax : sequence of matplotlib Axes, optional
            Where to draw: two, or three with `truth`.
        **kwargs
            For :meth:`matplotlib.axes.Axes.imshow`.

        Returns
        -------
        CompletionDisplay
            Drawn already.
        """
        given = as_floats(observed)
        missing = np.isnan(given)
        filled = np.where(missing, as_floats(predicted), given)
        titles = (f"{100.0 * missing.mean():.3g} % missing", "filled", "truth")
        return cls(observed=given, filled=filled, truth=truth, titles=titles).plot(ax, **kwargs)

    def plot(self, ax: Sequence[Axes] | None = None, **kwargs: Any) -> Self:
        """Draw the images side by side.

        Parameters
        ----------
        ax : sequence of matplotlib Axes, optional
            Where to draw: two, or three with a truth; by default a new figure.
        **kwargs
            For :meth:`matplotlib.axes.Axes.imshow`.

        Returns
        -------
        CompletionDisplay
            This one.
        """
        images = [as_floats(image) for image in (self.observed, self.filled, self.truth) if image is not None]
        if len({image.shape for image in images}) > 1:
            raise ShapeError(f"has shape {images[0].shape}, expected that of the others", argument="observed")
        if not images[0].size:
            raise ShapeError(f"has shape {images[0].shape}, expected some entries", argument="observed")
        axes = self._axes(ax, len(images), images[0].shape)
        known = np.concatenate([image[np.isfinite(image)] for image in images[::-1][:2]])
        scale = {"vmin": known.min(), "vmax": known.max()} if images[0].ndim == 2 and len(known) else {}
        height, width = images[0].shape[:2]
        aspect = "equal" if 1 / 4 < height / max(1, width) < 4 else "auto"
        asked = {"interpolation": "nearest", "aspect": aspect, **scale, **kwargs}
        self.images_ = []
        for place, image, title in zip(axes, images, self.titles, strict=False):
            shown = np.clip(image, 0.0, 1.0) if image.ndim == 3 else image
            # Colours have no NaN: what is missing is left open for the grey behind.
            known_entries = np.isfinite(image).all(axis=2) if image.ndim == 3 else np.isfinite(image)
            drawn = {**asked, "alpha": known_entries.astype(float)}
            place.set_facecolor(MISSING)
            self.images_.append(place.imshow(np.nan_to_num(shown) if image.ndim == 3 else shown, **drawn))
            place.set_title(title, fontsize=10)
            place.set(xticks=[], yticks=[])
        self.axes_, self.ax_, self.figure_ = axes, axes[0], axes[0].figure
        if images[0].ndim == 2:
            self.figure_.colorbar(self.images_[-1], ax=axes, shrink=0.8)
        return self

    def _axes(self, ax: Any, count: int, shape: tuple[int, ...]) -> list[Axes]:
        if ax is not None:
            axes = list(np.atleast_1d(np.asarray(ax, dtype=object)).ravel())
            if len(axes) != count:
                raise ShapeError(f"has {len(axes)} axes, expected {count}, one for each image", argument="ax")
            return axes
        ratio = float(np.clip(shape[0] / max(1, shape[1]), 0.4, 2.0))
        first = axes_for(None, (3.0 * count + 0.8, 3.0 * ratio + 0.5))
        figure: Any = first.figure
        first.remove()
        return list(figure.subplots(1, count))


def _spread(X: Any) -> npt.NDArray[np.float64]:
    """The stored entries of a sparse matrix, and NaN."""
    entries = X.tocoo()
    matrix = np.full(entries.shape, np.nan)
    matrix[entries.row, entries.col] = entries.data
    return matrix
