"""A method in a process of its own: its answer, its seconds, and the most memory that it held above the data.

Peak memory is the kernel's own high-water mark of resident memory, reset when the data stand (Linux), else
the one that getrusage reports; either sees what every library allocates, threads and their buffers included.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

__all__ = ["Answer", "Arrays", "Failure", "Measured", "memory_probe", "run"]

Arrays = Mapping[str, NDArray[Any]]
Answer = tuple[Arrays, str]
"""Arrays of an answer, and what its certificate says in a dozen letters."""
CHILD = "nearlin._demo.child"
"""Knows all blocks, which know this file."""
PRELOADED = [CHILD, "scipy.linalg", "sklearn.decomposition", "sklearn.linear_model"]
"""What takes a second to import."""


class Failure(Exception):
    """The process ended without an answer."""


@dataclass(frozen=True)
class Measured:
    """What came out of a process: arrays, what the certificate said, seconds, and bytes if known."""

    arrays: Arrays
    certificate: str
    seconds: float
    memory: int | None


def run(block: str, method: str, source: Arrays) -> Measured:
    """Run a block's method, or its judge, in a new process."""
    context = _processes()
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, block, method, dict(source)), daemon=True)
    process.start()
    sender.close()
    try:
        result = receiver.recv()
    except EOFError:
        process.join()
        raise Failure(f"failed: exit status {process.exitcode}") from None
    process.join()
    if isinstance(result, str):
        raise Failure("failed: " + result)
    return Measured(**result)


def _child(*arguments: Any) -> None:
    import_module(CHILD).main(*arguments)


def _processes() -> Any:
    """New processes that are forked from one which has done nothing but import, where there are such."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def memory_probe() -> Callable[[], int]:
    """Start watching; the function returned gives the peak above now in bytes, -1 if unknown."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        return lambda: _status("VmHWM") - before
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return lambda: -1

    unit = 1 if sys.platform == "darwin" else 1024

    def high_water() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

    before = high_water()
    return lambda: high_water() - before


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field + ":"))
