"""What the parity tests fit: a pairwise covering array per solver, cases made by hand, and calls that must fail."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import Any

import numpy as np
import scipy.sparse as sp

from parity import data as datasets
from parity.covering import covering_array, pairs

# ---------------------------------------------------------------------------------------------------------------------
# A case
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Case:
    """One estimator, one data set, one series of calls of `fit`; everything follows from the fields.

    Attributes
    ----------
    kind : str
        Of the targets; decides between classifier and regressor.
    params : dict
        Parameters of the estimator but for `random_state`.
    random_state : str
        "int", "instance", or "none" (then NumPy's global state is seeded before the run and compared after it).
    fits : int
        Calls of `fit` on the same estimator and data.
    alter : str or None
        Name of a function in `ALTERATIONS` that changes the data.
    fails : str, tuple of str or None
        What the error of scikit-learn starts with, as "Type: text" (several where versions differ); None is no error.
        It keeps a mistake in a case from passing because both libraries stumble over it.
    since : str
        Oldest scikit-learn whose behaviour fastmlp's equals here.
    """

    id: str
    kind: str
    params: dict[str, Any] = field(default_factory=dict)
    n: int = 60
    n_features: int = 4
    dtype: str = "float64"
    container: str = "C"
    weights: str = "none"
    random_state: str = "int"
    seed: int = 0
    fits: int = 1
    alter: str | None = None
    fails: str | tuple[str, ...] | None = None
    since: str = "1.7"

    def __str__(self) -> str:
        return self.id

    @property
    def group(self) -> str:
        """The array or list the case comes from: the first word of its id."""
        return self.id.split("-")[0]

    @property
    def solver(self) -> str:
        return self.params.get("solver", "adam")

    @property
    def is_classifier(self) -> bool:
        return self.kind in datasets.CLASSIFICATION

    @property
    def stochastic(self) -> bool:
        return self.solver in ("sgd", "adam")

    @property
    def runs_to_stop(self) -> bool:
        """Whether `max_iter` is there to be undercut."""
        return self.fails is None and self.params.get("max_iter", 200) >= 100

    @property
    def single_precision(self) -> bool:
        """Whether scikit-learn computes in float32 (its lbfgs leaves float64 weights, whatever comes in)."""
        return self.dtype == "float32" and self.stochastic

    @property
    def needs_spread(self) -> bool:
        """Whether the outcome is judged by the distance of scikit-learn from itself."""
        return self.runs_to_stop and (self.single_precision or not self.stochastic)

    @property
    def fingerprint(self) -> str:
        """A digest of everything that decides the outcome, to recognise outdated stored spreads."""
        text = repr([(f.name, getattr(self, f.name)) for f in fields(self) if f.name != "id"])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def data(self) -> datasets.Data:
        """Make the data, afresh on each call so that no run sees what another one wrote."""
        made = datasets.make(
            self.kind, self.n, self.n_features, self.dtype, self.container, self.weights, self.seed + 1000
        )
        return made if self.alter is None else ALTERATIONS[self.alter](made)

    def make_random_state(self) -> int | np.random.RandomState | None:
        """Return the `random_state` to hand over; seeds NumPy's global state when that is what will be used."""
        if self.random_state == "int":
            return self.seed
        if self.random_state == "instance":
            return np.random.RandomState(self.seed)
        np.random.mtrand._rand.seed(self.seed)
        return None


# ---------------------------------------------------------------------------------------------------------------------
# Alterations of the data
# ---------------------------------------------------------------------------------------------------------------------

ALTERATIONS: dict[str, Callable[[datasets.Data], datasets.Data]] = {}


def _alteration(function: Callable[[datasets.Data], datasets.Data]) -> Callable[[datasets.Data], datasets.Data]:
    ALTERATIONS[function.__name__.strip("_")] = function
    return function


def _change_rows(name: str, change: Callable[[Any], Any]) -> None:
    ALTERATIONS[name] = lambda d: replace(d, X=change(d.X), X_test=change(d.X_test))


def _change_y(name: str, change: Callable[[Any], Any]) -> None:
    ALTERATIONS[name] = lambda d: replace(d, y=change(d.y), y_test=change(d.y_test))


def _change_weight(name: str, change: Callable[[Any], Any]) -> None:
    ALTERATIONS[name] = lambda d: replace(d, sample_weight=change(d.sample_weight))


def _with(X: np.ndarray, value: Any, row: int = 3) -> np.ndarray:
    X = X.copy()
    X[row, 0] = value
    return X


def _read_only(X: np.ndarray) -> np.ndarray:
    X = X.copy()
    X.flags.writeable = False
    return X


def _strided(X: np.ndarray) -> np.ndarray:
    wide = np.full((X.shape[0] * 2, X.shape[1] * 3), np.nan)
    wide[::2, 1::3] = X
    return wide[::2, 1::3]


def _unsorted(X: sp.csr_matrix) -> sp.csr_matrix:
    X = X.copy()
    for start, end in zip(X.indptr[:-1], X.indptr[1:], strict=True):
        X.indices[start:end] = X.indices[start:end][::-1].copy()
        X.data[start:end] = X.data[start:end][::-1].copy()
    X.has_sorted_indices = False
    return X


def _duplicated(X: sp.csr_matrix) -> sp.csr_matrix:
    """Write every entry as two that sum to it; a quarter and three quarters are exact."""
    return sp.csr_matrix(
        (
            np.column_stack([0.25 * X.data, 0.75 * X.data]).ravel(),
            np.repeat(X.indices, 2),
            2 * X.indptr,
        ),
        shape=X.shape,
    )


def _explicit_zeros(X: sp.csr_matrix) -> sp.csr_matrix:
    X = X.copy()
    X.data[::3] = 0.0
    return X


def _wide_indices(X: sp.csr_matrix) -> sp.csr_matrix:
    X = X.copy()
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return X


def _empty_rows(X: Any) -> sp.csr_matrix:
    X = X.toarray()
    X[::4] = 0.0
    X[:, 1] = 0.0
    return sp.csr_matrix(X)


_change_rows("X_list", lambda X: X.tolist())
_change_rows("X_bool", lambda X: X > 0)
_change_rows("X_uint8", lambda X: (X + 3).astype(np.uint8))
_change_rows("X_float16", lambda X: X.astype(np.float16))
_change_rows("X_longdouble", lambda X: X.astype(np.longdouble))
_change_rows("X_big_endian", lambda X: X.astype(">f8"))
_change_rows("X_object", lambda X: X.astype(object))
_change_rows("X_numeric_strings", lambda X: X.astype(object).astype(str).astype(object))
_change_rows("X_read_only", _read_only)
_change_rows("X_strided", _strided)
_change_rows("X_matrix_of_zeros", np.zeros_like)
_change_rows("X_scaled_1e3", lambda X: X * 1e3)
_change_rows("X_scaled_1e200", lambda X: X * 1e200)
_change_rows("X_coo", sp.coo_matrix)
_change_rows("X_unsorted", _unsorted)
_change_rows("X_duplicated", _duplicated)
_change_rows("X_explicit_zeros", _explicit_zeros)
_change_rows("X_wide_indices", _wide_indices)
_change_rows("X_empty_rows", _empty_rows)
_change_rows("X_nan", lambda X: _with(X, np.nan))
_change_rows("X_inf", lambda X: _with(X, np.inf))
_change_rows("X_text", lambda X: _with(X.astype(object), "text"))
_change_rows("X_complex", lambda X: X + 0j)
_change_rows("X_one_dimension", lambda X: X[:, 0])
_change_rows("X_three_dimensions", lambda X: X[:, :, None])
_change_rows("X_no_rows", lambda X: X[:0])
_change_rows("X_no_columns", lambda X: X[:, :0])
_change_rows("X_sparse_nan", lambda X: sp.csr_matrix(_with(X.toarray(), np.nan)))
_change_y("y_column", lambda y: y.reshape(-1, 1))
_change_y("y_list", lambda y: y.tolist())
_change_y("y_bool", lambda y: y.astype(bool))
_change_y("y_int", lambda y: np.rint(3 * y).astype(int))
_change_y("y_float32", lambda y: y.astype(np.float32))
_change_y("y_negative_labels", lambda y: 1 - 2 * y)
_change_y("y_float_labels", lambda y: y.astype(float))
_change_y("y_two_strings", lambda y: np.where(y == 0, "no", "yes"))
_change_y("y_unicode", lambda y: y.astype(str))
_change_y("y_one_class", np.zeros_like)
_change_y("y_rare_class", lambda y: np.where(np.arange(len(y)) == 7, 77, y))
_change_y("y_two_columns", lambda y: np.column_stack([y, np.exp(-y)]))
_change_y("y_shifted_down", lambda y: y - 2.0)
_change_y("y_nan", lambda y: np.where(np.arange(len(y)) == 7, np.nan, y))
_change_y("y_continuous", lambda y: y + 0.5)
_change_y("y_two_class_columns", lambda y: np.column_stack([y, y]))
_change_y("y_short", lambda y: y[:-1])
_change_y("y_text", lambda y: np.where(y > 0, "high", "low").astype(object))
_change_y("y_none", lambda y: None)
_change_weight("weight_list", lambda w: w.tolist())
_change_weight("weight_float32", lambda w: w.astype(np.float32))
_change_weight("weight_scalar", lambda w: 2.5)
_change_weight("weight_negative", lambda w: np.where(np.arange(len(w)) % 7 == 0, -0.5, w))
_change_weight("weight_many_zeros", lambda w: np.where(np.arange(len(w)) % 4 == 0, 0.0, w))
_change_weight("weight_zero", np.zeros_like)
_change_weight("weight_short", lambda w: w[:-1])
_change_weight("weight_two_columns", lambda w: np.column_stack([w, w]))
_change_weight("weight_nan", lambda w: np.where(np.arange(len(w)) == 7, np.nan, w))


@_alteration
def _rows_1(d: datasets.Data) -> datasets.Data:
    return replace(d, X=d.X[:1], y=d.y[:1])


@_alteration
def _rows_2(d: datasets.Data) -> datasets.Data:
    return replace(d, X=d.X[:2], y=d.y[:2])


@_alteration
def _repeated_rows(d: datasets.Data) -> datasets.Data:
    """Every row alike, so that every batch is: what is left of shuffling is its draw."""
    return replace(d, X=np.ones_like(d.X), y=np.full_like(d.y, 0.5))


@_alteration
def _dominant_class(d: datasets.Data) -> datasets.Data:
    """Classes whose counts make a stratified and a plain split fall apart."""
    y = np.where(np.arange(len(d.y)) % 9 == 0, d.y, 0)
    return replace(d, y=y, y_test=np.where(np.arange(len(d.y_test)) % 9 == 0, d.y_test, 0))


# ---------------------------------------------------------------------------------------------------------------------
# The covering arrays
# ---------------------------------------------------------------------------------------------------------------------

KINDS = [*datasets.CLASSIFICATION, *datasets.REGRESSION]

COMMON: dict[str, list[Any]] = {
    "kind": KINDS,
    "activation": ["identity", "logistic", "tanh", "relu"],
    "hidden_layer_sizes": [(), 1, (5,), (8, 4), (16,)],
    "alpha": [0.0, 1e-4, 1.0],
    "shape": [(24, 1), (60, 4), (60, 12), (150, 7)],
    "dtype": ["float64", "float32", "int"],
    "container": ["C", "F", "csr", "csc"],
    "weights": ["none", "random", "zeros", "integer"],
    "random_state": ["int", "none", "instance"],
    "verbose": [False, True],
    "warm_start": [False, True],
}

STOCHASTIC: dict[str, list[Any]] = {
    "batch_size": ["auto", 1, 7, 1000],
    "shuffle": [True, False],
    "early_stopping": [False, True],
    "validation_fraction": [0.1, 0.3],
    "n_iter_no_change": [1, 3, 10, np.inf],
    "tol": [1e-4, 1e-3, 1e-2],
    # The large ones are there to be undercut.
    "max_iter": [1, 6, 200, 250, 300, 400],
}

FACTORS: dict[str, dict[str, list[Any]]] = {
    "sgd": {
        **COMMON,
        **STOCHASTIC,
        "learning_rate": ["constant", "invscaling", "adaptive"],
        "learning_rate_init": [0.002, 0.01, 0.03],
        "power_t": [0.25, 0.5, 1.0],
        "momentum": [0.0, 0.5, 0.9, 1.0],
        "nesterovs_momentum": [True, False],
    },
    "adam": {
        **COMMON,
        **STOCHASTIC,
        "learning_rate_init": [0.001, 0.01],
        "beta_1": [0.9, 0.5, 0.0],
        "beta_2": [0.999, 0.9, 0.5],
        "epsilon": [1e-8, 1e-3, 0.1],
    },
    "lbfgs": {
        **COMMON,
        "max_iter": [1, 3, 5, 120, 150, 200],
        "max_fun": [15000, 6],
        "tol": [1e-4, 1e-2],
        # lbfgs reads none of these, and must not.
        "batch_size": ["auto", 7],
        "early_stopping": [False, True],
        "learning_rate_init": [0.001, 0.1],
        "n_iter_no_change": [1, 10],
    },
}

TIMES = {"sgd": 3, "adam": 2, "lbfgs": 1}
"""How often each pair occurs at least."""


def allowed(name: str, value: Any, other: str, other_value: Any) -> bool:
    """Return whether a pair of option values may meet in the arrays; what may not has its cases by hand."""
    pair = {name: value, other: other_value}

    def both(**wanted: Any) -> bool:
        return all(key in pair and pair[key] == wanted[key] for key in wanted)

    if both(batch_size=1, weights="zeros"):  # a batch of weight zero is an error
        return False
    if both(batch_size=1, shape=(150, 7)):  # slow, for what (60, 12) shows as well
        return False
    # Steps so long that rounding errors grow to the size of the weights, or decay that leaves nothing but them.
    if both(batch_size=1, alpha=1.0) or both(batch_size=1, kind="poisson"):
        return False
    if both(batch_size=1, learning_rate_init=0.03) or both(kind="poisson", learning_rate_init=0.03):
        return False
    if pair.get("max_iter", 0) >= 100 and pair.get("n_iter_no_change") == np.inf:  # would never stop
        return False
    # Undamped: in many steps it settles nowhere, or blows up.
    return not (pair.get("momentum") == 1.0 and (pair.get("max_iter", 0) >= 100 or pair.get("batch_size") == 1))


def _short(value: Any) -> str:
    return "linear" if value == () else "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


SALT: dict[str, int] = {"adam-039": 12, "adam-071": 2}
"""Other seeds for cases in which scikit-learn's own rounding errors grow beyond the tolerance."""


def _from_row(solver: str, number: int, row: dict[str, Any]) -> Case:
    row = dict(row)
    kind, (n, n_features) = row.pop("kind"), row.pop("shape")
    dtype, container, weights, random_state = (row.pop(k) for k in ("dtype", "container", "weights", "random_state"))
    name = f"{solver}-{number:03d}"
    params = {"solver": solver, **row}
    if kind == "poisson":
        params["loss"] = "poisson"
    # 1.9 repaired the score of early stopping on labels that are text.
    since = "1.9" if kind == "strings" and params.get("early_stopping") and solver != "lbfgs" else "1.7"
    words = [kind, params["activation"], _short(params["hidden_layer_sizes"]), dtype, container]
    return Case(
        id="-".join([name, *words, "stop" if params["max_iter"] >= 100 else str(params["max_iter"])]),
        kind=kind,
        params=params,
        n=n,
        n_features=n_features,
        dtype=dtype,
        container=container,
        weights=weights,
        random_state=random_state,
        seed=number + 1000 * SALT.get(name, 0),
        fits=2 if params["warm_start"] else 1,
        since=since,
    )


@cache
def array_rows(solver: str) -> tuple[dict[str, Any], ...]:
    """Return the rows of one solver's covering array."""
    return tuple(covering_array(FACTORS[solver], allowed, seed=3, times=TIMES[solver]))


def array_cases() -> list[Case]:
    """Return the cases of the three covering arrays."""
    return [_from_row(solver, k, row) for solver in FACTORS for k, row in enumerate(array_rows(solver))]


def uncovered(solver: str) -> set[tuple[str, Any, str, Any]]:
    """Return allowed pairs of option values that no row of the array has: none, if the generator works."""
    factors = FACTORS[solver]
    names = list(factors)
    wanted = {
        (names[i], repr(factors[names[i]][a]), names[j], repr(factors[names[j]][b]))
        for i, a, j, b in pairs(factors, allowed)
    }
    for row in array_rows(solver):
        wanted -= {(a, repr(row[a]), b, repr(row[b])) for i, a in enumerate(names) for b in names[i + 1 :]}
    return wanted


# ---------------------------------------------------------------------------------------------------------------------
# By hand
# ---------------------------------------------------------------------------------------------------------------------


def _hand(name: str, kind: str, alter: str | None = None, **options: Any) -> Case:
    """Return a case whose options that are fields of `Case` go there and the others to the estimator."""
    own = {f.name for f in fields(Case)}
    given = {key: options.pop(key) for key in list(options) if key in own}
    params = {"hidden_layer_sizes": (6,), "max_iter": 8, **options}
    if kind == "poisson":
        params.setdefault("loss", "poisson")
    given.setdefault("seed", 11)
    return Case(id=f"hand-{name}", kind=kind, params=params, alter=alter, **given)


def hand_cases() -> list[Case]:
    """Return cases aimed at one rule each, or at inputs that the arrays do not have."""
    return [
        # Batches: 200, 200 and 50 rows; a last batch of a single row; weights on both.
        _hand("auto_batches", "multiclass", n=450, solver="adam", learning_rate_init=0.01),
        _hand("auto_batches_weighted", "single", n=450, solver="sgd", weights="random"),
        _hand("last_batch_of_one", "multi", n=57, batch_size=7, solver="sgd", alpha=1.0, weights="random"),
        _hand("batch_of_one_alpha", "multi", batch_size=1, solver="sgd", alpha=1.0, weights="random", max_iter=3),
        _hand("batch_of_one_rate", "single", batch_size=1, solver="sgd", learning_rate_init=0.05, max_iter=3,
              momentum=0.0),
        _hand("one_row", "single", "rows_1", solver="sgd"),
        _hand("two_rows", "multi", "rows_2", solver="adam"),
        # Equality of consecutive losses and scores: > and >= differ here only.
        _hand("standstill", "single", solver="sgd", learning_rate_init=1e-30, tol=0.0, shuffle=False,
              n_iter_no_change=2),
        _hand("standstill_adam", "binary", learning_rate_init=1e-30, tol=0.0, shuffle=False, n_iter_no_change=2),
        _hand("standstill_scores", "multiclass", learning_rate_init=1e-30, tol=0.0, early_stopping=True,
              n_iter_no_change=2),
        _hand("equal_scores", "binary", tol=0.0, early_stopping=True, n_iter_no_change=3, max_iter=60),
        _hand("count_exceeds", "single", solver="sgd", tol=10.0, n_iter_no_change=4, max_iter=50, verbose=True),
        _hand("loss_goes_up_and_down", "single", solver="sgd", learning_rate_init=0.1, n_iter_no_change=4, max_iter=60,
              activation="tanh", batch_size=6, tol=1e-3),
        _hand("stops_at_max_iter", "single", solver="sgd", tol=10.0, n_iter_no_change=6, max_iter=8, verbose=True),
        # Schedules to their end.
        _hand("adaptive_to_the_end", "single", solver="sgd", learning_rate="adaptive", tol=1e-2, n_iter_no_change=1,
              learning_rate_init=0.05, max_iter=400, verbose=True),
        _hand("adaptive_early_stopping", "multiclass", solver="sgd", learning_rate="adaptive", tol=1e-2,
              n_iter_no_change=2, learning_rate_init=0.05, max_iter=400, verbose=True, early_stopping=True),
        _hand("adaptive_from_below", "single", solver="sgd", learning_rate="adaptive", learning_rate_init=3e-6, tol=1.0,
              n_iter_no_change=1, max_iter=30, verbose=True),
        _hand("invscaling_first_epochs", "single", solver="sgd", learning_rate="invscaling", learning_rate_init=0.3,
              power_t=0.1, max_iter=4, batch_size=20),
        _hand("invscaling_power_zero", "single", solver="sgd", learning_rate="invscaling", power_t=0.0, max_iter=4),
        _hand("early_stopping_weighted", "binary", early_stopping=True, weights="random", validation_fraction=0.4,
              max_iter=40, n_iter_no_change=4, solver="sgd", learning_rate_init=0.1, n=120),
        _hand("early_stopping_weighted_r2", "single", early_stopping=True, weights="random", validation_fraction=0.4,
              max_iter=40, n_iter_no_change=4, solver="sgd", learning_rate_init=0.05, n=120),
        _hand("early_stopping_overshoots", "single", early_stopping=True, solver="sgd", learning_rate_init=0.5,
              max_iter=40, n_iter_no_change=5, validation_fraction=0.3, activation="tanh"),
        _hand("early_stopping_unbalanced", "multiclass", "dominant_class", early_stopping=True, n=150, max_iter=20),
        _hand("early_stopping_rare_class", "multiclass", "y_rare_class", early_stopping=True, max_iter=8),
        _hand("early_stopping_multilabel", "multilabel", early_stopping=True, max_iter=40, n_iter_no_change=3),
        _hand("early_stopping_tiny", "multi", "rows_2", early_stopping=True, validation_fraction=0.0,
              fails="ValueError: "),
        _hand("adam_without_memory", "single", beta_1=0.0, beta_2=0.0, epsilon=1e-8, batch_size=20),
        _hand("adam_large_epsilon", "multi", epsilon=10.0, learning_rate_init=1.0, batch_size=20),
        _hand("logistic", "multiclass", activation="logistic", hidden_layer_sizes=(5, 4), max_iter=3),
        # Saturation: the clip of the probabilities decides the loss.
        _hand("saturated_binary", "binary", "X_scaled_1e3", solver="sgd", learning_rate_init=1e-7, activation="relu"),
        _hand("saturated_multiclass", "multiclass", "X_scaled_1e3", solver="sgd", learning_rate_init=1e-7),
        _hand("saturated_multilabel_f32", "multilabel", "X_scaled_1e3", solver="sgd", learning_rate_init=1e-7,
              dtype="float32"),
        _hand("saturated_lbfgs", "binary", "X_scaled_1e3", solver="lbfgs", max_iter=2, activation="relu"),
        # Overflow: a score that is not finite, and best weights from before it.
        _hand("overflow_early_stopping", "single", activation="identity", solver="sgd", learning_rate_init=1e25,
              early_stopping=True, max_iter=30, momentum=0.0, validation_fraction=0.2, hidden_layer_sizes=(),
              n_iter_no_change=20),
        # Parameters in other forms.
        _hand("sizes_list", "binary", hidden_layer_sizes=[4, 3]),
        _hand("sizes_array", "multi", hidden_layer_sizes=np.array([4, 3])),
        _hand("sizes_numpy_int", "binary", hidden_layer_sizes=np.int64(5)),
        _hand("three_layers", "multiclass", hidden_layer_sizes=(7, 5, 3), activation="tanh", solver="sgd"),
        _hand("numpy_scalars", "single", solver="sgd", alpha=np.float32(0.5), learning_rate_init=np.float64(0.01),
              max_iter=np.int64(4), momentum=np.float32(0.5), tol=np.float32(1e-3)),
        _hand("integer_alpha", "single", solver="sgd", alpha=2, momentum=0, power_t=1, tol=0, max_iter=3),
        _hand("numpy_bools", "single", shuffle=np.bool_(False), early_stopping=np.bool_(False), max_iter=3),
        _hand("verbose_number", "single", verbose=3, max_iter=3),
        _hand("verbose_early_stopping", "multiclass", verbose=True, early_stopping=True, max_iter=30, tol=0.05,
              n_iter_no_change=2),
        _hand("verbose_lbfgs", "single", verbose=True, solver="lbfgs", max_iter=3),
        _hand("defaults_classifier", "multiclass", hidden_layer_sizes=(100,), max_iter=5),
        _hand("defaults_regressor", "single", hidden_layer_sizes=(100,), max_iter=5),
        _hand("batch_larger_than_data", "single", batch_size=61, max_iter=2),
        # lbfgs at its limits.
        _hand("lbfgs_one_evaluation", "single", solver="lbfgs", max_fun=1, max_iter=5),
        _hand("lbfgs_tol_zero", "multiclass", solver="lbfgs", tol=0.0, max_iter=4),
        _hand("lbfgs_tol", "single", solver="lbfgs", tol=0.1, max_iter=30),
        _hand("lbfgs_weights", "multi", solver="lbfgs", weights="random", alpha=1.0, max_iter=4),
        _hand("lbfgs_huge_alpha", "single", solver="lbfgs", alpha=100.0, max_iter=120, activation="tanh"),
        # Long runs on noise: the ones that scikit-learn itself does not repeat under other kernels.
        _hand("lbfgs_chaotic_relu", "multi", solver="lbfgs", n=150, n_features=12, hidden_layer_sizes=(30, 20),
              max_iter=250, tol=1e-7),
        _hand("lbfgs_chaotic_tanh", "single", solver="lbfgs", n=150, n_features=12, hidden_layer_sizes=(24, 16),
              max_iter=250, tol=1e-7, activation="tanh"),
        _hand("lbfgs_chaotic_weighted", "multiclass", solver="lbfgs", n=150, n_features=7, hidden_layer_sizes=(20,),
              max_iter=250, tol=1e-9, weights="random"),
        # Targets in other forms.
        _hand("y_column_classifier", "binary", "y_column"),
        _hand("y_column_regressor", "single", "y_column"),
        _hand("y_list", "multiclass", "y_list"),
        _hand("y_bool", "binary", "y_bool"),
        _hand("y_negative_labels", "binary", "y_negative_labels"),
        _hand("y_float_labels", "multiclass", "y_float_labels"),
        _hand("y_two_strings", "binary", "y_two_strings"),
        _hand("y_unicode", "multiclass", "y_unicode", solver="sgd"),
        _hand("y_one_class", "binary", "y_one_class"),
        _hand("y_int_regressor", "single", "y_int"),
        _hand("y_float32_regressor", "single", "y_float32", dtype="float32"),
        _hand("y_float32_multi", "multi", "y_float32", dtype="float32", solver="sgd"),
        _hand("y_float32_lbfgs", "multi", "y_float32", dtype="float32", solver="lbfgs", max_iter=4),
        _hand("poisson_two_outputs", "poisson", "y_two_columns", solver="sgd", learning_rate_init=0.005),
        _hand("poisson_negative_targets", "poisson", "y_shifted_down", solver="adam", max_iter=3),
        _hand("poisson_float32", "poisson", "y_float32", dtype="float32"),
        # X in other forms.
        _hand("X_list", "single", "X_list"),
        _hand("X_bool", "binary", "X_bool"),
        _hand("X_uint8", "single", "X_uint8", dtype="int", solver="sgd"),
        _hand("X_float16", "binary", "X_float16"),
        _hand("X_longdouble", "single", "X_longdouble"),
        _hand("X_big_endian", "single", "X_big_endian"),
        _hand("X_object", "binary", "X_object"),
        _hand("X_numeric_strings", "single", "X_numeric_strings"),
        _hand("X_read_only", "single", "X_read_only", solver="sgd"),
        _hand("X_strided", "multiclass", "X_strided", solver="sgd"),
        _hand("X_all_zero", "binary", "X_matrix_of_zeros", solver="sgd"),
        _hand("X_coo", "single", "X_coo", container="csr"),
        _hand("X_unsorted_indices", "multiclass", "X_unsorted", container="csr", solver="sgd"),
        _hand("X_duplicate_entries", "single", "X_duplicated", container="csr", solver="sgd", batch_size=9),
        _hand("X_duplicate_entries_lbfgs", "single", "X_duplicated", container="csr", solver="lbfgs", max_iter=4),
        _hand("X_explicit_zeros", "single", "X_explicit_zeros", container="csr"),
        _hand("X_wide_indices", "multiclass", "X_wide_indices", container="csr"),
        _hand("X_empty_rows_and_columns", "single", "X_empty_rows", container="csr", batch_size=8, solver="sgd"),
        _hand("X_csc_early_stopping", "binary", container="csc", early_stopping=True, max_iter=20),
        _hand("X_csc_lbfgs", "multi", container="csc", solver="lbfgs", max_iter=4),
        _hand("frame_classifier", "binary", container="frame"),
        _hand("frame_regressor", "multi", container="frame", solver="lbfgs", max_iter=4),
        _hand("frame_early_stopping", "multiclass", container="frame", early_stopping=True, max_iter=20),
        # Weights in other forms.
        _hand("weight_list", "single", "weight_list", weights="integer"),
        _hand("weight_float32", "binary", "weight_float32", weights="random"),
        _hand("weight_float32_f32", "binary", "weight_float32", weights="random", dtype="float32"),
        _hand("weight_scalar", "binary", "weight_scalar", weights="random", alpha=1.0),
        _hand("weight_many_zeros", "multiclass", "weight_many_zeros", weights="random", alpha=1.0, batch_size=30),
        _hand("weight_negative", "single", "weight_negative", weights="random", solver="sgd"),
        _hand("weight_l2", "multiclass", weights="integer", alpha=10.0, solver="sgd", batch_size=13),
        # Draws: the order of weights, split and shuffles, seen in the state they leave behind.
        _hand("draws_shared_state", "multiclass", random_state="instance", early_stopping=True, batch_size=9, fits=2),
        _hand("draws_global_state", "single", random_state="none", batch_size=9, fits=2),
        _hand("draws_none_without_shuffle", "single", random_state="instance", shuffle=False, batch_size=9),
        _hand("draws_on_equal_rows", "single", "repeated_rows", random_state="instance", batch_size=9, solver="sgd"),
        _hand("order_without_shuffle", "single", shuffle=False, batch_size=9, solver="sgd", max_iter=5),
        _hand("order_is_cumulative", "single", batch_size=9, solver="sgd", max_iter=5, learning_rate_init=0.05),
        # Warm starts: counts, best loss and rates of the schedule go on, the solver does not.
        _hand("warm_counts", "single", solver="sgd", warm_start=True, fits=4, tol=10.0, n_iter_no_change=5, max_iter=4),
        _hand("warm_invscaling", "single", solver="sgd", warm_start=True, fits=3, learning_rate="invscaling",
              max_iter=3, power_t=0.3),
        _hand("warm_adaptive", "single", solver="sgd", warm_start=True, fits=3, learning_rate="adaptive", tol=1.0,
              n_iter_no_change=1, max_iter=7),
        _hand("warm_adam", "multi", warm_start=True, fits=3, max_iter=4, batch_size=20),
        _hand("warm_lbfgs", "single", solver="lbfgs", warm_start=True, fits=3, max_iter=2),
        _hand("warm_early_stopping", "multiclass", warm_start=True, fits=3, early_stopping=True, max_iter=6),
        _hand("cold_refits", "multiclass", fits=3, max_iter=4, random_state="instance"),
    ]  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# Calls that must fail
# ---------------------------------------------------------------------------------------------------------------------

INVALID_PARAMS: list[tuple[str, str, dict[str, Any]]] = [
    ("sizes_zero", "binary", {"hidden_layer_sizes": 0}),
    ("sizes_inner_zero", "binary", {"hidden_layer_sizes": (5, 0)}),
    ("sizes_negative", "single", {"hidden_layer_sizes": (5, -1)}),
    ("sizes_text", "single", {"hidden_layer_sizes": "many"}),
    ("activation", "binary", {"activation": "no such function"}),
    ("solver", "single", {"solver": "newton"}),
    ("alpha", "binary", {"alpha": -1e-9}),
    ("batch_size_zero", "binary", {"batch_size": 0}),
    ("batch_size_float", "single", {"batch_size": 7.0}),
    ("batch_size_text", "single", {"batch_size": "large"}),
    ("learning_rate", "binary", {"learning_rate": "warp", "solver": "sgd"}),
    ("learning_rate_init", "single", {"learning_rate_init": 0.0}),
    ("power_t", "single", {"power_t": -0.5}),
    ("max_iter", "binary", {"max_iter": 0}),
    ("max_iter_float", "binary", {"max_iter": 3.0}),
    ("shuffle", "single", {"shuffle": "yes"}),
    ("random_state", "single", {"random_state": "seven"}),
    ("tol", "binary", {"tol": -1e-4}),
    ("verbose", "binary", {"verbose": -1}),
    ("warm_start", "single", {"warm_start": 2}),
    ("momentum", "single", {"momentum": 1.0001, "solver": "sgd"}),
    ("nesterovs_momentum", "single", {"nesterovs_momentum": None}),
    ("early_stopping", "binary", {"early_stopping": "no"}),
    ("validation_fraction_one", "single", {"validation_fraction": 1.0, "early_stopping": True}),
    ("validation_fraction_negative", "single", {"validation_fraction": -0.1}),
    ("beta_1", "binary", {"beta_1": 1.0}),
    ("beta_2", "binary", {"beta_2": -0.1}),
    ("epsilon", "single", {"epsilon": 0.0}),
    ("n_iter_no_change_zero", "single", {"n_iter_no_change": 0}),
    ("n_iter_no_change_float", "single", {"n_iter_no_change": 2.5}),
    ("max_fun", "binary", {"max_fun": 0, "solver": "lbfgs"}),
    ("loss", "single", {"loss": "absolute_error"}),
    ("nan_alpha", "single", {"alpha": np.nan}),
]
"""Parameters that scikit-learn refuses when `fit` is called, with an error of the type ValueError."""


ALL_ZERO = ("ValueError: Sample weights must contain", "ZeroDivisionError: ")
"""Weights of zero: refused when checked in newer versions, stumbled over when averaging in older ones."""


def failing_cases() -> list[Case]:
    """Return calls of fit that scikit-learn refuses, or that end in an error."""

    def bad(name: str, kind: str, alter: str | None, fails: str | tuple[str, ...], **options: Any) -> Case:
        made = _hand(name, kind, alter, fails=fails, **options)
        return replace(made, id=f"fail-{name}")

    cases = []
    for name, kind, params in INVALID_PARAMS:
        options = {key: value for key, value in params.items() if key != "random_state"}
        made = bad(f"param_{name}", kind, None, "ValueError: ", **options)
        if "random_state" in params:
            made = replace(made, params={**made.params, "random_state": params["random_state"]})
        cases.append(made)
    cases += [
        bad("X_nan", "single", "X_nan", "ValueError: Input X contains NaN"),
        bad("X_inf", "binary", "X_inf", "ValueError: Input X contains infinity"),
        bad("X_sparse_nan", "binary", "X_sparse_nan", "ValueError: Input X contains NaN", container="csr"),
        bad("X_text", "single", "X_text", "ValueError: could not convert"),
        bad("X_complex", "single", "X_complex", "ValueError: Complex data"),
        bad("X_one_dimension", "single", "X_one_dimension", "ValueError: Expected 2D array"),
        bad("X_three_dimensions", "single", "X_three_dimensions", "ValueError: Found array with dim 3"),
        bad("X_no_rows", "single", "X_no_rows", "ValueError: Found array with 0 sample"),
        bad("X_no_columns", "single", "X_no_columns", "ValueError: Found array with 0 feature"),
        bad("y_none", "single", "y_none", "ValueError: This MLPRegressor estimator requires y"),
        bad("y_none_classifier", "binary", "y_none", "ValueError: This MLPClassifier estimator requires y"),
        bad("y_nan", "single", "y_nan", "ValueError: Input y contains NaN"),
        bad("y_short", "binary", "y_short", "ValueError: Found input variables with inconsistent numbers"),
        bad("y_text_regressor", "single", "y_text", "ValueError: "),
        bad("y_continuous_classifier", "binary", "y_continuous_float", "ValueError: Unknown label type"),
        bad("y_two_class_columns", "multiclass", "y_two_class_columns", "ValueError: "),
        bad("weight_short", "binary", "weight_short", "ValueError: sample_weight.shape", weights="random"),
        bad("weight_two_columns", "single", "weight_two_columns", "ValueError: Sample weights must be 1D",
            weights="random"),
        bad("weight_nan", "single", "weight_nan", "ValueError: Input sample_weight contains NaN", weights="random"),
        bad("weight_zero", "single", "weight_zero", ALL_ZERO, weights="random", solver="sgd"),
        bad("weight_zero_lbfgs", "binary", "weight_zero", ALL_ZERO, weights="random", solver="lbfgs"),
        bad("weight_zero_batch", "multiclass", None, "ZeroDivisionError: ", weights="zeros", batch_size=1),
        bad("weight_zero_batch_in_order", "single", None, "ZeroDivisionError: ", weights="zeros", batch_size=1,
            shuffle=False, solver="sgd"),
        bad("split_rare_class", "binary", "y_one_positive", "ValueError: The least populated class",
            early_stopping=True),
        bad("split_too_small", "single", None, "ValueError: The validation set is too small", n=15, early_stopping=True,
            validation_fraction=0.05),
        bad("split_empty", "multi", None, "ValueError: ", early_stopping=True, validation_fraction=0.0),
        bad("diverges_sgd", "single", "X_scaled_1e200", "ValueError: Solver produced non-finite", solver="sgd"),
        bad("diverges_identity", "multi", None, "ValueError: Solver produced non-finite", solver="sgd", max_iter=400,
            learning_rate_init=1e3, activation="identity", momentum=0.0, tol=0.0, n_iter_no_change=np.inf),
        bad("diverges_adam", "single", "X_scaled_1e200", "ValueError: Solver produced non-finite",
            activation="identity"),
    ]  # fmt: skip
    return cases


_change_y("y_continuous_float", lambda y: y + np.linspace(0.1, 0.9, len(y)))
_change_y("y_one_positive", lambda y: (np.arange(len(y)) == 7).astype(int))


@cache
def all_cases() -> tuple[Case, ...]:
    """Return every case, in a fixed order, with distinct ids."""
    cases = (*array_cases(), *hand_cases(), *failing_cases())
    assert len({case.id for case in cases}) == len(cases), "two cases share an id"
    return cases


def by_id(case_id: str) -> Case:
    """Return the case of an id, or of an unambiguous beginning of one."""
    found = [case for case in all_cases() if case.id == case_id] or [
        case for case in all_cases() if case.id.startswith(case_id)
    ]
    if len(found) != 1:
        raise KeyError(f"{len(found)} cases match {case_id!r}")
    return found[0]
