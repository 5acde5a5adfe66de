"""Signals in the middle of a call, and what becomes of children."""

import os
import signal
import time
from contextlib import contextmanager

__all__ = ["exit_code", "handled", "interrupted"]


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
