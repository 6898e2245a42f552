"""`Network`: the worked example and exclusive or through every backend, its methods, and what it refuses."""

import copy
import os
import pickle
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastmlp import Network
from fastmlp.activations import ACTIVATIONS
from fastmlp.backends import EpochLosses
from fastmlp.losses import LOSSES
from fastmlp.training import run_training

XOR_X = [[0, 0], [0, 1], [1, 0], [1, 1]]
XOR_Y = [0, 1, 1, 0]


def printed(text: str, dtype=np.float64):
    """Return what equals the numbers to their printed digits, or in single precision to 1e-5."""
    numbers = [float(word) for word in text.split()]
    if dtype == np.float32:
        return pytest.approx(numbers, rel=0, abs=1e-5)
    mantissa, _, exponent = text.split()[0].partition("e")
    digits = len(mantissa.partition(".")[2]) - int(exponent or 0)
    return pytest.approx(numbers, rel=0, abs=0.51 * 10.0**-digits)


class TestWorkedExample:
    x, y = [[0.05, 0.10]], [[0.01, 0.99]]

    @pytest.fixture
    def net(self, backend, dtype):
        """The 2-2-2 network of every lecture; its W1, W2 lead from the columns to the rows."""
        net = Network(
            [2, 2, 2],
            activation="logistic",
            output_activation="logistic",
            loss="squared_error",
            dtype=dtype,
            backend=backend.name,
        )
        net.W(1)[:] = [[0.15, 0.20], [0.25, 0.30]]
        net.W(2)[:] = [[0.40, 0.45], [0.50, 0.55]]
        net.b(1)[:] = 0.35
        net.b(2)[:] = 0.60
        return net

    def descend(self, net, n_steps, *, biases):
        for _ in range(n_steps):
            dW, db = net.gradients(self.x, self.y)
            for layer in range(2):
                net.coefs[layer][:] -= 0.5 * dW[layer]
                if biases:
                    net.intercepts[layer][:] -= 0.5 * db[layer]

    def test_forward_and_loss(self, net, dtype):
        hidden, outputs = net.activations(self.x)
        assert hidden.ravel() == printed("0.593269992 0.596884378", dtype)
        assert outputs.ravel() == printed("0.75136507 0.77292847", dtype)
        np.testing.assert_array_equal(net.forward(self.x), outputs)
        assert [net.loss(self.x, self.y)] == printed("0.298371109", dtype)

    def test_one_step_on_the_weights(self, net, dtype):
        self.descend(net, 1, biases=False)
        assert net.W(1).ravel() == printed("0.149780716 0.199561432 0.249751144 0.299502287", dtype)
        assert net.W(2).ravel() == printed("0.358916480 0.408666186 0.511301270 0.561370121", dtype)
        assert [net.loss(self.x, self.y)] == printed("0.291027774", dtype)

    def test_one_step_on_all(self, net, dtype):
        curve = self.fit(net, epochs=1)
        assert curve == printed("0.298371109", dtype)
        assert net.b(1) == printed("0.345614323 0.345022873", dtype)
        assert net.b(2) == printed("0.530750719 0.619049118", dtype)
        assert [net.loss(self.x, self.y)] == printed("0.280471447", dtype)

    def fit(self, net, epochs):
        return net.fit(
            self.x,
            self.y,
            solver="sgd",
            learning_rate=0.5,
            momentum=0.0,
            nesterov=False,
            epochs=epochs,
            shuffle=False,
        )

    def test_ten_thousand_steps_with_fixed_biases(self, net, dtype):
        self.descend(net, 10_000, biases=False)
        assert [net.loss(self.x, self.y)] == printed("3.51018778e-5", dtype)
        assert net.forward(self.x).ravel() == printed("0.015913620 0.984064274", dtype)

    def test_ten_thousand_steps(self, net, dtype):
        assert len(self.fit(net, epochs=10_000)) == 10_000
        assert [net.loss(self.x, self.y)] == printed("2.4475622e-6", dtype)


def test_perceptrons_compute_exclusive_or(backend, dtype):
    net = Network.from_weights(
        [[[1, 1], [1, 1]], [[1], [-1]]],  # or, and -> or but not and
        [[-0.5, -1.5], [-0.5]],
        activation="step",
        output_activation="step",
        dtype=dtype,
        backend=backend.name,
    )
    assert net.forward(XOR_X).ravel().tolist() == XOR_Y
    for refused in (lambda: net.gradients(XOR_X, XOR_Y), lambda: net.fit(XOR_X, XOR_Y)):
        with pytest.raises(ValueError, match="no gradient through the activation 'step'"):
            refused()


def test_two_hidden_units_learn_exclusive_or(backend, dtype):
    net = Network([2, 2, 1], activation="tanh", dtype=dtype, random_state=5, backend=backend.name)
    curve = net.fit(XOR_X, XOR_Y, solver="sgd", learning_rate=0.1, momentum=0.9, epochs=500)
    assert curve[-1] < 1e-6 < curve[0]
    np.testing.assert_allclose(net.forward(XOR_X).ravel(), XOR_Y, atol=1e-3)


def test_every_solver_learns_through_every_backend(backend, solver):
    net = Network([2, 8, 2], output_activation="softmax", loss="log_loss", random_state=1, backend=backend.name)
    net.fit(XOR_X, XOR_Y, solver=solver, learning_rate=0.05, epochs=600)
    np.testing.assert_array_equal(net.forward(XOR_X).argmax(axis=1), XOR_Y)


class TestParameters:
    @pytest.fixture
    def net(self):
        return Network([2, 3, 1], random_state=0)

    def test_views(self, net):
        assert [W.shape for W in net.coefs] == [(2, 3), (3, 1)]
        assert [b.shape for b in net.intercepts] == [(3,), (1,)]
        assert net.W(1).shape == (3, 2)
        net.coefs[0][1, 2] = 7
        net.b(1)[0] = 8
        assert net.W(1)[2, 1] == 7
        vector = net.get_parameters()
        assert net.n_parameters == len(vector) == 13
        assert (vector[5], vector[9]) == (7, 8)

    def test_an_edit_shows_in_the_outputs(self, net):
        before = net.forward([[1, 2]])
        net.coefs[1][:] *= 2
        net.intercepts[1][:] = 0
        assert net.forward([[1, 2]]) != before
        net.W(2)[:] = 0
        assert net.forward([[1, 2]]) == 0

    def test_get_and_set(self, net):
        vector = net.get_parameters()
        vector[:] = np.arange(13)
        assert not (net.get_parameters() == vector).any()
        coefs = net.coefs
        net.set_parameters(vector.tolist())
        np.testing.assert_array_equal(net.get_parameters(), vector)
        np.testing.assert_array_equal(coefs[0], [[0, 1, 2], [3, 4, 5]])

    def test_assigning_lists_copies(self, net):
        W = [np.ones((2, 3)), np.full((3, 1), 2.0)]
        views = net.coefs
        net.coefs = W
        net.intercepts = [[1, 2, 3], [4]]
        W[0][:] = 9
        np.testing.assert_array_equal(net.get_parameters(), [1] * 6 + [2] * 3 + [1, 2, 3, 4])
        assert views[0][0, 0] == 1
        with pytest.raises(TypeError):
            net.coefs[0] = W[0]

    def test_views_can_be_assigned_in_another_order(self):
        net = Network([2, 2, 2], random_state=0)
        first, second = (W.copy() for W in net.coefs)
        net.coefs = net.coefs[::-1]
        np.testing.assert_array_equal(net.coefs[0], second)
        np.testing.assert_array_equal(net.coefs[1], first)

    @pytest.mark.parametrize(
        ("bad", "error", "message"),
        [
            ([np.ones((2, 3))], ValueError, "2 arrays.*got 1"),
            ([np.ones((2, 3)), np.ones((1, 3))], ValueError, r"coefs\[1\].*\(3, 1\).*\(1, 3\)"),
            ([np.ones((2, 3)), [[1], [np.nan], [2]]], ValueError, r"coefs\[1\].*finite.*NaN"),
            ([np.ones((2, 3)), [["1"], ["2"], ["3"]]], TypeError, r"coefs\[1\].*real numbers"),
            (3, TypeError, "list of arrays"),
        ],
    )
    def test_bad_lists_change_nothing(self, net, bad, error, message):
        before = net.get_parameters()
        with pytest.raises(error, match=message):
            net.coefs = bad
        np.testing.assert_array_equal(net.get_parameters(), before)

    @pytest.mark.parametrize("bad", [np.ones(12), np.ones((13, 1)), [np.inf] * 13, [1j] * 13, "abc", None])
    def test_bad_vectors_change_nothing(self, net, bad):
        before = net.get_parameters()
        with pytest.raises((ValueError, TypeError), match="vector of parameters"):
            net.set_parameters(bad)
        np.testing.assert_array_equal(net.get_parameters(), before)

    @pytest.mark.parametrize(("layer", "error"), [(0, ValueError), (3, ValueError), (-1, ValueError), (1.0, TypeError)])
    def test_layers_count_from_one(self, net, layer, error):
        for method in (net.W, net.b):
            with pytest.raises(error, match="layer must be"):
                method(layer)

    def test_from_weights_copies_and_infers(self):
        W, b = [np.ones((4, 2), np.float32), np.ones((2, 1), np.float32)], [np.zeros(2, np.float32), [0.5]]
        net = Network.from_weights(W, b)
        assert (net.units, net.dtype) == ((4, 2, 1), np.float64)
        assert Network.from_weights(W, [b[0], np.float32([1])]).dtype == np.float32
        assert Network.from_weights(W, b, dtype="float32").dtype == np.float32
        W[0][:] = 5
        assert net.coefs[0][0, 0] == 1

    @pytest.mark.parametrize(
        ("coefs", "intercepts", "message"),
        [
            ([], [], "at least one layer"),
            ([np.ones(3)], [np.ones(3)], r"\(fan_in, fan_out\)"),
            ([np.ones((2, 3)), np.ones((2, 1))], [np.ones(3), np.ones(1)], r"coefs\[1\].*\(3, 1\).*\(2, 1\)"),
            ([np.ones((2, 3))], [np.ones(2)], r"intercepts\[0\].*\(3,\)"),
            ([np.ones((2, 3))], [], "1 arrays.*got 0"),
            ([np.ones((0, 3))], [np.ones(3)], "at least 1"),
        ],
    )
    def test_from_weights_refuses(self, coefs, intercepts, message):
        with pytest.raises(ValueError, match=message):
            Network.from_weights(coefs, intercepts)


class TestInitialWeights:
    @pytest.mark.parametrize("activation", ["logistic", "tanh"])
    @pytest.mark.parametrize("hidden", [(), (5,), (4, 3)])
    @pytest.mark.filterwarnings("ignore:.*Maximum iterations")
    def test_the_draws_of_scikit_learn(self, activation, hidden):
        neural_network = pytest.importorskip("sklearn.neural_network")
        X, y = np.zeros((2, 6)), np.zeros(2)
        theirs = neural_network.MLPRegressor(
            hidden_layer_sizes=hidden, activation=activation, random_state=5, max_iter=1
        )
        theirs.set_params(learning_rate_init=1e-300, solver="sgd").fit(X, y)
        ours = Network([6, *hidden, 1], activation=activation, random_state=5)
        for a, b in zip((*ours.coefs, *ours.intercepts), theirs.coefs_ + theirs.intercepts_, strict=True):
            np.testing.assert_array_equal(a, b)

    def test_every_layer_by_its_own_activation(self):
        net = Network([10, 40, 40, 40], activation=["logistic", "tanh"], random_state=0)
        for W, factor in zip(net.coefs, (2, 6, 6), strict=True):
            assert np.abs(W).max() == pytest.approx(np.sqrt(factor / sum(W.shape)), rel=0.02)

    def test_single_precision_rounds_the_same_draws(self):
        double, single = (Network([6, 5, 2], random_state=1, dtype=dtype) for dtype in ("float64", "float32"))
        np.testing.assert_array_equal(double.get_parameters().astype(np.float32), single.get_parameters())

    def test_seeds(self):
        a, b, c = (Network([3, 2], random_state=seed).get_parameters() for seed in (1, 1, 2))
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()
        assert (Network([3, 2]).get_parameters() != Network([3, 2]).get_parameters()).all()
        shared = np.random.RandomState(1)
        first, second = Network([3, 2], random_state=shared), Network([3, 2], random_state=shared)
        np.testing.assert_array_equal(first.get_parameters(), a)
        assert (second.get_parameters() != a).all()

    @pytest.mark.parametrize(
        ("bad", "error"),
        [
            (np.random.default_rng(0), TypeError),
            ("0", TypeError),
            (1.0, TypeError),
            (True, TypeError),
            (-1, ValueError),
        ],
    )
    def test_bad_random_states(self, bad, error):
        with pytest.raises(error, match=r"random_state must be"):
            Network([2, 1], random_state=bad)
        with pytest.raises(error, match=r"random_state must be"):
            Network([2, 1]).fit([[1, 2]], [1], random_state=bad)


def random_case(units=(4, 5, 3), n=20, dtype="float64", **options):
    rng = np.random.default_rng(0)
    options = {"random_state": 0, "alpha": 0.3, "dtype": dtype} | options
    return Network(units, **options), rng.normal(size=(n, units[0])), rng.normal(size=(n, units[-1]))


class TestLoss:
    def test_by_hand(self, backend):
        net, X, Y = random_case(backend=backend.name)
        squares = sum((W**2).sum() for W in net.coefs)
        weights = np.random.default_rng(1).uniform(0, 2, len(X))
        rows = ((net.forward(X) - Y) ** 2).sum(axis=1) / 2
        for w in (None, weights):
            s = np.ones(len(X)) if w is None else w
            total = s @ rows + 0.3 / 2 * squares
            assert net.loss(X, Y, w, reduction="sum") == pytest.approx(total, rel=1e-12)
            assert net.loss(X, Y, sample_weight=w) == pytest.approx(total / s.sum(), rel=1e-12)
        assert isinstance(net.loss(X, Y), float)

    def test_a_weight_is_a_number_of_copies(self, backend):
        net, X, Y = random_case(backend=backend.name)
        counts = np.random.default_rng(1).integers(0, 4, len(X))
        repeated = np.repeat(np.arange(len(X)), counts)
        assert net.loss(X, Y, counts) == pytest.approx(net.loss(X[repeated], Y[repeated]), rel=1e-12)
        for weighted, copied in zip(net.gradients(X, Y, counts), net.gradients(X[repeated], Y[repeated]), strict=True):
            for a, b in zip(weighted, copied, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-14)

    def test_gradients_are_those_of_the_mean_loss(self, backend):
        net, X, Y = random_case(backend=backend.name)
        weights = np.linspace(0.5, 2, len(X))
        dW, db = net.gradients(X, Y, weights)
        h = 1e-6
        for arrays, grads in ((net.coefs, dW), (net.intercepts, db)):
            for array, grad in zip(arrays, grads, strict=True):
                assert grad.shape == array.shape
                kept = array.flat[0]
                array.flat[0] = kept + h
                above = net.loss(X, Y, weights)
                array.flat[0] = kept - h
                below = net.loss(X, Y, weights)
                array.flat[0] = kept
                assert grad.flat[0] == pytest.approx((above - below) / (2 * h), rel=1e-7)

    @pytest.mark.parametrize("bad", ["max", None, 1])
    def test_bad_reduction(self, bad):
        net, X, Y = random_case()
        with pytest.raises(ValueError, match="'mean' or 'sum'"):
            net.loss(X, Y, reduction=bad)


class TestTargets:
    def test_one_output_may_be_flat(self):
        net, X, Y = random_case((4, 5, 1))
        assert net.loss(X, Y) == net.loss(X, Y[:, 0])

    def test_codes_are_one_hot_rows(self, backend):
        for loss, output in [("log_loss", "softmax"), ("squared_error", "softmax"), ("poisson", "softmax")]:
            net, X, _ = random_case(output_activation=output, loss=loss, backend=backend.name)
            codes = np.arange(len(X)) % 3
            for Y in (codes, codes.tolist(), codes.astype(np.uint8)):
                assert net.loss(X, Y) == pytest.approx(net.loss(X, np.eye(3)[codes]), rel=1e-14)

    def test_soft_rows(self, backend):
        net, X, _ = random_case(output_activation="softmax", loss="log_loss", alpha=0.0, backend=backend.name)
        Y = np.random.default_rng(0).dirichlet(np.ones(3), len(X))
        expected = -(Y * np.log(net.forward(X))).sum(axis=1).mean()
        assert net.loss(X, Y) == pytest.approx(expected, rel=1e-12)

    def test_hard_and_soft_targets_of_logistic_outputs(self, backend):
        net, X, _ = random_case(output_activation="logistic", loss="log_loss", alpha=0.0, backend=backend.name)
        p = net.forward(X)
        for Y in (np.random.default_rng(0).integers(0, 2, p.shape), np.random.default_rng(0).uniform(size=p.shape)):
            expected = -(Y * np.log(p) + (1 - Y) * np.log(1 - p)).sum(axis=1).mean()
            assert net.loss(X, Y) == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize(
        ("output", "loss", "Y", "message"),
        [
            ("softmax", "log_loss", [0, 1, 3, 0], r"from 0 to 2.*3"),
            ("softmax", "log_loss", [0, 1, -1, 0], r"from 0 to 2.*-1"),
            ("softmax", "log_loss", [0, 1, 2], "4 class codes.*3"),
            ("softmax", "log_loss", [0.0, 1.0, 2.0, 0.0], r"\(4, 3\) or 4 integer class codes.*\(4,\)"),
            ("softmax", "log_loss", np.full((4, 3), 0.5), "sum to 1.*1.5"),
            ("softmax", "log_loss", [[1.5, -0.5, 0]] * 4, r"\[0, 1\].*-0.5"),
            ("logistic", "log_loss", np.full((4, 3), 1.01), r"\[0, 1\].*1.01"),
            ("logistic", "log_loss", [0, 1, 1, 0], r"\(4, 3\).*\(4,\)"),
            ("exp", "poisson", np.full((4, 3), -1), r"\[0, inf\).*-1"),
            ("identity", "squared_error", np.ones((4, 2)), r"\(4, 3\).*\(4, 2\)"),
            ("identity", "squared_error", np.ones((5, 3)), r"\(4, 3\).*\(5, 3\)"),
            ("identity", "squared_error", np.ones((4, 3, 1)), r"\(4, 3\).*\(4, 3, 1\)"),
            ("identity", "squared_error", [[1, 2, np.nan]] * 4, "Y must be finite.*NaN"),
            ("identity", "squared_error", [[1, 2, 3], [1]], "rows of one length"),
        ],
    )
    def test_bad_targets(self, output, loss, Y, message):
        net = Network([2, 3], output_activation=output, loss=loss)
        X = np.ones((4, 2))
        before = net.get_parameters()
        for method in (net.loss, net.gradients, net.fit):
            with pytest.raises(ValueError, match=message):
                method(X, Y)
        np.testing.assert_array_equal(net.get_parameters(), before)


class TestInputs:
    def test_kinds_of_input(self, backend, dtype):
        net, X, _ = random_case(dtype=dtype, backend=backend.name)
        X = X.astype(dtype)
        expected = net.forward(X)
        assert expected.dtype == dtype
        with_gaps = np.zeros((len(X), 8), dtype)
        with_gaps[:, ::2] = X
        swapped = X.astype(X.dtype.newbyteorder())
        read_only = X.copy()
        read_only.flags.writeable = False
        bytes_ = np.zeros(X.nbytes + 1, np.uint8)
        unaligned = bytes_[1:].view(dtype).reshape(X.shape)
        unaligned[:] = X
        for same in (X.tolist(), np.asfortranarray(X), with_gaps[:, ::2], swapped, read_only, unaligned):
            np.testing.assert_array_equal(net.forward(same), expected)
        small = np.random.default_rng(0).integers(0, 2, (6, 4))
        expected = net.forward(small.astype(float))
        for kind in (bool, np.int8, np.uint64, np.float16, np.float32):
            np.testing.assert_array_equal(net.forward(small.astype(kind)), expected)

    @pytest.mark.parametrize("form", ["csr_matrix", "csr_array", "csc_matrix", "coo_array", "lil_matrix"])
    def test_sparse(self, backend, dtype, assert_agree, form):
        sparse = pytest.importorskip("scipy.sparse")
        net, X, Y = random_case(dtype=dtype, backend=backend.name)
        X[X < 0.3] = 0
        matrix = getattr(sparse, form)(X)
        assert_agree(net.forward(matrix), net.forward(X))
        assert net.loss(matrix, Y) == pytest.approx(net.loss(X, Y), rel=1e-6 if dtype == np.float32 else 1e-12)
        dense = copy.deepcopy(net)
        curves = [n.fit(data, Y, epochs=3, batch_size=7) for n, data in ((net, matrix), (dense, X))]
        np.testing.assert_allclose(*curves, rtol=1e-5)
        assert_agree(net.get_parameters(), dense.get_parameters())

    def test_sparse_with_duplicates_out_of_order(self, backend):
        sparse = pytest.importorskip("scipy.sparse")
        data, indices, indptr = np.array([1.0, 2.0, 3.0, 4.0]), np.array([2, 0, 2, 1]), np.array([0, 3, 3, 4])
        matrix = sparse.csr_matrix((data, indices, indptr), shape=(3, 4))
        net, _, _ = random_case(backend=backend.name)
        expected = net.forward([[2, 0, 4, 0], [0, 0, 0, 0], [0, 4, 0, 0]])
        np.testing.assert_allclose(net.forward(matrix), expected, rtol=1e-14)
        np.testing.assert_array_equal(matrix.indices, [2, 0, 2, 1])

    def test_broken_sparse_matrices(self, backend):
        sparse = pytest.importorskip("scipy.sparse")
        net, _, _ = random_case(backend=backend.name)
        for break_it in (
            lambda m: m.indices.__setitem__(0, 4),
            lambda m: m.indices.__setitem__(0, -1),
            lambda m: m.indptr.__setitem__(-1, 99),
            lambda m: m.indptr.__setitem__(1, 3),
            lambda m: m.indptr.__setitem__(0, 1),
            lambda m: m.indptr.__setitem__(slice(1, 4), [2**31 - 1, -(2**31), -1]),
            lambda m: setattr(m, "indptr", np.array([0, 2**40, 3, 7, 4], np.uint64)),
        ):
            matrix = sparse.csr_matrix(np.eye(4))
            break_it(matrix)
            with pytest.raises(ValueError, match="valid sparse matrix"):
                net.forward(matrix)

    # The second shape is many blocks of rows that are no whole vectors.
    @pytest.mark.parametrize("n_threads", [1, 3])
    @pytest.mark.parametrize("shape", [(1, 3), (3000, 17)])
    def test_one_number_among_many(self, backend, dtype, shape, n_threads):
        net = Network([shape[1], 40, 2], dtype=dtype, backend=backend.name, n_threads=n_threads, random_state=0)
        X = np.random.default_rng(0).normal(size=shape).astype(dtype)
        X[0] = np.finfo(dtype).max * np.resize([1, -1], shape[1])  # no infinity, whatever their sum is
        with np.errstate(all="ignore"):
            expected = net.forward(X)
        assert expected.shape == (len(X), 2)
        for number, name in ((np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")):
            for place in (0, X.size // 2, X.size - 1):
                bad = X.copy()
                bad.flat[place] = number
                with pytest.raises(ValueError, match=f"X must be finite, got {name}"):
                    net.forward(bad)

    @pytest.mark.parametrize(
        ("X", "error", "message"),
        [
            ([1, 2], ValueError, r"\(n, 2\).*\(2,\)"),
            ([[[1, 2]]], ValueError, r"\(n, 2\).*\(1, 1, 2\)"),
            (3.0, ValueError, r"\(n, 2\).*\(\)"),
            ([[1, 2, 3]], ValueError, r"\(n, 2\).*\(1, 3\)"),
            (np.ones((0, 2)), ValueError, r"at least one row.*\(0, 2\)"),
            ([], ValueError, r"\(n, 2\).*\(0,\)"),
            ([[1, np.nan]], ValueError, "X must be finite, got NaN"),
            ([[1, -np.inf]], ValueError, "X must be finite, got infinity"),
            ([[1, 2], [3]], ValueError, "rows of one length"),
            ([["a", "b"]], TypeError, "real numbers.*<U1"),
            ([["1", "2"]], TypeError, "real numbers.*<U1"),
            ([[b"1", b"2"]], TypeError, "real numbers"),
            ([[1j, 2]], TypeError, "real numbers.*complex"),
            ([[None, 2]], TypeError, "real numbers.*object"),
            (None, TypeError, "real numbers.*object"),
            ("ab", TypeError, "real numbers"),
            ({"a": 1}, TypeError, "real numbers.*object"),
            (np.zeros((1, 2), "datetime64[s]"), TypeError, "real numbers.*datetime"),
        ],
    )
    def test_bad_inputs(self, backend, X, error, message):
        net = Network([2, 3, 1], backend=backend.name)
        before = net.get_parameters()
        for method in (net.forward, net.activations, net.preactivations):
            with pytest.raises(error, match=message):
                method(X)
        for method in (net.loss, net.gradients, net.fit):
            with pytest.raises(error, match=message):
                method(X, [[1]])
        np.testing.assert_array_equal(net.get_parameters(), before)

    def test_what_overflows_single_precision(self):
        with pytest.raises(ValueError, match="too large for float32"):
            Network([1, 1], dtype="float32").forward([[1e300]])

    def test_bad_sparse_inputs(self):
        sparse = pytest.importorskip("scipy.sparse")
        net = Network([2, 1])
        for bad, error, message in [
            (sparse.csr_matrix(np.ones((1, 3))), ValueError, r"\(n, 2\).*\(1, 3\)"),
            (sparse.csr_matrix((0, 2)), ValueError, "at least one row"),
            (sparse.csr_matrix([[1, np.nan]]), ValueError, "finite"),
            (sparse.csr_matrix([[1, 1j]]), TypeError, "real numbers.*complex"),
        ]:
            with pytest.raises(error, match=message):
                net.forward(bad)
        with pytest.raises(TypeError, match="dense"):
            net.loss([[1, 2]], sparse.csr_matrix([[1]]))

    @pytest.mark.parametrize(
        ("weights", "error", "message"),
        [
            ([1, 2], ValueError, r"\(3,\).*\(2,\)"),
            ([[1], [2], [3]], ValueError, r"\(3,\).*\(3, 1\)"),
            ([1, 2, -1], ValueError, "negative.*-1"),
            ([1, 2, np.nan], ValueError, "finite.*NaN"),
            ([0, 0, 0], ValueError, "zero"),
            ([1e308, 1e308, 1], ValueError, "sum from .* for float64, got inf"),
            ([1e-310, 0, 1e-310], ValueError, r"sum from .* for float64, got 2e-310"),
            (["a", "b", "c"], TypeError, "real numbers"),
            (1.0, ValueError, r"\(3,\).*\(\)"),
        ],
    )
    def test_bad_weights(self, weights, error, message):
        net, X, Y = random_case(n=3)
        before = net.get_parameters()
        for method in (net.loss, net.gradients, net.fit):
            with pytest.raises(error, match=message):
                method(X, Y, sample_weight=weights)
        np.testing.assert_array_equal(net.get_parameters(), before)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"units": {3, 1}}, TypeError, "units must be a sequence"),
        ({"units": [3]}, ValueError, r"at least two widths.*\(3,\)"),
        ({"units": []}, ValueError, "at least two widths"),
        ({"units": [3, 0, 1]}, ValueError, r"at least 1.*\(3, 0, 1\)"),
        ({"units": [3, 2.0, 1]}, TypeError, "integers.*2.0"),
        ({"units": [3, True]}, TypeError, "integers.*True"),
        ({"units": [3, 10**30]}, ValueError, "at most 2147483647, got 1000"),
        ({"units": 3}, TypeError, "sequence of integers.*3"),
        ({"units": "31"}, TypeError, "sequence of integers.*'31'"),
        ({"activation": "sigmoid"}, ValueError, "'sigmoid'.*'logistic'"),
        ({"activation": None}, TypeError, "activation must be a name or a pair.*None"),
        ({"activation": ["tanh"]}, ValueError, "list of 2.*got 1"),
        ({"activation": ["tanh", "tanh", "tanh"]}, ValueError, "list of 2.*got 3"),
        ({"activation": "softmax"}, ValueError, "'softmax' is for output layers"),
        ({"activation": ["tanh", "exp"]}, ValueError, "'exp' is for output layers"),
        ({"activation": ("leaky_relu", {"slope": 1})}, TypeError, "'slope'; expected: 'alpha'"),
        ({"activation": ("tanh", {"alpha": 1})}, TypeError, "'alpha'; expected: none"),
        ({"activation": ("leaky_relu", {"alpha": -1})}, ValueError, r"\[0, inf\), got -1"),
        ({"activation": ("leaky_relu", {"alpha": "1"})}, TypeError, "real number, got '1'"),
        ({"output_activation": ("linear", {"beta": np.inf})}, ValueError, "beta.*got inf"),
        ({"output_activation": ["identity"]}, TypeError, "name or a pair"),
        ({"output_activation": "softmax", "units": [3, 4, 4, 1]}, ValueError, "at least 2 output units, got 1"),
        ({"loss": "mse"}, ValueError, "'mse'.*'squared_error'"),
        ({"loss": None}, TypeError, "must be a string"),
        ({"loss": "log_loss"}, ValueError, r"\(0, 1\).*'identity'"),
        ({"loss": "poisson", "output_activation": "relu"}, ValueError, r"\(0, inf\).*'relu'.*\[0, inf\)"),
        ({"alpha": -1e-9}, ValueError, r"alpha.*\[0, inf\)"),
        ({"alpha": np.nan}, ValueError, "alpha"),
        ({"alpha": "0"}, TypeError, "alpha.*real number"),
        ({"alpha": None}, TypeError, "alpha.*real number"),
        ({"dtype": "float16"}, ValueError, "float32 or float64, got 'float16'"),
        ({"dtype": int}, ValueError, "float32 or float64"),
        ({"dtype": None}, ValueError, "float32 or float64"),
        ({"dtype": "no dtype"}, TypeError, "no dtype"),
        ({"backend": "cuda"}, ValueError, "'auto'.*'cuda'"),
        ({"backend": None}, TypeError, "backend must be a string"),
    ],
)
def test_bad_networks(options, error, message):
    with pytest.raises(error, match=message):
        Network(**{"units": [3, 4, 4, 2]} | options)


def steps_of_one_row_each(net, X, Y, weights, rate):
    """Train by plain gradient descent for an epoch and return the first weight after it."""
    options = {"solver": "sgd", "momentum": 0.0, "nesterov": False, "learning_rate": rate, "batch_size": 1}
    net.fit(X, Y, sample_weight=weights, epochs=1, shuffle=False, **options)
    return net.coefs[0].item(0)


def divided():
    return 1 // 0


class TestFit:
    def test_the_seed_of_scikit_learn_gives_its_network(self, backend):
        neural_network = pytest.importorskip("sklearn.neural_network")
        rng = np.random.default_rng(0)
        X, y = rng.normal(size=(90, 5)), rng.integers(0, 3, 90)
        for solver, options in (("sgd", {"momentum": 0.8}), ("adam", {"beta_1": 0.8})):
            theirs = neural_network.MLPClassifier(
                hidden_layer_sizes=(6, 4),
                activation="tanh",
                solver=solver,
                alpha=0.01,
                batch_size=20,
                learning_rate_init=0.01,
                max_iter=8,
                random_state=4,
                **options,
            )
            with pytest.warns(Warning, match="Maximum iterations"):
                theirs.fit(X, y)
            ours = Network(
                [5, 6, 4, 3],
                output_activation="softmax",
                loss="log_loss",
                alpha=0.01,
                random_state=4,
                backend=backend.name,
            )
            curve = ours.fit(X, y, solver=solver, learning_rate=0.01, batch_size=20, epochs=8, **options)
            np.testing.assert_allclose(curve, theirs.loss_curve_, rtol=1e-10)
            for a, b in zip((*ours.coefs, *ours.intercepts), theirs.coefs_ + theirs.intercepts_, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)

    def test_moments_start_afresh(self, backend, solver):
        net, X, Y = random_case(backend=backend.name)
        start = net.get_parameters()
        options = {"solver": solver, "epochs": 3, "batch_size": 6, "random_state": 1}
        first = net.fit(X, Y, **options)
        once = net.get_parameters()
        net.set_parameters(start)
        assert net.fit(X, Y, **options) == first
        np.testing.assert_array_equal(net.get_parameters(), once)

    def test_the_curve_is_that_of_losses_before_the_steps(self, backend):
        net, X, Y = random_case(backend=backend.name)
        before = net.loss(X, Y)
        curve = net.fit(X, Y, epochs=2, batch_size=len(X), shuffle=False)
        assert all(isinstance(loss, float) for loss in curve)
        assert curve[0] == pytest.approx(before, rel=1e-12)
        assert curve[1] < curve[0]

    def test_the_default_batch(self):
        rng = np.random.default_rng(0)
        X, Y = rng.normal(size=(450, 3)), rng.normal(size=450)
        nets = [Network([3, 1], random_state=0) for _ in range(3)]
        for net, size in zip(nets, (None, 200, 450), strict=True):
            net.fit(X, Y, epochs=1, batch_size=size)
        np.testing.assert_array_equal(nets[0].get_parameters(), nets[1].get_parameters())
        assert (nets[0].get_parameters() != nets[2].get_parameters()).all()

    def test_without_shuffling_the_rows_keep_their_order(self, backend):
        net, X, Y = random_case(n=9, backend=backend.name)
        by_hand = copy.deepcopy(net)
        net.fit(X, Y, solver="sgd", learning_rate=0.1, momentum=0.0, batch_size=4, epochs=1, shuffle=False)
        for rows in (slice(0, 4), slice(4, 8), slice(8, 9)):
            dW, db = by_hand.gradients(X[rows], Y[rows])
            for array, grad in zip((*by_hand.coefs, *by_hand.intercepts), dW + db, strict=True):
                array -= 0.1 * grad
        np.testing.assert_allclose(net.get_parameters(), by_hand.get_parameters(), rtol=1e-12, atol=1e-14)

    def test_random_state_of_the_shuffles(self, backend):
        def fitted(random_state):
            net, X, Y = random_case(backend=backend.name)
            net.fit(X, Y, epochs=2, batch_size=3, random_state=random_state)
            return net.get_parameters()

        np.testing.assert_array_equal(fitted(None), fitted(None))
        np.testing.assert_array_equal(fitted(1), fitted(np.random.RandomState(1)))
        assert (fitted(1) != fitted(2)).any()
        assert (fitted(None) != fitted(1)).any()

    def test_callback(self, backend):
        net, X, Y = random_case(backend=backend.name)
        seen = []

        def callback(*arguments):
            seen.append(arguments)
            return len(seen) == 3

        curve = net.fit(X, Y, epochs=10, callback=callback)
        assert seen == [(net, epoch, loss) for epoch, loss in enumerate(curve, start=1)]
        assert len(curve) == 3

    @pytest.mark.parametrize(
        ("outcome", "message"), [(divided, "by zero"), (lambda: np.array([True, False]), "truth value")]
    )
    def test_what_a_callback_raises(self, backend, outcome, message):
        net, X, Y = random_case(backend=backend.name)
        states = []

        def callback(net, epoch, loss):
            states.append(net.get_parameters())
            return outcome() if epoch == 2 else None

        with pytest.raises((ZeroDivisionError, ValueError), match=message):
            net.fit(X, Y, epochs=10, callback=callback)
        np.testing.assert_array_equal(net.get_parameters(), states[1])
        assert (states[0] != states[1]).any()

    @pytest.mark.parametrize("with_callback", [False, True])
    @pytest.mark.filterwarnings("ignore::RuntimeWarning")
    def test_divergence_puts_the_parameters_back(self, backend, with_callback):
        net, X, Y = random_case(activation="relu", backend=backend.name)
        before = net.get_parameters()
        callback = (lambda net, epoch, loss: np.isnan(net.get_parameters()).any()) if with_callback else None
        with pytest.raises(ValueError, match="finite"):
            net.fit(1e3 * X, Y, solver="sgd", learning_rate=1e6, epochs=200, callback=callback)
        np.testing.assert_array_equal(net.get_parameters(), before)

    def test_a_batch_without_weight_puts_the_parameters_back(self, backend):
        net, X, Y = random_case(backend=backend.name)
        before = net.get_parameters()
        weights = np.ones(len(X))
        weights[12:18] = 0
        with pytest.raises(ZeroDivisionError, match="Weights sum to zero"):
            net.fit(X, Y, batch_size=6, shuffle=False, sample_weight=weights)
        np.testing.assert_array_equal(net.get_parameters(), before)

    @pytest.mark.parametrize("solver", ["sgd", "adam"])
    @pytest.mark.parametrize(
        ("dtype", "weight", "alpha"),
        [
            ("float32", 1e-40, 0),
            ("float32", 1e-41, 1e-9),
            ("float64", 1e-310, 0),
            ("float64", 1e-311, 1e-9),
        ],
    )
    def test_weights_of_a_batch_whose_reciprocal_is_no_number(self, backend, dtype, weight, alpha, solver):
        """The last batch's; the sum of all weights is as usual."""
        weights = np.ones(20)
        weights[15:] = weight
        trained = []
        for name in (backend.name, "numpy"):
            net, X, Y = random_case(n=20, backend=name, dtype=dtype, alpha=alpha)
            options = {"momentum": 0.0, "nesterov": False} if solver == "sgd" else {}
            net.fit(X, Y, sample_weight=weights, batch_size=5, epochs=1, shuffle=False, solver=solver, **options)
            trained.append(net.get_parameters())
        scale = np.abs(trained[1]).max()
        assert np.isfinite(scale)
        # Numbers below the smallest normal one have fewer digits than others: of 1e-311 twelve, of 1e-41 thirteen bits.
        np.testing.assert_allclose(trained[0], trained[1], rtol=1e-3, atol=1e-5 * scale)

    @pytest.mark.parametrize(
        ("dtype", "weight"),
        [
            ("float32", 1e-19),  # from here on numbers are scaled in two parts in C, or not
            ("float32", 3e-20),
            ("float32", 8e-31),
            ("float32", 7e-31),
            ("float32", 1.3e-38),
            ("float32", 5e-39),
            ("float64", 2e-271),
            ("float64", 1e-271),
            ("float64", 1e-301),
            ("float64", 9e-302),
            ("float64", 2.3e-308),
            ("float64", 1e-309),
        ],
    )
    @pytest.mark.parametrize(("alpha", "rate"), [(0, 100), (0, 1e9), (10, 0.05)])
    def test_the_rate_and_the_penalty_beside_a_tiny_weight(self, backend, dtype, weight, alpha, rate):
        """Of one weight w and x = 1, y = 5: the gradient is w - 5 + alpha w / weight."""
        w = 1 / 1024 if alpha else 1.0
        net = Network.from_weights([[[w]]], [[0.0]], dtype=dtype, backend=backend.name, alpha=alpha)
        # A second row, not in the same batch, makes the sum of all weights what it has to be.
        trained = steps_of_one_row_each(net, [[1.0], [0.0]], [[5.0], [0.0]], [weight, 1], rate)
        first = w - rate * (w - 5 + alpha * w / np.dtype(dtype).type(weight).item())
        assert trained == pytest.approx(first * (1 - rate * alpha), rel=1e-5)

    @pytest.mark.parametrize("weight", [8e-31, 1e-20, 1e-18, 1e-10])
    def test_a_penalty_that_counts_for_tiny_weights(self, backend, weight):
        """Solvers leave out numbers that do not matter beside others; alpha / weight can make them matter."""
        net = Network.from_weights([[[1e-20]]], [[0.0]], dtype="float32", backend=backend.name, alpha=1e8)
        trained = steps_of_one_row_each(net, [[0.0]] * 2, [[0.0]] * 2, [weight, 1], 0.1)
        first = 1e-20 - 0.1 * 1e8 * 1e-20 / weight
        assert trained == pytest.approx(first * (1 - 0.1 * 1e8), rel=1e-5)

    @pytest.mark.parametrize(
        ("dtype", "alpha", "weight", "rate"),
        [
            ("float32", 1e9, 1e-20, 1e-30),
            ("float32", 1e9, 1e-29, 1e-38),
            ("float32", 1e-3, 1e-40, 1e-38),
            ("float64", 1e8, 1e-280, 1e-288),
            ("float64", 1e8, 1e-300, 1e-308),
        ],
    )
    def test_a_large_penalty_beside_a_tiny_weight(self, backend, dtype, alpha, weight, rate):
        """The mean gradient is a number."""
        net = Network.from_weights([[[1.0]]], [[0.0]], dtype=dtype, backend=backend.name, alpha=alpha)
        trained = steps_of_one_row_each(net, [[0.0]] * 2, [[0.0]] * 2, [weight, 1], rate)
        expected = 1 - rate * alpha / np.dtype(dtype).type(weight).item()
        assert trained == pytest.approx(expected, rel=1e-4, abs=1e-4)

    @pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX timers")
    def test_an_interrupt_keeps_what_was_learned(self, backend):
        if threading.current_thread() is not threading.main_thread():
            pytest.skip("signals reach the main thread only")
        net, X, Y = random_case(backend=backend.name)
        before = net.loss(X, Y)

        def interrupt(number, frame):
            raise KeyboardInterrupt

        previous = signal.signal(signal.SIGALRM, interrupt)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.warns(UserWarning, match="Training interrupted by user"):
                curve = net.fit(X, Y, epochs=10**7)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
        assert 0 < len(curve) < 10**7
        assert net.loss(X, Y) < before

    def test_an_interrupt_of_training_that_diverges(self, backend, monkeypatch):
        net, X, Y = random_case(backend=backend.name)
        before = net.get_parameters()
        trainer = backend.trainer

        def interrupted(*arguments):
            inner = trainer(*arguments)

            class Interrupted:
                def run(self, n_epochs):
                    inner.run(200)
                    raise KeyboardInterrupt

            return Interrupted()

        monkeypatch.setattr(backend, "trainer", interrupted)
        with pytest.raises(ValueError, match="after 0 epochs or more, when training was interrupted; they"):
            net.fit(1e3 * X, Y, solver="sgd", learning_rate=1e6)
        np.testing.assert_array_equal(net.get_parameters(), before)

    def test_an_interrupt_in_a_callback(self, backend):
        net, X, Y = random_case(backend=backend.name)

        def callback(net, epoch, loss):
            if epoch == 3:
                raise KeyboardInterrupt

        with pytest.warns(UserWarning, match="Training interrupted by user"):
            curve = net.fit(X, Y, epochs=10, callback=callback)
        assert len(curve) == 3

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"solver": "rmsprop"}, ValueError, "'rmsprop'.*'sgd'"),
            ({"solver": None}, TypeError, "must be a string"),
            ({"solver": "sgd", "beta_1": 0.9}, TypeError, "'sgd' has no parameter 'beta_1'"),
            ({"solver": "sgd", "epsilon": 1e-8}, TypeError, "'sgd' has no parameter 'epsilon'"),
            ({"solver": "adam", "momentum": 0.9}, TypeError, "'adam' has no parameter 'momentum'"),
            ({"solver": "adam", "nesterov": False}, TypeError, "'adam' has no parameter 'nesterov'"),
            ({"learning_rate": 10**400}, ValueError, r"learning_rate.*\(0, inf\), got one beyond 1.8e308"),
            ({"learning_rate": 0}, ValueError, r"learning_rate.*\(0, inf\), got 0"),
            ({"learning_rate": "fast"}, TypeError, "learning_rate.*real number"),
            ({"solver": "sgd", "momentum": 2}, ValueError, r"momentum.*\[0, 1\], got 2"),
            ({"solver": "sgd", "nesterov": 1}, TypeError, "nesterov.*True or False, got 1"),
            ({"beta_2": 1.0}, ValueError, r"beta_2.*\[0, 1\)"),
            ({"batch_size": 0}, ValueError, "batch_size.*at least 1, got 0"),
            ({"batch_size": 2.5}, TypeError, "batch_size.*integer, got 2.5"),
            ({"epochs": 0}, ValueError, "epochs.*at least 1"),
            ({"epochs": "3"}, TypeError, "epochs.*integer"),
            ({"shuffle": 1}, TypeError, "shuffle must be True or False, got 1"),
            ({"callback": 3}, TypeError, "callback must be callable, got 3"),
        ],
    )
    def test_bad_options(self, options, error, message):
        net, X, Y = random_case()
        before = net.get_parameters()
        with pytest.raises(error, match=message):
            net.fit(X, Y, **options)
        np.testing.assert_array_equal(net.get_parameters(), before)


def test_epochs_are_run_several_at_once_but_not_for_long(monkeypatch):
    sizes, now = [], 0.0
    monkeypatch.setattr("fastmlp.training.perf_counter", lambda: now)

    class Clockwork:
        def run(self, n_epochs):
            nonlocal now
            now += 0.001 * n_epochs
            sizes.append(n_epochs)
            return EpochLosses(np.arange(n_epochs, dtype=float), np.ones(n_epochs))

    curve = run_training(Clockwork(), np.zeros(1), 60)
    assert sizes == [1, 2, 4, 8, 16, 16, 13]
    assert len(curve) == 60
    assert curve[:3] == [1, 1, 2]
    sizes.clear()
    run_training(Clockwork(), np.zeros(1), 5, callback=lambda epoch, loss: False)
    assert sizes == [1] * 5


@pytest.mark.parametrize(
    ("n", "hidden", "outputs"), [(1, 3, 1), (1, 20, 3), (7, 3, 1), (7, 5, 3), (40, 20, 7), (300, 70, 60)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
def test_a_unit_that_relu_closes_lets_no_infinity_through(backend, n, hidden, outputs, dtype):
    """As in scikit-learn and PyTorch; 0 times infinity would be NaN."""
    large = 1e30 if dtype == "float32" else 1e200
    first, second = np.ones((1, hidden)), np.ones((hidden, outputs))
    first[0, ::2], second[::2] = -1, large
    intercepts = [np.zeros(hidden), np.full(outputs, large)]
    net = Network.from_weights([first, second], intercepts, activation="relu", dtype=dtype, backend=backend.name)
    dW, db = net.gradients(np.ones((n, 1)), np.zeros((n, outputs)))
    assert np.isfinite(dW[0]).all()
    assert not dW[0][0, ::2].any()
    assert not db[0][::2].any()
    np.testing.assert_allclose(dW[0][0, 1::2], large * outputs, rtol=1e-5)
    np.testing.assert_array_equal(net.trace([1.0], np.zeros(outputs)).dW[1][::2], 0)
    assert net.explain([1.0], np.zeros(outputs), 1, 1, 1).derivative == 0
    np.testing.assert_allclose(net.explain([1.0], np.zeros(outputs), 1, 2, 1).derivative, large * outputs, rtol=1e-5)


@pytest.mark.parametrize("calls", [2, 3, 4])
@pytest.mark.parametrize("with_callback", [False, True])
def test_what_is_raised_between_calls_of_the_trainer_puts_the_parameters_back(monkeypatch, calls, with_callback):
    """As a handler of a signal may raise anywhere, here where the time is asked for."""
    params, countdown = np.zeros(3), iter(range(calls, -1, -1))

    class Adding:
        def run(self, n_epochs):
            params[:] += n_epochs
            return EpochLosses(np.ones(n_epochs), np.ones(n_epochs))

    def clock():
        if next(countdown) == 0:
            raise TimeoutError
        return 0.0

    monkeypatch.setattr("fastmlp.training.perf_counter", clock)
    with pytest.raises(TimeoutError):
        run_training(Adding(), params, 60, (lambda epoch, loss: False) if with_callback else None)
    assert params.tolist() == [0, 0, 0]


@pytest.mark.parametrize("hidden", [(), (3,), (3, 4)])
def test_initial_weights_do_not_depend_on_how_an_activation_is_given(hidden):
    for name in ("logistic", "relu"):
        by_name, by_pair, by_entry = (
            Network([2, *hidden, 1], activation=given, random_state=0).get_parameters()
            for given in (name, (name, {}), ACTIVATIONS[name])
        )
        np.testing.assert_array_equal(by_pair, by_name)
        np.testing.assert_array_equal(by_entry, by_name)


class TestPickle:
    def net(self, **options):
        options = {"activation": ["gelu", ("leaky_relu", {"alpha": 0.1})], "dtype": "float32", "alpha": 0.2} | options
        return Network([3, 4, 5, 2], output_activation="softmax", loss="log_loss", random_state=3, **options)

    @pytest.mark.parametrize("duplicate", [lambda net: pickle.loads(pickle.dumps(net)), copy.copy, copy.deepcopy])
    def test_a_duplicate_is_equal_and_separate(self, duplicate):
        net = self.net()
        twin = duplicate(net)
        X, Y = np.random.default_rng(0).normal(size=(9, 3)), np.arange(9) % 2
        assert repr(twin) == repr(net)
        assert twin.spec == net.spec
        np.testing.assert_array_equal(twin.forward(X), net.forward(X))
        kept = net.get_parameters()
        curve = twin.fit(X, Y, batch_size=2, epochs=3)
        np.testing.assert_array_equal(net.get_parameters(), kept)
        # The state of the random numbers went along: training takes the same course.
        assert net.fit(X, Y, batch_size=2, epochs=3) == curve

    def test_the_parameters_are_aligned_again(self):
        twin = pickle.loads(pickle.dumps(self.net()))
        assert twin.coefs[0].__array_interface__["data"][0] % 64 == 0

    def test_an_unknown_format(self):
        state = self.net().__getstate__()
        state["format"] = 99
        with pytest.raises(ValueError, match="format 1, got 99"):
            Network.__new__(Network).__setstate__(state)

    @pytest.mark.parametrize(
        ("changes", "error", "message"),
        [
            ({"units": (3, 4, 6, 2)}, ValueError, r"\[3, 4, 6, 2\] must have shape \(60,\), got \(53,\)"),
            ({"units": (3, 4, 2)}, ValueError, "a list of 1, one for each hidden layer, got 2"),
            ({"units": (3, 4, "5", 2)}, TypeError, "units must be integers, got '5'"),
            ({"parameters": np.ones(1, np.float32)}, ValueError, r"must have shape \(53,\), got \(1,\)"),
            ({"parameters": ["a"] * 53}, TypeError, "parameters must hold real numbers"),
            ({"activations": (("gelu", (1.0,)), ("relu", ()), ("softmax", ()))}, ValueError, "has 0 parameters, got 1"),
            (
                {"activations": (("gelu", ()), ("relu", ()), ("identity", ()))},
                ValueError,
                "'log_loss' expects outputs in",
            ),
            ({"dtype": "int32"}, ValueError, "float32 or float64, got 'int32'"),
            ({"alpha": -1.0}, ValueError, "alpha of Network must be a number in"),
            ({"backend": "fortran"}, ValueError, "backend must be one of"),
            ({"n_threads": 0}, ValueError, "n_threads"),
            ({"random_state": "seed"}, TypeError, "random_state must be"),
            ({"loss": None}, ValueError, "There is no loss None here"),
        ],
    )
    def test_a_state_that_does_not_hold_together(self, changes, error, message):
        state = self.net().__getstate__() | changes
        with pytest.raises(error, match=message):
            Network.__new__(Network).__setstate__(state)

    def test_a_state_with_parts_missing(self):
        state = self.net().__getstate__()
        del state["loss"], state["parameters"]
        with pytest.raises(ValueError, match="got none of loss, parameters"):
            Network.__new__(Network).__setstate__(state)

    def test_attributes_of_others_go_along(self):
        class Named(Network):
            pass

        net = Named([2, 1], random_state=0)
        net.label = {"name": "first"}
        twin = copy.deepcopy(net)
        assert twin.label == net.label
        assert twin.label is not net.label
        state = net.__getstate__()
        del state["attributes"]  # of an earlier version
        old = Network.__new__(Network)
        old.__setstate__(state)
        np.testing.assert_array_equal(old.get_parameters(), net.get_parameters())

    def test_weights_that_are_not_finite_are_not_lost(self):
        net = self.net()
        net.coefs[0][0, 0] = np.nan
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(net)).get_parameters(), net.get_parameters())


def test_repr():
    net = Network(
        [3, 4, 2, 5],
        activation=["relu", ("leaky_relu", {"alpha": 0.02})],
        output_activation="softmax",
        loss="log_loss",
        alpha=0.1,
        dtype="float32",
    )
    assert repr(net).splitlines() == [
        "Network([3, 4, 2, 5], loss='log_loss', alpha=0.1, dtype='float32'): 41 parameters",
        "  layer  coefs   intercepts  activation              parameters",
        "  1      (3, 4)  (4,)        relu                    16",
        "  2      (4, 2)  (2,)        leaky_relu(alpha=0.02)  10",
        "  3      (2, 5)  (5,)        softmax                 15",
    ]


def test_attributes():
    net = Network([3, 2], alpha=0.5, dtype=np.float32, backend="numpy")
    assert (net.units, net.alpha, net.dtype, net.backend) == ((3, 2), 0.5, np.dtype("float32"), "numpy")
    for name in ("units", "alpha", "dtype", "backend", "spec", "n_parameters"):
        with pytest.raises(AttributeError):
            setattr(net, name, None)


def test_preactivations_and_activations(backend, dtype, assert_agree):
    net, X, _ = random_case(activation=("leaky_relu", {"alpha": 0.3}), dtype=dtype, backend=backend.name)
    X = X.astype(dtype)
    z, a = net.preactivations(X), net.activations(X)
    assert_agree(z[0], X @ net.coefs[0] + net.intercepts[0])
    assert_agree(a[0], np.where(z[0] > 0, z[0], z[0] * dtype.type(0.3)))
    assert_agree(z[1], a[0] @ net.coefs[1] + net.intercepts[1])
    np.testing.assert_array_equal(a[1], z[1])


def test_every_pair_can_be_trained(backend, pair, dtype):
    loss, output = pair
    net = Network([3, 4, 2], output_activation=output, loss=loss, dtype=dtype, random_state=0, backend=backend.name)
    X = np.random.default_rng(0).normal(size=(20, 3))
    Y = np.eye(2)[(X[:, 0] > 0).astype(int)]
    before = net.loss(X, Y)
    net.fit(X, Y, solver="sgd", learning_rate=0.01, epochs=30)
    assert net.loss(X, Y) < before


def test_step_is_the_only_one_that_cannot_be_trained():
    refused = {name for name, entry in ACTIVATIONS.items() if entry.needs is None}
    assert refused == {"step"}
    assert "squared_error" in LOSSES
    net = Network([2, 3, 2, 1], activation=["tanh", "step"])
    assert net.forward([[1, 2]]).shape == (1, 1)
    assert net.loss([[1, 2]], [1]) >= 0
    with pytest.raises(ValueError, match="'step'"):
        net.fit("not even looked at", None)


def test_calls_from_several_threads(backend):
    net, X, Y = random_case((30, 50, 3), n=200, backend=backend.name)
    expected = net.forward(X), net.loss(X, Y), net.gradients(X, Y)[0][0]

    def work(_):
        return net.forward(X), net.loss(X, Y), net.gradients(X, Y)[0][0]

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1) + 1) as pool:
        for got in pool.map(work, range(40)):
            for a, b in zip(got, expected, strict=True):
                np.testing.assert_array_equal(a, b)


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
def test_a_closed_units_own_weight_meets_the_infinity_behind_it(backend):
    """Only what comes from the loss ends there: 0 times an input that is infinite is NaN, as in the gradients."""
    net = Network.from_weights(
        [[[1e200]], [[-1.0]], [[1.0]]], [[0.0]] * 3, activation="relu", dtype="float64", backend=backend.name
    )
    assert np.isnan(net.gradients([[1e200]], [[1.0]])[0][1]).all()
    assert np.isnan(net.explain([1e200], 1.0, 2, 1, 1).derivative)
    assert net.explain([1e200], 1.0, 1, 1, 1).derivative == 0
