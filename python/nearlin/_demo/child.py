"""What runs in the process of one method."""

from __future__ import annotations

import time
from multiprocessing.connection import Connection
from typing import Any

from nearlin._demo import BLOCKS
from nearlin._demo.process import Arrays, memory_probe

__all__ = ["main"]


def main(sender: Connection, block: str, method: str, source: Arrays) -> None:
    """Send what a method or the judge makes of the data, or what has gone wrong."""
    try:
        result: dict[str, Any] | str = outcome(block, method, source)
    except Exception as error:
        result = f"{type(error).__name__}: {error}".splitlines()[0]
    sender.send(result)


def outcome(block_name: str, method: str, source: Arrays) -> dict[str, Any]:
    """Return arrays, certificate, seconds and bytes."""
    block = next(block for block in BLOCKS if block.name == block_name)
    data = block.build(source)
    if method == "judge":
        return {"arrays": block.judge(data), "certificate": "", "seconds": 0.0, "memory": None}
    solve = block.methods[method]()
    peak = memory_probe()
    start = time.perf_counter()
    arrays, certificate = solve(data)
    seconds, memory = time.perf_counter() - start, peak()
    return {
        "arrays": arrays,
        "certificate": certificate,
        "seconds": seconds,
        "memory": None if memory < 0 else memory,
    }
