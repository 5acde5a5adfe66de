"""The cost model of ``method="auto"`` beside the clock: predicted over measured seconds, and what auto loses.

    python benches/python/regression/cost_model.py                     all shapes, some minutes
    python benches/python/regression/cost_model.py --shapes 131072x64  one dense one, all sparse
    python benches/python/regression/cost_model.py --shapes --sparse one-hot   some sparse ones
    python benches/python/regression/cost_model.py --smoke             toy sizes: does everything run?

Methods take turns on one thread, round after round; medians count. The constants of
`src/regression/driver/cost.rs` are
chosen so that the ratios of one shape are alike: a factor that all of them share changes no choice. The
first look at the matrix, which comes before the choice, is left out of them. The regret of auto on a matrix
is its time over that of the fastest method that reaches the target there; that look, and every factor that it
throws away, are part of it. Sparse matrices are those of `shapes.py`; of "cg" the prediction is that of one
read, and where auto tells the rank its rivals must.
"""

import argparse
import math
import re
import statistics
import time
import warnings
from dataclasses import dataclass

import scipy.sparse as sparse
from lstsq import make, shape
from shapes import sparse_cases

import nearlin

SHAPES = [(2**17, 16), (2**17, 64), (2**15, 128), (2**17, 256), (2**15, 512), (2**14, 1024)]
CONDITIONS = [10.0, 1e5, 1e10]
METHODS = ("gram", "whitened", "spir", "qr")
PREDICTED = re.compile(
    r"gram (\S+) \((?:single|three digits)\) or (\S+) \((?:double|four digits)\), "
    r"whitened (\S+), spir (\S+), qr ([^\s;]+)"
)
FAST = ("gram (single precision)", "gram (three digits)")
SPARSE_METHODS = ("cg", "gram", "sparse_cholesky", "spir", "qr")
SPARSE_PREDICTED = re.compile(r"read (\S+), gram (\S+), spir (\S+), qr ([^\s;]+)")
TOO_LONG = 10.0
"""Predicted seconds of what is not waited for."""


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shapes", nargs="*", type=shape, default=SHAPES, metavar="ROWSxCOLUMNS")
    parser.add_argument("--sparse", nargs="*", default=[""], metavar="PART_OF_NAME")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="toy sizes")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.smoke:
        options.shapes, options.rounds = [(4096, 16), (2048, 64)], 1
    print(
        "Seconds on one thread, with predicted / measured; auto with the method it ended with and its regret"
    )
    heading(METHODS)
    regrets = []
    for n, d in options.shapes:
        for kappa in CONDITIONS:
            rows = run(*dense(n, d, kappa), METHODS, options.rounds)
            regrets.append(report(f"dense {n} x {d}, {kappa:.0e}", rows))
    summary("dense", regrets)
    heading(SPARSE_METHODS)
    regrets = []
    for case in sparse_cases(50 if options.smoke else 1):
        is_least_squares = set(case.contenders) >= {"nearlin"}
        if is_least_squares and any(part in case.name for part in options.sparse):
            rows = run(*case.make(), SPARSE_METHODS, options.rounds)
            regrets.append(report(case.name, rows))
    summary("sparse", regrets)


def heading(methods):
    """Print the names of the columns."""
    print(f"{'':26}" + "".join(f"{method:>15}" for method in methods) + f"{'auto':>30}")


def summary(kind, regrets):
    """Print what auto loses."""
    if regrets:
        mean = math.exp(statistics.mean(map(math.log, regrets)))
        print(f"{kind}: regret of auto: geometric mean {mean:.2f}, worst {max(regrets):.2f}\n")


# --- problems -----------------------------------------------------------------------------------------------


def dense(n, d, kappa):
    problem = make(n, d, kappa, 1.0 if kappa <= 300 else 1e-3)
    return problem.A, problem.b


# --- measurement --------------------------------------------------------------------------------------------


@dataclass
class Row:
    """What was measured of one method: seconds, and those of them after the first look at the matrix."""

    seconds: float
    after_plan: float
    predicted: float
    ended_with: str
    meets_target: bool


def run(A, b, methods, rounds):
    """Rows by method."""
    predicted = predictions(A, b)
    methods = ["auto", *(name for name in methods if not predicted.get(name, 0.0) > TOO_LONG)]
    seconds, after_plan = ({method: [] for method in methods} for _ in range(2))
    results = {}
    for turn in range(rounds + 1):
        for method in methods:
            start = time.perf_counter()
            result = nearlin.lstsq(A, b, method=method, rng=0, n_jobs=1)
            if turn > 0:  # the first one warms up
                seconds[method].append(time.perf_counter() - start)
                stages = [stage for stage in result.stages if stage[0] != "plan"]
                # Of cg what one read takes.
                reads = sum(stage[2] for stage in stages) if method == "cg" else 1
                after_plan[method].append(sum(stage[1] for stage in stages) / reads)
            results[method] = result
    known = results["auto"].rank is not None
    return {
        method: Row(
            statistics.median(seconds[method]),
            statistics.median(after_plan[method]),
            predicted.get(method, math.nan),
            result.method,
            result.certificate.estimate <= result.certificate.target
            and (result.rank is not None or not known),
        )
        for method, result in results.items()
    }


def predictions(A, b):
    """Seconds by method: the explanation of auto has them, that of gram in which precision it began."""
    by_auto = nearlin.lstsq(A, b, rng=0, n_jobs=1).explanation
    if sparse.issparse(A):
        return dict(zip(("cg", "gram", "spir", "qr"), numbers(SPARSE_PREDICTED, by_auto), strict=True))
    fast, accurate, whitened, spir, qr = numbers(PREDICTED, by_auto)
    by_gram = nearlin.lstsq(A, b, method="gram", rng=0, n_jobs=1).explanation
    gram = fast if any(name in by_gram for name in FAST) else accurate
    return {"gram": gram, "whitened": whitened, "spir": spir, "qr": qr}


def numbers(pattern, explanation):
    """Return what the explanation tells in the places of the pattern, not numbers if it was not asked."""
    found = pattern.search(explanation)
    return map(float, found.groups() if found else [math.nan] * pattern.groups)


# --- report -------------------------------------------------------------------------------------------------


def report(name, rows):
    """Print one line and return the regret."""
    auto = rows.pop("auto")
    rivals = [row.seconds for row in rows.values() if row.meets_target]
    regret = auto.seconds / min(rivals, default=auto.seconds)
    line = f"{name:26}"
    for method, row in rows.items():
        itself = row.ended_with == method and row.meets_target
        line += f"{row.seconds:9.4f}{row.predicted / row.after_plan:6.2f}" if itself else f"{'-':>15}"
    print(f"{line}{auto.seconds:9.4f} {auto.ended_with:>15}{regret:6.2f}", flush=True)
    return regret


if __name__ == "__main__":
    main()
