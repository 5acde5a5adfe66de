"""Strange arguments for every public function: the right answer, or an error of ours that names the argument.

A case is a number: `attempt(call, case)` does it again. A new public function joins by a line in `CALLS`.
"""

import datetime
import decimal
import fractions
import os
import random
import re
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from reference.layouts import LAYOUTS, misaligned, read_only
from reference.sparse import scattered

import nearlin
from nearlin import sketch
from nearlin.exceptions import InternalError, NearlinError

N, D = 60, 4
SHORT, LONG = 40, int(os.environ.get("NEARLIN_FUZZ_CASES", "1000"))
SEED = int(os.environ.get("NEARLIN_FUZZ_SEED", "0"))
DTYPES = [
    *"?bhiqBHIQefdgFDG",
    ">f8",
    ">f4",
    "<i2",
    "O",
    "U3",
    "S3",
    "M8[s]",
    "m8[s]",
    "V8",
    [("x", "f8"), ("y", "f8")],
]


class Raising:
    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("no values on this device")


class Wrapped:
    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.array, dtype)


SCALARS = [
    None,
    True,
    np.True_,
    "x",
    "",
    "é" * 9,
    b"x",
    [],
    [1],
    (1, 2),
    {},
    [[1], [1, 2]],
    range(3),
    object(),
    float,
]
SCALARS += [float("nan"), float("inf"), -float("inf"), 1j, 5e-324, 1e-320, 1e-30, 0.5, 1e308, np.float32(0.1)]
SCALARS += [-1, 0, 1, 2, 3, 7, 2**31, 2**32, 2**63 - 1, 2**63, 2**64, -(2**63), 10**400, -(10**400), 10**5000]
SCALARS += [np.int8(3), np.uint64(2**64 - 1), np.float16(0.5), np.longdouble("1e4000"), np.datetime64("2020")]
SCALARS += [
    np.array(0.1),
    np.array([0.1]),
    np.array([[0.1]]),
    np.array([]),
    Raising(),
    lambda *_: None,
    np.random,
]
SCALARS += [
    decimal.Decimal("0.1"),
    fractions.Fraction(1, 10),
    fractions.Fraction(10**400),
    datetime.date(2020, 1, 1),
]


class Wrong(AssertionError):
    """An answer that is not that of NumPy."""


class Draw(random.Random):
    """Arguments, each with the numbers that it stands for, or None where that is not clear."""

    def matrix(self, shape=(N, D), oddity=0.5):
        """A dense or sparse matrix or, by its shape, a vector."""
        if len(shape) == 2 and self.random() < 0.3:
            return self.sparse(shape)
        return self.dense(shape, oddity)

    def dense(self, shape, oddity=0.5):
        clear = True
        if self.random() < 0.15 * oddity:
            clear = False
            shape = self.choice([(), (7,), (0, D), (N, 0), (0, 0), (N, D, 1), (1, 1), (N - 1, D), (N, D + 1)])
        array = self.numbers(shape, self.choice(DTYPES) if self.random() < oddity else self.choice("fd"))
        if array.dtype.kind == "f" and array.size and self.random() < 0.1:
            array.reshape(-1)[self.randrange(array.size)] = self.choice([np.nan, np.inf, -np.inf])
            clear = False
        given = self.relaid(array) if self.random() < 0.7 else array
        if self.random() < 0.02:
            return self.choice(SCALARS), None
        clear = clear and array.dtype.kind in "fiubO" and not np.ma.is_masked(given)
        return given, array.astype(float) if clear else None

    def numbers(self, shape, dtype):
        values = np.asarray(np.random.default_rng(self.getrandbits(32)).standard_normal(shape))
        dtype = np.dtype(dtype)
        if dtype.kind in "biuOMm":
            values = np.round(10 * np.abs(values)).astype(int)
        try:
            return np.asarray(values.astype(dtype), dtype)
        except (TypeError, ValueError):
            return np.zeros(shape, dtype)

    def relaid(self, array):
        """The same numbers in another layout or object."""
        ways = [np.asfortranarray, np.ma.array, Wrapped, lambda a: a.view(np.ma.MaskedArray)]
        if array.ndim:
            ways += [read_only, lambda a: a[::-1].copy()[::-1], lambda a: np.repeat(a, 3, axis=0)[::3]]
            ways += [lambda a: np.ma.array(a, mask=np.arange(a.shape[-1]) == np.zeros(a.shape))]
        if array.dtype.kind in "fiu" and array.dtype.itemsize > 1 and array.ndim and array.size:
            ways += [misaligned, lambda a: a.astype(a.dtype.newbyteorder("S")), np.ndarray.tolist]
        if array.ndim == 2 and array.dtype.kind in "fiub" and array.dtype.itemsize <= 8:
            ways += [lambda a: pd.DataFrame(a.astype(a.dtype.newbyteorder("="))), lambda a: a.view(np.matrix)]
        if array.ndim == 2 and array.size and array.dtype in (np.float32, np.float64):
            ways += list(LAYOUTS.values())
        return self.choice(ways)(array)

    def sparse(self, shape):
        """A sparse matrix, one of whose arrays may have been replaced."""
        form = self.choice(["csr", "csc", "csr", "csc", "bsr", "coo", "lil", "dok", "dia"])
        dtype = self.choice("fdfdiqb?g")
        whole = scattered(shape, 0.7, self.getrandbits(32)) * 9
        matrix = whole.asformat(form).astype(dtype)
        if form in ("lil", "dok", "dia") or self.random() < 0.4:
            return matrix, matrix.toarray().astype(float)
        names = ["row", "col", "data"] if form == "coo" else ["indices", "indptr", "data"]
        name = self.choice(names)
        setattr(matrix, name, self.damaged(getattr(matrix, name).copy()))
        return matrix, None

    def damaged(self, array):
        ways = [lambda a: a[: len(a) // 2], lambda a: a[::-1].copy(), lambda a: np.append(a, a[-1:], axis=0)]
        ways += [lambda a: a.astype(self.choice(["O", "U5", "c16", "i8", "u8", ">i4", "f8", "?"]))]
        ways += [lambda a: a.reshape(len(a), -1, 1), lambda a: np.repeat(a, 2, axis=0)[::2], lambda a: a[:0]]
        changed = array if array.dtype in (np.int32, np.int64) else array[:0]
        for value in (-1, N, 2**31 - 1, -(2**31)) if len(changed) else ():
            ways.append(lambda a, value=value: np.put(a, self.randrange(len(a)), value) or a)
        return self.choice(ways)(array)

    def options(self, chance=0.5, **sensible):
        """Some of these options, sensible or not."""
        names = [name for name in sensible if self.random() < 2 * chance / len(sensible)]
        return {name: self.choice(SCALARS if self.random() < 0.6 else sensible[name]) for name in names}

    def problem(self, matrix=None):
        """A, b and weights, which may be missing, and the numbers of the first two."""
        given, A = (matrix or self.matrix)()
        columns = self.choice([(N,), (N, 2)])
        right, b = self.dense(columns) if self.random() < 0.4 else (self.numbers(columns, "d"),) * 2
        weights = {}
        if self.random() < 0.25:
            odd = self.choice([self.choice(SCALARS), self.dense((N,))[0], np.abs(self.numbers((N,), "d"))])
            weights = {"sample_weight": odd}
        fits = A is not None and b is not None and A.ndim == 2 and 0 not in A.shape and len(A) == len(b)
        return given, right, weights, (A, b) if fits and not weights else None


def check_fit(numbers, x):
    """Raise unless x leaves as short a residual as NumPy's answer."""
    if not np.isfinite(x).all():
        raise Wrong("x is not finite")
    if numbers is not None:
        A, b = numbers
        best = np.linalg.lstsq(A, b, rcond=1e-6)[0]
        if np.shape(x) != best.shape:
            raise Wrong(f"x has shape {np.shape(x)}, expected {best.shape}")
        if not (np.linalg.norm(b - A @ x) <= 1.001 * np.linalg.norm(b - A @ best) + 1e-3 * np.linalg.norm(b)):
            raise Wrong("x leaves too long a residual")


def check_equal(found, expected):
    if found.shape != expected.shape:
        raise Wrong(f"shape {found.shape}, expected {expected.shape}")
    scale = max(np.abs(expected).max(initial=0), 1e-3)
    if not np.abs(found - expected).max(initial=0) <= 1e-2 * scale:
        raise Wrong("numbers differ")


COMMON = {"rng": [0, 5], "n_jobs": [2, -1], "progress": [False]}
METHODS = ["qr", "gram", "spir", "lsmr", "whitened", "fgmres_wlsir", "fossils"]


def lstsq(draw):
    A, b, weights, numbers = draw.problem()
    options = draw.options(
        **COMMON, method=METHODS, ridge=[0.5, [0.1, 0.2]], rcond=[1e-9], sketch=["srht"], tol=[1e-9],
        sketch_size=[10, 60], max_iter=[1, 50], dtype_work=["float32", np.float64], preconditioner=["left"],
        certify=[True], verify=[True],
    ) if draw.random() < 0.5 else {}  # fmt: skip
    result = nearlin.lstsq(A, b, **weights, **options)
    check_fit(None if options else numbers, result.x)
    assert repr(result)
    assert result.explain()
    assert str(result.certificate)


class Operator:
    """A linear operator whose shape, dtype and products may be nonsense."""

    def __init__(self, draw):
        self.draw, self.A = draw, draw.numbers((N, D), "d")
        self.shape, self.dtype, self.odd = (N, D), np.dtype(float), draw.randrange(8)
        if draw.random() < 0.3:
            shapes = [
                (N, D),
                (-N, D),
                (N, -1),
                (60.5, D),
                ("a", 3),
                (2**64, D),
                (),
                None,
                N,
                (N, D, 1),
                [N, D],
            ]
            self.shape = draw.choice(shapes)
            self.dtype = draw.choice([None, "f8", "f4", "c16", "O", "junk", 3])

    def matvec(self, x):
        return self.answer(self.A @ x)

    def rmatvec(self, y):
        return self.answer(self.A.T @ y)

    def answer(self, y):
        odd = [lambda: y[:-1], lambda: None, lambda: y * np.nan, lambda: y * 1e200, lambda: 0 * y]
        odd += [lambda: self.draw.numbers(y.shape, self.draw.choice(DTYPES))]
        return odd[self.odd]() if self.odd < len(odd) and self.draw.random() < 0.5 else y


def lstsq_operator(draw):
    options = draw.options(method=["lsmr", "spir"], max_iter=[1, 5], rng=[0], certify=[True], ridge=[1.0])
    check_fit(None, nearlin.lstsq(Operator(draw), draw.numbers((N,), "d"), **options).x)


def lstsq_kron(draw):
    (F, f), (G, g) = draw.matrix((8, 2)), draw.matrix((9, 3))
    B, c = draw.dense(draw.choice([(8, 9), (72,)]), 0.3)
    factors = draw.choice([[F, G], (F, G), [F, G], np.ones((2, 8, 2)), draw.choice(SCALARS)])
    options = {}
    if draw.random() < 0.5:
        options = draw.options(
            **COMMON, ridge=[0.5], method=["sketch"], rcond=[1e-9], sketch_size=[50], tol=[1e-9]
        )
    result = nearlin.lstsq_kron(factors, B, **options)
    clear = isinstance(factors, list | tuple) and not options and all(a is not None for a in (f, g, c))
    check_fit((np.kron(f, g), c.reshape(72)) if clear else None, result.x)
    assert repr(result)


STREAM = {"guarantee": ["linf", None], "eps": [0.9], "delta": [0.1], "level": [0.5], "ridge": [0.5]}
STREAM |= {"sketch": ["srht", "gaussian", "sparse_sign", "pht_normals"], "sketch_size": [20, 50]}


def sketch_and_solve(draw):
    A, b, weights, numbers = draw.problem()
    options = draw.options(**COMMON, **STREAM) if draw.random() < 0.6 else {}
    result = nearlin.sketch_and_solve(A, b, **weights, **options)
    check_fit(None if options else numbers, result.x)
    assert repr(result)
    assert result.explain()
    low, high = result.interval(simultaneous=draw.random() < 0.5)
    if result.certificate.confidence is not None and not np.all(low <= high):
        raise Wrong("an interval ends before it begins")


def unchanged_if_refused(stream, add):
    before = stream.to_bytes()
    try:
        add()
    except BaseException:
        if stream.to_bytes() != before:
            raise Wrong("the stream changed although it refused") from None
        raise


def stream(draw):
    options = draw.options(**STREAM, n=[N, 10**9], rng=[0]) if draw.random() < 0.4 else {}
    stream = nearlin.StreamingLeastSquares(**{"sketch_size": 20, "rng": 0, **options})
    for _ in range(2):
        A, b, weights, _ = draw.problem()
        more = draw.options(0.3, row_offset=[100, 1000], n_jobs=[2])
        unchanged_if_refused(stream, lambda: stream.partial_fit(A, b, **weights, **more))  # noqa: B023
    if draw.random() < 0.3:
        stream.merge(draw.choice([stream, stream.copy(), *SCALARS]))
    check_fit(None, stream.result(**draw.options(0.2, n_jobs=[2])).x)
    assert repr(stream)


def accumulator(draw):
    S = a_sketch(draw)
    stream = S.accumulate(**{"d": D, **draw.options(0.3, d=[D, 2], dtype=["f4", "f8", "i4", ">f8"])})
    A, numbers = draw.matrix()
    more = draw.options(0.2, row_offset=[30], n_jobs=[2])
    unchanged_if_refused(stream, lambda: stream.partial_fit(A, **more))
    result = stream.result()
    if numbers is not None and not more:
        check_equal(result, S.to_dense(N) @ numbers)
    assert repr(stream)


KINDS = (sketch.SparseSign, sketch.CountSketch, sketch.PHT, sketch.SRHT, sketch.Gaussian)


def a_sketch(draw):
    cls = draw.choice(KINDS)
    return cls(draw.choice([1, 8, 20, 100]), N if cls is sketch.SRHT or draw.random() < 0.5 else None, rng=0)


def sketch_init(draw):
    cls = draw.choice(KINDS)
    names = {"m": [2**31 - 1, 8], "n": [N, 2**63 - 1], "rng": [0]}
    names |= {
        sketch.SparseSign: {"zeta": [3]},
        sketch.PHT: {"chunk": [8, 2**32], "weights": ["normals"]},
    }.get(cls, {})
    S = cls(**{"m": 8, "n": N, **draw.options(0.9, **names)})
    assert repr(S)
    assert S.T.T == S


def sketch_apply(draw):
    S, (A, numbers) = a_sketch(draw), draw.matrix(draw.choice([(N, D), (N,)]))
    options = draw.options(0.4, row_offset=[0, 2**62], n_jobs=[2])
    result = S.apply(A, **options)
    if numbers is not None and not options:
        check_equal(result, S.to_dense(N) @ numbers)


def sketch_transposed(draw):
    S = a_sketch(draw)
    Y, numbers = draw.matrix(draw.choice([(S.m, D), (S.m,)]))
    result = S.T.apply(Y, **{"stop": N, **draw.options(0.3, start=[0, 3], n_jobs=[2])})
    if numbers is not None and len(result) == N:
        check_equal(result, S.to_dense(N).T @ numbers)


def tensor(draw):
    S = sketch.TensorSRHT(20, draw.choice([(8, 9), [8, 9], draw.choice(SCALARS)]), rng=0)
    (F, f), (G, g) = draw.matrix((8, 2)), draw.matrix((9, 3))
    result = S.apply_factors(draw.choice([[F, G], (F, G), [F], None]), **draw.options(0.2, n_jobs=[2]))
    if f is not None and g is not None:
        check_equal(result, S.to_dense() @ np.kron(f, g))


def estimator(cls, **parameters):
    sensible = {
        "fit_intercept": [False],
        "n_jobs": [2],
        "random_state": [0],
        "tol": [1e-9],
        "method": METHODS,
    }

    def call(draw):
        A, b, weights, numbers = draw.problem()
        options = draw.options(**sensible, **parameters) if draw.random() < 0.5 else {}
        model = cls(**options).fit(A, b, **weights)
        if numbers is not None and not options and cls is nearlin.LinearRegression:
            design, right = np.c_[np.ones(len(numbers[0])), numbers[0]], numbers[1]
            x = np.vstack([np.atleast_1d(model.intercept_), np.atleast_2d(model.coef_).T])
            check_fit((design, right), x.reshape(design.shape[1], *right.shape[1:]))
        X, known = draw.matrix()
        predicted = model.predict(X)
        if known is not None and known.shape[1:] == (D,):
            check_equal(predicted, known @ model.coef_.T + model.intercept_)
        assert repr(model.certificate_)
        if np.shape(known) == (N, D):
            model.score(X, draw.choice([b, draw.dense((N,))[0]]), draw.choice([None, *weights.values()]))
        if cls is not nearlin.RidgeCV:
            kind = draw.choice(["nonrobust", "HC0", "HC1", "HC2", "HC3", *SCALARS[:8]])
            assert repr(model.summary(kind, A, b, **weights, **draw.options(level=[0.9])))
            assert np.isfinite(model.cov_params(kind, X, b, **weights)).all()

    return call


def settings(draw):
    before = nearlin.get_config()
    try:
        with nearlin.config_context(num_threads=draw.choice(SCALARS)):
            nearlin.lstsq(np.eye(9, 2), np.ones(9), n_jobs=draw.choice(SCALARS))
    finally:
        assert nearlin.get_config() == before


CALLS = [lstsq, lstsq_operator, lstsq_kron, sketch_and_solve, stream, accumulator, sketch_init, sketch_apply]
CALLS = {call.__name__: call for call in (*CALLS, sketch_transposed, tensor, settings)}
CALLS |= {
    "LinearRegression": estimator(nearlin.LinearRegression, rcond=[1e-9], inference=[True, False]),
    "Ridge": estimator(nearlin.Ridge, alpha=[0.5, [0.1, 0.2]], inference=[True, False]),
    "RidgeCV": estimator(nearlin.RidgeCV, alphas=[[0.1, 1.0], (1,)], alpha_per_target=[True]),
}


def attempt(name, case):
    """Return what is wrong with how one call takes one case, None if nothing is."""
    np.random.seed(case)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            CALLS[name](Draw(f"{SEED}-{name}-{case}"))
        except InternalError as error:
            return f"{name}, case {case}: {error}"
        except MemoryError:
            return None
        except NearlinError as error:
            named = re.search(r"`[\w.()\[\]]+`", str(error))
            return None if named else f"{name}, case {case}: names no argument: {error}"
        except Exception as error:
            return f"{name}, case {case}: {type(error).__name__}: {error!s:.200}"
    return None


@pytest.mark.parametrize("name", CALLS)
def test_strange_arguments(name):
    assert [found for case in range(SHORT) if (found := attempt(name, case))] == []


@pytest.mark.fuzz
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", CALLS)
def test_many_strange_arguments(name):
    """In processes of their own, so that a crash is a finding, too."""
    findings, first = [], 0
    while first < LONG:
        command = [sys.executable, __file__, name, str(first)]
        paths = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=1800, env=paths)
        cases = re.findall(r"^case (\d+)$", done.stdout, re.M)
        findings += re.findall(r"^finding: (.*)$", done.stdout, re.M)
        if done.returncode != 0:
            assert cases, done.stderr
            findings.append(f"{name}, case {cases[-1]}: ended with {done.returncode}: {done.stderr[-500:]}")
        first = int(cases[-1]) + 1
    assert findings == []


if __name__ == "__main__":
    for number in range(int(sys.argv[2]), LONG):
        print("case", number, flush=True)
        if found := attempt(sys.argv[1], number):
            print("finding:", found.replace("\n", " "), flush=True)
