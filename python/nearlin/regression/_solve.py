"""The options of least squares, the call of the core, and what its answers certify."""

import math
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nearlin import _core
from nearlin._certificate import Certificate
from nearlin._config import Progress, resolve_progress, resolve_threads
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
)
from nearlin._warn import warn
from nearlin.exceptions import (
    AccuracyWarning,
    FallbackWarning,
    InvalidInputError,
    ShapeError,
    VerificationError,
)

__all__ = ["METHODS", "Solution", "certificate_of", "solve", "truncation", "verified"]

METHODS = ("auto", "gram", "whitened", "spir", "fossils", "lsmr", "fgmres_wlsir", "qr")
PRECONDITIONERS = ("split", "left")
VERIFIED = ("backward_error", "bound", "rank", "cut", "confidence")
MISCLAIM = 10.0
"""A backward error above this multiple of what was claimed is no rounding."""
SKETCHES = ("sparse_sign", "srht", "pht", "count_sketch", "gaussian")

Solution: TypeAlias = dict[str, Any]
"""What the core returns: arrays with a column for each right-hand side, and what happened on the way."""


def solve(
    A: Matrix,
    b: Float,
    *,
    seed: int,
    method: str = "auto",
    sample_weight: object = None,
    ridge: npt.ArrayLike = 0.0,
    ridge_name: str = "ridge",
    rcond: float | None = None,
    sketch: str | None = None,
    sketch_size: int | None = None,
    tol: float | None = None,
    max_iter: int | None = None,
    dtype_work: npt.DTypeLike | None = None,
    preconditioner: str | None = None,
    n_jobs: int | None = None,
    fit_intercept: bool = False,
    keep_factor: bool = False,
    certify: bool = False,
    progress: bool | Progress = False,
) -> Solution:
    """Check the options, call the core on arrays that are checked already, and warn of a fallback."""
    if preconditioner is not None:
        check_choice(preconditioner, "preconditioner", PRECONDITIONERS)
        if method != "fgmres_wlsir":
            raise InvalidInputError(
                f"`preconditioner` is {preconditioner!r}, expected None with method={method!r}: "
                "only 'fgmres_wlsir' takes one"
            )
    solution: Solution = _core.lstsq(
        A,
        b,
        method=check_choice(method, "method", METHODS),
        sample_weight=as_sample_weight(sample_weight, A.shape[0]),
        ridge=as_penalties(ridge, b.shape[1], ridge_name),
        rcond=None if rcond is None else check_real(rcond, "rcond", at_least=0.0, below=1.0),
        sketch=None if sketch is None else check_choice(sketch, "sketch", SKETCHES),
        sketch_size=None if sketch_size is None else check_int(sketch_size, "sketch_size", at_least=1),
        tol=None if tol is None else check_real(tol, "tol", above=0.0),
        max_iter=None if max_iter is None else check_int(max_iter, "max_iter", at_least=1),
        seed=seed,
        threads=resolve_threads(n_jobs),
        fit_intercept=fit_intercept,
        preconditioner=preconditioner,
        dtype_work=None if dtype_work is None else as_float_dtype(dtype_work, "dtype_work"),
        keep_factor=keep_factor,
        certify=check_bool(certify, "certify"),
        progress=resolve_progress(progress),
    )
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
    return solution


def verified(
    A: Matrix,
    b: Float,
    solution: Solution,
    *,
    sample_weight: object,
    ridge: npt.ArrayLike,
    rcond: float | None,
    seed: int,
    n_jobs: int | None,
) -> Solution:
    """Return what a second look tells of a solution; raise if it tells against it."""
    found: Solution = _core.verify(
        A,
        b,
        np.asarray(solution["x"], float),
        sample_weight=as_sample_weight(sample_weight, A.shape[0]),
        ridge=as_penalties(ridge, b.shape[1], "ridge"),
        rcond=rcond,
        seed=seed,
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


def certificate_of(solution: Solution, *, fit_intercept: bool = False, single: bool = False) -> Certificate:
    """Return the certificate of a solution: the worst of its right-hand sides."""
    problem = f"Karlson-Walden estimate, columns of A {solution['columns']}"
    if fit_intercept:
        problem += " after centring, which bounds that of the fit with its intercept"
    sketched, iterated = solution["method"] in ("spir", "fossils"), solution["method"] == "lsmr"
    source, notes = "a factor R of A whose condition was checked and the residual of the returned x", []
    if sketched:
        source = "R of the sketch and the residual of the returned x"
        notes.append("holds if the sketch embeds the columns of A")
    elif iterated:
        source = "a bidiagonalisation restarted from the returned x"
        notes.append("the estimate lacks what more iterations would have added, the bound does not")
    forward, second = solution["forward"] or {}, solution.get("verification")
    if second is not None:
        notes.append(verdict(second, solution))
    if forward and forward["objection"] is not None:
        notes.append(f"no bounds for coefficients: {forward['objection']}")
    elif forward and (rank := solution["rank"]) is not None and rank < (d := len(solution["x"])):
        notes.append(f"rank {rank} of {d}: bounds are for the directions that were kept")
    quantity = "backward error / |A|_F"
    if solution["cut"] > 0.0:
        quantity += " of the truncated problem"
        notes.insert(0, truncation(solution))
    return Certificate(
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
            "condition": float(solution["condition"]),
            "redraws": int(solution["redraws"]),
            **({"cut": float(solution["cut"])} if solution["cut"] > 0.0 else {}),
            **forward_details(forward, solution, single=single),
            **({} if second is None else {"verified": {k: second[k] for k in VERIFIED}}),
        },
    )


def truncation(solution: Solution) -> str:
    """Return what was cut off, and what that means for the error."""
    return (
        f"rank {solution['rank']}: directions of A of {solution['cut']:.1e} |A|_F were cut off, "
        "and the backward error for A itself is larger by that at most"
    )


def verdict(second: Solution, solution: Solution) -> str:
    """Return what a second look that found no fault amounts to."""
    if math.isnan(max(second["bound"], default=0.0)):
        return "a fresh sketch finds no fault but proves nothing at this condition"
    rank = "" if solution["rank"] in (None, second["rank"]) else f", where A has rank {second['rank']}"
    return f"at most {max(second['bound'], default=0.0):.1e} by a fresh sketch{rank}"


def forward_details(forward: Solution, solution: Solution, *, single: bool) -> Solution:
    """Return what is known of forward errors as numbers and lists; nothing if it was not asked for."""
    if not forward:
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


def as_penalties(ridge: npt.ArrayLike, columns: int, name: str = "ridge") -> npt.NDArray[np.float64]:
    """Return one penalty for all right-hand sides, or one for each."""
    given: object = ridge
    if given is None or isinstance(given, str | Real) or getattr(given, "shape", None) == ():
        return np.array([check_real(ridge, name, at_least=0.0)])
    penalties: npt.NDArray[np.float64] = as_vector(ridge, name)  # type: ignore[assignment]
    if len(penalties) not in (1, columns):
        raise ShapeError(
            f"`{name}` has length {len(penalties)}, expected one number"
            + f" or {columns}, one for each target" * (columns > 1)
        )
    check_finite(penalties, name)
    if penalties.min() < 0.0:
        raise InvalidInputError(f"`{name}` has {penalties.min()}, expected no negative penalty")
    return penalties
