"""A method in a process of its own: its answer, its seconds, and the most memory that it held above the data.

Peak memory is the kernel's own high-water mark of resident memory, reset when the data stand (Linux), else
the one that getrusage reports; either sees what every library allocates, threads and their buffers included.
"""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Answer", "Arrays", "Failure", "Measured", "memory_probe", "pack", "run", "unpack"]

Arrays = Mapping[str, NDArray[Any]]
Answer = tuple[Arrays, str]
"""Arrays of an answer, and what its certificate says in a dozen letters."""


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
    command = [sys.executable, "-m", "nearlin._demo.child", block, method]
    done = subprocess.run(command, input=pack(source), capture_output=True, check=False)
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise Failure("failed: " + "".join(last or [f"exit status {done.returncode}"]))
    arrays = unpack(done.stdout)
    memory = int(arrays.pop("memory"))
    return Measured(
        certificate=str(arrays.pop("certificate")),
        seconds=float(arrays.pop("seconds")),
        memory=None if memory < 0 else memory,
        arrays=arrays,
    )


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


def pack(arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def unpack(data: bytes) -> dict[str, Any]:
    with np.load(io.BytesIO(data)) as file:
        return {name: file[name] for name in file.files}
