"""The site as far as it can be checked without building it: examples, completeness, tables, markup."""

import ast
import doctest
import importlib
import importlib.util
import inspect
import io
import pkgutil
import re
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest
import yaml
from docutils.core import publish_doctree

import nearlin

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md")) + sorted(DOCS.glob("guide/*.md"))
MODULES = [module.name for module in pkgutil.iter_modules(nearlin.__path__) if module.name[0] != "_"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_on_pages_are_true(page):
    blocks = re.findall(r"^```python\n(>>>.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    examples = doctest.DocTestParser().get_doctest("\n\n".join(blocks), {}, page.name, str(page), 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert runner.run(examples).failed == 0


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.py")), ids=lambda path: path.stem)
def test_programs_of_the_site_are_programs(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


def listed():
    """Public names that the pages of the API list, by their full names."""
    text = "\n".join(page.read_text() for page in DOCS.glob("api/*.md"))
    lists = re.findall(r"\.\. autosummary::\n   :toctree: generated\n\n((?:   .+\n)+)", text)
    return [f"nearlin.{name}" for block in lists for name in block.split()]


def found(name):
    """What a full name stands for."""
    module, _, last = name.rpartition(".")
    return getattr(importlib.import_module(module), last)


def test_the_api_lists_every_public_name_once():
    names = listed()
    assert len(names) == len(set(names))
    shown = {id(found(name)) for name in names}
    modules = [importlib.import_module(f"nearlin.{name}") for name in MODULES if name != "exceptions"]
    public = {
        f"{module.__name__}.{name}": getattr(module, name)
        for module in (nearlin, *modules)
        for name in module.__all__
        if name != "__version__" and not inspect.ismodule(getattr(module, name))
    }
    assert not [name for name, thing in public.items() if id(thing) not in shown]
    assert set(found(name) for name in names) <= set(public.values())


def test_every_benchmark_is_on_the_page_of_benchmarks():
    named = set(re.findall(r"^\| `(\S+\.py)` \|", (DOCS / "benchmarks.md").read_text(), re.MULTILINE))
    there = {f"{path.parent.name}/{path.name}" for path in ROOT.glob("benches/python/*/*.py")}
    assert named == there


# ---- the look through the built site

RIGHT = """<h1 id="here">A</h1><a href="#here">x</a><a href="b.html#there">y</a><img src="a.png" alt="a">
<code>$\\alpha$</code><span class="math">\\(x\\)</span>
<dl><dt class="sig py" id="f">f</dt><dd>says</dd></dl>"""
WRONG = {
    "no a gone.html": '<a href="gone.html">x</a>',
    "no img gone.png": '<img src="gone.png" alt="gone">',
    "no such place: b.html#nowhere": '<a href="b.html#nowhere">x</a>',
    "a picture without words": '<img src="a.png">',
    "raw markup: \\(": "<p>so \\(x^2\\) is</p>",
    "raw markup: :func:": "<p>see :func:`f`</p>",
    "nothing is said of g": '<dl><dt class="sig py" id="g">g</dt><dd></dd></dl>',
    "printed: ": '<div class="sphx-glr-script-out"><pre>FutureWarning: old</pre></div>',
}


@pytest.mark.parametrize("complaint", [None, *WRONG])
def test_a_look_through_a_site_finds_what_is_wrong(complaint, tmp_path):
    loader = SourceFileLoader("look_through_pages", str(ROOT / ".ci/pages"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    (tmp_path / "a.png").touch()
    (tmp_path / "a.html").write_text(RIGHT + WRONG.get(complaint, ""))
    (tmp_path / "b.html").write_text('<h2 id="there">B</h2>')
    found = list(module.Site(tmp_path.resolve()).complaints())
    assert len(found) == (complaint is not None)
    assert not found or found[0].startswith(f"a.html: {complaint}")


# ---- tables of those who come from other packages


def tables():
    """Of every section that is called like a callable of another package, its name, ours, and its rows."""
    for page in sorted(DOCS.glob("coming-from/*.md")):
        sections = re.split(r"^## ", page.read_text(), flags=re.MULTILINE)[1:]
        for section in sections:
            name, _, text = section.partition("\n")
            if re.fullmatch(r"[\w.]+\.\w+", name):
                rows = re.search(r"^\| parameter \| here \|\n\|---\|---\|\n((?:\|.*\n)+)", text, re.MULTILINE)
                ours = re.search(r"^Here \{\w+\}`(nearlin\.[\w.]+)`", text, re.MULTILINE)
                said = re.findall(r"^\| `(\w+)` \| (.*) \|$", rows[1], re.MULTILINE)
                yield pytest.param(name, ours and ours[1], said, id=name)


def peer(name):
    """A callable of another package; the test is skipped where that is not installed."""
    parts = name.split(".")
    pytest.importorskip(parts[0])
    if name.startswith("sklearn.impute"):
        importlib.import_module("sklearn.experimental.enable_iterative_imputer")
    for end in range(len(parts) - 1, 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            thing = getattr(thing, part)
        return thing
    raise AssertionError(f"no {name}")


@pytest.mark.parametrize(("name", "ours", "said"), list(tables()))
@pytest.mark.filterwarnings("ignore")
def test_tables_have_every_parameter_of_the_other_package(name, ours, said):
    documented = [parameter for parameter, _ in said]
    assert documented
    parameters = inspect.signature(peer(name)).parameters
    alive = {parameter for parameter, what in parameters.items() if what.default != "deprecated"}
    missing = alive - {"self", *documented}
    # Other versions have others, which tables may name: what one has lost is no complaint.
    assert not missing
    assert len(documented) == len(set(documented))
    if ours is not None:
        same = [parameter for parameter, here in said if here.startswith("the same")]
        assert set(same) <= set(inspect.signature(found(ours)).parameters)


@pytest.mark.parametrize(("name", "ours", "said"), list(tables()))
@pytest.mark.filterwarnings("ignore")
def test_what_is_the_same_in_tables_has_the_same_default_or_says_so(name, ours, said):
    theirs = inspect.signature(peer(name)).parameters
    if ours is None:
        return
    here = inspect.signature(found(ours)).parameters
    for parameter, words in said:
        if words.startswith("the same") and "default" not in words and parameter in theirs:
            # Older versions have None for False, and "warn" for what was to change.
            defaults = [signature[parameter].default or None for signature in (theirs, here)]
            assert len({*map(repr, defaults)}) == 1 or defaults[0] == "warn" or parameter == "b", parameter


# ---- reStructuredText

ROLE = re.compile(r":(?:py:)?(?:func|class|meth|mod|attr|obj|exc|math|data|ref):`[^`]*`")


def docstrings():
    """Every docstring of the package that a page shows, methods among them, by name."""
    for name in [*listed(), *(f"nearlin.exceptions.{each}" for each in nearlin.exceptions.__all__)]:
        thing = found(name)
        yield pytest.param(inspect.getdoc(thing), id=name)
        if inspect.isclass(thing):
            for method, function in inspect.getmembers(thing, inspect.isfunction):
                if not method.startswith("_") and function.__module__.startswith("nearlin"):
                    yield pytest.param(inspect.getdoc(function), id=f"{name}.{method}")


@pytest.mark.parametrize("text", list(docstrings()))
def test_docstrings_are_restructured_text(text):
    # numpydoc takes care of names at the head of a description, Sphinx of roles.
    text = re.sub(r"^(\*{1,2}|(\w+, )*\w+ : )(?=\S)", "name : ", ROLE.sub("role", text), flags=re.MULTILINE)
    complaints = io.StringIO()
    publish_doctree(text, settings_overrides={"warning_stream": complaints, "report_level": 2})
    assert not complaints.getvalue()


# ---- workflows


@pytest.mark.parametrize("path", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda path: path.stem)
def test_workflows_are_yaml_and_pin_what_they_use(path):
    text = path.read_text()
    assert yaml.safe_load(text)
    for action in re.findall(r"uses: (\S+)", text):
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), action
    for script in re.findall(r"run: (\.ci/\w+)", text):
        assert (ROOT / script).exists()
