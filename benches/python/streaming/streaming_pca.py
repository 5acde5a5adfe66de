"""Top eigenvectors of streams beside scikit-learn and NumPy: time a row, and correlation with the truth.

    python benches/python/streaming/streaming_pca.py                  all shapes, some minutes
    python benches/python/streaming/streaming_pca.py --only 2048      those whose names hold one of these
    python benches/python/streaming/streaming_pca.py --smoke          toy sizes: does everything run?

Contenders take turns in one run, one thread each; times are medians of CPU time, in nanoseconds a row and as
multiples of a pass that computes nothing but the norms of the rows; beside these is how many there may be
("gate"), and how many times longer it took than that pass or, if they take longer, the flops at the rate of a
large product of matrices ("roofline"). Rows are single precision: normal, with five times the variance along
one direction. The correlation is the squared cosine with the top eigenvector of the matrix. Peers that are
exact, or that find as much, and are faster than "auto" are named in the end. Oja's rule and its kin are
nearlin's own; CCIPCA is NumPy, a row at a time. Of two threads there is the wall-clock time, and how many
times faster they are than one, on a stream five times as long.
"""

import argparse
import math
import statistics
import time
import warnings

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sla
from sklearn.decomposition import PCA, IncrementalPCA
from threadpoolctl import threadpool_limits

import nearlin

LONG = 5
"""How many times over two threads get the rows."""
GATES = {
    ("nearlin block_power", 512): 3.0,
    ("nearlin block_power", 1000): 2.5,
    ("nearlin oja", 1000): 8.0,
    ("nearlin auto", 1000): 12.0,
}
"""Passes over the norms that an algorithm may take, by name and number of columns."""
FLOPS = {
    "nearlin block_power": lambda d: 2 * d + 32 * d,
    "nearlin incremental": lambda d: 2 * d + 32 * d + 33 * d,
    "nearlin auto": lambda d: 2 * d + 32 * d + 65 * d,
    "nearlin oja": lambda d: 2 * d + 4 * 16 * d + 33 * d,
}
"""Of a row: its norm, products with directions or rungs, what these take, products with rows of its chunk."""
THREADED = ("auto", "block_power")
ALGORITHMS = (
    "block_power",
    "incremental",
    "oja",
    "frequent_directions",
    "sketch",
    "gram",
    "adaoja",
)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=[""], help="parts of names")
    parser.add_argument("--turns", type=int, default=3, help="how often the contenders take turns")
    parser.add_argument("--smoke", action="store_true", help="toy sizes")
    options = parser.parse_args()
    scale, turns, lost = (20, 1, []) if options.smoke else (1, options.turns, [])
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rate = product_rate(scale)
        print(f"products of matrices in single precision: {rate / 1e9:.0f} GFLOP/s")
        for name, make in shapes(scale):
            if any(part in name for part in options.only):
                A = make()
                lost += run(name, A, turns, rate)
                if not sp.issparse(A) and A.shape[1] >= 1000:
                    run_threads(A, turns)
    if lost and not options.smoke:
        print("\nFaster than `auto` with as much correlation: " + "; ".join(lost))


def product_rate(scale):
    """Return the flops a second of a large product, the best of some."""
    n = 2048 // scale
    B = np.random.default_rng(0).standard_normal((n, n), dtype=np.float32)
    return 2 * n**3 / min(timed(lambda: B @ B)[0] for _ in range(5))


def run_threads(A, turns):
    """Print how much faster two threads are than one."""
    for algorithm in THREADED:
        seconds = {1: [], 2: []}
        for _ in range(turns):
            for threads, of_threads in seconds.items():
                start = time.perf_counter()
                streamed(A, algorithm, threads, LONG)
                of_threads.append((time.perf_counter() - start) / LONG)
        one, two = (statistics.median(of_threads) for of_threads in seconds.values())
        name = f"nearlin {algorithm}, two threads"
        print(f"    {name:32}{1e9 * two / len(A):10.0f}{one / two:9.2f} x one")


def run(name, A, turns, rate):
    """Print a line for each contender; return those that beat `auto`."""
    contenders = {"nearlin auto": lambda: streamed(A, "auto")}
    contenders |= {
        f"nearlin {algorithm}": lambda algorithm=algorithm: streamed(A, algorithm)
        for algorithm in ALGORITHMS
        if algorithm != "gram" or A.shape[1] <= 1100
    }
    contenders |= peers(A)
    times, found, norms = {contender: [] for contender in contenders}, {}, []
    for _ in range(turns):
        norms.append(timed(lambda: row_norms(A))[0])
        for contender, solve in contenders.items():
            seconds, found[contender] = timed(solve)
            times[contender].append(seconds)
    v, unit, n = truth(A), statistics.median(norms), A.shape[0]
    size = A.nnz * 12 if sp.issparse(A) else A.nbytes
    pace = f"norms {1e9 * unit / n:.0f} ns a row, {size / unit / 1e9:.1f} GB/s"
    print(f"{name}: {n:,} x {A.shape[1]:,}; {pace}")
    titles = f"{'passes':>9}{'gate':>7}{'roofline':>10}{'to auto':>9}{'1 - correlation':>17}"
    print(f"    {'':32}{'ns a row':>10}{titles}")
    middle = {contender: statistics.median(all_of) for contender, all_of in times.items()}
    missed = {contender: 1.0 - float(w @ v) ** 2 for contender, w in found.items()}
    for contender, seconds in middle.items():
        gate = f"{GATES.get((contender, A.shape[1]), math.nan):.1f}".replace("nan", "")
        bound = max(unit, n * flops_of(contender, A) / rate) if flops_of(contender, A) else math.nan
        share = f"{seconds / bound:.1f} x".replace("nan x", "")
        print(
            f"    {contender:32}{1e9 * seconds / n:10.0f}{seconds / unit:9.1f}{gate:>7}{share:>10}"
            f"{seconds / middle['nearlin auto']:9.2f}{missed[contender]:17.1e}",
            flush=True,
        )
    enough = 1.1 * missed["nearlin auto"] + 1e-6
    rivals = [c for c in contenders if "nearlin" not in c and missed[c] <= enough]
    return [f"{name} ({c})" for c in rivals if middle[c] < middle["nearlin auto"]]


def flops_of(contender, A):
    """Return the flops of a row, None where nobody counts them."""
    return FLOPS[contender](A.shape[1]) if contender in FLOPS and not sp.issparse(A) else None


def timed(solve):
    start = time.process_time()
    found = solve()
    return time.process_time() - start, found


def row_norms(A):
    if sp.issparse(A):
        return A.multiply(A).sum(axis=1)
    return np.einsum("ij,ij->i", A, A)


def streamed(A, algorithm, threads=1, rounds=1):
    pca = nearlin.StreamingPCA(algorithm=algorithm, random_state=0, n_jobs=threads)
    for _ in range(rounds):
        pca.partial_fit(A)
    return pca.components_[0]


def peers(A):
    """Return what one would call instead."""
    if sp.issparse(A):
        return {"SciPy svds, in memory": lambda: sla.svds(A, 1, rng=np.random.default_rng(0))[2][0]}
    found = {
        "NumPy Gram, eigh": lambda: np.linalg.eigh(blocked_gram(A))[1][:, -1],
        "scikit-learn PCA, arpack": lambda: PCA(1, svd_solver="arpack", random_state=0).fit(A).components_[0],
        "scikit-learn PCA, covariance": lambda: PCA(1, svd_solver="covariance_eigh").fit(A).components_[0],
        "IncrementalPCA, batch 100": lambda: IncrementalPCA(1, batch_size=100).fit(A).components_[0],
        "CCIPCA": lambda: ccipca(A),
    }
    if A.shape[1] <= 600:
        found["IncrementalPCA"] = lambda: IncrementalPCA(1).fit(A).components_[0]
    return found


def blocked_gram(A):
    return sum(block.T @ block for block in np.array_split(A, -(-len(A) // 4096)))


def ccipca(A, amnesia=2.0):
    """Candid covariance-free incremental PCA (Weng, Zhang and Hwang 2003)."""
    v = A[0].astype(np.float64)
    for t, row in enumerate(A[1:], start=2):
        past = max(t - 1 - amnesia, 0.0) / t if t > 3 else (t - 1) / t
        v = past * v + (1.0 - past) * (row @ v) / np.linalg.norm(v) * row
    return v / np.linalg.norm(v)


def truth(A):
    if sp.issparse(A):
        return sla.svds(A, 1, tol=1e-12, rng=np.random.default_rng(0))[2][0]
    return np.linalg.eigh(A.astype(np.float64).T @ A)[1][:, -1]


def spiked(n, d):
    rng = np.random.default_rng(0)
    v = rng.standard_normal(d) / np.sqrt(d)
    return (rng.standard_normal((n, d)) + 2.0 * rng.standard_normal((n, 1)) * v).astype(np.float32)


def sparse(n, d, density):
    rng = np.random.default_rng(0)
    A = sp.random_array((n, d), density=density, rng=rng, format="csr", data_sampler=rng.standard_normal)
    return sp.csr_array(A @ sp.diags_array(np.r_[4.0, np.ones(d - 1)]))


def shapes(scale):
    yield "d = 192", lambda: spiked(40_000 // scale, 192)
    yield "d = 512", lambda: spiked(20_000 // scale, 512)
    yield "d = 1000", lambda: spiked(20_000 // scale, 1000 // (2 if scale > 1 else 1))
    yield "d = 2048", lambda: spiked(8000 // scale, 2048 // (4 if scale > 1 else 1))
    for density in (0.001, 0.01):
        yield f"sparse {density}", lambda density=density: sparse(20_000 // scale, 10_000 // scale, density)


if __name__ == "__main__":
    main()
