"""Sliders, entries and switches made from a search's parameters; they report a name and a checked value, nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets as w

from belle2dark.dashboard.layout import wrapping
from belle2dark.parameters import Parameter
from belle2dark.plots.style import METHODS, SCENARIOS, luminosity_text, text_unit
from belle2dark.plots.tables import percent
from belle2dark.search import Dataset, Search
from belle2dark.trigger.menu import Line

Report = Callable[[str, Any], None]
Complain = Callable[[str], None]

#: The luminosity slider's range [fb-1]; any declared value can be typed.
LUMINOSITY_RANGE = (0.1, 5e4)
PRESETS = {"Run 1, 427 fb⁻¹": 427.0, "1 ab⁻¹": 1e3, "10 ab⁻¹": 1e4, "50 ab⁻¹": 5e4}
LEVELS = {"68.3 %": 0.683, "90 %": 0.90, "95 %": 0.95, "99 %": 0.99}
LABEL = {"description_width": "158px"}
ROW_STYLE = {"width": "100%", "align_items": "center", "flex_flow": "row nowrap"}
ROW = w.Layout(**ROW_STYLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """The widgets of one parameter and a function that sets them without reporting."""

    name: str
    box: w.Widget
    set: Callable[[Any], None]


def label(parameter: Parameter) -> str:
    """Symbol, name and unit for a widget's description."""
    symbol = f"${parameter.symbol}$ " if parameter.symbol else ""
    return f"{symbol}{parameter.name}" + (f" [{text_unit(parameter.unit)}]" if parameter.unit else "")


def control(parameter: Parameter, value: Any, report: Report, complain: Complain) -> Control:
    """The control of one parameter by its type: slider with entry, choice or switch."""
    if parameter.kind is float:
        return number_control(parameter, float(value), report, complain)
    if parameter.kind is bool:
        widget: Any = w.Checkbox(
            value=bool(value), description=label(parameter), tooltip=parameter.help, style=LABEL, layout=w.Layout(width="100%")
        )
    else:
        widget = w.Dropdown(
            options=parameter.choices,
            value=value,
            description=label(parameter),
            tooltip=parameter.help,
            style=LABEL,
            layout=w.Layout(width="100%"),
        )
    quiet = [False]
    widget.observe(lambda change: None if quiet[0] else report(parameter.name, change["new"]), "value")

    def put(new: Any) -> None:
        quiet[0] = True
        try:
            widget.value = new
        finally:
            quiet[0] = False

    return Control(name=parameter.name, box=widget, set=put)


def _slider(parameter: Parameter, value: float) -> Any:
    low, high = (parameter.low, parameter.high)
    if parameter.name == "luminosity":
        low, high = max(low, LUMINOSITY_RANGE[0]), min(high, LUMINOSITY_RANGE[1])
    common = {
        "description": label(parameter),
        "tooltip": f"{parameter.help}: {text_unit(parameter.allowed)}",
        "readout": False,
        "style": LABEL,
        "layout": w.Layout(flex="1 1 auto", width="auto", min_width="240px"),
        "continuous_update": True,
    }
    inside = min(max(value, low), high)
    if parameter.scale == "log":
        return w.FloatLogSlider(value=inside, base=10, min=math.log10(low), max=math.log10(high), step=0.05, **common)
    return w.FloatSlider(value=inside, min=low, max=high, step=_step(high - low), **common)


def _step(span: float) -> float:
    """About 200 steps over the range, a round number."""
    raw = span / 200
    power = 10 ** math.floor(math.log10(raw))
    return min((m * power for m in (1, 2, 5, 10)), key=lambda s: abs(s - raw))


def number_control(parameter: Parameter, value: float, report: Report, complain: Complain) -> Control:
    """A slider and a typed entry for the same number; a value out of range is said and undone."""
    slider = _slider(parameter, value)
    entry = w.FloatText(
        value=value, layout=w.Layout(width="96px", min_width="84px", flex="0 0 auto"), tooltip=f"{parameter.name}: type a value"
    )
    current, quiet = [value], [False]

    def put(new: float) -> None:
        quiet[0] = True
        try:
            current[0] = new
            entry.value = float(f"{new:.6g}")
            slider.value = min(max(new, _low(slider)), _high(slider))
        finally:
            quiet[0] = False

    def moved(change: Mapping[str, Any]) -> None:
        # A slider snaps a typed value to its steps and reports that: less than half a step is not a move.
        inside = min(max(current[0], _low(slider)), _high(slider))
        if not quiet[0] and abs(_place(slider, change["new"]) - _place(slider, inside)) > 0.5001 * slider.step:
            # The log of an end of the range may fall a rounding error outside it.
            new = min(max(float(f"{change['new']:.5g}"), parameter.low), parameter.high)
            put(new)
            report(parameter.name, new)

    def typed(change: Mapping[str, Any]) -> None:
        if quiet[0]:
            return
        try:
            new = float(parameter.parse(change["new"]))
        except ValueError as error:
            complain(str(error))
            put(current[0])
            return
        put(new)
        report(parameter.name, new)

    slider.observe(moved, "value")
    entry.observe(typed, "value")
    return Control(name=parameter.name, box=w.HBox([slider, entry], layout=ROW), set=put)


def _place(slider: Any, value: float) -> float:
    return math.log10(value) if isinstance(slider, w.FloatLogSlider) else float(value)


def _low(slider: Any) -> float:
    return float(10**slider.min) if isinstance(slider, w.FloatLogSlider) else float(slider.min)


def _high(slider: Any) -> float:
    return float(10**slider.max) if isinstance(slider, w.FloatLogSlider) else float(slider.max)


def presets(search: Search, dataset: Callable[[], Dataset], report: Report) -> w.Widget:
    """Buttons for luminosities worth knowing."""
    published = w.Button(description="as published", tooltip="the luminosity of the dataset", layout=w.Layout(width="auto"))
    published.on_click(lambda _: report("luminosity", float(dataset().luminosity)))
    buttons = [published]
    for text, value in PRESETS.items():
        button = w.Button(description=text, tooltip=f"luminosity = {luminosity_text(value)}", layout=w.Layout(width="auto"))
        button.on_click(lambda _, value=value: report("luminosity", value))
        buttons.append(button)
    return wrapping(buttons)


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """One toggle per L1 line with its live efficiency beside it; ``offer`` hides the lines of other experiments."""

    box: w.Widget
    set: Callable[[tuple[str, ...]], None]
    show: Callable[[Mapping[str, tuple[float, float]], tuple[str, ...]], None]
    offer: Callable[[Sequence[str]], None]


def line_switches(lines: tuple[str, ...], report: Report, offered: Sequence[Line]) -> Switches:
    """Switches for the lines ``offered``; any change reports the tuple of lines that are on."""
    buttons = {
        line.name: w.ToggleButton(
            value=line.name in lines,
            description=line.name,
            tooltip=f"{line.title}. {line.source}",
            layout=w.Layout(width="96px", flex="0 0 auto"),
        )
        for line in offered
    }
    texts = {line.name: w.HTML(layout=w.Layout(flex="1 1 auto")) for line in offered}
    quiet = [False]

    def on() -> tuple[str, ...]:
        return tuple(name for name, button in buttons.items() if button.value)

    for button in buttons.values():
        button.observe(lambda _: None if quiet[0] else report("lines", on()), "value")

    def put(new: tuple[str, ...]) -> None:
        quiet[0] = True
        try:
            for name, button in buttons.items():
                button.value = name in new
        finally:
            quiet[0] = False

    def display(efficiencies: Mapping[str, tuple[float, float]], used: tuple[str, ...]) -> None:
        for line in offered:
            alone, unique = efficiencies.get(line.name, (0.0, 0.0))
            numbers = f"{percent(alone)}" + (f", unique {percent(unique)}" if line.name in used else ", off")
            texts[line.name].value = f"<span style='padding-left:8px'>{line.title}: {numbers}</span>" if efficiencies else ""

    # a layout each: they are hidden one by one
    rows = {line.name: w.HBox([buttons[line.name], texts[line.name]], layout=w.Layout(**ROW_STYLE)) for line in offered}

    def offer(names: Sequence[str]) -> None:
        for name, row in rows.items():
            row.layout.display = "" if name in names else "none"

    return Switches(box=w.VBox(list(rows.values()), layout=w.Layout(width="100%")), set=put, show=display, offer=offer)


def level_control(cl: float, report: Report) -> Control:
    """Choice of the confidence level."""
    levels = LEVELS if cl in LEVELS.values() else {f"{100 * cl:g} %": cl, **LEVELS}
    return _choice("cl", "confidence level", levels, cl, report, "confidence level of the upper limit")


def method_control(method: str, report: Report) -> Control:
    """Choice of the limit's method."""
    return _choice(
        "method", "method", {text: name for name, text in METHODS.items()}, method, report, "how the upper limit is made"
    )


def systematics_control(systematics: str, report: Report) -> Control:
    """Choice of how uncertainties go with luminosity."""
    text = "uncertainties beyond the luminosity of the dataset: as today, shrinking like statistics, or doing so to a floor"
    return _choice("systematics", "systematics", {words: name for name, words in SCENARIOS.items()}, systematics, report, text)


def _choice(name: str, text: str, options: Mapping[str, Any], value: Any, report: Report, tooltip: str) -> Control:
    widget = w.Dropdown(options=list(options.items()), value=value, description=text, tooltip=tooltip, style=LABEL,
                        layout=w.Layout(width="100%"))  # fmt: skip
    quiet = [False]
    widget.observe(lambda change: None if quiet[0] else report(name, change["new"]), "value")

    def put(new: Any) -> None:
        quiet[0] = True
        try:
            widget.value = new
        finally:
            quiet[0] = False

    return Control(name=name, box=widget, set=put)
