"""chi2 -> chi1 l+ l- through an off-shell dark photon: the displaced decay of inelastic dark matter.

The dark current is purely off-diagonal, g_D A'_mu chi2bar gamma^mu chi1 with both masses positive (pseudo-Dirac), and the
lepton couples with epsilon e; lepton and mediator masses are kept. Use :func:`width` for rates and lifetimes and
:func:`decay_chi2` for events, which have unit weights. Not included: hadronic decays (multiply the width with an
R-ratio above two pions), spin of the chi2, and an A' light enough to be on shell.

Source: matrix element derived here; the small-splitting limit 4 epsilon^2 alpha alpha_D Delta^5 / (15 pi m^4) is the usual
one, e.g. Izaguirre, Krnjaic and Shuve, arXiv:1508.03050.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.integrate import quad

from belle2dark.constants import ALPHA, HBAR_C, M_ELECTRON
from belle2dark.simulation.decays.chain import decay_two_body, draw, two_body_momentum
from belle2dark.simulation.events import Array
from belle2dark.simulation.rng import make_key

_NODES = 2001


def _check(m_chi1: float, m_chi2: float, m_aprime: float, m_lepton: float) -> None:
    if not 0.0 <= m_chi1 + 2.0 * m_lepton < m_chi2 < math.inf:
        raise ValueError(f"m_chi1 = {m_chi1} GeV, m_chi2 = {m_chi2} GeV: closed; needs m_chi1 + 2 m_lepton < m_chi2")
    if not m_aprime > m_chi2 - m_chi1:
        raise ValueError(f"m_aprime = {m_aprime} GeV: must be above m_chi2 - m_chi1 = {m_chi2 - m_chi1:g} GeV (off shell)")


def _currents(q2: Array, m_chi1: float, m_chi2: float) -> tuple[Array, Array]:
    """Longitudinal and one transverse component of the dark tensor at rest of the lepton pair, over 2 [GeV^2]."""
    across = (m_chi2 - m_chi1) ** 2 - q2
    return across * (m_chi1 + m_chi2) ** 2 / q2, across


def spectrum(q2: Array, m_chi1: float, m_chi2: float, m_aprime: float, m_lepton: float = M_ELECTRON) -> Array:
    """dGamma/dq^2 over epsilon^2 alpha_D [GeV^-1] at squared lepton-pair masses ``q2`` [GeV^2], 0 outside."""
    q2 = np.asarray(q2, dtype=np.float64)
    inside = (q2 > 4.0 * m_lepton**2) & (q2 < (m_chi2 - m_chi1) ** 2)
    q = np.where(inside, q2, 0.5 * (4.0 * m_lepton**2 + (m_chi2 - m_chi1) ** 2))
    along, across = _currents(q, m_chi1, m_chi2)
    momentum = two_body_momentum(m_chi2, m_chi1, np.sqrt(q))
    ratio = m_lepton**2 / q
    squared = 2.0 * q * (2.0 / 3.0) * (1.0 + 2.0 * ratio) * 2.0 * (along + 2.0 * across) / (q - m_aprime**2) ** 2
    phase = momentum * np.sqrt(1.0 - 4.0 * ratio) / (2.0 * m_chi2 * 2.0 * math.pi * 4.0 * math.pi * m_chi2 * 8.0 * math.pi)
    # average over two spins; g_D^2 e^2 = 16 pi^2 alpha alpha_D
    return np.where(inside, 0.5 * 16.0 * math.pi**2 * ALPHA["thomson"] * squared * phase, 0.0)


def width(m_chi1: float, m_chi2: float, m_aprime: float, epsilon: float, alpha_d: float, m_lepton: float = M_ELECTRON) -> float:
    """Partial width of chi2 -> chi1 l+ l- [GeV], masses in GeV.

    Raises ``ValueError`` for a closed decay or an A' that could be on shell.
    """
    _check(m_chi1, m_chi2, m_aprime, m_lepton)
    low, high = 2.0 * m_lepton, m_chi2 - m_chi1

    def rate(t: float) -> float:
        # the substitution takes the square roots at both ends away
        q = low + (high - low) * math.sin(t) ** 2
        return float(spectrum(np.array(q * q), m_chi1, m_chi2, m_aprime, m_lepton)) * 2.0 * q * (high - low) * math.sin(2.0 * t)

    return epsilon**2 * alpha_d * quad(rate, 0.0, 0.5 * math.pi, epsabs=0.0, epsrel=1e-9)[0]


def ctau_cm(m_chi1: float, m_chi2: float, m_aprime: float, epsilon: float, alpha_d: float, m_lepton: float = M_ELECTRON) -> float:
    """c tau of the chi2 [cm] if this were its only decay; raises ``ValueError`` as :func:`width`."""
    return HBAR_C / width(m_chi1, m_chi2, m_aprime, epsilon, alpha_d, m_lepton)


def decay_chi2(
    parents: Array, m_chi1: float, m_chi2: float, m_aprime: float, key: int, m_lepton: float = M_ELECTRON
) -> tuple[Array, Array, Array]:
    """chi1, l- and l+ (n, 4) [GeV] from unpolarised chi2 ``parents`` (n, 4) of mass ``m_chi2`` [GeV].

    The lepton-pair mass follows :func:`spectrum` and the lepton angle the longitudinal and transverse shares of the
    matrix element. Raises ``ValueError`` as :func:`width`.
    """
    _check(m_chi1, m_chi2, m_aprime, m_lepton)
    low, high = 2.0 * m_lepton, m_chi2 - m_chi1
    # nodes dense at both ends, where the density in q has square roots
    q = low + (high - low) * np.sin(np.linspace(0.0, 0.5 * math.pi, _NODES)) ** 2
    density = spectrum(q**2, m_chi1, m_chi2, m_aprime, m_lepton) * q
    pair_mass = draw(len(parents), make_key(key, "pair mass"), q, density)
    # rounding must not put the pair above what the parent, itself rounded, can give
    pair_mass = np.minimum(pair_mass, high)
    along, across = _currents(pair_mass**2, m_chi1, m_chi2)
    beta2 = np.maximum(1.0 - 4.0 * m_lepton**2 / pair_mass**2, 0.0)
    # L (1 - beta^2 c^2) + T (2 - beta^2 (1 - c^2)), written as 1 + a (3 c^2 - 1)
    slope = beta2 * (across - along)
    constant = along + (2.0 - beta2) * across
    alignment = np.clip(slope / np.maximum(3.0 * constant + slope, 1e-300), -0.5, 1.0)
    chi1, pair = decay_two_body(parents, m_chi1, pair_mass, make_key(key, "chi1"))
    minus, plus = decay_two_body(pair, m_lepton, m_lepton, make_key(key, "leptons"), alignment=alignment, about=parents)
    return chi1, minus, plus
