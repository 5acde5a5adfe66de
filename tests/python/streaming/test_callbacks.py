"""Callbacks of scikit-learn, and progress, of fits that take block after block."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone

import nearlin
from nearlin import CertificateMonitor, StreamingPCA
from nearlin.data import blocks

rng = np.random.default_rng(0)
X = rng.standard_normal((5000, 8)) * np.r_[3.0, np.ones(7)]
ROWS = {"block_bytes": 8 * 8 * 1000}

with_callbacks = pytest.mark.skipif(
    not hasattr(StreamingPCA, "set_callbacks"), reason="scikit-learn has callbacks from 1.9 on"
)


class Recorder:
    """Keeps the names of events, with what came along."""

    def __init__(self, stop_after=None, fail_at=None):
        self.events, self.stop_after, self.fail_at = [], stop_after, fail_at

    def setup(self, estimator, context):
        self.events.append(("setup", context.task_name))

    def on_fit_task_begin(self, estimator, context, *, X=None):
        self.events.append(("begin", context.task_name, context.task_id, X))

    def on_fit_task_end(self, estimator, context, *, metadata=None, fitted_estimator=None):
        self.events.append(("end", context.task_name, context.task_id, metadata, fitted_estimator))
        if self.fail_at == context.task_id and context.task_name == "block":
            raise LookupError("enough")
        return context.task_name == "block" and context.task_id + 1 == self.stop_after

    def teardown(self, estimator, context):
        self.events.append(("teardown", context.task_name))


@with_callbacks
def test_every_block_is_told_with_what_is_known_by_then():
    recorder = Recorder()
    pca = StreamingPCA(2, random_state=0).set_callbacks(recorder)
    pca.fit(blocks(X, **ROWS))
    events = [
        (*event[:2], event[2] if event[1] == "block" else None)
        for event in map(list, [(*event, None) for event in recorder.events])
    ]
    inner = [(what, "block", number) for number in range(5) for what in ("begin", "end")]
    assert events == [
        ("setup", "fit", None),
        ("begin", "fit", None),
        *inner,
        ("end", "fit", None),
        ("teardown", "fit", None),
    ]
    ends = [event for event in recorder.events if event[:2] == ("end", "block")]
    for number, (_, _, _, metadata, fitted) in enumerate(ends):
        alone = StreamingPCA(2, random_state=0).fit(X[: 1000 * (number + 1)])
        assert metadata["rows"] == fitted.n_samples_seen_ == 1000 * (number + 1)
        assert metadata["certificate"] == alone.certificate_
        assert_array_equal(fitted.transform(X[:3]), alone.transform(X[:3]))
    assert_array_equal(pca.components_, StreamingPCA(2, random_state=0).fit(X).components_)


@with_callbacks
def test_a_fit_ends_when_a_callback_wants_it():
    recorder = Recorder(stop_after=2)
    read = []

    def source():
        for start in range(0, 5000, 1000):
            read.append(start)
            yield X[start : start + 1000]

    pca = StreamingPCA(random_state=0).set_callbacks(recorder).fit(source())
    assert pca.n_samples_seen_ == 2000
    assert read == [0, 1000]
    assert recorder.events[-1] == ("teardown", "fit")


@with_callbacks
def test_an_error_of_a_callback_leaves_the_estimator_as_it_was():
    recorder = Recorder(fail_at=1)
    pca = StreamingPCA(random_state=0).fit(X[:100])
    before = pca.components_
    with pytest.raises(LookupError, match="enough"):
        pca.set_callbacks(recorder).fit(blocks(X, **ROWS))
    assert_array_equal(pca.components_, before)
    assert recorder.events[-1] == ("teardown", "fit")
    assert not [name for name in vars(pca) if "callback" in name and name != "_skl_callbacks"]


@with_callbacks
def test_rows_at_once_are_one_block():
    recorder = Recorder()
    StreamingPCA(random_state=0).set_callbacks(recorder).fit(X)
    assert [event[0] for event in recorder.events if event[1] == "block"] == ["begin", "end"]


@with_callbacks
def test_monitors_keep_certificates_and_stop_at_a_target():
    every = CertificateMonitor()
    StreamingPCA(random_state=0).set_callbacks(every).fit(blocks(X, **ROWS))
    assert every.rows_ == [1000, 2000, 3000, 4000, 5000]
    assert repr(every) == "<CertificateMonitor(target=None) of 5 blocks>"
    bounds = [certificate.bound for certificate in every.certificates_]
    target = sorted(bounds)[1]
    monitor = CertificateMonitor(target)
    pca = StreamingPCA(random_state=0).set_callbacks(monitor).fit(blocks(X, **ROWS))
    first = next(k for k, bound in enumerate(bounds) if bound <= target)
    assert pca.n_samples_seen_ == every.rows_[first]
    assert monitor.certificates_ == every.certificates_[: first + 1]
    pca.fit(blocks(X[:2000], **ROWS))
    assert monitor.rows_[0] == 1000
    assert len(monitor.rows_) <= 2


@with_callbacks
def test_what_is_not_certified_is_never_good_enough():
    ones = np.ones((3000, 3))
    monitor = CertificateMonitor(np.inf)
    pca = StreamingPCA(random_state=0, algorithm="oja_fixed", learning_rate=0.1).set_callbacks(monitor)
    pca.fit(blocks(ones, block_bytes=24_000))
    assert np.isnan([certificate.bound for certificate in monitor.certificates_]).all()
    assert pca.n_samples_seen_ == 3000


@with_callbacks
def test_copies_clones_and_pickles_have_their_callbacks_and_nothing_of_a_fit():
    monitor = CertificateMonitor()
    pca = StreamingPCA(random_state=0).set_callbacks(monitor)
    pca.fit(X[:100])
    for twin in (pca.copy(), clone(pca), pickle.loads(pickle.dumps(pca))):
        assert [type(callback) for callback in twin._skl_callbacks] == [CertificateMonitor]
        assert not {*vars(twin)} & {"_callback_fit_ctx", "_skl_callbacks_to_teardown"}
    assert not hasattr(StreamingPCA.from_bytes(pca.to_bytes()), "_skl_callbacks")


@with_callbacks
def test_without_callbacks_nothing_is_left_behind():
    pca = StreamingPCA(random_state=0).fit(blocks(X, **ROWS))
    assert not [name for name in vars(pca) if "callback" in name]


@pytest.mark.parametrize("known", [True, False])
def test_progress_counts_rows(known):
    told = []
    source = blocks(X, **ROWS) if known else iter(np.split(X, 5))
    StreamingPCA(random_state=0).fit(source, progress=lambda *step: told.append(step[:2]))
    if known:
        assert told == [(rows, 5000) for rows in range(1000, 6000, 1000)]
    else:
        assert told == [*((rows, 0) for rows in range(1000, 6000, 1000)), (5000, 5000)]


@with_callbacks
def test_rows_that_are_not_wanted_are_not_counted():
    told = []
    pca = StreamingPCA(random_state=0).set_callbacks(Recorder(stop_after=2))
    pca.fit(blocks(X, **ROWS), progress=lambda *step: told.append(step[:2]))
    assert told == [(1000, 5000), (2000, 5000)]


def test_progress_may_stop_a_fit():
    def stop(*_):
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        StreamingPCA(random_state=0).fit(blocks(X, **ROWS), progress=stop)
    with pytest.raises(nearlin.exceptions.InvalidTypeError, match="`progress` is of type int"):
        StreamingPCA(random_state=0).fit(X, progress=3)
