"""A photon and a lepton pair from a displaced point: what is selected, how often at a given distance, and how many decay there.

The vertex must lie between two distances from the beam line (inside the beam pipe, or in the drift chamber behind all silicon),
some standard deviations away from the beam line and from all material, and must not look like a K_S: :func:`selected`. A light
pair has tracks so close to each other that the distance is open by millimetres, which is what these deviations cost.
:func:`measure` simulates its efficiency at one distance, relative to the same pair from the beam line; :func:`pair_efficiency`
is a model of what that gives, and :func:`kept` the share of the decays of a particle of a c tau that is left, fast and smooth
enough for fits in the coupling. :func:`background` is what passes of any other events.

Not included: correlations of the tracks' efficiency with the direction of the pair (10 to 20 % of :func:`kept` in the chamber),
tails of track errors (a Gaussian has nothing at six standard deviations), a trigger for displaced vertices (the photon is one).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from belle2dark.constants import M_PION
from belle2dark.detector.experiments import Detector
from belle2dark.detector.kinematic_fit import errors_at, fit_to_beams
from belle2dark.detector.observed import observe
from belle2dark.detector.photons import from_vertex
from belle2dark.detector.vertexing import Vertices, looks_like_ks, pair_mass, two_track_vertex
from belle2dark.simulation.beams import Beams
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.gamma_dilepton import LEPTONS, generate_gamma_dilepton
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import load_numbers, nearest

REGIONS = ("inner", "outer")
#: least energy of a photon in the lab [GeV]
_SOFTEST = 0.2
#: Gauss-Legendre nodes in the angle of the photon
_ANGLES = 24
#: cells in the distance from the beam line, by region; beyond them on either side nothing is measured inside
_CELLS = {"inner": np.linspace(0.02, 1.5, 121), "outer": np.linspace(8.0, 72.0, 97)}


class Measured(NamedTuple):
    """Shares of the pairs that are found from the beam line: ``tracks`` found, ``chosen`` as well, ``errors`` of the distance.

    ``errors`` (q,) are quantiles of the standard deviation [cm] times the reduced mass [GeV], at the middles of q equal parts.
    """

    tracks: float
    chosen: float
    errors: Array


def selected(vertices: Vertices, detector: Detector, region: str) -> NDArray[np.bool_]:
    """Whether a vertex ``(n,)`` is in the ``region``, clear of beam line and material, and no K_S.

    Raises ``ValueError`` for an unknown region.
    """
    low, high = _limits(region, vertices.radius_error, detector)
    return (vertices.radius > low) & (vertices.radius < high) & ~looks_like_ks(vertices, detector)


def _limits(region: str, error: Array, detector: Detector) -> tuple[Array, Array]:
    """Least and largest distance [cm] of a vertex in the ``region`` whose distance has the standard deviation ``error`` [cm]."""
    if region not in REGIONS:
        raise ValueError(f"region = {region!r}: must be one of {', '.join(REGIONS)}; nearest: {nearest(region, REGIONS)}")
    numbers = load_numbers("displaced_pair")
    low, high = numbers[f"{region}_radius"].values
    clear = float(numbers["radius_significance"]) * error
    if region == "inner":
        return np.maximum(low, clear), np.minimum(high, detector.number("beam_pipe_radius") - clear)
    return np.maximum(low, float(numbers["chamber_wall_radius"]) + clear), np.full_like(error, high)


def measure(n: int, key: int, detector: Detector, *, mass: float, lepton: str, radius_cm: float, region: str,
            quantiles: int = 5) -> Measured:  # fmt: skip
    """Simulate n pairs of ``lepton`` and ``mass`` [GeV] at ``radius_cm`` [cm] from the beam line, in the direction of flight.

    The photon is inside the drift chamber's polar angles. Raises ``ValueError`` as the generator does.
    """
    events = generate_gamma_dilepton(n, key, detector.beams, mass=mass, lepton=lepton, isr=False)
    slots = LEPTONS[lepton][1]
    photon = events.momenta_lab["gamma_1"]
    low, high = detector.cosines("cdc_theta")
    cosine = photon[:, 3] / photon[:, 0]
    events = events.select((cosine > low) & (cosine < high))
    flight = np.sum([events.momenta_lab[name][:, 1:] for name in slots], axis=0)
    point = flight * (radius_cm / np.hypot(flight[:, 0], flight[:, 1]))[:, None]
    prompt, far = (_vertices(events, slots, where, detector, key) for where in (np.zeros_like(point), point))
    norm = float((events.weights * prompt.efficiency).sum())
    weights = events.weights * far.efficiency
    order = np.argsort(far.radius_error)
    place = (np.arange(quantiles) + 0.5) / quantiles * weights.sum()
    spread = np.interp(place, np.cumsum(weights[order]), far.radius_error[order])
    chosen = float(weights[selected(far, detector, region)].sum())
    return Measured(float(weights.sum()) / norm, chosen / norm, spread * _reduced(mass, lepton))


def _vertices(events: Events, slots: tuple[str, str], point: Array, detector: Detector, key: int) -> Vertices:
    """The vertices of ``slots`` put at ``point`` (n, 3) [cm]."""
    moved = Events(momenta_lab=events.momenta_lab, weights=events.weights, vertices_cm=dict.fromkeys(slots, point))
    return two_track_vertex(observe(moved, detector, key), *slots, make_key(key, "vertex"))


def background(events: Events, slots: tuple[str, str], lepton: str, detector: Detector,
               key: int) -> tuple[Array, dict[str, Array]]:  # fmt: skip
    """Mass of the pair in ``slots`` [GeV] after the fit to the beams, (n,), and weights [fb] of it being taken for a signal.

    The weights, (n,) by region, have everything of :func:`selected`, both tracks identified as ``lepton``, one photon of 0.2 GeV
    found, nothing else seen, and a chi2 of the fit below that of the search; the mass is 0 where no vertex is selected.
    """
    seen = observe(events, detector, key)
    vertices = two_track_vertex(seen, *slots, make_key(key, "vertex"))
    names = events.photons
    clusters = from_vertex(seen.photons(*names), seen.points_cm, detector)
    which, rows = clusters[..., 0].argmax(axis=1), np.arange(len(seen))
    photon = clusters[rows, which][:, None]
    found = seen.clusters.efficiency[:, [seen.slot(name) for name in names]][rows, which]
    weights = events.weights * found * (photon[:, 0, 0] > _SOFTEST)
    for name in slots:
        weights = weights * seen.passes(name, "electron" if lepton == "e" else "muon")
    for name in seen.slots:
        if name not in slots:
            taken = which == names.index(name) if name in names else np.zeros(len(seen), dtype=bool)
            weights = weights * np.where(taken, 1.0, seen.unseen((name,)))
    inside = {region: selected(vertices, detector, region) for region in REGIONS}
    use = (weights > 0) & np.any(list(inside.values()), axis=0)
    m, columns = LEPTONS[lepton][0], [seen.slot(name) for name in slots]
    mass = np.zeros(len(seen))
    if use.any():
        errors = seen.tracks.errors[use][:, columns]
        fitted = fit_to_beams(
            vertices.momenta_lab[use], errors, (m, m), detector.beams, photon[use], errors_at(photon[use], detector)
        )
        mass[use] = pair_mass(fitted.tracks_lab, m, m)
        weights[use] *= fitted.chi2 < float(load_numbers("displaced_pair")["chi2_below"])
    return mass, {region: weights * inside[region] for region in REGIONS}


def pair_efficiency(radius_cm: Array, mass: float, lepton: str, region: str, detector: Detector) -> Array:
    """Efficiency, relative to the beam line, of a pair at distances ``radius_cm`` (r,) [cm]: found and :func:`selected`, (r,).

    Raises ``ValueError`` for an unknown lepton or region.
    """
    numbers, m = load_numbers("displaced_pair"), _reduced(mass, lepton)
    if not m > 0.0:
        return np.zeros(len(radius_cm))
    _limits(region, np.zeros(1), detector)  # names the nearest of an unknown region
    errors = np.array(numbers[f"{region}_radius_errors"].values) / m  # (q,)
    low, high = _limits(region, errors, detector)
    use = high > low
    radius = np.asarray(radius_cm, dtype=float)[:, None]
    inside = (ndtr((high[use] - radius) / errors[use]) - ndtr((low[use] - radius) / errors[use])).sum(axis=1) / len(errors)
    return np.asarray(inside * _tracks(radius[:, 0], m) * (1.0 - kshort_loss(mass, lepton, detector)))


def kshort_loss(mass: float, lepton: str, detector: Detector) -> float:
    """Share of the pairs that as two pions fall into the K_S veto window, for pairs much faster than their mass.

    The lepton's share z of the momentum, with the decay angle of a vector, gives the mass of two pions as
    m^2 + (m_pi^2 - m_l^2) / (z (1 - z)).
    """
    gap = M_PION**2 - LEPTONS[lepton][0] ** 2
    beta2 = (_reduced(mass, lepton) / mass) ** 2
    window = np.array(detector.numbers["ks_veto_window"].values) ** 2 - mass**2
    edge = np.sqrt(np.clip(1.0 - 4.0 * gap / np.maximum(window, 1e-300), 0.0, beta2) / beta2)  # |cos| that gives this mass
    below = ((2.0 - beta2) * edge + beta2 * edge**3 / 3.0) / (2.0 - 2.0 * beta2 / 3.0)
    return float(below[1] - below[0])


def _tracks(radius: Array, reduced_mass: float) -> Array:
    """Probability (r,) that both tracks are found, relative to the beam line: a table in distance and logarithm of the mass."""
    numbers = load_numbers("displaced_pair")
    radii, masses = np.array(numbers["track_radii"].values), np.log(numbers["track_masses"].values)
    table = np.array([np.interp(radius, radii, numbers[f"track_efficiency_{k + 1}"].values) for k in range(len(masses))])
    at = float(np.clip(np.interp(np.log(reduced_mass), masses, np.arange(len(masses))), 0.0, len(masses) - 1.0))
    k = min(int(at), len(masses) - 2)
    return np.asarray(table[k] + (at - k) * (table[k + 1] - table[k]))


def kept(mass: float, ctau_cm: Array | float, lepton: str, detector: Detector, regions: tuple[str, ...] = REGIONS,
         photon_theta_deg: tuple[float, float] = (17.0, 150.0)) -> Array:  # fmt: skip
    """Share of the pairs found from the beam line that is selected if V of ``mass`` [GeV] has ``ctau_cm`` [cm], its shape.

    Averaged over the directions of e+e- -> gamma V whose photon is within ``photon_theta_deg`` [deg, lab]; see
    :func:`pair_efficiency`. 0 for a c tau of 0. Raises ``ValueError`` for an unknown lepton or region or a negative c tau.
    """
    ctau = np.asarray(ctau_cm, dtype=float)
    if not (ctau >= 0.0).all():
        raise ValueError(f"ctau_cm = {ctau_cm} cm: must not be negative")
    stretch, share = _directions(mass, detector.beams, photon_theta_deg)
    total = np.zeros(ctau.shape)
    for region in regions:
        edges, found = _profile(mass, lepton, region, detector)
        length = np.maximum(ctau[..., None, None] * stretch[:, None], 1e-300)
        inside = -np.diff(np.exp(-np.minimum(edges / length, 700.0)), axis=-1)  # (..., angle, cell)
        total = total + (inside @ found) @ share
    return np.asarray(total)


@lru_cache(maxsize=4096)
def _profile(mass: float, lepton: str, region: str, detector: Detector) -> tuple[Array, Array]:
    """Edges (c + 1,) [cm] of cells in the distance and efficiencies (c,) in their middles."""
    edges = _CELLS.get(region, np.zeros(2))  # an unknown region is refused by what follows
    return edges, pair_efficiency(0.5 * (edges[1:] + edges[:-1]), mass, lepton, region, detector)


@lru_cache(maxsize=4096)
def _directions(mass: float, beams: Beams, photon_theta_deg: tuple[float, float]) -> tuple[Array, Array]:
    """Transverse momentum over mass of V, and the share of events, each (a,), for photons inside the polar angles [deg].

    Tree level; the crossing angle is neglected, as it turns the beams by less than a track's acceptance is known.
    """
    s = beams.sqrt_s**2
    if not 0.0 < mass < beams.sqrt_s:
        raise ValueError(f"mass = {mass} GeV: must lie between 0 and {beams.sqrt_s:.6g} GeV")
    speed = np.sqrt(1.0 - s / float(beams.nominal[0]) ** 2)
    high, low = ((c - speed) / (1.0 - speed * c) for c in np.cos(np.radians(photon_theta_deg)))
    node, weight = np.polynomial.legendre.leggauss(_ANGLES)
    rapidity = np.arctanh(low) + 0.5 * (node + 1.0) * (np.arctanh(high) - np.arctanh(low))  # flattens the poles at the beams
    cosine = np.tanh(rapidity)
    density = weight * (1.0 + cosine**2 + 4.0 * s * mass**2 / (s - mass**2) ** 2)
    momentum = 0.5 * (s - mass**2) / beams.sqrt_s
    return momentum * np.sqrt(1.0 - cosine**2) / mass, density / density.sum()


def _reduced(mass: float, lepton: str) -> float:
    """Reduced mass [GeV]: twice the momentum of a lepton at rest of the pair."""
    if lepton not in LEPTONS:
        raise ValueError(f"lepton = {lepton!r}: must be one of {', '.join(LEPTONS)}; nearest: {nearest(lepton, LEPTONS)}")
    return float(np.sqrt(max(mass**2 - 4.0 * LEPTONS[lepton][0] ** 2, 0.0)))
