"""How the benchmarks time: the shortest of some runs, so that other jobs of the machine count least."""

from __future__ import annotations

import time
from collections.abc import Callable


def best(work: Callable[[], object], repeats: int = 7, clock: Callable[[], float] = time.process_time) -> float:
    """Shortest of ``repeats`` calls [s of the processor; ``time.perf_counter`` for threads], after one that compiles."""
    work()
    times = []
    for _ in range(repeats):
        start = clock()
        work()
        times.append(clock() - start)
    return min(times)
