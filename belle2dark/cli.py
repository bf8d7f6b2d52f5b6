"""The command line: ``belle2dark list | show | point | scan | run | app | check | new | published``.

It parses, checks, calls one function of the package and prints; it holds no physics. Results go to stdout, progress and
errors to stderr. A user's mistake is one line on stderr and exit code 2 with nothing on stdout, a failed comparison or
notebook is exit code 1. Imports are inside the commands, so that ``--help`` and error messages come at once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from belle2dark.options import analysis, fine_scan, parse_axes, parse_given, with_quantity

USAGE_ERROR = 2
INTERRUPTED = 130
# ClickException in click and in the copy that newer typer versions carry
_CommandLineError: Any = typer.BadParameter.__mro__[2]

cli = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, 
                  context_settings={"help_option_names": ["-h", "--help"]},
                  help="Dark-sector searches at e+e- B factories: from a model point to what a search excludes.")  # fmt: skip

SearchName = Annotated[str, typer.Argument(metavar="SEARCH", help="name of the search, see `belle2dark list`")]
OptionalSearch = Annotated[str | None, typer.Argument(metavar="[SEARCH]", help="one search; without it all")]
Given = Annotated[list[str] | None, typer.Option("-p", "--parameter", metavar="NAME=VALUE", help="a parameter; repeat for more")]
Axes = Annotated[list[str] | None, typer.Option("-p", "--parameter", metavar="NAME=LO:HI:N[:log]|A,B,C",
                                                help="a value, a list or a range of values; repeat for more")]  # fmt: skip
Seed = Annotated[int, typer.Option(min=0, help="seed of all random numbers")]
NEvents = Annotated[int, typer.Option(min=1000, max=100_000_000, help="signal events simulated per mass point")]
Cl = Annotated[float | None, typer.Option(help="confidence level, between 0.5 and 1; default: the dataset's")]
Method = Annotated[str | None, typer.Option(help="bayesian, feldman_cousins or cls; default: the dataset's")]
Future = Annotated[str, typer.Option("--systematics", metavar="constant|improving|floor",
                                     help="uncertainties beyond today's luminosity; improving: 1/sqrt(L)")]  # fmt: skip
Lines = Annotated[str | None, typer.Option(metavar="A,B", help="L1 lines in use; default: the dataset's")]
Quantity = Annotated[str | None, typer.Option(help="what the limit is quoted on, for searches with a choice")]
Observed = Annotated[str | None, typer.Option(metavar="FILE|pseudo", help="events (CSV, Parquet, ROOT) or pseudo-data")]
Strength = Annotated[float | None, typer.Option(help="signal injected into pseudo-data, in units of the couplings given")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON and nothing else")]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (default: the program's own arguments) and return the exit code."""
    try:
        arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
        code = cli(arguments, prog_name="belle2dark", standalone_mode=False)
        return _fail("stopped", code) if code == INTERRUPTED else code if isinstance(code, int) else 0
    except _CommandLineError as error:
        return _fail(error.format_message(), USAGE_ERROR)
    except (ValueError, FileNotFoundError, FileExistsError) as error:
        return _fail(error, USAGE_ERROR)
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone; Python would complain when it flushes
        return 1
    except (OSError, RuntimeError, ImportError) as error:
        return _fail(error, 1)
    except (typer.Abort, KeyboardInterrupt):
        return _fail("stopped", INTERRUPTED)


def _fail(message: object, code: int) -> int:
    print(f"belle2dark: {' '.join(str(message).split())}", file=sys.stderr)
    return code


def _version(asked: bool) -> None:
    if asked:
        from belle2dark.contract import package_version

        print(package_version())
        raise typer.Exit


@cli.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")] = False,
) -> None:
    pass


@cli.command("list")
def list_() -> None:
    """All searches: title, channel, datasets and parameters."""
    from belle2dark import terminal
    from belle2dark.search import load_search, search_names

    terminal.show(terminal.searches_table([load_search(name) for name in search_names()]))


@cli.command()
def show(name: SearchName, bibtex: Annotated[bool, typer.Option("--bibtex", help="references as BibTeX")] = False) -> None:
    """One search: parameters, datasets, numbers with their sources, approximations, references."""
    from belle2dark import terminal
    from belle2dark.search import load_search

    search = load_search(name)
    if bibtex:
        print(terminal.search_bibtex(search), end="")
    else:
        terminal.show(*terminal.search_card(search))


@cli.command("point")
def point_(
    name: SearchName,
    parameters: Given = None,
    as_json: AsJson = False,
    seed: Seed = 1,
    n_events: NEvents = 40_000,
    cl: Cl = None,
    method: Method = None,
    quantity: Quantity = None,
    lines: Lines = None,
    systematics: Future = "constant",
    observed: Observed = None,
    signal_strength: Strength = None,
    breakdown: Annotated[bool, typer.Option("--breakdown", help="also what each systematic costs the limit")] = False,
) -> None:
    """One parameter point: efficiency, L1 lines, background and limit."""
    from belle2dark.point import point
    from belle2dark.search import load_search

    if as_json and breakdown:
        raise ValueError("breakdown: a table for the terminal, not part of --json; use one of the two")
    search, given = load_search(name), parse_given(parameters)
    given = with_quantity(search, given, quantity)
    options = analysis(search, given, lines=lines, cl=cl, method=method, quantity=quantity, systematics=systematics,
                       observed=observed, signal_strength=signal_strength, seed=seed, n_events=n_events)  # fmt: skip
    answer = point(search, given, **options)
    if as_json:
        print(json.dumps(answer.to_json(), indent=1, allow_nan=False))
    else:
        from belle2dark import terminal

        terminal.show(*terminal.point_report(answer))
        if breakdown and answer.limit is not None:
            terminal.show(terminal.breakdown_table(answer))


@cli.command("scan")
def scan_(
    name: SearchName,
    parameters: Axes = None,
    seed: Seed = 1,
    n_events: Annotated[
        int | None,
        typer.Option(
            min=1000, max=100_000_000, show_default="40000, with --fine 20000", help="signal events simulated per mass point"
        ),
    ] = None,
    cl: Cl = None,
    method: Method = None,
    quantity: Quantity = None,
    lines: Lines = None,
    systematics: Future = "constant",
    observed: Observed = None,
    signal_strength: Strength = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="write .csv, .parquet or .json; else print")] = None,
    workers: Annotated[int, typer.Option(min=1, help="processes")] = 1,
    fine: Annotated[
        bool,
        typer.Option(
            "--fine", help="thousands of masses at once, by default half a resolution apart, for searches that fit a peak"
        ),
    ] = False,
    toys: Annotated[int, typer.Option(min=0, help="with --fine and --observed: pseudo-experiments for global p-values")] = 0,
) -> None:
    """Many points: every combination of the values given. Prints a table on a terminal and CSV into a pipe."""
    from belle2dark import terminal
    from belle2dark.point import N_EVENTS
    from belle2dark.scan import require_parquet, scan
    from belle2dark.search import load_search

    if out is not None and (out.suffix not in (".csv", ".parquet", ".json") or not out.resolve().parent.is_dir()):
        raise ValueError(f"--out {out}: must end in .csv, .parquet or .json and be in a folder that exists")
    if out is not None and out.suffix == ".parquet":
        require_parquet()
    search = load_search(name)
    axes, given = parse_axes(parameters)
    given = with_quantity(search, given, quantity)
    options = analysis(search, given, lines=lines, cl=cl, method=method, quantity=quantity, systematics=systematics,
                       observed=observed, signal_strength=signal_strength, seed=seed, n_events=n_events or N_EVENTS,
                       axes=axes, fine=fine)  # fmt: skip
    if fine:
        curve = fine_scan(search, axes, given, options | {"n_events": n_events, "toys": toys})
    else:
        with terminal.progress(name) as advance:
            curve = scan(search, axes, given, workers=workers, progress=advance, **options)
    if out is not None:
        print(curve.write(out))
    elif sys.stdout.isatty():
        terminal.show(terminal.scan_table(curve, tuple(axes)))
    else:
        curve.frame.to_csv(sys.stdout, index=False)


@cli.command()
def run(
    name: SearchName,
    parameters: Given = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="folder for notebook, report and result file")] = Path("."),
    no_html: Annotated[bool, typer.Option("--no-html", help="no HTML report")] = False,
    seed: Annotated[int | None, typer.Option(min=0, help="seed of all random numbers")] = None,
    n_events: Annotated[int | None, typer.Option(min=1000, help="signal events simulated per mass point")] = None,
) -> None:
    """Run a search's notebook and keep it with its HTML report and result file."""
    from belle2dark import launch
    from belle2dark.search import load_search

    search = load_search(name)
    given = search.parse(parse_given(parameters))  # whole: the luminosity follows the dataset
    settings = {key: value for key, value in (("seed", seed), ("n_events", n_events)) if value is not None}
    made = launch.run_notebook(name, search.parameters, given, out, settings=settings, html=not no_html)
    for file in (made.notebook, made.html, made.result):
        if file is not None:
            print(file)


@cli.command()
def app(
    port: Annotated[int, typer.Option(min=1, max=65535, help="port on localhost")] = 8866,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="only serve, open nothing")] = False,
) -> None:
    """Serve the dashboards as web pages on this machine."""
    from belle2dark import launch

    launch.serve(port=port, open_browser=not no_browser)


@cli.command()
def check(
    name: OptionalSearch = None,
    as_json: AsJson = False,
    fast: Annotated[bool, typer.Option("--fast", help="a coarse grid with few events")] = False,
    grid: Annotated[int | None, typer.Option(min=2, help="mass values per axis of a plane")] = None,
    margin: Annotated[
        float | None, typer.Option(min=0, help="distance to the kinematic edge [widths]; default: the window's")
    ] = None,
    n_events: Annotated[int | None, typer.Option(min=1000, help="signal events simulated per mass point")] = None,
    seed: Seed = 1,
) -> None:
    """Expected limits against published ones; exit code 1 if one is outside its declared factor."""
    from belle2dark import terminal
    from belle2dark.check import check_search
    from belle2dark.comparison import effort
    from belle2dark.search import load_search, search_names

    searches = [load_search(n) for n in (search_names() if name is None else (name,))]
    work = effort(fast=fast, grid=grid, n_events=n_events)
    with terminal.progress("check") as advance:
        comparisons = [c for search in searches for c in check_search(search, work, margin=margin, seed=seed, progress=advance)]
    if as_json:
        print(json.dumps([c.to_json() for c in comparisons], indent=1, allow_nan=False))
    else:
        terminal.show(*terminal.check_report(comparisons))
    raise typer.Exit(0 if all(c.ok for c in comparisons) else 1)


@cli.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="<mediator>_<signature>, lower case")],
    notebook: Annotated[bool, typer.Option("--notebook", help="only update its notebook: title and parameters")] = False,
) -> None:
    """Write the four files of a new search: module, numbers, published results, notebook."""
    from belle2dark.scaffold import new_search, refresh_notebook

    for file in (refresh_notebook(name),) if notebook else new_search(name):
        print(file)


@cli.command()
def published(name: OptionalSearch = None) -> None:
    """The published results that come with the package."""
    from belle2dark import terminal
    from belle2dark.published import load_published
    from belle2dark.search import load_search

    results = load_published(load_search(name).name if name else None)
    terminal.show(terminal.published_table(results))
