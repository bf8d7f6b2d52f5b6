"""The plane of mass and photon coupling of an axion-like particle: what is seen of it where, and what that excludes.

``alp_plane`` takes limits on the rate of the two signatures (:func:`belle2dark.mass_scan.scan_masses`, or a curve of points)
and lets the lifetime decide what is left of them at every coupling. ``alp_rates`` compares the two ways of production. All
regions are contours of smooth functions on a logarithmic grid, closed at its edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.models import HoverTool
from bokeh.plotting import figure
from bokeh.plotting.contour import contour_data
from numpy.typing import NDArray

from belle2dark.detector.alp_regimes import REGIMES, coupling_of_length, plane, single_photon_share, three_photon_share
from belle2dark.plots.style import (
    INK,
    PALETTE,
    PUBLISHED,
    SCENARIOS,
    SIGNAL,
    label_tex,
    limit_text,
    luminosity_text,
    new_figure,
    style_legend,
)
from belle2dark.published import load_published
from belle2dark.scan import LimitCurve
from belle2dark.search import Search, load_search
from belle2dark.theory.alp import PHOTON_ALP, fusion
from belle2dark.theory.gamma_x import gamma_alp

Array = NDArray[np.float64]
NAME, COUPLING, SINGLE = "alp_diphoton", "g_agg", "single_photon"
#: couplings [1/GeV] that the plane shows, and grid points of regimes and, along either axis at least, of excluded regions
RANGE, COARSE, FINE = (3e-6, 0.3), 90, 130
#: colour of each regime, and how high in its widest column its name stands: not on a curve
SHADES = dict(zip(REGIMES, (("#E3EDF7", 0.1), ("#F8EBD3", 0.85), ("#ECECEC", 0.5), ("#E4F2E8", 0.35)), strict=True))
#: lab decay lengths of the guide lines [cm]
LENGTHS = ((10.0, "0.1 m"), (300.0, "3 m"))
#: colours of excluded regions
COLOURS = (SIGNAL, PALETTE[2], PALETTE[3], PALETTE[4])


def alp_plane(curves: Sequence[LimitCurve], *, height: int = 560) -> figure:
    """Regions where an ALP is resolved, merged, displaced or invisible, and what expected limits exclude in them.

    ``curves`` are limits of ``alp_diphoton`` on the rate, of either signature (a single photon with decays to dark matter,
    which no lifetime closes). Raises ``ValueError`` without any, or for those of another search.
    """
    if not curves or any(curve.search != NAME for curve in curves):
        raise ValueError(f"curves: one or more of the search {NAME} are needed")
    search, first = load_search(NAME), curves[0]
    mass, coupling = (next(p for p in search.parameters if p.name == name) for name in (search.mass_names[0], COUPLING))
    plot = new_figure(f"Expected {limit_text(first.cl, first.method)} limits", label_tex(mass.symbol, mass.unit),
                      label_tex(coupling.symbol, coupling.unit), x_axis_type="log", y_axis_type="log",
                      x_range=(mass.low, mass.high), y_range=RANGE, height=height)  # fmt: skip
    _draw_regimes(plot, search, (mass.low, mass.high))
    _draw_others(plot, search)
    for curve, colour in zip(curves, COLOURS * len(curves), strict=False):
        _draw_excluded(plot, search, curve, colour)
    style_legend(plot, 2)
    return plot


def excluded(search: Search, curve: LimitCurve) -> tuple[Array, Array, Array]:
    """Logarithms of masses (m,) and couplings (k,) and of the rate seen over its limit (m, k), a decaying to photons alone.

    Positive is excluded. Limits on the rate are interpolated between the masses of the curve; for a single photon the
    lightest serves for all lighter ones, whose recoil is the same.
    """
    frame = curve.frame[np.isfinite(curve.frame["limit_median"].to_numpy(dtype=float))]
    rows = [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]
    name, dataset = search.mass_names[0], search.datasets[str(rows[0]["dataset"])]
    nodes = np.log(frame[name].to_numpy(dtype=float))
    # limits as if all decays were where they can be seen
    limits = np.log(frame["limit_median"].to_numpy(dtype=float) * [search.kept(row, dataset) for row in rows])
    y = _grid(*RANGE, FINE)
    x = np.unique([*nodes[:: max(1, len(nodes) // FINE)], nodes[-1]])
    alone = rows[0]["signature"] == SINGLE
    if alone:
        x = _grid(next(p.low for p in search.parameters if p.name == name), float(np.exp(nodes[-1])), 400)
        # heavier ones decay inside even at the smallest coupling
        flies = coupling_of_length(np.exp(x), LENGTHS[0][0], dataset.detector) > RANGE[0]
        x = np.linspace(x[0], x[flies][-1], FINE)
    out = np.empty((len(x), FINE))
    for i, (mass, limit) in enumerate(zip(np.exp(x), np.interp(x, nodes, limits), strict=True)):
        ctau = PHOTON_ALP.ctau(mass, {COUPLING: np.exp(y)})
        share = single_photon_share(mass, ctau, dataset.detector) if alone else three_photon_share(mass, ctau, dataset.detector)
        seen = np.log(np.maximum(share, 1e-100))
        out[i] = np.log(search.couplings[0].rate({**rows[0], name: float(mass)}, dataset)) + 2.0 * y + seen - limit
    return x, y, out


def _grid(low: float, high: float, n: int) -> Array:
    """Logarithms (n,) of values evenly spread on a logarithmic axis."""
    return np.linspace(np.log(low), np.log(high), n)


def _draw_excluded(plot: Any, search: Search, curve: LimitCurve, colour: str) -> None:
    """The excluded region of one curve, with its edge."""
    x, y, height = excluded(search, curve)
    row = curve.frame.iloc[0]
    signature = str(row["signature"]).replace("_", " ")
    label = f"{signature}, {luminosity_text(float(row['luminosity']))}"
    if curve.systematics != "constant":
        label += f", systematics {SCENARIOS[curve.systematics]}"
    found = contour_data(x, y, height.T, [0.0, float(max(height.max(), 0.0)) + 1.0], want_fill=True, want_line=False).fill_data
    if found is not None:
        plot.multi_polygons(xs=_powers(found.xs), ys=_powers(found.ys), fill_color=colour, fill_alpha=0.18, line_color=colour,
                            line_width=2, legend_label=label, name="excluded")  # fmt: skip


def _powers(levels: Any) -> list[list[list[Array]]]:
    """Polygons of logarithms by level, polygon and ring, as values."""
    return [[[np.exp(ring) for ring in polygon] for polygon in level] for level in levels]


def _draw_regimes(plot: Any, search: Search, masses: tuple[float, float]) -> None:
    """Where each regime is the most likely one, with its name, and guide lines of the decay length."""
    detector = search.default_dataset.detector
    x, y = _grid(*masses, COARSE), _grid(*RANGE, COARSE)
    shares = plane(np.exp(x), np.exp(y), detector)
    for name in REGIMES:
        above = shares[name] - np.max([shares[other] for other in REGIMES if other != name], axis=0)
        found = contour_data(x, y, above.T, [0.0, 2.0], want_fill=True, want_line=False).fill_data
        if found is None:
            continue
        colour, height = SHADES[name]
        plot.multi_polygons(xs=_powers(found.xs), ys=_powers(found.ys), fill_color=colour, line_color="white", name=name)
        tall = (above > 0.0).sum(axis=1)
        wide = np.flatnonzero(tall > 0.9 * tall.max())
        i = int(wide[len(wide) // 2])
        column = np.flatnonzero(above[i] > 0.0)
        row = np.flatnonzero(above[:, column[int(height * (len(column) - 1))]] > 0.0)
        _write(plot, x[row[len(row) // 2]], y[column[int(height * (len(column) - 1))]], name, "italic")
    for length, label in LENGTHS:
        line = np.log(coupling_of_length(np.exp(x), length, detector))
        plot.line(np.exp(x), np.exp(line), color="#555555", line_dash="dotted", line_width=1.5, name="guide")
        k = int(np.argmin(np.abs(line - (0.35 * y[-1] + 0.65 * y[0]))))
        _write(plot, x[k], line[k], label)


def _write(plot: Any, x: float, y: float, text: str, style: str = "normal", colour: str = "#555555") -> None:
    """A text at logarithms of mass and coupling."""
    plot.text([float(np.exp(x))], [float(np.exp(y))], [text], text_font_size="11px", text_font_style=style, text_color=colour,
              text_align="center", text_baseline="middle", name="label")  # fmt: skip


def _draw_others(plot: Any, search: Search) -> None:
    """Limits and projections of others, each with its name on the curve, and the published limit of the search."""
    for k, other in enumerate(search.overlays(search.parse({}))):
        x, y = np.array(other.masses), np.array(other.high)
        place = (x[-2], 1.35 * y[-2]) if k % 2 == 0 else (x[len(x) // 2], 0.6 * y[len(x) // 2])
        if other.low is not None:  # a region: closed, its name below
            place = float(np.sqrt(x[0] * x[-1])), 0.7 * min(other.low)
            x, y = np.concatenate([x, x[::-1], x[:1]]), np.concatenate([y, other.low[::-1], y[:1]])
        planned = "projected" in other.label
        edge = plot.line(x, y, color=INK if planned else "#777777", line_width=1.5, line_dash="dashed" if planned else "solid",
                         name="other")  # fmt: skip
        plot.add_tools(HoverTool(renderers=[edge], tooltips=f"{other.label}: {other.source}", visible=False))
        _write(plot, float(np.log(place[0])), float(np.log(place[1])), other.label, colour=INK)
    for result in load_published(search.name):
        if result.quantity == COUPLING and result.observed:
            paper = result.reference
            plot.line(result.masses[search.mass_names[0]], result.observed, color=PUBLISHED, line_width=1.5, name="published",
                      legend_label=f"{paper.authors.replace(' Collaboration', '')} {paper.year}, observed")  # fmt: skip


def alp_rates(search: Search, *, height: int = 320) -> figure:
    """Cross-sections [fb] at the default coupling against the mass: beside a photon, and by two photons off the beams.

    The second leaves two photons and nothing else, and is not searched for.
    """
    mass = next(p for p in search.parameters if p.name == search.mass_names[0])
    values, dataset = search.parse({}), search.default_dataset
    root, g = dataset.sqrt_s, float(values[COUPLING])
    x = np.geomspace(mass.low, 0.99 * root, 80)
    plot = new_figure(f"Production at g = {g:g} GeV⁻¹", label_tex(mass.symbol, mass.unit), "cross-section [fb]", height=height,
                      x_axis_type="log", y_axis_type="log")  # fmt: skip
    plot.line(x, g**2 * gamma_alp(root, x), color=INK, line_dash="dashed", legend_label="γ a, tree level")
    beside = [search.couplings[0].rate({**values, mass.name: float(m)}, dataset) for m in x]
    plot.line(x, g**2 * np.array(beside), color=SIGNAL, line_width=2, legend_label="γ a, with radiation")
    plot.line(x, [g**2 * fusion(root, float(m)) for m in x], color=PALETTE[0], line_width=2, legend_label="e⁺e⁻ a, two photons")
    style_legend(plot)
    return plot
