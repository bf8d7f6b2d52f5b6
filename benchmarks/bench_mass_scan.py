"""Time a scan over all masses of a search against the same masses one by one, and its parts.

Run with ``python -m benchmarks.bench_mass_scan [SEARCH]``; one line per job with the ratio inside this run and the target.
Times are of the wall, on as many threads as numba has, the masses of the loop extrapolated from a few.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np

from belle2dark.mass_frame import frame_of
from belle2dark.mass_scan import scan_masses
from belle2dark.point import point
from belle2dark.sample import simulate, summarise
from belle2dark.search import load_search

#: masses of each search (1,000 of the 2,384 published ones; all of BaBar's 2,219), and seconds allowed for all of them
JOBS = {"ditau_resonance": 1000, "dimuon_resonance": 2219}
ALLOWED = 10.0
LOOP = 8


def seconds(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def forget() -> None:
    """Nothing simulated is kept."""
    for kept in (frame_of, simulate, summarise):
        kept.cache_clear()


def run(name: str, number: int) -> None:
    """One search: cold in this process, simulated again, with what was simulated, and one mass at a time."""
    search = load_search(name)
    print(f"{name}, first call of the process: {seconds(lambda: scan_masses(search)):.1f} s", flush=True)
    grid = scan_masses(search).frame[search.mass_names[0]].to_numpy()
    masses = np.interp(np.linspace(0.0, 1.0, number), np.linspace(0.0, 1.0, len(grid)), grid)
    forget()
    busy = time.process_time()
    warm = seconds(lambda: scan_masses(search, None, masses))
    busy = time.process_time() - busy
    verdict = f"target <= {ALLOWED:g} s: {'reached' if warm <= ALLOWED else 'MISSED'}"
    took = f"{warm:.1f} s ({busy:.1f} s of processors)"
    print(f"{name}, {number} masses with simulation and bands: {took}  {verdict}", flush=True)
    again = seconds(lambda: scan_masses(search, {"luminosity": 100.0}, masses))
    print(f"{name}, the same at another luminosity: {again:.2f} s = {again / warm:.2f} x", flush=True)
    some = masses[len(masses) // 10 : -len(masses) // 10 : max(1, len(masses) // LOOP)]
    forget()
    loop = seconds(lambda: [point(search, {search.mass_names[0]: float(m)}) for m in some]) * number / len(some)
    print(f"{name}, one mass after the other: {loop:.0f} s = {loop / warm:.0f} x the scan", flush=True)


if __name__ == "__main__":
    for job in sys.argv[1:] or JOBS:
        run(job, JOBS.get(job, 1000))
