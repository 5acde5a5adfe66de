"""Tests of our peers, run with our functions and classes in the place of theirs.

Nothing of theirs is copied: their modules are executed from where they are installed while the names that
they import lead to ours, and those of their tests that use these names are collected. What they test and we
do not do is in the lists of exclusions, each with its reason; an excluded test that passes is an error.
"""

import importlib.util
from fnmatch import fnmatch
from pathlib import Path
from types import CodeType
from unittest.mock import patch

import pytest


@pytest.fixture
def global_random_seed():
    """The seed that scikit-learn's tests take if nobody asks for another."""
    return 42


def borrowed(module, home, ours):
    """Tests, classes of tests and fixtures of a module, executed while the names in `home` lead to `ours`."""
    spec = importlib.util.find_spec(module)
    copy = importlib.util.module_from_spec(spec)
    with patch.multiple(home, **ours):
        exec(compile(Path(spec.origin).read_text(), spec.origin, "exec"), vars(copy))
    kept = {}
    for name, value in vars(copy).items():
        fixture = type(value).__name__ == "FixtureFunctionDefinition"
        if isinstance(value, type):
            taken = name.startswith("Test") and any(uses(method, ours) for method in methods(value))
        else:
            taken = fixture or (name.startswith("test") and callable(value) and uses(value, ours))
        if taken:
            kept[name] = value
    return copy, kept


def uses(test, ours):
    """Whether a test mentions any of the names, or is given something that they lead to."""
    given = [argument for mark in getattr(test, "pytestmark", []) for argument in mark.args[1:2]]
    return bool(mentioned(test.__code__) & set(ours)) or any(ours_in(given, ours))


def methods(cls):
    """The functions of a class, those that it inherits among them."""
    members = (getattr(value, "__func__", value) for base in cls.__mro__ for value in vars(base).values())
    return (member for member in members if hasattr(member, "__code__"))


def mentioned(code):
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*map(mentioned, inner))


def ours_in(values, ours):
    classes = tuple(value for value in ours.values() if isinstance(value, type))
    for value in values:
        if isinstance(value, list | tuple):
            yield from ours_in(value, ours)
        else:
            yield isinstance(value, classes) or any(value is ours_too for ours_too in classes)


def pytest_configure(config):
    config.addinivalue_line("markers", "array_api_backends: of SciPy")
    config.addinivalue_line("markers", "skip_xp_backends: of SciPy")
    config.addinivalue_line("markers", "parallel_threads_limit: of SciPy")


def pytest_ignore_collect(config):
    """Leave the peers' modules alone unless they are asked for: to read them takes seconds."""
    return None if config.option.markexpr == "peers" else True


def pytest_collection_modifyitems(config, items):
    here = Path(__file__).parent
    others = [item for item in items if here in item.path.parents and is_about_others(item)]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]
    for item in items:
        if here not in item.path.parents:
            continue
        item.add_marker(pytest.mark.peers)
        item.add_marker(pytest.mark.filterwarnings("default"))
        for pattern, reason in getattr(item.module, "EXCLUSIONS", {}).items():
            if fnmatch(item.nodeid.split("::", 1)[1], pattern):
                item.add_marker(pytest.mark.xfail(reason=reason, strict=True))


def is_about_others(item):
    """Whether a test of all linear models has one that is not ours."""
    given = getattr(item, "callspec", None) and item.callspec.params.values()
    models = [value for value in given or () if hasattr(value, "get_params")]
    models += [value for value in given or () if isinstance(value, type) and hasattr(value, "get_params")]
    named = [getattr(model, "__module__", "") for model in models]
    return bool(named) and not any(name.startswith(("nearlin", "peers")) for name in named)
