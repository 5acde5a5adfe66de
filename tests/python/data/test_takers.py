"""Who takes rows in blocks, and what the others say."""

import threading

import numpy as np
import pandas as pd
import pytest
import sklearn.base

import nearlin
from nearlin.data import blocks
from nearlin.exceptions import InvalidInputError, InvalidTypeError

pytest.importorskip("pyarrow")

N, D = 2000, 6


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).standard_normal((N, D)) * np.logspace(0, -2, D)


def as_rows(X, **roles):
    return blocks(pd.DataFrame(X, columns=list("abcdef")).assign(**roles), block_bytes=5000)


def test_a_truncated_svd_appends_rows(X):
    model = nearlin.TruncatedSVD(D, random_state=0)
    assert model.fit(as_rows(X[:1500])) is model
    assert model.n_samples_seen_ == 1500
    model.partial_fit(as_rows(X[1500:]))
    expected = np.linalg.svd(X, compute_uv=False)
    np.testing.assert_allclose(model.singular_values_, expected, rtol=1e-12)
    assert model.n_samples_seen_ == N
    assert model.feature_names_in_.tolist() == list("abcdef")
    before = model.to_bytes()
    damaged = X.copy()
    damaged[900, 2] = np.nan
    with pytest.raises(InvalidInputError, match="NaN"):
        model.partial_fit(blocks(damaged, block_bytes=5000))
    assert model.to_bytes() == before
    with pytest.raises(InvalidInputError, match="with weights"):
        nearlin.TruncatedSVD(2).fit(blocks(X, sample_weight=np.ones(N)))
    with pytest.raises(InvalidInputError, match="no rows"):
        nearlin.TruncatedSVD(2).fit(blocks(X[:0]))
    renamed = blocks(pd.DataFrame(X, columns=list("fedcba")))
    with pytest.raises(InvalidInputError, match="feature names"):
        model.partial_fit(renamed)


def test_principal_components_take_more_blocks(X):
    w = np.linspace(0.5, 2.0, N)
    weighted = {"sample_weight": "w", "block_bytes": 5000}
    frame = pd.DataFrame(X, columns=list("abcdef")).assign(w=w)
    pca = nearlin.StreamingPCA(3, random_state=0).partial_fit(blocks(frame[:1500], **weighted))
    assert pca.partial_fit(blocks(frame[1500:], **weighted)) is pca
    expected = nearlin.StreamingPCA(3, random_state=0)
    for start, stop in ((0, 1500), (1500, N)):
        for block in blocks(frame[start:stop], **weighted):
            expected.partial_fit(block.X, sample_weight=block.sample_weight)
    assert pca.n_samples_seen_ == N
    np.testing.assert_array_equal(pca.components_, expected.components_)
    assert pca.feature_names_in_.tolist() == list("abcdef")
    before = pca.to_bytes()
    damaged = frame.copy()
    damaged.loc[900, "c"] = np.inf
    with pytest.raises(InvalidInputError, match="block "):
        pca.partial_fit(blocks(damaged, **weighted))
    with pytest.raises(InvalidInputError, match="expected those of the fit"):
        pca.partial_fit(blocks(frame[list("fedcbaw")], **weighted))
    with pytest.raises(InvalidTypeError, match="`sample_weight` is given beside rows in blocks"):
        pca.partial_fit(blocks(frame, **weighted), sample_weight=w)
    with pytest.raises(InvalidInputError, match="no rows"):
        nearlin.StreamingPCA(2).partial_fit(blocks(X[:0]))
    assert pca.to_bytes() == before


def test_a_coreset_takes_rows_targets_and_weights(X):
    y, w = X.sum(axis=1), np.linspace(0.5, 2.0, N)
    rows = blocks(
        pd.DataFrame(X, columns=list("abcdef")).assign(y=y, w=w),
        target="y",
        sample_weight="w",
        block_bytes=5000,
    )
    stream = nearlin.StreamingCoreset(300, rng=0).partial_fit(rows)
    whole = nearlin.StreamingCoreset(300, rng=0)
    for start in range(0, N, rows.block_rows):
        part = slice(start, start + rows.block_rows)
        whole.partial_fit(
            pd.DataFrame(X[part], columns=list("abcdef")), y[part], sample_weight=w[part], row_offset=start
        )
    assert stream.to_bytes() == whole.to_bytes()
    with pytest.raises(InvalidInputError, match=r"of which 0\.\.2000 are in already"):
        stream.partial_fit(rows, row_offset=0)
    assert stream.to_bytes() == whole.to_bytes()
    with pytest.raises(InvalidTypeError, match="`y` is given beside rows in blocks"):
        stream.partial_fit(rows, y)


STREAMS = {
    "exact": lambda: nearlin.StreamingLeastSquares(rng=0),
    "sketch": lambda: nearlin.StreamingLeastSquares(sketch="gaussian", rng=0),
    "coreset": lambda: nearlin.StreamingCoreset(50, rng=0),
    "svd": lambda: nearlin.TruncatedSVD(3, random_state=0),
}
MEANWHILE = {
    "rows": lambda stream, X, y: stream.partial_fit(X, *y),
    "blocks": lambda stream, X, y: stream.partial_fit(blocks(X, target=y[0] if y else None)),
    "merge": lambda stream, X, y: stream.merge(
        fresh(stream).partial_fit(X, *y, **({"row_offset": 10**6} if y else {}))
    ),
}


def fresh(stream):
    return (
        STREAMS["coreset"]() if isinstance(stream, nearlin.StreamingCoreset) else sklearn.base.clone(stream)
    )


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("meanwhile", MEANWHILE.values(), ids=MEANWHILE)
@pytest.mark.parametrize("kind", STREAMS)
def test_threads_add_to_a_stream_one_after_the_other(X, kind, meanwhile, fails):
    stream, y = STREAMS[kind](), () if kind == "svd" else (X.sum(axis=1),)
    stream.partial_fit(X[:100], *(targets[:100] for targets in y))
    errors = []

    def add():
        try:
            meanwhile(stream, X[:300], [targets[:300] for targets in y])
        except Exception as error:
            errors.append(error)

    other = threading.Thread(target=add)

    def rows():
        yield (X[:200], *(targets[:200] for targets in y))
        other.start()
        other.join(0.5)  # which has to wait until these rows are in
        yield (X[200:500], *(targets[200:500] for targets in y))
        if fails:
            raise OSError("the disk is gone")

    if fails:
        with pytest.raises(OSError, match="the disk is gone"):
            stream.partial_fit(blocks(rows()))
    else:
        stream.partial_fit(blocks(rows()))
    other.join()
    assert errors == []
    seen = stream.n_samples_seen_ if kind == "svd" else stream.n_rows_seen
    assert seen == 100 + 300 + (0 if fails else 500)


def test_a_stream_that_was_closed_meanwhile_has_the_rows_before(X):
    stream = nearlin.StreamingLeastSquares().partial_fit(X[:100], X[:100, 0])
    other = threading.Thread(target=stream.close)

    def rows():
        yield X[:200], X[:200, 0]
        other.start()
        other.join(0.5)
        yield X[200:500], X[200:500, 0]

    stream.partial_fit(blocks(rows()))
    other.join()
    assert stream.n_rows_seen == 600
    with pytest.raises(InvalidInputError, match="closed"):
        stream.partial_fit(X, X[:, 0])


REFUSING = {
    "HuberRegressor": lambda rows, y: nearlin.HuberRegressor().fit(rows, y),
    "ImplicitALS": lambda rows, y: nearlin.ImplicitALS().fit(rows),
    "LowRankImputer": lambda rows, y: nearlin.LowRankImputer().fit(rows),
    "LpRegressor": lambda rows, y: nearlin.LpRegressor().fit(rows, y),
    "MatrixCompletion": lambda rows, y: nearlin.MatrixCompletion().fit(rows),
    "QuantileRegressor": lambda rows, y: nearlin.QuantileRegressor().fit(rows, y),
    "SoftImpute": lambda rows, y: nearlin.SoftImpute().fit(rows),
    "leverage_scores": lambda rows, y: nearlin.leverage_scores(rows),
    "lp_regression": lambda rows, y: nearlin.lp_regression(rows, y),
    "sample_rows": lambda rows, y: nearlin.sample_rows(rows, 10),
    "sketch_and_solve": lambda rows, y: nearlin.sketch_and_solve(rows, y),
    "svds": lambda rows, y: nearlin.svds(rows, 2),
    "transform": lambda rows, y: nearlin.TruncatedSVD(2).fit(y[:, np.newaxis] * [1, 2]).transform(rows),
}


@pytest.mark.parametrize("call", REFUSING.values(), ids=REFUSING)
def test_others_say_who_does(call, X):
    with pytest.raises(InvalidTypeError, match=r"rows in blocks, which are not taken here.*LinearRegression"):
        call(blocks(X), X[:, 0])
