"""e+e- -> mu+ mu- with any number of photons: the main background of two muons and nothing else.

Photons off the beams come from :mod:`.isr` (angles, several photons), one photon off the muons from :mod:`.fsr`; the
muons follow 1 + cos^2 with mass terms. Not included: interference of the two (odd in the muon charge), weak bosons,
vacuum polarisation beyond the overall normalisation, the psi and Upsilon resonances in the muon pair, and photons off
the muons beyond the first.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math

import numba
import numpy as np

from belle2dark._jit import jit
from belle2dark.constants import M_MUON
from belle2dark.simulation.beams import Beams, cms_to_lab, event_frame
from belle2dark.simulation.events import Events
from belle2dark.simulation.fsr import emission, emit
from belle2dark.simulation.isr import COLUMNS, MAX_PHOTONS, beam_axis, radiate, radiation, recoil, virtual_factor
from belle2dark.simulation.kinematics import around, boost
from belle2dark.simulation.pair import check_request, one_plus_cos2, pair_cross_section, write_photons
from belle2dark.simulation.rng import BLOCK, seed_block, uniform
from belle2dark.sourced import load_numbers

#: fractions of events made with 0, 1, 2, 3, 4 hard initial-state photons: two lost ones make the tail that matters
SHARES = (0.03, 0.22, 0.45, 0.25, 0.05)
SLOTS = 4


def generate_mumu_gamma(n: int, key: int, beams: Beams) -> Events:
    """n weighted events of e+e- -> mu+ mu- (n gamma): mu-, mu+, gamma_1 .. gamma_4 in the lab [GeV], weights [fb].

    The four most energetic photons are kept; further ones (soft, below 1 % of the beam energy but for a weight of
    1e-4) are dropped from the record. A photon below 1e-4 of the beam energy, or off the muons below 1e-3 of their
    energy, is not made. Raises ``ValueError`` for n < 1 or a key outside 64 bits.
    """
    check_request(n, key)
    numbers = load_numbers("backgrounds")
    scale = float(numbers["mumu_gamma_cross_section"]) / float(numbers["mumu_gamma_generated"])
    return generate_unnormalised(n, key, beams, scale)


def generate_unnormalised(
    n: int, key: int, beams: Beams, scale: float = 1.0, x_soft: float = 1e-4, x_fsr: float = 1e-3
) -> Events:
    """The same with tree-level normalisation times ``scale``, and the photon cuts open to be varied."""
    rad = radiation(beams.sqrt_s, 2.0 * M_MUON, SHARES, x_soft=x_soft)
    out, weights = np.zeros((2 + SLOTS, n, 4)), np.empty(n)
    _kernel(np.uint64(key), n, beams.kernel, rad, emission(M_MUON, beams.sqrt_s, x_fsr), out, weights)
    weights *= scale * virtual_factor(beams.sqrt_s) * pair_cross_section(beams.sqrt_s**2, M_MUON) / n
    names = ("mu-", "mu+", *(f"gamma_{i}" for i in range(1, SLOTS + 1)))
    return Events(momenta_lab=dict(zip(names, out, strict=True)), weights=weights)


@jit(parallel=True)
def _kernel(key, n, beam, rad, fsr, out, weights):
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        _block(key, block, n, beam, rad, fsr, out, weights)


@jit()
def _block(key, block, n, beam, rad, fsr, out, weights):
    s0, s1 = seed_block(key, block)
    photons = np.zeros((MAX_PHOTONS + 1, COLUMNS))
    for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
        s0, s1, frame = event_frame(beam, s0, s1)
        s0, s1, k, weight, r1, r2 = radiate(s0, s1, rad, frame[0], photons)
        e, x, y, z, s_prime = recoil(photons, k, frame[0])
        if s_prime <= 4.0001 * M_MUON * M_MUON or weight <= 0.0:
            e, x, y, z, s_prime, weight, k, r1, r2 = frame[0], 0.0, 0.0, 0.0, frame[0] ** 2, 0.0, 0, 1.0, 1.0
        mass = math.sqrt(s_prime)
        rho = 4.0 * M_MUON * M_MUON / s_prime
        s0, s1, x1, x2, emitted = emit(s0, s1, fsr, s_prime, rho)
        s0, s1, ax, ay, az = beam_axis(s0, s1, e, x, y, z, mass, frame[0], r1, r2)
        s0, s1, k = _muons(s0, s1, x1, x2, rho, (e, x, y, z, mass), (ax, ay, az), frame, photons, k, out, i)
        weights[i] = weight * emitted * _born(s_prime, rho) / _born(frame[0] ** 2, 4.0 * M_MUON * M_MUON / frame[0] ** 2)
        write_photons(photons, k, frame, out, 2, i)


@jit(inline=True)
def _born(s, rho):
    """Shape of the pair cross-section in s."""
    return math.sqrt(1.0 - rho) * (1.0 + 0.5 * rho) / s


@jit(inline=True)
def _muons(s0, s1, x1, x2, rho, system, axis, frame, photons, k, out, i):
    """Write both muons (and the photon off them as photon k) of the system (e, x, y, z, mass): (s0, s1, photons now).

    One lepton, picked with the probability of its squared momentum, is distributed about the axis like 1 + beta^2 cos^2,
    the other one and the photon at a flat azimuth around it.
    """
    e, x, y, z, mass = system
    p1, p2 = math.sqrt(max(0.0, x1 * x1 - rho)), math.sqrt(max(0.0, x2 * x2 - rho))
    s0, s1, u = uniform(s0, s1)
    first = u * (p1 * p1 + p2 * p2) < p1 * p1
    pa, pb = (p1, p2) if first else (p2, p1)
    s0, s1, cosine = one_plus_cos2(s0, s1, 1.0 - rho)
    s0, s1, u = uniform(s0, s1)
    nx, ny, nz = around(axis[0], axis[1], axis[2], cosine, 2.0 * math.pi * u)
    photon = 2.0 - x1 - x2
    between = (photon * photon - pa * pa - pb * pb) / (2.0 * pa * pb) if photon > 0.0 else -1.0
    s0, s1, u = uniform(s0, s1)
    mx, my, mz = around(nx, ny, nz, min(1.0, max(-1.0, between)), 2.0 * math.pi * u)
    h, ea, eb = 0.5 * mass, x1 if first else x2, x2 if first else x1
    be, bx, by, bz = boost(h * ea, h * pa * nx, h * pa * ny, h * pa * nz, e, x, y, z, mass)
    out[0 if first else 1, i, :] = cms_to_lab(frame, be, bx, by, bz)
    ce, cx, cy, cz = boost(h * eb, h * pb * mx, h * pb * my, h * pb * mz, e, x, y, z, mass)
    out[1 if first else 0, i, :] = cms_to_lab(frame, ce, cx, cy, cz)
    if photon > 0.0:
        photons[k, 1], photons[k, 2], photons[k, 3] = x - bx - cx, y - by - cy, z - bz - cz
        photons[k, 0] = math.sqrt(photons[k, 1] ** 2 + photons[k, 2] ** 2 + photons[k, 3] ** 2)
        k += 1
    return s0, s1, k
