"""Intervals of sketch-and-solve hold what they say: coverage over seeds, pooled over the coefficients."""

import math

import numpy as np
import pytest
from reference import sketch_and_solve as reference
from reference.sparse import scattered

from nearlin import lstsq, sketch_and_solve

pytestmark = [pytest.mark.guarantee, pytest.mark.timeout(600)]

N, D, M, DRAWS = 8192, 16, 512, 400
"""Eight chunks of 1024 rows for the pooled transform, sixteen rows for one of the sketch."""


def noisy(A, noise=None):
    return A, A @ np.ones(A.shape[1]) + (normals(A.shape[0]) if noise is None else noise)


def normals(*shape):
    return np.random.default_rng(len(shape)).standard_normal(shape)


def photographs():
    """The green of a pixel from those around it and a constant, a patch of 8 x 8 a row."""
    pytest.importorskip("PIL")
    from nearlin._demo.photographs import patches
    from nearlin._demo.photographs import photographs as load

    green = np.concatenate(list(patches(load(8))))[:, 1::3]
    return np.column_stack([np.delete(green, 36, axis=1), np.ones(len(green))]), green[:, 36]


def sparse():
    return noisy(scattered((N, D), 0.05))


def heavy_tailed():
    rng = np.random.default_rng(0)
    return noisy(rng.standard_t(1.5, (N, D)), rng.standard_t(1.5, N))


def one_chunk():
    A, b = np.zeros((N, D)), np.zeros(N)
    A[:1024], b[:1024] = noisy(normals(1024, D))
    return A, b


SPREAD = {"Gaussian": lambda: noisy(normals(N, D)), "photographs": photographs, "sparse": sparse}
CONCENTRATED = {
    "coherent": lambda: reference.spikes(N, D, M // D, np.random.default_rng(0))[:2],
    "blocks": lambda: reference.blocks(N, D, N // D)[:2],
    "heavy-tailed": heavy_tailed,
    "one chunk": one_chunk,
}


def coverage(A, b, sketch):
    """Shares of coefficients within their intervals, and of draws with all within the simultaneous ones."""
    exact = lstsq(A, b, rng=0).x
    single, all_of_them = [], []
    for seed in range(DRAWS):
        result = sketch_and_solve(A, b, sketch=sketch, sketch_size=M, rng=seed, n_jobs=1)
        error = abs(result.x - exact)
        single.append(error <= result.half_width)
        all_of_them.append(np.all(error <= result.simultaneous_half_width))
    return np.mean(single), np.mean(all_of_them)


@pytest.mark.parametrize("instance", [*SPREAD, *CONCENTRATED])
@pytest.mark.parametrize("sketch", ["pht", "srht", "pht_normals"])
def test_coverage_of_transforms(sketch, instance):
    A, b = {**SPREAD, **CONCENTRATED}[instance]()
    assert A.shape[0] >= 16 * M
    single, all_of_them = coverage(A, b, sketch)
    assert single >= 0.93
    assert all_of_them >= 0.9
    if instance in SPREAD:
        assert single <= 0.97


def test_coverage_of_normal_weights_in_one_chunk():
    """Pools of eight rows have larger errors than a Gaussian sketch, and intervals as much wider."""
    single, all_of_them = coverage(*noisy(normals(8 * M, D)), "pht_normals")
    noise = 3 * math.sqrt(0.05 * 0.95 / DRAWS)
    assert 0.93 <= single <= 0.97
    assert all_of_them >= 0.95 - noise


def test_coverage_of_a_gaussian_sketch():
    """One small instance stands for all: the law of a Gaussian sketch does not change under rotations."""
    single, all_of_them = coverage(*noisy(normals(2 * M, D)), "gaussian")
    noise = 3 * math.sqrt(0.05 * 0.95 / DRAWS)
    assert 0.93 <= single <= 0.97
    assert all_of_them >= 0.95 - noise
