"""Multi-channel phase space of two lepton pairs: what :mod:`.four_leptons` draws from, and the density it drew with.

Channels of one assignment of leptons to pairs a, b: b leaves the line of a (or a that of b), with 1/q_b^2, 1/E_b and both
propagators of the line flat; both pairs leave the beams, with 1/q_a^2 and 1/q_b^2, or 1/q_a^2 and 1/E_a, and the electron
propagators flat. With a resonance its Breit-Wigner shape takes the place of 1/q^2.

Source: Kleiss and Pittau, Comput. Phys. Commun. 83 (1994) 141 (multi-channel weights).
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math
from typing import NamedTuple

from belle2dark._jit import jit
from belle2dark.simulation.amplitudes.four_leptons import Complex
from belle2dark.simulation.events import Array
from belle2dark.simulation.kinematics import around, boost, to_axis
from belle2dark.simulation.phase_space import flatten, flatten_density, two_body
from belle2dark.simulation.rng import azimuth, uniform

#: a resonance is made within this many widths of its mass: 0.1 % of a Breit-Wigner shape is outside, and off its shell
#: anywhere the same graphs are not a signal
WIDTHS = 300.0


class Process(NamedTuple):
    """What the kernel needs: lepton masses, identical or not, bosons, channel shares, resonance (mass, width), threshold."""

    masses: Array
    identical: bool
    bosons: Complex
    shares: Array
    mass: float
    width: float
    threshold: float


@jit(inline=True)
def _shape(low, high, mass, width):
    """A Breit-Wigner shape in angles: (first, last, 1 / (mass width)) for squared masses between ``low`` and ``high`` [GeV^2]."""
    f = 1.0 / (mass * width)
    first = math.atan(max((low - mass * mass) * f, -2.0 * WIDTHS))
    return first, math.atan(min((high - mass * mass) * f, 2.0 * WIDTHS)), f


@jit(inline=True)
def _draw_square(u, low, high, mass, width):
    """A squared mass between ``low`` and ``high`` [GeV^2]: log-uniform, or of the resonance; 0 if it has no place there."""
    if mass <= 0.0:
        return low * math.exp(u * math.log(high / low))
    first, last, _ = _shape(low, high, mass, width)
    if last <= first:
        return 0.0
    return min(high, max(low, mass * mass + mass * width * math.tan(first + u * (last - first))))


@jit(inline=True)
def _square_density(square, low, high, mass, width):
    """Density of :func:`_draw_square` [GeV^-2]."""
    if mass <= 0.0:
        return 1.0 / (square * math.log(high / low))
    first, last, f = _shape(low, high, mass, width)
    x = (square - mass * mass) * f
    if last <= first or abs(x) > 2.0 * WIDTHS * (1.0 + 1e-6):
        return 0.0
    return f / ((1.0 + x * x) * (last - first))


@jit()
def draw(s0, s1, energy, process, leptons):
    """Fill ``leptons`` (4, 4) in the frame of total ``energy`` [GeV], the electron along z: (s0, s1, whether it worked).

    Where a resonance has no place the event is drawn without it, and stands for nothing.
    """
    s = energy * energy
    s0, s1, u = uniform(s0, s1)
    channel = 0
    while channel < 5 and u > process.shares[channel]:
        u -= process.shares[channel]
        channel += 1
    # pair "one" has its mass drawn first, the other follows from its energy or its own mass
    one = 1 if channel in (0, 3, 5) else 0
    m1, m2 = process.masses[one], process.masses[1 - one]
    resonance = process.mass if channel < 2 else 0.0
    s0, s1, u = uniform(s0, s1)
    first = _draw_square(u, 4.0 * m1 * m1, (energy - 2.0 * m2) ** 2, resonance, process.width)
    made = first > 0.0
    if not made:
        first = _draw_square(u, 4.0 * m1 * m1, (energy - 2.0 * m2) ** 2, 0.0, 0.0)
    s0, s1, u = uniform(s0, s1)
    q1 = math.sqrt(first)
    if channel in (2, 3):
        second = _draw_square(u, 4.0 * m2 * m2, (energy - q1) ** 2, process.mass, process.width)
        made = second > 0.0
        if not made:
            second = _draw_square(u, 4.0 * m2 * m2, (energy - q1) ** 2, 0.0, 0.0)
        q2 = math.sqrt(second)
    else:
        high = 0.5 * (s + first - 4.0 * m2 * m2) / energy
        e1 = q1 * math.exp(u * math.log(high / q1))
        q2 = math.sqrt(max(4.0 * m2 * m2, s + first - 2.0 * energy * e1))
    p = two_body(energy, q1, q2)
    s0, s1, u = uniform(s0, s1)
    a = 0.5 * (s - q1 * q1 - q2 * q2)
    cosine = 2.0 * u - 1.0 if channel < 2 else flatten(u, a, a, p * energy)
    s0, s1, u = uniform(s0, s1)
    nx, ny, nz = around(0.0, 0.0, 1.0, cosine, 2.0 * math.pi * u)
    s0, s1 = _pair(s0, s1, q1, p, nx, ny, nz, m1, 0.0, 2 * one, leptons)
    other = math.sqrt(q1 * q1 + p * p) if channel < 2 else 0.0
    s0, s1 = _pair(s0, s1, q2, p, -nx, -ny, -nz, m2, other, 2 - 2 * one, leptons)
    s0, s1, u = uniform(s0, s1)
    if process.identical and u < 0.5:
        for c in range(4):
            leptons[0, c], leptons[2, c] = leptons[2, c], leptons[0, c]
    return s0, s1, made


@jit()
def _pair(s0, s1, q, p, nx, ny, nz, m, radiated, row, leptons):
    """A pair of mass q and momentum p along n decays to leptons of mass m, into two rows of ``leptons``.

    Evenly, or with the propagators flat that emit a pair of energy ``radiated`` [GeV].
    """
    half = 0.5 * q
    beta = math.sqrt(max(0.0, (half - m) * (half + m))) / half
    s0, s1, u = uniform(s0, s1)
    cosine = flatten(u, radiated, radiated, p * beta) if radiated > 0.0 else 2.0 * u - 1.0
    s0, s1, c, d = azimuth(s0, s1)
    sine = math.sqrt(max(0.0, 1.0 - cosine * cosine))
    x, y, z = to_axis(nx, ny, nz, half * beta * sine * c, half * beta * sine * d, half * beta * cosine)
    energy = math.sqrt(q * q + p * p)
    for j in range(2):
        sign = 1.0 - 2.0 * j
        a, b, c, d = boost(half, sign * x, sign * y, sign * z, energy, p * nx, p * ny, p * nz, q)
        leptons[row + j, 0], leptons[row + j, 1], leptons[row + j, 2], leptons[row + j, 3] = a, b, c, d
    return s0, s1


@jit()
def density(leptons, energy, process):
    """Density of :func:`draw` against four-body phase space [GeV^-4]."""
    assignments, total = 2 if process.identical else 1, 0.0
    for exchange in range(assignments):
        total += _assigned_density(leptons, 2 * exchange, 2 - 2 * exchange, energy, process)
    return total / assignments


@jit()
def _assigned_density(leptons, minus_a, minus_b, energy, process):
    """The same with pairs a = (l- in row ``minus_a``, row 1) and b = (``minus_b``, row 3)."""
    s, ma, mb = energy * energy, process.masses[0], process.masses[1]
    aa, pz, ea, split_a = _sum(leptons, minus_a, 1)
    bb, _, eb, split_b = _sum(leptons, minus_b, 3)
    aa, bb = max(aa, 4.0 * ma * ma * (1.0 + 1e-12)), max(bb, 4.0 * mb * mb * (1.0 + 1e-12))
    qa, qb = math.sqrt(aa), math.sqrt(bb)
    p = max(two_body(energy, qa, qb), 1e-12 * energy)
    va, vb = p * math.sqrt(1.0 - 4.0 * ma * ma / aa), p * math.sqrt(1.0 - 4.0 * mb * mb / bb)
    low_a, low_b, high_a, high_b = 4.0 * ma * ma, 4.0 * mb * mb, (energy - 2.0 * mb) ** 2, (energy - 2.0 * ma) ** 2
    photon_a, photon_b = _square_density(aa, low_a, high_a, 0.0, 0.0), _square_density(bb, low_b, high_b, 0.0, 0.0)
    boson_a = _square_density(aa, low_a, high_a, process.mass, process.width)
    boson_b = _square_density(bb, low_b, high_b, process.mass, process.width)
    # energy of a pair, log-uniform: density in the other squared mass
    soft_a = 0.5 / (energy * ea * math.log(0.5 * (s + aa - low_b) / (energy * qa)))
    soft_b = 0.5 / (energy * eb * math.log(0.5 * (s + bb - low_a) / (energy * qb)))
    share = process.shares
    line = share[0] * boson_b * soft_b * 2.0 * flatten_density(min(1.0, max(-1.0, split_a / va)), eb, eb, va)
    line += share[1] * boson_a * soft_a * 2.0 * flatten_density(min(1.0, max(-1.0, split_b / vb)), ea, ea, vb)
    rest_b = _square_density(bb, low_b, (energy - qa) ** 2, process.mass, process.width)
    rest_a = _square_density(aa, low_a, (energy - qb) ** 2, process.mass, process.width)
    beams = share[2] * photon_a * rest_b + share[3] * photon_b * rest_a
    beams += share[4] * photon_a * soft_a + share[5] * photon_b * soft_b
    a = 0.5 * (s - aa - bb)
    beams *= 2.0 * flatten_density(min(1.0, max(-1.0, pz / p)), a, a, p * energy)
    # d Phi_4 = d a^2 d b^2 / (2 pi)^2 times three two-body spaces
    volume = va * vb / (p * energy) / (4.0 * math.pi * 64.0 * math.pi**2 * 4.0 * math.pi**2)
    return (line + beams) / volume


@jit(inline=True)
def _sum(leptons, i, j):
    """Squared mass, z momentum and energy of a pair, and the difference of the two energies."""
    x, y = leptons[i, 1] + leptons[j, 1], leptons[i, 2] + leptons[j, 2]
    z, e = leptons[i, 3] + leptons[j, 3], leptons[i, 0] + leptons[j, 0]
    return e * e - x * x - y * y - z * z, z, e, leptons[i, 0] - leptons[j, 0]
