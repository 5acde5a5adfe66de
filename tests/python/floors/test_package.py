"""The package as a whole: what it costs to import, whether its documents are true, how the house stands."""

import doctest
import importlib
import inspect
import json
import os
import pkgutil
import re
import shutil
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import nearlin

ROOT = Path(__file__).parents[3]
MODULES = [
    module.name
    for module in pkgutil.walk_packages(nearlin.__path__, "nearlin.")
    if not module.name.endswith(("__main__", "_core"))
]


def run(code, **environment):
    """Run Python code in a process of its own and return what it prints, read as JSON."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    return json.loads(done.stdout)


def test_the_version_is_that_of_the_crate():
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text())
    assert nearlin.__version__ == manifest["package"]["version"]


def test_all_public_names_are_there_and_typed_packages_say_so():
    assert set(nearlin.__all__) <= set(dir(nearlin))
    for name in nearlin.__all__:
        assert getattr(nearlin, name) is not None
    with pytest.raises(AttributeError, match="module 'nearlin' has no attribute 'lstsqr'"):
        nearlin.lstsqr  # noqa: B018
    assert (Path(nearlin.__file__).parent / "py.typed").exists()


def test_importing_nearlin_leaves_heavy_packages_alone():
    loaded = run(
        "import sys, json, nearlin; nearlin.config_context, nearlin.exceptions; "
        "print(json.dumps(list(sys.modules)))"
    )
    assert "numpy" in loaded
    assert not {"scipy", "sklearn", "pandas", "polars", "matplotlib", "tqdm"} & set(loaded)


@pytest.mark.slow
def test_importing_nearlin_is_quick():
    code = (
        "from time import process_time as now; import numpy; start = now(); import nearlin; "
        "print((now() - start) * 1e3)"
    )
    run(code)
    assert statistics.median(run(code) for _ in range(10)) <= 25


@pytest.mark.parametrize("name", ["nearlin", *MODULES])
def test_examples_in_docstrings_are_true(name):
    module = importlib.import_module(name)
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.testmod(module, optionflags=options).failed == 0


def test_examples_in_the_readme_are_true():
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    examples = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "README.md", "README.md", 0)
    assert examples.examples
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert runner.run(examples).failed == 0


def public_objects():
    """Every class and function in the `__all__` of the package and of its public modules."""
    for name in ["nearlin", *(name for name in MODULES if "._" not in name)]:
        module = importlib.import_module(name)
        for public in getattr(module, "__all__", ()):
            thing = getattr(module, public)
            if callable(thing):
                yield pytest.param(thing, id=f"{name}.{public}")
                methods = inspect.getmembers(thing, inspect.isfunction) if inspect.isclass(thing) else ()
                for method_name, method in methods:
                    if not method_name.startswith("_") and method.__module__.startswith("nearlin"):
                        yield pytest.param(method, id=f"{name}.{public}.{method_name}")


@pytest.mark.parametrize("thing", list(public_objects()))
def test_every_parameter_is_documented(thing):
    text = inspect.getdoc(thing)
    assert text, "no docstring"
    if inspect.isclass(thing) and issubclass(thing, Exception):
        return
    parameters = [
        name for name in inspect.signature(thing).parameters if name not in ("self", "args", "kwargs")
    ]
    # What only nearlin makes has attributes for its parameters.
    sections = re.findall(
        r"^(?:Parameters|Attributes)\n-+\n(.*?)(?=^\w[^\n]*\n-+\n|\Z)", text, re.MULTILINE | re.DOTALL
    )
    entries = re.findall(r"^([\w, *]+) : ", sections[0] if sections else "", re.MULTILINE)
    documented = [name.strip(" *") for entry in entries for name in entry.split(",")]
    assert documented == parameters


def test_the_readme_names_the_commands_that_are_run():
    readme = (ROOT / "README.md").read_text()
    assert "\n$ pip install '.[demo]' && python -m nearlin\n" in readme
    assert "\n$ pip install '.[test]' && pytest\n" in readme


def test_the_floors_are_where_they_were_drawn():
    done = subprocess.run([sys.executable, ROOT / ".ci/layering", ROOT], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("src/matrix/mod.rs", "use pyo3::prelude::*;"),
        ("src/sketch.rs", "let a = numpy::dtype();"),
        ("src/regression/mod.rs", "use faer::Mat;"),
        ("src/coreset/mod.rs", "use crate::svd::update;"),
        ("src/python/coreset.rs", "use crate::{error::{Error, Result}, svd};"),
        ("src/linalg/mod.rs", "use crate::regression::lstsq;"),
        ("src/matrix/mod.rs", "use crate::linalg::qr;"),
        ("python/nearlin/svd.py", "from .regression import lstsq"),
        ("python/nearlin/svd.py", "from nearlin import coreset"),
    ],
)
def test_a_beam_in_the_wrong_place_is_noticed(tmp_path, path, line):
    (tmp_path / "python").mkdir()
    shutil.copytree(ROOT / "src", tmp_path / "src")
    target = tmp_path / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(f"{line}\n")
    done = subprocess.run([sys.executable, ROOT / ".ci/layering", tmp_path], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout.count(path) == 1
