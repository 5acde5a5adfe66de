"""Samples of streams: those of all rows at once, whatever the order, the blocks and the merged parts."""

import itertools
import pickle
import warnings

import numpy as np
import pandas
import polars
import pytest
import scipy.sparse as sp
from reference import coreset as reference
from reference.coreset import GENERATORS

import nearlin
from nearlin.exceptions import GuaranteeWarning, InvalidInputError, NonFiniteError, ShapeError, StateError

pytestmark = pytest.mark.filterwarnings("ignore::nearlin.exceptions.GuaranteeWarning")


def streamed(A, size, cuts=(), y=None, n_jobs=1, **options):
    stream = nearlin.StreamingCoreset(size, **options)
    ends = [0, *cuts, len(A) if not sp.issparse(A) else A.shape[0]]
    for start, end in itertools.pairwise(ends):
        stream.partial_fit(A[start:end], None if y is None else y[start:end], n_jobs=n_jobs)
    return stream


def late_column(n, d, seed=0):
    A = reference.gaussian(n, d, seed)
    A[: int(0.9 * n), -1] = 0.0
    return A


def collinear(n, d, seed=0):
    A = reference.gaussian(n, d, seed)
    A[:, -1] = A[:, 0] + A[:, 1]
    return A


def sorted_one_hot(n, d, seed=0):
    levels = np.sort(np.random.default_rng(seed).integers(d, size=n))
    return np.eye(d)[levels] * np.random.default_rng(seed + 1).uniform(0.5, 2.0, (n, 1))


def sorted_by_norm(n, d, seed=0):
    A = reference.student(n, d, seed)
    return A[np.argsort(np.linalg.norm(A, axis=1))]


STREAMS = {
    **{name: GENERATORS[name] for name in ("gaussian", "student", "tabular", "one-hot")},
    "late column": late_column,
    "collinear": collinear,
    "sorted one-hot": sorted_one_hot,
    "sorted by norm": sorted_by_norm,
}


@pytest.mark.parametrize("scores", ["leverage", "root_leverage"])
@pytest.mark.parametrize("name", STREAMS)
def test_the_sample_is_that_of_all_rows_at_once(name, scores):
    n, d, size = 12_000, 8, 300
    A = STREAMS[name](n, d)
    p = 2.0 if scores == "leverage" else 1.0
    power = 1.0 if scores == "leverage" else 0.5
    sample = streamed(A, size, (100, 101, 5000, 9000), p=p, scores=scores, rng=3).result()
    t, r = np.minimum(reference.leverages(A), 1.0), reference.rank(A)
    shares = np.minimum(1.0, size * t**power / (n ** (1.0 - power) * r**power))
    expected = np.flatnonzero(reference.permanent_numbers(n, 3) < shares)
    np.testing.assert_array_equal(sample.indices, expected)
    np.testing.assert_allclose(sample.weights, 1.0 / shares[expected], rtol=1e-6)
    np.testing.assert_array_equal(sample.rows, A[expected])
    assert sample.rank == r
    assert size / 8 < len(sample) < size + 4 * np.sqrt(size)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_blocks_do_not_change_a_bit_and_merges_hardly(p):
    A, y = STREAMS["tabular"](9000, 8), reference.gaussian(9000, 2, 9)
    first = streamed(A, 200, p=p, y=y, rng=1).result()
    for cuts in ((1, 2, 3), (4500,), range(100, 9000, 777)):
        other = streamed(A, 200, cuts, y=y, p=p, rng=1, n_jobs=3).result()
        np.testing.assert_array_equal(other.indices, first.indices)
        np.testing.assert_array_equal(other.weights, first.weights)
        np.testing.assert_array_equal(other.targets, first.targets)
    parts = []
    for start, end in ((0, 2000), (2000, 6500), (6500, 9000)):
        parts.append(nearlin.StreamingCoreset(200, p=p, rng=1))
        parts[-1].partial_fit(A[start:end], y[start:end], row_offset=start)
    for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
        merged = parts[order[0]].copy()
        for k in order[1:]:
            merged.merge(parts[k])
        found = merged.result()
        assert merged.covered == (range(9000),)
        np.testing.assert_array_equal(found.indices, first.indices)
        np.testing.assert_allclose(found.weights, first.weights, rtol=1e-6)
    with pytest.raises(InvalidInputError):
        merged.merge(parts[0])


def test_the_certificate_and_fits_on_the_rows():
    A = STREAMS["student"](20_000, 5)
    y = A @ np.arange(5.0) + reference.gaussian(20_000, 1, 4)[:, 0]
    sample = streamed(A, 400, y=y, rng=0).result()
    assert sample.targets.shape == (len(sample),)
    SA, Sy = sample.apply_to_rows()
    np.testing.assert_allclose(SA, sample.apply(A))
    np.testing.assert_allclose(Sy, np.sqrt(sample.weights) * y[sample.indices])
    Q = reference.basis(np.c_[A, y])
    s = np.linalg.svd(np.sqrt(sample.weights)[:, None] * Q[sample.indices], compute_uv=False)
    assert sample.certificate.bound == pytest.approx(abs(s - 1.0).max(), abs=1e-6)
    assert sample.certificate.bound < 0.4


def test_lewis_weights_draw_in_the_end():
    A = STREAMS["student"](20_000, 5)
    for p in (1.0, 1.5, 3.0):
        sample = streamed(A, 300, p=p, rng=0).result()
        assert len(sample) <= 300 + 4 * np.sqrt(300)
        assert len(sample) > 150
        x = reference.gaussian(5, 1, 3)[:, 0]
        found = np.linalg.norm(sample.apply_to_rows() @ x, p) / np.linalg.norm(A @ x, p)
        assert found == pytest.approx(1.0, abs=0.25)


def test_memory_is_that_of_the_sample():
    stream, sizes = nearlin.StreamingCoreset(100, rng=0), []
    for seed in range(40):
        stream.partial_fit(GENERATORS["gaussian"](2000, 6, seed))
        sizes.append(len(stream.to_bytes()))
    assert max(sizes[10:]) < 1100 * 8 * 9


def test_layouts_precisions_and_weights():
    A = STREAMS["tabular"](3000, 8).astype(np.float32)
    first = streamed(A, 200, rng=1).result()
    assert first.rows.dtype == np.float32
    for wrap in (np.asfortranarray, sp.csr_array, sp.csc_array):
        found = nearlin.StreamingCoreset(200, rng=1).partial_fit(wrap(A)).result()
        np.testing.assert_array_equal(found.indices, first.indices)
        np.testing.assert_array_equal(found.rows, first.rows)
    v = np.random.default_rng(2).integers(0, 3, 3000).astype(float)
    weighted = nearlin.StreamingCoreset(200, rng=1).partial_fit(A, sample_weight=v).result()
    scaled = nearlin.StreamingCoreset(200, rng=1).partial_fit(np.sqrt(v)[:, None] * A.astype(float)).result()
    np.testing.assert_array_equal(weighted.indices, scaled.indices)
    np.testing.assert_allclose(weighted.weights, v[weighted.indices] * scaled.weights, rtol=1e-9)
    for scale in (1e-200, 1e200):
        units = np.r_[scale, np.ones(7)]
        found = nearlin.StreamingCoreset(200, rng=1).partial_fit(A.astype(float) * units).result()
        np.testing.assert_array_equal(found.indices, first.indices)


def test_bytes_pickles_and_copies_go_on():
    A = STREAMS["tabular"](4000, 8)
    stream = streamed(A[:2500], 100, p=1.0, rng=5)
    others = [
        nearlin.StreamingCoreset.from_bytes(stream.to_bytes()),
        pickle.loads(pickle.dumps(stream)),
        stream.copy(),
    ]
    expected = stream.partial_fit(A[2500:]).result()
    for other in others:
        assert other.n_rows_seen == 2500
        found = other.partial_fit(A[2500:]).result()
        np.testing.assert_array_equal(found.indices, expected.indices)
        np.testing.assert_array_equal(found.weights, expected.weights)
    data = bytearray(stream.to_bytes())
    for at in range(0, len(data), max(len(data) // 50, 1)):
        broken = bytes(data[:at]) + bytes([data[at] ^ 1]) + bytes(data[at + 1 :])
        with pytest.raises(StateError):
            nearlin.StreamingCoreset.from_bytes(broken)
    assert "100 of 4000 rows" in repr(stream)


def filip():
    """Powers up to the tenth of the points of a known hard case: a condition of 1e15 as they are."""
    return np.vander(np.linspace(-8.8, -3.1, 400), 11)


def near_copies(part):
    A = reference.gaussian(4000, 4)
    A[:, 3] = A[:, 0] + part * A[:, 3]
    return A


ILL_CONDITIONED = {
    "one long row": (lambda: np.vstack([reference.gaussian(4999, 3), np.full((1, 3), 1e8)]), 3),
    "dates": (lambda: np.c_[np.ones(5000), 1.7e9 + np.arange(5000.0)], 2),
    "powers": (lambda: np.vander(np.linspace(0.0, 1.0, 3000), 11), 11),
    "powers far from zero": (filip, 11),
    **{f"copies but for {part:g}": (lambda part=part: near_copies(part), 4) for part in (1e-5, 1e-8, 1e-11)},
}


@pytest.mark.parametrize("name", ILL_CONDITIONED)
def test_no_direction_is_lost_to_the_condition(name):
    make, rank = ILL_CONDITIONED[name]
    A = make()
    sample = streamed(A, 200, (17, 2000), rng=1).result()
    offline = nearlin.sample_rows(A, size=200, rng=1)
    assert sample.rank == offline.rank == rank
    # Scores are those of all rows up to what rounding is at this condition.
    shares = np.minimum(1.0, 200.0 / rank * nearlin.leverage_scores(A))
    expected = np.flatnonzero(reference.permanent_numbers(len(A), 1) < shares)
    assert len(np.setxor1d(sample.indices, expected)) <= 2
    Q = np.linalg.qr(A / np.linalg.norm(A, axis=0))[0]
    s = np.linalg.svd(np.sqrt(sample.weights)[:, None] * Q[sample.indices], compute_uv=False)
    assert sample.certificate.bound >= abs(s - 1.0).max() * (1.0 - 1e-6) - 1e-9
    assert sample.certificate.bound < 0.9


def test_what_is_cut_off_is_told_and_not_certified():
    A = reference.gaussian(5000, 3)
    A[17] = 1e20
    for cuts in ((), (10,), (3000,)):
        with pytest.warns(GuaranteeWarning, match="cut off"):
            sample = streamed(A, 60, cuts, rng=1).result()
        assert sample.certificate.confidence is None
        assert np.isnan(sample.certificate.bound)
    B = A[::-1].copy()
    with pytest.warns(GuaranteeWarning, match="cut off"):
        streamed(B, 60, rng=1).result()
    with pytest.warns(GuaranteeWarning, match="cut off"):
        assert np.isnan(nearlin.sample_rows(A, size=60, rng=1).certificate.bound)
    for dependent in (collinear(6000, 5), sorted_one_hot(6000, 5) @ np.c_[np.eye(5), np.ones(5)]):
        for of in (
            lambda A: streamed(A, 200, rng=0).result(),
            lambda A: nearlin.sample_rows(A, size=200, rng=0),
        ):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                assert of(dependent).certificate.confidence == 1.0


def test_rows_are_told_in_the_precision_of_the_widest_block():
    A = reference.gaussian(300, 3)
    for blocks in ((A.astype("f4"), A * 1e60), (A * 1e60, A.astype("f4"))):
        stream = nearlin.StreamingCoreset(100, rng=0)
        for block in blocks:
            stream.partial_fit(block)
        sample = stream.result()
        assert sample.rows.dtype == np.float64
        np.testing.assert_array_equal(sample.rows, np.vstack(blocks)[sample.indices])


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_a_sample_of_fewer_rows_than_the_rank_is_refused_or_told(p):
    A = reference.gaussian(3000, 4)
    with pytest.raises(InvalidInputError, match="the rank of A"):
        streamed(A, 1, p=p, rng=0).result()
    lost = 0
    for seed in range(20):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            sample = streamed(A, 5, p=p, rng=seed).result()
        assert len(found) <= 1
        told = any("lost a direction" in str(warning.message) for warning in found)
        if np.linalg.matrix_rank(sample.rows) < 4:
            assert told
            lost += 1
        assert f"{len(sample)} of 3000 rows" in sample.explain()
    assert lost > 0


def test_the_expected_size_counts_certain_rows_once():
    A = np.random.default_rng(0).standard_cauchy((5000, 4))
    sample = streamed(A, 100, rng=0).result()
    t = reference.leverages(A)
    assert sample.expected_size == pytest.approx(np.minimum(1.0, 25.0 * t).sum(), rel=1e-6)
    assert streamed(STREAMS["gaussian"](5000, 4), 100, rng=0).result().expected_size == pytest.approx(100.0)
    assert f"; {sample.expected_size:.6g} were to be expected" in sample.explain()
    by_roots = streamed(A, 100, p=1.0, scores="root_leverage", rng=0).result()
    u = np.minimum(1.0, 100.0 / np.sqrt(4 * 5000.0) * np.sqrt(t)).sum()
    assert u < by_roots.expected_size == 100.0
    assert "no more than 100 were to be expected" in by_roots.explain()
    # Lewis weights draw from rows that are there, all of which are wanted where there are fewer.
    by_lewis = streamed(A, 100, p=1.0, rng=0).result()
    assert by_lewis.expected_size == len(by_lewis) < 100
    gaussian = streamed(STREAMS["gaussian"](5000, 4), 100, p=1.0, rng=0).result()
    assert gaussian.expected_size == pytest.approx(100.0)


def test_orders_agree_unless_the_rank_falls_and_then_it_is_told():
    A = reference.gaussian(4000, 3)
    blocks = np.split(A, 8)

    def of(order):
        stream = nearlin.StreamingCoreset(60, rng=1)
        for k in order:
            stream.partial_fit(blocks[k], row_offset=500 * k)
        return stream.result()

    first = of(range(8))
    for order in (range(7, -1, -1), (3, 1, 7, 5, 0, 2, 6, 4)):
        np.testing.assert_array_equal(of(order).indices, first.indices)
    blocks[4][17] = 1e20
    for order in (range(8), range(7, -1, -1), (4, 0, 1, 2, 3, 5, 6, 7)):
        with pytest.warns(GuaranteeWarning, match="cut off"):
            sample = of(order)
        assert sample.certificate.confidence is None
        assert np.isnan(sample.certificate.bound)


def test_the_sample_is_that_of_sample_rows_unless_rows_are_certain():
    A = reference.gaussian(4000, 4)
    found, all_at_once = streamed(A, 100, rng=2).result(), nearlin.sample_rows(A, size=100, rng=2)
    np.testing.assert_array_equal(found.indices, all_at_once.indices)
    np.testing.assert_allclose(found.weights, all_at_once.weights, rtol=1e-9)
    A[:3] *= 1e3
    found, all_at_once = streamed(A, 100, rng=2).result(), nearlin.sample_rows(A, size=100, rng=2)
    assert set(found.indices) < set(all_at_once.indices)
    assert found.expected_size < all_at_once.expected_size == 100.0


@pytest.mark.parametrize("frame", [pandas.DataFrame, polars.DataFrame])
def test_names_of_columns_are_those_of_every_block(frame):
    A = reference.gaussian(600, 3)
    named = frame({name: A[:, j] for j, name in enumerate("abc")})
    stream = nearlin.StreamingCoreset(50, rng=0).partial_fit(A[:100], A[:100, 0])
    assert stream.result().feature_names is None
    stream.partial_fit(named[100:300], A[100:300, 0])
    before = stream.to_bytes()
    for columns, told in (("cba", 'column 0 is "c", expected "a"'), ("abd", 'column 2 is "d"')):
        other = frame({name: A[:100, j] for j, name in enumerate(columns)})
        with pytest.raises(InvalidInputError, match=f"`A` .*{told}"):
            stream.partial_fit(other, A[:100, 0])
        another = nearlin.StreamingCoreset(50, rng=0).partial_fit(other, A[:100, 0], row_offset=900)
        with pytest.raises(InvalidInputError, match=f"`other` .*{told}"):
            stream.merge(another)
    assert stream.to_bytes() == before
    for again in (pickle.loads(pickle.dumps(stream)), stream.copy()):
        with pytest.raises(InvalidInputError, match="column 0"):
            again.partial_fit(named[["c", "b", "a"]], A[:, 0])
        sample = again.partial_fit(A[300:], A[300:, 0]).result()
        assert sample.feature_names == ["a", "b", "c"]
        np.testing.assert_array_equal(sample.rows, A[sample.indices])
        with pytest.raises(InvalidInputError, match="column 0"):
            sample.apply(named[["c", "b", "a"]])
    unnamed = nearlin.StreamingCoreset(50, rng=0).partial_fit(A, A[:, 0], row_offset=300)
    assert unnamed.merge(stream).result().feature_names == ["a", "b", "c"]


def test_rows_of_weight_zero_may_hold_anything():
    A, y = reference.gaussian(300, 3), np.zeros(300)
    A[5], y[7] = np.nan, np.inf
    v = np.ones(300)
    v[[5, 7]] = 0.0
    stream = nearlin.StreamingCoreset(100, rng=0).partial_fit(A, y, sample_weight=v)
    assert not {5, 7} & set(stream.result().indices)
    with pytest.raises(NonFiniteError, match=r"\[7\]"):
        stream.partial_fit(np.ones((300, 3)), y)


def test_bad_input_leaves_the_stream_as_it_was():
    A = GENERATORS["gaussian"](50, 3)
    stream = nearlin.StreamingCoreset(20, rng=0)
    with pytest.raises(InvalidInputError, match="without rows"):
        stream.result()
    stream.partial_fit(np.zeros((4, 3)))
    with pytest.raises(InvalidInputError, match="zeros"):
        stream.result()
    stream = nearlin.StreamingCoreset(20, rng=0).partial_fit(A)
    before = stream.to_bytes()
    B = A.copy()
    B[7, 2] = np.nan
    with pytest.raises(NonFiniteError, match=r"\[7, 2\]"):
        stream.partial_fit(B)
    for block, options, error in (
        (A[:, :2], {}, ShapeError),
        (A, {"y": np.ones(50)}, ShapeError),
        (A, {"row_offset": 10}, InvalidInputError),
        (A, {"row_offset": -1}, InvalidInputError),
        (A, {"sample_weight": -np.ones(50)}, InvalidInputError),
    ):
        with pytest.raises(error):
            stream.partial_fit(block, **options)
    with pytest.raises(InvalidInputError, match="other"):
        stream.merge(nearlin.StreamingCoreset(21, rng=0).partial_fit(A, row_offset=50))
    with pytest.raises(InvalidInputError):
        stream.merge(object())
    assert stream.to_bytes() == before
    for options in ({"size": 0}, {"size": 9, "p": 0.5}, {"size": 9, "scores": "best"}):
        with pytest.raises(InvalidInputError, match=list(options)[-1]):
            nearlin.StreamingCoreset(**options)
    with pytest.raises(InvalidInputError, match="scores"):
        nearlin.StreamingCoreset(9, p=3.0, scores="root_leverage")
    with pytest.warns(GuaranteeWarning, match="nothing bounds"):
        nearlin.StreamingCoreset(20, p=1.0, rng=0).partial_fit(A).result()
