"""Initial-state radiation with angles: any number of photons off the beams, exact for one, leading-log for more.

Use :func:`radiate` inside event kernels whenever photon angles matter (lost photons, vetoes, recoil masses); for a
total cross-section alone the collinear radiator (:func:`radiator`) is enough.

Soft photons (energy fraction x below ``x_hard``) are a Poisson process on the eikonal pattern. The number of hard ones is
drawn from chosen shares, with the Poisson probability in the weight, so rare two-photon events are as well populated
as one wants; each hard photon is weighted with the tree-level pattern, electron mass included. Photons are ordered from
the most collinear one outwards, and each sees beams that the previous ones have slowed: the product is right in the
leading logarithm, and the last photon has the exact single-photon matrix element.

Source: Bonneau and Martin, Nucl. Phys. B 27 (1971) 381 (one photon); Kuraev and Fadin, Sov. J. Nucl. Phys. 41 (1985)
466 (normalisation and collinear radiator).
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from belle2dark._jit import jit
from belle2dark.constants import ALPHA, M_ELECTRON
from belle2dark.simulation.events import Array
from belle2dark.simulation.kinematics import unit
from belle2dark.simulation.rng import uniform

_ALPHA = ALPHA["thomson"]
MAX_HARD = 4  #: hard photons at most; more have a probability of 6e-5
MAX_PHOTONS = 9  #: hard and soft ones together
#: ranges of 1 - cos (off either beam, in the CMS) that get extra hard photons, and their shares: where photons carry
#: transverse momentum into the beam holes, and where the ECL gaps of Belle II are. A choice of statistics, not physics.
HOLES, HOLE_SHARE = (1e-3, 0.1), 0.35
GAPS, GAP_SHARE = (0.2, 0.3), 0.15
#: columns of a photon table: E, px, py, pz in the CMS [GeV], x, 1 - beta cos, 1 + beta cos
COLUMNS = 7


class Radiation(NamedTuple):
    """What :func:`radiate` needs, made once per run by :func:`radiation`."""

    beta: float
    x_soft: float
    x_hard: float
    x_max: float
    soft_limit: float
    cumulative: Array
    hard_weight: Array


def radiation(
    sqrt_s: float, threshold: float, shares: tuple[float, ...], x_soft: float = 1e-4, x_hard: float = 0.01
) -> Radiation:
    """Settings for photons off beams of ``sqrt_s`` [GeV] that leave at least the mass ``threshold`` [GeV].

    ``shares`` are the fractions of events generated with 0, 1, ... hard photons (x > ``x_hard``, in units of the beam
    energy); photons below ``x_soft`` are not made. Raises ``ValueError`` for impossible values.
    """
    if not 1e-9 < x_soft < x_hard < 0.5:
        raise ValueError(f"x_soft = {x_soft}, x_hard = {x_hard}: need 1e-9 < x_soft < x_hard < 0.5")
    if not 0.0 < threshold < sqrt_s:
        raise ValueError(f"threshold = {threshold} GeV: must lie between 0 and sqrt_s = {sqrt_s} GeV")
    if not 1 <= len(shares) <= MAX_HARD + 1 or min(shares) <= 0.0:
        raise ValueError(f"shares = {shares}: need 1 to {MAX_HARD + 1} positive numbers")
    beta = beta_isr(sqrt_s)
    mean = beta * math.log(1.0 / x_hard)
    poisson = np.array([math.exp(-mean) * mean**k / math.factorial(k) for k in range(len(shares))])
    share = np.asarray(shares, dtype=np.float64) / sum(shares)
    soft_limit = math.exp(-beta * math.log(x_hard / x_soft))
    return Radiation(beta, x_soft, x_hard, 1.0 - (threshold / sqrt_s) ** 2, soft_limit, np.cumsum(share), poisson / share)


def beta_isr(sqrt_s: float) -> float:
    """Photons per unit of log energy, 2 alpha/pi (ln s/m_e^2 - 1), at ``sqrt_s`` [GeV]."""
    return 2.0 * _ALPHA / math.pi * (2.0 * math.log(sqrt_s / M_ELECTRON) - 1.0)


def virtual_factor(sqrt_s: float) -> float:
    """Virtual and soft correction that multiplies the Poisson picture at ``sqrt_s`` [GeV] (Kuraev-Fadin, exponentiated)."""
    return math.exp(0.75 * beta_isr(sqrt_s)) * (1.0 + _ALPHA / math.pi * (math.pi**2 / 3.0 - 0.5))


def radiator(v: Array, sqrt_s: float) -> Array:
    """Collinear radiator rho(v), sigma = Int dv rho(v) sigma_0(s (1 - v)), for 0 < v < 1 at ``sqrt_s`` [GeV].

    Source: Kuraev and Fadin, Sov. J. Nucl. Phys. 41 (1985) 466, Eq. (28).
    """
    b = beta_isr(sqrt_s)
    v = np.asarray(v, dtype=np.float64)
    soft = 1.0 + _ALPHA / math.pi * (math.pi**2 / 3.0 - 0.5) + 0.75 * b - b * b / 24.0 * (
        2.0 * math.log(sqrt_s / M_ELECTRON) / 3.0 + 2.0 * math.pi**2 - 37.0 / 4.0)  # fmt: skip
    hard = b * (1.0 - 0.5 * v)
    second = b * b / 8.0 * (4.0 * (2.0 - v) * np.log(1.0 / v) - (1.0 + 3.0 * (1.0 - v) ** 2) / v * np.log1p(-v) - 6.0 + v)
    return b * v ** (b - 1.0) * soft - hard + second


@jit(inline=True)
def _angle(s0, s1, delta, log_range):
    """A photon angle log-uniform in 1 - beta cos off either beam: (s0, s1, 1 - beta cos, 1 + beta cos), both exact."""
    s0, s1, u = uniform(s0, s1)
    s0, s1, side = uniform(s0, s1)
    a = delta * math.exp(u * log_range)
    return (s0, s1, a, 2.0 - a) if side < 0.5 else (s0, s1, 2.0 - a, a)


@jit(inline=True)
def _hard_angle(s0, s1, delta, log_range):
    """Like :func:`_angle` but richer in the beam holes: (s0, s1, 1 - beta cos, 1 + beta cos, weight against :func:`_angle`)."""
    log_holes, log_gaps = math.log(HOLES[1] / HOLES[0]), math.log(GAPS[1] / GAPS[0])
    s0, s1, choose = uniform(s0, s1)
    s0, s1, a, b = _angle(s0, s1, delta, log_range)
    if choose < HOLE_SHARE + GAP_SHARE:
        s0, s1, u = uniform(s0, s1)
        t = HOLES[0] * math.exp(u * log_holes) if choose < HOLE_SHARE else GAPS[0] * math.exp(u * log_gaps)
        a, b = (t, 2.0 - t) if a < b else (2.0 - t, t)
    # densities in 1 - cos; _angle has 1/(a b L), the ranges half of 1/(t ln) on either side
    t = min(a, b)
    base = 1.0 / (a * b * log_range)
    density = (1.0 - HOLE_SHARE - GAP_SHARE) * base
    if HOLES[0] < t < HOLES[1]:
        density += HOLE_SHARE * 0.5 / (t * log_holes)
    elif GAPS[0] < t < GAPS[1]:
        density += GAP_SHARE * 0.5 / (t * log_gaps)
    return s0, s1, a, b, base / density


@jit(inline=True)
def _store(photons, i, x, a, b, half, delta, phi):
    """Write photon ``i`` with energy fraction x and azimuth phi; 1 - cos is kept exact down to sub-electron-mass angles."""
    beta = 1.0 - delta
    one_minus, one_plus = max(0.0, (a - delta) / beta), max(0.0, (b - delta) / beta)
    omega, sine = x * half, math.sqrt(one_minus * one_plus)
    photons[i, 0] = omega
    photons[i, 1] = omega * sine * math.cos(phi)
    photons[i, 2] = omega * sine * math.sin(phi)
    photons[i, 3] = omega * 0.5 * (one_plus - one_minus)
    photons[i, 4], photons[i, 5], photons[i, 6] = x, a, b


@jit(inline=True)
def _hard_fraction(s0, s1, rad, low_share):
    """Energy fraction of a hard photon, a mixture flat in log x and in log(1 - x), with its weight against dx/x."""
    log_x = math.log(rad.x_max / rad.x_hard)
    log_1 = math.log((1.0 - rad.x_hard) / (1.0 - rad.x_max))
    s0, s1, choose = uniform(s0, s1)
    s0, s1, u = uniform(s0, s1)
    x = 1.0 - (1.0 - rad.x_max) * math.exp(u * log_1) if choose < low_share else rad.x_hard * math.exp(u * log_x)
    density = (1.0 - low_share) / (x * log_x) + low_share / ((1.0 - x) * log_1)
    return s0, s1, x, 1.0 / (x * math.log(1.0 / rad.x_hard) * density)


@jit(inline=True)
def _matrix_element(photons, n, delta, log_range, beta):
    """Weight of the n hard photons, and the fractions of the two beams left before the last one: (weight, r1, r2).

    The table is reordered from the most collinear photon outwards. A slowed beam radiates less at wider angles: the
    Poisson numbers, drawn for full beams, are corrected with (r before / r after)^(beta/2 x share of log angle to come).
    Beams slowed unequally radiate up to other energies at wide angles too (2 p.k < s' is a boosted condition): that area of
    (ln x, ln angle), of half the squared difference in rapidity, is given back the same way.
    """
    for i in range(1, n):
        for j in range(i, 0, -1):
            if min(photons[j, 5], photons[j, 6]) >= min(photons[j - 1, 5], photons[j - 1, 6]):
                break
            for c in range(COLUMNS):
                photons[j, c], photons[j - 1, c] = photons[j - 1, c], photons[j, c]
    weight, r1, r2, last1, last2 = 1.0, 1.0, 1.0, 1.0, 1.0
    for i in range(n):
        x, a, b = photons[i, 4], photons[i, 5], photons[i, 6]
        if x >= (r1 if a < b else r2):
            return 0.0, 1.0, 1.0
        # 2 p.k / s of the slowed beams; beyond 1 only because the earlier photons are not exactly collinear
        y1, y2 = min(1.0, 0.5 * x * a / r2), min(1.0, 0.5 * x * b / r1)
        helicity = 0.5 * ((1.0 - y1) ** 2 + (1.0 - y2) ** 2)  # = 1 - x + x^2/2 - x^2 sin^2/4 for the first photon
        mass = delta * ((1.0 - x / r1) / (a * a) if a < b else (1.0 - x / r2) / (b * b))
        pattern = (helicity * 2.0 / (a * b) - mass) * a * b * 0.5
        weight *= max(0.0, pattern) * log_range / (log_range - 1.0)
        last1, last2 = r1, r2
        before = r1 if a < b else r2
        weight *= (before / (before - x)) ** (0.5 * beta * math.log(2.0 / min(a, b)) / log_range)
        if a < b:
            r1 -= x
        else:
            r2 -= x
    if n > 0:
        weight *= math.exp(0.25 * beta / log_range * math.log(r1 / r2) ** 2)
    return weight, last1, last2


@jit(inline=True)
def _add_soft(s0, s1, rad, half, delta, log_range, photons, n):
    """Append a Poisson number of photons between x_soft and x_hard to the n hard ones: (s0, s1, number now, weight).

    A photon sees the beams that the hard photons closer to the beams have left.
    """
    weight, hard = 1.0, n
    s0, s1, product = uniform(s0, s1)
    while product > rad.soft_limit and n < MAX_PHOTONS:
        s0, s1, u = uniform(s0, s1)
        x = rad.x_soft * math.exp(u * math.log(rad.x_hard / rad.x_soft))
        while True:
            s0, s1, a, b = _angle(s0, s1, delta, log_range)
            s0, s1, u = uniform(s0, s1)
            # eikonal pattern over its massless envelope
            if u < 1.0 - 0.5 * delta * (a * a + b * b) / (a * b):
                break
        s0, s1, phi = uniform(s0, s1)
        _store(photons, n, x, a, b, half, delta, 2.0 * math.pi * phi)
        r1, r2 = 1.0, 1.0
        for j in range(hard):
            if min(photons[j, 5], photons[j, 6]) < min(a, b):
                if photons[j, 5] < photons[j, 6]:
                    r1 -= photons[j, 4]
                else:
                    r2 -= photons[j, 4]
        if x >= (r1 if a < b else r2):
            weight, r1, r2 = 0.0, 1.0, 1.0
        y1, y2 = min(1.0, 0.5 * x * a / r2), min(1.0, 0.5 * x * b / r1)
        weight *= 0.5 * ((1.0 - y1) ** 2 + (1.0 - y2) ** 2)
        n += 1
        s0, s1, u = uniform(s0, s1)
        product *= u
    return s0, s1, n, weight


@jit(inline=True)
def radiate(s0, s1, rad, sqrt_s, photons):
    """Fill ``photons`` (MAX_PHOTONS, COLUMNS) in the CMS: (s0, s1, number, weight, r1, r2).

    The weight contains everything but :func:`virtual_factor` and the cross-section at the reduced energy; r1 and r2 are
    the fractions of electron and positron left by all but the last (widest) hard photon, for :func:`beam_axis`.
    """
    half = 0.5 * sqrt_s
    delta = M_ELECTRON * M_ELECTRON / (half * half)
    delta = delta / (1.0 + math.sqrt(1.0 - delta))  # 1 - beta of the beam, without cancellation
    log_range = math.log((2.0 - delta) / delta)
    s0, s1, u = uniform(s0, s1)
    n = 0
    while n < len(rad.cumulative) - 1 and u > rad.cumulative[n]:
        n += 1
    weight = rad.hard_weight[n]
    for i in range(n):
        s0, s1, x, w = _hard_fraction(s0, s1, rad, 0.4 if n == 1 else 0.2)
        s0, s1, a, b, tilt = _hard_angle(s0, s1, delta, log_range)
        s0, s1, phi = uniform(s0, s1)
        _store(photons, i, x, a, b, half, delta, 2.0 * math.pi * phi)
        weight *= w * tilt
    w, r1, r2 = _matrix_element(photons, n, delta, log_range, rad.beta)
    weight *= w
    s0, s1, n, w = _add_soft(s0, s1, rad, half, delta, log_range, photons, n)
    return s0, s1, n, weight * w, r1, r2


@jit(inline=True)
def recoil(photons, n, sqrt_s):
    """Four-momentum and squared mass left by the first n photons, in the CMS: (E, px, py, pz, s')."""
    e, x, y, z = sqrt_s, 0.0, 0.0, 0.0
    for i in range(n):
        e -= photons[i, 0]
        x -= photons[i, 1]
        y -= photons[i, 2]
        z -= photons[i, 3]
    return e, x, y, z, (e * e - x * x - y * y - z * z if e > 0.0 else -1.0)


@jit(inline=True)
def beam_axis(s0, s1, e, x, y, z, mass, sqrt_s, r1, r2):
    """The axis about which the pair of mass ``mass`` is produced like 1 + cos^2, in its rest frame: (s0, s1, unit vector).

    Electron or (reversed) positron, each with the probability of its squared energy there: exact for one photon.
    Source: Kleiss, Nucl. Phys. B 241 (1984) 61 (the same decomposition).
    """
    half = 0.5 * sqrt_s
    energy1, energy2 = r1 * half * (e - z) / mass, r2 * half * (e + z) / mass
    s0, s1, u = uniform(s0, s1)
    sign = 1.0 if u * (energy1**2 + energy2**2) < energy1**2 else -1.0
    energy = half * (e - sign * z) / mass
    f = (half + energy) / (e + mass)
    nx, ny, nz = unit(-f * x, -f * y, sign * half - f * z)
    return s0, s1, sign * nx, sign * ny, sign * nz
