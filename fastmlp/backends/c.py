"""The compiled backend.

C returns to Python after a bounded amount of work, so that signals are served; the global interpreter lock is released
while it runs.
"""

from __future__ import annotations

import math
import os
import threading
from contextlib import nullcontext
from typing import Any

import numpy as np

from fastmlp import __version__
from fastmlp._held import Noted
from fastmlp._threads import available, get_limit, register_with_threadpoolctl
from fastmlp._validation import check_finite
from fastmlp.backends import Data, EpochLosses, LossParts, Plan, has_own_shuffle
from fastmlp.backends._c_interface import (
    DTYPE_CODES,
    SOLVER_CODES,
    Bound,
    check_status,
    check_unchanged,
    ffi,
    input_pointer,
    lib,
    network_struct,
    output_pointer,
    parameters_pointer,
    rows_struct,
    set_piece,
    targets_struct,
    threads_worth,
    workspace_buffer,
)
from fastmlp.backends._checks import checked_order
from fastmlp.layout import ALIGNMENT, aligned_zeros
from fastmlp.spec import NetworkSpec

_WORK_PER_CALL = 100_000_000
"""Flops of a forward pass between two chances for signals: 50 ms at 2 GFLOP/s."""
_WORK_OF_FEW_ROWS = 8_000_000_000
"""The same of a wide network, whose weights are read anew in each call: 100 ms at 80 GFLOP/s."""
_OUTPUTS_PER_CALL = 1 << 20
"""Outputs of a prediction of codes that are kept at a time."""


def choose_isa(cap: str | None) -> str:
    """Choose the best kernels of processor and compiler up to `cap` and return their instruction set's name."""
    isa = lib.fm_init(cap.encode() if cap else ffi.NULL)
    if isa < 0:
        names = ", ".join(repr(ffi.string(lib.fm_isa_name(i)).decode()) for i in range(lib.FM_N_ISAS))
        raise ValueError(f"FASTMLP_ISA must be one of {names}, got {cap!r}.")
    return ffi.string(lib.fm_isa_name(isa)).decode()


class CBackend:
    """The `fastmlp.backends.Backend` of this module.

    Examples
    --------
    >>> import numpy as np
    >>> from fastmlp.backends.c import CBackend
    >>> from fastmlp.spec import make_spec
    >>> spec = make_spec([2, 1], "tanh", "identity", "squared_error", "float64")
    >>> CBackend().forward(spec, np.array([1.0, 10.0, 0.5]), np.array([[1.0, 2.0]]))
    array([[21.5]])
    """

    name = "c"
    takes_any_order = True

    def __init__(self) -> None:
        self.isa = choose_isa(os.environ.get("FASTMLP_ISA"))
        available()  # an unusable FASTMLP_NUM_THREADS is an error now

    @property
    def n_threads(self) -> int:
        """Most threads of a call that does not ask for a number."""
        return get_limit()

    def forward(self, spec: NetworkSpec, params: np.ndarray, X: Any, *, finite: bool = False) -> np.ndarray:
        """Return the outputs, shape (n, units[-1]). finite: raise ValueError where X is not."""
        out = np.empty((X.shape[0], spec.units[-1]), spec.dtype)
        _forward(spec, params, X, out, [], [], finite=finite)
        return out

    def bind(self, spec: NetworkSpec, params: np.ndarray, form: str = "outputs", *, finite: bool = False) -> Binding:
        """Return network and parameters bound for many predictions; see `Binding`."""
        return Binding(spec, params, form, finite)

    def layers(self, spec: NetworkSpec, params: np.ndarray, X: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return pre-activations and activations of all weight layers, each of shape (n, fan_out)."""
        z, a = ([np.empty((X.shape[0], n), spec.dtype) for n in spec.units[1:]] for _ in range(2))
        _forward(spec, params, X, a[-1], z, a)
        return z, a

    def loss(self, spec: NetworkSpec, params: np.ndarray, data: Data, alpha: float) -> LossParts:
        """Return the loss over all rows."""
        return CEvaluator(spec, data)(params, alpha, None)

    def loss_grad(self, spec: NetworkSpec, params: np.ndarray, data: Data, alpha: float, grad: np.ndarray) -> LossParts:
        """Return the loss over all rows and write the gradient of the mean loss, L2 term included, into `grad`.

        Raises
        ------
        ZeroDivisionError
            When the sample weights sum to zero.
        ValueError
            When there is no gradient through one of the activations.
        """
        return CEvaluator(spec, data)(params, alpha, grad)

    def evaluator(self, spec: NetworkSpec, data: Data) -> CEvaluator:
        """Return a `CEvaluator` over `data`."""
        return CEvaluator(spec, data)

    def trainer(self, spec: NetworkSpec, params: np.ndarray, data: Data, plan: Plan) -> CTrainer:
        """Return a `CTrainer` that updates `params` in place."""
        return CTrainer(spec, params, data, plan)

    def stepper(self, spec: NetworkSpec, params: np.ndarray, plan: Plan, capacity: int, coded: bool) -> CStepper:
        """Return a `CStepper` that updates `params` in place."""
        return CStepper(spec, params, plan, capacity, coded)


def _rows_per_call(spec: NetworkSpec) -> int:
    """Return the rows of a forward pass between two chances for signals."""
    flops = 2 * spec.layout.n_parameters
    return max(1, min(256, _WORK_OF_FEW_ROWS // flops), _WORK_PER_CALL // flops)


def _forward(
    spec: NetworkSpec,
    params: np.ndarray,
    X: Any,
    out: np.ndarray,
    z: list[np.ndarray],
    a: list[np.ndarray],
    *,
    finite: bool = False,
) -> None:
    """Fill `out`, and where given the arrays of all layers, in pieces of bounded work."""
    network, rows, weights = network_struct(spec), rows_struct(spec, X), parameters_pointer(spec, params)
    n, itemsize = check_unchanged(rows, len(out)), spec.dtype.itemsize
    arrays = [output_pointer("char *", array, spec.dtype) for array in (out, *z, *a)]
    widths = [spec.units[-1], *spec.units[1:] * 2][: len(arrays)]
    step = _rows_per_call(spec)
    n_threads = threads_worth(lib.fm_forward_threads, network, rows, min(step, n))
    workspace = workspace_buffer(lib.fm_forward_workspace(network.struct, rows.struct, min(step, n), n_threads))
    piece = ffi.new("fm_rows *", rows.struct[0])
    for first in range(0, n, step):
        set_piece(piece, rows.struct, first, min(step, n - first))
        place, *layers = (array + first * width * itemsize for array, width in zip(arrays, widths, strict=True))
        half = len(layers) // 2
        before, after = (ffi.new("void *[]", part) if part else ffi.NULL for part in (layers[:half], layers[half:]))
        status = lib.fm_forward(network.struct, weights, piece, place, before, after, finite, n_threads, *workspace)
        if status == lib.FM_NOT_FINITE:
            check_finite("X", X if isinstance(X, np.ndarray) else X.data)
        check_status(status, spec)


class Binding:
    """A network and its parameters, with all that a call of C needs looked up once, for predictions without delay.

    A call is ``predict(struct, n, view(X), view(out)) == ok`` for up to `few_rows` rows, and
    ``many(n, X, view(out)) == ok`` for any number; ``view(chars, out, True)`` refuses what is read-only. X is
    (n, units[0]) and of `dtype`, out C-contiguous and of `out_dtype`: the caller has checked that. For `predict` X is
    C-contiguous, for `many` in any order, CSR or CSC. Predictions may run in several threads.

    X and out must not overlap, unless `reads_first` and n is 1: then the row has been read when out is written.

    Parameters
    ----------
    spec : NetworkSpec
    params : ndarray of shape (n_parameters,)
        Kept alive, and read at each call.
    form : {"outputs", "column", "complements", "codes"}
        What a prediction is: the outputs, (n, units[-1]); a single output p, (n,), or 1 - p and p, (n, 2); or int64
        class codes, (n,): whether a single output exceeds 1/2, or the place of the largest.
    finite : bool
        Whether rows that are not finite are refused, by a status that is not `ok`.
    """

    predict = staticmethod(lib.fm_predict)
    view = staticmethod(ffi.from_buffer)
    chars = ffi.typeof("char *")
    ok = lib.FM_OK

    def __init__(self, spec: NetworkSpec, params: np.ndarray, form: str, finite: bool) -> None:
        self._spec, self.dtype = spec, spec.dtype
        self.width = spec.units[0]
        code, self.shape = {
            "outputs": (lib.FM_OUTPUTS, (spec.units[-1],)),
            "column": (lib.FM_OUTPUTS, ()),
            "complements": (lib.FM_COMPLEMENTS, (2,)),
            "codes": (lib.FM_CODES, ()),
        }[form]
        self.out_dtype = np.dtype(np.int64) if form == "codes" else spec.dtype
        self._network, self._params = network_struct(spec), parameters_pointer(spec, params)
        self.struct = struct = ffi.new("fm_binding *")
        struct.net, struct.params = self._network.struct, self._params
        struct.form, struct.check_finite = code, finite
        check_status(lib.fm_bind(struct), spec)
        self.few_rows = struct.few_rows
        # A layer that is the first and the last one writes while it reads.
        self.reads_first = spec.n_layers > 1
        # Bounded in work, for signals, and in memory for what codes are read off.
        self._rows_per_call = min(_rows_per_call(spec), max(256, _OUTPUTS_PER_CALL // spec.units[-1]))

    def _rows(self, n: int, X: Any) -> Bound:
        if type(X) is np.ndarray and X.flags.c_contiguous:  # the usual one, in half the time
            x = self.view(X)
            if len(x) == n * self.width * self.dtype.itemsize:
                return Bound(ffi.new("fm_rows *", (n, self._network.struct.dtype, x, self.width, 1)), x)
        rows = rows_struct(self._spec, X)
        check_unchanged(rows, n)
        return rows

    def many(self, n: int, X: Any, out: Any, n_threads: int | None = None) -> int:
        """Predict n rows in pieces of bounded work and memory; return a status.

        Raises
        ------
        ValueError
            When X is not aligned, not a valid CSR or CSC matrix without duplicates, CSR that is not sorted, or has
            other than n rows.
        """
        rows = self._rows(n, X)
        step = min(n, self._rows_per_call)
        n_threads = threads_worth(lib.fm_forward_threads, self._network, rows, step, n_threads)
        size = lib.fm_predict_workspace(self.struct, rows.struct, step, n_threads)
        scratch = ffi.from_buffer(np.empty(size + ALIGNMENT, np.uint8))
        workspace = scratch + -int(ffi.cast("uintptr_t", scratch)) % ALIGNMENT
        out_bytes = math.prod(self.shape) * self.out_dtype.itemsize
        piece = rows.struct if step == n else ffi.new("fm_rows *", rows.struct[0])
        for first in range(0, n, step):
            if step < n:
                set_piece(piece, rows.struct, first, min(step, n - first))
            status = lib.fm_predict_many(self.struct, piece, out + first * out_bytes, n_threads, workspace, size)
            if status != lib.FM_OK:
                return status
        return lib.FM_OK


class CEvaluator:
    """The loss over one `Data` and its gradient, at one parameter vector after another, with one workspace.

    Not for two threads at a time.

    Parameters
    ----------
    spec : NetworkSpec
    data : Data
    """

    def __init__(self, spec: NetworkSpec, data: Data) -> None:
        n = data.X.shape[0]
        self._spec, self._network = spec, network_struct(spec)
        self._rows, self._targets = rows_struct(spec, data.X), targets_struct(spec, data)
        self._n_threads = threads_worth(lib.fm_gradient_threads, self._network, self._rows, n)
        self._workspace = workspace_buffer(
            lib.fm_gradient_workspace(self._network.struct, self._rows.struct, n, self._n_threads)
        )

    def __call__(self, params: np.ndarray, alpha: float, grad: np.ndarray | None) -> LossParts:
        """Return the loss over all rows and, unless `grad` is None, write the gradient: `CBackend.loss_grad`."""
        weights = parameters_pointer(self._spec, params)
        run = ffi.new("fm_pass *")
        run.alpha, run.n_threads = alpha, self._n_threads
        if grad is not None:
            run.grad = kept = parameters_pointer(self._spec, grad, written=True)  # noqa: F841 (keeps the buffer)
        status = lib.FM_PAUSED
        while status == lib.FM_PAUSED:
            status = lib.fm_loss_grad(
                self._network.struct, weights, self._rows.struct, self._targets.struct, run, *self._workspace
            )
        check_status(status, self._spec)
        return LossParts(run.loss_sum, run.l2, run.weight_sum)


class CTrainer:
    """Epochs over one `Data` under one `Plan`, in C.

    Parameters
    ----------
    spec : NetworkSpec
    params : ndarray of shape (n_parameters,)
        Updated in place, whole steps at a time.
    data : Data
    plan : Plan
    """

    def __init__(self, spec: NetworkSpec, params: np.ndarray, data: Data, plan: Plan) -> None:
        plan.solver.check(spec.layout.n_parameters)
        n = data.X.shape[0]
        self.spec, self.plan = spec, plan
        self._network = network_struct(spec)
        self._rows, self._targets = rows_struct(spec, data.X), targets_struct(spec, data)
        self._params = parameters_pointer(spec, params, written=True)
        self._grad = parameters_pointer(spec, aligned_zeros(len(params), spec.dtype), written=True)
        self._run = run = ffi.new("fm_training *")
        run.solver = SOLVER_CODES[plan.solver.name]
        run.batch_size, run.alpha, run.key, run.grad = plan.batch_size, plan.alpha, plan.key, self._grad
        self._moments = [parameters_pointer(spec, moment, written=True) for moment in plan.solver.moments]
        for i, moment in enumerate(self._moments):
            run.moments[i] = moment
        order = None
        if plan.rows is not None:
            order = checked_order(plan.rows, n)
        elif plan.shuffle:
            order = np.arange(n, dtype=np.int32)
        self._order = order
        if order is not None:
            run.index = self._index = output_pointer("int32_t *", order, order.dtype)
            run.n_index = len(order)
        self._apart = plan.shuffles_apart
        self._bit_generator: Any = None
        self._noted: Any = nullcontext()
        self._lock: Any = nullcontext()
        if plan.shuffle:
            run.shuffle = not self._apart
            self._take_generator()
        batch_rows = min(plan.batch_size, n if order is None else len(order))
        run.n_threads = threads_worth(lib.fm_gradient_threads, self._network, self._rows, batch_rows)
        self._workspace = workspace_buffer(
            lib.fm_gradient_workspace(self._network.struct, self._rows.struct, batch_rows, run.n_threads)
        )

    def run(self, n_epochs: int) -> EpochLosses:
        """Run `n_epochs` epochs and return the losses of each.

        Raises
        ------
        ZeroDivisionError
            When the sample weights of a batch sum to zero.
        """
        run = self._run
        losses = EpochLosses(data=np.zeros(n_epochs), l2=np.zeros(n_epochs))
        run.hyper = hyper = ffi.new("double[]", self.plan.solver.values())  # noqa: F841 (kept alive)
        run.data_losses = data = output_pointer("double *", losses.data, losses.data.dtype)  # noqa: F841 (kept alive)
        run.l2_losses = l2 = output_pointer("double *", losses.l2, losses.l2.dtype)  # noqa: F841 (kept alive)
        run.epoch = 0  # for an interrupt on the first line of what follows
        try:
            self._run_epochs(n_epochs)
        finally:
            self.completed = losses.head(run.epoch)
        return losses

    def _run_epochs(self, n_epochs: int) -> None:
        """Run epochs from the first on, and note the steps taken, whatever happens."""
        run, state = self._run, self.plan.solver
        run.t, run.epoch, run.row, run.batch_row = state.t, 0, 0, 0
        try:
            if not self._apart:
                run.n_epochs = n_epochs
                with self._noted, self._lock:
                    self._go_on()
                return
            for run.n_epochs in range(1, n_epochs + 1):
                self._shuffle_apart()
                self._go_on()
        finally:
            state.t = run.t

    def _shuffle_apart(self) -> None:
        if has_own_shuffle(self.plan.random_state):
            self.plan.shuffle_rows(self._order)
            return
        if self._bit_generator is not self.plan.random_state._bit_generator:
            self._take_generator()
        with self._noted, self._lock:
            lib.fm_shuffle(self._run.bitgen, self._run.n_index, self._run.index)

    def _take_generator(self) -> None:
        """Hand C the generator that the random state has now, and keep it alive: NumPy's own may be exchanged."""
        self._bit_generator = generator = self.plan.random_state._bit_generator
        self._noted, self._lock = Noted(generator.lock), generator.lock
        self._run.bitgen = ffi.cast("void *", generator.ctypes.bit_generator.value)

    def _go_on(self) -> None:
        status = lib.FM_PAUSED
        while status == lib.FM_PAUSED:
            status = lib.fm_train(
                self._network.struct,
                self._params,
                self._rows.struct,
                self._targets.struct,
                self._run,
                *self._workspace,
            )
        check_status(status, self.spec)


class CStepper(CTrainer):
    """Epochs over other rows at each call, at most `capacity` of them, with everything else kept from call to call.

    Parameters
    ----------
    spec : NetworkSpec
    params : ndarray of shape (n_parameters,)
        Updated in place, whole steps at a time.
    plan : Plan
        Without `rows`; `batch_size` is the largest there will be.
    capacity : int
    coded : bool
        Whether targets are class codes.
    """

    def __init__(self, spec: NetworkSpec, params: np.ndarray, plan: Plan, capacity: int, coded: bool) -> None:
        # Rows and targets of that size, which are never read.
        targets = np.empty(capacity, np.int32) if coded else np.empty((capacity, spec.units[-1]), spec.dtype)
        super().__init__(spec, params, Data(np.empty((capacity, spec.units[0]), spec.dtype), targets, hard=coded), plan)
        self._free = threading.Lock()
        self._capacity, self._coded, self._dtype = capacity, coded, DTYPE_CODES[spec.dtype]
        self._width, self._n_outputs, self._n_params = spec.units[0], spec.units[-1], len(params)
        self._in_order = input_pointer("int32_t *", np.arange(capacity, dtype=np.int32), np.dtype(np.int32))
        self._losses = ffi.new("double[2]")
        self._hyper = ffi.new("double[]", len(plan.solver.hyper))
        run = self._run
        run.hyper = self._hyper
        run.data_losses, run.l2_losses = self._losses, self._losses + 1

    def take(self, X: np.ndarray, targets: np.ndarray) -> bool:
        """Take the rows of the next epoch; return whether it can, and if so `leave` must follow.

        Parameters
        ----------
        X : ndarray of shape (n, units[0])
            Of the spec's dtype.
        targets : ndarray
            int32 codes of shape (n,), or real targets of n rows, of the spec's dtype.

        Returns
        -------
        bool
            False where something is not finite, not C-contiguous or not aligned, there are too many rows, or another
            thread is at it.
        """
        n = len(X)
        if n > self._capacity or not (X.flags.aligned and targets.flags.aligned):
            return False
        if not self._free.acquire(blocking=False):
            return False
        self._run.epoch = 0
        rows, into = self._rows.struct, self._targets.struct
        try:
            # The arrays must live, and be no one else's, as long as C has their addresses.
            self._taken = x, y = ffi.from_buffer(X), ffi.from_buffer(targets)
        except ValueError:
            self.leave()
            return False
        rows.n_rows, rows.x = n, x
        is_finite = lib.fm_all_finite(self._dtype, n * self._width, x)
        if self._coded:
            into.codes = ffi.cast("int32_t *", y)
        else:
            into.y = y
            is_finite = is_finite and lib.fm_all_finite(self._dtype, n * self._n_outputs, y)
        if not is_finite:
            self.leave()
        return bool(is_finite)

    def leave(self) -> None:
        """Give the rows back."""
        self._taken = None
        self._free.release()

    def epoch(self, batch_size: int) -> None:
        """Run one epoch over the rows taken."""
        run, n = self._run, self._rows.struct.n_rows
        if run.index:
            ffi.memmove(run.index, self._in_order, 4 * n)
            run.n_index = n
        self._hyper[0 : len(self._hyper)] = self.plan.solver.values()
        run.batch_size = batch_size
        self._run_epochs(1)

    @property
    def losses(self) -> tuple[float, float] | None:
        """Data term and L2 term of the epoch over the rows taken, where that has been run to its end."""
        return (self._losses[0], self._losses[1]) if self._run.epoch == 1 else None

    @property
    def t(self) -> int:
        """Steps taken, by the count of C."""
        return int(self._run.t)

    def is_finite(self) -> bool:
        """Return whether all parameters are finite."""
        return bool(lib.fm_all_finite(self._dtype, self._n_params, self._params))


register_with_threadpoolctl(__version__)
