"""Contributions of a new particle to the anomalous magnetic moment of a lepton, and the couplings a measurement asks for.

One loop: a vector (Z', dark photon; positive), a scalar (positive) or a pseudoscalar (negative) coupled to the lepton; for
a vector also with a coupling to another lepton. Not included: two loops (Barr-Zee), axial couplings.

    low, high = coupling_band([0.1, 1.0], "wp20")     # g' of a Z' that gives the difference of 2020 within 2 sigma

The difference between measurement and prediction is an input with three presets (:data:`PRESETS`): since 2025 it is compatible
with zero, and then no coupling is asked for: the band of ``wp25`` has no lower end.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from belle2dark.constants import M_MUON
from belle2dark.sourced import load_numbers, nearest

Array = NDArray[np.float64]

#: Differences by name, newest last, in data/g_minus_2.yaml.
PRESETS = ("wp20_2021", "wp20", "wp25")

_NODES = 200


@cache
def _quadrature() -> tuple[Array, Array]:
    """Nodes and weights on (0, 1), gathered cubically at both ends, where light and heavy particles need them."""
    x, w = np.polynomial.legendre.leggauss(_NODES)
    x, w = 0.5 * (x + 1), 0.5 * w
    return x**3 * (10 - 15 * x + 6 * x**2), 30 * x**2 * (1 - x) ** 2 * w


def _loop(integrand: Callable[[Array, Array], Array], mass: ArrayLike, coupling: ArrayLike, m_lepton: float) -> Array:
    """coupling^2 / 8 pi^2 times the integral of ``integrand(z, r)`` over 0 < z < 1, r = (mass / m_lepton)^2."""
    m, g = np.asarray(mass, dtype=float), np.asarray(coupling, dtype=float)
    if not np.all((m > 0) & np.isfinite(m)):
        raise ValueError(f"mass = {m} GeV: must be finite and positive")
    if not np.all(np.isfinite(g)):
        raise ValueError(f"coupling = {g}: must be finite")
    if not (m_lepton > 0 and np.isfinite(m_lepton)):
        raise ValueError(f"m_lepton = {m_lepton} GeV: must be finite and positive")
    z, weight = _quadrature()
    integral = integrand(z, (m[..., None] / m_lepton) ** 2) @ weight
    return np.asarray(g**2 / (8 * np.pi**2) * integral)


def vector(mass: ArrayLike, coupling: ArrayLike = 1.0, m_lepton: float = M_MUON, m_internal: float | None = None) -> Array:
    """Contribution of a vector of ``mass`` [GeV] with a vector coupling, broadcast shape; positive for the lepton itself inside.

    With another lepton inside, ``m_internal`` [GeV], ``coupling`` is the flavour-changing one, and the Z' must be too heavy for
    m_lepton -> m_internal Z'. Raises ``ValueError`` for that and unless masses are positive and all is finite.
    Source: Endo, Hamaguchi, Mishima, arXiv:1209.2558, Eq. (6), with alpha epsilon^2 = g^2 / 4 pi; with another lepton
    Leveille, Nucl. Phys. B 137 (1978) 63.
    """
    if m_internal is None:
        return _loop(lambda z, r: 2 * z * (1 - z) ** 2 / ((1 - z) ** 2 + z * r), mass, coupling, m_lepton)
    if not (m_internal > 0 and np.isfinite(m_internal)):
        raise ValueError(f"m_internal = {m_internal} GeV: must be finite and positive")
    m = np.asarray(mass, dtype=float)
    if np.any(m + m_internal <= m_lepton):
        raise ValueError(f"mass = {m} GeV: must be above m_lepton - m_internal = {m_lepton - m_internal:.6g} GeV")
    e = m_internal / m_lepton

    def integrand(z: Array, r: Array) -> Array:
        # transverse part, then the mode along the momentum: a scalar of coupling (m_internal - m_lepton) / mass
        numerator = 2 * z * (1 - z) * (z - 2 * (1 - e)) + (1 - e) ** 2 * z**2 * (1 + e - z) / r
        return numerator / ((1 - z) * (r - z) + e**2 * z)

    return _loop(integrand, m, coupling, m_lepton)


def scalar(mass: ArrayLike, coupling: ArrayLike = 1.0, m_lepton: float = M_MUON) -> Array:
    """Contribution of a scalar of ``mass`` [GeV] with Yukawa ``coupling``, broadcast shape; positive. Raises as :func:`vector`.

    Source: Giudice, Paradisi, Passera, arXiv:1208.6583.
    """
    return _loop(lambda z, r: z**2 * (2 - z) / (r * (1 - z) + z**2), mass, coupling, m_lepton)


def pseudoscalar(mass: ArrayLike, coupling: ArrayLike = 1.0, m_lepton: float = M_MUON) -> Array:
    """Contribution of a pseudoscalar of ``mass`` [GeV] with Yukawa ``coupling``, broadcast; negative. Raises as :func:`vector`.

    Source: Giudice, Paradisi, Passera, arXiv:1208.6583.
    """
    return _loop(lambda z, r: -(z**3) / (r * (1 - z) + z**2), mass, coupling, m_lepton)


def difference(preset: str = "wp25") -> tuple[float, float]:
    """Measured minus predicted anomalous moment of the muon and its standard deviation.

    Raises ``ValueError`` for an unknown preset.
    """
    if preset not in PRESETS:
        raise ValueError(f"preset {preset!r}: must be one of {' | '.join(PRESETS)}; nearest: {nearest(preset, PRESETS)}")
    centre, sigma = load_numbers("g_minus_2")[preset].values
    return centre, sigma


def coupling_band(
    mass: ArrayLike, given: str | tuple[float, float] = "wp25", n_sigma: float = 2.0, contribution: Callable[..., Array] = vector
) -> tuple[Array | None, Array | None]:
    """Couplings (low, high) to the muon that bring prediction and measurement within ``n_sigma``, shape of ``mass`` [GeV].

    ``given`` is a preset or (difference, standard deviation). ``low`` is None where already no coupling at all is inside;
    both are None where the contribution has the wrong sign for any coupling. Raises ``ValueError`` for an unknown preset, a
    standard deviation that is not positive, a negative ``n_sigma``, a bad mass, or a sign that changes over the masses.
    """
    centre, sigma = difference(given) if isinstance(given, str) else given
    if not (sigma > 0 and np.isfinite(sigma) and np.isfinite(centre)):
        raise ValueError(f"difference = {centre} +- {sigma}: must be finite with a positive standard deviation")
    if not (n_sigma >= 0 and np.isfinite(n_sigma)):
        raise ValueError(f"n_sigma = {n_sigma}: must be finite and not negative")
    unit = contribution(mass)
    if np.any(unit > 0) and np.any(unit < 0):
        raise ValueError("the contribution changes its sign over these masses: no single band")
    sign = 1.0 if np.all(unit > 0) else -1.0
    nearer, farther = sorted((sign * (centre - n_sigma * sigma), sign * (centre + n_sigma * sigma)))
    if farther <= 0:
        return None, None
    size = np.abs(unit)
    return np.sqrt(nearer / size) if nearer > 0 else None, np.asarray(np.sqrt(farther / size))
