"""R(sqrt s) = sigma(e+e- -> hadrons) / sigma(e+e- -> mu+mu-, massless): how often a vector decays to hadrons.

:func:`r_ratio` interpolates the table ``data/r_ratio.yaml`` and is what models use. :func:`perturbative_r` is the formula
behind the table above 1.95 GeV; it is public so that the table can be recomputed and the input varied.

What the table is not: the narrow omega and phi are only partly resolved below 1.1 GeV; J/psi, psi(2S) and the
Upsilon states are absent; the broad structure of charm between 3.77 and 4.5 GeV (up to 30 % around the mean) is averaged.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from belle2dark.constants import M_B0, M_D0, M_PION
from belle2dark.sourced import load_numbers

Array = NDArray[np.float64]

#: Electric charges of u, d, s, c, b and the energy above which each is produced [GeV]: the lightest open-flavour pair.
_CHARGES = np.array([2 / 3, -1 / 3, -1 / 3, 2 / 3, -1 / 3])
_THRESHOLDS = np.array([0.0, 0.0, 0.0, 2 * M_D0, 2 * M_B0])


def _beta(flavours: int) -> tuple[float, float]:
    """First two coefficients of d(alpha_s)/d(ln mu^2) = -(b0 alpha_s^2 + b1 alpha_s^3). Source: PDG, QCD review."""
    return (33 - 2 * flavours) / (12 * np.pi), (153 - 19 * flavours) / (24 * np.pi**2)


def _evolve(alpha_start: float, mu_start: float, mu: ArrayLike, flavours: int) -> Array:
    """Exact two-loop solution: x - c ln(x + c) grows as b0 ln mu^2, with x = 1/alpha_s and c = b1/b0."""
    from scipy.special import lambertw  # only the table's maker needs it, not its readers

    b0, b1 = _beta(flavours)
    c = b1 / b0
    x = 1 / alpha_start
    k = x - c * np.log(x + c) + 2 * b0 * np.log(np.asarray(mu) / mu_start) + c
    y = -c * lambertw(-np.exp(-k / c) / c, -1).real  # y = x + c solves y - c ln y = k
    return 1 / (y - c)


def alpha_s(mu: ArrayLike) -> Array:
    """Strong coupling at ``mu`` [GeV], two loops, continuous at the charm and bottom masses; shape of ``mu``.

    Raises ``ValueError`` below 1 GeV, where the series means nothing. Source: PDG (value at m_Z and quark masses).
    """
    mu = np.asarray(mu, dtype=float)
    if not np.all((mu >= 1.0) & np.isfinite(mu)):
        raise ValueError(f"mu = {mu} GeV: perturbative alpha_s needs a finite mu of at least 1 GeV")
    given = load_numbers("r_ratio")
    m_z, m_b, m_c = float(given["m_z"]), float(given["m_bottom"]), float(given["m_charm"])
    at_b = float(_evolve(float(given["alpha_s_mz"]), m_z, m_b, 5))
    at_c = float(_evolve(at_b, m_b, m_c, 4))
    five, four = _evolve(float(given["alpha_s_mz"]), m_z, mu, 5), _evolve(at_b, m_b, mu, 4)
    return np.where(mu > m_b, five, np.where(mu > m_c, four, _evolve(at_c, m_c, mu, 3)))


def perturbative_r(sqrt_s: ArrayLike) -> Array:
    """R from quarks and gluons at ``sqrt_s`` [GeV], without resonances; same shape. Meant for 1.9 GeV and above.

    Massless series to third order for each open flavour; charm and bottom with the phase space v (3 - v^2)/2 and the
    first-order mass and threshold correction, v from the lightest open-flavour meson pair (a choice).
    Raises ``ValueError`` below 1 GeV. Source: PDG QCD review eq. (9.9); Schwinger, Particles, Sources and Fields II.
    """
    e = np.asarray(sqrt_s, dtype=float)
    coupling = alpha_s(e)[..., None]
    opened = e[..., None] > _THRESHOLDS
    flavours = opened.sum(axis=-1, keepdims=True)
    eta = (opened * _CHARGES).sum(axis=-1, keepdims=True) ** 2 / (3 * (opened * _CHARGES**2).sum(axis=-1, keepdims=True))
    given = load_numbers("r_ratio")
    c2, c3 = given["c2"].values, given["c3"].values
    a = coupling / np.pi
    higher = (c2[0] + c2[1] * flavours) * a**2 + (c3[0] + c3[1] * flavours + c3[2] * flavours**2 + c3[3] * eta) * a**3
    v = np.sqrt(np.clip(1 - (_THRESHOLDS / e[..., None]) ** 2, 1e-12, 1))
    # Interpolates between the Coulomb attraction at v -> 0 and 1 + alpha_s/pi at v = 1.
    first = 4 / 3 * coupling * (np.pi / (2 * v) - (3 + v) / 4 * (np.pi / 2 - 3 / (4 * np.pi)))
    return (3 * _CHARGES**2 * opened * v * (3 - v**2) / 2 * (1 + first + higher)).sum(axis=-1)


def table_energies() -> Array:
    """Energies [GeV] of the perturbative rows: even in ln(sqrt s) below charm, even in the quark velocity above."""
    charm, bottom = _THRESHOLDS[3], _THRESHOLDS[4]
    below = np.geomspace(1.9745, charm - 1e-5, 9)
    velocity = np.concatenate([[0.003, 0.02], np.linspace(0.05, 0.9, 18), [0.915, 0.925, 0.93]])
    above = charm / np.sqrt(1 - velocity**2)
    fifth = bottom / np.sqrt(1 - np.array([0.003, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5]) ** 2)
    return np.round(np.concatenate([below, above, [bottom - 1e-5], fifth]), 5)


@cache
def _table() -> tuple[Array, Array]:
    """ln(sqrt s) and R of all rows, checked to ascend."""
    given = load_numbers("r_ratio")
    energy = np.array(given["low_energies"].values + given["continuum_energies"].values)
    value = np.array(given["low_values"].values + given["continuum_values"].values)
    if len(energy) != len(value) or np.any(np.diff(energy) <= 0) or np.any(value <= 0):
        raise ValueError("r_ratio: energies must ascend and be as many as the values, which must be positive")
    return np.log(energy), value


def r_ratio(sqrt_s: ArrayLike) -> Array:
    """R at ``sqrt_s`` [GeV], same shape: 0 below two pions, interpolated linearly in ln(sqrt s) between table rows.

    Raises ``ValueError`` above the end of the table (12.2 GeV) and for a negative or non-finite energy.
    Source: ``data/r_ratio.yaml``.
    """
    e = np.asarray(sqrt_s, dtype=float)
    log_energy, value = _table()
    end = float(np.exp(log_energy[-1]))
    if not np.all((e >= 0) & (e <= end * (1 + 1e-12))):
        raise ValueError(f"sqrt_s = {e} GeV: R is tabulated from 0 to {end:.4g} GeV")
    first = float(np.exp(log_energy[0]))
    inside = np.interp(np.log(np.maximum(e, first)), log_energy, value)
    # Two pions in a P wave: R grows as the third power of their velocity.
    velocity = np.sqrt(np.clip(1 - (2 * M_PION / np.maximum(e, 1e-9)) ** 2, 0, 1))
    threshold = value[0] * (velocity / np.sqrt(1 - (2 * M_PION / first) ** 2)) ** 3
    return np.where(e < first, threshold, inside)
