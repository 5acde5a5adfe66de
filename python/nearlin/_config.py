"""How many threads a call may use, which instructions its kernels, and where its progress goes."""

import math
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from operator import index
from typing import Any

from . import _core
from ._warn import warn
from .exceptions import InvalidInputError, InvalidTypeError

__all__ = [
    "Progress",
    "config_context",
    "get_config",
    "resolve_progress",
    "resolve_threads",
    "set_config",
    "show_config",
]

Progress = Callable[[int, int, Mapping[str, float]], object]
"""Called with the steps done, the most that there may be, and figures worth showing.

Neither number falls. The last call has both the same, except that rows which a stream wants no more are not
counted as done. As long as the steps in all are not known they are 0.
"""

MOST_THREADS = 1024
"""More threads than this are never used, whatever is asked for."""

FEW_OPERATIONS = 2e6
"""A fraction of a millisecond on one core."""

INSTRUCTION_SETS = ("portable", "avx2", "avx512")
"""What kernels are compiled for, from the narrowest on."""

_process_wide: dict[str, int | None] = {"num_threads": None}
_in_this_context: ContextVar[dict[str, int | None] | None] = ContextVar("nearlin_config", default=None)


def get_config() -> dict[str, int | None]:
    """Return the settings in force.

    Returns
    -------
    dict
        ``num_threads``: number of threads of a call that does not ask for one itself, or None when
        the environment decides.

    See Also
    --------
    config_context : Change settings for a while.
    set_config : Change settings for good.

    Examples
    --------
    >>> import nearlin
    >>> nearlin.get_config()
    {'num_threads': None}
    """
    return dict(_in_this_context.get() or _process_wide)


def set_config(*, num_threads: int | None) -> None:
    """Change the settings of this process.

    Parameters
    ----------
    num_threads : int or None
        Number of threads of a call that does not ask for one itself. Negative numbers count back from
        the default: -1 is all of them, -2 all but one. None leaves it to the environment:
        ``NEARLIN_NUM_THREADS``, ``OMP_NUM_THREADS``, ``RAYON_NUM_THREADS``, and at last the number of
        processors that this process may use.

    See Also
    --------
    config_context : Change settings for a while.

    Notes
    -----
    The number of threads never changes a result, only how long it takes.

    Examples
    --------
    >>> import nearlin
    >>> nearlin.set_config(num_threads=2)
    >>> nearlin.get_config()
    {'num_threads': 2}
    >>> nearlin.set_config(num_threads=None)
    """
    _process_wide["num_threads"] = _checked(num_threads)


@contextmanager
def config_context(*, num_threads: int | None) -> Generator[None]:
    """Change settings within a ``with`` block, in the present thread or task only.

    Parameters
    ----------
    num_threads : int or None
        As in :func:`set_config`.

    Examples
    --------
    >>> import nearlin
    >>> with nearlin.config_context(num_threads=1):
    ...     nearlin.get_config()
    {'num_threads': 1}
    """
    token = _in_this_context.set({"num_threads": _checked(num_threads)})
    try:
        yield
    finally:
        _in_this_context.reset(token)


def show_config() -> None:
    """Print what the answers of this process are computed with: what a report of a bug should have in it.

    ``instructions`` is the widest instruction set of this machine that the kernels know, or the one that the
    environment variable ``NEARLIN_ISA`` named when nearlin was imported: ``portable``, ``avx2`` or
    ``avx512``. It changes how long kernels take, and not one bit of what they give; but the matrix unit
    goes with ``avx512`` alone.

    ``matrix unit`` is what multiplies matrices of 128 columns and more, cut into digits, on the way to a
    factor: ``amx``, that of Intel's servers since Sapphire Rapids, under Linux and with AVX-512;
    ``none``, where there is none, Linux refuses it to this process or the environment has
    ``NEARLIN_AMX=0``; or ``emulated``, slowly, with ``NEARLIN_AMX=emulate``, for tests. It changes the
    bits of answers, as other hardware does, within what their certificates say. Linux is asked for it
    when a problem first has so many columns. It refuses while a thread has an alternate stack for signals
    of less than 12 kB, and refuses smaller ones from then on: programs that want these set
    ``NEARLIN_AMX=0``. ``wheel`` is the tag of what was installed.

    See Also
    --------
    get_config : The settings that a process may change.

    Examples
    --------
    >>> import nearlin
    >>> nearlin.show_config()  # doctest: +ELLIPSIS
    nearlin      ...
    wheel        ...
    instructions ...
    matrix unit  ...
    threads      ...
    python       ...
    numpy        ...
    scipy        ...
    scikit-learn ...
    platform     ...
    """
    import platform
    from importlib.metadata import PackageNotFoundError, distribution

    def installed(name: str) -> str:
        try:
            return distribution(name).version
        except PackageNotFoundError:
            return "not installed"

    def wheel() -> str:
        try:
            lines = (distribution("nearlin").read_text("WHEEL") or "").splitlines()
        except PackageNotFoundError:
            lines = []
        return " ".join(line.removeprefix("Tag: ") for line in lines if line.startswith("Tag: ")) or "none"

    shown = {
        "nearlin": _core.__version__,
        "wheel": wheel(),
        "instructions": _core.instruction_set(),
        "matrix unit": _core.matrix_unit(),
        "threads": resolve_threads(None),
        "python": platform.python_version(),
        **{name: installed(name) for name in ("numpy", "scipy", "scikit-learn")},
        "platform": platform.platform(),
    }
    for name, value in shown.items():
        print(f"{name:12} {value}")


def check_instruction_set() -> None:
    """Refuse a ``NEARLIN_ISA`` that is no name, and warn of one that this machine has not."""
    asked = os.environ.get("NEARLIN_ISA", "")
    if asked not in ("", *INSTRUCTION_SETS):
        raise InvalidInputError(f"NEARLIN_ISA is {asked!r}, expected 'portable', 'avx2' or 'avx512'")
    used = _core.instruction_set()
    if asked not in ("", used):
        message = f"NEARLIN_ISA is {asked!r}, which this machine has not: kernels use {used!r}"
        warn(message, RuntimeWarning)


def check_matrix_unit() -> None:
    """Refuse a ``NEARLIN_AMX`` that is no choice."""
    asked = os.environ.get("NEARLIN_AMX", "")
    if asked not in ("", "0", "1", "emulate"):
        raise InvalidInputError(f"NEARLIN_AMX is {asked!r}, expected '0', '1' or 'emulate'")


def resolve_threads(n_jobs: int | None, operations: float = math.inf) -> int:
    """Return the number of threads to use: ``n_jobs``, or the settings, or the environment.

    One, whatever is asked for, where there are so few operations that it takes longer to wake others.
    """
    wanted = _checked(n_jobs, "n_jobs")
    if operations <= FEW_OPERATIONS:
        return 1
    for requested in (wanted, get_config()["num_threads"]):
        if requested is not None:
            count = requested if requested > 0 else max(1, _default_threads() + 1 + requested)
            return min(count, MOST_THREADS)
    return min(_default_threads(), MOST_THREADS)


def resolve_progress(progress: "bool | Progress | None") -> Progress | None:
    """Return what to call with the progress made, or None for silence."""
    if progress is None or progress is False:
        return None
    if progress is True:
        return _Bar()
    if callable(progress):
        return progress
    raise InvalidTypeError(
        f"is of type {type(progress).__name__}, expected False, True or a callable that takes "
        "(done, total, figures)",
        argument="progress",
    )


def _checked(count: int | None, name: str = "num_threads") -> int | None:
    if count is None:
        return None
    try:
        count = index(count)
    except TypeError:
        raise InvalidTypeError(
            f"is of type {type(count).__name__}, expected an integer or None", argument=name
        ) from None
    if count == 0:
        raise InvalidInputError("is 0, expected a positive or a negative number, or None", argument=name)
    return count


def _default_threads() -> int:
    own = os.environ.get("NEARLIN_NUM_THREADS", "").strip()
    if own:
        if not own.isdecimal() or int(own) == 0:
            raise InvalidInputError(f"NEARLIN_NUM_THREADS is {own!r}, expected a positive integer")
        return int(own)
    # joblib and dask set the first in their workers; it may be a list, one number for each level.
    for variable in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS"):
        count = os.environ.get(variable, "").split(",")[0].strip()
        if count.isdecimal() and int(count) > 0:
            return int(count)
    return _core.usable_cpus()


class _Bar:
    """A tqdm bar that appears with the first step and closes with the last; a total of 0 is not known."""

    def __init__(self) -> None:
        try:
            from tqdm.auto import tqdm
        except ImportError:
            raise ImportError(
                "progress=True draws its bar with tqdm, which is not installed: "
                "pip install 'nearlin[progress]', or give a callable instead"
            ) from None
        self._tqdm = tqdm
        self._bar: Any = None

    def __call__(self, done: int, total: int, figures: Mapping[str, float]) -> None:
        if self._bar is None:
            self._bar = self._tqdm(total=total or None)
        self._bar.total = total or None
        self._bar.set_postfix({name: f"{value:.3g}" for name, value in figures.items()}, refresh=False)
        self._bar.update(done - self._bar.n)
        if 0 < total <= done:
            self._bar.close()
            self._bar = None


check_instruction_set()
check_matrix_unit()
