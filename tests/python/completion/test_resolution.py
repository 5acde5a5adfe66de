"""What the precision of factors, and the range of numbers, must not be seen in."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from reference.completion import instance, unit

from nearlin import MatrixCompletion
from nearlin.exceptions import AccuracyWarning

SHAPE = (80, 60)
ROWS, COLS, VALUES, TRUTH = instance(SHAPE, 3, 0.4)


def repeated(seed, count=335):
    """Return entries of which many are for one place, as few as there are unknowns."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 31, count), rng.integers(0, 22, count), rng.standard_normal(count)


def fitted(entries, *args, **options):
    """Return a model, and whether it warned."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model = MatrixCompletion(*args, **{"random_state": 0, "n_jobs": 1} | options).fit(entries)
    return model, any(warning.category is AccuracyWarning for warning in told)


@pytest.mark.parametrize("reg", [0.0, 1e-12, 1e-10, 1e-9, 1e-8, 1e-7, 1e-5])
def test_penalties_that_single_precision_does_not_resolve_do_no_harm(reg):
    for seed in range(6):
        entries = repeated(seed)
        model, _ = fitted(entries, 25, reg=reg)
        assert model.status_ != "DIVERGED"
        assert np.abs(model.reconstruct()).max() < 50.0
        history = np.array(model.history_)
        assert np.all(np.diff(history) <= 1e-3 * history[:-1])
        double, _ = fitted(entries, 25, reg=reg, dtype="float64", max_iter=model.n_iter_)
        assert model.history_[-1] < double.history_[-1] + 0.01


def test_a_fit_that_diverges_says_so_and_is_not_certified():
    # Without a penalty, rows with few entries are fitted to errors of these.
    rng = np.random.default_rng(4)
    cells = rng.permutation(60 * 50)[:400]
    entries = cells // 50, cells % 50, rng.standard_normal(400)
    options = {"reg": 0.0, "bias": False, "dtype": "float64", "max_iter": 100, "validation_fraction": 0.1}
    model, warned = fitted(entries, 5, **options)
    assert model.status_ == "DIVERGED"
    assert warned
    certificate = model.certificate_
    assert np.isnan(float(certificate))
    assert certificate.confidence is None
    assert "diverged" in str(certificate)
    assert np.isfinite(model.reconstruct()).all()


def test_entries_of_hardly_any_size_beside_their_bias_have_an_answer():
    # Unless it is that of a fit to their rounding, which is told.
    for values, options in (([1e6, -1e6, 1.0], {}), ([1e-10, 50.0, 3e-8], {"bias": False, "center": False})):
        model, warned = fitted(([5, 3, 1], [0, 0, 3], values), 1, reg=0.0, **options)
        assert np.isfinite(model.reconstruct()).all()
        assert warned == (model.status_ == "DIVERGED")
    model, _ = fitted(([0, 2, 3], [3, 0, 1], [1e6, -1e6, 1.0]), 1, reg=0.0)
    assert np.isfinite(model.reconstruct()).all()
    for seed in range(200):
        rng = np.random.default_rng(seed)
        count = int(rng.integers(1, 6))
        values = rng.standard_normal(count) * 10.0 ** rng.integers(-6, 7, count)
        entries = rng.integers(0, 5, count), rng.integers(0, 5, count), values
        model, _ = fitted(entries, int(rng.integers(1, 4)), reg=0.0, validation_fraction=0.0)
        assert np.isfinite(model.reconstruct()).all()


@pytest.mark.parametrize("form", ["triples", "weights", "csr", "coo", "dense"])
@pytest.mark.parametrize("offset", [1e4, 1e8, -1e11])
def test_an_offset_of_the_values_is_subtracted_before_they_are_rounded(form, offset):
    def entries(values):
        if form in ("triples", "weights"):
            return (ROWS, COLS, values) + ((np.arange(len(values)) % 3 + 1.0,) if form == "weights" else ())
        X = sp.coo_array((values, (ROWS, COLS)), shape=SHAPE)
        if form == "coo":
            return X
        if form == "csr":
            return X.tocsr()
        dense = np.full(SHAPE, np.nan)
        dense[ROWS, COLS] = values
        return dense

    # Multiples of 2⁻¹⁰, so that they do not change when the offset is added.
    values = np.round(VALUES * 1024) / 1024
    plain, _ = fitted(entries(values), 4, reg=0.3)
    moved, _ = fitted(entries(values + offset), 4, reg=0.3)
    assert moved.mean_ - offset == pytest.approx(plain.mean_, abs=1e-14 * abs(offset) + 1e-6)
    assert np.abs(moved.reconstruct() - offset - plain.reconstruct()).max() < 1e-3
    X = np.full(SHAPE, np.nan)
    X[ROWS, COLS] = values
    assert np.abs(moved.transform(X + offset) - plain.transform(X)).max() < 1e-2
    assert moved.score((ROWS, COLS, values + offset)) == pytest.approx(
        plain.score((ROWS, COLS, values)), rel=1e-3
    )


def test_the_penalty_has_the_unit_of_the_entries_that_it_is_for():
    # A few values that are much larger than others, some of which are held out.
    values = VALUES.copy()
    values[:5] *= 1e4
    found = {}
    for share in (0.0, 0.3):
        options = {"reg": 3.0, "validation_fraction": share, "center": False, "dtype": "float64"}
        model, _ = fitted((ROWS, COLS, values), 4, max_iter=30, **options)
        z = values / np.sqrt(np.mean(values**2))
        penalty = 3.0 * unit(ROWS, COLS, z, SHAPE)
        # A row is the regression on the columns with that penalty.
        X = np.full(SHAPE, np.nan)
        X[ROWS, COLS] = values
        factor, bias = model.transform(X, return_bias=True)
        scale = np.sqrt(np.mean(values**2))
        for i in (0, 7):
            at = ROWS == i
            error = z[at] - (model.col_bias_[COLS[at]] + bias[i] + model.V_[COLS[at]] @ factor[i]) / scale
            slope = model.V_[COLS[at]].T @ error / np.sqrt(scale)
            assert slope == pytest.approx(
                penalty * np.sqrt(at.sum()) * factor[i] / np.sqrt(scale), rel=1e-6, abs=1e-9
            )
        found[share] = np.abs(model.reconstruct()).max()
    assert found[0.3] < 2.0 * found[0.0]


@pytest.mark.parametrize("size", [1e-300, 1e-165, 1e-155, 1.0, 1e155, 1e160, 1e300])
def test_errors_and_predictions_reach_as_far_as_the_values(size):
    values = VALUES / np.abs(VALUES).max()
    one, _ = fitted((ROWS, COLS, values), 4, reg=0.3)
    model, _ = fitted((ROWS, COLS, size * values), 4, reg=0.3)
    assert model.score((ROWS, COLS, size * values)) / size == pytest.approx(
        one.score((ROWS, COLS, values)), rel=1e-3
    )
    assert np.allclose(model.reconstruct() / size, one.reconstruct(), atol=1e-3)
    X = np.full(SHAPE, np.nan)
    X[ROWS, COLS] = size * values
    assert np.allclose(model.transform(X) / np.sqrt(size), one.transform(X / size), atol=1e-3)


def test_values_near_the_largest_number_are_predicted_and_folded_in():
    values = 0.5e308 * np.sign(VALUES - np.median(VALUES))
    model, _ = fitted((ROWS, COLS, values), 4, reg=2.0)
    assert np.isfinite(model.reconstruct()).mean() > 0.9
    X = np.full(SHAPE, np.nan)
    X[ROWS, COLS] = values
    assert np.isfinite(model.transform(X)).all()
    assert 0.0 < -model.score((ROWS, COLS, values)) < 1.8e308


def test_sweeps_that_have_nothing_left_to_do_end_quietly():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alike = MatrixCompletion(3, random_state=0).fit((ROWS, COLS, np.full(len(VALUES), 0.7)))
        exact = MatrixCompletion(
            3, reg=0.0, dtype="float64", bias=False, center=False, max_iter=60, random_state=0
        )
        exact.fit((ROWS, COLS, np.zeros(len(VALUES))))
    for model in (alike, exact):
        assert model.converged_
        assert model.n_iter_ <= 4
    assert np.allclose(alike.reconstruct(), 0.7, atol=1e-12)
    assert alike.certificate_.confidence is None or float(alike.certificate_) < 1e-12


@pytest.mark.parametrize("options", [{"reg": 0.01}, {"reg": None}, {"reg": 0.01, "validation_fraction": 0.2}])
def test_one_sweep_warns(options):
    model, warned = fitted((ROWS, COLS, VALUES), 4, max_iter=1, **options)
    assert model.status_ == "MAX_ITER"
    assert warned


def test_the_walk_to_a_penalty_ends_at_a_hundred():
    # Without any structure, the largest penalty is the best.
    for seed in range(3):
        noise = np.random.default_rng(seed).standard_normal(len(VALUES))
        model, _ = fitted((ROWS, COLS, noise), 10)
        assert max(reg for reg, _ in model.reg_path_) <= 100.0
