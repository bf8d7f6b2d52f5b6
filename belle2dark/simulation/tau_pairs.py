"""e+e- -> tau+ tau- with initial-state photons and the full spin correlation of the pair (longitudinal and transverse).

Use :func:`generate_tau_pairs` for any decays; :func:`generate_tautau` and :func:`generate_tau_leptons` make a charged
lepton on both sides, with their own random numbers and only the slots that the two-lepton templates need. Photons
off the taus and their daughters (FSR) are an option of the first and not in the others. Not included: weak bosons.

Source: spin-1 pair state derived here in the non-covariant form (tensor of the beams, T = 1 across and 1/gamma along the
tau direction), see ``decays.tau_spin``.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math

import numba
import numpy as np

from belle2dark._jit import jit
from belle2dark.constants import M_ELECTRON, M_MUON, M_TAU
from belle2dark.simulation.beams import Beams, cms_to_lab
from belle2dark.simulation.decays.tau import decay_taus, hardest_photons
from belle2dark.simulation.decays.tau_modes import Alpha
from belle2dark.simulation.decays.tau_slots import PRONGS
from belle2dark.simulation.decays.tau_spin import michel, spin_correlation
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.isr import COLUMNS, MAX_PHOTONS
from belle2dark.simulation.kinematics import around, boost
from belle2dark.simulation.pair import check_request, one_plus_cos2, pair_settings, radiated_pair, write_photons
from belle2dark.simulation.radiation import radiate_final
from belle2dark.simulation.rng import BLOCK, direction, seed_block, uniform
from belle2dark.sourced import load_numbers

#: fractions of events made with 0, 1, 2, 3 hard initial-state photons
SHARES = (0.55, 0.30, 0.12, 0.03)
SLOTS = 4
_ALPHA = Alpha()
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


def generate_tau_pairs(
    n: int,
    key: int,
    beams: Beams,
    minus: str | tuple[str, ...] = "all",
    plus: str | tuple[str, ...] = "all",
    *,
    alpha: Alpha = _ALPHA,
    photons: int = 8,
    final_photons: bool = False,
) -> Events:
    """n weighted events of e+e- -> tau+ tau- (n gamma), the taus decayed by any modes with their spins correlated.

    ``minus`` and ``plus`` are names, groups or tuples of modes of the tau- and the tau+ ("mu", "rho", "1prong", "all",
    "mu_alpha" with ``alpha``, ...; see ``decays.tau_modes``); slots as in ``decays.tau.decay_taus``. Weights [fb] add up to
    the tau-pair cross-section times the branching fractions of the chosen modes (1 for l alpha). ``final_photons`` adds
    photons off the taus and off their charged daughters (``radiation.radiate_final``; for daughters recoiling against the
    neutrinos), which roughly doubles the time. Raises ``ValueError`` for n < 1, a key outside 64 bits, an unknown or
    closed mode.
    """
    events, axis = _pairs(n, key, beams)
    if not final_photons:
        return decay_taus(events, key, minus, plus, parent="vector", axis_lab=axis, alpha=alpha, photons=photons)
    events = radiate_final(events, key, ("tau-", "tau+"), parent="vector")
    axis = _across(axis, events.momenta_lab["tau-"] + events.momenta_lab["tau+"])
    events = decay_taus(events, key, minus, plus, parent="vector", axis_lab=axis, alpha=alpha, photons=photons)
    for first, nu in ((1, "nu_1"), (PRONGS + 1, "nu_2")):
        system = (*(f"prong_{i}" for i in range(first, first + PRONGS)), nu)
        events = radiate_final(events, key ^ first, system)
    return hardest_photons(events, photons)


def _across(axis: Array, pair: Array) -> Array:
    """The unit four-vectors ``axis`` (n, 4) made orthogonal to momenta ``pair`` (n, 4) that a photon has changed."""
    metric = np.array([1.0, -1.0, -1.0, -1.0])
    out = axis - pair * ((axis * pair) @ metric / ((pair * pair) @ metric))[:, None]
    return np.asarray(out / np.sqrt(-((out * out) @ metric))[:, None])


def generate_taus(n: int, key: int, beams: Beams) -> Events:
    """The same before the decays: tau-, tau+, gamma_1 .. gamma_4 in the lab [GeV], weights [fb] add up to the cross-section.

    Photons after the fourth, soft ones, are dropped from the record here and in :func:`generate_tau_pairs`.
    """
    return _pairs(n, key, beams)[0]


def _pairs(n: int, key: int, beams: Beams) -> tuple[Events, Array]:
    """Undecayed pairs, and the axis of the virtual photon's spin (n, 4) as ``decay_taus`` takes it."""
    check_request(n, key)
    numbers = load_numbers("backgrounds")
    out, weights = np.zeros((3 + SLOTS, n, 4)), np.empty(n)
    _undecayed(np.uint64(key), n, beams.kernel, *pair_settings(M_TAU, beams.sqrt_s, SHARES), out, weights)
    scale = float(numbers["tautau_cross_section"]) / float(numbers["tautau_generated"])
    weights *= scale / n
    momenta = {"tau-": out[0], "tau+": out[1]} | {f"gamma_{i + 1}": out[3 + i] for i in range(SLOTS)}
    return Events(momenta_lab=momenta, weights=weights), out[2]


def generate_unnormalised(
    n: int, key: int, beams: Beams, names: tuple[str, str], masses: tuple[float, float], scale: float = 1.0
) -> Events:
    """The same with the rate as calculated times ``scale``, no branching fraction."""
    out, weights = np.zeros((2 + SLOTS, n, 4)), np.empty(n)
    _kernel(np.uint64(key), n, beams.kernel, *pair_settings(M_TAU, beams.sqrt_s, SHARES), masses, out, weights)
    weights *= scale / n
    slots = tuple(f"gamma_{i}" for i in range(1, SLOTS + 1))
    return Events(momenta_lab=dict(zip((*names, *slots), out, strict=True)), weights=weights)


@jit()
def _produce(s0, s1, beam, rad, rate, photons):
    """One pair with its photons: (s0, s1, frame, number of photons, weight [fb], CMS momentum and mass of the pair, axis,
    tau-, beta^2).

    ``axis`` and the direction of the tau- are unit vectors in the rest frame of the pair.
    """
    s0, s1, frame, k, weight, pair, axis = radiated_pair(s0, s1, beam, rad, rate, photons)
    beta2 = 1.0 - 4.0 * M_TAU * M_TAU / (pair[4] * pair[4])
    s0, s1, cosine = one_plus_cos2(s0, s1, beta2)
    s0, s1, u = uniform(s0, s1)
    tau = around(axis[0], axis[1], axis[2], cosine, 2.0 * math.pi * u)
    return s0, s1, frame, k, weight, pair, axis, tau, beta2


@jit(parallel=True)
def _kernel(key, n, beam, rad, rate, masses, out, weights):
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        _block(key, block, n, beam, rad, rate, masses, out, weights)


@jit()
def _block(key, block, n, beam, rad, rate, masses, out, weights):
    s0, s1 = seed_block(key, block)
    photons = np.zeros((MAX_PHOTONS + 1, COLUMNS))
    for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
        s0, s1, frame, k, weights[i], pair, axis, tau, beta2 = _produce(s0, s1, beam, rad, rate, photons)
        mass = pair[4]
        s0, s1, minus, plus = _decays(s0, s1, axis, tau, beta2, masses)
        p = 0.5 * mass * math.sqrt(beta2)
        for j in range(2):
            sign, decay = (1.0, minus) if j == 0 else (-1.0, plus)
            a, b, c, d = boost(*decay, 0.5 * mass, sign * p * tau[0], sign * p * tau[1], sign * p * tau[2], M_TAU)
            out[j, i, :] = cms_to_lab(frame, *boost(a, b, c, d, *pair))
        write_photons(photons, k, frame, out, 2, i)


@jit(parallel=True)
def _undecayed(key, n, beam, rad, rate, out, weights):
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        _undecayed_block(key, block, n, beam, rad, rate, out, weights)


@jit()
def _undecayed_block(key, block, n, beam, rad, rate, out, weights):
    """Rows of ``out``: tau-, tau+, the axis of the virtual photon's spin, photons; all in the lab."""
    s0, s1 = seed_block(key, block)
    photons = np.zeros((MAX_PHOTONS + 1, COLUMNS))
    for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
        s0, s1, frame, k, weights[i], pair, axis, tau, beta2 = _produce(s0, s1, beam, rad, rate, photons)
        energy = 0.5 * pair[4]
        p = energy * math.sqrt(beta2)
        out[0, i, :] = cms_to_lab(frame, *boost(energy, p * tau[0], p * tau[1], p * tau[2], *pair))
        out[1, i, :] = cms_to_lab(frame, *boost(energy, -p * tau[0], -p * tau[1], -p * tau[2], *pair))
        out[2, i, :] = cms_to_lab(frame, *boost(0.0, axis[0], axis[1], axis[2], *pair))
        write_photons(photons, k, frame, out, 3, i)


@jit(inline=True)
def _decays(s0, s1, axis, tau, beta2, masses):
    """Both leptons in the rest frames of their taus, spin correlated: (s0, s1, (E, px, py, pz) of l-, of l+) [GeV].

    The polarimeter is minus the analysing power along the l- direction, plus along the l+ direction.
    """
    while True:
        s0, s1, x, power = michel(s0, s1, masses[0])
        s0, s1, ux, uy, uz = direction(s0, s1)
        s0, s1, xx, power2 = michel(s0, s1, masses[1])
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
