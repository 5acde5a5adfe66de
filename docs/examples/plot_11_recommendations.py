"""
Which identifiers go together
=============================

Files are users, identifiers are items: what else does one write who writes these? Choices without ratings,
on the sources of three packages.
"""

import re
from importlib.util import find_spec
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import nearlin

files = [
    file
    for package in ("numpy", "scipy", "sklearn")
    for file in sorted(Path(find_spec(package).origin).parent.rglob("*.py"))[::3]
]
users, items = [], []
for number, file in enumerate(files):
    words = set(re.findall(r"[a-z_][a-z_0-9]{3,}", file.read_text("utf-8", errors="replace")))
    users += [number] * len(words)
    items += sorted(words)
users, items = np.array(users), np.array(items)
names, numbers, times = np.unique(items, return_inverse=True, return_counts=True)
often = times[numbers] >= 5
model = nearlin.ImplicitALS(rank=32, random_state=0).fit((users[often], items[often]))
print(f"{len(files)} files, {len(model.col_ids_)} identifiers, {model.n_iter_} sweeps")

# %%
# A new file is folded in by what it has so far; what comes next has the largest scores.

for begin in (["sparse", "indptr", "indices"], ["pytest", "assert_allclose", "parametrize"]):
    place = {name: number for number, name in enumerate(model.col_ids_)}
    row = np.zeros((1, len(place)))
    row[0, [place[name] for name in begin]] = 1.0
    scores = model.inverse_transform(model.transform(row))[0]
    scores[[place[name] for name in begin]] = -np.inf
    print(", ".join(begin), "->", ", ".join(model.col_ids_[np.argsort(-scores)[:6]]))

# %%
# How fast it gets there.

figure, axis = plt.subplots()
*history, last = model.history_
axis.semilogy(range(1, len(history) + 1), np.array(history) - last, "o-")
axis.set_title("convergence of alternating least squares")
axis.set_xlabel("sweep")
axis.set_ylabel("objective above the last one")
plt.show()
