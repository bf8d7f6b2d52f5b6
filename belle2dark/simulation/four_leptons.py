"""e+e- -> 4 mu and mu mu tau tau: the irreducible background of X -> l l, and that signal with the spins of everything.

Tree-level amplitudes of :mod:`.amplitudes.four_leptons` on the phase space of :mod:`.four_lepton_channels`, with initial-state
photons of :mod:`.isr` (the amplitude at the reduced energy, about the axis of the beams seen from there). Weighted events,
normalised by the amplitude itself. Taus are not decayed; photons off the leptons are for :func:`.radiation.radiate_final`.
Not included: vacuum polarisation and rho, omega, phi, psi, Upsilon in the pairs, electron pairs (:mod:`.two_photon`), Z.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math

import numba
import numpy as np

from belle2dark._jit import jit
from belle2dark.constants import ALPHA, GEV2_FB, M_MUON, M_TAU
from belle2dark.simulation.amplitudes.four_leptons import PHOTON, Boson, model, squared, workspace
from belle2dark.simulation.beams import Beams, cms_to_lab, event_frame
from belle2dark.simulation.events import Events
from belle2dark.simulation.four_lepton_channels import WIDTHS, Process, density, draw
from belle2dark.simulation.isr import COLUMNS, MAX_PHOTONS, beam_axis, radiate, radiation, recoil, virtual_factor
from belle2dark.simulation.kinematics import boost, to_axis
from belle2dark.simulation.pair import check_request, write_photons
from belle2dark.simulation.rng import BLOCK, seed_block
from belle2dark.sourced import nearest

#: fractions of events made with 0, 1, 2, 3 hard initial-state photons
SHARES = (0.55, 0.30, 0.12, 0.03)
SLOTS = 4
_MASSES = {"mu": M_MUON, "tau": M_TAU}
#: fractions of events from the channels: b off a, a off b, both off the beams with the mass of a first, of b first, a soft,
#: b soft. Choices of statistics, not physics: near the smallest variance of the weights.
_FOUR_MUONS = (0.16, 0.16, 0.4, 0.0, 0.14, 0.14)
_MUMUTAUTAU = (0.2, 0.3, 0.3, 0.0, 0.1, 0.1)
_OFF_LEPTONS, _OFF_BOTH = (0.5, 0.5, 0.0, 0.0, 0.0, 0.0), (0.25, 0.25, 0.25, 0.25, 0.0, 0.0)
#: a resonance narrower than this fraction of its mass is made this wide and its rate corrected: rounding would smear it
_NARROWEST = 1e-6


def generate_four_muons(n: int, key: int, beams: Beams, *, isr: bool = True, alpha: str = "thomson") -> Events:
    """n weighted events of e+e- -> mu+ mu- mu+ mu-: mu-_1, mu+_1, mu-_2, mu+_2, gamma_1 .. gamma_4 in the lab [GeV].

    Weights [fb] add up to the cross-section with the fine-structure constant of the name ``alpha``; ``isr`` switches
    initial-state radiation. The order of equal leptons means nothing. Raises ``ValueError`` for n < 1, a key outside 64
    bits, an unknown ``alpha`` or beams below threshold.
    """
    return _generate(n, key, beams, ("mu", "mu"), PHOTON, _FOUR_MUONS, isr, alpha)


def generate_mumutautau(n: int, key: int, beams: Beams, *, isr: bool = True, alpha: str = "thomson") -> Events:
    """n weighted events of e+e- -> mu+ mu- tau+ tau-: mu-, mu+, tau-, tau+, gamma_1 .. gamma_4, as four muons otherwise."""
    return _generate(n, key, beams, ("mu", "tau"), PHOTON, _MUMUTAUTAU, isr, alpha)


def generate_resonant_four_leptons(
    n: int, key: int, beams: Beams, boson: Boson, leptons: tuple[str, str] = ("mu", "mu"), *, isr: bool = True,
    alpha: str = "thomson",
) -> Events:  # fmt: skip
    """n weighted events of e+e- -> l- l+ X, X -> l'- l'+ and of X off l' to l- l+, for two of "mu", "tau" (or one twice).

    ``boson`` from :func:`.vector_boson` or :func:`.scalar_boson` must have a width; weights [fb] then add up to cross-section
    times branching fraction for X within 300 widths of its mass. No interference with QED. Slots as in
    :func:`generate_four_muons`, numbered if there are two pairs of one kind. Raises ``ValueError`` for unknown leptons, a
    boson without width or one that cannot be on its mass shell.
    """
    for lepton in leptons:
        if lepton not in _MASSES:
            raise ValueError(f"lepton {lepton!r}: must be mu or tau; nearest: {nearest(lepton, _MASSES)}")
    lightest = 2.0 * min(_MASSES[lepton] for lepton in leptons)
    heaviest = beams.sqrt_s - 2.0 * min(_MASSES[leptons[0]], _MASSES[leptons[1]])
    if not lightest < boson.mass < heaviest:
        raise ValueError(f"mass = {boson.mass} GeV: must lie between {lightest:g} and {heaviest:g} GeV")
    if boson.width <= 0.0:
        raise ValueError(f"width = {boson.width} GeV: must be positive, the branching fraction depends on it")
    if leptons[0] == leptons[1] and boson.first != boson.second:
        raise ValueError("couplings: first and second must be the same for two pairs of one lepton")
    wide = boson._replace(width=max(boson.width, _NARROWEST * boson.mass))
    opened = [boson.mass > 2.0 * _MASSES[lepton] for lepton in leptons]
    shares = tuple(
        share * opened[1 - channel % 2] for channel, share in enumerate(_OFF_BOTH if any(boson.electron) else _OFF_LEPTONS)
    )
    return _generate(n, key, beams, leptons, wide, shares, isr, alpha, wide.width / boson.width)


def _process(leptons: tuple[str, str], boson: Boson, shares: tuple[float, ...], alpha: float = ALPHA["thomson"]) -> Process:
    """The kernel's view of two pairs of ``leptons`` and the boson between them."""
    masses = np.array([_MASSES[lepton] for lepton in leptons])
    threshold = 2.0 * float(masses.sum())
    if boson.mass > 0.0:
        lowest = math.sqrt(max(0.0, boson.mass * (boson.mass - 2.0 * WIDTHS * boson.width)))
        beside = [2.0 * float(masses[channel % 2]) for channel, share in enumerate(shares) if share > 0.0]
        threshold = max(threshold, lowest + min(beside))
    table, share = model((boson,), alpha), np.array(shares) / sum(shares)
    return Process(masses, leptons[0] == leptons[1], table, share, boson.mass, boson.width, threshold)


def _generate(
    n: int, key: int, beams: Beams, leptons: tuple[str, str], boson: Boson, shares: tuple[float, ...], isr: bool, alpha: str,
    scale: float = 1.0,
) -> Events:  # fmt: skip
    check_request(n, key)
    if alpha not in ALPHA:
        raise ValueError(f"alpha = {alpha!r}: must be one of {', '.join(ALPHA)}; nearest: {nearest(alpha, ALPHA)}")
    process = _process(leptons, boson, shares, ALPHA[alpha])
    if process.threshold >= beams.sqrt_s:
        raise ValueError(f"beams: sqrt(s) = {beams.sqrt_s:g} GeV is below the threshold of {process.threshold:g} GeV")
    x_hard = min(0.01, 0.1 * (1.0 - (process.threshold / beams.sqrt_s) ** 2))
    rad = radiation(beams.sqrt_s, process.threshold, SHARES, x_soft=0.01 * x_hard, x_hard=x_hard)
    out, weights = np.zeros((4 + SLOTS, n, 4)), np.empty(n)
    _kernel(np.uint64(key), n, beams.kernel, rad, isr, process, out, weights)
    couplings = (4.0 * math.pi * ALPHA[alpha]) ** 4 * GEV2_FB * (0.25 if process.identical else 1.0)
    weights *= couplings * scale * (virtual_factor(beams.sqrt_s) if isr else 1.0) / n
    numbers = ("_1", "_2") if process.identical else ("", "")
    names = [lepton + charge + number for lepton, number in zip(leptons, numbers, strict=True) for charge in "-+"]
    names += [f"gamma_{i}" for i in range(1, SLOTS + 1)]
    return Events(momenta_lab=dict(zip(names, out, strict=True)), weights=weights)


@jit(parallel=True)
def _kernel(key, n, beam, rad, isr, process, out, weights):
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        _block(key, np.int64(block), n, beam, rad, isr, process, out, weights)


@jit()
def _block(key, block, n, beam, rad, isr, process, out, weights):
    s0, s1 = seed_block(key, block)
    photons, leptons, work = np.zeros((MAX_PHOTONS + 1, COLUMNS)), np.empty((4, 4)), workspace()
    threshold = process.threshold**2 * (1.0 + 1e-6)
    for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
        s0, s1, frame = event_frame(beam, s0, s1)
        k, weight, r1, r2 = 0, 1.0, 1.0, 1.0
        if isr:
            s0, s1, k, weight, r1, r2 = radiate(s0, s1, rad, frame[0], photons)
        e, x, y, z, s_prime = recoil(photons, k, frame[0])
        if s_prime <= threshold or weight <= 0.0:
            e, x, y, z, s_prime, weight, k, r1, r2 = frame[0], 0.0, 0.0, 0.0, frame[0] ** 2, 0.0, 0, 1.0, 1.0
        energy = math.sqrt(s_prime)
        s0, s1, made = draw(s0, s1, energy, process, leptons)
        if not made:
            weight = 0.0
        if weight > 0.0:
            weight *= squared(leptons, process.masses, process.identical, process.bosons, work)
            weight /= 2.0 * s_prime * density(leptons, energy, process)
        s0, s1, ax, ay, az = beam_axis(s0, s1, e, x, y, z, energy, frame[0], r1, r2)
        for j in range(4):
            a, b, c = to_axis(ax, ay, az, leptons[j, 1], leptons[j, 2], leptons[j, 3])
            d, a, b, c = boost(leptons[j, 0], a, b, c, e, x, y, z, energy)
            out[j, i, 0], out[j, i, 1], out[j, i, 2], out[j, i, 3] = cms_to_lab(frame, d, a, b, c)
        weights[i] = weight
        write_photons(photons, k, frame, out, 4, i)
