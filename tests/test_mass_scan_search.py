"""Scans over all masses of a search: the answer of a single point, faster, and pseudo-experiments without signal."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from belle2dark._jit import threads
from belle2dark.limits.background_shapes import Chebyshev
from belle2dark.limits.pseudo_windows import global_p_values, own_background, poisson_quantile, pseudo_windows
from belle2dark.limits.scan_windows import make_windows
from belle2dark.limits.shapes import Gaussian
from belle2dark.mass_frame import frame_of
from belle2dark.mass_scan import pseudo_scans, scan_masses
from belle2dark.observed import pseudo_data
from belle2dark.plots.mass_scan import mass_scan_plot
from belle2dark.point import point
from belle2dark.scan import BAND, LimitCurve
from belle2dark.search import Quantity, Search, load_search
from tests.peak_search import BACKGROUND, BINS, SHARE, SPAN, peak_search

N = 12_000
MASSES = np.linspace(2.0, 6.0, 9)


def fixed_of(search: Search) -> tuple[tuple[str, Any], ...]:
    """The parameters that simulate, at their defaults, without the mass."""
    values = search.parse({})
    return tuple((name, values[name]) for name in search.masses if name != "m_zprime")


@pytest.fixture(scope="module")
def search() -> Search:
    return peak_search()


@pytest.fixture(scope="module")
def nodes(search: Search) -> np.ndarray:
    """The masses that are simulated."""
    return frame_of(search, search.default_dataset, fixed_of(search), N, 1, search.default_dataset.lines).masses


@pytest.fixture(scope="module")
def whole(search: Search) -> LimitCurve:
    return scan_masses(search, n_events=N)


# one mass at a time and all at once


@pytest.mark.parametrize(("calibration", "tolerance"), [("declared", 0.03), ("simulated", 0.05)])
def test_scan_is_the_point_where_both_are_simulated(search: Search, nodes: np.ndarray, calibration: str, tolerance: float):
    """Same events, same fit, but bins begin elsewhere, and with them the noise of the simulated peak: 3 % over a flat background.

    A simulated one of a few events is spread along the mass by another rule, as far as its few simulated events ask for: 5 %.
    """
    some = nodes[1:-1:3]
    frame = scan_masses(search, {"calibration": calibration}, some, n_events=N).frame
    assert len(frame) == len(some)
    for m, row in zip(some, frame.to_dict("records"), strict=True):
        answer = point(search, {"m_zprime": m, "calibration": calibration}, n_events=N)
        assert answer.limit is not None
        # at 4 GeV one network ends and the next begins: the peak has a step in it
        allowed = tolerance if abs(m - 4.0) > 0.05 else 0.06
        assert [row[f"limit_{part}"] for part in BAND] == pytest.approx(answer.limit, rel=allowed)
        assert row["g_prime_median"] == pytest.approx(answer.couplings[0].expected[2], rel=allowed)
        assert row["efficiency"] == pytest.approx(answer.efficiency, rel=1e-9)
        assert row["resolution"] == pytest.approx(answer.resolution["recoil_mass_squared"][1], rel=1e-9)
        assert row["narrow_width"] == answer.narrow_width and row["reason"] == ""


def test_between_simulated_masses_the_efficiency_is_interpolated(search: Search, nodes: np.ndarray):
    """Within three errors of simulations with independent random numbers, and the limit goes with it."""
    middle = 0.5 * (nodes[1:] + nodes[:-1])[::4]
    frame = scan_masses(search, None, middle, n_events=N).frame
    for m, row in zip(middle, frame.to_dict("records"), strict=True):
        answer = point(search, {"m_zprime": m}, n_events=N, seed=7)
        error = math.hypot(1.0, 1.0) * answer.efficiency_uncertainty / answer.efficiency
        assert row["efficiency"] == pytest.approx(answer.efficiency, rel=3 * error)
        assert answer.limit is not None and row["limit_median"] == pytest.approx(answer.limit[2], rel=3 * error + 0.03)


def test_default_masses_are_half_a_resolution_apart(whole: LimitCurve):
    frame = whole.frame
    steps = np.diff(frame["m_zprime"] ** 2) / frame["resolution"][:-1]
    assert steps.to_numpy() == pytest.approx(0.5, rel=0.02)
    assert frame["m_zprime"].iloc[0] == 1.5 and frame["m_zprime"].iloc[-1] > 6.45
    assert frame["limit_median"].notna().all() and (frame["limit_plus2"] > frame["limit_minus2"]).all()


# scaling laws


def test_large_background_limits_go_with_the_root_of_the_luminosity_and_declared_constants_count(search: Search):
    declared = {"calibration": "declared", "luminosity": 1e4}
    one = scan_masses(search, declared, MASSES, n_events=N).frame
    four = scan_masses(search, {**declared, "luminosity": 4e4}, MASSES, n_events=N).frame
    assert (one["limit_median"] / four["limit_median"]).to_numpy() == pytest.approx(2.0, rel=0.01)
    inside = 2.0 * search.window.n_sigma * BACKGROUND * 1e4
    assert one["background"].to_numpy() == pytest.approx(inside, rel=0.01)
    kept = replace(search, calibration=lambda v, d: replace(search.calibration(v, d), efficiency=2 * SHARE))  # type: ignore[type-var]
    twice = scan_masses(kept, declared, MASSES, n_events=N).frame
    assert (one["limit_median"] / twice["limit_median"]).to_numpy() == pytest.approx(2.0, rel=1e-6)


def test_flat_background_limit_has_the_closed_form_of_an_optimal_cut(search: Search):
    """CLs at 90 % over much background: 1.645 sigma of the yield, from the inverse of the Fisher matrix in fine bins."""
    luminosity, m = 1e5, 4.0
    row = scan_masses(search, {"calibration": "declared", "luminosity": luminosity}, [m], n_events=N).frame.iloc[0]
    frame = frame_of(search, search.default_dataset, fixed_of(search), N, 1, search.default_dataset.lines)
    k = int(np.searchsorted(frame.masses, m))
    t = (m - frame.masses[k - 1]) / (frame.masses[k] - frame.masses[k - 1])
    edges = np.linspace(-SPAN, SPAN, BINS + 1)
    signal = np.diff(np.interp(edges, frame.u, t * frame.cdf[k, 0] + (1 - t) * frame.cdf[k - 1, 0]))
    columns = np.stack([signal, *((0.5 * (edges[1:] + edges[:-1]) / SPAN) ** power for power in range(3))])
    fisher = (columns / (BACKGROUND * luminosity * (edges[1] - edges[0]))) @ columns.T
    sigma = math.sqrt(np.linalg.inv(fisher)[0, 0])
    expected = stats.norm.isf(0.05) * sigma / (luminosity * SHARE * frame.at(frame.efficiency, np.array([m]))[0])
    # where bins begin, and the error of the simulated efficiency, which is in the scan: 3 %
    assert row["limit_median"] == pytest.approx(expected, rel=0.03)


# couplings and quantities


def test_decays_near_enough_are_solved_for(search: Search, nodes: np.ndarray):
    """A share of the signal that falls with the coupling, as for a lifetime: sigma limits take it at the coupling given."""
    m = float(nodes[len(nodes) // 2])
    far = replace(search, kept=lambda v, d: math.exp(-(float(v["g_prime"]) / 0.2)))
    row, plain = (scan_masses(s, {"g_prime": 0.2}, [m], n_events=N).frame.iloc[0] for s in (far, search))
    assert row["limit_median"] == pytest.approx(math.e * plain["limit_median"], rel=1e-9)
    answer = point(far, {"g_prime": 0.2, "m_zprime": m}, n_events=N)
    assert row["g_prime_median"] == pytest.approx(answer.couplings[0].expected[2], rel=0.03)
    assert row["g_prime_median"] > plain["g_prime_median"]
    never = replace(search, kept=lambda v, d: 0.0)
    assert scan_masses(never, None, [m], n_events=N).frame["limit_median"].isna().all(), "no limit where nothing is seen"


def test_another_quantity_has_its_own_unit_and_level(search: Search):
    ratio = Quantity(name="ratio", text="ratio of rates", unit="", cl=0.95, rate=lambda v, d: 50.0)
    parameter = replace(search.parameters[-1], name="quantity", default="ratio", choices=("ratio", "rate"))
    other = replace(search, quantities={"ratio": ratio}, parameters=(*search.parameters, parameter))
    curve, rate = (scan_masses(other, {"quantity": q}, MASSES, cl=0.95, n_events=N) for q in ("ratio", "rate"))
    assert (curve.quantity, curve.unit, rate.unit) == ("ratio of rates", "", "fb")
    assert scan_masses(other, None, MASSES, n_events=N).cl == 0.95
    assert (rate.frame["limit_median"] / curve.frame["limit_median"]).to_numpy() == pytest.approx(50.0)


# data and pseudo-experiments


def test_injected_signal_is_found_where_it_is(search: Search):
    """Ten standard deviations above background; its yield within three errors of what was put in."""
    m, luminosity = 4.0, 79.7
    rate = 10.0 * scan_masses(search, None, [m], n_events=N).frame["limit_median"].iloc[0]
    unit = search.couplings[0].rate(search.parse({"m_zprime": m}), search.default_dataset)
    given = {"m_zprime": m, "g_prime": math.sqrt(rate / unit)}
    events = pseudo_data(search, given, 1.0, seed=3, n_events=40_000)
    frame = scan_masses(search, {}, observed=events, n_events=N, toys=20).frame
    best = frame.nlargest(1, "z").iloc[0]
    assert abs(best["m_zprime"] ** 2 - m * m) < best["resolution"]
    near = scan_masses(search, {}, [m], observed=events, n_events=N).frame.iloc[0]
    injected = rate * luminosity * near["efficiency"] / 0.85  # about so much of the peak in the fit is in the window
    assert near["signal_yield"] == pytest.approx(injected, abs=3 * near["yield_error"] + 0.15 * injected)
    assert near["limit_observed"] > near["limit_plus2"] and near["p_value"] < 1e-5
    assert best["p_value"] < best["p_global"] < 1e-2
    assert (frame["p_global"] >= frame["p_value"]).all()
    inside = (np.abs(events[0] - m * m) <= search.window.n_sigma * near["resolution"]).sum()
    assert near["n_observed"] == inside


def test_pseudo_experiments_have_no_signal_and_the_spread_of_the_band(search: Search):
    curves = [c.frame for c in pseudo_scans(search, {"calibration": "declared"}, toys=12, n_events=N)]
    z = np.array([frame["z"] for frame in curves])
    steps = z.shape[1] / 4  # masses half a resolution apart: about every fourth is independent
    error = 1.0 / math.sqrt(steps * len(z))
    assert abs(z.mean()) < 3 * error and z.std() == pytest.approx(1.0, abs=3 * error)
    for part, share in (("median", 0.5), ("plus1", stats.norm.sf(1.0)), ("plus2", stats.norm.sf(2.0))):
        beyond = np.mean([(f["limit_observed"] > f[f"limit_{part}"]).mean() for f in curves])
        # the asymptotic band is a little narrow with a few tens of events: 30 % of the share
        assert beyond == pytest.approx(share, abs=3 * math.sqrt(share * (1 - share)) * error + 0.3 * share)


def test_pseudo_experiments_repeat_with_seed_and_on_any_number_of_threads(search: Search):
    def run(seed: int) -> np.ndarray:
        return next(iter(pseudo_scans(search, None, MASSES, toys=1, seed=seed, n_events=N))).frame["z"].to_numpy()

    with threads(1):
        one = run(1)
    assert (one == run(1)).all() and one.any() and (one != run(2)).any()


def test_windows_that_share_bins_share_fluctuations_and_keep_their_own_mean():
    edges = np.linspace(0.0, 30.0, 61)
    expected = 20.0 * np.exp(-0.05 * edges[:-1])
    windows = make_windows(edges, [12.0, 12.5], 1.0, Gaussian(), Chebyshev(degree=2), window=6.0)
    background = own_background(expected, windows)
    assert background[0, : windows.size[0]] == pytest.approx(expected[windows.first[0] :][: windows.size[0]], rel=0.02)
    rng = np.random.default_rng(1)
    drawn = np.array([pseudo_windows(background, windows, rng)[0].reshape(background.shape) for _ in range(2000)])
    assert drawn.mean(axis=0) == pytest.approx(background, abs=5 * np.sqrt(background.max() / 2000))
    assert drawn.var(axis=0)[:, :20] == pytest.approx(background[:, :20], rel=0.25)
    shift = int(windows.first[1] - windows.first[0])
    assert shift > 0 and np.corrcoef(drawn[:, 0, shift + 5], drawn[:, 1, 5])[0, 1] > 0.97
    assert abs(np.corrcoef(drawn[:, 0, 5], drawn[:, 0, 9])[0, 1]) < 0.1, "bins are independent"


@pytest.mark.parametrize("mean", [0.0, 0.01, 0.7, 5.0, 99.0, 100.0, 3000.0])
def test_poisson_quantile_against_scipy(mean: float):
    z = np.linspace(-4.0, 4.0, 81) + 1e-4
    ours = np.array([poisson_quantile(mean, value) for value in z])
    theirs = np.maximum(stats.poisson(mean).ppf(stats.norm.cdf(z)), 0.0) if mean > 0 else np.zeros_like(z)
    assert np.abs(ours - theirs).max() <= (0 if mean < 100 else 1)


def test_global_p_value_counts_the_places_where_an_excess_can_be():
    """Many independent stretches of a smooth Gaussian process: the share of them whose largest value is beyond z."""
    rng = np.random.default_rng(5)
    noise = rng.standard_normal((4000, 340))
    kernel = np.exp(-0.5 * (np.arange(-12, 13) / 3.0) ** 2)
    curves = np.array([np.convolve(row, kernel / np.sqrt((kernel**2).sum()), "valid") for row in noise])
    for level in (2.5, 3.0, 3.5):
        p = float(global_p_values(np.array([level]), curves[:2000])[0])
        share = float((curves[2000:].max(axis=1) > level).mean())
        # an expected number of crossings, not a probability: exceeds it where several are likely
        expected = -math.log1p(-min(share, 0.99))
        assert p == pytest.approx(expected, rel=0.12, abs=3 * math.sqrt(share / 2000))
    assert global_p_values(np.array([-1.0, 0.5]), curves[:50]).tolist() == [1.0, 1.0]


# closed masses, files, pictures, bad input


def test_closed_masses_say_why_and_leave_the_others_alone(search: Search):
    closed = replace(search, closed=lambda v, d: "vetoed" if 3.0 < float(v["m_zprime"]) < 3.2 else search.closed(v, d))
    frame = scan_masses(closed, None, [2.5, 3.1, 3.5], n_events=N).frame
    assert frame["reason"].tolist() == ["", "vetoed", ""] and frame["limit_median"].isna().tolist() == [False, True, False]
    default = scan_masses(closed, n_events=N).frame["m_zprime"]
    assert not ((default > 3.0) & (default < 3.2)).any() and (default < 3.0).any() and (default > 3.2).any()
    with pytest.raises(ValueError, match="none of the masses is open"):
        scan_masses(closed, None, [3.1], n_events=N)


def test_written_and_read_back(whole: LimitCurve, tmp_path: Any):
    again = LimitCurve.read(whole.write(tmp_path / "scan.csv"))
    assert again.about == whole.about
    assert again.frame["limit_median"].to_numpy() == pytest.approx(whole.frame["limit_median"].to_numpy(), rel=1e-15)


def test_pseudo_data_are_the_expected_background(search: Search):
    """Declared constants are in them, at every mass; the same seed gives the same."""
    given = {"calibration": "declared", "luminosity": 1e3}
    frame = scan_masses(search, given, MASSES, observed="pseudo", n_events=N).frame
    inside = 2.0 * search.window.n_sigma * BACKGROUND * 1e3
    assert frame["n_observed"].to_numpy() == pytest.approx(inside, abs=5 * math.sqrt(inside))
    assert abs(frame["z"]).max() < 5
    assert (frame["z"] == scan_masses(search, given, MASSES, observed="pseudo", n_events=N).frame["z"]).all()


def test_a_coupling_of_another_model_has_no_limit(search: Search):
    other = replace(search.couplings[0], name="g_s", applies=lambda values: values["scenario"] == "fully_invisible")
    both = replace(search, couplings=(*search.couplings, other))
    frame = scan_masses(both, None, MASSES, n_events=N).frame
    assert frame["g_s_median"].isna().all() and frame["g_prime_median"].notna().all()
    assert frame["g_prime_narrow"].all() and not frame["g_s_narrow"].any()


def test_plot_shows_limit_and_significance(search: Search, whole: LimitCurve):
    events = pseudo_data(search, {}, seed=2, n_events=N)
    curve = scan_masses(search, None, MASSES, observed=events, n_events=N, toys=10)
    above, below = mass_scan_plot(curve, quantity="g_prime").children
    names = {r.name for r in above.renderers}
    assert {"band", "observed"} <= names and "global" in below.title.text
    assert above.x_range is below.x_range
    with pytest.raises(ValueError, match="no events were observed"):
        mass_scan_plot(whole)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"masses": [9.0]}, "m_zprime = 9 GeV: outside the allowed range"),
        ({"observed": "pseudodata"}, "observed = 'pseudodata'"),
        ({"toys": 5}, "needs observed events"),
        ({"n_events": 10}, "n_events = 10"),
        ({"cl": 1.5}, "confidence level"),
        ({"method": "bayesian"}, "serves cls"),
        ({"lines": ["fffo"]}, "fffo"),
        ({"lines": []}, "no L1 line"),
        ({"systematics": "perfect"}, "systematics = 'perfect'"),
        ({"observed": (np.array([1.0, np.nan]), np.zeros(2))}, "finite"),
    ],
)
def test_bad_input(search: Search, changes: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        scan_masses(search, **({"n_events": N} | changes))


@pytest.mark.parametrize(("name", "message"), [("dark_higgsstrahlung", "one mass"), ("zprime_invisible", "fit of a peak")])
def test_other_searches_are_refused(name: str, message: str):
    with pytest.raises(ValueError, match=message):
        scan_masses(load_search(name))
