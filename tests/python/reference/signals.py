"""Signals in the middle of a call, and what becomes of children."""

import linecache
import os
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

import nearlin

__all__ = ["exit_code", "handled", "heard", "heard_by_a_copy", "interrupted", "interrupted_everywhere"]

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
    """Return `heard` of work on ever new copies, and the copy whose work was interrupted."""
    begun, ended = [], []

    def again():
        begun.append(original.copy())
        work(begun[-1])
        ended.append(begun[-1])

    seconds = heard(again)
    # Between two of them there is nothing to see.
    return (seconds, begun[-1]) if len(begun) > len(ended) else heard_by_a_copy(original, work)


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


class InterruptAt:
    """Ctrl-C at the n-th line of the package that is come by."""

    PACKAGE = str(Path(nearlin.__file__).parent)

    def __init__(self, n):
        self.left = n

    def __enter__(self):
        self.former = sys.gettrace()
        sys.settrace(self.enter_frame)

    def __exit__(self, kind, error, trace):
        sys.settrace(self.former)
        return kind is KeyboardInterrupt

    def enter_frame(self, frame, event, argument):
        return self.step if frame.f_code.co_filename.startswith(self.PACKAGE) else None

    def step(self, frame, event, argument):
        if event in ("line", "return") and not leaves_a_with(frame):
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self.step


def leaves_a_with(frame):
    """True of a `with` statement that is come by once more, where no signal is heard before it has ended."""
    if not linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip().startswith("with "):
        return False
    return frame.f_lasti > min(start for start, _, line in frame.f_code.co_lines() if line == frame.f_lineno)


def interrupted_everywhere(make, work):
    """Yield what work was done on with Ctrl-C at its first line, its second one, and so on to its end."""
    done, place = False, 0
    while not done:
        subject, place = make(), place + 1
        with InterruptAt(place):
            work(subject)
            done = True
        yield subject
