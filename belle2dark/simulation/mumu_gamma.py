"""e+e- -> mu+ mu- with any number of photons: the main background of two muons and nothing else.

Photons off the beams come from :mod:`.isr` (angles, several photons), those off the muons from :mod:`.fsr` (the first
one exact); the muons follow 1 + cos^2 with mass terms, the coupling runs with the mass of the pair. Not included:
interference of the two (odd in the muon charge), weak bosons, and the psi and Upsilon peaks in the muon pair.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math

import numba
import numpy as np

from belle2dark._jit import jit
from belle2dark.constants import M_MUON
from belle2dark.simulation.beams import Beams, cms_to_lab
from belle2dark.simulation.events import Events
from belle2dark.simulation.fsr import MAX_FINAL, VECTOR, shower
from belle2dark.simulation.isr import COLUMNS, MAX_PHOTONS
from belle2dark.simulation.kinematics import around, boost
from belle2dark.simulation.pair import check_request, one_plus_cos2, pair_settings, radiated_pair, write_photons
from belle2dark.simulation.rng import BLOCK, seed_block, uniform
from belle2dark.sourced import load_numbers

#: fractions of events made with 0, 1, 2, 3, 4 hard initial-state photons: two lost ones make the tail that matters, and
#: those without any are where a lost photon is off a muon
SHARES = (0.30, 0.20, 0.32, 0.15, 0.03)
SLOTS = 4


def generate_mumu_gamma(n: int, key: int, beams: Beams) -> Events:
    """n weighted events of e+e- -> mu+ mu- (n gamma): mu-, mu+, gamma_1 .. gamma_4 in the lab [GeV], weights [fb].

    The four most energetic photons are kept; further ones (soft, below 1 % of the beam energy but for a weight of
    1e-4) are dropped from the record. A photon below 1e-4 of the beam energy, or off the muons below 1e-3 of half
    the mass of the pair, is not made. Raises ``ValueError`` for n < 1 or a key outside 64 bits.
    """
    check_request(n, key)
    numbers = load_numbers("backgrounds")
    scale = float(numbers["mumu_gamma_cross_section"]) / float(numbers["mumu_gamma_generated"])
    return generate_unnormalised(n, key, beams, scale)


def generate_unnormalised(
    n: int, key: int, beams: Beams, scale: float = 1.0, x_soft: float = 1e-4, x_hard: float = 0.01, x_fsr: float = 1e-3
) -> Events:
    """The same with the rate as calculated times ``scale``, and the photon cuts open to be varied."""
    rad, rate = pair_settings(M_MUON, beams.sqrt_s, SHARES, x_soft, x_hard)
    out, weights = np.zeros((2 + SLOTS, n, 4)), np.empty(n)
    _kernel(np.uint64(key), n, beams.kernel, rad, rate, x_fsr, out, weights)
    weights *= scale / n
    names = ("mu-", "mu+", *(f"gamma_{i}" for i in range(1, SLOTS + 1)))
    return Events(momenta_lab=dict(zip(names, out, strict=True)), weights=weights)


@jit(parallel=True)
def _kernel(key, n, beam, rad, rate, x_fsr, out, weights):
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        _block(key, block, n, beam, rad, rate, x_fsr, out, weights)


@jit()
def _block(key, block, n, beam, rad, rate, x_fsr, out, weights):
    s0, s1 = seed_block(key, block)
    photons = np.zeros((MAX_PHOTONS + MAX_FINAL, COLUMNS))
    muons, work = np.empty((2, 4)), (np.empty((3, 4)), np.empty((MAX_FINAL, 3)))
    masses, charges, half = np.full(2, M_MUON), np.array([-1.0, 1.0]), np.ones(2, np.bool_)
    for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
        s0, s1, frame, k, weight, (e, x, y, z, mass), (ax, ay, az) = radiated_pair(s0, s1, beam, rad, rate, photons)
        beta2 = 1.0 - 4.0 * M_MUON * M_MUON / (mass * mass)
        s0, s1, cosine = one_plus_cos2(s0, s1, beta2)
        s0, s1, u = uniform(s0, s1)
        nx, ny, nz = around(ax, ay, az, cosine, 2.0 * math.pi * u)
        for j in range(2):
            p = (0.5 - j) * mass * math.sqrt(beta2)
            muons[j, 0], muons[j, 1], muons[j, 2], muons[j, 3] = boost(0.5 * mass, p * nx, p * ny, p * nz, e, x, y, z, mass)
        s0, s1, k, _ = shower(s0, s1, muons, masses, charges, half, VECTOR, x_fsr, work, photons, k)
        for j in range(2):
            out[j, i, :] = cms_to_lab(frame, muons[j, 0], muons[j, 1], muons[j, 2], muons[j, 3])
        weights[i] = weight
        write_photons(photons, k, frame, out, 2, i)
