"""Random numbers for event kernels: one 64-bit key, blocks of 4096 events, the same bits on any number of threads.

A kernel loops with ``prange`` over blocks; each block seeds its own xoroshiro128+ state (two 64-bit words) from
``(key, block)`` by splitmix64, so block k is the same whether it runs alone, in a scan or on sixteen threads, and the
first n events of a longer run are those of a shorter one.

    s0, s1 = seed_block(key, block)
    s0, s1, u = uniform(s0, s1)      # in (0, 1)
    s0, s1, g = normal(s0, s1)       # standard normal, ziggurat
    s0, s1, x, y, z = direction(s0, s1)  # isotropic unit vector
    s0, s1, c, s = azimuth(s0, s1)   # cosine and sine of a uniform angle

Source: Blackman and Vigna, arXiv:1805.01407 (generator); Marsaglia and Tsang, J. Stat. Soft. 5 (2000) 8 (ziggurat);
Marsaglia, Ann. Math. Stat. 43 (1972) 645 (sphere).
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math
from zlib import crc32

import numpy as np

from belle2dark._jit import jit

BLOCK = 4096

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)
_TO_UNIT = 2.0**-52  # 52 bits, so that (largest integer + 0.5) is still exact and never rounds up to 1


def make_key(seed: int, *names: str) -> int:
    """The 64-bit key of a stream: ``seed`` and the names of what it is for (search, process), never a mass.

    Masses stay out so that neighbouring points share their random numbers and curves are smooth.
    Raises ``ValueError`` for a negative seed.
    """
    if seed < 0:
        raise ValueError(f"seed = {seed}: must be a non-negative integer")
    words = [crc32(name.encode()) for name in names]
    return int(np.random.SeedSequence([seed, *words]).generate_state(1, np.uint64)[0])


def _ziggurat(n: int = 256) -> tuple[np.ndarray, np.ndarray, float]:
    """Layer edges x (n+1,), densities f(x) (n+1,) and tail start r of the n-layer ziggurat of exp(-x^2/2)."""
    r = 3.6541528853610088  # tail start for 256 layers
    v = r * math.exp(-0.5 * r * r) + math.sqrt(math.pi / 2) * math.erfc(r / math.sqrt(2))
    x = np.empty(n + 1)
    x[0], x[1] = v / math.exp(-0.5 * r * r), r
    for i in range(2, n):
        x[i] = math.sqrt(-2.0 * math.log(v / x[i - 1] + math.exp(-0.5 * x[i - 1] ** 2)))
    x[n] = 0.0
    return x, np.exp(-0.5 * x**2), r


_ZX, _ZF, _ZR = _ziggurat()
_ZRATIO = _ZX[1:] / _ZX[:-1]


@jit(inline=True)
def _splitmix(x):
    x = x + _GOLDEN
    z = (x ^ (x >> np.uint64(30))) * _MIX1
    z = (z ^ (z >> np.uint64(27))) * _MIX2
    return x, z ^ (z >> np.uint64(31))


@jit(inline=True)
def seed_block(key, block):
    """State of one block: (uint64 key, integer block) -> (s0, s1)."""
    x = np.uint64(key) ^ ((np.uint64(block) + np.uint64(1)) * _MIX2)
    x, s0 = _splitmix(x)
    x, s1 = _splitmix(x)
    return s0, s1


@jit(inline=True)
def next_bits(s0, s1):
    """One step of xoroshiro128+: (s0, s1) -> (s0, s1, 64 random bits)."""
    out = s0 + s1
    s1 ^= s0
    s0 = ((s0 << np.uint64(24)) | (s0 >> np.uint64(40))) ^ s1 ^ (s1 << np.uint64(16))
    s1 = (s1 << np.uint64(37)) | (s1 >> np.uint64(27))
    return s0, s1, out


@jit(inline=True)
def uniform(s0, s1):
    """A uniform number in the open interval (0, 1)."""
    s0, s1, bits = next_bits(s0, s1)
    return s0, s1, (np.float64(np.int64(bits >> np.uint64(12))) + 0.5) * _TO_UNIT


@jit()
def _normal_slow(s0, s1, i, x):
    """Wedge and tail of the ziggurat; returns accepted flag with the value."""
    if i == 0:
        while True:
            s0, s1, u = uniform(s0, s1)
            s0, s1, v = uniform(s0, s1)
            t = -math.log(u) / _ZR
            if -2.0 * math.log(v) > t * t:
                return s0, s1, True, (_ZR + t if x > 0 else -_ZR - t)
    s0, s1, u = uniform(s0, s1)
    return s0, s1, _ZF[i] + u * (_ZF[i + 1] - _ZF[i]) < math.exp(-0.5 * x * x), x


@jit(inline=True)
def normal(s0, s1):
    """A standard normal number (ziggurat with 256 layers)."""
    while True:
        s0, s1, bits = next_bits(s0, s1)
        i = np.int64(bits & np.uint64(255))
        u = np.float64(np.int64(bits) >> np.int64(10)) * (2.0**-53)
        x = u * _ZX[i]
        if abs(u) < _ZRATIO[i]:
            return s0, s1, x
        s0, s1, ok, x = _normal_slow(s0, s1, i, x)
        if ok:
            return s0, s1, x


@jit(inline=True)
def two_uniforms(s0, s1):
    """Two uniform numbers in (0, 1) with 32 bits each, from one step of the generator: for angles and accept-reject."""
    s0, s1, bits = next_bits(s0, s1)
    u = (np.float64(np.int64(bits >> np.uint64(32))) + 0.5) * 2.0**-32
    return s0, s1, u, (np.float64(np.int64(bits & np.uint64(0xFFFFFFFF))) + 0.5) * 2.0**-32


@jit(inline=True)
def _disc(s0, s1):
    """A point in the unit disc and its squared radius (never 0: both coordinates are odd multiples of 2^-32)."""
    while True:
        s0, s1, u, v = two_uniforms(s0, s1)
        a, b = 2.0 * u - 1.0, 2.0 * v - 1.0
        q = a * a + b * b
        if q < 1.0:
            return s0, s1, a, b, q


@jit(inline=True)
def direction(s0, s1):
    """An isotropic unit vector (x, y, z), without trigonometric functions."""
    s0, s1, a, b, q = _disc(s0, s1)
    r = 2.0 * math.sqrt(1.0 - q)
    return s0, s1, a * r, b * r, 1.0 - 2.0 * q


@jit(inline=True)
def azimuth(s0, s1):
    """Cosine and sine of a uniform angle: series on an eighth of the circle (1e-11), then a random quadrant; no branches."""
    s0, s1, bits = next_bits(s0, s1)
    # 52 bits make an angle in (-pi/4, pi/4), two of the others choose the quadrant
    x = (np.float64(np.int64(bits >> np.uint64(12))) + 0.5) * (0.5 * math.pi * 2.0**-52) - 0.25 * math.pi
    y = x * x
    sine = x * (1.0 + y * (-1 / 6 + y * (1 / 120 + y * (-1 / 5040 + y * (1 / 362880 - y / 39916800)))))
    cosine = 1.0 + y * (-0.5 + y * (1 / 24 + y * (-1 / 720 + y * (1 / 40320 + y * (-1 / 3628800 + y / 479001600)))))
    turn = np.float64(np.int64(bits & np.uint64(1)))
    flip = 1.0 - 2.0 * np.float64(np.int64((bits >> np.uint64(1)) & np.uint64(1)))
    stay = 1.0 - turn
    return s0, s1, flip * (stay * cosine - turn * sine), flip * (stay * sine + turn * cosine)
