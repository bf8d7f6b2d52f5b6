"""Inelastic dark matter: islands of mass and coupling for each choice of L1 lines, lifetimes, and where vertices are seen.

``inelastic_plane`` draws what is excluded with displaced vertices, with each L1 line alone, and with single photons where the
decay is too far away, next to the thermal target; ``flight_plot`` how far the chi2 flies, ``vertex_plot`` what is seen of it,
``trigger_reach_table`` what each L1 line alone leaves of one point; ``mixing_plot`` is for a dark Higgs boson beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from bokeh.models import HoverTool
from bokeh.models.annotations import Label, Span
from bokeh.plotting import figure
from bokeh.plotting.contour import contour_data
from numpy.typing import NDArray

from belle2dark.inelastic_reach import (
    CTAUS,
    MIXINGS,
    TRIGGERS,
    Region,
    at_mass,
    mixing_reach,
    open_masses,
    region,
    seen_share,
    trigger_reach,
)
from belle2dark.plots.style import INK, PALETTE, SIGNAL, limit_text, luminosity_text, new_figure, number, style_legend
from belle2dark.plots.tables import percent, table
from belle2dark.search import load_search
from belle2dark.sourced import load_numbers
from belle2dark.theory.inelastic import relic_y
from belle2dark.theory.inelastic_rates import ctau_chi2, masses, squared_epsilon_per_y

if TYPE_CHECKING:
    from IPython.display import HTML

Array = NDArray[np.float64]
NAME = "inelastic_dark_matter"
QUANTITIES = {"epsilon": r"$$\varepsilon$$", "y": r"$$y = \varepsilon^2 \alpha_D (m_{\chi_1}/m_{A'})^4$$"}
_MASS = r"$$m_{\chi_1}\ [\mathrm{GeV}]$$"
_DASHES = ("dashed", "dotted", "dotdash", "dashdot")
#: lifetimes [cm] drawn across the plane, and shown in the plot of shares
_GUIDES, _SHOWN = (0.1, 10.0, 1e3), (1e-3, 1e6)
#: least share of what is produced that is drawn
_LEAST = 1e-6


def inelastic_plane(given: Mapping[str, Any] | None = None, *, quantity: str = "epsilon",
                    triggers: Mapping[str, Sequence[str]] = TRIGGERS, monophoton: bool = True, nodes: int = 12,
                    n_events: int = 8000, seed: int = 1, height: int = 520) -> figure:  # fmt: skip
    """Excluded islands in the plane of m_chi1 [GeV] and epsilon (or y) at the mass ratio, splitting and alpha_d ``given``.

    Filled: displaced vertices with the lines of the dataset, and single photons; outlined: with each of ``triggers`` alone.
    Raises ``ValueError`` for another quantity, bad parameters, and where nothing is open.
    """
    if quantity not in QUANTITIES:
        raise ValueError(f"quantity = {quantity!r}: must be {' or '.join(QUANTITIES)}")
    search = load_search(NAME)
    values = {**search.parse(dict(given or {})), "signature": "displaced", "production": "photon"}
    per_y = squared_epsilon_per_y(values) if quantity == "y" else None
    dataset = search.datasets[str(values["dataset"])]
    ratio = float(values["m_chi1"]) / float(values["m_aprime"])
    title = (f"Expected, {limit_text(dataset.cl, dataset.method)}, {luminosity_text(float(values['luminosity']))}: "
             f"m_A' = {1 / ratio:.3g} m_χ1, Δ = {values['splitting']:.3g} m_χ1, α_D = {values['alpha_d']:.3g}")  # fmt: skip
    at = open_masses(search, values, ratio, 2)
    plot = new_figure(title, _MASS, QUANTITIES[quantity], height=height, x_axis_type="log", y_axis_type="log",
                      x_range=(float(at[0]), float(at[-1])), y_range=_range(per_y))  # fmt: skip
    effort: dict[str, Any] = {"nodes": nodes, "n_events": n_events, "seed": seed}
    _draw(plot, region(search, values, **effort), "displaced, the lines of today", per_y, color=SIGNAL, fill_alpha=0.25)
    for k, (name, lines) in enumerate(triggers.items()):
        _draw(plot, region(search, values, lines=lines, **effort), name, per_y, color=PALETTE[2 + k % 4], fill_alpha=0.0,
              line_dash=_DASHES[k % len(_DASHES)])  # fmt: skip
    if monophoton:
        photons = region(search, {**values, "signature": "monophoton"}, **effort)
        _draw(plot, photons, "single photon, decay outside", per_y, color=PALETTE[0], fill_alpha=0.2)
    _draw_lifetimes(plot, values, ratio, per_y)
    _draw_target(plot, values, ratio, per_y)
    style_legend(plot, 2)
    return plot


def _range(per_y: float | None) -> tuple[float, float]:
    low, high = 2e-5, 0.3
    return (low, high) if per_y is None else (low**2 / per_y, high**2 / per_y)


def outlines(found: Region, per_y: float | None = None) -> list[list[list[Array]]]:
    """Closed edges of what is excluded, as ``[xs, ys]``: each a list of polygons of rings of masses and of epsilon (or y)."""
    x, y = np.log(found.masses), np.log(found.couplings)
    height = np.maximum(found.height, -8.0)
    drawn = contour_data(x, y, height.T, [0.0, float(max(height.max(), 0.0)) + 1.0], want_fill=True, want_line=False).fill_data
    if drawn is None or not drawn.xs or not drawn.xs[0]:
        return [[], []]
    power = 1.0 if per_y is None else 2.0
    shift = 0.0 if per_y is None else -np.log(per_y)
    xs = [[np.exp(ring) for ring in polygon] for polygon in drawn.xs[0]]
    return [xs, [[np.exp(power * ring + shift) for ring in polygon] for polygon in drawn.ys[0]]]


def _draw(plot: Any, found: Region, text: str, per_y: float | None, **style: Any) -> None:
    xs, ys = outlines(found, per_y)
    drawn = plot.multi_polygons(xs=[xs] if xs else [], ys=[ys] if ys else [], line_width=2, legend_label=text, name=text, **style)
    plot.add_tools(HoverTool(renderers=[drawn], tooltips=text, visible=False))


def _draw_lifetimes(plot: Any, values: dict[str, Any], ratio: float, per_y: float | None) -> None:
    """Couplings of equal lifetime across the plane."""
    x = np.geomspace(plot.x_range.start, plot.x_range.end, 60)
    unit = np.array([ctau_chi2({**at_mass(values, m, ratio), "epsilon": 1.0}) for m in x])
    for ctau in _GUIDES:
        epsilon = np.sqrt(unit / ctau)
        y = epsilon if per_y is None else epsilon**2 / per_y
        plot.line(x, y, color="#888888", line_width=1, line_dash="dotted", name=f"ctau {ctau:g}")
        text = f"cτ = {_length(ctau)}"
        plot.add_layout(Label(x=float(x[6]), y=float(y[6]), text=text, text_font_size="10px", text_color="#666666"))


def _length(cm: float) -> str:
    return f"{cm / 100:g} m" if cm >= 100 else f"{cm:g} cm" if cm >= 1 else f"{10 * cm:g} mm"


def _draw_target(plot: Any, values: dict[str, Any], ratio: float, per_y: float | None) -> None:
    """Where freeze-out gives the dark matter there is, for a small splitting."""
    x = np.geomspace(plot.x_range.start, plot.x_range.end, 120)
    y = relic_y(x, ratio)
    x, y = x[np.isfinite(y)], y[np.isfinite(y)]
    shown = np.sqrt(y * squared_epsilon_per_y(values)) if per_y is None else y
    plot.line(x, shown, color=INK, line_width=2, name="target", legend_label="thermal target, pseudo-Dirac, small splitting")


def flight_plot(given: Mapping[str, Any] | None = None, *, splittings: Sequence[float] = (0.05, 0.1, 0.2, 0.4),
                  height: int = 360) -> figure:  # fmt: skip
    """c tau of the chi2 [cm] against m_chi1 at the mass ratio and couplings ``given``, with the distances where vertices count.

    Raises ``ValueError`` for bad parameters.
    """
    search = load_search(NAME)
    values = search.parse(dict(given or {}))
    ratio, low = float(values["m_chi1"]) / float(values["m_aprime"]), next(p.low for p in search.parameters if p.name == "m_chi1")
    plot = new_figure(f"Lifetime: ε = {values['epsilon']:.3g}, α_D = {values['alpha_d']:.3g}, m_A' = {1 / ratio:.3g} m_χ1", _MASS,
                      r"$$c\tau\ [\mathrm{cm}]$$", height=height, x_axis_type="log", y_axis_type="log",
                      y_range=(1e-3, 1e8))  # fmt: skip
    for k, splitting in enumerate(splittings):
        search.parse({**values, "splitting": splitting})
        x = np.geomspace(low, 0.999 * float(load_numbers(NAME)["sqrt_s"]) * ratio, 120)
        y = np.array([ctau_chi2({**at_mass(values, m, ratio), "splitting": splitting}) for m in x])
        use, text = np.isfinite(y), f"Δ = {splitting:g} m_χ1"
        plot.line(x[use], y[use], color=PALETTE[k % len(PALETTE)], line_width=2, name=text, legend_label=text)
    _draw_distances(plot, "width")
    style_legend(plot, 4)
    return plot


def distances() -> dict[str, float]:
    """Distances from the beam line [cm] where vertices begin and end to count, and the end of the detector."""
    numbers = load_numbers("inelastic_sample")
    (a, b), (c, d) = numbers["inner_radius"].values, numbers["outer_radius"].values
    return {"beam pipe, from": a, "beam pipe, to": b, "chamber, from": c, "chamber, to": d,
            "detector": float(load_numbers(NAME)["escape_radius"])}  # fmt: skip


def _draw_distances(plot: Any, dimension: Literal["width", "height"]) -> None:
    for text, cm in distances().items():
        plot.add_layout(Span(location=cm, dimension=dimension, line_color="#999999", line_dash="dashed", line_width=1, name=text))


def vertex_plot(given: Mapping[str, Any] | None = None, *, triggers: Mapping[str, Sequence[str]] = TRIGGERS,
                n_events: int = 20_000, seed: int = 1, height: int = 380) -> figure:  # fmt: skip
    """Share of the signal that is selected against the c tau of the chi2 [cm] at the masses ``given``, by region and L1 lines.

    Raises ``ValueError`` for bad parameters or lines, and where the search is closed.
    """
    search = load_search(NAME)
    values = {**search.parse(dict(given or {})), "signature": "displaced"}
    m1, m2, m = masses(values)
    plot = new_figure(f"Selected share: m_χ1 = {m1:.3g}, m_χ2 = {m2:.3g}, m_A' = {m:.3g} GeV", r"$$c\tau\ [\mathrm{cm}]$$",
                      "share of all events", height=height, x_axis_type="log", y_axis_type="log", x_range=_SHOWN,
                      y_range=(_LEAST, 0.3))  # fmt: skip
    wanted: list[tuple[str, str, Sequence[str] | None]] = [("both", "both regions", None), ("inner", "beam pipe", None),
                                                           ("outer", "drift chamber", None)]  # fmt: skip
    wanted += [("both", f"both, {name}", lines) for name, lines in triggers.items()]
    for k, (part, text, lines) in enumerate(wanted):
        try:
            found = np.exp(seen_share(search, {**values, "region": part}, lines=lines, n_events=n_events, seed=seed).log_share)
        except ValueError:
            if lines is None and part == "both":
                raise
            continue  # nothing of this is ever seen here: no curve
        use = (found > _LEAST) & (np.clip(CTAUS, *_SHOWN) == CTAUS)
        style = {"line_width": 2.0, "line_dash": "solid"} if lines is None else {"line_width": 1.5, "line_dash": _DASHES[k % 4]}
        colour = (INK, SIGNAL, PALETTE[0], *PALETTE[1:])[k % 8]
        plot.line(CTAUS[use], found[use], color=colour, legend_label=text, name=text, **style)
    _draw_distances(plot, "height")
    style_legend(plot, 3)
    return plot


def mixing_plot(given: Mapping[str, Any] | None = None, *, n: int = 60, n_events: int = 10_000, seed: int = 1,
                height: int = 360) -> figure:  # fmt: skip
    """Limit on the rate [fb] beside a dark Higgs boson against its mixing, with the rate at the couplings ``given``.

    Raises ``ValueError`` for bad parameters, and where that search is closed.
    """
    search = load_search(NAME)
    values = search.parse({**(given or {}), "production": "dark_higgs", "signature": "displaced"})
    found = mixing_reach(search, values, n=n, n_events=n_events, seed=seed)
    use = np.isfinite(found["limit_fb"].to_numpy(dtype=float))
    x, y, rate = (found[name].to_numpy(dtype=float) for name in ("sin_theta", "limit_fb", "rate_fb"))
    title = f"h' of {values['m_hprime']:.3g} GeV to {values['hprime_decay']}, m_A' = {values['m_aprime']:.3g} GeV"
    plot = new_figure(title, r"$$\sin\theta$$", r"$$\sigma \times \mathcal{B}\ [\mathrm{fb}]$$", height=height, x_axis_type="log",
                      y_axis_type="log", x_range=MIXINGS, y_range=(1e-3, 1e2))  # fmt: skip
    dataset = search.datasets[str(values["dataset"])]
    plot.line(
        x[use],
        y[use],
        color=INK,
        line_width=2,
        legend_label=f"expected limit, {limit_text(dataset.cl, dataset.method)}",
        name="limit",
    )
    plot.line(
        x, rate, color=SIGNAL, line_width=2, line_dash="dashed", legend_label=f"rate at ε = {values['epsilon']:.3g}", name="rate"
    )
    style_legend(plot)
    return plot


def trigger_reach_table(given: Mapping[str, Any] | None = None, *, triggers: Mapping[str, Sequence[str]] = TRIGGERS,
                        n_events: int = 20_000, seed: int = 1) -> HTML:  # fmt: skip
    """Efficiency, limit on the rate and excluded couplings of one point with each choice of L1 lines.

    Raises ``ValueError`` for bad parameters or lines.
    """
    from IPython.display import HTML

    search = load_search(NAME)
    found = trigger_reach(search, dict(given or {}), triggers=triggers, n_events=n_events, seed=seed)
    rows = [
        [escape(str(name)), f"{percent(row['efficiency'])} &plusmn; {percent(row['efficiency_error'])}",
         *(_or_none(row[column]) for column in ("limit_fb", "epsilon_from", "epsilon_to"))]
        for name, row in found.to_dict("index").items()
    ]  # fmt: skip
    return HTML(table(["L1", "efficiency", "limit [fb]", "&epsilon; from", "to"], rows, "With these L1 lines alone"))


def _or_none(value: Any) -> str:
    return number(value) if np.isfinite(value) else "none"
