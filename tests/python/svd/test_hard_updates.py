"""Updates of a truncated SVD in which orthogonality or accuracy could be lost."""

import numpy as np
import pytest
import scipy.sparse as sp
from reference.svd import with_spectrum
from reference.svd_update import (
    EXACT,
    SUBSPACE,
    assert_follows,
    fitted,
    heavy_rows,
    mostly_on,
    orthogonality,
    product,
    scattered,
    scattered_rows,
)

import nearlin
from nearlin import TruncatedSVD
from nearlin.exceptions import FallbackWarning

pytestmark = pytest.mark.filterwarnings("ignore::nearlin.exceptions.FallbackWarning")


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("scale", [1.0, 10.0, 1e3])
@pytest.mark.parametrize("together", [False, True])
def test_heavy_rows_that_are_orthogonal_to_the_model(scale, together, method):
    A, heavy = heavy_rows(scattered(), scale)
    model, expected = fitted(A, 10, method)
    for batch in [heavy] if together else heavy[:, np.newaxis]:
        for one in (model, expected):
            one.append_rows(batch)
    np.testing.assert_allclose(model.singular_values_, np.full(10, heavy.max()), rtol=1e-13)
    assert orthogonality(model) <= 1e-14


def graded(rank, ratio, method, steps, m=120, n=90):
    """Follow a matrix of a graded spectrum whose new rows are graded too."""
    s = np.geomspace(1.0, 1.0 / ratio, rank)
    model, expected = fitted(with_spectrum(m, n, s), rank, method)
    rng = np.random.default_rng(0)
    for _ in range(steps):
        batch = sp.csr_array(scattered_rows(rng, rank, n).multiply(0.3 * s[:, np.newaxis]))
        for one in (model, expected):
            one.append_rows(batch)
        yield model, expected


@pytest.mark.parametrize("ratio", [1e2, 1e4, 1e7, 1e10])
def test_graded_spectra(ratio):
    for model, expected in graded(8, ratio, "auto", 5):
        np.testing.assert_allclose(model.singular_values_, expected.s, rtol=0, atol=1e-12)
        assert np.linalg.norm(product(model) - expected.A, 2) <= 1e-12
        assert orthogonality(model) <= 1e-12
        np.testing.assert_allclose(
            model.spectrum_ratio_, expected.s[0] / expected.s[-1], rtol=max(1e-6, 1e-14 * ratio)
        )


def test_squares_give_way_to_reflections_with_a_word():
    with pytest.warns(FallbackWarning) as caught:
        *_, (model, _) = graded(8, 1e6, "gram", 3)
    assert [warning.category for warning in caught].count(FallbackWarning) == 1
    assert model.n_fallbacks_ >= 1
    assert orthogonality(model) <= 1e-12
    *_, (model, _) = graded(8, 20.0, "gram", 3)
    assert model.n_fallbacks_ == 0


@pytest.mark.parametrize("method", EXACT)
def test_singular_vectors_that_live_where_the_batch_does(method):
    A = sp.block_diag([scattered(10, 5, 5), scattered(50, 35)], "csr")
    model, expected = fitted(A, 12, method)
    rng = np.random.default_rng(1)
    batches = {
        "on the block": sp.hstack([scattered_rows(rng, 4, 5), sp.csr_array((4, 35))], "csr"),
        "on all columns": rng.standard_normal((4, 40)),
        "on none": sp.csr_array((4, 40)),
        "in the span": rng.standard_normal((4, 12)) @ model.components_,
        "twice": np.repeat(rng.standard_normal((2, 40)), 2, axis=0),
    }
    for batch in batches.values():
        for one in (model, expected):
            one.append_rows(batch)
        assert_follows(model, expected, subspace=SUBSPACE.get(method, 1e-14))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_orthogonality_is_tracked_over_single_rows(dtype):
    n = 400
    A = (20.0 * with_spectrum(300, n, np.linspace(4.6, 1.0, 32))).astype(dtype)
    rng = np.random.default_rng(0)
    model = TruncatedSVD(32, oversample=0, random_state=0).fit(A)
    rows = scattered_rows(rng, 600, n, 20).astype(dtype)
    for i in range(600):
        model.append_rows(rows[i : i + 1])
        if i % 100 == 99:
            true, tracked = orthogonality(model), model.orthogonality_error_
            rounding = 1e-14 if dtype == np.float64 else 5e-7
            assert true <= min(2.0 * tracked + rounding, 20 * rounding)
            assert tracked <= 64.0 * true + rounding
    assert model.n_repairs_ == 0
    assert model.n_samples_seen_ == 900


@pytest.mark.parametrize("share", [1e-2, 1e-3, 1e-4, 1e-5, 0.0])
@pytest.mark.parametrize("side", ["rows", "columns"])
def test_what_is_left_of_a_vector_after_a_delete(side, share):
    ids = np.arange(5, 25)
    A = mostly_on(ids, share)
    A = A if side == "rows" else A.T
    model, expected = fitted(A, 6)
    for one in (model, expected):
        getattr(one, f"delete_{side}")(ids)
    assert model.n_components_ == (6 if share else 5)
    assert orthogonality(model) <= 1e-12
    np.testing.assert_allclose(product(model), expected.A, atol=1e-12)


def test_many_deletes_leave_few_rows():
    A = with_spectrum(2000, 60, np.linspace(3.0, 2.0, 6))
    model, _ = fitted(A, 6)
    A, rng = product(model), np.random.default_rng(0)
    for _ in range(99):
        ids = rng.choice(len(A), 20, replace=False)
        model.delete_rows(ids)
        A = np.delete(A, ids, axis=0)
    assert A.shape == (model.n_samples_seen_, 60) == (20, 60)
    assert orthogonality(model) <= 1e-12
    np.testing.assert_allclose(product(model), A, atol=1e-12)


def test_rows_of_the_model_may_leave_and_come_back():
    model, _ = fitted(scattered())
    before, ids = model.singular_values_.copy(), [3, 50, 7]
    rows = product(model)[ids]
    model.delete_rows(ids).append_rows(rows)
    np.testing.assert_allclose(model.singular_values_, before, rtol=1e-10)
    np.testing.assert_allclose(product(model)[-3:], rows, atol=1e-12)


# --- heavy, short, and none at all --------------------------------------------------------------------------


def test_little_is_left_of_a_vector_and_all_of_it_counts():
    A = np.array([[1e7, 0.0], [1.0, 0.0], [0.0, 1.0]])
    model = TruncatedSVD(2, oversample=0, random_state=0).fit(A).delete_rows([0], A[:1])
    np.testing.assert_allclose(model.singular_values_, 1.0, rtol=1e-6)
    np.testing.assert_allclose(product(model), A[1:], atol=1e-6)


@pytest.mark.parametrize("height", [1e3, 1e5, 1e7])
def test_heavy_entries_that_are_replaced_leave_orthonormal_sides(height):
    rng = np.random.default_rng(0)
    A = np.vstack([height * rng.standard_normal((5, 8)), rng.standard_normal((30, 8))])
    model = TruncatedSVD(8, oversample=0).fit(A)
    rows, columns = np.divmod(np.arange(40), 8)
    new = rng.standard_normal(40)
    model.set_entries(rows, columns, new, A[rows, columns])
    A[rows, columns] = new
    assert orthogonality(model) <= 1e-12
    assert np.linalg.norm(product(model) - A) <= 1e-14 * height


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_there_are_no_more_triplets_than_columns(dtype, method):
    X = np.random.default_rng(0).standard_normal((40, 3)).astype(dtype)
    model = TruncatedSVD(5, method=method).partial_fit(X[:20])
    for row in X[20:]:
        model.append_rows(row[np.newaxis])
    assert model.n_components_ == 3
    assert model.orthogonality_error_ <= (1e-12 if dtype == np.float64 else 1e-5)
    np.testing.assert_allclose(
        model.singular_values_,
        np.linalg.svd(X, compute_uv=False),
        rtol=1e-12 if dtype == np.float64 else 1e-5,
    )
    model.refresh(X)
    assert model.n_components_ == 3


def test_of_a_matrix_that_is_gone_nothing_is_left():
    model = TruncatedSVD(3, oversample=0).fit(scattered(20, 5)).delete_rows(range(20))
    assert len(model.singular_values_) == len(model.explained_variance_) == 0
    assert model.orthogonality_error_ == 0.0
    row = np.random.default_rng(0).standard_normal((1, 5))
    np.testing.assert_allclose(model.append_rows(row).singular_values_, np.linalg.norm(row), rtol=1e-14)


def test_a_vector_that_nearly_lives_on_the_touched_rows_keeps_the_rest():
    A = np.zeros((50, 30))
    A[0, 0], A[1:, 0] = 1.0, 2.9e-7 / 7
    model = TruncatedSVD(1, oversample=0).fit(A).set_entries([0], [0], [1.001], [1.0])
    A[0, 0] = 1.001
    assert np.linalg.norm(product(model) - A) <= 1e-15


@pytest.mark.parametrize("unit", [1e-200, 1e-160, 1e160, 1e200])
def test_models_of_any_unit_are_merged(unit):
    X, Y = unit * np.random.default_rng(0).standard_normal((2, 6, 5))
    merged = TruncatedSVD(5, oversample=0).fit(X).merge(TruncatedSVD(5, oversample=0).fit(Y))
    expected = np.linalg.svd(np.vstack([X, Y]) / unit, compute_uv=False)
    np.testing.assert_allclose(merged.singular_values_ / unit, expected, rtol=1e-12)


@pytest.mark.parametrize("oversample", [0, 20])
@pytest.mark.parametrize("unit", [1e-200, 1e-160, 1e160, 1e200])
def test_means_of_any_unit_are_taken_off(unit, oversample):
    X = np.random.default_rng(0).standard_normal((60, 9)) * 0.5 ** np.arange(9) + np.arange(9.0)
    units, ones = (TruncatedSVD(3, oversample=oversample, center=True, random_state=0) for _ in range(2))
    for model, scale in ((units, unit), (ones, 1.0)):
        model.fit(scale * X[:40]).append_rows(scale * X[40:])
    tolerances = {"rtol": 1e-9, "atol": 1e-12}
    np.testing.assert_allclose(units.mean_ / unit, ones.mean_, **tolerances)
    np.testing.assert_allclose(units.singular_values_ / unit, ones.singular_values_, **tolerances)
    np.testing.assert_allclose(units.components_, ones.components_, **tolerances)
    np.testing.assert_allclose(units.transform(unit * X) / unit, ones.transform(X), rtol=1e-9, atol=1e-9)
    assert (
        (units.explained_variance_ == np.inf) if unit > 1.0 else (units.explained_variance_ < 1e-300)
    ).all()


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("track", ["ledger", "probe"])
@pytest.mark.parametrize("unit", [1e-200, 1e-160, 1e160, 1e200])
def test_of_squares_that_are_out_of_range_nothing_is_said(unit, track, center):
    X = unit * np.random.default_rng(0).standard_normal((30, 6))
    fitted, grown = (TruncatedSVD(2, oversample=0, center=center, track=track) for _ in range(2))
    for model in (fitted.fit(X), grown.partial_fit(X), grown.copy().update(X[:, :1], np.ones((6, 1)))):
        assert model.energy_ is None
        assert np.isnan(model.explained_variance_ratio_).all()
        certificate = model.certificate_
        assert np.isnan([certificate.estimate, certificate.bound]).all()
        assert certificate.note == "|X|_F is not known"
        assert certificate.details["singular_value_bounds"] == [[0.0, np.inf]] * 2
    certificate = nearlin.svds(X, 2).certificate
    assert np.isnan([certificate.estimate, certificate.bound]).all()
    assert "out of range" in certificate.note


def test_a_look_at_the_matrix_finds_triplets_that_the_model_has_not():
    X = np.random.default_rng(0).standard_normal((40, 20))
    model = TruncatedSVD(5).partial_fit(np.zeros((40, 20))).refresh(X, passes=10)
    np.testing.assert_allclose(model.singular_values_, np.linalg.svd(X, compute_uv=False)[:5], rtol=1e-10)


def test_a_state_whose_rank_has_fallen_comes_back():
    model = TruncatedSVD(3, oversample=0).fit(np.diag([3.0, 2.0, 1.0])).truncate(2)
    assert TruncatedSVD.from_bytes(model.to_bytes()).to_bytes() == model.to_bytes()
