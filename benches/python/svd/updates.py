"""A truncated SVD that follows a matrix, beside those who do the same: time per batch, error and peak memory.

    python benches/python/svd/updates.py                       all matrices and batches, an hour
    python benches/python/svd/updates.py --only words          those whose names hold one of these
    python benches/python/svd/updates.py --k 16 --batches 100  some ranks, some numbers of batches
    python benches/python/svd/updates.py --smoke               toy sizes: does everything run?

Half of the rows are there in the beginning, with exact triplets, the same for all; the others come in so
many batches, each of which all contenders take before the next comes. One thread each. Milliseconds are
processor time per batch, the median over turns of the mean over the batches that a contender has taken:
all, or those that fit into `--seconds`. The ratio is that to nearlin with oversample=0 over the same
batches, beside the one that is aimed at; what has missed that is named in the end. The errors are the largest
and the mean relative one of the k leading singular values of the whole matrix, beside PROPACK's at full
precision. Memory is what the peak of a forked child grows by in one further batch (Linux).

IncrementalPCA subtracts the mean, so that its values are others, and is given dense batches, as it makes them
itself. IncSVD 0.2.7, by the authors of the method, works with sparse=True, l = 10 and t = 3, as in their
paper. Not here: primme 3.2.3 and sparsesvd 0.2.2 (no wheels, and their sources no longer build), pyrsvd (not
on PyPI), SLEPc (needs PETSc and MPI).

Below the streams: single rows from Python, two threads beside one, by the clock, and how the time of a fixed
batch grows with the rows that are there.
"""

import argparse
import contextlib
import io
import random
import statistics
import sys
import time
import warnings
from functools import partial
from itertools import pairwise
from pathlib import Path
from unittest import mock

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sla
from svds import extra_memory, power_law
from threadpoolctl import threadpool_limits

import nearlin

sys.path.insert(0, str(Path(__file__).parents[3] / "tests/python"))
OURS, DEFAULT = "nearlin, oversample=0", "nearlin"
OTHERS = ("gram", "krylov", "zha-simon", "vecharynski-saad", "yamazaki", "lcov", "lcov-gkl", "lcov-rpi")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=[""], help="parts of names")
    parser.add_argument("--k", nargs="+", type=int, default=[16, 32, 64])
    parser.add_argument("--batches", nargs="+", type=int, default=[10, 100, 1000])
    parser.add_argument("--seconds", type=float, default=5.0, help="most for a contender in a stream")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="toy sizes")
    options = parser.parse_args()
    if options.smoke:
        options.k, options.batches, options.turns, options.seconds = [4], [2, 9], 1, 1.0
    missed = []
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, make in matrices(options.smoke):
            if any(part in name for part in options.only):
                A = make()
                print(f"\n{name}: {A.shape[0]:,} x {A.shape[1]:,}, {A.nnz:,} entries", flush=True)
                for k in options.k:
                    start = Start(A, k)
                    for count in options.batches:
                        missed += streams(name, start, count, options)
        for name, extra in EXTRAS.items():
            if any(part in name for part in options.only):
                extra(options.smoke)
    if missed and not options.smoke:
        print("\nMISSED: " + "; ".join(missed))


def matrices(smoke):
    yield "words", lambda: words(60 if smoke else 1)
    for n in (600,) if smoke else (20_000, 100_000):
        yield f"power-law {n:,}", partial(power_law, n, 10 * n)


def words(step):
    """Count words in every file of Python source beside NumPy, in random order."""
    from nearlin._demo.words import count_words, growth

    files = sorted(Path(np.__file__).parents[1].rglob("*.py"))[::step]
    order = np.random.default_rng(0).permutation(len(files))
    return growth(count_words(files[i] for i in order)).matrix


class Start:
    """The first half of a matrix with its exact triplets, and those of the whole."""

    def __init__(self, A, k):
        self.A, self.k, self.half = A, k, A.shape[0] // 2
        self.kept = k + max(16, -(-k // 2))
        self.first = A[: self.half]
        U, s, Vt = exact(self.first, self.kept)
        self.U, self.s, self.V = U, s, np.ascontiguousarray(Vt.T)
        self.values = exact(A, k)[1]

    def triplets(self, kept):
        """Return copies of the first ones of the first half."""
        return self.U[:, :kept].copy(), self.s[:kept].copy(), self.V[:, :kept].copy()


def exact(A, k):
    U, s, Vt = sla.svds(A, k, solver="propack", tol=1e-12, rng=np.random.default_rng(0))
    return U[:, ::-1], s[::-1], Vt[::-1]


# --- contenders: each gives a function that takes a batch, and one that gives singular values ---------------


def nearlins(start, method="auto", **options):
    svd = nearlin.TruncatedSVD(start.k, method=method, random_state=0, n_jobs=1, **options).fit(start.first)
    return lambda E: svd.append_rows(E), lambda: svd.singular_values_


def prototype(start, kept):
    from reference.svd_gram import GramUpdates

    model = GramUpdates(*start.triplets(kept))
    return model.append_rows, lambda: model.s[: start.k]


def propack(start):
    """Rebuild from the rows so far."""
    A, rows, values = start.A, start.half, None

    def take(E):
        nonlocal rows, values
        rows = min(rows + E.shape[0], A.shape[0])
        end = A.indptr[rows]
        so_far = sp.csr_array((A.data[:end], A.indices[:end], A.indptr[: rows + 1]), (rows, A.shape[1]))
        values = sla.svds(so_far, start.k, solver="propack", rng=np.random.default_rng(0))[1][::-1]

    return take, lambda: values


def incsvd(start, method, **size):
    from IncSVD.EvolvingMatrix import EvolvingMatrix

    U, s, V = start.triplets(start.k)
    given = mock.patch("scipy.sparse.linalg.svds", return_value=(U, s, V.T))
    with given, contextlib.redirect_stdout(io.StringIO()):
        model = EvolvingMatrix(start.first, start.k, sparse=True, method=method)

    def take(E):
        # It wants more rows than vectors.
        least = {"l": max(min(size["l"], E.shape[0] - 1), 1)} if size else {}
        model.add_row(sp.csr_matrix(E), **{**size, **least})

    return take, lambda: np.sort(model.Sigmak)[::-1]


def gensims(start):
    from gensim.models import LsiModel

    model = LsiModel(num_topics=start.k, id2word={i: str(i) for i in range(start.A.shape[1])})
    _, model.projection.s, model.projection.u = start.triplets(start.k)
    return lambda E: model.add_documents(sp.csc_matrix(E.T)), lambda: model.projection.s


def incremental_pca(start):
    from sklearn.decomposition import IncrementalPCA

    model = IncrementalPCA(start.k).partial_fit(start.first[: max(2 * start.k, 100)].toarray())
    return lambda E: model.partial_fit(E.toarray()), lambda: None


def contenders(start):
    k = start.k
    return {
        OURS: partial(nearlins, start, oversample=0),
        DEFAULT: partial(nearlins, start),
        **{f"nearlin {name}": partial(nearlins, start, name, oversample=0) for name in OTHERS},
        "NumPy prototype": partial(prototype, start, k),
        "NumPy prototype, oversampled": partial(prototype, start, start.kept),
        "IncSVD Zha-Simon": partial(incsvd, start, "ZhaSimon"),
        "IncSVD GKL": partial(incsvd, start, "GKL", l=10),
        "IncSVD RPI": partial(incsvd, start, "RPI", l=10, t=3),
        "PROPACK, anew": partial(propack, start),
        "gensim LsiModel": partial(gensims, start),
        "scikit-learn IncrementalPCA": partial(incremental_pca, start),
    }


def target(contender, k, batches):
    """How many times the time of nearlin without oversampling a contender ought to take."""
    at = {10: 0, 100: 1, 1000: 2}.get(batches)
    zha_simon = 20.0 if k <= 16 else 10.0
    aims = {
        "NumPy prototype": (None, 2.0, 3.0),
        "nearlin zha-simon": (None, 10.0, None),
        "nearlin vecharynski-saad": (1.0, 3.0, 5.0),
        "nearlin yamazaki": (1.0, 3.0, 5.0),
        "IncSVD Zha-Simon": (None, zha_simon, 2.0),
        "IncSVD GKL": (None, 1.3, 2.0),
        "IncSVD RPI": (None, 1.3, 2.0),
        "PROPACK, anew": (None, 40.0, None),
        "gensim LsiModel": (None, 200.0, None),
        "scikit-learn IncrementalPCA": (None, 200.0, None),
    }
    return None if at is None else aims.get(contender, (None,) * 3)[at]


told = set()
"""What has been said of contenders that are not here."""

# --- streams ------------------------------------------------------------------------------------------------


def streams(name, start, count, options):
    """Print a line for each contender; return what has missed its target."""
    cuts = np.linspace(start.half, start.A.shape[0], count + 1).astype(int)
    batches = [start.A[a:b] for a, b in pairwise(cuts)]
    turns = [one_stream(start, batches, options.seconds) for _ in range(options.turns)]
    print(f"  k = {start.k}, {count} batches of {batches[0].shape[0]} rows")
    print(f"    {'':30}{'ms':>9}{'batches':>9}{'ratio':>8}{'target':>8}{'error max':>11}{'mean':>9}{'MB':>7}")
    missed = []
    for contender, (spent, values, memory) in turns[-1].items():
        if isinstance(spent, str):
            if (contender, spent) not in told:
                print(f"    {contender:30} {spent}")
            told.add((contender, spent))
            continue
        ms = statistics.median(1e3 * np.mean(turn[contender][0]) for turn in turns)
        ratio = statistics.median(
            np.mean(turn[contender][0]) / np.mean(turn[OURS][0][: len(turn[contender][0])]) for turn in turns
        )
        aim = target(contender, start.k, count)
        error = "          -        -"
        if values is not None:
            errors = abs(values / start.values - 1.0)
            error = f"{errors.max():11.1e}{errors.mean():9.1e}"
        aimed = "-" if aim is None else f"{aim:g}"
        figures = f"{ms:9.3f}{len(spent):9}{ratio:8.2f}{aimed:>8}{error}{memory / 1e6:7.1f}"
        print(f"    {contender:30}{figures}", flush=True)
        if aim is not None and ratio < aim:
            missed.append(f"{name}, k = {start.k}, {count} batches, {contender}: {ratio:.2f}, not {aim:g}")
    return missed


def one_stream(start, batches, seconds):
    """Return, by contender, seconds of each batch, values in the end, and bytes that one batch more takes."""
    running, result = {}, {}
    for contender, make in contenders(start).items():
        try:
            running[contender] = *make(), []
        except (ImportError, nearlin.exceptions.InvalidInputError) as error:
            result[contender] = f"not here: {error}", None, 0
    for turn, E in enumerate(batches):
        # Whoever comes after a large one finds the caches full of its numbers.
        for contender, (take, _, spent) in random.Random(turn).sample([*running.items()], len(running)):
            over = sum(spent) > seconds and contender not in (OURS, DEFAULT)
            if over or contender in result:
                continue
            if contender == "scikit-learn IncrementalPCA" and 8 * E.shape[0] * E.shape[1] > 1e9:
                result[contender] = "not here: a dense batch takes more than a gigabyte", None, 0
                continue
            began = time.process_time()
            try:
                take(E)
            except Exception as error:
                if contender in (OURS, DEFAULT):
                    raise
                result[contender] = f"fails on {E.shape[0]} rows: {error}", None, 0
                continue
            spent.append(time.process_time() - began)
    for contender, (take, values, spent) in running.items():
        if contender not in result:
            last = values() if len(spent) == len(batches) else None
            result[contender] = spent, last, extra_memory(partial(take, batches[-1]))
    return {contender: result[contender] for contender in contenders(start)}


# --- single rows, threads, growth ---------------------------------------------------------------------------


def uniform(m, n, seed=0):
    """Return a matrix with ten entries in every row."""
    rng = np.random.default_rng(seed)
    indices = rng.integers(n, size=10 * m, dtype=np.int32)
    A = sp.csr_array((rng.standard_normal(10 * m), indices, np.arange(0, 10 * m + 1, 10)), (m, n))
    A.sum_duplicates()
    return A


def started(rows, n):
    """Return a model of 32 triplets of so many rows."""
    svd = nearlin.TruncatedSVD(16, oversample=16, method="gram", n_jobs=1)
    return svd.partial_fit(uniform(min(rows, 1000), n))


def repeated(svd, times):
    """Return a model of the rows as often as that."""
    whole = svd.copy()
    for _ in range(times - 1):
        whole.merge(svd)
    return whole


def single_rows(smoke):
    """Append rows one at a time, as a 1-row CSR matrix each."""
    count = 20 if smoke else 3000
    print("\nsingle rows, 32 triplets kept: microseconds for each (target 60, within 20 % of each other)")
    sizes = (100, 1000) if smoke else (1000, 1_000_000)
    models = {n: started(500, n) for n in sizes}
    rows = {n: [uniform(1, n, seed) for seed in range(count)] for n in sizes}
    for call in ("append_rows", "partial_fit"):
        spent = {n: [] for n in sizes}
        for part in np.array_split(np.arange(count), 10):
            for n in sizes:
                take = getattr(models[n], call)
                began = time.process_time()
                for i in part:
                    take(rows[n][i])
                spent[n].append((time.process_time() - began) / len(part))
        for n in sizes:
            us, ratio = 1e6 * statistics.median(spent[n]), models[n].spectrum_ratio_
            print(f"    {call:12} n = {n:9,}: {us:6.1f}, spectrum ratio {ratio:.1f}")


def two_threads(smoke):
    """Take a stream on one thread and on two."""
    n = 1000 if smoke else 100_000
    print("\ntwo threads, by the clock: times as fast as one (target 1.3 at 10 and 100 batches)")
    A = power_law(n, 10 * n)
    for count in (2,) if smoke else (10, 100):
        models = [
            nearlin.TruncatedSVD(4 if smoke else 64, random_state=0, n_jobs=jobs, tol=1e-4).fit(A[: n // 2])
            for jobs in (1, 2)
        ]
        spent = [[], []]
        cuts = np.linspace(n // 2, n, count + 1).astype(int)
        for a, b in pairwise(cuts):
            for model, times in zip(models, spent, strict=True):
                E = A[a:b]
                began = time.perf_counter()
                model.append_rows(E)
                times.append(time.perf_counter() - began)
        one, two = (statistics.median(times) for times in spent)
        print(f"    {count} batches: {1e3 * one:.2f} ms, {1e3 * two:.2f} ms: {one / two:.2f}")


def growing(smoke):
    """Append batches of 100 rows, by how many are there."""
    sizes = (100, 1000) if smoke else (10_000, 100_000, 1_000_000)
    print("\ngrowing, batches of 100 rows, 32 triplets kept (target: an exponent below 0.1)")
    models, before = {}, started(sizes[0], 200 if smoke else 10_000)
    for m in sizes:
        models[m] = before = repeated(before, m // before.n_samples_seen_)
    spent = {m: [] for m in sizes}
    for seed in range(5 if smoke else 50):
        for m in sizes:
            E = uniform(100, models[m].n_features_in_, seed)
            began = time.process_time()
            models[m].append_rows(E)
            spent[m].append(time.process_time() - began)
    medians = [statistics.median(spent[m]) for m in sizes]
    exponent = np.polyfit(np.log(sizes), np.log(medians), 1)[0]
    for m, median in zip(sizes, medians, strict=True):
        print(f"    m = {m:,}: {1e3 * median:.3f} ms, model of {models[m].state_bytes_ / 1e6:.1f} MB")
    print(f"    exponent {exponent:.3f}")


EXTRAS = {"single rows": single_rows, "two threads": two_threads, "growing": growing}


if __name__ == "__main__":
    main()
