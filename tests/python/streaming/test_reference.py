"""The oracle of streaming eigenvectors keeps to what is proved, and to the letter of its definitions."""

import math

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from reference import streaming as reference
from reference import streaming_instances as instances

SMALL = {"n": 3000, "d": 60}


def sine(u, v):
    return np.linalg.norm(u - v * (u @ v))


def energy(A):
    return A.T @ A


def uneven(rng, n, d):
    """Rows along three directions and a bit of noise, of lengths that differ by orders of magnitude."""
    A = rng.standard_normal((n, 3)) @ rng.standard_normal((3, d)) + 0.1 * rng.standard_normal((n, d))
    return A * 10.0 ** rng.uniform(-2, 2, (n, 1))


@hypothesis.given(st.integers(0, 1000), st.integers(1, 40), st.integers(2, 12), st.sampled_from([0, 1, -1]))
@hypothesis.settings(max_examples=40)
def test_growth_bounds_the_sine_in_any_order_and_at_any_rate(seed, n, d, order):
    rng = np.random.default_rng(seed)
    A, w = uneven(rng, n, d), instances.direction(rng, d)
    if order:
        A = A[np.argsort(order * np.linalg.norm(A, axis=1))]
    v, values = instances.truth(A)
    rates = 2.0 ** np.arange(-20, 21)
    W, growth = reference.oja(A, w, rates)
    for column, rate, grown in zip(W.T, rates, growth, strict=True):
        bound = reference.growth_bound(rate, values[1], grown, sine(w, v))
        assert sine(column, v) <= bound + 1e-7


@hypothesis.given(st.integers(0, 1000), st.floats(4.0, 30.0), st.floats(0.0, 1.0))
@hypothesis.settings(max_examples=60)
def test_a_stack_loses_little_and_parts_lose_more(seed, R, share):
    rng = np.random.default_rng(seed)
    A = instances.heavy(seed, 300, 20, R, share, 5)
    A = A[np.argsort(np.linalg.norm(A, axis=1) + rng.standard_normal(300))]
    v, values = instances.truth(A)
    cut = rng.integers(1, 300)
    light = reference.top(A[:cut], 1)
    u = reference.stack([light, A[cut:]])[0][0]
    assert sine(u, v) <= reference.stack_bound(values[0] / values[1]) + 1e-7
    parts = np.split(A, [cut // 2, cut])
    u = reference.stack([reference.top(part, 1) for part in parts])[0][0]
    assert sine(u, v) <= reference.merge_bound(values[0] / values[1], 3) + 1e-7


@hypothesis.given(st.integers(0, 1000), st.integers(2, 8), st.integers(0, 80))
@hypothesis.settings(max_examples=40)
def test_frequent_directions_keep_their_bound_and_merge(seed, l, cut):  # noqa: E741
    A = uneven(np.random.default_rng(seed), 80, 10)
    one, other = (reference.FrequentDirections(10, l).partial_fit(part) for part in (A[:cut], A[cut:]))
    s = np.linalg.svd(A, compute_uv=False) ** 2
    v, _ = instances.truth(A)
    for sketch in (one.merge(other), reference.FrequentDirections(10, l).partial_fit(A)):
        missing = np.linalg.eigvalsh(energy(A) - energy(sketch.B))
        assert -1e-9 * s[0] <= missing[0]
        assert missing[-1] <= sketch.delta + 1e-9 * s[0]
        assert all(sketch.delta <= s[k:].sum() / (l - k) + 1e-9 * s[0] for k in range(l))
        assert sine(sketch.top()[0][0], v) <= sketch.bound() + 1e-7


@pytest.mark.parametrize(
    "A",
    [
        instances.spike_in(0, "first", R=6.0, **SMALL),
        instances.spike_in(0, "last", R=6.0, **SMALL),
        instances.sorted_by_norm(0, R=6.0, **SMALL),
        instances.drift(0, R=15.0, **SMALL),
    ],
    ids=["first", "last", "sorted", "drift"],
)
def test_rates_that_start_late_do_as_well_as_those_that_ran_from_the_first_row(A):
    v, values = instances.truth(A)
    normal = reference.random_normal(0)
    lazy = reference.ladder(60, normal).partial_fit(A)
    late = lazy.light
    rungs = range(int(late.j[-1]), math.floor(math.log2(2 / late.largest)) + 1)
    full = reference.ladder(60, normal, rungs=rungs).partial_fit(A)
    a, b = (reference.correlation(ladder.top()[0][0], v) for ladder in (lazy, full))
    assert abs(a - b) < 0.1
    assert min(a, b) > 0.7
    assert late.certified(values[1]) == full.light.certified(values[1])
    assert late.certified(0.0)


METHODS = {
    "block power": lambda d, normal: reference.block_power(d, normal, block=64),
    "auto": reference.auto,
    "auto by iteration": lambda d, normal: reference.auto(d, normal, steps=4),
}
INSTANCES = {
    "spiked": lambda: instances.spiked(1, variance=5.0, **SMALL),
    "heavy": lambda: instances.heavy(1, **SMALL),
    "heavy decoys": lambda: instances.heavy(1, share=0.0, count=0, decoys=20, **SMALL),
    "commuting": lambda: instances.commuting(1, 300),
    "decoys": lambda: instances.decoys(1, 3000, 80, 20),
}


@pytest.mark.parametrize("instance", INSTANCES)
def test_random_order(instance):
    A = INSTANCES[instance]()
    n, d = A.shape
    v, values = instances.truth(A)
    for name, method in METHODS.items():
        stream = method(d, reference.random_normal(1))
        for rows in np.split(A, [5, 40, n // 3]):
            stream.partial_fit(rows)
        u, value = stream.top()
        assert reference.correlation(u[0], v) > 0.98, name
        np.testing.assert_allclose(value, values[0], rtol=0.2)
        again = method(d, reference.random_normal(1)).partial_fit(A).top()
        np.testing.assert_array_equal(u, again[0])
    for sample in (None, 100.0):
        u, _ = reference.kacham_woodruff(A, reference.random_normal(1), sample=sample)
        assert 1 - reference.correlation(u[0], v) <= math.sqrt(values[1] / values[0])


def test_several_eigenvectors():
    A = instances.power_law(0, exponent=2.0, **SMALL)
    s, Vt = np.linalg.svd(A, full_matrices=False)[1:]
    stream = reference.block_power(60, reference.random_normal(0), k=3).partial_fit(A)
    vectors, values = stream.top(3)
    np.testing.assert_allclose(values, s[:3] ** 2, rtol=0.1)
    assert np.linalg.svd(vectors @ Vt[:3].T)[1][-1] ** 2 > 0.98


def test_what_the_others_miss():
    normal = reference.random_normal(0)
    A = instances.decoys(0, 3000, 100, 40)
    v, _ = instances.truth(A)
    alone = reference.Stream(reference.Incremental(100, 8, normal), 0).partial_fit(A)
    assert reference.correlation(alone.top()[0][0], v) < 0.05
    A = instances.commuting(0, 600, copies=4)
    v, _ = instances.truth(A)
    W, _ = reference.oja(A, instances.direction(np.random.default_rng(0), 600), 2.0 ** np.arange(-2, 4))
    assert np.max((v @ W) ** 2) < 0.1


def test_a_few_long_rows_in_a_late_block_do_not_wipe_out_what_is_held():
    A = instances.decoys(1, 6000, 120, 40)
    v, _ = instances.truth(A)
    stream = reference.block_power(120, reference.random_normal(101)).partial_fit(A)
    assert reference.correlation(stream.top()[0][0], v) > 0.999


def test_rows_on_axes_that_the_basis_misses():
    A = np.repeat(np.eye(40)[[0, 20, 30]], [400, 700, 400], axis=0)
    stream = reference.block_power(40, reference.random_normal(0)).partial_fit(A)
    assert stream.light.draws == 2
    assert np.linalg.norm(stream.top()[0]) == pytest.approx(1.0)
    u, value = reference.auto(40, reference.random_normal(0)).partial_fit(A).top()
    np.testing.assert_allclose([u[0, 20], value[0]], [1.0, 700.0], rtol=1e-12)


def test_shuffled_rows_look_shuffled():
    for A, suspect in (
        (instances.spiked(0, 6000, 60, 5.0), False),
        (instances.spike_in(0, "first", 6000, 60, 8.0), True),
    ):
        light = reference.block_power(60, reference.random_normal(0)).partial_fit(A).light
        assert (light.order_statistic() > 6) == suspect


def test_energy_out_of_sample():
    A = instances.spiked(0, 6000, 60, 5.0)
    _, values = instances.truth(A)
    stream = reference.block_power(60, reference.random_normal(0)).partial_fit(A)
    found, width = stream.light.rayleigh(np.array(stream.heap.rows()))
    assert abs(found - values[0]) < 2 * width < 0.5 * values[0]


@pytest.mark.parametrize("sizes", [(3000,), (1500, 1500), (2950, 50), (20, 2980), (20, 30)])
def test_streams_merge(sizes):
    A = instances.spiked(2, sum(sizes), 60, 20.0)
    v, values = instances.truth(A)
    normal, parts = reference.random_normal(0), np.split(A, np.cumsum(sizes)[:-1])
    streams = [reference.block_power(60, normal).partial_fit(part) for part in parts]
    for other in streams[1:]:
        streams[0] = reference.merge(streams[0], other)
    u, value = streams[0].top()
    assert streams[0].n == len(A)
    assert reference.correlation(u[0], v) > 0.99
    np.testing.assert_allclose(value, values[0], rtol=0.1)


def test_linear_sketches_add_and_subtract():
    A = instances.spiked(0, 300, 20, 40.0)
    v, _ = instances.truth(A)
    one, other, both = (reference.Sketch(20, 8, reference.random_normal(0)) for _ in range(3))
    one.partial_fit(A[:100]).merge(other.partial_fit(A[100:]))
    both.partial_fit(A).partial_fit(A[:50]).partial_fit(A[:50], -1.0)
    np.testing.assert_allclose(one.Y, both.Y, atol=1e-12 * np.linalg.norm(one.Y))
    assert reference.correlation(one.top()[0][0], v) > 0.95
    rank_one = reference.Sketch(20, 8, reference.random_normal(0)).partial_fit(np.outer(A[:, 0], v))
    assert reference.correlation(rank_one.top()[0][0], v) > 1 - 1e-10


def test_heavy_rows_are_the_longest_and_of_equals_the_first():
    A = np.random.default_rng(0).integers(-2, 3, (200, 4)).astype(float)
    heap = reference.Heap(10)
    light = np.vstack([heap.push(rows) for rows in np.split(A, 8)])
    order = np.lexsort((np.arange(200), -(A**2).sum(axis=1)))
    np.testing.assert_array_equal(heap.rows(), A[np.sort(order[:10])])
    np.testing.assert_array_equal(energy(light), energy(A[order[10:]]))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "A",
    [
        np.random.default_rng(0).standard_normal((60, 90)),
        np.outer(np.arange(300.0), np.arange(20.0)),
        np.outer(np.ones(300), [3.0]),
        np.eye(900)[np.arange(900) % 31] * np.where(np.arange(900) % 31 == 7, 3, 1)[:, None],
        np.zeros((200, 5)),
    ],
    ids=["few", "rank one", "one column", "axes", "zeros"],
)
def test_instances_without_noise(A, method):
    u, value = METHODS[method](A.shape[1], reference.random_normal(0)).partial_fit(A).top()
    true = np.linalg.norm(A, 2) ** 2
    np.testing.assert_allclose([np.linalg.norm(A @ u[0]) ** 2, value[0]], true, rtol=1e-12)
    assert np.linalg.norm(u) == pytest.approx(float(true > 0))
