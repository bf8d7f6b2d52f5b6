"""Clusters of the L1 calorimeter trigger: 576 trigger cells in 17 rings, and what is counted in them.

A deposit goes into the cell it points to; cells above threshold that touch a more energetic one join it, and the six most
energetic clusters count. Energies and angles in the centre-of-mass frame come from a coarse table per cell, as in the
hardware. Not included: sharing of a shower between cells (clusters of neighbours recover it), timing, beam background.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from belle2dark._jit import jit
from belle2dark.simulation.beams import Beams, to_cms
from belle2dark.trigger.response import L1Response
from belle2dark.trigger.tracks import BINS, apart, slot

Table = NDArray[np.float64]
#: steps of the cosine-to-ring table: finer than the gaps by a factor 30
_STEPS = 8192
#: what the cluster kernel counts, in the order it writes
COUNTS = {
    "clusters": "number of ECL clusters (at most 6)",
    "clusters_2_16": "number of ECL clusters in rings 2 to 16",
    "elow": "1 if the ECL energy sum (rings 2 to 15) exceeds 0.5 GeV",
    "ehigh": "1 if the ECL energy sum exceeds 1 GeV",
    "elum": "1 if the ECL energy sum exceeds 3 GeV",
    "bhabha": "1 if two clusters look like a Bhabha pair",
    "ecl_mumu": "1 if two clusters below 2 GeV lie like a Bhabha pair",
    "lab300": "number of clusters above 300 MeV in the lab",
    "lab500_2_16": "number of clusters above 500 MeV in the lab in rings 2 to 16",
    "cms2": "number of clusters above 2 GeV in the centre of mass",
    "cms2_4_14": "the same in rings 4 to 14",
    "cms2_2_3_15_16": "the same in rings 2, 3, 15 and 16",
    "cms2_1_17": "the same in rings 1 and 17",
    "cms1_4_15": "number of clusters above 1 GeV in the centre of mass in rings 4 to 15",
    "cms1_2_3_16": "the same in rings 2, 3 and 16",
    "cms05_6_11": "number of clusters above 0.5 GeV in the centre of mass in rings 6 to 11",
    "pairs_high": "number of pairs back to back in azimuth, both above 250 MeV in the lab",
    "pairs_low": "number of pairs back to back in azimuth, one above and one below 250 MeV",
    "pairs_3d": "number of pairs back to back in azimuth and polar angle",
}


class Thresholds(NamedTuple):
    """Numbers of the calorimeter trigger, GeV and degrees. Flat, because numba wants it so."""

    cell: float
    limit: float
    stochastic: float
    constant: float
    noise: float
    efficiency: float
    sum_low: float
    sum_high: float
    sum_lum: float
    sum_first: float
    sum_last: float
    bhabha_both: float
    bhabha_one: float
    bhabha_phi_low: float
    bhabha_phi_high: float
    bhabha_theta_low: float
    bhabha_theta_high: float
    mumu: float
    cms_high: float
    cms_middle: float
    cms_low: float
    lab_high: float
    lab_middle: float
    lab_low: float
    pair_phi: float
    pair_3d_phi: float
    pair_3d_low: float
    pair_3d_high: float


class Cells(NamedTuple):
    """The trigger cells: ring of a cosine, cells per ring and before it, and per cell the lab energy of 1 GeV in the
    centre of mass and its angles there [deg]; with the thresholds."""

    ring_of_cosine: NDArray[np.int8]
    segments: NDArray[np.int64]
    offset: NDArray[np.int64]
    energy: Table
    theta: Table
    phi: Table
    cut: Thresholds


#: the numbers of ``l1.yaml`` in the order of :class:`Thresholds`
_NUMBERS = ("cell_threshold", "cluster_limit", "cluster_resolution", "cluster_efficiency", "energy_sums", "energy_sum_rings",
            "bhabha_energies", "bhabha_angles", "mumu_energy", "low_multiplicity_cms", "low_multiplicity_lab",
            "pair_angles")  # fmt: skip


def cells(l1: L1Response, beams: Beams) -> Cells:
    """The cells of ``l1`` with the table of centre-of-mass energies and angles for ``beams``."""
    rings = [l1.values(name) for name in ("forward_rings", "barrel_rings", "backward_rings")]
    edges = [(low, high) for part in rings for low, high in pairwise(part)]
    cosine = (np.arange(_STEPS) + 0.5) * (2.0 / _STEPS) - 1.0
    ring_of_cosine = np.zeros(_STEPS, dtype=np.int8)
    theta = np.degrees(np.arccos(cosine))
    for k, (low, high) in enumerate(edges):
        ring_of_cosine[(theta > low) & (theta < high)] = k + 1
    segments = np.array(l1.values("ring_segments"), dtype=np.int64)
    polar = np.repeat(np.radians([0.5 * (low + high) for low, high in edges]), segments)
    azimuth = np.concatenate([(np.arange(n) + 0.5) * 2.0 * np.pi / n for n in segments])
    ray = np.stack([np.ones_like(polar), np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=1)
    cms = to_cms(ray, beams)
    step = l1.number("cms_step")
    return Cells(
        ring_of_cosine=ring_of_cosine,
        segments=segments,
        offset=np.concatenate([[0], np.cumsum(segments)]),
        energy=np.maximum(np.round(1.0 / cms[:, 0] / step), 1.0) * step,
        theta=np.asarray(np.round(np.degrees(np.arccos(cms[:, 3] / cms[:, 0]))), dtype=np.float64),
        phi=np.round(np.degrees(np.arctan2(cms[:, 2], cms[:, 1])) % 360.0),
        cut=Thresholds(*(value for name in _NUMBERS for value in l1.values(name))),
    )


@jit(inline=True)
def cell_of(cosine, azimuth, t):
    """Ring (1 to 17, 0 outside) and segment of the cell in a direction from the origin: cos(theta) and azimuth [turns]."""
    ring = t.ring_of_cosine[min(_STEPS - 1, int((cosine + 1.0) * (0.5 * _STEPS)))]
    if ring == 0:
        return 0, 0
    return ring, slot(azimuth, t.segments[ring - 1])


@jit(inline=True)
def _touch(ring_a, segment_a, ring_b, segment_b, t):
    """Whether two cells of the same part of the calorimeter touch, corners included."""
    if abs(ring_a - ring_b) > 1 or (ring_a < 4) != (ring_b < 4) or (ring_a > 15) != (ring_b > 15):
        return False
    na, nb = t.segments[ring_a - 1], t.segments[ring_b - 1]
    # distance of the centres and half widths in azimuth, in units of 1 / (2 na nb) of a turn: whole numbers, exact
    d = abs((2 * segment_a + 1) * nb - (2 * segment_b + 1) * na)
    return min(d, 2 * na * nb - d) <= na + nb


@jit(inline=True)
def make_clusters(deposits, n, t, clusters):
    """Join n deposits (rows energy, ring, segment) into ``clusters`` (same rows, most energetic first): (found, energy sum)."""
    # deposits in one cell are one
    cells_hit = 0
    for j in range(n):
        same = -1
        for m in range(cells_hit):
            if deposits[m, 1] == deposits[j, 1] and deposits[m, 2] == deposits[j, 2]:
                same = m
        if same >= 0:
            deposits[same, 0] += deposits[j, 0]
        else:
            for column in range(3):
                deposits[cells_hit, column] = deposits[j, column]
            cells_hit += 1
    total = 0.0
    for m in range(cells_hit):
        if deposits[m, 0] < t.cut.cell:
            deposits[m, 0] = 0.0
        elif t.cut.sum_first <= deposits[m, 1] <= t.cut.sum_last:
            total += deposits[m, 0]
    found = 0
    while found < t.cut.limit:
        best, energy = -1, 0.0
        for m in range(cells_hit):
            if deposits[m, 0] > energy:
                best, energy = m, deposits[m, 0]
        if best < 0:
            break
        ring, segment = int(deposits[best, 1]), int(deposits[best, 2])
        energy = 0.0
        for m in range(cells_hit):
            if deposits[m, 0] > 0.0 and _touch(ring, segment, int(deposits[m, 1]), int(deposits[m, 2]), t):
                energy += deposits[m, 0]
                deposits[m, 0] = 0.0
        clusters[found, 0], clusters[found, 1], clusters[found, 2] = energy, ring, segment
        found += 1
    return found, total


@jit(inline=True)
def cluster_bin(ring, segment, t):
    """The 10 degree azimuth bin of a cluster."""
    return int((segment + 0.5) * BINS / t.segments[ring - 1])


@jit(inline=True)
def count_clusters(clusters, found, total, t, out, first, i):
    """Write the counts :data:`COUNTS` of one event to out[first:, i]."""
    out[first, i] = found
    out[first + 2, i] = total > t.cut.sum_low
    out[first + 3, i] = total > t.cut.sum_high
    out[first + 4, i] = total > t.cut.sum_lum
    for j in range(found):
        e, ring = clusters[j, 0], int(clusters[j, 1])
        inside = 2 <= ring <= 16
        out[first + 1, i] += inside
        if e < t.cut.lab_low:
            continue  # a minimum-ionising deposit passes none of the other thresholds
        unit = t.energy[t.offset[ring - 1] + int(clusters[j, 2])]
        out[first + 7, i] += e > t.cut.lab_middle
        out[first + 8, i] += inside and e > t.cut.lab_high
        if e > t.cut.cms_high * unit:
            out[first + 9, i] += 1
            out[first + 10, i] += 4 <= ring <= 14
            out[first + 11, i] += ring == 2 or ring == 3 or ring == 15 or ring == 16
            out[first + 12, i] += ring == 1 or ring == 17
        if e > t.cut.cms_middle * unit:
            out[first + 13, i] += 4 <= ring <= 15
            out[first + 14, i] += ring == 2 or ring == 3 or ring == 16
        out[first + 15, i] += 6 <= ring <= 11 and e > t.cut.cms_low * unit
    if found > 1:
        _count_pairs(clusters, found, t, out, first, i)


@jit(inline=True)
def _count_pairs(clusters, found, t, out, first, i):
    """Pairs of clusters: Bhabha veto, muon pair, back to back in azimuth or in both angles."""
    c = t.cut
    for j in range(found):
        cell_j = t.offset[int(clusters[j, 1]) - 1] + int(clusters[j, 2])
        for k in range(j):
            cell_k = t.offset[int(clusters[k, 1]) - 1] + int(clusters[k, 2])
            ej, ek = clusters[j, 0], clusters[k, 0]
            difference = abs(t.phi[cell_j] - t.phi[cell_k])
            folded = min(difference, 360.0 - difference)
            polar = t.theta[cell_j] + t.theta[cell_k]
            if c.bhabha_phi_low < difference < c.bhabha_phi_high and c.bhabha_theta_low < polar < c.bhabha_theta_high:
                bj, bk = ej / t.energy[cell_j], ek / t.energy[cell_k]
                if min(bj, bk) > t.cut.bhabha_both and max(bj, bk) > t.cut.bhabha_one:
                    out[first + 5, i] = 1
                if max(bj, bk) < t.cut.mumu:
                    out[first + 6, i] = 1
            low, high = min(ej, ek), max(ej, ek)
            if folded > t.cut.pair_phi:
                out[first + 16, i] += low > t.cut.lab_low
                out[first + 17, i] += low < t.cut.lab_low < high
            if folded > t.cut.pair_3d_phi and t.cut.pair_3d_low < polar < t.cut.pair_3d_high:
                out[first + 18, i] += 1


@jit(inline=True)
def opposite_cluster(clusters, found, bins, t):
    """Whether a cluster lies opposite a track in azimuth bin ``bins``, within two bins."""
    hit = False
    for j in range(found):
        hit |= apart(bins, cluster_bin(int(clusters[j, 1]), int(clusters[j, 2]), t)) >= 16
    return hit


@jit(inline=True)
def matched_cluster(clusters, found, bins, t):
    """Whether a barrel cluster (35 to 126 degrees) lies where a track enters the calorimeter, within one bin."""
    hit = False
    for j in range(found):
        ring = int(clusters[j, 1])
        hit |= 5 <= ring <= 14 and apart(bins, cluster_bin(ring, int(clusters[j, 2]), t)) <= 1
    return hit
