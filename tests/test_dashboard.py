"""The dashboard: controls made from parameters, answers that follow them, messages instead of tracebacks."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import sys

import ipywidgets as w
import numpy as np
import pytest
from bokeh.models import Toolbar

from belle2dark.dashboard import Dashboard, dashboard
from belle2dark.dashboard.controls import number_control
from belle2dark.dashboard.panel import numbers_html, verdict
from belle2dark.notebook import check_parameters, open_masses, parameters_cell, write_result
from belle2dark.parameters import Parameter
from belle2dark.plots.style import named_source
from belle2dark.point import point
from belle2dark.search import load_search

SEARCH = load_search("dark_higgsstrahlung")
MASS = Parameter(name="mass", symbol="m", unit="GeV", default=1.0, low=0.1, high=10.0, help="mass of the thing")
COUPLING = Parameter(name="g", symbol="g", unit="", default=1e-3, low=1e-6, high=1.0, scale="log", help="coupling")


@pytest.fixture(scope="module")
def built():
    """A dashboard with little simulation, whose background work is done at once."""
    with pytest.MonkeyPatch.context() as patch:
        module = sys.modules["belle2dark.dashboard"]  # the package's attribute of that name is the function
        for name, value in {"N_LIVE": 2000, "N_CURVE": 1000, "PAUSE": 0.0, "SETTLE": 0.0}.items():
            patch.setattr(module, name, value)
        yield Dashboard(SEARCH, {})


@pytest.fixture
def live(built):
    if built.values != SEARCH.parse({}) or built.lines != ("ffo",) or (built.cl, built.method) != (0.9, "bayesian"):
        built.reset()
    return built


def widgets(root, kind):
    found = [root] if isinstance(root, kind) else []
    return found + [x for child in getattr(root, "children", ()) for x in widgets(child, kind)]


def entry_of(live, name):
    slider, entry = live.controls[name].box.children
    return slider, entry


def test_every_parameter_has_its_control_with_symbol_unit_and_help(live):
    for p in SEARCH.parameters:
        box = live.controls[p.name].box
        slider = box.children[0] if p.kind is float else box
        assert p.name in slider.description and p.help in slider.tooltip
        assert (f"${p.symbol}$" in slider.description) == bool(p.symbol)
        if p.unit == "GeV":
            assert "[GeV]" in slider.description
        if p.kind is float:
            assert isinstance(slider, w.FloatLogSlider if p.scale == "log" else w.FloatSlider)


def test_a_coupling_moves_signal_and_marker_but_not_background_or_curve(live):
    plot, spectrum = live.figures.limits["limit"], live.figures.spectra[0]
    before = {
        name: dict(named_source(f, name).data)
        for f, name in ((plot, "here"), (plot, "band"), (spectrum, "signal"), (spectrum, "bars"))
    }
    entry_of(live, "epsilon")[1].value = 2e-3
    assert np.isclose(named_source(plot, "here").data["value"][0], 4 * before["here"]["value"][0])  # rate ~ epsilon^2
    assert np.allclose(named_source(spectrum, "signal").data["events"], 4 * before["signal"]["events"])
    assert np.allclose(named_source(spectrum, "signal").data["background"], before["signal"]["background"])
    assert np.allclose(named_source(plot, "band").data["median"], before["band"]["median"])


def test_luminosity_moves_yields_and_curve_without_new_events(live):
    simulated, plot = live.answer.simulated, live.figures.limits["limit"]
    before = named_source(plot, "band").data["median"].copy()
    entry_of(live, "luminosity")[1].value = 834.0
    assert live.answer.simulated is simulated
    assert np.all(named_source(plot, "band").data["median"] < before)
    assert "834 fb" in plot.title.text


def test_a_mass_simulates_again_and_moves_the_window(live):
    entry_of(live, "m_aprime")[1].value = 7.0
    assert live.answer.simulated.centre[0] == 7.0
    window = named_source(live.figures.spectra[0], "window").data
    assert window["left"][0] < 7.0 < window["right"][0]
    assert entry_of(live, "m_aprime")[0].value == 7.0


def test_slider_and_entry_follow_each_other(live):
    slider, entry = entry_of(live, "m_hprime")
    slider.value = 2.0
    assert entry.value == 2.0 and live.values["m_hprime"] == 2.0
    entry.value = 1.5
    assert slider.value == 1.5 and live.values["m_hprime"] == 1.5


@pytest.mark.parametrize(
    ("parameter", "typed", "snapped"), [(MASS, 2.013, 2.0), (COUPLING, 1.234e-3, 10**-2.9), (MASS, 9.99, 10.0)]
)
def test_a_slider_that_snaps_does_not_change_what_was_typed(parameter, typed, snapped):
    reported = []
    slider, entry = number_control(parameter, 1.0, lambda *r: reported.append(r), pytest.fail).box.children
    entry.value = typed
    slider.value = snapped  # what the page sends back
    assert reported == [(parameter.name, typed)] and entry.value == typed
    slider.value = snapped / 1.5
    assert len(reported) == 2


@pytest.mark.parametrize("bad", [99.0, -1.0, float("nan"), float("inf")])
def test_a_value_out_of_range_is_said_and_undone(live, bad):
    _, entry = entry_of(live, "m_aprime")
    answer = live.answer
    entry.value = bad
    assert "m_aprime" in live.message.value and "GeV" in live.message.value
    assert entry.value == 6.0 and live.answer is answer
    entry.value = 5.0
    assert live.message.value == ""


def test_closed_kinematics_is_words_and_opens_again(live):
    entry_of(live, "m_aprime")[1].value = 3.0
    entry_of(live, "m_hprime")[1].value = 4.0
    assert live.answer.limit is None and "No limit" in live.numbers.value and "not below m_aprime" in live.numbers.value
    entry_of(live, "m_hprime")[1].value = 1.0
    assert live.answer.limit is not None and "No limit" not in live.numbers.value


def test_switching_the_muon_lines_on_gains_efficiency_and_all_off_says_so(live):
    before = live.answer.efficiency
    buttons = {b.description: b for b in widgets(live.switches.box, w.ToggleButton)}
    buttons["cdcklm1"].value = True
    assert live.lines == ("ffo", "cdcklm1") and live.answer.efficiency > before
    for button in buttons.values():
        button.value = False
    assert "no L1 line" in live.numbers.value


def test_dataset_brings_luminosity_lines_and_level_and_reset_undoes_all(live):
    live.controls["dataset"].box.value = "belle2_run1"
    assert live.values["luminosity"] == float(SEARCH.datasets["belle2_run1"].luminosity)
    assert live.lines == SEARCH.datasets["belle2_run1"].lines
    live.reset()
    assert live.values == SEARCH.parse({}) and live.lines == ("ffo",)
    assert entry_of(live, "luminosity")[1].value == 8.34


def test_level_and_method_change_the_limit(live):
    before = live.answer.limit[2]
    live.controls["cl"].box.value = 0.95
    assert live.answer.cl == 0.95 and live.answer.limit[2] > before
    live.controls["method"].box.value = "cls"
    assert live.answer.method == "cls" and "95 % CLs" in live.numbers.value


def test_presets_reach_fifty_inverse_attobarn(live):
    button = next(b for b in widgets(live.box, w.Button) if b.description == "50 ab⁻¹")
    button.click()
    assert live.values["luminosity"] == 5e4


def test_files_parse(live):
    files = dict(re.findall(r"download='([^']+)'[^>]*base64,([^']+)'", live.files.value))
    text = {name.rsplit(".", 1)[1]: base64.b64decode(data).decode() for name, data in files.items()}
    assert json.loads(text["json"])["search"] == SEARCH.name
    assert "m_aprime" in text["csv"].splitlines()[0] and len(text["csv"].splitlines()) == len(live.curve) + 1
    assert "@article{BelleII:2022jyy" in text["bib"]


def test_a_newer_change_replaces_the_curve_of_an_older_one(live):
    async def drag():
        for value in (1.1, 1.2, 1.3):
            live.changed("m_hprime", value)
            await asyncio.sleep(0)
        await asyncio.gather(*live._tasks.values())

    asyncio.run(drag())
    assert {p.values["m_hprime"] for p in live.curve} == {1.3}
    assert live.progress.layout.visibility == "hidden"


def test_figures_are_moved_never_made_again(live):
    before = [id(f) for f in live.figures.all]
    entry_of(live, "m_aprime")[1].value = 5.0
    assert [id(f) for f in live.figures.all] == before
    assert all(isinstance(f.toolbar, Toolbar) for f in live.figures.all)


def test_words_agree_with_numbers():
    strong = point(SEARCH, {"epsilon": 1e-1}, n_events=2000)
    weak = point(SEARCH, {"epsilon": 1e-6}, n_events=2000)
    assert verdict(strong)[0].startswith("Expected to be excluded") and verdict(weak)[0].startswith("Not excluded")
    assert "nan" not in numbers_html(weak).lower()


def test_words_agree_with_numbers_where_the_limit_is_on_what_is_seen():
    """Excluded means above the limit on the coupling, also where the limit is on efficiency x sigma; the box says so."""
    lfv = load_search("zprime_lfv")
    limit = point(lfv, {}, n_events=2000).couplings[0].expected[2]
    strong, weak = (point(lfv, {"g_emu": factor * limit}, n_events=2000) for factor in (1.1, 0.9))
    assert verdict(strong)[0].startswith("Expected to be excluded") and verdict(weak)[0].startswith("Not excluded")
    # the rate goes with the square of the coupling
    assert f"efficiency x {lfv.quantity} would have to be {0.9**-2:.3g} times larger" in verdict(weak)[0]
    assert "efficiency &times; &sigma;" in numbers_html(weak)


def test_bad_initial_values_are_refused():
    with pytest.raises(ValueError, match="nearest: m_aprime"):
        dashboard(SEARCH, m_aprme=6)


def test_check_parameters_converts_and_keeps_to_the_declared():
    namespace = {
        "m_aprime": "7",
        "m_hprime": 1,
        "n_events": 2000,
        "seed": 1,
        "result_file": "",
        "json": json,
        "_x": 3,
        "In": ["a"],
    }
    assert check_parameters(SEARCH, namespace)["m_aprime"] == 7.0
    assert check_parameters(SEARCH, {"dataset": "belle2_run1", "luminosity": 8.34})["luminosity"] == pytest.approx(426.88)


@pytest.mark.parametrize(
    ("namespace", "message"),
    [({"m_aprme": 6}, "nearest: m_aprime"), ({"m_aprime": 99}, "0.25 to"), ({"n_events": 3}, "n_events = 3"),
     ({"n_events": 2000.0}, "n_events"), ({"seed": -1}, "seed = -1"), ({"result_file": 3}, "result_file")],
)  # fmt: skip
def test_check_parameters_refuses(namespace, message):
    with pytest.raises(ValueError, match=message):
        check_parameters(SEARCH, namespace)


def test_open_masses_are_open_and_reach_both_ends():
    masses = open_masses(SEARCH, {"m_hprime": 2.0}, "m_aprime", 9)
    assert len(masses) == 9 and 2.0 < masses[0] < 2.02 and 8.5 < masses[-1] < 8.6
    assert all(not SEARCH.closed({**SEARCH.parse({}), "m_hprime": 2.0, "m_aprime": m}, SEARCH.default_dataset) for m in masses)


def test_result_is_written_whole_or_not_at_all(tmp_path):
    answer = point(SEARCH, n_events=2000)
    assert write_result(answer, "") is None
    path = write_result(answer, tmp_path / "a.json")
    assert json.loads(path.read_text()) == json.loads(json.dumps(answer.to_json()))
    with pytest.raises(OSError):
        write_result(answer, tmp_path / "missing" / "a.json")
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_parameters_cell_declares_all():
    assert all(p.cell() in parameters_cell(SEARCH).splitlines() for p in SEARCH.parameters)


def test_systematics_are_an_assumption_about_more_data(live):
    """Nothing changes at the luminosity of the dataset; far above it the limit and the curve do, and they go back."""
    box = live.controls["systematics"].box
    assert box.description == "systematics" and box.tooltip
    before = live.answer.limit
    box.value = "improving"
    assert live.answer.limit == before
    entry_of(live, "luminosity")[1].value = 5e4
    improving, band = live.answer.limit[2], named_source(live.figures.limits["limit"], "band").data["median"].copy()
    box.value = "constant"
    assert live.answer.limit[2] > improving
    assert np.all(named_source(live.figures.limits["limit"], "band").data["median"] >= band)
    assert "as today" in live.numbers.value
    box.value = "floor"
    live.controls["dataset"].box.value = "belle2_run1"
    assert (box.value, live.systematics) == ("constant", "constant")
    box.value = "floor"
    live.reset()
    assert (box.value, live.answer.systematics) == ("constant", "constant")
