"""Rows in single precision, sparse rows, threads, and what all of that may change."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from reference import streaming_instances as instances

from nearlin import StreamingPCA
from nearlin.exceptions import OrderWarning

SUMMARIES = ["block_power", "incremental", "auto", "oja"]
OTHERS = ["frequent_directions", "sketch", "gram", "adaoja"]
DTYPES = [np.float32, np.float64]


def stream(algorithm, **parameters):
    return StreamingPCA(algorithm=algorithm, random_state=0, **parameters)


def rows(n=1500, d=330, dtype=np.float64, density=None, seed=0):
    """Return a spike among noise, or few entries, and a few long rows that are full of them."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, d)) + 3.0 * rng.standard_normal((n, 1)) * instances.direction(rng, d)
    if density is not None:
        A *= rng.random((n, d)) < density
        A[rng.choice(n, 7, replace=False)] += 5.0 * rng.standard_normal((7, d))
    return A.astype(dtype)


def read(pca):
    return [pca.components_, pca.eigenvalues_, pca.singular_values_, np.float64(pca.gap_)]


def assert_same_bits(one, two):
    for left, right in zip(read(one), read(two), strict=True):
        assert_array_equal(left, right)


@pytest.mark.parametrize("algorithm", SUMMARIES)
@pytest.mark.parametrize("center", [False, True])
def test_single_precision_is_double_precision_to_rounding(algorithm, center):
    A = rows(dtype=np.float32) + np.float32(2.0 if center else 0.0)
    single, double = (stream(algorithm, center=center).fit(X) for X in (A, A.astype(np.float64)))
    assert single.components_.dtype == np.float32
    assert_allclose(single.components_, double.components_, atol=2e-4)
    assert_allclose(single.eigenvalues_, double.eigenvalues_, rtol=1e-3)
    assert single.n_heavy_rows_ == double.n_heavy_rows_


@pytest.mark.parametrize("algorithm", OTHERS)
def test_what_is_certified_or_merges_exactly_sums_up_in_double_precision(algorithm):
    A = rows(400, 40, np.float32)
    single, double = (stream(algorithm).fit(X) for X in (A, A.astype(np.float64)))
    assert_array_equal(single.components_, double.components_.astype(np.float32))


@pytest.mark.parametrize("algorithm", SUMMARIES + OTHERS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("d", "density"), [(50, 0.2), (2300, 0.004)])
def test_sparse_rows_and_dense_ones_are_the_same_bits(algorithm, dtype, d, density):
    if algorithm in ("gram", "sketch") and d > 50:
        pytest.skip("nothing depends on d")
    A = rows(360, d, dtype, density)
    dense = stream(algorithm).fit(A)
    for form in (sp.csr_array, sp.csc_matrix):
        assert_same_bits(stream(algorithm).fit(form(A)), dense)
    pieces, S = stream(algorithm), sp.csr_array(A)
    for first, last in ((0, 1), (1, 40), (40, 41), (41, 333), (333, 360)):
        pieces.partial_fit(S[first:last] if first % 2 else A[first:last])
    assert_same_bits(pieces, dense)
    weights = np.random.default_rng(1).random(360)
    assert_same_bits(
        stream(algorithm).fit(S, sample_weight=weights), stream(algorithm).fit(A, sample_weight=weights)
    )
    assert_same_bits(stream(algorithm, center=True).fit(S), stream(algorithm, center=True).fit(A))
    assert_same_bits(stream(algorithm, shuffle_buffer=20).fit(S), stream(algorithm, shuffle_buffer=20).fit(A))


@pytest.mark.parametrize("algorithm", SUMMARIES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_and_cuts_change_no_bit_of_wide_rows(algorithm, dtype):
    A = rows(2700, 540, dtype)
    expected = stream(algorithm, n_jobs=1).fit(A)
    for n_jobs in (2, 3, 8):
        assert_same_bits(stream(algorithm, n_jobs=n_jobs).fit(A), expected)
    pieces = stream(algorithm, n_jobs=2)
    for piece in np.split(A, [1, 100, 2000, 2063]):
        pieces.partial_fit(piece)
    assert_same_bits(pieces, expected)
    assert_same_bits(stream(algorithm, n_jobs=2).fit(np.asfortranarray(A)), expected)
    flipped = A * np.resize([1.0, -1.0, -1.0], (len(A), 1)).astype(dtype)
    assert_same_bits(stream(algorithm, n_jobs=2).fit(flipped), expected)


@pytest.mark.parametrize("algorithm", SUMMARIES)
def test_single_precision_in_any_unit(algorithm):
    A = rows(900, 310, np.float32)
    expected = stream(algorithm).fit(A)
    for power in (-90, -40, -10, 10, 40, 100):
        found = stream(algorithm).fit(np.ldexp(A, power))
        assert_array_equal(found.components_, expected.components_)
        assert_array_equal(found.singular_values_, np.ldexp(expected.singular_values_, power))
    v, _ = instances.truth(A.astype(np.float64))
    tiny = np.ldexp(A, -135)
    assert (np.abs(tiny) < np.finfo(np.float32).tiny).any()
    for X in (tiny, np.vstack([np.ldexp(A[:300], -120), np.ldexp(A[300:], 90)])):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OrderWarning)  # the short ones come first
            pca = stream(algorithm).fit(X)
        w, _ = instances.truth(X.astype(np.float64) / np.abs(X).max())
        assert np.isfinite(pca.components_).all()
        assert (pca.components_[0] @ w) ** 2 > (0.5 if algorithm == "oja" else 0.9)
    assert (expected.components_[0] @ v) ** 2 > (0.5 if algorithm == "oja" else 0.9)


@pytest.mark.parametrize("algorithm", SUMMARIES)
def test_blocks_of_another_precision_are_rounded_to_that_of_the_first(algorithm):
    A = rows(900, 310, np.float32)
    expected = stream(algorithm).fit(A)
    single = stream(algorithm).partial_fit(A[:100]).partial_fit(A[100:].astype(np.float64))
    assert_same_bits(single, expected)
    double = stream(algorithm).partial_fit(A[:100].astype(np.float64)).partial_fit(A[100:])
    assert_same_bits(double, stream(algorithm).fit(A.astype(np.float64)))
    large = stream(algorithm).partial_fit(A[:100]).partial_fit(1e100 * A[100:].astype(np.float64))
    v, _ = instances.truth(A[100:].astype(np.float64))
    assert (large.components_[0] @ v) ** 2 > (0.5 if algorithm == "oja" else 0.9)
    both = (
        stream(algorithm)
        .fit(A[:400])
        .merge(stream(algorithm).fit(A[400:].astype(np.float64)), approximate=True)
    )
    assert both.components_.dtype == np.float32
    assert both.n_samples_seen_ == 900


@pytest.mark.parametrize("dtype", DTYPES)
def test_rank_one_in_either_precision(dtype):
    rng = np.random.default_rng(1)
    u = rng.standard_normal(340)
    A = (rng.standard_normal((600, 1)) * u / np.linalg.norm(u)).astype(dtype)
    eps = np.finfo(dtype).eps
    for algorithm in SUMMARIES[:3]:
        pca = stream(algorithm, n_components=2).fit(A)
        assert abs(pca.components_[0] @ u) / np.linalg.norm(u) > 1 - 100 * eps
        assert pca.eigenvalues_[1] <= 1e3 * eps * pca.eigenvalues_[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("algorithm", SUMMARIES + OTHERS[:3])
def test_no_state_is_larger_than_it_says(algorithm, dtype):
    A = rows(700, 350, dtype)
    most = {"block_power": 88, "auto": 96, "incremental": 76}
    for memory in (None, 8 * 350 * 101, 8 * 350 * 115):
        if algorithm == "gram" and memory is not None:
            continue
        pca = stream(algorithm, memory=memory, sketch_size=30)
        for first in range(0, 700, 70):
            pca.partial_fit(A[first : first + 70])
            assert memory is None or pca.state_bytes_ <= memory
            assert pca.state_bytes_ <= 8 * 350 * most.get(algorithm, 1000) + 8 * 100


def test_a_second_pass_keeps_what_is_in_range():
    A = 1e160 * rows(300, 40)
    pca = stream("block_power", n_components=2).fit(A)
    pca.refine(A)
    assert np.isinf(pca.eigenvalues_).all()
    exact = stream("gram").fit(A / 1e160)
    assert_allclose(pca.singular_values_[0], 1e160 * exact.singular_values_[0], rtol=0.02)
    assert_allclose(pca.explained_variance_ratio_[0], exact.explained_variance_ratio_[0], rtol=0.05)
