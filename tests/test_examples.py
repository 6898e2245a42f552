"""Every example of the gallery runs without a display, draws a picture, and shows what it says it shows."""

import runpy
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from fastmlp import Network
from fastmlp.activations import ACTIVATIONS

pyplot = pytest.importorskip("matplotlib.pyplot")

# Without the C kernels some of them take minutes.
pytestmark = pytest.mark.c

FOLDER = Path(__file__).resolve().parent.parent / "examples"


@pytest.fixture
def run(monkeypatch):
    """Return a function that runs an example and returns its names."""
    monkeypatch.delenv("FASTMLP_DATA", raising=False)
    pyplot.close("all")

    def run_example(name):
        names = runpy.run_path(str(FOLDER / f"plot_{name}.py"))
        figures = [pyplot.figure(number) for number in pyplot.get_fignums()]
        assert figures
        for figure in figures:
            figure.canvas.draw()
            pixels = np.asarray(figure.canvas.buffer_rgba())
            assert len(np.unique(pixels.reshape(-1, 4), axis=0)) > 10
        return names

    yield run_example
    pyplot.close("all")


def test_every_example_has_a_test():
    tested = {name.removeprefix("test_example_") for name in globals() if name.startswith("test_example_")}
    assert tested == {path.stem.removeprefix("plot_") for path in FOLDER.glob("*.py")}


def test_example_neurons_gates(run):
    names = run("neurons_gates")
    truth = {name: values.tolist() for name, values in names["truth"].items()}
    assert truth == {"AND": [0, 0, 0, 1], "OR": [0, 1, 1, 1], "NOT": [1, 0]}
    distance = names["distance"]
    assert distance[1] > distance[4] > distance[16]
    assert distance[16] < 1e-3


def test_example_neurons_perceptron_rule(run):
    learned = run("neurons_perceptron_rule")["learned"]
    X = [[0, 0], [0, 1], [1, 0], [1, 1]]
    for gate, y in {"AND": [0, 0, 0, 1], "OR": [0, 1, 1, 1]}.items():
        net, mistakes, cycle = learned[gate]
        assert net.forward(X)[:, 0].tolist() == y
        assert mistakes[-1] == 0
        assert cycle is None
    _, mistakes, (first, second) = learned["XOR"]
    assert first < second
    assert min(mistakes) > 0


def test_example_neurons_xor(run):
    names = run("neurons_xor")
    assert names["by_hand"].forward(names["X"])[:, 0].tolist() == [0, 1, 1, 0]
    assert names["learned"].forward(names["X"])[:, 0].round().tolist() == [0, 1, 1, 0]
    assert 0 < len(names["good"]) < 20


def test_example_neurons_linear_layers(run):
    names = run("neurons_linear_layers")
    assert names["difference"] < 1e-14
    np.testing.assert_allclose(names["outputs"]["identity"], 0.5, atol=1e-2)
    np.testing.assert_allclose(names["outputs"]["tanh"], [0, 1, 1, 0], atol=1e-2)


def test_example_forward_4_3_1(run):
    names = run("forward_4_3_1")
    assert names["shapes"] == {1: ((4, 3), (4,)), 2: ((3, 4), (3,)), 3: ((1, 3), (1,))}
    assert names["net"].n_parameters == 16 + 15 + 4
    np.testing.assert_allclose(names["one_by_one"], names["at_once"], rtol=1e-13, atol=1e-14)


def test_example_forward_bumps(run):
    names = run("forward_bumps")
    by_hand = list(names["by_hand"].values())
    assert all(after < 0.7 * before for before, after in pairwise(by_hand))
    learned = list(names["learned"].values())
    # How far it falls with each step depends on the rounding: L-BFGS is chaotic.
    assert all(after < before for before, after in pairwise(learned))
    assert learned[-1] < 0.03 * learned[0]
    x = names["x"][:, 0]
    bump = names["one"][1000.0]
    assert bump[(x > 0.41) & (x < 0.59)].min() > 0.99
    assert np.abs(bump[(x < 0.39) | (x > 0.61)]).max() < 0.01


def test_example_forward_depth(run):
    names = run("forward_depth")
    for k in (1, 2, 3, 4, 5):
        assert names["teeth"](names["folds"](k).forward(names["x"])[:, 0]) == 2 ** (k - 1)
    sizes = [Network(units).n_parameters for units in names["shapes"].values()]
    assert max(sizes) < 1.15 * min(sizes)
    median = {key: np.median(found) for key, found in names["errors"].items()}
    assert median["tanh", 1] > 2 * median["tanh", 2] > 2 * median["tanh", 3]
    assert median["relu", 1] < 0.5 * min(median["relu", 2], median["relu", 3])


def test_example_activations_all(run):
    names = run("activations_all")
    assert list(names["displays"]) == [name for name, entry in ACTIVATIONS.items() if not entry.outputs_only]
    assert names["greatest"]["logistic"] == 0.25
    assert names["greatest"]["tanh"] == 1
    assert names["identity_error"] < 1e-15


def test_example_activations_zero_centred(run):
    names = run("activations_zero_centred")
    assert names["shares"]["logistic"] == 1
    assert names["shares"]["tanh"] < 0.2
    positive, centred = "inputs in (0, 2)", "inputs of mean 0"
    inputs, data = names["inputs"], names["data"]
    assert inputs.min() > 0
    assert abs(data.mean()) < 0.1
    assert np.square(data).mean() == pytest.approx(np.square(inputs).mean(), rel=0.15)
    steps, lengths = names["steps"], names["lengths"]
    for rate in (0.05, 0.1, 0.2):
        assert lengths[positive, rate] > 1.7 * lengths[centred, rate]
        assert steps[positive, rate] > 3 * steps[centred, rate]
        np.testing.assert_allclose(names["paths"][positive, rate][-1], [1, -1], atol=0.01)


def test_example_activations_dead_units(run):
    names = run("activations_dead_units")
    dead, dead_after = names["dead"], names["dead_after"]
    assert dead.sum() >= 10
    assert not (names["moved"] & dead).any()
    assert (dead_after >= dead).all()
    trained, same_weights, trained_on = names["counts"].values()
    assert trained == (dead_after.sum(), dead_after.sum())
    assert same_weights == (0, trained[1])
    assert trained_on[0] == 0
    assert trained_on[1] < 0.5 * trained[1]
    slopes = list(names["slopes"].values())
    assert all(after < before for before, after in pairwise(slopes))
    assert slopes[-1] < 0.05 * slopes[0]
    assert names["gradients"][30] < names["gradients"][1]


def test_example_learning_surface(run):
    names = run("learning_surface")
    assert abs(names["steepest"] - names["of_gradient"]) < np.radians(0.2)
    losses = {rate: np.array(losses) for rate, (_, losses) in names["runs"].items()}
    assert (np.diff(losses[0.1]) < 0).all()
    assert (np.diff(losses[1.0]) < 0).all()
    assert (np.diff(losses[8.0]) > 0).any()
    assert losses[1.0][-1] < losses[0.1][-1]


def test_example_learning_worked_example(run):
    names = run("learning_worked_example")
    assert [round(factor.value, 4) for factor in names["output_weight"].paths[0].factors] == [0.7414, 0.1868, 0.5933]
    assert len(names["first_weight"].paths) == 2
    dW, _ = names["net"].gradients([names["x"]], [names["y"]])
    for layer in (1, 2):
        np.testing.assert_allclose(names["trace"].dW[layer], dW[layer - 1].T, rtol=1e-12)
    assert names["fixed_losses"][1] == pytest.approx(0.291027774, abs=5e-10)
    assert names["fixed_losses"][-1] == pytest.approx(3.51018778e-5, rel=1e-6)
    assert names["free"].loss([names["x"]], [names["y"]]) == pytest.approx(2.4475622e-6, rel=1e-6)


def test_example_learning_backpropagation(run):
    names = run("learning_backpropagation")
    # Through 4 units and 2 outputs, and softmax leads from either output to either pre-activation.
    assert len(names["explanation"].paths) == 4 * 2 * 2
    assert names["paths_error"] < 1e-14
    np.testing.assert_allclose(names["by_paths"][1], names["dW"][0].T, rtol=1e-10, atol=1e-14)
    assert min(names["errors"]) < 1e-9
    assert 1e-7 < names["best"] < 1e-4


def test_example_learning_8_3_8(run):
    names = run("learning_8_3_8")
    assert len(names["good"]) >= 15
    net, X = names["net"], np.eye(8)
    np.testing.assert_array_equal(net.forward(X) > 0.5, X == 1)
    assert names["n_codes"] == 8
    assert len(names["losses"]) == 5000


def test_example_data_digits(run):
    accuracy = run("data_digits")["accuracy"]
    assert len(accuracy) == 30
    assert accuracy[-1] > 0.95


def test_example_activations_own(run):
    pytest.importorskip("numba")
    names = run("activations_own")
    np.testing.assert_allclose(names["one_unit"].forward(names["X"])[:, 0], names["y"], atol=0.05)
    assert "wrong at z = " in names["refusal"]
    assert names["largest"] < 1e-6
    assert names["accuracy"] > 0.9
    slopes = names["slopes"]
    assert abs(slopes["pseudo_huber"] - 2) < 0.3 * abs(slopes["squared_error"] - 2)
