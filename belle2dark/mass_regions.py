"""Regions of a search in one mass, each with the background that dominates it and the control samples that measure it.

What :mod:`belle2dark.macro_regions` is for two masses. :func:`mass_regions` cuts the range of the mass (low, medium, high, or
any edges), :func:`merged` joins neighbours with the same dominant process, :func:`mass_table` has the events expected,
:func:`mass_controls` what the control samples of :mod:`belle2dark.control` say and :func:`veto_controls` how well electron
pairs with a photon would know the inefficiency of the photon veto. Not included: see there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from belle2dark.control import ControlSample, control_rows, control_sample, controlled, rate_uncertainties, veto_sample
from belle2dark.final_states import final_state
from belle2dark.sample import choices_of, selected_template
from belle2dark.search import Dataset, Search
from belle2dark.selection import Columns
from belle2dark.sourced import load_numbers
from belle2dark.trigger.menu import load_menu
from belle2dark.window import IntervalWindow

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
#: the regions between two ``region_masses`` of a search
NAMES = ("low", "medium", "high")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MassRegions:
    """Ranges between ``edges`` (k + 1,) [GeV], called ``names``; expected events ``yields`` (processes, k) at ``luminosity``.

    Everything is after the L1 ``lines`` and the selection of ``choices``.
    """

    search: Search
    dataset: Dataset
    choices: tuple[Any, ...]
    luminosity: float
    lines: tuple[str, ...]
    names: tuple[str, ...]
    edges: Array
    processes: tuple[str, ...]
    yields: Array

    @property
    def dominant(self) -> tuple[str, ...]:
        """The largest process of each region, "" where nothing is expected."""
        largest = (self.processes[int(k)] for k in self.yields.argmax(axis=0))
        return tuple(name if any_ > 0 else "" for name, any_ in zip(largest, self.yields.sum(axis=0), strict=True))

    def sums(self, columns: Columns, process: NDArray[np.integer[Any]], n: int, weights: Array) -> Array:
        """Sums of ``weights`` by process (n of them) and region, (n, k)."""
        mass = mass_of(self.search, columns)
        place = np.searchsorted(self.edges, mass, side="right") - 1
        k = len(self.edges) - 1
        inside = (place >= 0) & (place < k)
        flat = process[inside].astype(int) * k + place[inside]
        return np.asarray(np.bincount(flat, weights=weights[inside], minlength=n * k).reshape(n, k), dtype=float)


def mass_of(search: Search, columns: Columns) -> Array:
    """The mass [GeV] that the search's window counts in, (n,): the root of a squared mass, 0 where that is negative."""
    x = search.window.x
    squared = final_state(search.template).meanings[x][1] == "GeV^2"
    return np.sqrt(np.clip(columns[x], 0.0, None)) if squared else np.asarray(columns[x])


def mass_regions(search: Search, given: Mapping[str, Any] | None = None, /, *, edges: Sequence[float] | None = None,
                 lines: Sequence[str] | None = None) -> MassRegions:  # fmt: skip
    """The regions of a search in one mass at the parameters ``given``, between ``edges`` [GeV].

    Without ``edges`` they are low, medium and high, between the search's ``region_masses``. Raises ``ValueError`` unless the
    search has one mass and a window in one column, and for edges that do not increase from 0 or more.
    """
    values = search.parse(given or {})
    search = search.at(values)
    if len(search.mass_names) != 1 or not isinstance(search.window, IntervalWindow):
        raise ValueError(f"{search.name}: regions of one mass need one mass seen in one column; see macro_regions for two")
    dataset = search.datasets[str(values["dataset"])]
    where, names = _ranges(search, dataset, edges)
    used, choices = load_menu().check(dataset.lines if lines is None else lines), choices_of(search, values)
    template, weights = selected_template(search, dataset, choices, used)
    empty = MassRegions(search=search, dataset=dataset, choices=choices, luminosity=float(values["luminosity"]), lines=used,
                        names=names, edges=where, processes=template.processes,
                        yields=np.zeros((len(template.processes), len(names))))  # fmt: skip
    fb = empty.sums(template.columns, template.process, len(template.processes), weights)
    return replace(empty, yields=empty.luminosity * fb)


def _ranges(search: Search, dataset: Dataset, edges: Sequence[float] | None) -> tuple[Array, tuple[str, ...]]:
    """Edges [GeV] of the regions and what these are called."""
    if edges is None:
        if "region_masses" not in search.numbers:
            raise ValueError(f"{search.name} has no region_masses: give edges [GeV]")
        inner = search.numbers["region_masses"].values
        where = np.array([0.0, *inner, dataset.detector.beams.sqrt_s])
        return where, NAMES if len(inner) == 2 else _names(where)
    where = np.asarray(edges, dtype=float)
    if where.ndim != 1 or len(where) < 2 or not (np.isfinite(where).all() and where[0] >= 0.0 and (np.diff(where) > 0).all()):
        raise ValueError(f"edges = {list(edges)} GeV: need at least two that increase from 0 or more")
    return where, _names(where)


def _names(edges: Array) -> tuple[str, ...]:
    return tuple(f"{low:.3g} to {high:.3g} GeV" for low, high in pairwise(edges))


def merged(regions: MassRegions) -> MassRegions:
    """The same range with neighbouring regions joined where one process dominates them all."""
    runs = [list(group) for _, group in groupby(range(len(regions.names)), key=lambda k: regions.dominant[k])]
    edges = np.array([*(regions.edges[run[0]] for run in runs), regions.edges[-1]])
    yields = np.stack([regions.yields[:, run].sum(axis=1) for run in runs], axis=1)
    return replace(regions, names=_names(edges), edges=edges, yields=yields)


def mass_table(regions: MassRegions) -> pd.DataFrame:
    """One row per region: edges ``low`` and ``high`` [GeV], ``dominant`` process, its ``share``, ``events`` and per process."""
    import pandas as pd

    events = regions.yields.sum(axis=0)
    share = np.divide(regions.yields.max(axis=0), events, out=np.zeros_like(events), where=events > 0)
    frame = {"region": regions.names, "low": regions.edges[:-1], "high": regions.edges[1:], "dominant": regions.dominant}
    by_process = dict(zip(regions.processes, regions.yields, strict=True))
    return pd.DataFrame({**frame, "share": share, "events": events, **by_process})


def _counts(regions: MassRegions, sample: ControlSample) -> tuple[Array, Array]:
    """Expected events of a control sample by process and region, and the effective number of simulated ones per region."""
    n, weights = len(sample.processes), regions.luminosity * sample.weights
    one, two = (regions.sums(sample.columns, sample.process, n, w) for w in (weights, weights**2))
    square = two.sum(axis=0)
    return one, np.divide(one.sum(axis=0) ** 2, square, out=np.zeros_like(square), where=square > 0)


def mass_controls(regions: MassRegions) -> pd.DataFrame:
    """One row per region and process: how well its normalisation is known from control data.

    Columns as in :func:`belle2dark.macro_regions.control_samples`, and: ``statistical``, the relative error of the count
    alone; ``simulated``, the effective number of simulated events behind the row of the control sample (few: do not trust it).
    """
    import pandas as pd

    search, dataset = regions.search, regions.dataset
    samples = {p: control_sample(search, dataset, regions.choices, regions.lines, p) for p in controlled(search, dataset)}
    counts = {p: _counts(regions, sample) for p, sample in samples.items()}
    rate, rows = rate_uncertainties(search.template, dataset), []
    for k, region in enumerate(regions.names):
        expected = dict(zip(regions.processes, regions.yields[:, k], strict=True))
        seen = {p: (sample, counts[p][0][:, k]) for p, sample in samples.items()}
        for row in control_rows(region, expected, seen, rate):
            process = row["process"]
            rows.append(row | {"simulated": float(counts[process][1][k]) if process in counts else 0.0})
    return pd.DataFrame(rows)


def veto_controls(regions: MassRegions, *, n_events: int = 0, seed: int = 1) -> pd.DataFrame:
    """One row per region: what e e gamma says about the photon veto, from photons ``found`` and ``lost`` (expected events).

    ``inefficiency`` lost / (found + lost) and the relative error ``statistical`` (at most 1) it would have from data;
    ``purity`` of the lost ones, against tau pairs that decay to two electrons as often as to two muons; ``simulated``
    effective events among the lost. All generated here (``n_events``, see :func:`belle2dark.control.veto_sample`).
    """
    import pandas as pd

    sample = veto_sample(regions.search, regions.dataset, regions.choices, regions.lines, n_events, seed)
    weights = regions.luminosity * sample.weights
    (found, lost), (_, square) = (regions.sums(sample.columns, sample.process, 2, w) for w in (weights, weights**2))
    numbers = load_numbers("backgrounds")
    ratio = float(numbers["tau_to_e_branching_fraction"]) / float(numbers["tau_to_mu_branching_fraction"])
    taus = ratio**2 * regions.yields[regions.processes.index("tautau")]
    with np.errstate(divide="ignore", invalid="ignore"):
        frame = {
            "region": regions.names,
            "found": found,
            "lost": lost,
            "inefficiency": lost / (found + lost),
            # of a share: lost and found vary independently
            "statistical": np.fmin(np.sqrt((lost + taus) / lost**2 + 1.0 / found) * found / (found + lost), 1.0),
            "purity": np.nan_to_num(lost / (lost + taus)),
            "simulated": np.nan_to_num(lost**2 / square),
        }
    return pd.DataFrame(frame)
