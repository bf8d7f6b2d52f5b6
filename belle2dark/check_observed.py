"""Published observed limits against what we expect to be observed: pulls in our band, extremes of pseudo-experiments.

An observed limit fluctuates: a few of them are placed in our expected band (:func:`check_pulls`). The lowest and the highest
of thousands lie far outside any expected median; they are compared with the extremes of as many in pseudo-experiments
without signal (:func:`check_extremes`), which needs a search that :mod:`belle2dark.mass_scan` can scan.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from belle2dark.comparison import Comparison, Effort, End, Progress, allowed_factor, column, comparison, evaluate, given, quantity
from belle2dark.limits.counting import Method
from belle2dark.limits.shape_limit import SIGMAS
from belle2dark.mass_scan import pseudo_scans
from belle2dark.point import Point
from belle2dark.published import Published, inside
from belle2dark.search import Search

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
#: largest pull of a published observed limit in our expected band
PULL = 2.0
#: steps of the masses whose extremes are compared [resolutions]: those of the published scans of thousands of masses
STEP = 1.0


def band(search: Search, result: Published, answer: Point) -> Array:
    """Our expected band (5,) of the published quantity at an open point."""
    for limit in answer.couplings:
        if limit.name == result.quantity:
            return np.array(limit.expected)
    return np.array(answer.limit)


def pull(observed: float, expected: Array) -> float:
    """Where ``observed`` lies among expected quantiles (5,) from -2 to +2 sigma, in standard deviations.

    Linear between the quantiles and, beyond them, as between the last two.
    """
    if not (np.diff(expected) > 0).all():
        raise ValueError(f"expected = {expected}: the quantiles of a band must increase")
    k = int(np.clip(np.searchsorted(expected, observed) - 1, 0, len(expected) - 2))
    return float(SIGMAS[k] + (observed - expected[k]) / (expected[k + 1] - expected[k]))


def check_pulls(search: Search, result: Published, work: Effort, seed: int, progress: Progress | None) -> Comparison:
    """Published observed limits in our expected band: none may be PULL standard deviations away."""
    power, ours = quantity(search, result)
    observed = result.observed or ()
    ends, pulls = [], []
    for k, seen in enumerate(observed):
        where = {name: float(values[k]) for name, values in result.masses.items()}
        answer = evaluate(search, result, work, seed, where)
        if answer.limit:
            pulls.append(pull(seen, band(search, result, answer)))
            ends.append(End(published=seen, ours=ours(answer), ratio=(ours(answer) / seen) ** power, where=where))
        if progress:
            progress(k + 1, len(observed))
    if not ends:
        raise ValueError(f"{search.name}: no open point on the curve of {result.paper}")
    ratios = [end.ratio for end in ends]
    return comparison(search, result, len(ends), kind="pulls", low=min(ends, key=lambda e: e.ratio), pulls=tuple(pulls),
                      high=max(ends, key=lambda e: e.ratio), median_ratio=float(np.median(ratios)),
                      ok=all(abs(p) < PULL for p in pulls), factor=None, single=None)  # fmt: skip


@lru_cache(maxsize=2)
def _scans(search: Search, fixed: tuple[tuple[str, Any], ...], toys: int, cl: float, method: Method, seed: int,
           n_events: int) -> tuple[pd.DataFrame, ...]:  # fmt: skip
    """Tables of pseudo-experiments, the same for all quantities of one model."""
    scans = pseudo_scans(search, dict(fixed), toys=toys, step=STEP, cl=cl, method=method, seed=seed,
                         n_events=n_events)  # fmt: skip
    return tuple(scan.frame for scan in scans)


def check_extremes(search: Search, result: Published, work: Effort, margin: float, seed: int) -> Comparison:
    """The lowest and highest limit observed in pseudo-experiments over all masses (medians) against the published ends."""
    power, _ = quantity(search, result)
    if result.range is None:
        raise ValueError(f"{result.paper}: observed extremes need a range")
    name, dataset, seen = search.mass_names[0], search.datasets[result.dataset], f"{column(search, result)}_observed"
    fixed = given(search, result)
    ends: list[list[tuple[float, float]]] = []
    for frame in _scans(search, tuple(fixed.items()), work.scans, result.cl, cast(Method, result.method), seed, work.n_events):
        covariances = frame["resolution"].to_numpy()[:, None, None] ** 2 * np.eye(2)
        centres = np.array([search.window.centre({**fixed, name: m}) for m in frame[name]])
        use = inside(result, {name: frame[name].to_numpy()}) & search.window.open(centres, covariances, dataset, margin)
        open_rows = frame[use & np.isfinite(frame[seen])]
        if open_rows.empty:
            raise ValueError(f"{search.name}: no open point in the region of {result.paper}")
        points = len(open_rows)
        rows = [open_rows.loc[open_rows[seen].idxmin()], open_rows.loc[open_rows[seen].idxmax()]]
        ends.append([(float(row[seen]), float(row[name])) for row in rows])
    low, high = (
        End(published=published, ours=(ours := float(np.median(found[:, 0]))), ratio=(ours / published) ** power,
            where={name: float(np.median(found[:, 1]))})
        for published, found in zip(result.range, np.array(ends).transpose(1, 0, 2), strict=True)
    )  # fmt: skip
    factor, _ = allowed_factor(search, result)
    ok = all(1 / factor <= end.ratio <= factor for end in (low, high))
    rule = f"median of {work.scans} pseudo-experiments"
    return comparison(search, result, points, kind="observed extremes", rule=rule, low=low, high=high, factor=factor, ok=ok)
