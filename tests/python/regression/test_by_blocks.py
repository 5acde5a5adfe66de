"""Least squares of rows in blocks: as exact as in memory, the same bits through every door."""

import hashlib

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose
from reference import regression as reference
from sklearn.exceptions import NotFittedError

import nearlin
from nearlin import LinearRegression, Ridge, RidgeCV
from nearlin.data import blocks
from nearlin.exceptions import InvalidInputError, InvalidTypeError, NonFiniteError, ShapeError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
ds = pytest.importorskip("pyarrow.dataset")

UNIT = np.finfo(float).eps / 2
N, D = 3000, 6


WAYS = {1e1: "gram", 1e3: "gram", 1e6: "qr", 1e10: "qr", 1e13: "qr"}


@pytest.mark.parametrize("kappa", [1e1, 1e6, 1e10, 1e13])
@pytest.mark.parametrize("residual", [1e-12, 1.0])
def test_backward_error_at_any_condition(kappa, residual):
    A, left = reference.graded(4000, 24, kappa)
    b = reference.right_hand_side(A, left, residual)
    result = nearlin.lstsq(blocks(A, target=b, block_bytes=100_000))
    assert reference.backward_error(A, b, result.x) <= 2 * UNIT
    assert result.certificate.met
    assert result.certificate.estimate <= 2 * UNIT
    assert (result.rank, result.method) == (24, WAYS[kappa])
    assert result.size == A.nbytes
    assert "reads of A" in result.explain()


@pytest.mark.parametrize("kappa", WAYS)
@pytest.mark.parametrize("residual", [1e-12, 1.0])
def test_backward_error_of_many_columns(kappa, residual):
    A, left = reference.graded(9000, 64, kappa)
    b = reference.right_hand_side(A, left, residual)
    rows = blocks(A, target=b, block_bytes=1 << 20)
    for method, way in (("auto", WAYS[kappa]), ("qr", "qr")):
        result = nearlin.lstsq(rows, method=method)
        assert reference.backward_error(A, b, result.x) <= 2 * UNIT
        assert result.certificate.met
        assert (result.rank, result.method) == (64, way)
    few = nearlin.lstsq(blocks(A, target=b, block_bytes=64 * 64 * 8))
    assert few.method == "qr"  # as blocks have no more rows than columns


@pytest.fixture(scope="module")
def wide():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((7000, 60)) * np.logspace(-3, 3, 60) + rng.uniform(-5, 5, 60)
    X[:, 20] = rng.random(7000) < 0.001
    X[:3500, 30] = 0.0
    Y = X @ rng.standard_normal((60, 2)) / X.std(axis=0).max() + rng.standard_normal((7000, 2))
    w = rng.uniform(0.5, 2.0, 7000)
    w[::50] = 0.0
    return X, Y, w


@pytest.mark.parametrize(
    "model", [LinearRegression(), Ridge(alpha=[0.1, 1e3]), RidgeCV([0.1, 10.0])], ids=str
)
@pytest.mark.parametrize("kind", ["array", "steep", "csr", "float32"])
def test_models_of_many_columns(model, kind, wide):
    X, Y, w = wide
    if kind == "steep":
        X = nearly_dependent(X)
    elif kind == "csr":
        X = sp.csr_array(np.where(abs(X - X.mean(axis=0)) > X.std(axis=0), X - X.mean(axis=0), 0.0))
    elif kind == "float32":
        X = X.astype(np.float32)
    whole = type(model)(**model.get_params()).fit(X, Y, sample_weight=w)
    rows = blocks(X, target=Y, sample_weight=w, block_bytes=X.dtype.itemsize * 60 * 1800)
    found = type(model)(**model.get_params()).fit(rows)
    # Either way is as good as the condition, 3e5 in columns of norm one, lets it be.
    rtol = {"float32": 1e-3, "steep": 1e-7}.get(kind, 1e-10)
    near(found.coef_, whole.coef_, rtol)
    near(found.intercept_, whole.intercept_, rtol)
    assert found.certificate_.met
    assert found.method_ == ("qr" if kind == "steep" else "gram")
    if not isinstance(model, RidgeCV):
        assert found.rank_ == whole.rank_ == 60
        of_found, of_whole = found.summary(), whole.summary(X=X, y=Y, sample_weight=w)
        near(of_found.std_err, of_whole.std_err, rtol=max(rtol, 1e-8))


def nearly_dependent(X):
    X = X.copy()
    X[:, 40] = X[:, 41] + 1e-5 * X[:, 40]
    return X


def test_bits_of_many_columns(wide):
    X, Y, w = wide
    for matrix in (X, nearly_dependent(X)):
        found = {
            hashed(blocks(rows, target=Y, sample_weight=w, block_bytes=8 * 60 * 1800), n_jobs=n_jobs)
            for rows in (np.ascontiguousarray(matrix), np.asfortranarray(matrix))
            for n_jobs in (1, 3)
        }
        assert len(found) == 1


def test_dependent_columns_among_many(wide):
    X, Y, _ = wide
    levels = np.random.default_rng(2).integers(0, 12, 7000)
    X = np.column_stack([X, np.eye(12)[levels], np.zeros(7000), X[:, 1]])
    whole = LinearRegression().fit(X, Y)
    found = LinearRegression().fit(blocks(X, target=Y, block_bytes=8 * 74 * 2000))
    assert (found.rank_, found.method_, whole.rank_) == (71, "qr", 71)
    near(found.coef_, whole.coef_, rtol=1e-8)
    # Levels of which every block has its own: the columns of others are zeros in it.
    X = np.column_stack([X[:, 40:60], X[:, 40:59] ** 2, np.eye(4)[np.arange(7000) // 1750]])
    whole = LinearRegression(fit_intercept=False).fit(X, Y)
    found = LinearRegression(fit_intercept=False).fit(blocks(X, target=Y, block_bytes=8 * 43 * 1750))
    assert (found.rank_, found.method_) == (43, "gram")
    near(found.coef_, whole.coef_, rtol=1e-8)


@pytest.fixture(scope="module")
def parts():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, D)) * [1.0, 10.0, 1e-3, 1.0, 5.0, 2.0] + [0.0, 1e4, 1.0, -5.0, 0.0, 3.0]
    Y = X @ rng.standard_normal((D, 2)) + 7.0 + rng.standard_normal((N, 2))
    w = rng.uniform(0.5, 2.0, N)
    w[::50] = 0.0
    w[100:300] = 0.0
    return X, Y, w


def near(found, expected, rtol=1e-10):
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-12 * np.abs(expected).max())


MODELS = [
    LinearRegression(),
    LinearRegression(fit_intercept=False, inference=True),
    Ridge(alpha=3.0),
    Ridge(alpha=[0.1, 1e5], fit_intercept=False),
]


@pytest.mark.parametrize("model", MODELS, ids=str)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["array", "csr", "vector"])
def test_models_are_those_of_all_rows(model, weighted, kind, parts):
    X, Y, w = parts
    if kind == "vector":
        Y = Y[:, 0]
    w = w if weighted else None
    if kind == "vector" and np.ndim(getattr(model, "alpha", 0)):
        model = Ridge(alpha=1e5, fit_intercept=False)
    matrix = sp.csr_array(np.where(abs(X - X.mean(axis=0)) > X.std(axis=0), X, 0.0)) if kind == "csr" else X
    whole = type(model)(**model.get_params()).fit(matrix, Y, sample_weight=w)
    rows = blocks(matrix, target=Y, sample_weight=w, block_bytes=5000)
    found = type(model)(**model.get_params()).fit(rows)
    near(found.coef_, whole.coef_)
    near(found.intercept_, whole.intercept_)
    assert found.coef_.shape == whole.coef_.shape
    assert (found.rank_, found.n_features_in_, found.method_) == (whole.rank_, D, "gram")
    assert found.certificate_.met
    table, other = found.summary(), whole.summary(X=matrix, y=Y, sample_weight=w)
    for name in ("std_err", "r_squared", "log_likelihood", "df_resid"):
        near(getattr(table, name), getattr(other, name), rtol=1e-8)
    assert table.n == other.n


@pytest.mark.parametrize("options", [{}, {"fit_intercept": False}, {"alpha_per_target": True}])
@pytest.mark.parametrize("weighted", [False, True])
def test_leave_one_out_chooses_what_it_chooses_of_all_rows(options, weighted, parts):
    X, Y, w = parts
    w = w if weighted else None
    alphas = np.logspace(-3, 8, 12)
    whole = RidgeCV(alphas, **options).fit(X, Y, sample_weight=w)
    found = RidgeCV(alphas, **options).fit(blocks(X, target=Y, sample_weight=w, block_bytes=5000))
    assert np.array_equal(found.alpha_, whole.alpha_)
    near(found.loo_error_, whole.loo_error_)
    near(found.best_score_, whole.best_score_)
    near(found.coef_, whole.coef_)
    single = RidgeCV(alphas, **options).fit(blocks(X, target=Y[:, 0], block_bytes=5000))
    assert single.loo_error_.shape == (12,)
    assert single.coef_.shape == (D,)


def test_single_precision_and_deficient_ranks(parts):
    X, Y, _ = parts
    narrow = X.astype(np.float32)
    result = nearlin.lstsq(blocks(narrow, target=Y[:, 0], block_bytes=5000))
    whole = nearlin.lstsq(narrow, Y[:, 0])
    assert result.x.dtype == np.float32
    assert result.certificate.met
    near(result.x, whole.x, rtol=1e-5)
    twice = np.column_stack([X, X[:, 1], np.full(N, 0.1), np.zeros(N)])
    whole, found = (
        LinearRegression().fit(*data) for data in ((twice, Y), (blocks(twice, target=Y, block_bytes=5000),))
    )
    assert (found.rank_, found.constant_features_.tolist()) == (whole.rank_, [D + 1, D + 2])
    near(found.coef_, whole.coef_, rtol=1e-8)
    assert found.summary().identified.tolist() == whole.summary().identified.tolist()
    few = nearlin.lstsq(blocks(X[:4], target=Y[:4, 0], block_bytes=100))
    near(few.x, nearlin.lstsq(X[:4], Y[:4, 0]).x, rtol=1e-8)
    assert few.rank == 4
    zero = nearlin.lstsq(blocks(X, target=np.zeros(N), block_bytes=5000))
    assert (zero.rank, zero.x.tolist()) == (D, [0.0] * D)


def test_magnitudes_far_from_one(parts):
    X, Y, w = parts
    X, Y = X * [1.0, 1e-170, 1.0, 1e150, 1e-3, 1.0] + [1e9, 0.0, 0.0, 0.0, 0.0, 0.0], Y * [1e100, 1e-50]
    whole = LinearRegression().fit(X, Y, sample_weight=1e-20 * w)
    found = LinearRegression().fit(blocks(X, target=Y, sample_weight=1e-20 * w, block_bytes=5000))
    assert (found.rank_, found.constant_features_.tolist()) == (D, [])
    # The rounding of a mean that is far above the spread is in the bound, as it is in memory.
    assert found.certificate_.estimate <= 2 * UNIT
    assert found.certificate_.met == whole.certificate_.met
    for target in range(2):
        near(found.coef_[target] / whole.coef_[target], np.ones(D), rtol=1e-6)


def hashed(rows, **options):
    """Return answer and certificate in short."""
    result = nearlin.lstsq(rows, **options)
    figures = [result.x, result.residual_norm, result.certificate.estimate]
    return hashlib.sha256(b"".join(np.asarray(figure).tobytes() for figure in figures)).hexdigest()


@pytest.mark.parametrize("block_bytes", [4096, 1 << 20])
def test_every_door_and_any_threads_give_the_same_bits(parts, tmp_path, block_bytes):
    X, Y, w = parts
    X, y = X.astype(np.float32), Y[:, 0]
    frame = pd.DataFrame(X, columns=list("abcdef")).assign(y=y, w=w)
    pq.write_table(pa.Table.from_pandas(frame[: N // 3]), tmp_path / "1.parquet", row_group_size=100)
    pq.write_table(pa.Table.from_pandas(frame[N // 3 :]), tmp_path / "2.parquet", row_group_size=777)
    np.save(tmp_path / "X.npy", np.asfortranarray(X))
    roles, arrays = {"target": "y", "sample_weight": "w"}, {"target": y, "sample_weight": w}
    doors = [
        (X, arrays),
        (np.asfortranarray(X), arrays),
        (tmp_path / "X.npy", arrays),
        (frame, roles),
        (pl.from_pandas(frame), roles),
        (pl.scan_parquet(tmp_path / "*.parquet"), roles),
        (pa.Table.from_pandas(frame), roles),
        (ds.dataset([str(tmp_path / "1.parquet"), str(tmp_path / "2.parquet")]), roles),
    ]
    found = {
        hashed(blocks(source, block_bytes=block_bytes, **more), n_jobs=n_jobs)
        for source, more in doors
        for n_jobs in (1, 3)
    }
    assert len(found) == 1


def test_names_are_those_of_the_table(parts):
    X, Y, _ = parts
    frame = pd.DataFrame(X, columns=list("abcdef")).assign(y=Y[:, 0])
    model = LinearRegression().fit(blocks(frame, target="y"))
    assert model.feature_names_in_.tolist() == list("abcdef")
    assert model.summary().names == ("intercept", *"abcdef")
    near(model.predict(frame[list("abcdef")]), LinearRegression().fit(X, Y[:, 0]).predict(X))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[list("fedcba")])
    assert not hasattr(model.fit(blocks(X, target=Y)), "feature_names_in_")


def test_refusals(parts):
    X, Y, w = parts
    rows = blocks(X, target=Y[:, 0])
    with pytest.raises(InvalidTypeError, match="`b` is given beside rows in blocks"):
        nearlin.lstsq(rows, Y)
    with pytest.raises(InvalidTypeError, match="`sample_weight` is given beside rows in blocks"):
        nearlin.lstsq(rows, sample_weight=w)
    for model in (LinearRegression(), Ridge(), RidgeCV()):
        with pytest.raises(InvalidTypeError, match="`y` is given beside rows in blocks"):
            model.fit(rows, Y)
        with pytest.raises(InvalidTypeError, match="`sample_weight` is given beside rows in blocks"):
            model.fit(rows, sample_weight=w)
        with pytest.raises(InvalidInputError, match="`X` are rows without targets"):
            model.fit(blocks(X))
        with pytest.raises(InvalidInputError, match="`X` are rows of a source that can be read only once"):
            model.fit(blocks(iter([(X, Y)])))
    for option in ({"method": "gram"}, {"sketch": "srht"}, {"certify": True}, {"verify": True}):
        with pytest.raises(InvalidInputError, match=f"`{next(iter(option))}` is .* for rows in blocks"):
            nearlin.lstsq(rows, **option)
    for option in ({"cv": 3}, {"scoring": "r2"}, {"store_cv_results": True}):
        with pytest.raises(InvalidInputError, match=f"`{next(iter(option))}` is .* for rows in blocks"):
            RidgeCV(**option).fit(rows)
    with pytest.raises(InvalidInputError, match="no rows"):
        nearlin.lstsq(blocks(X[:0], target=Y[:0]))
    with pytest.raises(InvalidInputError, match="`b`"):
        nearlin.lstsq(X)
    with pytest.raises(InvalidTypeError, match="rows in blocks, which are not taken here"):
        LinearRegression().fit(X, Y).predict(rows, interval=0.9)


def test_an_entry_that_is_not_finite_is_named_in_its_block(parts):
    X, Y, _ = parts
    X = X.copy()
    X[1234, 2] = np.nan
    frame = pd.DataFrame(X, columns=list("abcdef"))
    for model in (LinearRegression(), Ridge(fit_intercept=False)):
        with pytest.raises(NonFiniteError, match=r"`X` contains NaN at \[\d+, 2\]") as error:
            model.fit(blocks(X, target=Y[:, 0], block_bytes=48 * 100))
        assert error.value.__notes__ == ["in the block that begins with row 1200"]
    with pytest.raises(NonFiniteError, match=r"\(column 'c'"):
        LinearRegression().fit(blocks(frame.assign(y=Y[:, 0]), target="y", nulls="nan"))


def test_what_the_rows_or_the_caller_raise_comes_through(parts):
    X, Y, _ = parts

    def stop(*_):
        raise KeyError("half-way")

    with pytest.raises(KeyError, match="half-way"):
        nearlin.lstsq(blocks(X, target=Y, block_bytes=5000), progress=stop)
    frame = pl.DataFrame({"x": [1.0, None], "y": [0.0, 1.0]})
    with pytest.raises(InvalidInputError, match="column 'x' has a missing value in row 1"):
        nearlin.lstsq(blocks(frame, target="y"))
    seen = []
    nearlin.lstsq(blocks(X, target=Y, block_bytes=5000), progress=lambda *steps: seen.append(steps))
    assert seen[-1][0] == seen[-1][1]


def test_lazy_frames_and_relations_are_told_where_to_go(parts):
    X, Y, _ = parts
    lazy = pl.DataFrame(X).lazy()
    for call in (lambda: nearlin.lstsq(lazy, Y), lambda: LinearRegression().fit(lazy, Y)):
        with pytest.raises(
            InvalidTypeError, match=r"LazyFrame of polars, .*nearlin\.data\.blocks.*collect\(\)"
        ):
            call()
    duckdb = pytest.importorskip("duckdb")
    relation = duckdb.connect().sql("select 1.0 as a, 2.0 as b")
    with pytest.raises(InvalidTypeError, match=r"of duckdb, .*nearlin\.data\.blocks"):
        nearlin.lstsq(relation, [1.0])


@pytest.mark.parametrize("model", [LinearRegression(), Ridge(), RidgeCV()], ids=str)
def test_a_fit_that_fails_leaves_the_model_as_it_was(model):
    frame = pd.DataFrame(np.random.default_rng(0).standard_normal((300, 3)), columns=["a", "b", "y"])
    model.fit(blocks(frame, target="y"))
    other = frame[["b", "a", "y"]].assign(c=1.0)
    other.loc[250, "a"] = np.inf
    before = model.predict(frame[["a", "b"]])
    with pytest.raises(InvalidInputError, match="infinity"):
        model.fit(blocks(other, target="y"))
    assert model.feature_names_in_.tolist() == ["a", "b"]
    assert np.array_equal(model.predict(frame[["a", "b"]]), before)


def test_rows_that_were_all_left_out_are_none():
    frame = pd.DataFrame({"a": [np.nan] * 3, "y": [1.0, 2.0, 3.0]})
    for model in (LinearRegression(), Ridge(), RidgeCV()):
        with pytest.raises(InvalidInputError, match="`source` has no rows, expected at least one"):
            model.fit(blocks(frame, target="y", nulls="drop"))
    with pytest.raises(InvalidInputError, match="`source` has no rows"):
        nearlin.lstsq(blocks(frame, target="y", nulls="drop"))


def test_rows_of_no_weight_are_refused_by_streams():
    frame = pd.DataFrame({"a": [1.0, 2.0], "y": [1.0, 2.0], "w": [0.0, 0.0]})
    rows = blocks(frame, target="y", sample_weight="w")
    with pytest.raises(InvalidInputError, match="`sample_weight` is zero everywhere"):
        nearlin.StreamingLeastSquares().fit(rows)
    assert nearlin.StreamingLeastSquares().partial_fit(rows).n_rows_seen == 2


class Changing:
    """An Arrow stream that gives one table at first, and another one from then on."""

    def __init__(self, first, later):
        self._tables = [first]
        self._later = later

    def __arrow_c_stream__(self, requested_schema=None):
        table = self._tables.pop() if self._tables else self._later
        return table.__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize("changed", ["y", "w"])
def test_targets_and_weights_that_change_between_passes_are_told(changed):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.uniform(1.0, 2.0, (500, 4)), columns=list("abyw"))
    later = table.assign(**{changed: table[changed] * 3.0})
    source = Changing(*(pa.Table.from_pandas(frame, preserve_index=False) for frame in (table, later)))
    with pytest.raises(InvalidInputError, match="expected the same rows in every pass"):
        LinearRegression().fit(blocks(source, target="y", sample_weight="w"))


class TestPredictions:
    @pytest.fixture(params=["table", "array", "sparse"])
    def rows(self, request):
        """Rows in blocks of 256, with X and y as they are in memory, the names of features and weights."""
        rng = np.random.default_rng(5)
        X, w = rng.standard_normal((1000, 3)), rng.uniform(1.0, 2.0, 1000)
        y = X @ [1.0, 2.0, 3.0] + rng.standard_normal(1000)
        if request.param == "table":
            frame = pd.DataFrame(X, columns=list("abc")).assign(y=y, w=w)
            return blocks(frame, target="y", sample_weight="w", block_bytes=6144), frame[list("abc")], y, w
        X = sp.csr_matrix(X) if request.param == "sparse" else X
        return blocks(X, target=y, sample_weight=w, block_bytes=6144), X, y, w

    @pytest.mark.parametrize("make", [LinearRegression, Ridge, nearlin.StreamingLeastSquares])
    def test_are_those_of_memory_end_to_end(self, rows, make):
        in_blocks, X, y, w = rows
        model = make().fit(X, y, w)
        assert_allclose(model.predict(in_blocks), model.predict(X), rtol=1e-13, atol=1e-13)
        assert model.score(in_blocks) == pytest.approx(model.score(X, y, w), rel=1e-12)

    def test_of_other_features_are_refused(self):
        frame = pd.DataFrame(np.eye(4, 3), columns=list("abc"))
        model = LinearRegression().fit(frame, np.arange(4.0))
        with pytest.raises(InvalidInputError, match=r"in their order: \['a', 'b', 'c'\]"):
            model.predict(blocks(frame[list("cba")]))
        with pytest.raises(ShapeError, match="have 2 features, but LinearRegression was fitted to 3"):
            model.predict(blocks(frame[list("ab")]))

    def test_without_targets_there_is_no_score_and_targets_come_along(self):
        X, y = np.eye(4, 3), np.arange(4.0)
        model = LinearRegression().fit(X, y)
        with pytest.raises(InvalidInputError, match="are rows without targets"):
            model.score(blocks(X))
        with pytest.raises(InvalidTypeError, match="`y` is given beside rows in blocks"):
            model.score(blocks(X, target=y), y)

    def test_a_model_without_a_fit_says_so(self):
        rows = blocks(np.eye(4, 3), target=np.arange(4.0))
        for call in (LinearRegression().predict, LinearRegression().score):
            with pytest.raises(NotFittedError):
                call(rows)

    def test_what_is_not_finite_is_named_with_its_block(self):
        X = np.eye(600, 3)
        model = LinearRegression().fit(X, np.arange(600.0))
        X[400, 1] = np.nan
        with pytest.raises(NonFiniteError) as caught:
            model.predict(blocks(X, block_bytes=6144))
        assert caught.value.__notes__ == ["in the block that begins with row 256"]
