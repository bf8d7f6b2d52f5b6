"""What the pair-production generators share: cross-section, initial-state radiation, polar angle, photon slots, request check.

A generator of e+e- -> l+ l- with photons is :func:`radiated_pair` (photons off the beams, the pair's four-momentum and
axis, the weight in fb), :func:`one_plus_cos2` for the angle, its own decays, and :func:`write_photons`.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np

from belle2dark._jit import jit
from belle2dark.constants import ALPHA, GEV2_FB
from belle2dark.simulation.beams import cms_to_lab, event_frame
from belle2dark.simulation.events import Array
from belle2dark.simulation.isr import Radiation, beam_axis, radiate, radiation, recoil, virtual_factor
from belle2dark.simulation.rng import uniform
from belle2dark.theory.vacuum_polarisation import running_factor

_ALPHA = ALPHA["thomson"]
_POINT = 4.0 * math.pi * _ALPHA**2 / 3.0 * GEV2_FB  # point-like cross-section times s [fb GeV^2]
_NODES = 2000  # of the table of the running coupling, 1 % apart in sqrt(s): a tenth of what vacuum polarisation is averaged over


def check_request(n: int, key: int) -> None:
    """Raise ``ValueError`` unless n is a positive number of events and ``key`` fits 64 unsigned bits."""
    if n < 1:
        raise ValueError(f"n = {n}: the number of events must be at least 1")
    if not 0 <= key < 2**64:
        raise ValueError(f"key = {key}: allowed 0 to 2^64 - 1; make one with rng.make_key")


class PairRate(NamedTuple):
    """Mass of the leptons and table of the running coupling over ln(s'), for :func:`radiated_pair`."""

    mass: float
    low: float
    step: float
    running: Array
    norm: float


@cache
def pair_settings(
    mass: float, sqrt_s: float, shares: tuple[float, ...], x_soft: float = 1e-4, x_hard: float = 0.01
) -> tuple[Radiation, PairRate]:
    """What :func:`radiated_pair` needs for leptons of ``mass`` [GeV] at ``sqrt_s`` [GeV]; the rest as in :func:`.isr.radiation`.

    Raises ``ValueError`` for impossible values.
    """
    rad = radiation(sqrt_s, 2.0 * mass, shares, x_soft, x_hard)
    log_s = np.linspace(2.0 * math.log(2.0 * mass), 2.0 * math.log(1.05 * sqrt_s), _NODES)
    factor = running_factor(np.exp(log_s))
    return rad, PairRate(mass, float(log_s[0]), float(log_s[1] - log_s[0]), factor, virtual_factor(sqrt_s))


@jit(inline=True)
def final_state_factor(velocity):
    """First-order QED correction to the total rate of a lepton pair of ``velocity``, photons included.

    1 + 3 alpha/4 pi for light leptons, the Coulomb attraction pi alpha/2v for slow ones.
    Source: Schwinger, Particles, Sources and Fields II (1973), interpolation of the exact function to 1 % of it.
    """
    rest = 0.25 * (3.0 + velocity) * (0.5 * math.pi - 0.75 / math.pi)
    return 1.0 + _ALPHA * (0.5 * math.pi / velocity - rest)


@jit(inline=True)
def born(s, mass):
    """e+e- -> l+l- with photons off the leptons but none off the beams, and alpha at q^2 = 0 [fb]; 0 below threshold."""
    beta2 = 1.0 - 4.0 * mass * mass / s
    if beta2 <= 0.0:
        return 0.0
    beta = math.sqrt(beta2)
    return _POINT / s * 0.5 * beta * (3.0 - beta2) * final_state_factor(beta)


def pair_cross_section(s: float, mass: float) -> float:
    """Tree-level e+e- -> l+l- cross-section [fb] for leptons of ``mass`` [GeV] at ``s`` [GeV^2], alpha at q^2 = 0."""
    rho = 4.0 * mass * mass / s
    if rho >= 1.0:
        return 0.0
    return _POINT / s * math.sqrt(1.0 - rho) * (1.0 + 0.5 * rho)


def dressed_cross_section(s: float, mass: float) -> float:
    """e+e- -> l+l- [fb] with vacuum polarisation and photons off the leptons, none off the beams: what radiation folds."""
    return float(born(s, mass) * running_factor(s))


@jit()
def radiated_pair(s0, s1, beam, rad, rate, photons):
    """One collision: (s0, s1, frame, photons made, weight [fb], (E, px, py, pz, mass) of the pair, unit axis of 1 + cos^2).

    The pair is in the CMS of the collision [GeV], the axis in the pair's rest frame. An event that radiation takes below
    threshold has weight 0 and the momenta of one without photons.
    """
    m = rate.mass
    s0, s1, frame = event_frame(beam, s0, s1)
    s0, s1, k, weight, r1, r2 = radiate(s0, s1, rad, frame[0], photons)
    e, x, y, z, s_prime = recoil(photons, k, frame[0])
    if s_prime <= 4.0001 * m * m or weight <= 0.0:
        e, x, y, z, s_prime, weight, k, r1, r2 = frame[0], 0.0, 0.0, 0.0, frame[0] ** 2, 0.0, 0, 1.0, 1.0
    mass = math.sqrt(s_prime)
    s0, s1, ax, ay, az = beam_axis(s0, s1, e, x, y, z, mass, frame[0], r1, r2)
    at = (math.log(s_prime) - rate.low) / rate.step
    cell = min(max(int(at), 0), len(rate.running) - 2)
    running = rate.running[cell] + (at - cell) * (rate.running[cell + 1] - rate.running[cell])
    weight *= rate.norm * running * born(s_prime, m)
    return s0, s1, frame, k, weight, (e, x, y, z, mass), (ax, ay, az)


@jit(inline=True)
def one_plus_cos2(s0, s1, beta2):
    """cos theta from (2 - beta^2) + beta^2 cos^2, the tree-level angle of a fermion pair with velocity beta."""
    while True:
        s0, s1, u = uniform(s0, s1)
        s0, s1, v = uniform(s0, s1)
        c = 2.0 * u - 1.0
        if 2.0 * v < 2.0 - beta2 * (1.0 - c * c):
            return s0, s1, c


@jit(inline=True)
def write_photons(photons, k, frame, out, first, i):
    """Write the most energetic of k photons to out[first:], hardest (in the CMS) first, and leave the other slots zero."""
    for slot in range(min(k, len(out) - first)):
        best = slot
        for j in range(slot + 1, k):
            if photons[j, 0] > photons[best, 0]:
                best = j
        for c in range(4):
            photons[slot, c], photons[best, c] = photons[best, c], photons[slot, c]
        e, x, y, z = cms_to_lab(frame, photons[slot, 0], photons[slot, 1], photons[slot, 2], photons[slot, 3])
        row = out[first + slot, i]  # component by component: a tuple into a slice compiles for seconds
        row[0], row[1], row[2], row[3] = e, x, y, z
