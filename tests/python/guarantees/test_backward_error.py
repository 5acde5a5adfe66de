"""Backward errors against Householder QR: no more than ten times its error, or four units of roundoff."""

import warnings

import numpy as np
import pytest
import scipy.sparse
from reference import regression as reference
from reference.regression import UNIT_ROUNDOFF as U
from reference.regression import check

import nearlin

pytestmark = pytest.mark.guarantee

LIMITS = {
    "auto": 1e15,
    "gram": 1e7,
    "whitened": 1e13,
    "spir": 1e14,
    "fossils": 1e14,
    "fgmres_wlsir": 1e13,
    "qr": 1e15,
}
"""Condition number up to which a method must do without falling back; near 1 / rcond QR tells the rank."""

SPARSE_LIMITS = {**LIMITS, "spir": 1e12, "fossils": 1e10}
"""The same for sparse matrices, whose sketches have a third of the rows."""


def solve(A, b, **options):
    """lstsq, with the warnings of forced methods out of the way."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nearlin.exceptions.FallbackWarning)
        return nearlin.lstsq(A, b, **options)


layouts = pytest.mark.parametrize("layout", [np.asarray, scipy.sparse.csr_array], ids=["dense", "csr"])
coherences = pytest.mark.parametrize("coherent", [False, True], ids=["incoherent", "coherent"])
kappas = pytest.mark.parametrize("kappa", reference.KAPPAS, ids="{:.0e}".format)


@layouts
@coherences
@kappas
def test_every_method_on_the_grid_of_condition_and_residual(layout, kappa, coherent):
    A, left = reference.graded(4000, 50, kappa, coherent=coherent)
    oracle = reference.BackwardError(A)
    limits = LIMITS if layout is np.asarray else SPARSE_LIMITS
    for residual in reference.RESIDUALS:
        b = reference.right_hand_side(A, left, residual)
        for method, limit in limits.items():
            result = solve(layout(A), b, method=method, rng=1)
            check(A, b, result.x, f"{method}, residual {residual:.0e}", oracle)
            assert result.rank == 50
            if kappa <= limit:
                assert result.method == method or method == "auto"
                assert result.fallback_reason is None


@layouts
@coherences
@kappas
def test_weights_on_the_grid(layout, kappa, coherent):
    M, left = reference.graded(4000, 50, kappa, coherent=coherent)
    for residual in reference.RESIDUALS:
        A, b, weight = reference.unweighted(M, reference.right_hand_side(M, left, residual))
        weighted, target = reference.explicit(A, b, sample_weight=weight)
        oracle = reference.BackwardError(weighted)
        for method in LIMITS:
            x = solve(layout(A), b, sample_weight=weight, method=method, rng=1).x
            check(weighted, target, x, f"{method}, residual {residual:.0e}", oracle)


@layouts
@kappas
@pytest.mark.parametrize("ridge", [1e-12, 1.0, 1e6])
def test_ridge_on_the_grid(layout, kappa, ridge):
    A, left = reference.graded(4000, 50, kappa)
    B = np.column_stack([reference.right_hand_side(A, left, residual) for residual in reference.RESIDUALS])
    above, targets = reference.explicit(A, B, ridge=ridge)
    oracle = reference.BackwardError(above)
    for method in LIMITS:
        X = solve(layout(A), B, ridge=ridge, method=method, rng=1).x
        for j, residual in enumerate(reference.RESIDUALS):
            check(above, targets[:, j], X[:, j], f"{method}, residual {residual:.0e}", oracle)


@layouts
@coherences
@kappas
def test_single_precision_on_the_grid(layout, kappa, coherent):
    A, left = reference.graded(4000, 50, kappa, coherent=coherent)
    A = A.astype(np.float32)
    oracle = reference.BackwardError(A)
    for residual in reference.RESIDUALS:
        b = reference.right_hand_side(A.astype(float), left, residual).astype(np.float32)
        for method in LIMITS:
            x = solve(layout(A), b, method=method, rng=1).x
            assert x.dtype == np.float32
            check(A, b, x, f"{method}, residual {residual:.0e}", oracle, roundoff=2.0**-24)


@pytest.mark.parametrize("kappa", [1e9, 1e12])
def test_a_method_out_of_its_range_says_so_and_the_answer_is_as_good(kappa):
    A, left = reference.graded(4000, 50, kappa)
    b = reference.right_hand_side(A, left, 1e-3)
    with pytest.warns(nearlin.exceptions.FallbackWarning, match="gave way"):
        result = nearlin.lstsq(A, b, method="gram", rng=1)
    assert result.method != "gram"
    assert result.fallback_reason
    check(A, b, result.x, "gram")


@pytest.mark.parametrize("seed", [0, pytest.param(range(1, 6), marks=pytest.mark.slow, id="more seeds")])
@pytest.mark.parametrize("name", reference.hard(60, 50))
def test_hard_instances(name, seed):
    for s in np.atleast_1d(seed):
        A = reference.hard(seed=s)[name]
        oracle = reference.BackwardError(A)
        rng = np.random.default_rng([s, 7])
        clean = A @ rng.standard_normal(A.shape[1])
        noise = rng.standard_normal(len(A))
        noise /= np.linalg.norm(noise)
        sides = {f"noise {f:.0e}": clean + f * np.linalg.norm(clean) * noise for f in (0.0, 1e-6, 1.0)}
        for kind, b in {**sides, "b unrelated": noise}.items():
            for method in ("auto", "whitened", "spir", "fossils", "qr"):
                check(A, b, solve(A, b, method=method, rng=s).x, f"{method}, {kind}", oracle)


@pytest.mark.parametrize("name", reference.rank_deficient(60, 50))
@pytest.mark.parametrize("noise", [0.0, 1e-3, 1.0])
def test_rank_and_minimum_norm_of_deficient_matrices(name, noise):
    A, rank = reference.rank_deficient()[name]
    rng = np.random.default_rng(5)
    b = A @ rng.standard_normal(50) + noise * rng.standard_normal(len(A))
    result = nearlin.lstsq(A, b, rng=0)
    best = reference.minimum_norm(A, b, rcond=1e-12)
    assert result.rank == rank
    assert np.linalg.norm(result.x - best) <= 1e-8 * np.linalg.norm(best)
    assert np.linalg.norm(b - A @ result.x) <= (1 + 1e-10) * np.linalg.norm(
        b - A @ best
    ) + 1e-12 * np.linalg.norm(b)


def test_a_vandermonde_matrix_beyond_working_precision():
    A = np.vander(np.linspace(-1.0, 1.0, 4000), 50)
    b = np.cos(np.arange(4000.0))
    result = nearlin.lstsq(A, b, rng=0)
    best = reference.minimum_norm(A, b)
    assert np.linalg.norm(b - A @ result.x) <= (1 + 1e-10) * np.linalg.norm(b - A @ best)


@pytest.mark.parametrize("factor", [1e12, 1e14])
@pytest.mark.parametrize("d", [3, 4, 8, 16])
def test_rows_that_no_sample_sees_do_not_pass_for_an_admissible_factor(d, factor):
    for seed in range(20):
        A, b = reference.heavy_rows(8000, d, factor, seed)
        error = reference.backward_error(A, b, nearlin.lstsq(A, b, rng=seed).x)
        assert error <= 4 * U, f"seed {seed}: {error:.1e}"


@layouts
@pytest.mark.parametrize("ridge", [0.0, 1e-12, 1.0, 1e6])
@pytest.mark.parametrize("spread", [None, 1e12])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("method", LIMITS)
def test_ridge_weights_and_intercept_solve_the_explicit_problem(layout, ridge, spread, fit_intercept, method):
    rng = np.random.default_rng(11)
    X = rng.standard_normal((3000, 20)) * np.logspace(0, 3, 20) + 5.0
    y = X @ rng.standard_normal(20) + rng.standard_normal(3000) + 100.0
    weight = None
    if spread is not None:
        weight = spread ** rng.uniform(-0.5, 0.5, 3000)
        weight[::7] = 0.0
    model = nearlin.Ridge(ridge, fit_intercept=fit_intercept, method=method, random_state=0)
    model.fit(layout(X), y, sample_weight=weight)
    x = np.append(model.coef_, model.intercept_) if fit_intercept else model.coef_
    A, b = reference.explicit(X, y, ridge=ridge, sample_weight=weight, fit_intercept=fit_intercept)
    assert reference.backward_error(A, b, x) <= 20 * U


def test_the_intercept_of_many_rows_of_few_values():
    # Sums of many equal numbers round to one side: means must be better than a running sum.
    rng = np.random.default_rng(0)
    X = rng.integers(100, 103, (400_000, 5)) / 255
    y = np.round(X @ [1.0, 2.0, 3.0, 4.0, 5.0] + rng.integers(100, 103, 400_000) / 255, 1)
    model = nearlin.LinearRegression(random_state=0).fit(X, y)
    A, b = reference.explicit(X, y, fit_intercept=True)
    assert reference.backward_error(A, b, np.append(model.coef_, model.intercept_)) <= 20 * U


@pytest.mark.parametrize("kappa", [1e1, 1e6, 1e12])
@pytest.mark.parametrize("residual", reference.RESIDUALS)
@pytest.mark.parametrize("method", ["auto", "whitened", "spir", "fossils", "qr"])
def test_the_certificate_bounds_the_backward_error(kappa, residual, method):
    A, left = reference.graded(4000, 50, kappa, seed=2)
    b = reference.right_hand_side(A, left, residual, seed=2)
    result = nearlin.lstsq(A, b, method=method, rng=0)
    error = reference.backward_error(A, b, result.x)
    # The estimate sees a residual in working precision: what is below a fraction of the roundoff is noise.
    assert error <= float(result.certificate) + U / 4
    assert result.certificate.estimate <= 3 * error + U / 4
