"""e+e- -> nu nu-bar with photons off the beams: the irreducible, tiny background of a single photon.

Z exchange for three neutrinos and W exchange for electron neutrinos, both as contact interactions (s far below m_Z^2),
so the pair is a current like that of e+e- -> mu+ mu- and one photon off the beams is exact; further ones are leading log.
Neutrinos follow 1 + cos^2 (their forward-backward asymmetry is left out, nobody sees them). Not included: propagators
(1 % at 10.58 GeV), photons off the W.

Source: Ma and Okada, Phys. Rev. Lett. 41 (1978) 287; Gaemers, Gastmans, Renard, Phys. Rev. D 19 (1979) 1605.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import ArrayLike

from belle2dark._jit import jit
from belle2dark.constants import ALPHA, GEV2_FB
from belle2dark.simulation.beams import Beams, cms_to_lab, event_frame
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.isr import COLUMNS, MAX_PHOTONS, beam_axis, radiate, radiation, recoil, virtual_factor
from belle2dark.simulation.kinematics import around, boost
from belle2dark.simulation.pair import check_request, one_plus_cos2, write_photons
from belle2dark.simulation.rng import BLOCK, seed_block, uniform
from belle2dark.sourced import load_numbers

#: fractions of events made with 0, 1, 2, 3 hard initial-state photons: without one nobody sees the event
SHARES = (0.02, 0.63, 0.28, 0.07)
SLOTS = 4
MASS_MIN = 0.05  #: smallest mass of the neutrino pair that is made [GeV]


def nunu_cross_section(s: float) -> float:
    """Tree-level e+e- -> nu nu-bar cross-section [fb] without photons, three flavours, at ``s`` [GeV^2] far below m_Z^2."""
    numbers = load_numbers("backgrounds")
    right = float(numbers["sin2_theta_w"])
    left = right - 0.5
    couplings = 3.0 * (left**2 + right**2) + 2.0 * left + 1.0
    return float(numbers["fermi_constant"]) ** 2 * s * couplings / (6.0 * math.pi) * GEV2_FB


def nunu_gamma_density(x: ArrayLike, cosine: ArrayLike, s: float) -> Array:
    """d^2 sigma / dx dcos theta* [fb] of one photon of energy x sqrt(s)/2 away from the beams, tree level, at ``s`` [GeV^2].

    Source: Gaemers, Gastmans, Renard, Phys. Rev. D 19 (1979) 1605, without propagators.
    """
    x, c = np.asarray(x, dtype=np.float64), np.asarray(cosine, dtype=np.float64)
    pattern = 2.0 * ((1.0 - 0.5 * x) ** 2 + 0.25 * (x * c) ** 2) / (x * (1.0 - c * c))
    return ALPHA["thomson"] / math.pi * pattern * (1.0 - x) * nunu_cross_section(s)


def generate_nunu_gamma(n: int, key: int, beams: Beams) -> Events:
    """n weighted events of e+e- -> nu nu-bar (n gamma): nu_1, nu_2, gamma_1 .. gamma_4 in the lab [GeV], weights [fb].

    The four most energetic photons are kept. Raises ``ValueError`` for n < 1 or a key outside 64 bits.
    """
    check_request(n, key)
    rad = radiation(beams.sqrt_s, MASS_MIN, SHARES)
    out, weights = np.zeros((2 + SLOTS, n, 4)), np.empty(n)
    _kernel(np.uint64(key), n, beams.kernel, rad, out, weights)
    weights *= virtual_factor(beams.sqrt_s) * nunu_cross_section(1.0) / n
    names = ("nu_1", "nu_2", *(f"gamma_{i}" for i in range(1, SLOTS + 1)))
    return Events(momenta_lab=dict(zip(names, out, strict=True)), weights=weights)


@jit(parallel=True)
def _kernel(key, n, beam, rad, out, weights):
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        _block(key, block, n, beam, rad, out, weights)


@jit()
def _block(key, block, n, beam, rad, out, weights):
    s0, s1 = seed_block(key, block)
    photons = np.zeros((MAX_PHOTONS + 1, COLUMNS))
    for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
        s0, s1, frame = event_frame(beam, s0, s1)
        s0, s1, k, weight, r1, r2 = radiate(s0, s1, rad, frame[0], photons)
        e, x, y, z, s_prime = recoil(photons, k, frame[0])
        if s_prime <= MASS_MIN * MASS_MIN or weight <= 0.0:
            e, x, y, z, s_prime, weight, k, r1, r2 = frame[0], 0.0, 0.0, 0.0, frame[0] ** 2, 0.0, 0, 1.0, 1.0
        mass = math.sqrt(s_prime)
        s0, s1, ax, ay, az = beam_axis(s0, s1, e, x, y, z, mass, frame[0], r1, r2)
        s0, s1, cosine = one_plus_cos2(s0, s1, 1.0)
        s0, s1, u = uniform(s0, s1)
        nx, ny, nz = around(ax, ay, az, cosine, 2.0 * math.pi * u)
        for j in range(2):
            h = 0.5 * mass * (1.0 - 2.0 * j)
            be, bx, by, bz = boost(0.5 * mass, h * nx, h * ny, h * nz, e, x, y, z, mass)
            out[j, i, :] = cms_to_lab(frame, be, bx, by, bz)
        weights[i] = weight * s_prime
        write_photons(photons, k, frame, out, 2, i)
