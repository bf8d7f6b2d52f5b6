"""Rates of e+e- -> gamma X with an X that is not seen: vectors that decay to dark matter, and an axion-like particle.

Cross-sections of a vector are those with the photon inside a fiducial angle (without one they grow along the beams), of an
axion-like particle those of all angles; both include radiation off the beams. ``settings`` hold the mass ``m_aprime`` [GeV], the
couplings, ``alpha_d``, ``mass_ratio`` and ``line_shape``. With the line shape "natural" a vector has the spectral function of a
propagator with the running width of its dark matter, a Dirac fermion.

Not included: visible decays of the axion-like particle; widths of narrow vectors without dark matter in the line shape.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from belle2dark.sourced import load_numbers
from belle2dark.theory.dark_matter import DarkMatter, line_shape
from belle2dark.theory.gamma_x import gamma_alp, gamma_dark_photon
from belle2dark.theory.models import Model
from belle2dark.theory.vector_models import VECTORS, rate_factor, vector, vector_model

Array = NDArray[np.float64]
Settings = Mapping[str, Any]

ALP = "alp"
#: model -> its coupling
MODELS: Mapping[str, str] = {name: VECTORS[name].coupling for name in ("dark_photon", "b_minus_l", "le_lmu")} | {ALP: "g_agg"}
#: least mass that widths are asked for [GeV]
_LEAST = 1e-6
#: mass from which a width is looked at [GeV]
_BROAD = 0.01
#: nodes of an average over the peak and over its tail, which begins so many half widths above it
_NODES, _PEAK_WIDTHS = 2000, 20.0


def dark_matter(settings: Settings) -> DarkMatter:
    """The dark matter that the vector decays to."""
    return DarkMatter(alpha_d=float(settings["alpha_d"]), mass_ratio=float(settings["mass_ratio"]))


@cache
def _theory(model: str, alpha_d: float, mass_ratio: float) -> Model:
    return vector_model(vector(model), DarkMatter(alpha_d=alpha_d, mass_ratio=mass_ratio))


def theory(settings: Settings, model: str) -> Model:
    """Widths and branching fractions of a vector with this dark matter."""
    return _theory(model, float(settings["alpha_d"]), float(settings["mass_ratio"]))


@cache
def _radiation(kind: str) -> PchipInterpolator:
    numbers = load_numbers("gamma_invisible")
    return PchipInterpolator(numbers["radiation_masses"].values, numbers[f"radiation_{kind}"].values)


def fiducial_cosine() -> float:
    """Largest |cos theta*| of the photon in the cross-sections of vectors."""
    return float(load_numbers("gamma_invisible")["fiducial_cosine"])


def vector_cross_section(mass: Array, sqrt_s: float) -> Array:
    """Cross-section [fb] of gamma A' at epsilon = 1 with the photon in the fiducial angle, for masses [GeV], same shape.

    Source: :func:`belle2dark.theory.gamma_x.gamma_dark_photon` times what radiation off the beams does to it, a table.
    """
    cosine = fiducial_cosine()
    return np.asarray(gamma_dark_photon(sqrt_s, mass, -cosine, cosine) * _radiation("vector")(mass))


@cache
def broad_cross_section(mass: float, dark: DarkMatter, sqrt_s: float) -> float:
    """The same for a vector of ``mass`` [GeV] with the natural width from its dark matter: averaged over the line shape.

    Invariant masses go up to where the photon has 0.1 GeV, as in :mod:`belle2dark.simulation.line_shape`.
    """
    scale, peak = mass * float(dark.width(mass)), mass**2
    low, high = (2.0 * dark.mass_ratio * mass) ** 2, (float(load_numbers("gamma_invisible")["highest"]) * sqrt_s) ** 2
    middle = min(high, peak + max(_PEAK_WIDTHS * scale, 0.5 * peak))
    steps = (np.arange(_NODES) + 0.5) / _NODES
    # in the angle of a Breit-Wigner the peak is flat, in the logarithm its tail
    first, last = math.atan((low - peak) / scale), math.atan((middle - peak) / scale)
    near = peak + scale * np.tan(first + (last - first) * steps)
    far = middle * (high / middle) ** steps
    squared = np.concatenate([near, far])
    step = np.concatenate([((near - peak) ** 2 + scale**2) / scale * (last - first), far * math.log(high / middle)]) / _NODES
    energies = np.sqrt(squared)
    return float((line_shape(energies, mass, dark) * vector_cross_section(energies, sqrt_s)) @ step)


def unit_cross_section(settings: Settings, sqrt_s: float, model: str) -> float:
    """Cross-section [fb] of gamma X at the unit coupling of ``model``, whichever is chosen in ``settings``."""
    mass = float(settings["m_aprime"])
    if model == ALP:
        return float(gamma_alp(sqrt_s, mass) * _radiation("alp")(mass))
    if is_broad(settings):
        return rate_factor(vector(model)) * broad_cross_section(mass, dark_matter(settings), sqrt_s)
    return rate_factor(vector(model)) * float(vector_cross_section(np.array(mass), sqrt_s))


def is_broad(settings: Settings) -> bool:
    """Whether the line shape is that of the natural width; below 10 MeV it does not matter."""
    return settings["line_shape"] == "natural" and float(settings["m_aprime"]) > _BROAD


def branching_fraction(settings: Settings, model: str) -> float:
    """BR(X -> invisible) of ``model`` at the couplings given: dark matter, and neutrinos where they couple."""
    if model == ALP:
        return 1.0
    mass, name = max(float(settings["m_aprime"]), _LEAST), MODELS[model]
    return float(theory(settings, model).branching_fraction("invisible", mass, {name: float(settings[name])}))


def width(settings: Settings) -> float:
    """Natural width [GeV] of the chosen model at its coupling; of an axion-like particle that to two photons."""
    model = str(settings["model"])
    mass, coupling = max(float(settings["m_aprime"]), _LEAST), float(settings[MODELS[model]])
    if model == ALP:
        return coupling**2 * mass**3 / (64.0 * math.pi)
    return float(theory(settings, model).total_width(mass, {MODELS[model]: coupling}))
