"""Updates that cannot be: an exception of nearlin, and not a bit of the state changed."""

import pickle
from contextlib import suppress

import numpy as np
import pytest
import scipy.sparse as sp
from reference.svd_update import orthogonality, scattered
from sklearn.exceptions import NotFittedError

import nearlin
from nearlin import TruncatedSVD
from nearlin.exceptions import InvalidInputError, InvalidTypeError, NearlinError, NonFiniteError, ShapeError

M, N = 30, 20
NAN, INF = np.ones((2, N)), sp.csr_array(np.ones((2, N)))
NAN[-1, -1], INF.data[-1] = np.nan, -np.inf


def fitted(**options):
    model = TruncatedSVD(3, oversample=2, random_state=0, **options)
    return model.fit(scattered(M, N)).append_rows(scattered(2, N, seed=1)).delete_rows([4, 9])


def made(arguments):
    return [argument() if callable(argument) else argument for argument in arguments]


def test_the_matrix_of_the_cases_below():
    assert (fitted().n_samples_seen_, fitted().n_features_in_) == (M, N)


ROWS = [
    (np.ones((2, N - 1)), ShapeError, f"X has {N - 1} features, but TruncatedSVD is expecting {N} features"),
    (sp.csr_array((2, N - 1)), ShapeError, f"X has {N - 1} features"),
    (NAN, NonFiniteError, "NaN"),
    (INF, NonFiniteError, "infinity"),
    (np.ones((2, N)) * 1j, InvalidTypeError, "Complex data not supported"),
    (np.ones(N), InvalidInputError, "X"),
    (np.ones((2, N, 1)), InvalidInputError, "X"),
    (np.full((2, N), "a"), InvalidInputError, "X"),
    (None, InvalidInputError, "X"),
]
COLUMNS = [
    (np.ones((M + 1, 2)), ShapeError, "F"),
    (sp.csc_array((M - 1, 2)), ShapeError, "F"),
    (np.full((M, 2), np.nan), NonFiniteError, "NaN"),
    (np.ones((M, 2)) * 1j, InvalidTypeError, "F|Complex"),
    (np.ones(M), InvalidInputError, "F"),
]
CASES = [
    *(("partial_fit", (X,), error, words) for X, error, words in ROWS),
    *(("append_rows", (X,), error, words) for X, error, words in ROWS),
    *(("slide", (X,), error, words) for X, error, words in ROWS),
    *(("append_columns", (F,), error, words) for F, error, words in COLUMNS),
    ("slide", (np.ones((2, N)), np.ones((3, N))), ShapeError, "values"),
    ("slide", (np.ones((2, N)), NAN), NonFiniteError, "values"),
    ("update", (np.ones((M, 2)), np.ones((N, 3))), ShapeError, "E|D"),
    ("update", (np.ones((M + 1, 2)), np.ones((N, 2))), ShapeError, "D"),
    ("update", (np.ones((M, 2)), np.ones((N + 1, 2))), ShapeError, "E"),
    ("update", (np.full((M, 2), np.inf), np.ones((N, 2))), NonFiniteError, "D"),
    ("update", (np.ones((M, 2)), np.full((N, 2), np.nan)), NonFiniteError, "E"),
    ("add_entries", ([0, M], [0, 1], [1.0, 1.0]), InvalidInputError, "rows"),
    ("add_entries", ([0, 1], [0, N], [1.0, 1.0]), InvalidInputError, "cols"),
    ("add_entries", ([0, -1], [0, 1], [1.0, 1.0]), InvalidInputError, "rows"),
    ("add_entries", ([0.0, 1.0], [0, 1], [1.0, 1.0]), InvalidTypeError, "rows"),
    ("add_entries", ([0, 1], [0], [1.0, 1.0]), ShapeError, "rows|cols"),
    ("add_entries", ([0, 1], [0, 1], [1.0]), ShapeError, "deltas"),
    ("add_entries", ([0, 1], [0, 1], [1.0, np.nan]), NonFiniteError, "deltas"),
    ("set_entries", ([0, 1], [0, 1], [1.0, np.inf], [1.0, 1.0]), NonFiniteError, "new"),
    ("set_entries", ([0, 1], [0, 1], [1.0, 1.0], [1.0, np.nan]), NonFiniteError, "old"),
    ("set_entries", ([0, 1], [0, 1], [1.0, 1.0], [1.0]), ShapeError, "old"),
    ("set_entries", ([0, M], [0, 1], [1.0, 1.0], [1.0, 1.0]), InvalidInputError, "rows"),
    ("decay", (0.0,), InvalidInputError, "factor"),
    ("decay", (-0.5,), InvalidInputError, "factor"),
    ("decay", (1.5,), InvalidInputError, "factor"),
    ("decay", (np.nan,), InvalidInputError, "factor"),
    ("decay", ("a",), InvalidTypeError, "factor"),
    ("truncate", (0,), InvalidInputError, "k"),
    ("truncate", (1.5,), InvalidTypeError, "k"),
    ("refresh", (np.ones((M, N + 1)),), ShapeError, "A"),
    ("refresh", (np.ones((M + 1, N)),), ShapeError, "A"),
    ("refresh", (np.full((M, N), np.nan),), NonFiniteError, "NaN"),
    ("refresh", (np.ones((M, N)), 0), InvalidInputError, "passes"),
    ("merge", (None,), InvalidTypeError, "other"),
    ("merge", (lambda: TruncatedSVD(3, oversample=2).partial_fit(np.eye(4)),), InvalidInputError, "other"),
    ("left_singular_vectors", ([M],), InvalidInputError, "rows"),
    ("left_singular_vectors", ([-1],), InvalidInputError, "rows"),
    ("left_singular_vectors", ([0.5],), InvalidTypeError, "rows"),
    ("score_pairs", ([0, 1], [0]), ShapeError, "rows|cols"),
    ("score_pairs", ([0], [N]), InvalidInputError, "cols"),
    (
        "transform",
        (np.ones((2, N + 1)),),
        ShapeError,
        f"X has {N + 1} features, but TruncatedSVD is expecting",
    ),
    ("transform", (NAN,), NonFiniteError, "NaN"),
    ("inverse_transform", (np.ones((2, 4)),), ShapeError, "X"),
    ("fit", (NAN,), NonFiniteError, "NaN"),
    ("fit", (np.ones((5, 2)),), InvalidInputError, "n_components"),
]
for axis, (side, size, other) in enumerate([("rows", M, N), ("columns", N, M)]):
    shapes = [(3, other), (2, other + 1)]
    CASES += [
        (f"delete_{side}", ([0, size],), InvalidInputError, "ids"),
        (f"delete_{side}", ([0, -1],), InvalidInputError, "ids"),
        (f"delete_{side}", ([3, 1, 3],), InvalidInputError, "ids"),
        (f"delete_{side}", ([0.0, 1.0],), InvalidTypeError, "ids"),
        (f"delete_{side}", ([[0, 1]],), ShapeError, "ids"),
        *(
            (f"delete_{side}", ([0, 1], np.ones(s if axis == 0 else s[::-1])), ShapeError, "values")
            for s in shapes
        ),
        (
            f"delete_{side}",
            ([0, 1], np.full((2, N) if axis == 0 else (M, 2), np.nan)),
            NonFiniteError,
            "values",
        ),
    ]


@pytest.mark.parametrize("track", ["ledger", "probe"])
@pytest.mark.parametrize(("method", "arguments", "error", "words"), CASES)
def test_what_cannot_be_changes_nothing(method, arguments, error, words, track):
    model = fitted(track=track)
    before = model.to_bytes()
    arguments = made(arguments)
    with pytest.raises(error, match=words) as caught:
        getattr(model, method)(*arguments)
    assert isinstance(caught.value, NearlinError)
    assert model.to_bytes() == before
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert orthogonality(model.append_rows(np.ones((1, N)))) <= 1e-13


def test_a_merge_with_itself():
    model = fitted()
    before = model.to_bytes()
    with pytest.raises(InvalidInputError, match="other"):
        model.merge(model)
    assert model.to_bytes() == before


def test_rows_of_a_centred_model_leave_with_their_values():
    model = TruncatedSVD(3, center=True, random_state=0).fit(scattered(M, N))
    before = model.to_bytes()
    for method, arguments in {"delete_rows": [[0, 1]], "slide": [np.ones((2, N))]}.items():
        with pytest.raises(InvalidInputError, match="values"):
            getattr(model, method)(*arguments)
        assert model.to_bytes() == before


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("append_rows", (np.zeros((0, N)),)),
        ("append_rows", (sp.csr_array((0, N)),)),
        ("append_columns", (np.zeros((M, 0)),)),
        ("append_columns", (sp.csc_array((M, 0)),)),
        ("update", (np.zeros((M, 0)), np.zeros((N, 0)))),
        ("add_entries", ([], [], [])),
        ("set_entries", ([], [], [], [])),
        ("delete_rows", ([],)),
        ("delete_columns", ([],)),
        ("slide", (np.zeros((0, N)),)),
    ],
)
def test_nothing_to_do_does_nothing_or_says_so(method, arguments):
    model = fitted()
    before = model.to_bytes()
    with suppress(NearlinError):
        assert getattr(model, method)(*arguments) is model
    assert model.to_bytes() == before


def test_more_columns_than_memory_has():
    model = fitted()
    before = model.to_bytes()
    with pytest.raises(NearlinError):
        model.append_rows(sp.csr_array((1, 2**50)))
    assert model.to_bytes() == before


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("append_columns", (np.ones((3, 2)),)),
        ("update", (np.ones((3, 1)), np.ones((2, 1)))),
        ("add_entries", ([0], [0], [1.0])),
        ("set_entries", ([0], [0], [1.0], [0.0])),
        ("delete_rows", ([0],)),
        ("delete_columns", ([0],)),
        ("decay", (0.5,)),
        ("slide", (np.ones((1, 2)),)),
        ("truncate", (1,)),
        ("refresh", (np.ones((3, 2)),)),
        ("merge", (fitted,)),
        ("left_singular_vectors", ()),
        ("score_pairs", ([0], [0])),
        ("transform", (np.ones((3, 2)),)),
        ("inverse_transform", (np.ones((3, 2)),)),
    ],
)
def test_updates_and_answers_before_there_are_rows(method, arguments):
    model = TruncatedSVD(2)
    arguments = made(arguments)
    with pytest.raises(NotFittedError):
        getattr(model, method)(*arguments)
    assert not hasattr(model, "components_")
    assert not hasattr(model, "certificate_")


CHANGES = {
    "partial_fit": (np.ones((1, N)),),
    "append_rows": (np.ones((1, N)),),
    "append_columns": (np.ones((M, 1)),),
    "update": (np.ones((M, 1)), np.ones((N, 1))),
    "add_entries": ([0], [0], [1.0]),
    "set_entries": ([0], [0], [1.0], [0.0]),
    "delete_rows": ([0],),
    "delete_columns": ([0],),
    "decay": (0.5,),
    "slide": (np.ones((1, N)),),
    "truncate": (1,),
    "refresh": (np.ones((M, N)),),
    "merge": (lambda: TruncatedSVD(3, oversample=2).partial_fit(np.eye(N)),),
}


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("method", CHANGES)
def test_a_model_is_not_changed_under_parameters_that_are_not_its_own(method, copied):
    model = fitted()
    arguments = made(CHANGES[method])
    before = model.to_bytes()
    others = {"n_components": (2, 4, 0.5), "oversample": (3, "auto"), "center": (True,), "track": ("probe",)}
    for name, values in {**others, "robust": ("fd",)}.items():
        former = model.get_params()[name]
        for value in values:
            model.set_params(**{name: value})
            changed = model.copy() if copied else model
            with pytest.raises(
                InvalidInputError, match=f"`{name}` is {value!r}, expected {former!r}"
            ) as caught:
                getattr(changed, method)(*arguments)
            assert caught.value.argument == name
            assert changed.singular_values_.shape == (3,)
            assert changed.certificate_ == fitted().certificate_
        model.set_params(**{name: former})
    assert model.to_bytes() == before
    getattr(model.set_params(method="qr", n_jobs=2, tol=0.1, random_state=5), method)(*arguments)
    assert model.to_bytes() != before


def test_a_fit_takes_the_parameters_as_they_are():
    model = fitted().set_params(n_components=2, oversample=1, track="probe").fit(scattered(M, N))
    assert model.append_rows(scattered(2, N, seed=1)).singular_values_.shape == (2,)
    assert model.certificate_.details["probe_valid"]


def test_a_first_batch_that_cannot_be_leaves_nothing_behind():
    model = TruncatedSVD(2)
    with pytest.raises(NonFiniteError):
        model.partial_fit(NAN)
    assert not hasattr(model, "components_")
    assert model.partial_fit(np.eye(3)).n_features_in_ == 3


def test_bytes_that_are_no_state():
    data = fitted().to_bytes()
    stream = nearlin.StreamingLeastSquares(rng=0).to_bytes()
    flipped = [data[:i] + bytes([data[i] ^ 1]) + data[i + 1 :] for i in range(0, len(data), len(data) // 40)]
    for damaged in (b"", data[:-1], data + b"\0", data[: len(data) // 2], stream, *flipped):
        with pytest.raises(nearlin.exceptions.StateError, match="data"):
            TruncatedSVD.from_bytes(damaged)
    with pytest.raises(InvalidTypeError, match="data"):
        TruncatedSVD.from_bytes("nearlin")


def test_empty_batches_of_dense_rows_change_nothing():
    model = TruncatedSVD(2).partial_fit(np.random.default_rng(0).standard_normal((100, 100)))
    before = model.to_bytes()
    model.append_rows(np.zeros((0, 100))).append_columns(np.zeros((100, 0))).slide(np.zeros((0, 100)))
    model.update(np.zeros((100, 0)), np.zeros((100, 0))).delete_rows([]).add_entries([], [], [])
    assert model.to_bytes() == before


def test_names_of_a_frame_are_those_of_the_fit_wherever_rows_come():
    frame = pytest.importorskip("pandas").DataFrame(np.eye(6, 4), columns=list("abcd"))
    model = TruncatedSVD(2).fit(frame)
    turned = frame[list("dcba")]
    for call in (model.slide, model.refresh, lambda rows: model.delete_rows(range(6), values=rows)):
        with pytest.raises(InvalidInputError, match="feature names"):
            call(turned)
    with pytest.raises(InvalidInputError, match="'a'"):
        model.append_columns(frame[["a"]])
