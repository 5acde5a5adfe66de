"""Certificates of answers to structured problems beside exact errors; thousands of them with `-m fuzz`."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from reference.exact import Exact, fractions

import nearlin

METHODS = ("auto", "gram", "whitened", "spir", "fossils", "cg", "lsmr", "fgmres_wlsir", "qr")
CHUNK = 10
"""Problems in a test."""


def families(rng, n, d):
    """Matrices that are hard in one way or another."""
    G = rng.standard_normal((n, d))
    kappa, tiny = 10.0 ** rng.uniform(0, 16), 10.0 ** rng.uniform(-14, -2)
    left = np.linalg.qr(rng.standard_normal((n, d)))[0] if n >= d else G[:, :n]
    right = np.linalg.qr(rng.standard_normal((d, d)))[0][: left.shape[1]]
    singular = np.logspace(0, -np.log10(kappa), left.shape[1])
    return {
        "gauss": G,
        "graded": G * 10.0 ** rng.uniform(-8, 8, d),
        "units": G * 10.0 ** rng.uniform(-140, 140, d),
        "kappa": (left * singular) @ right,
        "collinear": G[:, :1] + tiny * rng.standard_normal((n, d)),
        "huge row": np.vstack([G[:1] / tiny, G[1:]]),
        "lauchli": np.vstack([np.ones((1, d)), tiny * np.eye(n - 1, d)]),
        "duplicates": G[:, rng.integers(0, max(1, d - 1), d)],
        "one-hot": np.eye(d)[rng.integers(0, d, n)],
        "zero columns": G * (rng.uniform(size=d) < 0.7),
        "integers": rng.integers(-2, 3, (n, max(1, d - 2))) @ rng.integers(-2, 3, (max(1, d - 2), d)) * 1.0,
        "cauchy": rng.standard_cauchy((n, d)),
        "vandermonde": np.vander(np.linspace(-1.0, 1.0, n), d),
    }


def draw(seed):
    """A problem and options, all different."""
    rng = np.random.default_rng([seed, 17])
    d = int(rng.integers(1, 7))
    n = int(rng.choice([d, d + 1, max(2, d - 2), 30, 30, 40]))
    all_of = families(rng, max(n, 2), d)
    name = list(all_of)[seed % len(all_of)]
    A, options = all_of[name], {}
    with np.errstate(all="ignore"):
        b = A @ (rng.standard_normal(d) / np.maximum(abs(A).max(axis=0), 1e-280))
        noise = rng.standard_normal(len(A))
        b = [b, b + 1e-9 * noise, b + noise, noise * 1e90, noise][rng.integers(5)]
    if rng.uniform() < 0.3:
        options["sample_weight"] = 10.0 ** rng.uniform(-6, 6, len(A))
    if rng.uniform() < 0.4:
        options["ridge"] = float(10.0 ** rng.uniform(-20, 40))
    if rng.uniform() < 0.2:
        options["rcond"] = float(10.0 ** rng.uniform(-8, -1))
    if rng.uniform() < 0.3 and name != "units" and np.abs(b).max() < 1e30:
        A, b = A.astype(np.float32), b.astype(np.float32)
    return name, (sp.csr_array(A) if rng.uniform() < 0.3 else A), b, options


def looseness(method):
    """By how much an error in columns of norm one may exceed that in the units which the method knows."""
    return 2.0 if method in ("spir", "fossils", "cg", "lsmr") else 1.0


def check(true, certificate, method):
    """The bound holds for what it is about, and the target is met if the certificate says so."""
    cut = certificate.details.get("cut", 0.0)
    assert ("truncated" in certificate.quantity) is (cut > 0.0)
    assert true <= looseness(method) * (certificate.bound + cut) * (1 + 1e-9)
    assert certificate.estimate <= certificate.bound
    if certificate.met:
        assert true <= looseness(method) * (max(certificate.target, certificate.floor) + cut)


def fuzz(first):
    warnings.simplefilter("ignore")
    for seed in range(first, first + CHUNK):
        name, A, b, options = draw(seed)
        dense = A.toarray() if sp.issparse(A) else A
        about = {key: value for key, value in options.items() if key != "rcond"}
        exact = Exact(dense, b, **about)
        for method in METHODS:
            look = {"certify": seed % 3 == 0, "verify": seed % 5 == 0 and method != "lsmr"}
            result = nearlin.lstsq(A, b, method=method, rng=seed, **look, **options)
            check(exact.error(result.x), result.certificate, method)
            bound = result.certificate.coordinate_bound
            if bound is not None and result.rank == dense.shape[1] and all(exact.squares):
                off = abs(fractions(result.x) - exact.minimiser()).astype(float)
                assert not np.any(off > bound * (1 + 1e-9)), (seed, method)
        centred = Exact(dense, b, centred=True, **about)
        w, alpha = options.get("sample_weight"), options.get("ridge", 0.0)
        constant = np.ptp(dense, axis=0) <= 1e-6 * abs(dense).max(axis=0)
        if name not in ("one-hot", "lauchli", "vandermonde") and not constant.any():
            model = nearlin.Ridge(alpha, random_state=seed).fit(A, b, sample_weight=w)
            true = centred.error(model.coef_)
            if alpha == 0.0:  # the bound is on the fit with its intercept, which may be less
                fit = Exact(np.c_[np.ones(len(dense)), dense], b, sample_weight=w)
                true = min(true, fit.error(np.r_[model.intercept_, model.coef_]))
            check(true, model.certificate_, model.method_)


@pytest.mark.parametrize("first", range(0, 60, CHUNK))
def test_certificates_hold(first):
    fuzz(first)


@pytest.mark.fuzz
@pytest.mark.parametrize("first", range(100, 4100, CHUNK))
def test_thousands_of_certificates_hold(first):
    fuzz(first)


def kron(first):
    warnings.simplefilter("ignore")
    for seed in range(first, first + CHUNK):
        rng = np.random.default_rng([seed, 19])
        shapes = [(int(rng.integers(max(2, d), 6)), int(d)) for d in rng.integers(1, 4, 2)]
        all_of = [families(rng, *shape) for shape in shapes]
        factors = [matrices[str(rng.choice([n for n in matrices if n != "units"]))] for matrices in all_of]
        b = rng.standard_normal(shapes[0][0] * shapes[1][0])
        ridge = float(rng.choice([0.0, 0.0, 1e-3, 1e6]))
        result = nearlin.lstsq_kron(factors, b, ridge=ridge)
        product = np.kron(*(fractions(factor) for factor in factors))
        exact = Exact(product, b, ridge=ridge, scaled=ridge == 0.0)
        check(exact.error(result.x), result.certificate, "kron")


@pytest.mark.parametrize("first", range(0, 30, CHUNK))
def test_certificates_of_kronecker_products_hold(first):
    kron(first)


@pytest.mark.fuzz
@pytest.mark.parametrize("first", range(100, 1100, CHUNK))
def test_a_thousand_certificates_of_kronecker_products_hold(first):
    kron(first)
