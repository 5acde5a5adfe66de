"""What a certificate says of an updated SVD, beside what is true."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from reference.svd import with_spectrum
from reference.svd_update import (
    COMPRESSING,
    EXACT,
    REFERENCES,
    UPDATES,
    assert_sound,
    factors,
    follow,
    scattered,
    scattered_rows,
    true_error,
)

from nearlin import TruncatedSVD

pytestmark = pytest.mark.filterwarnings("ignore::nearlin.exceptions.FallbackWarning")

KNOWN = [kind for kind in UPDATES if kind not in ("low rank", "entries", "forget rows")]
"""Updates that tell the energy of what they change."""


def started(method="auto", oversample=3, **options):
    return TruncatedSVD(5, oversample=oversample, method=method, random_state=0, **options).fit(scattered())


@pytest.mark.parametrize("method", [*EXACT, *REFERENCES])
@pytest.mark.parametrize("kinds", [["rows", "decay"], ["columns"], ["rows", "columns"], KNOWN], ids=len)
def test_no_bound_is_below_the_truth(kinds, method):
    model = started(method)
    for A in follow([model], scattered(), kinds, 12, s=4):
        assert_sound(model, A)
        assert not np.isnan(model.certificate_.bound)
        assert_allclose(model.energy_, np.linalg.norm(A) ** 2, rtol=1e-12)


@pytest.mark.parametrize("method", [*EXACT, "lcov", "zha-simon"])
@pytest.mark.parametrize("kind", ["rows", "columns"])
def test_what_one_sided_updates_lose_is_known_exactly(kind, method):
    model = started(method)
    for A in follow([model], scattered(), [kind], 12, s=4):
        U, s, V = factors(model)
        certificate, energy = model.certificate_, np.linalg.norm(A) ** 2
        lost = true_error(model, A) ** 2 * energy
        assert_allclose(certificate.details["lost_energy"], lost, rtol=1e-9)
        assert_allclose(certificate.bound, np.sqrt(lost / energy), rtol=1e-6)
        assert_allclose(certificate.details["captured"], (s**2).sum() / energy, rtol=1e-9)
        kept = np.linalg.norm(A @ V if kind == "rows" else U.T @ A) ** 2
        assert certificate.details["captured"] <= kept / energy * (1 + 1e-9)


def test_the_certificate_tells_which_statement_it_rests_on():
    rows = started().append_rows(scattered(3))
    both = rows.copy().append_columns(scattered(63, 3))
    statements = [model.certificate_.details["statement"] for model in (rows, both)]
    assert all(statements)
    assert statements[0] != statements[1]


@pytest.mark.parametrize("method", COMPRESSING)
def test_what_a_batch_loses_as_it_is_compressed_is_in_the_bound(method):
    rng, model = np.random.default_rng(0), started(method, 0)
    rows = scattered().toarray()
    for _ in range(3):
        rows = np.vstack([rows, rng.standard_normal((40, 40))])
        model.append_rows(rows[-40:])
        assert_sound(model, rows)
    exact = started("zha-simon", 0)
    for start in range(60, 180, 40):
        exact.append_rows(rows[start : start + 40])
    assert true_error(model, rows) >= true_error(exact, rows) * (1 - 1e-9)
    assert model.certificate_.details["discarded"] > exact.certificate_.details["discarded"]


def test_a_change_of_too_many_rows_and_columns_is_compressed_in_sight():
    rng, model, A = np.random.default_rng(0), started(oversample=0), scattered().toarray()
    positions = rng.permutation(60)[:40], rng.permutation(40)
    new, old = rng.standard_normal(40), A[positions]
    A[positions] = new
    model.set_entries(*positions, new, old)
    assert_sound(model, A)


def test_what_is_not_known_is_not_certified():
    for kind in ("low rank", "entries", "forget rows"):
        model = started()
        for A in follow([model], scattered(), [kind], 3):
            assert model.energy_ is None
            assert model.certificate_.note
            assert_sound(model, A)
        model.refresh(A)
        assert_allclose(model.energy_, np.linalg.norm(A) ** 2, rtol=1e-12)
        assert not np.isnan(model.certificate_.bound)
        assert_sound(model, A)


@pytest.mark.parametrize(
    "spectrum", [0.9 ** np.arange(50), np.linspace(2.0, 1.0, 50), np.r_[5.0, np.ones(49)]]
)
def test_shrunk_directions_have_their_guarantee(spectrum):
    k, A = 6, with_spectrum(120, 50, spectrum)
    model = TruncatedSVD(k, oversample=0, robust="fd", random_state=0)
    for start in range(0, 120, 10):
        model.partial_fit(A[start : start + 10])
    _, s, V = factors(model)
    left = np.linalg.eigvalsh(A.T @ A - (V * s**2) @ V.T)
    assert left[0] >= -1e-12
    for j in range(k):
        assert left[-1] <= (spectrum[j:] ** 2).sum() / (k - j) * (1 + 1e-9)
    assert_sound(model, A)


# --- the probe ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kinds", [["rows"], ["columns"], ["low rank", "entries"], list(UPDATES)], ids=len)
def test_the_probe_is_near_the_truth_whatever_happens(kinds):
    ratios, held = [], 0
    for seed in range(8):
        model = TruncatedSVD(5, oversample=3, track="probe", random_state=seed).fit(scattered())
        *_, A = follow([model], scattered(), kinds, 8, seed=seed)
        certificate, true = model.certificate_, true_error(model, A)
        ratios.append(certificate.estimate / true)
        held += true <= certificate.bound
        # What is known exactly comes first.
        assert 0.5 < certificate.confidence <= 1.0
    assert 0.93 <= np.mean(ratios) <= 1.07
    assert all(0.7 < ratio < 1.4 for ratio in ratios)
    assert held >= 7


@pytest.mark.parametrize("kind", [*UPDATES, "merge"])
def test_the_probe_of_a_model_that_loses_little_sees_every_change(kind):
    ratios = []
    for seed in range(8):
        model = TruncatedSVD(36, oversample=0, track="probe", random_state=seed).fit(scattered(seed=seed))
        if kind == "merge":
            A = np.vstack([scattered(seed=seed).toarray(), scattered(50).toarray()])
            model.merge(TruncatedSVD(36, oversample=0, track="probe", random_state=seed).fit(scattered(50)))
        else:
            *_, A = follow([model], scattered(seed=seed), [kind], 2, seed, s=2)
        assert true_error(model, A) <= 0.3
        ratios.append(model.certificate_.estimate / true_error(model, A))
    assert 0.8 <= np.mean(ratios) <= 1.25


def test_a_column_that_leaves_without_its_values_ends_the_probe():
    model = started(track="probe").delete_columns([3])
    certificate = model.certificate_
    assert np.isnan(certificate.estimate)
    assert np.isnan(certificate.bound)
    assert certificate.note
    model.append_rows(scattered_rows(np.random.default_rng(0), 2, 39))
    assert np.isnan(model.certificate_.bound)


# --- what is not known any more -----------------------------------------------------------------------------


def test_columns_after_a_projection_from_the_left_are_a_mixed_update():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((60, 40))
    model = TruncatedSVD(2, oversample=0).partial_fit(rng.standard_normal((60, 40))).refresh(A)
    F = rng.standard_normal((60, 5))
    assert_sound(model.append_columns(F), np.hstack([A, F]))


@pytest.mark.parametrize("seed", range(5))
def test_a_mixed_model_stays_one_when_it_is_merged(seed):
    rng = np.random.default_rng(seed)
    X, Y = rng.standard_normal((2, 30, 30))
    other = TruncatedSVD(2, oversample=0).fit(X)
    other.delete_rows(range(15), X[:15]).append_rows(X[:15])
    assert_sound(TruncatedSVD(2, oversample=0).fit(Y).merge(other), np.vstack([Y, X[15:], X[:15]]))


def test_what_was_large_leaves_its_rounding():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((30, 8))
    large = A.copy()
    large[0, 0] = 1e8
    model = TruncatedSVD(8, oversample=0).fit(large).set_entries([0], [0], [A[0, 0]], [1e8])
    assert true_error(model, A) <= model.certificate_.bound
    assert model.energy_ is None or np.isclose(model.energy_, np.linalg.norm(A) ** 2, rtol=0.1)
    model = TruncatedSVD(8, oversample=0).fit(A)
    D, E = rng.standard_normal((30, 1)), 1e9 * rng.standard_normal((8, 1))
    assert_sound(model.update(D, E).update(-D, E), A)


@pytest.mark.parametrize("noise", [1e-5, 1e-4, 1e-3])
def test_single_precision_is_in_the_bounds(noise):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        basis = rng.standard_normal((200, 6)) @ rng.standard_normal((6, 40))
        A = (basis + noise * rng.standard_normal((200, 40))).astype(np.float32)
        model = TruncatedSVD(6, oversample=0).partial_fit(A[:50])
        for start in range(50, 200, 10):
            model.append_rows(A[start : start + 10])
        s = np.linalg.svd(A.astype(float), compute_uv=False)
        assert true_error(model, A.astype(float)) <= model.certificate_.bound
        bounds = np.array(model.certificate_.details["singular_value_bounds"])
        assert np.all(bounds[:, 0] <= s[:6])
        assert np.all(s[:6] <= bounds[:, 1])
