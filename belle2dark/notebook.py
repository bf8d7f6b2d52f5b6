"""The few verbs that a search's notebook needs, so that it holds no logic of its own.

:func:`enable` goes first and alone in a cell, :func:`check_parameters` right after; :func:`mass_points` and :func:`curve`
feed the plots, :func:`show` puts a figure on the page, :func:`write_result` leaves the file of a batch run.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from belle2dark.launch import BOKEHJS_ENV
from belle2dark.point import SEED, Point, point
from belle2dark.scaling import Systematics
from belle2dark.search import Search, load_search, search_names
from belle2dark.sourced import data_file, nearest

if TYPE_CHECKING:
    from bokeh.plotting import figure
    from IPython.display import HTML

    from belle2dark.limits.counting import Method
    from belle2dark.scan import LimitCurve

SETTINGS = {
    "n_events": "n_events: int = 20000  # simulated signal events per point",
    "seed": f"seed: int = {SEED}  # of all random numbers",
    "result_file": 'result_file: str = ""  # where to write the answer as JSON (empty: nowhere)',
}
N_MASSES = 25


def parameters_cell(search: Search) -> str:
    """The source of a notebook's ``parameters`` cell: all parameters of the search and the settings of a run."""
    return "\n".join([*(p.cell() for p in search.parameters), *SETTINGS.values()])


def enable() -> None:
    """Make BokehJS known to the page; alone in a cell before the first figure.

    The pages of ``belle2dark app`` have it already; JupyterLab and the HTML reports get it from here, without a network.
    """
    if os.environ.get(BOKEHJS_ENV) == "page":
        return
    from bokeh.resources import Resources
    from IPython.display import display

    script = "\n".join(Resources(mode="inline", components=["bokeh", "bokeh-mathjax"]).js_raw)
    display({"application/javascript": "(function() {" + script + "\n}).call(window);"}, raw=True)


def show(*figures: figure) -> Any:
    """Figures side by side, below each other where the page is narrow; a widget, or plain HTML in a report."""
    if os.environ.get(BOKEHJS_ENV) == "report":
        from bokeh.embed import components
        from IPython.display import HTML

        return HTML("".join("".join(components(f)) for f in figures))
    from belle2dark.dashboard.layout import figure_row

    return figure_row(figures)


def check_parameters(search: Search, namespace: Mapping[str, Any]) -> Mapping[str, Any]:
    """The search's parameters found in a notebook's ``globals()``, converted and checked.

    A luminosity left at its default follows the dataset. Raises ``ValueError`` for a value out of range and for any other
    lower-case name that holds plain data: a misspelt parameter would otherwise leave the default in place, unnoticed.
    """
    known = {p.name: p for p in search.parameters}
    for name, value in namespace.items():
        plain = isinstance(value, (bool, int, float, str, list, tuple, dict, set, type(None)))
        if plain and name == name.lower() and not name.startswith("_") and name not in known and name not in SETTINGS:
            raise ValueError(
                f"{name} = {value!r}: {search.name} has no such parameter; nearest: {nearest(name, [*known, *SETTINGS])}"
            )
    given = {name: namespace[name] for name in known if name in namespace}
    values = search.parse(given)
    if values["luminosity"] == known["luminosity"].default:
        values = search.parse({name: value for name, value in values.items() if name != "luminosity"})
    for name, low in (("n_events", 1000), ("seed", 0)):
        number = namespace.get(name, low)
        if isinstance(number, bool) or not isinstance(number, int) or not low <= number <= 10_000_000:
            raise ValueError(f"{name} = {number!r}: must be a whole number from {low} to 10000000")
    if not isinstance(namespace.get("result_file", ""), str):
        raise ValueError(f"result_file = {namespace['result_file']!r}: must be a path as text")
    return MappingProxyType(values)


def open_masses(search: Search, given: Mapping[str, Any], axis: str, n: int = N_MASSES) -> tuple[float, ...]:
    """``n`` values of the mass ``axis`` that span where the search is open, the other parameters as given; maybe none."""
    parameter = next(p for p in search.parameters if p.name == axis)
    values = search.parse(given)
    dataset = search.datasets[str(values["dataset"])]
    steps = (
        np.geomspace(parameter.low, parameter.high, 2001)
        if parameter.scale == "log"
        else np.linspace(parameter.low, parameter.high, 2001)
    )
    usable = [float(x) for x in steps if not search.closed({**values, axis: float(x)}, dataset)]
    if not usable:
        return ()
    chosen = np.geomspace(usable[0], usable[-1], n) if parameter.scale == "log" else np.linspace(usable[0], usable[-1], n)
    # Rounded: the same masses again are the same simulation again. Inward, so that the ends stay open.
    chosen = np.clip(np.round(chosen, 4), math.ceil(usable[0] * 1e4) / 1e4, math.floor(usable[-1] * 1e4) / 1e4)
    return tuple(float(x) for x in chosen)


def mass_points(
    search: Search,
    given: Mapping[str, Any] | None = None,
    /,
    *,
    n: int = N_MASSES,
    n_events: int = 6000,
    seed: int = SEED,
    lines: Sequence[str] | None = None,
    cl: float | None = None,
    method: Method | None = None,
    systematics: Systematics = "constant",
    progress: Callable[[int, int], None] | None = None,
) -> list[Point]:
    """Points along the search's first mass where it is open, everything else as ``given``: for curves and L1 plots."""
    from belle2dark.plots.limits import mass_axis

    axis, values = mass_axis(search), dict(given or {})
    masses = open_masses(search, values, axis, n)
    points = []
    for done, mass in enumerate(masses):
        points.append(point(search, {**values, axis: mass}, lines=lines, cl=cl, method=method, seed=seed, n_events=n_events,
                            systematics=systematics))  # fmt: skip
        if progress:
            progress(done + 1, len(masses))
    return points


def curve(points: Sequence[Point]) -> LimitCurve:
    """The points as a table that plots and files understand. Raises ``ValueError`` without a point."""

    from belle2dark.contract import package_version
    from belle2dark.scan import LimitCurve, as_table, row

    if not points:
        raise ValueError("curve: no points; the search is closed for all masses")
    first = points[0]
    return LimitCurve(
        search=first.search.name,
        quantity=first.quantity,
        unit=first.unit,
        cl=first.cl,
        method=first.method,
        seed=first.seed,
        version=package_version(),
        frame=as_table([row(p) for p in points]),
        systematics=first.systematics,
    )


def write_result(answer: Point, path: str | Path) -> Path | None:
    """Write the point as JSON, whole or not at all; an empty path writes nothing. Raises ``OSError`` if it cannot."""
    if not str(path):
        return None
    file = Path(path)
    text = json.dumps(answer.to_json(), indent=1, allow_nan=False)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        temporary.write_text(text + "\n", encoding="utf-8")
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
    return file


def gallery() -> HTML:
    """A card per search that links to its page; the links work on the served pages and in JupyterLab."""
    from IPython.display import HTML

    cards = "".join(_card(load_search(name)) for name in search_names())
    return HTML(f"<div style='display:flex;flex-wrap:wrap;gap:16px'>{cards}</div>")


def thumbnails() -> Any:
    """The shipped limit plot of every search that has one (``data/curve_<search>.csv``, reference run), side by side."""
    from importlib.resources import as_file

    from belle2dark.plots import limit_plot
    from belle2dark.published import load_published
    from belle2dark.scan import LimitCurve

    figures = []
    for name in search_names():
        with as_file(data_file(f"curve_{name}.csv")) as path:
            if path.is_file():
                shipped = LimitCurve.read(path)
                plot = limit_plot(shipped, load_published(name), height=300)
                plot.title = f"{load_search(name).title}, {shipped.cl:.0%} {shipped.method.replace('_', '-')} upper limit"
                figures.append(plot)
    return show(*figures)


def _card(search: Search) -> str:
    luminosity = " · ".join(f"{d.title}: {float(d.luminosity):.3g} fb⁻¹" for d in search.datasets.values())
    # The target is said because widgets would open a new tab otherwise.
    link = f"<a href='{search.name}.ipynb' target='_self' style='color:#0b57d0'>{escape(search.title)}</a>"
    return (
        "<div style='flex:1 1 320px;max-width:560px;border:1px solid #ccc;border-radius:8px;padding:12px 16px'>"
        f"<h3 style='margin:0 0 6px'>{link}</h3>"
        f"<p style='margin:4px 0'>${search.channel}$</p><p style='margin:4px 0'>{escape(search.summary)}</p>"
        f"<p style='margin:4px 0;color:#555'>{escape(luminosity)}</p></div>"
    )
