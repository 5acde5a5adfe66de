"""Updates by name, Frequent Directions, and the random probe."""

import numpy as np
import pytest
import scipy.sparse as sp

import nearlin
from nearlin.exceptions import InvalidInputError

EXACT = ("gram", "qr", "krylov", "lcov", "zha-simon")
COMPRESSED = ("lcov-gkl", "lcov-rpi", "vecharynski-saad", "yamazaki")
K = 10


def zha_simon(U, s, V, E):
    """Append rows by dense QR and a dense rotation."""
    X = E.T - V @ (V.T @ E.T)
    Q, R = np.linalg.qr(X)
    M = np.block([[np.diag(s), np.zeros((len(s), R.shape[0]))], [E @ V, R.T]])
    F, theta, G = np.linalg.svd(M)
    k = len(s)
    U = np.vstack([U @ F[:k, :k], F[k:, :k]])
    return U, theta[:k], V @ G[:k, :k].T + Q @ G[:k, k:].T


def random_sparse(seed, shape=(300, 200), density=0.05):
    return sp.random_array(
        shape, density=density, rng=seed, format="csr", data_sampler=np.random.default_rng(seed).normal
    )


def model_of(A, method="auto", **options):
    return nearlin.TruncatedSVD(K, oversample=0, method=method, tol=1e-13, random_state=0, **options).fit(A)


def factors(model):
    return model.left_singular_vectors(), model.singular_values_, model.components_.T


@pytest.mark.parametrize("size", [1, 5, 20])
@pytest.mark.parametrize("method", EXACT)
def test_exact_methods_are_those_of_zha_and_simon(method, size):
    A = random_sparse(size)
    model = model_of(A[:200], method)
    U, s, V = factors(model)
    for start in range(200, 300, size):
        model.append_rows(A[start : start + size])
        U, s, V = zha_simon(U, s, V, A[start : start + size].toarray())
    assert np.max(np.abs(model.singular_values_ / s - 1.0)) < 1e-10
    left, values, right = factors(model)
    assert np.max(np.abs(left * values @ right.T - U * s @ V.T)) < 1e-10 * s[0]
    for side in (left, right):
        assert np.max(np.abs(side.T @ side - np.eye(K))) < 1e-10
    assert model.certificate_.details["statement"].startswith("rows were appended alone")


@pytest.mark.parametrize("method", COMPRESSED)
def test_what_is_compressed_is_certified_as_such(method):
    A = random_sparse(3)
    model = model_of(A[:150], method)
    for start in range(150, 300, 25):
        model.append_rows(A[start : start + 25])
    left, values, right = factors(model)
    for side in (left, right):
        assert np.max(np.abs(side.T @ side - np.eye(K))) < 1e-10
    error = np.linalg.norm(A.toarray() - left * values @ right.T) / sp.linalg.norm(A)
    assert error <= model.certificate_.bound
    assert model.certificate_.details["statement"].startswith("anything")
    true = np.linalg.svd(A.toarray(), compute_uv=False)[:K]
    between = model.certificate_.details["singular_value_bounds"]
    assert all(low <= value <= high for (low, high), value in zip(between, true, strict=True))


@pytest.mark.parametrize("method", EXACT + COMPRESSED)
def test_columns_wider_rows_deletes_and_bytes_go_with_every_method(method):
    A = random_sparse(5, (120, 90))
    model = model_of(A[:60, :60], method, track="probe")
    model.append_columns(A[:60, 60:70]).append_rows(A[60:100]).delete_rows([0, 50]).add_entries(
        [1], [2], [3.0]
    )
    model.append_rows(A[100:])
    twin = nearlin.TruncatedSVD.from_bytes(model.to_bytes())
    for each in (model, twin):
        each.append_rows(A[:7])
    assert model.to_bytes() == twin.to_bytes()
    assert model.orthogonality_error_ < 1e-10
    dense = A.toarray().copy()
    dense[:60, 70:] = 0.0
    dense = np.delete(dense, [0, 50], axis=0)
    dense[1, 2] += 3.0
    dense = np.vstack([dense, A[:7].toarray()])
    left, values, right = factors(model)
    true = np.linalg.norm(dense - left * values @ right.T) / np.linalg.norm(dense)
    certificate = model.certificate_
    assert certificate.details["probe_valid"]
    assert certificate.confidence == 0.99
    assert true <= certificate.bound
    assert 0.6 * true < certificate.estimate < 1.6 * true


@pytest.mark.parametrize("method", EXACT + COMPRESSED)
def test_heavy_orthogonal_rows(method):
    A = random_sparse(7, (80, 60), 0.2)
    model = model_of(A, method)
    # Lanczos from one vector sees one of several that are equal.
    sizes = 1e3 * model.singular_values_[0] * np.linspace(2.0, 1.0, K)
    heavy = sp.csr_array((sizes, (np.arange(K), 60 + np.arange(K))), (K, 72))
    model.append_rows(heavy)
    assert np.allclose(model.singular_values_, sizes, rtol=1e-9)
    assert model.orthogonality_error_ < 1e-10


def test_frequent_directions():
    for seed in range(10):
        A = random_sparse(seed, (200, 50), 0.2)
        model = model_of(A[:80], robust="fd")
        for start in range(80, 200, 20):
            model.append_rows(A[start : start + 20])
        dense, (left, s, V) = A.toarray(), factors(model)
        inside = np.linalg.eigvalsh(dense.T @ dense - V * s**2 @ V.T)
        certificate, true = model.certificate_, np.linalg.svd(dense, compute_uv=False)
        assert inside[0] > -1e-10 * true[0] ** 2
        assert inside[-1] <= certificate.details["spread"] * (1.0 + 1e-9)
        assert all(inside[-1] <= np.sum(true[j:] ** 2) / (K - j) for j in range(K))
        assert np.linalg.norm(dense - left * s @ V.T) <= certificate.bound * np.linalg.norm(dense)
        assert "Frequent Directions" in certificate.details["statement"]
        between = certificate.details["singular_value_bounds"]
        assert all(low <= value <= high for (low, high), value in zip(between, true, strict=False))


def test_the_probe_is_unbiased_and_lost_with_a_column_that_nobody_told():
    A = random_sparse(1, (150, 80)).toarray()
    ratios = []
    for seed in range(100):
        model = nearlin.TruncatedSVD(5, oversample=3, track="probe", random_state=seed).fit(A[:100, :70])
        model.append_columns(A[:100, 70:]).append_rows(A[100:])
        left, s, V = factors(model)
        true = np.linalg.norm(A - left * s @ V.T)
        ratios.append(model.certificate_.estimate**2 * np.linalg.norm(A) ** 2 / true**2)
    assert abs(np.mean(ratios) - 1.0) < 4.0 * np.std(ratios) / 10.0
    told = model.copy().delete_columns([3, 1], values=A[:, [3, 1]])
    assert told.certificate_.details["probe_valid"]
    model.delete_columns([3, 1])
    assert not model.certificate_.details["probe_valid"]
    assert "probe is lost" in model.certificate_.note
    assert model.refresh(np.delete(A, [3, 1], axis=1)).certificate_.details["probe_valid"]


@pytest.mark.parametrize("options", [{"track": "probe"}, {"robust": "fd"}])
def test_models_that_do_different_things_are_not_merged(options):
    A = random_sparse(1)
    model = model_of(A)
    before = model.to_bytes()
    with pytest.raises(InvalidInputError, match="track"):
        model.merge(model_of(A, **options))
    assert model.to_bytes() == before


@pytest.mark.parametrize("options", [{"track": "trace"}, {"robust": "yes"}, {"method": "zhasimon"}])
def test_unknown_words(options):
    with pytest.raises(InvalidInputError, match=next(iter(options))):
        nearlin.TruncatedSVD(2, **options).fit(np.eye(5))


@pytest.mark.parametrize("method", EXACT + COMPRESSED)
def test_rows_that_bring_nothing(method):
    A = random_sparse(9, (40, 30), 0.3)
    model = nearlin.TruncatedSVD(K, oversample=0, method=method, tol=1e-13, random_state=0).fit(A)
    inside = model.left_singular_vectors()[:3] * model.singular_values_ @ model.components_
    both = np.vstack(
        [np.diag(model.singular_values_), model.left_singular_vectors()[:3] * model.singular_values_]
    )
    model.append_rows(sp.csr_array((4, 30))).append_rows(inside)
    left, s, right = factors(model)
    assert np.allclose(s, np.linalg.svd(both, compute_uv=False), rtol=1e-10)
    for side in (left, right):
        assert np.max(np.abs(side.T @ side - np.eye(K))) < 1e-10
