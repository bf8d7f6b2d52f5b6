"""Vertices of two tracks: where they are found, how well, and how likely they are one.

Each track is a straight line near the vertex, measured across its direction with its impact-parameter errors; the vertex
is the least-squares point of both lines, so its error along the flight direction grows as the tracks close up, and two
tracks from different points give a large chi-squared. The radial cut of displaced searches acts on the smeared position,
which is all its turn-on there is; the loss at large radius is in the tracks' efficiencies.

Not included: curvature between production and vertex point (micrometres below 1 cm), a constraint to the beam spot, and the
shorter extrapolation of tracks that start between silicon layers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from belle2dark.constants import M_ELECTRON, M_PION
from belle2dark.detector.experiments import Detector
from belle2dark.detector.observed import Observed
from belle2dark.simulation.events import Array
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import load_numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Vertices:
    """n vertices: ``positions_cm`` ``(n, 3)``, ``covariance`` ``(n, 3, 3)`` [cm^2], ``chi2`` ``(n,)`` (1 degree of freedom).

    ``efficiency`` ``(n,)`` is the probability that both tracks are found; ``momenta_lab`` ``(n, 2, 3)`` [GeV] are theirs.
    """

    positions_cm: Array
    covariance: Array
    chi2: Array
    efficiency: Array
    momenta_lab: Array

    @property
    def radius(self) -> Array:
        """Distance of the vertex from the beam line, ``(n,)`` [cm]."""
        return np.asarray(np.hypot(self.positions_cm[:, 0], self.positions_cm[:, 1]))

    @property
    def radius_error(self) -> Array:
        """Standard deviation of the distance from the beam line, ``(n,)`` [cm]."""
        xy = self.positions_cm[:, :2] / np.maximum(self.radius, 1e-300)[:, None]
        return np.asarray(np.sqrt(np.einsum("ni,nij,nj->n", xy, self.covariance[:, :2, :2], xy)))


def two_track_vertex(observed: Observed, first: str, second: str, key: int) -> Vertices:
    """The vertex of the tracks in slots ``first`` and ``second`` of every event; random numbers from ``key``.

    Events in which one of them is missing have efficiency 0 and a vertex at the origin.
    Raises ``ValueError`` for an unknown slot and for the same slot twice.
    """
    if first == second:
        raise ValueError(f"first = second = {first!r}: a vertex needs two different slots")
    columns = [observed.slot(first), observed.slot(second)]
    tracks = observed.tracks
    momenta, points = tracks.momenta_lab[:, columns], observed.vertices_cm[:, columns]
    use = (tracks.charge[:, columns] != 0).all(axis=1)
    n = len(observed)
    position, covariance, chi2 = np.zeros((n, 3)), np.zeros((n, 3, 3)), np.zeros(n)
    rng = np.random.default_rng(make_key(key, "vertex"))
    noise = rng.standard_normal((n, 2, 2))
    if use.any():
        position[use], covariance[use], chi2[use] = _fit(
            momenta[use], points[use], tracks.impact_error[use][:, columns], noise[use]
        )
    efficiency = np.where(use, tracks.efficiency[:, columns].prod(axis=1), 0.0)
    return Vertices(positions_cm=position, covariance=covariance, chi2=chi2, efficiency=efficiency, momenta_lab=momenta)


def _fit(momenta: Array, points: Array, errors: Array, noise: Array) -> tuple[Array, Array, Array]:
    """Least-squares point of two lines: position (n, 3), covariance (n, 3, 3), chi-squared (n,)."""
    direction = momenta / np.linalg.norm(momenta, axis=-1, keepdims=True)
    sine = np.maximum(np.hypot(direction[..., 0], direction[..., 1]), 1e-12)
    cos_phi, sin_phi, cos = direction[..., 0] / sine, direction[..., 1] / sine, direction[..., 2]
    across = np.stack([-sin_phi, cos_phi, np.zeros_like(cos)], axis=-1)
    dip = np.stack([-cos * cos_phi, -cos * sin_phi, sine], axis=-1)
    axes = np.stack([across, dip], axis=2)  # (n, track, direction, xyz)
    sigma = np.stack([errors[..., 0], errors[..., 1] * sine], axis=-1)
    measured = np.einsum("ntdx,ntx->ntd", axes, points) + sigma * noise
    weighted = axes / sigma[..., None] ** 2
    information = np.einsum("ntdx,ntdy->nxy", weighted, axes)
    # a weak pull to the origin (standard deviation 1 m) keeps exactly parallel tracks solvable
    information += 1e-4 * np.eye(3)
    covariance = np.linalg.inv(information)
    position = np.einsum("nxy,ny->nx", covariance, np.einsum("ntdx,ntd->nx", weighted, measured))
    residual = (measured - np.einsum("ntdx,nx->ntd", axes, position)) / sigma
    return position, covariance, (residual**2).sum(axis=(1, 2))


def pair_mass(momenta_lab: Array, mass_first: float, mass_second: float) -> Array:
    """Invariant mass ``(n,)`` [GeV] of two tracks ``(n, 2, 3)`` [GeV] with the given masses [GeV]."""
    square = (momenta_lab**2).sum(axis=-1)
    energy = np.sqrt(square[:, 0] + mass_first**2) + np.sqrt(square[:, 1] + mass_second**2)
    return np.asarray(np.sqrt(np.maximum(energy**2 - (momenta_lab.sum(axis=1) ** 2).sum(axis=-1), 0.0)))


def with_loss_added_back(vertices: Vertices, masses: tuple[float, float]) -> Array:
    """Momenta ``(n, 2, 3)`` [GeV] of the tracks as fitted from the beam line, for true ones that start at the vertex.

    A fit adds the energy that a track loses in the material up to the beam line. One that starts at a displaced vertex has
    not crossed the layers inside of it, so its momentum comes out too high: masses get a tail upwards that grows with the
    lifetime. ``masses`` [GeV] are those of the tracks. Material of Belle II, cylinders.
    """
    numbers, p = load_numbers("mesons"), vertices.momenta_lab
    radius, thickness = (np.array(numbers[f"material_{name}"].values) for name in ("radius", "thickness"))
    crossed = np.concatenate([[0.0], np.cumsum(thickness)])[np.searchsorted(radius, vertices.radius)]
    size = np.maximum(np.linalg.norm(p, axis=-1), 1e-12)
    beta = size / np.hypot(size, np.asarray(masses))
    # the Bethe formula between 0.2 and 1 in beta, within 10 %
    loss = float(numbers["energy_loss_per_radiation_length"]) * beta ** (-5.0 / 3.0)
    sine = np.maximum(np.hypot(p[..., 0], p[..., 1]) / size, 1e-3)
    added = loss * crossed[:, None] / sine / beta
    return np.asarray(p * (1.0 + np.minimum(added / size, 0.5))[..., None])


def looks_like_ks(vertices: Vertices, detector: Detector) -> NDArray[np.bool_]:
    """Whether the mass as two pions lies in the K_S veto window, ``(n,)``."""
    low, high = detector.numbers["ks_veto_window"].values
    mass = pair_mass(vertices.momenta_lab, M_PION, M_PION)
    return (mass > low) & (mass < high)


def looks_like_conversion(vertices: Vertices, detector: Detector) -> NDArray[np.bool_]:
    """Whether the mass as two electrons is small and the vertex at the beam pipe or a silicon layer, ``(n,)``.

    Nearly parallel tracks leave the radius open by centimetres, so a layer within some standard deviations counts as well.
    """
    width, deviations = detector.numbers["conversion_width"].values
    material = np.array([*detector.numbers["beam_pipe_radius"].values, *detector.numbers["silicon_radii"].values])
    near = np.abs(vertices.radius[:, None] - material).min(axis=1) < np.hypot(width, deviations * vertices.radius_error)
    return near & (pair_mass(vertices.momenta_lab, M_ELECTRON, M_ELECTRON) < detector.number("conversion_mass"))
