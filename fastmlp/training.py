"""How training goes: initial weights, and the loop over epochs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np

from fastmlp._held import Noted
from fastmlp.backends import Trainer
from fastmlp.spec import NetworkSpec

_LONG_ENOUGH = 0.01
"""Seconds from which on a call of the trainer need not be longer: its fixed cost is small beside them."""

DEFAULT_BATCH_SIZE = 200
"""Rows of a step where no number is given; fewer where there are fewer rows."""


def draw_parameters(
    spec: NetworkSpec, factors: Sequence[float], random_state: np.random.RandomState, params: np.ndarray
) -> None:
    """Draw initial weights and biases as scikit-learn does (after Glorot and Bengio, AISTATS 2010).

    Layer by layer first the weights, then the biases, uniformly in (-b, b), b = sqrt(factor / (fan_in + fan_out)). They
    are drawn in float64 and rounded to the dtype of `params`.

    Parameters
    ----------
    spec : NetworkSpec
    factors : sequence of float
        One per weight layer.
    random_state : numpy.random.RandomState
    params : ndarray of shape (n_parameters,)
        Overwritten.

    Examples
    --------
    >>> import numpy as np
    >>> from fastmlp.spec import make_spec
    >>> from fastmlp.training import draw_parameters
    >>> spec, params = make_spec([2, 1], "tanh", "identity", "squared_error", "float64"), np.zeros(3)
    >>> draw_parameters(spec, [6.0], np.random.RandomState(0), params)
    >>> params.round(4)
    array([0.1381, 0.6086, 0.2907])
    """
    layers = zip(spec.layout.coefs(params), spec.layout.intercepts(params), factors, strict=True)
    with Noted(random_state._bit_generator.lock):
        for coefs, intercepts, factor in layers:
            coefs[:], intercepts[:] = draw_layer(*coefs.shape, factor, random_state)


def glorot_factor(activation: str) -> float:
    """Return the factor of the variance of initial weights, by the name of an activation; see `draw_parameters`."""
    return 2.0 if activation == "logistic" else 6.0


def draw_layer(
    fan_in: int, fan_out: int, factor: float, random_state: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Return initial weights and biases of one layer, float64; see `draw_parameters`."""
    bound = np.sqrt(factor / (fan_in + fan_out))
    return random_state.uniform(-bound, bound, (fan_in, fan_out)), random_state.uniform(-bound, bound, fan_out)


def draw_key(spec: NetworkSpec, random_state: np.random.RandomState) -> int:
    """Draw the key of the random numbers in kernels; where no activation draws, nothing is drawn and the key is 0.

    It is drawn once in every call that trains by epochs: after the initial weights, where there are new ones, and
    before the split and the shuffles.

    Parameters
    ----------
    spec : NetworkSpec
    random_state : numpy.random.RandomState

    Returns
    -------
    int
        Of 64 bits.

    Examples
    --------
    >>> import numpy as np
    >>> from fastmlp.spec import make_spec
    >>> from fastmlp.training import draw_key
    >>> spec = make_spec([2, 3, 1], "randomized_leaky_relu", "identity", "squared_error", "float64")
    >>> draw_key(spec, np.random.RandomState(0)) == draw_key(spec, np.random.RandomState(0)) > 0
    True
    """
    if not spec.draws:
        return 0
    with Noted(random_state._bit_generator.lock):
        return int(random_state.randint(0, 2**64, dtype=np.uint64))


def run_training(
    trainer: Trainer, params: np.ndarray, epochs: int, callback: Callable[[int, float], object] | None = None
) -> list[float]:
    """Run epochs, one after another, and return their losses (L2 term included).

    Parameters
    ----------
    trainer : Trainer
    params : ndarray of shape (n_parameters,)
        The vector that `trainer` updates.
    epochs : int
    callback : callable, optional
        ``callback(epoch, loss)``, called after each epoch, counted from 1; training stops when it returns true. What
        it raises, but for an interrupt, goes on to the caller; the parameters stay those of the last epoch.

    Returns
    -------
    list of float
        Means over the batches, counted by their rows. After an interrupt the epochs of the interrupted call of the
        trainer, at most a few hundredths of a second of them or one epoch, are missing.

    Raises
    ------
    ValueError
        When a parameter is no longer finite.
    ZeroDivisionError
        When the sample weights of a batch sum to zero.

    Notes
    -----
    When anything but `callback` raises, the handler of a signal included, or a parameter is no longer finite, `params`
    are put back to what they were. Only an interrupt by the user (Ctrl-C) keeps the last whole step, if it is finite,
    and warns instead of going on.
    """
    curve: list[float] = []
    at_once = 1
    in_callback = False
    before = params  # until there is a copy, nothing has changed
    try:
        before = params.copy()
        while len(curve) < epochs:
            started = perf_counter()
            losses = trainer.run(min(at_once, epochs - len(curve)))
            _keep_finite(params, before, f"after {len(curve) + len(losses.data)} epochs")
            curve.extend((losses.data + losses.l2).tolist())
            if callback is not None:
                in_callback = True
                stops = bool(callback(len(curve), curve[-1]))
                in_callback = False
                if stops:
                    break
            elif perf_counter() - started < _LONG_ENOUGH:
                at_once *= 2
    except KeyboardInterrupt:
        _keep_finite(params, before, f"after {len(curve)} epochs or more, when training was interrupted")
        warnings.warn("Training interrupted by user.", stacklevel=3)
    except BaseException:  # also what the handler of a signal raises between two calls, such as a timeout
        if not in_callback:
            params[:] = before
        raise
    return curve


def _keep_finite(params: np.ndarray, before: np.ndarray, when: str) -> None:
    """Put parameters that are not finite back to what they were, and raise ValueError."""
    if not np.isfinite(params).all():
        params[:] = before
        raise ValueError(
            f"Training expected to keep all parameters finite, got NaN or infinity {when}; they were put back. "
            "Lower the learning rate or scale X."
        )
