"""What the logger `nearlin` is told, and that nobody is told who does not ask."""

import logging
import warnings

import numpy as np
import pytest

import nearlin
from nearlin._log import tell

rng = np.random.default_rng(0)
A, b = rng.standard_normal((60, 4)), rng.standard_normal(60)
HOLED = np.where(
    rng.random((40, 30)) < 0.5, np.nan, rng.standard_normal((40, 1)) @ rng.standard_normal((1, 30))
)
CALLS = {
    "lstsq": lambda: nearlin.lstsq(A, b, rng=0),
    "svds": lambda: nearlin.svds(A, 2, rng=0),
    "TruncatedSVD": lambda: nearlin.TruncatedSVD(2, random_state=0).fit(A),
    "StreamingPCA": lambda: nearlin.StreamingPCA(random_state=0).fit(A),
    "sample_rows": lambda: nearlin.sample_rows(A, size=20, rng=0),
    "lp_regression": lambda: nearlin.lp_regression(A, b, rng=0),
    "MatrixCompletion": lambda: nearlin.MatrixCompletion(1, reg=0.1, random_state=0).fit(HOLED),
    "SoftImpute": lambda: nearlin.SoftImpute(3, random_state=0).fit(HOLED),
    "ImplicitALS": lambda: nearlin.ImplicitALS(2, random_state=0).fit(np.abs(A)),
    "LowRankImputer": lambda: nearlin.LowRankImputer(1, random_state=0).fit(HOLED),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_was_chosen_is_told_in_one_line_to_whoever_listens(call, caplog):
    with caplog.at_level(logging.DEBUG, "nearlin"):
        CALLS[call]()
    told = [record for record in caplog.records if record.getMessage().startswith(f"{call}: ")]
    assert told
    assert {record.levelno for record in caplog.records if record.name == "nearlin"} == {logging.DEBUG}
    assert all("\n" not in record.getMessage() for record in told)
    caplog.clear()
    with caplog.at_level(logging.INFO, "nearlin"):
        CALLS[call]()
    assert not [record for record in caplog.records if record.name == "nearlin"]


def test_a_method_that_gave_way_is_told(caplog):
    bad = np.column_stack([A, A[:, 0] + 1e-13 * A[:, 1]])
    with caplog.at_level(logging.DEBUG, "nearlin"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = nearlin.lstsq(bad, b, method="gram", rng=0)
    assert result.fallback_reason is not None
    assert f"method='gram': {result.method}" in caplog.text
    assert result.fallback_reason in caplog.text


def test_words_are_made_for_listeners_only():
    def say():
        raise AssertionError("nobody listens")

    tell("call", say)


def test_nobody_is_told_by_default(capfd):
    nearlin.lstsq(A, b, rng=0)
    assert capfd.readouterr() == ("", "")
