"""e+e- -> tau+ tau- with initial-state photons, both taus to a charged lepton and two neutrinos.

Michel spectra with the lepton mass, and the full spin correlation of the pair (longitudinal and transverse). Lepton
flavours are arguments, so the e mu control sample is the same code. Not included: photons off the taus and their
decays, weak bosons.

Source: spin-1 pair state derived here in the non-covariant form (tensor of the beams, T = 1 across and 1/gamma along the
tau direction); Michel spectrum as in the PDG review "Muon decay parameters" with rho = delta = 3/4, xi = 1, eta = 0.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math

import numba
import numpy as np

from belle2dark._jit import jit
from belle2dark.constants import M_ELECTRON, M_MUON, M_TAU
from belle2dark.simulation.beams import Beams, cms_to_lab, event_frame
from belle2dark.simulation.events import Events
from belle2dark.simulation.isr import COLUMNS, MAX_PHOTONS, beam_axis, radiate, radiation, recoil, virtual_factor
from belle2dark.simulation.kinematics import around, boost
from belle2dark.simulation.pair import check_request, one_plus_cos2, pair_cross_section, write_photons
from belle2dark.simulation.rng import BLOCK, direction, seed_block, uniform
from belle2dark.sourced import load_numbers

#: fractions of events made with 0, 1, 2, 3 hard initial-state photons
SHARES = (0.55, 0.30, 0.12, 0.03)
SLOTS = 4
_MASSES = {"mu": M_MUON, "e": M_ELECTRON}


def generate_tautau(n: int, key: int, beams: Beams) -> Events:
    """n weighted events of e+e- -> tau+ tau- -> mu+ mu- 4 nu (n gamma): mu-, mu+, gamma_1 .. gamma_4 in the lab [GeV].

    Weights [fb] add up to the tau-pair cross-section times BR(tau -> mu nu nu)^2. Raises ``ValueError`` for n < 1 or a
    key outside 64 bits.
    """
    return generate_tau_leptons(n, key, beams, "mu", "mu")


def generate_tau_leptons(n: int, key: int, beams: Beams, minus: str, plus: str) -> Events:
    """The same for any pair of leptons: ``minus`` from the tau-, ``plus`` from the tau+, each "mu" or "e".

    Raises ``ValueError`` for another name.
    """
    check_request(n, key)
    for lepton in (minus, plus):
        if lepton not in _MASSES:
            raise ValueError(f"lepton = {lepton!r}: must be one of mu, e")
    numbers = load_numbers("backgrounds")
    branching = float(numbers[f"tau_to_{minus}_branching_fraction"]) * float(numbers[f"tau_to_{plus}_branching_fraction"])
    scale = float(numbers["tautau_cross_section"]) / float(numbers["tautau_generated"]) * branching
    return generate_unnormalised(n, key, beams, (f"{minus}-", f"{plus}+"), (_MASSES[minus], _MASSES[plus]), scale)


def generate_unnormalised(
    n: int, key: int, beams: Beams, names: tuple[str, str], masses: tuple[float, float], scale: float = 1.0
) -> Events:
    """The same with tree-level normalisation times ``scale``, no branching fraction."""
    rad = radiation(beams.sqrt_s, 2.0 * M_TAU, SHARES)
    out, weights = np.zeros((2 + SLOTS, n, 4)), np.empty(n)
    _kernel(np.uint64(key), n, beams.kernel, rad, masses, out, weights)
    weights *= scale * virtual_factor(beams.sqrt_s) * pair_cross_section(beams.sqrt_s**2, M_TAU) / n
    slots = tuple(f"gamma_{i}" for i in range(1, SLOTS + 1))
    return Events(momenta_lab=dict(zip((*names, *slots), out, strict=True)), weights=weights)


@jit(parallel=True)
def _kernel(key, n, beam, rad, masses, out, weights):
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        _block(key, block, n, beam, rad, masses, out, weights)


@jit()
def _block(key, block, n, beam, rad, masses, out, weights):
    s0, s1 = seed_block(key, block)
    photons = np.zeros((MAX_PHOTONS + 1, COLUMNS))
    threshold = 4.0001 * M_TAU * M_TAU
    for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
        s0, s1, frame = event_frame(beam, s0, s1)
        s0, s1, k, weight, r1, r2 = radiate(s0, s1, rad, frame[0], photons)
        e, x, y, z, s_prime = recoil(photons, k, frame[0])
        if s_prime <= threshold or weight <= 0.0:
            e, x, y, z, s_prime, weight, k, r1, r2 = frame[0], 0.0, 0.0, 0.0, frame[0] ** 2, 0.0, 0, 1.0, 1.0
        mass = math.sqrt(s_prime)
        beta2 = 1.0 - 4.0 * M_TAU * M_TAU / s_prime
        s0, s1, ax, ay, az = beam_axis(s0, s1, e, x, y, z, mass, frame[0], r1, r2)
        s0, s1, cosine = one_plus_cos2(s0, s1, beta2)
        s0, s1, u = uniform(s0, s1)
        tx, ty, tz = around(ax, ay, az, cosine, 2.0 * math.pi * u)
        s0, s1, minus, plus = _decays(s0, s1, (ax, ay, az), (tx, ty, tz), beta2, masses)
        p = 0.5 * mass * math.sqrt(beta2)
        for j in range(2):
            sign, decay = (1.0, minus) if j == 0 else (-1.0, plus)
            a, b, c, d = boost(*decay, 0.5 * mass, sign * p * tx, sign * p * ty, sign * p * tz, M_TAU)
            a, b, c, d = boost(a, b, c, d, e, x, y, z, mass)
            out[j, i, :] = cms_to_lab(frame, a, b, c, d)
        born = math.sqrt(beta2) * (3.0 - beta2) / s_prime
        beta2_0 = 1.0 - 4.0 * M_TAU * M_TAU / frame[0] ** 2
        weights[i] = weight * born / (math.sqrt(beta2_0) * (3.0 - beta2_0)) * frame[0] ** 2
        write_photons(photons, k, frame, out, 2, i)


@jit(inline=True)
def _michel(s0, s1, mass):
    """Energy fraction x = E/E_max and polarisation analysing power of a lepton of ``mass`` [GeV], in the tau rest frame."""
    x0 = 2.0 * M_TAU * mass / (M_TAU * M_TAU + mass * mass)
    while True:
        s0, s1, u = uniform(s0, s1)
        s0, s1, v = uniform(s0, s1)
        x = x0 + u * (1.0 - x0)
        root = math.sqrt(x * x - x0 * x0)
        flat = x * (1.0 - x) + (4.0 * x * x - 3.0 * x - x0 * x0) / 6.0
        if v < 6.0 * root * flat:
            polarised = root / 3.0 * (1.0 - x + 0.5 * (4.0 * x - 4.0 + math.sqrt(1.0 - x0 * x0)))
            return s0, s1, x, polarised / flat


@jit(inline=True)
def _across(nx, ny, nz, tx, ty, tz, inverse_gamma):
    """T n: the component of n along the unit vector t shrunk by 1/gamma."""
    f = (inverse_gamma - 1.0) * (nx * tx + ny * ty + nz * tz)
    return nx + f * tx, ny + f * ty, nz + f * tz


@jit(inline=True)
def spin_correlation(h, g, axis, tau, beta2):
    """Spin part h.g - 2 h.D.g/tr D of the pair weight, for polarimeters h (tau-) and g (tau+); unit beam and tau- axes.

    D = T (1 - n n) T with the beam axis n; T is 1 across the tau direction and 1/gamma along it.
    """
    shrink = math.sqrt(1.0 - beta2)
    ax, ay, az = _across(axis[0], axis[1], axis[2], tau[0], tau[1], tau[2], shrink)
    hx, hy, hz = _across(h[0], h[1], h[2], tau[0], tau[1], tau[2], shrink)
    gx, gy, gz = _across(g[0], g[1], g[2], tau[0], tau[1], tau[2], shrink)
    trace = 2.0 + shrink * shrink - (ax * ax + ay * ay + az * az)
    tensor = hx * gx + hy * gy + hz * gz - (h[0] * ax + h[1] * ay + h[2] * az) * (g[0] * ax + g[1] * ay + g[2] * az)
    return h[0] * g[0] + h[1] * g[1] + h[2] * g[2] - 2.0 * tensor / trace


@jit(inline=True)
def _decays(s0, s1, axis, tau, beta2, masses):
    """Both leptons in the rest frames of their taus, spin correlated: (s0, s1, (E, px, py, pz) of l-, of l+) [GeV].

    The polarimeter is minus the analysing power along the l- direction, plus along the l+ direction.
    """
    while True:
        s0, s1, x, power = _michel(s0, s1, masses[0])
        s0, s1, ux, uy, uz = direction(s0, s1)
        s0, s1, xx, power2 = _michel(s0, s1, masses[1])
        s0, s1, vx, vy, vz = direction(s0, s1)
        correlation = -power * power2 * spin_correlation((ux, uy, uz), (vx, vy, vz), axis, tau, beta2)
        s0, s1, u = uniform(s0, s1)
        if 2.0 * u < 1.0 + correlation:
            break
    e1 = 0.5 * x * (M_TAU + masses[0] * masses[0] / M_TAU)
    e2 = 0.5 * xx * (M_TAU + masses[1] * masses[1] / M_TAU)
    p1 = math.sqrt(max(0.0, e1 * e1 - masses[0] * masses[0]))
    p2 = math.sqrt(max(0.0, e2 * e2 - masses[1] * masses[1]))
    return s0, s1, (e1, p1 * ux, p1 * uy, p1 * uz), (e2, p2 * vx, p2 * vy, p2 * vz)
