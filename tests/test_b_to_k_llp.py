"""Long-lived scalars in B decays: limits over mass and lifetime, excluded islands, and what is published."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pandas as pd
import pytest

import belle2dark as b2d
from belle2dark.constants import HBAR_C, M_BPLUS, M_KAON, M_MUON
from belle2dark.plots import dark_higgs as plots
from belle2dark.plots import lifetime_map, lifetime_plot, mixing_plane
from belle2dark.point import Point, point
from belle2dark.scan import LimitCurve
from belle2dark.search import load_search
from belle2dark.searches.b_to_k_llp import b_rate, mass_as
from belle2dark.theory.dark_higgs import DARK_HIGGS, production_branching_fraction

SEARCH = load_search("b_to_k_llp")
N = 20_000
#: observed limits / 1e-7 of arXiv:2306.02830, B+ -> K+ mu mu, by mass [GeV] and c tau [cm]
PUBLISHED = {
    0.5: {0.1: 0.52, 1.0: 0.51, 10.0: 1.21}, 2.0: {0.1: 0.78, 1.0: 0.50, 10.0: 0.74}, 4.0: {0.1: 2.44, 1.0: 0.37, 10.0: 0.33}
}  # fmt: skip


def at(**given: object) -> Point:
    return point(SEARCH, given, n_events=N)


def limit(**given: object) -> float:
    found = at(**given).limit
    assert found is not None
    return found[2]


@pytest.mark.parametrize("mass", PUBLISHED)
def test_published_limits_in_shape_and_scale(mass: float) -> None:
    ours = {ctau: 1e7 * limit(m_s=mass, ctau=ctau) for ctau in PUBLISHED[mass]}
    for ctau, theirs in PUBLISHED[mass].items():
        assert 1 / 1.6 < ours[ctau] / theirs < 1.6
        # relative to 1 cm: what geometry decides, without luminosity, identification or branching fractions
        assert ours[ctau] / ours[1.0] == pytest.approx(theirs / PUBLISHED[mass][1.0], rel=0.25)


def test_both_turn_overs() -> None:
    # a light scalar leaves the tracker sooner, a heavy one is too slow to leave the beams: the best lifetime grows with the mass
    grid = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
    best = [min(grid, key=lambda c, m=m: limit(m_s=m, ctau=c)) for m in (0.5, 2.0, 4.0)]
    assert best == sorted(best) and best[0] < best[-1]
    # at long lifetimes decays in the tracker are as rare as the lifetime is long
    assert limit(m_s=0.5, ctau=3000.0) / limit(m_s=0.5, ctau=300.0) == pytest.approx(10.0, rel=0.1)


def test_a_limit_without_background_is_three_events() -> None:
    # 3.0 events at 95 %, 1 % more by uncertainties of the signal: counted by hand from rate and efficiency
    answer = at(m_s=2.0, ctau=1.0)
    events = answer.limit[2] * b_rate("kplus") * 189.0 * answer.efficiency  # type: ignore[index]
    assert answer.background_events < 0.05
    # the window of 2.5 resolutions holds less than the fit's range
    assert 2.8 < events < 3.1
    assert limit(m_s=2.0, ctau=1.0, luminosity=378.0) == pytest.approx(0.5 * answer.limit[2], rel=0.01)  # type: ignore[index]


def test_couplings_do_not_move_the_limit_on_branching_fractions() -> None:
    first = at(m_s=0.6, ctau=0.5)
    for given in ({"sin_theta": 0.1}, {"widths": "chiral"}, {"scheme": "running"}, {"model": "alp"}):
        other = at(m_s=0.6, ctau=0.5, **given)
        assert other.limit == first.limit
    running = at(m_s=0.6, ctau=0.5, scheme="running").couplings[0]
    # the lower edge: rate ~ theta^2 m_t^4 and decays ~ theta^2, so theta goes as the top mass to the power of -1 at most
    assert 1.0 < running.expected[2] / first.couplings[0].expected[2] < (174.0 / 163.0) ** 2 * 1.01


@pytest.mark.parametrize(("mass", "model", "widths"), [(0.4, "dark_higgs", "winkler"), (2.0, "dark_higgs", "winkler"),
                                                       (0.7, "dark_higgs", "chiral"), (1.2, "alp", "winkler")])  # fmt: skip
def test_edges_of_the_island_against_points_one_by_one(mass: float, model: str, widths: str) -> None:
    given = {"m_s": mass, "model": model, "widths": widths}
    found = at(**given).couplings[0]
    (low, high), *more = found.excluded
    assert not more
    assert 0 < low < high < 1.0
    assert low == pytest.approx(found.expected[2])

    def excluded(coupling: float) -> bool:
        """By the rate and the limit at the lifetime of that coupling, simulated as a point of its own."""
        answer = at(**given, lifetime="model", **{found.name: coupling})
        rate = answer.cross_section_fb * answer.branching_fraction
        return answer.rate_limit is not None and rate > answer.rate_limit[2]

    # fits are made at some lifetimes along the path and interpolated between: edges are good to some per cent; the upper one
    # at 0.4 GeV is where a dozen simulated decays are left, fewer inside the window of a point
    beyond = 1.2 if mass == 0.4 else 1.07
    assert [excluded(c) for c in (0.5 * low, 0.95 * low, 1.05 * low, 0.93 * high, beyond * high, 2.0 * high)] == [
        False, False, True, True, False, False
    ]  # fmt: skip


def test_lifetime_of_the_model() -> None:
    theta = 2e-3
    free = at(m_s=1.5, ctau=float(DARK_HIGGS["winkler"].ctau(1.5, {"sin_theta": theta})))
    bound = at(m_s=1.5, lifetime="model", sin_theta=theta)
    assert bound.efficiency == pytest.approx(free.efficiency, rel=1e-9)
    assert bound.width_gev == pytest.approx(HBAR_C / free.values["ctau"], rel=1e-9)
    expected = b_rate("kplus") * theta**2 * float(production_branching_fraction(1.5))
    assert bound.cross_section_fb == pytest.approx(expected, rel=1e-12)


def test_product_and_production() -> None:
    given = {"m_s": 0.6, "ctau": 1.0}
    share = float(DARK_HIGGS["winkler"].branching_fraction("mumu", 0.6))
    assert limit(**given, quantity="production") == pytest.approx(limit(**given) / share, rel=1e-9)
    nothing = at(m_s=2.5, final_state="pipi", quantity="production")
    assert nothing.limit is None and "product needs no model" in nothing.reason


def test_alp_does_not_decay_to_two_pions() -> None:
    couplings = SEARCH.couplings_for(SEARCH.parse({"model": "alp", "final_state": "pipi", "m_s": 0.7}))
    assert couplings == ()


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"m_s": 2 * M_MUON}, "twice the mass"),
        ({"m_s": M_BPLUS - M_KAON + 1e-6}, "B meson leaves"),
        ({"m_s": 4.5, "mode": "kstar0"}, "B meson leaves"),
        ({"m_s": 0.4976, "final_state": "pipi"}, "K_S"),
        ({"m_s": 0.463}, "K_S"),
        ({"m_s": 3.1}, "J/psi"),
        ({"m_s": 2.98, "final_state": "kk"}, "eta_c"),
        ({"m_s": 1.02, "final_state": "kk"}, "phi"),
    ],
)
def test_closed(given: dict[str, object], text: str) -> None:
    answer = point(SEARCH, given, n_events=1000)
    assert answer.limit is None and text in answer.reason


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"ctau": 0.0}, "ctau"),
        ({"ctau": -1.0}, "ctau"),
        ({"m_s": 6.0}, "m_s"),
        ({"mode": "kshort"}, "kplus"),
        ({"final_state": "gammagamma"}, "final_state"),
        ({"lifetime": "fixed"}, "lifetime"),
        ({"sintheta": 0.1}, "sin_theta"),
    ],
)
def test_bad_input(given: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        SEARCH.parse(given)


def test_mass_under_another_hypothesis() -> None:
    # at rest momenta stay: sqrt(m^2/4 - m_mu^2) is that of either pair
    assert mass_as(1.0, M_MUON, 0.0) == pytest.approx(2 * np.sqrt(0.25 - M_MUON**2), rel=1e-12)
    assert mass_as(0.2, M_MUON, 0.0) == 0.0


def scan_of(limits: object, masses: tuple[float, ...], lifetimes: tuple[float, ...], **given: object) -> LimitCurve:
    """A scan with limits by formula, so that edges are known."""
    rows = []
    for m in masses:
        for c in lifetimes:
            row = dict(SEARCH.parse({"m_s": m, "ctau": c, **given}))
            rows.append({**row, "limit_median": limits(m, c)})  # type: ignore[operator]
    return LimitCurve(
        search=SEARCH.name, quantity="", unit="", cl=0.95, method="cls", seed=1, version="", frame=pd.DataFrame(rows)
    )


def test_island_has_the_edges_of_its_limits() -> None:
    # limits that are power laws of the lifetime on either side are straight lines in logarithms: interpolation is exact
    def formula(_m: float, ctau: float) -> float:
        return 5e-10 * (ctau if ctau > 1.0 else ctau**-1.5)

    curve = scan_of(formula, (0.6, 1.5), tuple(np.geomspace(1e-3, 100.0, 16).tolist()))
    x, y, height = plots.island(curve)
    k = int(np.argmin(np.abs(np.exp(x) - 0.8)))
    mass = float(np.exp(x[k]))
    unit = float(production_branching_fraction(mass) * DARK_HIGGS["winkler"].branching_fraction("mumu", mass))
    ctau = float(DARK_HIGGS["winkler"].ctau(mass))
    low = np.sqrt(np.sqrt(5e-10 * ctau / unit))  # unit theta^2 = 5e-10 ctau/theta^2
    high = unit / (5e-10 * ctau**-1.5)  # unit theta^2 = 5e-10 ctau^-1.5 theta^3
    above = np.exp(y[height[k] > 0])
    step = np.exp(y[1] - y[0])
    assert above[0] == pytest.approx(low, rel=step - 1)
    assert above[-1] == pytest.approx(min(high, np.sqrt(ctau / 1e-3)), rel=step - 1)
    figure = mixing_plane([curve])
    edges = [r for r in figure.renderers if r.name == "island"]
    assert len(edges) == 1
    for polygon in edges[0].data_source.data["xs"][0]:
        assert all(ring[0] == ring[-1] for ring in polygon)


def test_planes_leave_out_what_is_closed() -> None:
    def formula(m: float, ctau: float) -> float:
        return float("nan") if SEARCH.closed(SEARCH.parse({"m_s": m}), SEARCH.default_dataset) else 1e-7 * max(ctau, 1.0 / ctau)

    curve = scan_of(formula, (0.3, 0.4, 0.463, 0.6), (0.1, 1.0, 10.0))
    cells = next(r for r in lifetime_map(curve).renderers if r.name == "limits").data_source.data
    assert len(cells["limit"]) == 9
    assert set(np.round(cells["m"], 3)) == {0.3, 0.4, 0.6}
    x, _, height = plots.island(curve)
    veto = np.abs([mass_as(float(m), M_MUON, 0.13957) - 0.497611 for m in np.exp(x)]) < 0.0195
    assert veto.any() and np.all(height[veto] < 0)
    lines = [r for r in lifetime_plot(curve, b2d.load_published(SEARCH.name)).renderers if r.name == "expected"]
    assert len(lines) == 3


def test_published_values_are_on_the_plot() -> None:
    curve = scan_of(lambda m, c: 1e-7, (0.5, 2.0, 4.0), (0.1, 1.0, 10.0))
    dots = [r for r in lifetime_plot(curve, b2d.load_published(SEARCH.name)).renderers if r.name == "published"]
    assert len(dots) == 9


def test_planes_refuse_other_scans() -> None:
    good = scan_of(lambda m, c: 1e-7, (0.6, 1.5), (0.1, 1.0))
    with pytest.raises(ValueError, match="b_to_k_llp"):
        lifetime_map(dataclasses.replace(good, search="dark_photon_visible"))
    with pytest.raises(ValueError, match="lifetime = free"):
        lifetime_plot(scan_of(lambda m, c: 1e-7, (0.6, 1.5), (0.1, 1.0), lifetime="model"))
    with pytest.raises(ValueError, match="m_s"):
        mixing_plane([scan_of(lambda m, c: 1e-7, (0.6,), (0.1, 1.0))])
    with pytest.raises(ValueError, match="one model"):
        mixing_plane([good, scan_of(lambda m, c: 1e-7, (0.6, 1.5), (0.1, 1.0), model="alp")])
    with pytest.raises(ValueError, match="one or more"):
        mixing_plane([])


def test_mass_shape_is_wider_and_lopsided_from_far_out() -> None:
    near, far = (at(m_s=1.0, ctau=c) for c in (0.1, 10.0))
    figure = b2d.plots.mass_shape_plot([near, far])
    intervals = [item.label.value.split(": ")[1].split(" to ") for item in figure.legend[0].items]
    (low_near, high_near), (low_far, high_far) = ((float(a), float(b)) for a, b in intervals)
    # a Gaussian of the resolution is -1 to +1; 20,000 events give these quantiles to 0.02
    assert abs(high_near + low_near) < 0.2
    assert high_far + low_far > 0.3
    assert high_far - low_far > high_near - low_near
    with pytest.raises(ValueError, match="points"):
        b2d.plots.mass_shape_plot([])


def test_couplings_and_lifetimes_share_one_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    module, calls = sys.modules[SEARCH.generate.__module__], []
    original = module.generate_b_to_k_llp  # type: ignore[attr-defined]

    def counted(*args: object, **options: object) -> object:
        calls.append(args)
        return original(*args, **options)

    monkeypatch.setattr(module, "generate_b_to_k_llp", counted)
    couplings, lifetimes = np.geomspace(1e-4, 1e-2, 40).tolist(), [0.01, 0.3, 30.0]
    b2d.scan(SEARCH, {"sin_theta": couplings}, {"m_s": 1.23}, n_events=2000)
    b2d.scan(SEARCH, {"ctau": lifetimes, "widths": ["winkler", "chiral"]}, {"m_s": 1.23}, n_events=2000)
    assert len(calls) == 2  # the signal, and the sample that its resolution is taken from


def test_kstar0_product_contains_its_own_decay() -> None:
    answer = at(m_s=0.6, ctau=1.0, mode="kstar0")
    # B(B0 -> K*0 S) with K*0 -> K+ pi- (2/3), as published: the rate of B0 mesons is what a product of 1 gives
    assert answer.limit is not None and answer.rate_limit is not None
    assert answer.rate_limit[2] / answer.limit[2] == pytest.approx(2 * 1.1e6 * 0.486, rel=1e-9)
    assert answer.limit[2] > limit(m_s=0.6, ctau=1.0)  # one more track to find
