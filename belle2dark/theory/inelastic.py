"""Inelastic dark matter: a pair chi1, chi2 of masses m_chi1 and m_chi1 (1 + splitting) behind a dark photon.

The dark current is purely off-diagonal, g_D A'_mu chi2bar gamma^mu chi1 with both masses positive (the two halves of a
pseudo-Dirac fermion): an A' goes to chi1 chi2, and the chi2 to chi1 and what an off-shell A' makes, with the full propagator and
all masses. Leptons are exact (:func:`spectrum`), hadrons are R(sqrt q^2) times massless muons. :func:`width` is one lepton
channel, :func:`widths` all of them, :func:`ctau_cm` the decay length; :func:`small_splitting_width` the textbook limit.

Not included: an A' light enough to be on shell in the decay, chi2 -> chi1 and three photons or neutrinos (all that is left
below two electrons), elastic couplings, single hadronic resonances beyond the table of R.

Source: matrix element derived here; the small-splitting limit is the usual one, e.g. Izaguirre, Krnjaic and Shuve,
arXiv:1508.03050; thermal targets from :mod:`belle2dark.theory.dark_matter`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import quad

from belle2dark.constants import ALPHA, HBAR_C, M_ELECTRON, M_MUON, M_PION, M_TAU
from belle2dark.theory.dark_matter import epsilon_of, relic_target
from belle2dark.theory.r_ratio import r_ratio

Array = NDArray[np.float64]

#: decays of the chi2 -> mass of one of the two particles [GeV] below which, taken twice, the channel is closed
CHANNELS: Mapping[str, float] = MappingProxyType({"ee": M_ELECTRON, "mumu": M_MUON, "tautau": M_TAU, "hadrons": M_PION})
#: Gauss-Legendre nodes and panels of the integral over the hadrons' mass, where R has resonances
_NODES, _PANELS = 16, 64


def check_decay(m_chi1: float, m_chi2: float, m_aprime: float, m_lepton: float) -> None:
    """Raise ``ValueError`` for a closed decay chi2 -> chi1 l l or an A' that could be on shell, masses in GeV."""
    if not 0.0 <= m_chi1 + 2.0 * m_lepton < m_chi2 < math.inf:
        raise ValueError(f"m_chi1 = {m_chi1} GeV, m_chi2 = {m_chi2} GeV: closed; needs m_chi1 + 2 m_lepton < m_chi2")
    if not m_aprime > m_chi2 - m_chi1:
        raise ValueError(f"m_aprime = {m_aprime} GeV: must be above m_chi2 - m_chi1 = {m_chi2 - m_chi1:g} GeV (off shell)")


def currents(q2: Array, m_chi1: float, m_chi2: float) -> tuple[Array, Array]:
    """Longitudinal and one transverse component of the dark tensor at rest of the lepton pair, over 2 [GeV^2]."""
    across = (m_chi2 - m_chi1) ** 2 - q2
    return across * (m_chi1 + m_chi2) ** 2 / q2, across


def _momentum(m: float, m1: float, squared: Array) -> Array:
    """Momentum [GeV] of the daughters of ``m``, one of mass ``m1`` [GeV], one of mass squared ``squared``; 0 if closed."""
    m2 = np.sqrt(squared)
    return np.sqrt(np.clip((m - m1 - m2) * (m + m1 + m2) * (m - m1 + m2) * (m + m1 - m2), 0.0, None)) / (2.0 * m)


def spectrum(q2: ArrayLike, m_chi1: float, m_chi2: float, m_aprime: float, m_lepton: float = M_ELECTRON) -> Array:
    """dGamma/dq^2 over epsilon^2 alpha_D [GeV^-1] at squared lepton-pair masses ``q2`` [GeV^2], 0 outside."""
    q2 = np.asarray(q2, dtype=np.float64)
    inside = (q2 > 4.0 * m_lepton**2) & (q2 < (m_chi2 - m_chi1) ** 2)
    q = np.where(inside, q2, 0.5 * (4.0 * m_lepton**2 + (m_chi2 - m_chi1) ** 2))
    along, across = currents(q, m_chi1, m_chi2)
    momentum = _momentum(m_chi2, m_chi1, q)
    ratio = m_lepton**2 / q
    squared = 2.0 * q * (2.0 / 3.0) * (1.0 + 2.0 * ratio) * 2.0 * (along + 2.0 * across) / (q - m_aprime**2) ** 2
    phase = momentum * np.sqrt(1.0 - 4.0 * ratio) / (2.0 * m_chi2 * 2.0 * math.pi * 4.0 * math.pi * m_chi2 * 8.0 * math.pi)
    # average over two spins; g_D^2 e^2 = 16 pi^2 alpha alpha_D
    return np.where(inside, 0.5 * 16.0 * math.pi**2 * ALPHA["thomson"] * squared * phase, 0.0)


def hadron_spectrum(q2: ArrayLike, m_chi1: float, m_chi2: float, m_aprime: float) -> Array:
    """dGamma/dq^2 over epsilon^2 alpha_D [GeV^-1] of all hadrons at squared masses ``q2`` [GeV^2], 0 outside.

    Source: that of massless muons times R, as for any vector that couples to the electromagnetic current.
    """
    q2 = np.asarray(q2, dtype=np.float64)
    inside = (q2 > 4.0 * M_PION**2) & (q2 < (m_chi2 - m_chi1) ** 2)
    return spectrum(q2, m_chi1, m_chi2, m_aprime, 0.0) * r_ratio(np.sqrt(np.where(inside, q2, 0.0)))


def width(m_chi1: float, m_chi2: float, m_aprime: float, epsilon: float, alpha_d: float, m_lepton: float = M_ELECTRON) -> float:
    """Partial width of chi2 -> chi1 l+ l- [GeV], masses in GeV.

    Raises ``ValueError`` for a closed decay or an A' that could be on shell.
    """
    check_decay(m_chi1, m_chi2, m_aprime, m_lepton)

    def rate(q2: float) -> float:
        return float(spectrum(q2, m_chi1, m_chi2, m_aprime, m_lepton))

    return epsilon**2 * alpha_d * _integral(rate, 2.0 * m_lepton, m_chi2 - m_chi1)


def _integral(rate: Callable[[float], float], low: float, high: float) -> float:
    """Integral over q^2 from ``low``^2 to ``high``^2; the substitution takes the square roots at both ends away."""

    def weighted(t: float) -> float:
        q = low + (high - low) * math.sin(t) ** 2
        return rate(q * q) * 2.0 * q * (high - low) * math.sin(2.0 * t)

    return float(quad(weighted, 0.0, 0.5 * math.pi, epsabs=0.0, epsrel=1e-9)[0])


def _hadron_width(m_chi1: float, m_chi2: float, m_aprime: float) -> float:
    """The same integral for hadrons, panel by panel: R is a table with resonances."""
    node, weight = np.polynomial.legendre.leggauss(_NODES)
    edges = np.linspace(0.0, 0.5 * math.pi, _PANELS + 1)
    t = (0.5 * (edges[1:] + edges[:-1])[:, None] + 0.5 * np.diff(edges)[:, None] * node).reshape(-1)
    step = np.tile(weight, _PANELS) * 0.5 * (edges[1] - edges[0])
    low, high = 2.0 * M_PION, m_chi2 - m_chi1
    q = low + (high - low) * np.sin(t) ** 2
    return float((hadron_spectrum(q * q, m_chi1, m_chi2, m_aprime) * 2.0 * q * (high - low) * np.sin(2.0 * t)) @ step)


@lru_cache(maxsize=65536)
def widths(m_chi1: float, m_chi2: float, m_aprime: float) -> Mapping[str, float]:
    """Partial widths of the chi2 over epsilon^2 alpha_D [GeV] by channel (:data:`CHANNELS`); 0 where closed.

    Raises ``ValueError`` for a chi2 that is not the heavier one or an A' that could be on shell.
    """
    check_decay(m_chi1, m_chi2, m_aprime, 0.0)
    found = {}
    for name, least in CHANNELS.items():
        if m_chi2 - m_chi1 <= 2.0 * least:
            found[name] = 0.0
        elif name == "hadrons":
            found[name] = _hadron_width(m_chi1, m_chi2, m_aprime)
        else:
            found[name] = width(m_chi1, m_chi2, m_aprime, 1.0, 1.0, least)
    return MappingProxyType(found)


def branching_fractions(m_chi1: float, m_chi2: float, m_aprime: float) -> dict[str, float]:
    """Fractions of the chi2 decays by channel (:data:`CHANNELS`); all 0 where nothing is open. Raises as :func:`widths`."""
    found = widths(m_chi1, m_chi2, m_aprime)
    total = sum(found.values())
    return {name: value / total if total > 0.0 else 0.0 for name, value in found.items()}


def ctau_cm(m_chi1: float, m_chi2: float, m_aprime: float, epsilon: float, alpha_d: float) -> float:
    """c tau of the chi2 [cm] with all channels; infinite where none is open. Raises ``ValueError`` as :func:`widths`."""
    total = epsilon**2 * alpha_d * sum(widths(m_chi1, m_chi2, m_aprime).values())
    return HBAR_C / total if total > 0.0 else math.inf


def small_splitting_width(delta: float, m_aprime: float, epsilon: float, alpha_d: float) -> float:
    """Width of chi2 -> chi1 e+ e- [GeV] for m_e << ``delta`` = m_chi2 - m_chi1 << m_chi1, m_aprime (all GeV).

    Above two muons and two pions, and at splittings of tens of percent, it is off by factors: use it to see scaling only.
    Source: Izaguirre, Krnjaic and Shuve, arXiv:1508.03050.
    """
    return 4.0 * epsilon**2 * ALPHA["thomson"] * alpha_d * delta**5 / (15.0 * math.pi * m_aprime**4)


def mediator_width(m_chi1: float, m_chi2: float, m_aprime: float, alpha_d: float) -> float:
    """Width of A' -> chi1 chi2 [GeV], masses in GeV; 0 where closed. For equal masses that of a Dirac fermion.

    Source: two-body decay of a vector by a vector current with two masses, both intrinsic signs positive.
    """
    x1, x2 = (m_chi1 / m_aprime) ** 2, (m_chi2 / m_aprime) ** 2
    if m_chi1 + m_chi2 >= m_aprime:
        return 0.0
    momentum = 2.0 * float(_momentum(m_aprime, m_chi1, np.array(m_chi2**2))) / m_aprime
    shape = 1.0 - 0.5 * (x1 + x2) - 0.5 * (x1 - x2) ** 2 + 3.0 * math.sqrt(x1 * x2)
    return alpha_d * m_aprime / 3.0 * momentum * shape


def relic_y(m_chi1: ArrayLike, mass_ratio: ArrayLike) -> Array:
    """Thermal target of y = epsilon^2 alpha_D (m_chi1 / m_A')^4 of a pseudo-Dirac pair, broadcast shape; NaN outside its table.

    ``m_chi1`` in GeV, ``mass_ratio`` m_chi1 / m_A'. It is for a small splitting: the larger the splitting, the fewer chi2 are
    left at freeze-out and the more coupling is needed. Raises ``ValueError`` for a ratio outside 0 to 0.5.
    """
    mass, ratio = np.broadcast_arrays(np.asarray(m_chi1, dtype=float), np.asarray(mass_ratio, dtype=float))
    found = np.empty(mass.shape)
    for k, r in enumerate(ratio.flat):
        masses, y = relic_target("pseudo_dirac", float(r))
        here = np.interp(np.log(mass.flat[k]), np.log(masses), np.log(y), left=np.nan, right=np.nan)
        found.flat[k] = np.exp(here)
    return found


def relic_epsilon(m_aprime: ArrayLike, m_chi1: ArrayLike, alpha_d: float) -> Array:
    """The epsilon of :func:`relic_y`, broadcast shape. Raises ``ValueError`` as it does, and for alpha_d = 0."""
    ratio = np.asarray(m_chi1, dtype=float) / np.asarray(m_aprime, dtype=float)
    return epsilon_of(relic_y(m_chi1, ratio), alpha_d, ratio)
