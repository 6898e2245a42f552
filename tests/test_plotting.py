"""The displays: what they draw is what was asked for, and what they say when they cannot."""

from itertools import combinations

import numpy as np
import pytest
from conftest import run_python

pyplot = pytest.importorskip("matplotlib.pyplot")

from fastmlp import MLPClassifier, MLPRegressor, Network  # noqa: E402
from fastmlp.activations import ACTIVATIONS  # noqa: E402
from fastmlp.plotting import ActivationDisplay, DecisionBoundary, LossCurveDisplay, NetworkDisplay  # noqa: E402

XOR_X, XOR_Y = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), [0, 1, 1, 0]
EXCLUSIVE_OR = Network.from_weights(
    [[[1, 1], [1, 1]], [[1], [-1]]], [[-0.5, -1.5], [-0.5]], activation="step", output_activation="step"
)


@pytest.fixture(autouse=True)
def close_figures():
    pyplot.close("all")  # what another file has left open
    yield
    pyplot.close("all")


def corners(text):
    """The corners of a text, a tenth of its size within its box on each side."""
    angle = text.get_rotation()
    text.set_rotation(0)
    box = text.get_window_extent()
    text.set_rotation(angle)
    anchor = text.get_transform().transform(text.get_position())
    inner = box.expanded(0.8, 0.8).corners()[[0, 1, 3, 2]]
    turn = np.array([[np.cos(np.radians(angle)), np.sin(np.radians(angle))]])
    turn = np.vstack([turn, [-turn[0, 1], turn[0, 0]]])
    return (inner - anchor) @ turn + anchor


def overlap(a, b):
    """Whether two rectangles do: no side of either has all of the other beyond it."""
    for corners in (a, b):
        for side in corners[1:3] - corners[:2]:
            across = np.array([-side[1], side[0]])
            if (a @ across).max() <= (b @ across).min() or (b @ across).max() <= (a @ across).min():
                return False
    return True


def texts(display):
    return [text.get_text() for text in display.ax_.texts]


@pytest.mark.parametrize(
    "draw",
    [
        lambda ax: NetworkDisplay.from_network(EXCLUSIVE_OR, ax=ax),
        lambda ax: Network([2, 1], random_state=0).trace([1, 2], 3).plot(ax),
        lambda ax: LossCurveDisplay.from_losses([3, 2, 1], ax=ax),
        lambda ax: DecisionBoundary.from_network(EXCLUSIVE_OR, XOR_X, ax=ax),
        lambda ax: ActivationDisplay.from_activation("tanh", ax=ax),
    ],
)
def test_the_convention(draw):
    _, ax = pyplot.subplots()
    display = draw(ax)
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert display.plot() is display
    assert display.ax_ is not ax
    assert display.figure_ is display.ax_.figure
    assert draw(None).ax_ is not ax
    display.figure_.canvas.draw()


@pytest.mark.parametrize(
    ("draw", "error", "message"),
    [
        (lambda: NetworkDisplay.from_network(EXCLUSIVE_OR, max_units=3.5), TypeError, "max_units must be an integer"),
        (lambda: NetworkDisplay.from_network(EXCLUSIVE_OR, precision=0), ValueError, "precision must be at least 1"),
        (lambda: NetworkDisplay.from_network(EXCLUSIVE_OR, numbers="no"), TypeError, "numbers must be True or False"),
        (lambda: LossCurveDisplay.from_losses([[1, 2], [3, 4]]), ValueError, "losses must be a sequence of numbers"),
        (lambda: boundary(threshold="a"), TypeError, 'threshold must be a number, "auto" or None'),
        (lambda: boundary(threshold="0.5"), TypeError, "threshold must be a number"),
        (
            lambda: DecisionBoundary.from_network(Network([2, 3]), XOR_X, threshold=0.3),
            ValueError,
            "threshold is of a single output, got 0.3 and 3 outputs",
        ),
        (lambda: boundary(X=[[-1e308, 0], [1e308, 0]]), ValueError, "within eps of X must be finite, got infinity"),
        (lambda: boundary(eps=1e308), ValueError, "within eps of X must be finite"),
        (lambda: boundary(eps=np.nan), ValueError, "within eps of X must be finite, got NaN"),
        (lambda: boundary(X=np.empty((0, 2))), ValueError, "n at least 1"),
        (lambda: boundary(X=[[np.nan, 1]]), ValueError, "X must be finite"),
        (lambda: boundary(response_method="predict"), TypeError, "response_method is no option"),
        (lambda: boundary(class_of_interest=1), TypeError, "class_of_interest is no option"),
        (lambda: boundary(X=[[1, 2], [3]]), ValueError, "X must be an array of numbers with rows of one length"),
        (lambda: boundary(grid_resolution="a"), TypeError, "grid_resolution must be an integer"),
        (lambda: boundary(eps="a"), TypeError, "eps must be a number"),
        (lambda: DecisionBoundary.from_network(MLPClassifier(), XOR_X), TypeError, "net must be .*got MLPClassifier"),
        (lambda: DecisionBoundary.from_estimator(EXCLUSIVE_OR, XOR_X), TypeError, "there is from_network"),
        (lambda: NetworkDisplay.from_network(MLPRegressor()), TypeError, "net must be .*got MLPRegressor"),
        (lambda: NetworkDisplay.from_estimator(EXCLUSIVE_OR), TypeError, "there is from_network"),
        (lambda: NetworkDisplay.from_trace(EXCLUSIVE_OR), TypeError, "trace must be .*got Network"),
        (lambda: LossCurveDisplay.from_estimator(EXCLUSIVE_OR), TypeError, "there is from_losses"),
        (lambda: LossCurveDisplay.from_losses(["a", "b"]), TypeError, "losses must hold real numbers"),
        (lambda: LossCurveDisplay.from_losses([1, None]), TypeError, "losses must hold real numbers"),
        (lambda: LossCurveDisplay(losses=[2, 1], validation_scores=[1]).plot(), ValueError, "one for each of 2 losses"),
        (lambda: ActivationDisplay.from_activation("tanh", z=[None, 1]), TypeError, "z must hold real numbers"),
        (lambda: ActivationDisplay.from_activation("tanh", z=[[1], [1, 2]]), ValueError, "z must be an array"),
    ],
)
def test_bad_options_are_told_before_anything_is_drawn(draw, error, message):
    with pytest.raises(error, match=message):
        draw()
    assert pyplot.get_fignums() == []


def boundary(X=None, **options):
    return DecisionBoundary.from_network(EXCLUSIVE_OR, XOR_X if X is None else X, **options)


def test_columns_of_a_frame_name_the_axes():
    pandas = pytest.importorskip("pandas")
    display = boundary(X=pandas.DataFrame(XOR_X, columns=["one", "other"]))
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("one", "other")
    np.testing.assert_array_equal(display.response, boundary().response)


def test_short_names_of_line_options():
    display = ActivationDisplay.from_activation("tanh", c="r", lw=3)
    assert {(line.get_color(), line.get_linewidth()) for line in display.lines_} == {("r", 3)}


class TestNetworkDisplay:
    def test_units_and_lines(self):
        net = Network([3, 4, 2], random_state=0)
        display = NetworkDisplay.from_network(net)
        assert set(display.units_) == {(0, i) for i in (1, 2, 3)} | {(1, i) for i in (1, 2, 3, 4)} | {(2, 1), (2, 2)}
        assert len(display.lines_) == 3 * 4 + 4 * 2
        thickest = max(display.lines_, key=lambda key: display.lines_[key].get_linewidth() * (key[0] == 1))
        assert abs(net.W(1)[thickest[1] - 1, thickest[2] - 1]) == np.abs(net.W(1)).max()
        signs = {net.W(layer)[i - 1, j - 1] > 0: line.get_color() for (layer, i, j), line in display.lines_.items()}
        for (layer, i, j), line in display.lines_.items():
            assert line.get_color() == signs[net.W(layer)[i - 1, j - 1] > 0]
        assert len(set(signs.values())) == 2

    def test_numbers_of_the_weights(self):
        shown = texts(NetworkDisplay.from_network(EXCLUSIVE_OR))
        assert shown.count("1") == 5
        assert shown.count("-1") == 1
        assert {"b -0.5", "b -1.5", "layer 0\ninput", "layer 1\nstep"} <= set(shown)

    def test_numbers_of_a_trace(self):
        net = Network.from_weights(
            [np.transpose([[0.15, 0.20], [0.25, 0.30]]), np.transpose([[0.40, 0.45], [0.50, 0.55]])],
            [[0.35, 0.35], [0.60, 0.60]],
            activation="logistic",
            output_activation="logistic",
        )
        shown = texts(net.trace([0.05, 0.1], [0.01, 0.99]).plot(precision=4))
        for number in (
            "0.05",
            "z 0.3775",
            "0.5933",
            "0.7514",
            r"$\delta$ 0.1385",
            "0.45",
            "0.08217",
            "b 0.35",
            "y 0.99",
        ):
            assert number in shown
        assert any("0.2984" in text for text in shown)

    def test_what_is_written_where_no_numbers_fit_the_lines(self):
        trace = Network([8, 3, 8], random_state=0).trace(np.eye(8)[0], np.eye(8)[0])
        shown = texts(trace.plot())
        assert (
            sum(text.startswith("z ") for text in shown) == sum(text.startswith(r"$\delta$ ") for text in shown) == 11
        )
        assert sum(text.startswith("y ") for text in shown) == 8
        assert not any(text.startswith("b ") for text in shown)
        assert sum(text.startswith("b ") for text in texts(trace.plot(numbers=True))) == 11

    @pytest.mark.parametrize("units", [[1, 1], [2, 4, 1], [30, 12, 5, 3], [3] * 6])
    def test_a_size_for_a_page(self, units):
        bare = NetworkDisplay.from_network(Network(units, random_state=0), numbers=False)
        assert bare.figure_.get_size_inches()[1] <= 7.5 + 1e-9
        traced = Network(units, random_state=0).trace(np.ones(units[0]), np.ones(units[-1])).plot()
        assert traced.figure_.get_size_inches()[1] <= 12

    @pytest.mark.parametrize("units", [[2, 2, 2], [3, 3, 3], [3, 4, 3, 1], [4, 4], [2, 4, 4, 2]])
    def test_no_number_covers_another(self, units):
        display = Network(units, random_state=0).trace(np.ones(units[0]), np.ones(units[-1])).plot()
        display.figure_.canvas.draw()
        boxes = [corners(text) for text in display.ax_.texts]
        assert not any(overlap(a, b) for a, b in combinations(boxes, 2))

    def test_wide_layers_leave_out_the_middle(self):
        display = NetworkDisplay.from_network(Network([50, 3, 20, 1], random_state=0), max_units=6)
        assert [i for layer, i in display.units_ if layer == 0] == [1, 2, 3, 4, 50]
        assert [i for layer, i in display.units_ if layer == 2] == [1, 2, 3, 4, 20]
        assert texts(display).count(r"$\vdots$") == 2
        assert any("50 units" in text for text in texts(display))
        assert not any(text.startswith("b ") for text in texts(display))
        with pytest.raises(ValueError, match="at least 3, got 2"):
            display.plot(max_units=2)

    @pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
    @pytest.mark.parametrize(
        "options", [{"activation": "tanh"}, {"activation": ACTIVATIONS["elu"]}, {"hidden_layer_sizes": ()}]
    )
    def test_estimators(self, options):
        from sklearn.exceptions import NotFittedError

        clf = MLPClassifier(**{"hidden_layer_sizes": (3,), **options}, max_iter=2)
        with pytest.raises(NotFittedError):
            NetworkDisplay.from_estimator(clf)
        display = NetworkDisplay.from_estimator(clf.fit(XOR_X, XOR_Y))
        assert len(display.lines_) == sum(W.size for W in clf.coefs_)
        assert f"layer {clf.n_layers_ - 1}\nlogistic" in texts(display)
        hidden = getattr(clf.activation, "name", clf.activation)
        assert (f"layer 1\n{hidden}" in texts(display)) == (clf.n_layers_ > 2)

    @pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
    def test_a_drawn_estimator_keeps_its_weights(self):
        clf = MLPClassifier(hidden_layer_sizes=(3,), max_iter=2, warm_start=True).fit(XOR_X, XOR_Y)
        display = NetworkDisplay.from_estimator(clf)
        before = [W.copy() for W in clf.coefs_]
        clf.coefs_[0][:] = 7.0
        np.testing.assert_equal(display.coefs, before)
        clf.coefs_ = [W.tolist() for W in before]
        np.testing.assert_equal(NetworkDisplay.from_estimator(clf).coefs, before)

    def test_no_network_in_it(self):
        from sklearn.linear_model import LinearRegression
        from sklearn.pipeline import make_pipeline

        for estimator in (LinearRegression(), make_pipeline(MLPRegressor(solver="lbfgs"))):
            with pytest.raises(TypeError, match=r"MLPClassifier or MLPRegressor, got (LinearRegression|Pipeline)"):
                NetworkDisplay.from_estimator(estimator.fit(XOR_X, XOR_Y))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
class TestLossCurveDisplay:
    def test_estimators(self):
        reg = MLPRegressor(hidden_layer_sizes=(3,), max_iter=7).fit(XOR_X, XOR_Y)
        display = LossCurveDisplay.from_estimator(reg)
        assert display.line_.get_ydata().tolist() == reg.loss_curve_
        assert display.line_.get_xdata().tolist() == list(range(1, 8))
        assert display.score_ax_ is None
        assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["MLPRegressor"]

    def test_validation_scores(self):
        X = np.random.default_rng(0).normal(size=(40, 2))
        clf = MLPClassifier(early_stopping=True, max_iter=5).fit(X, X[:, 0] > 0)
        display = LossCurveDisplay.from_estimator(clf)
        assert display.score_ax_.lines[0].get_ydata().tolist() == clf.validation_scores_

    def test_what_has_no_curve(self):
        clf = MLPClassifier(solver="lbfgs", max_iter=2).fit(XOR_X, XOR_Y)
        with pytest.raises(ValueError, match=r"loss_curve_.*lbfgs"):
            LossCurveDisplay.from_estimator(clf)

    def test_several_on_one_axes(self):
        first = LossCurveDisplay.from_losses([2, 1])
        second = LossCurveDisplay.from_losses([3, 2], ax=first.ax_, name="b", color="black")
        assert second.line_.get_color() == "black"
        assert len(first.ax_.lines) == 2


class TestDecisionBoundary:
    def test_one_output(self):
        display = DecisionBoundary.from_network(EXCLUSIVE_OR, XOR_X, eps=0.0, grid_resolution=11)
        corners = display.response[[0, -1, 0, -1], [0, 0, -1, -1]]
        assert corners.tolist() == [0, 1, 1, 0]
        for again in (display, display.plot(), display.plot(plot_method="pcolormesh")):
            (line,) = again.line_.get_paths()
            assert again.line_.axes is again.ax_
            # Between the corners that are 0 and those that are 1.
            assert np.ptp(line.vertices, axis=0) == pytest.approx([1, 1], abs=0.11)
        for threshold in (None, 2.0):
            assert DecisionBoundary.from_network(EXCLUSIVE_OR, XOR_X, threshold=threshold).line_ is None
        single = Network.from_weights([[[2.0], [0.0]]], [[0.0]], dtype="float32")
        assert DecisionBoundary.from_network(single, XOR_X, threshold=1).line_.levels == [1]
        with pytest.raises(ValueError, match="within eps of X must be finite"):
            DecisionBoundary.from_network(single, XOR_X, eps=1e39)

    def test_options_go_to_scikit_learn(self):
        display = DecisionBoundary.from_network(EXCLUSIVE_OR, XOR_X, plot_method="pcolormesh", cmap="gray", xlabel="p")
        assert display.surface_.get_cmap().name == "gray"
        assert display.ax_.get_xlabel() == "p"

    def test_several_outputs(self):
        net = Network([2, 5, 3], output_activation="softmax", loss="log_loss", random_state=0)
        display = DecisionBoundary.from_network(net, XOR_X, eps=5.0)
        grid = np.column_stack([display.xx0.ravel(), display.xx1.ravel()])
        np.testing.assert_array_equal(display.response.ravel(), net.forward(grid).argmax(axis=1))
        assert display.line_ is None

    def test_no_classes_between_neighbours(self):
        # Of the first coordinate's sign: class 0 or class 3, never 1 or 2.
        net = Network.from_weights([[[-1.0, 0, 0, 1], [0.0, 0, 0, 0]]], [[0.0, -9, -9, 0]])
        display = DecisionBoundary.from_network(net, [[-1, -1], [1, 1]])
        for again in (display, display.plot()):
            assert sorted(set(np.asarray(again.surface_.get_array()).ravel().tolist())) == [0, 3]
        contours = DecisionBoundary.from_network(net, [[-1, -1], [1, 1]], levels=[0, 1, 2, 3])
        assert contours.surface_.levels.tolist() == [0, 1, 2, 3]

    @pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
    def test_estimators(self):
        clf = MLPClassifier(hidden_layer_sizes=(3,), max_iter=2, random_state=0).fit(XOR_X, XOR_Y)
        display = DecisionBoundary.from_estimator(clf, XOR_X, response_method="predict_proba")
        assert isinstance(display, DecisionBoundary)
        grid = np.column_stack([display.xx0.ravel(), display.xx1.ravel()])
        np.testing.assert_allclose(display.response.ravel(), clf.predict_proba(grid)[:, 1])

    @pytest.mark.parametrize(("net", "X"), [(Network([3, 1]), np.ones((4, 2))), (EXCLUSIVE_OR, np.ones((4, 3)))])
    def test_two_inputs_only(self, net, X):
        with pytest.raises(ValueError, match="2 inputs"):
            DecisionBoundary.from_network(net, X)


class TestActivationDisplay:
    def test_every_activation(self, activation, unusual):
        if ACTIVATIONS[activation].jacobian_product is not None:
            with pytest.raises(ValueError, match="function of one number"):
                ActivationDisplay.from_activation(activation)
            return
        z = np.linspace(-2, 3, 1000)
        assert activation in ActivationDisplay.from_activation(activation).ax_.get_title()
        display = ActivationDisplay.from_activation(unusual(activation), z=z)
        entry, row = ACTIVATIONS[activation], z[np.newaxis]
        parameters = entry.resolve(unusual(activation)[1])
        np.testing.assert_array_equal(display.value, entry.value(row, *entry.arguments(row, parameters))[0])
        assert all(f"{key} = " in display.ax_.get_title() for key in ACTIVATIONS[activation].parameters)
        if ACTIVATIONS[activation].needs is None:
            assert display.derivative is None
            assert len(display.lines_) == 1
        else:
            smooth = np.abs(z) > 0.01
            smooth[[0, -1]] = False
            np.testing.assert_allclose(
                display.derivative[smooth], np.gradient(display.value, z)[smooth], rtol=1e-3, atol=1e-4
            )
            assert len(display.lines_) == 2


def test_without_matplotlib():
    code = """
import sys
sys.modules["matplotlib"] = None
import fastmlp
for draw in (
    lambda: fastmlp.Network([2, 1]).trace([1, 2], 3).plot(),
    lambda: fastmlp.plotting.DecisionBoundary.from_network(fastmlp.Network([2, 1]), [[0, 0]]),
    lambda: fastmlp.plotting.LossCurveDisplay.from_losses([1, 2]),
):
    try:
        draw()
    except ImportError as error:
        print(error)
"""
    done = run_python(code)
    assert done.stdout.splitlines() == ['fastmlp.plotting needs matplotlib: pip install "fastmlp[plot]"'] * 3
