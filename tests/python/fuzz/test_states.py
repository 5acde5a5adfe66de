"""Hostile bytes of states, with length and checksum repaired: refused, or a stream that can be used."""

import random
import struct
import zlib

import numpy as np
import pytest

import nearlin
from nearlin import sketch
from nearlin.exceptions import InternalError, NearlinError, StateError

HEADER = 40
FLOATS = [0.0, 1e308, 5e-324, float("nan"), float("inf"), -1.0, 2.0, 0.5]
NUMBERS = [0, 1, 2, 7, 127, 128, 1024, 2**20, 2**31, 2**32, 2**54, 2**63 - 1, 2**63, 2**64 - 1024, 2**64 - 1]


def varint(number):
    low, high = number & 127, number >> 7
    return bytes([low | 128]) + varint(high) if high else bytes([low])


def sealed(blob, payload):
    fields = blob[8:28] + struct.pack("<Q", len(payload))
    return blob[:8] + fields + struct.pack("<I", zlib.crc32(payload, zlib.crc32(fields))) + payload


def mutated(payload, rnd):
    data = bytearray(payload)
    for _ in range(rnd.choice([1, 1, 1, 2, 4])):
        # The fields are in front of the long run of numbers.
        at = rnd.randrange(max(1, min(len(data), 96) if rnd.random() < 0.8 else len(data)))
        change = rnd.randrange(7)
        if change == 0 and data:
            data[at] ^= 1 << rnd.randrange(8)
        elif change == 1:
            del data[at:]
        elif change == 2:
            data[at:at] = rnd.randbytes(rnd.choice([1, 2, 8, 40]))
        elif change == 3:
            del data[at : at + rnd.choice([1, 2, 8])]
        elif change == 4:
            data[at : at + 8] = struct.pack("<d", rnd.choice(FLOATS))
        else:
            end = at
            while end < len(data) and data[end] & 128:
                end += 1
            data[at : end + 1] = varint(rnd.choice(NUMBERS))
    return bytes(data)


def streams():
    g = np.random.default_rng(0)
    for S in (
        sketch.SparseSign(9, rng=1),
        sketch.CountSketch(5, 10**6, rng=1),
        sketch.SRHT(8, 2**62, rng=1),
        sketch.PHT(3, chunk=4, rng=3),
        sketch.PHT(8, weights="normals", rng=2),
        sketch.Gaussian(6, rng=1),
    ):
        yield S.accumulate(2).partial_fit(g.standard_normal((30, 2))).partial_fit(np.eye(2), row_offset=2000)
    for kind in ("pht", "pht_normals", "srht", "gaussian", "sparse_sign"):
        stream = nearlin.StreamingLeastSquares(
            sketch=kind,
            sketch_size=20,
            n=4000 if kind == "srht" else None,
            rng=0,
            guarantee=None if kind == "sparse_sign" else "linf",
            ridge=0.25,
        )
        yield stream.copy()
        yield stream.partial_fit(g.standard_normal((50, 2)), g.standard_normal(50))
    for intercept in (False, True):
        stream = nearlin.StreamingLeastSquares(fit_intercept=intercept, ridge=0.25, method="qr")
        yield stream.copy()
        yield stream.partial_fit(g.standard_normal((50, 2)), g.standard_normal(50))
        stream = stream.partial_fit(g.standard_normal((9000, 2)), g.standard_normal(9000)).copy()
        rows = g.standard_normal((400, 2)), g.standard_normal(400)
        yield stream.partial_fit(*rows, row_offset=10_000).remove(*rows, row_offset=10_000)


def use(stream):
    """Do everything with a stream; what contradicts itself fails."""
    assert type(stream).from_bytes(stream.to_bytes()).to_bytes() == stream.to_bytes()
    assert repr(stream)
    tells = isinstance(stream, nearlin.StreamingLeastSquares)
    shape = (stream.d, 1, stream.sketch.m) if not tells else stream._begun()._state.shape or (2, 1, 20)
    if tells and stream.method_ == "qr":
        shape = (*shape[:2], 20)
    if shape[0] * shape[2] > 10**5:
        return
    if tells:
        assert 0 < stream.level < 1
        assert 0 < stream.delta < 1
    if stream.n_rows_seen:
        answer = stream.result()
        assert np.isfinite(answer.x if tells else answer).all()
    copy, rows = stream.copy(), np.ones((3, shape[0]))
    copy.partial_fit(rows, np.ones((3, shape[1]))) if tells else copy.partial_fit(rows)
    assert copy.n_rows_seen == stream.n_rows_seen + 3
    assert type(copy).from_bytes(copy.to_bytes()).covered == copy.covered


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "cases", [1500, pytest.param(1_000_000, marks=[pytest.mark.fuzz, pytest.mark.timeout(7200)])]
)
def test_any_bytes_are_refused_or_a_sound_stream(cases):
    samples = [(type(stream), stream.to_bytes()) for stream in streams()]
    ended = {"refused": 0, "used": 0}
    for case in range(cases):
        rnd = random.Random(case)
        cls, blob = rnd.choice(samples)
        bad = sealed(blob, mutated(blob[HEADER:], rnd)) if rnd.random() < 0.9 else mutated(blob, rnd)
        try:
            stream = cls.from_bytes(bad)
        except (StateError, MemoryError):
            ended["refused"] += 1
            continue
        try:
            use(stream)
        except NearlinError as error:
            # A sum that overflows, a bound on the rows that is reached.
            assert not isinstance(error, InternalError), case  # noqa: PT017
        ended["used"] += 1
    assert min(ended.values()) > cases // 50
