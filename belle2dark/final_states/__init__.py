"""The final states that searches and templates know, by name.

A search names its final state with ``Search.template``; :data:`FINAL_STATES` holds the records. "Two muons and nothing
else" uses the fast reconstruction of :mod:`belle2dark.detector.response`, the others
:mod:`belle2dark.detector.exclusive`. Tracks and photons are in the order of the record, photons hardest first.

Not included: more than one final state per template, merged photon pairs, fits of a vertex or of the beam constraint (see
:mod:`belle2dark.detector.kinematic_fit`; they start from the same stored momenta).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from belle2dark import classifier
from belle2dark.constants import M_ELECTRON, M_MUON
from belle2dark.detector import dilepton, response
from belle2dark.detector.exclusive import Wanted
from belle2dark.detector.experiments import Detector
from belle2dark.final_states import four_muons as final_states_four_muons
from belle2dark.final_states.b_mesogenesis import STATES as B_MESOGENESIS
from belle2dark.final_states.b_to_k_invisible import STATES as B_TO_K_INVISIBLE
from belle2dark.final_states.b_to_k_llp import STATES as B_TO_K_LLP
from belle2dark.final_states.dark_higgs_displaced import STATE as DARK_HIGGS_DISPLACED
from belle2dark.final_states.dilepton_photon import DIELECTRON_PHOTON, DIMUON_PHOTON
from belle2dark.final_states.displaced_photon import STATE as DISPLACED_PHOTON
from belle2dark.final_states.ditau import STATE as DITAU
from belle2dark.final_states.lepton_pair_photon import UNIONS
from belle2dark.final_states.record import Axis, Columns, FinalState, Mask, in_barrel
from belle2dark.final_states.single_photon import STATE as SINGLE_PHOTON
from belle2dark.final_states.six_tracks import STATE as SIX_TRACKS
from belle2dark.final_states.tau_1x3 import STATE as TAU_1X3
from belle2dark.final_states.tautau_dilepton import STATE as TAUTAU_DILEPTON
from belle2dark.final_states.three_photons import STATE as THREE_PHOTONS
from belle2dark.final_states.upsilon import STATES as UPSILON
from belle2dark.simulation.events import Array
from belle2dark.sourced import nearest


def final_state(name: str) -> FinalState:
    """The final state of that name; ``ValueError`` names the nearest."""
    if name in UNIONS:
        return UNIONS[name].state
    if name not in FINAL_STATES:
        known = ", ".join(FINAL_STATES)
        raise ValueError(f"unknown final state {name!r}; nearest: {nearest(name, FINAL_STATES)}; known: {known}")
    return FINAL_STATES[name]


# two muons and nothing else
# (a light recoil: where backgrounds of two masses at once are steep and windows small)
_DIMUON_AXES = (Axis(column="m_mumu", low=0.0, high=None, bins=60),
                Axis(column="recoil_mass_squared", low=-2.0, high=None, bins=60, root=True, power=0.5))  # fmt: skip


def _dimuon(tracks: Array, _photons: Array, detector: Detector) -> dict[str, Array]:
    return dilepton.dilepton_columns(tracks, detector.beams)


def _recoil_to_barrel(columns: Columns, detector: Detector) -> Mask:
    """Whether the recoil points to the barrel, or a photon that has its direction in the centre of mass would."""
    photon = dilepton.photon_cos_theta_lab(columns["recoil_cos_theta_cms"], detector.beams)
    return in_barrel("recoil_cos_theta_lab")(columns, detector) | in_barrel("photon")({"photon": photon}, detector)


def _invisible_zprime(columns: Columns, detector: Detector) -> Mask:
    """What the network of the invisible-Z' search keeps: one event in a thousand at some recoil masses."""
    network, chosen = classifier.load_network("zprime_invisible"), classifier.preselected(columns, detector)
    chosen[chosen] = network.score({name: values[chosen] for name, values in columns.items()}) > 0.5
    return chosen


# an electron and a muon and nothing else
_EMU_NAMES = {"m_mumu": "m_emu", "pt_mumu_cms": "pt_emu_cms", "energy_minus_cms": "energy_electron_cms",
              "energy_plus_cms": "energy_muon_cms"}  # fmt: skip
_EMU_SYMBOLS = {"m_mumu": r"M_{e\mu}", "pt_mumu_cms": r"p^*_{T,e\mu}", "energy_minus_cms": r"E^*_e",
                "energy_plus_cms": r"E^*_\mu"}  # fmt: skip


def _emu_dense(columns: Columns, detector: Detector) -> Mask:
    """Where searches look: recoil into the barrel and across the leptons, or next to the energy of the collision."""
    across = (columns["recoil_pt_softer"] > 0.4) & (columns["recoil_pt_harder"] > 0.3)
    balanced = columns["m_emu"] > detector.beams.sqrt_s - 1.0
    return np.asarray(in_barrel("recoil_cos_theta_lab")(columns, detector) & across | balanced)


def _emu_balanced(columns: Columns, detector: Detector) -> Mask:
    """What a search for e mu with nothing missing keeps: nearly all Bhabha events, of which L1 vetoes nearly all."""
    missing = np.abs(detector.beams.sqrt_s - columns["m_emu"])
    return np.asarray((missing < 0.17) & (columns["pt_emu_cms"] < 0.16) & (columns["pt_min_lab"] > 3.75))


def _emu(tracks: Array, _photons: Array, detector: Detector) -> dict[str, Array]:
    columns = dilepton.dilepton_columns(tracks, detector.beams, (M_ELECTRON, M_MUON))
    return {_EMU_NAMES.get(name, name): values for name, values in columns.items()}


_MUONS = Wanted(hypotheses=("muon", "muon"), charges=(-1, 1))
_STATES = (
    DITAU,
    TAUTAU_DILEPTON,
    FinalState(
        name="dimuon_missing", title="two muons and nothing else", wanted=_MUONS, columns=_dimuon, meanings=dilepton.COLUMNS,
        loose=lambda c, _detector: (c["pt_mumu_cms"] > 0.05) & (c["recoil_mass_squared"] > -4.0), axes=_DIMUON_AXES,
        dense=_recoil_to_barrel, rare=_invisible_zprime, fast=response.reconstruct,
    ),
    FinalState(
        name="emu_missing", title="an electron and a muon and nothing else",
        wanted=Wanted(hypotheses=("electron", "muon"), charges=(-1, 1), conjugate=True), columns=_emu,
        meanings={_EMU_NAMES.get(name, name): (_EMU_SYMBOLS.get(name, symbol), unit)
                  for name, (symbol, unit) in dilepton.COLUMNS.items()},
        loose=lambda c, _detector: c["recoil_mass_squared"] > -4.0,
        axes=(Axis(column="recoil_pt_softer", low=0.0, high=4.8, bins=24),
              Axis(column="recoil_mass_squared", low=-2.0, high=None, bins=48, root=True),
              # of the next two only the last bins are crowded: pairs with nothing missing
              Axis(column="m_emu", low=9.58, high=None, bins=10), Axis(column="pt_min_lab", low=2.8, high=4.8, bins=4)),
        dense=_emu_dense, rare=_emu_balanced,
    ),
    DIMUON_PHOTON,
    DIELECTRON_PHOTON,
    SINGLE_PHOTON,
    THREE_PHOTONS,
    final_states_four_muons.STATE,
    SIX_TRACKS,
    TAU_1X3,
    *UPSILON,
    *B_MESOGENESIS,
    *B_TO_K_INVISIBLE,
    *B_TO_K_LLP,
    DISPLACED_PHOTON,
    DARK_HIGGS_DISPLACED,
)  # fmt: skip
#: final states by name, those of the shipped templates; what is made of several of them is in ``UNIONS``
FINAL_STATES: Mapping[str, FinalState] = MappingProxyType({state.name: state for state in _STATES})
