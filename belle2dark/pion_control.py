"""The control sample of the ditau search: two pions in the place of the two muons beside two other tracks.

No signal is in it, but the tau and quark pairs that imitate one by pions taken for muons are, several times as many: it says
how well data fix what the network leaves of them, and whether the network treats both samples alike. Selected like the
signal, network and L1 lines included. Not included: backgrounds with real muons, and the extrapolation from pions to muons
(rates of misidentification), which an analysis takes from other samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from belle2dark.detector.exclusive import Wanted, exclusive
from belle2dark.detector.observed import observe
from belle2dark.final_states.ditau import ditau_columns
from belle2dark.recipes import recipe_of
from belle2dark.sample import choices_of, selected_template
from belle2dark.search import Dataset, Search
from belle2dark.selection import passes
from belle2dark.simulation.rng import make_key
from belle2dark.trigger.menu import load_menu
from belle2dark.trigger.objects import l1_objects

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
#: processes that have pions in the place of both muons
PROCESSES = ("tautau_inclusive", "hadrons")
#: ranges of the recoil mass [GeV]
EDGES = (3.6, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0)
_PIONS = Wanted(hypotheses=("pion",) * 4, charges=(-1, 1, -1, 1), neutrals=True)


@lru_cache(maxsize=8)
def _pions(search: Search, dataset: Dataset, choices: tuple[Any, ...], process: str, n_events: int,
           seed: int) -> tuple[Array, Array]:  # fmt: skip
    """Recoil mass [GeV] and weight [fb] after L1 and selection of the control sample's events, (n,) each."""
    detector, key = dataset.detector, make_key(seed, search.name, "pion control", process)
    made = next(p for p in recipe_of(search.template, detector.name).processes if p.name == process)
    events = made.generate(n_events, key, detector.beams)
    reco = exclusive(observe(events, detector, key), _PIONS, lambda t, *_: ditau_columns(t, detector), detector.beams, key)
    cuts = search.cuts(dict(zip(search.choices, choices, strict=True)), dataset)
    menu = load_menu()
    weights = reco.weights * menu.keep_probability(menu.evaluate(l1_objects(events, detector, key)), dataset.lines)
    for factor in reco.factors.values():
        weights = weights * factor
    return reco.columns["recoil_mass"], weights * dataset.correction * passes(cuts, reco.columns)


def pion_control(search: Search, given: Mapping[str, Any] | None = None, /, *, edges: Sequence[float] = EDGES,
                 n_events: int = 200_000, seed: int = 1) -> pd.DataFrame:  # fmt: skip
    """One row per range of the recoil mass between ``edges`` [GeV] and process, at the luminosity and selection of ``given``.

    ``signal_sample`` are its expected events beside two muons, ``control`` those beside two pions, ``statistical`` the relative
    error of the latter's count from data, ``simulated`` the effective number of simulated ones behind it (few: do not trust it).
    Raises ``ValueError`` for a search of another final state, fewer than 1000 events or edges that do not increase.
    """
    import pandas as pd

    if search.template != "ditau":
        raise ValueError(f"{search.name}: this control sample is for the final state 'ditau', not {search.template!r}")
    if n_events < 1000:
        raise ValueError(f"n_events = {n_events}: allowed: 1000 or more")
    where = np.asarray(edges, dtype=float)
    if where.ndim != 1 or len(where) < 2 or not (np.isfinite(where).all() and (np.diff(where) > 0).all()):
        raise ValueError(f"edges = {list(edges)} GeV: need at least two that increase")
    values = search.parse(given or {})
    dataset, luminosity = search.datasets[str(values["dataset"])], float(values["luminosity"])
    choices = choices_of(search, values)
    template, own = selected_template(search, dataset, choices, dataset.lines)
    rows = []
    for process in PROCESSES:
        chosen = template.process == template.processes.index(process)
        signal = np.histogram(template.columns["recoil_mass"][chosen], where, weights=own[chosen])[0]
        mass, weights = _pions(search, dataset, choices, process, n_events, seed)
        one, two = (np.histogram(mass, where, weights=w)[0] for w in (weights, weights**2))
        for k, (low, high) in enumerate(pairwise(where)):
            count = luminosity * one[k]
            rows.append({"region": f"{low:g} to {high:g} GeV", "process": process, "signal_sample": luminosity * signal[k],
                         "control": count, "statistical": min(1.0, count**-0.5) if count > 0 else 1.0,
                         "simulated": one[k] ** 2 / two[k] if two[k] > 0 else 0.0})  # fmt: skip
    return pd.DataFrame(rows)
