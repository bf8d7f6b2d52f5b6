"""Dark Higgsstrahlung e+e- -> A' h', A' -> l+ l-, spin-exact, with beam-energy spread and initial-state radiation.

The two-body production angle and the lepton direction come from the full correlated matrix element, sampled exactly and
without rejection; radiation is one collinear photon from either beam, distributed as u^(1/beta) and weighted with the rest of the
radiator and with sigma(s')/sigma(s); photons off the muons are an option. Use it for any vector + scalar final state
produced through an s-channel vector.

Source: Batell, Pospelov and Ritz, arXiv:0903.0363 (production); Kuraev and Fadin, Sov. J. Nucl. Phys. 41 (1985) 466
(radiator).
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math
from functools import cache

import numba
import numpy as np

from belle2dark._jit import jit
from belle2dark.constants import M_MUON
from belle2dark.simulation.beams import Beams, cms_to_lab
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.isr import beta_isr, radiator
from belle2dark.simulation.pair import check_request
from belle2dark.simulation.radiation import radiate_final
from belle2dark.simulation.rng import BLOCK, azimuth, make_key, normal, seed_block, two_uniforms, uniform

#: nodes of the table of u^(1/beta), which stays in the first-level cache; its error, 1e-5 of the beam energy, moves the
#: squared recoil mass by 0.001 GeV^2, a fiftieth of the best resolution
_NODES = 1025


@jit(inline=True)
def _phase_space(s, m2, h2, gap):
    """sqrt(lambda) of the two-body phase space and the rate (1/s) sqrt(lambda) (lambda + 12 m^2/s) / (1 - m^2/s)^2.

    lambda is in GeV^4, ``gap`` is 1 / (s - m^2), given because kernels share divisions.
    """
    square = max((s - m2 - h2) ** 2 - 4.0 * m2 * h2, 0.0)
    root = math.sqrt(square)
    return root, root * (square + 12.0 * m2 * s) * gap * gap


@jit(inline=True)
def _massless_frame(e1, e2, root, inverse, share, sin_a, cos_a):
    """The frame of :func:`cms_to_lab` with the electron mass dropped (1e-8 of s), which saves every square root.

    ``inverse`` is 1 / root and ``share`` 1 / (E / root + 1).
    """
    te, tx, tz = (e1 + e2) * inverse, (e1 + e2) * sin_a * inverse, (e1 - e2) * cos_a * inverse
    pull = (e1 + 0.5 * root) * share
    nx, nz = (e1 * sin_a - pull * tx) * 2.0 * inverse, (e1 * cos_a - pull * tz) * 2.0 * inverse
    az, ax = tx * nx + tz * nz, tx * nz - tz * nx
    fz, fx = az * share, ax * share
    return root, te, tx, tz, ax, nz + fx * tx, -nx + fx * tz, az, nx + fz * tx, nz + fz * tz


@jit(inline=True)
def _parabola(s0, s1, b):
    """A number in (-1, 1) with density 1 - b z^2, 0 <= b <= 1: a mixture of the median of three uniforms and a uniform.

    The median of three has density (1 - z^2) 3/4, and 1 - b z^2 = b (1 - z^2) + (1 - b).
    """
    s0, s1, u, v = two_uniforms(s0, s1)
    s0, s1, w, choice = two_uniforms(s0, s1)
    median = max(min(u, v), min(max(u, v), w))
    take = 1.0 if choice * (3.0 - b) < 2.0 * b else 0.0
    return s0, s1, 2.0 * (u + take * (median - u)) - 1.0


@jit(parallel=True, fastmath=True)
def _generate(m, m_h, m_l, beam, table, lowest, key, minus, plus, weights):
    n, cells = weights.shape[0], table.shape[0] - 1
    m2, h2, inverse_m = m * m, m_h * m_h, 1.0 / m
    sin_a, cos_a = beam[4], beam[5]
    shrink = 4.0 * cos_a * cos_a  # s = shrink E- E+ for massless beams that cross at twice the angle of sin_a
    s = shrink * beam[0] * beam[1]
    norm = s * s / (_phase_space(s, m2, h2, 1.0 / (s - m2))[1] * n)
    speed = math.sqrt(max(0.0, 1.0 - 4.0 * m_l * m_l / m2))
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        s0, s1 = seed_block(key, block)
        for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
            s0, s1, g1 = normal(s0, s1)
            s0, s1, g2 = normal(s0, s1)
            e1, e2 = beam[0] + beam[2] * g1, beam[1] + beam[3] * g2
            weight = 1.0
            if cells > 0:
                s0, s1, u, side = two_uniforms(s0, s1)
                at = u * cells
                cell = int(at)
                at -= cell
                v = table[cell, 0] + at * (table[cell + 1, 0] - table[cell, 0])
                weight = table[cell, 1] + at * (table[cell + 1, 1] - table[cell, 1])
                first = 1.0 if side < 0.5 else 0.0
                e1 -= e1 * v * first
                e2 -= e2 * v * (1.0 - first)
            s = shrink * e1 * e2
            if s < lowest:  # no weight, and the momenta of an event without radiation
                weight, e1, e2 = 0.0, beam[0], beam[1]
                s = shrink * e1 * e2
            root = math.sqrt(s)
            # one division for 1/root, 1/(s - m^2) and root/(E + root)
            total, above = e1 + e2 + root, s - m2
            shared = 1.0 / (root * above * total)
            inverse, share = shared * above * total, shared * root * root * above
            phase_space, rate = _phase_space(s, m2, h2, shared * root * total)
            # 1/s^2 comes from lambda and m^2 in GeV
            weight *= rate * norm * (inverse * inverse) ** 2
            gamma = 0.5 * (s + m2 - h2) * inverse * inverse_m
            boost = 0.5 * phase_space * inverse * inverse_m
            # dsigma/dcos ~ (1 + gamma^2) - (gamma^2 - 1) cos^2, then the lepton about one of the two beam currents:
            # X = (c, 0, gamma sin) with probability |X|^2 / (|X|^2 + 1), or Y = (0, 1, 0), each as 1 - speed^2 cos^2
            square = gamma * gamma
            s0, s1, c = _parabola(s0, s1, (square - 1.0) / (square + 1.0))
            s0, s1, along = _parabola(s0, s1, speed * speed)
            s0, s1, cos_a1, sin_a1 = azimuth(s0, s1)
            s0, s1, cos_f, sin_f = azimuth(s0, s1)
            s0, s1, u = uniform(s0, s1)
            sin = math.sqrt(1.0 - c * c)
            length2 = c * c + square * sin * sin
            unit = 1.0 / math.sqrt(length2)
            nx, nz = c * unit, gamma * sin * unit
            across = math.sqrt(1.0 - along * along)
            about_x = 1.0 if u * (length2 + 1.0) < length2 else 0.0
            about_y = 1.0 - about_x
            fx = about_x * (along * nx - across * sin_a1 * nz) + about_y * across * cos_a1
            fy = about_x * across * cos_a1 + about_y * along
            fz = about_x * (along * nz + across * sin_a1 * nx) + about_y * across * sin_a1
            # lepton momenta in the helicity frame (x in the production plane, z along the A')
            half = 0.5 * m * speed
            ex, ey = half * fx, half * fy
            ez1 = gamma * half * fz + boost * 0.5 * m
            ez2 = -gamma * half * fz + boost * 0.5 * m
            en1 = gamma * 0.5 * m + boost * half * fz
            en2 = gamma * 0.5 * m - boost * half * fz
            # rotate to the centre-of-mass frame with its z along the electron beam, then about the beam
            ax, az = c * ex + sin * ez1, -sin * ex + c * ez1
            bx, bz = -c * ex + sin * ez2, sin * ex + c * ez2
            frame = _massless_frame(e1, e2, root, inverse, share, sin_a, cos_a)
            x, y = ax * cos_f - ey * sin_f, ax * sin_f + ey * cos_f
            minus[i, 0], minus[i, 1], minus[i, 2], minus[i, 3] = cms_to_lab(frame, en1, x, y, az)
            x, y = bx * cos_f + ey * sin_f, bx * sin_f - ey * cos_f
            plus[i, 0], plus[i, 1], plus[i, 2], plus[i, 3] = cms_to_lab(frame, en2, x, y, bz)
            weights[i] = weight


@cache
def _radiation_table(sqrt_s: float) -> Array:
    """Photon energy fraction v = u^(1/beta) and the radiator over its leading term there, at equidistant u, (nodes, 2)."""
    beta = beta_isr(sqrt_s)
    v = np.clip(np.linspace(0.0, 1.0, _NODES) ** (1.0 / beta), 1e-30, 1.0 - 1e-9)
    return np.stack([v, radiator(v, sqrt_s) / (beta * v ** (beta - 1.0))], axis=1)


def generate_higgsstrahlung(
    m_aprime: float,
    m_hprime: float,
    n: int,
    key: int,
    beams: Beams,
    *,
    m_lepton: float = M_MUON,
    isr: bool = True,
    fsr: bool = False,
) -> Events:
    """n events of e+e- -> A'h', A' -> l+l-: particles "mu-" and "mu+" in the lab, the h' is what is missing.

    Masses in GeV; ``isr=False`` switches radiation off, ``fsr=True`` adds up to two photons off the muons (gamma_1,
    gamma_2; other leptons than muons raise ``ValueError``), ``beams`` carries the energy spread. Weights sum to the ratio of
    the radiatively corrected to the tree-level cross-section (1 without radiation and spread). Radiation that takes more
    than half of the energy above threshold is left out: it ends far from any mass window, and for a massless h' its rate
    diverges. Raises ``ValueError`` for n < 1, a key outside 64 bits and kinematics closed at the nominal energy.
    """
    check_request(n, key)
    if m_aprime <= 2 * m_lepton or m_aprime + m_hprime >= beams.sqrt_s:
        raise ValueError(f"m_aprime = {m_aprime:g} GeV, m_hprime = {m_hprime:g} GeV: closed; needs 2 m_lepton < m_aprime "
                         f"and m_aprime + m_hprime < {beams.sqrt_s:g} GeV")  # fmt: skip
    if fsr and m_lepton != M_MUON:
        raise ValueError(f"m_lepton = {m_lepton:g} GeV with fsr = True: photons off the leptons are for muons only")
    minus, plus, weights = np.empty((n, 4)), np.empty((n, 4)), np.empty(n)
    lowest = (0.5 * (beams.sqrt_s + m_aprime + m_hprime)) ** 2 if isr else (m_aprime + m_hprime) ** 2
    table = _radiation_table(beams.sqrt_s) if isr else np.empty((0, 2))
    _generate(m_aprime, m_hprime, m_lepton, beams.kernel, table, lowest, np.uint64(make_key(key, "higgsstrahlung")),
              minus, plus, weights)  # fmt: skip
    events = Events(momenta_lab={"mu-": minus, "mu+": plus}, weights=weights)
    return radiate_final(events, key, ("mu-", "mu+"), parent="vector") if fsr else events
