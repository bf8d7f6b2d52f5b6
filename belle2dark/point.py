"""The answer at one parameter point: efficiency, background, limit and couplings.

:func:`point` is the straight line of the package. Only masses simulate; the simulated sample of a point, and the
background that its window contains, are kept for the next call, so that couplings, luminosity, L1 lines, confidence
level and method answer in milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from belle2dark._jit import threads
from belle2dark.coupling_limits import CouplingLimit, coupling_limit
from belle2dark.final_states import final_state
from belle2dark.fitting import Histograms, declared
from belle2dark.limited_by import count_gains, fit_gains, limited_by
from belle2dark.limits.counting import CountingLimit, Method, Uncertainties, check_method, counting_limit
from belle2dark.limits.punzi import punzi_events
from belle2dark.sample import Process, Simulated, background, signal_weights, summarise
from belle2dark.scaling import Systematics, check_systematics, scaling
from belle2dark.search import Calibration, Coupling, Dataset, Search, all_kept
from belle2dark.selection import Step
from belle2dark.sourced import bibtex, find_reference, load_numbers, nearest
from belle2dark.trigger.menu import load_menu

Array = NDArray[np.float64]
N_EVENTS = 40_000
SEED = 1
#: natural width over mass that counts as narrow where no resolution is simulated (a choice: half of a typical resolution)
NARROW = 0.0015
#: a mass that much heavier [GeV] is beyond any that is looked for
FAR = 20.0


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
    calibration: Calibration | None = None
    kept: float = 1.0

    @property
    def quantity(self) -> str:
        """What the limit is quoted on."""
        return self.search.quoted(self.values)

    @property
    def unit(self) -> str:
        """Unit of the limit."""
        return self.search.unit_at(self.values)

    @property
    def luminosity(self) -> float:
        """Integrated luminosity [fb-1]."""
        return float(self.values["luminosity"])

    @property
    def signal_events(self) -> float:
        """Expected signal events in the window at the couplings given."""
        return self.luminosity * self.cross_section_fb * self.branching_fraction * self.efficiency

    @property
    def background_scale(self) -> float:
        """Declared background over the simulated one of the same window; 1 where nothing is declared."""
        if self.calibration is None or self.calibration.background is None or self.simulated is None:
            return 1.0
        masses, n_events = self.search.sample_of(self.values), len(self.simulated.reco)
        simulated = sum(p.fb for p in background(self.search, self.dataset, masses, n_events, self.seed, self.lines))
        return sum(p.fb for p in self.processes) / simulated if simulated > 0 else 1.0

    @property
    def background_events(self) -> float:
        """Expected background events in the window."""
        return self.luminosity * sum(p.fb for p in self.processes)

    def signal_weights(self) -> Array:
        """Share of the produced signal that each simulated event stands for after detector and L1, before cuts, ``(n,)``."""
        if self.simulated is None:
            return np.zeros(0)
        return self.unsimulated * signal_weights(self.simulated, self.lines)

    @property
    def unsimulated(self) -> float:
        """Share of the simulated efficiency that declared constants and far decays leave."""
        return self.kept * (self.calibration.efficiency if self.calibration else 1.0)

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
    closed = search.closed(values, search.datasets[str(values["dataset"])])
    search = search.at(values)
    dataset = search.datasets[str(values["dataset"])]
    used = load_menu().check(dataset.lines if lines is None else lines)
    check_lines(used, dataset)
    cl, method = search.cl_at(values) if cl is None else cl, method or dataset.method
    check_method(method, cl)
    check_systematics(systematics)
    if n_events < 1000:
        raise ValueError(f"n_events = {n_events}: allowed: 1000 or more")
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
        calibration=search.calibration(values, dataset),
        kept=1.0 if closed else search.kept(values, dataset),
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
    masses = search.sample_of(answer.values)
    summary = summarise(search, dataset, masses, n_events, answer.seed, answer.lines)
    sigma_x, sigma_y = np.sqrt(np.diag(summary.simulated.covariance))
    meanings = final_state(search.template).meanings
    answer = replace(
        answer,
        acceptance=summary.parts.acceptance,
        trigger_efficiency=summary.parts.trigger_efficiency,
        selection_efficiency=answer.unsimulated * summary.parts.selection_efficiency,
        efficiency=answer.unsimulated * summary.parts.efficiency,
        efficiency_uncertainty=answer.unsimulated * summary.parts.efficiency_uncertainty,
        narrow_width=bool(answer.width_gev < 0.5 * mass_resolution(search, answer.values, float(sigma_x))),
        simulated=summary.simulated,
        processes=_processes(answer, masses, n_events),
        resolution={
            window.x: (meanings[window.x][1], float(sigma_x)),
            window.y: (meanings[window.y][1], float(sigma_y)),
        },
        cutflow=(*summary.cutflow, *_more_steps(answer, summary.parts.efficiency)),
        line_efficiencies=summary.line_efficiencies,
    )
    if answer.efficiency <= 0:
        last = next(step.name for step in answer.cutflow if step.fraction == 0.0)
        return replace(answer, reason=f"no simulated signal event is left after: {last}", limited_by="acceptance")
    if answer.efficiency_uncertainty > 0.5 * answer.efficiency:
        few = f"an efficiency of {answer.efficiency:.2g} is too small for {n_events} simulated events; ask for more with n_events"
        return replace(answer, reason=few, limited_by="Monte Carlo")
    fit = dataset.fit
    if fit and answer.method in fit.methods:
        shapes = fit.prepare(search, dataset, masses, n_events, answer.seed, answer.lines)
        answer = replace(answer, shapes=declared(shapes, answer.unsimulated, answer.calibration, float(sigma_x)))
    return _with_limits(answer, observed)


def _processes(answer: Point, masses: tuple[Any, ...], n_events: int) -> tuple[Process, ...]:
    """What the window contains: simulated, or the declared background."""
    if (constants := answer.calibration) and constants.background is not None:
        resolutions = 2.0 * answer.search.window.n_sigma
        return (Process(name=constants.name, fb=constants.background * resolutions, n_effective=0.0),)
    return background(answer.search, answer.dataset, masses, n_events, answer.seed, answer.lines)


def _more_steps(answer: Point, efficiency: float) -> tuple[Step, ...]:
    """Steps of the cutflow that are not simulated event by event."""
    steps, fraction, constants = [], efficiency, answer.calibration
    shares = [("decays where they are seen", answer.kept, "at the couplings given")]
    if constants:
        shares.insert(0, (f"declared: {constants.name}", constants.efficiency, "a constant, not a prediction"))
    for name, share, reason in shares:
        if share != 1.0:
            fraction *= share
            steps.append(Step(name=name, fraction=fraction, relative=share, reason=reason))
    return tuple(steps)


def mass_resolution(search: Search, values: Mapping[str, Any], sigma: float) -> float:
    """Resolution [GeV] of the first mass: how much heavier a signal peaks ``sigma`` further up, infinite if it stays."""
    name, here = search.mass_names[0], search.window.centre(values)[0]

    def missing(step: float) -> float:
        return float(search.window.centre({**values, name: values[name] + step})[0] - here - sigma)

    return float(brentq(missing, 0.0, FAR, rtol=1e-4)) if missing(FAR) > 0 else math.inf


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
    fit, shapes = answer.dataset.fit, shapes_at(answer, answer.luminosity)
    if fit is not None and shapes is not None:
        try:
            limit, seen = fit.limit(shapes, answer.luminosity, cl=answer.cl, method=answer.method, uncertainties=used,
                                    observed=observed)  # fmt: skip
        except ValueError as error:  # one point without a fit is no reason to lose a curve
            return replace(answer, reason=str(error), limited_by="statistics")
    to_quoted = search.per_rate(answer.values, answer.efficiency)
    return replace(
        answer,
        counting=counting,
        limit=tuple(to_quoted * x for x in limit),
        observed=None if seen is None else to_quoted * seen,
        couplings=couplings_at(answer, limit, seen),
        punzi_fb=float(punzi_events(b)) * to_fb,
        limited_by=_limited_by(answer, limit[2], used),
    )


def _limited_by(answer: Point, median: float, used: Uncertainties) -> str:
    """What would improve the ``median`` limit [fb] most, from the fit if there is one."""
    kept = {"acceptance": max(answer.acceptance, 1e-6), "trigger": max(answer.trigger_efficiency, 1e-6)}
    fit, shapes = answer.dataset.fit, shapes_at(answer, answer.luminosity)
    if fit is None or shapes is None:
        mc = template_error_at(answer, answer.luminosity)
        return limited_by(*count_gains(answer.background_events, mc, used, kept, cl=answer.cl, method=answer.method))
    return limited_by(*fit_gains(fit, shapes, median, answer.luminosity, used, kept, cl=answer.cl, method=answer.method))


def couplings_at(answer: Point, limit: tuple[float, ...], seen: float | None) -> tuple[CouplingLimit, ...]:
    """Limits on the couplings from any expected ones and an observed one on the rate [fb], at the couplings given."""
    search, values, dataset = answer.search, answer.values, answer.dataset
    simple = search.kept is all_kept
    share = 1.0 if simple else answer.kept
    rates, observed = tuple(share * x for x in limit), None if seen is None else share * seen

    def kept(name: str) -> Callable[[float], float] | None:
        return None if simple else lambda x: search.kept({**values, name: x}, dataset)

    return tuple(coupling_limit(c, c.rate(values, dataset), rates, observed, kept(c.name))
                 for c in search.couplings_for(values))  # fmt: skip


def is_narrow(answer: Point, coupling: Coupling, value: float) -> bool:
    """Whether a limit on a coupling can be taken at its word: perturbative, and the width below half of the resolution."""
    resolution = mass_resolution(answer.search, answer.values, answer.resolution[answer.search.window.x][1])
    width = answer.search.width({**answer.values, coupling.name: value})
    return bool(value < coupling.high and width < 0.5 * resolution)


def uncertainties_at(answer: Point, luminosity: float) -> Uncertainties:
    """The point's relative uncertainties at ``luminosity`` [fb-1], with the error of its simulated efficiency."""
    scale = scale_of(answer, luminosity)
    base = answer.search.uncertainties(answer.values)
    signal = float(np.hypot(scale * base.signal, answer.efficiency_uncertainty / answer.efficiency))
    return Uncertainties(signal=min(1.0, signal), background=scale * base.background, correlated=scale * base.correlated)


def template_error_at(answer: Point, luminosity: float) -> float:
    """Relative error of the simulated background at ``luminosity`` [fb-1]: simulation grows as systematics shrink."""
    return scale_of(answer, luminosity) * _monte_carlo(answer.processes)


def shapes_at(answer: Point, luminosity: float) -> Histograms | None:
    """The histograms of the fit, if there is one, with the errors of the simulation at ``luminosity`` [fb-1]."""
    shapes = answer.shapes
    return None if shapes is None else replace(shapes, error=scale_of(answer, luminosity) * shapes.error)


def scale_of(answer: Point, luminosity: float) -> float:
    """Factor on the systematic uncertainties of a point at ``luminosity`` [fb-1]."""
    return scaling(answer.systematics, luminosity, float(answer.dataset.luminosity))


def _monte_carlo(processes: tuple[Process, ...]) -> float:
    """Relative Monte Carlo error of the summed background."""
    total = sum(p.fb for p in processes)
    variance = sum(p.fb**2 / p.n_effective for p in processes if p.n_effective > 0)
    return float(variance**0.5 / total) if total > 0 else 0.0
