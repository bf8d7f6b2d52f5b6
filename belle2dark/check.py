"""Our expected limits against the published ones: what ``belle2dark check`` prints.

Like is compared with like, on the rate: a coupling that enters with the power p is raised to it. A curve is compared with
the published expected limit, or with the local median of the observed one where there is none. A *range* that a paper's
limits span over a region of masses is compared with the smallest and the largest expected median limit on a grid over
that region. The published ends belong to an observed limit, whose extremes scatter: a further line, which decides nothing,
shows the range that pseudo-experiments in all windows of the plane would span.

How near the grid comes to the kinematic edge, where limits diverge, is the rule of :mod:`belle2dark.region`: ``margin`` widths
away from it (default: the size of the window) and with half of the best efficiency kept. ``beyond`` says how the largest
limit grows where less is asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from belle2dark.point import Point, point
from belle2dark.published import PUNZI, Published, inside, load_published
from belle2dark.region import Probe, bounds, region_points
from belle2dark.search import Search

if TYPE_CHECKING:
    import pandas as pd

    from belle2dark.limits.counting import Method

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]

#: Allowed ratio of rates either way: the published efficiencies and the L1 efficiency are not public, and the response is
#: parametrised; tests of such set-ups against published sensitivities reached a median factor of 1.2, twice that at worst.
RATE_FACTOR = 1.5
#: A coupling adds the cross-section and the branching fraction that a paper's theory curve used.
THEORY_FACTOR = 1.2
#: Where the plane ends: half of the best efficiency in a row of the grid, the usual definition of an edge ...
FLOOR = 0.5
#: ... and how far beyond it the largest limit is shown, without deciding anything.
BEYOND = (0.25, 0.1)
#: From so many points on a curve may scatter from point to point, so that its local median is compared.
CURVE = 30
#: What may be a target; a number recalled or chosen may not.
TARGETS = ("published", "digitised")


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How hard to look: values per mass axis of a grid, simulated events per point, pseudo-experiments."""

    grid: int = 12
    n_events: int = 40_000
    toys: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """One end of a comparison: the published number, ours, where in the masses [GeV] it is, and their ratio as rates."""

    published: float
    ours: float
    ratio: float
    where: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One published result against ours.

    For a range ``low`` and ``high`` are its two ends, for a curve the points where ours is strongest and weakest against
    it. ``median_ratio`` is that of a curve. For information: ``pseudo`` is the range observed in pseudo-experiments in all
    windows (median of each end), ``beyond`` the largest limit if a smaller share of the best efficiency is enough.
    """

    search: str
    dataset: str
    paper: str
    quantity: str
    unit: str
    cl: float
    method: str
    kind: str
    region: str
    points: int
    low: End | None
    high: End | None
    median_ratio: float | None
    factor: float | None
    pseudo: tuple[float, float] | None
    beyond: Mapping[str, float]
    ok: bool
    verdict: str

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def effort(*, fast: bool = False, grid: int | None = None, n_events: int | None = None) -> Effort:
    """The default effort, or the ``fast`` one, with some numbers replaced."""
    base = Effort(grid=6, n_events=10_000, toys=0) if fast else Effort()
    return Effort(grid=grid or base.grid, n_events=n_events or base.n_events, toys=base.toys)


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
    regions: dict[str, tuple[tuple[Probe, ...], Sequence[pd.DataFrame]]] = {}
    out = []
    for result in load_published(search.name):
        if result.confidence not in TARGETS:
            out.append(_comparison(search, result, 0, ok=True, verdict=f"not a target: {result.confidence}"))
        elif result.range is None:
            out.append(_check_curve(search, result, work, seed, progress))
        else:
            key = repr((result.dataset, result.luminosity, result.cl, result.method, dict(result.region), result.ascending))
            if key not in regions:  # several quantities over one region share their points
                evaluate = partial(_evaluate, search, result, work, seed)
                points = tuple(region_points(search, result, evaluate, work.grid, margin, (FLOOR, *BEYOND), progress))
                regions[key] = points, _pseudo_planes(search, result, work.toys, margin, seed)
            out.append(_check_range(search, result, *regions[key], margin))
    return tuple(out)


def _given(result: Published) -> dict[str, Any]:
    """The parameters that a result fixes."""
    luminosity = {} if result.luminosity is None else {"luminosity": result.luminosity}
    return {"dataset": result.dataset} | luminosity | dict(result.parameters)


def _evaluate(search: Search, result: Published, work: Effort, seed: int, masses: Mapping[str, float]) -> Point:
    return point(
        search,
        _given(result) | dict(masses),
        cl=result.cl,
        method=cast("Method", result.method),
        seed=seed,
        n_events=work.n_events,
    )


def quantity(search: Search, result: Published) -> tuple[float, Callable[[Point], float]]:
    """Power with which the published quantity enters the rate, and our expected median of it at an open point.

    Raises ``ValueError`` if the search has neither a coupling of that name nor a limit in that unit.
    """
    names = [c.name for c in search.couplings]
    if result.quantity == PUNZI:
        return 1.0, lambda p: math.nan if p.punzi_fb is None else p.punzi_fb
    if result.quantity in names:
        k = names.index(result.quantity)
        return search.couplings[k].power, lambda p: p.couplings[k].expected[2]
    if result.unit != search.unit:
        raise ValueError(
            f"{result.paper}: {result.quantity!r} [{result.unit}] is neither {search.quantity!r} [{search.unit}] "
            f"nor one of the couplings {', '.join(names)}"
        )
    return 1.0, lambda p: p.limit[2] if p.limit else math.nan


def allowed_factor(search: Search, result: Published) -> tuple[float, float]:
    """Allowed ratio of rates, in the median and for a single point of a curve; for the ends of a range the first counts.

    The search's number ``check_factor_limit`` or ``check_factor_<coupling>``, one or two values, or the general one; for a
    dataset of its own with ``_<dataset>`` appended. A single point of a curve may be off by the square of the median's.
    """
    coupling = result.quantity in [c.name for c in search.couplings]
    own = f"check_factor_{result.quantity if coupling or result.quantity == PUNZI else 'limit'}"
    for name in (f"{own}_{result.dataset}", own):
        if name in search.numbers.entries:
            first, *rest = search.numbers[name].values
            return float(first), float(rest[0]) if rest else float(first) ** 2
    general = RATE_FACTOR * (THEORY_FACTOR if coupling else 1.0)
    return general, general**2


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
    return _comparison(
        search,
        result,
        len(points),
        rule=f"{margin:g} widths from the edge, at least {FLOOR:g} of the best efficiency",
        low=ends[0],
        high=ends[1],
        factor=factor,
        pseudo=_pseudo_range(search, result, planes),
        beyond={f"{floor:g}": max(ours(p.point) for p in probes if p.share >= floor) for floor in BEYOND},
        ok=all(1 / factor <= end.ratio <= factor for end in ends),
    )


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
        answer = _evaluate(search, result, work, seed, where)
        if answer.limit:
            ratio = (ours(answer) / float(published[k])) ** power
            ends.append(End(published=float(published[k]), ours=ours(answer), ratio=ratio, where=where))
        if progress:
            progress(done + 1, len(chosen))
    if not ends:
        raise ValueError(f"{search.name}: no open point on the curve of {result.paper}")
    ends.sort(key=lambda end: end.ratio)
    middle, (factor, single) = float(np.median([end.ratio for end in ends])), allowed_factor(search, result)
    ok = 1 / factor <= middle <= factor and 1 / single <= ends[0].ratio and ends[-1].ratio <= single
    return _comparison(search, result, len(ends), low=ends[0], high=ends[-1], median_ratio=middle, factor=factor, ok=ok)


def _comparison(
    search: Search, result: Published, points: int, *, ok: bool, rule: str = "", low: End | None = None, high: End | None = None,
    median_ratio: float | None = None, factor: float | None = None, pseudo: tuple[float, float] | None = None,
    beyond: Mapping[str, float] | None = None, verdict: str = "",
) -> Comparison:  # fmt: skip
    """The record of one comparison, the region in words."""
    limits = [f"{a:g} < {name} < {b:g} GeV" for name, (a, b) in result.region.items()]
    ascending = [" < ".join(result.ascending)] if result.ascending else []
    region = ", ".join(filter(None, [*limits, *ascending, rule]))
    return Comparison(
        search=search.name, dataset=result.dataset, paper=result.paper, quantity=result.quantity, unit=result.unit, cl=result.cl,
        method=result.method, kind="range" if result.range else "curve", region=region,
        points=points, low=low, high=high, median_ratio=median_ratio, factor=factor, pseudo=pseudo, ok=ok,
        beyond=dict(beyond or {}), verdict=verdict or ("inside" if ok else "OUTSIDE"),
    )  # fmt: skip


def local_median(values: Array, half: int = 5) -> Array:
    """Running median of a curve ``(n,)`` over ``half`` neighbours on either side, fewer at the ends."""
    return np.array([np.median(values[max(0, k - half) : k + half + 1]) for k in range(len(values))])


def _pseudo_planes(search: Search, result: Published, toys: int, margin: float, seed: int) -> list[pd.DataFrame]:
    """Limits observed in pseudo-experiments without signal, in all windows of the region; nothing unless two masses span it."""
    names = search.mass_names
    if len(names) != 2 or toys == 0:
        return []
    from belle2dark.observed import pseudo_data
    from belle2dark.plane import plane, windows

    given, dataset = _given(result), search.datasets[result.dataset]
    low, high = bounds(search, result, names[0])
    where = windows(search, given, low=low, high=high, seed=seed)
    is_open = search.window.open(where.ellipses.centres, where.covariances, dataset, margin)
    allowed = {tuple(m) for m in where.masses[is_open]}
    planes = []
    for toy in range(toys):
        events = pseudo_data(search, given, seed=seed + toy)
        method = cast("Method", result.method)
        frame = plane(search, given, observed=events, cl=result.cl, method=method, seed=seed, where=where).frame
        keep = inside(result, {name: frame[name].to_numpy() for name in names})
        planes.append(frame[keep & [m in allowed for m in zip(*(frame[name] for name in names), strict=True)]])
    return planes


def _pseudo_range(search: Search, result: Published, planes: Sequence[pd.DataFrame]) -> tuple[float, float] | None:
    """Smallest and largest observed limit of each pseudo-experiment, the median of either."""
    if not planes:
        return None
    column = f"{result.quantity}_observed" if result.quantity in [c.name for c in search.couplings] else "limit_observed"
    ends = np.array([(frame[column].min(), frame[column].max()) for frame in planes])
    return float(np.median(ends[:, 0])), float(np.median(ends[:, 1]))
