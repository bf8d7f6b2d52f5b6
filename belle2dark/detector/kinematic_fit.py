"""Kinematic fit of an event with nothing missing to the four-momentum of the beams.

Every track and photon is moved, within its errors, until all of them add up to the initial state. Masses of pairs get
three to six times sharper where the pair takes most of the energy, which is how the published searches in fully seen
final states reach their resolutions. Events that lost a photon along the beams fail the constraint: cut on ``chi2`` (4
degrees of freedom).

Not included: unmeasured particles (fewer constraints), and the beams' angular spread.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from belle2dark.detector.calorimeter import Clusters
from belle2dark.detector.experiments import Detector
from belle2dark.simulation.beams import Beams
from belle2dark.simulation.events import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """Fitted ``tracks_lab`` ``(n, k, 3)`` and ``photons_lab`` ``(n, m, 4)`` [GeV]; ``chi2`` ``(n,)``, 4 degrees of freedom.

    An event with an empty slot (a particle without errors) is left as measured with an infinite ``chi2``.
    """

    tracks_lab: Array
    photons_lab: Array
    chi2: Array


def photon_errors(clusters: Clusters, columns: list[int], detector: Detector) -> Array:
    """Standard deviations ``(n, m, 3)`` of energy (relative), polar and azimuthal angle [rad] of clusters in ``columns``."""
    return errors_at(clusters.momenta_lab[:, columns], detector)


def errors_at(photons_lab: Array, detector: Detector) -> Array:
    """Standard deviations ``(n, m, 3)`` of energy (relative), polar and azimuthal angle [rad] of photons ``(n, m, 4)`` [GeV]."""
    energy = np.maximum(photons_lab[..., 0], 1e-3)
    one = detector.number
    relative = np.hypot(one("photon_energy_stochastic") * energy ** -one("photon_energy_power"), one("photon_energy_constant"))
    angle = np.hypot(one("photon_angle_constant"), one("photon_angle_stochastic") / np.sqrt(energy))
    return np.stack([relative, angle, angle], axis=-1)


def fit_to_beams(tracks_lab: Array, track_errors: Array, masses: tuple[float, ...], beams: Beams,
                 photons_lab: Array | None = None, errors_of_photons: Array | None = None) -> Fitted:  # fmt: skip
    """Tracks ``(n, k, 3)`` [GeV] with ``masses`` [GeV] and photons ``(n, m, 4)`` [GeV] constrained to the beams.

    Errors are ``(n, k, 3)`` as in :class:`belle2dark.detector.tracks.Tracks` and :func:`photon_errors`. The beams' energy
    spread is part of the constraint if it is on. Three linear steps. Raises ``ValueError`` for shapes that do not match.
    """
    n, k = tracks_lab.shape[:2]
    photons = np.zeros((n, 0, 4)) if photons_lab is None else photons_lab
    sigma_photons = np.zeros((n, 0, 3)) if errors_of_photons is None else errors_of_photons
    for what, given, wanted in (("track_errors", track_errors.shape, (n, k, 3)), ("masses", (len(masses),), (k,)),
                                ("errors_of_photons", sigma_photons.shape, (*photons.shape[:2], 3))):  # fmt: skip
        if given != wanted:
            raise ValueError(f"{what} has shape {given}, expected {wanted}")
    sigma = np.concatenate([track_errors, sigma_photons], axis=1).reshape(n, -1)
    start = np.concatenate([_from_cartesian(tracks_lab, False), _from_cartesian(photons[..., 1:], True)], axis=1).reshape(n, -1)
    complete = np.asarray((sigma > 0.0).all(axis=1))
    x, own = start, beam_covariance(beams)
    # a unit matrix keeps the system of incomplete events solvable (their answer is thrown away), (10 keV)^2 that of others
    own = own + np.multiply.outer(np.where(complete, 1e-10, 1.0), np.eye(4))
    chi2 = np.zeros(n)
    for _ in range(3):
        momenta, slopes = _momenta(x.reshape(n, -1, 3), np.array(masses), k)
        gap = momenta.sum(axis=1) - beams.nominal
        gap += np.einsum("ncp,np->nc", slopes, start - x)
        weighted = slopes * sigma[:, None, :] ** 2
        lagrange = np.linalg.solve(np.einsum("ncp,ndp->ncd", weighted, slopes) + own, gap[..., None])[..., 0]
        # events that do not fit at all must not run away: at most a factor e and a radian
        x = start - np.clip(np.einsum("ncp,nc->np", weighted, lagrange), -1.0, 1.0)
        x[:, 1::3] = np.clip(x[:, 1::3], 1e-3, np.pi - 1e-3)
        chi2 = (gap * lagrange).sum(axis=1)
    momenta, _ = _momenta(np.where(complete[:, None], x, start).reshape(n, -1, 3), np.array(masses), k)
    return Fitted(tracks_lab=momenta[:, :k, 1:], photons_lab=momenta[:, k:], chi2=np.where(complete, chi2, np.inf))


def _from_cartesian(p: Array, photon: bool) -> Array:
    """(log pT or log energy, polar angle, azimuth) of momenta (n, k, 3)."""
    pt = np.maximum(np.hypot(p[..., 0], p[..., 1]), 1e-9)
    size = np.hypot(pt, p[..., 2]) if photon else pt
    return np.stack([np.log(size), np.arctan2(pt, p[..., 2]), np.arctan2(p[..., 1], p[..., 0])], axis=-1)


def _momenta(x: Array, masses: Array, k: int) -> tuple[Array, Array]:
    """Four-momenta (n, particles, 4) of parameters (n, particles, 3) and derivatives (n, 4, parameters) of their sum."""
    size, theta, phi = np.exp(x[..., 0]), x[..., 1], x[..., 2]
    sine, cosine = np.sin(theta), np.cos(theta)
    pt = np.where(np.arange(x.shape[1]) < k, size, size * sine)
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * cosine / sine
    mass2 = np.concatenate([masses**2, np.zeros(x.shape[1] - k)])
    p2 = pt**2 + pz**2
    energy = np.sqrt(p2 + mass2)
    slopes = np.zeros((len(x), 4, x.shape[1], 3))
    slopes[:, 0, :, 0] = p2 / energy
    slopes[:, 1:, :, 0] = np.stack([px, py, pz], axis=1)
    slopes[:, 1:3, :, 2] = np.stack([-py, px], axis=1)
    # polar angle: at fixed pT for tracks, at fixed energy for photons
    slopes[:, 3, :k, 1] = -(pt / sine**2)[:, :k]
    slopes[:, 0, :k, 1] = slopes[:, 3, :k, 1] * (pz / energy)[:, :k]
    slopes[:, 1:, k:, 1] = np.stack([pz * np.cos(phi), pz * np.sin(phi), -pt], axis=1)[:, :, k:]
    return np.stack([energy, px, py, pz], axis=-1), slopes.reshape(len(x), 4, -1)


def beam_covariance(beams: Beams) -> Array:
    """Covariance (4, 4) [GeV^2] of the initial state from the energy spread of both beams; 0 if it is off."""
    _, _, electron, positron, *_ = beams.kernel
    first, second = beams.electron / beams.electron_energy, beams.positron / beams.positron_energy
    return np.asarray(electron**2 * np.outer(first, first) + positron**2 * np.outer(second, second))
