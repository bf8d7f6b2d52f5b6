"""What the simulation says about a whole range of masses: a few dozen of them simulated, and the background as a histogram.

A :class:`Frame` serves :mod:`belle2dark.mass_scan`, which interpolates in it. More masses are simulated where efficiency or
resolution change fast. The background is counted in bins of constant width in resolutions and each process is spread along
them by half a resolution, or by more where there are few simulated events, so that narrow peaks with many events stay.

Not included: shapes of the signal other than the simulated one between two neighbours, which are mixed linearly.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d, uniform_filter1d

from belle2dark._jit import threads
from belle2dark.fitting import SPREADS
from belle2dark.limits.mass_scan import mass_grid
from belle2dark.peak_fit import PeakFit
from belle2dark.sample import ENOUGH, choices_of, selected_template, signal_weights, summarise
from belle2dark.search import Dataset, Search
from belle2dark.window import IntervalWindow

Array = NDArray[np.float64]
#: masses simulated: evenly at first, then where resolution or efficiency is interpolated worse than ALIKE, up to MOST
FIRST, MOST, ALIKE, END = 13, 24, 0.1, 0.3
#: steps of the peak's integral [resolutions], and masses on the map to the window's variable
FINE, DENSE = 0.1, 4000
#: least efficiency that counts, as a share of the best: below it nothing can be said with the simulated events
SEEN = 1e-3
#: largest relative error of an efficiency: a resolution from fewer events says nothing
WORST = 0.25
#: efficiencies below this share of the best are not worth more simulated masses
FAINT = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """The signal at one mass: place and resolution in the window's variable, efficiencies, integral of its shape (rows, u).

    ``efficiency`` counts what is within the range of the fit, ``inside`` what is in the window, with relative ``error``.
    """

    mass: float
    place: float
    sigma: float
    efficiency: float
    inside: float
    error: float
    cdf: Array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """k simulated ``masses`` [GeV] with tables (k,) as in :class:`Peak`, ``cdf`` (k, rows, u) at ``u`` resolutions, background.

    ``edges`` (n + 1,) are bins of ``width`` resolutions, ``background`` (n, rows) [fb] is what they contain. ``reachable`` (d,)
    are masses that are not closed, ``places`` (d,) where they peak.
    """

    masses: Array
    place: Array
    sigma: Array
    efficiency: Array
    inside: Array
    error: Array
    u: Array
    cdf: Array
    edges: Array
    width: float
    background: Array
    reachable: Array
    places: Array

    def at(self, table: Array, masses: Array) -> Array:
        """One of the tables (k,) at other masses; monotonic between its entries, the last ones beyond."""
        inside = np.clip(masses, self.masses[0], self.masses[-1])
        return np.asarray(np.exp(PchipInterpolator(self.masses, np.log(np.maximum(table, 1e-300)))(inside)))


def peak_fit(search: Search, dataset: Dataset) -> PeakFit:
    """The dataset's fit. Raises ``ValueError`` for a search that cannot be scanned this way."""
    if len(search.mass_names) != 1 or not isinstance(search.window, IntervalWindow):
        raise ValueError(f"{search.name}: a fast scan needs one mass and a window in one variable")
    if not isinstance(dataset.fit, PeakFit):
        raise ValueError(f"{search.name}, dataset {dataset.name}: a fast scan needs a fit of a peak over a smooth background")
    return dataset.fit


@lru_cache(maxsize=8)
def frame_of(search: Search, dataset: Dataset, fixed: tuple[tuple[str, Any], ...], n_events: int, seed: int,
             lines: tuple[str, ...]) -> Frame:  # fmt: skip
    """The frame for the parameters that simulate, ``fixed`` without the mass.

    Raises ``ValueError`` for a search without a fit of a peak, and where the signal does not move with the mass or none is
    seen at any."""
    fit = peak_fit(search, dataset)
    span, width = fit.span, 2.0 * fit.span / fit.bins
    values = dict(fixed)
    reachable, places = _open_masses(search, values, dataset)
    u = np.linspace(-span, span, 2 * round(span / FINE) + 1)
    peaks = _peaks(search, dataset, values, reachable, (n_events, seed, lines), u)
    masses, place, sigma, efficiency, inside, error = (
        np.array([getattr(p, name) for p in peaks]) for name in ("mass", "place", "sigma", "efficiency", "inside", "error")
    )
    edges = _edges(place, sigma, span, width, places)
    allowed = np.asarray(search.window.physical(edges, np.zeros_like(edges), dataset), dtype=bool)
    edges = edges[np.flatnonzero(allowed)[0] : np.flatnonzero(allowed)[-1] + 1]
    background = _background(search, dataset, choices_of(search, values), lines, (edges, np.asarray(fit.rows)), width)
    return Frame(masses=masses, place=place, sigma=sigma, efficiency=efficiency, inside=inside, error=error, u=u,
                 cdf=np.array([p.cdf for p in peaks]), edges=edges, width=width, background=background,
                 reachable=reachable, places=places)  # fmt: skip


def _open_masses(search: Search, values: Mapping[str, Any], dataset: Dataset) -> tuple[Array, Array]:
    """Masses [GeV] that are not closed, densely over the declared range, and where each of them peaks."""
    name = search.mass_names[0]
    declared = next(p for p in search.parameters if p.name == name)
    first_steps = np.geomspace(1e-7, 0.05, DENSE // 4) * (declared.high - declared.low)
    dense = np.unique(np.concatenate([np.linspace(declared.low, declared.high, DENSE), declared.low + first_steps]))
    masses = np.array([m for m in dense if not search.closed({**values, name: float(m)}, dataset)])
    place = np.array([search.window.centre({**values, name: float(m)})[0] for m in masses])
    if len(masses) < 2 or (np.diff(place) <= 0).any():
        raise ValueError(f"{search.name}: no scan of {name}: at these parameters the signal does not move with it")
    return masses, place


def _peaks(search: Search, dataset: Dataset, values: Mapping[str, Any], reachable: Array, effort: tuple[Any, ...],
           u: Array) -> list[Peak]:  # fmt: skip
    """The simulated masses, in order: wider steps the higher they are, then halves of those with the worst interpolation."""
    found: dict[float, Peak | None] = {}

    def look(masses: list[float]) -> None:
        new = [m for m in masses if m not in found]
        with ThreadPoolExecutor(_workers()) as pool:
            found.update(zip(new, pool.map(lambda m: _peak(search, dataset, values, m, effort, u), new), strict=True))

    first = reachable[np.linspace(0, len(reachable) - 1, 3).astype(int)]
    look([float(first[1])])  # alone: what is compiled or read now is there for the others
    # closer to each other at the low end: thresholds are there, and resolutions change by factors
    span = reachable[0] + (reachable[-1] - reachable[0]) * np.linspace(0.0, 1.0, FIRST) ** 2
    look([float(reachable[np.abs(reachable - m).argmin()]) for m in span])
    while len(found) < MOST:
        order = sorted(found)
        rough = _roughness(np.array(order), [found[m] for m in order])
        steps = sorted(zip(rough, pairwise(order), strict=True), reverse=True)
        near = [float(reachable[np.abs(reachable - 0.5 * (a + b)).argmin()]) for value, (a, b) in steps if value > ALIKE]
        wanted = [m for m in dict.fromkeys(near) if m not in found][: min(2, MOST - len(found))]
        if not wanted:
            break
        look(wanted)
    peaks_found = [p for _, p in sorted(found.items()) if p is not None]
    best = max((p.efficiency for p in peaks_found), default=0.0)
    seen = [p for p in peaks_found if p.efficiency > SEEN * best]
    if len(seen) < 2:
        raise ValueError(f"{search.name}: no scan: the signal is seen at fewer than two of {len(found)} masses")
    return seen


def _workers() -> int:
    """Threads that simulate side by side; the one threading layer of numba that cannot be entered twice gets one."""
    try:
        layer = numba.threading_layer()
    except ValueError:  # nothing has run in parallel yet
        return 1
    return int(numba.get_num_threads()) if layer in ("omp", "tbb") else 1


def _roughness(masses: Array, peaks: list[Peak | None]) -> Array:
    """How badly (n - 1,) resolution and efficiency are interpolated between neighbours of n masses, as logarithms.

    At an end of its steps, each mass is compared with the line through its neighbours; the first and the last step, of which
    one end has no neighbour, also by END of their change. Low efficiencies are all alike.
    """
    best = max((p.efficiency for p in peaks if p), default=1.0)
    efficiency = np.log([max(p.efficiency if p else 0.0, FAINT * best) for p in peaks])
    sigma = np.log([p.sigma if p else np.nan for p in peaks])
    out = np.zeros(len(masses) - 1)
    for table in (efficiency, sigma):
        left = np.diff(masses)[:-1] / (masses[2:] - masses[:-2])
        off = np.nan_to_num(np.abs(table[1:-1] - (1.0 - left) * table[:-2] - left * table[2:]))
        change = END * np.nan_to_num(np.abs(np.diff(table)))
        out = np.maximum(out, np.maximum(np.append(off, change[-1]), np.insert(off, 0, change[0])))
    return out


def _peak(search: Search, dataset: Dataset, values: Mapping[str, Any], mass: float, effort: tuple[int, int, tuple[str, ...]],
          u: Array) -> Peak | None:  # fmt: skip
    """One mass simulated, or None where too few events are seen."""
    here, (n_events, seed, lines) = {**values, search.mass_names[0]: mass}, effort
    try:
        with threads(1):
            summary = summarise(search, dataset, search.sample_of(here), n_events, seed, lines)
    except ValueError:  # too few for a resolution
        return None
    signal, parts = summary.simulated, summary.parts
    if not (parts.efficiency > 0 and parts.efficiency_uncertainty < WORST * parts.efficiency):
        return None
    place, sigma = signal.centre[0], float(signal.covariance[0, 0] ** 0.5)
    weights = np.where(signal.selected, signal_weights(signal, lines), 0.0)
    columns, rows = signal.reco.columns, np.asarray(peak_fit(search, dataset).rows)
    off = (columns[search.window.x] - place) / sigma
    shape = np.histogram2d(off, columns[search.window.y], (u, rows), weights=weights)[0].T
    efficiency = float(shape.sum())
    return Peak(mass=mass, place=place, sigma=sigma, efficiency=efficiency, inside=parts.efficiency,
                error=parts.efficiency_uncertainty / parts.efficiency,
                cdf=np.cumsum(np.insert(shape, 0, 0.0, axis=1), axis=1) / efficiency)  # fmt: skip


def _edges(place: Array, sigma: Array, span: float, width: float, places: Array) -> Array:
    """Edges of bins of ``width`` resolutions, from ``span`` of them below the first place to as many above the last."""
    order = np.argsort(place)
    place, sigma = place[order], sigma[order]
    x = np.linspace(max(places[0], place[0]) - span * sigma[0], min(places[-1], place[-1]) + span * sigma[-1], 20 * DENSE)
    local = np.exp(PchipInterpolator(place, np.log(sigma))(np.clip(x, place[0], place[-1])))
    z = np.concatenate([[0.0], np.cumsum(0.5 * np.diff(x) * (1.0 / local[1:] + 1.0 / local[:-1]))])
    return np.asarray(np.interp(np.arange(0.0, z[-1], width), z, x))


def _background(search: Search, dataset: Dataset, choices: tuple[Any, ...], lines: tuple[str, ...], edges: tuple[Array, Array],
                width: float) -> Array:  # fmt: skip
    """Background (n, rows) [fb] in the bins between ``edges`` in x and y."""
    template, weights = selected_template(search, dataset, choices, lines)
    x, row = template.columns[search.window.x], np.digitize(template.columns[search.window.y], edges[1]) - 1
    total = np.zeros((len(edges[0]) - 1, len(edges[1]) - 1))
    for k in range(len(template.processes)):
        for j in range(total.shape[1]):
            use = (weights > 0) & (template.process == k) & (row == j)
            total[:, j] += _spread(x[use], weights[use], edges[0], width)
    return total


def _spread(x: Array, weights: Array, edges: Array, width: float) -> Array:
    """Contents (n,) of bins of ``width`` resolutions, spread by the first of SPREADS that leaves ENOUGH effective events."""
    content = np.histogram(x, edges, weights=weights)[0]
    squares = np.histogram(x, edges, weights=weights**2)[0]
    total, todo = np.zeros(len(content)), np.ones(len(content), dtype=bool)
    for spread in SPREADS:
        reach = max(1, round(4.0 * spread / width))  # as far as events are spread: two widths to either side
        sums, errors = uniform_filter1d(content, reach) * reach, uniform_filter1d(squares, reach) * reach
        enough = sums**2 >= ENOUGH * np.maximum(errors, 1e-300)
        now = todo & (enough | (spread == SPREADS[-1]))
        total += gaussian_filter1d(np.where(now, content, 0.0), spread / width, mode="reflect")
        todo &= ~now
    return total


def default_masses(frame: Frame, step: float) -> Array:
    """Masses [GeV] in steps of ``step`` resolutions over all that was simulated."""
    use = (frame.reachable >= frame.masses[0]) & (frame.reachable <= frame.masses[-1])
    masses, place = frame.reachable[use], frame.places[use]
    sigma = frame.at(frame.sigma, masses)
    grid = mass_grid(place[0], place[-1], lambda x: float(np.interp(x, place, sigma)), step=step)
    return np.interp(grid, place, masses)
