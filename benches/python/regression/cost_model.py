"""The cost model of ``method="auto"`` beside the clock: predicted over measured seconds, and what auto loses.

    python benches/python/regression/cost_model.py                     all shapes, some minutes
    python benches/python/regression/cost_model.py --shapes 131072x64  one of them
    python benches/python/regression/cost_model.py --smoke             toy sizes: does everything run?

Methods take turns on one thread, round after round; medians count. The constants of
`src/regression/driver/cost.rs` are
chosen so that the ratios of one shape are alike: a factor that all of them share changes no choice. The
first look at the matrix, which comes before the choice, is left out of them. The regret of auto on a matrix
is its time over that of the fastest method that reaches the target there; that look, and every factor that it
throws away, are part of it.
"""

import argparse
import math
import re
import statistics
import time
import warnings
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse
from lstsq import make, shape

import nearlin

SHAPES = [(2**17, 16), (2**17, 64), (2**15, 128), (2**17, 256), (2**15, 512), (2**14, 1024)]
SPARSE = [(2**18, 256)]
CONDITIONS = [10.0, 1e5, 1e10]
METHODS = ("auto", "gram", "whitened", "spir", "qr")
PREDICTED = re.compile(r"gram (\S+) \(single\) or (\S+) \(double\), whitened (\S+), spir (\S+), qr ([^\s;]+)")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shapes", nargs="+", type=shape, default=SHAPES, metavar="ROWSxCOLUMNS")
    parser.add_argument("--sparse", nargs="*", type=shape, default=SPARSE, metavar="ROWSxCOLUMNS")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--smoke", action="store_true", help="toy sizes")
    options = parser.parse_args()
    warnings.simplefilter("ignore", nearlin.exceptions.FallbackWarning)
    if options.smoke:
        options.shapes, options.sparse, options.rounds = [(4096, 16), (2048, 64)], [(4096, 32)], 1
    print(
        "Seconds on one thread, with predicted / measured; auto with the method it ended with and its regret"
    )
    print(f"{'':30}{'gram':>15}{'whitened':>15}{'spir':>15}{'qr':>15}{'auto':>27}")
    regrets = []
    for build, shapes in ((dense, options.shapes), (csr, options.sparse)):
        for n, d in shapes:
            for kappa in CONDITIONS:
                rows = run(*build(n, d, kappa), options.rounds)
                regrets.append(report(f"{build.__name__} {n} x {d}, {kappa:.0e}", rows))
    mean = math.exp(statistics.mean(map(math.log, regrets)))
    print(f"regret of auto: geometric mean {mean:.2f}, worst {max(regrets):.2f}")


# --- problems -----------------------------------------------------------------------------------------------


def dense(n, d, kappa):
    problem = make(n, d, kappa, 1.0 if kappa <= 300 else 1e-3)
    return problem.A, problem.b


def csr(n, d, kappa):
    """Eight entries to a row, times a bidiagonal matrix of about the condition asked for."""
    rng = np.random.default_rng(0)
    columns = rng.integers(d, size=8 * n)
    S = sparse.csr_matrix((rng.standard_normal(8 * n), columns, np.arange(0, 8 * n + 1, 8)), shape=(n, d))
    A = (S @ sparse.diags([1.0, kappa ** (1 / d)], [0, 1], shape=(d, d))).tocsr()
    b = A @ rng.standard_normal(d)
    return A, b + 1e-3 * np.linalg.norm(b) / math.sqrt(n) * rng.standard_normal(n)


# --- measurement --------------------------------------------------------------------------------------------


@dataclass
class Row:
    """What was measured of one method: seconds, and those of them after the first look at the matrix."""

    seconds: float
    after_plan: float
    predicted: float
    ended_with: str
    meets_target: bool


def run(A, b, rounds):
    """Rows by method."""
    seconds, after_plan = ({method: [] for method in METHODS} for _ in range(2))
    results = {}
    for turn in range(rounds + 1):
        for method in METHODS:
            start = time.perf_counter()
            result = nearlin.lstsq(A, b, method=method, rng=0, n_jobs=1)
            if turn > 0:  # the first one warms up
                seconds[method].append(time.perf_counter() - start)
                after_plan[method].append(sum(stage[1] for stage in result.stages if stage[0] != "plan"))
            results[method] = result
    predicted = predictions(results["auto"].explanation, results["gram"].explanation)
    return {
        method: Row(
            statistics.median(seconds[method]),
            statistics.median(after_plan[method]),
            predicted.get(method, math.nan),
            result.method,
            result.certificate.estimate <= result.certificate.target,
        )
        for method, result in results.items()
    }


def predictions(by_auto, by_gram):
    """Seconds by method: the explanation of auto has them, that of gram in which precision it began."""
    single, double, whitened, spir, qr = map(float, PREDICTED.search(by_auto).groups())
    gram = single if "gram (single precision)" in by_gram else double
    return {"gram": gram, "whitened": whitened, "spir": spir, "qr": qr}


# --- report -------------------------------------------------------------------------------------------------


def report(name, rows):
    """Print one line and return the regret."""
    auto = rows.pop("auto")
    rivals = [row.seconds for row in rows.values() if row.meets_target]
    regret = auto.seconds / min(rivals, default=auto.seconds)
    line = f"{name:30}"
    for method, row in rows.items():
        itself = row.ended_with == method and row.meets_target
        line += f"{row.seconds:9.4f}{row.predicted / row.after_plan:6.2f}" if itself else f"{'-':>15}"
    print(f"{line}{auto.seconds:9.4f} {auto.ended_with:>11}{regret:6.2f}", flush=True)
    return regret


if __name__ == "__main__":
    main()
