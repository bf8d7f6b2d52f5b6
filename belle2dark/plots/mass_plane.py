"""The plane of two masses: limits, slices of them, macro-regions of backgrounds, an optimised cut, other experiments.

``limit_map`` and ``slice_plot`` take a scan over both masses (:func:`belle2dark.scan.scan` with two axes, or
:func:`belle2dark.plane.plane`), ``region_map`` and ``region_tables`` the macro-regions of :mod:`belle2dark.macro_regions`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.models import FixedTicker, HoverTool, LinearColorMapper, LogColorMapper
from bokeh.models.annotations import ColorBar
from bokeh.plotting import figure
from numpy.typing import NDArray

from belle2dark.macro_regions import MacroRegions, control_samples, normalisation, region_table
from belle2dark.plots.limits import RATE, limit_title, mass_axis, overlays_of, quantity_label
from belle2dark.plots.spectrum import NAMES
from belle2dark.plots.style import (
    INK,
    PALETTE,
    PUBLISHED,
    label_tex,
    luminosity_text,
    new_figure,
    number,
    style_legend,
    text_unit,
)
from belle2dark.plots.tables import percent, table
from belle2dark.scan import LimitCurve
from belle2dark.search import Search, load_search
from belle2dark.sourced import load_numbers

if TYPE_CHECKING:
    from IPython.display import HTML

Array = NDArray[np.float64]
#: light is weak, dark is strong; readable in grey
SHADES = "Viridis256"
#: largest over smallest limit that colours tell apart: of a rate, and of a coupling, which also has the cross-section in it
RANGE = 30.0, 300.0
#: where planes of masses end [GeV], which other experiments are drawn in
TOP = 10.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """A region of the mass plane: ``label`` and the ``corners`` (n, 2) of its polygon [GeV]."""

    label: str
    corners: tuple[tuple[float, float], ...]


def clipped(corners: Sequence[tuple[float, float]], *cuts: tuple[float, float, float]) -> tuple[tuple[float, float], ...]:
    """The part of a convex polygon where a x + b y <= c, for each of the ``cuts`` (a, b, c); maybe nothing."""
    for a, b, c in cuts:
        kept: list[tuple[float, float]] = []
        for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], *corners[:1]], strict=True):
            d0, d1 = a * x0 + b * y0 - c, a * x1 + b * y1 - c
            if d0 <= 0:
                kept.append((x0, y0))
            if d0 * d1 < 0:
                share = d0 / (d0 - d1)
                kept.append((x0 + share * (x1 - x0), y0 + share * (y1 - y0)))
        corners = kept
    return tuple(corners)


def coverage(search: Search) -> tuple[Outline, ...]:
    """Where others looked for the same two particles, from the numbers of ``search``: invisible or cascading dark Higgs.

    The last outline is the strip where the dark Higgs decays inside the detector to one A' and a virtual one: nobody looked.
    """
    numbers, root = search.numbers, search.default_dataset.sqrt_s
    out = []
    for key, label in (("babar", "BaBar 2012: h' → A'A'"), ("belle", "Belle 2015: h' → A'A'")):
        (a, b), (c, d) = numbers[f"cascade_{key}_m_aprime"].values, numbers[f"cascade_{key}_m_hprime"].values
        box = ((a, c), (b, c), (b, d), (a, d))
        out.append(Outline(label=label, corners=clipped(box, (2.0, -1.0, 0.0), (1.0, 1.0, root))))
    phi, lightest = float(numbers["kloe_sqrt_s"]), next(p.low for p in search.parameters if p.name == search.mass_names[0])
    box = ((lightest, 0.0), (phi, 0.0), (phi, phi), (lightest, phi))
    out.append(Outline(label="KLOE-2, kinematic region", corners=clipped(box, (-1.0, 1.0, 0.0), (1.0, 1.0, phi))))
    strip = clipped(((0.0, 0.0), (root, 0.0), (root, root), (0.0, root)), (1.0, -1.0, 0.0), (-2.0, 1.0, 0.0), (1.0, 1.0, root))
    return (*out, Outline(label="no search: M(A') < M(h') < 2 M(A')", corners=strip))


def _plane(search: Search, title: str, height: int, **options: Any) -> Any:
    """An empty figure of the two masses."""
    first, second = (next(p for p in search.parameters if p.name == name) for name in search.mass_names)
    plot = new_figure(title, label_tex(first.symbol, first.unit), label_tex(second.symbol, second.unit), height=height, **options)
    plot.grid.visible = False
    return plot


def _spacing(values: Array) -> float:
    """Distance of neighbours on a regular axis; raises ``ValueError`` for fewer than two values."""
    steps = np.diff(np.unique(np.round(values, 6)))
    if not len(steps):
        raise ValueError("a map needs at least two values of either mass")
    return float(np.median(steps))


def limit_map(curve: LimitCurve, *, quantity: str = RATE, others: bool = False, height: int = 420) -> figure:
    """The expected limit on ``quantity`` (the rate, or a coupling) over a grid of both masses, in colour.

    With ``others`` the regions of other experiments are outlined. Raises ``ValueError`` for a scan over one mass.
    """
    search, frame = load_search(curve.search), curve.frame
    first, second = search.mass_names
    column = f"{quantity}_median"
    width, tall = (_spacing(frame[name].to_numpy()) for name in (first, second))
    rows = frame[np.isfinite(frame[column].to_numpy(dtype=float))]
    limits = rows[column].to_numpy(dtype=float)
    # where hardly any signal is left, limits would stretch the scale over decades
    low = float(limits.min()) if len(limits) else 1.0
    high = min(float(limits.max(initial=low)), RANGE[quantity != RATE] * low)
    mapper = LogColorMapper(palette=SHADES, low=low, high=1.001 * high)
    title = limit_title(curve.cl, curve.method, float(frame["luminosity"].iloc[0]))
    right, top = (float(rows[name].max()) + side if len(rows) else TOP for name, side in ((first, width), (second, tall)))
    plot = _plane(search, title, height, x_range=(0.0, TOP if others else right), y_range=(0.0, TOP if others else top))
    source = {
        "x": rows[first],
        "y": rows[second],
        "limit": limits,
        "efficiency": rows["efficiency"],
        "background": rows["background"],
    }
    cells = plot.rect("x", "y", width, tall, source=source, line_width=0,
                      fill_color={"field": "limit", "transform": mapper}, name="limits")  # fmt: skip
    plot.add_tools(HoverTool(renderers=[cells], visible=False, tooltips=[
        (first, "@x{0.00} GeV"), (second, "@y{0.00} GeV"), ("limit", "@limit{%.3g}"), ("efficiency", "@efficiency{0.000}"),
        ("background", "@background{%.2g}")], formatters={"@limit": "printf", "@background": "printf"}))  # fmt: skip
    plot.add_layout(ColorBar(color_mapper=mapper, width=10, title=_text(search, quantity), title_text_font_size="11px",
                             major_label_text_font_size="11px", padding=4), "right")  # fmt: skip
    if others:
        for k, outline in enumerate(coverage(search)):
            x, y = zip(*outline.corners, strict=True)
            plot.patch(x, y, fill_color=PALETTE[k], fill_alpha=0.12, line_color=PALETTE[k], line_width=1.5,
                       legend_label=outline.label, name=f"outline{k}")  # fmt: skip
        style_legend(plot, 2)
    return plot


def _text(search: Search, quantity: str) -> str:
    """The quantity as plain text with its unit."""
    return f"limit [{text_unit(search.unit)}]" if quantity == RATE else f"limit on {quantity}"


def slice_plot(curve: LimitCurve, *, quantity: str, along: str | None = None, n: int = 4, height: int = 380) -> figure:
    """The expected limit against one mass (default: the first) at ``n`` values of the other, from a grid of both.

    Constraints of others on the same quantity are drawn as markers. Raises ``ValueError`` for a mass the search has not.
    """
    search, frame = load_search(curve.search), curve.frame
    along = along or mass_axis(search)
    if along not in search.mass_names:
        raise ValueError(f"along = {along!r}: allowed: {' | '.join(search.mass_names)}")
    fixed = next(name for name in search.mass_names if name != along)
    axis, other = (next(p for p in search.parameters if p.name == name) for name in (along, fixed))
    good = frame[np.isfinite(frame[f"{quantity}_median"].to_numpy(dtype=float))]
    values = good.groupby(fixed).size()
    values = values[values >= 2].index.to_numpy()
    chosen = np.unique(values[np.round(np.linspace(0, max(len(values) - 1, 0), n)).astype(int)]) if len(values) else values
    title = limit_title(curve.cl, curve.method, float(frame["luminosity"].iloc[0]))
    plot = new_figure(
        title, label_tex(axis.symbol, axis.unit), quantity_label(search, quantity), height=height, y_axis_type="log"
    )
    for k, value in enumerate(chosen):
        rows = good[good[fixed] == value].sort_values(along)
        label = f"{fixed} = {value:.3g} {other.unit}"
        plot.line(rows[along], rows[f"{quantity}_median"], color=PALETTE[k % len(PALETTE)], line_width=2, legend_label=label)
    if along == mass_axis(search):
        for overlay in overlays_of(search, {str(k): v for k, v in frame.iloc[0].items()}, quantity):
            plot.scatter(overlay.masses, overlay.high, size=8, marker="square", fill_color="white", line_color=PUBLISHED,
                         legend_label=overlay.label, name="overlay")  # fmt: skip
    style_legend(plot, 2)
    return plot


def branching_plot(search: Search, *, height: int = 320) -> figure:
    """Branching fraction of what is seen against the first mass, at the default couplings."""
    axis = next(p for p in search.parameters if p.name == mass_axis(search))
    masses = np.linspace(axis.low, axis.high, 400)
    values = search.parse({})
    plot = new_figure("Branching fraction of the decay that is seen", label_tex(axis.symbol, axis.unit), "branching fraction",
                      height=height, y_range=(0.0, 1.02))  # fmt: skip
    plot.line(masses, [search.branching_fraction({**values, axis.name: float(m)}) for m in masses], color=INK, line_width=2)
    return plot


def cut_map(search: Search, *, height: int = 380) -> figure:
    """The cut of ``data/<search>_cut.yaml`` over the mass plane: the largest value kept at each node, in colour."""
    numbers = load_numbers(f"{search.name}_cut")
    m, f, cuts = (np.array(numbers[name].values) for name in ("m_mumu_nodes", "fraction_nodes", "cos_helicity_max"))
    root = search.default_dataset.detector.beams.sqrt_s
    m_edges = np.clip(np.concatenate([[m[0]], 0.5 * (m[1:] + m[:-1]), [m[-1]]]), 0.0, root)
    f_edges = np.concatenate([[0.0], 0.5 * (f[1:] + f[:-1]), [1.0]])
    a, b = (x.ravel() for x in np.meshgrid(np.arange(len(m)), np.arange(len(f)), indexing="ij"))
    left, right, low, high = m_edges[a], m_edges[a + 1], f_edges[b], f_edges[b + 1]
    xs = np.stack([left, right, right, left], axis=1)
    ys = np.stack([low * (root - left), low * (root - right), high * (root - right), high * (root - left)], axis=1)
    mapper = LinearColorMapper(palette=SHADES, low=float(cuts.min()), high=1.0)
    plot = _plane(search, "Largest |cos θ| (helicity angle) kept", height, x_range=(0.0, 10.6), y_range=(0.0, 5.6))
    cells = plot.patches("xs", "ys", source={"xs": list(xs), "ys": list(ys), "cut": cuts}, line_width=0,
                         fill_color={"field": "cut", "transform": mapper}, name="cuts")  # fmt: skip
    plot.add_tools(HoverTool(renderers=[cells], visible=False, tooltips=[("largest |cos θ| kept", "@cut{0.00}")]))
    plot.line([0.0, 5.6], [0.0, 5.6], color=INK, line_dash="dashed", legend_label="equal masses: the search ends here")
    plot.add_layout(
        ColorBar(color_mapper=mapper, width=10, ticker=FixedTicker(ticks=[0.6, 0.7, 0.8, 0.9, 1.0]), padding=4), "right"
    )
    style_legend(plot)
    return plot


def region_map(regions: MacroRegions, *, height: int = 380) -> figure:
    """The macro-regions in the mass plane, each cell in the colour of its dominant background."""
    plot = _plane(regions.search, f"Dominant background, {luminosity_text(regions.luminosity)}", height,
                  x_range=(0.0, 10.6), y_range=(0.0, 5.6))  # fmt: skip
    for k, name in enumerate(regions.regions):
        i, j = np.nonzero(regions.cells(name))
        total = regions.yields[:, i, j].sum(axis=0)
        share = regions.yields[regions.processes.index(name), i, j] / total
        source = {"left": regions.edges[0][i], "right": regions.edges[0][i + 1], "bottom": regions.edges[1][j],
                  "top": regions.edges[1][j + 1], "events": total, "share": share, "alpha": 0.25 + 0.65 * share}  # fmt: skip
        cells = plot.quad(left="left", right="right", bottom="bottom", top="top", source=source, color=PALETTE[k % len(PALETTE)],
                          fill_alpha="alpha", line_color="#ffffff", legend_label=NAMES.get(name, name), name=name)  # fmt: skip
        plot.add_tools(HoverTool(renderers=[cells], visible=False, formatters={"@events": "printf"}, tooltips=[
            ("dominant", NAMES.get(name, name)), ("its share", "@share{0 %}"), ("events", "@events{%.3g}")]))  # fmt: skip
    style_legend(plot)
    return plot


def region_tables(regions: MacroRegions) -> HTML:
    """Two tables: expected events per macro-region, and what the control samples know of their normalisation."""
    from IPython.display import HTML

    at = luminosity_text(regions.luminosity)
    titles = [NAMES.get(name, name) for name in regions.processes]
    rows = [(escape(NAMES.get(r["region"], r["region"])), percent(r["share"]), number(r["events"]),
             *(number(r[name]) for name in regions.processes)) for r in region_table(regions).to_dict("records")]  # fmt: skip
    first = table(("region", "share of the dominant", "events", *map(escape, titles)), rows, f"Macro-regions, {at}")
    samples = control_samples(regions)
    total = normalisation(samples)
    rows = []
    for r in samples.to_dict("records"):
        known = (number(r["events"]), percent(r["purity"])) if r["control"] else ("", "")
        rows.append((escape(NAMES.get(r["region"], r["region"])), escape(NAMES.get(r["process"], r["process"])),
                     percent(r["share"]), escape(r["control"] or "none: its rate"), *known, percent(r["uncertainty"]),
                     percent(r["contribution"]), percent(float(total[r["region"]]))))  # fmt: skip
    head = (
        "region",
        "process",
        "share",
        "control sample",
        "its events",
        "purity",
        "process known to",
        "contribution",
        "region known to",
    )
    return HTML(first + table(head, rows, f"Control samples, statistical errors, {at}"))
