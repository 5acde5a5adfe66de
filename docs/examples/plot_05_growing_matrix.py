"""
Words of source files, as files come
====================================

Rows are files of NumPy, SciPy and scikit-learn, columns are words; both come as the packages are read. A
truncated SVD follows, and its certificate knows what it leaves of all files so far without looking back.
"""

import re
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import scipy.sparse as sp

import nearlin

files = [
    file
    for package in ("numpy", "scipy", "sklearn")
    for file in sorted(Path(find_spec(package).origin).parent.rglob("*.py"))[::4]
]
known, counts = {}, []
for file in files:
    words = Counter(re.findall(r"[a-z]{3,}", file.read_text("utf-8", errors="replace").lower()))
    counts.append({known.setdefault(word, len(known)): 1.0 + np.log(times) for word, times in words.items()})

# %%
# Batches of fifty files; a later batch has more columns than the one before.


def batch(start):
    """Fifty files, with every word that is known by then."""
    part = counts[start : start + 50]
    width = max(max(row, default=0) for row in counts[: start + 50]) + 1
    rows = np.repeat(np.arange(len(part)), [len(row) for row in part])
    cols = np.concatenate([list(row) for row in part])
    data = np.concatenate([list(row.values()) for row in part])
    return sp.csr_array((data, (rows, cols)), shape=(len(part), width))


svd = nearlin.TruncatedSVD(10, random_state=0)
seen, words, left = [], [], []
for start in range(0, len(counts) - 50, 50):
    svd.partial_fit(batch(start))
    seen.append(svd.n_samples_seen_)
    words.append(svd.n_features_in_)
    left.append(svd.certificate_.estimate)
print(svd.certificate_)

# %%
# Where two topics lie that the model has found.

names = np.array(sorted(known, key=known.get))
for component in svd.components_[1:4]:
    print(" ".join(names[np.argsort(-component)[:8]]), "|", " ".join(names[np.argsort(component)[:8]]))

figure, (first, second) = plt.subplots(1, 2, figsize=(9.0, 3.5), layout="constrained")
first.set_title("columns that come with the rows")
first.plot(seen, words)
first.set_xlabel("files so far")
first.set_ylabel("words so far")
second.set_title("what the model leaves of all files")
second.plot(seen, left, "o-", markersize=3)
second.set_xlabel("files so far")
second.set_ylabel("left of the matrix")
plt.show()
