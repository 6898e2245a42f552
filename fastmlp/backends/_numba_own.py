"""Functions that users register, compiled: for single numbers, and as kernels that the C core calls by address.

In a function compiled for float32 constants are float32, also those written as integers, as NumPy has it for Python's
numbers beside float32 arrays. `math` and `np` are modules whose exp, log and tanh are free of branches and calls, so
that loops over them become vectors. Nothing here is kept on disk: that goes by names, and what a user calls swish may
change.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from functools import cache, lru_cache, partial
from types import FunctionType, ModuleType
from typing import Any

import numba
import numpy as np
from numba import carray, from_dtype, types
from numba.core import ir
from numba.core.compiler import Compiler, CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.errors import NumbaError
from numba.core.ir_utils import get_definition, guard
from numba.core.untyped_passes import IRProcessing
from numba.np.unsafe.ndarray import to_fixed_tuple

from fastmlp._functions import rebuilt
from fastmlp.backends._numba_jit import inlined, kernel, same_place
from fastmlp.backends._numba_math import functions

_COMPARISONS = (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne)
_ARITHMETIC = frozenset((operator.add, operator.sub, operator.mul, operator.truediv, *_COMPARISONS))


@register_pass(mutates_CFG=False, analysis_only=False)
class _IntegersAreFloat32(FunctionPass):
    """Make an integer constant a float32 where it is only added, multiplied, compared and the like.

    Numba has float64 for an int64 beside a float32, which would make the rest of the formula twice as slow.
    """

    _name = "fastmlp_integers_are_float32"

    def __init__(self) -> None:
        FunctionPass.__init__(self)

    @staticmethod
    def _operands(statement: Any, function: Any) -> list[Any]:
        value = getattr(statement, "value", None)
        if not isinstance(value, ir.Expr):
            return []
        if value.op in ("binop", "inplace_binop"):
            function_of_two = value.fn if value.op == "binop" else value.immutable_fn
            return [value.lhs, value.rhs] if function_of_two in _ARITHMETIC else []
        called = guard(get_definition, function, value.func) if value.op == "call" else None
        return list(value.args) if getattr(called, "value", None) in (max, min) else []

    def run_pass(self, state: Any) -> bool:
        statements = [statement for block in state.func_ir.blocks.values() for statement in block.body]
        operands, others = set(), set()
        for statement in statements:
            names = {variable.name for variable in self._operands(statement, state.func_ir)}
            written = {statement.target.name} if isinstance(statement, ir.Assign) else set()
            operands |= names
            others |= {variable.name for variable in statement.list_vars()} - names - written
        changed = False
        for statement in statements:
            if not isinstance(statement, ir.Assign) or not isinstance(statement.value, ir.Const):
                continue
            if type(statement.value.value) is int and statement.target.name in operands - others:
                statement.value = ir.Const(np.float32(statement.value.value), statement.value.loc)
                changed = True
        return changed


class _Float32Compiler(CompilerBase):
    def define_pipelines(self) -> list[Any]:
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.add_pass_after(_IntegersAreFloat32, IRProcessing)
        passes.finalize()
        return [passes]


class _Module(ModuleType):
    """What stands for `math` or `np`: the functions that are set, the others those of the module itself."""

    def __init__(self, module: ModuleType, real: type) -> None:
        super().__init__(f"fastmlp_{module.__name__}_{real.__name__}")
        self._module, self._real = module, real

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        return self._real(value) if isinstance(value, float) else value


@cache
def _modules(real: type) -> dict[ModuleType, _Module]:
    ours = functions(real)

    def rounding(function: Any) -> Any:
        # They take numbers of that type only; an integer, or a float64 that a function has made, must become one.
        return inlined(lambda x: function(real(x)))

    modules = {module: _Module(module, real) for module in (math, np)}
    for name in ("exp", "expm1", "log1p", "tanh"):
        for module in modules.values():
            setattr(module, name, rounding(getattr(ours, name)))
    log = ours.log

    def log_to_base(x, base=None):
        if base is None:
            return log(real(x))
        return log(real(x)) / log(real(base))

    modules[np].log, modules[math].log = rounding(log), inlined(log_to_base)
    for name in ("where", "maximum", "minimum", "clip", "heaviside", "ones_like", "full_like"):
        setattr(modules[np], name, getattr(ours, name))
    return modules


def _scalar(formula: FunctionType, real: type, compiler: type[CompilerBase]) -> Any:
    """Return a formula, and what it calls, as functions that Numba compiles for numbers of type `real`."""
    modules = _modules(real)

    def replace(value: Any) -> Any:
        if isinstance(value, float):
            return real(value)
        if isinstance(value, ModuleType):
            return modules.get(value, value)
        name = getattr(value, "__name__", None)
        for module, ours in modules.items():
            if isinstance(name, str) and name in vars(ours) and getattr(module, name, None) is value:
                return vars(ours)[name]
        return value

    def constant(value: Any) -> Any:
        return real(value) if isinstance(value, float) else value

    compiled = numba.njit(nogil=True, error_model="numpy", pipeline_class=compiler)
    return rebuilt(formula, replace, constant=constant, wrap=compiled)


def _rounded(formula: FunctionType, real: type, n_parameters: int, compiler: type[CompilerBase]) -> Any:
    """Return a formula compiled for numbers of type `real` and so many parameters of any type; it returns `real`."""
    f = _scalar(formula, real, compiler)
    return (
        inlined(lambda x: real(f(x))),
        inlined(lambda x, p: real(f(x, real(p)))),
        inlined(lambda x, p, q: real(f(x, real(p), real(q)))),
        inlined(lambda x, p, q, r: real(f(x, real(p), real(q), real(r)))),
        inlined(lambda x, p, q, r, s: real(f(x, real(p), real(q), real(r), real(s)))),
    )[n_parameters]


_FAILURES = (NumbaError, TypeError, ValueError, NotImplementedError, LookupError, AttributeError, AssertionError)
"""What Numba raises of functions that it cannot compile. Not all exceptions: a signal's handler may have raised."""


def compiled(entry: Any, which: int, real: type, make: Callable[[Any], Any], run: Callable[..., None]) -> Any:
    """Return what `make` compiles around a function of the user's.

    Parameters
    ----------
    entry : OwnActivation or OwnLoss
    which : {0, 1}
        Its function or its derivative.
    real : type
    make : callable
        Takes that function, of numbers of type `real`.
    run : callable
        ``run(made, first, others, out)`` calls what was made for the first arguments, the parameters or the targets,
        and a place for the results, which is 1.

    Raises
    ------
    ValueError
        When Numba cannot compile it, with what it says; when it computes something else than the function in Python.
    """
    n_parameters = len(entry.parameters) if entry.kind == "activation" else 1
    # Where an integer of float32 does not do, as for an index, integers stay what they are.
    compilers = (_Float32Compiler, Compiler) if real is np.float32 else (Compiler,)
    failures = []
    for compiler in compilers:
        try:
            made = make(_rounded(entry.formulas[which], real, n_parameters, compiler))
        except _FAILURES as error:
            failures.append(error)
            continue
        _compare(entry, which, real, partial(run, made))
        return made
    what = ("function", "derivative")[which]
    raise ValueError(
        f"Numba cannot compile the {what} of the {entry.kind} {entry.name!r}, {entry.formulas[which].__name__}. Write "
        "it with arithmetic, comparisons and functions of math, or choose backend='numpy', which runs any Python. "
        f"Numba says: {failures[-1]}"
    ) from failures[-1]


def _compare(entry: Any, which: int, real: type, run: Callable[..., None]) -> None:
    """Raise ValueError where compiled code returns something else than the function in Python.

    It may differ by ten times as much as the results in Python differ where the first argument moves by some units in
    the last place of `real`, or all arguments are rounded to it.
    """
    oracle, columns = entry.oracle(which)
    rounded = [column.astype(real) for column in columns]
    got = np.ones(len(columns[0]), real)
    if entry.kind == "activation":
        run(rounded[0], np.array([column[0] for column in columns[1:]] or [0.0]), got)
    else:
        run(*rounded, got)
    share, eps = (1e-6 if real is np.float64 else 1e-2), np.finfo(real).eps
    with np.errstate(all="ignore"):
        expected = oracle(*columns)
        others = [oracle(columns[0] * (1 + step), *columns[1:]) for step in (-4 * eps, 4 * eps)]
        changes = [np.nan_to_num(np.abs(other - expected), nan=np.inf) for other in (*others, oracle(*rounded))]
        allowed = share * (1 + np.abs(expected)) + 10 * np.maximum.reduce(changes)
        wrong = np.isfinite(expected) & ~(np.abs(got - expected) <= allowed)
    if wrong.any():
        i = int(wrong.argmax())
        raise ValueError(
            f"Compiled, the {('function', 'derivative')[which]} of the {entry.kind} {entry.name!r} returns {got[i]:g} "
            f"for {', '.join(f'{column[i]:g}' for column in columns)}, but in Python {expected[i]:g}. Compiled code "
            "has integers of 64 bits, and exp, log and tanh whose last digit may differ: write it with floats, or "
            "choose backend='numpy', which runs any Python."
        )


def places(*arrays: np.ndarray) -> list[Any]:
    """Return the addresses of arrays as a compiled kernel takes them that is called from Python."""
    return [np.ctypeslib.as_ctypes(array) for array in arrays]


def run_loss(made: Any, a: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
    """Call a compiled kernel of a loss."""
    made.ctypes(len(out), *places(a, y, out))


# The kernels for C. Their global variables are replaced in each compilation, as in `_numba_formulas`.
formula = None
count = 0


def _value(n, z, a, parameters, draw):
    block = to_fixed_tuple(carray(parameters, (count,)), count)
    out = carray(a, (n,))
    if same_place(z, a):
        # A loop over one array; with two, a compiler's test of whether they overlap would keep it from vectors.
        for i in range(n):
            out[i] = formula(out[i], *block)
    else:
        given = carray(z, (n,))
        for i in range(n):
            out[i] = formula(given[i], *block)


def _derivative(n, v, delta, parameters, draw):
    block = to_fixed_tuple(carray(parameters, (count,)), count)
    given, out = carray(v, (n,)), carray(delta, (n,))
    for i in range(n):
        out[i] *= formula(given[i], *block)


def _of_pairs(n, a, y, out):
    a, y, out = carray(a, (n,)), carray(y, (n,)), carray(out, (n,))
    for i in range(n):
        out[i] = formula(a[i], y[i])


@lru_cache(maxsize=256)
def activation_kernels(entry: Any, real: type) -> tuple[Any, Any]:
    """Return compiled value and derivative of an activation as the C core calls them: see fm_activation_kernel."""
    place, n = types.CPointer(from_dtype(np.dtype(real))), len(entry.parameters)
    signature = types.void(types.int64, place, place, types.CPointer(types.float64), types.voidptr)

    def make(template: FunctionType) -> Callable[[Any], Any]:
        return lambda function: kernel(template, entry.name, signature, keep=False, formula=function, count=n)

    def run(made: Any, first: np.ndarray, block: np.ndarray, out: np.ndarray) -> None:
        made.ctypes(len(out), *places(first, out, block), None)

    return compiled(entry, 0, real, make(_value), run), compiled(entry, 1, real, make(_derivative), run)


@lru_cache(maxsize=256)
def loss_kernels(entry: Any, real: type) -> tuple[Any, Any]:
    """Return compiled term and derivative of a loss as the C core calls them: see fm_loss_kernel."""
    place = types.CPointer(from_dtype(np.dtype(real)))
    signature = types.void(types.int64, place, place, place)

    def make(function: Any) -> Any:
        return kernel(_of_pairs, entry.name, signature, keep=False, formula=function)

    return compiled(entry, 0, real, make, run_loss), compiled(entry, 1, real, make, run_loss)
