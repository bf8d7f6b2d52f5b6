"""The visible dark photon: rates and charges, two channels in one fit, thousands of masses, islands of displaced decays."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.stats import norm

from belle2dark.constants import ALPHA, HBAR_C, M_ELECTRON, M_MUON
from belle2dark.detector.experiments import BABAR
from belle2dark.final_states.lepton_pair_photon import STATE
from belle2dark.limits.background_shapes import polynomial_columns
from belle2dark.mass_frame import frame_of
from belle2dark.mass_scan import scan_masses
from belle2dark.peak_fit import FLOOR, PeakFit, side_by_side
from belle2dark.plots.visible import AXIS, displaced_region, pieces, visible_plane
from belle2dark.point import point
from belle2dark.scan import LimitCurve, scan
from belle2dark.search import load_search
from belle2dark.simulation.gamma_x import THETA_MIN, generate_gamma_x
from belle2dark.templates import load_template
from belle2dark.theory.dark_photon import DARK_PHOTON
from belle2dark.theory.gamma_x import gamma_dark_photon
from belle2dark.theory.vector_models import Charges, Vector
from belle2dark.vector_search import search_for, unit_cross_section

SEARCH = load_search("dark_photon_visible")
BABAR_SET, BELLE2_SET = SEARCH.datasets["babar_514"], SEARCH.datasets["belle2_50000"]
N = 4000
ELECTRON_CHARGE = math.sqrt(4 * math.pi * ALPHA["thomson"])


@cache
def at(**given):
    return point(SEARCH, given, n_events=N)


def epsilon(answer):
    return answer.couplings[0].expected[2]


# rates


@pytest.mark.parametrize("mass", [0.05, 0.6, 4.0, 9.0])
def test_cross_section_is_the_sum_of_the_weights_of_the_events(mass):
    events = generate_gamma_x(100_000, 11, BABAR.beams, mass, "dark_photon", 1.0)
    total = events.weights.sum()
    error = math.sqrt((events.weights**2).sum()) / total
    assert unit_cross_section(mass, BABAR_SET.sqrt_s) == pytest.approx(total, rel=3 * math.hypot(error, 0.003))


def test_radiation_changes_the_closed_form_by_a_quarter_and_takes_from_the_end():
    """Photons off the beams lower the energy, where gamma A' is made more often (1/s), until there is none left for the mass."""
    edge = math.cos(THETA_MIN)

    def ratio(m):
        return unit_cross_section(m, 10.58) / float(gamma_dark_photon(10.58, m, -edge, edge))

    assert 1.15 < ratio(0.01) < 1.3 and 1.15 < ratio(3.0) < 1.3
    assert ratio(10.4) < 0.9 < ratio(10.0)


def test_rate_goes_as_epsilon_squared_and_both_channels_add_up():
    one, two = ({"m_aprime": 0.5, "epsilon": e} for e in (1e-3, 2e-3))
    values, twice = SEARCH.parse(one), SEARCH.parse(two)
    assert SEARCH.cross_section(twice, BABAR_SET) == pytest.approx(4 * SEARCH.cross_section(values, BABAR_SET))
    parts = [SEARCH.branching_fraction({**values, "final_state": f}) for f in ("ee", "mumu", "combined")]
    assert parts[0] + parts[1] == pytest.approx(parts[2])
    for name, part in zip(("ee", "mumu"), parts, strict=False):
        assert part == pytest.approx(float(DARK_PHOTON.branching_fraction(name, 0.5)), rel=1e-9)
    assert SEARCH.width(values) == pytest.approx(float(DARK_PHOTON.total_width(0.5, {"epsilon": 1e-3})), rel=1e-9)


# charges


def test_charges_like_the_electric_ones_are_the_dark_photon():
    mine = Vector(name="mine", title="Mine", coupling="g_mine", symbol="g",
                  charges=Charges(e=-1.0, mu=-1.0, tau=-1.0, u=2 / 3, d=-1 / 3, s=-1 / 3, c=2 / 3, b=-1 / 3))  # fmt: skip
    own = point(search_for("dark_photon_visible", mine), {"m_aprime": 2.0}, n_events=N)
    assert own.couplings[0].name == "g_mine"
    assert own.couplings[0].expected[2] == pytest.approx(ELECTRON_CHARGE * epsilon(at(m_aprime=2.0)), rel=1e-6)


def test_limits_on_b_minus_l_follow_from_charges():
    """g^2 BR_B-L(ll) = epsilon^2 e^2 BR_A'(ll): the same events, other shares of what A' decays to."""
    answer, other = at(m_aprime=4.0), at(m_aprime=4.0, model="b_minus_l")
    (found,) = other.couplings
    assert found.name == "g_bl" and other.limit == answer.limit
    visible = [SEARCH.branching_fraction(SEARCH.parse({"m_aprime": 4.0, "model": m})) for m in ("dark_photon", "b_minus_l")]
    assert found.expected[2] == pytest.approx(epsilon(answer) * ELECTRON_CHARGE * math.sqrt(visible[0] / visible[1]), rel=1e-6)
    # charges of three leptons, three neutrinos of half their weight, five quarks (two heavy ones at most) in thirds
    assert 2 / 5.8 < visible[1] < 2 / 5.1


def test_a_vector_without_hadrons_is_seen_more_often():
    values = SEARCH.parse({"m_aprime": 0.77, "model": "le_lmu"})
    # electrons, muons, and two neutrinos of one chirality
    beta = math.sqrt(1 - (2 * M_MUON / 0.77) ** 2)
    muons = beta * (3 - beta**2) / 2
    assert SEARCH.branching_fraction(values) == pytest.approx((1 + muons) / (2 + muons), rel=1e-4)


def test_own_vectors_that_cannot_be_are_refused():
    blind = Vector(name="blind", title="Muons", coupling="g_mu", symbol="g", charges=Charges(mu=1.0))
    with pytest.raises(ValueError, match=r"blind.*electrons have no charge"):
        search_for("dark_photon_visible", blind)
    mine = Vector(name="mine", title="Mine", coupling="luminosity", symbol="g", charges=Charges(e=1.0))
    with pytest.raises(ValueError, match="named like the parameter 'luminosity'"):
        search_for("dark_photon_visible", mine)
    with pytest.raises(ValueError, match=r"dark_photon_visable.*nearest: dark_photon_visible"):
        search_for("dark_photon_visable", replace(mine, coupling="g"))


# closed masses


@pytest.mark.parametrize("given, why", [
    ({"m_aprime": 0.2, "final_state": "mumu"}, "two muons"), ({"m_aprime": 0.78}, "omega"), ({"m_aprime": 3.1}, "J/psi"),
    ({"m_aprime": 9.46}, "Upsilon"), ({"m_aprime": 10.39}, "photon"), ({"signature": "displaced"}, "Belle II"),
])  # fmt: skip
def test_closed_masses_say_why(given, why):
    values = SEARCH.parse(given)
    assert why in SEARCH.closed(values, SEARCH.datasets[str(values["dataset"])])


def test_open_next_to_the_phi_where_a_limit_is_published():
    assert SEARCH.closed(SEARCH.parse({"m_aprime": 1.0}), BABAR_SET) == ""


# two channels, one fit


def test_union_is_both_templates():
    whole, parts = load_template(STATE.name, BABAR), [load_template(f"{n}_photon", BABAR) for n in ("dielectron", "dimuon")]
    assert len(whole) == sum(map(len, parts))
    assert whole.weights.sum() == pytest.approx(sum(p.weights.sum() for p in parts))
    muons = whole.columns["is_muon"] > 0.5
    assert set(np.array(whole.processes)[whole.process[muons]]) <= set(parts[1].processes)
    assert np.array_equal(whole.columns["m_pair"][muons], parts[1].columns["m_pair"])


def test_one_likelihood_of_two_channels_is_their_inverse_squares_added():
    """Far from few events limits are widths of Gaussians: 1/limit^2 adds up in units of the common coupling squared."""
    m = 0.4
    both, *alone = (epsilon(at(m_aprime=m, final_state=f)) ** 2 for f in ("combined", "ee", "mumu"))
    expected = sum(a**-2 for a in alone) ** -0.5
    # resolutions and the smoothing of the background differ by channel: 7 %
    assert both == pytest.approx(expected, rel=0.07)
    assert both < 1.02 * min(alone)  # the error of the smoothing


def test_below_the_threshold_of_muons_combined_is_electrons():
    assert epsilon(at(m_aprime=0.15)) == epsilon(at(m_aprime=0.15, final_state="ee"))
    answer = at(m_aprime=0.25)
    assert {"ee_gamma", "mumu_gamma"} <= {p.name for p in answer.processes if p.fb > 0}


def test_rows_share_nothing_but_the_signal():
    basis = polynomial_columns(np.linspace(-1, 1, 9)[None], 2, True)
    both = side_by_side(basis, np.ones((1, 8, 2)))
    assert both.shape == (1, 6, 16)
    assert np.array_equal(both[0, :3, 0::2], basis[0]) and not both[0, :3, 1::2].any()
    assert np.array_equal(both[0, 3:, 1::2], basis[0]) and not both[0, 3:, 0::2].any()


def test_a_row_opens_with_the_velocity():
    """The mean of sqrt(1 - t^2/x^2) over each bin, by many points."""
    fit, edges = PeakFit(degree=1, span=5.0, bins=10, rows=(-0.5, 0.5, 1.5), opens=(0.0, 0.2)), np.linspace(0.19, 0.24, 11)
    found = fit.opening(edges)
    fine = edges[:-1, None] + np.diff(edges)[:, None] * (np.arange(2000) + 0.5) / 2000
    mean = np.sqrt(np.maximum(1 - (0.2 / fine) ** 2, 0)).mean(axis=1)
    assert np.allclose(found[:, 0], 1.0) and np.allclose(found[:, 1], np.maximum(mean, FLOOR), rtol=1e-3)


def test_channels_alone_keep_their_reduced_mass():
    for state, mass in (("ee", M_ELECTRON), ("mumu", M_MUON)):
        values = SEARCH.parse({"m_aprime": 0.3, "final_state": state})
        assert SEARCH.at(values).window.centre(values)[0] == pytest.approx(math.sqrt(0.09 - 4 * mass**2))


# published


def test_published_limits_are_described_by_one_constant():
    """Rates over the published ones: median within 1.3, single points of a curve that scatters within 2.2."""
    published = {0.05: 7.0e-4, 0.3: 5.9e-4, 1.0: 7.6e-4, 4.0: 9.1e-4, 9.0: 6.2e-4}
    ratios = np.array([(epsilon(at(m_aprime=m)) / limit) ** 2 for m, limit in published.items()])
    assert 1 / 1.3 < np.median(ratios) < 1.3 and (np.abs(np.log(ratios)) < math.log(2.2)).all()


def test_the_declared_constant_is_one_factor_on_the_efficiency():
    declared, simulated = at(m_aprime=4.0), at(m_aprime=4.0, calibration="simulated")
    constant = float(SEARCH.numbers["declared_efficiency"])
    assert declared.efficiency == pytest.approx(constant * simulated.efficiency, rel=1e-9)
    assert declared.background_events == simulated.background_events
    assert simulated.limit[2] == pytest.approx(constant * declared.limit[2], rel=0.01)
    assert SEARCH.calibration(SEARCH.parse({"dataset": "belle2_365"}), SEARCH.datasets["belle2_365"]) is None


def test_fit_costs_little_against_a_count():
    """A count over the known background of two resolutions: 1.645 sqrt(B); the fit has the shape, but not the background."""
    answer = at(m_aprime=4.0, final_state="mumu")
    count = norm.isf(0.05) * math.sqrt(answer.background_events) / (answer.luminosity * answer.efficiency)
    assert 0.85 < answer.limit[2] / count < 1.4


# thousands of masses


def test_scan_of_thousands_is_the_point_where_both_are_simulated():
    masses = np.geomspace(0.021, 10.2, 5704)
    frame = scan_masses(SEARCH, {}, masses, n_events=N).frame
    assert len(frame) == 5704
    open_ = frame[frame["reason"] == ""]
    assert len(open_) > 5200 and np.isfinite(open_["epsilon_median"]).all()
    fixed = tuple((k, v) for k, v in SEARCH.parse({}).items() if k in SEARCH.masses and k != "m_aprime")
    nodes = frame_of(SEARCH.variants["both"], SEARCH.variants["both"].datasets["babar_514"], fixed, N, 1, BABAR_SET.lines).masses
    some = nodes[3::7]
    scanned = scan_masses(SEARCH, {}, some, n_events=N).frame
    for m, limit in zip(scanned["m_aprime"], scanned["epsilon_median"], strict=True):
        # the error of the signal, and where bins begin: 4 % of the coupling
        assert limit == pytest.approx(epsilon(at(m_aprime=float(m))), rel=0.04)


def test_pseudo_data_without_signal_scatter_by_one_standard_deviation():
    """A hundred masses far from each other, each with its own noise; templates with fewer events than data leave no bumps."""
    frame = scan_masses(SEARCH, {"final_state": "mumu"}, np.linspace(4.0, 9.0, 60), observed="pseudo", n_events=N).frame
    z = frame["z"].to_numpy()
    assert abs(z.mean()) < 3 / math.sqrt(len(z)) and 0.7 < z.std() < 1.35
    # around the polynomials of the fits, which average over what the template scatters locally
    assert (frame["n_observed"] / frame["background"]).median() == pytest.approx(1.0, abs=0.1)


def test_muons_make_the_limit_better_at_their_threshold_and_never_worse():
    below, above = (epsilon(at(m_aprime=m)) for m in (0.205, 0.225))
    assert above < below


# displaced


def test_displaced_pairs_exclude_an_island():
    given = {"m_aprime": 0.15, "signature": "displaced", "dataset": "belle2_50000"}
    (found,) = at(**given).couplings
    ((low, high),) = found.excluded
    assert found.name == "epsilon" and low < high < epsilon(at(m_aprime=0.15, dataset="belle2_50000"))
    # its upper end is where c tau is a few times shorter than the way to the first region, its lower end where little is made
    values = SEARCH.parse({**given, "epsilon": high})
    boost = 0.5 * 10.58 / 0.15
    assert boost * HBAR_C / SEARCH.width(values) == pytest.approx(0.2, rel=0.9)


def test_the_share_that_is_left_falls_at_both_ends():
    """Too far at small couplings, where the share goes as 1 / c tau, and too near at large ones, exponentially."""
    part = SEARCH.at(SEARCH.parse({"signature": "displaced", "dataset": "belle2_50000"}))
    given = {"m_aprime": 0.15, "signature": "displaced"}
    few, more, most, least = (part.kept(SEARCH.parse({**given, "epsilon": e}), BELLE2_SET) for e in (1e-7, 2e-7, 3e-5, 3e-3))
    assert more == pytest.approx(4.0 * few, rel=0.02)
    assert most > 0.05 and least < 1e-10


def test_where_next_to_nothing_is_seen_there_is_no_limit_on_the_rate_but_one_on_the_coupling():
    """At epsilon = 1e-3 an A' of 0.15 GeV decays within micrometres: no rate would be seen, small couplings still would."""
    near, far = (at(m_aprime=0.15, signature="displaced", dataset="belle2_50000", epsilon=e) for e in (1e-3, 4e-5))
    assert near.limit is None and "no limit on its rate" in near.reason and near.to_json()["limit"] is None
    assert far.limit is not None and not far.reason and far.luminosity * far.limit[2] < 1e12
    ((low, high),), ((same, also),) = near.couplings[0].excluded, far.couplings[0].excluded
    assert (low, high) == pytest.approx((same, also), rel=1e-9) and low < 4e-5 < high
    assert near.seen_fb == pytest.approx(far.seen_fb, rel=1e-9)
    assert far.seen_fb[2] == pytest.approx(far.kept * far.limit[2])
    frame = scan(
        SEARCH, {"epsilon": [4e-5, 1e-3]}, {"m_aprime": 0.15, "signature": "displaced", "dataset": "belle2_50000"}, n_events=N
    ).frame
    assert np.isnan(frame["limit_median"][1]) and frame["seen_median"][1] == pytest.approx(frame["seen_median"][0])


def test_displaced_background_is_declared():
    answer = at(m_aprime=0.15, signature="displaced", dataset="belle2_50000")
    assert answer.background_events == pytest.approx(1.0) and answer.shapes is None


# the plane


def displaced_curve():
    from belle2dark.notebook import curve

    given = {"signature": "displaced", "dataset": "belle2_50000"}
    return curve([at(m_aprime=m, **given) for m in (0.05, 0.1, 0.15, 0.3, 0.5)])


def test_islands_in_the_plane_are_closed_and_those_of_the_points():
    curve = displaced_curve()
    x, y, height = displaced_region(SEARCH, curve, "epsilon")
    assert (height[:, 0] < 0).all() and (height[:, -1] < 0).all(), "an island ends above and below"
    ((low, high),) = at(m_aprime=0.15, signature="displaced", dataset="belle2_50000").couplings[0].excluded
    i = int(np.argmin(np.abs(x - math.log(0.15))))
    inside = np.exp(y[height[i] > 0])
    # one step of the grid either way
    assert inside[0] == pytest.approx(low, rel=0.2) and inside[-1] == pytest.approx(high, rel=0.2)


def test_plane_draws_pieces_and_islands():
    scanned = scan_masses(SEARCH, {}, [0.6, 0.62, 0.64, 0.66, 1.1, 1.12, 1.14], n_events=N)
    figure = visible_plane([scanned, displaced_curve()])
    names = [r.name for r in figure.renderers]
    # between its few points the curve stops at omega and phi, which are cut out
    assert names.count("prompt") == 3 and names.count("displaced") == 1 and names.count("other") == 5
    assert "published" in names
    with pytest.raises(ValueError, match="dark_photon_visible are needed"):
        visible_plane([])


def test_pieces_are_cut_at_gaps_alone():
    masses = np.concatenate([np.geomspace(0.1, 0.7, 50), np.geomspace(0.9, 2.0, 40)])
    assert [s.stop - s.start for s in pieces(masses)] == [50, 40]
    assert len(pieces(np.geomspace(0.1, 10, 7))) == 1


# the record


def test_search_pickles_and_bad_input_is_named():
    for part in SEARCH.parts:
        pickle.loads(pickle.dumps(part.generate))
        pickle.loads(pickle.dumps(part.branching_fraction))
    with pytest.raises(ValueError, match="final_state"):
        SEARCH.parse({"final_state": "emu"})
    with pytest.raises(ValueError, match="m_aprime"):
        SEARCH.parse({"m_aprime": 0.001})
    assert SEARCH.mass_names == (AXIS,) and isinstance(displaced_curve(), LimitCurve)
