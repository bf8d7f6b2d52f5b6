"""What more luminosity brings: the expected limit of one point at any luminosity, and what would change it.

:func:`project` scales one evaluated point, without a new simulation; :func:`compare` puts several set-ups side by side (L1
lines, dataset, selection, a factor on the efficiency), each a :class:`Switch`, at the same masses.

The systematic uncertainties of the future are an assumption, one of :data:`belle2dark.point.SYSTEMATICS`: as today, shrinking
like 1/sqrt(L) from the luminosity of the dataset on, or doing so down to the share FLOOR of today's. The error of the simulated
background follows the same assumption: an experiment simulates more as it collects more.

Not included: other beam backgrounds, energies or L1 prescales than those of the dataset; cuts that are optimised again for
each luminosity (the published ones are tighter than much data needs, so that reaches with much background are cautious);
muons identified without the KLM. The background templates hold what the KLM identified: nothing below its turn-on or outside
its angles, which a calorimeter would add, and no pions, which it takes for muons; weighting them anew would miss both. A known
factor on signal and background is ``Switch(corrections={"muon identification": 0.9})``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import PchipInterpolator

from belle2dark._jit import threads
from belle2dark.answer import N_EVENTS, SEED, Array, Point, shapes_at, template_error_at, uncertainties_at
from belle2dark.limits.bands import expected_upper_limits
from belle2dark.limits.counting import Method
from belle2dark.point import point
from belle2dark.point_limits import couplings_at
from belle2dark.scaling import Systematics, check_systematics
from belle2dark.scan import BAND
from belle2dark.search import Dataset, Search
from belle2dark.sourced import Sourced

if TYPE_CHECKING:
    import pandas as pd

#: luminosities at which a fit that throws toys is done; between them its limits are smooth powers
NODES = 7
#: luminosities [fb-1] at which set-ups are compared: 1, 10 and 50 ab-1
AT = (1e3, 1e4, 5e4)
#: luminosities [fb-1] of a curve
GRID = np.geomspace(1.0, 5e4, 25)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Projection:
    """Expected limits at n luminosities [fb-1], quantiles -2 .. +2 sigma.

    ``rate`` (n, 5) is the limit on the produced rate [fb], ``limit`` (n, 5) what the search quotes (``quantity``, in ``unit``),
    ``couplings`` the same per coupling, ``background`` (n,) the events expected in the window.
    """

    luminosity: Array
    background: Array
    rate: Array
    limit: Array
    couplings: Mapping[str, Array]
    systematics: Systematics
    quantity: str
    unit: str
    cl: float
    method: Method

    def frame(self) -> pd.DataFrame:
        """A tidy table: ``luminosity``, ``background``, ``limit_minus2`` ... ``limit_plus2``, the same per coupling."""
        import pandas as pd

        columns: dict[str, Any] = {"luminosity": self.luminosity, "background": self.background}
        for name, values in {"limit": self.limit, **self.couplings}.items():
            columns |= {f"{name}_{band}": values[:, k] for k, band in enumerate(BAND)}
        return pd.DataFrame(columns)


def project(answer: Point, luminosities: ArrayLike, *, systematics: Systematics | None = None) -> Projection:
    """The expected limits of a point at ``luminosities`` (n,) [fb-1]; ``systematics`` default to the point's own assumption.

    Raises ``ValueError`` for a closed point, a luminosity that is out of range and an unknown assumption.
    """
    if answer.limit is None:
        raise ValueError(f"{answer.search.name}: no projection where there is no limit: {answer.reason}")
    assumed = answer.systematics if systematics is None else check_systematics(systematics)
    luminosity = check_luminosities(answer.search, luminosities)
    answer = replace(answer, systematics=assumed)
    with threads(1):
        rate = _counted(answer, luminosity) if answer.shapes is None else _fitted(answer, luminosity)
    seen = answer.search.per_rate(answer.values, answer.efficiency)
    couplings = couplings_at(answer, tuple(rate.ravel()))
    return Projection(
        luminosity=luminosity,
        background=luminosity * sum(p.fb for p in answer.processes),
        rate=rate,
        limit=seen * rate,
        couplings={c.name: np.reshape(c.expected, rate.shape) for c in couplings},
        systematics=assumed,
        quantity=answer.quantity,
        unit=answer.unit,
        cl=answer.cl,
        method=answer.method,
    )


def check_luminosities(search: Search, luminosities: ArrayLike) -> Array:
    """Luminosities (n,) [fb-1] inside the range that the search declares; ``ValueError`` names one that is not."""
    values = np.atleast_1d(np.asarray(luminosities, dtype=float))
    knob = next(p for p in search.parameters if p.name == "luminosity")
    if values.ndim != 1 or not len(values):
        raise ValueError(f"luminosities: shape {values.shape}: needs a list of numbers [{knob.unit}]")
    for value in values[~((values >= knob.low) & (values <= knob.high))]:
        raise ValueError(
            f"luminosity = {value:g} {knob.unit}: outside the allowed range {knob.low:g} to {knob.high:g} {knob.unit}"
        )
    return values


def _counted(answer: Point, luminosity: Array) -> Array:
    """Limits on the rate (n, 5) [fb] from counts in the window."""
    used = [uncertainties_at(answer, x) for x in luminosity]
    background = luminosity * sum(p.fb for p in answer.processes)
    simulated = np.array([template_error_at(answer, x) for x in luminosity])
    events = np.empty((len(luminosity), len(BAND)))
    for kind in set(used):  # all luminosities with the same uncertainties at once
        rows = np.array([u == kind for u in used])
        events[rows] = expected_upper_limits(background[rows], cl=answer.cl, method=answer.method, uncertainties=kind,
                                             background_mc=simulated[rows])  # fmt: skip
    return events * (1.0 / (luminosity * answer.efficiency))[:, None]


def _fitted(answer: Point, luminosity: Array) -> Array:
    """Limits on the rate (n, 5) [fb] from fits; with toys at NODES luminosities only, and between them on powers."""

    def limit(x: float) -> tuple[float, ...]:
        shapes, fit = shapes_at(answer, x), answer.dataset.fit
        assert shapes is not None and fit is not None
        return fit.limit(shapes, x, cl=answer.cl, method=answer.method, uncertainties=uncertainties_at(answer, x))[0]

    if answer.method == "cls" or len(luminosity) <= NODES:
        return np.array([limit(float(x)) for x in luminosity])
    return interpolated(limit, luminosity)


def interpolated(limit: Callable[[float], tuple[float, ...]], luminosity: Array) -> Array:
    """``limit`` at NODES luminosities over the range of ``luminosity`` (n,), monotone cubic in both logarithms, (n, q)."""
    nodes = np.geomspace(luminosity.min(), luminosity.max(), NODES)
    values = np.log([limit(float(x)) for x in nodes])
    return np.asarray(np.exp(PchipInterpolator(np.log(nodes), values)(np.clip(np.log(luminosity), *np.log(nodes[[0, -1]])))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """One change of set-up: parameters that are no masses (``dataset``, ``selection``), L1 ``lines``, efficiency factors.

    ``corrections`` are factors on signal and background alike, beside those of the dataset (a better or worse
    identification). Nothing given is the set-up as it is.
    """

    name: str
    values: Mapping[str, Any] = field(default_factory=dict)
    lines: tuple[str, ...] | None = None
    corrections: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """Points of the same masses, one per switch, and their projections (``None`` where there is no limit); the first is the
    one that gains are given against."""

    switches: tuple[Switch, ...]
    answers: tuple[Point, ...]
    projections: tuple[Projection | None, ...]

    def table(self, at: Sequence[float] = AT) -> list[dict[str, Any]]:
        """One row per switch: efficiency, background [fb], and at each luminosity [fb-1] the limit on the rate [fb] and by what
        factor it is better than that of the first switch (``None`` where there is no limit)."""
        limits = [_medians(a, p, at) for a, p in zip(self.answers, self.projections, strict=True)]
        rows = []
        for switch, answer, found in zip(self.switches, self.answers, limits, strict=True):
            row: dict[str, Any] = {
                "switch": switch.name,
                "efficiency": answer.efficiency,
                "background_fb": sum(p.fb for p in answer.processes),
                "reason": answer.reason,
            }
            for k, x in enumerate(at):
                first = limits[0]
                row[f"limit_{x:g}"] = None if found is None else float(found[k])
                row[f"gain_{x:g}"] = None if found is None or first is None else float(first[k] / found[k])
            rows.append(row)
        return rows


def _medians(answer: Point, found: Projection | None, at: Sequence[float]) -> Array | None:
    """Median limits on the rate [fb] at other luminosities than those projected."""
    return None if found is None else project(answer, at, systematics=found.systematics).rate[:, BAND.index("median")]


def compare(
    search: Search,
    given: Mapping[str, Any] | None = None,
    switches: Sequence[Switch] | None = None,
    luminosities: ArrayLike | None = None,
    *,
    systematics: Systematics = "constant",
    cl: float | None = None,
    method: Method | None = None,
    seed: int = SEED,
    n_events: int = N_EVENTS,
) -> Comparison:
    """The same masses with one switch after the other, projected to ``luminosities`` (n,) [fb-1].

    Without ``switches`` the :func:`usual_switches`, without ``luminosities`` 1 fb-1 to 50 ab-1. Confidence level and method are
    those given, or of the first switch's dataset, for all. Raises ``ValueError`` for fewer than
    two switches, a name used twice and a switch that changes a mass or the luminosity.
    """
    check_systematics(systematics)
    grid = check_luminosities(search, GRID if luminosities is None else luminosities)
    switches = usual_switches(search, given) if switches is None else switches
    names = [switch.name for switch in switches]
    if len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(f"switches = {', '.join(names) or 'none'}: needs at least two, each with its own name")
    for switch in switches:
        if fixed := sorted({*search.mass_names, "luminosity"} & set(switch.values)):
            raise ValueError(f"switch {switch.name!r}: {fixed[0]} is the same for all that is compared")
    first = search.parse({**(given or {}), **switches[0].values})
    dataset = search.datasets[str(first["dataset"])]
    cl, method = search.cl_at(first) if cl is None else cl, method or dataset.method
    answers = tuple(
        point(corrected(search, tuple(s.corrections.items())), {**(given or {}), **s.values}, lines=s.lines, cl=cl, method=method,
              seed=seed, n_events=n_events, systematics=systematics)
        for s in switches
    )  # fmt: skip
    projections = tuple(None if a.limit is None else project(a, grid) for a in answers)
    return Comparison(switches=tuple(switches), answers=answers, projections=projections)


@lru_cache(maxsize=16)
def corrected(search: Search, corrections: tuple[tuple[str, float], ...]) -> Search:
    """The search with more efficiency factors in all its datasets, the same object for the same factors.

    Raises ``ValueError`` for a factor that is not above 0 and finite.
    """
    if not corrections:
        return search
    added = {}
    for name, factor in corrections:
        if not 0.0 < factor < np.inf:
            raise ValueError(f"corrections: {name} = {factor:g}: must be above 0 and finite")
        # a name of its own: it must not replace what the detector or the dataset call the same
        added[f"switch: {name}"] = Sourced(value=float(factor), unit="", source="choice", confidence="choice", note="a switch")

    def more(dataset: Dataset) -> Dataset:
        return replace(dataset, corrections={**dataset.corrections, **added})

    def all_of(part: Search) -> Search:
        return replace(part, datasets={name: more(dataset) for name, dataset in part.datasets.items()},
                       variants={name: all_of(variant) for name, variant in part.variants.items()})  # fmt: skip

    return all_of(search)


def usual_switches(search: Search, given: Mapping[str, Any] | None = None) -> tuple[Switch, ...]:
    """The set-up as given, the sets of L1 lines of other datasets of the same experiment, and other selections.

    A parameter with choices that is called ``selection`` counts as one, and a choice with the same cuts as another (a default
    that stands for one of them) only once. The first is the set-up as given.
    """
    values = search.parse(given or {})
    here = search.datasets[str(values["dataset"])]
    chosen = str(values.get("selection", ""))
    found = [Switch(name=_named(here.lines, chosen))]
    for dataset in search.datasets.values():
        new = dataset.detector.name == here.detector.name and all(set(dataset.lines) != set(s.lines or here.lines) for s in found)
        if new:
            found.append(Switch(name=_named(dataset.lines, chosen), lines=dataset.lines))
    known = [search.selection(values)]
    for choice in next((p.choices for p in search.parameters if p.name == "selection"), ()):
        cuts = search.selection({**values, "selection": choice})
        if cuts not in known:
            known.append(cuts)
            found.append(Switch(name=_named(here.lines, str(choice)), values={"selection": choice}))
    return tuple(found)


def _named(lines: Sequence[str], selection: str) -> str:
    return " + ".join(lines) + (f", {selection}" if selection else "")
