"""Lines of the high-level trigger (HLT) for single photons, single muons and displaced vertices, on offline-like quantities.

The HLT runs the offline reconstruction, so these are functions of clusters and tracks, not of L1 objects. There is no L1
line for a displaced vertex in menu 0036: an event must first fire another one. Not included: the Zernike shower-shape
classifier (> 0.5 for a photon), cluster timing, prescales, and the lines of other topics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from belle2dark.detector.observed import Observed
from belle2dark.simulation.beams import Beams, to_cms
from belle2dark.sourced import load_numbers, nearest

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
NUMBERS = load_numbers("hlt")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clusters:
    """Calorimeter clusters of n events: ``neutral_lab`` (n, k, 4) and, matched to a track, ``charged_lab`` (n, m, 4) [GeV].

    Four-momenta of massless particles, zeros where there is none. Raises ``ValueError`` for wrong shapes.
    """

    neutral_lab: Array
    charged_lab: Array
    beams: Beams

    def __post_init__(self) -> None:
        for name, values in (("neutral_lab", self.neutral_lab), ("charged_lab", self.charged_lab)):
            if values.ndim != 3 or values.shape[2] != 4 or len(values) != len(self.neutral_lab):
                raise ValueError(f"{name} has shape {values.shape}, expected (n, k, 4)")


def clusters_of(observed: Observed, beams: Beams) -> Clusters:
    """The clusters of observed events, with a charged particle's cluster matched to its track.

    Neither the efficiency of a cluster nor that of a track is applied: those are weights of the observed events.
    """
    charged = (observed.tracks.charge != 0)[..., None]
    momenta = observed.clusters.momenta_lab
    return Clusters(neutral_lab=np.where(charged, 0.0, momenta), charged_lab=np.where(charged, momenta, 0.0), beams=beams)


@dataclass(frozen=True, slots=True, kw_only=True)
class HltLine:
    """One HLT line on clusters: ``keep(clusters)`` is (n,) bool."""

    name: str
    title: str
    keep: Callable[[Clusters], Mask]
    source: str


def _theta(momenta: Array) -> Array:
    """Polar angle [deg] of (..., 4)."""
    return np.degrees(np.arctan2(np.hypot(momenta[..., 1], momenta[..., 2]), momenta[..., 3]))


def _energies(clusters: Clusters) -> tuple[Array, Array]:
    """Centre-of-mass energies of the neutral and of all clusters."""
    neutral = to_cms(clusters.neutral_lab, clusters.beams)[..., 0]
    return neutral, np.concatenate([neutral, to_cms(clusters.charged_lab, clusters.beams)[..., 0]], axis=1)


def photons(clusters: Clusters, window: str) -> Mask:
    """Neutral clusters in one of the windows of ``hlt.yaml`` (energy in the centre of mass, polar angle in the lab), (n, k)."""
    energy, low, high = NUMBERS[window].values
    theta = _theta(clusters.neutral_lab)
    return np.asarray((_energies(clusters)[0] > energy) & (theta > low) & (theta < high))


def single_photon(clusters: Clusters, window: str) -> Mask:
    """A photon in the window and no other cluster above 0.3 GeV in the centre of mass, (n,)."""
    found = photons(clusters, window)
    return np.asarray(found.any(axis=1) & ((_energies(clusters)[1] > float(NUMBERS["other_cluster"])).sum(axis=1) == 1))


def pair_veto(clusters_lab: Array, beams: Beams) -> Mask:
    """Two clusters back to back in the centre of mass with the energies of a final state of two (gg2clst), (n,)."""
    cms = to_cms(clusters_lab, beams)
    energy, phi, theta = cms[..., 0], np.degrees(np.arctan2(cms[..., 2], cms[..., 1])), _theta(cms)
    apart, spread = NUMBERS["pair_angles"].values
    both, one = NUMBERS["pair_energies"].values
    veto = np.zeros(len(cms), dtype=bool)
    for a in range(cms.shape[1]):
        for b in range(a):
            folded = 180.0 - np.abs(np.abs(phi[:, a] - phi[:, b]) - 180.0)
            low, high = np.minimum(energy[:, a], energy[:, b]), np.maximum(energy[:, a], energy[:, b])
            veto |= (folded > apart) & (np.abs(theta[:, a] + theta[:, b] - 180.0) < spread) & (low > both) & (high > one)
    return veto


def hard_photon(clusters: Clusters, *windows: str) -> Mask:
    """A photon in one of the windows, and neither two photons nor two charged clusters like a final state of two, (n,)."""
    found = np.zeros(len(clusters.neutral_lab), dtype=bool)
    for window in windows:
        found |= photons(clusters, window).any(axis=1)
    return found & ~pair_veto(clusters.neutral_lab, clusters.beams) & ~pair_veto(clusters.charged_lab, clusters.beams)


def displaced_vertex(vertex_cm: Array, tracks_lab: Array, probability: Array) -> Mask:
    """The displaced-vertex line, (n,): fitted vertex (n, 3) [cm] of two tracks (n, 2, 3) [GeV] and its fit probability (n,)."""
    radius = np.hypot(vertex_cm[:, 0], vertex_cm[:, 1])
    theta = np.degrees(np.arctan2(radius, vertex_cm[:, 2]))
    (r_low, r_high), (t_low, t_high) = NUMBERS["vertex_radius"].values, NUMBERS["vertex_theta"].values
    polar = np.degrees(np.arctan2(np.hypot(tracks_lab[..., 0], tracks_lab[..., 1]), tracks_lab[..., 2]))
    phi = np.degrees(np.arctan2(tracks_lab[..., 1], tracks_lab[..., 0]))
    near = float(NUMBERS["vertex_back_to_back"])
    opposite = np.abs(np.abs(phi[:, 0] - phi[:, 1]) - 180.0) < near
    straight = opposite & (np.abs(polar.sum(axis=1) - 180.0) < near)
    good = (probability > float(NUMBERS["vertex_probability"])) & (radius > r_low) & (radius < r_high)
    return np.asarray(good & (theta > t_low) & (theta < t_high) & ~straight)


def single_muon(tracks_lab: Array, mass: float, cluster_energy: Array, beams: Beams) -> Mask:
    """A track (n, k, 3) above 3 GeV in the centre of mass whose cluster (n, k) [GeV] is minimum-ionising, (n,)."""
    energy = np.sqrt((tracks_lab**2).sum(axis=-1, keepdims=True) + mass**2)
    cms = to_cms(np.concatenate([energy, tracks_lab], axis=-1), beams)
    low, high = NUMBERS["muon_cluster"].values
    fast = np.linalg.norm(cms[..., 1:], axis=-1) > float(NUMBERS["muon_momentum"])
    return np.asarray((fast & (cluster_energy > low) & (cluster_energy < high)).any(axis=1))


def _single(window: str, title: str) -> HltLine:
    return HltLine(
        name=f"single_{window}", title=title, keep=partial(single_photon, window=window), source=NUMBERS[window].source
    )


LINES = {
    line.name: line
    for line in (
        _single("photon_1gev_central", "single photon above 1 GeV, 45 to 115 degrees"),
        _single("photon_1gev_barrel", "single photon above 1 GeV, 30 to 130 degrees"),
        _single("photon_05gev_central", "single photon above 0.5 GeV, 44 to 98 degrees"),
        HltLine(name="photon_2gev_barrel", title="photon above 2 GeV, barrel, not gamma gamma or ee",
                keep=lambda clusters: hard_photon(clusters, "photon_2gev_barrel"), source=NUMBERS["photon_2gev_barrel"].source),
        HltLine(name="photon_2gev_endcaps", title="photon above 2 GeV, endcaps, not gamma gamma or ee",
                keep=lambda clusters: hard_photon(clusters, "photon_2gev_forward", "photon_2gev_backward"),
                source=NUMBERS["photon_2gev_forward"].source),
    )
}  # fmt: skip


def hlt_line(name: str) -> HltLine:
    """One of :data:`LINES`; raises ``ValueError`` naming the nearest valid name."""
    if name not in LINES:
        raise ValueError(f"unknown HLT line {name!r}; nearest: {nearest(name, LINES)}; known: {', '.join(LINES)}")
    return LINES[name]
