"""The iron outside the magnet: muons that reach it, neutral hadrons that shower in it, photons that leak into it.

All three are probabilities of a KLM hit. For muons it is the reach in momentum and polar angle, without the
identification's efficiency. A neutral hadron must get through the calorimeter and interact in the iron. A photon is seen
only where it misses the calorimeter, through a gap or a crack: the KLM backs up the photon veto there. The barrel is made
of sectors in azimuth with gaps between them, where the end caps do not overlap with it.

Not included: the clusters' positions, the cut-out for the cryogenics of the magnet, hadrons punching through, beam
background (accidental vetoes).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from belle2dark.detector.calorimeter import REGIONS, Clusters
from belle2dark.detector.experiments import Detector
from belle2dark.simulation.events import Array, Particles


def klm_hits(particles: Particles, clusters: Clusters, detector: Detector) -> Array:
    """Probability ``(n, k)`` that each of ``particles`` makes a hit in the KLM; ``clusters`` of the same particles."""
    p = particles.momenta_lab
    momentum = np.sqrt((p[..., 1:] ** 2).sum(axis=-1))
    cos = p[..., 3] / np.maximum(momentum, 1e-300)
    low, high = detector.cosines("klm_theta")
    covered = (cos > low) & (cos < high) & (momentum > 0.0) & ~_between_sectors(p, cos, detector)
    kind = np.abs(particles.pdg)
    start, full = detector.numbers["muon_id_turn_on"].values
    t = np.clip((momentum - start) / (full - start), 0.0, 1.0)
    muon = np.where(kind == 13, t * t * (3.0 - 2.0 * t), 0.0)
    reached = math.exp(-detector.number("ecl_interaction_lengths"))
    interacts = 1.0 - math.exp(-detector.number("klm_interaction_lengths"))
    hadron = np.where(np.isin(kind, (130, 2112)), reached * interacts * detector.number("klm_neutral_efficiency"), 0.0)
    outside = np.isin(clusters.region, (REGIONS["gap"], REGIONS["outside"]))
    leaks = np.where(outside, 1.0, clusters.unseen) * (p[..., 0] > detector.number("klm_photon_threshold"))
    photon = np.where(kind == 22, leaks * detector.number("klm_photon_efficiency"), 0.0)
    return np.asarray(np.where(covered, muon + hadron + photon, 0.0))


def _between_sectors(p: Array, cos: Array, detector: Detector) -> NDArray[np.bool_]:
    """Whether a direction points between two barrel sectors, ``(n, k)``: boundaries at half-integer multiples of a sector."""
    low, high = detector.cosines("klm_barrel_theta")
    turn = detector.number("klm_sectors") / (2.0 * math.pi)
    phase = np.arctan2(p[..., 2], p[..., 1]) * turn
    distance = np.abs(phase - np.floor(phase) - 0.5)
    return np.asarray((distance < 0.5 * detector.number("klm_sector_gap") * turn) & (cos > low) & (cos < high))
