"""L1 objects of an event: counts and flags that trigger lines are made of, from the true particles.

Every charged particle may become a full or a short 2D track (``tracks``), every particle that reaches the calorimeter a
deposit in a trigger cell (``clusters``), every muon a KLM track. Found or lost is a random draw per particle, so that lines
sharing a track are lost together. Electrons and photons deposit all their energy, muons and quiet hadrons that of a
minimum-ionising particle, other hadrons a random fraction. Not included: beam background (no cluster or track comes from
it), the injection veto, timing, bremsstrahlung and conversions. Decays are the generator's: a tau is ignored, a K_S deposits
nothing. Belle's own Bhabha logic (sums of rings) is not in either: Belle II's serves both. Bit definitions: basf2, trg/ecl,
trg/grl and trg/gdl, for Belle ``data/l1_menu_belle.yaml``.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from belle2dark._jit import jit
from belle2dark.detector.experiments import Detector
from belle2dark.detector.smearing import charge_of
from belle2dark.simulation.events import REST, Events
from belle2dark.simulation.rng import BLOCK, make_key, normal, seed_block, uniform
from belle2dark.trigger.clusters import (
    COUNTS,
    Cells,
    cell_of,
    cells,
    count_clusters,
    make_clusters,
    matched_cluster,
    opposite_cluster,
)
from belle2dark.trigger.response import L1Response, l1_response
from belle2dark.trigger.tracks import (
    BINS,
    EKLM,
    OPEN,
    PHI,
    PHI_ECL,
    PROMPT,
    SHORT,
    WEDGE,
    WEDGES,
    apart,
    chamber,
    displaced_vertex,
    find_track,
    flight,
    slot,
    turns,
)

#: objects by name, with their meaning; the names lines are written in.
OBJECTS = {
    "tracks_2d": "number of full 2D CDC tracks",
    "tracks_short": "number of short 2D tracks (endcaps)",
    "tracks_nn": "number of neural tracks with |z0| < 20 cm",
    "single_nn": "number of neural tracks with |z0| < 15 cm and p > 0.7 GeV",
    "open90": "1 if two 2D tracks are at least 90 degrees apart in azimuth (10 degree bins)",
    "open30": "1 if two 2D tracks are at least 30 degrees apart",
    "back_to_back": "1 if two 2D tracks are back to back within two bins",
    "open90_fs": "1 if a full and a short track are at least 90 degrees apart",
    "open90_ss": "1 if two short tracks are at least 90 degrees apart",
    "cdcecl": "number of 2D tracks matched to a barrel cluster in azimuth",
    "track_cluster": "1 if a 2D track and a cluster are back to back in azimuth within two bins",
    "cdcklm": "number of 2D tracks matched to the KLM",
    "klm": "number of barrel KLM tracks",
    "klm_back_to_back": "1 if two barrel KLM tracks lie in opposite sectors",
    "eklm": "number of endcap KLM tracks",
    "seklm": "number of short tracks matched to the endcap KLM",
    "open135": "1 if two tracks, full or short, are at least 135 degrees apart (64 wedges of Belle)",
    "tsc": "number of charged particles in the trigger scintillators of Belle",
    "displaced_vertex": "1 if two opposite tracks from a point away from the beams make a vertex (no such finder exists yet)",
    "b_mesons": "1 if these are B mesons, of which only one is simulated (the slot x_2 holds the other)",
    **COUNTS,
}
_FIRST = len(OBJECTS) - len(COUNTS)
#: whose trigger it is, by the number that the entry "experiment" holds beside the objects
EXPERIMENTS = ("Belle II", "Belle", "BaBar")
#: particles below this energy [GeV] are too soft for a track or a trigger cell, alone or together
SOFT = 0.02


class _Matter(NamedTuple):
    """Deposits and the KLM, as the kernel needs them."""

    mip: float
    mip_spread: float
    shower: float
    fraction_low: float
    fraction_high: float
    klm_cos_low: float
    klm_cos_high: float
    barrel_cos_low: float
    barrel_cos_high: float
    klm_momentum: float
    klm_efficiency: float
    punch_through: float
    tsc_cos_low: float
    tsc_cos_high: float
    tsc_pt: float


@lru_cache(maxsize=16)
def _set_up(detector: Detector, l1: L1Response) -> tuple[Any, ...]:
    """The kernel's view of both records."""
    if "l1_track_theta" not in detector.numbers:
        raise ValueError(
            f"detector {detector.name}: has no L1 trigger here (numbers l1_track_theta, ...); there are Belle II, Belle, BaBar"
        )
    low, high = l1.values("shower_fraction")
    klm_low, klm_high = detector.cosines("klm_theta")
    barrel_high, barrel_low = (math.cos(math.radians(theta)) for theta in l1.values("klm_barrel_theta"))
    tsc_high, tsc_low = (math.cos(math.radians(theta)) for theta in l1.values("tsc_theta"))
    matter = _Matter(
        mip=detector.number("muon_ecl_energy"),
        mip_spread=l1.number("mip_spread"),
        shower=l1.number("shower_probability"),
        fraction_low=low,
        fraction_high=high,
        klm_cos_low=klm_low,
        klm_cos_high=klm_high,
        barrel_cos_low=barrel_low,
        barrel_cos_high=barrel_high,
        klm_momentum=detector.number("l1_klm_momentum"),
        klm_efficiency=detector.number("l1_klm_efficiency"),
        punch_through=l1.number("klm_punch_through"),
        tsc_cos_low=tsc_low,
        tsc_cos_high=tsc_high,
        tsc_pt=l1.number("tsc_pt"),
    )
    return *chamber(detector, l1), *cells(l1, detector.beams), matter


def l1_objects(events: Events, detector: Detector, key: int, l1: L1Response | None = None) -> dict[str, NDArray[np.int8]]:
    """The L1 objects :data:`OBJECTS` of every event and the "experiment", each ``(n,)``; random numbers from ``key``.

    Efficiencies shared with offline studies come from ``detector``, the rest from ``l1`` (by default that of the
    detector's experiment); both can be varied. Raises ``ValueError`` for a detector without L1 numbers and for
    momenta or points that are not finite.
    """
    particles = events.particles()
    out = np.zeros((len(OBJECTS), len(events)), dtype=np.int8)
    _kernel(particles.momenta_lab, particles.pdg, particles.vertices_cm, *_set_up(detector, l1 or l1_response(detector)),
            np.uint64(make_key(key, "l1")), out)  # fmt: skip
    experiment = EXPERIMENTS.index(detector.name) if detector.name in EXPERIMENTS else 0
    common = {"b_mesons": int(REST in events.momenta_lab), "experiment": experiment}
    return dict(zip(OBJECTS, out, strict=True)) | {name: np.full(len(events), x, dtype=np.int8) for name, x in common.items()}


@jit(parallel=True)
def _kernel(momenta, pdg, vertices, numbers, axial, rings, segments, offset, energy, theta, phi, cut, matter, key, out):
    n = momenta.shape[0]
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        table = Cells(rings, segments, offset, energy, theta, phi, cut)  # parallel loops of numba take flat tuples only
        _block(block, momenta, pdg, vertices, numbers, axial, table, matter, key, out)


@jit()
def _block(block, momenta, pdg, vertices, numbers, axial, table, matter, key, out):
    n, k = pdg.shape
    deposits, clusters = np.empty((k, 3)), np.empty((int(table.cut.limit), 3))
    tracks, barrel = np.empty((k, 5), dtype=np.int64), np.empty(k, dtype=np.int64)
    for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
        # a state per event: what one event draws does not shift the numbers of the next, so curves in a mass are smooth
        s0, s1 = seed_block(key, i)
        hits, found, klm = 0, 0, 0
        for j in range(k):
            if momenta[i, j, 0] <= SOFT:
                continue
            p = (momenta[i, j, 0], momenta[i, j, 1], momenta[i, j, 2], momenta[i, j, 3])
            v = (vertices[i, j, 0], vertices[i, j, 1], vertices[i, j, 2])
            s0, s1, hits, found, klm = _particle(
                s0, s1, p, pdg[i, j], v, numbers, axial, table, matter, deposits, hits, tracks, found, barrel,
                klm, out, i)  # fmt: skip
        n_clusters, total = make_clusters(deposits, hits, table, clusters)
        count_clusters(clusters, n_clusters, total, table, out, _FIRST, i)
        _tracks(tracks, found, clusters, n_clusters, table, out, i)
        for a in range(klm):
            for b in range(a):
                out[13, i] |= abs(barrel[a] - barrel[b]) == 4
        out[18, i] = displaced_vertex(s0, s1, momenta[i], pdg[i], vertices[i], numbers, axial)


@jit(inline=True)
def _particle(s0, s1, p, code, v, c, axial, t, matter, deposits, hits, tracks, found, barrel, klm, out, i):
    """One particle: its deposit, its track, its hit in the KLM; returns the state and the three lengths."""
    kind = abs(code)
    if kind == 15 or kind == 12 or kind == 14 or kind == 16 or kind == 310 or code == 0:
        return s0, s1, hits, found, klm
    pt = math.sqrt(p[1] * p[1] + p[2] * p[2])
    slope = p[3] / max(pt, 1e-9)
    azimuth = turns(p[2], p[1])
    charge = charge_of(code)
    if charge != 0:
        reached, cosine, at_ecl = flight(p, v, pt, slope, azimuth, charge, c)
        out[17, i] += reached and pt > matter.tsc_pt and matter.tsc_cos_low < cosine < matter.tsc_cos_high
    else:
        reached, cosine, at_ecl = _straight(p, v, slope, azimuth, c)
    ring, segment = cell_of(cosine, at_ecl, t) if reached else (0, 0)
    s0, s1, energy = _deposit(s0, s1, p, code, t, matter)
    if ring > 0 and energy > 0.0:
        deposits[hits, 0], deposits[hits, 1], deposits[hits, 2] = energy, ring, segment
        hits += 1
    if charge != 0:
        s0, s1, sort, azimuth, neural = find_track(s0, s1, p, v, pt, slope, azimuth, charge, c, axial)
        s0, s1, u = uniform(s0, s1)
        momentum = math.sqrt(pt * pt + p[3] * p[3])
        muon = matter.klm_efficiency * (1.0 if kind == 13 else (matter.punch_through if kind != 11 else 0.0))
        seen = momentum > matter.klm_momentum and matter.klm_cos_low < p[3] / momentum < matter.klm_cos_high and u < muon
        central = matter.barrel_cos_low < p[3] / momentum < matter.barrel_cos_high
        at_ecl = at_ecl if reached else azimuth
        if seen and central:
            barrel[klm] = slot(at_ecl + 0.0625, 8)  # sectors are centred on multiples of 45 degrees
            klm += 1
            out[12, i] += 1
        out[14, i] += seen and not central
        if sort > 0:
            tracks[found, PHI], tracks[found, PHI_ECL] = slot(azimuth, BINS), slot(at_ecl, BINS)
            tracks[found, SHORT], tracks[found, EKLM] = sort == 2, seen and not central
            tracks[found, WEDGE] = slot(azimuth, WEDGES)
            found += 1
            out[11, i] += sort == 1 and seen
            out[2, i] += neural > 0
            out[3, i] += neural > 1
    return s0, s1, hits, found, klm


@jit(inline=True)
def _straight(p, v, slope, azimuth, c):
    """Where a neutral particle enters the calorimeter, seen from the origin: (reached, cos(theta), azimuth [turns])."""
    if v[0] * v[0] + v[1] * v[1] > PROMPT * PROMPT:
        return _displaced_straight(p, v, c)
    return True, slope / math.sqrt(1.0 + slope * slope), azimuth


@jit()
def _displaced_straight(p, v, c):
    """The same for any starting point."""
    room = c.ecl_radius * c.ecl_radius - v[0] * v[0] - v[1] * v[1]
    if room <= 0.0 or not c.ecl_backward < v[2] < c.ecl_forward:
        return False, 0.0, 0.0
    pt2, b = p[1] * p[1] + p[2] * p[2], v[0] * p[1] + v[1] * p[2]
    s = (math.sqrt(b * b + pt2 * room) - b) / max(pt2, 1e-18)
    if p[3] != 0.0:
        s = min(s, ((c.ecl_forward if p[3] > 0.0 else c.ecl_backward) - v[2]) / p[3])
    x, y, z = v[0] + s * p[1], v[1] + s * p[2], v[2] + s * p[3]
    return True, z / math.sqrt(x * x + y * y + z * z), turns(y, x)


@jit(inline=True)
def _deposit(s0, s1, p, code, t, matter):
    """Energy a particle leaves in its trigger cell as measured [GeV]: (s0, s1, energy)."""
    kind = abs(code)
    s0, s1, g = normal(s0, s1)
    s0, s1, u = uniform(s0, s1)
    if kind == 11 or kind == 22 or kind == 111:
        a, b, c = t.cut.stochastic / math.sqrt(p[0]), t.cut.constant, t.cut.noise / p[0]
        return s0, s1, p[0] * (1.0 + math.sqrt(a * a + b * b + c * c) * g) if u < t.cut.efficiency else 0.0
    momentum2 = p[1] * p[1] + p[2] * p[2] + p[3] * p[3]
    kinetic = momentum2 / (p[0] + math.sqrt(max(0.0, p[0] * p[0] - momentum2)))
    neutral = kind == 130 or kind == 2112
    quiet = 0.0 if neutral else min(kinetic, matter.mip * (1.0 + matter.mip_spread * g))
    if kind == 13:
        return s0, s1, quiet
    s0, s1, w = uniform(s0, s1)
    if u > matter.shower:
        return s0, s1, quiet
    # an antibaryon annihilates
    available = kinetic + (2.0 * (p[0] - kinetic) if code == -2212 or code == -2112 else 0.0)
    return s0, s1, max(quiet, available * (matter.fraction_low + w * (matter.fraction_high - matter.fraction_low)))


@jit(inline=True)
def _tracks(tracks, found, clusters, n_clusters, t, out, i):
    """Counts, opening angles and calorimeter matches of the tracks of one event."""
    for a in range(found):
        short = tracks[a, SHORT]
        out[1 if short else 0, i] += 1
        out[15, i] += short and tracks[a, EKLM]
        if not short:
            out[9, i] += matched_cluster(clusters, n_clusters, tracks[a, PHI_ECL], t)
            out[10, i] |= opposite_cluster(clusters, n_clusters, tracks[a, PHI], t)
        for b in range(a):
            d = apart(tracks[a, PHI], tracks[b, PHI])
            out[16, i] |= apart(tracks[a, WEDGE], tracks[b, WEDGE], WEDGES) >= OPEN
            if short or tracks[b, SHORT]:
                out[7 + short * tracks[b, SHORT], i] |= d >= 9
            else:
                out[4, i] |= d >= 9
                out[5, i] |= d >= 3
                out[6, i] |= d >= 16
