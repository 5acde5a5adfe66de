"""``python -m nearlin``: each column of nearlin at work on real data, beside its peers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from nearlin._demo import BLOCKS, Unavailable, show
from nearlin._demo.plot import PICTURES, plot


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command line without the program's name; ``sys.argv[1:]`` by default.

    Returns
    -------
    int
        Exit status: 1 if the data cannot be had, else 0.
    """
    parser = argparse.ArgumentParser(
        prog="python -m nearlin", description="Run nearlin and its peers on real data."
    )
    names = [block.name for block in BLOCKS]
    parser.add_argument(
        "columns", nargs="*", metavar="column", help=f"what to run (default: all of {', '.join(names)})"
    )
    parser.add_argument("--quick", action="store_true", help="a part of the data, in a few seconds")
    parser.add_argument(
        "--plot",
        metavar="FILE",
        help=f"instead, draw the picture (png, svg, pdf) of {' or '.join(PICTURES)}, the first by default",
    )
    options = parser.parse_args(arguments)
    for unknown in set(options.columns) - set(names):
        parser.error(f"no column {unknown!r}; there are: {', '.join(names)}")
    try:
        if options.plot:
            picture = next((name for name in options.columns if name in PICTURES), next(iter(PICTURES)))
            plot(picture, options.plot, quick=options.quick)
            return 0
        chosen = [block for block in BLOCKS if not options.columns or block.name in options.columns]
        for i, block in enumerate(chosen):
            print("\n" * (i > 0), end="")
            show(block, quick=options.quick)
    except Unavailable as reason:
        print(reason, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
