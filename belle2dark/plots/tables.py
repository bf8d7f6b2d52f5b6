"""HTML tables of results: the card of a search with every number's source, cutflow and L1 lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from belle2dark.plots.style import limit_text, number, text_unit
from belle2dark.point import Point
from belle2dark.search import Search
from belle2dark.sourced import Reference, Sourced
from belle2dark.trigger.menu import load_menu

if TYPE_CHECKING:
    from IPython.display import HTML

#: Confidence -> colours of its badge; dark text on light, readable by everyone.
BADGES = {
    "published": "#d5efe0",
    "digitised": "#d9ecf9",
    "talk": "#fdf0c4",
    "computed": "#e8e4f3",
    "recalled": "#f9d9d0",
    "choice": "#eeeeee",
}
CELL = "padding:2px 10px 2px 0;text-align:left;vertical-align:top"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """An HTML table; cells are HTML already."""
    top = "".join(f"<th scope='col' style='{CELL}'>{h}</th>" for h in head)
    body = "".join("<tr>" + "".join(f"<td style='{CELL}'>{c}</td>" for c in row) + "</tr>" for row in rows)
    title = f"<caption style='text-align:left;font-weight:600;padding:4px 0'>{escape(caption)}</caption>" if caption else ""
    return (
        "<div style='overflow-x:auto'><table style='border-collapse:collapse;font-size:14px;margin:4px 0'>"
        f"{title}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def badge(confidence: str) -> str:
    """The confidence of a number as a coloured word."""
    return f"<span style='background:{BADGES[confidence]};color:#222;border-radius:3px;padding:0 6px'>{confidence}</span>"


def percent(fraction: float) -> str:
    """A fraction in percent with three digits."""
    return f"{100 * fraction:.3g}\u00a0%"


def _html(text: str) -> HTML:
    from IPython.display import HTML

    return HTML(text)


def cutflow_table(answer: Point) -> HTML:
    """What is left of the signal after each step, of the generated weight and of the step before."""
    if not answer.cutflow:
        return _html(f"<p>No cutflow: {escape(answer.reason)}</p>")
    rows = [(escape(s.name), percent(s.fraction), percent(s.relative), escape(s.reason)) for s in answer.cutflow]
    return _html(table(("step", "left", "of the step before", "why"), rows, "Signal cutflow"))


def trigger_table(answer: Point) -> HTML:
    """Per L1 line: its condition, its efficiency on selected signal events, and what would be lost without it."""
    if not answer.line_efficiencies:
        return _html(f"<p>No L1 efficiencies: {escape(answer.reason)}</p>")
    menu, experiment = load_menu(), answer.dataset.detector.name
    offered = {line.name for line in menu.offered(answer.search.template, answer.lines, experiment)}
    rows: dict[bool, list[tuple[str, ...]]] = {True: [], False: []}
    for line in map(menu.__getitem__, menu.names_of(experiment)):
        alone, unique = answer.line_efficiencies[line.name]
        used = line.name in answer.lines
        prescale = f", keeps 1 in {line.prescale:g}" if line.prescale > 1 else ""
        state, lost = "on" if used else "off", percent(unique) if used else ""
        text = (f"<b>{escape(line.name)}</b>", escape(line.title), state, percent(alone), lost, escape(line.source) + prescale)
        rows[line.name in offered].append(text)
    head = ("L1 line", "fires on", "in use", "efficiency", "lost without it", "condition")
    first = table(head, rows[True], "L1 lines, selected signal events")
    more = f"<details><summary>The other {len(rows[False])} lines of the menu</summary>{table(head, rows[False])}</details>"
    return _html(first + (more if rows[False] else ""))


def search_card(search: Search) -> HTML:
    """Channel, parameters, datasets, every number with its source, what is not modelled, and the papers."""
    return _html(card_html(search))


def card_html(search: Search) -> str:
    """The card of a search as HTML text; LaTeX stays between dollars for the page to set."""
    parameters = [
        (
            f"${p.symbol}$" if p.symbol else "",
            f"<code>{p.name}</code>",
            escape(p.help),
            escape(text_unit(p.allowed)),
            _default(p.default, p.unit),
        )
        for p in search.parameters
    ]
    datasets = [
        (
            f"<code>{d.name}</code>",
            escape(d.title),
            _value(d.luminosity),
            f"{d.sqrt_s:g} GeV",
            ", ".join(d.lines),
            limit_text(d.cl, d.method),
        )
        for d in search.datasets.values()
    ]
    sections = [
        f"<p>{escape(search.summary)}</p><p>${search.channel}$</p>",
        table(("", "parameter", "", "allowed", "default"), parameters, "Parameters"),
        table(("dataset", "", "luminosity", "energy", "L1 lines", "published limits"), datasets, "Datasets"),
        _fold("Numbers of this search and their sources", _numbers(search.numbers, search.numbers.references)),
        _fold("Detector: numbers and sources", "".join(_numbers(d.numbers, d.numbers.references) for d in _detectors(search))),
        _fold("What is approximated", "<ul>" + "".join(f"<li>{escape(a)}</li>" for a in search.approximations) + "</ul>"),
        _fold("Papers", "<ul>" + "".join(f"<li>{reference_html(r)}</li>" for r in search.references) + "</ul>"),
    ]
    return "<div class='b2d-card'>" + "".join(sections) + "</div>"


def _detectors(search: Search) -> list:  # type: ignore[type-arg]
    return list({id(d.detector): d.detector for d in search.datasets.values()}.values())


def _default(value: object, unit: str) -> str:
    return f"{number(value)} {text_unit(unit)}".strip() if isinstance(value, float) else escape(str(value))


def _fold(title: str, body: str) -> str:
    return (
        f"<details style='margin:6px 0'><summary style='cursor:pointer;font-weight:600'>{escape(title)}</summary>{body}</details>"
    )


def _value(entry: Sourced) -> str:
    return f"{', '.join(number(v, 4) for v in entry.values)} {escape(text_unit(entry.unit))}".strip()


def _numbers(entries: object, references: object) -> str:
    assert hasattr(entries, "items")
    rows = [
        (f"<code>{escape(name)}</code>", _value(e), badge(e.confidence), escape(e.source), escape(e.note))
        for name, e in entries.items()
    ]
    return table(("number", "value", "", "source", "note"), rows)


def reference_html(reference: Reference) -> str:
    """One paper, linked where it has an address."""
    link = (
        f"https://doi.org/{reference.doi}"
        if reference.doi
        else f"https://arxiv.org/abs/{reference.eprint}"
        if reference.eprint
        else reference.url
    )
    title = escape(reference.title)
    linked = f"<a href='{escape(link)}' target='_blank' rel='noopener'>{title}</a>" if link else title
    where = reference.journal or (f"arXiv:{reference.eprint}" if reference.eprint else "")
    parts = [escape(reference.authors), linked, *([escape(where)] if where else [])]
    return f"{', '.join(parts)} ({reference.year})"
