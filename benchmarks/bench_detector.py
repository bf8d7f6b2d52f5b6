"""Cost of the general detector response and of the L1 trigger, against a numpy fill of normal numbers.

Two muons alone, and two muons with four half-filled photon slots; one thread, processor time. Targets: L1 objects 300 ns.
"""

from __future__ import annotations

import numba
import numpy as np

from belle2dark.detector.experiments import BELLE2
from belle2dark.detector.observed import observe
from belle2dark.detector.response import reconstruct
from belle2dark.simulation.higgsstrahlung import generate_higgsstrahlung
from belle2dark.simulation.mumu_gamma import generate_mumu_gamma
from belle2dark.trigger.menu import load_menu
from belle2dark.trigger.objects import l1_objects
from benchmarks.timing import best

N = 20_000


def main() -> None:
    """Print nanoseconds per event."""
    numba.set_num_threads(1)
    rng, numbers, menu = np.random.default_rng(1), np.empty(10 * N), load_menu()
    fill = best(lambda: rng.standard_normal(out=numbers), 25) / N * 1e9
    print(f"numpy fill of ten normal numbers: {fill:.0f} ns/event")
    signal = generate_higgsstrahlung(6.0, 1.0, N, 1, BELLE2.beams)
    for name, events in (("two muons", signal), ("two muons and photons", generate_mumu_gamma(N, 1, BELLE2.beams))):
        objects = l1_objects(events, BELLE2, 1)
        jobs = {
            "two-muon response": lambda events=events: reconstruct(events, BELLE2, 1),
            "general response": lambda events=events: observe(events, BELLE2, 1),
            "L1 objects": lambda events=events: l1_objects(events, BELLE2, 1),
            "L1 menu": lambda objects=objects: menu.evaluate(objects),
        }
        for job, work in jobs.items():
            ns = best(work) / N * 1e9
            print(f"{name:22s} {job:18s} {ns:7.0f} ns/event, {ns / fill:.1f} x the fill")


if __name__ == "__main__":
    main()
