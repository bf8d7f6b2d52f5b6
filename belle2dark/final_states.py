"""The final states that searches and templates know, by name.

A search names its final state with ``Search.template``; :data:`FINAL_STATES` holds the records. "Two muons and nothing
else" uses the fast reconstruction of :mod:`belle2dark.detector.response`, the others
:mod:`belle2dark.detector.exclusive`. Tracks and photons are in the order of the record, photons hardest first.

Not included: more than one final state per template, merged photon pairs, fits of a vertex or of the beam constraint (see
:mod:`belle2dark.detector.kinematic_fit`; they start from the same stored momenta).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from belle2dark import classifier, final_states_four_muons
from belle2dark.constants import M_ELECTRON, M_MUON
from belle2dark.detector import dilepton, photons, response
from belle2dark.detector.exclusive import Wanted
from belle2dark.detector.experiments import Detector
from belle2dark.detector.multitrack import four_momenta
from belle2dark.final_state import Axis, Columns, FinalState, Mask, Where, cos_theta, in_barrel, in_tracker, square
from belle2dark.final_states_ditau import STATE as DITAU
from belle2dark.final_states_tau_1x3 import STATE as TAU_1X3
from belle2dark.final_states_tautau_dilepton import STATE as TAUTAU_DILEPTON
from belle2dark.simulation.beams import to_cms
from belle2dark.simulation.events import Array
from belle2dark.sourced import nearest


def final_state(name: str) -> FinalState:
    """The final state of that name; ``ValueError`` names the nearest."""
    if name not in FINAL_STATES:
        known = ", ".join(FINAL_STATES)
        raise ValueError(f"unknown final state {name!r}; nearest: {nearest(name, FINAL_STATES)}; known: {known}")
    return FINAL_STATES[name]


# two muons and nothing else
_DIMUON_AXES = (Axis(column="m_mumu", low=0.0, high=None, bins=60),
                Axis(column="recoil_mass_squared", low=-2.0, high=None, bins=60, root=True))  # fmt: skip


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


# two muons and a photon
_DIMUON_PHOTON = {
    **dilepton.COLUMNS,
    "m_total": (r"M_{\mu\mu\gamma}", "GeV"),
    "recoil_mass_squared_total": (r"M^2_{\mathrm{recoil},\mu\mu\gamma}", "GeV^2"),
    "photon_energy_cms": (r"E^*_\gamma", "GeV"),
    "photon_cos_theta_lab": (r"\cos\theta_\gamma", ""),
    "photon_recoil_mass_squared": (r"M^2_{\mathrm{recoil},\gamma}", "GeV^2"),
    "photon_angle": (r"\angle(\gamma, \mathrm{recoil})", "rad"),
}


def _dimuon_photon(tracks: Array, clusters: Array, detector: Detector) -> dict[str, Array]:
    """Pair, its recoil and the photon; ``photon_angle`` is that between photon and recoil of the pair in the lab."""
    beams, photon = detector.beams, clusters[:, 0]
    pair = four_momenta(tracks, (M_MUON, M_MUON)).sum(axis=1)
    recoil = beams.nominal - pair
    size = np.sqrt((photon[:, 1:] ** 2).sum(axis=1) * (recoil[:, 1:] ** 2).sum(axis=1))
    cosine = (photon[:, 1:] * recoil[:, 1:]).sum(axis=1) / np.maximum(size, 1e-300)
    return dilepton.dilepton_columns(tracks, beams) | {
        "m_total": np.sqrt(np.maximum(square(pair + photon), 0.0)),
        "recoil_mass_squared_total": square(recoil - photon),
        "photon_energy_cms": to_cms(photon, beams)[:, 0],
        "photon_cos_theta_lab": cos_theta(photon),
        "photon_recoil_mass_squared": photons.recoil_mass_squared(photon, beams),
        "photon_angle": np.arccos(np.clip(cosine, -1.0, 1.0)),
    }


# photons only
_THREE_PHOTONS = {
    "m_total": photons.COLUMNS["m_total"],
    **{name.replace("_k", f"_{k}"): meaning for k in (1, 2, 3) for name, meaning in photons.COLUMNS.items() if "_k" in name},
    **{f"cos_theta_lab_{k}": (rf"\cos\theta_{k}", "") for k in (1, 2, 3)},
}


def _three_photons(_tracks: Array, clusters: Array, detector: Detector) -> dict[str, Array]:
    cosines = cos_theta(clusters)
    return photons.three_photon_columns(clusters, detector.beams) | {f"cos_theta_lab_{k + 1}": cosines[:, k] for k in range(3)}


def _all(where: Callable[[str], Where]) -> Where:
    """Whether all three photons are there."""
    return lambda columns, detector: np.all([where(f"cos_theta_lab_{k}")(columns, detector) for k in (1, 2, 3)], axis=0)


_SINGLE_PHOTON = {
    "energy_cms": (r"E^*_\gamma", "GeV"),
    "recoil_mass_squared": (r"M^2_\mathrm{recoil}", "GeV^2"),
    "cos_theta_lab": (r"\cos\theta_\gamma", ""),
    "cos_theta_cms": (r"\cos\theta^*_\gamma", ""),
    "phi_lab": (r"\phi_\gamma", "rad"),
}


def _single_photon(_tracks: Array, clusters: Array, detector: Detector) -> dict[str, Array]:
    photon, cms = clusters[:, 0], to_cms(clusters[:, 0], detector.beams)
    return {
        "energy_cms": cms[:, 0],
        "recoil_mass_squared": photons.recoil_mass_squared(photon, detector.beams),
        "cos_theta_lab": cos_theta(photon),
        "cos_theta_cms": cos_theta(cms),
        "phi_lab": np.arctan2(photon[:, 2], photon[:, 1]),
    }


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
    FinalState(
        name="dimuon_photon", title="two muons and a photon and nothing else",
        wanted=Wanted(hypotheses=("muon", "muon"), charges=(-1, 1), photons=1), columns=_dimuon_photon,
        meanings=_DIMUON_PHOTON,
        loose=lambda c, detector: (c["photon_energy_cms"] > 0.3) & in_tracker("photon_cos_theta_lab")(c, detector),
        axes=(Axis(column="m_mumu", low=0.0, high=None, bins=80),
              Axis(column="recoil_mass_squared_total", low=-3.0, high=3.0, bins=4, root=True)),
        dense=in_barrel("photon_cos_theta_lab"),
    ),
    FinalState(
        name="three_photons", title="three photons and nothing else", wanted=Wanted(photons=3), columns=_three_photons,
        meanings=_THREE_PHOTONS, loose=lambda c, detector: (c["energy_cms_3"] > 0.4) & _all(in_tracker)(c, detector),
        axes=(Axis(column="mass_squared_1", low=0.0, high=None, bins=30, root=True),
              Axis(column="mass_squared_3", low=0.0, high=None, bins=30, root=True)),
        dense=_all(in_barrel),
    ),
    FinalState(
        name="single_photon", title="a photon and nothing else", wanted=Wanted(photons=1), columns=_single_photon,
        meanings=_SINGLE_PHOTON,
        loose=lambda c, detector: (c["energy_cms"] > 0.5) & (c["recoil_mass_squared"] > -10.0)
        & in_tracker("cos_theta_lab")(c, detector),
        axes=(Axis(column="recoil_mass_squared", low=-10.0, high=102.0, bins=112),
              Axis(column="cos_theta_lab", low=-0.95, high=1.0, bins=13)),
        dense=in_barrel("cos_theta_lab"),
    ),
    final_states_four_muons.STATE,
    TAU_1X3,
)  # fmt: skip
#: final states by name, those of the shipped templates
FINAL_STATES: Mapping[str, FinalState] = MappingProxyType({state.name: state for state in _STATES})
