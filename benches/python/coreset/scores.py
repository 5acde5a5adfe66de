"""Scores and samples of rows beside NumPy and SciPy: seconds, the error of each, and what more threads do.

    python benches/python/coreset/scores.py                    all sizes, minutes
    python benches/python/coreset/scores.py --only 2^18        those whose names hold one of these
    python benches/python/coreset/scores.py --smoke            toy sizes: does everything run?

Contenders take turns in one run, one thread each but for those that say otherwise; times are medians of
the wall clock, ratios are theirs over that of nearlin's leverage scores. The error is the largest absolute
one of a score beside singular values, of Lewis weights the largest |log(T(w) / w)|. No other package has
Lewis weights: NumPy's is one step of the same iteration, in blocks. Projection DPPs are drawn by DPPy, too,
where it is installed.
"""

import argparse
import importlib.util
import statistics
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

import nearlin

sys.path.insert(0, str(Path(__file__).parents[3] / "tests/python"))
from reference import coreset as reference

BLOCK = 4096


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=[""], help="parts of names")
    parser.add_argument("--turns", type=int, default=5, help="how often the contenders take turns")
    parser.add_argument("--smoke", action="store_true", help="toy sizes")
    options = parser.parse_args()
    turns = 1 if options.smoke else options.turns
    warnings.simplefilter("ignore", nearlin.exceptions.GuaranteeWarning)
    print(f"{'':44}{'seconds':>9}{'ratio':>8}{'error':>9}")
    with threadpool_limits(1):
        for power in (10,) if options.smoke else (18, 20):
            for d in (5,) if options.smoke else (20, 50, 100):
                name = f"2^{power} x {d}"
                if any(part in name for part in options.only):
                    dense(name, reference.student(2**power, d), turns)
        n, d = (2**10, 5) if options.smoke else (2**18, 20)
        name = f"dpp {n} x {d}"
        if any(part in name for part in options.only):
            determinantal(name, n, d, turns)
        name = "one-hot, sparse"
        if any(part in name for part in options.only):
            sparse(name, *((2**10, 40) if options.smoke else (2**19, 989)), turns)


def dense(name, A, turns):
    single, d = A.astype(np.float32), A.shape[1]
    graded = A * np.logspace(0.0, -9.0, d) @ np.linalg.qr(reference.gaussian(d, d))[0]
    contenders = {
        "nearlin leverage_scores": lambda: nearlin.leverage_scores(A, n_jobs=1),
        "nearlin leverage_scores, two threads": lambda: nearlin.leverage_scores(A, n_jobs=2),
        "nearlin leverage_scores, condition 1e9": lambda: nearlin.leverage_scores(graded, n_jobs=1),
        "nearlin leverage_scores, float32": lambda: nearlin.leverage_scores(single, n_jobs=1),
        "NumPy Gram + Cholesky": lambda: numpy_leverages(A),
        "nearlin Lewis weights, p = 1, a pass": lambda: nearlin.lewis_weights(
            A, 1.0, n_jobs=1, return_info=True
        ),
        "NumPy Lewis weights, p = 1, a pass": lambda: numpy_lewis_pass(A),
        "nearlin sample_rows, p = 2": sampling(A, p=2.0),
        "nearlin sample_rows, p = 1": sampling(A, p=1.0),
        "nearlin sample_rows, p = 1, no search": sampling(A, p=1.0, certify=False),
    }
    if A.size <= 2**20 * 50:
        contenders["SciPy thin QR"] = lambda: scipy_leverages(A)
    times, found = measured(contenders, turns)
    _, info = found["nearlin Lewis weights, p = 1, a pass"]
    for contender in contenders:
        if "a pass" in contender and "nearlin" in contender:
            # What a pass adds to the first read, which is half of a call for leverage scores.
            once = 0.5 * times["nearlin leverage_scores"]
            times[contender] = (times[contender] - once) / info.n_passes
    truth = reference.leverages(A) if len(A) <= 2**18 else found["NumPy Gram + Cholesky"]
    report(name, times, {c: error(c, value, truth) for c, value in found.items()})
    print(f"    {'(passes to a residual of 0.05: ' + str(info.n_passes) + ')':40}")


def sampling(A, **options):
    return lambda: nearlin.sample_rows(A, size=100 * A.shape[1], rng=0, n_jobs=1, **options)


def error(contender, value, truth):
    if "everage" in contender or "Gram" in contender or "QR" in contender:
        return abs(value - truth).max()
    return value[1].residual if isinstance(value, tuple) else np.nan


def determinantal(name, n, d, turns):
    """Draw a projection DPP, by DPPy where it is installed."""
    A = reference.gaussian(n, d)
    contenders = {
        "nearlin sample_rows, dpp": lambda: nearlin.sample_rows(A, design="dpp", rng=0, n_jobs=1),
    }
    if importlib.util.find_spec("dppy"):
        from dppy.finite_dpps import FiniteDPP

        Q = np.linalg.qr(A)[0]

        def dppy():
            Q, _ = np.linalg.qr(A)
            process = FiniteDPP("correlation", projection=True, K_eig_dec=(np.ones(d), Q))
            process.sample_exact(mode="GS", random_state=0)
            return process.list_of_samples[0]

        def dppy_without_a_basis():
            process = FiniteDPP("correlation", projection=True, K_eig_dec=(np.ones(d), Q))
            process.sample_exact(mode="GS", random_state=0)
            return process.list_of_samples[0]

        contenders["DPPy, projection DPP with the QR before it"] = dppy
        contenders["DPPy, projection DPP alone"] = dppy_without_a_basis
    times, _ = measured(contenders, turns)
    report(name, times, dict.fromkeys(contenders, np.nan))


def sparse(name, n, d, turns):
    rng = np.random.default_rng(0)
    widths = np.diff(np.linspace(0, d, 10).astype(int))
    starts = np.r_[0, np.cumsum(widths)[:-1]]
    columns = np.concatenate(
        [s + np.minimum(rng.zipf(1.5, n) - 1, w - 1) for s, w in zip(starts, widths, strict=True)]
    )
    rows = np.tile(np.arange(n), len(widths))
    A = sp.csr_array((rng.uniform(0.5, 1.5, len(rows)), (rows, columns)), shape=(n, d))
    A = A[:, np.diff(A.tocsc().indptr) > 0].tocsr()
    contenders = {
        "nearlin leverage_scores": lambda: nearlin.leverage_scores(A, n_jobs=1),
        "nearlin leverage_scores, two threads": lambda: nearlin.leverage_scores(A, n_jobs=2),
        "SciPy Gram + Cholesky": lambda: scipy_sparse_leverages(A),
    }
    times, found = measured(contenders, turns)
    truth = found["SciPy Gram + Cholesky"]
    report(
        f"{name}: {A.shape[0]:,} x {A.shape[1]}, {A.nnz / A.shape[0]:.1f} a row",
        times,
        {c: abs(value - truth).max() for c, value in found.items()},
    )


def measured(contenders, turns):
    """Return median seconds and the last answers."""
    times, found = {contender: [] for contender in contenders}, {}
    for _ in range(turns):
        for contender, run in contenders.items():
            start = time.perf_counter()
            found[contender] = run()
            times[contender].append(time.perf_counter() - start)
    return {contender: statistics.median(seconds) for contender, seconds in times.items()}, found


def report(name, times, errors):
    print(name)
    ours = next(iter(times.values()))
    for contender, seconds in times.items():
        print(f"    {contender:40}{seconds:9.4f}{seconds / ours:8.2f}{errors[contender]:9.0e}", flush=True)


def numpy_leverages(A):
    """By blocks of rows, which is faster than in one go."""
    L = np.linalg.cholesky(A.T @ A)
    inverse = scipy.linalg.solve_triangular(L, np.eye(len(L)), lower=True).T
    return np.concatenate(
        [((A[start : start + BLOCK] @ inverse) ** 2).sum(axis=1) for start in range(0, len(A), BLOCK)]
    )


def numpy_lewis_pass(A):
    w = np.full(len(A), A.shape[1] / len(A))
    gram = np.zeros((A.shape[1], A.shape[1]))
    inverse = np.eye(A.shape[1])
    for start in range(0, len(A), BLOCK):
        block = A[start : start + BLOCK]
        image = np.sqrt(((block @ inverse) ** 2).sum(axis=1))
        w[start : start + BLOCK] *= np.exp(4.0 / 3.0 * np.log(image / w[start : start + BLOCK]))
        gram += block.T @ (block / w[start : start + BLOCK, None])
    return w


def scipy_leverages(A):
    Q, _ = scipy.linalg.qr(A, mode="economic", check_finite=False)
    return (Q**2).sum(axis=1)


def scipy_sparse_leverages(A):
    gram = (A.T @ A).toarray()
    inverse = np.linalg.inv(np.linalg.cholesky(gram)).T
    rows = [A[start : start + BLOCK] @ inverse for start in range(0, A.shape[0], BLOCK)]
    return np.concatenate([(block**2).sum(axis=1) for block in rows])


if __name__ == "__main__":
    main()
