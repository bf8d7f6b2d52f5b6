"""Limits on a rate as limits on a coupling, also where the coupling decides how much of the signal is seen.

A coupling c gives the rate unit_rate c^power, of which a share ``kept(c)`` (of arrays) is seen (1 unless decays are far away).
Excluded is where the product is above the limit: from the first crossing on, up to the largest coupling that makes sense or
the crossing where the signal is lost again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from belle2dark.lifetime_path import DECADES, STEPS
from belle2dark.search import Coupling

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CouplingLimit:
    """A limit on one coupling: expected quantiles (-2 to +2 sigma), observed, and excluded intervals.

    A quantile that excludes nothing, because decays are never seen where the rate would be enough, is NaN (observed: None).
    """

    name: str
    unit: str
    expected: tuple[float, ...]
    observed: float | None
    excluded: tuple[tuple[float, float], ...]


def coupling_limit(coupling: Coupling, unit_rate: float, limit: Sequence[float], observed: float | None,
                   kept: Callable[[Array], Array] | None = None) -> CouplingLimit:  # fmt: skip
    """Limits on the rate [fb] that is seen as limits on a coupling whose rate is ``unit_rate`` [fb] times its power.

    Without ``kept`` all of it is seen.
    """
    values = tuple(limit) if observed is None else (*limit, observed)
    found: list[tuple[tuple[float, float], ...]] = [(((x / unit_rate) ** (1 / coupling.power), coupling.high),) for x in values]
    if kept is not None:
        found = _solved(coupling, unit_rate, np.array(values), kept)
    first = tuple(intervals[0][0] for intervals in found)
    excluded = tuple(i for i in found[len(limit) // 2 if observed is None else -1] if i[0] < i[1])
    seen = None if observed is None or np.isnan(first[-1]) else first[-1]
    return CouplingLimit(name=coupling.name, unit=coupling.unit, expected=first[: len(limit)], observed=seen, excluded=excluded)


def _solved(coupling: Coupling, unit_rate: float, limits: Array,
            kept: Callable[[Array], Array]) -> list[tuple[tuple[float, float], ...]]:  # fmt: skip
    """Excluded intervals of the coupling for each rate limit; one of NaN where nothing is excluded."""
    lossless = (limits / unit_rate) ** (1 / coupling.power)
    top = max(coupling.high, 1e3 * float(lossless.max()))
    grid = np.geomspace(max(1e-2 * float(lossless.min()), 10.0**-DECADES * top), top, STEPS)
    seen = np.log(np.maximum(unit_rate * grid**coupling.power * kept(grid), 1e-300))
    found = []
    for limit in limits:
        above = seen > np.log(limit)
        cross = np.flatnonzero(above[1:] != above[:-1])
        step = (np.log(limit) - seen[cross]) / (seen[cross + 1] - seen[cross])
        ends = list(np.exp(np.log(grid[cross]) + step * np.log(grid[1] / grid[0])))
        if above[0]:
            ends.insert(0, grid[0])
        if len(ends) % 2:
            ends.append(coupling.high)
        pairs = tuple((float(a), float(min(b, coupling.high))) for a, b in zip(ends[::2], ends[1::2], strict=True))
        found.append(pairs or ((np.nan, np.nan),))
    return found
