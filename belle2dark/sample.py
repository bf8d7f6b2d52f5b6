"""Signal and background of one mass point: simulated once, kept, and answered for any choice of L1 lines.

:func:`summarise` is the signal (efficiencies, cutflow, L1 line by line), :func:`background` what its window contains.
Both remember the last points, so that couplings and luminosity cost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from belle2dark.detector.response import Reconstruction
from belle2dark.final_states import final_state
from belle2dark.search import Dataset, Search
from belle2dark.selection import NamedColumns, Step, cutflow, passes
from belle2dark.simulation.decays.chain import lifetime_factor
from belle2dark.simulation.rng import make_key
from belle2dark.templates import Template, load_template
from belle2dark.trigger.efficiency import contributions
from belle2dark.trigger.menu import Bits, load_menu
from belle2dark.trigger.objects import l1_objects

Array = NDArray[np.float64]
Rows = NDArray[np.intp] | slice
#: effective events wanted behind the background of a process in a window, and how far its window may be widened for them
ENOUGH = 25.0
WIDENING = (1.0, 1.5, 2.0, 3.0, 4.0)
#: a spread of more shortest intervals than this is no peak alone (a Gaussian has 4), and what is taken around it then
BROAD, REACH = 12.0, 16.0
#: the width is that of a peak on a level (wrong pairs under a broad peak) where it is then narrower by at least so much
NARROWER = 0.9
#: signal events without radiation, for the resolution: as many as with it, at least and at most (where a third of those is
#: not more), and how many of them must pass the selection to count alone
PLAIN, FEWEST = (4_000, 10_000), 150


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Simulated:
    """Signal at one mass point: reconstructed events, L1 bits, selection and window, before any choice of lines.

    ``generated`` (n,) are the weights of everything produced; those of ``reco`` differ where ``flights`` serve lifetimes.
    """

    reco: Reconstruction
    generated: Array
    flights: Mapping[str, Array]
    bits: Bits
    selected: NDArray[np.bool_]
    in_window: NDArray[np.bool_]
    centre: tuple[float, float]
    covariance: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """Background of one process in the window: rate [fb] and effective number of simulated events behind it."""

    name: str
    fb: float
    n_effective: float


@lru_cache(maxsize=48)
def simulate(search: Search, dataset: Dataset, masses: tuple[Any, ...], n_events: int, seed: int) -> Simulated:
    """Simulate one mass point: signal with radiation, and its window from events without.

    ``masses`` are those of :meth:`Search.sample_of`: c tau's at the end re-weight the events that all lifetimes share.
    """
    if len(masses) > (n := len(search.masses)):
        return _aged(search, simulate(search, dataset, masses[:n], n_events, seed), masses[n:])
    values = search.simulated(masses)
    detector, reconstruct = dataset.detector, final_state(search.template).reconstruct
    key = make_key(seed, search.name, "signal")
    events = search.generate(values, n_events, key, dataset, True)
    reco = reconstruct(events, detector, key)
    corrections = {f"data / simulation: {name}": np.full(len(reco), float(f)) for name, f in dataset.corrections.items()}
    reco = replace(reco, factors={**reco.factors, **corrections}, columns=NamedColumns(reco.columns))
    plain_key = make_key(seed, search.name, "window")
    plain = reconstruct(search.generate(values, plain_events(n_events), plain_key, dataset, False), detector, plain_key)
    window, cuts = search.window, search.selection(values)
    centre = window.centre(values)
    columns = NamedColumns(plain.columns)
    # the resolution of what is selected: a soft recoil that fails the cuts has a narrower peak
    use = plain.accepted & passes(cuts, columns)
    covariance = core_covariance(columns[window.x], columns[window.y], use if use.sum() >= FEWEST else plain.accepted)
    inside = window.contains(reco.columns[window.x], reco.columns[window.y], centre, covariance)
    bits = load_menu().evaluate(l1_objects(events, detector, key))
    return Simulated(
        reco=reco, generated=reco.weights, flights=events.flights, bits=bits, selected=passes(cuts, reco.columns),
        in_window=inside, centre=centre, covariance=covariance,
    )  # fmt: skip


def _aged(search: Search, signal: Simulated, ctaus: tuple[float, ...]) -> Simulated:
    """The sample for particles that live ``ctaus`` [cm]. Raises ``ValueError`` if that is another number of particles."""
    if len(ctaus) != len(signal.flights):
        raise ValueError(f"{search.name}: {len(ctaus)} lifetimes for {len(signal.flights)} kinds of flights")
    weights = signal.generated
    for flights, ctau in zip(signal.flights.values(), ctaus, strict=True):
        weights = weights * lifetime_factor(flights, ctau)
    return replace(signal, reco=replace(signal.reco, weights=weights))


def plain_events(n_events: int) -> int:
    """How many events without radiation go with ``n_events`` of a mass point."""
    least, most = PLAIN
    return max(n_events // 3, min(max(n_events, least), most))


def core_covariance(x: Array, y: Array, use: NDArray[np.bool_]) -> Array:
    """Covariance (2, 2) of the core of a two-dimensional peak: events inside 3 widths, iterated; tails do not count.

    Where x is far broader than its shortest interval with a tenth of the events, most events are no part of the peak (pairs
    of the wrong tracks), the iteration starts around that interval, and the level of the others is taken off. Raises
    ``ValueError`` if there are fewer than 50 events.
    """
    if use.sum() >= 50:
        x, y = x[use], y[use]
    if len(x) < 50:
        raise ValueError(f"{len(x)} events are too few for a resolution; at least 50 are needed")
    every, (middle, length) = x, _densest(x)
    near = np.abs(x - middle) < REACH * length
    broad = bool(x.std() > BROAD * length and near.sum() >= 50)
    if broad:
        x, y = x[near], y[near]
    xx, xy, yy = _moments(x, y)
    for _ in range(6):
        dx, dy = x - np.median(x), y - np.median(y)
        inside = (yy * dx * dx - 2.0 * xy * dx * dy + xx * dy * dy) < 9.0 * (xx * yy - xy * xy)
        if inside.sum() <= 50:
            break
        x, y = x[inside], y[inside]
        xx, xy, yy = _moments(x, y)
    if broad:
        above = _above_level(every, middle, length, float(np.sqrt(xx)))
        xx, xy = above**2, xy * above / float(np.sqrt(xx))
    return np.array([[xx, xy], [xy, yy]])


def _above_level(x: Array, middle: float, length: float, sigma: float) -> float:
    """Width of the peak of ``x`` (n,) on a level measured 3 to 6 widths away, or ``sigma`` if that is not clearly larger.

    The first guess is that of a Gaussian whose shortest interval with a tenth of the events around ``middle`` has ``length``.
    """
    centre, width = middle, 1.2 * length
    for _ in range(30):
        d = np.abs(x - centre)
        core = d < 3.0 * width
        level = float(((d >= 3.0 * width) & (d < 6.0 * width)).sum()) / (6.0 * width)
        peak = float(core.sum()) - 6.0 * width * level
        if peak < 50:
            return sigma
        variance = (float((d[core] ** 2).sum()) - 18.0 * level * width**3) / peak
        centre += 0.7 * float((x[core] - centre).sum()) / peak
        # a Gaussian cut at 3 widths has 0.973 of its variance
        before, width = width, float(np.sqrt(max(variance, 1e-300) / 0.9733))
        if abs(width / before - 1.0) < 1e-3:
            break
    return width if width < NARROWER * sigma else sigma


def _densest(x: Array, share: float = 0.1) -> tuple[float, float]:
    """Middle and length of the shortest interval that holds a ``share`` of the values (n,)."""
    s = np.sort(x)
    k = min(max(int(share * len(s)), 10), len(s) - 1)
    lengths = s[k:] - s[:-k]
    i = int(np.argmin(lengths))
    return 0.5 * float(s[i] + s[i + k]), float(lengths[i])


def _moments(x: Array, y: Array) -> tuple[float, float, float]:
    """Variance of x, covariance, variance of y: plain sums, the same to the last bit on any number of threads."""
    dx, dy = x - x.mean(), y - y.mean()
    n = len(x) - 1
    return float((dx * dx).sum() / n), float((dx * dy).sum() / n), float((dy * dy).sum() / n)


@lru_cache(maxsize=64)
def background(search: Search, dataset: Dataset, masses: tuple[Any, ...], n_events: int, seed: int,
               lines: tuple[str, ...]) -> tuple[Process, ...]:  # fmt: skip
    """Background in the window of one mass point, by process."""
    if len(masses) > (n := len(search.masses)):  # the same for all lifetimes
        return background(search, dataset, masses[:n], n_events, seed, lines)
    signal = simulate(search, dataset, masses, n_events, seed)
    choices = choices_of(search, search.simulated(masses))
    fb, effective = window_background(search, dataset, choices, lines, np.array([signal.centre]), signal.covariance[None])
    names = load_template(search.template, dataset.detector).processes
    return tuple(
        Process(name=name, fb=float(a), n_effective=float(b)) for name, a, b in zip(names, fb[:, 0], effective[:, 0], strict=True)
    )


def window_background(search: Search, dataset: Dataset, choices: tuple[Any, ...], lines: tuple[str, ...], centres: Array,
                      covariances: Array) -> tuple[Array, Array]:  # fmt: skip
    """Background [fb] and effective events behind it, both (processes, m), in m windows.

    Where a window holds fewer than ENOUGH effective events of a process, a wider one around it is counted instead, by
    the factors WIDENING, and scaled by the physical area of the two: backgrounds are smooth over a few resolutions.
    """
    window = search.window
    indices, weights = _sorted_template(search, dataset, choices, lines)
    fb, effective = np.zeros((len(indices), len(centres))), np.zeros((len(indices), len(centres)))
    open_rows = np.ones_like(fb, dtype=bool)
    area = window.area(centres, covariances, dataset)
    for widen in WIDENING:
        scale = area / window.area(centres, covariances, dataset, widen)
        for k, (index, w) in enumerate(zip(indices, weights, strict=True)):
            rows = open_rows[k]
            if not rows.any():
                continue
            sums, squares = window.count(index, w, centres[rows], covariances[rows], widen)
            fb[k, rows] = sums * scale[rows]
            effective[k, rows] = np.divide(sums**2, squares, out=np.zeros(len(sums)), where=squares > 0)
            open_rows[k] = effective[k] < ENOUGH
    return fb, effective


@lru_cache(maxsize=8)
def _sorted_template(search: Search, dataset: Dataset, choices: tuple[Any, ...],
                     lines: tuple[str, ...]) -> tuple[tuple[Any, ...], tuple[Array, ...]]:  # fmt: skip
    """The selected template events sorted for counting, by process, with their weights."""
    template, weights = selected_template(search, dataset, choices, lines)
    x, y = template.columns[search.window.x], template.columns[search.window.y]
    chosen = [(weights > 0) & (template.process == k) for k in range(len(template.processes))]
    return tuple(search.window.sort(x[c], y[c]) for c in chosen), tuple(weights[c] for c in chosen)


def choices_of(search: Search, values: Mapping[str, Any]) -> tuple[Any, ...]:
    """The values of ``search.choices``, which together with the dataset decide the selection."""
    return tuple(values[name] for name in search.choices)


@lru_cache(maxsize=16)
def selected_template(search: Search, dataset: Dataset, choices: tuple[Any, ...],
                      lines: tuple[str, ...]) -> tuple[Template, Array]:  # fmt: skip
    """The search's template and the weight [fb] of each of its events after L1 and the selection (0 if it fails).

    ``choices`` are the values of ``search.choices``. Raises ``ValueError`` for a line the template was made without: its
    background would be missing.
    """
    template = load_template(search.template, dataset.detector)
    if unknown := [name for name in lines if name not in template.lines]:
        raise ValueError(f"the background template {template.name!r} was made without L1 line {unknown[0]!r}; it has "
                         f"{', '.join(template.lines)} (make templates)")  # fmt: skip
    keep = load_menu().keep_probability(template.bits, lines)
    cuts = search.cuts(dict(zip(search.choices, choices, strict=True)), dataset)
    return template, template.weights * keep * dataset.correction * passes(cuts, template.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Efficiencies:
    """Fractions of the produced signal: acceptance, L1, selection, their product and its Monte Carlo error."""

    acceptance: float
    trigger_efficiency: float
    selection_efficiency: float
    efficiency: float
    efficiency_uncertainty: float


def signal_weights(signal: Simulated, lines: Sequence[str], rows: Rows = slice(None)) -> Array:
    """Share of the produced signal that each of the ``rows`` (default: all) stands for after detector and L1, before cuts."""
    reco = signal.reco
    weights = reco.weights[rows] / signal.generated.sum() * load_menu().keep_probability(signal.bits[rows], lines)
    for factor in reco.factors.values():
        weights = weights * factor[rows]
    return np.asarray(weights)


def _efficiencies(signal: Simulated, lines: tuple[str, ...]) -> Efficiencies:
    generated = signal.generated
    total = generated.sum()
    accepted = signal.reco.weights * signal.reco.accepted
    triggered = accepted * load_menu().keep_probability(signal.bits, lines)
    final = triggered * (signal.selected & signal.in_window)
    for factor in list(signal.reco.factors.values())[1:]:  # the first is the acceptance
        final = final * factor
    efficiency = float(final.sum() / total)
    return Efficiencies(
        acceptance=float(accepted.sum() / total),
        trigger_efficiency=_ratio(triggered.sum(), accepted.sum()),
        selection_efficiency=_ratio(final.sum(), triggered.sum()),
        efficiency=efficiency,
        efficiency_uncertainty=float(np.sqrt(((final - efficiency * generated) ** 2).sum()) / total),
    )


def _ratio(a: float, b: float) -> float:
    return float(a / b) if b > 0 else 0.0


def line_efficiencies(signal: Simulated, lines: Sequence[str], experiment: str) -> dict[str, tuple[float, float]]:
    """Per L1 line of an experiment: the fraction of selected events it fires on, and what would be lost without it."""
    weights = signal.reco.weights * (signal.selected & signal.in_window)
    for factor in signal.reco.factors.values():
        weights = weights * factor
    found = contributions(load_menu(), signal.bits, weights, lines, experiment)
    return {name: (alone, found.unique[name]) for name, alone in found.alone.items()}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SignalSummary:
    """The signal of a mass point and what a choice of L1 lines leaves of it."""

    simulated: Simulated
    parts: Efficiencies


@lru_cache(maxsize=64)
def summarise(
    search: Search, dataset: Dataset, masses: tuple[Any, ...], n_events: int, seed: int, lines: tuple[str, ...]
) -> SignalSummary:
    """Efficiencies of one mass point."""
    signal = simulate(search, dataset, masses, n_events, seed)
    return SignalSummary(simulated=signal, parts=_efficiencies(signal, lines))


def steps_of(search: Search, signal: Simulated, sample: tuple[Any, ...], lines: tuple[str, ...]) -> tuple[Step, ...]:
    """The cutflow of a sample from what is generated to the window."""
    cuts, fired = search.selection(search.simulated(sample)), load_menu().keep_probability(signal.bits, lines)
    return cutflow(signal.reco, fired, cuts, signal.in_window, float(signal.generated.sum()))
