"""Least squares and Lewis weights of many columns with the matrix unit and without, beside NumPy's ``lstsq``.

    python benches/python/regression/matrix_unit.py                       all shapes, some minutes
    python benches/python/regression/matrix_unit.py --shapes 65536x1024   one
    python benches/python/regression/matrix_unit.py --smoke               toy sizes: does everything run?

Three processes take turns on the same problem: nearlin, nearlin with ``NEARLIN_AMX=0``, and NumPy. Medians
count; the ratios of the first two are those of pairs. Errors are nearlin's estimates of the backward error
relative to |A|_F, and of Lewis weights the largest |log(T(w) / w)|. On a machine without a unit the first two
are the same. The kernels alone are in `benches/matrix_unit.rs`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np
from lstsq import make, shape

SHAPES = [(2**17, 64), (2**17, 128), (2**17, 256), (2**18, 512), (2**16, 1024)]
CONDITIONS = [10.0, 1e5, 1e10]
WIDE = [(512, 2**16)]
LEWIS = [(2**17, 256), (2**17, 512), (2**15, 1024)]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shapes", nargs="*", type=shape, default=SHAPES + WIDE, metavar="ROWSxCOLUMNS")
    parser.add_argument("--lewis", nargs="*", type=shape, default=LEWIS, metavar="ROWSxCOLUMNS")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-numpy", action="store_true", help="leave the slowest of the three out")
    parser.add_argument("--worker", choices=["nearlin", "numpy"], help=argparse.SUPPRESS)
    parser.add_argument("--smoke", action="store_true", help="toy sizes")
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options.threads)
        return
    if options.smoke:
        options.shapes, options.lewis, options.rounds = [(2000, 130), (130, 2000)], [(2000, 260)], 1
    sides = {"unit": ("nearlin", "1"), "none": ("nearlin", "0")}
    if not options.no_numpy:
        sides["numpy"] = ("numpy", "0")
    workers = {side: start(*how, options.threads) for side, how in sides.items()}
    print(f"{options.threads} threads; seconds; ratio = without the unit / with it, NumPy / with it")
    for n, d in options.shapes:
        for kappa in CONDITIONS:
            report((n, d, kappa), workers, options.rounds)
    nearlin = {side: workers[side] for side in ("unit", "none")}
    for n, d in options.lewis:
        report((n, d, 10.0), nearlin, options.rounds, "lewis")
    for worker in workers.values():
        worker.stdin.close()


def start(worker, unit, threads):
    """Start a process that solves problems by this way."""
    line = [sys.executable, __file__, "--worker", worker, "--threads", str(threads)]
    env = {**os.environ, "NEARLIN_AMX": unit, "OPENBLAS_NUM_THREADS": str(threads)}
    return subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)


def ask(worker, *question):
    worker.stdin.write(json.dumps(question) + "\n")
    worker.stdin.flush()
    return json.loads(worker.stdout.readline())


def turn(workers, question, backwards):
    """Let all answer once, each after a rest in which threads of the one before end spinning."""
    answers = {}
    for side in sorted(workers, reverse=backwards):
        time.sleep(0.2)
        answers[side] = ask(workers[side], question)
    return answers


def report(problem, workers, rounds, question="solve"):
    """Print one line."""
    for worker in workers.values():
        ask(worker, "make", *problem)
    turn(workers, question, backwards=False)
    turns = [turn(workers, question, backwards=bool(k % 2)) for k in range(rounds)]
    seconds = {side: statistics.median(turn[side]["seconds"] for turn in turns) for side in workers}
    pairs = sorted(turn["none"]["seconds"] / turn["unit"]["seconds"] for turn in turns)
    last = turns[-1]
    n, d, kappa = problem
    line = f"{n:7} x {d:<5} {kappa:.0e}  {seconds['unit']:8.4f}{seconds['none']:9.4f}"
    line += f"  x{statistics.median(pairs):.2f} ({pairs[0]:.2f} to {pairs[-1]:.2f})"
    line += f"  {last['unit']['error']:.0e} {last['none']['error']:.0e}  {last['unit']['method']}"
    if "numpy" in workers:
        line += f"  NumPy {seconds['numpy']:.3f}, x{seconds['numpy'] / seconds['unit']:.1f}"
    print(line, flush=True)


def work(worker, threads):
    """Answer what is asked, a line of JSON each."""
    import nearlin

    A = b = None
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        if command == "make":
            A, b = problem(*arguments)
            answer = {}
        elif command == "lewis":
            begin = time.perf_counter()
            _, info = nearlin.lewis_weights(A, 1.0, n_jobs=threads, return_info=True)
            answer = {"seconds": time.perf_counter() - begin}
            answer |= {"error": info.residual, "method": f"Lewis weights, p = 1, {info.n_passes} steps"}
        elif worker == "numpy":
            begin = time.perf_counter()
            np.linalg.lstsq(A, b, rcond=None)
            answer = {"seconds": time.perf_counter() - begin}
        else:
            begin = time.perf_counter()
            result = nearlin.lstsq(A, b, rng=0, n_jobs=threads)
            answer = {"seconds": time.perf_counter() - begin}
            answer |= {"error": result.certificate.estimate, "method": result.stages[-1][0]}
        print(json.dumps(answer), flush=True)


def problem(n, d, kappa):
    """Return a problem of this shape, by its transpose where it is wide."""
    made = make(max(n, d), min(n, d), kappa, 1.0 if kappa <= 300 else 1e-3)
    if n >= d:
        return made.A, made.b
    A = np.ascontiguousarray(made.A.T)
    return A, A @ made.b


if __name__ == "__main__":
    main()
