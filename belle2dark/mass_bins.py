"""The windows of a search in one mass side by side: bins without gap or overlap, and the same moved by half a bin.

What a search does that counts in bins of one variable, as the pilot run's search for an invisible Z' did. Width and
efficiency are simulated at a few masses and interpolated; a signal between two bins of the first binning is in the middle of
one of the second. Use :func:`bins` for the list, :func:`bin_limits` for limits and p-values in all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from belle2dark._jit import threads
from belle2dark.contract import package_version
from belle2dark.limits.bands import expected_upper_limits
from belle2dark.limits.counting import Method, upper_limits
from belle2dark.limits.discovery import p_value
from belle2dark.point import SEED, check_lines
from belle2dark.sample import choices_of, summarise, window_background
from belle2dark.scan import BAND, LimitCurve
from belle2dark.search import Search
from belle2dark.trigger.menu import load_menu
from belle2dark.window import IntervalWindow

Array = NDArray[np.float64]
#: masses that are simulated, and how near to the kinematic edge the last one is, in parts of the range
_NODES, _LAST = 24, 0.02


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bins:
    """m bins: ``low`` and ``high`` edge in the window's variable, ``masses`` [GeV] in their middle, signal ``efficiency``."""

    low: Array
    high: Array
    masses: Array
    efficiency: Array

    def __len__(self) -> int:
        return len(self.masses)


def bins(search: Search, given: Mapping[str, Any] | None = None, /, *, shifted: bool = False, lines: Sequence[str] | None = None,
         seed: int = SEED, n_events: int = 8000) -> Bins:  # fmt: skip
    """Bins as wide as the window of a signal in their middle, from 0 (``shifted``: half a bin further) to the kinematic edge.

    Raises ``ValueError`` for a search that has not one mass and an interval of its square, for a signal that stays where it is
    whatever the mass, and for L1 lines that the experiment does not have.
    """
    values = search.parse(given or {})
    search = search.at(values)
    window = search.window
    if not isinstance(window, IntervalWindow) or len(search.mass_names) != 1:
        raise ValueError(f"{search.name}: bins need one mass and a window in one variable")
    dataset, name = search.datasets[str(values["dataset"])], search.mass_names[0]
    used = load_menu().check(dataset.lines if lines is None else lines)
    check_lines(used, dataset)
    declared = next(p for p in search.parameters if p.name == name)
    nodes = np.linspace(declared.low, declared.low + (1.0 - _LAST) * (dataset.detector.beams.sqrt_s - declared.low), _NODES)
    nodes = np.array([m for m in nodes if not search.closed({**values, name: float(m)}, dataset)])
    place, sigma, efficiency = np.empty((3, len(nodes)))
    with threads(1):
        for i, m in enumerate(nodes):
            here = {**values, name: float(m)}
            found = summarise(search, dataset, search.sample_of(here), n_events, seed, used)
            place[i], sigma[i] = found.simulated.centre[0], found.simulated.covariance[0, 0] ** 0.5
            efficiency[i] = found.parts.efficiency
    if len(nodes) < 2 or (np.diff(place) <= 0).any():
        raise ValueError(f"{search.name}: no bins of {name}: at these parameters the signal does not move with it")
    edges = [0.0]
    while True:
        half = 0.0
        for _ in range(20):  # the width is that of a signal in the middle, which depends on the width
            half = window.n_sigma * float(np.interp(edges[-1] + half, place, sigma))
        if edges[-1] + half > place[-1]:
            break
        edges.append(edges[-1] + 2.0 * half)
    ends = np.array(edges)
    if shifted:
        ends = 0.5 * (ends[:-1] + ends[1:])
    low, high = ends[:-1], ends[1:]
    middle = 0.5 * (low + high)
    masses, kept = np.interp(middle, place, nodes), np.interp(middle, place, efficiency)
    open_ = kept > 0
    return Bins(low=low[open_], high=high[open_], masses=masses[open_], efficiency=kept[open_])


def bin_limits(search: Search, given: Mapping[str, Any] | None = None, /, *, observed: tuple[Array, Array] | None = None,
               shifted: bool = False, lines: Sequence[str] | None = None, cl: float | None = None, method: Method | None = None,
               seed: int = SEED) -> LimitCurve:  # fmt: skip
    """Limits and, with ``observed`` events (the window's two variables), counts and local p-values in all bins."""
    import pandas as pd

    values = search.parse(given or {})
    search = search.at(values)
    dataset, name = search.datasets[str(values["dataset"])], search.mass_names[0]
    cl, method = dataset.cl if cl is None else cl, method or dataset.method
    used = load_menu().check(dataset.lines if lines is None else lines)
    where = bins(search, given, shifted=shifted, lines=lines, seed=seed)
    centres = np.stack([0.5 * (where.low + where.high), np.zeros(len(where))], axis=-1)
    sigma = (where.high - where.low) / (2.0 * search.window.n_sigma)
    covariances = sigma[:, None, None] ** 2 * np.eye(2)
    fb, effective = window_background(search, dataset, choices_of(search, values), used, centres, covariances)
    variance = np.divide(fb**2, effective, out=np.zeros_like(fb), where=effective > 0).sum(axis=0)
    luminosity, total = float(values["luminosity"]), fb.sum(axis=0)
    background = luminosity * total
    relative = np.sqrt(np.divide(variance, total**2, out=np.zeros_like(total), where=total > 0))
    points = [{**values, name: float(m)} for m in where.masses]
    systematics = [search.uncertainties(p) for p in points]
    n = np.zeros(len(where), dtype=np.int64)
    if observed is not None:
        index: Any = search.window.sort(*observed)
        n = search.window.count(index, None, centres, covariances)[0].astype(np.int64)
    frame = pd.DataFrame({name: where.masses, "low": where.low, "high": where.high, "luminosity": luminosity,
                          "efficiency": where.efficiency, "background": background})  # fmt: skip
    columns = np.full((len(where), 6), np.nan)
    for kind in set(systematics):
        rows = np.array([item == kind for item in systematics])
        options: dict[str, Any] = {"cl": cl, "method": method, "uncertainties": kind, "background_mc": relative[rows]}
        columns[rows, :5] = expected_upper_limits(background[rows], **options)
        if observed is not None:
            columns[rows, 5] = upper_limits(n[rows], background[rows], **options)
    seen = np.where([search.visible(p, dataset) for p in points], 1.0, 1.0 / where.efficiency)
    for k, part in enumerate((*BAND, "observed")):
        frame[f"limit_{part}"] = columns[:, k] * seen / luminosity
        for c in search.couplings:
            rate = np.array([c.rate(p, dataset) for p in points])
            frame[f"{c.name}_{part}"] = (columns[:, k] / (luminosity * where.efficiency * rate)) ** (1 / c.power)
    if observed is not None:
        frame["n_observed"] = n
        known = np.array([np.hypot(s.background, s.correlated) for s in systematics])
        frame["p_value"] = p_value(n, background, background_uncertainty=np.hypot(relative, known))
    return LimitCurve(search=search.name, quantity=search.quoted(values), unit=search.unit, cl=cl, method=method, seed=seed,
                      version=package_version(), frame=frame)  # fmt: skip
