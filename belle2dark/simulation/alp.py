"""An axion-like particle with a photon coupling that decays: e+e- -> gamma a and e+e- -> e+e- a, a -> gamma gamma.

:func:`generate_gamma_alp` is the signal of the three-photon search, and with ``decay="invisible"`` that of the
single-photon search; :func:`generate_fusion_alp` makes a by two equivalent photons, with both electrons in the beam
holes. A coupling given makes photons start at the decay point; what a lifetime does to a search is otherwise a
re-weighting, see :mod:`belle2dark.detector.alp_regimes`. Not included: the width of a, conversions of its photons,
initial-state radiation in fusion.

Source: Dolan et al., arXiv:1709.00009 (production, decay); Budnev et al., Phys. Rept. 15 (1975) 181 (equivalent photons).
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math

import numba
import numpy as np

from belle2dark._jit import jit
from belle2dark.constants import ALPHA, GEV2_FB, M_ELECTRON
from belle2dark.simulation.beams import Beams, cms_to_lab, event_frame
from belle2dark.simulation.decays.chain import decay_two_body, fly
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.gamma_x import REFERENCE, generate_gamma_x
from belle2dark.simulation.pair import check_request
from belle2dark.simulation.rng import BLOCK, make_key, seed_block, uniform
from belle2dark.sourced import nearest
from belle2dark.theory.alp import PHOTON_ALP, check_fusion

_ALPHA = ALPHA["thomson"]
DECAYS = ("photons", "invisible")
#: photon slots of the decay, after that of the recoil photon, and of radiation off the beams
DECAY_SLOTS = ("gamma_2", "gamma_3")
RADIATION_SLOTS = ("gamma_4", "gamma_5", "gamma_6")


def generate_gamma_alp(
    n: int, key: int, beams: Beams, *, mass: float, isr: bool = True, decay: str = "photons", g_agg: float | None = None
) -> Events:
    """n weighted events of e+e- -> gamma a (n gamma): gamma_1 recoils, gamma_2 and gamma_3 are the decay, x is a [GeV].

    Photons off the beams are gamma_4 .. gamma_6, hardest first. Weights add up to the cross-section of gamma a [fb] at
    ``g_agg`` [1/GeV] (default 1e-3) for either ``decay``: "invisible" leaves gamma_2 and gamma_3 out. With ``g_agg``
    given, the decay photons start where a decays with that photon coupling alone, else at the origin. Raises
    ``ValueError`` for n < 1, a key outside 64 bits, an unknown decay, a mass [GeV] outside 0 (excluded, if it decays to
    photons) to 0.99 sqrt_s, or a coupling that is not positive.
    """
    if decay not in DECAYS:
        raise ValueError(f"decay = {decay!r}: allowed {', '.join(DECAYS)}; nearest: {nearest(decay, DECAYS)}")
    if decay == "photons" and not mass > 0.0:
        raise ValueError(f"mass = {mass} GeV: must be above 0 to decay to photons")
    produced = generate_gamma_x(n, key, beams, mass, "alp", g_agg, isr)
    radiated = dict(zip(RADIATION_SLOTS, (produced.momenta_lab[f"gamma_{k}"] for k in (2, 3, 4)), strict=True))
    momenta = {"gamma_1": produced.momenta_lab["gamma_1"]}
    points: dict[str, Array] = {}
    if decay == "photons":
        photons, points = _decay(produced.momenta_lab["x"], key, mass, g_agg)
        momenta |= photons
    return Events(
        momenta_lab={**momenta, **radiated, "x": produced.momenta_lab["x"]}, weights=produced.weights, vertices_cm=points
    )


def _decay(alp: Array, key: int, mass: float, g_agg: float | None) -> tuple[dict[str, Array], dict[str, Array]]:
    """Both photons (n, 4) [GeV] of ``alp`` (n, 4) by slot and, with a coupling, their starting points (n, 3) [cm]."""
    photons = decay_two_body(alp, 0.0, 0.0, make_key(key, "alp decay"))
    momenta = dict(zip(DECAY_SLOTS, photons, strict=True))
    if g_agg is None:
        return momenta, {}
    where = fly(alp, None, float(PHOTON_ALP.ctau(mass, {"g_agg": g_agg})), make_key(key, "alp flight"))
    return momenta, dict.fromkeys(DECAY_SLOTS, where)


def beta_gamma(events: Events, mass: float) -> Array:
    """Momentum over ``mass`` [GeV] of the particle a (slot x) in the lab, ``(n,)``: its mean flight is this times c tau."""
    if not mass > 0.0:
        raise ValueError(f"mass = {mass} GeV: must be above 0")
    return np.asarray(np.linalg.norm(events.momenta_lab["x"][:, 1:], axis=1) / mass)


def generate_fusion_alp(
    n: int, key: int, beams: Beams, *, mass: float, g_agg: float | None = None, theta_max: float | None = None
) -> Events:
    """n weighted events of e+e- -> e+e- a, a -> gamma gamma: gamma_1, gamma_2, the electrons e-, e+ and a as x [GeV].

    Equivalent photons with transverse momentum; electrons stay within about ``theta_max`` [rad] of their beams in the
    CMS (default from ``data/alp.yaml``). Weights add up to :func:`belle2dark.theory.alp.fusion` at ``g_agg`` [1/GeV]
    (default 1e-3) to 0.5 %: transverse momentum leaves no room for some. With ``g_agg`` given the photons start at the
    decay point. Raises ``ValueError`` for n < 1, a key outside 64 bits, a mass or angle out of range, or a coupling that
    is not positive.
    """
    check_request(n, key)
    angle = check_fusion(beams.sqrt_s, mass, theta_max)
    strength = REFERENCE["alp"] if g_agg is None else g_agg
    if not 0.0 < strength < math.inf:
        raise ValueError(f"g_agg = {strength} 1/GeV: must be positive and finite")
    out, weights = np.zeros((3, n, 4)), np.empty(n)
    _fusion(np.uint64(key), n, beams.kernel, mass, angle, out, weights)
    weights *= math.pi * mass**2 / 8.0 * strength**2 * GEV2_FB / n
    photons, points = _decay(out[2], key, mass, g_agg)
    momenta = dict(zip(("gamma_1", "gamma_2"), photons.values(), strict=True))
    points = dict(zip(momenta, points.values(), strict=False))
    return Events(momenta_lab={**momenta, "e-": out[0], "e+": out[1], "x": out[2]}, weights=weights, vertices_cm=points)


@jit(parallel=True)
def _fusion(key, n, beam, mass, angle, out, weights):
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        _fusion_block(key, block, n, beam, mass, angle, out, weights)


@jit()
def _fusion_block(key, block, n, beam, mass, angle, out, weights):
    s0, s1 = seed_block(key, block)
    for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
        s0, s1, frame = event_frame(beam, s0, s1)
        root = frame[0]
        edge = math.log(root / mass)
        s0, s1, u = uniform(s0, s1)
        y = (2.0 * u - 1.0) * edge
        s0, s1, w1, x1, y1 = _photon(s0, s1, mass / root * math.exp(y), mass, root, angle)
        s0, s1, w2, x2, y2 = _photon(s0, s1, mass / root * math.exp(-y), mass, root, angle)
        # a takes the photons' transverse momentum and keeps its rapidity; the electrons share what is left along the beams
        x, m_t = x1 + x2, math.sqrt(mass * mass + (x1 + x2) ** 2 + (y1 + y2) ** 2)
        e, z = m_t * math.cosh(y), m_t * math.sinh(y)
        left_e, left_z = root - e, -z
        m1, m2 = math.sqrt(M_ELECTRON**2 + x1 * x1 + y1 * y1), math.sqrt(M_ELECTRON**2 + x2 * x2 + y2 * y2)
        square = left_e * left_e - left_z * left_z
        open_ = left_e > 0.0 and square > (m1 + m2) ** 2
        if not open_:  # no room for this much transverse momentum: a at rest and nothing transverse, without weight
            w1, x1, x2, y1, y2, x, e, z, m1, m2 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, mass, 0.0, M_ELECTRON, M_ELECTRON
            left_e, left_z, square = root - mass, 0.0, (root - mass) ** 2
        weights[i] = w1 * w2 * 2.0 * edge / (root * root)
        rest = math.sqrt(square)
        e1 = 0.5 * (square + m1 * m1 - m2 * m2) / rest
        p = math.sqrt(max(0.0, e1 * e1 - m1 * m1))
        gamma, slide = left_e / rest, left_z / rest
        z1, e1 = gamma * p + slide * e1, gamma * e1 + slide * p
        out[0, i, :] = cms_to_lab(frame, e1, -x1, -y1, z1)
        out[1, i, :] = cms_to_lab(frame, left_e - e1, -x2, -y2, left_z - z1)
        out[2, i, :] = cms_to_lab(frame, e, x, y1 + y2, z)


@jit()
def _photon(s0, s1, x, mass, root, angle):
    """A photon of energy fraction x: (s0, s1, flux, its transverse momentum [GeV]), virtualities log-uniform."""
    half = 0.5 * root
    low = (M_ELECTRON * x) ** 2 / (1.0 - x)
    high = min((1.0 - x) * (half * angle) ** 2, mass * mass)
    s0, s1, u = uniform(s0, s1)
    s0, s1, phi = uniform(s0, s1)
    if high <= low:
        return s0, s1, 0.0, 0.0, 0.0
    log = math.log(high / low)
    q2 = low * math.exp(u * log)
    flux = _ALPHA / (2.0 * math.pi) * ((1.0 + (1.0 - x) ** 2) / x - 2.0 * M_ELECTRON**2 * x / q2) * log
    transverse = math.sqrt((1.0 - x) * (q2 - low))
    return s0, s1, flux, transverse * math.cos(2.0 * math.pi * phi), transverse * math.sin(2.0 * math.pi * phi)
