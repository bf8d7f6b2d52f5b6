"""Make ``data/dimuon_resonance_rate.yaml``: cross-sections of e+e- -> mu+ mu- X at unit coupling, for the search of X -> mu+ mu-.

    python -m belle2dark.produce.dimuon

A quadrature, without random numbers, at masses between which the logarithm is smooth; two seconds.
"""

from __future__ import annotations

from importlib.resources import as_file
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from belle2dark.constants import M_MUON
from belle2dark.produce.cuts import entry
from belle2dark.simulation.amplitudes.couplings import LeptonCoupling
from belle2dark.simulation.lepton_pair_x_rate import cross_section
from belle2dark.sourced import data_file, load_numbers

Array = NDArray[np.float64]

#: what a model's mediator couples to muons with
COUPLINGS = {"zprime": LeptonCoupling(vector=1.0), "muonphilic": LeptonCoupling(scalar=1.0)}
#: convention of the fine-structure constant: that of the model files behind the published limits
ALPHA_CONVENTION = "madgraph"


def rate_masses(highest: float) -> Array:
    """Masses [GeV] of the table, from just below twice the muon mass to next to ``highest``, denser at both ends."""
    return np.concatenate([np.geomspace(0.21, 0.95, 14), np.linspace(1.1, 9.3, 42), highest - np.geomspace(0.95, 0.01, 14)])


def write(folder: Path) -> Path:
    """Write the YAML file into ``folder``."""
    sqrt_s = float(load_numbers("dimuon_resonance")["sqrt_s"])
    masses = rate_masses(sqrt_s - 2.0 * M_MUON)
    text = "# Computed by `python -m belle2dark.produce.dimuon`, see README.md.\nnumbers:\n"
    text += entry("rate_mass", masses, "GeV", "masses of X of the next lists")
    for model, coupling in COUPLINGS.items():
        rates = [cross_section(float(m), coupling, sqrt_s, alpha=ALPHA_CONVENTION) for m in masses]
        text += entry(f"rate_{model}", rates, "fb", "e+e- -> mu+ mu- X at unit coupling, with radiation; by quadrature")
    target = folder / "dimuon_resonance_rate.yaml"
    target.write_text(text, encoding="utf-8")
    return target


if __name__ == "__main__":
    with as_file(data_file("README.md")) as readme:
        print(write(readme.parent))
