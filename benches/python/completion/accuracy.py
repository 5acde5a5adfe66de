"""Matrix completion: test error, time to it and memory beside peers, on made-up entries or a file of ratings.

    python benches/python/completion/accuracy.py                   two synthetic sets; minutes
    python benches/python/completion/accuracy.py --ratings FILE    yours: five splits, nine tenths to fit
    python benches/python/completion/accuracy.py --grid            also the penalty chosen beside 13 others
    python benches/python/completion/accuracy.py --smoke           toy sizes: does everything run?

A file has a user, an item and a rating in each line, first in it, set off by any one delimiter (found by
looking, or --delimiter), with a line of names or without; or it is Parquet, of which --columns names three.
Errors are root mean square errors on entries that were held out, of predictions clipped to the range of the
others.

Every contender is fitted with growing numbers of sweeps. Its line tells the least error that it came to,
and the time of all processors until it was within a hundredth of that; the ratio is that time over
nearlin's to the same error ("never": it did not get there). All fit values, with biases, at the same rank;
penalties are those that their documentation recommends, nearlin's the one that it has chosen ("reg given":
the time without the choice). Peak memory is that of a forked process beyond its input, over the number of
entries.

Peers: cornac 3.0.1 comes with the `bench` extra. scikit-surprise 1.1.5 and cmfrec 3.5.1 have no wheels for
Python 3.11: pip builds them where there is a C compiler. Left out: libmf 0.9.2, whose
`predict` does not give what its factors do; lenskit 2025.8.1, which brings PyTorch with it; fancyimpute
0.7.0, which fails on current scikit-learn; softImpute, of which there is none on PyPI. Those that are not
installed are named.
"""

import argparse
import csv
import importlib.util
import multiprocessing
import os
import time
import warnings
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

import nearlin
from nearlin._demo.process import memory_probe

SWEEPS = (1, 2, 3, 5, 8, 12, 20, 30)
RANK = 10
GRID = [1.2 * 3 ** (k / 2 - 4) for k in range(13)]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ratings", help="a file of ratings")
    parser.add_argument("--delimiter", help="between fields")
    parser.add_argument("--columns", nargs=3, help="names in a Parquet file: user, item, rating")
    parser.add_argument("--rank", type=int, help="of the fits; 16 of ratings, 10 as theirs of synthetic sets")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--grid", action="store_true", help="fit with 13 penalties too")
    parser.add_argument("--smoke", action="store_true", help="toy sizes")
    options = parser.parse_args()
    options.rank = options.rank or (16 if options.ratings else RANK)
    sweeps = SWEEPS[:3] if options.smoke else SWEEPS
    contenders = {name: make for name, make in CONTENDERS.items() if installed(name)}
    with threadpool_limits(options.threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for title, splits in sets(options):
            print(f"\n{title}, rank {options.rank}")
            compare(contenders, splits, options, sweeps)
    missing = [name for name in CONTENDERS if not installed(name)]
    if missing:
        print("\nnot installed: " + ", ".join(missing))


def sets(options):
    """Yield titles, and splits of entries into those for a fit and those for a test."""
    if options.ratings:
        entries = read(options)
        splits = nearlin.EntrySplit(options.splits, test_size=0.1, random_state=0).split(entries)
        parts = ([tuple(part[at] for part in entries) for at in split] for split in splits)
        yield f"{options.ratings}: {len(entries[2])} ratings", list(parts)
        return
    small = options.smoke
    for title, side, count, noise in (
        ("2e6 entries of 10,000 x 10,000, noise 0.1", 10_000, 2_000_000, 0.1),
        ("1e6 entries of 10,000 x 10,000, noise 1", 10_000, 1_000_000, 1.0),
    ):
        side, count = (300, 10_000) if small else (side, count)
        yield title, [instance(side, count, RANK, noise)]


def instance(side, count, rank, noise):
    """Return entries for a fit and for a test, of a matrix with biases."""
    rng = np.random.default_rng(0)
    U, V = (rng.standard_normal((side, rank)).astype(np.float32) for _ in range(2))
    b, c = (0.5 * rng.standard_normal(side) for _ in range(2))
    others = count // 10
    places = np.unique(rng.integers(0, side * side, round(1.2 * (count + others))))
    places = rng.permutation(places)[: count + others]
    rows, cols = places // side, places % side
    values = np.einsum("ij,ij->i", U[rows], V[cols]) / np.sqrt(rank) + b[rows] + c[cols] + 3.0
    values = (values + noise * rng.standard_normal(len(values))).astype(np.float32)
    return [(rows[part], cols[part], values[part]) for part in (slice(others, None), slice(others))]


def read(options):
    """Return users, items and ratings of a file, users and items numbered."""
    if options.ratings.endswith((".parquet", ".pq", ".brotli")):
        import pandas as pd

        frame = pd.read_parquet(options.ratings)
        users, items, ratings = (frame[name] for name in options.columns or frame.columns[:3])
    else:
        with Path(options.ratings).open(newline="", encoding="utf-8", errors="replace") as file:
            head = file.read(1 << 14)
            delimiter = options.delimiter or csv.Sniffer().sniff(head, ",;\t|: ").delimiter
            file.seek(0)
            lines = [[field for field in line if field] for line in csv.reader(file, delimiter=delimiter)]
        if not number(lines[0][2]):
            del lines[0]
        users, items, ratings = (np.array(part) for part in zip(*(line[:3] for line in lines), strict=True))
    numbered = [np.unique(np.asarray(ids), return_inverse=True)[1] for ids in (users, items)]
    return *numbered, np.asarray(ratings, dtype=np.float32)


def number(field):
    try:
        float(field)
    except ValueError:
        return False
    return True


def compare(contenders, splits, options, sweeps):
    """Print a line for each contender."""
    print(f"{'':24}{'error':>10}{'seconds':>10}{'ratio':>8}{'bytes an entry':>16}")
    curves = {}
    chosen = nearlin.MatrixCompletion(options.rank, random_state=0, n_jobs=options.threads).fit(splits[0][0])
    contenders = contenders | {"nearlin, reg given": ours(chosen.reg_)}
    for name, make in contenders.items():
        curves[name] = [curve(make, train, test, options, sweeps) for train, test in splits]
    for name, of_splits in curves.items():
        best = [min(errors) for _, errors in of_splits]
        seconds = [first(of_split, 1.01 * least) for of_split, least in zip(of_splits, best, strict=True)]
        ratio = ""
        if not name.startswith("nearlin"):
            times = [
                first(of_split, 1.01 * least)
                for of_split, least in zip(curves["nearlin, reg given"], best, strict=True)
            ]
            ratio = "never" if None in times else f"{sum(seconds) / sum(times):.1f}"
        memory = peak(contenders[name], splits[0][0], options)
        print(f"{name:24}{np.mean(best):10.4f}{np.mean(seconds):10.3f}{ratio:>8}{memory:>16}")
    if options.grid:
        for train, test in splits:
            chosen = nearlin.MatrixCompletion(options.rank, random_state=0, n_jobs=options.threads).fit(train)
            errors = [
                error(
                    nearlin.MatrixCompletion(
                        options.rank, reg=reg, random_state=0, n_jobs=options.threads
                    ).fit(train),
                    train,
                    test,
                )
                for reg in GRID
            ]
            found = error(chosen, train, test)
            place = GRID[int(np.argmin(errors))]
            beside = f"{found / min(errors) - 1:+.2%} beside the best of 13, {place:.3g}"
            print(f"reg {chosen.reg_:.3g} by {len(chosen.reg_path_) + 1} fits: error {found:.4f}, {beside}")


def curve(make, train, test, options, sweeps):
    """Return seconds and errors for growing numbers of sweeps."""
    seconds, errors = [], []
    for count in sweeps:
        start = time.process_time()
        model = make(train, options.rank, count, options.threads)
        seconds.append(time.process_time() - start)
        errors.append(error(model, train, test))
    return seconds, errors


def first(of_split, goal):
    """Return the seconds to an error, None if it was not reached."""
    return next((seconds for seconds, error in zip(*of_split, strict=True) if error <= goal), None)


def error(model, train, test):
    predicted = model.predict(test[0], test[1])
    clipped = np.clip(predicted, train[2].min(), train[2].max())
    return float(np.sqrt(np.mean((clipped - test[2]) ** 2)))


def peak(make, train, options):
    """Return the bytes an entry that a fit takes at most, of a process of its own."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def child():
        probe = memory_probe()
        make(train, options.rank, 2, options.threads)
        sender.send(probe())
        os._exit(0)

    process = context.Process(target=child)
    process.start()
    process.join()
    return f"{receiver.recv() / len(train[2]):.0f}" if receiver.poll() else "failed"


def ours(reg):
    def fit(train, rank, sweeps, threads):
        held_out = None if reg is None else 0.0
        model = nearlin.MatrixCompletion(
            rank, reg=reg, max_iter=sweeps, tol=0.0, validation_fraction=held_out
        )
        return model.set_params(random_state=0, n_jobs=threads).fit(train)

    return fit


def cmfrecs(train, rank, sweeps, threads):
    import cmfrec
    import scipy.sparse as sp

    X = sp.coo_array((train[2], train[:2]), shape=[max(side) + 1 for side in train[:2]])
    return cmfrec.CMF(
        k=rank,
        lambda_=0.1 if len(train[2]) > 1e6 else 15.0,
        method="als",
        niter=sweeps,
        use_float=True,
        nthreads=threads,
        verbose=False,
        random_state=0,
    ).fit(X)


class Cornac:
    """Stochastic gradients."""

    def __init__(self, train, rank, sweeps, threads):
        from cornac.data import Dataset
        from cornac.models import MF

        rows, cols = (side.astype(np.int64) for side in train[:2])
        data = Dataset.from_uir(zip(rows, cols, train[2], strict=True))
        self.known = [np.full(int(side.max()) + 1, -1) for side in (rows, cols)]
        for known, ids in zip(self.known, (data.uid_map, data.iid_map), strict=True):
            known[list(ids)] = list(ids.values())
        self.model = MF(
            k=rank, max_iter=sweeps, learning_rate=0.01, lambda_reg=0.02, num_threads=threads, seed=0
        ).fit(data)

    def predict(self, rows, cols):
        """Return predictions from factors and biases, which are faster than its own."""
        i, j = (
            np.where(ids < len(known), known[np.minimum(ids, len(known) - 1)], -1)
            for known, ids in zip(self.known, (rows, cols), strict=True)
        )
        found = np.full(len(i), self.model.global_mean)
        both = (i >= 0) & (j >= 0)
        model = self.model
        found[i >= 0] += model.u_biases[i[i >= 0]]
        found[j >= 0] += model.i_biases[j[j >= 0]]
        found[both] += np.einsum("ij,ij->i", model.u_factors[i[both]], model.i_factors[j[both]])
        return found


class Surprise:
    """Stochastic gradients."""

    def __init__(self, train, rank, sweeps, threads):
        import pandas as pd
        from surprise import SVD, Dataset, Reader

        frame = pd.DataFrame(dict(zip("uir", train, strict=True)))
        reader = Reader(rating_scale=(float(train[2].min()), float(train[2].max())))
        data = Dataset.load_from_df(frame, reader).build_full_trainset()
        self.model = SVD(n_factors=rank, n_epochs=sweeps, reg_all=0.08, random_state=0).fit(data)

    def predict(self, rows, cols):
        """Return predictions."""
        return np.array([self.model.predict(i, j).est for i, j in zip(rows, cols, strict=True)])


CONTENDERS = {
    "nearlin": ours(None),
    "cmfrec": cmfrecs,
    "cornac": Cornac,
    "surprise": Surprise,
}


def installed(name):
    return importlib.util.find_spec(name) is not None


os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

if __name__ == "__main__":
    main()
