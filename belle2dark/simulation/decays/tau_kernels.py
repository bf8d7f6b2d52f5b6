"""Decays of one tau in its rest frame: numba helpers on plain floats.

Each decay returns its daughters and the polarimeter vector h: for a tau of spin direction s the rate is proportional to
1 + s.h. With a pair of density matrix R the rate is 1 + h_i R_ij h'_j. A tau+ is made as a tau- with all momenta
reversed and the same h, which is what CP conservation says. Hadronic modes with a current J have a pure polarimeter,
|h| = 1. Not included: photons off the leptons and hadrons (see ``decays.tau``), CP violation.

Source: leptonic spectrum as in the PDG review "Muon decay parameters" with rho = delta = 3/4, xi = 1, eta = 0; hadronic
currents of Kuehn and Santamaria, Z. Phys. C 48 (1990) 445; the polarimeter of a current derived here from the trace.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from belle2dark._jit import jit
from belle2dark.constants import M_TAU
from belle2dark.simulation.decays.tau_spin import michel, polarimeter
from belle2dark.simulation.events import Array, Codes
from belle2dark.simulation.kinematics import around, boost
from belle2dark.simulation.rng import azimuth, direction, uniform

MAX_BODIES = 5
#: kinds of decay, see :func:`decay`
LEPTON, TWO_BODY, VECTOR, AXIAL, FLAT = range(5)
_M2 = M_TAU * M_TAU


class Modes(NamedTuple):
    """All decay modes as arrays over modes, for kernels; made by ``tau_modes.kernel_modes``.

    ``kind`` and ``bodies`` (number of visible daughters); ``codes`` (PDG codes for a tau-) and ``masses`` [GeV] are
    (modes, 5); ``low`` and ``step`` [GeV] are the grid of the hadronic mass, on which ``cumulative`` is its distribution
    and ``bound`` the largest |J|^2; ``invisible`` [GeV] and ``asymmetry`` (h along the daughter) belong to two-body modes;
    ``rho`` are masses and widths of rho and rho' [GeV] and the share of the latter.
    """

    kind: NDArray[np.int64]
    bodies: NDArray[np.int64]
    codes: Codes
    masses: Array
    low: Array
    step: Array
    cumulative: Array
    bound: Array
    invisible: Array
    asymmetry: Array
    rho: Array


@jit(inline=True)
def momentum(mass, m1, m2):
    """Momentum of two bodies m1, m2 in the rest frame of ``mass`` [GeV]; 0 below threshold."""
    s, d = (m1 + m2) ** 2, (m1 - m2) ** 2
    return 0.5 * math.sqrt(max(0.0, (mass * mass - s) * (mass * mass - d))) / mass


@jit(inline=True)
def breit_wigner(s, mass, width, threshold_momentum, m1, m2):
    """P-wave Breit-Wigner with energy-dependent width, normalised to 1 at s = 0: (real, imaginary); s in GeV^2.

    ``threshold_momentum`` is the daughters' momentum at the nominal mass. Source: Kuehn-Santamaria, Eq. (13).
    """
    root = math.sqrt(s)
    running = width * mass * mass / s * (momentum(root, m1, m2) / threshold_momentum) ** 3
    re, im = mass * mass - s, root * running
    f = mass * mass / (re * re + im * im)
    return f * re, f * im


@jit()
def form_factor(s, rho, m1, m2):
    """Pion form factor from rho and rho' for daughters m1, m2: (real, imaginary); ``rho`` is ``Modes.rho``."""
    a, b = breit_wigner(s, rho[0], rho[1], momentum(rho[0], m1, m2), m1, m2)
    if rho[4] == 0.0:
        return a, b
    c, d = breit_wigner(s, rho[2], rho[3], momentum(rho[2], m1, m2), m1, m2)
    return (a + rho[4] * c) / (1.0 + rho[4]), (b + rho[4] * d) / (1.0 + rho[4])


@jit()
def _hadronic_mass(s0, s1, m, modes):
    """Mass of the hadrons from its table: (s0, s1, mass, position on the grid)."""
    table = modes.cumulative[m]
    s0, s1, u = uniform(s0, s1)
    low, high = 0, len(table) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if table[middle] > u:
            high = middle
        else:
            low = middle
    position = low + (u - table[low]) / (table[high] - table[low])
    return s0, s1, modes.low[m] + modes.step[m] * position, position


@jit(inline=True)
def _put(body, k, mass, px, py, pz):
    body[k, 0] = math.sqrt(px * px + py * py + pz * pz + mass * mass)
    body[k, 1], body[k, 2], body[k, 3] = px, py, pz


@jit()
def _vector(s0, s1, m, modes, body):
    """Two mesons through a vector resonance; their angle to the tau is M^2 cos^2 + Q^2 sin^2."""
    s0, s1, q, _ = _hadronic_mass(s0, s1, m, modes)
    s0, s1, nx, ny, nz = direction(s0, s1)
    while True:
        s0, s1, u = uniform(s0, s1)
        s0, s1, v = uniform(s0, s1)
        c = 2.0 * u - 1.0
        if v * _M2 < _M2 * c * c + q * q * (1.0 - c * c):
            break
    s0, s1, u = uniform(s0, s1)
    dx, dy, dz = around(nx, ny, nz, c, 2.0 * math.pi * u)
    m1, m2 = modes.masses[m, 0], modes.masses[m, 1]
    p, k, energy = momentum(q, m1, m2), 0.5 * (_M2 - q * q) / M_TAU, 0.5 * (_M2 + q * q) / M_TAU
    had = (energy, k * nx, k * ny, k * nz)
    _, x, y, z = boost(math.sqrt(p * p + m1 * m1), p * dx, p * dy, p * dz, *had, q)
    _put(body, 0, m1, x, y, z)
    _put(body, 1, m2, had[1] - x, had[2] - y, had[3] - z)
    j = boost(0.0, 2.0 * p * dx, 2.0 * p * dy, 2.0 * p * dz, *had, q)
    _, hx, hy, hz = polarimeter((k, -had[1], -had[2], -had[3]), j, (0.0, 0.0, 0.0, 0.0))
    return s0, s1, hx, hy, hz


@jit()
def dalitz_current(q, sa, sb, m, mo, rho):
    """Three-pion current in the plane of the decay at hadronic mass ``q`` [GeV].

    The like pions have mass ``m``, the odd one ``mo``; sa (sb) [GeV^2] is the mass squared of the odd pion with the second
    (first) like one. Returns (ok, momenta (x1, y1, x2, y2), real (x, y), imaginary (x, y)); the time component vanishes.
    """
    zero = (0.0, 0.0)
    e1, e2 = 0.5 * (q * q + m * m - sa) / q, 0.5 * (q * q + m * m - sb) / q
    e3 = q - e1 - e2
    p1, p2 = e1 * e1 - m * m, e2 * e2 - m * m
    if p1 <= 0.0 or p2 <= 0.0 or e3 <= mo:
        return False, (0.0, 0.0, 0.0, 0.0), zero, zero
    dot = 0.5 * (e3 * e3 - mo * mo - p1 - p2)
    if dot * dot >= p1 * p2:
        return False, (0.0, 0.0, 0.0, 0.0), zero, zero
    x1 = math.sqrt(p1)
    x2 = dot / x1
    y2 = math.sqrt(p2 - x2 * x2)
    fb, gb = form_factor(sb, rho, m, mo)
    fa, ga = form_factor(sa, rho, m, mo)
    # (q1 - q3) with the resonance in (1, 3), and the same for (2, 3); q3 = -q1 - q2
    ux, uy, vx, vy = 2.0 * x1 + x2, y2, 2.0 * x2 + x1, 2.0 * y2
    real, imaginary = (fb * ux + fa * vx, fb * uy + fa * vy), (gb * ux + ga * vx, gb * uy + ga * vy)
    return True, (x1, 0.0, x2, y2), real, imaginary


@jit()
def _dalitz(s0, s1, q, bound, m, mo, rho):
    """A point of the three-pion Dalitz plot with density |J|^2."""
    low, high = (m + mo) ** 2, (q - m) ** 2
    while True:
        s0, s1, u = uniform(s0, s1)
        s0, s1, v = uniform(s0, s1)
        ok, p, re, im = dalitz_current(q, low + u * (high - low), low + v * (high - low), m, mo, rho)
        if ok:
            s0, s1, u = uniform(s0, s1)
            if u * bound < re[0] * re[0] + re[1] * re[1] + im[0] * im[0] + im[1] * im[1]:
                return s0, s1, p, re, im


@jit()
def _axial(s0, s1, m, modes, body):
    """Three pions through a1 -> rho pi; the odd pion is the last body."""
    s0, s1, q, position = _hadronic_mass(s0, s1, m, modes)
    cell = min(int(position), len(modes.bound[m]) - 2)
    bound = max(modes.bound[m, cell], modes.bound[m, cell + 1])
    like, odd = modes.masses[m, 0], modes.masses[m, 2]
    s0, s1, p, re, im = _dalitz(s0, s1, q, bound, like, odd, modes.rho)
    square = re[0] * re[0] + re[1] * re[1] + im[0] * im[0] + im[1] * im[1]
    k, energy = 0.5 * (_M2 - q * q) / M_TAU, 0.5 * (_M2 + q * q) / M_TAU
    # in the rest frame of the hadrons the rate is at most max(M^2/Q^2, 2) |J|^2 times the flat one
    top = max(_M2 / (q * q), 2.0) * 0.5 * (_M2 - q * q) / M_TAU * square
    while True:
        s0, s1, nx, ny, nz = direction(s0, s1)
        s0, s1, ax, ay, az = direction(s0, s1)
        s0, s1, c, s = azimuth(s0, s1)
        bx, by, bz = _normal(ax, ay, az, c, s)
        had = (energy, k * nx, k * ny, k * nz)
        r = boost(0.0, *_plane(re[0], re[1], ax, ay, az, bx, by, bz), *had, q)
        i = boost(0.0, *_plane(im[0], im[1], ax, ay, az, bx, by, bz), *had, q)
        w, hx, hy, hz = polarimeter((k, -had[1], -had[2], -had[3]), r, i)
        s0, s1, u = uniform(s0, s1)
        if u * top < w:
            break
    restx, resty, restz = had[1], had[2], had[3]
    for b in range(2):
        x, y, z = _plane(p[2 * b], p[2 * b + 1], ax, ay, az, bx, by, bz)
        _, x, y, z = boost(math.sqrt(x * x + y * y + z * z + like * like), x, y, z, *had, q)
        _put(body, b, like, x, y, z)
        restx, resty, restz = restx - x, resty - y, restz - z
    _put(body, 2, odd, restx, resty, restz)
    return s0, s1, hx, hy, hz


@jit(inline=True)
def _plane(x, y, ax, ay, az, bx, by, bz):
    return x * ax + y * bx, x * ay + y * by, x * az + y * bz


@jit(inline=True)
def _normal(ax, ay, az, c, s):
    """A unit vector across the unit vector a, at the azimuth of cosine c and sine s."""
    sign = math.copysign(1.0, az)
    f = -1.0 / (sign + az)
    g = ax * ay * f
    return c * (1.0 + sign * ax * ax * f) + s * g, c * sign * g + s * (sign + ay * ay * f), -c * sign * ax - s * ay


@jit()
def _flat(s0, s1, m, modes, body, work):
    """Hadrons in flat phase space at a mass from the table; ``work`` holds the masses of the first k of them.

    The polarimeter is that of the direction of a spin-1 system whose inside is not looked at.
    """
    s0, s1, q, _ = _hadronic_mass(s0, s1, m, modes)
    n, masses = modes.bodies[m], modes.masses[m]
    free = q
    for k in range(n):
        free -= masses[k]
    while True:
        work[0], work[n - 1] = 0.0, 1.0
        for k in range(1, n - 1):
            s0, s1, u = uniform(s0, s1)
            j = k
            while j > 1 and work[j - 1] > u:
                work[j] = work[j - 1]
                j -= 1
            work[j] = u
        total, weight = 0.0, 1.0
        for k in range(n):
            total += masses[k]
            work[k] = total + free * work[k]
            if k > 0:
                # at its largest, body k meets the lightest others with all the free energy
                weight *= momentum(work[k], work[k - 1], masses[k]) / momentum(total + free, total - masses[k], masses[k])
        s0, s1, u = uniform(s0, s1)
        if u < weight:
            break
    s0, s1, hx, hy, hz = direction(s0, s1)
    k = 0.5 * (_M2 - q * q) / M_TAU
    mother = (0.5 * (_M2 + q * q) / M_TAU, k * hx, k * hy, k * hz)
    power = (_M2 - 2.0 * q * q) / (_M2 + 2.0 * q * q)
    for b in range(n - 1, 0, -1):
        s0, s1, nx, ny, nz = direction(s0, s1)
        p = momentum(work[b], work[b - 1], masses[b])
        _, x, y, z = boost(math.sqrt(p * p + masses[b] ** 2), p * nx, p * ny, p * nz, *mother, work[b])
        _put(body, b, masses[b], x, y, z)
        x, y, z = mother[1] - x, mother[2] - y, mother[3] - z
        mother = (math.sqrt(x * x + y * y + z * z + work[b - 1] ** 2), x, y, z)
    _put(body, 0, masses[0], mother[1], mother[2], mother[3])
    return s0, s1, power * hx, power * hy, power * hz


@jit()
def decay(s0, s1, m, modes, body, work):
    """Decay a tau- at rest by mode number ``m``: fills ``body`` (5, 4) [GeV] and returns (s0, s1, hx, hy, hz).

    ``work`` (5,) is scratch. The kinds: LEPTON with two neutrinos, TWO_BODY (a meson or a lepton with something
    invisible), VECTOR (two mesons), AXIAL (three pions), FLAT (phase space; h along the hadrons only).
    """
    kind = modes.kind[m]
    hx, hy, hz = 0.0, 0.0, 0.0
    if kind == VECTOR:
        s0, s1, hx, hy, hz = _vector(s0, s1, m, modes, body)
    elif kind == AXIAL:
        s0, s1, hx, hy, hz = _axial(s0, s1, m, modes, body)
    elif kind == FLAT:
        s0, s1, hx, hy, hz = _flat(s0, s1, m, modes, body, work)
    else:
        mass = modes.masses[m, 0]
        if kind == LEPTON:
            s0, s1, x, power = michel(s0, s1, mass)
            energy = 0.5 * x * (M_TAU + mass * mass / M_TAU)
            p, f = math.sqrt(max(0.0, energy * energy - mass * mass)), -power
        else:
            p, f = momentum(M_TAU, mass, modes.invisible[m]), modes.asymmetry[m]
        s0, s1, x, y, z = direction(s0, s1)
        _put(body, 0, mass, p * x, p * y, p * z)
        hx, hy, hz = f * x, f * y, f * z
    return s0, s1, hx, hy, hz
