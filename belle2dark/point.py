"""The answer at one parameter point: efficiency, background, limit and couplings.

:func:`point` is the straight line of the package. Only masses simulate; the simulated sample of a point, and the
background that its window contains, are kept for the next call, so that couplings, luminosity, L1 lines, confidence
level and method answer in milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from belle2dark._jit import threads
from belle2dark.final_states import final_state
from belle2dark.fitting import Histograms, fit_limit, histograms
from belle2dark.limits.bands import expected_median
from belle2dark.limits.combination import Breakdown, breakdown
from belle2dark.limits.counting import CountingLimit, Method, Uncertainties, check_method, counting_limit
from belle2dark.limits.punzi import punzi_events
from belle2dark.limits.systematics import Channel, Systematic
from belle2dark.sample import Process, Simulated, background, signal_weights, summarise
from belle2dark.search import Coupling, Dataset, Search
from belle2dark.selection import Step
from belle2dark.sourced import bibtex, find_reference, load_numbers, nearest
from belle2dark.trigger.menu import load_menu

Array = NDArray[np.float64]
N_EVENTS = 40_000
SEED = 1
#: natural width over mass that counts as narrow where no resolution is simulated (a choice: half of a typical resolution)
NARROW = 0.0015
#: how systematic uncertainties go with luminosity, and what share of today's is left where they stop to shrink (a choice)
Systematics = Literal["constant", "improving", "floor"]
SYSTEMATICS: tuple[Systematics, ...] = get_args(Systematics)
FLOOR = 1 / 3


@dataclass(frozen=True, slots=True, kw_only=True)
class CouplingLimit:
    """A limit on one coupling: expected quantiles (-2 to +2 sigma), observed, and excluded intervals."""

    name: str
    unit: str
    expected: tuple[float, ...]
    observed: float | None
    excluded: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Point:
    """The answer at one parameter point; ``limit`` is ``None`` and ``reason`` says why where the search is closed."""

    search: Search
    dataset: Dataset
    values: Mapping[str, Any]
    seed: int
    lines: tuple[str, ...]
    cl: float
    method: Method
    cross_section_fb: float
    branching_fraction: float
    width_gev: float
    narrow_width: bool
    acceptance: float = 0.0
    trigger_efficiency: float = 0.0
    selection_efficiency: float = 0.0
    efficiency: float = 0.0
    efficiency_uncertainty: float = 0.0
    resolution: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    cutflow: tuple[Step, ...] = ()
    line_efficiencies: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    processes: tuple[Process, ...] = ()
    counting: CountingLimit | None = None
    limit: tuple[float, ...] | None = None
    observed: float | None = None
    couplings: tuple[CouplingLimit, ...] = ()
    punzi_fb: float | None = None
    limited_by: str = "kinematics"
    reason: str = ""
    simulated: Simulated | None = None
    shapes: Histograms | None = None
    systematics: Systematics = "constant"

    @property
    def quantity(self) -> str:
        """What the limit is quoted on."""
        return self.search.quoted(self.values)

    @property
    def luminosity(self) -> float:
        """Integrated luminosity [fb-1]."""
        return float(self.values["luminosity"])

    @property
    def signal_events(self) -> float:
        """Expected signal events in the window at the couplings given."""
        return self.luminosity * self.cross_section_fb * self.branching_fraction * self.efficiency

    @property
    def background_events(self) -> float:
        """Expected background events in the window."""
        return self.luminosity * sum(p.fb for p in self.processes)

    def signal_weights(self) -> Array:
        """Share of the produced signal that each simulated event stands for after detector and L1, before cuts, ``(n,)``."""
        if self.simulated is None:
            return np.zeros(0)
        return signal_weights(self.simulated, self.lines)

    def bibliography(self) -> str:
        """BibTeX of what this answer rests on: the search's papers and every source that one of its numbers cites."""
        cited = [*self.search.references, *load_menu().references]
        for numbers in (
            self.search.numbers,
            self.dataset.detector.numbers,
            *map(load_numbers, ("beams", "backgrounds", "r_ratio")),
        ):
            cited += [r for number in numbers.values() if (r := find_reference(number.source, numbers.references))]
        return bibtex(cited)

    def to_json(self) -> dict[str, Any]:
        """The point as plain data, by ``data/point.schema.json``."""
        from belle2dark.contract import point_to_json

        return point_to_json(self)


def limited_by(gains: Mapping[str, float], uncertainties: Mapping[str, float]) -> str:
    """What would improve the limit most if it were perfect; ``statistics`` if nothing gains a factor 1.5.

    ``gains`` are the factors by which the limit would fall with perfect acceptance or L1 trigger and without any
    uncertainty (key ``""``), ``uncertainties`` those without one kind of uncertainty, of which the largest is then named.
    """
    best = max(gains, key=lambda name: gains[name])
    if gains[best] <= 1.5:
        return "statistics"
    return best or max(uncertainties, key=lambda name: uncertainties[name])


def point(
    search: Search,
    given: Mapping[str, Any] | None = None,
    /,
    *,
    lines: Sequence[str] | None = None,
    cl: float | None = None,
    method: Method | None = None,
    seed: int = SEED,
    n_events: int = N_EVENTS,
    observed: tuple[Array, Array] | None = None,
    systematics: Systematics = "constant",
) -> Point:
    """Evaluate ``search`` at the parameters ``given`` (the others at their defaults).

    ``lines`` are the L1 lines in use, ``cl`` and ``method`` those of the limit (default: the dataset's); ``observed`` are
    the events of a real or pseudo dataset as two arrays, the window's variables, already selected; ``systematics`` says how
    uncertainties go with luminosity (:func:`scaling`). Raises ``ValueError`` for bad names, values, lines, methods or
    confidence levels.
    """
    values = search.parse(given or {})
    dataset = search.datasets[str(values["dataset"])]
    used = load_menu().check(dataset.lines if lines is None else lines)
    check_lines(used, dataset)
    cl, method = dataset.cl if cl is None else cl, method or dataset.method
    check_method(method, cl)
    check_systematics(systematics)
    if n_events < 1000:
        raise ValueError(f"n_events = {n_events}: allowed: 1000 or more")
    closed = search.closed(values, dataset)
    answer = Point(
        search=search,
        dataset=dataset,
        values=values,
        seed=seed,
        lines=used,
        cl=cl,
        method=method,
        systematics=systematics,
        cross_section_fb=0.0 if closed else search.cross_section(values, dataset),
        branching_fraction=search.branching_fraction(values),
        width_gev=search.width(values),
        narrow_width=search.width(values) < NARROW * float(values[search.mass_names[0]]),
        limited_by="kinematics" if closed else "trigger",
        reason=closed or ("" if used else "no L1 line is switched on"),
    )
    if answer.reason:
        return answer
    with threads(1):  # a point is milliseconds of work: waking other threads costs more, and scans run one per process
        return _open_point(answer, n_events, observed)


def check_lines(lines: Sequence[str], dataset: Dataset) -> None:
    """Raise ``ValueError`` for an L1 line that the dataset's experiment does not have."""
    experiment = dataset.detector.name
    own = load_menu().names_of(experiment)
    if foreign := [name for name in lines if name not in own]:
        raise ValueError(f"L1 line {foreign[0]!r}: {experiment} (dataset {dataset.name}) has no such line; nearest: "
                         f"{nearest(foreign[0], own)}")  # fmt: skip


def _open_point(answer: Point, n_events: int, observed: tuple[Array, Array] | None) -> Point:
    """The answer where there is signal."""
    search, dataset, window = answer.search, answer.dataset, answer.search.window
    masses = tuple(answer.values[name] for name in search.masses)
    summary = summarise(search, dataset, masses, n_events, answer.seed, answer.lines)
    sigma_x, sigma_y = np.sqrt(np.diag(summary.simulated.covariance))
    meanings = final_state(search.template).meanings
    answer = replace(
        answer,
        acceptance=summary.parts.acceptance,
        trigger_efficiency=summary.parts.trigger_efficiency,
        selection_efficiency=summary.parts.selection_efficiency,
        efficiency=summary.parts.efficiency,
        efficiency_uncertainty=summary.parts.efficiency_uncertainty,
        narrow_width=bool(answer.width_gev < 0.5 * mass_resolution(summary.simulated.centre[0], sigma_x, meanings[window.x][1])),
        simulated=summary.simulated,
        processes=background(search, dataset, masses, n_events, answer.seed, answer.lines),
        resolution={
            window.x: (meanings[window.x][1], float(sigma_x)),
            window.y: (meanings[window.y][1], float(sigma_y)),
        },
        cutflow=summary.cutflow,
        line_efficiencies=summary.line_efficiencies,
    )
    if answer.efficiency <= 0:
        last = next(step.name for step in summary.cutflow if step.fraction == 0.0)
        return replace(answer, reason=f"no simulated signal event is left after: {last}", limited_by="acceptance")
    if answer.efficiency_uncertainty > 0.5 * answer.efficiency:
        few = f"an efficiency of {answer.efficiency:.2g} is too small for {n_events} simulated events; ask for more with n_events"
        return replace(answer, reason=few, limited_by="Monte Carlo")
    fit = dataset.fit
    shapes = (
        histograms(search, dataset, masses, n_events, answer.seed, answer.lines) if fit and answer.method in fit.methods else None
    )
    return _with_limits(replace(answer, shapes=shapes), observed)


def mass_resolution(centre: float, sigma: float, unit: str) -> float:
    """Resolution [GeV] of a mass that is seen as itself or, ``unit`` GeV^2, as its square."""
    return sigma / (2.0 * max(centre, sigma) ** 0.5) if unit == "GeV^2" else sigma


def _with_limits(answer: Point, observed: tuple[Array, Array] | None) -> Point:
    """The answer with limit, couplings and figures of merit."""
    search, signal = answer.search, answer.simulated
    assert signal is not None
    b, b_mc = answer.background_events, template_error_at(answer, answer.luminosity)
    used = uncertainties_at(answer, answer.luminosity)
    n = None
    if observed is not None:
        if not all(np.isfinite(values).all() for values in observed):
            raise ValueError(f"observed: {search.window.x} and {search.window.y} must be finite numbers; found NaN or inf")
        n = int(search.window.contains(*observed, signal.centre, signal.covariance).sum())
    counting = counting_limit(b, n=n, cl=answer.cl, method=answer.method, uncertainties=used, background_mc=b_mc)
    to_fb = 1.0 / (answer.luminosity * answer.efficiency)
    limit = tuple(to_fb * x for x in counting.expected)
    seen = None if counting.observed is None else to_fb * counting.observed
    if (shapes := shapes_at(answer, answer.luminosity)) is not None:
        limit, seen = fit_limit(shapes, answer.luminosity, cl=answer.cl, method=answer.method, uncertainties=used,
                                observed=observed)  # fmt: skip
    on_visible = answer.efficiency if search.visible(answer.values, answer.dataset) else 1.0
    return replace(
        answer,
        counting=counting,
        limit=tuple(on_visible * x for x in limit),
        observed=None if seen is None else on_visible * seen,
        couplings=tuple(coupling_limit(c, c.rate(answer.values, answer.dataset), limit, seen) for c in search.couplings),
        punzi_fb=float(punzi_events(b)) * to_fb,
        limited_by=limited_by(*_gains(answer, b, b_mc, used)),
    )


def check_systematics(name: str) -> Systematics:
    """The assumption of that name; ``ValueError`` names the nearest."""
    for known in SYSTEMATICS:
        if name == known:
            return known
    raise ValueError(f"systematics = {name!r}; nearest: {nearest(name, SYSTEMATICS)}; allowed: {' | '.join(SYSTEMATICS)}")


def uncertainties_at(answer: Point, luminosity: float) -> Uncertainties:
    """The point's relative uncertainties at ``luminosity`` [fb-1], with the error of its simulated efficiency."""
    scale = _scale(answer, luminosity)
    base = answer.search.uncertainties(answer.values)
    signal = float(np.hypot(scale * base.signal, answer.efficiency_uncertainty / answer.efficiency))
    return Uncertainties(signal=min(1.0, signal), background=scale * base.background, correlated=scale * base.correlated)


def template_error_at(answer: Point, luminosity: float) -> float:
    """Relative error of the simulated background at ``luminosity`` [fb-1]: simulation grows as systematics shrink."""
    return _scale(answer, luminosity) * _monte_carlo(answer.processes)


def shapes_at(answer: Point, luminosity: float) -> Histograms | None:
    """The histograms of the fit, if there is one, with the errors of the simulation at ``luminosity`` [fb-1]."""
    shapes = answer.shapes
    return None if shapes is None else replace(shapes, error=_scale(answer, luminosity) * shapes.error)


def _scale(answer: Point, luminosity: float) -> float:
    return scaling(answer.systematics, luminosity, float(answer.dataset.luminosity))


def scaling(systematics: Systematics, luminosity: float, published: float) -> float:
    """Factor on today's systematic uncertainties at ``luminosity``, ``published`` being that of their dataset [fb-1].

    ``constant``: 1; ``improving``: they shrink like statistics, 1/sqrt(L); ``floor``: the same, but not below FLOOR.
    """
    shrunk = min(1.0, (published / luminosity) ** 0.5)
    return {"constant": 1.0, "improving": shrunk, "floor": max(shrunk, FLOOR)}[systematics]


def _gains(answer: Point, b: float, b_mc: float, systematics: Uncertainties) -> tuple[dict[str, float], dict[str, float]]:
    """The two arguments of :func:`limited_by`, from median expected limits."""

    def events(background: float, kind: Uncertainties, mc: float) -> float:
        return float(expected_median([background], cl=answer.cl, method=answer.method, uncertainties=kind, background_mc=mc)[0])

    now = events(b, systematics, b_mc)
    # a perfect stage keeps more signal and, as far as one can say, as much more background
    gains = {
        name: now / (events(b / kept, systematics, b_mc) * kept)
        for name, kept in (("acceptance", max(answer.acceptance, 1e-6)), ("trigger", max(answer.trigger_efficiency, 1e-6)))
    }
    exact = Uncertainties(signal=systematics.signal)
    gains[""] = now / events(b, exact, 0.0)
    return gains, {"background systematics": now / events(b, exact, b_mc), "Monte Carlo": now / events(b, systematics, 0.0)}


def channel(answer: Point) -> Channel:
    """The point as a channel of a combination: counts by process, signal per fb, systematics and template errors.

    Raises ``ValueError`` for a closed point.
    """
    if answer.limit is None:
        raise ValueError(f"{answer.search.name}: no channel where there is no limit: {answer.reason}")
    simulated = Systematic(name="signal simulation", size=min(1.0, answer.efficiency_uncertainty / answer.efficiency))
    scale = _scale(answer, answer.luminosity)
    return Channel(
        name=answer.search.name,
        background={p.name: p.fb * answer.luminosity for p in answer.processes},
        n=answer.counting.n_observed if answer.counting else None,
        signal=answer.efficiency * answer.luminosity,
        systematics=(*(replace(s, size=scale * s.size) for s in answer.search.systematics(answer.values)), simulated),
        template_error={p.name: scale * p.n_effective**-0.5 for p in answer.processes if p.n_effective > 0},
    )


def systematics_breakdown(answer: Point) -> Breakdown:
    """What each systematic uncertainty, and the finite simulation, cost the limit [fb] of this point; takes up to a second."""
    return breakdown(channel(answer), cl=answer.cl, method=answer.method)


def coupling_limit(coupling: Coupling, unit_rate: float, limit: Sequence[float], observed: float | None) -> CouplingLimit:
    """Rate limits [fb] as limits on a coupling whose rate is ``unit_rate`` [fb] times its power."""
    expected = tuple((x / unit_rate) ** (1 / coupling.power) for x in limit)
    seen = None if observed is None else (observed / unit_rate) ** (1 / coupling.power)
    edge = expected[2] if seen is None else seen
    excluded = ((edge, coupling.high),) if edge < coupling.high else ()
    return CouplingLimit(name=coupling.name, unit=coupling.unit, expected=expected, observed=seen, excluded=excluded)


def _monte_carlo(processes: tuple[Process, ...]) -> float:
    """Relative Monte Carlo error of the summed background."""
    total = sum(p.fb for p in processes)
    variance = sum(p.fb**2 / p.n_effective for p in processes if p.n_effective > 0)
    return float(variance**0.5 / total) if total > 0 else 0.0
