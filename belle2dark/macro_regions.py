"""Macro-regions of the mass plane, each dominated by one background process, and the control samples that measure it.

For a search in two columns. The plane is cut into cells; cells with the same largest process, from the background template
after L1 and the selection, make up one region, so that regions are orthogonal. A control sample is another final state in
which the same process is seen (a photon found instead of lost, an electron instead of a muon): its events, selected alike,
fall into the same cells. From the counts expected at the dataset's luminosity, :func:`control_samples` says how well each
region's background normalisation would be known from data.

Not included: extrapolation from control to signal sample (efficiency of the photon veto, of electron against muon), which
an analysis adds to the statistical error; processes without a control sample keep the uncertainty of their rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from belle2dark.control import ControlSample, control_rows, control_sample, controlled, rate_uncertainties
from belle2dark.final_states import final_state
from belle2dark.sample import choices_of, selected_template
from belle2dark.search import Dataset, Search
from belle2dark.selection import Columns
from belle2dark.templates import Template
from belle2dark.trigger.menu import load_menu
from belle2dark.window import EllipseWindow

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
#: side of a cell [GeV], in either mass
CELL = 0.5
#: a cell with fewer events expected at the dataset's published luminosity has no background worth a name
FEWEST = 0.01


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MacroRegions:
    """The plane of a search in cells: ``edges`` of both axes [GeV], expected events ``yields`` (processes, x, y).

    ``dominant`` (x, y) is the index of the largest process of each cell, -1 where the search does not look or
    nothing is expected.
    """

    search: Search
    dataset: Dataset
    choices: tuple[Any, ...]
    luminosity: float
    lines: tuple[str, ...]
    edges: tuple[Array, Array]
    processes: tuple[str, ...]
    yields: Array
    dominant: NDArray[np.intp]

    @property
    def regions(self) -> tuple[str, ...]:
        """The processes that dominate somewhere, by which the regions are called."""
        return tuple(name for k, name in enumerate(self.processes) if (self.dominant == k).any())

    def cells(self, region: str) -> NDArray[np.bool_]:
        """The cells (x, y) of the region that ``region`` dominates."""
        return np.asarray(self.dominant == self.processes.index(region))


def masses(columns: Columns, names: Sequence[str], units: Sequence[str]) -> Array:
    """The columns ``names`` as masses [GeV] (n, 2): the root of a squared mass, 0 where that is negative."""
    pairs = zip(names, units, strict=True)
    return np.stack([np.sqrt(np.clip(columns[n], 0.0, None)) if unit == "GeV^2" else columns[n] for n, unit in pairs], axis=-1)


def macro_regions(search: Search, given: Mapping[str, Any] | None = None, /, *, lines: Sequence[str] | None = None,
                  cell: float = CELL) -> MacroRegions:  # fmt: skip
    """The regions of a search's mass plane at the parameters ``given``, in cells of ``cell`` GeV.

    Cells count whose centre is a mass point where the search is open, if they hold FEWEST events. Raises ``ValueError``
    unless the search has two masses and an elliptic window in two columns.
    """
    if len(search.mass_names) != 2 or not isinstance(search.window, EllipseWindow):
        raise ValueError(f"{search.name}: macro-regions need two masses seen in two columns")
    if not 0.1 <= cell <= 2.0:
        raise ValueError(f"cell = {cell:g} GeV: allowed: 0.1 to 2")
    values = search.parse(given or {})
    dataset = search.datasets[str(values["dataset"])]
    used = load_menu().check(dataset.lines if lines is None else lines)
    choices = choices_of(search, values)
    template, weights = selected_template(search, dataset, choices, used)
    edges = np.arange(0.0, dataset.detector.beams.sqrt_s + cell, cell)
    luminosity = float(values["luminosity"])
    yields = luminosity * _histograms(search, template, weights, edges)
    centres = 0.5 * (edges[1:] + edges[:-1])
    is_open = np.array([[_open(search, dataset, values, a, b) for b in centres] for a in centres])
    enough = yields.sum(axis=0) * float(dataset.luminosity) / luminosity > FEWEST
    dominant = np.where(is_open & enough, yields.argmax(axis=0), -1)
    return MacroRegions(search=search, dataset=dataset, choices=choices, luminosity=luminosity, lines=used, edges=(edges, edges),
                        processes=template.processes, yields=yields, dominant=dominant)  # fmt: skip


def _open(search: Search, dataset: Dataset, values: Mapping[str, Any], first: float, second: float) -> bool:
    """Whether the search looks at these two masses [GeV]."""
    here = dict(zip(search.mass_names, (first, second), strict=True))
    declared = {p.name: p for p in search.parameters}
    in_range = all(declared[name].low <= mass <= declared[name].high for name, mass in here.items())
    return in_range and not search.closed({**values, **here}, dataset)


def _histograms(search: Search, template: Template | ControlSample, weights: Array, edges: Array) -> Array:
    """Sums of weights per process and cell, (processes, x, y)."""
    meanings = final_state(search.template).meanings
    names = (search.window.x, search.window.y)
    places = masses(template.columns, names, [meanings[name][1] for name in names])
    n = len(edges) - 1
    cell = np.searchsorted(edges, places, side="right") - 1
    inside = ((cell >= 0) & (cell < n)).all(axis=1)
    flat = (template.process.astype(int) * n + cell[:, 0]) * n + cell[:, 1]
    count = len(template.processes) * n * n
    return np.asarray(np.bincount(flat[inside], weights=weights[inside], minlength=count).reshape(-1, n, n), dtype=float)


def region_table(regions: MacroRegions) -> pd.DataFrame:
    """One row per macro-region: dominant process, its share, expected events in all and per process, number of cells."""
    import pandas as pd

    rows = []
    for name in regions.regions:
        events = regions.yields[:, regions.cells(name)].sum(axis=1)
        row: dict[str, Any] = {
            "region": name,
            "share": events[regions.processes.index(name)] / events.sum(),
            "events": events.sum(),
        }
        rows.append(row | dict(zip(regions.processes, events, strict=True)) | {"cells": int(regions.cells(name).sum())})
    return pd.DataFrame(rows)


def control_samples(regions: MacroRegions) -> pd.DataFrame:
    """One row per macro-region and background process in it: how well its normalisation is known from control data.

    ``share`` of the region's background, ``control`` sample with its expected ``events`` in the region's cells and ``purity``,
    relative ``statistical`` error of that count, relative ``uncertainty`` of the process and its ``contribution`` to that of
    the region: the error of the control count after subtracting the other processes, whose rates are uncertain too; without
    a sample, that of its own rate.
    """
    import pandas as pd

    rows, rate = [], rate_uncertainties(regions.search.template, regions.dataset)
    counts = {name: _control(regions, name) for name in controlled(regions.search, regions.dataset)}
    for region in regions.regions:
        where = regions.cells(region)
        expected = dict(zip(regions.processes, regions.yields[:, where].sum(axis=1), strict=True))
        seen = {name: (sample, yields[:, where].sum(axis=1)) for name, (sample, yields) in counts.items()}
        rows += control_rows(region, expected, seen, rate)
    return pd.DataFrame(rows)


def normalisation(samples: pd.DataFrame) -> pd.Series:
    """Relative uncertainty of the background normalisation of each region: the contributions added in quadrature."""
    return (samples["contribution"] ** 2).groupby(samples["region"]).sum() ** 0.5


def _control(regions: MacroRegions, process: str) -> tuple[ControlSample, Array]:
    """The control sample of ``process`` and its expected events in the cells of the regions, (processes, x, y)."""
    sample = control_sample(regions.search, regions.dataset, regions.choices, regions.lines, process)
    return sample, regions.luminosity * _histograms(regions.search, sample, sample.weights, regions.edges[0])
