"""The record of the answer at one parameter point, and what follows from it alone.

:func:`belle2dark.point.point` makes it, :mod:`belle2dark.point_limits` fills in the limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from belle2dark.coupling_limits import CouplingLimit
from belle2dark.fitting import Histograms
from belle2dark.limits.counting import CountingLimit, Method, Uncertainties
from belle2dark.sample import Process, Simulated, background, line_efficiencies, signal_weights, steps_of
from belle2dark.scaling import Systematics, scaling
from belle2dark.search import Calibration, Dataset, Search
from belle2dark.selection import Step
from belle2dark.sourced import bibtex, find_reference, load_numbers
from belle2dark.trigger.menu import load_menu

Array = NDArray[np.float64]
N_EVENTS = 40_000
SEED = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Point:
    """The answer at one parameter point; ``limit`` is ``None`` and ``reason`` says why where there is none on the rate.

    ``limit`` and ``observed`` are on what is quoted, ``rate_limit`` and ``rate_observed`` [fb] on the rate, and there are limits
    on couplings where next to nothing is seen at those given. ``sample`` is what decides the ``n_events`` simulated events.
    """

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
    processes: tuple[Process, ...] = ()
    counting: CountingLimit | None = None
    limit: tuple[float, ...] | None = None
    rate_limit: tuple[float, ...] | None = None
    rate_observed: float | None = None
    observed: float | None = None
    couplings: tuple[CouplingLimit, ...] = ()
    punzi_fb: float | None = None
    limited_by: str = "kinematics"
    reason: str = ""
    n_events: int = N_EVENTS
    sample: tuple[Any, ...] = ()
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
    def seen_fb(self) -> tuple[float, ...] | None:
        """Expected limits [fb] on the rate times the share that is ``kept``, which couplings do not change."""
        return tuple(self.kept * x for x in self.rate_limit) if self.rate_limit else None

    @property
    def background_scale(self) -> float:
        """Declared background over the simulated one of the same window; 1 where nothing is declared."""
        if self.calibration is None or self.calibration.background is None or self.simulated is None:
            return 1.0
        found = background(self.search, self.dataset, self.sample, self.n_events, self.seed, self.lines)
        simulated = sum(p.fb for p in found)
        return sum(p.fb for p in self.processes) / simulated if simulated > 0 else 1.0

    @property
    def background_events(self) -> float:
        """Expected background events in the window."""
        return self.luminosity * sum(p.fb for p in self.processes)

    @property
    def cutflow(self) -> tuple[Step, ...]:
        """Fractions of the produced signal that are left, step by step; empty where nothing is simulated."""
        if self.simulated is None:
            return ()
        steps = steps_of(self.search, self.simulated, self.sample, self.lines)
        return (*steps, *_more_steps(self, steps[-1].fraction))

    @property
    def line_efficiencies(self) -> Mapping[str, tuple[float, float]]:
        """Per L1 line: the fraction of selected events it fires on, and the fraction that would be lost without it."""
        return {} if self.simulated is None else line_efficiencies(self.simulated, self.lines, self.dataset.detector.name)

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
