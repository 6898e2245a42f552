"""What a network computes: the checked, immutable description that backends get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from typing import Any, TypeGuard

import numpy as np

from fastmlp._parameters import name_of
from fastmlp.activations import ACTIVATIONS, BUILT_IN_ACTIVATIONS, Activation, get_activation
from fastmlp.layout import Layout
from fastmlp.losses import BUILT_IN_LOSSES, LOSSES, Loss, check_pair, get_loss

ActivationLike = str | Activation | tuple[str | Activation, Mapping[str, float]]
"""How a user names an activation: ``"tanh"`` or ``("leaky_relu", {"alpha": 0.02})``; an entry of the registry may stand
for its name."""


@dataclass(frozen=True)
class NetworkSpec:
    """What a network computes. Build it with `make_spec`, which checks; equal specs are equal and hash alike.

    Attributes
    ----------
    units : tuple of int
        Widths of all layers: ``(n_features, *hidden, n_outputs)``.
    activations : tuple of (str, tuple of float)
        Name and parameter block of the activation of each weight layer, the output layer last.
    loss : str
        Key of `fastmlp.losses.LOSSES`.
    dtype : numpy.dtype
        float32 or float64, of parameters and of all arithmetic.
    """

    units: tuple[int, ...]
    activations: tuple[tuple[str, tuple[float, ...]], ...]
    loss: str
    dtype: np.dtype

    @cached_property
    def layout(self) -> Layout:
        """Where the parameters lie in the flat vector."""
        return Layout(self.units)

    @property
    def n_layers(self) -> int:
        """Number of weight layers."""
        return len(self.activations)

    @property
    def output_activation(self) -> Activation:
        """Registry entry of the output layer's activation."""
        return get_activation(self.activations[-1][0])

    @property
    def loss_entry(self) -> Loss:
        """Registry entry of the loss."""
        return get_loss(self.loss)

    @cached_property
    def _is_extended(self) -> bool:
        """Whether not all of it is the library's."""
        return self.loss not in BUILT_IN_LOSSES or any(name not in BUILT_IN_ACTIVATIONS for name, _ in self.activations)

    @property
    def own(self) -> tuple[Any, ...]:
        """What the user has registered of it, as it is registered now: the activations, then the loss.

        What is compiled for a spec depends on these, too: a name may come to stand for another function.
        """
        if not self._is_extended:
            return ()
        found = [get_activation(name) for name, _ in self.activations]
        entries = dict.fromkeys(entry for entry in (*found, self.loss_entry) if entry.is_own)
        for entry, (_, block) in zip(found, self.activations, strict=True):
            if len(block) != len(entry.parameters):
                raise ValueError(
                    f"The activation {entry.name!r} has been registered with other parameters since this network was "
                    "made."
                )
        check_pair(self.loss, self.activations[-1][0])
        return tuple(entries)

    @property
    def is_categorical(self) -> bool:
        """Whether a row of outputs, and of targets, is one distribution over classes."""
        return self.loss_entry.is_categorical(self.activations[-1][0])

    @cached_property
    def draws(self) -> bool:
        """Whether some layer's activation draws random numbers in training."""
        return any(get_activation(name).draws for name, _ in self.activations)

    def check_differentiable(self) -> None:
        """Raise ValueError, with the reason, when some layer's activation has no gradient."""
        for name, _ in self.activations:
            get_activation(name).check_differentiable()


def check_dtype(dtype: np.dtype | type | str) -> np.dtype:
    """Return `dtype` as the dtype of a network.

    Raises
    ------
    TypeError
        When it is no dtype.
    ValueError
        When it is neither float32 nor float64, in native byte order.

    Examples
    --------
    >>> from fastmlp.spec import check_dtype
    >>> check_dtype("float32")
    dtype('float32')
    """
    try:
        checked = np.dtype(object if dtype is None else dtype)  # numpy.dtype(None) is float64
    except TypeError as error:
        raise TypeError(f"dtype must be float32 or float64, got {dtype!r}.") from error
    if checked not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"dtype must be float32 or float64, got {dtype!r}.")
    return checked


def check_units(units: Sequence[int]) -> tuple[int, ...]:
    """Return the widths of all layers as a tuple of Python ints.

    Raises
    ------
    TypeError
        When `units` is no sequence of integers.
    ValueError
        When there are fewer than two, or one is below 1 or above 2**31 - 1.

    Examples
    --------
    >>> from fastmlp.spec import check_units
    >>> check_units([4, 3, 1])
    (4, 3, 1)
    """
    if isinstance(units, (str, bytes, Mapping, Set)) or not hasattr(units, "__iter__"):
        raise TypeError(f"units must be a sequence of integers such as [4, 3, 1], got {units!r}.")
    units = tuple(units)
    for n in units:
        if isinstance(n, (bool, np.bool_)) or not isinstance(n, Integral):
            raise TypeError(f"units must be integers, got {n!r} of type {type(n).__name__}.")
    if len(units) < 2 or min(units) < 1:
        raise ValueError(f"units must be at least two widths (inputs, ..., outputs), each at least 1, got {units}.")
    if max(units) > np.iinfo(np.int32).max:
        raise ValueError(f"units must be widths of at most {np.iinfo(np.int32).max}, got {max(units)}.")
    return tuple(int(n) for n in units)


def resolve_activation(activation: ActivationLike, *, is_output: bool) -> tuple[str, tuple[float, ...]]:
    """Return name and parameter block of an activation given as a user gives it.

    Parameters
    ----------
    activation : str, Activation or (str or Activation, mapping)
    is_output : bool
        Whether it is for an output layer.

    Returns
    -------
    (str, tuple of float)

    Raises
    ------
    TypeError
        When it has neither form, or for an unknown or non-numeric parameter.
    ValueError
        For an unknown name, a parameter outside its limits, or an output activation in a hidden layer.

    Examples
    --------
    >>> from fastmlp.spec import resolve_activation
    >>> resolve_activation(("leaky_relu", {"alpha": 0.02}), is_output=False)
    ('leaky_relu', (0.02,))
    """
    name, given = activation if _is_pair(activation) else (activation, {})
    if isinstance(name, Activation):
        name = name_of(ACTIVATIONS, "activation", name)
    if not isinstance(name, str):
        raise TypeError(
            f"An activation must be a name or a pair such as ('leaky_relu', {{'alpha': 0.02}}), got {activation!r}."
        )
    entry = get_activation(name)
    if entry.outputs_only and not is_output:
        raise ValueError(f"The activation {name!r} is for output layers only, got it for a hidden layer.")
    return name, entry.resolve(given)


def _is_pair(activation: object) -> TypeGuard[tuple[str, Mapping[str, float]]]:
    return isinstance(activation, (tuple, list)) and len(activation) == 2 and isinstance(activation[1], Mapping)


def make_spec(
    units: Sequence[int],
    activation: ActivationLike | Sequence[ActivationLike],
    output_activation: ActivationLike,
    loss: str | Loss,
    dtype: np.dtype | type | str,
) -> NetworkSpec:
    """Check the user's description of a network.

    Parameters
    ----------
    units : sequence of int
        ``[n_features, *hidden, n_outputs]``.
    activation : str, Activation, (str or Activation, mapping), or a sequence of these
        For all hidden layers, or one per hidden layer.
    output_activation : str, Activation or (str or Activation, mapping)
    loss : str or Loss
    dtype : float32 or float64

    Returns
    -------
    NetworkSpec

    Raises
    ------
    TypeError, ValueError
        When a part is not what is expected, or loss and output activation do not go together.

    Examples
    --------
    >>> from fastmlp.spec import make_spec
    >>> make_spec([4, 3, 1], ("leaky_relu", {"alpha": 0.02}), "identity", "squared_error", "float64").activations
    (('leaky_relu', (0.02,)), ('identity', ()))
    """
    units = check_units(units)
    n_hidden = len(units) - 2
    if isinstance(activation, (list, tuple)) and not _is_pair(activation):
        if len(activation) != n_hidden:
            raise ValueError(
                f"activation must be one for all hidden layers or a list of {n_hidden}, one for each hidden layer, "
                f"got {len(activation)}: {activation!r}."
            )
        hidden = tuple(resolve_activation(one, is_output=False) for one in activation)
    else:
        hidden = (resolve_activation(activation, is_output=False),) * n_hidden
    output = resolve_activation(output_activation, is_output=True)
    loss = name_of(LOSSES, "loss", loss)
    check_pair(loss, output[0])
    if get_activation(output[0]).jacobian_product is not None and units[-1] < 2:
        raise ValueError(f"The output activation {output[0]!r} expects at least 2 output units, got {units[-1]}.")
    return NetworkSpec(units, (*hidden, output), loss, check_dtype(dtype))
