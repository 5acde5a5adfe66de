"""Updates of a truncated SVD beside those of a dense model."""

import numpy as np
import pytest
from reference.svd import with_spectrum
from reference.svd_gram import GramUpdates
from reference.svd_update import (
    EXACT,
    REFERENCES,
    SUBSPACE,
    UPDATES,
    Matrix,
    Truncated,
    assert_follows,
    assert_pca,
    factors,
    fitted,
    follow,
    orthogonality,
    product,
    scattered,
    scattered_rows,
    true_error,
)

from nearlin import TruncatedSVD

pytestmark = pytest.mark.filterwarnings("ignore::nearlin.exceptions.FallbackWarning")


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("kind", UPDATES)
@pytest.mark.parametrize("s", [1, 5, 20])
def test_every_update_truncates_the_changed_model(kind, s, method):
    model, expected = fitted(scattered(), method=method)
    for A in follow([model, expected], scattered(), [kind], 3, s=s):
        assert_follows(model, expected, subspace=SUBSPACE.get(method, 1e-14))
        assert (model.n_samples_seen_, model.n_features_in_) == A.shape
        assert model.left_singular_vectors().shape == (len(A), model.n_components_)
        assert model.components_.shape == (model.n_components_, A.shape[1])


@pytest.mark.parametrize("method", REFERENCES)
@pytest.mark.parametrize("kind", ["rows", "columns"])
def test_the_references_truncate_too_while_they_need_not_compress(kind, method):
    model, expected = fitted(scattered(), method=method)
    for _ in follow([model, expected], scattered(), [kind], 5, s=3):
        assert_follows(model, expected, digits=1e-9, orthonormal=1e-10, subspace=1e-10)


def test_the_prototype_truncates_too():
    model, expected = fitted(scattered())
    fast = GramUpdates(*factors(model))
    for _ in follow([fast, expected], scattered(), ["rows", "columns"], 30):
        np.testing.assert_allclose(fast.s, expected.s, rtol=1e-12)
        P = (fast.left.all() * fast.s) @ fast.right.all().T
        assert np.linalg.norm(P - expected.A, 2) <= 1e-11 * expected.sensitivity


@pytest.mark.parametrize("oversample", ["auto", 3, 20])
@pytest.mark.parametrize("k", [2, 5])
def test_more_triplets_are_kept_than_are_shown(k, oversample):
    A = scattered()
    model = TruncatedSVD(k, oversample=oversample, random_state=0).partial_fit(A[:9])
    expected = Truncated(A[:9], k + (16 if oversample == "auto" else oversample))
    for _ in follow([model, expected], A[:9], ["rows", "columns", "low rank"], 12, seed=k):
        pass
    assert model.singular_values_.shape == (k,)
    np.testing.assert_allclose(model.singular_values_, expected.s[:k], rtol=1e-10)
    assert orthogonality(model) <= 1e-13


@pytest.mark.parametrize("method", EXACT)
def test_nothing_is_lost_while_the_rank_is_within_that_of_the_model(method):
    rng = np.random.default_rng(0)
    truth = Matrix(with_spectrum(60, 50, np.geomspace(10.0, 1.0, 6)))
    model, _ = fitted(truth.A, 10, method)
    steps = {
        "append_rows": lambda A: (rng.standard_normal((5, len(A))) @ A / len(A),),
        "append_columns": lambda A: (A @ rng.standard_normal((A.shape[1], 5)) / A.shape[1],),
        "update": lambda A: tuple(rng.standard_normal((size, 1)) / 5.0 for size in A.shape),
        "delete_rows": lambda A: UPDATES["delete rows"](A, rng, 5)[1],
        "delete_columns": lambda A: UPDATES["delete columns"](A, rng, 5)[1],
        "decay": lambda A: (0.9,),
        "slide": lambda A: (rng.standard_normal((5, len(A))) @ A / len(A), A[:5]),
    }
    kept = [name for name in steps if name != "update"]
    known = True
    for name in [*kept, *rng.choice(kept, 10), *["update"] * 4, *kept]:
        arguments = steps[name](truth.A)
        for one in (truth, model):
            getattr(one, name)(*arguments)
        assert true_error(model, truth.A) <= 1e-11
        known = known and name != "update"
        assert known or model.energy_ is None
        if known:
            np.testing.assert_allclose(model.energy_, np.linalg.norm(truth.A) ** 2, rtol=1e-12)
            assert abs(model.certificate_.details["lost_energy"]) <= 1e-12 * model.energy_


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("method", EXACT)
def test_a_model_of_full_rank_is_the_matrix(method, known):
    kinds = ["rows", "set", "delete rows", *["low rank", "entries"] * (not known)]
    start = scattered(40, 12)
    model, _ = fitted(start, 12, method)
    for step, A in enumerate(follow([model], start, kinds, 24)):
        assert true_error(model, A) <= 1e-12 * (step + 1)
        scores = A @ model.components_.T
        np.testing.assert_allclose(model.transform(A), scores, atol=1e-12)
        np.testing.assert_allclose(model.explained_variance_, scores.var(axis=0), rtol=1e-9, atol=1e-12)
        if known:
            np.testing.assert_allclose(model.energy_, np.linalg.norm(A) ** 2, rtol=1e-12)
            shares = scores.var(axis=0) / A.var(axis=0).sum()
            np.testing.assert_allclose(model.explained_variance_ratio_, shares, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", EXACT)
def test_growth_from_a_single_entry(method):
    rng = np.random.default_rng(0)
    model = TruncatedSVD(6, oversample=0, method=method, tol=1e-12, random_state=0)
    model.partial_fit(np.array([[2.0]]))
    expected = Truncated([[2.0]], 6)
    while len(expected.A) < 50:
        m, n = expected.A.shape
        for name, F in {"append_rows": rng.standard_normal((2, n)), "append_columns": None}.items():
            F = rng.standard_normal((m + 2, 1)) if F is None else F
            for one in (model, expected):
                getattr(one, name)(F)
            assert model.n_components_ <= min(6, *expected.A.shape)
    assert model.n_components_ == 6
    assert_follows(model, expected, subspace=SUBSPACE.get(method, 1e-14))


def test_partial_fit_is_append_rows():
    A = scattered()
    first = TruncatedSVD(4, random_state=0).partial_fit(A[:20]).partial_fit(A[20:])
    second = TruncatedSVD(4, random_state=0).append_rows(A[:20]).append_rows(A[20:])
    assert first.to_bytes() == second.to_bytes()
    assert first.left_singular_vectors().shape == (60, 4)


def test_a_window_forgets_what_has_left_it():
    rng = np.random.default_rng(0)
    latent, loads = rng.standard_normal((200, 4)), rng.standard_normal((4, 30))
    A = latent @ loads
    model, _ = fitted(A[:50], 6)
    for start in range(0, 150, 5):
        model.slide(A[start + 50 : start + 55], A[start : start + 5])
        window = A[start + 5 : start + 55]
        assert model.n_samples_seen_ == 50
        assert true_error(model, window) <= 1e-12
        np.testing.assert_allclose(model.energy_, np.linalg.norm(window) ** 2, rtol=1e-11)


def test_decay_weighs_old_rows():
    model, expected = fitted(scattered())
    rng, energy = np.random.default_rng(0), np.linalg.norm(scattered().toarray()) ** 2
    for _ in range(30):
        batch = scattered_rows(rng, 4, 40)
        for one in (model, expected):
            one.decay(0.9)
            one.append_rows(batch)
        energy = 0.81 * energy + (batch.data**2).sum()
    assert_follows(model, expected)
    np.testing.assert_allclose(model.energy_, energy, rtol=1e-12)
    before = model.to_bytes()
    assert model.decay(1.0).to_bytes() == before


def test_truncation_keeps_the_leading_triplets():
    model, _ = fitted(scattered())
    U, s, V = factors(model)
    model.truncate(3)
    assert model.n_components_ == 3
    np.testing.assert_allclose(product(model), (U[:, :3] * s[:3]) @ V[:, :3].T, atol=1e-13)
    assert true_error(model, scattered()) <= model.certificate_.bound * (1 + 1e-9)


@pytest.mark.parametrize("method", EXACT)
def test_merging_stacks_rows(method):
    A, B = scattered(), scattered(30, seed=1)
    model, expected = fitted(A, method=method)
    other, expected_other = fitted(B, method=method)
    before = other.to_bytes()
    model.merge(other)
    expected.merge(expected_other)
    assert_follows(model, expected)
    assert other.to_bytes() == before
    np.testing.assert_allclose(
        model.energy_, np.linalg.norm(np.r_[A.toarray(), B.toarray()]) ** 2, rtol=1e-13
    )
    assert true_error(model, np.r_[A.toarray(), B.toarray()]) <= model.certificate_.bound * (1 + 1e-9)


def test_merging_in_any_order_and_on_any_number_of_threads():
    A = with_spectrum(400, 50, np.geomspace(5.0, 1.0, 8))

    def part(i, n_jobs=1):
        return fitted(A[100 * i : 100 * i + 100], 8, n_jobs=n_jobs)[0]

    one_by_one = part(0).merge(part(1)).merge(part(2)).merge(part(3))
    in_pairs = [
        part(0).merge(part(1), n_jobs=n_jobs).merge(part(2).merge(part(3), n_jobs=n_jobs), n_jobs=n_jobs)
        for n_jobs in (1, 2, 4)
    ]
    np.testing.assert_allclose(one_by_one.singular_values_, np.geomspace(5.0, 1.0, 8), rtol=1e-10)
    np.testing.assert_allclose(in_pairs[0].singular_values_, one_by_one.singular_values_, rtol=1e-10)
    assert true_error(in_pairs[0], A) <= 1e-11
    assert len({model.to_bytes() for model in in_pairs}) == 1


def test_a_refresh_mends_what_updates_have_lost():
    A = scattered(300, 200, 8)
    model = TruncatedSVD(5, random_state=0).partial_fit(A[:20])
    for start in range(20, 300, 20):
        model.append_rows(A[start : start + 20])
    s = np.linalg.svd(A.toarray(), compute_uv=False)[:5]
    errors = []
    for passes in (0, 1, 2, 30):
        if passes:
            model.refresh(A, passes=passes)
        errors.append(abs(model.singular_values_ - s).max() / s[0])
        assert orthogonality(model) <= 1e-13
        assert true_error(model, A) <= model.certificate_.bound * (1 + 1e-9)
    assert errors[1] < 0.5 * errors[0]
    assert errors[2] < errors[1]
    assert errors[3] <= 1e-6
    model.append_rows(A[:5])
    assert model.n_samples_seen_ == 305


def test_merging_joins_means():
    X = np.random.default_rng(0).standard_normal((90, 12)) + np.arange(12.0)
    first, second = (TruncatedSVD(4, oversample=20, center=True).fit(part) for part in (X[:30] + 1.0, X[30:]))
    assert_pca(first.merge(second), np.vstack([X[:30] + 1.0, X[30:]]))


@pytest.mark.parametrize("kind", [kind for kind in UPDATES if kind not in ("forget rows", "decay")])
@pytest.mark.parametrize("method", EXACT)
def test_means_follow_too(kind, method):
    start = np.random.default_rng(0).standard_normal((50, 12)) + np.arange(12.0)
    model = TruncatedSVD(4, oversample=60, method=method, tol=1e-12, center=True, random_state=0).fit(start)
    for A in follow([model], start, [kind], 3, s=3):
        assert_pca(model, A)


def test_a_mean_of_rows_that_fade():
    rng = np.random.default_rng(0)
    rows, weights = rng.standard_normal((60, 8)) + 3.0, np.zeros(0)
    model = TruncatedSVD(3, oversample=20, center=True, random_state=0)
    for start in range(0, 60, 10):
        if start:
            model.decay(0.7)
        model.partial_fit(rows[start : start + 10])
        weights = np.r_[0.49 * weights, np.ones(10)]
        assert_pca(model, rows[: start + 10], weights)
