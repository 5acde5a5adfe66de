"""Rows of files, frames, Arrow streams, arrays and iterators, in blocks, for whatever takes rows so."""

from ._blocks import Block, RowBlocks, blocks

__all__ = ["Block", "RowBlocks", "blocks"]
