"""Efficiency of the L1 lines against a mass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from bokeh.models import FixedTicker, HoverTool
from bokeh.plotting import figure

from belle2dark.plots.limits import mass_axis
from belle2dark.plots.style import PALETTE, label_tex, new_figure, style_legend, text_unit
from belle2dark.point import Point
from belle2dark.trigger.menu import load_menu


def trigger_plot(points: Sequence[Point], *, height: int = 360) -> figure:
    """Efficiency of the L1 lines that matter for the search against the mass: share of otherwise selected events."""
    usable = [p for p in points if p.line_efficiencies]
    search = points[0].search
    axis = next(p for p in search.parameters if p.name == mass_axis(search))
    plot = new_figure(
        "L1 efficiency of selected signal events",
        label_tex(axis.symbol, axis.unit),
        "L1 efficiency",
        height=height,
        x_axis_type=axis.scale,
        y_range=(0, 1.05),
    )
    plot.yaxis.ticker = FixedTicker(ticks=[0, 0.2, 0.4, 0.6, 0.8, 1.0])
    x = np.array([float(p.values[axis.name]) for p in usable])
    experiment = points[0].dataset.detector.name
    for k, line in enumerate(load_menu().offered(search.template, usable[0].lines if usable else (), experiment)):
        y = np.array([p.line_efficiencies[line.name][0] for p in usable])
        used = bool(usable) and line.name in usable[0].lines
        dots = plot.scatter(x="x", y="y", source={"x": x, "y": y}, size=5, color=PALETTE[k % len(PALETTE)], name=line.name)
        plot.line(
            x,
            y,
            color=PALETTE[k % len(PALETTE)],
            line_width=2 if used else 1,
            line_dash="solid" if used else "dashed",
            legend_label=f"{line.name} ({line.title}){'' if used else ', off'}",
        )
        plot.add_tools(
            HoverTool(
                renderers=[dots],
                visible=False,
                tooltips=[(line.name, "@y{0.000}"), (f"{axis.name} [{text_unit(axis.unit)}]", "@x{0.00}")],
            )
        )
    style_legend(plot, 2)
    return plot
