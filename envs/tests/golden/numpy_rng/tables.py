"""Derives the ziggurat tables of `envs/src/rng/tables.rs` from their defining equations.

Usage: python tables.py > ../../../src/rng/tables.rs        (needs mpmath 1.4)

A ziggurat covers the area under a decreasing density f on [0, inf) with 256 pieces of one area v: 255 rectangles and a
base strip that contains the tail. With edges 0 = x[0] < x[1] < ... < x[255] = r, the rectangle between two edges is

    x[i] * (f(x[i-1]) - f(x[i])) = v,      and the base strip is      r * f(r) + (area of the tail beyond r) = v.

Both together determine r: walk down from x[255] = r and require that the last rectangle ends at f(0) = 1. A draw
splits 64 random bits into a layer and an integer j of `bits` bits; the tables hold, per layer,

    width:  what one unit of j is worth          (x[i] / 2^bits; for the base strip (v / f(r)) / 2^bits)
    inside: below which j the point is certainly under the curve   (round(2^bits * x[i-1] / x[i]); base: r * f(r) / v)
    height: f(x[i])

The result was compared with the tables inside NumPy 2.4.6's compiled module, byte for byte. To agree in the last bit,
three choices had to be fitted to them:

  * exponential: the exact solution, rounded once at the end. So that is what happens here, in 80 digits. Only `inside`
    is cut to 52 bits, rounding down, and then doubled.
  * normal: the walk was done in double precision, so that each edge inherits the roundings of those before it, from a
    v that is 4 units in the last place below the exact one, and with an exp that was one unit too high at layer 38.
"""

import math

from mpmath import erfc, exp, findroot, log, mp, mpf, nint, pi, sqrt

mp.dps = 80
LAYERS = 256


class Exact:
    """Arithmetic for the exponential's walk: 80 digits."""

    number = mpf

    @staticmethod
    def density(x):
        return exp(-x)

    @staticmethod
    def inverse(y):
        return -log(y)


class Double:
    """Arithmetic for the normal's walk: doubles, each function correctly rounded, whatever libm this runs on."""

    number = float

    @staticmethod
    def density(x):
        return float(exp(mpf(-0.5 * x * x)))

    @staticmethod
    def inverse(y):
        return math.sqrt(-2.0 * float(log(mpf(y))))


def solve_r(guess, density, inverse, tail):
    """(r, v) in 80 digits, by the secant method on the height at which the walk ends."""

    def area(r):
        return r * density(r) + tail(r)

    def overshoot(r):
        x, v = r, area(r)
        for _ in range(LAYERS - 2):
            x = inverse(density(x) + v / x)
        return density(x) + v / x - 1

    r = findroot(overshoot, (mpf(guess), mpf(guess) + mpf(10) ** -14))
    return r, area(r)


def tables(bits, r, v, walk, whole, exceptions):
    """`whole` makes the integers of `inside`. `exceptions`: layer -> units in the last place to add to its height."""
    r, v = walk.number(r), walk.number(v)
    x, height = {LAYERS - 1: r}, {LAYERS - 1: walk.density(r)}
    for i in range(LAYERS - 2, 0, -1):
        x[i] = walk.inverse(height[i + 1] + v / x[i + 1])
        height[i] = walk.density(x[i])
        for _ in range(exceptions.get(i, 0)):
            height[i] = math.nextafter(height[i], math.inf)
    x[0], height[0] = walk.number(0), walk.number(1)
    scale = walk.number(2**bits)
    inside = [r * height[LAYERS - 1] / v * scale] + [x[i - 1] / x[i] * scale for i in range(1, LAYERS)]
    width = [v / height[LAYERS - 1] / scale] + [x[i] / scale for i in range(1, LAYERS)]
    return [whole(k) for k in inside], [float(w) for w in width], [float(height[i]) for i in range(LAYERS)]


def listing(name, doc, kind, values, show):
    lines = [f"/// {doc}", "#[rustfmt::skip]", f"pub(super) const {name}: [{kind}; 256] = ["]
    for i in range(0, LAYERS, 4):
        lines.append("    " + ", ".join(show(value) for value in values[i : i + 4]) + ",")
    return "\n".join(lines + ["];", ""])


def constant(name, doc, value):
    return f"/// {doc}\npub(super) const {name}: f64 = {float(value)!r};\n"


def main():
    normal_r, normal_v = solve_r(
        3.6541528853610088,
        lambda x: exp(-x * x / 2),
        lambda y: sqrt(-2 * log(y)),
        lambda r: sqrt(pi / 2) * erfc(r / sqrt(2)),
    )
    exponential_r, exponential_v = solve_r(7.69711747013105, Exact.density, Exact.inverse, lambda r: exp(-r))
    normal_v = float(normal_v) - 4 * math.ulp(float(normal_v))
    normal = tables(52, normal_r, normal_v, Double, lambda k: int(nint(k)), {38: 1})
    exponential = tables(53, exponential_r, exponential_v, Exact, lambda k: 2 * int(k / 2), {})

    parts = ["//! Tables of the two ziggurats. Written by `tests/golden/numpy_rng/tables.py`, which also derives them.\n"]
    parts.append(constant("NORMAL_TAIL", "Where the tail of the standard normal begins.", normal_r))
    parts.append(constant("NORMAL_TAIL_INVERSE", "1 / [`NORMAL_TAIL`].", 1 / normal_r))
    parts.append(constant("EXPONENTIAL_TAIL", "Where the tail of the standard exponential begins.", exponential_r))
    for prefix, (inside, width, height) in (("NORMAL", normal), ("EXPONENTIAL", exponential)):
        parts.append(listing(f"{prefix}_INSIDE", "Integers below this are under the curve.", "u64", inside, hex))
        parts.append(listing(f"{prefix}_WIDTH", "Worth of one unit of the integer.", "f64", width, repr))
        parts.append(listing(f"{prefix}_HEIGHT", "Density at the outer edge of the layer.", "f64", height, repr))
    print("\n".join(parts).rstrip("\n"))


if __name__ == "__main__":
    main()
