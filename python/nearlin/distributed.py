"""Merging in a fixed tree: in the same order, whoever made what is merged, and however late it comes."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from .exceptions import InvalidInputError

__all__ = ["merge_tree"]

T = TypeVar("T")

FAN_IN = 4
"""Of other trees results have other bits."""


def merge_tree(leaves: Iterable[T], merge: Callable[[list[T]], T]) -> T:
    """Merge leaves by fours, what comes of that by fours, and so on.

    Parameters
    ----------
    leaves : iterable
        What is to be merged, in order: states, their bytes, or futures of either. An iterator is read one
        leaf at a time, and at most three of each level of the tree are kept.
    merge : callable
        Takes a list of two to four of them and returns what they are together.

    Returns
    -------
    object
        What all are together; a single leaf as it is.

    Raises
    ------
    InvalidInputError
        If there are no leaves.

    Notes
    -----
    Sums of floating-point numbers depend on their order. That of this tree depends on the number of leaves
    alone, and not on workers, on when they are ready, or on whether one of them had to be made twice.

    Examples
    --------
    >>> from nearlin.distributed import merge_tree
    >>> merge_tree("abcdefghi", lambda parts: "(" + "".join(parts) + ")")
    '((abcd)(efgh)i)'
    """
    levels: list[list[T]] = [[]]
    for leaf in leaves:
        _add(levels, 0, leaf, merge)
    for level in range(len(levels)):
        rest = levels[level]
        if rest and (level + 1 < len(levels) or len(rest) > 1):
            levels[level] = []
            _add(levels, level + 1, rest[0] if len(rest) == 1 else merge(rest), merge)
    rest = [value for level in levels for value in level]
    if not rest:
        raise InvalidInputError("is empty, expected at least one leaf", argument="leaves")
    (whole,) = rest
    return whole


def _add(levels: list[list[T]], level: int, value: T, merge: Callable[[list[T]], T]) -> None:
    """Put a value into a level, of which four become one of the next."""
    while True:
        if level == len(levels):
            levels.append([])
        levels[level].append(value)
        if len(levels[level]) < FAN_IN:
            return
        value, levels[level] = merge(levels[level]), []
        level += 1
