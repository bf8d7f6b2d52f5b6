"""Upsilon(2S) -> pi+ pi- Upsilon(1S), Upsilon(1S) -> gamma A0 -> gamma l+ l-: a light CP-odd Higgs behind a dipion tag.

The dipion mass follows |q^2 - lambda m_pi^2|^2 times phase space, the dipion is an S wave, and the Upsilon(1S) keeps the
transverse polarisation of the Upsilon(2S), so that the photon is 1 + cos^2 about the beam. The Upsilon(2S) is much
narrower than the beam-energy spread: every event has its mass. Not included: initial- and final-state radiation, the
small D wave of the dipion, and the decay of taus (chain them with :mod:`.tau`).

Source: Voloshin and Zakharov, Phys. Rev. Lett. 45 (1980) 688 (dipion amplitude); Wilczek, Phys. Rev. Lett. 39 (1977) 1304
(photon angle of a pseudoscalar, as for any spin 0).
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from belle2dark.constants import M_ELECTRON, M_MUON, M_PION, M_TAU, M_UPSILON_1S, M_UPSILON_2S
from belle2dark.simulation.beams import Beams
from belle2dark.simulation.decays.chain import decay_two_body, draw, two_body_momentum
from belle2dark.simulation.decays.mesons import collisions
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import load_numbers, nearest

LEPTONS = MappingProxyType({"ee": ("e", M_ELECTRON), "mumu": ("mu", M_MUON), "tautau": ("tau", M_TAU)})
#: alignment of 1 + cos^2 in :func:`.chain.decay_two_body`
_TRANSVERSE = 0.25


def upsilon_2s_cross_section() -> float:
    """Effective cross-section [fb] of e+e- -> Upsilon(2S) with the energy spread of KEKB: decays over luminosity."""
    numbers = load_numbers("mesons")
    return float(numbers["upsilon_2s_number"]) / float(numbers["upsilon_2s_luminosity"])


def dipion_density(q: Array) -> Array:
    """Density of the dipion mass ``q`` [GeV] in Upsilon(2S) -> pi pi Upsilon(1S), not normalised, 0 outside."""
    q = np.asarray(q, dtype=np.float64)
    amplitude = q**2 - float(load_numbers("mesons")["dipion_lambda"]) * M_PION**2
    return amplitude**2 * two_body_momentum(M_UPSILON_2S, M_UPSILON_1S, q) * two_body_momentum(q, M_PION, M_PION)


def _dipion(n: int, key: int, beams: Beams) -> tuple[Array, Array, Array, Array, Array]:
    """Both pions, the Upsilon(1S), the electrons (n, 4) in the lab [GeV] and the weights (n,) [fb]."""
    total, electron = collisions(n, key, beams, fixed=M_UPSILON_2S)
    low, high = 2.0 * M_PION, M_UPSILON_2S - M_UPSILON_1S
    q = low + (high - low) * np.sin(np.linspace(0.0, 0.5 * np.pi, 2001)) ** 2
    mass = np.minimum(draw(n, make_key(key, "dipion mass"), q, dipion_density(q)), high)
    dipion, upsilon = decay_two_body(total, mass, M_UPSILON_1S, make_key(key, "dipion"))
    minus, plus = decay_two_body(dipion, M_PION, M_PION, make_key(key, "pions"))
    rate = upsilon_2s_cross_section() * float(load_numbers("mesons")["upsilon_2s_to_pipi_upsilon_1s"])
    return minus, plus, upsilon, electron, np.full(n, rate / n)


def _lepton(name: str) -> tuple[str, float]:
    if name not in LEPTONS:
        raise ValueError(f"final_state = {name!r}: not one of {', '.join(LEPTONS)}; nearest: {nearest(name, LEPTONS)}")
    return LEPTONS[name]


def generate_cp_odd_higgs(n: int, key: int, beams: Beams, m_a0: float, *, final_state: str = "mumu") -> Events:
    """n events of Upsilon(2S) -> pi+ pi- Upsilon(1S), Upsilon(1S) -> gamma A0, A0 -> l+ l-, prompt.

    Slots "pi-", "pi+", "gamma" and the leptons ("mu-", "mu+" or "tau-", "tau+" or "e-", "e+") in the lab; ``m_a0`` in
    GeV; ``beams`` at the Upsilon(2S), e.g. ``collider_beams("kekb", "2s")``. Weights [fb] add up to
    sigma(Upsilon(2S)) B(pi+ pi- Upsilon(1S)): multiply with B(gamma A0) B(l l). Raises ``ValueError`` for closed
    kinematics or an unknown final state.
    """
    lepton, m = _lepton(final_state)
    if not 2.0 * m < m_a0 < M_UPSILON_1S:
        raise ValueError(f"m_a0 = {m_a0} GeV: closed; allowed {2.0 * m:.4g} to {M_UPSILON_1S} GeV")
    pi_minus, pi_plus, upsilon, electron, weights = _dipion(n, key, beams)
    photon, a0 = decay_two_body(upsilon, 0.0, m_a0, make_key(key, "photon"), alignment=_TRANSVERSE, about=electron)
    minus, plus = decay_two_body(a0, m, m, make_key(key, "leptons"))
    slots = {"pi-": pi_minus, "pi+": pi_plus, "gamma": photon, f"{lepton}-": minus, f"{lepton}+": plus}
    return Events(momenta_lab=slots, weights=weights)


def generate_dipion_leptons(n: int, key: int, beams: Beams, *, final_state: str = "mumu") -> Events:
    """n events of Upsilon(2S) -> pi+ pi- Upsilon(1S), Upsilon(1S) -> l+ l- without photon: control sample and background.

    Slots and weights as :func:`generate_cp_odd_higgs`, B(Upsilon(1S) -> l l) included. The leptons follow 1 + cos^2 with
    the mass term of the taus. Raises ``ValueError`` for an unknown final state.
    """
    lepton, m = _lepton(final_state)
    pi_minus, pi_plus, upsilon, electron, weights = _dipion(n, key, beams)
    # (2 - beta^2) + beta^2 cos^2 as 1 + a (3 cos^2 - 1)
    beta2 = 1.0 - 4.0 * m * m / M_UPSILON_1S**2
    minus, plus = decay_two_body(upsilon, m, m, make_key(key, "leptons"), alignment=beta2 / (6.0 - 2.0 * beta2), about=electron)
    slots = {"pi-": pi_minus, "pi+": pi_plus, f"{lepton}-": minus, f"{lepton}+": plus}
    return Events(momenta_lab=slots, weights=weights * float(load_numbers("mesons")["upsilon_1s_to_leptons"]))


def dipion_recoil_mass(pi_minus: Array, pi_plus: Array, beams: Beams) -> Array:
    """Mass (n,) [GeV] recoiling against two pions (n, 4) in the lab, with the nominal beams scaled to the Upsilon(2S)."""
    recoil = beams.nominal * (M_UPSILON_2S / beams.sqrt_s) - pi_minus - pi_plus
    return np.sqrt(np.maximum(recoil[:, 0] ** 2 - np.sum(recoil[:, 1:] ** 2, axis=1), 0.0))
