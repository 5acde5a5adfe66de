"""Regression in the p-norm and of quantiles beside linear programs, on every layout, with hostile input."""

import math
import warnings

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from reference import lp as reference
from reference.coreset import GENERATORS
from reference.layouts import LAYOUTS, same_bits

import nearlin
from nearlin import lp_regression
from nearlin.coreset._excess import excess_certificate, warn_of_excess
from nearlin.exceptions import (
    AccuracyWarning,
    InvalidInputError,
    InvalidTypeError,
    NonFiniteError,
    ShapeError,
)

NOISE = {
    "Laplace": lambda rng, n: rng.laplace(size=n),
    "Cauchy": lambda rng, n: rng.standard_cauchy(n),
    "skewed": lambda rng, n: rng.exponential(size=n),
}


def problem(name="gaussian", n=2000, d=6, noise="Laplace", seed=0):
    rng = np.random.default_rng(seed)
    A = GENERATORS[name](n, d, seed)
    return A, A @ rng.standard_normal(A.shape[1]) + NOISE[noise](rng, n)


def small(found, by=1e-8):
    """Tell whether a certificate is met and as small as it should be."""
    return found.certificate.met and float(found.certificate) <= by


@pytest.mark.parametrize("level", [0.5, 0.1, 0.99])
@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("name", GENERATORS)
def test_quantiles_are_those_of_linear_programs(name, noise, level):
    A, b = problem(name, noise=noise)
    minimum = reference.least(A, b, level)
    for method in ("full", "exact"):
        found = lp_regression(A, b, quantile=level, method=method, rng=0)
        objective = reference.loss(b - A @ found.x, level)
        assert found.objective == pytest.approx(objective, rel=1e-12)
        assert abs(objective - minimum) <= 1e-9 * minimum
        assert small(found)
        assert objective - minimum <= (float(found.certificate) + 1e-9) * objective


@pytest.mark.parametrize("name", ["gaussian", "student", "tabular"])
def test_globbing_keeps_a_fraction_and_gives_the_same_optimum(name):
    A, b = problem(name, 20_000, 8)
    full = lp_regression(A, b, method="full")
    exact = lp_regression(A, b, rng=0)
    assert (exact.method, full.method) == ("exact", "full")
    assert exact.n_kept < 0.4 * len(b) < full.n_kept
    np.testing.assert_allclose(exact.x, full.x, atol=1e-9 * np.abs(full.x).max())
    assert exact.objective == pytest.approx(full.objective, rel=1e-13)
    # A vertex: as many rows as there are columns are fitted, and the figures are those of rounding.
    r = np.abs(b - A @ exact.x)
    assert (r <= 1e-9 * np.abs(b).max()).sum() == np.linalg.matrix_rank(A)
    assert exact.certificate.estimate <= 1e-12


@pytest.mark.parametrize("level", [0.5, 0.3])
@pytest.mark.parametrize("name", ["gaussian", "student"])
def test_the_oracles_agree_with_it(name, level):
    A, b = problem(name, 4000, 5)
    x, dual = reference.frisch_newton(A, b, level)
    found = lp_regression(A, b, quantile=level, rng=0)
    assert reference.loss(b - A @ x, level) == pytest.approx(found.objective, rel=1e-9)
    assert np.abs(A.T @ dual).max() <= 1e-7 * np.abs(A).sum(axis=0).max()
    x, kept, wrong = reference.globbed(A, b, level, np.random.default_rng(0))
    assert reference.loss(b - A @ x, level) == pytest.approx(found.objective, rel=1e-9)
    assert wrong[-1] == 0
    assert kept < 0.6 * len(b)


@pytest.mark.parametrize("p", [1.0, 1.2, 1.5, 2.0, 3.0, 4.0, 8.0, 16.0, 24.0, 32.0, 100.0])
@pytest.mark.parametrize("name", ["gaussian", "student", "tabular", "one-hot"])
def test_p_norms_are_certified_on_all_rows(name, p):
    A, b = problem(name)
    found = lp_regression(A, b, p=p, rng=0)
    objective = reference.norm(b - A @ found.x, p)
    assert found.objective == pytest.approx(objective, rel=1e-12)
    assert small(found)
    if p > 1.0:
        # A bound by another computation, at the answer: it leaves as little, but for what it loses itself.
        assert reference.lower_bound(A, b, found.x, p) >= objective * (1.0 - 1e-5)
    rng = np.random.default_rng(1)
    for _ in range(20):
        other = found.x + 1e-3 * rng.standard_normal(len(found.x))
        assert reference.norm(b - A @ other, p) >= objective * (1.0 - float(found.certificate))


def test_least_squares_are_those():
    A, b = problem()
    expected = np.linalg.lstsq(A, b, rcond=None)[0]
    np.testing.assert_allclose(lp_regression(A, b, p=2.0).x, expected, rtol=1e-10)


@pytest.mark.parametrize("name", ["gaussian", "student", "tabular", "legendre"])
def test_the_largest_residual(name):
    A, b = problem(name, 1500, 5)
    found = lp_regression(A, b, p=math.inf)
    assert found.objective == pytest.approx(np.abs(b - A @ found.x).max(), rel=1e-12)
    assert found.objective == pytest.approx(reference.smallest_largest(A, b), rel=1e-8)
    assert small(found)


@pytest.mark.parametrize("p", [1.0, 1.5, 3.0, math.inf])
def test_weights_are_repeated_rows_and_zeros_are_absent(p):
    A, b = problem("student", 300, 4)
    counts = np.random.default_rng(2).integers(0, 4, 300)
    weighted = lp_regression(A, b, p=p, sample_weight=counts)
    repeated = lp_regression(np.repeat(A, counts, axis=0), np.repeat(b, counts), p=p)
    assert weighted.objective == pytest.approx(repeated.objective, rel=1e-8)
    np.testing.assert_allclose(weighted.x, repeated.x, atol=1e-3)
    assert small(weighted)


def test_levels_share_a_sample_and_stay_what_they_are_alone():
    A, b = problem("student", 12_000, 4, noise="skewed")
    A = np.c_[A, np.ones(len(A))]  # so that shares below are the levels
    levels = [0.1, 0.25, 0.5, 0.75, 0.9]
    together = lp_regression(A, b, quantile=levels, rng=3)
    assert together.x.shape == (5, 5)
    assert together.objective.shape == together.n_kept.shape == (5,)
    for k, level in enumerate(levels):
        alone = lp_regression(A, b, quantile=level, rng=3)
        assert same_bits(together.x[:, k], alone.x)
        share = (b < A @ alone.x - 1e-12).mean()
        assert abs(share - level) <= 6 / len(b)
    assert len(together.certificate.details["excess"]) == 5


@pytest.mark.parametrize("p", [1.0, 3.0, math.inf])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(layout, p):
    A, b = problem("tabular", 2500, 8)
    A = A.astype(np.float32).astype(np.float64)
    expected = lp_regression(A, b, p=p, rng=0)
    found = lp_regression(LAYOUTS[layout](A), b, p=p, rng=0)
    assert same_bits(found.x, expected.x)


@pytest.mark.parametrize("p", [1.0, 1.5, math.inf])
def test_single_precision(p):
    A, b = problem("student", 3000, 5)
    single = lp_regression(A.astype(np.float32), b.astype(np.float32), p=p, rng=0)
    assert single.x.dtype == np.float32
    assert single.certificate.met
    double = lp_regression(A, b, p=p, rng=0)
    assert reference.norm(b - A @ single.x.astype(np.float64), p) <= double.objective * (1.0 + 1e-4)


@pytest.mark.parametrize(
    "ask", [{}, {"method": "full"}, {"quantile": [0.2, 0.6]}, {"p": 1.7}, {"p": 4.0}, {"p": math.inf}]
)
def test_threads_change_no_bit(ask):
    A, b = problem("student", 20_000, 6)
    found = [lp_regression(A, b, rng=0, n_jobs=n_jobs, **ask) for n_jobs in (1, 2, 3, 8)]
    assert all(same_bits(other.x, found[0].x) for other in found)
    assert all(other.certificate == found[0].certificate for other in found)


SHAPES = {
    "fewer rows than columns": (4, 9),
    "one row": (1, 3),
    "one column": (200, 1),
    "as many": (12, 12),
}


@pytest.mark.parametrize("p", [1.0, 1.5, 3.0, math.inf])
@pytest.mark.parametrize("shape", SHAPES)
def test_edge_shapes(shape, p):
    n, d = SHAPES[shape]
    A, b = problem("gaussian", n, d)
    found = lp_regression(A, b, p=p)
    assert np.isfinite(found.x).all()
    assert found.certificate.met
    assert found.rank == min(n, d)
    if n <= d:
        np.testing.assert_allclose(A @ found.x, b, atol=1e-8 * np.abs(b).max())


@pytest.mark.parametrize("wrap", [np.asarray, sp.csr_array, sp.csc_array])
@pytest.mark.parametrize("p", [1.0, 1.5, 3.0, math.inf])
def test_columns_that_depend_on_others(p, wrap):
    levels = np.random.default_rng(0).integers(0, 5, 2000)
    one_hot = np.eye(5)[levels]
    rng = np.random.default_rng(1)
    x = rng.standard_normal(2000)
    A = np.c_[np.ones(2000), one_hot, x, x, np.zeros(2000)]
    b = 3.0 * x + levels + rng.laplace(size=2000)
    found = lp_regression(wrap(A), b, p=p, rng=0)
    assert found.rank == 6
    assert small(found)
    independent = lp_regression(A[:, 1:7], b, p=p, rng=0)
    assert found.objective == pytest.approx(independent.objective, rel=1e-8)


def test_ties_and_constants():
    rng = np.random.default_rng(0)
    A = np.c_[np.ones(3000), rng.integers(0, 4, (3000, 3))].astype(float)
    b = rng.integers(0, 6, 3000).astype(float)
    for level in (0.5, 0.9):
        found = lp_regression(A, b, quantile=level, rng=0)
        assert found.objective == pytest.approx(reference.least(A, b, level), rel=1e-9)
        assert small(found)
    median = lp_regression(np.ones((101, 1)), np.arange(101.0))
    assert median.x == pytest.approx([50.0])
    assert lp_regression(np.ones((7, 1)), np.zeros(7)).x == pytest.approx([0.0])
    assert lp_regression(np.zeros((7, 2)), np.ones(7)).objective == pytest.approx(7.0)


@pytest.mark.parametrize("p", [1.0, 1.5, 3.0, math.inf])
def test_what_is_fitted_exactly_is_said_to_be(p):
    A, _ = problem(n=500)
    x = np.arange(1.0, 7.0)
    found = lp_regression(A, A @ x, p=p, rng=0)
    np.testing.assert_allclose(found.x, x, rtol=1e-9)
    assert found.certificate.met
    assert "norm of b" in found.certificate.quantity
    half = A @ x
    half[:200] += np.random.default_rng(0).standard_normal(200)
    if p == 1.0:  # most rows decide
        np.testing.assert_allclose(lp_regression(A, half, rng=0).x, x, rtol=1e-9)


@pytest.mark.parametrize("share", [0.05, 0.5])
@pytest.mark.parametrize("p", [1.02, 1.1, 1.2, 1.4])
def test_rows_that_are_fitted_exactly_hold_nothing_up(p, share):
    """Curvature has a pole there; units and weights over many decades leave rounding of their residuals."""
    rng = np.random.default_rng(0)
    for scale, weighted in ((np.ones(4), False), (10.0 ** np.array([-7.0, -2.0, 3.0, 7.0]), True)):
        A = rng.standard_normal((5000, 4))
        b = A @ rng.standard_normal(4)
        b += np.where(rng.random(5000) < share, rng.standard_cauchy(5000), 0.0)
        w = 10.0 ** rng.uniform(-3.0, 3.0, 5000) if weighted else None
        found = lp_regression(A * scale, b, p=p, sample_weight=w)
        assert found.certificate.met
        assert found.n_iter < 60
        weights = np.ones(5000) if w is None else w
        root = weights ** (1.0 / p)
        least = reference.lower_bound(root[:, None] * A, root * b, found.x * scale, p)
        assert least >= found.objective * (1.0 - 1e-4)


@pytest.mark.parametrize("p", [1.0, 1.5, 3.0, math.inf])
@pytest.mark.parametrize("powers", [[0, 0, 0, 0, 0, 0], [-160, 0, 160, 3, -3, 10], [250] * 6, [-250] * 6])
@pytest.mark.parametrize("of_b", [0, -250, 250])
def test_magnitudes_of_columns_and_targets(p, powers, of_b):
    A, b = problem("student", 800, 6)
    scale = 10.0 ** np.array(powers, dtype=float)
    plain = lp_regression(A, b, p=p, rng=0)
    logs = np.log10(np.abs(plain.x)) + of_b - np.array(powers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        found = lp_regression(A * scale, b * 10.0**of_b, p=p, rng=0)
    if logs.max() < 300.0 and logs.min() > -300.0:
        np.testing.assert_allclose(np.log10(np.abs(found.x)), logs, atol=1e-3)
        assert found.certificate.met
    else:  # what are no numbers of the dtype are no answer
        assert found.certificate.met is False


def test_nearly_dependent_columns():
    A, b = problem("gaussian", 2000, 6)
    mixed = A @ (np.eye(6) + 1e7 * np.ones((6, 6)))
    for p in (1.0, 1.5, 3.0, math.inf):
        plain = lp_regression(A, b, p=p, rng=0)
        with pytest.warns(AccuracyWarning):  # rounding alone is beyond what is asked for
            found = lp_regression(mixed, b, p=p, rng=0)
        assert found.certificate.bound < 1e-5
        assert found.objective == pytest.approx(plain.objective, rel=1e-6)
        assert found.rank == 6


@settings(max_examples=60)
@given(
    st.integers(1, 60),
    st.integers(1, 6),
    st.sampled_from([1.0, 1.4, 2.5, 6.0, math.inf]),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_no_objective_is_below_what_is_certified(n, d, p, seed, integers):
    rng = np.random.default_rng(seed)
    A, b = rng.standard_normal((n, d)), rng.standard_normal(n)
    if integers:
        A, b = np.round(A), np.round(b)
    w = rng.integers(0, 3, n).astype(float)
    w[0] = 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error", AccuracyWarning)
        found = lp_regression(A, b, p=p, sample_weight=w)
    best = found.objective * (1.0 - float(found.certificate)) - 1e-12
    for _ in range(10):
        x = found.x + 10.0 ** rng.uniform(-6, 0) * rng.standard_normal(d)
        assert reference.norm(b - A @ x, p, w) >= best


@pytest.mark.parametrize("p", [1.0, 1.5, math.inf])
def test_too_few_iterations_are_told_of(p):
    A, b = problem("student", 3000, 6)
    with pytest.warns(AccuracyWarning, match="raise max_iter"):
        found = lp_regression(A, b, p=p, max_iter=1)
    assert found.certificate.met is not True
    true = lp_regression(A, b, p=p).objective
    assert true * (1.0 - 1e-9) <= found.objective
    assert found.objective * (1.0 - float(found.certificate)) <= true


def test_results_print_and_explain():
    A, b = problem(n=20_000)
    found = lp_regression(A, b, quantile=[0.4, 0.6], rng=0)
    assert "excess of the objective" in repr(found)
    assert "exact" in found.explain()
    assert "wrong sign" in found.explain()
    with pytest.raises(InvalidTypeError):
        _, _ = found
    assert nearlin.coreset.lp_regression is lp_regression


def test_progress():
    A, b = problem(n=1000)
    for ask in ({"method": "full"}, {"p": 3.0}, {"p": math.inf}):
        seen = []
        lp_regression(A, b, progress=lambda *figures: seen.append(figures), **ask)  # noqa: B023
        gaps = [figures["gap"] for _, _, figures in seen]
        assert gaps[-1] < gaps[0]
        assert seen[-1][1] == 300


BAD = {
    "p below one": ({"p": 0.5}, InvalidInputError, "p"),
    "p is nan": ({"p": math.nan}, InvalidInputError, "p"),
    "p is text": ({"p": "1"}, InvalidTypeError, "p"),
    "level": ({"quantile": 1.0}, InvalidInputError, "quantile"),
    "levels": ({"quantile": [0.5, 0.0]}, InvalidInputError, "quantile"),
    "no levels": ({"quantile": []}, ShapeError, "quantile"),
    "level and p": ({"quantile": 0.5, "p": 2.0}, InvalidInputError, "p"),
    "method": ({"method": "simplex"}, InvalidInputError, "method"),
    "method of p": ({"method": "exact", "p": 3.0}, InvalidInputError, "method"),
    "huge p": ({"p": 1e308}, InvalidInputError, "p"),
    "tol": ({"tol": 0.0}, InvalidInputError, "tol"),
    "max_iter": ({"max_iter": 0}, InvalidInputError, "max_iter"),
    "short weights": ({"sample_weight": np.ones(3)}, ShapeError, "sample_weight"),
    "negative weights": ({"sample_weight": -np.ones(50)}, InvalidInputError, "sample_weight"),
    "no weights": ({"sample_weight": np.zeros(50)}, InvalidInputError, "sample_weight"),
    "weights not finite": ({"sample_weight": np.full(50, np.inf)}, NonFiniteError, "sample_weight"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_options(what):
    ask, error, argument = BAD[what]
    A, b = problem(n=50)
    with pytest.raises(error) as caught:
        lp_regression(A, b, **ask)
    assert caught.value.argument == argument


@pytest.mark.parametrize("p", [1.0, 1.5, math.inf])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("wrap", [np.asarray, np.asfortranarray, sp.csr_array, sp.csc_array])
def test_what_is_not_finite_is_named(p, value, wrap):
    A, b = problem(n=400)
    bad = A.copy()
    bad[123, 4] = value
    with pytest.raises(NonFiniteError, match=r"\[123, 4\]"):
        lp_regression(wrap(bad), b, p=p)
    target = b.copy()
    target[7] = value
    with pytest.raises(NonFiniteError, match=r"`b`.*\[7\]"):
        lp_regression(wrap(A), target, p=p)


def test_bad_shapes():
    A, b = problem(n=50)
    for wrong, error in [(b[:-1], ShapeError), (A, ShapeError), ("text", InvalidInputError)]:
        with pytest.raises(error):
            lp_regression(A, wrong)
    for wrong in (np.ones((0, 3)), np.ones((3, 0)), np.ones(3)):
        with pytest.raises(ShapeError):
            lp_regression(wrong, np.ones(len(wrong)))


def norm_at(A, b, x, p):
    """The p-norm of the residual in a precision beside which that of the answer is rounding."""
    r = np.abs(b.astype(np.longdouble) - A.astype(np.longdouble) @ x.astype(np.longdouble))
    largest = r.max()
    return float(
        largest if math.isinf(p) or not largest else largest * ((r / largest) ** p).sum() ** (1.0 / p)
    )


def one_hot(n=3000):
    rng = np.random.default_rng(0)
    y = rng.poisson(0.3, n) * 1.0
    return np.c_[np.ones(n), np.eye(5)[np.minimum(rng.zipf(1.6, n) - 1, 4)]], y


def test_tied_counts_have_finite_quantiles():
    """Halves of the rows may be fitted without anything left, which no step goes beyond."""
    A, b = one_hot()
    levels = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]
    for seed in range(6):
        found = lp_regression(A, b, quantile=levels, rng=seed)
        assert np.isfinite(found.x).all()
        full = lp_regression(A, b, quantile=levels, method="full")
        np.testing.assert_allclose(found.objective, full.objective, rtol=1e-9)
        assert found.objective[1] == pytest.approx(45.4, rel=1e-9)
        assert found.certificate.met


def test_what_is_not_finite_is_not_certified():
    """The worst of several answers is the one that is none."""
    good = dict.fromkeys(("rounding", "gap", "size"), 1e-12) | {"objective": 1.0}
    certificate = excess_certificate(
        [good, good | {"objective": math.nan}, good], np.dtype(np.float64), 1e-9, {}
    )
    assert certificate.met is False
    with pytest.warns(AccuracyWarning):
        warn_of_excess(certificate)


@pytest.mark.parametrize("p", [3.0, 6.0, 8.0, 12.0, 20.0, 50.0, 100.0, math.inf])
def test_rows_that_are_fitted_leave_no_direction_without_weight(p):
    A = np.eye(5)[[0, 0, 0, 0, 0, 0, 0, 0]]
    for row, column in enumerate([3, 2, 4, 2, 1, 3, 3, 2]):
        A[row, column] = 1.0
    b = np.array([3.0, 1.0, 4.0, 7.0, 0.0, 2.0, 3.0, 1.0])
    found = lp_regression(A, b, p=p)
    value = norm_at(A, b, found.x, p)
    assert found.objective == pytest.approx(value, rel=1e-12)
    optimum = {6.0: 3.5605, 8.0: 3.41271}.get(p)
    if optimum is not None:
        assert value == pytest.approx(optimum, rel=1e-4)
    assert found.certificate.met


@pytest.mark.parametrize("degree", [3, 4, 5, 6])
@pytest.mark.parametrize("p", [1.0, 1.5, 4.0, math.inf])
def test_objectives_are_those_of_the_coefficients_returned(p, degree):
    years = np.arange(1950, 2021.0)
    A, b = np.vander(years, degree + 1), np.sin(years) + 0.01 * (years - 1950)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        found = lp_regression(A, b, p=p)
    assert abs(norm_at(A, b, found.x, p) / found.objective - 1.0) <= found.certificate.bound
    centred = (years - 1985.0) / 35.0
    best = lp_regression(np.vander(centred, degree + 1), b, p=p)
    assert found.objective * (1.0 - found.certificate.bound) <= best.objective


@pytest.mark.parametrize("p", [1.0, 1.5, 4.0, math.inf])
def test_single_precision_is_certified_as_it_is_returned(p):
    A, b = np.vander(np.linspace(1.0, 3.0, 200), 5).astype(np.float32), np.float32(np.sin(np.arange(200.0)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        found = lp_regression(A, b, p=p)
        best = lp_regression(A.astype(float), b.astype(float), p=p)
    value = norm_at(A, b, found.x, p)
    assert found.objective == pytest.approx(value, rel=1e-10)
    assert value * (1.0 - found.certificate.bound) <= best.objective


def test_a_largest_residual_that_is_nearly_zero_has_an_answer():
    rng = np.random.default_rng(2)
    for _ in range(60):
        n = int(rng.integers(4, 13))
        X = np.c_[np.ones(n), rng.integers(0, 2, n)]
        b = X @ [1.0, 2.0] + 1e-9 * rng.standard_normal(n)
        with warnings.catch_warnings(action="ignore"):
            found = lp_regression(X, b, p=math.inf)
        assert np.isfinite(found.x).all()
        assert abs(b - X @ found.x).max() == pytest.approx(found.objective, rel=1e-6)
        assert found.objective <= abs(b - X @ np.linalg.lstsq(X, b)[0]).max() * (1.0 + 1e-6)


def test_multipliers_of_a_vertex_with_ties_are_mended():
    """Fifteen integer rows, six of which a vertex of four unknowns fits, with weights over five decades."""
    rng = np.random.default_rng(2215)
    n, d = int(rng.integers(3, 40)), int(rng.integers(1, 6))
    rng.integers(4)
    A, b = rng.integers(-2, 3, (n, d)).astype(float), rng.integers(-3, 4, n).astype(float)
    rng.uniform(size=n)
    found = lp_regression(A, b, quantile=0.3, sample_weight=np.exp(rng.normal(0.0, 3.0, n)), rng=0)
    assert found.certificate.met


@pytest.mark.parametrize("p", [1.0, 1.5, 3.0, math.inf])
@pytest.mark.parametrize("weighted", [False, True])
def test_rows_of_few_entries_have_the_answers_of_their_dense_copies(p, weighted):
    """Few enough for sums that entries make, with rows without any and one that has all."""
    rng = np.random.default_rng(1)
    n, d = 8000, 30
    columns, values = rng.integers(0, d, (n, 2)), rng.standard_normal((n, 2)) + 1.0
    dense = np.zeros((n, d))
    np.add.at(dense, (np.arange(n)[:, None], columns), values)
    dense[5], dense[6] = 0.0, rng.standard_normal(d)
    b = dense @ rng.standard_normal(d) + rng.laplace(size=n)
    w = rng.integers(0, 3, n) + rng.random(n) * (rng.random(n) < 0.5) if weighted else None
    ask = {"quantile": [0.2, 0.5]} if p == 1.0 else {"p": p}
    methods = ("full", "exact") if p == 1.0 else ("full",)
    for method in methods:
        few = [
            lp_regression(sp.csr_array(dense), b, method=method, sample_weight=w, rng=0, n_jobs=n_jobs, **ask)
            for n_jobs in (1, 2, 3)
        ]
        full = lp_regression(dense, b, method=method, sample_weight=w, rng=0, **ask)
        assert all(same_bits(found.x, few[0].x) for found in few)
        np.testing.assert_allclose(few[0].objective, full.objective, rtol=1e-11)
        np.testing.assert_allclose(few[0].x, full.x, atol=1e-7)
        assert few[0].certificate.met
