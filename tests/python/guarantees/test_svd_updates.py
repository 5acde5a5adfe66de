"""An SVD that follows a matrix: exactness, orthogonality and certificates over seeds and long streams."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose
from reference.svd import with_spectrum
from reference.svd_gram import GramUpdates
from reference.svd_update import (
    COMPRESSING,
    EXACT,
    REFERENCES,
    SUBSPACE,
    UPDATES,
    Truncated,
    assert_follows,
    assert_sound,
    factors,
    fitted,
    follow,
    leading_share,
    orthogonality,
    power_law,
    product,
    scattered,
    scattered_rows,
    true_error,
)

from nearlin import TruncatedSVD

pytestmark = [
    pytest.mark.guarantee,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::nearlin.exceptions.FallbackWarning"),
]

ONE_SIDED = ["rows", "decay"]
SPECTRA = {
    "planted": np.r_[np.linspace(20.0, 10.0, 8), np.full(42, 0.3)],
    "flat": np.ones(50),
    "falling": 0.85 ** np.arange(50),
}


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("kind", ["rows", "columns", "low rank"])
@pytest.mark.parametrize("s", [1, 5, 20])
def test_every_exact_method_is_that_of_zha_and_simon(s, kind, method):
    for seed in range(50):
        A = scattered(300, 200, 6, seed)
        model, expected = fitted(A, 10, method)
        for _ in follow([model, expected], A, [kind], 3, seed, s):
            assert_follows(model, expected, subspace=SUBSPACE.get(method, 1e-14))


@pytest.mark.parametrize("method", REFERENCES)
@pytest.mark.parametrize("kind", ["rows", "columns"])
def test_the_references_are_exact_while_a_batch_is_no_wider_than_they_compress_to(kind, method):
    for seed in range(20):
        A = scattered(100, 80, 6, seed)
        model, expected = fitted(A, 10, method)
        for _ in follow([model, expected], A, [kind], 5, seed, s=3):
            assert_follows(model, expected, digits=1e-9, orthonormal=1e-10, subspace=1e-10)


@pytest.mark.parametrize("method", [*EXACT, *REFERENCES])
def test_no_method_is_far_from_the_best_of_its_rank(method):
    A = power_law(3000, 2000, 60_000)[np.random.default_rng(0).permutation(3000)]
    model = TruncatedSVD(8, oversample=8, method=method, random_state=0).fit(A[:1500])
    for start in range(1500, 3000, 150):
        model.append_rows(A[start : start + 150])
    s = np.linalg.svd(A.toarray(), compute_uv=False)[:8]
    assert (model.singular_values_ <= s * (1 + 1e-9)).all()
    assert abs(model.singular_values_ / s - 1.0).mean() <= (0.1 if method in COMPRESSING else 0.03)
    assert orthogonality(model) <= 1e-8
    assert_sound(model, A)


@pytest.mark.parametrize("method", ["lcov", "zha-simon", "qr"])
def test_every_way_to_keep_the_bases_is_the_same(method):
    A = scattered(120, 90)
    kinds = ["rows", "columns", "wider rows", "delete rows", "delete columns", "decay", "low rank"]
    models = [fitted(A, 8, name)[0] for name in ("gram", method)]
    for step, _ in enumerate(follow(models, A, kinds, 1000, s=3)):
        if step % 50 == 49:
            scale = models[0].singular_values_[0]
            assert_allclose(models[1].singular_values_, models[0].singular_values_, atol=1e-9 * scale)
            assert_allclose(product(models[1]), product(models[0]), atol=1e-9 * scale)


# --- orthogonality ------------------------------------------------------------------------------------------


def drifting(ratio, rows, repair_every=0, rank=32, n=2000, dtype=np.float64):
    """Append single rows of power-law columns to a matrix whose spectrum spans that ratio."""
    rng = np.random.default_rng(0)
    s = 20.0 * np.geomspace(1.0, 1.0 / ratio, rank)
    model = TruncatedSVD(rank, oversample=0, tol=1e-12, random_state=0)
    model.fit(with_spectrum(500, n, s).astype(dtype))
    weights = rng.pareto(1.5, n) + 1.0
    columns = [rng.choice(n, 20, replace=False, p=weights / weights.sum()) for _ in range(rows)]
    data = 0.3 * s[-1] * rng.standard_normal(20 * rows)
    E = sp.csr_array((data, np.concatenate(columns), 20 * np.arange(rows + 1)), shape=(rows, n)).astype(dtype)
    for i in range(rows):
        yield i, model.append_rows(E[i : i + 1])


def test_ten_thousand_rows_need_no_repair():
    for i, model in drifting(4.6, 10_000):
        if i % 500 == 499:
            true = orthogonality(model)
            assert true <= 2e-12
            assert true / 2.0 - 2e-14 <= model.orthogonality_error_ <= 64.0 * true + 2e-14
            assert model.spectrum_ratio_ <= 30.0
    assert model.n_repairs_ == 0
    assert model.n_fallbacks_ == 0


@pytest.mark.parametrize("ratio", [2e2, 1e3, 1e6, 1e10])
def test_graded_spectra_stay_orthogonal_at_every_step(ratio):
    for i, model in drifting(ratio, 3000):
        assert model.orthogonality_error_ <= 1e-10
        if i % 100 == 99:
            assert orthogonality(model) <= 1e-10
    assert model.spectrum_ratio_ > ratio / 30.0


def test_single_precision_stays_orthogonal():
    for i, model in drifting(4.6, 3000, dtype=np.float32):
        if i % 300 == 299:
            assert orthogonality(model) <= 1e-5


def test_the_prototype_drifts_no_more():
    """By the same rows: what the bench times is worth being compared with."""
    U, s, Vt = np.linalg.svd(with_spectrum(500, 2000, np.geomspace(20.0, 4.0, 32)), full_matrices=False)
    model, rng = GramUpdates(U[:, :32], s[:32], Vt[:32].T), np.random.default_rng(0)
    rows = scattered_rows(rng, 10_000, 2000, 20)
    for i in range(10_000):
        model.append_rows(rows[i : i + 1])
    for side in (model.left, model.right):
        Q = side.all()
        assert abs(Q.T @ Q - np.eye(32)).max() <= 2e-12


# --- certificates -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("method", [*EXACT, *REFERENCES])
def test_bounds_hold_on_every_stream(method, spectrum):
    kinds = [kind for kind in UPDATES if kind not in ("low rank", "entries", "forget rows")]
    for seed in range(200):
        rng = np.random.default_rng(seed)
        A = with_spectrum(60, 50, SPECTRA[spectrum], seed)[rng.permutation(60)]
        k, start = rng.integers(2, 8), rng.integers(10, 40)
        model = TruncatedSVD(int(k), oversample=int(rng.integers(0, 6)), method=method, random_state=seed)
        model.fit(A[:start])
        for stop in range(start + 5, 61, 5):
            model.append_rows(A[stop - 5 : stop])
            assert_sound(model, A[:stop])
            if method not in COMPRESSING:
                assert leading_share(model, A[:stop]) >= model.certificate_.details["captured"] - 1e-9
                assert_allclose(model.certificate_.bound, true_error(model, A[:stop]), rtol=1e-6, atol=1e-7)
        for B in follow([model], A[:stop], ONE_SIDED if seed % 2 else kinds, 6, seed, s=3):
            assert_sound(model, B)


def test_a_share_of_the_energy_on_real_proportions():
    A = power_law(3000, 2000, 60_000)[np.random.default_rng(0).permutation(3000)]
    model = TruncatedSVD(16, oversample=16, random_state=0).fit(A[:1500])
    for start in range(1500, 3000, 15):
        model.append_rows(A[start : start + 15])
    s = np.linalg.svd(A.toarray(), compute_uv=False)
    optimum = (s[16:] ** 2).sum()
    assert optimum <= model.certificate_.details["lost_energy"] <= 1.005 * optimum


def test_shrunk_directions_have_their_guarantee():
    for seed in range(100):
        for spectrum in SPECTRA.values():
            A = with_spectrum(120, 50, spectrum, seed)
            k = 3 + seed % 8
            model = TruncatedSVD(k, oversample=0, robust="fd", random_state=seed)
            for start in range(0, 120, 8):
                model.partial_fit(A[start : start + 8])
            _, s, V = factors(model)
            left = np.linalg.eigvalsh(A.T @ A - (V * s**2) @ V.T)
            assert left[0] >= -1e-10
            for j in range(k):
                assert left[-1] <= (spectrum[j:] ** 2).sum() / (k - j) * (1 + 1e-9)


@pytest.mark.parametrize("kinds", [["rows"], ["columns"], list(UPDATES)], ids=len)
def test_the_probe_is_unbiased(kinds):
    ratios, held, confidences = [], [], []
    for seed in range(100):
        A = scattered(200, 150, 8, seed)
        model = TruncatedSVD(5, oversample=5, track="probe", random_state=seed).fit(A)
        *_, A = follow([model], A, kinds, 10, seed)
        certificate, true = model.certificate_, true_error(model, A)
        ratios.append(certificate.estimate / true)
        held.append(true <= certificate.bound)
        confidences.append(certificate.confidence)
    assert 0.99 <= np.mean(ratios) <= 1.01
    # Three standard deviations of as many trials.
    confidence = np.mean(confidences)
    assert np.mean(held) >= confidence - 3.0 * np.sqrt(confidence * (1.0 - confidence) / 100)


# --- growth, deletes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", EXACT)
def test_growth_from_one_entry_to_many(method):
    rng = np.random.default_rng(0)
    model = TruncatedSVD(10, oversample=0, method=method, tol=1e-12, random_state=0).partial_fit([[1.0]])
    expected = Truncated([[1.0]], 10)
    while expected.A.shape[0] < 500:
        m, n = expected.A.shape
        rows = rng.standard_normal((5, n))
        columns = rng.standard_normal((m + 5, 4))
        for one in (model, expected):
            one.append_rows(rows)
            one.append_columns(columns)
    assert_follows(model, expected, digits=1e-10, subspace=10 * SUBSPACE.get(method, 1e-14))


def test_windows_that_slide_for_long():
    A = power_law(6000, 800, 60_000)[np.random.default_rng(0).permutation(6000)]
    model = TruncatedSVD(8, oversample=16, random_state=0).fit(A[:1000])
    for start in range(0, 5000, 50):
        model.slide(A[start + 1000 : start + 1050], A[start : start + 50])
    window = A[5000:]
    assert (model.n_samples_seen_, model.n_features_in_) == window.shape
    assert orthogonality(model) <= 1e-10
    assert_allclose(model.energy_, (window.data**2).sum(), rtol=1e-10)
    assert_sound(model, window)
    s = np.linalg.svd(window.toarray(), compute_uv=False)[:8]
    assert abs(model.refresh(window, passes=3).singular_values_ / s - 1.0).max() <= 0.02
