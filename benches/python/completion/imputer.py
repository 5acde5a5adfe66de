"""LowRankImputer beside scikit-learn's IterativeImputer and KNNImputer: error and time with 30 % missing.

    python benches/python/completion/imputer.py                   both tables, three seeds; half an hour
    python benches/python/completion/imputer.py --tables table    one of them
    python benches/python/completion/imputer.py --smoke           toy sizes: does everything run?

`table` is 5,000 x 200 of rank 20, the singular values falling to a tenth, noise half of what the rest of a
column has; `photograph` is 20,000 patches of 8 x 8 pixels of the two photographs of scikit-learn, in grey.
The error is the root mean square over the values that were taken away, in standard deviations of their
columns, the time that of all processors; all imputers have their defaults, nearlin automatic rank and penalty
among them. Means of the seeds, and nearlin over each of the others.
"""

import argparse
import os
import time
import warnings

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from sklearn.datasets import load_sample_images
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

import nearlin

SHARE = 0.3
IMPUTERS = {
    "nearlin": lambda seed: nearlin.LowRankImputer(random_state=seed, n_jobs=1),
    "IterativeImputer": lambda seed: IterativeImputer(random_state=seed),
    "KNNImputer": lambda seed: KNNImputer(),
    "SimpleImputer": lambda seed: SimpleImputer(),
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--imputers", nargs="+", choices=IMPUTERS, default=list(IMPUTERS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="toy sizes")
    options = parser.parse_args()
    seeds = 1 if options.smoke else options.seeds
    print(f"{'':32}{'error':>9}{'s':>10}")
    for name in options.tables:
        found = {imputer: [] for imputer in options.imputers}
        for seed in range(seeds):
            truth = TABLES[name](seed, options.smoke)
            missing = np.random.default_rng(100 + seed).random(truth.shape) < SHARE
            for imputer, results in found.items():
                results.append(run(IMPUTERS[imputer](seed), truth, missing))
        means = {imputer: np.mean(results, axis=0) for imputer, results in found.items()}
        for imputer, (error, seconds) in means.items():
            print(f"{name:<12}{imputer:<20}{error:9.4f}{seconds:10.2f}", flush=True)
        for peer in [imputer for imputer in means if imputer != "nearlin" and "nearlin" in means]:
            error, seconds = means["nearlin"] / means[peer]
            print(f"{name:<12}{'nearlin / ' + peer:<20}{error:9.3f}{seconds:10.3f}", flush=True)


def run(imputer, truth, missing):
    """Return the error and the time of all processors."""
    holed = np.where(missing, np.nan, truth)
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        filled = imputer.fit_transform(holed)
    seconds = time.process_time() - start
    relative = (filled - truth) / truth.std(axis=0)
    if hasattr(imputer, "explain"):
        print("    " + imputer.explain().splitlines()[0])
    return np.sqrt(np.mean(relative[missing] ** 2)), seconds


def low_rank(seed, smoke):
    """Return a noisy table of low rank with columns of different units."""
    m, n, rank = (200, 30, 3) if smoke else (5_000, 200, 20)
    rng = np.random.default_rng(seed)
    sizes = np.geomspace(1.0, 0.1, rank)
    truth = (rng.standard_normal((m, rank)) * sizes) @ rng.standard_normal((rank, n))
    truth += 0.5 * truth.std() * rng.standard_normal((m, n))
    return truth * rng.uniform(0.1, 10.0, n) + rng.standard_normal(n)


def patches(seed, smoke):
    """Return patches of grey photographs as rows."""
    rng = np.random.default_rng(seed)
    count = 150 if smoke else 10_000
    found = []
    for image in load_sample_images().images:
        grey = image.mean(axis=2) / 255.0
        windows = np.lib.stride_tricks.sliding_window_view(grey, (8, 8)).reshape(-1, 64)
        found.append(windows[rng.choice(len(windows), count, replace=False)])
    return np.vstack(found)


TABLES = {"table": low_rank, "photograph": patches}

if __name__ == "__main__":
    main()
