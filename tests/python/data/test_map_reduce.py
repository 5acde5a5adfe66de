"""Leaves of blocks, merged in a fixed tree: the same bits on any number of threads."""

import threading
import time
import weakref
from itertools import chain

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import nearlin
from nearlin.data import blocks
from nearlin.distributed import merge_tree
from nearlin.exceptions import InvalidInputError


def tree_of_levels(leaves, merge, fan_in=4):
    """Return what a tree makes that has all of a level at once."""
    level = list(leaves)
    while len(level) > 1:
        cuts = [level[k : k + fan_in] for k in range(0, len(level), fan_in)]
        level = [merge(part) if len(part) > 1 else part[0] for part in cuts]
    return level[0]


def bracketed(parts):
    return f"({' '.join(parts)})"


@given(st.integers(1, 400))
def test_leaf_by_leaf_is_level_by_level(n):
    leaves = [str(k) for k in range(n)]
    assert merge_tree(iter(leaves), bracketed) == tree_of_levels(leaves, bracketed)


def test_no_leaves_and_one():
    with pytest.raises(InvalidInputError, match="at least one leaf"):
        merge_tree([], bracketed)
    leaf = object()
    assert merge_tree([leaf], bracketed) is leaf


def test_few_leaves_are_alive():
    class Leaf:
        pass

    alive, most = weakref.WeakSet(), 0

    def leaves():
        nonlocal most
        for _ in range(1000):
            leaf = Leaf()
            alive.add(leaf)
            most = max(most, len(alive))
            yield leaf
            del leaf

    merge_tree(leaves(), lambda parts: Leaf())
    assert most <= 6


def leaf(block):
    return nearlin.StreamingLeastSquares(rng=0).partial_fit(
        block.X, block.y, sample_weight=block.sample_weight, row_offset=block.start, n_jobs=1
    )


def merged(streams):
    whole = streams[0].copy()
    for stream in streams[1:]:
        whole.merge(stream, n_jobs=1)
    return whole


def test_the_same_bits_on_any_number_of_threads():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((20_000, 5))
    rows = blocks(A, target=A @ np.ones(5), sample_weight=rng.uniform(1, 2, 20_000), block_bytes=20_000)
    found = [rows.map_reduce(leaf, merged, n_jobs=n_jobs).to_bytes() for n_jobs in (1, 2, 3, 8)]
    assert found == [tree_of_levels(map(leaf, rows), merged).to_bytes()] * 4
    whole = nearlin.StreamingLeastSquares.from_bytes(found[0])
    assert whole.covered == (range(20_000),)
    assert rows.map_reduce(lambda block: {threading.get_ident()}, lambda parts: set().union(*parts), n_jobs=3)


@pytest.mark.parametrize("n_jobs", [1, 2, 4])
def test_an_iterator_may_write_all_blocks_to_the_same_array(n_jobs):
    room, weights = np.empty((100, 3)), np.empty(100)

    def items():
        for number in range(20):
            room[:], weights[:] = number, number
            yield room, room[:, 0], weights

    def leaf(block):
        time.sleep(0.002)  # so that the next ones are read
        return [block.X[0, 0], block.X[-1, 2], block.y[50], block.sample_weight[50]]

    def merged(parts):
        return [*chain(*parts)]

    found = blocks(items()).map_reduce(leaf, merged, n_jobs=n_jobs)
    assert found == [float(number) for number in range(20) for _ in range(4)]


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_an_exception_that_ends_iterators_does_not_end_the_rows(n_jobs):
    def leaf(block):
        if block.start >= 500:
            next(iter(()))
        return len(block.X)

    with pytest.raises((StopIteration, RuntimeError)):
        blocks(np.ones((1000, 2)), block_bytes=160).map_reduce(leaf, sum, n_jobs=n_jobs)


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_an_error_of_a_leaf_of_a_merge_and_of_the_rows_comes_through(n_jobs):
    A = np.ones((1000, 2))
    rows = blocks(A, block_bytes=160)

    def bad_leaf(block):
        if block.start == 500:
            raise KeyError("half-way")
        return block.start

    def bad_merge(parts):
        raise KeyError("at once")

    for make, merge in ((bad_leaf, max), (lambda block: block.start, bad_merge)):
        with pytest.raises(KeyError):
            rows.map_reduce(make, merge, n_jobs=n_jobs)
    once = blocks(iter([A, A[:, :1]]))
    with pytest.raises(InvalidInputError, match="block 1"):
        once.map_reduce(lambda block: 1, sum, n_jobs=n_jobs)
    with pytest.raises(InvalidInputError, match="`source` has no rows, expected at least one"):
        blocks(A[:0]).map_reduce(leaf, merged, n_jobs=n_jobs)
