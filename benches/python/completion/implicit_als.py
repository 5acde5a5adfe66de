"""ImplicitALS beside the package `implicit`: its objective, recall, and time.

    python benches/python/completion/implicit_als.py                  20,000 x 5,000, ranks 32 and 64; minutes
    python benches/python/completion/implicit_als.py --pairs FILE     lines of user, item and perhaps count
    python benches/python/completion/implicit_als.py --smoke          toy sizes: does everything run?

Users of 50 tastes choose items of a skewed popularity, counts are geometric, a tenth of the pairs is left
out. Both minimise the objective of `implicit` with the same penalty and the same number of sweeps, from
starts of their own; it is measured by one independent rule for both, over that of factors of zeros. Recall@20
is on the pairs that were left out; iALS and iALS++ are beside it. Time is that of all processors on one
thread, the median of the turns, in which the contenders take part by turns.
"""

import argparse
import os
import statistics
import time
import warnings

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

import nearlin

REG, ALPHA, SWEEPS = 0.5, 2.0, 15


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", metavar="FILE")
    parser.add_argument("--ranks", nargs="+", type=int, default=[32, 64])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="toy sizes")
    options = parser.parse_args()
    size = (200, 80, 10) if options.smoke else (20_000, 5_000, 50)
    counts = read(options.pairs) if options.pairs else chosen(*size)
    train, test = parted(counts)
    ranks, turns = ([4], 1) if options.smoke else (options.ranks, options.turns)
    print(f"{train.shape[0]} x {train.shape[1]}, {train.nnz} pairs, {len(test[0])} left out")
    print(f"{'':34}{'s':>9}{'objective':>12}{'recall@20':>11}")
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for rank in ranks:
            run(train, test, rank, turns)
    if not PEER:
        print("not installed: implicit")


def run(train, test, rank, turns):
    """Print a line for each contender, and ratios to the peer."""
    contenders = {name: make for name, make in CONTENDERS.items() if PEER or not name.startswith("implicit")}
    seconds, factors = {name: [] for name in contenders}, {}
    for _ in range(turns):
        for name, fit in contenders.items():
            start = time.process_time()
            factors[name] = fit(train, rank)
            seconds[name].append(time.process_time() - start)
    times = {name: statistics.median(taken) for name, taken in seconds.items()}
    values = {name: objective(train, *found) for name, found in factors.items()}
    for name, found in factors.items():
        line = f"k = {rank:<4}{name:<26}{times[name]:9.2f}"
        shown = "" if "ials" in name else f"{values[name]:12.5f}"
        print(f"{line}{shown:>12}{recall(train, test, *found):11.4f}", flush=True)
    if PEER:
        ratio = values["nearlin cg"] / values["implicit cg"]
        fast = times["implicit cg"] / times["nearlin cg"]
        print(
            f"k = {rank:<4}{'implicit / nearlin, cg':<26}{fast:9.2f}{'':8}and nearlin's objective {ratio:.5f}"
        )


def chosen(users, items, tastes, seed=0):
    """Return counts of what users of some tastes have chosen."""
    rng = np.random.default_rng(seed)
    popularity = 1.0 / np.arange(1, items + 1) ** 0.6
    shares = rng.dirichlet(np.full(tastes, 0.08), users)
    likes = rng.gamma(0.15, size=(tastes, items)) * popularity
    likes /= likes.sum(axis=1, keepdims=True)
    rows, cols = [], []
    for user, number in enumerate(rng.geometric(1 / 60, users) + 4):
        taste = rng.choice(tastes, number, p=shares[user])
        for each, many in zip(*np.unique(taste, return_counts=True), strict=True):
            cols.append(rng.choice(items, many, p=likes[each]))
            rows.append(np.full(many, user))
    entries = np.concatenate(rows), np.concatenate(cols)
    return sp.csr_array((np.ones(len(entries[0])), entries), shape=(users, items))


def read(file):
    """Return counts of pairs in a text file."""
    import pandas as pd

    table = pd.read_csv(file, sep=None, engine="python", header=None)
    codes = [table[column].astype("category").cat.codes for column in (0, 1)]
    values = table[2].astype(float) if table.shape[1] > 2 else np.ones(len(table))
    return sp.csr_array((values, codes))


def parted(counts, seed=0):
    """Return a tenth of the pairs, and the counts without them."""
    left_out = np.random.default_rng(seed).random(counts.nnz) < 0.1
    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    kept = ~left_out
    train = sp.csr_array((counts.data[kept], (rows[kept], counts.indices[kept])), shape=counts.shape)
    return train, (rows[left_out], counts.indices[left_out])


def objective(train, U, V):
    """Return the objective of `implicit`, over that of zeros."""
    U, V = U.astype(float), V.astype(float)
    rows = np.repeat(np.arange(train.shape[0]), np.diff(train.indptr))
    prediction = np.einsum("ij,ij->i", U[rows], V[train.indices])
    c = ALPHA * train.data
    total = np.sum(c * (1.0 - prediction) ** 2 - prediction**2) + np.sum((U.T @ U) * (V.T @ V))
    return (total + REG * (np.sum(U**2) + np.sum(V**2))) / c.sum()


def recall(train, test, U, V, n=20):
    """Return the mean recall of the first users."""
    users = np.unique(test[0])[:2000]
    scores = U[users].astype(float) @ V.T.astype(float)
    hits = []
    for row, user in zip(scores, users, strict=True):
        row[train.indices[slice(*train.indptr[user : user + 2])]] = -np.inf
        wanted = test[1][test[0] == user]
        best = np.argpartition(-row, n)[:n]
        hits.append(len(np.intersect1d(best, wanted)) / min(n, len(wanted)))
    return np.mean(hits)


def ours(**options):
    def fit(train, rank):
        options_ = {"alpha": ALPHA, "reg": REG, "max_iter": SWEEPS, "tol": 0.0, "polish": False} | options
        model = nearlin.ImplicitALS(rank, random_state=0, n_jobs=1, **options_).fit(train)
        return model.U_, model.V_

    return fit


def implicits(*, use_cg):
    def fit(train, rank):
        from implicit.cpu.als import AlternatingLeastSquares

        model = AlternatingLeastSquares(
            rank,
            regularization=REG,
            alpha=ALPHA,
            use_cg=use_cg,
            iterations=SWEEPS,
            num_threads=1,
            random_state=0,
        )
        model.fit(sp.csr_matrix(train, dtype=np.float32), show_progress=False)
        return model.user_factors, model.item_factors

    return fit


def is_installed():
    try:
        import implicit.cpu.als  # noqa: F401
    except ImportError:
        return False
    return True


IALS = {"confidence": "ials", "alpha": 1.0, "reg": 0.003}
CONTENDERS = {
    "nearlin cg": ours(),
    "nearlin cholesky": ours(solver="cholesky"),
    "nearlin ials": ours(**IALS),
    "nearlin ials, subspace 16": ours(solver="subspace", block=16, **IALS),
    "implicit cg": implicits(use_cg=True),
    "implicit cholesky": implicits(use_cg=False),
}
PEER = is_installed()

if __name__ == "__main__":
    main()
