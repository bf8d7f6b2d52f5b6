"""The limits of a point: on the rate by a count or a fit, and on couplings, also where these decide lifetimes.

What decides them (:func:`key_of`) and the limits of the last points are kept, so that couplings that only scale the rate cost
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from belle2dark.answer import Point, shapes_at, template_error_at, uncertainties_at
from belle2dark.coupling_limits import CouplingLimit, coupling_limit
from belle2dark.final_states import final_state
from belle2dark.fitting import declared
from belle2dark.lifetime_path import STEPS, UNCERTAIN, Path, along, efficiencies, grid
from belle2dark.limited_by import count_gains, fit_gains, limited_by
from belle2dark.limits.counting import CountingLimit, Uncertainties, counting_limit
from belle2dark.limits.punzi import punzi_events
from belle2dark.sample import Process, background, signal_weights, simulate, summarise
from belle2dark.search import Coupling, Search, all_kept, prompt

Array = NDArray[np.float64]
#: a mass that much heavier [GeV] is beyond any that is looked for
FAR = 20.0
#: a limit of so many produced signal events says nothing: no e+e- collider makes as many of anything
MOST_EVENTS = 1e12
#: a coupling that changes nothing, over the largest that makes sense
LEAST = 1e-12


def at_sample(answer: Point, sample: tuple[Any, ...]) -> Point:
    """The answer with what the signal of a ``sample`` and the background in its window are, before any limit."""
    search, dataset, window, n_events = answer.search, answer.dataset, answer.search.window, answer.n_events
    summary = summarise(search, dataset, sample, n_events, answer.seed, answer.lines)
    sigma_x, sigma_y = np.sqrt(np.diag(summary.simulated.covariance))
    meanings = final_state(search.template).meanings
    answer = replace(
        answer,
        sample=sample,
        acceptance=summary.parts.acceptance,
        trigger_efficiency=summary.parts.trigger_efficiency,
        selection_efficiency=answer.unsimulated * summary.parts.selection_efficiency,
        efficiency=answer.unsimulated * summary.parts.efficiency,
        efficiency_uncertainty=answer.unsimulated * summary.parts.efficiency_uncertainty,
        narrow_width=bool(answer.width_gev < 0.5 * mass_resolution(search, answer.values, float(sigma_x))),
        simulated=summary.simulated,
        processes=_processes(answer, sample),
        resolution={
            window.x: (meanings[window.x][1], float(sigma_x)),
            window.y: (meanings[window.y][1], float(sigma_y)),
        },
    )
    if answer.efficiency <= 0:
        last = next((step.name for step in answer.cutflow if step.fraction == 0.0), "")
        return replace(answer, reason=f"no simulated signal event is left after: {last}", limited_by="acceptance")
    if answer.efficiency_uncertainty > UNCERTAIN * answer.efficiency:
        few = f"an efficiency of {answer.efficiency:.2g} is too small for {n_events} simulated events; ask for more with n_events"
        return replace(answer, reason=few, limited_by="Monte Carlo")
    fit = dataset.fit
    if fit and answer.method in fit.methods:
        shapes = fit.prepare(search, dataset, sample, n_events, answer.seed, answer.lines)
        answer = replace(answer, shapes=declared(shapes, answer.unsimulated, answer.calibration, float(sigma_x)))
    return answer


def _processes(answer: Point, sample: tuple[Any, ...]) -> tuple[Process, ...]:
    """What the window contains: simulated, or the declared background."""
    if (constants := answer.calibration) and constants.background is not None:
        resolutions = 2.0 * answer.search.window.n_sigma
        return (Process(name=constants.name, fb=constants.background * resolutions, n_effective=0.0),)
    return background(answer.search, answer.dataset, sample, answer.n_events, answer.seed, answer.lines)


def mass_resolution(search: Search, values: Mapping[str, Any], sigma: float) -> float:
    """Resolution [GeV] of the first mass: how much heavier a signal peaks ``sigma`` further up, infinite if it stays."""
    name, here = search.mass_names[0], search.window.centre(values)[0]

    def missing(step: float) -> float:
        return float(search.window.centre({**values, name: values[name] + step})[0] - here - sigma)

    return float(brentq(missing, 0.0, FAR, rtol=1e-4)) if missing(FAR) > 0 else math.inf


def with_limit(answer: Point, observed: tuple[Array, Array] | None) -> Point:
    """The answer with limit and figures of merit, if there is anything to be seen."""
    search, signal = answer.search, answer.simulated
    if answer.reason or signal is None:
        return answer
    if observed is not None and not all(np.isfinite(values).all() for values in observed):
        raise ValueError(f"observed: {search.window.x} and {search.window.y} must be finite numbers; found NaN or inf")
    try:
        counting, limit, seen, decides = _limits(_Asked(key_of(answer), answer)) if observed is None else _found(answer, observed)
    except ValueError as error:  # one point without a fit is no reason to lose a curve
        return replace(answer, reason=str(error), limited_by="statistics")
    answer = replace(answer, counting=counting, rate_limit=limit, rate_observed=seen)
    if answer.luminosity * limit[2] > MOST_EVENTS:
        few = f"at these parameters a share of {answer.efficiency:.1g} of the signal is seen: no limit on its rate"
        return replace(answer, reason=few, limited_by="acceptance")
    to_quoted = search.per_rate(answer.values, answer.efficiency)
    return replace(
        answer,
        limit=tuple(to_quoted * x for x in limit),
        observed=None if seen is None else to_quoted * seen,
        punzi_fb=float(punzi_events(answer.background_events)) / (answer.luminosity * answer.efficiency),
        limited_by=decides,
    )


#: the count's limit, expected limits and the observed one on the rate [fb], and what decides them
_Limits = tuple[CountingLimit, tuple[float, ...], float | None, str]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A point, and with it a coupling, known by what decides its limits."""

    key: tuple[Any, ...]
    answer: Point = field(compare=False)
    coupling: Coupling | None = field(compare=False, default=None)


def key_of(answer: Point) -> tuple[Any, ...]:
    """What decides the limits of a point on the rate: all but couplings that only scale it."""
    return (answer.search, answer.dataset, answer.sample, answer.luminosity, answer.lines, answer.cl, answer.method,
            answer.systematics, answer.seed, answer.n_events, answer.kept, answer.calibration,
            answer.search.uncertainties(answer.values))  # fmt: skip


@lru_cache(maxsize=32)
def _limits(asked: _Asked) -> _Limits:
    return _found(asked.answer, None)


def _found(answer: Point, observed: tuple[Array, Array] | None) -> _Limits:
    """The limits of a point."""
    signal, n = answer.simulated, None
    assert signal is not None
    if observed is not None:
        n = int(answer.search.window.contains(*observed, signal.centre, signal.covariance).sum())
    counting = _counted(answer, n)
    limit, seen = _rate_limits(answer, counting, observed)
    return counting, limit, seen, _limited_by(answer, limit[2], uncertainties_at(answer, answer.luminosity))


def _counted(answer: Point, n: int | None) -> CountingLimit:
    """The limit from the count in the window, ``n`` events observed."""
    used, b_mc = uncertainties_at(answer, answer.luminosity), template_error_at(answer, answer.luminosity)
    b = answer.background_events
    return counting_limit(b, n=n, cl=answer.cl, method=answer.method, uncertainties=used, background_mc=b_mc)


def _rate_limits(answer: Point, counting: CountingLimit | None,
                 observed: tuple[Array, Array] | None) -> tuple[tuple[float, ...], float | None]:  # fmt: skip
    """Expected limits and the observed one on the rate [fb], from the fit if there is one."""
    fit, shapes = answer.dataset.fit, shapes_at(answer, answer.luminosity)
    if fit is not None and shapes is not None:
        used = uncertainties_at(answer, answer.luminosity)
        return fit.limit(shapes, answer.luminosity, cl=answer.cl, method=answer.method, uncertainties=used, observed=observed)
    assert counting is not None
    to_fb = 1.0 / (answer.luminosity * answer.efficiency)
    return tuple(to_fb * x for x in counting.expected), None if counting.observed is None else to_fb * counting.observed


def _limited_by(answer: Point, median: float, used: Uncertainties) -> str:
    """What would improve the ``median`` limit [fb] most, from the fit if there is one."""
    kept = {"acceptance": max(answer.acceptance, 1e-6), "trigger": max(answer.trigger_efficiency, 1e-6)}
    fit, shapes = answer.dataset.fit, shapes_at(answer, answer.luminosity)
    # five more fits per lifetime are not worth it: there, the count in the window says the same
    if fit is None or shapes is None or len(answer.sample) > len(answer.search.masses):
        mc = template_error_at(answer, answer.luminosity)
        return limited_by(*count_gains(answer.background_events, mc, used, kept, cl=answer.cl, method=answer.method))
    return limited_by(*fit_gains(fit, shapes, median, answer.luminosity, used, kept, cl=answer.cl, method=answer.method))


def couplings_at(answer: Point, limit: tuple[float, ...] | None = None) -> tuple[CouplingLimit, ...]:
    """Limits on the couplings from any expected ones on the rate [fb] at these parameters, by default all of the point's.

    Where a coupling changes lifetimes, the limit on the rate goes with it.
    """
    found = (_coupling(answer, coupling, limit) for coupling in answer.search.couplings_for(answer.values))
    return tuple(limits for limits in found if limits is not None)


def _coupling(answer: Point, coupling: Coupling, limit: tuple[float, ...] | None) -> CouplingLimit | None:
    """The limits on one coupling, or None where nothing is seen at any value of it."""
    path, easier, seen = None, 1.0, answer.rate_observed if limit is None else None
    if (coupling.lifetimes or answer.search.lifetimes) is not prompt:
        asked = _without(answer, coupling)
        if limit is None and seen is None:
            return _island(asked, float(answer.values["luminosity"]))
        path = _paths(asked)
        best = _at_best(asked, float(answer.values["luminosity"]))
        if path is None or best is None or best.rate_limit is None or answer.rate_limit is None:
            return None
        easier = best.rate_limit[2] / answer.rate_limit[2]
    found = limit or answer.rate_limit
    return None if found is None else _solve(answer, coupling, tuple(easier * x for x in found), seen and easier * seen, path)


def _solve(answer: Point, coupling: Coupling, limits: tuple[float, ...], seen: float | None,
           path: Path | None) -> CouplingLimit:  # fmt: skip
    """Limits on a coupling from those on the rate [fb] where most is seen along the ``path``."""
    search, values, dataset = answer.search, answer.values, answer.dataset
    # of all couplings the smallest leave most to what is looked for
    unit = coupling.rate({**values, coupling.name: LEAST * coupling.high} if coupling.competes else values, dataset)
    share = 1.0 if search.kept is all_kept else answer.kept

    def kept(x: Array) -> Array:
        at = [{**values, coupling.name: float(c)} for c in x]
        out = np.ones_like(x) if path is None else path.share(x)
        if search.kept is not all_kept:
            out = out * np.array([search.kept(here, dataset) for here in at])
        return out * np.array([coupling.rate(here, dataset) for here in at]) / unit if coupling.competes else out

    lossless = path is None and search.kept is all_kept and not coupling.competes
    observed = None if seen is None else share * seen
    return coupling_limit(coupling, unit, tuple(share * x for x in limits), observed, None if lossless else kept)


def _without(answer: Point, coupling: Coupling) -> _Asked:
    """The point as it is for all values of a coupling, known by what lifetimes these mean, at the dataset's luminosity.

    How much harder one lifetime is than another hardly depends on the luminosity.
    """
    ends = [{**answer.values, coupling.name: float(c)} for c in grid(coupling.high)[:: STEPS // 4]]
    samples = tuple(answer.search.sample_of(values, coupling.lifetimes) for values in ends)
    values = {**ends[-1], "luminosity": float(answer.dataset.luminosity)}
    plain = replace(answer, values=values, sample=(), kept=1.0, reason="", couplings=(), simulated=None, shapes=None)
    rates = tuple(coupling.rate(values, answer.dataset) for values in ends)
    return _Asked((*key_of(plain), coupling.name, samples, rates), plain, coupling)


@lru_cache(maxsize=64)
def _island(asked: _Asked, luminosity: float) -> CouplingLimit | None:
    """The limits on a coupling that decides lifetimes: the same at any value of it."""
    path, best = _paths(asked), _at_best(asked, luminosity)
    if path is None or best is None or best.rate_limit is None or asked.coupling is None:
        return None
    return _solve(best, asked.coupling, best.rate_limit, None, path)


def _at_best(asked: _Asked, luminosity: float) -> Point | None:
    """The point at the lifetimes where most is seen, if there are any."""
    path, plain = _paths(asked), asked.answer
    if path is None:
        return None
    return with_limit(at_sample(replace(plain, values={**plain.values, "luminosity": luminosity}), path.best), None)


@lru_cache(maxsize=64)
def _paths(asked: _Asked) -> Path | None:
    plain, coupling = asked.answer, asked.coupling
    assert coupling is not None
    search, dataset, couplings = plain.search, plain.dataset, grid(coupling.high)
    samples = [search.sample_of({**plain.values, coupling.name: float(c)}, coupling.lifetimes) for c in couplings]
    k = len(search.masses)
    signal = simulate(search, dataset, samples[0][:k], plain.n_events, plain.seed)
    fitted = dataset.fit is not None and plain.method in dataset.fit.methods
    # a fit has its own range around the peak: what is selected counts
    used = signal.selected if fitted else signal.selected & signal.in_window
    weights = np.where(used, signal_weights(signal, plain.lines), 0.0)
    efficiency = efficiencies(weights, tuple(signal.flights.values()), np.array([sample[k:] for sample in samples]))

    def median(sample: tuple[Any, ...]) -> float | None:
        here = at_sample(plain, sample)
        if here.reason:
            return None
        try:
            return _rate_limits(here, None if fitted else _counted(here, None), None)[0][2]
        except ValueError:  # no fit there
            return None

    return along(couplings, efficiency, samples, median, fitted)


def is_narrow(answer: Point, coupling: Coupling, value: float) -> bool:
    """Whether a limit on a coupling can be taken at its word: perturbative, and the width below half of the resolution."""
    resolution = mass_resolution(answer.search, answer.values, answer.resolution[answer.search.window.x][1])
    width = answer.search.width({**answer.values, coupling.name: value})
    return bool(value < coupling.high and width < 0.5 * resolution)
