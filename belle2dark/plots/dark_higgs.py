"""Long-lived scalars in B decays: theory, limits over mass and lifetime, and the plane of mass and coupling.

``lifetime_map``, ``lifetime_plot`` and ``mixing_plane`` take scans of ``b_to_k_llp`` over ``m_s`` and ``ctau`` with a lifetime
that is free (:func:`belle2dark.scan.scan`, two axes): limits on a rate hold for any model, and a model's lifetime and rate turn
them into an excluded island, whose edges are closed. ``production_plot`` and ``decay_plot`` show the theory with its spread.

Not included: limits of a combination of final states; between two masses of a scan limits are interpolated, in logarithms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from bokeh.models import HoverTool, LogColorMapper
from bokeh.models.annotations import ColorBar
from bokeh.plotting import figure
from bokeh.plotting.contour import contour_data
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator

from belle2dark.plots.limits import fits, limit_title
from belle2dark.plots.style import INK, PALETTE, SIGNAL, label_tex, luminosity_text, new_figure, style_legend
from belle2dark.point import Point
from belle2dark.published import Published
from belle2dark.scan import LimitCurve
from belle2dark.search import Search, load_search
from belle2dark.sourced import load_numbers
from belle2dark.theory.b_to_k_scalar import COUPLINGS
from belle2dark.theory.dark_higgs import DARK_HIGGS, MODES, SCHEMES, WIDTHS, production_branching_fraction

Array = NDArray[np.float64]
NAME, MASS, LIFETIME = "b_to_k_llp", "m_s", "ctau"
COLOURS = (SIGNAL, PALETTE[0], PALETTE[2], PALETTE[3], PALETTE[1], PALETTE[4])
#: masses and couplings at which islands are looked for, and how far down a rate is followed, as a logarithm over its limit
GRID, FAINT = (160, 160), -4.0
#: lines of a plot at most, markers of others
LINES, MARKERS = 6, ("circle", "triangle", "square", "diamond", "inverted_triangle")
#: masses [GeV] and couplings that the plane shows
SHOWN = (0.015, 5.0), {"sin_theta": (5e-5, 1.0), "c_over_lambda": (1e-4, 3.0)}
#: resolutions to either side of a peak that are drawn
REACH = 8.0
#: largest limit over the smallest that colours tell apart
RANGE = 1e3
_MODES = {"kplus": "B⁺ → K⁺S", "kstar0": "B⁰ → K*⁰S"}
_PAIRS = {"ee": "e⁺e⁻", "mumu": "μ⁺μ⁻", "pipi": "π⁺π⁻", "kk": "K⁺K⁻"}


def production_plot(*, height: int = 360) -> figure:
    """Branching fractions of B -> K(*) S at sin(theta) = 1 against the mass: between two schemes, and another publication."""
    numbers = load_numbers("dark_higgs")
    plot = new_figure("Production in B decays", label_tex("m_S", "GeV"), r"$$\mathcal{B}(B \to K^{(*)}S)\,/\,\sin^2\theta$$",
                      height=height, y_range=(0.0, 0.65))  # fmt: skip
    for colour, (mode, (m_b, m_k, _)) in zip(PALETTE, MODES.items(), strict=False):
        m = np.linspace(1e-3, m_b - m_k, 300)
        high, low = (production_branching_fraction(m, mode, scheme) for scheme in SCHEMES)
        plot.varea(m, low, high, color=colour, alpha=0.2)
        plot.line(m, high, color=colour, line_width=2, legend_label=f"{_MODES[mode]}, top mass on shell", name=mode)
        plot.line(m, low, color=colour, line_width=1, line_dash="dashed", legend_label=f"{_MODES[mode]}, running top mass")
        theirs = (numbers[f"senscalc_{mode}_{kind}"].values for kind in ("mass", "branching"))
        plot.scatter(*theirs, color=colour, size=6, legend_label=f"{_MODES[mode]}, SensCalc")
    style_legend(plot, 2)
    return plot


def decay_plot(*, height: int = 360) -> figure:
    """Lifetime of the dark Higgs boson at sin(theta) = 1 against the mass: between two sets of decay widths."""
    plot = new_figure("Lifetime", label_tex("m_S", "GeV"), r"$$c\tau\,\sin^2\theta\ [\mathrm{cm}]$$", height=height,
                      x_axis_type="log", y_axis_type="log", x_range=(0.05, 5.0))  # fmt: skip
    m = np.geomspace(0.05, 4.79, 900)
    first, second = (DARK_HIGGS[widths].ctau(m) for widths in WIDTHS)
    plot.varea(m, np.minimum(first, second), np.maximum(first, second), color=PALETTE[0], alpha=0.2)
    plot.line(m, first, color=PALETTE[0], line_width=2, legend_label="dispersive, gluons at lowest order", name=WIDTHS[0])
    plot.line(m, second, color=PALETTE[0], line_width=1, line_dash="dashed", name=WIDTHS[1],
              legend_label="chiral perturbation theory, gluons corrected")  # fmt: skip
    style_legend(plot, 1)
    return plot


def branching_plot(widths: str = WIDTHS[0], *, height: int = 360) -> figure:
    """Branching fractions of the dark Higgs boson against the mass with one set of widths; raises ``ValueError`` for another."""
    if widths not in WIDTHS:
        raise ValueError(f"widths = {widths!r}: allowed: {', '.join(WIDTHS)}")
    plot = new_figure(f"Decays, {widths}", label_tex("m_S", "GeV"), "branching fraction", height=height, x_axis_type="log",
                      y_axis_type="log", x_range=(0.1, 5.0), y_range=(1e-3, 1.3))  # fmt: skip
    m = np.geomspace(0.1, 4.79, 900)
    sums = {"ee": ("ee",), "μμ": ("mumu",), "ππ": ("pipi", "pi0pi0"), "KK": ("kk", "k0k0"), "4π, ...": ("mesons",),
            "gg": ("gg",), "ss": ("ss",), "cc": ("cc",), "ττ": ("tautau",)}  # fmt: skip
    colours = (*PALETTE, SIGNAL, INK, "#8C564B")
    for colour, (label, channels) in zip(colours, sums.items(), strict=True):
        share = sum(DARK_HIGGS[widths].branching_fraction(channel, m) for channel in channels)
        plot.line(m, np.where(share > 0, share, np.nan), color=colour, line_width=2, legend_label=label)
    style_legend(plot, 5)
    return plot


def _rows(curve: LimitCurve) -> tuple[Search, dict[str, Any]]:
    """The search and the parameters of the first row; raises ``ValueError`` for a scan that is none of masses and lifetimes."""
    if curve.search != NAME:
        raise ValueError(f"curve: a scan of {NAME} is needed, not of {curve.search}")
    axes = {name for name in (MASS, LIFETIME) if curve.frame[name].nunique() > 1}
    if axes != {MASS, LIFETIME} or set(curve.frame["lifetime"]) != {"free"}:
        raise ValueError(f"curve: a scan over {MASS} and {LIFETIME} with lifetime = free is needed")
    return load_search(NAME), {str(name): value for name, value in curve.frame.iloc[0].to_dict().items()}


def _table(curve: LimitCurve) -> tuple[Array, Array, Array]:
    """Masses (m,) [GeV], lifetimes (k,) [cm] and expected limits (m, k), NaN where there is none."""
    table = curve.frame.pivot(index=MASS, columns=LIFETIME, values="limit_median")
    return table.index.to_numpy(dtype=float), table.columns.to_numpy(dtype=float), table.to_numpy(dtype=float)


def _edges(values: Array) -> Array:
    """Edges (n + 1,) of cells around values (n,) on a logarithmic axis."""
    middle = np.sqrt(values[1:] * values[:-1])
    return np.concatenate([[values[0] ** 2 / middle[0]], middle, [values[-1] ** 2 / middle[-1]]])


def _label(values: Mapping[str, Any]) -> str:
    return f"{_MODES[str(values['mode'])]}, S → {_PAIRS[str(values['final_state'])]}"


def lifetime_map(curve: LimitCurve, *, height: int = 420) -> figure:
    """Expected limits of a scan over masses and lifetimes, in colour; cells without one, or RANGE above the best, are empty.

    Raises ``ValueError`` for another scan.
    """
    values = _rows(curve)[1]
    masses, lifetimes, limits = _table(curve)
    rows = np.isfinite(limits).any(axis=1)
    if rows.sum() < 2:
        raise ValueError("curve: limits at two masses or more are needed")
    masses, limits = masses[rows], limits[rows]
    m, c = np.meshgrid(_edges(masses), _edges(lifetimes), indexing="ij")
    low = float(np.nanmin(limits))
    seen = limits < RANGE * low
    mapper = LogColorMapper(palette="Viridis256", low=low, high=float(limits[seen].max()) * 1.001)
    source = {"left": m[:-1, :-1][seen], "right": m[1:, 1:][seen], "bottom": c[:-1, :-1][seen], "top": c[1:, 1:][seen],
              "limit": limits[seen], "m": np.broadcast_to(masses[:, None], limits.shape)[seen],
              "ctau": np.broadcast_to(lifetimes[None], limits.shape)[seen]}  # fmt: skip
    title = limit_title(curve.cl, curve.method, float(values["luminosity"]))
    plot = new_figure(f"{_label(values)}, {title}", label_tex("m_S", "GeV"), label_tex(r"c\tau", "cm"), height=height,
                      x_axis_type="log", y_axis_type="log", x_range=(m[0, 0], m[-1, 0]), y_range=(c[0, 0], c[0, -1]))  # fmt: skip
    plot.grid.visible = False
    cells = plot.quad("left", "right", "top", "bottom", source=source, line_width=0, name="limits",
                      fill_color={"field": "limit", "transform": mapper})  # fmt: skip
    shown = [("m_s", "@m{0.000} GeV"), ("c tau", "@ctau{0.000} cm"), ("limit", "@limit{%.3g}")]
    plot.add_tools(HoverTool(renderers=[cells], visible=False, formatters={"@limit": "printf"}, tooltips=shown))
    plot.add_layout(ColorBar(color_mapper=mapper, width=10, title="limit", title_text_font_size="11px",
                             major_label_text_font_size="11px", padding=4), "right")  # fmt: skip
    return plot


def lifetime_plot(curve: LimitCurve, published: Sequence[Published] = (), *, height: int = 400) -> figure:
    """Expected limits against the lifetime, a line for each mass of a scan (LINES of them at most), with published values.

    Raises ``ValueError`` for another scan.
    """
    search, values = _rows(curve)
    every, lifetimes, limits = _table(curve)
    seen = np.flatnonzero(np.isfinite(limits).any(axis=1))
    chosen = seen[np.unique(np.linspace(0, len(seen) - 1, min(LINES, len(seen))).round().astype(int))]
    title = limit_title(curve.cl, curve.method, float(values["luminosity"]))
    low = float(np.nanmin(limits)) if len(seen) else 1.0
    plot = new_figure(f"{_label(values)}, {title}", label_tex(r"c\tau", "cm"), search.quoted(values), height=height,
                      x_axis_type="log", y_axis_type="log", y_range=(0.4 * low, RANGE * low))  # fmt: skip
    colours = {float(every[k]): colour for k, colour in zip(chosen, COLOURS, strict=False)}
    for k in chosen:
        mass = float(every[k])
        plot.line(lifetimes, limits[k], color=colours[mass], line_width=2, legend_label=f"{mass:.3g} GeV", name="expected")
    for result in published:
        ctau = result.parameters.get(LIFETIME)
        if ctau is None or result.observed is None or not fits(result, {**values, LIFETIME: ctau}):
            continue
        whose = result.reference.authors.replace(" Collaboration", "")
        for mass, limit in zip(result.masses[MASS], result.observed, strict=True):
            if mass in colours:
                plot.scatter([float(ctau)], [limit], color=colours[mass], size=9, name="published",
                             legend_label=f"{mass:.3g} GeV, observed by {whose}")  # fmt: skip
    style_legend(plot, 2)
    return plot


def mass_shape_plot(answers: Sequence[Point], *, height: int = 340) -> figure:
    """Signal after the selection around the peak, in resolutions, at the lifetimes of some points of one mass.

    The legend has the 68 % interval about the mass: with vertices from far out, tracks are shorter and the energy that is added
    back for material in front of them is often too much. Raises ``ValueError`` for points without signal.
    """
    if not answers or any(answer.simulated is None for answer in answers):
        raise ValueError("answers: one or more points with a simulated signal are needed")
    title = f"{_label(answers[0].values)}, {answers[0].values[MASS]:.3g} GeV"
    plot = new_figure(title, "(reduced mass - true one) / resolution", "share per bin", height=height)
    edges = np.linspace(-REACH, REACH, 4 * int(REACH) + 1)
    for colour, answer in zip(COLOURS * len(answers), answers, strict=False):
        signal, x = answer.simulated, answer.search.window.x
        assert signal is not None
        sigma = float(np.sqrt(signal.covariance[0, 0]))
        pull = (signal.reco.columns[x] - signal.centre[0]) / sigma
        weights = answer.signal_weights() * signal.selected * (np.abs(pull) < REACH)
        order = np.argsort(pull)
        low, high = np.interp((0.16, 0.84), np.cumsum(weights[order]) / weights.sum(), pull[order])
        shares = np.histogram(pull, edges, weights=weights)[0] / weights.sum()
        label = f"cτ = {answer.search.lifetimes(answer.values, answer.dataset)[0]:.3g} cm: {low:+.2f} to {high:+.2f}"
        plot.step(edges[:-1], shares, mode="after", color=colour, line_width=2, legend_label=label, name="shape")
    style_legend(plot, 1)
    return plot


def island(curve: LimitCurve, given: Mapping[str, Any] | None = None) -> tuple[Array, Array, Array]:
    """Logarithms of masses (m,) and couplings (k,), and of the model's rate over the limit of a scan (m, k): excluded above 0.

    ``given`` are model, scheme and widths if others than the scan's are asked for. Limits at the lifetime of each coupling are
    interpolated in both logarithms; shorter lifetimes than those of the scan are not excluded, at longer ones limits go on in
    proportion to them, as decays do. Raises ``ValueError`` for another scan, or a model without these decays.
    """
    search, values = _rows(curve)
    values |= dict(given or {})
    every, lifetimes, limits = _table(curve)
    open_rows = np.isfinite(limits).any(axis=1)
    worst = np.nanmax(limits) * np.exp(-2.0 * FAINT)
    table = RegularGridInterpolator(
        (np.log(every[open_rows]), np.log(lifetimes)), np.log(np.nan_to_num(limits[open_rows], nan=worst))
    )
    dataset, quantity = search.datasets[str(values["dataset"])], search.chosen(values)
    masses = np.geomspace(every[open_rows][0], every[open_rows][-1], GRID[0])
    heights, y = [], np.empty(0)
    for mass in masses:
        here = {**values, MASS: float(mass)}
        coupling = next((c for c in search.couplings if c.name == COUPLINGS[str(values["model"])]), None)
        assert coupling is not None and coupling.lifetimes is not None and quantity is not None
        knob = next(p for p in search.parameters if p.name == coupling.name)
        y = np.linspace(np.log(knob.low), np.log(coupling.high), GRID[1])
        unit = coupling.rate(here, dataset) / quantity.rate(here, dataset)
        if search.closed(here, dataset) or not unit > 0:
            heights.append(np.full(GRID[1], FAINT))
            continue
        ctau = np.log(coupling.lifetimes({**here, coupling.name: 1.0}, dataset)[0]) - 2.0 * y
        beyond = np.maximum(ctau - np.log(lifetimes[-1]), 0.0)
        limit = table(
            np.column_stack([np.full(GRID[1], np.log(mass)), np.clip(ctau, np.log(lifetimes[0]), np.log(lifetimes[-1]))])
        )
        found = np.log(unit) + 2.0 * y - limit - beyond
        heights.append(np.where(ctau < np.log(lifetimes[0]), FAINT, np.maximum(found, FAINT)))
    return np.log(masses), y, np.array(heights)


def mixing_plane(curves: Sequence[LimitCurve], *, height: int = 520) -> figure:
    """Excluded islands of the coupling of the chosen model against the mass, one for each scan, with limits of others.

    Islands are filled with the decay widths of the scan; for a dark Higgs boson those with the other widths are dashed. They end
    at the lightest and the heaviest mass of a scan.
    Raises ``ValueError`` without scans, for another scan, or for scans of different models.
    """
    if not curves:
        raise ValueError(f"curves: one or more scans of {NAME} are needed")
    rows = [_rows(curve)[1] for curve in curves]
    if len({row["model"] for row in rows}) > 1:
        raise ValueError("curves: of one model, not of " + ", ".join(sorted({str(row["model"]) for row in rows})))
    search, first = load_search(NAME), rows[0]
    coupling = next(c for c in search.couplings if c.name == COUPLINGS[str(first["model"])])
    title = limit_title(curves[0].cl, curves[0].method, float(first["luminosity"])).split(",")[0]
    plot = new_figure(f"{title}s, expected", label_tex("m_S", "GeV"), label_tex(coupling.symbol, coupling.unit), height=height,
                      x_axis_type="log", y_axis_type="log", x_range=SHOWN[0], y_range=SHOWN[1][coupling.name])  # fmt: skip
    for colour, curve, row in zip(COLOURS * len(curves), curves, rows, strict=False):
        label = f"{_label(row)}, {luminosity_text(float(row['luminosity']))}"
        _draw(plot, *island(curve), color=colour, label=label)
        if row["model"] == "dark_higgs":
            other = next(widths for widths in WIDTHS if widths != row["widths"])
            _draw(plot, *island(curve, {"widths": other}), color=colour, label="")
    for k, overlay in enumerate(o for o in search.overlays(first) if o.quantity == coupling.name):
        dots = plot.scatter(overlay.masses, overlay.high, color=("#555555", "#999999")[k % 2], marker=MARKERS[k % len(MARKERS)],
                            size=6, legend_label=overlay.label, name="other")  # fmt: skip
        plot.add_tools(HoverTool(renderers=[dots], tooltips=overlay.source, visible=False))
    if plot.legend:
        style_legend(plot, 2)
    return plot


def _draw(plot: Any, x: Array, y: Array, height: Array, *, color: str, label: str) -> None:
    """One island with its edge, or, without a label, the edge alone, dashed."""
    top = float(max(height.max(), 0.0)) + 1.0
    found = contour_data(x, y, height.T, [0.0, top], want_fill=True, want_line=False).fill_data
    if found is None:
        return
    rings = [[[[np.exp(ring) for ring in polygon] for polygon in level] for level in side] for side in (found.xs, found.ys)]
    fill = {"fill_alpha": 0.25, "legend_label": label} if label else {"fill_alpha": 0.0, "line_dash": "dashed"}
    plot.multi_polygons(xs=rings[0], ys=rings[1], fill_color=color, line_color=color, line_width=1.5 if label else 1.0,
                        name="island" if label else "other widths", **fill)  # fmt: skip
