"""What all tests share."""

import os
from pathlib import Path

import hypothesis
import pytest
from threadpoolctl import threadpool_limits

hypothesis.settings.register_profile("nearlin", deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile(
    "fresh", deadline=None, derandomize=False, database=None, print_blob=True
)
hypothesis.settings.load_profile("nearlin")

ALONE = {
    "test_demo",
    "test_forks",
    "test_fuzz_memory",
    "test_growth",
    "test_interrupts",
    "test_matrix_unit",
    "test_processes",
    "test_signals",
    "test_sparse",
    "test_states",
}
"""Files of tests that disturb one another."""


def pytest_addoption(parser):
    parser.addoption("--one-of-each", action="store_true", help="of every parametrized test, one cell")


def pytest_collection_modifyitems(config, items):
    if config.getoption("one_of_each"):
        cells = {}
        for item in items:
            if not item.get_closest_marker("slow"):
                cells.setdefault((item.path, item.originalname), []).append(item)
        # Those in the middle are neither the easiest nor all of one kind.
        chosen = [cell[len(cell) // 2] for cell in cells.values()]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen


def pytest_xdist_auto_num_workers(config):
    """A worker for each processor, or none where files or single tests are asked for by name."""
    if any(Path(argument.partition("::")[0]).is_file() for argument in config.args):
        return 0
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def pytest_xdist_make_scheduler(config, log):
    """Schedule test by test, but those of some files one after the other."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return "alone" if Path(nodeid.partition("::")[0]).stem in ALONE else nodeid

    return Scheduling(config, log)


@pytest.fixture(scope="session", autouse=True)
def _one_blas_thread():
    """Keep the oracles' BLAS to one thread: its threads spin, and fight over processors that are shared."""
    with threadpool_limits(1, "blas"):
        yield
