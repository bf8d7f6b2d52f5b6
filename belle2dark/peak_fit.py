"""Limits from a peak over a smooth background that floats, for datasets with a :class:`PeakFit`.

The signal has its simulated shape and the background is a polynomial, fitted within some resolutions around the mass: rates
of backgrounds need not be predicted. Expected limits are those for the simulated background, smoothed along x as far as its
statistics ask for. A curve of thousands of masses is made by :mod:`belle2dark.mass_scan`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from belle2dark.fitting import Array, Histograms, TemplateFit, few_events, histograms
from belle2dark.limits.background_shapes import Chebyshev
from belle2dark.limits.counting import Method, Uncertainties
from belle2dark.limits.fit_model import Nuisance
from belle2dark.limits.shape_limit import ShapeLimit, shape_limit
from belle2dark.search import Dataset, Search

#: least expected background of a bin, as a share of the mean bin and in events: a likelihood needs more than nothing
FLOOR, LEAST = 1e-3, 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakFit:
    """A fit of the window's x, ``bins`` equal bins over ``span`` resolutions to either side of the peak.

    The background is a Chebyshev polynomial of ``degree``, its coefficients free.
    """

    degree: int
    span: float
    bins: int
    methods: tuple[Method, ...] = ("cls",)

    def prepare(self, search: Search, dataset: Dataset, masses: tuple[Any, ...], n_events: int, seed: int,
                lines: tuple[str, ...]) -> Histograms:  # fmt: skip
        """The histograms (bins, 1) of one mass point; bins where no event can be are left out."""
        return peak_histograms(self, search, dataset, masses, n_events, seed, lines)

    def limit(self, found: Histograms, luminosity: float, *, cl: float, method: Method, uncertainties: Uncertainties,
              observed: tuple[Array, Array] | None = None) -> tuple[tuple[float, ...], float | None]:  # fmt: skip
        """Expected limits (-2 .. +2 sigma) and the observed one on the rate [fb] at ``luminosity`` [fb-1].

        Only uncertainties of the signal count, since the background floats. CLs is asymptotic, corrected for few events.
        Raises ``ValueError`` if the fit fails or there is no signal in the histogram.
        """
        if not found.efficiency > 0:
            raise ValueError("the fit has no signal: none of the simulated events lies inside its histogram")
        contents = luminosity * np.sum([shape[:, 0] for shape in found.background.values()], axis=0)
        contents = np.maximum(contents, max(FLOOR * float(contents.mean()), LEAST))
        counts = contents
        if observed is not None:
            counts = np.histogram(observed[0], found.x_edges)[0].astype(float)
        signal = found.signal[:, 0] / found.efficiency
        relative = float(np.hypot(uncertainties.signal, uncertainties.correlated))
        nuisances = (Nuisance(name="signal efficiency", signal=relative),) if relative > 0 else ()
        edges = found.x_edges
        answer, background = self._answer(contents, edges, signal, nuisances, cl)
        limits, to_fb = np.array(answer.expected), 1.0 / (luminosity * found.efficiency)
        factors = few_events(limits, cl)
        seen = None
        if observed is not None:
            real = shape_limit(counts, edges, signal, background, nuisances=nuisances, cl=cl)
            seen = None if real.observed is None else to_fb * real.observed * float(factors[2])
        return tuple(float(value) for value in to_fb * factors * limits), seen

    def _answer(self, contents: Array, edges: Array, signal: Array, nuisances: tuple[Nuisance, ...],
                cl: float) -> tuple[ShapeLimit, Chebyshev]:  # fmt: skip
        """The expected limits and the polynomial: of a lower degree where next to nothing is expected and no fit is found."""
        reason = ""
        for degree in range(self.degree, -1, -1):
            answer = shape_limit(contents, edges, signal, Chebyshev(degree=degree), nuisances=nuisances, cl=cl)
            if answer.expected is not None:
                return answer, Chebyshev(degree=degree)
            reason = reason or answer.reason
        raise ValueError(f"the fit found no limit: {reason}")


@lru_cache(maxsize=64)
def peak_histograms(fit: PeakFit, search: Search, dataset: Dataset, masses: tuple[Any, ...], n_events: int, seed: int,
                    lines: tuple[str, ...]) -> Histograms:  # fmt: skip
    """See :meth:`PeakFit.prepare`."""
    template = TemplateFit(bins=fit.bins, span=fit.span, y_edges=(-np.inf, np.inf))
    found = histograms(template, search, dataset, masses, n_events, seed, lines)
    middle = 0.5 * (found.x_edges[1:] + found.x_edges[:-1])
    use = np.flatnonzero(np.asarray(search.window.physical(middle, np.zeros_like(middle), dataset), dtype=bool))
    first, last = int(use[0]), int(use[-1]) + 1
    return replace(found, x_edges=found.x_edges[first : last + 1], signal=found.signal[first:last], error=found.error[first:last],
                   background={name: shape[first:last] for name, shape in found.background.items()})  # fmt: skip
