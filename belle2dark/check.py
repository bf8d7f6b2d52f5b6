"""Our expected limits against the published ones: what ``belle2dark check`` prints.

Like is compared with like, on the rate: a coupling that enters with the power p is raised to it. A curve is compared with
the published expected limit, or with the local median of the observed one where there is none; from fewer than 30 points
none is taken, and each counts. A *range* that a paper's limits span over a region of masses is compared with the smallest
and the largest expected median limit on a grid over that region; where the published record says that its ends are those
of an observed curve over thousands of masses, with pseudo-experiments (:mod:`belle2dark.check_observed`), as are observed
limits where only their pulls in our band are asked for. In a plane of two masses pseudo-experiments are shown and decide
nothing. Where a search has declared constants the verdict is made with them, and what the simulation alone gives is shown.

How near the grid comes to the kinematic edge, where limits diverge, is the rule of :mod:`belle2dark.region`: ``margin`` widths
away from it (default: the size of the window) and with half of the best efficiency kept. ``beyond`` says how the largest
limit grows where less is asked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from belle2dark.check_observed import check_extremes, check_pulls
from belle2dark.comparison import (
    CALIBRATION,
    SIMULATED,
    TARGETS,
    Comparison,
    Effort,
    End,
    Progress,
    allowed_factor,
    calibrated,
    column,
    comparison,
    evaluate,
    given,
    quantity,
)
from belle2dark.published import Published, inside, load_published
from belle2dark.region import Probe, bounds, region_points
from belle2dark.search import Search

if TYPE_CHECKING:
    import pandas as pd

    from belle2dark.limits.counting import Method

Array = NDArray[np.float64]
#: points of a region and pseudo-experiments in it, shared by several quantities
Regions = dict[str, tuple[tuple[Probe, ...], "Sequence[pd.DataFrame]"]]

#: Where the plane ends: half of the best efficiency in a row of the grid, the usual definition of an edge ...
FLOOR = 0.5
#: ... and how far beyond it the largest limit is shown, without deciding anything.
BEYOND = (0.25, 0.1)
#: From so many points on a curve may scatter from point to point, so that its local median is compared.
CURVE = 30


def check_search(
    search: Search,
    work: Effort | None = None,
    /,
    *,
    margin: float | None = None,
    seed: int = 1,
    progress: Progress | None = None,
) -> tuple[Comparison, ...]:
    """Compare with every published result of ``search``.

    Raises ``ValueError`` for a margin that is not a number of 0 or more."""
    if margin is not None and not (margin >= 0 and math.isfinite(margin)):
        raise ValueError(f"margin = {margin}: allowed: 0 or more widths")
    work = work or Effort()
    margin = search.window.n_sigma if margin is None else margin
    regions: Regions = {}
    out = []
    for result in load_published(search.name):
        if result.confidence not in TARGETS:
            out.append(comparison(search, result, 0, ok=True, verdict=f"not a target: {result.confidence}"))
            continue
        found = _check(search, result, work, margin, seed, progress, regions)
        if calibrated(search) and CALIBRATION not in result.parameters:
            alone = replace(result, parameters=MappingProxyType({**result.parameters, CALIBRATION: SIMULATED}))
            found = replace(found, first_principles=_ratios(_check(search, alone, work, margin, seed, progress, regions)))
        if result.compare == "described":
            found = replace(found, ok=True, factor=None, single=None, verdict="described, not a target")
        out.append(found)
    return tuple(out)


def _check(search: Search, result: Published, work: Effort, margin: float, seed: int, progress: Progress | None,
           regions: Regions) -> Comparison:  # fmt: skip
    """One published result against ours."""
    if result.compare == "pulls":
        return check_pulls(search, result, work, seed, progress)
    if result.observed_extremes:
        return check_extremes(search, result, work, margin, seed)
    if result.range is None:
        return _check_curve(search, result, work, seed, progress)
    key = repr((given(search, result), result.cl, result.method, dict(result.region), result.ascending))
    if key not in regions:
        ours = partial(evaluate, search, result, work, seed)
        points = tuple(region_points(search, result, ours, work.grid, margin, (FLOOR, *BEYOND), progress))
        regions[key] = points, _pseudo_planes(search, result, work.toys, margin, seed)
    return _check_range(search, result, *regions[key], margin)


def _ratios(found: Comparison) -> Mapping[str, float | None]:
    """Median, lowest and highest ratio of a comparison."""
    low, high = (None if end is None else end.ratio for end in (found.low, found.high))
    return {"median_ratio": found.median_ratio, "low": low, "high": high}


def _check_range(
    search: Search, result: Published, probes: Sequence[Probe], planes: Sequence[pd.DataFrame], margin: float
) -> Comparison:
    """The smallest and the largest expected limit over a region against the published ends."""
    power, ours = quantity(search, result)
    points = [p.point for p in probes if p.share >= FLOOR]
    if not points or result.range is None:
        raise ValueError(f"{search.name}: no open point in the region of {result.paper}")
    ends = []
    for published, best in zip(result.range, (min(points, key=ours), max(points, key=ours)), strict=True):
        where = {name: float(best.values[name]) for name in search.mass_names}
        ends.append(End(published=published, ours=ours(best), ratio=(ours(best) / published) ** power, where=where))
    factor, _ = allowed_factor(search, result)
    return comparison(
        search,
        result,
        len(points),
        rule=f"{margin:g} widths from the edge, at least {FLOOR:g} of the best efficiency",
        low=ends[0],
        high=ends[1],
        factor=factor,
        pseudo=_pseudo_range(search, result, planes),
        beyond={f"{floor:g}": max(ours(p.point) for p in probes if p.share >= floor) for floor in BEYOND},
        ok=(1 / factor <= ends[0].ratio and ends[1].ratio <= factor if result.compare == "within"
            else all(1 / factor <= end.ratio <= factor for end in ends)),
    )  # fmt: skip


def _check_curve(search: Search, result: Published, work: Effort, seed: int, progress: Progress | None) -> Comparison:
    """A curve point by point: the median of the ratios and every single one inside the allowed factors."""
    power, ours = quantity(search, result)
    published = np.array(result.expected or result.observed)
    if not result.expected and len(published) >= CURVE:
        published = local_median(published)
    step = max(1, len(published) // (4 * work.grid))
    ends: list[End] = []
    chosen = range(0, len(published), step)
    for done, k in enumerate(chosen):
        where = {name: float(values[k]) for name, values in result.masses.items()}
        answer = evaluate(search, result, work, seed, where)
        if np.isfinite(ours(answer)):
            ratio = (ours(answer) / float(published[k])) ** power
            ends.append(End(published=float(published[k]), ours=ours(answer), ratio=ratio, where=where))
        if progress:
            progress(done + 1, len(chosen))
    if not ends:
        raise ValueError(f"{search.name}: no open point on the curve of {result.paper}")
    ends.sort(key=lambda end: end.ratio)
    middle, (factor, single) = float(np.median([end.ratio for end in ends])), allowed_factor(search, result)
    ok = 1 / factor <= middle <= factor and 1 / single <= ends[0].ratio and ends[-1].ratio <= single
    return comparison(search, result, len(ends), low=ends[0], high=ends[-1], median_ratio=middle, factor=factor,
                      single=single, ok=ok)  # fmt: skip


def local_median(values: Array, half: int = 5) -> Array:
    """Running median of a curve ``(n,)`` over ``half`` neighbours on either side, fewer at the ends."""
    return np.array([np.median(values[max(0, k - half) : k + half + 1]) for k in range(len(values))])


def _pseudo_planes(search: Search, result: Published, toys: int, margin: float, seed: int) -> list[pd.DataFrame]:
    """Limits observed in pseudo-experiments without signal, in all windows; nothing unless a mass and a recoil span it."""
    names = search.mass_names
    if len(names) != 2 or toys == 0 or search.window.y != "recoil_mass_squared":
        return []
    from belle2dark.observed import pseudo_data
    from belle2dark.plane import plane, windows

    fixed, dataset = given(search, result), search.datasets[result.dataset]
    low, high = bounds(search, result, names[0])
    where = windows(search, fixed, low=low, high=high, seed=seed)
    is_open = search.window.open(where.ellipses.centres, where.covariances, dataset, margin)
    allowed = {tuple(m) for m in where.masses[is_open]}
    planes = []
    for toy in range(toys):
        events = pseudo_data(search, fixed, seed=seed + toy)
        method = cast("Method", result.method)
        frame = plane(search, fixed, observed=events, cl=result.cl, method=method, seed=seed, where=where).frame
        keep = inside(result, {name: frame[name].to_numpy() for name in names})
        planes.append(frame[keep & [m in allowed for m in zip(*(frame[name] for name in names), strict=True)]])
    return planes


def _pseudo_range(search: Search, result: Published, planes: Sequence[pd.DataFrame]) -> tuple[float, float] | None:
    """Smallest and largest observed limit of each pseudo-experiment, the median of either."""
    if not planes:
        return None
    seen = f"{column(search, result)}_observed"
    ends = np.array([(frame[seen].min(), frame[seen].max()) for frame in planes])
    return float(np.median(ends[:, 0])), float(np.median(ends[:, 1]))
