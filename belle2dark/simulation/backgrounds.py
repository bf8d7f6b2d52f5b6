"""Standard Model processes that imitate a signal, as records a search composes.

Add a process here when its generator exists; rates and their uncertainties are in ``data/backgrounds.yaml``. Some samples
overlap and must not be added: three_photons is the part of gamma_gamma with three photons at wide angles, ee_gamma and
bhabha share the events with an electron pair and a photon at wide angles, tautau is the part of tautau_inclusive with two
muons.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from belle2dark.simulation.beams import Beams, to_cms
from belle2dark.simulation.bhabha import generate_bhabha, generate_ee_gamma
from belle2dark.simulation.cosmics import generate_cosmic_muons, generate_cosmic_photons
from belle2dark.simulation.decays.tau import decay_taus
from belle2dark.simulation.decays.tau_modes import GROUPS
from belle2dark.simulation.displaced import convert
from belle2dark.simulation.events import Events
from belle2dark.simulation.four_leptons import generate_four_muons, generate_mumutautau
from belle2dark.simulation.gamma_gamma import generate_gamma_gamma, generate_three_photons
from belle2dark.simulation.hadronic import load_hadronic
from belle2dark.simulation.mumu_gamma import generate_mumu_gamma
from belle2dark.simulation.mumu_mesons import generate_mumu_onium, generate_mumu_pipi
from belle2dark.simulation.nunu_gamma import generate_nunu_gamma
from belle2dark.simulation.radiation import radiate_final
from belle2dark.simulation.rng import make_key
from belle2dark.simulation.tau_pairs import generate_tau_leptons, generate_tau_pairs, generate_tautau
from belle2dark.simulation.two_photon import generate_eeee, generate_eemumu, generate_eetautau
from belle2dark.sourced import Sourced, load_numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """One process: ``generate(n, key, beams)`` gives weighted events [fb] that add up to ``cross_section`` [fb] times the
    branching fractions of the decays that are made; ``relative_uncertainty`` is on the rate, ``approximations`` says in one
    sentence what the events lack."""

    name: str
    generate: Callable[[int, int, Beams], Events]
    cross_section: Sourced
    relative_uncertainty: Sourced
    approximations: str = ""

    @property
    def source(self) -> str:
        """Where the rate is from."""
        return self.cross_section.source


#: photons kept of events with two decayed taus: four pi0 and four more
PHOTONS = 12


def _background(name: str, generate: Callable[[int, int, Beams], Events], approximations: str, process: str = "") -> Background:
    """The record of ``name`` with its numbers; ``process`` is the one whose cross-section it has, if of another name."""
    numbers = load_numbers("backgrounds")
    return Background(name=name, generate=generate, cross_section=numbers[f"{process or name}_cross_section"],
                      relative_uncertainty=numbers[f"{name}_uncertainty"], approximations=approximations)  # fmt: skip


def _tau_pairs(n: int, key: int, beams: Beams) -> Events:
    """Tau pairs with all decays, photons off taus and daughters included."""
    return generate_tau_pairs(n, key, beams, final_photons=True, photons=PHOTONS)


def _mumu_with_decayed_taus(n: int, key: int, beams: Beams) -> Events:
    """mu mu tau tau with all decays of the taus."""
    return decay_taus(generate_mumutautau(n, key, beams), key, parent="vector", photons=PHOTONS)


MUMU_GAMMA = _background(
    "mumu_gamma", generate_mumu_gamma, "no interference of radiation off beams and muons, no psi and Upsilon peaks in the pair"
)
TAUTAU = _background("tautau", generate_tautau, "weak bosons are left out; see tau_pairs for radiation off the taus")
TAUTAU_INCLUSIVE = _background(
    "tautau_inclusive", _tau_pairs, "modes that add up to 0.3 % of the tau decays are not made; no weak bosons", "tautau"
)
_EQUIVALENT = "equivalent photons: no pair radiated off one electron, no annihilation, no initial-state radiation"
EEMUMU = _background("eemumu", generate_eemumu, _EQUIVALENT)
EEEE = _background("eeee", generate_eeee, _EQUIVALENT + ", no exchange of identical electrons")
EETAUTAU = _background("eetautau", generate_eetautau, _EQUIVALENT + ", taus do not decay")
MUMUTAUTAU = _background(
    "mumutautau", _mumu_with_decayed_taus, "tree level: no peaks in the pairs; spins of taus as from an unpolarised photon"
)
GAMMA_GAMMA = _background(
    "gamma_gamma", generate_gamma_gamma, "four and more photons at wide angles are factorised; virtual part leading logarithm"
)
THREE_PHOTONS = _background(
    "three_photons", generate_three_photons, "four and more photons at wide angles are factorised; virtual part leading logarithm"
)
BHABHA = _background("bhabha", generate_bhabha, "at most one photon, none softer than 0.1 GeV; no Z")
EE_GAMMA = _background("ee_gamma", generate_ee_gamma, "tree level with one photon; no further radiation")
NUNU_GAMMA = _background("nunu_gamma", generate_nunu_gamma, "contact interaction, no photons off the W")
COSMIC_PHOTON = _background("cosmic_photon", generate_cosmic_photons, "rate and spectrum are choices, not measurements")
COSMIC_MUON = _background("cosmic_muon", generate_cosmic_muons, "rate and spectrum are choices, not measurements")


def _radiating(generate: Callable[[int, int, Beams], Events], systems: tuple[tuple[str, ...], ...], n: int, key: int,
               beams: Beams) -> Events:  # fmt: skip
    """Events with photons off each of ``systems`` by itself."""
    events = generate(n, key, beams)
    for k, system in enumerate(systems):
        events = radiate_final(events, make_key(key, "final photons", str(k)), system)
    return events


_PAIRS = (("mu-_1", "mu+_1"), ("mu-_2", "mu+_2"))
FOUR_MUONS = _background(
    "four_muons", partial(_radiating, generate_four_muons, (_PAIRS[0] + _PAIRS[1],)),
    "tree level with photons off the four muons as one system; no mesons and no vacuum polarisation in the pairs",
)  # fmt: skip
MUMU_ONIUM = _background(
    "mumu_onium", partial(_radiating, generate_mumu_onium, _PAIRS), "J/psi, psi(2S), Upsilon(1S), Upsilon(2S); no interference"
)
MUMU_PIPI = _background(
    "mumu_pipi", partial(_radiating, generate_mumu_pipi, (("mu-", "mu+"), ("pi-", "pi+"))),
    "pion form factor without omega; pions even in their frame; no interference with radiation of pions off the beams' photon",
)  # fmt: skip
FOUR_MUONS_ALL = (FOUR_MUONS, MUMU_ONIUM, MUMU_PIPI)


def _both_charges(generate: Callable[[int, int, Beams], Events], n: int, key: int, beams: Beams) -> Events:
    """Events of one charge that stand for both: nothing in the production, the decays or the detector tells them apart."""
    events = generate(n, key, beams)
    return replace(events, weights=2.0 * events.weights)


def _electron_muon(n: int, key: int, beams: Beams) -> Events:
    return generate_tau_leptons(n, key, beams, "e", "mu")


def _electron_hadron(n: int, key: int, beams: Beams) -> Events:
    return generate_tau_pairs(n, key, beams, "e", ("pi", "K", "rho"))


TAUTAU_EMU = replace(TAUTAU, generate=partial(_both_charges, _electron_muon))
TAUTAU_EPI = replace(
    TAUTAU,
    name="tautau_epi",
    generate=partial(_both_charges, _electron_hadron),
    approximations="one tau to e, the other to pi, K or rho: the pion may pass as a muon",
)
#: the part of ee_gamma (a fifteenth of its cross-section) at angles where a track can be found: lost ones look like photons
EE_GAMMA_WIDE = replace(
    EE_GAMMA, generate=partial(generate_ee_gamma, energy_min=0.35, theta_photon=(0.35, 2.79), theta_electron=(0.35, 2.79))
)


def _lost_electrons(n: int, key: int, beams: Beams) -> Events:
    """The same with weights for the electrons that radiate or shower before the tracker, which detector records leave out."""
    events = EE_GAMMA_WIDE.generate(n, key, beams)
    return replace(events, weights=events.weights * float(load_numbers("backgrounds")["electron_loss"]))


EE_GAMMA_LOST = replace(
    EE_GAMMA_WIDE, generate=_lost_electrons,
    approximations="tree level with one photon; how often both electrons are lost is a choice",
)  # fmt: skip


def _with_photon(n: int, key: int, beams: Beams) -> Events:
    """The part of n mu mu events that have a photon of at least 0.19 GeV at wide angle in the centre of mass."""
    events = generate_mumu_gamma(n, key, beams)
    wide = np.zeros(n, dtype=bool)
    for name in events.photons:
        photon = to_cms(events.momenta_lab[name], beams)
        wide |= (photon[:, 0] > 0.19) & (np.abs(photon[:, 3]) < math.cos(0.17) * photon[:, 0])
    return events.select(wide)


def _converted(n: int, key: int, beams: Beams) -> Events:
    """Two photons, one of them (either, as often) an electron pair in the material around the beams."""
    events = generate_gamma_gamma(n, key, beams)
    first, second = events.momenta_lab["gamma_1"], events.momenta_lab["gamma_2"]
    swap = np.random.default_rng(make_key(key, "which")).random(n)[:, None] < 0.5
    momenta = {**events.momenta_lab, "gamma_1": np.where(swap, second, first), "gamma_2": np.where(swap, first, second)}
    return convert(replace(events, momenta_lab=momenta, weights=2.0 * events.weights), "gamma_1", make_key(key, "material"))


#: the part of mumu_gamma (a fifth of its cross-section) with a photon to be seen
MUMU_GAMMA_HARD = replace(MUMU_GAMMA, generate=_with_photon)
#: the part of ee_gamma at angles where both tracks and the photon can be seen, in any of the detectors
EE_GAMMA_PAIR = replace(
    EE_GAMMA, generate=partial(generate_ee_gamma, energy_min=0.19, theta_photon=(0.2, 2.92), theta_electron=(0.25, 2.87))
)
GAMMA_GAMMA_CONVERTED = replace(
    GAMMA_GAMMA, name="gamma_gamma_converted", generate=_converted,
    approximations="material of Belle II; no tail of the pair's mass from recoiling nuclei",
)  # fmt: skip
DIMUON_PHOTON = (MUMU_GAMMA_HARD, TAUTAU, EEMUMU)
DIELECTRON_PHOTON = (EE_GAMMA_PAIR, GAMMA_GAMMA_CONVERTED)
DIMUON_MISSING = (MUMU_GAMMA, TAUTAU, EEMUMU)
SINGLE_PHOTON = (EE_GAMMA, GAMMA_GAMMA, NUNU_GAMMA, COSMIC_PHOTON)


def _one_prong(n: int, key: int, beams: Beams, modes: str | tuple[str, ...]) -> Events:
    """One tau to ``modes``, the other to three prongs, photons off taus and daughters included."""
    return generate_tau_pairs(n, key, beams, modes, "3prong", final_photons=True, photons=PHOTONS)


def _low_multiplicity(n: int, key: int, beams: Beams) -> Events:
    """The shipped list of hadronic events with two or four tracks, each as often as the others, n in all."""
    events = load_hadronic("low_multiplicity")
    chosen = events.select(np.random.default_rng(key).permutation(n) % len(events))
    return replace(chosen, weights=chosen.weights * (len(events) / n))


_OTHER_PRONGS = tuple(name for name in GROUPS["1prong"] if name not in (*GROUPS["leptons"], "pi", "K"))


def _tau_1x3(name: str, modes: str | tuple[str, ...]) -> Background:
    """Tau pairs with one tau to three prongs; the other, of either charge, decays to ``modes``."""
    generate = partial(_both_charges, partial(_one_prong, modes=modes))
    return replace(TAUTAU_INCLUSIVE, name=name, generate=generate, approximations="no five-prong tags, no weak bosons")


TAU_1X3 = (
    _tau_1x3("tautau_michel", "leptons"),
    _tau_1x3("tautau_line", ("pi", "K")),
    _tau_1x3("tautau_hadrons", _OTHER_PRONGS),
    _background("hadrons_low", _low_multiplicity, "Pythia's default tune; few events, used many times over"),
)
EMU_MISSING = (TAUTAU_EMU, TAUTAU_EPI, EEMUMU, MUMU_GAMMA, BHABHA)
