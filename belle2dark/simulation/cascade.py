"""Dark Higgsstrahlung cascade e+e- -> A' h', h' -> A' A': three dark photons of one mass, each to e+e-, mu+mu- or pi+pi-.

The spins of all three pairs are exact: the first A' is polarised by its production, and the A' of the h' come from a scalar,
so that transverse and longitudinal ones are as 2 to (m_h'^2 / 2 m_A'^2 - 1)^2 and the planes of their decays know of each
other. Photons: a collinear one off a beam (slot ``gamma_1``, down the beam pipe) and, with ``fsr``, at most one off each
pair. A fourth kind of decay, "other", is an A' whose products are not made (slot ``x``): taus and hadrons beyond pi+ pi-, for
inclusive searches.

Not included: h' -> A' A'* below threshold, interference of exchanged A' (their widths are far below any resolution), flight of
the A' (:func:`mean_flight` says how far).
Source: Batell, Pospelov and Ritz, arXiv:0903.0363 (production).
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations

import numba
import numpy as np
from numpy.typing import NDArray

from belle2dark._jit import jit
from belle2dark.constants import ALPHA, M_ELECTRON, M_MUON, M_PION
from belle2dark.simulation.beams import Beams, cms_to_lab
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.higgsstrahlung import _massless_frame, _parabola, _phase_space, _radiation_table
from belle2dark.simulation.mumu_mesons import pion_spectrum
from belle2dark.simulation.pair import check_request
from belle2dark.simulation.radiation import radiate_final
from belle2dark.simulation.rng import BLOCK, azimuth, direction, make_key, normal, seed_block, two_uniforms, uniform
from belle2dark.sourced import nearest
from belle2dark.theory.dark_photon import DARK_PHOTON

#: kinds of decay of an A', their masses [GeV] and PDG codes of the negative particle; "other" is not made
KINDS = ("ee", "mumu", "pipi", "other")
MASSES = (M_ELECTRON, M_MUON, M_PION)
_CODES = (11, 13, -211)
Decays = tuple[str, str, str]


def branching_fractions(m_aprime: float) -> dict[str, float]:
    """Branching fractions of an A' of that mass [GeV] by :data:`KINDS`; they add up to 1.

    pi+ pi- has the form factor of :mod:`.mumu_mesons`, but no more than all hadrons of the R ratio. Raises ``ValueError`` for
    a mass that is not positive.
    """
    total = float(DARK_PHOTON.total_width(m_aprime))
    out = {kind: float(DARK_PHOTON.branching_fraction(kind, m_aprime)) for kind in KINDS[:2]}
    pions = 0.0
    if m_aprime > 2.0 * M_PION:
        s = np.array(m_aprime**2)
        ratio = float(3.0 * math.pi * s / ALPHA["thomson"] * pion_spectrum(s))
        pions = min(ratio * ALPHA["thomson"] * m_aprime / 3.0 / total, float(DARK_PHOTON.branching_fraction("hadrons", m_aprime)))
    return out | {"pipi": pions, "other": max(0.0, 1.0 - sum(out.values()) - pions)}


def combined_fraction(m_aprime: float, decays: Sequence[Decays]) -> float:
    """Share of A' triples that decay as one of ``decays`` in any order, each counted once; ``ValueError`` for an unknown kind."""
    return float(_shares(m_aprime, decays)[1].sum())


def mean_flight(m_aprime: float, m_hprime: float, epsilon: float, sqrt_s: float) -> float:
    """Mean flight [cm] of the fastest of the three A', the one beside the h', in the centre of mass; inf without decays."""
    energy = (sqrt_s**2 + m_aprime**2 - m_hprime**2) / (2.0 * sqrt_s)
    momentum = math.sqrt(max(energy**2 - m_aprime**2, 0.0))
    return float(DARK_PHOTON.ctau(m_aprime, {"epsilon": epsilon})) * momentum / m_aprime


def _shares(m_aprime: float, decays: Sequence[Decays]) -> tuple[NDArray[np.int8], Array]:
    """Ordered triples of kinds (k, 3) that ``decays`` stand for and their probabilities (k,)."""
    for kind in (kind for triple in decays for kind in triple):
        if kind not in KINDS:
            raise ValueError(f"decays: kind {kind!r}: not one of {', '.join(KINDS)}; nearest: {nearest(kind, KINDS)}")
    found = branching_fractions(m_aprime)
    triples = sorted({order for triple in decays for order in permutations(triple)}, key=lambda t: [KINDS.index(k) for k in t])
    codes = np.array([[KINDS.index(kind) for kind in triple] for triple in triples], dtype=np.int8).reshape(-1, 3)
    return codes, np.array([math.prod(found[kind] for kind in triple) for triple in triples])


@jit(inline=True)
def _accept(s0, s1, weight, largest):
    s0, s1, u = uniform(s0, s1)
    return s0, s1, u * largest < weight


@jit()
def _first(s0, s1, kind, speed2, c, gamma):
    """Direction of the negative particle of the first A' in its rest frame: x in the production plane, z along its flight."""
    sine = math.sqrt(1.0 - c * c)
    size = c * c + gamma * gamma * sine * sine  # of X = (c, 0, gamma sin); Y = (0, 1, 0)
    while True:
        s0, s1, x, y, z = direction(s0, s1)
        along = (c * x + gamma * sine * z) ** 2 + y * y
        weight = along if kind == 2 else 1.0 + size - speed2 * along
        s0, s1, good = _accept(s0, s1, weight, max(size, 1.0) if kind == 2 else 1.0 + size)
        if good:
            return s0, s1, x, y, z


@jit()
def _scalar(s0, s1, kind2, kind3, b2, b3, kappa):
    """Directions of the negative particles of both A' of a scalar in their rest frames, z along the flight of the first.

    With the polarisations e of both, the amplitude is e.e' = K = diag(1, 1, kappa) in rest-frame components, and a pair that
    leaves along d is (1 - b d d) for leptons of squared velocity b, d d for pions: the weight is the trace of all.
    """
    square = kappa * kappa
    largest = (1.0 if kind2 == 2 or kind3 == 2 else 2.0) + square if (kind2 != 2 and kind3 != 2) else square
    while True:
        s0, s1, x, y, z = direction(s0, s1)
        s0, s1, u, v, w = direction(s0, s1)
        one, two = x * x + y * y + square * z * z, u * u + v * v + square * w * w
        both = (x * u + y * v + kappa * z * w) ** 2
        if kind2 == 2 and kind3 == 2:
            weight = both
        elif kind2 == 2:
            weight = one - b3 * both
        elif kind3 == 2:
            weight = two - b2 * both
        else:
            weight = 2.0 + square - b2 * one - b3 * two + b2 * b3 * both
        s0, s1, good = _accept(s0, s1, weight, 2.0 + square if kind2 != 2 and kind3 != 2 else largest)
        if good:
            return s0, s1, x, y, z, u, v, w


@jit()
def _pair(p, k, x, y, z, half, m, gamma, boost, nx, ny, nz):
    """Rows 2k and 2k + 1 of ``p``: momenta of a pair that leaves along +-(x, y, z) with ``half``, its A' moving along n."""
    along = x * nx + y * ny + z * nz
    for sign in range(2):
        q = half if sign == 0 else -half
        shift = (gamma - 1.0) * q * along + boost * 0.5 * m
        p[2 * k + sign, 0] = gamma * 0.5 * m + boost * q * along
        p[2 * k + sign, 1] = q * x + shift * nx
        p[2 * k + sign, 2] = q * y + shift * ny
        p[2 * k + sign, 3] = q * z + shift * nz


@jit()
def _higgs(s0, s1, p, kinds, speed2, half, m, m_h):
    """Rows 2 to 5 of ``p``: both pairs of the h' in its rest frame, whose axes are isotropic; returns (s0, s1)."""
    gamma = 0.5 * m_h / m
    boost = math.sqrt(max(gamma * gamma - 1.0, 0.0))
    s0, s1, ax, ay, az, bx, by, bz = _scalar(s0, s1, kinds[1], kinds[2], speed2[1], speed2[2], 2.0 * gamma * gamma - 1.0)
    s0, s1, nx, ny, nz = direction(s0, s1)
    s0, s1, cos, sin = azimuth(s0, s1)
    # axes (e, f, n): e from the pole of the least component, turned by a uniform angle
    sign = math.copysign(1.0, nz)
    a = -1.0 / (sign + nz)
    b = nx * ny * a
    ex, ey, ez = 1.0 + sign * nx * nx * a, sign * b, -sign * nx
    fx, fy, fz = b, sign + ny * ny * a, -ny
    gx, gy, gz = cos * ex + sin * fx, cos * ey + sin * fy, cos * ez + sin * fz
    hx, hy, hz = cos * fx - sin * ex, cos * fy - sin * ey, cos * fz - sin * ez
    _pair(p, 1, ax * gx + ay * hx + az * nx, ax * gy + ay * hy + az * ny, ax * gz + ay * hz + az * nz, half[1], m, gamma,
          boost, nx, ny, nz)  # fmt: skip
    _pair(p, 2, bx * gx + by * hx + bz * nx, bx * gy + by * hy + bz * ny, bx * gz + by * hz + bz * nz, half[2], m, gamma,
          -boost, nx, ny, nz)  # fmt: skip
    return s0, s1


@jit()
def _collide(s0, s1, beam, table, lowest, m2, h2, norm):
    """One collision: (s0, s1, beam energies after radiation, photon's energy and beam, weight)."""
    cells = table.shape[0] - 1
    shrink = 4.0 * beam[5] * beam[5]  # s = shrink E- E+ for massless beams
    s0, s1, g1 = normal(s0, s1)
    s0, s1, g2 = normal(s0, s1)
    e1, e2, photon, first, weight = beam[0] + beam[2] * g1, beam[1] + beam[3] * g2, 0.0, 1.0, 1.0
    if cells > 0:
        s0, s1, u, side = two_uniforms(s0, s1)
        cell = int(u * cells)
        at = u * cells - cell
        v = table[cell, 0] + at * (table[cell + 1, 0] - table[cell, 0])
        weight = table[cell, 1] + at * (table[cell + 1, 1] - table[cell, 1])
        first = 1.0 if side < 0.5 else 0.0
        photon = v * (first * e1 + (1.0 - first) * e2)
        e1, e2 = e1 - photon * first, e2 - photon * (1.0 - first)
    s = shrink * e1 * e2
    if s < lowest:  # no weight, and the momenta of an event without radiation
        e1, e2, photon, weight = beam[0], beam[1], 0.0, 0.0
        s = shrink * e1 * e2
    return s0, s1, e1, e2, photon, first, weight * norm * _phase_space(s, m2, h2, 1.0 / (s - m2))[1] / (s * s)


@jit()
def _event(s0, s1, i, m, m_h, kinds, speed2, half, beam, table, lowest, norm, p, out, other, photons, weights):
    m2, h2 = m * m, m_h * m_h
    s0, s1, e1, e2, photon, first, weights[i] = _collide(s0, s1, beam, table, lowest, m2, h2, norm)
    s = 4.0 * beam[5] * beam[5] * e1 * e2
    root = math.sqrt(s)
    q = 0.5 * _phase_space(s, m2, h2, 1.0)[0] / root
    gamma = math.sqrt(q * q + m2) / m
    s0, s1, c = _parabola(s0, s1, (gamma * gamma - 1.0) / (gamma * gamma + 1.0))
    s0, s1, x, y, z = _first(s0, s1, kinds[0], speed2[0], c, gamma)
    _pair(p, 0, x, y, z, half[0], m, gamma, q / m, 0.0, 0.0, 1.0)
    s0, s1 = _higgs(s0, s1, p, kinds, speed2, half, m, m_h)
    energy = math.sqrt(q * q + h2)
    for k in range(2, 6):  # the h' leaves against the first A'
        e, along = p[k, 0], p[k, 3]
        p[k, 0], p[k, 3] = (energy * e - q * along) / m_h, (energy * along - q * e) / m_h
    s0, s1, cos, sin = azimuth(s0, s1)
    sine = math.sqrt(1.0 - c * c)
    inverse = 1.0 / root
    frame = _massless_frame(e1, e2, root, inverse, 1.0 / ((e1 + e2) * inverse + 1.0), beam[4], beam[5])
    for k in range(6):
        x, z = c * p[k, 1] + sine * p[k, 3], -sine * p[k, 1] + c * p[k, 3]
        a, b, d, e = cms_to_lab(frame, p[k, 0], x * cos - p[k, 2] * sin, x * sin + p[k, 2] * cos, z)
        row = other[i] if kinds[k // 2] == 3 else out[k, i]
        row[0], row[1], row[2], row[3] = row[0] + a, row[1] + b, row[2] + d, row[3] + e
    photons[i, 0], photons[i, 1] = photon, photon * beam[4]
    photons[i, 3] = photon * beam[5] * (2.0 * first - 1.0)
    return s0, s1


@jit(parallel=True)
def _generate(m, m_h, kinds, masses, beam, table, lowest, key, out, other, photons, weights):
    n = weights.shape[0]
    s = 4.0 * beam[5] * beam[5] * beam[0] * beam[1]
    norm = s * s / (_phase_space(s, m * m, m_h * m_h, 1.0 / (s - m * m))[1] * n)
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        s0, s1 = seed_block(key, block)
        p, speed2, half = np.empty((6, 4)), np.empty(3), np.empty(3)
        for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
            for k in range(3):
                # what is not made has no direction: an even distribution
                speed2[k] = 0.0 if kinds[i, k] == 3 else 1.0 - 4.0 * masses[kinds[i, k]] ** 2 / (m * m)
                half[k] = 0.5 * m * math.sqrt(speed2[k])
            s0, s1 = _event(s0, s1, i, m, m_h, kinds[i], speed2, half, beam, table, lowest, norm, p, out, other, photons, weights)


def generate_cascade(m_aprime: float, m_hprime: float, n: int, key: int, beams: Beams, decays: Sequence[Decays], *,
                     isr: bool = True, fsr: bool = False) -> Events:  # fmt: skip
    """n events of e+e- -> A'h', h' -> A'A', the A' decaying as one of ``decays`` (triples of :data:`KINDS`, in any order).

    ``minus_1``, ``plus_1`` come from the A' beside the h', ``minus_2`` to ``plus_3`` from the h', all in the lab with
    ``species``; an A' of the kind "other" is in the slot ``x`` and its two tracks are empty. Decays come by their branching
    fractions at ``m_aprime`` [GeV]. Weights sum to the ratio of the radiatively corrected to the tree-level cross-section (1
    without radiation and spread), as in :func:`.higgsstrahlung.generate_higgsstrahlung`, with the same bound on radiation;
    branching fractions are not in them (:func:`combined_fraction`). Raises ``ValueError`` for closed kinematics or decays, n
    < 1 and a bad key.
    """
    check_request(n, key)
    if not (0.0 < 2.0 * m_aprime < m_hprime) or m_aprime + m_hprime >= beams.sqrt_s:
        raise ValueError(f"m_aprime = {m_aprime:g} GeV, m_hprime = {m_hprime:g} GeV: closed; needs 2 m_aprime < m_hprime "
                         f"and m_aprime + m_hprime < {beams.sqrt_s:g} GeV")  # fmt: skip
    triples, shares = _shares(m_aprime, decays)
    if shares.sum() <= 0.0:
        raise ValueError(f"decays = {list(decays)}: closed for m_aprime = {m_aprime:g} GeV; nothing can be generated")
    cumulative = np.cumsum(shares) / shares.sum()
    draws = np.random.default_rng(make_key(key, "cascade decays")).random(n)
    kinds = triples[np.searchsorted(cumulative, draws, side="right").clip(max=len(triples) - 1)]
    out, other, photons, weights = np.zeros((6, n, 4)), np.zeros((n, 4)), np.zeros((n, 4)), np.empty(n)
    lowest = (0.5 * (beams.sqrt_s + m_aprime + m_hprime)) ** 2 if isr else (m_aprime + m_hprime) ** 2
    table = _radiation_table(beams.sqrt_s) if isr else np.empty((0, 2))
    _generate(m_aprime, m_hprime, kinds, np.array([*MASSES, 0.0]), beams.kernel, table, lowest,
              np.uint64(make_key(key, "cascade")), out, other, photons, weights)  # fmt: skip
    return _events(kinds, out, other, photons, weights, key, fsr)


def _events(kinds: NDArray[np.int8], out: Array, other: Array, photons: Array, weights: Array, key: int, fsr: bool) -> Events:
    """The arrays of the kernel as events, with photons off the pairs if asked for."""
    momenta, species = {}, {}
    codes = np.array([*_CODES, 0], dtype=np.int32)[kinds]
    for k in range(3):
        for j, (name, sign) in enumerate((("minus", 1), ("plus", -1))):
            momenta[f"{name}_{k + 1}"] = out[2 * k + j]
            species[f"{name}_{k + 1}"] = np.ascontiguousarray(sign * codes[:, k])
    if (kinds == 3).any():
        momenta["x"] = other
    if photons.any():
        momenta["gamma_1"] = photons
    events = Events(momenta_lab=momenta, weights=weights, species=species)
    for k in (1, 2, 3) if fsr else ():
        events = radiate_final(events, make_key(key, "cascade photons", str(k)), (f"minus_{k}", f"plus_{k}"), parent="vector",
                               max_photons=1)  # fmt: skip
    return events
