"""Signals in the middle of a call, and what becomes of children."""

import os
import signal
import time
from contextlib import contextmanager

import pytest

__all__ = ["exit_code", "handled", "heard", "heard_by_a_copy", "interrupted"]

EARLY = 0.15
"""Seconds until an interrupt that is to come in the middle of work."""


@contextmanager
def handled(seconds, work):
    """Run `work` in a signal handler after so many seconds of the block."""
    former = signal.signal(signal.SIGALRM, lambda number, frame: work())
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


def interrupted(seconds, exception):
    """Raise an exception from a signal handler, once, after so many seconds of the block."""

    def interrupt():
        raise exception

    return handled(seconds, interrupt)


def heard(work):
    """Return how long after Ctrl-C, early in it, work ended that is done again and again."""

    def again():
        while True:
            work()

    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt), interrupted(EARLY, KeyboardInterrupt):
        again()
    return time.perf_counter() - start - EARLY


def heard_by_a_copy(original, work):
    """Return `heard` of work on ever new copies, and the copy that was interrupted."""
    copies = []

    def again():
        copies.append(original.copy())
        work(copies[-1])

    return heard(again), copies[-1]


def exit_code(child, seconds):
    """Return what a child ended with; None after so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None
