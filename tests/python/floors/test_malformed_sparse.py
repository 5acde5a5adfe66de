"""Sparse matrices whose indices lead out of them are refused alike everywhere, before SciPy reads them."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from reference.sparse import scattered

import nearlin
from nearlin import sketch
from nearlin._validation import as_matrix
from nearlin.exceptions import InvalidInputError

N, D = 60, 4
rng = np.random.default_rng(0)
DENSE = rng.integers(1, 9, (N, D)) * (rng.random((N, D)) < 0.6)
Y = rng.standard_normal(N)
FAR = 2**30

KINDS = [("csr", "f8"), ("csc", "f4"), ("csr", "i8"), ("csc", "?"), ("csr", "g")]
KINDS += [("coo", "f8"), ("coo", "i1"), ("bsr", "f8"), ("bsr", "i4")]


def replaced(name, change):
    """A matrix one of whose arrays is another one."""

    def damage(matrix, form):
        if form == "coo" and name != "data" and not hasattr(matrix, "coords"):  # SciPy up to 1.12
            changed = "col" if name == "indptr" else "row"
            setattr(matrix, changed, change(getattr(matrix, changed)))
        elif form == "coo" and name != "data":
            changed = name == "indptr"
            # Not by its `row` and `col`, which cast what is assigned to them.
            matrix.coords = tuple(change(a) if i == changed else a for i, a in enumerate(matrix.coords))
        else:
            setattr(matrix, name, change(getattr(matrix, name)))

    return damage


def at(position, value):
    def change(array):
        array = array.copy()
        array[position] = value
        return array

    return change


DAMAGES = {
    "an index too large": replaced("indices", at(1, FAR)),
    "an index just too large": replaced("indices", at(-1, N)),
    "an index negative": replaced("indices", at(1, -1)),
    "all indices negative": replaced("indices", lambda i: i - FAR),
    "a start too large": replaced("indptr", at(2, FAR)),
    "a start negative": replaced("indptr", at(2, -FAR)),
    "the end too large": replaced("indptr", at(-1, FAR)),
    "the first start not zero": replaced("indptr", at(0, -3)),
    "starts decreasing": replaced("indptr", lambda p: p[::-1].copy()),
    "too few starts": replaced("indptr", lambda p: p[:-2]),
    "no starts": replaced("indptr", lambda p: p[:0]),
    "too many starts": replaced("indptr", lambda p: np.append(p, p[-1])),
    "few indices": replaced("indices", lambda i: i[:5]),
    "few entries": replaced("data", lambda x: x[:5]),
    "entries of more dimensions": replaced("data", lambda x: x[..., None]),
    "indices in a matrix": replaced("indices", lambda i: i[:, None]),
    "real indices": replaced("indices", lambda i: i.astype(float)),
    "objects as indices": replaced("indices", lambda i: i.astype(object)),
    "objects as starts": replaced("indptr", lambda p: p.astype(object)),
    "complex entries": replaced("data", lambda x: x.astype(complex)),
    "objects as entries": replaced("data", lambda x: x.astype(object)),
    "huge unsigned indices": replaced("indices", lambda i: i.astype(np.uint64) + np.uint64(2**63)),
}
FITTED = [cls().fit(DENSE, Y) for cls in (nearlin.LinearRegression, nearlin.Ridge, nearlin.RidgeCV)]
SVD = nearlin.TruncatedSVD(2).fit(DENSE)
STREAM = nearlin.StreamingPCA(2).fit(DENSE)
LINEAR = nearlin.StreamingPCA(algorithm="sketch", sketch_size=3).fit(DENSE)
SAMPLE = nearlin.sample_rows(DENSE, size=40, rng=0)
COMPLETED = nearlin.MatrixCompletion(2, reg=0.5, validation_fraction=0.0).fit(DENSE)
QUANTILES = nearlin.QuantileRegressor().fit(DENSE, Y)
CALLS = {
    "lstsq": lambda A: nearlin.lstsq(A, Y),
    "lstsq_kron": lambda A: nearlin.lstsq_kron([np.eye(2), A], np.ones((2, N))),
    "sketch_and_solve": lambda A: nearlin.sketch_and_solve(A, Y, sketch_size=20),
    "partial_fit": lambda A: nearlin.StreamingLeastSquares(sketch_size=20).partial_fit(A, Y),
    "apply_factors": lambda A: sketch.TensorSRHT(8, (N, 2), rng=0).apply_factors([A, np.eye(2)]),
    "accumulate": lambda A: sketch.PHT(9, rng=0).accumulate(D).partial_fit(A),
    "S @": lambda A: sketch.SRHT(9, N, rng=0) @ A,
    "@ S": lambda A: A @ sketch.SparseSign(9, D, rng=0).T,
    "S.T @": lambda A: sketch.CountSketch(N, 20, rng=0).T @ A,
    "HC3": lambda A: FITTED[0].cov_params("HC3", A, Y),
    "summary": lambda A: FITTED[1].summary("HC0", A, Y),
    "y": lambda A: nearlin.Ridge().fit(DENSE, A),
    "svds": lambda A: nearlin.svds(A, 2),
    "TruncatedSVD.fit": lambda A: nearlin.TruncatedSVD(2).fit(A),
    "TruncatedSVD.transform": SVD.transform,
    "transform of centred ones": nearlin.TruncatedSVD(2, center=True).fit(DENSE).transform,
    "append_rows": lambda A: SVD.copy().append_rows(A),
    "top_eigenvector": nearlin.top_eigenvector,
    "StreamingPCA.partial_fit": lambda A: nearlin.StreamingPCA().partial_fit(A),
    "StreamingPCA.transform": STREAM.transform,
    "StreamingPCA.score": STREAM.score,
    "StreamingPCA.refine": lambda A: STREAM.copy().refine(A),
    "StreamingPCA.delete": lambda A: LINEAR.copy().delete(A),
    "leverage_scores": nearlin.leverage_scores,
    "sample_rows": lambda A: nearlin.sample_rows(A, size=20),
    "apply": SAMPLE.apply,
    "StreamingCoreset": lambda A: nearlin.StreamingCoreset(9).partial_fit(A),
    "lp_regression": lambda A: nearlin.lp_regression(A, Y),
    "lp_regression on a sample": lambda A: nearlin.lp_regression(A, Y, size=40),
    "lp_regression with targets asked for": lambda A: nearlin.lp_regression(A, lambda rows: Y[rows], size=40),
    "QuantileRegressor.predict": QUANTILES.predict,
    "MatrixCompletion.fit": lambda A: nearlin.MatrixCompletion(2, reg=0.5).fit(A),
    "MatrixCompletion.transform": COMPLETED.transform,
    "MatrixCompletion.score": COMPLETED.score,
}
for model in FITTED:
    name = type(model).__name__
    CALLS |= {f"{name}.fit": lambda A, model=model: type(model)().fit(A, Y)}
    CALLS |= {f"{name}.predict": model.predict, f"{name}.score": lambda A, model=model: model.score(A, Y)}


def sparse(form, dtype):
    matrix = sp.bsr_array(DENSE, blocksize=(2, 1)) if form == "bsr" else sp.coo_array(DENSE).asformat(form)
    return matrix.astype(dtype)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_damage_is_found_before_it_does_any(kind, call):
    for damage, apply in DAMAGES.items():
        if kind[0] == "coo" and damage == "starts decreasing":
            continue  # columns may
        matrix = sparse(*kind)
        apply(matrix, kind[0])
        with pytest.raises(InvalidInputError, match=r"`(A|X|Y|y|rows|factors(\[[01]\])?)` (is|has)"):
            pytest.fail(f"{damage}: {CALLS[call](matrix)!r}")


@pytest.mark.parametrize("kind", [("csr", "i8"), ("csr", "f8"), ("coo", "f8"), ("bsr", "f8")], ids="-".join)
def test_every_call_gives_the_error_of_fit(kind):
    matrix = sparse(*kind)
    DAMAGES["an index negative"](matrix, kind[0])
    messages = set()
    for call in ("lstsq", "LinearRegression.fit", "Ridge.predict", "RidgeCV.score", "HC3"):
        with pytest.raises(InvalidInputError) as caught:
            CALLS[call](matrix)
        messages.add(str(caught.value).replace("`X`", "`A`"))
    assert len(messages) == 1


def test_other_formats_with_parts_that_do_not_fit():
    dia, lil = sp.dia_array(DENSE.astype(float)), sp.lil_array(DENSE.astype(float))
    dia.offsets = dia.offsets[:-1]
    lil.data[3] = lil.data[3] + [1.0, 2.0]
    for matrix in (dia, lil):
        with pytest.raises(InvalidInputError, match="`A` has"):
            nearlin.lstsq(matrix, Y)
    for offset in (-N, D, 2**31 - 1, -(2**31)):
        dia = sp.dia_array((np.ones((1, D)), [offset]), shape=(N, D))
        with pytest.raises(InvalidInputError, match=f"diagonal at offset {offset}, expected one in"):
            nearlin.lstsq(dia, Y)
    lil = sp.lil_array(DENSE.astype(float))
    lil.rows[3] = [2**40] * len(lil.rows[3])
    with pytest.raises(InvalidInputError, match="`A` is"):
        nearlin.lstsq(lil, Y)


def test_what_is_odd_but_whole_is_taken():
    matrix = sp.csr_array(DENSE.astype(float))
    stored = matrix.nnz
    matrix.data = np.append(matrix.data, [9.0] * 3)  # room for more, which holds anything
    matrix.indices = np.append(matrix.indices, [10**6] * 3).astype(np.uint32)
    matrix.indptr = matrix.indptr.astype(">i8")
    assert matrix.indptr[-1] == stored
    expected = nearlin.lstsq(DENSE.astype(float), Y, method="qr").x
    assert_allclose(nearlin.lstsq(matrix, Y).x, expected, rtol=1e-12)
    assert_allclose(FITTED[0].predict(matrix), FITTED[0].predict(DENSE), rtol=1e-12)
    matrix.data = matrix.data.astype(int)
    assert_allclose(nearlin.lstsq(matrix, Y).x, expected, rtol=1e-12)


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
def test_small_integers_are_cast_before_duplicates_are_added(form):
    parts = (np.full(3, 100, np.int8), ([0, 0, 1], [1, 1, 0]))
    matrix = sp.coo_array(parts, shape=(2, 2))
    if form != "coo":
        compressed = {"csr": sp.csr_array, "csc": sp.csc_array}[form]
        starts = [0, 2, 3] if form == "csr" else [0, 1, 3]
        matrix = compressed((parts[0], [1, 1, 0] if form == "csr" else [1, 0, 0], starts), shape=(2, 2))
    before = matrix.nnz
    assert_array_equal(sp.csr_array(as_matrix(matrix)).toarray(), [[0, 200], [100, 0]])
    assert matrix.nnz == before  # the caller's matrix is left as it was
    logical = (
        matrix.astype(bool)
        if form == "coo"
        else type(matrix)((matrix.data > 0, matrix.indices, matrix.indptr))
    )
    assert_array_equal(as_matrix(logical).toarray(), [[0, 1], [1, 0]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr"])
@pytest.mark.parametrize("k", [None, 1, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_predictions_for_sparse_samples(dtype, form, k, fit_intercept):
    y = rng.standard_normal((N, k) if k else N)
    X = DENSE.astype(dtype)
    model = nearlin.LinearRegression(fit_intercept=fit_intercept).fit(X, y)
    predicted = model.predict(sp.coo_array(X).asformat(form))
    assert predicted.dtype == dtype
    assert predicted.shape == y.shape
    assert_allclose(predicted, model.predict(X), rtol=1e-4 if dtype == np.float32 else 1e-12, atol=1e-6)
    assert nearlin.LinearRegression().fit(DENSE.astype(float), y).predict(sp.csr_array(X)).dtype == np.float64


def test_the_number_of_threads_does_not_change_a_bit_of_predictions():
    X = scattered((20_000, 30), 0.2)
    for y in (np.arange(20_000.0), np.ones((20_000, 2)) * np.arange(20_000.0)[:, None]):
        models = [nearlin.Ridge(n_jobs=n).fit(X, y) for n in (1, 2, 5)]
        assert len({model.predict(X).tobytes() for model in models}) == 1
        assert_allclose(models[0].predict(X), X @ models[0].coef_.T + models[0].intercept_, rtol=1e-12)


@pytest.mark.parametrize("form", ["csr", "csc"])
@pytest.mark.parametrize("y", [np.arange(N), np.ones((N, 3))], ids=["vector", "columns"])
def test_predictions_notice_numbers_that_are_not_finite_and_no_others(form, y):
    model = nearlin.LinearRegression().fit(DENSE.astype(float), y)
    for bad, words in [(np.nan, "NaN"), (-np.inf, "infinity")]:
        X = np.array(DENSE, dtype=float)
        X[3, 1] = bad
        with pytest.raises(nearlin.exceptions.NonFiniteError, match=rf"`X`.*{words} at \[3, 1\]"):
            model.predict(sp.coo_array(X).asformat(form))
    huge = sp.coo_array(([1e300], ([0], [0])), shape=DENSE.shape).asformat(form)
    model.coef_ = np.full_like(model.coef_, 1e300)
    assert np.isposinf(model.predict(huge)[0]).all()
