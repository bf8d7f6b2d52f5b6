"""What each L1 line costs and brings: its rate, the signal it keeps, and the limit with it alone.

Rates are those of simulated physics at an instantaneous luminosity (:mod:`belle2dark.trigger.rates`), before any prescale but
those of the menu: no beam background, which is much of the rate of loose lines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from belle2dark.point import SEED, Point, point
from belle2dark.search import Search
from belle2dark.trigger.menu import load_menu
from belle2dark.trigger.rates import PHYSICS, Rates, rates

if TYPE_CHECKING:
    import pandas as pd

#: what the luminosity is meant to become [cm-2 s-1]
TARGET = 6e35
#: events per process
N_RATE = 20_000


def line_study(search: Search, given: Mapping[str, Any] | None = None, /, *, masses: Sequence[float],
               lines: Sequence[str] | None = None, luminosity: float = TARGET, n: int = N_RATE, n_events: int = 10_000,
               seed: int = SEED) -> pd.DataFrame:  # fmt: skip
    """L1 ``lines`` (default: those of the dataset): rates [Hz] at ``luminosity`` [cm-2 s-1], and what they do at ``masses``.

    ``rate_hz`` has its Monte Carlo error beside it; ``efficiency_<mass>`` is the share of otherwise selected signal on which the
    line fires, ``limit_<mass>`` the expected limit on the rate with that line alone over that with all (NaN: no limit is left).
    The last row, ``all``, is the lines together. Masses are values of the search's first mass [GeV].
    Raises ``ValueError`` for bad names or values, and without a mass.
    """
    import pandas as pd

    if not len(masses):
        raise ValueError("masses: at least one is needed")
    name = search.mass_names[0]
    values = search.parse({**(given or {}), name: masses[0]})
    dataset = search.at(values).datasets[str(values["dataset"])]
    used = load_menu().check(dataset.lines if lines is None else lines)
    found = _rates(used, luminosity, n, seed)
    table: dict[str, list[float]] = {
        "rate_hz": [*(found.of(line)[0] for line in used), found.total[0]],
        "rate_error_hz": [*(found.of(line)[1] for line in used), found.total[1]],
    }
    for mass in masses:
        here = {**values, name: mass}
        answer = point(search, here, lines=used, n_events=n_events, seed=seed)
        alone = [answer.line_efficiencies[line][0] if answer.line_efficiencies else np.nan for line in used]
        table[f"efficiency_{mass:g}"] = [*alone, _together(answer)]
        only = [point(search, here, lines=[line], n_events=n_events, seed=seed) for line in used]
        table[f"limit_{mass:g}"] = [*(_ratio(one, answer) for one in only), 1.0 if answer.limit else np.nan]
    return pd.DataFrame(table, index=[*used, "all"])


@lru_cache(maxsize=4)
def _rates(lines: tuple[str, ...], luminosity: float, n: int, seed: int) -> Rates:
    return rates(load_menu(), PHYSICS, luminosity, lines=lines, n=n, seed=seed)


def _together(answer: Point) -> float:
    """Share of the otherwise selected signal that any of the lines of ``answer`` keeps; NaN where there is none."""
    if answer.simulated is None:
        return float("nan")
    weights = np.where(answer.simulated.selected & answer.simulated.in_window, answer.simulated.reco.weights, 0.0)
    for factor in answer.simulated.reco.factors.values():
        weights = weights * factor
    kept = load_menu().keep_probability(answer.simulated.bits, answer.lines)
    return float((weights * kept).sum() / weights.sum()) if weights.sum() > 0 else float("nan")


def _ratio(one: Point, answer: Point) -> float:
    """Ratio of the limits on the rate; NaN where there is none."""
    return one.limit[2] / answer.limit[2] if one.limit and answer.limit else float("nan")
