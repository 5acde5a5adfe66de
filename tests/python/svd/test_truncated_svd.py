"""The estimator against scikit-learn's own."""

import copy
import pickle
import warnings

import numpy as np
import pandas
import polars
import pytest
import scipy.sparse as sp
import sklearn.decomposition
from numpy.testing import assert_allclose
from reference.layouts import LAYOUTS
from reference.svd import leading, with_spectrum
from reference.svd_update import assert_pca, factors, orthogonality, scattered, scattered_rows, true_error
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from nearlin import Certificate, TruncatedSVD
from nearlin.data import blocks
from nearlin.exceptions import (
    FallbackWarning,
    InvalidInputError,
    InvalidTypeError,
    NonFiniteError,
    ShapeError,
)

SOLVERS = ["auto", "lanczos", "randomized"]
FORMS = {"dense": np.asarray, "CSR": sp.csr_array, "CSC": sp.csc_matrix}
NAMES = list("abcdef")

# The cells are an iterator in scikit-learn up to 1.8.
CONFORMITY = parametrize_with_checks(
    [
        TruncatedSVD(random_state=0),
        TruncatedSVD(center=True, random_state=0),
        TruncatedSVD(method="qr", oversample=0, solver="randomized", track="probe", random_state=0),
    ]
).mark


@pytest.mark.parametrize(CONFORMITY.args[0], list(CONFORMITY.args[1]), **CONFORMITY.kwargs)
def test_conforms_to_scikit_learn(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FallbackWarning)
        check(estimator)


def assert_same_up_to_signs(X, Y, **tolerances):
    signs = np.sign((X * Y).sum(axis=1, keepdims=True))
    assert_allclose(X, signs * Y, **tolerances)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(120, 90), (90, 120), (40, 10)])
@pytest.mark.parametrize("k", [1, 2, 7])
def test_agrees_with_scikit_learn(shape, form, k, solver):
    X = 1.0 + with_spectrum(*shape, 0.8 ** np.arange(min(shape)))
    ours = TruncatedSVD(k, solver=solver, random_state=0)
    theirs = sklearn.decomposition.TruncatedSVD(k, algorithm="arpack", random_state=0).fit(X)
    scores = ours.fit_transform(FORMS[form](X))
    assert_allclose(ours.singular_values_, theirs.singular_values_, rtol=1e-10)
    assert_same_up_to_signs(ours.components_, theirs.components_, atol=1e-8)
    assert_allclose(ours.explained_variance_, theirs.explained_variance_, rtol=1e-8)
    assert_allclose(ours.explained_variance_ratio_, theirs.explained_variance_ratio_, rtol=1e-8)
    assert_allclose(scores, ours.transform(FORMS[form](X)), atol=1e-8)
    assert_allclose(scores, X @ ours.components_.T, atol=1e-8)
    assert_allclose(scores, ours.left_singular_vectors() * ours.singular_values_, atol=1e-8)
    assert_allclose(ours.inverse_transform(scores), scores @ ours.components_, atol=1e-12)
    assert list(ours.get_feature_names_out()) == list(theirs.get_feature_names_out())
    assert (ours.n_components_, ours.n_samples_seen_, ours.n_features_in_) == (k, *shape)
    assert_allclose(ours.energy_, np.linalg.norm(X) ** 2, rtol=1e-13)
    assert ours.orthogonality_error_ <= 1e-13


@pytest.mark.parametrize("form", FORMS)
def test_the_certificate_is_what_the_triplets_leave(form):
    X = scattered(80, 50).toarray()
    model = TruncatedSVD(5, random_state=0).fit(FORMS[form](X))
    s, rest = leading(X, 5)
    certificate = model.certificate_
    assert isinstance(certificate, Certificate)
    assert "|X|_F" in certificate.quantity
    assert certificate.confidence == 1.0
    assert true_error(model, X) <= certificate.bound <= rest + 1e-7
    assert_allclose(certificate.details["captured"], (s**2).sum() / np.linalg.norm(X) ** 2, rtol=1e-9)
    assert_allclose(certificate.details["lost_energy"], rest**2 * np.linalg.norm(X) ** 2, rtol=1e-9)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_has_the_same_triplets(layout):
    X = with_spectrum(70, 40, 0.8 ** np.arange(40))
    model = TruncatedSVD(4, random_state=0).fit(LAYOUTS[layout](X))
    assert_allclose(model.singular_values_, 0.8 ** np.arange(4), rtol=1e-12)
    assert_allclose(
        model.append_rows(LAYOUTS[layout](X)).singular_values_, np.sqrt(2.0) * 0.8 ** np.arange(4), rtol=1e-6
    )


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_single_precision_is_kept(form, center):
    X = scattered(80, 50).toarray().astype(np.float32)
    model = TruncatedSVD(4, center=center, random_state=0)
    scores = model.fit_transform(FORMS[form](X))
    double = TruncatedSVD(4, center=center, random_state=0).fit(X.astype(float))
    kept = [scores, model.components_, model.left_singular_vectors(), model.inverse_transform(scores)]
    assert {array.dtype for array in kept} == {np.dtype(np.float32)}
    assert_allclose(model.singular_values_, double.singular_values_, rtol=1e-6)
    assert orthogonality(model) <= 1e-5


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("form", FORMS)
def test_as_many_components_as_a_share_of_the_energy_takes(share, form):
    X = with_spectrum(100, 60, 0.9 ** np.arange(60))
    energy = np.cumsum(0.81 ** np.arange(60)) / (0.81 ** np.arange(60)).sum()
    model = TruncatedSVD(share, random_state=0).fit(FORMS[form](X))
    assert model.n_components_ == np.searchsorted(energy, share) + 1
    assert_allclose(model.singular_values_, 0.9 ** np.arange(model.n_components_), rtol=1e-8)


def test_principal_components_are_those_of_scikit_learn():
    X = np.random.default_rng(0).standard_normal((1000, 40)) * np.geomspace(30.0, 0.03, 40) + 5.0
    whole = sklearn.decomposition.PCA(10, svd_solver="full").fit(X)
    theirs = sklearn.decomposition.IncrementalPCA(10, batch_size=100).fit(X)
    once = TruncatedSVD(10, oversample=40, center=True, random_state=0).fit(X)
    assert_pca(once, X)
    for name in ("mean_", "explained_variance_", "explained_variance_ratio_", "noise_variance_"):
        assert_allclose(getattr(once, name), getattr(whole, name), rtol=1e-9)
    assert_allclose(once.inverse_transform(once.transform(X)), whole.inverse_transform(whole.transform(X)))
    batches = TruncatedSVD(10, center=True, random_state=0)
    for start in range(0, 1000, 100):
        batches.partial_fit(X[start : start + 100])
    assert_allclose(batches.mean_, X.mean(axis=0), rtol=1e-12)
    # Of theirs the last has lost more than that.
    assert_allclose(batches.explained_variance_[:9], theirs.explained_variance_[:9], rtol=1e-2)
    assert_allclose(batches.explained_variance_, whole.explained_variance_, rtol=1e-2)
    assert_allclose(batches.singular_values_, np.sqrt(999 * batches.explained_variance_), rtol=1e-9)


def test_sparse_data_are_centred_without_being_dense():
    X = scattered(2000, 100_000, 4)
    X.data += 10.0
    model = TruncatedSVD(3, oversample=2, center=True, tol=1e-3, random_state=0)
    for start in range(0, 2000, 500):
        model.partial_fit(X[start : start + 500])
    assert_allclose(model.mean_, X.mean(axis=0), rtol=1e-12)
    assert model.transform(X[:5]).shape == (5, 3)
    assert_allclose(model.components_ @ model.components_.T, np.eye(3), atol=1e-12)


# --- frames -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", [pandas, polars])
def test_names_of_features_grow_and_shrink(library):
    X = np.random.default_rng(0).standard_normal((30, 6))

    def frame(rows, names=NAMES):
        return library.DataFrame(dict(zip(names, rows.T, strict=False)))

    model = TruncatedSVD(2, random_state=0).fit(frame(X))
    assert list(model.feature_names_in_) == NAMES
    wider = np.pad(X[:3], [(0, 0), (0, 2)], constant_values=1.0)
    model.append_rows(frame(wider, [*NAMES, "g", "h"]))
    assert list(model.feature_names_in_) == [*NAMES, "g", "h"]
    model.append_columns(frame(np.ones((33, 1)), ["i"]))
    assert list(model.feature_names_in_) == [*NAMES, "g", "h", "i"]
    model.delete_columns([0, 7])
    assert list(model.feature_names_in_) == [*NAMES[1:], "g", "i"]
    assert model.n_features_in_ == 7
    before = model.to_bytes()
    wrong = {
        "in another order": frame(np.ones((2, 7)), ["c", "b", *NAMES[3:], "g", "i"]),
        "new before known": frame(np.ones((2, 8)), ["z", *NAMES[1:], "g", "i"]),
        "too few": frame(np.ones((2, 5)), NAMES[1:]),
    }
    for X in wrong.values():
        for call in (model.append_rows, model.transform):
            with pytest.raises(InvalidInputError):
                call(X)
    assert model.to_bytes() == before
    assert list(TruncatedSVD.from_bytes(before).feature_names_in_) == list(model.feature_names_in_)


def test_serves_in_pipelines_and_searches():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 120)
    X = scattered(120, 60) + sp.csr_array(np.outer(y, np.r_[np.ones(5), np.zeros(55)]))
    pipeline = make_pipeline(TruncatedSVD(random_state=0), LogisticRegression())
    search = GridSearchCV(pipeline, {"truncatedsvd__n_components": [1, 4]}, cv=3).fit(X, y)
    assert search.score(X, y) > 0.8
    out = TruncatedSVD(random_state=0).set_output(transform="pandas").fit_transform(X.toarray())
    assert list(out.columns) == ["truncatedsvd0", "truncatedsvd1"]


# --- what is kept -------------------------------------------------------------------------------------------


def grown(**options):
    model = TruncatedSVD(3, random_state=0, **options).fit(scattered(40, 30))
    return model.append_rows(scattered(5, 30, seed=1)).delete_columns([2])


COPIES = {
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "bytes": lambda model: TruncatedSVD.from_bytes(model.to_bytes()),
    "copy": lambda model: model.copy(),
    "copy.copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("track", ["ledger", "probe"])
@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_copy_goes_on_bit_by_bit(copied, track, dtype):
    model = TruncatedSVD(3, oversample=4, track=track, random_state=0, n_jobs=2)
    model.fit(scattered(40, 30).astype(dtype)).append_rows(scattered(5, 30, seed=1))
    other = COPIES[copied](model)
    assert other.get_params() == model.get_params()
    assert other.certificate_ == model.certificate_
    batch, before = scattered_rows(np.random.default_rng(5), 4, 31), model.to_bytes()
    other.append_rows(batch)
    assert model.to_bytes() == before
    assert other.to_bytes() == model.append_rows(batch).to_bytes()
    assert all((x == y).all() for x, y in zip(factors(model), factors(other), strict=True))


def test_clones_have_parameters_only_and_the_unfitted_can_be_pickled():
    assert not hasattr(clone(grown()), "components_")
    model = pickle.loads(pickle.dumps(TruncatedSVD(4, method="qr")))
    assert (model.n_components, model.method) == (4, "qr")
    assert not hasattr(model, "components_")
    assert "n_components=4" in repr(model)


def test_fit_begins_again():
    model = grown().fit(scattered(20, 10))
    assert (model.n_samples_seen_, model.n_features_in_) == (20, 10)
    assert model.to_bytes() == TruncatedSVD(3, random_state=0).fit(scattered(20, 10)).to_bytes()


def test_a_failed_fit_leaves_the_model_as_it_was():
    model = grown()
    before = model.to_bytes()
    with pytest.raises(NonFiniteError):
        model.fit(np.full((9, 9), np.nan))
    assert model.to_bytes() == before


def test_no_more_components_than_there_are():
    assert TruncatedSVD(5, random_state=0).fit(np.eye(3, 8)).n_components_ == 3
    model = TruncatedSVD(5, random_state=0).partial_fit(np.eye(2, 3))
    assert model.components_.shape == (2, 3)
    assert model.transform(np.eye(3)).shape == (3, 2)
    assert model.append_rows(np.eye(5, 9)[3:]).components_.shape == (4, 9)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"n_components": 0}, InvalidInputError, "n_components"),
        ({"n_components": -2}, InvalidInputError, "n_components"),
        ({"n_components": 0.0}, InvalidInputError, "n_components"),
        ({"n_components": 1.5}, InvalidInputError, "n_components"),
        ({"n_components": "all"}, InvalidTypeError, "n_components"),
        ({"n_components": 31}, InvalidInputError, "n_components"),
        ({"oversample": -1}, InvalidInputError, "oversample"),
        ({"oversample": "many"}, InvalidInputError, "oversample"),
        ({"oversample": 1.5}, InvalidInputError, "oversample"),
        ({"method": "svd"}, InvalidInputError, "method"),
        ({"solver": "arpack"}, InvalidInputError, "solver"),
        ({"center": "yes"}, InvalidTypeError, "center"),
        ({"tol": -1.0}, InvalidInputError, "tol"),
        ({"tol": np.nan}, InvalidInputError, "tol"),
        ({"robust": "very"}, InvalidInputError, "robust"),
        ({"track": "everything"}, InvalidInputError, "track"),
        ({"n_jobs": 0}, InvalidInputError, "n_jobs"),
        ({"random_state": "seed"}, InvalidInputError, "random_state"),
    ],
)
def test_bad_parameters_are_named(options, error, words):
    model = TruncatedSVD(**options)
    with pytest.raises(error, match=f"`{words}`") as caught:
        model.fit(scattered(40, 30))
    assert caught.value.argument == words
    assert not hasattr(model, "components_")


def test_widths_are_those_of_the_fit():
    model = TruncatedSVD().fit(np.eye(6))
    for width in (5, 7):
        with pytest.raises(
            ShapeError, match=f"X has {width} features, but TruncatedSVD is expecting 6 features"
        ):
            model.transform(np.ones((2, width)))


def test_components_about_the_mean_are_not_those_of_what_the_mean_hides():
    """Variance along a direction between the mean and another, below what is kept of the rows as they are."""
    from sklearn.decomposition import PCA

    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.standard_normal((60, 60)))[0]
    Z = rng.standard_normal((500, 42))
    Z = np.linalg.qr(Z - Z.mean(axis=0))[0] * np.sqrt(500)
    X = np.sqrt(1.9) * np.outer(Z[:, 0], (Q[:, 0] + Q[:, 1]) / np.sqrt(2.0)) + Z[:, 1:41] @ Q[:, 2:42].T
    X += 100.0 * Q[:, 0]
    for oversample in (0, "auto"):
        model = TruncatedSVD(3, center=True, oversample=oversample, random_state=0).fit(X)
        assert_allclose(model.explained_variance_, PCA(3).fit(X).explained_variance_, rtol=1e-8)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_less_accuracy_takes_no_longer(dtype):
    X = scattered(1000, 800, 8).astype(dtype)
    blocks = [TruncatedSVD(10, tol=tol, random_state=0).fit(X).n_iter_ for tol in (1e-2, 1e-4, 1e-6, 1e-9)]
    assert max(blocks) <= 1.5 * blocks[-1]


def test_what_is_read_cannot_be_changed_behind_the_back_of_the_model():
    model = TruncatedSVD(2, random_state=0).fit(scattered())
    with pytest.raises(ValueError, match="read-only"):
        model.components_ *= -1.0


def test_rows_in_blocks_are_read_once_and_say_how_exact_that_is():
    A = with_spectrum(600, 40, 0.9 ** np.arange(40))
    model = TruncatedSVD(3, random_state=0).fit(blocks(A, block_bytes=16_000))
    truth = np.linalg.svd(A, compute_uv=False)[:3]
    low, high = np.transpose(model.certificate_.details["singular_value_bounds"])
    assert (low <= truth * (1 + 1e-12)).all()
    assert (truth <= high * (1 + 1e-12)).all()


@pytest.mark.parametrize("asked", [{"tol": 1e-12}, {"solver": "lanczos"}])
def test_what_has_no_part_in_a_fit_by_blocks_is_refused(asked):
    ((name, _),) = asked.items()
    with pytest.raises(InvalidInputError, match=rf"`{name}` is .* for rows in blocks"):
        TruncatedSVD(2, **asked).fit(blocks(np.eye(9, 5)))
    with pytest.raises(InvalidInputError, match="`progress` is given beside rows in blocks"):
        TruncatedSVD(2).fit(blocks(np.eye(9, 5)), progress=True)
    with pytest.raises(InvalidInputError, match="expected at most n_features = 5"):
        TruncatedSVD(6).fit(blocks(np.eye(9, 5)))
