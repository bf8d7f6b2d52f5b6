"""Points of a region of masses, up to the edge where a search stops seeing its signal: where ``belle2dark check`` looks.

Towards the kinematic edge the efficiency falls to nothing and the limit grows without bound, so the largest limit of a
region depends on how far a grid goes. Two rules, both about the search and not about any published number: a point counts
if it is at least ``margin`` widths inside the kinematic boundary, and if it keeps at least the share ``floor`` of the
largest efficiency in its row of the grid (a signal almost at rest may be lost to the selection, whatever its window).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from belle2dark.point import Point
from belle2dark.published import Published, inside
from belle2dark.search import Search

Array = NDArray[np.float64]
Evaluate = Callable[[Mapping[str, float]], Point]


def bounds(search: Search, result: Published, name: str) -> tuple[float, float]:
    """Range of one mass [GeV]: the region's, or else the parameter's own."""
    declared = next(p for p in search.parameters if p.name == name)
    return result.region.get(name, (declared.low, declared.high))


def point_open(answer: Point, margin: float) -> bool:
    """Whether there is a limit and the window is at least ``margin`` widths inside the kinematic boundary."""
    if answer.simulated is None or answer.limit is None:
        return False
    centre, covariance = np.array([answer.simulated.centre]), answer.simulated.covariance[None]
    return bool(answer.search.window.open(centre, covariance, answer.dataset, margin)[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One point of the grid and the share of the largest efficiency in its row that it keeps."""

    point: Point
    share: float


def region_points(search: Search, result: Published, evaluate: Evaluate, n: int, margin: float, floors: Sequence[float],
                  progress: Callable[[int, int], None] | None = None) -> Iterator[Probe]:  # fmt: skip
    """Points of a grid, ``n`` values per mass, over the region of ``result`` with at least ``margin`` widths to the edge.

    The last mass runs, in each row, from the lowest value where the search is open to the kinematic edge; to the grid are added
    the points where the efficiency has fallen to each of ``floors``, so that a grid of any fineness sees these ends.
    """
    *outer, last = search.mass_names
    dataset = search.datasets[result.dataset]
    axes = [np.linspace(*_shrunk(*bounds(search, result, name)), n) for name in outer]
    rows = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(outer)) if outer else np.empty((1, 0))
    low, high = bounds(search, result, last)
    if last in result.region:
        low, high = _shrunk(low, high)
    for done, row in enumerate(rows):
        fixed = dict(zip(outer, map(float, row), strict=True))

        def at(value: float, fixed: Mapping[str, float] = fixed) -> dict[str, float]:
            return {**fixed, last: value}

        def kinematic(value: float, at: Callable[[float], dict[str, float]] = at) -> bool:
            return bool(inside(result, at(value))) and not search.closed(search.parse(at(value)), dataset)

        first = _first(kinematic, low, high, n)
        if first is not None:
            top = high if kinematic(high) else _last(kinematic, first, high, 1e-4 * (high - low))
            yield from _row(lambda value, at=at: evaluate(at(value)), np.linspace(first, top, n), margin, floors, last)  # type: ignore[misc]
        if progress:
            progress(done + 1, len(rows))


def _row(
    evaluate: Callable[[float], Point], grid: NDArray[np.float64], margin: float, floors: Sequence[float], last: str
) -> Iterator[Probe]:
    """One row of the grid and its ends."""
    points = [p for p in map(evaluate, map(float, grid[:-1])) if point_open(p, margin)]
    if not points:
        return

    def end(start: Point, least: float) -> Point:
        def good(value: float) -> bool:
            answer = evaluate(value)
            return point_open(answer, margin) and answer.efficiency >= least

        return evaluate(_last(good, float(start.values[last]), float(grid[-1]), 1e-3 * float(grid[-1] - grid[0])))

    points.append(end(points[-1], 0.0))
    best = max(points, key=lambda p: p.efficiency)
    points += [end(best, floor * best.efficiency) for floor in floors]
    yield from (Probe(point=p, share=p.efficiency / best.efficiency) for p in points)


def _first(good: Callable[[float], bool], low: float, high: float, n: int) -> float | None:
    """The smallest ``good`` value, by bisection below the first of a few that are; None if none is."""
    found = next((float(x) for x in np.linspace(low, high, 4 * n) if good(float(x))), None)
    if found is None or found == low:
        return found
    step = 1e-4 * (high - low)
    return _last(lambda value: not good(value), low, found, step) + step


def _last(good: Callable[[float], bool], low: float, high: float, precision: float) -> float:
    """The largest value that is ``good``, between a good and a bad one, by bisection."""
    while high - low > precision:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if good(middle) else (low, middle)
    return low


def _shrunk(low: float, high: float) -> tuple[float, float]:
    """The ends of a region, which is open, moved inside by a thousandth."""
    return low + 1e-3 * (high - low), high - 1e-3 * (high - low)
