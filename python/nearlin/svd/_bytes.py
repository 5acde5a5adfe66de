"""Copies and bytes of a model."""

from __future__ import annotations

import json
from typing import Any, Self

import numpy as np

from nearlin import _core
from nearlin._estimator import settings_of
from nearlin._stream import Saved
from nearlin.exceptions import StateError

from ._model import STRUCTURE, Model, plain

__all__ = ["Bytes"]


class Bytes(Saved, Model):
    """What is written of an estimator, and how it comes back."""

    def copy(self) -> Self:
        """Return an independent copy."""
        twin = type(self)(**self.get_params(deep=False))
        if self.__sklearn_is_fitted__():
            twin._resume(self._state.copy(), self._words())
        twin.__dict__.update(settings_of(self))
        return twin

    def to_bytes(self) -> bytes:
        """Return the model and the parameters as bytes, with version and checksum.

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
        state = self._state if fitted else _core.TruncatedSVDState(1, single=False)
        words = {**words, "fitted": self._words() if fitted else None}
        data: bytes = state.to_bytes(json.dumps(words))
        return data

    def _words(self) -> dict[str, Any]:
        names = getattr(self, "feature_names_in_", None)
        return {
            "k": self._k,
            "made_with": self._made_with,
            "fit": self._fit,
            "warned": getattr(self, "_warned", False),
            "names": None if names is None else [str(name) for name in names],
        }

    def _resume(self, state: Any, words: dict[str, Any]) -> None:
        self._adopt(state, words["fit"], words["k"])
        self._made_with = {name: words["made_with"][name] for name in STRUCTURE}
        if words["warned"]:
            self._warned = True
        if words["names"] is not None:
            self.feature_names_in_ = np.array(words["names"], dtype=object)

    @classmethod
    def _restored(cls, data: bytes, parameters: dict[str, Any] | None = None) -> Self:
        state, text = _core.TruncatedSVDState.from_bytes(data)
        try:
            words = json.loads(text)
            estimator = cls(**(words["parameters"] if parameters is None else parameters))
            fitted = words["fitted"]
            if fitted is not None:
                n_iter, residual = int(fitted["fit"]["n_iter"]), float(fitted["fit"]["residual"])
                fit = {"n_iter": n_iter, "solver": str(fitted["fit"]["solver"]), "residual": residual}
                estimator._resume(state, {**fitted, "k": int(fitted["k"]), "fit": fit})
            if parameters is None:
                estimator._check_parameters()
        except (ValueError, TypeError, KeyError) as error:
            raise StateError(f"cannot restore the state: its words do not make sense ({error})") from None
        return estimator

    def __reduce__(self) -> tuple[Any, ...]:
        made = self._bytes({}), self.get_params(deep=False)
        return type(self)._restored, made, settings_of(self) or None
