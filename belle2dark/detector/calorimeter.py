"""The electromagnetic calorimeter: clusters of photons and electrons, gaps and cracks, and what the photon veto misses.

A cluster has a smeared energy and the direction of its point of impact as seen from the origin, so that displaced
photons point wrongly, as in the experiment. Two numbers say how well a particle is seen: ``efficiency``, to be found and
identified as a photon (or, for others, to leave a cluster at all), and ``unseen``, to leave nothing above the threshold of
a veto. They are not complements: a photon may be badly measured and still veto. The energy is Gaussian; a tail of leaking
showers can be switched on with ``vary(photon_tail_fraction=...)``.

Not included: conversions and bremsstrahlung in the material, beam background,
timing. Minimum-ionising particles leave a fixed energy; hadrons that interact a uniform part of their kinetic energy.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from belle2dark._jit import jit
from belle2dark.detector.experiments import Detector
from belle2dark.detector.smearing import charge_of, turn, turn_on
from belle2dark.detector.tracks import CURVATURE
from belle2dark.simulation.events import Particles
from belle2dark.simulation.rng import BLOCK, make_key, normal, seed_block, uniform

Array = NDArray[np.float64]

#: Codes of :attr:`Clusters.region`; a gap lies between two parts, outside is beyond all of them.
REGIONS = {"outside": 0, "backward": 1, "barrel": 2, "forward": 3, "gap": 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class Clusters:
    """Clusters, one column per slot of the events, all arrays ``(n, k)`` or ``(n, k, ...)``.

    ``momenta_lab`` ``(n, k, 4)`` [GeV] is the smeared massless four-momentum (zeros: nothing deposited or merged away);
    ``efficiency`` the probability of a cluster (for photons: of an identified photon); ``unseen`` the probability to leave
    nothing above the veto threshold; ``region`` a code of :data:`REGIONS`; ``merged`` the slot whose cluster took this one
    in, or -1.
    """

    momenta_lab: Array
    efficiency: Array
    unseen: Array
    region: NDArray[np.int8]
    merged: NDArray[np.int16]


class CalorimeterNumbers(NamedTuple):
    """What the kernel needs of a detector [GeV, cm, rad]; angles are polar, backward end is the largest."""

    forward_low: float
    forward_high: float
    barrel_low: float
    barrel_high: float
    backward_low: float
    backward_high: float
    radius: float
    z_low: float
    z_high: float
    field: float
    stochastic: float
    power: float
    constant: float
    tail_fraction: float
    tail_slope: float
    angle_constant: float
    angle_stochastic: float
    efficiency: float
    energy_low: float
    energy_high: float
    threshold: float
    inefficiency: float
    soft_energy: float
    edge: float
    edge_width: float
    endcap_factor: float
    cracks_phi: float
    cracks_theta: float
    crack_width: float
    crack: float
    merge: float
    ionising: float
    showers: float


def calorimeter_numbers(detector: Detector) -> CalorimeterNumbers:
    """The calorimeter part of ``detector`` as a tuple for kernels."""
    one, many = detector.number, detector.numbers
    angles = [math.radians(x) for part in ("forward", "barrel", "backward") for x in many[f"ecl_{part}_theta"].values]
    values = [*angles, one("ecl_radius"), *many["ecl_z"].values, one("magnetic_field"), one("photon_energy_stochastic"),
              one("photon_energy_power"), one("photon_energy_constant"), one("photon_tail_fraction"), one("photon_tail_slope"),
              one("photon_angle_constant"), one("photon_angle_stochastic"), one("photon_efficiency"),
              *many["photon_turn_on"].values, one("photon_veto_threshold"), one("photon_veto_inefficiency"),
              one("photon_veto_soft_energy"), one("photon_veto_edge_inefficiency"), math.radians(one("photon_veto_edge_width")),
              one("photon_veto_endcap_factor"), *many["crack_count"].values, one("crack_width"), one("crack_inefficiency"),
              math.cos(one("merge_angle")), one("muon_ecl_energy"), 1.0 - math.exp(-one("ecl_interaction_lengths"))]  # fmt: skip
    return CalorimeterNumbers._make(values)


@jit()
def region_of(theta, c):
    """Code of :data:`REGIONS` and distance [rad] to the nearest edge of that part, for a polar angle [rad]."""
    if c.forward_low < theta < c.forward_high:
        return 3, min(theta - c.forward_low, c.forward_high - theta)
    if c.barrel_low < theta < c.barrel_high:
        return 2, min(theta - c.barrel_low, c.barrel_high - theta)
    if c.backward_low < theta < c.backward_high:
        return 1, min(theta - c.backward_low, c.backward_high - theta)
    # an end cap that does not exist is an empty range: beyond the barrel there is nothing, not a gap
    if c.forward_low < theta < c.barrel_low or (c.barrel_high < theta < c.backward_low and c.backward_low < c.backward_high):
        return 4, 0.0
    return 0, 0.0


@jit(inline=True)
def _near_boundary(position, count, width):
    """Whether ``position`` (0 to 1 over all modules, which meet at multiples of 1/count) is within the crack."""
    phase = position * count
    return abs(phase - math.floor(phase + 0.5)) < 0.5 * width * count


@jit()
def unseen(energy, theta, phi, c):
    """Region code and probability that a photon or electron leaves nothing above the veto threshold."""
    region, distance = region_of(theta, c)
    if energy < c.threshold or region == 0 or region == 4:
        return region, 1.0
    missed = c.inefficiency * (1.0 + (c.soft_energy / energy) ** 2)
    if region == 2:
        span = c.barrel_high - c.barrel_low
        depth = (theta - c.barrel_low) / span
        # modules are equal in azimuth and in polar angle; count boundaries inside the barrel, not its ends
        rows = c.cracks_theta + 1.0
        row = math.floor(depth * rows + 0.5)
        inside = 0.5 < row < rows - 0.5
        if (c.cracks_phi > 0.0 and _near_boundary(phi / (2.0 * math.pi), c.cracks_phi, c.crack_width / (2.0 * math.pi))) or (
            inside and _near_boundary(depth, rows, c.crack_width / span)
        ):
            missed = max(missed, c.crack)
    else:
        missed *= c.endcap_factor
    if c.edge_width > 0.0:
        missed += c.edge * max(0.0, 1.0 - distance / c.edge_width)
    return region, min(1.0, missed)


@jit()
def _impact(x, y, z, px, py, pz, charge, c):
    """Unit vector from the origin to where a particle reaches the calorimeter, and whether it does.

    Neutral particles fly straight from their vertex; charged ones follow a helix from the beam line, so those with too
    little pT curl up before the barrel.
    """
    pt = math.sqrt(px * px + py * py) + 1e-300
    if charge == 0:
        end = ((c.z_high if pz > 0.0 else c.z_low) - z) / pz if pz != 0.0 else 1e300
        along = x * px + y * py
        side = (math.sqrt(max(0.0, along * along + pt * pt * (c.radius * c.radius - x * x - y * y))) - along) / (pt * pt)
        t = min(end, side)
        # what starts behind the crystals never enters them from the front
        inside = x * x + y * y < c.radius * c.radius and c.z_low < z < c.z_high
        hx, hy, hz, reached = x + t * px, y + t * py, z + t * pz, inside and t > 0.0
    else:
        curl, cot = CURVATURE * pt / c.field, pz / pt
        half = math.asin(0.5 * c.radius / curl) if c.radius < 2.0 * curl else 1e9
        end = 0.5 * ((c.z_high if cot > 0.0 else c.z_low) - z) / (cot * curl) if cot != 0.0 else 1e300
        half = min(half, end)
        reached = 0.0 < half < 2.0 * math.pi
        half = half if reached else 0.0
        hr, cos, sin = 2.0 * curl * math.sin(half), math.cos(charge * half), math.sin(charge * half)
        # the chord is turned by half the turning angle, clockwise for a positive charge
        hx, hy, hz = hr * (px * cos + py * sin) / pt, hr * (py * cos - px * sin) / pt, z + 2.0 * half * curl * cot
    length = math.sqrt(hx * hx + hy * hy + hz * hz) + 1e-300
    return hx / length, hy / length, hz / length, reached


@jit()
def _deposit(s0, s1, kind, p, energy, c):
    """Energy left in the calorimeter before resolution: (s0, s1, energy [GeV])."""
    s0, s1, u = uniform(s0, s1)
    s0, s1, v = uniform(s0, s1)
    if kind == 22 or kind == 11:
        return s0, s1, energy
    charged = kind == 13 or kind == 211 or kind == 321 or kind == 2212
    kinetic = energy - math.sqrt(max(0.0, energy * energy - p * p))
    out = min(kinetic, c.ionising) if charged else 0.0
    if u < c.showers and kind != 13 and (charged or kind == 130 or kind == 310 or kind == 2112):
        out = max(out, v * kinetic)
    return s0, s1, out


@jit()
def _cluster(s0, s1, p4, vertex, pdg, c, out):
    """One particle: fills the cluster (4,); returns (s0, s1, efficiency, unseen, region)."""
    kind, charge = abs(pdg), charge_of(pdg)
    p = math.sqrt(p4[1] * p4[1] + p4[2] * p4[2] + p4[3] * p4[3])
    s0, s1, energy = _deposit(s0, s1, kind, p, p4[0], c)
    s0, s1, g = normal(s0, s1)
    s0, s1, a = normal(s0, s1)
    s0, s1, b = normal(s0, s1)
    s0, s1, u = uniform(s0, s1)
    s0, s1, v = uniform(s0, s1)
    x, y, z, reached = _impact(vertex[0], vertex[1], vertex[2], p4[1], p4[2], p4[3], charge, c)
    if not reached or energy <= 0.0:
        return s0, s1, 0.0, 1.0, 0
    region, missed = unseen(energy, math.acos(z), math.atan2(y, x), c)
    if region == 0 or region == 4:
        return s0, s1, 0.0, 1.0, region
    photon = kind == 22 or kind == 11
    if photon:
        relative = math.sqrt((c.stochastic * energy ** (-c.power)) ** 2 + c.constant * c.constant)
        if u < c.tail_fraction:
            g += c.tail_slope * math.log(v)
        smeared = energy * max(0.05, 1.0 + relative * g)
    else:
        smeared = energy
        missed = 0.0 if energy > c.threshold else 1.0
    angle = math.sqrt(c.angle_constant**2 + c.angle_stochastic**2 / energy)
    # polar and azimuthal angle have the same error, so the one across the direction shrinks towards the end caps
    x, y, z = turn(x, y, z, angle * a, angle * b * math.sqrt(x * x + y * y))
    out[0], out[1], out[2], out[3] = smeared, smeared * x, smeared * y, smeared * z
    found = turn_on(energy, c.energy_low, 1.0 / (c.energy_high - c.energy_low))
    if kind == 22:
        found *= c.efficiency
    # below the veto threshold "unseen" says nothing about the cluster; edges and cracks cost at any energy
    if photon and energy > c.threshold:
        found *= 1.0 - missed
    return s0, s1, found, missed, region


@jit()
def _merge(clusters, efficiency, merged, cos_merge):
    """Join clusters closer than the merging angle: the harder takes energy and momentum direction of both."""
    k = clusters.shape[0]
    for a in range(k):
        for b in range(a):
            hard, soft = (a, b) if clusters[a, 0] > clusters[b, 0] else (b, a)
            e1, e2 = clusters[hard, 0], clusters[soft, 0]
            if e2 <= 0.0:
                continue
            dot = clusters[a, 1] * clusters[b, 1] + clusters[a, 2] * clusters[b, 2] + clusters[a, 3] * clusters[b, 3]
            if dot > cos_merge * e1 * e2:
                x, y, z = clusters[a, 1] + clusters[b, 1], clusters[a, 2] + clusters[b, 2], clusters[a, 3] + clusters[b, 3]
                scale = (e1 + e2) / math.sqrt(x * x + y * y + z * z)
                clusters[hard, 0] = e1 + e2
                clusters[hard, 1], clusters[hard, 2], clusters[hard, 3] = x * scale, y * scale, z * scale
                clusters[soft, :] = 0.0
                efficiency[soft] = 0.0
                merged[soft] = hard


@jit(parallel=True)
def _clusters(momenta, pdg, vertices, key, c, out, efficiency, missed, region, merged):
    n, k = pdg.shape
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        s0, s1 = seed_block(key, block)
        for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
            for j in range(k):
                if momenta[i, j, 0] > 0.0 and pdg[i, j] != 0:
                    s0, s1, efficiency[i, j], missed[i, j], region[i, j] = _cluster(
                        s0, s1, momenta[i, j], vertices[i, j], pdg[i, j], c, out[i, j]
                    )
            _merge(out[i], efficiency[i], merged[i], c.merge)


def measure_clusters(particles: Particles, detector: Detector, key: int) -> Clusters:
    """Clusters of ``particles`` (momenta (n, k, 4) [GeV], vertices (n, k, 3) [cm]); random numbers from ``key``."""
    shape = particles.pdg.shape
    momenta, efficiency, missed = np.zeros((*shape, 4)), np.zeros(shape), np.ones(shape)
    region, merged = np.zeros(shape, dtype=np.int8), np.full(shape, -1, dtype=np.int16)
    _clusters(particles.momenta_lab, particles.pdg, particles.vertices_cm, np.uint64(make_key(key, "clusters")),
              calorimeter_numbers(detector), momenta, efficiency, missed, region, merged)  # fmt: skip
    return Clusters(momenta_lab=momenta, efficiency=efficiency, unseen=missed, region=region, merged=merged)


def unseen_probability(energy: float, theta_lab: float, phi_lab: float, detector: Detector) -> float:
    """Probability that the photon veto misses a photon of ``energy`` [GeV] at lab angles [rad] (from the origin)."""
    return float(unseen(energy, theta_lab, phi_lab, calorimeter_numbers(detector))[1])
