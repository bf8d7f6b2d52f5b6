"""Make ``data/gamma_vector_rate.yaml``: what radiation does to the cross-sections of e+e- -> gamma A' and gamma a.

    python -m belle2dark.produce.gamma_vector

Weights of :func:`belle2dark.simulation.gamma_x.generate_gamma_x` over the tree-level closed form in the same range of angles, at
masses between which the ratio is smooth; the same random numbers at all of them keep it so. For a vector all photons that are
made and those in the fiducial angle, for an axion-like particle all. Ten minutes.
"""

from __future__ import annotations

import math
from importlib.resources import as_file
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from belle2dark.produce.cuts import entry
from belle2dark.simulation.beams import Beams, belle2_beams, to_cms
from belle2dark.simulation.gamma_x import THETA_MIN, generate_gamma_x
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import data_file
from belle2dark.theory.gamma_x import gamma_alp, gamma_dark_photon

Array = NDArray[np.float64]

NAME = "gamma_vector_rate"
#: events per mass of a vector (an error of 0.3 %; 0.1 % in the fiducial angle, from CHUNKS times as many) and of an axion
EVENTS, CHUNKS, EVENTS_ALP = 1_500_000, 4, 200_000
#: largest |cos theta*| of the photon in fiducial cross-sections of a vector: a choice
FIDUCIAL = 0.95
#: masses [GeV] of the table: below 0.3 GeV, the smallest mass of photon and X that is made, the ratio falls
MASSES = (0.001, 0.05, 0.1, 0.15, 0.2, 0.25, 0.28, 0.3, 0.33, 0.4, 0.5, 0.8, 1.2, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 7.5, 8.0, 8.5,
          9.0, 9.4, 9.7, 9.9, 10.1, 10.2, 10.3, 10.38, 10.43, 10.47)  # fmt: skip


def born(sqrt_s: float, mass: Array | float, edge: float) -> Array:
    """Tree-level cross-section [fb] at epsilon = 1 for ``mass`` [GeV] with the photon at |cos theta*| below ``edge``."""
    return gamma_dark_photon(sqrt_s, mass, -edge, edge)


def vector_rates(mass: float, beams: Beams, n: int, key: int) -> tuple[float, float]:
    """Cross-sections with radiation over those without of a vector of ``mass`` [GeV]: all that is made, and the fiducial part."""
    events = generate_gamma_x(n, key, beams, mass, "dark_photon", 1.0)
    photon = to_cms(events.momenta_lab["gamma_1"], beams)
    inside = np.abs(photon[:, 3]) < FIDUCIAL * photon[:, 0]
    made, fiducial = float(events.weights.sum()), float(events.weights[inside].sum())
    edge = math.cos(THETA_MIN)
    return made / float(born(beams.sqrt_s, mass, edge)), fiducial / float(born(beams.sqrt_s, mass, FIDUCIAL))


def ratios(mass: float, beams: Beams) -> tuple[float, float, float]:
    """Cross-sections with radiation over those without at ``mass`` [GeV]: a vector, one in the fiducial angle, an axion."""
    key = make_key(1, NAME)
    chunks = [vector_rates(mass, beams, EVENTS, make_key(1, NAME, str(k)) if k else key) for k in range(CHUNKS)]
    alp = float(generate_gamma_x(EVENTS_ALP, key, beams, mass, "alp", 1.0).weights.sum())
    return chunks[0][0], float(np.mean([fiducial for _, fiducial in chunks])), alp / float(gamma_alp(beams.sqrt_s, mass))


def chosen(name: str, value: float, note: str) -> str:
    """One choice as YAML."""
    return f'  {name}:\n    {{value: {value!r}, unit: "", source: choice, confidence: choice,\n     note: "{note}"}}\n'


def write(folder: Path) -> Path:
    """Write the YAML file into ``folder``."""
    beams = belle2_beams()
    vector, fiducial, alp = zip(*(ratios(m, beams) for m in MASSES), strict=True)
    text = "# Computed by `python -m belle2dark.produce.gamma_vector`, see README.md.\nnumbers:\n"
    text += chosen("widest_cosine", math.cos(THETA_MIN),
                   "largest |cos theta*| of the photon of a vector in events: 0.05 rad off the beams")  # fmt: skip
    text += chosen("fiducial_cosine", FIDUCIAL, "that of fiducial cross-sections: they grow along the beams")
    text += entry("rate_mass", MASSES, "GeV", "masses of the next lists")
    text += entry("rate_vector", vector, '""', "gamma A' with radiation over tree level, photon at least 0.05 rad off the beams")
    text += entry("rate_fiducial", fiducial, '""', "the same with the photon in the fiducial angle")
    text += entry("rate_alp", alp, '""', "the same for gamma a, all angles")
    target = folder / f"{NAME}.yaml"
    target.write_text(text, encoding="utf-8")
    return target


if __name__ == "__main__":
    with as_file(data_file("README.md")) as readme:
        print(write(readme.parent))
