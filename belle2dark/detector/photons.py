"""Masses of the final states "one photon", "two photons" and "three photons", from measured clusters.

All combinations are given, as in a search without a kinematic fit: which pair came from one particle is not known.
Centre-of-mass quantities use the nominal beams.
"""

from __future__ import annotations

import numpy as np

from belle2dark.detector.experiments import Detector
from belle2dark.simulation.beams import Beams, to_cms
from belle2dark.simulation.events import Array

#: name -> (LaTeX symbol, unit) of every column; ``_k`` stands for the photon that is left out of the pair.
COLUMNS = {
    "mass_squared_k": (r"M^2_{\gamma\gamma}", "GeV^2"),
    "recoil_mass_squared_k": (r"M^2_\mathrm{recoil}", "GeV^2"),
    "energy_cms_k": (r"E^*_\gamma", "GeV"),
    "m_total": (r"M_{\gamma\gamma\gamma}", "GeV"),
}


def recoil_mass_squared(photons_lab: Array, beams: Beams) -> Array:
    """Squared mass ``(...)`` [GeV^2] of what recoils against photons ``(..., 4)`` [GeV]: s - 2 sqrt(s) E*."""
    return np.asarray(beams.sqrt_s**2 - 2.0 * beams.sqrt_s * to_cms(photons_lab, beams)[..., 0])


def mass_squared(momenta_lab: Array) -> Array:
    """Squared invariant mass ``(...)`` [GeV^2] of four-momenta ``(..., 4)`` [GeV]."""
    return np.asarray(momenta_lab[..., 0] ** 2 - (momenta_lab[..., 1:] ** 2).sum(axis=-1))


def three_photon_columns(photons_lab: Array, beams: Beams) -> dict[str, Array]:
    """The columns :data:`COLUMNS` of three photons ``(n, 3, 4)`` [GeV], each ``(n,)``, for k = 1, 2, 3.

    Raises ``ValueError`` for another number of photons.
    """
    if photons_lab.ndim != 3 or photons_lab.shape[1:] != (3, 4):
        raise ValueError(f"photons_lab has shape {photons_lab.shape}, expected (n, 3, 4)")
    total = photons_lab.sum(axis=1)
    energies = to_cms(photons_lab, beams)[..., 0]
    out = {"m_total": np.sqrt(np.maximum(mass_squared(total), 0.0))}
    recoil = recoil_mass_squared(photons_lab, beams)
    for k in range(3):
        out[f"mass_squared_{k + 1}"] = mass_squared(total - photons_lab[:, k])
        out[f"recoil_mass_squared_{k + 1}"] = recoil[:, k]
        out[f"energy_cms_{k + 1}"] = energies[:, k]
    return out


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
