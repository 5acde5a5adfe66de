"""How many rows scores need on one-hot rows: one column of many rows, 19 of few, lognormal entries.

    python benches/python/coreset/one_hot.py          some minutes
    python benches/python/coreset/one_hot.py --smoke  toy sizes: does everything run?

The distortion of a sample is the largest | (S~_j / S_j)^(1/p) - 1 | over the columns j, S_j being the sum
of |a_ij|^p: every |A x|_p is made of these sums. Printed is the least size, within a fiftieth, whose mean
distortion over a hundred draws is below 0.1. Lewis weights are the sensitivities here, and for p = 2
leverage scores and their powers, too; powers of leverage scores are scores for p <= 2.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "tests/python"))
from reference.one_hot_samples import COLUMNS, one_hot, rows_needed, scores_by_rule

POWERS = (1.0, 1.5, 2.0, 3.0, 4.0)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="toy sizes")
    options = parser.parse_args()
    A, columns = one_hot((2000, *[40] * 3) if options.smoke else COLUMNS)
    draws = 2 if options.smoke else 100
    rules = list(scores_by_rule(A, columns, 1.0))
    print("| p | " + " | ".join(rules) + " |\n|" + "---|" * (len(rules) + 1))
    for p in POWERS:
        powers, known = A.max(axis=1) ** p, {}
        for rule, scores in scores_by_rule(A, columns, p).items():
            same = next((other for other in known if (abs(scores - known[other][0]) <= 1e-9).all()), None)
            needed = known[same][1] if same else rows_needed(scores, columns, powers, p, draws=draws)
            known[rule] = scores, needed
        cells = [f"{known[rule][1]:,}" if rule in known else "-" for rule in rules]
        print(f"| {p:g} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
