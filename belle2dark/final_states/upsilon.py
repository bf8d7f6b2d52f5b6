"""Final states behind Upsilon(2S) -> pi+ pi- Upsilon(1S): a photon with two muons, or with two tracks of one-prong taus.

Tracks are pi-, pi+, l-, l+: the dipion first, with one photon and nothing else. The two pions are not identified: their recoil
mass is that of the Upsilon(1S), to a good MeV. "upsilon_dimuon": both others are muons and nothing is missing; everything is
fitted to the four-momentum of the beams (:mod:`belle2dark.detector.kinematic_fit`), which makes the mass of the pair up to ten
times sharper. "upsilon_ditau": at least one of the others is an electron or a muon, the other is no kaon; neutrinos are missing,
and the mass is that of what the photon recoils against in the known Upsilon(1S). Directions of photons are from the
collision point, as in an analysis.

Not included: recovery of photons that an electron radiates in material, a common vertex, taus with more prongs or pi0 (a pi0 with
one lost photon looks like the photon of the signal), beam background.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from belle2dark.constants import M_MUON, M_PION, M_UPSILON_1S, M_UPSILON_2S
from belle2dark.detector.exclusive import Wanted, exclusive
from belle2dark.detector.experiments import Detector
from belle2dark.detector.kinematic_fit import errors_at, fit_to_beams
from belle2dark.detector.multitrack import four_momenta
from belle2dark.detector.observed import Observed, observe
from belle2dark.detector.photons import from_vertex
from belle2dark.detector.response import Reconstruction
from belle2dark.detector.track_fit import prompt_errors
from belle2dark.final_states.record import Axis, Columns, FinalState, Mask, cos_theta, in_tracker, square
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.rng import make_key

#: least energy [GeV] of the photon in the lab
SOFTEST = 0.1
#: momentum [GeV] in the lab below which a track can be a pion of the dipion
DIPION_MOMENTUM = 0.5
#: place of the hypothesis "pion" among the four
_DIPION = 2
#: distance [GeV] of the dipion's recoil mass from the Upsilon(1S) that templates keep
WIDE = 0.02
#: largest chi2 of the fit to the beams that templates keep
OPEN = 100.0
_CHARGES = (-1, 1, -1, 1)
_MASSES = (M_PION, M_PION, M_MUON, M_MUON)

_TAG = {
    "dipion_recoil_mass": (r"M_{\mathrm{recoil},\pi\pi}", "GeV"),
    "dipion_mass": (r"M_{\pi\pi}", "GeV"),
    "photon_energy": (r"E_\gamma", "GeV"),
    "photon_cos_theta_lab": (r"\cos\theta_\gamma", ""),
    "photon_recoil_mass_squared": (r"M^2_{\mathrm{recoil},\pi\pi\gamma}", "GeV^2"),
    "photon_track_angle": (r"\min\angle(\gamma, \ell)", "rad"),
    "missing_energy": (r"E_\mathrm{miss}", "GeV"),
    "missing_mass_squared": (r"M^2_\mathrm{miss}", "GeV^2"),
    "missing_cos_theta_lab": (r"\cos\theta_\mathrm{miss}", ""),
    "p_min_lab": (r"\min p_\ell", "GeV"),
    "m_pair_raw": (r"M_{\ell\ell}^\mathrm{measured}", "GeV"),
}
DIMUON = _TAG | {
    "m_pair": (r"M_{\mu\mu}", "GeV"),
    "reduced_mass": (r"M_R", "GeV"),
    "chi2": (r"\chi^2", ""),
}


def reduced(mass: Array) -> Array:
    """Reduced mass sqrt(m^2 - 4 m_mu^2) [GeV] of pairs of ``mass`` [GeV], 0 below threshold."""
    return np.asarray(np.sqrt(np.maximum(mass * mass - 4.0 * M_MUON * M_MUON, 0.0)))


def _mass(p: Array) -> Array:
    return np.asarray(np.sqrt(np.maximum(square(p), 0.0)))


def _angle(a: Array, b: Array) -> Array:
    """Angle ``(n,)`` [rad] between the momenta of ``a`` and ``b`` ``(n, 4)``."""
    size = np.sqrt((a[:, 1:] ** 2).sum(axis=1) * (b[:, 1:] ** 2).sum(axis=1))
    return np.asarray(np.arccos(np.clip((a[:, 1:] * b[:, 1:]).sum(axis=1) / np.maximum(size, 1e-300), -1.0, 1.0)))


def tag_columns(tracks: Array, clusters: Array, detector: Detector) -> dict[str, Array]:
    """Dipion, photon and what is missing, each ``(n,)``, of tracks ``(n, 4, 3)`` and photons ``(n, 1, 4)`` [GeV].

    ``photon_energy`` and ``missing_energy`` are at rest of the Upsilon(1S), which is what the dipion recoils against, with its
    known mass.
    """
    beams, photon, p = detector.beams, clusters[:, 0], four_momenta(tracks, _MASSES)
    upsilon = beams.nominal * (M_UPSILON_2S / beams.sqrt_s) - p[:, 0] - p[:, 1]
    pair = p[:, 2] + p[:, 3]
    missing = upsilon - pair - photon
    mixed = upsilon[:, 0] * photon[:, 0] - (upsilon[:, 1:] * photon[:, 1:]).sum(axis=1)
    seen = upsilon[:, 0] * missing[:, 0] - (upsilon[:, 1:] * missing[:, 1:]).sum(axis=1)
    return {
        "dipion_recoil_mass": _mass(upsilon),
        "dipion_mass": _mass(p[:, 0] + p[:, 1]),
        "photon_energy": mixed / M_UPSILON_1S,
        "photon_cos_theta_lab": cos_theta(photon),
        "photon_recoil_mass_squared": M_UPSILON_1S**2 - 2.0 * mixed,
        "photon_track_angle": np.minimum(_angle(photon, p[:, 2]), _angle(photon, p[:, 3])),
        "missing_energy": seen / M_UPSILON_1S,
        "missing_mass_squared": square(missing),
        "missing_cos_theta_lab": cos_theta(missing),
        "p_min_lab": np.sqrt((tracks[:, 2:] ** 2).sum(axis=-1)).min(axis=1),
        "m_pair_raw": _mass(pair),
    }


def dimuon_columns(tracks: Array, clusters: Array, detector: Detector) -> dict[str, Array]:
    """The same with the pair of muons fitted to the beams, and the chi2 of the fit (4 degrees of freedom)."""
    errors = np.concatenate(
        [prompt_errors(tracks[:, :2], M_PION, detector), prompt_errors(tracks[:, 2:], M_MUON, detector)], axis=1
    )
    fitted = fit_to_beams(tracks, errors, _MASSES, detector.beams, clusters[:, :1], errors_at(clusters[:, :1], detector))
    mass = _mass(four_momenta(fitted.tracks_lab[:, 2:], _MASSES[2:]).sum(axis=1))
    return tag_columns(tracks, clusters, detector) | {"m_pair": mass, "reduced_mass": reduced(mass), "chi2": fitted.chi2}


def _seen(events: Events, detector: Detector, key: int, identified: Callable[[Array], Array]) -> Observed:
    """What the detector sees: photons from the collision point, ``identified`` as the hypotheses of this final state.

    ``identified`` makes the probabilities ``(n, k, 4)`` of a way's hypotheses out of those of e, mu, pi, K. Any slow track, and
    no other, is good for a pion of the dipion.
    """
    seen = observe(events, detector, key)
    clusters = replace(seen.clusters, momenta_lab=from_vertex(seen.clusters.momenta_lab, seen.points_cm, detector))
    own = seen.identified.copy()
    own[:, :, 0] = identified(seen.identified[:, :, 0])
    own[:, :, 0, _DIPION] = (seen.tracks.momenta_lab**2).sum(axis=-1) < DIPION_MOMENTUM**2
    return replace(seen, clusters=clusters, identified=own)


def _dimuon(events: Events, detector: Detector, key: int) -> Reconstruction:
    seen = _seen(events, detector, key, lambda known: known)
    return exclusive(seen, DIMUON_WANTED, lambda t, p, _which: dimuon_columns(t, p, detector), detector.beams, key)


def _tau_tracks(known: Array) -> Array:
    """Probabilities ``(n, k, 4)``: any track of a tau, one that is an electron or a muon, (not used), one that is neither."""
    lepton = np.minimum(known[..., 0] + known[..., 1], 1.0)
    neither = (1.0 - lepton) * known[..., 2]
    return np.stack([lepton + neither, lepton, lepton, neither], axis=-1)


def _ditau(events: Events, detector: Detector, key: int) -> Reconstruction:
    """A lepton and any track, or neither and a lepton: the two exclude each other, and one is drawn for the event."""
    seen, beams = _seen(events, detector, key, _tau_tracks), detector.beams
    both = [exclusive(seen, wanted, lambda _t, _p, _which: {}, beams, key) for wanted in (DITAU_WANTED, _SECOND_ONLY)]
    weights = np.array([np.prod(list(way.factors.values()), axis=0) for way in both])
    total = weights.sum(axis=0)
    second = np.random.default_rng(make_key(key, "lepton")).random(len(total)) * total < weights[1]
    drawn = np.where(second, weights[1], weights[0])
    factors = {name: np.where(second, both[1].factors[name], both[0].factors[name]) for name in both[0].factors}
    factors["nothing else"] = factors["nothing else"] * np.divide(total, drawn, out=np.ones_like(total), where=drawn > 0.0)
    tracks, clusters = (np.where(second[:, None, None], b, a) for a, b in (
        (both[0].tracks_lab, both[1].tracks_lab), (both[0].clusters_lab, both[1].clusters_lab)))  # fmt: skip
    return Reconstruction(tracks_lab=tracks, weights=events.weights, factors=factors, clusters_lab=clusters,
                          columns=tag_columns(tracks, clusters, detector))  # fmt: skip


def _tagged(columns: Columns, detector: Detector) -> Mask:
    """A dipion off the Upsilon(1S) and a photon inside the tracker's range."""
    near = np.abs(columns["dipion_recoil_mass"] - M_UPSILON_1S) < WIDE
    return np.asarray(near & in_tracker("photon_cos_theta_lab")(columns, detector))


def _taus(columns: Columns, detector: Detector) -> Mask:
    """Neutrinos, and a photon that is not next to a track."""
    return np.asarray(_tagged(columns, detector) & (columns["missing_energy"] > 0.5) & (columns["photon_track_angle"] > 0.25))


def _narrow(columns: Columns) -> Mask:
    return np.asarray(np.abs(columns["dipion_recoil_mass"] - M_UPSILON_1S) < 0.5 * WIDE)


DIMUON_WANTED = Wanted(hypotheses=("pion", "pion", "muon", "muon"), charges=_CHARGES, photons=1, energy_min=SOFTEST)
DITAU_WANTED = Wanted(hypotheses=("pion", "pion", "muon", "electron"), charges=_CHARGES, photons=1, energy_min=SOFTEST)
_SECOND_ONLY = Wanted(hypotheses=("pion", "pion", "kaon", "muon"), charges=_CHARGES, photons=1, energy_min=SOFTEST)
STATES = (
    FinalState(
        name="upsilon_dimuon", title="a dipion off the Upsilon(1S), two muons and a photon and nothing else",
        wanted=DIMUON_WANTED, columns=dimuon_columns, meanings=DIMUON, fast=_dimuon,
        loose=lambda c, detector: _tagged(c, detector) & (c["chi2"] < OPEN),
        axes=(Axis(column="reduced_mass", low=0.0, high=9.6, bins=240),),
        dense=lambda c, _detector: _narrow(c) & (c["chi2"] < 25.0),
    ),
    FinalState(
        name="upsilon_ditau", title="a dipion off the Upsilon(1S), a lepton, another track and a photon and nothing else",
        wanted=DITAU_WANTED, columns=tag_columns, meanings=_TAG, fast=_ditau, loose=_taus,
        # the resolution grows with the energy: fine strata where it is small
        axes=(Axis(column="photon_energy", low=0.0, high=4.8, bins=120),
              Axis(column="photon_energy", low=0.1, high=0.9, bins=80)),
        dense=lambda c, _detector: _narrow(c) & (c["photon_track_angle"] > 0.6) & (c["missing_energy"] > 1.0),
    ),
)  # fmt: skip
