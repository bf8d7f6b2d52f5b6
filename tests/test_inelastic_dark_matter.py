"""Inelastic dark matter as a search: islands against brute force, its limit of long lifetimes, L1 lines, regions, planes."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest

from belle2dark import inelastic_reach as reach
from belle2dark.detector.experiments import BELLE2
from belle2dark.plots.inelastic import flight_plot, inelastic_plane, mixing_plot, outlines, trigger_reach_table, vertex_plot
from belle2dark.point import Point, point
from belle2dark.search import load_search
from belle2dark.searches.inelastic_dark_matter import escaping
from belle2dark.simulation.decays.chain import decay_two_body, fly
from belle2dark.simulation.gamma_x import generate_gamma_x
from belle2dark.theory.dark_matter import y_of
from belle2dark.theory.inelastic import relic_epsilon
from belle2dark.theory.inelastic_rates import ctau_chi2

SEARCH = load_search("inelastic_dark_matter")
N = 6000
RUN1 = SEARCH.datasets["belle2_365"]
RUN1_FB = float(RUN1.luminosity)


def at(**values: Any) -> Point:
    lines = values.pop("lines", None)
    return point(SEARCH, values, n_events=N, lines=lines)


def island(answer: Point, name: str = "epsilon") -> tuple[float, float]:
    (found,) = next(c for c in answer.couplings if c.name == name).excluded
    return found


def strength(answer: Point) -> float:
    """Rate over its limit."""
    assert answer.limit is not None, answer.reason
    return answer.cross_section_fb * answer.branching_fraction / answer.limit[2]


# lifetimes and couplings


def test_lifetimes_follow_the_couplings():
    values = SEARCH.parse({})
    (ctau,) = SEARCH.at(values).lifetimes(values, RUN1)
    (shorter,) = SEARCH.at(values).lifetimes({**values, "epsilon": 2e-3, "alpha_d": 0.5}, RUN1)
    assert ctau / shorter == pytest.approx(20.0)
    # y stands for an epsilon, whatever epsilon is given beside it
    y = float(y_of(1e-3, 0.1, 1 / 3))
    assert SEARCH.at(values).lifetimes({**values, "epsilon": 0.1, "y": y}, RUN1)[0] == pytest.approx(ctau)
    higgs = {**values, "production": "dark_higgs"}
    first, second = SEARCH.at(higgs).lifetimes(higgs, RUN1)
    assert first == pytest.approx(ctau)
    assert SEARCH.at(higgs).lifetimes({**higgs, "sin_theta": 1e-5}, RUN1) == pytest.approx((first, 100 * second))


def test_couplings_and_lifetimes_never_simulate(monkeypatch):
    """200 couplings, each with another lifetime, and more: one sample serves them all."""
    at()
    made = []
    monkeypatch.setattr("belle2dark.sample.l1_objects", lambda *given: made.append(given))
    for epsilon in np.geomspace(1e-5, 0.3, 200):
        at(epsilon=float(epsilon))
    at(alpha_d=0.5, luminosity=5000.0)
    assert not made


def test_island_is_where_single_points_are_excluded():
    """Both edges from the path of limits, against limits solved at couplings around them one by one."""
    low, high = island(at())
    assert 1e-4 < low < 1e-3 < 3e-3 < high < 0.1
    assert strength(at(epsilon=low * 1.15)) > 1.0 > strength(at(epsilon=low / 1.15))
    # limits of points have the uncertainty of the efficiency at their own lifetime, islands that of the best: a few percent
    assert strength(at(epsilon=low)) == pytest.approx(1.0, rel=0.1)
    for epsilon in np.geomspace(low * 1.2, high / 2, 7):
        assert strength(at(epsilon=float(epsilon))) > 1.0
    # the upper edge is where the sample ends: beyond, limits have too few events, never fewer than are excluded
    last = at(epsilon=high)
    assert RUN1_FB * last.cross_section_fb * last.branching_fraction * last.efficiency > 2.3
    assert at(epsilon=2 * high).limit is None
    # where more events move it, towards the few times 1e-2 at which the pair is prompt
    assert high < island(point(SEARCH, {}, n_events=8 * N))[1] < 0.04


def test_y_and_epsilon_are_the_same_island():
    answer = at()
    # each on its own grid, with steps of 12 % in epsilon; at the upper edge nothing is interpolated
    assert y_of(np.array(island(answer)), 0.1, 1 / 3) == pytest.approx(island(answer, "y"), rel=0.25)
    assert y_of(island(answer)[0], 0.1, 1 / 3) == pytest.approx(island(answer, "y")[0], rel=0.02)


def test_more_luminosity_widens_the_island_on_both_sides():
    today, future = island(at()), island(at(dataset="belle2_50000"))
    assert future[0] < today[0] < today[1] < future[1]
    # decays too far away to see: seen events go as epsilon^4 without background
    assert today[0] / future[0] == pytest.approx((50000 / 365) ** 0.25, rel=0.25)


def test_background_is_next_to_none():
    """K_S and conversions are vetoed; what is left at 50 ab-1 are crossing tracks, whose rate is a choice."""
    answer = at(dataset="belle2_50000")
    expected = {p.name: p.fb * 50000 for p in answer.processes}
    assert sum(expected.values()) < 10.0 and max(v for name, v in expected.items() if "crossing" not in name) < 1.0


# regions and L1 lines


def test_regions_add_up_and_have_their_lifetimes():
    ctau = {"inner": 0.5, "outer": 30.0}
    unit = ctau_chi2({**SEARCH.parse({}), "epsilon": 1.0})
    for name, length in ctau.items():
        epsilon = math.sqrt(unit / length)
        parts = {region: at(region=region, epsilon=epsilon).efficiency for region in ("inner", "outer", "both")}
        assert parts["both"] == pytest.approx(parts["inner"] + parts["outer"], rel=1e-9)
        assert parts[name] > 0.7 * parts["both"]


def test_lines_alone_and_together():
    epsilon = 3e-4  # decays in the drift chamber
    alone = {line: at(lines=[line], epsilon=epsilon).efficiency for line in ("lml1", "lml12", "dv")}
    together = at(lines=list(alone), epsilon=epsilon).efficiency
    assert max(alone.values()) < together < sum(alone.values())
    # two full tracks do not start inside the beam pipe and away from the beams at once
    assert alone["dv"] > 10 * at(lines=["dv"], epsilon=epsilon, region="inner").efficiency
    # 9 GeV leave the photon 1.5 GeV
    heavy = at(lines=["lml1"], m_aprime=9.0, m_chi1=3.0, epsilon=2e-4)
    assert heavy.efficiency == 0.0 and at(lines=["hie"], m_aprime=9.0, m_chi1=3.0, epsilon=2e-4).efficiency > 0


def test_trigger_table():
    table = reach.trigger_reach(SEARCH, {"epsilon": 3e-4}, n_events=N)
    assert list(table.index) == list(reach.TRIGGERS)
    everything = table.loc["all three"]
    assert everything["limit_fb"] <= table["limit_fb"].min() and everything["epsilon_from"] <= table["epsilon_from"].min() * 1.001
    assert (
        "ε" in trigger_reach_table({"epsilon": 3e-4}, n_events=N).data
        or "&epsilon;" in trigger_reach_table({"epsilon": 3e-4}, n_events=N).data
    )


# single photons


@pytest.mark.parametrize("mass", [3.0, 6.5])
def test_monophoton_is_the_invisible_dark_photon_for_long_lifetimes(mass):
    here = point(
        SEARCH,
        {"signature": "monophoton", "m_aprime": mass, "m_chi1": mass / 3, "splitting": 0.01, "epsilon": 1e-4},
        n_events=20_000,
    )
    other = point(load_search("dark_photon_invisible"), {"m_aprime": mass, "luminosity": 365.0, "epsilon": 1e-4}, n_events=20_000)
    assert here.kept == pytest.approx(1.0, abs=1e-6)
    ours, theirs = (next(c for c in a.couplings if c.name == "epsilon").expected[2] ** 2 for a in (here, other))
    # two samples with efficiencies known to 2 % each; theirs leaves out photons along the beams, which are not selected anyway
    assert ours / theirs == pytest.approx(1.0, abs=0.08)


def test_escape_against_decays_that_are_simulated():
    """The share beyond the iron, averaged in closed form over directions, against decay points drawn at one lifetime."""
    values = SEARCH.parse({"signature": "monophoton", "m_aprime": 1.0, "m_chi1": 1 / 3, "splitting": 0.2, "epsilon": 1e-3})
    m1, m2, n = 1 / 3, 0.4, 60_000
    events = generate_gamma_x(n, 11, BELLE2.beams, 1.0, "dark_photon", 1.0)
    _, chi2 = decay_two_body(events.momenta_lab["x"], m1, m2, 12)
    cosine = events.momenta_lab["gamma_1"][:, 3] / np.maximum(events.momenta_lab["gamma_1"][:, 0], 1e-300)
    use = (cosine > math.cos(math.radians(130))) & (cosine < math.cos(math.radians(30))) & (events.weights > 0)
    numbers = SEARCH.numbers
    for epsilon in (1e-3, 4e-3):
        here = {**values, "epsilon": epsilon}
        points = fly(chi2[use], None, ctau_chi2(here), 13)
        low, high = numbers["escape_z"].values
        out = (
            (np.hypot(points[:, 0], points[:, 1]) > float(numbers["escape_radius"]))
            | (points[:, 2] < low)
            | (points[:, 2] > high)
        )
        w = events.weights[use]
        share = (w * out).sum() / w.sum()
        error = math.sqrt((w**2 * (out - share) ** 2).sum()) / w.sum()
        # the search has 4000 events of its own
        assert escaping(here, RUN1) == pytest.approx(share, abs=3 * error * math.sqrt(1 + n / 4000))
    assert escaping({**values, "epsilon": 1e-6}, RUN1) > 0.9999 > 1e-6 > escaping({**values, "epsilon": 0.5}, RUN1)


def test_signatures_complement_each_other():
    """A light pair flies far: single photons see it where vertices do not, and the other way round."""
    light, heavy = {"m_aprime": 0.15, "m_chi1": 0.05}, {"m_aprime": 3.0, "m_chi1": 1.0}
    assert any(c.excluded for c in at(**light, signature="monophoton").couplings)
    assert not any(c.excluded for c in at(**heavy, signature="monophoton").couplings)
    assert any(c.excluded for c in at(**heavy).couplings)


# planes


@cache
def islands() -> reach.Region:
    return reach.region(SEARCH, {}, nodes=3, n_events=3000, span=(0.8, 2.0))


def test_plane_agrees_with_points():
    found = islands()
    for k, tolerance in ((0, 0.03), (-1, 0.03), (len(found.masses) // 2, 0.12)):
        m = float(found.masses[k])
        ((low, high),) = found.intervals[k]
        direct = island(point(SEARCH, {"m_chi1": m, "m_aprime": 3 * m}, n_events=3000))
        # at the ends the very sample; in the middle the interpolation between masses 60 % apart
        assert low == pytest.approx(direct[0], rel=tolerance)
        # upwards a point says nothing where its sample is too small; the plane goes on, to about where more events reach
        more = island(point(SEARCH, {"m_chi1": m, "m_aprime": 3 * m}, n_events=60_000))
        assert 0.95 * direct[1] < high < 1.3 * more[1]


def test_more_lines_exclude_more():
    alone = reach.region(SEARCH, {}, nodes=3, n_events=3000, span=(0.8, 2.0), lines=("lml12",))
    assert (islands().height >= alone.height - 1e-9).all()


def test_islands_are_closed():
    found = islands()
    assert not (found.height[:, [0, -1]] > 0).any(), "open below or above"
    xs, ys = outlines(found)
    for polygon in (*xs, *ys):
        assert all(ring[0] == pytest.approx(ring[-1]) for ring in polygon)
    squares = outlines(found, per_y=10.0)[1]
    assert squares[0][0] == pytest.approx(ys[0][0] ** 2 / 10.0)


def test_island_ends_where_nothing_is_seen():
    """Single photons of 2 GeV end below an A' of 8.3 GeV, wherever the nodes are."""
    found = reach.region(SEARCH, {}, lines=("lml1",), nodes=2, n_events=1500, span=(1.8, 3.1))
    last = max(m for m, inside in zip(found.masses, found.height, strict=True) if (inside > 0).any())
    assert 2.3 < last < 8.4 / 3 and not (found.height[-1] > 0).any()


def test_share_is_that_of_points():
    share = reach.seen_share(SEARCH, {}, n_events=N)
    (ctau,) = SEARCH.at(SEARCH.parse({})).lifetimes(SEARCH.parse({}), RUN1)
    seen = math.exp(np.interp(math.log(ctau), np.log(reach.CTAUS), share.log_share))
    # lifetimes are tabulated in steps of 12 %
    assert seen == pytest.approx(at().efficiency, rel=5e-3)


def test_figures():
    plane = inelastic_plane({}, nodes=3, n_events=1500, triggers={"photon": ("lml1",)})
    assert {"displaced, the lines of today", "photon", "single photon, decay outside", "target"} <= {
        r.name for r in plane.renderers
    }
    assert len(flight_plot().renderers) == 4 and len(vertex_plot(n_events=N).renderers) == 7


def test_thermal_target_overlay():
    (overlay,) = SEARCH.overlays(SEARCH.parse({"m_chi1": 0.1, "m_aprime": 0.3}))
    k = 20
    assert overlay.high[k] == pytest.approx(float(relic_epsilon(overlay.masses[k], 0.1, 0.1)))
    assert SEARCH.overlays(SEARCH.parse({"m_chi1": 3.0, "m_aprime": 9.0})) == ()


# beside a dark Higgs boson


def test_beside_a_dark_higgs_boson():
    """Rates go with alpha_D as well; limits are of the published order of magnitude, 1e-1 fb and epsilon of 1e-3."""
    one, two = (at(production="dark_higgs", alpha_d=a) for a in (0.1, 0.2))
    assert two.cross_section_fb / one.cross_section_fb == pytest.approx(2.0)
    assert one.limit is not None and 0.01 < one.limit[2] < 1.0
    assert 2e-4 < island(one)[0] < 5e-3
    far = at(production="dark_higgs", sin_theta=3e-6)
    assert far.limit is not None and far.limit[2] > 10 * one.limit[2]


def test_limits_against_the_mixing_of_the_dark_higgs_boson():
    """Decays beyond the detector, where the limit goes as 1 / sin^2, and an h' that decays at once beside a chi2 that flies."""
    found = reach.mixing_reach(SEARCH, {}, n=13, n_events=N).dropna()
    assert (found["ctau_cm"] * found["sin_theta"] ** 2).to_numpy() == pytest.approx(
        found["ctau_cm"].iloc[0] * found["sin_theta"].iloc[0] ** 2
    )
    assert found["rate_fb"].nunique() == 1
    short = found[found["ctau_cm"] < 1.0]["limit_fb"]
    assert len(short) >= 5 and short.max() < 2 * short.min() and short.min() < 0.3
    first, second = found["limit_fb"].iloc[0], found["limit_fb"].iloc[1]
    # 1e-6 to 2e-6: c tau of metres to hundreds
    assert first / second == pytest.approx((found["sin_theta"].iloc[1] / found["sin_theta"].iloc[0]) ** 2, rel=0.1)
    assert {r.name for r in mixing_plot(n=6, n_events=2000).renderers} == {"limit", "rate"}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"m_chi1": 1.3}, "not above m_chi1"),
        ({"m_chi1": 0.05, "m_aprime": 0.15, "splitting": 0.02}, "two electron masses"),
        ({"m_aprime": 10.0}, "photon has"),
        ({"m_aprime": 10.15, "signature": "monophoton"}, "photon has"),
        ({"production": "dark_higgs", "signature": "monophoton"}, "no photon"),
        ({"production": "dark_higgs", "m_hprime": 2.5}, "2 m_chi1"),
        ({"production": "dark_higgs", "m_hprime": 0.2}, "m_hprime"),
        ({"production": "dark_higgs", "m_aprime": 9.0, "m_hprime": 1.9}, "m_aprime"),
    ],
)
def test_closed(values, reason):
    assert reason in at(**values).reason


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: at(splitting=2.0), "splitting"),
        (lambda: at(region="middle"), "inner"),
        (lambda: inelastic_plane({}, quantity="x"), "quantity"),
        (lambda: reach.region(SEARCH, {"m_aprime": 1.0, "m_chi1": 0.5}), "closed for all"),
        (lambda: reach.seen_share(SEARCH, {"m_chi1": 1.3}), "not above m_chi1"),
        (lambda: at(lines=["lml99"]), "lml"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_beside_a_dark_higgs_boson_that_flies_a_prompt_chi2_stays_visible():
    """One vertex that is away is enough: nothing ends at large mixing, however many events are simulated."""
    for n in (20_000, 60_000):
        answer = point(SEARCH, {"production": "dark_higgs"}, n_events=n)
        epsilon = next(c for c in answer.couplings if c.name == "epsilon")
        ((low, high),) = epsilon.excluded
        assert low == pytest.approx(epsilon.expected[2]) and high == SEARCH.couplings[0].high
