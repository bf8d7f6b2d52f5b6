"""Limits from a fit of simulated histograms, each process with an uncertainty of its own: :class:`ComponentFit`.

For a signal on top of a background that peaks where it does: a smooth curve cannot tell the two apart, so the limit rests on how
well the rate of that background is known. :class:`belle2dark.fitting.TemplateFit` moves all processes together,
:class:`belle2dark.peak_fit.PeakFit` needs none of them.

Not included: uncertainties of shapes other than the finite simulation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from belle2dark.fitting import FLOOR, Array, Histograms, TemplateFit, few_events, histograms
from belle2dark.limits.background_shapes import Templates
from belle2dark.limits.counting import Method, Uncertainties
from belle2dark.limits.fit_model import Nuisance
from belle2dark.limits.shape_limit import shape_limit
from belle2dark.search import Dataset, Search

#: least expected background of a process [events]: less is nothing
LEAST = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentFit:
    """A fit in the window's x, ``bins`` equal bins over ``span`` resolutions to either side of the peak.

    ``uncertainties`` are pairs of a process and its relative uncertainty, at most 1; a process that is not in it floats.
    """

    bins: int
    span: float
    uncertainties: tuple[tuple[str, float], ...] = ()
    methods: tuple[Method, ...] = ("cls",)
    counts: bool = False

    def prepare(self, search: Search, dataset: Dataset, masses: tuple[Any, ...], n_events: int, seed: int,
                lines: tuple[str, ...]) -> Histograms:  # fmt: skip
        """The histograms (bins, 1) of one mass point."""
        template = TemplateFit(bins=self.bins, span=self.span, y_edges=(-np.inf, np.inf))
        return histograms(template, search, dataset, masses, n_events, seed, lines)

    def limit(self, found: Histograms, luminosity: float, *, cl: float, method: Method, uncertainties: Uncertainties,
              observed: tuple[Array, Array] | None = None) -> tuple[tuple[float, ...], float | None]:  # fmt: skip
        """Expected limits (-2 .. +2 sigma) and the observed one on the rate [fb] at ``luminosity`` [fb-1].

        Uncertainties of the background are those of the processes; of ``uncertainties`` only what acts on the signal counts.
        CLs is asymptotic, corrected for few events. Raises ``ValueError`` if the fit fails or there is no signal in the
        histogram.
        """
        if not found.efficiency > 0:
            raise ValueError("the fit has no signal: none of the simulated events lies inside its histogram")
        names = [name for name, shape in found.background.items() if luminosity * shape.sum() > LEAST]
        contents = luminosity * np.array([found.background[name] for name in names] or [np.zeros_like(found.signal)])
        contents[0] += max(FLOOR * contents.sum() / contents[0].size, 1e-9)
        known = dict(self.uncertainties)
        templates = Templates(contents=contents, uncertainties=tuple(known.get(n, math.inf) for n in names) or (0.0,),
                              statistical=found.error)  # fmt: skip
        relative = float(np.hypot(uncertainties.signal, uncertainties.correlated))
        nuisances = (Nuisance(name="signal efficiency", signal=relative),) if relative > 0 else ()
        counts = contents.sum(axis=0)
        if observed is not None:
            counts = np.histogram2d(*observed, (found.x_edges, found.y_edges))[0]
        answer = shape_limit(counts, None, found.signal / found.efficiency, templates, nuisances=nuisances, cl=cl)
        if answer.expected is None:
            raise ValueError(f"the fit found no limit: {answer.reason}")
        limits, to_fb = np.array(answer.expected), 1.0 / (luminosity * found.efficiency)
        factors = few_events(limits, cl)
        seen = None if observed is None or answer.observed is None else to_fb * answer.observed * float(factors[2])
        return tuple(float(value) for value in to_fb * factors * limits), seen
