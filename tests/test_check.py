"""The comparison with publications: on the rate, inside a declared factor, up to a declared edge."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from belle2dark import check, cli, comparison, terminal
from belle2dark.check import check_search, local_median
from belle2dark.check_observed import pull
from belle2dark.comparison import Effort, effort
from belle2dark.mass_scan import scan_masses
from belle2dark.point import Point, point
from belle2dark.published import Published, load_published
from belle2dark.region import region_points
from belle2dark.search import Search, load_search, search_names
from tests.peak_search import peak_search

NAME = "dark_higgsstrahlung"
QUICK = Effort(grid=3, n_events=4000, toys=0)


@pytest.fixture(scope="module")
def search() -> Search:
    return load_search(NAME)


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let other results be the published ones."""
    return lambda *results: monkeypatch.setattr(check, "load_published", lambda name: results)


def plane_result(quantity: str) -> Published:
    return next(r for r in load_published(NAME) if r.range and (r.quantity == quantity or r.unit == quantity))


def median(answer: Point) -> float:
    assert answer.limit is not None
    return answer.limit[2]


def curve(search: Search, scale: float = 1.0, quantity: str = "limit", **changes: Any) -> Published:
    """A published curve that is ``scale`` times our own expected limit at three masses."""
    masses = {"m_aprime": (5.0, 6.0, 7.0), "m_hprime": (1.0, 1.0, 1.0)}
    points = [point(search, {"m_aprime": m, "m_hprime": 1.0}, n_events=QUICK.n_events) for m in masses["m_aprime"]]
    if quantity == "limit":
        values, name, unit = [median(p) for p in points], search.quantity, search.unit
    else:
        k = [c.name for c in search.couplings].index(quantity)
        values, name, unit = [p.couplings[k].expected[2] for p in points], quantity, ""
    base = replace(plane_result("fb"), range=None, region=MappingProxyType({}), ascending=(), masses=MappingProxyType(masses),
                   quantity=name, unit=unit, expected=tuple(scale * v for v in values))  # fmt: skip
    return replace(base, **changes)


# the rule of the edge


def test_grid_stays_inside_region_and_margin_and_efficiency_only_falls_at_the_end(search: Search):
    result = plane_result("fb")
    evaluate = partial(comparison.evaluate, search, result, QUICK, 1)
    probes = list(region_points(search, result, evaluate, 3, 2.0, (0.5, 0.1)))
    root = search.default_dataset.detector.beams.sqrt_s
    for probe in probes:
        m, h = (float(probe.point.values[name]) for name in ("m_aprime", "m_hprime"))
        assert 4.0 < m < 9.7 and 0 <= h < m
        sigma = math.sqrt(probe.point.simulated.covariance[0, 0])  # type: ignore[union-attr]
        assert m + 2 * sigma + h < root, "two widths of M_mumu inside the kinematic boundary"
        assert 0 < probe.share <= 1 + 0.1  # an end found by bisection may still be a little better than the grid
    rows = {probe.point.values["m_aprime"] for probe in probes}
    assert len(rows) == 3 and min(rows) < 4.01 and max(rows) > 9.69, "the grid reaches the ends of the region"
    # the efficiency may fall to less than half of its best, and the place where that happens was looked for
    assert min(p.share for p in probes) < 0.9
    low = [p.share for p in probes if p.share < 0.5]
    assert not low or any(0.5 <= p.share < 0.6 for p in probes)


def test_a_larger_margin_leaves_less(search: Search):
    """Along a row towards the kinematic edge, each margin is left before the next smaller one."""
    dataset = search.default_dataset
    root, m = dataset.detector.beams.sqrt_s, 8.0
    h = np.linspace(0.0, root - m, 200)[:-1]
    centres = np.stack([np.full_like(h, m), h**2], -1)
    covariances = np.broadcast_to(np.diag([0.03**2, 0.15**2]), (len(h), 2, 2))
    counts = [int(search.window.open(centres, covariances, dataset, margin).sum()) for margin in (0.0, 1.0, 2.0, 4.0)]
    assert counts[0] == len(h) and counts == sorted(counts, reverse=True) and len(set(counts)) == 4
    # 2 widths: either 0.06 GeV in the mass or 0.30 GeV^2 in the squared recoil mass
    top = h[counts[2] - 1]
    assert m + top + 0.06 < root and top**2 + 0.30 < (root - m) ** 2


# like with like


def test_our_own_curve_agrees_and_a_wrong_one_does_not(search: Search, publish: Any):
    publish(curve(search))
    (same,) = check_search(search, QUICK)
    assert same.ok and same.kind == "curve" and same.points == 3
    assert same.median_ratio == pytest.approx(1.0, rel=1e-9)
    publish(curve(search, scale=1.4), curve(search, scale=1.6), curve(search, scale=1 / 1.6))
    inside, low, high = check_search(search, QUICK)
    assert (inside.ok, low.ok, high.ok) == (True, False, False) and low.verdict == "OUTSIDE"
    assert low.median_ratio == pytest.approx(1 / 1.6) and high.median_ratio == pytest.approx(1.6)


def test_a_coupling_is_compared_as_a_rate(search: Search, publish: Any):
    """A published epsilon 1.2 times ours is a rate 1.44 times ours."""
    publish(curve(search, scale=1.2, quantity="epsilon"), curve(search, scale=1.2, quantity="eps2_alpha_d"))
    epsilon, product = check_search(search, QUICK)
    assert epsilon.median_ratio == pytest.approx(1 / 1.44) and product.median_ratio == pytest.approx(1 / 1.2)
    assert epsilon.factor == pytest.approx(comparison.RATE_FACTOR * comparison.THEORY_FACTOR)


def test_one_bad_point_shows_even_where_the_median_is_right(search: Search, publish: Any):
    good = curve(search)
    assert good.expected is not None
    publish(replace(good, expected=(good.expected[0], good.expected[1], 4 * good.expected[2])))
    (result,) = check_search(search, QUICK)
    assert result.median_ratio == pytest.approx(1.0) and not result.ok
    assert result.low is not None and result.low.where["m_aprime"] == 7.0


def test_without_an_expected_curve_the_local_median_of_the_observed_one_counts(
    search: Search, publish: Any, monkeypatch: pytest.MonkeyPatch
):
    ours = curve(search)
    assert ours.expected is not None
    spiky = (ours.expected[0], 10 * ours.expected[1], ours.expected[2])
    publish(replace(ours, expected=None, observed=spiky))
    (few,) = check_search(search, QUICK)
    assert few.low is not None and few.low.ratio == pytest.approx(0.1), "a few points are no scatter: each counts"
    monkeypatch.setattr(check, "CURVE", 3)
    (result,) = check_search(search, QUICK)
    expected = np.median(np.array(ours.expected) / np.median(spiky))
    assert result.median_ratio == pytest.approx(expected, rel=1e-9)
    assert local_median(np.array([1.0, 1.0, 50.0, 1.0, 1.0]), half=2) == pytest.approx(1.0)


def test_range_is_compared_end_by_end(search: Search, publish: Any):
    result = plane_result("fb")
    publish(result)
    (first,) = check_search(search, QUICK)
    assert first.low is not None and first.high is not None and first.low.ours < first.high.ours
    assert first.high.ratio == pytest.approx(first.high.ours / 5.0)
    publish(
        replace(result, range=(first.low.ours, first.high.ours)), replace(result, range=(first.low.ours, 2 * first.high.ours))
    )
    exact, wide = check_search(search, QUICK)
    assert exact.ok and exact.low is not None and exact.low.ratio == pytest.approx(1.0)
    assert not wide.ok, "one end outside is outside"
    assert first.beyond["0.1"] >= first.beyond["0.25"] >= first.high.ours


def test_what_is_recalled_or_chosen_is_no_target(search: Search, publish: Any):
    publish(curve(search, scale=100.0, confidence="recalled"))
    (result,) = check_search(search, QUICK)
    assert result.ok and result.verdict == "not a target: recalled" and result.factor is None


def test_a_quantity_we_do_not_have_is_an_error(search: Search, publish: Any):
    publish(curve(search, quantity="limit", unit="pb"))
    with pytest.raises(ValueError, match="eps2_alpha_d"):
        check_search(search, QUICK)


@pytest.mark.parametrize("margin", [-1.0, math.nan, math.inf])
def test_bad_margin(search: Search, margin: float):
    with pytest.raises(ValueError, match="margin"):
        check_search(search, QUICK, margin=margin)


def test_effort_can_be_changed():
    assert effort(fast=True).toys == 0 and effort(grid=20).grid == 20 and effort(fast=True, n_events=5000).n_events == 5000


def test_exit_code_follows_the_verdict(search: Search, publish: Any, capsys: pytest.CaptureFixture[str]):
    publish(curve(search))
    assert cli.main(["check", NAME, "--fast", "--n-events", "4000"]) == 0
    assert "inside" in capsys.readouterr().out
    publish(curve(search, scale=10.0))
    assert cli.main(["check", NAME, "--fast", "--n-events", "4000", "--json"]) == 1
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry["ok"] is False and entry["median_ratio"] == pytest.approx(0.1) and entry["factor"] == 1.5


# observed limits, declared constants and factors of a record


PEAK_EFFORT = Effort(grid=3, n_events=6000, toys=0, scans=3)


@pytest.fixture(scope="module")
def peak() -> Search:
    return peak_search()


def peak_curve(peak: Search, part: int, **changes: Any) -> Published:
    """A published observed curve that is the quantile ``part`` of our own band at three masses, with declared constants."""
    masses = (3.0, 4.0, 5.0)
    given = {"calibration": "declared"}
    answers = [point(peak, {"m_zprime": m, **given}, n_events=PEAK_EFFORT.n_events) for m in masses]
    values = tuple(a.limit[part] for a in answers if a.limit)
    base = next(r for r in load_published("zprime_invisible") if r.observed)
    result = replace(base, parameters=MappingProxyType({}), masses=MappingProxyType({"m_zprime": masses}), observed=values,
                     expected=None, quantity=peak.quantity, unit="fb", dataset="belle2_80", luminosity=None, cl=0.90,
                     method="cls")  # fmt: skip
    return replace(result, **changes)


def test_a_record_says_itself_how_far_off_it_may_be(search: Search, publish: Any):
    publish(
        curve(search, scale=1.4), curve(search, scale=1.4, factors=(1.2, 3.0)), curve(search, scale=1.4, factors=(1.41, 1.41))
    )
    general, narrow, wide = check_search(search, QUICK)
    assert (general.ok, narrow.ok, wide.ok) == (True, False, True)
    assert (narrow.factor, narrow.single) == (1.2, 3.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"factors": (0.8, 1.2)}, "factors"),
        ({"factors": (1.5, 1.2)}, "factors"),
        ({"compare": "pull"}, "compare 'pull'"),
        ({"compare": "pulls"}, "observed limits"),
        ({"observed_extremes": True}, "range"),
    ],
)
def test_bad_records(search: Search, changes: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        replace(curve(search), **changes)


def test_pull_is_the_number_of_standard_deviations_of_the_quantile():
    band = np.array([1.0, 2.0, 4.0, 7.0, 11.0])
    assert [pull(value, band) for value in band] == pytest.approx([-2, -1, 0, 1, 2])
    assert (
        pull(3.0, band) == pytest.approx(-0.5)
        and pull(15.0, band) == pytest.approx(3.0)
        and pull(0.5, band) == pytest.approx(-2.5)
    )
    with pytest.raises(ValueError, match="increase"):
        pull(1.0, band[::-1])


def test_observed_limits_may_be_compared_by_their_pulls(peak: Search, publish: Any):
    publish(peak_curve(peak, 3, compare="pulls"), peak_curve(peak, 2, compare="pulls"))
    above, median = check_search(peak, PEAK_EFFORT)
    assert above.kind == "pulls" and above.ok and above.pulls == pytest.approx((1.0, 1.0, 1.0), abs=1e-9)
    assert median.pulls == pytest.approx((0.0, 0.0, 0.0), abs=1e-9) and median.median_ratio == pytest.approx(1.0)
    result = peak_curve(peak, 4, compare="pulls")
    assert result.observed is not None
    publish(replace(result, observed=tuple(1.01 * x for x in result.observed)))
    (beyond,) = check_search(peak, PEAK_EFFORT)
    assert not beyond.ok and min(beyond.pulls) > 2.0 and beyond.to_json()["pulls"]


def test_declared_constants_decide_and_the_simulation_is_shown(peak: Search, publish: Any, capsys: pytest.CaptureFixture[str]):
    publish(peak_curve(peak, 2), peak_curve(peak, 2, parameters=MappingProxyType({"calibration": "simulated"})))
    declared, simulated = check_search(peak, PEAK_EFFORT)
    assert declared.ok and declared.median_ratio == pytest.approx(1.0)
    # 2 fb per resolution and half of the efficiency instead of a few hundredths and all of it
    shown = declared.first_principles
    assert shown["median_ratio"] == pytest.approx(simulated.median_ratio) and shown["median_ratio"] < 0.5  # type: ignore[operator]
    assert shown["low"] <= shown["median_ratio"] <= shown["high"] and not simulated.first_principles  # type: ignore[operator]
    terminal.show(*terminal.check_report([declared]))
    assert f"median {shown['median_ratio']:.3g}" in " ".join(capsys.readouterr().out.split()).replace(" │ ", " ")


def test_what_constants_were_fitted_to_is_reported_and_proves_nothing(peak: Search, publish: Any):
    curve = peak_curve(peak, 2, compare="described")
    assert curve.observed is not None
    publish(replace(curve, observed=tuple(10 * x for x in curve.observed)))
    (found,) = check_search(peak, PEAK_EFFORT)
    assert found.ok and found.factor is None and found.verdict == "described, not a target"
    assert found.median_ratio == pytest.approx(0.1) and found.first_principles


def test_extremes_of_an_observed_curve_are_those_of_pseudo_experiments(peak: Search, publish: Any):
    """Smallest and largest of some hundred fluctuating limits lie outside the range of the expected ones."""
    base = peak_curve(peak, 2)
    region = MappingProxyType({"m_zprime": (2.0, 6.0)})
    result = replace(base, masses=MappingProxyType({}), observed=None, region=region, range=(1.0, 1.0), observed_extremes=True)
    publish(result)
    (first,) = check_search(peak, PEAK_EFFORT)
    assert first.kind == "observed extremes" and first.low is not None and first.high is not None and first.points > 50
    frame = scan_masses(peak, {"calibration": "declared"}, n_events=PEAK_EFFORT.n_events).frame
    frame = frame[(frame["m_zprime"] > 2.0) & (frame["m_zprime"] < 6.0)]
    assert first.low.ours < frame["limit_median"].min() and first.high.ours > frame["limit_median"].max()
    ends = (first.low.ours, 1.5 * first.high.ours)
    publish(replace(result, range=ends, factors=(1.6, 1.6)), replace(result, range=ends, factors=(1.4, 1.4)))
    inside, outside = check_search(peak, PEAK_EFFORT)
    assert inside.ok and not outside.ok and inside.low is not None and inside.low.ratio == pytest.approx(1.0)
    assert all(2.0 < end.where["m_zprime"] < 6.0 for end in (first.low, first.high))


# and the publications themselves


#: What is not reached, and why: strict, so that an improvement is noticed.
KNOWN_OUTSIDE = {
    ("dark_higgsstrahlung", "sigma(e+e- -> A'h') x BR(A' -> mumu)", ""): "the largest limit, 1.6 times the published "
    "5.0 fb, is at m_aprime = 9.7 GeV and a massless h': one photon that the calorimeter misses, as below",
    (
        "zprime_invisible",
        "g_prime",
        "m_zprime = 0.1 to 8",
    ): "low masses: one photon that the calorimeter misses, 0.2 % of them here, looks "
    "like a massless Z', and the quoted 34 % on the photon veto then is an uncertainty of hundreds of events",
    ("leptophilic_scalar", "xi", "m_phi = 0.04 to 0.04"): "the lightest pairs are also made by photons that convert in "
    "the silicon detector, which are not simulated",
    (
        "dimuon_resonance",
        "g_s",
        "model = muonphilic",
    ): "next to the threshold both muons fly as one track: identification and "
    "fakes of collinear muons, which are not simulated, make the published limits weaker",
}


#: the extremes of thousands of masses need all events and more scans
EFFORT = {"dimuon_resonance": replace(effort(grid=3), scans=8), "dark_higgsstrahlung": effort(fast=True)}


#: minutes of comparisons: `make check` or `make test ARGS="-m study"`
LONG = {"dimuon_resonance", "leptophilic_scalar", "ditau_resonance"}


def known_outside(search: str, quantity: str, region: str) -> str:
    """Why a comparison is known to fail, or ""."""
    return next((why for (s, q, part), why in KNOWN_OUTSIDE.items() if (s, q) == (search, quantity) and part in region), "")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.study] if name in LONG else []) for name in search_names()]
)
def test_published_limits_are_met(name):
    """Every published target of every search, inside its factor, with a coarse grid and few events; but for KNOWN_OUTSIDE.

    Their Monte Carlo error is a few per cent; what a coarse grid misses only narrows the range. The extremes of thousands of
    masses need all events and scans.
    """
    for c in check_search(load_search(name), EFFORT.get(name, effort(fast=True, grid=3))):
        ends = [(end.ours, end.ratio) for end in (c.low, c.high) if end]
        known = known_outside(c.search, c.quantity, c.region)
        assert c.ok != bool(known), (
            f"{c.search}, {c.dataset}, {c.quantity}, {c.region}: {ends}, allowed x {c.factor}; {known or 'should be inside'}"
        )
