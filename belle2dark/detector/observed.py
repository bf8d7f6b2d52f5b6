"""What a detector sees of any events: tracks, clusters, KLM hits and particle identification, as arrays.

Columns are the slots of the events that a detector may see (:attr:`Observed.slots`), so a track, its cluster and its KLM
hit share a column. Probabilities are weights: multiply those of what must be seen by one minus those of what must not.
For two muons from the beam line and nothing else :func:`belle2dark.detector.response.reconstruct` is twenty times faster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from belle2dark.detector.calorimeter import Clusters, measure_clusters
from belle2dark.detector.experiments import Detector
from belle2dark.detector.klm import klm_hits
from belle2dark.detector.particle_id import identification, index
from belle2dark.detector.response import Reconstruction
from belle2dark.detector.tracks import Tracks, measure_tracks
from belle2dark.simulation.beams import interaction_points
from belle2dark.simulation.events import Array, Codes, Events, Particles
from belle2dark.sourced import nearest

#: PDG codes of particles that decay before they are seen: a generator must decay them. A K_S0 that one has no slots for is
#: let through as a neutral hadron.
UNSTABLE = (15, 111, 221, 511, 521, 411, 421, 3122)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """n events with k slots; see :class:`Tracks` and :class:`Clusters`.

    ``weights`` ``(n,)`` are the generator's [fb]; ``pdg`` ``(n, k)`` the true kinds; ``vertices_cm`` ``(n, k, 3)`` the true
    production points with the interaction point ``points_cm`` ``(n, 3)`` added; ``identified`` ``(n, k, 2, 4)`` the
    probabilities of :func:`belle2dark.detector.particle_id.identification`; ``klm`` ``(n, k)`` that of a KLM hit.
    """

    slots: tuple[str, ...]
    weights: Array
    pdg: Codes
    tracks: Tracks
    clusters: Clusters
    identified: Array
    klm: Array
    vertices_cm: Array
    points_cm: Array

    def __len__(self) -> int:
        return len(self.weights)

    def slot(self, name: str) -> int:
        """Column of a slot; raises ``ValueError`` naming the nearest."""
        if name not in self.slots:
            raise ValueError(f"slot {name!r}: not one of {', '.join(self.slots)}; nearest: {nearest(name, self.slots)}")
        return self.slots.index(name)

    def momenta(self, *names: str) -> Array:
        """Smeared track momenta of some slots side by side, ``(n, k, 3)`` [GeV], as the dilepton and multitrack columns take."""
        return self.tracks.momenta_lab[:, [self.slot(name) for name in names]]

    def photons(self, *names: str) -> Array:
        """Smeared clusters of some slots side by side, ``(n, k, 4)`` [GeV], as the photon columns take."""
        return self.clusters.momenta_lab[:, [self.slot(name) for name in names]]

    def passes(self, name: str, hypothesis: str, working_point: str = "standard") -> Array:
        """Probability ``(n,)`` that the particle in a slot is found as a track and identified as ``hypothesis``."""
        column = self.slot(name)
        return self.tracks.efficiency[:, column] * self.identified[(slice(None), column, *index(hypothesis, working_point))]

    def unseen(self, names: tuple[str, ...]) -> Array:
        """Probability ``(n,)`` that neither tracker, calorimeter nor KLM sees any of the slots ``names``."""
        columns = [self.slot(name) for name in names]
        # a cluster that became part of another one is not seen by itself
        alone = np.where(self.clusters.merged[:, columns] >= 0, 1.0, self.clusters.unseen[:, columns])
        unseen = alone * (1.0 - self.klm[:, columns]) * (1.0 - self.tracks.efficiency[:, columns])
        return np.asarray(unseen.prod(axis=1))


def observe(events: Events, detector: Detector, key: int) -> Observed:
    """What ``detector`` sees of ``events``; random numbers from ``key``, each event at its own interaction point.

    Raises ``ValueError`` for a slot with a particle that should have decayed or with numbers that are not finite.
    """
    particles, slots = events.particles(), events.visible
    for name in slots:
        wrong = np.isin(np.abs(events.pdg(name)), UNSTABLE) & (events.momenta_lab[name][:, 0] > 0.0)
        if wrong.any():
            raise ValueError(f"slot {name!r}: PDG code {events.pdg(name)[wrong][0]} decays before it is seen; decay it first")
    points = interaction_points(detector.beams, len(events), key)
    moved = Particles(particles.momenta_lab, particles.pdg, particles.vertices_cm + points[:, None, :])
    tracks, clusters = measure_tracks(moved, detector, key), measure_clusters(moved, detector, key)
    return Observed(slots=slots, weights=events.weights, pdg=moved.pdg, tracks=tracks, clusters=clusters,
                    identified=identification(tracks.momenta_lab, moved.pdg, detector), klm=klm_hits(moved, clusters, detector),
                    vertices_cm=moved.vertices_cm, points_cm=points)  # fmt: skip


def final_state(observed: Observed, columns: Mapping[str, Array], tracks: Mapping[str, str], photons: tuple[str, ...] = (),
                working_point: str = "standard") -> Reconstruction:  # fmt: skip
    """The final state "these tracks and photons and nothing else", as searches, cutflows and templates take it.

    ``tracks`` maps slots to hypotheses ("muon", ...), ``photons`` are slots; every other slot must stay unseen.
    ``columns`` are the derived quantities, each ``(n,)``, from the smeared momenta of :meth:`Observed.momenta` and
    :meth:`Observed.photons`. Raises ``ValueError`` for unknown slots, hypotheses and working points.
    """
    n, seen = len(observed), [observed.slot(name) for name in tracks]
    found, clusters = observed.tracks.efficiency[:, seen], [observed.slot(name) for name in photons]
    known = np.ones(n)
    for name, hypothesis in tracks.items():
        known *= observed.identified[(slice(None), observed.slot(name), *index(hypothesis, working_point))]
    others = tuple(name for name in observed.slots if name not in (*tracks, *photons))
    factors = {
        "track acceptance": (found > 0.0).all(axis=1).astype(float),
        "tracking": found.prod(axis=1),
        "identification": known,
        "photons": observed.clusters.efficiency[:, clusters].prod(axis=1),
        "nothing else": observed.unseen(others),
    }
    rest = [observed.slot(name) for name in others]
    return Reconstruction(tracks_lab=observed.momenta(*tracks), weights=observed.weights, factors=factors, columns=columns,
                          clusters_lab=observed.clusters.momenta_lab[:, [*clusters, *rest]])  # fmt: skip
