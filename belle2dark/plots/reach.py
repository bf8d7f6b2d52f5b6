"""What more luminosity brings: expected limit and discovery reach."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
from bokeh.models import CustomJSTickFormatter, HoverTool
from bokeh.plotting import figure
from numpy.typing import NDArray

from belle2dark.limits.bands import expected_upper_limits
from belle2dark.limits.counting import Method
from belle2dark.limits.discovery import expected_significance
from belle2dark.plots.limits import RATE, quantity_label
from belle2dark.plots.style import BAND_1, BAND_2, INK, PALETTE, SIGNAL, limit_text, new_figure, style_legend
from belle2dark.point import Point
from belle2dark.scan import BAND


def reach_plot(answer: Point, *, low: float = 1.0, high: float = 5e4, n: int = 25, height: int = 380) -> figure:
    """Expected limit and 3 and 5 sigma discovery reach against luminosity [fb-1], on the rate [fb]."""
    data = reach_data(answer, low, high, n)
    plot = new_figure(
        f"Reach, {limit_text(answer.cl, answer.method)} limit",
        r"$$\mathcal{L}\ [\mathrm{fb}^{-1}]$$",
        quantity_label(answer.search, RATE),
        height=height,
        x_axis_type="log",
        y_axis_type="log",
    )
    plot.xaxis.formatter = CustomJSTickFormatter(code="return tick >= 1000 ? (tick / 1000) + ' ab⁻¹' : tick + ''")
    plot.xaxis.axis_label = r"luminosity $$[\mathrm{fb}^{-1}]$$, from 1000 on in $$\mathrm{ab}^{-1}$$"
    plot.varea("luminosity", "minus2", "plus2", source=data, color=BAND_2, alpha=0.9, legend_label="±2σ", name="reach")
    plot.varea("luminosity", "minus1", "plus1", source=data, color=BAND_1, alpha=0.9, legend_label="±1σ")
    plot.line("luminosity", "median", source=data, color=INK, line_width=2, legend_label="expected limit")
    dots = plot.scatter("luminosity", "median", source=data, size=9, alpha=0.0)
    for sigma, colour in ((3, PALETTE[0]), (5, SIGNAL)):
        plot.line(
            "luminosity",
            f"discovery{sigma}",
            source=data,
            color=colour,
            line_width=2,
            line_dash="dashed",
            legend_label=f"{sigma}σ discovery",
        )
    rate = answer.cross_section_fb * answer.branching_fraction
    if rate > 0:
        plot.line(
            [low, high], [rate, rate], color=PALETTE[5], line_dash="dotted", line_width=2, legend_label="rate of this point"
        )
    tool = HoverTool(
        renderers=[dots],
        mode="vline",
        visible=False,
        formatters={f"@{c}": "printf" for c in data},
        tooltips=[
            ("luminosity [fb⁻¹]", "@luminosity{%.3g}"),
            ("limit", "@median{%.3g}"),
            ("3σ", "@discovery3{%.3g}"),
            ("5σ", "@discovery5{%.3g}"),
        ],
    )
    plot.add_tools(tool)
    style_legend(plot)
    return plot


def reach_data(answer: Point, low: float, high: float, n: int) -> dict[str, NDArray[np.float64]]:
    """Limits and discovery reach [fb] at ``n`` luminosities; empty arrays where the search is closed."""
    if answer.limit is None or answer.counting is None:
        return {name: np.zeros(0) for name in ("luminosity", *BAND, "discovery3", "discovery5")}
    luminosity = np.geomspace(low, high, n)
    base, total = answer.search.uncertainties(answer.values), answer.counting.background_uncertainty
    background = luminosity / answer.luminosity * answer.background_events
    to_fb = 1.0 / (luminosity * answer.efficiency)
    # All luminosities at once: the uncertainties of the point itself, which do not depend on its luminosity.
    signal = min(1.0, float(np.hypot(base.signal, answer.efficiency_uncertainty / answer.efficiency)))
    band = expected_upper_limits(
        background,
        cl=answer.cl,
        method=cast(Method, answer.method),
        uncertainties=replace(base, signal=signal),
        background_mc=max(total**2 - base.background**2, 0.0) ** 0.5,
    )
    out = {"luminosity": luminosity} | {name: band[:, k] * to_fb for k, name in enumerate(BAND)}
    return out | {f"discovery{z}": discovery_events(background, total, z) * to_fb for z in (3, 5)}


def discovery_events(background: NDArray[np.float64], relative: float, z: float) -> NDArray[np.float64]:
    """Signal events expected to reach ``z`` standard deviations over ``background`` (n,) with its relative uncertainty, (n,).

    At least ln 2: with fewer, most experiments see no signal event at all.
    """
    low, high = np.full(len(background), np.log(2.0)), np.full(len(background), 1e12)
    for _ in range(60):  # halves the logarithm of an interval of 28 units: exact to rounding
        middle = np.sqrt(low * high)
        enough = expected_significance(middle, background, background_uncertainty=relative) >= z
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return high
