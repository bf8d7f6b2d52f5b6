"""Projections: how limits go with luminosity where that is known in closed form, set-ups side by side, and bad input."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import norm

from belle2dark.breakdown import channel
from belle2dark.cli import main
from belle2dark.fitting import TemplateFit
from belle2dark.limits.systematics import Systematic
from belle2dark.parameters import Parameter
from belle2dark.plots import switches_plot, switches_table
from belle2dark.plots.reach import guide_data, reach_data, reach_label, reach_plot
from belle2dark.plots.style import named_source
from belle2dark.point import point
from belle2dark.projection import NODES, Switch, compare, corrected, interpolated, project, usual_switches
from belle2dark.sample import Process
from belle2dark.scaling import FLOOR, SYSTEMATICS, scaling
from belle2dark.scan import LimitCurve, scan
from belle2dark.search import load_search

SEARCH = load_search("dark_higgsstrahlung")
EVENTS = 4000
GRID = np.geomspace(1.0, 5e4, 25)
OWN = 8.34  # luminosity of the dataset [fb-1]
KNOWN_TO = 0.02  # relative background uncertainty of the simple search


def background_only(values):
    return (Systematic(name="background", size=KNOWN_TO, acts_on=("background",)),)


def always(values, dataset):
    return True


SIMPLE = replace(SEARCH, systematics=background_only)


def simple_point(fb, **options):
    """A point with this background [fb] and nothing uncertain but its size."""
    answer = point(SIMPLE, {"m_aprime": 6.0, "m_hprime": 1.0}, n_events=EVENTS, **options)
    return replace(answer, processes=(Process(name="all", fb=fb, n_effective=1e12),), efficiency_uncertainty=0.0)


def fitted_search(methods=("cls",)):
    fit = TemplateFit(bins=12, span=8.0, y_edges=(-4.0, -1.0, 1.0, 4.0, 7.0, 11.0), methods=methods)
    datasets = {name: replace(d, fit=fit, method=methods[0]) for name, d in SEARCH.datasets.items()}
    return replace(SEARCH, datasets=datasets)


@pytest.fixture(scope="module")
def busy():
    return point(SEARCH, {"m_aprime": 9.6, "m_hprime": 0.2}, n_events=EVENTS)


@pytest.fixture(scope="module")
def fitted():
    return point(fitted_search(), {"m_aprime": 9.6, "m_hprime": 0.2}, n_events=EVENTS)


def median(answer, luminosities=GRID, systematics=None):
    return project(answer, luminosities, systematics=systematics).rate[:, 2]


@pytest.mark.parametrize("systematics", SYSTEMATICS)
@pytest.mark.parametrize("method", ["bayesian", "cls"])
def test_without_background_the_limit_falls_as_one_over_l(method, systematics):
    """90 %: -ln 0.1 events over luminosity and efficiency, whatever is assumed about the background."""
    answer = simple_point(0.0, method=method)
    assert median(answer, GRID, systematics) * GRID * answer.efficiency == pytest.approx(-np.log(0.1), rel=1e-6)
    found = project(answer, GRID, systematics=systematics)
    assert found.couplings["epsilon"][:, 2] * GRID**0.5 == pytest.approx(found.couplings["epsilon"][0, 2], rel=1e-6)


@pytest.mark.parametrize(("systematics", "share"), [("constant", lambda x: 1.0), ("improving", lambda x: (OWN / x) ** 0.5),
                                                    ("floor", lambda x: max((OWN / x) ** 0.5, 1 / 3))])  # fmt: skip
def test_with_much_background_the_limit_is_that_of_a_gaussian(systematics, share):
    """Flat prior, n = b: a Gaussian of width sqrt(b + (k b)^2) cut off at zero, so that 90 % lie below 1.645 widths.

    A thousandth for the skewness of the Poisson distribution at 10^5 events, a hundredth for its whole numbers and their
    average over backgrounds 2 % apart.
    """
    fb, answer = 1e3, simple_point(1e3)
    grid = np.array([100.0, 1e3, 1e4])
    width = np.array([np.sqrt(fb * x + (KNOWN_TO * share(x) * fb * x) ** 2) for x in grid])
    assert median(answer, grid, systematics) == pytest.approx(norm.ppf(0.95) * width / (grid * answer.efficiency), rel=0.01)


def test_constant_systematics_saturate_improving_ones_never_and_the_floor_lies_between():
    fb, answer = 1e3, simple_point(1e3)
    grid = np.array([1e4, 4e4])
    constant, improving, floor = (median(answer, grid, s) for s in ("constant", "improving", "floor"))
    assert constant[0] / constant[1] == pytest.approx(1.0, abs=1e-3)
    assert constant[1] == pytest.approx(norm.ppf(0.95) * KNOWN_TO * fb / answer.efficiency, rel=0.01)
    assert improving[0] / improving[1] == pytest.approx(2.0, rel=0.01)
    assert floor[1] / constant[1] == pytest.approx(FLOOR, rel=0.02)
    assert np.all((improving < floor) & (floor < constant))


def test_scaling_starts_at_the_published_luminosity_and_stops_at_the_floor():
    assert [scaling(s, 5.0, 10.0) for s in SYSTEMATICS] == [1.0, 1.0, 1.0]
    assert [scaling(s, 40.0, 10.0) for s in SYSTEMATICS] == [1.0, 0.5, 0.5]
    assert [scaling(s, 1e5, 10.0) for s in SYSTEMATICS] == [1.0, 0.01, FLOOR]


@pytest.mark.parametrize("values", [{"m_aprime": 9.6, "m_hprime": 0.2}, {"m_aprime": 5.0, "m_hprime": 3.0}])
@pytest.mark.parametrize("systematics", SYSTEMATICS)
@pytest.mark.parametrize("search", [SEARCH, fitted_search()], ids=["count", "fit"])
def test_a_projection_is_the_point_at_that_luminosity(search, systematics, values):
    answer = point(search, values, n_events=EVENTS, systematics=systematics)
    there = point(search, {**values, "luminosity": 2000.0}, n_events=EVENTS, systematics=systematics)
    found = project(answer, [answer.luminosity, 2000.0])
    assert found.limit[0] == pytest.approx(answer.limit, rel=1e-12)
    assert found.limit[1] == pytest.approx(there.limit, rel=1e-12)
    assert found.background[1] == pytest.approx(there.background_events)
    for coupling in there.couplings:
        assert found.couplings[coupling.name][1] == pytest.approx(coupling.expected, rel=1e-12)
    assert project(there, OWN).limit[0] == pytest.approx(answer.limit, rel=1e-12)


def test_assumptions_agree_up_to_the_published_luminosity_and_are_ordered_above(busy, fitted):
    for answer in (busy, fitted):
        constant, improving, floor = (median(answer, GRID, s) for s in ("constant", "improving", "floor"))
        early = GRID <= OWN
        assert np.array_equal(constant[early], improving[early]) and np.array_equal(constant[early], floor[early])
        assert np.all((improving <= floor * (1 + 1e-9)) & (floor <= constant * (1 + 1e-9)))
        assert improving[-1] < 0.7 * constant[-1]


@pytest.mark.parametrize("systematics", SYSTEMATICS)
def test_more_luminosity_is_never_worse(busy, fitted, systematics):
    for answer in (busy, fitted):
        assert all(a >= b * (1 - 1e-9) for a, b in pairwise(median(answer, GRID, systematics)))


def test_simulation_grows_with_the_data_where_systematics_improve():
    """Otherwise what we simulated, and not what an experiment would know, ended the reach."""
    values = {"m_aprime": 9.6, "m_hprime": 0.2, "luminosity": 5e4}
    assert point(SEARCH, values, n_events=EVENTS, systematics="improving").limited_by not in (
        "Monte Carlo",
        "background systematics",
    )
    assert point(SEARCH, values, n_events=EVENTS).limited_by == "background systematics"


def test_a_channel_of_a_combination_knows_the_assumption():
    given = {"m_aprime": 9.6, "m_hprime": 0.2, "luminosity": 4 * OWN}
    today, later = (channel(point(SEARCH, given, n_events=EVENTS, systematics=s)) for s in ("constant", "improving"))
    simulated = "signal simulation"  # our own, of the signal: not a matter of luminosity
    for old, new in zip(today.systematics, later.systematics, strict=True):
        assert new.size == pytest.approx(old.size * (1.0 if new.name == simulated else 0.5))
    assert all(later.template_error[name] == pytest.approx(0.5 * error) for name, error in today.template_error.items())


def test_limits_on_what_is_seen_are_projected_as_such():
    seen = point(replace(SEARCH, visible=always), {}, n_events=EVENTS)
    found = project(seen, [OWN, 1e3])
    assert found.limit == pytest.approx(found.rate * seen.efficiency)
    assert found.limit[0] == pytest.approx(seen.limit, rel=1e-12)
    assert found.quantity == seen.quantity == reach_label(seen).removesuffix(" [fb]")
    produced = reach_data(point(SEARCH, {}, n_events=EVENTS), OWN, 1e3, 5)
    for name, values in reach_data(seen, OWN, 1e3, 5).items():
        if name not in ("luminosity", "background"):
            assert values == pytest.approx(produced[name] * seen.efficiency)


def test_powers_between_nodes_are_met():
    """Fits that throw toys are done at a few luminosities: a power law is exact, a turn from 1/L to 1/sqrt(L) within 1 %."""
    calls = Counter()

    def limit(x):
        calls[x] += 1
        return (2.0 / x, (4.0 / x**2 + 0.05 / x) ** 0.5)

    found = interpolated(limit, GRID)
    assert len(calls) == NODES
    assert found[:, 0] == pytest.approx(2.0 / GRID, rel=1e-12)
    assert found[:, 1] == pytest.approx((4.0 / GRID**2 + 0.05 / GRID) ** 0.5, rel=0.01)


def test_tables_hold_the_band(busy):
    found = project(busy, GRID)
    frame = found.frame()
    assert len(frame) == len(GRID) and np.isfinite(frame.to_numpy()).all()
    assert np.array_equal(frame["limit_plus2"], found.limit[:, 4])
    assert np.array_equal(frame["eps2_alpha_d_median"], found.couplings["eps2_alpha_d"][:, 2])


def test_guides_are_the_statistical_limits():
    """1/L until about two events (2.30 = 1.645 sqrt(b)), then 1/sqrt(L)."""
    free, text = guide_data(simple_point(0.0), 1.0, 100.0)
    assert text == "1/L" and free["limit"][0] / free["limit"][1] == pytest.approx(100.0)
    full, text = guide_data(simple_point(50.0), 1.0, 100.0)
    assert text == "1/√L" and full["limit"][0] / full["limit"][1] == pytest.approx(10.0)
    answer = simple_point(0.01)
    turn, text = guide_data(answer, 1.0, 5e4)
    assert text == "1/L, then 1/√L"
    assert turn["luminosity"][1] * 0.01 == pytest.approx(
        (np.log(10.0) / norm.ppf(0.95)) ** 2, rel=0.15
    )  # b = 500 is not infinite
    assert turn["limit"][0] == pytest.approx(median(answer, [1.0])[0])
    assert turn["limit"][0] / turn["limit"][1] == pytest.approx(turn["luminosity"][1], rel=1e-6)
    assert turn["limit"][1] ** 2 * turn["luminosity"][1] == pytest.approx(turn["limit"][2] ** 2 * turn["luminosity"][2])


def test_the_reach_plot_draws_every_assumption(busy, fitted):
    for answer in (busy, fitted):
        figure = reach_plot(answer, systematics="improving")
        data = named_source(figure, "reach").data
        assert np.allclose(data["median"], median(answer, GRID, "improving"))
        for name in ("constant", "floor"):
            assert np.allclose(named_source(figure, name).data[name], median(answer, GRID, name))
        guide = named_source(figure, "guide").data
        medians = np.interp(np.log(guide["luminosity"]), np.log(GRID), np.log(median(answer, GRID, "improving")))
        assert np.all(np.log(guide["limit"]) <= medians + 0.01)  # statistics alone are never worse; 1 % for the straight pieces
        assert "1/√L" in figure.title.text and figure.x_range.end > 5e4


def test_single_muon_lines_gain_their_efficiency_without_background_and_less_with_it():
    given = {"m_aprime": 2.9, "m_hprime": 0.1}
    switches = usual_switches(SEARCH, given)
    assert [s.name for s in switches] == ["ffo", "ffo + cdcklm1 + cdcklm2"]
    found = compare(SEARCH, given, switches, GRID, n_events=EVENTS, systematics="floor")
    ffo, both = found.table()
    assert both["efficiency"] > 3 * ffo["efficiency"]
    assert ffo["gain_1000"] == ffo["gain_50000"] == 1.0
    direct = [point(SEARCH, {**given, "luminosity": 1e4}, lines=lines, n_events=EVENTS, systematics="floor").limit[2]
              for lines in (("ffo",), ("ffo", "cdcklm1", "cdcklm2"))]  # fmt: skip
    assert both["gain_10000"] == pytest.approx(direct[0] / direct[1], rel=1e-9)
    assert 1.0 < both["gain_50000"] < both["gain_1000"] < both["efficiency"] / ffo["efficiency"] * 1.05
    figure = switches_plot(found)
    assert np.array_equal(named_source(figure, "ffo").data["median"], found.projections[0].rate[:, 2])
    assert all(s.name in switches_table(found).data for s in switches)


def test_an_efficiency_factor_moves_signal_and_background_alike():
    """Also one that is called like a stage of the detector: it must not replace that stage."""
    switches = [Switch(name="nominal"), Switch(name="worse", corrections={"muon identification": 0.5})]
    found = compare(SEARCH, {"m_aprime": 5.0, "m_hprime": 3.0}, switches, [1.0, 10.0], n_events=EVENTS)
    nominal, worse = found.table(at=[1.0])
    assert worse["efficiency"] == pytest.approx(0.5 * nominal["efficiency"])
    assert worse["background_fb"] == pytest.approx(0.5 * nominal["background_fb"])
    assert worse["gain_1"] == pytest.approx(0.5, rel=1e-3)  # no background: twice the rate is needed
    assert corrected(SEARCH, (("x", 0.5),)) is corrected(SEARCH, (("x", 0.5),))


def some_cuts(choices, dataset):
    return SEARCH.cuts(choices, dataset)[: 1 if choices["selection"] == "loose" else None]


def test_selections_are_compared():
    parameter = Parameter(
        name="selection", symbol="", unit="", default="tight", choices=("tight", "loose"), simulates=True, help="cuts"
    )
    search = replace(SEARCH, parameters=(*SEARCH.parameters, parameter), cuts=some_cuts)
    switches = usual_switches(search)
    assert [s.name for s in switches] == ["ffo, tight", "ffo + cdcklm1 + cdcklm2, tight", "ffo, loose"]
    tight, _, loose = compare(search, {"m_aprime": 9.6, "m_hprime": 0.2}, switches, [1e3, 1e4], n_events=EVENTS).table()
    assert loose["efficiency"] > tight["efficiency"] and loose["background_fb"] > tight["background_fb"]


def test_a_switch_without_limit_says_why():
    switches = [Switch(name="lines"), Switch(name="no lines", lines=())]
    found = compare(SEARCH, {}, switches, [10.0, 100.0], n_events=EVENTS)
    row = found.table()[1]
    assert row["limit_1000"] is None and row["gain_1000"] is None and "no L1 line" in row["reason"]
    assert found.projections[1] is None
    assert [r.name for r in switches_plot(found).renderers] == ["lines"]
    assert "no L1 line" in switches_table(found).data


def test_everything_pickles(busy):
    found = pickle.loads(pickle.dumps(project(busy, GRID)))
    assert np.array_equal(found.limit, project(busy, GRID).limit)
    switches = [Switch(name="a"), Switch(name="b", corrections={"x": 0.9}, values={"dataset": "belle2_run1"})]
    compared = compare(SEARCH, {}, switches, [10.0, 100.0], n_events=EVENTS)
    assert pickle.loads(pickle.dumps(compared)).table() == compared.table()


@pytest.mark.parametrize(("luminosities", "systematics", "message"), [
    ([], None, "needs a list"),
    ([[1.0, 2.0]], None, "needs a list"),
    ([10.0, -1.0], None, "luminosity = -1 fb-1: outside the allowed range 0.001 to 100000 fb-1"),
    ([float("nan")], None, "luminosity = nan"),
    ([1e6], None, "outside the allowed range"),
    ([1.0], "improve", "nearest: improving; allowed: constant | improving | floor"),
])  # fmt: skip
def test_bad_input_names_what_is_wrong(busy, luminosities, systematics, message):
    with pytest.raises(ValueError) as error:
        project(busy, luminosities, systematics=systematics)
    assert message in str(error.value)


@pytest.mark.parametrize(("switches", "message"), [
    ([Switch(name="a")], "at least two"),
    ([Switch(name="a"), Switch(name="a", lines=("ffo",))], "own name"),
    ([Switch(name="a"), Switch(name="b", values={"m_aprime": 5.0})], "switch 'b': m_aprime is the same"),
    ([Switch(name="a"), Switch(name="b", values={"luminosity": 5.0})], "luminosity is the same"),
    ([Switch(name="a"), Switch(name="b", values={"dataset": "belle2_9"})], "nearest: belle2_8"),
    ([Switch(name="a"), Switch(name="b", lines=("ffx",))], "nearest: ff"),
    ([Switch(name="a"), Switch(name="b", corrections={"x": 0.0})], "x = 0: must be above 0"),
])  # fmt: skip
def test_bad_switches_name_what_is_wrong(switches, message):
    with pytest.raises(ValueError, match=message):
        compare(SEARCH, {}, switches, [10.0], n_events=EVENTS)


def test_a_closed_point_has_no_projection():
    closed = point(SEARCH, {"m_aprime": 3.0, "m_hprime": 4.0}, n_events=EVENTS)
    with pytest.raises(ValueError, match="not invisible"):
        project(closed, [1.0])
    assert reach_plot(closed).renderers


def test_scans_carry_the_assumption_and_their_files_too(tmp_path):
    options = {"n_events": EVENTS, "systematics": "improving"}
    made = scan(SEARCH, {"luminosity": [OWN, 5e4]}, {"m_aprime": 9.6, "m_hprime": 0.2}, **options)
    direct = point(SEARCH, {"m_aprime": 9.6, "m_hprime": 0.2, "luminosity": 5e4}, **options)
    assert made.frame["limit_median"][1] == pytest.approx(direct.limit[2])
    assert LimitCurve.read(made.write(tmp_path / "curve.json")).systematics == "improving"


def test_the_command_line_takes_the_assumption(capsys):
    words = [
        "point",
        "dark_higgsstrahlung",
        "-p",
        "m_aprime=9.6",
        "-p",
        "m_hprime=0.2",
        "-p",
        "luminosity=50000",
        "--n-events",
        "4000",
    ]

    def limit(*more):
        assert main([*words, "--json", *more]) == 0
        return json.loads(capsys.readouterr().out)["limit"]["expected"][2]

    assert limit("--systematics", "improving") < limit("--systematics", "floor") < limit() == limit("--systematics", "constant")
    assert main([*words, "--systematics", "floors"]) == 2
    text = capsys.readouterr()
    assert not text.out and "nearest: floor" in text.err
