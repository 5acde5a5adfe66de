"""Small problems: the short way to an answer, no other thread, a certificate that is made when asked for."""

import copy
import dataclasses
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from reference import regression as reference

import nearlin

COUNT_THREADS = """
import os
import numpy as np
import nearlin

A, b = np.random.default_rng(0).standard_normal((50, 5)), np.ones(50)
before = len(os.listdir("/proc/self/task"))
nearlin.lstsq(A, b)
nearlin.lstsq(A, b, sample_weight=np.arange(50.0), ridge=1.0)
nearlin.lstsq(np.ones((100_000, 3)) + np.eye(100_000, 3), np.ones(100_000), method="gram")
print(len(os.listdir("/proc/self/task")) - before)
"""


def problems(count):
    rng = np.random.default_rng(0)
    for case in range(count):
        d = int(rng.integers(1, 12))
        n, k = d + int(rng.integers(0, 80)), int(rng.integers(1, 4))
        A = rng.standard_normal((n, d)) * 10.0 ** rng.integers(-3, 4, d)
        if case % 4 == 0:
            A[:, -1] = A @ rng.integers(-2, 3, d)  # of which the last is the column itself
        if case % 7 == 0:
            A[:, rng.integers(d)] = 0.0
        if case % 5 == 0:
            A[:, 0] = A[:, -1] + 10.0 ** -rng.integers(3, 16) * A[:, 0]
        yield np.asfortranarray(A) if case % 3 == 0 else A, rng.standard_normal((n, k))


@pytest.mark.parametrize("count", [60, pytest.param(2000, marks=pytest.mark.guarantee)])
def test_the_short_way_comes_to_where_the_long_way_does(count):
    short = 0
    for A, b in problems(count):
        result, long = nearlin.lstsq(A, b, rng=0), nearlin.lstsq(A, b, rng=0, max_iter=7)
        assert result.rank == long.rank
        is_short = len(result.stages) == 1
        assert result.certificate.met or not is_short
        condition = long.certificate.details["condition"]
        assert result.certificate.details["condition"] == pytest.approx(condition, rel=0.2)
        size = np.linalg.norm(long.x, axis=0) + 1e-300
        scale = np.where(np.any(A, axis=0), np.linalg.norm(A, axis=0), 1.0)[:, np.newaxis]
        tolerance = 1e-14 * condition**2 * np.linalg.norm(b, axis=0)
        if result.rank == A.shape[1]:
            assert np.all(np.abs(result.x - long.x) * scale <= tolerance + 1e-13 * size * scale)
        short += is_short
    assert short > count / 2


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (10, 3), (50, 5), (100, 100), (1000, 10)])
def test_backward_errors_are_those_of_qr_and_certified(shape):
    for kappa in (1.0, 1e6, 1e12):
        A = reference.graded(*shape, kappa, seed=3)[0] if shape[1] > 1 else np.full(shape, 3.0)
        b = np.random.default_rng(1).standard_normal(shape[0])
        result = nearlin.lstsq(A, b)
        reference.check(A, b, result.x, f"{shape}, {kappa:g}")
        assert reference.backward_error(A, b, result.x) <= result.certificate.bound


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted as Linux tells them")
def test_no_thread_is_started_for_little_work():
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "NEARLIN_NUM_THREADS": "4"}
    run = subprocess.run(
        [sys.executable, "-c", COUNT_THREADS], env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "0"


def test_a_certificate_that_was_not_looked_at_is_there_all_the_same():
    A, b = next(problems(1))
    A = A + np.eye(*A.shape)
    eager = nearlin.lstsq(A, b)
    expected = eager.certificate
    assert pickle.loads(pickle.dumps(nearlin.lstsq(A, b))).certificate == expected
    assert copy.deepcopy(nearlin.lstsq(A, b)).certificate == expected
    assert dataclasses.replace(nearlin.lstsq(A, b), rank=0).certificate == expected
    assert "certificate" in repr(nearlin.lstsq(A, b))
    with pytest.raises(AttributeError, match="no attribute 'certificat'"):
        _ = eager.certificat
    with pytest.raises(dataclasses.FrozenInstanceError):
        eager.rank = 3
