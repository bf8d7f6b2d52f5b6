"""What every search keeps, whichever it is: a new one is picked up by itself and these tests say what it lacks."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest

from belle2dark import cli
from belle2dark._jit import threads
from belle2dark.launch import notebook_path
from belle2dark.observed import pseudo_data
from belle2dark.parameters import Parameter
from belle2dark.point import Point, point
from belle2dark.point_limits import at_sample, with_limit
from belle2dark.published import load_published
from belle2dark.scan import scan
from belle2dark.search import Coupling, Search, all_kept, load_search, prompt, search_names
from belle2dark.selection import Cut
from belle2dark.sourced import data_file
from belle2dark.templates import load_template
from belle2dark.trigger.menu import load_menu
from tests.cells import coarse, run_cells

N = 8000
PACKAGE = Path(cli.__file__).resolve().parent
#: Float literals that are no physics: exact small numbers and what keeps a division or a logarithm away from zero.
HARMLESS = {0.0, 0.5, 1.0, 2.0, 3.0, 4.0}
GUARD = 1e-3
#: What new processes answer, too: a count, fits of templates, of a peak and of spectra; the others with -m study.
FRESH = ("dark_higgsstrahlung", "zprime_invisible", "dimuon_resonance", "tau_lepton_alpha")
fresh = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in FRESH else [pytest.mark.study]) for name in search_names()]
)


@pytest.fixture(params=search_names())
def search(request: pytest.FixtureRequest) -> Search:
    return load_search(request.param)


def module_tree(search: Search) -> ast.Module:
    return ast.parse((PACKAGE / "searches" / f"{search.name}.py").read_text(encoding="utf-8"))


def at(search: Search, **values: Any) -> Point:
    return point(search, values, n_events=N)


def mass_of(search: Search) -> Parameter:
    """The first mass: what opens and closes the kinematics."""
    return next(p for p in search.parameters if p.name == search.mass_names[0])


def default_cuts(search: Search) -> tuple[Cut, ...]:
    return search.selection(search.parse({}))


def highest_masses(search: Search) -> dict[str, float]:
    return {p.name: p.high for p in search.parameters if p.name in search.mass_names}


def seen_share(answer: Point) -> float:
    """What turns a rate into what the limit is quoted on: 1, the efficiency if that is efficiency x rate, or another unit."""
    return answer.search.per_rate(answer.values, answer.efficiency)


def kept_share(answer: Point, **couplings: float) -> float:
    """Share of the signal that other couplings leave, relative to those given."""
    return answer.search.kept({**answer.values, **couplings}, answer.dataset) / answer.kept


def run(*argv: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = cli.main(list(argv))
    out = capsys.readouterr()
    return code, out.out, out.err


# what it is


def test_records_are_frozen_and_slotted(search: Search):
    records = [
        search,
        *search.parameters,
        *search.datasets.values(),
        *default_cuts(search),
        *search.couplings,
        search.window,
        *search.numbers.values(),
    ]
    for record in records:
        assert not hasattr(record, "__dict__"), type(record)
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, dataclasses.fields(record)[0].name, None)


def test_names_agree(search: Search):
    assert importlib.import_module(f"belle2dark.searches.{search.name}").SEARCH is search
    assert search.numbers.name == search.name and data_file(f"{search.name}.yaml").is_file()
    assert all(name == dataset.name for name, dataset in search.datasets.items())
    assert {"dataset", "luminosity"} <= {p.name for p in search.parameters}


def test_is_documented(search: Search):
    module = importlib.import_module(f"belle2dark.searches.{search.name}")
    assert module.__doc__ and "Not modelled" in module.__doc__, "the module's docstring says what is not modelled"
    for name, function in inspect.getmembers(module, inspect.isfunction):
        if function.__module__ == module.__name__ and not name.startswith("_"):
            assert function.__doc__, f"{name} has no docstring"
    assert all(p.help and (p.symbol or p.choices) for p in search.parameters)
    assert all(cut.reason for cut in default_cuts(search))
    assert search.title and search.channel and search.summary and search.approximations and search.references


def test_every_number_has_a_source(search: Search):
    assert len(search.numbers) > 0
    for name, number in search.numbers.items():
        assert number.source and number.confidence, name
        assert np.isfinite(number.values).all(), name
    used = [d.luminosity for d in search.datasets.values()]
    assert all(any(number is known for known in search.numbers.values()) for number in used), "a luminosity without a source"


def test_module_holds_no_physical_number(search: Search):
    """Floats stand in the YAML file, with a source; only a Parameter has defaults and ranges of its own."""
    tree = module_tree(search)
    free = {
        id(n)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "Parameter"
        for n in ast.walk(call)
    }
    couplings = {id(k.value) for call in ast.walk(tree) if isinstance(call, ast.Call) and ast.unparse(call.func) == "Coupling"
                 for k in call.keywords if k.arg == "power"}  # fmt: skip
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float) and id(node) not in free | couplings:
            assert node.value in HARMLESS or abs(node.value) <= GUARD, (
                f"line {node.lineno}: {node.value} belongs into data/{search.name}.yaml"
            )


def test_notebook_declares_these_parameters(search: Search):
    from belle2dark.notebook import parameters_cell

    cells = nbformat.read(notebook_path(search.name), as_version=4).cells
    tagged = [cell.source for cell in cells if "parameters" in cell.metadata.get("tags", ())]
    assert tagged == [parameters_cell(search)], f"belle2dark new {search.name} --notebook writes the cell again"
    for parameter in search.parameters:
        assert parameter.cell() in tagged[0].splitlines()


def test_published_results_fit_the_search(search: Search):
    results = load_published(search.name)
    said = any("no comparison" in text for text in search.approximations)
    assert bool(results) != said, f"published/ has nothing on {search.name}: add it, or say so in its approximations"
    masses = {p.name for p in search.parameters if p.simulates}
    for result in results:
        assert result.dataset in search.datasets, result.dataset
        assert set(result.masses) | set(result.region) | set(result.ascending) <= masses
        assert result.quantity in [c.name for c in search.couplings] or result.unit == search.unit
        search.parse(dict(result.parameters))


# what it answers


def test_pickled_search_gives_the_same_point_on_one_thread(search: Search):
    """A copy shares no remembered sample: it simulates anew, here on one thread and elsewhere on as many as there are."""
    copy = pickle.loads(pickle.dumps(search))
    assert copy is not search
    with threads(1):
        alone = point(copy, {}, n_events=N).to_json()
    assert_same(alone, at(search).to_json())


@fresh
def test_answer_is_the_same_in_another_process_with_another_number_of_threads(name: str):
    """Three threads, among which blocks of events do not divide evenly."""
    code = (f"import json; from belle2dark.point import point; from belle2dark.search import load_search; "
            f"print(json.dumps(point(load_search({name!r}), {{}}, n_events={N}).to_json()))")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent,
                          env={**os.environ, "NUMBA_NUM_THREADS": "3", "PYTHONPATH": str(PACKAGE.parent)})  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert_same(json.loads(done.stdout), at(load_search(name)).to_json())


def assert_same(a, b):
    """Equal, numbers to 1e-12: a kernel compiled in this process and one from the cache may differ in the last bit."""
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == (pytest.approx(b, rel=1e-12) if isinstance(b, float) else b)


def test_point_is_the_same_alone_and_in_a_scan_of_any_order(search: Search):
    mass = mass_of(search)
    values = [0.9 * float(mass.default), float(mass.default), 1.05 * float(mass.default)]
    forward = scan(search, {mass.name: values}, n_events=N).frame
    backward = scan(search, {mass.name: values[::-1]}, n_events=N).frame.iloc[::-1].reset_index(drop=True)
    assert forward.equals(backward)
    alone = at(search, **{mass.name: values[1]})
    assert alone.limit is not None and forward["limit_median"][1] == alone.limit[2]


def test_neighbouring_masses_share_their_random_numbers(search: Search):
    """Common random numbers: a mass changed by much less than a width moves the efficiency less than new samples would."""
    mass = mass_of(search)
    first, second = (at(search, **{mass.name: float(mass.default) * factor}) for factor in (1.0, 1.0 + 1e-5))
    assert abs(first.efficiency - second.efficiency) < first.efficiency_uncertainty / 2
    again = point(search, {}, n_events=N, seed=2)
    assert again.efficiency != first.efficiency, "another seed must give another sample"


def test_cutflow_only_falls_and_ends_at_the_efficiency(search: Search):
    answer = at(search)
    # a declared constant may exceed 1, where the simulated selection is tighter than the published one
    simulated = [step for step in answer.cutflow if not step.name.startswith("declared")]
    fractions = [step.fraction for step in simulated]
    assert fractions[0] == pytest.approx(1.0) and fractions == sorted(fractions, reverse=True)
    assert all(0 <= step.relative <= 1 + 1e-12 for step in simulated)
    fractions = [step.fraction for step in answer.cutflow]
    assert fractions[-1] == pytest.approx(answer.efficiency, rel=1e-9)
    product = answer.acceptance * answer.trigger_efficiency * answer.selection_efficiency
    assert product == pytest.approx(answer.efficiency, rel=1e-9)


def test_the_window_is_where_the_signal_peaks(search: Search):
    """Most radiative tails and a narrow window leave far more than this; a centre in the wrong unit nothing."""
    *_, last = at(search).cutflow
    assert last.relative > 0.1, "nine selected events in ten miss the window: is centre(values) in the units of its columns?"


def test_more_lines_never_lose_signal(search: Search):
    detector, some = search.default_dataset.detector, search.default_dataset.lines
    # a template knows the lines that there were when it was made
    known = load_template(search.at(search.parse({})).template, detector).lines
    every = tuple(name for name in load_menu().names_of(detector.name) if name in known)
    assert set(some) <= set(every)
    assert point(search, {}, lines=every, n_events=N).efficiency >= point(search, {}, lines=some, n_events=N).efficiency
    dark = point(search, {}, lines=(), n_events=N)
    assert dark.efficiency == 0 and dark.limit is None and dark.reason


def test_closed_kinematics_has_no_efficiency_and_a_reason(search: Search):
    closed = point(search, highest_masses(search), n_events=N)
    assert search.closed(closed.values, closed.dataset), "the masses must range to where the signal is closed"
    assert closed.efficiency == 0 and closed.cross_section_fb == 0 and closed.limit is None
    assert closed.reason and closed.limited_by == "kinematics"


def test_rate_limit_scales_with_luminosity(search: Search):
    """As 1/L without background, between 1/L and 1/sqrt(L) with it; more data never hurt."""
    tiny = [at(search, luminosity=value) for value in (0.001, 0.002)]
    assert tiny[0].limit and tiny[1].limit
    gain = tiny[0].limit[2] / tiny[1].limit[2]
    if all(p.background_events < 0.05 for p in tiny):
        # nearly free of background: what is left moves the limit by less than its expected number of events
        assert gain == pytest.approx(2.0, rel=0.05)
    else:
        # twice the data of a discrete count: 1.36 to 2.18 with up to 3 events, 1 at least where systematics decide
        assert 1.0 < gain < 2.2
    steps = [at(search, luminosity=value) for value in np.geomspace(1.0, 50_000.0, 12)]
    medians = np.array([p.limit[2] for p in steps if p.limit])
    assert len(medians) == 12
    # the median of a discrete count rises in steps, by less than one event's worth between these points
    assert (np.diff(medians) < 0.02 * medians[:-1]).all()


def test_band_is_ordered_and_couplings_follow_their_power(search: Search):
    answer = at(search)
    assert answer.limit is not None and list(answer.limit) == sorted(answer.limit)
    for coupling, result in zip(search.couplings_for(answer.values), answer.couplings, strict=True):
        if lives(search, coupling):
            continue
        rates = [
            seen_share(answer) * coupling.rate({**answer.values, coupling.name: x}, answer.dataset) * x**coupling.power
            * kept_share(answer, **{coupling.name: x})
            for x in result.expected
        ]  # fmt: skip
        # where the coupling decides how much is seen, or into what it decays, it is solved for on a grid
        exact = 1e-6 if coupling.competes else 1e-9
        assert rates == pytest.approx(answer.limit, rel=exact if search.kept is all_kept else 1e-2)


def lives(search: Search, coupling: Coupling) -> bool:
    """Whether the coupling decides how long particles live."""
    return coupling.lifetimes is not None or any(part.lifetimes is not prompt for part in search.parts)


def rate_limit_there(answer: Point, coupling: Coupling) -> float:
    """The median limit on the rate [fb] at the lifetimes that the coupling means."""
    there = with_limit(
        at_sample(dataclasses.replace(answer, reason=""), answer.search.sample_of(answer.values, coupling.lifetimes)), None
    )
    assert there.rate_limit is not None
    return there.rate_limit[2]


def test_cross_section_follows_the_couplings(search: Search):
    """The rate at the limit's own coupling is the limit: signal and coupling use the same theory."""
    answer = at(search)
    assert answer.limit is not None
    for coupling, result in zip(search.couplings_for(answer.values), answer.couplings, strict=True):
        if coupling.name in answer.values:
            if np.isnan(result.expected[2]):
                continue
            at_limit = at(search, **{coupling.name: result.expected[2]})
            if lives(search, coupling):
                # that lifetime has an efficiency error of its own, the other the error of the best
                rate = at_limit.cross_section_fb * at_limit.branching_fraction
                assert rate == pytest.approx(rate_limit_there(at_limit, coupling), rel=0.1)
                continue
            rate = at_limit.cross_section_fb * at_limit.branching_fraction * seen_share(answer)
            rate *= kept_share(answer, **{coupling.name: result.expected[2]})
            assert rate == pytest.approx(answer.limit[2], rel=1e-6 if search.kept is all_kept else 1e-2)


def test_pseudo_data_with_a_signal_is_seen(search: Search):
    """The count of a pseudo-experiment is that of background plus injected signal, and its limit covers the signal."""
    blank, answer = pseudo_data(search, {}, seed=3), at(search)
    strength = 30.0 / max(answer.signal_events, 1e-9)
    x, y = pseudo_data(search, {}, strength, seed=3)
    assert len(x) == len(y) and np.isfinite(x).all() and np.isfinite(y).all()
    without, injected = (point(search, {}, n_events=N, observed=events) for events in (blank, (x, y)))
    assert (
        without.counting
        and injected.counting
        and without.counting.n_observed is not None
        and injected.counting.n_observed is not None
    )
    added = injected.counting.n_observed - without.counting.n_observed
    # a Poisson number around 30: within 4 standard deviations, and 5 % for the window from another sample size
    assert abs(added - 30) < 4 * 30**0.5 + 2
    assert without.observed and injected.observed and injected.observed > without.observed
    true_rate = strength * answer.cross_section_fb * answer.branching_fraction * seen_share(answer)
    assert injected.observed > 0.6 * true_rate  # an upper limit far below the injected rate would be wrong


# what the command line and the notebook do with it


def test_json_is_valid_by_the_schema(search: Search, capsys: pytest.CaptureFixture[str]):
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json.loads(data_file("point.schema.json").read_text(encoding="utf-8")))
    mass = mass_of(search)
    closed = [f"-p{name}={high}" for name, high in highest_masses(search).items()]
    for extra in (
        [],
        ["--observed", "pseudo"],
        ["--lines", ""],
        closed,
        ["--method", "cls", "-p", f"{mass.name}={mass.default}"],
    ):
        code, out, err = run("point", search.name, "--json", "--n-events", str(N), *extra, capsys=capsys)
        assert code == 0, err
        answer = json.loads(out)
        validator.validate(answer)
        assert (answer["limit"] is None) == bool(answer["reason"])
        if answer["limit"] is None:
            assert answer["signal"]["efficiency"] == 0


def test_bad_name_and_bad_range_are_one_line_and_exit_2(search: Search, capsys: pytest.CaptureFixture[str]):
    for parameter in search.parameters:
        if parameter.kind is float:
            for value in (parameter.low - 1, parameter.high * 2, float("nan"), float("inf"), "six"):
                code, out, err = run("point", search.name, "--json", "-p", f"{parameter.name}={value}", capsys=capsys)
                assert (code, out, err.count("\n")) == (2, "", 1)
                assert parameter.name in err and f"{parameter.low:.12g}" in err and parameter.unit in err
        code, out, err = run("point", search.name, "--json", "-p", f"{parameter.name}x=1", capsys=capsys)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert f"nearest: {parameter.name}" in err


def test_a_misspelt_parameter_in_the_notebook_is_answered_with_the_nearest(search: Search, tmp_path: Path):
    misspelt = mass_of(search).name[:-1] + "q"
    with coarse(), pytest.raises(ValueError, match=rf"{misspelt} = 5.0.*nearest: {mass_of(search).name}"):
        run_cells(notebook_path(search.name), tmp_path / "out.ipynb", {misspelt: 5.0})


def test_plain_papermill_with_a_misspelt_parameter_fails(tmp_path: Path):
    """Papermill itself only warns and would answer for the defaults: the notebook's own check must raise."""
    search = load_search(FRESH[0])
    pm = pytest.importorskip("papermill")
    misspelt = mass_of(search).name[:-1] + "q"
    with pytest.raises(pm.PapermillExecutionError, match=misspelt):
        pm.execute_notebook(notebook_path(search.name), tmp_path / "out.ipynb", {misspelt: 5.0}, kernel_name="python3",
                            progress_bar=False, cwd=PACKAGE.parent)  # fmt: skip
