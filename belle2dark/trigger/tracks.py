"""Tracks of the L1 trigger: where a charged particle goes in the solenoid and which superlayers of the CDC it crosses.

A full 2D track has segments in at least four of the five axial superlayers, a short track only in the inner ones. The
chamber ends where a track from the origin at the limits of ``l1_track_theta`` leaves the fourth axial superlayer. Not
included: fake and cloned tracks, energy loss, loopers found more than once.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from belle2dark._jit import jit
from belle2dark.detector.experiments import Detector
from belle2dark.detector.smearing import charge_of
from belle2dark.simulation.rng import normal, uniform
from belle2dark.trigger.response import L1Response

#: columns of a found track: azimuth bin at the origin, at the calorimeter, short, seen by the KLM endcap, Belle's azimuth wedge
PHI, PHI_ECL, SHORT, EKLM, WEDGE = range(5)
#: bins of azimuth that the hardware of Belle II compares, 10 degrees each
BINS = 36
#: wedges of Belle's track finder and how many make 135 degrees
WEDGES, OPEN = 64, 24
#: particles that start closer to the beam line are taken as coming from it [cm]
PROMPT = 0.1


class Chamber(NamedTuple):
    """What the track kernel needs: lengths in cm, angles in rad, momenta in GeV. Flat, because numba wants it so."""

    turn: float  # radius of curvature per transverse momentum [cm/GeV]
    ecl_radius: float
    ecl_backward: float
    ecl_forward: float
    z_forward: float
    z_backward: float
    needed: float
    short_inner: float
    short_outer: float
    pt_min: float
    efficiency: float
    short_efficiency: float
    impact_scale: float
    azimuth: float  # in turns
    curvature: float
    neural: float
    neural_z0: float
    neural_momentum: float
    cut_z0: float
    single_z0: float
    single_momentum: float
    vertex_inner: float
    vertex_outer: float
    vertex_needed: float
    vertex_efficiency: float


def chamber(detector: Detector, l1: L1Response) -> tuple[Chamber, NDArray[np.float64]]:
    """The chamber of ``detector`` (``l1_track_*``) with the numbers of ``l1``, and its axial superlayers (2, 5) [cm]."""
    axial = np.array([l1.values("axial_inner"), l1.values("axial_outer")])
    needed = int(l1.number("full_track_superlayers"))
    low, high = (math.radians(x) for x in detector.numbers["l1_track_theta"].values)
    edge = axial[1, needed - 1]
    numbers = Chamber(
        turn=100.0 / (0.299792458 * detector.number("magnetic_field")),
        ecl_radius=detector.number("ecl_radius"),
        ecl_backward=detector.numbers["ecl_z"].values[0],
        ecl_forward=detector.numbers["ecl_z"].values[1],
        z_forward=edge / math.tan(low),
        z_backward=edge / math.tan(high),
        needed=float(needed),
        short_inner=l1.values("short_track_radii")[0],
        short_outer=l1.values("short_track_radii")[1],
        pt_min=detector.number("l1_track_pt"),
        efficiency=detector.number("l1_track_efficiency"),
        short_efficiency=l1.number("short_track_efficiency"),
        impact_scale=l1.number("impact_scale"),
        azimuth=l1.number("azimuth_resolution") / 360.0,
        curvature=l1.number("curvature_resolution"),
        neural=l1.number("neural_efficiency"),
        neural_z0=l1.number("neural_z0_resolution"),
        neural_momentum=l1.number("neural_momentum_resolution"),
        cut_z0=l1.number("neural_z0"),
        single_z0=l1.number("single_track_z0"),
        single_momentum=l1.number("single_track_momentum"),
        vertex_inner=l1.values("displaced_vertex_radius")[0],
        vertex_outer=l1.values("displaced_vertex_radius")[1],
        vertex_needed=l1.number("displaced_track_superlayers"),
        vertex_efficiency=l1.number("displaced_vertex_efficiency"),
    )
    return numbers, axial


@jit(inline=True)
def turns(y, x):
    """Azimuth of (x, y) as a fraction of a turn in [0, 1), to 1e-5 rad: the hardware compares bins of 10 degrees.

    Source: Abramowitz and Stegun, 4.4.49 (arc tangent on the unit interval).
    """
    a, b = abs(x), abs(y)
    z = min(a, b) / (max(a, b) + 1e-300)
    q = z * z
    angle = z * (0.9998660 + q * (-0.3302995 + q * (0.1801410 + q * (-0.0851330 + q * 0.0208351)))) * (0.5 / math.pi)
    angle = 0.25 - angle if b > a else angle
    angle = 0.5 - angle if x < 0.0 else angle
    return 1.0 - angle if y < 0.0 and angle > 0.0 else angle


@jit(inline=True)
def slot(azimuth, n):
    """The one of n equal slots (0 to n - 1) that an azimuth in turns, between -1 and 2, falls into."""
    k = math.floor(azimuth * n)
    k = k + n if k < 0 else k
    return k - n if k >= n else k


@jit(inline=True)
def apart(a, b, n=BINS):
    """Distance of two of n azimuth bins, 0 to n / 2."""
    d = abs(a - b)
    return min(d, n - d)


@jit(inline=True)
def _arc(x):
    """Arc sine of x in [0, 1]: series below a half (1e-5), where all but the softest particles are."""
    if x > 0.5:
        return math.asin(min(1.0, x))
    q = x * x
    return x * (1.0 + q * (1 / 6 + q * (3 / 40 + q * (5 / 112 + q * (35 / 1152 + q * (63 / 2816))))))


@jit(inline=True)
def flight(p, v, pt, slope, azimuth, charge, c):
    """Where a charged particle enters the calorimeter, seen from the origin: (reached, cos(theta), azimuth [turns]).

    ``p`` [GeV] with transverse part ``pt``, pz/pT ``slope`` and ``azimuth`` [turns]; from the point ``v`` [cm].
    """
    if v[0] * v[0] + v[1] * v[1] > PROMPT * PROMPT:
        return displaced_flight(p, v, charge, c)
    r = c.turn * pt
    if 2.0 * r > c.ecl_radius:
        turned = _arc(0.5 * c.ecl_radius / r)  # of the azimuth; twice that of the direction
        z = v[2] + slope * 2.0 * r * turned
        if c.ecl_backward < z < c.ecl_forward:
            return True, z / math.sqrt(z * z + c.ecl_radius * c.ecl_radius), azimuth - charge * turned * (0.5 / math.pi)
    if abs(slope) < 0.05 or pt < 1e-3:
        return False, 0.0, azimuth  # curls up in the chamber
    z = c.ecl_forward if slope > 0.0 else c.ecl_backward
    turned = 0.5 * (z - v[2]) / (slope * r)
    radius = 2.0 * r * math.sin(turned)
    azimuth -= charge * turned * (0.5 / math.pi)
    if radius < 0.0:
        radius, azimuth = -radius, azimuth + 0.5
    return True, z / math.sqrt(z * z + radius * radius), azimuth - math.floor(azimuth)


@jit()
def displaced_flight(p, v, charge, c):
    """The same for any starting point: circle of the track cut with the barrel, or turned to the face of an endcap."""
    pt = math.sqrt(p[1] * p[1] + p[2] * p[2])
    barrel = c.ecl_radius
    if pt < 1e-3 or v[0] * v[0] + v[1] * v[1] >= barrel * barrel or not c.ecl_backward < v[2] < c.ecl_forward:
        return False, 0.0, 0.0
    r, slope = c.turn * pt, p[3] / pt
    cx, cy = v[0] + charge * c.turn * p[2], v[1] - charge * c.turn * p[1]
    d = math.sqrt(cx * cx + cy * cy)
    if abs(d - r) < barrel < d + r:
        along = (d * d + barrel * barrel - r * r) / (2.0 * d * barrel)
        across = charge * math.sqrt(max(0.0, 1.0 - along * along))
        x, y = barrel / d * (along * cx - across * cy), barrel / d * (along * cy + across * cx)
        chord = math.sqrt((x - v[0]) ** 2 + (y - v[1]) ** 2)
        z = v[2] + slope * 2.0 * r * math.asin(min(1.0, 0.5 * chord / r))
        if c.ecl_backward < z < c.ecl_forward:
            return True, z / math.sqrt(barrel * barrel + z * z), turns(y, x)
    if abs(slope) < 0.05:
        return False, 0.0, 0.0
    z = c.ecl_forward if slope > 0.0 else c.ecl_backward
    angle = -charge * (z - v[2]) / (slope * r)
    s, cosine = math.sin(angle), math.cos(angle)
    dx, dy = v[0] - cx, v[1] - cy
    x, y = cx + cosine * dx - s * dy, cy + s * dx + cosine * dy
    return True, z / math.sqrt(x * x + y * y + z * z), turns(y, x)


@jit(inline=True)
def superlayers(p, v, pt, slope, charge, c, axial):
    """(axial superlayers crossed, whether the short-track ones are, impact parameter, z at the beam line) [cm]."""
    if v[0] * v[0] + v[1] * v[1] > PROMPT * PROMPT:
        return displaced_superlayers(p, v, charge, c, axial)
    # the ends of the chamber are defined by straight lines from the origin, so the radius there is too
    steep = abs(slope)
    length = c.z_forward - v[2] if slope > 0.0 else v[2] - c.z_backward
    reach = 2.0 * c.turn * pt
    crossed = 0
    for k in range(axial.shape[1]):
        crossed += reach > axial[1, k] and axial[1, k] * steep < length
    return crossed, reach > c.short_outer and c.short_outer * steep < length, 0.0, v[2]


@jit()
def displaced_superlayers(p, v, charge, c, axial):
    """The same for any starting point: superlayers inside it are not crossed."""
    pt = math.sqrt(p[1] * p[1] + p[2] * p[2])
    slope, ux, uy = p[3] / pt, p[1] / pt, p[2] / pt
    cx, cy = v[0] + charge * c.turn * p[2], v[1] - charge * c.turn * p[1]
    d, r = math.sqrt(cx * cx + cy * cy), c.turn * pt
    start = math.sqrt(v[0] * v[0] + v[1] * v[1])
    s = ((c.z_forward if slope >= 0.0 else c.z_backward) - v[2]) / (slope if slope != 0.0 else 1e-9)
    if s <= 0.0:
        return 0, False, 0.0, 0.0
    reach = min(d + r, math.sqrt((v[0] + s * ux) ** 2 + (v[1] + s * uy) ** 2))
    crossed = 0
    for k in range(axial.shape[1]):
        crossed += start < axial[0, k] and reach > axial[1, k]
    inner = start < c.short_inner and reach > c.short_outer
    return crossed, inner, abs(d - r), v[2] - slope * (v[0] * ux + v[1] * uy)


@jit(inline=True)
def find_track(s0, s1, p, v, pt, slope, azimuth, charge, c, axial):
    """One charged particle in the track trigger: (s0, s1, kind, azimuth, neural), random numbers from (s0, s1).

    ``kind`` is 0 (not found), 1 (full) or 2 (short); ``azimuth`` [turns] that at the origin; ``neural`` is 0 (no), 1 (in
    the z0 window) or 2 (also good for the single-track line). The same number of draws whatever happens.
    """
    s0, s1, u = uniform(s0, s1)
    s0, s1, w = uniform(s0, s1)
    s0, s1, g_phi = normal(s0, s1)
    s0, s1, g_pt = normal(s0, s1)
    s0, s1, g_z = normal(s0, s1)
    s0, s1, g_p = normal(s0, s1)
    azimuth += c.azimuth * g_phi
    if pt < c.pt_min * (1.0 + c.curvature * g_pt):  # 1/pT is what is measured
        return s0, s1, 0, azimuth, 0
    crossed, inner, impact, z0 = superlayers(p, v, pt, slope, charge, c, axial)
    shift = impact / c.impact_scale
    kept = math.exp(-0.5 * shift * shift) if shift > 1e-3 else 1.0
    if crossed < c.needed:
        return s0, s1, 2 if inner and u < c.short_efficiency * kept else 0, azimuth, 0
    if u >= c.efficiency * kept:
        return s0, s1, 0, azimuth, 0
    neural = 0
    z0 = abs(z0 + c.neural_z0 * g_z)
    if w < c.neural and z0 < c.cut_z0:
        p_seen = pt * math.sqrt(1.0 + slope * slope) * (1.0 + c.neural_momentum * g_p)
        neural = 2 if z0 < c.single_z0 and p_seen > c.single_momentum else 1
    return s0, s1, 1, azimuth, neural


@jit()
def displaced_vertex(s0, s1, momenta, pdg, vertices, c, axial):
    """Whether a finder of displaced vertices sees two opposite tracks (k slots) from one point away from the beams: 0 or 1."""
    found = 0  # one bit per slot
    for a in range(pdg.shape[0]):
        charge, v, p = charge_of(pdg[a]), vertices[a], momenta[a]
        radius, pt = math.sqrt(v[0] * v[0] + v[1] * v[1]), math.sqrt(p[1] * p[1] + p[2] * p[2])
        if charge != 0 and pt > c.pt_min and c.vertex_inner < radius < c.vertex_outer:
            s0, s1, u = uniform(s0, s1)
            if u < c.efficiency and displaced_superlayers(p, v, charge, c, axial)[0] >= c.vertex_needed:
                found |= 1 << a
                for b in range(a):
                    apart_cm = abs(v[0] - vertices[b, 0]) + abs(v[1] - vertices[b, 1]) + abs(v[2] - vertices[b, 2])
                    if found >> b & 1 and charge_of(pdg[b]) == -charge and apart_cm < PROMPT:
                        s0, s1, u = uniform(s0, s1)
                        if u < c.vertex_efficiency:
                            return 1
    return 0
