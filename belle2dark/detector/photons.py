"""Masses and angles of the final states "one photon" and "three photons", from measured clusters.

Three photons have roles: the first recoils against the other two, as in a search without a kinematic fit that tries every
combination. Centre-of-mass quantities use the nominal beams.
"""

from __future__ import annotations

import numpy as np

from belle2dark.detector.experiments import Detector
from belle2dark.simulation.beams import Beams, to_cms
from belle2dark.simulation.events import Array
from belle2dark.sourced import load_numbers

#: name -> (LaTeX symbol, unit) of the columns of three photons; 1 recoils, 2 and 3 are the pair
COLUMNS = {
    "mass_squared": (r"M^2_{\gamma\gamma}", "GeV^2"),
    "recoil_mass_squared": (r"M^2_\mathrm{recoil}", "GeV^2"),
    "m_pair": (r"M_{\gamma\gamma}", "GeV"),
    "recoil_mass": (r"M_\mathrm{recoil}", "GeV"),
    "m_total": (r"M_{\gamma\gamma\gamma}", "GeV"),
    "energy_min_lab": (r"E_\mathrm{min}", "GeV"),
    "energy_min_cms": (r"E^*_\mathrm{min}", "GeV"),
    "energy_recoil_cms": (r"E^*_\mathrm{recoil}", "GeV"),
    "angle_pair": (r"\angle(\gamma_2, \gamma_3)", "rad"),
    "angle_min": (r"\angle_\mathrm{min}", "rad"),
    "dtheta_close": (r"\Delta\theta_\mathrm{close}", "rad"),
    "decay_cosine": (r"|\cos\theta_\mathrm{decay}|", ""),
    **{f"cos_theta_lab_{k}": (rf"\cos\theta_{k}", "") for k in (1, 2, 3)},
}
_PAIRS = ((0, 1), (0, 2), (1, 2))


def recoil_mass_squared(photons_lab: Array, beams: Beams) -> Array:
    """Squared mass ``(...)`` [GeV^2] of what recoils against photons ``(..., 4)`` [GeV]: s - 2 sqrt(s) E*."""
    return np.asarray(beams.sqrt_s**2 - 2.0 * beams.sqrt_s * to_cms(photons_lab, beams)[..., 0])


def mass_squared(momenta_lab: Array) -> Array:
    """Squared invariant mass ``(...)`` [GeV^2] of four-momenta ``(..., 4)`` [GeV]."""
    return np.asarray(momenta_lab[..., 0] ** 2 - (momenta_lab[..., 1:] ** 2).sum(axis=-1))


def three_photon_columns(photons_lab: Array, beams: Beams) -> dict[str, Array]:
    """The columns :data:`COLUMNS` of three photons ``(n, 3, 4)`` [GeV], each ``(n,)``; the first one recoils.

    ``m_pair`` and ``recoil_mass`` are signed roots; ``energy_min_lab`` and ``_cms`` are the smallest of all three, ``angle_min``
    the smallest of the three angles between two of them in the lab, ``dtheta_close`` the smallest difference of polar
    angles of two that are close in azimuth (pi if none are): a photon that converted looks like such a pair.
    ``decay_cosine`` is |E*_2 - E*_3| over the pair's momentum. Raises ``ValueError`` for another number of photons.
    """
    if photons_lab.ndim != 3 or photons_lab.shape[1:] != (3, 4):
        raise ValueError(f"photons_lab has shape {photons_lab.shape}, expected (n, 3, 4)")
    pair, cms = photons_lab[:, 1] + photons_lab[:, 2], to_cms(photons_lab, beams)
    mass, recoil = mass_squared(pair), recoil_mass_squared(photons_lab[:, 0], beams)
    pair_cms = np.linalg.norm(cms[:, 1, 1:] + cms[:, 2, 1:], axis=-1)
    directions = photons_lab[..., 1:] / np.maximum(np.linalg.norm(photons_lab[..., 1:], axis=-1, keepdims=True), 1e-300)
    polar, azimuth = np.arccos(np.clip(directions[..., 2], -1.0, 1.0)), np.arctan2(directions[..., 1], directions[..., 0])
    apart = load_numbers("alp")["separation"].values[1]
    angles, close = [], []
    for a, b in _PAIRS:
        angles.append(2.0 * np.arcsin(np.clip(0.5 * np.linalg.norm(directions[:, a] - directions[:, b], axis=-1), 0.0, 1.0)))
        around = np.abs((azimuth[:, a] - azimuth[:, b] + np.pi) % (2.0 * np.pi) - np.pi)
        close.append(np.where(around < apart, np.abs(polar[:, a] - polar[:, b]), np.pi))
    return {
        "mass_squared": mass,
        "recoil_mass_squared": recoil,
        "m_pair": np.sign(mass) * np.sqrt(np.abs(mass)),
        "recoil_mass": np.sign(recoil) * np.sqrt(np.abs(recoil)),
        "m_total": np.sqrt(np.maximum(mass_squared(photons_lab.sum(axis=1)), 0.0)),
        "energy_min_lab": photons_lab[..., 0].min(axis=1),
        "energy_min_cms": cms[..., 0].min(axis=1),
        "energy_recoil_cms": cms[:, 0, 0],
        "angle_pair": angles[2],
        "angle_min": np.min(angles, axis=0),
        "dtheta_close": np.min(close, axis=0),
        "decay_cosine": np.abs(cms[:, 1, 0] - cms[:, 2, 0]) / np.maximum(pair_cms, 1e-300),
        **{f"cos_theta_lab_{k + 1}": directions[:, k, 2] for k in range(3)},
    }


def from_vertex(photons_lab: Array, points_cm: Array, detector: Detector) -> Array:
    """Photons ``(n, m, 4)`` [GeV] with directions from ``points_cm`` ``(n, 3)`` instead of the origin to where they hit.

    What an analysis does once tracks tell where the collision was: at BaBar the point is 8.5 mm along the beams, which is
    9 mrad for a barrel photon.
    """
    energy = np.maximum(photons_lab[..., :1], 1e-300)
    u = photons_lab[..., 1:] / energy
    low, high = detector.numbers["ecl_z"].values
    along = np.where(u[..., 2] > 0.0, high, low) / np.where(u[..., 2] == 0.0, 1e-300, u[..., 2])
    distance = np.minimum(detector.number("ecl_radius") / np.maximum(np.hypot(u[..., 0], u[..., 1]), 1e-300), np.abs(along))
    path = u * distance[..., None] - points_cm[:, None, :]
    path /= np.maximum(np.linalg.norm(path, axis=-1, keepdims=True), 1e-300)
    return np.concatenate([photons_lab[..., :1], photons_lab[..., :1] * path], axis=-1)
