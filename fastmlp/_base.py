"""What the estimators share: the weights they show, predictions, the course of a fit. No arithmetic of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from fastmlp._callbacks import Callbacks
from fastmlp._constraints import Constraints
from fastmlp._given import is_plain_kind, plain_rows, validate_rows, validate_sample_weight
from fastmlp._held import Noted
from fastmlp._hooks import check_hooks
from fastmlp._increment import NOT_FINITE, Increment, may_bind
from fastmlp._lbfgs import fit_lbfgs
from fastmlp._parameters import name_of, registered
from fastmlp._predictor import Predictor, Source
from fastmlp._short import ODD, ShortPath, Sparse
from fastmlp._sklearn import (
    CallbackSupportMixin,
    lbfgs_point_dtype,
    warn_of_lbfgs,
)
from fastmlp._snapshot import Snapshot
from fastmlp._stochastic import fit_stochastic
from fastmlp._threads import call_requesting
from fastmlp._validation import (
    as_real,
    check_count,
    check_csr,
    check_range,
    check_total,
    in_order,
    is_addressable,
    seeded_random_state,
)
from fastmlp._weights import Weights, adopt, are_plain
from fastmlp.activations import ACTIVATIONS, Activation, get_activation
from fastmlp.backends import Backend, Data, get_backend, load_c_core
from fastmlp.layout import Layout
from fastmlp.losses import LOSSES, Loss, check_pair
from fastmlp.spec import NetworkSpec
from fastmlp.training import draw_layer, glorot_factor

_STATE_VERSION = 1
STOCHASTIC_SOLVERS = ("sgd", "adam")
_BYTES_AT_A_TIME = 1 << 21
"""Of rows that are put in order or converted to floats in a prediction: they stay in the cache until they are read."""
_NUMBERS_AT_A_TIME = _BYTES_AT_A_TIME // 8
_LEAST_ROWS_AT_A_TIME = 256
"""However wide they are: each time all weights are read."""


_REGISTRIES: dict[str, Any] = {"activation": ACTIVATIONS, "loss": LOSSES}


def _is_taken(backend: Backend, X: np.ndarray) -> bool:
    """Return whether rows of floats lie as a backend takes them."""
    if backend.takes_any_order:
        return type(X) is np.ndarray and is_addressable(X)
    return type(X) is np.ndarray and X.flags.c_contiguous and X.flags.aligned


def _is_own(kind: str, name: str) -> bool:
    entry = _REGISTRIES[kind].get(name)
    return entry is not None and entry.is_own


@lru_cache(maxsize=256)
def _make_spec(
    units: tuple[int, ...], activation: Activation, output_activation: str, loss: str, dtype: np.dtype
) -> NetworkSpec:
    hidden = (activation.name, activation.resolve())
    return NetworkSpec(units, (*(hidden,) * (len(units) - 2), (output_activation, ())), loss, dtype)


def _forward_dense(backend: Backend, spec: NetworkSpec, vector: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Return the outputs for dense rows as they come; what is not as backends take it is copied, a part at a time."""
    is_float = X.dtype in (np.float32, np.float64)
    dtype = X.dtype if is_float else spec.dtype
    step = max(_LEAST_ROWS_AT_A_TIME, _BYTES_AT_A_TIME // (X.shape[1] * dtype.itemsize))
    if is_float and _is_taken(backend, X):
        return backend.forward(spec, vector, X)
    if len(X) <= step:
        return backend.forward(spec, vector, in_order(X, dtype))
    out = np.empty((len(X), spec.units[-1]), spec.dtype)
    for start in range(0, len(X), step):
        rows = slice(start, start + step)
        out[rows] = backend.forward(spec, vector, in_order(X[rows], dtype))
    return out


class BaseMLP(CallbackSupportMixin, Constraints):
    """What both estimators share."""

    # For subclasses whose __init__ knows scikit-learn's parameters alone.
    backend: str = "auto"
    dtype: str | None = None
    n_threads: int | None = None

    _short = ShortPath()  # binds nothing before the first fit

    # Weights: the lists that are shown, and the vector behind them.

    def _show_weights(self, weights: Weights) -> None:
        self._shown_weights = weights
        self._short = ShortPath()
        self.coefs_, self.intercepts_ = weights.lists()

    def _present_weights(self) -> Weights:
        """Return the weights as they are now: the vector behind the lists, or a copy of arrays that were put in."""
        weights = self.__dict__.get("_shown_weights")
        if weights is not None and weights.is_shown(self.coefs_, self.intercepts_):
            return weights
        return Weights.from_lists(self.coefs_, self.intercepts_)

    def _keep_best(self, weights: Weights) -> None:
        layout, vector = weights.layout, weights.vector.copy()
        self._best_coefs, self._best_intercepts = layout.coefs(vector), layout.intercepts(vector)

    def __getstate__(self) -> dict[str, Any]:
        """Return plain arrays: the vector behind the lists is made anew from them."""
        state = dict(super().__getstate__())
        for name in ("_shown_weights", "_short"):
            state.pop(name, None)
        # Functions of the user's, named: to be missed where they are loaded, not where they are first called.
        names = {kind: state.get(kind) for kind in _REGISTRIES}
        own = {kind: name for kind, name in names.items() if isinstance(name, str) and _is_own(kind, name)}
        return {**state, "_fastmlp_state": _STATE_VERSION, **({"_fastmlp_own": own} if own else {})}

    def __setstate__(self, state: dict[str, Any]) -> None:
        version = state.pop("_fastmlp_state", _STATE_VERSION)
        if version > _STATE_VERSION:
            raise ValueError(
                f"This {type(self).__name__} was pickled by a newer fastmlp (state version {version}, expected at most "
                f"{_STATE_VERSION}): load it with that one."
            )
        for kind, name in state.pop("_fastmlp_own", {}).items():
            registered(_REGISTRIES[kind], kind, name)
        super().__setstate__(state)
        # Whoever makes a model smaller before saving it leaves something else in these places, or nothing.
        if are_plain(state.get("coefs_"), state.get("intercepts_")):
            # In the lists that there are: after early stopping they are _best_coefs and _best_intercepts, too.
            self._shown_weights = adopt(self.coefs_, self.intercepts_)
        if "coefs_" in state:
            self._short = ShortPath()
        if state.get("_optimizer") is not None:
            self._optimizer.adopt()

    def __copy__(self) -> BaseMLP:
        """Return an estimator that shares everything with this one, as any shallow copy does: also the vector."""
        twin = type(self).__new__(type(self))
        vars(twin).update(vars(self))
        if "_short" in vars(self):
            twin._short = ShortPath()
        return twin

    # The network.

    def _working_dtype(self, found: np.dtype | type) -> np.dtype:
        """Return the dtype to compute in: what `dtype` says, else the one found, of data, weights or both."""
        return np.dtype(found if self.dtype is None else self.dtype)

    def _network_spec(self, layout: Layout, dtype: np.dtype, loss: str = "squared_error") -> NetworkSpec:
        activation = get_activation(name_of(ACTIVATIONS, "activation", self.activation))
        return _make_spec(layout.units, activation, self.out_activation_, loss, dtype)

    def _network(self, dtype: np.dtype) -> tuple[Weights, NetworkSpec]:
        """Return what predicts rows of a real dtype: the weights as they are, and the network that computes."""
        weights = self._present_weights()
        dtype = np.result_type(dtype, weights.vector.dtype)
        dtype = self._working_dtype(dtype if dtype in (np.float32, np.float64) else np.float64)
        return weights, self._network_spec(weights.layout, dtype)

    def _short_way(self, form: str, X: Any) -> tuple[np.ndarray | None, Any]:
        """Return a prediction, "numbers" or "labels", by the short path, or None, and X for the long way.

        To be tried where a call of that has returned None: what it lacks may be no more than to be bound to the
        estimator as it is, or an array of the model's dtype. A list, once converted, is not converted again.
        """
        is_list = type(X) is list
        try:
            short, shown = vars(self)["_short"], vars(self)["_shown_weights"]
            if not is_plain_kind(X) or not shown.is_shown(self.coefs_, self.intercepts_):
                return None, X
            is_small = is_list or X.size <= _NUMBERS_AT_A_TIME
            if not is_small and {shown.vector.dtype} != set(X.dtypes if hasattr(X, "dtypes") else [X.dtype]):
                return None, X
            backend = get_backend(self.backend)
            rows = plain_rows(self, X, finite=False) if hasattr(backend, "bind") else None  # C looks at the numbers
            if rows is None:
                return None, X
            X = rows if is_list else X
            weights, spec = self._network(rows.dtype)
            if hasattr(rows, "tocsr"):
                rows = rows if rows.dtype == spec.dtype else Sparse.of(rows, spec.dtype)
            elif rows.dtype != spec.dtype or not _is_taken(backend, rows):
                if not is_small:
                    return None, X
                rows = as_real(rows, spec.dtype)
            attributes = dict(vars(self))
            names = attributes.pop("feature_names_in_", None)  # which have been compared with those of X
            if not short.bind(self, spec, weights, backend) and rows is X and names is None and not is_list:
                return None, X  # the call that was tried
            return getattr(short, form)(attributes, rows), X
        except (*ODD, ImportError):  # the long way tells what is wrong, after what is wrong with X
            return None, X

    def _network_outputs(self, X: Any) -> np.ndarray:
        """Return the outputs of the network for validated rows, in the dtype that scikit-learn's would have."""
        if X.dtype.kind not in "biuf":
            # Objects that scikit-learn's validation lets pass: what it would do first with them says what is wrong.
            X @ self.coefs_[0]
            X = X.astype(np.float64)
        weights, spec = self._network(X.dtype)
        vector, backend = weights.vector.astype(spec.dtype, copy=False), get_backend(self.backend)
        check_range("X", X, spec.dtype)
        if X.shape[1] != spec.units[0]:
            raise ValueError(f"X has {X.shape[1]} features, but the network expects {spec.units[0]}.")
        if hasattr(X, "tocsr"):
            return backend.forward(spec, vector, check_csr(X, spec.dtype, finite=False))
        return _forward_dense(backend, spec, vector, X)

    def _forward_pass_fast(self, X: Any, check_input: bool = True) -> np.ndarray:
        if check_input:
            X = validate_rows(self, X)
        return call_requesting(self.n_threads, self._network_outputs, X)

    # Predictors.

    _PREDICTIONS: ClassVar[tuple[str, ...]]
    """The methods that predictors stand for, the default first."""

    def predictor(self, method: str | None = None) -> Predictor:
        """Return a bound callable ``f(x, out=None)`` that predicts with the lowest latency.

        A predictor is the shortest way from an array to a prediction: checks of type, dtype, shape and layout, and the
        forward pass. That x is finite is not checked.

        Parameters
        ----------
        method : str or None, default=None
            "predict_proba" (for which None stands), "predict" or "predict_log_proba" of a classifier; "predict", or
            None, of a regressor.

        Returns
        -------
        callable
            ``f(x, out=None)`` for x of shape (n, n_features), n at least 1, C-contiguous, of the model's dtype. It
            returns what the method returns; where `out` is given, an array of that shape and dtype, C-contiguous, it is
            filled and returned; it may share memory with x. TypeError for another type or dtype, ValueError for another
            shape or layout.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before the first fit.
        ValueError
            When there is no such method.

        Notes
        -----
        It stays bound to the weight arrays that the model has now, keeps them alive, and follows edits in place,
        `partial_fit`, and fits with `warm_start` by "sgd" or "adam" without early stopping. After any other fit, and
        after arrays were put into `coefs_` or `intercepts_`, make a new one. It may be called from several threads at
        once. It cannot be pickled.

        Examples
        --------
        >>> import numpy as np
        >>> from fastmlp import MLPRegressor
        >>> X = np.arange(12.0).reshape(6, 2)
        >>> reg = MLPRegressor(solver="lbfgs", random_state=0).fit(X, X.sum(axis=1))
        >>> predict, y = reg.predictor(), np.empty(1)
        >>> predict(X[2:3], out=y) is y, y.round(1)
        (True, array([9.]))
        """
        check_is_fitted(self)
        if method is None:
            method = self._PREDICTIONS[0]
        if method not in self._PREDICTIONS:
            raise ValueError(f"method must be one of {', '.join(map(repr, self._PREDICTIONS))}, got {method!r}.")
        weights = self._present_weights()
        is_shown = weights is vars(self).get("_shown_weights")
        dtype = self._working_dtype(weights.vector.dtype)
        coefs, intercepts = list(self.coefs_), list(self.intercepts_)

        def vector() -> np.ndarray:
            present = weights if is_shown else Weights.from_lists(coefs, intercepts)
            return present.vector.astype(dtype, copy=False)

        bound = weights.vector if is_shown and weights.vector.dtype == dtype else None
        spec = self._network_spec(weights.layout, dtype)
        return self._make_predictor(method, Source(get_backend(self.backend), spec, vector, bound, self.n_threads))

    # Fitting.

    def _hidden_layer_sizes(self) -> list[int]:
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        plain = all(type(size) is int and size > 0 for size in sizes)  # an array takes a hundredth of a short fit
        if not plain and np.any(np.array(sizes) <= 0):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        return sizes

    def _check_kept_layers(self, sizes: list[int]) -> None:
        """Refuse layers that the network which is trained on does not have; sgd and adam look at their number only."""
        present = [len(intercept) for intercept in self.intercepts_[:-1]]
        if len(sizes) != len(present) or (self.solver not in STOCHASTIC_SOLVERS and sizes != present):
            raise ValueError(
                f"hidden_layer_sizes must fit the network that warm_start and partial_fit go on with, {present}, "
                f"got {sizes}."
            )

    def _init_coef(self, fan_in: int, fan_out: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
        """Return new weights and biases of a layer; subclasses may have others, as with scikit-learn."""
        factor = glorot_factor(name_of(ACTIVATIONS, "activation", self.activation))
        coefs, intercepts = draw_layer(fan_in, fan_out, factor, self._random_state)
        return coefs.astype(dtype, copy=False), intercepts.astype(dtype, copy=False)

    def _begin_anew(self, layout: Layout, dtype: np.dtype) -> None:
        """Draw new weights and set the attributes of a network that has seen nothing."""
        self.n_iter_ = 0
        self.t_ = 0
        self.n_outputs_ = layout.units[-1]
        self.n_layers_ = len(layout.units)
        self.out_activation_ = self._output_activation()
        weights = Weights(layout, layout.allocate(dtype))
        with Noted(self._random_state._bit_generator.lock):
            for coefs, intercepts in zip(*weights.lists(), strict=True):
                for array, drawn in zip((coefs, intercepts), self._init_coef(*coefs.shape, dtype), strict=True):
                    if drawn.shape != array.shape:
                        raise ValueError(f"_init_coef must return arrays of shape {array.shape}, got {drawn.shape}.")
                    array[...] = drawn
        self._show_weights(weights)
        self._keep_best(weights)
        if self.solver in STOCHASTIC_SOLVERS:
            self.loss_curve_ = []
            self._no_improvement_count = 0
            self.validation_scores_ = [] if self.early_stopping else None
            self.best_validation_score_ = -np.inf if self.early_stopping else None
            self.best_loss_ = None if self.early_stopping else np.inf

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        incremental: bool = False,
        prepare: Callable[[], None] | None = None,
    ) -> Any:
        """Train, and return self; where that fails everything, what `prepare` has done included, is as it was."""
        before = Snapshot(self)
        try:
            if prepare is not None:
                prepare()
            given = (X, y, sample_weight, incremental)
            weights, warn_of_end = call_requesting(self.n_threads, self._fit_or_raise, *given)
            finite = bool(np.isfinite(weights.vector).all())
            if not finite and not incremental:
                before.restore()
        except BaseException:
            before.restore()
            raise
        # Here, where a filter that makes an error of it leaves a fit that is complete.
        warn_of_end()
        if not finite:
            raise ValueError(NOT_FINITE)
        return self

    def _fit_or_raise(
        self, X: Any, y: Any, sample_weight: Any, incremental: bool
    ) -> tuple[Weights, Callable[[], object]]:
        """Train; return the weights, and what warns of how training ended, if anything is to be said."""
        check_hooks(self)
        hidden_layer_sizes = self._hidden_layer_sizes()
        first_pass = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        given = (X, y, sample_weight)
        X, targets = self._validate_input(X, y, incremental, reset=first_pass)
        if sample_weight is not None:
            sample_weight = validate_sample_weight(sample_weight, X)
        self.n_outputs_ = n_outputs = self._count_outputs(targets)
        seed = self.random_state
        self._random_state = seeded_random_state(seed) if isinstance(seed, Integral) else check_random_state(seed)
        loss = name_of(LOSSES, "loss", self.loss)
        if first_pass:
            widths = [check_count("each of hidden_layer_sizes", size) for size in hidden_layer_sizes]
            layout = Layout([X.shape[1], *widths, n_outputs])
            self._begin_anew(layout, self._working_dtype(X.dtype))
        else:
            self._check_kept_layers(hidden_layer_sizes)
        if LOSSES[loss].is_own:
            check_pair(loss, self.out_activation_)
            self._check_targets(LOSSES[loss], targets)
        weights = self._present_weights()
        if weights.layout.units[-1] != n_outputs:
            raise ValueError(
                f"y must be for as many outputs as the network has that warm_start and partial_fit go on with, "
                f"{weights.layout.units[-1]}, got a y for {n_outputs}."
            )
        callbacks = Callbacks(self, *given) if hasattr(self, "_skl_callbacks") else None
        if self.solver in STOCHASTIC_SOLVERS:
            trained = self._run_stochastic(X, targets, sample_weight, incremental, weights, loss, callbacks)
        elif self.solver == "lbfgs":
            trained = self._run_lbfgs(X, targets, sample_weight, weights, loss, callbacks)
        else:  # scikit-learn may be told not to look at parameters
            raise ValueError(f"solver must be 'lbfgs', 'sgd' or 'adam', got {self.solver!r}.")
        if callbacks is not None:
            callbacks.fit_ends()
        return trained

    def _run_stochastic(
        self,
        X: Any,
        targets: np.ndarray,
        sample_weight: np.ndarray | None,
        incremental: bool,
        weights: Weights,
        loss: str,
        callbacks: Callbacks | None,
    ) -> tuple[Weights, Callable[[], object]]:
        spec = self._network_spec(weights.layout, weights.vector.dtype, loss)
        spec.check_differentiable()
        coefs, intercepts = self.coefs_, self.intercepts_
        backend = get_backend(self.backend)
        if not all(np.asarray(array).flags.writeable for array in (*coefs, *intercepts)):
            raise ValueError("coefs_ and intercepts_ must be writable to be trained on, got a read-only array.")
        warn_of_end = fit_stochastic(
            self,
            backend,
            spec,
            weights,
            self._as_data(X, targets, sample_weight, spec.dtype),
            incremental=incremental,
            callbacks=callbacks,
        )
        if not weights.is_shown(coefs, intercepts):
            weights.write_to(coefs, intercepts)
        if self.early_stopping and self.coefs_ is not coefs:
            self._shown_weights = weights = adopt(self.coefs_, self.intercepts_)
        if incremental:
            step = self._short.step
            is_bound = step is not None and step.holds(vars(self))
            if not is_bound and may_bind(self, spec, weights, backend, X):
                self._short.step = Increment(self, spec, weights, backend)
        return weights, warn_of_end

    def _run_lbfgs(
        self,
        X: Any,
        targets: np.ndarray,
        sample_weight: np.ndarray | None,
        weights: Weights,
        loss: str,
        callbacks: Callbacks | None,
    ) -> tuple[Weights, Callable[[], object]]:
        dtype = self._working_dtype(self._lbfgs_dtype(X, targets, weights))
        spec = self._network_spec(weights.layout, dtype, loss)
        spec.check_differentiable()
        data = self._as_data(X, targets, sample_weight, spec.dtype)
        weights, result = fit_lbfgs(self, get_backend(self.backend), spec, weights, data, callbacks)
        self._shown_weights = weights
        self.coefs_[:], self.intercepts_[:] = weights.lists()
        return weights, lambda: warn_of_lbfgs(result, self.max_iter)

    @staticmethod
    def _lbfgs_dtype(X: Any, targets: np.ndarray, weights: Weights) -> np.dtype:
        """Return the dtype that NumPy evaluates in, but for the forward pass of float32 rows with float64 targets.

        scipy asks for points of the dtype it was started with, so that rows, weights and real targets of single
        precision make a loss of single precision; the weights it finds are float64 all the same.
        """
        real = [targets.dtype] if targets.ndim == 2 else []
        dtype = np.result_type(X.dtype, lbfgs_point_dtype(weights.vector.dtype), *real)
        return dtype if dtype == np.float32 else np.dtype(np.float64)

    def _as_data(self, X: Any, targets: np.ndarray, sample_weight: np.ndarray | None, dtype: np.dtype) -> Data:
        """Return what a backend learns from: codes, or targets of its dtype; rows of either float dtype."""
        check_range("X", X, dtype)
        check_range("y", targets, dtype)
        X = check_csr(X, dtype, finite=False) if hasattr(X, "tocsr") else in_order(X)
        hard = targets.ndim == 1 or targets.dtype == bool
        if targets.ndim == 2:
            targets = in_order(targets, dtype)
        if sample_weight is not None:
            check_total(sample_weight, dtype)
            sample_weight = in_order(sample_weight, dtype)
        return Data(X, targets, sample_weight, hard)

    def _loss_scale(self) -> float:
        """Return the factor between the mean of the rows' losses and the loss that scikit-learn reports."""
        return 1.0

    def _check_targets(self, loss: Loss, targets: np.ndarray) -> None:
        """Raise ValueError where a loss of the user's is not defined for a target."""
        are_labels = hasattr(self, "_label_binarizer")
        loss.check_targets(*((0.0, 1.0) if are_labels else (float(targets.min()), float(targets.max()))))

    def _stratified_by(self, data: Data) -> np.ndarray | None:
        return None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


load_c_core()
