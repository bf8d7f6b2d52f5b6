"""Long-lived signals: how much of the efficiency is left at a coupling, where it decides how far they fly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from bokeh.plotting import figure

from belle2dark.plots.limits import mass_axis
from belle2dark.plots.style import PALETTE, label_tex, new_figure, style_legend
from belle2dark.search import Search
from belle2dark.sourced import nearest

POINTS = 160


def kept_plot(search: Search, given: Mapping[str, Any], coupling: str, masses: tuple[float, ...], *, height: int = 320) -> figure:
    """Share of the efficiency left against ``coupling``, everything else as ``given``, a line for each of ``masses`` [GeV].

    Raises ``ValueError`` if there is no parameter of that name or it is not on a logarithmic scale.
    """
    names = [p.name for p in search.parameters if p.scale == "log"]
    if coupling not in names:
        raise ValueError(f"coupling = {coupling!r}: must be one of {', '.join(names)}; nearest: {nearest(coupling, names)}")
    axis = mass_axis(search)
    knob, mass = (next(p for p in search.parameters if p.name == name) for name in (coupling, axis))
    x = np.geomspace(knob.low, knob.high, POINTS)
    plot = new_figure("Share that decays where it is seen", label_tex(knob.symbol, knob.unit), "share of the efficiency",
                      height=height, x_axis_type="log", y_range=(0.0, 1.02))  # fmt: skip
    for k, m in enumerate(masses):
        values = search.parse({**given, axis: m})
        dataset = search.datasets[str(values["dataset"])]
        share = [search.kept({**values, coupling: float(c)}, dataset) for c in x]
        plot.line(x, share, color=PALETTE[k % len(PALETTE)], line_width=2, legend_label=f"{mass.name} = {m:g} {mass.unit}")
    style_legend(plot)
    return plot
