"""Signal over stacked backgrounds near the window, the mass plane with the window in it, and L1 efficiencies."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from bokeh.models import HoverTool, LogColorMapper
from bokeh.models.annotations import ColorBar
from bokeh.plotting import figure
from numpy.typing import NDArray

from belle2dark.final_states import final_state
from belle2dark.plots.style import INK, PALETTE, SIGNAL, label_tex, luminosity_text, new_figure, style_legend
from belle2dark.point import Point
from belle2dark.sample import choices_of, selected_template
from belle2dark.search import Dataset, Search
from belle2dark.templates import load_template

Array = NDArray[np.float64]
Data = dict[str, Any]

WIDTHS = 8.0  # half the shown range in window resolutions
BINS = 40
PLANE_BINS = 28
NAMES = {
    "mumu_gamma": "μμ(γ)",
    "tautau": "ττ(γ)",
    "tautau_epi": "ττ(γ), π as μ",
    "eemumu": "eeμμ",
    "bhabha": "ee(γ), e as μ",
    "four_muons": "μμμμ(γ)",
    "mumu_onium": "μμ + ψ, Υ → μμ",
    "mumu_pipi": "μμππ, π as μ",
    "three_photons": "γγγ",
    "ee_gamma": "eeγ",
    "gamma_gamma": "γγ(γ)",
    "gamma_gamma_converted": "γγ, γ → ee",
    "nunu_gamma": "ννγ",
    "cosmic_photon": "cosmic",
    "upsilon_mumu": "Υ → μμ(γ)",
    "upsilon_ee": "Υ → ee(γ)",
    "upsilon_tautau": "Υ → ττ(γ)",
}


@lru_cache(maxsize=8)
def _selected(
    search: Search, dataset: Dataset, choices: tuple[Any, ...], lines: tuple[str, ...]
) -> tuple[Array, Array, NDArray[np.uint8], Array, tuple[str, ...]]:
    """Window variables, process and weight [fb] of the template events that pass L1 and the selection."""
    template, weights = selected_template(search, dataset, choices, lines)
    keep = weights > 0
    x, y = (template.columns[name][keep] for name in (search.window.x, search.window.y))
    return x, y, template.process[keep], weights[keep], template.processes


def process_names(answer: Point) -> tuple[str, ...]:
    """The background processes of a point in the order they are stacked, smallest first."""
    return tuple(p.name for p in sorted(answer.processes, key=lambda p: p.fb))


def spectrum_shapes(answer: Point, along: int) -> Data:
    """Histograms per fb-1 in one window variable (0: x, 1: y) of events whose other variable lies in the window.

    ``signal`` is per produced signal event; ``edges`` are in the variable's unit. Empty where the search is closed.
    """
    if answer.simulated is None:
        return {"edges": np.zeros(1), "signal": np.zeros(0), "window": (0.0, 0.0)}
    search, signal = answer.search, answer.simulated
    centre, reach = np.array(signal.centre), search.window.half_widths(signal.covariance)
    low, high = search.window.shown(signal.centre, signal.covariance, WIDTHS)
    edges = np.linspace(low[along], high[along], BINS + 1)
    x, y, process, weights, names = _selected(search, answer.dataset, choices_of(search, answer.values), answer.lines)
    values, other = ((x, y), (y, x))[along]
    near = np.abs(other - centre[1 - along]) < reach[1 - along]
    near &= (values > edges[0]) & (values < edges[-1])
    values, process, weights = values[near], process[near], weights[near]
    out: Data = {
        name: np.histogram(values[process == k], edges, weights=weights[process == k])[0] for k, name in enumerate(names)
    }
    if declared := [p.name for p in answer.processes if p.name not in names]:
        # the declared background has the simulated shape and the declared rate
        out = {declared[0]: answer.background_scale * np.sum([out[name] for name in names], axis=0)}
    columns = signal.reco.columns
    own, cross = ((search.window.x, search.window.y), (search.window.y, search.window.x))[along]
    inside = signal.selected & (np.abs(columns[cross] - centre[1 - along]) < reach[1 - along])
    out["signal"] = np.histogram(columns[own][inside], edges, weights=answer.signal_weights()[inside])[0]
    window = (max(centre[along] - reach[along], low[along]), min(centre[along] + reach[along], high[along]))
    return out | {"edges": edges, "window": window}


def spectrum_data(answer: Point, shapes: Data, names: Sequence[str]) -> tuple[Data, Data, tuple[float, float]]:
    """Expected events per bin at the point's luminosity and couplings: stacked bars, signal steps and the y range."""
    edges, luminosity = shapes["edges"], answer.luminosity
    bars: Data = {"left": edges[:-1], "right": edges[1:]}
    total = np.zeros(len(edges) - 1)
    for name in names:
        total = total + luminosity * shapes.get(name, np.zeros(len(total)))
        bars[name] = total
    signal = luminosity * answer.cross_section_fb * answer.branching_fraction * shapes["signal"]
    high = max(float(np.max(total, initial=0.0)), float(np.max(signal, initial=0.0)), 1e-2)
    positive = total[total > 0]
    low = max(min(float(np.min(positive)) if len(positive) else high / 1e3, high / 30), high / 1e5)
    floor = 10 ** np.floor(np.log10(low) - 0.3)
    bars |= {
        f"{name}_base": np.maximum(base, floor)
        for name, base in zip(names, [np.zeros(len(total)), *(bars[n] for n in names)], strict=False)
    }
    for name in names:
        bars[name] = np.maximum(bars[name], floor)
    steps = {
        "left": edges[:-1],
        "right": edges[1:],
        "base": np.full(len(signal), floor),
        "signal": np.maximum(signal, floor),
        "events": signal,
        "background": total,
    }
    return bars, steps, (float(floor), float(10 ** np.ceil(np.log10(high) + 0.1)))


def axis_text(answer: Point, along: int) -> tuple[str, str]:
    """Label of a window variable and the bin width as text."""
    name = (answer.search.window.x, answer.search.window.y)[along]
    symbol, unit = final_state(answer.search.template).meanings[name]
    return label_tex(symbol, unit), unit


def spectrum(answer: Point, along: int = 0, *, height: int = 360, names: Sequence[str] | None = None) -> figure:
    """Signal over stacked backgrounds in one window variable (0: x, 1: y), expected events at the point's luminosity.

    ``names`` are the processes that there is room for, those of the point if not given.
    """
    shapes, names = spectrum_shapes(answer, along), process_names(answer) if names is None else names
    bars, steps, (low, high) = spectrum_data(answer, shapes, names)
    label, _ = axis_text(answer, along)
    edges = shapes["edges"]
    plot = new_figure(
        f"After L1 and selection, {luminosity_text(answer.luminosity)}",
        label,
        "events per bin",
        height=height,
        y_axis_type="log",
        x_range=(float(edges[0]), float(edges[-1])),
        y_range=(low, high),
    )
    source = None
    for k, name in enumerate(names):
        glyph = plot.quad(
            left="left",
            right="right",
            bottom=f"{name}_base",
            top=name,
            source=source if source is not None else bars,
            color=PALETTE[k % len(PALETTE)],
            alpha=0.75,
            line_alpha=0.0,
            legend_label=NAMES.get(name, name),
            **({"name": "bars"} if source is None else {}),
        )
        source = glyph.data_source
    outline = plot.quad(
        left="left",
        right="right",
        bottom="base",
        top="signal",
        source=steps,
        fill_color=SIGNAL,
        fill_alpha=0.25,
        line_color=SIGNAL,
        line_width=1,
        legend_label="signal, at these couplings",
        name="signal",
    )
    start, end = shapes["window"]
    plot.quad(
        left="left",
        right="right",
        bottom="bottom",
        top="top",
        fill_color=INK,
        fill_alpha=0.06,
        line_alpha=0.0,
        name="window",
        source={"left": [start], "right": [end], "bottom": [1e-12], "top": [1e12]},
        legend_label="window",
    )
    plot.add_tools(
        HoverTool(
            renderers=[outline],
            mode="vline",
            visible=False,
            formatters={f"@{c}": "printf" for c in ("left", "right", "events", "background")},
            tooltips=[("bin", "@left{%.4g} to @right{%.4g}"), ("signal", "@events{%.3g}"), ("background", "@background{%.3g}")],
        )
    )
    style_legend(plot)
    return plot


def plane_data(answer: Point, shown: int = 250) -> dict[str, Data]:
    """Background density [events per bin per fb-1], the window's outline and some signal events; empty where closed."""
    if answer.simulated is None:
        empty: Data = {"x": [], "y": []}
        return {
            "density": {"image": [np.zeros((2, 2))], "x": [0.0], "y": [0.0], "dw": [1.0], "dh": [1.0]},
            "ellipse": empty,
            "events": empty,
        }
    search, signal = answer.search, answer.simulated
    low, high = search.window.shown(signal.centre, signal.covariance, WIDTHS)
    x, y, _, weights, _ = _selected(search, answer.dataset, choices_of(search, answer.values), answer.lines)
    image = np.histogram2d(
        y, x, bins=PLANE_BINS, range=((low[1], high[1]), (low[0], high[0])), weights=answer.background_scale * weights
    )[0]
    columns, use = signal.reco.columns, np.flatnonzero(signal.selected & (answer.signal_weights() > 0))[:shown]
    ex, ey = search.window.outline(signal.centre, signal.covariance)
    return {
        "density": {"image": [image], "x": [low[0]], "y": [low[1]], "dw": [high[0] - low[0]], "dh": [high[1] - low[1]]},
        "ellipse": {"x": ex, "y": ey},
        "events": {"x": columns[search.window.x][use], "y": columns[search.window.y][use]},
    }


def all_processes(search: Search, answer: Point) -> tuple[str, ...]:
    """The processes of a point of ``search`` as they are stacked, below them those that other choices bring."""
    here, dataset = process_names(answer), answer.dataset
    more = [name for part in search.variants.values() for name in load_template(part.template, dataset.detector).processes]
    if answer.calibration is not None:
        more += [answer.calibration.name, *load_template(answer.search.template, dataset.detector).processes]
    return (*(name for name in dict.fromkeys(more) if name not in here), *here)


def plane_title(answer: Point) -> str:
    """How many events the window holds."""
    if answer.simulated is None:
        return "closed"
    return f"Window: {answer.signal_events:.3g} signal, {answer.background_events:.3g} background events"


def density_range(image: Array) -> tuple[float, float]:
    """Colour scale of a density: up to three decades below the largest bin."""
    top = float(np.max(image, initial=0.0))
    if top <= 0:
        return 1e-3, 1.0
    return max(top / 1e3, float(np.min(image[image > 0])) * 0.5), top


def plane(answer: Point, *, height: int = 360) -> figure:
    """The mass plane around a point: background density after L1 and selection, the signal window, signal events."""
    data = plane_data(answer)
    image = data["density"]["image"][0] * answer.luminosity
    corner = data["density"]
    (x_label, _), (y_label, _) = axis_text(answer, 0), axis_text(answer, 1)
    plot = new_figure(
        plane_title(answer),
        x_label,
        y_label,
        height=height,
        x_range=(corner["x"][0], corner["x"][0] + corner["dw"][0]),
        y_range=(corner["y"][0], corner["y"][0] + corner["dh"][0]),
    )
    low, high = density_range(image)
    mapper = LogColorMapper(palette="Blues256", low=low, high=high, low_color="#ffffff")
    mapper.palette = tuple(reversed(mapper.palette))
    plot.image(
        image="image", x="x", y="y", dw="dw", dh="dh", source={**corner, "image": [image]}, color_mapper=mapper, name="density"
    )
    plot.scatter("x", "y", source=data["events"], size=3, color=SIGNAL, alpha=0.7, legend_label="simulated signal", name="events")
    plot.line("x", "y", source=data["ellipse"], color=INK, line_width=2, legend_label="window", name="ellipse")
    plot.add_layout(
        ColorBar(
            color_mapper=mapper,
            width=10,
            title="background / bin",
            title_text_font_size="11px",
            title_text_font_style="normal",
            major_label_text_font_size="11px",
            padding=4,
        ),
        "right",
    )
    plot.grid.visible = False
    style_legend(plot)
    return plot
