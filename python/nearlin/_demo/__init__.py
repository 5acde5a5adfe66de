"""The demonstration behind ``python -m nearlin``.

One block or more for each column. A block names its methods; each of them runs in a process of its own, which
builds the data from a small source, runs the method once and reports its seconds and peak memory. A judge, in
one more process, looks at the data once and leaves what is needed to measure the error of every answer,
nearlin's and the peers', by the same independent rule.
"""

from __future__ import annotations

from nearlin._demo.block import Block, Unavailable, show
from nearlin._demo.completion import COMPLETION
from nearlin._demo.quantiles import QUANTILES
from nearlin._demo.recommendation import RECOMMENDATION
from nearlin._demo.regression import REGRESSION
from nearlin._demo.sketch_and_solve import SKETCH_AND_SOLVE
from nearlin._demo.streaming_pca import STREAMING_PCA
from nearlin._demo.streaming_words import STREAMING_WORDS
from nearlin._demo.truncated_svd import TRUNCATED_SVD

__all__ = ["BLOCKS", "Block", "Unavailable", "show"]

BLOCKS: tuple[Block, ...] = (
    REGRESSION,
    SKETCH_AND_SOLVE,
    TRUNCATED_SVD,
    STREAMING_PCA,
    STREAMING_WORDS,
    QUANTILES,
    COMPLETION,
    RECOMMENDATION,
)
