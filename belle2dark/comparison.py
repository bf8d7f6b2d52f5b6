"""Records and rules of the comparison with publications: what may be a target, in which quantity, how far off it may be.

Used by :mod:`belle2dark.check` (curves and ranges of expected limits) and :mod:`belle2dark.check_observed` (observed limits).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from belle2dark.point import Point, point
from belle2dark.published import PUNZI, Published
from belle2dark.search import Search

if TYPE_CHECKING:
    from belle2dark.limits.counting import Method

Progress = Callable[[int, int], None]
#: Allowed ratio of rates either way: the published efficiencies and the L1 efficiency are not public, and the response is
#: parametrised; tests of such set-ups against published sensitivities reached a median factor of 1.2, twice that at worst.
RATE_FACTOR = 1.5
#: A coupling adds the cross-section and the branching fraction that a paper's theory curve used.
THEORY_FACTOR = 1.2
#: What may be a target; a number recalled or chosen may not.
TARGETS = ("published", "digitised")
#: the parameter that replaces predictions by declared constants, and its two values
CALIBRATION, DECLARED, SIMULATED = "calibration", "declared", "simulated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How hard to look: values per mass axis of a grid, simulated events per point, pseudo-experiments.

    ``toys`` are thrown for a plane of two masses, for information, ``scans`` over all masses where their extremes decide.
    """

    grid: int = 12
    n_events: int = 40_000
    toys: int = 3
    scans: int = 20


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
    it. ``median_ratio`` is that of a curve; ``single`` is what is allowed at one of its points. ``pulls`` are where published
    observed limits lie in our expected band, in standard deviations. For information: ``pseudo`` is the range observed in
    pseudo-experiments in all windows (median of each end), ``beyond`` the largest limit if a smaller share of the best
    efficiency is enough, ``first_principles`` the ratios (median, lowest, highest) without declared constants.
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
    single: float | None = None
    pulls: tuple[float, ...] = ()
    first_principles: Mapping[str, float | None] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def effort(*, fast: bool = False, grid: int | None = None, n_events: int | None = None) -> Effort:
    """The default effort, or the ``fast`` one, with some numbers replaced."""
    base = Effort(grid=6, n_events=10_000, toys=0, scans=5) if fast else Effort()
    return replace(base, grid=grid or base.grid, n_events=n_events or base.n_events)


def given(search: Search, result: Published) -> dict[str, Any]:
    """The parameters that a result fixes; declared constants are used where the search has them and nothing else is said."""
    luminosity = {} if result.luminosity is None else {"luminosity": result.luminosity}
    constants = {CALIBRATION: DECLARED} if calibrated(search) else {}
    return {"dataset": result.dataset} | luminosity | constants | dict(result.parameters)


def calibrated(search: Search) -> bool:
    """Whether the search can replace predictions by declared constants."""
    return any(p.name == CALIBRATION and DECLARED in p.choices for p in search.parameters)


def evaluate(search: Search, result: Published, work: Effort, seed: int, masses: Mapping[str, float]) -> Point:
    """Our answer at ``masses``, with everything else as in the published result."""
    return point(
        search,
        given(search, result) | dict(masses),
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
        power = search.couplings[names.index(result.quantity)].power
        return power, lambda p: next((c.expected[2] for c in p.couplings if c.name == result.quantity), math.nan)
    check_unit(search, result)
    return 1.0, lambda p: p.limit[2] if p.limit else math.nan


def check_unit(search: Search, result: Published) -> None:
    """Raise ``ValueError`` unless a result that is on no coupling is in the unit of the search's limit at its parameters."""
    values = search.parse(given(search, result))
    if result.unit != search.unit_at(values):
        couplings = ", ".join(c.name for c in search.couplings)
        raise ValueError(
            f"{result.paper}: {result.quantity!r} [{result.unit}] is neither {search.quoted(values)!r} "
            f"[{search.unit_at(values)}] nor one of the couplings {couplings}"
        )


def column(search: Search, result: Published) -> str:
    """What the columns of a table of limits on the published quantity begin with. Raises ``ValueError`` as :func:`quantity`."""
    if result.quantity in [c.name for c in search.couplings]:
        return result.quantity
    check_unit(search, result)
    return "limit"


def allowed_factor(search: Search, result: Published) -> tuple[float, float]:
    """Allowed ratio of rates, in the median and for a single point of a curve; for the ends of a range the first counts.

    What the record says itself (``factors``), or else the search's number ``check_factor_limit`` or
    ``check_factor_<coupling>``, one or two values, or the general one; for a dataset of its own with ``_<dataset>`` appended.
    A single point of a curve may be off by the square of the median's.
    """
    if result.factors is not None:
        return result.factors
    coupling = result.quantity in [c.name for c in search.couplings]
    own = f"check_factor_{result.quantity if coupling or result.quantity == PUNZI else 'limit'}"
    for name in (f"{own}_{result.dataset}", own):
        if name in search.numbers.entries:
            first, *rest = search.numbers[name].values
            return float(first), float(rest[0]) if rest else float(first) ** 2
    general = RATE_FACTOR * (THEORY_FACTOR if coupling else 1.0)
    return general, general**2


def comparison(search: Search, result: Published, points: int, *, ok: bool, kind: str = "", rule: str = "",
               verdict: str = "", **found: Any) -> Comparison:  # fmt: skip
    """The record of one comparison, the region in words; ``found`` are fields of :class:`Comparison`."""
    limits = [f"{a:g} < {name} < {b:g} GeV" for name, (a, b) in result.region.items()]
    limits += [f"{name} = {min(values):g} to {max(values):g} GeV" for name, values in result.masses.items() if not result.range]
    ascending = [" < ".join(result.ascending)] if result.ascending else []
    fixed = [f"{name} = {value}" for name, value in result.parameters.items() if name != CALIBRATION]
    nothing: dict[str, Any] = dict.fromkeys(("low", "high", "median_ratio", "factor", "pseudo")) | {"beyond": {}}
    return Comparison(
        search=search.name, dataset=result.dataset, paper=result.paper, quantity=result.quantity, unit=result.unit, cl=result.cl,
        method=result.method, kind=kind or ("range" if result.range else "curve"),
        region=", ".join(filter(None, [*fixed, *limits, *ascending, rule])), points=points, ok=ok,
        verdict=verdict or ("inside" if ok else "OUTSIDE"), **(nothing | found),
    )  # fmt: skip
