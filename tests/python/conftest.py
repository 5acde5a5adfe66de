"""What all tests share."""

import hypothesis
import pytest
from threadpoolctl import threadpool_limits

hypothesis.settings.register_profile("nearlin", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("nearlin")


@pytest.fixture(scope="session", autouse=True)
def _one_blas_thread():
    """Keep the oracles' BLAS to one thread: its threads spin, and fight over processors that are shared."""
    with threadpool_limits(1, "blas"):
        yield
