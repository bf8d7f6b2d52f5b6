"""An axion-like particle that couples to photons, (g/4) a F F-tilde: widths, lifetime, and production by two photons.

:data:`PHOTON_ALP` decays to two photons and, with a coupling ``g_chi`` to fermions of mass ``m_chi``, invisibly to dark
matter. e+e- -> gamma a is :func:`belle2dark.theory.gamma_x.gamma_alp`; e+e- -> e+e- a through two equivalent photons
(:func:`fusion`) is the larger rate, 2 to 25 times, but leaves two photons and nothing else. Not included: couplings to
leptons, gluons or the Z, form factors of virtual photons.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import roots_legendre

from belle2dark.constants import ALPHA, GEV2_FB, M_ELECTRON
from belle2dark.sourced import load_numbers
from belle2dark.theory.models import Channel, Couplings, Model

Array = NDArray[np.float64]
_ALPHA = ALPHA["thomson"]
#: Gauss-Legendre nodes in the rapidity of the particle: 3e-4 of the integral at 10 MeV, where the flux has kinks, less above
_NODES, _WEIGHTS = roots_legendre(48)


def photon_width(mass: ArrayLike, couplings: Couplings) -> Array:
    """Width [GeV] into two photons at ``mass`` [GeV] with g_agg [1/GeV].

    Source: Gamma = g^2 m^3 / (64 pi), Dolan et al., arXiv:1709.00009.
    """
    return np.asarray(couplings["g_agg"], dtype=float) ** 2 * np.asarray(mass, dtype=float) ** 3 / (64.0 * np.pi)


def dark_matter_width(mass: ArrayLike, couplings: Couplings) -> Array:
    """Width [GeV] into a Dirac pair of dark matter of mass m_chi [GeV] with Yukawa coupling g_chi; 0 below threshold.

    Source: Gamma = g_chi^2 m/(8 pi) sqrt(1 - 4 m_chi^2/m^2), Dolan et al., arXiv:1709.00009.
    """
    m, m_chi = np.asarray(mass, dtype=float), np.asarray(couplings["m_chi"], dtype=float)
    yukawa_squared = np.asarray(couplings["g_chi"], dtype=float) ** 2
    return np.asarray(yukawa_squared * m / (8.0 * np.pi) * np.sqrt(np.clip(1.0 - (2.0 * m_chi / m) ** 2, 0.0, None)))


def _production(couplings: Couplings) -> Array:
    return np.asarray(couplings["g_agg"], dtype=float) ** 2


PHOTON_ALP = Model(
    name="alp_photon",
    title="Axion-like particle, coupling to photons",
    mass="m_alp",
    reference_couplings=(("g_agg", 1e-3), ("g_chi", 0.0), ("m_chi", 0.0)),
    channels=(
        Channel(name="gammagamma", symbol=r"\gamma\gamma", width=photon_width),
        Channel(name="invisible", symbol=r"\chi\bar\chi", width=dark_matter_width),
    ),
    production_scale=_production,
    references=(load_numbers("alp").references["Dolan:2017osp"],),
)


def photon_flux(x: ArrayLike, q2_max: ArrayLike) -> Array:
    """Equivalent photons per unit of the energy fraction ``x`` of an electron, with virtualities up to ``q2_max`` [GeV^2].

    0 where ``q2_max`` is below the smallest virtuality m_e^2 x^2 / (1 - x).
    Source: Budnev et al., Phys. Rept. 15 (1975) 181.
    """
    f = np.asarray(x, dtype=float)
    low = M_ELECTRON**2 * f**2 / (1.0 - f)
    high = np.maximum(np.asarray(q2_max, dtype=float), low)
    log = (1.0 + (1.0 - f) ** 2) / f * np.log(high / low)
    return np.asarray(_ALPHA / (2.0 * math.pi) * (log - 2.0 * M_ELECTRON**2 * f * (1.0 / low - 1.0 / high)))


def largest_virtuality(x: ArrayLike, mass: float, sqrt_s: float, theta_max: float) -> Array:
    """Largest virtuality [GeV^2] of a photon of energy fraction ``x``: the electron stays within ``theta_max`` [rad] of the
    beam, and the photon is nearly real next to ``mass`` [GeV]."""
    edge = (1.0 - np.asarray(x, dtype=float)) * (0.5 * sqrt_s * theta_max) ** 2
    return np.asarray(np.minimum(edge, mass**2))


def fusion(sqrt_s: float, mass: float, theta_max: float | None = None) -> float:
    """Cross-section [fb] over g^2 [GeV^-2] of e+e- -> e+e- a with both electrons within ``theta_max`` [rad] of the beams.

    Two equivalent photons with virtualities below mass^2 (that choice of scale is worth 10 to 20 %) and the width of a in
    the narrow-width approximation, pi g^2 m^2 / 8 delta(W^2 - m^2). Raises ``ValueError`` for a mass [GeV] outside 0 to
    sqrt_s (both ends excluded) or an angle outside 0 to pi/2.
    """
    angle = check_fusion(sqrt_s, mass, theta_max)
    edge = math.log(sqrt_s / mass)
    y = edge * _NODES
    x1, x2 = mass / sqrt_s * np.exp(y), mass / sqrt_s * np.exp(-y)
    flux = np.ones_like(y)
    for x in (x1, x2):
        flux *= photon_flux(x, largest_virtuality(x, mass, sqrt_s, angle))
    return float(math.pi * mass**2 / (8.0 * sqrt_s**2) * edge * (_WEIGHTS @ flux) * GEV2_FB)


def check_fusion(sqrt_s: float, mass: float, theta_max: float | None) -> float:
    """The angle to use [rad]; ``ValueError`` for a mass [GeV] or angle out of range."""
    if not 0.0 < mass < sqrt_s:
        raise ValueError(f"mass = {mass} GeV: allowed above 0 to below sqrt_s = {sqrt_s:.5g} GeV")
    angle = float(load_numbers("alp")["fusion_theta_max"]) if theta_max is None else theta_max
    if not 0.0 < angle < 0.5 * math.pi:
        raise ValueError(f"theta_max = {angle} rad: must lie between 0 and pi/2")
    return angle


def fusion_leading_log(sqrt_s: float, mass: float, log: float) -> float:
    """The same integral in closed form if both fluxes are alpha/(2 pi) (1 + (1 - x)^2)/x times one constant ``log``.

    Source: Low, Phys. Rev. 120 (1960) 582, with (2 + t)^2 ln(1/t) - 2 (1 - t)(3 + t), t = m^2/s.
    """
    t = (mass / sqrt_s) ** 2
    shape = (2.0 + t) ** 2 * math.log(1.0 / t) - 2.0 * (1.0 - t) * (3.0 + t)
    return float(math.pi / 8.0 * (_ALPHA * log / (2.0 * math.pi)) ** 2 * shape * GEV2_FB)
