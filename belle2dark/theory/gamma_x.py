"""A photon and a new particle: cross-sections of e+e- -> gamma A' (kinetic mixing) and e+e- -> gamma a (photon coupling).

Tree level in the CMS, electron mass neglected, alpha at q^2 = 0. For initial-state radiation and events use
:mod:`belle2dark.simulation.gamma_x`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from belle2dark.constants import ALPHA, GEV2_FB

Array = NDArray[np.float64]
_ALPHA = ALPHA["thomson"]


def _check(sqrt_s: float, mass: ArrayLike) -> Array:
    """The masses as an array; ``ValueError`` unless all are in 0 to sqrt_s."""
    m = np.asarray(mass, dtype=np.float64)
    if not (np.all(m >= 0.0) and np.all(m < sqrt_s)):
        raise ValueError(f"mass = {m} GeV: allowed 0 to sqrt_s = {sqrt_s} GeV")
    return m


def gamma_dark_photon(sqrt_s: float, mass: ArrayLike, low: float, high: float) -> Array:
    """Cross-section [fb] over epsilon^2 of e+e- -> gamma A' with low < cos theta*_gamma < high, for ``mass`` [GeV].

    Raises ``ValueError`` for a mass outside 0 to sqrt_s or angles outside -1 < low < high < 1 (the poles need m_e).
    Source: Essig, Schuster, Toro, arXiv:0903.3941 (electron mass neglected), integrated over the angle here.
    """
    m2, s = _check(sqrt_s, mass) ** 2, sqrt_s**2
    if not -1.0 < low < high < 1.0:
        raise ValueError(f"low = {low}, high = {high}: need -1 < low < high < 1")
    log = np.arctanh(high) - np.arctanh(low)
    shape = 2.0 * log * (1.0 + 2.0 * s * m2 / (s - m2) ** 2) - (high - low)
    return 2.0 * np.pi * _ALPHA**2 / s * (1.0 - m2 / s) * shape * GEV2_FB


def gamma_alp(sqrt_s: float, mass: ArrayLike, low: float = -1.0, high: float = 1.0) -> Array:
    """Cross-section [fb] over g^2 [GeV^-2] of e+e- -> gamma a with low < cos theta*_gamma < high, for ``mass`` [GeV].

    g is the coupling to two photons, (g/4) a F F-tilde. Raises ``ValueError`` for a mass outside 0 to sqrt_s or angles
    outside -1 <= low < high <= 1.
    Source: Dolan et al., arXiv:1709.00009 (total), angle 1 + cos^2.
    """
    m2, s = _check(sqrt_s, mass) ** 2, sqrt_s**2
    if not -1.0 <= low < high <= 1.0:
        raise ValueError(f"low = {low}, high = {high}: need -1 <= low < high <= 1")
    part = 0.375 * (high - low + (high**3 - low**3) / 3.0)
    return _ALPHA / 24.0 * (1.0 - m2 / s) ** 3 * part * GEV2_FB
