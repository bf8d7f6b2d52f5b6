"""e+e- -> gamma X: the recoil signal of a dark photon or of an axion-like particle, with initial-state radiation.

``gamma_1`` is the photon that recoils against X; photons off the beams follow in ``gamma_2`` .. ``gamma_4``, hardest
first. For the dark photon, which has poles along the beams, gamma_1 and X are the two with the largest transverse momenta
beside all hard photons, so nothing is counted twice; gamma_1 and the widest other hard photon have the exact matrix
element of two photons and a vector. For the axion-like particle one photon off the beams is exact. X does not decay here.

A broad X, which decays to dark matter, has the mass of each event drawn from its line shape (``dark``); rates then are those of
the running width, without interference. Not included: photons off X or its decay products, other widths.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math

import numba
import numpy as np

from belle2dark._jit import jit
from belle2dark.constants import ALPHA, GEV2_FB, M_ELECTRON
from belle2dark.simulation.amplitudes.photons_vector import photons_vector
from belle2dark.simulation.beams import Beams, cms_to_lab, event_frame
from belle2dark.simulation.events import Events
from belle2dark.simulation.isr import COLUMNS, MAX_PHOTONS, beam_axis, radiate, radiation, recoil, virtual_factor
from belle2dark.simulation.kinematics import around, boost, unit
from belle2dark.simulation.line_shape import HIGHEST, draw_masses
from belle2dark.simulation.pair import check_request, one_plus_cos2, write_photons
from belle2dark.simulation.rng import BLOCK, seed_block, uniform
from belle2dark.sourced import nearest
from belle2dark.theory.dark_matter import DarkMatter

_ALPHA = ALPHA["thomson"]
KINDS = ("dark_photon", "alp")
#: coupling of the weights, by kind: epsilon, and g_agg [1/GeV]; rates go with the square
REFERENCE = {"dark_photon": 1e-3, "alp": 1e-3}
#: fractions of events made with 0, 1, 2 hard initial-state photons
SHARES = (0.6, 0.32, 0.08)
SLOTS = 4
#: a dark-photon photon is made down to this CMS angle to the beams [rad] (rapidity 3.7)
THETA_MIN = 0.05
#: smallest mass of photon and X that is made [GeV]: less is left after radiation far from any search
MASS_MIN = 0.3
#: a photon off the beams has the exact matrix element where 1 - |cos theta| is above this, else the collinear limit
WIDE = 1e-4


def generate_gamma_x(
    n: int, key: int, beams: Beams, mass: float, kind: str, coupling: float | None = None, isr: bool = True,
    dark: DarkMatter | None = None,
) -> Events:  # fmt: skip
    """n weighted events of e+e- -> gamma X (n gamma): gamma_1 .. gamma_4 and x in the lab [GeV], weights [fb].

    ``kind`` is "dark_photon" (``coupling`` epsilon) or "alp" (``coupling`` g_agg [1/GeV]), default 1e-3; ``isr`` switches
    radiation off the beams. With ``dark`` matter of some coupling X has its width and decays to nothing else, and weights add up
    to the rate with it. Dark-photon events with gamma_1 below 1 % of the beam energy or within about 0.05 rad of the
    beams in the CMS, or with X at a smaller transverse momentum than another hard photon, are not made. Raises
    ``ValueError`` for n < 1, a key outside 64 bits, an unknown kind, a mass [GeV] outside 0 to 0.99 sqrt_s, or a coupling
    that is not positive, and as :func:`belle2dark.simulation.line_shape.draw_masses`.
    """
    check_request(n, key)
    if kind not in KINDS:
        raise ValueError(f"kind = {kind!r}: allowed {', '.join(KINDS)}; nearest: {nearest(kind, KINDS)}")
    if not 0.0 <= mass <= HIGHEST * beams.sqrt_s:
        raise ValueError(f"mass = {mass} GeV: allowed 0 to {HIGHEST * beams.sqrt_s:.4g} GeV")
    strength = REFERENCE[kind] if coupling is None else coupling
    if not 0.0 < strength < math.inf:
        raise ValueError(f"coupling = {strength}: must be positive and finite")
    masses, share = draw_masses(n, key, mass, dark, beams.sqrt_s)
    rad = radiation(beams.sqrt_s, max(1.001 * (2.0 * dark.mass_ratio * mass if dark else mass), MASS_MIN), SHARES)
    out, weights = np.zeros((SLOTS + 1, n, 4)), np.empty(n)
    alp = kind == "alp"
    _kernel(np.uint64(key), n, beams.kernel, rad, (alp, isr), masses, out, weights)
    weights *= share
    constant = _ALPHA / 24.0 if alp else 2.0 * math.pi * _ALPHA**2
    weights *= constant * strength**2 * GEV2_FB / n * (virtual_factor(beams.sqrt_s) if isr else 1.0)
    names = (*(f"gamma_{i + 1}" for i in range(SLOTS)), "x")
    return Events(momenta_lab=dict(zip(names, out, strict=True)), weights=weights)


@jit(parallel=True)
def _kernel(key, n, beam, rad, process, masses, out, weights):
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        _block(key, block, n, beam, rad, process, masses, out, weights)


@jit()
def _block(key, block, n, beam, rad, process, masses, out, weights):
    s0, s1 = seed_block(key, block)
    photons = np.zeros((MAX_PHOTONS + 1, COLUMNS))
    alp, isr = process
    for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
        mass = masses[i]
        s0, s1, frame = event_frame(beam, s0, s1)
        s0, s1, k, weight, r1, r2 = radiate(s0, s1, rad, frame[0], photons)
        if not isr:
            k, weight, r1, r2 = 0, 1.0, 1.0, 1.0
        e, x, y, z, s_prime = recoil(photons, k, frame[0])
        shape = 0.0
        if s_prime <= 1.0001 * mass * mass or s_prime < 0.9 * MASS_MIN * MASS_MIN or weight <= 0.0:
            e, x, y, z, s_prime, weight, k, r1, r2 = frame[0], 0.0, 0.0, 0.0, frame[0] ** 2, 0.0, 0, 1.0, 1.0
        root = math.sqrt(s_prime)
        if alp:
            s0, s1, ax, ay, az = beam_axis(s0, s1, e, x, y, z, root, frame[0], r1, r2)
            s0, s1, c = one_plus_cos2(s0, s1, 1.0)
            s0, s1, u = uniform(s0, s1)
            nx, ny, nz = around(ax, ay, az, c, 2.0 * math.pi * u)
            weight *= (1.0 - mass * mass / s_prime) ** 3
        else:
            s0, s1, nx, ny, nz, shape, density = _dark_photon(s0, s1, (e, x, y, z, root), frame[0], mass)
            weight *= (1.0 - mass * mass / s_prime) / (s_prime * density)
        q = 0.5 * (s_prime - mass * mass) / root
        pe, px, py, pz = boost(q, q * nx, q * ny, q * nz, e, x, y, z, root)
        if not alp:
            least = min(px * px + py * py, (x - px) ** 2 + (y - py) ** 2)
            weight *= _with_hard(photons, k, rad.x_hard, (r1, r2), frame[0], s_prime, (pe, px, py, pz), (least, shape))
        weights[i] = weight
        out[0, i, :] = cms_to_lab(frame, pe, px, py, pz)
        out[4, i, :] = cms_to_lab(frame, e - pe, x - px, y - py, z - pz)
        write_photons(photons, k, frame, out[:4], 1, i)


@jit()
def _with_hard(photons, k, x_hard, left, sqrt_s, s_prime, signal, born):
    """The angular shape of ``signal``, or the exact one with the widest hard photon in units of that photon's pattern.

    0 if the signal is soft, or a hard photon has more transverse momentum than signal or X (``born``: the smaller of
    theirs, squared, and the shape): that event belongs to another assignment, or is one of two photons and a forward X.
    """
    least, shape = born
    if signal[0] < 0.5 * x_hard * sqrt_s:
        return 0.0
    hard = 0
    while hard < k and photons[hard, 4] > x_hard:
        if photons[hard, 1] ** 2 + photons[hard, 2] ** 2 > least:
            return 0.0
        hard += 1
    if hard == 0 or min(photons[hard - 1, 5], photons[hard - 1, 6]) < WIDE:
        return shape
    row, half, (r1, r2) = photons[hard - 1], 0.5 * sqrt_s, left
    x, a, b = row[4], row[5], row[6]
    y1, y2 = min(1.0, 0.5 * x * a / r2), min(1.0, 0.5 * x * b / r1)
    pattern = ((1.0 - y1) ** 2 + (1.0 - y2) ** 2) / (a * b)
    electron, positron = (r1 * half, 0.0, 0.0, r1 * half), (r2 * half, 0.0, 0.0, -r2 * half)
    squared = photons_vector(electron, positron, (row[0], row[1], row[2], row[3]), signal)
    return squared * s_prime * row[0] ** 2 / (8.0 * pattern * r1 * r2 * sqrt_s * sqrt_s)


@jit()
def _dark_photon(s0, s1, system, sqrt_s, mass):
    """Direction of the photon in the rest frame of ``system``: (s0, s1, unit vector, angular shape, its density)."""
    e, x, y, z, root = system
    half = 0.5 * sqrt_s
    _, ax, ay, az = boost(half, 0.0, 0.0, half, e, -x, -y, -z, root)
    _, bx, by, bz = boost(half, 0.0, 0.0, -half, e, -x, -y, -z, root)
    ax, ay, az = unit(ax, ay, az)
    bx, by, bz = unit(-bx, -by, -bz)
    edge = -math.log(math.tan(0.5 * THETA_MIN))
    s0, s1, u = uniform(s0, s1)
    s0, s1, v = uniform(s0, s1)
    s0, s1, phi = uniform(s0, s1)
    c = math.tanh((2.0 * v - 1.0) * edge)
    if u < 0.5:
        nx, ny, nz = around(ax, ay, az, c, 2.0 * math.pi * phi)
    else:
        nx, ny, nz = around(bx, by, bz, c, 2.0 * math.pi * phi)
    s, m2, top = root * root, mass * mass, math.tanh(edge)
    constant, shape, density = 4.0 * s * m2 / (s - m2) ** 2, 0.0, 0.0
    rho = 4.0 * M_ELECTRON * M_ELECTRON / s
    for j in range(2):
        cosine = min(1.0, max(-1.0, nx * ax + ny * ay + nz * az if j == 0 else nx * bx + ny * by + nz * bz))
        if abs(cosine) < top:
            density += 0.25 / (edge * (1.0 - cosine * cosine))
        shape += 0.5 * (1.0 + cosine * cosine + constant) / (1.0 - cosine * cosine + rho)
    return s0, s1, nx, ny, nz, shape, density
