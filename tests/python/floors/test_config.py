"""Who decides on the number of threads, and where progress goes."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import sklearn

import nearlin
from nearlin import _config as config
from nearlin.exceptions import InvalidInputError, InvalidTypeError

VARIABLES = ("NEARLIN_NUM_THREADS", "OMP_NUM_THREADS", "RAYON_NUM_THREADS")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


def test_the_order_of_precedence(monkeypatch):
    assert config.resolve_threads(None) == nearlin._core.usable_cpus()
    for threads, variable in enumerate(reversed(VARIABLES), start=11):
        monkeypatch.setenv(variable, str(threads))
        assert config.resolve_threads(None) == threads
    nearlin.set_config(num_threads=21)
    try:
        assert config.resolve_threads(None) == 21
        with nearlin.config_context(num_threads=22):
            assert config.resolve_threads(None) == 22
            assert config.resolve_threads(23) == 23
        assert config.resolve_threads(None) == 21
    finally:
        nearlin.set_config(num_threads=None)
    assert config.resolve_threads(None) == 13


@pytest.mark.parametrize(
    ("asked", "got"), [(1, 1), (8, 8), (-1, 6), (-2, 5), (-6, 1), (-99, 1), (10**9, config.MOST_THREADS)]
)
def test_negative_numbers_count_back_from_the_default(monkeypatch, asked, got):
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    assert config.resolve_threads(asked) == got
    with nearlin.config_context(num_threads=asked):
        assert config.resolve_threads(None) == got


def test_bad_numbers_are_refused_where_they_are_given(monkeypatch):
    with pytest.raises(InvalidInputError, match="`n_jobs` is 0"):
        config.resolve_threads(0)
    with pytest.raises(InvalidTypeError, match="`n_jobs` is of type float"):
        config.resolve_threads(2.0)
    with pytest.raises(InvalidInputError, match="`num_threads` is 0"):
        nearlin.set_config(num_threads=0)
    with (
        pytest.raises(InvalidTypeError, match="`num_threads` is of type str"),
        nearlin.config_context(num_threads="2"),
    ):
        pass
    monkeypatch.setenv("NEARLIN_NUM_THREADS", "many")
    with pytest.raises(InvalidInputError, match="NEARLIN_NUM_THREADS is 'many'"):
        config.resolve_threads(None)


@pytest.mark.parametrize(("value", "threads"), [("3,2", 3), (" 4 ", 4), ("", None), ("0", None), ("x", None)])
def test_variables_of_others_are_read_with_lenience(monkeypatch, value, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert config.resolve_threads(None) == (threads or nearlin._core.usable_cpus())


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="affinity is a matter of Linux")
def test_affinity_is_respected():
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert config.resolve_threads(None) == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_a_context_is_of_its_own_thread():
    seen = []
    with nearlin.config_context(num_threads=3):
        other = threading.Thread(target=lambda: seen.append(nearlin.get_config()))
        other.start()
        other.join()
    assert seen == [{"num_threads": None}]


def test_what_answers_are_computed_with_is_shown(capsys):
    with nearlin.config_context(num_threads=3):
        nearlin.show_config()
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert shown["nearlin"] == nearlin.__version__
    assert shown["instructions"] == nearlin._core.instruction_set()
    assert shown["matrix"] == f"unit  {nearlin._core.matrix_unit()}"
    assert shown["threads"] == "3"
    assert shown["numpy"] == np.__version__
    assert shown["scikit-learn"] == sklearn.__version__
    assert {"wheel", "python", "scipy", "platform"} < set(shown)


def imported_with(instructions):
    """What Python says and how it ends that imports nearlin with this ``NEARLIN_ISA``."""
    done = subprocess.run(
        [sys.executable, "-c", "import nearlin; print(nearlin._core.instruction_set())"],
        env={**os.environ, "NEARLIN_ISA": instructions},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout.strip(), done.stderr


def test_an_instruction_set_is_one_of_those_that_there_are():
    assert imported_with("portable")[:2] == (0, "portable")
    assert imported_with("")[:2] == (0, nearlin._core.instruction_set())
    status, _, said = imported_with("sse2")
    assert status == 1
    assert "InvalidInputError: NEARLIN_ISA is 'sse2', expected 'portable', 'avx2' or 'avx512'" in said


def test_a_matrix_unit_is_one_of_those_that_there_are():
    def unit_with(choice, instructions=""):
        done = subprocess.run(
            [sys.executable, "-c", "import nearlin; print(nearlin._core.matrix_unit())"],
            env={**os.environ, "NEARLIN_AMX": choice, "NEARLIN_ISA": instructions},
            capture_output=True,
            text=True,
        )
        return done.stdout.strip() or done.stderr

    assert unit_with("0") == "none"
    assert unit_with("emulate") == unit_with("emulate", "portable") == "emulated"
    assert unit_with("1") == unit_with("") in {"amx", "none"}
    assert unit_with("1", "avx2") == unit_with("1", "portable") == "none"
    assert "InvalidInputError: NEARLIN_AMX is 'yes', expected '0', '1' or 'emulate'" in unit_with("yes")


def test_an_instruction_set_that_is_not_there_is_warned_of(monkeypatch):
    monkeypatch.setenv("NEARLIN_ISA", "avx2")
    monkeypatch.setattr(config._core, "instruction_set", lambda: "portable")
    with pytest.warns(RuntimeWarning, match="which this machine has not: kernels use 'portable'"):
        config.check_instruction_set()


def test_progress_is_a_callable_or_nothing():
    assert config.resolve_progress(False) is None
    assert config.resolve_progress(None) is None
    assert config.resolve_progress(print) is print
    with pytest.raises(InvalidTypeError, match="`progress` is of type int"):
        config.resolve_progress(1)


def test_progress_draws_a_bar(capsys):
    bar = config.resolve_progress(True)
    for done in (1, 2, 4):
        bar(done, 4, {"residual": 0.5 / done})
    drawn = capsys.readouterr().err
    assert "100%" in drawn
    assert "4/4" in drawn
    assert "residual=0.125" in drawn


def test_a_bar_without_tqdm_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ImportError, match=r"pip install 'nearlin\[progress\]'"):
        config.resolve_progress(True)
