"""Least absolute deviations and quantiles beside what people use for them.

    python benches/python/coreset/lp_regression.py          all cases, some minutes
    python benches/python/coreset/lp_regression.py --smoke  toy sizes: does everything run?

Contenders take turns, round after round, each with one thread; of every one the median processor time
and the excess of its objective over the least of all are printed, and the ratio of its time to ours.
Rows are Gaussian or have the tails of Student's t with 1.5 degrees of freedom, noise is that of Laplace.
"one percent" is `eps=0.01`, on a sample that all rows say is good enough. "NumPy" is the oracle of the
tests: Frisch-Newton on all rows, and globbing with scores. statsmodels fits by iterated weighted least
squares, scikit-learn and HiGHS solve linear programs, on as many rows as they finish in a minute; pyfixest
and R's quantreg (`rq.fit.fn`, and `pfn`, which globs) run where they are installed. statsmodels and pyfixest
make covariances, too.
"""

import argparse
import importlib.util
import math
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import scipy.optimize
import scipy.sparse
from sklearn.linear_model import HuberRegressor, QuantileRegressor
from threadpoolctl import threadpool_limits

import nearlin

sys.path.insert(0, str(Path(__file__).parents[3] / "tests" / "python"))
from reference import lp as oracle
from reference.coreset import gaussian, student

ROWS = {"Gaussian rows": gaussian, "t(1.5) rows": student}
HARD_LIMIT = {"HiGHS ipm": 1 << 16, "scikit-learn": 1 << 13}
"""Rows beyond which linear programs take more than a minute or so."""


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="toy sizes")
    options = parser.parse_args()
    sizes, rounds = (
        [(1 << 13, 20), (1 << 16, 20), (1 << 18, 20), (1 << 18, 50), (1 << 20, 20)],
        options.rounds,
    )
    if options.smoke:
        sizes, rounds = [(1 << 11, 4)], 1
    warnings.simplefilter("ignore")
    with threadpool_limits(1):
        for n, d in sizes:
            for name, rows in ROWS.items():
                medians(name, rows, n, d, rounds)
        n, d = sizes[min(2, len(sizes) - 1)]
        for name, rows in ROWS.items():
            levels(name, rows, n, d, rounds)
        powers(n, d, rounds)
        one_hot(*((1 << 10, 20) if options.smoke else (50_000, 200)), rounds)
        factors(*((1 << 10, (10, 10)) if options.smoke else (1 << 14, (100, 60))), rounds)
        huber(min(n, 1 << 17), d, rounds)


def data(rows, n, d):
    rng = np.random.default_rng(1)
    A = rows(n, d, 0)
    return A, A @ rng.standard_normal(d) + rng.laplace(size=n)


def medians(name, rows, n, d, rounds):
    A, b = data(rows, n, d)
    ours = {
        "nearlin exact": lambda: nearlin.lp_regression(A, b, rng=0, n_jobs=1).x,
        "nearlin full": lambda: nearlin.lp_regression(A, b, method="full", n_jobs=1).x,
        "nearlin one percent": lambda: nearlin.lp_regression(A, b, eps=0.01, rng=0, n_jobs=1).x,
    }
    peers = {
        "NumPy exact": lambda: oracle.globbed(A, b, 0.5, np.random.default_rng(0))[0],
        "NumPy full": lambda: oracle.frisch_newton(A, b, 0.5)[0],
        **statsmodels_quantreg(A, b),
        **pyfixest_quantreg(A, b),
        **r_quantreg(A, b),
    }
    if n <= HARD_LIMIT["HiGHS ipm"]:
        peers["HiGHS ipm"] = lambda: highs(A, b)
    if n <= HARD_LIMIT["scikit-learn"]:
        model = QuantileRegressor(alpha=0.0, fit_intercept=False, solver="highs")
        peers["scikit-learn"] = lambda: model.fit(A, b).coef_
    report(f"median, {name}, {n} x {d}", {**ours, **peers}, rounds, lambda x: np.abs(b - A @ x).sum())


def levels(name, rows, n, d, rounds):
    A, b = data(rows, n, d)
    many = [0.1, 0.25, 0.5, 0.75, 0.9]

    def solve(quantile):
        return lambda: np.ravel(nearlin.lp_regression(A, b, quantile=quantile, rng=0, n_jobs=1).x)

    contenders = {"nearlin, one level": solve(0.5), "nearlin, five levels": solve(many)}
    report(f"quantiles, {name}, {n} x {d}", contenders, rounds)


def powers(n, d, rounds):
    A, b = data(student, n, d)
    for p in (1.1, 1.5, 3.0, 4.0, 8.0, math.inf):
        contenders = {"nearlin": lambda p=p: nearlin.lp_regression(A, b, p=p, n_jobs=1).x}
        if p < math.inf:
            contenders["nearlin one percent"] = lambda p=p: (
                nearlin.lp_regression(A, b, p=p, eps=0.01, rng=0, n_jobs=1).x
            )
        report(f"p = {p}, t(1.5) rows, {n} x {d}", contenders, rounds)


def one_hot(n, d, rounds):
    """Rows with a single entry: as many numbers as rows."""
    rng = np.random.default_rng(1)
    levels = rng.integers(0, d, n)
    A = scipy.sparse.csr_array((np.ones(n), levels, np.arange(n + 1)), shape=(n, d))
    b = levels % 7 + rng.laplace(size=n)
    model = QuantileRegressor(alpha=0.0, fit_intercept=False, solver="highs")
    contenders = {
        "nearlin exact": lambda: nearlin.lp_regression(A, b, rng=0, n_jobs=1).x,
        "nearlin full": lambda: nearlin.lp_regression(A, b, method="full", n_jobs=1).x,
        "scikit-learn": lambda: model.fit(A, b).coef_,
    }
    report(f"median, one-hot rows, {n} x {d}", contenders, rounds, lambda x: np.abs(b - A @ x).sum())


def factors(n, levels, rounds):
    """One-hot columns of two factors, by columns, beside an intercept that they add up to."""
    rng = np.random.default_rng(1)
    codes = [rng.integers(0, count, n) for count in levels]
    blocks = [
        scipy.sparse.csc_array((np.ones(n), (np.arange(n), code)), shape=(n, count))
        for code, count in zip(codes, levels, strict=True)
    ]
    A = scipy.sparse.hstack(blocks, format="csc")
    b = codes[0] % 7 - codes[1] % 5 + rng.laplace(size=n)
    ours = nearlin.QuantileRegressor(random_state=0, n_jobs=1)
    theirs = QuantileRegressor(alpha=0.0, solver="highs")

    def answer(model):
        model.fit(A, b)
        return np.r_[model.coef_, model.intercept_]

    contenders = {"nearlin": lambda: answer(ours), "scikit-learn": lambda: answer(theirs)}

    def objective(x):
        return np.abs(b - A @ x[:-1] - x[-1]).sum()

    shape = f"{n} x {' + '.join(map(str, levels))}"
    report(f"median, one-hot factors with an intercept, {shape}", contenders, rounds, objective)


def huber(n, d, rounds):
    A, b = data(gaussian, n, d)
    b += np.random.default_rng(2).standard_cauchy(n)
    A1 = np.c_[A, np.ones(n)]
    for epsilon in (1.35, 1.001):
        ask = {"epsilon": epsilon}
        contenders = {
            "nearlin": lambda ask=ask: huber_answer(nearlin.HuberRegressor(n_jobs=1, **ask).fit(A, b)),
            "scikit-learn": lambda ask=ask: huber_answer(HuberRegressor(max_iter=1000, **ask).fit(A, b)),
        }

        def objective(x, epsilon=epsilon):
            return oracle.huber_objective(A1, b, x[:-1], x[-1], epsilon, 1e-4, free=1)

        report(f"Huber, epsilon {epsilon}, Cauchy noise, {n} x {d}", contenders, rounds, objective)


def huber_answer(model):
    return np.r_[model.coef_, model.intercept_, model.scale_]


def highs(A, b):
    n, d = A.shape
    c = np.r_[np.zeros(d), np.full(2 * n, 0.5)]
    A_eq = scipy.sparse.hstack([A, scipy.sparse.eye(n), -scipy.sparse.eye(n)], format="csc")
    bounds = [(None, None)] * d + [(0, None)] * (2 * n)
    return scipy.optimize.linprog(c, A_eq=A_eq, b_eq=b, bounds=bounds, method="highs-ipm").x[:d]


def statsmodels_quantreg(A, b):
    if importlib.util.find_spec("statsmodels") is None:
        return {}
    from statsmodels.regression.quantile_regression import QuantReg

    return {"statsmodels": lambda: QuantReg(b, A).fit(q=0.5).params}


def pyfixest_quantreg(A, b):
    if importlib.util.find_spec("pyfixest") is None:
        return {}
    import pandas
    import pyfixest

    names = [f"x{j}" for j in range(A.shape[1])]
    frame = pandas.DataFrame(A, columns=names).assign(y=b)
    formula = "y ~ -1 + " + " + ".join(names)

    def fit(method):
        return lambda: pyfixest.quantreg(formula, frame, quantile=0.5, method=method).coef()[names].to_numpy()

    return {"pyfixest fn": fit("fn"), "pyfixest pfn": fit("pfn")}


R_CODE = """
suppressMessages(library(quantreg))
args <- commandArgs(trailingOnly = TRUE)
n <- as.integer(args[2]); d <- as.integer(args[3])
numbers <- readBin(args[1], "double", n * (d + 1))
A <- matrix(numbers[1:(n * d)], n, d); b <- numbers[(n * d + 1):(n * (d + 1))]
fit <- if (args[4] == "fn") rq.fit.fnb else rq.fit.pfnb
seconds <- system.time(found <- fit(A, b, 0.5))
cat(seconds[["user.self"]] + seconds[["sys.self"]], found$coefficients, sep = "\\n")
"""


def r_quantreg(A, b):
    """Return solvers of R's quantreg, which time themselves, if it is installed."""
    if shutil.which("Rscript") is None:
        return {}
    probe = subprocess.run(["Rscript", "-e", "library(quantreg)"], capture_output=True, check=False)
    if probe.returncode:
        return {}

    def fit(method):
        def run():
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / "fit.R").write_text(R_CODE)
                np.r_[A.ravel(order="F"), b].tofile(Path(folder) / "numbers")
                words = ["Rscript", "fit.R", "numbers", *map(str, A.shape), method]
                lines = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True).stdout
            seconds, *x = map(float, lines.split())
            return np.array(x), seconds

        return run

    return {"R quantreg fn": fit("fn"), "R quantreg pfn": fit("pfn")}


def report(title, contenders, rounds, objective=None):
    """Run, and print a line for each contender; the first is ours, ratios are to it."""
    seconds = {name: [] for name in contenders}
    answers = {}
    for _ in range(rounds):
        for name, function in contenders.items():
            start = time.process_time()
            answer = function()
            spent = time.process_time() - start
            answers[name], spent = answer if isinstance(answer, tuple) else (answer, spent)
            seconds[name].append(spent)
    values = {name: objective(x) if objective else math.nan for name, x in answers.items()}
    least = min(values.values())
    first = float(np.median(seconds[next(iter(contenders))]))
    print(f"\n{title}\n{'':22}{'CPU s':>10}{'ratio':>9}{'excess':>10}")
    for name, spent in seconds.items():
        median = float(np.median(spent))
        excess = (values[name] - least) / least
        print(f"{name:22}{median:10.3f}{median / first:9.1f}{excess:10.1e}", flush=True)


if __name__ == "__main__":
    main()
