"""The plane of mass and coupling of a visible dark photon: prompt limits, islands of displaced decays, and what others say.

``visible_plane`` takes limits of ``dark_photon_visible``: scans of prompt decays (:func:`belle2dark.mass_scan.scan_masses`, or a
curve of points), whose region ends at the top of the plot and wherever masses are left out, and a curve of points with
displaced decays, on which the lifetime decides what is seen at every coupling. Edges of regions are closed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from bokeh.models import HoverTool
from bokeh.models.annotations import Label
from bokeh.plotting import figure
from bokeh.plotting.contour import contour_data
from numpy.typing import NDArray

from belle2dark.plots.limits import limit_title
from belle2dark.plots.style import INK, PALETTE, PUBLISHED, SIGNAL, label_tex, luminosity_text, new_figure, style_legend
from belle2dark.published import load_published
from belle2dark.scan import LimitCurve
from belle2dark.search import Search, load_search

Array = NDArray[np.float64]
NAME, AXIS = "dark_photon_visible", "m_aprime"
#: couplings that the plane shows, and grid points of a displaced region along mass and coupling
RANGE, GRID = (3e-7, 2e-2), (70, 130)
#: a step in masses that is so much longer than those before and after it is a region left out
GAP = 4.0
#: a curve of fewer points is interpolated to as many, in logarithms
DENSE = 1500
COLOURS = (SIGNAL, PALETTE[2], PALETTE[3], PALETTE[4])
#: share of the displaced rate that is worth a look, as a logarithm
FAINT = -8.0


def visible_plane(curves: Sequence[LimitCurve], *, height: int = 520) -> figure:
    """Excluded regions of the coupling of the chosen model against the mass, from expected medians, with other limits.

    Raises ``ValueError`` without curves, for those of another search, and for curves of different models.
    """
    if not curves or any(curve.search != NAME for curve in curves):
        raise ValueError(f"curves: one or more of the search {NAME} are needed")
    models = {str(curve.frame["model"].iloc[0]) for curve in curves}
    if len(models) > 1:
        raise ValueError(f"curves: of one model, not of {', '.join(sorted(models))}")
    search, first = load_search(NAME), curves[0]
    values = _row(first, 0)
    coupling = search.couplings_for(values)[0]
    mass = next(p for p in search.parameters if p.name == AXIS)
    title = limit_title(first.cl, first.method, float(values["luminosity"])).split(",")[0]
    axes = (label_tex(mass.symbol, mass.unit), label_tex(coupling.symbol, coupling.unit))
    plot = new_figure(f"{title}s, expected", *axes, x_axis_type="log", y_axis_type="log", x_range=(mass.low, mass.high),
                      y_range=RANGE, height=height)  # fmt: skip
    for curve, colour in zip(curves, COLOURS * len(curves), strict=False):
        prompt = curve.frame["signature"].iloc[0] == "prompt"
        draw = _draw_prompt if prompt else _draw_displaced
        draw(plot, search, curve, coupling.name, colour)
    if coupling.name == "epsilon":
        _draw_others(plot, search, values)
    style_legend(plot, 2)
    return plot


def _row(curve: LimitCurve, k: int) -> dict[str, Any]:
    return {str(name): value for name, value in curve.frame.iloc[k].to_dict().items()}


def _label(curve: LimitCurve) -> str:
    row = curve.frame.iloc[0]
    return f"{row['signature']}, {str(row['dataset']).split('_')[0]}, {luminosity_text(float(row['luminosity']))}"


def pieces(masses: Array) -> list[slice]:
    """Runs of ascending ``masses`` (n,) without a gap: where a step is GAP times longer than those on either side."""
    steps = np.diff(np.log(masses))
    before, after = np.insert(steps[:-1], 0, np.inf), np.append(steps[1:], np.inf)
    cuts = np.flatnonzero(steps > GAP * np.maximum(before, after)) + 1
    return [slice(a, b) for a, b in zip([0, *cuts], [*cuts, len(masses)], strict=True)]


def _draw_prompt(plot: Any, search: Search, curve: LimitCurve, coupling: str, colour: str) -> None:
    """Everything above the expected median, piece by piece."""
    frame = curve.frame[np.isfinite(curve.frame[f"{coupling}_median"].to_numpy(dtype=float))]
    x, y = frame[AXIS].to_numpy(dtype=float), frame[f"{coupling}_median"].to_numpy(dtype=float)
    if len(x) < DENSE:  # a coarse curve must not run across what is cut out between its points
        values, dense = _row(curve, 0), np.geomspace(x[0], x[-1], DENSE)
        dataset = search.datasets[str(values["dataset"])]
        dense = np.array([m for m in dense if not search.closed({**values, AXIS: float(m)}, dataset)])
        x, y = dense, np.exp(np.interp(np.log(dense), np.log(x), np.log(y)))
    for piece in pieces(x):
        xs, ys = x[piece], np.minimum(y[piece], RANGE[1])
        if len(xs) > 1:
            around = np.concatenate([xs, xs[::-1], xs[:1]]), np.concatenate([ys, np.full(len(xs), RANGE[1]), ys[:1]])
            plot.patch(*around, color=colour, fill_alpha=0.15, line_width=1.2, legend_label=_label(curve), name="prompt")


def displaced_region(search: Search, curve: LimitCurve, coupling: str) -> tuple[Array, Array, Array]:
    """Logarithms of masses (m,) and couplings (k,) and of the rate of displaced decays over its limit (m, k): excluded above 0.

    Limits on the rate that is seen are interpolated between the masses of the curve, their logarithm in that of the mass.
    """
    frame = curve.frame[np.isfinite(curve.frame["seen_median"].to_numpy(dtype=float))]
    rows = [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
    dataset = search.datasets[str(rows[0]["dataset"])]
    nodes = np.log(frame[AXIS].to_numpy(dtype=float))
    limits = np.log(frame["seen_median"].to_numpy(dtype=float))
    x, y = np.linspace(nodes[0], nodes[-1], GRID[0]), np.linspace(np.log(RANGE[0]), np.log(RANGE[1]), GRID[1])
    rate = next(c.rate for c in search.couplings if c.name == coupling)
    height = np.full((len(x), len(y)), FAINT)
    for i, (m, limit) in enumerate(zip(np.exp(x), np.interp(x, nodes, limits), strict=True)):
        here: Mapping[str, Any] = {**rows[0], AXIS: float(m)}
        part, unit = search.at(here), np.log(rate(here, dataset))
        for j in np.flatnonzero(unit + 2.0 * y - limit > 0.0):
            share = part.kept({**here, coupling: float(np.exp(y[j]))}, dataset)
            height[i, j] = max(FAINT, unit + 2.0 * y[j] + np.log(share) - limit)
    return x, y, height


def _draw_displaced(plot: Any, search: Search, curve: LimitCurve, coupling: str, colour: str) -> None:
    """The islands of displaced decays, with their edges."""
    x, y, height = displaced_region(search, curve, coupling)
    found = contour_data(x, y, height.T, [0.0, float(max(height.max(), 0.0)) + 1.0], want_fill=True, want_line=False).fill_data
    if found is not None:
        plot.multi_polygons(xs=_powers(found.xs), ys=_powers(found.ys), fill_color=colour, fill_alpha=0.3, line_color=colour,
                            line_width=2, legend_label=_label(curve), name="displaced")  # fmt: skip


def _powers(levels: Any) -> list[list[list[Array]]]:
    """Polygons of logarithms by level, polygon and ring, as values."""
    return [[[np.exp(ring) for ring in polygon] for polygon in level] for level in levels]


def _draw_others(plot: Any, search: Search, values: Mapping[str, Any]) -> None:
    """Limits of others, each with its name on the curve, and the published limit of the search."""
    for other in search.overlays(values):
        x, y = np.array(other.masses), np.array(other.high)
        line = plot.line(x, y, color="#777777", line_width=1.5, name="other")
        plot.add_tools(HoverTool(renderers=[line], tooltips=f"{other.label}: {other.source}", visible=False))
        shown = np.flatnonzero(x > 1.05 * next(p.low for p in search.parameters if p.name == AXIS))
        j = shown[np.argmin(y[shown])]  # below its lowest point
        plot.add_layout(Label(x=float(x[j]), y=0.95 * float(y[j]), text=other.label, text_font_size="10px", text_color=INK,
                              text_baseline="top"))  # fmt: skip
    for result in load_published(search.name):
        if result.quantity == "epsilon" and result.observed:
            paper = result.reference
            plot.scatter(result.masses[AXIS], result.observed, color=PUBLISHED, size=8, name="published",
                         legend_label=f"{paper.authors.replace(' Collaboration', '')} {paper.year}, observed")  # fmt: skip
