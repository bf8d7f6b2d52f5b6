"""Limits from histograms in the two columns of a window, for datasets with a :class:`TemplateFit`.

Signal and background histograms of a mass point are made once (:func:`histograms`); :func:`fit_limit` scales them to a
luminosity and asks the shape fit for the limit. A background is smooth over a resolution: along x its simulated events
are spread by half a resolution, or by more where there are few of them, so that empty bins are not taken for empty regions.

Not included: uncertainties of shapes other than the finite simulation; systematics of the background move all of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import gammaincc, ndtr

from belle2dark.limits.background_shapes import Templates
from belle2dark.limits.counting import Method, Uncertainties
from belle2dark.limits.fit_model import Nuisance
from belle2dark.limits.shape_limit import SIGMAS, band_targets, shape_limit
from belle2dark.sample import ENOUGH, choices_of, selected_template, signal_weights, simulate
from belle2dark.search import Calibration, Dataset, Search

Array = NDArray[np.float64]
#: spread of simulated background events along x, in resolutions: the first that leaves ENOUGH effective events in its reach
SPREADS = (0.5, 1.0, 2.0, 4.0)
#: least expected background of a bin, as a share of the mean bin: a likelihood needs more than nothing
FLOOR = 1e-3
#: background events from which asymptotic formulae need no correction
MANY = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateFit:
    """A fit of signal and background histograms in the window's two columns.

    ``bins`` equal bins over ``span`` resolutions to either side of the peak in x, ``y_edges`` in y.
    """

    bins: int
    span: float
    y_edges: tuple[float, ...]
    methods: tuple[Method, ...] = ("cls",)
    counts: bool = True

    def prepare(self, search: Search, dataset: Dataset, masses: tuple[Any, ...], n_events: int, seed: int,
                lines: tuple[str, ...]) -> Histograms:  # fmt: skip
        """See :class:`belle2dark.search.Fit`."""
        return histograms(self, search, dataset, masses, n_events, seed, lines)

    def limit(self, found: Histograms, luminosity: float, *, cl: float, method: Method, uncertainties: Uncertainties,
              observed: tuple[Array, Array] | None = None) -> tuple[tuple[float, ...], float | None]:  # fmt: skip
        """See :func:`fit_limit`."""
        return fit_limit(found, luminosity, cl=cl, method=method, uncertainties=uncertainties, observed=observed)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Histograms:
    """Histograms (nx, ny) in x and y: ``signal`` per produced event, ``background`` by process [fb], its relative ``error``."""

    x_edges: Array
    y_edges: Array
    signal: Array
    background: Mapping[str, Array]
    error: Array

    @property
    def efficiency(self) -> float:
        """Fraction of the produced signal inside the histogram."""
        return float(self.signal.sum())


@lru_cache(maxsize=64)
def histograms(fit: TemplateFit, search: Search, dataset: Dataset, masses: tuple[Any, ...], n_events: int, seed: int,
               lines: tuple[str, ...]) -> Histograms:  # fmt: skip
    """The histograms of one mass point."""
    signal = simulate(search, dataset, masses, n_events, seed)
    sigma, centre = float(np.sqrt(signal.covariance[0, 0])), signal.centre[0]
    x_edges, y_edges = centre + fit.span * sigma * np.linspace(-1.0, 1.0, fit.bins + 1), np.asarray(fit.y_edges)
    rows, bins = _places(fit, search, dataset, masses[: len(search.masses)], n_events, seed)
    size = (fit.bins, len(fit.y_edges) - 1)
    shape = np.asarray(np.bincount(bins, signal_weights(signal, lines, rows), math.prod(size)), dtype=float).reshape(size)
    choices = choices_of(search, search.simulated(masses))
    background, error = _backgrounds(search, dataset, choices, lines, tuple(x_edges.tolist()), fit.y_edges, sigma)
    return Histograms(x_edges=x_edges, y_edges=y_edges, signal=shape, background=background, error=error)


@lru_cache(maxsize=64)
def _places(fit: TemplateFit, search: Search, dataset: Dataset, masses: tuple[Any, ...], n_events: int,
            seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:  # fmt: skip
    """Selected signal events inside the histogram, and the bin of each: the same for all lifetimes and lines."""
    signal = simulate(search, dataset, masses, n_events, seed)
    sigma, centre = float(np.sqrt(signal.covariance[0, 0])), signal.centre[0]
    x, y = (signal.reco.columns[name] for name in (search.window.x, search.window.y))
    column = np.floor(((x - centre) / (fit.span * sigma) + 1.0) * 0.5 * fit.bins)
    row = np.digitize(y, fit.y_edges) - 1
    rows = np.flatnonzero(signal.selected & (column >= 0) & (column < fit.bins) & (row >= 0) & (row < len(fit.y_edges) - 1))
    return rows, (column[rows].astype(np.intp) * (len(fit.y_edges) - 1) + row[rows])


@lru_cache(maxsize=64)
def _backgrounds(search: Search, dataset: Dataset, choices: tuple[Any, ...], lines: tuple[str, ...], x: tuple[float, ...],
                 y: tuple[float, ...], sigma: float) -> tuple[Mapping[str, Array], Array]:  # fmt: skip
    """Smoothed histograms (nx, ny) of the background by process [fb] and their relative error, the same for all lifetimes."""
    template, w = selected_template(search, dataset, choices, lines)
    x_edges, y_edges = np.array(x), np.array(y)
    columns, background, variance = template.columns, {}, np.zeros((len(x) - 1, len(y) - 1))
    for k, name in enumerate(template.processes):
        use = (w > 0) & (template.process == k)
        background[name], more = _smooth(columns[search.window.x][use], columns[search.window.y][use], w[use], x_edges, y_edges,
                                         sigma)  # fmt: skip
        variance += more
    total = np.sum(list(background.values()), axis=0)
    error = np.divide(np.sqrt(variance), total, out=np.ones_like(total), where=total > 0)
    return MappingProxyType(background), np.minimum(error, 1.0)


def declared(found: Histograms, share: float, constants: Calibration | None, sigma: float) -> Histograms:
    """The histograms with a ``share`` of the signal and, where it is declared, a flat background per resolution ``sigma``."""
    if constants is None or constants.background is None:
        return replace(found, signal=share * found.signal)
    flat = np.broadcast_to(constants.background / sigma * np.diff(found.x_edges)[:, None], found.signal.shape)
    flat = flat / found.signal.shape[1]
    return replace(found, signal=share * found.signal, background={constants.name: flat}, error=np.zeros_like(found.error))


def _smooth(x: Array, y: Array, w: Array, x_edges: Array, y_edges: Array, sigma: float) -> tuple[Array, Array]:
    """Histogram (nx, ny) of weighted events, each spread along x by a Gaussian, and its variance."""
    row = np.digitize(y, y_edges) - 1
    for spread in SPREADS:
        h = spread * sigma
        near = (x > x_edges[0] - 4.0 * h) & (x < x_edges[-1] + 4.0 * h) & (row >= 0) & (row < len(y_edges) - 1)
        squares = float((w[near] ** 2).sum())
        if squares > 0 and w[near].sum() ** 2 / squares >= ENOUGH * (x_edges[-1] - x_edges[0]) / (4.0 * h):
            break
    shares = np.diff(ndtr((x_edges[None, :] - x[near, None]) / h), axis=1) * w[near, None]
    content, variance = np.zeros((2, len(x_edges) - 1, len(y_edges) - 1))
    for j in range(len(y_edges) - 1):
        part = shares[row[near] == j]
        content[:, j], variance[:, j] = part.sum(axis=0), (part**2).sum(axis=0)
    return content, variance


def few_events(limits: Array, cl: float) -> Array:
    """Factors (5,) from asymptotic to Poisson CLs limits (5,) in signal events, those of a count that is worth the same.

    A fit is worth a count of all its signal over as much background as gives the same asymptotic median. Asymptotic
    formulae promise 1.35 events at 90 % where there is no background; a count gives 2.30. The count's quantiles are
    continuous (incomplete gamma functions), as those of a fit are: no steps where the median count changes by one.
    """
    targets = band_targets(cl)

    def asymptotic(signal: float, background: float) -> float:
        return float(np.sqrt(2.0 * (signal - background * np.log1p(signal / background))))

    least, most = 1e-6, MANY
    if asymptotic(limits[2], most) > targets[2]:
        return np.ones(5)
    worth = least
    if asymptotic(limits[2], least) > targets[2]:
        worth = brentq(lambda b: asymptotic(limits[2], b) - targets[2], least, most)
    highest = 1e4 + 10.0 * most
    approximate = [brentq(lambda s, t=t: asymptotic(s, worth) - t, 1e-6, highest) for t in targets]
    return np.array([count_limit(quantile_count(worth, n), worth, cl) for n in SIGMAS]) / np.array(approximate)


def quantile_count(background: float, sigma: float) -> float:
    """The count below which a share Phi(``sigma``) of experiments lies, whole numbers spread by half an event to either side."""
    share = float(ndtr(sigma))

    def excess(n: float) -> float:
        return float(gammaincc(n + 1.0, background)) - share

    lowest = -1.0 + 1e-9
    if excess(lowest) >= 0:
        return 0.0
    return max(0.0, 0.5 + float(brentq(excess, lowest, background + 20.0 * np.sqrt(background) + 20.0)))


def count_limit(n: float, background: float, cl: float) -> float:
    """CLs limit [events] of a count ``n``, which need not be whole, over a known background."""
    base = (1.0 - cl) * float(gammaincc(n + 1.0, background))
    return float(brentq(lambda s: float(gammaincc(n + 1.0, s + background)) - base, 0.0, 10.0 * (n + background + 20.0)))


def fit_limit(found: Histograms, luminosity: float, *, cl: float, method: Method, uncertainties: Uncertainties,
              observed: tuple[Array, Array] | None = None) -> tuple[tuple[float, ...], float | None]:  # fmt: skip
    """Expected limits (-2 .. +2 sigma) and the observed one on the rate [fb], from a fit at ``luminosity`` [fb-1].

    ``observed`` are the events of a dataset in the window's two variables. CLs is asymptotic, corrected for few events by
    :func:`few_events` (the observed limit with the median's factor). Raises ``ValueError`` if the fit fails or there is no
    signal in the histogram.
    """
    if not found.efficiency > 0:
        raise ValueError("the fit has no signal: none of the simulated events lies inside its histogram")
    names = [name for name, shape in found.background.items() if shape.sum() > 0]
    contents = luminosity * np.array([found.background[name] for name in names] or [np.zeros_like(found.signal)])
    contents[0] += max(FLOOR * contents.sum() / contents[0].size, 1e-9)
    templates = Templates(contents=contents, uncertainties=(0.0,) * len(contents), statistical=found.error)
    both = uncertainties.correlated
    nuisances = (
        Nuisance(name="signal efficiency", signal=uncertainties.signal),
        Nuisance(name="background", background=uncertainties.background),
        Nuisance(name="correlated", signal=both, background=both),
    )
    signal, to_fb = found.signal / found.efficiency, 1.0 / (luminosity * found.efficiency)
    counts = contents.sum(axis=0)
    if observed is not None:
        counts = np.histogram2d(*observed, (found.x_edges, found.y_edges))[0]
    answer = shape_limit(counts, None, signal, templates, nuisances=nuisances, cl=cl, method=method)  # type: ignore[arg-type]
    if answer.expected is None:
        raise ValueError(f"the fit found no limit: {answer.reason}")
    limits = np.array(answer.expected)
    factors = few_events(limits, cl) if method == "cls" else np.ones(5)
    seen = None if observed is None or answer.observed is None else to_fb * answer.observed * float(factors[2])
    return tuple(float(value) for value in to_fb * factors * limits), seen
