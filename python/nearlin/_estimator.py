"""What all estimators have in common: samples as scikit-learn wants them, errors in its names, bytes."""

import json
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import Tags, check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from . import _core
from ._config import resolve_threads
from ._frames import column_names, is_frame, name_column, naming_columns
from ._sparse import is_sparse
from ._stream import Saved
from ._validation import (
    Float,
    Matrix,
    as_rhs,
    as_sample_weight,
    as_samples,
    check_finite,
    check_targets,
    copying,
    is_blocks,
    naming_block,
    refuse_beside,
)
from .exceptions import InvalidInputError, InvalidTypeError, NearlinError, ShapeError, StateError

__all__ = [
    "LinearModel",
    "SavedEstimator",
    "adopt_features",
    "check_same_features",
    "in_our_words",
    "named_for_estimators",
    "plain",
    "samples",
]

NAMES: dict[str | None, str] = {"A": "X", "b": "y", "ridge": "alpha"}
"""What scikit-learn calls the arguments of functions."""


SETTINGS = ("_sklearn_output_config", "_metadata_request", "_skl_callbacks")
"""What scikit-learn keeps beside parameters: the container of outputs, metadata asked for, callbacks."""


def settings_of(estimator: object) -> dict[str, Any]:
    """Return what copies and pickles have beside what is fitted."""
    return {name: vars(estimator)[name] for name in SETTINGS if name in vars(estimator)}


def plain(value: object) -> object:
    """Return NumPy's numbers as Python's."""
    return value.item() if isinstance(value, np.generic) else value


class LinearModel(RegressorMixin, BaseEstimator):
    """Predictions that are linear in the features."""

    coef_: Float
    intercept_: Any
    n_jobs: int | None

    def predict(self, X: object) -> Float:
        """Predict targets.

        Parameters
        ----------
        X : array_like, sparse matrix or RowBlocks of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
            Predicted values.
        """
        check_is_fitted(self)
        if is_blocks(X):
            predicted: Float = _block_by_block(_predictions, self, X)[0]
            return predicted
        return self._predicted(samples(self, X, reset=False, finite=True))

    def _predicted(self, matrix: Matrix) -> Float:
        """Return predictions for samples that are checked already."""
        if not is_sparse(matrix):
            predicted: Float = matrix @ self.coef_.T + self.intercept_
            return predicted
        coefficients = np.atleast_2d(self.coef_).astype(np.float64)
        with named_for_estimators():
            predicted = _core.linear_predict(
                matrix,
                coefficients,
                np.full(len(coefficients), self.intercept_, np.float64),
                single=np.result_type(matrix.dtype, self.coef_.dtype) == np.float32,
                threads=resolve_threads(self.n_jobs),
            )
        return predicted if self.coef_.ndim == 2 else predicted[:, 0]

    def score(self, X: object, y: object = None, sample_weight: object = None) -> float:
        """Return the coefficient of determination of the predictions, as scikit-learn defines it.

        Parameters
        ----------
        X : array_like, sparse matrix or RowBlocks of shape (n_samples, n_features)
            Samples.
        y : array_like of shape (n_samples,) or (n_samples, n_targets)
            Their true targets; None with RowBlocks, which bring them along.
        sample_weight : array_like of shape (n_samples,) or float, optional
            Weight of each squared residual; None with RowBlocks.

        Returns
        -------
        float
            R squared about the mean of y, with or without an intercept; the mean over the targets.
        """
        from sklearn.metrics import r2_score  # which others than regressors do not wait for

        predicted, targets, weights = self._with_targets(X, y, sample_weight)
        with in_our_words("y"):
            return float(r2_score(targets, predicted, sample_weight=weights))

    def _with_targets(self, X: object, y: object, sample_weight: object) -> tuple[Float, Float, Float | None]:
        """Return predictions, the true targets, and weights."""
        if is_blocks(X):
            refuse_beside(y=y, sample_weight=sample_weight)
            check_targets(X, "X")
            predicted, y, sample_weight = _block_by_block(_beside_targets, self, X)
        else:
            predicted = self.predict(X)
        targets = as_rhs(y, len(predicted), np.float64, "y")[0]
        check_finite(targets, "y")
        return predicted, targets, as_sample_weight(sample_weight, len(predicted))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _block_by_block(function: Callable[..., tuple[Float, ...]], model: LinearModel, rows: Any) -> Any:
    """Return what a function makes of a model and each block of rows, end to end."""
    check_is_fitted(model)
    check_same_features(model, rows)
    return rows.map_reduce(partial(function, model), _end_to_end, n_jobs=model.n_jobs)


def _end_to_end(parts: list[tuple[Float, ...]]) -> tuple[Float, ...]:
    return tuple(map(np.concatenate, zip(*parts, strict=True)))


def _predictions(model: LinearModel, block: Any) -> tuple[Float, ...]:
    """Return the predictions for a block."""
    with naming_block(block), named_for_estimators(getattr(model, "feature_names_in_", None)):
        return (model._predicted(samples(model, block.X, reset=None, finite=True, ensure_min_samples=0)),)


def _beside_targets(model: LinearModel, block: Any) -> tuple[Float, ...]:
    """Return the predictions for a block, its targets, and its weights."""
    weights = block.sample_weight
    return *_predictions(model, block), block.y, np.ones(len(block.y)) if weights is None else weights


class SavedEstimator(Saved, BaseEstimator):
    """An estimator around a state in the core, which its copies and its bytes have."""

    _state: Any

    @staticmethod
    def _unfitted() -> Any:
        """Return a state to be written where there is none."""
        raise NotImplementedError

    def _words(self) -> dict[str, Any]:
        """Return what is written beside a state."""
        raise NotImplementedError

    def _resume(self, state: Any, words: dict[str, Any]) -> None:
        """Go on with a state, and what was written beside it."""
        raise NotImplementedError

    def _beside(self) -> dict[str, Any]:
        """Return what copies and pickles have that is not in the bytes."""
        return settings_of(self)

    def copy(self) -> Self:
        """Return an independent copy."""
        twin = type(self)(**self.get_params(deep=False))
        if self.__sklearn_is_fitted__():
            twin._resume(self._state.copy(), self._words())
        twin.__dict__.update(self._beside())
        return twin

    def to_bytes(self) -> bytes:
        """Return the state and the parameters as bytes, with version and checksum.

        Raises
        ------
        StateError
            If a parameter is no number, string, truth value or None, as a generator for `random_state` is.
        """
        parameters = {name: plain(value) for name, value in self.get_params(deep=False).items()}
        try:
            return self._bytes({"parameters": parameters})
        except TypeError:
            raise StateError(
                "cannot write the state: `random_state` is a generator, expected an integer or None"
            ) from None

    def _bytes(self, words: dict[str, Any]) -> bytes:
        fitted = self.__sklearn_is_fitted__()
        state = self._state if fitted else self._unfitted()
        words = {**words, "fitted": self._words() if fitted else None}
        data: bytes = state.to_bytes(json.dumps(words))
        return data

    @classmethod
    def _restored(cls, data: bytes, parameters: dict[str, Any] | None = None) -> Self:
        raise NotImplementedError

    def __reduce__(self) -> tuple[Any, ...]:
        made = self._bytes({}), self.get_params(deep=False)
        return type(self)._restored, made, self._beside() or None

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_state")


def samples(
    estimator: Any, X: object, *, reset: bool | None, finite: bool | str = False, **more: Any
) -> Matrix:
    """Return X, its features being those of the fit unless they are `reset`; None leaves that open.

    `finite` is what scikit-learn calls `ensure_all_finite`, but that an error names the column.
    """
    with in_our_words("X"):
        values = as_samples(X, "X")
        matrix = check_array(
            values,
            accept_sparse=("csr", "csc"),
            dtype=[np.float64, np.float32],
            ensure_all_finite=False if finite is True or is_sparse(values) else finite,
            input_name="X",
            estimator=estimator,
            **more,
        )
        if reset is not None:
            named = X if is_frame(X) else matrix
            validate_data(estimator, named, "no_validation", reset=reset, skip_check_array=True)
    if finite is True and not is_sparse(matrix):  # of which the core sees it as it multiplies
        with naming_columns(column_names(X)):
            check_finite(matrix, "X")
    return matrix


def adopt_features(estimator: Any, rows: Any) -> None:
    """Take the features of rows in blocks for those of a fit."""
    estimator.n_features_in_ = rows.n_features
    if rows.feature_names is not None:
        estimator.feature_names_in_ = np.array(rows.feature_names, dtype=object)
    else:
        vars(estimator).pop("feature_names_in_", None)


def check_same_features(estimator: Any, rows: Any) -> None:
    """Raise unless rows in blocks have the features of the fit, by number and, if known, by name."""
    found, expected = rows.n_features, estimator.n_features_in_
    names = rows.feature_names
    if found != expected:
        raise ShapeError(
            f"have {found} features, but {type(estimator).__name__} was fitted to {expected}", argument="X"
        )
    if names is not None and list(names) != list(getattr(estimator, "feature_names_in_", names)):
        raise InvalidInputError(
            f"have features {list(names)}, expected those of the fit in their order: "
            f"{list(estimator.feature_names_in_)}",
            argument="X",
        )


class named_for_estimators:
    """A context that calls arguments in errors as scikit-learn does, and names columns."""

    def __init__(self, columns: Sequence[str] | None = None) -> None:
        self._columns = columns

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, NearlinError):
            name_column(error, self._columns)
            error.argument = NAMES.get(error.argument, error.argument)


@contextmanager
def in_our_words(name: str) -> Generator[None]:
    """Raise as errors of nearlin what scikit-learn finds wrong with this argument."""
    try:
        with copying(name):
            yield
    except (NearlinError, Warning):
        raise
    except Exception as error:  # whatever the code of the caller raises as it becomes an array
        kind = InvalidTypeError if isinstance(error, TypeError) else InvalidInputError
        raise kind(f"`{name}`: {error}") from error
