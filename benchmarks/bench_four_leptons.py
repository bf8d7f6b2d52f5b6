"""Speed of the four-lepton generators: microseconds per event on one thread, and what an event is worth.

The ratio to quote is that of the amplitude to a numpy fill of the random variates of the same events (16 uniform numbers);
``n_effective`` is how many unweighted events one weighted event is worth.
"""

from __future__ import annotations

from collections.abc import Callable

import numba
import numpy as np

from belle2dark.constants import M_MUON
from belle2dark.simulation.amplitudes.four_leptons import PHOTON, four_leptons_squared, vector_boson
from belle2dark.simulation.beams import belle2_beams
from belle2dark.simulation.events import Events
from belle2dark.simulation.four_leptons import generate_four_muons, generate_mumutautau, generate_resonant_four_leptons
from belle2dark.simulation.phase_space import phase_space
from benchmarks.timing import best

N, UNIFORMS = 40_000, 16


def main() -> None:
    """Print one line per generator."""
    numba.set_num_threads(1)
    micro = 1e6 / N  # us per event
    beams, rng, variates = belle2_beams(), np.random.default_rng(1), np.empty(UNIFORMS * N)
    floor = micro * best(lambda: rng.random(out=variates))
    momenta = phase_space(N, 1, beams.sqrt_s, (M_MUON,) * 4)
    qed, muons = (PHOTON,), (M_MUON, M_MUON)
    amplitude = micro * best(lambda: four_leptons_squared(momenta.momenta, muons, True, qed))
    space = micro * best(lambda: phase_space(N, 1, beams.sqrt_s, (M_MUON,) * 4))
    print(f"numpy fill of {UNIFORMS} variates {floor:.2f} us; flat four-body phase space {space:.2f} us")
    print(f"4 mu amplitude (12 graphs, 16 helicities) {amplitude:.2f} us = {amplitude / floor:.0f} x the fill")
    boson = vector_boson(1.0, 1e-4, (0.1, 0.0), (0.1, 0.0))
    generators: dict[str, Callable[[], Events]] = {
        "four muons": lambda: generate_four_muons(N, 1, beams),
        "four muons, no radiation": lambda: generate_four_muons(N, 1, beams, isr=False),
        "mu mu tau tau": lambda: generate_mumutautau(N, 1, beams),
        "mu mu Z', Z' to mu mu": lambda: generate_resonant_four_leptons(N, 1, beams, boson),
    }
    for name, generate in generators.items():
        w = generate().weights
        effective, largest = w.sum() ** 2 / (w**2).sum() / N, w.mean() / w.max()
        print(f"{name:26s} {micro * best(generate):.2f} us/event, n_effective {effective:.2f}, mean/max weight {largest:.3f}")


if __name__ == "__main__":
    main()
