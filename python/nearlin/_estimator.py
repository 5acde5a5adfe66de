"""What all estimators have in common: samples as scikit-learn wants them, errors in its names."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from ._frames import is_frame, name_column
from ._sparse import is_sparse
from ._validation import Matrix, as_samples, copying
from .exceptions import InvalidInputError, InvalidTypeError, NearlinError

__all__ = ["in_our_words", "named_for_estimators", "samples", "settings_of"]

NAMES: dict[str | None, str] = {"A": "X", "b": "y", "ridge": "alpha"}
"""What scikit-learn calls the arguments of functions."""


SETTINGS = ("_sklearn_output_config", "_metadata_request")
"""What scikit-learn keeps beside parameters: the container of outputs, and what metadata are asked for."""


def settings_of(estimator: object) -> dict[str, Any]:
    """Return what copies and pickles have beside what is fitted."""
    return {name: vars(estimator)[name] for name in SETTINGS if name in vars(estimator)}


def samples(estimator: Any, X: object, *, reset: bool | None, finite: bool = False, **more: Any) -> Matrix:
    """Return X, its features being those of the fit unless they are `reset`; None leaves that open."""
    with in_our_words("X"):
        values = as_samples(X, "X")
        matrix = check_array(
            values,
            accept_sparse=("csr", "csc"),
            dtype=[np.float64, np.float32],
            ensure_all_finite=finite and not is_sparse(values),  # the core sees it as it multiplies
            input_name="X",
            estimator=estimator,
            **more,
        )
        if reset is not None:
            named = X if is_frame(X) else matrix
            validate_data(estimator, named, "no_validation", reset=reset, skip_check_array=True)
    return matrix


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
