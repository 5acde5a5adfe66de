"""Truncated singular value decompositions beside SciPy and scikit-learn: seconds, residuals and peak memory.

    python benches/python/svd/svds.py                    all matrices, some minutes
    python benches/python/svd/svds.py --only power-law   those whose names hold one of these
    python benches/python/svd/svds.py --smoke            toy sizes: does everything run?

Contenders take turns in one run, one thread each; times are medians of the wall clock, the ratio is peer
over nearlin. The residual is the largest max(|A v - s u|, |A'u - s v|) / s_1, the error the largest relative
one of a singular value beside the most exact contender's. A peer whose residual is no larger than ten times
nearlin's and that is faster is named in the end. Memory is what the peak of a forked child grows by in one
call (Linux).
"""

import argparse
import os
import resource
import statistics
import time
import warnings
from functools import partial

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sla
from threadpoolctl import threadpool_limits

import nearlin

TOLERANCE = 1e-9


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=[""], help="parts of names")
    parser.add_argument("--turns", type=int, default=3, help="how often the contenders take turns")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="toy sizes")
    options = parser.parse_args()
    lost = []
    with threadpool_limits(options.threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        print(f"{'':40}{'seconds':>9}{'ratio':>8}{'residual':>10}{'error':>9}{'MB':>7}")
        for name, make, ks in matrices(40 if options.smoke else 1):
            if any(part in name for part in options.only):
                A = make()
                for k in ks:
                    lost += run(name, A, k, 1 if options.smoke else options.turns, options.threads)
    if lost and not options.smoke:
        print("\nSlower than a peer as exact: " + "; ".join(lost))


def run(name, A, k, turns, threads):
    """Print a line for each contender; return the name of a case that a peer as exact has won."""
    contenders = {
        "nearlin lanczos": lambda: nearlin.svds(A, k, tol=TOLERANCE, rng=0, n_jobs=threads, solver="lanczos"),
        "nearlin randomized, tol 1e-2": lambda: nearlin.svds(
            A, k, tol=1e-2, rng=0, n_jobs=threads, solver="randomized"
        ),
        "SciPy PROPACK": lambda: scipys(A, k, "propack", 1e-9),
        "SciPy ARPACK": lambda: scipys(A, k, "arpack", 1e-13),
        "scikit-learn randomized_svd": partial(sklearns, A, k),
    }
    times, found = {contender: [] for contender in contenders}, {}
    for _ in range(turns):
        for contender, solve in list(contenders.items()):
            start = time.perf_counter()
            try:
                found[contender] = tuple(solve())
            except np.linalg.LinAlgError as failure:
                print(f"{name}, k = {k}, {contender}: {failure}")
                del contenders[contender], times[contender]
                continue
            times[contender].append(time.perf_counter() - start)
    seconds = {contender: statistics.median(all_of) for contender, all_of in times.items()}
    residuals = {contender: residual(A, *triplets) for contender, triplets in found.items()}
    best = found[min(residuals, key=residuals.get)][1]
    print(
        f"{name}: {A.shape[0]:,} x {A.shape[1]:,}, {A.nnz if sp.issparse(A) else A.size:,} entries, k = {k}"
    )
    ours = next(iter(contenders))
    for contender, solve in contenders.items():
        error = abs(found[contender][1] / best - 1.0).max()
        ratio = seconds[contender] / seconds[ours]
        print(
            f"    {contender:36}{seconds[contender]:9.3f}{ratio:8.2f}{residuals[contender]:10.0e}{error:9.0e}"
            f"{extra_memory(solve) / 1e6:7.0f}",
            flush=True,
        )
    peers = [c for c in contenders if "nearlin" not in c and residuals[c] <= 10.0 * residuals[ours]]
    return [f"{name}, k = {k} ({c})" for c in peers if seconds[c] < seconds[ours]]


def scipys(A, k, solver, tol):
    U, s, Vt = sla.svds(A, k, solver=solver, tol=tol, rng=np.random.default_rng(0))
    return U[:, ::-1], s[::-1], Vt[::-1]


def sklearns(A, k):
    from sklearn.utils.extmath import randomized_svd

    return randomized_svd(A, k, random_state=0)


def residual(A, U, s, Vt):
    """Return the largest residual beside the largest singular value."""
    left = np.linalg.norm(A @ Vt.T - U * s, axis=0).max()
    return max(left, np.linalg.norm(A.T @ U - Vt.T * s, axis=0).max()) / s[0]


def extra_memory(solve):
    """Return by how many bytes the peak of a forked child grows in one call."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        solve()
        os.write(writing, str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        grown = pipe.read()
    os.wait()
    return 1024 * int(grown or 0)


def power_law(n, entries, planted=64):
    """Planted blocks whose rows and columns have weights after a power, as ratings and graphs do."""
    rng = np.random.default_rng(0)
    weights, group = rng.pareto(1.5, (2, n)) + 1.0, rng.integers(planted, size=(2, n))
    rows = rng.choice(n, entries, p=weights[0] / weights[0].sum())
    columns = rng.choice(n, entries, p=weights[1] / weights[1].sum())
    inside = rng.random(entries) < 0.6
    members = [np.flatnonzero(group[1] == which) for which in range(planted)]
    for which in range(planted):
        chosen = np.flatnonzero(inside & (group[0][rows] == which))
        share = weights[1][members[which]]
        columns[chosen] = rng.choice(members[which], len(chosen), p=share / share.sum())
    return sp.csr_array((1.0 + rng.random(entries), (rows, columns)), shape=(n, n))


def dense(n, d):
    rng = np.random.default_rng(0)
    scale = 1.0 / np.arange(1, d + 1)
    return rng.standard_normal((n, d)) @ (scale[:, None] * rng.standard_normal((d, d))) / np.sqrt(d)


def matrices(scale):
    yield "power-law", lambda: power_law(20_000 // scale, 300_000 // scale), (16, 64)
    yield "power-law large", lambda: power_law(100_000 // scale, 1_000_000 // scale), (16, 64)
    yield (
        "uniform",
        lambda: sp.random_array((100_000 // scale, 20_000 // scale), density=1e-3, rng=0, format="csr"),
        (16,),
    )
    yield "dense tall", lambda: dense(20_000 // scale, 1000 // scale), (10,)


if __name__ == "__main__":
    main()
