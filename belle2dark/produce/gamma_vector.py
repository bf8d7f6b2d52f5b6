"""Make ``data/gamma_vector_rate.yaml``: what radiation does to the cross-section of e+e- -> gamma A'.

    python -m belle2dark.produce.gamma_vector

Weights of :func:`belle2dark.simulation.gamma_x.generate_gamma_x` over the tree-level closed form in the same range of angles, at
masses between which the ratio is smooth; the same random numbers at all of them keep it so. Two minutes.
"""

from __future__ import annotations

import math
from importlib.resources import as_file
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from belle2dark.produce.cuts import entry
from belle2dark.simulation.beams import Beams, belle2_beams
from belle2dark.simulation.gamma_x import THETA_MIN, generate_gamma_x
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import data_file
from belle2dark.theory.gamma_x import gamma_dark_photon

Array = NDArray[np.float64]

#: events per mass: an error of 0.3 %
EVENTS = 1_500_000
#: masses [GeV] of the table: below 0.3 GeV, the smallest mass of photon and X that is made, the ratio falls
MASSES = (0.001, 0.05, 0.1, 0.15, 0.2, 0.25, 0.28, 0.3, 0.33, 0.4, 0.5, 0.8, 1.2, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 7.5, 8.0, 8.5,
          9.0, 9.4, 9.7, 9.9, 10.1, 10.2, 10.3, 10.38, 10.43, 10.47)  # fmt: skip


def born(sqrt_s: float, mass: Array | float) -> Array:
    """Tree-level cross-section [fb] at epsilon = 1 for ``mass`` [GeV], in the range of angles that events are made in."""
    edge = math.cos(THETA_MIN)
    return gamma_dark_photon(sqrt_s, mass, -edge, edge)


def ratio(mass: float, beams: Beams, n: int) -> tuple[float, float]:
    """Cross-section with radiation over that without at ``mass`` [GeV], and its Monte Carlo error."""
    weights = generate_gamma_x(n, make_key(1, "gamma_vector_rate"), beams, mass, "dark_photon", 1.0).weights
    total = float(weights.sum())
    scale = 1.0 / float(born(beams.sqrt_s, mass))
    return scale * total, scale * math.sqrt(float((weights**2).sum()) - total**2 / n)


def write(folder: Path) -> Path:
    """Write the YAML file into ``folder``."""
    beams = belle2_beams()
    found = [ratio(m, beams, EVENTS)[0] for m in MASSES]
    text = "# Computed by `python -m belle2dark.produce.gamma_vector`, see README.md.\nnumbers:\n"
    text += entry("rate_mass", MASSES, "GeV", "masses of A' of the next list")
    note = "gamma A' with radiation over tree level, photon at least 0.05 rad off the beams"
    text += entry("rate_ratio", found, '""', note)
    target = folder / "gamma_vector_rate.yaml"
    target.write_text(text, encoding="utf-8")
    return target


if __name__ == "__main__":
    with as_file(data_file("README.md")) as readme:
        print(write(readme.parent))
