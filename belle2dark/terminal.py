"""Results as tables for a terminal: records in, rich renderables out. No numbers are computed here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from belle2dark.check_observed import PULL
from belle2dark.comparison import Comparison, End
from belle2dark.point import Point
from belle2dark.published import Published
from belle2dark.scan import LimitCurve
from belle2dark.search import Search
from belle2dark.sourced import bibtex

_SYMBOLS = {
    "to": "→",
    "mu": "μ",
    "nu": "ν",
    "tau": "τ",
    "gamma": "γ",
    "pi": "π",
    "alpha": "α",
    "epsilon": "ε",
    "varepsilon": "ε",
    "phi": "φ",
    "chi": "χ",
    "ell": "ℓ",
    "Upsilon": "Υ",
    "Lambda": "Λ",
    "psi": "ψ",
    "xi": "ξ",
    "theta": "θ",
    "bar": "",
    "quad": " ",
    "qquad": " ",
    "mathcal": "",
}
_RAISED = str.maketrans("+-0123456789*", "⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹*")


def plain(latex: str) -> str:
    """A LaTeX formula as plain text: Greek letters, arrows and superscripts as Unicode, braces dropped."""
    text = re.sub(r"\\text\{([^}]*)\}", r"{\1}", latex)
    text = re.sub(r"\\([A-Za-z]+)", lambda m: _SYMBOLS.get(m[1], m[1]), text)
    text = re.sub(r"\\[,;:! ]", " ", text)
    text = re.sub(r"\^\{?([+\-0-9*]+)\}?", lambda m: m[1].translate(_RAISED), text)
    return re.sub(r"\s+", " ", text.replace("{", "").replace("}", "").replace(" ,", ",")).strip()


def show(*parts: RenderableType) -> None:
    """Print to stdout; as wide as needed where stdout is not a terminal, so that nothing is cut off."""
    width = None if Console().is_terminal else 200
    console = Console(width=width, markup=False, emoji=False, highlight=False)  # "[fb]" is a unit, not markup
    for part in parts:
        console.print(part)


@contextmanager
def progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr if that is a terminal, moved by calling ``(done, total)``."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _table(title: str, *columns: str, right: Iterable[int] = ()) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    numbers = set(right)
    for k, name in enumerate(columns):
        table.add_column(name, justify="right" if k in numbers else "left", overflow="fold", no_wrap=k in numbers)
    return table


def _number(value: float | None, digits: int = 4) -> str:
    return "" if value is None else f"{value:.{digits}g}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3g} %"


def searches_table(searches: Iterable[Search]) -> Table:
    """Name, title, channel, datasets and parameters of each search."""
    table = _table("", "search", "title", "channel", "datasets", "parameters")
    for s in searches:
        table.add_row(s.name, s.title, plain(s.channel), ", ".join(s.datasets), ", ".join(p.name for p in s.parameters))
    return table


def search_bibtex(search: Search) -> str:
    """BibTeX of the search's papers and of what its numbers, its detectors and the L1 menu are from."""
    from belle2dark.trigger.menu import load_menu

    detectors = {d.detector.name: d.detector for d in search.datasets.values()}
    used = [r for d in detectors.values() for r in d.numbers.references.values()]
    return bibtex([*search.references, *search.numbers.references.values(), *used, *load_menu().references])


def search_card(search: Search) -> tuple[RenderableType, ...]:
    """Everything a search declares: parameters, datasets, numbers with sources, approximations, references."""
    parameters = _table("Parameters", "name", "default", "allowed", "help")
    for p in search.parameters:
        default = f"{p.default:g}" if isinstance(p.default, float) else str(p.default)
        parameters.add_row(p.name, default, p.allowed + (", log scale" if p.scale == "log" else ""), p.help)
    datasets = _table("Datasets", "name", "sample", "L [fb-1]", "L1 lines", "limit")
    for d in search.datasets.values():
        datasets.add_row(d.name, d.title, f"{float(d.luminosity):g}", ", ".join(d.lines), f"{100 * d.cl:g} % {d.method}")
    numbers = _table("Numbers", "name", "value", "confidence", "source", "note")
    for name, n in search.numbers.items():
        values = ", ".join(f"{v:g}" for v in n.values)
        numbers.add_row(name, f"{values} {n.unit}".strip(), n.confidence, n.source, n.note)
    references = Text("\n").join(Text(f"{r.authors}: {r.title}. {r.journal} {r.eprint} ({r.year})") for r in search.references)
    return (
        Panel(Group(Text(plain(search.channel)), Text(search.summary)), title=search.title, title_align="left"),
        parameters,
        datasets,
        numbers,
        Text("Not modelled", style="bold"),
        *(Text(f" - {a}") for a in search.approximations),
        Text("References", style="bold"),
        references,
    )


def point_report(answer: Point) -> tuple[RenderableType, ...]:
    """One point: cutflow, L1 line by line, background per process, limit with its confidence level, couplings."""
    values = ", ".join(f"{k} = {v:g}" if isinstance(v, float) else f"{k} = {v}" for k, v in answer.values.items())
    head = Text(f"{answer.search.title}: {values}", style="bold")
    narrow = "" if answer.narrow_width else " (not narrow: the limit is approximate)"
    rate = Text(
        f"cross-section {answer.cross_section_fb:.4g} fb, branching fraction {answer.branching_fraction:.4g}, "
        f"width {answer.width_gev:.3g} GeV{narrow}"
    )
    why = () if answer.limit else (Text(f"No limit: {answer.reason}", style="yellow"),)
    if answer.limit is None and not answer.couplings:
        return head, rate, *why
    tables = (_cutflow_table(answer), _lines_table(answer), _background_table(answer), _limit_table(answer))
    return head, rate, *tables, *why, Text(f"Limited by {answer.limited_by}; seed {answer.seed}")


def _cutflow_table(answer: Point) -> Table:
    table = _table("Cutflow", "step", "left", "of the step before", "why", right=(1, 2))
    for step in answer.cutflow:
        table.add_row(step.name, _percent(step.fraction), _percent(step.relative), step.reason)
    table.add_section()
    table.add_row(
        "efficiency", f"{_percent(answer.efficiency)} ± {_percent(answer.efficiency_uncertainty)}", "", "Monte Carlo error"
    )
    return table


def _lines_table(answer: Point) -> Table:
    from belle2dark.trigger.menu import load_menu

    table = _table("L1 lines", "line", "in use", "fires on selected events", "lost without it", right=(2, 3))
    offered = load_menu().offered(answer.search.template, answer.lines, answer.dataset.detector.name)
    for line in offered if answer.line_efficiencies else ():
        name, (fires, lost) = line.name, answer.line_efficiencies[line.name]
        used = name in answer.lines
        table.add_row(name, "yes" if used else "no", _percent(fires), _percent(lost) if used else "")
    return table


def _background_table(answer: Point) -> Table:
    table = _table(
        f"Background in the window, {answer.luminosity:g} fb-1",
        "process",
        "expected events",
        "effective simulated events",
        right=(1, 2),
    )
    for p in answer.processes:
        table.add_row(p.name, _number(p.fb * answer.luminosity), _number(p.n_effective))
    table.add_section()
    table.add_row("total", _number(answer.background_events), "")
    return table


def _limit_table(answer: Point) -> Table:
    title = f"Upper limits, {100 * answer.cl:g} % {answer.method}"
    if answer.systematics != "constant":
        title += f", uncertainties {answer.systematics}"
    table = _table(title, "quantity", "-2 σ", "-1 σ", "expected", "+1 σ", "+2 σ", "observed", right=range(1, 7))
    for name, unit, band, observed in (
        (answer.quantity, answer.unit, answer.limit or (), answer.observed),
        *((c.name, c.unit, c.expected, c.observed) for c in answer.couplings),
    ):
        table.add_row(f"{name} [{unit}]" if unit else name, *(_number(x) for x in band), _number(observed) or "no data")
    return table


def breakdown_table(answer: Point) -> Table:
    """What each systematic uncertainty costs the limit: the limit without it, and the relative gain."""
    from belle2dark.breakdown import systematics_breakdown

    parts = systematics_breakdown(answer)
    table = _table(f"Limit [{answer.unit}] and what it is made of", "without", "limit", "cost", right=(1, 2))
    table.add_row("nothing left out", _number(parts.limit), "")
    for name, value in parts.without.items():
        table.add_row(name, _number(value), _percent(parts.cost[name]))
    table.add_section()
    table.add_row("any uncertainty", _number(parts.statistical), _percent(parts.limit / parts.statistical - 1.0))
    return table


def scan_table(curve: LimitCurve, axes: Sequence[str]) -> Table:
    """A scan as a table: its axes, the expected limit with its band, the observed one, and why there is none."""
    heads = {"efficiency": "eff.", "background": "bkg", "limit_minus1": "-1 σ", "limit_median": "expected",
             "limit_plus1": "+1 σ", "limit_observed": "observed"}  # fmt: skip
    names = [*axes, *(name for name in heads if name in curve.frame and not curve.frame[name].isna().all())]
    title = f"{curve.quantity} [{curve.unit}], {100 * curve.cl:g} % {curve.method}"
    table = _table(title, *(heads.get(name, name) for name in names), "limited by", right=range(len(names)))
    for record in curve.frame.to_dict("records"):
        cells: Mapping[Any, Any] = record
        table.add_row(
            *(_cell(cells[name]) for name in names), _cell(cells["reason"]).partition(":")[0] or _cell(cells["limited_by"])
        )
    return table


def _cell(value: Any) -> str:
    if value is None or value != value:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def published_table(results: Iterable[Published]) -> Table:
    """Published results: paper, quantity, masses and the range of the limits."""
    table = _table("", "search", "paper", "dataset", "limit", "quantity", "masses", "lowest and highest", "confidence")
    for r in results:
        spans = r.region or {name: (min(v), max(v)) for name, v in r.masses.items()}
        masses = [f"{name} {low:g} to {high:g} GeV" for name, (low, high) in spans.items()]
        masses += [" < ".join(r.ascending)] if r.ascending else []
        curve = r.observed or r.expected or ()
        low, high = r.range or (min(curve), max(curve))
        reference = r.reference.eprint and f" (arXiv:{r.reference.eprint})"
        table.add_row(
            r.search,
            r.paper + reference,
            r.dataset,
            f"{100 * r.cl:g} % {r.method}",
            r.quantity,
            ", ".join(masses),
            f"{low:.3g} to {high:.3g} {r.unit}".strip(),
            r.confidence,
        )
    return table


def _end(end: End | None) -> str:
    if end is None:
        return ""
    return f"{end.ours:.3g} at " + ", ".join(f"{name} {value:.3g}" for name, value in end.where.items())


def _allowed(c: Comparison) -> str:
    """What decides a comparison."""
    if c.pulls:
        return f"|pull| < {PULL:g}"
    single = f" ({c.single:g})" if c.single and c.single != c.factor else ""
    return f"x {c.factor:g}{single}" if c.factor else ""


def check_report(comparisons: Sequence[Comparison]) -> tuple[RenderableType, ...]:
    """Expected limits against published ones, and the verdict."""
    table = _table(
        "Expected limits against published ones (ratios of rates, ours / published)",
        "search",
        "quantity",
        "region",
        "published",
        "ours, lowest",
        "ours, highest",
        "ratio low",
        "ratio high",
        "allowed",
        "verdict",
        right=(6, 7, 8),
    )
    for c in comparisons:
        published = f"{c.low.published:.3g} to {c.high.published:.3g} {c.unit}" if c.low and c.high else ""
        ratios = [_number(end.ratio, 3) if end else "" for end in (c.low, c.high)]
        middle = f" (median {c.median_ratio:.2f})" if c.median_ratio else ""
        style = "green" if c.verdict == "inside" else "yellow" if c.ok else "bold red"
        table.add_row(
            c.search,
            f"{c.quantity} at {100 * c.cl:g} % {c.method}",
            f"{c.region} ({c.points} points)".strip(),
            published,
            _end(c.low),
            _end(c.high),
            *ratios,
            _allowed(c),
            Text(c.verdict + middle, style=style),
        )
        if c.pulls:
            table.add_row("", "", "pulls of the observed limits: " + ", ".join(f"{pull:+.1f}" for pull in c.pulls))
        if c.first_principles:
            alone = {name: "" if x is None else _number(x, 3) for name, x in c.first_principles.items()}
            median = f"median {alone['median_ratio']}" if alone["median_ratio"] else ""
            words = "for information: without declared constants"
            table.add_row("", "", words, "", "", "", alone["low"], alone["high"], "", median)
        for floor, value in c.beyond.items():
            table.add_row("", "", f"for information: down to {floor} of the best efficiency", "", "", f"{value:.3g}")
        if c.pseudo:
            low, high = (f"{value:.3g}" for value in c.pseudo)
            table.add_row("", "", "for information: observed in pseudo-experiments, all windows", "", low, high)
    if not comparisons:
        return (Text("nothing to compare with: belle2dark/published has no result of this search", style="yellow"),)
    bad, targets = sum(not c.ok for c in comparisons), sum(c.factor is not None or bool(c.pulls) for c in comparisons)
    style = "bold red" if bad else "bold green" if targets else "yellow"
    return table, Text(f"{bad} of {targets} comparisons outside the allowed factor", style=style)
