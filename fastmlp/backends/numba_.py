"""The backend that Numba compiles when it is first used: as fast as machine code, without a C compiler.

Arrays are checked and bound here; `_numba_core` computes. Compiled code returns to Python after a bounded amount of
work, so that signals are served, and the global interpreter lock is released while it runs. What has been compiled is
kept on disk, by Numba, for the next process.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np

from fastmlp._held import Noted
from fastmlp._validation import check_finite, check_structure
from fastmlp.activations import ACTIVATIONS
from fastmlp.backends import Data, EpochLosses, Evaluator, LossParts, Plan
from fastmlp.backends import _numba_core as core
from fastmlp.backends._checks import check_targets, checked, checked_order, checked_shape, checked_vector, csr_arrays
from fastmlp.backends._numba_formulas import activation_kernel, loss_kernel, update_kernel
from fastmlp.backends._numba_jit import TILE_ROWS, VECTOR_BYTES
from fastmlp.layout import aligned_zeros
from fastmlp.losses import LOSSES
from fastmlp.spec import NetworkSpec

_WORK_PER_CALL = 100_000_000
"""Flops of a forward pass between two chances for signals: 50 ms at 2 GFLOP/s."""

compiled = cache(core.compiled)


class NumbaBackend:
    """The `fastmlp.backends.Backend` of this module.

    Examples
    --------
    >>> import numpy as np
    >>> from fastmlp.backends.numba_ import NumbaBackend
    >>> from fastmlp.spec import make_spec
    >>> spec = make_spec([2, 1], "tanh", "identity", "squared_error", "float64")
    >>> NumbaBackend().forward(spec, np.array([1.0, 10.0, 0.5]), np.array([[1.0, 2.0]]))
    array([[21.5]])
    """

    name = "numba"
    isa = "-"
    n_threads = 1
    takes_any_order = False

    def forward(self, spec: NetworkSpec, params: np.ndarray, X: Any, *, finite: bool = False) -> np.ndarray:
        """Return the outputs, shape (n, units[-1]). finite: raise ValueError where a dense X is not."""
        if finite and isinstance(X, np.ndarray):
            check_finite("X", X)
        out = np.empty((X.shape[0], spec.units[-1]), spec.dtype)
        network = _Network.of(spec, "forward")
        step = max(core.BLOCK_ROWS, _WORK_PER_CALL // (2 * spec.layout.n_parameters))
        for _ in network.pass_forward(params, X, out, step):
            pass
        return out

    def layers(self, spec: NetworkSpec, params: np.ndarray, X: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return pre-activations and activations of all weight layers, each of shape (n, fan_out)."""
        n = X.shape[0]
        z, a = ([np.empty((n, width), spec.dtype) for width in spec.units[1:]] for _ in range(2))
        network = _Network.of(spec, "forward")
        for rows, work in network.pass_forward(params, X, np.empty_like(a[-1]), core.BLOCK_ROWS):
            for depth, layer in enumerate(network.layers):
                for array, start in ((z[depth], layer["z"]), (a[depth], layer["a"])):
                    block = work[start : start + (rows.stop - rows.start) * layer["ld"]]
                    array[rows] = block.reshape(-1, layer["ld"])[:, : layer["fan_out"]]
        return z, a

    def loss(self, spec: NetworkSpec, params: np.ndarray, data: Data, alpha: float) -> LossParts:
        """Return the loss over all rows.

        Raises
        ------
        ZeroDivisionError
            When the sample weights sum to zero.
        """
        return _loss_pass(spec, params, data, alpha, None)

    def loss_grad(self, spec: NetworkSpec, params: np.ndarray, data: Data, alpha: float, grad: np.ndarray) -> LossParts:
        """Return the loss over all rows and write the gradient of the mean loss, L2 term included, into `grad`.

        Raises
        ------
        ZeroDivisionError
            When the sample weights sum to zero.
        ValueError
            When there is no gradient through one of the activations.
        """
        return _loss_pass(spec, params, data, alpha, grad)

    def evaluator(self, spec: NetworkSpec, data: Data) -> Evaluator:
        """Return `loss_grad` over `data`."""
        return lambda params, alpha, grad: self.loss_grad(spec, params, data, alpha, grad)

    def trainer(self, spec: NetworkSpec, params: np.ndarray, data: Data, plan: Plan) -> NumbaTrainer:
        """Return a `NumbaTrainer` that updates `params` in place."""
        return NumbaTrainer(spec, params, data, plan)


def _rows(spec: NetworkSpec, X: Any) -> tuple[np.ndarray, ...]:
    """Return dense rows of float32, of float64, and CSR's indptr, indices and data: what X is not is empty."""
    shape = checked_shape(spec, X)
    x32, x64 = np.empty((0, 0), np.float32), np.empty((0, 0))
    indptr, indices, data = np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, spec.dtype)
    if not isinstance(X, np.ndarray):
        indptr, indices, data = csr_arrays(X, spec.dtype)
        check_structure(SimpleNamespace(indptr=indptr, indices=indices, data=data, shape=shape))
    elif X.dtype == np.float32:
        x32 = checked(X, np.float32)
    else:
        x64 = checked(X, np.float64)
    return x32, x64, indptr, indices, data


def _targets(spec: NetworkSpec, data: Data) -> tuple[np.ndarray, ...]:
    """Return class codes, target rows and sample weights: what is not given is empty."""
    check_targets(spec, data)
    codes, y, weights = np.empty(0, np.int32), np.empty((0, 0), spec.dtype), np.empty(0, spec.dtype)
    if data.targets.ndim == 1:
        codes = checked(data.targets, np.int32)
    else:
        y = checked(data.targets, spec.dtype)
    if data.sample_weight is not None:
        weights = checked(data.sample_weight, spec.dtype)
    return codes, y, weights


class _Network:
    """A network as compiled code takes it, for one purpose: "forward", "loss" or "gradient".

    Parameters
    ----------
    spec : NetworkSpec
    purpose : str
        The kernels that it needs are compiled, no others.
    """

    def __init__(self, spec: NetworkSpec, purpose: str) -> None:
        self.spec, self.real = spec, spec.dtype.type
        self.record, self.layers = np.zeros(1, core.NETWORK), np.zeros(spec.n_layers, core.LAYER)
        self.constants = np.zeros(1 + sum(len(block) for _, block in spec.activations), spec.dtype)
        self._kernels: list[Any] = []
        self._lay_out()
        self._link(purpose)

    @staticmethod
    def of(spec: NetworkSpec, purpose: str) -> _Network:
        """Return the one network of a spec and purpose."""
        return _network(spec, purpose, spec.own)

    def _lay_out(self) -> None:
        spec, record, end, lanes = self.spec, self.record[0], 0, VECTOR_BYTES // self.spec.dtype.itemsize
        record["lanes"] = lanes
        record["n_coefs"], record["n_parameters"] = spec.layout.n_coefs, spec.layout.n_parameters

        def padded(n: int) -> int:
            return -(-n // lanes) * lanes

        def take(rows: int, width: int) -> int:
            nonlocal end
            start, end = end, end + -(-rows // TILE_ROWS) * TILE_ROWS * padded(width)
            return start

        rows, coefs, intercepts = core.BLOCK_ROWS, 0, spec.layout.n_coefs
        inputs = take(rows, spec.units[0])
        for depth, layer in enumerate(self.layers):
            fan_in, fan_out = spec.units[depth : depth + 2]
            layer["fan_in"], layer["fan_out"] = fan_in, fan_out
            layer["ld_in"], layer["ld"] = padded(fan_in), padded(fan_out)
            layer["coefs"], layer["intercepts"] = coefs, intercepts
            layer["weights"], layer["weights_grad"] = take(fan_in, fan_out), take(fan_in, fan_out)
            layer["transposed"] = take(fan_out, fan_in)
            layer["bias"], layer["bias_grad"] = take(1, fan_out), take(1, fan_out)
            layer["input"], layer["z"], layer["a"] = inputs, take(rows, fan_out), take(rows, fan_out)
            # Where nothing is drawn, any address will do.
            layer["u"] = take(rows, fan_out) if ACTIVATIONS[spec.activations[depth][0]].draws else layer["a"]
            coefs, intercepts, inputs = coefs + fan_in * fan_out, intercepts + fan_out, layer["a"]
        record["targets"], record["terms"] = take(rows, spec.units[-1]), take(rows, spec.units[-1])
        record["delta"], record["next_delta"] = (take(rows, max(spec.units)) for _ in range(2))
        self._size = end

    def _link(self, purpose: str) -> None:
        spec, record, real, place = self.spec, self.record[0], self.real, 0
        output, categorical, loss = spec.activations[-1][0], spec.is_categorical, LOSSES[spec.loss]
        record["canonical"] = output in loss.canonical
        for layer, (name, block) in zip(self.layers, spec.activations, strict=True):
            layer["parameters"] = place
            self.constants[place : place + len(block)] = block
            place += len(block)
            layer["needs_z"], layer["draws"] = ACTIVATIONS[name].needs == "preactivation", ACTIVATIONS[name].draws
            layer["value"] = self._address(activation_kernel(ACTIVATIONS[name], real, derivative=False))
            if purpose == "gradient":
                layer["backward"] = self._address(activation_kernel(ACTIVATIONS[name], real, derivative=True))
        if purpose != "forward":
            record["term"] = self._address(loss_kernel(loss, real, categorical=categorical, derivative=False))
        if purpose == "gradient" and not record["canonical"]:
            record["derivative"] = self._address(loss_kernel(loss, real, categorical=categorical, derivative=True))

    def _address(self, kernel: Any) -> int:
        # Kernels of functions that are no longer registered live as long as a network that calls them.
        self._kernels.append(kernel)
        return kernel.address

    def arguments(self, params: np.ndarray, X: Any, order: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
        """Return what all compiled functions begin with; `order` has the rows that count, None is all of them."""
        record = self.record.copy()
        record["sparse"] = not isinstance(X, np.ndarray)
        record["x_is_float64"] = X.dtype == np.float64
        if order is None:
            order = np.arange(X.shape[0], dtype=np.int32)
        return record, self.layers, self.constants, checked_vector(self.spec, params), *_rows(self.spec, X), order

    def arguments_with_targets(
        self, params: np.ndarray, data: Data, order: np.ndarray | None = None
    ) -> tuple[np.ndarray, ...]:
        """Return those, and the targets and sample weights."""
        record, *others = self.arguments(params, data.X, order)
        record["has_codes"], record["has_weights"] = data.targets.ndim == 1, data.sample_weight is not None
        return record, *others, *_targets(self.spec, data)

    def work(self) -> np.ndarray:
        """Return the memory of a call."""
        return aligned_zeros(self._size, self.spec.dtype)

    def pass_forward(self, params: np.ndarray, X: Any, out: np.ndarray, step: int) -> Any:
        """Fill `out`, so many rows at a time; yield the rows and the memory of the call after each time."""
        work, n = self.work(), X.shape[0]
        run = compiled("forward", self.real)
        arguments = self.arguments(params, X)
        for first in range(0, n, step):
            rows = slice(first, min(first + step, n))
            run(*arguments, rows.start, rows.stop, work, out)
            yield rows, work


@lru_cache(maxsize=256)
def _network(spec: NetworkSpec, purpose: str, own: tuple[Any, ...]) -> _Network:
    # `own` is part of the key: a name may come to stand for another function.
    return _Network(spec, purpose)


def _raise_for(status: int) -> None:
    if status == core.ZERO_WEIGHT:
        raise ZeroDivisionError("Weights sum to zero, can't be normalized")


def _loss_pass(spec: NetworkSpec, params: np.ndarray, data: Data, alpha: float, grad: np.ndarray | None) -> LossParts:
    if grad is not None:
        spec.check_differentiable()
    network = _Network.of(spec, "loss" if grad is None else "gradient")
    run = np.zeros(1, core.RUN)
    run["alpha"], run["with_gradient"] = alpha, grad is not None
    gradient = np.empty(0, spec.dtype) if grad is None else checked_vector(spec, grad)
    arguments = network.arguments_with_targets(params, data)
    work, loss = network.work(), compiled("loss", network.real)
    status = core.PAUSED
    while status == core.PAUSED:
        status = loss(*arguments, run, work, gradient)
    _raise_for(status)
    return LossParts(*(float(run[name][0]) for name in ("loss", "l2", "weight")))


class NumbaTrainer:
    """Epochs over one `Data` under one `Plan`, in compiled code.

    Parameters
    ----------
    spec : NetworkSpec
    params : ndarray of shape (n_parameters,)
        Updated in place, whole steps at a time.
    data : Data
    plan : Plan
    """

    def __init__(self, spec: NetworkSpec, params: np.ndarray, data: Data, plan: Plan) -> None:
        spec.check_differentiable()
        plan.solver.check(spec.layout.n_parameters)
        n = data.X.shape[0]
        self.spec, self.plan = spec, plan
        network = _Network.of(spec, "gradient")
        self._train, self._update = compiled("train", network.real), update_kernel(plan.solver.name, network.real)
        order = np.arange(n, dtype=np.int32) if plan.rows is None else checked_order(plan.rows, n)
        if not (plan.shuffle or order.flags.writeable):
            order = order.copy()
        self._run = np.zeros(1, core.RUN)
        self._run["with_gradient"] = self._run["is_training"] = 1
        self._run["key"] = np.uint64(plan.key).astype(np.int64)
        self._noted: Any = nullcontext()
        self._lock: Any = nullcontext()
        self._order = order if plan.shuffles_apart else None
        if plan.shuffle and self._order is None:
            self._bit_generator = generator = plan.random_state._bit_generator  # kept alive
            self._noted, self._lock = Noted(generator.lock), generator.lock
            self._run["generator"] = generator.ctypes.bit_generator.value
        self._data = network.arguments_with_targets(params, data, order)
        self._scratch = network.work(), aligned_zeros(len(params), spec.dtype)
        moments = [checked_vector(spec, moment) for moment in plan.solver.moments]
        # Two, whatever the solver needs: the update leaves the others as they are.
        self._moments = (moments + [aligned_zeros(len(params), spec.dtype) for _ in range(2)])[:2]

    def run(self, n_epochs: int) -> EpochLosses:
        """Run `n_epochs` epochs and return the losses of each.

        Raises
        ------
        ZeroDivisionError
            When the sample weights of a batch sum to zero.
        """
        run, state = self._run, self.plan.solver
        losses = EpochLosses(data=np.zeros(n_epochs), l2=np.zeros(n_epochs))
        hyper = np.array(state.values())
        run["alpha"], run["batch_size"] = self.plan.alpha, self.plan.batch_size
        run["t"], run["update"] = state.t, self._update.address
        for name in ("epoch", "row", "batch_row"):
            run[name] = 0
        try:
            for end in [n_epochs] if self._order is None else range(1, n_epochs + 1):
                run["n_epochs"] = end
                if self._order is not None:
                    self.plan.shuffle_rows(self._order)
                status = core.PAUSED
                with self._noted, self._lock:
                    while status == core.PAUSED:
                        status = self._train(*self._data, run, *self._scratch, hyper, *self._moments, *losses)
                _raise_for(status)
        finally:
            state.t = int(run["t"][0])
            self.completed = losses.head(int(run["epoch"][0]))
        return losses
