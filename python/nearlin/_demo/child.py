"""What runs in the process of one method: ``python -m nearlin._demo.child block method``."""

from __future__ import annotations

import sys
import time
from typing import Any

from nearlin._demo import BLOCKS
from nearlin._demo.process import memory_probe, pack, unpack

__all__ = ["main"]


def main(block_name: str, method: str) -> None:
    """Read a source from the standard input, and write what a method or the judge makes of its data."""
    block = next(block for block in BLOCKS if block.name == block_name)
    data = block.build(unpack(sys.stdin.buffer.read()))
    if method == "judge":
        result: dict[str, Any] = {**block.judge(data), "certificate": "", "seconds": 0.0, "memory": -1}
    else:
        solve = block.methods[method]()
        peak = memory_probe()
        start = time.perf_counter()
        arrays, certificate = solve(data)
        seconds = time.perf_counter() - start
        result = {**arrays, "certificate": certificate, "seconds": seconds, "memory": peak()}
    sys.stdout.buffer.write(pack(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
