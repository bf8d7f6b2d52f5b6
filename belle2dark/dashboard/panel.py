"""What a point says in words and numbers, and files to take away (as data links: a served page offers no other)."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from html import escape

from belle2dark.plots.limits import RATE, is_visible, value_at
from belle2dark.plots.style import SCENARIOS, limit_text, luminosity_text, number, text_unit
from belle2dark.plots.tables import percent
from belle2dark.point import Point

OK, WARN, PLAIN = "#d5efe0", "#f9d9d0", "#eeeeee"


def verdict(answer: Point) -> tuple[str, str]:
    """Whether the point is excluded, in words, and the colour of the box."""
    if answer.limit is None:
        return f"No limit: {answer.reason}", WARN
    rate, limits = value_at(answer, RATE), answer.limit
    how = f"{limit_text(answer.cl, answer.method)}, {luminosity_text(answer.luminosity)}"
    if rate <= 0:
        return f"No signal at these couplings ({how}).", PLAIN
    ratio = limits[2] / rate
    if ratio <= 1:
        sure = "also after an upward fluctuation of two sigma" if limits[4] <= rate else "in the median experiment"
        return f"Expected to be excluded, {sure} ({how}): the rate is {1 / ratio:.3g} times the limit.", OK
    coupling, needed = next(iter(answer.couplings), None), ""
    if coupling and math.isfinite(coupling.expected[2]):
        needed = f", or {coupling.name} = {coupling.expected[2]:.2e} instead of {value_at(answer, coupling.name):.2e}"
    return f"Not excluded ({how}): {answer.quantity} would have to be {ratio:.3g} times larger{needed}.", PLAIN


def numbers_html(answer: Point) -> str:
    """The live numbers of a point: verdict, rate, efficiency by factor, yields, limit with band, couplings."""
    text, colour = verdict(answer)
    style = f"background:{colour};color:#222;padding:6px 10px;border-radius:4px;line-height:1.4;margin-top:8px"
    head = f"<div role='status' style='{style}'>{escape(text)}</div>"
    groups = [_rate(answer), _efficiency(answer), _yields(answer), _limits(answer)]
    columns = "".join(f"<div style='flex:1 1 230px;min-width:220px'>{_rows(title, rows)}</div>" for title, rows in groups if rows)
    return f"{head}<div style='display:flex;flex-wrap:wrap;gap:4px 24px;line-height:1.45;margin-top:6px'>{columns}</div>"


def _rows(title: str, rows: Sequence[tuple[str, str]]) -> str:
    body = "".join(
        f"<tr><td style='padding:0 10px 0 0;color:#555'>{a}</td><td style='white-space:nowrap'>{b}</td></tr>" for a, b in rows
    )
    return f"<b>{title}</b><table style='border-collapse:collapse'>{body}</table>"


def _rate(answer: Point) -> tuple[str, list[tuple[str, str]]]:
    unit = text_unit(answer.unit)
    rate = answer.cross_section_fb * answer.branching_fraction
    rows = [
        ("&sigma;", f"{number(answer.cross_section_fb)} fb"),
        ("branching fraction", percent(answer.branching_fraction)),
        ("&sigma; &times; B", f"{number(rate)} {unit}"),
        ("natural width", f"{number(answer.width_gev)} GeV"),
    ]
    rows += [(f"resolution of {name}", f"{number(sigma)} {text_unit(u)}") for name, (u, sigma) in answer.resolution.items()]
    if not answer.narrow_width:
        rows.append(("", "<b>wider than the resolution allows: dashed</b>"))
    return "Signal", rows


def _efficiency(answer: Point) -> tuple[str, list[tuple[str, str]]]:
    if not answer.cutflow:
        return "Efficiency", []
    return "Efficiency", [
        ("acceptance", percent(answer.acceptance)),
        ("L1", percent(answer.trigger_efficiency)),
        ("selection", percent(answer.selection_efficiency)),
        ("<b>product</b>", f"<b>{percent(answer.efficiency)}</b> &plusmn; {percent(answer.efficiency_uncertainty)}"),
        ("limited by", escape(answer.limited_by)),
    ]


def _yields(answer: Point) -> tuple[str, list[tuple[str, str]]]:
    if not answer.processes:
        return "Events in the window", []
    rows = [("signal", f"<b>{number(answer.signal_events)}</b>"), ("background", f"<b>{number(answer.background_events)}</b>")]
    rows += [
        (
            f"&nbsp;&nbsp;{escape(p.name)}",
            f"{number(p.fb * answer.luminosity)} <span style='color:#555'>({p.n_effective:.3g} simulated)</span>",
        )
        for p in answer.processes
    ]
    return "Events in the window", rows


def _limits(answer: Point) -> tuple[str, list[tuple[str, str]]]:
    unit, low = text_unit(answer.unit), answer.limit
    seen = "efficiency &times; " if is_visible(answer.search, answer.values) else ""
    rows = [] if low is None else [
        (f"{seen}&sigma; &times; B, {limit_text(answer.cl, answer.method)}", f"<b>{number(low[2])} {unit}</b>"),
        ("&plusmn;1&sigma;", f"{number(low[1])} to {number(low[3])} {unit}"),
        ("&plusmn;2&sigma;", f"{number(low[0])} to {number(low[4])} {unit}"),
    ]  # fmt: skip
    if answer.counting is not None:
        words = f"background uncertainty, {SCENARIOS[answer.systematics]}"
        rows.append((words, percent(answer.counting.background_uncertainty)))
    for coupling in answer.couplings:
        median = coupling.expected[2]
        text = f"<b>{number(median)}</b> {text_unit(coupling.unit)}" if math.isfinite(median) else "none excluded"
        rows.append((escape(coupling.name), text))
    return "Expected limit", rows


def downloads_html(answer: Point, table: str) -> str:
    """Links that hold their files: the curve as CSV, the point as JSON, the papers as BibTeX."""
    name = answer.search.name
    files = (
        (f"{name}_limit.csv", "limit curve (CSV)", "text/csv", table),
        (f"{name}_point.json", "this point (JSON)", "application/json", json.dumps(answer.to_json(), indent=1, allow_nan=False)),
        (f"{name}.bib", "papers (BibTeX)", "text/x-bibtex", answer.bibliography()),
    )
    links = " &middot; ".join(
        f"<a download='{file}' style='color:#0b57d0' href='data:{kind};base64,{_base64(text)}'>{label}</a>"
        for file, label, kind, text in files
        if text
    )
    return f"<div>Download: {links}</div>"


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def message_html(text: str) -> str:
    """A message about an input that was refused."""
    return (
        f"<div role='alert' style='background:{WARN};color:#222;padding:4px 10px;border-radius:4px'>{escape(text)}</div>"
        if text
        else ""
    )
