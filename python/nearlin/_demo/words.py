"""Words of Python source files: a matrix that grows by a row a file and a column a word."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from nearlin._demo.block import Unavailable, as_arrays
from nearlin._demo.process import Arrays

__all__ = ["IDENTIFIER", "Growth", "count_words", "growth", "source_files"]

PACKAGES = ("numpy", "scipy", "sklearn")
"""What is there wherever nearlin is."""
WORD = re.compile(r"[a-z]{3,}")
IDENTIFIER = re.compile(r"[a-z_][a-z_0-9]{2,}")


@dataclass(frozen=True)
class Growth:
    """A matrix whose first rows have nothing behind their `widths`."""

    matrix: Any
    widths: NDArray[np.int64]

    def so_far(self, rows: int) -> Any:
        """The matrix of the first rows, without a copy."""
        whole = self.matrix
        end = whole.indptr[rows]
        parts = whole.data[:end], whole.indices[:end], whole.indptr[: rows + 1]
        return sp.csr_array(parts, shape=(rows, int(self.widths[rows - 1])))

    def batch(self, start: int, stop: int) -> Any:
        """Rows that come after the first `start`, with all columns that are known by then."""
        return self.so_far(stop)[start:]


def source_files(step: int) -> list[Path]:
    """Every so many files of Python source of the packages that nearlin needs, package after package."""
    files: list[Path] = []
    for package in PACKAGES:
        spec = find_spec(package)
        folders = spec.submodule_search_locations if spec else None
        for folder in folders or []:
            files += sorted(Path(folder).rglob("*.py"))
    chosen = files[::step]
    if len(chosen) < 100:
        raise Unavailable(f"The sources of {', '.join(PACKAGES)} are not there: only {len(files)} files")
    return chosen


def count_words(files: Iterable[Path], pattern: re.Pattern[str] = WORD) -> Arrays:
    """How often each file has which words, numbered as they first appear."""
    known: dict[str, int] = {}
    counts: list[int] = []
    columns: list[int] = []
    ends, widths = [0], []
    for file in files:
        found = Counter(pattern.findall(file.read_text("utf-8", errors="replace").lower()))
        row = sorted((known.setdefault(word, len(known)), count) for word, count in found.items())
        columns += [column for column, _ in row]
        counts += [count for _, count in row]
        ends.append(len(columns))
        widths.append(len(known))
    kind = np.int32
    return as_arrays(
        counts=np.array(counts, kind),
        columns=np.array(columns, kind),
        ends=np.array(ends, kind),
        widths=np.array(widths, np.int64),
    )


def growth(counted: Arrays) -> Growth:
    """Rows of 1 + log of the counts, brought to length one."""
    weights = 1.0 + np.log(counted["counts"])
    ends = counted["ends"]
    squares = np.diff(np.concatenate([[0.0], np.cumsum(weights**2)])[ends])
    weights /= np.repeat(np.sqrt(squares), np.diff(ends))
    shape = len(ends) - 1, int(counted["widths"][-1])
    return Growth(sp.csr_array((weights, counted["columns"], ends), shape=shape), counted["widths"])
