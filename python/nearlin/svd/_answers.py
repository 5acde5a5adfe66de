"""What a model says."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from nearlin._certificate import Certificate
from nearlin._config import resolve_threads
from nearlin._estimator import in_our_words, named_for_estimators, samples
from nearlin._frames import is_frame
from nearlin._sparse import check_indices, is_sparse
from nearlin._validation import Float, as_matrix, check_finite
from nearlin.exceptions import ShapeError, StateError

from ._certificate import certificate_of, with_probe
from ._model import Model

__all__ = ["Answers"]


class Answers(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Model):
    """What can be read of a model, and projections onto its components."""

    def transform(self, X: object) -> Float:
        """Project rows onto the components.

        Parameters
        ----------
        X : array_like, sparse matrix or frame of shape (rows, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (rows, n_components)
            Their coordinates; with ``center=True``, those of the rows less the mean.
        """
        check_is_fitted(self)
        matrix = samples(self, X, reset=None)
        self._check_width(matrix)
        with in_our_words("X"):
            named = X if is_frame(X) else matrix
            validate_data(self, named, "no_validation", reset=False, skip_check_array=True)
        with named_for_estimators(getattr(self, "feature_names_in_", None)):
            if self._centred:
                components = self.components_
                if is_sparse(matrix):
                    check_indices(matrix, "A")
                check_finite(matrix.data if is_sparse(matrix) else matrix, "A")
                shift = self.mean_ @ components.T
                projected: Float = np.asarray(matrix @ components.T - shift).astype(matrix.dtype, copy=False)
                return projected
            return np.ascontiguousarray(
                self._state.transform(matrix, self._k, threads=resolve_threads(self.n_jobs)).T,
                dtype=matrix.dtype,
            )

    def inverse_transform(self, X: object) -> Float:
        """Return the rows that have these coordinates.

        Parameters
        ----------
        X : array_like of shape (rows, n_components)
            Coordinates.

        Returns
        -------
        ndarray of shape (rows, n_features)
            Dense rows.
        """
        check_is_fitted(self)
        with in_our_words("X"):
            coordinates = as_matrix(X, "X", accept_sparse=False, allow_empty=True)
        if coordinates.shape[1] != self.n_components_:
            raise ShapeError(
                f"has {coordinates.shape[1]} columns, expected {self.n_components_}", argument="X"
            )
        rows: Float = coordinates @ self.components_
        return rows + self.mean_ if self._centred else rows

    def left_singular_vectors(self, rows: object = None) -> Float:
        """Return left singular vectors: all rows of them, or a few.

        Parameters
        ----------
        rows : array_like of int of shape (count,), optional
            Positions.

        Returns
        -------
        ndarray of shape (n_samples, n_components) or (count, n_components)
            The rows.
        """
        check_is_fitted(self)
        ids = None if rows is None else self._ids(rows, "rows")
        vectors: Float = self._state.vectors(
            self._k, end="rows", ids=ids, threads=resolve_threads(self.n_jobs)
        )
        return vectors

    def score_pairs(self, rows: object, cols: object) -> npt.NDArray[np.float64]:
        """Return entries of the model :math:`U S V^T`.

        Parameters
        ----------
        rows, cols : array_like of int of shape (count,)
            Where they are.

        Returns
        -------
        ndarray of shape (count,)
            The entries, in time of their number.
        """
        check_is_fitted(self)
        places = [self._ids(rows, "rows"), self._ids(cols, "cols")]
        if len(places[0]) != len(places[1]):
            raise ShapeError(f"has length {len(places[1])}, expected {len(places[0])}", argument="cols")
        scores: npt.NDArray[np.float64] = self._state.scores(
            *places, self._k, threads=resolve_threads(self.n_jobs)
        )
        return scores

    @property
    def _dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float32 if self._state.single else np.float64)

    @property
    def n_components_(self) -> int:
        """Triplets that there are."""
        check_is_fitted(self)
        return len(self.singular_values_)

    @property
    def n_samples_seen_(self) -> int:
        """Rows of the matrix so far."""
        check_is_fitted(self)
        rows: int = self._state.shape[0]
        return rows

    @property
    def components_(self) -> Float:
        """Right singular vectors, or principal components, one a row."""

        def read() -> Float:
            if self._centred:
                components: Float = self._principal[0].T
                return components
            vectors = self._state.vectors(
                self._k, end="columns", ids=None, threads=resolve_threads(self.n_jobs)
            )
            components = vectors.T
            return components

        components: Float = self._read("components", read)
        return components

    @property
    def singular_values_(self) -> Float:
        """Singular values, the largest first; those of the centred rows with ``center=True``."""
        check_is_fitted(self)
        values = self._principal[1] if self._centred else self._values_kept[: self._k]
        return values.astype(self._dtype, copy=True)

    @property
    def _principal(self) -> tuple[Float, npt.NDArray[np.float64]]:
        found = self._read(
            "principal", lambda: self._state.principal(self._k, threads=resolve_threads(self.n_jobs))
        )
        if found is None:
            raise StateError("the mean of the rows is not known, as rows were deleted that were not told")
        principal: tuple[Float, npt.NDArray[np.float64]] = found
        return principal

    @property
    def mean_(self) -> Float:
        """Mean of the rows; NaN where it is not known."""
        mean = self._mean
        if mean is None:
            return np.full(self.n_features_in_, np.nan, self._dtype)
        return mean[0].astype(self._dtype, copy=False)

    @property
    def _mean(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
        mean: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None = self._read(
            "mean", lambda: self._state.mean(threads=resolve_threads(self.n_jobs))
        )
        return mean

    @property
    @np.errstate(over="ignore", under="ignore")
    def explained_variance_(self) -> Float:
        """Variance of the rows along each component; NaN where the mean is not known."""
        return self._variances()[0].astype(self._dtype)

    @property
    def explained_variance_ratio_(self) -> Float:
        """Variance along each component as a share of that of all features."""
        along, total = self._variances()
        # Rows that are all the same have no variance to be shared.
        return (along / (total if total > 0.0 else math.nan)).astype(self._dtype)

    @property
    def noise_variance_(self) -> float:
        """Mean variance that the components leave, over the other dimensions; zero if there are none."""
        along, total = self._variances()
        others = min(self._state.shape) - len(along)
        return max(total - float(along.sum()), 0.0) / others if others > 0 else 0.0

    @np.errstate(over="ignore", under="ignore")
    def _variances(self) -> tuple[npt.NDArray[np.float64], float]:
        """Return variances along the components, and of all features together."""
        weight, of_squares = self._figures["weights"]
        energy, mean = self.energy_, self._mean
        of_mean = math.nan if mean is None else weight * float(mean[0] @ mean[0])
        total = math.nan if energy is None else max(energy - of_mean, 0.0)
        if self._centred:
            freedom = weight - of_squares / weight if weight > 0.0 else 0.0
            freedom = freedom if freedom > 0.0 else math.nan
            along = (self._principal[1] / math.sqrt(freedom)) ** 2
            return along, max(total / freedom, float(along.sum()))
        weight = weight if weight > 0.0 else math.nan
        s = self._values_kept[: self._k]
        along = np.full(len(s), np.nan) if mean is None else mean[1][: len(s)]
        root = s / math.sqrt(weight)
        return np.maximum((root - along) * (root + along), 0.0), total / weight

    @property
    def energy_(self) -> float | None:
        """The squares of all entries so far; None where that is not known."""
        energy: float | None = self._figures["energy"]
        return energy

    @property
    def orthogonality_error_(self) -> float:
        """The largest entry of U'U - I and V'V - I."""
        check_is_fitted(self)
        error: float = self._state.orthogonality
        return error

    @property
    def spectrum_ratio_(self) -> float:
        """The largest singular value that is kept, over the smallest."""
        values = self._values_kept
        return float(values[0] / values[-1]) if len(values) else math.nan

    @property
    def n_repairs_(self) -> int:
        """How often both sides were made orthonormal again."""
        repairs: int = self._figures["repairs"]
        return repairs

    @property
    def n_fallbacks_(self) -> int:
        """How often "gram" gave way to "qr"."""
        fallbacks: int = self._figures["fallbacks"]
        return fallbacks

    @property
    def state_bytes_(self) -> int:
        """Memory that the model takes."""
        size: int = self._figures["bytes"]
        return size

    @property
    def n_iter_(self) -> int:
        """Blocks of vectors that :meth:`fit` multiplied the matrix with."""
        check_is_fitted(self)
        blocks: int = self._fit["n_iter"]
        return blocks

    @property
    def solver_(self) -> str:
        """How the first triplets were found."""
        check_is_fitted(self)
        solver: str = self._fit["solver"]
        return solver

    @property
    def certificate_(self) -> Certificate:
        """What the model leaves of the matrix, and how that is known."""
        check_is_fitted(self)
        probed = self._read(
            "probed", lambda: self._state.probed(self._k, threads=resolve_threads(self.n_jobs))
        )
        known = certificate_of(self._values_kept, self._k, self._figures, self._residual, self._dtype)
        return with_probe(known, probed, self._figures) if self._made_with["track"] == "probe" else known

    @property
    def _n_features_out(self) -> int:
        return self.n_components_
