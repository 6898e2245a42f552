"""One row through a network, with every number on the way: what `Network.trace` and `Network.explain` return.

The notation is the lecture's. Layers and units are counted from 1, layer 0 is the input, vectors are columns, and
the element of ``W[l]`` in row i and column j leads from unit j of layer l - 1 to unit i of layer l::

    z[l] = W[l] a[l-1] + b[l]                       a[0] = x
    a[l] = g_l(z[l])

    dL/da[l] = W[l+1]^T delta[l+1]                  dL/da[L] is the derivative of the loss itself
    delta[l] = dL/da[l] * g_l'(z[l])                delta[l] is dL/dz[l]; for softmax, whose units are
                                                    coupled, (da[L]/dz[L])^T dL/da[L]

    dW[l] = delta[l] a[l-1]^T
    db[l] = delta[l]

D. E. Rumelhart, G. E. Hinton, R. J. Williams, "Learning representations by back-propagating errors", Nature 323 (1986),
https://doi.org/10.1038/323533a0
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastmlp._validation import as_numbers, check_count, check_inputs, check_targets
from fastmlp.activations import get_activation
from fastmlp.spec import NetworkSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fastmlp.network import Network
    from fastmlp.plotting import NetworkDisplay

_MAX_PATHS = 100_000
"""More paths than that nobody reads, and their number is the product of the widths of the layers behind a weight."""

_SHOWN = 8
"""Units of a layer, weights of a unit and paths that are printed; of more units the middle is left out."""

_MATRICES = ("W", "dW", "da/dz")

_TABLE_WIDTH = 120
"""Where the table of a layer would be wider, its matrices get tables of their own."""


@dataclass(frozen=True, eq=False, repr=False)
class Trace:
    """One row through a network and back: made by `Network.trace`; printed, it is a table.

    Attributes
    ----------
    spec : NetworkSpec
        Units, activations and loss of the network.
    y : ndarray of shape (units[-1], 1)
    loss : float
        L2 term included.
    alpha : float
        L2 penalty; its part of the gradient, ``alpha * W[l]``, is in `dW`.
    W, b : dict of int to ndarray
        Copies of the parameters by layer, l = 1 ... L: ``W[l]`` of shape (units[l], units[l-1]), ``b[l]`` of shape
        (units[l], 1).
    z, a, delta : dict of int to ndarray of shape (units[l], 1)
        Pre-activations, activations and ``dL/dz``; ``a[0]`` is the input.
    slope : dict of int to ndarray
        ``g'(z)`` of shape (units[l], 1); of an activation that couples its units (softmax) the matrix
        ``da[k]/dz[i]`` of shape (units[l], units[l]).
    dL_da : dict of int to ndarray of shape (units[l], 1)
        Derivatives of the loss with respect to the activations. ``dL_da[L]`` is missing where ``dL/da`` and ``da/dz``
        cannot be taken apart: for a log loss of probabilities rounded to 0 or 1 and a Poisson loss of means rounded
        to 0 the one is infinite or 0 / 0 and the other 0, while ``dL/dz = a - y`` is exact.
    dW, db : dict of int to ndarray
        The gradient, in the shapes of W and b.

    Examples
    --------
    >>> from fastmlp import Network
    >>> net = Network.from_weights([[[2.0], [-1.0]]], [[0.5]])
    >>> trace = net.trace([1.0, 3.0], 0.0)
    >>> trace.z[1], trace.dW[1], trace.db[1]
    (array([[-0.5]]), array([[-0.5, -1.5]]), array([[-0.5]]))
    >>> print(trace)
    Trace of one row through Network [2, 1]: loss 'squared_error' = 0.125
    layer 0: input
      unit  a
         1  1
         2  3
    layer 1: identity
      unit    b     z     a  dL/da  g'(z)  delta    db  W[:,1]  W[:,2]  dW[:,1]  dW[:,2]
         1  0.5  -0.5  -0.5   -0.5      1   -0.5  -0.5       2      -1     -0.5     -1.5
    target
      unit  y
         1  0
    """

    spec: NetworkSpec
    y: np.ndarray
    loss: float
    alpha: float
    W: dict[int, np.ndarray]
    b: dict[int, np.ndarray]
    z: dict[int, np.ndarray]
    a: dict[int, np.ndarray]
    slope: dict[int, np.ndarray]
    dL_da: dict[int, np.ndarray]  # noqa: N815
    delta: dict[int, np.ndarray]
    dW: dict[int, np.ndarray]  # noqa: N815
    db: dict[int, np.ndarray]

    def plot(self, ax: Axes | None = None, **options: Any) -> NetworkDisplay:
        """Draw the network with these numbers on it.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            None: axes of a new figure.
        **options
            Of `fastmlp.plotting.NetworkDisplay.plot`.

        Returns
        -------
        fastmlp.plotting.NetworkDisplay

        Raises
        ------
        TypeError, ValueError
            When an option is not one that `NetworkDisplay.plot` takes.
        ImportError
            When matplotlib is not installed.

        Examples
        --------
        >>> from fastmlp import Network
        >>> len(Network([2, 1], random_state=0).trace([1.0, 2.0], 3.0).plot().lines_)
        2
        """
        from fastmlp.plotting import NetworkDisplay

        return NetworkDisplay.from_trace(self, ax=ax, **options)

    def __str__(self) -> str:
        units = list(self.spec.units)
        lines = [f"Trace of one row through Network {units}: loss {self.spec.loss!r} = {self.loss:z.6g}"]
        lines += ["layer 0: input", *_table({"a": self.a[0]})]
        for layer, (name, _) in enumerate(self.spec.activations, start=1):
            lines.append(f"layer {layer}: {name}")
            columns = {"b": self.b[layer], "z": self.z[layer], "a": self.a[layer]}
            matrices = {"W": self.W[layer], "dW": self.dW[layer]}
            if layer in self.dL_da:
                columns["dL/da"] = self.dL_da[layer]
            if self.slope[layer].shape[1] == 1:
                columns["g'(z)"] = self.slope[layer]
            else:
                matrices = {"da/dz": self.slope[layer]} | matrices
            columns |= {"delta": self.delta[layer], "db": self.db[layer]}
            lines += _tables(columns, matrices)
        return "\n".join([*lines, "target", *_table({"y": self.y})])

    __repr__ = __str__


@dataclass(frozen=True)
class Factor:
    """One factor of the chain rule.

    Attributes
    ----------
    name : str
        As ``"da[2]_1/dz[2]_1"``.
    value : float
    closed : bool
        Whether the gradient ends here, whatever comes from the loss: it is the derivative, 0, of a unit that ReLU
        closes.
    """

    name: str
    value: float
    closed: bool = False


@dataclass(frozen=True)
class Path:
    """One way from the loss to a weight or bias.

    Attributes
    ----------
    factors : tuple of Factor
        From the loss to the parameter.
    """

    factors: tuple[Factor, ...]

    @property
    def product(self) -> float:
        """Product of the factors: what this path adds to the derivative."""
        product = 1.0
        for factor in self.factors:
            product = 0.0 if factor.closed else product * factor.value
        return product


@dataclass(frozen=True, repr=False)
class Explanation:
    """One partial derivative by the chain rule: made by `Network.explain`; printed, it is the sum over all paths.

    Attributes
    ----------
    layer, i, j : int
        The weight, from unit j of layer ``layer - 1`` to unit i of `layer`. For j None the bias of unit i.
    paths : tuple of Path
        Every path from the loss to the parameter. Printed, of many those with the largest products are shown.
    penalty : float
        What the L2 penalty adds: ``alpha * w``, 0 for a bias.

    Examples
    --------
    >>> from fastmlp import Network
    >>> net = Network.from_weights([[[2.0, 1.0]], [[1.0], [3.0]]], [[0.0, 0.0], [0.0]], activation="relu")
    >>> explanation = net.explain([1.0], 3.0, layer=1, i=2, j=1)
    >>> explanation.derivative
    6.0
    >>> print(explanation)
    dL/dw[1]_21 = 6, the sum over 1 path
      dL/da[2]_1 * da[2]_1/dz[2]_1 * dz[2]_1/da[1]_2 * da[1]_2/dz[1]_2 * dz[1]_2/dw[1]_21
               2 *               1 *               3 *               1 *                1 = 6
    """

    layer: int
    i: int
    j: int | None
    paths: tuple[Path, ...]
    penalty: float

    @property
    def derivative(self) -> float:
        """Sum of the products of all paths, and of the penalty's part."""
        return _sum([*(path.product for path in self.paths), self.penalty])

    def __str__(self) -> str:
        name = _parameter(self.layer, self.i, self.j)
        count = "1 path" if len(self.paths) == 1 else f"{len(self.paths)} paths"
        also = " and the L2 penalty" if self.penalty else ""
        lines = [f"dL/d{name} = {self.derivative:z.4g}, the sum over {count}{also}"]
        shown = self.paths
        if len(shown) > _SHOWN:
            shown = sorted(shown, key=lambda path: abs(path.product), reverse=True)[: _SHOWN - 1]
        for path in shown:
            cells = [(factor.name, f"{factor.value:z.4g}") for factor in path.factors]
            widths = [max(len(name), len(value)) for name, value in cells]
            names, values = (
                " * ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
                for row in zip(*cells, strict=True)
            )
            lines += ["  " + names, f"  {values} = {path.product:z.4g}"]
        if len(shown) < len(self.paths):
            rest = _sum([path.product for path in self.paths] + [-path.product for path in shown])
            lines += [f"  {len(self.paths) - len(shown)} more paths of smaller products, together {rest:z.4g}"]
        if self.penalty:
            lines += [f"  alpha * {name} = {self.penalty:z.4g}"]
        return "\n".join(lines)

    __repr__ = __str__


def trace(net: Network, x: Any, y: Any) -> Trace:
    """Return what `Network.trace` returns."""
    spec = net.spec
    spec.check_differentiable()
    x = check_inputs(_row("x", x, spec.units[0]), spec)
    y = _target_row(y, spec)
    with np.errstate(all="ignore"):  # numbers that are not finite are there to be seen
        return _numbers(net, x, y)


def _numbers(net: Network, x: np.ndarray, y: np.ndarray) -> Trace:
    spec = net.spec
    layers = range(1, spec.n_layers + 1)
    W = {n: coefs.T.copy() for n, coefs in enumerate(net.coefs, start=1)}
    b = {n: intercepts[:, np.newaxis].copy() for n, intercepts in enumerate(net.intercepts, start=1)}
    z = {n: row.T for n, row in enumerate(net.preactivations(x), start=1)}
    a = {n: row.T for n, row in enumerate([x.copy(), *net.activations(x)])}
    slope = {n: _slope(spec, n, z[n], a[n]) for n in layers}
    delta, dL_da = _at_the_outputs(spec, a[spec.n_layers], y.T, slope[spec.n_layers])
    for n in reversed(layers[:-1]):
        dL_da[n] = W[n + 1].T @ delta[n + 1]
        delta[n] = _through(spec, n, slope[n], dL_da[n])
    delta, dL_da = dict(sorted(delta.items())), dict(sorted(dL_da.items()))
    dW = {n: delta[n] @ a[n - 1].T + net.alpha * W[n] for n in layers}
    db = {n: delta[n].copy() for n in layers}
    return Trace(spec, y.T.copy(), net.loss(x, y), net.alpha, W, b, z, a, slope, dL_da, delta, dW, db)


def _at_the_outputs(
    spec: NetworkSpec, a: np.ndarray, y: np.ndarray, slope: np.ndarray
) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
    """Return dL/dz and dL/da of the outputs, by the layer's number; no dL/da where it does not lead to dL/dz."""
    last, output = spec.n_layers, spec.activations[-1][0]
    dL_da = spec.loss_entry.gradient(a.T, y.T, output).T
    delta = _through(spec, last, slope, dL_da)
    if output not in spec.loss_entry.canonical:
        return {last: delta}, {last: dL_da}
    exact = a - y
    rounding = 100 * np.finfo(spec.dtype).eps * (1 + np.abs(y).max())
    return {last: exact}, {last: dL_da} if np.abs(delta - exact).max() <= rounding else {}


def _through(spec: NetworkSpec, layer: int, slope: np.ndarray, grad: np.ndarray) -> np.ndarray:
    """Return dL/dz of a layer, given dL/da and da/dz."""
    if slope.shape[1] > 1:
        return slope.T @ grad
    return get_activation(spec.activations[layer - 1][0]).through(slope, grad)


def _slope(spec: NetworkSpec, layer: int, z: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Return da/dz of a layer: a column, or where units are coupled a matrix with da[k]/dz[i] in row k, column i."""
    name, parameters = spec.activations[layer - 1]
    entry = get_activation(name)
    n_rows = 1 if entry.jacobian_product is None else len(z)
    rows = [np.repeat(column.T, n_rows, axis=0) for column in (z, a)]
    # The unit rows pick the rows of the Jacobian; a row of ones keeps the derivative of each unit.
    grad = np.ones_like(z.T) if n_rows == 1 else np.eye(n_rows, dtype=z.dtype)
    slope = entry.backward(grad, *rows, parameters)
    return slope.T if n_rows == 1 else slope


def _row(name: str, vector: Any, width: int) -> np.ndarray:
    """Return a vector, given flat, as a column or as a row, as a row."""
    vector = as_numbers(name, vector)
    if vector.shape not in ((width,), (width, 1), (1, width)):
        raise ValueError(f"{name} must be one vector of {width} numbers, got shape {vector.shape}.")
    return vector.reshape(1, width)


def _target_row(y: Any, spec: NetworkSpec) -> np.ndarray:
    """Return the targets of one row, shape (1, units[-1]), given as `Network.trace` takes them."""
    y = as_numbers("y", y)
    width = spec.units[-1]
    if y.ndim == 0 and (width == 1 or spec.output_activation.jacobian_product is not None):
        y = y.reshape(1)
    else:
        y = _row("y", y, width)
    targets, _ = check_targets(y, spec, 1)
    return targets if targets.ndim == 2 else np.eye(width, dtype=spec.dtype)[targets]


def explain(net: Network, x: Any, y: Any, layer: int, i: int, j: int | None) -> Explanation:
    """Return what `Network.explain` returns."""
    shape = net.W(layer).shape
    for name, index, width in zip("ij", (i, j), shape, strict=True):
        if (name, index) != ("j", None) and check_count(name, index) > width:
            raise ValueError(f"{name} must be from 1 to {width}, got {index}: W({layer}) has shape {shape}.")
    traced = trace(net, x, y)
    n_paths = math.prod(traced.spec.units[layer + 1 :])
    if traced.spec.n_layers in traced.dL_da:
        n_paths *= traced.slope[traced.spec.n_layers].shape[1]
    if n_paths > _MAX_PATHS:
        got = n_paths if n_paths < 10**15 else "more than 10**15"  # which may have thousands of digits
        raise ValueError(f"Expected at most {_MAX_PATHS} paths from the loss to the parameter, got {got}.")
    value, penalty = 1.0, 0.0
    if j is not None:
        value, penalty = traced.a[layer - 1].item(j - 1), traced.alpha * traced.W[layer].item(i - 1, j - 1)
    last = Factor(f"dz[{layer}]_{i}/d{_parameter(layer, i, j)}", value)
    paths = tuple(Path((*factors, last)) for factors in _paths(traced, layer, i))
    return Explanation(layer, i, j, paths, penalty)


def _sum(terms: list[float]) -> float:
    """Return the exact sum, rounded; where it or a part of it is not finite, what adding up gives."""
    try:
        return math.fsum(terms)
    except (OverflowError, ValueError):
        return sum(terms)


def _parameter(layer: int, i: int, j: int | None) -> str:
    if j is None:
        return f"b[{layer}]_{i}"
    # w_123 would be read as any of two weights.
    return f"w[{layer}]_{i}{j}" if i < 10 and j < 10 else f"w[{layer}]_{i},{j}"


def _paths(trace: Trace, layer: int, i: int) -> Iterator[tuple[Factor, ...]]:
    """Yield the factors of each path from the loss to z[layer]_i."""
    last = trace.spec.n_layers
    # Ends of paths that are still to be gone on with: a unit, and the factors from its z to z[layer]_i.
    open_ends: list[tuple[int, int, tuple[Factor, ...]]] = [(layer, i, ())]
    while open_ends:
        at, unit, behind = open_ends.pop()
        if at == last and last not in trace.dL_da:
            yield Factor(f"dL/dz[{at}]_{unit}", trace.delta[last].item(unit - 1)), *behind
            continue
        slope = trace.slope[at]
        gates = get_activation(trace.spec.activations[at - 1][0]).gates
        further = []
        # Through the unit's own a, or where its z moves all outputs of the layer through each of them.
        for k in [unit] if slope.shape[1] == 1 else range(1, len(slope) + 1):
            through = slope.item(unit - 1) if slope.shape[1] == 1 else slope.item(k - 1, unit - 1)
            step = Factor(f"da[{at}]_{k}/dz[{at}]_{unit}", through, gates and through == 0)
            if at == last:
                yield Factor(f"dL/da[{at}]_{k}", trace.dL_da[last].item(k - 1)), step, *behind
                continue
            W = trace.W[at + 1]
            for n in range(1, len(W) + 1):
                onwards = Factor(f"dz[{at + 1}]_{n}/da[{at}]_{k}", W.item(n - 1, k - 1))
                further.append((at + 1, n, (onwards, step, *behind)))
        open_ends += reversed(further)


def _shown(n: int) -> list[int | None]:
    """Return the indices that a table shows of n, with None where some are left out."""
    if n <= _SHOWN:
        return list(range(n))
    return [*range(_SHOWN - 2), None, n - 1]


def _tables(columns: dict[str, np.ndarray], matrices: dict[str, np.ndarray]) -> list[str]:
    """Return the lines of one table with a row for each unit, or where that is too wide one for each matrix."""
    lines = _table(columns | matrices)
    if len(lines[0]) <= _TABLE_WIDTH:
        return lines
    return [line for part in (columns, *({name: matrix} for name, matrix in matrices.items())) for line in _table(part)]


def _table(columns: dict[str, np.ndarray]) -> list[str]:
    """Return the lines of a table with a row for each unit; matrices get a column for each of their columns."""
    units = _shown(len(next(iter(columns.values()))))
    cells = [["unit", *("..." if i is None else str(i + 1) for i in units)]]
    for name, array in columns.items():
        for j in _shown(array.shape[1]):
            head = "..." if j is None else f"{name}[:,{j + 1}]" if name in _MATRICES else name
            cells.append([head, *("..." if None in (i, j) else f"{array[i, j]:z.6g}" for i in units)])
    widths = [max(map(len, column)) for column in cells]
    rows = zip(*cells, strict=True)
    return ["  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
