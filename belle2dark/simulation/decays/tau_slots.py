"""Where the daughters of decayed taus go: momenta, PDG codes and vertices in the slots of ``decays.tau``.

pi0, eta and K0 decay here, K_S0 after a flight; photons are collected per event and sorted by energy. Helpers of the
kernel in ``decays.tau``, of no use elsewhere. Not included: pi0 Dalitz decays, K_L0 decays.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math
from typing import NamedTuple

from belle2dark._jit import jit
from belle2dark.constants import CTAU_KSHORT, CTAU_TAU, M_ETA, M_KSHORT, M_PION, M_PION0, M_TAU
from belle2dark.simulation.decays.tau_kernels import momentum
from belle2dark.simulation.events import Array, Codes
from belle2dark.simulation.kinematics import boost
from belle2dark.simulation.rng import direction, uniform

PRONGS = 3  #: prong slots of each tau
MAX_PHOTONS = 32  #: photons of one event at most


class Slots(NamedTuple):
    """What the kernel fills: prongs and neutral kaons (slots, n, ...), photons (photons, n, ...), neutrinos (2, n, 4)."""

    momenta: Array
    vertices: Array
    codes: Codes
    photons: Array
    photon_vertices: Array
    neutrinos: Array


@jit(inline=True)
def _flight(s0, s1, ctau, p, mass, point):
    """Where a particle of momentum p that starts at ``point`` [cm] decays: (s0, s1, (x, y, z))."""
    s0, s1, u = uniform(s0, s1)
    f = -ctau * math.log(u) / mass
    return s0, s1, (point[0] + f * p[1], point[1] + f * p[2], point[2] + f * p[3])


@jit(inline=True)
def _fill(momenta, vertices, slot, i, p, v):
    for c in range(4):
        momenta[slot, i, c] = p[c]
    for c in range(3):
        vertices[slot, i, c] = v[c]


@jit(inline=True)
def _keep(found, count, p, v):
    """Add a photon of direction and energy p from v to the list, if there is room: the new number."""
    if count < MAX_PHOTONS:
        row = found[count]
        row[0] = math.sqrt(p[1] * p[1] + p[2] * p[2] + p[3] * p[3])
        row[1], row[2], row[3] = p[1], p[2], p[3]
        row[4], row[5], row[6] = v[0], v[1], v[2]
        count += 1
    return count


@jit()
def _two(s0, s1, p, mass, daughter):
    """An isotropic decay of p (``mass``) to two daughters of one mass [GeV]: (s0, s1, first, second) in the same frame."""
    s0, s1, x, y, z = direction(s0, s1)
    k = momentum(mass, daughter, daughter)
    a = boost(0.5 * mass, k * x, k * y, k * z, *p, mass)
    return s0, s1, a, (p[0] - a[0], p[1] - a[1], p[2] - a[2], p[3] - a[3])


@jit()
def write(s0, s1, side, i, tau, starts, bodies, kinds, n, charged, found, count, out):
    """Bodies of one tau into its slots, photons into ``found``: (s0, s1, number of photons)."""
    s0, s1, v = _flight(s0, s1, CTAU_TAU, tau, M_TAU, (starts[side, i, 0], starts[side, i, 1], starts[side, i, 2]))
    free, sign = side * PRONGS, 1 - 2 * side
    out.neutrinos[side, i, :] = tau
    for b in range(n):
        code, seen = abs(kinds[b]), True
        p = boost(bodies[b, 0], bodies[b, 1], bodies[b, 2], bodies[b, 3], *tau, M_TAU)
        if code == 111 or code == 221:
            s0, s1, first, second = _two(s0, s1, p, M_PION0 if code == 111 else M_ETA, 0.0)
            count = _keep(found, _keep(found, count, first, v), second, v)
        elif code == 22:
            count = _keep(found, count, p, v)
        elif code == 311:
            s0, s1, free, count, seen = _kaon(s0, s1, side, i, p, v, charged, free, found, count, out)
        else:
            _fill(out.momenta, out.vertices, free, i, p, v)
            out.codes[free, i] = sign * kinds[b]
            free += 1
        if seen:
            for c in range(4):
                out.neutrinos[side, i, c] -= p[c]
    return s0, s1, count


@jit()
def _kaon(s0, s1, side, i, p, v, charged, free, found, count, out):
    """A K0: half K_L0, half K_S0 that decays to pions: (s0, s1, next free prong, number of photons, whether it has a slot)."""
    s0, s1, u = uniform(s0, s1)
    s0, s1, w = uniform(s0, s1)
    pions = u < 0.5 and w < charged
    if u < 0.5 and (not pions or free + 2 <= (side + 1) * PRONGS):
        s0, s1, v = _flight(s0, s1, CTAU_KSHORT, p, M_KSHORT, v)
        s0, s1, a, b = _two(s0, s1, p, M_KSHORT, M_PION if pions else M_PION0)
        for daughter, code in ((a, 211), (b, -211)):
            if pions:
                _fill(out.momenta, out.vertices, free, i, daughter, v)
                out.codes[free, i] = code
                free += 1
            else:
                s0, s1, first, second = _two(s0, s1, daughter, M_PION0, 0.0)
                count = _keep(found, _keep(found, count, first, v), second, v)
        return s0, s1, free, count, True
    slot = 2 * PRONGS + side
    if out.codes[slot, i] != 0:
        return s0, s1, free, count, False
    _fill(out.momenta, out.vertices, slot, i, p, v)
    out.codes[slot, i] = 310 if u < 0.5 else 130
    return s0, s1, free, count, True


@jit()
def sort_photons(found, count, out, i):
    """The most energetic photons into the slots, hardest first."""
    for slot in range(min(count, len(out.photons))):
        best = slot
        for j in range(slot + 1, count):
            if found[j, 0] > found[best, 0]:
                best = j
        _fill(out.photons, out.photon_vertices, slot, i, found[best], found[best, 4:])
        found[best, :] = found[slot, :]
