"""Matrix completion: seconds per sweep beside cmfrec and implicit, and how they grow with rank and entries.

    python benches/python/completion/sweeps.py                  2 million entries, ranks 16 to 128; minutes
    python benches/python/completion/sweeps.py --ranks 16 32    these ranks
    python benches/python/completion/sweeps.py --threads 2      on two threads
    python benches/python/completion/sweeps.py --smoke          toy sizes: does everything run?

10,000 x 10,000, true rank 10, noise 0.1, entries uniform, no place twice. A sweep, of both sides, is the
difference between a fit of five and one of two sweeps, over three; contenders take turns, and times are
medians of the time of all processors (which neighbours disturb least). The ratio is the fastest peer over
nearlin's faster solver. The error is the root mean square error of five sweeps on 100,000 other entries:
nearlin and cmfrec fit the values, by the same penalty times the number of entries, implicit (whose errors
would mean nothing here) its own objective. Peers that are not installed are named. The exponents are those
of seconds per sweep over the ranks and over the entries, fitted in logarithms.
"""

import argparse
import os
import statistics
import time
import warnings
from functools import partial

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

import nearlin

FEW, MANY = 2, 5
REG = 0.01


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ranks", nargs="+", type=int, default=[16, 32, 64, 128])
    parser.add_argument("--turns", type=int, default=3, help="how often the contenders take turns")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="toy sizes")
    options = parser.parse_args()
    side, entries = (300, 10_000) if options.smoke else (10_000, 2_000_000)
    ranks = [4, 20] if options.smoke else options.ranks
    turns = 1 if options.smoke else options.turns
    missing = [name for name, make in PEERS.items() if make is None]
    with threadpool_limits(options.threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        print(f"{'':34}{'s / sweep':>11}{'error':>9}{'ratio':>8}")
        train, test = instance(side, entries)
        growth = {"cholesky": [], "cg": []}
        for rank in ranks:
            seconds = run(train, test, rank, turns, options.threads)
            for solver, times in growth.items():
                times.append(seconds[f"nearlin {solver}"])
        for solver, times in growth.items():
            print(f"exponent of the rank, {solver}: {exponent(ranks, times):.2f}")
        counts = [2_000, 20_000] if options.smoke else [100_000, 1_000_000, 10_000_000]
        times = []
        for count in counts:
            train, _ = instance(max(30, count // 200), count)
            times.append(per_sweep(partial(ours, "cg"), train, 32, turns, options.threads))
        print(f"exponent of the entries at rank 32, cg: {exponent(counts, times):.2f}")
    if missing:
        print("not installed: " + ", ".join(missing))


def instance(side, entries, rank=10, seed=0):
    """Return rows, columns and values of entries for a fit, and of others."""
    rng = np.random.default_rng(seed)
    U, V = (rng.standard_normal((side, rank)).astype(np.float32) for _ in range(2))
    others = min(100_000, entries // 5)
    places = np.unique(rng.integers(0, side * side, round(1.2 * (entries + others))))
    places = rng.permutation(places)[: entries + others]
    rows, cols = places // side, places % side
    values = np.einsum("ij,ij->i", U[rows], V[cols]) / np.sqrt(rank)
    values += 0.1 * rng.standard_normal(len(values), dtype=np.float32)
    parts = slice(0, len(places) - others), slice(len(places) - others, None)
    matrix = sp.coo_array((values[parts[0]], (rows[parts[0]], cols[parts[0]])), shape=(side, side))
    return matrix.tocsr(), (rows[parts[1]], cols[parts[1]], values[parts[1]])


def run(train, test, rank, turns, threads):
    """Print a line for each contender, and return seconds per sweep."""
    contenders = {f"nearlin {solver}": partial(ours, solver) for solver in ("cholesky", "cg")}
    contenders |= {name: make for name, make in PEERS.items() if make is not None}
    seconds = {name: [] for name in contenders}
    for _ in range(turns):
        for name, fit in contenders.items():
            seconds[name].append(per_sweep(fit, train, rank, 1, threads))
    seconds = {name: statistics.median(times) for name, times in seconds.items()}
    best = min(seconds[name] for name in ("nearlin cholesky", "nearlin cg"))
    peers = [time for name, time in seconds.items() if not name.startswith("nearlin")]
    for name, fit in contenders.items():
        predict = fit(train, rank, MANY, threads)
        error = "" if predict is None else f"{np.sqrt(np.mean((predict(*test[:2]) - test[2]) ** 2)):.4f}"
        print(f"k = {rank:<4}{name:<26}{seconds[name]:11.4f}{error:>9}")
    if peers:
        print(f"k = {rank:<4}{'fastest peer / nearlin':<26}{'':20}{min(peers) / best:8.1f}")
    return seconds


def per_sweep(fit, train, rank, turns, threads):
    """Return the time of all processors that a sweep takes."""
    times = []
    for _ in range(turns):
        taken = []
        for sweeps in (FEW, MANY):
            start = time.process_time()
            fit(train, rank, sweeps, threads)
            taken.append(time.process_time() - start)
        times.append((taken[1] - taken[0]) / (MANY - FEW))
    return max(statistics.median(times), 1e-6)


def exponent(sizes, times):
    """Return the slope of times over sizes, in logarithms."""
    return np.polyfit(np.log(sizes), np.log(times), 1)[0]


def ours(solver, train, rank, sweeps, threads):
    model = nearlin.MatrixCompletion(
        rank,
        reg=REG,
        reg_exponent=1.0,
        bias=False,
        solver=solver,
        inner_tol=0.0,
        init="random",
        polish=False,
        max_iter=sweeps,
        tol=0.0,
        validation_fraction=0.0,
        random_state=0,
        n_jobs=threads,
    ).fit(train)
    return model.predict


def cmfrecs(steps, train, rank, sweeps, threads):
    import cmfrec

    model = cmfrec.CMF(
        k=rank,
        lambda_=REG,
        scale_lam=True,
        method="als",
        use_cg=steps > 0,
        max_cg_steps=max(steps, 1),
        finalize_chol=False,
        niter=sweeps,
        user_bias=False,
        item_bias=False,
        use_float=True,
        nthreads=threads,
        verbose=False,
        random_state=0,
    ).fit(train.tocoo())
    return model.predict


def implicits(train, rank, sweeps, threads):
    from implicit.cpu.als import AlternatingLeastSquares

    positive = sp.csr_matrix((np.abs(train.data), train.indices, train.indptr), shape=train.shape)
    model = AlternatingLeastSquares(
        factors=rank,
        regularization=1.0,
        iterations=sweeps,
        use_cg=True,
        num_threads=threads,
        random_state=0,
    )
    model.fit(positive, show_progress=False)


def peers():
    """Return the contenders beside nearlin, None for those that are not installed."""
    found = {
        "cmfrec cg": partial(cmfrecs, 3),
        "cmfrec cholesky": partial(cmfrecs, 0),
        "implicit cg": implicits,
    }
    for name in list(found):
        try:
            __import__(name.split()[0])
        except ImportError:
            found[name] = None
    return found


os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
PEERS = peers()

if __name__ == "__main__":
    main()
