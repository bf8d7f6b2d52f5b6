"""What makes displaced vertices without new physics: K_S, photon conversions in material, and tracks that cross by chance.

:func:`generate_kshort` gives inclusive K_S -> pi+ pi- with the spectrum of Pythia events (hadronic lists hold them in
their events); :func:`convert` turns a photon of any sample into an e+ e- pair at a material layer;
:func:`crossing_tracks` makes a floor of unrelated track pairs out of any sample. All weights are rates in fb.

Not included: conversions beyond the silicon detector, energy dependence and Compton scattering (7/9 of a radiation length
is right to 10 % above 0.2 GeV), hadronic interactions in material, the shape of the material in angle beyond 1/sin, and
curved paths before a crossing.

Source: Tsai, Rev. Mod. Phys. 46 (1974) 815 (pair production, complete screening); Geant4 Physics Reference Manual, gamma
conversion (angle of the leptons).
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math
from itertools import count

import numba
import numpy as np

from belle2dark._jit import jit
from belle2dark.constants import CTAU_KSHORT, M_ELECTRON, M_KSHORT, M_PION
from belle2dark.simulation.beams import Beams, to_lab
from belle2dark.simulation.decays.chain import decay_two_body, fly, uniforms
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.hadronic import KSHORT_COSINE, KSHORT_MOMENTUM, cross_sections, kshort_spectrum
from belle2dark.simulation.kinematics import around
from belle2dark.simulation.pair import check_request
from belle2dark.simulation.rng import BLOCK, make_key, seed_block, uniform
from belle2dark.sourced import load_numbers, nearest

#: share of pair production in a radiation length at high energy
_PAIRS = 7.0 / 9.0


def kshort_rate(process: str) -> float:
    """Cross-section times mean number of K_S -> pi+ pi- of the "continuum" or of "bb" [fb]."""
    sigma = cross_sections()
    events = sigma["bb"] if process == "bb" else sigma["uds"] + sigma["charm"]
    return events * float(kshort_spectrum(process).sum()) * float(load_numbers("mesons")["kshort_to_piplus_piminus"])


def generate_kshort(n: int, key: int, beams: Beams, *, process: str = "continuum") -> Events:
    """n inclusive K_S -> pi+ pi- of "continuum" or "bb" events: "pi-", "pi+" in the lab, with their decay points.

    One entry per K_S, not per event: nothing else of the event is there. Momentum and polar angle in the centre of mass
    follow :func:`.hadronic.kshort_spectrum` (flat within a bin), made at the origin. Weights add up to
    :func:`kshort_rate`. Raises ``ValueError`` for an unknown process, n or a key out of range.
    """
    check_request(n, key)
    table = kshort_spectrum(process)
    u = np.stack([uniforms(n, make_key(key, name)) for name in ("bin", "momentum", "cosine", "side", "azimuth")])
    cells = np.cumsum(table.reshape(-1))
    row, column = np.divmod(np.searchsorted(cells, u[0] * cells[-1], side="right"), table.shape[1])
    p = KSHORT_MOMENTUM[row] + u[1] * np.diff(KSHORT_MOMENTUM)[row]
    cosine = (KSHORT_COSINE[column] + u[2] * np.diff(KSHORT_COSINE)[column]) * np.where(u[3] < 0.5, -1.0, 1.0)
    sine, phi = np.sqrt(1.0 - cosine**2), 2.0 * np.pi * u[4]
    cms = np.column_stack([np.sqrt(p**2 + M_KSHORT**2), p * sine * np.cos(phi), p * sine * np.sin(phi), p * cosine])
    kshort = to_lab(cms, beams)
    where = fly(kshort, None, CTAU_KSHORT, make_key(key, "flight"))
    minus, plus = decay_two_body(kshort, M_PION, M_PION, make_key(key, "decay"))
    return Events(momenta_lab={"pi-": minus, "pi+": plus}, weights=np.full(n, kshort_rate(process) / n),
                  vertices_cm={"pi-": where, "pi+": where})  # fmt: skip


def conversion_probability(thickness: Array | float, cos_theta: Array | float) -> Array:
    """Probability that a photon converts in a cylinder of ``thickness`` radiation lengths at polar angle theta."""
    sine = np.sqrt(np.maximum(1.0 - np.asarray(cos_theta, dtype=np.float64) ** 2, 1e-12))
    return np.asarray(-np.expm1(-_PAIRS * np.asarray(thickness) / sine))


def convert(events: Events, slot: str, key: int) -> Events:
    """The same events with the photon of ``slot`` converted in the beam pipe or the silicon detector.

    The photon's slot is empty; the last slots hold the pair, "e-_1" and "e+_1" or the next free number, with their point in
    ``vertices_cm``. Weights are multiplied with the probability to convert in any layer: 0 without a photon, below the
    pair threshold, or for one made beyond the last layer. The pair carries the photon's energy; the nucleus takes the rest
    of the momentum. Raises ``ValueError`` for an unknown slot or one that is not a photon.
    """
    if slot not in events.photons:
        raise ValueError(f"slot = {slot!r}: not a photon of these events; nearest: {nearest(slot, events.photons)}")
    numbers, n = load_numbers("mesons"), len(events)
    radius, thickness = (np.array(numbers[f"material_{name}"].values) for name in ("radius", "thickness"))
    photon = np.ascontiguousarray(events.momenta_lab[slot])
    start = np.ascontiguousarray(events.vertices_cm.get(slot, np.zeros((n, 3))))
    pair, where, probability = np.zeros((2, n, 4)), np.zeros((n, 3)), np.zeros(n)
    _convert(np.uint64(make_key(key, "conversion")), photon, start, radius, thickness, pair, where, probability)
    number = next(k for k in count(1) if not {f"e-_{k}", f"e+_{k}"} & set(events.momenta_lab))
    names = (f"e-_{number}", f"e+_{number}")
    momenta = {**events.momenta_lab, slot: np.zeros((n, 4)), **dict(zip(names, pair, strict=True))}
    return Events(momenta_lab=momenta, weights=events.weights * probability, species=events.species,
                  vertices_cm={**events.vertices_cm, **dict.fromkeys(names, where)})  # fmt: skip


@jit(parallel=True)
def _convert(key, photon, start, radius, thickness, pair, where, probability):
    n = photon.shape[0]
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        s0, s1 = seed_block(key, block)
        for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
            s0, s1 = _convert_one(s0, s1, photon[i], start[i], radius, thickness, pair, where, probability, i)


@jit()
def _convert_one(s0, s1, photon, start, radius, thickness, pair, where, probability, i):
    s0, s1, u = uniform(s0, s1)
    energy = photon[0]
    pt = math.sqrt(photon[1] ** 2 + photon[2] ** 2)
    if energy <= 2.0 * M_ELECTRON or pt <= 1e-6 * energy:
        return s0, s1
    depth, slant = 0.0, _PAIRS * energy / pt
    at = math.sqrt(start[0] ** 2 + start[1] ** 2)
    for j in range(len(radius)):
        depth += slant * thickness[j] if radius[j] > at else 0.0
    probability[i] = -math.expm1(-depth)
    if depth <= 0.0:
        return s0, s1
    # the depth where it happens, given that it does
    target, layer = -math.log1p(-u * probability[i]), 0
    for j in range(len(radius)):
        if radius[j] > at:
            layer = j
            target -= slant * thickness[j]
            if target <= 0.0:
                break
    # straight line to the cylinder: |start + t p| = radius across the beam
    b = start[0] * photon[1] + start[1] * photon[2]
    t = (-b + math.sqrt(b * b + pt * pt * (radius[layer] ** 2 - at * at))) / (pt * pt)
    for c in range(3):
        where[i, c] = start[c] + t * photon[c + 1]
    return _pair(s0, s1, photon, pair, i)


@jit()
def _pair(s0, s1, photon, pair, i):
    """Energies from complete screening, 1 - 4/3 x (1 - x), and the leptons' angles of order m/E in one plane."""
    energy = photon[0]
    edge = M_ELECTRON / energy
    while True:
        s0, s1, u = uniform(s0, s1)
        s0, s1, v = uniform(s0, s1)
        x = edge + u * (1.0 - 2.0 * edge)
        if v < 1.0 - 4.0 / 3.0 * x * (1.0 - x):
            break
    s0, s1, u = uniform(s0, s1)
    s0, s1, v = uniform(s0, s1)
    s0, s1, w = uniform(s0, s1)
    s0, s1, turn = uniform(s0, s1)
    # mean lepton angle in units of m/E: a mixture of two gamma distributions
    scale = -math.log(u * v) / (0.625 if w < 0.25 else 1.875)
    nx, ny, nz = photon[1] / energy, photon[2] / energy, photon[3] / energy
    for j in range(2):
        e = max(energy * (x if j == 0 else 1.0 - x), M_ELECTRON)
        p = math.sqrt(e * e - M_ELECTRON * M_ELECTRON)
        angle = min(scale * M_ELECTRON / e, 0.5 * math.pi)
        ax, ay, az = around(nx, ny, nz, math.cos(angle), 2.0 * math.pi * turn + math.pi * j)
        pair[j, i, 0], pair[j, i, 1], pair[j, i, 2], pair[j, i, 3] = e, p * ax, p * ay, p * az
    return s0, s1


def crossing_tracks(events: Events, first: str, second: str, key: int) -> Events:
    """The same events with two prompt tracks put at one displaced point, and the (chosen) probability of it in the weights.

    The transverse radius is flat in its logarithm and the direction that of the harder track: a floor for displaced-pair
    backgrounds, whose rate and shape are numbers of ``mesons.yaml`` with confidence ``choice``. Raises ``ValueError``
    for an unknown slot.
    """
    for slot in (first, second):
        if slot not in events.momenta_lab:
            raise ValueError(f"slot = {slot!r}: no such slot; nearest: {nearest(slot, events.momenta_lab)}")
    numbers, n = load_numbers("mesons"), len(events)
    low, high = numbers["fake_vertex_radius"].values
    radius = low * (high / low) ** uniforms(n, make_key(key, "crossing radius"))
    a, b = events.momenta_lab[first], events.momenta_lab[second]
    harder = np.where((a[:, 0] > b[:, 0])[:, None], a, b)[:, 1:]
    pt = np.hypot(harder[:, 0], harder[:, 1])
    point = harder * (radius / np.maximum(pt, 1e-12))[:, None]
    both = (a[:, 0] > 0.0) & (b[:, 0] > 0.0) & (pt > 0.0)
    point[~both] = 0.0
    weights = events.weights * np.where(both, float(numbers["fake_vertex_probability"]), 0.0)
    return Events(momenta_lab=events.momenta_lab, weights=weights, species=events.species,
                  vertices_cm={**events.vertices_cm, first: point, second: point})  # fmt: skip
