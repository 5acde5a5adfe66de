"""What all parts of the estimator have: its parameters, a state in the core, and checks of arguments."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from nearlin._estimator import SavedEstimator, plain
from nearlin._frames import is_frame, string_names
from nearlin._validation import (
    Matrix,
    as_array,
    as_seed,
    check_bool,
    check_choice,
    check_int,
    check_real,
    optional,
)
from nearlin.exceptions import InvalidInputError, InvalidTypeError, ShapeError

__all__ = ["Model", "is_share"]

METHODS = (
    "auto",
    "gram",
    "qr",
    "krylov",
    "lcov",
    "lcov-gkl",
    "lcov-rpi",
    "zha-simon",
    "vecharynski-saad",
    "yamazaki",
)
STRUCTURE = ("n_components", "oversample", "center", "robust", "track")
"""Parameters that a state is made with, and has for as long as it lives."""


class Model(SavedEstimator):
    """A state in the core, and the parameters of :class:`nearlin.TruncatedSVD`."""

    n_components: int | float
    oversample: int | str
    method: str
    solver: str
    center: bool
    tol: float | None
    robust: str | None
    track: str
    random_state: object
    n_jobs: int | None

    _fit: dict[str, Any]
    _fitted_at: int
    _k: int
    _made_with: dict[str, Any]
    _names: list[str] | None
    _cache: dict[str, Any]

    def _check_parameters(self) -> None:
        if is_share(self.n_components):
            check_real(self.n_components, "n_components", above=0.0, below=1.0)
        else:
            check_int(self.n_components, "n_components", at_least=1)
        if self.oversample != "auto":
            check_int(self.oversample, "oversample", at_least=0)
        check_choice(self.method, "method", METHODS)
        check_choice(self.solver, "solver", ("auto", "lanczos", "randomized"))
        check_bool(self.center, "center")
        if self.robust is not None:
            check_choice(self.robust, "robust", ("fd",))
        check_choice(self.track, "track", ("ledger", "probe"))
        optional(check_real, self.tol, "tol", at_least=0.0)

    def _kept(self, k: int) -> int:
        """Return how many triplets are kept for `k` that are shown."""
        beside = max(16, -(-k // 2)) if self.oversample == "auto" else self.oversample
        # The mean takes a triplet.
        return k + int(beside) + bool(self.center)

    def _policy(self, seed: int) -> dict[str, Any]:
        """Return what a state does beside following its matrix."""
        return {"probe": seed if self.track == "probe" else None, "robust": self.robust == "fd"}

    def _seed(self) -> int:
        return as_seed(self.random_state, "random_state", default=np.random.bytes)

    def _adopt(
        self,
        state: Any,
        fit: dict[str, Any],
        k: int,
        names: list[str] | None,
        made_with: dict[str, Any] | None = None,
    ) -> None:
        """Be the model of a state, from one moment to the next: Ctrl-C leaves nothing half set."""
        if made_with is None:
            made_with = {name: plain(getattr(self, name)) for name in STRUCTURE}
        changes = state.changes
        self.__dict__.update(
            _state=state,
            _fit=fit,
            _fitted_at=changes,
            _k=k,
            _names=names,
            _made_with=made_with,
            _cache={"of": changes},
        )

    @property
    def n_features_in_(self) -> int:
        """Features seen so far."""
        features: int = self._state.shape[1]
        return features

    @property
    def feature_names_in_(self) -> npt.NDArray[np.object_]:
        """Names of the features, if they have some."""
        if self._names is None:
            raise AttributeError("the features have no names")
        # There may be names of features that are still to come.
        return np.array(self._names[: self.n_features_in_], dtype=object)

    @property
    def _residual(self) -> float:
        """The residual of the fit, as long as nothing changed since."""
        residual: float = self._fit["residual"]
        return residual if self._state.changes == self._fitted_at else math.nan

    @property
    def _centred(self) -> bool:
        return bool(self._made_with["center"])

    def _check_may_change(self) -> None:
        """Refuse a change once a parameter is not what the state was made with."""
        check_is_fitted(self)
        for name, made_with in self._made_with.items():
            if getattr(self, name) != made_with:
                fewer = "; `truncate` shows fewer" if name == "n_components" else ""
                raise InvalidInputError(
                    f"is {getattr(self, name)!r}, expected {made_with!r}, with which the model was made: "
                    f"set it back, or fit anew{fewer}",
                    argument=name,
                )

    def _check_width(self, matrix: Matrix, *, or_wider: bool = False) -> None:
        found, expected = matrix.shape[1], self.n_features_in_
        if found < expected or (found > expected and not or_wider):
            raise ShapeError(
                f"X has {found} features, but {type(self).__name__} is expecting {expected} features as input"
            )

    def _names_with(self, X: object) -> list[str] | None:
        """Return the names of the features once `X` is in: first those that are known."""
        named = string_names(X) if is_frame(X) else None
        known = getattr(self, "feature_names_in_", None)
        if known is not None and named is None and is_frame(X):
            named = [str(name) for name in X.columns]  # type: ignore[attr-defined]
        return self._names_after(named)

    def _names_after(self, named: list[str] | None) -> list[str] | None:
        """Return the names of the features once rows of features of these names are in."""
        known = getattr(self, "feature_names_in_", None)
        if known is None or named is None:
            return named if not self.__sklearn_is_fitted__() else None
        if list(named[: len(known)]) != list(known) and len(named) >= len(known):
            raise InvalidInputError(
                "The feature names should match those that were passed during fit: first the known ones, in "
                "their order, then new ones",
            )
        missing = [name for name in known if name not in named]
        if missing:
            raise InvalidInputError(
                "The feature names should match those that were passed during fit: "
                f"feature names seen at fit time, yet now missing: {missing[:5]}"
            )
        return list(named)

    def _ids(self, ids: object, name: str) -> npt.NDArray[np.int64]:
        """Return positions; the core checks that they are in range."""
        array = np.atleast_1d(as_array(ids, name)) if not isinstance(ids, int) else np.array([ids])
        if array.ndim != 1:
            raise ShapeError(f"has {array.ndim} dimensions, expected 1", argument=name)
        if array.size == 0:
            return np.zeros(0, np.int64)
        if array.dtype.kind not in "iu":
            raise InvalidTypeError(f"has dtype {array.dtype}, expected integers", argument=name)
        if array.dtype.kind == "u" and array.max() > np.iinfo(np.int64).max:
            raise InvalidInputError(f"has {array.max()}, expected numbers below 2**63", argument=name)
        return np.ascontiguousarray(array, dtype=np.int64)

    def _read(self, name: str, read: Callable[[], Any]) -> Any:
        """Return what was read of the state as it is, reading it if it was not."""
        check_is_fitted(self)
        cache, changes = self._cache, self._state.changes
        if cache["of"] != changes:
            cache = self._cache = {"of": changes}
        if name not in cache:
            found = read()
            for array in found if isinstance(found, tuple) else (found,):
                if isinstance(array, np.ndarray):
                    array.flags.writeable = False  # what is changed here would not change the model
            cache[name] = found
        return cache[name]

    @property
    def _figures(self) -> dict[str, Any]:
        figures: dict[str, Any] = self._read("figures", lambda: self._state.figures)
        return figures

    @property
    def _values_kept(self) -> npt.NDArray[np.float64]:
        values: npt.NDArray[np.float64] = self._read("values", lambda: self._state.values)
        return values


def is_share(wanted: object) -> bool:
    """Tell whether a number of components is a share of all that there is."""
    return isinstance(wanted, float | np.floating)
