"""Backgrounds of a search over the whole range of its window's first variable, by process, at any selection."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.plotting import figure

from belle2dark.final_states import final_state
from belle2dark.plots.spectrum import NAMES
from belle2dark.plots.style import PALETTE, label_tex, luminosity_text, new_figure, style_legend
from belle2dark.sample import choices_of, selected_template
from belle2dark.search import Search

if TYPE_CHECKING:
    import pandas as pd

BINS = 50


def background_table(search: Search, given: Mapping[str, Any], edges: tuple[float, ...]) -> pd.DataFrame:
    """Expected events by process (columns) between ``edges`` [GeV] of the mass whose value or square the window counts.

    At the luminosity, dataset and selection of ``given``, after the dataset's L1 lines.
    """
    import pandas as pd

    mass, process, events, names = _events(search, given)
    rows = [f"{low:g} to {high:g} GeV" for low, high in pairwise(edges)]
    content = {
        name: np.histogram(mass[process == k], np.asarray(edges), weights=events[process == k])[0] for k, name in enumerate(names)
    }
    return pd.DataFrame(content, index=rows)


def background_plot(search: Search, given: Mapping[str, Any], *, title: str = "", height: int = 360, bins: int = BINS) -> figure:
    """Expected events in each of ``bins`` by process over all masses, at the luminosity, dataset and selection of ``given``."""
    values = search.parse(given)
    mass, process, events, names = _events(search, given)
    search = search.at(values)
    x = search.window.x
    symbol, _ = final_state(search.template).meanings[x]
    root = search.datasets[str(values["dataset"])].detector.beams.sqrt_s
    edges = np.linspace(0.0, root, bins + 1)
    plot = new_figure(title or f"After L1 and selection, {luminosity_text(float(values['luminosity']))}",
                      label_tex(symbol.replace("^2", ""), "GeV"), "events per bin", height=height, y_axis_type="log",
                      x_range=(0.0, root))  # fmt: skip
    for k, name in enumerate(names):
        content = np.histogram(mass[process == k], edges, weights=events[process == k])[0]
        steps = np.where(content > 0, content, np.nan)
        plot.step(edges[:-1] + 0.5 * np.diff(edges), steps, mode="center", color=PALETTE[k % len(PALETTE)], line_width=2,
                  legend_label=NAMES.get(name, name))  # fmt: skip
    style_legend(plot)
    return plot


def _events(search: Search, given: Mapping[str, Any]) -> tuple[Any, Any, Any, tuple[str, ...]]:
    """Mass [GeV], process and expected number of each template event that passes, and the processes' names."""
    values = search.parse(given)
    search = search.at(values)
    dataset = search.datasets[str(values["dataset"])]
    template, weights = selected_template(search, dataset, choices_of(search, values), dataset.lines)
    use = weights > 0
    x, unit = template.columns[search.window.x][use], final_state(search.template).meanings[search.window.x][1]
    mass = np.sqrt(np.maximum(x, 0.0)) if unit == "GeV^2" else x
    return mass, template.process[use], weights[use] * float(values["luminosity"]), template.processes
