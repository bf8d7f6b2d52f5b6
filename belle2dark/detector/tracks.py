"""Charged tracks of any event: which are found, with what momentum, and how far they miss the beam line.

The efficiency is a probability, not a draw. It is made of a turn-on in pT, of the number of drift-chamber layers the
helix crosses, of the share of all layers inside of it that were crossed (a displaced track starts late), and of how far
the track misses the beam line, from which track finding starts. Momentum resolution is the textbook pT (+) multiple
scattering, worse for a shorter lever arm; the polar and azimuthal angle have a constant and a scattering part. Electrons
radiate in the material of the silicon tracker and keep the tail of lost energy.

Not included: recovery of that radiation from clusters, energy loss by ionisation, decays in flight and interactions in the
material, fake and duplicate tracks, hits of looping tracks after the first turn, correlations of the track parameters, the
dependence of the prompt resolution on polar angle.
For two muons from the beam line and nothing else :func:`belle2dark.detector.response.reconstruct` is faster.
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
from belle2dark.detector.smearing import charge_of, smear_track, turn_on
from belle2dark.simulation.events import Particles
from belle2dark.simulation.rng import BLOCK, make_key, normal, seed_block, uniform

Array = NDArray[np.float64]

#: Radius of curvature [cm] of a singly charged particle of pT = 1 GeV in 1 T.
CURVATURE = 1.0e2 / 0.299_792_458


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracks:
    """Charged tracks, one column per slot of the events, all arrays ``(n, k)`` or ``(n, k, ...)``.

    ``momenta_lab`` ``(n, k, 3)`` [GeV] is smeared, at the production point; ``charge`` is 0 where there is no charged
    particle; ``errors`` ``(n, k, 3)`` are the standard deviations of pT (relative), polar and azimuthal angle [rad];
    ``efficiency`` is the probability to be found; ``layers`` the number of drift-chamber layers crossed;
    ``impact`` and ``impact_error`` ``(n, k, 2)`` [cm] are measured d0 and z0 at the beam line and their standard deviations.
    """

    momenta_lab: Array
    charge: NDArray[np.int8]
    errors: Array
    efficiency: Array
    layers: Array
    impact: Array
    impact_error: Array


class TrackNumbers(NamedTuple):
    """What the kernel needs of a detector [GeV, cm, rad]."""

    cos_low: float
    cos_high: float
    layers: float
    r_low: float
    r_high: float
    z_low: float
    z_high: float
    field: float
    slope: float
    constant: float
    angle: float
    scattering: float
    efficiency: float
    pt_low: float
    pt_high: float
    layers_low: float
    layers_high: float
    impact_scale: float
    d0: float
    d0_scattering: float
    z0: float
    z0_scattering: float
    impact_cdc: float
    material: float


def track_numbers(detector: Detector) -> TrackNumbers:
    """The track part of ``detector`` as a tuple for kernels."""
    one, many = detector.number, detector.numbers
    values = [*detector.cosines("cdc_theta"), one("cdc_layers"), *many["cdc_radius"].values, *many["cdc_z"].values,
              one("magnetic_field"), one("pt_resolution_slope"), one("pt_resolution_constant"), one("angle_resolution"),
              one("angle_scattering"), one("tracking_efficiency"), *many["tracking_turn_on"].values,
              *many["track_layers_turn_on"].values, one("track_impact_scale"), *many["impact_resolution"].values,
              *many["impact_resolution_z"].values, one("impact_resolution_cdc"), one("tracker_material")]  # fmt: skip
    return TrackNumbers._make(values)


@jit()
def helix(x, y, z, px, py, pz, charge, r, silicon):
    """Path of a charged particle through the tracker: (inner radius, outer radius, layers, missed layers, strips, d0, z0).

    Radii [cm] are the smallest and largest on its way out; ``layers`` counts drift-chamber layers between them, ``missed``
    the drift-chamber and silicon layers inside the smallest, ``strips`` the silicon layers crossed; d0 and z0 [cm] belong
    to the point of closest approach of the whole circle to the z axis.
    """
    pt = math.sqrt(px * px + py * py) + 1e-12
    radius = CURVATURE * pt / r.field
    # a positive particle turns clockwise in a field along +z
    cx, cy = x + charge * radius * py / pt, y - charge * radius * px / pt
    distance = math.sqrt(cx * cx + cy * cy) + 1e-12
    closest, product, start = abs(distance - radius), 4.0 * distance * radius, math.sqrt(x * x + y * y)
    outgoing = 1.0 if x * px + y * py >= 0.0 else -1.0
    # angle alpha at the centre from the point closest to the axis: r^2 = closest^2 + 4 distance radius sin^2(alpha/2)
    alpha = outgoing * 2.0 * math.asin(math.sqrt(min(1.0, max(0.0, (start * start - closest * closest) / product))))
    cot = pz / pt
    inner, outer = closest, max(min(r.r_high, distance + radius), start)
    if outgoing > 0.0:
        inner, outer = start, min(r.r_high, distance + radius)
    if abs(cot) > 1e-6:
        exit_alpha = alpha + ((r.z_high if cot > 0.0 else r.z_low) - z) / (cot * radius)
        if exit_alpha < math.pi:
            half = math.sin(0.5 * exit_alpha)
            end = math.sqrt(closest * closest + product * half * half)
            # an end plate reached on the way in cuts the inner part, on the way out the outer part
            inner = end if exit_alpha < 0.0 else inner
            outer = start if exit_alpha < 0.0 else min(outer, end if outgoing > 0.0 else max(end, start))
        if not r.z_low < z < r.z_high:
            outer = 0.0
    outer = min(outer, r.r_high)
    density = r.layers / (r.r_high - r.r_low)
    layers = density * max(0.0, outer - max(inner, r.r_low))
    missed, strips = density * max(0.0, min(inner, r.r_high) - r.r_low), 0
    for k in range(silicon.shape[0]):
        if silicon[k] < inner:
            missed += 1.0
        elif silicon[k] < outer:
            strips += 1
    return inner, outer, layers, missed, strips, radius - distance, z - alpha * radius * cot


@jit()
def radiate(s0, s1, thickness):
    """Part of its energy an electron keeps in ``thickness`` radiation lengths: (s0, s1, fraction in (0, 1]).

    Source: Bethe and Heitler, Proc. R. Soc. A 146 (1934) 83: -log(fraction) has a gamma distribution of shape t / log 2;
    for thin layers an exponential variate times v^((1 - shape) / shape), which has the right mean.
    """
    s0, s1, u = uniform(s0, s1)
    s0, s1, v = uniform(s0, s1)
    if thickness <= 0.0:
        return s0, s1, 1.0
    shape = min(0.5, thickness / math.log(2.0))
    return s0, s1, math.exp(math.log(u) * v ** ((1.0 - shape) / shape))


@jit()
def _measure(s0, s1, p4, vertex, electron, charge, r, silicon, rows):
    """One charged particle: fills ``rows`` (momentum, its errors, impact, its errors); returns (s0, s1, efficiency, layers)."""
    momentum, errors, impact, error = rows
    px, py, pz = p4[1], p4[2], p4[3]
    pt2 = px * px + py * py + 1e-24
    pt, p = math.sqrt(pt2), math.sqrt(pt2 + pz * pz)
    over_beta, sine = p4[0] / p, pt / p
    inner, outer, layers, missed, strips, d0, z0 = helix(vertex[0], vertex[1], vertex[2], px, py, pz, charge, r, silicon)
    lever = outer / max(outer - inner, 1.0) if outer > inner else 1.0  # a track without hits keeps the errors of a good one
    shorter = math.sqrt((layers + missed + 4.0) / (layers + 4.0))
    slope, constant = r.slope * pt * lever * lever * shorter, r.constant * over_beta * math.sqrt(lever)
    angle = math.sqrt(r.angle * r.angle + (r.scattering * over_beta / p) ** 2)
    s0, s1, g = normal(s0, s1)
    s0, s1, a = normal(s0, s1)
    s0, s1, b = normal(s0, s1)
    # a fluctuation below -90 % would turn the track round: such a track is lost anyway
    errors[0], errors[1], errors[2] = math.sqrt(slope * slope + constant * constant), angle, angle
    relative = max(-0.9, g * errors[0])
    kept = 1.0
    if electron:
        s0, s1, kept = radiate(s0, s1, r.material / sine * strips / silicon.shape[0])
    x, y, z = smear_track(px, py, pz, pt, 1.0 / pt, relative, angle * a, angle * b)
    momentum[0], momentum[1], momentum[2] = kept * x, kept * y, kept * z
    error[0] = math.sqrt(r.d0 * r.d0 + (r.d0_scattering * over_beta / (p * sine * math.sqrt(sine))) ** 2)
    error[1] = math.sqrt(r.z0 * r.z0 + (r.z0_scattering * over_beta / (p * sine * sine * math.sqrt(sine))) ** 2)
    if strips < 2:
        error[0] = math.sqrt(error[0] * error[0] + r.impact_cdc * r.impact_cdc)
        error[1] = math.sqrt(error[1] * error[1] + r.impact_cdc * r.impact_cdc)
    s0, s1, g = normal(s0, s1)
    impact[0] = d0 + error[0] * g
    s0, s1, g = normal(s0, s1)
    impact[1] = z0 + error[1] * g
    inside = 1.0 if r.cos_low < pz / p < r.cos_high else 0.0
    found = inside * r.efficiency * turn_on(pt, r.pt_low, 1.0 / (r.pt_high - r.pt_low))
    found *= turn_on(layers, r.layers_low, 1.0 / (r.layers_high - r.layers_low))
    share = layers + strips
    return s0, s1, found * share / (share + missed + 1e-12) * math.exp(-abs(d0) / r.impact_scale), layers


@jit(parallel=True)
def _tracks(momenta, pdg, vertices, key, r, silicon, out, errors, charges, efficiency, layers, impact, error):
    n, k = pdg.shape
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        s0, s1 = seed_block(key, block)
        for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
            for j in range(k):
                charge = charge_of(pdg[i, j])
                if charge != 0 and momenta[i, j, 0] > 0.0:
                    charges[i, j] = charge
                    electron = abs(pdg[i, j]) == 11
                    rows = (out[i, j], errors[i, j], impact[i, j], error[i, j])
                    s0, s1, found, crossed = _measure(s0, s1, momenta[i, j], vertices[i, j], electron, charge, r, silicon, rows)
                    efficiency[i, j], layers[i, j] = found, crossed


def measure_tracks(particles: Particles, detector: Detector, key: int) -> Tracks:
    """Tracks of the charged ``particles`` (momenta (n, k, 4) [GeV], vertices (n, k, 3) [cm]); random numbers from ``key``."""
    shape = particles.pdg.shape
    momenta, errors, impact, error = (np.zeros((*shape, size)) for size in (3, 3, 2, 2))
    charge, efficiency, layers = np.zeros(shape, dtype=np.int8), np.zeros(shape), np.zeros(shape)
    silicon = np.array(detector.numbers["silicon_radii"].values)
    _tracks(particles.momenta_lab, particles.pdg, particles.vertices_cm, np.uint64(make_key(key, "tracks")),
            track_numbers(detector), silicon, momenta, errors, charge, efficiency, layers, impact, error)  # fmt: skip
    return Tracks(momenta_lab=momenta, charge=charge, errors=errors, efficiency=efficiency, layers=layers, impact=impact,
                  impact_error=error)  # fmt: skip
