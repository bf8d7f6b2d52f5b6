"""Cross-sections of mu+ mu- X over masses for the models of ``ditau_resonance``: ``data/ditau_resonance_rate.yaml``.

    python -m belle2dark.produce.ditau [FOLDER]

By quadrature, with radiation off the beams, at unit coupling and the fine-structure constant of the published theory. No
published limit enters.
"""

from __future__ import annotations

import sys
from importlib.resources import as_file
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from belle2dark.constants import M_MUON
from belle2dark.produce.cuts import entry
from belle2dark.simulation.amplitudes.couplings import NONE
from belle2dark.simulation.lepton_pair_x_rate import cross_section
from belle2dark.simulation.mumu_x_tautau import MODELS, Mediator
from belle2dark.sourced import data_file, load_numbers

#: the convention of :data:`belle2dark.constants.ALPHA` that the table is made with
ALPHA_NAME = "madgraph"
_TITLES = {"zprime": "g' = 1", "leptophilic": "xi = 1", "alp": "C/Lambda = 1 per TeV"}


def masses(highest: float) -> NDArray[np.float64]:
    """Masses [GeV] of the table, from below two taus to next to ``highest``, denser there."""
    return np.concatenate([np.linspace(3.4, 9.8, 33), highest - np.geomspace(0.4, 0.003, 16)])


def rates(made: Mediator, sqrt_s: float, nodes: NDArray[np.float64], *, beams: bool = True) -> list[float]:
    """Cross-sections [fb] at ``nodes`` [GeV]; with ``beams`` False X comes off the muons alone."""
    electron = made.electron if beams else NONE
    return [cross_section(float(m), made.muon, sqrt_s, electron_coupling=electron, alpha=ALPHA_NAME, isr=True) for m in nodes]


def write(folder: Path) -> Path:
    """Make the table and write it as YAML."""
    sqrt_s = float(load_numbers("ditau_resonance")["sqrt_s"])
    nodes = masses(sqrt_s - 2.0 * M_MUON)
    text = "# Computed by `python -m belle2dark.produce.ditau`, see README.md.\nnumbers:\n"
    text += entry("mass", nodes, "GeV", "masses of X of the next lists")
    for name, made in MODELS.items():
        note = f"e+e- -> mu+ mu- X at {_TITLES[name]}, with radiation, alpha = 1/127.9; by quadrature"
        text += entry(f"rate_{name}", rates(made, sqrt_s, nodes), "fb", note)
        if not made.electron.is_zero:
            text += entry(f"muons_{name}", rates(made, sqrt_s, nodes, beams=False), "fb", "the same, X off the muons alone")
    target = folder / "ditau_resonance_rate.yaml"
    target.write_text(text, encoding="utf-8")
    return target


if __name__ == "__main__":
    with as_file(data_file("README.md")) as readme:
        print(write(Path(sys.argv[1]) if len(sys.argv) > 1 else readme.parent))
