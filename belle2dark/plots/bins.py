"""Counts and local p-values of a search that counts in bins of one mass."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import HoverTool
from bokeh.models.annotations import Span
from bokeh.plotting import figure
from scipy.stats import norm

from belle2dark.plots.limits import mass_axis
from belle2dark.plots.style import INK, PALETTE, SIGNAL, label_tex, luminosity_text, new_figure, style_legend
from belle2dark.scan import LimitCurve
from belle2dark.search import load_search

#: standard deviations whose p-values are marked
_MARKED = (1, 2, 3)


def _mass(values: Any) -> Any:
    """A squared mass as a mass; below 0, where only resolution leads, 0."""
    return np.sqrt(np.maximum(values, 0.0))


def counts_plot(binned: LimitCurve, *, height: int = 360) -> figure:
    """Expected background and, if there are events, the observed number in every bin of ``bin_limits``."""
    frame, axis = binned.frame, _axis(binned)
    luminosity = float(frame.luminosity.iloc[0])
    plot = new_figure(f"Bins of two widths to either side, {luminosity_text(luminosity)}", label_tex(axis.symbol, axis.unit),
                      "events per bin", height=height)  # fmt: skip
    left, right = _mass(frame.low), _mass(frame.high)
    bars = plot.quad(left=left, right=right, bottom=0, top=frame.background, color=PALETTE[4], alpha=0.6, line_color="white",
                     legend_label="expected background", name="background")  # fmt: skip
    if "n_observed" in frame:
        plot.scatter(0.5 * (left + right), frame.n_observed, size=6, color=INK, legend_label="observed", name="observed")
    plot.add_tools(HoverTool(renderers=[bars], visible=False, tooltips=[("bin", "@left{0.00} to @right{0.00} GeV"),
                                                                        ("background", "@top{0.00}")]))  # fmt: skip
    style_legend(plot)
    return plot


def p_value_plot(binned: LimitCurve, shifted: LimitCurve | None = None, *, height: int = 360) -> figure:
    """Local p-values of the background in every bin, and in bins moved by half a bin.

    Raises ``ValueError`` if the bins were made without observed events.
    """
    axis = _axis(binned)
    plot = new_figure("Local p-values", label_tex(axis.symbol, axis.unit), "p-value of the background", height=height,
                      y_axis_type="log", y_range=(3e-4, 1.5))  # fmt: skip
    for curve, name, colour in ((binned, "bins", PALETTE[0]), (shifted, "moved by half a bin", SIGNAL)):
        if curve is None:
            continue
        if "p_value" not in curve.frame:
            raise ValueError("p_value_plot: the bins have no observed events; give bin_limits(..., observed=...)")
        middle = 0.5 * (_mass(curve.frame.low) + _mass(curve.frame.high))
        plot.step(middle, curve.frame.p_value, mode="center", color=colour, line_width=1.5, legend_label=name)
    for sigma in _MARKED:
        plot.add_layout(Span(location=float(norm.sf(sigma)), dimension="width", line_color="#999999", line_dash="dotted"))
    style_legend(plot)
    return plot


def _axis(binned: LimitCurve) -> Any:
    search = load_search(binned.search)
    return next(p for p in search.parameters if p.name == mass_axis(search))
