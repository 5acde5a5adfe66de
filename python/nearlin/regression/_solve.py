"""The options of least squares, the call of the core, and what its answers certify."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nearlin import _core
from nearlin._config import Progress, resolve_progress, resolve_threads
from nearlin._log import tell
from nearlin._validation import (
    Float,
    Matrix,
    as_float_dtype,
    as_sample_weight,
    as_vector,
    check_bool,
    check_choice,
    check_finite,
    check_int,
    check_real,
    optional,
)
from nearlin._warn import warn
from nearlin.exceptions import (
    AccuracyWarning,
    FallbackWarning,
    InvalidInputError,
    ShapeError,
    VerificationError,
)

from ._certificate import LstsqCertificate

__all__ = ["METHODS", "Options", "Solution", "certificate_of", "solve", "truncation", "verified", "warn_of"]

METHODS = (
    "auto",
    "gram",
    "sparse_cholesky",
    "whitened",
    "spir",
    "fossils",
    "cg",
    "lsmr",
    "fgmres_wlsir",
    "qr",
)
PRECONDITIONERS = ("split", "left")
MISCLAIM = 10.0
"""A backward error above this multiple of what was claimed is no rounding."""
SKETCHES = ("sparse_sign", "srht", "pht", "count_sketch", "gaussian")

Solution: TypeAlias = "_core.LstsqSolution"
"""What the core returns."""

Verification: TypeAlias = "_core.LstsqVerification"
"""What the core returns of a second look."""


@dataclass(kw_only=True, eq=False)
class Options:
    """How least squares are solved, as users ask for it; checked once, here."""

    seed: int
    method: str = "auto"
    rcond: float | None = None
    sketch: str | None = None
    sketch_size: int | None = None
    tol: float | None = None
    max_iter: int | None = None
    dtype_work: npt.DTypeLike | None = None
    preconditioner: str | None = None
    keep_factor: bool = False
    certify: bool = False

    def __post_init__(self) -> None:
        check_choice(self.method, "method", METHODS)
        check_bool(self.certify, "certify")
        if (
            self.rcond is not None
            or self.sketch is not None
            or self.sketch_size is not None
            or self.tol is not None
            or self.max_iter is not None
            or self.dtype_work is not None
            or self.preconditioner is not None
        ):
            self._check_others()

    def _check_others(self) -> None:
        optional(check_real, self.rcond, "rcond", at_least=0.0, below=1.0)
        optional(check_choice, self.sketch, "sketch", choices=SKETCHES)
        optional(check_int, self.sketch_size, "sketch_size", at_least=1)
        optional(check_real, self.tol, "tol", above=0.0)
        optional(check_int, self.max_iter, "max_iter", at_least=1)
        if self.dtype_work is not None:
            self.dtype_work = as_float_dtype(self.dtype_work, "dtype_work")
        optional(check_choice, self.preconditioner, "preconditioner", choices=PRECONDITIONERS)
        if self.preconditioner is not None and self.method != "fgmres_wlsir":
            raise InvalidInputError(
                f"is {self.preconditioner!r}, expected None with method={self.method!r}: "
                "only 'fgmres_wlsir' takes one",
                argument="preconditioner",
            )


def solve(
    A: Matrix,
    b: Float,
    options: Options,
    *,
    sample_weight: object = None,
    ridge: npt.ArrayLike = 0.0,
    fit_intercept: bool = False,
    n_jobs: int | None = None,
    progress: bool | Progress = False,
) -> Solution:
    """Call the core on arrays that are checked already, and warn of a fallback."""
    (n, d), k = A.shape, b.shape[1]
    solution = _core.lstsq(
        A,
        b,
        options,
        sample_weight=as_sample_weight(sample_weight, n),
        ridge=as_penalties(ridge, k),
        fit_intercept=fit_intercept,
        threads=resolve_threads(n_jobs, n * d * (d + k)),
        progress=resolve_progress(progress),
    )
    tell("lstsq", in_words, solution, A, b, options.method)
    if not solution["settled"] or solution["fallback_reason"] is not None:
        warn_of(solution, options.method)
    return solution


def in_words(solution: Solution, A: Matrix, b: Float, method: str) -> str:
    """Return which method gave the answer, and why."""
    (n, d), k = A.shape, b.shape[1]
    given_way = "" if solution["fallback_reason"] is None else f"; {solution['fallback_reason']}"
    return (
        f"{n} x {d} with {k} right-hand sides, method={method!r}: {solution['method']} after "
        f"{solution['n_iter']} passes{given_way}; {solution['explanation']}"
    )


def warn_of(solution: Solution, method: str) -> None:
    """Warn of a fallback, or of an answer that misses its target."""
    error = np.max(solution["backward_error"], initial=0.0)
    reached = f"reached a backward error of {error:.1e}, above {solution['target']:.1e}"
    if method != "auto" and solution["fallback_reason"] is not None:
        warn(
            f"method={method!r} gave way to {solution['method']!r}: {solution['fallback_reason']}"
            + ("" if solution["settled"] else f"; it {reached}"),
            FallbackWarning,
        )
    elif not solution["settled"]:
        warn(
            f"method={method!r} {reached}; a larger max_iter or another method may do better",
            AccuracyWarning,
        )


def verified(
    A: Matrix,
    b: Float,
    solution: Solution,
    options: Options,
    *,
    sample_weight: object,
    ridge: npt.ArrayLike,
    n_jobs: int | None,
) -> Verification:
    """Return what a second look tells of a solution; raise if it tells against it."""
    found = _core.lstsq_verify(
        A,
        b,
        np.asarray(solution["x"], float),
        options,
        sample_weight=as_sample_weight(sample_weight, A.shape[0]),
        ridge=as_penalties(ridge, b.shape[1]),
        threads=resolve_threads(n_jobs),
    )
    claimed = np.maximum(solution["backward_error_bound"], 0.5 * np.finfo(A.dtype).eps)
    if found["rank"] != solution["rank"]:
        # Either look has cut off directions that the other has kept.
        claimed += max(found["cut"], solution["cut"])
    for column, (error, claim) in enumerate(zip(found["backward_error"], claimed, strict=True)):
        if not error <= MISCLAIM * claim:
            raise VerificationError(
                f"the answer to column {column} of `b` has backward error {error:.1e} by a fresh sketch, "
                f"{claim:.1e} was claimed at most; method='qr' relies on no sketch"
            )
    return found


def certificate_of(
    solution: Solution,
    *,
    verification: Verification | None = None,
    fit_intercept: bool = False,
    single: bool = False,
) -> LstsqCertificate:
    """Return the certificate of a solution: the worst of its right-hand sides."""
    problem = f"Karlson-Walden estimate, columns of A {solution['columns']}"
    if fit_intercept:
        problem += " after centring, which bounds that of the fit with its intercept"
    sketched = solution["method"] in ("spir", "fossils")
    source, notes = "a factor R of A whose condition was checked and the residual of the returned x", []
    if sketched:
        source = "R of the sketch and the residual of the returned x"
        notes.append("holds if the sketch embeds the columns of A")
    elif solution["method"] == "lsmr":
        source = "a bidiagonalisation restarted from the returned x"
        notes.append("the estimate lacks what more iterations would have added, the bound does not")
    elif solution["method"] == "cg":
        source = "the residual and the gradient of the returned x, and conjugate gradients from it"
        notes.append(foundation(solution))
    if not solution["is_shortest"]:
        notes.append("there may be shorter answers that are as good")
    if verification is not None:
        notes.append(verdict(verification, solution))
    forward, rank, d = solution["forward"], solution["rank"], len(solution["x"])
    if forward is not None and forward["objection"] is not None:
        notes.append(f"no bounds for coefficients: {forward['objection']}")
    elif forward is not None and rank is not None and rank < d:
        notes.append(f"rank {rank} of {d}: bounds are for the directions that were kept")
    quantity = "backward error / |A|_F"
    if solution["cut"] > 0.0:
        quantity += " of the truncated problem"
        notes.insert(0, truncation(rank, solution["cut"]))
    return LstsqCertificate(
        quantity=quantity,
        estimate=float(np.max(solution["backward_error"], initial=0.0)),
        bound=float(np.max(solution["backward_error_bound"], initial=0.0)),
        confidence=None if sketched else solution["confidence"],
        measured=f"{problem}, with {source}",
        target=float(solution["target"]),
        floor=float(solution["floor"]),
        note="; ".join(notes) or None,
        details={
            "backward_error": np.asarray(solution["backward_error"], float).tolist(),
            "backward_error_bound": np.asarray(solution["backward_error_bound"], float).tolist(),
            **rigorous_details(solution),
            "condition": float(solution["condition"]),
            "redraws": int(solution["redraws"]),
            **({"cut": float(solution["cut"])} if solution["cut"] > 0.0 else {}),
            **forward_details(forward, solution, single=single),
            **verification_details(verification),
        },
    )


def foundation(solution: Solution) -> str:
    """Return what the bound of an answer rests on that no factor was made for."""
    rigorous = float(np.max(solution["rigorous_bound"], initial=0.0))
    if rigorous <= float(np.max(solution["backward_error_bound"], initial=0.0)):
        return "the bound holds whatever the spectrum of A"
    return f"the bound rests on an estimate of the smallest eigenvalue of A'A; {rigorous:.1e} without it"


def rigorous_details(solution: Solution) -> dict[str, Any]:
    """Return the bounds that rest on no estimate, where there are others."""
    if solution["method"] != "cg":
        return {}
    return {"rigorous_bound": np.asarray(solution["rigorous_bound"], float).tolist()}


def truncation(rank: int | None, cut: float) -> str:
    """Return what was cut off, and what that means for the error."""
    return (
        f"rank {rank}: directions of A of {cut:.1e} |A|_F were cut off, "
        "and the backward error for A itself is larger by that at most"
    )


def verdict(second: Verification, solution: Solution) -> str:
    """Return what a second look that found no fault amounts to."""
    if math.isnan(max(second["bound"], default=0.0)):
        return "a fresh sketch finds no fault but proves nothing at this condition"
    rank = "" if solution["rank"] in (None, second["rank"]) else f", where A has rank {second['rank']}"
    return f"at most {max(second['bound'], default=0.0):.1e} by a fresh sketch{rank}"


def verification_details(second: Verification | None) -> dict[str, Any]:
    """Return what a second look found; nothing if there was none."""
    return {} if second is None else {"verified": {k: v for k, v in second.items() if k != "stage"}}


def forward_details(
    forward: _core.ForwardError | None, solution: Solution, *, single: bool
) -> dict[str, Any]:
    """Return what is known of forward errors as numbers and lists; nothing if it was not asked for."""
    if forward is None:
        return {}
    squeeze = (lambda values: values[..., 0].tolist()) if single else np.ndarray.tolist
    largest = np.abs(np.asarray(solution["x"], float)).max(axis=0, initial=0.0)
    bound = forward["coordinate_bound"]
    widest = bound.max(axis=0, initial=0.0)
    relative = np.divide(widest, largest, out=np.zeros(len(largest)), where=largest > 0.0)
    return {
        "coordinate_bound": squeeze(bound),
        "error_estimate": squeeze(forward["error_estimate"]),
        "relative_bound": float(relative.max(initial=0.0)),
        "fit_bound": forward["fit_bound"],
        "residual_bounds": forward["residual_bounds"],
        "sensitivity": forward["sensitivity"],
        "smallest_eigenvalue": forward["smallest_eigenvalue"],
        "confidence_of_bounds": forward["confidence"],
    }


NO_PENALTY = np.zeros(1)
NO_PENALTY.flags.writeable = False


def as_penalties(ridge: npt.ArrayLike, columns: int) -> npt.NDArray[np.float64]:
    """Return one penalty for all right-hand sides, or one for each."""
    name = "ridge"
    given: object = ridge
    if type(given) is float and given == 0.0:
        return NO_PENALTY
    if given is None or isinstance(given, str | Real) or getattr(given, "shape", None) == ():
        return np.array([check_real(ridge, name, at_least=0.0)])
    penalties: npt.NDArray[np.float64] = as_vector(ridge, name)  # type: ignore[assignment]
    if len(penalties) not in (1, columns):
        raise ShapeError(
            f"has length {len(penalties)}, expected one number"
            + f" or {columns}, one for each target" * (columns > 1),
            argument=name,
        )
    check_finite(penalties, name)
    if penalties.min() < 0.0:
        raise InvalidInputError(f"has {penalties.min()}, expected no negative penalty", argument=name)
    return penalties
