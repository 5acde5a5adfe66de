"""A method in a process of its own: its answer, its seconds, and the most memory that it held above the data.

Peak memory is the kernel's own high-water mark of resident memory, reset when the data stand (Linux), else
the one that getrusage reports; either sees what every library allocates, threads and their buffers included.
"""

from __future__ import annotations

import io
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from nearlin._demo.block import Arrays

__all__ = ["Failure", "Measured", "memory_probe", "run"]


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
    command = [sys.executable, "-m", "nearlin._demo.process", block, method]
    done = subprocess.run(command, input=_pack(source), capture_output=True, check=False)
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise Failure("failed: " + "".join(last or [f"exit status {done.returncode}"]))
    arrays = _unpack(done.stdout)
    memory = int(arrays.pop("memory"))
    return Measured(
        certificate=str(arrays.pop("certificate")),
        seconds=float(arrays.pop("seconds")),
        memory=None if memory < 0 else memory,
        arrays=arrays,
    )


def _child(block_name: str, method: str) -> None:
    from nearlin._demo import BLOCKS

    block = next(block for block in BLOCKS if block.name == block_name)
    data = block.build(_unpack(sys.stdin.buffer.read()))
    if method == "judge":
        result: dict[str, Any] = {**block.judge(data), "certificate": "", "seconds": 0.0, "memory": -1}
    else:
        solve = block.methods[method]()
        peak = memory_probe()
        start = time.perf_counter()
        arrays, certificate = solve(data)
        seconds = time.perf_counter() - start
        result = {**arrays, "certificate": certificate, "seconds": seconds, "memory": peak()}
    sys.stdout.buffer.write(_pack(result))


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


def _pack(arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _unpack(data: bytes) -> dict[str, Any]:
    with np.load(io.BytesIO(data)) as file:
        return {name: file[name] for name in file.files}


if __name__ == "__main__":
    _child(*sys.argv[1:])
