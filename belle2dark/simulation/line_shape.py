"""Masses of a broad particle that decays to dark matter, one per event.

Drawn around the peak as a Breit-Wigner would be and over its tails, with weights that make it the line shape of
:func:`belle2dark.theory.dark_matter.line_shape`: running width, nothing below the threshold of the decay. Weights add up to the
integral of the line shape over what is kinematically open, so that a rate times them is the rate of the broad particle.
"""

from __future__ import annotations

import numpy as np

from belle2dark.simulation.events import Array
from belle2dark.simulation.rng import make_key
from belle2dark.theory.dark_matter import DarkMatter, line_shape

#: largest mass that is made, in units of the collision energy
HIGHEST = 0.99


def draw_masses(n: int, key: int, mass: float, dark: DarkMatter | None, sqrt_s: float) -> tuple[Array, Array]:
    """Masses ``(n,)`` [GeV] of a particle of ``mass`` [GeV] and weights ``(n,)``, whose mean is the integral of the line shape.

    Without ``dark`` matter, or if it does not couple, all masses are ``mass`` and all weights 1. Raises ``ValueError`` for a
    ``mass`` of 0 or a closed decay, which have no width.
    """
    if dark is None or dark.alpha_d == 0.0:
        return np.full(n, mass), np.ones(n)
    if not (mass > 0.0 and dark.mass_ratio < 0.5):
        raise ValueError(f"mass = {mass} GeV, mass_ratio = {dark.mass_ratio}: a width needs a mass above 0 and a ratio below 0.5")
    peak, scale = mass**2, mass * float(dark.width(mass))
    low, high = (2.0 * dark.mass_ratio * mass) ** 2, (HIGHEST * sqrt_s) ** 2
    start, end = np.arctan((low - peak) / scale), np.arctan((high - peak) / scale)
    rng = np.random.default_rng(make_key(key, "mass"))
    u = rng.random(n)
    near = peak + scale * np.tan(start + (end - start) * u)
    # the running width keeps a tail that is even in the logarithm: half of the events are drawn like that
    floor = max(low, 1e-9 * high)
    squared = np.clip(np.where(rng.random(n) < 0.5, near, floor * (high / floor) ** u), floor, high)
    drawn = 0.5 * scale / ((end - start) * ((squared - peak) ** 2 + scale**2)) + 0.5 / (np.log(high / floor) * squared)
    masses = np.sqrt(squared)
    return masses, line_shape(masses, mass, dark) / drawn
