"""Speed of the dark Higgsstrahlung chain (generate, smear, accept, masses) against a numpy fill of the same random variates.

Both run on one thread in this process; ratios, not times, are what to quote. Target: at most 1.0.
"""

from __future__ import annotations

import time

import numba
import numpy as np

from belle2dark.constants import M_MUON
from belle2dark.detector.dilepton import COLUMNS, _columns
from belle2dark.detector.experiments import BELLE2
from belle2dark.detector.response import _reconstruct
from belle2dark.simulation.higgsstrahlung import _generate, _radiation_table
from benchmarks.timing import best

N = 40_000  # events of one parameter point
#: random numbers per event: 2 normals of beam spread and 6 of smearing; 2 uniforms of radiation, 4 each for production
#: and decay angle, 2 azimuths, 1 choice between the beam currents
NORMALS, UNIFORMS = 8, 13


def main() -> None:
    """Print nanoseconds per event and the ratio."""
    numba.set_num_threads(1)
    beams, response = BELLE2.beams, BELLE2.response()
    minus, plus, weights = np.empty((N, 4)), np.empty((N, 4)), np.empty(N)
    tracks, factors, columns = np.empty((N, 2, 3)), np.empty((3, N)), np.empty((len(COLUMNS), N))
    table, key = _radiation_table(beams.sqrt_s), np.uint64(1)

    def chain() -> None:
        _generate(6.0, 1.0, M_MUON, beams.kernel, table, 80.0, key, minus, plus, weights)
        _reconstruct(minus, plus, key, response, tracks, *factors)
        _columns(tracks, beams.electron, beams.positron, M_MUON, M_MUON, columns)

    rng = np.random.default_rng(1)
    normals, uniforms = np.empty((NORMALS, N)), np.empty(UNIFORMS * N)

    def fill() -> None:
        rng.standard_normal(out=normals)
        rng.random(out=uniforms)

    ours, floor = best(chain, 25), best(fill, 25)
    print(f"A'h' generate + fast-simulate, 1 thread: {ours / N * 1e9:.0f} ns/event; numpy fill of the same variates "
          f"{floor / N * 1e9:.0f} ns; ratio {ours / floor:.2f} (target 1.0)")  # fmt: skip
    if numba.config.NUMBA_NUM_THREADS > 1:
        one = weights.copy()
        numba.set_num_threads(2)
        two = best(chain, 25, time.perf_counter)
        print(f"two threads: {ours / two:.2f} x one (target 1.8), bit-identical: {np.array_equal(one, weights)}")


if __name__ == "__main__":
    main()
