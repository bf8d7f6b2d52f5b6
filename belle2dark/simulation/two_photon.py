"""e+e- -> e+e- mu+mu- through two equivalent photons with real electron kinematics.

Each electron radiates a photon of energy fraction x and virtuality Q^2; the pair is made by the two photons as if they
were real, damped by (1 + Q^2/W^2)^-2 per side. Momenta are conserved exactly, so electrons can be tested against the
acceptance. Not included: the other graphs (muon pair radiated off one electron, annihilation), the polarisation of the
photons, initial-state radiation. The rate is normalised to the full calculation; take 30 % on it.

Source: Budnev et al., Phys. Rept. 15 (1975) 181 (equivalent photons, gamma gamma -> l+l-).
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math

import numba
import numpy as np

from belle2dark._jit import jit
from belle2dark.constants import ALPHA, GEV2_FB, M_ELECTRON, M_MUON
from belle2dark.simulation.beams import Beams, cms_to_lab, event_frame
from belle2dark.simulation.events import Events
from belle2dark.simulation.kinematics import around, boost, unit
from belle2dark.simulation.pair import check_request
from belle2dark.simulation.rng import BLOCK, seed_block, uniform
from belle2dark.sourced import load_numbers

_ALPHA = ALPHA["thomson"]
W_MIN = 0.5  #: smallest mass of the muon pair that is generated [GeV]
X_MAX = 0.999  #: largest energy fraction of a photon
#: most electrons are drawn with 1 - cos in this range, where they carry transverse momentum into the beam holes
HOLES = (1e-3, 0.1)
HOLE_SHARE = 0.6


def generate_eemumu(n: int, key: int, beams: Beams) -> Events:
    """n weighted events of e+e- -> e+e- mu+mu- with M(mu mu) > 0.5 GeV: mu-, mu+, e-, e+ in the lab [GeV], weights [fb].

    Pair masses are drawn log-uniform, so high ones are well populated. Raises ``ValueError`` for n < 1 or a key outside
    64 bits.
    """
    check_request(n, key)
    numbers = load_numbers("backgrounds")
    return generate_unnormalised(n, key, beams, float(numbers["eemumu_cross_section"]) / float(numbers["eemumu_generated"]))


def generate_unnormalised(n: int, key: int, beams: Beams, scale: float = 1.0) -> Events:
    """The same with the equivalent-photon normalisation times ``scale``."""
    out, weights = np.zeros((4, n, 4)), np.empty(n)
    _kernel(np.uint64(key), n, beams.kernel, out, weights)
    weights *= scale * GEV2_FB / n
    return Events(momenta_lab=dict(zip(("mu-", "mu+", "e-", "e+"), out, strict=True)), weights=weights)


@jit(parallel=True)
def _kernel(key, n, beam, out, weights):
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        _block(key, block, n, beam, out, weights)


@jit()
def _block(key, block, n, beam, out, weights):
    s0, s1 = seed_block(key, block)
    for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
        s0, s1, frame = event_frame(beam, s0, s1)
        half = 0.5 * frame[0]
        s0, s1, x1, x2, weight = _fractions(s0, s1, frame[0])
        s0, s1, q1, w1, qx1, qy1, qz1 = _photon(s0, s1, x1, half)
        s0, s1, q2, w2, qx2, qy2, qz2 = _photon(s0, s1, x2, half)
        qz2 = -qz2
        e, x, y, z = (x1 + x2) * half, qx1 + qx2, qy1 + qy2, qz1 + qz2
        w_squared = e * e - x * x - y * y - z * z
        weight *= w1 * w2
        p0 = math.sqrt(half * half - M_ELECTRON * M_ELECTRON)
        if w_squared <= W_MIN * W_MIN:  # no such event: any allowed kinematics will do, without weight
            x1, x2, weight, e, w_squared = 0.5, 0.5, 0.0, half, half * half
            qx1, qy1, qx2, qy2, x, y, z = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            qz1 = p0 - math.sqrt(0.25 * half * half - M_ELECTRON * M_ELECTRON)
            qz2 = -qz1
        mass = math.sqrt(w_squared)
        damping = (1.0 + q1 / w_squared) * (1.0 + q2 / w_squared)
        weights[i] = weight * gamma_gamma_to_pair(w_squared, M_MUON) / (damping * damping)
        out[2, i, :] = cms_to_lab(frame, half * (1.0 - x1), -qx1, -qy1, p0 - qz1)
        out[3, i, :] = cms_to_lab(frame, half * (1.0 - x2), -qx2, -qy2, -p0 - qz2)
        _, ax, ay, az = boost(half * x1, qx1, qy1, qz1, e, -x, -y, -z, mass)
        ax, ay, az = unit(ax, ay, az)
        s0, s1, cosine = _pair_angle(s0, s1, w_squared)
        s0, s1, u = uniform(s0, s1)
        ax, ay, az = around(ax, ay, az, cosine, 2.0 * math.pi * u)
        p = math.sqrt(0.25 * w_squared - M_MUON * M_MUON)
        out[0, i, :] = cms_to_lab(frame, *boost(0.5 * mass, p * ax, p * ay, p * az, e, x, y, z, mass))
        out[1, i, :] = cms_to_lab(frame, *boost(0.5 * mass, -p * ax, -p * ay, -p * az, e, x, y, z, mass))


@jit(inline=True)
def _fractions(s0, s1, sqrt_s):
    """Photon energy fractions with x1 x2 s log-uniform and a flat rapidity: (s0, s1, x1, x2, weight against dlnx1 dlnx2)."""
    length = math.log(X_MAX * X_MAX * sqrt_s * sqrt_s / (W_MIN * W_MIN))
    s0, s1, u = uniform(s0, s1)
    s0, s1, v = uniform(s0, s1)
    half_log = -0.5 * u * length  # ln of sqrt(x1 x2) below its maximum X_MAX
    rapidity = (2.0 * v - 1.0) * -half_log
    return s0, s1, X_MAX * math.exp(half_log + rapidity), X_MAX * math.exp(half_log - rapidity), -2.0 * half_log * length


@jit(inline=True)
def _photon(s0, s1, x, half):
    """Photon of energy fraction x off an electron along +z: (s0, s1, Q^2, flux per dlnx times dlnQ^2, qx, qy, qz) [GeV]."""
    p = math.sqrt(half * half - M_ELECTRON * M_ELECTRON)
    left = half * (1.0 - x)
    p_left = math.sqrt(left * left - M_ELECTRON * M_ELECTRON)
    low = M_ELECTRON * M_ELECTRON * x * x / (1.0 - x)
    high = low + 4.0 * p * p_left
    first, last = low + 2.0 * p * p_left * HOLES[0], low + 2.0 * p * p_left * HOLES[1]
    s0, s1, choose = uniform(s0, s1)
    s0, s1, u = uniform(s0, s1)
    log_all, log_holes = math.log(high / low), math.log(last / first)
    q2 = first * math.exp(u * log_holes) if choose < HOLE_SHARE else low * math.exp(u * log_all)
    density = (1.0 - HOLE_SHARE) / log_all + (HOLE_SHARE / log_holes if first < q2 < last else 0.0)
    flux = _ALPHA / (2.0 * math.pi) * (1.0 + (1.0 - x) ** 2 - 2.0 * (1.0 - x) * low / q2) / density
    one_minus = min(2.0, max(0.0, (q2 - low) / (2.0 * p * p_left)))
    s0, s1, u = uniform(s0, s1)
    transverse = p_left * math.sqrt(one_minus * (2.0 - one_minus))
    phi = 2.0 * math.pi * u
    return s0, s1, q2, flux, -transverse * math.cos(phi), -transverse * math.sin(phi), p - p_left + p_left * one_minus


@jit(inline=True)
def gamma_gamma_to_pair(w_squared, mass):
    """Cross-section [GeV^-2] of two real photons to a pair of leptons of ``mass`` [GeV] at W^2 [GeV^2] above threshold."""
    rho = 4.0 * mass * mass / w_squared
    beta = math.sqrt(1.0 - rho)
    log = 2.0 * math.log((1.0 + beta) / math.sqrt(rho))
    return 4.0 * math.pi * _ALPHA * _ALPHA / w_squared * ((1.0 + rho - 0.5 * rho * rho) * log - beta * (1.0 + rho))


@jit(inline=True)
def _pair_angle(s0, s1, w_squared):
    """cos theta of a muon against the photons in the pair's rest frame, unpolarised tree level with mass."""
    beta2 = 1.0 - 4.0 * M_MUON * M_MUON / w_squared
    beta = math.sqrt(beta2)
    eta = math.atanh(beta)
    while True:
        s0, s1, u = uniform(s0, s1)
        s0, s1, v = uniform(s0, s1)
        c = math.tanh((2.0 * u - 1.0) * eta) / beta
        b = beta2 * (1.0 - c * c)
        if 2.0 * v * (1.0 - beta2 * c * c) < 1.0 - beta2 * beta2 + 2.0 * b - b * b:
            return s0, s1, c
