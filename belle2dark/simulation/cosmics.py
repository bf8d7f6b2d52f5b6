"""Cosmic rays: a floor of single photon-like clusters and of back-to-back muons, per unit of luminosity.

Rates and spectra are declared choices (``data/backgrounds.yaml``), not a measurement: cosmics scale with live time, not
with luminosity, and what survives timing and KLM vetoes is known from data only. Use them to see from which rate on cosmics
matter. Not included: time of the event, showers with several clusters, muons that miss the luminous region.
"""

from __future__ import annotations

import numpy as np

from belle2dark.constants import M_MUON
from belle2dark.simulation.beams import Beams
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.pair import check_request
from belle2dark.sourced import load_numbers


def generate_cosmic_photons(n: int, key: int, beams: Beams) -> Events:
    """n events of one photon-like cluster: gamma_1 in the lab [GeV], equal weights [fb] that add up to the declared rate.

    Energies fall like a power, directions are even in cos(theta) and azimuth; ``beams`` do not matter. Raises
    ``ValueError`` for n < 1 or a key outside 64 bits.
    """
    check_request(n, key)
    numbers, rng = load_numbers("backgrounds"), np.random.default_rng(key)
    energy = _power_law(rng, n, numbers["cosmic_photon_energies"].values, float(numbers["cosmic_photon_slope"]))
    low, high = np.cos(np.radians(numbers["cosmic_photon_angles"].values))
    c, phi = rng.uniform(high, low, n), rng.uniform(-np.pi, np.pi, n)
    sine = np.sqrt(1.0 - c * c)
    momenta = energy[:, None] * np.stack([np.ones(n), sine * np.cos(phi), sine * np.sin(phi), c], axis=1)
    weights = np.full(n, float(numbers["cosmic_photon_cross_section"]) / n)
    return Events(momenta_lab={"gamma_1": momenta}, weights=weights)


def generate_cosmic_muons(n: int, key: int, beams: Beams) -> Events:
    """n events of one muon through the luminous region, seen as two back-to-back tracks: mu-, mu+ in the lab [GeV].

    The zenith angle (from the y axis) follows cos^2, momenta fall like a power; both halves start at one point, even
    within the declared distances. Equal weights [fb]. Raises ``ValueError`` for n < 1 or a key outside 64 bits.
    """
    check_request(n, key)
    numbers, rng = load_numbers("backgrounds"), np.random.default_rng(key)
    p = _power_law(rng, n, numbers["cosmic_muon_momenta"].values, float(numbers["cosmic_muon_slope"]))
    c, phi = np.cbrt(rng.uniform(0.0, 1.0, n)), rng.uniform(-np.pi, np.pi, n)
    sine = np.sqrt(1.0 - c * c)
    down = -np.stack([sine * np.cos(phi), c, sine * np.sin(phi)], axis=1)
    down *= np.where(rng.random(n) < 0.5, 1.0, -1.0)[:, None]  # either charge: the lower half is mu- or mu+
    energy = np.sqrt(p * p + M_MUON**2)
    minus = np.column_stack([energy, p[:, None] * down])
    plus = np.column_stack([energy, -p[:, None] * down])
    across, along = numbers["cosmic_muon_distances"].values
    points = rng.uniform(-1.0, 1.0, (n, 3)) * np.array([across, across, along])
    weights = np.full(n, float(numbers["cosmic_muon_cross_section"]) / n)
    return Events(momenta_lab={"mu-": minus, "mu+": plus}, weights=weights, vertices_cm={"mu-": points, "mu+": points.copy()})


def _power_law(rng: np.random.Generator, n: int, limits: tuple[float, ...], slope: float) -> Array:
    """n values in ``limits`` with density proportional to value^-slope, slope above 1."""
    low, high = (limit ** (1.0 - slope) for limit in limits)
    return np.asarray((low + rng.random(n) * (high - low)) ** (1.0 / (1.0 - slope)))
