"""What a column shows, and the table in which it shows it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nearlin._demo.process import Answer, Arrays, Failure, Measured, run

__all__ = ["Block", "Unavailable", "as_arrays", "show"]


class Unavailable(Exception):
    """The data of a block cannot be had here; the message says how to get them."""


@dataclass(frozen=True)
class Block:
    """A part of the demonstration: one thing that a column does.

    Parameters
    ----------
    name : str
        The column, or what of it is shown.
    error : str
        Heading of the error that is measured.
    source : callable
        ``source(quick)`` gives the small arrays from which every process
        builds its data; raises `Unavailable`.
    build : callable
        ``build(source)`` gives the data, whatever the methods take.
    about : callable
        ``about(source)`` gives the paragraph above the table.
    methods : mapping
        ``methods[name]()`` imports what the method needs and gives a function from the data to an
        `Answer`; only that function is measured.
    judge : callable
        ``judge(data)`` gives the arrays that `measure` needs.
    measure : callable
        ``measure(judged, answer)`` gives the true error of an answer.
    remarks : callable
        ``remarks(judged, measured)`` gives the paragraphs below the table.
    """

    name: str
    error: str
    source: Callable[[bool], Arrays]
    build: Callable[[Arrays], Any]
    about: Callable[[Arrays], str]
    methods: Mapping[str, Callable[[], Callable[[Any], Answer]]]
    judge: Callable[[Any], Arrays]
    measure: Callable[[Arrays, Arrays], float]
    remarks: Callable[[Arrays, Mapping[str, Measured]], list[str]]


def show(block: Block, *, quick: bool) -> None:
    """Run a block and print its table, each row as soon as it is known."""
    source = block.source(quick)
    print(textwrap.fill(block.about(source), 80, break_on_hyphens=False) + "\n")
    print(f"{'method':<26}", _cells("seconds", "memory", block.error, "certificate"))
    judged = run(block.name, "judge", source).arrays
    outcomes: dict[str, Measured] = {}
    for method in block.methods:
        print(f"{method:<26}", end=" ", flush=True)
        try:
            outcome = run(block.name, method, source)
        except Failure as failure:
            print(failure)
            continue
        outcomes[method] = outcome
        memory = "?" if outcome.memory is None else f"{outcome.memory / 1e6:,.0f} MB"
        error = block.measure(judged, outcome.arrays)
        print(_cells(f"{outcome.seconds:.3f}", memory, f"{error:.1e}", outcome.certificate))
    for paragraph in block.remarks(judged, outcomes):
        print("\n" + textwrap.fill(paragraph, 80, break_on_hyphens=False))


def _cells(seconds: str, memory: str, error: str, certificate: str) -> str:
    return f"{seconds:>8} {memory:>9} {error:>15}  {certificate}"


def as_arrays(**values: Any) -> Arrays:
    """Arrays out of numbers and arrays, by name."""
    return {name: np.asarray(value) for name, value in values.items()}
