"""Two leptons, a photon and nothing else: masses before and after a fit to the four-momentum of the beams.

Tracks are -, +. All three particles are fitted to the beams (:mod:`belle2dark.detector.track_fit`), which makes the mass of the
pair up to ten times sharper where it takes most of the energy; events that lost a photon do not close, and ``chi2`` (4 degrees of
freedom) says so. Near threshold use ``reduced_mass``: it has no edge there, and the background in it is smooth. Directions of
photons are taken from where the tracks start, as an analysis does.

Not included: recovery of photons that an electron radiates in material (its events have a long tail of ``chi2``), a common vertex
in the fit.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from belle2dark.constants import M_ELECTRON, M_MUON
from belle2dark.detector import dilepton, photons
from belle2dark.detector.exclusive import Wanted, exclusive
from belle2dark.detector.experiments import Detector
from belle2dark.detector.multitrack import four_momenta
from belle2dark.detector.observed import observe
from belle2dark.detector.response import Reconstruction
from belle2dark.detector.track_fit import fit_tracks
from belle2dark.final_states.record import Axis, Columns, FinalState, Mask, cos_theta, in_barrel, in_tracker, square
from belle2dark.simulation.beams import to_cms
from belle2dark.simulation.events import Array, Events

#: events that miss more energy [GeV] are not fitted
_GAP = 2.0
#: what is kept in templates: energy of the photon in the centre of mass [GeV], if nothing is missing and else
_SOFTEST, _HARDER = 0.2, 0.3
#: chi2 below which nothing is missing: looser than any search asks for
_CLOSED = 60.0
#: columns of the pair alone under the names they have with electrons
_ELECTRON_NAMES = {"m_mumu": "m_ee", "pt_mumu_cms": "pt_ee_cms"}
_OWN = {
    "m_total": (r"M_{\ell\ell\gamma}", "GeV"),
    "recoil_mass_squared_total": (r"M^2_{\mathrm{recoil},\ell\ell\gamma}", "GeV^2"),
    "photon_energy_cms": (r"E^*_\gamma", "GeV"),
    "photon_cos_theta_lab": (r"\cos\theta_\gamma", ""),
    "photon_recoil_mass_squared": (r"M^2_{\mathrm{recoil},\gamma}", "GeV^2"),
    "photon_angle": (r"\angle(\gamma, \mathrm{recoil})", "rad"),
    "m_pair": (r"M_{\ell\ell}^\mathrm{fitted}", "GeV"),
    "reduced_mass": (r"M_R", "GeV"),
    "reduced_mass_raw": (r"M_R^\mathrm{measured}", "GeV"),
    "chi2": (r"\chi^2", ""),
    "cos_theta_lab_minus": (r"\cos\theta_{\ell^-}", ""),
    "cos_theta_lab_plus": (r"\cos\theta_{\ell^+}", ""),
    "momentum_min_lab": (r"\min p", "GeV"),
    "photon_track_angle": (r"\min\angle(\gamma, \ell)", "rad"),
}


def reduced(mass: Array, lepton: float) -> Array:
    """Reduced mass sqrt(m^2 - 4 m_l^2) [GeV] of pairs of ``mass`` [GeV] of leptons of ``lepton`` [GeV], 0 below threshold."""
    return np.asarray(np.sqrt(np.maximum(mass * mass - 4.0 * lepton * lepton, 0.0)))


def columns(tracks: Array, clusters: Array, detector: Detector, lepton: float) -> dict[str, Array]:
    """Pair, its recoil and the photon, each ``(n,)``, of tracks ``(n, 2, 3)`` and photons ``(n, 1, 4)`` [GeV].

    ``photon_angle`` is that between the photon and the recoil of the pair in the lab, ``photon_track_angle`` that between photon
    and nearer track there.
    """
    beams, photon = detector.beams, clusters[:, 0]
    each = four_momenta(tracks, (lepton, lepton))
    pair = each.sum(axis=1)
    recoil = beams.nominal - pair
    alone = dilepton.dilepton_columns(tracks, beams, (lepton, lepton))
    fitted = fit_tracks(tracks, lepton, detector, _GAP, clusters)
    mass = np.sqrt(np.maximum(square(four_momenta(fitted.tracks_lab, (lepton, lepton)).sum(axis=1)), 0.0))
    cosines = cos_theta(each)
    return {_ELECTRON_NAMES.get(name, name) if lepton == M_ELECTRON else name: values for name, values in alone.items()} | {
        "m_total": np.sqrt(np.maximum(square(pair + photon), 0.0)),
        "recoil_mass_squared_total": square(recoil - photon),
        "photon_energy_cms": to_cms(photon, beams)[:, 0],
        "photon_cos_theta_lab": cos_theta(photon),
        "photon_recoil_mass_squared": photons.recoil_mass_squared(photon, beams),
        "photon_angle": _angle(photon, recoil),
        "m_pair": mass,
        "reduced_mass": reduced(mass, lepton),
        "reduced_mass_raw": reduced(alone["m_mumu"], lepton),
        "chi2": fitted.chi2,
        "cos_theta_lab_minus": cosines[:, 0],
        "cos_theta_lab_plus": cosines[:, 1],
        "momentum_min_lab": np.sqrt((tracks**2).sum(axis=-1)).min(axis=1),
        "photon_track_angle": np.minimum(_angle(photon, each[:, 0]), _angle(photon, each[:, 1])),
    }


def _angle(a: Array, b: Array) -> Array:
    """Angle ``(n,)`` [rad] between the momenta of ``a`` and ``b`` ``(n, 4)``."""
    size = np.sqrt((a[:, 1:] ** 2).sum(axis=1) * (b[:, 1:] ** 2).sum(axis=1))
    return np.asarray(np.arccos(np.clip((a[:, 1:] * b[:, 1:]).sum(axis=1) / np.maximum(size, 1e-300), -1.0, 1.0)))


def reconstruct(events: Events, detector: Detector, key: int, wanted: Wanted, lepton: float) -> Reconstruction:
    """The events as two leptons and a photon, whose direction is that from the collision point."""
    seen = observe(events, detector, key)
    reco = exclusive(seen, wanted, lambda _tracks, _photons, _which: {}, detector.beams, key)
    photon = photons.from_vertex(reco.clusters_lab, seen.points_cm, detector)
    return replace(reco, clusters_lab=photon, columns=columns(reco.tracks_lab, photon, detector, lepton))


def _closed(c: Columns, _detector: Detector) -> Mask:
    """Where searches look: nothing is missing."""
    return np.asarray(c["chi2"] < _CLOSED)


def _certain(c: Columns, detector: Detector) -> Mask:
    """Whether the photon is one: an electron at the edge of the tracker is not closed either."""
    return np.asarray((c["photon_energy_cms"] > _HARDER) & in_tracker("photon_cos_theta_lab")(c, detector))


def _open(c: Columns, detector: Detector) -> Mask:
    """What control samples of lost photons need beside that: a barrel photon and something missing."""
    return np.asarray((c["chi2"] >= _CLOSED) & in_barrel("photon_cos_theta_lab")(c, detector))


def _state(name: str, title: str, hypothesis: str, lepton: float) -> FinalState:
    wanted = Wanted(hypotheses=(hypothesis, hypothesis), charges=(-1, 1), photons=1)
    alone = dilepton.COLUMNS
    if lepton == M_ELECTRON:
        alone = {_ELECTRON_NAMES.get(name, name): (symbol.replace(r"\mu\mu", "ee").replace(r"\mu", "e"), unit)
                 for name, (symbol, unit) in alone.items()}  # fmt: skip
    return FinalState(
        name=name, title=title, wanted=wanted, columns=partial(columns, lepton=lepton), meanings={**alone, **_OWN},
        loose=lambda c, detector: np.where(_closed(c, detector), c["photon_energy_cms"] > _SOFTEST, _certain(c, detector)),
        axes=(Axis(column="reduced_mass", low=0.0, high=3.3, bins=400, root=True),), dense=_closed, rare=_open,
        fast=partial(reconstruct, wanted=wanted, lepton=lepton),
    )  # fmt: skip


DIMUON_PHOTON = _state("dimuon_photon", "two muons and a photon and nothing else", "muon", M_MUON)
DIELECTRON_PHOTON = _state("dielectron_photon", "two electrons and a photon and nothing else", "electron", M_ELECTRON)
