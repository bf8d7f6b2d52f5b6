"""Limits against a mass and against luminosity, next to what was published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from bokeh.core.properties import value
from bokeh.models import ColumnDataSource, HoverTool
from bokeh.plotting import figure

from belle2dark.plots.style import (
    BAND_1,
    BAND_2,
    INK,
    PALETTE,
    PUBLISHED,
    SIGNAL,
    label_tex,
    limit_text,
    luminosity_text,
    named_source,
    new_figure,
    style_legend,
    text_unit,
)
from belle2dark.point import Point
from belle2dark.published import PUNZI, Published
from belle2dark.scan import BAND, LimitCurve
from belle2dark.search import Overlay, Search, load_search

Data = dict[str, Any]
RATE = "limit"
#: colours of constraints drawn beside a limit
#: curves of fewer points than this are drawn as markers: a line would invent a shape
FEW = 30
OVERLAYS = (PALETTE[2], PALETTE[4], PALETTE[1], PALETTE[3])


def quantity_label(search: Search, quantity: str, values: Mapping[str, Any] | None = None) -> str:
    """Axis label of a limit: what is quoted at the parameters ``values`` (``limit``) or one of the search's couplings."""
    if quantity == RATE:
        if values and (chosen := search.chosen(values)):
            return f"{chosen.text} [{chosen.unit}]" if chosen.unit else chosen.text
        seen = r"\epsilon \times " if values and is_visible(search, values) else ""
        return (
            rf"$${seen}\sigma \times \mathcal{{B}}\ [\mathrm{{{search.unit}}}]$$"
            if search.unit == "fb"
            else f"{search.quantity} [{search.unit}]"
        )
    coupling = next(c for c in search.couplings if c.name == quantity)
    return label_tex(coupling.symbol, coupling.unit)


def is_visible(search: Search, values: Mapping[str, Any]) -> bool:
    """Whether the limit is quoted on efficiency times the rate."""
    return search.visible(values, search.datasets[str(values["dataset"])])


def mass_axis(search: Search) -> str:
    """The parameter that limits are drawn against: the first mass."""
    return search.mass_names[0]


def limit_data(rows: Sequence[Mapping[str, Any]], axis: str, quantity: str = RATE) -> Data:
    """The band of one quantity against ``axis`` from rows of a scan: arrays in order of ``axis``, closed points left out."""
    open_rows = sorted(
        (r for r in rows if r[f"{quantity}_median"] is not None and np.isfinite(r[f"{quantity}_median"])), key=lambda r: r[axis]
    )
    data: Data = {name: np.array([r[f"{quantity}_{name}"] for r in open_rows], dtype=float) for name in BAND}
    data["x"] = np.array([r[axis] for r in open_rows], dtype=float)
    data["efficiency"] = np.array([r["efficiency"] for r in open_rows], dtype=float)
    data["background"] = np.array([r["background"] for r in open_rows], dtype=float)
    data["narrow"] = np.array([bool(r.get(f"{quantity}_narrow", r["narrow_width"])) for r in open_rows], dtype=bool)
    return data


def segments(data: Data, narrow: bool) -> Data:
    """The stretches of the median that are (or are not) in the narrow-width approximation, as lists for ``multi_line``."""
    wanted = data["narrow"] if narrow else ~data["narrow"]
    parts = np.split(np.arange(len(wanted)), np.flatnonzero(np.diff(wanted.astype(int))) + 1) if len(wanted) else []
    parts = [p for p in parts if wanted[p[0]]]
    # A dashed stretch starts where the drawn-through one ends, so that the curve has no gap.
    spans = [p if narrow else np.arange(max(p[0] - 1, 0), min(p[-1] + 2, len(wanted))) for p in parts]
    return {"xs": [data["x"][s] for s in spans], "ys": [data["median"][s] for s in spans]}


def limit_title(cl: float, method: str, luminosity: float) -> str:
    """Confidence level, method and luminosity."""
    return f"{limit_text(cl, method)} upper limit, {luminosity_text(luminosity)}"


def value_at(answer: Point, quantity: str) -> float:
    """Where the couplings of a point lie on the axis of ``quantity``."""
    rate = answer.cross_section_fb * answer.branching_fraction
    if quantity == RATE:
        return rate * answer.search.per_rate(answer.values, answer.efficiency)
    coupling = next(c for c in answer.search.couplings if c.name == quantity)
    unit_rate = coupling.rate(answer.values, answer.dataset)
    return float((rate / unit_rate) ** (1 / coupling.power)) if unit_rate > 0 else 0.0


def here_data(answer: Point, axis: str, quantity: str, y_range: tuple[float, float]) -> Data:
    """The current point, held inside the axis; empty where the search is closed."""
    y = value_at(answer, quantity)
    if y <= 0:
        return {"x": [], "y": [], "value": []}
    return {"x": [float(answer.values[axis])], "y": [float(np.clip(y, *y_range))], "value": [y]}


def y_limits(data: Data, published: Sequence[Published]) -> tuple[float, float]:
    """A log axis that holds the band and what was published, whole decades apart from each end."""
    values = [*data["minus2"], *data["plus2"]]
    for result in published:
        values += [*(result.range or ()), *(result.observed or ()), *(result.expected or ())]
    good = [v for v in values if v > 0] or [1.0]
    return 10 ** np.floor(np.log10(min(good)) - 0.3), 10 ** np.ceil(np.log10(max(good)) + 0.2)


def of_quantity(published: Sequence[Published], search: Search, quantity: str,
                values: Mapping[str, Any] | None = None) -> list[Published]:  # fmt: skip
    """The published results that belong on the axis of ``quantity``, those for the parameters ``values`` if given."""
    names = {c.name for c in search.couplings}
    units = {search.unit, *(q.unit for q in search.quantities.values())} if values is None else {search.unit_at(values)}
    return [
        r
        for r in published
        if (r.quantity == quantity if quantity != RATE else r.quantity not in {*names, PUNZI} and r.unit in units)
        and (values is None or fits(r, values))
    ]


def fits(result: Published, values: Mapping[str, Any]) -> bool:
    """Whether a published result is for the model, the channel and the quantity chosen; not every one fixes them."""
    return all(values.get(name, fixed) == fixed for name, fixed in result.parameters.items())


def limit_plot(
    curve: LimitCurve, published: Sequence[Published] = (), *, quantity: str = RATE, here: Point | None = None, height: int = 380
) -> figure:
    """Expected limit with its 1 and 2 sigma bands against the mass, with what was published and the current point.

    ``quantity`` is ``"limit"`` (the rate, in the curve's unit) or the name of a coupling.
    """
    search, rows = load_search(curve.search), [{str(k): v for k, v in r.items()} for r in curve.frame.to_dict("records")]
    axis = mass_axis(search)
    luminosity = float(rows[0]["luminosity"]) if rows else 0.0
    plot = draw_limit(
        search,
        limit_data(rows, axis, quantity),
        of_quantity(published, search, quantity, rows[0] if rows else None),
        quantity,
        limit_title(curve.cl, curve.method, luminosity),
        height,
        overlays_of(search, rows[0], quantity) if rows else (),
        rows[0] if rows else None,
    )
    if here is not None:
        bounds = (float(plot.y_range.start), float(plot.y_range.end))
        named_source(plot, "here").data = here_data(here, axis, quantity, bounds)
    return plot


def overlays_of(search: Search, values: Mapping[str, Any], quantity: str) -> tuple[Overlay, ...]:
    """The constraints to draw beside the limit on ``quantity``."""
    return tuple(overlay for overlay in search.overlays(values) if overlay.quantity == quantity)


def overlay_data(overlay: Overlay) -> Data:
    """A band or, without a lower end, a line as the edges of its area."""
    high = np.array(overlay.high)
    low = high if overlay.low is None else np.array(overlay.low)
    return {"x": np.array(overlay.masses), "low": low, "high": high}


def _draw_overlays(plot: Any, overlays: Sequence[Overlay]) -> None:
    for k, overlay in enumerate(overlays):
        colour = OVERLAYS[k % len(OVERLAYS)]
        source = ColumnDataSource(overlay_data(overlay))
        plot.varea("x", "low", "high", source=source, color=colour, alpha=0.25, name=f"overlay{k}")
        look = {"source": source, "color": colour, "legend_label": overlay.label, "name": f"overlay{k}_edge"}
        points = overlay.low is None and not overlay.computed and len(overlay.masses) < FEW
        edge = plot.scatter("x", "high", size=6, **look) if points else plot.line("x", "high", line_width=1, **look)
        if overlay.source:
            plot.add_tools(HoverTool(renderers=[edge], tooltips=overlay.source, visible=False))
        if overlay.low is not None:
            plot.line("x", "low", source=source, color=colour, line_width=1)


def move_overlays(plot: Any, overlays: Sequence[Overlay]) -> None:
    """Other data and labels for the overlays that a plot was drawn with."""
    for k, overlay in enumerate(overlays):
        named_source(plot, f"overlay{k}").data = overlay_data(overlay)
        for item in plot.legend[0].items:
            if item.renderers[0].name == f"overlay{k}_edge":
                item.label = value(overlay.label)


def draw_limit(search: Search, data: Data, published: Sequence[Published], quantity: str, title: str, height: int = 380,
               overlays: Sequence[Overlay] = (), values: Mapping[str, Any] | None = None) -> Any:  # fmt: skip
    """The figure of :func:`limit_plot` from its arrays; glyphs are named so that a dashboard can move them."""
    axis = next(p for p in search.parameters if p.name == mass_axis(search))
    low, high = y_limits(data, [r for r in published if values is None or fits(r, values)])
    plot = new_figure(
        title,
        label_tex(axis.symbol, axis.unit),
        quantity_label(search, quantity, values),
        height=height,
        x_axis_type=axis.scale,
        y_axis_type="log",
        y_range=(low, high),
    )
    _draw_overlays(plot, overlays)
    _draw_ranges(plot, published, axis.name)
    band = plot.varea("x", "minus2", "plus2", source=_copy(data), color=BAND_2, alpha=0.9, legend_label="±2σ", name="band")
    plot.varea("x", "minus1", "plus1", source=band.data_source, color=BAND_1, alpha=0.9, legend_label="±1σ")
    plot.multi_line("xs", "ys", source=segments(data, True), color=INK, line_width=2, legend_label="expected", name="narrow")
    plot.multi_line("xs", "ys", source=segments(data, False), color=INK, line_width=2, line_dash="dashed", name="wide")
    dots = plot.scatter("x", "median", source=band.data_source, size=9, alpha=0.0, name="dots")
    unit = text_unit(search.unit_at(values) if values else search.unit) if quantity == RATE else ""
    plot.add_tools(
        _hover(
            dots,
            [
                (f"{axis.name} [{axis.unit}]", "@x{%.4g}"),
                (f"expected {unit}".strip(), "@median{%.3g}"),
                ("±1σ", "@minus1{%.3g} to @plus1{%.3g}"),
                ("efficiency", "@efficiency{%.3g}"),
                ("background", "@background{%.3g}"),
            ],
        )
    )
    _draw_curves(plot, published, axis.name)
    here = plot.scatter(
        "x",
        "y",
        source={"x": [], "y": [], "value": []},
        size=13,
        marker="star",
        color=SIGNAL,
        line_color="white",
        legend_label="this point",
        name="here",
    )
    plot.add_tools(_hover(here, [("this point", "@value{%.3g} " + unit)]))
    style_legend(plot)
    if values is not None:
        show_published(plot, published, values)
    return plot


def show_published(plot: Any, published: Sequence[Published], values: Mapping[str, Any]) -> None:
    """Of the published results that a plot was drawn with, show those for the parameters chosen."""
    for renderer in plot.renderers:
        if renderer.name in ("published", "published_line"):
            renderer.visible = fits(published[renderer.glyph.tags[0]], values)
    for item in plot.legend[0].items:
        item.visible = any(renderer.visible for renderer in item.renderers)


def _copy(data: Data) -> Data:
    return {name: values for name, values in data.items() if name != "narrow"}


def _hover(renderer: Any, tooltips: list[tuple[str, str]]) -> HoverTool:
    names = ("x", "y", "value", "median", "minus1", "plus1", "minus2", "plus2", "efficiency", "background", "observed")
    return HoverTool(renderers=[renderer], tooltips=tooltips, formatters={f"@{name}": "printf" for name in names}, visible=False)


def _paper(result: Published, among: Sequence[Published]) -> str:
    """Authors, year and luminosity, and what tells the result from others of the same paper: items of a legend are one each."""
    lumi = f", {luminosity_text(result.luminosity)}" if result.luminosity else ""
    others = [r.parameters for r in among if r.paper == result.paper]
    lumi += "".join(f", {v}" for k, v in result.parameters.items() if any(o.get(k) != v for o in others))
    return f"{result.reference.authors.split(',')[0].replace(' Collaboration', '')} {result.reference.year}{lumi}"


def _draw_ranges(plot: Any, published: Sequence[Published], axis: str) -> None:
    """A range known from an abstract: a shaded box, because where in the plane which value holds is not published."""
    for k, result in enumerate(published):
        if result.range and axis in result.region:
            left, right = result.region[axis]
            plot.quad(
                left=[left],
                right=[right],
                bottom=[result.range[0]],
                top=[result.range[1]],
                color=PUBLISHED,
                fill_alpha=0.12,
                line_alpha=0.9,
                line_dash="dotted",
                line_width=1.5,
                legend_label=f"{_paper(result, published)}: range over the plane",
                name="published",
                tags=[k],
            )


def _draw_curves(plot: Any, published: Sequence[Published], axis: str) -> None:
    """Published points as markers; a line only from FEW points on, where it does not invent a shape."""
    for k, result in enumerate(published):
        for kind, values, marker in (("observed", result.observed, "circle"), ("expected", result.expected, "square")):
            if values is None or axis not in result.masses:
                continue
            x, label = np.array(result.masses[axis]), f"{_paper(result, published)}, {kind}"
            if len(x) >= FEW:
                plot.line(
                    x, np.array(values), color=PUBLISHED, line_width=1.5, legend_label=label, name="published_line", tags=[k]
                )
            dots = plot.scatter(
                x="x",
                y="y",
                source={"x": x, "y": np.array(values)},
                marker=marker,
                size=6,
                fill_color="white",
                line_color=PUBLISHED,
                legend_label=label,
                name="published",
                tags=[k],
            )
            plot.add_tools(_hover(dots, [(label, "@x{%.4g}: @y{%.3g}")]))
