"""exp, expm1, log, log1p and tanh of one number, free of branches and calls, so that loops over them become vectors.

`functions(real)` makes them for float32 or float64. Errors are a few units in the last place; NaN passes through, and
infinities and denormal numbers are what the exact function rounds to.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np

from fastmlp.backends._numba_jit import inlined, reinterpreted

# ln 2 in two parts; the first has so few bits that its products with exponents are exact.
_LN2 = {
    np.float32: (0.693145751953125, 1.42860682030941723212e-6),
    np.float64: (6.93147180369123816490e-01, 1.90821492927058770002e-10),
}
# Terms of the series that the dtype can tell from zero: of exp for |r| <= ln(2) / 2, of log for |s| <= 0.1716.
_EXP_TERMS = {np.float32: 7, np.float64: 13}
_LOG_TERMS = {np.float32: 5, np.float64: 11}


class _Functions(ModuleType):
    """What stands for NumPy in formulas: the functions below, the others NumPy's own."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def _polynomial(real: type, coefficients: list[float]) -> Any:
    """Return a function that evaluates a polynomial by Horner's rule, given from the highest power down."""
    first, *rest = map(real, coefficients)

    def constant(x):
        return first

    value = inlined(constant)
    for coefficient in rest:
        value = _next_term(value, coefficient)
    return value


def _next_term(inner: Any, coefficient: Any) -> Any:
    @inlined
    def value(x):
        return inner(x) * x + coefficient

    return value


def functions(real: type) -> ModuleType:
    """Return a module of scalar functions for `real`, float32 or float64, that stands for NumPy in formulas."""
    bits, mantissa, bias = (np.int32, 23, 127) if real is np.float32 else (np.int64, 52, 1023)
    module = _Functions(f"fastmlp_{real.__name__}")
    for function in (
        *_selections(real),
        *_exponentials(real, bits, mantissa, bias),
        *_logarithms(real, bits, mantissa),
    ):
        setattr(module, function.__name__, function)
    return module


def _selections(real: type) -> tuple[Any, ...]:
    zero, one = real(0), real(1)

    @inlined
    def where(condition, x, y):
        return x if condition else y

    @inlined
    def maximum(x, y):
        return y if x < y else x  # x where it is NaN

    @inlined
    def minimum(x, y):
        return y if x > y else x

    @inlined
    def clip(x, low, high):
        return minimum(maximum(x, low), high)

    @inlined
    def heaviside(x, at_zero):
        return one if x > zero else (zero if x < zero else (at_zero if x == zero else x))

    @inlined
    def ones_like(x):
        return one

    @inlined
    def full_like(x, value):
        return value

    return where, maximum, minimum, clip, heaviside, ones_like, full_like


def _exponentials(real: type, bits: type, mantissa: int, bias: int) -> tuple[Any, ...]:
    zero, one, two = map(real, (0, 1, 2))
    # Added to a small number it leaves the rounded number in the low bits; subtracted again, the number itself.
    magic = real(1.5 * 2**mantissa)
    magic_bits = int(magic.view(bits))
    log2e, (high, low) = real(1 / math.log(2)), map(real, _LN2[real])
    # Beyond the arguments whose exponentials are infinite or zero, and where both factors below are in range.
    bound = real(1.05 * (bias + mantissa) * math.log(2))
    large = real(40)
    tail = _polynomial(real, [1 / math.factorial(k) for k in range(_EXP_TERMS[real], 1, -1)])

    @inlined
    def power_of_two(n):
        return reinterpreted(bits((n + bias) << mantissa))

    @inlined
    def reduced(x):
        """Return n and exp(r) - 1 with x = n ln 2 + r."""
        shifted = x * log2e + magic
        n = shifted - magic
        r = (x - n * high) - n * low
        return bits(reinterpreted(shifted) - magic_bits), r + r * r * tail(r)

    @inlined
    def exp(x):
        x = -bound if x < -bound else (bound if x > bound else x)
        n, e = reduced(x)
        # In two factors: 2^n alone may be out of range.
        half = bits(n >> 1)
        return (one + e) * power_of_two(half) * power_of_two(bits(n - half))

    @inlined
    def expm1(x):
        n, e = reduced(-large if x < -large else (large if x > large else x))
        scale = power_of_two(n)
        return exp(x) if x > large else scale * e + (scale - one)

    @inlined
    def tanh(x):
        # (exp(2 |x|) - 1) / (exp(2 |x|) + 1), which is 1 to the last bit where |x| is cut off
        y = two * abs(x)
        n, e = reduced(large if y > large else y)
        scale = power_of_two(n)
        e = scale * e + (scale - one)
        t = e / (e + two)
        return -t if x < zero else t

    return exp, expm1, tanh


def _logarithms(real: type, bits: type, mantissa: int) -> tuple[Any, ...]:
    zero, one, two = map(real, (0, 1, 2))
    infinity, nan = real(math.inf), real(math.nan)
    high, low = map(real, _LN2[real])
    root_half = int(real(math.sqrt(0.5)).view(bits))
    tiny, raised, lift = np.finfo(real).tiny, real(2.0 ** (mantissa + 2)), bits(mantissa + 2)
    series = _polynomial(real, [2 / (2 * k + 1) for k in range(_LOG_TERMS[real], 0, -1)])

    @inlined
    def log(x):
        # x = 2^n (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)); log(1 + f) = 2 artanh(s) with s = f / (2 + f)
        small = x < tiny
        i = reinterpreted(x * raised if small else x)
        n = bits(bits(i - root_half) >> mantissa)
        f = reinterpreted(bits(i - (n << mantissa))) - one
        s = f / (two + f)
        z = s * s
        exponent = real(n - lift if small else n)
        # 2 s = f - s f, which keeps the leading term exact
        value = exponent * high + (f - (s * (f - z * series(z)) - exponent * low))
        value = x if x == infinity else value
        return value if x > zero else (-infinity if x == zero else nan)

    @inlined
    def log1p(x):
        u = one + x
        # What rounding took from u, to first order.
        correction = (x - (u - one)) / u if zero < u < infinity else zero
        return log(u) + correction

    return log, log1p
