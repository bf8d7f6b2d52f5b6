"""The final state "a photon and nothing else": what it recoils against is invisible, or was lost.

Besides the photon itself the columns say where a single lost photon would have gone: ``recoil_edge`` is how far the recoil
points from the nearest edge, gap or crack of the calorimeter. ``klm_seen`` is drawn per event, for signals and backgrounds
alike: whether the iron saw one of the photons that left nothing in the calorimeter (in a gap, a crack, beyond its edge, or
by its inefficiency), each with the probability of the detector record. A cut on it is the KLM (at BaBar: IFR) veto.

A photon inside the calorimeter is lost here more rarely than in other final states: the single inefficiency of the photon veto
stands for everything that several analyses lose at any energy, but a hard photon that is the only other particle is lost
by passing the crystals (a few in a million) or through photonuclear reactions, whose share falls exponentially with energy.

Not included: hits of the seen photon's own shower, of beam background and of cosmic muons, which cost efficiency.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from belle2dark.detector import photons
from belle2dark.detector.calorimeter import REGIONS, calorimeter_numbers
from belle2dark.detector.exclusive import Wanted, exclusive
from belle2dark.detector.experiments import Detector
from belle2dark.detector.observed import Observed, observe
from belle2dark.detector.response import Reconstruction
from belle2dark.final_states.record import Axis, Columns, FinalState, Mask, cos_theta, in_barrel, in_tracker
from belle2dark.simulation.beams import to_cms
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.rng import make_key

_MEANINGS = {
    "energy_cms": (r"E^*_\gamma", "GeV"),
    "recoil_mass_squared": (r"M^2_\mathrm{recoil}", "GeV^2"),
    "cos_theta_lab": (r"\cos\theta_\gamma", ""),
    "cos_theta_cms": (r"\cos\theta^*_\gamma", ""),
    "phi_lab": (r"\phi_\gamma", "rad"),
    "recoil_cos_theta_lab": (r"\cos\theta_\mathrm{recoil}", ""),
    "recoil_edge": (r"\mathrm{angle\ of\ the\ recoil\ to\ a\ gap}", "deg"),
    "klm_seen": (r"\mathrm{KLM\ hit}", ""),
}
_WANTED = Wanted(photons=1)


def edge_distance(theta: Array, phi: Array, detector: Detector) -> Array:
    """Angle [deg] ``(n,)`` of directions (lab, [rad]) to the nearest edge, gap or crack of the calorimeter, negative outside.

    Cracks are boundaries of the barrel's modules in azimuth and polar angle, where a detector has them; distances in
    azimuth are along the surface.
    """
    c = calorimeter_numbers(detector)
    best = np.full(len(theta), -np.pi)
    for low, high in ((c.forward_low, c.forward_high), (c.barrel_low, c.barrel_high), (c.backward_low, c.backward_high)):
        if high > low:
            best = np.maximum(best, np.minimum(theta - low, high - theta))
    barrel = (theta > c.barrel_low) & (theta < c.barrel_high)
    if c.cracks_phi > 0.0:
        module = 2.0 * np.pi / c.cracks_phi
        across = np.abs(phi - module * np.round(phi / module)) * np.sin(theta)
        best = np.where(barrel, np.minimum(best, across), best)
    if c.cracks_theta > 0.0:
        row = (c.barrel_high - c.barrel_low) / (c.cracks_theta + 1.0)
        depth = (theta - c.barrel_low) / row
        best = np.where(barrel, np.minimum(best, np.abs(depth - np.round(depth)) * row), best)
    return np.asarray(np.degrees(best))


def _columns(_tracks: Array, clusters: Array, detector: Detector, klm_seen: NDArray[np.int8]) -> dict[str, Array]:
    photon, cms = clusters[:, 0], to_cms(clusters[:, 0], detector.beams)
    recoil = detector.beams.nominal - photon
    cosine = cos_theta(recoil)
    return {
        "energy_cms": cms[:, 0],
        "recoil_mass_squared": photons.recoil_mass_squared(photon, detector.beams),
        "cos_theta_lab": cos_theta(photon),
        "cos_theta_cms": cos_theta(cms),
        "phi_lab": np.arctan2(photon[:, 2], photon[:, 1]),
        "recoil_cos_theta_lab": cosine,
        "recoil_edge": edge_distance(np.arccos(np.clip(cosine, -1.0, 1.0)), np.arctan2(recoil[:, 2], recoil[:, 1]), detector),
        "klm_seen": klm_seen.astype(float),
    }


def klm_missed(observed: Observed, photon_lab: Array) -> Array:
    """Probability ``(n,)`` that the KLM sees nothing of what the calorimeter missed, ``photon_lab`` ``(n, 4)`` being seen."""
    clusters = observed.clusters
    other = (clusters.merged < 0) & ~(clusters.momenta_lab == photon_lab[:, None, :]).all(axis=-1)
    # for a photon the KLM's probability includes that of leaving nothing in the calorimeter, which is given here
    given = np.where(observed.pdg == 22, clusters.unseen, 1.0)
    hit = np.divide(observed.klm, given, out=np.zeros_like(given), where=given > 0.0)
    return np.asarray(np.where(other, 1.0 - hit, 1.0).prod(axis=1))


def _observe(events: Events, detector: Detector, key: int) -> Observed:
    """What the detector sees, with the veto of single-photon searches."""
    hard = detector.vary(photon_veto_inefficiency=detector.number("photon_punch_through"))
    observed = observe(events, hard, key)
    energy, clusters = events.particles().momenta_lab[..., 0], observed.clusters
    threshold = detector.number("photon_veto_threshold")
    soft = detector.number("photon_veto_inefficiency") * np.exp(-energy / detector.number("photon_veto_soft_scale"))
    soft *= 1.0 + (detector.number("photon_veto_soft_energy") / np.maximum(energy, threshold)) ** 2
    inside = np.isin(clusters.region, [REGIONS[part] for part in ("backward", "barrel", "forward")])
    vetoes = inside & np.isin(np.abs(observed.pdg), (11, 22)) & (energy > threshold)
    unseen = np.where(vetoes, np.minimum(clusters.unseen + soft, 1.0), clusters.unseen)
    return replace(observed, clusters=replace(clusters, unseen=unseen))


def _reconstruct(events: Events, detector: Detector, key: int) -> Reconstruction:
    """The photon and its columns; whether the KLM saw something is drawn and does not veto."""
    observed = _observe(events, detector, key)

    def none(_tracks: Array, _photons: Array, _which: NDArray[np.int8]) -> dict[str, Array]:
        return {}

    blind = replace(observed, klm=np.where(observed.pdg == 22, 0.0, observed.klm))
    reco = exclusive(blind, _WANTED, none, detector.beams, key)
    dice = np.random.default_rng(make_key(key, "klm")).random(len(reco))
    seen = (dice > klm_missed(observed, reco.clusters_lab[:, 0])).astype(np.int8)
    columns: Mapping[str, Array] = _columns(reco.tracks_lab, reco.clusters_lab, detector, seen)
    return replace(reco, columns=columns, alternative=seen)


def _unseen_in_barrel(columns: Columns, detector: Detector) -> Mask:
    """Where searches look, before they ask where the recoil points: photons in the barrel and nothing in the KLM."""
    return np.asarray(in_barrel("cos_theta_lab")(columns, detector) & (columns["klm_seen"] < 0.5))


STATE = FinalState(
    name="single_photon", title="a photon and nothing else", wanted=_WANTED, columns=_columns, meanings=_MEANINGS,
    loose=lambda c, detector: (c["energy_cms"] > 0.5) & (c["recoil_mass_squared"] > -10.0)
    & in_tracker("cos_theta_lab")(c, detector),
    axes=(Axis(column="recoil_mass_squared", low=-10.0, high=102.0, bins=112),
          Axis(column="cos_theta_lab", low=-0.95, high=1.0, bins=26)),
    dense=_unseen_in_barrel, rare=lambda c, detector: _unseen_in_barrel(c, detector) & (c["recoil_edge"] > 1.0),
    fast=_reconstruct, flags=True,
)  # fmt: skip
