"""e+e- -> gamma V, V -> e+ e- or mu+ mu-: a narrow vector boson seen as a peak in the mass of a lepton pair beside a photon.

Production is :func:`.gamma_x.generate_gamma_x` (dark photon: coupled to electrons like a photon, times epsilon). The pair has
the spin of V in it: for one photon the density of the decay angle is that of e+e- -> gamma l+ l- off the beams with lepton
masses, exactly; with further photons the beams are taken as they are after those. Leptons radiate. V may live: its decay point
is then where both leptons start.

Not included: the width of V (below 1e-5 of its mass where this search looks), interference with the continuum, photons that
connect beams and leptons. The weights carry no branching fraction: multiply with that of the model.

Source: decay angle as in Kleiss, Nucl. Phys. B 241 (1984) 61, with the mass terms of a vector current.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from belle2dark.constants import ALPHA, CTAU_KSHORT, M_ELECTRON, M_KSHORT, M_MUON, M_PHI, M_PION
from belle2dark.simulation.beams import Beams
from belle2dark.simulation.decays.chain import decay_two_body, fly, uniforms
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.gamma_x import generate_gamma_x
from belle2dark.simulation.radiation import radiate_final
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import load_numbers, nearest

#: mass [GeV] and slots by lepton
LEPTONS = {"e": (M_ELECTRON, ("e-", "e+")), "mu": (M_MUON, ("mu-", "mu+"))}


def generate_gamma_dilepton(n: int, key: int, beams: Beams, *, mass: float, lepton: str, coupling: float | None = None,
                            isr: bool = True, fsr: bool | None = None, ctau_cm: float = 0.0) -> Events:  # fmt: skip
    """n weighted events of e+e- -> gamma V (n gamma), V -> l+ l-: l-, l+, gamma_1 .. in the lab [GeV], weights [fb].

    ``mass`` [GeV] is that of V, ``lepton`` "e" or "mu", ``coupling`` epsilon (default 1e-3); weights add up to the cross-section
    of gamma V. ``isr`` and ``fsr`` (None: as ``isr``) switch photons off beams and leptons; with ``ctau_cm`` [cm] above 0 the
    leptons start where V decays. Raises ``ValueError`` for an unknown lepton, a mass at or below the pair's threshold, a
    negative c tau, and as :func:`.generate_gamma_x`.
    """
    if lepton not in LEPTONS:
        raise ValueError(f"lepton = {lepton!r}: must be one of {', '.join(LEPTONS)}; nearest: {nearest(lepton, LEPTONS)}")
    m, (minus, plus) = LEPTONS[lepton]
    if mass <= 2.0 * m:
        raise ValueError(f"mass = {mass} GeV: must be above {2.0 * m:.6g} GeV for the decay to two leptons")
    if not 0.0 <= ctau_cm < np.inf:
        raise ValueError(f"ctau_cm = {ctau_cm} cm: must not be negative, and finite")
    made = generate_gamma_x(n, key, beams, mass, "dark_photon", coupling, isr)
    parent = made.momenta_lab["x"]
    about, seed = production_axis(made, beams, key), make_key(key, "pair")
    first, second = decay_two_body(parent, m, m, seed, alignment=_alignment(mass, m), about=about)
    momenta = {minus: first, plus: second} | {name: made.momenta_lab[name] for name in made.photons}
    vertices = {}
    if ctau_cm > 0.0:
        where = fly(parent, None, ctau_cm, make_key(key, "flight"))
        vertices = {minus: where, plus: where}
    events = replace(made, momenta_lab=momenta, vertices_cm=vertices)
    return radiate_final(events, seed, (minus, plus), parent="vector") if (isr if fsr is None else fsr) else events


def generate_gamma_kshort(n: int, key: int, beams: Beams) -> Events:
    """n weighted events of e+e- -> gamma phi, phi -> K_S K_L, K_S -> pi+ pi-: pi-, pi+ with their decay point, K_L0, photons.

    The narrow phi is made like a dark photon of its mass and electron width; weights [fb] add up to cross-section times both
    branching fractions. What a displaced pair beside a photon is in the Standard Model, but for the K_L that carries half
    of the energy. Raises ``ValueError`` as :func:`.generate_gamma_x`.
    """
    numbers = load_numbers("displaced_pair")
    epsilon = math.sqrt(3.0 * float(numbers["phi_electron_width"]) / (ALPHA["thomson"] * M_PHI))
    made = generate_gamma_x(n, key, beams, M_PHI, "dark_photon", epsilon)
    phi = made.momenta_lab["x"]
    # a vector to two spinless particles: 1 - cos^2 about the beam that it is made about
    about = production_axis(made, beams, key)
    kshort, klong = decay_two_body(phi, M_KSHORT, M_KSHORT, make_key(key, "pair"), alignment=-0.5, about=about)
    where = fly(kshort, None, CTAU_KSHORT, make_key(key, "flight"))
    minus, plus = decay_two_body(kshort, M_PION, M_PION, make_key(key, "pions"))
    share = float(numbers["phi_to_kshort_klong"]) * float(load_numbers("mesons")["kshort_to_piplus_piminus"])
    momenta = {"pi-": minus, "pi+": plus, "K_L0": klong} | {name: made.momenta_lab[name] for name in made.photons}
    return Events(momenta_lab=momenta, weights=share * made.weights, vertices_cm={"pi-": where, "pi+": where})


def _alignment(mass: float, m: float) -> float:
    """Alignment, as ``decay_two_body`` takes it, of the angle 2 - beta^2 + beta^2 cos^2 of a vector to leptons of mass ``m``."""
    beta2 = 1.0 - (2.0 * m / mass) ** 2
    ratio = beta2 / (2.0 - beta2)
    return ratio / (3.0 + ratio)


def production_axis(made: Events, beams: Beams, key: int) -> Array:
    """Four-momenta ``(n, 4)`` of the beam about which each V decays: either one, with its squared energy at rest of V.

    A photon besides ``gamma_1`` is taken off the beam that it is closer to.
    """
    electron, positron = (np.tile(beam, (len(made), 1)) for beam in (beams.electron, beams.positron))
    for name in made.photons[1:]:
        photon = made.momenta_lab[name]
        closer = (_dot(photon, beams.electron) < _dot(photon, beams.positron))[:, None]  # as in the centre of mass
        electron, positron = electron - np.where(closer, photon, 0.0), positron - np.where(closer, 0.0, photon)
    parent = made.momenta_lab["x"]
    first, second = _dot(electron, parent) ** 2, _dot(positron, parent) ** 2  # energies at rest of V times its mass, squared
    take = uniforms(len(made), make_key(key, "beam")) * (first + second) < first
    return np.where(take[:, None], electron, positron)


def _dot(a: Array, b: Array) -> Array:
    return np.asarray(a[..., 0] * b[..., 0] - (a[..., 1:] * b[..., 1:]).sum(axis=-1))
