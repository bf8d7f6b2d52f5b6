"""Cross-sections of e+e- -> gamma X as events are made: tree level times what radiation off the beams does to it, a table.

Those of a vector are with the photon inside a range of angles (they grow without limit along the beams), 0.05 rad off them or
|cos theta*| below a fiducial one; those of an axion-like particle are of all angles. A vector may have the natural width of its
dark matter, a Dirac fermion: the spectral function of a propagator with a running width.

Not included: branching fractions (:mod:`belle2dark.vector_search`); other widths in the line shape.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

from belle2dark.sourced import load_numbers
from belle2dark.theory.dark_matter import DarkMatter, line_shape
from belle2dark.theory.gamma_x import gamma_alp, gamma_dark_photon

Array = NDArray[np.float64]
#: what is made: a vector with the photon off the beams or in the fiducial angle, or an axion-like particle
Kind = Literal["vector", "fiducial", "alp"]
#: nodes of an average over the peak and over its tail, which begins so many half widths above it
_NODES, _PEAK_WIDTHS = 2000, 20.0


@cache
def _radiation(kind: Kind) -> PchipInterpolator:
    """Cross-section with radiation over tree level against the mass [GeV]."""
    table = load_numbers("gamma_vector_rate")
    return PchipInterpolator(table["rate_mass"].values, table[f"rate_{kind}"].values, extrapolate=True)


def fiducial_cosine() -> float:
    """Largest |cos theta*| of the photon in the cross-sections called "fiducial"."""
    return float(load_numbers("gamma_vector_rate")["fiducial_cosine"])


def unit_cross_section(mass: ArrayLike, sqrt_s: float, kind: Kind = "vector") -> Array:
    """Cross-section [fb] of gamma X at epsilon, or g_agg [1/GeV], of 1 for masses [GeV], same shape, with radiation.

    Raises ``ValueError`` for a mass outside 0 to ``sqrt_s`` [GeV].
    Source: :mod:`belle2dark.theory.gamma_x` times the table ``data/gamma_vector_rate.yaml``.
    """
    m = np.asarray(mass, dtype=float)
    if kind == "alp":
        return np.asarray(gamma_alp(sqrt_s, m) * _radiation(kind)(m))
    edge = fiducial_cosine() if kind == "fiducial" else float(load_numbers("gamma_vector_rate")["widest_cosine"])
    return np.asarray(gamma_dark_photon(sqrt_s, m, -edge, edge) * _radiation(kind)(m))


@cache
def broad_cross_section(mass: float, dark: DarkMatter, sqrt_s: float, highest: float) -> float:
    """Fiducial cross-section [fb] at epsilon = 1 for a vector of ``mass`` [GeV] with the natural width from its dark matter.

    Averaged over the line shape, up to invariant masses of ``highest`` times ``sqrt_s`` [GeV].
    """
    scale, peak = mass * float(dark.width(mass)), mass**2
    low, high = (2.0 * dark.mass_ratio * mass) ** 2, (highest * sqrt_s) ** 2
    middle = min(high, peak + max(_PEAK_WIDTHS * scale, 0.5 * peak))
    steps = (np.arange(_NODES) + 0.5) / _NODES
    # in the angle of a Breit-Wigner the peak is flat, in the logarithm its tail
    first, last = math.atan((low - peak) / scale), math.atan((middle - peak) / scale)
    near = peak + scale * np.tan(first + (last - first) * steps)
    far = middle * (high / middle) ** steps
    squared = np.concatenate([near, far])
    step = np.concatenate([((near - peak) ** 2 + scale**2) / scale * (last - first), far * math.log(high / middle)]) / _NODES
    energies = np.sqrt(squared)
    return float((line_shape(energies, mass, dark) * unit_cross_section(energies, sqrt_s, "fiducial")) @ step)
