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


TANH_BOUNDS = [0.0, 0.59375, 0.84375, 1.1875, 1.6875, 2.375, 3.375, 4.75, 9.02]
"""Of the intervals of the float32 tanh: two to an octave, so that the upper bits of a number tell its interval."""


def near_a_float(low, high):
    """Return a float32 near the middle of an interval whose tanh is nearly a float32, and that."""
    middle = np.float32((low + high) / 2).view(np.int32)
    best = None
    for step in range(-1000, 1000):
        x = (middle + np.int32(step)).view(np.float32)
        y = mp.tanh(mp.mpf(float(x)))
        rounded = np.float32(float(y))
        error = abs(y - mp.mpf(float(rounded)))
        if best is None or error < best[0]:
            best = error, float(x), float(rounded)
    return best[1:]


def tanh_piece(low, high, degree):
    """Return center c and coefficients of tanh(x) = a + (x - c) (b + ...) on an interval, and the greatest error.

    The first starts with 0 + x (1 + ...), for which errors are relative; the last has its center at the end, where
    tanh is 1 to rounding.
    """
    if low == 0:
        rest, error = remez(
            lambda x: mp.mpf(-1) / 3 * x if x < mp.mpf("1e-20") else (mp.tanh(x) / x - 1) / x,
            lambda x: x + mp.mpf("1e-9"),
            mp.mpf(0),
            mp.mpf(high),
            degree - 2,
        )
        return 0.0, [0.0, 1.0, *rest], error
    center, value = (float(np.float32(high)), 1.0) if high == TANH_BOUNDS[-1] else near_a_float(low, high)
    c, a, tiny = mp.mpf(center), mp.mpf(value), mp.mpf("1e-9")
    rest, error = remez(
        lambda t: (mp.tanh(c + t) - a) / t if abs(t) > tiny else 1 - mp.tanh(c) ** 2,
        lambda t: max(abs(t), tiny),
        mp.mpf(low) - c,
        mp.mpf(high) - c - mp.mpf("1e-3") * (value == 1),
        degree - 1,
    )
    return center, [value, *rest], error


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
    pieces = [tanh_piece(low, high, 8) for low, high in pairwise(TANH_BOUNDS)]
    print(f"float32 TANH: errors {', '.join(mp.nstr(error, 2) for _, _, error in pieces)}; centers, then coefficients")
    for row in zip(*([center, *coefficients] for center, coefficients, _ in pieces), strict=True):
        print(f"    {{{', '.join(hexadecimal(x, 32) for x in row)}}},")


if __name__ == "__main__":
    main()
