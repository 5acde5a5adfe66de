"""Too little memory is a MemoryError of the library's, in children whose address space is limited."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BEYOND = """
import numpy as np, nearlin
from scipy.sparse.linalg import LinearOperator

far = 2**40
Z = np.broadcast_to(np.ones((2, 1)), (2, far))
operator = LinearOperator((60, far), matvec=None, rmatvec=None, dtype=float)
try:
    {call}
except nearlin.exceptions.AllocationError:
    print("refused", nearlin.lstsq(np.eye(2), np.ones(2)).x)
"""


MEMORY = Path(__file__).with_name("memory.py")


def run(*arguments, timeout=110):
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=timeout, check=False
    )


@pytest.mark.fork
@pytest.mark.parametrize(
    "call",
    [
        "nearlin.lstsq(Z, np.ones(2))",
        "nearlin.lstsq(Z.view(np.int64), np.ones(2))",
        "nearlin.lstsq(np.broadcast_to(np.ones((3, 1)), (3, far))[::2], np.ones(2))",
        "nearlin.lstsq(np.ones((2, 1)), Z)",
        "nearlin.lstsq(operator, np.ones(60))",
        "nearlin.sketch.PHT(4, rng=0).apply(Z)",
    ],
)
def test_a_shape_beyond_any_memory_is_refused(call):
    child = run("-c", BEYOND.format(call=call))
    assert child.stdout == "refused [1. 1.]\n", child.stderr


@pytest.mark.fork
def test_sketches_on_one_thread_short_of_memory_raise_and_leave_their_state_alone():
    calls = ["apply srht big m", "apply pht big chunk", "accumulate pht", "transposed pht"]
    child = run(MEMORY, "3", "1", "20000", "1", *calls)
    assert child.returncode == 0, child.stdout + child.stderr


@pytest.mark.fuzz
@pytest.mark.fork
@pytest.mark.timeout(7200)
def test_every_call_short_of_memory_answers_or_raises():
    limits, seed = os.environ.get("NEARLIN_FUZZ_CASES", "24"), os.environ.get("NEARLIN_FUZZ_SEED", "0")
    child = run(MEMORY, limits, seed, timeout=7100)
    assert child.returncode == 0, child.stdout + child.stderr
