"""How the processor rounds on this thread."""

import ctypes
import mmap
import platform
import sys
from contextlib import contextmanager

import pytest

__all__ = ["denormals_flushed", "machine_code"]

machine_code = pytest.mark.skipif(
    platform.machine() != "x86_64" or not sys.platform.startswith("linux"), reason="machine code"
)

BOTH, TO_ZERO, ARE_ZERO = 0x8040, 0x8000, 0x0040


@contextmanager
def denormals_flushed(bits=BOTH):
    """Set modes that flush denormals on this thread, by machine code (stmxcsr, or/and, ldmxcsr)."""

    def run(operation, operand):
        code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        changed = bytes([operation]) + operand.to_bytes(4, "little")
        code.write(bytes.fromhex("0fae5c24fc 8b4424fc") + changed + bytes.fromhex("894424fc 0fae5424fc c3"))
        ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()

    run(0x0D, bits)
    try:
        yield
    finally:
        run(0x25, 0xFFFFFFFF ^ bits)
