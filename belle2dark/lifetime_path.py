"""How a limit on a rate goes with a coupling that decides how long particles live.

One simulated sample serves all lifetimes (:func:`belle2dark.simulation.decays.chain.fly_broadly`). Along a grid of the coupling
the efficiency is that of the re-weighted sample; where the limit is a fit, it is made anew at some lifetimes, because shapes
change with them, and its number of signal events is interpolated.

Not included: the uncertainty of the efficiency, which is that of the best lifetime where events are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from belle2dark.simulation.decays.chain import lifetime_factor

Array = NDArray[np.float64]
#: couplings looked at, decades below the largest where they begin, lifetimes at which a fit is made
STEPS, DECADES, FITS = 241, 12.0, 15
#: share of the best efficiency above which fits are made anew
FAINT = 1e-5
#: relative Monte Carlo error of an efficiency above which it is none
UNCERTAIN = 0.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Path:
    """Median limits on the rate [fb] along a coupling: their logarithms (n,) at logarithms (n,) of it.

    ``least`` is the strongest of them, that of the sample ``best``.
    """

    coupling: Array
    median: Array
    least: float
    best: tuple[Any, ...]

    def share(self, couplings: Array) -> Array:
        """How much of the best sensitivity is left at values (m,) of the coupling, in [0, 1]."""
        return np.asarray(np.exp(np.log(self.least) - np.interp(np.log(couplings), self.coupling, self.median)))


def grid(high: float) -> Array:
    """The values of a coupling up to ``high`` that are looked at, (STEPS,)."""
    return np.geomspace(10.0**-DECADES * high, high, STEPS)


def efficiencies(weights: Array, flights: Sequence[Array], ctaus: Array) -> Array:
    """Efficiency (m,) of events with ``weights`` (n,) and ``flights`` (n, 2) per particle at c tau's (m, particles) [cm].

    It is 0 where it is uncertain by more than UNCERTAIN: so few of the decays that were simulated are like those.
    """
    use = weights > 0
    w, seen = weights[use], [f[use] for f in flights]
    out = np.empty(len(ctaus))
    for j, row in enumerate(ctaus):
        factor = w
        for f, ctau in zip(seen, row, strict=True):
            factor = factor * lifetime_factor(f, float(ctau))
        total = factor.sum()
        out[j] = total if np.sqrt(factor @ factor) <= UNCERTAIN * total else 0.0
    return out


def along(couplings: Array, efficiency: Array, samples: Sequence[tuple[Any, ...]],
          median: Callable[[tuple[Any, ...]], float | None], fitted: bool) -> Path | None:  # fmt: skip
    """The path over ``couplings`` (n,) with an ``efficiency`` (n,) and a sample each; None where the best has no limit.

    ``median(sample)`` is the limit on the rate [fb], or None; with ``fitted`` it is asked for at several lifetimes.
    """
    best = int(efficiency.argmax())
    least = median(samples[best]) if efficiency[best] > 0 else None
    if least is None:
        return None
    events = {best: least * efficiency[best]}
    if fitted:
        seen = np.flatnonzero(efficiency > FAINT * efficiency[best])
        for j in np.unique(seen[np.linspace(0, len(seen) - 1, FITS).astype(int)]).tolist():
            if (found := median(samples[j])) is not None:
                events.setdefault(j, found * efficiency[j])
    nodes = sorted(events)
    number = np.exp(np.interp(np.arange(len(couplings)), nodes, np.log([events[j] for j in nodes])))
    log_median = np.log(number) - np.log(np.maximum(efficiency, 1e-300))
    best = int(log_median.argmin())
    return Path(coupling=np.log(couplings), median=log_median, least=float(np.exp(log_median[best])), best=samples[best])
