"""Directions of both electrons of e+e- -> e+ e- gamma for a given photon, along all poles of the matrix element.

For :mod:`.bhabha`. Channels with known densities are mixed: small momentum transfer of the electron or of the positron
(down to zero angle), electron or positron along the photon, and everywhere.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math

import numpy as np

from belle2dark._jit import jit
from belle2dark.constants import M_ELECTRON
from belle2dark.simulation.kinematics import around, boost, unit
from belle2dark.simulation.rng import uniform

_M2 = M_ELECTRON * M_ELECTRON
#: shares of the channels: small momentum transfer of e-, of e+, e- and e+ along the photon, everywhere
CHANNELS = (0.4, 0.4, 0.075, 0.075, 0.05)
#: share of the momentum transfers that start at the value given, not at zero angle
OFTEN = 0.8


@jit()
def _along(e, x, y, z, frame, mass, axis):
    """Write the direction of a vector, seen in the rest frame of ``frame`` (mass ``mass``), to ``axis``; its energy there."""
    a, ax, ay, az = boost(e, x, y, z, frame[0], -frame[1], -frame[2], -frame[3], mass)
    axis[0], axis[1], axis[2] = unit(ax, ay, az)
    return a


@jit()
def electrons(s0, s1, sqrt_s, mass, rows, often):
    """Write both electrons, together of ``mass``, to ``rows``: (s0, s1, poles, density per dOmega/4 pi of their rest frame).

    The poles are -t of the electron, -t of the positron, 2 k.e-, 2 k.e+ [GeV^2], each without cancellation. |t| is drawn
    flat in its logarithm from zero angle or, mostly, from ``often``.
    """
    half, energy = 0.5 * sqrt_s, 0.5 * mass
    pair = (sqrt_s - rows[2, 0], -rows[2, 1], -rows[2, 2], -rows[2, 3])
    p0, q = math.sqrt(half * half - _M2), math.sqrt(max(0.0, energy * energy - _M2))
    axes, start, slope, first = np.empty((4, 3)), np.empty(4), np.empty(4), np.empty(4)
    for j in range(4):
        if j < 2:
            a = _along(half, 0.0, 0.0, p0 * (1.0 - 2.0 * j), pair, mass, axes[j])
            p = math.sqrt(a * a - _M2)
            # smallest -t: 2 (a energy - p q) - 2 m^2 without cancellation
            start[j] = max(2.0 * _M2 * (a - energy) ** 2 / (a * energy + p * q - _M2), 1e-18)
            slope[j] = 2.0 * p * q
            first[j] = max(start[j], min(often, 0.5 * slope[j]))
        else:
            a = _along(rows[2, 0], rows[2, 1], rows[2, 2], rows[2, 3], pair, mass, axes[j])
            start[j], slope[j] = 2.0 * a * _M2 / (energy + q), 2.0 * a * q
            first[j] = start[j]
        if j % 2 == 1:  # of the positron, along the other end of the axis of the pair
            axes[j] *= -1.0
    s0, s1, nx, ny, nz = _direction(s0, s1, axes, start, slope, first)
    pole, density = np.empty(4), CHANNELS[4]
    for j in range(4):
        distance = (nx - axes[j, 0]) ** 2 + (ny - axes[j, 1]) ** 2 + (nz - axes[j, 2]) ** 2
        pole[j] = start[j] + 0.5 * slope[j] * distance
        last = start[j] + 2.0 * slope[j]
        part = (OFTEN if first[j] > start[j] else 0.0) / math.log(last / first[j]) if pole[j] > first[j] else 0.0
        part += (1.0 - OFTEN if first[j] > start[j] else 1.0) / math.log(last / start[j])
        density += CHANNELS[j] * part * 2.0 * slope[j] / pole[j]
    for j in range(2):
        sign = q * (1.0 - 2.0 * j)
        rows[j, :] = boost(energy, sign * nx, sign * ny, sign * nz, pair[0], pair[1], pair[2], pair[3], mass)
    return s0, s1, pole, density


@jit()
def _direction(s0, s1, axes, start, slope, first):
    """Direction of the electron from one of the channels: (s0, s1, unit vector)."""
    s0, s1, choose = uniform(s0, s1)
    s0, s1, which = uniform(s0, s1)
    s0, s1, u = uniform(s0, s1)
    s0, s1, phi = uniform(s0, s1)
    j = 0
    while j < 4 and choose >= CHANNELS[j]:
        choose -= CHANNELS[j]
        j += 1
    if j == 4:
        nx, ny, nz = around(0.0, 0.0, 1.0, 2.0 * u - 1.0, 2.0 * math.pi * phi)
        return s0, s1, nx, ny, nz
    low = first[j] if which < OFTEN else start[j]
    value = low * math.exp(u * math.log((start[j] + 2.0 * slope[j]) / low))
    y = min(1.0, max(0.0, 0.5 * (value - start[j]) / slope[j]))  # (1 - cos)/2
    # small angles lose precision in the cosine: use the sine and build the vector by hand
    sine = 2.0 * math.sqrt(y * (1.0 - y))
    ax, ay, az = axes[j, 0], axes[j, 1], axes[j, 2]
    tx, ty, tz = around(ax, ay, az, 0.0, 2.0 * math.pi * phi)
    nx, ny, nz = unit((1.0 - 2.0 * y) * ax + sine * tx, (1.0 - 2.0 * y) * ay + sine * ty, (1.0 - 2.0 * y) * az + sine * tz)
    return s0, s1, nx, ny, nz
