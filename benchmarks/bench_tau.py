"""Speed of tau pairs with radiation, correlated spins and decays, against Pythia's ``next()`` in the same run.

One thread; ratios, not times, are what to quote. Target: at least 1000 for all modes together.
"""

from __future__ import annotations

import time

import numba

from belle2dark.simulation.beams import belle2_beams
from belle2dark.simulation.tau_pairs import generate_tau_pairs, generate_taus
from benchmarks.timing import best

N = 40_000
PYTHIA_EVENTS = 400
SETTINGS = ("Print:quiet = on", "Beams:idA = 11", "Beams:idB = -11", "Beams:eCM = 10.58", "PDF:lepton = on",
            "WeakSingleBoson:ffbar2gmZ = on", "WeakZ0:gmZmode = 1", "23:onMode = off", "23:onIfAny = 15")  # fmt: skip


def pythia_seconds() -> float | None:
    """Processor time per tau-pair event of Pythia [s], None without it."""
    try:
        import pythia8mc
    except ImportError:
        return None
    pythia = pythia8mc.Pythia("", False)
    for line in SETTINGS:
        pythia.readString(line)
    pythia.init()
    pythia.next()
    start = time.process_time()
    for _ in range(PYTHIA_EVENTS):
        pythia.next()
    return (time.process_time() - start) / PYTHIA_EVENTS


def main() -> None:
    """Print microseconds per event by modes, and the ratio."""
    numba.set_num_threads(1)
    beams = belle2_beams()
    print(f"undecayed pairs with radiation: {best(lambda: generate_taus(N, 1, beams)) / N * 1e6:.2f} us/event")
    times = {}
    for modes in ("mu", "pi", "rho", "3pi", "3pi_pi0", "all"):
        times[modes] = best(lambda modes=modes: generate_tau_pairs(N, 1, beams, modes, modes)) / N
        print(f"both taus to {modes}: {times[modes] * 1e6:.2f} us/event")
    pythia = pythia_seconds()
    if pythia is not None:
        print(f"Pythia next(): {pythia * 1e3:.2f} ms; ratio {pythia / times['all']:.0f} (target 1000)")


if __name__ == "__main__":
    main()
