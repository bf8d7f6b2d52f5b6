"""What looks like Upsilon(2S) -> pi+ pi- Upsilon(1S), Upsilon(1S) -> gamma A0, A0 -> l+ l-: Upsilon(1S) -> l+ l- with a photon.

For muon pairs the photon is off a muon: the same particles, a smooth mass of the pair. For tau pairs it is off a tau or a
daughter, or one of a pi0 of which the other is lost; pairs of muons and electrons with a photon are there too, if a lepton is
lost in energy. The dipion is real in all of them, so its recoil mass does not help.

Not included, with estimates for the 158e6 Upsilon(2S) of Belle: e+e- -> mu+ mu- pi+ pi- (gamma) off resonance, less than a tenth
of an event; e+e- -> hadrons with four tracks, one taken for a lepton, some ten events of tau pairs, most with soft photons;
hadronic decays of the Upsilon(1S) with two tracks and one photon, which Pythia has in one of a thousand, nearly all with a photon
harder than that of an A0 at the threshold of tau pairs; the third prongs of taus.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from belle2dark.simulation.backgrounds import PHOTONS, Background
from belle2dark.simulation.beams import Beams, to_cms
from belle2dark.simulation.decays.tau import decay_taus, hardest_photons
from belle2dark.simulation.decays.upsilon import LEPTONS, generate_cp_odd_higgs, generate_dipion_leptons
from belle2dark.simulation.events import Events
from belle2dark.simulation.radiation import radiate_final
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import load_numbers

#: least energy [GeV] in the centre of mass of a photon that can be the one of the signal
SOFTEST = 0.1
#: photons off leptons below this share of half the mass of the pair are not made
_X_MIN = 2e-3
#: events made for each one with a photon off a muon or an electron, of which there is one in three to eight
_DRAWS = {"mumu": 9, "ee": 5}
#: slots of prongs that one-prong decays leave empty
_EMPTY = ("prong_2", "prong_3", "prong_5", "prong_6")


def _one_prong(events: Events, key: int, parent: str, *, photons: bool) -> Events:
    """Both taus decayed to one charged particle each, with photons off the daughters; few slots.

    Events stand for that share of the decays, the sum of weights falls accordingly.
    """
    events = decay_taus(events, key, "1prong", "1prong", parent=parent, photons=PHOTONS)
    if photons:
        for k, system in enumerate((("prong_1", "nu_1"), ("prong_4", "nu_2"))):
            events = radiate_final(events, make_key(key, "photons", str(k)), system, x_min=_X_MIN, max_photons=1)
    events = hardest_photons(events, PHOTONS)
    kept = {name: p for name, p in events.momenta_lab.items() if name not in _EMPTY}
    return replace(events, momenta_lab=kept, vertices_cm={k: v for k, v in events.vertices_cm.items() if k in kept},
                   species={k: v for k, v in events.species.items() if k in kept})  # fmt: skip


def generate_signal(n: int, key: int, beams: Beams, m_a0: float, *, final_state: str = "mumu", photons: bool = True) -> Events:
    """n signal events of mass ``m_a0`` [GeV] with photons off the leptons, taus decayed to one prong each.

    Slots as in :func:`belle2dark.simulation.decays.upsilon.generate_cp_odd_higgs` or, for taus, "prong_1" and "prong_4", both
    empty in the share of events where a tau has more prongs. Weights [fb] add up to the cross-section times
    B(pi+ pi- Upsilon(1S)). ``photons`` = False leaves those off leptons out. Raises ``ValueError`` as that function.
    """
    events = generate_cp_odd_higgs(n, key, beams, m_a0, final_state=final_state)
    if final_state == "tautau":
        decayed = _one_prong(events, key, "pseudoscalar", photons=photons)
        more = np.random.default_rng(make_key(key, "prongs")).random(n) > decayed.weights.sum() / events.weights.sum()
        empty = {name: np.where(more[:, None], 0.0, decayed.momenta_lab[name]) for name in ("prong_1", "prong_4")}
        return replace(decayed, momenta_lab={**decayed.momenta_lab, **empty}, weights=events.weights)
    name = LEPTONS[final_state][0]
    return radiate_final(events, key, (f"{name}-", f"{name}+"), parent="scalar", x_min=_X_MIN) if photons else events


def generate_radiative(n: int, key: int, beams: Beams, final_state: str) -> Events:
    """n events of a dipion and Upsilon(1S) -> l+ l- gamma, l = e or mu, a photon above :data:`SOFTEST` in the centre of mass.

    Weights [fb] add up to the part of the cross-section with such a photon.
    """
    name, draws = LEPTONS[final_state][0], _DRAWS[final_state]
    events = generate_dipion_leptons(draws * n, key, beams, final_state=final_state)
    events = radiate_final(events, key, (f"{name}-", f"{name}+"), parent="vector", x_min=_X_MIN)
    hardest = np.max([to_cms(events.momenta_lab[slot], beams)[:, 0] for slot in events.photons], axis=0)
    made = events.select(hardest > SOFTEST)
    chosen = made.select(np.arange(min(n, len(made))))
    return replace(chosen, weights=chosen.weights * (made.weights.sum() / chosen.weights.sum()))


def generate_tau_pairs(n: int, key: int, beams: Beams) -> Events:
    """n events of a dipion and Upsilon(1S) -> tau+ tau- (gamma), taus decayed to one prong each; weights [fb]."""
    events = generate_dipion_leptons(n, key, beams, final_state="tautau")
    events = radiate_final(events, key, ("tau-", "tau+"), parent="vector", x_min=_X_MIN)
    return _one_prong(events, key, "vector", photons=True)


def _record(name: str, generate: Callable[[int, int, Beams], Events], approximations: str) -> Background:
    numbers = load_numbers("backgrounds")
    return Background(name=name, generate=generate, cross_section=numbers["upsilon_leptons_cross_section"],
                      relative_uncertainty=numbers["upsilon_leptons_uncertainty"], approximations=approximations)  # fmt: skip


UPSILON_MUMU = _record("upsilon_mumu", partial(generate_radiative, final_state="mumu"), "photons off the muons alone")
UPSILON_EE = _record(
    "upsilon_ee", partial(generate_radiative, final_state="ee"), "photons off the electrons alone, no Bhabha scattering"
)
UPSILON_TAUTAU = _record("upsilon_tautau", generate_tau_pairs, "one prong each; spins as from an unpolarised Upsilon(1S)")
UPSILON_DIMUON = (UPSILON_MUMU,)
UPSILON_DITAU = (UPSILON_TAUTAU, UPSILON_MUMU, UPSILON_EE)
