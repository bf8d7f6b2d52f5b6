"""Limits from a peak over a smooth background that floats, for datasets with a :class:`PeakFit`.

The signal has its simulated shape and the background is a polynomial, fitted within some resolutions around the mass: rates
of backgrounds need not be predicted. Several channels (rows in the window's y) share the signal, in the shares simulated,
and have a polynomial each. Expected limits are those for the simulated background, smoothed along x as far as its
statistics ask for. A curve of thousands of masses is made by :mod:`belle2dark.mass_scan`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from belle2dark.fitting import Array, Histograms, TemplateFit, few_events, histograms
from belle2dark.limits.background_shapes import polynomial_columns
from belle2dark.limits.counting import Method, Uncertainties
from belle2dark.limits.scan_windows import scan_windows
from belle2dark.limits.shape_limit import SIGMAS, band_targets
from belle2dark.search import Dataset, Search

#: least expected background of a bin, as a share of the mean bin and in events: a likelihood needs more than nothing
FLOOR, LEAST = 1e-3, 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakFit:
    """A fit of the window's x, ``bins`` equal bins over ``span`` resolutions to either side of the peak.

    The background is a Chebyshev polynomial of ``degree``, its coefficients free; one for each of the ``rows``, given by
    their edges in the window's y. A row that ``opens`` above a mass [GeV], x being one, has its polynomial times the velocity
    sqrt(1 - opens^2 / x^2) and nothing below. Pseudo-data of a scan are ``smooth``, around what the fits see of the background,
    where there are fewer simulated events than expected ones.
    """

    degree: int
    span: float
    bins: int
    rows: tuple[float, ...] = (-np.inf, np.inf)
    opens: tuple[float, ...] = ()
    smooth: bool = False
    methods: tuple[Method, ...] = ("cls",)
    counts: bool = False

    def opening(self, edges: Array) -> Array:
        """Velocity at which each row opens, averaged over bins (..., n), (..., n, rows): at least FLOOR, or 1 without masses."""
        if not self.opens:
            return np.ones((*edges.shape[:-1], edges.shape[-1] - 1, len(self.rows) - 1))
        t, x = np.array(self.opens), np.maximum(edges[..., None], self.opens)
        ratio = np.divide(t, x, out=np.ones_like(x), where=x > 0)
        integral = np.where(t > 0, np.sqrt(x * x - t * t) - t * np.arccos(ratio), edges[..., None])
        width = np.diff(edges)[..., None]
        return np.maximum(np.diff(integral, axis=-2) / np.where(width > 0, width, 1.0), FLOOR)

    def prepare(self, search: Search, dataset: Dataset, masses: tuple[Any, ...], n_events: int, seed: int,
                lines: tuple[str, ...]) -> Histograms:  # fmt: skip
        """The histograms (bins, rows) of one mass point; bins where no event can be are left out."""
        return peak_histograms(self, search, dataset, masses, n_events, seed, lines)

    def limit(self, found: Histograms, luminosity: float, *, cl: float, method: Method, uncertainties: Uncertainties,
              observed: tuple[Array, Array] | None = None) -> tuple[tuple[float, ...], float | None]:  # fmt: skip
        """Expected limits (-2 .. +2 sigma) and the observed one on the rate [fb] at ``luminosity`` [fb-1].

        Only uncertainties of the signal count, since the background floats. CLs is asymptotic, corrected for few events.
        Raises ``ValueError`` if the fit fails or there is no signal in the histogram.
        """
        if not found.efficiency > 0:
            raise ValueError("the fit has no signal: none of the simulated events lies inside its histogram")
        contents = luminosity * np.sum(list(found.background.values()), axis=0) * (self.opening(found.x_edges) > FLOOR)
        contents = np.maximum(contents, np.maximum(FLOOR * contents.mean(axis=0), LEAST)).reshape(-1)
        relative = float(np.hypot(uncertainties.signal, uncertainties.correlated))
        window, limits = self._expected(found, contents, relative, cl)
        factors, to_fb, seen = few_events(limits, cl), 1.0 / (luminosity * found.efficiency), None
        if observed is not None:
            counts = np.histogram2d(*observed, (found.x_edges, np.asarray(self.rows)))[0].reshape(-1)
            out, real = scan_windows(counts, *window, relative, 1.0 - cl, band_targets(cl, (0.0,)), True)
            if out[0, 4] < 2 and np.isfinite(real[0, 0]):
                seen = float(to_fb * real[0, 0] * factors[2])
        return tuple(float(value) for value in to_fb * factors * limits), seen

    def _expected(self, found: Histograms, contents: Array, relative: float, cl: float) -> tuple[tuple[Array, ...], Array]:
        """The window of all bins, those of the rows next to each other, and limits (5,) expected for ``contents`` [events].

        The polynomial is of a lower degree where next to nothing is expected and no fit is found. Raises ``ValueError`` if there
        is none of any degree.
        """
        opening, signal = self.opening(found.x_edges)[None], found.signal.reshape(1, -1) / found.efficiency
        u = 2.0 * (found.x_edges - found.x_edges[0]) / (found.x_edges[-1] - found.x_edges[0]) - 1.0
        for degree in range(self.degree, -1, -1):
            basis = side_by_side(polynomial_columns(u, degree, True)[None], opening)
            window = (np.array([0]), np.array([contents.size]), signal, basis)
            out, limits = scan_windows(contents, *window, relative, 1.0 - cl, band_targets(cl, SIGMAS), False)
            if out[0, 4] < 2 and np.isfinite(limits[0, 1:]).all():
                return window, limits[0, 1:]
        raise ValueError("the fit found no limit: no minimum of any degree")


@lru_cache(maxsize=64)
def peak_histograms(fit: PeakFit, search: Search, dataset: Dataset, masses: tuple[Any, ...], n_events: int, seed: int,
                    lines: tuple[str, ...]) -> Histograms:  # fmt: skip
    """See :meth:`PeakFit.prepare`."""
    template = TemplateFit(bins=fit.bins, span=fit.span, y_edges=fit.rows)
    found = histograms(template, search, dataset, masses, n_events, seed, lines)
    middle = 0.5 * (found.x_edges[1:] + found.x_edges[:-1])
    use = np.flatnonzero(np.asarray(search.window.physical(middle, np.zeros_like(middle), dataset), dtype=bool))
    first, last = int(use[0]), int(use[-1]) + 1
    return replace(found, x_edges=found.x_edges[first : last + 1], signal=found.signal[first:last], error=found.error[first:last],
                   background={name: shape[first:last] for name, shape in found.background.items()})  # fmt: skip


def side_by_side(basis: Array, factors: Array) -> Array:
    """Background columns (m, k, w) of one row as those (m, rows k, rows w) of several, bin by bin next to each other.

    Each is multiplied by the ``factors`` (m, w, rows) of its row.
    """
    (m, k, w), rows = basis.shape, factors.shape[2]
    out = np.zeros((m, rows, k, w, rows))
    for row in range(rows):
        out[:, row, :, :, row] = basis * factors[:, None, :, row]
    return out.reshape(m, rows * k, w * rows)
