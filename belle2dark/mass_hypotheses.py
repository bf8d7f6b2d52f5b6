"""From simulated masses to thousands of hypotheses: what turns the events of a fit into rates, and the windows to fit.

:mod:`belle2dark.mass_frame` simulates, this interpolates and applies what depends on luminosity, couplings and declared
constants, :mod:`belle2dark.mass_scan` fits. No randomness.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from belle2dark.limits.background_shapes import Chebyshev
from belle2dark.limits.scan_windows import Windows, make_windows
from belle2dark.limits.shapes import Gaussian
from belle2dark.mass_frame import Frame, peak_fit
from belle2dark.peak_fit import FLOOR, LEAST, side_by_side
from belle2dark.search import Dataset, Search

Array = NDArray[np.float64]
#: every so many of the reachable masses are asked for declared constants
DENSE_STEP = 8
#: the relative uncertainty of the signal is rounded to this: masses that share it are fitted in one call
ROUND = 0.01


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hypotheses:
    """m open masses [GeV] ready for any data: tables (m,) and windows of the histogram ``counts`` (n rows,) of expected events.

    The rows of a bin are next to each other in it; ``rows`` are their edges in the window's y.

    ``place`` and ``sigma`` are in the window's variable, ``to_fb`` is the rate [fb] that one event in the fit stands for if
    all of the signal is ``kept``, which is its share at the couplings given, ``to_quoted`` the factor from a rate to what is
    quoted, ``relative`` the uncertainty of the signal; ``efficiency`` and ``background`` [events] are those of the window,
    ``unit_rates`` what a coupling of 1 gives [fb], ``resolution`` is that of the mass [GeV].
    """

    search: Search
    dataset: Dataset
    points: tuple[Mapping[str, Any], ...]
    masses: Array
    place: Array
    sigma: Array
    efficiency: Array
    background: Array
    kept: Array
    to_fb: Array
    to_quoted: Array
    relative: Array
    unit_rates: Mapping[str, Array]
    resolution: Array
    edges: Array
    rows: Array
    counts: Array
    windows: Windows

    @property
    def near(self) -> NDArray[np.bool_]:
        """Whether each bin (m, w) of the fits is in the window that is counted, by its middle."""
        rows = len(self.rows) - 1
        first, size = self.windows.first // rows, self.windows.size // rows
        where = first[:, None] + np.minimum(np.arange(self.windows.signal.shape[1] // rows), np.maximum(size - 1, 0)[:, None])
        middle = 0.5 * (self.edges[where] + self.edges[where + 1])
        half = self.search.window.n_sigma * self.sigma[:, None]
        return np.repeat(np.abs(middle - self.place[:, None]) < half, rows, axis=1)

    def filled(self, x: Array, y: Array) -> Array:
        """Events (x, y) in the bins of ``counts``."""
        return np.histogram2d(x, y, (self.edges, self.rows))[0].reshape(-1)


def make_hypotheses(search: Search, dataset: Dataset, frame: Frame, points: tuple[Mapping[str, Any], ...],
                    scale: float) -> Hypotheses:  # fmt: skip
    """Everything that a fit needs at ``points``, the parameters of m masses that are not closed.

    ``scale`` is the factor on the systematic uncertainties.
    """
    name = search.mass_names[0]
    luminosity, fit = float(points[0]["luminosity"]), peak_fit(search, dataset)
    masses = np.array([p[name] for p in points])
    place, sigma = np.array([search.window.centre(p)[0] for p in points]), frame.at(frame.sigma, masses)
    constants = [search.calibration(p, dataset) for p in points]
    share, kept = np.array([c.efficiency if c else 1.0 for c in constants]), np.array([search.kept(p, dataset) for p in points])
    efficiency = kept * share * frame.at(frame.inside, masses)
    counts = luminosity * _declared(search, dataset, frame, points[0]) * (fit.opening(frame.edges) > FLOOR)
    known = [search.uncertainties(p) for p in points]
    systematic = scale * np.array([np.hypot(k.signal, k.correlated) for k in known])
    relative = np.minimum(np.hypot(systematic, frame.at(frame.error, masses)), 1.0)
    windows = make_windows(frame.edges, place, sigma, Gaussian(), Chebyshev(degree=fit.degree), window=fit.span)
    return Hypotheses(
        search=search, dataset=dataset, points=points, masses=masses, place=place, sigma=sigma, efficiency=efficiency,
        background=_inside(frame.edges, counts.sum(axis=1), place, search.window.n_sigma * sigma), kept=kept,
        to_fb=1.0 / (luminosity * share * frame.at(frame.efficiency, masses)),
        to_quoted=np.array([search.per_rate(p, float(e)) for p, e in zip(points, efficiency, strict=True)]),
        relative=ROUND * np.round(relative / ROUND),
        unit_rates={c.name: np.array([c.rate(p, dataset) for p in points]) for c in search.couplings_for(points[0])},
        resolution=_resolution(frame, masses, place, sigma),
        edges=frame.edges, rows=np.asarray(fit.rows), counts=_lifted(counts, fit.bins).reshape(-1),
        windows=_with_rows(windows, _shapes(frame, windows, masses, place, sigma), fit.opening(frame.edges[_bins(windows)])),
    )  # fmt: skip


def _with_rows(windows: Windows, signal: Array, opening: Array) -> Windows:
    """The windows of a histogram of one row for one with as many as ``signal`` and ``opening`` (m, w, rows)."""
    rows = signal.shape[2]
    return replace(windows, first=rows * windows.first, size=rows * windows.size, basis=side_by_side(windows.basis, opening),
                   signal=np.ascontiguousarray(signal.reshape(len(signal), -1)))  # fmt: skip


def _bins(windows: Windows) -> NDArray[np.int64]:
    """Numbers (m, w + 1) of the edges of each window's bins; padding has no width."""
    where = windows.first[:, None] + np.arange(windows.signal.shape[1] + 1)
    return np.minimum(where, (windows.first + windows.size)[:, None])


def _resolution(frame: Frame, masses: Array, place: Array, sigma: Array) -> Array:
    """Resolutions (m,) [GeV] of the masses: how much heavier a signal peaks ``sigma`` further up, or lighter at the upper end."""
    above, below = (np.interp(place + sign * sigma, frame.places, frame.reachable) for sign in (1.0, -1.0))
    return np.where(place + sigma < frame.places[-1], above - masses, masses - below)


def _inside(edges: Array, counts: Array, place: Array, half: Array) -> Array:
    """Sum (m,) of the counts within ``half`` of each place."""
    total = np.concatenate([[0.0], np.cumsum(counts)])
    return np.asarray(np.interp(place + half, edges, total) - np.interp(place - half, edges, total))


def _declared(search: Search, dataset: Dataset, frame: Frame, values: Mapping[str, Any]) -> Array:
    """The background (n, rows) [fb] in the bins: simulated or, where constants are declared for the mass there, flat."""
    masses, places = frame.reachable[::DENSE_STEP], frame.places[::DENSE_STEP]
    found = [search.calibration({**values, search.mass_names[0]: float(m)}, dataset) for m in masses]
    constants = np.array([np.nan if c is None or c.background is None else c.background for c in found])
    middle = 0.5 * (frame.edges[1:] + frame.edges[:-1])
    known = constants[~np.isnan(constants)]
    if known.size and np.ptp(known) > 1e-6 * known.max():
        raise ValueError(f"{search.name}, dataset {dataset.name}: the declared background depends on the mass; no fast scan")
    here = constants[np.clip(np.searchsorted(places, middle), 0, len(places) - 1)]
    here = here[:, None] / frame.background.shape[1]
    return np.where(np.isnan(here), frame.background, frame.width * here)


def _lifted(counts: Array, bins: int) -> Array:
    """Counts with the least that a likelihood needs in every bin, as in a fit of one mass of ``bins`` bins."""
    return np.maximum(counts, np.maximum(FLOOR * uniform_filter1d(counts, bins, axis=0), LEAST))


def _shapes(frame: Frame, windows: Windows, masses: Array, place: Array, sigma: Array) -> Array:
    """Share (m, w, rows) of the signal in each bin of m windows, mixed from the simulated masses on either side."""
    u = (frame.edges[_bins(windows)] - place[:, None]) / sigma[:, None]
    step, last = frame.u[1] - frame.u[0], len(frame.u) - 2
    position = np.clip((u - frame.u[0]) / step, 0.0, last + 1.0)
    k = np.minimum(position.astype(int), last)
    below = np.clip(np.searchsorted(frame.masses, masses, "right") - 1, 0, len(frame.masses) - 2)
    mix = np.clip((masses - frame.masses[below]) / (frame.masses[below + 1] - frame.masses[below]), 0.0, 1.0)[:, None]
    integrals = []
    for node in (below[:, None], below[:, None] + 1):
        left, right = frame.cdf[node, :, k], frame.cdf[node, :, k + 1]
        integrals.append(left + (position - k)[:, :, None] * (right - left))
    mix = mix[:, :, None]
    return np.diff((1.0 - mix) * integrals[0] + mix * integrals[1], axis=1)
