"""What all tests share."""

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(scope="session", autouse=True)
def _one_blas_thread():
    """Keep the oracles' BLAS to one thread: its threads spin, and fight over processors that are shared."""
    with threadpool_limits(1, "blas"):
        yield
