"""Bytes that were changed, and models that are read while others are fitted."""

import json
import struct
import threading
import zlib

import numpy as np
import pytest
from reference.completion import instance

from nearlin import ImplicitALS, LowRankImputer, MatrixCompletion, SoftImpute
from nearlin.exceptions import StateError

SHAPE = (30, 20)
ROWS, COLS, VALUES, _ = instance(SHAPE, 2, 0.5)
HEADER, PAYLOAD = 8, 40


def signed(fields, payload):
    """Return the bytes of a state with the checksum of these."""
    fields = fields[:-8] + struct.pack("<Q", len(payload))
    return b"nearlin\0" + fields + struct.pack("<I", zlib.crc32(fields + payload)) + payload


def with_words(data, change):
    """Return the bytes of a state whose words are others."""
    payload, length, at = data[PAYLOAD:], 0, 0
    while True:
        length |= (payload[at] & 127) << 7 * at
        at += 1
        if payload[at - 1] < 128:
            break
    words = json.loads(payload[at : at + length])
    change(words)
    text = json.dumps(words).encode()
    number, rest = b"", len(text)
    while rest > 127:
        number += bytes([rest & 127 | 128])
        rest >>= 7
    return signed(data[HEADER : PAYLOAD - 4], number + bytes([rest]) + text + payload[at + length :])


def written(kind):
    names = {
        "int": np.arange(30) * 3,
        "str": np.array([f"{k:02d}" for k in range(30)]),
        "object": np.array([f"{k:02d}" for k in range(30)], dtype=object),
        "several": np.array([*range(15), *(f"{k:02d}" for k in range(15))], dtype=object),
    }[kind]
    return MatrixCompletion(2, reg=0.3, random_state=0).fit((names[ROWS], COLS, VALUES)), names


def first(values):
    """Have the identities begin with others."""

    def change(words):
        words["fitted"]["row_ids"]["values"][: len(values)] = values

    return change


def of_rows(ids):
    def change(words):
        words["fitted"]["row_ids"] = ids

    return change


def figure(name, value):
    def change(words):
        words["fitted"]["figures"][name] = value

    return change


def test_words_that_were_not_changed_are_read():
    model, names = written("several")
    twin = MatrixCompletion.from_bytes(with_words(model.to_bytes(), lambda words: None))
    assert list(twin.row_ids_) == list(names)
    assert np.array_equal(twin.U_, model.U_)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("object", first([["str", "99"]])),
        ("object", first([["str", "01"], ["str", "00"]])),
        ("object", first([["str", "00"], ["str", "00"]])),
        ("object", first([["int", 10**40]])),
        ("object", first([["str", 7]])),
        ("object", first([["os.system", "true"]])),
        ("object", first([["tuple", [["str", []]]]])),
        ("object", first([["float", "nan"]])),
        ("object", first([["Timestamp", "now"]])),
        ("object", first([["Timestamp", "NaT"]])),
        ("object", first([["Decimal", "sNaN"]])),
        ("object", first([["date", "2020-13-45"]])),
        ("object", first([[]])),
        ("several", first([["int", -1]])),
        ("several", first([["int", 10**40]])),
        ("several", first([["int", True], ["int", 0]])),
        ("int", of_rows({})),
        ("int", of_rows([1, 2])),
        ("int", of_rows({"dtype": "<i8", "values": "AAAA"})),
        ("int", of_rows({"dtype": "<i8", "values": ""})),
        ("int", of_rows({"dtype": "<i8", "values": "!"})),
        ("int", of_rows({"dtype": "<i8", "values": 3})),
        ("int", of_rows({"dtype": "O", "values": 3})),
        ("int", of_rows({"dtype": "|V8", "values": ""})),
        ("int", of_rows({"dtype": "<U999999999999", "values": ""})),
        ("int", of_rows({"dtype": "<U0", "values": ""})),
        ("int", of_rows({"dtype": ["<i8"], "values": ""})),
        ("int", figure("objective", None)),
        ("int", figure("objective", [10**400])),
        ("int", figure("held_out", "abc")),
        ("int", figure("undetermined", 0)),
        ("int", figure("incoherence", [])),
        ("int", lambda words: words.clear()),
        ("int", lambda words: words["parameters"].update(rank=-3)),
        ("int", lambda words: words["parameters"].update(other=1)),
        ("int", lambda words: words.update(fitted=[])),
        ("int", lambda words: words["fitted"].update(figures=[])),
    ],
)
def test_words_that_make_no_sense_are_told(kind, change):
    model, _ = written(kind)
    data = with_words(model.to_bytes(), change)
    with pytest.raises(StateError):
        MatrixCompletion.from_bytes(data)


def test_arrays_of_identities_that_make_no_sense_are_told():
    model, names = written("str")
    good = model._fitted.row_ids.written()
    dates = np.datetime64("2020-01-01") + np.arange(30)
    days = MatrixCompletion(2, reg=0.3, random_state=0).fit((dates[ROWS], COLS, VALUES))
    nat = dates.copy()
    nat[0] = "NaT"
    for fitted, bad in [
        (model, names[::-1]),
        (model, np.concatenate([names[:1], names[:1], names[2:]])),
        (model, np.concatenate([names[:29].view(np.uint32), np.array([2**21, 0], np.uint32)]).view("U2")),
        (model, np.arange(-1, 29)),
        (model, names[:29]),
        (days, nat),
    ]:
        ids = type(fitted._fitted.row_ids)(bad, ("str",)).written()
        assert ids != good
        with pytest.raises(StateError):
            MatrixCompletion.from_bytes(with_words(fitted.to_bytes(), of_rows(ids)))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_bytes_under_a_new_checksum_are_a_model_or_an_error():
    model = MatrixCompletion(2, reg=0.3, random_state=0).fit((ROWS, COLS, VALUES))
    data, rng = model.to_bytes(), np.random.default_rng(0)
    read = 0
    for _ in range(400):
        payload = bytearray(data[PAYLOAD:])
        for at in rng.integers(0, len(payload), rng.integers(1, 4)):
            payload[at] ^= 1 << int(rng.integers(8))
        try:
            twin = MatrixCompletion.from_bytes(signed(data[HEADER : PAYLOAD - 4], bytes(payload)))
        except StateError:
            continue
        read += 1
        twin.predict(ROWS, COLS)
        twin.top_n(ROWS[:2], 3)
        twin.reconstruct()
        twin.explain()
        assert twin.U_.shape == (30, 2)
    assert 0 < read < 400


def test_numbers_that_are_none_are_told():
    model = MatrixCompletion(2, reg=0.3, random_state=0).fit((ROWS, COLS, VALUES))
    data = model.to_bytes()
    payload = data[PAYLOAD:]
    mean = payload.index(struct.pack("<d", model.mean_))
    # Behind four numbers, a penalty that may not be there, and a length.
    factor = mean + 4 * 8 + 9 + 2
    for at, form, same in ((mean, "<d", model.mean_), (mean + 8, "<d", None), (factor, "<f", None)):
        size = struct.calcsize(form)
        before = struct.unpack(form, payload[at : at + size])[0]
        assert same is None or before == same
        for value in (before, np.nan, np.inf):
            changed = payload[:at] + struct.pack(form, value) + payload[at + size :]
            bytes_ = signed(data[HEADER : PAYLOAD - 4], changed)
            if value == before:
                assert bytes_ == data
                continue
            with pytest.raises(StateError):
                MatrixCompletion.from_bytes(bytes_)


MODELS = [
    MatrixCompletion(2, reg=0.3, random_state=0, validation_fraction=0.0),
    ImplicitALS(2, max_iter=2, random_state=0),
    SoftImpute(2, reg=0.1, max_iter=5, random_state=0),
]


@pytest.mark.filterwarnings("ignore::nearlin.exceptions.AccuracyWarning")
@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_whoever_reads_while_others_fit_has_one_model(model):
    numbers = np.arange(30)
    one = (np.concatenate([ROWS, ROWS + 30]), np.concatenate([COLS, COLS]), np.tile(np.abs(VALUES), 2))
    fits = [(ROWS, COLS, np.abs(VALUES)), (one[0] + 5, one[1], one[2] * 3)]
    answers = {
        "predict": lambda model: model.predict(numbers, numbers % 20),
        "top_n": lambda model: model.top_n([7, 20], 3)[1],
        "predict_row": lambda model: model.predict_row(9),
        "score": lambda model: model.score(fits[0]),
        "row_ids_": lambda model: model.row_ids_,
        "bytes": lambda model: type(model).from_bytes(model.to_bytes()).predict(numbers, numbers % 20),
        "copy": lambda model: model.copy().predict(numbers, numbers % 20),
    }
    expected = {name: [] for name in answers}
    for fit in fits:
        model.fit(fit)
        for name, answer in answers.items():
            expected[name].append(answer(model))
    wrong, done = [], threading.Event()

    def read():
        while not done.is_set():
            for name, answer in answers.items():
                found = answer(model)
                if not any(np.array_equal(found, right, equal_nan=True) for right in expected[name]):
                    wrong.append(name)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for k in range(150):
            model.fit(fits[k % 2])
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert wrong == []


@pytest.mark.filterwarnings("ignore::nearlin.exceptions.AccuracyWarning")
def test_tables_are_filled_by_one_fit():
    rng = np.random.default_rng(0)
    table = rng.standard_normal((60, 3)) @ rng.standard_normal((3, 8))
    table[rng.random(table.shape) < 0.2] = np.nan
    fits = [table, table[:40] * 100.0 + 1000.0]
    model = LowRankImputer(2, reg=0.3, random_state=0, max_iter=3)
    expected = [model.fit(fit).transform(table) for fit in fits]
    wrong, done = [], threading.Event()

    def read():
        while not done.is_set():
            found = model.transform(table)
            if not any(np.array_equal(found, right) for right in expected):
                wrong.append(found)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for k in range(60):
            model.fit(fits[k % 2])
    finally:
        done.set()
        reader.join()
    assert not wrong
