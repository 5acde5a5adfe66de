"""Signals in the middle of a call."""

import signal
from contextlib import contextmanager

__all__ = ["interrupted"]


@contextmanager
def interrupted(seconds, exception):
    """Raise an exception from a signal handler, once, after so many seconds of the block."""

    def interrupt(number, frame):
        raise exception

    former = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
