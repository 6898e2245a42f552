"""`Network`: a fully connected network, without anything around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np

from fastmlp._parameters import Interval, check_parameters, registered
from fastmlp._predictor import Predictor, Source
from fastmlp._threads import call_requesting, check_n_threads
from fastmlp._validation import (
    as_numbers,
    check_array,
    check_bool,
    check_count,
    check_inputs,
    check_random_state,
    check_sample_weight,
    check_targets,
)
from fastmlp.activations import ACTIVATIONS
from fastmlp.backends import Backend, Data, Plan, check_backend_name, get_backend, load_c_core
from fastmlp.losses import LOSSES, Loss
from fastmlp.solvers import SolverState
from fastmlp.spec import ActivationLike, NetworkSpec, make_spec, resolve_activation
from fastmlp.training import DEFAULT_BATCH_SIZE, draw_key, draw_parameters, glorot_factor, run_training

if TYPE_CHECKING:
    from fastmlp.trace import Explanation, Trace

_FORMAT = 1
"""Version of what a pickle holds."""

_STATE = ("units", "activations", "loss", "dtype", "alpha", "backend", "n_threads", "parameters", "random_state")
"""What it holds beside that, and beside attributes that others have set."""

_OWN = ("_alpha", "_backend_name", "_n_threads", "_params", "_random_state", "_spec")
"""Attributes that a network sets itself."""


class Network:
    """A fully connected network: ``a[l] = g_l(a[l-1] coefs[l-1] + intercepts[l-1])``, and a loss at its end.

    Parameters
    ----------
    units : sequence of int
        Widths of all layers: ``[n_features, *hidden, n_outputs]``.
    activation : str, (str, mapping), or a list of these, default="tanh"
        Activation of all hidden layers, or one per hidden layer: a key of `fastmlp.activations.ACTIVATIONS`, alone or
        with parameters, as in ``("leaky_relu", {"alpha": 0.02})``. Wherever a name stands the entry itself may stand,
        as what `fastmlp.activation` returns.
    output_activation : str or (str, mapping), default="identity"
        Activation of the output layer, in the same forms.
    loss : str or Loss, default="squared_error"
        A key of `fastmlp.losses.LOSSES`: "squared_error" goes with every output activation, "log_loss" with outputs in
        (0, 1), "poisson" with positive ones.
    alpha : float, default=0.0
        L2 penalty: ``alpha / 2 * sum(w ** 2)`` over the weights, without the biases, is added to the sum of the rows'
        losses.
    dtype : {"float64", "float32"}, default="float64"
        Of the parameters and of all arithmetic.
    random_state : int, numpy.random.RandomState or None, default=None
        Source of the initial weights, and after them of the shuffles of `fit`, where it is not given another. None:
        numbers of the operating system, others each time; NumPy's global generator is left alone. (The generators of
        ``numpy.random.default_rng`` draw other numbers, and are refused, as by scikit-learn.)
    backend : {"auto", "c", "numba", "numpy"}, default="auto"
        What computes; see `fastmlp.config_context`.
    n_threads : int or None, default=None
        Threads of the C backend; see `fastmlp.MLPClassifier`.

    Raises
    ------
    TypeError, ValueError
        When a parameter is not what is expected, or the loss is not defined for the outputs.
    ImportError
        When a backend is asked for by name that cannot be imported; and, at its first use, when an activation or loss
        of your own has to be compiled and Numba is not installed.

    Notes
    -----
    Initial weights are drawn as scikit-learn's MLP draws them: layer by layer weights, then biases, uniformly in
    (-b, b) with b = sqrt(6 / (fan_in + fan_out)), 2 instead of 6 in a logistic layer. The output layer follows the
    hidden ones, whatever its own activation: 2 where all of them are logistic (where there are none, where
    `activation` is), else 6.

    The activation "randomized_leaky_relu" draws its slopes in the steps of `fit`, anew in each for every unit of every
    row. Everywhere else, in `loss` and `gradients` too, it has the mean slope.

    The methods may be called from several threads at once as long as none of them changes the parameters.

    Networks can be copied and pickled; a copy goes on learning with the same random numbers.

    Examples
    --------
    A network that learns exclusive or:

    >>> from fastmlp import Network
    >>> X, Y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> net = Network([2, 4, 1], output_activation="logistic", loss="log_loss", random_state=0)
    >>> curve = net.fit(X, Y, solver="adam", learning_rate=0.05, epochs=400)
    >>> net.forward(X).round().ravel().tolist()
    [0.0, 1.0, 1.0, 0.0]
    """

    def __init__(
        self,
        units: Sequence[int],
        *,
        activation: ActivationLike | Sequence[ActivationLike] = "tanh",
        output_activation: ActivationLike = "identity",
        loss: str | Loss = "squared_error",
        alpha: float = 0.0,
        dtype: np.dtype | type | str = "float64",
        random_state: int | np.random.RandomState | None = None,
        backend: str = "auto",
        n_threads: int | None = None,
    ) -> None:
        spec = make_spec(units, activation, output_activation, loss, dtype)
        self._set_up(spec, alpha, check_random_state(random_state), backend, n_threads)
        self._import_backend()
        hidden = [name for name, _ in spec.activations[:-1]]
        of_none = [] if hidden or not activation else [resolve_activation(activation, is_output=False)[0]]
        # The outputs have the smaller factor only where every hidden layer has it.
        of_outputs = max(map(glorot_factor, hidden or of_none), default=glorot_factor("identity"))
        factors = [*map(glorot_factor, hidden), of_outputs]
        draw_parameters(spec, factors, self._random_state, self._params)

    def _set_up(
        self,
        spec: NetworkSpec,
        alpha: float,
        random_state: np.random.RandomState,
        backend: str,
        n_threads: int | None,
    ) -> None:
        limits = {"alpha": Interval(0, closed="left")}
        self._alpha = check_parameters("Network", {"alpha": 0.0}, limits, {"alpha": alpha})["alpha"]
        self._backend_name = check_backend_name(backend)
        self._n_threads = check_n_threads(n_threads)
        self._spec = spec
        self._random_state = random_state
        self._params = spec.layout.allocate(spec.dtype)

    @classmethod
    def from_weights(
        cls,
        coefs: Sequence[Any],
        intercepts: Sequence[Any],
        *,
        activation: ActivationLike | Sequence[ActivationLike] = "tanh",
        output_activation: ActivationLike = "identity",
        loss: str | Loss = "squared_error",
        alpha: float = 0.0,
        dtype: np.dtype | type | str | None = None,
        random_state: int | np.random.RandomState | None = None,
        backend: str = "auto",
        n_threads: int | None = None,
    ) -> Network:
        """Return a network with copies of these weights.

        Parameters
        ----------
        coefs : sequence of array-like of shape (fan_in, fan_out)
            Weights of each layer; they say what `units` are.
        intercepts : sequence of array-like of shape (fan_out,)
            Biases of each layer.
        activation, output_activation, loss, alpha, random_state, backend, n_threads
            As of the class. Nothing is drawn here from `random_state`.
        dtype : {"float64", "float32"} or None, default=None
            None: float32 when all arrays are float32, else float64.

        Returns
        -------
        Network

        Raises
        ------
        TypeError, ValueError
            When the arrays do not fit each other or are not finite numbers, or as the class raises.

        Examples
        --------
        >>> from fastmlp import Network
        >>> conjunction = Network.from_weights([[[1.0], [1.0]]], [[-1.5]], output_activation="step")
        >>> conjunction.forward([[0, 0], [0, 1], [1, 0], [1, 1]]).ravel().tolist()
        [0.0, 0.0, 0.0, 1.0]
        """
        weights = [as_numbers(f"coefs[{i}]", W) for i, W in enumerate(_check_list("coefs", coefs))]
        biases = [as_numbers(f"intercepts[{i}]", b) for i, b in enumerate(_check_list("intercepts", intercepts))]
        if not weights:
            raise ValueError("coefs must hold the weights of at least one layer, got none.")
        for i, W in enumerate(weights):
            if W.ndim != 2:
                raise ValueError(f"coefs[{i}] must have shape (fan_in, fan_out), got {W.shape}.")
        if dtype is None:
            dtype = "float32" if all(array.dtype == np.float32 for array in weights + biases) else "float64"
        units = [weights[0].shape[0], *(W.shape[1] for W in weights)]
        spec = make_spec(units, activation, output_activation, loss, dtype)
        net = cls.__new__(cls)
        net._set_up(spec, alpha, check_random_state(random_state), backend, n_threads)
        net._import_backend()
        net.coefs = weights
        net.intercepts = biases
        return net

    @property
    def spec(self) -> NetworkSpec:
        """Units, activations, loss and dtype, checked and immutable."""
        return self._spec

    @property
    def units(self) -> tuple[int, ...]:
        """Widths of all layers, inputs first."""
        return self._spec.units

    @property
    def dtype(self) -> np.dtype:
        """Of the parameters and of all arithmetic."""
        return self._spec.dtype

    @property
    def alpha(self) -> float:
        """L2 penalty."""
        return self._alpha

    @property
    def backend(self) -> str:
        """Name of the backend asked for."""
        return self._backend_name

    @property
    def n_threads(self) -> int | None:
        """Number of threads asked for."""
        return self._n_threads

    @property
    def n_parameters(self) -> int:
        """Number of weights and biases."""
        return self._spec.layout.n_parameters

    @property
    def coefs(self) -> tuple[np.ndarray, ...]:
        """Weights of each layer, of shape (fan_in, fan_out): writable views of the parameters.

        ``net.coefs[0][1, 2] = 0.5`` changes the network. Assigning a list, ``net.coefs = [...]``, copies its values;
        an element of the tuple itself cannot be replaced.

        Raises
        ------
        TypeError
            When what is assigned is no list of arrays of numbers.
        ValueError
            When it has another length, or one of its arrays another shape or numbers that are not finite.
        """
        return tuple(self._spec.layout.coefs(self._params))

    @coefs.setter
    def coefs(self, arrays: Sequence[Any]) -> None:
        self._assign("coefs", self.coefs, arrays)

    @property
    def intercepts(self) -> tuple[np.ndarray, ...]:
        """Biases of each layer, of shape (fan_out,): writable views of the parameters, assigned to like `coefs`."""
        return tuple(self._spec.layout.intercepts(self._params))

    @intercepts.setter
    def intercepts(self, arrays: Sequence[Any]) -> None:
        self._assign("intercepts", self.intercepts, arrays)

    def _assign(self, name: str, views: tuple[np.ndarray, ...], arrays: Sequence[Any]) -> None:
        arrays = _check_list(name, arrays)
        if len(arrays) != len(views):
            raise ValueError(f"{name} must hold {len(views)} arrays, one for each layer, got {len(arrays)}.")
        checked = [
            check_array(f"{name}[{i}]", array, view.shape, self.dtype)
            for i, (array, view) in enumerate(zip(arrays, views, strict=True))
        ]
        # The new arrays may be views of the same parameters, in another order.
        for view, array in zip(views, [array.copy() for array in checked], strict=True):
            view[:] = array

    def W(self, layer: int) -> np.ndarray:  # noqa: N802
        """Return the weights of a layer as lectures write them: ``W[i, j]`` leads from unit j to unit i.

        Parameters
        ----------
        layer : int
            From 1 (the first hidden layer) to the number of weight layers.

        Returns
        -------
        ndarray of shape (fan_out, fan_in)
            Writable view: the transpose of ``coefs[layer - 1]``.

        Raises
        ------
        TypeError, ValueError
            When there is no such layer.

        Examples
        --------
        >>> from fastmlp import Network
        >>> Network([4, 3, 1]).W(1).shape
        (3, 4)
        """
        return self.coefs[self._check_layer(layer)].T

    def b(self, layer: int) -> np.ndarray:
        """Return the biases of a layer, counted as by `W`.

        Parameters
        ----------
        layer : int
            From 1 (the first hidden layer) to the number of weight layers.

        Returns
        -------
        ndarray of shape (fan_out,)
            Writable view: ``intercepts[layer - 1]``.

        Raises
        ------
        TypeError, ValueError
            When there is no such layer.

        Examples
        --------
        >>> from fastmlp import Network
        >>> Network([4, 3, 1]).b(1).shape
        (3,)
        """
        return self.intercepts[self._check_layer(layer)]

    def _check_layer(self, layer: int) -> int:
        if check_count("layer", layer) > self._spec.n_layers:
            raise ValueError(f"layer must be from 1 to {self._spec.n_layers}, got {layer}.")
        return int(layer) - 1

    def get_parameters(self) -> np.ndarray:
        """Return a copy of all parameters: all coefs, each in C order, then all intercepts.

        Returns
        -------
        ndarray of shape (n_parameters,)

        Examples
        --------
        >>> from fastmlp import Network
        >>> Network.from_weights([[[1.0], [2.0]]], [[3.0]]).get_parameters()
        array([1., 2., 3.])
        """
        return self._params.copy()

    def set_parameters(self, vector: Any) -> None:
        """Copy all parameters from a vector in the order of `get_parameters`.

        Parameters
        ----------
        vector : array-like of shape (n_parameters,)

        Raises
        ------
        TypeError, ValueError
            When it has another shape or does not hold finite real numbers; nothing is changed.

        Examples
        --------
        >>> from fastmlp import Network
        >>> net = Network([2, 1])
        >>> net.set_parameters([1, 2, 3])
        >>> net.coefs[0].ravel(), net.intercepts[0]
        (array([1., 2.]), array([3.]))
        """
        self._params[:] = check_array("The vector of parameters", vector, self._params.shape, self.dtype)

    def _import_backend(self) -> None:
        """Raise ImportError where a backend asked for by name cannot be imported."""
        if self._backend_name != "auto":
            get_backend(self._backend_name)

    def _resolve_backend(self) -> Backend:
        return get_backend(self._backend_name)

    def _check_data(self, X: Any, Y: Any, sample_weight: Any) -> Data:
        X = check_inputs(X, self._spec)
        targets, hard = check_targets(Y, self._spec, X.shape[0])
        return Data(X, targets, check_sample_weight(sample_weight, self._spec, X.shape[0]), hard)

    def forward(self, X: Any) -> np.ndarray:
        """Return the outputs of the network.

        Parameters
        ----------
        X : array-like or scipy sparse matrix of shape (n, units[0])

        Returns
        -------
        ndarray of shape (n, units[-1])

        Raises
        ------
        TypeError, ValueError
            When X has another shape, no rows, or does not hold finite real numbers.

        Examples
        --------
        >>> from fastmlp import Network
        >>> Network.from_weights([[[1.0], [2.0]]], [[3.0]]).forward([[10.0, 100.0]])
        array([[213.]])
        """
        backend = self._resolve_backend()
        X = check_inputs(X, self._spec, finite=False, any_order=backend.takes_any_order)
        return call_requesting(self._n_threads, backend.forward, self._spec, self._params, X, finite=True)

    def _layers(self, X: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
        X = check_inputs(X, self._spec)
        return call_requesting(self._n_threads, self._resolve_backend().layers, self._spec, self._params, X)

    def predictor(self, method: str | None = None) -> Predictor:
        """Return a bound callable ``f(x, out=None)`` that computes `forward` with the lowest latency.

        A predictor is the shortest way from an array to a prediction: checks of type, dtype, shape and layout, and the
        forward pass. That x is finite is not checked.

        Parameters
        ----------
        method : {"forward"} or None, default=None
            None is "forward".

        Returns
        -------
        callable
            ``f(x, out=None)`` for x of shape (n, n_features), n at least 1, C-contiguous, of the model's dtype. It
            returns what the method returns; where `out` is given, an array of that shape and dtype, C-contiguous, it is
            filled and returned; it may share memory with x. TypeError for another type or dtype, ValueError for another
            shape or layout.

        Raises
        ------
        ValueError
            When there is no such method.

        Notes
        -----
        It stays bound to the network's weights, keeps them alive, and follows edits in place and `fit`. It may be
        called from several threads at once. It cannot be pickled.

        Examples
        --------
        >>> import numpy as np
        >>> from fastmlp import Network
        >>> f = Network.from_weights([[[1.0], [2.0]]], [[3.0]]).predictor()
        >>> f(np.array([[10.0, 100.0]]))
        array([[213.]])
        """
        if method not in (None, "forward"):
            raise ValueError(f"method must be 'forward' or None, got {method!r}.")
        params = self._params
        return Source(self._resolve_backend(), self._spec, lambda: params, params, self._n_threads).make(
            "outputs", lambda outputs: outputs
        )

    def preactivations(self, X: Any) -> list[np.ndarray]:
        """Return ``z[l] = a[l-1] coefs[l-1] + intercepts[l-1]`` of all weight layers.

        Parameters
        ----------
        X : array-like or scipy sparse matrix of shape (n, units[0])

        Returns
        -------
        list of ndarray of shape (n, units[l]), l = 1 ... L

        Raises
        ------
        TypeError, ValueError
            As of `forward`.

        Examples
        --------
        >>> from fastmlp import Network
        >>> [z.shape for z in Network([4, 3, 1]).preactivations([[1, 2, 3, 4]])]
        [(1, 3), (1, 1)]
        """
        return self._layers(X)[0]

    def activations(self, X: Any) -> list[np.ndarray]:
        """Return ``a[l] = g_l(z[l])`` of every weight layer.

        Parameters
        ----------
        X : array-like or scipy sparse matrix of shape (n, units[0])

        Returns
        -------
        list of ndarray of shape (n, units[l]), l = 1 ... L
            The last one are the outputs; X itself, a[0], is not among them.

        Raises
        ------
        TypeError, ValueError
            As of `forward`.

        Examples
        --------
        >>> from fastmlp import Network
        >>> [a.shape for a in Network([4, 3, 1]).activations([[1, 2, 3, 4]])]
        [(1, 3), (1, 1)]
        """
        return self._layers(X)[1]

    def loss(self, X: Any, Y: Any, sample_weight: Any = None, reduction: str = "mean") -> float:
        """Return the loss over rows, L2 term included.

        Parameters
        ----------
        X : array-like or scipy sparse matrix of shape (n, units[0])
        Y : array-like
            Targets of shape (n, units[-1]), or (n,) where there is one output. For softmax outputs also integer class
            codes, shape (n,).
        sample_weight : array-like of shape (n,), optional
        reduction : {"mean", "sum"}, default="mean"
            With L_i the loss of row i, s_i its weight (1 by default) and P = alpha / 2 * sum(w ** 2): "sum" is
            ``sum(s_i L_i) + P``, "mean" the same divided by ``sum(s_i)``.

        Returns
        -------
        float

        Raises
        ------
        TypeError, ValueError
            When an argument is not what is expected, or the loss is not defined for a target.

        Examples
        --------
        >>> from fastmlp import Network
        >>> net = Network.from_weights([[[1.0]]], [[0.0]])
        >>> net.loss([[1.0], [2.0]], [2.0, 4.0]), net.loss([[1.0], [2.0]], [2.0, 4.0], reduction="sum")
        (1.25, 2.5)
        """
        if reduction not in ("mean", "sum"):
            raise ValueError(f"reduction must be 'mean' or 'sum', got {reduction!r}.")
        data = self._check_data(X, Y, sample_weight)
        loss = self._resolve_backend().loss
        parts = call_requesting(self._n_threads, loss, self._spec, self._params, data, self._alpha)
        total = parts.data + parts.l2
        return total if reduction == "sum" else total / parts.weight

    def gradients(self, X: Any, Y: Any, sample_weight: Any = None) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return the gradient of the mean loss (as `loss` gives it), layer by layer.

        Parameters
        ----------
        X, Y, sample_weight
            As of `loss`.

        Returns
        -------
        coef_grads : list of ndarray of shape (fan_in, fan_out)
        intercept_grads : list of ndarray of shape (fan_out,)

        Raises
        ------
        TypeError, ValueError
            As of `loss`, and when there is no gradient through one of the activations (step).

        Examples
        --------
        >>> from fastmlp import Network
        >>> Network.from_weights([[[1.0]]], [[0.0]]).gradients([[2.0]], [5.0])
        ([array([[-6.]])], [array([-3.])])
        """
        self._spec.check_differentiable()
        data = self._check_data(X, Y, sample_weight)
        layout = self._spec.layout
        grad = layout.allocate(self.dtype)
        loss_grad = self._resolve_backend().loss_grad
        call_requesting(self._n_threads, loss_grad, self._spec, self._params, data, self._alpha, grad)
        return layout.coefs(grad), layout.intercepts(grad)

    def trace(self, x: Any, y: Any) -> Trace:
        """Return every number of one row's way through the network and of the gradient's way back.

        Parameters
        ----------
        x : array-like of shape (units[0],)
            One row; also as a column (units[0], 1) or a row (1, units[0]).
        y : array-like of shape (units[-1],)
            Its targets; also as a column or a row, for one output a number, for softmax outputs an integer class code.

        Returns
        -------
        fastmlp.trace.Trace
            ``z[l]``, ``a[l]``, ``delta[l]``, ``dW[l]`` and ``db[l]`` of every layer in the lecture's notation; printed,
            a table, of layers of more than eight units without those in the middle; ``plot()`` draws it.

        Raises
        ------
        TypeError, ValueError
            When an argument is not what is expected, or there is no gradient through one of the activations (step).

        Examples
        --------
        >>> from fastmlp import Network
        >>> trace = Network([4, 3, 1], random_state=0).trace([1.0, 2.0, 3.0, 4.0], 0.5)
        >>> {l: dW.shape for l, dW in trace.dW.items()}
        {1: (3, 4), 2: (1, 3)}
        """
        from fastmlp.trace import trace

        return trace(self, x, y)

    def explain(self, x: Any, y: Any, layer: int, i: int, j: int | None = None) -> Explanation:
        """Return one partial derivative by the chain rule: every path from the loss to a parameter, with its factors.

        Parameters
        ----------
        x, y
            One row and its targets, as of `trace`.
        layer, i, j : int
            The weight in row i and column j of ``W(layer)``, from unit j to unit i; all are counted from 1. Without j:
            element i of ``b(layer)``, the bias of unit i.

        Returns
        -------
        fastmlp.trace.Explanation
            Its ``paths``, with their ``factors`` and ``product``, and the ``penalty``; ``derivative``, the sum of the
            products and the penalty; printed, of more than eight paths the seven with the largest products.

        Raises
        ------
        TypeError, ValueError
            As of `trace`, when there is no such parameter, and when there are more than 100,000 paths.

        Examples
        --------
        >>> from fastmlp import Network
        >>> net = Network.from_weights([[[0.5]]], [[0.0]], output_activation="logistic")
        >>> print(net.explain([2.0], 1.0, layer=1, i=1, j=1))
        dL/dw[1]_11 = -0.1058, the sum over 1 path
          dL/da[1]_1 * da[1]_1/dz[1]_1 * dz[1]_1/dw[1]_11
             -0.2689 *          0.1966 *                2 = -0.1058
        """
        from fastmlp.trace import explain

        return explain(self, x, y, layer, i, j)

    def fit(
        self,
        X: Any,
        Y: Any,
        *,
        solver: str = "adam",
        learning_rate: float | None = None,
        momentum: float | None = None,
        nesterov: bool | None = None,
        beta_1: float | None = None,
        beta_2: float | None = None,
        epsilon: float | None = None,
        batch_size: int | None = None,
        epochs: int = 200,
        shuffle: bool = True,
        sample_weight: Any = None,
        random_state: int | np.random.RandomState | None = None,
        callback: Callable[[Network, int, float], object] | None = None,
    ) -> list[float]:
        """Train the network from its present parameters on, and return the loss of every epoch.

        Parameters
        ----------
        X, Y, sample_weight
            As of `loss`.
        solver : {"adam", "sgd"}, default="adam"
            A key of `fastmlp.solvers.SOLVERS`. Its moments start from zero in every call.
        learning_rate : float, optional
            None: 0.001.
        momentum : float, optional
            Of "sgd", in [0, 1]. None: 0.9.
        nesterov : bool, optional
            Of "sgd". None: True.
        beta_1, beta_2, epsilon : float, optional
            Of "adam". None: 0.9, 0.999, 1e-8.
        batch_size : int, optional
            Rows a step; the last batch of an epoch may be smaller. None: 200. Never more than there are rows.
        epochs : int, default=200
            How often training goes through all rows; at least 1.
        shuffle : bool, default=True
            Whether every epoch goes through the rows in a new order.
        random_state : int, numpy.random.RandomState or None, default=None
            Source of the shuffles and, before the first of them, where an activation draws (randomized_leaky_relu), of
            the key of its random numbers. None: the network's own, so that a network with a seed is trained like
            scikit-learn's with the same seed.
        callback : callable, optional
            ``callback(net, epoch, loss)`` after every epoch, counted from 1; training stops when it returns true.

        Returns
        -------
        list of float
            For every epoch the mean over its batches of their mean losses before the step, counted by their rows; L2
            term included.

        Raises
        ------
        TypeError, ValueError
            When an argument is not what is expected, a hyperparameter is not one of the solver's, or there is no
            gradient through one of the activations: before anything is done. ValueError also when a parameter is no
            longer finite: the parameters of before the call are put back.
        ZeroDivisionError
            When the sample weights of a batch sum to zero (a ValueError when all are zero); likewise.

        Warns
        -----
        UserWarning
            When the user interrupts training (Ctrl-C): the parameters are those of the last whole step.

        Notes
        -----
        An exception raised by `callback` goes on to the caller; the parameters are those of the last epoch.

        Examples
        --------
        >>> from fastmlp import Network
        >>> net = Network([1, 1], random_state=0)
        >>> curve = net.fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0], solver="sgd", learning_rate=0.1, epochs=300)
        >>> net.coefs[0].round(3).item(), net.intercepts[0].round(3).item()
        (2.0, 1.0)

        Early stopping by rows of one's own, with the best parameters kept:

        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> X, X_val = rng.normal(size=(30, 5)), rng.normal(size=(30, 5))
        >>> Y, Y_val = X[:, 0] + rng.normal(size=30), X_val[:, 0] + rng.normal(size=30)
        >>> net, best = Network([5, 20, 1], random_state=0), [np.inf, 0, None]
        >>> def stop(net, epoch, loss):
        ...     validation = net.loss(X_val, Y_val)
        ...     if validation < best[0]:
        ...         best[:] = validation, epoch, net.get_parameters()
        ...     return epoch - best[1] >= 10
        >>> curve = net.fit(X, Y, learning_rate=0.01, epochs=1000, callback=stop)
        >>> net.set_parameters(best[2])
        >>> len(curve) == best[1] + 10, net.loss(X_val, Y_val) == best[0]
        (True, True)
        """
        self._spec.check_differentiable()
        given = {
            "learning_rate": learning_rate,
            "momentum": momentum,
            "nesterov": nesterov,
            "beta_1": beta_1,
            "beta_2": beta_2,
            "epsilon": epsilon,
        }
        hyper = {name: value for name, value in given.items() if value is not None}
        state = SolverState.fresh(solver, self.n_parameters, self.dtype, **hyper)
        epochs = check_count("epochs", epochs)
        batch_size = DEFAULT_BATCH_SIZE if batch_size is None else check_count("batch_size", batch_size)
        shuffle = check_bool("shuffle", shuffle)
        if callback is not None and not callable(callback):
            raise TypeError(f"callback must be callable, got {callback!r}.")
        random_state = self._random_state if random_state is None else check_random_state(random_state)
        data = self._check_data(X, Y, sample_weight)

        batch_size = min(batch_size, data.X.shape[0])
        key = draw_key(self._spec, random_state)
        plan = Plan(state, batch_size, alpha=self._alpha, shuffle=shuffle, random_state=random_state, key=key)
        make_trainer = self._resolve_backend().trainer
        trainer = call_requesting(self._n_threads, make_trainer, self._spec, self._params, data, plan)
        after_epoch = None if callback is None else lambda epoch, loss: callback(self, epoch, loss)
        return run_training(trainer, self._params, epochs, after_epoch)

    def __repr__(self) -> str:
        head = ("layer", "coefs", "intercepts", "activation", "parameters")
        rows = [head]
        layers = zip(self._spec.activations, self.coefs, self.intercepts, strict=True)
        for i, ((name, block), W, b) in enumerate(layers, start=1):
            entry = ACTIVATIONS.get(name)  # one's own may have been taken out
            keys = [f"{key}=" for key in entry.parameters] if entry is not None else [""] * len(block)
            pairs = zip(keys, block, strict=False)
            shown = name + ("(" + ", ".join(f"{key}{value:g}" for key, value in pairs) + ")" if block else "")
            rows.append((str(i), str(W.shape), str(b.shape), shown, str(W.size + b.size)))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            f"Network({list(self.units)}, loss={self._spec.loss!r}, alpha={self._alpha:g}, dtype={self.dtype.name!r}): "
            f"{self.n_parameters} parameters"
        ]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            lines.append(("  " + "  ".join(cells)).rstrip())
        return "\n".join(lines)

    def __getstate__(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "units": self._spec.units,
            "activations": self._spec.activations,
            "loss": self._spec.loss,
            "dtype": self._spec.dtype.name,
            "alpha": self._alpha,
            "backend": self._backend_name,
            "n_threads": self._n_threads,
            "parameters": self._params.copy(),
            "random_state": deepcopy(self._random_state),
            "attributes": {name: value for name, value in vars(self).items() if name not in _OWN},
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        if state.get("format") != _FORMAT:
            raise ValueError(f"A pickled Network must have format {_FORMAT}, got {state.get('format')!r}.")
        missing = [key for key in _STATE if key not in state]
        if missing:
            raise ValueError(f"A pickled Network must hold {', '.join(_STATE)}, got none of {', '.join(missing)}.")
        *hidden, output = [(name, _by_name(name, block)) for name, block in state["activations"]]
        registered(LOSSES, "loss", state["loss"])
        spec = make_spec(state["units"], hidden, output, state["loss"], state["dtype"])
        parameters = as_numbers("parameters", state["parameters"])
        expected = (spec.layout.n_parameters,)
        if parameters.shape != expected:
            raise ValueError(
                f"The parameters of a pickled Network {list(spec.units)} must have shape {expected}, got "
                f"{parameters.shape}."
            )
        random_state = check_random_state(state["random_state"])
        self._set_up(spec, state["alpha"], random_state, state["backend"], state["n_threads"])
        self._params[:] = parameters
        vars(self).update({name: value for name, value in state.get("attributes", {}).items() if name not in _OWN})


def _by_name(activation: str, block: Sequence[float]) -> dict[str, float]:
    """Return the parameters of an activation that a pickle refers to, by name."""
    names = registered(ACTIVATIONS, "activation", activation).parameters
    if len(block) != len(names):
        raise ValueError(
            f"The activation {activation!r} has {len(names)} parameters, got {len(block)}: it has been registered with "
            "others than those that were pickled."
        )
    return dict(zip(names, block, strict=True))


def _check_list(name: str, arrays: Sequence[Any]) -> list[Any]:
    if isinstance(arrays, (str, bytes, dict)) or not hasattr(arrays, "__iter__"):
        raise TypeError(f"{name} must be a list of arrays, one for each layer, got {type(arrays).__name__}.")
    return list(arrays)


load_c_core()
