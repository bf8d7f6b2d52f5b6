"""e+e- -> e+ e- (gamma): one real photon with electrons anywhere, and wide-angle Bhabha scattering.

:func:`generate_ee_gamma` is the exact tree level of one photon above an energy cut, electrons down to zero angle: a single
photon whose electrons are lost in the beam holes, the radiative continuum, tracks and a photon. :func:`generate_bhabha`
adds the events without a visible photon (soft and virtual correction in the leading logarithm), so that the sum does not
depend on the photon cut. The coupling runs with both momentum transfers, in all graphs alike. Not included: a second
photon, the Z, the non-logarithmic part of the virtual correction (1 %); take 5 % on rates, 10 % with a hard photon.

Matrix element: :mod:`.amplitudes.ee_gamma`; electron directions: :mod:`.bhabha_sampling`.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math
from functools import cache

import numba
import numpy as np

from belle2dark._jit import jit
from belle2dark.constants import ALPHA, GEV2_FB, M_ELECTRON
from belle2dark.simulation.amplitudes.ee_gamma import matrix_element
from belle2dark.simulation.beams import Beams, cms_to_lab, event_frame
from belle2dark.simulation.bhabha_sampling import electrons
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.pair import check_request
from belle2dark.simulation.rng import BLOCK, seed_block, uniform
from belle2dark.theory.vacuum_polarisation import delta_alpha

_ALPHA = ALPHA["thomson"]
_M2 = M_ELECTRON * M_ELECTRON
Range = tuple[float, float]
#: share of photon energies drawn flat in log(1 - x), for small pair masses; the others are flat in log x
HARD_SHARE = 0.15
#: fraction of the events of :func:`generate_bhabha` without photon
SOFT_SHARE = 0.3
#: photon or electrons must keep this far from the beams in all [rad]: closer, mass terms are missing
CLOSE = 0.04
#: range of log(-t/GeV^2) in which the coupling runs
LOG_T = (-14.0, 7.0)
RAPIDITY_MAX = 13.0  #: of photons with no lower angle: beyond the electron-mass cone


def bhabha_cross_section(s: float, low: float, high: float) -> float:
    """Tree-level Bhabha cross-section [fb] at ``s`` [GeV^2] for low < cos theta*_electron < high.

    Raises ``ValueError`` unless -1 <= low < high < 1.
    """
    if not -1.0 <= low < high < 1.0:
        raise ValueError(f"low = {low}, high = {high}: need -1 <= low < high < 1")

    def primitive(c: float) -> float:
        y = 0.5 * (1.0 - c)  # t = -y s; the integrand is (s/t + t/s + 1)^2
        return 1.0 / y + 2.0 * math.log(y) - 3.0 * y + y * y - y**3 / 3.0

    return 4.0 * math.pi * _ALPHA**2 / s * GEV2_FB * (primitive(high) - primitive(low))


def generate_ee_gamma(
    n: int,
    key: int,
    beams: Beams,
    energy_min: float = 0.4,
    theta_photon: Range = (0.15, 2.99),
    theta_electron: Range = (0.0, math.pi),
    running: bool = True,
) -> Events:
    """n weighted events of e+e- -> e+ e- gamma: e-, e+, gamma_1 in the lab [GeV], weights [fb].

    All cuts are in the CMS: photon energy above ``energy_min`` [GeV], photon polar angle [rad] in ``theta_photon``, those
    of both electrons in ``theta_electron``; events outside have no weight. ``running`` switches vacuum polarisation on.
    Raises ``ValueError`` for n < 1, a key outside 64 bits or a range that is empty or out of bounds.
    """
    check_request(n, key)
    region = _region(beams, energy_min, theta_photon, theta_electron)
    return _run(n, key, beams, region, 0.0, running)


def generate_bhabha(
    n: int,
    key: int,
    beams: Beams,
    theta_min: float = 0.17,
    theta_max: float = 2.97,
    energy_min: float = 0.1,
    running: bool = True,
) -> Events:
    """n weighted events of e+e- -> e+ e- (gamma): e-, e+, gamma_1 in the lab [GeV], weights [fb].

    Both electrons have CMS polar angles between ``theta_min`` and ``theta_max`` [rad]. Photons above ``energy_min`` [GeV,
    CMS] are exact at any angle; softer ones are not made. ``running`` switches vacuum polarisation on. Raises
    ``ValueError`` like :func:`generate_ee_gamma`, for theta_min below 0.02 and for an energy_min so small that the
    correction of one photon fails.
    """
    check_request(n, key)
    if not 0.02 <= theta_min < theta_max <= math.pi - 0.02:
        raise ValueError(f"theta_min = {theta_min}, theta_max = {theta_max} rad: need 0.02 <= theta_min < theta_max <= 3.12")
    if energy_min < 0.005 * beams.sqrt_s:
        raise ValueError(
            f"energy_min = {energy_min} GeV: at least {0.005 * beams.sqrt_s:.3g} GeV, one photon is not enough below"
        )
    return _run(n, key, beams, _region(beams, energy_min, (0.0, math.pi), (theta_min, theta_max)), SOFT_SHARE, running)


def _region(beams: Beams, energy_min: float, photon: Range, electron: Range) -> tuple[float, ...]:
    """Smallest x, rapidity range of the photon, range of the cosine of the electrons, smallest |t| drawn often [GeV^2]."""
    top = 0.5 * beams.sqrt_s
    if not 1e-4 * top <= energy_min < 0.98 * top:
        raise ValueError(f"energy_min = {energy_min} GeV: allowed {1e-4 * top:.2g} to {0.98 * top:.4g} GeV")
    if electron[0] + math.pi - electron[1] < CLOSE and photon[0] + math.pi - photon[1] < CLOSE:
        raise ValueError(f"theta_photon = {photon}, theta_electron = {electron} rad: one must keep {CLOSE} rad off the beams")
    for name, (low, high) in (("theta_photon", photon), ("theta_electron", electron)):
        if not 0.0 <= low < high <= math.pi:
            raise ValueError(f"{name} = {(low, high)} rad: need 0 <= low < high <= pi")
    tiny = 2.0 * math.exp(-RAPIDITY_MAX)
    ends = [-math.log(math.tan(0.5 * min(max(angle, tiny), math.pi - tiny))) for angle in photon]
    closest = min(1.0 - math.cos(electron[0]), 1.0 + math.cos(electron[1]))
    return (energy_min / top, ends[1], ends[0], math.cos(electron[1]), math.cos(electron[0]), 0.1 * beams.sqrt_s * closest)


@cache
def _running() -> Array:
    """alpha(t)/alpha(0) on a grid of log(-t/GeV^2) from LOG_T[0] to LOG_T[1]."""
    return 1.0 / (1.0 - delta_alpha(-np.exp(np.linspace(*LOG_T, 141))).real)


def _run(n: int, key: int, beams: Beams, region: tuple[float, ...], soft: float, running: bool) -> Events:
    table = _running() if running else np.ones(2)
    out, weights = np.zeros((3, n, 4)), np.empty(n)
    _kernel(np.uint64(key), n, beams.kernel, region, table, soft, out, weights)
    weights *= GEV2_FB / n
    return Events(momenta_lab=dict(zip(("e-", "e+", "gamma_1"), out, strict=True)), weights=weights)


@jit(parallel=True)
def _kernel(key, n, beam, region, table, soft, out, weights):
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        _block(key, block, n, beam, region, table, soft, out, weights)


@jit()
def _block(key, block, n, beam, region, table, soft, out, weights):
    s0, s1 = seed_block(key, block)
    rows = np.zeros((3, 4))  # electron, positron, photon in the CMS [GeV]
    for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
        s0, s1, frame = event_frame(beam, s0, s1)
        s0, s1, u = uniform(s0, s1)
        if u < soft:
            s0, s1, weight = _elastic(s0, s1, frame[0], region, table, rows)
            weights[i] = weight / soft
        else:
            s0, s1, weight = _radiative(s0, s1, frame[0], region, table, rows)
            weights[i] = weight / (1.0 - soft)
        for j in range(3):
            out[j, i, :] = cms_to_lab(frame, rows[j, 0], rows[j, 1], rows[j, 2], rows[j, 3])


@jit()
def _elastic(s0, s1, sqrt_s, region, table, rows):
    """Bhabha scattering with all photons softer than the cut, written to ``rows``: (s0, s1, weight [GeV^-2])."""
    s, half = sqrt_s * sqrt_s, 0.5 * sqrt_s
    low, high = 0.5 * (1.0 - region[4]), 0.5 * (1.0 - region[3])  # of y = -t/s; the positron has the opposite angle
    low, high = max(low, 0.5 * (1.0 + region[3])), min(high, 0.5 * (1.0 + region[4]))
    s0, s1, u = uniform(s0, s1)
    s0, s1, phi = uniform(s0, s1)
    y = 1.0 / (1.0 / low - u * (1.0 / low - 1.0 / high))
    born = 4.0 * math.pi * _ALPHA * _ALPHA / s * (1.0 - y - 1.0 / y) ** 2 * y * y * (1.0 / low - 1.0 / high)
    p, sine = math.sqrt(half * half - _M2), 2.0 * math.sqrt(y * (1.0 - y))
    px, py, pz = p * sine * math.cos(2.0 * math.pi * phi), p * sine * math.sin(2.0 * math.pi * phi), p * (1.0 - 2.0 * y)
    rows[0, :] = half, px, py, pz
    rows[1, :] = half, -px, -py, -pz
    rows[2, :] = 0.0
    return s0, s1, born * (1.0 + _soft(s, y, region[0])) * _alpha_ratio(table, y * s) ** 2


@jit()
def _alpha_ratio(table, minus_t):
    """alpha(t)/alpha(0) from the table."""
    place = (math.log(minus_t) - LOG_T[0]) / (LOG_T[1] - LOG_T[0]) * (len(table) - 1)
    k = min(max(int(place), 0), len(table) - 2)
    return table[k] + min(max(place - k, 0.0), 1.0) * (table[k + 1] - table[k])


@jit(inline=True)
def _soft(s, y, cut):
    """Soft (photon energy over beam energy below ``cut``) and virtual correction at t = -y s, leading logarithm."""
    log = math.log(s / _M2)
    eikonal = 4.0 * _ALPHA / math.pi * (log - 1.0 + math.log(y / (1.0 - y)))
    return eikonal * math.log(cut) + 3.0 * _ALPHA / math.pi * (log + math.log(y) - 1.0)


@jit()
def _radiative(s0, s1, sqrt_s, region, table, rows):
    """One real photon, written to ``rows``: (s0, s1, weight [GeV^-2])."""
    half, s = 0.5 * sqrt_s, sqrt_s * sqrt_s
    s0, s1, x, weight = _energy(s0, s1, region[0], 1.0 - 4.0001 * _M2 / s)
    s0, s1, u = uniform(s0, s1)
    s0, s1, phi = uniform(s0, s1)
    eta = region[1] + u * (region[2] - region[1])
    near = 2.0 / (math.exp(2.0 * abs(eta)) + 1.0)  # 1 - |cos|
    sin2, cosine = near * (2.0 - near), math.copysign(1.0 - near, eta)
    omega, sine = half * x, math.sqrt(sin2)
    px, py = omega * sine * math.cos(2.0 * math.pi * phi), omega * sine * math.sin(2.0 * math.pi * phi)
    rows[2, :] = omega, px, py, omega * cosine
    # d3k/((2 pi)^3 2 omega) and the two-body phase space beta/(8 pi) of the electrons, over the flux 2 s
    s_prime = s * (1.0 - x)
    mass = math.sqrt(s_prime)
    beta = math.sqrt(1.0 - 4.0 * _M2 / s_prime)
    weight *= half * half * x * sin2 * (region[2] - region[1]) / (8.0 * math.pi**2) * beta / (8.0 * math.pi) / (2.0 * s)
    s0, s1, pole, density = electrons(s0, s1, sqrt_s, mass, rows, region[5])
    weight *= (
        matrix_element(s, s_prime, x, near, eta, rows, pole)
        / density
        * _alpha_ratio(table, pole[0])
        * _alpha_ratio(table, pole[1])
    )
    for j in range(2):
        p = math.sqrt(rows[j, 1] ** 2 + rows[j, 2] ** 2 + rows[j, 3] ** 2)
        if not region[3] * p <= rows[j, 3] <= region[4] * p:
            weight = 0.0
    return s0, s1, weight


@jit(inline=True)
def _energy(s0, s1, low, high):
    """Photon energy over beam energy: (s0, s1, x, weight against dx)."""
    log_x, log_1 = math.log(high / low), math.log((1.0 - low) / (1.0 - high))
    s0, s1, choose = uniform(s0, s1)
    s0, s1, u = uniform(s0, s1)
    x = 1.0 - (1.0 - high) * math.exp(u * log_1) if choose < HARD_SHARE else low * math.exp(u * log_x)
    x = min(x, high)
    return s0, s1, x, 1.0 / ((1.0 - HARD_SHARE) / (x * log_x) + HARD_SHARE / ((1.0 - x) * log_1))
