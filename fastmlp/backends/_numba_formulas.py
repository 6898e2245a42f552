"""The registries' formulas as compiled kernels: loops over blocks around the very source that NumPy evaluates.

In a formula compiled for float32, constants are float32 (as NumPy has it for Python's numbers beside float32 arrays),
and `np` is the module of `_numba_math`, whose functions take one number.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numba import carray, from_dtype, types
from numba.np.unsafe.ndarray import to_fixed_tuple

from fastmlp._functions import rebuilt
from fastmlp.activations import Activation
from fastmlp.backends import _numba_own
from fastmlp.backends._numba_jit import inlined, kernel
from fastmlp.backends._numba_math import functions
from fastmlp.losses import Loss
from fastmlp.solvers import SOLVERS

module_of = cache(functions)


@cache
def scalar(formula: Callable, real: type) -> Callable:
    """Return a formula of a registry compiled for single numbers of type `real`."""

    def replace(value: Any) -> Any:
        return module_of(real) if value is np else constant(value)

    def constant(value: Any) -> Any:
        return real(value) if isinstance(value, float) else value

    return rebuilt(inspect.unwrap(formula), replace, constant=constant, wrap=inlined)


# Global variables of the templates below, which each compilation replaces. (Variables of an enclosing function would be
# part of the key under which Numba keeps what it has compiled, and compiled functions have no lasting identity.)
formula = factors = rule = exp = real = None
count = n_hyper = n_factors = 0
eps = large = 0.0


def _value(rows, n, ld, z, a, parameters, u):
    size = rows * ld
    z, a = carray(z, (size,)), carray(a, (size,))
    block = to_fixed_tuple(carray(parameters, (count,)), count)
    for i in range(size):
        a[i] = formula(z[i], *block)


def _derivative(rows, n, ld, v, d, parameters, u):
    size = rows * ld
    v, d = carray(v, (size,)), carray(d, (size,))
    block = to_fixed_tuple(carray(parameters, (count,)), count)
    for i in range(size):
        d[i] *= formula(v[i], *block)


def _gate(rows, n, ld, v, d, parameters, u):
    size = rows * ld
    v, d = carray(v, (size,)), carray(d, (size,))
    block = to_fixed_tuple(carray(parameters, (count,)), count)
    for i in range(size):
        if formula(v[i], *block) == 0:
            d[i] = 0


def _drawing_value(rows, n, ld, z, a, parameters, u):
    size = rows * ld
    z, a, u = carray(z, (size,)), carray(a, (size,)), carray(u, (size,))
    block = to_fixed_tuple(carray(parameters, (count,)), count)
    for i in range(size):
        a[i] = formula(z[i], *block, u[i])


def _drawing_derivative(rows, n, ld, v, d, parameters, u):
    size = rows * ld
    v, d, u = carray(v, (size,)), carray(d, (size,)), carray(u, (size,))
    block = to_fixed_tuple(carray(parameters, (count,)), count)
    for i in range(size):
        d[i] *= formula(v[i], *block, u[i])


def _softmax(rows, n, ld, z, a, parameters, u):
    z, a = carray(z, (rows, ld)), carray(a, (rows, ld))
    for i in range(rows):
        largest = z[i, 0]
        for j in range(1, n):
            largest = max(largest, z[i, j])
        for j in range(ld):
            a[i, j] = exp(z[i, j] - largest)
        total = a[i, 0]
        for j in range(1, n):
            total += a[i, j]
        for j in range(n):
            a[i, j] /= total


def _softmax_backward(rows, n, ld, p, d, parameters, u):
    p, d = carray(p, (rows, ld)), carray(d, (rows, ld))
    for i in range(rows):
        total = p[i, 0] * d[i, 0]
        for j in range(1, n):
            total += p[i, j] * d[i, j]
        for j in range(n):
            d[i, j] = p[i, j] * (d[i, j] - total)


def _term(size, a, y, out):
    a, y, out = carray(a, (size,)), carray(y, (size,)), carray(out, (size,))
    for i in range(size):
        out[i] = formula(a[i], y[i], eps)


def _loss_derivative(size, a, y, out):
    a, y, out = carray(a, (size,)), carray(y, (size,)), carray(out, (size,))
    for i in range(size):
        out[i] = formula(a[i], y[i])


def _update(n_coefs, n_parameters, t, hyper, alpha, weight, w, g, m, v):
    w, g = carray(w, (n_parameters,)), carray(g, (n_parameters,))
    m, v = carray(m, (n_parameters,)), carray(v, (n_parameters,))
    of_step = factors(t, *to_fixed_tuple(carray(hyper, (n_hyper,)), n_hyper))
    rounded = np.empty(n_factors, real)
    for i in range(n_factors):
        rounded[i] = of_step[i]
    block = to_fixed_tuple(rounded, n_factors)
    l2 = real(alpha)
    if abs(weight) * large < 1:  # Its reciprocal may be more than the type holds.
        for i in range(n_coefs):
            g[i] = (g[i] + l2 * w[i]) * real(large)
        for i in range(n_coefs, n_parameters):
            g[i] *= real(large)
        weight, l2 = weight * large, real(0)
    scale = real(1 / weight)
    for i in range(n_coefs):
        w[i], m[i], v[i] = rule(w[i], (g[i] + l2 * w[i]) * scale, m[i], v[i], *block)
    for i in range(n_coefs, n_parameters):
        w[i], m[i], v[i] = rule(w[i], g[i] * scale, m[i], v[i], *block)


_COUPLED = {"softmax": (_softmax, _softmax_backward)}


def _block_signature(real):
    place = types.CPointer(from_dtype(np.dtype(real)))
    return types.void(types.int64, types.int64, types.int64, place, place, place, place)


@lru_cache(maxsize=1024)
def activation_kernel(entry: Activation, real: type, *, derivative: bool) -> Any:
    """Return the kernel ``(rows, n, ld, z, a, parameters, u)`` of an activation or, in place on d, ``(.., v, d, ..)``.

    It works on `rows` rows of `n` units in arrays whose rows are `ld` elements apart. Only an activation that draws
    looks at u.
    """
    name = entry.name
    title = f"{name}_{'backward' if derivative else 'value'}_{real.__name__}"
    template, n = _derivative if derivative else _value, len(entry.parameters)
    if entry.is_own:

        def make(function: Any) -> Any:
            return kernel(template, title, _block_signature(real), keep=False, formula=function, count=n)

        def run(made: Any, first: np.ndarray, block: np.ndarray, out: np.ndarray) -> None:
            made.ctypes(1, len(out), len(out), *_numba_own.places(first, out, block.astype(real), out))

        return _numba_own.compiled(entry, derivative, real, make, run)
    if entry.jacobian_product is not None:
        return kernel(_COUPLED[name][derivative], title, _block_signature(real), exp=module_of(real).exp)
    formula = scalar(entry.derivative if derivative else entry.value, real)
    if entry.gates and derivative:
        template = _gate
    if entry.draws:
        template = _drawing_derivative if derivative else _drawing_value
    return kernel(template, title, _block_signature(real), formula=formula, count=n)


@lru_cache(maxsize=1024)
def loss_kernel(entry: Loss, real: type, *, categorical: bool, derivative: bool) -> Any:
    """Return the kernel ``(size, a, y, out)`` of a loss: its term or its derivative for each of so many outputs."""
    title = f"{entry.name}_{'categorical_' * categorical}{'derivative' if derivative else 'term'}_{real.__name__}"
    place = types.CPointer(from_dtype(np.dtype(real)))
    signature = types.void(types.int64, place, place, place)
    template = _loss_derivative if derivative else _term
    if entry.is_own:

        def make(function: Any) -> Any:
            whole = function if derivative else inlined(lambda a, y, eps: function(a, y))
            return kernel(template, title, signature, keep=False, formula=whole)

        return _numba_own.compiled(entry, derivative, real, make, _numba_own.run_loss)
    formula = getattr(entry, "categorical_" * categorical + ("derivative" if derivative else "term"))
    variables = {"formula": scalar(formula, real), "eps": np.finfo(real).eps}
    return kernel(template, title, signature, **variables)


@cache
def update_kernel(name: str, real: type) -> Any:
    """Return the kernel ``(n_coefs, n_parameters, t, hyper, alpha, weight, w, g, m, v)`` of a solver.

    It updates w and the moments m and v, which may be one vector where the solver has fewer, with the gradient
    ``g / weight``, for the coefs ``(g + alpha * w) / weight``; g may change.
    """
    entry = SOLVERS[name]
    rule, tiny = scalar(entry.rule, real), np.finfo(real).tiny
    if entry.n_moments == 0:
        whole = inlined(lambda w, g, m, v, *factors: (*rule(w, g, tiny, *factors), m, v))
    elif entry.n_moments == 1:
        whole = inlined(lambda w, g, m, v, *factors: (*rule(w, g, m, tiny, *factors), v))
    else:
        whole = inlined(lambda w, g, m, v, *factors: rule(w, g, m, v, tiny, *factors))
    place = types.CPointer(from_dtype(np.dtype(real)))
    signature = types.void(
        *[types.int64] * 3, types.CPointer(types.float64), types.float64, types.float64, place, place, place, place
    )
    return kernel(
        _update,
        f"{name}_{real.__name__}",
        signature,
        rule=whole,
        factors=inlined(entry.factors),
        n_hyper=len(entry.hyperparameters),
        n_factors=len(entry.factors(1, *entry.hyperparameters.values())),
        real=real,
        large=2.0**100 if real is np.float32 else 2.0**1000,
    )
