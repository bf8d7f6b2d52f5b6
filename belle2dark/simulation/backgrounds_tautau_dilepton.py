"""What looks like tau+ tau- phi, phi -> e+e- or mu+mu-: two identified leptons, two more tracks, something missing.

Muon pairs: tau pairs with one and three prongs, of which pions are taken for muons; mu mu tau tau; hadrons with semileptonic
decays or misidentified pions; four leptons whose missing energy is lost in material. Electron pairs below 0.3 GeV: pi0 -> e e
gamma in tau pairs and hadrons, and virtual photons off taus, muons and beams. The records overlap with those of
:mod:`.backgrounds` and are for this final state only.

Not included: real photons that convert (their pairs have masses below 30 MeV; the position of the vertex, from which a
detector would get wrong ones, is not used), eta -> l l gamma, tau pairs with three prongs twice and e e tau tau (measured: a
percent of the sum), a second photon off the electrons of radiative Bhabha events. Hadronic events are few: copies have their
momenta turned and scaled at random, so that they make no peaks and no network knows them by heart; narrow resonances among them
are smeared too. Templates use one half of them and the training of networks the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from belle2dark.constants import M_MUON, M_PION0
from belle2dark.simulation.backgrounds import FOUR_MUONS, MUMUTAUTAU, PHOTONS, Background
from belle2dark.simulation.beams import Beams, belle2_beams, to_cms, to_lab
from belle2dark.simulation.bhabha import generate_ee_gamma
from belle2dark.simulation.decays.tau import decay_taus, hardest_photons
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.hadronic import load_hadronic
from belle2dark.simulation.inner_pairs import dalitz_pair, inner_pair
from belle2dark.simulation.mumu_gamma import generate_mumu_gamma
from belle2dark.simulation.radiation import radiate_final
from belle2dark.simulation.rng import make_key
from belle2dark.simulation.tau_pairs import generate_tau_pairs, generate_taus
from belle2dark.simulation.two_photon import generate_eemumu
from belle2dark.sourced import load_numbers

#: masses of pairs [GeV] that templates keep: of electrons, of muons; searches need a margin around their peaks
ELECTRON_PAIRS, MUON_PAIRS = (0.03, 0.26), (2.0 * M_MUON, 7.3)
#: angles in the centre of mass [rad] where a track or photon may be seen
_WIDE = (0.25, 2.9)
#: least energy of a radiated photon that becomes a pair [GeV]: below it pairs are too soft to be identified
_ENERGY = 0.35
#: events drawn for one with all four tracks of a two-photon event in the detector, and the |cos| they need in the lab
_DRAWS, _COSINE = 40, 0.96
#: odds that a hadron is taken for a lepton, roughly: events that pass often are copied often
_FAKE = 0.015
#: copies of a hadronic event have all momenta turned by angles and scaled by factors of this spread
_SMOOTH = 0.25


def _three_prongs(n: int, key: int, beams: Beams) -> Events:
    """Tau pairs with one and three prongs, the tau- to three standing for either."""
    events = generate_tau_pairs(n, key, beams, "3prong", "1prong", final_photons=True, photons=PHOTONS)
    return replace(events, weights=2.0 * events.weights)


def _tau_dalitz(n: int, key: int, beams: Beams) -> Events:
    """Tau pairs with a track each and pi0 -> e e gamma."""
    events = generate_tau_pairs(n, key, beams, "1prong", "1prong", photons=PHOTONS)
    return dalitz_pair(events, key, ELECTRON_PAIRS[0])


def _tau_electrons(n: int, key: int, beams: Beams) -> Events:
    """Tau pairs and an electron pair from the hardest photon off beams or taus."""
    taus = radiate_final(generate_taus(n, key, beams), key, ("tau-", "tau+"), parent="vector")
    events = inner_pair(hardest_photons(taus, 4), "gamma_1", key, "e", *ELECTRON_PAIRS)
    return decay_taus(events, key, parent="vector", photons=PHOTONS)


def _radiative_bhabha(n: int, key: int, beams: Beams, lepton: str, masses: tuple[float, float]) -> Events:
    """Electrons and a photon at wide angles, the photon a pair."""
    events = generate_ee_gamma(n, key, beams, energy_min=_ENERGY, theta_photon=_WIDE, theta_electron=_WIDE)
    return inner_pair(events, "gamma_1", key, lepton, *masses)


def _muons_electrons(n: int, key: int, beams: Beams) -> Events:
    """Muons and an electron pair from the first photon off beams or muons."""
    return inner_pair(generate_mumu_gamma(n, key, beams), "gamma_1", key, "e", *ELECTRON_PAIRS)


def _wide_eemumu(n: int, key: int, beams: Beams) -> Events:
    """Two-photon events with all four leptons in the detector: of ``_DRAWS`` times n, those."""
    parts = []
    for k in range(_DRAWS):
        events = generate_eemumu(n, make_key(key, f"part {k}"), beams)
        seen = [np.abs(p[:, 3]) < _COSINE * np.sqrt((p[:, 1:] ** 2).sum(axis=1)) for p in events.momenta_lab.values()]
        parts.append(events.select(np.all(seen, axis=0)))
    momenta = {name: np.concatenate([part.momenta_lab[name] for part in parts]) for name in parts[0].momenta_lab}
    return Events(momenta_lab=momenta, weights=np.concatenate([part.weights for part in parts]) / _DRAWS)


def _hadrons(n: int, key: int, beams: Beams, part: int) -> Events:
    """Shipped hadronic events with four tracks, n copies with random azimuth, smoothed, seen from any beams."""
    events = _list(part)
    prongs = [name for name in events.momenta_lab if name.startswith("prong")]
    four = np.sum([events.momenta_lab[name][:, 0] > 0.0 for name in prongs], axis=0) == len(prongs)
    chosen = events.select(four & ~_electron_pair(events, prongs))
    codes = np.stack([chosen.pdg(name) for name in prongs])
    charge = np.sign(codes) * np.where(np.abs(codes) < 20, -1, 1)
    lepton = np.where(np.isin(np.abs(codes), (11, 13)), 1.0, _FAKE)
    odds = 0.25 * (lepton.sum(axis=0) ** 2 - (lepton * charge).sum(axis=0) ** 2)  # sum over opposite pairs of the products
    return _copies(chosen, n, key, beams, odds, smooth=True)


def _electron_pair(events: Events, prongs: list[str]) -> NDArray[np.bool_]:
    """Whether there is an electron pair lighter than a pi0: its decays have a record of their own."""
    found = np.zeros(len(events), dtype=bool)
    for first, second in combinations(prongs, 2):
        both = events.momenta_lab[first] + events.momenta_lab[second]
        electrons = events.pdg(first) * events.pdg(second) == -121
        found |= electrons & (both[:, 0] ** 2 - (both[:, 1:] ** 2).sum(axis=1) < M_PION0**2)
    return found


def _list(part: int) -> Events:
    """Every second event of the shipped list, from ``part`` on, standing for all."""
    events = load_hadronic("low_multiplicity")
    half = events.select(np.arange(len(events)) % 2 == part)
    return replace(half, weights=2.0 * half.weights)


def _hadron_dalitz(n: int, key: int, beams: Beams, part: int) -> Events:
    """The same with two tracks and pi0 -> e e gamma; not smoothed, as the photons of the pi0 belong together."""
    events = _list(part)
    two = (events.momenta_lab["prong_3"][:, 0] == 0.0) & (events.momenta_lab["gamma_2"][:, 0] > 0.0)
    copies = _copies(events.select(two), n, key, beams, np.ones(int(two.sum())), smooth=False)
    return dalitz_pair(copies, key, ELECTRON_PAIRS[0])


def _copies(events: Events, n: int, key: int, beams: Beams, odds: Array, smooth: bool) -> Events:
    """n events of a list turned about the beam axis: half evenly, half in proportion to their weight times ``odds``."""
    rng = np.random.default_rng(make_key(key, "copies"))
    share = 0.5 / len(events) + 0.5 * events.weights * odds / (events.weights * odds).sum()
    which = np.searchsorted(np.cumsum(share), (np.arange(n) + rng.random()) / n * share.sum()).clip(max=len(events) - 1)
    phi = 2.0 * np.pi * rng.random(n)
    turn = np.array([[np.cos(phi), np.sin(phi)], [-np.sin(phi), np.cos(phi)]])
    momenta = {}
    for name, p in events.momenta_lab.items():
        x = _smoothed(p[which], rng) if smooth else p[which]
        x = to_cms(x, belle2_beams())
        x[:, 1:3] = np.einsum("ni,ijn->nj", x[:, 1:3], turn)
        momenta[name] = to_lab(x, beams)
    points = {}
    for name, x in events.vertices_cm.items():
        points[name] = x[which]
        points[name][:, :2] = np.einsum("ni,ijn->nj", x[which, :2], turn)
    rest = events.select(which)
    return replace(rest, momenta_lab=momenta, vertices_cm=points, weights=rest.weights / (n * share[which]))


def _smoothed(p: Array, rng: np.random.Generator) -> Array:
    """Momenta turned and scaled at random, masses kept."""
    size = np.sqrt((p[:, 1:] ** 2).sum(axis=1, keepdims=True))
    new = p[:, 1:] + _SMOOTH * size * rng.standard_normal((len(p), 3))
    square = p[:, 0] ** 2 - (p[:, 1:] ** 2).sum(axis=1)
    return np.column_stack([np.sqrt(np.maximum(square + (new**2).sum(axis=1), 0.0)), new])


def _record(name: str, generate: Callable[[int, int, Beams], Events], approximations: str) -> Background:
    numbers = load_numbers("backgrounds")
    return Background(name=name, generate=generate, cross_section=numbers[f"{name}_cross_section"],
                      relative_uncertainty=numbers[f"{name}_uncertainty"], approximations=approximations)  # fmt: skip


_INNER = "photon times probability to split: leading order of mass over energy"
_HADRONS = "Pythia's default tune; few events, copied and smoothed"


def records(part: int) -> tuple[Background, ...]:
    """The processes, with one half (0 or 1) of the hadronic events."""
    return (
        _record("tautau_1x3", _three_prongs, "modes that add up to 0.3 % of the tau decays are not made"),
        _record("tautau_dalitz", _tau_dalitz, "no form factor of the pi0, no eta"),
        _record("tautau_ee", _tau_electrons, _INNER),
        MUMUTAUTAU,
        _record("bhabha_ee", partial(_radiative_bhabha, lepton="e", masses=ELECTRON_PAIRS), _INNER + "; no further radiation"),
        _record("bhabha_mumu", partial(_radiative_bhabha, lepton="mu", masses=MUON_PAIRS), _INNER + "; no further radiation"),
        _record("mumu_ee", _muons_electrons, _INNER),
        FOUR_MUONS,
        _record("eemumu_wide", _wide_eemumu, "equivalent photons: no other graphs, no initial-state radiation"),
        _record("hadrons_four", partial(_hadrons, part=part), _HADRONS),
        _record("hadrons_dalitz", partial(_hadron_dalitz, part=part), _HADRONS),
    )


#: what templates use; networks are trained on the other half
TAUTAU_DILEPTON = records(1)
