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
    if inspect.isclass(thing) and (issubclass(thing, Exception) or "__init__" not in vars(thing)):
        return  # they take what their base takes
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


BEAMS = [
    ("src/matrix/mod.rs", "use pyo3::prelude::*;"),
    ("src/sketch/mod.rs", "let a = numpy::dtype();"),
    ("src/regression/mod.rs", "use faer::Mat;"),
    ("src/coreset/mod.rs", "use crate::svd::update;"),
    ("src/python/coreset/mod.rs", "use crate::{error::{Error, Result}, svd};"),
    ("src/python/coreset/mod.rs", "use crate::python::svd::words::named;"),
    ("src/python/convert.rs", "use crate::regression::Method;"),
    ("src/linalg/mod.rs", "use crate::regression::lstsq;"),
    ("src/matrix/mod.rs", "use crate::linalg::qr;"),
    ("src/regression/bounds/verify.rs", "use crate::python::enter::enter;"),
    ("src/regression/bounds/verify.rs", "fn f() { super::super::super::python::enter::enter() }"),
    ("src/plumbing/mod.rs", ""),
    ("src/python/plumbing.rs", ""),
    ("python/nearlin/svd.py", "from .regression import lstsq"),
    ("python/nearlin/svd.py", "from nearlin import coreset"),
    ("python/nearlin/svd/_lowrank.py", "from nearlin.coreset._lp import coreset"),
    ("python/nearlin/coreset/_lp.py", "from ..svd import svd"),
    ("python/nearlin/regression/_sketch_and_solve.py", "from nearlin.svd import svd"),
    ("python/nearlin/_demo/svd.py", "from nearlin._demo import regression"),
    ("python/nearlin/_stream.py", "import nearlin.regression"),
    ("python/nearlin/_plumbing.py", ""),
]


def layering(root):
    done = subprocess.run([sys.executable, ROOT / ".ci/layering", root], capture_output=True, text=True)
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    root = tmp_path_factory.mktemp("house")
    shutil.copytree(ROOT / "src", root / "src")
    package = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(ROOT / "python", root / "python", ignore=package)
    return root


@pytest.mark.parametrize(("path", "line"), BEAMS)
def test_a_beam_in_the_wrong_place_is_noticed(house, path, line):
    target = house / path
    before = target.read_text() if target.exists() else None
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(f"{line}\n")
    status, complaints = layering(house)
    target.unlink() if before is None else target.write_text(before)
    assert status == 1
    assert complaints.count(f"{path}: ") == 1


@pytest.mark.parametrize(
    "files",
    [
        {"src/svd/a.rs": "use super::b::y;", "src/svd/b.rs": "fn y() { crate::svd::a::x() }"},
        {
            "src/svd/mod.rs": "pub use self::a::x; use b::y;",
            "src/svd/a.rs": "use super::z;",
            "src/svd/b.rs": "use super::x;",
        },
        {"src/linalg/a.rs": "use super::b::y;", "src/linalg/b.rs": "fn y() { crate::linalg::a::x() }"},
        {
            "src/sketch/new/mod.rs": "mod a; use a::x; pub struct Y;",
            "src/sketch/new/a.rs": "use crate::sketch::new::Y;",
        },
        {
            "python/nearlin/sketch/_a.py": "from ._b import y",
            "python/nearlin/sketch/_b.py": "from nearlin.sketch import _a",
        },
        {
            "python/nearlin/svd/_a.py": "from ._b import y",
            "python/nearlin/svd/_b.py": "def f(): from . import _a",
        },
        {
            "python/nearlin/svd/__init__.py": "from ._a import x",
            "python/nearlin/svd/_a.py": "from . import y",
        },
    ],
)
def test_circles_are_noticed(house, files):
    for path, text in files.items():
        (house / path).parent.mkdir(parents=True, exist_ok=True)
        (house / path).write_text(text)
    status, complaints = layering(house)
    for path in files:
        (house / path).unlink()
    assert status == 1
    assert complaints.count("a circle: ") == 1
    assert layering(house)[0] == 0
