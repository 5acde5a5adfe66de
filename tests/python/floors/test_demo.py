"""`python -m nearlin`: runs, reads well, and measures what it says."""

import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from reference import regression as reference
from scipy.optimize import linprog

from nearlin._demo import BLOCKS
from nearlin._demo.backward_error import judge, measure
from nearlin._demo.completion import COMPLETION, HIDDEN, error, picture
from nearlin._demo.photographs import colours, patches
from nearlin._demo.process import Failure, run
from nearlin._demo.quantiles import LEVEL, QUANTILES, loss, multipliers_exist
from nearlin._demo.recommendation import BEST, FILES, RECOMMENDATION, missed, ranked
from nearlin._demo.regression import build
from nearlin._demo.sketch_and_solve import largest_error, unit
from nearlin._demo.truncated_svd import FOLLOW, RANK, beyond_best, moments, timed
from nearlin._demo.truncated_svd import judge as judge_triplets
from nearlin._demo.words import IDENTIFIER, count_words, growth

RNG = np.random.default_rng(0)
SOURCE = {"china": RNG.integers(0, 256, (60, 70, 3)), "flower": RNG.integers(0, 256, (50, 40, 3)), "step": 1}


def command(*arguments, code=None):
    call = [sys.executable, "-c", code] if code else [sys.executable, "-m", "nearlin", *arguments]
    return subprocess.run(call, capture_output=True, text=True, timeout=110, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("columns", [[], ["truncated_svd"], ["streaming_pca"], ["quantiles"], ["completion"]])
def test_the_picture_is_drawn(tmp_path, columns):
    pytest.importorskip("matplotlib")
    done = command(*columns, "--quick", "--plot", str(tmp_path / "error.png"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "error.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_quick_demonstration_reads_well():
    done = command("--quick")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    rows = [next(line for line in lines if line.startswith(method + " ")) for method in BLOCKS[0].methods]
    for row in rows:
        numbers = row[26:].split()
        assert float(numbers[0]) > 0
        assert numbers[2] == "MB"
        assert float(numbers[3]) < 1e-15
        assert row.endswith("none") or numbers[4] == "<="

    for size in ("1,000", "4,000"):
        row = next(line for line in lines if line.startswith(f"sketch_and_solve {size}")).split()
        assert 0 < float(row[5]) <= 2 * float(row[7])

    excess = {
        method: float(next(line for line in lines if line.startswith(method + "  "))[26:].split()[3])
        for method in ("nearlin, all rows", "Lewis weights", "statsmodels")
    }
    assert excess["nearlin, all rows"] < 1e-12
    assert 1e-4 < excess["Lewis weights"] < 0.05
    assert excess["statsmodels"] < 1e-3

    errors = {}
    for method in FOLLOW:
        row = next(line for line in lines if line.startswith(method + "  "))
        errors[method] = float(row[26:].split()[3])
    assert errors.pop("SciPy svds, anew") < 1e-12
    assert 0 < min(errors.values()) <= max(errors.values()) < 0.05


def test_the_unit_of_the_theorem():
    A, b = build(SOURCE)
    judged = judge(A, b[:, :1])
    x = reference.minimum_norm(A, b[:, :1])
    residual, pseudoinverse = np.linalg.norm(b[:, 0] - A @ x[:, 0]), np.linalg.norm(np.linalg.pinv(A), 2)
    np.testing.assert_allclose(unit(judged), residual * pseudoinverse / np.sqrt(A.shape[1]), rtol=1e-8)
    shifted = x[:, 0] - 3.0 * unit(judged) * (np.arange(A.shape[1]) == 7)
    np.testing.assert_allclose(largest_error(judged, shifted), 3.0, rtol=1e-6)


def test_without_pillow_one_line_says_how_to_get_it():
    code = "import sys; sys.modules['PIL'] = None; from nearlin.__main__ import main; sys.exit(main([]))"
    done = command(code=code)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "The photographs of this demonstration need pillow: pip install 'nearlin[demo]'"
    ]


def test_an_unknown_column_is_refused_with_the_list_of_them():
    done = command("weather")
    assert done.returncode == 2
    assert "no column 'weather'; there are: regression, sketch_and_solve, truncated_svd" in done.stderr


def test_patches_are_cut_from_the_photographs():
    rows = np.vstack(list(patches(SOURCE)))
    assert rows.shape == (53 * 63 + 43 * 33, 192)
    np.testing.assert_array_equal(rows[63 + 2], SOURCE["china"][1:9, 2:10].ravel() / 255)
    np.testing.assert_array_equal(rows[-1], SOURCE["flower"][42:50, 32:40].ravel() / 255)
    assert len(np.vstack(list(patches({**SOURCE, "step": 3})))) == 18 * 21 + 15 * 11
    A, b = build(SOURCE)
    np.testing.assert_array_equal(b[0], SOURCE["china"][4, 4] / 255)
    np.testing.assert_array_equal(np.insert(A[:, :-1], [108], b, axis=1), rows)
    np.testing.assert_array_equal(A[:, -1], 1.0)


def test_the_error_in_the_table_is_the_backward_error():
    A, b = build(SOURCE)
    judged = judge(A, b)
    oracle = reference.BackwardError(A)
    best = reference.minimum_norm(A, b)
    for disturbance in (0.0, 1e-16, 1e-14, 1e-6):
        x = best + disturbance * RNG.standard_normal(best.shape)
        np.testing.assert_allclose(measure(judged, x), oracle.of(b, x), rtol=0.02)


@pytest.mark.parametrize("kappa", [1e2, 1e10])
@pytest.mark.parametrize("residual", [0.0, 1e-3, 1.0])
def test_the_error_for_a_known_factor_is_the_backward_error(kappa, residual):
    A, left = reference.graded(3000, 20, kappa)
    b = reference.right_hand_side(A, left, residual)
    answers = np.column_stack([reference.minimum_norm(A, b), reference.householder(A, b)])
    sides = np.column_stack([b, b])
    errors = measure(judge(A, sides, left.T @ A, answers), answers)
    np.testing.assert_allclose(errors, reference.backward_error(A, sides, answers), rtol=0.02)


def written(folder, texts):
    files = [folder / f"{i}.py" for i in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    return files


def test_words_are_counted_as_they_appear(tmp_path):
    counted = count_words(written(tmp_path, ["import numpy as np", "", "Numpy.import_numpy(array_1)"]))
    np.testing.assert_array_equal(counted["widths"], [2, 2, 3])
    data = growth(counted)
    two = 1 + np.log(2)
    first = np.array([1.0, 1.0, 0.0]) / np.sqrt(2)
    third = np.array([1.0, two, 1.0]) / np.sqrt(2 + two**2)
    np.testing.assert_allclose(data.matrix.toarray(), [first, np.zeros(3), third], rtol=1e-15)
    np.testing.assert_array_equal(data.so_far(2).toarray(), data.matrix.toarray()[:2, :2])
    np.testing.assert_array_equal(data.batch(1, 3).toarray(), data.matrix.toarray()[1:])


def test_the_error_of_a_followed_matrix_is_that_of_the_dense_model(tmp_path):
    letters = "abcdefghijklmnopqrstuvwxyz"
    texts = [
        " ".join(letters[i] + letters[j] + "x" for i, j in RNG.integers(26, size=(30, 2))) for _ in range(130)
    ]
    data = growth(count_words(written(tmp_path, texts)))
    assert moments(data) == [40, 80, 120, 130]
    A = data.matrix.toarray()
    s = np.linalg.svd(A, compute_uv=False)
    judged = judge_triplets(data)
    for prepare in FOLLOW.values():
        *_, (_, model) = timed(prepare(), data)
        wanted = np.linalg.norm(A - model.scores() @ model.components) / np.linalg.norm(s[RANK:]) - 1
        np.testing.assert_allclose(
            beyond_best(judged, model.scores(), model.components), wanted, rtol=1e-6, atol=1e-12
        )
        if model.certificate != "none":
            bound = float(model.certificate.split()[1])
            assert abs(bound - (1 + wanted) * np.linalg.norm(s[RANK:]) / np.linalg.norm(s)) < 1e-4


def test_the_least_loss_of_a_quantile_is_proven():
    A, b = data = QUANTILES.build(SOURCE)
    rows = np.vstack(list(patches(SOURCE)))
    np.testing.assert_array_equal(A[:, :3], rows[:, 81:84])
    np.testing.assert_array_equal(b, rows[:, 109])
    np.testing.assert_array_equal(colours(SOURCE, 5, 3), rows[:, 129:132])
    judged = QUANTILES.judge(data)
    d = A.shape[1]
    cost = np.r_[np.zeros(d), np.full(len(A), LEVEL), np.full(len(A), 1.0 - LEVEL)]
    equations = sp.hstack([sp.csr_array(A), sp.eye_array(len(A)), -sp.eye_array(len(A))])
    bounds = [(None, None)] * d + [(0.0, None)] * (2 * len(A))
    found = linprog(cost, A_eq=equations, b_eq=b, bounds=bounds)
    assert judged["least"] == pytest.approx(found.fun, rel=1e-8)
    assert QUANTILES.measure(judged, {"x": found.x[:d]}) < 1e-8
    for off in (1e-3, 1e-6):
        x = found.x[:d] + off
        assert QUANTILES.measure(judged, {"x": x}) == pytest.approx(loss(data, x) / found.fun - 1.0, rel=1e-2)
    # A line through one point that is not between the others has no multipliers.
    assert multipliers_exist(np.ones((10, 1)), np.zeros(1))
    assert not multipliers_exist(np.ones((1, 1)), np.ones(1))


def test_the_error_of_a_photograph_is_that_of_hidden_pixels_alone():
    data = COMPLETION.build(SOURCE)
    np.testing.assert_array_equal(picture(data.truth), SOURCE["china"] / 255)
    assert data.hidden.shape == (60, 70)
    assert abs(data.hidden.mean() - HIDDEN) < 0.03
    assert np.array_equal(np.isnan(data.seen), np.broadcast_to(data.hidden, (3, 60, 70)))
    judged = COMPLETION.judge(data)
    assert error(judged, {"found": data.truth}) == 0.0
    off = data.truth + np.where(data.hidden, 0.0, 1.0)
    off[1] = np.where(data.hidden, 7.0, off[1])  # which is cut to one
    expected = np.sqrt(np.mean((1.0 - data.truth[1][data.hidden]) ** 2) / 3.0)
    assert error(judged, {"found": off}) == pytest.approx(expected)
    found, certificate = COMPLETION.methods["nearlin, rank 2"]()(data)
    # Noise cannot be told.
    spread = data.truth[:, data.hidden].std()
    assert spread < error(judged, found) < 1.3 * spread
    assert float(certificate.split()[1]) > 0.9 * spread


def test_what_is_missed_is_what_is_not_recommended(tmp_path):
    letters = "abcdefghijklmnop"
    texts = [
        " ".join(f"{letters[i % 4 * 4 + k]}_{j}x" for k in range(4) for j in RNG.integers(0, 30, 12))
        for i in range(120)
    ]
    data = RECOMMENDATION.build(count_words(written(tmp_path, texts), IDENTIFIER))
    assert data.known.shape[0] == 120
    in_files = np.bincount(data.known.indices) + np.bincount(data.cols, minlength=data.known.shape[1])
    assert in_files.min() >= FILES
    judged = RECOMMENDATION.judge(data)
    perfect = np.full((120, BEST), -1)
    for row in range(120):
        wanted = data.cols[data.rows == row][:BEST]
        perfect[row, : len(wanted)] = wanted
    assert missed(judged, {"best": perfect}) == 0.0
    assert missed(judged, {"best": np.full((120, BEST), -1)}) == 1.0
    scores = RNG.random(data.known.shape)
    by_chance = missed(judged, {"best": ranked(scores, data.known)})
    ours = missed(judged, RECOMMENDATION.methods["nearlin, ials"]()(data)[0])
    assert ours < 0.8 * by_chance < 0.9
    best = RECOMMENDATION.methods["most popular"]()(data)[0]["best"]
    known = data.known.toarray() > 0
    assert not any(known[row, best[row]].any() for row in range(120))


def test_a_method_that_fails_is_reported_not_raised():
    with pytest.raises(Failure, match="failed: StopIteration"):
        run("no such column", "", {})
