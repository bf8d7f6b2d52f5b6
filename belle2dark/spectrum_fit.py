"""Limits from the spectrum of one variable: a broad signal over a template whose shape is known to a fraction of a per cent.

For searches where the background is huge, of free normalisation and as smooth as the signal is broad: what decides is how well
its *shape* is known. Counts in bins are Gaussian with the covariance

    statistics + identification, independent in each bin of the window's y (momentum of the identified particle)
               + a smooth deformation with a correlation length in x + a background component of uncertain size,

the normalisation of the template floats, and the limit is the closed form of a Gaussian measurement: the median CLs limit at
90 % is 1.645 standard deviations, and a flat prior gives the same numbers. Sizes come from the search's systematics:
what acts on the background alone is the smooth deformation, what acts on signal and background together is the
identification of each momentum bin. Not included: few events (bins need tens of them), and the statistical error of the
template, which stands for a simulation much larger than the data: fit events of your own with a larger one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from belle2dark.fitting import Histograms
from belle2dark.limits.counting import Method, Uncertainties
from belle2dark.limits.shape_limit import SIGMAS, band_targets
from belle2dark.sample import choices_of, selected_template, signal_weights, simulate

if TYPE_CHECKING:
    import pandas as pd

    from belle2dark.point import Point
    from belle2dark.search import Dataset, Search

Array = NDArray[np.float64]
#: least variance of a bin [events^2]
LEAST = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SpectrumFit:
    """A fit of the window's x in bins ``x_edges``; identification is independent between the bins ``y_edges`` of its y.

    ``correlation_length`` is that of the smooth deformation, in x. The process ``line`` of the template (or "") is known to
    ``line_factor`` times the uncertainty of the identification.
    """

    x_edges: tuple[float, ...]
    y_edges: tuple[float, ...]
    correlation_length: float
    line: str = ""
    line_factor: float = 1.0
    methods: tuple[Method, ...] = ("cls", "bayesian")
    counts: bool = False

    def prepare(self, search: Search, dataset: Dataset, masses: tuple[Any, ...], n_events: int, seed: int,
                lines: tuple[str, ...]) -> Histograms:  # fmt: skip
        """Signal per produced event and background [fb] in bins of x and y; see :class:`belle2dark.search.Fit`."""
        return _spectra(self, search, dataset, masses, n_events, seed, lines)

    def covariance(self, background: dict[str, Array], uncertainties: Uncertainties) -> Array:
        """Covariance (nx, nx) of the counts in x where ``background`` (nx, ny) events by process are expected."""
        contents = np.sum(list(background.values()), axis=0)
        total, x = contents.sum(axis=1), 0.5 * (np.asarray(self.x_edges)[1:] + np.asarray(self.x_edges)[:-1])
        distance = (x[:, None] - x[None, :]) / self.correlation_length
        smooth = uncertainties.background**2 * np.outer(total, total) * np.exp(-0.5 * distance**2)
        identified = uncertainties.correlated**2 * (contents @ contents.T)
        line = background.get(self.line, np.zeros_like(contents)).sum(axis=1)
        misidentified = (self.line_factor * uncertainties.correlated) ** 2 * np.outer(line, line)
        return np.asarray(np.diag(np.maximum(total, LEAST)) + identified + smooth + misidentified)

    def limit(self, found: Histograms, luminosity: float, *, cl: float, method: Method, uncertainties: Uncertainties,
              observed: tuple[Array, Array] | None = None) -> tuple[tuple[float, ...], float | None]:  # fmt: skip
        """Expected limits (-2 .. +2 sigma) and the observed one on the rate [fb] at ``luminosity`` [fb-1].

        ``observed`` are the events of a dataset in the window's two variables. Raises ``ValueError`` for a fit without signal
        or background, or an efficiency too uncertain for a limit.
        """
        if method not in self.methods:
            raise ValueError(f"method = {method!r}: a fit of a spectrum serves {' | '.join(self.methods)}")
        background = {name: luminosity * shape for name, shape in found.background.items()}
        expected = np.sum(list(background.values()), axis=0).sum(axis=1)
        signal = luminosity * found.signal.sum(axis=1)
        if not (signal.sum() > 0 and expected.sum() > 0):
            raise ValueError("the fit has no signal or no background: none of the simulated events lies inside its histogram")
        delta = float(np.hypot(uncertainties.signal, uncertainties.correlated))
        sigma, _ = strength(signal, expected, self.covariance(background, uncertainties), expected)
        limits = tuple(float(sigma * m) for m in upper(SIGMAS, delta, cl))
        if observed is None:
            return limits, None
        counts = np.histogram2d(*observed, (found.x_edges, found.y_edges))[0].sum(axis=1)
        # the normalisation is the data's
        seen = {name: max(counts.sum(), 1.0) / expected.sum() * shape for name, shape in background.items()}
        sigma, best = strength(signal, expected, self.covariance(seen, uncertainties), counts)
        return limits, float(sigma * upper(np.array([best / sigma]), delta, cl)[0])


def strength(signal: Array, background: Array, covariance: Array, counts: Array) -> tuple[float, float]:
    """Standard deviation and best value of mu in ``counts`` = mu ``signal`` + N ``background``, all (n,), N free."""
    inverse = np.linalg.inv(covariance)
    s, b = inverse @ signal, inverse @ background
    information = float(signal @ s - (signal @ b) ** 2 / (background @ b))
    if not information > 1e-9 * float(signal @ s):
        raise ValueError("the fit cannot tell signal from background: their spectra are the same")
    best = float(counts @ s - (signal @ b) / (background @ b) * (counts @ b)) / information
    return information**-0.5, best


def upper(best: Array, delta: float, cl: float) -> Array:
    """CLs limits (n,) of a Gaussian measurement ``best`` (n,) of a number that is not negative, in standard deviations.

    ``delta`` is the relative uncertainty of the scale. A flat prior gives the same. Raises ``ValueError`` where the scale is
    so uncertain that no value is excluded.
    """
    n = np.asarray(best, dtype=float)
    reach = band_targets(cl, n) - n
    rest = 1.0 - (reach * delta) ** 2
    if not (rest > 0).all():
        raise ValueError(f"signal efficiency uncertain by {delta:.2g}: there is no limit at a confidence level of {cl:g}")
    return np.asarray((n + np.sqrt(n**2 - rest * (n**2 - reach**2))) / rest)


def shape_costs(answer: Point) -> pd.DataFrame:
    """What each uncertainty of the template costs the median limit of a point: the limit without it over the limit, by name.

    Raises ``ValueError`` for a point without a fit of a spectrum.
    """
    import pandas as pd

    from belle2dark.answer import uncertainties_at

    fit, found = answer.dataset.fit, answer.shapes
    if not isinstance(fit, SpectrumFit) or found is None:
        raise ValueError(f"{answer.search.name}: no fit of a spectrum at this point: {answer.reason or answer.method}")
    used = uncertainties_at(answer, answer.luminosity)
    # line_factor multiplies the identification: without the latter only, the line keeps its size
    tiny = 1e-6
    line = replace(fit, line_factor=fit.line_factor * used.correlated / tiny)
    variants: dict[str, tuple[SpectrumFit, Uncertainties]] = {
        "identification": (line, replace(used, correlated=tiny)),
        "smooth deformation": (fit, replace(used, background=0.0)),
        "line of misidentified particles": (replace(fit, line_factor=0.0), used),
        "signal efficiency": (fit, replace(used, signal=0.0)),
        "all: statistics alone": (fit, Uncertainties()),
    }

    def median(variant: SpectrumFit, sizes: Uncertainties) -> float:
        return variant.limit(found, answer.luminosity, cl=answer.cl, method=answer.method, uncertainties=sizes)[0][2]

    everything = median(fit, used)
    rows = [{"without": name, "limit / limit with all": median(*variant) / everything} for name, variant in variants.items()]
    return pd.DataFrame(rows)


@lru_cache(maxsize=64)
def _spectra(fit: SpectrumFit, search: Search, dataset: Dataset, masses: tuple[Any, ...], n_events: int, seed: int,
             lines: tuple[str, ...]) -> Histograms:  # fmt: skip
    signal = simulate(search, dataset, masses, n_events, seed)
    columns, window = signal.reco.columns, search.window
    weights = np.where(signal.selected, signal_weights(signal, lines), 0.0)
    edges = (np.asarray(fit.x_edges), np.asarray(fit.y_edges))
    shape = np.histogram2d(columns[window.x], columns[window.y], edges, weights=weights)[0]
    template, w = selected_template(search, dataset, choices_of(search, search.simulated(masses)), lines)
    x, y = template.columns[window.x], template.columns[window.y]
    background = {}
    for k, name in enumerate(template.processes):
        use = (w > 0) & (template.process == k)
        background[name] = np.histogram2d(x[use], y[use], edges, weights=w[use])[0]
    return Histograms(x_edges=edges[0], y_edges=edges[1], signal=shape, background=background, error=np.zeros_like(shape))
