"""What a search sees of e+e- -> gamma a, a -> gamma gamma: resolved, merged, displaced or invisible, from the lifetime.

``resolved``: a decays next to the beams and its photons are two clusters; ``merged``: next to the beams, but one cluster;
``invisible``: beyond everything, a single photon is left; ``displaced``: between, where photons point wrongly and are bad in
either search. Shares are probabilities, averaged over events (:func:`flight_of`) or over a grid of angles
(:func:`flight_at`), and vectorised over the lifetime: a plane of mass and coupling (:func:`plane`) takes a fraction of a
second. :func:`three_photon_share` and :func:`single_photon_share` are the factors that a lifetime leaves of the
efficiency of the two searches. Not included: radiation off the beams in the grid, photons that start inside the
calorimeter or the iron (they count as displaced).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import roots_legendre

from belle2dark.detector.experiments import Detector
from belle2dark.simulation.beams import to_lab
from belle2dark.simulation.events import Array, Events
from belle2dark.sourced import load_numbers
from belle2dark.theory.alp import PHOTON_ALP

REGIMES = ("resolved", "merged", "displaced", "invisible")
_NUMBERS = load_numbers("alp")
#: nodes of the grid: polar angle and azimuth of a in the CMS, polar angle (of the harder photon) and azimuth of the decay
_SIZES = (10, 3, 12, 2)


def _grid() -> tuple[Array, ...]:
    """cos theta and azimuth of a, cos theta and azimuth of its decay, and weights with 1 + cos^2, each ``(n,)``."""
    (c, wc), (d, wd) = roots_legendre(_SIZES[0]), roots_legendre(_SIZES[2])
    phi, psi = ((np.arange(k) + 0.5) * 2.0 * np.pi / k for k in (_SIZES[1], _SIZES[3]))
    weights = np.einsum("a,b,c,d->abcd", wc * (1.0 + c * c), np.ones_like(phi), wd, np.ones_like(psi)).ravel()
    return *(x.ravel() for x in np.meshgrid(c, phi, 0.5 * (1.0 + d), psi, indexing="ij")), weights


_GRID = _grid()
#: softness of the acceptance of the grid [deg], so that shares are smooth functions of the mass
_SOFT = 2.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flight:
    """n particles a of one mass in the lab: ``beta_gamma``, ``opening`` angle of the photons [rad], ``distance`` from the
    origin to the calorimeter along the flight [cm], and ``weights``, each ``(n,)``."""

    beta_gamma: Array
    opening: Array
    distance: Array
    weights: Array


def flight_of(events: Events, mass: float, detector: Detector) -> Flight:
    """The flight of a in events of :func:`belle2dark.simulation.alp.generate_gamma_alp` with decays to photons."""
    momenta = events.momenta_lab
    return _flight(momenta["x"], momenta["gamma_2"], momenta["gamma_3"], mass, detector, events.weights)


def _flight(alp: Array, first: Array, second: Array, mass: float, detector: Detector, weights: Array) -> Flight:
    p = np.linalg.norm(alp[:, 1:], axis=1)
    half = mass / (2.0 * np.sqrt(np.maximum(first[:, 0] * second[:, 0], 1e-300)))
    low, high = detector.numbers["ecl_z"].values
    end = np.where(alp[:, 3] > 0.0, high, low) / np.where(alp[:, 3] == 0.0, 1e-300, alp[:, 3])
    side = detector.number("ecl_radius") / np.maximum(np.hypot(alp[:, 1], alp[:, 2]), 1e-300)
    return Flight(beta_gamma=p / mass, opening=2.0 * np.arcsin(np.minimum(half, 1.0)), weights=weights,
                  distance=p * np.minimum(end, side))  # fmt: skip


@lru_cache(maxsize=1024)
def flight_at(mass: float, detector: Detector, accepted: int = 3) -> Flight:
    """A grid of the angles of e+e- -> gamma a, a -> gamma gamma without radiation, weighted with both distributions.

    Only what has the recoil photon (``accepted`` = 1) or all three photons (3) inside the barrel of the calorimeter
    counts; 0 for all. Raises ``ValueError`` for a mass [GeV] outside 0 to sqrt_s (excluded) or another ``accepted``.
    """
    beams = detector.beams
    if not 0.0 < mass < beams.sqrt_s:
        raise ValueError(f"mass = {mass} GeV: allowed above 0 to below {beams.sqrt_s:.5g} GeV")
    if accepted not in (0, 1, 3):
        raise ValueError(f"accepted = {accepted}: allowed 0, 1, 3")
    c, phi, d, psi, weights = _GRID
    e = (beams.sqrt_s**2 + mass**2) / (2.0 * beams.sqrt_s)
    p, s = math.sqrt(e * e - mass * mass), np.sqrt(1.0 - c * c)
    along = np.stack([s * np.cos(phi), s * np.sin(phi), c], axis=1)
    across = np.stack([c * np.cos(phi), c * np.sin(phi), -s], axis=1)
    aside = np.cross(along, across)
    t = np.sqrt(1.0 - d * d)
    transverse = 0.5 * mass * t[:, None] * (np.cos(psi)[:, None] * across + np.sin(psi)[:, None] * aside)
    photons = [_four(p * along * -1.0)]
    for sign in (1.0, -1.0):
        photons.append(_four(0.5 * (p + sign * e * d)[:, None] * along + sign * transverse))
    alp, *lab = (to_lab(x, beams) for x in (photons[1] + photons[2], *photons))
    for photon in lab[:accepted]:
        weights = weights * _inside(photon, detector)
    return _flight(alp, lab[1], lab[2], mass, detector, weights)


def _four(momenta: Array) -> Array:
    return np.concatenate([np.linalg.norm(momenta, axis=1, keepdims=True), momenta], axis=1)


def _inside(photon: Array, detector: Detector) -> Array:
    """Acceptance of the barrel with soft edges, ``(n,)``."""
    low, high = detector.numbers["ecl_barrel_theta"].values
    theta = np.degrees(np.arccos(np.clip(photon[:, 3] / photon[:, 0], -1.0, 1.0)))
    return np.asarray(0.5 * (np.tanh((theta - low) / _SOFT) + np.tanh((high - theta) / _SOFT)))


def _apart(flight: Flight, detector: Detector) -> Array:
    """Longest flight [cm] after which both photons are two clusters, and next to the beams: 0 where they never are."""
    near = np.minimum(float(_NUMBERS["near_distance"]), flight.distance)
    merge = detector.number("merge_angle")
    # seen from the origin, photons that start at d of the distance D are closer by 1 - d/D
    return np.clip(flight.distance * (1.0 - merge / np.maximum(flight.opening, 1e-300)), 0.0, near)


def shares(flight: Flight, ctau: ArrayLike, detector: Detector) -> dict[str, Array]:
    """The probabilities of the :data:`REGIMES` at proper decay lengths ``ctau`` [cm], each of its shape; they add up to 1."""
    near = np.minimum(float(_NUMBERS["near_distance"]), flight.distance)
    far = np.maximum(float(_NUMBERS["invisible_distance"]), flight.distance)
    apart, prompt, gone = (_survive(flight, x, ctau) for x in (_apart(flight, detector), near, far))
    return {"resolved": 1.0 - apart, "merged": apart - prompt, "displaced": prompt - gone, "invisible": gone}


def _survive(flight: Flight, length: Array, ctau: ArrayLike) -> Array:
    """Mean probability to fly further than ``length`` (n,) [cm]; of the shape of ``ctau``."""
    c = np.asarray(ctau, dtype=float)
    w = flight.weights / flight.weights.sum()
    rate = length / flight.beta_gamma
    return np.asarray(np.exp(-rate / np.maximum(c, 1e-300)[..., None]) @ w)


def three_photon_share(mass: float, ctau: ArrayLike, detector: Detector) -> Array:
    """Part of the three-photon efficiency for prompt decays that is left at ``ctau`` [cm], of its shape; 0 if none was.

    The share of decays near the beams among those whose photons would be two clusters. Raises as :func:`flight_at`.
    """
    flight = flight_at(mass, detector, 3)
    apart = _apart(flight, detector)
    possible = float(flight.weights[apart > 0.0].sum() / flight.weights.sum())
    resolved = 1.0 - _survive(flight, apart, ctau)
    return np.asarray(resolved / possible if possible > 0.0 else 0.0 * resolved)


def single_photon_share(mass: float, ctau: ArrayLike, detector: Detector, invisible_fraction: ArrayLike = 0.0) -> Array:
    """Part of the single-photon efficiency for invisible decays that is left at ``ctau`` [cm], of its shape.

    Decays to photons count if they are beyond the detector; a share ``invisible_fraction`` of all decays is to dark matter.
    Raises as :func:`flight_at`.
    """
    flight = flight_at(mass, detector, 1)
    far = np.maximum(float(_NUMBERS["invisible_distance"]), flight.distance)
    fraction = np.asarray(invisible_fraction, dtype=float)
    return np.asarray(fraction + (1.0 - fraction) * _survive(flight, far, ctau))


def plane(masses: Array, couplings: Array, detector: Detector, others: Mapping[str, float] | None = None) -> dict[str, Array]:
    """The shares of the :data:`REGIMES` over ``masses`` (m,) [GeV] and ``couplings`` g_agg (k,) [1/GeV], each (m, k).

    Recoil photons in the barrel; ``others`` are further couplings of the model (g_chi, m_chi), whose decays to dark matter
    are invisible. Raises as :func:`flight_at`.
    """
    rows = []
    for mass in masses:
        model: dict[str, ArrayLike] = {"g_agg": couplings, **(others or {})}
        visible = PHOTON_ALP.branching_fraction("gammagamma", mass, model)
        row = shares(flight_at(float(mass), detector, 1), PHOTON_ALP.ctau(mass, model), detector)
        row = {name: visible * share for name, share in row.items()}
        row["invisible"] = row["invisible"] + 1.0 - visible
        rows.append(row)
    return {name: np.stack([row[name] for row in rows]) for name in REGIMES}


def coupling_of_length(mass: ArrayLike, length_cm: float, detector: Detector) -> Array:
    """Coupling g_agg [1/GeV] at which a flies ``length_cm`` in the lab on average (CMS along the beams: boost of the CMS
    left out), of the shape of ``mass`` [GeV]: guide lines."""
    m, s = np.asarray(mass, dtype=float), detector.beams.sqrt_s**2
    beta_gamma = (s - m * m) / (2.0 * math.sqrt(s) * m)
    return np.asarray(np.sqrt(beta_gamma * PHOTON_ALP.ctau(m, {"g_agg": 1.0}) / length_cm))
