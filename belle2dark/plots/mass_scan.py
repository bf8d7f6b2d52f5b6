"""A scan over thousands of masses: the expected band with the observed limit, and the local significance below it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.layouts import column
from bokeh.models import HoverTool
from bokeh.models.annotations import Span
from bokeh.models.layouts import Column
from scipy.stats import norm

from belle2dark.plots.limits import RATE, limit_plot, mass_axis
from belle2dark.plots.style import INK, SIGNAL, label_tex, new_figure
from belle2dark.published import Published
from belle2dark.scan import LimitCurve
from belle2dark.search import load_search

#: standard deviations that are marked
_MARKED = (-2, 2, 3)


def mass_scan_plot(curve: LimitCurve, published: Sequence[Published] = (), *, quantity: str = RATE, height: int = 400) -> Column:
    """The limit of a :func:`belle2dark.mass_scan.scan_masses` in its expected band, above the local significance of each mass.

    ``quantity`` is ``"limit"`` or the name of a coupling. Raises ``ValueError`` for a scan without observed events.
    """
    frame = curve.frame
    if "z" not in frame:
        raise ValueError("mass_scan_plot: no events were observed; give scan_masses(..., observed=...) or draw limit_plot")
    axis = mass_axis(load_search(curve.search))
    use = frame[f"{quantity}_observed"].notna() & frame["z"].notna()
    x, z, y = (frame.loc[use, name].to_numpy() for name in (axis, "z", f"{quantity}_observed"))
    above = limit_plot(curve, published, quantity=quantity, height=height)
    above.line(x, y, color=SIGNAL, line_width=1, legend_label="observed", name="observed")
    shown: Any = above.y_range
    if len(y):
        shown.start, shown.end = min(shown.start, 0.8 * float(y.min())), max(shown.end, 1.25 * float(y.max()))
    below = _significances(curve, x, z, height // 2)
    below.x_range = above.x_range
    return column(above, below, sizing_mode="stretch_width")


def _significances(curve: LimitCurve, x: Any, z: Any, height: int) -> Any:
    """Signed local significance against the mass, the largest excess named with what it is globally, if that is known."""
    search = load_search(curve.search)
    axis = next(p for p in search.parameters if p.name == mass_axis(search))
    largest = float(max(4.0, np.abs(z).max(initial=0.0) + 0.5))
    title = "Local significance"
    if len(z):
        best = curve.frame.nlargest(1, "z").iloc[0]
        title += f", largest {best['z']:.1f}σ at {best[axis.name]:.4g} {axis.unit}"
        if "p_global" in curve.frame:
            title += f" (global {norm.isf(min(best['p_global'], 0.5)):.1f}σ)"
    plot = new_figure(title, label_tex(axis.symbol, axis.unit), "σ", height=height, y_range=(-largest, largest),
                      x_axis_type=axis.scale)  # fmt: skip
    line = plot.line(x, z, color=INK, line_width=1, name="significance")
    for sigma in _MARKED:
        plot.add_layout(Span(location=sigma, dimension="width", line_color="#999999", line_dash="dotted"))
    plot.add_tools(HoverTool(renderers=[line], visible=False, tooltips=[(axis.name, "@x{0.0000}"), ("σ", "@y{0.00}")]))
    return plot
