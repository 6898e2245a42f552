"""Print the coefficient tables of vmath_tmpl.h.

Each table is the minimax polynomial of a smooth remainder, found with the Remez exchange on a grid in 60-digit
arithmetic and then rounded to the type. Run ``python csrc/vmath_coefficients.py``; needs mpmath and numpy.
"""

import re
from itertools import pairwise

import mpmath as mp
import numpy as np

mp.mp.dps = 60
GRID = 2000


def remez(function, weight, low, high, degree, sweeps=12):
    """Return the coefficients (constant first) of the polynomial that minimises max |weight * error|, and that max."""
    grid = [(low + high) / 2 + (high - low) / 2 * mp.cos(mp.pi * i / GRID) for i in range(GRID + 1)]
    values = [(function(x), weight(x)) for x in grid]
    chosen = [round(GRID * i / (degree + 1)) for i in range(degree + 2)]
    for _ in range(sweeps):
        # Unknowns: the coefficients and the levelled error, whose sign alternates.
        rows = [[grid[i] ** j for j in range(degree + 1)] + [(-1) ** n / values[i][1]] for n, i in enumerate(chosen)]
        solution = mp.lu_solve(mp.matrix(rows), mp.matrix([values[i][0] for i in chosen]))
        coefficients = [solution[j] for j in range(degree + 1)]
        error = [w * (f - mp.polyval(coefficients[::-1], x)) for x, (f, w) in zip(grid, values, strict=True)]
        # The extremum of every stretch of one sign; the outermost ones go if there are too many.
        extrema = []
        for i, e in enumerate(error):
            if extrema and (e > 0) == (error[extrema[-1]] > 0):
                extrema[-1] = max(extrema[-1], i, key=lambda k: abs(error[k]))
            else:
                extrema.append(i)
        while len(extrema) > degree + 2:
            del extrema[0 if abs(error[extrema[0]]) < abs(error[extrema[-1]]) else -1]
        if len(extrema) < degree + 2 or extrema == chosen:
            break
        chosen = extrema
    return coefficients, max(abs(e) for e in error)


def exp_remainder(r):
    """(exp(r) - 1 - r) / r**2."""
    return mp.mpf(1) / 2 + r / 6 if abs(r) < mp.mpf("1e-20") else (mp.expm1(r) - r) / r**2


def tanh_remainder(z):
    """(tanh(x) - x) / x**3 at z = x**2."""
    x = mp.sqrt(z)
    return -mp.mpf(1) / 3 if z < mp.mpf("1e-20") else (mp.tanh(x) - x) / x**3


def log_remainder(z):
    """(2 atanh(s) - 2 s) / s**3 at z = s**2."""
    s = mp.sqrt(z)
    return mp.mpf(2) / 3 if z < mp.mpf("1e-20") else (2 * mp.atanh(s) - 2 * s) / s**3


TANH_BOUNDS = [*((u - 2) / 3.125 for u in (2, 3, 4, 6, 8, 12, 16, 24)), 9.02]
"""Of the intervals of the float32 tanh: two to an octave of 3.125 |x| + 2, so that its upper bits tell the interval."""


def shifted(coefficients, h):
    """Return the coefficients of p(t + h)."""
    result = list(coefficients)
    for i in range(len(result)):
        for j in range(len(result) - 2, i - 1, -1):
            result[j] += h * result[j + 1]
    return result


def tanh_piece(low, high, degree):
    """Return center c and coefficients of tanh(x) = a + b (x - c) + ... on an interval, and the greatest error.

    The center is the float32 near the middle at which a is nearest to a float32. The first interval starts with
    0 + x (1 + ...), for which errors are relative; the last has its center at the end, where tanh is 1 to rounding.
    """
    tiny = mp.mpf("1e-9")
    if low == 0:
        rest, error = remez(
            lambda x: mp.mpf(-1) / 3 * x if x < mp.mpf("1e-20") else (mp.tanh(x) / x - 1) / x,
            lambda x: x + tiny,
            mp.mpf(0),
            mp.mpf(high),
            degree - 2,
        )
        return 0.0, [0.0, 1.0, *rest], error
    if high == TANH_BOUNDS[-1]:
        center = float(np.float32(high))
        rest, error = remez(
            lambda t: (mp.tanh(center + t) - 1) / t,
            lambda t: abs(t),
            mp.mpf(low) - center,
            mp.mpf(high) - center - mp.mpf("1e-3"),
            degree - 1,
        )
        return center, [1.0, *rest], error
    middle = np.float32((low + high) / 2)
    half = mp.mpf(high - low) / 2
    coefficients, error = remez(lambda t: mp.tanh(float(middle) + t), lambda t: mp.mpf(1), -half, half, degree)
    candidates = (middle.view(np.int32) + np.arange(-1000, 1000, dtype=np.int32)).view(np.float32)

    def distance(center):
        value = mp.polyval(coefficients[::-1], float(center) - float(middle))
        return abs(value - float(np.float32(float(value))))

    center = min(candidates, key=distance)
    return float(center), shifted(coefficients, mp.mpf(float(center) - float(middle))), error


def hexadecimal(x, bits):
    """Return x, rounded to the type, as a C literal."""
    literal = float(np.float32(float(x)) if bits == 32 else x).hex()
    return re.sub(r"0+p", "p", literal) + "f" * (bits == 32)


def split(x, bits, head):
    """Return x as a sum of one number of `head` bits and one of the full precision of the type."""
    unit = mp.mpf(2) ** (mp.floor(mp.log(x, 2)) + 1 - head)
    high = mp.floor(x / unit) * unit
    return hexadecimal(high, bits), hexadecimal(x - high, bits)


def main():
    """Print all tables."""
    # A little wider than the reduced arguments, which rounding may push over the edge.
    half_ln2 = mp.log(2) / 2 * mp.mpf("1.0001")
    z_max = (3 - 2 * mp.sqrt(2)) ** 2 * mp.mpf("1.0001")
    for bits, exp_degree, log_degree, head in (32, 4, 2, 15), (64, 9, 6, 40):
        print(f"float{bits}: LN2_HIGH, LN2_LOW = {', '.join(split(mp.log(2), bits, head))}")
        print(f"LOG2E = {hexadecimal(1 / mp.log(2), bits)}")
        tables = [
            # The weights turn the error into one relative to expm1(r), log(1 + f), tanh(x).
            ("EXP", remez(exp_remainder, lambda r: abs(r) + mp.mpf("1e-9"), -half_ln2, half_ln2, exp_degree)),
            ("LOG", remez(log_remainder, lambda z: z / 2 + mp.mpf("1e-9"), mp.mpf(0), z_max, log_degree)),
        ]
        if bits == 64:
            bound = mp.mpf(0.625) ** 2
            tables.append(("TANH", remez(tanh_remainder, lambda z: z + mp.mpf("1e-9"), mp.mpf(0), bound, 10)))
        for name, (coefficients, error) in tables:
            print(f"{name}: relative error 2^{mp.nstr(mp.log(error, 2), 4)}, ascending")
            print("".join(f"    {hexadecimal(c, bits)},\n" for c in coefficients), end="")
    pieces = [tanh_piece(low, high, 6) for low, high in pairwise(TANH_BOUNDS)]
    print(f"float32 TANH: errors {', '.join(mp.nstr(error, 2) for _, _, error in pieces)}; centers, then coefficients")
    for row in zip(*([center, *coefficients] for center, coefficients, _ in pieces), strict=True):
        print(f"    {{{', '.join(hexadecimal(x, 32) for x in row)}}},")


if __name__ == "__main__":
    main()
