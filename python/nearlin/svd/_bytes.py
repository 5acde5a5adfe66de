"""Copies and bytes of a model."""

from __future__ import annotations

import json
from typing import Any, Self

from nearlin import _core
from nearlin.exceptions import StateError

from ._model import STRUCTURE, Model

__all__ = ["Bytes"]


class Bytes(Model):
    """What is written of an estimator, and how it comes back."""

    @staticmethod
    def _unfitted() -> Any:
        return _core.TruncatedSVDState(1, single=False)

    def _words(self) -> dict[str, Any]:
        names = getattr(self, "feature_names_in_", None)
        return {
            "k": self._k,
            "made_with": self._made_with,
            "fit": {**self._fit, "residual": self._residual},
            "warned": getattr(self, "_warned", False),
            "names": None if names is None else [str(name) for name in names],
        }

    def _resume(self, state: Any, words: dict[str, Any]) -> None:
        made_with = {name: words["made_with"][name] for name in STRUCTURE}
        names = None if words["names"] is None else list(words["names"])
        if words["warned"]:
            self._warned = True
        self._adopt(state, words["fit"], words["k"], names, made_with)

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
