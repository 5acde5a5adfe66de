"""What displays draw, by the attributes of their artists."""

import sys
import warnings
from itertools import pairwise

import numpy as np
import pandas
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

import nearlin
from nearlin import plot
from nearlin.data import blocks
from nearlin.exceptions import InvalidInputError, ShapeError

pyplot = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def _figures():
    """Every picture is drawn to the end, and none is left open."""
    import matplotlib as mpl

    mpl.use("agg")
    yield
    for number in pyplot.get_fignums():
        figure = pyplot.figure(number)
        figure.set_dpi(30)
        figure.canvas.draw()
        pyplot.close(number)


def regression(n=80, seed=0):
    rng = np.random.default_rng(seed)
    X = pandas.DataFrame(rng.standard_normal((n, 4)), columns=list("abcd"))
    return X, X.to_numpy() @ [1.0, -0.3, 0.2, 0.0] + 2.0 + rng.standard_normal(n)


def ends(container):
    """The ends of the bars of an errorbar, (points, 2), NaN where there is no bar."""
    (bars,) = container.lines[2]
    axis = 0 if container.has_xerr else 1
    return np.array([segment[:, axis] if len(segment) else [np.nan] * 2 for segment in bars.get_segments()])


def label_texts(ax):
    legend = ax.get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


def test_without_matplotlib_displays_are_made_and_plots_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    display = plot.CoefficientDisplay(names=["a"], coef=[1.0])
    with pytest.raises(ImportError, match=r"pip install 'nearlin\[plot\]'"):
        display.plot()


def test_axes_that_are_given_are_drawn_in_and_words_for_lines_go_on():
    _, ax = pyplot.subplots()
    display = plot.RidgePathDisplay(alphas=[1.0, 2.0], error=[3.0, 4.0])
    assert display.plot(ax, c="red", linewidth=3.0) is display
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert display.lines_[0].get_color() == "red"
    assert display.lines_[0].get_linewidth() == 3.0


@pytest.mark.parametrize("given", [{"linestyle": "-"}, {"ls": "-"}, {"markersize": 2.0}, {"ms": 2.0}])
def test_words_for_lines_go_by_both_of_their_names(given):
    plot.CoefficientDisplay(names=["a"], coef=[1.0]).plot(**given)
    (line,) = plot.RidgePathDisplay(alphas=[1.0, 2.0], error=[3.0, 4.0]).plot(**given).lines_
    size = given.get("markersize", given.get("ms", 3.5))
    assert (line.get_linestyle(), line.get_markersize()) == ("-", size)


class TestCoefficients:
    def test_a_stream_has_the_intervals_of_its_table(self):
        X, y = regression()
        stream = nearlin.StreamingLeastSquares(fit_intercept=True).partial_fit(X, y)
        (drawn,) = plot.CoefficientDisplay.from_estimator(stream, level=0.9).bars_
        assert_array_equal(ends(drawn), stream.summary(level=0.9).interval[1:])

    def test_points_and_bars_are_those_of_the_table(self):
        X, y = regression()
        table = nearlin.LinearRegression().fit(X, y).summary(level=0.9)
        display = plot.CoefficientDisplay.from_summary(table)
        (bars,) = display.bars_
        assert_allclose(bars.lines[0].get_xdata(), table.coef[1:])
        assert_allclose(ends(bars), table.interval[1:])
        assert [text.get_text() for text in display.ax_.get_yticklabels()] == list("abcd")
        assert display.ax_.get_ylim()[0] > display.ax_.get_ylim()[1]
        assert display.ax_.get_xlabel() == "coefficient, 90 % interval"
        whole = plot.CoefficientDisplay.from_estimator(nearlin.LinearRegression().fit(X, y), intercept=True)
        assert whole.names == ["intercept", *"abcd"]

    def test_a_feature_called_intercept_is_no_intercept(self):
        X, y = regression()
        X = X.rename(columns={"a": "intercept"})
        model = nearlin.LinearRegression(fit_intercept=False).fit(X, y)
        assert plot.CoefficientDisplay.from_estimator(model).names == ["intercept", "b", "c", "d"]

    def test_robust_intervals_want_the_data(self):
        X, y = regression()
        model = nearlin.LinearRegression().fit(X, y)
        display = plot.CoefficientDisplay.from_estimator(model, X, y, kind="HC3")
        assert_allclose(ends(display.bars_[0]), model.summary("HC3", X, y).interval[1:])
        with pytest.raises(InvalidInputError, match="pass X, y"):
            plot.CoefficientDisplay.from_estimator(model, kind="HC3")

    def test_what_is_not_identified_is_hollow_and_has_no_bar(self):
        X, y = regression()
        X["twice"] = 2.0 * X.a
        display = plot.CoefficientDisplay.from_estimator(nearlin.LinearRegression().fit(X, y))
        assert_array_equal(np.isnan(ends(display.bars_[0])).all(axis=1), [True, False, False, False, True])
        (hollow,) = display.unidentified_
        assert_array_equal(hollow.get_ydata(), [0, 4])
        assert hollow.get_markerfacecolor() == "white"
        assert label_texts(display.ax_) == ["not identified by the data"]

    def test_models_stand_side_by_side(self):
        X, y = regression()
        models = {
            "ols": nearlin.LinearRegression().fit(X, y),
            "ridge": nearlin.Ridge(5.0).fit(X, y),
            "cv": nearlin.RidgeCV().fit(X, y),
        }
        display = plot.CoefficientDisplay.from_estimators(models)
        assert label_texts(display.ax_) == ["ols", "ridge", "cv, no interval"]
        places = [bars.lines[0].get_ydata() for bars in display.bars_]
        assert (places[0] < places[1]).all()
        assert not display.unidentified_
        assert_allclose(display.bars_[2].lines[0].get_xdata(), models["cv"].coef_)
        others = nearlin.LinearRegression().fit(X[["a", "b"]], y)
        with pytest.raises(InvalidInputError, match="'few' with other features"):
            plot.CoefficientDisplay.from_estimators({**models, "few": others})
        with pytest.raises(InvalidInputError, match="expected at least one model"):
            plot.CoefficientDisplay.from_estimators({})

    def test_targets_stand_side_by_side(self):
        X, y = regression()
        model = nearlin.LinearRegression().fit(X, np.column_stack([y, -y]))
        display = plot.CoefficientDisplay.from_estimator(model)
        assert label_texts(display.ax_) == ["target 0", "target 1"]
        assert_allclose(display.bars_[1].lines[0].get_xdata(), model.coef_[1])

    @pytest.mark.parametrize("simultaneous", [False, True])
    def test_answers_from_sketches_have_their_intervals(self, simultaneous):
        rng = np.random.default_rng(0)
        A, B = rng.standard_normal((5000, 3)), rng.standard_normal((5000, 2))
        for b in (B, B[:, 0]):
            result = nearlin.sketch_and_solve(A, b, sketch_size=300, rng=0)
            display = plot.CoefficientDisplay.from_result(result, simultaneous=simultaneous)
            low, high = (np.atleast_2d(end.T) for end in result.interval(simultaneous=simultaneous))
            assert_allclose(np.concatenate([ends(bars) for bars in display.bars_])[:, 0], low.ravel())
            assert_allclose(np.concatenate([ends(bars) for bars in display.bars_])[:, 1], high.ravel())
            assert "of all rows" in display.ax_.get_xlabel()

    def test_many_names_leave_room_for_each_other(self):
        p = 900
        display = plot.CoefficientDisplay(names=[f"x{j}" for j in range(p)], coef=np.arange(p)).plot()
        display.figure_.canvas.draw()
        boxes = [label.get_window_extent() for label in display.ax_.get_yticklabels()]
        assert 50 < len(boxes) < p
        assert all(lower.y1 <= upper.y0 + 1.0 for upper, lower in pairwise(boxes))


class TestRidgePath:
    def test_the_path_is_that_of_the_model(self):
        X, y = regression()
        model = nearlin.RidgeCV([10.0, 0.1, 1.0], store_cv_results=True).fit(X, y)
        display = plot.RidgePathDisplay.from_estimator(model)
        (line,) = display.lines_
        assert_array_equal(line.get_xdata(), [0.1, 1.0, 10.0])
        assert_allclose(line.get_ydata(), model.loo_error_[[1, 2, 0]])
        assert display.chosen_[0].get_xdata()[0] == model.alpha_
        error = model.cv_results_.std(axis=0, ddof=1) / np.sqrt(len(y))
        band = display.bands_[0].get_paths()[0].vertices[:, 1]
        assert_allclose(band.max(), (model.loo_error_ + error).max())
        assert_allclose(band.min(), (model.loo_error_ - error).min())

    def test_targets_have_their_own_choices(self):
        X, y = regression()
        noise = np.random.default_rng(1).standard_normal(len(y))
        alphas = np.logspace(-2, 4, 9)
        model = nearlin.RidgeCV(alphas, alpha_per_target=True).fit(X, np.column_stack([y, noise]))
        display = plot.RidgePathDisplay.from_estimator(model)
        assert [line.get_xdata()[0] for line in display.chosen_] == model.alpha_.tolist()
        assert [line.get_color() for line in display.chosen_] == [line.get_color() for line in display.lines_]
        assert display.bands_ == []

    def test_scores_of_folds_are_no_leave_one_out_errors(self):
        X, y = regression()
        with pytest.raises(InvalidInputError, match="expected a fitted RidgeCV with cv=None"):
            plot.RidgePathDisplay.from_estimator(nearlin.RidgeCV(cv=3).fit(X, y))

    def test_predictions_that_are_kept_for_a_scorer_are_no_errors(self):
        X, y = regression()
        model = nearlin.RidgeCV(store_cv_results=True, scoring="neg_mean_absolute_error").fit(X, y)
        assert plot.RidgePathDisplay.from_estimator(model).bands_ == []


class TestLeverage:
    def test_rows_are_where_they_belong_and_the_worst_is_named(self):
        X, y = regression()
        X.iloc[17], y[17] = 6.0, -20.0
        X.index = [f"row {number}" for number in range(len(X))]
        model = nearlin.LinearRegression().fit(X, y)
        display = plot.LeverageDisplay.from_estimator(model, X, y, top=2)
        found = model.influence(X, y)
        assert_allclose(display.rows_.get_xdata(), found.leverage)
        assert_allclose(display.rows_.get_ydata(), found.standardized)
        worst = np.argsort(-found.cooks_distance)[:2]
        assert [name.get_text() for name in display.names_] == [f"row {row}" for row in worst]
        for line in display.contours_:
            h, r = line.get_data()
            distance = r**2 * h / (1.0 - h) / 5
            assert_allclose(distance, distance[0])
            assert round(float(distance[0]), 12) in (0.5, 1.0)
        assert len(display.contours_) == 4

    def test_contours_make_no_room_for_themselves(self):
        X, y = regression(2000)
        display = plot.LeverageDisplay.from_estimator(nearlin.LinearRegression().fit(X, y), X, y)
        assert display.contours_ == []
        assert display.ax_.get_ylim()[1] < 5.0

    def test_many_rows_are_counted(self):
        X, y = regression(12_000)
        model = nearlin.LinearRegression().fit(X, np.column_stack([y, -2.0 * y]))
        display = plot.LeverageDisplay.from_estimator(model, X, np.column_stack([y, -2.0 * y]), target=1)
        assert display.rows_.get_array().sum() == 12_000

    def test_rows_of_which_nothing_is_known_are_left_out(self):
        display = plot.LeverageDisplay(
            leverage=[0.1, np.nan, 0.3, 1.0], residual=[1.0, 1.0, -2.0, np.nan], n_parameters=2, top=9
        ).plot()
        assert_array_equal(display.rows_.get_xdata(), [0.1, 0.3])
        assert [name.get_text() for name in display.names_] == ["2", "0"]
        assert display.ax_.get_xlabel() == "leverage (1 for 1 more, which the fit passes through)"

    def test_names_are_no_formulas(self):
        row = {"leverage": [0.5], "residual": [1.0], "n_parameters": 1}
        plot.LeverageDisplay(**row, labels=["x$^$"]).plot()
        plot.CoefficientDisplay(names=["x$^$"], coef=[1.0]).plot()  # drawn at the end of the test
        assert not plot.LeverageDisplay(**row, top=-1).plot().names_


class TestCertificates:
    def test_estimate_bound_target_and_truth_are_drawn(self):
        rng = np.random.default_rng(0)
        A, b = rng.standard_normal((5000, 4)), rng.standard_normal(5000)
        sizes = [200, 400]
        answers = [nearlin.sketch_and_solve(A, b, sketch_size=m, rng=0) for m in sizes]
        certificates = [answer.certificate for answer in answers]
        display = plot.CertificateDisplay.from_certificates(certificates, sizes, error=[0.1, 0.2])
        assert_allclose(display.bound_.get_ydata(), [c.bound for c in certificates])
        assert_allclose(display.estimate_.get_ydata(), [c.estimate for c in certificates])
        assert_allclose(display.target_.get_ydata(), [c.target for c in certificates])
        assert_allclose(display.error_.get_ydata(), [0.1, 0.2])
        assert display.ax_.get_ylabel() == certificates[0].quantity
        assert display.zeros_ is None
        assert display.uncertified_ is None

    def test_what_has_no_place_is_marked_on_the_edges(self):
        nan = np.nan
        display = plot.CertificateDisplay(
            size=[1, 10, 100], estimate=[0.0, nan, 1e-3], bound=[1e-2, nan, 1e-2], error=[1e-3, 0.0, nan]
        ).plot()
        assert_array_equal(display.uncertified_.get_offsets()[:, 0], [10])
        assert_array_equal(display.zeros_.get_offsets()[:, 0], [1, 10])
        assert_array_equal(display.estimate_.get_ydata(), [nan, nan, 1e-3])
        assert label_texts(display.ax_)[-2:] == ["zero", "not certified"]
        assert display.target_ is None

    def test_all_may_be_unknown(self):
        display = plot.CertificateDisplay(size=[10, 1000], estimate=[np.nan] * 2, bound=[np.nan] * 2).plot()
        low, high = display.ax_.get_xlim()
        assert low <= 10
        assert high >= 1000
        assert len(display.ax_.get_yticks()) == 0

    def test_lengths_agree(self):
        with pytest.raises(ShapeError, match="`size` has shape"):
            plot.CertificateDisplay(size=[1], estimate=[1.0, 2.0], bound=[1.0, 2.0]).plot()

    def test_axes_with_no_two_powers_of_ten_have_plain_numbers(self):
        display = plot.CertificateDisplay(size=[3, 7], estimate=[0.2, 0.3], bound=[0.4, 0.5]).plot()
        display.figure_.canvas.draw()
        ticks = display.ax_.get_yticklabels(which="both")
        texts = [text.get_text() for text in ticks if text.get_text()]
        assert len(texts) > 1
        assert len(set(texts)) == len(texts)
        assert all(0.01 <= float(text) <= 10.0 for text in texts)

    def test_long_numbers_below_a_narrow_axis_do_not_touch(self):
        _, ax = pyplot.subplots(figsize=(4.0, 3.8))
        plot.CertificateDisplay(size=[3_300, 66_000], estimate=[0.2, 0.3], bound=[0.4, 0.5]).plot(ax)
        ax.figure.canvas.draw()
        labels = [label for label in ax.get_xticklabels(which="both") if label.get_text()]
        boxes = sorted(label.get_window_extent().extents[::2].tolist() for label in labels)
        assert len(boxes) > 1
        assert all(left[1] < right[0] for left, right in pairwise(boxes))


class TestStream:
    def test_blocks_are_followed_and_merges_marked(self):
        rows = np.random.default_rng(0).standard_normal((4000, 6)) * np.r_[3.0, np.ones(5)]
        elsewhere = nearlin.StreamingPCA(random_state=0).fit(rows[2000:3000])
        pca = nearlin.StreamingPCA(random_state=0)
        display = plot.StreamDisplay.from_blocks(pca, [rows[:2000], elsewhere, rows[3000:]])
        assert pca.n_samples_seen_ == 4000
        assert_array_equal(display.bound_.get_xdata(), [2000, 3000, 4000])
        assert [line.get_xdata()[0] for line in display.merges_] == [3000]
        assert display.bound_.get_ydata()[-1] == pca.certificate_.bound
        assert "merge" in label_texts(display.ax_)
        assert display.ax_.get_xlabel() == "rows seen"

    def test_streams_of_all_kinds_take_what_blocks_have(self):
        rng = np.random.default_rng(0)
        X, y = rng.standard_normal((3000, 4)), rng.standard_normal(3000)
        given = blocks(X, target=y, sample_weight=np.ones(3000), block_bytes=32_000)
        for stream in (
            nearlin.StreamingLeastSquares(sketch_size=100, rng=0),
            nearlin.StreamingCoreset(60, rng=0),
        ):
            display = plot.StreamDisplay.from_blocks(stream, given)
            assert_array_equal(display.rows, [1000, 2000, 3000])
            assert stream.n_rows_seen == 3000
        svd = nearlin.TruncatedSVD(2, random_state=0)
        display = plot.StreamDisplay.from_blocks(svd, [(X[:1000],), X[1000:]])
        assert_array_equal(display.rows, [1000, 3000])
        assert_allclose(display.bound_.get_ydata()[-1], svd.certificate_.bound)


class TestSpectrum:
    def test_values_intervals_and_shares(self):
        X = np.random.default_rng(0).standard_normal((200, 12)) * 0.7 ** np.arange(12)
        svd = nearlin.TruncatedSVD(4, random_state=0).fit(X[:150])
        svd.partial_fit(X[150:])
        display = plot.SpectrumDisplay.from_estimator(svd)
        assert pyplot.gca() is display.ax_
        assert_allclose(display.values_.lines[0].get_ydata(), svd.singular_values_)
        assert_allclose(ends(display.values_), svd.certificate_.details["singular_value_bounds"])
        share = np.cumsum(svd.singular_values_**2) / np.sum(X**2)
        assert_allclose(display.cumulated_.get_ydata(), share)
        truth = np.linalg.svd(X, compute_uv=False)[:4]
        low, high = ends(display.values_).T
        assert (low <= truth * (1 + 1e-12)).all()
        assert (truth <= high * (1 + 1e-12)).all()

    def test_of_an_unknown_energy_there_are_no_shares(self):
        X = np.random.default_rng(0).standard_normal((50, 8))
        svd = nearlin.TruncatedSVD(3, random_state=0).fit(X).add_entries([0], [0], [1.0])
        display = plot.SpectrumDisplay.from_estimator(svd)
        assert display.cumulated_ is None
        assert display.share_ax_ is None

    @pytest.mark.parametrize(
        "make",
        [
            lambda: nearlin.TruncatedSVD(3, center=True, random_state=0),
            lambda: nearlin.StreamingPCA(3, center=True, random_state=0),
            lambda: nearlin.StreamingPCA(3, random_state=0),
        ],
    )
    def test_components_have_their_shares_and_no_intervals(self, make):
        X = np.random.default_rng(0).standard_normal((300, 8)) + 1.0
        model = make().fit(X)
        display = plot.SpectrumDisplay.from_estimator(model)
        assert_allclose(display.cumulated_.get_ydata(), np.cumsum(model.explained_variance_ratio_))
        assert not display.values_.has_yerr
        assert ("variance" in display.share_ax_.get_ylabel()) == model.center

    def test_triplets_of_svds(self):
        X = np.random.default_rng(0).standard_normal((300, 80))
        result = nearlin.svds(X, 5, rng=0)
        display = plot.SpectrumDisplay.from_result(result)
        assert_allclose(display.cumulated_.get_ydata()[-1], np.sum(result.s**2) / np.sum(X**2))
        low, high = ends(display.values_).T
        truth = np.linalg.svd(X, compute_uv=False)[:5]
        assert (low <= truth + 1e-12).all()
        assert (truth <= high + 1e-12).all()

    def test_zero_has_no_place(self):
        display = plot.SpectrumDisplay(singular_values=[1.0, 0.0], interval=[[0.0, 2.0], [0.0, 0.5]]).plot()
        assert_array_equal(display.values_.lines[0].get_ydata(), [1.0, np.nan])


class TestCoreset:
    def test_scores_fall_and_drawn_rows_lie_among_them(self):
        rng = np.random.default_rng(0)
        A = rng.standard_normal((3000, 4)) / rng.uniform(size=(3000, 1))
        A[:7] = 0.0
        sample = nearlin.sample_rows(A, size=200, rng=0)
        display = plot.CoresetDisplay.from_sample(sample)
        rank, score = display.drawn_.get_data()
        falling = np.sort(sample.scores)[::-1]
        assert_allclose(score, sample.scores[sample.indices])
        assert_allclose(falling[rank.astype(int) - 1], score)
        line = display.scores_.get_ydata()
        assert (np.diff(line[np.isfinite(line)]) <= 0.0).all()
        assert "7 more are zero" in display.scores_.get_label()
        assert_allclose(display.probability_.get_ydata(), 1.0 / sample.weights)
        assert f"at most {sample.certificate.bound:.2g}" in display.ax_.get_title()

    def test_what_nothing_bounds_is_said_so(self):
        A = np.random.default_rng(0).standard_normal((500, 3))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", nearlin.exceptions.GuaranteeWarning)
            found = nearlin.sample_rows(A, p=1.0, size=50, rng=0)
            nothing = nearlin.sample_rows(A, p=1.0, size=50, rng=0, certify=False)
        assert "found, not bounded" in plot.CoresetDisplay.from_sample(found).ax_.get_title()
        assert "not measured, not bounded" in plot.CoresetDisplay.from_sample(nothing).ax_.get_title()

    def test_a_stream_knows_scores_of_what_it_kept(self):
        A = np.random.default_rng(0).standard_normal((2000, 3))
        sample = nearlin.StreamingCoreset(100, rng=0).partial_fit(A).result()
        display = plot.CoresetDisplay.from_sample(sample)
        assert len(display.drawn_.get_xdata()) == len(sample) < 2000
        assert display.drawn_.get_xdata().max() == len(sample)


NOTHING = {
    "CoefficientDisplay": {"names": [], "coef": []},
    "LeverageDisplay": {"leverage": [], "residual": [], "n_parameters": 1},
    "CertificateDisplay": {"size": [], "estimate": [], "bound": []},
    "StreamDisplay": {"rows": [], "estimate": [], "bound": []},
    "SpectrumDisplay": {"singular_values": [], "share": []},
    "CoresetDisplay": {"scores": [], "indices": [], "weights": []},
    "CompletionPathDisplay": {"values": [], "rmse": []},
}
NO_FIGURE = {
    "CoefficientDisplay": {"names": ["a"], "coef": [np.inf], "interval": [[np.nan, np.inf]]},
    "LeverageDisplay": {"leverage": [0.0, 1.0], "residual": [0.0, np.nan], "n_parameters": 1},
    "CertificateDisplay": {"size": [0, 1], "estimate": [0.0, -1.0], "bound": [np.inf, np.nan]},
    "SpectrumDisplay": {
        "singular_values": [0.0, np.nan],
        "interval": [[0, np.inf]] * 2,
        "share": [0, np.nan],
    },
    "CoresetDisplay": {"scores": [0.0, 0.0], "indices": []},
    "CompletionPathDisplay": {"values": [1], "rmse": [np.nan], "chosen": 1, "estimate": np.nan},
}


@pytest.mark.parametrize("cases", [NOTHING, NO_FIGURE])
def test_where_there_is_nothing_to_draw_nothing_is_drawn(cases):
    for name, arrays in cases.items():
        display = getattr(plot, name)(**arrays).plot()
        assert display.figure_ is display.ax_.figure


class TestCompletion:
    def problem(self):
        rng = np.random.default_rng(0)
        truth = rng.standard_normal((60, 2)) @ rng.standard_normal((2, 40))
        return truth, np.where(rng.random(truth.shape) < 0.5, truth, np.nan)

    def test_gaps_are_filled_and_the_rest_is_left(self):
        truth, X = self.problem()
        model = nearlin.MatrixCompletion(2, reg=0.01, random_state=0).fit(X)
        display = plot.CompletionDisplay.from_estimator(model, X, truth=truth)
        seen, filled, true = (image.get_array() for image in display.images_)
        known = np.isfinite(X)
        assert_array_equal(np.ma.getdata(seen)[known], X[known])
        assert_array_equal(display.images_[0].get_alpha(), known)
        assert_array_equal(np.ma.getdata(filled)[known], X[known])
        assert_allclose(np.ma.getdata(filled)[~known], model.reconstruct()[~known])
        assert_array_equal(np.ma.getdata(true), truth)
        assert len({image.get_clim() for image in display.images_}) == 1
        assert display.axes_[0].get_title() == f"{100 * (1 - known.mean()):.3g} % missing"
        assert len(plot.CompletionDisplay.from_estimator(model, X).images_) == 2

    def test_what_is_not_stored_is_missing(self):
        X = sparse.random_array((30, 20), density=0.4, rng=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = nearlin.MatrixCompletion(1, reg=0.1, random_state=0).fit(X)
        display = plot.CompletionDisplay.from_estimator(model, X)
        assert_array_equal(display.images_[0].get_alpha() > 0.0, X.toarray() != 0.0)

    def test_an_imputer_fills_too(self):
        _, X = self.problem()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            imputer = nearlin.LowRankImputer(2, random_state=0).fit(X)
        display = plot.CompletionDisplay.from_estimator(imputer, X)
        assert np.isfinite(np.ma.getdata(display.images_[1].get_array())).all()

    def test_pictures_in_colours(self):
        picture = np.random.default_rng(0).random((20, 30, 3))
        holes = picture.copy()
        holes[3:6] = np.nan
        display = plot.CompletionDisplay.from_predictions(holes, 1.5 * picture, truth=picture)
        filled = display.images_[1].get_array()
        assert_allclose(filled[4], np.clip(1.5 * picture[4], 0.0, 1.0))
        assert_array_equal(display.images_[0].get_alpha()[:, 0] == 0.0, np.isnan(holes[:, 0, 0]))

    def test_shapes_agree(self):
        truth, X = self.problem()
        with pytest.raises(ShapeError, match="`observed` has shape"):
            plot.CompletionDisplay(observed=X, filled=truth[:-1]).plot()
        with pytest.raises(ShapeError, match="`ax` has 2 axes, expected 3"):
            plot.CompletionDisplay(observed=X, filled=X, truth=truth).plot(pyplot.subplots(1, 2)[1])
        model = nearlin.MatrixCompletion(2, reg=0.01, random_state=0).fit(X)
        with pytest.raises(ShapeError, match="expected that of the fit"):
            plot.CompletionDisplay.from_estimator(model, X[:-1])


class TestCompletionPath:
    def noisy(self):
        rng = np.random.default_rng(0)
        X = rng.standard_normal((150, 2)) @ rng.standard_normal((2, 60)) + 0.3 * rng.standard_normal(
            (150, 60)
        )
        return np.where(rng.random(X.shape) < 0.5, X, np.nan)

    def test_ranks_and_penalties_that_were_tried(self):
        model = nearlin.MatrixCompletion("auto", random_state=0).fit(self.noisy())
        display = plot.CompletionPathDisplay.from_estimator(model)
        assert_allclose(display.line_.get_data(), np.transpose(sorted(model.rank_path_)))
        assert display.chosen_.get_xdata()[0] == model.U_.shape[1]
        assert_allclose(ends(display.interval_), [[model.certificate_.estimate, model.certificate_.bound]])
        display = plot.CompletionPathDisplay.from_estimator(model, name="reg")
        assert_allclose(display.line_.get_data(), np.transpose(sorted(model.reg_path_)))
        assert display.ax_.get_xscale() == "log"
        assert display.chosen_.get_xdata()[0] == model.reg_

    def test_where_nothing_was_tried_there_is_no_path(self):
        model = nearlin.MatrixCompletion(2, reg=0.1, random_state=0).fit(self.noisy())
        with pytest.raises(InvalidInputError, match="has tried no values of 'reg'"):
            plot.CompletionPathDisplay.from_estimator(model)

    def test_models_with_one_list_of_what_was_tried(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", nearlin.exceptions.AccuracyWarning)
            soft = nearlin.SoftImpute(5, random_state=0).fit(self.noisy())
            imputer = nearlin.LowRankImputer("auto", random_state=0).fit(self.noisy())
        display = plot.CompletionPathDisplay.from_estimator(soft)
        assert_allclose(display.line_.get_data(), np.transpose(sorted((e[0], e[-1]) for e in soft.path_)))
        assert display.chosen_.get_xdata()[0] == soft.reg_
        assert display.interval_ is None
        display = plot.CompletionPathDisplay.from_estimator(imputer)
        assert display.chosen_.get_xdata()[0] == imputer.rank_
        tried = sorted({entry[0] for entry in imputer.path_})
        assert_array_equal(display.line_.get_xdata(), tried)
        least = [min(e[-1] for e in imputer.path_ if e[0] == rank) for rank in tried]
        assert_allclose(display.line_.get_ydata(), least)

    def test_fits_that_diverged_and_bounds_that_are_not_there(self):
        display = plot.CompletionPathDisplay(
            values=[1, 2, 3], rmse=[1.0, np.inf, 2.0], chosen=1, estimate=1.0, bound=np.nan
        ).plot()
        assert_array_equal(display.line_.get_ydata(), [1.0, np.nan, 2.0])
        assert "its error, not bounded" in label_texts(display.ax_)
