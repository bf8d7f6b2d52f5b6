"""e+e- -> gamma gamma with any number of further photons: exact for three, leading-log collinear and soft for more.

The background of three photons, of one photon whose partners are lost, and a luminosity process. Photons off the beams
come from :mod:`.isr`; the widest hard one and the pair get the tree-level matrix element of three photons. Bose symmetry
without double counting: the pair are the two photons with the largest transverse momentum of all hard ones, and a sample
is independent of the energy below which radiation counts as soft. Not included: the non-logarithmic part of the virtual
correction (below 1 %), vacuum polarisation (absent at this order), the electron mass for photons of the pair inside
m_e/E = 1e-4 rad beyond the regular pole.

Source: Berends and Kleiss, Nucl. Phys. B 186 (1981) 22 (three photons, massless electrons).
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math

import numba
import numpy as np

from belle2dark._jit import jit
from belle2dark.constants import ALPHA, GEV2_FB, M_ELECTRON
from belle2dark.simulation.beams import Beams, event_frame
from belle2dark.simulation.events import Events
from belle2dark.simulation.isr import COLUMNS, MAX_PHOTONS, radiate, radiation, recoil, virtual_factor
from belle2dark.simulation.kinematics import around, boost, unit
from belle2dark.simulation.pair import check_request, write_photons
from belle2dark.simulation.rng import BLOCK, seed_block, uniform

_ALPHA = ALPHA["thomson"]
#: fractions of events made with 0, 1, 2, 3 hard initial-state photons: three photons at wide angles are what matters
SHARES = (0.15, 0.60, 0.20, 0.05)
#: the same beside three wide photons
EXTRA = (0.6, 0.32, 0.08)
SLOTS = 5
#: most pairs are made with a rapidity below this (7.7 degrees from the beams), the rest further forward
CENTRAL, CENTRAL_SHARE = 2.7, 0.9
#: smallest mass of the pair that is made [GeV]
MASS_MIN = 0.05


def gamma_gamma_cross_section(s: float, cos_max: float) -> float:
    """Tree-level e+e- -> gamma gamma cross-section [fb] at ``s`` [GeV^2] with |cos theta| < ``cos_max`` in the CMS.

    Raises ``ValueError`` unless 0 < cos_max < 1.
    """
    if not 0.0 < cos_max < 1.0:
        raise ValueError(f"cos_max = {cos_max}: must lie between 0 and 1")
    return 2.0 * math.pi * _ALPHA**2 / s * GEV2_FB * (2.0 * math.atanh(cos_max) - cos_max)


def generate_gamma_gamma(n: int, key: int, beams: Beams) -> Events:
    """n weighted events of e+e- -> gamma gamma (n gamma): gamma_1 .. gamma_5 in the lab [GeV], weights [fb].

    Photons are ordered by their energy in the CMS; the five most energetic are kept. Most of the cross-section is at
    angles that no detector sees: select before adding up. Raises ``ValueError`` for n < 1 or a key outside 64 bits.
    """
    check_request(n, key)
    return generate_unnormalised(n, key, beams)


def generate_three_photons(n: int, key: int, beams: Beams, energy_min: float = 0.3, theta_min: float = 0.2) -> Events:
    """The part with at least three photons off the beam axis, made densely: same slots and weights.

    Complete for events whose three photons with the largest transverse momenta have CMS energies above ``energy_min``
    [GeV] and CMS angles above ``theta_min`` [rad] to both beams. Raises ``ValueError`` for values out of range.
    """
    check_request(n, key)
    if not 0.0 < theta_min < 0.5 * math.pi:
        raise ValueError(f"theta_min = {theta_min} rad: must lie between 0 and pi/2")
    x_min = 2.0 * energy_min / beams.sqrt_s
    if not 0.01 <= x_min < 0.6:
        low, high = 0.005 * beams.sqrt_s, 0.3 * beams.sqrt_s
        raise ValueError(f"energy_min = {energy_min} GeV: allowed {low:.3g} to {high:.3g} GeV")
    return generate_unnormalised(n, key, beams, wide=(x_min, math.atanh(math.cos(theta_min))))


def generate_unnormalised(
    n: int, key: int, beams: Beams, x_soft: float = 1e-4, x_hard: float = 0.01, wide: tuple[float, float] = (0.0, 0.0)
) -> Events:
    """The same with the cuts on soft and on hard radiation (photon energy over beam energy) open to be varied.

    ``wide`` are energy fraction and rapidity that limit all of the three photons, or zeros for no third one by force.
    """
    rad = radiation(beams.sqrt_s, MASS_MIN, EXTRA if wide[0] > 0.0 else SHARES, x_soft=x_soft, x_hard=x_hard)
    out, weights = np.zeros((SLOTS, n, 4)), np.empty(n)
    _kernel(np.uint64(key), n, beams.kernel, rad, wide, out, weights)
    weights *= virtual_factor(beams.sqrt_s) * math.pi * _ALPHA**2 * GEV2_FB / n
    return Events(momenta_lab={f"gamma_{i + 1}": out[i] for i in range(SLOTS)}, weights=weights)


@jit(parallel=True)
def _kernel(key, n, beam, rad, wide, out, weights):
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        _block(key, block, n, beam, rad, wide, out, weights)


@jit()
def _block(key, block, n, beam, rad, wide, out, weights):
    s0, s1 = seed_block(key, block)
    photons = np.zeros((MAX_PHOTONS + 3, COLUMNS))
    for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
        s0, s1, frame = event_frame(beam, s0, s1)
        s0, s1, k, weight, r1, r2 = radiate(s0, s1, rad, frame[0], photons)
        hard = 0
        while hard < k and photons[hard, 4] > rad.x_hard:
            hard += 1
        last = hard - 1
        if wide[0] > 0.0:
            if hard > 0:  # what all hard photons so far left of the beams, not all but the last
                x, forward = photons[last, 4], photons[last, 5] < photons[last, 6]
                r1, r2 = (r1 - x, r2) if forward else (r1, r2 - x)
            inner = min(photons[last, 5], photons[last, 6]) if hard > 0 else 0.0
            last = k
            s0, s1, w = _wide_photon(s0, s1, wide, frame[0], photons[last])
            weight *= w if inner < min(photons[last, 5], photons[last, 6]) else 0.0
            k += 1
        elif hard > 0:
            weight /= _pattern(photons[last], r1, r2)
        system = recoil(photons, k, frame[0])
        if system[4] <= MASS_MIN * MASS_MIN or weight <= 0.0:
            system, weight, k, last = (frame[0], 0.0, 0.0, 0.0, frame[0] ** 2), 0.0, 0, -1
        s0, s1, shape = _pair(s0, s1, frame[0], system, (r1, r2), photons, k, (hard, last))
        weights[i] = weight * shape
        write_photons(photons, k + 2, frame, out, 0, i)


@jit()
def _wide_photon(s0, s1, wide, sqrt_s, photon):
    """Fill ``photon`` log-uniform in energy and rapidity: (s0, s1, weight), alpha/pi times dx/x dcos."""
    s0, s1, u = uniform(s0, s1)
    s0, s1, v = uniform(s0, s1)
    s0, s1, phi = uniform(s0, s1)
    length = -math.log(wide[0])
    x, c = wide[0] * math.exp(u * length), math.tanh((2.0 * v - 1.0) * wide[1])
    omega, sine = 0.5 * sqrt_s * x, math.sqrt(1.0 - c * c)
    photon[0], photon[3] = omega, omega * c
    photon[1], photon[2] = omega * sine * math.cos(2.0 * math.pi * phi), omega * sine * math.sin(2.0 * math.pi * phi)
    photon[4], photon[5], photon[6] = x, 1.0 - c, 1.0 + c
    return s0, s1, _ALPHA / math.pi * length * 2.0 * wide[1] * photon[5] * photon[6]


@jit(inline=True)
def _pattern(photon, r1, r2):
    """The factorised pattern of :mod:`.isr` for a photon off beams of fractions r1, r2, without the electron-mass term."""
    x, a, b = photon[4], photon[5], photon[6]
    y1, y2 = min(1.0, 0.5 * x * a / r2), min(1.0, 0.5 * x * b / r1)
    return ((1.0 - y1) ** 2 + (1.0 - y2) ** 2) / (a * b)


@jit()
def _pair(s0, s1, sqrt_s, system, left, photons, k, chosen):
    """Write two photons of the system (E, px, py, pz, s') as photons k, k + 1: (s0, s1, weight [GeV^-2]).

    The weight times pi alpha^2 is the cross-section of the pair; with a third hard photon (``chosen``: number of hard
    ones, index of the widest) times the pattern of that one. ``left`` are the beam fractions before it.
    """
    e, x, y, z, s_prime = system
    mass, half = math.sqrt(s_prime), 0.5 * sqrt_s
    p = math.sqrt(half * half - M_ELECTRON * M_ELECTRON)
    # directions of the electron and, reversed, of the positron in the frame of the pair: the poles are along these
    _, ax, ay, az = boost(half, 0.0, 0.0, p, e, -x, -y, -z, mass)
    _, bx, by, bz = boost(half, 0.0, 0.0, -p, e, -x, -y, -z, mass)
    ax, ay, az = unit(ax, ay, az)
    bx, by, bz = unit(-bx, -by, -bz)
    top = math.log(max(mass, 4.0 * M_ELECTRON) / M_ELECTRON)
    s0, s1, u = uniform(s0, s1)
    s0, s1, phi = uniform(s0, s1)
    s0, s1, cosine = _cosine(s0, s1, top)
    if u < 0.5:
        nx, ny, nz = around(ax, ay, az, cosine, 2.0 * math.pi * phi)
    else:
        nx, ny, nz = around(bx, by, bz, cosine, 2.0 * math.pi * phi)
    ca = min(1.0, max(-1.0, nx * ax + ny * ay + nz * az))
    cb = min(1.0, max(-1.0, nx * bx + ny * by + nz * bz))
    density = 0.5 * (_density(ca, top) + _density(cb, top))
    for j in range(2):
        sign = 0.5 * mass * (1.0 - 2.0 * j)
        row = photons[k + j]
        row[0], row[1], row[2], row[3] = boost(0.5 * mass, sign * nx, sign * ny, sign * nz, e, x, y, z, mass)
    if chosen[1] < 0:
        return s0, s1, 0.5 * (_born(ca, s_prime) + _born(cb, s_prime)) / (2.0 * s_prime * density)
    return s0, s1, _three(photons, k, chosen, left, sqrt_s) / (2.0 * density)


@jit()
def _cosine(s0, s1, top):
    """cos theta with a flat rapidity up to ``top``, most of it central: (s0, s1, cosine)."""
    s0, s1, u = uniform(s0, s1)
    s0, s1, v = uniform(s0, s1)
    edge = min(CENTRAL, top)
    if u < CENTRAL_SHARE or top <= CENTRAL:
        return s0, s1, math.tanh((2.0 * v - 1.0) * edge)
    t = (2.0 * v - 1.0) * (top - edge)
    return s0, s1, math.tanh(t + math.copysign(edge, t))


@jit()
def _density(cosine, top):
    """The density of :func:`_cosine`."""
    sin2 = max(1.0 - cosine * cosine, 1e-16)
    edge = math.tanh(min(CENTRAL, top))
    if top <= CENTRAL:
        return 0.5 / (top * sin2)
    if abs(cosine) < edge:
        return 0.5 * CENTRAL_SHARE / (CENTRAL * sin2)
    return 0.5 * (1.0 - CENTRAL_SHARE) / ((top - CENTRAL) * sin2)


@jit(inline=True)
def _born(cosine, s_prime):
    """a/b + b/a of the two-photon matrix element, with the electron mass in the poles."""
    sin2 = 1.0 - cosine * cosine + 4.0 * M_ELECTRON * M_ELECTRON / s_prime
    return 2.0 * (1.0 + cosine * cosine) / sin2


@jit(inline=True)
def three_photons(a1, b1, a2, b2, a3, b3):
    """Spin-averaged |M|^2 over 4 e^6 s [GeV^-4] from a = 2 p.k and b = 2 p'.k of the three photons [GeV^2]."""
    numerator = a1 * b1 * (a1 * a1 + b1 * b1) + a2 * b2 * (a2 * a2 + b2 * b2) + a3 * b3 * (a3 * a3 + b3 * b3)
    return numerator / (a1 * b1 * a2 * b2 * a3 * b3)


@jit()
def _three(photons, k, chosen, left, sqrt_s):
    """Matrix element of the pair k, k + 1 with the widest hard photon, in units of Born shape over s' times pattern.

    0 if a hard photon has more transverse momentum than one of the pair: that event belongs to another assignment.
    """
    first, second, last = photons[k], photons[k + 1], photons[chosen[1]]
    least = min(first[1] ** 2 + first[2] ** 2, second[1] ** 2 + second[2] ** 2)
    if last[1] ** 2 + last[2] ** 2 > least:
        return 0.0
    for j in range(chosen[0]):
        if photons[j, 1] ** 2 + photons[j, 2] ** 2 > least:
            return 0.0
    r1, r2 = left
    x, s = last[4], sqrt_s * sqrt_s
    a1, b1 = _products(first, sqrt_s)
    a2, b2 = _products(second, sqrt_s)
    a3, b3 = 0.5 * s * x * last[5], 0.5 * s * x * last[6]
    return 0.25 * s * x * x * three_photons(r1 * a1, r2 * b1, r1 * a2, r2 * b2, r1 * a3, r2 * b3)


@jit(inline=True)
def _products(k, sqrt_s):
    """2 p.k and 2 p'.k [GeV^2] of a photon with both (full) beams, electron mass included, without cancellation."""
    pt2 = k[1] * k[1] + k[2] * k[2]
    big = k[0] + abs(k[3])
    small = pt2 / big + 2.0 * k[0] * M_ELECTRON * M_ELECTRON / (sqrt_s * sqrt_s) * 2.0
    return (sqrt_s * small, sqrt_s * big) if k[3] > 0.0 else (sqrt_s * big, sqrt_s * small)
