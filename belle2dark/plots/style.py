"""How every figure looks: one style function, colours that colour-blind readers can tell apart, number formats."""

from __future__ import annotations

from typing import Any

from bokeh.models import ColumnDataSource, WheelZoomTool
from bokeh.plotting import figure

#: Okabe and Ito's palette without yellow: told apart by colour-blind readers and in print.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#999999")
SIGNAL = "#D55E00"
INK = "#222222"
BAND_1, BAND_2 = "#8DC3A7", "#E9DFA7"
PUBLISHED = "#0072B2"
#: assumptions on the systematic uncertainties of the future
SCENARIOS = {"constant": "as today", "improving": "∝ 1/√L", "floor": "∝ 1/√L to a floor"}
METHODS = {"bayesian": "Bayesian", "feldman_cousins": "Feldman-Cousins", "cls": "CLs"}


def new_figure(title: str, x_label: str, y_label: str, *, height: int = 330, **options: Any) -> Any:
    """An empty figure in the common style, as wide as its place."""
    # The smallest axes that still hold their labels; a width is needed before the page is laid out.
    plot: Any = figure(
        title=title,
        x_axis_label=x_label,
        y_axis_label=y_label,
        height=height,
        width=480,
        min_width=280,
        sizing_mode="stretch_width",
        tools="pan,box_zoom,wheel_zoom,reset,save",
        active_drag="box_zoom",
        toolbar_location="above",
        output_backend="canvas",
        **options,
    )
    plot.toolbar.logo = None
    plot.toolbar.autohide = True
    plot.toolbar.active_scroll = None
    next(t for t in plot.tools if isinstance(t, WheelZoomTool)).zoom_on_axis = False
    plot.background_fill_color = plot.border_fill_color = "#ffffff"
    plot.outline_line_color = "#888888"
    plot.title.text_font_size, plot.title.text_font_style, plot.title.text_color = "13px", "normal", INK
    plot.min_border_right = 16
    for axis in plot.axis:
        axis.axis_label_text_font_style, axis.axis_label_text_font_size = "normal", "13px"
        axis.major_label_text_font_size, axis.axis_label_text_color = "12px", INK
        axis.major_label_text_color = INK
    plot.grid.grid_line_color = "#eeeeee"
    return plot


def style_legend(plot: Any, columns: int = 3) -> None:
    """Above the frame, where it covers nothing, in columns; a click hides a curve."""
    legend = plot.legend[0]
    plot.add_layout(legend, "above")
    legend.click_policy, legend.ncols, legend.location = "hide", columns, "left"
    legend.label_text_font_size, legend.spacing, legend.padding, legend.margin = "11px", 6, 2, 2
    legend.glyph_height = legend.glyph_width = legend.label_height = 16
    legend.border_line_alpha = 0.0


def named(plot: Any, name: str) -> Any:
    """The renderer of that name (bokeh's own search walks through every object of the figure: 15 ms)."""
    return next(r for r in plot.renderers if r.name == name)


def named_source(plot: Any, name: str) -> ColumnDataSource:
    """The data behind the glyphs of that name: assigning ``.data`` moves the figure."""
    source = named(plot, name).data_source
    assert isinstance(source, ColumnDataSource)
    return source


def unit_tex(unit: str) -> str:
    """``[unit]`` in upright letters for a MathText label; nothing for a pure number."""
    if not unit:
        return ""
    return r"\ [\mathrm{" + unit.replace("fb-1", "fb^{-1}").replace("^-1", "^{-1}").replace("^2", "^{2}") + "}]"


def label_tex(symbol: str, unit: str) -> str:
    """An axis label: symbol and unit."""
    return f"$${symbol}{unit_tex(unit)}$$"


def text_unit(unit: str) -> str:
    """The unit as plain text with real superscripts."""
    return unit.replace("fb-1", "fb⁻¹").replace("^-1", "⁻¹").replace("^2", "²")


def luminosity_text(luminosity: float) -> str:
    """A luminosity [fb-1] for people: 8.34 fb⁻¹, 10 ab⁻¹."""
    return f"{luminosity / 1000:.3g} ab⁻¹" if luminosity >= 1000 else f"{luminosity:.3g} fb⁻¹"


def limit_text(cl: float, method: str) -> str:
    """Confidence level and method in words."""
    return f"{100 * cl:.4g} % {METHODS.get(method, method)}"


def number(value: float, digits: int = 3) -> str:
    """A number as HTML: powers of ten where they help."""
    text = f"{value:.{digits}g}"
    if "e" not in text:
        return text
    mantissa, exponent = text.split("e")
    return f"{mantissa} &times; 10<sup>{int(exponent)}</sup>"
