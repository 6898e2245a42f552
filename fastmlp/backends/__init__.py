"""What a backend is, which ones there are, and how one is chosen.

A backend does the arithmetic of a network: forward pass, loss and gradient, whole epochs of training. It gets checked
input (`NetworkSpec`, C-contiguous arrays of the spec's dtype or CSR, targets in a form below) and keeps no state of its
own between calls, but for the `Trainer` that a fit holds.
"""

from __future__ import annotations

import contextvars
import importlib
import os
import sys
import threading
import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from fastmlp._held import Noted

if TYPE_CHECKING:
    from fastmlp.solvers import SolverState
    from fastmlp.spec import NetworkSpec


class LossParts(NamedTuple):
    """A loss over rows, in the pieces that callers weigh differently."""

    data: float
    """Sum over rows of ``sample_weight * loss(row)``; divide by `weight` for the mean."""
    l2: float
    """``alpha / 2 * sum(w ** 2)`` over the coefs; divide by `weight` for the term of the mean loss."""
    weight: float
    """Sum of the sample weights, or the number of rows without weights."""


@dataclass(eq=False)
class Data:
    """Rows to learn from.

    Attributes
    ----------
    X : ndarray of shape (n, units[0]) or CSR matrix
        C-contiguous (or not: `Backend.takes_any_order`), float32 or float64; where it is not the spec's dtype, rows are
        converted as they are used, a block at a time. A CSR matrix is of the spec's dtype; it is anything with
        ``data``, ``indices``, ``indptr`` and ``shape``, with sorted indices without duplicates (see
        `fastmlp._validation`).
    targets : ndarray
        float of shape (n, units[-1]), C-contiguous and of the spec's dtype; or int32 class codes of shape (n,),
        standing for one-hot rows, or, with one output unit, for 0 and 1.
    sample_weight : ndarray of shape (n,) or None
        Of the spec's dtype.
    hard : bool
        Whether every target row is 0/1 (for softmax: one-hot), so that a log loss is the log of one probability.
    """

    X: Any
    targets: np.ndarray
    sample_weight: np.ndarray | None = None
    hard: bool = False


def has_own_shuffle(random_state: np.random.RandomState) -> bool:
    """Return whether a random state is of a subclass with another ``shuffle`` than NumPy's."""
    kind = type(random_state)
    return kind is not np.random.RandomState and (
        kind.shuffle is not np.random.RandomState.shuffle or "shuffle" in getattr(random_state, "__dict__", ())
    )


@dataclass(eq=False)
class Plan:
    """How to run epochs over a `Data`.

    Attributes
    ----------
    solver : SolverState
        Name, hyperparameters, step count and moments; read at each `Trainer.run`, advanced by it.
    batch_size : int
        Rows a step, at least 1; the last batch of an epoch may be smaller.
    alpha : float
        L2 penalty.
    rows : int32 ndarray or None
        The rows that make an epoch, in order; None is all of them. Shuffled in place (cumulatively) when `shuffle`.
    shuffle : bool
    random_state : numpy.random.RandomState or None
        Source of the shuffles; an epoch draws what ``RandomState.shuffle(rows)`` draws.
    key : int
        Key (64 bits) of the counter-based random numbers of activations that draw, in [0, 2**64). The counter's step is
        the number of steps that the solver took before.
    """

    solver: SolverState
    batch_size: int
    alpha: float = 0.0
    rows: np.ndarray | None = None
    shuffle: bool = False
    random_state: np.random.RandomState | None = None
    key: int = 0

    @property
    def shuffles_apart(self) -> bool:
        """Whether each epoch is shuffled by itself, before it runs, and not within a call of many epochs.

        So it is with a shuffle of the user's own, and with NumPy's global generator: all threads draw from that, and a
        forked child inherits its lock as it is, so that it must be held for a shuffle, not for whole epochs.
        """
        return self.shuffle and (self.random_state is np.random.mtrand._rand or has_own_shuffle(self.random_state))

    def shuffle_rows(self, rows: np.ndarray) -> None:
        """Put the rows of an epoch into their next order, in place."""
        if not has_own_shuffle(self.random_state):
            self.random_state.shuffle(rows)
            return
        # What scikit-learn has shuffled are positions in the order before.
        order = np.arange(len(rows))
        self.random_state.shuffle(order)
        rows[:] = rows[order]


class EpochLosses(NamedTuple):
    """Losses of consecutive epochs: means over the batches, weighted by their row counts."""

    data: np.ndarray
    l2: np.ndarray

    def head(self, n_epochs: int) -> EpochLosses:
        """Return the losses of the first epochs."""
        return EpochLosses(self.data[:n_epochs], self.l2[:n_epochs])


NO_LOSSES = EpochLosses(np.empty(0), np.empty(0))


class Trainer(Protocol):
    """Epochs over one `Data` under one `Plan`, updating the parameter vector in place."""

    completed: EpochLosses
    """Losses of the whole epochs of the last `run`; those that it returned, or that came before it raised."""

    def run(self, n_epochs: int) -> EpochLosses:
        """Run `n_epochs` epochs.

        Signals are served at least every 50 ms of work; when a handler raises, the parameters and moments are those of
        the last whole step. Raises ZeroDivisionError when the weights of a batch sum to zero.
        """
        ...


class Evaluator(Protocol):
    """The loss over one `Data` at one parameter vector after another, not by two threads at a time."""

    def __call__(self, params: np.ndarray, alpha: float, grad: np.ndarray) -> LossParts:
        """Return the loss over all rows and write its gradient, as `Backend.loss_grad` does."""
        ...


class Backend(Protocol):
    """Forward pass, loss and gradient, and epochs, for any `NetworkSpec`."""

    name: str
    isa: str
    """Instruction set of the kernels in use, "-" where that means nothing."""
    n_threads: int
    takes_any_order: bool
    """Whether dense rows may lie in any order, each number at a multiple of its size, everywhere; else they are
    C-contiguous."""

    def forward(self, spec: NetworkSpec, params: np.ndarray, X: Any, *, finite: bool = False) -> np.ndarray:
        """Return the outputs, shape (n, units[-1]).

        finite: raise ValueError where a dense X, which then is of the spec's dtype, holds NaN or infinity; what is
        stored of a sparse one may be looked at, too.
        """
        ...

    def layers(self, spec: NetworkSpec, params: np.ndarray, X: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return pre-activations and activations of all weight layers, each of shape (n, fan_out)."""
        ...

    def loss(self, spec: NetworkSpec, params: np.ndarray, data: Data, alpha: float) -> LossParts:
        """Return the loss over all rows."""
        ...

    def loss_grad(self, spec: NetworkSpec, params: np.ndarray, data: Data, alpha: float, grad: np.ndarray) -> LossParts:
        """Return the loss over all rows and write the gradient of the mean loss, L2 term included, into `grad`.

        `grad` is a flat vector with the layout of `params`.
        """
        ...

    def evaluator(self, spec: NetworkSpec, data: Data) -> Evaluator:
        """Return `loss_grad` over `data`, with what does not depend on the parameters done once."""
        ...

    def trainer(self, spec: NetworkSpec, params: np.ndarray, data: Data, plan: Plan) -> Trainer:
        """Return a `Trainer` that updates `params` in place."""
        ...


BACKENDS = {
    "c": "fastmlp.backends.c:CBackend",
    "numba": "fastmlp.backends.numba_:NumbaBackend",
    "numpy": "fastmlp.backends.numpy_:NumpyBackend",
}
"""Module and class of each backend; "auto" takes the first that can be imported."""

configured: contextvars.ContextVar[str | None] = contextvars.ContextVar("fastmlp_backend", default=None)
"""The backend set by `fastmlp.config_context`, None where none is."""

_instances: dict[str, Backend] = {}
_creating = threading.RLock()


def check_backend_name(name: str, origin: str = "backend") -> str:
    """Return `name`, the name of a backend or "auto".

    Raises
    ------
    TypeError
        When it is no string.
    ValueError
        When there is no such backend; `origin` says in the message where the name comes from.

    Examples
    --------
    >>> from fastmlp.backends import check_backend_name
    >>> check_backend_name("numpy")
    'numpy'
    """
    if not isinstance(name, str):
        raise TypeError(f"{origin} must be a string, got {name!r} of type {type(name).__name__}.")
    if name != "auto" and name not in BACKENDS:
        choices = ", ".join(map(repr, ("auto", *BACKENDS)))
        raise ValueError(f"{origin} must be one of {choices}, got {name!r}.")
    return name


def get_backend(name: str = "auto") -> Backend:
    """Return the backend called `name`; there is one instance of each.

    Parameters
    ----------
    name : str, default="auto"
        A key of `BACKENDS`, or "auto": what `fastmlp.config_context` says, else the environment variable
        ``FASTMLP_BACKEND``, else the first backend that can be imported. When that is not the first of the list, a
        RuntimeWarning says so, once.

    Returns
    -------
    Backend

    Raises
    ------
    TypeError, ValueError
        When there is no such backend.
    ImportError
        When a backend asked for by name cannot be imported.

    Examples
    --------
    >>> from fastmlp.backends import get_backend
    >>> get_backend("numpy").name
    'numpy'
    """
    if check_backend_name(name) == "auto":
        name = configured.get() or check_backend_name(os.environ.get("FASTMLP_BACKEND") or "auto", "FASTMLP_BACKEND")
    # Under "auto", what was found first is kept like a backend of that name.
    backend = _instances.get(name)
    if backend is None:
        with Noted(_creating), _creating:
            backend = _instances.get(name)
            if backend is None:
                backend = _instances[name] = _first_importable() if name == "auto" else _instantiate(name)
    return backend


def load_c_core() -> None:
    """Load what the C backend is compiled to, where there is one: threadpoolctl limits only what is loaded by then.

    What is wrong with it says whoever asks for the backend.
    """
    with suppress(Exception):
        importlib.import_module("fastmlp.backends.c")


def available_backends() -> tuple[str, ...]:
    """Return the names of the backends that can be imported here, fastest first.

    Examples
    --------
    >>> from fastmlp.backends import available_backends
    >>> "numpy" in available_backends()
    True
    """
    available = []
    for name in BACKENDS:
        try:
            get_backend(name)
        except ImportError:
            continue
        available.append(name)
    return tuple(available)


def _instantiate(name: str) -> Backend:
    module_name, class_name = BACKENDS[name].split(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ImportError(
            f"The backend {name!r} cannot be imported here ({error}). Reinstall fastmlp where its requirements are met "
            "(for 'c': a C compiler and cffi; for 'numba': Numba), or choose another backend."
        ) from error
    return getattr(module, class_name)()


def _level_of_the_caller() -> int:
    """Return the level at which a warning of the function that asks is shown where somebody called the library."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in ("fastmlp", "sklearn"):
        frame, level = frame.f_back, level + 1
    return level


def _first_importable() -> Backend:
    missing = None
    for name in BACKENDS:
        try:
            backend = get_backend(name)
        except ImportError as error:
            missing = missing or error.__cause__
            continue
        break
    if name != next(iter(BACKENDS)):
        warnings.warn(
            f"The compiled extension of fastmlp is missing ({missing}); the backend {name!r} is used instead: the same "
            "results to rounding, but slower. Install fastmlp where there is a C compiler to get the extension "
            "(without one, Numba is much faster than NumPy), or choose this backend by name (FASTMLP_BACKEND) to "
            "silence the warning.",
            RuntimeWarning,
            stacklevel=_level_of_the_caller(),
        )
    return backend
