"""What more luminosity brings: expected limit and discovery reach of a point, and set-ups side by side.

``reach_plot(answer)`` shows one assumption on the systematics as a band and the others as thin lines; the dotted line is what
statistics alone do, 1/L without background and 1/sqrt(L) with much of it. ``switches_plot(comparison)`` and
``switches_table(comparison)`` take what :func:`belle2dark.projection.compare` found. Where limits come from a fit, the
discovery lines still count in the window.
"""

from __future__ import annotations

from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.models import CustomJSTickFormatter, HoverTool
from bokeh.models.annotations import Label, Span
from bokeh.models.nodes import Node
from bokeh.plotting import figure
from numpy.typing import NDArray

from belle2dark.answer import Point, template_error_at, uncertainties_at
from belle2dark.fitting import fit_limit
from belle2dark.limits.bands import expected_median
from belle2dark.limits.discovery import expected_significance
from belle2dark.limits.nuisance import NO_UNCERTAINTIES
from belle2dark.plots.limits import RATE, quantity_label
from belle2dark.plots.style import (
    BAND_1,
    BAND_2,
    INK,
    PALETTE,
    SCENARIOS,
    SIGNAL,
    limit_text,
    luminosity_text,
    new_figure,
    number,
    style_legend,
    text_unit,
)
from belle2dark.plots.tables import percent, table
from belle2dark.projection import AT, NODES, Comparison, project
from belle2dark.scaling import SYSTEMATICS, Systematics
from belle2dark.scan import BAND

if TYPE_CHECKING:
    from IPython.display import HTML

Array = NDArray[np.float64]
Data = dict[str, Any]
#: end of the reach: what Belle II is built for [fb-1]
TARGET = 5e4


def reach_plot(answer: Point, *, systematics: Systematics | None = None, low: float = 1.0, high: float = TARGET, n: int = 25,
               height: int = 400) -> figure:  # fmt: skip
    """Expected limit and 3 and 5 sigma discovery reach against luminosity [fb-1], on what the search quotes.

    ``systematics`` is the assumption of the band, default that of the point. Raises ``ValueError`` for an unknown one.
    """
    chosen = answer.systematics if systematics is None else systematics
    data = reach_data(answer, low, high, n, chosen)
    plot = _frame(f"Reach, {limit_text(answer.cl, answer.method)} limit, systematics {SCENARIOS.get(chosen, chosen)}",
                  reach_label(answer), (low, high), height)  # fmt: skip
    plot.varea("luminosity", "minus2", "plus2", source=data, color=BAND_2, alpha=0.9, legend_label="±2σ", name="reach")
    plot.varea("luminosity", "minus1", "plus1", source=data, color=BAND_1, alpha=0.9, legend_label="±1σ")
    others = [name for name in SYSTEMATICS if name != chosen]
    for name, dash in zip(others, ("dashed", "dotdash"), strict=True):
        plot.line("luminosity", name, source=data, color=INK, line_width=1, line_dash=dash, name=name,
                  legend_label=f"systematics {SCENARIOS[name]}")  # fmt: skip
    plot.line("luminosity", "median", source=data, color=INK, line_width=2, legend_label="expected limit")
    dots = plot.scatter("luminosity", "median", source=data, size=9, alpha=0.0)
    how = "" if answer.shapes is None else ", counting"
    for sigma, colour in ((3, PALETTE[0]), (5, SIGNAL)):
        plot.line("luminosity", f"discovery{sigma}", source=data, color=colour, line_width=2, line_dash="dashed",
                  legend_label=f"{sigma}σ discovery{how}")  # fmt: skip
    guide, text = guide_data(answer, low, high)
    if text:
        plot.line("luminosity", "limit", source=guide, color=PALETTE[5], line_width=2, line_dash="dotted", name="guide",
                  legend_label=f"statistics alone: {text}")  # fmt: skip
    rate = answer.cross_section_fb * answer.branching_fraction * _quoted(answer)
    if rate > 0:
        plot.line(
            [low, high], [rate, rate], color=PALETTE[3], line_dash="dotted", line_width=2, legend_label="rate of this point"
        )
    _mark(plot, float(answer.dataset.luminosity), answer.dataset.name)
    tips = [("luminosity [fb⁻¹]", "luminosity"), ("limit", "median"), *((SCENARIOS[name], name) for name in others)]
    tips += [("3σ", "discovery3"), ("5σ", "discovery5"), ("background events", "background")]
    plot.add_tools(HoverTool(renderers=[dots], mode="vline", visible=False, formatters={f"@{c}": "printf" for c in data},
                             tooltips=[(words, f"@{column}{{%.3g}}") for words, column in tips]))  # fmt: skip
    style_legend(plot)
    return plot


def _frame(title: str, y_label: str, span: tuple[float, float], height: int) -> Any:
    """An empty plot of something against luminosity, with 50 ab-1 marked."""
    plot = new_figure(title, "", y_label, height=height, x_axis_type="log", y_axis_type="log",
                      x_range=(span[0] / 1.3, span[1] * 1.3))  # fmt: skip
    plot.xaxis.formatter = CustomJSTickFormatter(code="return tick >= 1000 ? (tick / 1000) + ' ab⁻¹' : tick + ''")
    plot.xaxis.axis_label = r"luminosity $$[\mathrm{fb}^{-1}]$$, from 1000 on in $$\mathrm{ab}^{-1}$$"
    _mark(plot, TARGET, "")
    return plot


def _mark(plot: Any, luminosity: float, name: str) -> None:
    """A vertical line at a luminosity worth knowing, if it is in the range, with its name."""
    if plot.x_range.start <= luminosity <= plot.x_range.end:
        plot.add_layout(Span(location=luminosity, dimension="height", line_color="#888888", line_width=1, line_dash="dotted"))
        text = f"{name}, {luminosity_text(luminosity)}" if name else luminosity_text(luminosity)
        # limits fall: there is room at the bottom on the left and at the top on the right
        place: Data = {"y": 6, "y_units": "screen"} if name else {"y": Node(target="frame", symbol="top"), "text_align": "right"}
        plot.add_layout(Label(x=luminosity, x_offset=-3, y_offset=0 if name else -6, angle=np.pi / 2, text=text,
                              text_color="#555555", text_font_size="11px", **place))  # fmt: skip


def reach_label(answer: Point) -> str:
    """Axis label of what the search quotes at this point."""
    if answer.search.visible(answer.values, answer.dataset):
        return f"{answer.quantity} [{text_unit(answer.unit)}]"
    return quantity_label(answer.search, RATE, answer.values)


def _quoted(answer: Point) -> float:
    """What of the rate is quoted: the efficiency where limits are on what is seen."""
    return answer.search.per_rate(answer.values, answer.efficiency)


def reach_data(answer: Point, low: float, high: float, n: int, systematics: Systematics | None = None) -> dict[str, Array]:
    """Limits with band, medians of the other assumptions, and discovery reach, as quoted [fb], at ``n`` luminosities.

    Empty arrays where the search is closed.
    """
    chosen = answer.systematics if systematics is None else systematics
    others = [name for name in SYSTEMATICS if name != chosen]
    if answer.limit is None:
        return {name: np.zeros(0) for name in ("luminosity", "background", *BAND, *others, "discovery3", "discovery5")}
    luminosity = np.geomspace(low, high, n)
    found = project(answer, luminosity, systematics=chosen)
    out = {"luminosity": luminosity, "background": found.background} | {b: found.limit[:, k] for k, b in enumerate(BAND)}
    for name in others:
        out[name] = project(answer, luminosity, systematics=name).limit[:, BAND.index("median")]
    relative = _background_errors(replace(answer, systematics=chosen), luminosity)
    quoted = _quoted(answer) / (luminosity * answer.efficiency)
    return out | {f"discovery{z}": discovery_events(found.background, relative, z) * quoted for z in (3, 5)}


def _background_errors(answer: Point, luminosity: Array) -> Array:
    """Relative uncertainty of the background (n,), all kinds together."""
    used = [uncertainties_at(answer, x) for x in luminosity]
    simulated = [template_error_at(answer, x) for x in luminosity]
    return np.array([np.hypot(np.hypot(u.background, u.correlated), mc) for u, mc in zip(used, simulated, strict=True)])


def guide_data(answer: Point, low: float, high: float) -> tuple[dict[str, Array], str]:
    """What statistics alone do to the median limit between two luminosities [fb-1]: corners of the line, and its powers.

    1/L from the lowest luminosity on if less than one background event is expected there, and 1/sqrt(L) to the highest, if
    more than one is there, both through the limits without any uncertainty; they meet where background takes over. The bins of a
    fit reach that at luminosities of their own: there the line is the fit without uncertainties itself.
    """
    if answer.limit is None:
        return {"luminosity": np.zeros(0), "limit": np.zeros(0)}, ""
    if answer.shapes is not None:
        corners = np.geomspace(low, high, NODES)
        return {"luminosity": corners, "limit": np.array([_without_uncertainties(answer, x) for x in corners])}, "fit"
    per_fb = sum(p.fb for p in answer.processes)
    first = _without_uncertainties(answer, low) * low
    root = _without_uncertainties(answer, high) * high**0.5
    if per_fb * high < 1.0:
        corners, text = np.array([low, high]), "1/L"
    elif per_fb * low >= 1.0:
        corners, text = np.array([low, high]), "1/√L"
    else:
        corners, text = np.array([low, np.clip((first / root) ** 2, low, high), high]), "1/L, then 1/√L"
    power = first / corners if text == "1/L" else root / corners**0.5
    if text == "1/L, then 1/√L":
        power[0] = first / low
    return {"luminosity": corners, "limit": power}, text


def _without_uncertainties(answer: Point, luminosity: float) -> float:
    """Median limit as quoted [fb] at ``luminosity`` [fb-1] if everything were known exactly."""
    if answer.shapes is None:
        events = expected_median([luminosity * sum(p.fb for p in answer.processes)], cl=answer.cl, method=answer.method)
        return float(events[0]) * _quoted(answer) / (luminosity * answer.efficiency)
    exact = replace(answer.shapes, error=np.zeros_like(answer.shapes.error))
    found, _ = fit_limit(exact, luminosity, cl=answer.cl, method=answer.method, uncertainties=NO_UNCERTAINTIES)
    return found[BAND.index("median")] * _quoted(answer)


def discovery_events(background: Array, relative: Array | float, z: float) -> Array:
    """Signal events expected to reach ``z`` standard deviations over ``background`` (n,) with its relative uncertainty, (n,).

    At least ln 2: with fewer, most experiments see no signal event at all.
    """
    low, high = np.full(len(background), np.log(2.0)), np.full(len(background), 1e12)
    for _ in range(60):  # halves the logarithm of an interval of 28 units: exact to rounding
        middle = np.sqrt(low * high)
        enough = expected_significance(middle, background, background_uncertainty=relative) >= z
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return high


def switches_plot(found: Comparison, *, height: int = 400) -> figure:
    """Median expected limit on the produced rate [fb] against luminosity [fb-1], one line per switch with a limit."""
    first = found.answers[0]
    drawn = [(s, p) for s, p in zip(found.switches, found.projections, strict=True) if p is not None]
    grid = drawn[0][1].luminosity if drawn else np.array([1.0, TARGET])
    plot = _frame(f"{limit_text(first.cl, first.method)} limit, systematics {SCENARIOS[first.systematics]}",
                  quantity_label(first.search, RATE), (float(grid.min()), float(grid.max())), height)  # fmt: skip
    for k, (switch, projection) in enumerate(drawn):
        data = {"luminosity": projection.luminosity, "median": projection.rate[:, BAND.index("median")]}
        style = {"color": INK if k == 0 else (SIGNAL, *PALETTE)[(k - 1) % 7], "line_width": 2}
        line = plot.line("luminosity", "median", source=data, name=switch.name, legend_label=switch.name, **style)
        plot.add_tools(HoverTool(renderers=[line], visible=False, formatters={f"@{c}": "printf" for c in data},
                                 tooltips=[(switch.name, "@median{%.3g}"), ("fb⁻¹", "@luminosity{%.3g}")]))  # fmt: skip
    if drawn:
        style_legend(plot, 2)
    return plot


def switches_table(found: Comparison) -> HTML:
    """Efficiency, background, and at 1, 10 and 50 ab-1 the limit on the produced rate with its gain over the first switch."""
    from IPython.display import HTML

    unit = text_unit(found.answers[0].unit)
    rows = []
    for row in found.table():
        cells = [f"<b>{escape(row['switch'])}</b>", percent(row["efficiency"]), number(row["background_fb"])]
        for x in AT:
            limit, gain = row[f"limit_{x:g}"], row[f"gain_{x:g}"]
            cells.append(escape(row["reason"]) if limit is None else number(limit) + (f" (× {gain:.3g})" if gain else ""))
        rows.append(cells)
    head = ("set-up", "efficiency", "background [fb]", *(f"limit at {luminosity_text(x)} [{unit}] (gain)" for x in AT))
    return HTML(table(head, rows, "What the switches bring"))
