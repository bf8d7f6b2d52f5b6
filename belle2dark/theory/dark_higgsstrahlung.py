"""Dark Higgsstrahlung, e+e- -> A'* -> A' h': a dark photon and a dark Higgs boson, at tree level without radiation.

Source: Batell, Pospelov, Ritz, Phys. Rev. D 79, 115008 (2009), arXiv:0903.0363; the same structure as e+e- -> Z* -> Z H.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from belle2dark.constants import ALPHA, GEV2_FB
from belle2dark.sourced import nearest

Array = NDArray[np.float64]


def _finite(**given: ArrayLike) -> list[Array]:
    """The arguments as arrays; raises ``ValueError`` naming the first that is negative or not finite."""
    arrays = []
    for name, value in given.items():
        array = np.asarray(value, dtype=float)
        if not np.all((array >= 0) & np.isfinite(array)):
            raise ValueError(f"{name} = {array}: must be finite and not negative")
        arrays.append(array)
    return arrays


def is_open(m_aprime: ArrayLike, m_hprime: ArrayLike, sqrt_s: ArrayLike = 10.58) -> NDArray[np.bool_]:
    """Whether A' and h' of these masses [GeV] fit into ``sqrt_s`` [GeV]; broadcast shape. Raises ``ValueError``."""
    a, h, e = _finite(m_aprime=m_aprime, m_hprime=m_hprime, sqrt_s=sqrt_s)
    return np.asarray((a + h < e) & (a > 0))


def cross_section(
    m_aprime: ArrayLike, m_hprime: ArrayLike, eps2_alpha_d: ArrayLike, sqrt_s: ArrayLike = 10.58, alpha: str = "physical"
) -> Array:
    """sigma(e+e- -> A'h') [fb], before any branching fraction, broadcast shape; 0 where the masses [GeV] do not fit.

    ``eps2_alpha_d`` is epsilon^2 alpha_D; ``alpha`` names the fine-structure convention in ``constants.ALPHA``.
    Raises ``ValueError`` for a negative or non-finite argument or an unknown convention.
    Source: arXiv:0903.0363.
    """
    if alpha not in ALPHA:
        raise ValueError(f"alpha = {alpha!r}: must be one of {' | '.join(ALPHA)}; nearest: {nearest(alpha, ALPHA)}")
    a, h, g, e = _finite(m_aprime=m_aprime, m_hprime=m_hprime, eps2_alpha_d=eps2_alpha_d, sqrt_s=sqrt_s)
    a, h, g, e = np.broadcast_arrays(a, h, g, e)
    allowed = is_open(a, h, e)
    s = np.where(allowed, e, 1.0) ** 2
    ra, rh = np.where(allowed, a, 0.1) ** 2 / s, np.where(allowed, h, 0.1) ** 2 / s
    kallen = np.maximum(_kallen(ra, rh), 0.0)
    # sigma = (pi alpha alpha_D eps^2 / 3 s) lambda^(1/2) (lambda + 12 m_A'^2/s) / (1 - m_A'^2/s)^2
    sigma = np.pi * ALPHA[alpha] * g / (3 * s) * np.sqrt(kallen) * (kallen + 12 * ra) / (1 - ra) ** 2
    return np.where(allowed, sigma * GEV2_FB, 0.0)


def angular_weights(m_aprime: ArrayLike, m_hprime: ArrayLike, sqrt_s: ArrayLike = 10.58) -> tuple[Array, Array]:
    """(w_T, w_L) of (1/sigma) dsigma/dcos = w_T (1 + cos^2) + w_L (1 - cos^2), broadcast shape; (0, 0) where closed.

    cos is the A' direction to the beam in the centre of mass; transverse and longitudinal A' make 8/3 w_T and 4/3 w_L
    of the rate, with w_L / w_T = gamma^2 of the A'. Raises ``ValueError`` as :func:`is_open`.
    """
    allowed = is_open(m_aprime, m_hprime, sqrt_s)
    a, h, e = (np.asarray(x, dtype=float) for x in (m_aprime, m_hprime, sqrt_s))
    gamma = (e**2 + a**2 - h**2) / (2 * np.where(allowed, e * a, 1.0))
    transverse = np.where(allowed, 3 / (8 + 4 * gamma**2), 0.0)
    return transverse, np.where(allowed, transverse * gamma**2, 0.0)


def _kallen(a: Array, b: Array) -> Array:
    """Kallen function lambda(1, a, b), factorised so that it stays exact near threshold."""
    return ((1 - np.sqrt(a)) ** 2 - b) * ((1 + np.sqrt(a)) ** 2 - b)
