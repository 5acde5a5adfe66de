"""Guarantees where Gram matrices come from a matrix unit: no error above its certificate, few more reads."""

import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import scipy.linalg
from reference import regression as reference
from reference.regression import UNIT_ROUNDOFF as U

import nearlin

pytestmark = pytest.mark.guarantee

UNIT = nearlin._core.matrix_unit()
MORE_ROWS = 1 if UNIT == "amx" else 0
"""An emulated unit is slow: matrices are as small as they may be."""

KAPPAS = (1e0, *(kappa for kappa in reference.KAPPAS if kappa < 1e14))
"""Beyond these the rank is no longer that of all columns."""
RESIDUALS = (0.0, 1e-12, 1e-6, 1.0)


def rows_of(d):
    """Enough of them for two slabs, where there is a unit for more."""
    return 24 * d if MORE_ROWS else 6 * d


def answered(source, unit):
    """Return what a script prints as JSON in a process with this ``NEARLIN_AMX``."""
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", source],
        env={**os.environ, "NEARLIN_AMX": unit, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(autouse=True, scope="module")
def _emulated_where_there_is_none():
    """Run this file in a process with an emulated unit, if the processor has none."""
    if UNIT != "none":
        yield
        return
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "-m", "guarantee", "-q", "--one-of-each", __file__],
        env={**os.environ, "NEARLIN_AMX": "emulate"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    pytest.skip("no matrix unit: passed with one that is emulated, one cell of each test")


def solve(A, b, **options):
    """lstsq, with the warnings of forced methods out of the way."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nearlin.exceptions.FallbackWarning)
        return nearlin.lstsq(A, b, **options)


def assert_certified(result, oracle, b, name, *, roundoff=U):
    """No error above its bound, but for a fraction of the roundoff that no estimate sees."""
    error = np.max(oracle.of(b, result.x))
    bound = float(result.certificate)
    assert error <= bound + roundoff / 4, f"{name}: {error:.1e} above {bound:.1e}\n{result.explanation}"
    estimate = result.certificate.estimate
    assert estimate <= 10 * error + roundoff / 2, f"{name}: {estimate:.1e}, too much for {error:.1e}"


@pytest.mark.parametrize("d", [128, 260])
@pytest.mark.parametrize("coherent", [False, True], ids=["incoherent", "coherent"])
@pytest.mark.parametrize("kappa", KAPPAS, ids="{:.0e}".format)
def test_the_certificate_on_the_grid_of_condition_and_residual(kappa, coherent, d):
    A, left = reference.graded(rows_of(d), d, kappa, coherent=coherent)
    oracle = reference.BackwardError(A)
    for residual in RESIDUALS:
        b = reference.right_hand_side(A, left, residual)
        for method in ("auto", "gram", "whitened"):
            result = solve(A, b, method=method, rng=1)
            name = f"{method}, residual {residual:.0e}"
            assert result.rank == d
            assert_certified(result, oracle, b, name)
            reference.check(A, b, result.x, name, oracle)
            if kappa <= {"auto": 1e13, "gram": 1e6, "whitened": 1e13}[method]:
                assert result.method != "qr", f"{name}: {result.explanation}"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("factor", [1e6, 1e12, 1e14], ids="{:.0e}".format)
@pytest.mark.parametrize("d", [128, 130, 160])
def test_rows_that_no_sample_sees_do_not_pass_for_an_admissible_factor(d, factor, seed):
    A, b = reference.heavy_rows(8192 if MORE_ROWS else 8 * d, d, factor, seed)
    oracle = reference.BackwardError(A)
    for method in ("auto", "gram"):
        result = solve(A, b, method=method, rng=seed)
        assert_certified(result, oracle, b, method)
        assert oracle.of(b, result.x) <= 4 * U, result.explanation


def centred_levels(n, d, light, count, tiny, seed):
    """Centred indicators, heavy and light ones, among tiny rows, which alone do not add up to zero.

    The entries -1 / d of the light ones are just below half a unit of three, or four, digits of columns:
    all of them are rounded to zero, and what is left of the row adds up to a unit or more.
    """
    same = np.random.default_rng(0)
    A, x = tiny * same.standard_normal((n, d)), same.standard_normal(d)
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(n // 32)[: d + count])
    A[rows[:d]] = (1.01 if light < 1e-6 else 1.0) * (np.eye(d) - 1 / d)
    A[rows[d:]] = light * (np.eye(d)[rng.integers(0, d, count)] - 1 / d)
    return A, A @ x


@pytest.mark.skipif(not MORE_ROWS, reason="many rows, for which an emulated unit is too slow")
@pytest.mark.parametrize(
    ("light", "count", "tiny", "seed"),
    [(60 * 2.4e-7, 100, 1e-13, 2), (63.5 * 2.0**-29, 130, 3e-14, 0), (63.5 * 2.0**-29, 130, 3e-14, 20)],
    ids=["three digits", "four digits", "four digits, elsewhere"],
)
def test_rounding_that_is_of_one_sign_does_not_make_a_factor_admissible(light, count, tiny, seed):
    # For these seeds the rows of the sample are tiny ones, so that auto begins with few digits.
    A, b = centred_levels(60_000, 128, light, count, tiny, seed)
    oracle = reference.BackwardError(A)
    for method in ("auto", "gram"):
        result = solve(A, b, method=method, rng=0)
        assert_certified(result, oracle, b, method)
        assert oracle.of(b, result.x) <= 4 * U, result.explanation


READS = """
import json, re
import numpy as np
from reference import regression as reference
import nearlin
found = []
for residual in (1e-12, 1e-3, 1.0):
    for seed in range(3):
        A, left = reference.graded({n}, {d}, {kappa}, coherent={coherent}, seed=seed)
        b = reference.right_hand_side(A, left, residual, seed=seed)
        result = nearlin.lstsq(A, b, rng=seed)
        found.append([result.method, sum(map(int, re.findall(r"after (\\d+) pass", result.explanation)))])
print(json.dumps(found))
"""


@pytest.mark.parametrize("coherent", [False, True], ids=["incoherent", "coherent"])
@pytest.mark.parametrize("kappa", KAPPAS[::2], ids="{:.0e}".format)
@pytest.mark.parametrize("d", [128, 260])
def test_refinement_ends_as_it_does_after_products_of_floats_in_a_few_more_reads(d, kappa, coherent):
    source = READS.format(n=rows_of(d), d=d, kappa=kappa, coherent=coherent)
    with_unit, without = (answered(source, unit) for unit in ("1" if MORE_ROWS else "emulate", "0"))
    for (method, reads), (method_without, reads_without) in zip(with_unit, without, strict=True):
        assert reads <= reads_without + 8, (with_unit, without)
        assert method != "qr" or method_without == "qr", (with_unit, without)


@pytest.mark.parametrize("ridge", [1e-12, 1.0, 1e6])
@pytest.mark.parametrize("kappa", [1e1, 1e5, 1e8, 1e12], ids="{:.0e}".format)
def test_ridge_and_three_targets(kappa, ridge):
    A, left = reference.graded(rows_of(256), 256, kappa)
    B = np.column_stack([reference.right_hand_side(A, left, residual) for residual in (0.0, 1e-6, 1.0)])
    above, targets = reference.explicit(A, B, ridge=ridge)
    oracle = reference.BackwardError(above)
    for method in ("auto", "gram", "whitened"):
        assert_certified(solve(A, B, ridge=ridge, method=method, rng=1), oracle, targets, method)


@pytest.mark.parametrize("coherent", [False, True], ids=["incoherent", "coherent"])
@pytest.mark.parametrize("kappa", [1e1, 1e5, 1e8, 1e12], ids="{:.0e}".format)
def test_weights_of_many_sizes(kappa, coherent):
    M, left = reference.graded(rows_of(256), 256, kappa, coherent=coherent)
    for residual in RESIDUALS:
        b = reference.right_hand_side(M, left, residual)
        A, b, weight = reference.unweighted(M, b, orders=6)
        weighted, target = reference.explicit(A, b, sample_weight=weight)
        oracle = reference.BackwardError(weighted)
        for method in ("auto", "gram", "whitened"):
            result = solve(A, b, sample_weight=weight, method=method, rng=1)
            assert_certified(result, oracle, target, f"{method}, residual {residual:.0e}")


@pytest.mark.parametrize("spread", [None, 1e6])
@pytest.mark.parametrize("ridge", [0.0, 1.0])
@pytest.mark.parametrize("centre", [0.0, 5.0, 1e4])
def test_an_intercept(centre, ridge, spread):
    rng = np.random.default_rng(3)
    X = rng.standard_normal((rows_of(130), 130)) * np.logspace(0, 3, 130) + centre
    y = X @ rng.standard_normal(130) + rng.standard_normal(len(X)) + 100.0
    weight = None if spread is None else spread ** rng.uniform(-0.5, 0.5, len(X))
    model = nearlin.Ridge(ridge, random_state=0).fit(X, y, sample_weight=weight)
    A, b = reference.explicit(X, y, ridge=ridge, sample_weight=weight, fit_intercept=True)
    error = reference.backward_error(A, b, np.append(model.coef_, model.intercept_))
    assert error <= 20 * U


@pytest.mark.parametrize("coherent", [False, True], ids=["incoherent", "coherent"])
@pytest.mark.parametrize("kappa", [1e1, 1e3, 1e5, 1e7], ids="{:.0e}".format)
def test_single_precision_and_three_targets(kappa, coherent):
    A, left = reference.graded(rows_of(256), 256, kappa, coherent=coherent)
    A = A.astype(np.float32)
    columns = [reference.right_hand_side(A.astype(float), left, residual) for residual in (0.0, 1e-6, 1.0)]
    B = np.column_stack(columns).astype(np.float32)
    oracle = reference.BackwardError(A)
    for method in ("auto", "gram", "whitened"):
        result = solve(A, B, method=method, rng=1)
        if result.rank == A.shape[1]:
            assert_certified(result, oracle, B, method, roundoff=2.0**-24)
        assert result.x.dtype == np.float32


@pytest.mark.parametrize("kappa", [1e1, 1e3, 1e5, 1e8, 1e12], ids="{:.0e}".format)
def test_fewer_rows_than_columns(kappa):
    n, d = 200, 3000 if MORE_ROWS else 1200
    A = reference.graded(d, n, kappa)[0].T.copy()
    rng = np.random.default_rng(1)
    b = A @ rng.standard_normal(d)
    result = nearlin.lstsq(A, b, rng=1)
    # The certificate is about rows of norm one.
    norms = np.linalg.norm(A, axis=1)
    scaled = (A / norms[:, None]).astype(np.longdouble)
    residual = float(np.linalg.norm(b / norms - scaled @ result.x.astype(np.longdouble)))
    error = residual / (np.sqrt(n) * np.linalg.norm(result.x) + np.linalg.norm(b / norms))
    assert error <= float(result.certificate) + U / 4, result.explanation
    # The answer is the one of least norm: no part of it is orthogonal to the rows.
    basis = scipy.linalg.qr(A.T / norms, mode="economic")[0]
    outside = np.linalg.norm(result.x - basis @ (basis.T @ result.x))
    assert outside <= 100 * kappa * U * np.linalg.norm(result.x)
    assert result.rank == n
