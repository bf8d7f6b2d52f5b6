"""e+e- -> tau+ tau- phi, phi -> e+e- or mu+mu-: a light scalar that couples to leptons in proportion to their masses.

Use :func:`generate_tautau_phi` for events and :func:`cross_section` for the rate, both at xi = 1 (they go with xi^2), and
:func:`share_inside` for how many scalars decay before a transverse radius: below the muon threshold they live for
centimetres. The scalar leaves the taus (:mod:`.lepton_pair_x`, tree level with masses behind photons off the beams), decays
isotropically and may fly; the taus decay to anything.

Not included: the scalar off the beams (5e-6 of the rate at 6 GeV, less below), interference of equal leptons in phi ->
tau tau, photons off taus and daughters. The spins of the taus are correlated as those of a scalar's (emission turns the
helicity of one of a pair with opposite ones): exact for a hard scalar and light taus; with no correlation at all the share of
events in acceptance is the same to 3 %.

Source: Batell et al., Phys. Rev. D 95 (2017) 075003 (model: coupling xi m_l / v).
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np

from belle2dark.constants import HIGGS_VEV, M_ELECTRON, M_MUON, M_TAU
from belle2dark.simulation import lepton_pair_x_rate
from belle2dark.simulation.amplitudes.couplings import LeptonCoupling
from belle2dark.simulation.beams import Beams
from belle2dark.simulation.decays.chain import decay_two_body, fly
from belle2dark.simulation.decays.tau import decay_taus
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.lepton_pair_x import generate_lepton_pair_x
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import nearest

#: what the scalar decays to here
DECAYS = {"e": M_ELECTRON, "mu": M_MUON}
#: coupling to the taus at xi = 1
COUPLING = LeptonCoupling(scalar=M_TAU / HIGGS_VEV)
#: photons kept of an event: those of the beams and of four pi0
_PHOTONS = 12
#: events behind the flight distances, always with the same random numbers: smooth in mass and lifetime
_FLIGHTS, _FLIGHT_KEY = 8192, 7


def generate_tautau_phi(
    n: int, key: int, beams: Beams, *, mass: float, decay: str, isr: bool = True, ctau_cm: float = 0.0, alpha: str = "physical"
) -> Events:
    """n weighted events of e+e- -> tau+ tau- phi (n gamma) at xi = 1 with phi -> l- l+, in the lab [GeV].

    ``mass`` of phi [GeV]; ``decay`` is "e" or "mu" and names the slots (``mu-``, ``mu+``), which start at the end of phi's
    flight with ``ctau_cm`` [cm]; the others are those of ``decays.tau.decay_taus`` (``prong_1`` .. ``prong_6``,
    ``gamma_1`` ...). ``isr`` switches photons off the beams, ``alpha`` names the fine-structure constant. Weights [fb] add
    up to the cross-section, without phi's branching fraction and without the 0.6 % of tau pairs whose decays are not made.
    Raises ``ValueError`` for impossible values and closed kinematics.
    """
    lepton = _checked(mass, decay, ctau_cm)
    events = generate_lepton_pair_x(n, key, beams, mass=mass, coupling=COUPLING, leptons=("tau", "tau"), isr=isr, alpha=alpha)
    momenta = dict(events.momenta_lab)
    phi = momenta.pop("x")
    minus, plus = decay_two_body(phi, lepton, lepton, make_key(key, "phi"))
    momenta |= {f"{decay}-": minus, f"{decay}+": plus}
    where = fly(phi, None, ctau_cm, make_key(key, "phi flight")) if ctau_cm > 0.0 else None
    vertices = {} if where is None else {f"{decay}-": where, f"{decay}+": where}
    made = replace(events, momenta_lab=momenta, vertices_cm=vertices)
    return decay_taus(made, key, parent="scalar", photons=_PHOTONS)


def _checked(mass: float, decay: str, ctau_cm: float) -> float:
    """The mass of the leptons [GeV]."""
    if decay not in DECAYS:
        raise ValueError(f"decay = {decay!r}: must be one of {', '.join(DECAYS)}; nearest: {nearest(decay, DECAYS)}")
    if not (math.isfinite(mass) and mass > 2.0 * DECAYS[decay]):
        raise ValueError(f"mass = {mass} GeV: must be above {2.0 * DECAYS[decay]:.4g} GeV for the decay to {decay}")
    if not (math.isfinite(ctau_cm) and ctau_cm >= 0.0):
        raise ValueError(f"ctau_cm = {ctau_cm} cm: must not be negative")
    return DECAYS[decay]


def cross_section(mass: float, sqrt_s: float, *, isr: bool = True, alpha: str = "physical") -> float:
    """Cross-section [fb] of e+e- -> tau+ tau- phi at xi = 1 for phi of ``mass`` [GeV] at ``sqrt_s`` [GeV]; 0 where closed."""
    return lepton_pair_x_rate.cross_section(mass, COUPLING, sqrt_s, leptons=("tau", "tau"), isr=isr, alpha=alpha)


@cache
def _flights(mass: float, beams: Beams) -> tuple[Array, Array]:
    """Transverse flight per c tau (n,), that is pT/m in the lab, and the share of the cross-section of each, (n,)."""
    events = generate_lepton_pair_x(_FLIGHTS, _FLIGHT_KEY, beams, mass=mass, coupling=COUPLING, leptons=("tau", "tau"))
    phi = events.momenta_lab["x"]
    return np.hypot(phi[:, 1], phi[:, 2]) / mass, events.weights / events.weights.sum()


def share_inside(radius_cm: float, mass: float, ctau_cm: float, beams: Beams) -> float:
    """Share of the scalars of ``mass`` [GeV] that decay before the transverse radius ``radius_cm`` [cm] at c tau [cm].

    With initial-state radiation; the first call at a mass takes 10 ms, the next ones 0.1 ms. Raises ``ValueError`` for a
    radius or lifetime that is not positive (1 for a lifetime of 0) and for closed kinematics.
    """
    if not (math.isfinite(radius_cm) and radius_cm > 0.0):
        raise ValueError(f"radius_cm = {radius_cm} cm: must be positive")
    if not ctau_cm >= 0.0:
        raise ValueError(f"ctau_cm = {ctau_cm} cm: must not be negative")
    if ctau_cm == 0.0:
        return 1.0
    reach, share = _flights(mass, beams)
    return float(share @ -np.expm1(-radius_cm / np.maximum(reach * ctau_cm, 1e-300)))
