"""Make ``data/leptophilic_scalar_rate.yaml``: cross-sections of e+e- -> tau+ tau- phi at xi = 1.

    python -m belle2dark.produce.leptophilic

A quadrature, without random numbers, at masses between which the logarithm is smooth; two seconds.
"""

from __future__ import annotations

from importlib.resources import as_file
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from belle2dark.constants import M_TAU
from belle2dark.produce.cuts import entry
from belle2dark.simulation.tautau_phi import cross_section
from belle2dark.sourced import data_file, load_numbers

Array = NDArray[np.float64]

#: convention of the fine-structure constant: that of the search's datasets
ALPHA_CONVENTION = "physical"


def rate_masses(highest: float) -> Array:
    """Masses [GeV] of the table, from below 40 MeV to next to ``highest``, denser at both ends."""
    return np.concatenate([np.geomspace(0.03, 0.92, 15), np.linspace(1.1, 6.1, 21), highest - np.geomspace(0.8, 0.005, 18)])


def write(folder: Path) -> Path:
    """Write the YAML file into ``folder``."""
    sqrt_s = float(load_numbers("leptophilic_scalar")["sqrt_s"])
    masses = rate_masses(sqrt_s - 2.0 * M_TAU)
    rates = [cross_section(float(m), sqrt_s, alpha=ALPHA_CONVENTION) for m in masses]
    text = "# Computed by `python -m belle2dark.produce.leptophilic`, see README.md.\nnumbers:\n"
    text += entry("rate_mass", masses, "GeV", "masses of phi of the next list")
    text += entry("rate", rates, "fb", "e+e- -> tau+ tau- phi at xi = 1, with radiation; by quadrature")
    target = folder / "leptophilic_scalar_rate.yaml"
    target.write_text(text, encoding="utf-8")
    return target


if __name__ == "__main__":
    with as_file(data_file("README.md")) as readme:
        print(write(readme.parent))
