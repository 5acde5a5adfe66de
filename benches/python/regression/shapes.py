"""Least squares of every shape beside its peers: seconds, backward error and peak memory, in one run.

    python benches/python/regression/shapes.py                         all groups, some ten minutes
    python benches/python/regression/shapes.py --groups sparse small   some of them
    python benches/python/regression/shapes.py --only survey grid      instances whose names hold one of these
    python benches/python/regression/shapes.py --smoke                 toy sizes: does everything run?

Contenders take turns, two threads each; times are medians of the wall clock, the ratio is peer over
nearlin. Peers that iterate are asked for tolerances of 1e-14. The backward error is Karlson and Walden's
or a bound on it: for sparse A of many columns Stewart's |A'r| / (|A|_F |r|) or |r| / (|A|_F |x|), columns
scaled to norm one; for wide A the residual's part of that of Sun and Sun. Memory is what the peak of a
forked child grows by in one call (Linux), for sparse A beside what it may be: twice the matrix, twelve
vectors as long as a row of it, and the factor. A target is a ratio to the fastest peer that is accurate;
`MISSED` is printed where it is not met, and nothing is left out. Narrow rows are read twice: what two reads
of A and b take at the speed of `A.sum()`, which has one thread, is a line of its own. Peers that scale the
columns of dependent ones give neither the rank nor the answer of least norm.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sla
from lstsq import extra_memory
from threadpoolctl import threadpool_limits

import nearlin

THREADS = 2
READ = "A.sum()"


@dataclass
class Case:
    """A problem, who solves it, and how far nearlin means to be ahead of the fastest accurate peer."""

    name: str
    make: Callable[[], tuple[Any, Any]]
    contenders: dict[str, Callable]
    target: float
    error: Callable[..., float]
    tolerance: float = 1e-13
    turns: int = 5


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--only", nargs="+", default=[""], help="parts of names")
    parser.add_argument("--turns", type=int, help="how often the contenders take turns")
    parser.add_argument("--smoke", action="store_true", help="toy sizes")
    options = parser.parse_args()
    scale = 50 if options.smoke else 1
    missed = []
    with threadpool_limits(THREADS), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for group in options.groups:
            print(f"\n{group}\n{'':34}{'ms':>10}{'ratio':>8}{'error':>9}{'MB':>7}")
            for case in GROUPS[group](scale):
                if any(part in case.name for part in options.only):
                    missed += run(case, 1 if options.smoke else options.turns or case.turns)
    if missed and not options.smoke:
        print("\nMissed: " + "; ".join(missed))


def run(case, turns):
    """Print a line for each contender; return the name of a case whose target was missed."""
    A, b = case.make()
    times, answers = {name: [] for name in case.contenders}, {}
    for _ in range(turns):
        for name, solve in case.contenders.items():
            start = time.perf_counter()
            answers[name] = solve(A, b)
            times[name].append(time.perf_counter() - start)
    seconds = {name: statistics.median(all_of) for name, all_of in times.items()}
    read = seconds.pop(READ, None)
    errors = {name: error_of(case, A, b, answers[name]) for name in seconds}
    ours = next(name for name in seconds if name.startswith("nearlin"))
    print(
        f"{case.name}: {A.shape[0]:,} x {A.shape[1]:,}" + (f", {A.nnz:,} entries" if sp.issparse(A) else "")
    )
    over = []
    for name in seconds:
        memory = extra_memory(case.contenders[name], A, b)
        note = remark(answers[name]) if name == ours else ""
        if name == ours and sp.issparse(A) and (allowed := allowed_memory(A, answers[name])):
            over = [f"{case.name} {memory / 1e6:.0f} of {allowed / 1e6:.0f} MB"] if memory > allowed else []
            note += f", {allowed / 1e6:.0f} MB allowed"
        print(
            f"    {name:30}{1e3 * seconds[name]:10.2f}{seconds[name] / seconds[ours]:8.2f}{errors[name]:9.0e}"
            f"{memory / 1e6:7.0f}  {note}",
            flush=True,
        )
    if read is not None:
        two = 2 * (1 + b.nbytes / A.nbytes) * read
        print(f"    {READ:30}{1e3 * read:10.2f}{read / seconds[ours]:8.2f}")
        print(f"    {'two reads of A and b like that':30}{1e3 * two:10.2f}{two / seconds[ours]:8.2f}")
    accurate = [seconds[name] for name in seconds if name != ours and errors[name] <= case.tolerance]
    ratio = min(accurate, default=float("inf")) / seconds[ours]
    verdict = "met" if ratio >= case.target else "MISSED"
    print(f"    fastest accurate peer / nearlin {ratio:.2f}, target {case.target:.2f}: {verdict}")
    return over + ([] if verdict == "met" else [f"{case.name} {ratio:.2f} of {case.target:.2f}"])


def allowed_memory(A, answer):
    """Return the bytes that an answer to sparse A may take at its peak, None if its factor is not known."""
    n, d = A.shape
    method = getattr(answer, "method", None)
    entries = re.search(r"A'A has (\d+) entries, its factor (\d+)", getattr(answer, "explanation", ""))
    if method == "gram":
        factor = 8 * min(n, d) ** 2
    elif method == "spir":
        factor = 8 * d * (answer.sketch_size + d)
    elif method == "sparse_cholesky" and entries:
        factor = 12 * sum(map(int, entries.groups()))
    elif method == "cg":
        factor = 0
    else:
        return None
    matrix = A.data.nbytes + A.indices.nbytes + A.indptr.nbytes
    return 2 * matrix + 12 * 8 * d + factor


def error_of(case, A, b, answer):
    """Return the error of an answer, under the penalty that it has chosen if it has chosen one."""
    chosen = {"ridge": answer.alpha_} if hasattr(answer, "alpha_") else {}
    return case.error(A, b, coefficients(answer), **chosen)


def coefficients(answer):
    """Return the coefficients of an array, a result or a fitted model."""
    for name in ("x", "coef_"):
        if hasattr(answer, name):
            return np.asarray(getattr(answer, name))
    return np.asarray(answer)


def remark(answer):
    """Tell how nearlin went about it."""
    found = [str(getattr(answer, name)) for name in ("method", "method_") if hasattr(answer, name)]
    found += [f"rank {getattr(answer, name)}" for name in ("rank", "rank_") if hasattr(answer, name)]
    return ", ".join(found)


# --- errors -------------------------------------------------------------------------------------------------


def sparse_error(A, b, x, *, ridge=0.0, intercept=False):
    """Return the smaller of two backward errors, columns scaled to norm one."""
    if intercept:
        means = np.asarray(A.mean(axis=0)).ravel()
        residual = b - b.mean() - (A @ x - means @ x)
        gradient = A.T @ residual - means * residual.sum() - ridge * x
        squares = np.asarray(A.multiply(A).sum(axis=0)).ravel() - A.shape[0] * means**2
    else:
        residual = b - A @ x
        gradient, squares = A.T @ residual - ridge * x, np.asarray(A.multiply(A).sum(axis=0)).ravel()
    norms = np.sqrt(np.maximum(squares, 0.0) + ridge)
    kept = norms > 1e-7 * norms.max()
    size = np.hypot(np.linalg.norm(residual), np.sqrt(ridge) * np.linalg.norm(x))
    frobenius = np.sqrt(kept.sum())
    length = np.linalg.norm(x[kept] * norms[kept])
    bounds = [np.linalg.norm(gradient[kept] / norms[kept]) / frobenius / size, size / frobenius / length]
    if A.shape[1] <= 700 and kept.all() and ridge == 0.0 and not intercept:
        theta = frobenius / np.linalg.norm(b)
        image = np.linalg.norm(np.linalg.lstsq(triangle(A, norms).T, gradient / norms, rcond=None)[0])
        bounds.append(theta / np.hypot(1.0, theta * length) / frobenius * image)
    return min(bounds)


def triangle(A, norms):
    """Return R of sparse A with columns of norm one, from dense blocks of rows."""
    R = np.zeros((0, A.shape[1]))
    for start in range(0, A.shape[0], 20_000):
        R = np.linalg.qr(np.vstack([R, A[start : start + 20_000].toarray() / norms]), mode="r")
    return R


def dense_error(A, b, x, *, ridge=0.0, intercept=False):
    """Return Karlson and Walden's estimate of the worst target, columns scaled to norm one."""
    if intercept:
        A, b = A - A.mean(axis=0), b - b.mean(axis=0)
    B, X = b.reshape(len(b), -1), x.T if x.ndim == 2 and x.shape[0] != A.shape[1] else x
    X = X.reshape(A.shape[1], -1)
    norms = np.sqrt(np.einsum("ij,ij->j", A, A) + ridge)
    factor = np.linalg.qr(A / norms, mode="r") if len(A) >= A.shape[1] else None
    worst = 0.0
    for target in range(B.shape[1]):
        x, residual = X[:, target], B[:, target] - A @ X[:, target]
        size = np.hypot(np.linalg.norm(residual), np.sqrt(ridge) * np.linalg.norm(x))
        by_residual = size / np.sqrt(len(norms)) / max(np.linalg.norm(x * norms), 1e-300)
        gradient = (A.T @ residual - ridge * x) / norms
        by_gradient = np.linalg.norm(gradient) / np.sqrt(len(norms)) / size
        error = min(by_residual, by_gradient)
        if factor is not None and ridge == 0.0:
            theta = np.sqrt(len(norms)) / np.linalg.norm(B[:, target])
            image = np.linalg.norm(np.linalg.solve(factor.T, gradient))
            share = theta / np.hypot(1.0, theta * np.linalg.norm(x * norms)) / np.sqrt(len(norms))
            error = min(error, share * image)
        worst = max(worst, error)
    return worst


def wide_error(A, b, x, *, ridge=0.0):
    """Return |r| / (|A|_F |x|), rows scaled to norm one; with a ridge, the gradient's."""
    if ridge:
        return dense_error(A, b, x.ravel(), ridge=ridge)
    norms = np.linalg.norm(A, axis=1)
    return np.linalg.norm((b - A @ x) / norms) / np.sqrt(len(norms)) / np.linalg.norm(x)


# --- contenders ---------------------------------------------------------------------------------------------


def ours(**options):
    return lambda A, b: nearlin.lstsq(A, b, n_jobs=THREADS, rng=0, **options)


def numpy_lstsq(A, b):
    return np.linalg.lstsq(A, b, rcond=None)[0]


def fitted(model):
    return lambda A, b: model.fit(A, b)


def lsmr(A, b):
    return sla.lsmr(A, b, atol=1e-14, btol=1e-14, conlim=0, maxiter=3000)[0]


def scaled(solver, A, b):
    """Solve with columns of norm one."""
    norms = np.sqrt(np.asarray(A.multiply(A).sum(axis=0)).ravel())
    norms[norms == 0.0] = 1.0
    return solver((A @ sp.diags_array(1.0 / norms)).tocsr(), b) / norms


def lsqr(A, b):
    return sla.lsqr(A, b, atol=1e-14, btol=1e-14, conlim=0, iter_lim=3000)[0]


def sklearn_ridge(solver, alpha=0.0, **options):
    from sklearn.linear_model import Ridge

    return fitted(Ridge(alpha, solver=solver, tol=1e-14, fit_intercept=False, **options))


# --- problems -----------------------------------------------------------------------------------------------


def finish(A, rng, noise=1.0):
    A = A.tocsr()
    A.sort_indices()
    A.indices, A.indptr = A.indices.astype(np.int32), A.indptr.astype(np.int32)
    b, r = A @ rng.standard_normal(A.shape[1]), rng.standard_normal(A.shape[0])
    return A, b + noise * np.linalg.norm(b) / np.linalg.norm(r) * r


def without_empty(A):
    return A[:, np.flatnonzero(np.diff(A.tocsc().indptr))]


def uniform(n, d, density):
    rng = np.random.default_rng(0)
    return finish(sp.random(n, d, density, "csr", random_state=rng, data_rvs=rng.standard_normal), rng)


def one_hot(n, levels, *, constant=False, numeric=0, steepness=0.0):
    """Factors with levels of frequencies after a power, numbers near 3, and a constant."""
    rng = np.random.default_rng(0)
    columns, first = [], 0
    for count in levels:
        p = np.arange(1, count + 1.0) ** -steepness
        columns.append(first + rng.choice(count, n, p=p / p.sum()))
        first += count
    indices, values = np.stack(columns, 1), np.ones((n, len(levels)))
    if numeric:
        indices = np.hstack([indices, np.broadcast_to(first + np.arange(numeric), (n, numeric))])
        values = np.hstack([values, rng.standard_normal((n, numeric)) + 3.0])
        first += numeric
    if constant:
        indices = np.hstack([indices, np.full((n, 1), first)])
        values = np.hstack([values, np.ones((n, 1))])
        first += 1
    each = indices.shape[1]
    A = sp.csr_array((values.ravel(), indices.ravel(), np.arange(0, n * each + 1, each)), shape=(n, first))
    return finish(without_empty(A), rng)


def power_law(n, d, each):
    rng = np.random.default_rng(0)
    p = np.arange(1, d + 1.0) ** -1.1
    indices = rng.choice(d, n * each, p=p / p.sum())
    A = sp.csr_array((rng.standard_normal(n * each), indices, np.arange(0, n * each + 1, each)), shape=(n, d))
    A.sum_duplicates()
    return finish(without_empty(A), rng)


def tf_idf(n, d, mean=60, topics=20):
    """Words after Zipf in topics, weighted and with rows of norm one: one direction dominates."""
    rng = np.random.default_rng(0)
    base = 1.0 / (np.arange(1, d + 1) + 2.7)
    share = np.stack([base * rng.gamma(0.3, size=d) for _ in range(topics)])
    share /= share.sum(1, keepdims=True)
    topic, lengths = rng.integers(topics, size=n), rng.poisson(mean, n) + 5
    rows, columns = np.repeat(np.arange(n), lengths), np.empty(lengths.sum(), int)
    for k in range(topics):
        of_topic = np.flatnonzero(topic[rows] == k)
        columns[of_topic] = rng.choice(d, of_topic.size, p=share[k])
    A = sp.coo_array((np.ones(rows.size), (rows, columns)), shape=(n, d)).tocsr()
    A.data = 1.0 + np.log(A.data)
    A = without_empty(A)
    frequency = np.bincount(A.indices, minlength=A.shape[1])
    A = A @ sp.diags_array(np.log((1 + n) / (1 + frequency)) + 1)
    return finish(sp.diags_array(1 / np.sqrt(np.asarray(A.multiply(A).sum(1)).ravel())) @ A, rng)


def graded(n, d, density, kappa):
    """Pairs of columns that nearly repeat, the difference graded down to 1 / kappa."""
    rng = np.random.default_rng(0)
    half = d // 2
    A = sp.random(n, d, density, "csc", random_state=rng, data_rvs=rng.standard_normal)
    steps = sp.diags_array(np.logspace(0, -np.log10(kappa), half))
    return finish(sp.hstack([A[:, :half], A[:, :half] + A[:, half : 2 * half] @ steps]), rng)


def bumps(n, d, width=6):
    """Smooth bumps on a few neighbours each, here and there hardly more of them than columns."""
    rng = np.random.default_rng(0)
    first = np.sort(rng.integers(0, d - width + 1, n))
    first[: d - width + 1] = np.arange(d - width + 1)
    k = np.arange(width)
    values = np.exp(-0.5 * ((k - (width - 1) * rng.random((n, 1))) / 1.2) ** 2)
    ends = np.arange(0, n * width + 1, width)
    return finish(sp.csr_array((values.ravel(), (first[:, None] + k).ravel(), ends), shape=(n, d)), rng)


def survey(n, d):
    """Differences of neighbouring points on a line, two anchors: the condition is that of the length."""
    rng = np.random.default_rng(0)
    i = rng.integers(0, d, n)
    j = np.clip(i + rng.integers(1, 4, n), 0, d - 1)
    j[j == i] -= 1
    i[: d - 1], j[: d - 1] = np.arange(d - 1), np.arange(1, d)
    rows = np.tile(np.arange(n), 2)
    A = sp.csr_array((np.repeat([1.0, -1.0], n), (rows, np.concatenate([i, j]))), shape=(n, d))
    anchors = sp.csr_array(([1.0, 1.0], ([0, 1], [0, d - 1])), shape=(2, d))
    return finish(sp.vstack([A, anchors]), rng, 1e-3)


def grid(m):
    """Gradients of an image, and a weak term for its values."""
    rng = np.random.default_rng(0)
    D, E = sp.diags_array([np.ones(m), -np.ones(m - 1)], offsets=[0, 1]), sp.eye_array(m)
    return finish(sp.vstack([sp.kron(D, E), sp.kron(E, D), 1e-2 * sp.eye_array(m * m)]), rng, 1e-3)


def hashed(n, d, each):
    """Signed features in buckets, frequencies after Zipf, rows of norm one."""
    rng = np.random.default_rng(0)
    words = (rng.zipf(1.2, n * each).astype(np.uint64) * np.uint64(2654435761)) % np.uint64(d)
    signs = np.where((words * np.uint64(40503)) & np.uint64(64), 1.0, -1.0)
    A = sp.csr_array((signs, words.astype(np.int64), np.arange(0, n * each + 1, each)), shape=(n, d))
    A.sum_duplicates()
    A.eliminate_zeros()
    lengths = np.sqrt(np.asarray(A.multiply(A).sum(1)).ravel())
    return finish(sp.diags_array(1 / np.maximum(lengths, 1e-300)) @ A, rng)


def dense(n, d, k=None, *, order="C", kappa=None):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((n, d))
    if kappa:
        A *= np.logspace(0, -np.log10(kappa), d)
        A = A @ rng.standard_normal((d, d))
    shape = (d,) if k is None else (d, k)
    B = A @ rng.standard_normal(shape)
    B = B + rng.standard_normal(B.shape)
    return np.asarray(A, order=order), np.asarray(B, order=order)


# --- groups -------------------------------------------------------------------------------------------------


def sparse_cases(scale):
    def s(n):
        return max(n // scale, 40)

    iterations = {
        "SciPy lsmr": lsmr,
        "SciPy lsmr, scaled": partial(scaled, lsmr),
        "SciPy lsqr": lsqr,
        "sklearn Ridge(0) sparse_cg": sklearn_ridge("sparse_cg"),
    }

    def case(name, make, target=1.0, **options):
        turns = options.pop("turns", 5)
        slow = options.pop("slow", False)
        peers = {k: v for k, v in iterations.items() if not slow or "scaled" in k}
        return Case(name, make, {"nearlin": ours(**options)} | peers, target, sparse_error, turns=turns)

    yield case("uniform .01", lambda: uniform(s(200_000), s(1000), 0.01), 1.5)
    yield case("uniform .02", lambda: uniform(s(500_000), s(300), 0.02), 2.5)
    yield case("uniform .002", lambda: uniform(s(100_000), s(5000), 0.002), 1.5)
    yield case("uniform .005", lambda: uniform(s(20_000), s(2000), 0.005))
    levels = [s(count) for count in (20, 50, 100, 200, 500)] if scale == 1 else [3, 5]
    yield case("one-hot", lambda: one_hot(s(200_000), levels), turns=3)
    yield case("one-hot + 1", lambda: one_hot(s(200_000), levels, constant=True), turns=3)
    zipf = [10, 100, 400, 1000] if scale == 1 else [4, 7]
    yield case(
        "one-hot zipf",
        lambda: one_hot(s(200_000), zipf, constant=True, numeric=4, steepness=1.0),
        turns=3,
    )
    many = [20_000, 20_000] if scale == 1 else [20, 20]
    yield case("one-hot many", lambda: one_hot(s(300_000), many, steepness=0.8), turns=3)
    yield case("power law", lambda: power_law(s(200_000), s(5000), 20), turns=3, slow=True)
    yield case("tf-idf narrow", lambda: tf_idf(s(100_000), s(2000)), turns=3, slow=True)
    yield case("tf-idf wide", lambda: tf_idf(s(20_000), s(8000)), turns=3, slow=True)
    yield case("survey", lambda: survey(s(30_000), s(5000)), 50.0, turns=3, slow=True)
    yield case("grid", lambda: grid(200 if scale == 1 else 12), 8.0, turns=3, slow=True)
    yield case("bumps", lambda: bumps(s(200_000), s(20_000)), turns=1, slow=True)
    for kappa in (1e3, 1e6, 1e9, 1e12):
        yield case(
            f"graded {kappa:.0e}", lambda k=kappa: graded(s(100_000), s(600), 0.02, k), turns=1, slow=True
        )
    yield Case(
        "hashed, ridge 1",
        lambda: hashed(s(100_000), 1 << (18 if scale == 1 else 12), 13),
        {
            "nearlin Ridge": fitted(nearlin.Ridge(1.0, fit_intercept=False, n_jobs=THREADS)),
            "sklearn sparse_cg": sklearn_ridge("sparse_cg", 1.0),
        },
        1.0,
        partial(sparse_error, ridge=1.0),
        turns=3,
    )


def narrow_cases(scale):
    for n, d, target in [
        (1_000_000, 5, 10.0),
        (100_000, 3, 4.0),
        (100_000, 10, 4.0),
        (1_000_000, 8, 15.0),
        (1_000_000, 16, 15.0),
        (1_000_000, 32, 15.0),
    ]:
        for order in "CF":
            yield Case(
                f"{n // scale} x {d} {order}",
                partial(dense, n // scale, d, order=order),
                {"nearlin": ours(), "numpy lstsq": numpy_lstsq, READ: lambda A, b: A.sum()},
                target,
                dense_error,
            )


def wide_cases(scale):
    def wide(n, d, kappa=None):
        rng = np.random.default_rng(0)
        A, b = rng.standard_normal((n, d)), rng.standard_normal(n)
        if kappa:
            left = np.linalg.qr(rng.standard_normal((n, n)))[0]
            A = (left * np.logspace(0, -np.log10(kappa), n)) @ A
        return A, b

    for n, d, kappa, target, turns in [
        (3000, 10_000, None, 8.0, 1),
        (500, 2000, None, 3.0, 5),
        (100, 100_000, None, 15.0, 3),
        (500, 2000, 1e9, 1.0, 5),
        (100, 20_000, 1e10, 1.0, 5),
    ]:
        n, d = max(n // scale, 4), max(d // scale, 40)
        yield Case(
            f"{n} x {d}" + (f", condition {kappa:.0e}" if kappa else ""),
            partial(wide, n, d, kappa),
            {"nearlin": ours(), "numpy lstsq": numpy_lstsq},
            target,
            wide_error,
            turns=turns,
        )
    n, d = max(500 // scale, 4), max(4096 // scale, 40)
    yield Case(
        f"Ridge {n} x {d}",
        partial(wide, n, d),
        {
            "nearlin Ridge": fitted(nearlin.Ridge(1.0, fit_intercept=False, n_jobs=THREADS)),
            "sklearn cholesky": sklearn_ridge("cholesky", 1.0),
            "sklearn svd": sklearn_ridge("svd", 1.0),
        },
        1.0,
        partial(wide_error, ridge=1.0),
    )
    yield ridge_cv_case(partial(wide, max(200 // scale, 8), max(2000 // scale, 40)), 1.0)


def ridge_cv_case(make, target):
    from sklearn.linear_model import RidgeCV

    alphas, (n, d) = np.logspace(-3, 3, 10), make.args
    return Case(
        f"RidgeCV {n} x {d}",
        make,
        {
            "nearlin RidgeCV": fitted(nearlin.RidgeCV(alphas, n_jobs=THREADS)),
            "sklearn RidgeCV": fitted(RidgeCV(alphas)),
        },
        target,
        partial(dense_error, intercept=True),
        turns=3,
    )


def many_cases(scale):
    for n, d, k, target in [(100_000, 100, 64, 5.0), (100_000, 100, 256, 4.0), (100_000, 20, 256, 4.0)]:
        for order in "CF":
            yield Case(
                f"{n // scale} x {d}, k = {k} {order}",
                partial(dense, n // scale, d, k, order=order),
                {"nearlin": ours(), "numpy lstsq": numpy_lstsq},
                target,
                dense_error,
                turns=3,
            )


def tall_cases(scale):
    for n, d in [(50_000, 300), (200_000, 100)]:
        yield ridge_cv_case(partial(dense, n // scale, max(d // scale, 5)), 12.0)


def small_cases(scale):
    """Two hundred calls in a row."""
    from sklearn.linear_model import LinearRegression

    calls = 200 if scale == 1 else 2

    def repeated(solve):
        def work(A, b):
            for _ in range(calls):
                answer = solve(A, b)
            return answer

        return work

    for n, d, target in [
        (10, 3, 2 / 3),
        (50, 5, 2 / 3),
        (50, 6, 1.0),
        (100, 10, 1.0),
        (1000, 10, 1.0),
        (300, 30, 1.0),
        (100, 100, 1.0),
    ]:
        for order in "CF":
            yield Case(
                f"{calls} calls, {n} x {d} {order}",
                partial(dense, n, d, order=order),
                {"nearlin": repeated(ours()), "numpy lstsq": repeated(numpy_lstsq)},
                target,
                dense_error,
                turns=7,
            )
    yield Case(
        f"{calls} fits, 1000 x 10",
        partial(dense, 1000, 10),
        {
            "nearlin LinearRegression": repeated(fitted(nearlin.LinearRegression(n_jobs=THREADS))),
            "sklearn LinearRegression": repeated(fitted(LinearRegression())),
        },
        1.5,
        partial(dense_error, intercept=True),
        turns=7,
    )
    with tempfile.TemporaryDirectory() as compiled:
        for call in ("numpy.linalg.lstsq(A, b, rcond=None)", "nearlin.lstsq(A, b)"):
            seconds = [first_call(call, compiled) for _ in range(calls // 30 + 2)]
            # The first compiles what pip leaves compiled.
            print(f"    first call of a process: {call:40}{1e3 * statistics.median(seconds[1:]):8.2f} ms")


def first_call(call, compiled):
    """Return the seconds of a call in a process of its own, modules compiled to a folder."""
    lines = [
        f"import numpy, time, {call.split('.')[0]}",
        "A, b = numpy.ones((50, 5)), numpy.ones(50)",
        "start = time.perf_counter()",
        call,
        "print(time.perf_counter() - start)",
    ]
    environment = os.environ | {"PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
    return float(subprocess.check_output([sys.executable, "-c", "\n".join(lines)], env=environment))


GROUPS = {
    "sparse": sparse_cases,
    "narrow": narrow_cases,
    "wide": wide_cases,
    "sides": many_cases,
    "tall": tall_cases,
    "small": small_cases,
}


if __name__ == "__main__":
    main()
