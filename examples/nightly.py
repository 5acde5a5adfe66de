"""Bring a truncated SVD and a coreset up to date with the Parquet files that came since the last night.

    python examples/nightly.py FOLDER STATE

FOLDER has Parquet files of numbers with a column `target`, STATE is a folder with what is kept: the bytes of
both, and the names of the files that are in them. A job that is killed leaves what was there before.
"""

import json
import sys
from pathlib import Path

import nearlin
from nearlin.data import blocks


def update(folder, state):
    """Take in new files in the order of their names; return their number."""
    state.mkdir(exist_ok=True)
    kept = state / "state.json"
    known = json.loads(kept.read_text()) if kept.exists() else {"files": [], "svd": None, "coreset": None}
    svd = nearlin.TruncatedSVD(10, random_state=0)
    coreset = nearlin.StreamingCoreset(1000, rng=0)
    if known["files"]:
        svd = nearlin.TruncatedSVD.from_bytes((state / known["svd"]).read_bytes())
        coreset = nearlin.StreamingCoreset.from_bytes((state / known["coreset"]).read_bytes())
    files = sorted(path.name for path in folder.glob("*.parquet") if path.name not in known["files"])
    for name in files:
        rows = blocks(folder / name, target="target")
        svd.partial_fit(rows)
        coreset.partial_fit(rows)
    if files:
        made = {name: f"{name}-{len(known['files'] + files)}.bytes" for name in ("svd", "coreset")}
        for name, model in (("svd", svd), ("coreset", coreset)):
            (state / made[name]).write_bytes(model.to_bytes())
        (state / "new.json").write_text(json.dumps({"files": known["files"] + files, **made}))
        (state / "new.json").replace(kept)
        for name in ("svd", "coreset"):
            if known[name]:
                (state / known[name]).unlink()
    return len(files)


if __name__ == "__main__":
    print(update(*map(Path, sys.argv[1:])), "new files")
