"""What limits a limit: how much it would fall with perfect acceptance or trigger, or without uncertainties."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from belle2dark.fitting import Histograms
from belle2dark.limits.bands import expected_median
from belle2dark.limits.counting import Method, Uncertainties
from belle2dark.search import Fit

#: factors by which the limit would fall, and those without one kind of uncertainty: the arguments of :func:`limited_by`
Gains = tuple[dict[str, float], dict[str, float]]


def limited_by(gains: Mapping[str, float], uncertainties: Mapping[str, float]) -> str:
    """What would improve the limit most if it were perfect; ``statistics`` if nothing gains a factor 1.5.

    ``gains`` are the factors by which the limit would fall with perfect acceptance or L1 trigger and without any
    uncertainty (key ``""``), ``uncertainties`` those without one kind of uncertainty, of which the largest is then named.
    """
    best = max(gains, key=lambda name: gains[name])
    if gains[best] <= 1.5:
        return "statistics"
    return best or max(uncertainties, key=lambda name: uncertainties[name])


def count_gains(background: float, template_error: float, used: Uncertainties, kept: Mapping[str, float], *, cl: float,
                method: Method) -> Gains:  # fmt: skip
    """The two arguments of :func:`limited_by` for a count over ``background`` events of relative ``template_error``.

    ``kept`` are the shares that acceptance and trigger keep: a perfect stage keeps more signal and, as far as one can say, as
    much more background.
    """

    def events(b: float, known: Uncertainties, mc: float) -> float:
        return float(expected_median([b], cl=cl, method=method, uncertainties=known, background_mc=mc)[0])

    now = events(background, used, template_error)
    gains = {name: now / (events(background / share, used, template_error) * share) for name, share in kept.items()}
    exact = Uncertainties(signal=used.signal)
    gains[""] = now / events(background, exact, 0.0)
    parts = {"background systematics": now / events(background, exact, template_error),
             "Monte Carlo": now / events(background, used, 0.0)}  # fmt: skip
    return gains, parts


def fit_gains(fit: Fit, shapes: Histograms, median: float, luminosity: float, used: Uncertainties, kept: Mapping[str, float], *,
              cl: float, method: Method) -> Gains:  # fmt: skip
    """The same for a ``fit`` whose ``median`` limit [fb] at ``luminosity`` [fb-1] is known."""

    def limit(found: Histograms, lumi: float, known: Uncertainties) -> float:
        return fit.limit(found, lumi, cl=cl, method=method, uncertainties=known)[0][2]

    without = replace(shapes, error=np.zeros_like(shapes.error))
    gains = {name: median / limit(shapes, luminosity / share, used) for name, share in kept.items()}
    only_signal = Uncertainties(signal=used.signal)
    gains[""] = median / limit(without, luminosity, only_signal)
    parts = {"background systematics": median / limit(shapes, luminosity, only_signal),
             "Monte Carlo": median / limit(without, luminosity, used)}  # fmt: skip
    return gains, parts
