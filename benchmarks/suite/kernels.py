"""The kernels that cost most, of every instruction set, called through its table: seconds, and the error beside them.

The error is the norm-wise difference from NumPy in float64, relative to the result.
"""

from itertools import count, takewhile

import numpy as np

from _fastmlp_c import ffi, lib
from fastmlp.activations import ACTIVATIONS
from fastmlp.losses import LOSSES
from fastmlp.solvers import SOLVERS

from .common import DTYPES

ROWS, WIDTH, FEATURES, OUTPUTS = 200, 100, 64, 10  # a step of 64-100-10
ELEMENTS = ROWS * WIDTH


def names(name_of):
    """Return the names of one of the lists in C."""
    pointers = takewhile(lambda name: name != ffi.NULL, map(name_of, count()))
    return [ffi.string(name).decode() for name in pointers]


ISAS = names(lib.fm_isa_name)
IN_C = {
    "activation": names(lib.fm_activation_name),
    "loss": names(lib.fm_loss_name),
    "solver": names(lib.fm_solver_name),
}


class Case:
    """Arguments of one kernel: what to call, where the result is, and what it should be."""

    def __init__(self, kernels, dtype):
        self.kernels, self.dtype = kernels, np.dtype(dtype)
        self.rng = np.random.default_rng(0)
        self.alive = []  # what the pointers handed out point to

    def array(self, *shape, positive=False):
        values = self.rng.standard_normal(shape)
        return (np.abs(values) + 0.1 if positive else values).astype(self.dtype)

    def pointer(self, array, kind="void *"):
        self.alive.append(array)
        return ffi.cast(kind, ffi.from_buffer(array, require_writable=True))

    def block(self, values):
        return self.pointer(np.array([*values, *[0.0] * 8], dtype=np.float64), "double *")


def wide(*arrays):
    return (array.astype(np.float64) for array in arrays)


def product(case, m, n, k):
    a, b, bias, c = case.array(m, k), case.array(k, n), case.array(n), case.array(m, n)
    A, B, BIAS = wide(a, b, bias)
    pointers = [case.pointer(x) for x in (a, b, bias, c)]

    def call():
        case.kernels.product(m, n, k, pointers[0], k, pointers[1], n, pointers[2], pointers[3], n, 0, 0, ffi.NULL)

    return call, c, A @ B + BIAS


def skipping_product(case, m, n, k):
    """Half of a is 0, as behind ReLU."""
    a, b, c = np.maximum(case.array(m, k), 0), case.array(k, n), case.array(m, n)
    A, B = wide(a, b)
    a_, b_, c_ = (case.pointer(x) for x in (a, b, c))

    def call():
        case.kernels.skipping_product(m, n, k, a_, k, b_, n, 0, ffi.NULL, c_, c_, n, 0, ffi.NULL)

    return call, c, A @ B


def dot(case, m, k):
    a, w, bias, out = case.array(m, k), case.array(k), case.array(1), case.array(m)
    A, W, BIAS = wide(a, w, bias)
    pointers = [case.pointer(x) for x in (a, w, bias, out)]

    def call():
        case.kernels.dot(m, k, pointers[0], k, *pointers[1:])

    return call, out, A @ W + BIAS


def outer(case, rows, m, n):
    a, d, g = case.array(rows, m), case.array(rows, n), case.array(m, n)
    A, D = wide(a, d)
    pointers = [case.pointer(x) for x in (a, d, g)]

    def call():
        case.kernels.outer(rows, m, n, pointers[0], m, pointers[1], n, pointers[2], ffi.NULL, 0)

    return call, g, A.T @ D


def narrow_back(case, rows, m, n):
    a, d, w, out, dw = case.array(rows, m), case.array(rows, n), case.array(m, n), case.array(rows, m), case.array(m, n)
    D, W = wide(d, w)
    a_, d_, w_, out_, dw_, db, out_sum = (case.pointer(x) for x in (a, d, w, out, dw, case.array(n), case.array(m)))

    def call():
        case.kernels.narrow_back(rows, m, n, a_, m, d_, n, w_, 0, ffi.NULL, out_, m, dw_, db, out_sum, 0)

    return call, out, D @ W.T


def function(case, name, exact, positive):
    x, out = case.array(ELEMENTS, positive=positive), case.array(ELEMENTS)
    pointers, kernel = [case.pointer(x), case.pointer(out)], getattr(case.kernels, name)
    return lambda: kernel(ELEMENTS, *pointers), out, exact(*wide(x))


def activation(case, name):
    entry = ACTIVATIONS[name]
    z, a = case.array(ROWS, WIDTH), case.array(ROWS, WIDTH)
    pointers, expected = (
        [case.pointer(z), case.pointer(a)],
        entry.value(*wide(z), *entry.arguments(*wide(z), entry.resolve())),
    )
    if name == "softmax":
        scratch = case.pointer(np.zeros(case.kernels.loss_scratch(WIDTH) + 64, dtype=np.uint8), "char *")
        scratch += -int(ffi.cast("uintptr_t", scratch)) % 64
        return lambda: case.kernels.softmax(ROWS, WIDTH, pointers[0], WIDTH, pointers[1], WIDTH, scratch), a, expected
    kernel, block = case.kernels.activations[IN_C["activation"].index(name)].value, case.block(entry.resolve())
    return lambda: kernel(ELEMENTS, *pointers, block, ffi.NULL), a, expected


def derivative(case, name):
    entry = ACTIVATIONS[name]
    parameters = entry.resolve()
    z = case.array(ROWS, WIDTH)
    a = entry.value(z, *entry.arguments(z, parameters))
    v, one = (a if entry.needs == "output" else z), np.ones_like(z)
    delta = one.copy()
    pointers = [case.pointer(v), case.pointer(delta)]
    kernel, block = case.kernels.activations[IN_C["activation"].index(name)].derivative, case.block(parameters)

    def call():
        delta[:] = one
        kernel(ELEMENTS, *pointers, block, ffi.NULL)

    return call, delta, entry.derivative(*wide(v), *entry.arguments(*wide(v), parameters))


def loss(case, name):
    outputs = case.array(ROWS, OUTPUTS, positive=True)
    outputs /= outputs.sum(axis=1, keepdims=True)
    codes = case.rng.integers(0, OUTPUTS, ROWS)
    targets = np.eye(OUTPUTS, dtype=case.dtype)[codes]
    delta, result = np.empty_like(outputs), np.empty(1)
    scratch = case.pointer(np.zeros(case.kernels.loss_scratch(OUTPUTS) + 64, dtype=np.uint8), "char *")
    o = ffi.new("fm_outputs *")
    o.rows, o.n_outputs, o.lda, o.ldd = ROWS, OUTPUTS, OUTPUTS, OUTPUTS
    o.loss, o.hard, o.canonical = IN_C["loss"].index(name), 1, 1
    o.a, o.y, o.delta = (case.pointer(x) for x in (outputs, targets, delta))
    o.scratch = scratch + -int(ffi.cast("uintptr_t", scratch)) % 64

    def call():
        case.kernels.loss(o)
        result[0] = o.loss_sum

    return call, result, np.sum(LOSSES[name].term(*wide(outputs, targets), np.finfo(case.dtype).eps))


def update(case, name):
    """The solver's factors are its hyperparameters themselves, without Adam's bias correction, as after many steps."""
    solver = SOLVERS[name]
    hyper = solver.resolve()
    start = [case.array(ELEMENTS), case.array(ELEMENTS), *(case.array(ELEMENTS, positive=True) for _ in range(2))]
    w, g, *moments = (x.copy() for x in start)
    pointers = [case.pointer(x) for x in (w, g, *moments)]
    kernel, block = case.kernels.update[IN_C["solver"].index(name)], case.block(map(float, hyper.values()))
    expected, gradient, *expected_moments = wide(*start)
    solver.update(expected, gradient, expected_moments[: solver.n_moments], 10**9, **hyper)

    def call():
        for array, values in zip((w, g, *moments), start, strict=True):
            array[:] = values
        kernel(ELEMENTS, ELEMENTS, *pointers, 0.0, 1.0, block, ffi.NULL)

    return call, w, expected


def logistic(x):
    return 1 / (1 + np.exp(-x))


FUNCTIONS = {
    "vsqrt": (np.sqrt, True),
    "vexp": (np.exp, False),
    "vexpm1": (np.expm1, False),
    "vlog1p": (np.log1p, True),
    "vtanh": (np.tanh, False),
    "vlog": (np.log, True),
    "vlogistic": (logistic, False),
}
CASES = {
    f"product {ROWS}x{WIDTH}x{FEATURES}": (product, ROWS, WIDTH, FEATURES),
    f"product {ROWS}x{OUTPUTS}x{WIDTH}": (product, ROWS, OUTPUTS, WIDTH),
    f"skipping product {ROWS}x{WIDTH}x{FEATURES}": (skipping_product, ROWS, WIDTH, FEATURES),
    f"product 1x{WIDTH}x{FEATURES}": (product, 1, WIDTH, FEATURES),
    f"dot {ROWS}x{FEATURES}": (dot, ROWS, FEATURES),
    f"outer {ROWS}x{FEATURES}x{WIDTH}": (outer, ROWS, FEATURES, WIDTH),
    f"narrow back {ROWS}x{WIDTH}x3": (narrow_back, ROWS, WIDTH, 3),
    **{name: (function, name, *exact) for name, exact in FUNCTIONS.items()},
    **{f"activation {name}": (activation, name) for name in ACTIVATIONS},
    **{f"derivative {name}": (derivative, name) for name, entry in ACTIVATIONS.items() if entry.derivative is not None},
    **{f"loss {name}": (loss, name) for name in LOSSES},
    **{f"update {name}": (update, name) for name in SOLVERS},
}


class Kernels:
    params = [ISAS, DTYPES, list(CASES)]
    param_names = ["isa", "dtype", "kernel"]

    def setup(self, isa, dtype, name):
        kernels = lib.fm_kernel_table(ISAS.index(isa), DTYPES.index(dtype))
        if kernels == ffi.NULL:
            raise NotImplementedError(f"no {isa} here")
        make, *arguments = CASES[name]
        self.case = Case(kernels, dtype)
        self.call, self.result, self.expected = make(self.case, *arguments)

    def time_kernel(self, *_):
        self.call()

    def track_error(self, *_):
        self.call()
        return float(np.linalg.norm(self.result - self.expected) / np.linalg.norm(self.expected))

    track_error.unit = "relative error"
