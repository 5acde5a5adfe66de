"""Samples of rows: what they have on average, that they are nested, and what is certified of them."""

import itertools
import math
import warnings
from functools import partial

import numpy as np
import pandas
import polars
import pytest
import scipy.sparse as sp
from reference import coreset as reference
from reference.coreset import GENERATORS
from reference.layouts import LAYOUTS

import nearlin
from nearlin.coreset._sample_rows import RULES
from nearlin.exceptions import (
    AllocationError,
    GuaranteeWarning,
    InvalidInputError,
    InvalidTypeError,
    NonFiniteError,
    ShapeError,
)

pytestmark = pytest.mark.filterwarnings("ignore::nearlin.exceptions.GuaranteeWarning")

DESIGNS = ["bernoulli", "fixed", "iid"]


def true_distortion(A, sample):
    """Return that for p = 2."""
    Q = reference.basis(np.sqrt(1.0) * A)
    s = np.linalg.svd(np.sqrt(sample.weights)[:, None] * Q[sample.indices], compute_uv=False)
    s = np.r_[s, np.zeros(Q.shape[1] - len(s))]
    return abs(s - 1.0).max()


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("name", ["gaussian", "student", "tabular", "legendre", "one-hot"])
def test_the_certificate_has_the_distortion(name, design):
    A = GENERATORS[name](3000, 10)
    for wrap in (np.asarray, sp.csr_array):
        sample = nearlin.sample_rows(wrap(A), size=400, design=design, rng=1)
        assert sample.certificate.bound == pytest.approx(true_distortion(A, sample), abs=1e-8)
        assert sample.certificate.confidence == 1.0
        assert float(sample.certificate) < 0.6


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0])
def test_every_rule_and_what_it_keeps(rule, p):
    A = GENERATORS["student"](600, 5)
    if rule == "root_leverage" and p > 2.0:
        with pytest.raises(InvalidInputError, match="scores"):
            nearlin.sample_rows(A, p=p, size=100, scores=rule)
        return
    sample = nearlin.sample_rows(A, p=p, size=200, scores=rule, rng=0)
    assert sample.expected_size == pytest.approx(200.0)
    assert len(sample) == pytest.approx(200, abs=4 * np.sqrt(200))
    share = np.minimum(1.0, sample.scores[sample.indices] * sample.weights)
    saturated = sample.weights == 1.0
    rate = share[~saturated]
    np.testing.assert_allclose(rate, rate[0], rtol=1e-9)
    assert sample.rule == {"auto": "leverage" if p == 2.0 else "lewis"}.get(rule, rule)
    if rule in ("lewis", "auto") and p != 2.0:
        np.testing.assert_allclose(sample.scores, nearlin.lewis_weights(A, p))
    if rule == "leverage":
        np.testing.assert_allclose(sample.scores, nearlin.leverage_scores(A))
    if rule == "root_leverage":
        np.testing.assert_allclose(sample.scores, nearlin.root_leverage_scores(A, p))
    if rule == "sensitivity":
        lower, upper = nearlin.sensitivity_bounds(A, p)
        assert (sample.scores >= lower * (1.0 - 1e-9)).all()
        np.testing.assert_allclose(sample.scores, upper, rtol=1e-6)


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_norms_are_right_on_average(p, design):
    A = GENERATORS["student"](400, 3)
    x = reference.gaussian(3, 1, 7)[:, 0]
    images = abs(A @ x) ** p
    sums = [
        float(sample.weights @ images[sample.indices])
        for sample in (
            nearlin.sample_rows(A, p=p, size=60, n_jobs=1, design=design, rng=seed, scores="leverage")
            for seed in range(150)
        )
    ]
    error = np.std(sums) / np.sqrt(len(sums))
    assert abs(np.mean(sums) - images.sum()) < 4.0 * error


@pytest.mark.parametrize("design", ["bernoulli", "fixed"])
def test_larger_samples_have_the_rows_of_smaller_ones(design):
    A = GENERATORS["tabular"](5000, 8)
    samples = [nearlin.sample_rows(A, p=1.0, size=m, design=design, rng=3) for m in (100, 200, 400)]
    for small, large in itertools.pairwise(samples):
        assert set(small.indices) < set(large.indices)
    if design == "fixed":
        assert [len(sample) for sample in samples] == [100, 200, 400]


def test_rows_are_those_whose_permanent_numbers_are_below_their_shares():
    A = GENERATORS["student"](3000, 5)
    sample = nearlin.sample_rows(A, size=200, rng=2**40 + 7)
    rate = (1.0 / sample.weights / sample.scores[sample.indices])[sample.weights > 1.0][0]
    shares = np.minimum(1.0, rate * sample.scores)
    assert shares.sum() == pytest.approx(200.0)
    u = reference.permanent_numbers(3000, 2**40 + 7)
    np.testing.assert_array_equal(sample.indices, np.flatnonzero(u < shares))
    fixed = nearlin.sample_rows(A, size=200, design="fixed", rng=3)
    order = np.argsort(reference.permanent_numbers(3000, 3) / fixed.scores)
    np.testing.assert_array_equal(fixed.indices, np.sort(order[:200]))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_has_the_same_rows(layout):
    A = GENERATORS["gaussian"](900, 6)
    expected = nearlin.sample_rows(A, size=100, rng=5).indices
    np.testing.assert_array_equal(nearlin.sample_rows(LAYOUTS[layout](A), size=100, rng=5).indices, expected)


def test_bits_do_not_depend_on_threads():
    A = GENERATORS["tabular"](10_000, 10)
    for options in ({}, {"p": 1.0}, {"p": 3.0, "design": "fixed"}, {"design": "iid"}):
        samples = [
            nearlin.sample_rows(A, size=500, rng=1, n_jobs=n_jobs, **options) for n_jobs in (1, 2, 3, 8)
        ]
        for other in samples[1:]:
            np.testing.assert_array_equal(other.indices, samples[0].indices)
            np.testing.assert_array_equal(other.weights, samples[0].weights)
            assert other.certificate == samples[0].certificate or np.isnan(samples[0].certificate.bound)
            assert other.certificate.details == samples[0].certificate.details


def test_the_seed_of_the_data_does_no_harm():
    A = np.random.default_rng(0).standard_normal((20_000, 4))
    kept = np.zeros(20_000)
    kept[nearlin.sample_rows(A, size=2000, rng=0, scores="uniform").indices] = 1.0
    noise = np.random.default_rng(0).uniform(size=20_000)
    assert abs(np.corrcoef(kept, noise)[0, 1]) < 4.0 / np.sqrt(20_000)


def test_targets_join_the_columns():
    A, y = GENERATORS["gaussian"](3000, 4), np.zeros(3000)
    y[17] = 1e6
    for wrap in (np.asarray, sp.csr_array):
        assert 17 in nearlin.sample_rows(wrap(A), y, size=60, rng=0).indices
        sample = nearlin.sample_rows(wrap(A), np.c_[y, y[::-1]], size=60, rng=0)
        assert {17, 2982} <= set(sample.indices)
        assert sample.rank == 6
    SA, Sy = sample.apply(A, y)
    roots = np.sqrt(sample.weights)
    np.testing.assert_allclose(SA, roots[:, None] * A[sample.indices])
    np.testing.assert_allclose(Sy, roots * y[sample.indices])
    np.testing.assert_allclose(sample.apply(sp.csr_array(A)).toarray(), SA)
    assert sample.apply(A, np.c_[y, y])[1].shape == (len(sample), 2)
    assert sample.apply(A.astype(np.float32)).dtype == np.float32
    weights = sample.as_sample_weight(3000)
    assert np.count_nonzero(weights) == len(sample)
    with pytest.raises(ShapeError):
        sample.apply(A[:-1])
    with pytest.raises(ShapeError):
        sample.as_sample_weight(2999)


def test_weights_of_rows_count():
    A = GENERATORS["tabular"](2000, 6)
    v = np.random.default_rng(1).integers(0, 3, 2000).astype(float)
    sample = nearlin.sample_rows(A, size=300, sample_weight=v, rng=0)
    assert v[sample.indices].all()
    again = nearlin.sample_rows(np.sqrt(v)[:, None] * A, size=300, rng=0)
    np.testing.assert_array_equal(again.indices, sample.indices)
    np.testing.assert_allclose(sample.weights, again.weights * v[sample.indices], rtol=1e-8)
    assert sample.certificate.bound == pytest.approx(again.certificate.bound, rel=1e-6)
    uniform = nearlin.sample_rows(A, size=1500, sample_weight=v, rng=0, scores="uniform")
    assert v[uniform.indices].all()


def test_as_many_rows_as_there_are():
    A = GENERATORS["gaussian"](50, 3)
    A[7] = 0.0
    for design in ("bernoulli", "fixed"):
        for size in (49, 50, 10**9):
            sample = nearlin.sample_rows(A, size=size, design=design, rng=0)
            np.testing.assert_array_equal(sample.indices, np.delete(np.arange(50), 7))
            assert (sample.weights == 1.0).all()
            assert sample.certificate.bound < 1e-10
    wide = nearlin.sample_rows(reference.gaussian(5, 9), size=5, rng=0)
    np.testing.assert_array_equal(wide.indices, np.arange(5))


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_size_for_a_distortion(p):
    A = GENERATORS["gaussian"](20_000, 6)
    sample = nearlin.sample_rows(A, p=p, eps=0.2, rng=0)
    constant = max({1.0: 1.2, 2.0: 1.0, 3.0: 0.9}[p], np.sqrt(2.0 * np.log(12.0)) / p)
    assert sample.expected_size == np.ceil(1.7 * constant**2 * 6 / 0.04)
    found = sample.certificate.estimate
    assert 0.02 < found < 0.2


@pytest.mark.parametrize("p", [1.0, 1.5, 3.0, 4.0])
def test_what_is_found_is_there_and_is_much_of_it(p):
    A = GENERATORS["student"](4000, 5)
    sample = nearlin.sample_rows(A, p=p, size=150, rng=2)
    found = sample.certificate.details["distortion_found"]
    rng = np.random.default_rng(0)
    R = np.linalg.qr(A, mode="r")
    X = np.linalg.solve(R, rng.standard_normal((5, 4000)))
    ratio = np.linalg.norm(sample.apply(A) @ X, p, axis=0) / np.linalg.norm(A @ X, p, axis=0)
    assert found >= abs(ratio - 1.0).max() - 1e-9
    assert np.isnan(sample.certificate.bound)
    assert np.isnan(float(sample.certificate))


def test_sensitivities_bound_the_distortion():
    A = GENERATORS["gaussian"](3000, 2)
    sample = nearlin.sample_rows(A, p=1.5, size=2500, scores="sensitivity", rng=0)
    certificate = sample.certificate
    assert certificate.confidence == 0.99
    assert certificate.estimate < certificate.bound < 1.0
    everything = nearlin.sample_rows(A, p=1.5, size=3000, scores="sensitivity", rng=0).certificate
    assert everything.bound < 1e-14
    assert everything.confidence == 1.0


def test_determinantal_rows_are_independent_and_unbiased():
    A, y = GENERATORS["student"](300, 3), reference.gaussian(300, 1, 5)[:, 0]
    truth = np.linalg.lstsq(A, y, rcond=None)[0]
    t = reference.leverages(A)
    for options in ({"design": "dpp"}, {"design": "dpp", "repeats": 2}, {"design": "volume", "size": 5}):
        fits = []
        for seed in range(400):
            sample = nearlin.sample_rows(A, rng=seed, n_jobs=1, **options)
            SA, Sy = sample.apply(A, y)
            fits.append(np.linalg.lstsq(SA, Sy, rcond=None)[0] - truth)
            assert np.linalg.matrix_rank(SA) == 3
        fits = np.array(fits)
        # Tails of single fits are long: what is compared is the median of means.
        means = fits.reshape(20, 20, 3).mean(axis=1)
        spread = 1.5 * abs(means - np.median(means, axis=0)).mean(axis=0)
        assert (abs(np.median(means, axis=0)) < 4.0 * spread / np.sqrt(20) + 1e-3).all(), options
    single = nearlin.sample_rows(A, design="dpp", rng=0)
    assert len(single) == 3
    np.testing.assert_allclose(single.weights, 1.0 / t[single.indices], rtol=1e-8)
    several = nearlin.sample_rows(A, design="dpp", repeats=4, rng=0)
    assert several.expected_size == 12.0
    assert set(single.indices) <= set(several.indices)
    volume = nearlin.sample_rows(sp.csr_array(A), design="volume", size=9, rng=0)
    assert volume.expected_size == 9.0
    weights = np.bincount(volume.indices, minlength=300)
    assert weights.sum() == len(volume) <= 9
    for n_jobs in (2, 3):
        again = nearlin.sample_rows(A, design="dpp", repeats=4, rng=0, n_jobs=n_jobs)
        np.testing.assert_array_equal(again.indices, several.indices)


def test_determinantal_designs_refuse_what_they_have_not():
    A = GENERATORS["gaussian"](50, 3)
    for options, name in (
        ({"design": "dpp", "p": 1.0}, "design"),
        ({"design": "dpp", "size": 6}, "size"),
        ({"design": "dpp", "eps": 0.5}, "eps"),
        ({"design": "dpp", "repeats": 0}, "repeats"),
        ({"design": "dpp", "scores": "lewis"}, "scores"),
        ({"design": "volume"}, "size"),
        ({"design": "volume", "size": 2}, "size"),
        ({"design": "volume", "size": 6, "repeats": 2}, "repeats"),
        ({"size": 6, "repeats": 2}, "repeats"),
    ):
        with pytest.raises(InvalidInputError, match=f"`{name}`"):
            nearlin.sample_rows(A, **options)


def test_scores_of_the_caller():
    A = GENERATORS["gaussian"](500, 3)
    scores = np.r_[np.ones(250), np.zeros(250)]
    sample = nearlin.sample_rows(A, size=100, scores=scores, rng=0)
    assert sample.rule == "given"
    assert sample.indices.max() < 250
    for wrong in (-scores, np.zeros(500), np.full(500, np.nan), np.ones(499), "best"):
        with pytest.raises(InvalidInputError, match="scores"):
            nearlin.sample_rows(A, size=100, scores=wrong)


def test_one_warning_at_most():
    A = GENERATORS["gaussian"](500, 3)
    A[:, 2] = 0.0
    A[0, 2] = 1.0
    for p, message in ((2.0, "lost a direction"), (1.0, "lost a direction"), (1.0, "nothing bounds")):
        scores = "uniform" if "lost" in message else "lewis"
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            seed = next(
                s
                for s in range(9)
                if 0 not in nearlin.sample_rows(A, size=50, scores="uniform", rng=s).indices
            )
            found.clear()
            nearlin.sample_rows(A, p=p, size=50, scores=scores, rng=seed)
        assert [warning.category for warning in found] == [GuaranteeWarning]
        assert message in str(found[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nearlin.sample_rows(A, size=50, rng=0)


def test_bad_input():
    A = GENERATORS["gaussian"](50, 3)
    sample = partial(nearlin.sample_rows, rng=0)
    for options in ({}, {"size": 10, "eps": 0.1}, {"size": 2}, {"size": 0}, {"size": 1.5}):
        with pytest.raises(InvalidInputError, match="size"):
            sample(A, **options)
    for name, value in (("eps", 0.0), ("eps", 1.0), ("p", 0.9), ("p", 31.0), ("design", "systematic")):
        with pytest.raises(InvalidInputError, match=name):
            sample(A, **{**({} if name == "eps" else {"size": 10}), name: value})
    B = A.copy()
    B[4, 1] = np.nan
    with pytest.raises(NonFiniteError, match=r"\[4, 1\]"):
        sample(B, size=10)
    with pytest.raises(NonFiniteError, match="`y`"):
        sample(A, B[:, 1], size=10)
    with pytest.raises(InvalidInputError, match="zero everywhere"):
        sample(np.zeros((9, 2)), size=3)
    with pytest.raises(ShapeError, match="`y`"):
        sample(A, np.ones(49), size=10)


def test_printing():
    sample = nearlin.sample_rows(GENERATORS["gaussian"](500, 3), size=50, rng=0)
    assert "of 500 rows by leverage scores" in sample.explain()
    assert "certificate: distortion of |A x|_2" in repr(sample)


def test_a_bound_covers_rows_that_were_not_drawn():
    A = np.vstack([np.diag([5.0, 6.0, 7.0]), [[1.0, 1.0, 1.0]], [[1.0, -1.0, 2.0]]])
    for seed in range(40):
        certificate = nearlin.sample_rows(A, p=1.0, size=4, scores="sensitivity", rng=seed).certificate
        assert certificate.bound >= certificate.details["distortion_found"]
        assert certificate.confidence == 0.99


@pytest.mark.parametrize("M", [1e6, 1e8, 1e10, 1e12])
def test_the_bound_of_least_squares_holds_at_every_condition(M):
    rng = np.random.default_rng(3)
    z, e = rng.integers(-9, 10, 2000).astype(float), rng.integers(-9, 10, 2000).astype(float)
    Q = np.linalg.qr(np.c_[z, e])[0]
    for seed in range(5):
        sample = nearlin.sample_rows(np.c_[z, z * M + e], size=200, rng=seed)
        s = np.linalg.svd(np.sqrt(sample.weights)[:, None] * Q[sample.indices], compute_uv=False)
        assert sample.certificate.bound >= abs(s - 1.0).max() - 1e-14
        assert sample.certificate.bound < abs(s - 1.0).max() + 0.02


def test_scores_at_the_ends_of_the_range():
    A = GENERATORS["gaussian"](200, 3)
    for design in ("bernoulli", "fixed", "iid"):
        plain = nearlin.sample_rows(A, size=50, scores=np.ones(200), design=design, rng=0)
        for unit in (1e-320, 1e-308, 1e307):
            found = nearlin.sample_rows(A, size=50, scores=np.full(200, unit), design=design, rng=0)
            np.testing.assert_array_equal(found.indices, plain.indices)
            np.testing.assert_allclose(found.weights, plain.weights, rtol=1e-12)


def test_a_miss_is_told():
    A = GENERATORS["student"](5000, 5)
    for p in (1.0, 2.0):
        told = 0
        for seed in range(10):
            with warnings.catch_warnings(record=True) as found:
                warnings.simplefilter("always")
                certificate = nearlin.sample_rows(A, p=p, eps=0.3, scores="uniform", rng=seed).certificate
            # From one on, the warning is of a direction that is lost.
            is_missed = 0.3 < certificate.estimate < 0.99
            assert any("more than eps" in str(warning.message) for warning in found) == is_missed
            assert len(found) <= 1
            told += is_missed
        assert told > 0


@pytest.mark.parametrize("p", [1.0, 2.0])
def test_a_sample_that_has_lost_a_direction_is_drawn_once_more(p):
    """With twice the size: the rows that were drawn, and more; not where their number is to be exact."""
    A = np.zeros((1000, 2))
    A[:, 0] = 1.0
    A[:20, 1] = 1.0
    u = reference.permanent_numbers
    again = lost = 0
    for seed in range(60):
        small, large = (np.flatnonzero(u(1000, seed) < size / 1000) for size in (50, 100))
        sample = nearlin.sample_rows(A, p=p, size=50, scores="uniform", rng=seed)
        is_lost = small.min() >= 20 or small.max() < 20
        np.testing.assert_array_equal(sample.indices, large if is_lost else small)
        assert sample.expected_size == (100.0 if is_lost else 50.0)
        assert sample.weights == pytest.approx(10.0 if is_lost else 20.0)
        again += is_lost
        lost += large.min() >= 20
    assert 0 < lost < again
    fixed = [nearlin.sample_rows(A, size=50, scores="uniform", design="fixed", rng=s) for s in range(9)]
    assert {len(sample) for sample in fixed} == {50}


def test_what_is_cut_off_of_wide_rows_is_told():
    A = reference.gaussian(7, 4) @ reference.gaussian(4, 40, 1)
    assert nearlin.sample_rows(A, size=7, rng=0).rank == 4
    A[5] = 1e20
    with pytest.warns(GuaranteeWarning, match="cut off"):
        certificate = nearlin.sample_rows(A, size=7, rng=0).certificate
    assert np.isnan(certificate.bound)


def test_more_draws_than_rows():
    sample = nearlin.sample_rows(np.eye(3), size=100_000, design="iid", rng=0)
    np.testing.assert_array_equal(sample.indices, [0, 1, 2])
    np.testing.assert_allclose(sample.weights, 1.0, atol=0.02)
    assert sample.weights.sum() == pytest.approx(3.0)


def longer_distortion(A, sample):
    """Return that for p = 2, in extended precision where the machine has it."""
    A = A.astype(np.longdouble)
    d = A.shape[1]
    rows = A[sample.indices] * np.sqrt(sample.weights.astype(np.longdouble))[:, None]
    for j in range(d):
        # Twice, as Gram and Schmidt do, and the same of the rows.
        for k in list(range(j)) * 2:
            along = A[:, k] @ A[:, j]
            A[:, j] -= along * A[:, k]
            rows[:, j] -= along * rows[:, k]
        size = np.sqrt((A[:, j] ** 2).sum())
        A[:, j] /= size
        rows[:, j] /= size
    values = np.linalg.eigvalsh((rows.T @ rows - np.eye(d)).astype(float))
    return abs(np.sqrt(np.maximum(1.0 + values, 0.0)) - 1.0).max()


@pytest.mark.parametrize("options", [{"design": "dpp", "repeats": 2}, {"design": "volume"}, {}])
def test_certificates_have_what_squares_of_the_condition_take(options):
    """Up to a condition of 1e4 coordinates come from the triangle of A'A as it is."""
    for seed in range(60):
        g = np.random.default_rng(seed)
        d = int(g.integers(2, 7))
        n = d if seed % 2 else int(g.integers(d, 40))
        A = g.standard_normal((n, d))
        A[:, 0] = A[:, 1] + 10 ** -g.uniform(0.0, 7.0) * A[:, 0]
        condition = np.linalg.cond(A)
        size = {} if options.get("design") == "dpp" else {"size": n}
        sample = nearlin.sample_rows(A, rng=seed, **size, **options)
        assert longer_distortion(A, sample) <= sample.certificate.bound
        if n == d:
            assert sample.weights == pytest.approx(np.ones(d), abs=1e-12 + 1e-13 * condition)


@pytest.mark.parametrize("frame", [pandas.DataFrame, polars.DataFrame])
def test_names_of_columns_are_kept_and_compared(frame):
    A = reference.gaussian(300, 3)
    named = frame({name: A[:, j] for j, name in enumerate("abc")})
    sample = nearlin.sample_rows(named, A[:, 0], size=50, rng=0)
    assert sample.feature_names == ["a", "b", "c"]
    np.testing.assert_array_equal(sample.apply(named), sample.apply(A))
    with pytest.raises(InvalidInputError, match="`A` is a frame whose column 0 is 'c', expected 'a'"):
        sample.apply(named[["c", "b", "a"]])
    with pytest.raises(InvalidInputError, match="column 2 is none, expected 'c'"):
        sample.apply(named[["a", "b"]])
    other = nearlin.sample_rows(A, size=50, rng=0)
    assert other.feature_names is None
    assert other.apply(named[["c", "b", "a"]]).shape == (len(other), 3)
    assert nearlin.sample_rows(pandas.DataFrame(A), size=50, rng=0).feature_names is None


def test_memory_that_is_not_there_is_an_error_of_nearlin():
    wide = np.broadcast_to(1.0, (4, 2**44))
    sample = nearlin.sample_rows(np.eye(4), size=4, rng=0)
    for call in (
        lambda: nearlin.sample_rows(wide, np.ones(4), size=4),
        lambda: nearlin.StreamingCoreset(4).partial_fit(wide, np.ones(4)),
        lambda: sample.apply(wide),
    ):
        with pytest.raises(AllocationError, match="copy of `A`"):
            call()


def test_the_rank_that_a_size_is_compared_with_is_that_of_targets_too():
    with pytest.raises(InvalidInputError, match="at least 2, the rank of A and of targets beside it"):
        nearlin.sample_rows(np.ones((9, 1)), np.arange(9.0), size=1)


def test_an_empty_sample_is_explained():
    samples = [nearlin.sample_rows(np.ones((10, 1)), size=1, rng=seed) for seed in range(30)]
    empty = [sample for sample in samples if len(sample) == 0]
    assert empty
    assert all("no row was drawn" in sample.explain() for sample in empty)


def test_rows_of_zeros_are_never_drawn():
    A = GENERATORS["gaussian"](200, 3)
    A[::2] = 0.0
    sample = nearlin.sample_rows(A, size=50, scores="uniform", rng=0)
    assert (sample.indices % 2 == 1).all()
    assert sample.weights == pytest.approx(2.0)


def test_messages():
    A, y = GENERATORS["gaussian"](50, 3), np.zeros(50)
    with pytest.raises(InvalidInputError, match="is not given, nor is `eps`"):
        nearlin.sample_rows(A)
    with pytest.raises(InvalidInputError, match="is given beside `eps`"):
        nearlin.sample_rows(A, size=10, eps=0.5)
    with pytest.raises(InvalidInputError, match="leverage, lewis"):
        nearlin.sample_rows(A, size=10, scores=None)
    y[5] = np.nan
    with pytest.raises(NonFiniteError, match=r"at \[5\]"):
        nearlin.sample_rows(A, y, size=10)
    with pytest.warns(GuaranteeWarning, match=r"p = 2\.000000000001"):
        nearlin.sample_rows(A, p=2.0 + 1e-12, size=40, rng=0)
    v = np.ones(50)
    v[5] = 0.0
    assert 5 not in nearlin.sample_rows(A, y, size=10, sample_weight=v, rng=0).indices


@pytest.mark.parametrize("p", [1.0, 3.0])
def test_a_search_can_be_declined(p):
    A = reference.student(5000, 4)
    with pytest.warns(GuaranteeWarning, match="largest that was found"):
        searched = nearlin.sample_rows(A, p=p, size=300, rng=0)
    with warnings.catch_warnings(action="error"):
        plain = nearlin.sample_rows(A, p=p, size=300, certify=False, rng=0)
    np.testing.assert_array_equal(plain.indices, searched.indices)
    assert math.isnan(plain.certificate.estimate)
    assert plain.certificate.details == {}
    with pytest.raises(InvalidTypeError, match="certify"):
        nearlin.sample_rows(A, p=p, size=300, certify=1)
    assert nearlin.sample_rows(A, size=300, certify=False, rng=0).certificate.confidence == 1.0
