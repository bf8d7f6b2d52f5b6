"""L1 objects of an event: counts and flags that trigger lines are made of.

A full 2D track needs most axial superlayers of the CDC, so it covers less than the offline tracks; a CDC-KLM match is a
2D track whose muon reaches the KLM. Each track is found or lost by a random draw, so that lines sharing a track are lost
together. Bit definitions: basf2, trg/grl and trg/gdl.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from belle2dark._jit import jit
from belle2dark.detector.experiments import Detector
from belle2dark.detector.response import Reconstruction
from belle2dark.simulation.rng import BLOCK, make_key, seed_block, uniform

#: objects in the order of the columns of :func:`l1_objects`, with their meaning.
OBJECTS = {
    "tracks_2d": "number of full 2D CDC tracks",
    "open90": "1 if two 2D tracks are at least 90 degrees apart in azimuth (10 degree bins)",
    "cdcklm": "number of 2D tracks matched to the KLM",
    "ehigh": "1 if the ECL energy sum exceeds 1 GeV",
    "bhabha": "1 if two clusters look like a Bhabha pair",
}


@jit()
def _objects(tracks, clusters, cos_low, cos_high, klm_low, klm_high, pt_min, klm_p, efficiency, klm_efficiency, muon_energy,
             beams, key, out):  # fmt: skip
    n, k = tracks.shape[0], clusters.shape[1]
    s0, s1 = seed_block(key, 0)
    for i in range(n):
        if i % BLOCK == 0:
            s0, s1 = seed_block(key, i // BLOCK)
        found, matched, energy = 0, 0, 0.0
        phi1 = phi2 = 0.0
        for j in range(2):
            s0, s1, u = uniform(s0, s1)
            s0, s1, v = uniform(s0, s1)
            x, y, z = tracks[i, j, 0], tracks[i, j, 1], tracks[i, j, 2]
            pt2 = x * x + y * y
            p = math.sqrt(pt2 + z * z)
            energy += muon_energy
            if pt2 > pt_min * pt_min and cos_low < z / p < cos_high and u < efficiency:
                phi2 = math.atan2(y, x)
                if found == 0:
                    phi1 = phi2
                found += 1
                if p > klm_p and klm_low < z / p < klm_high and v < klm_efficiency:
                    matched += 1
        out[i, 0] = found
        if found == 2:
            # the hardware compares 10 degree bins
            bins = abs(math.floor(phi1 * 18.0 / math.pi) - math.floor(phi2 * 18.0 / math.pi))
            out[i, 1] = 1 if min(bins, 36 - bins) >= 9 else 0
        out[i, 2] = matched
        for j in range(k):
            energy += clusters[i, j, 0]
        out[i, 3] = 1 if energy > 1.0 else 0
        out[i, 4] = _bhabha(clusters[i], beams)


@jit(inline=True)
def _to_cms(p, beams):
    """Energy, polar and azimuthal angle of a light particle in the frame boosted along z only, as the hardware does."""
    gamma, gamma_beta = beams
    e = gamma * p[0] - gamma_beta * p[3]
    z = gamma * p[3] - gamma_beta * p[0]
    return e, math.acos(min(1.0, max(-1.0, z / max(e, 1e-12)))), math.atan2(p[2], p[1])


@jit()
def _bhabha(clusters, beams):
    """The 3D Bhabha veto: 160 < dphi* < 200, 165 < theta1* + theta2* < 190 degrees, both above 3 and one above 4.5 GeV."""
    degree = math.pi / 180.0
    for a in range(clusters.shape[0]):
        for b in range(a):
            ea, ta, fa = _to_cms(clusters[a], beams)
            eb, tb, fb = _to_cms(clusters[b], beams)
            away = abs(abs(fa - fb) - math.pi) < 20.0 * degree
            total = ta + tb
            if min(ea, eb) > 3.0 and max(ea, eb) > 4.5 and away and 165.0 * degree < total < 190.0 * degree:
                return 1
    return 0


def l1_objects(reco: Reconstruction, detector: Detector, key: int) -> dict[str, NDArray[np.int8]]:
    """The L1 objects :data:`OBJECTS` of every event, each ``(n,)``; random numbers from ``key``."""
    out = np.zeros((len(reco), len(OBJECTS)), dtype=np.int8)
    energy, _, _, pz = detector.beams.nominal
    mass = math.sqrt(energy**2 - pz**2)
    _objects(reco.tracks_lab, reco.clusters_lab, *detector.cosines("l1_track_theta"), *detector.cosines("klm_theta"),
             detector.number("l1_track_pt"), detector.number("l1_klm_momentum"), detector.number("l1_track_efficiency"),
             detector.number("l1_klm_efficiency"), detector.number("muon_ecl_energy"), (energy / mass, pz / mass),
             np.uint64(make_key(key, "l1")), out)  # fmt: skip
    return {name: out[:, k] for k, name in enumerate(OBJECTS)}
